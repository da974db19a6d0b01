"""What notebooks 06 and 07 say of carries and proofs, against the records, by another road: JSON and counting."""

import ast
import functools
import json
from statistics import median

import nbformat
import numpy as np
import pytest
from conftest import ROOT

import addrnn
from addlab.article import words
from addlab.certify.search import pairs_of
from addlab.study import carries, fading, noise, state

STUDIES = ROOT / "records" / "studies"


@functools.cache
def study(name):
    return json.loads((STUDIES / f"{name}.json").read_bytes())


@functools.cache
def prose(number):
    """All that a notebook says: its Markdown cells, and the texts and tables that its cells show."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    texts = []
    for cell in nbformat.read(path, as_version=4).cells:
        texts += [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            texts += [output.get("data", {}).get("text/markdown", ""), output.get("text", ""),
                      output.get("metadata", {}).get("alt", "")]
    return "\n".join(texts)


def shaken(layers=1, noise=1, units=64, rate="0.003 falling"):
    """The outcomes of all seeds of the usual training with noise, told from the names of the study's file."""
    name = f"RNN, {layers} layers, {units} units, 10 digits, noise {noise:g}, rate {rate}, 4000 batches, seed"
    return [outcome for key, outcome in study("noise").items() if key.rsplit(" ", 1)[0] == name]


def both(outcomes):
    return sum(outcome["proved"] is not None and outcome["grid"]["closed"] for outcome in outcomes)


def reach(found):
    """Columns that half of the chains survive, of the carry that goes wrong sooner."""
    return min(median(found["none"]), median(found["carry"]))


def of_training(layers, base, rate, batches=4000):
    name = f"RNN, {layers} layer{'s' * (layers > 1)}, base {base}, rate {rate:g}, seed "
    return [reach(looks[str(batches)]) for key, looks in study("fading").items()
            if key.startswith(name) and str(batches) in looks]


# 01

def test_no_run_that_reads_the_most_significant_digit_first_beats_the_entropy_of_the_carries():
    """Counted: of all sums of k pairs of digits, how many send a carry on; and the last column read knows its own."""
    shares = [sum(a + b >= 10**k for a in range(10**k) for b in range(10**k)) / 100**k for k in (1, 2)] + [0.4995]
    entropy = [-share * np.log(share) - (1 - share) * np.log(1 - share) for share in (*shares, *[0.5] * 7)]
    front = [run for name, run in study("order").items() if name.startswith("most significant first")]
    least = min(np.convolve(run["loss"], np.ones(10) / 10, "valid").min() for run in front)
    assert len(front) == 3 and least > sum(entropy) / 11
    assert f"leave {sum(entropy) / 11:.2f} nats a digit at least" in prose("01")


# 06

def test_in_every_plain_network_twins_become_one_and_half_the_chains_soon_fail():
    plain = [found for name, found in study("fading").items() if name.startswith("plain, seed")]
    merged = sum(found["distance"][-1] < 1e-3 for found in plain)
    assert merged == len(plain) == 20
    assert f"In **{merged} of {len(plain)}** plain networks of three layers the twins' states become one" in prose("06")
    said = f"the carry that is lost sooner, half are wrong after {median(map(reach, plain)):.0f} columns"
    assert said in prose("06")


def test_the_rate_decides_and_not_the_base():
    assert min(of_training(3, 10, 0.5)) == 4096 and max(of_training(3, 2, 0.1)) < 100
    assert "in base 10 if half of the columns hand one on, and lose it in base 2 if a tenth do" in prose("06")
    few = [of_training(3, 10, 0.5), of_training(3, 2, 0.1), of_training(3, 2, 0.5), of_training(3, 10, 0.1)]
    assert all(len(found) in (1, 2) for found in few) and "one or two networks of each" in prose("06")
    one = [reach for base in (2, 10) for rate in (0.1, 0.5) for reach in of_training(1, base, rate)]
    assert 0.7 * len(one) < one.count(4096) < len(one) and "One layer mostly keeps it at either rate" in prose("06")
    depth = [median(of_training(layers, 10, 0.1)) for layers in (1, 2, 3)]
    assert depth == sorted(depth, reverse=True)
    for layers in (2, 3):
        looks = [median(of_training(layers, 10, 0.1, batches)) for batches in (500, 1000, 2000, 4000)]
        assert looks == sorted(looks)
    assert "Fewer layers and more batches help, too" in prose("06")


def test_short_sums_fail_in_every_network_of_three_layers_whatever_the_data():
    known = json.loads((ROOT / "records" / "carries.json").read_bytes())
    for folder, layers in (("default", 3), ("chains=0.5", 3), ("batches=4000,chains=0.5", 3)):
        for path in (ROOT / "records" / "runs" / folder).glob("seed*.safetensors"):
            record = json.loads(path.with_suffix(".json").read_bytes())
            a, b = known[record["weights"][:16]]["shortest wrong of 1000"]["pair"]
            assert record["config"]["layers"] == layers and len(max(a, b, key=len)) < 7
            assert addrnn.Adder.load(path).add(a, b) != int(a) + int(b)
    assert "Short sums fail in every network of three layers" in prose("06")


@pytest.mark.parametrize("layers, level, rate", [
    *((layers, level, "0.003 falling") for layers, level in (
        (1, 0), (1, 0.5), (1, 1), (2, 1), (3, 1), (2, 2), (3, 2))), (1, 0, "0.003"), (1, 1, "0.003")])
