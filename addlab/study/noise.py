"""Noise on the state in training: which adders that saw nothing but random sums are proved, and by what?

After each column Gaussian noise is added to the state that the next column reads (Jim, Giles & Horne 1996; for bases 2
and 4 Oliva & Lago-Fernández 2020, arXiv:2006.10828). A state that must survive it needs two rests far apart. Each of
these can come out otherwise:

    proved   the same training without noise, as long and at the same falling rate, is not proved
    closed   with the state rounded to whole numbers, a network trained with noise reaches few states, all of them right
    dose     more noise, more room: the least lead of a proof grows with it, until nothing is learned

python -m addlab.study.noise    measure what is missing in records/studies/noise.json; can be stopped
"""

import json
import sys

import numpy as np

from addlab import engine, files
from addlab.certify import ADDITION, certify, counterexample, exhaust
from addlab.certify.walk import Rounded
from addlab.study import claims, measures, plots
from addlab.study.experiments import configs
from addlab.study.fading import COLUMNS, survival
from addlab.study.studies import recall, results
from addrnn import train

STUDY = "noise"
FALL = 0.01  # the learning rate falls in a line to this share of itself
GRID, MOST = 1, 60_000  # states are rounded to multiples of 1 / GRID, and followed until there are more than MOST
LEVELS = (0.0, 0.25, 0.5, 1.0, 1.5)
USUAL = dict(layers=1, lr=3e-3, batches=4000)
COMPARED = ((1, 0.0, True), (1, 0.5, True), (1, 1.0, True), (1, 0.0, False), (1, 1.0, False),
            (2, 1.0, True), (2, 2.0, True), (3, 1.0, True), (3, 2.0, True))  # layers, noise, whether the rate falls
SHIPPED = 2  # proved networks of noise 1 whose certificates are kept


def plan():
    """[(config, whether the rate falls)], most telling first: one layer of 64 units, then what else it might be."""
    def each(seeds, falling=True, **settings):
        return [(config, falling) for config in configs(seeds, **USUAL | settings)]

    first, more = range(3), range(3, 10)
    return [*each(first, noise=(1.0, 0.0)), *each(first, noise=0.5), *each(more, noise=(1.0, 0.0)),
            *each(first, falling=False, lr=1e-3, noise=(1.0, 0.0)), *each(more, noise=0.5),
            *each(first, noise=(0.25, 1.5)), *each(first, noise=1.0, hidden=(32, 128)),
            *each(first, noise=1.0, batches=(1000, 2000, 8000)), *each(first, noise=1.0, layers=(2, 3)),
            *each(first, noise=2.0, layers=(2, 3)), *each(first, noise=2.0, hidden=128),
            *each(first, noise=1.0, cell=("GRU", "LSTM")), *each(first, noise=1.0, digit_len=(5, 20)),
            *each(more, noise=(0.25, 1.5)), *each(range(3, 6), noise=2.0, hidden=128),
            *each(range(3, 6), noise=1.0, digit_len=20), *each(range(3, 6), noise=1.0, cell="GRU"),
            *each(first, falling=False, noise=(1.0, 0.0)),
            *each(range(3, 6), falling=False, noise=1.0)]


def key(config, falling):
    """The name of a training in the study's file."""
    c = config
    rate = f"{c.lr:g}" + " falling" * falling
    return (f"{c.cell}, {c.layers} layers, {c.hidden} units, {c.digit_len} digits, noise {c.noise:g}, rate {rate}, "
            f"{c.batches} batches, seed {c.seed}")


def trained(config, falling, **seams):
    """The Run of a config; with a falling rate, which is no setting of Config, it is in no record.

    seams: the model and the data of `addrnn.train`, where they are not an adder's.
    """
    made = []

    def optimizer(parameters):
        made.append(engine.Adam(parameters, config.lr))
        return made[0]

    def fall(run):
        made[0].lr = config.lr * (1 - (1 - FALL) * len(run.loss) / config.batches)

    return train(config, optimizer=optimizer, on_batch=fall if falling else None, **seams)


