// Interval arithmetic and the proof that a small network adds: the 300 cases of addlab/certify/checker.py, in the page.
//
// Every operation rounds outwards, and what float32 may do to a sum or a tanh is counted as the checker counts it. One
// thing is taken on trust that the checker does not need: that this browser's tanh is right to 2^-30.

/** @typedef {[number, number]} Interval  its low and its high end */
/**
 * One layer of tanh units that adds, its weights as float32 numbers, row by row.
 * @typedef {{hidden: number, embedding: number, embed: Float32Array, w: Float32Array, u: Float32Array,
 *            bw: Float32Array, bu: Float32Array, dense: Float32Array, bias: Float32Array}} Model
 */
/**
 * One of the 300 things to prove: from `origin` (0 the start, 1 no carry, 2 a carry) the column a, b leads into the box
 * of carry `target` and says `digit`. `lead` is how far that digit is ahead at least; `rival` the digit next to it.
 * @typedef {{origin: number, a: number, b: number, target: number, digit: number, rival: number, lead: number,
 *            inside: boolean, holds: boolean}} Case
 */

const TINY = 2 ** -126, ROUNDOFF = 2 ** -24, FUNCTION_ERROR = 2 ** -20, BROWSER_ERROR = 2 ** -30;
export const ORIGINS = ["the start", "no carry", "a carry"];

/** @param {number} x */
const down = x => x - Math.abs(x) * 2 ** -52 - Number.MIN_VALUE;
/** @param {number} x */
const up = x => x + Math.abs(x) * 2 ** -52 + Number.MIN_VALUE;
/** @param {Interval} x @param {Interval} y @returns {Interval} */
export const add = (x, y) => [down(x[0] + y[0]), up(x[1] + y[1])];
/** @param {number} factor @param {Interval} x @returns {Interval} */
export const scale = (factor, x) => factor < 0 ? [down(factor * x[1]), up(factor * x[0])]
  : [down(factor * x[0]), up(factor * x[1])];
/** The difference of two numbers. @param {number} x @param {number} y @returns {Interval} */
export const minus = (x, y) => [down(x - y), up(x - y)];
/** @param {Interval} z @returns {Interval} */
export const tanh = z => [down(Math.tanh(z[0]) - FUNCTION_ERROR - BROWSER_ERROR),
  up(Math.tanh(z[1]) + FUNCTION_ERROR + BROWSER_ERROR)];

/**
 * Read a model out of float32 numbers in the order of PyTorch's state_dict.
 * @param {Float32Array} numbers @param {number} hidden @param {number} embedding @returns {Model}
 */
export function model(numbers, hidden, embedding) {
  let at = 0;
  const take = (/** @type {number} */ count) => numbers.slice(at, at += count);
  const found = {hidden, embedding, embed: take(10 * embedding), w: take(hidden * 2 * embedding),
    u: take(hidden * hidden), bw: take(hidden), bu: take(hidden), dense: take(10 * hidden), bias: take(10)};
  if (at !== numbers.length) throw new Error(`weights: got ${numbers.length} numbers, allowed are ${at}`);
  return found;
}

/** How far float32 may be off a sum of products; parts: [matrix, columns, bound of its factors]; one bound a row.
 * @param {number} rows @param {Array<[Float32Array, number, number]>} parts */
function roundingErrors(rows, parts) {
  let terms = 8, bounds = 1;
  for (const [, columns, bound] of parts) {
    terms += 2 * columns;
    bounds = up(bounds + bound);
  }
  const relative = up(up(terms * ROUNDOFF) / down(1 - terms * ROUNDOFF));
  return Array.from({length: rows}, (_, row) => {
    let size = 0;
    for (const [matrix, columns, bound] of parts) {
      for (let k = 0; k < columns; k++) size = up(size + up(bound * Math.abs(matrix[row * columns + k])));
    }
    if (!(size < 2 ** 99)) return NaN; // float32 may overflow: nothing holds then
    return up(up(relative * size) + up(up(terms * TINY * bounds) * up(1 + size)));
  });
}

