/**
 * Looks for a sum that a network gets wrong: a few at random; then a beam search, which of all sums begun keeps those
 * in which the right digit leads by least, and goes on with each by every pair of digits, a column at a time; then
 * chains of columns that sum to 9, of one pair or two by turns, in which a carry, or none, must be remembered.
 *
 * A find counts only if some other digit leads by MARGIN, far beyond what float32 rounds away: so Python's Adder.add
 * says the same wrong digits.
 *
 * @typedef {{state: Float64Array, carry: number, pairs: number[], lead: number}} Begun  pairs: a * base + b in order
 */
import {lead, Network, written} from "./network.js";
import {randomness} from "./random.js";

export const MARGIN = 0.05;

export class Search {
  /**
   * @param {{network: import("./network.js").NetworkData, seed?: number, random?: number, digits?: number,
   *          width?: number, depth?: number, temper?: number, chain?: number}} options
   *   sums at random and their digits; the beam's width, columns and how much chance has a say; columns of a chain
   */
  constructor({network, seed = 0, random = 100, digits = 10, width = 24, depth = 48, temper = 1, chain = 300}) {
    this.network = Network.from(network);
    this.digits = digits;
    this.width = width;
    this.depth = depth;
    this.temper = temper;
    this.chain = chain;
    this.left = random;  // sums at random still to be tried
    this.tried = 0;
    this.over = false;
    this.random = randomness(seed);
    /** @type {Begun[]} */
    this.begun = [{state: this.network.start(), carry: 0, pairs: [], lead: Infinity}];
    /** @type {Begun[]} */
    this.grown = [];
    this.at = 0;
    this.chains = this.allChains();
    /** @type {{a: string, b: string, said: string, total: string}|null} */
    this.found = null;
    this.last = {a: "0", b: "0"};
  }

  /** One piece of the work: a random sum, or one begun sum with each pair that may follow. */
  step() {
    if (this.left > 0) {
      this.left--;
      const number = () => written(Array.from({length: this.digits}, () => this.random.below(this.network.base)));
      this.accept(number(), number());
      this.tried++;
    } else if (this.at < this.begun.length && this.begun[this.at].pairs.length < this.depth) {
      this.grow(this.begun[this.at++]);
    } else if (this.grown.length) {
      this.keep();
    } else {
      this.over ||= this.chains.next().done;
    }
  }

  /** Tries chains, one a step: a start that carries or does not, then digits d and e by turns, each filled up to 9. */
  *allChains() {
    const {network} = this, {base} = network, nine = base - 1;
    for (let d = 0; d < base; d++) for (let e = d; e < base; e++) for (const first of [0, nine]) {
      const pairs = [first * base + first];
      let {state} = network.step(network.start(), first, first);
      for (let i = 0; i < this.chain && !this.over; i++) {
        const a = i % 2 ? d : e, step = network.step(state, a, nine - a), right = first ? 0 : nine;
        state = step.state;
        pairs.push(a * base + nine - a);
        this.tried++;
        if (lead(step.logits, right) < -MARGIN && this.accept(...this.numbers(pairs))) return;
      }
      [this.last.a, this.last.b] = this.numbers(pairs);
      yield;
    }
  }

  /** @param {Begun} sum */
  grow(sum) {
    const {network} = this, {base} = network, recalled = network.recall(sum.state);
    for (let pair = 0; pair < base * base; pair++) {
      const a = Math.floor(pair / base), b = pair % base, total = a + b + sum.carry;
      const {state, logits} = network.step(sum.state, a, b, recalled), ahead = lead(logits, total % base);
      this.tried++;
      const next = {state, carry: total >= base ? 1 : 0, pairs: [...sum.pairs, pair], lead: ahead};
      if (ahead < -MARGIN && this.accept(...this.numbers(next.pairs))) return;
      if (ahead > -MARGIN) this.grown.push(next);
    }
    [this.last.a, this.last.b] = this.numbers(sum.pairs);
  }

  /** The weakest sums go on, as many with a carry as without; of equal ones, chance decides. */
  keep() {
    const weakest = carry => this.grown.filter(sum => sum.carry === carry)
      .map(sum => ({sum, rank: sum.lead * (1 + this.temper * this.random.uniform())}))
      .sort((x, y) => x.rank - y.rank).slice(0, this.width / 2).map(({sum}) => sum);
    this.begun = [...weakest(0), ...weakest(1)];
    this.grown = [];
    this.at = 0;
  }

  /** Whether the network gets a + b wrong by MARGIN; if so it is found, and cut down to what makes it wrong. */
  accept(a, b) {
    [this.last.a, this.last.b] = [a, b];
    if (!this.fails(a, b)) return false;
    for (let cut = true; cut;) {  // without its lowest column it may still be wrong
      const shorter = [a, b].map(text => text.slice(0, -1) || "0");
      cut = a.length + b.length > 2 && this.fails(shorter[0], shorter[1]);
      if (cut) [a, b] = shorter;
    }
    const {said, total} = this.network.add(a, b);
    this.found = {a, b, said, total};
    return this.over = true;
  }

  fails(a, b) { return this.network.add(a, b).columns.some(column => column.lead < -MARGIN); }

  /** The two numbers of pairs, as text. @param {number[]} pairs @returns {[string, string]} */
  numbers(pairs) {
    const {base} = this.network;
    if (!pairs.length) return ["0", "0"];
    return [written(pairs.map(pair => Math.floor(pair / base))), written(pairs.map(pair => pair % base))];
  }

  report() { return {tried: this.tried, last: this.last, found: this.found}; }
}
