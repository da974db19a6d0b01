// What is drawn of the two-unit adder: the plane of its state, its latch, its ten parabolas, and the 300 cases.

import {svg} from "./dom.js";
import {ball, clamp, curve, dashed, linear, PAINT, rule, words} from "./plot.js";
import {height} from "./small.js";

/** @typedef {import("./intervals.js").Model} Model */
/** @typedef {import("./intervals.js").Verdict} Verdict */
/** @typedef {import("./small.js").Terms} Terms */
/** @typedef {import("./plot.js").Point} Point */
/** Where the picture stands, on its way from column to column: the latch's output, the sum it sees, the line's place
 * among the parabolas, the state on its plane.
 * @typedef {{latch: number, seen: number, x: number, u: Point}} Pose */

const NAMES = ["no carry", "carry"];
const DEPTH = 62, HIGHEST = 16;  // logits below and above a parabola's top that are shown
const LEAST = -1.2, MOST = 21.5; // places among the parabolas

/** The state U h on its plane, where it has been, and both boxes; where they do not hold, those that did, in outline.
 * @param {Terms} terms @param {Verdict} verdict @param {import("./intervals.js").Interval[][]} held
 * @param {Point[]} trail @param {Pose} pose @param {number} width */
export function plane({latch, line}, {boxes, proved}, held, trail, pose, width) {
  const reach = [latch, line].map((unit, axis) => {
    const ends = [...boxes, ...held].flatMap(box => box[unit].map(Math.abs)), past = trail.map(at => Math.abs(at[axis]));
    return 1.3 * Math.max(...ends, ...past, [4.2, 0.09][axis]);
  });
  const x = linear(-reach[0], reach[0], 4, width - 4), y = linear(-reach[1], reach[1], 186, 6);
  const marks = [rule([x(0), 6], [x(0), 186]), rule([4, y(0)], [width - 4, y(0)])];
  if (!proved) held.forEach(box => {
    const [left, right] = box[latch].map(x), [bottom, top] = box[line].map(y);
    marks.push(svg("rect", {x: left, y: top, width: right - left, height: bottom - top, fill: "none",
                            stroke: "var(--faint)", "stroke-dasharray": "2 3"}));
  });
  boxes.forEach((box, carry) => {
    const [left, right] = box[latch].map(x), [bottom, top] = box[line].map(y);
    const frames = (proved ? [box] : [box, held[carry]]).map(one => one[line].map(y));
    const [low, high] = [Math.max(...frames.map(one => one[0])), Math.min(...frames.map(one => one[1]))];
    const below = top > y(0), middle = clamp((left + right) / 2, 32, width - 32);
    marks.push(
      svg("rect", {x: left, y: top, width: Math.max(3, right - left), height: Math.max(3, bottom - top),
                   fill: PAINT[carry], "fill-opacity": 0.14, "stroke-width": 1.5,
                   stroke: proved ? PAINT[carry] : "var(--wrong)", "stroke-dasharray": proved ? null : "4 3"}),
      words(middle, below ? low + 16 : high - 7, NAMES[carry], "middle", PAINT[carry]));
  });
  const spots = trail.map(([across, up]) => /** @type {Point} */ ([x(across), y(up)]));
  const here = /** @type {Point} */ ([x(pose.u[0]), y(pose.u[1])]);
  if (spots.length) marks.push(dashed(spots[spots.length - 1], here, "var(--faint)"));
  return [...marks, ...spots.map(spot => ball(spot, "var(--faint)", 3)), ball(here, "var(--ink)"),
          words(4, 204, "← latch down"), words(width - 4, 204, "latch up →", "end")];
}

/** The latch: what it puts out for each sum that it sees.
 * @param {Terms} terms @param {{flip: number, memory: number}} knobs  where it flips, what a carry adds to its sum
 * @param {Pose} pose @param {number} width */
