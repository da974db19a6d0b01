// Charts in SVG: drawn anew at the width they have, with the sheet's colours; and motion that can be asked to stop.

import {calm, svg} from "./dom.js";

/** @typedef {[number, number]} Point */

/**
 * A chart as wide as its place. `draw(width)` gives its marks, at the next frame after `redraw()`.
 * @param {string} label  what it shows, for who cannot see it
 * @param {number | ((width: number) => number)} tall  its height in px
 * @param {(width: number) => SVGElement[]} draw
 */
export function chart(label, tall, draw) {
  const root = svg("svg", {class: "chart", role: "img", "aria-label": label, height: typeof tall === "number" ? tall : 0});
  let frame = 0;
  const paint = () => {
    frame = 0;
    const width = root.clientWidth;
    if (!width) return;
    const height = typeof tall === "number" ? tall : tall(width);
    root.setAttribute("height", String(height));
    root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    root.replaceChildren(...draw(width));
  };
  const redraw = () => { frame ||= requestAnimationFrame(paint); };
  const sizes = new ResizeObserver(redraw);
  sizes.observe(root);
  return {root, redraw, destroy: () => { cancelAnimationFrame(frame); sizes.disconnect(); }};
}

/** @param {Point[]} points @param {Object<string, any>} attributes */
export function curve(points, attributes = {}) {
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return svg("path", {d, fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linejoin": "round", ...attributes});
}

/** @param {number} x @param {number} y @param {string} content @param {Object<string, any>} attributes */
export function words(x, y, content, attributes = {}) {
  return svg("text", {x, y, "font-size": 13, ...attributes}, content);
}

/** @param {Point} at @param {number} r @param {Object<string, any>} attributes */
export function dot([cx, cy], r, attributes = {}) {
  return svg("circle", {cx: cx.toFixed(1), cy: cy.toFixed(1), r, fill: "currentColor", ...attributes});
}

/** A linear map of [from, to] onto [low, high].
 * @param {number} from @param {number} to @param {number} low @param {number} high */
export const linear = (from, to, low, high) => (/** @type {number} */ x) =>
  low + (x - from) / (to - from) * (high - low);

/** The value at x of a line through points with rising xs, level beyond its ends.
 * @param {number[]} xs @param {number[]} ys @param {number} x */
export function between(xs, ys, x) {
  let i = xs.findIndex(at => at >= x);
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
