/**
 * Loss and gradients of an adder (RNN or GRU, any number of layers) by backpropagation through time, in doubles.
 *
 * Rows are time-major: row t * pairs + p is column t of pair p. One kernel, `product`, does all the heavy work; what it
 * needs the other way round is turned first.
 *
 * @typedef {{cell: "RNN"|"GRU", layers: number, hidden: number, embedding: number, base: number}} Shape
 */
import {addRows, product, turned} from "./products.js";
import {randomness} from "./random.js";

const GATES = {RNN: 1, GRU: 3};

/**
 * Names and sizes of an adder's tensors, in the order of torch's state_dict.
 * @param {Shape} shape @returns {[string, number][]}
 */
export function tensors({cell, layers, hidden, embedding, base}) {
  const wide = GATES[cell] * hidden;
  /** @type {[string, number][]} */
  const list = [["embed", base * embedding]];
  for (let l = 0; l < layers; l++)
    list.push([`into${l}`, wide * (l ? hidden : 2 * embedding)], [`back${l}`, wide * hidden],
              [`bias${l}`, wide], [`biasBack${l}`, wide]);
  return [...list, ["dense", base * hidden], ["biasDense", base]];
}

/**
 * Views into one array, a tensor each.
 * @param {Shape} shape @param {Float64Array} all @returns {Object<string, Float64Array>}
 */
export function views(shape, all) {
  let at = 0;
  return Object.fromEntries(tensors(shape).map(([name, size]) => [name, all.subarray(at, at += size)]));
}

const sigmoid = x => 1 / (1 + Math.exp(-x));

export class Backprop {
  /**
   * @param {Shape} shape @param {number} pairs @param {number} columns
   * @param {Float64Array} parameters @param {Float64Array} gradients  both in the order of `tensors`
   */
  constructor(shape, pairs, columns, parameters, gradients) {
    this.shape = shape;
    this.pairs = pairs;
    this.columns = columns;
    this.rows = pairs * columns;
    this.wide = GATES[shape.cell] * shape.hidden;
    this.p = views(shape, parameters);
    this.g = views(shape, gradients);
    this.gradient = gradients;
    const {rows, wide} = this, {hidden, layers, base} = shape, block = pairs * hidden;
    const room = size => Array.from({length: layers}, () => new Float64Array(size));
    this.h = room(rows * hidden + block);       // after each column; the first block is the start
    this.passed = room(rows * hidden + block);  // what the next column is given: h and its noise
    this.given = room(rows * wide);
    this.recalled = room(rows * wide);          // W h, and for the GRU's new state its bias
    this.kept = room(rows * wide);              // gates after their functions
    this.dGiven = new Float64Array(rows * wide);
    this.dRecalled = shape.cell === "RNN" ? this.dGiven : new Float64Array(rows * wide);
    this.dh = new Float64Array(rows * hidden);
    this.logits = new Float64Array(rows * base);
    this.pair = new Int32Array(rows);
    this.table = new Float64Array(base * base * this.wide);  // what each pair of digits gives the first layer
    this.both = new Float64Array(base * base * 2 * shape.embedding);  // the vectors of each pair
    this.wideTurned = new Float64Array(rows * wide);
    this.tall = new Float64Array(rows * Math.max(hidden, base));
    this.tall2 = new Float64Array(rows * hidden);
    this.noise = randomness(0).normal;
  }

  /**
   * Leaves the gradients of the mean loss of num1 + num2 = total, all [rows], time-major.
   * @returns {{loss: number, right: number}}  nats a digit, share of sums with every digit right
   */
  gradients(num1, num2, total, noise = 0) {
    this.gradient.fill(0);
    this.forward(num1, num2, noise);
    const result = this.score(total);
    for (let l = this.shape.layers - 1; l >= 0; l--) this.backward(l);
    return result;
  }

