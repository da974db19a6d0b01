"""The original's claims, and verdicts on them in six words that say how sure the seeds make us.

A claim is asked of every seed: yes, no, or undecided (a tie, or runs too short to tell). With the 95 % interval of
the share of yes among the decided (Wilson 1927):

  holds, mostly holds   all, or some less than all, say yes, and the interval lies above one half
  fails, mostly fails   none, or a few, say yes, and the interval lies below one half
  mixed                 the interval holds one half, and two seeds or more say yes and two or more say no
  not settled           too few seeds are decided to say any of these

Verdicts are kept in records/verdicts.json. A claim with two halves has two of them.
"""

import math

from IPython.display import Markdown

from addlab import files
from addlab.study import measures

CLAIMS = {
    "C1a": "10 digits: the model becomes good enough to add exactly between batches 100 and 200",
    "C1b": "… and after batch 200 test accuracy is constantly 1",
    "C2": "10 digits: in batches 0-400 the loss falls fast",
    "C3": "the longer the numbers, the fewer batches the loss needs to fall",
    "C4": "… and the more batches accuracy needs to reach 1",
    "C5a": "100 digits: of 1-4 layers, 3 are best in the fall of the loss",
    "C5b": "… and in accuracy",
    "C6a": "5000 digits: 4 layers are best in accuracy, then 3, then 2",
    "C6b": "… while the loss curves show no clear difference",
    "C7": "… possibly because more parameters overfit less",
    "C8": "100 digits, 3 layers: RNN better than GRU better than LSTM",
    "C9": "100 digits: at learning rates 1e-5 and 1e-4 the model has not converged after 500 batches",
    "C10a": "100 digits: at learning rate 1e-1 the loss does not come down",
    "C10b": "… and the model does not converge",
}
SCALE = ("holds", "mostly holds", "mixed", "mostly fails", "fails", "not settled")


def judge(found):
    """The verdict on what was found: {seed: True, False or None}."""
    decided = [answer for answer in found.values() if answer is not None]
    yes, no = sum(decided), len(decided) - sum(decided)
    low, high = measures.wilson(yes, len(decided))
    if low > 0.5:
        return "mostly holds" if no else "holds"
    if high < 0.5:
        return "mostly fails" if yes else "fails"
    return "mixed" if min(yes, no) >= 2 else "not settled"


def flips(found, main):
    """One sentence: by which other measures the verdict by `main` changes.

    found: {measure: {seed: True, False or None}}, `main` one of its measures.
    """
    if not found[main]:
        return ""
    verdict, words = judge(found[main]), {measure: judge(answers) for measure, answers in found.items()}
    side = {"mostly holds": "holds", "mostly fails": "fails"}
    other = {}
    for measure, word in words.items():
        if side.get(word, word) != side.get(verdict, verdict):
            other.setdefault(word, []).append(str(measure))
    if not other:
        return f"The same by all {len(words)} measures."
    changed = "; ".join(f"**{word}** by {levels(names)}" for word, names in other.items())
    return f"The same by {len(words) - sum(map(len, other.values()))} of {len(words)} measures; {changed}."


def levels(names):
    """The names of measures; of more than four, the first and last alone: they are levels in order."""
    return listing(names) if len(names) <= 4 else f"{len(names)} measures from {names[0]} to {names[-1]}"


