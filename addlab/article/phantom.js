// The phantom carry: a half-trained network that takes the empty state for a carry, and a column 0 + 0 that mends it.

import {announce, choice, element, frame} from "./dom.js";
import {Network} from "./network.js";

/**
 * @typedef {import("./network.js").NetworkData} NetworkData
 * @typedef {{half: {network: NetworkData, digits: number, batches: number, plain: number, led: number},
 *            full: {network: NetworkData, digits: number, seed: number, pair: [string, string], tried: number,
 *                   mended: number}}} Data
 * @typedef {{a: number, b: number, said: number, right: number}} Column
 */

const UPPER = ["28416", "53072"];  // what stands left of the first column in the sum that is shown

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, data) {
  const {half, full} = data;
  const body = frame(root, {name: "phantom", question: "Where does the extra one come from?",
    hint: "Touch a red pair of digits. Then put 0 + 0 in front."});
  const young = Network.from(half.network), old = Network.from(full.network);
  const firsts = [false, true].map(led => Array.from({length: 100}, (_, pair) => first(young, pair, led)));
  const wrong = firsts.map(said => said.filter((digit, pair) => digit !== right(pair)).length);
  const larger = firsts[0].filter((digit, pair) => digit === (right(pair) + 1) % 10).length;
  let led = false, chosen = firsts[0].findIndex((digit, pair) => pair > 40 && digit !== right(pair));
  if (chosen < 0) chosen = 0;

  const cells = Array.from({length: 100}, (_, pair) => element("button", {type: "button", class: "cell", tabindex: -1,
    onclick: () => choose(pair), onkeydown: event => travel(/** @type {KeyboardEvent} */ (event), pair)}));
  const table = element("div", {class: "pairs", role: "group", "aria-label": "Pairs of first digits; arrow keys move"},
    element("span", {class: "corner"}, "+"), ...Array.from({length: 10}, (_, b) => element("span", {}, String(b))),
    ...Array.from({length: 10}, (_, a) => [element("span", {}, String(a)), ...cells.slice(10 * a, 10 * a + 10)]).flat());
  const lead = choice({label: "In front", value: "", options: [["", "nothing"], ["0", "0 + 0"]],
    onchange: value => { led = Boolean(value); show(); }});
  const count = element("p", {class: "count"}), sum = element("div"), again = element("div");
  const outcome = element("p", {class: "note"});
  body.append(
    element("div", {class: "row"}, lead.root),
    element("div", {class: "pair"},
      element("figure", {}, element("figcaption", {}, `What it says first, for each pair of first digits`), table, count),
      element("div", {},
        element("figure", {}, element("figcaption", {}, `Half trained: ${half.batches} batches of ${half.digits} digits`), sum),
        element("figure", {}, element("figcaption", {}, `Fully trained, and wrong: ${full.digits} digits, seed ${full.seed}`), again))),
    outcome,
    element("p", {class: "note"}, `Before the first column the state is empty, which in numbers of ${half.digits} digits `
      + `training shows once in ${half.digits + 1} columns. A column 0 + 0 leaves a state that says: no carry. With it, `
      + `${share(half.led)} of such sums come out right, without it ${share(half.plain)}.`));
  const say = announce(body);

  /** @param {number} pair */
  function choose(pair) {
    chosen = pair;
    show();
  }

  /** Arrow keys walk over the pairs. @param {KeyboardEvent} event @param {number} pair */
  function travel(event, pair) {
    const move = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10}[event.key], next = pair + (move ?? 0);
    if (!move || next < 0 || next > 99) return;
    if (Math.abs(move) === 1 && Math.floor(next / 10) !== Math.floor(pair / 10)) return;
    event.preventDefault();
    choose(next);
    cells[next].focus();
  }

  function show() {
    const said = firsts[Number(led)];
    cells.forEach((cell, pair) => {
      const bad = said[pair] !== right(pair), a = Math.floor(pair / 10), b = pair % 10;
      cell.textContent = String(said[pair]);
      cell.className = `cell${bad ? " bad" : ""}${pair === chosen ? " chosen" : ""}`;
      cell.tabIndex = pair === chosen ? 0 : -1;
      cell.setAttribute("aria-pressed", String(pair === chosen));
      cell.setAttribute("aria-label", `${a} + ${b}: it says ${said[pair]}, ${bad ? `wrong, ${right(pair)} is right` : "right"}`);
    });
    const bad = wrong[Number(led)];
    count.replaceChildren(element("strong", {class: bad ? "bad" : "good"}, bad ? `${bad} of 100 are wrong` : "All 100 are right"),
      bad ? `, ${!led && larger === bad ? "each by one too many: a carry that nobody sent." : "still."}` : ".");
    const numbers = UPPER.map((upper, i) => upper + (i ? chosen % 10 : Math.floor(chosen / 10)));
    sum.replaceChildren(written(add(young, numbers[0], numbers[1], led), led, true));
    again.replaceChildren(written(add(old, full.pair[0], full.pair[1], led), led, false));
    outcome.textContent = `The shortest wrong sums that we found of ${full.tried} fully trained networks: 0 + 0 in front makes `
      + `${full.mended} of them right. It is one cause, not the only one.`;
    say(`${led ? "0 + 0 in front" : "Nothing in front"}: ${count.textContent}`);
  }
  show();
  return {destroy() { root.replaceChildren(); }};
}

/** The digit that comes out right. @param {number} pair */
const right = pair => (Math.floor(pair / 10) + pair % 10) % 10;

/** @param {number} value */
const share = value => `${(100 * value).toFixed(value > 0.99 && value < 1 ? 1 : 0)} %`;

/** What a network says to a first column. @param {Network} network @param {number} pair @param {boolean} led */
function first(network, pair, led) {
  let state = network.start();
  if (led) state = network.step(state, 0, 0).state;
  return network.step(state, Math.floor(pair / 10), pair % 10).said;
}

/** A sum column by column, the one in front first if there is one.
 * @param {Network} network @param {string} a @param {string} b @param {boolean} led @returns {Column[]} */
function add(network, a, b, led) {
  const {columns} = network.add(led ? `${a}0` : a, led ? `${b}0` : b);
  return columns.map(({a, b, said, total}) => ({a, b, said, right: total}));
}

/** A sum as by hand. `cut`: its upper end is not shown. @param {Column[]} columns @param {boolean} led @param {boolean} cut */
function written(columns, led, cut) {
  const shown = columns.slice(0, cut ? -1 : undefined).map((column, i) => ({...column, extra: led && i === 0})).reverse();
  while (!cut && shown.length > 1 && !shown[0].a && !shown[0].b && !shown[0].said && !shown[0].right) shown.shift();
  const wrong = shown.some(({said, right}) => said !== right);
  const blank = ({a, b}, at) => !cut && !a && !b && at === 0;
  const row = (/** @type {string} */ name, /** @type {(column: any, at: number) => any} */ cell) => element("tr", {},
    element("th", {scope: "row"}, name), ...(cut ? [element("td", {}, name === "right is" ? "" : "…")] : []),
    ...shown.map((column, at) => element("td", {class: [column.extra ? "extra" : "",
      name === "says" && column.said !== column.right ? "bad" : ""].join(" ")}, String(cell(column, at)))));
  const rows = [row("", (column, at) => blank(column, at) ? "" : column.a), row("+", (column, at) => blank(column, at) ? "" : column.b),
                row("says", column => column.said)];
  rows.push(row(wrong ? "right is" : "", column => column.said === column.right ? "\u2002" : column.right));
  return element("table", {class: "digits"}, ...rows);
}
