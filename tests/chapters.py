"""What notebooks 02-05 and 08 say, by the road of `witness`: a function for what is computed, one for what is written.

The second gives {heading or sentence: whether it is so}.
"""

import functools
import json
import math
import re
from fractions import Fraction
from itertools import pairwise
from statistics import median

import numpy as np
from conftest import ROOT
from witness import (
    NEVER,
    compared,
    counts,
    crossing,
    digits,
    ends,
    first,
    group,
    layers,
    leading,
    loss,
    number,
    ranked,
    ratio,
    several,
    share,
    sums,
    together,
    word,
)

import addrnn

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
    said.titled("02_digit_length", f"First to a loss of 0.1: {first(falls, digits)}; "
                                   f"to 99 % of sums: {first(rises, digits)}")
    asked, answers = weakest(groups, loss, digit_lens[::-1])
    said.judges("C3", answers, math.factorial(len(asked)))
    for a, b in pairwise(digit_lens):
        said.says(f"{b} digits need {ratio(falls, b, a):.0%} of the batches of {a}")
    asked, answers = weakest(groups, sums, digit_lens)
    said.judges("C4", answers, math.factorial(len(asked)))
    said.says(f"{' before '.join(map(digits, asked))}: in {share(answers)}.")
    looks = half_trained("RNN")
    said.says(f"**{sum(set(look['off']) == {0, 1} for look in looks)} of {len(looks)}** half-trained models that err")
    shares = {(a, b): share_alone(a, b) for a, b in ((100, 1000), (1000, 100))}
    for parts, before in zip(shares.values(), ("the share alone makes", "it makes"), strict=True):
        low, high = math.floor(100 * min(parts)), math.ceil(100 * max(parts))
        said.says(f"{before} {low} % to {high} %", f"**{median(parts):.0%}** in the median of {len(parts)}.")
    said.titled("02_leads", "A column in front repairs the first digit, one that sums to 9 least")
    said.titled("02_dose", "The first digit's share of the loss, more than the length, decides how long it takes")
    return groups, falls, rises, shares


def study(name):
    return json.loads((ROOT / "records" / "studies" / f"{name}.json").read_bytes())


def half_trained(cell):
    """What models of a cell that get some first digit wrong do."""
    found = study("first_digit")["half-trained"]
    return [look for name, look in found.items() if f", {cell}, " in name and any(look["off"])]


def dosed(length, of):
    """{seed: batches} of a length whose first digit has the share that it has among `of` digits."""
    if length == of:
        return {seed: sums(record) for seed, record in group(range(10), digit_len=length).items()}
    found = {seed: study("first_digit").get(f"{length} digits, share of {of} digits, weights {seed}, data {seed}")
             for seed in range(10)}
    return {seed: crossing(run["sums"], lambda right: right >= 1980) for seed, run in found.items() if run}


def share_alone(length, of):
    """How much of the way from one length to another its share makes, in log batches, of each seed that has all."""
    own, given, other = (dosed(*which) for which in ((length, length), (length, of), (of, of)))
    return [math.log(given[s] / own[s]) / math.log(other[s] / own[s]) for s in own if s in given and s in other]


def same_ranks(short, long):
    """Spearman's correlation of the batches that seeds take at two lengths."""
    times = [{seed: sums(record) for seed, record in group(range(10), digit_len=n).items()} for n in (short, long)]
    seeds = sorted(set(times[0]) & set(times[1]))
    ranks = [[sum(of[a] > of[b] for b in seeds) + sum(of[a] == of[b] for b in seeds) / 2 for a in seeds]
             for of in times]
    return float(np.corrcoef(*ranks)[0, 1])


