"""What notebooks 02-05 and 08 say, by the road of `witness`: a function for what is computed, one for what is written.

The second gives {heading or sentence: whether it is so}.
"""

import functools
import json
import math
import re
from fractions import Fraction
from itertools import pairwise
from statistics import mean, median, variance

import numpy as np
import torch
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
from addlab.certify import checker
from addlab.study import experiments

# 02

def weakest(groups, of, order):
    """The link of an order that fewest seeds can keep, or all of it; and its answers."""
    parts = [tuple(order), *pairwise(order)]
    answers = {part: compared(together({n: groups[n] for n in part}, of), part) for part in parts}
    part = min(parts, key=lambda part: ends(answers[part])[1])
    return part, answers[part]


def saved(times):
    """31% fewer for 0.69."""
    return f"{100 * (times - 1):.0f}% more" if times > 1 else f"{100 - 100 * times:.0f}% fewer"


def digit_length(said, digit_lens, seeds, **_):
    groups = {n: group(seeds, digit_len=n) for n in digit_lens}
    falls, rises, half = (together(groups, of) for of in (loss, sums, functools.partial(sums, least=1000)))
    stalled = [n for n in digit_lens if 2 * median(half[n].values()) < median(rises[n].values())]
    said.titled("02_arrivals",
                f"First to a loss of 0.1: {first(falls, digits)}; to 99% of sums: {first(rises, digits)}")
    said.titled("02_digit_length",
                f"At {several(stalled)} digits the share right rises early, then stalls" if stalled
                else f"99% of sums are right first at {first(rises, digits)}")
    asked, answers = weakest(groups, loss, digit_lens[::-1])
    original = digit_lens == [10, 100, 1000, 5000]
    said.judges("C3", answers, math.factorial(len(asked)), asked=original)
    a, b = digit_lens[:2]
    said.says(f"To reach a loss of 0.1, {b} digits need {saved(ratio(falls, b, a))} batches than {a} digits.")
    asked, answers = weakest(groups, sums, digit_lens)
    step = "" if len(asked) == len(digit_lens) else f"its first step, {' before '.join(map(digits, asked))}"
    said.judges("C4", answers, math.factorial(len(asked)), step=step, asked=original)
    if step:
        assert asked == tuple(digit_lens[:2]) and len(digit_lens) == 4
        later = share(compared(together({n: groups[n] for n in digit_lens[1:]}, sums), digit_lens[1:]))
        turned = share(compared(together({n: groups[n] for n in asked}, sums), asked[::-1]))
        said.says(f"One step breaks it: 100 digits come before 10 digits in {turned}. "
                  f"From 100 digits on, the order is seen in {later}.")
    else:
        said.says(f"The order {' before '.join(map(digits, asked))} is seen in {share(answers)}.")
    looks = half_trained("RNN")
    assert all(set(look["off"]) == {0, 1} for look in looks)
    said.says("In **all of them** some digits are wrong, each exactly one too large.")
    five = {which: {seed: dosed(*which)[seed] for seed in range(5)} for which in (
        (100, 100), (100, 1000), (100, 5000), (1000, 100), (1000, 1000), (5000, 5000))}
    low, own = (number(median(five[which].values())) for which in ((100, 5000), (5000, 5000)))
    faster = compared({which: five[which] for which in ((1000, 100), (1000, 1000))}, ((1000, 100), (1000, 1000)))
    said.says(f"100 digits take **{low}** batches in the median; 5000 digits take {own}.",
              f"The share of 100 digits speeds up 1000 digits in **{share(faster)}**.")
    said.titled("02_leads", "A column read first cures the ones digit; a sum of 9 cures it least")
    said.titled("02_dose", "With the same share, 100 digits take in the median nearly as long as 5000")
    return groups, falls, rises, half, five


def study(name):
    return json.loads((ROOT / "records" / "studies" / f"{name}.json").read_bytes())


def half_trained(cell):
    """What all models of a cell do that were stopped early."""
    return [look for name, look in study("first_digit")["half-trained"].items() if f", {cell}, " in name]


def dosed(length, of):
    """{seed: batches} of a length whose first digit has the share that it has among `of` digits."""
    if length == of:
        return {seed: sums(record) for seed, record in group(range(10), digit_len=length).items()}
    found = {seed: study("first_digit").get(f"{length} digits, share of {of} digits, weights {seed}, data {seed}")
             for seed in range(10)}
    return {seed: crossing(run["sums"], lambda right: right >= 1980) for seed, run in found.items() if run}


def digit_length_headings(said, groups, falls, rises, half, five):
    """What the prose of 02 says, of all lengths."""
    middle = {n: median(found.values()) for n, found in rises.items()}
    saved = median(falls[1000][seed] - falls[5000][seed] for seed in falls[5000])
    looks = half_trained("RNN")
    alone = median(look["off"].count(0) / 100 for look in looks)
    leads = [median(look["leads"][n] for look in looks) for n in range(19)]
    live = [[of(group([0], digit_len=n)[0]) for n in (10, 100)] for of in (sums, loss)]
    ten, hundred = live[0]
    said.titled("02_live", f"Batches until 99% of sums are right: {ten} at 10 digits and {hundred} at 100 digits")
    seeds = several([len(groups[n]) for n in (10, 100, 1000, 5000)])
    assert said.titles["02_arrivals"].endswith(
        f"A dot is a seed ({seeds} from top to bottom), a bar the median of all, later ones included.")
    assert [sum(sums(record) == NEVER for record in found.values()) for found in groups.values()] == [0, 0, 0, 1]
    assert said.titles["02_dose"].rstrip().split("\n")[-1].count("5 seeds each") and {
        len(found) for found in five.values()} == {5}
    slow, wide, long = (
        int(re.search(rf"\| {name} digits \| {size:,} \| (\d+) \|", said.text)[1])
        for name, size in (("200 pairs of 10", 2200), ("1800 pairs of 10", 19_800), ("200 pairs of 100", 20_200)))
    assert (slow, long) == tuple(live[1])
    at = {which: median(found.values()) for which, found in five.items()}
    early = median(sums(record, least=1000) for record in groups[5000].values())
    late = median(sums(record) for record in groups[5000].values())
    begin = {n: median(sums(record, least=200) for record in groups[n].values()) for n in groups}  # a tenth of sums
    tenth = [crossing([round(200 * x) for x in kept["batch_accuracy"]], lambda right: right >= 1980)
             for name, kept in json.loads((ROOT / "records" / "start.json").read_bytes()).items()
             if name.startswith("5000 digits, RNN, 3 layers") and name.endswith(": tenth")]
    dosed_late = median(dosed(100, 5000).values())
    dosed_half = median(
        crossing(study("first_digit")[f"100 digits, share of 5000 digits, weights {seed}, data {seed}"]["sums"],
                 lambda right: right >= 1000) for seed in range(5))
    stopped = [re.match(r"(\d+) digits, RNN, (\d) layers", name) for name in study("first_digit")["half-trained"]]
    stopped = [tuple(map(int, found.groups())) for found in stopped if found]
    table = [float(re.search(r"([\d.]+)%", row.split(" | ")[-1])[1]) for row in said.text.splitlines()
             if " batches | " in row]  # the least share of sums right without the ones digit
    nine = [int(row.split(" | ")[1]) for row in said.text.splitlines() if " batches | " in row]
    return {
        "## One seed, live: 100 digits come before 10": all(hundred < ten for ten, hundred in live),
        "Whole sums are right sooner, too, which C4 denies": live[0][1] < live[0][0],
        "## At 5000 digits half of the sums come late":
            begin[100] <= begin[5000] <= begin[10] and late > 4 * early,
        "With 5000 digits half of the sums are right after about 160 batches, but 99% only after more than 700":
            155 <= early <= 165 and late > 700 and middle[5000] > 700,
        "## By loss longer is sooner, by whole sums it is not":
            word(*compared(falls, (5000, 1000, 100, 10))) == "holds" and min(middle, key=middle.get) == 100
            and word(*compared({n: rises[n] for n in (10, 100)}, (10, 100))) in ("fails", "mostly fails"),
        "From 1000 to 5000 digits a seed saves only about two batches (the medians above are of different seeds)":
            1 <= saved <= 3 and len(falls[5000]) == len({*groups[1000]} & {*groups[5000]}) == 10,
        "at a loss of 0.01 the seeds [disagree](08_appendix.ipynb)": word(*weakest(
            groups, functools.partial(loss, level=Fraction(1, 100)), (5000, 1000, 100, 10))[1]) == "mixed",
        "We stop nine networks of three layers early and look": sum(nine) == 9 == sum(k == 3 for _, k in stopped),
        "nearly all sums would be right if the ones digit did not count": len(table) == 4 and min(table[1:]) >= 95,
        "After 100 batches wrong digits lie all over the sum": table[0] < 50,
        "## The network takes the zero state for a carry": all(set(look["off"]) == {0, 1} for look in looks),
        "We give these nine networks, and twelve of one, two or four layers, all 100 pairs of ones digits":
            len(looks) == 21 and sorted(k for _, k in stopped if k != 3) == 4 * [1] + 4 * [2] + 4 * [4]
            and {n for n, _ in stopped} == {1000, 5000} and all(len(look["off"]) == 100 for look in looks),
        "The cure works in nearly every network": min(leads[:9] + leads[10:]) > 0.99 and sum(
            min(look["leads"][:9] + look["leads"][10:]) > 0.95 for look in looks) == 20,
        "A 9 passes the phantom on only in part": all(
            look["leads"][9] < min(look["leads"][:9] + look["leads"][10:]) for look in looks),
        "after it the median share right is 0.89, against 0.68 with no column":
            (f"{leads[9]:.2f}", f"{alone:.2f}") == ("0.89", "0.68"),
        "Why the zero state is on the carry's side in every network, we do not know": all(
            set(look["off"]) == {0, 1} for look in looks),
        "## Give the ones digit less weight, and 100 digits stall": dosed_late > 2 * dosed_half
            and 0.85 < at[100, 5000] / at[5000, 5000] < 1,  # as the figure's title says
        "100 digits must stall when we lower it alone": dosed_late > 2 * dosed_half,
        "So in the median the share makes up most of the delay": all(
            0.85 < at[100, n] / at[n, n] < 1.18 for n in (1000, 5000)) and 0.85 < at[1000, 100] / at[100, 100] < 1.18,
        "In one seed of five, 100 digits take only 236 batches at 1/5001, 5000 digits 556": [
            (few, five[5000, 5000][seed]) for seed, few in five[100, 5000].items()
            if few < five[5000, 5000][seed] / 2] == [(236, 556)],
        "All five are later with 5000 digits (too few for a verdict)": compared(
            {n: five[n, 5000] for n in (100, 5000)}, (100, 5000)) == (5, 0, 0) and word(5, 0, 0) == "not settled",
        "By loss, longer numbers come sooner. Long sums then wait for one digit, mostly because of its small share "
        "of the loss: with a tenth, 5000 digits take about 200 batches (four seeds, [chapter 3](03_layers.ipynb))":
            first(falls) == "5000" and word(*compared(falls, (5000, 1000, 100, 10))) == "holds"
            and middle[100] < middle[1000] < middle[5000]
            and len(tenth) == 4 and 190 <= median(tenth) <= 210
            and median(tenth) - middle[100] < (middle[5000] - middle[100]) / 10,
        "In one seed, only in part": long < wide < slow,
    }


