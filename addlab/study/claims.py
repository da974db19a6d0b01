"""The original's claims, and verdicts on them in six words that say how sure the seeds make us.

A claim is asked of every seed: yes, no, or undecided (a tie, or runs too short to tell). `judge` has the rule, which
notebook 01 explains. Verdicts are kept in records/verdicts.json.
"""

import itertools
import math

from IPython.display import Markdown

from addlab import files
from addlab.study import measures

CLAIMS = {
    "C1a": "10 digits: the model becomes good enough to add exactly between batches 100 and 200",
    "C1b": "10 digits: after batch 200 test accuracy is constantly 1",
    "C2": "10 digits: in batches 0–400 the loss falls fast",
    "C3": "The longer the numbers, the fewer batches the loss needs to fall",
    "C4": "The longer the numbers, the more batches accuracy needs to reach 1",
    "C5a": "100 digits: of 1–4 layers, 3 are best in the fall of the loss",
    "C5b": "100 digits: of 1–4 layers, 3 are best in accuracy",
    "C6a": "5000 digits: 4 layers are best in accuracy, then 3, then 2",
    "C6b": "5000 digits: the loss curves of the layers show no clear difference",
    "C7": "4 layers are best possibly because more parameters overfit less",
    "C8": "100 digits, 3 layers: RNN better than GRU better than LSTM",
    "C9": "100 digits: at learning rates 0.00001 and 0.0001 the model has not converged after 500 batches",
    "C10a": "100 digits: at learning rate 0.1 the loss does not come down",
    "C10b": "100 digits: at learning rate 0.1 the model does not converge",
}


def judge(found):
    """The verdict on what was found, {seed: True, False or None}, by the exact 95% interval of the share of yes.

    holds, mostly holds   it lies above one half, and no seed says no, or some do
    fails, mostly fails   it lies below one half, and no seed says yes, or some do
    mixed                 it holds one half, and two seeds or more say yes and two or more say no
    not settled           it holds one half for want of seeds

    An undecided seed counts against either end (`measures.interval`), so no verdict hangs on a tie.
    """
    yes, no, undecided = counts(found)
    low, high = measures.interval(yes, no, undecided)
    if low > 0.5:
        return "mostly holds" if no else "holds"
    if high < 0.5:
        return "mostly fails" if yes else "fails"
    return "mixed" if min(yes, no) >= 2 else "not settled"


def counts(found):
    """How many of {seed: True, False or None} say yes, say no, are undecided."""
    answers = plain(found)
    return tuple(sum(given is answer for given in answers) for answer in (True, False, None))


def plain(found):
    """The answers of {seed: True, False or None} in the order of the seeds, none of them NumPy's."""
    return [None if found[seed] is None else bool(found[seed]) for seed in sorted(found)]


SIDES = {"mostly holds": "holds", "mostly fails": "fails"}


def flips(found, main):
    """{measure in words: [verdict, yes, no, undecided]}, `main` first: the appendix shows where the verdict flips.

    found: {measure: {seed: True, False or None}}, `main` one of its measures.
    """
    return {str(measure): [judge(found[measure]), *counts(found[measure])]
            for measure in sorted(found, key=lambda measure: measure != main)} if found[main] else {}


def both_ways(entry):
    """Whether some measures let the claim of an entry of `entries_so_far` hold, and others fail."""
    return {"holds", "fails"} <= {SIDES.get(word, word) for word, *_ in entry["measures"].values()}


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


def weakest(groups, order, measure):
    """The part of an order that decides it: two neighbours where more seeds break them, else the whole order.

    An order cannot hold in more seeds than any of its links, and a link has the seeds of two settings, which may be
    more than all settings share.
    """
    def most(part):
        return measures.interval(*counts(orders(groups, part, [measure])[measure]))[1]

    links = [list(pair) for pair in itertools.pairwise(order)]
    return min([list(order), *links], key=most)  # the first of equals: the whole


