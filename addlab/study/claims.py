"""Judging claims from runs: when accuracy settles, which setting is better for which seed, and what that says.

A claim about an ordering or an event is looked for in every seed on its own. It **holds** if it is so in all of them,
**fails** if in none, and else **depends on the seed**. Verdicts are kept in records/verdicts.json.
"""

import itertools
import json
import math

import numpy as np
from IPython.display import Markdown

import addrnn
from addlab.study import plots
from addlab.engine import store as runs

CLAIMS = {
    "C1": "10 digits: accuracy becomes good enough between batches 100 and 200, and is 1 at every evaluation after 200",
    "C2": "10 digits: the loss falls fastest in batches 0-400",
    "C3": "the longer the numbers, the fewer batches the loss needs to fall",
    "C4": "… and the more batches accuracy needs to reach 1",
    "C5": "100 digits: of 1-4 layers, 3 are best",
    "C6": "5000 digits: 4 layers are best for accuracy, then 3, then 2; the loss curves hardly differ",
    "C7": "… because more parameters overfit less",
    "C8": "100 digits, 3 layers: RNN better than GRU better than LSTM",
    "C9": "100 digits: learning rates 1e-5 and 1e-4 have not converged after 500 batches",
    "C10": "100 digits: at learning rate 1e-1 the loss does not come down",
}
WORDS = ("holds", "fails", "depends on the seed", "not tested")


# From curves to numbers

def settles(run, level, within=math.inf, of="accuracy"):
    """The batch of the first evaluation from which accuracy is `level` or more at it and every later one; inf if none.

    Only the first `within` batches are looked at. `of` may be "digit_accuracy".
    """
    settled = math.inf
    for batch, accuracy in zip(run.eval_batch, getattr(run, of), strict=True):
        if batch <= within:
            settled = math.inf if accuracy < level else min(settled, batch)
    return settled


def reaches(run, level, within=math.inf):
    """The batch of the first evaluation with accuracy `level` or more, inf if none in the first `within` batches."""
    pairs = zip(run.eval_batch, run.accuracy, strict=True)
    return min((batch for batch, accuracy in pairs if accuracy >= level and batch <= within), default=math.inf)


def smooth(loss, over=10):
    """(batches, mean loss of each `over` batches up to and with that batch); a rest at the end is left out."""
    whole = len(loss) // over * over
    return np.arange(over, whole + 1, over), np.asarray(loss[:whole]).reshape(-1, over).mean(axis=1)


def falls_below(run, level, over=10, within=None):
    """The batch by which the loss, mean over `over` batches, is first below `level`; inf if it never is."""
    batches, loss = smooth(run.loss[:within], over)
    return next((int(b) for b, x in zip(batches, loss, strict=True) if x < level), math.inf)


def final_loss(run, over=50, within=None):
    """Mean loss of the last `over` batches (of the first `within`)."""
    return float(np.mean(run.loss[:within][-over:]))


def by_seed(group, measure, **options):
    """{seed: measure(run)} of some runs that differ in their seed alone."""
    return {run.config.seed: measure(run, **options) for run in group}


def middle(values):
    """The median over seeds of {seed: value}."""
    return float(np.median(list(values.values())))


def rising(*values):
    """{seed: whether the values rise strictly in the order given}, for the seeds that all of them have.

    values: {seed: value}, one for each setting. Two that never came (inf) do not rise.
    """
    seeds = [seed for seed in values[0] if all(seed in v for v in values)]
    return {seed: all(a[seed] < b[seed] for a, b in itertools.pairwise(values)) for seed in seeds}


def ahead(values, best):
    """{seed: whether the setting `best` comes strictly before each other}, for the seeds that all of them have.

    values: {setting: {seed: value}}.
    """
    others = [rising(values[best], values[other]) for other in values if other != best]
    shared = [seed for seed in values[best] if all(seed in found for found in values.values())]
    return {seed: all(won[seed] for won in others) for seed in shared}


def judge(found):
    """The verdict on what was found true or false: {seed: bool}."""
    if not found:
        return "not tested"
    return "holds" if all(found.values()) else "depends on the seed" if any(found.values()) else "fails"


