"""What notebooks 06 and 07 say of carries and proofs, against the records, by another road: JSON and counting."""

import ast
import functools
import itertools
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
from addlab.study import carries, fading, noise, proofs

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
    assert f"cannot get below a loss of {sum(entropy) / 11:.2f}" in prose("01")


# 06

def kept(group):
    return [found for name, found in study("fading").items() if name.rsplit(", seed", 1)[0] == group]


def networks(folder, layers, count):
    """[(network, the wrong sum that the search found or None, all sums of so many digits were tried)] of a group."""
    known = json.loads((ROOT / "records" / "carries.json").read_bytes())
    found = []
    for seed in range(count):
        path = ROOT / "records" / "runs" / folder / f"seed{seed}.safetensors"
        record = json.loads(path.with_suffix(".json").read_bytes())
        search = known[record["weights"][:16]]["shortest wrong of 1000"]
        assert record["config"]["layers"] == layers
        found.append((addrnn.Adder.load(path), search["pair"], search["tried"]))
    return found


GROUPS = {  # as notebook 06 names them: (their name in the studies, the folder of their records, layers, networks)
    "3 layers, plain": ("plain", "default", 3, 20),
    "1 layer, plain": ("plain, 1 layer", "layers=1", 1, 5),
    "3 layers, chains": ("chains", "chains=0.5", 3, 5),
    "3 layers, chains, longer": ("chains, longer", "batches=4000,chains=0.5", 3, 5),
    "1 layer, chains": ("chains, 1 layer", "layers=1,chains=0.5", 1, 5),
    "1 layer, chains, longer": ("chains, 1 layer, longer", "layers=1,batches=4000,chains=0.5", 1, 5)}


def columns_of(number, length):
    return [int(digit) for digit in str(number).zfill(length)[::-1]]


def test_the_first_sum_carries_nowhere_and_is_one_too_large_behind_four_nines():
    a, b = "51000", "8999"
    model, pair, _ = networks("default", 3, 20)[0]
    assert pair == [a, b] and model.add(a, b) == 69999
    assert [x + y for x, y in zip(columns_of(a, 5), columns_of(b, 5), strict=True)] == [9, 9, 9, 9, 5]
    assert "says **51000 + 8999 = 69999**, where 59999 is right" in prose("06")
    assert "No column of this sum carries. After four *nines*" in prose("06")


def test_carries_are_invented_and_lost_as_often_as_is_said():
    """By school addition: the carry into the first wrong digit, and whether the digit is the one of the other carry."""
    kinds = []
    for model, (a, b), _ in networks("default", 3, 20):
        length, carry = max(len(a), len(b)) + 1, 0
        said = columns_of(model.add(a, b), length)
        for x, y, digit in zip(columns_of(a, length), columns_of(b, length), said, strict=True):
            if digit != (x + y + carry) % 10:
                other = digit == (x + y + 1 - carry) % 10
                kinds.append(("lost" if carry else "invented") if other else "other")
                break
            carry = int(x + y + carry > 9)
        assert carries.error_of(model, (a, b)) == kinds[-1]
    invented, lost = kinds.count("invented"), kinds.count("lost")
    assert (f"In **{invented} of {len(kinds)}** plain networks of three layers the wrong sum holds an invented carry, "
            f"in {lost} a lost one") in prose("06")


def test_in_every_plain_network_twins_become_one_and_half_the_chains_soon_fail():
    plain = kept("plain")
    merged = sum(found["distance"][-1] < 1e-6 for found in plain)
    assert merged == len(plain) == 20
    half = median(median(found["none"] + found["carry"]) for found in plain)
    assert f"half of the chains are wrong after {half:.0f} columns" in prose("06")
    assert f"In **{merged} of {len(plain)}** the twins' states become equal, up to rounding" in prose("06")
    few_dozen = [dict(zip((1, 2, 4, 8, 16, 32, 64), found["distance"], strict=False))[64] for found in plain]
    assert max(few_dozen) < 2e-4 and "after a few dozen nines, carry and no carry are one state" in prose("06")


