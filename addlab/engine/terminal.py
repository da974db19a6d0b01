"""How programs talk to whoever started them: one line for what went wrong, a bar for what takes long."""

import contextlib
import os
import sys

from tqdm.auto import tqdm


def fail(program, problem, status=2):
    """Leave with an exit status and one line."""
    print(f"{program}: {' '.join(str(problem).split())}", file=sys.stderr)
    sys.exit(status)


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
    except KeyboardInterrupt:
        fail(program, "stopped", 130)


def progress_bar(total, what, share="{n_fmt}/{total_fmt}"):
    """A bar with the time that is left, in a terminal or a notebook; nothing elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    seen = sys.stderr.isatty() or type(shell).__name__ == "ZMQInteractiveShell"
    return tqdm(total=total, desc=what, disable=not seen, leave=False, dynamic_ncols=True,
                bar_format="{desc}: {bar} " + share + " [{elapsed}<{remaining}{postfix}]")
