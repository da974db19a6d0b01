"""Notebook 07: its certificates and studies, read from records/proofs and records/studies, and its figures."""

import json

import numpy as np
import torch
from IPython.display import Markdown
from matplotlib.patches import Rectangle

from addlab import files
from addlab.certify import ADDITION, Certificate, checker
from addlab.certify.boxes import Cases, Weights, transitions
from addlab.certify.proof import contraction, margins
from addlab.study import claims, measures, plots

PAINTS = plots.NO_CARRY, plots.CARRY
STARTS = {  # how the notebook calls the variants of the study "starts"
    "52 parameters": "52 parameters", "48 parameters": "48 (digits share weights)",
    "no curriculum": "52, all sums from the beginning", "no hard predecessors": "52, no hard columns before",
}


def certificates():
    """{name: Certificate} of all that are recorded."""
    paths = sorted(files.found("records/proofs").glob("*.json"))
    return {path.stem: Certificate.load(path.with_suffix("")) for path in paths}


def study(name):
    """The runs of a study, a list of dicts; none where it has no record."""
    path = files.found(f"records/studies/{name}.json")
    return json.loads(path.read_text()) if path.exists() else []


def kind_of(certificate):
    """Cell, layers, units and parameters of a certificate's network, for a table."""
    claim, tied = certificate.claim, certificate.parameters - free_parameters(certificate)
    note = f" ({certificate.parameters - tied:,} free)" if tied else ""
    return [claim["cell"], claim["layers"], claim["hidden"], f"{certificate.parameters:,}{note}"]


def free_parameters(certificate):
    """How many numbers a network has where one layer's inputs share their weights and its second bias is 0."""
    claim, count = certificate.claim, certificate.parameters
    tensors = certificate.network().state_dict()
    first, *others = tensors["rnn.weight_ih_l0"].split(claim["embedding"], 1)
    if claim["layers"] == 1 and not tensors["rnn.bias_hh_l0"].any() and all(map(first.equal, others)):
        count -= first.numel() * len(others) + len(tensors["rnn.bias_hh_l0"])
    return count


def proved(rows):
    """How many of some runs ended in a proof: "3 of 5"."""
    return f"{sum(row['margin'] is not None for row in rows)} of {len(rows)}"


# The argument in pictures

def arrivals(certificate):
    """The last layer's boxes [2, entries, 2] of an adder, and where its 200 steps lead: low, high [200, entries]."""
    with torch.no_grad():
        after, _ = transitions(Weights.of(certificate.network(), torch.float64), Cases(ADDITION), certificate.boxes())
    boxes = torch.stack(certificate.boxes()[-1], 2)[1:]
    return boxes.numpy(), after[-1].low[100:].numpy(), after[-1].high[100:].numpy()


def boxes_figure(certificate, name):
    """Both boxes with an arrow for each step, and each box on its own with all that arrives in it."""
    boxes, low, high = arrivals(certificate)
    into = np.array(ADDITION.next_state).flatten()
    middles = boxes.mean(2)
    x, y = np.argsort(-np.abs(middles[1] - middles[0]).round(6), kind="stable")[:2]
    inside = all((low[into == c] >= boxes[c, :, 0]).all() and (high[into == c] <= boxes[c, :, 1]).all() for c in (0, 1))
    title = "Every arrow lands in the box of its carry-out" if inside else "Some arrow misses its box"
    fig, axes = plots.figure(title, columns=3, height=3.4)
    for case in range(200):
        carry, to = case // 100, into[case]
        place = (np.array(divmod(case % 100, 10)) + 0.5) / 10
        begin = boxes[carry, [x, y], 0] + np.diff(boxes[carry, [x, y]])[:, 0] * place
        end = (low[case, [x, y]] + high[case, [x, y]]) / 2
        axes[0].annotate("", end, begin, arrowprops=dict(arrowstyle="-", color=PAINTS[to], linewidth=0.25, alpha=0.6,
                                                         shrinkA=0, shrinkB=0))
        size = high[case, [x, y]] - low[case, [x, y]]
        axes[1 + to].add_patch(Rectangle((low[case, x], low[case, y]), *size, fill=False, edgecolor=PAINTS[carry],
                                         linewidth=0.4))
    for carry, words in enumerate(("no carry", "carry")):
        corner, size = boxes[carry, [x, y], 0], np.diff(boxes[carry, [x, y]])[:, 0]
        for ax in (axes[0], axes[1 + carry]):
            ax.add_patch(Rectangle(corner, *size, facecolor=PAINTS[carry], alpha=0.12))
            ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=PAINTS[carry], linewidth=1.8))
        above = boxes[carry, y, 0] > boxes[1 - carry, y, 0]  # away from the other box, where no arrow is
        plots.note(axes[0], words, *(corner + size * [0.5, 1.1 if above else -0.1]), ha="center",
                   va="bottom" if above else "top", colour=PAINTS[carry])
        plots.axis(axes[1 + carry], f"What arrives in “{words}”", "entry of u, furthest apart")
        axes[1 + carry].margins(0.12)
    axes[0].margins(0.22)
    plots.axis(axes[0], "Both boxes, 200 steps", "entry of u, furthest apart", "another entry of u")
    return plots.save(fig, name, f"u has {boxes.shape[1]} entries; shown are the two in which the boxes lie furthest "
                      "apart. A line goes from a place in each box to the middle of where that column leads. A frame "
                      "goes around all that arrives there from anywhere in a box, in the colour of that box.")


