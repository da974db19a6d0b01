"""Time and memory of one training batch: the engine against torch.nn with autograd, in the same run.

    python -m tools.bench           every case, some ten minutes on an idle machine; writes records/bench.json
    python -m tools.bench --quick   the short cases, under a minute; writes nothing

A batch is loss, gradients and Adam's update for 200 pairs. Times are medians of batches that take turns: torch and ours
on one thread, ours on two, and a product of square matrices. GFLOP/s counts the products that the mathematics needs:
those between states of the layers, forward and twice backward; their share is of the rate of the square product.
Memory is the growth of a fresh process's peak, on one thread. What a model says (`predict` for 200 pairs, and for one
pair of a million digits) is timed against torch's forward pass.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import argparse
import functools
import json
import multiprocessing
import resource
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

import addrnn
from addlab import engine
from addlab.files import CHECKOUT, write_whole

BLOCKS = {name: engine.gates(name) for name in engine.CELLS}  # hidden x hidden blocks of a cell's weight matrix
QUICK = [("RNN", 3, 10), *((cell, 3, 100) for cell in BLOCKS), ("RNN", 3, 1000)]
FULL = [(cell, 3, digits) for cell in BLOCKS for digits in (10, 100, 1000, 5000)]
FULL += [("RNN", layers, 5000) for layers in (1, 2, 4)]
ROUNDS = {10: 31, 100: 11, 1000: 5, 5000: 2}
SAID = [(cell, pairs, digits) for cell in BLOCKS for pairs, digits in ((200, 5000), (1, 1_000_000))]


def batch_of(who, cell, layers, digits):
    """A function that trains on one batch again and again, by "torch" or by "ours"."""
    model = addrnn.Adder(addrnn.Config(cell=cell, layers=layers))
    batch = addrnn.sample(200, digits, np.random.default_rng(0))
    if who == "ours":
        gradients, optimizer = functools.partial(engine.gradients, model), engine.Adam(model.parameters(), 1e-3)
    else:
        def gradients(*batch):
            addrnn.autograd(model, *batch)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def step():
        gradients(*batch)
        optimizer.step()

    return step


def ms(step, threads=1):
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - begin)


def peak_bytes(*case):
    """Growth of this process's peak memory in a batch. Call in a fresh process: a peak never falls."""
    engine, cell, layers, _ = case
    ms(batch_of(engine, cell, layers, 1))  # libraries load what they need
    step = batch_of(*case)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ms(step)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def measure_peaks(cases):
    """{(engine, *case): bytes}, each in a process of its own."""
    # Before this process grows: on Linux a child's peak starts at its parent's.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        asked = [(engine, *case) for case in cases for engine in ("torch", "ours")]
        return {case: pool.submit(peak_bytes, *case).result() for case in asked}


def measure(case, rounds, peaks):
    """A row of the table, as plain data."""
    cell, layers, digits = case
    torch_step, our_step, squares = batch_of("torch", *case), batch_of("ours", *case), torch.rand(3, 1024, 1024)
    turns = {"torch": (torch_step, 1), "ours": (our_step, 1), "ours2": (our_step, 2),
             "product": (lambda: torch.mm(squares[0], squares[1], out=squares[2]), 1)}
    times = {name: [] for name in turns}
    for k in range(rounds + 1):  # the first does not count
        for name in list(turns)[:: (-1) ** k]:
            taken = ms(*turns[name])
            if k:
                times[name].append(taken)
    row = {"cell": cell, "layers": layers, "digits": digits}
    row |= {name: statistics.median(taken) for name, taken in times.items()}
    row["gflops"] = 3 * 2e-6 * 200 * (digits + 1) * (2 * layers - 1) * BLOCKS[cell] * 64**2 / row["ours"]
    row["product_gflops"] = 2e-6 * 1024**3 / row["product"]
    return row | {f"{engine}_peak": peaks[engine, *case] for engine in ("torch", "ours")}


def measure_said(cell, pairs, digits):
    """How long it takes to hear what a model says, by torch and by ours, on one thread, as plain data."""
    model = addrnn.Adder(addrnn.Config(cell=cell))
    num1, num2, _ = addrnn.sample(pairs, digits, np.random.default_rng(0))

    @torch.no_grad()
    def by_torch():
        state = None
        for at in range(0, digits + 1, 256):
            inputs = [model.embed_layer(torch.as_tensor(n[:, at : at + 256])) for n in (num1, num2)]
            states, state = model.rnn(torch.cat(inputs, 2).transpose(0, 1), state)
            model.dense(states).argmax(2)

    return {"cell": cell, "pairs": pairs, "digits": digits, "torch": ms(by_torch),
            "ours": ms(lambda: model.predict(num1, num2))}


HEAD = """\
              | one thread, ms a batch                      | two threads    | peak, MB
cell L digits |    torch     ours  ratio  GFLOP/s of product |     ours faster |  torch  ours"""


def line(row):
    """A row in text."""
    return (f"{row['cell']:4} {row['layers']} {row['digits']:6} | {row['torch']:8.1f} {row['ours']:8.1f} "
            f"{row['torch'] / row['ours']:5.1f}x {row['gflops']:8.0f} {row['gflops'] / row['product_gflops']:10.0%} | "
            f"{row['ours2']:8.1f} {row['ours'] / row['ours2']:5.1f}x | "
            f"{row['torch_peak'] / 1e6:6.0f} {row['ours_peak'] / 1e6:5.0f}")


def line_said(row):
    return (f"{row['cell']:4} {row['pairs']:3} x {row['digits']:7} digits | {row['torch']:8.0f} {row['ours']:8.0f} "
            f"{row['torch'] / row['ours']:5.1f}x")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short cases only, under a minute")
    quick = parser.parse_args().quick
    cases, rows, said = QUICK if quick else FULL, [], []
    peaks = measure_peaks(cases)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}\n\n{HEAD}", flush=True)
    for case in cases:
        rows.append(measure(case, 3 if quick else ROUNDS[case[2]], peaks))
        print(line(rows[-1]), flush=True)
    rates = [row["product_gflops"] for row in rows]
    print(f"\na product of 1024 x 1024 matrices: {min(rates):.0f} to {max(rates):.0f} GFLOP/s on one thread")
    print("\nwhat a model of 3 layers says, ms |    torch     ours  ratio")
    for case in SAID[::2] if quick else SAID:
        said.append(measure_said(*case))
        print(line_said(said[-1]), flush=True)
    if not quick:
        result = {"torch": torch.__version__, "batch_size": 200, "rows": rows, "said": said}
        path = CHECKOUT / "records" / "bench.json"
        write_whole(path, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
