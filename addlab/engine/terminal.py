"""How programs talk to whoever started them: one line for what went wrong, a bar for what takes long."""

import contextlib
import os
import signal
import sys
from pathlib import Path

from tqdm import tqdm


def fail(program, problem, status=2):
    """Leave with an exit status and one line."""
    print(f"{program}: {' '.join(str(problem).split())}", file=sys.stderr)
    sys.exit(status)


def begin():
    """What the import of addlab does for a program of ours, while all that is slow to import is still to come.

    Ctrl-C is one line, too, until the program's `main` is there. A stream that was closed by whoever started it is the
    null device. A module that is run by its path, which would do nothing, leaves with one line. Programs of others, and
    whoever ignores Ctrl-C, are left alone.
    """
    house, main = Path(__file__).resolve().parents[2], sys.modules["__main__"]
    file = Path(getattr(main, "__file__", None) or "/nowhere").resolve()
    looked_for = sys.argv[:1] == ["-m"]  # so Python writes while it imports the packages of `python -m addlab.certify`
    if house / "addlab" in file.parents and main.__spec__ is None:
        name = ".".join(file.relative_to(house).with_suffix("").parts).removesuffix(".__main__")
        right = f"python -m {name}" if "\nif __name__ == " in file.read_text() else f"import {name}: it is no program"
        fail(file.name, f"got run by its path, allowed is {right}")
    ours = looked_for or file.stem == "addrnn" or file.parent == house / "tools"
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if ours and getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop_or_interrupt)


def _stop_or_interrupt(number, frame):
    if hasattr(sys.modules["__main__"], "main"):
        signal.default_int_handler(number, frame)
    os.write(2, b"addrnn: stopped\n")
    os._exit(130)  # no exception, which an import might swallow; nothing has been done that could be lost


@contextlib.contextmanager
def one_line_errors(program):
    """Leave with one line for what a user can cause: bad values, files, sizes, Ctrl-C, output that nobody reads."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python flushes what nobody reads
        sys.exit(1)
    except (ValueError, OSError) as problem:
        fail(program, problem)
    except (MemoryError, RuntimeError, OverflowError, TypeError) as problem:  # what NumPy and torch raise for them
        fail(program, f"these sizes are too large for this machine: {problem}")
    except KeyboardInterrupt as kept:
        fail(program, "stopped" + f"; {kept}" * bool(str(kept)), 130)


@contextlib.contextmanager
def progress_bar(total, what, share="{n_fmt}/{total_fmt}"):
    """A bar with the time that is left, in a terminal or a notebook; nothing elsewhere. Ctrl-C is one line in both."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    notebook = type(shell).__name__ == "ZMQInteractiveShell"
    place = {"file": Line(), "ncols": 80, "position": 0, "ascii": False} if notebook else {"dynamic_ncols": True}
    seen = notebook or (sys.stderr and sys.stderr.isatty())
    try:
        with tqdm(total=total, desc=what, disable=not seen, leave=False, **place,
                  bar_format="{desc}: {bar} " + share + " [{elapsed}<{remaining}{postfix}]") as bar:
            yield bar
    except KeyboardInterrupt:
        raise interrupt() from None


class Line:
    """A line of text below a notebook's cell, which a bar writes anew and at last leaves empty.

    It is no widget: in a saved notebook a widget is an error message, for what it shows lives in the kernel.
    """

    def __init__(self):
        self.shown = None

    def write(self, text):
        data = {"text/plain": text.strip()} if text.strip() else {}
        if self.shown:
            self.shown.update(data, raw=True)
        elif data:
            from IPython.display import display  # a notebook has it; no other program pays for its import
            self.shown = display(data, raw=True, display_id=True)

    def flush(self):
        pass


def interrupt(kept=""):
    """A KeyboardInterrupt that says what is kept. A notebook shows this one line, not the calls that led to it."""
    stop = KeyboardInterrupt(kept)
    stop._render_traceback_ = lambda: [f"KeyboardInterrupt: {kept or 'stopped'}"]
    return stop
