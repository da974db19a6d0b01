"""The command line of addrnn.py: the original's options, and what a trained model says to two numbers."""

import argparse
import contextlib
import math
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
from flint import fmpz

from addlab.engine import store as runs
from addrnn import Adder, Config, Training, finish, one_thread, pick_device, sample, to_digits, to_text


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(message)


def fail(message):
    """Leave with exit status 2 and one line."""
    print(f"addrnn: {message}", file=sys.stderr)
    sys.exit(2)


def number(text):
    """An int or a float where the text is one, else the text, for Config to refuse in its own words."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def parser():
    p = _Parser(prog="addrnn.py", allow_abbrev=False,
                description="Train a recurrent network to add two decimal numbers, or ask a trained one.",
                epilog="example: python addrnn.py --digit_len 10 --model RNN --layer 3 --save adder.safetensors")
    about = dict(digit_len="digits of each number", cell="cell: RNN, LSTM or GRU (pt: RNN)", layers="stacked layers",
                 lr="Adam's learning rate", batches="training batches", batch_size="pairs in a training batch",
                 test_batch_size="pairs in the test set", eval_every="batches between evaluations",
                 seed="of weights, batches and test set", hidden="units of a layer",
                 embedding="size of a digit's vector", chains="share of training pairs given columns that sum to 9")
    for f in fields(Config):
        kind = str if f.type is str else number
        p.add_argument(f.metadata["option"], dest=f.name, type=kind, default=f.default, metavar=f.type.__name__.upper(),
                       help=f"{about[f.name]} (default {f.default})")
    p.add_argument("--device", help="cpu (default) or cuda")
    p.add_argument("--gradients", help="bptt (default on cpu) or autograd (the only one on cuda)")
    p.add_argument("--save", metavar="PATH", help="write the trained weights there, as safetensors")
    p.add_argument("--load", metavar="PATH", help="take these weights instead of training")
    p.add_argument("--add", nargs=2, action="append", default=[], metavar=("A", "B"), help="ask the model for A + B")
    return p


def main(arguments=None):
    """The command line; returns nothing, leaves with status 2 and one line for bad input."""
    options = vars(parser().parse_args(arguments))
    device, gradients, save, load, pairs = (options.pop(k) for k in ("device", "gradients", "save", "load", "add"))
    options["cell"] = Config.cell if options["cell"] == "pt" else options["cell"]
    try:
        config = Config(**options)
        pairs = [(to_text(to_digits(a)), to_text(to_digits(b))) for a, b in pairs]
        if save is not None:
            check_writable(save)
        if load is not None:
            model = Adder.load(load).to(pick_device(device))
        else:
            run = finish(begin(config, device, gradients))
            model = run.model
            print_curve(run)
    except ValueError as problem:
        fail(problem)
    except KeyboardInterrupt:
        print("addrnn: stopped", file=sys.stderr)
        sys.exit(130)
    if save is not None:
        try:
            model.save(save)
        except OSError as problem:  # the disk may have filled up since
            fail(f"output path (--save): got {save!r}, {problem.strerror}; allowed is a file that can be written")
        print(f"weights: {save}")
    if load is None:
        num1, num2, _ = sample(3, config.digit_len, np.random.default_rng())
        pairs = pairs or [(to_text(a), to_text(b)) for a, b in zip(num1, num2, strict=True)]
    for a, b in pairs:
        right = fmpz(a) + fmpz(b)
        said = model.add_text(a, b)
        print(f"{a} + {b} = {said}" + ("" if said == right.str() else f"   wrong: it is {right.str()}"))


def begin(config, device, gradients):
    """A Training after its first batch, which shows whether the sizes fit: MemoryError and the like end in one line."""
    try:
        training = Training(config, device, gradients)
        with one_thread():
            training.step()
        return training
    except (MemoryError, RuntimeError, OverflowError, TypeError) as problem:  # what NumPy and torch raise for them
        fail(f"these sizes are too large for this machine: {(str(problem).splitlines() or ['out of memory'])[0]}")


def check_writable(path):
    """Raise ValueError unless a file can be written at `path`, which is left as it was."""
    try:
        if Path(path).is_dir():
            raise IsADirectoryError("is a folder")
        runs.write_whole(probe := Path(f"{path}.probe"), b"")
        probe.unlink()
    except OSError as problem:
        reason = problem.strerror or problem
        raise ValueError(f"output path (--save): got {path!r}, {reason}; allowed is a file in a folder that can be "
                         "written") from None


def print_curve(run):
    """Print a run's evaluations, at most 20 of them, and its end."""
    print("batch      loss  sums right  digits right")
    rows = list(zip(run.eval_batch, run.accuracy, run.digit_accuracy, strict=True))
    for batch, accuracy, digit_accuracy in rows[:: math.ceil(len(rows) / 20) or 1]:
        print(f"{batch:5d}  {run.loss[batch - 1]:8.4f}  {accuracy:10.3f}  {digit_accuracy:12.4f}")
    if run.diverged:
        print(f"diverged at batch {len(run.loss)}: the loss is {run.loss[-1]}")
    if rows:
        print(f"final accuracy {run.accuracy[-1]:.3f} on {run.config.test_batch_size} sums, {run.seconds:.1f} s")
