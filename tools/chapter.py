"""An executed notebook as Markdown of pandoc's, for the pages and for the PDF."""

import base64
import mimetypes
import re
from html import escape
from urllib.parse import unquote

import nbformat
import pypandoc
from nbformat import v4
from PIL import Image

from addlab.files import found
from addlab.inputs import Refusal

MARKDOWN = "commonmark_x+gfm_auto_identifiers+implicit_figures-smart-emoji-fancy_lists-yaml_metadata_block"
PICTURES = "image/svg+xml", "image/png", "image/jpeg", "image/gif"
TRY_NEXT = "**Try next.**"  # from here on a chapter is for who has a notebook in hand, and is not printed
CAPTION = 30  # points: how high one is
TALL = 400  # points: beside a narrow figure as high as this its caption would hang in mid-air
PAGE = 700  # pixels of a picture that is as wide as a page of the PDF


class Chapter:
    """An executed notebook on its way into the report.

    .stem (of its page), .number (None where it is alone), .title, .opening (its first sentences), .lifted (what its
    cells tagged `landing` show, for elsewhere), .text: all of it as Markdown, whose pictures are written into `folder`;
    `beside` is where its own lie.
    """

    def __init__(self, path, number, folder, beside=None):
        self.path, self.beside, self.folder = path, beside or path.parent, folder
        self.stem, self.number = anchor(path.stem), number
        self.lifted, self.drawn, self.folded = [], 0, []
        cells = nbformat.read(path, as_version=4).cells
        titled = cells and cells[0].cell_type == "markdown" and cells[0].source.startswith("# ")
        first = cells.pop(0) if titled else v4.new_markdown_cell(f"# {path.stem}")
        head = re.match(r"# (.+)(?:\n+(?:\*\*Question\.\*\* )?((?!#).+(?:\n.+)*))?", first.source)
        self.title, self.opening = head[1], " ".join((head[2] or "").split())
        first.source = first.source.replace(f"# {self.title}", f"# {self.title} {{#{self.stem} .chapter}}", 1)
        parts = []
        for cell in [first, *cells]:
            parts += self.code(cell) if cell.cell_type == "code" else [*self.fold(), self.prose(cell)]
        text, mark, trial = "\n\n".join(parts + self.fold()).partition(TRY_NEXT)
        self.text = f"{text}\n\n::: {{only=page}}\n{mark}{trial}\n:::" if mark else text  # it takes a notebook

    def prose(self, cell):
        """The text of a Markdown cell, whose pictures are found from the report, too."""
        def picture(link):
            alt, place = link.groups()
            if re.match("https?:", place):  # a page loads nothing
                return f"[{alt or place}]({place})"
            if place.startswith("attachment:"):
                (kind, data), = cell.attachments[place.removeprefix("attachment:")].items()
                return f"![{alt}]({self.file(f'attached-{anchor(place)}', kind, base64.b64decode(data))})"
            file = self.beside.absolute() / unquote(place)
            if not file.is_file():
                raise Refusal(f"{self.path.name}: got the picture {place}, allowed is a file beside the notebook")
            return f"![{alt}](<{file}>)"

        return re.sub(r"!\[([^\]]*)\]\(([^)\s]+)\)", picture, cell.source) if cell.cell_type == "markdown" else ""

    def code(self, cell):
        """A code cell: its source, folded away unless it is tagged `shown`, and its outputs."""
        tags = cell.metadata.get("tags", [])
        outputs = [text for text in map(self.output, cell.get("outputs", [])) if text]
        if "landing" in tags:
            self.lifted, outputs = self.lifted + outputs, []
        if "shown" in tags:
            return [*self.fold(), f"::: {{.shown}}\n{fence(cell.source, 'python')}\n:::", *outputs]
        self.folded += [cell.source] if cell.source.strip() else []
        if "parameters" in tags:
            return [*self.fold("Setup and parameters"), *outputs]
        return [*self.fold(), *outputs] if outputs else []

    def fold(self, label="Code"):
        """The sources since the last output, which share one fold: what shows nothing has none of its own."""
        sources, self.folded = self.folded, []
        return [folded(sources, label)] if sources else []

    def output(self, output):
        """An output in its richest form. What is alive on a page is a picture in the PDF."""
        data, about = output.get("data", {}), output.get("metadata", {})
        if "caption_of" in about:  # stands below its figure already
            return ""
        if "text/html" in data:
            alive = "image/svg+xml" in data
            still = self.figure(data, about, None) if alive else from_html(data["text/html"])
            page = data["text/html"] if alive else f'<div class="box">{data["text/html"]}</div>'
            return f"{fence(page, '{=html}')}\n\n::: {{only=pdf}}\n{still}\n:::"
        if "image/svg+xml" in data and "name" in about:
            self.drawn += 1
            return self.figure(data, about, self.figure_number())
        if kind := next((kind for kind in PICTURES if kind in data), None):
            self.drawn += 1
            return self.picture(data[kind], kind, data.get("text/plain", ""))
        if "text/markdown" in data:
            claim = re.match(r"\*\*(C\d+\w?): ", data["text/markdown"])  # the first page links to it
            return f"::: {{#{claim[1]} .verdict}}\n{data['text/markdown']}\n:::" if claim else data["text/markdown"]
        return data.get("text/latex") or plain_output(output)

    def figure_number(self):
        return f"{self.number}.{self.drawn}" if self.number else f"{self.drawn}"

    def figure(self, data, about, number):
        """A figure of `plots.save` with its caption, and its number if it has one."""
        name, caption = about.get("name", f"{self.stem}-{self.drawn}"), about.get("caption", "")
        (self.folder / f"{name}.svg").write_text(data["image/svg+xml"], "utf-8")
        stacked = found(f"figures/narrow/{name}.svg")
        attributes = f'alt="{escape(" ".join(about.get("alt", data["text/plain"]).split()))}"'
        width, height = points(data["image/svg+xml"])
        attributes += f' points="{width:g}"'
        if stacked.exists():
            attributes += f' narrow="{stacked}"'
            across, tall = points(stacked.read_text("utf-8"))
            if tall < min(height + CAPTION, TALL):  # one panel: on paper it stands with its caption beside it
                attributes += on_paper(stacked, across, tall)
        if not number:
            return image(caption, name, attributes)
        return image(f"**Figure {number}.** {caption}", name, f"#figure-{number} {attributes}")

    def picture(self, data, kind, text):
        """Any other picture, as `plt.show()` leaves it."""
        number = self.figure_number()
        content = data.encode() if "svg" in kind else base64.b64decode(data)
        file = self.file(f"drawn-{self.stem}-{number}", kind, content)
        alt = f"Figure {number} of {self.title}" if text.startswith("<") or not text else text
        about = f'#figure-{number} alt="{escape(" ".join(alt.split()))}" share="{min(76, 100 * wide(file) // PAGE)}"'
        return f"![**Figure {number}.**](<{file}>){{{about}}}"

    def file(self, name, kind, data):
        """Write a picture; returns its path, which is absolute: only figures of `plots.save` are named by less."""
        path = self.folder.absolute() / f"{name}{mimetypes.guess_extension(kind) or '.png'}"
        path.write_bytes(data)
        return path


