"""Pages and PDF of notebooks that were run.

One road: a notebook becomes Markdown (tools.chapter), and pandoc makes of it a page and a chapter of the PDF (by way of
Typst), with template/filter.lua for what Markdown does not say.
"""

import base64
import io
import json
import mimetypes
import re
import tempfile
from html import unescape
from itertools import pairwise
from pathlib import Path

import pikepdf
import pypandoc
import typst
from PIL import Image

from addlab.files import write_whole
from tools.chapter import MARKDOWN, Chapter
from tools.figures import Sheet

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "tools" / "template"
PAGES, SCALES = 25, (52, 55, 58, 61, 64, 67, 70)  # of the PDF at most; per cent of its figures' 11-point letters


def pandoc(text, form, folder, template, alone="", **metadata):
    """Markdown as "html" or "typst" by way of a template; metadata are its variables.

    alone: the only notebook that a link may lead to, where there is one.
    """
    (folder / "metadata.json").write_text(json.dumps(metadata), "utf-8")
    options = ["--standalone", "--wrap=none", "--mathml", f"--template={TEMPLATE / template}",
               f"--lua-filter={TEMPLATE / 'filter.lua'}", "--metadata-file=metadata.json"]
    options += [f"--variable=alone:{alone}"] if alone else []
    return pypandoc.convert_text(text, form, MARKDOWN, extra_args=options, cworkdir=folder)


def build(notebooks, out):
    """Write the pages and the PDF of executed notebooks (paths, in order) into the folder `out`.

    The PDF is made by PDF/UA-1: tagged, a text for each picture and formula, no glyph missing; raises TypstError where
    it is not. Verdicts come from records/verdicts.json.
    """
    from addlab.article import pictures
    from tools.opening import opening  # it measures, for which it imports all of addlab.study

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chapters = [Chapter(path, number, folder) for number, path in enumerate(notebooks, 1)]
        first, headline = opening(chapters)
        title = plain(re.search("^# (.+?) {", first)[1])
        files = {"index.html": page(first, chapters, None, folder, title, plain(headline), title)}
        for chapter in chapters:
            files[f"{chapter.stem}.html"] = page(chapter.text, chapters, chapter, folder, plain(chapter.title),
                                                 plain(chapter.opening), title)
        text = "\n\n".join([first, *(chapter.text for chapter in chapters)])
        files["addrnn.pdf"] = pdf(text, folder, title, ignore_system_fonts=True)
        (folder / "preview.svg").write_text(pictures.preview(), "utf-8")
        preview = f'{headline}\n\n![](preview.svg){{alt="Ten parabolas, a digit each: the adder of two units"}}'
        typed = source(preview, folder, "preview.typ", pagetitle=title)
        picture = Image.open(io.BytesIO(typst.compile(typed, root="/", format="png", ppi=72, ignore_system_fonts=True)))
        small = io.BytesIO()  # few colours: a third of the bytes
        picture.convert("RGB").quantize(64).save(small, "PNG", optimize=True)
        files["preview.png"] = small.getvalue()
        write_files(files, out)


def build_alone(notebook, out, beside=None):
    """Write STEM.html and STEM.pdf of one executed notebook into the folder `out`; returns both paths.

    They need nothing else of the report, and links to its other notebooks are no links. What no font of Typst's can
    write is written by one of the machine's.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chapter = Chapter(notebook, None, folder, beside)
        title = plain(chapter.title)
        html = page(chapter.text, [chapter], chapter, folder, title, plain(chapter.opening))
        return write_files({f"{chapter.stem}.html": html,
                            f"{chapter.stem}.pdf": pdf(chapter.text, folder, title, alone=chapter.stem)}, out)


def write_files(files, out):
    """Write {name: text or bytes} into a folder; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        write_whole(out / file, data if isinstance(data, bytes) else data.encode())
    return [out / file for file in files]


