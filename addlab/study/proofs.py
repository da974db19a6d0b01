"""Notebook 07: its certificates and studies, read from records/proofs and records/studies, and its figures."""

import json

import numpy as np
import torch
from IPython.display import Markdown
from matplotlib.patches import Rectangle

from addlab import files
from addlab.certify import ADDITION, Certificate, checker
from addlab.certify.boxes import Cases, Weights, advance, first_boxes, transitions
from addlab.study import claims, noise, plots, states

PAINTS, CARRIES = (plots.NO_CARRY, plots.CARRY), ("no carry", "carry")


def certificates():
    """{name: Certificate} of all that are recorded."""
    paths = sorted(files.found("records/proofs").glob("*.json"))
    return {path.stem: Certificate.load(path.with_suffix("")) for path in paths}


def study(name):
    """The runs of a study, a list of dicts; none where it has no record."""
    path = files.found(f"records/studies/{name}.json")
    return json.loads(path.read_text()) if path.exists() else []


def proved(rows):
    """How many of some runs ended in a proof: "3 of 5"."""
    return f"{sum(row['margin'] is not None for row in rows)} of {len(rows)}"


# The argument in pictures

def arrivals(certificate):
    """The last layer's boxes [2, entries, 2] of an adder, and where its 300 cases lead: low, high [300, entries]."""
    with torch.no_grad():
        after, _ = transitions(Weights.of(certificate.network(), torch.float64), Cases(ADDITION), certificate.boxes())
    boxes = torch.stack(certificate.boxes()[-1], 2)[1:]
    return boxes.numpy(), after[-1].low.numpy(), after[-1].high.numpy()


