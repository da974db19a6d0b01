/**
 * The forward pass of a trained adder: torch's RNN, LSTM and GRU of any number of layers, column by column.
 *
 * Sums are taken in doubles and every state is rounded to float32 once, as the Adder in Python keeps it. The two agree
 * in every digit whose logit leads by more than float32's rounding.
 *
 * @typedef {{cell: "RNN"|"LSTM"|"GRU", layers: number, hidden: number, embedding: number, base?: number,
 *            weights: string|Float32Array}} NetworkData  weights: those of torch's state_dict, one after the other;
 *                                                        a string is base64 of little-endian float32
 * @typedef {{back: Float64Array, into: Float64Array, bias: Float64Array, biasBack: Float64Array}} Layer
 *   matrices are [gates * hidden, inputs]
 * @typedef {{a: number, b: number, carry: number, total: number, said: number, lead: number, sure: number,
 *            state: Float64Array}} Column  carry: the one that comes in; lead: of the right logit over the best other
 */

const GATES = {RNN: 1, GRU: 3, LSTM: 4};

/** @param {number} x */
const sigmoid = x => 1 / (1 + Math.exp(-x));

/**
 * The numbers of base64 text, float32 little-endian.
 * @param {string|Float32Array} weights
 */
export function floats(weights) {
  if (typeof weights !== "string") return weights;
  return new Float32Array(Uint8Array.from(atob(weights), letter => letter.charCodeAt(0)).buffer);
}

/**
 * out[at + row] = bias[row] + matrix[row] · x; four sums side by side keep a processor busy.
 * @param {Float64Array} matrix @param {ArrayLike<number>} x @param {number} from  where x begins
 * @param {number} width @param {Float64Array} bias @param {Float64Array} out @param {number} at
 */
export function affine(matrix, x, from, width, bias, out, at = 0) {
  const whole = width - width % 4;
  for (let row = 0, w = 0; row < bias.length; row++) {
    let s0 = bias[row], s1 = 0, s2 = 0, s3 = 0, i = from;
    for (const end = from + whole; i < end; i += 4, w += 4) {
      s0 += matrix[w] * x[i];
      s1 += matrix[w + 1] * x[i + 1];
      s2 += matrix[w + 2] * x[i + 2];
      s3 += matrix[w + 3] * x[i + 3];
    }
    for (const end = from + width; i < end; i++, w++) s0 += matrix[w] * x[i];
    out[at + row] = s0 + s1 + (s2 + s3);
  }
}

export class Network {
  /** @param {NetworkData} data */
  static from(data) { return new Network(data); }

  /** @param {NetworkData} data */
  constructor(data) {
    const {cell, layers, hidden, embedding, base = 10} = data, all = floats(data.weights);
    this.data = data;
    this.cell = cell;
    this.layers = layers;
    this.hidden = hidden;
    this.base = base;
    const wide = GATES[cell] * hidden;
    let at = 0;
    /** @param {number} count */
    const take = count => Float64Array.from(all.subarray(at, at += count));
    const embed = take(base * embedding);
    /** @type {Layer[]} */
    this.stack = [];
    for (let layer = 0; layer < layers; layer++) {
      const into = take(wide * (layer ? hidden : 2 * embedding)), back = take(wide * hidden);
      const bias = take(wide), biasBack = take(wide);
      if (cell !== "GRU") bias.forEach((_, i) => { bias[i] += biasBack[i]; biasBack[i] = 0; });
      this.stack.push({into, back, bias, biasBack});
    }
    this.dense = take(base * hidden);
    this.biasDense = take(base);
    if (at !== all.length) throw new RangeError(`weights: got ${all.length} numbers, allowed are ${at}`);
    this.size = hidden * layers * (cell === "LSTM" ? 2 : 1);
    // What the first layer is given by each of the pairs of digits, a * base + b: [pairs, wide].
    this.table = new Float64Array(base * base * wide);
    const pair = new Float64Array(2 * embedding);
    for (let a = 0; a < base; a++) for (let b = 0; b < base; b++) {
      pair.set(embed.subarray(a * embedding, (a + 1) * embedding));
      pair.set(embed.subarray(b * embedding, (b + 1) * embedding), embedding);
      affine(this.stack[0].into, pair, 0, 2 * embedding, this.stack[0].bias, this.table, (a * base + b) * wide);
    }
    this.given = new Float64Array(wide);
  }