/** Each case's reading of its digits, w · (e(a), e(b)), for every unit: [100][hidden].
 * @param {Model} net @returns {Interval[][]} */
function readings(net) {
  const width = net.embedding;
  return Array.from({length: 100}, (_, pair) => {
    const digits = [Math.floor(pair / 10), pair % 10];
    return Array.from({length: net.hidden}, (_, unit) => {
      /** @type {Interval} */
      let sum = [0, 0];
      for (let k = 0; k < 2 * width; k++) {
        const entry = net.embed[digits[k < width ? 0 : 1] * width + k % width];
        sum = add(sum, scale(net.w[unit * 2 * width + k], [entry, entry]));
      }
      return sum;
    });
  });
}

/** @param {Float32Array} matrix @param {number} row @param {Interval[]} vector */
function product(matrix, row, vector) {
  /** @type {Interval} */
  let sum = [0, 0];
  for (let k = 0; k < vector.length; k++) sum = add(sum, scale(matrix[row * vector.length + k], vector[k]));
  return sum;
}

/**
 * Try to prove that a model adds numbers of every length, by two boxes of U h: one for no carry, one for a carry.
 * @param {Model} net @param {Interval[][]} boxes  [carry][unit]
 * @returns {{proved: boolean, margin: number, cases: Case[], broken: Case[]}}
 */
export function prove(net, boxes) {
  const {hidden} = net, reads = readings(net), units = [...Array(hidden).keys()];
  const bound = net.embed.reduce((most, entry) => Math.max(most, Math.abs(entry)), 0);
  const inner = roundingErrors(hidden, [[net.w, 2 * net.embedding, bound], [net.u, hidden, 2], [net.bw, 1, 1],
    [net.bu, 1, 1]]);
  const outer = roundingErrors(10, [[net.dense, hidden, 2], [net.bias, 1, 1]]);
  const room = inner.map(error => /** @type {Interval} */ ([-2 * error, 2 * error]));
  const origins = [units.map(() => /** @type {Interval} */ ([0, 0])), ...boxes];
  /** @type {Case[]} */
  const cases = [];
  for (let number = 0; number < 300; number++) {
    const origin = Math.floor(number / 100), pair = number % 100, a = Math.floor(pair / 10), b = pair % 10;
    const total = a + b + (origin === 2 ? 1 : 0), target = total > 9 ? 1 : 0, digit = total % 10;
    const h = units.map(unit => {
      const bias = add([net.bw[unit], net.bw[unit]], [net.bu[unit], net.bu[unit]]);
      return tanh(add(add(reads[pair][unit], origins[origin][unit]), add(bias, room[unit])));
    });
    const after = units.map(unit => product(net.u, unit, h));
    const inside = after.every(([low, high], k) => boxes[target][k][0] <= low && high <= boxes[target][k][1]);
    const {lead, rival} = leadOf(net, h, digit, outer);
    cases.push({origin, a, b, target, digit, rival, lead, inside, holds: inside && lead > 0});
  }
  const broken = cases.filter(one => !one.holds);
  return {proved: !broken.length, margin: Math.min(...cases.map(one => one.lead)), cases, broken};
}

/** How far a digit leads all others at least, and the one that comes next.
 * @param {Model} net @param {Interval[]} h @param {number} digit @param {number[]} errors */
function leadOf(net, h, digit, errors) {
  let lead = Infinity, rival = digit;
  for (let other = 0; other < 10; other++) {
    if (other === digit) continue;
    let sum = down(minus(net.bias[digit], net.bias[other])[0] - up(errors[digit] + errors[other]));
    for (let k = 0; k < h.length; k++) {
      const difference = minus(net.dense[digit * h.length + k], net.dense[other * h.length + k]);
      sum = down(sum + Math.min(scale(difference[0], h[k])[0], scale(difference[1], h[k])[0]));
    }
    if (!(sum >= lead)) [lead, rival] = [sum, other];
  }
  return {lead, rival};
}

