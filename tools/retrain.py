"""Make the records of the report anew, or only those that are missing, or check a few of the shipped ones.

python retrain.py               forget the records of the report's runs and train them all anew (hours)
python retrain.py --missing     train those without a record; a stopped one goes on from its checkpoint
python retrain.py --verify 5    train 5 of the recorded ones again, in a temporary folder, and compare
python retrain.py --list        the experiments, how many of their runs have records, what these took
With --only NAME ... all of them do so for these experiments alone, in this order.
"""

import argparse
import math
import random
import sys
import tempfile

import addrnn
from addlab.engine import store as runs
from addrnn import SEEDS, Config

FEW_SEEDS = (0, 1, 2)
LRS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
WIDTHS = {1: 150, 2: 94, 3: 75, 4: 64}  # hidden sizes that give 1-4 layers the parameters of 4 layers of 64
CELL_WIDTHS = {"RNN": 64, "GRU": 35, "LSTM": 29}  # and 3 layers of each cell those of the RNN of 64
EARLY = (100, 150, 200)  # batches after which the errors are looked at
LONG = dict(digit_len=5000, batches=400)
TOLERANCE = 1e-3  # relative, of early losses on other machines


def configs(seeds=SEEDS, **settings):
    """Configs at 100 digits unless said else, one for each combination of the listed values, seeds running fastest."""
    found = [{"digit_len": 100, "eval_every": 10}]
    for name, values in (settings | {"seed": seeds}).items():
        values = values if isinstance(values, tuple) else (values,)
        found = [c | {name: value} for c in found for value in values]
    return [Config(**c) for c in found]


def experiments():
    """{name: configs} of all runs of the report, the central and cheap first: the order to train them in.

    Notebook NN asks for NN and NN-…; a run that two of them share is trained once, and one that ends on another's way
    in the same experiment comes for nothing.
    """
    longest = {f"5000-seed{seed}": configs(layers=(1, 2, 3, 4), seeds=(seed,), **LONG)
               + configs(seeds=(seed,), **LONG | {"batches": EARLY}) for seed in FEW_SEEDS}
    return {
        "03": configs(digit_len=(10, 100), layers=(1, 2, 3, 4)),
        "05": configs(lr=(1e-3, 1e-2, 1e-1)) + configs(lr=LRS, digit_len=10, seeds=FEW_SEEDS)
        + configs(lr=(1e-5, 1e-4), batches=2000),
        "04": configs(digit_len=(10, 100), cell=("RNN", "LSTM", "GRU")),
        "04-rates": configs(cell=("LSTM", "GRU"), lr=1e-2, batches=300),
        "03-equal": [c for layers in (1, 2, 3) for c in configs(layers=layers, hidden=WIDTHS[layers], batches=400)],
        "04-equal": [c for cell in ("LSTM", "GRU") for c in configs(cell=cell, hidden=CELL_WIDTHS[cell], batches=600)],
        "06": configs(digit_len=10, chains=0.5, layers=(1, 3), batches=(1000, 4000)),
        "05-1000": configs(digit_len=1000, lr=(1e-2, 1e-1), batches=150, seeds=FEW_SEEDS),
        "02": configs(digit_len=(10, 100, 1000)) + configs(digit_len=(100, 1000), batches=EARLY, seeds=(0,))
        + configs(digit_len=1000, batches=EARLY[-1], seeds=(1, 2, 3, 4)),
        "04-rates-far": configs(cell=("LSTM", "GRU"), lr=(1e-4, 1e-1), batches=300, seeds=(0, 1))
        + configs(lr=1e-4, batches=300, seeds=(0, 1)),
        "04-1000": configs(digit_len=1000, cell=("LSTM", "GRU"), batches=400, seeds=FEW_SEEDS),
    } | longest | {"5000-cells": configs(digit_len=5000, cell=("LSTM", "GRU"), batches=150, seeds=(0,))}


def forget(store, wanted):
    """Remove the records of these configs, and what was begun of them."""
    for config in wanted:
        for path in [*store.folder.glob(f"{store.name(config)}.*"), *store.unfinished.glob(f"{store.name(config)}.*")]:
            path.unlink()