def page(text, chapters, here, folder, title, description, home=""):
    """The first page, whose title is `home`, or that of the chapter `here`, as HTML; one without a number is alone."""
    links = [{"stem": c.stem, "title": c.title, "number": str(c.number)} for c in chapters]
    variables = {"pagetitle": title, "description": description, "home": home}
    if not here:
        variables["first"] = True
    elif here.number:
        at = here.number - 1
        links[at]["here"] = True
        around = {"before": links[at - 1] if at else None, "after": links[at + 1] if at + 1 < len(links) else None}
        variables |= {"number": str(here.number), **{side: link for side, link in around.items() if link}}
    else:
        variables["alone"] = here.stem
    return illustrated(pandoc(text, "html", folder, "page.html", chapters=links, **variables), folder)


def illustrated(html, folder):
    """A page whose <img> of SVG files are now a part of it, wide and, with its panels stacked, for a phone."""
    sheet = Sheet()

    def drawn(image):
        place = unescape(re.search(' src="(.*?)"', image[0])[1])
        if Path(place).is_absolute():
            kind, data = mimetypes.guess_type(place)[0], base64.b64encode(Path(place).read_bytes()).decode()
            inside = re.sub(' src=".*?"', lambda _: f' src="data:{kind};base64,{data}"', image[0])
            return f'<div class="drawing">{inside}</div>'
        alt = unescape(re.search('alt="(.*?)"', image[0])[1])
        files = re.findall(r'(?:src|data-narrow)="(.*?)"', image[0])
        kinds = ("wide", "narrow") if len(files) == 2 else ("only",)
        figures = [sheet.inline((folder / file).read_text("utf-8"), alt, kind)
                   for kind, file in zip(kinds, files, strict=True)]
        return f'<div class="drawing">{"".join(figures)}</div>'

    return re.sub('<img (?![^>]* src="(?:data|https?):)[^>]*>', drawn, html).replace(
        "</main>", f"{sheet.shared()}\n</main>", 1)


def plain(text):
    """Markdown without its marks, on one line."""
    return " ".join(pypandoc.convert_text(text, "plain", MARKDOWN, extra_args=["--wrap=none"]).split())


def source(text, folder, template, alone="", pagetitle=""):
    """Markdown as a file of Typst."""
    path = folder / template
    path.write_text(pandoc(text, "typst-smart", folder, template, alone=alone, pagetitle=pagetitle), "utf-8")
    return path


def pdf(text, folder, title, alone="", ignore_system_fonts=False):
    """Markdown as a PDF by PDF/UA-1, the many small objects of its tags compressed: a third of its bytes.

    Its figures have the largest scale of SCALES that leaves it within PAGES, or the first; those of a chapter that
    has paper to spare, the largest that needs no page more.
    """
    typed = source(text, folder, "report.typ", alone, title)

    def scaled(*scales):
        return typst.compile(typed, root="/", format="pdf", pdf_standards="ua-1",
                             sys_inputs={"scales": " ".join(map(str, scales))}, ignore_system_fonts=ignore_system_fonts)

    lengths = {}
    for common in reversed(SCALES):  # none below the first that fits is asked for
        lengths[common] = lengths_of_chapters(scaled(common))
        if sum(lengths[common]) <= PAGES:
            break
    data = scaled(*(max(scale for scale in lengths if lengths[scale][chapter] <= length)
                    for chapter, length in enumerate(lengths[common])))
    small = io.BytesIO()
    pikepdf.settings.set_flate_compression_level(9)
    with pikepdf.open(io.BytesIO(data)) as document:
        document.save(small, object_stream_mode=pikepdf.ObjectStreamMode.generate, recompress_flate=True,
                      deterministic_id=True)
    return small.getvalue()


def lengths_of_chapters(data):
    """How many pages each chapter of a PDF has."""
    with pikepdf.open(io.BytesIO(data)) as document, document.open_outline() as outline:
        begins = [document.pages.index(pikepdf.Page(entry.destination[0])) for entry in outline.root]
        return [after - page for page, after in pairwise([*begins, len(document.pages)])]
