// The adder of two tanh units in terms that a reader can turn: where its latch flips, what it remembers, its parabolas.
//
//     L' = tanh(p (s + memory L - flip)) latches the carry of the column's sum s; v' is nearly a line in s;
//     less what all ten share, each digit's logit is a parabola over v, and L slides all ten by `shift`.

/** @typedef {import("./intervals.js").Model} Model */
/** What the sliders set; `slope` is a factor.
 * @typedef {{flip: number, memory: number, slope: number, shift: number}} Knobs */
/**
 * One column of a sum: what goes in, the units' inputs and outputs h, the vector u = U h that is kept, the digit said.
 * @typedef {{a: number, b: number, carry: number, into: number[], h: number[], u: number[], said: number,
 *            right: number}} Step
 */

/** @param {Model} net @param {number} latch  its unit; the other is the line */
export function describe(net, latch) {
  const line = 1 - latch, digits = [...Array(10).keys()];
  const [, rise] = fit(digits, [...net.embed], 1), mean = net.embed.reduce((sum, entry) => sum + entry, 0) / 10;
  const reads = net.w[2 * latch] + net.w[2 * latch + 1];
  const perSum = reads / 2 * rise, offset = reads * (mean - 4.5 * rise) + net.bw[latch] + net.bu[latch];
  const column = (/** @type {number} */ unit) => digits.map(digit => net.dense[2 * digit + unit]);
  const [level, perDigit] = fit(digits, column(line), 1);
  const [base, tilt, bend] = fit(digits, column(latch).map((entry, d) => net.bias[d] - entry), 2);
  const [step, slide] = fit(digits, column(latch), 1);
  const curvature = -bend;                             // logit of d = curvature (2 d x - d²) + what all ten share
  return {latch, line, perSum, flip: -offset / perSum, memory: net.u[2 * latch + latch] / perSum, curvature,
          base: base + step, step, level, scale: perDigit / (2 * curvature), origin: tilt / (2 * curvature),
          shift: -slide / curvature};
}
/** @typedef {ReturnType<typeof describe>} Terms */

/** The model with its knobs turned; `terms` are those of the model as it was trained.
 * @param {Model} net @param {Terms} terms @param {Knobs} knobs @returns {Model} */
export function turned(net, terms, knobs) {
  const {latch, line} = terms;
  const changed = {...net, w: net.w.slice(), u: net.u.slice(), bw: net.bw.slice(), dense: net.dense.slice()};
  changed.bw[latch] += (terms.flip - knobs.flip) * terms.perSum;
  changed.u[2 * latch + latch] += (knobs.memory - terms.memory) * terms.perSum;
  for (const side of [0, 1]) changed.w[2 * line + side] *= knobs.slope;
  for (let d = 0; d < 10; d++) changed.dense[2 * d + latch] *= knobs.shift / terms.shift;
  return changed;
}

/** One column after the vector u, as the network's equations say.
 * @param {Model} net @param {number[]} u @param {number} a @param {number} b */
export function step(net, u, a, b) {
  const into = [0, 1].map(unit => net.w[2 * unit] * net.embed[a] + net.w[2 * unit + 1] * net.embed[b]
                                  + net.bw[unit] + net.bu[unit] + u[unit]);
  const h = into.map(Math.tanh);
  const logits = [...net.bias].map((bias, d) => bias + net.dense[2 * d] * h[0] + net.dense[2 * d + 1] * h[1]);
  const kept = [0, 1].map(row => net.u[2 * row] * h[0] + net.u[2 * row + 1] * h[1]);
  return {into, h, u: kept, said: logits.indexOf(Math.max(...logits))};
}

/** A sum, column by column, one more for the last carry. @param {Model} net @param {string} a @param {string} b
 * @returns {Step[]} */
export function walk(net, a, b) {
  const digits = [a, b].map(text => [...text].reverse().map(Number)), steps = [];
  let u = [0, 0], carry = 0;
  for (let i = 0; i <= Math.max(a.length, b.length); i++) {
    const [x, y] = digits.map(number => number[i] ?? 0), total = x + y + carry, after = step(net, u, x, y);
    steps.push({a: x, b: y, carry, right: total % 10, ...after});
    u = after.u;
    carry = total > 9 ? 1 : 0;
  }
  return steps;
}

/** The line unit's output as a place among the parabolas. @param {Terms} terms @param {number} v */
export const place = (terms, v) => terms.scale * v + terms.origin;

/** How high digit d's parabola is at x, the common part of all ten taken off: 0 at its top, about, in logits.
 * @param {Model} net @param {Terms} terms @param {number} d @param {number} x @param {number} latch  its output */
export function height(net, terms, d, x, latch) {
  const v = (x - terms.origin) / terms.scale, ideal = x - terms.shift * (latch + 1) / 2;
  const logit = net.bias[d] + net.dense[2 * d + terms.latch] * latch + net.dense[2 * d + terms.line] * v;
  return logit - terms.curvature * ideal * ideal - terms.base - terms.step * latch - terms.level * v;
}

/** Least squares: the coefficients of a polynomial, the constant first.
 * @param {number[]} x @param {number[]} y @param {number} degree */
function fit(x, y, degree) {
  const size = degree + 1, rows = Array.from({length: size}, (_, i) => [
    ...Array.from({length: size}, (_, j) => x.reduce((sum, at) => sum + at ** (i + j), 0)),
    x.reduce((sum, at, k) => sum + at ** i * y[k], 0)]);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      if (i === j) continue;
      const factor = rows[j][i] / rows[i][i];
      rows[j] = rows[j].map((entry, k) => entry - factor * rows[i][k]);
    }
  }
  return rows.map((row, i) => row[size] / row[i]);
}
