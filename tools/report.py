"""The report people open: run all notebooks, then build report/index.html and report/addrnn.pdf from them.

One road: a notebook becomes Markdown, and pandoc makes of it a page and a chapter of the PDF (by way of Typst), with
template/filter.lua for what Markdown does not say.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import datetime
import io
import json
import multiprocessing
import os
import re
import signal
import string
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from html import escape, unescape
from pathlib import Path

import nbformat
import papermill
import pikepdf
import pypandoc
import typst
from ipykernel.kernelspec import write_kernel_spec
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from addlab import article
from addlab.article import pictures
from addlab.files import found, write_whole
from addlab.study import claims, noise, views
from tools.figures import Sheet

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "tools" / "template"
MARKDOWN = "commonmark_x+gfm_auto_identifiers+implicit_figures-smart-emoji-fancy_lists-yaml_metadata_block"
COVERS = ("06_fading", "07_boxes")  # the figures that the report opens with


# Notebooks

def refresh(path):
    """Execute a notebook at its default parameters and write it back; what went wrong as one line, or None.

    A notebook that fails stays as it was.
    """
    try:
        notebook = papermill.execute_notebook(path, None, kernel_name="python3", cwd=path.parent, progress_bar=False)
        data = (nbformat.writes(tidy(notebook)) + "\n").encode()
        if data != path.read_bytes():
            write_whole(path, data)
    except PapermillExecutionError as error:
        problem = f"cell {error.cell_index + 1}, {error.ename}: {error.evalue}"
    except Exception as error:  # no notebook, a dead kernel, a full disk: the other notebooks go on
        problem = f"{type(error).__name__}: {error}"
    else:
        return None
    return f"{path.name}: {problem}".splitlines()[0]


def tidy(notebook):
    """Leave in an executed notebook what is the same after each run: no times, no widgets, no progress bars."""
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py", "mimetype": "text/x-python",
                          "nbconvert_exporter": "python", "pygments_lexer": "ipython3"}})  # as nbconvert asks for
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        outputs, cell.outputs = cell.outputs, []
        for output in outputs:
            if output.output_type == "stream" and cell.outputs and cell.outputs[-1].get("name") == output.name:
                cell.outputs[-1].text += output.text  # how a stream is cut is chance
                continue
            if output.output_type == "execute_result":
                output.execution_count = count
            alive = "data" in output and output.data.pop("application/vnd.jupyter.widget-view+json", None)
            if alive and output.data.keys() <= {"text/plain"}:  # its text only names the widget
                continue
            if output.get("data") == {}:  # a bar that is done
                continue
            cell.outputs.append(output)
    return notebook


# Markdown

class Chapter:
    """An executed notebook on its way into the report.

    .stem, .number, .title, .opening (its first sentences), .figures {name: Markdown for elsewhere}, .lifted (what its
    cells tagged `landing` show), .text: all of it as Markdown, whose pictures are written into `folder`.
    """

    def __init__(self, path, number, folder):
        self.stem, self.number, self.folder = path.stem, number, folder
        self.figures, self.lifted, self.drawn = {}, [], 0
        notebook = nbformat.read(path, as_version=4)
        first = notebook.cells[0].source if notebook.cells else ""
        head = re.match(r"# (.+)\n+(?:\*\*Question\.\*\* )?(.+(?:\n.+)*)", first)
        if not head:
            raise ValueError(f"{path.name}: its first cell must be a title (# ...) and a paragraph")
        self.title, self.opening = head[1], " ".join(head[2].split())
        parts = [first.replace(f"# {self.title}", f"# {self.title} {{#{self.stem}}}", 1)]
        for cell in notebook.cells[1:]:
            parts += [cell.source] if cell.cell_type == "markdown" else self.code(cell)
        self.text = "\n\n".join(parts)

    def code(self, cell):
        """A code cell: its source, folded away unless it is tagged `shown`, and its outputs."""
        tags = cell.metadata.get("tags", [])
        about = "shown" if "shown" in tags else "code" + " label=Parameters" * ("parameters" in tags)
        source = [f"::: {{.{about}}}\n{fence(cell.source, 'python')}\n:::"] if cell.source.strip() else []
        outputs = [text for text in map(self.output, cell.get("outputs", [])) if text]
        self.lifted += outputs if "landing" in tags else []
        return source + outputs

    def output(self, output):
        """An output in its richest form. What is alive on a page is a picture in the PDF."""
        data, about = output.get("data", {}), output.get("metadata", {})
        if "caption_of" in about:  # stands below its figure already
            return ""
        if "text/html" in data:
            page = f"{fence(data['text/html'], '{=html}')}"
            return page + f"\n\n::: {{only=pdf}}\n{self.figure(data, about, None)}\n:::" * ("image/svg+xml" in data)
        if "image/svg+xml" in data:
            self.drawn += 1
            return self.figure(data, about, f"{self.number}.{self.drawn}")
        if "text/markdown" in data:
            claim = re.match(r"\*\*(C\d+\w?): ", data["text/markdown"])  # the first page links to it
            return f"::: {{#{claim[1]}}}\n{data['text/markdown']}\n:::" if claim else data["text/markdown"]
        return fence(data.get("text/plain") or output.get("text", ""), "text")

    def figure(self, data, about, number):
        """A picture with its caption, and its number if it has one."""
        name, caption = about.get("name", f"{self.stem}-{self.drawn}"), about.get("caption", "")
        (self.folder / f"{name}.svg").write_text(data["image/svg+xml"], "utf-8")
        stacked = found(f"figures/narrow/{name}.svg")
        attributes = f'alt="{escape(" ".join(about.get("alt", data["text/plain"]).split()))}"'
        if stacked.exists():
            attributes += f' narrow="{stacked}"'
        self.figures[name] = image(f"{caption} [More]({self.stem}.ipynb)", name, attributes)
        if not number:
            return image(caption, name, attributes)
        return image(f"**Figure {number}.** {caption}", name, f"#figure-{number} {attributes}")


def image(caption, name, attributes):
    """A figure in Markdown."""
    return f"![{caption}]({name}.svg){{{attributes}}}"


def fence(text, info):
    """A fenced block, whatever fences stand in the text."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks} {info}\n{text.strip(chr(10))}\n{marks}"


