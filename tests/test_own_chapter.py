"""A reader's own notebook: a page and a PDF of its own, records kept apart, what is no chapter said in one line.

And what JupyterLab saves.
"""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pypdf
import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager
from nbformat import v4
from PIL import Image
from traitlets.config import Config

from tools import report
from tools.chapter import Chapter

ROOT = Path(report.__file__).parents[1]

MINE = [
    "# What *sixty* batches do\n\nSee [the baseline](01_baseline.ipynb), [its code](../addrnn.py).\n\n"
    "![A square](a.png)",
    ["import addrnn\nimport matplotlib.pyplot as plt\nfrom addlab.study import plots",
     "runs = addrnn.sweep([addrnn.Config(digit_len=2, batches=30, hidden=4)])",
     "plt.figure(figsize=(3, 2))\nplt.plot(runs[0].loss)\nplt.show()",
     "fig, ax = plots.figure('Loss')\nax.plot(runs[0].loss)\nplots.save(fig, 'mine', 'All of it.')"],
    "# A second heading of the first level\n\nAnd more.",
    ["from IPython.display import HTML\nHTML('<table><tr><th>cell</th></tr><tr><td>of a frame</td></tr></table>')",
     "print('\\x1b[31mred\\x1b[0m')", "open('marker', 'w').close()"],
]


def write(path, parts):
    cells = []
    for part in parts:
        cells += [v4.new_markdown_cell(part)] if isinstance(part, str) else [v4.new_code_cell(c) for c in part]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells), path)


