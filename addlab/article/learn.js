/**
 * Piece 2, Watch one learn: trains a network in a worker; twelve sums turn from red to black, digit by digit.
 */
import {announce, button, canvas, choice, colours, element, frame, slider} from "./dom.js";
import {randomness} from "./random.js";
import {start} from "./worker.js";

const SUMS = 12, MOST = 3000;  // sums shown; batches after which it stops by itself
const ENOUGH = 1000;           // sums right in a row, after which it has learned
const OVER = 10;               // batches in a running mean

/** Running means of `OVER` values. @param {number[]} values */
function means(values) {
  let sum = 0;
  return values.map((value, i) => {
    sum += value - (i >= OVER ? values[i - OVER] : 0);
    return sum / Math.min(i + 1, OVER);
  });
}

/** @param {HTMLElement} root
 * @param {{loss?: number[], right?: number[]}} data  a recorded run of ten digits, to be seen before one's own */
export default function mount(root, data = {}) {
  const body = frame(root, {
    name: "learn",
    question: "Can a network find out from sums alone how to add?",
    hint: "Press Train, and watch the red digits go. Then try longer numbers, or binary ones."});
  const settings = {cell: "RNN", base: 10, digits: 10, seed: 0, until: ENOUGH, batches: MOST};
  let job = null, state = "new", loss = [], right = [], report = null, sums = [], painting = 0;

  const train = button("Train", () => state === "going" ? pause() : go(), {class: "main"});
  const step = button("One batch", () => { begin(); state = "paused"; job.step(); show(); });
  const again = button("Other random start", () => { settings.seed++; reset(); go(); });
  const take = button("Try to beat it", handOver, {hidden: true});
  const digits = slider({label: "digits", min: 2, max: 20, value: settings.digits, oninput: set("digits")});
  const cell = choice({label: "cell", options: [["RNN", "RNN"], ["GRU", "GRU"]], value: "RNN", onchange: set("cell")});
  const base = choice({label: "digits from", options: [["10", "0 to 9"], ["2", "0 and 1"]], value: "10",
                       onchange: value => set("base")(Number(value))});
  const verdict = element("p", {class: "verdict"});
  const list = element("ol", {class: "sums digits", "aria-label": "twelve sums"});
  const charts = [
    canvas("loss of each batch", 150, (context, width, height) =>
      chart(context, width, height, "loss", means(loss), data.loss, Math.log(settings.base) * 1.15, x => x.toFixed(2))),
    canvas("share of sums with every digit right", 150, (context, width, height) =>
      chart(context, width, height, "sums right", means(right), data.right, 1, x => `${Math.round(100 * x)}%`))];
  body.append(element("div", {class: "row"}, train, step, again, take),
              element("div", {class: "row settings"}, digits.root, cell.root, base.root),
              element("div", {class: "charts"}, ...charts.map(made => made.root)), verdict, list);
  const say = announce(body);

  function set(name) {
    return value => { settings[name] = value; reset(); };
  }

  /** A curve from the left on, its last value written at its end. */
  function chart(context, width, height, name, values, recorded, top, format) {
    const colour = colours(root), left = 0, bottom = height - 20, high = 26, batches = Math.max(300, values.length);
    const x = i => left + (width - left - 56) * i / batches;
    const y = value => bottom - (bottom - high) * Math.min(1, value / top);
    context.font = `13px ${getComputedStyle(root).fontFamily}`;
    context.fillStyle = colour.faint;
    context.fillText(`${name}, 0 to ${format(top)}`, left, 13);
    context.fillText("0", left, height - 4);
    context.textAlign = "right";
    context.fillText(`batch ${batches}`, x(batches), height - 4);
    context.strokeStyle = colour.line;
    context.beginPath();
    for (const edge of [high, bottom]) {
      context.moveTo(left, Math.round(edge) + 0.5);
      context.lineTo(x(batches), Math.round(edge) + 0.5);
    }
    context.stroke();
    const line = (these, paint, note) => {
      context.strokeStyle = context.fillStyle = paint;
      context.lineWidth = 2;
      context.lineJoin = "round";
      context.beginPath();
      these.forEach((value, i) => context.lineTo(x(i + 1), y(value)));
      context.stroke();
      note(x(these.length), y(these.at(-1)));
    };
    context.textAlign = "left";
    if (values.length) {
      context.font = `600 ${context.font}`;
      line(values, colour["no-carry"], (end, at) => context.fillText(format(values.at(-1)), end + 6, at + 4));
    } else if (recorded && settings.base === 10 && settings.digits === 10 && settings.cell === "RNN") {
      line(recorded, colour.line, (end, at) => {  // named in the corner that it leaves free
        context.fillStyle = colour.faint;
        context.textAlign = "right";
        context.fillText("a recorded run (64 units)", end, at > (high + bottom) / 2 ? high + 18 : bottom - 8);
      });
    }
  }

  /** Twelve sums that the training does not draw: their seed is another. */
  function draw() {
    const random = randomness(1e6 + settings.digits);
    const number = () => Array.from({length: settings.digits}, () => random.below(settings.base)).join("");
    sums = Array.from({length: SUMS}, () => [number(), number()]);
    list.replaceChildren(...sums.map(([a, b]) =>
      element("li", {}, element("span", {class: "pair"}, `${a} + ${b}`),
              element("span", {class: "answer"}, ...Array.from({length: settings.digits + 1}, () => element("i"))))));
    list.style.setProperty("--letters", String(2 * settings.digits + 3));
    list.classList.toggle("long", settings.digits > 12);
  }

  /** Writes what the network now says of each sum, wrong digits marked; touches what changed alone. */
  function write() {
    let whole = 0;
    sums.forEach(([a, b], i) => {
      const said = report?.said[i], marks = list.children[i].lastChild.children;
      let carry = 0, wrong = 0;
      for (let column = 0; column <= settings.digits; column++) {
        const at = settings.digits - 1 - column, sum = Number(a[at] ?? 0) + Number(b[at] ?? 0) + carry;
        carry = sum >= settings.base ? 1 : 0;
        const digit = String(said ? said[column] ?? 0 : "·"), good = digit === String(sum % settings.base);
        if (said && !good) wrong++;
        const mark = marks[settings.digits - column], look = said ? good ? "" : "bad" : "none";
        if (mark.textContent !== digit) mark.textContent = digit;
        if (mark.className !== look) mark.className = look;
      }
      list.children[i].classList.toggle("done", Boolean(said) && !wrong);
      if (said && !wrong) whole++;
    });
    return whole;
  }

  function begin() {
    if (job) return;
    job = start("train", {...settings, sums}, news, true);
  }

  function go() {
    if (state === "over") reset();
    begin();
    job.go();
    state = "going";
    show();
  }

  function pause() {
    job?.pause();
    state = "paused";
    show();
  }

  function reset() {
    job?.stop();
    [job, state, loss, right, report] = [null, "new", [], [], null];
    draw();
    write();
    show();
  }

  function news({values, report: latest, over}) {
    for (const value of values) {
      loss.push(value.loss);
      right.push(value.right);
    }
    report = latest;
    if (!over) {  // at most once a frame, however fast it learns
      painting ||= requestAnimationFrame(() => { write(); show(); });
      return;
    }
    state = "over";
    say(`After ${loss.length} batches, ${write()} of ${SUMS} sums are right.`);
    show();
  }

  function show() {
    cancelAnimationFrame(painting);
    painting = 0;
    train.textContent = {new: "Train", going: "Pause", paused: "Go on", over: "Train again"}[state];
    step.disabled = state === "going" || state === "over";
    charts.forEach(made => made.redraw());
    const learned = state === "over" && right.at(-1) === 1;
    take.hidden = !learned || !document.querySelector(".addrnn.beat");
    verdict.classList.toggle("good", learned);
    const about = `${settings.cell === "RNN" ? "An" : "A"} ${settings.cell} with one layer of 32 units, which are its memory. Each batch is 100 new sums. `
      + `Random start (seed) ${settings.seed}.`;
    verdict.textContent = learned ? `Learned: all of the last ${ENOUGH.toLocaleString("en")} sums were right, after ` +
      `${loss.length} batches. Can it really add? Try to beat it.`
      : state === "over" ? `${MOST} batches, and still not every sum is right.`
      : loss.length ? `Batch ${loss.length}. ${about}` : `Untrained. ${about}`;
  }

  /** Hands the network to whoever listens: piece 1 does. */
  function handOver() {
    const about = `Your network, after ${loss.length} batches, got ${ENOUGH.toLocaleString("en")} random sums right.`;
    document.dispatchEvent(new CustomEvent("addrnn:network", {detail: {network: report.network, about}}));
    const target = document.querySelector(".addrnn.beat");
    target?.scrollIntoView({block: "start"});
    target?.querySelector("input")?.focus({preventScroll: true});
  }

  reset();
  return {destroy() {
    job?.stop();
    cancelAnimationFrame(painting);
    charts.forEach(made => made.destroy());
    root.replaceChildren();
  }};
}
