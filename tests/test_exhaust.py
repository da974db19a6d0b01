"""Every state that a network reaches: the same bits however it is asked, the counts, the shortest that is wrong."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import safetensors
import torch
from conftest import ROOT
from test_carries import handmade

from addlab import engine
from addlab.certify import ADDITION, Certificate, Network, Rounded, exhaust, from_step, remainder, weighted_sum
from addlab.certify.__main__ import main
from addlab.certify.machines import run
from addlab.certify.walk import Walk, rounded
from addlab.study import proofs, states
from addrnn import Adder, Config

PROOFS = ROOT / "records" / "proofs"


def every(machine, columns):
    """All inputs of a machine of so many columns: an int array [count, columns] for each input."""
    index = np.array(list(itertools.product(range(len(machine.columns)), repeat=columns)))
    return np.moveaxis(np.array(machine.columns)[index], 2, 0)


# The same bits

@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_a_step_has_the_same_bits_alone_and_among_others(cell):
    """`exhaust` proves nothing without it: whatever stands beside a sequence, in whatever order, on all threads."""
    model = Adder(Config(cell=cell, layers=2, hidden=20, embedding=3))
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 100, (53, 3))
    walk = Walk(model)
    state = rng.normal(size=(walk.shape[0], 53, 20)).astype(np.float32)
    logits, after = walk.feed(state, columns)
    order = rng.permutation(53)
    for index in [order, order[:13], *order[:14, None]]:
        again, after_again = walk.feed(state[:, index], columns[index])
        assert again.tobytes() == logits[index].tobytes()
        assert after_again.tobytes() == np.ascontiguousarray(after[:, index]).tobytes()
    one_by_one = state
    for t in range(3):
        again, one_by_one = walk.feed(one_by_one, columns[:, t : t + 1])
        assert again[:, 0].tobytes() == logits[:, t].tobytes()
    assert one_by_one.tobytes() == after.tobytes()
    try:
        torch.set_num_threads(3)
        again, after_again = walk.feed(state, columns)
    finally:
        torch.set_num_threads(1)
    assert (again.tobytes(), after_again.tobytes()) == (logits.tobytes(), after.tobytes())


def test_an_adder_cut_into_parts_has_the_bits_of_the_whole():
    model, machine = Adder(Config(layers=2, hidden=7, embedding=3)), from_step(
        10, 2, 10, lambda carry, a, b: divmod(a + b + carry, 10))
    assert machine != ADDITION  # it has no meaning, so the network counts as any machine's
    columns = np.random.default_rng(0).integers(0, 100, (30, 9))
    whole, parts = Walk(model), Walk(model, machine)
    for ours, theirs in zip(whole.feed(whole.start(30)[0], columns), parts.feed(parts.start(30)[0], columns),
                            strict=True):
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("machine", [weighted_sum(2, 1, 1), weighted_sum(3, 1, 1, 1), weighted_sum(16, 1, 1),
                                     remainder(10, 7), from_step(2, 1, 2, lambda s, bit: (s ^ bit, s ^ bit))])
def test_any_network_in_parts_says_what_torch_says(cell, machine):
    network = Network(machine, cell, layers=2, hidden=6, embedding=3)
    columns = np.random.default_rng(0).integers(0, len(machine.columns), (20, 12))
    logits, _ = Walk(network, machine).feed(Walk(network, machine).start(20)[0], columns)
    numbers = np.moveaxis(np.array(machine.columns)[columns], 2, 0)
    assert np.abs(logits - network(*numbers).detach().numpy()).max() < 1e-5


# On a grid

def test_a_rounded_network_keeps_its_state_on_the_grid_after_every_column(tmp_path):
    model = Adder(Config(layers=2, hidden=9, embedding=4))
    num1, num2 = np.random.default_rng(0).integers(0, 10, (2, 5, 8))
    state, said = np.zeros((2, 5, 9), np.float32), []
    for t in range(8):
        logits, state = engine.logits(model, num1[:, t : t + 1], num2[:, t : t + 1], state)
        state = np.round(state * 4) / np.float32(4)
        said.append(logits[:, 0].argmax(1))
    coarse = Rounded(model, 4)
    assert (coarse.predict(num1, num2) == np.stack(said, 1)).all()
    coarse.save(tmp_path / "coarse.safetensors")
    again = Rounded.load(tmp_path / "coarse.safetensors")
    assert again.grid == 4 and again.add(123, 4567) == coarse.add(123, 4567)
    with pytest.warns(UserWarning, match="on a grid"):
        assert Adder.load(tmp_path / "coarse.safetensors").add(5, 6) == model.add(5, 6)
    model.save(tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="without a grid"):
        Rounded.load(tmp_path / "plain.safetensors")
    for bad in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match=r"grid .*: got"):
            Rounded(model, bad)


def test_rounding_leaves_no_negative_zero():
    state = np.array([-0.3, 0.3, -0.0, 0.7, -0.6], np.float32)
    assert rounded(state, 1).tobytes() == np.array([0, 0, 0, 1, -1], np.float32).tobytes()


# What it finds

@pytest.mark.parametrize("row", [row for row in states.recorded() if row["states"] < 2000],
                         ids=lambda row: f"{row['network']} {row['grid']}")
def test_what_is_recorded_comes_out_again(row):
    assert states.exhausted(row["network"], row["grid"]) == row


@pytest.mark.parametrize("name", ["rnn_1layer_seed0", "gru_1layer_seed0", "times_3", "parity", "subtract"])
def test_a_proved_network_closes_on_a_grid_and_each_state_counts_once(name):
    """Against a walk of Python's own: a set of bytes, one column at a time."""
    certificate = Certificate.load(PROOFS / name)
    machine = proofs.checker.read_machine(certificate.claim["machine"])
    network = Rounded(certificate.network(), 1, machine)
    found, walk = exhaust(network), Walk(network)
    assert found.closed and found.behaviours == machine.states
    state, states = walk.start()
    seen, sizes = {state.tobytes() + states.tobytes()}, []
    while len(states):
        fed = np.tile(np.arange(walk.columns), len(states))[:, None]
        logits, after = walk.feed(np.repeat(state, walk.columns, axis=1), fed)
        right, after_states = walk.right(np.repeat(states, walk.columns), fed)
        assert (logits.argmax(2) == right).all()
        new = []
        for i in range(len(fed)):
            key = np.ascontiguousarray(after[:, i]).tobytes() + after_states[i].tobytes()
            if key not in seen:
                seen.add(key)
                new.append(i)
        state, states = after[:, new], after_states[new]
        sizes.append(len(new))
    assert (found.states, found.columns) == (len(seen), sizes)