@pytest.fixture
def copy(tmp_path):
    """A folder with what `make report` needs; its package is the one under test."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    for name in ("pyproject.toml", "constraints.txt", "Makefile"):  # the last is the newest
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def run(copy, *command, **more):
    """A finished program in the copy, with no ADDRNN_HOME but what is in `more`."""
    kept_out = "ADDRNN_HOME", "MAKEFLAGS", "MAKELEVEL", "BOOK"  # of the make that runs this test
    env = {name: value for name, value in os.environ.items() if name not in kept_out}
    return subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300,
                          env=env | {"PYTHONPATH": str(ROOT)} | more)


def make_report(copy, book=None, **more):
    return run(copy, sys.executable, "-m", "tools.report", *([book] if book else []), **more)


def made_under(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_readers_notebook_becomes_a_page_and_a_pdf_of_its_own(copy):
    if not shutil.which("make"):
        pytest.skip("no make on this machine")
    write(copy / "notebooks/it's mine.ipynb", MINE)
    Image.new("RGB", (20, 20), "red").save(copy / "notebooks/a.png")
    before, shipped = (copy / "notebooks/it's mine.ipynb").read_bytes(), made_under(ROOT / "records")
    done = run(copy, "make", "report", "BOOK=notebooks/it's mine.ipynb", "READY=Makefile",  # no need to install
               f"RUN=PYTHONPATH='{ROOT}' '{sys.executable}'")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "report/it-s-mine.html and report/it-s-mine.pdf are built"
    assert made_under(copy / "report") == {"it-s-mine.html", "it-s-mine.pdf"}
    assert (copy / "notebooks/it's mine.ipynb").read_bytes() == before
    assert (copy / "notebooks/marker").exists()  # it runs where it lies
    assert {"figures/mine.svg", "figures/narrow/mine.svg"} < made_under(copy / "lab")
    assert sum(name.endswith("seed0.json") for name in made_under(copy / "lab/records/runs")) == 1
    assert made_under(ROOT / "records") == shipped and not (copy / "records").exists()

    page = (copy / "report/it-s-mine.html").read_text("utf-8")
    assert page.count("<h1>") == 1 and "<h1>What <em>sixty</em> batches do</h1>" in page
    assert 'id="a-second-heading-of-the-first-level"' in page and "01_baseline" not in page
    assert "preview.png" not in page and "addrnn.pdf" not in page and 'href="it-s-mine.pdf"' in page
    assert not re.findall(r'(?:src|href)="(?!data:|#|it-s-mine\.pdf)[^"]*"', page) and "its code" in page
    square, curve = (Image.open(io.BytesIO(base64.b64decode(data)))
                     for data in re.findall(r'src="data:image/png;base64,([^"]*)"', page))
    assert square.size == (20, 20) and curve.width > 200 and len(curve.convert("L").getcolors()) > 10
    assert "Figure 1.</strong>" in page and "Figure 2.</strong> All of it." in page and "\x1b" not in page

    pdf = pypdf.PdfReader(copy / "report/it-s-mine.pdf")
    text = " ".join(page.extract_text() for page in pdf.pages)
    for words in ("sixty", "the baseline", "Figure 1.", "of a frame", "red"):
        assert words in text, words
    assert sorted(image.image.size for page in pdf.pages for image in page.images) == sorted([(20, 20), curve.size])


@pytest.mark.parametrize("book", ["notebooks/no.ipynb", "notebooks", "addrnn.py", "notebooks/junk.ipynb",
                                  "notebooks/lost.ipynb"])
def test_a_wrong_book_is_one_line_before_anything_is_run(copy, book):
    (copy / "notebooks/junk.ipynb").write_text('{"cells": [{}]}')
    write(copy / "notebooks/lost.ipynb", ["# A\n\n![lost](lost.png)", ["open('marker', 'w').close()"]])
    done = make_report(copy, book)
    assert (done.returncode, done.stdout) == (2, "") and not (copy / "notebooks/marker").exists()
    assert re.fullmatch(r"report: .*got .*, allowed is .*\n", done.stderr.replace("; allowed", ", allowed"))


def test_a_notebook_without_a_name_is_skipped_and_said_before_anything_is_run(copy):
    for name in ("Untitled", "Untitled1", "mine-Copy1", ".ipynb_checkpoints/mine-checkpoint"):
        write(copy / f"notebooks/{name}.ipynb", ["# A\n\nB.", ["open('marker', 'w').close()"]])
    write(copy / "notebooks/mine.ipynb", ["# A\n\nB.", ["raise ValueError('as meant')"]])
    before = made_under(copy / "notebooks")
    done = make_report(copy)
    assert done.returncode == 1 and done.stderr == "report: mine.ipynb: cell 2, ValueError: as meant\n"
    assert [line.split(";")[0] for line in done.stdout.splitlines()[:4]] == [
        "report: notebooks/Untitled.ipynb is skipped", "report: notebooks/Untitled1.ipynb is skipped",
        "report: notebooks/mine-Copy1.ipynb is skipped", "running mine.ipynb"]
    assert made_under(copy / "notebooks") == before


def test_a_chapter_of_a_readers_own_keeps_its_records_apart_in_the_whole_report(copy):
    assert report.home_of(Path("notebooks/08_mine.ipynb")) == ROOT
    write(copy / "notebooks/mine.ipynb", [["import os\nopen('home', 'w').write(os.environ['ADDRNN_HOME'])\n1 / 0"]])
    write(copy / "notebooks/08_ours.ipynb", [["import os\nopen('root', 'w').write(os.environ['ADDRNN_HOME'])\n1 / 0"]])
    assert make_report(copy).returncode == 1
    assert (copy / "notebooks/home").read_text() == str(copy / "lab")
    assert (copy / "notebooks/root").read_text() == str(copy)
    assert make_report(copy, "notebooks/08_ours.ipynb", ADDRNN_HOME="kept").returncode == 1
    assert (copy / "notebooks/root").read_text() == str(copy / "kept")


def test_cells_that_show_nothing_have_no_fold_of_their_own(tmp_path):
    cells = [v4.new_markdown_cell("# A\n\nB."), v4.new_code_cell("import this"), v4.new_code_cell("x = 1"),
             v4.new_code_cell("x", outputs=[v4.new_output("stream", text="1")]), v4.new_code_cell("  "),
             v4.new_code_cell("y = 2"), v4.new_markdown_cell("C."), v4.new_code_cell("def shown(): ...")]
    cells[2].metadata, cells[-1].metadata = {"tags": ["parameters"]}, {"tags": ["shown"]}
    nbformat.write(v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    parts = re.findall(r"::: \{\.(\w+).*?\}\n``` python\n(.*?)\n```", Chapter(tmp_path / "a.ipynb", 1, tmp_path).text,
                       re.DOTALL)
    assert parts == [("code", "import this\n\nx = 1"), ("code", "x"), ("code", "y = 2"), ("shown", "def shown(): ...")]


def test_a_chapter_that_was_run_and_saved_in_jupyterlab_is_what_git_has(tmp_path):
    hook = re.search(r"--ContentsManager\.pre_save_hook=(\S+)", (ROOT / "Makefile").read_text())[1]
    manager = FileContentsManager(root_dir=str(tmp_path), config=Config({"ContentsManager": {"pre_save_hook": hook}}))
    chapter = next(iter(sorted((ROOT / "notebooks").glob("*.ipynb"))))
    (tmp_path / "notebooks").mkdir()
    for name in (chapter.name, "mine.ipynb"):
        (tmp_path / "notebooks" / name).write_bytes(chapter.read_bytes())
        model = manager.get(f"notebooks/{name}")
        content = model["content"]
        language = {"version": "3.99", "codemirror_mode": {"name": "ipython", "version": 3}}
        content["metadata"]["language_info"] |= language
        code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        code[1]["outputs"].insert(0, {"output_type": "display_data", "data": {}, "metadata": {}})  # a bar that is done
        code[2]["metadata"]["execution"] = {"iopub.status.busy": "2020-01-01T00:00:00Z"}
        code[3]["execution_count"] = 99
        manager.save(model, f"notebooks/{name}")
    assert (tmp_path / "notebooks" / chapter.name).read_bytes() == chapter.read_bytes()
    assert "3.99" in (tmp_path / "notebooks/mine.ipynb").read_text()  # a reader's own is left alone