def anchor(stem):
    """A notebook's name as links have it: filter.lua does the same to a link."""
    return re.sub(r"[^\w\x80-\U0010ffff-]", "-", stem, flags=re.ASCII)


def wide(picture):
    """The width of a picture's file in pixels, of an SVG that has none that of a page."""
    if picture.suffix != ".svg":
        with Image.open(picture) as shown:
            return shown.width
    width = re.search(r'<svg[^>]*? width="([\d.]+)(pt)?', picture.read_text("utf-8"))
    return round(float(width[1]) * (4 / 3 if width[2] else 1)) if width else PAGE


def points(svg):
    """Width and height of an SVG of `plots.save`."""
    return tuple(map(float, re.search(r' viewBox="0 0 (\S+) (\S+)"', svg).groups()))


def on_paper(file, across, tall):
    """The attributes of a picture for which a PDF takes another file, of so many points, with its caption beside it."""
    return f' printed="{file}" printed-points="{across:g}" printed-tall="{tall:.0f}"'


def from_html(html):
    """HTML as Markdown: of a data frame's, a table."""
    return pypandoc.convert_text(re.sub("<img[^>]*>", "", html), "commonmark_x-raw_html", "html")


def folded(sources, label):
    """Code that a page folds away and the PDF leaves out."""
    return f"::: {{.code label=\"{label}\"}}\n{fence((2 * chr(10)).join(sources), 'python')}\n:::"


def plain_output(output):
    """What an output says as text, as a terminal would show it."""
    text = output.get("data", {}).get("text/plain") or output.get("text") or output.get("evalue", "")
    text = re.sub(r"\x1b\[[\d;]*[A-Za-z]|[^\n]*\r(?!\n)", "", text)  # colours, and bars that wrote over themselves
    return fence(text, "text") if text.strip() else ""


def image(caption, name, attributes):
    """A figure in Markdown."""
    return f"![{caption}]({name}.svg){{{attributes}}}"


def fence(text, info):
    """A fenced block, whatever fences stand in the text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks} {info}\n{text.strip(chr(10))}\n{marks}"
