// The carry fades: a slider of nines, what a probe reads off two states, and the landscape in which both drift.

import {announce, choice, element, frame, slider, svg} from "./dom.js";
import {chain, digitsOf, landscape, moves} from "./drift.js";
import {Network} from "./network.js";
import {between, chart, curve, dot, glide, linear, words} from "./plot.js";

/** @typedef {import("./network.js").NetworkData & {seed: number, probe: number[]}} Trained */
/** @typedef {{kinds: {name: string, networks: Trained[]}[]}} Data */

const MOST = 60, NAMES = ["no carry", "carry"], PAINT = ["var(--no-carry)", "var(--carry)"];
const REACH = 1.35;  // of the probe's axis

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, data) {
  const body = frame(root, {name: "fade", question: "How long does a carry last?",
    hint: "Drag the nines. Then choose another training, or another seed."});
  /** @type {Study[][]} */
  const studies = [];
  const group = () => studies[kind] ??= data.kinds[kind].networks.map(study), shown = () => group()[place];
  const telling = () => Math.max(0, group().findIndex(one => one.wrongFrom < Infinity));
  let kind = 0, nines = 8, place = telling();
  const now = [0, 0];
  const balls = glide([0, 0], values => { now.splice(0, 2, ...values); valley.redraw(); }, 0.3);

  const sums = element("div", {class: "sums digits"}), verdict = element("p", {class: "verdict"});
  const seeds = element("div", {class: "seeds"});
  const paths = chart("What a probe reads off the state after each nine, with a carry and without", 250,
                      width => drawPaths(shown(), nines, width));
  const valley = chart("The landscape of drift, with a ball for each of the two states", 250,
                       width => drawValley(shown().land, now, width));
  const training = choice({label: "Training", value: "0", options: data.kinds.map(({name}, i) => [String(i), name]),
    onchange: value => { kind = Number(value); place = telling(); listSeeds(); show(true); }});
  const knob = slider({label: "Nines", min: 1, max: MOST, value: nines,
                       oninput: value => { nines = value; show(false); }});
  body.append(
    element("div", {class: "row"}, training.root, seeds),
    element("div", {class: "row wide"}, knob.root), sums,
    element("div", {class: "pair"},
      element("figure", {}, element("figcaption", {}, "What a probe reads off the state, nine after nine"), paths.root),
      element("figure", {}, element("figcaption", {}, "Where one more nine takes it: downhill"), valley.root)),
    verdict, element("p", {class: "note"}, "The two sums differ in their first column alone. Below the curves: each digit "
      + "the network says, red where it is wrong. The landscape’s slope is the mean move of states mixed from both."));
  const say = announce(body);

  function listSeeds() {
    const options = data.kinds[kind].networks.map(({seed}, i) => /** @type {[string, string]} */ ([String(i), String(seed)]));
    seeds.replaceChildren(choice({label: "Seed", value: String(place), options,
      onchange: value => { place = Number(value); show(true); }}).root);
  }

  /** @param {boolean} anew  another network: no motion from the old one's places */
  function show(anew) {
    const one = shown(), target = one.chains.map(({readings}) => readings[nines - 1]);
    const said = [1, 0].map(first => answer(digitsOf(one.chains[first], first, nines), first));
    if (anew) balls.jump(target);
    else balls.send(target);
    paths.redraw();
    sums.replaceChildren(...said.map(({line}) => line));
    verdict.replaceChildren(...outcome(one, group(), data.kinds[kind].name));
    say(`${nines} nines. ${said.map(({text}) => text).join(" ")}`);
  }
  listSeeds();
  show(true);
  return {destroy() { balls.destroy(); paths.destroy(); valley.destroy(); root.replaceChildren(); }};
}

/** All that is shown of a network: both chains, the fewest nines of a wrong sum, the landscape.
 * @param {Trained} data */
function study(data) {
  const subject = {network: Network.from(data), probe: Float64Array.from(data.probe)};
  const chains = [0, 1].map(first => chain(subject, first, MOST));
  let wrongFrom = 1, land = null;
  const right = nines => [0, 1].every(first => digitsOf(chains[first], first, nines).every(([said, true_]) => said === true_));
  while (wrongFrom <= MOST && right(wrongFrom)) wrongFrom++;
  return {chains, wrongFrom: wrongFrom > MOST ? Infinity : wrongFrom, get land() { return land ??= landscape(moves(subject)); }};
}

/** @typedef {ReturnType<typeof study>} Study */

/** One sum as a line, top digits first, and in words.
 * @param {[number, number][]} columns @param {number} first */
