"""Another road from the records to numbers, words and verdicts: JSON, whole numbers, throws of a coin that are counted.

Nothing here comes from addlab.study, which is what it is a witness of.
"""

import ast
import contextlib
import functools
import io
import json
import math
import re
import struct
from fractions import Fraction
from itertools import pairwise
from statistics import median
from xml.etree import ElementTree

import nbformat
from conftest import ROOT

from addlab import files

DEFAULT = dict(digit_len=10, cell="RNN", layers=3, lr=1e-3, hidden=64, embedding=32, chains=0.0, batch_size=200)
NEVER = math.inf


# The records

@functools.cache
def records():
    """{settings, seed: the longest record}; of equals that of a CPU."""
    found = {}
    for path in (ROOT / "records" / "runs").glob("*/*.json"):
        record = json.loads(path.read_bytes())
        config = record["config"]
        key = tuple(config[name] for name in DEFAULT), config["seed"]
        if key not in found or len(found[key]["loss"]) < len(record["loss"]):
            found[key] = record
    for path in (ROOT / "records" / "gpu").glob("*.json"):
        shelf = json.loads(path.read_bytes())
        for record in shelf["runs"]:
            config = DEFAULT | shelf["config"] | {"layers": record["layers"]}
            key = tuple(config[name] for name in DEFAULT), record["seed"]
            single = [struct.unpack("f", struct.pack("f", x))[0] for x in record["loss"]]
            if key not in found or len(found[key]["loss"]) < len(single):
                found[key] = record | {"loss": single, "device": shelf["device"]}
    return found


def group(seeds, **settings):
    """{seed: record} of one setting."""
    key = tuple((DEFAULT | settings).values())
    return {seed: records()[key, seed] for seed in seeds if (key, seed) in records()}


def counts(record):
    return [round(200 * share) for share in record["batch_accuracy"]]


def crossing(values, there, within=NEVER):
    """The first batch whose last ten values add up to something that is `there`."""
    total = 0
    for batch, value in enumerate(values[: int(min(within, len(values)))], 1):
        total += value - (values[batch - 11] if batch > 10 else 0)
        if batch >= 10 and there(total):
            return batch
    return NEVER


@functools.cache
def exact(losses):
    return [Fraction(loss) for loss in losses]


def sums(record, within=NEVER, least=1980):
    """The batch by which 1980 of the last 2000 sums are right."""
    return crossing(counts(record), lambda right: right >= least, within)


def loss(record, within=NEVER, level=Fraction(1, 10)):
    """The batch by which the last ten losses are below 0.1 in the mean."""
    return crossing(exact(tuple(record["loss"])), lambda total: total < 10 * level, within)


def ratio(times, a, b):
    """The median over seeds of how many times the batches of b a takes."""
    return median(times[a][seed] / times[b][seed] for seed in times[a])


def together(groups, of):
    """{setting: {seed: batch}} of the seeds that all have, each as far as all its runs go."""
    seeds = sorted(set.intersection(*map(set, groups.values()))) if groups else []
    ends = {seed: min(len(found[seed]["loss"]) for found in groups.values()) for seed in seeds}
    return {setting: {seed: of(found[seed], ends[seed]) for seed in seeds} for setting, found in groups.items()}


def compared(times, order):
    """(yes, no, undecided): seeds in which the settings come in this order."""
    yes = no = 0
    seeds = times[order[0]]
    for seed in seeds:
        batches = [times[setting][seed] for setting in order]
        no += any(a > b for a, b in pairwise(batches))
        yes += all(a < b for a, b in pairwise(batches))
    return yes, no, len(seeds) - yes - no


def leading(times, best):
    """(yes, no, undecided): seeds in which one setting comes before all others."""
    yes = no = 0
    for seed, mine in times[best].items():
        rest = [found[seed] for setting, found in times.items() if setting != best]
        yes += mine < min(rest)
        no += mine > min(rest)
    return yes, no, len(times[best]) - yes - no


def ranked(times):
    """[(median, settings)] of those that come at all."""
    middles = {setting: median(found.values()) for setting, found in times.items() if found}
    return [(m, [s for s in middles if middles[s] == m]) for m in sorted(set(middles.values())) if m < NEVER]


# Words

def number(batch, run=None):
    return str(math.ceil(batch)) if batch < NEVER else f"more than {run}" if run else "never"


