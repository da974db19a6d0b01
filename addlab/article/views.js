// What is drawn of the two-unit adder: the plane of its state, its latch, its ten parabolas, and the 300 cases.

import {svg} from "./dom.js";
import {curve, dot, linear, words} from "./plot.js";
import {height} from "./small.js";

/** @typedef {import("./intervals.js").Model} Model */
/** @typedef {import("./intervals.js").Verdict} Verdict */
/** @typedef {import("./small.js").Terms} Terms */
/** Where the picture stands, on its way from column to column: the latch, the sum it sees, the line's place, the state.
 * @typedef {{latch: number, seen: number, x: number, u: [number, number]}} Pose */

export const PAINT = ["var(--no-carry)", "var(--carry)"];
const FAINT = {class: "faint"}, DEPTH = 62, HIGHEST = 16;

/** The state U h on its plane, where it has been, and both boxes. @param {Terms} terms @param {Verdict} verdict
 * @param {[number, number][]} trail @param {Pose} pose @param {number} width */
export function plane(terms, verdict, trail, pose, width) {
  const axes = [terms.latch, terms.line], reach = axes.map((unit, k) => 1.3 * Math.max(...[0, 1].flatMap(carry =>
    verdict.boxes[carry][unit].map(Math.abs)), ...trail.map(at => Math.abs(at[k])), k ? 0.09 : 4.2));
  const x = linear(-reach[0], reach[0], 4, width - 4), y = linear(-reach[1], reach[1], 186, 6);
  const marks = [curve([[x(0), 6], [x(0), 186]], {stroke: "var(--line)"}), curve([[4, y(0)], [width - 4, y(0)]], {stroke: "var(--line)"})];
  for (const carry of [0, 1]) {
    const [across, up] = axes.map(unit => verdict.boxes[carry][unit]), above = up[0] + up[1] > 0;
    const left = x(across[0]), wide = Math.max(3, x(across[1]) - left), top = y(up[1]), tall = Math.max(3, y(up[0]) - top);
    marks.push(svg("rect", {x: left, y: top, width: wide, height: tall, fill: PAINT[carry], "fill-opacity": 0.14,
                            stroke: verdict.proved ? PAINT[carry] : "var(--wrong)", "stroke-width": 1.5,
                            "stroke-dasharray": verdict.proved ? null : "4 3"}),
               words(Math.max(32, Math.min(width - 32, left + wide / 2)), above ? top - 7 : top + tall + 16, ["no carry", "carry"][carry],
                     {"text-anchor": "middle", style: `fill: ${PAINT[carry]}`}));
  }
  const spots = trail.map(([across, up]) => /** @type {[number, number]} */ ([x(across), y(up)]));
  const here = /** @type {[number, number]} */ ([x(pose.u[0]), y(pose.u[1])]);
  marks.push(curve([...spots.slice(-1), here], {stroke: "var(--faint)", "stroke-dasharray": "2 3"}),
             ...spots.map(spot => dot(spot, 2.5, {fill: "var(--faint)"})), dot(here, 6, {stroke: "var(--paper)", "stroke-width": 2}),
             words(4, 204, "← latch open", FAINT), words(width - 4, 204, "latch closed →", {...FAINT, "text-anchor": "end"}));
  return marks;
}

/** The latch: what it puts out for each sum that it sees. @param {Terms} terms @param {number} flip  where it flips
 * @param {Pose} pose @param {number} width */
export function latch(terms, flip, pose, width) {
  const x = linear(-1, 19.5, 4, width - 4), y = linear(-1, 1, 168, 28);
  const points = Array.from({length: 411}, (_, i) => /** @type {[number, number]} */ ([x(i / 20 - 1), y(Math.tanh(terms.perSum * (i / 20 - 1 - flip)))]));
  const side = pose.latch > 0 ? 1 : 0, seen = Math.max(-1, Math.min(19.5, pose.seen));
  return [
    svg("rect", {x: x(9), y: 20, width: x(10) - x(9), height: 156, fill: "var(--shade)"}),
    curve(points, {stroke: "var(--faint)", "stroke-width": 2}),
    curve([[x(seen), 176], [x(seen), y(pose.latch)]], {stroke: PAINT[side], "stroke-dasharray": "2 3"}),
    dot([x(seen), y(pose.latch)], 6, {fill: PAINT[side], stroke: "var(--paper)", "stroke-width": 2}),
    words(x(-1), y(1) - 10, "closed: a carry goes on", FAINT), words(x(19.5), y(-1) - 10, "open: none", {...FAINT, "text-anchor": "end"}),
    ...[0, 9, 10, 18].map(sum => words(x(sum) + (sum === 9 ? -3 : sum === 10 ? 3 : 0), 190, String(sum),
                                       {...FAINT, "text-anchor": sum === 9 ? "end" : sum === 10 ? "start" : "middle"})),
    words(width / 2, 206, "the sum it sees", {...FAINT, "text-anchor": "middle"})];
}

