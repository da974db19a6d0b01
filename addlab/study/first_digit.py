"""Why the digit that is read first, the ones digit, is learned last: its share of the loss, and the state before it.

Of n + 1 columns it is the only one that is read from the zero state, so 1/(n + 1) of the loss is about it.
Each of these can come out otherwise:

    dose       100 digits that give the first column the share which it has among 1000 need as many batches as 1000
               digits do; 1000 digits with the share of 100 need as few as 100 do; and so for 10 and 5000
    phantom    the zero state lies on the side of the carry: a wrong first digit is exactly one too large
    untrained  a first column that has no share at all is mostly right, since the other columns teach the digits
    leads      a column read before repairs the first digit, unless it sums to 9: that passes on what it gets

python -m addlab.study.first_digit    measure what is missing in records/studies/first_digit.json; can be stopped
"""

import dataclasses
import sys

import numpy as np

from addlab.engine import parameters
from addlab.study import measures, plots
from addlab.study.experiments import WEIGHTS, configs, recorded
from addlab.study.start import plain_step
from addlab.study.studies import recall, results
from addrnn import Adder, Config, sample, streams

STUDY = "first_digit"
SETTLED = 20  # a run ends when the mean share of sums right of so many batches is 0.99
LIMIT = 1500
PAIRS = np.stack(np.divmod(np.arange(100), 10))


# Dose and response

def plan():
    """[(config, the length whose share of the loss the first column gets, seed of the data)], most telling first.

    A share of None is 0: the first column is not trained at all.
    """
    def each(seeds, digit_len, shares, limit=LIMIT):
        return [(config, share, config.seed) for share in shares
                for config in configs(seeds, digit_len=digit_len, batches=limit)]

    # The same first weights with other data: recorded, but not told in the report.
    crossed = [(config, 100, data) for data in (100, 101, 102)
               for config in configs(range(10), digit_len=100, batches=LIMIT)]
    return [*each(range(3), 100, [1000, 5000]), *each(range(3), 1000, [100]), *each(range(3), 100, [None], 400),
            *crossed[:10], *each(range(5), 100, [10]), *each([3, 4], 100, [1000]), *crossed[10:20],
            *each(range(3), 100, [300]), *each(range(5, 10), 100, [1000]), *each([0], 1000, [10]),
            *each([3, 4], 100, [None], 400), *each([3, 4], 100, [5000]), *each(range(5, 10), 100, [10]),
            *each([3, 4], 100, [300]), *crossed[20:], *each([3, 4], 1000, [100]), *each([1, 2], 1000, [10]),
            *each(range(3), 5000, [100], 300), *each(range(2), 1000, [5000])]


def key(config, share, data):
    """The name of a run in the study's file."""
    of = f"share of {share} digits" if share else "no share"
    return f"{config.digit_len} digits, {of}, weights {config.seed}, data {data}"


def extra(share, digit_len):
    """The weight beside the whole loss that gives the first of `digit_len` + 1 columns the share that it has in `share`
    digits; it is below 0 where that is less than its own."""
    own, wanted = 1 / (digit_len + 1), 1 / (share + 1) if share else 0.0
    return (wanted - own) / (1 - own)


def train(config, share, data):
    """Train with a share of the loss for the first column until nearly all sums are right, at most config.batches.

    Weights are drawn from the config's seed, batches from the seed `data`. Returns {"sums", "first": how many of each
    fresh batch's sums, and of their first digits, are right before its update; "off": see `off`}.
    """
    model, rng = Adder(config), streams(data)[1]
    step, optimizer = plain_step(model, extra=extra(share, config.digit_len)), parameters.Adam(
        model.parameters(), config.lr)
    sums, first = [], []
    while len(sums) < config.batches and sum(sums[-SETTLED:]) < 0.99 * SETTLED * config.batch_size:
        _, accuracy, right = step(*sample(config.batch_size, config.digit_len, rng))
        sums.append(round(accuracy * config.batch_size))
        first.append(round(right * config.batch_size))
        optimizer.step()
    return {"sums": sums, "first": first, "off": off(model).tolist()}


@dataclasses.dataclass
class Trained:
    """A run of this study, as measures read runs."""

    config: Config
    batch_accuracy: list
    first_column: list
    off: list


def runs(digit_len, share):
    """[Trained] of a length whose first column got the share that it has in `share` digits, its own data; by seed."""
    known = results(STUDY)
    found = [(config, known.get(key(config, of, data))) for config, of, data in plan()
             if (config.digit_len, of, data) == (digit_len, share, config.seed)]
    return sorted((trained(config, result) for config, result in found if result), key=lambda run: run.config.seed)


def trained(config, result):
    """The Trained of what the study's file holds."""
    counts = [[right / config.batch_size for right in result[name]] for name in ("sums", "first")]
    return Trained(config, *counts, result["off"])


def needed(digit_len, share, measure=measures.ACCURACY):
    """{seed: batches} until 99% of sums are right; with its own share the recorded runs of the report."""
    group = recorded(configs(range(10), digit_len=digit_len)) if share == digit_len else runs(digit_len, share)
    return measures.by_seed(group, measure)


# Finished models

def off(model):
    """For each of the 100 pairs of first digits, how much larger than right the first digit is, mod 10: int [100]."""
    num1, num2 = PAIRS[:, :, None]
    return ((model.predict(num1, num2) - num1 - num2) % 10)[:, 0]