function answer(columns, first) {
  const nines = columns.length - 1, digits = columns.map(([digit, right]) => ({digit, wrong: digit !== right}));
  if (!digits[nines].digit && !digits[nines].wrong) digits.pop();
  digits.reverse();
  const marks = digits.map(({digit, wrong}) => element("span", wrong ? {class: "bad"} : {}, String(digit)));
  const kept = marks.length > 14 ? [...marks.slice(0, 8), element("span", {class: "gap"}, "…"), ...marks.slice(-4)] : marks;
  const wrong = digits.filter(one => one.wrong).length, number = nines > 6 ? "999…9" : "9".repeat(nines);
  const line = element("div", {}, element("span", {class: first ? "carried" : "uncarried"}, `${number} + ${first}`),
                       element("span", {}, "="), element("span", {class: "said"}, ...kept),
                       element("span", {class: wrong ? "bad" : "good"}, wrong ? `${wrong} wrong` : "right"));
  return {line, text: `9 repeated, plus ${first}: ${wrong ? `${wrong} digits wrong` : "right"}.`};
}

/** @param {Study} one @param {Study[]} group @param {string} name */
function outcome(one, group, name) {
  const lost = group.filter(({wrongFrom}) => wrongFrom < Infinity).length, rests = one.land.rests.length;
  const here = rests > 1 ? "Two valleys: the carry has a place to stay." : "One valley: both states end in the same place, "
    + "and which it was is forgotten.";
  const fate = one.wrongFrom < Infinity ? ` The first wrong sum has ${one.wrongFrom} nines.`
    : ` No sum of up to ${MOST} nines is wrong.`;
  return [element("strong", {}, here), fate, ` ${name[0].toUpperCase()}${name.slice(1)}: ${lost} of ${group.length} `
    + `networks go wrong within ${MOST} nines.`];
}

/** @param {Study} one @param {number} nines @param {number} width */
function drawPaths(one, nines, width) {
  const x = linear(1, MOST, 62, width - 10), y = linear(REACH, -REACH, 8, 178), side = (x(2) - x(1)) * 0.72;
  const marks = [[1, "carry"], [0, "unsure"], [-1, "no carry"]].map(([value, name]) => svg("g", {class: "faint"},
    curve([[x(1), y(value)], [x(MOST), y(value)]], {stroke: "var(--line)", "stroke-width": 1}),
    words(54, y(value) + 4, name, {"text-anchor": "end"})));
  for (const first of [0, 1]) {
    const points = one.chains[first].readings.slice(0, nines).map((reading, i) => /** @type {[number, number]} */ ([x(i + 1), y(reading)]));
    marks.push(curve(points, {stroke: PAINT[first], "stroke-width": 2.5}), dot(points[nines - 1], 5, {fill: PAINT[first]}));
    const top = first ? 194 : 210;
    marks.push(words(54, top + 8, `+ ${first}`, {"text-anchor": "end", fill: PAINT[first], style: `fill: ${PAINT[first]}`}));
    digitsOf(one.chains[first], first, nines).forEach(([digit, right], column) => marks.push(
      svg("rect", {x: x(column + 1) - side / 2, y: top, width: side, height: 9,
                   fill: digit === right ? "var(--line)" : "var(--wrong)"})));
  }
  for (const tick of [1, 20, 40, 60]) marks.push(words(x(tick), 240, String(tick), {"text-anchor": "middle", class: "faint"}));
  marks.push(words(54, 240, "nines", {"text-anchor": "end", class: "faint"}));
  return marks;
}

/** @param {import("./drift.js").Landscape} land @param {number[]} readings @param {number} width */
function drawValley({x: xs, height, rests}, readings, width) {
  const x = linear(-REACH, REACH, 12, width - 12), low = Math.min(...height), high = Math.max(...height);
  const y = linear(low, high, 190, 52), at = reading => y(between(xs, height, reading));
  const ground = xs.map((value, i) => /** @type {[number, number]} */ ([x(value), y(height[i])]));
  const marks = [curve([...ground, [ground[ground.length - 1][0], 212], [ground[0][0], 212]],
                       {stroke: "none", fill: "var(--shade)"}), curve(ground, {stroke: "var(--faint)", "stroke-width": 2})];
  for (const rest of rests) marks.push(svg("path", {d: `M${x(rest)} ${at(rest) + 7}l5 8h-10z`, fill: "var(--faint)"}));
  for (const first of [0, 1]) {
    const spot = /** @type {[number, number]} */ ([x(readings[first]), at(readings[first]) - 9]);
    marks.push(dot(spot, 8, {fill: PAINT[first], stroke: "var(--paper)", "stroke-width": 2}));
    if (Math.abs(x(readings[0]) - x(readings[1])) > 70 || first) {
      const near = Math.abs(x(readings[0]) - x(readings[1])) <= 70;
      marks.push(words(spot[0], Math.min(spot[1], at(readings[0]) - 9) - 16, near ? "both" : NAMES[first],
                       {"text-anchor": "middle", style: near ? "" : `fill: ${PAINT[first]}`}));
    }
  }
  for (const [value, name] of [[-1, "reads no carry"], [1, "reads carry"]]) {
    marks.push(words(x(value), 240, name, {"text-anchor": "middle", class: "faint"}),
               curve([[x(value), 216], [x(value), 224]], {stroke: "var(--faint)"}));
  }
  return marks;
}