def test_every_nine_breaks_more_sums_and_0_and_0_in_front_saves_some():
    shapes = [one["shapes"] for one in study("short_sums") if one["digits"] == 3][:5]
    for found in shapes:
        assert all(counts == sorted(counts) for counts in found.values())
        assert all(found["0 + 0"][k] < found["nothing"][k] for k in range(6, 10))
    first, after = ([median(found[front][k] for found in shapes) for k in range(10)] for front in ("nothing", "0 + 0"))
    assert all(more > less for counts in (first, after) for less, more in itertools.pairwise(counts[4:]))
    assert not any(first[:5] + after[:5])  # before five nines there is nothing to be seen
    assert "More nines break more sums; 0 + 0 read first saves some" in prose("06")
    assert "From five nines on, each further one makes more sums fail. With 0 + 0 first fewer fail" in prose("06")
    pairs = [pair for _, pair, _ in networks("default", 3, 20)]
    begin = [[x + y for x, y in zip(columns_of(a, 5), columns_of(b, 5), strict=True)][:3] == [9] * 3 for a, b in pairs]
    assert sum(begin) > 15 and "Most of the short wrong sums begin with nines" in prose("06")


def test_batches_and_layers_make_a_carry_last():
    depth = [median(of_training(layers, 10, 0.1)) for layers in (1, 2, 3)]
    assert depth[0] > 40 * depth[1] > 40 * depth[2]
    early = [[reach(found) for found in kept(group)] for group in ("plain, 1 layer", "plain")]
    assert min(early[0]) > max(early[1])
    for layers in (1, 2, 3):
        looks = [of_training(layers, 10, 0.1, batches) for batches in (500, 1000, 2000, 4000)]
        assert all(list(network) == sorted(network) for network in zip(*looks, strict=True))
    assert "One layer usually keeps a carry longest; more batches help every depth" in prose("06")
    assert [len(of_training(layers, 10, 0.1)) for layers in (1, 2, 3)] == [6, 2, 2]
    assert "Six networks of one layer, two each of two and three" in prose("06")


def test_more_nines_in_training_may_help_three_layers():
    tenth, half = ([reach for base in (10, 2) for reach in of_training(3, base, rate)] for rate in (0.1, 0.5))
    assert max(tenth) < 100 and min(half) == 4096
    assert (f"If it is a tenth, as in random decimal sums, **0 of {len(tenth)}** networks of three layers get all "
            f"chains of 4096 nines right; if it is half, **{len(half)} of {len(half)}**.") in prose("06")


@pytest.mark.parametrize("name", GROUPS)
def test_the_table_of_chains_counts_what_was_found(name):
    group, folder, layers, count = GROUPS[name]
    found, chains = networks(folder, layers, count), kept(group)
    pairs = [pair for _, pair, _ in found if pair]
    assert len(chains) == count and all(tried == 3 for *_, tried in found)  # "all sums of up to three digits"
    assert all(model.add(*pair) != int(pair[0]) + int(pair[1]) for model, pair, _ in found if pair)
    lengths = [len(max(pair, key=len)) for pair in pairs]
    assert min(lengths, default=4) > 3
    right = sum(min(one["none"] + one["carry"]) == 4096 for one in chains)
    assert f"| {name} | {right} of {count} | {len(pairs)} of {count} | " in prose("06")
    if layers == 3:
        assert len(pairs) == count and max(lengths) < 7
        assert "Short sums fail in every network of three layers" in prose("06")


def test_the_prediction_is_half_right():
    chains = kept("chains") + kept("chains, longer")
    assert (sum(min(one["none"] + one["carry"]) == 4096 for one in chains), len(chains)) == (9, 10)
    assert "Of ten networks of three layers trained on chains, nine get all chains right" in prose("06")
    searched = networks(*GROUPS["1 layer, chains, longer"][1:])
    assert not any(pair for _, pair, _ in searched)
    assert "With one layer and more batches none is found, in five networks" in prose("06")
    assert sum(count for *_, count in GROUPS.values()) == 45 and "We search 45 networks" in prose("06")


@pytest.mark.parametrize("level, rate", [(0, "0.003 falling"), (0.5, "0.003 falling"), (1, "0.003 falling"),
                                         (1, "0.003")])
def test_the_cure_is_shown_for_as_many_networks_as_are_proved(level, rate):
    found = shaken(1, level, rate=rate)
    proved = sum(outcome["proved"] is not None for outcome in found)
    crossing = sum(outcome["survived"][0] == 4096 for outcome in found)
    row = f"| noise {level:g}, {'falling' if 'falling' in rate else 'constant'} rate"
    assert f"{row} | {crossing} of {len(found)} | {proved} of {len(found)} |" in prose("06")
    assert (proved == len(found)) == (level == 1 and "falling" in rate) and (proved > 0) == (level == 1)
    assert "All ten are proved only with noise 1 and a falling rate" in prose("06")


