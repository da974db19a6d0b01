"""What notebooks 06 and 07 say of carries and proofs, against the records, by another road: JSON and counting."""

import ast
import functools
import json
from statistics import median

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT

import addrnn
from addlab.article import words
from addlab.certify.search import pairs_of
from addlab.study import carries, fading, noise, proofs, state

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


# 07

def test_noise_alone_is_what_proves_one_layer_of_64_units():
    with_it, without = shaken(noise=1), shaken(noise=0)
    assert both(with_it) == len(with_it) >= 10 and both(without) == 0 and len(without) >= 10
    title = f"Proved twice: {both(with_it)} of {len(with_it)} networks with noise 1, 0 of {len(without)} without"
    assert title in prose("07")


def test_what_is_said_of_less_noise_and_of_other_networks():
    half = shaken(noise=0.5)
    assert all(outcome["grid"]["closed"] and outcome["proved"] is None for outcome in half)
    more = shaken(noise=1.5)
    assert all(outcome["proved"] for outcome in more)
    assert (sum(outcome["grid"]["closed"] for outcome in more), len(more)) == (6, 10)
    assert ("Half the noise is enough for the second proof, not for the first; at 1.5, four of ten lose the second "
            "again") in prose("07")
    assert all(outcome["grid"]["closed"] and outcome["proved"] is None for outcome in shaken(units=128))
    wide = shaken(units=128, noise=2)
    assert both(wide) == len(wide) and "With 128 units noise 1 gives the second alone, noise 2 both" in prose("07")
    deep = [outcome for layers in (2, 3) for level in (1, 2) for outcome in shaken(layers, level)]
    gated = [outcome for name, outcome in study("noise").items() if name.startswith(("GRU", "LSTM"))]
    assert len(deep) == 12 and len(gated) == 9 and not any(outcome["proved"] for outcome in deep + gated)
    assert "Two and three layers, GRU and LSTM have no proof by boxes at the noise tried" in prose("07")
    constant, still = shaken(rate="0.003"), shaken(noise=0, rate="0.003")
    closed, boxed = (sum(map(bool, found)) for found in (
        [outcome["grid"]["closed"] for outcome in constant], [outcome["proved"] for outcome in constant]))
    assert not any(outcome["proved"] or outcome["grid"]["closed"] for outcome in still)
    assert (f"at a constant 0.003, with noise {closed} of {len(constant)} have the second proof and {boxed} the first, "
            f"without noise none of {len(still)}") in prose("07")
    few = [outcome for name, outcome in study("noise").items()
           if ", 1000 batches" in name or ", 2000 batches" in name or "rate 0.001, " in name]
    assert len(few) >= 12 and not any(outcome["proved"] or outcome["grid"]["closed"] for outcome in few)
    assert "A constant 0.001, or 2000 batches and fewer, leave none" in prose("07")


def test_the_ladder_counts_what_the_studies_hold():
    text = prose("07")
    for cell in ("RNN", "GRU", "LSTM"):
        kind = [row for row in study("adders") if row["cell"] == cell]
        proved = sum(row["margin"] is not None for row in kind)
        depth = max(row["layers"] for row in kind)
        assert f"| {cell}, 1 to {depth} layers of 64 | its boxes | {proved} of {len(kind)} |" in text
    starts = [row["margin"] is not None for row in study("starts") if row["variant"] == "52 parameters"]
    assert f"| RNN, 52 parameters | its boxes, small sums first | {sum(starts)} of {len(starts)} |" in text
    plain, tied = ([row["margin"] is not None for row in study("starts") if row["variant"] == variant]
                   for variant in ("no curriculum", "48 parameters"))
    assert (f"**{sum(starts)} of {len(starts)} if small sums come first, {sum(plain)} of {len(plain)} if all sums come "
            f"at once and {sum(tied)} of {len(tied)} if small sums come first and four parameters are tied**") in text
    closed = {row["network"] for row in study("states") if row["closed"]}
    assert {f"proofs/noise_seed{seed}.json" for seed in (0, 1)} | {"proofs/rnn_52_parameters.json"} < closed


def test_some_machines_are_proved_from_examples_alone_and_without_noise_none():
    proved = {name for name, outcome in study("examples").items() if outcome["proved"]}
    assert {name.split(",")[0] for name in proved} >= {"subtract"} and all("noise 1" in name for name in proved)
    subtractions = [name in proved for name in study("examples") if name.startswith("subtract, noise 1")]
    assert f"| subtract | 2 | {sum(subtractions)} of {len(subtractions)} |" in prose("07") and all(subtractions)
    shaken_seeds = {}
    for name, outcome in study("examples").items():
        if "noise 1" in name:
            shaken_seeds.setdefault(name.split(",")[0], []).append(outcome)
    assert [name for name, found in shaken_seeds.items() if both(found) == len(found)] == ["subtract"]
    assert len(shaken_seeds) == 8 and "one of eight other machines has both proofs in all its seeds" in prose("07")
    for name in ("add in base 16", "add three numbers", "remainder by 3", "remainder by 7"):
        assert not any(outcome["proved"] or outcome["grid"]["closed"] for outcome in shaken_seeds[name])


def test_boxes_that_overlap_are_those_without_a_proof():
    certificate = proofs.certificates()["noise_seed0"]
    plain = addrnn.Adder.load(ROOT / "records" / "runs" / "layers=1" / "seed0.safetensors")
    rest, grown = proofs.overlap(certificate.network()), proofs.overlap(plain)
    assert max(rest) < 1 and rest[-1] - rest[-2] < 1e-3 < rest[1] - rest[0]
    assert grown[0] < 1 < grown[-1]


def test_states_lie_where_the_grown_boxes_say():
    """After one column, all 100 pairs: the boxes hold every state, and no narrower ones do."""
    model = addrnn.Adder.load(ROOT / "records" / "runs" / "layers=1" / "seed0.safetensors")
    a, b = np.divmod(np.arange(100), 10)
    with torch.no_grad():
        pairs = torch.cat([model.embed_layer(torch.as_tensor(n)) for n in (a, b)], 1)
        u = (torch.tanh(pairs @ model.rnn.weight_ih_l0.T + model.rnn.bias_ih_l0 + model.rnn.bias_hh_l0)
             @ model.rnn.weight_hh_l0.T).double().numpy()
    hulls = [(u[a + b > 9].min(0), u[a + b > 9].max(0)), (u[a + b <= 9].min(0), u[a + b <= 9].max(0))]
    (low1, high1), (low0, high0) = hulls
    widths = (high0 - low0 + high1 - low1) / np.abs(low0 + high0 - low1 - high1)
    assert abs(widths.min() - proofs.overlap(model, columns=1)[0]) < 1e-5


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
