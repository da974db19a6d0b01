"""The pieces as still pictures, for where no script runs: HTML with small SVGs in the colours of the style sheet."""

import re
from html import escape
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from addlab.article import data, pieces
from addlab.article.words import beaten
from addlab.study import carries, proofs
from addlab.study.experiments import configs, recorded
from addlab.study.start import with_lead

PAINT = "var(--no-carry)", "var(--carry)"
PAINT_OF = "ink", "wrong"  # of a digit that is right, and of one that is not
NINES = 60  # columns
SMALLER = 11 / 13  # what makes a still's letters as large as those of a figure
WIDTH = 330  # of a panel, in px: two side by side, or one below the other on a phone


class Still(NamedTuple):
    """A piece where no script runs: a page shows its HTML, paper some of its panels {title: (height in px, marks)}."""

    html: str
    question: str
    panels: dict
    caption: str


def piece(question, panels, caption):
    """A still of a question, its panels, and what they show, in the words of the living piece."""
    figures = "".join(panel(title, *drawn) for title, drawn in panels.items())
    html = (f'<h3 class="question">{escape(question)}</h3>\n<div class="pair">{figures}</div>\n'
            f'<p class="note">{escape(caption)}</p>\n')
    return Still(html, question, panels, caption)


def panel(title, height, marks):
    """A figure of one SVG with its title above."""
    return (f'<figure><figcaption>{escape(title)}</figcaption><svg class="still" viewBox="0 0 {WIDTH} {height}" '
            f'role="img" aria-label="{escape(title)}" fill="none" font-size="13">{"".join(marks)}</svg></figure>')


def words(x, y, text, anchor="middle", fill="var(--faint)"):
    ink = "var(--carry-ink)" if fill == PAINT[1] else fill  # a carry's colour is too light for words
    return f'<text x="{x:.4g}" y="{y:.4g}" text-anchor="{anchor}" style="fill:{ink}">{escape(str(text))}</text>'


def line(points, paint, width=1.5):
    d = "L".join(f"{x:.3g} {y:.3g}" for x, y in points)
    return f'<path d="M{d}" stroke="{paint}" stroke-width="{width}"/>'


def beat():
    """The shortest sum found that the first piece's network gets wrong, column by column."""
    facts, (a, b, said, total) = data.beat(), beaten()
    marks = [line([(60, 70), (WIDTH - 80, 70)], "var(--ink)")]
    for name, text, y in (("", a, 30), ("+", b, 60), ("it says", said, 95), ("it is", total, 125)):
        plus = f'<g font-size="22">{words(230 - 22 * len(text), y, "+")}</g>'
        marks.append(plus if name == "+" else words(0, y, name, "start"))
        for place, digit in enumerate(reversed(text)):
            wrong = text is said and digit != total[::-1][place : place + 1]
            marks.append(f'<g font-size="22">{words(230 - 22 * place, y, digit, fill=f"var(--{PAINT_OF[wrong]})")}</g>')
    return piece(f"This network got {facts['right']:,} of {facts['count']:,} random sums right. But not this one.",
                 {"The shortest wrong sum that a search found": (135, marks)},
                 "It reads two numbers column by column, from the right, and answers each with a digit.")


def learn():
    """A recorded run of one layer: its loss and its share of right sums, batch by batch."""
    run, curves, panels = recorded(configs([0], layers=1))[0], data.learn(), {}
    for name, shown, top in (("Loss of each batch", curves["loss"], np.log(10) * 1.15),
                             ("Share of sums with every digit right", curves["right"], 1)):
        across, y = np.linspace(4, WIDTH - 60, len(shown)), 130 - 110 * np.array(shown) / top
        marks = [line([(4, level), (WIDTH - 60, level)], "var(--line)", 1) for level in (20, 130)]
        marks += [line(zip(across, y, strict=True), PAINT[0], 2), words(4, 150, 0, "start"),
                  words(WIDTH - 60, 150, f"batch {data.SHOWN}", "end"),
                  words(WIDTH - 54, y[-1] + 4, f"{shown[-1]:.2f}", "start", PAINT[0])]
        panels[name] = 156, marks
    return piece("Can a network find out from sums alone how to add?", panels,
                 f"A recorded run of one layer of {run.config.hidden} units. It sees random sums and their answers, "
                 f"nothing else; each batch is {run.config.batch_size} fresh sums of {run.config.digit_len} digits.")


