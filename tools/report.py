"""The report people open: run all notebooks, then build report/index.html and report/addrnn.pdf from them.

Given one notebook it runs that one alone, leaves it as it is, and builds its page and its PDF.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
import papermill
import typst
from ipykernel.kernelspec import write_kernel_spec
from papermill.exceptions import PapermillExecutionError

from addlab.files import home, write_whole
from addlab.inputs import Refusal, shown
from tools.chapter import Chapter
from tools.pages import build, build_alone
from tools.tidy import is_chapter, tidy

ROOT = Path(__file__).resolve().parents[1]
NO_CHAPTER = re.compile(r"Untitled|.*-Copy\d*$")  # as JupyterLab calls what nobody has named


# Notebooks

def chapters():
    """The notebooks that the report is made of; one that nobody has named is skipped, with a line."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in notebooks:
        if NO_CHAPTER.match(path.stem):
            print(f"report: notebooks/{path.name} is skipped; under a name of its own it is a chapter", flush=True)
    found = [checked(path) for path in notebooks if not NO_CHAPTER.match(path.stem)]
    if not found:
        raise Refusal("got no notebook in notebooks/, allowed is one or more")
    return found


def checked(path):
    """The path of a notebook that can become a chapter; raises Refusal, one line, before anything is run."""
    got = f"got {shown(str(path), 200)}"
    if not path.is_file() or path.suffix != ".ipynb":
        raise Refusal(f"BOOK: {got}, which is no notebook; allowed is a file, as notebooks/01_baseline.ipynb")
    try:
        with tempfile.TemporaryDirectory() as folder:
            Chapter(path, None, Path(folder))
    except Refusal:
        raise
    except Exception:  # whatever nbformat says of a file that is no notebook
        raise Refusal(f"{got}, which cannot be read; allowed is a notebook that JupyterLab opens") from None
    return path


def home_of(path):
    """Where the records and figures of a notebook go, unless ADDRNN_HOME says, when the whole report is run.

    A chapter of ours has a number, and what it draws is shipped; a reader's own goes where `make lab` puts it.
    """
    return ROOT if is_chapter(path.name) else ROOT / "lab"


def refresh(path, out=None, records=None):
    """Execute a notebook at its default parameters and write it to `out`, by default back.

    records: the folder that its records and figures go to, unless ADDRNN_HOME says. Returns what went wrong as one
    line, or None. A notebook that fails stays as it was.
    """
    out = out or path
    if records:
        os.environ["ADDRNN_HOME"] = str(records)
    try:
        notebook = papermill.execute_notebook(path, None, kernel_name="python3", cwd=path.parent, progress_bar=False)
        data = (nbformat.writes(tidy(notebook)) + "\n").encode()
        if not out.exists() or data != out.read_bytes():
            write_whole(out, data)
    except PapermillExecutionError as error:
        problem = f"cell {error.cell_index + 1}, {error.ename}: {error.evalue}"
    except Exception as error:  # no notebook, a dead kernel, a full disk: the other notebooks go on
        problem = f"{type(error).__name__}: {error}"
    else:
        return None
    return f"{path.name}: {problem}".splitlines()[0]


def main(arguments):
    """Run and rebuild all, or one notebook alone; leaves with status 1 and a line for each notebook that fails."""
    if len(arguments) > 1:
        raise Refusal(f"BOOK: got {len(arguments)} notebooks, allowed is one, or none for the whole report")
    if os.environ.get("ADDRNN_HOME"):
        os.environ["ADDRNN_HOME"] = str(home())  # a notebook runs in a folder of its own
    try:
        files = made_alone(checked(Path(arguments[0]))) if arguments else made(chapters())
    except typst.TypstError as error:
        sys.exit(f"report: {error.diagnostic}")
    print(f"{' and '.join(str(file.relative_to(ROOT)) for file in files)} are built")


def made(notebooks):
    """Run all notebooks and build the report; returns its first page and its PDF."""
    stop_at(run_all(notebooks, home_of=None if os.environ.get("ADDRNN_HOME") else home_of))
    os.environ.setdefault("ADDRNN_HOME", str(ROOT))  # which holds the verdicts just written
    build(notebooks, ROOT / "report")
    return [ROOT / "report" / "index.html", ROOT / "report" / "addrnn.pdf"]


def made_alone(notebook):
    """Run one notebook, which stays as it is, and build its page and its PDF; returns both."""
    os.environ.setdefault("ADDRNN_HOME", str(ROOT / "lab"))
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / notebook.name
        stop_at(run_all([notebook], Path(folder)))
        return build_alone(executed, ROOT / "report", beside=notebook.parent)


def stop_at(problems):
    if problems:
        sys.exit("\n".join(f"report: {problem}" for problem in problems))


def begin_worker():
    """Leave Ctrl-C to the parent, which ends its workers by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_all(notebooks, out=None, home_of=None):
    """Refresh all notebooks, two at a time, into the folder `out` or in place; the problems, one line each.

    home_of: a function of a notebook's path, to where its records and figures go, where ADDRNN_HOME does not say.
    """
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2, initializer=begin_worker) as pool:
        # This interpreter, whatever else is called python3.
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=CRITICAL"])
        os.environ |= {"JUPYTER_PATH": folder, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
        begin, problems = time.monotonic(), []
        print(f"running {notebooks[0].name}" if len(notebooks) == 1 else
              f"running {len(notebooks)} notebooks, two at a time; each takes one to three minutes", flush=True)
        try:
            runs = {pool.submit(refresh, path, out and out / path.name, home_of and home_of(path)): path
                    for path in notebooks}
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
        main(sys.argv[1:])