def widths_figure(certificate, name, columns=30):
    """How far the boxes' mean half-width is from where it comes to rest, column by column."""
    from_start, from_all = contraction(certificate, columns)
    fig, ax = plots.figure("From outside and from inside, the boxes come to rest", height=3.0)
    plots.axis(ax, "", "column", f"half-width, from {from_all[-1]:.3f}", log="y", xlim=(0.5, 6), ylim=(1e-8, 10))
    for widths, words, paint in ((from_all, "from the certificate's boxes", plots.INK),
                                 (from_start, "from the start", plots.FAINT)):
        distance = np.abs(widths - from_all[-1])
        seen = distance > 1e-8  # far above what rounding can change
        ax.plot(np.arange(1, columns + 1)[seen], distance[seen], "o-", color=paint)
        plots.note(ax, f"  {words}", 1, distance[0], colour=paint, va="bottom")
    return plots.save(fig, name, "Boxes that hold all states shrink, those that hold what short numbers reach grow.")


def margins_figure(certificate, name):
    """The lead of the right digit in all 300 cases."""
    leads = margins(certificate).reshape(3, 10, 10)
    fig, axes = plots.figure(f"The right digit leads in all 300 cases, by {leads.min():.2f} or more", columns=3,
                             height=3.0, sharey=True)
    for ax, origin, table in zip(axes, ("from the start", "after no carry", "after a carry"), leads, strict=True):
        image = ax.imshow(table.round(2), cmap="Greys_r", vmin=0, vmax=leads.max().round(2), origin="lower")
        plots.axis(ax, origin, "digit b", "digit a" * (ax is axes[0]))
        ax.set(xticks=range(0, 10, 3), yticks=range(0, 10, 3))
        ax.grid(visible=False)
    fig.colorbar(image, ax=axes, label="lead", shrink=0.8)
    return plots.save(fig, name, "Dark is close: the worst state of the box counts, and all that rounding may do.")


# The 52 parameters

class SmallAdder:
    """An adder of two tanh units in the formula's own terms: h = tanh(w e(a) + w' e(b) + b + U h)."""

    def __init__(self, certificate):
        weights = {name: tensor.double().numpy() for name, tensor in certificate.network().state_dict().items()}
        self.embedding = weights["embed_layer.weight"][:, 0]
        self.w, self.u = weights["rnn.weight_ih_l0"], weights["rnn.weight_hh_l0"]
        self.b = weights["rnn.bias_ih_l0"] + weights["rnn.bias_hh_l0"]
        self.dense, self.bias = weights["dense.weight"], weights["dense.bias"]
        self.boxes = np.array([layers[0] for layers in certificate.claim["invariant"]])   # [carry, unit, (low, high)]
        self.latch = int(np.abs(self.w).sum(1).argmax())

    def units(self, a, b, carry):
        """Both units after a column, from the middle of a carry's box: arrays [2, …]."""
        read = self.w[:, :1] * self.embedding[a] + self.w[:, 1:] * self.embedding[b]
        return np.tanh(read + (self.b + self.boxes[carry].mean(1))[:, None])

    def formulas(self):
        """Both units as a function of the column's sum s and of themselves, in LaTeX; e(d) is nearly a line in d."""
        slope = (self.embedding[9] - self.embedding[0]) / 9
        offset = self.embedding.mean() - 4.5 * slope
        names = {self.latch: "L", 1 - self.latch: "v"}
        rows = []
        for unit in (self.latch, 1 - self.latch):
            per_sum = self.w[unit].mean() * slope
            constant = self.b[unit] + self.w[unit].sum() * offset
            latch, value = self.u[unit, [self.latch, 1 - self.latch]] / per_sum
            constant /= per_sum
            rows.append(f"{names[unit]}' &= \\tanh\\big({per_sum:.3g}\\,(s {latch:+.2f}\\,L {value:+.2f}\\,v "
                        f"{constant:+.2f})\\big)")
        return Markdown("$$\\begin{aligned}" + " \\\\ ".join(rows) + "\\end{aligned}$$")


