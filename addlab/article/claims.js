// What the original claimed: a line a claim, a dot a seed, and on touch a plain sentence on what was found.

import {element, frame} from "./dom.js";

/**
 * @typedef {{claim: string, says: string, verdict: string, found: string, yes: number, no: number, open: number,
 *            link: string | null}} Claim
 * @typedef {{claims: Claim[]}} Data
 */

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, data) {
  const body = frame(root, {name: "claims", question: "What did the course report claim, and is it so?",
    hint: "Click or tap a line to read what we found."});
  const lines = data.claims.map((one, i) => line(one, i === 0));
  body.append(
    element("p", {class: "key"}, ...key()),
    element("div", {class: "list"}, ...lines),
    element("p", {class: "note"}, "A dot is one seed, for some statements with several runs; for the one on overfitting "
      + "it is one network."));
  // One at a time, so that the list keeps its shape.
  const close = (/** @type {Event} */ event) => {
    const opened = /** @type {HTMLDetailsElement} */ (event.target);
    if (opened.open) lines.forEach(other => { if (other !== opened) other.open = false; });
  };
  lines.forEach(one => one.addEventListener("toggle", close));
  return {destroy() { root.replaceChildren(); }};
}

function key() {
  const names = [["yes", "true"], ["no", "false"], ["open", "undecided"]];
  return names.map(([kind, name]) => element("span", {}, seed(kind), ` ${name}`));
}

/** @param {string} kind */
const seed = kind => element("i", {class: `seed ${kind}`, "aria-hidden": "true"});

/** @param {Claim} one @param {boolean} open @returns {HTMLDetailsElement} */
function line({claim, says, verdict, found, yes, no, open: undecided, link}, open) {
  const seeds = [...Array(yes).fill("yes"), ...Array(no).fill("no"), ...Array(undecided).fill("open")];
  const words = [`${yes} of ${yes + no} seeds`, ...(undecided ? [`${undecided} undecided`] : [])].join(", ");
  const head = element("summary", {},
    element("span", {class: "says"}, says),
    element("span", {class: "dots", role: "img", "aria-label": words}, ...seeds.map(seed)),
    element("span", {class: `word ${verdict.replaceAll(" ", "-")}`}, verdict));
  const more = element("p", {}, `${found} `, link && element("a", {href: link}, "How we know"));
  return /** @type {HTMLDetailsElement} */ (element("details", {id: `claim-${claim}`, open}, head, more));
}
