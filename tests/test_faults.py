"""Kills, full and read-only disks, too little memory, several at once, several machines: what a store survives.

`--long` kills a hundred times and more (make torture).
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT
from test_runs import TINY, same

import addrnn
from addlab.study import plots
from addlab.engine import store as runs
from command import main

FOUR = [dataclasses.replace(TINY, batches=100, cell=cell, seed=seed, chains=0.5)
        for cell, seed in (("RNN", 0), ("GRU", 0), ("LSTM", 0), ("RNN", 1))]
LONGER = dataclasses.replace(TINY, batches=1000, seed=5)  # of another seed: TINY is not on its way
BIG = dataclasses.replace(TINY, hidden=64, layers=3)
ORDER = """import json, sys, addrnn
for run in addrnn.sweep([addrnn.Config(**c) for c in json.loads(sys.argv[1])]):
    print(run.seconds)"""


@pytest.fixture
def one_thread_executor():
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield executor


def start(configs, home, order=ORDER, one_core=True):
    """A sweep as a process with its own group, with one worker if `one_core`; a checkpoint after each batch."""
    def confine():
        os.sched_setaffinity(0, {random.choice(list(os.sched_getaffinity(0)))})

    environment = os.environ | {"OMP_NUM_THREADS": "1", "ADDRNN_HOME": str(home), "ADDRNN_CHECKPOINT_SECONDS": "0"}
    return subprocess.Popen([sys.executable, "-c", order, json.dumps([dataclasses.asdict(c) for c in configs])],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
                            start_new_session=True,
                            preexec_fn=confine if one_core and hasattr(os, "sched_setaffinity") else None)


def wait_until(holds, seconds=120):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "this does not happen"
        time.sleep(0.02)


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
    return {path.name: path.read_bytes() for record in folder.glob("*.json")
            for path in (record, record.with_suffix(".safetensors"))}


def assert_clean(folder, configs):
    """The files of a store are those of finished runs of these configs, no more."""
    store = runs.Store(folder, addrnn.Adder)
    wanted = {f"{store.name(c)}.{ending}" for c in configs for ending in ("json", "safetensors")}
    assert {p.name for p in folder.iterdir()} == wanted | {".unfinished"}
    assert not list(store.unfinished.iterdir())


# Kills

def test_kills_at_any_moment_leave_the_records_of_an_undisturbed_sweep(home, request):
    kills = 100 if request.config.getoption("--long") else 5
    undisturbed = [addrnn.train(config) for config in FOUR]
    done = 0
    for attempt in itertools.count():
        done += kill_until_finished(home / str(attempt), kills - done)
        store = runs.Store(home / str(attempt) / "records" / "runs", addrnn.Adder)
        assert all(same(store.read(run.config), run) for run in undisturbed)
        assert_clean(store.folder, FOUR)
        if done >= kills:
            break


def kill_until_finished(home, most):
    """Start a sweep and kill it, again and again, `most` times at most, until it comes to its end; how often."""
    finished, home = {}, home / "records" / "runs"
    for kills in itertools.count():
        before = changed(home)
        process = start(FOUR, home.parent, one_core=random.random() < 0.7)
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


def test_a_killed_worker_fails_its_run_alone_and_the_next_sweep_completes_it(home, one_thread_executor):
    process, store = start([LONGER, TINY], home), runs.Store(home / "records" / "runs", addrnn.Adder)
    wait_until(lambda: store.progress(LONGER))
    worker, = (p for p in psutil.Process(process.pid).children() if "spawn_main" in " ".join(p.cmdline()))
    worker.kill()
    _, errors = process.communicate()
    assert process.returncode == 1
    assert last_line(errors) == ("RuntimeError: " + store.name(LONGER)
                                 + ": its worker process died (killed, or out of memory)")
    assert store.read(TINY) and not store.read(LONGER)
    assert same(addrnn.sweep([LONGER], one_thread_executor)[0], addrnn.train(LONGER))
    assert_clean(store.folder, [LONGER, TINY])


def last_line(text):
    return text.strip().splitlines()[-1]


# Too little memory, too little disk, no right to write

def test_a_run_too_big_for_memory_fails_alone_and_the_next_sweep_completes_it(home, one_thread_executor):
    resource = pytest.importorskip("resource")
    if sys.platform != "linux":
        pytest.skip("only Linux holds a process to RLIMIT_AS")
    limited = f"""import resource, addrnn
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 300 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))
{ORDER}"""
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    big = dataclasses.replace(TINY, batches=1, batch_size=200_000, hidden=64)
    process, store = start([big, TINY], home, limited), runs.Store(home / "records" / "runs", addrnn.Adder)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert re.fullmatch(rf"RuntimeError: {store.name(big)}: .*(allocate|memory).*", last_line(errors)), errors
    assert store.read(TINY) and not store.read(big)
    assert same(addrnn.sweep([big], one_thread_executor)[0], addrnn.train(big))
    assert_clean(store.folder, [big, TINY])


@pytest.fixture
def disk(tmp_path):
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount") or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place],
                                                   capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root on Linux only")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk, free):
    """Write a file that leaves `free` bytes of the disk; returns its path."""
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - free))
    return filler


def test_a_run_that_finds_no_room_fails_alone_and_the_next_sweep_completes_it(disk, one_thread_executor):
    filler = fill(disk, free=64 * 2**10)
    store = runs.Store(disk / "records" / "runs", addrnn.Adder)
    with pytest.raises(RuntimeError, match=rf"^{store.name(BIG)}: .*No space left on device[^\n]*$"):
        addrnn.sweep([BIG, TINY], one_thread_executor, store.folder)
    assert store.read(TINY) and not store.read(BIG)
    assert {p.suffix for p in disk.rglob("*") if p.is_file()} == {"", ".json", ".safetensors", ".lock"}
    filler.unlink()
    assert same(addrnn.sweep([BIG], one_thread_executor, store.folder)[0], addrnn.train(BIG))
    assert_clean(store.folder, [BIG, TINY])


def test_no_room_for_checkpoints_stops_no_run(disk, one_thread_executor, monkeypatch):
    fill(disk, free=200 * 2**10)
    monkeypatch.setattr(addrnn, "CHECKPOINT_SECONDS", 0)
    assert same(addrnn.sweep([BIG], one_thread_executor, disk / "records" / "runs")[0], addrnn.train(BIG))
    assert_clean(disk / "records" / "runs", [BIG])


def test_a_full_disk_is_one_line_before_any_training(disk, one_thread_executor):
    (disk / "records" / "runs" / ".unfinished").mkdir(parents=True)
    fill(disk, free=0)
    with pytest.raises(OSError, match=r"^run store: got '.*runs', No space left on device; allowed is [^\n]+$"):
        addrnn.sweep([TINY], one_thread_executor, disk / "records" / "runs")
    assert not list((disk / "records" / "runs" / ".unfinished").iterdir())


def test_a_read_only_disk_gives_its_records_and_one_line_for_the_rest(disk, one_thread_executor, monkeypatch, capsys):
    monkeypatch.setenv("ADDRNN_HOME", str(disk))
    run, = addrnn.sweep([TINY], one_thread_executor)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert same(addrnn.sweep([TINY], one_thread_executor)[0], run)
    refusal = r": got '{}', Read-only file system; allowed is a folder that can be written$"
    with pytest.raises(OSError, match="^run store" + refusal.format(disk / "records" / "runs")):
        addrnn.sweep([TINY, BIG], one_thread_executor)
    with pytest.raises(OSError, match="^figures" + refusal.format(disk / "figures")):
        plots.save(plots.figure("Nowhere to go")[0], "nowhere")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["--epoch", "1", "--save", str(disk / "a.safetensors")])
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1 and "Read-only file system" in shown.err


def test_figures_that_find_no_room_leave_what_was_there(disk, monkeypatch):
    monkeypatch.setenv("ADDRNN_HOME", str(disk))
    plots.save(plots.figure("One")[0], "figure")
    before = (disk / "figures" / "figure.svg").read_bytes()
    fill(disk, free=0)
    with pytest.raises(OSError, match=r"^figures: got '.*', No space left on device; allowed is [^\n]+$"):
        plots.save(plots.figure("Two")[0], "figure")
    assert (disk / "figures" / "figure.svg").read_bytes() == before
    assert [p.name for p in (disk / "figures").iterdir()] == ["figure.svg"]


# Several at once

def test_two_sweeps_at_once_train_each_run_once(home):
    both = [start(order, home) for order in (FOUR, FOUR[::-1])]
    printed = [process.communicate() for process in both]
    assert all(process.returncode == 0 for process in both), printed
    assert printed[0][0].splitlines() == printed[1][0].splitlines()[::-1]  # seconds: each run was trained once
    found = addrnn.sweep(FOUR)
    assert all(same(run, addrnn.train(run.config)) for run in found)
    assert_clean(home / "records" / "runs", FOUR)


def test_threads_of_one_process_train_the_same_runs(home):
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        found = addrnn.sweep(FOUR, executor)
    assert all(same(run, addrnn.train(run.config)) for run in found)


SMALL = dict(seeds=[0, 1], digit_lens=[2, 3], batches=20)


def papermill(notebook, out, home, **parameters):
    """A notebook executed by papermill's command line, as a process."""
    chosen = ["-y", json.dumps(parameters)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ADDRNN_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-m", "papermill", "--no-progress-bar", "--cwd", ROOT / "notebooks",
                             ROOT / "notebooks" / notebook, out, *chosen], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_two_notebooks_at_once_share_a_store(home, tmp_path, request):
    if not request.config.getoption("--long"):
        pytest.skip("two notebooks take a minute of a core: --long, make torture")
    both = [papermill("02_digit_length.ipynb", tmp_path / f"{i}.ipynb", home, **SMALL) for i in range(2)]
    errors = [process.communicate()[1] for process in both]
    assert all(process.returncode == 0 for process in both), "\n\n".join(text[-2000:] for text in errors)
    assert shown(tmp_path / "0.ipynb") == shown(tmp_path / "1.ipynb") != []
    assert not [p for ending in ("part", "checkpoint", "progress") for p in home.rglob(f"*.{ending}")]


def shown(notebook):
    """The texts and figures among a notebook's outputs."""
    outputs = [output for cell in json.loads(notebook.read_text())["cells"] for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in outputs for kind in ("text/markdown", "image/svg+xml")
            if kind in output.get("data", {})]


# Several machines

def test_dask_does_the_runs_of_a_killed_worker_elsewhere(home, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    configs, store = [LONGER, *FOUR], runs.Store(home / "records" / "runs", addrnn.Adder)
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
          as cluster, distributed.Client(cluster) as client):
        processes, killed = client.run(os.getpid), []

        def kill():
            wait_until(lambda: store.progress(LONGER))
            busy = next(worker for worker, tasks in client.processing().items() if tasks)
            killed.append(processes[busy])
            os.kill(processes[busy], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        found = addrnn.sweep(configs, executor=client.get_executor())
        killer.join()
        assert killed
    assert all(same(run, addrnn.train(run.config)) for run in found)
    assert_clean(store.folder, configs)