def opening(chapters):
    """(first page as Markdown, headline, covers): what notebooks lift up, the claims, the chapters."""
    figures = {name: figure for chapter in chapters for name, figure in chapter.figures.items()}
    covers = [figures[name] for name in COVERS if name in figures]
    stems = {chapter.stem for chapter in chapters}
    headline = next((text for chapter in chapters for text in chapter.lifted), "")
    facts = {name: article.facts(name) for name in article.PIECES}
    for row in facts["claims"]["claims"]:  # as the links below
        row["link"] = row["link"] if row["link"] and row["link"].partition(".")[0] in stems else None
    stills = article.stills() | {"claims": pictures.claims(facts["claims"])}
    places, programs = article.parts(facts, stills)
    pieces = {"claims_piece" if name == "claims" else name: raw(place) for name, place in places.items()}
    template = re.sub(r"\[([^\]]+)\]\((\w+)\.ipynb\)", lambda link: link[0] if link[2] in stems else link[1],
                      (TEMPLATE / "opening.md").read_text("utf-8"))  # a report of some chapters links to these alone
    text = string.Template(template).substitute(
        pieces, programs=raw(article.style() + programs), runs=views.recorded_runs(), noise=noise.finding(),
        date=date_of_records(),
        claims=claims_table(chapters), covers="\n\n".join(covers),
        chapters="\n".join(f"{c.number}. [{c.title}]({c.stem}.ipynb) {c.opening}" for c in chapters))
    return text, headline, covers


def raw(html):
    """HTML as a part of the pages alone."""
    return f":::: {{only=page}}\n{fence(html, '{=html}')}\n::::"


def claims_table(chapters):
    """Each claim with a dot for each seed, the verdict, and what was found; its evidence is a link away."""
    rows = []
    for claim, entry in claims.entries_so_far().items():
        where = next((f" [Evidence]({c.stem}.ipynb#{claim})" for c in chapters if f"::: {{#{claim}}}" in c.text), "")
        rows.append([claim, claims.CLAIMS.get(claim, ""), f"{dots(entry.get('seeds', []))} **{entry['verdict']}**",
                     (entry.get("sentence") or entry.get("evidence", "")) + where])
    return claims.table(["", "the original says", "seeds", "what we found"], rows).data if rows else ""


def dots(seeds):
    """One dot for each seed, in fives: first those that say yes, then no, then undecided."""
    yes, no = (sum(seed is answer for seed in seeds) for answer in (True, False))
    marks = "●" * yes + "○" * no + "·" * (len(seeds) - yes - no)
    fives = " ".join(marks[i : i + 5] for i in range(0, len(marks), 5))
    return f'[{fives}]{{.dots role=img aria-label="{yes} of {len(seeds)} seeds"}}' if seeds else ""


