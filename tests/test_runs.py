"""Records, checkpoints and sweeps: nothing lost, nothing believed that is not whole."""

import concurrent.futures
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import time
import warnings

import pytest
import torch

import addrnn
from addlab.engine import store as runs

TINY = addrnn.Config(digit_len=3, layers=1, batches=30, eval_every=10, batch_size=20, test_batch_size=20, hidden=8,
                     embedding=4)
SEVERAL = [dataclasses.replace(TINY, seed=seed) for seed in range(3)]


def same(one, two):
    """Whether two runs are equal bit for bit, in all but the time they took."""
    facts = [runs.record_of(run) | {"seconds": 0} for run in (one, two)]
    weights = zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True)
    return facts[0] == facts[1] and all(torch.equal(a, b) for a, b in weights)


@pytest.fixture
def store(home):
    store = runs.Store(home / "records" / "runs", addrnn.Adder)
    store.make_ready()
    return store


def test_a_record_gives_back_its_run(store):
    run = addrnn.train(TINY)
    store.write(run)
    assert same(store.read(TINY), run) and store.read(TINY).seconds == run.seconds
    assert sorted(p.suffix for p in store.folder.iterdir() if p.is_file()) == [".json", ".safetensors"]


def test_a_diverged_run_is_kept(store):
    config = dataclasses.replace(TINY, lr=1e38)
    store.write(run := addrnn.train(config))
    back = store.read(config)
    assert back.diverged and back.loss[:-1] == run.loss[:-1] and str(back.loss[-1]) == str(run.loss[-1])


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("at", [1, 10, 17, 29])
def test_resumed_run_equals_uninterrupted_run(store, cell, at):
    config = dataclasses.replace(TINY, cell=cell, chains=0.5)
    first = addrnn.Training(config)
    for _ in range(at):
        first.step()
    store.save_checkpoint(first)
    second = addrnn.Training(config)
    assert store.load_checkpoint(second) and len(second.run.loss) == at
    while not second.run.done:
        second.step()
    assert same(second.run, addrnn.train(config))


def test_sweep_gives_runs_in_order_and_trains_none_twice(home):
    found = addrnn.sweep([SEVERAL[1], SEVERAL[0], SEVERAL[1]])
    assert [run.config.seed for run in found] == [1, 0, 1]
    assert same(found[1], addrnn.train(SEVERAL[0]))
    before = {p.name: p.stat().st_mtime_ns for p in (home / "records" / "runs").glob("*")}
    again = addrnn.sweep(SEVERAL[:2])
    assert same(again[0], found[1])
    assert before == {p.name: p.stat().st_mtime_ns for p in (home / "records" / "runs").glob("*")}
    assert not list((home / "records" / "runs" / ".unfinished").iterdir())


def test_sweep_takes_any_executor(home):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert same(addrnn.sweep(SEVERAL[:1], executor)[0], addrnn.train(SEVERAL[0]))


@pytest.mark.parametrize("lr", [1e-3, 1e38])  # the second diverges, whatever the processor: its weights times 64 overflow
def test_runs_that_differ_in_batches_alone_are_trained_once(home, monkeypatch, lr):
    configs = [dataclasses.replace(TINY, lr=lr, batches=batches) for batches in (10, 30, 25, 20)]
    alone = [addrnn.train(config) for config in configs]
    steps, step = [], addrnn.Training.step
    monkeypatch.setattr(addrnn.Training, "step", lambda training: steps.append(1) or step(training))
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        found = addrnn.sweep(configs, executor)
    assert all(map(same, found, alone))
    own = alone[1], alone[2]  # 25 ends between evaluations, so it is on no other's way
    assert len(steps) == sum(len(run.loss) for run in own)
    assert not list((home / "records" / "runs" / ".unfinished").iterdir())


def test_a_shorter_run_that_a_checkpoint_has_passed_is_trained_on_its_own(store):
    training = addrnn.Training(TINY)
    for _ in range(17):
        training.step()
    store.save_checkpoint(training)
    configs = [dataclasses.replace(TINY, batches=10), dataclasses.replace(TINY, batches=20), TINY]
    assert all(same(run, addrnn.train(run.config)) for run in addrnn.sweep(configs))
    assert not list(store.unfinished.iterdir())


