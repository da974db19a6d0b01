"""Full and read-only disks: nothing is lost but the run that finds no room, and one line says so."""

import dataclasses
import shutil
import subprocess

import pytest
from test_kills import assert_clean
from test_retrain import InThisProcess
from test_runs import TINY, same

import addrnn
from addlab import workers
from addlab.command import main
from addlab.study import plots

BIG = dataclasses.replace(TINY, hidden=64, layers=3)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if not shutil.which("mount") or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place],
                                                   capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root on Linux only")
    monkeypatch.setenv("ADDRNN_HOME", str(place))
    monkeypatch.setattr(workers, "Workers", InThisProcess)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk, free):
    """Write a file that leaves `free` bytes of the disk; returns its path."""
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - free))
    return filler


def test_a_run_that_finds_no_room_fails_alone_and_the_next_sweep_completes_it(disk):
    filler = fill(disk, free=64 * 2**10)
    store = addrnn.store()
    with pytest.raises(RuntimeError, match=rf"^{store.name(BIG)}: .*No space left on device[^\n]*$"):
        addrnn.sweep([BIG, TINY])
    assert store.read(TINY) and not store.read(BIG)
    assert {p.suffix for p in disk.rglob("*") if p.is_file()} == {"", ".json", ".safetensors", ".lock"}  # no part
    filler.unlink()
    assert same(addrnn.sweep([BIG])[0], addrnn.train(BIG))
    assert_clean(store, [BIG, TINY])


def test_no_room_for_checkpoints_stops_no_run(disk, monkeypatch):
    fill(disk, free=200 * 2**10)
    monkeypatch.setenv("ADDRNN_CHECKPOINT_SECONDS", "0")
    assert same(addrnn.sweep([BIG])[0], addrnn.train(BIG))
    (disk / "filler").unlink()
    assert_clean(addrnn.store(), [BIG])


def test_a_full_disk_is_one_line_before_any_training(disk):
    (disk / "records" / "runs" / ".unfinished").mkdir(parents=True)
    fill(disk, free=0)
    with pytest.raises(ValueError, match=r"^run store: got .*runs.*, No space left on device; allowed is [^\n]+$"):
        addrnn.sweep([TINY])
    assert not list((disk / "records" / "runs" / ".unfinished").iterdir())


def test_a_read_only_disk_gives_its_records_and_one_line_for_the_rest(disk, capsys):
    run, = addrnn.sweep([TINY])
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert same(addrnn.sweep([TINY])[0], run)
    with pytest.raises(ValueError, match=r"^run store: got '[^\n]+', Read-only file system; allowed is [^\n]+$"):
        addrnn.sweep([TINY, BIG])
    with pytest.raises((OSError, ValueError), match=r"^figures: got '[^\n]+', Read-only file system; [^\n]+$"):
        plots.save(plots.figure("Nowhere to go")[0], "nowhere")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["--epoch", "1", "--save", str(disk / "a.safetensors")])
    shown = capsys.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1 and "Read-only file system" in shown.err


def test_figures_that_find_no_room_leave_what_was_there(disk):
    plots.save(plots.figure("One")[0], "figure")
    before = (disk / "figures" / "figure.svg").read_bytes()
    fill(disk, free=0)
    with pytest.raises((OSError, ValueError), match=r"^figures: got '.*', No space left on device; allowed is [^\n]+$"):
        plots.save(plots.figure("Two")[0], "figure")
    assert (disk / "figures" / "figure.svg").read_bytes() == before
    assert not list(disk.rglob("*.part"))
