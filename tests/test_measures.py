"""Measures of learning on planted curves: known crossings, ties, censored runs, and each fault of an earlier ruler."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from conftest import ROOT

from addlab.study import measures
from addlab.study.measures import Measure
from addrnn import Config, Run


def planted(falls_at, seed=0, batches=400, low=0.01, high=2.0):
    """A run whose loss drops from `high` to `low`, and whose accuracy rises from 0 to 1, after batch `falls_at`."""
    late = np.arange(1, batches + 1) > falls_at
    run = Run(Config(seed=seed, batches=batches), loss=np.where(late, low, high).tolist(),
              eval_batch=list(range(50, batches + 1, 50)))
    run.batch_accuracy = late.astype(float).tolist()
    run.accuracy = [run.batch_accuracy[batch - 1] for batch in run.eval_batch]
    return run


# To the batch

def test_the_running_mean_is_that_of_the_last_ten_batches_at_every_batch():
    values = np.random.default_rng(0).normal(size=57)
    means = measures.running_mean(values)
    assert len(means) == 48
    for i, mean in enumerate(means):
        assert math.isclose(mean, math.fsum(values[i : i + 10]) / 10)
    assert len(measures.running_mean([1.0] * 9)) == 0
    assert set(measures.running_mean([1.0] * 30)) == {1.0}  # so that an accuracy of 1 is found


@pytest.mark.parametrize("falls_at", [100, 133, 134, 137])
def test_a_planted_crossing_is_found_to_the_batch(falls_at):
    run = planted(falls_at)
    assert Measure("accuracy", 1.0)(run) == falls_at + 10
    assert Measure("accuracy", 0.5)(run) == falls_at + 5
    assert Measure("loss", 0.5)(run) == falls_at + 8  # the mean of two 2.0 and eight 0.01 is 0.408


def accurate(counts, batch_size=200, **settings):
    """A run with so many right sums in each batch."""
    shares = [count / batch_size for count in counts]
    return Run(Config(batches=len(counts), batch_size=batch_size, **settings), batch_accuracy=shares)


def test_a_tie_with_the_level_is_reached():
    """100 digits, seed 12: 1980 of 2000 sums are right at batch 169 with three layers, at 172 with four."""
    found = {}
    for folder, layers in (("digit_len=100", 3), ("digit_len=100,layers=4", 4)):
        record = json.loads((ROOT / "records" / "runs" / folder / "seed12.json").read_text())
        run = Run(Config(**record["config"]), batch_accuracy=record["batch_accuracy"])
        found[run.config.layers] = Measure("accuracy", 0.99)(run)
        counts = [round(200 * share) for share in record["batch_accuracy"]]
        sums = [sum(counts[end - 10 : end]) for end in range(10, 1001)]
        assert found[layers] == 10 + next(i for i, right in enumerate(sums) if right >= 1980)
        assert sums[found[layers] - 10] == 1980
    assert found == {3: 169, 4: 172}


@pytest.mark.parametrize("level", ["0.5", "0.8", "0.9", "0.95", "0.98", "0.99", "0.995", "0.7", "0.29"])
@pytest.mark.parametrize("batch_size", [200, 7, 300])
def test_any_level_is_compared_with_whole_sums(level, batch_size):
    """Windows around a tie, whose means in floats fall on either side of the level."""
    rng, bound = np.random.default_rng(0), Fraction(level) * 10 * batch_size
    for target in (math.ceil(bound), math.ceil(bound) - 1):
        for _ in range(20):
            counts = rng.multinomial(target, [0.1] * 10)
            if counts.max() <= batch_size:
                assert math.isfinite(Measure("accuracy", float(level))(accurate(counts.tolist(), batch_size))) == (
                    target >= bound)


def test_test_accuracy_is_a_count_too():
    run = Run(Config(test_batch_size=300), accuracy=[296 / 300, 0.99], eval_batch=[50, 100])
    assert Measure("test", 0.99)(run) == 100 and Measure("test", 0.995)(run) == math.inf


def test_what_a_grid_of_ten_batches_calls_a_tie_is_told_apart():
    """As at 1000 and 5000 digits: 134 and 133 batches were both 140 on the grid, and the claim "failed"."""
    longer, shorter = planted(123), planted(124)
    times = [measures.by_seed([run], Measure("loss", 0.1)) for run in (longer, shorter)]
    assert measures.sooner(*times) == {0: True}


def test_what_a_run_misses_in_all_needs_no_level_and_is_never_censored():
    missed = Measure("missed")
    assert [missed(planted(n)) for n in (0, 100, 133)] == [0, 100, 133]
    assert missed(planted(100), within=60) == 60
    slow, late = planted(200), planted(200)
    slow.batch_accuracy = np.linspace(0, 1, 400).tolist()  # half of its sums are wrong, on the way
    assert missed(slow) == pytest.approx(200) and measures.sooner({0: missed(late)}, {0: missed(slow) + 1}) == {0: True}
    short = planted(100)
    short.batch_accuracy = short.batch_accuracy[:150]  # diverged after 50 right batches: the other 250 are missed
    assert missed(short) == 350


def test_what_comes_after_the_horizon_is_not_looked_at():
    run = planted(200)
    for measure in (Measure("loss", 0.1), Measure("accuracy", 0.99), Measure("test", 1.0)):
        assert measure(run, within=200) == math.inf
        assert math.isfinite(measure(run, within=250))
    assert measures.final_loss(run, within=200) == 2.0 and measures.final_loss(run) == pytest.approx(0.01)


def test_a_seed_is_compared_as_far_as_all_its_runs_go():
    """One seed was trained longer than another: its late batches count, but where its rival has none."""
    groups = {"long": [planted(450, seed=0, batches=500), planted(450, seed=1, batches=500)],
              "short": [planted(450, seed=0, batches=500), planted(450, seed=1, batches=400)]}
    found = measures.times(groups, Measure("loss", 0.1))
    assert math.isfinite(found["long"][0]) and math.isfinite(found["short"][0])
    assert found["long"][1] == found["short"][1] == math.inf


def test_a_setting_is_not_behind_because_its_seeds_are_slow_ones():
    """5000 digits are sooner than 1000 in each of the seeds that both have, which are later than the others."""
    loss = Measure("loss", 0.1)
    groups = {"many": [planted(100 + 20 * seed, seed) for seed in range(10)],
              "few": [planted(95 + 20 * seed, seed) for seed in (6, 8, 9)]}
    found = measures.times(groups, loss)
    assert list(found["many"]) == list(found["few"]) == [6, 8, 9] and measures.ratio(found["few"], found["many"])[0] < 1
    assert measures.earliest({name: measures.by_seed(group, loss) for name, group in groups.items()}) == ["few"]


def test_a_tie_has_two_that_are_earliest_and_who_never_comes_is_not_first():
    never = math.inf
    assert measures.earliest({3: {0: 5, 1: 7}, 4: {0: 6, 1: 6}, 1: {0: 9, 1: 9}}) == [3, 4]
    assert measures.earliest({3: {0: never}, 4: {0: never}}) == measures.earliest({}) == []


def test_what_runs_miss_is_counted_over_the_batches_that_all_have():
    """As at 5000 digits: a seed of 500 batches beside seeds of 1000 must not be ahead for its shortness."""
    groups = {k: [planted(400, seed=seed, batches=1000) for seed in range(2)] + [planted(400, seed=2, batches=500)]
              for k in (3, 4)}
    groups[3].append(planted(400, seed=9, batches=100))  # a seed that one setting alone has shortens nothing
    assert measures.times(groups, Measure("missed")) == {k: dict.fromkeys(range(3), 400) for k in (3, 4)}
    groups[4][2] = planted(400, seed=2, batches=300)
    assert measures.times(groups, Measure("missed")) == {k: dict.fromkeys(range(3), 300) for k in (3, 4)}


def test_a_diverged_run_has_no_final_loss_but_keeps_what_it_reached_before():
    run = planted(100)
    run.loss, run.diverged = [*run.loss[:150], math.nan], True
    assert measures.final_loss(run) == math.inf
    assert measures.final_loss(run, within=150) == pytest.approx(0.01)
    assert Measure("loss", 0.5)(run) == 108


@pytest.mark.parametrize("accuracy, first, for_good", [
    ([0, 0.5, 1, 1], 150, 150), ([0, 1, 0.5, 1], 100, 200), ([0, 1, 1, 0.9], 100, math.inf), ([0], math.inf, math.inf)])
def test_the_originals_ruler_looks_every_50_batches(accuracy, first, for_good):
    run = Run(Config(), accuracy=accuracy, eval_batch=[50 * (i + 1) for i in range(len(accuracy))])
    assert Measure("test", 1.0)(run) == first
    assert Measure("test for good", 1.0)(run) == for_good


# Seeds

def test_a_tie_is_a_tie_and_two_censored_runs_decide_nothing():
    never = math.inf
    a, b = {0: 1, 1: 5, 2: 7, 3: never, 4: never}, {0: 2, 1: 4, 2: 7, 3: never, 4: 3}
    assert measures.sooner(a, b) == {0: True, 1: False, 2: None, 3: None, 4: False}
    assert measures.sooner({0: 3}, {0: never}) == {0: True}
    assert measures.sooner({0: 1, 1: 2}, {1: 3}) == {1: True}
    assert measures.sooner({0: 1}, {0: never}, {0: never}) == {0: None}
    assert measures.sooner({0: 5}, {0: 1}, {0: 1}) == {0: False}  # one step against it is enough


def test_the_first_of_several_is_undecided_where_a_tie_hides_it():
    times = {1: {0: 9, 1: 9, 2: 1}, 3: {0: 1, 1: 4, 2: 4}, 4: {0: 2, 1: 4, 2: 4}}
    assert measures.first(times, 3) == {0: True, 1: None, 2: False}


def test_runs_of_two_lengths_are_compared_within_the_batches_that_both_have():
    """As at 5000 digits: 400 batches of one setting beside 1000 of another do not make it the last."""
    times = measures.times({"short": [planted(500, batches=400)], "long": [planted(450, batches=1000)]},
                           Measure("loss", 0.1))
    assert times == {"short": {0: math.inf}, "long": {0: math.inf}}
    assert measures.sooner(times["long"], times["short"]) == {0: None}


# Digits of the interval from published tables of Clopper and Pearson.
@pytest.mark.parametrize("yes, no, interval", [(5, 0, (0.4782, 1.0)), (6, 0, (0.5407, 1.0)), (0, 5, (0.0, 0.5218)),
                                               (10, 10, (0.2720, 0.7280)), (0, 0, (0.0, 1.0))])
def test_the_interval_is_that_of_the_tables(yes, no, interval):
    assert measures.interval(yes, no) == pytest.approx(interval, abs=1e-4)


def test_the_interval_leaves_out_a_share_as_seldom_as_it_says():
    """At its ends the share is such that what was seen, or more of it, has a chance of one in forty."""
    low, high = measures.interval(13, 7)
    tails = [sum(math.comb(20, k) * p**k * (1 - p) ** (20 - k) for k in ks)
             for p, ks in ((low, range(13, 21)), (high, range(14)))]
    assert tails == pytest.approx([0.025, 0.025])


def test_an_undecided_seed_could_be_either():
    low, high = measures.interval(13, 5, 2)
    assert low == measures.interval(13, 7)[0] and high == measures.interval(15, 5)[1]


def test_a_ratio_is_that_of_the_same_seeds():
    """Seeds differ more than settings: the setting takes 0.9 of the batches in each seed, which medians would hide."""
    b = {seed: 100 + 20 * seed for seed in range(7)}
    assert measures.ratio({seed: 0.9 * x for seed, x in b.items()}, b) == pytest.approx((0.9, 0.9, 0.9))
    assert measures.ratio({0: 90, 1: 5, 9: 1}, {0: 100, 1: 10})[0] == pytest.approx(0.7)  # seed 9 has no partner


def test_the_interval_of_a_ratio_is_that_of_a_median():
    """With six seeds all lie within it, since six coins agree once in 32; with nine, one may lie beyond either end."""
    a, one = {seed: seed + 1 for seed in range(9)}, dict.fromkeys(range(9), 1)
    assert measures.ratio(a, one) == (5, 2, 8)
    assert measures.ratio({seed: a[seed] for seed in range(6)}, one) == (3.5, 1, 6)
    value, *ends = measures.ratio({seed: a[seed] for seed in range(5)}, one)
    assert value == 3 and all(map(math.isnan, ends))  # five are too few


def test_a_seed_that_neither_setting_brings_there_could_have_any_ratio():
    never = dict.fromkeys(range(6), math.inf)
    a, one = {seed: seed + 1 for seed in range(6)}, dict.fromkeys(range(6), 1)
    _, low, high = measures.ratio(a | {5: math.inf}, one | {5: math.inf})
    assert (low, high) == (0, math.inf)
    assert measures.ratio(never, one) == (math.inf,) * 3 and math.isnan(measures.ratio(never, never)[0])
    assert math.isnan(measures.ratio({}, one)[0])


def test_the_interval_of_a_ratio_covers_the_true_one_as_often_as_it_says():
    rng, hits = np.random.default_rng(1), 0
    for _ in range(200):
        luck, noise = rng.normal(0, 0.5, 12), rng.normal(0, 0.2, 12)
        a, b = (dict(enumerate(np.exp(x))) for x in (luck + noise + math.log(0.8), luck))
        _, low, high = measures.ratio(a, b)
        hits += low <= 0.8 <= high
    assert hits >= 186
