"""What the report draws: one colour for a thing in all notebooks, all seeds, the claim under test.

A figure's title is its finding. Seeds are thin, their median is thick, lines carry their names at their ends.
`save` writes figures/NAME.svg; how that is done, and how a figure is stacked for a phone, is svg.py's.
"""

import math

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from addlab.study.svg import INK, NARROW, save, stack, svg_bytes, use_style, write_title

__all__ = ["CARRY", "CELLS", "CLAIM", "FAINT", "INK", "NARROW", "NO_CARRY", "RAMP", "RIGHT", "WRONG", "axis", "claim",
           "colour", "curves", "decades", "dots", "figure", "name", "network", "note", "save", "stack", "svg_bytes",
           "use_style"]

# Each set of colours runs from dark to light, so that it can be told apart in grey, too.
FAINT = "#8a8a8a"
NO_CARRY, CARRY = "#1c4587", "#d9772b"
RIGHT, WRONG = "#1c4587", "#b3261e"
CELLS = {"RNN": "#1c3f75", "GRU": "#c0562f", "LSTM": "#58a57f"}
RAMP = matplotlib.colors.LinearSegmentedColormap.from_list("ramp", ["#1d1147", "#7b2382", "#d5446d", "#e8963e"])
CLAIM = "#f6edcf"
HALO = [withStroke(linewidth=2.5, foreground="white")]  # a text on a curve can be read, and the curve be seen
WIDTH = 8.0  # inches: of a page
BACK = {"dense": "e", "rnn, layer 1": "Vᵀe"}  # what comes down to a row on the error's way back
PLACE = {  # where a setting's value lies on the ramp, from 0 to 1
    "digit_len": lambda n: math.log10(n / 10) / math.log10(500),
    "layers": lambda n: (n - 1) / 3,
    "lr": lambda lr: (math.log10(lr) + 5) / 4,
    "seed": lambda seed: seed / 4,
    "batches": lambda batches: math.log10(max(batches, 100) / 100) / 2,
    "hidden": lambda units: math.log2(max(units, 8) / 8) / 4,
    "embedding": lambda size: math.log2(max(size, 1)) / 7,
    "noise": lambda noise: noise / 1.5,
    "chains": float,
}
NAMES = {
    "digit_len": lambda n: f"{n} digit{'s' * (n != 1)}",
    "layers": lambda n: f"{n} layer{'s' * (n != 1)}",
    "lr": lambda lr: f"rate {np.format_float_positional(lr, trim='-')}",
    "cell": str,
    "seed": lambda seed: f"seed {seed}",
    "hidden": lambda units: f"{units} unit{'s' * (units != 1)}",
}


def colour(kind, value):
    """The colour of a setting's value in all figures; kind is any field of Config."""
    place = PLACE.get(kind, lambda value: math.log10(max(value, 1)) / 4)
    return CELLS[value] if kind == "cell" else RAMP(min(max(place(value), 0.0), 1.0))


def name(kind, value):
    """How a setting's value is written beside a line."""
    return NAMES[kind](value) if kind in NAMES else f"{kind} {value}"


def figure(title, columns=1, height=3.6, width=WIDTH, rows=1, **subplots):
    """A figure with its finding on top: (fig, axes), axes one or an array, as `Figure.subplots` gives them."""
    fig = Figure(figsize=(width, height), layout="constrained")
    axes = fig.subplots(rows, columns, **subplots)
    write_title(fig, title)
    return fig, axes


def axis(ax, title="", xlabel="", ylabel="", log="", xlim=None, ylim=None):
    """Name an axes; `log` is "x", "y" or "xy"."""
    if "x" in log:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
    if "y" in log:
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if xlim:
        ax.set_xlim(xlim)
    if ylim:
        ax.set_ylim(ylim)


def curves(ax, groups, colours=None, names=None, styles=None):
    """All seeds thin, their median thick, a name at the end of each median.

    groups: {key: [(x, y) for each seed]}. colours, names, styles: {key: …}; call it when scales and limits are set.
    """
    ends = []
    for i, (key, seeds) in enumerate(groups.items()):
        paint = colours[key] if colours else RAMP(i / max(1, len(groups) - 1))
        style = styles[key] if styles else "-"
        x, middle = median_curve(seeds)
        for seed in seeds:
            ax.plot(*seen(ax, *seed, places=120), style, color=paint, linewidth=0.6, alpha=0.5)  # thin: less is seen
        if len(x):
            ax.plot(*seen(ax, x, middle), style, color=paint, linewidth=2.2)
            ends.append((x[-1], middle[-1], names[key] if names else str(key), paint))
    name_ends(ax, ends)