/** What each case adds up before the state, as numbers. @param {Model} net */
const middles = net => readings(net).map(row => row.map(([low, high], k) => (low + high) / 2 + net.bw[k] + net.bu[k]));

/** The boxes of all that arrives, one column on, `room` wider at every end; without `boxes`, from the start alone.
 * @param {Model} net @param {number[][]} reads @param {Interval[][] | null} boxes @param {number} room */
function advance(net, reads, boxes, room) {
  const {hidden} = net, next = [0, 1].map(() => Array.from({length: hidden}, () => [Infinity, -Infinity]));
  const low = new Float64Array(hidden), high = new Float64Array(hidden);
  for (let number = 0; number < (boxes ? 300 : 100); number++) {
    const origin = Math.floor(number / 100), pair = number % 100;
    const target = Math.floor(pair / 10) + pair % 10 + (origin === 2 ? 1 : 0) > 9 ? 1 : 0;
    for (let k = 0; k < hidden; k++) {
      const from = boxes && origin ? boxes[origin - 1][k] : [0, 0];
      low[k] = Math.tanh(reads[pair][k] + from[0]);
      high[k] = Math.tanh(reads[pair][k] + from[1]);
    }
    for (let row = 0; row < hidden; row++) {
      let least = 0, most = 0;
      for (let k = 0; k < hidden; k++) {
        const u = net.u[row * hidden + k];
        least += u * (u < 0 ? high[k] : low[k]);
        most += u * (u < 0 ? low[k] : high[k]);
      }
      const box = next[target][row];
      box[0] = Math.min(box[0], least - room);
      box[1] = Math.max(box[1], most + room);
    }
  }
  return /** @type {Interval[][]} */ (next);
}

/** Whether two boxes share a vector. @param {Interval[][]} boxes */
const overlap = ([one, two]) => one.every(([low, high], k) => low <= two[k][1] && two[k][0] <= high);

/**
 * Boxes in which the states come to rest, the roomier first, as far as they prove something; else null.
 * @param {Model} net @returns {Interval[][] | null}
 */
export function findBoxes(net) {
  const reads = middles(net);
  for (const room of [2 ** -8, 2 ** -12]) {
    const grid = room / 16;
    let boxes = advance(net, reads, null, room), moved = Infinity;
    for (let column = 0; column < 60 && moved > grid && !overlap(boxes); column++) {
      const after = advance(net, reads, boxes, room), before = boxes.flat(2);
      moved = Math.max(...after.flat(2).map((end, k) => Math.abs(end - before[k])));
      boxes = after;
    }
    boxes = boxes.map(box => box.map(([low, high]) => [Math.floor(low / grid) * grid, Math.ceil(high / grid) * grid]));
    if (!overlap(boxes) && prove(net, boxes).proved) return boxes;
  }
  return null;
}

/** How a proof ends: by which boxes, and the cases that broke it, worst first.
 * @typedef {{proved: boolean, boxes: Interval[][], margin: number, cases: Case[], broken: Case[]}} Verdict */

/**
 * Prove by the boxes given, or by others; where none do, follow all states from the start until a digit can be wrong.
 * @param {Model} net @param {Interval[][]} given @returns {Verdict}
 */
export function verdict(net, given) {
  let boxes = given, result = prove(net, boxes);
  if (!result.proved) boxes = findBoxes(net) ?? given;
  if (boxes !== given) result = prove(net, boxes);
  if (result.proved) return {boxes, ...result};
  const reads = middles(net);
  boxes = advance(net, reads, null, 0);
  for (let column = 0; column < 60; column++) {
    result = prove(net, boxes);
    if (result.cases.some(one => !(one.lead > 0))) break;
    boxes = advance(net, reads, boxes, 0);
  }
  const cases = result.cases.map(one => ({...one, holds: one.lead > 0})), wrong = cases.filter(one => !one.holds);
  const broken = wrong.length ? wrong : result.cases.filter(one => !one.inside);
  return {proved: false, boxes, margin: result.margin, cases: wrong.length ? cases : result.cases,
          broken: broken.sort((one, two) => one.lead - two.lead)};
}
