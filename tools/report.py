"""The report people open: run all notebooks, then build report/index.html and report/addrnn.pdf from them."""

import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from html import unescape
from itertools import pairwise
from pathlib import Path

import nbformat
import papermill
import pypandoc
import typst
from ipykernel.kernelspec import write_kernel_spec
from nbconvert.exporters import HTMLExporter, TemplateExporter
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from addlab.study import claims as verdicts
from addlab.engine.store import write_whole

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / "tools"


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
    except KeyboardInterrupt:
        problem = "stopped"
    else:
        return None
    return f"{path.name}: {problem}".splitlines()[0]


def tidy(notebook):
    """Leave in an executed notebook what is the same after each run: no times, no widgets, no progress bars."""
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}})
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
            cell.outputs.append(output)
    return notebook


# Conversion

def convert(texts, form):
    """Markdown texts as "html" or "typst", mathematics included, by one run of pandoc."""
    finish, options = {"html": (finish_html, ["--mathml"]),
                       "typst": (finish_typst, [f"--lua-filter={TOOLS / 'template/alt.lua'}"])}[form]
    text = pypandoc.convert_text("\n\nCELLBREAK\n\n".join(texts), form, format="gfm",
                                 extra_args=["--wrap=none", "--syntax-highlighting=none", *options])
    return [finish(part) for part in re.split(r"\s*(?:<p>)?CELLBREAK(?:</p>)?\s*", text)]


def finish_html(text):
    """Links go to the pages, headings can be linked to, tables scroll in a box of their own."""
    text = re.sub(r'href="(?:notebooks/)?([\w-]+)\.ipynb', r'href="\1.html', text)
    text = re.sub(r'(<h[234] id="(.*?)">.*?)(</h[234]>)',
                  r'\1<a class="anchor" href="#\2" aria-label="Link to this section">#</a>\3', text)
    return text.replace("<table", '<div class="box"><table').replace("</table>", "</table></div>")


def finish_typst(text):
    """Links go to the chapters; what lies beside a notebook does not lie beside the PDF, so its link goes."""
    text = re.sub(r'#link\("(?:notebooks/)?([\w-]+)\.ipynb[^"]*"\)', r"#link(<chapter-\1>)", text)
    return re.sub(r'#link\("(?!https?:)[^"]*"\)', "#", text)


def sections(html):
    """(id, title) of each section of a page."""
    return re.findall(r'<h2 id="(.*?)">(.*?)<a class="anchor"', html, re.DOTALL)


def typst_string(text):
    return text.replace("\\", "\\\\").replace('"', '\\"')


class TypstExporter(TemplateExporter):
    """A notebook as a chapter in Typst."""

    file_extension = ".typ"
    output_mimetype = "text/x-typst"

    @property
    def default_config(self):
        priority = ["image/svg+xml", "text/markdown", "text/plain"]
        config = super().default_config
        config.merge(Config({"NbConvertBase": {"display_data_priority": priority}}))
        return config


class Picture:
    """An SVG figure, its alternative text, and a caption: of that text, what the figure does not say itself."""

    def __init__(self, svg):
        self.svg = svg
        title = re.search("<title>(.*?)</title>", svg, re.DOTALL)
        self.alt = unescape(" ".join(title[1].split())) if title else ""
        drawn = unescape(" ".join(re.findall("<!-- (.*?) -->", svg)))  # matplotlib notes each line it draws
        sentences = re.split(r"(?<=[.!?]) ", self.alt)
        self.caption = " ".join(s for s in sentences if s.rstrip(".") not in drawn)


class Chapter:
    """A notebook on its way into the report: name, number, title, opening sentence, figures numbered."""

    def __init__(self, path, number):
        self.stem, self.number = path.stem, number
        self.notebook = nbformat.read(path, as_version=4)
        self.before = self.after = None
        results = [output for cell in self.notebook.cells for output in cell.get("outputs", []) if "data" in output]
        for i, output in enumerate((o for o in results if "image/svg+xml" in o.data), 1):
            output.metadata |= {"number": f"{number}.{i}", "picture": Picture(output.data["image/svg+xml"])}
        texts = [cell.source for cell in self.notebook.cells if cell.cell_type == "markdown"]
        head = re.match(r"# (.+)\n+(?:\*\*Question\.\*\* )?(.+(?:\n.+)*)", texts[0] if texts else "")
        if not head:
            raise ValueError(f"{path.name}: its first cell must be a title (# ...) and a paragraph")
        texts += [output.data["text/markdown"] for output in results if "text/markdown" in output.data]
        texts += head.groups()
        self.prose = {form: dict(zip(texts, convert(texts, form), strict=True)) for form in ("html", "typst")}
        self.title, self.opening = (re.sub("</?p>", "", self.prose["html"][text]) for text in head.groups())

    def export(self, exporter, form, **resources):
        exporter.register_filter("prose", self.prose[form].__getitem__)
        return exporter.from_notebook_node(self.notebook, resources)[0]


