"""Column additions done by trained networks, side by side: alive on a page or in JupyterLab, else an SVG picture.

adder.html holds the page's part: it computes the networks itself, from weights that it carries along.
"""

import base64
import json
from html import escape
from pathlib import Path

import numpy as np

from addlab import engine
from addlab.inputs import to_digits, to_text
from addlab.study.plots import INK, RIGHT, WRONG
from addrnn import carry_add

LONGEST = 24                       # digits that still can be read side by side
WIDTH, LABELS, HEIGHT = 36, 128, 206  # of a column, of the names of the rows left of them, of a network
QUIET = "#595959"
CAPTION = ("Each column is one step of the network, read from right to left, with the digit it says and how sure it is "
           "of it. Wrong digits are marked, the right ones below them.")


def answer(model, a, b):
    """What `model` makes of a + b, two decimal strings: (pair, total, said, confidence), arrays by column.

    Confidence is the softmax of the digit said. Raises ValueError for what is no number or has over LONGEST digits.
    """
    digits = [to_digits(a), to_digits(b)]
    longest = max(map(len, digits))
    if longest > LONGEST:
        raise ValueError(f"number to add: got {longest} digits, allowed are {LONGEST} at most")
    pair = np.zeros((2, longest + 1), dtype=np.int64)
    for row, number in zip(pair, digits, strict=True):
        row[: len(number)] = number
    logits = engine.logits(model, *pair[:, None])[0][0].astype(float)  # [columns, 10]
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return pair, carry_add(*pair), logits.argmax(axis=1), chances.max(axis=1) / chances.sum(axis=1)


def picture(networks, a, b):
    """What each of `networks` {name: model} makes of a + b, as an SVG, and in words. Raises ValueError as `answer`."""
    parts, words = [], []
    for name, model in networks.items():
        pair, total, said, confidence = answer(model, a, b)
        wrong = int((said != total).sum())
        verdict = f"wrong in {wrong} of {len(total)} columns" if wrong else "right"
        words.append(f"{name}: it says {to_text(said)}, {verdict}.")
        marks = _marks(name, pair, total, said, confidence)
        parts.append(f'<g transform="translate(0 {HEIGHT * len(parts)})">{marks}</g>')
    sentence = " ".join([f"{to_text(pair[0])} + {to_text(pair[1])}.", *words])
    width, height = max(LABELS + len(total) * WIDTH + 12, 500), HEIGHT * len(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
            f' role="img" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace"><title>{escape(sentence)}</title>'
            f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>{"".join(parts)}</svg>'), sentence


def _marks(name, pair, total, said, confidence):
    columns, marks = len(total), []

    def text(x, y, content, size=19, colour=INK, anchor="middle", weight="normal"):
        marks.append(f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
                     f' font-weight="{weight}">{escape(str(content))}</text>')

    text(12, 20, name, 13, INK, "start", "bold")
    for y, label in ((46, "carry"), (74, "first"), (102, "+ second"), (144, "it says"), (167, "sure, %")):
        text(LABELS - 12, y, label, 12, QUIET, "end")
    marks.append(f'<path d="M{LABELS} 114H{LABELS + columns * WIDTH}" stroke="{INK}" stroke-width="1.5"/>')
    lead = [len(to_text(row)) for row in (*pair, said)]  # leading zeros are not written, as by hand
    for i in range(columns):
        x = LABELS + (columns - 1 - i) * WIDTH + WIDTH // 2
        right = said[i] == total[i]
        if (total[i] - pair[0, i] - pair[1, i]) % 10:
            text(x, 46, 1, 13, QUIET)
        for row, y in ((0, 74), (1, 102)):
            if i < lead[row]:
                text(x, y, pair[row, i])
        opacity = f"{0.06 + 0.2 * round(confidence[i], 2):.3f}"
        marks.append(f'<rect x="{x - 15}" y="122" width="30" height="30" rx="4" stroke-width="1.5"'
                     + (f' fill="{RIGHT}" fill-opacity="{opacity}" stroke="none"/>' if right
                        else f' fill="{WRONG}" stroke="{WRONG}"/>'))
        colour = "#ffffff" if not right else INK if i < lead[2] else "#767676"
        text(x, 144, said[i], 19, colour, weight="normal" if right else "bold")
        text(x, 167, f"{100 * confidence[i]:.0f}", 12, QUIET)
        if not right:
            text(x, 194, total[i], 19, WRONG, weight="bold")
    if (said != total).any():
        text(LABELS - 12, 194, "wrong: it is", 12, WRONG, "end")
    return "".join(marks)


class Adder:
    """What `show` hands to a notebook: a page that adds, and the picture of its first sum."""

    def __init__(self, networks, sums):
        self.networks, self.sums = networks, sums
        self.svg, self.sentence = picture(networks, *sums[0])

    def html(self):
        """The live adder: its script, the networks' weights, and the picture for where no script runs."""
        networks = []
        for name, model in self.networks.items():
            config = model.config
            networks.append({"name": name, "cell": config.cell, "layers": config.layers, "hidden": config.hidden,
                             "embedding": config.embedding, "weights": weights_of(model)})
        data = json.dumps({"networks": networks, "sums": self.sums, "longest": LONGEST}).replace("</", "<\\/")
        page = (Path(__file__).parent / "adder.html").read_text("utf-8")
        svg = base64.b64encode(self.svg.encode()).decode()  # an element of its own would be cut to its bare texts where
        picture = f'<img alt="{escape(self.sentence)}" src="data:image/svg+xml;base64,{svg}">'  # no script is trusted
        return page.replace("@PICTURE@", picture).replace("@DATA@", data)

    def _repr_mimebundle_(self, **options):
        about = {"name": "adder", "caption": CAPTION, "alt": self.sentence}
        return {"text/html": self.html(), "image/svg+xml": self.svg, "text/plain": self.sentence}, about


def weights_of(model):
    """A model's float32 numbers in the order of its state_dict, in base64."""
    numbers = [tensor.numpy(force=True).astype("<f4").tobytes() for tensor in model.state_dict().values()]
    return base64.b64encode(b"".join(numbers)).decode()


def show(networks, sums=(("999999", "1"),)):
    """A live view of networks {name: Adder} adding.

    `sums`, pairs of decimal strings, become buttons; the first is shown.
    """
    return Adder(networks, [[str(number) for number in pair] for pair in sums])