  forward(num1, num2, noise) {
    const {shape, p, pairs, columns, rows, wide} = this, {hidden, base, embedding, layers} = shape;
    const block = pairs * hidden;
    const {table, both} = this, kinds = base * base;
    for (let k = 0; k < kinds; k++) {
      this.embedded(k, both.subarray(k * 2 * embedding, (k + 1) * 2 * embedding));
      table.set(p.bias0, k * wide);
    }
    product(both, 0, p.into0, 0, table, 0, kinds, wide, 2 * embedding);
    for (let r = 0; r < rows; r++) {
      const k = this.pair[r] = num1[r] * base + num2[r];
      this.given[0].set(table.subarray(k * wide, (k + 1) * wide), r * wide);
    }
    for (let l = 0; l < layers; l++) {
      const h = this.h[l], passed = this.passed[l], given = this.given[l], recalled = this.recalled[l];
      if (l) {
        for (let r = 0; r < rows; r++) given.set(p[`bias${l}`], r * wide);
        product(this.h[l - 1], block, p[`into${l}`], 0, given, 0, rows, wide, hidden);
      }
      for (let r = 0; r < rows; r++) recalled.set(p[`biasBack${l}`], r * wide);
      for (let t = 0; t < columns; t++) {
        product(passed, t * block, p[`back${l}`], 0, recalled, t * pairs * wide, pairs, wide, hidden);
        this.cell(l, t);
        for (let i = (t + 1) * block; i < (t + 2) * block; i++) passed[i] = noise ? h[i] + noise * this.noise() : h[i];
      }
    }
  }

  /** The two digits' vectors of pair k, one behind the other. */
  embedded(k, out) {
    const {base, embedding} = this.shape, a = Math.floor(k / base), b = k % base;
    for (let e = 0; e < embedding; e++) {
      out[e] = this.p.embed[a * embedding + e];
      out[embedding + e] = this.p.embed[b * embedding + e];
    }
  }

  /** The equations of torch.nn.RNN and GRU, for column t of layer l. */
  cell(l, t) {
    const n = this.shape.hidden, {pairs, wide} = this, given = this.given[l], recalled = this.recalled[l];
    const h = this.h[l], passed = this.passed[l], kept = this.kept[l];
    for (let r = t * pairs; r < (t + 1) * pairs; r++) for (let i = 0, g = r * wide; i < n; i++, g++) {
      const before = r * n + i, after = before + pairs * n;
      if (wide === n) {
        h[after] = Math.tanh(given[g] + recalled[g]);
      } else {
        const reset = kept[g] = sigmoid(given[g] + recalled[g]);
        const keep = kept[g + n] = sigmoid(given[g + n] + recalled[g + n]);
        const fresh = kept[g + 2 * n] = Math.tanh(given[g + 2 * n] + reset * recalled[g + 2 * n]);
        h[after] = (1 - keep) * fresh + keep * passed[before];
      }
    }
  }

  /** Loss, share of right sums, and the gradients of the output layer and of the last layer's states. */
  score(total) {
    const {shape, p, g, pairs, rows} = this, {hidden, base, layers} = shape, top = this.h[layers - 1], z = this.logits;
    for (let r = 0; r < rows; r++) z.set(p.biasDense, r * base);
    product(top, pairs * hidden, p.dense, 0, z, 0, rows, base, hidden);
    const failed = new Uint8Array(pairs);
    let loss = 0;
    for (let r = 0; r < rows; r++) {
      const o = r * base;
      let best = 0, sum = 0;
      for (let c = 1; c < base; c++) if (z[o + c] > z[o + best]) best = c;
      const most = z[o + best];
      for (let c = 0; c < base; c++) sum += Math.exp(z[o + c] - most);
      loss += Math.log(sum) + most - z[o + total[r]];
      if (best !== total[r]) failed[r % pairs] = 1;
      for (let c = 0; c < base; c++) {
        z[o + c] = (Math.exp(z[o + c] - most) / sum - (c === total[r] ? 1 : 0)) / rows;
        g.biasDense[c] += z[o + c];
      }
    }
    this.dh.fill(0);
    product(z, 0, turned(p.dense, 0, base, hidden), 0, this.dh, 0, rows, hidden, base);
    const dLogits = turned(z, 0, rows, base, this.tall), states = turned(top, pairs * hidden, rows, hidden, this.tall2);
    product(dLogits, 0, states, 0, g.dense, 0, base, hidden, rows);
    return {loss: loss / rows, right: 1 - failed.reduce((sum, x) => sum + x, 0) / pairs};
  }