def digit_length_headings(said, groups, falls, rises, shares):
    """What the prose of 02 says, of all lengths."""
    middle = {n: median(found.values()) for n, found in rises.items()}
    saved = median(falls[1000][seed] - falls[5000][seed] for seed in falls[5000])
    leads = [median(look["leads"][n] for look in half_trained("RNN")) for n in range(19)]
    many, few, long = map(int, re.search(r"1800 pairs \*\*(\d+)\*\*, 10 digits and 200 pairs (\d+) and "
                                         r"100 digits and 200 pairs (\d+)", said.text).groups())
    gpu = ["device" in record and "H100" in record["device"] for record in groups[5000].values()]
    return {
        "## To a loss of 0.1 the longest numbers come first, by whole sums a hundred digits":
            first(falls) == "5000" and first(rises) == "100",
        "so most of its seeds here are [a GPU's]": sum(gpu) > len(gpu) / 2,
        "## C3: the order holds, but the last step saves next to nothing":
            compared(falls, (5000, 1000, 100, 10))[1:] == (0, 0) and ratio(falls, 5000, 1000) > 0.97,
        "all seeds agree on about two batches": 1 <= saved <= 3,
        "At a loss of 0.01 the order [is mixed]": word(*weakest(
            groups, functools.partial(loss, level=Fraction(1, 100)), (5000, 1000, 100, 10))[1]) == "mixed",
        "## C4: a hundred digits are right *sooner* than ten": middle[100] < middle[10],
        "Beyond 100 digits the claimed order holds": compared(rises, (100, 1000, 5000))[1:] == (0, 0),
        "## The state before any digit reads as a carry": all(
            set(look["off"]) == {0, 1} for look in half_trained("RNN")),
        "One that sums to 9 should help least": leads[9] < 0.95 and min(leads[:9] + leads[10:]) > 0.99,
        "## With the share of 1000 digits, 100 digits take about as long as 1000": abs(math.log(median(
            batches / dosed(1000, 1000)[seed] for seed, batches in dosed(100, 1000).items()))) < 0.1,
        "in the median seed the share explains about all of the delay, but single seeds scatter widely": all(
            0.9 < median(parts) < 1.1 and min(parts) < 0.7 and max(parts) > 1.1 for parts in shares.values()),
        "Seeds that are late at 100 digits are late at 1000 too": same_ranks(100, 1000) > 0.6,
        "at this seed the number of digits explains most of the difference, not all":
            0 < many - long < (few - long) / 2,
    }


# 03

def layer_count(said, layers_, digit_len, seeds, long_len, **_):
    groups = {k: group(seeds, digit_len=digit_len, layers=k) for k in layers_}
    deep = {k: found for k, found in groups.items() if k > 1}
    asked = deep if len(deep) > 1 else groups
    low, high = (together(asked, of) for of in (loss, sums))
    said.titled("03_layers", f"{digit_len} digits, first to a loss of 0.1: {first(low, layers)}; "
                             f"to 99 % of sums: {first(high, layers)}")
    three = 3 if 3 in layers_ else layers_[-1]
    for claim, times in (("C5a", low), ("C5b", high)):
        said.judges(claim, leading(times, three), len(asked))
        said.says(f"{layers(three)} are ahead of the others in {share(leading(times, three))}; the median has "
                  f"{first(times, layers)} first.")
    long = {k: group(seeds, digit_len=long_len, layers=k) for k in layers_}
    order = [k for k in (4, 3, 2) if k in layers_]
    far = together(long, sums)
    came = several([f"{sum(batch < NEVER for batch in found.values())} with {layers(k)}" for k, found in far.items()])
    said.titled("03_arrivals", f"{long_len} digits, seeds that have 99 % of sums right in time: {came}")
    if len(order) == 3:
        said.judges("C6a", compared(together({k: long[k] for k in order}, sums), order), 6)
        for a, b in pairwise(order):
            answers = compared(together({k: long[k] for k in (a, b)}, sums), (a, b))
            said.says(f"{a} before {b} layers in {share(answers)}")
        yes, no, undecided = compared(together({k: long[k] for k in (3, 2)}, loss), (3, 2))
        said.judges("C6b", (no, yes, undecided))
        said.says(f"A loss of 0.1 comes with 3 layers before 2 in {share((yes, no, undecided))}.")
        for level, name in ((Fraction(1, 10), "0.1"), (Fraction(1, 100), "0.01")):
            times = together({k: long[k] for k in (3, 2)}, functools.partial(loss, level=level))
            said.says(f"{ratio(times, 3, 2):.0%} (loss below {name})")
    else:
        said.judges("C6a", (0, 0, 0), 6)
        said.judges("C6b", (0, 0, 0))
    return groups, long


def explained(times):
    """Omega squared of log batches: the share of variance between settings, beyond what chance would give."""
    rows = [[math.log(x) for x in found.values()] for found in times.values()]
    every = [x for row in rows for x in row]
    mean = sum(every) / len(every)
    total = sum((x - mean) ** 2 for x in every)
    inner = sum((x - sum(row) / len(row)) ** 2 for row in rows for x in row)
    noise = inner / (len(every) - len(rows))
    return max(0.0, (total - inner - (len(rows) - 1) * noise) / (total + noise))


