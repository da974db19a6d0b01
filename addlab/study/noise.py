"""Noise on the state in training: which adders that saw nothing but random sums are proved, and by what?

After each column Gaussian noise is added to the state that the next column reads (for sums in different bases Oliva &
Lago-Fernández 2020, arXiv:2005.13971; on the weights Jim, Giles & Horne 1996). A state that must survive it needs two
rests far apart. Each of these can come out otherwise:

    proved   the same training without noise, as long and at the same falling rate, is not proved: its boxes overlap
    closed   with the state rounded to whole numbers, a network trained with noise reaches few states, all of them right
    dose     more noise, more room: the least lead of a proof grows with it, until nothing is learned

python -m addlab.study.noise    measure what is missing in records/studies/noise.json; can be stopped
"""

import json
import sys

import numpy as np
import torch

from addlab import engine, files
from addlab.certify import ADDITION, certify, counterexample, exhaust
from addlab.certify.boxes import Cases, Weights, advance, first_boxes
from addlab.certify.walk import Rounded
from addlab.study import measures, plots
from addlab.study.experiments import configs
from addlab.study.fading import COLUMNS, survival
from addlab.study.studies import recall, results
from addrnn import train

STUDY = "noise"
FALL = 0.01  # the learning rate falls in a line to this share of itself
GRID, MOST = 1, 60_000  # states are rounded to multiples of 1 / GRID, and followed until there are more than MOST
LEVELS = (0.0, 0.25, 0.5, 1.0, 1.5)
USUAL = dict(layers=1, lr=3e-3, batches=4000)
ROWS = {  # of the picture, group by group: {name: what is changed of the usual training with noise 1}
    "level of noise": {f"noise {level:g}": dict(noise=level) for level in LEVELS},
    "noise 1, but …": {
        "2000 batches": dict(batches=2000), "8000 batches": dict(batches=8000), "constant rate": dict(falling=False),
        "5 digits": dict(digit_len=5), "20 digits": dict(digit_len=20),
        "32 units": dict(hidden=32), "128 units": dict(hidden=128), "2 layers": dict(layers=2),
        "3 layers": dict(layers=3), "GRU": dict(cell="GRU"), "LSTM": dict(cell="LSTM")},
    "two changes": {
        "128 units, noise 2": dict(hidden=128, noise=2.0), "2 layers, noise 2": dict(layers=2, noise=2.0),
        "3 layers, noise 2": dict(layers=3, noise=2.0), "constant rate, noise 0": dict(falling=False, noise=0.0)}}
PANELS = (("level of noise", "two changes"), ("noise 1, but …",))
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

    "reached": by which batch 99% of the sums were right, with the noise of training, or None. "survived": the least
    and the median columns of chains. And what `proofs` says.
    """
    chains = survival(run.model)
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


def picked(falling=True, **changes):
    """(config, outcome) of all seeds of the usual training, but for some settings, as far as they are measured."""
    wanted = set(configs(range(100), **USUAL | changes))
    return [(config, result) for config, fell, result in found() if fell == falling and config in wanted]


def seeds(falling=True, **changes):
    """The outcomes of all seeds of the usual training, but for some settings, as far as they have been measured."""
    return [result for _, result in picked(falling, **changes)]


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


def errs(config, falling, outcome):
    """Whether a sum is known that the network gets wrong as it is: on a chain, or by a search."""
    searches = twins() if falling and config in shaken_not_at_all() else {}
    return not carries_on(outcome) or searches.get(config.seed) is not None


def both(level, falling=True):
    """(networks that have both proofs, networks trained): one layer of 64 units, all alike but for the noise."""
    outcomes = seeds(falling, noise=level)
    return sum(boxed(seed) and closed(seed) for seed in outcomes), len(outcomes)


# In a picture

def noise_figure():
    """A mark for each network and proof, full where it is proved: noise, training and size as in ROWS."""
    full = [level for level in LEVELS if both(level)[0] == both(level)[1] > 0]
    title = "The proofs of networks that were trained with noise"
    if full == [1.0] and both(1.0)[1] == 10:
        title = "Of five levels of noise only 1 has all ten proved both ways"
    panels = [heights(groups) for groups in PANELS]
    rows = [{y: marks(**{"noise": 1.0} | ROWS[group][name]) for (group, name), y in panel.items() if name}
            for panel in panels]
    lowest = max(max(row) for row in rows)
    fig, axes = plots.figure(title, columns=2, height=1.05 + 0.21 * lowest,
                             gridspec_kw={"width_ratios": [longest(row) for row in rows], "wspace": 0.1})
    for ax, panel, row in zip(axes, panels, rows, strict=True):
        for (group, name), y in panel.items():
            if not name:
                ax.annotate(group, (0, y - 0.1), (-8, 0), xycoords=("axes fraction", "data"), ha="right", va="center",
                            textcoords="offset points", fontsize=9.5, fontweight="bold", color=plots.INK)
            if name == "noise 1":
                ax.axhspan(y - 0.5, y + 0.5, facecolor=plots.CLAIM, edgecolor=plots.FAINT, linewidth=0.8, zorder=0)
        proof_marks(ax, row)
        plots.axis(ax, "", ylim=(lowest + 0.6, -0.7))
        ax.set_yticks(list(row), [name for _, name in panel if name])
        ax.tick_params(axis="y", length=0)
        ax.spines["bottom"].set_visible(False)
    for kind, words in KEY.items():
        axes[0].plot([], [], markersize=5.5, linestyle="none", label=words, **LOOKS[kind])
    axes[0].legend(loc="lower left", bbox_to_anchor=(-0.35, 1), ncols=3, frameon=False, fontsize=9.5,
                   handletextpad=0.1, columnspacing=1.2, borderaxespad=0.2)
    return fig


def heights(groups):
    """{(group, row): height} of a panel, downwards: of a group's heading, whose row is None, and of its rows."""
    places, y = {}, 0.0
    for group in groups:
        for row in (None, *ROWS[group]):
            places[group, row] = y
            y += 1
        y += 0.3
    return places