def small_figure(certificate, name):
    """The whole machine: the latch, the nearly linear unit, and ten logits for each sum."""
    small = SmallAdder(certificate)
    a, b = np.divmod(np.arange(100), 10)
    fig, axes = plots.figure("52 parameters, the whole machine: a latch, a line, ten parabolas", columns=3, height=3.4)
    for carry, words in enumerate(("no carry before", "carry before")):
        units = small.units(a, b, carry)
        for ax, unit in zip(axes, (small.latch, 1 - small.latch), strict=False):
            ax.plot(a + b + (carry - 0.5) * 0.24, units[unit], "o^"[carry], color=PAINTS[carry], markersize=3.5,
                    markeredgewidth=0, label=words)
        logits = small.dense @ units + small.bias[:, None]
        for total in range(10):
            pair = int(np.flatnonzero(a + b == total)[0])
            if not carry:
                lead = (logits[:, pair] - logits[:, pair].max()) / 100
                axes[2].plot(range(10), lead, color=plots.RAMP(total / 9), linewidth=1.2)
                axes[2].plot(total, 0, "o", color=plots.RAMP(total / 9), markersize=4)
    plots.axis(axes[0], "Unit L: is the sum above 9?", "a + b", "output")
    plots.axis(axes[1], "Unit v: the sum, nearly", "a + b", "")
    plots.axis(axes[2], "Logits of the sums 0 … 9", "digit", "hundreds below the best", ylim=(-6, 0.4))
    axes[1].legend(frameon=False, loc="upper right", fontsize=9)
    axes[2].set_xticks(range(0, 10, 3))
    return plots.save(fig, name, "L flips between 9 and 10 where no carry came in, between 8 and 9 where one did. v "
                      "falls or rises with the sum by the same step everywhere. From both, ten logits form a parabola "
                      "over the digits, whose top (dot) is the digit.")


def starts_figure(rows, name):
    """How many random starts end in a proof, and where their latch flips."""
    kinds = {variant: [row for row in rows if row["variant"] == variant] for variant in STARTS}
    kinds = {variant: found for variant, found in kinds.items() if found}
    share = {variant: sum(row["margin"] is not None for row in found) for variant, found in kinds.items()}
    title = "Small sums first: that is what makes two units learn to add"
    fig, axes = plots.figure(title, columns=2, height=3.2, sharey=True)
    axes[1].axvspan(9, 10, color=plots.CLAIM, linewidth=0)
    for y, (variant, found) in enumerate(kinds.items()):
        low, high = measures.interval(share[variant], len(found) - share[variant])
        axes[0].plot([low, high], [y, y], color=plots.FAINT, linewidth=4)
        axes[0].plot(share[variant] / len(found), y, "o", color=plots.INK)
        plots.note(axes[0], f"{share[variant]} of {len(found)}", high + 0.02, y)
        for right, look in ((False, "x"), (True, "o")):
            latches = sorted(row["latch"] for row in found if row["latch"] and (row["margin"] is not None) == right)
            axes[1].plot(latches, y + np.linspace(-0.25, 0.25, len(latches)), look, markersize=3.5, alpha=0.7,
                         color=plots.RIGHT if right else plots.WRONG)
    axes[0].set_yticks(range(len(kinds)), [STARTS[variant] for variant in kinds])
    axes[0].set_ylim(len(kinds) - 0.5, -0.5)
    plots.axis(axes[0], "Share of random starts proved", "", xlim=(0, 1.05))
    plots.axis(axes[1], "Where the latch flips", "a + b in the first column", xlim=(0, 18))
    return plots.save(fig, name, "Shares come with their 95 % interval. Latches: one mark a start, a blue dot "
                      "where it was proved, a red cross where not. The latch belongs in the band.")


# Other machines, and data