def several(names):
    names = [str(name) for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def first(times, name=str):
    return several(map(name, (ranked(times) or [(0, [])])[0][1]))


def digits(n):
    return f"{n} digits"


def layers(n):
    return f"{n} layer{'s' * (n != 1)}"


def share(answers, what="seed"):
    yes, no, undecided = answers
    count = yes + no + undecided
    return f"{yes} of {count} {what}{'s' * (count != 1)}" + (f", {undecided} undecided" if undecided else "")


def tail(most, count, p):
    """The chance that at most so many of `count` throws succeed."""
    return sum(math.comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(most + 1))


def word(yes, no, undecided):
    count = yes + no + undecided
    if count and 1 - tail(yes - 1, count, 0.5) < 0.025:
        return "mostly holds" if no else "holds"
    if count and tail(yes + undecided, count, 0.5) < 0.025:
        return "mostly fails" if yes else "fails"
    return "mixed" if yes >= 2 and no >= 2 else "not settled"


def bisected(condition):
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if condition(middle) else (low, middle)
    return low


def ends(answers):
    """The share of yes at which what was seen, or more of it, has a chance of one in forty; (low, high)."""
    yes, no, undecided = answers
    count = yes + no + undecided
    return (bisected(lambda p: 1 - tail(yes - 1, count, p) < 0.025) if yes else 0.0,
            bisected(lambda p: tail(yes + undecided, count, p) > 0.025) if no else 1.0)


def verdict(claim, answers, among=None, what="seed", step=""):
    """How the verdict begins, and the evidence in it; `step` is what is counted of an order, if not the whole."""
    low, high = ends(answers)
    evidence = f"{share(answers, what)}{' for ' + step if step else ''}; 95% interval {low:.0%} to {high:.0%}"
    if not among:
        return f"**{claim}: {word(*answers)}.**", f"{evidence}."
    expected = Fraction(sum(answers), among)
    chance = ("fewer than 1" if expected < 1 else
              str(expected) if expected.denominator == 1 else f"about {round(expected)}")
    return f"**{claim}: {word(*answers)}.**", f"{evidence}; {chance} by chance."


# What a notebook shows

class Said:
    """Titles {figure: text}, the Markdown of all outputs as one text, headings."""

    def __init__(self, path):
        self.titles, self.markdown, self.checked, self.judged = {}, [], set(), set()
        self.cells = nbformat.read(path, as_version=4).cells
        self.headings = [line for cell in self.cells if cell.cell_type == "markdown"
                         for line in cell.source.splitlines() if line.startswith("## ")]

    def committed(self):
        """What stands in the outputs."""
        for cell in self.cells:
            for output in cell.get("outputs", []):
                about, data = output.get("metadata", {}), output.get("data", {})
                if "name" in about:
                    self.titles[about["name"]] = about["alt"]
                elif "text/markdown" in data and "caption_of" not in about:
                    self.markdown.append(data["text/markdown"])
        return self

    def run(self, **parameters):
        """What the cells say with other parameters, run here one after the other."""
        names = {"__name__": "__main__"}
        for cell in self.cells:
            if cell.cell_type != "code":
                continue
            tree = ast.parse(cell.source)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(tree, "cell", "exec"), names)
                shown = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
            if "parameters" in cell.metadata.get("tags", []):
                assert parameters.keys() <= names.keys()
                names |= parameters
            if hasattr(shown, "alt"):
                self.titles[shown.name] = shown.alt
            elif getattr(shown, "data", None):
                self.markdown.append(shown.data)
        for path in (files.home() / "figures").glob("*.svg"):  # those of live runs are shown by the run
            self.titles.setdefault(path.stem, ElementTree.parse(path).getroot().get("aria-label"))
        return self

    @property
    def text(self):
        return "\n".join(" ".join(text.split()) if not text.startswith("| ") else text for text in self.markdown)

    def says(self, *texts):
        """Each of these stands in the Markdown."""
        for text in texts:
            assert text in self.text, f"{text!r} is not said in:\n{self.text}"

    def judges(self, claim, answers, among=None, what="seed", step="", asked=True):
        """The verdict on a claim is that of these answers: (yes, no, undecided); there is none if others are asked."""
        begin, evidence = verdict(claim, answers, among, what, step)
        if not asked:
            begin = f"**{claim} is about other settings, so this is no verdict on it.**"
        found = next(" ".join(text.split()) for text in self.markdown if re.match(rf"\*\*{claim}\b", text))
        self.judged.add(claim)
        assert found.startswith(begin) and evidence in found, f"{begin} {evidence} is not\n{found}"

    def titled(self, name, title):
        """The title of a figure is this."""
        self.checked.add(name)
        assert self.titles[name].startswith(f"{title}. "), f"{name}: {title!r} is not {self.titles[name]!r}"
