"""What the appendix shows: each claim with its verdict, by each measure, and each pair of settings."""

import math
from fractions import Fraction

import numpy as np
from matplotlib.markers import CARETLEFT, CARETRIGHT
from matplotlib.patches import Rectangle

from addlab.study import claims, measures, plots

SIGNS = {"holds": ("++", "#1c4587"), "mostly holds": ("+", "#8fb0dd"), "mixed": ("±", "#f3ead2"),
         "not settled": ("?", "#d3d3d3"), "mostly fails": ("−", "#eda58f"), "fails": ("−−", "#b3261e")}
IN_SHORT = {"C1a": "good in 100–200", "C3": "longer, loss sooner", "C4": "longer, sums later",
            "C5a": "3 layers, by loss", "C5b": "3 layers, by sums", "C6a": "4 before 3 before 2",
            "C6b": "depths alike in loss", "C8": "RNN, GRU, LSTM", "C9": "small rates too slow",
            "C10b": "no success at 0.1"}
LEVELS = [Fraction(level) for level in ("1", "0.5", "0.2", "0.1", "0.05", "0.02", "0.01")]  # that a phone has room for
RULERS = [  # a panel each: {head of some columns: measures}
    {"loss below": [measure for measure in measures.LOSSES if measure.level in LEVELS]},
    {"% of sums right": measures.ACCURACIES, "batches\nmissed": [measures.MISSED]},
    {"% in\na test": measures.ORIGINAL[:2], "% for\ngood": measures.ORIGINAL[2:]},
]
TOLD = {measures.LOSS: (plots.INK, "o", -0.17),  # colour, mark, place in a row
        measures.ACCURACY: ("#1f8a83", "s", 0.17)}


def claims_table(entries, places):
    """Each statement in the original's words, with its verdict and its seeds, sorted by verdict.

    entries: `claims.entries_so_far()`; places: {claim: page#place}, where each is judged, to which its name leads.
    """
    rows = []
    for claim, entry in sorted(entries.items(), key=lambda pair: list(SIGNS).index(pair[1]["verdict"])):
        page = places[claim].replace(".html", ".ipynb")
        yes, no, undecided = claims.counts(dict(enumerate(entry["seeds"])))
        rows.append([f"[{claim}]({page})", claims.CLAIMS[claim], f"**{entry['verdict']}**", yes, no, undecided or ""])
    counts = ["yes", "no", "?"]
    return claims.table(["", "the original says", "verdict", *counts], rows, counts)


def looks_table(entries, first):
    """The verdict on the seeds of a first look, on those added after it, and on all, as a Markdown table.

    entries: `claims.entries_so_far()`; first: {claim: how many seeds, in order, the first look had}.
    """
    rows = []
    for claim, count in first.items():
        seeds = entries[claim]["seeds"]
        rows.append([claim, *map(look, (seeds[:count], seeds[count:], seeds))])
    return claims.table(["", "first look", "new seeds", "all seeds"], rows)


def look(seeds):
    """What seeds say, "k of n: verdict", with a ? for those of the n that are undecided."""
    found = dict(enumerate(seeds))
    return f"{share(found)}: {claims.judge(found)}"


def share(found):
    """In how many seeds a statement is true, "k of n", with a ? for those of the n that are undecided."""
    yes, _, undecided = claims.counts(found)
    doubt = f" ({undecided}\N{NO-BREAK SPACE}?)" if undecided else ""
    return f"{yes} of {len(found)}{doubt}"


def by_usual(entries):
    """The entries of the claims that two or more of the measures in `RULERS` ask, with these measures alone."""
    usual = {str(measure) for heads in RULERS for listed in heads.values() for measure in listed}
    found = {claim: {name: entry["measures"][name] for name in entry["measures"] if name in usual}
             for claim, entry in entries.items()}
    return {claim: entries[claim] | {"measures": asked} for claim, asked in found.items() if len(asked) > 1}


