"""Notebook 07: its certificates and studies, read from records/proofs and records/studies, and its figures."""

import hashlib
import json
import re

import numpy as np
import safetensors.torch
import torch
from IPython.display import Markdown
from matplotlib.patches import Rectangle

from addlab import files
from addlab.certify import ADDITION, Certificate, checker
from addlab.certify.boxes import Cases, Weights, advance, first_boxes, transitions
from addlab.study import claims, noise, plots
from addlab.study.studies import results

PAINTS, CARRIES = (plots.NO_CARRY, plots.CARRY), ("no carry", "carry")


def certificates():
    """{name: Certificate} of all that are recorded."""
    paths = sorted(files.found("records/proofs").glob("*.json"))
    return {path.stem: Certificate.load(path.with_suffix("")) for path in paths}


def study(name):
    """The runs of a study, a list of dicts; none where it has no record."""
    path = files.found(f"records/studies/{name}.json")
    return json.loads(path.read_text()) if path.exists() else []


# The argument in pictures

def arrivals(certificate):
    """The last layer's boxes [2, entries, 2] of an adder, and where its 300 cases lead: low, high [300, entries]."""
    with torch.no_grad():
        after, _ = transitions(Weights.of(certificate.network(), torch.float64), Cases(ADDITION), certificate.boxes())
    boxes = torch.stack(certificate.boxes()[-1], 2)[1:]
    return boxes.numpy(), after[-1].low.numpy(), after[-1].high.numpy()


def boxes_figure(certificate, name):
    """The 300 cases counted, arrow by arrow; and in one plane, box by box, all that arrives there."""
    boxes, low, high = arrivals(certificate)
    into, origins = Cases(ADDITION).target.numpy(), np.arange(300) // 100
    apart = np.abs(np.diff(boxes.mean(2), axis=0)[0]) / np.diff(boxes)[..., 0].sum(0)
    plane = np.argsort(-apart.round(6), kind="stable")[:2]
    inside = (low >= boxes[into, :, 0]).all() and (high <= boxes[into, :, 1]).all()
    fig, axes = plots.figure("Every case leads into the box of its carry" if inside else "Some case misses its box",
                             columns=2, height=3.2, gridspec_kw={"width_ratios": (1, 1.7)})
    automaton(axes[0], into)
    for carry, paint in enumerate(PAINTS):
        frame(axes[1], *boxes[carry, plane].T, facecolor=(paint, 0.28), edgecolor=paint, linewidth=2.2)
        side = int(boxes[carry, plane[0]].mean() < boxes[1 - carry, plane[0]].mean())  # named where the other box is
        axes[1].annotate(f"box of\n“{CARRIES[carry]}”", (boxes[carry, plane[0], side], boxes[carry, plane[1]].mean()),
                         ((-7, 7)[side], 0), textcoords="offset points", ha=("right", "left")[side], va="center",
                         fontsize=9.5, fontweight="bold", color=paint)
        for origin, style in enumerate(("-", (0, (4, 2)))):
            cases = (origins == 1 + origin) & (into == carry)
            frame(axes[1], low[cases][:, plane].min(0), high[cases][:, plane].max(0), fill=False, linewidth=1.4,
                  edgecolor=plots.INK, linestyle=style, label=f"from “{CARRIES[origin]}”" if carry else None)
        axes[1].plot(*low[(origins == 0) & (into == carry)][:, plane].T, ".", color="#444444", markersize=4,
                     markeredgewidth=0, label="from the start" if carry else None)
    axes[1].margins(0.09)
    axes[1].legend(loc="lower left", title="what arrives", alignment="left", frameon=False, fontsize=9.5,
                   title_fontsize=9.5)
    plots.axis(axes[1], f"The boxes in two of the {boxes.shape[1]} entries of u",
               *(f"entry {entry + 1} of u" for entry in plane))
    return plots.save(fig, name, "Arrows: how many cases each stands for. Boxes: all that arrives in one lies inside "
                      "it, with some slack. The network was trained on random sums, with noise on h (7.3).")


