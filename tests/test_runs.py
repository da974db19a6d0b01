"""Records, checkpoints and sweeps: nothing lost, nothing believed that is not whole."""

import concurrent.futures
import contextlib
import copy
import dataclasses
import functools
import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import psutil
import pytest
import torch
from conftest import ROOT

import addrnn
from addlab import workers
from addlab.devices import Draws, cores
from addlab.records import Store, record_of, seal_of, tensor_bytes

TINY = addrnn.Config(digit_len=3, layers=1, batches=30, eval_every=10, batch_size=20, test_batch_size=20, hidden=8,
                     embedding=4)
SEVERAL = [dataclasses.replace(TINY, seed=seed) for seed in range(3)]


def same(one, two):
    """Whether two runs are equal bit for bit, in all but the time they took."""
    facts = [record_of(run) | {"seconds": 0} for run in (one, two)]
    weights = zip(one.model.state_dict().values(), two.model.state_dict().values(), strict=True)
    return facts[0] == facts[1] and all(torch.equal(a, b) for a, b in weights)


def begun(config, batches):
    """A training after some batches."""
    training = addrnn.Training(config)
    for _ in range(batches):
        training.step()
    return training


@pytest.fixture
def store(home):
    store = addrnn.store()
    store.make_ready([TINY])
    return store


def test_records_lie_where_the_settings_say(store):
    names = {dataclasses.replace(TINY, eval_every=50): "digit_len=3,layers=1,batches=30,batch_size=20,"
             "test_batch_size=20,hidden=8,embedding=4",
             addrnn.Config(): "default", addrnn.Config(lr=1e-5, cell="GRU"): "cell=GRU,lr=1e-05"}
    for config, setting in names.items():
        config = dataclasses.replace(config, seed=4)
        assert store.path(config) == store.folder / setting / "seed4.json"


def test_a_record_gives_back_its_run(store):
    run = addrnn.train(TINY)
    store.write(run)
    assert same(store.read(TINY), run) and store.read(TINY).seconds == run.seconds
    assert sorted(p.name for p in store.path(TINY).parent.iterdir()) == ["seed0.json", "seed0.safetensors"]


@pytest.mark.parametrize("between", [lambda same: same, copy.deepcopy, lambda same: pickle.loads(pickle.dumps(same))])
def test_batches_that_are_drawn_ahead_are_the_same(between):
    given = []
    for ahead in (False, True):
        draws = Draws(functools.partial(addrnn.sample, 5, 4), addrnn.streams(3)[1], ahead)
        given.append([])
        for batch in range(6):
            if batch == 3:
                draws = between(draws)
            given[-1].append([*(digits.tolist() for digits in draws()), draws.rng.bit_generator.state])
    assert given[0] == given[1]


def test_a_run_that_draws_ahead_and_is_resumed_is_the_same_run(store):
    for batches in (7, TINY.batches):
        training = addrnn.Training(TINY)
        training.draw.ahead = True  # as on a GPU
        store.load_checkpoint(training)
        while len(training.run.loss) < batches:
            training.step()
        store.save_checkpoint(training)
    assert same(training.run, addrnn.train(TINY))


def test_all_records_are_one_table(home, store):
    runs = addrnn.sweep(SEVERAL)
    other = dataclasses.replace(TINY, seed=7)
    store.write(addrnn.train(other))
    store.path(other).write_text(store.path(other).read_text().replace('"seed": 7', '"seed": 8'))
    shipped = len(list((ROOT / "records" / "runs").glob("*/seed*.json")))
    with pytest.warns(UserWarning, match=r"^record [^\n]*seed7.json is not believed, it was damaged or edited[^\n]*$"):
        rows = addrnn.records()
    own = [row for row in rows if row["batch_size"] == TINY.batch_size]
    assert len(rows) == shipped + 3 and len(own) == 3
    for row, run in zip(own, runs, strict=True):
        facts = record_of(run)
        assert row == facts.pop("config") | {name: value for name, value in facts.items() if name != "format"}
    noisy = next(row for row in rows if row["noise"] == 0 and row["digit_len"] == 10)  # a field younger than its record
    assert noisy["loss"] and noisy["device"] == "cpu"