def prove():
    """How many states of a rounded network are new, column by column, until none is."""
    found = next(one for one in proofs.study("states") if one["network"] == "proofs/noise_seed0.json")
    columns, step, marks = found["columns"], (WIDTH - 8) / len(found["columns"]), []
    for place, new in enumerate(columns):
        x, high = 4 + step * place, 120 * new / max(columns)
        marks += [f'<path d="M{x:.4g} 150h{step - 6:.4g}v{-high:.4g}h{6 - step:.4g}z" fill="{PAINT[0]}"/>',
                  words(x + step / 2 - 3, 144 - high, new), words(x + step / 2 - 3, 168, place + 1)]
    return piece("Train a network and prove it", {"New states by columns read": (174, marks)},
                 "A network trained with noise, its state rounded to whole numbers after each column. No column leads "
                 f"out of these {found['states']:,} states, and every digit is right: so it adds numbers of every "
                 "length.")


def fade():
    """The probe's readings along nines, a panel for each way of training, a pair of lines for each seed."""
    panels = {}
    for name, models in pieces.trained().items():
        across = np.linspace(72, WIDTH - 8, NINES)
        marks = []
        for value, label in ((1, "carry"), (0, "unsure"), (-1, "no carry")):
            marks.append(line([(across[0], height(value)), (across[-1], height(value))], "var(--line)", 1))
            marks.append(words(62, height(value) + 4, label, "end"))
        marks += [words(across[nines - 1], 192, nines) for nines in (1, 20, 40, 60)]
        marks.append(words(62, 192, "nines read", "end"))
        for model in models.values():
            weights = carries.probe(model)
            for first, paint in enumerate(PAINT):
                marks.append(line(zip(across, height(reading(model, weights, first)), strict=True), paint))
        panels[f"Training: {name}, {len(models)} seeds"] = 198, marks
    return piece("How long does a carry last?", panels,
                 "How clearly the state shows the carry in 999…9 + 1 and 999…9 + 0, nine after nine: a weighted sum of "
                 "the state’s numbers, fitted to be 1 for a carry and −1 for none. Where the two lines of a network "
                 "meet, the carry is forgotten.")


def height(value):
    """Where a reading of the probe stands in its panel."""
    return 90 - 62 * value


def reading(model, weights, first):
    """What the probe reads along 999…9 + first."""
    num1, num2 = np.full((1, NINES), 9), np.zeros((1, NINES), int)
    num2[0, 0] = first
    return (carries.flat(carries.walk(model, num1, num2)[0]) @ weights)[:, 0]


def phantom():
    """Which ones digits a half-trained network gets wrong, without and with a column 0 + 0 read first."""
    half, = recorded(configs([0], **pieces.HALF_TRAINED))
    a, b = np.divmod(np.arange(100), 10)
    pairs = a[:, None], b[:, None]
    said = {"The ones are read first": half.model.predict(*pairs)[:, 0],
            "0 + 0 is read first": half.model.predict(*with_lead(*pairs))[:, 1]}
    panels, counts = {}, []
    for name, digits in said.items():
        wrong = digits != (a + b) % 10
        counts.append(int(wrong.sum()))
        marks = [words(10, 15 + 22 * k, k) for k in range(10)] + [words(30 + 22 * k, 238, k) for k in range(10)]
        for these, fill in ((~wrong, "var(--shade)"), (wrong, "var(--wrong)")):
            squares = "".join(f"M{20 + 22 * x} {22 * y}h20v20h-20z" for x, y in zip(b[these], a[these], strict=True))
            marks.append(f'<path d="{squares}" fill="{fill}"/>')
        panels[f"{name}: {counts[-1]} wrong"] = 244, marks
    return piece("Where does the extra one come from?", panels,
                 f"Which pairs of ones digits a network gets wrong after {half.config.batches} batches of "
                 f"{half.config.digit_len} digits: {counts[0]} of 100. If a column 0 + 0 is read before them, it is "
                 f"{counts[1]}.")