def seen(ax, x, y, places=250):
    """The points (x, y) of a curve that are drawn: the first in each of so many places along the axes, and the last."""
    x, y = np.asarray(x), np.asarray(y)
    if len(x) <= places:
        return x, y
    along = (ax.transData + ax.transAxes.inverted()).transform(np.column_stack((x, np.ones(len(x)))))[:, 0]
    kept = np.unique(np.floor(np.round(along, 6) * places), return_index=True)[1]  # rounded: the same on all machines
    kept = np.append(kept, len(x) - 1)
    return x[kept], y[kept]


def median_curve(seeds):
    """(x, median of y over seeds) as far as the shortest seed goes; seeds: [(x, y), …] on the same x."""
    length = min((len(x) for x, _ in seeds), default=0)
    if not length:
        return np.array([]), np.array([])
    return np.asarray(seeds[0][0][:length]), np.median([np.asarray(y[:length], float) for _, y in seeds], axis=0)


def name_ends(ax, ends):
    """Write names right of the axes, at the heights of line ends, a line apart at least.

    ends: [(x, y, text, colour)].
    """
    rows = len({panel.get_subplotspec().rowspan.start for panel in ax.figure.axes if panel.get_subplotspec()})
    gap = 13 / (ax.figure.get_figheight() * 72 / max(1, rows) - 75)  # points: a line of the axes' own height
    to_axes = ax.transData + ax.transAxes.inverted()
    low = ax.get_ylim()[0]
    heights = [float(np.clip(to_axes.transform((x, low if np.isnan(y) else y))[1], 0, 1)) for x, y, *_ in ends]
    lines = gap * np.arange(len(ends))
    places = np.maximum(np.minimum(spread(heights, gap), 1 - lines[::-1]), 0.04 + lines)  # beside the axes, not beyond
    for place, i in zip(places, np.argsort(heights, kind="stable"), strict=True):
        *_, text, paint = ends[i]
        ax.annotate(text, (1, place), (6, 0), xycoords="axes fraction", textcoords="offset points", va="center",
                    color=paint, fontsize=10, fontweight="bold", annotation_clip=False)


def spread(heights, gap):
    """Heights, sorted, moved as little as need be to lie at least `gap` apart."""
    clusters = []  # [sum of wanted places of the cluster's lowest name, names in it]
    for height in sorted(heights):
        clusters.append([height, 1])
        while len(clusters) > 1:
            (wanted0, count0), (wanted1, count1) = clusters[-2:]
            if wanted0 / count0 + count0 * gap <= wanted1 / count1:
                break
            clusters[-2:] = [[wanted0 + wanted1 - count0 * count1 * gap, count0 + count1]]
    return [wanted / count + k * gap for wanted, count in clusters for k in range(count)]


