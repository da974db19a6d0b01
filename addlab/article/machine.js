// A network that cannot be wrong: the adder of two tanh units, column by column, its weights to turn, and its proof.

import {announce, button, element, frame, slider} from "./dom.js";
import {model, verdict} from "./intervals.js";
import {floats} from "./network.js";
import {chart, glide} from "./plot.js";
import {describe, place, turned, walk} from "./small.js";
import {cases, casesHeight, latch, parabolas, plane} from "./views.js";

/**
 * @typedef {{hidden: number, embedding: number, weights: string, parameters: number, latch: number,
 *            boxes: import("./intervals.js").Interval[][]}} Data
 * @typedef {import("./intervals.js").Case} Case
 */

const PACE = 1100;  // ms a column while it plays
const FIRST = ["4758", "2767"];

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, data) {
  const body = frame(root, {name: "machine", question: "Can a network be unable to be wrong?",
    hint: `Step through a sum. Then turn one of this network’s ${data.parameters} weights until its proof breaks.`});
  const trained = model(floats(data.weights), data.hidden, data.embedding), terms = describe(trained, data.latch);
  const exact = {flip: terms.flip, memory: terms.memory, slope: 1, shift: terms.shift};
  let knobs = {...exact}, net = trained, proof = verdict(net, data.boxes), numbers = FIRST, steps = walk(net, ...numbers);
  let at = 0, playing = 0;

  // The sum
  const boxes = numbers.map((number, i) => /** @type {HTMLInputElement} */ (element("input", {value: number,
    inputmode: "numeric", "aria-label": ["first number", "second number"][i], oninput: read, class: "digits"})));
  const forward = button("Step", () => { pause(); go(at + 1); }, {class: "main"}), play = button("Play", toggle);
  const sheet = element("div", {class: "sheet digits"}), story = element("p", {class: "verdict"});
  const pose = {latch: 0, seen: terms.flip, x: place(terms, 0), u: /** @type {[number, number]} */ ([0, 0])};
  const motion = glide([0, terms.flip, pose.x, 0, 0], ([bolt, seen, x, across, up]) => {
    Object.assign(pose, {latch: bolt, seen, x, u: [across, up]});
    for (const view of [map, bend, tops]) view.redraw();
  });
  const axes = [terms.latch, terms.line], state = (/** @type {number} */ i) =>
    /** @type {[number, number]} */ (i ? axes.map(unit => steps[i - 1].u[unit]) : [0, 0]);
  const trail = () => Array.from({length: at}, (_, i) => state(i));
  const map = chart("The state on its plane, between the box of no carry and the box of a carry", 210,
                    width => plane(terms, proof, trail(), pose, width));
  const bend = chart("The latch: its output over the sum it sees", 210, width => latch(terms, knobs.flip, pose, width));
  const tops = chart("Ten parabolas, one for each digit; the one on top is the digit said", 228,
                     width => parabolas(net, terms, pose, width));

  // The proof
  const outcome = element("p", {class: "verdict"}), meet = button("Show me", show, {class: "plain"});
  const grid = chart("The 300 cases of the proof, red where one fails", casesHeight, width => cases(proof, current(), width));
  const sliders = [
    knob("The latch flips at", "flip", 8.4, 10, 0.01, value => value.toFixed(2)),
    knob("A carry counts as", "memory", 0, 1, 0.005, value => (2 * value).toFixed(2)),  // it adds L = 1, not -1
    knob("The line’s slope", "slope", 0.8, 1.2, 0.005, value => `${(100 * value).toFixed(1)} %`),
    knob("A carry moves the tops by", "shift", 10, 12.2, 0.01, value => value.toFixed(2))];
  const undo = button("As it was trained", () => turn({...exact}));

  body.append(
    element("div", {class: "row"}, boxes[0], element("span", {}, "+"), boxes[1], forward, play,
            button("Back to the start", () => { pause(); go(0); })),
    element("div", {class: "top"}, sheet, story),
    element("div", {class: "pair"},
      figure("The state, between its two boxes", map), figure("Unit 1, a latch", bend)),
    figure("Unit 2, a line, and ten parabolas over it: the one on top is the digit", tops),
    element("div", {class: "row turn"}, element("h4", {}, "Turn a weight"), undo),
    element("div", {class: "knobs"}, ...sliders.map(one => one.root)), outcome,
    figure("Every column you watch is one of these 300 cases, and there are no others. Dark: the digit is sure. Red: the "
      + "proof breaks here.", grid),
    element("p", {class: "note"}, "A preview of the checker: the same 300 cases, from all of each box at once, in your "
      + "browser’s arithmetic, rounded outwards. It takes on trust that the browser’s tanh is right to twelve places. "
      + "The checker itself trusts no browser, and proves the file of these weights."));
  const say = announce(body);

  /** @param {string} name @param {ReturnType<typeof chart>} view */
  function figure(name, view) {
    return element("figure", {}, element("figcaption", {}, name), view.root);
  }

  function knob(label, name, min, max, step, format) {
    return slider({label, min, max, step, value: exact[name], format, oninput: value => turn({...knobs, [name]: value}, name)});
  }

  /** The number of the case that this column is, or -1 before the first. */
  function current() {
    if (!at) return -1;
    const {a, b, carry} = steps[at - 1];
    return (at === 1 ? 0 : 1 + carry) * 100 + a * 10 + b;
  }

  /** @param {number} place */
  function go(place, still = false) {
    at = Math.min(place, steps.length);
    const step = steps[at - 1], [across, up] = state(at);
    const target = step ? [step.h[terms.latch], step.into[terms.latch] / terms.perSum + knobs.flip,
                           place_(step), across, up] : [0, knobs.flip, place_(), 0, 0];
    if (still) motion.jump(target);
    else motion.send(target);
    forward.disabled = at === steps.length;
    if (at === steps.length) pause();
    write();
    grid.redraw();
  }

  function place_(step) { return place(terms, step ? step.h[terms.line] : 0); }

  function write() {
    const rows = [["carry", step => step.carry ? "1" : ""], ["", step => step.a], ["+", step => step.b],
                  ["says", (step, i) => i < at ? step.said : ""]];
    const written = steps.map((step, i) => ({step, i})).reverse();
    sheet.replaceChildren(element("table", {}, ...rows.map(([name, cell]) => element("tr", {},
      element("th", {scope: "row"}, name), ...written.map(({step, i}) => element("td",
        {class: [i === at - 1 ? "now" : "", name === "says" && i < at && step.said !== step.right ? "bad" : ""].join(" ")},
        String(name === "carry" && i >= at ? "" : cell(step, i))))))));
    sheet.querySelector(".now")?.scrollIntoView?.({block: "nearest", inline: "nearest"});
    const text = at ? tell(steps[at - 1], at) : `${numbers.join(" + ")}, read from the right. At the start the latch is neither open nor closed.`;
    story.textContent = text;
    story.classList.toggle("bad", Boolean(at) && steps[at - 1].said !== steps[at - 1].right);
    say?.(text);
  }

  function tell({a, b, carry, into, h, said, right}, column) {
    const seen = into[terms.latch] / terms.perSum + knobs.flip, closed = h[terms.latch] > 0;
    const answer = said === right ? `On top is the parabola of ${said}.` : `On top is the parabola of ${said}, but ${right} is right.`;
    return `Column ${column}: ${a} + ${b}${carry ? " + a carry" : ""}. The latch sees ${seen.toFixed(2)}, `
      + `${closed ? "above" : "below"} ${knobs.flip.toFixed(2)}, and ${closed ? "closes: a carry goes on" : "stays open: no carry goes on"}. ${answer}`;
  }

  function read() {
    const texts = boxes.map(box => box.value.trim());
    const fine = texts.map(text => /^\d+$/.test(text));
    boxes.forEach((box, i) => box.setAttribute("aria-invalid", String(!fine[i])));
    pause();
    if (fine.every(Boolean)) start(texts.map(text => text.replace(/^0+(?=\d)/, "")));
    else story.textContent = "Only digits can be added.";
  }

  /** @param {string[]} texts */
  function start(texts) {
    numbers = texts;
    steps = walk(net, numbers[0], numbers[1]);
    go(0, true);
  }

  function toggle() {
    if (playing) return pause();
    if (at === steps.length) go(0, true);
    play.textContent = "Pause";
    playing = window.setInterval(() => go(at + 1), PACE);
    go(at + 1);
  }

  function pause() {
    window.clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  }

  let due = 0;
  /** @param {typeof knobs} next @param {string} [moved]  the slider that the reader holds */
  function turn(next, moved) {
    pause();
    knobs = next;
    sliders.forEach((one, i) => { const name = Object.keys(exact)[i]; if (name !== moved) one.set(knobs[name]); });
    due ||= requestAnimationFrame(() => {
      due = 0;
      net = turned(trained, terms, knobs);
      proof = verdict(net, data.boxes);
      steps = walk(net, numbers[0], numbers[1]);
      judge();
      go(at, true);
    });
  }

  function judge() {
    const {proved, broken, margin} = proof, worst = broken[0];
    outcome.className = `verdict ${proved ? "good" : "bad"}`;
    outcome.replaceChildren(...(proved
      ? [element("strong", {}, "Proved: right at every length."),
         ` All 300 cases hold, and the right digit leads by ${(Math.floor(100 * margin) / 100).toFixed(2)} or more.`]
      : [element("strong", {}, "Not proved."), ` ${explain(worst)}`, broken.length > 1 ? ` And ${broken.length - 1} more. ` : " ", meet]));
    say?.(outcome.textContent ?? "");
  }

  /** @param {Case} one */
  function explain({origin, a, b, digit, rival, lead}) {
    const where = ["From the start", "After no carry", "After a carry"][origin];
    return lead > 0 ? `${where}, ${a} + ${b} leads out of its box.` : `${where}, ${a} + ${b} can come out as ${rival}, not ${digit}.`;
  }

  /** Go to a sum that meets one of the cases that broke, and is wrong if any is found that is. */
  function show() {
    const {texts, column} = meeting();
    [boxes[0].value, boxes[1].value] = texts;
    numbers = texts;
    steps = walk(net, texts[0], texts[1]);
    go(column, true);
    forward.focus();
  }

  function meeting() {
    let first = null;
    for (const {origin, a, b} of proof.broken.slice(0, 30)) {
      for (let pair = 0; pair < 100; pair++) {
        const x = Math.floor(pair / 10), y = pair % 10;
        if (origin && (x + y > 9 ? 2 : 1) !== origin) continue;
        const texts = origin ? [a * 10 + x, b * 10 + y].map(String) : [a, b].map(String), column = origin ? 2 : 1;
        first ??= {texts, column};
        const step = walk(net, texts[0], texts[1])[column - 1];
        if (step.said !== step.right) return {texts, column};
        if (!origin) break;
      }
    }
    return first;
  }

  judge();
  go(0, true);
  return {destroy() {
    pause();
    cancelAnimationFrame(due);
    motion.destroy();
    for (const view of [map, bend, tops, grid]) view.destroy();
    root.replaceChildren();
  }};
}
