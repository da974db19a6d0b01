"""Files that lie: records, weights and checkpoints, broken at random, are never believed."""

import copy
import json
import os
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runs import TINY, begun, same

import addrnn

CASES = int(os.environ.get("CASES", 3000))


@pytest.fixture(scope="module")
def run():
    return addrnn.train(TINY)


@pytest.fixture
def store(home, run):
    store = addrnn.store()
    store.make_ready([TINY])
    store.write(run)
    return store


def fuzz(strategy, check):
    """Call a check with many drawn cases."""
    given(strategy)(settings(max_examples=CASES)(lambda case: check(case)))()


def read(store):
    """The run that the store believes in; a refusal must be one warning of one line."""
    with warnings.catch_warnings(record=True, action="always") as remarks:
        run = store.read(TINY)
    assert len(remarks) == (run is None)
    assert all("is not believed, " in str(w.message) and len(str(w.message).splitlines()) == 1 for w in remarks)
    return run


def load(path):
    """The adder of a weights file, or None; a refusal must be one line."""
    try:
        return addrnn.Adder.load(path)
    except ValueError as problem:
        assert str(problem).startswith("weights file (--load): got '")
        assert len(str(problem).splitlines()) == 1
    return None


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


def test_broken_records_are_refused(store, run):
    path = store.path(TINY)
    text = path.read_bytes()
    plain = json.loads(text)

    def check(case):
        path.write_bytes(case if isinstance(case, bytes) else json.dumps(case).encode())
        back = read(store)  # one that means the same, 1 for 1.0, may be believed
        assert back is None or same(back, run)

    fuzz(broken(text) | altered(plain), check)


def test_broken_weights_are_refused(store):
    path = store.path(TINY, "safetensors")
    data = path.read_bytes()

    def check(case):
        path.write_bytes(case)
        assert read(store) is None
        load(path)

    fuzz(broken(data), check)


def test_a_checkpoint_of_other_bytes_is_never_believed(store):
    store.save_checkpoint(begun(TINY, 10))
    path, training = store.path(TINY, "checkpoint"), addrnn.Training(TINY)

    def check(data):
        path.write_bytes(data)
        with pytest.warns(UserWarning, match=r"^checkpoint [^\n]+ is not believed, [^\n]+$"):
            store.load_checkpoint(training)
        assert not training.run.loss

    fuzz(broken(path.read_bytes()), check)


@pytest.mark.parametrize("ending", ["json", "safetensors", "checkpoint"])
@pytest.mark.parametrize("fault", ["a pipe", "a device", "a folder", "a loop", "unreadable"])
def test_what_is_no_file_is_refused_at_once(store, ending, fault):
    path = store.path(TINY, ending)
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
            store.load_checkpoint(addrnn.Training(TINY))
    else:
        assert read(store) is None