def test_a_run_that_fails_is_named_and_the_others_go_on(home):
    impossible = dataclasses.replace(TINY, batch_size=10**12)
    with pytest.raises(RuntimeError) as failed:
        addrnn.sweep([SEVERAL[0], impossible, SEVERAL[1]])
    store = runs.Store(home / "records" / "runs", addrnn.Adder)
    assert len(str(failed.value).splitlines()) == 1 and str(failed.value).startswith(store.name(impossible) + ": ")
    assert store.read(SEVERAL[0]) and store.read(SEVERAL[1])


def test_a_run_that_fails_names_the_shorter_ones_on_its_way(store):
    impossible = [dataclasses.replace(TINY, batch_size=10**12, batches=batches) for batches in (30, 10)]
    with pytest.raises(RuntimeError) as failed:
        addrnn.sweep([*impossible, SEVERAL[0]])
    assert [line.split(": ")[0] for line in str(failed.value).splitlines()] == list(map(store.name, impossible))
    assert store.read(SEVERAL[0])


def test_two_processes_at_once_train_a_run_once(home):
    order = (f"import addrnn; r = addrnn.sweep([addrnn.Config(**{dataclasses.asdict(TINY) | {'batches': 400}})]);"
             "print(r[0].seconds)")
    both = [subprocess.Popen([sys.executable, "-c", order], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"OMP_NUM_THREADS": "1"}) for _ in range(2)]
    seconds = {process.communicate()[0] for process in both}
    assert len(seconds) == 1 and all(process.returncode == 0 for process in both)


def test_ctrl_c_stops_cleanly_and_keeps_what_is_done(home):
    order = (f"import addrnn, dataclasses; c = addrnn.Config(**{dataclasses.asdict(TINY)});"
             "addrnn.sweep([c, dataclasses.replace(c, batches=10**6), dataclasses.replace(c, batches=10**6, seed=1)])")
    process = subprocess.Popen([sys.executable, "-c", order], stderr=subprocess.PIPE, text=True,
                               start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    unfinished = home / "records" / "runs" / ".unfinished"
    until = time.monotonic() + 60
    while time.monotonic() < until and len(list(unfinished.glob("*.progress"))) < 2:
        time.sleep(0.1)
    os.killpg(process.pid, 2)  # as a terminal does: SIGINT to the whole group
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0 and errors.strip().endswith("KeyboardInterrupt") and "SpawnProcess" not in errors
    assert len(list(unfinished.glob("*.checkpoint"))) == 2
    assert not list(unfinished.glob("*.part"))


def damaged(text):
    """A record's text, damaged in every way that comes to mind: (what, bytes)."""
    record = json.loads(text)
    yield "cut", text[: len(text) // 2].encode()
    yield "empty", b""
    yield "no JSON", b"weights"
    yield "a pickle", pickle.dumps(record)
    yield "not UTF-8", b"\xff\xfe" + text.encode()
    yield "a list", b"[]"
    yield "nested", b"[" * 100_000
    yield "a key twice", text.replace("{", '{"format": 1, ', 1).encode()
    for name in record:
        yield f"without {name}", json.dumps({k: v for k, v in record.items() if k != name}).encode()
        for nonsense in (None, "x", [], {}, -1, True, 1e999):
            if (name, nonsense) not in (("device", "x"), ("versions", {})):
                yield f"{name} = {nonsense}", json.dumps(record | {name: nonsense}).encode()
    yield "loss too short", json.dumps(record | {"loss": record["loss"][:-1]}).encode()
    yield "loss too long", json.dumps(record | {"loss": [*record["loss"], 1.0]}).encode()
    yield "a loss of text", json.dumps(record | {"loss": [*record["loss"][:-1], "nan"]}).encode()
    yield "an endless loss", text.replace('"loss": [', '"loss": [1e999, ').encode()
    yield "accuracy above 1", json.dumps(record | {"accuracy": [2.0] * len(record["accuracy"])}).encode()
    yield "another seed", json.dumps(record | {"config": record["config"] | {"seed": 9}}).encode()
    yield "a whole lr", json.dumps(record | {"config": record["config"] | {"lr": True}}).encode()


def test_a_damaged_record_is_named_once_and_never_believed(store):
    store.write(addrnn.train(TINY))
    path = store.folder / f"{store.name(TINY)}.json"
    whole = path.read_text()
    for what, data in damaged(whole):
        path.write_bytes(data)
        with pytest.warns(UserWarning, match=rf"^{path.name} is not believed, [^\n]+$") as caught:
            assert store.read(TINY) is None, what
        assert len(caught) == 1, what
    path.write_text(whole)
    assert store.read(TINY)


@pytest.mark.parametrize("fault", ["missing", "cut", "others", "pickle"])
def test_damaged_weights_are_never_believed(store, fault):
    store.write(addrnn.train(TINY))
    path = store.folder / f"{store.name(TINY)}.safetensors"
    if fault == "missing":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:-4])
    elif fault == "others":
        path.write_bytes(runs.tensor_bytes(addrnn.Adder(TINY).state_dict()))
    else:
        path.write_bytes(pickle.dumps({}))
    with pytest.warns(UserWarning, match="is not believed"):
        assert store.read(TINY) is None


