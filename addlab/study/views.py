"""What notebooks 02-05 show alike: curves of groups of runs, when each seed gets there, and what stands behind them."""

import json
import math

import numpy as np
from matplotlib.ticker import LogLocator

import addrnn
from addlab import files
from addlab.inputs import Refusal
from addlab.study import measures, plots
from addlab.study.experiments import configs, of_any_device, recorded
from addrnn import Config

HOW_TO_READ = ("Thin: one seed. Thick: the median of all. Each point is a mean over the last ten batches, 2000 fresh "
               "sums.")


def groups_of(kind, values, seeds, train=False, needed=True, **settings):
    """{value: [Run for each seed]} of the setting `kind`, of any device; values without any record are left out.

    Of several `batches` the longest with a record is taken. With `train`, a seed that has none of them is trained for
    the longest. Raises ValueError, one line, where `needed` and there is no record at all.
    """
    groups = {value: of_any_device(configs(seeds, **settings | {kind: value})) for value in values}
    if train:
        longest = np.max(settings.get("batches", Config().batches)).item()
        missing = [config for value, runs in groups.items()
                   for config in configs(sorted(set(seeds) - {run.config.seed for run in runs}),
                                         **settings | {kind: value, "batches": longest})]
        for run in addrnn.sweep(missing):
            groups[getattr(run.config, kind)].append(run)
    groups = {value: runs for value, runs in groups.items() if runs}
    if needed and not groups:
        raise Refusal(f"records: got none for {kind} of {values}; train = True in the parameters' cell trains them")
    return groups


def names_of(kind, values):
    """{value: how it is written in figures and sentences}."""
    return {value: plots.name(kind, value) for value in values}


def span(shares):
    """Shares from the least to the most, in words, whole per cent that hold them: "92% to 98%"; "-" for none."""
    if not shares:
        return "-"
    low, high = math.floor(100 * min(shares)), math.ceil(100 * max(shares))
    return f"{low}%" if low == high else f"{low}% to {high}%"


def recorded_runs():
    """How many training runs are recorded; one that is the beginning of another is no other run."""
    paths = [path for shelf in files.shelves() for path in (shelf / "records" / "runs").glob("*/*.json")]
    records = (json.loads(path.read_bytes()) for path in paths)
    return len({json.dumps(record["config"] | {"batches": 0}, sort_keys=True) for record in records})


def learning(kind, groups, title, name, caption="", batches=None, start=30, height=3.6, **marks):
    """Two panels, loss and share of sums right, running means over ten batches; saved as figures/NAME.svg.

    Drawn from batch `start` to `batches`. `marks` are lines that tell of a claim: loss={"text": …, "y": …},
    accuracy={…}, as `plots.claim` takes them.
    """
    batches = batches or max((len(run.loss) for runs in groups.values() for run in runs), default=20)
    fig, axes = plots.figure(title, columns=2, height=height)
    draw_learning(axes, kind, groups, batches, start=start)
    for ax, mark in zip(axes, ("loss", "accuracy"), strict=True):
        if mark in marks:
            plots.claim(ax, **marks[mark])
    return plots.save(fig, name, caption)


def draw_learning(axes, kind, groups, batches, about="", start=30, styles=None):
    """Loss and accuracy of groups in two axes; styles: {value: how its lines are drawn}."""
    colours, names = {value: plots.colour(kind, value) for value in groups}, names_of(kind, groups)
    limits = min(start, batches / 2), batches
    for ax, of, title, label in ((axes[0], "loss", "loss", "nats a digit"),
                                 (axes[1], "batch_accuracy", "sums wholly right", "share of a batch")):
        plots.axis(ax, about + title, "batch", label, log="xy" if of == "loss" else "x", xlim=limits,
                   ylim=None if of == "loss" else (-0.02, 1.02))
        ax.yaxis.set_major_formatter("{x:g}")
        drawn = {value: [[points[: batches + 1 - measures.OVER] for points in measures.curve(run, of)] for run in runs]
                 for value, runs in groups.items()}  # no longer than the axes: a name stands where its line ends
        plots.curves(ax, drawn, colours, names, styles)


