"""A figure as a file: its style, its title, its panels stacked for a phone, and the same bytes on every machine."""

import io
import re
import textwrap
from xml.sax.saxutils import quoteattr

import matplotlib
from IPython.display import Markdown, display
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FixedLocator

from addlab import files

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.7,  # of a point: less is not seen
    "svg.fonttype": "path",  # text looks the same where the font is missing
    "svg.hashsalt": "addrnn",  # else ids are drawn at random
}
INK = "#222222"
NARROW = 4.6  # inches: of a phone


def use_style():
    """Draw from here on as the report does, whatever a user's matplotlibrc says: the same bytes everywhere."""
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(STYLE)


def write_title(fig, title):
    """The finding above the panels."""
    text = broken(title, round(fig.get_figwidth() * 9.2))
    fig.suptitle(text, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)


def broken(text, fits):
    """A text in lines of at most so many characters, as few as need be and of about one length."""
    lines = len(textwrap.wrap(text, fits))
    return next(textwrap.fill(text, width) for width in range(1, fits + 1) if len(textwrap.wrap(text, width)) <= lines)


# For a phone

def stack(fig):
    """Put the panels below one another, for a phone."""
    panels = [panel for panel in fig.axes if panel.get_label() != "<colorbar>"]  # a colour bar follows its panels
    rows = len({panel.get_subplotspec().rowspan.start for panel in panels if panel.get_subplotspec()})
    fig.set_size_inches(NARROW, fig.get_figheight() / max(1, rows) * len(panels))
    write_title(fig, " ".join(fig.get_suptitle().split()))
    for place, panel in zip(GridSpec(len(panels), 1, figure=fig), panels, strict=True):
        panel.set_subplotspec(place)
        panel.tick_params(labelleft=True, labelbottom=True)  # which a neighbour may have borne for it
        if panel.get_shared_y_axes().joined(panel, panels[0]):
            panel.set_ylabel(panel.get_ylabel() or panels[0].get_ylabel())
        if panel.get_shared_x_axes().joined(panel, panels[-1]):
            panel.set_xlabel(panel.get_xlabel() or panels[-1].get_xlabel())
    extra = sum(map(fold, panels))
    fig.set_figheight(fig.get_figheight() + extra * 13 / 72)


def fold(panel):
    """Break the labels of a phone's panel that are wider than it; the number of lines that names of rows take more."""
    names, extra = [], 0
    if isinstance(panel.yaxis.get_major_locator(), FixedLocator):  # rows, not numbers
        names = [label.get_text() for label in panel.get_yticklabels()]
    if max(map(len, names), default=0) > 20:
        folded = [broken(name, 28) for name in names]
        panel.set_yticks(panel.get_yticks(), folded)
        names, extra = "\n".join(folded).splitlines(), sum(name.count("\n") for name in folded)
    fits = 46 - max(map(len, names), default=6)
    panel.set_title(broken(panel.get_title(loc="left"), fits))
    panel.set_xlabel(broken(panel.get_xlabel(), fits))
    return extra


# Bytes

@matplotlib.rc_context(STYLE)
def svg_bytes(fig, alt=""):
    """The figure as SVG, the same bytes for the same figure on every machine; `alt` is what it shows, in words.

    Lines are drawn to a hundredth of a point and ids are numbered as they come: both else hang on the last bits of
    matplotlib's arithmetic.
    """
    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": alt})
    places = re.compile(r' (?:d|x|y|width|height)="[^"]*"|translate\([^)]*\)')
    text = places.sub(lambda place: re.sub(r"-?\d*\.\d+", rounded, place[0]), buffer.getvalue().decode())
    names = dict.fromkeys(re.findall(r' id="([^"]+)"', text))
    numbers = {name: f"i{number}" for number, name in enumerate(names)}
    text = re.sub(r'(?<= id=")[^"]+|(?<=#)[\w-]+(?=["\)])', lambda name: numbers.get(name[0], name[0]), text)
    return smaller(text).replace("<svg ", f'<svg role="img" aria-label={quoteattr(alt)} ', 1).encode()


def smaller(text):
    """The same SVG without what only readers of its source would see: a report carries each figure twice."""
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<!DOCTYPE.*?>", "", text, flags=re.DOTALL)
    text = re.sub(r">\s+<", "><", re.sub(r"\s+", " ", text))
    text = re.sub(r'(?<= d=")[^"]*', lambda d: re.sub(r" ?([A-Zz]) ?", r"\1", d[0]).strip().replace(" ", ","), text)
    used = set(re.findall(r'#(\w+)["\)]', text))
    text = re.sub(r' id="(\w+)"', lambda name: name[0] if name[1] in used else "", text)
    return re.sub(r' style="[^"]*"', lambda style: re.sub(r"([:;]) ", r"\1", style[0]), text)


def rounded(number):
    """A matched number to a hundredth, without zeros that say nothing."""
    return f"{round(float(number[0]), 2) + 0.0:g}"


class Picture:
    """A figure as a notebook shows it, its caption below; the report takes caption and alternative text from it."""

    def __init__(self, svg, name, caption, alt):
        self.svg, self.name, self.caption, self.alt = svg, name, caption, alt

    def _ipython_display_(self):
        about = {"name": self.name, "caption": self.caption, "alt": self.alt}
        display({"image/svg+xml": self.svg, "text/plain": self.alt}, raw=True, metadata=about)
        if self.caption:
            display(Markdown(self.caption), metadata={"caption_of": self.name})


def save(fig, name, caption="", alt="", narrow=None):
    """Write figures/NAME.svg and figures/narrow/NAME.svg under `files.home()`; returns it for the notebook to show.

    `caption` is Markdown and says what the figure does not; `alt` says in words what is to be seen, by default title
    and caption. `narrow` is the figure for a phone, by default the same with its panels stacked.
    Raises ValueError, one line, where the folder cannot be written.
    """
    alt = alt or f"{' '.join(fig.get_suptitle().split())}. {caption}".strip()
    wide = svg_bytes(fig, alt)
    write(f"{name}.svg", wide)
    if narrow is None:
        stack(fig)
    write(f"narrow/{name}.svg", svg_bytes(narrow or fig, alt))
    return Picture(wide.decode(), name, caption, alt)


def write(name, data):
    """Write bytes as figures/NAME of `files.home()`, whole or not at all; a file that holds them is left alone."""
    folder = files.home() / "figures"
    with files.refused("figures", folder):
        path = folder / name
        files.make_folder(path.parent)
        # Two notebooks may draw the same figure at once.
        with files.locked(files.home() / "records" / "runs", "figures"):
            if not path.exists() or path.read_bytes() != data:
                files.write_whole(path, data)
