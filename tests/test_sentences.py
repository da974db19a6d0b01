"""Every title, verdict and heading of notebooks 01-05 that states an order or a share, against the records.

`witness` works the numbers out by another road. The same checks are made of what is committed, and of what the cells
say with other parameters: two lengths, two seeds, nothing trained but the short live runs.
"""

import functools
import json
import math
import re
from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from chapters import (
    appendix,
    appendix_headings,
    cell_headings,
    cell_type,
    digit_length,
    digit_length_headings,
    layer_count,
    layer_headings,
    learning_rate,
    rate_headings,
)
from conftest import ROOT
from witness import (
    NEVER,
    Said,
    counts,
    ends,
    group,
    number,
    sums,
    word,
)

import addrnn


@functools.cache
def committed(number):
    """What a notebook of the report says, and its parameters."""
    said = Said(next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))).committed()
    parameters = {}
    exec(next(cell.source for cell in said.cells if "parameters" in cell.metadata.get("tags", [])), parameters)
    return said, {name: value for name, value in parameters.items() if not name.startswith("__")}


# 01

def baseline(said, seeds, claim_seeds, digit_len, layers, batches, random_sums):
    runs = group(seeds, digit_len=digit_len, layers=layers)
    assert all(len(record["loss"]) == batches for record in runs.values())
    times, live = {seed: sums(record) for seed, record in runs.items()}, group([0], layers=layers)[0]
    said.titled("01_live", f"Seed 0 takes {number(sums(live), batches)} batches to 99% of sums right")
    asked = [sums(record) for record in group(claim_seeds, digit_len=digit_len, layers=layers).values()]
    there = [batch for batch in asked if batch < NEVER]
    said.titled("01_baseline", f"{len(there)} of {len(asked)} seeds come to 99% of sums right, at batches "
                               f"{min(there)} to {max(there)}")
    window = [100 <= batch <= 200 for batch in asked]
    said.judges("C1a", (sum(window), len(window) - sum(window), 0))
    little = "The claim misses by little: the" if 200 < median(asked) < 210 else "The"
    said.says(f"{little} median seed is good enough after {number(median(asked))} batches, the first after "
              f"{number(min(asked))}, the last after {number(max(asked))}.")
    late = {seed: [batch for batch, right in zip(record["eval_batch"], record["accuracy"], strict=True)
                   if batch > 200 and round(200 * right) < 200] for seed, record in runs.items()}
    flawless = sum(not found for found in late.values())
    said.judges("C1b", (flawless, len(runs) - flawless, 0))
    if any(late.values()):
        last = max(max(found) for found in late.values() if found)
        said.says(f"The last test with a wrong sum is that of batch {last}.")
    falls = [[(sum(r["loss"][:10]) - sum(r["loss"][end - 10 : end])) / (sum(r["loss"][:10]) - sum(r["loss"][-10:]))
              for r in runs.values()] for end in (400, 200)]
    said.judges("C2", (sum(fall >= 0.9 for fall in falls[0]), sum(fall < 0.9 for fall in falls[0]), 0))
    for fall, end in zip(falls, (400, 200), strict=True):
        low, high = math.floor(100 * min(fall)), math.ceil(100 * max(fall))
        said.says(f"{low}% to {high}% lies before batch {end}" if end == 400 else
                  f"{low}% to {high}% before batch {end}")
    one = number(sums(group([0], layers=1)[0]), batches)
    said.says(f"99% of sums right after **{one}** batches; the network of seed 0 above took {number(sums(live))}.")
    for units in (16, 32, 64, 128):
        found = [number(sums(record, 500)) for record in group(range(3), hidden=units).values()]
        said.says(f"| {units} | {' | '.join(n.replace('never', 'more than 500') for n in found)} |")
    front = [record for name, record in json.loads((ROOT / "records" / "studies" / "order.json").read_bytes()).items()
             if name.startswith("most significant first")]
    assert all(abs(share - 0.5) < 0.06 for record in front for share in record["right"][1:])  # but the last read
    said.titled("01_order", "Read from the left, each carry is a coin toss")
    carry = [(1 - 10.0**-k) / 2 for k in range(1, 11)]  # into a column above k others
    least = sum(-p * math.log(p) - (1 - p) * math.log(1 - p) for p in carry) / 11
    assert [len(record["loss"]) for record in front] == 3 * [500] and f"{least:.2f}" == f"{10 / 11 * math.log(2):.2f}"
    said.says(f"gets below about 10/11 · ln 2 = **{least:.2f}**. Ours are at "
              f"{median(sum(record['loss'][-10:]) / 10 for record in front):.2f} after 500 batches.",
              f"right in only {median(record['right'][0] for record in front):.0%} of sums. Where it is wrong")
    known, right, wrong, mended = json.loads((ROOT / "records" / "carries.json").read_bytes()), 0, [], 0
    for seed, record in runs.items():
        found = known[record["weights"][:16]]
        right += found.get(f"right of {random_sums} x {digit_len}") == random_sums
        wrong += [len(max(pair, key=len)) for pair in [found["shortest wrong of 1000"]["pair"]] if pair]
        model = addrnn.Adder.load(ROOT / "records" / "runs" / "default" / f"seed{seed}.safetensors")
        a, b = found["shortest wrong of 1000"]["pair"]
        assert not adds(model, a, b) and not adds(model, a.zfill(10), b.zfill(10))
        mended += adds(model, a + "0", b + "0")
    if random_sums == 10_000:
        said.says(f"All 10,000 random sums are right in {right} of {len(runs)} networks")
    said.says(f"**{len(wrong)} of {len(runs)}**, of at most {max(wrong)} digits.",
              f"{mended} of the {len(wrong)} are right.")
    return times