def frame(ax, low, high, **look):
    """A rectangle between two corners."""
    ax.add_patch(Rectangle(low, *(high - low), **look))
    ax.update_datalim((low, high))


def automaton(ax, into):
    """Start and both boxes as circles; an arrow from one to another tells how many columns lead there."""
    places = {0: (-1.5, 0), 1: (0, -1), 2: (0, 1)}  # the start, no carry, carry
    for origin, (x, y) in places.items():
        for carry in (0, 1):
            end = places[1 + carry]
            count = np.sum(into[100 * origin : 100 * (origin + 1)] == carry)
            if origin == 1 + carry:  # a loop, out to the right and back
                tail, head, bend, words = (x + 0.28, y + 0.16), (x + 0.28, y - 0.16), -2.2, (x + 0.82, y)
            else:
                along = np.subtract(end, (x, y)) / np.hypot(*np.subtract(end, (x, y)))
                tail, head = np.add((x, y), 0.34 * along), np.subtract(end, 0.34 * along)
                bend, aside = (0.25, (0.24 * along[1], 0)) if origin else (0, (-0.3, 0))
                words = np.add(tail, head) / 2 + aside
            ax.annotate("", head, tail, arrowprops=dict(
                arrowstyle="-|>", mutation_scale=12, color=PAINTS[carry], linewidth=1.4, shrinkA=0, shrinkB=0,
                connectionstyle=f"arc3,rad={bend}"))
            plots.note(ax, f"{count}", *words, ha="center", colour=PAINTS[carry])
        words, paint = (("start", plots.INK), *zip(CARRIES, PAINTS, strict=True))[origin]
        ax.annotate(words.replace(" ", "\n"), (x, y), ha="center", va="center", fontsize=9.5, color=paint,
                    bbox=dict(boxstyle="circle,pad=0.5", facecolor="white", edgecolor=paint))
    plots.axis(ax, "300 cases: 100 pairs from each", xlim=(-2, 1.3), ylim=(-1.6, 1.6))
    ax.axis("off")


def growth_figure(name):
    """The boxes of ten networks as they grow, with noise in training and without."""
    grown = {"without noise": noise.widths(0.0), "with noise": noise.widths(1.0)}
    title = "With noise in training the boxes stay apart; without it they overlap"
    fig, ax = plots.figure(title, height=2.5)
    plots.axis(ax, "", "round", "width / distance", log="y", xlim=(1, 12), ylim=(0.1, 30))
    ax.set_xticks((1, 3, 6, 9, 12))
    ax.set_yticks([0.1, 0.3, 1, 3, 10, 30], ["0.1", "0.3", "1", "3", "10", "30"])
    plots.curves(ax, {words: [(range(1, 13), widths) for widths in some] for words, some in grown.items()},
                 dict(zip(grown, (plots.WRONG, plots.RIGHT), strict=True)))
    plots.claim(ax, "they touch", y=1)
    return plots.save(fig, name, "Below 1 some entry of u still tells the two boxes apart (half-widths added, divided "
                      "by the distance of the middles; the best of 64 entries). Thin: ten networks each; thick: their "
                      "medians.")


# The 52 parameters