def by_fate(entries):
    """The claims of `by_usual`, by what other measures do to their verdict: {in words: [claim]}."""
    fates = {"turn round": [], "change in strength": [], "never change": []}
    for claim, entry in entries.items():
        words = {word for word, *_ in entry["measures"].values()}
        fate = "turn round" if claims.both_ways(entry) else "change in strength" if len(words) > 1 else "never change"
        fates[fate].append(claim)
    return fates


def verdict_figure(entries, title, narrow=False):
    """The verdict on each claim (a row) by each measure (a column), that of the report framed; a panel for each ruler.

    entries: those of `by_usual`. Rows are put together by their fate. `narrow`: for a phone, panels below one another,
    each with only the rows that have a cell in it.
    """
    widths = [sum(map(len, heads.values())) + 0.4 * len(heads) for heads in RULERS]
    every = [measure for heads in RULERS for listed in heads.values() for measure in listed]
    if not narrow:
        rows = by_rows(entries, every)
        fig, axes = plots.figure(title, columns=len(RULERS), height=1.3 + 0.25 * len(rows),
                                 gridspec_kw={"width_ratios": widths})
        for ax, heads, width in zip(axes, RULERS, widths, strict=True):
            cells(ax, heads, rows, width)
        for ax in axes[1:]:
            ax.tick_params(labelleft=False)
        return fig
    blocks = [by_rows(entries, [measure for listed in heads.values() for measure in listed]) for heads in RULERS]
    counts = [max(1, len(rows)) for rows in blocks]
    fig, axes = plots.figure(title, rows=len(RULERS), height=0.5 + 0.6 * len(RULERS) + 0.25 * sum(counts),
                             width=plots.NARROW, gridspec_kw={"height_ratios": counts})
    for ax, heads, rows in zip(axes, RULERS, blocks, strict=True):
        cells(ax, heads, rows, max(widths))  # cells of one size
    return fig


def by_rows(entries, asked):
    """[(label, entry, or None for the name of a fate)] of the claims that some of these measures ask, by their fate."""
    names, rows = {str(measure) for measure in asked}, []
    for fate, listed in by_fate(entries).items():
        found = [claim for claim in listed if names & entries[claim]["measures"].keys()]
        if found:
            rows.append((f"{fate}:", None))
            rows += [(f"{claim}: {IN_SHORT.get(claim, '')}", entries[claim]) for claim in found]
    return rows


def cells(ax, heads, rows, width):
    """A panel of verdicts: a row for each claim, a column for each measure under its head."""
    above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "bottom", "fontsize": 9,
             "color": plots.INK, "annotation_clip": False}
    x = 0.0
    for head, listed in heads.items():
        ax.annotate(head, (x - 0.45, 1), (0, 17), fontweight="bold", **above)
        for measure in listed:
            if measure.level:  # text, not a tick: a phone would have it below, too
                level = float(measure.level if measure.of == "loss" else 100 * measure.level)
                ax.annotate(f"{level:g}", (x, 1), (0, 2), ha="center", **above | {"fontsize": 8})
            for y, (_, entry) in enumerate(rows):
                if entry and str(measure) in entry["measures"]:
                    cell(ax, x, y, entry["measures"][str(measure)][0], str(measure) == entry["by"])
            x += 1
        x += 0.4
    ax.set_xticks([])
    ax.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=9.5)
    for label, (_, entry) in zip(ax.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if entry else "bold")
    ax.set(xlim=(-0.6, width - 0.5), ylim=(len(rows) - 0.4, -0.6))
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for side in ax.spines.values():
        side.set_visible(False)


def cell(ax, x, y, word, framed):
    """The sign of a verdict in a cell, with a frame where it is the report's."""
    sign, paint = SIGNS[word]
    ax.add_patch(Rectangle((x - 0.45, y - 0.43), 0.9, 0.86, facecolor=paint, zorder=2 + framed,
                           edgecolor=plots.INK if framed else plots.FAINT, linewidth=2.6 if framed else 0.5))
    ax.text(x, y, sign, ha="center", va="center", fontsize=10, fontweight="bold", zorder=4,
            color="white" if word in ("holds", "fails") else plots.INK)