def nudged(name, seed, size):
    """A proved network with its weights shaken."""
    certificate = Certificate.load(PROOFS / name)
    network = certificate.network()
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for p in network.parameters():
            p += torch.tensor(rng.normal(size=p.shape), dtype=torch.float32) * p.abs().mean() * size
    return network, proofs.checker.read_machine(certificate.claim["machine"])


@pytest.mark.parametrize("size", [0.0, 0.1, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_wrong_is_the_shortest_sum_that_is(size, seed):
    """All sums of one and two digits are tried beside it."""
    network = Rounded(nudged("rnn_1layer_seed0", seed, size)[0], 1)
    found = exhaust(network)
    for digits in (1, 2):
        a, b = every(ADDITION, digits)
        a, b = (np.pad(number, ((0, 0), (0, 1))) for number in (a, b))
        wrong = (network.predict(a, b) != run(ADDITION, a, b)).any(1)
        if found.closed or found.right_up_to >= digits:
            assert not wrong.any()
    if not found.closed:
        a, b = found.wrong
        assert network.add(a, b) != a + b
        length = len(str(max(a, b)))
        assert length == found.right_up_to + 1 if found.shortest else length > found.right_up_to + 1


def test_a_carry_that_fades_after_k_columns_makes_the_shortest_sum_that_is_wrong():
    model = handmade(tilt=4.2)
    network = Rounded(model, 2**8)
    k = next(k for k in range(1, 100) if network.add(10**k - 1, 1) != 10**k)
    found = exhaust(network)
    assert 2 <= len(str(max(found.wrong))) <= k
    assert network.add(*found.wrong) != sum(found.wrong)
    if found.shortest:
        assert len(str(max(found.wrong))) == found.right_up_to + 1


@pytest.mark.parametrize("says, wrong", [(0, (0, 1)), (1, (0, 2))])
def test_a_network_that_always_says_one_digit_fails_the_shortest_sum(says, wrong):
    model = handmade()
    with torch.no_grad():
        model.dense.bias[says] = 1e9
    found = exhaust(model)
    assert (found.wrong, found.right_up_to, found.shortest, found.closed) == (wrong, 0, True, False)


def test_a_machine_that_goes_wrong_gives_the_fewest_columns_as_they_are_read():
    network, machine = nudged("remainder_3", 0, 0.0)
    table = [row[:] for row in machine.output]
    table[2][7] = (table[2][7] + 1) % 3  # as if another were asked for: wrong from state 2, which takes one column
    other = type(machine)(machine.symbols, machine.inputs, machine.outputs, machine.next_state, table)
    found = exhaust(Rounded(network, 1, other))
    assert found.wrong == ([2, 7],) and found.right_up_to == 1 and found.shortest


def test_what_does_not_close_says_how_far_it_is_right():
    found = exhaust(Certificate.load(PROOFS / "rnn_48_parameters").network(), most=5000)
    assert not found.closed and found.wrong is None and found.states > 5000
    assert found.columns == [55, 2909] and found.right_up_to == 1  # two columns: one digit and the last carry


# The command

def test_the_command_says_closed_wrong_or_not_closed(capsys, tmp_path):
    assert main(["exhaust", str(PROOFS / "gru_1layer_seed0.json"), "--grid", "1"]) == 0
    assert "2 behaviours" in capsys.readouterr().out
    network, _ = nudged("rnn_1layer_seed0", 0, 0.5)
    network.save(tmp_path / "shaken.safetensors")
    Rounded(network, 1).save(tmp_path / "coarse.safetensors")
    with safetensors.safe_open(tmp_path / "coarse.safetensors", "pt") as file:
        told = {name: json.loads(text) for name, text in file.metadata().items()}
    assert told == {"grid": 1, "config": dataclasses.asdict(network.config)}
    found = exhaust(Rounded(network, 1))
    for arguments in (["shaken.safetensors", "--grid", "1"], ["coarse.safetensors"]):
        assert main(["exhaust", str(tmp_path / arguments[0]), *arguments[1:]]) == 1
        a, b = found.wrong
        assert f"wrong: {a} + {b} = " in capsys.readouterr().out
    assert main(["exhaust", str(PROOFS / "rnn_48_parameters.safetensors"), "--most", "100"]) == 3
    assert "not closed" in capsys.readouterr().out
    for bad in (["nothing.safetensors"], ["nothing.json"], [str(PROOFS / "parity.safetensors")],
                [str(tmp_path / "shaken.safetensors"), "--grid", "0"]):
        with pytest.raises(SystemExit) as left:
            main(["exhaust", *bad])
        assert left.value.code == 2 and capsys.readouterr().err.count("\n") == 1