def early(config):
    """Batches until which another rounding stays far below TOLERANCE.

    Measured with the gradients of torch.nn for ours: relative differences below 1e-6 after 20 batches up to a rate of
    1e-2, of 5e-5 after 5 and 1e-2 after 10 batches at a rate of 1e-1.
    """
    return 20 if config.lr <= 1e-2 else 5


def alike(shipped, again):
    """Whether two runs were made so that their bits must agree."""
    return all(getattr(shipped, name) == getattr(again, name) for name in ("versions", "device", "gradients"))


def differences(shipped, again):
    """How a run differs from its repetition: lines, none where it does not.

    Bit for bit where versions, processor, device and gradients agree; else in the losses of the first batches, within
    TOLERANCE: later ones diverge from a difference of one rounding.
    """
    if alike(shipped, again):
        lines = [f"{curve} differs" for curve in runs.CURVES if getattr(shipped, curve) != getattr(again, curve)]
        old, new = shipped.model.state_dict(), again.model.state_dict()
        return lines + [f"weights {name} differ" for name in old if not old[name].equal(new[name])]
    first = early(shipped.config)
    pairs = list(zip(shipped.loss[:first], again.loss[:first], strict=False))
    return [f"loss of batch {i} is {b!r}, shipped {a!r}: more than {TOLERANCE:g} apart"
            for i, (a, b) in enumerate(pairs, 1) if not math.isclose(a, b, rel_tol=TOLERANCE)]


def verify(store, wanted, count):
    """Repeat `count` of the recorded runs, drawn at random; prints one line for each difference, returns how many."""
    recorded = [run for run in map(store.read, wanted) if run]
    drawn = random.sample(recorded, min(count, len(recorded)))
    seconds = sum(run.seconds for run in drawn)
    print(f"{len(drawn)} of {len(recorded)} recorded runs; when first made they took {seconds / 60:.1f} core-minutes")
    with tempfile.TemporaryDirectory() as folder:
        repeated = addrnn.sweep([run.config for run in drawn], folder=folder)
    lines = []
    for shipped, again in zip(drawn, repeated, strict=True):
        name, found = store.name(shipped.config), differences(shipped, again)
        lines += [f"{name}: {line}" for line in found]
        if not found:
            print(f"{name}: the same, " + ("bit for bit" if alike(shipped, again) else
                  f"within {TOLERANCE:g} over {early(shipped.config)} batches (made with other versions or devices)"))
    print(*lines, sep="\n", end="\n" * bool(lines), file=sys.stderr)
    return len(lines)


def main(arguments=None):
    """The command line; exit status 1 for a difference or a failed run, 2 for bad options."""
    known = experiments()
    parser = argparse.ArgumentParser(prog="retrain.py", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.error = lambda message: sys.exit(print(f"retrain: {message}", file=sys.stderr) or 2)
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), metavar="NAME",
                        help=f"of these experiments only: {' '.join(known)}")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--missing", action="store_true", help="keep the records that are there, train the others")
    what.add_argument("--verify", type=int, metavar="N", help="repeat N recorded runs, drawn at random, and compare")
    what.add_argument("--list", action="store_true", help="only say what there is")
    options = parser.parse_args(arguments)
    if options.verify is not None and options.verify < 1:
        parser.error(f"argument --verify: got {options.verify}, allowed is a whole number, 1 or more")
    store = runs.Store(addrnn.home() / "records" / "runs", addrnn.Adder)
    wanted = list(dict.fromkeys(config for name in options.only for config in known[name]))
    if options.verify:
        return min(1, verify(store, wanted, options.verify))
    if not (options.missing or options.list):
        forget(store, wanted)
    failed = 0
    for name in options.only:
        if not options.list:
            try:
                addrnn.sweep(known[name])
            except RuntimeError as problem:
                failed = 1
                print(problem, file=sys.stderr)
        there = [run for run in map(store.read, known[name]) if run]
        print(f"{name:14} {len(there):3} of {len(known[name]):3} runs recorded, "
              f"{sum(run.seconds for run in there) / 60:6.1f} core-minutes", flush=True)
    return failed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("retrain: stopped; --missing goes on from here")
    except (OSError, ValueError) as problem:
        print(f"retrain: {problem}", file=sys.stderr)
        sys.exit(2)
