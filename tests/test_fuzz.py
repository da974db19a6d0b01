"""Files that lie: records, weights and checkpoints, broken at random and on purpose, are never believed, never run.

A few hundred random cases, with `--long` more than ten thousand (make torture).
"""

import copy
import dataclasses
import hashlib
import json
import math
import os
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runs import TINY, same

import addrnn
from addlab.engine import store as runs

TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1, "C64": 8}
TYPES |= {"F8_E4M3": 1, "F4": 1, "X": 1}
SIZES = st.sampled_from([0, 1, 2, 8, 10, 2**31, 2**62, 2**64 - 1, 2**64, -1])


@pytest.fixture(scope="module")
def run():
    return addrnn.train(TINY)


@pytest.fixture
def store(home, run):
    store = runs.Store(home / "records" / "runs", addrnn.Adder)
    store.make_ready()
    store.write(run)
    return store


@pytest.fixture
def fuzz(request):
    """Call a check with many drawn cases."""
    cases = 3000 if request.config.getoption("--long") else 80
    return lambda strategy, check: given(strategy)(settings(max_examples=cases)(lambda case: check(case)))()


def path_of(store, config, ending):
    return (store.unfinished if ending == "checkpoint" else store.folder) / f"{store.name(config)}.{ending}"


def read(store, config=TINY):
    """The run that the store believes in; a refusal must be one warning of one line."""
    with warnings.catch_warnings(record=True, action="always") as said:
        found = store.read(config)
    assert len(said) == (found is None)
    assert all("is not believed, " in str(w.message) and len(str(w.message).splitlines()) == 1 for w in said)
    return found


def load(path):
    """The adder of a weights file, or None; a refusal must be one line."""
    try:
        return addrnn.Adder.load(path)
    except ValueError as problem:
        assert str(problem).startswith(f"weights file (--load): got '{path}', ")
        assert len(str(problem).splitlines()) == 1
    return None


def sign(store, config=TINY):
    """Let the record name the weights that lie beside it, as whoever forges weights would."""
    path = path_of(store, config, "json")
    digest = hashlib.sha256(path_of(store, config, "safetensors").read_bytes()).hexdigest()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": digest}))


# Drawn faults

def broken(data):
    """Strategy: bytes that came from `data` by cuts, changed bytes, insertions and repetitions."""
    place, some = st.integers(0, len(data)), st.binary(min_size=1, max_size=9)

    def change(kind, at, to, new):
        at, to = sorted((at, to))
        return {"cut": data[:at], "hole": data[:at] + data[to:], "insert": data[:at] + new + data[at:],
                "overwrite": data[:at] + new + data[at + len(new):], "twice": data[:to] + data[at:],
                "other": new}[kind]

    kinds = st.sampled_from(["cut", "hole", "insert", "overwrite", "overwrite", "twice", "other"])
    return st.builds(change, kinds, place, place, some).filter(lambda found: found != data)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([1, 10, 30, 1e-3]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)


@st.composite
def altered(draw, plain):
    """Strategy: plain data with one of its parts, at any depth, replaced, removed or doubled."""
    plain = copy.deepcopy(plain)
    part = plain
    while True:
        key = draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
        if not (isinstance(part[key], dict | list) and part[key] and draw(st.booleans())):
            break
        part = part[key]
    kind = draw(st.sampled_from(["replace", "remove", "double"]))
    if kind == "replace":
        part[key] = draw(ANY)
    elif kind == "remove":
        del part[key]
    elif isinstance(part, list):
        part.insert(key, part[key])
    else:
        part[key + "x"] = part[key]
    return plain