def test_the_cure_is_shown_for_as_many_networks_as_are_proved(layers, level, rate):
    found = shaken(layers, level, rate=rate)
    proved = sum(outcome["proved"] is not None for outcome in found)
    closed = sum(outcome["grid"]["closed"] for outcome in found)
    crossing = sum(outcome["survived"][0] == 4096 for outcome in found)
    counts = " | ".join(f"{count} of {len(found)}" for count in (proved, closed, crossing))
    assert f"| {layers} | {level:g} | {'falls' if 'falling' in rate else 'constant'} | {counts} |" in prose("06")
    assert proved == (0 if (layers, level) != (1, 1) else len(found) if "falling" in rate else 3)


def test_what_is_said_of_layers_with_noise():
    assert not any(outcome["survived"][0] == 4096 for level in (1, 2) for outcome in shaken(2, level))
    assert "With two layers no network crosses every chain" in prose("06")


def test_all_short_sums_are_right():
    found = study("short_sums")
    assert {one["model"] for one in found} == {f"runs/default/seed{seed}" for seed in range(20)}
    assert all(one["digits"] >= 3 and not any(one["wrong"]) for one in found)
    assert max(found, key=lambda one: one["digits"])["digits"] == 4 and found[-1]["model"] == "runs/default/seed0"
    assert "in this one no sum of four is, either" in prose("06")


def test_where_nothing_in_front_is_worse():
    shapes = [one["shapes"] for one in study("short_sums") if one["digits"] == 3][:5]
    middle = {front: [median(found[front][k] for found in shapes) for k in range(10)] for front in shapes[0]}
    worse = [k for k in range(3, 10) if middle["nothing"][k] > middle["6 random columns"][k]]
    assert worse == [7, 8, 9] and all(counts == sorted(counts) for counts in middle.values())
    assert "worse than random columns only from seven nines on" in prose("06")


def test_a_swap_of_no_layer_changes_nothing():
    """What is said of it as the network runs: the same columns in one piece, the answer to the carry that is not."""
    model = addrnn.Adder.load(ROOT / "records" / "runs" / "default" / "seed0.safetensors")
    num1, num2 = pairs_of("no carry", 400, 8, np.random.default_rng(3))
    num1, num2 = num1[num1[:, 0] > 0], num2[num1[:, 0] > 0]
    assert carries.exchange(model, []) == (model.predict(num1, num2)[:, 7] == 0).mean() < 0.1
    assert carries.exchange(model, [0]) == carries.exchange(model, 0) > 0.9


def test_digits_whose_points_lie_together_have_one_name():
    points, digit = np.array([[0, 0], [1, 2], [10, 10], [0, 1], [1, 3]]), np.array([3, 3, 4, 8, 8])
    assert state.names(points, digit) == [([3, 8], (0.5, 3)), ([4], (10, 10))]
    assert [digits for digits, _ in state.names(points, digit, near=0.05)] == [[3], [4], [8]]


def test_without_noise_wrong_sums_are_found_and_are_wrong_as_told():
    found = [pair for name, pair in study("noise").items() if name.endswith(", searched")]
    wrong = sum(pair is not None for pair in found)
    assert f"found a wrong sum in {wrong} of {len(found)}" in prose("06") and list(noise.twins().values()) == found


def test_a_setting_picks_its_outcomes():
    assert noise.seeds(noise=1.0) == shaken() and noise.seeds(noise=2.0, layers=3) == shaken(3, 2)
    assert noise.both(1.0) == (both(shaken()), len(shaken()))
    constant = shaken(rate="0.003")
    assert noise.both(1.0, falling=False) == (both(constant), len(constant)) != noise.both(1.0)


def test_a_share_still_right_is_counted_at_each_length():
    found = {"none": [1, 2, 4096], "carry": [8]}
    assert fading.still_right(found, [1, 2, 3, 9]) == [1.0, 0.75, 0.5, 0.25]


# The article

def test_the_article_counts_what_noise_proves():
    said, constant = words.shaken(), shaken(rate="0.003")
    assert (said["constant_proved"], said["constant_tried"]) == (both(constant), len(constant))
    others = [outcome for name, outcome in study("noise").items() if "noise 1, rate 0.003 falling, 4000" in name
              and "10 digits" in name and not name.startswith("RNN, 1 ")]
    assert said["other_tried"] == len(others) and said["other_boxed"] == 0 == both(others)
    assert said["other_closed"] == sum(outcome["grid"]["closed"] for outcome in others)
    assert all(outcome["grid"]["wrong"] is None for outcome in others)  # "gave up on the others"
    assert (said["refuted"], said["searched"], said["quiet_proved"], said["still_proved"]) == (10, 10, 0, 0)


def test_the_first_wrong_sum_ends_in_nines_and_is_too_large_by_a_carry():
    a, b, answer, right = words.beaten()
    sums = [int(x) + int(y) for x, y in zip(a.zfill(5)[::-1], b.zfill(5)[::-1], strict=True)]
    assert sums[:4] == [9] * 4 and int(answer) - int(right) == 10**4


# Their cells

def code_cells(number):
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("number", ["01", "06", "07"])
def test_cells_are_what_a_student_can_copy(number):
    for source in code_cells(number):
        lines = source.splitlines()
        assert len(lines) <= 12 and max(map(len, lines)) <= 100, source
        for outer in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.JoinedStr)):
            inner = [node for node in ast.walk(outer) if isinstance(node, ast.JoinedStr)]
            formats = [value.format_spec for value in outer.values if isinstance(value, ast.FormattedValue)]
            assert len(inner) == 1 + sum(spec is not None for spec in formats), f"an f-string in an f-string: {source}"
