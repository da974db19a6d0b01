import numpy as np
import pytest
import torch
from conftest import ROOT

from addlab.certify import ADDITION, Certificate, Rounded, counterexample
from addlab.certify import search as searching
from addlab.certify.search import search
from addlab.certify.walk import Walk
from addlab.study import carries, fading, proofs
from addlab.study.short import sent, shapes, short_sums
from addrnn import Adder, Config, carry_add

PROOFS = ROOT / "records" / "proofs"


def handmade(tilt=None):
    """An adder of two tanh units: one latches the carry, one is nearly linear in the column's sum.

    The carry is read as 1/3 + 2/3 of the latch: 1 after a carry, -1/3 after none, 1/3 at the start. All round rightly.
    With `tilt`, the latch after a column that sums to 9 is tanh(6 latch - tilt): near 4 a carry fades, slowly at first.
    """
    model = Adder(Config(layers=1, hidden=2, embedding=1))
    slope = 0.01
    # logits are 2 d v - d² with v = h2 / slope + 4.5 - 5 h1, largest at the digit d nearest to v
    hold, threshold = (20.0, 275.0) if tilt is None else (6.0, 270.0 + tilt)
    state = {"embed_layer.weight": [[d] for d in range(10)],
             "rnn.weight_ih_l0": [[30, 30], [slope, slope]],
             "rnn.weight_hh_l0": [[hold, 0], [2 / 3 * slope, 0]],
             "rnn.bias_ih_l0": [-threshold, slope * (1 / 3 - 9.5)],
             "rnn.bias_hh_l0": [0, 0],
             "dense.weight": [[-10 * d, 2 * d / slope] for d in range(10)],
             "dense.bias": [9 * d - d * d for d in range(10)]}
    model.load_state_dict({name: torch.tensor(values, dtype=torch.float32) for name, values in state.items()})
    return model


def digits(pair):
    return max(len(str(number)) for number in pair)


def test_an_exact_adder_has_no_counterexample_and_the_search_says_how_far_it_looked():
    model = handmade()
    rng = np.random.default_rng(0)
    for a, b in [*rng.integers(0, 10**15, (20, 2)).tolist(), (10**400 - 1, 1), (10**400 - 1, 0)]:
        assert model.add(a, b) == a + b
    found = search(model, digits=30, depth=3)
    assert (found.wrong, found.length, found.shortest, found.tried) == (None, None, False, 3)
    assert found.states > 1_000_000


@pytest.mark.parametrize("tilt", [3.95, 4.0, 4.2])
def test_a_carry_that_fades_after_k_columns_gives_a_counterexample_of_k_columns(tilt):
    model = handmade(tilt)
    k = next(k for k in range(1, 100) if model.add(10**k - 1, 1) != 10**k)
    found = search(model, digits=100)
    assert digits(found.wrong) == found.length == k
    assert found.shortest == (k <= found.tried + 1)


def test_a_fading_carry_is_found_far_out():
    """Too far for the first beam: the runs have to find it."""
    model = handmade(tilt=3.938)
    k = next(k for k in range(1, 100) if model.add(10**k - 1, 1) != 10**k)
    assert 20 < k
    assert 20 < search(model, depth=3).length <= k


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("layers", [1, 3])
def test_what_is_reported_is_added_wrongly(cell, layers):
    model = Adder(Config(cell=cell, layers=layers, hidden=8, embedding=4))
    a, b = counterexample(model)
    assert model.add(a, b) != a + b