@st.composite
def forged(draw, data):
    """Strategy: safetensors bytes whose header claims other types, shapes, places or names than are there."""
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(header)))
        claim = header[name]
        kind = draw(st.sampled_from(["dtype", "shape", "offsets", "rename", "all"]))
        if kind == "rename":
            header[draw(st.sampled_from([name + "x", "rnn.weight_hh_l1", "model.dense.bias", "adam.x.step", "adam.0"]))
                   ] = header.pop(name)
        elif kind == "all" or not isinstance(claim, dict) or "shape" not in claim:
            header[name] = draw(ANY)
        elif kind == "dtype":
            claim["dtype"] = draw(st.sampled_from(sorted(TYPES)))
        elif kind == "shape":
            claim["shape"] = draw(st.permutations(claim["shape"]) | st.lists(SIZES, max_size=3))
        else:
            claim["data_offsets"] = draw(st.lists(SIZES, min_size=1, max_size=3))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_broken_records_are_refused_or_whole_all_the_same(store, run, fuzz):
    path = path_of(store, TINY, "json")
    text = path.read_bytes()
    plain = json.loads(text)

    def check(case):
        path.write_bytes(case if isinstance(case, bytes) else json.dumps(case).encode())
        if found := read(store):  # as where a digit of a loss is another one: what can be checked must hold
            assert found.config == TINY and len(found.loss) == TINY.batches and not found.diverged
            assert all(isinstance(x, float) and 0 <= x < math.inf for x in found.loss)
            assert found.eval_batch == run.eval_batch
            assert all(isinstance(x, float) and 0 <= x <= 1 for x in found.accuracy + found.digit_accuracy)
            assert len(found.accuracy) == len(found.digit_accuracy) == len(run.accuracy)
            assert same(dataclasses.replace(found, **{name: getattr(run, name) for name in runs.FACTS + runs.CURVES}),
                        run)

    fuzz(broken(text) | altered(plain), check)


def test_broken_weights_are_refused(store, run, fuzz):
    path = path_of(store, TINY, "safetensors")
    data = path.read_bytes()

    def check(case):
        path.write_bytes(case)
        assert read(store) is None or case == data

    fuzz(broken(data) | forged(data), check)


def test_forged_weights_that_the_record_names_are_refused_or_an_adders(store, run, fuzz):
    path = path_of(store, TINY, "safetensors")
    data = path.read_bytes()
    wanted = {name: (t.shape, t.dtype) for name, t in run.model.state_dict().items()}

    def check(case):
        path.write_bytes(case)
        sign(store)
        for model in (getattr(read(store), "model", None), load(path)):
            if model:
                assert {name: (t.shape, t.dtype) for name, t in model.state_dict().items()} == wanted
                assert model.predict([[9, 0]], [[1, 0]]).shape == (1, 2)

    fuzz(broken(data) | forged(data), check)


@pytest.fixture
def half_done(store):
    """A training whose checkpoint lies in the store."""
    training = addrnn.Training(TINY)
    for _ in range(10):
        training.step()
    store.save_checkpoint(training)
    return training


def believed(store, training):
    """Whether the store believes a checkpoint; a refusal must be one warning of one line."""
    with warnings.catch_warnings(record=True, action="always") as said:
        found = store.load_checkpoint(training)
    assert len(said) == (not found)
    assert all("is not believed, " in str(w.message) and len(str(w.message).splitlines()) == 1 for w in said)
    return found


def test_a_checkpoint_of_other_bytes_is_never_believed(store, half_done, fuzz):
    path = path_of(store, TINY, "checkpoint")

    def check(data):
        path.write_bytes(data)
        assert not believed(store, addrnn.Training(TINY))

    fuzz(broken(path.read_bytes()), check)


def test_forged_checkpoints_under_their_true_digest_are_refused_or_can_be_gone_on_from(store, half_done, fuzz):
    path = path_of(store, TINY, "checkpoint")
    data = runs.unsealed(path.read_bytes())
    tensors, facts = half_done.state()

    def check(case):
        path.write_bytes(runs.sealed(case if isinstance(case, bytes) else runs.tensor_bytes(tensors, case)))
        again = addrnn.Training(TINY)
        if believed(store, again) and not again.run.done:
            again.step()
            assert len(again.run.loss) == 11

    fuzz(broken(data) | forged(data) | altered(facts), check)


# Faults on purpose

class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("ending", ["json", "safetensors", "checkpoint"])
@pytest.mark.parametrize("make", [pickle.dumps, None])
def test_a_pickle_is_never_executed(store, tmp_path, ending, make):
    trap, path = tmp_path / "sprung", path_of(store, TINY, ending)
    path.write_bytes(pickle.dumps(Trap(trap))) if make else torch.save({"x": Trap(trap)}, path)
    if ending == "checkpoint":
        with pytest.warns(UserWarning, match="is not believed"):
            assert not store.load_checkpoint(addrnn.Training(TINY))
    else:
        if ending == "safetensors":
            sign(store)
        assert read(store) is None
    assert load(path) is None
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()  # the trap does work


