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
    """All states that an adder reaches, in the two directions in which they differ most, coloured by the carry."""
    state, carry = reached(adder)
    flat = np.moveaxis(state, 1, 0).reshape(len(carry), -1).astype(float)
    middle = flat[1:].mean(axis=0)
    _, _, directions = np.linalg.svd(flat[1:] - middle, full_matrices=False)
    turned = directions[:2] * np.sign(directions[:2].sum(axis=1, keepdims=True))  # a direction has no sign of its own
    x, y = turned @ (flat - middle).T
    fig, ax = plots.figure(f"All {len(carry):,} states of {name}: two clouds and a start", height=4.2)
    plots.axis(ax, "", "first principal component", "second")
    for value, colour in ((0, plots.NO_CARRY), (1, plots.CARRY)):
        here = np.flatnonzero(carry == value)[value == 0 :]  # the first of all is the start
        ax.plot(x[here], y[here], ".", color=colour, markersize=3, alpha=0.6)
        ax.annotate(AFTER[1 + value], (x[here].mean(), y[here].max()), color=colour, ha="center", va="bottom")
    ax.plot(x[:1], y[:1], "o", color=plots.INK, markersize=7)
    ax.annotate(AFTER[0], (x[0], y[0]), (6, 6), textcoords="offset points", color=plots.INK)
    return fig