def test_what_is_said_of_layers_with_noise():
    two, three = ([outcome for level in (1, 2) for outcome in shaken(layers, level)] for layers in (2, 3))
    assert len(two) == len(three) == 6 and not any(outcome["survived"][0] == 4096 for outcome in two)
    assert all(outcome["survived"][0] == 4096 and outcome["proved"] is None for outcome in three)
    assert ("Of six networks of two layers, at noise 1 or 2, none gets all chains right. All six of three layers do, "
            "but none is proved as it is") in prose("06")


def shown(name, number="06"):
    """What a notebook's cell that defines a function gives, by running it."""
    source, = (source for source in code_cells(number) if f"def {name}(" in source)
    names = {"torch": torch}
    exec(source, names)
    return names[name]


@pytest.mark.parametrize("layers", [1, 3])
def test_the_loop_that_is_shown_is_what_training_with_noise_computes(layers):
    model = addrnn.Adder(addrnn.Config(layers=layers))
    num1, num2, _ = map(torch.as_tensor, addrnn.sample(7, 10, np.random.default_rng(0)))
    torch.manual_seed(1)
    found = shown("noisy_scores")(model, num1, num2, 0.7)
    torch.manual_seed(1)
    noise = torch.stack([0.7 * torch.randn(layers, 7, 64) for _ in range(11)], dim=1)
    assert torch.allclose(found, model(num1, num2, noise), atol=1e-5)
    assert torch.allclose(shown("noisy_scores")(model, num1, num2, 0.0), model(num1, num2), atol=1e-5)
    assert not torch.allclose(found, model(num1, num2), atol=1e-2)


def test_the_call_that_is_shown_trains_the_network_that_chapter_7_proves():
    proved = proofs.certificates()["noise_seed0"].network().state_dict()
    config = addrnn.Config(layers=1, lr=3e-3, batches=4000, noise=1.0)
    trained = noise.trained(config, falling=True, device="cpu").model
    assert all((proved[name] == tensor).all() for name, tensor in trained.state_dict().items())
    assert f"It says **51000 + 8999 = {trained.add(51000, 8999)}**" in prose("06")


def test_a_swap_of_no_layer_changes_nothing():
    """What is said of it as the network runs: the same columns in one piece, the answer to the carry that is not."""
    model = addrnn.Adder.load(ROOT / "records" / "runs" / "default" / "seed0.safetensors")
    num1, num2 = pairs_of("no carry", 400, 8, np.random.default_rng(3))
    num1, num2 = num1[num1[:, 0] > 0], num2[num1[:, 0] > 0]
    assert carries.exchange(model, []) == (model.predict(num1, num2)[:, 7] == 0).mean() < 0.1
    assert carries.exchange(model, [0]) == carries.exchange(model, 0) > 0.9


def test_only_the_first_layers_state_takes_the_carry_along():
    for model, *_ in networks("default", 3, 20)[:5]:
        alone, *swapped = (carries.exchange(model, layer) for layer in ([], 0, 1, 2))
        assert swapped[0] > 0.9 and max(abs(share - alone) for share in swapped[1:]) < 0.005
    assert "exchanging them changes nothing" in prose("06")


def test_the_first_layer_parts_the_carries_and_the_last_the_digits():
    """In the plane that is drawn: by carry along the first direction, by digit in both."""
    found = study("state")["map, seed 0"]
    first, last = (np.array(found["layers"][layer]) for layer in (0, -1))
    carry, digit = np.array(found["carry"]), np.array(found["digit"])

    def spread(points, labels):
        groups = [points[labels == label] for label in np.unique(labels)]
        within = sum(((group - group.mean(axis=0)) ** 2).sum() for group in groups)
        return within / ((points - points.mean(axis=0)) ** 2).sum()

    assert spread(first[:, :1], carry) < 0.5 and spread(first, digit) > 0.8
    assert spread(last, digit) < 0.05 and spread(last, carry) > 0.8
    assert "Layer 1 tells carry from no carry, layer 3 tells digit from digit" in prose("06")


def test_without_noise_wrong_sums_are_found_and_are_wrong_as_told():
    found = [pair for name, pair in study("noise").items() if name.endswith(", searched")]
    wrong = sum(pair is not None for pair in found)
    assert f"finds a wrong sum in **{wrong} of {len(found)}**" in prose("06") and list(noise.twins().values()) == found


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
