"""Kills at any moment, several sweeps at once, too little memory: what a store survives."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT
from test_runs import TINY, same, wait_until

import addrnn
from addlab.records import Store

KILLS = int(os.environ.get("KILLS", 100))
FOUR = [dataclasses.replace(TINY, batches=100, cell=cell, seed=seed, chains=0.5)
        for cell, seed in (("RNN", 0), ("GRU", 0), ("LSTM", 0), ("RNN", 1))]
LONGER = dataclasses.replace(TINY, batches=5000, seed=5)
ORDER = """import json, sys, addrnn
for run in addrnn.sweep([addrnn.Config(**c) for c in json.loads(sys.argv[1])]):
    print(run.seconds)"""


def start(configs, home, order=ORDER, one_core=True):
    """A sweep as a process with its own group, with one worker if `one_core`; a checkpoint after each batch."""
    def confine():
        os.sched_setaffinity(0, {random.choice(list(os.sched_getaffinity(0)))})

    environment = os.environ | {"OMP_NUM_THREADS": "1", "ADDRNN_HOME": str(home), "ADDRNN_CHECKPOINT_SECONDS": "0"}
    return subprocess.Popen([sys.executable, "-c", order, json.dumps([dataclasses.asdict(c) for c in configs])],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
                            start_new_session=True,
                            preexec_fn=confine if one_core and hasattr(os, "sched_setaffinity") else None)


def alive(group):
    """The processes of a group, zombies aside."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            pass
    return found


def semaphores(group):
    """Paths of the named semaphores that the processes of a group use, on Linux."""
    found = set()
    for process in alive(group):
        with contextlib.suppress(psutil.Error, AttributeError):
            found |= {area.path for area in process.memory_maps() if area.path.startswith("/dev/shm/sem.mp-")}
    return found


def contents(folder):
    """{name: bytes} of the finished records and weights of a store."""
    return {path.relative_to(folder): path.read_bytes() for record in folder.glob("*/*.json")
            for path in (record, record.with_suffix(".safetensors"))}


def assert_clean(store, configs):
    """The files of a store are those of finished runs of these configs, no more."""
    wanted = {store.path(config, ending) for config in configs for ending in ("json", "safetensors")}
    assert {path for path in store.folder.rglob("*") if path.is_file()} == wanted


# Kills

def test_kills_at_any_moment_leave_the_records_of_an_undisturbed_sweep(home):
    undisturbed = [addrnn.train(config) for config in FOUR]
    done = 0
    for attempt in itertools.count():
        done += kill_until_finished(home / str(attempt), KILLS - done)
        store = Store(home / str(attempt) / "records" / "runs", addrnn.Run, addrnn.Adder, {})
        assert all(same(store.read(run.config), run) for run in undisturbed)
        assert_clean(store, FOUR)
        if done >= KILLS:
            break


def kill_until_finished(home, most):
    """Start a sweep and kill it, again and again, `most` times at most, until it comes to its end; how often."""
    finished, home = {}, home / "records" / "runs"
    for kills in itertools.count():
        before = changed(home)
        process = start(FOUR, home.parent.parent, one_core=random.random() < 0.7)
        if kills < most:
            if random.random() < 0.8:  # else while it starts
                wait_until(lambda: changed(home) != before or process.poll() is not None)  # noqa: B023
            time.sleep(random.uniform(0, 1))
        if kills == most or process.poll() is not None:
            _, errors = process.communicate()
            assert process.returncode == 0, errors
            assert finished.items() <= contents(home).items(), "a finished run was trained again"
            return kills
        names = semaphores(process.pid)
        if random.random() < 0.8:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()  # its workers notice
        process.communicate()
        wait_until(lambda: not alive(process.pid), 20)  # noqa: B023
        for name in names:  # the system keeps these names until a reboot if multiprocessing's own tracker dies, too
            Path(name).unlink(missing_ok=True)
        assert finished.items() <= contents(home).items(), "a finished run was trained again"
        finished = contents(home)


def changed(folder):
    """When a file last came or went in what is unfinished in a store."""
    try:
        return (folder / ".unfinished").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def test_a_killed_worker_fails_its_run_alone_and_the_next_sweep_completes_it(home):
    process, store = start([LONGER, TINY], home), addrnn.store()
    wait_until(lambda: store.path(LONGER, "checkpoint").exists())
    lock = str(store.path(LONGER, "lock"))
    worker, = (p for p in psutil.Process(process.pid).children() if lock in [file.path for file in p.open_files()])
    worker.kill()
    _, errors = process.communicate()
    assert process.returncode == 1
    assert last_line(errors) == ("RuntimeError: " + store.name(LONGER)
                                 + ": its worker process died (killed, or out of memory)")
    assert store.read(TINY) and not store.read(LONGER)
    assert same(addrnn.sweep([LONGER])[0], addrnn.train(LONGER))
    assert_clean(store, [LONGER, TINY])


def last_line(text):
    return text.strip().splitlines()[-1]


def test_a_run_too_big_for_memory_fails_alone_and_the_next_sweep_completes_it(home):
    resource = pytest.importorskip("resource")
    if sys.platform != "linux":
        pytest.skip("only Linux holds a process to RLIMIT_AS")
    limited = f"""import json, resource, sys, addrnn
addrnn.train(addrnn.Config(**json.loads(sys.argv[1])[1]))  # so that the size is that of a process that can train
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 300 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
{ORDER}"""
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    big = dataclasses.replace(TINY, batches=1, batch_size=200_000, hidden=64)
    process, store = start([big, TINY], home, limited), addrnn.store()
    _, errors = process.communicate()
    assert process.returncode == 1
    assert re.fullmatch(rf"RuntimeError: {store.name(big)}: .*(allocate|memory).*", last_line(errors)), errors
    assert store.read(TINY) and not store.read(big)
    assert same(addrnn.sweep([big])[0], addrnn.train(big))
    assert_clean(store, [big, TINY])


def test_two_sweeps_at_once_train_each_run_once(home):
    both = [start(order, home) for order in (FOUR, FOUR[::-1])]
    printed = [process.communicate() for process in both]
    assert all(process.returncode == 0 for process in both), printed
    assert printed[0][0].splitlines() == printed[1][0].splitlines()[::-1]  # seconds: each run was trained once
    found = addrnn.sweep(FOUR)
    assert all(same(run, addrnn.train(run.config)) for run in found)
    assert_clean(addrnn.store(), FOUR)


def test_threads_of_one_process_train_the_same_runs(home):
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        found = addrnn.sweep(FOUR, executor)
    assert all(same(run, addrnn.train(run.config)) for run in found)
