"""Every state that a network reaches: what is recorded of it, by `python -m tools.exhaust states`, and a picture."""

import dataclasses
import json

import numpy as np

from addlab import files
from addlab.certify import exhaust
from addlab.certify.exhaust import load, reached
from addlab.study import plots

AFTER = "start", "no carry", "carry"


def recorded():
    """The rows of records/studies/states.json, dicts: network, grid, and what `exhaust` found; none where it is not."""
    path = files.found("records/studies/states.json")
    return json.loads(path.read_text()) if path.exists() else []


def exhausted(network, grid=None, most=2_000_000):
    """A row: what comes of exhausting a file under records/, with its state rounded to multiples of 1 / grid."""
    found = exhaust(*load(files.found(f"records/{network}"), grid), most)
    return json.loads(json.dumps({"network": network, "grid": grid} | dataclasses.asdict(found)))


def states_figure(adder, name):
    """All states that an adder reaches, coloured by the carry: along the line on which the two carries' means lie, and
    in the direction in which they differ most across it. (The first components of all tell digits, not carries.)
    """
    state, carry = reached(adder)
    flat = np.moveaxis(state, 1, 0).reshape(len(carry), -1).astype(float)
    flat -= flat[1:].mean(axis=0)
    line = flat[1:][carry[1:] == 1].mean(axis=0) - flat[1:][carry[1:] == 0].mean(axis=0)
    x = flat @ line / np.linalg.norm(line)
    across = flat - np.outer(x, line / np.linalg.norm(line))
    y = across @ np.linalg.svd(across[1:], full_matrices=False)[2][0]
    y *= np.sign(y[1])  # a direction has no sign of its own
    fig, ax = plots.figure(f"All {len(carry):,} states of {name}: two clouds and a start", height=4.2)
    plots.axis(ax, "", "from no carry to carry", "main direction across")
    ax.margins(y=0.1)
    for value, colour in ((0, plots.NO_CARRY), (1, plots.CARRY)):
        here = np.flatnonzero(carry == value)[value == 0 :]  # the first of all is the start
        for some in np.array_split(here, len(here) // 40 + 1):  # a longer path would be simplified, its dots left out
            dots = [np.column_stack((at[some], at[some], np.full(len(some), np.nan))).ravel() for at in (x, y)]
            ax.plot(*dots, color=colour, linewidth=2.4)  # lines of no length: one path, not a mark for each state
        ax.annotate(AFTER[1 + value], (x[here].mean(), y[here].max()), (0, 5), textcoords="offset points",
                    color=colour, ha="center", va="bottom")
    ax.plot(x[:1], y[:1], "o", color=plots.INK, markersize=7)
    ax.annotate(AFTER[0], (x[0], y[0]), (6, 6), textcoords="offset points", color=plots.INK)
    return fig