def layer_headings(said, groups, long):
    widths = {1: 150, 2: 94, 3: 75, 4: 64}
    equal = {k: group(range(20), digit_len=100, layers=k, hidden=hidden) for k, hidden in widths.items()}
    wide, fair = (explained(together({k: found[k] for k in (2, 3, 4)}, loss)) for found in (groups, equal))
    said.says(f"{wide:.0%} of the variance of log batches", f"at equal width, **{fair:.0%}** at equal parameters.")
    high, low = together(groups, sums), together(groups, loss)
    middle = {k: median(found.values()) for k, found in high.items()}
    far, near = together(long, sums), together(long, loss)
    start_ = json.loads((ROOT / "records" / "start.json").read_bytes())
    key = "5000 digits, RNN, {} layers, 300 batches, seed {}: tenth"
    fair_start = {k: {seed: start_[key.format(k, seed)] for seed in range(20) if key.format(k, seed) in start_}
                  for k in (4, 3, 2)}
    said.says(f"right in the claimed order in {share(compared(together(fair_start, sums), (4, 3, 2)))}, "
              f"and with 3 layers before 4 in {share(compared(together(fair_start, sums), (3, 4)))}.")
    live = {k: sums(group([0], layers=k)[0], 300) for k in (1, 3)}
    said.titled("03_live", f"Batches until 99 % of sums are right: {number(live[1], 300)} with 1 layer and "
                           f"{number(live[3], 300)} with 3 layers")
    ten = [sums(record) for record in group(range(3)).values()]
    six = re.search(r"with six layers: (.*); with three: "
                    + several(ten) + r"\.", said.text)[1].replace(" and ", ", ").split(", ")
    rarely = [sum(batch < NEVER for batch in found.values()) for found in far.values()]
    stricter = [leading(together({k: groups[k] for k in (2, 3, 4)}, functools.partial(sums, least=least)), 3)
                for least in (1000, 1600, 1800, 1900, 1960)]
    return {
        "## Ten digits, live: one layer is late": live[3] < live[1],
        "## At 100 digits one layer is late, and two to four are close":
            middle[1] > 1.5 * middle[2] and max(middle[k] for k in (2, 3, 4)) < 1.25 * min(middle.values()),
        "One layer is never ahead of three": all(compared(times, (1, 3))[0] == 0 for times in (high, low)),
        "asked at 98 % of sums or fewer, it is mixed": all(word(*answers) == "mixed" for answers in stricter),
        "## At 5000 digits three and four layers share the lead, two follow, one rarely arrives":
            abs(compared(far, (4, 3))[0] - compared(far, (3, 4))[0]) <= 2 and compared(far, (3, 2))[1] == 0
            and compared(far, (4, 2))[0] > 2 * compared(far, (2, 4))[0] and rarely[0] < rarely[1] < min(rarely[2:]),
        "Most of these seeds were trained [on a GPU]": sum("H100" in record.get("device", "") for found in long.values()
                                                         for record in found.values()) > 24,
        "at 80 % of sums or fewer, it mostly fails": all(word(*compared(together(
            {k: long[k] for k in (4, 3, 2)}, functools.partial(sums, least=least)), (4, 3, 2))) == "mostly fails"
            for least in (1000, 1600)),
        "So the claim fails clearly early in training, and less so late": ratio(near, 3, 2) < ratio(
            together(long, functools.partial(loss, level=Fraction(1, 100))), 3, 2) < 1,
        "One layer is late.": all(
            ratio(together({1: found[1], k: found[k]}, loss), 1, k) > 1.1
            for found in (groups, equal) for k in (2, 3, 4)),
        "From two to four, more layers bring the loss down sooner, and at equal parameters hardly so":
            fair < 0.1 < wide,
        "whole sums gain nothing from the fourth": compared(high, (4, 3))[0] < compared(high, (3, 4))[0],
        "six layers are later than three in each of these seeds": all(
            int(batch.removeprefix("more than ")) >= own for batch, own in zip(six, ten, strict=True)),
    }


# 04