def adds(model, a, b):
    """Whether torch's own forward pass adds two decimal strings rightly."""
    columns = max(len(a), len(b)) + 1
    first, second = ([int(digit) for digit in reversed(text.zfill(columns))] for text in (a, b))
    says = model(np.array([first]), np.array([second])).argmax(2)[0].tolist()
    return int("".join(map(str, reversed(says)))) == int(a) + int(b)


# What is committed

# Titles that state neither an order nor a share; and headings that say what models do, which tests/long asks them.
NEUTRAL = {"01_network", "01_backward", "adder"}
MODEL_HEADINGS = {"## In the stall, nearly only the ones digit is wrong"}
NEUTRAL_HEADINGS = {
    "## What did we learn", "## A carry travels with the columns", "## The network sees one column at a time",
    "## The loss is how surprised the network is", "## A weight gets a gradient from every column",
    "## Training is one small step, again and again",
    "## From the left, every carry is a coin toss",
    "## What it means", "## A gate says how much gets through"}


def baseline_headings(said, times):
    few = group(range(3), hidden=16)
    sized = [np.array([sums(record, 500) for record in group(range(3), hidden=n).values()]) for n in (32, 64, 128)]
    asked = group(range(40))
    takes = [sums(record) for record in asked.values()]
    window = [100 <= batch <= 200 for batch in takes]
    found = {seed: json.loads((ROOT / "records" / "carries.json").read_bytes())[record["weights"][:16]]
             for seed, record in group(range(20)).items()}
    pairs = {seed: entry["shortest wrong of 1000"]["pair"] for seed, entry in found.items()}
    nines = ["".join("9" if int(x) + int(y) == 9 else "-" for x, y in zip(*(
        part[::-1].ljust(5, "0") for part in pair), strict=True)) for pair in pairs.values()]
    said.says("| 8 | 7000 + 6999 | 1**4**999 | 13999 |", "| 10 | 8000 + 3000 | 1**0**000 | 11000 |",
              "| 14 | 4955 + 4053 | **8**008 | 9008 |")
    shown = [cell.source for cell in said.cells if "shown" in cell.metadata.get("tags", [])]
    program = [source for source in shown if source.startswith(("def draw", "class Net", "def score", "def train"))]
    low, high = ends((13, 27, 0))
    middle = sum(100 <= batch - 4.5 <= 200 for batch in takes)
    return {"## Every seed learns it, around batch 200":
                (len(times), len(takes)) == (20, 40) and 150 < min(takes) < max(takes) < 250,
            "Dated by the middle of those ten, 19 of 40 seeds are in time: mixed":
                middle == 19 and len(takes) == 40 and word(middle, 40 - middle, 0) == "mixed",
            "with 90% the first claim would hold": all(
                100 <= sums(record, least=1800) <= 200 for record in asked.values()),
            "13 of 40 say yes, the interval is 19% to 49%, so it mostly fails": word(13, 27, 0) == "mostly fails"
                and (sum(window), f"{low:.0%}", f"{high:.0%}") == (13, "19%", "49%"),
            "After twenty seeds C1a was mixed, so we ran twenty more": word(
                sum(window[:20]), 20 - sum(window[:20]), 0) == "mixed",
            "five coins fall alike, all heads or all tails, once in sixteen throws": 2 / 2**5 == 1 / 16,
            "Six seeds of six settle a claim. Five of five do not": (word(6, 0, 0), word(5, 0, 0)) == (
                "holds", "not settled"),
            "`draw`, `Net`, `score` and `train` are forty lines": len(program) == 4 and 36 <= sum(
                len(source.splitlines()) for source in program) <= 44,
            "## With ten digits every test sum is new": seen_in_training(10) == 0,
            "Seventeen of the twenty sums found begin with three or more such columns":
                sum(row.startswith("999") for row in nines) == 17 and len(nines) == 20,
            "In 7000 + 6999 the three columns that are read first sum to 9 and carry nothing":
                pairs[8] == ["7000", "6999"],
            "about ten of the ten thousand random sums have it, and all are right":
                10_000 / 10**3 == 10 and all(entry["right of 10000 x 10"] == 10_000 for entry in found.values()),
            "Nor is it needed. In 4955 + 4053 a carry gets lost. In 8000 + 3000 no carry comes in, and still a digit "
            "is one too small": (pairs[14], pairs[10]) == (["4955", "4053"], ["8000", "3000"]),
            "After about 200 batches a small network adds nearly all random sums, and after 1000 none of the twenty "
            "adds all sums": 190 < median(takes) < 210 and len(pairs) == 20 and all(pairs.values()),
            "## What it means: a perfect test says nothing of rare sums": all(
                entry["right of 10000 x 10"] == 10_000 for entry in found.values()) and all(pairs.values()),
            "## All twenty networks get ten thousand random sums right, and each fails at a short one": len(pairs) == 20
                and all(entry["right of 10000 x 10"] == 10_000 for entry in found.values())
                and max(len(digits) for pair in pairs.values() for digits in pair) == 5,
            "## More units, fewer batches": len(few) == 3
                and min(map(sums, few.values())) == NEVER  # "Sixteen are too few for 500 batches"
                and all((slow > fast).all() for slow, fast in pairwise(sized))}


