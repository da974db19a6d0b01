// Charts in SVG: drawn anew at the width they have, with the sheet's colours; and motion that can be asked to stop.

import {calm, svg} from "./dom.js";

/** @typedef {[number, number]} Point */
/** @typedef {Object<string, any>} Attributes */

export const PAINT = ["var(--no-carry)", "var(--carry)"];

/**
 * A chart as wide as its place. `draw(width)` gives its marks, at the next frame after `redraw()`.
 * @param {string} label  what it shows, for who cannot see it
 * @param {(width: number) => number} tall  its height in px
 * @param {(width: number) => SVGElement[]} draw
 */
export function chart(label, tall, draw) {
  const root = svg("svg", {class: "chart", role: "img", "aria-label": label, height: tall(600)});
  let frame = 0;
  const paint = () => {
    frame = 0;
    const width = root.clientWidth, height = tall(width);
    if (!width) return;
    root.setAttribute("height", String(height));
    root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    root.replaceChildren(...draw(width));
  };
  const redraw = () => { frame ||= requestAnimationFrame(paint); };
  const sizes = new ResizeObserver(redraw);
  sizes.observe(root);
  return {root, redraw, destroy: () => { cancelAnimationFrame(frame); sizes.disconnect(); }};
}
/** @typedef {ReturnType<typeof chart>} Chart */

/** @param {Point[]} points @param {Attributes} attributes */
export function curve(points, attributes = {}) {
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const usual = {fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linejoin": "round"};
  return svg("path", {d, ...usual, ...attributes});
}

/** A thin straight line. @param {Point} from @param {Point} to */
export const rule = (from, to) => curve([from, to], {stroke: "var(--line)", "stroke-width": 1});

/** @param {Point} from @param {Point} to @param {string} paint */
export const dashed = (from, to, paint) => curve([from, to], {stroke: paint, "stroke-dasharray": "2 3"});

/** A ball with a rim, so that it is seen on lines. @param {Point} at @param {string} paint @param {number} radius */
export function ball([cx, cy], paint, radius = 6) {
  return svg("circle", {cx: cx.toFixed(1), cy: cy.toFixed(1), r: radius, fill: paint, stroke: "var(--paper)",
                        "stroke-width": 2});
}

/** Words in one of the sheet's colours, faint by default. @param {number} x @param {number} y @param {string} content
 * @param {"start" | "middle" | "end"} anchor @param {string} paint @param {string} weight */
export function words(x, y, content, anchor = "start", paint = "var(--faint)", weight = "normal") {
  const ink = paint === PAINT[1] ? "var(--carry-ink)" : paint;  // a carry's colour is too light for words
  const style = `fill: ${ink}; font-weight: ${weight}`;
  return svg("text", {x: x.toFixed(1), y: y.toFixed(1), "text-anchor": anchor, style}, content);
}

/** A linear map of [from, to] onto [low, high].
 * @param {number} from @param {number} to @param {number} low @param {number} high */
export const linear = (from, to, low, high) => (/** @type {number} */ x) =>
  low + (x - from) / (to - from) * (high - low);

/** @param {number} x @param {number} low @param {number} high */
export const clamp = (x, low, high) => Math.max(low, Math.min(high, x));

/** The value at x of a line through points with rising xs, level beyond its ends.
 * @param {number[]} xs @param {number[]} ys @param {number} x */
export function between(xs, ys, x) {
  const i = xs.findIndex(at => at >= x);
  if (i === 0) return ys[0];
  if (i < 0) return ys[ys.length - 1];
  return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1]);
}

/**
 * Numbers that glide to where they are sent, `seconds` long; at once where the reader wants no motion.
 * @param {number[]} values @param {(values: number[]) => void} show @param {number} seconds
 */
export function glide(values, show, seconds = 0.45) {
  let now = values.slice(), frame = 0;
  const jump = (/** @type {number[]} */ target) => {
    cancelAnimationFrame(frame);
    now = target.slice();
    show(now);
  };
  const send = (/** @type {number[]} */ target) => {
    if (calm()) return jump(target);
    cancelAnimationFrame(frame);
    const from = now.slice();
    let begin = 0;
    const tick = (/** @type {number} */ time) => {
      begin ||= time;
      const t = Math.min(1, (time - begin) / 1000 / seconds), eased = t * t * (3 - 2 * t);
      now = from.map((value, i) => value + (target[i] - value) * eased);
      show(now);
      if (t < 1) frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
  };
  return {send, jump, destroy: () => cancelAnimationFrame(frame)};
}

/** Run something long after the page has been painted; returns what stops it. @param {() => void} run */
export function soon(run) {
  let timer = 0;
  const frame = requestAnimationFrame(() => { timer = window.setTimeout(run); });
  return () => {
    cancelAnimationFrame(frame);
    window.clearTimeout(timer);
  };
}