  /** The state before the first column: h of each layer [layers, hidden], then c of each where the cell is an LSTM. */
  start() { return new Float64Array(this.size); }

  /** What each layer's last state adds to its gates, [layers, wide]; shared by all pairs that may come next. */
  recall(state) {
    const wide = this.given.length, out = new Float64Array(this.layers * wide);
    this.stack.forEach((layer, l) =>
      affine(layer.back, state, l * this.hidden, this.hidden, layer.biasBack, out, l * wide));
    return out;
  }

  /**
   * One column: the state after it, the logits of its digit and the digit said. `state` is left as it was.
   * @param {Float64Array} state @param {number} a @param {number} b
   */
  step(state, a, b, recalled = this.recall(state)) {
    const {hidden, stack, base} = this, wide = this.given.length, after = new Float64Array(this.size);
    let given = this.table.subarray((a * base + b) * wide, (a * base + b + 1) * wide);
    for (let l = 0; l < stack.length; l++) {
      if (l) affine(stack[l].into, after, (l - 1) * hidden, hidden, stack[l].bias, given = this.given);
      this.#cell(given, recalled.subarray(l * wide, (l + 1) * wide), state, after, l * hidden);
    }
    const logits = new Float64Array(base);
    affine(this.dense, after, (stack.length - 1) * hidden, hidden, this.biasDense, logits);
    return {state: after, logits, said: best(logits)};
  }

  /** The equations of torch.nn.RNN, GRU and LSTM for one layer, whose h begins at `at`. */
  #cell(given, recalled, state, after, at) {
    const n = this.hidden, memory = at + this.layers * n;
    for (let i = 0; i < n; i++) {
      const gate = k => sigmoid(given[k * n + i] + recalled[k * n + i]);
      if (this.cell === "RNN") {
        after[at + i] = Math.fround(Math.tanh(given[i] + recalled[i]));
      } else if (this.cell === "GRU") {
        const fresh = Math.tanh(given[2 * n + i] + gate(0) * recalled[2 * n + i]), keep = gate(1);
        after[at + i] = Math.fround((1 - keep) * fresh + keep * state[at + i]);
      } else {
        const fresh = Math.tanh(given[2 * n + i] + recalled[2 * n + i]);
        after[memory + i] = Math.fround(gate(1) * state[memory + i] + gate(0) * fresh);
        after[at + i] = Math.fround(gate(3) * Math.tanh(after[memory + i]));
      }
    }
  }

  /**
   * a + b, two strings of digits of any length, as the network does it; one column follows for the last carry.
   * @param {string} a @param {string} b
   * @returns {{columns: Column[], said: string, total: string, wrong: number}}  columns: least significant first
   */
  add(a, b) {
    const first = digits(a), second = digits(b), columns = [];
    let state = this.start(), carry = 0, wrong = 0;
    for (let i = 0; i <= Math.max(first.length, second.length); i++) {
      const x = first[i] ?? 0, y = second[i] ?? 0, sum = x + y + carry, total = sum % this.base;
      const step = this.step(state, x, y);
      columns.push({a: x, b: y, carry, total, said: step.said, lead: lead(step.logits, total),
                    sure: sureness(step.logits), state: step.state});
      state = step.state;
      carry = sum >= this.base ? 1 : 0;
      wrong += step.said !== total ? 1 : 0;
    }
    return {columns, wrong, said: written(columns.map(c => c.said)), total: written(columns.map(c => c.total))};
  }
}

/** The place of the highest logit, the first of equals. @param {ArrayLike<number>} logits */
export function best(logits) {
  let at = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[at]) at = i;
  return at;
}

/** How far the logit at `right` leads the best other. @param {ArrayLike<number>} logits @param {number} right */
export function lead(logits, right) {
  let other = -Infinity;
  for (let i = 0; i < logits.length; i++) if (i !== right && logits[i] > other) other = logits[i];
  return logits[right] - other;
}

/** The softmax of the highest logit. @param {ArrayLike<number>} logits */
export function sureness(logits) {
  const top = logits[best(logits)];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - top);
  return 1 / sum;
}

/** A number's digits, least significant first, without leading zeros. @param {string} text */
export const digits = text => [...text.replace(/^0+(?=.)/, "")].reverse().map(Number);

/** The text of digits, least significant first, without leading zeros. @param {number[]} columns */
export const written = columns => columns.slice().reverse().join("").replace(/^0+(?=.)/, "");
