"""Every title, verdict and heading of notebooks 01-05 that states an order or a share, against the records.

`witness` works the numbers out by another road. The same checks are made of what is committed, and of what the cells
say with other parameters: two lengths, two seeds, nothing trained but the short live runs.
"""

import functools
import json
import math
import re
from fractions import Fraction
from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from conftest import ROOT
from witness import (
    NEVER,
    Said,
    compared,
    counts,
    digits,
    ends,
    first,
    group,
    layers,
    leading,
    loss,
    number,
    ranked,
    several,
    share,
    sums,
    together,
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

def baseline(said, seeds, digit_len, layers, batches, random_sums):
    runs = group(seeds, digit_len=digit_len, layers=layers)
    assert all(len(record["loss"]) == batches for record in runs.values())
    times, live = {seed: sums(record) for seed, record in runs.items()}, group([0], layers=layers)[0]
    said.titled("01_live", f"Seed 0 takes {number(sums(live), batches)} batches to 99 % of sums right")
    said.titled("01_baseline", f"99 % of sums right: the median of the seeds ({len(runs)}) takes "
                               f"{number(median(times.values()), batches)} batches")
    window = [100 <= batch <= 200 for batch in times.values()]
    said.judges("C1a", (sum(window), len(window) - sum(window), 0))
    said.says(f"{number(min(times.values()))} for the first", f"{number(max(times.values()))} for the last")
    late = {seed: [batch for batch, right in zip(record["eval_batch"], record["accuracy"], strict=True)
                   if batch > 200 and round(200 * right) < 200] for seed, record in runs.items()}
    flawless = sum(not found for found in late.values())
    said.judges("C1b", (flawless, len(runs) - flawless, 0))
    if any(late.values()):
        said.says(f"seen at batch {max(max(found) for found in late.values() if found)}.")
    falls = [[(sum(r["loss"][:10]) - sum(r["loss"][end - 10 : end])) / (sum(r["loss"][:10]) - sum(r["loss"][-10:]))
              for r in runs.values()] for end in (400, 200)]
    said.judges("C2", (sum(fall >= 0.9 for fall in falls[0]), sum(fall < 0.9 for fall in falls[0]), 0))
    for fall, end in zip(falls, (400, 200), strict=True):
        low, high = math.floor(100 * min(fall)), math.ceil(100 * max(fall))
        said.says(f"{low} % to {high} % lies before batch {end}" if end == 400 else
                  f"{low} % to {high} % before batch {end}")
    there = [batch for batch in times.values() if batch < NEVER]
    said.says(f"right in {len(there)} of {len(times)} seeds")
    one = number(sums(group([0], layers=1)[0]), batches)
    said.titled("01_one", f"Seed 0 takes {one} batches to 99 % of sums right")
    for units in (16, 32, 64, 128):
        found = [number(sums(record, 500)) for record in group(range(3), hidden=units).values()]
        said.says(f"| {units} | {' | '.join(n.replace('never', 'more than 500') for n in found)} |")
    front = [record for name, record in json.loads((ROOT / "records" / "studies" / "order.json").read_bytes()).items()
             if name.startswith("most significant first")]
    assert all(abs(share - 0.5) < 0.06 for record in front for share in record["right"][1:])  # but the last read
    said.titled("01_order", "Most significant digit first, each carry is a coin toss")
    known, right, wrong, mended = json.loads((ROOT / "records" / "carries.json").read_bytes()), 0, [], 0
    for seed, record in runs.items():
        found = known[record["weights"][:16]]
        right += found.get(f"right of {random_sums} x {digit_len}") == random_sums
        wrong += [len(max(pair, key=len)) for pair in [found["shortest wrong of 1000"]["pair"]] if pair]
        model = addrnn.Adder.load(ROOT / "records" / "runs" / "default" / f"seed{seed}.safetensors")
        a, b = found["shortest wrong of 1000"]["pair"]
        assert not adds(model, a, b)
        mended += adds(model, a + "0", b + "0")
    if random_sums == 10_000:
        said.says(f"All 10,000 random sums come out right in {right} of {len(runs)} networks")
    said.says(f"**{len(wrong)} of {len(runs)}**. Half of these sums have {sorted(wrong)[(len(wrong) - 1) // 2]} digits",
              f"{mended} of the {len(wrong)} come out right.")
    return times


def adds(model, a, b):
    """Whether torch's own forward pass adds two decimal strings rightly."""
    columns = max(len(a), len(b)) + 1
    first, second = ([int(digit) for digit in reversed(text.zfill(columns))] for text in (a, b))
    says = model(np.array([first]), np.array([second])).argmax(2)[0].tolist()
    return int("".join(map(str, reversed(says)))) == int(a) + int(b)


# 02

def weakest(groups, of, order):
    """The link of an order that fewest seeds can keep, or all of it; and its answers."""
    parts = [tuple(order), *pairwise(order)]
    answers = {part: compared(together({n: groups[n] for n in part}, of), part) for part in parts}
    part = min(parts, key=lambda part: ends(answers[part])[1])
    return part, answers[part]


def digit_length(said, digit_lens, seeds, **_):
    groups = {n: group(seeds, digit_len=n) for n in digit_lens}
    falls, rises = together(groups, loss), together(groups, sums)
    said.titled("02_digit_length", f"First by loss: {first(falls, digits)}; by whole sums: {first(rises, digits)}")
    said.titled("02_arrivals", f"First to have 99 % of sums right: {first(rises, digits)}")
    asked, answers = weakest(groups, loss, digit_lens[::-1])
    said.judges("C3", answers, math.factorial(len(asked)))
    for a, b in pairwise(digit_lens):
        left = median(falls[b][seed] / falls[a][seed] for seed in falls[a])
        said.says(f"{left:.0%} from {a} to {b}")
        for of, order in ((loss, (b, a)), (sums, (a, b))):
            both = compared(together({n: groups[n] for n in (a, b)}, of), order)
            said.says(f"| {' before '.join(map(digits, order))} | {share(both)} | **{word(*both)}** |")
    asked, answers = weakest(groups, sums, digit_lens)
    said.judges("C4", answers, math.factorial(len(asked)))
    said.says(f"{' before '.join(map(digits, asked))}: in {share(answers)}.")
    known = json.loads((ROOT / "records" / "start.json").read_bytes())
    key = "{} digits, RNN, 3 layers, 300 batches, seed {}: tenth"
    tenth = {n: {seed: known[key.format(n, seed)] for seed in range(20) if key.format(n, seed) in known}
             for n in digit_lens}
    both = {n: sorted(set(tenth[n]) & set(groups[n])) for n in digit_lens}
    if not any(both.values()):
        said.says("No remedy has a record of these seeds yet.")
        return groups, falls, rises, tenth
    long = max(n for n, same in both.items() if same)
    same = both[long]
    takes = [number(median(sums(of[long][seed]) for seed in same)) for of in (groups, tenth)]
    said.titled("02_remedies", f"Batches until 99 % of {long}-digit sums are right: {takes[0]} as trained and "
                               f"{takes[1]} with the tenth")
    return groups, falls, rises, tenth


def digit_length_headings(groups, falls, rises, tenth):
    """What the headings of 02 say, of all lengths."""
    middle = {n: median(found.values()) for n, found in rises.items()}
    gone = [[math.log(median(found[n][seed] / found[100][seed] for seed in found[n]))
             for found in (together({k: of[k] for k in (100, n)}, sums) for of in (groups, tenth))]
            for n in (1000, 5000)]
    return {
        "## By loss the longest numbers come first, by whole sums a hundred digits":
            first(falls) == "5000" and first(rises) == "100",
        "## C3: a longer number needs fewer batches, up to a limit": all(
            median(falls[b].values()) < median(falls[a].values()) for a, b in pairwise(falls)),
        "## C4: a hundred digits are right *sooner* than ten": middle[100] < middle[10],
        "**Most of the rise beyond 100 digits is gone.**": all(after < before / 2 for before, after in gone),
    }


# 03

def layer_count(said, layers_, digit_lens, seeds, long_len, **_):
    main = digit_lens[-1]
    groups = {k: group(seeds, digit_len=main, layers=k) for k in layers_}
    low, high = (together(groups, of) for of in (loss, sums))
    said.titled("03_layers", f"{main} digits, first by loss: {first(low, layers)}; by accuracy: {first(high, layers)}")
    said.titled("03_arrivals", f"{main} digits, first to have 99 % of sums right: {first(high, layers)}")
    three = 3 if 3 in layers_ else layers_[-1]
    said.judges("C5a", leading(low, three), len(layers_))
    said.judges("C5b", leading(high, three), len(layers_))
    for other in layers_:
        if other != three:
            pair = compared(together({k: groups[k] for k in (three, other)}, sums), (three, other))
            said.says(f"| {layers(three)} before {layers(other)} | {share(pair)} | **{word(*pair)}** |")
    long = {k: group(seeds, digit_len=long_len, layers=k) for k in layers_}
    order = [k for k in (4, 3, 2) if k in layers_]
    if len(order) == 3:
        claimed = together({k: long[k] for k in order}, sums)
        said.judges("C6a", compared(claimed, order), 6)
        falls = together({k: long[k] for k in order}, loss)
        near = [max(of) <= Fraction(5, 4) * min(of) for seed in falls[2] if min(
            of := [falls[k][seed] for k in order]) < NEVER]
        said.judges("C6b", (sum(near), len(near) - sum(near), len(falls[2]) - len(near)))
        seeds = set.intersection(*map(set, long.values()))
        end = min(len(found[seed]["loss"]) for found in long.values() for seed in seeds)
        missed = {k: {seed: 200 * end - sum(counts(long[k][seed])[:end]) for seed in seeds} for k in layers_}
        asked = {k: missed[k] for k in order}
        said.says(f"that order is in {share(compared(asked, order))}", f"missed with {first(missed, layers)}.")
        full = [seed for seed in seeds if all(len(found[seed]["loss"]) == 1000 for found in long.values())]
        for seed in full:
            said.says(f"| {seed} | {' | '.join(number(sums(long[k][seed])) for k in layers_)} |")
    else:
        said.judges("C6a", (0, 0, 0), 6)
        said.judges("C6b", (0, 0, 0))
    return groups, low, high, long


def explained(times):
    """Omega squared of log batches: the share of variance between settings, beyond what chance would give."""
    rows = [[math.log(x) for x in found.values()] for found in times.values()]
    every = [x for row in rows for x in row]
    mean = sum(every) / len(every)
    total = sum((x - mean) ** 2 for x in every)
    inner = sum((x - sum(row) / len(row)) ** 2 for row in rows for x in row)
    noise = inner / (len(every) - len(rows))
    return max(0.0, (total - inner - (len(rows) - 1) * noise) / (total + noise))


def layer_headings(said, groups, low, high, long):
    widths = {1: 150, 2: 94, 3: 75, 4: 64}
    equal = {k: group(range(20), digit_len=100, layers=k, hidden=hidden) for k, hidden in widths.items()}
    depth = {}
    for what, found in (("equal width", groups), ("equal parameters", equal)):
        cells = [explained({k: x for k, x in together({k: found[k] for k in range(least, 5)}, of).items()})
                 for least in (1, 2) for of in (loss, sums)]
        said.says(f"| {what} | {' | '.join(f'{cell:.0%}' for cell in cells)} |")
        depth[what] = cells
    middle = {k: median(found.values()) for k, found in high.items()}
    whole = {k: [sums(record) for record in found.values() if len(record["loss"]) == 1000] for k, found in long.items()}
    orders = {tuple(sorted((3, 4), key=lambda k: sums(long[k][seed]))) for seed in (0, 1, 2)}
    lead = leading(high, 3)
    return {
        "## At 100 digits one layer is late, and two to four are close":
            middle[1] > 1.5 * middle[2] and max(middle[k] for k in (2, 3, 4)) < 1.25 * min(middle.values()),
        "## C5: three layers are ahead in some seeds, not in all": lead[0] and lead[1],
        "## C6: three and four layers get there, but not in one order":
            max(*whole[3], *whole[4]) < NEVER and len(orders) == 2 and max(min(whole[1]), median(whole[2])) == NEVER,
        "## One layer is slow; with equal parameters, two to four hardly differ":
            max(depth["equal parameters"][2:]) < 0.1 and depth["equal parameters"][0] > 0.5,
        "in the loss at equal width, less in whole sums": depth["equal width"][2] > depth["equal width"][3] > 0.1,
    }


# 04

def cell_type(said, cells, digit_lens, seeds, rates, **_):
    main = digit_lens[-1]
    groups = {cell: group(seeds, digit_len=main, cell=cell) for cell in cells}
    low, high = (together(groups, of) for of in (loss, sums))
    by_loss, by_sums = (", ".join(" = ".join(tied) for _, tied in ranked(times)) or "none" for times in (low, high))
    said.titled("04_cell_type", f"{main} digits, in order of the median: by loss {by_loss}; by accuracy {by_sums}")
    said.judges("C8", compared(high, cells), math.factorial(len(cells)))
    said.says(f"ahead of all other cells in {share(leading(high, cells[0]))}",
              f"{by_sums} by accuracy, {by_loss} by loss")
    widths = {"RNN": 64, "GRU": 35, "LSTM": 29}
    equal = {cell: group(seeds, digit_len=main, cell=cell, hidden=widths[cell]) for cell in cells}
    own = {}
    for cell in cells:
        tried = {lr: group(seeds, digit_len=main, cell=cell, lr=lr) for lr in rates}
        tried = {lr: found for lr, found in tried.items() if found}
        best = ranked(together(tried, sums)) if len(tried) > 1 else []
        own[cell] = tried[best[0][1][0]] if best else {}
        if best:
            said.says(f"{best[0][1][0]:g} ({cell}, of {len(tried)} tried)")
    kinds = {f"{main} digits": groups, "equal parameters": equal, "own best rate": own}
    kinds = {what: together(found, sums) for what, found in kinds.items() if all(found.values())}
    lines = "; ".join(f"{what}, {share(leading(times, cells[0]))}" for what, times in kinds.items())
    said.titled("04_fair", f"The {cells[0]} is first: {lines}")
    said.says(f"with whole sums, {cells[0]}: {lines}.")
    return low, high, kinds


def cell_headings(low, high, kinds):
    late = {cell: median(found.values()) for cell, found in low.items()}
    early = {cell: median(found.values()) for cell, found in high.items()}
    return {
        "## At 100 digits the RNN's sums are early, and the LSTM's loss is late":
            early["RNN"] < 0.8 * min(early["GRU"], early["LSTM"])
            and late["LSTM"] > 1.2 * max(late["RNN"], late["GRU"]),
        "## C8: the RNN's sums are right first, but by loss the GRU is as fast":
            leading(high, "RNN")[1] == 0 and 0.9 < late["GRU"] / late["RNN"] < 1.1,
        "## The RNN is also first with equal parameters, and with each cell's own rate": all(
            leading(kinds[what], "RNN")[1:] == (0, 0) for what in ("equal parameters", "own best rate")),
    }


# 05

def learning_rate(said, lrs, slow_lrs, digit_lens, main, seeds, batches, live_batches, **_):
    live = {lr: loss(group([0], lr=lr)[0], live_batches) for lr in lrs}
    fastest = min(lrs, key=live.get)
    takes = number(live[fastest], live_batches)
    said.titled("05_live", f"At a rate of {fastest:g} the loss takes {takes} batches to 0.1")
    runs = {lr: found for lr in lrs if (found := group(seeds, digit_len=main, lr=lr))}
    high = together({lr: {seed: dict(r, loss=r["loss"][:batches]) for seed, r in found.items()}
                     for lr, found in runs.items()}, sums)
    said.titled("05_learning_rate", f"{main} digits, the fastest of the decades: {first(high, 'lr {:g}'.format)}")
    slow = [runs[lr] for lr in slow_lrs if lr in runs]
    seen = sorted(set.intersection(*map(set, slow)))
    none = [all(sums(found[seed], 500) == NEVER for found in slow) for seed in seen]
    said.judges("C9", (sum(none), len(none) - sum(none), 0))
    fast = runs.get(max(lrs), {})
    stays = [sum(r["loss"][:batches][-50:]) / 50 > 0.9 * math.log(10) for r in fast.values()]
    said.judges("C10a", (sum(stays), len(stays) - sum(stays), 0))
    never = [sums(r, batches) == NEVER for r in fast.values()]
    said.judges("C10b", (sum(never), len(never) - sum(never), 0))
    until = {lr: min(len(record["loss"]) for record in found.values()) for lr, found in runs.items()}
    patient = [f"{number(median(map(sums, runs[lr].values())), until[lr])} at {lr:g}" for lr in slow_lrs if lr in runs]
    said.says(f"right, the median over seeds: {several(patient)}.")
    best = ranked(high)[0][1][0] if ranked(high) else None
    if best and best != 1e-3:
        ratio = median(high[best][seed] / high[1e-3][seed] for seed in high[best])
        said.says(f"{best:g} takes {ratio:.0%} of the batches that 0.001 takes")
    tops = {}
    for n in digit_lens:
        found = {lr: group(seeds if n == main else seeds[:3], digit_len=n, lr=lr) for lr in lrs}
        tops[n] = together({lr: {seed: dict(r, loss=r["loss"][:batches]) for seed, r in rows.items()}
                            for lr, rows in found.items() if rows}, sums)
    said.titled("05_length", "Fastest decade by digits: " + ", ".join(
        f"{first(times, 'lr {:g}'.format)} at {n} (of {len(times)})" for n, times in tops.items() if len(times) > 1))
    return runs, tops


def rate_headings(runs, tops):
    live = {lr: loss(group([0], lr=lr)[0], 300) for lr in (1e-3, 1e-2, 1e-1)}
    last = [sum(r["loss"][950:1000]) / 50 for r in runs[1e-1].values()]
    slow = [sums(r) for r in runs[1e-4].values()]
    return {
        "## Ten digits, live: one decade more is faster, two are too many": live[1e-2] < live[1e-3] < live[1e-1],
        "## At 100 digits 0.01 is the best decade, and the next one fails":
            first(tops[100]) == "0.01" and min(map(sums, runs[1e-1].values())) == NEVER,
        "## C9: the slow rates are not there after 500 batches": all(
            sums(r, 500) == NEVER for lr in (1e-5, 1e-4) for r in runs[lr].values()),
        "## C10: at 1e-1 the loss hardly comes down, and no model converges":
            median(last) > 0.9 * math.log(10) and min(sums(r, 1000) for r in runs[1e-1].values()) == NEVER,
        "## 0.01 is the best decade at 10 and 100 digits, and beats 0.001 at 1000":
            [first(tops[n]) for n in (10, 100, 1000)] == ["0.01"] * 3 and list(tops[1000]) == [1e-3, 1e-2],
        "At 1e-4 patience helps": median(slow) < NEVER,
        "no run of 100 digits was long enough": min(map(sums, runs[1e-5].values())) == NEVER,
    }


# What is committed

# Titles that say what models do, which tests/long asks them; and those that state neither an order nor a share.
OF_MODELS = {"02_chains", "02_lead", "03_lead", "04_lead"}
NEUTRAL = {"01_network", "01_backward", "02_live", "adder"}  # of 02_live one run has no record
MODEL_HEADINGS = {
    "## Half-trained, long sums fail by their first digit", "## The first digit is learned last",
    "## At 5000 digits depth is not what is missing: the first digit is", "## C7: nothing is overfitted",
    "## The first layer keeps the carry; in four layers the others help",
    "## The gated cells wait for their first digits, too", "## At 0.1 the weights run far, and all units saturate"}
NEUTRAL_HEADINGS = {
    "## What did we learn", "## A carry travels with the columns", "## The network sees one column at a time",
    "## The loss is how surprised the network is", "## A weight gets a gradient from every column",
    "## Training is one small step, again and again", "## Is a test sum new?",
    "## From the left, every carry is a coin toss", "## Ten thousand sums right, and then this one",
    "## Three times the digits, and the loss falls sooner", "## What if the first digit gets its share?",
    "## Three ways to keep a carry"}


def baseline_headings(times):
    few = group(range(3), hidden=16)
    return {"## Every seed learns it within 250 batches": len(times) == 20 and max(times.values()) <= 250,
            "## Sixteen units are too few": len(few) == 3 and min(map(sums, few.values())) == NEVER}


def everything(number):
    """What a notebook says, checked; and {heading or sentence: whether it is so}."""
    said, given = committed(number)
    if number == "01":
        return said, baseline_headings(baseline(said, **given))
    if number == "02":
        return said, digit_length_headings(*digit_length(said, **given))
    if number == "03":
        return said, layer_headings(said, *layer_count(said, layers_=given["layers"], **given))
    if number == "04":
        return said, cell_headings(*cell_type(said, **given))
    return said, rate_headings(*learning_rate(said, **given))


@pytest.mark.parametrize("number", ["01", "02", "03", "04", "05"])
def test_what_a_notebook_says_is_what_the_records_say(number):
    said, static = everything(number)
    prose = "\n".join(cell.source for cell in said.cells if cell.cell_type == "markdown")
    for sentence, so in static.items():
        assert sentence in prose and so, sentence
    assert set(said.headings) == {line for line in static if line.startswith("## ")} | (
        set(said.headings) & (MODEL_HEADINGS | NEUTRAL_HEADINGS)), "a heading that nobody checks"
    assert said.titles.keys() == said.checked | (said.titles.keys() & (OF_MODELS | NEUTRAL)), "a title nobody checks"
    claimed = {text.split(":")[0].strip("*") for text in said.markdown if text.startswith("**C")}
    assert claimed - {"C7"} == said.judged  # C7 is asked of models


def test_the_verdicts_kept_are_those_that_the_notebooks_show():
    kept = json.loads((ROOT / "records" / "verdicts.json").read_bytes())
    shown = [text for number in ("01", "02", "03", "04", "05") for text in committed(number)[0].markdown]
    for claim, entry in kept.items():
        text = next(text for text in shown if text.startswith(f"**{claim}: "))
        assert text.startswith(f"**{claim}: {entry['verdict']}.** {entry['sentence']}") and entry["evidence"] in text


def test_the_witness_counts_as_tables_do():
    """What the checks above lean on, on cases known by heart."""
    assert [word(*answers) for answers in ((6, 0, 0), (5, 0, 0), (15, 5, 0), (3, 2, 0), (0, 6, 0))] == [
        "holds", "not settled", "mostly holds", "mixed", "fails"]
    assert counts(group([12], digit_len=100)[12])[159:169] and sums(group([12], digit_len=100)[12]) == 169


# Other parameters

SMALL = {
    "01": dict(seeds=[3, 8], random_sums=500),
    "02": dict(digit_lens=[10, 100], seeds=[1, 2], early_len=10, early_batches=[20], live_lens=[3], live_batches=20),
    "03": dict(layers=[1, 3], digit_lens=[100, 10], seeds=[0, 1], live_seeds=[0], live_batches=20),
    "04": dict(cells=["GRU", "RNN"], digit_lens=[100, 10], seeds=[5, 6], long_lens=[], live_batches=20),
    "05": dict(lrs=[1e-3, 1e-2], slow_lrs=[1e-3], digit_lens=[10], main=10, seeds=[1, 2], live_batches=20),
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
    for entry in json.loads((shelf / "records" / "verdicts.json").read_bytes()).values():
        assert entry["verdict"] in ("mixed", "not settled")  # two seeds settle nothing