def firsts(groups, best, by):
    """{measure: {seed: whether the setting `best` gets there before all others}}."""
    if best not in groups or len(groups) < 2:
        return {measure: {} for measure in by}
    return {measure: measures.first(measures.times(groups, measure), best) for measure in by}


# In words

def share(found, what="seed"):
    """"k of n seeds" of {seed: True, False or None}, and how many of the n are undecided."""
    yes, _, undecided = counts(found)
    return f"{yes} of {len(found)} {what}{'s' * (len(found) != 1)}" + f", {undecided} undecided" * bool(undecided)


def evidence_of(found, among=None, what="seed", step=""):
    """The share of yes with its 95% interval, and how many a random order gives where one of `among` is claimed.

    `step` says which step of an order was counted, where it is not the whole: `step_of`.
    """
    low, high = measures.interval(*counts(found))
    words = f"{share(found, what)}{f' for {step}' if step else ''}; 95% interval {low:.0%} to {high:.0%}"
    if not among:
        return words
    chance = len(found) / among
    about = "fewer than 1" if chance < 1 else f"about {chance:.0f}" if len(found) % among else f"{chance:.0f}"
    return f"{words}; {about} by chance"


def step_of(part, order, names):
    """A step of an order in words, "its first step, 10 digits before 100 digits"; "" for all of it."""
    if len(part) == len(order):
        return ""
    place = "first step" if part[0] == order[0] else "last step" if part[-1] == order[-1] else "step"
    return f"its {place}, {' before '.join(names[setting] for setting in part)}"


def by_steps(groups, part, order, measure, names):
    """In words, in how many seeds the part that decides an order (`weakest`) is turned round, and the rest is seen."""
    def seen(settings):
        return share(orders(groups, settings, [measure])[measure])

    if len(part) == len(order):
        return f"The order {' before '.join(names[setting] for setting in order)} is seen in {seen(order)}."
    first, second = part
    words = f"One step breaks it: {names[second]} come before {names[first]} in {seen([second, first])}."
    if first == order[0]:
        place, rest = f"From {names[second]} on", order[1:]
    else:
        place, rest = f"Up to {names[first]}", order[:order.index(second)]
    return words + (f" {place}, the order is seen in {seen(rest)}." if len(rest) > 1 else "")


def batches(value):
    """A number of batches, a half being rounded up: "never" for inf, "-" for nan."""
    return "-" if math.isnan(value) else f"{math.ceil(value)}" if math.isfinite(value) else "never"


def median(values):
    """The median number of batches of {seed: batches}, in words."""
    return batches(measures.median(values))


def reached(runs, measure):
    """The median batch of some runs by a measure, in words; "more than 300" where most runs of 300 end before it."""
    batch = measures.median(measures.by_seed(runs, measure))
    return batches(batch) if batch != math.inf else f"more than {min(measures.horizons([runs]).values())}"


def winners(times, names):
    """The settings that come first by the median of {setting: {seed: batches}}, in words; "none" if none gets there."""
    return listing([str(names[setting]) for setting in measures.earliest(times)]) or "none"


def ranking(times, names=None):
    """The settings of {setting: {seed: batches}} by their medians, in words: "GRU, RNN, LSTM".

    "A = B" is a tie; a setting that most seeds do not bring there is not ranked. "none" if there is no other.
    """
    middles = {setting: measures.median(values) for setting, values in measures.common(times).items()}
    ranks = {}
    for setting, middle in sorted(middles.items(), key=lambda item: item[1]):
        if math.isfinite(middle):
            ranks.setdefault(middle, []).append(str(names[setting] if names else setting))
    return ", ".join(" = ".join(tied) for tied in ranks.values()) or "none"


def final(runs, within=None):
    """The median loss over the last 50 batches (of the first `within`), in words."""
    return f"{measures.median(measures.by_seed(runs, measures.final_loss, within=within)):.2g}"


