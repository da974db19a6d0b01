"""Why the first digit is late, in which order to read, and what the state shows: on models whose behaviour is known."""

import itertools

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT
from matplotlib.text import Text

import addrnn
from addlab import engine
from addlab.study import carries, fading, first_digit, noise, order, plots, state
from addlab.study.studies import recall, results
from addrnn import Adder, Config, carry_add, sample
from tests.test_carries import handmade

TINY = Config(digit_len=4, batches=6, batch_size=20, hidden=6, embedding=3, layers=2)


class Phantom:
    """An adder that takes the state before any digit for a carry."""

    def predict(self, num1, num2):
        num1 = np.pad(num1, ((0, 0), (0, 1)))
        num1[:, 0] += 1  # 10 for a 9: the sum is right all the same
        return carry_add(num1, np.pad(num2, ((0, 0), (0, 1))))[:, :-1]


# Results that are kept

def test_a_result_is_measured_once_and_those_beside_it_stay(home):
    calls = []
    for _ in range(2):
        assert recall("some", "one", lambda: calls.append(0) or [1, None]) == [1, None]
    recall("some", "two", lambda: {"a": 2.5})
    assert len(calls) == 1 and results("some") == {"one": [1, None], "two": {"a": 2.5}}
    assert results("other") == {}


# The first digit

@pytest.mark.parametrize("share", [None, 1, 4, 50])
def test_the_first_column_gets_the_share_of_the_loss_that_it_has_in_other_numbers(share):
    model, batch = Adder(TINY), sample(20, 4, np.random.default_rng(0))
    first_digit.plain_step(model, extra=first_digit.extra(share, 4))(*batch)
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    losses = torch.nn.functional.cross_entropy(model(*batch[:2]).flatten(0, 1), torch.as_tensor(batch[2]).flatten(),
                                               reduction="none").view(20, 5)
    wanted = 1 / (share + 1) if share else 0
    (wanted * losses[:, 0].mean() + (1 - wanted) * losses[:, 1:].mean()).backward()
    for p, gradient in zip(model.parameters(), ours, strict=True):
        assert torch.allclose(p.grad, gradient, atol=1e-6)


@pytest.mark.parametrize("share", [1, 4, 50])
def test_the_formula_that_the_report_shows_is_the_one_that_is_trained(share):
    """The gradients of the cell of chapter 2, and those of the weight beside the whole loss."""
    cells = nbformat.read(ROOT / "notebooks" / "02_digit_length.ipynb", as_version=4).cells
    source = next(cell.source for cell in cells if "def weighted" in cell.source)
    names = {"cross_entropy": torch.nn.functional.cross_entropy}
    exec(source[: source.index("\n\n")], names)
    model, batch = Adder(TINY), sample(20, 4, np.random.default_rng(0))
    first_digit.plain_step(model, extra=first_digit.extra(share, 4))(*batch)
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    names["weighted"](model(*batch[:2]), torch.as_tensor(batch[2]), 1 / (share + 1)).backward()
    for p, gradient in zip(model.parameters(), ours, strict=True):
        assert torch.allclose(p.grad, gradient, atol=1e-6)


def test_with_its_own_share_and_data_it_is_the_recorded_run():
    found, run = first_digit.train(TINY, TINY.digit_len, TINY.seed), addrnn.train(TINY)
    assert [right / 20 for right in found["sums"]] == run.batch_accuracy
    assert first_digit.off(run.model).tolist() == found["off"]


def test_other_data_meet_the_same_first_weights():
    same, other = (first_digit.train(TINY, 4, data) for data in (0, 7))
    assert same["first"][0] != other["first"][0] or same["sums"] != other["sums"] or same["off"] != other["off"]


def test_a_run_ends_when_nearly_all_sums_are_right(monkeypatch):
    monkeypatch.setattr(first_digit, "plain_step", lambda model, extra: lambda *batch: (0.0, 1.0, 1.0))
    monkeypatch.setattr(first_digit.parameters.Adam, "step", lambda self: None)
    config = Config(**vars(TINY) | {"batches": 100})
    assert len(first_digit.train(config, 4, 0)["sums"]) == first_digit.SETTLED