class Opening:
    """What the report opens with: the first lines of README (title, question, headline figure) and the verdicts."""

    def __init__(self, readme):
        lines = re.match(r"# ([^\n]+)\n\n(.+?)\n\n!\[.*?\]\((.+?\.svg)\)\n", readme.read_text("utf-8"), re.DOTALL)
        if not lines:
            raise ValueError(f"{readme.name}: must begin with a title (# ...), a paragraph or more, and an SVG figure")
        self.title, self.question, figure = lines.groups()
        self.headline = Picture((readme.parent / figure).read_text("utf-8"))

    def parts(self, form):
        """What a template needs, by name, its Markdown converted."""
        question, verdict_table = convert([self.question, verdicts.summary()], form)
        return {"title": self.title, "question": question, "headline": self.headline, "verdicts": verdict_table}


def build(notebooks, readme, out):
    """Write the pages and the PDF of executed notebooks (paths, in order) into the folder `out`.

    Verdicts come from records/verdicts.json of `addrnn.home()`.
    """
    chapters = [Chapter(path, number) for number, path in enumerate(notebooks, 1)]
    for before, after in pairwise(chapters):
        before.after, after.before = after, before
    opening = Opening(readme)
    pages, pdf = html_pages(opening, chapters), pdf_document(opening, chapters)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_whole(out / name, text.encode())
    write_whole(out / "addrnn.pdf", pdf)


def html_pages(opening, chapters):
    """The pages by file name, as HTML."""
    exporter = HTMLExporter(template_name="template", extra_template_basedirs=[str(TOOLS)],
                            filters={"sections": sections})
    pages = {f"{chapter.stem}.html": chapter.export(exporter, "html", chapters=chapters, here=chapter)
             for chapter in chapters}
    landing = exporter.environment.get_template("landing.html.j2")
    return pages | {"index.html": landing.render(**opening.parts("html"), chapters=chapters)}


def pdf_document(opening, chapters):
    """The PDF, as bytes, by PDF/UA-1: tagged, a text for each picture and formula, no glyph missing.

    Raises TypstError where it is not.
    """
    exporter = TypstExporter(template_name="template", extra_template_basedirs=[str(TOOLS)],
                             filters={"typst_string": typst_string})
    bodies = [chapter.export(exporter, "typst") for chapter in chapters]
    whole = exporter.environment.get_template("report.typ.j2")
    source = whole.render(**opening.parts("typst"), chapters=zip(chapters, bodies, strict=True))
    return typst.compile(source.encode(), ignore_system_fonts=True, pdf_standards="ua-1")


def main():
    """Run and rebuild all; leaves with status 1 and a line for each notebook that fails."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not notebooks:
        sys.exit("report: no notebook in notebooks/")
    problems = run_all(notebooks)
    if problems:
        sys.exit("\n".join(f"report: {problem}" for problem in problems))
    try:
        build(notebooks, ROOT / "README.md", ROOT / "report")
    except (typst.TypstError, ValueError, OSError) as error:
        sys.exit(f"report: {getattr(error, 'diagnostic', error)}")
    print("report/index.html and report/addrnn.pdf are built")


def run_all(notebooks):
    """Refresh all notebooks, two at a time; the problems, one line each."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2) as pool:
        # This interpreter, whatever else is called python3.
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=CRITICAL"])
        os.environ |= {"JUPYTER_PATH": folder, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
        problems = []
        for path, problem in zip(notebooks, pool.map(refresh, notebooks), strict=True):
            print(f"{path.name} {'failed' if problem else 'is run'}", flush=True)
            problems += [problem] if problem else []
        return problems


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("report: stopped", file=sys.stderr)
        sys.exit(130)
