"""A figure that grows while runs train: `addrnn.train(config, on_batch=live.Curves("01_live"))`.

In JupyterLab its curves move a few times a second, at no cost that is felt: each frame is a small SVG, written by hand.
What is left is the finished figure alone, so that papermill and nbconvert store the same bytes as ever.
"""

import time

import numpy as np
from IPython import get_ipython
from IPython.display import Markdown, display

from addlab.study import claims, measures, plots, views

EVERY = 0.3  # seconds between two frames
CAPTION = "Each point is a mean over the last ten batches: 2000 sums that the network had never seen."


class Curves:
    """Loss and share of sums right of the runs it is called with, told apart by the setting `kind`, as NAME.svg.

    title(runs) is the finding, by default how many batches the last run took. One object serves several runs.
    """

    def __init__(self, name, kind="seed", title=None, caption=CAPTION):
        self.name, self.kind, self.title, self.caption = name, kind, title or finding, caption
        self.runs, self.shown, self.next = [], None, 0.0

    def __call__(self, run):
        """For `on_batch`: a frame from time to time; when the run is done, the figure."""
        if all(run is not known for known in self.runs):
            self.runs.append(run)
        if run.done:
            groups = {getattr(run.config, self.kind): [run] for run in self.runs}
            picture = views.learning(self.kind, groups, self.title(self.runs), self.name, self.caption)
            about = {"name": self.name, "caption": self.caption, "alt": picture.alt}  # as a Picture shows itself
            self.show({"image/svg+xml": picture.svg, "text/plain": picture.alt}, about)
        elif time.monotonic() >= self.next:
            self.show({"image/svg+xml": frame(run), "text/plain": repr(run)}, {})
            self.next = time.monotonic() + EVERY

    def show(self, data, about):
        """Put a picture where the last one was, its caption below; a script has no place for it."""
        if self.shown:
            self.shown.update(data, raw=True, metadata=about)
        elif get_ipython():
            self.shown = display(data, raw=True, metadata=about, display_id=True)
            display(Markdown(self.caption), metadata={"caption_of": self.name})


def finding(runs):
    """How soon the last of some runs has 99% of its sums right."""
    takes = claims.reached(runs[-1:], measures.ACCURACY)
    return f"Seed {runs[-1].config.seed} takes {takes} batches to 99% of sums right"


def frame(run, width=340, height=150):
    """Both curves so far, the loss from 3 to 0.001 on a logarithmic scale, as an SVG."""
    marks = [f'<text x="0" y="14">batch {len(run.loss)} of {run.config.batches}: loss {run.loss[-1]:.3f}, '
             f"{run.batch_accuracy[-1]:.0%} of the sums right</text>"]
    over = min(measures.OVER, len(run.loss))
    (batches, losses), (_, right) = (measures.curve(run, of, over) for of in ("loss", "batch_accuracy"))
    heights = (3.5 + np.log10(np.clip(losses, 10**-3.5, 10**0.5))) / 4, right
    for left, name, values in zip((0, width + 40), ("loss", "sums wholly right"), heights, strict=True):
        some = np.unique(np.linspace(0, len(values) - 1, 200).astype(int))
        x, y = left + width * batches[some] / run.config.batches, 40 + height * (1 - values[some])
        points = " ".join(f"{at:.1f},{level:.1f}" for at, level in zip(x, y, strict=True))
        marks.append(f'<path d="M{left} 40v{height}h{width}" fill="none" stroke="{plots.FAINT}"/><text x="{left + 6}" '
                     f'y="36">{name}</text><polyline points="{points}" fill="none" stroke="{plots.RIGHT}"/>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * width + 40}" height="{height + 50}" font-size="12" '
            f'font-family="sans-serif" style="background:white">{"".join(marks)}</svg>')
