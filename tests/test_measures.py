"""Measures of learning on planted curves: known crossings, ties, censored runs, and each fault of an earlier ruler."""

import itertools
import math

import numpy as np
import pytest

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
    assert measures.earliest({name: measures.by_seed(group, loss) for name, group in groups.items()}) == "few"


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


@pytest.mark.parametrize("right, count, interval", [(5, 5, (0.5655, 1.0)), (0, 5, (0.0, 0.4345)),
                                                    (10, 20, (0.2993, 0.7007)), (0, 0, (0.0, 1.0))])
def test_wilsons_interval_is_that_of_the_tables(right, count, interval):
    assert measures.wilson(right, count) == pytest.approx(interval, abs=1e-4)


def test_a_ratio_comes_with_an_interval_that_holds_it_and_is_the_same_each_time():
    a, b = ({seed: 100 * scale + seed for seed in range(20)} for scale in (1, 2))
    value, low, high = measures.ratio(a, b)
    assert low < value < high and high - low < 0.1
    assert value == pytest.approx(109.5 / 209.5)
    assert measures.ratio(a, b) == (value, low, high)
    never = {seed: math.inf for seed in range(3)}
    assert measures.ratio(never, b)[0] == math.inf and math.isnan(measures.ratio(never, never)[0])


def test_the_bootstrap_covers_the_true_ratio_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(1), 0
    for _ in range(60):
        a, b = (dict(enumerate(rng.normal(mean, 10, 15))) for mean in (100, 150))
        _, low, high = measures.ratio(a, b)
        hits += low <= 100 / 150 <= high
    assert hits >= 50


def test_improvement_counts_all_pairs_of_seeds_and_ties_half():
    a, b = {0: 1, 1: 3}, {0: 2, 1: 3, 2: math.inf}
    wins = [(x < y) + (x == y) / 2 for x, y in itertools.product(a.values(), b.values())]
    assert measures.improvement(a, b)[0] == pytest.approx(sum(wins) / 6)
    assert measures.improvement(a, a)[0] == 0.5


def test_explained_variance_tells_settings_from_luck():
    luck = np.random.default_rng(0).normal(size=(3, 4, 50))
    shares = [measures.explained([dict(enumerate(np.exp(row + k * shift))) for k, row in enumerate(part)])
              for part, shift in zip(luck, (0, 1, 20), strict=True)]
    assert shares[0] < 0.05 < 0.4 < shares[1] < 0.7 < 0.99 < shares[2]
    assert math.isnan(measures.explained([{0: 1.0}, {0: 2.0}]))  # one seed a setting says nothing
