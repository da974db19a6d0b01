/**
 * An adder in training: random sums, gradients, Adam. A batch is drawn afresh, so its loss is that of a test set.
 *
 * @typedef {{cell?: "RNN"|"GRU", layers?: number, hidden?: number, embedding?: number, base?: number, digits?: number,
 *            pairs?: number, rate?: number, seed?: number, noise?: number, falling?: boolean,
 *            batches?: number}} Settings
 *   With `noise`, Gaussian noise of that size is added to the state after each column, rising over the first third of
 *   `batches`. If `falling`, the rate falls to a hundredth of itself over them, and gradients are clipped at norm 1.
 */
import {Backprop, tensors, views} from "./backprop.js";
import {randomness} from "./random.js";

/** @type {Required<Settings>} */
export const DEFAULTS = {cell: "RNN", layers: 1, hidden: 32, embedding: 32, base: 10, digits: 10, pairs: 100,
                         rate: 3e-3, seed: 0, noise: 0, falling: false, batches: Infinity};

export class Training {
  /** @param {Settings} settings */
  constructor(settings) {
    /** @type {Required<Settings>} */
    this.settings = {...DEFAULTS, ...settings};
    const {cell, layers, hidden, embedding, base, digits, pairs, seed} = this.settings;
    /** @type {import("./backprop.js").Shape} */
    this.shape = {cell, layers, hidden, embedding, base};
    this.random = randomness(seed);
    const size = tensors(this.shape).reduce((sum, [, count]) => sum + count, 0), edge = 1 / Math.sqrt(hidden);
    this.parameters = Float64Array.from({length: size}, () => (2 * this.random.uniform() - 1) * edge);
    const {embed} = views(this.shape, this.parameters);
    embed.forEach((_, i) => { embed[i] = this.random.normal(); });
    this.gradient = new Float64Array(size);
    this.mean = new Float64Array(size);    // of the gradient, and of its square, as Adam keeps them
    this.square = new Float64Array(size);
    this.network = new Backprop(this.shape, pairs, digits + 1, this.parameters, this.gradient);
    this.network.noise = this.random.normal;
    this.done = 0;
  }

  /** Draws num1, num2 and their sum: [columns, pairs], the last column for the carry. */
  sample() {
    const {pairs, digits, base} = this.settings, rows = pairs * (digits + 1);
    const [num1, num2, total] = [1, 2, 3].map(() => new Int8Array(rows));
    for (let pair = 0; pair < pairs; pair++) for (let column = 0, carry = 0; column <= digits; column++) {
      const at = column * pairs + pair;
      if (column < digits) [num1[at], num2[at]] = [this.random.below(base), this.random.below(base)];
      const sum = num1[at] + num2[at] + carry;
      total[at] = sum % base;
      carry = sum >= base ? 1 : 0;
    }
    return [num1, num2, total];
  }

  /**
   * One batch: its loss and its share of right sums, both before its update.
   * @returns {{batch: number, loss: number, right: number}}
   */
  batch() {
    const {noise, rate, falling, batches} = this.settings, [num1, num2, total] = this.sample(), part = this.done / batches;
    const result = this.network.gradients(num1, num2, total, noise && noise * Math.min(1, 3 * part));
    this.done++;
    if (falling) this.clip();
    this.update(falling ? rate * (1 - part) + rate / 100 : rate);
    return {batch: this.done, ...result};
  }

  /** Shortens the gradient to norm 1. */
  clip() {
    let square = 0;
    for (const x of this.gradient) square += x * x;
    const scale = 1 / (Math.sqrt(square) + 1e-6);
    for (let i = 0; scale < 1 && i < this.gradient.length; i++) this.gradient[i] *= scale;
  }

  /** Adam (Kingma and Ba 2015). */
  update(rate) {
    const {parameters, gradient, mean, square} = this;
    const step = rate / (1 - 0.9 ** this.done), scale = 1 / Math.sqrt(1 - 0.999 ** this.done);
    for (let i = 0; i < parameters.length; i++) {
      const g = gradient[i], m = mean[i] = 0.9 * mean[i] + 0.1 * g, v = square[i] = 0.999 * square[i] + 0.001 * g * g;
      parameters[i] -= step * m / (Math.sqrt(v) * scale + 1e-8);
    }
  }

  /** The network as it is now: what `Network.from` takes. */
  snapshot() { return {...this.shape, weights: Float32Array.from(this.parameters)}; }
}