def forest_figure(compared, title):
    """The ratio of batches of two settings with its interval, by loss and by whole sums, a row for each pair.

    compared: {heading: `claims.pairs(…, TOLD)`}. Beside a row stands in how many seeds the first is sooner, and the
    sign of the verdict.
    """
    rows = sum(len(pairs) + 1 for pairs in compared.values())
    fig, ax = plots.figure(title, height=1.4 + 0.34 * rows)
    ratios = [ratio for pairs in compared.values() for *_, says in pairs for _, ratio in says.values()]
    known = [x for ratio in ratios for x in ratio if 0 < x < math.inf] + [1.0]
    plots.axis(ax, "", "batches of the first / batches of the second", log="x",
               xlim=(min(known) / 1.08, max(known) * 1.08))
    ticks = [x for x in (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10) if min(known) < 1.08 * x < 1.16 * max(known)]
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.axvline(1, color=plots.FAINT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    for text, side, shift in (("← first faster", "right", -5), ("second faster →", "left", 5)):
        ax.annotate(text, (1, 1), (shift, 3), xycoords=("data", "axes fraction"), textcoords="offset points", ha=side,
                    va="bottom", fontsize=9.5, color=plots.INK, style="italic", annotation_clip=False)
    y, labels = 0, {}
    for about, pairs in compared.items():
        ax.annotate(about, (0, y + 0.1), (-62, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                    va="center", fontsize=9.5, fontweight="bold", color=plots.INK, annotation_clip=False)
        for a, b, says in pairs:
            y += 1
            labels[y] = f"{a} / {b}"
            for measure, (found, ratio) in says.items():
                bar(ax, y, measure, found, ratio)
        y += 1
    ax.set_yticks(list(labels), list(labels.values()), fontsize=9.5)
    ax.set_ylim(y - 0.4, -0.5)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)  # headings run across it
    ax.tick_params(axis="y", length=0)
    for measure, (paint, mark, _) in TOLD.items():
        ax.plot([], [], mark, color=paint, label=str(measure))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False, fontsize=9.5, handletextpad=0.2,
              borderaxespad=2)
    return fig


def bar(ax, y, measure, found, ratio):
    """One measure's ratio in a row of a forest: a dot at the median, a line for its interval.

    Where the interval is open at one end, the line ends in an arrow at the edge; where at both, it is dotted.
    """
    paint, mark, shift = TOLD[measure]
    middle, *ends = ratio
    if not any(map(math.isnan, ends)):
        line = ":" if ends == [0, math.inf] else "-"
        left, right = np.clip(ends, *ax.get_xlim())
        ax.plot([left, right], [y + shift] * 2, line, color=paint, linewidth=1.8)
        if line == "-" and (ends[0] == 0 or ends[1] == math.inf):  # it goes on
            edge, arrow = (left, CARETLEFT) if ends[0] == 0 else (right, CARETRIGHT)
            ax.plot([edge], [y + shift], marker=arrow, color=paint, markersize=6)
    if 0 < middle < math.inf:
        ax.plot([middle], [y + shift], mark, color=paint, markersize=5)
    sign, _ = SIGNS[claims.judge(found)]
    ax.annotate(f"{share(found)}: {sign}", (1, y + 1.35 * shift), (8, 0), fontsize=9.5,
                xycoords=("axes fraction", "data"), textcoords="offset points", va="center", color=paint,
                annotation_clip=False)


def in_words(compared, names):
    """What `forest_figure` shows, in words, for who hears it: a clause for each pair and measure."""
    return "; ".join(
        f"{about}: {names[about][a]} before {names[about][b]} by {measure} in {claims.share(found)}, "
        f"{claims.judge(found)}, ratio {claims.interval(*ratio)}"
        for about, pairs in compared.items() for a, b, says in pairs for measure, (found, ratio) in says.items())