def seen_in_training(digit_len):
    """How many of the test sums of seed 0 are among the pairs of its first 1000 batches."""
    _, training, testing, _ = addrnn.streams(0)
    batches = [np.hstack(addrnn.sample(200, digit_len, training)[:2]) for _ in range(1000)]
    known = set(map(tuple, np.concatenate(batches).tolist()))
    return sum(tuple(pair) in known for pair in np.hstack(addrnn.sample(200, digit_len, testing)[:2]).tolist())


def everything(number):
    """What a notebook says, checked; and {heading or sentence: whether it is so}."""
    said, given = committed(number)
    if number == "01":
        return said, baseline_headings(said, baseline(said, **given))
    if number == "02":
        return said, digit_length_headings(said, *digit_length(said, **given))
    if number == "03":
        return said, layer_headings(said, *layer_count(said, layers_=given["layers"], **given))
    if number == "04":
        return said, cell_headings(said, *cell_type(said, **given))
    if number == "08":
        return said, appendix_headings(*appendix(said, **given))
    return said, rate_headings(said, *learning_rate(said, **given))


@pytest.mark.parametrize("number", ["01", "02", "03", "04", "05", "08"])
def test_what_a_notebook_says_is_what_the_records_say(number):
    said, static = everything(number)
    prose = "\n".join(cell.source for cell in said.cells if cell.cell_type == "markdown")
    for sentence, so in static.items():
        assert sentence in prose and so, sentence
    assert set(said.headings) == {line for line in static if line.startswith("## ")} | (
        set(said.headings) & (MODEL_HEADINGS | NEUTRAL_HEADINGS)), "a heading that nobody checks"
    assert said.titles.keys() == said.checked | (said.titles.keys() & NEUTRAL), "a title nobody checks"
    claimed = {text.split(":")[0].strip("*") for text in said.markdown if text.startswith("**C")}
    assert claimed - {"C7"} == said.judged  # C7 is asked of models