def claim(ax, text, x=None, y=None):
    """Mark the claim under test: a span of x (a pair), or a dashed line at x or at y, with its text.

    A mark at an x that the axes do not reach is left out.
    """
    look = {"textcoords": "offset points", "fontsize": 9, "color": "#555555", "style": "italic"}
    if x is None:
        side, above = quiet_place(ax, y, text)
        ax.axhline(y, color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        ax.annotate(text, (0.01 if side == "left" else 0.99, y), (0, 3 if above else -3), ha=side,
                    va="bottom" if above else "top", xycoords=("axes fraction", "data"), path_effects=HALO, **look)
        return
    if np.min(x) > ax.get_xlim()[1]:
        return
    if isinstance(x, tuple):
        ax.axvspan(*x, color=CLAIM, zorder=0, linewidth=0)
    else:
        ax.axvline(x, color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    # Above the axes, where no curve is; the title makes room.
    late = (ax.transData + ax.transAxes.inverted()).transform((np.max(x), 1))[0] > 0.6
    ax.annotate(text, (np.max(x) if late else np.min(x), 1), (0, 2), xycoords=("data", "axes fraction"), va="bottom",
                ha="right" if late else "left", annotation_clip=False, **look)
    ax.set_title(ax.get_title(loc="left"), pad=18)


def quiet_place(ax, y, text):
    """(side, above or not) of a line at y: where the fewest points of the curves lie that the text would cover."""
    to_axes = ax.transData + ax.transAxes.inverted()
    level = to_axes.transform((1, y))[1]
    drawn = [to_axes.transform(curve.get_xydata()) for curve in ax.lines]
    along, height = np.round(np.concatenate([*drawn, np.empty((0, 2))]), 6).T  # rounded: the same on all machines
    columns = ax.get_subplotspec().get_gridspec().ncols
    width = 5 * len(text) / (ax.figure.get_figwidth() * 72 / columns * 0.75)

    def covered(place):
        side, above = place
        beside = along < width if side == "left" else along > 1 - width
        return np.sum(beside & (height >= level if above else height <= level) & (abs(height - level) < 0.09))

    places = [("left", True), ("left", False), ("right", True), ("right", False)]
    inside = [(side, above) for side, above in places if (level < 0.93 if above else level > 0.09)]
    return min(inside, key=covered)  # the first of equals


def dots(ax, rows, colours=None):
    """A row of dots for each setting, one for each seed, its median as a bar; top row first.

    rows: {name: values}, inf where the event never came: these are counted in words at the end of the row.
    """
    for y, (key, values) in enumerate(rows.items()):
        paint = colours[key] if colours else INK
        values = np.asarray(values, float)
        height = y + (np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else np.zeros(1))
        came = np.isfinite(values)
        ax.plot(values[came], height[came], "o", color=paint, markersize=4.5, markeredgecolor="white",
                markeredgewidth=0.6)
        if not came.all():
            ax.annotate(f"{sum(~came)} later" if came.any() else "all later", (1, y), (4, 0), fontsize=9.5, color=paint,
                        xycoords=("axes fraction", "data"), textcoords="offset points", va="center")
        middle = np.median(values) if len(values) else math.inf
        if math.isfinite(middle):
            ax.plot([middle, middle], [y - 0.36, y + 0.36], color=INK, linewidth=1.5, zorder=3)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")


def decades(ax, values, which="x"):
    """Ticks of a log axis exactly at `values`, powers of ten."""
    along = ax.xaxis if which == "x" else ax.yaxis
    along.set_major_locator(FixedLocator(list(values)))
    along.set_minor_locator(NullLocator())
    along.set_major_formatter(lambda x, _: f"{x:g}" if x >= 1 else f"{x:.0e}".replace("e-0", "e-"))


def note(ax, text, x, y, ha="left", va="center", colour=INK):
    """A short text inside the axes, at data coordinates."""
    ax.annotate(text, (x, y), ha=ha, va=va, fontsize=9.5, color=colour, path_effects=HALO)


def network(title, num1, num2, total, layers, back=False):
    """A figure of the network at work on one sum, unrolled: a column of boxes for each step, the first on the right.

    num1, num2, total: digits, least significant first. With `back`, the arrows are those of the error on its way back,
    named as in its formula; they end at the embedding, as digits are not learned.
    """
    fig, ax = figure(title, height=1.5 + 0.55 * (layers + 3))
    rows = ["digits", "embed_layer", *(f"rnn, layer {layer + 1}" for layer in range(layers)), "dense", "it says"]
    carry = (np.asarray(total) - num1 - num2) % 10
    arrow = {"arrowstyle": "<|-" if back else "-|>", "color": WRONG if back else INK, "linewidth": 1.1, "shrinkA": 0,
             "shrinkB": 0}
    for step, digits in enumerate(zip(num1, num2, total, strict=True)):
        x = -step
        for y, row in enumerate(rows):
            edge = row in ("digits", "it says")
            box = {"boxstyle": "round,pad=0.35", "facecolor": "none" if edge else CLAIM if "rnn" in row else "#e9edf5",
                   "edgecolor": "none" if edge else INK}
            says = {"digits": f"{digits[0]} + {digits[1]}", "it says": f"{digits[2]}"}.get(row, "        ")
            says = "   δ   " if back and "rnn" in row else says
            ax.annotate(says, (x, y), ha="center", va="center", bbox=box, fontsize=12 if edge else 9,
                        fontweight="bold" if row == "it says" else "normal", color=INK)
            if y > back:
                ax.annotate("", (x, y - 0.27), (x, y - 0.73), arrowprops=arrow)
            if back and row in BACK:
                ax.annotate(BACK[row], (x + 0.06, y + 0.5), ha="left", va="center", fontsize=10.5, fontweight="bold",
                            color=WRONG)
        if step + 1 < len(total):  # the state goes on to the next column
            for layer in range(layers):
                ax.annotate("", (x - 0.72, layer + 2), (x - 0.28, layer + 2), arrowprops=arrow)
            mark = "Uᵀδ" if back else f"{carry[step + 1]}"
            ax.annotate(mark, (x - 0.5, 1.9 if back else 2.1), ha="center", va="top" if back else "bottom", fontsize=12,
                        fontweight="bold",
                        color=WRONG if back else CARRY if carry[step + 1] else NO_CARRY)
    for y, row in enumerate(rows):
        ax.annotate(row, (0.55, y), ha="left", va="center", fontsize=10, color="#555555")
    ax.annotate("← next step", (-0.5, -0.55), ha="center", va="center", fontsize=9.5, color="#555555", style="italic")
    ax.set(xlim=(0.5 - len(total), 1.5), ylim=(-0.75, len(rows) - 0.6))
    ax.axis("off")
    return fig
