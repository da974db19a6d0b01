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
 * @typedef {import("./intervals.js").Model} Model
 * @typedef {import("./small.js").Step} Step
 * @typedef {import("./plot.js").Point} Point
 */

const PACE = 1100;  // ms a column while it plays
const FIRST = ["4758", "2767"];
/** Each slider: what it turns, how it is called, its ends and step, how its value is written. */
const KNOBS = [
  {name: "flip", label: "The latch flips at", min: 8.4, max: 10, step: 0.01, format: x => x.toFixed(2)},
  {name: "memory", label: "A carry counts as", min: 0, max: 1, step: 0.005,
   format: x => (2 * x).toFixed(2)},  // L is 1 for a carry and -1 for none
  {name: "slope", label: "Slope of unit 2", min: 0.8, max: 1.2, step: 0.005, format: x => `${(100 * x).toFixed(1)}%`},
  {name: "shift", label: "A carry shifts the curves by", min: 10, max: 12.2, step: 0.01, format: x => x.toFixed(2)}];

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, data) {
  const body = frame(root, {name: "machine", question: "Watch a network that cannot go wrong",
    hint: "Step through a sum. Then change its weights with four sliders, until the proof breaks."});
  const trained = model(floats(data.weights), data.hidden, data.embedding), terms = describe(trained, data.latch);
  const exact = {flip: terms.flip, memory: terms.memory, slope: 1, shift: terms.shift};
  let knobs = exact, net = trained, proof = verdict(net, data.boxes), held = proof.boxes;
  let numbers = FIRST, steps = walk(net, FIRST[0], FIRST[1]), at = 0, playing = 0, turning = 0;

  // The sum, and where the machine stands in it
  const inputs = ["first number", "second number"].map((label, i) => /** @type {HTMLInputElement} */ (element("input", {
    value: FIRST[i], inputmode: "numeric", autocomplete: "off", "aria-label": label, oninput: read, class: "digits"})));
  const forward = /** @type {HTMLButtonElement} */ (button("Step", () => { pause(); go(at + 1); }, {class: "main"}));
  const play = button("Play", toggle), back = button("Back to the start", () => { pause(); go(0); });
  const sheet = element("div", {class: "sheet digits"}), story = element("p", {class: "verdict"});
  const pose = {latch: 0, seen: terms.flip, x: place(terms, 0), u: /** @type {Point} */ ([0, 0])};
  const motion = glide([0, 0, 0, 0, 0], ([output, seen, x, across, up]) => {
    Object.assign(pose, {latch: output, seen, x, u: [across, up]});
    for (const view of [map, bend, tops]) view.redraw();
  });
  const map = chart("The state on its plane, between the box of no carry and the box of a carry", () => 210,
                    width => plane(terms, proof, held, trail(), pose, width));
  const bend = chart("The latch: its output over the sum it sees", () => 210,
                     width => latch(terms, knobs, pose, width));
  const tops = chart("Ten curves, one for each digit; the highest is the answer", () => 228,
                     width => parabolas(net, terms, pose, at > 0, width));

  // The proof
  const outcome = element("p", {class: "verdict"}), meet = button("Show me", show, {class: "plain"});
  const grid = chart("The 300 cases of the proof, red where one fails", casesHeight,
                     width => cases(proof, caseNow(), width));
  const sliders = KNOBS.map(({name, ...about}) =>
    slider({...about, value: exact[name], oninput: value => turn({...knobs, [name]: value}, name)}));
  const undo = button("As it was trained", () => turn(exact));

  body.append(
    element("div", {class: "row"}, inputs[0], element("span", {}, "+"), inputs[1], forward, play, back),
    element("div", {class: "top"}, sheet, story),
    element("div", {class: "pair"},
      figure("The state, in one of its two boxes", map),
      figure("Unit 1 is a latch: up means carry, down no carry", bend)),
    figure("Unit 2 measures the sum. Of the ten curves, one for each digit, the highest at that point is the answer.",
      tops),
    element("div", {class: "row turn"}, element("h4", {}, "Change the weights"), undo),
    element("div", {class: "knobs"}, ...sliders.map(one => one.root)), outcome,
    figure("Every column you watch is one of these 300 cases, and there are no others. The first digit goes down, the "
      + "second to the right. The darker, the clearer the answer; red: the proof breaks here.", grid),
    element("p", {class: "note"}, "Your browser repeats the checker’s 300 cases, with slightly widened intervals. The "
      + "proof itself does not rely on your browser."));
  const say = announce(body);

  /** The state on its plane after some columns. @param {number} columns @returns {Point} */
  function state(columns) {
    const u = columns ? steps[columns - 1].u : [0, 0];
    return [u[terms.latch], u[terms.line]];
  }

  function trail() { return Array.from({length: at}, (_, i) => state(i)); }

  /** The number of the case that this column is, or -1 before the first. */
  function caseNow() {
    if (!at) return -1;
    const {a, b, carry} = steps[at - 1];
    return 100 * (at === 1 ? 0 : 1 + carry) + 10 * a + b;
  }

  /** The sum that the latch sees in a column. @param {Step} step */
  function seen({into}) { return into[terms.latch] / terms.perSum + knobs.flip; }

  /** @param {number} column  how many columns are read  @param {boolean} still  without motion */
  function go(column, still = false) {
    at = Math.min(column, steps.length);
    const step = at ? steps[at - 1] : null;
    const target = [step ? step.h[terms.latch] : 0, step ? seen(step) : knobs.flip,
                    place(terms, step ? step.h[terms.line] : 0), ...state(at)];
    if (still) motion.jump(target);
    else motion.send(target);
    forward.disabled = at === steps.length;
    if (at === steps.length) pause();
    write();
    grid.redraw();
  }

  function write() {
    const wrong = i => i < at && steps[i].said !== steps[i].right;
    const row = (name, cell, bad = _ => false) => element("tr", {}, element("th", {scope: "row"}, name),
      ...steps.map((_, i) => element("td", {class: `${i === at - 1 ? "now" : ""} ${bad(i) ? "bad" : ""}`},
                                     String(cell(steps[i], i)))).reverse());
    sheet.replaceChildren(element("table", {},
      row("carry", (step, i) => i < at && step.carry ? 1 : ""), row("", step => step.a), row("+", step => step.b),
      row("says", (step, i) => i < at ? step.said : "", wrong)));
    const now = /** @type {HTMLElement | null} */ (sheet.querySelector(".now"));
    sheet.scrollLeft = now ? now.offsetLeft - sheet.clientWidth / 2 : sheet.scrollWidth;
    story.textContent = at ? tell(steps[at - 1]) : `${numbers.join(" + ")}, read from the right. `
      + "At the start the latch is neither up nor down.";
    story.classList.toggle("bad", Boolean(at) && wrong(at - 1));
    say(story.textContent);
  }

  /** @param {Step} step */
  function tell(step) {
    const {a, b, carry, h, said, right} = step, up = h[terms.latch] > 0, sees = seen(step).toFixed(2).replace("-", "−");
    return `Column ${at}: ${a} + ${b}${carry ? " + a carry" : ""}. The latch sees ${sees}, `
      + (up ? `above ${knobs.flip.toFixed(2)}, and goes up: a carry. `
        : `below ${knobs.flip.toFixed(2)}, and goes down: no carry. `)
      + `The highest curve is that of ${said}${said === right ? "." : `, but ${right} is right.`}`;
  }

  function read() {
    const texts = inputs.map(input => input.value.trim()), fine = texts.map(text => /^\d+$/.test(text));
    inputs.forEach((input, i) => input.setAttribute("aria-invalid", String(!fine[i])));
    pause();
    if (fine.every(Boolean)) start(texts.map(text => text.replace(/^0+(?=\d)/, "")), 0);
    else story.textContent = "Only digits can be added.";
  }

  /** @param {string[]} texts @param {number} column */
  function start(texts, column) {
    numbers = texts;
    steps = walk(net, texts[0], texts[1]);
    go(column, true);
  }

  function toggle() {
    if (playing) return pause();
    if (at === steps.length) go(0, true);
    playing = window.setInterval(() => go(at + 1), PACE);
    play.textContent = "Pause";
    go(at + 1);
  }

  function pause() {
    window.clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  }

  /** @param {typeof exact} next @param {string} [held]  the slider that the reader holds */
  function turn(next, held) {
    pause();
    knobs = next;
    KNOBS.forEach(({name}, i) => { if (name !== held) sliders[i].set(knobs[name]); });
    turning ||= requestAnimationFrame(() => {
      turning = 0;
      net = turned(trained, terms, knobs);
      proof = verdict(net, data.boxes);
      if (proof.proved) held = proof.boxes;
      start(numbers, at);
      judge();
    });
  }

  function judge() {
    const {proved, broken, margin} = proof;
    outcome.className = `verdict ${proved ? "good" : "bad"}`;
    if (proved) {
      outcome.replaceChildren(element("strong", {}, "Proved: right at every length."), " All 300 cases hold, and the "
        + `right digit leads by ${(Math.floor(100 * margin) / 100).toFixed(2)} or more.`);
    } else {
      const more = broken.length > 1 ? ` And ${broken.length - 1} more. ` : " ";
      outcome.replaceChildren(element("strong", {}, "Not proved."), ` ${explain(broken[0])}`, more, meet);
    }
    say(outcome.textContent);
  }

  /** Go to a sum that meets one of the cases that broke: one that comes out wrong, if there is. */
  function show() {
    const {texts, column} = meeting(net, proof.broken) ?? {texts: FIRST, column: 0};
    inputs.forEach((input, i) => { input.value = texts[i]; });
    start(texts, column);
    forward.focus();
  }

  judge();
  go(0, true);
  return {destroy() {
    pause();
    cancelAnimationFrame(turning);
    motion.destroy();
    for (const view of [map, bend, tops, grid]) view.destroy();
    root.replaceChildren();
  }};
}