def cell_type(said, cells, digit_len, seeds, rates, sized_batches, **_):
    groups = {cell: group(seeds, digit_len=digit_len, cell=cell) for cell in cells}
    low, high = (together(groups, of) for of in (loss, sums))
    said.titled("04_cell_type", f"At {digit_len} digits the {first(high)} is first in whole sums, the "
                                f"{several(ranked(low)[-1][1])} last in loss")
    said.judges("C8", compared(high, cells), math.factorial(len(cells)))
    said.says(f"The {cells[0]} is the first to have 99% of its sums right in {share(leading(high, cells[0]))}.")
    if len(cells) > 2:
        pair = {cell: groups[cell] for cell in cells[1:]}
        at_99, at_90 = (share(compared(together(pair, of), cells[1:])) for of in (sums, most))
        said.says(f"The {cells[1]} comes before the {cells[2]} in {at_99}.",
                  f"With a threshold of 90%, the {cells[1]} comes before the {cells[2]} in {at_90}.")
    widths = {"RNN": (64, 115, 128, 150), "GRU": (35, 64), "LSTM": (29, 64)}
    sizes = {cell: {} for cell in cells}
    for cell in cells:
        for hidden in widths[cell]:
            found = group(seeds[:5], digit_len=digit_len, cell=cell, hidden=hidden)
            times = {seed: sums(record) for seed, record in found.items()
                     if len(record["batch_accuracy"]) in sized_batches}
            if times:
                sizes[cell][hidden] = times
    middles = {cell: [median(times.values()) for times in found.values()] for cell, found in sizes.items() if found}
    early = [cell for cell, mine in middles.items()
             if all(mine_ < other for mine_ in mine for name in middles if name != cell for other in middles[name])]
    said.titled("04_size", f"The {early[0]} is first at every size" if early and len(middles) > 1 else
                "Batches by the number of parameters")
    own, best = {}, {}
    for cell in cells:
        tried = {lr: group(seeds, digit_len=digit_len, cell=cell, lr=lr) for lr in rates}
        tried = {lr: found for lr, found in tried.items() if found}
        order = ranked(together(tried, sums)) if len(tried) > 1 else []
        own[cell] = tried[order[0][1][0]] if order else {}
        best[cell] = order[0][1][0] if order else None
    if all(own.values()):
        answers = leading(together(own, sums), cells[0])
        named = f"{best[cells[0]]} for every cell" if len(set(best.values())) == 1 else several(
            [f"{rate} for the {cell}" for cell, rate in best.items()])
        few = " (too few for a verdict)" if word(*answers) == "not settled" else ""
        said.says(f"The best rate is {named}. With it, the {cells[0]} is first in {share(answers)}{few}.")
    led = column_first(cells, seeds, digit_len)
    behind, still = ({cell: median(times[k].values()) - median(led[cells[0]][k].values())
                      for cell, times in led.items() if cell != cells[0]} for k in (0, 1))
    if behind and all(still[cell] < behind[cell] / 2 for cell in behind):
        said.titled("04_lead", f"A column 0 + 0 read first takes most of the {cells[0]}'s lead away")
        parts = [f"over the {cell} from {number(behind[cell])} batches to {number(still[cell])}" for cell in behind]
        said.says(f"In the median of these seeds the {cells[0]}'s lead shrinks: {several(parts)}.")
    return low, high, sizes, own, led


def most(record, within=NEVER):
    """The batch by which 1800 of the last 2000 sums are right."""
    return sums(record, within, least=1800)


def column_first(cells, seeds, digit_len):
    """{cell: ({seed: batches}, the same where a column 0 + 0 was read first)} of the seeds that were trained so."""
    kept = json.loads((ROOT / "records" / "start.json").read_bytes())
    found = {}
    for cell in cells:
        plain = group(seeds, digit_len=digit_len, cell=cell)
        names = {seed: f"{digit_len} digits, {cell}, 3 layers, 300 batches, seed {seed}: lead" for seed in plain}
        led = {seed: sums(kept[name]) for seed, name in names.items() if name in kept}
        if led:
            found[cell] = {seed: sums(plain[seed]) for seed in led}, led
    return found