def dose():
    """Batches by length and the ones digit's share of the loss, as dose.js draws them, grouped by each."""
    found, panels = pieces.dose(), {}
    rows, left, right = found["rows"], 104, WIDTH - 44
    values = [batches for row in rows for batches in row["batches"]]
    low, high = np.log(0.9 * min(values)), np.log(1.03 * max(values))

    def x(batches):
        return left + (right - left) * (np.log(batches) - low) / (high - low)

    for way, other, head, label in (
            ("share", "digits", lambda n: f"Share 1/{n + 1}", lambda n: f"{n} digits"),
            ("digits", "share", lambda n: f"Numbers of {n} digits", lambda n: f"share 1/{n + 1}")):
        marks, y = [], 0
        for key in sorted({row[way] for row in rows}):
            marks += [words(0, y + 15, head(key), "start", "var(--ink)"), words(WIDTH, y + 15, "median", "end")]
            for row in sorted((row for row in rows if row[way] == key), key=lambda row: row[other]):
                y += 26
                fill = "var(--ink)" if row["digits"] == row["share"] else "var(--paper)"
                marks += [words(0, y + 9, label(row[other]), "start"),
                          line([(left, y + 4), (right, y + 4)], "var(--line)", 1),
                          line([(x(row["middle"]), y - 4), (x(row["middle"]), y + 12)], PAINT[0], 3)]
                marks += [f'<circle cx="{x(batches):.4g}" cy="{y + 4}" r="4.5" fill="{fill}" stroke="var(--ink)" '
                          'stroke-width="1.5"/>' for batches in row["batches"]]
                marks.append(words(WIDTH, y + 9, f"{row['middle']:g}", "end", PAINT[0]))
            y += 34
        panels[f"Grouped by {'share' if way == 'share' else 'length'}"] = y, marks
    return piece("Is it the length, or the ones digit’s share of the loss?", panels,
                 "A dot is one network: how many batches it needs until 99% of sums are right. Blue: the median "
                 f"of {found['seeds']} seeds. Filled: the natural share of the loss. Hollow: a share set by us. "
                 "Rows of one share stand closer together than rows of one length.")


def claims(found=None):
    """All claims, a dot for each seed, and what was found: all that the living piece says, open."""
    rows = []
    for row in (found or pieces.claims())["claims"]:
        dots = "".join(f'<i class="seed {kind}"></i>' * row[kind] for kind in ("yes", "no", "open"))
        more = f' <a href="{row["link"]}">How we know</a>' if row["link"] else ""
        rows.append(f'<details open><summary><span class="says">{escape(row["says"])}</span>'
                    f'<span class="dots">{dots}</span><span class="word">{row["verdict"]}</span></summary>'
                    f'<p>{escape(row["found"])}{more}</p></details>')
    question = "What did the course report claim, and is it so?"
    html = f'<h3 class="question">{question}</h3>\n<div class="list">{"".join(rows)}</div>\n'
    return Still(html, question, {}, "")


def machine():
    """The ten parabolas of the small adder, with its latch down and up."""
    shift, closed = parabolas()
    return piece("Watch a network that cannot go wrong", {name: (150, marks) for name, marks in closed.items()},
                 "The adder of 52 parameters has two units: a latch, which is up for a carry, and a unit that measures "
                 "the sum. Of ten curves the highest at that point is the answer. A carry shifts all ten by "
                 f"{shift:.0f} places, and 300 cases prove that the right one is the highest at every length.")


def preview():
    """The same for what is shared: an SVG that needs no sheet, its two panels side by side."""
    return alone({name: (145, marks) for name, marks in parabolas()[1].items()}, "DejaVu Sans Mono")[0]


def printed(still, count=None):
    """The first `count` panels of a still for paper, or all: (an SVG, its width and height in points)."""
    svg, size = alone(dict(islice(still.panels.items(), count)), "Libertinus Serif")
    return svg, *(round(side * SMALLER) for side in size)


