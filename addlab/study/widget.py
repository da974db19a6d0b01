"""A column addition done by a trained model: live in JupyterLab, an SVG picture wherever nothing is alive."""

from html import escape

import ipywidgets as widgets
import numpy as np
import torch

from addrnn import carry_add, sample, to_digits, to_text

LONGEST = 24                       # digits that still can be read side by side
WIDTH, LABELS = 36, 128            # of a column, and of the names of the rows left of them
RIGHT, WRONG, QUIET = "#0072b2", "#c23b00", "#595959"  # told apart in grey and by colour-blind eyes


def picture(model, a, b):
    """What `model` makes of a + b, two decimal strings, column by column as an SVG, and in one sentence.

    Confidence is the softmax of the digit said. Raises ValueError for what is no number or has over LONGEST digits.
    """
    digits = [to_digits(a), to_digits(b)]
    if max(map(len, digits)) > LONGEST:
        raise ValueError(f"number to add: got {max(map(len, digits))} digits, allowed are {LONGEST} at most")
    pair = np.zeros((2, max(map(len, digits)) + 1), dtype=np.int64)
    for row, number in zip(pair, digits, strict=True):
        row[: len(number)] = number
    total = carry_add(*pair)
    with torch.no_grad():
        chances = torch.softmax(model(*pair[:, None])[0], dim=1).numpy()  # [columns, 10]
    said = chances.argmax(axis=1)
    wrong = int((said != total).sum())
    verdict = f"wrong in {wrong} of {len(total)} columns" if wrong else "right"
    sentence = f"{to_text(pair[0])} + {to_text(pair[1])}: the model says {to_text(said)}, {verdict}."
    return _svg(pair, total, said, chances.max(axis=1), sentence), sentence


def _svg(pair, total, said, confidence, sentence):
    columns = len(total)
    width, marks = LABELS + columns * WIDTH + 12, []

    def text(x, y, content, size=19, colour="#1a1a1a", anchor="middle", weight="normal"):
        marks.append(f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
                     f' font-weight="{weight}">{escape(str(content))}</text>')

    def label(y, content, colour=QUIET):
        text(LABELS - 12, y, content, 12, colour, "end")

    for y, name in ((26, "carry"), (54, "first number"), (82, "+ second number"), (124, "model says"),
                    (147, "confidence, %")):
        label(y, name)
    marks.append(f'<path d="M{LABELS} 94H{width - 12}" stroke="#1a1a1a" stroke-width="1.5"/>')
    lead = [len(to_text(row)) for row in (*pair, said)]  # leading zeros are not written, as by hand
    for i in range(columns):
        x = LABELS + (columns - 1 - i) * WIDTH + WIDTH // 2
        right = said[i] == total[i]
        if (total[i] - pair[0, i] - pair[1, i]) % 10:
            text(x, 26, 1, 13, QUIET)
        for row, y in ((0, 54), (1, 82)):
            if i < lead[row]:
                text(x, y, pair[row, i])
        marks.append(f'<rect x="{x - 15}" y="102" width="30" height="30" rx="4" stroke-width="1.5"'
                     + (f' fill="{RIGHT}" fill-opacity="{0.06 + 0.2 * confidence[i]:.3f}" stroke="none"/>' if right
                        else f' fill="{WRONG}" stroke="{WRONG}"/>'))
        colour = "#ffffff" if not right else "#1a1a1a" if i < lead[2] else "#8a8a8a"
        text(x, 124, said[i], 19, colour, weight="normal" if right else "bold")
        text(x, 147, f"{100 * confidence[i]:.0f}", 12, QUIET)
        if not right:
            text(x, 176, total[i], 19, WRONG, weight="bold")
    if (said != total).any():
        label(176, "wrong: it is", WRONG)
    height = 190 if (said != total).any() else 162
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
            f' viewBox="0 0 {width} {height}" role="img" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">'
            f"<title>{escape(sentence)}</title>"
            f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>{"".join(marks)}</svg>')


class Addition(widgets.VBox):
    """Two fields, three buttons and the picture; its output carries the picture of its first pair beside the widget."""

    def __init__(self, model, a, b):
        self.model = model
        self.length = min(model.config.digit_len, LONGEST)
        self.first = picture(model, a, b)
        self.numbers = [widgets.Text(value=n, description=name, layout=widgets.Layout(width="24em"))
                        for n, name in ((a, "first"), (b, "second"))]
        self.view = widgets.HTML(self.first[0])
        self.said = widgets.HTML()
        buttons = []
        for name, pair in (("random", self._random), ("999…9 + 1", lambda: ("9" * self.length, "1")),
                           ("999…9 + 0", lambda: ("9" * self.length, "0"))):
            buttons.append(widgets.Button(description=name))
            buttons[-1].on_click(lambda _, pair=pair: self._ask(*pair()))
        for field in self.numbers:
            field.observe(self._draw, "value")
        super().__init__([widgets.HBox(self.numbers), widgets.HBox(buttons), self.view, self.said])
        self._draw()

    def _random(self):
        num1, num2, _ = sample(1, self.length, np.random.default_rng())
        return to_text(num1[0]), to_text(num2[0])

    def _ask(self, a, b):
        for field, number in zip(self.numbers, (a, b), strict=True):
            field.unobserve(self._draw, "value")
            field.value = number
            field.observe(self._draw, "value")
        self._draw()

    def _draw(self, _=None):
        try:
            self.view.value, sentence = picture(self.model, *(field.value.strip() for field in self.numbers))
            self.said.value = escape(sentence)
        except ValueError as problem:  # its option is the command line's
            self.view.value, self.said.value = "", escape(str(problem).replace(" (--add)", ""))

    def _repr_mimebundle_(self, **options):
        svg, sentence = self.first
        return super()._repr_mimebundle_(**options) | {"image/svg+xml": svg, "text/plain": sentence}


def show(model, a=None, b="1"):
    """A view of `model` adding a and b, decimal strings; a number 999…9 of the trained length and 1 by default."""
    return Addition(model, a or "9" * min(model.config.digit_len, LONGEST), b)