# 03

def layer_count(said, layers_, digit_len, seeds, long_len, **_):
    groups = {k: group(seeds, digit_len=digit_len, layers=k) for k in layers_}
    deep = {k: found for k, found in groups.items() if k > 1}
    asked = deep if len(deep) > 1 else groups
    low, high = (together(asked, of) for of in (loss, sums))
    three = 3 if 3 in layers_ else layers_[-1]
    original = layers_ == [1, 2, 3, 4] and (digit_len, long_len) == (100, 5000)
    for claim, times, by in (("C5a", low, "By loss"), ("C5b", high, "In whole sums")):
        said.judges(claim, leading(times, three), len(asked), asked=original)
        if {3, 4} <= {*asked}:
            pair = together({k: asked[k] for k in (4, 3)}, loss if claim == "C5a" else sums)
            said.says(f"{by}, 4 layers come before 3 in {share(compared(pair, (4, 3)))}.")
    long = {k: group(seeds, digit_len=long_len, layers=k) for k in layers_}
    order = [k for k in (4, 3, 2) if k in layers_]
    if len(order) == 3:
        said.judges("C6a", compared(together({k: long[k] for k in order}, sums), order), 6, asked=original)
        yes, no, undecided = compared(together({k: long[k] for k in (3, 2)}, loss), (3, 2))
        said.judges("C6b", (no, yes, undecided), asked=original)
        first, second = (share(compared(together({k: long[k] for k in pair}, sums), pair)) for pair in ((3, 2), (4, 3)))
        said.says(f"3 layers come before 2 in {first}; 4 before 3 in {second}.")
        clear = "There is one: " * ("fails" in word(no, yes, undecided))
        said.says(f"{clear}3 layers reach a loss of 0.1 before 2 in {share((yes, no, undecided))}.")
    else:
        said.judges("C6a", (0, 0, 0), 6, asked=False)
        said.judges("C6b", (0, 0, 0), asked=False)
    titles = {"03_layers": f"{digit_len} digits, depths compared", "03_arrivals": f"{long_len} digits, depths compared",
              "03_size": f"{digit_len} digits, equal width and equal size",
              "03_repaired": f"{long_len} digits, the ones digit repaired"}
    if (layers_, digit_len, long_len, len(seeds)) == ([1, 2, 3, 4], 100, 5000, 40):
        titles = layer_titles(groups, long, *equally_large(groups))
    for name, title in titles.items():
        if name in said.titles:
            said.titled(name, title)
    return groups, long


def equally_large(groups):
    """{layers: {seed: batches to a loss of 0.1}} of the same seeds, at 64 units and as large as four layers of 64."""
    widths = {1: 150, 2: 94, 3: 75, 4: 64}
    large = together({k: group(range(20), digit_len=100, layers=k, hidden=units) for k, units in widths.items()}, loss)
    return together({k: {seed: groups[k][seed] for seed in large[k]} for k in widths}, loss), large


def repaired():
    """{layers: {seed: record}} of 5000 digits where a tenth of the loss is for the ones digit, and as usual."""
    kept, name = json.loads((ROOT / "records" / "start.json").read_bytes()), "5000 digits, RNN, {} layers, 300 batches"
    fair = {k: {seed: kept[f"{name.format(k)}, seed {seed}: tenth"] for seed in range(20)
                if f"{name.format(k)}, seed {seed}: tenth" in kept} for k in (2, 3, 4)}
    return fair, {k: group(list(found), digit_len=5000, layers=k) for k, found in fair.items()}


def layer_titles(groups, long, narrow, large):
    """{figure of 03: its title}, each checked to be so."""
    fair = together(repaired()[0], sums)
    wide, same = ({k: median(found.values()) for k, found in times.items()} for times in (narrow, large))
    so = {
        "03_layers": ("At a rate of 0.001 three or four layers are first, at 0.01 two",
                      fast_turns() and saved_by_each_layer(groups)),
        "03_arrivals": ("16 of 18 networks of one layer need more than 1000 batches for whole sums",
                        [sum(sums(record) == NEVER for record in long[1].values()), len(long[1])] == [16, 18]),
        "03_repaired": ("Ones digit repaired: two layers level with three, four last (four seeds)",
                        repair_turns(fair)),
        "03_size": ("Made equally large, one layer makes up most of its lag",
                    2 * (same[1] - same[4]) < wide[1] - wide[4] and same[4] == wide[4]),
    }
    for title, holds in so.values():
        assert holds, title
    return {name: title for name, (title, _) in so.items()}