def cell_headings(said, low, high, sizes, own, led):
    late = {cell: median(found.values()) for cell, found in low.items()}
    early = {cell: median(found.values()) for cell, found in high.items()}
    live_sums = {cell: sums(group([0], cell=cell)[0], 300) for cell in ("RNN", "GRU", "LSTM")}
    wide, plain, gated = sizes["RNN"][115], sizes["RNN"][64], sizes["GRU"][64]
    both = sorted(set(wide) & set(plain))
    padded = {cell: re.search(rf"\| {cell} \| (.*) \| (.*) \|", said.text).groups() for cell in live_sums}
    padded = {cell: [NEVER if text == "more than 300" else int(text) for text in texts]
              for cell, texts in padded.items()}
    assert all(padded[cell][0] == live_sums[cell] for cell in live_sums)
    middles = {cell: {hidden: median(times.values()) for hidden, times in found.items()}
               for cell, found in sizes.items()}
    then, now = ({cell: median(times[k].values()) for cell, times in led.items()} for k in (0, 1))
    weights = {cell: [p.numel() for p in addrnn.Adder(addrnn.Config(cell=cell)).rnn.parameters()]
               for cell in live_sums}
    parameters = {(cell, hidden): sum(p.numel() for p in addrnn.Adder(addrnn.Config(
        cell=cell, hidden=hidden)).parameters()) for cell, found in sizes.items() for hidden in found}
    loose = {cell: group(range(20), digit_len=100, cell=cell) for cell in ("RNN", "GRU", "LSTM")}
    return {
        "So a GRU has three times as many weights as an RNN of the same width, and an LSTM four times":
            weights["GRU"] == [3 * n for n in weights["RNN"]] and weights["LSTM"] == [4 * n for n in weights["RNN"]],
        "## At 100 digits the RNN is first in whole sums, and the LSTM last in loss":
            early["RNN"] < 0.8 * min(early["GRU"], early["LSTM"])
            and late["LSTM"] > 1.2 * max(late["RNN"], late["GRU"]),
        "By loss (left), the RNN and the GRU are level. In whole sums (right), the GRU falls behind the RNN":
            0.95 < late["GRU"] / late["RNN"] < 1.05 and early["GRU"] > 1.2 * early["RNN"],
        "## C8: the RNN is first, but which cell is second depends on the threshold":
            leading(high, "RNN")[1] == 0 and word(*compared(high, ("GRU", "LSTM"))) == "mixed"
            and word(*compared(together(loose, most), ("GRU", "LSTM"))) == "mostly holds",
        "they meet near 99%": 0.95 < early["GRU"] / early["LSTM"] < 1.05,
        "at 90% it mostly holds": word(*compared(together(loose, most), ("RNN", "GRU", "LSTM"))) == "mostly holds",
        "An RNN of 115 units has about as many parameters as a GRU of 64":
            0.99 < parameters["RNN", 115] / parameters["GRU", 64] < 1.01,
        "A GRU of 35 units, or an LSTM of 29, has about as many as an RNN of 64":
            all(0.98 < parameters[other] / parameters["RNN", 64] < 1.02 for other in (("GRU", 35), ("LSTM", 29))),
        "## The reason is neither size nor the learning rate": all(
            found[min(found)] > found[max(found)] for found in middles.values())
            and leading(together(own, sums), "RNN")[1:] == (0, 0),
        "the largest network of each cell is sooner than its smallest. And at equal size the RNN is still first": all(
            found[min(found)] > found[max(found)] for found in middles.values())
            and all(wide[s] < gated[s] for s in both)
            and max(plain.values()) < min(*sizes["GRU"][35].values(), *sizes["LSTM"][29].values()),
        "by loss the GRU is as fast as the RNN": 0.95 < late["GRU"] / late["RNN"] < 1.05,
        "## Read a column 0 + 0 first, and the gated cells nearly catch up": all(
            now[cell] / now["RNN"] < 1.1 < 1.3 < then[cell] / then["RNN"] for cell in ("GRU", "LSTM")),
        "The column does not help the RNN": now["RNN"] >= then["RNN"],
        "The GRU and the LSTM are sooner with it in each of the four seeds": all(
            list(after) == [0, 1, 2, 3] and all(after[seed] < before[seed] for seed in after)
            for cell, (before, after) in led.items() if cell != "RNN"),
        "Figure 4.2 shows a fifth seed": list(plain) == [0, 1, 2, 3, 4],
        "first to get whole sums right, at every size tried and at each cell's best rate":
            max(middles["RNN"].values()) < min(min(middles["GRU"].values()), min(middles["LSTM"].values()))
            and leading(together(own, sums), "RNN")[1:] == (0, 0),
        "the RNN and the GRU even need more batches": all(padded[c][1] > padded[c][0] for c in ("RNN", "GRU")),
        "The LSTM stays last": padded["LSTM"][1] > max(padded["RNN"][1], padded["GRU"][1]),
    }


# 05

def plain_decimal(lr):
    """0.00001 for 1e-5."""
    return f"{lr:.10f}".rstrip("0")


