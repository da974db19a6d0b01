"""The proof: what is certified holds, what is forged or tampered with is rejected."""

import ast
import copy
import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from flint import arb

from addlab import certify, engine
from addlab.certify import boxes, checker, machines, training
from addlab.certify.__main__ import main
from addlab.engine import functions
from addrnn import Adder, Config
from tools import proofs

ROOT = Path(__file__).resolve().parent.parent
PROOFS = ROOT / "records" / "proofs"
PROVED = sorted(path.stem for path in PROOFS.glob("*.json") if path.with_suffix(".safetensors").exists())


def handmade():
    """An Adder of 52 parameters whose weights are chosen, not trained: two tanh units.

    With s = a + b, unit 0 latches the carry, L = tanh(40 (s + L / 2 - 9.3)); unit 1 is nearly linear, so that
    v = s + 0.45 L + 0.3 - 5 (L' + 1) is within 0.4 of the digit; logits 2 d v - d² are largest at d = v rounded.
    The offsets are not symmetric because L = 0 at the start must count as no carry.
    """
    model = Adder(Config(layers=1, hidden=2, embedding=1))
    digits, steep, flat = torch.arange(10.0), 40.0, 1 / 64
    rnn, dense = model.rnn, model.dense
    with torch.no_grad():
        model.embed_layer.weight[:] = digits[:, None]
        rnn.weight_ih_l0[:] = torch.tensor([[steep, steep], [flat, flat]])
        rnn.weight_hh_l0[:] = torch.tensor([[steep * 0.5, 0], [flat * 0.45, 0]])
        rnn.bias_ih_l0[:] = torch.tensor([-9.3 * steep, (0.3 - 9.5) * flat])
        rnn.bias_hh_l0[:] = 0
        dense.weight[:] = torch.stack((-10 * digits, 2 * digits / flat), 1)
        dense.bias[:] = 2 * digits * (9.5 - 5) - digits**2
    return model


@pytest.fixture(scope="module")
def by_hand():
    """The certificate of the exact adder."""
    return certify.certify(handmade())