def alone(panels, font):
    """Panels {title: (height, marks)} side by side as an SVG that needs no sheet, and its size in px."""
    parts = [f'<g transform="translate({(WIDTH + 30) * place} 20)">{words(4, -4, name, "start")}{"".join(marks)}</g>'
             for place, (name, (_, marks)) in enumerate(panels.items())]
    sheet = Path(__file__).with_name("style.css").read_text("utf-8")
    colours = dict(reversed(re.findall(r"--([\w-]+): (#\w+)", sheet)))
    text = re.sub(r"var\(--([\w-]+)\)", lambda name: colours[name[1]], "".join(parts))  # the first are the light ones
    across, high = (WIDTH + 30) * len(panels) - 12, 20 + max(high for high, _ in panels.values())
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-4 0 {across} {high}" fill="none" font-size="13" '
            f'font-family="{font}">{text}</svg>'), (across, high)


def boxes():
    """The two sets of states of the small adder that no column leads out of: what its two units have added up."""
    small = pieces.machine()
    latch, marks = small["latch"], [line([(4, 90), (WIDTH - 4, 90)], "var(--line)", 1),
                                    line([(WIDTH / 2, 6), (WIDTH / 2, 174)], "var(--line)", 1)]
    for box, paint, name, below in zip(small["boxes"], PAINT, ("no carry", "carry"), (16, -8), strict=True):
        left, right = (WIDTH / 2 + 33 * end for end in box[latch])
        bottom, top = (90 - 858 * end for end in box[1 - latch])
        marks += [f'<path d="M{left:.4g} {top:.4g}H{right:.4g}V{bottom:.4g}H{left:.4g}z" fill="{paint}" '
                  f'fill-opacity="0.14" stroke="{paint}" stroke-width="1.5"/>',
                  words((left + right) / 2, (bottom if below > 0 else top) + below, name, fill=paint)]
    marks += [words(4, 178, "← latch down", "start"), words(WIDTH - 4, 178, "latch up →", "end")]
    return piece("Two boxes hold every state that a sum leads to.", {"What the two units add up": (184, marks)},
                 f"The adder of {small['parameters']} parameters. Across: its latch, which is up for a carry. "
                 "Upwards: its other unit, drawn 26 times as large. Both before their tanh.")


def parabolas():
    """How many places a carry slides them; {name of a panel: its marks}, the latch down and up.

    A digit's logit over v is a line. Less what all ten share, a parabola in v, it is a parabola with its top near the
    sums that end in the digit, as in small.js.
    """
    small = proofs.SmallAdder(proofs.certificates()["rnn_52_parameters"])
    latch, line_unit, digits = small.dense[:, small.latch], small.dense[:, 1 - small.latch], np.arange(10)
    per_digit, level = np.polyfit(digits, line_unit, 1)
    bend, tilt, base = np.polyfit(digits, small.bias - latch, 2)
    slide, step = np.polyfit(digits, latch, 1)
    curvature, shift = -bend, slide / bend
    scale, origin = per_digit / (2 * curvature), tilt / (2 * curvature)
    panels = {}
    for output, name in ((-1, "Latch down: no carry"), (1, "Latch up: carry")):
        moved = shift * (output + 1) / 2
        tops = (line_unit - level) / scale / (2 * curvature) + moved
        at_zero = (small.bias + latch * output - (line_unit - level) * origin / scale
                   - curvature * moved**2 - base - step * (output + 1))
        panels[name] = [line([(4, 140), (WIDTH - 4, 140)], "var(--line)", 1)]
        for digit, top, high in zip(digits, tops, at_zero / curvature + tops**2, strict=True):
            panels[name] += parabola(top, high, digit, PAINT[output > 0])
    return shift, panels


def parabola(top, high, digit, paint, reach=2.6):
    """A digit's parabola as a quadratic Bézier curve, `reach` places wide on both sides of its top."""
    def x(place):
        return 38 + 13.2 * place

    def y(tall):
        return 55 - 11 * tall

    ends, middle = y(high - reach**2), y(high + reach**2)
    return (f'<path d="M{x(top - reach):.4g} {ends:.4g}Q{x(top):.4g} {middle:.4g} {x(top + reach):.4g} {ends:.4g}" '
            f'stroke="{paint}" stroke-width="1.5"/>', words(x(top), y(high) - 5, digit, fill=paint))