def test_a_state_that_is_taken_for_a_carry_makes_digits_one_too_large_and_nines_hand_it_on():
    assert (first_digit.off(Phantom()) == 1).all()
    assert first_digit.leads(Phantom()) == [1.0] * 9 + [0.0] + [1.0] * 9
    assert (first_digit.off(handmade()) == 0).all()
    assert first_digit.leads(handmade()) == [1.0] * 19


def test_lengths_and_shares_are_compared_on_the_seeds_that_all_have(monkeypatch):
    times = {(10, 10): {0: 1, 1: 2, 2: 3, 3: 4}, (10, 100): {1: 5, 2: 6, 3: 7}, (100, 10): {1: 8}}
    monkeypatch.setattr(first_digit, "needed", lambda length, share: times.get((length, share), {}))
    found = first_digit.dose((10, 100), (10, 100), least=3)
    assert found == {(10, 10): {1: 2, 2: 3, 3: 4}, (10, 100): {1: 5, 2: 6, 3: 7}}


def test_models_that_err_are_told_by_their_cell(monkeypatch):
    found = {"9 digits, RNN, 3 layers, batch 7, seed 0": {"off": [0, 1]},
             "9 digits, GRU, 3 layers, batch 7, seed 0": {"off": [1, 1]},
             "9 digits, RNN, 3 layers, batch 8, seed 0": {"off": [0, 0]}}
    monkeypatch.setattr(first_digit, "results", lambda study: {"half-trained": found})
    assert first_digit.erring() == [{"off": [0, 1]}] and first_digit.erring("GRU") == [{"off": [1, 1]}]
    assert first_digit.stopped() == [{"off": [0, 1]}, {"off": [0, 0]}]


def test_every_run_of_the_study_has_a_name_of_its_own():
    names = [first_digit.key(*run) for run in first_digit.plan()]
    assert len(names) == len(set(names))


# Reading order

@pytest.mark.parametrize("digit_len", [1, 2])
def test_the_floor_is_what_the_best_guess_over_all_sums_leaves(digit_len):
    """For each column, all that has been read is known: the digits of this column and of those above."""
    counts = [{} for _ in range(digit_len + 1)]
    for digits in itertools.product(range(10), repeat=2 * digit_len):
        num1, num2 = (np.array([[*part, 0]]) for part in (digits[:digit_len], digits[digit_len:]))
        total = carry_add(num1.copy(), num2.copy())[0]
        for column in range(digit_len + 1):
            read = tuple(num1[0, column:]) + tuple(num2[0, column:])
            counts[column].setdefault(read, np.zeros(10))[total[column]] += 1
    loss = right = 0
    for column in counts:
        for found in column.values():
            share = found[found > 0] / found.sum()
            loss -= (share * np.log(share)).sum() * found.sum()
            right += found.max()
    assert order.floor(digit_len) == pytest.approx((loss / 100**digit_len / (digit_len + 1),
                                                    right / 100**digit_len / (digit_len + 1)))


def test_both_ways_sees_what_comes_later_and_an_adder_does_not():
    num1, num2, _ = sample(1, 4, np.random.default_rng(0))
    changed = num1.copy()
    changed[0, 3] = (changed[0, 3] + 5) % 10
    for make, sees in ((order.BothWays, True), (Adder, False)):
        before, after = (make(TINY)(n, num2)[0, 0] for n in (num1, changed))
        assert torch.equal(before, after) != sees


@pytest.mark.parametrize("how", order.ORDERS)
def test_every_order_learns(how):
    config = Config(digit_len=1, batches=150, batch_size=100, layers=1, hidden=32, lr=1e-2)
    found = order.train(config, how)
    assert len(found["loss"]) == 150 and len(found["right"]) == 2
    if how == "most significant first":  # the column read first is the carry alone
        assert found["right"][0] > 0.95 and abs(found["right"][1] - 0.55) < 0.05
        assert np.mean(found["loss"][-10:]) > order.floor(1)[0] - 0.05
    else:
        assert min(found["right"]) > 0.95


