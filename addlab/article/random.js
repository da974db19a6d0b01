/**
 * Random numbers that a seed repeats: Mulberry32 (Tommy Ettinger, 2017), and normal ones by Marsaglia's polar method.
 * @param {number} seed
 * @returns {{uniform: () => number, below: (n: number) => number, normal: () => number}}
 */
export function randomness(seed) {
  let state = seed | 0, spare = NaN;
  const uniform = () => {
    state = state + 0x6d2b79f5 | 0;
    let t = Math.imul(state ^ state >>> 15, 1 | state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 4294967296;
  };
  const normal = () => {
    if (spare === spare) {
      const kept = spare;
      spare = NaN;
      return kept;
    }
    for (;;) {
      const x = 2 * uniform() - 1, y = 2 * uniform() - 1, square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const scale = Math.sqrt(-2 * Math.log(square) / square);
      spare = y * scale;
      return x * scale;
    }
  };
  return {uniform, normal, below: n => Math.floor(uniform() * n)};
}
