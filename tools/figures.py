"""Figures as a part of a page: nothing to load, and what figures have in common is written once.

A letter's outline, a tick mark and a style stand in many figures, and each figure in two widths. As pictures of their
own they would make most of the report's bytes.
"""

import re
from html import escape

SHAPE = re.compile(r'<path id="(i\d+)" ([^>]*)/>')  # what is drawn wherever a figure refers to it
NAME = re.compile(r'(?<= id=")i\d+|(?<=#)i\d+')


class Sheet:
    """What the figures of one page share: `.shapes` {drawn: id}, `.styles` {style: class}."""

    def __init__(self):
        self.shapes, self.styles, self.figures = {}, {}, 0

    def inline(self, svg, alt, kind):
        """An SVG of `plots.save` as an element of the page; `kind` is its class, `alt` says what it shows."""
        self.figures += 1
        names = {name: f"f{self.figures}{name}" for name in NAME.findall(svg)}
        for name, drawn in SHAPE.findall(svg):
            names[name] = self.shapes.setdefault(drawn, f"s{len(self.shapes)}")
        width, height = re.search(r' viewBox="0 0 (\S+) (\S+)"', svg).groups()
        body = re.search(r"<svg .*?>(.*)</svg>", svg, re.DOTALL)[1]
        body = SHAPE.sub("", re.sub(r"<title>.*?</title>|<style.*?</style>", "", body)).replace("<defs></defs>", "")
        body = NAME.sub(lambda name: names[name[0]], body.replace("xlink:href", "href"))
        body = re.sub(r'(<use [^>]*)transform="translate\((\S+) (\S+)\)"', r'\1x="\2" y="\3"', body)
        body = without_bare_groups(re.sub(r' [xy]="0"(?=[^<]*/>)', "", body))
        body = re.sub(r' d="([^"]*)"', lambda path: f' d="{steps(path[1])}"', body)
        body = re.sub(r'<use [^>]*? style="([^"]*)"/>(?:<use [^>]*? style="\1"/>){2,}', alike, body)
        body = re.sub(r' style="([^"]*)"', self.class_of, body)
        return (f'<svg class="{kind}" role="img" aria-label="{escape(alt)}" width="{width}pt" height="{height}pt" '
                f'viewBox="0 0 {width} {height}">{body}</svg>')

    def class_of(self, style):
        return f' class="{self.styles.setdefault(style[1], f"l{len(self.styles)}")}"'

    def shared(self):
        """The element that the figures refer to: it belongs on their page, before or after them."""
        shapes = "".join(f'<path id="{name}" {drawn}/>' for drawn, name in self.shapes.items())
        styles = "".join(f".{name}{{{style}}}" for style, name in self.styles.items())
        return f'<svg class="shared" aria-hidden="true"><style>{styles}</style><defs>{shapes}</defs></svg>'


def alike(marks):
    """Marks of one style as a group that has it; opacity is of a group as a whole, so it stays with each."""
    style = f' style="{marks[1]}"'
    if re.search("(?:^|;)opacity:", marks[1]):
        return marks[0]
    return f"<g{style}>{marks[0].replace(style, '')}</g>"


def without_bare_groups(body):
    """The same elements without the groups that say nothing of what is in them."""
    kept = []  # of each group that is open, whether it stays

    def tag(group):
        if group[0] != "</g>":
            kept.append(group[0] != "<g>")
            return group[0] if kept[-1] else ""
        return group[0] if kept.pop() else ""

    return re.sub(r"<g(?: [^>]*)?>|</g>", tag, body.replace("<g/>", ""))


def steps(path):
    """A path of M, L, Q, C and z in steps from point to point, which are shorter to write than places."""
    written, at = [], (0, 0)
    for command, numbers in re.findall(r"([MLQCz])([^MLQCz]*)", path):
        if command == "z":  # what follows is an M
            written.append(command)
            continue
        hundredths = [round(100 * float(number)) for number in numbers.split(",")]
        points = list(zip(hundredths[::2], hundredths[1::2], strict=True))
        origin = (0, 0) if command == "M" else at
        moves = [f"{(place - by) / 100:.9g}" for point in points for place, by in zip(point, origin, strict=True)]
        written.append((command if command == "M" else command.lower()) + " ".join(moves))
        at = points[-1]
    return re.sub(r" (?=-)|(?<!\d)0(?=\.)", "", "".join(written))