class SmallAdder:
    """An adder of two tanh units in the formula's own terms: h = tanh(w e(a) + w' e(b) + β + U h)."""

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

    def leads(self, sums):
        """By how much each digit's score beats the nine others after a column of these sums, [10, …]; none carried in.

        Also between whole sums, as if the two digits were half the sum each.
        """
        halves = np.interp(np.asarray(sums) / 2, range(10), self.embedding)
        read = self.w.sum(1)[:, None] * halves + (self.b + self.boxes[0].mean(1))[:, None]
        scores = self.dense @ np.tanh(read) + self.bias[:, None]
        return np.array([scores[digit] - np.delete(scores, digit, 0).max(0) for digit in range(10)])

    def formulas(self, least=0.05):
        """Both units as a function of the column's sum s and of themselves, in LaTeX; e(d) is nearly a line in d.

        least: terms in a unit that are smaller are left out.
        """
        slope = (self.embedding[9] - self.embedding[0]) / 9
        offset = self.embedding.mean() - 4.5 * slope
        names = {self.latch: "L", 1 - self.latch: "v"}
        rows = []
        for unit in (self.latch, 1 - self.latch):
            per_sum = self.w[unit].mean() * slope
            constant = self.b[unit] + self.w[unit].sum() * offset
            terms = {names[other]: self.u[unit, other] / per_sum for other in (self.latch, 1 - self.latch)}
            kept = " ".join(f"{factor:+.2f}\\,{name}" for name, factor in terms.items() if abs(factor) >= least)
            rows.append(f"{names[unit]}' &\\approx \\tanh\\big({per_sum:.3g}\\,(s {kept} "
                        f"{constant / per_sum:+.2f})\\big)")
        return Markdown("$$\\begin{aligned}" + " \\\\ ".join(rows) + "\\end{aligned}$$")


def small_figure(certificate, name):
    """Both units after each column, the latch and the nearly linear unit; and by how much the highest score leads."""
    small = SmallAdder(certificate)
    a, b = np.divmod(np.arange(100), 10)
    fig, axes = plots.figure("52 parameters: a latch and a ruler", columns=3, height=2.8)
    for carry, (mark, size) in enumerate((("o", 4), ("^", 7))):
        units = small.units(a, b, carry)
        for ax, values in zip(axes, (units[small.latch], units[1 - small.latch]), strict=False):
            ax.plot(a + b, values, mark, color=PAINTS[carry], markersize=size, markeredgewidth=0, zorder=3 - carry)
    sums, between = np.arange(10), np.linspace(0, 9, 361)
    axes[2].plot(between, small.leads(between).max(0), color=plots.FAINT, linewidth=0.8)
    for total, leads in zip(sums, small.leads(sums).T, strict=True):
        axes[2].plot([total], [leads.max()], "o", color=plots.NO_CARRY, markersize=4, markeredgewidth=0)
        axes[2].annotate(f"{leads.argmax()}", (total, leads.max()), (-4, 2), textcoords="offset points", ha="center",
                         va="bottom", fontsize=9.5, color=plots.INK)
    plots.axis(axes[0], "Unit L: the latch", "a + b", "output", xlim=(6.5, 11.5))
    plots.axis(axes[1], "Unit v: the ruler", "a + b", "output")
    axes[1].set_xticks(range(0, 19, 5))
    plots.axis(axes[2], "Scores: which digit leads", "a + b, no carry before", "lead of its score", xlim=(-0.9, 9.5),
               ylim=(0, 11.5))
    axes[2].set_xticks(range(0, 10, 3))
    axes[2].set_yticks(range(0, 11, 5))
    axes[0].set_xticks(range(7, 12))
    plots.note(axes[0], "carry\nbefore", 8.8, 0.6, ha="right", colour=plots.CARRY)
    plots.note(axes[0], "no carry\nbefore", 9.2, -0.6, colour=plots.NO_CARRY)
    plots.note(axes[1], "no carry before", 5, 0.65, colour=plots.NO_CARRY)
    plots.note(axes[1], "carry before", 9, -0.5, ha="right", colour=plots.CARRY)
    return plots.save(fig, name, "All pairs of digits, from the middle of each box. Latch: only sums near the flip. "
                      "Scores (no carry before): by how much the highest beats the next; dots are the sums that occur.")


# What is proved

