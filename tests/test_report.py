"""The report: notebooks without churn, pages that need no network, a PDF with all of it."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import psutil
import pypdf
import pytest
import typst
from conftest import shown_while_run
from nbformat import v4

from addlab import article
from tools import pages, report

ROOT = Path(report.__file__).parents[1]
COMMITTED = sorted((ROOT / "notebooks").glob("*.ipynb"))

FIRST = [
    "# First things\n\nDoes $\\sigma \\le \\frac12$ hold? See [the second](second.ipynb).",
    ["from addlab import article\nfrom addlab.study import claims, plots\n"
     "from IPython.display import Markdown, display",
     "fig, ax = plots.figure('A finding')\nax.plot([1, 2, 3])\nplots.save(fig, '06_fading', 'Three *points*: [1, 2].')",
     "article.training()",
     "from tqdm.auto import tqdm\nfor i in tqdm(range(3)):\n    print(i, flush=True)",
     "display(Markdown('| a | b |\\n|---|--:|\\n| 1 | $x^2$ |'))\n"
     "claims.record('C2', {0: True, 1: False, 2: None}, 'It does not.')",
     "6 * 7", "# shown on purpose", "# folded away", "Markdown('All right, and 1 + 1 = 3')"],
    "## Formula\n\n$$h_t = \\tanh(W x_t)$$\n\n```python\nx = 1\n```",
]

PRINTED = """The network's `torch's`, in batches 0-400 on 2026-11-27, by [Gowal](https://example.org/paper/7).

Say `make notebooks/01_baseline.ipynb`, and all is well.
"""


def write(path, parts):
    """A notebook of Markdown texts and lists of code, as JupyterLab would leave it: with ids, counts and times."""
    cells = []
    for part in parts:
        cells += [v4.new_markdown_cell(part)] if isinstance(part, str) else [v4.new_code_cell(c) for c in part]
    for cell in cells:
        cell.metadata = {"execution": {"iopub.status.busy": "2020-01-01T00:00:00Z"}, "collapsed": False}
        tags = {"# shown on purpose": ["shown"], "Markdown('All right, and 1 + 1 = 3')": ["landing"]}
        cell.metadata |= {"tags": tags[cell.source]} if cell.source in tags else {}
    language = {"name": "python", "version": "old one"}
    nbformat.write(v4.new_notebook(cells=cells, metadata={"language_info": language}), path)


def drawn(svg, shared=None):
    """What an SVG draws, in order: [points on the page, commands, styles, picture, clip] of each shape.

    `shared` is the SVG that holds what those of a page have in common.
    """
    roots = [ElementTree.fromstring(text) for text in (svg, shared) if text]
    ids = {mark.get("id"): mark for root in roots for mark in root.iter() if mark.get("id")}
    styles = dict(re.findall(r"\.(\w+)\{([^}]*)\}", shared or ""))
    found = []

    def walk(mark, matrix, style):
        tag = mark.tag.rpartition("}")[2]
        if tag in ("defs", "title", "style", "clipPath"):
            return
        style = (*style, styles[mark.get("class")] if mark.get("class") in styles else mark.get("style", ""))
        matrix = matrix @ placed(mark)
        href = mark.get("href") or mark.get("{http://www.w3.org/1999/xlink}href")
        if tag == "use":
            matrix = matrix @ placed({"transform": f"translate({mark.get('x', 0)} {mark.get('y', 0)})"})
            walk(ids[href.removeprefix("#")], matrix, style)
        elif tag in ("path", "image"):
            commands, places = points(mark.get("d", "M0,0"))
            picture = href and [href, *map(mark.get, ("x", "y", "width", "height"))]
            clip = mark.get("clip-path") and ids[mark.get("clip-path")[5:-1]][0].attrib
            found.append([np.reshape(places, (-1, 2)) @ matrix[:2, :2].T + matrix[:2, 2], commands,
                          [look for look in style if look], picture, clip])
        for child in mark:
            walk(child, matrix, style)

    walk(roots[0], np.eye(3), ())
    return found


def placed(mark):
    """The matrix of a mark's transform."""
    matrix = np.eye(3)
    for kind, numbers in re.findall(r"(\w+)\(([^)]*)\)", mark.get("transform", "")):
        x, *rest = map(float, re.split("[ ,]+", numbers))
        step = np.eye(3)
        if kind == "translate":
            step[:2, 2] = x, *(rest or [0])
        elif kind == "scale":
            step[:2, :2] = np.diag([x, *(rest or [x])])
        else:
            assert kind == "rotate" and not rest
            cos, sin = np.cos(np.radians(x)), np.sin(np.radians(x))
            step[:2, :2] = [[cos, -sin], [sin, cos]]
        matrix = matrix @ step
    return matrix


def points(path):
    """(commands, points) of a path, whether it tells places or steps."""
    commands, places, at, start = "", [], np.zeros(2), np.zeros(2)
    for command, numbers in re.findall("([MLQCmlqczZ])([^MLQCmlqczZ]*)", path):
        commands += command.upper()
        if command in "zZ":
            at = start
            continue
        moves = np.array(re.findall(r"-?(?:\d+\.?\d*|\.\d+)", numbers), float).reshape(-1, 2)
        places += list(moves + at if command.islower() else moves)
        at = places[-1]
        start = at if command in "Mm" else start
    return commands, places


def same(one, other):
    return len(one) == len(other) and all(
        a[1:] == b[1:] and np.allclose(a[0], b[0], rtol=0, atol=1e-6) for a, b in zip(one, other, strict=True))


def shown_in(page):
    """What each figure of a page draws, wide and narrow."""
    text = page.read_text("utf-8")
    shared = re.search('<svg class="shared".*?</svg>', text)[0]
    return [drawn(svg, shared) for svg in re.findall('<svg class="(?:wide|narrow|only)".*?</svg>', text)]


def good(home):
    return [home / "notebooks/first.ipynb", home / "notebooks/second.ipynb"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A folder with two notebooks that were run and one that fails, and the report of the two."""
    home = tmp_path_factory.mktemp("home")
    (home / "notebooks").mkdir()
    write(home / "notebooks/first.ipynb", FIRST)
    write(home / "notebooks/second.ipynb", ["# Second things\n\nA sentence.", PRINTED, ["1 + 1"],
           "## End\n\nDone.\n\n**Try next.** Turn it.", ["2 + 2"]])
    write(home / "notebooks/wrong.ipynb", ["# Wrong\n\nA sentence.", ["2 + 2", "raise ValueError('no\\nsuch thing')"]])
    old = json.loads((home / "notebooks/second.ipynb").read_text())
    for cell in old["cells"]:
        del cell["id"]  # as older tools write notebooks
    (home / "notebooks/second.ipynb").write_text(json.dumps(old | {"nbformat_minor": 4}))
    wrong = (home / "notebooks/wrong.ipynb").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADDRNN_HOME", str(home))
        problems = report.run_all([*good(home), home / "notebooks/wrong.ipynb"])
        assert problems == ["wrong.ipynb: cell 3, ValueError: no"]
        assert (home / "notebooks/wrong.ipynb").read_bytes() == wrong
        report.build(good(home), home / "report")
        yield home


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The report of the committed notebooks, as they are."""
    out = tmp_path_factory.mktemp("real") / "report"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ADDRNN_HOME", raising=False)  # `sample` may have set it
        report.build(COMMITTED, out)
    return out


def outputs(path):
    return [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]


def pictures(path, until=None):
    """The SVG figures of a notebook, but for what is alive on a page; those of the cells before a text alone."""
    cells = itertools.takewhile(lambda cell: until is None or until not in cell.source, nbformat.read(path, 4).cells)
    return [output.data["image/svg+xml"] for cell in cells for output in cell.get("outputs", [])
            if "image/svg+xml" in output.get("data", {}) and "text/html" not in output.data]


# Notebooks

def test_second_run_leaves_notebooks_byte_equal(sample):
    before = [path.read_bytes() for path in good(sample)]
    assert report.run_all(good(sample)) == []
    assert [path.read_bytes() for path in good(sample)] == before


def test_run_notebook_keeps_results_and_nothing_that_changes(sample):
    text = good(sample)[0].read_text()
    for noise in ("2020-01-01", "papermill", "widget-view", "application/vnd", "it/s", "collapsed", "old one"):
        assert noise not in text
    notebook = nbformat.read(good(sample)[0], 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, 10))
    assert code[3].outputs[0].text == "0\n1\n2\n" and len(code[3].outputs) == 1
    assert code[5].outputs[0].data == {"text/plain": "42"}
    assert len(pictures(good(sample)[0])) == 1


def test_interpreter_of_the_report_runs_the_notebooks(tmp_path, monkeypatch):
    kernel = tmp_path / "elsewhere/kernels/python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": ["/no/such/python"], "display_name": "x", "language": "x"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    write(tmp_path / "a.ipynb", ["# A\n\nB", ["import sys\nprint(sys.executable)"]])
    assert report.run_all([tmp_path / "a.ipynb"]) == []
    assert outputs(tmp_path / "a.ipynb")[0].text.strip() == sys.executable


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"cells": [{}]}'])
def test_file_that_is_no_notebook_is_named_in_one_line(tmp_path, content):
    (tmp_path / "a.ipynb").write_text(content)
    problem = report.refresh(tmp_path / "a.ipynb")
    assert problem.startswith("a.ipynb: ") and "\n" not in problem
    assert (tmp_path / "a.ipynb").read_text() == content


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_notebook_is_as_the_report_leaves_it(path):
    notebook = nbformat.read(path, 4)
    as_left = nbformat.writes(report.tidy(nbformat.read(path, 4))) + "\n"
    assert path.read_text("utf-8") == as_left
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code), "was never run"
    for output in outputs(path):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        shown = output.get("text") or output.data.get("text/markdown") or output.data["text/plain"]
        assert not re.search(r"Warning:|Traceback|<Figure size| at 0x[0-9a-f]{6}", shown), shown


def test_every_committed_figure_is_shown_in_a_notebook():
    shown = {picture for path in COMMITTED for picture in pictures(path)}
    for figure in (ROOT / "figures").glob("*.svg"):
        assert figure.read_text("utf-8") in shown, figure.name
        assert (ROOT / "figures/narrow" / figure.name).exists(), figure.name


def test_bar_of_a_notebook_is_no_widget_and_ctrl_c_in_it_is_one_line():
    """A widget in a saved notebook is "Error displaying widget" when it is opened again."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in (
        "import signal\nimport addrnn\nfrom addlab.progress import progress_bar",
        "run = addrnn.train(addrnn.Config(digit_len=2, batches=50))",
        "bar = progress_bar(2, 'two')\nwith bar:\n    1 / 0",
        "with progress_bar(2, 'two') as bar:\n    bar.update()\n    signal.raise_signal(signal.SIGINT)")])
    texts = shown_while_run(notebook, allow_errors=True)
    trained, failed, stopped = (cell.outputs for cell in notebook.cells[1:])
    assert re.fullmatch(r"RNN 2 digits: .* 0/50 \[00:00<\?\]", texts[0])
    assert [output.data for output in trained] == [{}]
    assert failed[0].data == {} and failed[1].ename == "ZeroDivisionError"
    assert stopped[0].data == {} and stopped[1].traceback == ["KeyboardInterrupt: stopped"]
    assert not report.tidy(notebook).cells[1].outputs


# Pages

class Page(HTMLParser):
    """The links, images, ids and texts of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.sources, self.ids, self.scripts = [], [], [], 0
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.sources += [attributes[k] for k in ("src", "srcset", "data") if k in attributes]
        if tag in ("link", "image"):
            self.sources.append(attributes["href"])
        if tag == "use":
            self.links.append(attributes["href"])
        if attributes.get("property") == "og:image":
            self.links.append(attributes["content"])


@pytest.fixture(params=["sample", "real"])
def folder(request):
    found = request.getfixturevalue(request.param)
    return found / "report" if request.param == "sample" else found


def test_pages_load_nothing_and_their_links_lead_somewhere(folder):
    pages = {path.name: Page(path) for path in folder.glob("*.html")}
    assert "index.html" in pages
    for name, page in pages.items():
        assert all(source.startswith("data:") for source in page.sources), name
        inside = re.findall(r"url\(([^)]*)|(@import)", (folder / name).read_text("utf-8"))
        assert all(place[:1] == "#" and place[1:] in page.ids for place, _ in inside), name
        assert len(page.ids) == len(set(page.ids)), name
        for link in page.links:
            target, _, fragment = link.partition("#")
            if target.startswith("https://"):
                continue
            assert not target.startswith("../"), (name, link)  # a copy of the pages is whole
            assert not target or (folder / target).exists(), (name, link)
            assert not fragment or fragment in pages[target or name].ids, (name, link)


def test_mathematics_of_pages_is_mathml(folder):
    for path in folder.glob("*.html"):
        text = re.sub(r"<annotation.*?</annotation>|<pre.*?</pre>|<script.*?</script>|<code.*?</code>", "",
                      path.read_text("utf-8"), flags=re.DOTALL)
        assert "mathjax" not in text.lower()
        assert not re.search(r"\$[^$\n]+\$|\\(frac|sum|tanh|text|sigma|le)\b", text), path.name
    assert any("<math" in path.read_text("utf-8") for path in folder.glob("*.html"))


def test_pages_show_every_figure_with_a_number_and_what_it_shows(folder):
    notebooks = COMMITTED if folder.parent.name.startswith("real") else good(folder.parent)
    for number, path in enumerate(notebooks, 1):
        text = (folder / f"{path.stem}.html").read_text("utf-8")
        shown = shown_in(folder / f"{path.stem}.html")
        for i, picture in enumerate(pictures(path), 1):
            assert any(same(drawn(picture), other) for other in shown), (path.stem, i)
            assert f"Figure {number}.{i}" in text
        assert not re.search('<img[^>]* alt=""', text), path.stem


def test_caption_and_alternative_text_come_from_the_cell_that_draws(sample):
    text = (sample / "report/first.html").read_text("utf-8")
    assert text.count('role="img" aria-label="A finding. Three *points*: [1, 2]."') == 2  # wide and narrow
    assert "<strong>Figure 1.1.</strong> Three <em>points</em>: [1, 2].</figcaption>" in text
    assert text.count("Three <em>points</em>") == 1  # JupyterLab's caption is not repeated


def test_a_phone_gets_the_figure_with_its_panels_stacked(sample):
    wide, narrow = (drawn((sample / f"figures/{name}.svg").read_text("utf-8"))
                    for name in ("06_fading", "narrow/06_fading"))
    shown = shown_in(sample / "report/first.html")
    assert len(shown) == 2 and same(wide, shown[0]) and same(narrow, shown[1]) and not same(wide, narrow)
    text = (sample / "report/first.html").read_text("utf-8")
    assert re.search(r"@media screen and \(max-width: 40rem\) \{\s*\.drawing \.wide \{ display: none; \}", text)


def test_what_figures_of_a_page_share_stands_there_once(folder):
    for path in folder.glob("*.html"):
        outlines = re.findall('<path id="s[^"]*" ([^>]*)/>', path.read_text("utf-8"))
        assert len(outlines) == len(set(outlines)), path.name


def test_code_is_folded_on_a_page_and_left_out_of_the_pdf_but_for_what_is_shown(sample):
    text = (sample / "report/first.html").read_text("utf-8")
    folded = " ".join(re.findall("<details.*?</details>", text, re.DOTALL))
    assert "folded away" in folded and "shown on purpose" in text and "shown on purpose" not in folded
    pdf = " ".join(page.extract_text() for page in pypdf.PdfReader(sample / "report/addrnn.pdf").pages)
    assert "shown on purpose" in pdf and "folded away" not in pdf


def test_what_to_try_next_and_the_headline_are_not_printed(sample):
    text = (sample / "report/second.html").read_text("utf-8")
    assert "Try next." in text and "Turn it." in text
    pdf = " ".join(page.extract_text() for page in pypdf.PdfReader(sample / "report/addrnn.pdf").pages)
    assert "Done." in pdf and "Try next." not in pdf and "Turn it." not in pdf
    assert "<p>All right, and" not in (sample / "report/first.html").read_text("utf-8")


def test_first_page_is_the_article_with_all_its_pieces_claims_and_chapters(sample, real):
    for folder in (sample / "report", real):
        text = (folder / "index.html").read_text("utf-8")
        assert "<h1>Do recurrent networks really add?</h1>" in text
        places = re.findall(r'<div class="addrnn (\w+)" id="([\w-]+)">', text)
        assert [piece for piece, _ in places] == list(article.PIECES)
        for piece, place in places:  # each is filled by the page's own script, from data that stand in it
            assert f'modules["{piece}.js"].default(document.getElementById("{place}"), {{' in text
    assert "It does not." in (sample / "report/index.html").read_text("utf-8")  # the verdict that the sample recorded
    for claim, entry in json.loads((ROOT / "records/verdicts.json").read_text("utf-8")).items():
        assert json.dumps(entry["sentence"])[1:-1].replace("</", "<\\/") in text, claim
    assert {"addrnn.pdf", *(f"{path.stem}.html" for path in COMMITTED)} <= set(Page(real / "index.html").links)
    assert (real / "index.html").stat().st_size < 1.5e6


def test_pdf_begins_with_a_cover_and_the_ledger_of_claims(sample):
    pdf = " ".join(page.extract_text() for page in pypdf.PdfReader(sample / "report/addrnn.pdf").pages)
    assert "It does not." in pdf and "not settled" in pdf and "Do recurrent networks really add?" in pdf


def test_pdf_has_still_pictures_of_the_first_pages_pieces(sample):
    pdf = " ".join(page.extract_text() for page in pypdf.PdfReader(sample / "report/addrnn.pdf").pages)
    text = re.sub(r"\s+", " ", pdf)
    for shown in ("The shortest wrong sum that a search found", "Training: with chains", "nines read", "latch down"):
        assert shown in text
    assert "Two boxes hold every state that a sum leads to." in text


def test_nbconvert_says_of_every_figure_what_it_shows(tmp_path):
    done = subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", ROOT / "notebooks/01_baseline.ipynb",
                           "--output-dir", tmp_path], env=os.environ | {"JUPYTER_CONFIG_PATH": str(ROOT / "tools")},
                          capture_output=True, text=True)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    assert "No description" not in (tmp_path / "01_baseline.html").read_text("utf-8")


def test_what_is_shared_has_a_title_and_a_picture_and_is_small(folder):
    for path in folder.glob("*.html"):
        text = path.read_text("utf-8")
        title = re.search("<title>(.+?)</title>", text)[1]
        assert f'<meta property="og:title" content="{title}">' in text, path.name
    assert (folder / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert max(path.stat().st_size for path in folder.iterdir()) < 2e6
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6


# PDF

def test_pdf_has_contents_chapters_and_every_figure(folder):
    notebooks = COMMITTED if folder.parent.name.startswith("real") else good(folder.parent)
    pdf = pypdf.PdfReader(folder / "addrnn.pdf")
    text = re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pdf.pages))
    chapters = [entry.title for entry in pdf.outline if not isinstance(entry, list)]
    assert "Contents" in text and pdf.metadata.title
    for number, path in enumerate(notebooks, 1):
        title = nbformat.read(path, 4).cells[0].source.splitlines()[0].removeprefix("# ")
        assert any(f"{number} {title}" == re.sub(r"\s+", " ", chapter) for chapter in chapters), (title, chapters)
        for i in range(1, len(pictures(path)) + 1):
            printed = i <= len(pictures(path, "**Try next.**"))
            assert (f"Figure {number}.{i}" in text) == printed, (path.stem, i)


def test_each_chapter_of_the_pdf_begins_on_its_own_page_and_the_article_is_the_first(folder):
    pdf = pypdf.PdfReader(folder / "addrnn.pdf")
    chapters = [entry for entry in pdf.outline if not isinstance(entry, list)]
    pages = [pdf.get_destination_page_number(entry) for entry in chapters]
    assert chapters[0].title == "Do recurrent networks really add?" and pages[0] == 0
    assert pages == sorted(set(pages))
    for entry, page in zip(chapters, pages, strict=True):
        text = re.sub(r"\s+", " ", pdf.pages[page].extract_text()).strip()
        assert text.startswith(entry.title), entry.title


def test_apostrophes_are_curved_and_ranges_have_a_dash_but_not_in_code(sample):
    page = (sample / "report/second.html").read_text("utf-8")
    assert "network’s <code>torch's</code>, in batches 0–400 on 2026-11-27, by" in page
    pdf = " ".join(page.extract_text() for page in pypdf.PdfReader(sample / "report/addrnn.pdf").pages)
    assert "network’s torch's, in batches 0–400 on 2026-11-27" in re.sub(r"\s+", " ", pdf)


def test_on_paper_a_link_has_its_address_and_a_path_is_copied_as_it_is(sample):
    pdf = " ".join(page.extract_text() for page in pypdf.PdfReader(sample / "report/addrnn.pdf").pages)
    assert "example.org/paper/7" in pdf and "make notebooks/01_baseline.ipynb" in pdf
    assert "example.org/paper/7<" not in (sample / "report/second.html").read_text("utf-8")


def test_figures_of_a_chapter_grow_until_it_would_need_a_page_more(tmp_path, monkeypatch):
    """The second chapter's two figures share a page at some scales only; the first one's figure may be larger."""
    asked, compiled = [], typst.compile

    def spied(*place, sys_inputs, **how):
        asked.append(sys_inputs["scales"])
        return compiled(*place, sys_inputs=sys_inputs, **how)

    monkeypatch.setattr(typst, "compile", spied)
    monkeypatch.setattr(pages, "PAGES", 2)
    (tmp_path / "high.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 560"></svg>')
    figure = '![](high.svg){points=600 alt="Nothing"}'
    text = f"# One {{.unnumbered}}\n\n{figure}\n\n# Two {{.unnumbered}}\n\n{figure}\n\n{figure}"
    assert pages.lengths_of_chapters(pages.pdf(text, tmp_path, "Two")) == [1, 1]
    first, second = map(int, asked[-1].split())
    assert first == pages.SCALES[-1] > second > pages.SCALES[0]
    one_more = pages.SCALES[pages.SCALES.index(second) + 1]
    monkeypatch.setattr(pages, "SCALES", (one_more,))
    assert pages.lengths_of_chapters(pages.pdf(text, tmp_path, "Two")) == [1, 2]


def test_pdf_is_read_in_an_evening(real):
    assert len(pypdf.PdfReader(real / "addrnn.pdf").pages) <= 25


def test_pdf_is_the_same_each_time_and_bears_no_date(sample):
    before = (sample / "report/addrnn.pdf").read_bytes()
    report.build(good(sample), sample / "again")
    assert (sample / "again/addrnn.pdf").read_bytes() == before
    assert pypdf.PdfReader(sample / "again/addrnn.pdf").metadata.creation_date is None


def test_glyph_that_no_font_has_stops_the_build(sample, tmp_path):
    write(tmp_path / "a.ipynb", ["# A\n\nThe character 加 has no glyph here."])
    with pytest.raises(typst.TypstError, match="could not be displayed"):
        report.build([tmp_path / "a.ipynb"], tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_link_to_a_notebook_that_is_not_there_stops_the_build(sample, tmp_path):
    write(tmp_path / "a.ipynb", ["# A\n\nSee [the next](b.ipynb)."])
    with pytest.raises(typst.TypstError, match="<b>"):
        report.build([tmp_path / "a.ipynb"], tmp_path / "report")


def test_ctrl_c_stops_the_report_its_workers_and_their_kernels(tmp_path):
    """It went on with the next notebooks: each worker took its Ctrl-C for one of its notebook's alone."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "notebooks").mkdir()
    for name in "abcd":
        write(tmp_path / "notebooks" / f"{name}.ipynb", [
            [f"import os, pathlib, time\npathlib.Path('begun_{name}').write_text(str(os.getpid()))\ntime.sleep(120)"]])
    before = {path: path.read_bytes() for path in tmp_path.glob("notebooks/*.ipynb")}
    process = subprocess.Popen([sys.executable, "-m", "tools.report"], cwd=tmp_path, start_new_session=True, text=True,
                               stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        while len(begun := list(tmp_path.glob("notebooks/begun_*"))) < 2 or not all(p.read_text() for p in begun):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        assert process.communicate(timeout=30)[1] == "report: stopped\n" and process.returncode == 130
        kernels = [int(path.read_text()) for path in begun]
        for _ in range(300):  # a kernel looks once a second whether its worker lives
            if not any(map(psutil.pid_exists, kernels)):
                break
            time.sleep(0.1)
        assert not any(map(psutil.pid_exists, kernels))
        assert {path: path.read_bytes() for path in tmp_path.glob("notebooks/*.ipynb")} == before
    finally:
        process.kill()
