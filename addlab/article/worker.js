/**
 * Long work beside the page: training, searching, proving. `serve` runs in the worker, `start` is the page's side.
 *
 * To the worker: {job, options, paused}, then "pause", "step" or "go". From it, every SLICE ms: {values, report, over},
 * values being what the steps done since returned.
 */
import {Closing} from "./closing.js";
import {Network} from "./network.js";
import {Search} from "./search.js";
import {Training} from "./training.js";

const SLICE = 25;  // ms of work between two looks at the messages
let address = "";  // of the worker's text, once it is needed

/** Training that also says what it now makes of some sums. */
class Lesson extends Training {
  constructor({sums, until = Infinity, ...settings}) {
    super(settings);
    this.sums = sums;
    this.until = until;  // so many sums right in a row are enough
    this.inARow = 0;
  }
  get over() { return this.done >= this.settings.batches || this.inARow >= this.until; }
  step() {
    const result = this.batch();
    this.inARow = result.right === 1 ? this.inARow + this.settings.pairs : 0;
    return result;
  }
  report() {
    const snapshot = this.snapshot(), network = Network.from(snapshot);
    return {network: snapshot, said: this.sums?.map(([a, b]) => network.add(a, b).columns.map(column => column.said))};
  }
}

const JOBS = {train: Lesson, search: Search, prove: Closing};

/** @param {{postMessage: Function, onmessage: Function|null}} port */
export function serve(port) {
  const {port1, port2} = new MessageChannel();  // a message to oneself comes sooner than a timer
  let work = null, going = false;
  const slice = once => {
    const values = [], end = performance.now() + (once ? 0 : SLICE);
    if (!work.over) do values.push(work.step()); while (!work.over && performance.now() < end);
    port.postMessage({values, report: work.report(), over: work.over});
    if (work.over) going = false;
    if (going) port1.postMessage(0);
  };
  port2.onmessage = () => { if (going) slice(false); };
  port.onmessage = ({data}) => {
    if (data.job) work = new JOBS[data.job](data.options);
    const was = going;
    going = data !== "pause" && data !== "step" && !data.paused;
    if (data === "step" && !work.over) slice(true);
    else if (going && !was) port1.postMessage(0);
  };
}

/**
 * Starts a job; `onnews` gets what `serve` posts. Where a page may have no worker, the work is done in the page.
 * @param {string} job @param {object} options
 * @param {(news: {values: any[], report: any, over: boolean}) => void} onnews
 * @param {boolean} paused  whether it waits for `go` or `step`
 * @returns {{pause: () => void, step: () => void, go: () => void, stop: () => void}}
 */
export function start(job, options, onnews, paused = false) {
  let port = null, stopped = false;
  const begin = made => {
    port = made;
    port.onmessage = ({data}) => { if (!stopped) onnews(data); };
    port.postMessage({job, options, paused});
  };
  const here = () => {
    const {port1, port2} = new MessageChannel();
    serve(port1);
    begin(port2);
  };
  try {
    // `program` is what all modules stand in when they are inlined (see __init__.py): the worker runs the same.
    // @ts-ignore
    const text = `(${program})()["worker.js"].serve(self)`;
    address ||= URL.createObjectURL(new Blob([text], {type: "text/javascript"}));
    const worker = new Worker(address);
    worker.onerror = event => { event.preventDefault(); worker.terminate(); if (!stopped) here(); };
    begin(worker);
  } catch {
    here();
  }
  const tell = word => port.postMessage(word);
  return {pause: () => tell("pause"), step: () => tell("step"), go: () => tell("go"),
          stop: () => { stopped = true; port.terminate ? port.terminate() : tell("pause"); }};
}
