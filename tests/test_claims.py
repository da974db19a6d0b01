"""Verdicts: the scale, what they hang on, and how they are kept."""

import json
import threading

import numpy as np
import pytest

from addlab.study import claims
from addlab.study.measures import Measure
from addrnn import Config, Run


def seeds(yes, no, undecided=0):
    return dict(enumerate([True] * yes + [False] * no + [None] * undecided))


@pytest.mark.parametrize("found, verdict", [
    (seeds(6, 0), "holds"), (seeds(20, 0), "holds"), (seeds(15, 5), "mostly holds"), (seeds(8, 1), "mostly holds"),
    (seeds(5, 0), "not settled"), (seeds(7, 1), "not settled"), (seeds(0, 0), "not settled"),
    (seeds(0, 5), "not settled"), (seeds(3, 2), "mixed"), (seeds(14, 6), "mixed"),
    (seeds(10, 10), "mixed"), (seeds(0, 6), "fails"), (seeds(1, 8), "mostly fails"),
    (seeds(15, 0, 5), "holds"), (seeds(14, 0, 6), "not settled"), (seeds(1, 0, 19), "not settled"),
    (seeds(0, 15, 5), "fails"), (seeds(2, 13, 5), "mixed")])
def test_the_verdict_says_how_sure_the_seeds_make_us(found, verdict):
    assert claims.judge(found) == verdict


@pytest.mark.parametrize("count", range(26))
def test_no_verdict_hangs_on_a_tie(count):
    """Whatever a tied seed would have said: a side that is taken is taken."""
    for yes in range(count + 1):
        for ties in range(count - yes + 1):
            verdict = claims.judge(seeds(yes, count - yes - ties, ties))
            if verdict in ("holds", "mostly holds", "fails", "mostly fails"):
                either = {claims.judge(seeds(yes + k, count - yes - k)) for k in range(ties + 1)}
                assert {claims.SIDES.get(word, word) for word in either} == {claims.SIDES.get(verdict, verdict)}


def test_answers_of_numpy_are_answers():
    assert claims.judge(dict(enumerate(np.arange(6) >= 0))) == "holds"


def test_undecided_seeds_are_shown_and_chance_stands_beside_the_share():
    assert claims.share(seeds(2, 1, 1)) == "2 of 4 seeds, 1 undecided" and claims.share(seeds(1, 0)) == "1 of 1 seed"
    assert claims.evidence_of(seeds(13, 5, 2), 4) == (
        "13 of 20 seeds, 2 undecided; 95% interval 41% to 91%; 5 by chance")
    assert claims.evidence_of(seeds(13, 5, 2), 6) == (
        "13 of 20 seeds, 2 undecided; 95% interval 41% to 91%; about 3 by chance")
    assert claims.evidence_of(seeds(5, 0), 24) == "5 of 5 seeds; 95% interval 48% to 100%; fewer than 1 by chance"
    assert claims.evidence_of(seeds(0, 6), what="model") == "0 of 6 models; 95% interval 0% to 46%"
    assert claims.evidence_of(seeds(0, 6), 2, step="its last step, 3 before 2") == (
        "0 of 6 seeds for its last step, 3 before 2; 95% interval 0% to 46%; 3 by chance")


def test_an_order_is_asked_of_the_link_that_breaks_it():
    """Of ten seeds with 10 and 100 digits all have 100 first; only two have 1000 digits, too."""
    def group(rises, seeds):
        return [Run(Config(seed=seed, batches=300), batch_accuracy=[0.0] * rises + [1.0] * (300 - rises))
                for seed in range(seeds)]

    accuracy, groups = Measure("accuracy", 0.99), {10: group(90, 10), 100: group(60, 10), 1000: group(200, 2)}
    assert claims.weakest(groups, [10, 100, 1000], accuracy) == [10, 100]
    assert claims.weakest(groups, [100, 10, 1000], accuracy) == [100, 10, 1000]  # nothing breaks it: the whole is asked
    assert claims.judge(claims.orders(groups, [10, 100], [accuracy])[accuracy]) == "fails"
    names = {n: f"{n} digits" for n in groups}
    assert [claims.step_of(part, [10, 100, 1000], names) for part in ([10, 100], [100, 1000], [10, 100, 1000])] == [
        "its first step, 10 digits before 100 digits", "its last step, 100 digits before 1000 digits", ""]
    first = "One step breaks it: 100 digits come before 10 digits in 10 of 10 seeds. From 100 digits on, the order is "
    said = {("10 100", "10 100 1000"): f"{first}seen in 2 of 2 seeds.",
            ("10 100", "10 100 1000 10000"): f"{first}seen in 2 of 2 seeds.",
            ("10 100", "10 100"): "The order 10 digits before 100 digits is seen in 0 of 10 seeds.",
            ("100 10", "1000 100 10"): "One step breaks it: 10 digits come before 100 digits in 0 of 10 seeds. Up to "
                                       "100 digits, the order is seen in 0 of 2 seeds.",
            ("100 1000", "10 100 1000 10000"): "One step breaks it: 1000 digits come before 100 digits in 0 of 2 "
                                               "seeds. Up to 100 digits, the order is seen in 0 of 10 seeds.",
            ("10 1000", "10 1000 100"): "One step breaks it: 1000 digits come before 10 digits in 0 of 2 seeds. From "
                                        "1000 digits on, the order is seen in 0 of 2 seeds."}
    groups[10000] = group(250, 2)
    for (part, order), words in said.items():
        part, order = (list(map(int, text.split())) for text in (part, order))
        assert claims.by_steps(groups, part, order, accuracy, names | {10000: "10000 digits"}) == words