def outcome(run, name):
    """What is kept of a run: by what it is proved, and how far it keeps a carry without being rounded.

    "reached": by which batch 99 % of the sums were right, with the noise of training, or None. "survived": the least
    and the median columns of chains. And what `proofs` says.
    """
    chains = survival(run.model, 10)
    columns, reached = chains["none"] + chains["carry"], measures.ACCURACY(run)
    return {"loss": float(f"{measures.final_loss(run):.3g}"), "reached": int(reached) if reached < np.inf else None,
            **proofs(run.model, name=name), "survived": [int(np.min(columns)), int(np.median(columns))]}


def proofs(model, machine=ADDITION, name=None):
    """By what a model is proved; its certificate is kept if it has a name.

    "proved": the least lead of a certificate, or None. "grid": how many states the rounded network reaches, whether
    they close with every digit right, and else the shortest input found that it gets wrong.
    """
    certificate, rounded = certify(model, machine), exhaust(Rounded(model, GRID, machine), most=MOST)
    if certificate and name and not files.found(f"records/proofs/{name}.json").exists():
        files.make_folder(files.home() / "records" / "proofs")
        certificate.save(files.home() / "records" / "proofs" / name)
    wrong = rounded.wrong and [str(number) for number in rounded.wrong]
    return {"proved": certificate and round(certificate.margin, 3),
            "grid": {"states": rounded.states, "closed": rounded.closed, "wrong": wrong}}


def name_of(config, falling):
    """The name of the certificate that is shipped of a training, or None."""
    shipped = configs(range(SHIPPED), **USUAL, noise=1.0)
    return f"noise_seed{config.seed}" if falling and config in shipped else None


def found():
    """[(config, whether the rate falls, its outcome)] of what has been measured."""
    known = results(STUDY)
    return [(config, falling, known[key(config, falling)]) for config, falling in plan()
            if key(config, falling) in known]


def seeds(falling=True, **changes):
    """The outcomes of all seeds of the usual training, but for some settings, as far as they have been measured."""
    wanted = set(configs(range(100), **USUAL | changes))
    return [result for config, fell, result in found() if fell == falling and config in wanted]


def boxed(outcome):
    """Whether boxes prove it."""
    return outcome["proved"] is not None


def carries_on(outcome):
    """Whether every chain keeps its carry along all columns tried."""
    return outcome["survived"][0] >= COLUMNS


def closed(outcome):
    """Whether every state that the rounded network reaches says the right digits."""
    return outcome["grid"]["closed"]


def refuted(outcome):
    """Whether a sum was found that the rounded network gets wrong; else it is right, or was stopped at MOST states."""
    return outcome["grid"]["wrong"] is not None


def both(level, falling=True):
    """(networks that have both proofs, networks trained): one layer of 64 units, all alike but for the noise."""
    outcomes = seeds(falling, noise=level)
    return sum(boxed(seed) and closed(seed) for seed in outcomes), len(outcomes)


# In words and in a picture

def table():
    """A row for each level of noise, Markdown, of the usual training."""
    rows = []
    for level in LEVELS:
        outcomes = seeds(noise=level)
        leads = [seed["proved"] for seed in outcomes if seed["proved"]]
        states = [seed["grid"]["states"] for seed in outcomes if closed(seed)]
        if outcomes:
            rows.append([f"{level:g}", len(outcomes), len(leads), span(leads, ".1f"), len(states),
                         span(states, ",.0f")])
    return claims.table(["noise", "networks", "proved by boxes", "least lead", "proved by every state", "states"], rows)