def boxes_figure(certificate, name):
    """Both boxes with arrows for some of the 300 cases, and each box on its own with all that arrives in it."""
    boxes, low, high = arrivals(certificate)
    into = np.concatenate((np.arange(100) // 10 + np.arange(100) % 10 > 9, np.array(ADDITION.next_state).flatten()))
    x, y = np.argsort(-np.abs(boxes[1] - boxes[0]).mean(1).round(6), kind="stable")[:2]
    inside = all((low[into == c] >= boxes[c, :, 0]).all() and (high[into == c] <= boxes[c, :, 1]).all() for c in (0, 1))
    title = "Every arrow lands in the box of its carry-out" if inside else "Some arrow misses its box"
    fig, axes = plots.figure(title, columns=3, height=3.4, width_ratios=(1.4, 1, 1))
    arrows(axes[0], boxes[:, x], low[:, x], high[:, x], into.astype(int))
    for case in range(100, 300):
        size = high[case, [x, y]] - low[case, [x, y]]
        axes[1 + into[case]].add_patch(Rectangle((low[case, x], low[case, y]), *size, fill=False, linewidth=0.4,
                                                 edgecolor=PAINTS[case // 100 - 1]))
    for carry, words in enumerate(CARRIES):
        corner, size = boxes[carry, [x, y], 0], np.diff(boxes[carry, [x, y]])[:, 0]
        axes[1 + carry].add_patch(Rectangle(corner, *size, facecolor=PAINTS[carry], alpha=0.12))
        axes[1 + carry].add_patch(Rectangle(corner, *size, fill=False, edgecolor=PAINTS[carry], linewidth=1.8))
        plots.axis(axes[1 + carry], f"all that arrives in “{words}”", "one entry of u", "another" * (not carry))
        axes[1 + carry].margins(0.12)
    return plots.save(fig, name, f"u has {boxes.shape[1]} entries; shown are the two in which the boxes lie furthest "
                      "apart, each box to its own scale. Left: the first of the two, for a sum of each size. Right: a "
                      "frame goes around all that arrives from anywhere in a box, in the colour of that box.")


def arrows(ax, boxes, low, high, into):
    """Arrows from the start and both boxes [2, 2] before a column to where it leads, each box drawn one unit high."""
    for carry, words in enumerate(CARRIES):
        for x in (0, 1):
            ax.add_patch(Rectangle((x - 0.06, 1.4 * carry), 0.12, 1, facecolor=PAINTS[carry], alpha=0.25))
            ax.add_patch(Rectangle((x - 0.06, 1.4 * carry), 0.12, 1, fill=False, edgecolor=PAINTS[carry]))
        plots.note(ax, words, 1.12, 1.4 * carry + 0.5, colour=PAINTS[carry])
    ax.plot(0, 1.2, "o", color=plots.INK, markersize=5)
    plots.note(ax, "start", -0.12, 1.2, ha="right")
    for origin in range(3):
        for total in range(19):
            case = 100 * origin + 10 * min(total, 9) + total - min(total, 9)
            to = into[case]
            end = 1.4 * to + ((low[case] + high[case]) / 2 - boxes[to, 0]) / (boxes[to, 1] - boxes[to, 0])
            begin = (0, 1.2) if origin == 0 else (0.06, 1.4 * (origin - 1) + (total + 0.5) / 19)
            ax.annotate("", (0.94, end), begin, arrowprops=dict(
                arrowstyle="-|>", mutation_scale=6, color=PAINTS[to], linewidth=0.5, shrinkA=0, shrinkB=0))
    plots.axis(ax, "arrows, a sum each", xlim=(-0.45, 1.85), ylim=(-0.15, 2.55))
    ax.set(xticks=[0, 1], xticklabels=["before", "after a column"], yticks=[])
    ax.grid(visible=False)


@torch.no_grad()
def overlap(model, columns=12):
    """How wide an adder's boxes grow, column by column: both half-widths in parts of the distance of their middles.

    Of the entry in which the last layer's boxes are told apart best: from 1 on no entry tells them apart.
    """
    weights, cases, found = Weights.of(model, torch.float64), Cases(ADDITION), []
    boxes = first_boxes(weights, cases)
    for _ in range(columns):
        radius, middle = boxes[-1].radius[1:], boxes[-1].middle[1:]
        found.append((radius.sum(0) / (middle[1] - middle[0]).abs()).min().item())
        boxes, _ = advance(weights, cases, boxes)
    return found


def growth_figure(models, name):
    """The boxes of some adders as they grow; models: {words: [adder]}."""
    fig, ax = plots.figure("The boxes of proved networks come to rest; those of plain ones overlap", height=3.2)
    plots.axis(ax, "", "column", "width of the boxes", log="y", xlim=(1, 12), ylim=(0.005, 200))
    ax.set_yticks([0.01, 0.1, 1, 10, 100], ["0.01", "0.1", "1", "10", "100"])
    plots.curves(ax, {words: [(range(1, 13), overlap(model)) for model in some] for words, some in models.items()})
    plots.claim(ax, "above, they overlap", y=1)
    return plots.save(fig, name, "Both half-widths, in parts of the distance of the middles, in the entry that tells "
                      "the boxes apart best. Plain: five seeds trained as the original, but for one layer; they differ "
                      "from the others in rate and batches, too.")


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
    fig, axes = plots.figure("52 parameters, the whole machine: a latch, a bent line, ten curves", columns=3,
                             height=3.4)
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
                      "goes one way with the sum, by smaller steps at the ends. From both come ten logits, whose top "
                      "(dot) is the digit.")


# What is proved

def ladder(found):
    """A table: what is proved of which networks, by boxes of all that were trained, by every state of those shipped."""
    adders, data, bits = study("adders"), study("data_then_boxes"), study("bits")
    rows = []
    for cell in ("RNN", "GRU", "LSTM"):
        kind = [row for row in adders if row["cell"] == cell]
        depth = max(row["layers"] for row in kind)
        rows.append([f"{cell}, 1 to {depth} layers of 64", "its boxes", proved(kind),
                     every_state(f"{cell.lower()}_{k}layer_seed" for k in range(1, depth + 1))])
    before = sum(row["of_data"] is not None for row in data)
    rows.append(["RNN, 3 layers of 64", f"random sums (proved: {before} of {len(data)}), then its boxes", proved(data),
                 every_state(["rnn_3layer_from_data"])])
    shaken = noise.seeds(noise=1.0)
    rows.append(["RNN, 1 layer of 64", "random sums and noise",
                 f"{sum(bool(seed['proved']) for seed in shaken)} of {len(shaken)}",
                 f"{sum(map(noise.closed, shaken))} of {len(shaken)}"])
    rows.append(["RNN, 52 parameters", "its boxes, small sums first", proved(of_starts("52 parameters")),
                 every_state(["rnn_52_parameters"])])
    whole = [row for row in bits if row["weights"] == "INT8" and found[row["certificate"]].claim["hidden"] == 64]
    rows.append(["shipped adders of 64 units, in 8 bits", "nothing more", proved(whole), "–"])
    others = [name for name, certificate in found.items() if not name.startswith("data_alone")
              and certificate.claim["machine"]["meaning"] != ADDITION.meaning]
    rows.append(["other arithmetic and machines", "their boxes", f"{len(others)} shipped", every_state(others)])
    return claims.table(["network", "trained on", "proved by boxes", "proved by every state"], rows)


def every_state(names):
    """Of how many of the certificates whose states were all followed, on some grid or as they are, all are right."""
    names, closed = tuple(names), {}
    for row in states.recorded():
        name = row["network"].removeprefix("proofs/").removesuffix(".json")
        if name.startswith(names):
            closed[name] = closed.get(name, False) or row["closed"]
    return f"{sum(closed.values())} of {len(closed)}" if closed else "–"


def of_starts(variant):
    """The random starts of a variant of the study of two units."""
    return [row for row in study("starts") if row["variant"] == variant]


def after(change, certificate):
    """What the checker says, in one line, once change(claim) has altered the claim of a certificate."""
    claim = json.loads(json.dumps(certificate.claim))
    change(claim)
    try:
        return "proved: this network " + checker.check(json.dumps(claim).encode(), certificate.weights).does
    except checker.Rejected as problem:
        return f"rejected: {problem}"
