/**
 * Piece 6b, Train one with noise and prove it in this page: noise on the state, then every state that its rounded
 * machine can reach, checked one by one until none is left; and the same network without rounding.
 */
import {announce, button, canvas, choice, colours, element, frame} from "./dom.js";
import {Rounded} from "./closing.js";
import {Network} from "./network.js";
import {start} from "./worker.js";

const number = n => n.toLocaleString("en");

/**
 * @param {HTMLElement} root
 * @param {{kinds: {name: string, settings: import("./training.js").Settings}[]}} data
 *   what may be proved; the first is offered first
 */
export default function mount(root, {kinds}) {
  const body = frame(root, {
    name: "prove",
    question: "Train a network and prove it",
    hint: "Train one with noise, and let this page visit every state that it can reach. Then train one without noise: "
      + "in base 10 the proof fails, in base 2 it holds all the same."
  });
  let {settings} = kinds[0], shaken = true, job = null, seed = settings.seed, begun = 0;
  let network = null, curve = [], losses = [], closing = null;

  const main = button("Train and prove", () => job ? halt("Stopped.") : train(), {class: "main"});
  const other = button("Other random start", () => { seed++; halt(""); train(); }, {hidden: true});
  const kind = choice({label: "base", value: "0", options: kinds.map(({name}, i) => [String(i), name]),
                       onchange: value => { ({settings} = kinds[Number(value)]); halt(""); reset(); }});
  const shake = choice({label: "noise", value: "on", options: [["on", "on"], ["off", "off"]],
                        onchange: value => { shaken = value === "on"; halt(""); reset(); }});
  const stage = (title, text) => {
    const progress = element("progress", {max: "1", value: "0", "aria-label": title});
    const news = element("p", {class: "news"}, text);
    const item = element("li", {}, element("h4", {}, title), progress, news);
    return {item, progress, news};
  };
  const training = stage("Train", "");
  const proving = stage("Prove", "The state is rounded to −1, 0 or 1 after each column, so there are only finitely many states. " +
    "The page visits each one that some sum leads to, and checks the answer to every pair of digits there.");
  const repairing = stage("Take the rounding away", "The same weights without rounding: does the search find a wrong sum?");
  repairing.progress.remove();
  const chart = canvas("states still to be checked, by states checked", 130, draw);
  chart.root.hidden = true;
  const verdict = element("p", {class: "verdict", hidden: true});
  proving.item.append(chart.root, verdict);
  const table = element("div", {class: "digits compare", hidden: true});
  repairing.item.append(table);
  body.append(element("div", {class: "row"}, main, other, shake.root, kind.root),
              element("ol", {class: "stages"}, training.item, proving.item, repairing.item));
  const stages = [training, proving, repairing], texts = stages.map(({news}) => news.textContent);
  const say = announce(body);

  /** How many states wait to be checked: up, and if all goes well down to none. */
  function draw(context, width, height) {
    const colour = colours(root), bottom = height - 20, high = 32, right = width - 70;
    const most = Math.max(4, ...curve.map(([, waiting]) => waiting)), end = Math.max(8, closing?.states ?? 0);
    const x = checked => right * checked / end, y = waiting => bottom - (bottom - high) * waiting / most;
    context.font = `13px ${getComputedStyle(root).fontFamily}`;
    context.fillStyle = colour.faint;
    context.fillText("states still to be checked", 0, 12);
    context.fillText("0", 0, height - 4);
    context.textAlign = "right";
    context.fillText(`${number(end)} reached`, right, height - 4);
    context.strokeStyle = colour.line;
    context.beginPath();
    context.moveTo(0, bottom + 0.5);
    context.lineTo(right, bottom + 0.5);
    context.stroke();
    if (!curve.length) return;
    context.beginPath();
    context.moveTo(0, bottom);
    for (const [checked, waiting] of curve) context.lineTo(x(checked), y(waiting));
    context.strokeStyle = context.fillStyle = closing.wrong ? colour.wrong : colour["no-carry"];
    context.lineWidth = 2;
    context.stroke();
    const [checked, waiting] = curve.at(-1);
    context.textAlign = "left";
    context.font = `600 ${context.font}`;
    context.fillText(number(waiting), x(checked) + 6, Math.min(bottom - 2, y(waiting) + 4));
  }

  /** Which stage is at work; those after it wait. */
  function enter(which) {
    stages.forEach(({item}, i) => {
      item.classList.toggle("now", i === which);
      item.classList.toggle("past", i < which);
    });
  }

  function halt(word) {
    job?.stop();
    job = null;
    main.textContent = "Train and prove";
    other.hidden = false;
    if (word) (closing ? proving : training).news.textContent = word;
  }

  function reset() {
    stages.forEach(({news}, i) => { news.textContent = texts[i]; });
    training.news.textContent = `${settings.hidden} units, random sums of ${settings.digits} digits. ` + (shaken ?
      "After each column noise is added to its state, more and more of it as training goes on." :
      "All as with noise, but no noise is added.");
    [network, curve, losses, closing, begun] = [null, [], [], null, performance.now()];
    for (const part of [chart.root, verdict, table]) part.hidden = true;
    training.progress.value = proving.progress.value = 0;
    enter(-1);
  }

  function train() {
    reset();
    main.textContent = "Stop";
    enter(0);
    const most = shaken ? settings.noise : 0;
    job = start("train", {...settings, noise: most, seed}, ({values, report, over}) => {
      losses.push(...values.map(({loss}) => loss));
      const seconds = (performance.now() - begun) / 1000, left = seconds * (settings.batches / losses.length - 1);
      training.progress.value = losses.length / settings.batches;
      const last = values.at(-1);
      const noise = shaken ? `, noise ${Math.min(most, 3 * losses.length / settings.batches).toFixed(2)}` : "";
      training.news.textContent = over
        ? `${number(settings.batches)} batches in ${Math.ceil(seconds)} s, seed ${seed}.`
        : `Batch ${number(losses.length)}: ${Math.round(100 * last.right)}% of sums right${noise}. ` +
          `About ${Math.ceil(left)} s left.`;
      if (!over) return;
      job.stop();
      network = report.network;
      prove();
    });
  }

  function prove() {
    enter(1);
    say("Trained. Now every state that it can reach is checked.");
    job = start("prove", {network}, ({report, over}) => {
      closing = report;
      curve.push([report.checked, report.states - report.checked]);
      proving.progress.value = report.checked / report.states;
      proving.news.textContent = `${number(report.states)} states reached, ${number(report.steps)} digits checked, ` +
        `${report.wrong ? "not all right" : "every one right"}.`;
      chart.root.hidden = curve.length < 3;  // it closed at once
      chart.redraw();
      if (!over) return;
      job.stop();
      judge(report);
      repair(report);
    });
  }

  function judge({states, closed, shortest}) {
    verdict.hidden = false;
    verdict.className = closed && !shortest ? "verdict good" : "verdict bad";
    verdict.textContent = shortest
      ? `Not proved. Rounded, it says ${shortest.a} + ${shortest.b} = ${shortest.said}; no shorter sum goes wrong.`
      : closed ? `Closed. No sum leads out of these ${number(states)} states, and every digit is right. So it adds ` +
        "numbers of any length: proved, in your own browser's arithmetic."
      : `Open: ${number(states)} states, every digit right so far, and no end in sight.`;
    say(verdict.textContent);
  }

  /** Searches the same weights without rounding; shows both answers to what it finds. */
  function repair({closed, shortest}) {
    enter(2);
    job = start("search", {network, digits: settings.digits, depth: 0}, ({report, over}) => {
      const {tried, found} = report;
      repairing.news.textContent = `${number(tried)} sums tried…`;
      if (!over) return;
      halt("");
      enter(3);
      if (!found) {
        repairing.news.textContent = `${number(tried)} sums tried: ` + (closed && !shortest
          ? "none is wrong, rounded or not. With another random start one may be."
          : "none is wrong, and nothing proves that none will be.");
        return;
      }
      const rounded = new Rounded(network).add(found.a, found.b), plain = Network.from(network).add(found.a, found.b);
      const row = (name, word, ...digits) => element("p", {}, element("span", {}, name), element("span", {}, ...digits),
        word && element("b", {class: word === "wrong" ? "bad" : "good"}, word));
      const answer = (name, {said, total, wrong}) => row(name, wrong ? "wrong" : "right", ...marks(said, total));
      table.style.setProperty("--wide", `${Math.max(plain.said.length, plain.total.length)}ch`);
      table.hidden = false;
      table.replaceChildren(row("", null, found.a), row("+", null, found.b), answer("not rounded", plain),
                            answer("rounded", rounded));
      const longest = Math.max(found.a.length, found.b.length);
      repairing.news.textContent = `Not rounded, the same weights get a sum of numbers of up to ${longest} digits wrong.` +
        (rounded.wrong || !closed || shortest ? "" : " With rounding they get it right, and cannot fail.");
      say(repairing.news.textContent);
      table.scrollLeft = table.scrollWidth;
    });
  }

  /** The digits said, wrong ones marked. */
  function marks(said, total) {
    const width = Math.max(said.length, total.length);
    const [says, is] = [said, total].map(text => text.padStart(width, "0"));
    return [...says].map((digit, i) => element("i", {class: digit === is[i] ? "" : "bad"}, digit));
  }

  reset();
  return {destroy() { job?.stop(); chart.destroy(); root.replaceChildren(); }};
}