def learning_rate(said, lrs, slow_lrs, digit_lens, main, seeds, batches, **_):
    runs = {lr: found for lr in lrs if (found := group(seeds, digit_len=main, lr=lr))}
    high = together({lr: {seed: dict(r, loss=r["loss"][:batches]) for seed, r in found.items()}
                     for lr, found in runs.items()}, sums)
    said.titled("05_learning_rate", f"At {main} digits a rate of {first(high, plain_decimal)} is first to 99% of sums "
                                    "right")
    slow = [runs[lr] for lr in slow_lrs if lr in runs]
    seen = sorted(set.intersection(*map(set, slow)))
    none = [all(sums(found[seed], 500) == NEVER for found in slow) for seed in seen]
    said.judges("C9", (sum(none), len(none) - sum(none), 0))
    fast = runs.get(max(lrs), {})
    last = {seed: sum(r["loss"][:batches][-50:]) / 50 for seed, r in fast.items()}
    stays = [end > 0.9 * math.log(10) for end in last.values()]
    said.judges("C10a", (sum(stays), len(stays) - sum(stays), 0))
    said.says(f"At {plain_decimal(max(lrs))} the median seed ends at a loss of {median(last.values()):.2f}; guessing "
              "costs 2.30.")
    never = [sums(r, batches) == NEVER for r in fast.values()]
    said.judges("C10b", (sum(never), len(never) - sum(never), 0))
    top = max(max(counts(r)[:batches]) for r in fast.values())
    said.says(f"Even in the best batch of any seed at {plain_decimal(max(lrs))}, {top / 200:.0%} of the sums are "
              "right.")
    until = {lr: min(len(record["loss"]) for record in found.values()) for lr, found in runs.items()}
    patient = [f"{number(median(map(sums, runs[lr].values())), until[lr])} batches at {plain_decimal(lr)}"
               for lr in slow_lrs[::-1] if lr in runs]
    said.says(f"To converge, the median seed takes {several(patient)}.")
    for n in digit_lens[:2]:
        for cell in ("RNN", "GRU", "LSTM"):
            found = group(seeds, digit_len=n, cell=cell, lr=max(lrs)).values()
            down = sum(sum(r["loss"][:batches][-50:]) / 50 < 0.9 * math.log(10) for r in found)
            came = sum(sums(r, batches) < NEVER for r in found)
            if found:
                said.says(f"| {n} digits, {cell} | {share((down, len(found) - down, 0))} | "
                          f"{share((came, len(found) - came, 0))} |")
    saves = {}
    for n in digit_lens:
        good = {lr: {seed: sums(r) for seed, r in group(seeds if n == main else seeds[:3], digit_len=n, lr=lr).items()}
                for lr in (1e-3, 1e-2) if lr in lrs}
        both = set.intersection(*map(set, good.values()))
        if both and len(good) == 2:
            middles = [median(found[seed] for seed in both) for found in good.values()]
            said.says(f"| {n} digits | {len(both)} | {number(middles[0])} | {number(middles[1])} |")
            saves[n] = middles[1] / middles[0]
    return runs, saves, high


def trials(said):
    """{first steps: (mean size of a weight, share of states saturated, batches of each seed)} of the table in 05."""
    rows = {}
    for line in said.text.splitlines():
        if line.startswith(("| none", "| 1 at", "| 3 at", "| 5 at")):
            name, size, full, batches = line.strip("| ").split(" | ")
            never = batches == "more than 1000 in each seed"
            rows[name] = float(size), int(full.strip("%")), [NEVER] * 3 if never else list(map(int, batches.split(",")))
    return rows