@pytest.mark.parametrize("fault", ["cut", "empty", "pickle", "a flipped bit", "another run", "no facts"])
def test_a_damaged_checkpoint_is_named_and_the_run_starts_anew(home, store, fault):
    training = addrnn.Training(TINY)
    for _ in range(10):
        training.step()
    store.save_checkpoint(training)
    path = store.unfinished / f"{store.name(TINY)}.checkpoint"
    data = path.read_bytes()
    other = runs.unsealed(data).replace(b'\\"seed\\": 0', b'\\"seed\\": 1')
    path.write_bytes({"cut": data[:-1], "empty": b"", "pickle": pickle.dumps(1),
                      "a flipped bit": data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
                      "another run": runs.sealed(other),
                      "no facts": runs.sealed(runs.tensor_bytes(training.model.state_dict()))}[fault])
    with pytest.warns(UserWarning, match="is not believed"):
        assert not store.load_checkpoint(addrnn.Training(TINY))
    assert same(addrnn.sweep([TINY])[0], addrnn.train(TINY))


def test_damaged_records_are_trained_again(home):
    first = addrnn.sweep([TINY])[0]
    path = next((home / "records" / "runs").glob("*.json"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.warns(UserWarning, match="trained again"):
        assert same(addrnn.sweep([TINY])[0], first)
    with warnings.catch_warnings(action="error"):
        addrnn.sweep([TINY])


def test_the_originals_experiments_return_their_runs(home):
    small = dict(batches=3, batch_size=4, test_batch_size=4, hidden=4, embedding=2, seeds=[0, 1])
    for function, values in ((addrnn.test1, dict(digit_lens=[2, 3])), (addrnn.test2, dict(layers=[1, 2])),
                             (addrnn.test3, dict(cells=["RNN", "GRU"])), (addrnn.test4, dict(lrs=[1e-3, 1e-2]))):
        shorter = {} if function is addrnn.test1 else {"digit_len": 2}
        found = function(**values, **small, **shorter)
        (name, wanted), = values.items()
        setting = {"digit_lens": "digit_len", "layers": "layers", "cells": "cell", "lrs": "lr"}[name]
        assert list(found) == wanted
        assert all(getattr(run.config, setting) == value for value in found for run in found[value])
        assert [[run.config.seed for run in found[value]] for value in found] == [[0, 1]] * 2


def test_a_store_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^run store: got '.*file/runs', [^\n]+; allowed is [^\n]+$"):
        addrnn.sweep([TINY], folder=tmp_path / "file" / "runs")


def test_a_worker_ends_with_its_parent(home):
    order = (f"import addrnn; addrnn.sweep([addrnn.Config(**{dataclasses.asdict(TINY) | {'batches': 10**6}})])")
    process = subprocess.Popen([sys.executable, "-c", order], env=os.environ | {"OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 60
    while time.monotonic() < until and not list((home / "records" / "runs" / ".unfinished").glob("*.progress")):
        time.sleep(0.1)
    process.kill()
    process.wait()
    lock = runs.Store(home / "records" / "runs", addrnn.Adder).lock(dataclasses.replace(TINY, batches=10**6))
    lock.acquire(timeout=10)  # free as soon as the worker is gone
    lock.release()


