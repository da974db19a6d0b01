// The phantom carry: a half-trained network that takes the empty state for a carry, and a column 0 + 0 that repairs it.

import {announce, choice, element, frame} from "./dom.js";
import {Network} from "./network.js";
import {soon} from "./plot.js";

/**
 * @typedef {import("./network.js").NetworkData} NetworkData
 * @typedef {{half: {network: NetworkData, digits: number, batches: number, plain: number, led: number}}} Data
 * @typedef {{a: number, b: number, said: number, right: number}} Column
 */

const UPPER = ["28416", "53072"];  // what stands left of the first column in the sum that is shown

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, data) {
  const body = frame(root, {name: "phantom", question: "Where does the extra one come from?",
    hint: "Click or tap a red pair of digits. Then let the network read a column 0 + 0 before the ones."});
  const stop = soon(() => fill(body, data));
  return {destroy() {
    stop();
    root.replaceChildren();
  }};
}

/** @param {HTMLElement} body @param {Data} data */
function fill(body, {half}) {
  const young = Network.from(half.network);
  const firsts = [false, true].map(led => Array.from({length: 100}, (_, pair) => first(young, pair, led)));
  const wrong = firsts.map(said => said.filter((digit, pair) => digit !== right(pair)).length);
  const larger = firsts[0].filter((digit, pair) => digit === (right(pair) + 1) % 10).length;
  let led = false, chosen = firsts[0].findIndex((digit, pair) => pair > 40 && digit !== right(pair));
  if (chosen < 0) chosen = 0;

  const cells = Array.from({length: 100}, (_, pair) => element("button", {type: "button", class: "cell", tabindex: -1,
    onclick: () => choose(pair), onkeydown: event => travel(event, pair)}));
  const digit = k => element("span", {}, String(k)), digits = [...Array(10).keys()];
  const table = element("div", {class: "firsts", role: "group", "aria-label": "Pairs of ones digits; arrow keys move"},
    element("span", {}, "+"), ...digits.map(digit),
    ...digits.flatMap(a => [digit(a), ...cells.slice(10 * a, 10 * a + 10)]));
  const lead = choice({label: "Read before the ones", value: "", options: [["", "nothing"], ["0", "0 + 0"]],
    onchange: value => { led = Boolean(value); show(); }});
  const count = element("p", {class: "count"}), sum = element("div");
  const figure = (name, ...parts) => element("figure", {}, element("figcaption", {}, name), ...parts);
  body.append(
    element("div", {class: "row"}, lead.root),
    element("div", {class: "pair"},
      figure("Its answer in the ones column, for each pair of ones digits (first number ↓, second →)", table, count),
      figure("The pair you chose, in a longer sum", sum)),
    element("p", {class: "note"}, `The network is half trained: it has seen ${half.batches} batches of numbers with `
      + `${half.digits} digits. After a column 0 + 0 (both numbers times ten) its state is no longer empty, but one that `
      + `means “no carry”. With it, ${share(half.led)} of random sums of ${half.digits} digits come out right, without it `
      + `${share(half.plain)}.`));
  const say = announce(body);

  /** @param {number} pair */
  function choose(pair) {
    chosen = pair;
    show();
  }

  /** Arrow keys walk over the pairs. @param {KeyboardEvent} event @param {number} pair */
  function travel(event, pair) {
    const move = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -10, ArrowDown: 10}[event.key], next = pair + (move ?? 0);
    const sameRow = Math.floor(next / 10) === Math.floor(pair / 10);
    if (!move || next < 0 || next > 99 || Math.abs(move) === 1 && !sameRow) return;
    event.preventDefault();
    choose(next);
    cells[next].focus();
  }

  function show() {
    const said = firsts[Number(led)], bad = wrong[Number(led)];
    cells.forEach((cell, pair) => {
      const fine = said[pair] === right(pair);
      cell.textContent = String(said[pair]);
      cell.className = ["cell", fine ? "" : "bad", pair === chosen ? "chosen" : ""].join(" ");
      cell.tabIndex = pair === chosen ? 0 : -1;
      cell.setAttribute("aria-pressed", String(pair === chosen));
      cell.setAttribute("aria-label", `${Math.floor(pair / 10)} + ${pair % 10}: it says ${said[pair]}, `
        + (fine ? "right" : `wrong, ${right(pair)} is right`));
    });
    count.replaceChildren(
      element("strong", {class: bad ? "bad" : "good"}, bad ? `${bad} of 100 are wrong` : "All 100 are right"),
      bad && !led && larger === bad ? ", each is one too large: a carry that nobody sent." : ".");
    const [a, b] = [UPPER[0] + Math.floor(chosen / 10), UPPER[1] + chosen % 10];
    sum.replaceChildren(written(add(young, a, b, led).slice(0, -1), led));
    say(`${led ? "0 + 0 read first" : "Nothing read first"}: ${count.textContent}`);
  }

  show();
}

/** The digit that comes out right. @param {number} pair */
const right = pair => (Math.floor(pair / 10) + pair % 10) % 10;

/** @param {number} value */
const share = value => `${(100 * value).toFixed(value > 0.99 && value < 1 ? 1 : 0)}%`;

/** What a network says to a first column. @param {Network} network @param {number} pair @param {boolean} led */
function first(network, pair, led) {
  let state = network.start();
  if (led) state = network.step(state, 0, 0).state;
  return network.step(state, Math.floor(pair / 10), pair % 10).said;
}

/** A sum column by column, 0 + 0 first if it is led by it.
 * @param {Network} network @param {string} a @param {string} b @param {boolean} led @returns {Column[]} */
function add(network, a, b, led) {
  const {columns} = network.add(led ? `${a}0` : a, led ? `${b}0` : b);
  return columns.map(({a, b, said, total}) => ({a, b, said, right: total}));
}

/** A sum as by hand, least significant column first, which goes on to the left.
 * @param {Column[]} columns @param {boolean} led */
function written(columns, led) {
  const row = (name, cell, bad = _ => false) => element("tr", {}, element("th", {scope: "row"}, name),
    element("td", {}, cell === truth ? "" : "…"),
    ...columns.map((column, i) => element("td", {class: `${led && !i ? "extra" : ""} ${bad(column) ? "bad" : ""}`},
                                          String(cell(column, i)))).reverse());
  const wrong = ({said, right}) => said !== right;
  const truth = column => wrong(column) ? column.right : "";
  return element("table", {class: "digits"},
    row("", column => column.a), row("+", column => column.b), row("says", column => column.said, wrong),
    row(columns.some(wrong) ? "right is" : "", truth));
}