def rate_headings(said, runs, saves, high):
    last = [sum(r["loss"][950:1000]) / 50 for r in runs[1e-1].values()]
    dose = trials(said)
    new, mild, one, three, five, divided, times4 = dose.values()
    assert list(dose)[-2:] == ["5 at 0.1, then weights divided by 4", "none, but weights multiplied by 4"]
    tried = re.search(r"right after (\d+) batches at 0.01, and after (\d+) at 0.03", said.text)
    good, larger = map(int, tried.groups())
    assert good == sums(group([0], lr=1e-2)[0])
    ten = [sum(record["loss"][-50:]) / 50 < 0.9 * math.log(10) for record in group(range(20), lr=0.1).values()]
    lstm = [sums(record) < NEVER for record in group(range(20), digit_len=100, cell="LSTM", lr=0.1).values()]
    weights = np.concatenate([p.detach().flatten() for p in addrnn.Adder(addrnn.Config()).rnn.parameters()])
    assert f"{np.abs(weights).mean():.2f}" == f"{new[0]:.2f}"
    said.says("The largest of the first weights is 0.125. The step moves the weights by 0.100 in the median.")
    return {
        "We train ten seeds at each rate, and twenty at 0.001": {lr: len(found) for lr, found in runs.items()} == {
            1e-5: 10, 1e-4: 10, 1e-3: 20, 1e-2: 10, 1e-1: 10},
        "At 0.01 whole sums are right long before those of 0.001":
            max(map(sums, runs[1e-2].values())) < min(map(sums, runs[1e-3].values())) / 2,
        "At 0.1 the loss stays where guessing is": 2.25 < median(last) < 2.35,
        "## At 100 digits 0.01 is the best of the five, and 0.1 fails":
            first(high) == "0.01" and min(map(sums, runs[1e-1].values())) == NEVER,
        "## C9: 0.00001 and 0.0001 do not converge in 500 batches": all(
            sums(r, 500) == NEVER for lr in (1e-5, 1e-4) for r in runs[lr].values()),
        "with more batches it converges in every seed": max(map(sums, runs[1e-4].values())) < NEVER,
        "At 0.00001 no run is long enough to tell": min(map(sums, runs[1e-5].values())) == NEVER,
        "## C10: at 0.1 the loss hardly comes down, and no RNN converges":
            median(last) > 0.9 * math.log(10) and min(sums(r, 1000) for r in runs[1e-1].values()) == NEVER,
        "ends below 2.07, nine tenths of what guessing costs": f"{0.9 * math.log(10):.2f}" == "2.07",
        "With ten digits the loss comes down in most seeds, but no RNN converges. At 100 digits three of five LSTMs "
        "converge":
            sum(ten) > len(ten) / 2 and (sum(lstm), len(lstm)) == (3, 5) and min(
                sums(record, 1000) for record in group(range(20), lr=0.1).values()) == NEVER,
        "The first weights are drawn between $-1/\\sqrt{64}$ and $1/\\sqrt{64}$, which is ±0.125":
            1 / math.sqrt(64) == 0.125 and 0.124 < np.abs(weights).max() <= 0.125,
        "## Five steps at 0.1 spoil a network: they make its weights too large":
            new[2] == [sums(record) for record in group(range(3)).values()] and set(five[2]) == {NEVER},
        "The more steps at 0.1, the larger the weights, and the later the network learns": all(
            less[0] < more[0] and all(a < b for a, b in zip(less[2], more[2], strict=True))
            for less, more in pairwise((new, one, three, five))),
        "Five steps at 0.01 do no harm": max(mild[2]) <= max(new[2]),
        "once they are divided by four, the spoiled network learns; once they are multiplied by four, a new network "
        "does not. So it is in each of three seeds": max(divided[2]) < 500 and set(times4[2]) == {NEVER},
        "after three steps at 0.1 more states are saturated than in the last row, and yet the network learns":
            three[1] > times4[1] and max(three[2]) < NEVER == min(times4[2]),
        "## 0.01 needs about a third as many batches as 0.001":
            max(saves.values()) < 0.37 and list(saves) == [10, 100, 1000],
        "about a third as many batches are enough, at 1000 digits even fewer":
            saves[1000] < 0.28 < min(saves[10], saves[100]),
        "Smaller rates are slower": all(median(high[a].values()) > median(high[b].values()) or median(
            high[a].values()) == NEVER for a, b in pairwise((1e-5, 1e-4, 1e-3, 1e-2))),
        "there the network takes about twice as long": 1.7 < larger / good < 2.3,
    }


# 08

ACCURACIES = {f"{share:g} % of sums right": functools.partial(sums, least=round(20 * share))
              for share in (50, 80, 90, 95, 98, 99, 99.5)}
LOSSES = {f"loss below {level}": functools.partial(loss, level=Fraction(level)) for level in (
    "1.5", "1", "0.7", "0.5", "0.3", "0.2", "0.1", "0.07", "0.05", "0.03", "0.02", "0.01")}