@pytest.fixture
def check(tmp_path, capsys):
    """Let the checker judge a claim (a dict, text or bytes) and weights (bytes): (exit status, what it prints)."""
    def judge(claim, weights):
        text = json.dumps(claim) if isinstance(claim, dict) else claim
        (tmp_path / "c.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        (tmp_path / "c.safetensors").write_bytes(weights)
        status = checker.main([str(tmp_path / "c.json")])
        captured = capsys.readouterr()
        assert not captured.err
        return status, captured.out
    return judge


def weights_of(model):
    return safetensors.torch.save(model.state_dict())


def forged(certificate, weights, **changes):
    """The claim, changed, with the digest of other weights."""
    return copy.deepcopy(certificate.claim) | {"weights": hashlib.sha256(weights).hexdigest()} | changes


# What holds is proved, what does not is not

def test_exact_adder_built_by_hand_is_certified(by_hand, check):
    assert by_hand.parameters == 52
    assert by_hand.margin > 0.1
    status, text = check(by_hand.claim, by_hand.weights)
    assert status == 0 and text.startswith("proved    this network adds decimal numbers of every length, modulo "
                                           "10^columns, exact with 1 column of zeros at the end\n")
    assert text.count("\n") == 5


def test_nudged_adder_is_not_certified_and_a_counterexample_is_found():
    for latch in (20, 16, 8):  # the weight with which the carry unit reads itself, down until 9 + 0 + 1 fails
        model = handmade()
        with torch.no_grad():
            model.rnn.weight_hh_l0[0, 0] = latch
        if certify.certify(model) is None:
            break
    a, b = certify.counterexample(model, digits=20)
    assert latch == 8 and model.add(a, b) != a + b


def test_an_untrained_network_is_not_certified():
    assert certify.certify(Adder(Config(layers=1))) is None


def test_training_ends_in_a_proof(check):
    certificate = certify.certify(certify.train_on_boxes(Adder(Config(layers=1)), batches=400))
    assert check(certificate.claim, certificate.weights)[0] == 0


def test_training_repeats_bit_for_bit():
    once, again = (certify.train_on_boxes(Adder(Config(layers=2, hidden=16)), batches=15) for _ in range(2))
    assert weights_of(once) == weights_of(again)


@pytest.mark.parametrize("name", PROVED)
def test_committed_certificates_hold(name, capsys):
    assert checker.main([str(PROOFS / f"{name}.json")]) == 0
    assert capsys.readouterr().out.startswith("proved ")


def test_every_kind_of_network_is_committed():
    claims = [certify.Certificate.load(PROOFS / name) for name in PROVED]
    kinds = {(c.claim["cell"], c.claim["layers"]) for c in claims}
    assert kinds >= {("RNN", 1), ("RNN", 2), ("RNN", 3), ("GRU", 1), ("GRU", 2), ("LSTM", 1), ("LSTM", 2)}
    assert min(c.parameters for c in claims) == 52


def test_a_wide_network_is_proved_from_its_weights_alone():
    """Where 96 entries add up, the ends of the boxes are rounded finely enough to leave float32 its room."""
    certificate = certify.Certificate.load(PROOFS / "add_three_numbers")
    assert certify.certify(certificate.network(), checker.read_machine(certificate.claim["machine"])) is not None


# Machines

MACHINES = {
    "subtract": (machines.weighted_sum(10, 1, -1), lambda a, b: a - b),
    "three": (machines.weighted_sum(10, 1, 1, 1), lambda a, b, c: a + b + c),
    "hexadecimal": (machines.weighted_sum(16, 1, 1), lambda a, b: a + b),
    "binary": (machines.weighted_sum(2, 3, 5), lambda a, b: 3 * a + 5 * b),
    "times 7": (machines.weighted_sum(10, 7), lambda a: 7 * a),
}


def digits_of(number, base, count):
    return [number // base**place % base for place in range(count)]


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_computes_what_it_means(name):
    """Against Python's whole numbers, a negative result in the base's complement."""
    machine, function = MACHINES[name]
    rng, base = np.random.default_rng(0), machine.symbols
    numbers = rng.integers(0, base**8, (machine.inputs, 50)).tolist()
    columns = [np.array([digits_of(number, base, 12) for number in row]) for row in numbers]
    right = np.array([digits_of(function(*row) % base**12, base, 12) for row in zip(*numbers, strict=True)])
    assert (machines.run(machine, *columns) == right).all()
    assert f" of numbers of every length in base {base}, modulo {base}^columns" in checker.check_meaning(machine)


@pytest.mark.parametrize("base, factors", [(2, (1, 1)), (2, (1, 1, 1)), (2, (3, 5)), (10, (7,)), (3, (1, 1, 1, 1)),
                                           (10, (1,)), (10, (1, -1)), (10, (-3,))])
def test_as_many_zeros_as_the_checker_says_make_a_result_exact(base, factors):
    """And one fewer do not, for some numbers: against Python's whole numbers, over all of three digits."""
    machine = machines.weighted_sum(base, *factors)
    numbers = np.indices((base**3 if base < 5 else 1000,) + (base**3,) * (len(factors) - 1)).reshape(len(factors), -1)
    numbers = numbers[:, :: max(1, numbers.shape[1] // 5000)]
    right = sum(factor * number for factor, number in zip(factors, numbers, strict=True))

    def exact(zeros):
        columns = [np.stack([number // base**place % base for place in range(3 + zeros)], 1) for number in numbers]
        said = machines.run(machine, *columns)
        return bool((said @ base ** np.arange(3 + zeros) == right).all())

    said = checker.check_meaning(machine)
    if min(factors) < 0:
        assert said.endswith("^columns") and not exact(8)
    else:
        zeros = int(said.split("exact with ")[1].split()[0])
        assert exact(zeros) and (zeros == 0 or not exact(zeros - 1))


@pytest.mark.parametrize("base, modulus", [(10, 7), (10, 4), (2, 3), (16, 5)])
def test_the_remainder_machine_finds_remainders(base, modulus):
    machine = machines.remainder(base, modulus)
    numbers = np.random.default_rng(0).integers(0, base**6, 50).tolist()
    from_the_front = np.array([digits_of(number, base, 6)[::-1] for number in numbers])
    assert machines.run(machine, from_the_front)[:, -1].tolist() == [number % modulus for number in numbers]
    assert checker.check_meaning(machine).startswith(f"finds the remainder by {modulus} ")


@pytest.mark.parametrize("change", [
    lambda m: m.output[1].__setitem__(47, 3), lambda m: m.next_state[1].__setitem__(47, 0),
    lambda m: m.meaning.update(factors=[1, -1]), lambda m: m.meaning.update(carries=[0, 2]),
    lambda m: m.meaning.update(carries=[1, 0]), lambda m: m.meaning.update(base=11),
    lambda m: m.meaning.update(kind="sum"), lambda m: m.meaning.pop("carries"),
])
def test_a_table_that_does_not_compute_what_it_says_is_rejected(change, by_hand, check):
    claim = copy.deepcopy(by_hand.claim)
    machine = checker.Machine(**claim["machine"])
    change(machine)
    status, line = check(claim, by_hand.weights)
    assert status == 1 and line.startswith("rejected: ")


def test_the_five_line_example_ends_in_a_proof_of_another_machine(check):
    """A table of one's own: three states, which no arithmetic names."""
    machine = certify.from_step(symbols=3, inputs=1, outputs=2, step=lambda last, symbol: (symbol, int(symbol == last)))
    network = certify.train_on_boxes(certify.Network(machine, hidden=24, embedding=8), machine, batches=500)
    certificate = certify.certify(network, machine)
    status, text = check(certificate.claim, certificate.weights)
    assert status == 0 and "computes the certificate's machine of 3 states" in text
    symbols = np.random.default_rng(0).integers(0, 3, (20, 100))
    assert (network.predict(symbols) == machines.run(machine, symbols)).all()
    assert certify.certify(network, certify.from_step(3, 1, 2, lambda last, symbol: (symbol, symbol > 1))) is None


def test_a_machine_of_one_state_is_trained_and_proved(check):
    """It has nothing to remember: XOR, digit by digit in base 4."""
    machine = certify.from_step(4, 2, 4, lambda state, a, b: (state, a ^ b))
    network = certify.train_on_boxes(certify.Network(machine, hidden=16, embedding=4), machine, batches=200)
    certificate = certify.certify(network, machine)
    status, text = check(certificate.claim, certificate.weights)
    assert status == 0 and "computes the certificate's machine of 1 state on inputs of every length" in text


ANSWERS = itertools.count()


@pytest.mark.parametrize("outputs, step, problem", [
    (1, lambda state, symbol: (0, 0), "one output symbol"),
    (2, lambda state, symbol: (0, 1.7), "got the output 1.7"),
    (2, lambda state, symbol: (0, "1"), "got the output '1'"),
    (2, lambda state, symbol: (0, 2), "got the output 2"),
    (2, lambda state, symbol: (0, -1), "got the output -1"),
    (2, lambda state, symbol: (state + 1, 0), "got more than 1000 states"),
    (2, lambda state, symbol: (0, next(ANSWERS) % 2), "got one answer in state 0 and then another"),
])
def test_a_step_that_makes_no_machine_is_one_line(outputs, step, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        certify.from_step(symbols=3, inputs=1, outputs=outputs, step=step)
    assert "allowed is" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("change, problem", [
    (dict(next_state=[[0, 0], [1, 1]]), "a state 1 that no columns lead to"),
    (dict(next_state=[[0, 2], [1, 1]]), "out of range"),
    (dict(output=[[0, 1.0], [0, 1]]), "an entry for every column"),
    (dict(meaning=dict(base=2, factors=[1], carries=[0, 0])), "the machine is wrong"),
])
def test_a_table_that_is_no_machine_is_one_line(change, problem):
    whole = dict(symbols=2, inputs=1, outputs=2, next_state=[[0, 1], [1, 0]], output=[[0, 1], [1, 0]], meaning=None)
    machine = checker.Machine(**whole | change)
    network = certify.Network(machine, hidden=4, embedding=2)
    for use in (certify.certify, certify.train_on_boxes):
        with pytest.raises(ValueError, match=problem):
            use(network, machine)


def test_starts_side_by_side_train_as_each_does_alone():
    together = training.train_starts([certify.Network(certify.ADDITION, hidden=2, embedding=1, seed=k) for k in (0, 1)],
                                     steps=5)
    alone = training.train_starts([certify.Network(certify.ADDITION, hidden=2, embedding=1, seed=1)], steps=5)
    for name, tensor in alone[0].state_dict().items():
        assert torch.allclose(together[1].state_dict()[name], tensor, atol=1e-5)


# Studies

@pytest.mark.parametrize("weights", proofs.BITS)
def test_a_shortened_weight_is_one_of_as_many_as_its_bits_can_say(weights):
    """And the nearest of them, or as near as the format's own step."""
    tensor = torch.linspace(-3.3, 3.3, 100_001)
    short = proofs.shortened(tensor, weights)
    assert len(short.unique()) <= min(2 ** proofs.BITS[weights], len(tensor))
    steps = short.unique().double().diff()
    assert (short - tensor).abs().max() <= steps.max() / 2 + 1e-6
    assert (proofs.shortened(short, weights) == short).all()
    assert not proofs.shortened(torch.zeros(3), weights).any()


@pytest.mark.parametrize("weights", ["INT8", "FP8 E4M3"])
def test_the_recorded_lead_of_shortened_weights_is_what_the_certifier_finds(weights):
    rows = json.loads((ROOT / "records" / "studies" / "bits.json").read_text())
    recorded = [row for row in rows if (row["certificate"], row["weights"]) == ("rnn_1layer_seed0", weights)]
    again = proofs.run_bits("rnn_1layer_seed0", weights)
    assert [row["margin"] for row in recorded] == [row["margin"] for row in again]


# Soundness, by sampling

def states_in(box, count, rng):
    """Vectors in a box [entries] (low, high), half of all entries at an end."""
    low, high = np.array(box).T
    at = np.clip(rng.random((count, len(low))) * 2 - 0.5, 0, 1)
    return low + at * (high - low)


def step_in_float64(cell, weights, layer, below, vector):
    """One column by the equations, in NumPy: h and the next vector; vectors are laid out as the checker says."""
    def sigmoid(z):
        return (1 + np.tanh(z / 2)) / 2

    u = weights[f"rnn.weight_hh_l{layer}"]
    rows, hidden = u.shape
    x = below @ weights[f"rnn.weight_ih_l{layer}"].T + weights[f"rnn.bias_ih_l{layer}"]
    x = np.split(x, rows // hidden, 1)
    s = np.split(vector[:, :rows] + weights[f"rnn.bias_hh_l{layer}"], rows // hidden, 1)
    carried = vector[:, rows:]
    if cell == "RNN":
        h = carried = np.tanh(x[0] + s[0])
    elif cell == "LSTM":
        carried = sigmoid(x[1] + s[1]) * carried + sigmoid(x[0] + s[0]) * np.tanh(x[2] + s[2])
        h = sigmoid(x[3] + s[3]) * np.tanh(carried)
    else:
        keep = sigmoid(x[1] + s[1])
        h = carried = (1 - keep) * np.tanh(x[2] + sigmoid(x[0] + s[0]) * s[2]) + keep * carried
    return h, np.hstack([h @ u.T] + [carried] * (cell != "RNN"))


@pytest.mark.parametrize("name", PROVED)
def test_states_inside_the_boxes_stay_inside_and_give_the_right_symbol(name):
    certificate = certify.Certificate.load(PROOFS / name)
    claim, machine = certificate.claim, checker.Machine(**certificate.claim["machine"])
    weights = {key: tensor.double().numpy() for key, tensor in safetensors.torch.load(certificate.weights).items()}
    rng, columns = np.random.default_rng(0), np.array(machine.columns)
    for state in range(machine.states):
        index = rng.integers(0, len(columns), 500)
        target, right = (np.array(table[state])[index] for table in (machine.next_state, machine.output))
        below = weights["embed_layer.weight"][columns[index]].reshape(500, -1)
        for layer in range(claim["layers"]):
            vectors = states_in(claim["invariant"][state][layer], 500, rng)
            below, after = step_in_float64(claim["cell"], weights, layer, below, vectors)
            low, high = np.array([layers[layer] for layers in claim["invariant"]])[target].transpose(2, 0, 1)
            assert (after >= low).all() and (after <= high).all()
        said = (below @ weights["dense.weight"].T + weights["dense.bias"]).argmax(1)
        assert (said == right).all()


@pytest.mark.parametrize("name", PROVED)
def test_float32_execution_says_what_the_machine_says(name):
    """200 columns, of which most keep the state that they find, in torch."""
    certificate = certify.Certificate.load(PROOFS / name)
    machine = checker.Machine(**certificate.claim["machine"])
    rng, columns = np.random.default_rng(1), np.array(machine.columns)
    some = rng.integers(0, len(columns), (50, 200))
    chain = rng.integers(0, len(columns), (50, 1))  # one column over and over
    some = np.where(rng.random((50, 200)) < 0.8, chain, some)
    numbers = np.moveaxis(columns[some], 2, 0)
    with torch.no_grad():
        said = certificate.network()(*numbers).argmax(2).numpy()
    assert (said == machines.run(machine, *numbers)).all()


def test_intervals_of_the_finder_contain_what_sampling_finds():
    """The float64 boxes with gradients, which are what networks are trained on, for every cell and two layers."""
    rng, cases = np.random.default_rng(2), boxes.Cases(certify.ADDITION)
    for cell in engine.CELLS:
        model = certify.Network(certify.ADDITION, cell, layers=2, hidden=5, embedding=3)
        weights = boxes.Weights.of(model, torch.float64)
        arrays = {key: tensor.double().numpy() for key, tensor in model.state_dict().items()}
        ends = [np.sort(rng.normal(size=(2, 3, len(box.low[0]))), axis=0) for box in boxes.start_boxes(weights, 3)]
        found, top = boxes.transitions(weights, cases, [boxes.Interval(*map(torch.from_numpy, end)) for end in ends])
        for _ in range(20):
            below = arrays["embed_layer.weight"][np.array(certify.ADDITION.columns)].reshape(100, -1)
            below = np.tile(below, (3, 1))
            for layer, end in enumerate(ends):
                inside = end[0] + rng.integers(0, 2, end[0].shape) * (end[1] - end[0])
                below, after = step_in_float64(cell, arrays, layer, below, inside.repeat(100, 0))
                assert (after >= found[layer].low.detach().numpy() - 1e-9).all()
                assert (after <= found[layer].high.detach().numpy() + 1e-9).all()
            assert (below >= top.low.detach().numpy() - 1e-9).all()


def test_proved_network_adds_long_worst_cases():
    model = Adder.load(PROOFS / "rnn_1layer_seed0.safetensors")
    nines = 10**20_000 - 1
    for b in (1, 0, nines):
        assert model.add(nines, b) == nines + b


def test_the_engine_computes_its_functions_as_exactly_as_the_checker_assumes():
    """What test_engine.py measures over every float32, with room to spare."""
    assert 2 * max(functions.TANH_ERROR, functions.SIGMOID_ERROR) < float(checker.FUNCTION_ERROR)


@pytest.mark.parametrize("function", [torch.tanh, torch.sigmoid])
def test_torch_computes_its_functions_as_exactly_as_the_checker_assumes(function):
    for exponent in range(-24, 6):
        sizes = 2.0**exponent * (1 + torch.arange(0, 2**23, 101) / 2**23)
        for x in (sizes, -sizes):
            assert (function(x).double() - function(x.double())).abs().max() < float(checker.FUNCTION_ERROR)


def test_every_certificate_holds_with_the_tanh_of_a_gpu_too(monkeypatch):
    """cuDNN's cells are further off than is assumed; with twice their error the boxes hold, and leads hardly fall."""
    measured = json.loads((ROOT / "records" / "studies" / "functions.json").read_text())
    (gpu,) = (row for row in measured if row["device"] != "cpu")
    assert float(checker.FUNCTION_ERROR) < max(gpu["errors"].values()) < 2**-16
    monkeypatch.setattr(checker, "FUNCTION_ERROR", checker.arb(2) ** -16)
    for path in sorted(PROOFS.glob("*.json")):
        claim = json.loads(path.read_text())
        loosened = json.dumps(claim | {"margin": 0}).encode()
        lead = checker.check(loosened, path.with_suffix(".safetensors").read_bytes()).margin
        assert claim["margin"] - 0.01 < lead, path.stem


# Rounding is bounded by what the boxes hold, and by what may be taken for zero

FLUSHED = """
import sys
import torch
from addrnn import Adder
from safetensors.torch import load_file

adder = Adder.load(sys.argv[1])
torch.set_flush_denormal(True)
digits = [torch.tensor([[int(digit) for digit in reversed(number)]]) for number in ("0123456789", "0987654321")]
print(*adder(*digits).argmax(2)[0].tolist())
"""


def test_an_adder_of_numbers_that_may_be_taken_for_zero_is_not_certified(by_hand, tmp_path):
    """All embeddings below 2^-126, and input weights as much larger: exact in IEEE float32, dumb where it flushes."""
    copies, down, up = 512, 2.0**-130, 2.0**65  # the embedding many times over, so that the weights stay finite
    adder = Adder(Config(layers=1, hidden=2, embedding=copies))
    tensors = dict(safetensors.torch.load(by_hand.weights))
    tensors["embed_layer.weight"] = tensors["embed_layer.weight"].repeat(1, copies) * down
    tensors["rnn.weight_ih_l0"] = tensors["rnn.weight_ih_l0"].repeat_interleave(copies, 1) / copies * up * up
    adder.load_state_dict(tensors)
    assert tensors["embed_layer.weight"].max() < 2.0**-126
    assert adder.add(123456789, 987654321) == 1111111110
    adder.save(tmp_path / "adder.safetensors")
    done = subprocess.run([sys.executable, "-c", FLUSHED, tmp_path / "adder.safetensors"], capture_output=True,
                          text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["0"] * 10
    assert certify.certify(adder) is None
    weights = weights_of(adder)
    with pytest.raises(checker.Rejected, match="may overflow"):
        checker.check(json.dumps(forged(by_hand, weights, embedding=copies)).encode(), weights)


@pytest.mark.parametrize("bound", [2.0**-140, 2.0**-130, 2.0**-127])
def test_rounding_errors_cover_factors_that_are_taken_for_zero(bound):
    """Then all of a sum is lost."""
    matrix = checker.arb_mat(1, 3, [2.0**80, 2.0**70, 2.0**-127])
    lost = bound * sum(map(float, matrix.entries()))
    assert float(checker.rounding_errors((matrix, bound))[0].upper()) > lost


def test_rounding_errors_grow_with_the_outputs_that_a_box_allows():
    """A GRU whose h halves in every column, so that a box of any size is an invariant, and whose logits both add h."""
    machine = certify.from_step(symbols=1, inputs=1, outputs=2, step=lambda state, symbol: (0, 0))
    network = certify.Network(machine, "GRU", hidden=1, embedding=1)
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.zero_()
        network.dense.weight[:] = 1.0
        network.dense.bias[0] = 1.0
    tensors = checker.read_weights(weights_of(network))

    def lead(height):
        box = [arb(0)] * 3 + [arb(0, height)]
        leads = checker.prove(checker.Sizes("GRU", 1, 1, 1), machine, tensors, [[box]])
        return min(map(checker.lower_end, leads))

    assert lead(1.0) > 0.99
    assert lead(2.0**14) < 0.99
    with pytest.raises(checker.Rejected, match="0 does not beat 1"):
        lead(2.0**24)  # float32 cannot tell h from h + 1


def test_forged_boxes_of_a_gru_are_judged_by_what_they_hold():
    """Entries of h in a committed GRU's boxes blown up to 50: accepted only with the rounding that comes with it."""
    certificate = certify.Certificate.load(PROOFS / "gru_1layer_seed0")
    claim, machine = certificate.claim, checker.Machine(**certificate.claim["machine"])
    tensors, rows = checker.read_weights(certificate.weights), 3 * claim["hidden"]
    sizes = checker.Sizes(*(claim[key] for key in ("cell", "layers", "hidden", "embedding")))
    honest = certificate.margin
    for entry in (rows, rows + 1, rows + 7):
        boxes_of = [[checker.read_box(box) for box in layers] for layers in claim["invariant"]]
        for layers in boxes_of:
            layers[0][entry] = arb(0, 50)
        try:
            leads = checker.prove(sizes, machine, tensors, boxes_of)
        except checker.Rejected:
            continue
        assert min(map(checker.lower_end, leads)) < honest


def test_a_lead_that_is_no_number_is_no_lead(monkeypatch, by_hand):
    """Each lead is compared on its own: a minimum may pass over a NaN."""
    machine = checker.Machine(**by_hand.claim["machine"])
    monkeypatch.setattr(checker, "rounding_errors", lambda *parts: [arb("nan")] * parts[0][0].nrows())
    cases = checker.cases_of(machine)
    below = checker.arb_mat(2, len(cases))
    with pytest.raises(checker.Rejected, match="does not beat"):
        checker.prove_outputs(checker.Sizes("RNN", 1, 2, 1), machine, cases,
                              checker.read_weights(by_hand.weights), below, arb(2))


# Tampering

def narrow(claim):
    low, high = claim["invariant"][1][0][1]
    claim["invariant"][1][0][1] = [low, low + (high - low) / 8]


def widen(claim):
    low, high = claim["invariant"][0][0][0]
    claim["invariant"][0][0][0] = [low, high + 45]


def put(*place_and_value):
    *place, key, value = place_and_value

    def change(claim):
        part = claim
        for step in place:
            part = part[step]
        part[key] = value
    return change


TAMPERED = {  # what is changed, and what the checker must say
    "narrowed box": (narrow, "leaves the box of state 1"),
    "widened box": (widen, "state 0, column "),
    "raised margin": (put("margin", 100.0), "margin 100.0 claimed"),
    "margin that is true": (put("margin", True), "its margin is no number"),
    "wrong digest": (put("weights", "0" * 64), "SHA-256"),
    "digest of no text": (put("weights", None), "SHA-256"),
    "another cell": (put("cell", "GRU"), "no rnn.weight_ih_l0"),
    "no cell": (put("cell", ["RNN"]), "no such network"),
    "other layers": (put("layers", 2), "not a box for each layer"),
    "no layers": (put("layers", 0), "no such network"),
    "true layers": (put("layers", True), "no such network"),
    "hidden too large": (put("hidden", 3), "no rnn.weight_ih_l0"),
    "extra key": (put("note", "trust me"), "no object with just"),
    "missing box": (lambda claim: claim["invariant"][0][0].pop(), "has not 2 entries"),
    "no boxes": (put("invariant", []), "not boxes for each state"),
    "boxes by name": (put("invariant", {}), "not boxes for each state"),
    "no layer": (put("invariant", [[], []]), "not a box for each layer"),
    "box of text": (put("invariant", 0, 0, 0, ["1", "2"]), "are no numbers"),
    "box of one end": (put("invariant", 0, 0, 0, [1.0]), "has not two ends"),
    "box upside down": (lambda claim: claim["invariant"][0][0][0].reverse(), "upside down"),
    "huge integer": (put("invariant", 0, 0, 0, 1, 10**400), "too wide"),
    "no machine": (put("machine", None), "no object with just"),
    "machine without a state": (put("machine", "next_state", []), "differ in states"),
    "a state too many": (put("machine", "next_state", 0, 0, 2), "out of range"),
    "a column too few": (lambda claim: claim["machine"]["output"][0].pop(), "an entry for every column"),
    "symbols of no number": (put("machine", "symbols", "10"), "whole numbers"),
    "many inputs": (put("machine", "inputs", 10**5), "more than 20 inputs"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_certificate_is_rejected(name, by_hand, check):
    change, problem = TAMPERED[name]
    claim = json.loads(json.dumps(by_hand.claim))
    change(claim)
    status, line = check(claim, by_hand.weights)
    assert status == 1 and line.startswith("rejected: ") and problem in line and line.count("\n") == 1, line


@pytest.mark.parametrize("old, new, problem", [
    ('"layers": 1', '"layers": 1, "layers": 1', "a key stands twice"),
    ('"layers": 1', '"layers": NaN', "not a finite number"),
    ('"layers": 1', '"layers": Infinity', "not a finite number"),
    ('"layers": 1', '"layers": 1e999', "not a finite number"),
    ('"layers": 1', '"layers": 1}', "no JSON"),
    ('{"machine"', "[" * 100_000 + '{"machine"', "no JSON"),
])
def test_malformed_certificate_is_rejected(old, new, problem, by_hand, check):
    text = json.dumps(by_hand.claim)
    assert old in text
    status, line = check(text.replace(old, new, 1), by_hand.weights)
    assert status == 1 and problem in line, line


@pytest.mark.parametrize("text", [b"\xff\xfe\x00", b"", b"[]", b"null", b"1"])
def test_certificate_that_is_no_object_is_rejected(text, by_hand, check):
    assert check(text, by_hand.weights)[0] == 1


def test_changed_weight_is_rejected_by_digest_and_by_proof(by_hand, check):
    changed = handmade()
    with torch.no_grad():
        changed.rnn.weight_hh_l0[0, 0] = 8
    weights = weights_of(changed)
    status, line = check(by_hand.claim, weights)
    assert status == 1 and "SHA-256" in line
    status, line = check(forged(by_hand, weights), weights)
    assert status == 1 and "start, column 0: entry 0 of layer 1 leaves the box of state 0" in line


@pytest.mark.parametrize("change, problem", [
    (lambda t: t.update({"dense.bias": t["dense.bias"].double()}), "dense.bias is not of float32"),
    (lambda t: t.update({"dense.bias": t["dense.bias"] * float("nan")}), "is not finite"),
    (lambda t: t.update({"dense.bias": t["dense.bias"][:9]}), "no dense.bias of shape"),
    (lambda t: t.update({"dense.bias": t["dense.bias"][:, None]}), "no dense.bias of shape"),
    (lambda t: t.pop("dense.bias"), "more or fewer tensors"),
    (lambda t: t.update({"more": torch.zeros(1)}), "more or fewer tensors"),
    (lambda t: t.update({"dense.weight": t["dense.weight"] * 1e30}), "may overflow"),
])
def test_other_weights_with_their_right_digest_are_rejected(change, problem, by_hand, check):
    tensors = dict(safetensors.torch.load(by_hand.weights))
    change(tensors)
    weights = safetensors.torch.save(tensors)
    status, line = check(forged(by_hand, weights), weights)
    assert status == 1 and problem in line, line


def header_of(weights):
    """The header of a safetensors file as text, and what follows it."""
    start = 8 + int.from_bytes(weights[:8], "little")
    return weights[8:start].decode(), weights[start:]


HEADERS = {  # how a header is edited, and what the checker says of the file
    "UTF-16": (lambda text: text.encode("utf-16"), "no JSON"),
    "byte order mark": (lambda text: text.encode("utf-8-sig"), "no JSON"),
    "a true size": (lambda text: text.replace("[10]", "[10,true]"), "dense.bias has no sizes"),
    "a size with a point": (lambda text: text.replace("[10]", "[10.0]"), "dense.bias has no sizes"),
    "a size below zero": (lambda text: text.replace("[10]", "[-10]"), "dense.bias has no sizes"),
    "minus zero": (lambda text: text.replace("[0,", "[-0,"), "-0 is no whole number"),
    "three offsets": (lambda text: text.replace("[0,", "[0,0,"), "has no sizes"),
    "overlapping tensors": (lambda text: text.replace("[0,", "[4,"), "has gaps or overlaps"),
    "an unknown key": (lambda text: text.replace('"dtype"', '"type":1,"dtype"', 1), "no object with just dtype"),
    "no dtype": (lambda text: text.replace('"dtype":"F32",', "", 1), "no object with just dtype"),
    "a tensor twice": (lambda text: text[:-1] + "," + text[1:], "a key stands twice"),
    "metadata that are numbers": (lambda text: '{"__metadata__":{"a":1},' + text[1:], "metadata are no texts"),
    "metadata that are a list": (lambda text: '{"__metadata__":[],' + text[1:], "metadata are no texts"),
    "half a character": (lambda text: '{"__metadata__":{"a":"\\ud800"},' + text[1:], "no JSON"),
    "a line in a name": (lambda text: text.replace("dense.bias", "x\\nproved    this network adds"),
                         "no dense.bias of shape"),
    "a line in the name of a broken tensor": (
        lambda text: text.replace("dense.bias", "x\\nproved    this network adds").replace("[10]", "[-10]"),
        "x\\nproved    this network adds has no sizes"),
    "a terminal's escape in a name": (
        lambda text: text.replace("dense.bias", "\\u001b[2Jé").replace("[10]", "[-10]"), "\\x1b[2J\\xe9 has no sizes"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_safetensors_refuses_is_rejected_in_one_printable_line(name, by_hand, check):
    edit, problem = HEADERS[name]
    text, tensors = header_of(by_hand.weights.ljust(len(by_hand.weights)))
    edited = edit(text.rstrip())
    edited = edited if isinstance(edited, bytes) else edited.encode()
    assert edited != text.rstrip().encode()
    weights = len(edited).to_bytes(8, "little") + edited + tensors
    status, line = check(forged(by_hand, weights), weights)
    assert status == 1 and problem in line, line
    assert line.startswith("rejected: ") and line.count("\n") == 1 and line[:-1].isprintable() and line.isascii()


def test_the_checker_reads_a_safetensors_file_as_the_library_does(by_hand):
    """Thousands of random edits of a header: what the checker reads, safetensors reads, and alike."""
    text, tensors = header_of(by_hand.weights)
    rng, read = np.random.default_rng(0), 0
    pieces = ["-0", "0", "1", "true", "null", '"', "\\ud800", "\\u0041", "{}", "[]", " ", "\n", "1e1", "10.0", ",", ":",
              '"x":1,', '"dtype":"F32",', '"__metadata__":null,', '"__metadata__":{"a":"b"},', "\0", "é", "]", "}",
              '"more":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},']
    for _ in range(4000):
        begin = int(rng.choice([0, 1, len(text), rng.integers(len(text))]))
        end = begin + int(rng.choice([0, 0, 1, 2]))
        edited = (text[:begin] + pieces[rng.integers(len(pieces))] + text[end:]).encode()
        weights = len(edited).to_bytes(8, "little") + edited + tensors
        try:
            found = checker.read_weights(weights)
        except checker.Rejected:
            continue
        read += 1
        again = safetensors.torch.load(weights)
        assert found.keys() == again.keys()
        for name, (shape, values) in found.items():
            assert shape == list(again[name].shape) and list(values) == again[name].flatten().tolist()
    assert read > 100


def test_metadata_of_a_safetensors_file_do_not_matter(by_hand, check):
    weights = safetensors.torch.save(safetensors.torch.load(by_hand.weights), {"format": "pt", "é": "\n"})
    assert check(forged(by_hand, weights), weights)[0] == 0


@pytest.mark.parametrize("weights", [b"", b"12345678", b"\xff" * 8, b"\xff" * 64,
                                     (2).to_bytes(8, "little") + b"[]", (2).to_bytes(8, "little") + b"{}more"])
def test_files_that_are_no_safetensors_are_rejected(weights, by_hand, check):
    status, line = check(forged(by_hand, weights), weights)
    assert status == 1 and ("weights" in line or "JSON" in line)


# The checker alone, and the command line

def test_checker_imports_nothing_of_ours():
    tree = ast.parse(Path(checker.__file__).read_text())
    imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)
                for alias in node.names} | {node.module.split(".")[0] for node in ast.walk(tree)
                                            if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names) | {"flint"}


def test_checker_runs_alone(tmp_path):
    """As a file of its own, in a folder with nothing else."""
    alone = tmp_path / "checker.py"
    alone.write_bytes(Path(checker.__file__).read_bytes())
    for arguments, status in [([PROOFS / "rnn_1layer_seed0.json"], 0), ([], 2), (["missing.json"], 2)]:
        done = subprocess.run([sys.executable, "-I", alone, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == status
        assert (done.stdout.count("\n"), done.stderr.count("\n")) == ((5, 0) if status == 0 else (0, 1))


def closed_pipe():
    read, write = os.pipe()
    os.close(read)
    return write


STREAMS = {  # whatever the output is, the exit status is the verdict
    "a reader that left": dict(stdout=closed_pipe),
    "a full disk": dict(stdout=lambda: os.open("/dev/full", os.O_WRONLY)),
    "a closed stream": dict(preexec_fn=lambda: os.close(1)),
    "Latin-1": dict(environment={"PYTHONIOENCODING": "latin-1"}),
    "ASCII": dict(environment={"PYTHONIOENCODING": "ascii:strict"}),
}


@pytest.mark.parametrize("program", [[checker.__file__], ["-m", "addlab.certify", "check"]])
@pytest.mark.parametrize("name", STREAMS)
def test_the_exit_status_is_the_verdict_whatever_the_stream(name, program, by_hand, tmp_path):
    by_hand.save(tmp_path / "proved")
    by_hand.save(tmp_path / "rejected")
    (tmp_path / "rejected.json").write_text(json.dumps(by_hand.claim | {"cell": "é\nproved"}))
    how = dict(STREAMS[name])
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | how.pop("environment", {})
    for file, status in (("proved", 0), ("rejected", 1)):
        stdout = how["stdout"]() if "stdout" in how else None
        done = subprocess.run([sys.executable, *program, tmp_path / f"{file}.json"], stderr=subprocess.PIPE,
                              env=environment, **(how | dict(stdout=stdout)))
        if stdout is not None:
            os.close(stdout)
        assert (done.returncode, done.stderr) == (status, b"")


def test_whatever_the_checker_prints_is_ascii(capsys):
    for name in PROVED:
        checker.main([str(PROOFS / f"{name}.json")])
    assert capsys.readouterr().out.isascii()


@pytest.mark.parametrize("name", ["", ".", "/", "..", "missing", "\ud800.json", "a\nproved.json", "a\0b", "x" * 5000])
def test_a_name_that_is_no_certificate_is_one_line(name, capsys):
    assert checker.main([name]) == 2
    captured = capsys.readouterr()
    assert not captured.out and captured.err.count("\n") == 1 and captured.err.startswith("checker: got [")


def test_certificate_comes_back_as_it_was_saved(by_hand, tmp_path):
    by_hand.save(tmp_path / "c")
    again = certify.Certificate.load(tmp_path / "c")
    assert again == by_hand and again.check().margin >= by_hand.margin
    assert again.network().add(999, 1) == 1000
    (tmp_path / "d.json").write_text("{")
    for name in ("d", "missing"):
        with pytest.raises(ValueError, match=name):
            certify.Certificate.load(tmp_path / name)


@pytest.mark.parametrize("occupied", ["adder.json", "adder.safetensors"])
def test_a_proof_that_could_not_be_written_is_not_begun(occupied, tmp_path, capsys, monkeypatch):
    """Said at once, before minutes of training."""
    (tmp_path / occupied).mkdir()
    monkeypatch.setattr(certify.__main__, "train_on_boxes", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(SystemExit) as end:
        main(["train", "--save", str(tmp_path / "adder")])
    captured = capsys.readouterr()
    assert end.value.code == 2 and captured.err.count("\n") == 1 and occupied in captured.err
    assert [path.name for path in tmp_path.iterdir()] == [occupied]


@pytest.mark.parametrize("arguments", [
    [], ["prove"], ["check"], ["check", "missing.json", "missing.safetensors"], ["train"],
    ["train", "--save", "x", "--layers", "0"], ["train", "--save", "x", "--model", "CNN"],
    ["train", "--save", "x", "--lr", "nan"], ["train", "--save", "missing/x"], ["train", "--save", ""],
    ["train", "--save", "folder/"], ["train", "--save", "x", "--hidden", "1000000"],
])
def test_bad_use_ends_with_status_2_and_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    assert status == 2 and captured.err.count("\n") == 1 and not captured.out
    assert not list(tmp_path.iterdir())


def test_command_checks_several_certificates(capsys, by_hand, tmp_path):
    by_hand.save(tmp_path / "a")
    by_hand.save(tmp_path / "b")
    claim = copy.deepcopy(by_hand.claim)
    narrow(claim)
    (tmp_path / "b.json").write_text(json.dumps(claim))
    names = [str(tmp_path / name) for name in ("a.json", "b.json", "a.json", "a.safetensors")]
    assert main(["check", *names]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and lines[5].startswith("rejected: ")