def test_weights_are_shipped_only_where_they_are_kept(store):
    run = addrnn.train(TINY)
    store.write(run, keep_weights=False)
    back = store.read(TINY)
    assert back.model is None and back.loss == run.loss
    assert [p.name for p in store.path(TINY).parent.iterdir()] == ["seed0.json"]
    unkept = store.weights_digest(TINY)
    store.write(run)
    assert store.weights_digest(TINY) == unkept and store.read(TINY).model
    assert addrnn.sweep([TINY])[0].loss == run.loss


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_numbers_that_are_not_finite_are_plain_json(store, number):
    run = addrnn.train(TINY)
    run.loss[-1], run.diverged = float(number), True
    store.write(run)
    json.loads(store.path(TINY).read_text(), parse_constant=lambda constant: pytest.fail(constant))
    assert str(store.read(TINY).loss[-1]) == number


def test_a_diverged_run_is_kept(store):
    config = dataclasses.replace(TINY, lr=1e7)
    store.write(run := addrnn.train(config))
    back = store.read(config)
    assert back.diverged and back.loss[:-1] == run.loss[:-1] and str(back.loss[-1]) == str(run.loss[-1])


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("at", [1, 10, 17, 29])
def test_resumed_run_equals_uninterrupted_run(store, cell, at):
    config = dataclasses.replace(TINY, cell=cell, chains=0.5)
    store.make_ready([config])
    store.save_checkpoint(begun(config, at))
    second = addrnn.Training(config)
    store.load_checkpoint(second)
    assert len(second.run.loss) == at
    while not second.run.done:
        second.step()
    assert same(second.run, addrnn.train(config))


def test_sweep_gives_runs_in_order_and_trains_none_twice(home):
    found = addrnn.sweep([SEVERAL[1], SEVERAL[0], SEVERAL[1]])
    assert [run.config.seed for run in found] == [1, 0, 1]
    assert same(found[1], addrnn.train(SEVERAL[0]))
    before = {p.name: p.stat().st_mtime_ns for p in (home / "records" / "runs").rglob("*")}
    again = addrnn.sweep(SEVERAL[:2])
    assert same(again[0], found[1])
    assert before == {p.name: p.stat().st_mtime_ns for p in (home / "records" / "runs").rglob("*")}
    assert not list((home / "records" / "runs" / ".unfinished").iterdir())


def test_sweep_takes_any_executor(home):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        assert same(addrnn.sweep(SEVERAL[:1], executor)[0], addrnn.train(SEVERAL[0]))


def test_a_run_that_fails_is_named_and_the_others_go_on(home):
    impossible = dataclasses.replace(TINY, batch_size=10**12)
    with pytest.raises(RuntimeError) as failed:
        addrnn.sweep([SEVERAL[0], impossible, SEVERAL[1]])
    store = addrnn.store()
    assert len(str(failed.value).splitlines()) == 1 and str(failed.value).startswith(store.name(impossible) + ": ")
    assert store.read(SEVERAL[0]) and store.read(SEVERAL[1])


def test_a_sweep_without_room_for_threads_ends(home, monkeypatch):
    def no_room(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_room)  # behind each worker process there is one
    with pytest.raises(RuntimeError, match=r"^can't start new thread$"):
        addrnn.sweep([TINY])
    assert not psutil.Process().children(recursive=True)


