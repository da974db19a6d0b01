// How a network keeps a carry along columns that sum to 9: what a probe reads off its state, and where it drifts.

import {Network} from "./network.js";

/**
 * A network with its probe: weights that read +1 for a carry and -1 for none off its state, the constant last.
 * @typedef {{network: Network, probe: Float64Array}} Subject
 */
/** A chain of nines: the probe's reading after each column, the digit that the network says in each, and the one that
 * it would say next, had the numbers ended there.
 * @typedef {{readings: number[], said: number[], ends: number[]}} Chain */
/** Heights of the landscape at readings x, in order; the readings at which its valleys lie.
 * @typedef {{x: number[], height: number[], rests: number[]}} Landscape */

const MIXTURES = 41, COLUMNS = 30, SETTLED = 1, BINS = 32, FEWEST = 3;

/** What the probe reads. @param {Subject} subject @param {ArrayLike<number>} state */
export function read({probe}, state) {
  let sum = probe[state.length];
  for (let k = 0; k < state.length; k++) sum += probe[k] * state[k];
  return sum;
}

/**
 * Let the network add 999…9 + `first`, of 1 to `nines` nines; one column 0 + 0 follows for the last carry.
 * @param {Subject} subject @param {number} first  1: a carry runs through, 0: none does
 * @param {number} nines @returns {Chain}
 */
export function chain(subject, first, nines) {
  const {network} = subject, readings = [], said = [], ends = [];
  let state = network.start();
  for (let column = 0; column < nines; column++) {
    const step = network.step(state, 9, column ? 0 : first);
    state = step.state;
    readings.push(read(subject, state));
    said.push(step.said);
    ends.push(network.step(state, 0, 0).said);
  }
  return {readings, said, ends};
}

/** The digits of 999…9 + `first` as they come out, `nines` of them and the last carry: [digit, the right one] of each.
 * @param {Chain} found @param {number} first @param {number} nines @returns {[number, number][]} */
export function digitsOf({said, ends}, first, nines) {
  const inner = said.slice(0, nines).map(digit => /** @type {[number, number]} */ ([digit, first ? 0 : 9]));
  return [...inner, [ends[nines - 1], first]];
}

/**
 * How far one more column 9 + 0 moves the reading, from states mixed of both carries: [reading, its move] of each.
 * @param {Subject} subject @returns {[number, number][]}
 */
export function moves(subject) {
  const {network} = subject, found = [];
  const [none, carry] = [0, 1].map(first => network.step(network.start(), 9, first).state);
  for (let i = 0; i < MIXTURES; i++) {
    const share = -0.3 + 1.6 * i / (MIXTURES - 1);
    let state = none.map((entry, k) => (1 - share) * entry + share * carry[k]), before = read(subject, state);
    for (let column = 0; column < COLUMNS; column++) {
      state = network.step(state, 9, 0).state;
      const after = read(subject, state);
      if (column >= SETTLED) found.push(/** @type {[number, number]} */ ([before, after - before]));
      before = after;
    }
  }
  return found;
}

/** The moves of a chain itself: its reading after each column, the next less this one. @param {Chain} found
 * @returns {[number, number][]} */
export function steps({readings}) {
  return readings.slice(1).map((after, i) => [readings[i], after - readings[i]]);
}

/**
 * The landscape on which a ball would roll as the readings drift: its slope is the mean move, downhill.
 * @param {[number, number][]} found  what `moves` gives
 * @param {[number, number][]} shown  `steps` of the chains to be shown on it, so that it reaches as far as they do
 * @returns {Landscape}
 */
export function landscape(found, shown = []) {
  const readings = found.map(([x]) => x), low = Math.min(...readings), high = Math.max(...readings);
  const sums = Array.from({length: BINS}, () => [0, 0]), width = (high - low) / BINS || 1;
  for (const [x, move] of found) {
    const bin = sums[Math.min(BINS - 1, Math.floor((x - low) / width))];
    bin[0] += move;
    bin[1]++;
  }
  const filled = sums.map(([sum, count], i) => ({x: low + (i + 0.5) * width, move: sum / count, count}))
    .filter(bin => bin.count >= FEWEST);
  const outer = shown.map(([x, move]) => ({x, move, count: 1})).sort((one, two) => one.x - two.x);
  if (outer.length && outer[0].x < filled[0].x) filled.unshift(outer[0]);
  if (outer.length && outer[outer.length - 1].x > filled[filled.length - 1].x) filled.push(outer[outer.length - 1]);
  const x = filled.map(bin => bin.x), height = [0], rests = [];
  if (filled[0].move <= 0) rests.push(x[0]);
  for (let i = 1; i < filled.length; i++) {
    const [one, two] = [filled[i - 1], filled[i]];
    height.push(height[i - 1] - (one.move + two.move) / 2 * (two.x - one.x));
    if (one.move > 0 && two.move <= 0) rests.push(one.x + (two.x - one.x) * one.move / (one.move - two.move));
  }
  const last = filled.length - 1;
  if (filled[last].move > 0) rests.push(x[last]);
  return {x, height, rests};
}