def steps(groups, of):
    """{(a, b): (answers, the median of the batches with a layers as a share of those with b)}, a one more than b."""
    found = {}
    for a, b in ((2, 1), (3, 2), (4, 3)):
        times = together({k: groups[k] for k in (a, b)}, of)
        told = [mine / other for mine, other in zip(times[a].values(), times[b].values(), strict=True)
                if min(mine, other) < NEVER]
        found[a, b] = compared(times, (a, b)), median(told)
    return found


def saved_by_each_layer(groups):
    """Whether nearly all seeds are sooner with a second layer and with a third, but a fourth saves at most a tenth."""
    return all(word(*answers) in ("holds", "mostly holds") and ratio < 0.9 if a < 4 else
               word(*answers) not in ("holds", "mostly holds") and ratio > 0.9
               for of in (loss, sums) for (a, _), (answers, ratio) in steps(groups, of).items())


def shallow_late(groups, long):
    """Whether many seeds of one and two layers need more than 1000 batches for whole sums of 5000 digits, of three and
    four few, and none so at 100 digits; by loss each step saves as much at both lengths.
    """
    near, far = (steps(found, loss) for found in (groups, long))
    late = {k: sum(sums(record) == NEVER for record in found.values()) for k, found in long.items()}
    assert {len(record["loss"]) for found in long.values() for record in found.values()} == {1000}
    return (all(abs(near[step][1] - far[step][1]) < 0.03 for step in near) and min(late[1], late[2]) >= 8
            and max(late[3], late[4]) <= 2 and len(long[1]) == 18
            and all(sums(record) < 1000 for found in groups.values() for record in found.values()))


def fast_turns():
    """Whether at a rate of 0.01 two layers come before three and these before four in each of ten seeds by whole sums,
    and by loss two and three are level, four behind in each.
    """
    fast = {k: group(range(10), digit_len=100, layers=k, lr=1e-2) for k in (1, 2, 3, 4)}
    high, low = together(fast, sums), together(fast, loss)
    middle = {k: median(found.values()) for k, found in low.items()}
    return (compared(high, (2, 3, 4)) == compared(low, (3, 4)) == compared(high, (2, 1)) == compared(low, (2, 1))
            == (10, 0, 0) and word(*compared(low, (2, 3))) == "mixed" and abs(middle[2] - middle[3]) < 2)


def repair_turns(fair):
    """Whether two layers are level with three where the ones digit is repaired, and four last in each of four seeds."""
    before = compared({k: fair[k] for k in (2, 3)}, (2, 3))
    return (abs(ratio(fair, 2, 3) - 1) < 0.1 and before[0] > 0 and before[1] <= before[0]
            and all(fair[4][seed] > max(fair[2][seed], fair[3][seed]) for seed in fair[4]) and len(fair[4]) == 4)


def last_and_fresh(count=20):
    """The losses of the last batches that one layer, seed 0, is trained on, and of fresh ones, by torch."""
    model = addrnn.Adder.load(ROOT / "records" / "runs" / "digit_len=100,layers=1" / "seed0.safetensors")
    training, fresh = addrnn.streams(0)[1], np.random.default_rng(1)
    old = []
    for _ in group([0], digit_len=100, layers=1)[0]["loss"]:
        old = [*old, addrnn.sample(200, 100, training)][-count:]
    new = [addrnn.sample(200, 100, fresh) for _ in range(count)]
    with torch.no_grad():
        return [[torch.nn.functional.cross_entropy(model(a, b).flatten(0, 1).double(),
                                                   torch.as_tensor(c).flatten()).item() for a, b, c in batches]
                for batches in (old, new)]


def largest_gap(groups, long):
    """How far fresh batches and the last training batches lie apart at most, as a share of a model's loss.

    At 5000 digits from the study; at 100 digits of four layers, seed 0, by torch.
    """
    found = [abs(gap) / (sum(long[int(name[7])][int(name.split()[-1])]["loss"][280:300]) / 20)
             for name, (gap, _) in study("overfitting").items()]
    ends, model = groups[4][0]["loss"][-20:], addrnn.Adder.load(
        ROOT / "records" / "runs" / "digit_len=100,layers=4" / "seed0.safetensors")
    training, fresh, seen = addrnn.streams(0)[1], np.random.default_rng([0, 1]), []
    for _ in groups[4][0]["loss"]:
        seen = [*seen, addrnn.sample(200, 100, training)][-20:]
    new = [addrnn.sample(200, 100, fresh) for _ in range(20)]
    with torch.no_grad():
        old, new = (sum(torch.nn.functional.cross_entropy(
            model(a, b).flatten(0, 1).double(), torch.as_tensor(c).flatten()).item() for a, b, c in batches) / 20
            for batches in (seen, new))
    return max(*found, abs(new - old) / (sum(ends) / 20))


def layer_headings(said, groups, long):
    narrow, large = equally_large(groups)
    high, low = together(groups, sums), together(groups, loss)
    kept, usual = (together(found, sums) for found in repaired())
    live = {k: sums(group([0], layers=k)[0], 300) for k in (1, 3)}
    said.titled("03_live", f"Batches to 99% of sums right: {number(live[1], 300)} (1 layer) and "
                           f"{number(live[3], 300)} (3 layers)")
    one = group([0], layers=1)[0]["loss"][live[1] - 10 : live[1]]
    old, new = last_and_fresh()
    apart = (mean(new) - mean(old)) / math.sqrt((variance(new) + variance(old)) / 20)
    said.says(f"1 layer, seed 0: {mean(old):.5f} in training, {mean(new):.5f} fresh. The difference is {apart:.1f} of "
              "its standard error.")
    gaps = study("overfitting").values()
    said.says(f"Fresh batches cost at most {largest_gap(groups, long):.1%} more or less than the last training "
              "batches.")
    shipped = {k: sum(record.get("keeps_weights", False) for record in found.values()) for k, found in groups.items()}
    taken = {k: [median(map(of, found[k].values())) for of in (loss, sums) for found in (groups, long)] for k in groups}
    for k, batches in taken.items():
        said.says(f"| {layers(k)} | {' | '.join(number(batch, 1000) for batch in batches)} |")
    late = {seed: sums(record, 1000) == NEVER for seed, record in long[2].items()}
    said.titled("03_repaired", "Ones digit repaired: two layers level with three, four last (four seeds). "
                               "Batches until 99% of sums are right, 5000 digits; the same 4 seeds in both panels")
    assert said.titles["03_repaired"].endswith(" “Later”: more than 1000 batches; of all 18 seeds of two layers in "
                                               f"usual training, {sum(late.values())} are.") and len(late) == 18
    stricter = [leading(together({k: groups[k] for k in (2, 3, 4)}, functools.partial(sums, least=least)), 3)
                for least in (1000, 1600, 1800, 1900, 1960)]
    by_sums = leading(together({k: groups[k] for k in (2, 3, 4)}, sums), 3)
    twenty = {k: {seed: record for seed, record in groups[k].items() if seed < 20} for k in (4, 3, 2)}
    middle, same = ({k: median(found.values()) for k, found in times.items()} for times in (narrow, large))
    mended = {k: median(found.values()) for k, found in kept.items()}
    return {
        "## Ten digits, live: one layer is slower than three": live[3] < live[1],
        "One layer has 99% of sums right at a loss of 0.3": round(sum(one) / 10, 1) == 0.3,
        "## At 100 digits a fourth layer saves little or nothing": saved_by_each_layer(groups),
        "## At a rate of 0.01 two layers are enough": fast_turns(),
        "At 5000 digits, whole sums wait for the ones digit; once it is repaired, two layers are level with three "
        "(four seeds)": repair_turns(kept) and len(kept[2]) == 4 and all(
            median(kept[k].values()) < 0.5 * median(usual[k].values()) for k in (3, 4)),
        "At 0.01, where all depths are [faster](05_learning_rate.ipynb)": all(compared(together(
            {lr: group(range(10), digit_len=100, layers=k, lr=lr) for lr in (1e-2, 1e-3)}, of), (1e-2, 1e-3))
            == (10, 0, 0) for of in (sums, loss) for k in (1, 2, 3, 4)),
        "whole sums of two layers come before those of three in all ten seeds (last two panels); by loss "
        "the two are level. Four layers are later than three in all ten, by both measures": fast_turns(),
        "One layer is never ahead of three": all(compared(times, (1, 3))[0] == 0 for times in (high, low)),
        "That is barely so": word(*by_sums) == "mostly holds" and 0.5 < ends(by_sums)[0] < 0.52,
        "at every lower threshold tried, and before [a second look](08_appendix.ipynb), C5b is mixed":
            len(groups[3]) == 40 and all(word(*answers) == "mixed" for answers in stricter)
            and word(*leading(together(twenty, sums), 3)) == "mixed",
        "## At 5000 digits one and two layers come late in whole sums": shallow_late(groups, long),
        "## With the ones digit repaired, two layers keep up (four seeds)": len(kept[2]) == 4
            and compared(kept, (2, 3))[0] >= compared(kept, (3, 2))[0]
            and median(kept[2].values()) <= min(median(kept[k].values()) for k in (3, 4)),
        "In whole sums, two layers fall about 180 batches behind three, instead of 30 as at 100 digits":
            [round(taken[2][n] - taken[3][n], -1) for n in (3, 2)] == [180, 30],
        "Three layers now need about 200 batches instead of about 680": round(mended[3], -1) == 200
            and round(median(usual[3].values()), -1) == 680,
        "Two are level with them; four, the original's best, are last in all four seeds (too few for a verdict)":
            repair_turns(kept) and word(4, 0, 0) == "not settled",
        "So in these seeds the lead of three layers over two came from the ones digit":
            compared(usual, (2, 3))[0] == 0 and compared(usual, (4, 2))[0] >= 3 and compared(kept, (2, 4)) == (4, 0, 0)
            and compared(kept, (3, 2))[0] < 2,
        "## No network overfits": all(gap <= 2 * error for gap, error in gaps),
        "Five networks of each depth at 100 digits, and four at 5000":
            set(shipped.values()) == {5}
            and {*study("overfitting")} == {f"layers {k}, batch 300, seed {n}" for k in (1, 2, 3, 4) for n in range(4)},
        "## Most of what the second layer saves is size (five seeds)":
            2 * (same[1] - same[2]) < middle[1] - middle[2] and len(large[3]) == 5,
        "Made equally large, one layer lags two by 33 batches instead of 153":
            (same[1] - same[2], middle[1] - middle[2]) == (33, 153),
        "most of what the second saves is size, but hardly what the third saves (five seeds)":
            (same[1] - same[2]) * 4 < middle[1] - middle[2] and (same[2] - same[3]) * 1.2 > middle[2] - middle[3],
        "What the third layer saves is hardly size: 23 batches instead of 27":
            (same[2] - same[3], middle[2] - middle[3]) == (23, 27),
        "A second layer saves batches; a third does at the original's rate, but not at 0.01":
            saved_by_each_layer(groups) and fast_turns(),
    }