@pytest.mark.parametrize("ending", ["json", "safetensors", "checkpoint"])
@pytest.mark.parametrize("fault", ["a pipe", "a device", "a folder", "a loop", "unreadable"])
def test_what_is_no_file_is_refused_at_once(store, ending, fault):
    path = path_of(store, TINY, ending)
    path.unlink(missing_ok=True)
    if fault == "a folder":
        path.mkdir()
    elif fault == "a pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes here")
        os.mkfifo(path)
    else:
        target = {"a device": "/dev/zero", "a loop": path, "unreadable": "/proc/self/mem"}[fault]
        if not os.path.lexists(target) and fault != "a loop":
            pytest.skip(f"no {target} here")
        path.symlink_to(target)
    assert load(path) is None
    if ending == "checkpoint":
        with pytest.warns(UserWarning, match="is not believed"):
            assert not store.load_checkpoint(addrnn.Training(TINY))
    else:
        assert read(store) is None


def test_files_larger_than_any_of_ours_are_refused_unread(store, monkeypatch):
    monkeypatch.setattr(runs, "LARGEST", 100)
    assert read(store) is None and load(path_of(store, TINY, "safetensors")) is None


def test_a_run_under_the_name_of_another_is_refused(store):
    other = dataclasses.replace(TINY, seed=7)
    for ending in ("json", "safetensors"):
        path_of(store, other, ending).write_bytes(path_of(store, TINY, ending).read_bytes())
    assert read(store, other) is None and read(store, TINY)


def test_weights_of_another_type_are_refused_though_the_record_names_them(store, run):
    for kind in (torch.float64, torch.float16, torch.int64, torch.complex64):
        weights = {name: t.to(kind) for name, t in run.model.state_dict().items()}
        path_of(store, TINY, "safetensors").write_bytes(runs.tensor_bytes(weights))
        sign(store)
        assert read(store) is None and load(path_of(store, TINY, "safetensors")) is None


@pytest.mark.parametrize("hidden", [0, 10**6, 10**12, 2**62])
def test_huge_claimed_sizes_take_no_memory(tmp_path, hidden):
    shapes = {"embed_layer.weight": [0, hidden], "rnn.weight_ih_l0": [hidden, 0], "rnn.weight_hh_l0": [hidden, 0],
              "rnn.bias_ih_l0": [0], "rnn.bias_hh_l0": [0], "dense.weight": [0, hidden], "dense.bias": [0]}
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
                         for name, shape in shapes.items()}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert load(path) is None


def test_a_tensor_named_twice_is_refused(store, run):
    path = path_of(store, TINY, "safetensors")
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    bias = json.dumps(json.loads(data[8 : 8 + size])["dense.bias"])
    header = data[8 : 8 + size].rstrip()[:-1] + f', "dense.bias": {bias}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + size :])
    sign(store)
    assert read(store) is None and load(path) is None


@pytest.mark.parametrize("fault", ["nan weight", "nan moment", "another step", "another type", "a slot less",
                                   "a slot more", "another shape", "other versions", "another device", "a list",
                                   "no generator", "another generator", "too large a state", "too long a loss"])
def test_a_checkpoint_that_does_not_fit_is_refused(store, half_done, fault):
    tensors, facts = half_done.state()
    tensors, facts = {name: t.clone() for name, t in tensors.items()}, json.loads(json.dumps(facts))
    if fault == "nan weight":
        tensors["model.dense.bias"][3] = math.nan
    elif fault == "nan moment":
        tensors["adam.0.exp_avg"][0, 0] = math.nan
    elif fault == "another step":
        tensors["adam.0.step"] += 1
    elif fault == "another type":
        tensors["model.dense.bias"] = tensors["model.dense.bias"].double()
    elif fault == "a slot less":
        del tensors["adam.2.exp_avg_sq"]
    elif fault == "a slot more":
        tensors["adam.99.step"] = torch.tensor(10.0)
    elif fault == "another shape":
        tensors["adam.0.exp_avg"] = torch.zeros(3)
    elif fault == "other versions":
        facts["record"]["versions"]["torch"] = "0.1"
    elif fault == "another device":
        facts["record"]["device"] = "abacus"
    elif fault == "no generator":
        facts["rng"] = None
    elif fault == "another generator":
        facts["rng"]["bit_generator"] = "MT19937"
    elif fault == "too large a state":
        facts["rng"]["has_uint32"] = 2**31
    elif fault == "too long a loss":
        facts["record"]["loss"] *= 10
    data = runs.tensor_bytes(tensors, [] if fault == "a list" else facts)
    path_of(store, TINY, "checkpoint").write_bytes(runs.sealed(data))
    with pytest.warns(UserWarning, match=r"^[^\n]+ is not believed, [^\n]+: this run starts anew$"):
        assert not store.load_checkpoint(addrnn.Training(TINY))
