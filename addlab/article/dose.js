// Dose and response: batches until sums are right, by length and by the ones digit's share of the loss.

import {announce, choice, element, frame, svg} from "./dom.js";
import {ball, chart, curve, glide, rule, words} from "./plot.js";

/** `share`: that of so many digits.
 * @typedef {{digits: number, share: number, batches: number[], middle: number}} Row */
/** @typedef {{rows: Row[], seeds: number}} Data */

const ROW = 26, HEAD = 34, AXIS = 40, LEFT = 104, RIGHT = 46;  // px
/** The ways to group rows: by what, what their heads say, and what tells the rows of a group apart. */
const WAYS = {
  share: {head: n => `Share 1/${n + 1}`, label: row => `${row.digits} digits`},
  digits: {head: n => `Numbers of ${n} digits`, label: row => `share 1/${row.share + 1}`}};

/** @param {HTMLElement} root @param {Data} data */
export default function mount(root, {rows, seeds}) {
  const body = frame(root, {name: "dose", question: "Is it the length, or the ones digit’s share of the loss?",
    hint: "Group the rows by share, then by length. Which grouping brings equal training times together?"});
  let way = "share", plan = arranged(rows, way);
  const values = rows.flatMap(row => row.batches), low = 0.9 * Math.min(...values), high = 1.03 * Math.max(...values);
  const tall = Math.max(...Object.keys(WAYS).map(way => arranged(rows, way).tall)) + AXIS;
  const at = plan.places.slice();
  const view = chart(rows.map(row => `${row.digits} digits, share of ${row.share}: ${row.middle} batches`).join("; "),
                     () => tall, draw);
  const motion = glide(at, now => { at.splice(0, at.length, ...now); view.redraw(); });
  const verdict = element("p", {class: "verdict"});
  const group = choice({label: "Group by", value: way, options: [["share", "share of the loss"], ["digits", "length"]],
    onchange: value => { way = value; plan = arranged(rows, way); motion.send(plan.places); judge(); }});
  const apart = value => `${value.toFixed(1)} times apart`;
  body.append(element("div", {class: "row"}, group.root), element("figure", {}, view.root), verdict,
    element("p", {class: "note"}, "A dot is one network: how many batches it needs until 99% of sums are right. "
      + `Blue: the median of ${seeds} seeds. Filled: the natural share of the loss. Hollow: a share set by us.`));
  const say = announce(body);

  function draw(width) {
    const scale = (width - LEFT - RIGHT) / Math.log(high / low), x = value => LEFT + scale * Math.log(value / low);
    const bottom = tall - AXIS + 6, marks = [];
    for (const {head, top, from, to, rows: count} of plan.groups) {
      if (to > from) marks.push(svg("rect", {x: x(from), y: top + HEAD - 10, width: x(to) - x(from),
                                             height: ROW * count, fill: "var(--band)"}));
      marks.push(words(0, top + 15, head, "start", "var(--ink)", "600"));
      marks.push(words(width, top + 15, count > 1 ? `medians ${apart(to / from)}` : "median", "end"));
    }
    rows.forEach(({digits, share, batches, middle}, i) => {
      const y = at[i], own = digits === share;
      marks.push(rule([LEFT, y], [width - RIGHT, y]), words(0, y + 4.5, WAYS[way].label(rows[i])),
                 curve([[x(middle), y - 11], [x(middle), y + 11]], {stroke: "var(--no-carry)", "stroke-width": 3}));
      for (const value of batches) marks.push(
        own ? ball([x(value), y], "var(--ink)", 5.5)
          : svg("circle", {cx: x(value), cy: y, r: 4.5, fill: "var(--paper)", stroke: "var(--ink)",
                           "stroke-width": 2}));
      marks.push(words(width, y + 4.5, String(middle), "end", "var(--no-carry)", "600"));
    });
    for (const tick of [100, 200, 400, 800, 1600].filter(tick => tick > low && tick < high))
      marks.push(rule([x(tick), bottom], [x(tick), bottom + 5]), words(x(tick), bottom + 19, String(tick), "middle"));
    return [...marks, words(0, bottom + 19, "batches")];
  }

  function judge() {
    const most = Math.max(...plan.groups.map(({from, to}) => to / from));
    const name = way === "share" ? "Same share, other length: " : "Same length, other share: ";
    verdict.replaceChildren(element("strong", {}, name), `the medians are up to ${apart(most)}.`);
    say(verdict.textContent);
  }

  judge();
  return {destroy() { motion.destroy(); view.destroy(); root.replaceChildren(); }};
}

/** Where rows stand when they are grouped one way: the middle of each, each group's head and span of middles.
 * @param {Row[]} rows @param {string} way */
function arranged(rows, way) {
  const places = Array(rows.length).fill(0), other = way === "share" ? "digits" : "share", groups = [];
  let top = 0;
  for (const key of [...new Set(rows.map(row => row[way]))].sort((a, b) => a - b)) {
    const members = rows.map((row, i) => ({row, i})).filter(({row}) => row[way] === key)
      .sort((one, two) => one.row[other] - two.row[other]);
    const middles = members.map(({row}) => row.middle);
    groups.push({head: WAYS[way].head(key), top, rows: members.length, from: Math.min(...middles),
                 to: Math.max(...middles)});
    members.forEach(({i}, place) => { places[i] = top + HEAD + ROW * place + ROW / 2 - 10; });
    top += HEAD + ROW * members.length;
  }
  return {places, groups, tall: top};
}