def test_a_verdict_is_kept_by_every_measure_its_own_first():
    found = {Measure("loss", 0.3): seeds(8, 1), Measure("loss", 0.1): seeds(6, 0), Measure("loss", 1.5): seeds(3, 3),
             Measure("test", 1.0): seeds(0, 5, 1)}
    by_measure = claims.flips(found, Measure("loss", 0.1))
    assert list(by_measure.items()) == [
        ("loss below 0.1", ["holds", 6, 0, 0]), ("loss below 0.3", ["mostly holds", 8, 1, 0]),
        ("loss below 1.5", ["mixed", 3, 3, 0]), ("100% of sums right in the test", ["not settled", 0, 5, 1])]
    assert claims.flips({Measure("loss", 0.1): {}}, Measure("loss", 0.1)) == {}


def test_a_dot_for_each_seed_in_fives():
    assert claims.dots([True] * 6 + [False] * 3 + [None]) == "●●●●● ●○○○◐" and claims.dots([]) == ""
    assert claims.dots([False, None, True]) == "●○◐"


def test_what_most_runs_do_not_reach_takes_more_than_they_have():
    right, wrong = ([Run(Config(seed=seed, batches=300), batch_accuracy=[share] * 300) for seed in seeds]
                    for share, seeds in ((1.0, (0, 1)), (0.5, (2, 3))))
    accuracy = Measure("accuracy", 0.99)
    assert claims.reached(right, accuracy) == claims.reached(right + wrong[:1], accuracy) == "10"
    assert claims.reached(wrong, accuracy) == "more than 300" and claims.reached([], accuracy) == "-"


def test_a_pair_has_the_ratio_of_its_seeds_and_an_interval_from_six_on():
    def group(*rises):
        return [Run(Config(seed=seed, batches=300), batch_accuracy=[0.0] * batch + [1.0] * (300 - batch))
                for seed, batch in enumerate(rises)]

    def ratio(quick, slow):
        groups, by = {"quick": group(*quick), "slow": group(*slow)}, [Measure("accuracy", 0.99), Measure("missed")]
        (a, b, says), = claims.pairs(groups, [("quick", "slow")], by)
        assert (a, b) == ("quick", "slow") and list(says) == by
        found, ratio = says[by[0]]
        assert found == {seed: x < y or None for seed, (x, y) in enumerate(zip(quick, slow, strict=True))}
        return claims.interval(*ratio)

    # The running mean adds ten batches.
    assert ratio([90] * 6, [190, 190, 190, 190, 190, 240]) == "0.50 (0.40 to 0.50)"
    assert ratio([90] * 5, [190, 190, 190, 190, 240]) == "0.50"
    assert ratio([300] * 6, [300] * 6) == "-"  # none of these gets there


def test_numbers_in_words():
    assert claims.median({0: 1, 1: float("inf"), 2: float("inf")}) == "never" and claims.median({}) == "-"
    assert claims.interval(0.7, 0.66, 0.75) == "0.70 (0.66 to 0.75)"
    assert claims.interval(float("nan"), float("nan"), float("nan")) == "-" and claims.interval(0.7) == "0.70"
    times = {1: {0: 9, 1: 8}, 3: {0: 4, 1: 5}, 4: {0: 5, 1: 4}, 6: {0: float("inf"), 1: float("inf")}}
    assert claims.ranking(times) == "3 = 4, 1" and claims.winners(times, {k: f"{k} layers" for k in times}) == (
        "3 layers and 4 layers")
    assert [claims.fewer((x, 0, 1)) for x in (0.69, 1.048, 1.0, float("nan"))] == [
        "31% fewer", "5% more", "0% fewer", "-"]
    assert claims.ranking({}) == claims.winners({}, {}) == "none" and claims.batches(207.5) == "208"
    assert claims.listing(list("abc")) == "a, b and c" and claims.listing(["a"]) == "a"


def test_verdicts_are_merged_claim_by_claim_in_the_claims_order(home):
    claims.record("C10a", seeds(0, 5), "ten")
    claims.record("C2", seeds(5, 0), "two")
    claims.record("C10a", seeds(3, 2), "ten, again\n  and whole", {"so": ["mixed", 3, 2, 0]}, 6)
    path = home / "records" / "verdicts.json"
    entries = json.loads(path.read_text())
    assert list(entries) == ["C2", "C10a"]
    assert entries["C10a"] == {"verdict": "mixed", "sentence": "ten, again and whole",
                               "evidence": "3 of 5 seeds; 95% interval 15% to 95%; fewer than 1 by chance",
                               "seeds": [True] * 3 + [False] * 2, "by": "so",
                               "measures": {"so": ["mixed", 3, 2, 0]}}
    before = path.read_bytes()
    claims.record("C2", seeds(5, 0), "two")
    assert path.read_bytes() == before
    assert "| C2 |" in claims.summary() and "**mixed**" in claims.summary()


def test_no_verdict_is_lost_between_two_writers(home):
    threads = [threading.Thread(target=claims.record, args=(claim, {}, claim)) for claim in claims.CLAIMS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(claims.entries_so_far()) == list(claims.CLAIMS)


def test_an_unknown_claim_is_refused(home):
    with pytest.raises(ValueError, match="allowed is"):
        claims.record("C11", {}, "")