# 04

def cell_type(said, cells, digit_len, seeds, rates, sized_batches, **_):
    groups = {cell: group(seeds, digit_len=digit_len, cell=cell) for cell in cells}
    low, high = (together(groups, of) for of in (loss, sums))
    said.titled("04_cell_type", f"At {digit_len} digits the {first(high)} is first in whole sums, the "
                                f"{several(ranked(low)[-1][1])} last in loss")
    said.judges("C8", compared(high, cells), math.factorial(len(cells)),
                asked=(cells, digit_len) == (["RNN", "GRU", "LSTM"], 100))
    said.says("Better means fewer batches until 99% of sums are right. "
              f"The {cells[0]} is best in {share(leading(high, cells[0]))}.")
    if len(cells) > 2:
        pair = {cell: groups[cell] for cell in cells[1:]}
        said.says(f"The {cells[1]} comes before the {cells[2]} in {share(compared(together(pair, sums), cells[1:]))}.")
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
    title = "Batches by the number of parameters"
    if early and len(middles) > 1:
        title = f"The {early[0]} is first at every size"
        if all(middle <= middles[early[0]][0] for middle in middles[early[0]]):
            title = f"A larger {early[0]} is no later; at about equal size the {early[0]} is first"
    said.titled("04_size", title)
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
        said.says(f"The best rate is {named}. With it, the {cells[0]} is first in {share(answers)}{few}. "
                  f"Median batches to 99% of sums right; in brackets, divided by the {cells[0]}'s:")
        both = together({(cell, at): found[cell] for at, found in enumerate((groups, own)) for cell in cells}, sums)
        middle = {key: median(times.values()) for key, times in both.items()}
        for cell in cells:
            shown = [number(middle[cell, at]) + (f" ({middle[cell, at] / middle[cells[0], at]:.2f})" if cell != cells[0]
                                                 else "") for at in (0, 1)]
            said.says(f"| {cell} | {' | '.join(shown)} |")
        said.says(f"| {len(both[cells[0], 0])} seeds | rate 0.001 | best rate |")
    led = column_first(cells, seeds, digit_len)
    behind, still = ({cell: median(times[k].values()) - median(led[cells[0]][k].values())
                      for cell, times in led.items() if cell != cells[0]} for k in (0, 1))
    if behind and all(still[cell] < behind[cell] / 2 for cell in behind):
        said.titled("04_lead", f"A column 0 + 0 read first takes most of the {cells[0]}'s lead away")
        parts = [f"{cell} {number(behind[cell])} → {number(still[cell])} behind" for cell in behind]
        assert said.titles["04_lead"].endswith(f" Numbers: batches behind the {cells[0]}, medians. {several(parts)}.")
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
    live_sums = {cell: sums(group([0], cell=cell)[0], 400) for cell in ("RNN", "GRU", "LSTM")}
    wide, plain, gated = sizes["RNN"][115], sizes["RNN"][64], sizes["GRU"][64]
    both = sorted(set(wide) & set(plain))
    padded = {cell: re.search(rf"\| {cell} \| (\d+) \| (\d+) \|", said.text[said.text.index("| seed 0 |"):]).groups()
              for cell in live_sums}
    padded = {cell: list(map(int, texts)) for cell, texts in padded.items()}
    assert all(padded[cell][0] == live_sums[cell] for cell in live_sums)
    middles = {cell: {hidden: median(times.values()) for hidden, times in found.items()}
               for cell, found in sizes.items()}
    then, now = ({cell: median(times[k].values()) for cell, times in led.items()} for k in (0, 1))
    weights = {cell: [p.numel() for p in addrnn.Adder(addrnn.Config(cell=cell)).rnn.parameters()]
               for cell in live_sums}
    parameters = {(cell, hidden): sum(p.numel() for p in addrnn.Adder(addrnn.Config(
        cell=cell, hidden=hidden)).parameters()) for cell, found in sizes.items() for hidden in found}
    slower = {cell: [median(sums(found[seed]) for seed in range(5))
                     for found in (group(range(5), digit_len=100, cell=cell), own[cell])] for cell in own}
    loose = {cell: group(range(20), digit_len=100, cell=cell) for cell in ("RNN", "GRU", "LSTM")}
    return {
        "A GRU has weights $W$, $U$ and $b$ for $r$, $z$ and $n$, three times as many as an RNN of the same width; an "
        "LSTM ($f$, $i$, $o$, $g$) has four times as many":
            weights["GRU"] == [3 * n for n in weights["RNN"]] and weights["LSTM"] == [4 * n for n in weights["RNN"]],
        "## In whole sums the RNN is first; which cell is second depends on the threshold":
            early["RNN"] < 0.8 * min(early["GRU"], early["LSTM"])
            and leading(high, "RNN")[1] == 0 and word(*compared(high, ("GRU", "LSTM"))) == "mixed"
            and word(*compared(together(loose, most), ("GRU", "LSTM"))) == "mostly holds",
        "In whole sums the GRU and the LSTM cross near 99%": 0.95 < early["GRU"] / early["LSTM"] < 1.05,
        "At 90% C8 mostly holds": word(*compared(together(loose, most), ("RNN", "GRU", "LSTM"))) == "mostly holds",
        "By loss even the first place is open: C8 mostly holds at 0.5 and mostly fails at 0.01": [
            word(*compared(together(loose, functools.partial(loss, level=level)), ("RNN", "GRU", "LSTM")))
            for level in (Fraction(1, 2), Fraction(1, 100))] == ["mostly holds", "mostly fails"],
        "We compare cells with about equally many parameters":
            0.99 < parameters["RNN", 115] / parameters["GRU", 64] < 1.01 and all(
                0.98 < parameters[other] / parameters["RNN", 64] < 1.02 for other in (("GRU", 35), ("LSTM", 29))),
        "## Neither size nor the learning rate takes the lead away (five seeds)": len(sizes["RNN"][115]) == 5 and all(
            found[min(found)] > found[max(found)] for found in middles.values())
            and max(plain.values()) < min(*sizes["GRU"][35].values(), *sizes["LSTM"][29].values())
            and leading(together(own, sums), "RNN")[1:] == (0, 0),
        "an RNN of 115 units, as large as the GRU of 64, is sooner than it in every seed": len(both) >= 5 and all(
            wide[s] < gated[s] for s in both),
        "In the median every larger network is even sooner than the smallest of its cell": all(
            middle < found[min(found)] for found in middles.values() for hidden, middle in found.items()
            if hidden > min(found)),
        "We try 0.00001, 0.0001, 0.001, 0.01 and 0.1 with each cell": all(
            group(range(20), digit_len=100, cell=cell, lr=lr) for cell in sizes for lr in (1e-5, 1e-4, 1e-3, .01, .1)),
        "At 0.01 the lead shrinks but stays, and the LSTM is second": all(
            1.05 < slower[cell][1] / slower["RNN"][1] < slower[cell][0] / slower["RNN"][0] - 0.05
            for cell in ("GRU", "LSTM")) and slower["RNN"][1] < slower["LSTM"][1] < slower["GRU"][1],
        "by loss the GRU is as fast as the RNN; only its whole sums are late": 0.95 < late["GRU"] / late["RNN"] < 1.05
            and early["GRU"] > 1.2 * early["RNN"],
        "## Read a column 0 + 0 first, and most of the lead is gone (four seeds)": all(
            now[cell] / now["RNN"] < 1.1 < 1.3 < then[cell] / then["RNN"] for cell in ("GRU", "LSTM")),
        "but three of four RNNs later": [
            sum(sign * (led["RNN"][1][seed] - before) > 0 for seed, before in led["RNN"][0].items())
            for sign in (-1, 1)] == [1, 3] and now["RNN"] >= then["RNN"],
        "The column makes the GRU and the LSTM sooner in each of the four seeds": all(
            list(after) == [0, 1, 2, 3] and all(after[seed] < before[seed] for seed in after)
            for cell, (before, after) in led.items() if cell != "RNN"),
        "its loss is late, too, and yet it gains the most":
            late["LSTM"] > 1.2 * max(late["RNN"], late["GRU"])
            and all(then["LSTM"] - now["LSTM"] > then[cell] - now[cell] for cell in ("RNN", "GRU")),
        "the simplest cell is first in whole sums, at every size tried and at each cell's best rate":
            max(middles["RNN"].values()) < min(min(middles["GRU"].values()), min(middles["LSTM"].values()))
            and leading(together(own, sums), "RNN")[1:] == (0, 0),
        "In four seeds, most of its lead goes when a column 0 + 0 is read first": all(
            now[cell] - now["RNN"] < (then[cell] - then["RNN"]) / 2 for cell in ("GRU", "LSTM")),
        "In this seed only the LSTM, and only a little": [
            cell for cell, (before, after) in padded.items() if after < before] == ["LSTM"]
            and 0.9 * padded["LSTM"][0] < padded["LSTM"][1],
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
    original = (main, max(lrs), slow_lrs) == (100, 1e-1, [1e-5, 1e-4])
    said.judges("C9", (sum(none), len(none) - sum(none), 0), asked=original)
    fast = runs.get(max(lrs), {})
    last = {seed: sum(r["loss"][:batches][-50:]) / 50 for seed, r in fast.items()}
    stays = [end > 0.9 * math.log(10) for end in last.values()]
    said.judges("C10a", (sum(stays), len(stays) - sum(stays), 0), asked=original)
    said.says(f"At {plain_decimal(max(lrs))} the median seed ends at a loss of {median(last.values()):.2f}; guessing "
              "costs 2.30.")
    never = [sums(r, batches) == NEVER for r in fast.values()]
    said.judges("C10b", (sum(never), len(never) - sum(never), 0), asked=original)
    top = max(max(counts(r)[:batches]) for r in fast.values())
    best = f"{top / 2:.1f}% of the sums are" if top else "not one sum is"
    said.says(f"Even in the best batch of any seed at {plain_decimal(max(lrs))}, {best} right.")
    patient = []
    for lr in [lr for lr in slow_lrs[::-1] if lr in runs]:
        wait, until = median(map(sums, runs[lr].values())), min(len(record["loss"]) for record in runs[lr].values())
        late = f"after {number(wait)} batches" if wait < NEVER else f"not within {until}"
        patient.append(f"at {plain_decimal(lr)} {late}")
    said.says(f"The median seed converges {', '.join(patient)}.")
    for n in digit_lens[:2]:
        for cell in ("RNN", "GRU", "LSTM"):
            found = group(seeds[:10], digit_len=n, cell=cell, lr=max(lrs)).values()
            down = sum(sum(r["loss"][:batches][-50:]) / 50 < 0.9 * math.log(10) for r in found)
            came = sum(sums(r, batches) < NEVER for r in found)
            if found:
                name = f"{n} digits, {cell}" + (" (C10)" if (n, cell) == (main, "RNN") else "")
                until = min(len(record["loss"]) for record in found)
                said.says(f"| {name} | {until} | {share((down, len(found) - down, 0))} | "
                          f"{share((came, len(found) - came, 0))} |")
    saves = {}
    for n in digit_lens:
        good = {lr: {seed: sums(r) for seed, r in group(seeds if n == main else seeds[:3], digit_len=n, lr=lr).items()}
                for lr in (1e-3, 1e-2) if lr in lrs}
        both = set.intersection(*map(set, good.values()))
        if both and len(good) == 2:
            middles = [median(found[seed] for seed in both) for found in good.values()]
            said.says(f"| {n} digits | {len(both)} | {number(middles[0])} | {number(middles[1])} | "
                      f"{middles[1] / middles[0]:.2f} |")
            saves[n] = middles[1] / middles[0]
    return runs, saves, high


def trials(said):
    """{first steps: (mean size of a weight, batches of each seed)} of Figure 5.2."""
    found = re.findall(r"([^;.]+): size (\d\.\d\d), ((?:more than )?\d+(?:, (?:more than )?\d+)*)",
                       said.titles["05_spoiled"])
    return {name.strip(): (float(size), [NEVER if "more" in batch else int(batch) for batch in took.split(", ")])
            for name, size, took in found}


def mean_size(run):
    weights = [part.detach().flatten() for part in run.model.rnn.parameters()]
    return float(np.mean(np.abs(np.concatenate(weights))))


def scaled_in_05(said, seed):
    """Whether the cells of 05 give both networks each other's size, by one factor."""
    names = {"torch": torch, "addrnn": addrnn}
    for cell in said.cells:
        if cell.source.startswith(("def begin(", "def size(")):
            exec(cell.source, names)
    begun = [names["begin"](seed, *trial) for trial in ((0, 0.001), (5, 0.1))]
    sizes = [mean_size(run) for run in begun]
    for run, size, goal in zip(begun, sizes, sizes[::-1], strict=True):
        before = [part.detach().clone() for part in run.model.parameters()]
        names["scaled"](run, goal)
        factors = {round(float((now.detach() / was).nanmedian()), 4)
                   for was, now in zip(before, run.model.parameters(), strict=True)}
        if factors != {1, round(goal / size, 4)} or not math.isclose(mean_size(run), goal, rel_tol=1e-5):
            return False
    return True


def rate_headings(said, runs, saves, high):
    last = [sum(r["loss"][950:1000]) / 50 for r in runs[1e-1].values()]
    dose = trials(said)
    new, mild, one, three, five, down, up = dose.values()
    assert list(dose)[-2:] == ["scaled down", "scaled up"] and (down[0], up[0]) == (new[0], five[0])
    said.titled("05_spoiled", "Scaled down, most of the harm goes; scaled up, only a part of it comes")
    assert "Not drawn: five steps at 0.01 do no harm ({}, {} and {} batches).".format(*mild[1]) in (
        said.titles["05_spoiled"])
    assert all(less[0] < more[0] and all(a < b for a, b in zip(less[1], more[1], strict=True))
               for less, more in pairwise((new, one, three, five)))
    assert all(a <= b for a, b in zip(mild[1], new[1], strict=True)) and mild[0] < one[0]  # they do no harm
    keeps, gets = ([(now - start) / (harmed - start) for now, harmed, start in zip(then, five[1], new[1], strict=True)]
                   for then in (down[1], up[1]))
    said.says(f"Scaled down, a network keeps {min(keeps):.0%} to {max(keeps):.0%} of the delay that five steps make; "
              f"scaled up, a new one gets {min(gets):.0%} to {max(gets):.0%} of it.")
    tried = re.search(r"right after (\d+) batches at 0.01, and after (\d+) at 0.03", said.text)
    good, larger = map(int, tried.groups())
    assert good == sums(group([0], lr=1e-2)[0]) and larger > good
    lstm, gru = ([sums(record) < NEVER for record in group(range(20), digit_len=100, cell=cell, lr=0.1).values()]
                 for cell in ("LSTM", "GRU"))

    def down(n):
        return sum(sum(r["loss"][950:1000]) / 50 < 2.07 for r in group(range(10), digit_len=n, lr=0.1).values())

    paired = [len(set(group(range(count), digit_len=n, lr=1e-3)) & set(group(range(count), digit_len=n, lr=1e-2)))
              for n, count in ((10, 3), (100, 20), (1000, 3))]
    weights = np.concatenate([p.detach().flatten() for p in addrnn.Adder(addrnn.Config()).rnn.parameters()])
    assert f"{np.abs(weights).mean():.2f}" == f"{new[0]:.2f}"
    stepped = addrnn.train(addrnn.Config(lr=0.1, batches=1)).model.rnn.parameters()
    moved = np.abs(np.concatenate([p.detach().flatten() for p in stepped]) - weights)
    return {
        "We train ten seeds at each rate, and twenty at 0.001, on numbers of 100 digits": {
            lr: len(found) for lr, found in runs.items()} == {1e-5: 10, 1e-4: 10, 1e-3: 20, 1e-2: 10, 1e-1: 10}
            and all(record["config"]["digit_len"] == 100 for found in runs.values() for record in found.values()),
        "## At 100 digits 0.01 is the fastest of the five, and 0.1 fails":
            first(high) == "0.01" and max(map(sums, runs[1e-2].values())) < min(map(sums, runs[1e-3].values())) / 2
            and min(map(sums, runs[1e-1].values())) == NEVER,
        "## A rate of 0.0001 is only slow": all(
            sums(r, 500) == NEVER for lr in (1e-5, 1e-4) for r in runs[lr].values())
            and max(map(sums, runs[1e-4].values())) < NEVER,
        "Within 2000 batches 0.0001 converges in every seed": max(map(sums, runs[1e-4].values())) < NEVER
            and {len(r["loss"]) for r in runs[1e-4].values()} == {2000},
        "Whether 0.00001 is only slow, too, no run is long enough to tell": NEVER == min(
            map(sums, runs[1e-5].values())),
        "## At 0.1 none of twenty RNNs converges; at 100 digits nine of ten seeds end near guessing":
            sum(abs(end - math.log(10)) < 0.06 for end in last) == 9 == len(last) - 1
            and min(sums(r, 1000) for r in runs[1e-1].values()) == NEVER
            and min(sums(r) for r in group(range(20), digit_len=10, lr=0.1).values()) == NEVER
            and len(runs[1e-1]) + len(group(range(10), digit_len=10, lr=0.1)) == 20,
        "ends below 2.07, nine tenths of what guessing costs": f"{0.9 * math.log(10):.2f}" == "2.07",
        "With ten digits the loss comes down more often": down(10) > 3 * down(100) > 0,
        "Of the other cells only LSTMs converge within 500 batches": any(lstm) and not any(gru),
        "Here, for once, the LSTM is the sturdy one": (sum(lstm), len(lstm), sum(gru), len(gru)) == (3, 5, 0, 5)
            and min(sums(record, 1000) for n in (10, 100) for record in group(
                range(20), digit_len=n, lr=0.1).values()) == NEVER,
        "The weights of a new network's recurrent layers ($W$, $U$ and $c$) lie within $\\pm 1/\\sqrt{64}$, or ±0.125":
            1 / math.sqrt(64) == 0.125 and 0.124 < np.abs(weights).max() <= 0.125,
        "Adam's first step moves every weight by about the rate": (np.abs(moved - 0.1) < 0.005).mean() > 0.99,
        "So one step at 0.1 is nearly as large as the largest of them":
            0.75 < np.median(moved) / np.abs(weights).max() < 1,
        "scaling these weights down to the size of a new one's": all(scaled_in_05(said, s) for s in range(3)),
        "## Five steps at 0.1 set a network back, in part by making its weights large":
            new[1] == [sums(record) for record in group(range(3)).values()] and 0.2 < min(gets) < max(gets) < 0.5
            and min(after / start for after, start in zip(five[1], new[1], strict=True)) > 5,
        "So size alone makes only a part of the harm. Five steps do something more, which harms little once the "
        "weights are small (three seeds": 0.2 < min(gets) < max(gets) < 0.5 and 0 < min(keeps) < max(keeps) < 0.15,
        "At other lengths, too, 0.01 needs only a quarter to a third of the batches of 0.001":
            0.245 < min(saves.values()) < max(saves.values()) < 0.345 and list(saves) == [10, 100, 1000],
        "0.001, which the original takes everywhere, is not the fastest of the five rates: 0.01 needs a quarter to a "
        "third of the batches (three to ten seeds)": first(high) == "0.01" and 0.245 < min(saves.values())
            and max(saves.values()) < 0.345 and sorted(paired) == [3, 3, 10],
        "0.0001 is only slow; of 0.00001 we cannot tell": max(map(sums, runs[1e-4].values())) < NEVER == min(
            map(sums, runs[1e-5].values())),
        "0.1 does more than overshoot: after only five such steps at ten digits, a smaller rate still repairs the "
        "network, but takes about six to ten times the batches of a new one (three seeds), in part because the weights "
        "are large":
            sorted(round(after / start) for after, start in zip(five[1], new[1], strict=True)) == [6, 8, 10]
            and min(gets) > 0.2 and max(keeps) < 0.15,
    }


# 08

ACCURACIES = {f"{share:g}% of sums right": functools.partial(sums, least=round(20 * share))
              for share in (50, 80, 90, 95, 98, 99, 99.5)}
LOSSES = {f"loss below {level}": functools.partial(loss, level=Fraction(level)) for level in (
    "1.5", "1", "0.7", "0.5", "0.3", "0.2", "0.1", "0.07", "0.05", "0.03", "0.02", "0.01")}


TEST = [f"{share}% of sums right in the test{end}" for share in (99, 100) for end in ("", ", for good")]
SHOWN = {*ACCURACIES, *TEST, "batches missed in all", *(f"loss below {level}" for level in (
    "1", "0.5", "0.2", "0.1", "0.05", "0.02", "0.01"))}


def in_short(answers):
    yes, no, undecided = answers
    return f"{yes} of {yes + no + undecided}" + (f" ({undecided}\N{NO-BREAK SPACE}?)" if undecided else "")


def sides_by_measure(kept):
    """{claim: (the words of the verdict by the measures of the figure, the sides that these take)}."""
    found = {claim: [word for name, (word, *_) in entry["measures"].items() if name in SHOWN]
             for claim, entry in kept.items()}
    return {claim: (set(words), {"holds", "fails"} & {word.removeprefix("mostly ") for word in words})
            for claim, words in found.items() if len(words) > 1}


def appendix(said, seeds, **_):
    kept = json.loads((ROOT / "records" / "verdicts.json").read_bytes())
    chapter = {"C1a": 1, "C1b": 1, "C2": 1, "C3": 2, "C4": 2, "C8": 4, "C9": 5, "C10a": 5, "C10b": 5}
    for claim, entry in kept.items():
        row = next(line for line in said.text.splitlines() if line.startswith(f"| [{claim}]("))
        assert re.match(rf"\| \[{claim}\]\(0{chapter.get(claim, 3)}_\w+\.ipynb#{claim}\) \| ", row), row
        yes, no, undecided = (entry["seeds"].count(answer) for answer in (True, False, None))
        assert row.endswith(f" | **{entry['verdict']}** | {yes} | {no} | {undecided or ''} |"), row
    ranks = [["holds", "mostly holds", "mixed", "not settled", "mostly fails", "fails"].index(line.split("**")[1])
             for line in said.text.splitlines() if re.match(r"\| \[C\d+[ab]?\]\(", line)]
    assert len(ranks) == len(kept) and ranks == sorted(ranks)
    words = sides_by_measure(kept)
    turned = [claim for claim, (_, sides) in words.items() if len(sides) == 2]
    same = [claim for claim, (found, _) in words.items() if len(found) == 1]
    said.titled("08_measures", f"Only {several(turned)} cross from blue to red")
    changed = [claim for claim in words if claim not in turned + same]
    assert said.titles["08_measures"].endswith(
        f". By other measures {several(turned)} turn round; {several(changed)} change in strength; {several(same)} "
        "never change.")
    for claim, count in {"C1a": 20, "C5a": 20, "C5b": 20, "C6a": 12}.items():
        looks = [[part.count(answer) for answer in (True, False, None)] for part in (
            kept[claim]["seeds"][:count], kept[claim]["seeds"][count:], kept[claim]["seeds"])]
        said.says(f"| {claim} | {' | '.join(f'{in_short(look)}: {word(*look)}' for look in looks)} |")
    groups = {
        "digits, 3 layers": {n: group(seeds, digit_len=n) for n in (10, 100, 1000, 5000)},
        "layers, 100 digits": {k: group(seeds, digit_len=100, layers=k) for k in (1, 2, 3, 4)},
        "layers, 5000 digits": {k: group(seeds, digit_len=5000, layers=k) for k in (1, 2, 3, 4)},
        "cells, 100 digits": {cell: group(seeds, digit_len=100, cell=cell) for cell in ("RNN", "GRU", "LSTM")}}
    said.titled("08_pairs", "From 100 digits on, longer numbers win by loss and lose by whole sums")
    found = {}
    for about, values in groups.items():
        name = digits if "digits, " in about else layers if "layers, " in about else str
        for a, b in pairwise(values if "cells" in about else list(values)[::-1]):
            for measure, of in (("loss below 0.1", loss), ("99% of sums right", sums)):
                times = together({x: values[x] for x in (a, b)}, of)
                answers = compared(times, (a, b))
                seen = all(min(times[a][seed], times[b][seed]) < NEVER for seed in times[a])
                middle = ratio(times, a, b) if seen else None
                clause = (f"{about}: {name(a)} before {name(b)} by {measure} in {share(answers)}, "
                          f"{word(*answers)}, ratio ")
                assert clause + (f"{middle:.2f} (" if middle else "") in said.titles["08_pairs"], clause
                found[about.replace(", 3 layers", ""), a, b, measure[0]] = word(*answers), middle
    assert all([found["digits", *pair, of][0] for of in "l9"] == ["holds", "fails"] for pair in (
        (1000, 100), (5000, 1000)))    # what the title says
    every = {id(record): record["device"] for values in groups.values() for rows in values.values()
             for record in rows.values()}  # 3 layers stand in two groups, and are read once
    gpu = sum("H100" in device for device in every.values())
    long = sum(map(len, groups["layers, 5000 digits"].values()))
    said.says(f"In Figure 8.2, {gpu} of the {long} runs of 5000 digits ran on a GPU, all others on a CPU.")
    assert gpu == sum("H100" in record["device"] for rows in groups["layers, 5000 digits"].values()
                      for record in rows.values())
    runs, same, every_level, neither, differ = map(int, re.search(
        r"In (\d+) runs on an NVIDIA H100.*, (\d+) of (\d+) thresholds are crossed by both at the same batch, and "
        r"(\d+) by neither: \*\*(\d+)\*\* differ", said.text).groups())
    low, high = ends((0, 8, 0))
    said.says(f"(Runs that differ: 0 of 8, 95% interval {low:.0%} to {high:.0%}.)")
    captions = [output.get("metadata", {}).get("caption", "")
                for cell in said.cells for output in cell.get("outputs", [])]
    assert any(caption.endswith("C1b and C7 are asked in one way only, and C2 and C10a have levels of their own.")
               for caption in captions)
    assert [{claim for claim in kept.keys() - words.keys() if bool(kept[claim]["measures"]) is asked}
            for asked in (False, True)] == [{"C1b", "C7"}, {"C2", "C10a"}]
    return kept, groups, found, (runs, every_level, same + neither, differ) == (8, 8 * 19, 8 * 19, 0)


def appendix_headings(kept, groups, found, agree):
    """Cells of the figures, worked out again, and what is said of all."""
    lengths = {n: {seed: record for seed, record in rows.items() if seed < 20}  # those that 02 shows
               for n, rows in groups["digits, 3 layers"].items()}
    deep = groups["layers, 100 digits"]
    again = {
        "C1a": {f"{share}% of sums right": within_window(20 * share) for share in (50, 80, 90, 95, 98, 99)},
        "C3": {name: compared(together(lengths, of), (5000, 1000, 100, 10)) for name, of in LOSSES.items()},
        "C4": {name: compared(together({n: lengths[n] for n in (10, 100)}, of), (10, 100))
               for name, of in ACCURACIES.items()},
        "C5a": {name: leading(together({k: deep[k] for k in (2, 3, 4)}, of), 3) for name, of in LOSSES.items()},
        "C5b": {name: leading(together({k: deep[k] for k in (2, 3, 4)}, of), 3) for name, of in ACCURACIES.items()},
        "C6a": {name: compared(together({k: groups["layers, 5000 digits"][k] for k in (4, 3, 2)}, of), (4, 3, 2))
                for name, of in ACCURACIES.items()},
        "C8": {name: compared(together(groups["cells, 100 digits"], of), ("RNN", "GRU", "LSTM")) for name, of in (
            LOSSES | ACCURACIES).items()}}
    for claim, cells in again.items():
        for name, answers in cells.items():
            assert kept[claim]["measures"][name] == [word(*answers), *answers], (claim, name)
    for claim, entry in kept.items():
        for verdict, *answers in entry["measures"].values():
            assert verdict == word(*answers), claim
        assert not entry["measures"] or entry["measures"][entry["by"]][0] == entry["verdict"], claim
    words = sides_by_measure(kept)
    turned = [claim for claim, (_, sides) in words.items() if len(sides) == 2]
    half, most = (kept["C1a"]["measures"][f"{share}% of sums right"] for share in (50, 99))
    cell_order, best = ({name: cell[0] for name, cell in kept[claim]["measures"].items()} for claim in ("C8", "C5b"))
    lens, cells = "digits", "cells, 100 digits"
    few, new = ({k: {seed: record for seed, record in deep[k].items() if seed in part} for k in (2, 3, 4)}
                for part in (range(20), range(20, 40)))
    first_look, second_look = ([within_window(1980, part), *(leading(together(some, of), 3) for of in (loss, sums))]
                               for part, some in ((range(20), few), (range(20, 40), new)))
    far = {k: groups["layers, 5000 digits"][k] for k in (4, 3, 2)}
    twelve, six = (compared(together({k: {seed: record for seed, record in rows.items() if seed in part}
                                      for k, rows in far.items()}, sums), (4, 3, 2))
                   for part in (range(12), range(12, 18)))
    depths = [config.layers for config in experiments.calibration([])]
    return {
        "## Two of ten statements turn round with the threshold": len(words) == 10 and turned == ["C1a", "C8"],
        "by batch 200 all forty networks have half of their sums right, but only a third have had ten batches at 99%":
            half[1:] == [40, 0, 0] and 0.3 < most[1] / 40 < 0.37,
        "Dated by the middle of the ten, 19 of 40 are in time: *mixed*": sum(
            100 <= sums(record) - 4.5 <= 200 for record in group(range(40)).values()) == 19,
        "C5a would mostly fail if its two ties counted as *no*": kept["C5a"]["seeds"].count(None) == 2
            and word(kept["C5a"]["seeds"].count(True), 40 - kept["C5a"]["seeds"].count(True), 0) == "mostly fails",
        "The order of the cells (C8) mostly holds at a loss of 0.5, and mostly fails at 0.01":
            (cell_order["loss below 0.5"], cell_order["loss below 0.01"]) == ("mostly holds", "mostly fails"),
        "it mostly holds at 99% and 99.5% of sums, and is mixed by every other measure": all(
            verdict == ("mostly holds" if name in ("99% of sums right", "99.5% of sums right") else "mixed")
            for name, verdict in best.items()),
        "often cannot tell which setting is first: for C5b in at least 25 of 40 seeds":
            min(kept["C5b"]["measures"][name][3] for name in TEST) == 25 and len(kept["C5b"]["seeds"]) == 40,
        "## Loss and whole sums disagree on long numbers and on cells": all(
            (found[lens, a, b, "l"][0], found[lens, a, b, "9"][0]) == ("holds", "fails")
            for a, b in ((1000, 100), (5000, 1000))),
        "From 10 to 100 digits, longer numbers save batches by both measures": all(
            found[lens, 100, 10, of][0] in ("holds", "mostly holds") for of in "l9"),
        "the loss still falls a little sooner, but whole sums take about twice as many batches at each "
        "step": all(
            0.9 < found[lens, a, b, "l"][1] < 1 and 1.8 < found[lens, a, b, "9"][1] < 2.2
            for a, b in ((1000, 100), (5000, 1000))),
        "Whole sums thus break C4 at its first step only: 100 digits come before 10": [
            found[lens, a, b, "9"][0] for a, b in ((100, 10), (1000, 100), (5000, 1000))] == [
            "mostly holds", "fails", "fails"],
        "A third layer saves batches by both measures; for a fourth layer no gain is certain: at 100 digits 26 of 40 "
        "seeds gain by loss, and by sums it mostly loses": compared(
            together({k: deep[k] for k in (4, 3)}, loss), (4, 3)) == (26, 12, 2) and (
            found["layers, 100 digits", 4, 3, "9"][0] == "mostly fails") and {
            found[f"layers, {n} digits", 3, 2, of][0] for n in (100, 5000) for of in "l9"} <= {
            "holds", "mostly holds"} and {found[f"layers, {n} digits", 4, 3, of][0] for n in (100, 5000)
            for of in "l9"} == {"mixed", "mostly fails"},
        "at the two thresholds of the verdicts": {
            kept[claim]["by"] for claim in ("C3", "C4", "C5a", "C5b", "C6a", "C6b", "C8")} == {
            "loss below 0.1", "99% of sums right"},
        "Here the RNN leads the GRU only in whole sums, and the GRU leads the LSTM only in the loss": [
            found[cells, a, b, of][0] for a, b in (("RNN", "GRU"), ("GRU", "LSTM")) for of in "l9"] == [
            "mixed", "holds", "holds", "mixed"],
        "At 0.5 and 90%, C8 mostly holds by both (Fig. 8.1)": cell_order["loss below 0.5"] == cell_order[
            "90% of sums right"] == "mostly holds",
        "## The verdicts on C1a and C5b are leanings": [
            claim for claim, entry in kept.items() if len(entry["seeds"]) == 40] == ["C1a", "C5a", "C5b"] and [
            claim for claim in ("C1a", "C5a", "C5b", "C6a") if kept[claim]["verdict"] != "mixed"] == ["C1a", "C5b"],
        "After twenty seeds, the verdicts on C1a, C5a and C5b were *mixed*": {
            word(*look) for look in first_look} == {"mixed"},
        "C6a was *mixed* with twelve seeds, and got six more": word(*twelve) == "mixed" and sum(
            twelve) == 12 and len(kept["C6a"]["seeds"]) == 18 and "seeds 12 to 17 by" in of_gpu_made_by(),
        "C1b and C8 were *mixed*, too, and got none": sorted(
            claim for claim, entry in kept.items() if entry["verdict"] == "mixed" and len(entry["seeds"]) == 20) == [
            "C1b", "C8"],
        "A GPU adds in another order than a CPU, and its tanh is less exact ([chapter 7](07_proof.ipynb))":
            all(row["errors"]["RNN"] > checker.FUNCTION_ERROR for row in study("functions")),  # which a CPU keeps to
        "Alone, the new seeds are *mixed* each time": {word(*look) for look in (*second_look, six)} == {"mixed"},
        "For C1a and C5b both looks lean to the same side": all(
            sum(look[:2]) and (look[0] < look[1]) is less for less, looks in (
                (True, (first_look[0], second_look[0])), (False, (first_look[2], second_look[2]))) for look in looks),
        "with one look of twenty seeds both would be *mixed*": {
            word(*look) for looks in (first_look, second_look) for look in (looks[0], looks[2])} == {"mixed"},
        "So we added twenty more, seeds 20 to 39": all(
            max(rows) == 39 and len(rows) == 40 for k, rows in deep.items() if k > 1),
        "one of one layer, one of two, four of three and two of four": [
            depths.count(k) for k in (1, 2, 3, 4)] == [1, 1, 4, 2],
        "We compare the batches at which they cross 19 thresholds, 12 of the loss and 7 of whole sums":
            (len(LOSSES), len(ACCURACIES)) == (12, 7),
        "## In eight runs GPU and CPU differ at no threshold": agree,
        "## A statement has to say what it measures": len(turned) == 2,
        "cut into 14 statements": len(kept) == 14,
        "For measures our prediction fails: C1a *mostly fails*, but (mostly) holds at every lower threshold, and C8, "
        "*mixed*, mostly holds at some thresholds and mostly fails at others": turned == ["C1a", "C8"] and (
            kept["C1a"]["verdict"], kept["C8"]["verdict"]) == ("mostly fails", "mixed") and all(
            kept["C1a"]["measures"][f"{share}% of sums right"][0].removeprefix("mostly ") == "holds"
            for share in (50, 80, 90, 95, 98)) and {"holds", "fails"} <= {
            verdict.removeprefix("mostly ") for name, (verdict, *_) in kept["C8"]["measures"].items()
            if name in ACCURACIES | LOSSES},
        "For machines the prediction stands so far: in eight runs no threshold moved": agree}


def of_gpu_made_by():
    return json.loads((ROOT / "records" / "gpu" / "5000-digits.json").read_bytes())["made_by"]


def within_window(least, seeds=range(40)):
    """(yes, no, undecided): seeds of 10 digits that have so many of 2000 sums right between batches 100 and 200."""
    found = [100 <= sums(record, least=least) <= 200 for record in group(seeds).values()]
    return sum(found), len(found) - sum(found), 0