def test_all_wrong_sums_of_two_digits_are_found_each_where_it_first_goes_wrong():
    """Against every one of the 10,000 sums, asked by itself."""
    model = handmade(tilt=4.2)
    with torch.no_grad():
        model.embed_layer.weight[7] += 0.3  # the digit 7 is misread now and then
    a, b = np.divmod(np.arange(10**4), 100)
    num1, num2 = (np.stack([n // 10**k % 10 for k in range(3)], axis=1) for n in (a, b))
    two = np.maximum(a, b) > 9
    wrong = (model.predict(num1, num2) != carry_add(num1, num2)).any(axis=1)
    num1, num2 = num1[~two, :2], num2[~two, :2]
    one = (model.predict(num1, num2) != carry_add(num1, num2)).any(axis=1)
    assert wrong[two].any()
    found = short_sums(model, digits=2)
    assert found["wrong"] == [one.sum(), wrong[two].sum()] and found["sums"] == [100, 9900]
    assert sum(sums for *_, sums in found["where"]) == sum(found["wrong"])
    for a, b in found["examples"]:
        assert model.add(a, b) != a + b
    assert 0 <= found["repaired"] <= sum(found["wrong"])


def test_a_network_that_only_loses_carries_errs_behind_fronts_that_send_one():
    exact, fades = (shapes(model, 100, 6) | sent(model, 100, 6) for model in (handmade(), handmade(tilt=4.5)))
    assert exact == dict.fromkeys(["nothing", "0 + 0", "6 random columns", "no carry", "carry"], [0] * 7)
    assert not any(fades["nothing"] + fades["0 + 0"] + fades["no carry"])
    assert min(fades["carry"][2:]) > 90 and 40 < min(fades["6 random columns"][2:]) < 60


def test_the_search_serves_any_machine_and_knows_the_shortest():
    """A network proved to give the remainder by 3, asked for another machine's answers."""
    certificate = Certificate.load(PROOFS / "remainder_3")
    network, machine = certificate.network(), proofs.checker.read_machine(certificate.claim["machine"])
    assert counterexample(network, machine, digits=6) is None
    output = [row[:] for row in machine.output]
    output[2][7] = 1  # for (10 * 2 + 7) mod 3 = 0: wrong from state 2, which takes one column
    other = type(machine)(machine.symbols, machine.inputs, machine.outputs, machine.next_state, output)
    found = search(network, other, digits=6)
    (columns,) = found.wrong
    assert found.shortest and found.length == len(columns) == 2 and columns[1] == 7 and columns[0] % 3 == 2


def test_a_rounded_network_is_searched_on_its_grid():
    network = Rounded(Adder(Config(layers=1, hidden=8, embedding=4)), 2)
    a, b = counterexample(network)
    assert network.add(a, b) != a + b


def test_an_input_that_the_network_gets_right_is_never_reported():
    hunt = searching.Hunt(handmade(), ADDITION, digits=10)
    hunt.note([[99, 1], [19, 90, 0, 0]])  # as if the walk's own arithmetic had been off
    assert hunt.wrong is None


def test_columns_become_the_shortest_numbers_that_show_their_last_digit():
    walk = Walk(handmade())
    for columns, pair in [([99], (9, 9)), ([99, 0], (9, 9)), ([99, 0, 0], (9, 1009)), ([0], (0, 0)),
                          ([12, 34], (31, 42)), ([0, 0], (0, 0))]:
        assert walk.inputs(columns) == pair
        assert walk.length(columns) == digits(pair)


@pytest.mark.parametrize("kind", carries.KINDS)
def test_pairs_are_of_their_kind_and_an_exact_adder_gets_them_all(kind):
    num1, num2 = carries.pairs_of(kind, 50, 1000, np.random.default_rng(1))
    nines = (num1 + num2)[:, 1:-1] == 9
    share = {"random": 0.1, "mixed": 0.55}.get(kind, 1)
    assert abs(nines.mean() - share) < 0.02
    assert (carries.first_wrong(handmade(), num1, num2) == -1).all()
    total = carry_add(num1, num2)
    if kind in ("carry", "no carry"):
        assert (total[:, 1:-1] == 9 * (kind == "no carry")).all()


def test_the_first_wrong_column_is_told():
    model = handmade(tilt=4.0)
    num1, num2 = np.zeros((2, 3, 30), dtype=np.int64)
    num1[:2, :-1] = 9
    num2[0, 0] = 1
    k = next(k for k in range(1, 100) if model.add(10**k - 1, 1) != 10**k)
    first = carries.first_wrong(model, num1, num2)
    assert first[0] in (k - 1, k)
    assert (first[1:] == -1).all()


def test_results_are_computed_once_for_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("ADDRNN_HOME", str(tmp_path))
    calls = []
    for model in (handmade(), handmade(), handmade(tilt=4.0)):
        assert carries.recall("calls", model, lambda: calls.append(0) or len(calls)) == len(calls)
    assert len(calls) == 2
    assert carries.recall("other", handmade(), lambda: [None, 1]) == [None, 1]
    assert carries.recall("calls", handmade(), lambda: -1) == 1


# Fading

def test_all_pairs_of_digits_are_equally_likely_and_added_rightly():
    num1, num2, total = fading.sample(20000, 10, np.random.default_rng(1))
    counts = np.bincount((10 * num1 + num2)[:, :-1].ravel(), minlength=100)
    assert abs(counts - 2000).max() < 5 * 2000**0.5
    for row in range(20):
        a, b, c = (sum(int(digit) * 10**i for i, digit in enumerate(n[row])) for n in (num1, num2, total))
        assert a + b == c


def test_twins_of_a_chain_differ_in_one_column_and_in_every_digit_behind_it():
    num1, num2 = fading.chains(30, 50, np.random.default_rng(0))
    differs = (num1[0] != num1[1]) | (num2[0] != num2[1])
    assert differs[:, fading.START - 1].all() and differs.sum() == 30
    for carry in (0, 1):
        digits = carry_add(num1[carry], num2[carry])[:, fading.START :]
        assert (digits == (0 if carry else 9)).all()


def test_an_exact_adder_keeps_both_carries_apart():
    found = fading.survival(handmade(), count=5, columns=100)
    assert found["none"] == found["carry"] == [100] * 5
    assert len(found["distance"]) == 8 and found["distance"][-1] > 0.5  # after 1, 2, 4 … 64, 100 columns
    assert found["ends"] == [1.0] * 8
    assert not fading.merged(found) and fading.survived(found) == 100


@pytest.mark.parametrize("tilt", [3.95, 4.0, 4.2])
def test_a_fading_carry_survives_as_many_columns_as_nines_are_added_rightly(tilt):
    model = handmade(tilt)
    k = next(k for k in range(1, 100) if model.add(10**k - 1, 1) != 10**k)
    found = fading.survival(model, count=5, columns=256)
    assert found["none"] == [256] * 5
    assert all(abs(at - (k - 1)) <= 1 for at in found["carry"])  # its first column makes the carry
    assert fading.merged(found) and fading.survived(found) == np.median(found["carry"])
    assert found["ends"][0] == 1.0 > found["ends"][-1]


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_a_training_is_looked_at_on_its_way_and_read_back(cell, home, monkeypatch):
    monkeypatch.setattr(fading, "LOOKS", (2, 4, 8))
    config = Config(digit_len=3, cell=cell, batches=4, batch_size=10, hidden=4, embedding=2, layers=1, seed=77)
    monkeypatch.setattr(fading, "plan", lambda: [config])
    fading.main()
    assert fading.models(2, layers=1).keys() == fading.models(4, layers=1).keys() == {77}
    assert fading.models(8, layers=1) == fading.models(4, layers=3) == {}
    assert not fading.keeps(fading.models(4, layers=1)[77])