def half_trained():
    """{name: {"off": see `off`, "leads": see `leads`}} of all recorded models with weights that get some pair wrong."""
    found = {}
    for config in sorted(WEIGHTS, key=lambda c: (c.digit_len, c.batches, c.cell, c.layers, c.lr, c.seed)):
        if config.digit_len < 1000:
            continue
        for run in recorded([config]):
            name = f"{config.digit_len} digits, {config.cell}, {config.layers} layers, batch {config.batches}"
            found[f"{name}, seed {config.seed}"] = {"off": off(run.model).tolist(), "leads": leads(run.model)}
    return found


def leads(model):
    """Share of the 100 pairs whose digit is right behind one column in front that sums to 0, 1 … 18: list [19]."""
    first, second = np.repeat(PAIRS, 100, axis=1), np.tile(PAIRS, 100)
    num1, num2 = np.stack((first, second), axis=2)
    total = (num1 + num2)[:, 1] + (first.sum(axis=0) > 9)
    right = model.predict(num1, num2)[:, 1] == total % 10
    return [round(float(right[first.sum(axis=0) == n].mean()), 4) for n in range(19)]


# In pictures

def dose(digit_lens=(100, 1000, 5000), shares=(10, 100, 300, 1000, 5000), least=5):
    """{(length, share): {seed: batches until 99% of sums are right}}, of the seeds that all have.

    Shares of which fewer than `least` seeds have been trained are left out.
    """
    found = {(n, share): needed(n, share) for n in digit_lens for share in shares}
    return measures.common({which: times for which, times in found.items() if len(times) >= least})


def dose_figure(found):
    """Batches until 99% of sums are right against the ones digit's share of the loss; found: `dose()`.

    A dot for each seed, filled where the share is the length's own, and a line through the medians of a length.
    """
    fig, ax = plots.figure("With the same share, 100 digits take in the median nearly as long as 5000", height=2.4)
    drawn = sorted({share for _, share in found})
    plots.axis(ax, "", "the ones digit's share of the loss", "batches to 99%", log="xy",
               xlim=(0.7 * drawn[0], 1.4 * drawn[-1]), ylim=(120, 1100))
    plots.decades(ax, drawn)
    ax.set_xticks(drawn, [f"1/{share + 1}" for share in drawn])
    ax.set_yticks([200, 400, 800], ["200", "400", "800"])
    lengths = sorted({n for n, _ in found})
    for i, n in enumerate(lengths):
        paint, aside = plots.colour("digit_len", n), 1.06 ** (2 * i - len(lengths) + 1)  # no dot hides another
        middles = {share: np.median(list(times.values())) for (of, share), times in found.items() if of == n}
        ax.plot([share * aside for share in middles], middles.values(), color=paint, linewidth=2.2)
        for share in middles:
            times = found[n, share].values()
            ax.plot([share * aside] * len(times), times, "o", color=paint, markersize=5.5, zorder=3,
                    markerfacecolor=paint if share == n else "white")
    ends = [(max(share for of, share in found if of == n), n) for n in lengths]
    named = [(share, np.median(list(found[n, share].values())), plots.name("digit_len", n),
              plots.colour("digit_len", n)) for share, n in ends]
    plots.name_ends(ax, [end for end in named if end[0] == drawn[-1]])
    for share, middle, text, paint in named:
        if share < drawn[-1]:  # beside its last dots, below the line that goes on
            ax.annotate(text, (share, middle), (14, 0), textcoords="offset points", va="top", color=paint, fontsize=10,
                        fontweight="bold")
    return fig


def stopped(cell="RNN"):
    """What `half_trained` found, of the models of a cell."""
    return [looks for name, looks in results(STUDY).get("half-trained", {}).items() if f" {cell}," in name]


def erring(cell="RNN"):
    """What `half_trained` found, of the models of a cell that get some pair wrong."""
    return [looks for looks in stopped(cell) if any(looks["off"])]


def leads_figure():
    """Share of ones digits right behind a column, by what that sums to, a thin line a model; and without, in dots."""
    models = erring()
    alone = [float(np.mean(np.array(found["off"]) == 0)) for found in models]
    fig, ax = plots.figure("A column read first cures the ones digit; a sum of 9 cures it least", height=2.4)
    plots.axis(ax, "", "sum of the column read before the ones digit", "share right", xlim=(-2.9, 18.5),
               ylim=(-0.02, 1.02))
    plots.curves(ax, {"": [(list(range(19)), found["leads"]) for found in models]}, {"": plots.RIGHT})
    ax.plot(np.linspace(-2.3, -1.7, len(models)), sorted(alone), "o", color=plots.RIGHT, markersize=4, alpha=0.5,
            markeredgewidth=0)
    ax.plot([-2.6, -1.4], [np.median(alone)] * 2, color=plots.RIGHT, linewidth=2.2)
    ax.set_xticks([-2, *range(0, 19, 3)], ["none", *range(0, 19, 3)])
    return fig


def main():
    """Measure what has no result yet, one after the other."""
    recall(STUDY, "half-trained", half_trained)
    for config, share, data in plan():
        name = key(config, share, data)
        if name not in results(STUDY):
            print(name, flush=True)
            recall(STUDY, name, lambda config=config, share=share, data=data: train(config, share, data))


if __name__ == "__main__":
    sys.exit(main())
