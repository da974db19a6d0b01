"""Train the runs of the report that have no record, or train some recorded ones again and compare.

python -m tools.retrain              train what is missing, in the order of addlab/study/experiments.py; a stopped run
                                     goes on from its checkpoint
python -m tools.retrain --verify 5   train 5 of the recorded runs again and compare them, bit for bit
python -m tools.retrain --list       the experiments, how many of their runs have records, what these took
With --only NAME ... all of them look at these experiments alone, in this order; with --device cuda a GPU trains. The
records are those of this clone, or of the folder that ADDRNN_HOME names.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import argparse
import functools
import os
import random
import sys
import tempfile
import warnings

import addrnn
from addlab import devices, files, workers
from addlab.command import fail, one_line_errors
from addlab.inputs import Refusal
from addlab.records import Store, record_of
from addlab.study.experiments import EXPERIMENTS, keeps_weights

SUMMARY = "Train the runs of the report that have no record, or train some recorded ones again and compare."


def main(arguments=None):
    """The command line; exit status 1 for a difference or a failed run, 2 for bad options."""
    parser = argparse.ArgumentParser(prog="retrain", description=SUMMARY, allow_abbrev=False)
    parser.error = functools.partial(fail, "retrain")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS), metavar="NAME",
                        help=f"look at these experiments only: {' '.join(EXPERIMENTS)}")
    parser.add_argument("--device", metavar="NAME", help="cpu (default) or cuda")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--verify", type=int, metavar="N", help="train N of the recorded runs again, and compare")
    what.add_argument("--list", action="store_true", help="only say what there is")
    options = parser.parse_args(arguments)
    with one_line_errors("retrain"):
        if options.verify is not None and options.verify < 1:
            raise Refusal(f"--verify: got {options.verify}, allowed is a whole number, 1 or more")
        devices.pick_device(options.device)
        os.environ.setdefault("ADDRNN_HOME", str(files.CHECKOUT))
        store = addrnn.store()
        if options.list:
            list_experiments(options.only, store)
            return 0
        wanted = list(dict.fromkeys(config for name in options.only for config in EXPERIMENTS[name]))
        if options.verify:
            return verify(wanted, store, options.verify)
        return train_missing(wanted, store, options.device)


def train_missing(wanted, store, device):
    """Train the runs without a record; prints a line for each. Returns the exit status."""
    missing = [config for config in wanted if not store.read(config)]
    done = 0

    def report(config):
        nonlocal done
        done += 1
        run = store.read(config)
        print(f"{done}/{len(missing)} {store.name(config)}: {run.seconds:.0f} s"
              + (f", diverged at batch {len(run.loss)}" if run.diverged else f", accuracy {run.accuracy[-1]:.3f}"),
              flush=True)

    try:
        workers.train_all(missing, store, addrnn.Training, device=device, keeps_weights=keeps_weights, report=report)
    except RuntimeError as failures:
        print(failures, file=sys.stderr)
        return 1
    print(f"{len(wanted)} runs have records")
    return 0


def verify(wanted, store, count):
    """Train `count` of the recorded runs again; prints a line for each. Returns the exit status.

    Runs that a GPU made promise no bits, and are left out.
    """
    every = [run for run in map(store.read, wanted) if run]
    recorded = [run for run in every if run.device == "cpu"]
    if len(recorded) < len(every):
        print(f"{len(every) - len(recorded)} runs of another device promise no bits and are left out")
    if not recorded:
        raise Refusal("--verify: got no records to verify, allowed is a store that has some")
    drawn = random.sample(recorded, min(count, len(recorded)))
    print(f"{len(drawn)} of {len(recorded)} recorded runs; when first made they took "
          f"{sum(run.seconds for run in drawn) / 60:.1f} core-minutes", flush=True)
    status = 0
    with tempfile.TemporaryDirectory() as folder:
        again = Store(folder, addrnn.Run, addrnn.Adder, store.versions)
        workers.train_all([run.config for run in drawn], again, addrnn.Training)
        for run in drawn:
            differences = compare(store, again, run.config)
            status |= bool(differences)
            print(f"{store.name(run.config)}: " + (f"{', '.join(differences)} differ" if differences else
                                                   "the same, bit for bit"), flush=True)
    return status


def compare(store, again, config):
    """The names of what differs between two records of a run, the time it took aside."""
    one, other = (comparable(some, config) for some in (store, again))
    return [name for name in one if one[name] != other[name]]


def comparable(store, config):
    """What two records of a run have in common; a version that an older one does not know is 1."""
    run = store.read(config)
    versions = dict.fromkeys(store.versions, 1) | run.versions
    record = record_of(run) | {"weights": store.weights_digest(config), "versions": versions}
    del record["seconds"]
    return record


def list_experiments(names, store):
    """Print a line for each experiment."""
    for name in names:
        with warnings.catch_warnings(action="ignore"):
            runs = [run for run in map(store.read, EXPERIMENTS[name]) if run]
        print(f"{name:22} {len(runs):3} of {len(EXPERIMENTS[name]):3} runs recorded, "
              f"{sum(run.seconds for run in runs) / 60:6.1f} core-minutes")


if __name__ == "__main__":
    sys.exit(main())