def machines_figure(rows, name):
    """How many seeds of each small machine are proved, by the network's units."""
    names = list(dict.fromkeys((row["states"], row["machine"]) for row in rows))
    widths = sorted({row["hidden"] for row in rows})
    fig, ax = plots.figure("More states ask for more units", height=3.0)
    counts = np.zeros((len(names), len(widths)))
    for place in np.ndindex(counts.shape):
        machine, hidden = names[place[0]][1], widths[place[1]]
        found = [row["margin"] is not None for row in rows if (row["machine"], row["hidden"]) == (machine, hidden)]
        counts[place] = sum(found) / max(1, len(found))
        ax.text(place[1] + 0.5, place[0] + 0.5, f"{sum(found)} of {len(found)}", ha="center", va="center", fontsize=9)
    ax.pcolormesh(counts, cmap="Blues", vmin=0, vmax=2.5)
    ax.set_xticks(np.arange(len(widths)) + 0.5, widths)
    ax.set_yticks(np.arange(len(names)) + 0.5, [f"{machine}: {states} states" for states, machine in names])
    ax.invert_yaxis()
    ax.grid(visible=False)
    plots.axis(ax, "", "hidden units", "")
    return plots.save(fig, name, "Seeds proved, of those trained: one layer of tanh units, 1000 batches on its boxes.")


def adders_table(rows):
    """One row for each kind of adder: how many seeds are proved, and their margins."""
    kinds = {}
    for row in rows:
        kinds.setdefault((row["cell"], row["layers"]), []).append(row)
    table = []
    for (cell, layers), found in sorted(kinds.items(), key=lambda kind: (kind[0][0] != "RNN", kind[0])):
        leads = [f"{row['margin']:.1f}" for row in found if row["margin"] is not None]
        table.append([cell, layers, proved(found), ", ".join(leads) or "–"])
    return claims.table(["cell", "layers", "seeds proved", "least lead of the right digit"], table)


def bits_table(rows):
    """One row for each adder, one column for each format of its weights: the least lead, a dash where not proved."""
    formats = sorted({(-row["bits"], row["weights"]) for row in rows})
    leads = {(row["certificate"], row["weights"]): row["margin"] for row in rows}
    table = []
    for name in sorted({row["certificate"] for row in rows}):
        cells = [leads.get((name, weights)) for _, weights in formats]
        table.append([f"`{name}`", *("–" if lead is None else f"{lead:.1f}" for lead in cells)])
    return claims.table(["adder", *(weights for _, weights in formats)], table)


def fewest_bits(rows, found):
    """The proved adder whose weights take the fewest bits in all, in a sentence."""
    def whole(row):
        return found[row["certificate"]].parameters * row["bits"]

    least = min((row for row in rows if row["margin"] is not None), key=whole)
    parameters = found[least["certificate"]].parameters
    return Markdown(f"In bits, the smallest adder proved here is `{least['certificate']}` in {least['weights']}: "
                    f"{parameters:,} numbers of {least['bits']} bits each, {whole(least):,} bits in all.")


def verdicts_table(found):
    """One row for each certificate: what the checker says of it."""
    rows = []
    for name, certificate in found.items():
        verdict = certificate.check()
        does, least = verdict.does.split(", modulo")[0], np.floor(verdict.margin * 100) / 100
        rows.append([f"`{name}`", does, *kind_of(certificate), f"{least:.2f}"])
    head = ["certificate", "proved: this network …", "cell", "layers", "units", "parameters", "least lead"]
    return claims.table(head, rows)


def verdict(claim, weights):
    """What the checker says of a claim (a dict) and of weights (bytes), in one line."""
    try:
        return "proved: this network " + checker.check(json.dumps(claim).encode(), weights).does
    except checker.Rejected as problem:
        return f"rejected: {problem}"


def conclusion(found, starts, wrong, digits):
    """What notebook 07 ends with, in numbers."""
    meanings = [certificate.claim["machine"]["meaning"] or {} for certificate in found.values()]
    decimal = meanings.count(ADDITION.meaning)
    adders = sum(set(meaning.get("factors", [0])) == {1} for meaning in meanings)
    least = min(found.values(), key=lambda c: c.parameters)
    plain = [row for row in starts if row["variant"] == "52 parameters"]
    return (f"A trained network of {least.parameters} parameters adds any two decimal numbers of any length. That is a "
            "theorem about the weights in this repository, proved in 300 cases and by induction, rounding included; "
            f"{proved(plain)} random starts end in one. Proved here are {decimal} networks that add two decimal "
            f"numbers, of all three cells, {adders - decimal} that add in other bases or more numbers, and "
            f"{len(found) - adders} other machines. On {digits:,} digits of worst cases, the smallest made {wrong} "
            "mistakes.")