  /** From the gradients of layer l's states to those of its weights, and of what it was given. */
  backward(l) {
    const {shape: {hidden}, p, g, pairs, columns, rows, wide, dh, dGiven, dRecalled} = this, block = pairs * hidden;
    const back = turned(p[`back${l}`], 0, wide, hidden);
    for (let t = columns - 1; t >= 0; t--) {
      this.cellBackward(l, t);
      if (t) product(dRecalled, t * pairs * wide, back, 0, dh, (t - 1) * block, pairs, hidden, wide);
    }
    addRows(dGiven, rows, wide, g[`bias${l}`]);
    addRows(dRecalled, rows, wide, g[`biasBack${l}`]);
    const passed = turned(this.passed[l], 0, rows, hidden, this.tall);
    product(turned(dRecalled, 0, rows, wide, this.wideTurned), 0, passed, 0, g[`back${l}`], 0, wide, hidden, rows);
    if (!l) return this.embeddingBackward();
    const below = turned(this.h[l - 1], block, rows, hidden, this.tall);
    product(turned(dGiven, 0, rows, wide, this.wideTurned), 0, below, 0, g[`into${l}`], 0, wide, hidden, rows);
    dh.fill(0);
    product(dGiven, 0, turned(p[`into${l}`], 0, wide, hidden), 0, dh, 0, rows, hidden, wide);
  }

  cellBackward(l, t) {
    const n = this.shape.hidden, {pairs, wide, dh, dGiven, dRecalled} = this;
    const h = this.h[l], passed = this.passed[l], kept = this.kept[l], recalled = this.recalled[l];
    for (let r = t * pairs; r < (t + 1) * pairs; r++) for (let i = 0, g = r * wide; i < n; i++, g++) {
      const before = r * n + i, d = dh[before], after = before + pairs * n;
      if (wide === n) {
        dGiven[g] = d * (1 - h[after] * h[after]);
        continue;
      }
      const reset = kept[g], keep = kept[g + n], fresh = kept[g + 2 * n], dFresh = d * (1 - keep) * (1 - fresh * fresh);
      dGiven[g] = dRecalled[g] = dFresh * recalled[g + 2 * n] * reset * (1 - reset);
      dGiven[g + n] = dRecalled[g + n] = d * (passed[before] - fresh) * keep * (1 - keep);
      dGiven[g + 2 * n] = dFresh;
      dRecalled[g + 2 * n] = dFresh * reset;
      if (t) dh[before - pairs * n] += d * keep;
    }
  }

  /** The first layer is given one of base² vectors: their gradients are gathered, then handed on. */
  embeddingBackward() {
    const {shape, p, g, rows, wide, dGiven} = this, {base, embedding} = shape, width = 2 * embedding;
    const kinds = base * base, gathered = this.table.fill(0), {both} = this;
    for (let r = 0; r < rows; r++) {
      const from = r * wide, to = this.pair[r] * wide;
      for (let i = 0; i < wide; i++) gathered[to + i] += dGiven[from + i];
    }
    product(turned(gathered, 0, kinds, wide), 0, turned(both, 0, kinds, width), 0, g.into0, 0, wide, width, kinds);
    both.fill(0);  // the pairs' vectors are done with: it now holds their gradients
    product(gathered, 0, turned(p.into0, 0, wide, width), 0, both, 0, kinds, width, wide);
    for (let k = 0; k < kinds; k++) for (let e = 0; e < embedding; e++) {
      g.embed[Math.floor(k / base) * embedding + e] += both[k * width + e];
      g.embed[k % base * embedding + e] += both[k * width + embedding + e];
    }
  }
}