@pytest.mark.parametrize("seed", order.SEEDS)
def test_from_the_left_a_wrong_ones_digit_is_one_too_large(seed):
    """As notebook 01 says of its three networks: they guess a carry where none can come."""
    config = Config(seed=seed, batches=order.BATCHES)
    model, rng = Adder(config), addrnn.streams(seed)[1]
    optimizer = engine.Adam(model.parameters(), config.lr)
    for _ in range(config.batches):
        engine.gradients(model, *(digits[:, ::-1].copy() for digits in sample(200, 10, rng)))
        optimizer.step()
    pairs = sample(order.TESTED, 10, np.random.default_rng(5))
    num1, num2, total = (digits[:, ::-1].copy() for digits in pairs)
    excess = (model.predict(num1, num2) - total)[:, -1] % 10
    assert set(excess) == {0, 1}
    assert round((excess == 0).mean(), 4) == order.found()["most significant first"][seed]["right"][0]


# The state

def test_variance_between_labels():
    points, labels = np.array([[0.0, 1], [0, -1], [2, 1], [2, -1]]), np.array([0, 0, 1, 1])
    assert state.between(points, labels) == pytest.approx(0.5)
    assert state.between(points[:, :1], labels) == pytest.approx(1)


def test_main_directions_are_those_of_most_variance_and_their_signs_are_fixed():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 3)) * [1, 10, 0.1] + 5
    along = state.main_directions(points, 2)
    assert np.abs(np.corrcoef(along[:, 0], points[:, 1])[0, 1]) > 0.999
    assert np.abs(np.corrcoef(along[:, 1], points[:, 0])[0, 1]) > 0.99
    assert np.allclose(along, state.main_directions(points[::-1], 2)[::-1])


def test_a_latch_of_the_carry_is_seen_as_such():
    found, = state.told(handmade())
    assert found["carry"][0] > 0.9 > found["digit"][0]
    shown = state.map_of(handmade())
    assert len(shown["layers"]) == 1 and len(shown["layers"][0]) == len(shown["carry"]) == state.SHOWN


def test_of_numerals_that_would_overlap_one_is_drawn():
    points = [(0, 0), (1, 1), (0.01, 0.01), (0.01, 0.5), (1, 0.97), (0.97, 1)]
    assert state.apart(points) == [0, 1, 3, 5]


def test_a_typical_point_of_a_kind_is_nearest_to_its_mean():
    points, kinds = [(0, 0), (5, 5), (1, 1), (9, 9), (4, 4)], ["a", "b", "a", "b", "a"]
    assert state.typical(points, kinds) == [2, 1]
    assert state.typical(points[::-1], kinds[::-1]) == [2, 1]


@pytest.mark.parametrize("layer", [0, 1])
def test_only_in_the_last_layer_a_numeral_that_carries_is_moved(layer):
    """On the figure: where each is drawn, against where its state lies."""
    fig = state.state_figure(results("state")["map, seed 0"])
    ax = fig.axes[layer]
    for numeral in ax.lines:
        up = numeral.get_transform().transform(numeral.get_xydata()) - ax.transData.transform(numeral.get_xydata())
        carries_on = layer and numeral.get_color() == plots.CARRY
        assert np.allclose(up / fig.dpi, [[0, state.MOVED if carries_on else 0]], atol=1e-6)


# In pictures

@pytest.mark.parametrize(("draw", "words"), [
    (lambda: first_digit.dose_figure(first_digit.dose()), ["100 digits", "1000 digits"]),
    (first_digit.leads_figure, ["sum of 9"]),
    (fading.batches_figure, ["1 layer", "3 layers", "longest"]),
    (lambda: fading.twins_figure({"plain": fading.of_groups()["plain"]}), ["plain", "share of chains right so far"]),
    (noise.noise_figure, ["noise 1.5", "rounded", "128 units, noise 2", "LSTM", "neither"]),
    (lambda: order.order_figure(order.found()), ["from the left", "coin toss"]),
    (carries.exchange_figure, ["copy one layer", "says 0"]),
    (lambda: state.state_figure(results("state")["map, seed 0"]), ["layer 1", "layer 3", "no carry"])])
def test_the_shipped_studies_are_drawn_the_same_bytes_twice(draw, words):
    fig, again = draw(), draw()
    texts = " ".join(text.get_text() for text in fig.findobj(Text))
    assert all(word in " ".join(texts.split()) for word in words), texts
    assert plots.svg_bytes(fig) == plots.svg_bytes(again)