def listing(names):
    """"a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def orders(groups, order, by):
    """{measure: {seed: whether the settings get there in this order}}; settings without runs leave nothing decided.

    groups: {setting: [Run]}. `by` lists the measures.
    """
    if len(order) < 2 or not all(setting in groups for setting in order):
        return {measure: {} for measure in by}
    times = {measure: measures.times({setting: groups[setting] for setting in order}, measure) for measure in by}
    return {measure: measures.sooner(*found.values()) for measure, found in times.items()}


def firsts(groups, best, by):
    """{measure: {seed: whether the setting `best` gets there before all others}}."""
    if best not in groups or len(groups) < 2:
        return {measure: {} for measure in by}
    return {measure: measures.first(measures.times(groups, measure), best) for measure in by}


# In words

def share(found):
    """"k of n seeds" of {seed: True, False or None}, and how many are undecided."""
    decided = [answer for answer in found.values() if answer is not None]
    undecided = len(found) - len(decided)
    return (f"{sum(decided)} of {len(decided)} seed{'s' * (len(decided) != 1)}"
            + f", {undecided} undecided" * bool(undecided))


def batches(value):
    """A number of batches: "never" for inf, "-" for nan."""
    return "-" if math.isnan(value) else f"{value:.0f}" if math.isfinite(value) else "never"


def median(values):
    """The median number of batches of {seed: batches}, in words."""
    return batches(measures.median(values))


def reached(runs, measure):
    """The median batch of some runs by a measure, in words; "more than 300" where most runs of 300 end before it."""
    batch = measures.median(measures.by_seed(runs, measure))
    return batches(batch) if batch != math.inf else f"more than {min(measures.horizons([runs]).values())}"


def final(runs, within=None):
    """The median loss over the last 50 batches (of the first `within`), in words."""
    return f"{measures.median(measures.by_seed(runs, measures.final_loss, within=within)):.2g}"


def interval(value, low, high, form="{:.2f}"):
    """"0.70 (0.66 to 0.75)"."""
    value, low, high = (form.format(x) if math.isfinite(x) else "-" if math.isnan(x) else "∞"
                        for x in (value, low, high))
    return value if value == low == high else f"{value} ({low} to {high})"


def table(head, rows):
    """A Markdown table; head and rows are lists of cells."""
    lines = [head, ["---"] * len(head), *rows]
    return Markdown("\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines))


def pairs(groups, pairs, by, main, names=None):
    """A table: for each pair of settings, whether the one gets there before the other, and by which measures not.

    The last columns are the ratio of batches with its 95 % interval, where the runs are long enough to tell, and the
    probability that a seed of the one needs fewer batches than a seed of the other.
    """
    rows = []
    for a, b in pairs:
        found = orders(groups, [a, b], by)
        times = measures.times({a: groups[a], b: groups[b]}, main)
        ratio = measures.ratio(times[a], times[b])
        rows.append([" before ".join(str(names[x] if names else x) for x in (a, b)), share(found[main]),
                     f"**{judge(found[main])}**", interval(*ratio) if 0 < ratio[1] and ratio[2] < math.inf else "-",
                     f"{measures.improvement(times[a], times[b])[0]:.0%}", flips(found, main)])
    return table(["", "so in", "verdict", "ratio of batches", "chance to be first", "by other measures"], rows)


# The verdicts of the report

def record(claim, found, sentence, evidence="", flips="", verdict=None):
    """Keep the verdict on a claim in records/verdicts.json; returns it as Markdown, to be shown.

    found: {seed: True, False or None}, which `judge` judges unless a `verdict` is given. `sentence` says in plain words
    what was found, `evidence` the numbers behind it, `flips` by which measures it changes. Other claims' entries stay.
    Raises ValueError for an unknown claim or verdict, OSError where the folder cannot be written.
    """
    verdict = verdict or judge(found)
    if claim not in CLAIMS:
        raise ValueError(f"claim: got {claim!r}, allowed is one of {' '.join(CLAIMS)}")
    if verdict not in SCALE:
        raise ValueError(f"verdict: got {verdict!r}, allowed is one of {', '.join(SCALE)}")
    sentence, evidence = " ".join(sentence.split()), " ".join(evidence.split())
    seeds = [None if found[seed] is None else bool(found[seed]) for seed in sorted(found)]
    entry = {"verdict": verdict, "sentence": sentence, "evidence": evidence, "seeds": seeds, "flips": flips}
    files.keep("verdicts.json", entry, claim)
    share_of = f" ({share(found)})" if found else ""
    details = "\n\n".join(filter(None, [evidence, flips]))
    return Markdown(f"**{claim}: {verdict}{share_of}.** {sentence}" + f"\n\n{details}" * bool(details))


def entries_so_far():
    """{claim: {"verdict", "sentence", "evidence", "seeds", "flips"}} of what has been recorded so far."""
    return files.kept("verdicts.json")


def summary():
    """All claims with their verdicts so far, as a Markdown table in text."""
    entries = entries_so_far()
    rows = [[name, claim, f"**{entries[name]['verdict']}**", entries[name]["sentence"]]
            for name, claim in CLAIMS.items() if name in entries]
    return table(["", "the original says", "verdict", "what we found"], rows).data


if __name__ == "__main__":
    print(summary())