def explained(groups):
    """Share of the variance of values by seed that lies between the groups: 1 is all setting, 0 all seed luck.

    groups: [{seed: value}], all finite. Adjusted for what chance alone would give (omega squared, at least 0).
    """
    groups = [np.array(list(g.values()), float) for g in groups]
    values = np.concatenate(groups)
    between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups)
    total = ((values - values.mean()) ** 2).sum()
    freedom = len(groups) - 1, len(values) - len(groups)
    if not total or not all(freedom):
        return math.nan
    within = (total - between) / freedom[1]
    return max(0.0, (between - freedom[0] * within) / (total + within))


def first_column(run, count=500):
    """On fresh sums: shares of (sums right, right but for the first column, wrong digits that lie in that column).

    The first column alone is read from the state before any digit.
    """
    num1, num2, total = addrnn.sample(count, run.config.digit_len, np.random.default_rng(4))
    return first_column_of(run.model.predict(num1, num2) != total)


def first_column_of(wrong):
    """The shares of `first_column`, from which digits are wrong: bool [sums, digits]."""
    return (~wrong.any(axis=1)).mean(), (~wrong[:, 1:].any(axis=1)).mean(), wrong[:, 0].sum() / max(1, wrong.sum())


def parameters(run):
    """How many numbers a run's model has learned."""
    return sum(p.numel() for p in run.model.parameters())


def only_recorded(configs):
    """The runs among these configs that have a record: for what is too long to be trained while one reads."""
    store = runs.Store(addrnn.home() / "records" / "runs", addrnn.Adder)
    return [run for run in map(store.read, configs) if run]


# In words

def spread(values, form="{:.0f}", never="never"):
    """Median and range of values {seed: value}, as "median (least to most)"."""
    def text(x):
        return form.format(x) if math.isfinite(x) else never

    if not values:
        return "-"
    least, most = text(min(values.values())), text(max(values.values()))
    return text(middle(values)) if least == most else f"{text(middle(values))} ({least} to {most})"


def spreads(values, form):
    """`spread` of each part of values {seed: (part, part, …)}: a list."""
    return [spread(dict(zip(values, part, strict=True)), form) for part in zip(*values.values(), strict=True)]


def batch(number):
    """A batch in words: "never" for inf."""
    return f"{number:.0f}" if math.isfinite(number) else "never"


def count(found):
    """"k of n seeds" of what was found true or false: {seed: bool}."""
    return f"{sum(found.values())} of {len(found)} seed{'s' * (len(found) != 1)}"


def table(head, rows):
    """A Markdown table; head and rows are lists of cells."""
    lines = [head, ["---"] * len(head), *rows]
    return Markdown("\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines))


# The verdicts of the report

def record(claim, verdict, evidence):
    """Keep the verdict on a claim, with its evidence in one line, in records/verdicts.json; returns it to be shown.

    Other claims' entries stay as they are. Raises ValueError for an unknown claim or word, OSError where the folder
    cannot be written.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim: got {claim!r}, allowed is one of {' '.join(CLAIMS)}")
    if verdict not in WORDS:
        raise ValueError(f"verdict: got {verdict!r}, allowed is one of {', '.join(WORDS)}")
    with runs.locked(addrnn.home() / "records" / "runs", "verdicts"):
        entries = entries_so_far() | {claim: {"verdict": verdict, "evidence": " ".join(evidence.split())}}
        text = json.dumps({name: entries[name] for name in CLAIMS if name in entries}, indent=1, ensure_ascii=False)
        runs.write_whole(addrnn.home() / "records" / "verdicts.json", (text + "\n").encode())
    return Markdown(f"**{claim} {verdict if verdict != 'not tested' else 'is not tested'}.** {evidence}")


def entries_so_far():
    """{claim: {"verdict", "evidence"}} of what has been recorded so far."""
    try:
        return json.loads((addrnn.home() / "records" / "verdicts.json").read_bytes())
    except FileNotFoundError:
        return {}


def summary():
    """All claims with their verdicts so far, as a Markdown table in text."""
    entries = entries_so_far()
    rows = [[name, claim, f"**{entries[name]['verdict']}**", entries[name]["evidence"]]
            for name, claim in CLAIMS.items() if name in entries]
    return table(["", "the original says", "verdict", "evidence"], rows).data


if __name__ == "__main__":
    print(summary())
