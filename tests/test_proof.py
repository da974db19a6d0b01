"""The proof: what is certified holds, what is tampered with is rejected."""

import ast
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from addlab.certify import proof as certify
from addlab.certify import checker
from addlab.engine import store as runs
from addrnn import Adder, Config

ROOT = Path(__file__).resolve().parent.parent
PROVED = sorted(path for path in (ROOT / "records" / "proofs").glob("*.json") if path.with_suffix(".safetensors").exists())


@pytest.fixture(scope="module")
def by_hand():
    """The exact adder and its certificate."""
    model = certify.by_hand()
    return model, certify.certify(model)


@pytest.fixture
def check(tmp_path, capsys):
    """Let the checker judge a certificate (text) and weights (bytes): (exit status, its one line)."""
    def judge(certificate, weights):
        (tmp_path / "c.json").write_bytes(certificate if isinstance(certificate, bytes) else certificate.encode())
        (tmp_path / "w.safetensors").write_bytes(weights)
        status = checker.main([str(tmp_path / "c.json"), str(tmp_path / "w.safetensors")])
        captured = capsys.readouterr()
        assert not captured.err and captured.out.count("\n") == 1
        return status, captured.out
    return judge


def weights_of(model):
    return runs.tensor_bytes(model.state_dict())


# What holds is proved, what does not is not

def test_exact_adder_built_by_hand_is_certified(by_hand, check):
    model, certificate = by_hand
    assert sum(p.numel() for p in model.parameters()) == 52
    assert certificate.margin > 0.1
    status, line = check(certificate.to_json(), weights_of(model))
    assert status == 0 and line.startswith("proved: ")


def test_nudged_adder_is_not_certified_and_a_counterexample_is_found():
    for latch in (20, 16, 8):  # the weight with which the carry unit reads itself, down until 9 + 0 + 1 fails
        model = certify.by_hand()
        with torch.no_grad():
            model.rnn.weight_hh_l0[0, 0] = latch
        if certify.certify(model) is None:
            break
    a, b = certify.counterexample(model, digits=20)
    assert latch == 8 and model.add(a, b) != a + b


def test_an_untrained_network_is_not_certified():
    assert certify.certify(Adder(Config(layers=1))) is None


def test_training_ends_in_a_proof(check):
    model = certify.train_provable(Config(layers=1, lr=5e-3, batches=400, seed=0))
    assert check(certify.certify(model).to_json(), weights_of(model))[0] == 0


def test_training_repeats_bit_for_bit():
    once, again = (certify.train_provable(Config(layers=2, lr=5e-3, batches=15, hidden=16)) for _ in range(2))
    assert weights_of(once) == weights_of(again)


@pytest.mark.parametrize("path", PROVED, ids=lambda path: path.stem)
def test_committed_certificates_hold(path, capsys):
    assert checker.main([str(path), str(path.with_suffix(".safetensors"))]) == 0
    assert capsys.readouterr().out.startswith("proved: ")


def test_networks_of_one_two_and_three_layers_are_committed():
    claims = [certify.Certificate.load(path) for path in PROVED]
    assert {1, 2, 3} <= {c.layers for c in claims if (c.cell, c.hidden, c.embedding) == ("RNN", 64, 32)}


# Soundness, by sampling

def boxes_of(certificate):
    """[carry][layer] array [entries, 2]."""
    return [[np.array(box) for box in certificate.invariant[f"carry {carry}"]] for carry in (0, 1)]