export function latch({perSum}, {flip, memory}, pose, width) {
  const x = linear(-1, 19.5, 4, width - 4), y = linear(-1, 1, 168, 28);
  const sums = Array.from({length: 411}, (_, i) => i / 20 - 1);
  const bend = sums.map(sum => /** @type {Point} */ ([x(sum), y(Math.tanh(perSum * (sum - flip)))]));
  const paint = PAINT[Number(pose.latch > 0)], at = x(clamp(pose.seen, -1, 19.5));
  return [
    svg("rect", {x: x(9), y: 20, width: x(10) - x(9), height: 156, fill: "var(--shade)"}),
    curve(bend, {stroke: "var(--faint)", "stroke-width": 2}),
    dashed([at, 176], [at, y(pose.latch)], paint), ball([at, y(pose.latch)], paint),
    words(x(-1), y(1) - 10, "up: carry"), words(x(19.5), y(-1) - 10, "down: no carry", "end"),
    words(x(0), 190, "0", "middle"), words(x(9) - 3, 190, "9", "end"), words(x(10) + 3, 190, "10"),
    words(x(18), 190, "18", "middle"), words(width / 2, 206, `the sum it sees (carry +${memory.toFixed(2)}, none −${memory.toFixed(2)})`, "middle")];
}

/** Ten parabolas, a digit each, over what the line unit reads; the one on top is what the network says.
 * @param {Model} net @param {Terms} terms @param {Pose} pose @param {boolean} speaks  false before the first column
 * @param {number} width */
export function parabolas(net, terms, pose, speaks, width) {
  const x = linear(LEAST, MOST, 6, width - 6), y = linear(-DEPTH, HIGHEST, 196, 22);
  const digits = [...Array(10).keys()], here = digits.map(digit => height(net, terms, digit, pose.x, pose.latch));
  const said = here.indexOf(Math.max(...here)), paint = PAINT[Number(pose.latch > 0)];
  const others = [], best = [];
  for (const digit of digits) {
    const points = parabola(net, terms, digit, pose.latch).map(([at, high]) => /** @type {Point} */ ([x(at), y(high)]));
    if (!points.length) continue;
    const [left, top] = points.reduce((one, two) => two[1] < one[1] ? two : one);
    if (speaks && digit === said) {
      best.push(curve(points, {stroke: paint, "stroke-width": 3}),
                words(left, top - 6, String(digit), "middle", paint, "bold"));
    } else {
      others.push(curve(points, {stroke: "var(--faint)", "stroke-opacity": 0.55}),
                  words(left, top - 6, String(digit), "middle"));
    }
  }
  const spot = /** @type {Point} */ ([x(clamp(pose.x, LEAST, MOST)), clamp(y(here[said]), 6, 196)]);
  if (speaks) best.push(dashed([spot[0], 204], spot, "var(--ink)"), ball(spot, paint));
  return [rule([6, 197], [width - 6, 197]), ...others, ...best, words(x(0), 222, "0", "middle"),
          words(x(10), 222, "what unit 2 measures", "middle"), words(x(20), 222, "20", "middle")];
}

/** Points of a digit's parabola, as far as they are shown.
 * @param {Model} net @param {Terms} terms @param {number} digit @param {number} output  the latch's */
function parabola(net, terms, digit, output) {
  const middle = digit + terms.shift * (output + 1) / 2, reach = Math.sqrt(DEPTH / terms.curvature) + 1.5;
  /** @type {Point[]} */
  const points = [];
  for (let at = Math.max(LEAST, middle - reach); at <= Math.min(MOST, middle + reach); at += 0.125) {
    const high = height(net, terms, digit, at, output);
    if (high > -DEPTH && high < 2 * HIGHEST) points.push([at, high]);
  }
  return points;
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
  const {gap, cell} = tables(width), most = Math.max(1, ...verdict.cases.map(one => one.lead));
  const names = width < 500 ? ["start", "no carry", "carry"] : ["from the start", "after no carry", "after a carry"];
  const place = ({origin, a, b}) => ({x: origin * (10 * cell + gap) + b * cell, y: 22 + a * cell});
  const marks = verdict.cases.map(one => {
    const sure = 0.12 + 0.5 * Math.sqrt(Math.max(0, one.lead) / most);
    const look = one.holds ? {class: "case", fill: "var(--ink)", "fill-opacity": sure.toFixed(2)}
      : {class: "case broken", fill: "var(--wrong)"};
    return svg("rect", {...place(one), width: cell - 1, height: cell - 1, ...look});
  });
  names.forEach((name, origin) => {
    const left = origin * (10 * cell + gap);
    marks.push(words(left, 14, name), words(left, 10 * cell + 36, "second digit →"));
  });
  if (now >= 0) {
    const {x, y} = place(verdict.cases[now]), size = cell + 2;
    marks.push(svg("rect", {x: x - 1.5, y: y - 1.5, width: size, height: size, fill: "none", stroke: "var(--carry)",
                            "stroke-width": 2.5}));
  }
  return marks;
}