def ladder():
    """A table: how many adders of a kind were trained on their boxes, and how many of them boxes prove."""
    rows = []
    for cell in ("RNN", "GRU", "LSTM"):
        kind = [row for row in study("adders") if row["cell"] == cell]
        depth = max(row["layers"] for row in kind)
        rows.append([f"{cell}, 1 to {depth} layers", proved(kind)])
    of_sums = [row for row in study("data_then_boxes") if row["of_data"] is None]
    rows.append(["RNN, 3 layers, continued from random sums without a proof", proved(of_sums)])
    return claims.table(["adders of 64 units, trained on their boxes", "proved"], rows)


def other_tasks():
    """A table: how many networks of one layer boxes prove, by what they compute and their number of units."""
    machines = study("machines")
    sizes = sorted({row["hidden"] for row in machines})
    rows = [[machine, *(proved([row for row in machines if (row["machine"], row["hidden"]) == (machine, size)])
                        for size in sizes)] for machine in dict.fromkeys(row["machine"] for row in machines)]
    return claims.table(["other tasks, one layer of", *(f"{size} units" for size in sizes)], rows)


TASKS = {  # as they are named in the study of examples, and for a reader
    "subtract": "subtraction", "times 3": "a number times 3", "parity": "ones so far: odd or even?",
    "add in base 16": "sums in base 16", "add three numbers": "sums of three numbers", "times 7": "a number times 7",
    "remainder by 3": "remainder by 3, highest digit first", "remainder by 7": "remainder by 7, highest digit first"}


def noise_on_other_tasks():
    """A table: how many networks that saw random examples of a task, with noise 1, are proved by boxes and rounded."""
    known, rows = results("examples"), []
    for task, words in TASKS.items():
        outcomes = [outcome for name, outcome in known.items() if name.startswith(f"{task}, noise 1,")]
        rows.append([words, *(f"{sum(map(way, outcomes))} of {len(outcomes)}" for way in (noise.boxed, noise.closed))])
    return claims.table(["64 units, random examples, noise 1", "by boxes", "rounded"], rows)


def proved(rows):
    """Of how many networks that were tried a least lead was proved, in words."""
    return f"{sum(row['margin'] is not None for row in rows)} of {len(rows)}"


@torch.no_grad()
def with_own_boxes(model, like, rounds=300, room=2.0**-5):
    """A Certificate of an adder with the boxes that its own grow to, right or wrong; like: one of an adder of its size.

    room: left at every end of a box, for rounding.
    """
    weights, cases = Weights.of(model, torch.float64), Cases(ADDITION)
    boxes = first_boxes(weights, cases, room=room)
    for _ in range(rounds):
        boxes, _ = advance(weights, cases, boxes, room=room)
    layers = [torch.stack(box, 2)[1:].tolist() for box in boxes]
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    return Certificate(like.claim | {"weights": hashlib.sha256(data).hexdigest(), "margin": 0,
                                     "invariant": [list(state) for state in zip(*layers, strict=True)]}, data)


def verdict(certificate):
    """What the checker says of an adder's certificate, in one line, its cases named as a reader names them."""
    try:
        return f"proved: this network {in_words(certificate.check().does)}"
    except checker.Rejected as problem:
        return f"rejected: {in_digits(str(problem))}"


def in_digits(problem):
    """What the checker finds wrong with an adder, its case named by its carry and its two digits."""
    problem = re.sub(r"^meaning: the machine is wrong in (.+), column \((\d), (\d)\)$",
                     r"the claim itself is wrong: \1, \2 + \3", problem)
    problem = re.sub(r"\bcolumn (\d?)(\d):", lambda case: f"{case[1] or 0} + {case[2]}:", problem)
    return re.sub(r"\bstate (\d)", r"carry \1", problem)


def in_words(does):
    """What the checker says of an adder, "… modulo 10^columns, exact with 1 column of zeros at the end", in words."""
    return re.sub(r", modulo .*exact with 1 column of zeros at the end$",
                  "; the last carry is cut off unless a column 0 + 0 stands at the end", does)