@pytest.mark.parametrize("layers, states", [(1, 1_000_000), (3, 100_000)])
def test_states_inside_the_boxes_stay_inside_and_give_the_right_digit(layers, states):
    """The next states by NumPy in float64, from the equations; half of all entries at an end of their interval."""
    path = ROOT / "records" / "proofs" / f"rnn_{layers}layer_seed0.json"
    boxes = boxes_of(certify.Certificate.load(path))
    w = {name: t.double().numpy() for name, t in Adder.load(path.with_suffix(".safetensors")).state_dict().items()}
    rng = np.random.default_rng(0)
    for carry, _ in np.ndindex(2, states // 5000):
        a, b = rng.integers(0, 10, (2, 2500))
        h = w["embed_layer.weight"][np.stack((a, b), 1)].reshape(len(a), -1)
        out = a + b + carry > 9
        for layer in range(layers):
            low, high = boxes[carry][layer].T
            at = np.clip(rng.random((len(a), len(low)), dtype=np.float32) * 2 - 0.5, 0, 1)
            u = low + at * (high - low)
            h = np.tanh(h @ w[f"rnn.weight_ih_l{layer}"].T + w[f"rnn.bias_ih_l{layer}"]
                        + w[f"rnn.bias_hh_l{layer}"] + u)
            following = h @ w[f"rnn.weight_hh_l{layer}"].T
            for c in (0, 1):
                low, high = boxes[c][layer].T
                assert (following[out == c] >= low).all() and (following[out == c] <= high).all()
        said = (h @ w["dense.weight"].T + w["dense.bias"]).argmax(1)
        assert (said == (a + b + carry) % 10).all()


@pytest.mark.parametrize("path", PROVED, ids=lambda path: path.stem)
def test_float32_execution_stays_inside_the_boxes_and_is_right(path):
    model, boxes = Adder.load(path.with_suffix(".safetensors")), boxes_of(certify.Certificate.load(path))
    rng = np.random.default_rng(1)
    num1 = rng.integers(0, 10, (200, 60))
    num2 = np.where(rng.random((200, 60)) < 0.7, 9 - num1, rng.integers(0, 10, (200, 60)))
    state, carry = model.start(200), np.zeros(200, dtype=np.int64)
    if model.config.cell != "RNN":
        pytest.skip("its state holds more than the products")
    for t in range(60):
        logits, state = model(num1[:, t:t + 1], num2[:, t:t + 1], state)
        carry, digit = np.divmod(num1[:, t] + num2[:, t] + carry, 10)
        assert (logits[:, 0].argmax(1).numpy() == digit).all()
        for layer, h in enumerate(state.detach().double()):
            u = (h @ getattr(model.rnn, f"weight_hh_l{layer}").double().T).detach().numpy()
            for c in (0, 1):
                low, high = boxes[c][layer].T
                assert (u[carry == c] >= low).all() and (u[carry == c] <= high).all()


def test_proved_network_adds_long_worst_cases_in_its_fast_form_too():
    model = Adder.load(ROOT / "records" / "proofs" / "rnn_1layer_seed0.safetensors")
    nines = "9" * 20_000
    assert model.add_text(nines, "1") == "1" + "0" * 20_000
    assert model.add_text(nines, "0") == nines
    assert model.add_text(nines, nines) == "1" + "9" * 19_999 + "8"


@pytest.mark.parametrize("function, ulps", [(torch.tanh, checker.ULPS), (torch.sigmoid, checker.ULPS)])
def test_activations_are_as_exact_as_the_checker_assumes(function, ulps):
    """Against float64, in units in the last place of the result, where it is not yet a constant."""
    for exponent in range(-24, 6):
        sizes = 2.0**exponent * (1 + torch.arange(0, 2**23, 101) / 2**23)
        for x in (sizes, -sizes):
            exact = function(x.double())
            unit = torch.ldexp(torch.ones_like(exact), torch.frexp(exact)[1] - 24)
            assert ((function(x).double() - exact).abs() <= ulps * unit).all()


# Tampering

def edited(certificate, change):
    claim = dataclasses.asdict(certificate)
    claim = json.loads(json.dumps(claim))
    change(claim)
    return json.dumps(claim)


def narrow(claim):
    low, high = claim["invariant"]["carry 1"][0][1]
    claim["invariant"]["carry 1"][0][1] = [low, low + (high - low) / 8]


def widen(claim):
    low, high = claim["invariant"]["carry 0"][0][0]
    claim["invariant"]["carry 0"][0][0] = [low, high + 45]


def set_margin(value):
    def change(claim):
        claim["margins"]["carry 1"][4][7] = value
    return change


def set_key(key, value):
    def change(claim):
        claim[key] = value
    return change


TAMPERED = {  # what is changed, and what the checker must say
    "narrowed box": (narrow, "leaves the box of carry 1"),
    "widened box": (widen, "carry 0, 0 + 9: "),
    "raised margin": (set_margin(100.0), "carry 1, 4 + 7: margin 100.0 claimed"),
    "lowered margin": (set_margin(0.01), "carry 1, 4 + 7: margin 0.01 claimed"),
    "wrong digest": (set_key("weights", "0" * 64), "SHA-256"),
    "digest of no text": (set_key("weights", None), "SHA-256"),
    "another cell": (set_key("cell", "GRU"), "weights: no rnn.weight_ih_l0"),
    "no cell": (set_key("cell", ["RNN"]), "no such network"),
    "other layers": (set_key("layers", 2), "boxes or margins"),
    "no layers": (set_key("layers", 0), "no such network"),
    "true layers": (set_key("layers", True), "no such network"),
    "hidden too large": (set_key("hidden", 3), "weights: no rnn.weight_ih_l0"),
    "extra key": (set_key("note", "trust me"), "its keys are not"),
    "missing box": (lambda claim: claim["invariant"]["carry 0"][0].pop(), "has not 2 entries"),
    "no boxes": (set_key("invariant", {}), "boxes or margins"),
    "no layer": (set_key("invariant", {"carry 0": [], "carry 1": []}), "boxes or margins"),
    "box of text": (lambda claim: claim["invariant"]["carry 0"][0].__setitem__(0, ["1", "2"]), "is no number"),
    "margin that is true": (set_margin(True), "is no number"),
    "box upside down": (lambda claim: claim["invariant"]["carry 0"][0][0].reverse(), "boxes or margins"),
    "huge integer": (lambda claim: claim["invariant"]["carry 0"][0][0].__setitem__(1, 10**400), "boxes or margins"),
    "margins of no shape": (set_key("margins", {"start": [1]}), "boxes or margins"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampered_certificate_is_rejected(name, by_hand, check):
    change, problem = TAMPERED[name]
    model, certificate = by_hand
    status, line = check(edited(certificate, change), weights_of(model))
    assert status == 1 and line.startswith("rejected: ") and problem in line, line


@pytest.mark.parametrize("old, new, problem", [
    ('"layers": 1', '"layers": 1, "layers": 1', "a key stands twice"),
    ('"margins": {', '"margins": {"start": [], ', "a key stands twice"),
    ('"layers": 1', '"layers": NaN', "not a finite number"),
    ('"layers": 1', '"layers": Infinity', "not a finite number"),
    ('"layers": 1', '"layers": 1e999', "not a finite number"),
    ('"layers": 1', '"layers": 1}', "no JSON"),
    ('{"cell"', "[" * 100_000 + '{"cell"', "no JSON"),
])
def test_malformed_certificate_is_rejected(old, new, problem, by_hand, check):
    model, certificate = by_hand
    text = certificate.to_json()
    assert old in text
    status, line = check(text.replace(old, new, 1), weights_of(model))
    assert status == 1 and problem in line, line


def test_certificate_that_is_no_text_is_rejected(by_hand, check):
    assert check(b"\xff\xfe\x00", weights_of(by_hand[0])) [0] == 1
    assert check(b"", weights_of(by_hand[0]))[0] == 1
    assert check("[]", weights_of(by_hand[0]))[0] == 1


def test_changed_weight_is_rejected_by_digest_and_by_proof(by_hand, check):
    _, certificate = by_hand
    changed = certify.by_hand()
    with torch.no_grad():
        changed.rnn.weight_hh_l0[0, 0] = 8
    status, line = check(certificate.to_json(), weights_of(changed))
    assert status == 1 and "SHA-256" in line
    forged = dataclasses.replace(certificate, weights=hashlib.sha256(weights_of(changed)).hexdigest())
    status, line = check(forged.to_json(), weights_of(changed))
    assert status == 1 and "start, 0 + 0: entry 0 of layer 1 leaves the box of carry 0" in line


def retyped(model, change):
    tensors = dict(model.state_dict())
    change(tensors)
    return runs.tensor_bytes(tensors)


@pytest.mark.parametrize("change, problem", [
    (lambda t: t.update({"dense.bias": t["dense.bias"].double()}), "dense.bias is broken"),
    (lambda t: t.update({"dense.bias": t["dense.bias"] * float("nan")}), "is not finite"),
    (lambda t: t.update({"dense.bias": t["dense.bias"][:9]}), "no dense.bias of shape"),
    (lambda t: t.update({"dense.bias": t["dense.bias"][:, None]}), "no dense.bias of shape"),
    (lambda t: t.pop("dense.bias"), "more or fewer tensors"),
    (lambda t: t.update({"more": torch.zeros(1)}), "more or fewer tensors"),
    (lambda t: t.update({"dense.weight": t["dense.weight"] * 1e30}), "may overflow"),
])
def test_other_weights_with_their_right_digest_are_rejected(change, problem, by_hand, check):
    model, certificate = by_hand
    weights = retyped(model, change)
    forged = dataclasses.replace(certificate, weights=hashlib.sha256(weights).hexdigest())
    status, line = check(forged.to_json(), weights)
    assert status == 1 and problem in line, line


@pytest.mark.parametrize("weights", [b"", b"12345678", b"\xff" * 8, b"\xff" * 64,
                                     (2).to_bytes(8, "little") + b"[]", (2).to_bytes(8, "little") + b"{}more"])
def test_files_that_are_no_safetensors_are_rejected(weights, by_hand, check):
    status, line = check(by_hand[1].to_json(), weights)
    assert status == 1 and ("weights" in line or "JSON" in line)


# The checker and the command line

def test_checker_shares_nothing_with_the_finder():
    tree = ast.parse((ROOT / "addlab" / "certify" / "checker.py").read_text())
    imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)
                for alias in node.names} | {node.module.split(".")[0] for node in ast.walk(tree)
                                            if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names) | {"flint"}


def test_certificate_comes_back_as_it_was_saved(by_hand, tmp_path):
    by_hand[1].save(tmp_path / "c.json")
    again = certify.Certificate.load(tmp_path / "c.json")
    assert again.to_json() == by_hand[1].to_json() and again.margin == by_hand[1].margin
    (tmp_path / "d.json").write_text("{}")
    for name in ("d.json", "missing.json"):
        with pytest.raises(ValueError, match=name):
            certify.Certificate.load(tmp_path / name)


@pytest.mark.parametrize("arguments", [
    [], ["prove"], ["check"], ["check", "missing.json", "missing.safetensors"], ["train"],
    ["train", "--save", "x", "--layers", "0"], ["train", "--save", "x", "--model", "CNN"],
    ["train", "--save", "x", "--lr", "nan"], ["train", "--save", "missing/x"],
])
def test_bad_use_ends_with_status_2_and_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = certify.main(arguments)
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    assert status == 2 and captured.err.count("\n") == 1 and not captured.out
    assert not list(tmp_path.iterdir())


def test_command_checks_a_certificate(tmp_path):
    """As a user calls it, from another folder."""
    files = PROVED[0], PROVED[0].with_suffix(".safetensors")
    done = subprocess.run([sys.executable, ROOT / "certify.py", "check", *files], capture_output=True, text=True,
                          cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0 and done.stdout.startswith("proved: ") and not done.stderr