def date_of_records():
    """The day on which records last changed, as git has it, in words."""
    command = ["git", "log", "-1", "--format=%cs", "--", "records"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        day = datetime.date.fromisoformat(done.stdout.strip())
    except (OSError, ValueError):  # no git, or a copy without its history
        return "before this copy was made"
    return f"by {day.day} {day:%B %Y}"


# Pages and PDF

def pandoc(text, form, folder, template, **metadata):
    """Markdown as "html" or "typst" by way of a template; metadata are its variables."""
    (folder / "metadata.json").write_text(json.dumps(metadata), "utf-8")
    options = ["--standalone", "--wrap=none", "--mathml", f"--template={TEMPLATE / template}",
               f"--lua-filter={TEMPLATE / 'filter.lua'}", "--metadata-file=metadata.json"]
    return pypandoc.convert_text(text, form, MARKDOWN, extra_args=options, cworkdir=folder)


def build(notebooks, out):
    """Write the pages and the PDF of executed notebooks (paths, in order) into the folder `out`.

    The PDF is made by PDF/UA-1: tagged, a text for each picture and formula, no glyph missing; raises TypstError where
    it is not. Verdicts come from records/verdicts.json.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chapters = [Chapter(path, number, folder) for number, path in enumerate(notebooks, 1)]
        first, headline, covers = opening(chapters)
        title = plain(re.search("^# (.+?) {", first)[1])
        files = {"index.html": page(first, chapters, None, folder, title, plain(headline))}
        for chapter in chapters:
            files[f"{chapter.stem}.html"] = page(chapter.text, chapters, chapter, folder, plain(chapter.title),
                                                 plain(chapter.opening))
        whole = "\n\n".join([first, *(chapter.text for chapter in chapters)])
        files["addrnn.pdf"] = packed(compiled(whole, folder, "report.typ", title, format="pdf", pdf_standards="ua-1"))
        preview = f"{headline}\n\n{covers[0] if covers else ''}"
        picture = Image.open(io.BytesIO(compiled(preview, folder, "preview.typ", title, format="png", ppi=72)))
        small = io.BytesIO()  # few colours: a third of the bytes
        picture.convert("RGB").quantize(64).save(small, "PNG", optimize=True)
        files["preview.png"] = small.getvalue()
        out.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            write_whole(out / file, data if isinstance(data, bytes) else data.encode())


def page(text, chapters, here, folder, title, description):
    """The first page, or that of the chapter `here`, as HTML."""
    links = [{"stem": c.stem, "title": c.title, "number": c.number} for c in chapters]
    variables = {"chapters": links, "pagetitle": title, "description": description}
    if here:
        at = here.number - 1
        links[at]["here"] = True
        around = {"before": links[at - 1] if at else None, "after": links[at + 1] if at + 1 < len(links) else None}
        variables |= {"number": str(here.number), **{side: link for side, link in around.items() if link}}
    return illustrated(pandoc(text, "html", folder, "page.html", **variables), folder)


def illustrated(html, folder):
    """A page whose <img> of SVG files are now a part of it, wide and, with its panels stacked, for a phone."""
    sheet = Sheet()

    def drawn(image):
        alt = unescape(re.search('alt="(.*?)"', image[0])[1])
        files = re.findall(r'(?:src|data-narrow)="(.*?)"', image[0])
        kinds = ("wide", "narrow") if len(files) == 2 else ("only",)
        figures = [sheet.inline((folder / file).read_text("utf-8"), alt, kind)
                   for kind, file in zip(kinds, files, strict=True)]
        return f'<div class="drawing">{"".join(figures)}</div>'

    return re.sub('<img (?![^>]* src="data:)[^>]*>', drawn, html).replace("</main>", f"{sheet.shared()}\n</main>", 1)


def plain(text):
    """Markdown without its marks, on one line."""
    return " ".join(pypandoc.convert_text(text, "plain", MARKDOWN, extra_args=["--wrap=none"]).split())


def compiled(text, folder, template, title, **options):
    """Markdown compiled by Typst."""
    source = folder / template
    source.write_text(pandoc(text, "typst", folder, template, pagetitle=title), "utf-8")
    return typst.compile(source, root="/", ignore_system_fonts=True, **options)


def packed(pdf):
    """The same PDF with the many small objects of its tags compressed: a third of its bytes."""
    small = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf)) as document:
        document.save(small, object_stream_mode=pikepdf.ObjectStreamMode.generate, deterministic_id=True)
    return small.getvalue()


def main():
    """Run and rebuild all; leaves with status 1 and a line for each notebook that fails."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not notebooks:
        sys.exit("report: no notebook in notebooks/")
    os.environ.setdefault("ADDRNN_HOME", str(ROOT))  # the shipped records, figures and verdicts are written here alone
    problems = run_all(notebooks)
    if problems:
        sys.exit("\n".join(f"report: {problem}" for problem in problems))
    try:
        build(notebooks, ROOT / "report")
    except (typst.TypstError, ValueError, OSError) as error:
        sys.exit(f"report: {getattr(error, 'diagnostic', error)}")
    print("report/index.html and report/addrnn.pdf are built")


def begin_worker():
    """Leave Ctrl-C to the parent, which ends its workers by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_all(notebooks):
    """Refresh all notebooks, two at a time; the problems, one line each."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, initializer=begin_worker) as pool:
        # This interpreter, whatever else is called python3.
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=CRITICAL"])
        os.environ |= {"JUPYTER_PATH": folder, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
        begin, problems = time.monotonic(), []
        print(f"running {len(notebooks)} notebooks, two at a time; each takes one to three minutes", flush=True)
        try:
            runs = {pool.submit(refresh, path): path for path in notebooks}
            for done, run in enumerate(as_completed(runs), 1):
                seconds, problem = time.monotonic() - begin, run.result()
                print(f"{runs[run].name} {'failed' if problem else 'is run'}: {done} of {len(runs)} after "
                      f"{seconds:.0f} s", flush=True)
                problems += [problem] if problem else []
        except KeyboardInterrupt:
            for worker in multiprocessing.active_children():
                worker.terminate()  # its kernel ends with it; a notebook is written whole or not at all
            raise
        return problems


if __name__ == "__main__":
    with command.one_line_errors("report"):
        main()
