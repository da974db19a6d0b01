// The carry fades: a slider of nines, what a probe reads off two states, and the landscape in which both drift.

import {announce, choice, element, frame, slider, svg} from "./dom.js";
import {chain, digitsOf, landscape, moves, steps} from "./drift.js";
import {Network} from "./network.js";
import {ball, between, chart, curve, glide, linear, PAINT, rule, soon, words} from "./plot.js";

/** @typedef {import("./network.js").NetworkData & {seed: number, probe: number[]}} Trained */
/** @typedef {{kinds: {name: string, networks: Trained[]}[]}} Data */
/** @typedef {ReturnType<typeof study>} Study */

const MOST = 60;                 // nines
const REACH = 1.35;              // of the probe's axis
const NEAR = 70;                 // px between two balls that still have names of their own
const ASIDE = 30;                // px from a ball within which the hill would cross its name
const NAMES = ["no carry", "carry"];

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, data) {
  const body = frame(root, {name: "fade", question: "How long does a carry last?",
    hint: "Move the slider to take nines away or to add some. Then choose another training, or another seed (random "
      + "start)."});
  let destroy = soon(() => { destroy = fill(body, data); });
  return {destroy() {
    destroy();
    root.replaceChildren();
  }};
}

/** Fill the frame; returns what undoes it. @param {HTMLElement} body @param {Data} data */
function fill(body, data) {
  /** @type {Study[][]} */
  const studies = [];
  let kind = 0, place = telling(), nines = Math.min(MOST, shown().wrongFrom);
  const readings = [0, 0];

  const sums = element("div", {class: "answers digits"}), verdict = element("p", {class: "verdict"});
  const seeds = element("div", {class: "seeds"});
  const paths = chart("What a probe reads off the state after each nine, with a carry and without", () => 246,
                      width => drawPaths(shown(), nines, width));
  const valley = chart("The landscape of drift, with a ball for each of the two states", () => 246,
                       width => drawValley(shown().land, readings, width));
  const balls = glide(readings, values => { readings.splice(0, 2, ...values); valley.redraw(); }, 0.3);
  const training = choice({label: "Training", value: "0", options: data.kinds.map(({name}, i) => pair(String(i), name)),
    onchange: value => { kind = Number(value); place = telling(); listSeeds(); show(true); }});
  const knob = slider({label: "Nines", min: 1, max: MOST, value: nines,
                       oninput: value => { nines = value; show(false); }});
  body.append(
    element("div", {class: "row"}, training.root, seeds), element("div", {class: "row wide"}, knob.root), sums,
    element("div", {class: "pair"},
      element("figure", {}, element("figcaption", {}, "How clearly the state shows the carry, nine after nine"), paths.root),
      element("figure", {}, element("figcaption", {}, "Each further nine moves the state downhill"), valley.root)),
    verdict,
    element("p", {class: "note"}, "The networks have one layer and were trained for 1000 batches, those with noise for "
      + "4000. The two sums differ in the ones column alone. The "
      + "curves show a weighted sum of the state’s numbers, fitted to be 1 for a carry and −1 for none. Below them: each "
      + "digit that the network says, red where it is wrong. The steeper the landscape, the farther a nine "
      + "moves the state. Along a long straight piece no state was measured."));
  const say = announce(body);

  function group() { return studies[kind] ??= data.kinds[kind].networks.map(study); }
  function shown() { return group()[place]; }

  /** The first network of its kind that goes wrong, or the first. */
  function telling() { return Math.max(0, group().findIndex(one => one.wrongFrom <= MOST)); }

  function listSeeds() {
    const options = data.kinds[kind].networks.map(({seed}, i) => pair(String(i), String(seed)));
    seeds.replaceChildren(choice({label: "Seed", value: String(place), options,
                                  onchange: value => { place = Number(value); show(true); }}).root);
  }

  /** @param {boolean} anew  another network: no motion from the old one's places */
  function show(anew) {
    const one = shown(), target = one.chains.map(chain => chain.readings[nines - 1]);
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
  return () => { for (const part of [balls, paths, valley]) part.destroy(); };
}

/** @template A, B @param {A} one @param {B} two @returns {[A, B]} */
const pair = (one, two) => [one, two];

/** All that is shown of a network: both chains, the fewest nines of a wrong sum (or one more than were tried), the
 * landscape. @param {Trained} data */
function study(data) {
  const subject = {network: Network.from(data), probe: Float64Array.from(data.probe)};
  const chains = [0, 1].map(first => chain(subject, first, MOST + 1));  // one more, for the last one's move
  let wrongFrom = 1;
  /** @type {import("./drift.js").Landscape | null} */
  let land = null;
  const isRight = first => digitsOf(chains[first], first, wrongFrom).every(([digit, right]) => digit === right);
  while (wrongFrom <= MOST && [0, 1].every(isRight)) wrongFrom++;
  return {chains, wrongFrom, get land() { return land ??= landscape(moves(subject), chains.flatMap(steps)); }};
}

/** One sum as a line, top digits first, and in words. @param {[number, number][]} columns @param {number} first */
function answer(columns, first) {
  const nines = columns.length - 1, digits = columns.map(([digit, right]) => ({digit, wrong: digit !== right}));
  const wrong = digits.filter(one => one.wrong).length;
  if (!digits[nines].digit && !digits[nines].wrong) digits.pop();
  const marks = digits.reverse().map(one => element("span", {class: one.wrong ? "bad" : null}, String(one.digit)));
  const gap = element("span", {class: "gap"}, "…");
  const line = element("div", {},
    element("span", {class: first ? "carried" : "uncarried"}, `${nines > 6 ? "999…9" : "9".repeat(nines)} + ${first}`),
    element("span", {}, "="),
    element("span", {class: "said"}, ...(marks.length > 14 ? [...marks.slice(0, 8), gap, ...marks.slice(-4)] : marks)),
    element("span", {class: wrong ? "bad" : "good"}, wrong ? `${wrong} wrong` : "right"));
  return {line, text: `Plus ${first}: ${wrong ? `${wrong} digits wrong` : "right"}.`};
}

/** @param {Study} one @param {Study[]} group @param {string} name */
function outcome(one, group, name) {
  const lost = group.filter(({wrongFrom}) => wrongFrom <= MOST).length;
  const here = one.land.rests.length > 1 ? "Two valleys: the state with a carry stays in one, the state without one in the other."
    : "One valley: with a carry or without, the state ends in the same place, and the carry is forgotten.";
  const fate = one.wrongFrom <= MOST ? ` The first wrong sum has ${one.wrongFrom} nines.`
    : ` No sum of up to ${MOST} nines is wrong.`;
  return [element("strong", {}, here), fate, ` ${name[0].toUpperCase()}${name.slice(1)}: ${lost} of ${group.length} `
    + `networks go wrong within ${MOST} nines.`];
}

/** @param {Study} one @param {number} nines @param {number} width */
function drawPaths({chains}, nines, width) {
  const x = linear(1, MOST, 62, width - 10), y = linear(REACH, -REACH, 8, 174), side = 0.72 * (x(2) - x(1)), marks = [];
  for (const [value, name] of [pair(1, "carry"), pair(0, "unsure"), pair(-1, "no carry")]) {
    marks.push(rule([x(1), y(value)], [x(MOST), y(value)]), words(54, y(value) + 4, name, "end"));
  }
  for (const first of [0, 1]) {
    const past = chains[first].readings.slice(0, nines);
    const points = past.map((value, i) => pair(x(i + 1), y(value)));
    const top = first ? 190 : 206;
    marks.push(curve(points, {stroke: PAINT[first], "stroke-width": 2.5}), ball(points[nines - 1], PAINT[first]),
               words(54, top + 9, `+ ${first}`, "end", PAINT[first]));
    digitsOf(chains[first], first, nines).forEach(([digit, right], column) => marks.push(
      svg("rect", {x: x(column + 1) - side / 2, y: top, width: side, height: 9, class: digit === right ? "" : "wrong",
                   fill: digit === right ? "var(--line)" : "var(--wrong)"})));
  }
  for (const tick of [1, 20, 40, MOST]) marks.push(words(x(tick), 238, String(tick), "middle"));
  return [...marks, words(48, 238, "nines", "end")];
}

/** @param {import("./drift.js").Landscape} land @param {number[]} readings @param {number} width */
function drawValley({x: xs, height, rests}, readings, width) {
  const x = linear(-REACH, REACH, 12, width - 12), y = linear(Math.min(...height), Math.max(...height), 190, 48);
  const at = reading => y(between(xs, height, reading));
  const ground = xs.map((value, i) => pair(x(value), y(height[i])));
  const [left, right] = [ground[0][0], ground[ground.length - 1][0]];
  const marks = [curve([...ground, [right, 212], [left, 212]], {stroke: "none", fill: "var(--shade)"}),
                 curve(ground, {stroke: "var(--faint)", "stroke-width": 2})];
  for (const rest of rests) marks.push(svg("path", {d: `M${x(rest)} ${at(rest) + 7}l5 8h-10z`, fill: "var(--faint)"}));
  const spots = readings.map(reading => pair(x(reading), at(reading) - 9));
  const together = Math.abs(spots[0][0] - spots[1][0]) < NEAR;
  spots.forEach((spot, first) => {
    marks.push(ball(spot, PAINT[first], 8));
    if (together) return;
    const [uphill] = [-1, 1].filter(way => at(readings[first] + way * ASIDE / (x(1) - x(0))) < spot[1] - 12);
    marks.push(uphill === 1 ? words(Math.max(ASIDE + 24, spot[0] + 6), spot[1] - 16, NAMES[first], "end", PAINT[first])
      : words(spot[0] - (uphill ? 6 : 0), spot[1] - 16, NAMES[first], uphill ? "start" : "middle", PAINT[first]));
  });
  if (together) {
    marks.push(words((spots[0][0] + spots[1][0]) / 2, Math.min(spots[0][1], spots[1][1]) - 16, "both", "middle"));
  }
  for (const [value, name] of [pair(-1, "reads no carry"), pair(1, "reads carry")]) {
    marks.push(rule([x(value), 214], [x(value), 222]), words(x(value), 238, name, "middle"));
  }
  return marks;
}