def test_the_verdicts_kept_are_those_that_the_notebooks_show():
    kept = json.loads((ROOT / "records" / "verdicts.json").read_bytes())
    shown = [text for number in ("01", "02", "03", "04", "05") for text in committed(number)[0].markdown]
    for claim, entry in kept.items():
        text = next(text for text in shown if text.startswith(f"**{claim}: "))
        assert text.startswith(f"**{claim}: {entry['verdict']}.** *")
        assert f" True in {entry['evidence']}." in text and text.endswith(entry["sentence"])


def test_the_witness_counts_as_tables_do():
    """What the checks above lean on, on cases known by heart."""
    assert [word(*answers) for answers in ((6, 0, 0), (5, 0, 0), (15, 5, 0), (3, 2, 0), (0, 6, 0))] == [
        "holds", "not settled", "mostly holds", "mixed", "fails"]
    assert counts(group([12], digit_len=100)[12])[159:169] and sums(group([12], digit_len=100)[12]) == 169


# Other parameters

SMALL = {
    "01": dict(seeds=[3, 8], claim_seeds=[3, 8], random_sums=500),
    "02": dict(digit_lens=[10, 100], seeds=[1, 2], early_len=10, early_batches=[20], live_lens=[3], live_batches=20),
    "03": dict(layers=[1, 3], digit_len=100, seeds=[0, 1], long_len=1000, live_layers=[1], live_batches=20),
    "04": dict(cells=["GRU", "RNN"], digit_len=100, seeds=[5, 6], live_batches=20),
    "05": dict(lrs=[1e-3, 1e-2], slow_lrs=[1e-3], digit_lens=[10], main=10, seeds=[1, 2], live_batches=20,
               spoiled_batches=20),
}
CHECKS = {"01": baseline, "02": digit_length, "03": layer_count, "04": cell_type, "05": learning_rate}


@pytest.mark.parametrize("number", SMALL)
def test_with_other_parameters_a_notebook_says_nothing_untrue(number, shelf):
    said, given = committed(number)
    said = Said(next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))).run(**SMALL[number])
    given = given | SMALL[number]
    CHECKS[number](said, **given | ({"layers_": given["layers"]} if number == "03" else {}))
    prose = [*(text for text in said.markdown if not text.startswith("```")), *said.titles.values()]
    assert not re.search(r"\b(nan|inf|None)\b|batch never|after never|never batches", "\n".join(prose))
    kept = shelf / "records" / "verdicts.json"
    assert kept.exists() == (number == "01"), "a verdict on a claim about other settings is kept"
    for entry in json.loads(kept.read_bytes()).values() if kept.exists() else []:
        assert entry["verdict"] in ("mixed", "not settled")  # two seeds settle nothing