/** Ten parabolas, a digit each, over what the line unit reads; the one on top is what the network says.
 * @param {Model} net @param {Terms} terms @param {Pose} pose @param {number} width */
export function parabolas(net, terms, pose, width) {
  const x = linear(-1.2, 21.5, 6, width - 6), y = linear(-DEPTH, HIGHEST, 196, 22), span = Math.sqrt(DEPTH / terms.curvature) + 1.5;
  const heights = Array.from({length: 10}, (_, d) => height(net, terms, d, pose.x, pose.latch));
  const said = heights.indexOf(Math.max(...heights)), paint = PAINT[pose.latch > 0 ? 1 : 0], marks = [], tops = [];
  for (let d = 0; d < 10; d++) {
    const middle = d + terms.shift * (pose.latch + 1) / 2, points = [];
    for (let at = middle - span; at <= middle + span; at += 0.125) {
      const high = height(net, terms, d, at, pose.latch);
      if (high > -DEPTH && high < HIGHEST * 2 && at > -1.2 && at < 21.5) points.push(/** @type {[number, number]} */ ([x(at), y(high)]));
    }
    const best = d === said;
    if (points.length) marks[best ? "push" : "unshift"](curve(points, best ? {stroke: paint, "stroke-width": 3} : {stroke: "var(--faint)", "stroke-opacity": 0.55}));
    const top = points.reduce((one, two) => two[1] < one[1] ? two : one, points[0] ?? [0, 0]);
    if (points.length) tops.push(words(top[0], top[1] - 6, String(d), {"text-anchor": "middle", class: best ? "" : "faint", style: best ? `fill: ${paint}; font-weight: 700` : ""}));
  }
  const spot = /** @type {[number, number]} */ ([x(Math.max(-1.2, Math.min(21.5, pose.x))), Math.max(6, Math.min(196, y(heights[said])))]);
  return [curve([[6, 197], [width - 6, 197]], {stroke: "var(--line)"}), ...marks, ...tops,
          curve([[spot[0], 204], spot], {stroke: "var(--ink)", "stroke-dasharray": "2 3"}),
          dot(spot, 6, {fill: paint, stroke: "var(--paper)", "stroke-width": 2}),
          words(6, 222, "0", FAINT), words(width / 2, 222, "what the line unit reads", {...FAINT, "text-anchor": "middle"}),
          words(width - 6, 222, "20", {...FAINT, "text-anchor": "end"})];
}

/** How the three tables of cases are laid out. @param {number} width */
function tables(width) {
  const gap = width < 500 ? 14 : 40;
  return {gap, cell: Math.min(22, (width - 2 * gap) / 30)};
}
/** @param {number} width */
export const casesHeight = width => 10 * tables(width).cell + 42;

/** The 300 cases: from the start, after no carry, after a carry; darker, the surer. `now` is the case of this column.
 * @param {Verdict} verdict @param {number} now @param {number} width */
export function cases(verdict, now, width) {
  const {gap, cell} = tables(width), bottom = 10 * cell + 36, marks = [];
  const most = Math.max(1, ...verdict.cases.map(one => one.lead));
  const at = ({origin, a, b}) => ({x: origin * (10 * cell + gap) + b * cell, y: 22 + (9 - a) * cell});
  for (const one of verdict.cases) {
    const sure = 0.12 + 0.5 * Math.sqrt(Math.max(0, one.lead) / most);
    marks.push(svg("rect", {...at(one), width: cell - 1, height: cell - 1, class: one.holds ? "case" : "case broken",
                            fill: one.holds ? "var(--ink)" : "var(--wrong)",
                            "fill-opacity": one.holds ? sure.toFixed(2) : 1}));
  }
  const names = width < 500 ? ["start", "no carry", "carry"] : ["from the start", "after no carry", "after a carry"];
  names.forEach((name, i) => {
    const left = i * (10 * cell + gap);
    marks.push(words(left, 14, name, FAINT), words(left, bottom, "second digit →", FAINT));
  });
  if (now >= 0) {
    const {x, y} = at(verdict.cases[now]);
    marks.push(svg("rect", {x: x - 1.5, y: y - 1.5, width: cell + 2, height: cell + 2, fill: "none",
                            stroke: "var(--carry)", "stroke-width": 2.5}));
  }
  return marks;
}
