"""Verdicts: the scale, what they hang on, and how they are kept."""

import json
import threading

import pytest

from addlab.study import claims
from addlab.study.measures import Measure
from addrnn import Config, Run


def seeds(yes, no, undecided=0):
    return dict(enumerate([True] * yes + [False] * no + [None] * undecided))


@pytest.mark.parametrize("found, verdict", [
    (seeds(5, 0), "holds"), (seeds(20, 0), "holds"), (seeds(15, 5), "mostly holds"), (seeds(7, 1), "mostly holds"),
    (seeds(4, 1), "not settled"), (seeds(3, 0), "not settled"), (seeds(0, 0), "not settled"),
    (seeds(0, 3), "not settled"), (seeds(3, 2), "mixed"),
    (seeds(10, 10), "mixed"), (seeds(0, 5), "fails"), (seeds(1, 7), "mostly fails"),
    (seeds(5, 0, 2), "holds"), (seeds(1, 0, 19), "not settled")])
def test_the_verdict_says_how_sure_the_seeds_make_us(found, verdict):
    assert claims.judge(found) == verdict


def test_an_undecided_seed_speaks_for_neither_side():
    assert claims.judge(seeds(5, 0, 5)) == claims.judge(seeds(5, 0))
    assert claims.share(seeds(2, 1, 1)) == "2 of 3 seeds, 1 undecided" and claims.share(seeds(1, 0)) == "1 of 1 seed"


def test_a_verdict_says_by_which_measures_it_flips():
    found = {Measure("loss", 0.1): seeds(5, 0), Measure("loss", 0.3): seeds(7, 1), Measure("loss", 1.5): seeds(2, 3),
             Measure("test", 1.0): seeds(0, 5)}
    assert claims.flips(found, Measure("loss", 0.1)) == (
        "The same by 2 of 4 measures; **mixed** by loss below 1.5; **fails** by 100 % of sums right in the test.")
    del found[Measure("loss", 1.5)], found[Measure("test", 1.0)]
    assert claims.flips(found, Measure("loss", 0.1)) == "The same by all 2 measures."


def test_what_most_runs_do_not_reach_takes_more_than_they_have():
    right, wrong = ([Run(Config(seed=seed, batches=300), batch_accuracy=[share] * 300) for seed in seeds]
                    for share, seeds in ((1.0, (0, 1)), (0.5, (2, 3))))
    accuracy = Measure("accuracy", 0.99)
    assert claims.reached(right, accuracy) == claims.reached(right + wrong[:1], accuracy) == "10"
    assert claims.reached(wrong, accuracy) == "more than 300" and claims.reached([], accuracy) == "-"


def test_a_pair_has_a_ratio_only_where_the_runs_bound_it():
    def group(*rises):
        return [Run(Config(seed=seed, batches=300), batch_accuracy=[0.0] * batch + [1.0] * (300 - batch))
                for seed, batch in enumerate(rises)]

    accuracy = Measure("accuracy", 0.99)
    # The running mean adds ten batches: medians of all seeds, and of the draws that differ most. A seed that never gets
    # there has draws of its own, which have no bound.
    for late, ratio in (140, f"{75 / 140:.2f} ({70 / 150:.2f} to {80 / 140:.2f})"), (300, "-"):
        groups = {"quick": group(60, 65, 70), "slow": group(130, 130, late)}
        row = claims.pairs(groups, [("quick", "slow")], [accuracy], accuracy).data.splitlines()[-1]
        assert row.split(" | ")[3] == ratio


def test_numbers_in_words():
    assert claims.median({0: 1, 1: float("inf"), 2: float("inf")}) == "never" and claims.median({}) == "-"
    assert claims.interval(0.7, 0.66, 0.75) == "0.70 (0.66 to 0.75)"
    assert claims.interval(float("nan"), float("nan"), float("nan")) == "-"
    assert claims.listing(list("abc")) == "a, b and c" and claims.listing(["a"]) == "a"


def test_verdicts_are_merged_claim_by_claim_in_the_claims_order(home):
    claims.record("C10a", seeds(0, 5), "ten")
    claims.record("C2", seeds(5, 0), "two")
    claims.record("C10a", seeds(3, 2), "ten, again\n  and whole", "numbers", "flips")
    path = home / "records" / "verdicts.json"
    entries = json.loads(path.read_text())
    assert list(entries) == ["C2", "C10a"]
    assert entries["C10a"] == {"verdict": "mixed", "sentence": "ten, again and whole", "evidence": "numbers",
                               "seeds": [True] * 3 + [False] * 2, "flips": "flips"}
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


@pytest.mark.parametrize("claim, verdict", [("C11", "holds"), ("C2", "perhaps")])
def test_an_unknown_claim_or_verdict_is_refused(home, claim, verdict):
    with pytest.raises(ValueError, match="allowed is"):
        claims.record(claim, {}, "", verdict=verdict)
