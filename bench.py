"""Time and memory of one training batch: `bptt` against torch.nn and autograd, in the same run.

    python bench.py           every case, some twenty minutes on an idle machine; writes bench.json
    python bench.py --quick   the short cases, under a minute; writes nothing

A batch is loss, gradients and Adam's update for 200 pairs. Times are medians of batches that take turns: reference and
ours, on one thread and on two. Memory is the growth of a fresh process's peak, at one thread. GFLOP/s counts the
products that the mathematics needs, the same for both: those between states of the layers, forward and twice backward.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

import addrnn
import runs

ENGINES = {"reference": "autograd", "bptt": "bptt"}
BLOCKS = {"RNN": 1, "LSTM": 4, "GRU": 3}  # hidden x hidden blocks of a cell's weight matrix
QUICK = [(cell, 3, digits) for cell in BLOCKS for digits in (10, 100)] + [("RNN", 3, 1000)]
FULL = [(cell, 3, digits) for cell in BLOCKS for digits in (10, 100, 1000, 5000)]
FULL += [("RNN", layers, 5000) for layers in (1, 2, 4)]


def one_batch(cell, layers, digits, engine):
    """A function that trains on the same batch again, as `addrnn.train` does."""
    config = addrnn.Config(digit_len=digits, cell=cell, layers=layers)
    training = addrnn.Training(config, gradients=ENGINES[engine])
    batch = [torch.as_tensor(n) for n in addrnn.sample(config.batch_size, digits, training.rng)]

    def step():
        training.compute(*batch)
        training.optimizer.step()

    return step


def peak_bytes(cell, layers, digits, engine):
    """Growth of this process's peak memory in two batches. Call in a fresh process: a peak never falls."""
    torch.set_num_threads(1)
    one_batch(cell, layers, 1, engine)()  # libraries load what they need
    step = one_batch(cell, layers, digits, engine)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step()
    step()
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def measure_peaks(cases):
    """Peak memory of each case and engine, each in its own process."""
    # Before anything else is timed: on Linux a child's peak starts at its parent's.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        runs = [(*case, engine) for case in cases for engine in ENGINES]
        return {run: pool.submit(peak_bytes, *run).result() for run in runs}


def seconds(step, threads):
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def measure_times(case, rounds):
    """Median milliseconds of a batch: {(engine, threads): ms}. The order turns round every time."""
    steps = {engine: one_batch(*case, engine) for engine in ENGINES}
    turns = [(engine, threads) for threads in (1, 2) for engine in ENGINES]
    for turn in turns:
        seconds(steps[turn[0]], turn[1])
    times = {turn: [] for turn in turns}
    for k in range(rounds):
        for engine, threads in turns[:: (-1) ** k]:
            times[engine, threads].append(seconds(steps[engine], threads))
    return {turn: 1e3 * statistics.median(taken) for turn, taken in times.items()}


def product_rate(threads, size=2048, rounds=9):
    """GFLOP/s of a product of two square float32 matrices, the fastest of some."""
    a, b, out = torch.rand(size, size), torch.rand(size, size), torch.empty(size, size)
    return 2e-9 * size**3 / min(seconds(lambda: torch.mm(a, b, out=out), threads) for _ in range(rounds))


def gflop(cell, layers, digits, batch=200, hidden=64):
    return 3 * 2e-9 * batch * (digits + 1) * (2 * layers - 1) * BLOCKS[cell] * hidden**2


HEAD = """\
              | one thread, ms                                | two threads, ms           | peak, MB
cell L digits | reference     bptt  ratio  GFLOP/s of product | reference     bptt  ratio | reference bptt"""


def line(rows):
    """A case in one line: rows of reference and ours on one thread, then on two."""
    slow, fast, slow2, fast2 = rows
    text = (f"{fast['cell']:4} {fast['layers']} {fast['digits']:6} | "
            f"{slow['ms']:9.1f} {fast['ms']:8.1f} {slow['ms'] / fast['ms']:5.1f}x {fast['gflops']:8.0f} "
            f"{fast['share_of_product_rate']:10.0%} | "
            f"{slow2['ms']:9.1f} {fast2['ms']:8.1f} {slow2['ms'] / fast2['ms']:5.1f}x |")
    return text + (f" {slow['peak_bytes'] / 1e6:9.0f} {fast['peak_bytes'] / 1e6:4.0f}" if fast["peak_bytes"] else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short cases only, under a minute")
    quick = parser.parse_args().quick
    cases = QUICK if quick else FULL
    peaks = measure_peaks([("RNN", 3, 1000)] if quick else cases)
    rates = {threads: product_rate(threads) for threads in (1, 2)}
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}; product of 2048 x 2048 matrices: "
          f"{rates[1]:.0f} GFLOP/s on one thread, {rates[2]:.0f} on two\n\n{HEAD}", flush=True)
    rows = []
    for case in cases:
        cell, layers, digits = case
        rounds = {10: 25, 100: 9 if not quick else 5, 1000: 5 if not quick else 3, 5000: 3}[digits]
        for (engine, threads), ms in measure_times(case, rounds).items():
            rate = gflop(*case) / ms * 1e3
            rows.append(dict(cell=cell, layers=layers, digits=digits, engine=engine, threads=threads, ms=ms,
                             gflops=rate, share_of_product_rate=rate / rates[threads],
                             peak_bytes=peaks.get((*case, engine))))
        print(line(rows[-4:]), flush=True)
    if not quick:
        result = dict(torch=torch.__version__, product_gflops=rates, batch_size=200, rows=rows)
        runs.write_whole(Path(__file__).with_name("bench.json"), (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