def noise_figure():
    """A mark for each network and proof, full where it is found: by noise and training, and of other networks."""
    usual, others = {f"noise {level:g}": seeds(noise=level) for level in LEVELS if seeds(noise=level)}, {}
    for config, falling, outcome in sorted(found(), key=unusual):
        if what := changed(config, falling):
            same = (config.cell, config.layers, config.hidden) == ("RNN", 1, 64)
            (usual if same else others).setdefault(what, []).append(outcome)
    with_it, without = ("{} of {}".format(*both(level)) for level in (1.0, 0.0))
    title = f"Proved twice: {with_it} networks with noise 1, {without} without"
    lines = max(len(usual), len(others), 1)
    fig, axes = plots.figure(title, columns=2, height=1.2 + 0.27 * lines)
    for ax, rows, what in zip(axes, (usual, others), ("one layer of 64 units", "other networks"), strict=True):
        plots.axis(ax, what, ylim=(lines - 0.4, -1.5))
        proof_marks(ax, list(rows.values()))
        ax.set_yticks(range(len(rows)), list(rows))
    return fig


def proof_marks(ax, rows):
    """A row of marks for each of some lists of outcomes: left those by boxes, right those by every state.

    Full: proved; hollow: no proof was found; a cross: a sum that the rounded network gets wrong was found.
    """
    wide = max(map(len, rows), default=1)
    ways = ((0, "by boxes", plots.RIGHT, boxed, lambda outcome: False),
            (wide + 1, "by every state", plots.CARRY, closed, refuted))
    for shift, words, paint, proved, wrong in ways:
        plots.note(ax, words, shift - 0.4, -0.95, colour=paint)
        for y, outcomes in enumerate(rows):
            for x, outcome in enumerate(outcomes):
                fill = paint if proved(outcome) else "none"
                ax.plot(shift + x, y, "x" if wrong(outcome) else "o", markersize=6, color=paint, markerfacecolor=fill)
    ax.set(xlim=(-0.8, 2 * wide + 0.8), xticks=[])
    ax.grid(visible=False)


def changed(config, falling):
    """What tells a training from the usual one with noise 1, in words; "" for nothing, or for the noise alone."""
    words = [] if config.cell == "RNN" else [config.cell]
    for field, usual in (("layers", 1), ("hidden", 64), ("digit_len", 10)):
        if getattr(config, field) != usual:
            words.append(plots.name(field, getattr(config, field)))
    if config.batches != USUAL["batches"]:
        words.append(f"{config.batches:,} batches")
    if not falling:
        words.append(f"constant rate {config.lr:g}")
    if words and config.noise != 1:
        words.append(f"noise {config.noise:g}")
    return ", ".join(words)


def unusual(entry):
    """The order in which what is changed is shown: the network's size first, then its cell, its data, its training."""
    config, falling, _ = entry
    return (not falling, config.batches != USUAL["batches"], config.batches, config.digit_len != 10, config.digit_len,
            config.cell != "RNN", config.cell, config.layers, config.hidden, config.lr, config.noise, config.seed)


def span(values, form):
    """The least and the largest of some numbers, in words; "-" for none."""
    low, high = (format(pick(values), form) for pick in (min, max)) if values else ("-", "-")
    return low if low == high else f"{low} to {high}"


def twins():
    """{seed: the shortest wrong sum found, or None} of the networks that are trained as usual but without noise.

    They are searched as they are, not rounded; a network in which nothing is found may still be wrong.
    """
    known = results(STUDY)
    return {config.seed: known[searched(config)] for config in shaken_not_at_all() if searched(config) in known}


def shaken_not_at_all():
    return configs(range(10), **USUAL, noise=0.0)


def searched(config):
    """The name of a search in the study's file."""
    return f"{key(config, True)}, searched"


def wrong_sum(model):
    """The shortest wrong sum that a search finds: two numbers as text, or None."""
    found = counterexample(model)
    return found and [str(number) for number in found]


def main():
    """Train and look at what is missing, one after the other."""
    for config in shaken_not_at_all():
        value = recall(STUDY, searched(config), lambda config=config: wrong_sum(trained(config, True).model))
        print(f"{searched(config)}: {json.dumps(value)}", flush=True)
    for config, falling in plan():
        name = key(config, falling)
        value = recall(STUDY, name, lambda config=config, falling=falling: outcome(
            trained(config, falling), name_of(config, falling)))
        print(f"{name}: {json.dumps(value)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