def longest(rows):
    """The marks of a panel's longest row."""
    return max(1, *map(len, rows.values()))


def marks(falling=True, **changes):
    """[(as it is, rounded)] of a training's seeds: each "proved", "wrong" or "open"."""
    return [("proved" if boxed(outcome) else "wrong" if errs(config, falling, outcome) else "open",
             "proved" if closed(outcome) else "wrong" if refuted(outcome) else "open")
            for config, outcome in picked(falling, **changes)]


LOOKS = {"proved": dict(marker="o", color=plots.RIGHT), "wrong": dict(marker="x", color=plots.WRONG),
         "open": dict(marker="o", color=plots.FAINT, markerfacecolor="none")}
KEY = {"proved": "proved", "wrong": "a wrong sum is known", "open": "neither"}


def proof_marks(ax, rows):
    """A row of marks for each {height: `marks`}: left of the networks as they are, right of them rounded."""
    wide = longest(rows)
    for way, words in enumerate(("by boxes", "rounded")):
        shift = way * (wide + 1)
        plots.note(ax, words, shift - 0.4, -0.1)
        for y, row in rows.items():
            for x, ways in enumerate(row):
                ax.plot(shift + x, y, markersize=5.5, linestyle="none", **LOOKS[ways[way]])
    ax.set(xlim=(-0.8, 2 * wide + 0.8), xticks=[])
    ax.grid(visible=False)


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


@torch.no_grad()
def overlap(model, rounds=12):
    """How wide an adder's boxes grow, round by round: both half-widths in parts of the distance of their middles.

    Of the entry in which the last layer's boxes are told apart best: from 1 on no entry tells them apart.
    """
    weights, cases, widths = Weights.of(model, torch.float64), Cases(ADDITION), []
    boxes = first_boxes(weights, cases)
    for _ in range(rounds):
        radius, middle = boxes[-1].radius[1:], boxes[-1].middle[1:]
        widths.append((radius.sum(0) / (middle[1] - middle[0]).abs()).min().item())
        boxes, _ = advance(weights, cases, boxes)
    return widths


def pairs():
    """The configs of ten networks with noise 1, and of the same ten without."""
    return [config for level in (1.0, 0.0) for config in configs(range(10), **USUAL, noise=level)]


def grown(config):
    """The name of what is kept of the boxes of a training, in the study's file."""
    return f"{key(config, True)}, boxes"


def widths(level):
    """For each network of a level of noise what `overlap` says, as far as it has been measured."""
    known = results(STUDY)
    return [known[grown(config)] for config in pairs() if config.noise == level and grown(config) in known]


def main():
    """Train and look at what is missing, one after the other."""
    for config in pairs():
        value = recall(STUDY, grown(config), lambda config=config: [
            float(f"{width:.4g}") for width in overlap(trained(config, True).model)])
        print(f"{grown(config)}: {json.dumps(value)}", flush=True)
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
