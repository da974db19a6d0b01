/**
 * Piece 1, Beat it: type two numbers, see what the network says; find a sum that it gets wrong, or have one found.
 */
import {announce, button, calm, element, frame} from "./dom.js";
import {Network} from "./network.js";
import {start} from "./worker.js";

const LONGEST = 1000;  // digits, so that each press of a key is answered at once
const LETTER = 0.72, LEAST = 11;  // of a digit and the gap to the next, in its size; the smallest size, in px
const ROOT = 16;  // px of a rem

/** @type {[string, string[]|null][]} */
const HINTS = [
  ["Random sums will not do: it has learned from sums like these. What is rare in them?", null],
  ["A carry that goes a long way. Each column 9 + 0 passes it on.", ["99999", "1"]],
  ["In random sums a carry seldom goes so far. Make it go farther still.", ["999999999999", "1"]],
  ["Or let this page search.", null],
];

/** A long number in groups of three. @param {string} text */
export const grouped = text => text.replace(/\B(?=(\d{3})+$)/g, "\u2009");

/** A number for a button: of a long one, both ends. @param {string} text */
const short = text => text.length > 12 ? `${text.slice(0, 4)}…${text.slice(-4)}` : grouped(text);

/**
 * @param {HTMLElement} root
 * @param {{network: import("./network.js").NetworkData, digits: number, count: number, right: number,
 *           pair: [string, string] | null}} data  pair: a sum that it gets wrong, to begin with
 */