def interval(value, low=math.nan, high=math.nan, form="{:.2f}"):
    """"0.70 (0.66 to 0.75)", the value alone where there is no interval, "-" where there is no value."""
    value, low, high = (form.format(x) if math.isfinite(x) else "-" if math.isnan(x) else "∞"
                        for x in (value, low, high))
    return value if value == low == high or "-" in (value, low, high) else f"{value} ({low} to {high})"


def fewer(ratio):
    """What the median of `measures.ratio` saves, "31% fewer", or costs, "5% more"; "-" where it is not known."""
    if not math.isfinite(ratio[0]):
        return "-"
    return f"{abs(1 - ratio[0]):.0%} {'more' if ratio[0] > 1 else 'fewer'}"


def table(head, rows, counts=()):
    """A Markdown table; head and rows are lists of cells; those below the heads `counts` stand to the right."""
    lines = [head, ["---:" if name in counts else "---" for name in head], *rows]
    return Markdown("\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines))


def pairs(groups, pairs, by):
    """What each measure says of each pair of settings: [(a, b, {measure: (found, ratio)})].

    found: {seed: whether a gets there before b}. ratio: the batches of a over those of b in the same seeds, their
    median and its 95% interval, as `measures.ratio` gives them. `by` lists the measures.
    """
    rows = []
    for a, b in pairs:
        found, says = orders(groups, [a, b], by), {}
        for measure in by:
            times = measures.times({a: groups[a], b: groups[b]}, measure)
            says[measure] = found[measure], measures.ratio(times[a], times[b])
        rows.append((a, b, says))
    return rows


# The verdicts of the report

def record(claim, found, sentence, by_measure=None, among=None, what="seed", step="", asked=True):
    """Judge a claim and keep the verdict in records/verdicts.json; returns it as Markdown, to be shown.

    found: {seed: True, False or None}, or the same of whatever else `what` names. `sentence` says in plain words what
    was found, `by_measure` is what `flips` gives; `among` is how many orders the claimed one is one of, and `step` says
    which step of an order `found` is about. Where the settings are not those of the claim, `asked` is False: then what
    was found is shown without a verdict, and nothing is kept. Other claims' entries stay. Raises ValueError for an
    unknown claim, OSError where the folder cannot be written.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim: got {claim!r}, allowed is one of {' '.join(CLAIMS)}")
    if not asked:
        return Markdown(f"**{claim} is about other settings, so this is no verdict on it.** With these: "
                        f"{dots(plain(found))} {evidence_of(found, among, what, step)}.\n\n{sentence.strip()}")
    entry = {"verdict": judge(found), "sentence": " ".join(sentence.split()),
             "evidence": evidence_of(found, among, what, step), "seeds": plain(found),
             "by": next(iter(by_measure or {}), ""), "measures": by_measure or {}}
    files.keep("verdicts.json", entry, claim, order=list(CLAIMS).index)
    return Markdown(f"**{claim}: {entry['verdict']}.** *{CLAIMS[claim]}.*\n\n"
                    f"{dots(entry['seeds'])} True in {entry['evidence']}.\n\n{entry['sentence']}")


def dots(seeds):
    """One dot for each seed, in fives: ● for those that say yes, then ○ for no, then ◐ for undecided."""
    yes, no = (sum(seed is answer for seed in seeds) for answer in (True, False))
    marks = "●" * yes + "○" * no + "◐" * (len(seeds) - yes - no)
    return " ".join(marks[i : i + 5] for i in range(0, len(marks), 5))


def entries_so_far():
    """{claim: {"verdict", "sentence", "evidence", "seeds", "by", "measures"}} of what has been recorded so far."""
    entries = files.kept("verdicts.json")
    return {claim: entries[claim] for claim in CLAIMS if claim in entries}


def summary():
    """All claims with their verdicts so far, as a Markdown table in text."""
    rows = [[name, CLAIMS[name], f"**{entry['verdict']}**", entry["evidence"], entry["sentence"]]
            for name, entry in entries_so_far().items()]
    return table(["", "the original says", "verdict", "true in", "what we found"], rows).data


if __name__ == "__main__":
    print(summary())
