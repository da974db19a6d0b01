"""Time and memory of one training batch: `bptt` against torch.nn and autograd, in the same run.

    python bench.py           every case, some ten minutes on an idle machine; writes bench.json
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

import torch

import addrnn

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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short cases only, under a minute")
    quick = parser.parse_args().quick
    cases = QUICK if quick else FULL
    peaks = measure_peaks([("RNN", 3, 1000)] if quick else cases)
    rates = {threads: product_rate(threads) for threads in (1, 2)}
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}; product of 2048 x 2048 matrices: "
          f"{rates[1]:.0f} GFLOP/s on one thread, {rates[2]:.0f} on two\n")
    print("              | one thread, ms                                | two threads, ms           | peak, MB\n"
          "cell L digits | reference     bptt  ratio  GFLOP/s of product | reference     bptt  ratio | reference bptt")
    rows = []
    for case in cases:
        cell, layers, digits = case
        rounds = {10: 25, 100: 9 if not quick else 5, 1000: 5 if not quick else 3, 5000: 3}[digits]
        times = measure_times(case, rounds)
        for (engine, threads), ms in times.items():
            rate = gflop(*case) / ms * 1e3
            rows.append(dict(cell=cell, layers=layers, digits=digits, engine=engine, threads=threads, ms=ms,
                             gflops=rate, share_of_product_rate=rate / rates[threads],
                             peak_bytes=peaks.get((*case, engine))))
        cells = [f"{cell:4} {layers} {digits:6}"]
        for threads in (1, 2):
            slow, fast = times["reference", threads], times["bptt", threads]
            cells.append(f"{slow:9.1f} {fast:8.1f} {slow / fast:5.1f}x")
            if threads == 1:
                rate = gflop(*case) / fast * 1e3
                cells[-1] += f" {rate:8.0f} {rate / rates[1]:10.0%}"
        known = [peaks.get((*case, engine)) for engine in ENGINES]
        cells.append(f"{known[0] / 1e6:9.0f} {known[1] / 1e6:4.0f}" if None not in known else "")
        print(" | ".join(cells), flush=True)
    if not quick:
        with open("bench.json", "w") as file:
            json.dump(dict(torch=torch.__version__, product_gflops=rates, batch_size=200, rows=rows), file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
