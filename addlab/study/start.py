"""The first digit is learned last: what the state before any digit costs, and two ways to make up for it.

All columns but the first are read from a state that some digits left. The first is read from the zero state, which
occurs once in a number: of the loss of n + 1 columns, 1/(n + 1) is about it, less and less the longer the numbers.

    lead    one column 0 + 0 stands in front, in training, so that every true column follows another
    tenth   of the loss a tenth is set apart for the first column, whose share is then .1 + .9/(n + 1)

And without any training, a finished model can be given a column 0 + 0 in front when it is tested.

python -m addlab.study.start     train what has no record in records/start.json; can be stopped and goes on
"""

import dataclasses
import sys

import numpy as np

from addlab import engine, files
from addlab.engine import parameters
from addlab.study.experiments import configs
from addrnn import Adder, Config, Run, sample, streams

REMEDIES = ("tenth", "lead")
SHARE = 0.1


# Finished models

def with_lead(*numbers):
    """Digit arrays [count, digits] with a zero in front, where addition begins."""
    return [np.concatenate((np.zeros_like(digits[:, :1]), digits), axis=1) for digits in numbers]


def wrong_digits(model, num1, num2, total, lead=False):
    """Which digits the model gets wrong: bool [count, digits]. With `lead`, a column 0 + 0 comes before them."""
    digits = model.predict(*with_lead(num1, num2))[:, 1:] if lead else model.predict(num1, num2)
    return digits != total


def first_column(wrong):
    """Shares of (sums right, sums right but for the first column, wrong digits that lie in that column).

    wrong: bool [sums, digits], least significant digit first.
    """
    return (float((~wrong.any(axis=1)).mean()), float((~wrong[:, 1:].any(axis=1)).mean()),
            float(wrong[:, 0].sum() / max(1, wrong.sum())))


def errors(run, count=None):
    """Which digits of fresh sums are wrong: bool [count, digits]."""
    count = count or max(200, 10**6 // max(run.config.digit_len, 500))
    return wrong_digits(run.model, *sample(count, run.config.digit_len, np.random.default_rng(1)))


def tested(run, count=500):
    """{"as trained": share of fresh sums right, "0 + 0 in front": the same with a leading column}."""
    sums = sample(count, run.config.digit_len, np.random.default_rng(4))
    return {name: float((~wrong_digits(run.model, *sums, lead=lead).any(axis=1)).mean())
            for name, lead in (("as trained", False), ("0 + 0 in front", True))}


# Training with a remedy

def train(config, remedy):
    """Train as `addrnn.train` does, but for the remedy: {"loss", "batch_accuracy", "first_column"}, each [batches].

    With "none" it is the same run, bit for bit. Accuracy and the share of first digits that are right are those of each
    fresh batch before its update.
    """
    model, rng = Adder(config), streams(config.seed)[1]
    step = plain_step(model, remedy == "lead", SHARE if remedy == "tenth" else 0.0)
    optimizer = parameters.Adam(model.parameters(), config.lr)
    curves = {"loss": [], "batch_accuracy": [], "first_column": []}
    for _ in range(config.batches):
        batch = sample(config.batch_size, config.digit_len, rng, config.chains)
        if remedy == "lead":
            batch = with_lead(*batch)
        for curve, value in zip(curves.values(), step(*batch), strict=True):
            curve.append(float(value))
        optimizer.step()
    return curves


def plain_step(model, lead=False, extra=0.0):
    """A function of a batch that leaves gradients and returns (loss, accuracy, share of first digits right).

    The first column's own loss is counted once more, with the weight `extra`, and the whole with what is left of 1.
    """
    begin = int(lead)

    def step(num1, num2, total):
        digits = engine.predict(model, num1[:, : begin + 1], num2[:, : begin + 1])
        first = (digits[:, begin] == total[:, begin]).mean()
        loss, accuracy = engine.gradients(model, num1, num2, total)
        if extra:
            whole = [p.grad.numpy().copy() for p in model.parameters()]
            engine.gradients(model, num1[:, :1], num2[:, :1], total[:, :1])
            for p, gradient in zip(model.parameters(), whole, strict=True):
                mine = p.grad.numpy()
                mine *= np.float32(extra)  # NumPy rounds each product and sum alike everywhere
                mine += np.float32(1 - extra) * gradient
        return loss, accuracy, first

    return step


# Records

def plan():
    """[(config, remedy)] of all that is trained with a remedy, most telling first."""
    def each(settings, remedies=REMEDIES):
        return [(config, remedy) for config in settings for remedy in remedies]

    short = dict(digit_len=(10, 100, 1000), batches=300)
    wanted = [*each(configs([0], **short)),
              *each(configs([0], digit_len=5000, batches=300), ["tenth", "lead"]),
              *each(configs([1, 2, 3], **short)),
              *each(configs([0], digit_len=1000, cell=("GRU", "LSTM"), batches=300), ["tenth"]),
              *each(configs(range(4), digit_len=5000, layers=(3, 4, 2), batches=300), ["tenth"]),
              *each(configs(range(4), digit_len=100, cell=("LSTM", "GRU"), batches=300), ["lead"])]
    return list(dict.fromkeys(wanted))  # a seed that is asked for twice counts once


def records():
    """{key: curves} of what has been trained."""
    return files.kept("start.json")


def key(config, remedy):
    """The name of a run in records/start.json."""
    c = config
    return f"{c.digit_len} digits, {c.cell}, {c.layers} layers, {c.batches} batches, seed {c.seed}: {remedy}"


def runs(remedy, **settings):
    """Runs [Run] trained with a remedy, all seeds that have records; `first_column` is a curve of theirs too.

    `settings` are those of Config but for seed and batches, which are the plan's.
    """
    known, found = records(), []
    for config, of in plan():
        same = dataclasses.replace(config, seed=0, batches=1) == Config(**settings, batches=1)
        if of == remedy and same and (curves := known.get(key(config, remedy))):
            run = Run(config, loss=curves["loss"], batch_accuracy=curves["batch_accuracy"])
            run.first_column = curves["first_column"]
            found.append(run)
    return found


def main():
    """Train what has no record yet, one after the other."""
    for config, remedy in plan():
        if (name := key(config, remedy)) not in records():
            print(name, flush=True)
            curves = train(config, remedy)
            files.keep("start.json", curves, name)


if __name__ == "__main__":
    sys.exit(main())
