"""How a run is shown: a bar while it goes, Ctrl-C as one line, its outcome when it is done."""

import contextlib
import sys

from tqdm import tqdm


@contextlib.contextmanager
def progress_bar(total, what, share="{n_fmt}/{total_fmt}"):
    """A bar with the time that is left, in a terminal or a notebook; nothing elsewhere. Ctrl-C is one line in both."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    notebook = hasattr(shell, "kernel")  # of Jupyter, Colab, VS Code; a terminal's IPython has none
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


def one_line(run):
    """A run in one line: its settings and how far it came."""
    c = run.config
    ends = [f"loss {run.loss[-1]:.4g}"] * bool(run.loss) + [f"accuracy {x:.3f}" for x in run.accuracy[-1:]]
    return (f"<Run {c.cell}, {c.layers} layers, {c.digit_len} digits, seed {c.seed}: {len(run.loss)} of {c.batches} "
            f"batches, {''.join(f'{end}, ' for end in ends)}{run.seconds:.1f} s>")


def as_table(run):
    """The evaluations of a run as a table, and how it ended."""
    lines = ["batch      loss  sums right  digits right"]
    for batch, accuracy, digit_accuracy in zip(run.eval_batch, run.accuracy, run.digit_accuracy, strict=True):
        lines.append(f"{batch:5d}  {run.loss[batch - 1]:8.4f}  {accuracy:10.3f}  {digit_accuracy:12.4f}")
    if run.diverged:
        lines.append(f"diverged at batch {len(run.loss)}: the loss is {run.loss[-1]}")
    elif run.accuracy:
        if not run.done:
            lines.append(f"stopped after {len(run.loss)} of {run.config.batches} batches")
        lines.append(f"final accuracy {run.accuracy[-1]:.3f} on {run.config.test_batch_size} sums, {run.seconds:.1f} s")
    return "\n".join(lines)
