/**
 * A network of one RNN layer as a finite machine: its state is rounded to -1, 0 or 1 after each column, and the digit
 * is read from the rounded state. Every state that any sum can reach is visited, breadth first, and the digit said for
 * every pair that may come next is checked: where that ends, the network is right at every length.
 *
 * With rounding, no tanh is left: a unit is 1 where its sum is above atanh(1/2), -1 where it is below minus that. What
 * remains is sums of doubles in one order, so the result is the same in every browser, bit for bit.
 */
import {affine, best, digits, Network, written} from "./network.js";

const HALF = Math.atanh(0.5);
const GROUP = 8;  // units in a letter of a key: 3**8 states
export const LIMIT = 60000;  // states after which no end is in sight

export class Rounded {
  /** @param {import("./network.js").NetworkData} data */
  constructor(data) {
    const {cell, layers} = data;
    if (cell !== "RNN" || layers !== 1)
      throw new RangeError(`network: got ${layers} ${cell} layers, allowed is 1 RNN layer`);
    this.network = Network.from(data);
    this.recalled = new Float64Array(this.network.hidden);
    this.logits = new Float64Array(this.network.base);
  }

  start() { return new Int8Array(this.network.hidden); }

  /** What a state gives to the next column, whatever its digits. @param {Int8Array} state */
  recall(state) {
    const {stack: [{back, biasBack}], hidden} = this.network;
    affine(back, state, 0, hidden, biasBack, this.recalled);
  }

  /** Reads pair a * base + b from the state recalled last: writes the state after it, returns the digit said. */
  read(pair, after) {
    const {table, hidden, dense, biasDense} = this.network;
    for (let i = 0, at = pair * hidden; i < hidden; i++, at++) {
      const sum = table[at] + this.recalled[i];
      after[i] = sum > HALF ? 1 : sum < -HALF ? -1 : 0;
    }
    affine(dense, after, 0, hidden, biasDense, this.logits);
    return best(this.logits);
  }

  /** a + b, two strings of digits. @returns {{said: string, total: string, wrong: number}} */
  add(a, b) {
    const [first, second] = [a, b].map(digits), {base} = this.network, state = this.start(), said = [], total = [];
    let carry = 0, wrong = 0;
    for (let i = 0; i <= Math.max(first.length, second.length); i++) {
      const x = first[i] ?? 0, y = second[i] ?? 0, sum = x + y + carry;
      this.recall(state);
      said.push(this.read(x * base + y, state));
      total.push(sum % base);
      carry = sum >= base ? 1 : 0;
      wrong += said[i] === total[i] ? 0 : 1;
    }
    return {said: written(said), total: written(total), wrong};
  }
}

export class Closing {
  /** @param {{network: import("./network.js").NetworkData}} options */
  constructor({network}) {
    this.machine = new Rounded(network);
    this.base = this.machine.network.base;
    /** @type {Set<string>} */
    this.keys = new Set();
    /** @type {{state: Int8Array, carry: number, parent: number, pair: number}[]} */
    this.states = [];
    this.checked = 0;
    this.wrong = 0;  // pairs after which a wrong digit is said
    /** @type {{a: string, b: string, said: string, total: string}|null} */
    this.shortest = null;
    this.after = this.machine.start();
    this.add(this.after, 0, -1, -1);
  }

  /** Remembers a state that is new. */
  add(state, carry, parent, pair) {
    let key = String.fromCharCode(carry);
    for (let i = 0; i < state.length; i += GROUP) {
      let code = 0;
      for (let j = i; j < i + GROUP && j < state.length; j++) code = 3 * code + state[j] + 1;
      key += String.fromCharCode(code);
    }
    if (this.keys.has(key)) return;
    this.keys.add(key);
    this.states.push({state: state.slice(), carry, parent, pair});
  }

  get closed() { return this.checked === this.states.length; }
  get over() { return this.closed || this.states.length > LIMIT || this.shortest !== null; }

  /** Checks the next state with every pair of digits that may follow. */
  step() {
    const {machine, base, after} = this, place = this.checked++, {state, carry} = this.states[place];
    machine.recall(state);
    for (let pair = 0; pair < base * base; pair++) {
      const said = machine.read(pair, after), total = Math.floor(pair / base) + pair % base + carry;
      if (said !== total % base) {
        this.wrong++;
        this.shortest ??= this.sum(place, pair);
      }
      this.add(after, total >= base ? 1 : 0, place, pair);
    }
  }

  /** The sum that leads to a state, and one pair more: as it is written, leading zeros and all. */
  sum(place, pair) {
    const pairs = [pair];
    for (let at = place; this.states[at].parent >= 0; at = this.states[at].parent) pairs.push(this.states[at].pair);
    const a = pairs.map(pair => Math.floor(pair / this.base)).join("");
    const b = pairs.map(pair => pair % this.base).join("");
    return {a, b, ...this.machine.add(a, b)};
  }

  report() {
    const {checked, closed, wrong, shortest, base} = this, states = this.states.length;
    return {states, checked, steps: checked * base * base, closed, wrong, shortest};
  }
}