def test_a_worker_that_dies_fails_its_own_run_alone(home, monkeypatch):
    monkeypatch.setattr(workers, "start_worker", lambda: subprocess.Popen(
        [sys.executable, "-c", "pass"], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    with pytest.raises(RuntimeError, match=r"^digit_len=3.*: its worker process died \(killed, or out of memory\)$"):
        addrnn.sweep([TINY])


def test_two_processes_at_once_train_a_run_once(home):
    order = (f"import addrnn; r = addrnn.sweep([addrnn.Config(**{dataclasses.asdict(TINY) | {'batches': 400}})]);"
             "print(r[0].seconds)")
    both = [subprocess.Popen([sys.executable, "-c", order], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"OMP_NUM_THREADS": "1"}) for _ in range(2)]
    seconds = {process.communicate()[0] for process in both}
    assert len(seconds) == 1 and all(process.returncode == 0 for process in both)


def start(configs, home):
    """A sweep as a process with its own group, which hears Ctrl-C, with a checkpoint after each batch."""
    order = ("import json, sys, addrnn\n"
             "addrnn.sweep([addrnn.Config(**config) for config in json.loads(sys.argv[1])])")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ADDRNN_HOME": str(home), "ADDRNN_CHECKPOINT_SECONDS": "0"}
    return subprocess.Popen(
        [sys.executable, "-c", order, json.dumps([dataclasses.asdict(config) for config in configs])],
        stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # under nohup make test & it would be ignored


def wait_until(holds, seconds=300):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "this does not happen"
        time.sleep(0.05)


@contextlib.contextmanager
def killed_at_the_end(process):
    """No process of a test's outlives it, however it ends."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


ENDLESS = [dataclasses.replace(TINY, batches=10**6, seed=seed) for seed in range(2)]


def test_ctrl_c_stops_cleanly_and_keeps_what_is_done(home, store):
    with killed_at_the_end(start(ENDLESS, home)) as process:
        wait_until(lambda: all(store.path(config, "checkpoint").exists() for config in ENDLESS[: cores()]))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0 and len(errors.splitlines()) < 10  # of Python's own, for the script
    assert errors.splitlines()[-1] == "KeyboardInterrupt: finished runs are kept, the others go on from here"
    for config in ENDLESS[: cores()]:
        training = addrnn.Training(config)
        store.load_checkpoint(training)
        assert training.run.loss
    assert not list(home.rglob("*.part"))


def damaged(record):
    """A record, damaged in every way that comes to mind: (what, bytes)."""
    text = json.dumps(record)
    yield "cut", text[: len(text) // 2].encode()
    yield "empty", b""
    yield "no JSON", b"weights"
    yield "a pickle", pickle.dumps(record)
    yield "not UTF-8", b"\xff\xfe" + text.encode()
    yield "a list", b"[]"
    yield "nested", b"[" * 100_000
    for name in record:
        yield f"without {name}", json.dumps({k: v for k, v in record.items() if k != name}).encode()
        for other in (None, "x", [], {}, -1, True, 0.5):
            if record[name] != other:
                yield f"{name} = {other}", json.dumps(record | {name: other}).encode()
    yield "a perfect score", json.dumps(record | {"accuracy": [1.0] * len(record["accuracy"])}).encode()
    yield "other versions", json.dumps(record | {"versions": {"engine": 7}}).encode()
    yield "a little less loss", json.dumps(record | {"loss": [*record["loss"][:-1], record["loss"][-1] / 2]}).encode()
    other = record | {"config": record["config"] | {"seed": 9}}
    yield "of another seed", json.dumps(other | {"seal": seal_of(other)}).encode()
    other = record | {"format": 1}
    yield "of another format", json.dumps(other | {"seal": seal_of(other)}).encode()


def test_a_damaged_or_edited_record_is_named_in_one_line_and_never_believed(store):
    store.write(addrnn.train(TINY))
    path = store.path(TINY)
    whole = path.read_text()
    for what, data in damaged(json.loads(whole)):
        path.write_bytes(data)
        with pytest.warns(UserWarning, match=r"^record digit_len=3.*/seed0 is not believed, [^\n]+$") as caught:
            assert store.read(TINY) is None, what
        assert len(caught) == 1, what
    path.write_text(json.dumps(json.loads(whole), indent=4))  # another layout is no edit
    assert store.read(TINY)


def test_a_new_setting_leaves_the_records_made_before_believed(store):
    store.write(run := addrnn.train(TINY))
    wider = dataclasses.make_dataclass("Wider", [("momentum", float, dataclasses.field(default=0.9))],
                                       bases=(addrnn.Config,), frozen=True)
    with warnings.catch_warnings(action="error"):
        assert store.read(wider(**dataclasses.asdict(TINY))).loss == run.loss
        assert store.read(wider(**dataclasses.asdict(TINY), momentum=0.5)) is None  # another run, with no record


@pytest.mark.parametrize("name", ["engine", "data"])
def test_a_record_of_another_version_is_said_and_not_believed(store, name):
    store.write(addrnn.train(TINY))
    later = Store(store.folder, addrnn.Run, addrnn.Adder, store.versions | {name: store.versions[name] + 1})
    with pytest.warns(UserWarning, match=rf"is not believed, it was made by version 1 of the {name}, today's is 2"):
        assert later.read(TINY) is None
    assert store.read(TINY)


def test_every_shipped_record_is_believed():
    store, paths = addrnn.store(), list((ROOT / "records" / "runs").glob("*/*.json"))
    with warnings.catch_warnings(action="error"):
        for path in paths:
            assert store.read(addrnn.Config(**json.loads(path.read_bytes())["config"])), path
    assert len(paths) > 458


@pytest.mark.parametrize("fault", ["missing", "cut", "others", "pickle"])
def test_damaged_weights_are_never_believed_and_made_again(store, fault):
    store.write(run := addrnn.train(TINY))
    path = store.path(TINY, "safetensors")
    if fault == "missing":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:-4])
    elif fault == "others":
        path.write_bytes(tensor_bytes(addrnn.Adder(TINY).state_dict()))
    else:
        path.write_bytes(pickle.dumps({}))
    with pytest.warns(UserWarning, match="is not believed, its weights"):
        assert store.read(TINY) is None
    with pytest.warns(UserWarning, match="trained again"):
        assert same(addrnn.sweep([TINY])[0], run)


@pytest.mark.parametrize("fault", ["cut", "empty", "pickle", "a flipped bit", "another run", "other versions",
                                   "a folder"])
def test_a_checkpoint_not_to_be_believed_is_named_and_the_run_starts_anew(store, fault):
    training = begun(TINY, 10)
    if fault == "other versions":
        training.run.versions = {"engine": 0}
    if fault == "another run":
        training.run.config = dataclasses.replace(TINY, lr=0.1)
    store.save_checkpoint(training)
    path = store.path(TINY, "checkpoint")
    if fault == "another run":
        store.path(training.run.config, "checkpoint").rename(path)
    data = path.read_bytes()
    broken = {"cut": data[:-1], "empty": b"", "pickle": pickle.dumps(1),
              "a flipped bit": data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]}
    if fault in broken:
        path.write_bytes(broken[fault])
    elif fault == "a folder":
        path.unlink()
        path.mkdir()
    fresh = addrnn.Training(TINY)
    with pytest.warns(UserWarning, match=r"^checkpoint [^\n]+ is not believed, [^\n]+: this run starts anew$"):
        store.load_checkpoint(fresh)
    while not fresh.run.done:
        fresh.step()
    assert same(fresh.run, addrnn.train(TINY))


def test_a_pickle_is_never_executed(store, tmp_path):
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return type(trap).touch, (trap,)

    data = pickle.dumps(Trap(), protocol=2)  # as torch writes
    for ending in ("json", "safetensors"):
        store.path(TINY, ending).write_bytes(data)
    store.path(TINY, "checkpoint").write_bytes(hashlib.sha256(data).digest() + data)
    with pytest.warns(UserWarning, match="is not believed"):
        assert store.read(TINY) is None
    with pytest.warns(UserWarning, match="is not believed"):
        store.load_checkpoint(addrnn.Training(TINY))
    with pytest.raises(ValueError, match="allowed is"):
        addrnn.Adder.load(store.path(TINY, "safetensors"))
    assert not trap.exists()
    pickle.loads(data)
    assert trap.exists()  # the trap does work


def test_damaged_records_are_trained_again(home):
    first = addrnn.sweep([TINY])[0]
    path = next((home / "records" / "runs").glob("*/*.json"))
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


def test_a_store_that_cannot_be_made_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ADDRNN_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"^run store: got '.*file/records/runs', [^\n]+; allowed is [^\n]+$"):
        addrnn.sweep([TINY])


def test_a_setting_that_cannot_be_written_is_one_line_before_any_training(store, monkeypatch):
    store.path(TINY).mkdir(parents=True)
    monkeypatch.setattr(addrnn.Training, "step", lambda training: pytest.fail("training has begun"))
    with (pytest.warns(UserWarning, match="is not believed"),
          pytest.raises(ValueError, match=r"^run store: got '[^\n]*', Is a folder; allowed is [^\n]+$")):
        addrnn.sweep([TINY])


def test_a_worker_ends_with_its_parent(home, store):
    with killed_at_the_end(start(ENDLESS[:1], home)) as process:
        wait_until(lambda: store.path(ENDLESS[0], "checkpoint").exists())
        process.kill()
        process.wait()
        lock = store.lock(ENDLESS[0])
        lock.acquire(timeout=20)  # free as soon as the worker is gone
        lock.release()
