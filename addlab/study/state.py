"""What the state looks like: the first and the last layer's in two dimensions, by the carry and by the digit.

The first layer is drawn along what a linear probe reads of the carry: its main directions hardly show the carry.

Prediction: the first layer's state tells the carry, since that is what the next column needs of it; the upper layers'
tell the digit, since that is what is read off them. The second half came true (0.985 of the variance of the last layer
lies between digits), the first half hardly: nowhere is the carry more than a twelfth of the variance.

python -m addlab.study.state    measure what is missing in records/studies/state.json
"""

import sys

import numpy as np
from matplotlib.transforms import ScaledTranslation

from addlab.study import plots
from addlab.study.carries import carries_out, probe, walk
from addlab.study.experiments import configs, recorded
from addlab.study.studies import recall
from addrnn import sample

STUDY = "state"
SUMS, SHOWN = 200, 400
MOVED = 0.18  # inches


def told(model, digits=10):
    """For each layer {"carry", "digit", "sum": [share of the state's variance that lies between their values, the same
    along that of its three main directions where it is largest]}.

    carry: out of the column; digit: of the sum, there; sum: of the column's two digits alone.
    """
    states, labels = states_of(model, digits)
    along = [main_directions(layer, 3) for layer in states]
    return [{name: [round(between(layer, values), 4), round(max(between(x[:, None], values) for x in p.T), 4)]
             for name, values in labels.items()} for layer, p in zip(states, along, strict=True)]


def states_of(model, digits):
    """(states [layers, points, units], {"carry", "digit", "sum": [points]}) of all columns but the last."""
    num1, num2, total = sample(SUMS, digits, np.random.default_rng(7))
    states = walk(model, num1, num2)[0][:-1]  # [columns, layers, sums, units]
    layers = np.moveaxis(states, 1, 0).reshape(states.shape[1], -1, states.shape[3])
    labels = {"carry": carries_out(num1, num2), "digit": total[:, :-1].T, "sum": (num1 + num2)[:, :-1].T}
    return layers.astype(float), {name: values.ravel() for name, values in labels.items()}


def between(points, labels):
    """Share of the variance of points [count, units] that lies between the means of the labels' groups."""
    middle, total = points.mean(axis=0), 0.0
    for label in np.unique(labels):
        group = points[labels == label]
        total += len(group) * ((group.mean(axis=0) - middle) ** 2).sum()
    return float(total / ((points - middle) ** 2).sum())


def main_directions(points, count):
    """Points [n, units] along the `count` directions in which they vary most, or all: [n, count], largest first."""
    centred = points - points.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, : -1 - count : -1]
    # Without this the signs would hang on the machine.
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), range(directions.shape[1])])
    return centred @ (directions * signs)


def map_of(model, digits=10):
    """{"layers": for each layer [(x, y)] of some columns; "carry", "digit": of each}.

    x, y: along its two main directions; in the first layer x is what a probe of the carry reads, +1 or -1 if it fits.
    """
    states, labels = states_of(model, digits)
    flat = [main_directions(layer, 2)[:SHOWN] for layer in states]
    *weights, bias = probe(model, [0])
    flat[0] = np.column_stack((states[0] @ weights + bias, main_directions(states[0], 1)[:, 0]))[:SHOWN]
    flat = [layer.round(3).tolist() for layer in flat]  # rounded: alike everywhere
    return {"layers": flat} | {name: labels[name][:SHOWN].tolist() for name in ("carry", "digit")}


def apart(points, least=(0.022, 0.05)):
    """The places of points [(x, y)] of which no two lie nearer than `least` of all their spread in both directions."""
    points, kept = np.array(points), []
    scaled = points / np.ptp(points, axis=0)
    for place, point in enumerate(scaled):
        if not any((np.abs(point - scaled[other]) < least).all() for other in kept):
            kept.append(place)
    return kept


def typical(points, kinds):
    """Of each kind, sorted, the place of the point that lies nearest to the mean of the kind's points [(x, y)]."""
    points, kept = np.array(points), []
    for kind in sorted(set(kinds)):
        places = [place for place, other in enumerate(kinds) if other == kind]
        away = ((points[places] - points[places].mean(axis=0)) ** 2).sum(axis=1)
        kept.append(places[int(away.argmin())])
    return kept


def state_figure(found, shown=200):
    """The first and the last layer's states in two dimensions, each a numeral: its digit; found: `map_of(model)`.

    Of the last layer one column of each digit is drawn, with a carry and without. The two lie on one another, so the
    one that carries is moved up.
    """
    last = len(found["layers"])
    title = f"Layer 1 tells carry from no carry, layer {last} tells digit from digit"
    fig, axes = plots.figure(title, columns=2, height=3.6)
    for ax, layer in zip(axes, (1, last), strict=True):
        if layer == 1:
            plots.axis(ax, "layer 1", "what the probe reads of the carry", "main direction")
        else:
            plots.axis(ax, f"layer {layer}", "main direction", "second main direction")
        points = found["layers"][layer - 1]
        kinds = list(zip(found["digit"], found["carry"], strict=True))
        for place in typical(points, kinds) if layer == last else apart(points[:shown]):
            digit, carry = kinds[place]
            numeral, = ax.plot(*points[place], marker=f"${digit}$", color=plots.CARRY if carry else plots.NO_CARRY,
                               markersize=7, markeredgewidth=0)
            if layer == last and carry:
                numeral.set_transform(ax.transData + ScaledTranslation(0, MOVED, fig.dpi_scale_trans))
        ax.set(xticks=[], yticks=[])
        ax.margins(0.06, 0.18 if layer == 1 else 0.08)
    for carry, words, paint in ((0, "no carry", plots.NO_CARRY), (1, "carry", plots.CARRY)):
        cloud = [x for (x, _), out in zip(found["layers"][0], found["carry"], strict=True) if out == carry]
        plots.note(axes[0], words, np.mean(cloud), axes[0].get_ylim()[1], ha="center", va="top", colour=paint)
    return fig


def main():
    """Measure what has no result yet: all models of the report's own settings; the map of the first."""
    for run in recorded(configs(range(20))):
        recall(STUDY, f"told, seed {run.config.seed}", lambda run=run: told(run.model))
        if run.config.seed == 0:
            recall(STUDY, "map, seed 0", lambda run=run: map_of(run.model))


if __name__ == "__main__":
    sys.exit(main())