def appendix(said, seeds, **_):
    kept = json.loads((ROOT / "records" / "verdicts.json").read_bytes())
    sides = {claim: {word.removeprefix("mostly ") for word, *_ in entry["measures"].values()}
             for claim, entry in kept.items()}
    both = several([claim for claim, words in sides.items() if {"holds", "fails"} <= words])
    said.titled("08_measures", f"Claims that some measures let hold and others fail: {both}")
    groups = {
        "digit_len": {n: group(seeds, digit_len=n) for n in (10, 100, 1000, 5000)},
        "layers": {k: group(seeds, digit_len=100, layers=k) for k in (1, 2, 3, 4)},
        "long": {k: group(seeds, digit_len=5000, layers=k) for k in (1, 2, 3, 4)},
        "cell": {cell: group(seeds, digit_len=100, cell=cell) for cell in ("RNN", "GRU", "LSTM")}}
    named = {"digit_len": ("length: RNN, 3 layers", digits), "layers": ("layers: RNN, 100 digits", layers),
             "long": ("layers: RNN, 5000 digits", layers), "cell": ("cell: 3 layers, 100 digits", str)}
    for kind, found in groups.items():
        about, name = named[kind]
        for a, b in pairwise(found if kind == "cell" else list(found)[::-1]):
            head = f"| {about} | {name(a)} before {name(b)} |"
            row = next(line for line in said.text.splitlines() if line.startswith(head))
            for of, cell in zip((loss, sums), row.split(" | ")[2::2], strict=True):
                answers = compared(together({x: found[x] for x in (a, b)}, of), (a, b))
                assert cell == f"{share(answers)}: **{word(*answers)}**", row
        for value, rows in found.items():
            gpu = sum("H100" in record["device"] for record in rows.values())
            said.says(f"| {about} | {name(value)} | {len(rows) - gpu} | {gpu} |")
    said.says("configs on the CPU and on an NVIDIA H100", "its 300 losses are those of its record, to the last bit")
    agree, asked = map(int, re.search(r"\*\*(\d+) of (\d+)\*\* levels", said.text).groups())
    return kept, groups, agree == asked


def appendix_headings(kept, groups, agree):
    """Cells of the figure, worked out again, and what is said of all."""
    lengths = {n: {seed: record for seed, record in found.items() if seed < 20}  # those that 02 shows
               for n, found in groups["digit_len"].items()}
    again = {
        "C3": {name: compared(together(lengths, of), (5000, 1000, 100, 10)) for name, of in LOSSES.items()},
        "C4": {name: compared(together({n: lengths[n] for n in (10, 100)}, of), (10, 100))
               for name, of in ACCURACIES.items()},
        "C5a": {name: leading(together({k: groups["layers"][k] for k in (2, 3, 4)}, of), 3)
                for name, of in LOSSES.items()},
        "C6a": {name: compared(together({k: groups["long"][k] for k in (4, 3, 2)}, of), (4, 3, 2))
                for name, of in ACCURACIES.items()},
        "C8": {name: compared(together(groups["cell"], of), ("RNN", "GRU", "LSTM")) for name, of in (
            LOSSES | ACCURACIES).items()}}
    for claim, cells in again.items():
        for name, answers in cells.items():
            assert kept[claim]["measures"][name] == [word(*answers), *answers], (claim, name)
    turned = 0
    for claim, entry in kept.items():
        for verdict, *answers in entry["measures"].values():
            assert verdict == word(*answers), claim
        assert not entry["measures"] or entry["measures"][entry["by"]][0] == entry["verdict"], claim
        turned += {"holds", "fails"} <= {verdict.removeprefix("mostly ") for verdict, *_ in entry["measures"].values()}
    half, most = (kept["C1a"]["measures"][f"{share} % of sums right"] for share in (50, 99))
    loose = [kept["C8"]["measures"][name][0] for name in ("loss below 1", "50 % of sums right", "80 % of sums right")]
    return {"## Few verdicts change sides with the measure": turned <= 3,
            "Two do not, C1a and C8": turned == 2 and all(
                {"holds", "fails"} <= {verdict.removeprefix("mostly ") for verdict, *_ in
                                       kept[claim]["measures"].values()} for claim in ("C1a", "C8")),
            "by batch 200 all seeds have half of the sums right, but few have 99 %":
                half[1:] == [40, 0, 0] and most[1] < 20,
            "(C8) mostly holds at loose levels, and mostly fails at the strictest":
                set(loose) == {"mostly holds"} and kept["C8"]["measures"]["loss below 0.01"][0] == "mostly fails",
            "## A GPU says what the CPU says": agree}