/** @param {string} name @param {import("./plot.js").Chart} view */
function figure(name, view) {
  return element("figure", {}, element("figcaption", {}, name), view.root);
}

/** A case that broke, in words. @param {Case} one */
function explain({origin, a, b, digit, rival, lead}) {
  const where = ["From the start", "After no carry", "After a carry"][origin];
  return lead > 0 ? `${where}, ${a} + ${b} leads out of its box.`
    : `${where}, ${a} + ${b} can come out as ${rival}, not ${digit}.`;
}

/** A sum of one or two columns whose last meets one of these cases: wrong there, and there alone, if there is.
 * @param {Model} net @param {Case[]} broken */
function meeting(net, broken) {
  /** @type {{texts: string[], column: number} | null} */
  let first = null;
  for (const {origin, a, b} of broken.slice(0, 30)) {
    /** @type {typeof first} */
    let wrong = null;
    for (let pair = 0; pair < 100; pair++) {
      const x = Math.floor(pair / 10), y = pair % 10;
      if (origin && (x + y > 9 ? 2 : 1) !== origin) continue;
      const texts = (origin ? [10 * a + x, 10 * b + y] : [a, b]).map(String), column = origin ? 2 : 1;
      const bad = walk(net, texts[0], texts[1]).slice(0, column).map(({said, right}) => said !== right);
      first ??= {texts, column};
      if (bad.indexOf(true) === column - 1) return {texts, column};
      if (bad[column - 1]) wrong ??= {texts, column};
      if (!origin) break;
    }
    if (wrong) return wrong;
  }
  return first;
}