export default function mount(root, data) {
  const number = n => n.toLocaleString("en");
  const score = `This network got ${number(data.right)} of ${number(data.count)} random sums right.`;
  const body = frame(root, {
    name: "beat",
    question: score,
    hint: ""});
  let network = Network.from(data.network), source = null, job = null, hint = 0, seed = 0;
  const known = new Set(), [question, invitation] = root.querySelectorAll(".question, .hint");

  const box = label => element("input", {type: "text", inputmode: "numeric", autocomplete: "off", spellcheck: "false",
                                         "aria-label": label, oninput: () => { halt(); answer(); },
                                         onkeydown: ({key}) => { if (key === "Enter") keep(); },
                                         onblur: () => requestAnimationFrame(align)});
  const boxes = [box("first number"), box("second number")];
  const row = name => element("div", {class: name, "aria-hidden": "true"});
  const [carries, said, bars, truth] = ["carries", "said", "bars", "truth"].map(row);
  const rows = element("div", {class: "rows", role: "group", "aria-label": "what the network says"},
                       carries, said, bars, truth);
  const labels = element("div", {class: "labels", "aria-hidden": "true"},
                         ...["carry", "it says", "how sure", ""].map(text => element("span", {}, text)));
  const sum = element("div", {class: "sum digits", onfocusout: leave},
                      boxes[0], element("span", {class: "plus"}, "+"), boxes[1], labels, rows);
  const verdict = element("p", {class: "verdict"}), tip = element("p", {class: "tip", hidden: true});
  const finds = element("div", {class: "row finds", hidden: true}, element("span", {}, "Found:"));
  const find = button("", search, {class: "main"}), more = button("Hint", takeHint);
  const random = button("Random sum", () => show(...[0, 1].map(() => drawn())));
  const back = button("Back to the first network", () => take(data.network, null), {class: "plain", hidden: true});
  body.append(sum, verdict, element("div", {class: "row"}, find, more, random, back), tip, finds,
              element("p", {class: "note"}, "How sure: the probability that the network gives to its answer. A full bar is 100%."));
  const say = announce(body);

  function drawn() {
    const digit = least => least + Math.floor(Math.random() * (network.base - least));
    return digit(1) + Array.from({length: data.digits - 1}, () => digit(0)).join("");
  }

  /** Numbers show their right end, where reading starts; those with more to the left than fits say so. */
  function align() {
    for (const part of [...boxes, rows]) {
      part.classList.toggle("more", part.scrollWidth > part.clientWidth + 1);
      part.scrollLeft = part.scrollWidth;
    }
  }

  /** Letters become smaller, as far as they can be read, so that all digits are in sight. @param {number} letters */
  function fit(letters) {
    sum.style.removeProperty("--size");
    const size = parseFloat(getComputedStyle(sum).fontSize), room = boxes[0].clientWidth - 1.2 * ROOT;
    const wanted = room / (LETTER * Math.max(letters, 1));
    if (wanted < size) sum.style.setProperty("--size", `${Math.max(LEAST, wanted)}px`);
  }

  /** Whoever leaves both boxes has typed a sum. */
  function leave({relatedTarget}) {
    if (!boxes.includes(relatedTarget)) keep();
  }

  function keep() {
    if (job) return;
    answer();
    if (verdict.classList.contains("bad")) remember();
  }

  function show(a, b) {
    halt();
    [boxes[0].value, boxes[1].value] = [a, b];
    answer();
  }

  function answer() {
    const [a, b] = boxes.map(box => box.value.trim()), fits = new RegExp(`^[0-${network.base - 1}]{1,${LONGEST}}$`);
    boxes.forEach((box, i) => box.setAttribute("aria-invalid", String(!fits.test([a, b][i]))));
    verdict.className = "verdict";
    for (const part of [carries, said, bars, truth]) part.replaceChildren();
    ask();
    if (![a, b].every(text => fits.test(text))) {
      const kind = network.base === 10 ? "whole numbers" : "numbers of 0s and 1s";
      verdict.textContent = `Two ${kind}${a && b ? ` of at most ${number(LONGEST)} digits` : ""}, please.`;
      return;
    }
    const result = draw(a, b), right = result.wrong === 0;
    verdict.classList.add(right ? "good" : "bad");
    verdict.textContent = right ? "Right." : "Wrong.";
    ask(!right);
    say(`It says ${result.said}, which is ${right ? "right" : `wrong: it is ${result.total}`}.`);
  }

  /** The question above, true of the sum that is shown. */
  function ask(wrong = false) {
    const but = `But not ${wrong ? "this one" : "every sum"}.`, open = source || !data.pair;
    question.textContent = `${source ?? score} ${open ? "Find one that it gets wrong." : but}`;
  }

  /** Writes the network's a + b below the boxes. */
  function draw(a, b) {
    const result = network.add(a, b), right = result.wrong === 0, columns = result.columns.slice().reverse();
    for (const part of [carries, said, bars, truth]) part.replaceChildren();
    fit(Math.max(a.length, b.length, result.said.length, result.total.length));
    const shown = columns.slice(columns.length - Math.max(result.said.length, result.total.length));
    for (const column of shown) {
      const good = column.said === column.total, bar = element("i");
      bar.style.height = `${Math.round(100 * column.sure)}%`;
      carries.append(element("span", {}, element("small", {}, column.carry ? "1" : "")));
      said.append(element("span", {class: good ? "" : "bad"}, String(column.said)));
      bars.append(element("span", {class: good ? "" : "bad"}, bar));
      if (!right) truth.append(element("span", {class: good ? "same" : ""}, String(column.total)));
    }
    labels.lastChild.textContent = right ? "" : "it is";
    requestAnimationFrame(align);
    return result;
  }

  /** Keeps a sum that went wrong, to be looked at again. */
  function remember() {
    const [a, b] = boxes.map(box => box.value.trim()), whole = `${a} + ${b}`;
    if (known.has(whole) || known.size >= 6) return;
    known.add(whole);
    find.textContent = found();
    finds.hidden = false;
    finds.append(button(`${short(a)} + ${short(b)}`, () => show(a, b), {class: "plain digits"}));
  }

  function takeHint() {
    const inBase = part => part.replace(/9/g, String(network.base - 1)), [text, pair] = HINTS[hint++];
    if (pair) {
      show(...pair.map(inBase));
      keep();
    }
    tip.hidden = false;
    tip.replaceChildren(inBase(text));
    more.textContent = "Next hint";
    more.disabled = hint === HINTS.length;
    if (more.disabled) find.focus();
    say(tip.textContent);
  }

  /** Ends a search; a hint goes with the sum that it is about. */
  function halt() {
    job?.stop();
    job = null;
    tip.hidden = true;
    find.textContent = found();
  }

  /** What the search will do, once it is pressed. */
  function found() { return known.size ? "Show me another wrong sum" : "Show me a wrong sum"; }

  function search() {
    if (job) return halt(), answer();
    tip.hidden = true;
    find.textContent = "Stop";
    ask();
    const options = {network: network.data, seed: ++seed, digits: data.digits};
    job = start("search", options, ({report: {tried, last, found: wrong}, over}) => {
      verdict.className = "verdict";
      if (!calm()) {
        [boxes[0].value, boxes[1].value] = [last.a, last.b];
        draw(last.a, last.b);
      }
      verdict.textContent = `${number(tried)} sums tried…`;
      if (wrong) {
        show(wrong.a, wrong.b);
        remember();
        verdict.append(` It took ${number(tried)} sums to find.`);
      } else if (over) {
        halt();
        verdict.textContent = `None found in ${number(tried)} sums.`;
        say(verdict.textContent);
      }
    });
  }

  /** Takes a network, and says where it comes from. */
  function take(given, about) {
    halt();
    [network, source] = [Network.from(given), about];
    known.clear();
    finds.replaceChildren(finds.firstChild);
    finds.hidden = true;
    find.textContent = found();
    back.hidden = !about;
    [hint, more.textContent, more.disabled] = [0, "Hint", false];
    invitation.textContent = `${about || !data.pair ? "T" : "Look for another one: t"}ype two numbers of up to `
      + `${number(LONGEST)} digits.`;
    if (about || !data.pair) return show(drawn(), drawn());
    show(...data.pair);
    remember();
  }

  /** A network that the reader trained: {network, about}. */
  const receive = event => take(event.detail.network, event.detail.about);
  document.addEventListener("addrnn:network", receive);
  take(data.network, null);
  return {destroy() { halt(); document.removeEventListener("addrnn:network", receive); root.replaceChildren(); }};
}
