"""Time and memory of one training batch: `bptt` against torch.nn and autograd, in the same run.

    python bench.py           every case, some twenty minutes on an idle machine; writes bench.json
    python bench.py --quick   the short cases, under a minute; writes nothing

A batch is loss, gradients and Adam's update for 200 pairs. Times are medians of batches that take turns: reference and
ours, on one thread and on two. Memory is the growth of a fresh process's peak, at one thread. GFLOP/s counts the
products that the mathematics needs, the same for both: those between states of the layers, forward and twice backward.
Their share is of the rate of a square product taken after each batch, and the limit is the ratio of a batch that does
nothing but these products at that rate. Parts are the operations' own times in a profiled batch of ours, which takes a
little longer than another.
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
from addlab.engine import store as runs

ENGINES = {"reference": "autograd", "bptt": "bptt"}
BLOCKS = {"RNN": 1, "LSTM": 4, "GRU": 3}  # hidden x hidden blocks of a cell's weight matrix
QUICK = [("RNN", 3, 10)] + [(cell, 3, 100) for cell in BLOCKS] + [("RNN", 3, 1000)]
FULL = [(cell, 3, digits) for cell in BLOCKS for digits in (10, 100, 1000, 5000)]
FULL += [("RNN", layers, 5000) for layers in (1, 2, 4)]
PROFILED = [("RNN", 3, digits) for digits in (10, 100, 1000, 5000)] + [("LSTM", 3, 100), ("GRU", 3, 100)]
PARTS = {  # operations by what they do; what is in none is "other operations"
    "matrix products": "mm addmm addmm_",
    "digit pairs to states and back": "index_select scatter_add_ index_add_",
    "sigmoid and the cell's arithmetic": "sigmoid_ sigmoid_backward mul mul_ sub sub_ add_ addcmul_ lerp",
    "softmax and loss": "_log_softmax exp_ gather scatter_ sum",
    "views": "select slice unbind view as_strided flatten permute numpy_T transpose t expand",
}


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
    """Medians {(engine, threads): ms of a batch} and {threads: GFLOP/s of a product}. The order turns every round."""
    steps = {engine: one_batch(*case, engine) for engine in ENGINES}
    turns, squares = [(engine, threads) for threads in (1, 2) for engine in ENGINES], torch.rand(3, 1024, 1024)
    for turn in turns:
        seconds(steps[turn[0]], turn[1])
    times, rates = {turn: [] for turn in turns}, {1: [], 2: []}
    for k in range(rounds):
        for engine, threads in turns[:: (-1) ** k]:
            times[engine, threads].append(1e3 * seconds(steps[engine], threads))
            rates[threads].append(product_rate(squares, threads))
    return [{key: statistics.median(taken) for key, taken in measured.items()} for measured in (times, rates)]


def product_rate(squares, threads):
    """GFLOP/s of a product of square matrices; `squares` is three of them, the last for the result."""
    a, b, out = squares
    return 2e-9 * len(a) ** 3 / seconds(lambda: torch.mm(a, b, out=out), threads)


def measure_parts(case, rounds):
    """Where a profiled batch of ours goes on one thread: {part: ms}, adding up to the last; the median of some."""
    torch.set_num_threads(1)
    step, part_of = one_batch(*case, "bptt"), {f"aten::{op}": part for part, ops in PARTS.items() for op in ops.split()}
    step()
    profiles = []
    for _ in range(rounds):
        parts = dict.fromkeys([*PARTS, "other operations"], 0)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            whole = 1e3 * seconds(step, 1)
        for event in profile.key_averages():
            parts[part_of.get(event.key, "other operations")] += event.self_cpu_time_total / 1e3
        profiles.append(parts | {"Python between them": whole - sum(parts.values()), "a batch": whole})
    return sorted(profiles, key=lambda parts: parts["a batch"])[rounds // 2]


def gflop(cell, layers, digits, batch=200, hidden=64):
    return 3 * 2e-9 * batch * (digits + 1) * (2 * layers - 1) * BLOCKS[cell] * hidden**2


HEAD = """\
              | one thread, ms                                       | two threads, ms           | peak, MB
cell L digits | reference     bptt  ratio limit  GFLOP/s of product | reference     bptt  ratio | reference bptt"""


def line(rows):
    """A case in one line: rows of reference and ours on one thread, then on two."""
    slow, fast, slow2, fast2 = rows
    ratio = slow["ms"] / fast["ms"]
    text = (f"{fast['cell']:4} {fast['layers']} {fast['digits']:6} | "
            f"{slow['ms']:9.1f} {fast['ms']:8.1f} {ratio:5.1f}x {ratio / fast['share_of_product_rate']:4.1f}x "
            f"{fast['gflops']:8.0f} {fast['share_of_product_rate']:10.0%} | "
            f"{slow2['ms']:9.1f} {fast2['ms']:8.1f} {slow2['ms'] / fast2['ms']:5.1f}x |")
    return text + (f" {slow['peak_bytes'] / 1e6:9.0f} {fast['peak_bytes'] / 1e6:4.0f}" if fast["peak_bytes"] else "")


def parts_table(profiles):
    """Lines of a table: a column of each profiled case, in its ms and as a share of its batch."""
    heads = (f"{p['cell']} {p['digits']} digits" for p in profiles)
    lines = [f"{'ours, one thread, 3 layers':34}" + "".join(f"{head:>17}" for head in heads)]
    for part in profiles[0]["parts"]:
        shares = [(p["parts"][part], p["parts"][part] / p["parts"]["a batch"]) for p in profiles]
        lines.append(f"{part:34}" + "".join(f"{ms:9.1f} ms {share:4.0%}" for ms, share in shares))
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short cases only, under a minute")
    quick = parser.parse_args().quick
    cases = QUICK if quick else FULL
    peaks = measure_peaks([("RNN", 3, 1000)] if quick else cases)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}\n\n{HEAD}", flush=True)
    rows = []
    for case in cases:
        cell, layers, digits = case
        rounds = ({10: 9, 100: 3, 1000: 3} if quick else {10: 25, 100: 9, 1000: 5, 5000: 3})[digits]
        times, rates = measure_times(case, rounds)
        for (engine, threads), ms in times.items():
            rate = gflop(*case) / ms * 1e3
            rows.append(dict(cell=cell, layers=layers, digits=digits, engine=engine, threads=threads, ms=ms,
                             gflops=rate, product_gflops=rates[threads], share_of_product_rate=rate / rates[threads],
                             peak_bytes=peaks.get((*case, engine))))
        print(line(rows[-4:]), flush=True)
    rates = [row["product_gflops"] for row in rows if row["threads"] == 1]
    print(f"\na product of 1024 x 1024 matrices: {min(rates):.0f} to {max(rates):.0f} GFLOP/s on one thread\n")
    profiles = [dict(cell=case[0], digits=case[2], parts=measure_parts(case, 1 if quick else 3))
                for case in PROFILED if case in cases]
    print(parts_table(profiles), flush=True)
    if not quick:
        result = dict(torch=torch.__version__, batch_size=200, rows=rows, profiles=profiles)
        runs.write_whole(Path(__file__).parents[1] / "records" / "bench.json", (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