def arrivals(kind, panels, title, name, caption="", sharey=False, until=0, apart=False):
    """Dots, one a seed: the batch by which each setting gets there; saved as figures/NAME.svg.

    panels: {title: {value: {seed: batches}}}; they share one axis, so that dots may be compared across them, or are
    `apart`: each has its own. With `sharey` they have the same settings, which are named once. An axis goes to batch
    `until` at least.
    """
    rows = max(map(len, panels.values()), default=1)
    fig, axes = plots.figure(title, columns=max(1, len(panels)), height=1.2 + 0.34 * rows, squeeze=False,
                            sharey=sharey)
    fig.get_layout_engine().set(w_pad=0.12)  # so that "3 later" is not read with the names of the next panel
    for ax, (panel, times) in zip(axes[0], panels.items(), strict=True):
        names = names_of(kind, times)
        reached = reached_in([times] if apart else panels.values()) or [10, 100]
        low, high = min(reached), max(*reached, until)
        wide = high > 5 * low or apart
        plots.axis(ax, panel, "batch", log="x" * wide, xlim=(0.8 * low * wide, 1.08 * high))
        if wide and high < 15 * low:  # little more than a decade: four ticks in it
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        plots.dots(ax, {names[value]: list(values.values()) for value, values in times.items()},
                   {names[value]: plots.colour(kind, value) for value in times})
    return plots.save(fig, name, caption)


def reached_in(panels):
    """All batches of some {value: {seed: batches}} but inf."""
    return [batch for times in panels for values in times.values() for batch in values.values() if math.isfinite(batch)]


def size_figure(sizes, name):
    """Batches against the number of parameters, dots and a line through the medians; saved as figures/NAME.svg.

    sizes: {cell: {units: (parameters, {seed: batches})}}; a width without runs is left out.
    """
    points = {cell: sorted((size, units, list(times.values())) for units, (size, times) in found.items() if times)
              for cell, found in sizes.items()}
    points = {cell: found for cell, found in points.items() if found}
    middles = {cell: [float(np.median(times)) for *_, times in found] for cell, found in points.items()}
    first = [cell for cell in middles if len(middles) > 1 and max(middles[cell]) < min(
        min(others) for other, others in middles.items() if other != cell)]
    title = f"The {first[0]} is first at every size" if first else "Batches by the number of parameters"
    if first and max(middles[first[0]]) <= middles[first[0]][0]:
        title = f"A larger {first[0]} is no later; at about equal size the {first[0]} is first"
    fig, ax = plots.figure(title, height=3.0)
    reached = [batch for found in points.values() for *_, times in found for batch in times if math.isfinite(batch)]
    reached = reached or [10, 1000]
    plots.axis(ax, "", "parameters", "batches to 99% right", xlim=(10_000, 148_000),
               ylim=(0, 1.2 * max(reached)))
    ax.set_xticks(range(25_000, 130_000, 25_000), [f"{n:,}" for n in range(25_000, 130_000, 25_000)])
    for cell, found in points.items():
        above, paint = cell == "LSTM", plots.colour("cell", cell)  # where a GRU is as large, its dots lie below
        for size, units, times in found:
            ax.plot([size] * len(times), times, "o", color=paint, markersize=4.5, alpha=0.6)
            last = (size, units) == found[-1][:2]  # the end of the line, which bears its name
            side, right = {"GRU": ("right", -6), "RNN": ("right", 33), "LSTM": ("left", 7)}[cell] if last else (
                "center", 0)
            ax.annotate(f"{cell}, {units} units" if last else f"{units}",
                        (size, max(times) if above else min(times)), (right, 5 * (above - last) if above else -5),
                        ha=side, va="top" if not above else "center" if last else "bottom", color=paint,
                        textcoords="offset points", fontsize=9.5, fontweight="bold" if last else "normal")
    plots.curves(ax, {cell: [([size for size, *_ in found], middles[cell])] for cell, found in points.items()},
                 {cell: plots.colour("cell", cell) for cell in points}, dict.fromkeys(points, ""))
    seeds = max((len(times) for found in points.values() for *_, times in found), default=0)
    return plots.save(fig, name, f"Each dot is one of {seeds} seeds; a line joins a cell's medians. Numbers: the "
                                 "units of a layer.")


# The start state

def half_trained(digit_lens, batches, seeds, train=False, **settings):
    """[Run] of models stopped early, whose weights are kept, longest numbers first.

    With `train`, each of the `batches` that has no record is trained.
    """
    read = addrnn.sweep if train else each_recorded
    wanted = [config for n in sorted(digit_lens, reverse=True)
              for config in configs(seeds, **settings | {"digit_len": n, "batches": tuple(batches)})]
    return [run for run in read(wanted) if run.model]


def each_recorded(wanted):
    """The runs of these configs that have a record, also where one is the beginning of another."""
    return [run for config in wanted for run in recorded([config])]
