/**
 * Small helpers that the pieces share: elements, controls, a canvas that stays sharp, words for screen readers.
 */

/**
 * A new element: attributes by name, listeners as functions (`onclick`), then its children.
 * @param {string} tag @param {Object<string, any>} attributes @param {...(Node|string|null|undefined)} children
 * @returns {any}  the element, of its tag's own kind
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

/** An element of SVG, made as `element` makes one. @returns {SVGElement} */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

/**
 * The frame of a piece: what it asks, and one line of what to try. Returns the body that the piece fills.
 * @param {HTMLElement} root @param {{name: string, question: string, hint: string}} about
 */
export function frame(root, {name, question, hint}) {
  const body = element("div", {class: "body"});
  root.classList.add("addrnn", name);
  root.replaceChildren(element("h3", {class: "question"}, question), element("p", {class: "hint"}, hint), body);
  return body;
}

/** @param {string} label @param {(event: Event) => void} onclick */
export function button(label, onclick, attributes = {}) {
  return element("button", {type: "button", onclick, ...attributes}, label);
}

/**
 * A slider with its name before it and its value behind it.
 * @param {{label: string, min: number, max: number, step?: number, value: number,
 *          format?: (value: number) => string, oninput: (value: number) => void}} options
 * @returns {{root: HTMLElement, input: HTMLInputElement, set: (value: number) => void}}  set: silently
 */
export function slider({label, min, max, step = 1, value, format = String, oninput}) {
  const output = element("output");
  const input = element("input", {type: "range", min, max, step, "aria-label": label});
  const show = () => {
    output.textContent = format(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const set = value => { input.value = String(value); show(); };
  input.addEventListener("input", () => { show(); oninput(Number(input.value)); });
  set(value);
  return {root: element("label", {class: "slider"}, element("span", {}, label), input, output), input, set};
}

let groups = 0;

/**
 * One of a few: radio buttons that look like one control. `options`: [value, label] each.
 * @param {{label: string, options: [string, string][], value: string, onchange: (value: string) => void}} options
 * @returns {{root: HTMLElement, set: (value: string) => void, disable: (off: boolean) => void}}  set: silently
 */
export function choice({label, options, value, onchange}) {
  const name = `addrnn-choice-${groups++}`;
  const input = value => element("input", {type: "radio", name, value, onchange: () => onchange(value)});
  const inputs = options.map(([value]) => input(value));
  const set = value => inputs.forEach(input => { input.checked = input.value === value; });
  set(value);
  const root = element("fieldset", {class: "choice"}, element("legend", {}, label),
                       ...options.map(([, text], i) => element("label", {}, inputs[i], element("span", {}, text))));
  return {root, set, disable: off => { root.disabled = off; }};
}

/**
 * Says things to screen readers, at most one a second: returns announce(text). Appends an invisible element to `root`.
 * @param {HTMLElement} root
 */
export function announce(root) {
  const live = element("p", {class: "unseen", "aria-live": "polite", role: "status"});
  let waiting = null, next = "";
  root.append(live);
  return text => {
    next = text;
    waiting ??= setTimeout(() => { live.textContent = next; waiting = null; }, 1000);
  };
}

/** Whether the reader asked for no motion. */
export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** The colours of the sheet where `root` stands: {ink, faint, line, paper, shade, carry, "no-carry", right, wrong}. */
export function colours(root) {
  const style = getComputedStyle(root);
  const names = ["ink", "faint", "line", "paper", "shade", "carry", "no-carry", "right", "wrong"];
  return Object.fromEntries(names.map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/**
 * A canvas as wide as its place and `height` px high, sharp on every screen. `draw(context, width, height)` is called
 * at the next frame after `redraw()`, and whenever size or colours change.
 * @param {string} label  what it shows, for who cannot see it
 * @param {number} height
 * @param {(context: CanvasRenderingContext2D, width: number, height: number) => void} draw
 * @returns {{root: HTMLCanvasElement, redraw: () => void, destroy: () => void}}
 */
export function canvas(label, height, draw) {
  const root = element("canvas", {role: "img", "aria-label": label});
  root.style.height = `${height}px`;
  let frame = 0;
  const paint = () => {
    frame = 0;
    const width = root.clientWidth, scale = window.devicePixelRatio || 1;
    if (!width) return;
    if (root.width !== Math.round(width * scale)) {
      root.width = Math.round(width * scale);
      root.height = Math.round(height * scale);
    }
    const context = root.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.save();
    draw(context, width, height);
    context.restore();
  };
  const redraw = () => { frame ||= requestAnimationFrame(paint); };
  const sizes = new ResizeObserver(redraw), dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = new MutationObserver(redraw);
  sizes.observe(root);
  dark.addEventListener("change", redraw);
  for (const place of [document.documentElement, document.body])
    themes.observe(place, {attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light"]});
  const destroy = () => {
    cancelAnimationFrame(frame);
    sizes.disconnect();
    themes.disconnect();
    dark.removeEventListener("change", redraw);
  };
  return {root, redraw, destroy};
}
