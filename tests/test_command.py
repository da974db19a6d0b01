"""The command line, as a user runs it."""

import dataclasses
import os
import re
import signal
import stat
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import save_file

import addrnn
from addlab.certify import Rounded
from addlab.command import main

QUICK = ["--digit_len", "3", "--epoch", "20", "--eval_every", "10", "--batch_size", "20", "--test_batch_size", "20"]


def test_the_originals_command_works_as_written(command):
    done = command(*"--model pt --digit_len 10 --model RNN --lr 1e-3 --layer 3 --epoch 300 --batch_size 200 "
                   "--test_batch_size 200".split())
    assert done.returncode == 0 and done.stderr == ""
    assert "final accuracy" in done.stdout and " + " in done.stdout


def test_pt_means_the_default_cell(command):
    assert command(*QUICK, "--model", "pt").stdout.splitlines()[:3] == command(*QUICK).stdout.splitlines()[:3]


def test_saved_model_answers(command, tmp_path):
    saved = command(*QUICK, "--model", "GRU", "--layer", "2", "--save", "a.safetensors", "--add", "12", "34")
    answer = next(line for line in saved.stdout.splitlines() if line.startswith("12 + 34"))
    loaded = command("--load", "a.safetensors", "--add", "12", "34", "--add", "9" * 5000, "1")
    assert loaded.returncode == 0 and loaded.stdout.splitlines()[0] == answer
    assert addrnn.Adder.load(tmp_path / "a.safetensors").config.cell == "GRU"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors"]


def test_help_reads_well(command):
    done = command("--help")
    assert done.returncode == 0 and "Traceback" not in done.stdout
    for option in ("--digit_len", "--model", "--lr", "--layer", "--epoch", "--save", "--load", "--add"):
        assert option in done.stdout


BAD = [(option, value) for option in ("--digit_len", "--layer", "--epoch", "--batch_size", "--test_batch_size",
                                      "--eval_every") for value in ("0", "-3", "2.5", "ten")]
BAD += [("--lr", value) for value in ("0", "-1", "nan", "inf", "fast")]
BAD += [("--model", "Transformer"), ("--seed", "-1"), ("--chains", "1.5"), ("--device", "tpu"),
        ("--save", "no/such/folder/a.safetensors"), ("--save", "."), ("--lr", "9" * 401)]


def refused(done, *words):
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "allowed" in done.stderr, done.stderr
    assert len(done.stderr) < 400
    assert all(word in done.stderr for word in words), done.stderr


def call(capsys, *arguments):
    """The command in this process, for the many cases: what a subprocess would show."""
    class Done:
        returncode = None
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    Done.returncode, (Done.stdout, Done.stderr) = left.value.code, capsys.readouterr()
    return Done


@pytest.mark.parametrize(("option", "value"), BAD)
def test_bad_option_gets_one_line_and_status_2(option, value, capsys):
    refused(call(capsys, *QUICK, option, value), option, value[:50])


@pytest.mark.parametrize("options", [
    ["--load", "X"], *[["--load", "X", "--add", "1", "2", *more] for more in (
        ["--save", "Y"], ["--epoch", "5"], ["--model", "GRU"], ["--layer", "3"])]])
def test_options_that_would_do_nothing_are_refused(options, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    addrnn.Adder(addrnn.Config()).save("X")
    refused(call(capsys, *options), "--load")
    assert [path.name for path in tmp_path.iterdir()] == ["X"]


# Where the weights go

def test_weights_are_saved_before_anything_is_printed(tmp_path):
    process = subprocess.Popen([sys.executable, ROOT / "addrnn.py", *QUICK, "--save", tmp_path / "w"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()  # as `| true` does
    errors = process.stderr.read()
    process.wait()
    assert addrnn.Adder.load(tmp_path / "w") and errors == ""


def closed(streams, *arguments):
    """The command, started with some of its streams closed, as services and cron jobs may start it."""
    return subprocess.run(["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, ROOT / "addrnn.py",
                           *arguments], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def test_closed_streams_lose_nothing(tmp_path):
    done = closed("<&- >&- 2>&-", *QUICK, "--save", tmp_path / "w")
    assert done.returncode == 0 and addrnn.Adder.load(tmp_path / "w")
    refused(closed("<&-", "--load", tmp_path / "w", "--add", "-", "1"), "--add")


def test_saving_removes_nothing_of_the_users(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = ["my.probe", "my.part", ".my.part", "my.safetensors"]
    for name in others:
        (tmp_path / name).write_text(name)
    main([*QUICK, "--save", "my"])
    assert addrnn.Adder.load("my") and all((tmp_path / name).read_text() == name for name in others)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["my", *others])


def test_symlinks_are_followed_and_modes_kept(tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "weights", tmp_path / "link"
    target.write_text("")
    target.chmod(0o640)
    link.symlink_to(target)
    main([*QUICK, "--save", str(link)])
    assert link.is_symlink() and addrnn.Adder.load(target) and stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_dangling_symlink_gets_its_target(tmp_path, capsys):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    main([*QUICK, "--save", str(tmp_path / "link")])
    assert (tmp_path / "link").is_symlink() and addrnn.Adder.load(tmp_path / "target")


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a folder", "a read-only file", "a link to a pipe", "a loop"])
def test_only_regular_files_that_may_be_written_are_replaced(kind, tmp_path, capsys):
    path = tmp_path / "w"
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        import socket
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a read-only file":
        path.write_text("mine")
        path.chmod(0o444)
    elif kind == "a link to a pipe":
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    else:
        path.symlink_to(path)
    before = os.lstat(path)
    refused(call(capsys, *QUICK, "--save", str(path)), "--save")
    after = os.lstat(path)
    assert (before.st_ino, before.st_mode, before.st_mtime_ns) == (after.st_ino, after.st_mode, after.st_mtime_ns)
    assert kind != "a read-only file" or path.read_text() == "mine"


# Numbers to add

def test_numbers_come_from_files_and_standard_input(command, tmp_path):
    addrnn.Adder(addrnn.Config(layers=1)).save(tmp_path / "w")
    (tmp_path / "a.txt").write_text("9" * 300_000 + "\n")
    plain = command("--load", "w", "--add", "12", "34", "--add", "5", "6")
    done = command("--load", "w", "--add", "-", "34", "--add", "5", "-", "--add", "@a.txt", "1", input="12\n6\n")
    assert done.returncode == 0 and done.stdout.startswith(plain.stdout)
    assert done.stdout.splitlines()[2].startswith("9" * 300_000 + " + 1 = ")
    (tmp_path / "text.txt").write_bytes(b"\xff\xfe12")
    for number in ("@missing.txt", "@.", "@/dev/zero", "@text.txt", "-"):
        refused(command("--load", "w", "--add", number, "1", input=""), "--add")


@pytest.mark.parametrize("number", ["-5", "1.5", "x"])
def test_bad_number_to_add_gets_one_line_and_status_2(number, capsys):
    refused(call(capsys, *QUICK, "--add", number, "1"), "--add", number)


@pytest.mark.parametrize(("words", "hint"), [
    ("--digit-len 3", "--digit_len for --digit-len"), ("--epochs=3", "--epoch for --epochs"),
    ("--layers 2", "--layer for --layers"), ("--batches 3", "--epoch for --batches"),
    ("--cell GRU", "--model for --cell"), ("--hiden 3", "--hidden for --hiden"),
    ("--digit 3", "--digit_len for --digit"), ("--model lstm", "LSTM")])
def test_what_somebody_may_have_meant_is_hinted_at(words, hint, capsys):
    done = call(capsys, *words.split())
    assert done.returncode == 2 and done.stdout == "" and done.stderr.endswith(f"did you mean {hint}?\n")
    assert "did you mean" not in call(capsys, "--verbose").stderr


def test_the_version_is_the_projects(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert call(capsys, "--version").stdout == f"addrnn {project['version']}\n"


def test_a_refusal_as_a_process(command):
    refused(command("--digit_len", "0"), "--digit_len", "0")
    assert command("--no_such_option").returncode == 2


@pytest.mark.parametrize("name", ["digit_len", "layers", "batches", "batch_size", "test_batch_size", "eval_every"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "7", None, True, float("nan")])
def test_python_refuses_in_the_same_words(name, value):
    with pytest.raises(ValueError, match=rf"^{name} \(--\w+\): got .*, allowed is a whole number, 1 or more$"):
        addrnn.Config(**{name: value})


@pytest.mark.parametrize("settings", [dict(lr=0), dict(lr=float("nan")), dict(lr="1e-3"), dict(cell="rnn"),
                                      dict(cell=None), dict(seed=-1), dict(chains=2), dict(lr=10**400),
                                      dict(lr=10**5000), dict(seed=-(10**5000))])
def test_python_refuses_other_bad_settings(settings):
    with pytest.raises(ValueError, match="allowed is"):
        addrnn.Config(**settings)


def test_config_takes_numpy_numbers():
    assert addrnn.Config(digit_len=np.int64(7), lr=np.float64(0.1)) == addrnn.Config(digit_len=7, lr=0.1)


def weights():
    return {name: t.clone() for name, t in addrnn.Adder(addrnn.Config(layers=1)).state_dict().items()}


@pytest.mark.parametrize("fault", ["cut short", "no safetensors", "a folder", "another shape", "a tensor less",
                                   "a tensor more", "not finite", "empty"])
def test_broken_weights_get_one_line_and_status_2(fault, tmp_path, capsys):
    path, tensors = tmp_path / "w.safetensors", weights()
    if fault == "another shape":
        tensors["dense.bias"] = torch.zeros(11)
    elif fault == "a tensor less":
        del tensors["rnn.bias_hh_l0"]
    elif fault == "a tensor more":
        tensors["rnn.weight_hh_l9"] = torch.zeros(64, 64)
    elif fault == "not finite":
        tensors["dense.bias"][0] = torch.nan
    save_file(tensors, path)
    if fault == "cut short":
        path.write_bytes(path.read_bytes()[:-1])
    elif fault == "no safetensors":
        path.write_bytes(b"\x80\x04pickle?")
    elif fault == "empty":
        path.write_bytes(b"")
    elif fault == "a folder":
        path.unlink()
        path.mkdir()
    refused(call(capsys, "--load", str(path), "--add", "1", "2"), "--load", str(path))


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(addrnn, "train", lambda *arguments, **options: None + 1)
    with pytest.raises(TypeError, match="NoneType"):
        main(QUICK)


def test_ctrl_c_while_it_trains_saves_what_is_trained(tmp_path):
    endless = ["--epoch", "1000000000", "--digit_len", "2", "--layer", "1", "--save", tmp_path / "w"]
    process = subprocess.Popen([sys.executable, ROOT / "addrnn.py", *endless], stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        time.sleep(15)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and len(errors.splitlines()) == 1
    assert re.fullmatch(rf"addrnn: stopped; {tmp_path}/w holds the weights after \d+ batches\n", errors)
    assert addrnn.Adder.load(tmp_path / "w").config.digit_len == 2


@pytest.mark.parametrize("spoil", ["nan", "half"])
def test_weights_that_could_not_be_loaded_are_not_saved(spoil, tmp_path):
    model = addrnn.Adder(addrnn.Config(layers=1))
    if spoil == "nan":
        model.dense.bias.data[0] = torch.nan
    else:
        model = model.half()
    with pytest.raises(ValueError, match=r"^weights to save \(--save\): its tensors are no finite float32; allowed "):
        model.save(tmp_path / "w")
    assert not list(tmp_path.iterdir())


def test_a_saved_model_tells_all_its_settings(tmp_path):
    config = addrnn.Config(digit_len=7, cell="GRU", layers=1, lr=0.01, seed=3)
    addrnn.Adder(config).save(tmp_path / "w")
    assert addrnn.Adder.load(tmp_path / "w").config == config


@dataclasses.dataclass(frozen=True)
class Noted(addrnn.Config):
    note: str = "none"


def test_a_config_of_a_users_own_with_a_text_trains_is_kept_and_is_loaded(home):
    config = Noted(digit_len=2, layers=1, batches=2, batch_size=4, note="lr/2: \"a,b=c\"\n")
    run, = addrnn.sweep([config], executor=ThreadPoolExecutor(1))
    again, = addrnn.sweep([config])
    assert again.config == config and again.loss == run.loss
    assert len(list((home / "records" / "runs").glob("*/seed0.json"))) == 1
    run.model.save(home / "w")
    settings = dataclasses.asdict(config)
    del settings["note"]
    assert addrnn.Adder.load(home / "w").config == addrnn.Config(**settings)


@pytest.mark.parametrize("metadata", ["[1]", '"x"', "{", '{"digit_len": 0}'])
def test_weights_whose_settings_are_none_are_one_line(metadata, tmp_path, capsys):
    save_file(weights(), tmp_path / "w", {"config": metadata})
    refused(call(capsys, "--load", str(tmp_path / "w"), "--add", "1", "2"), "--load", str(tmp_path / "w"))


def test_a_run_is_one_short_line_in_a_notebook():
    run = addrnn.train(addrnn.Config(digit_len=2, batches=4, batch_size=4, eval_every=2))
    line = r"<Run RNN, 3 layers, 2 digits, seed 0: 4 of 4 batches, loss [\d.]+, accuracy [\d.]+, [\d.]+ s>"
    assert re.fullmatch(line, repr(run))


def test_a_grid_that_is_saved_with_a_network_is_used_when_it_is_asked(tmp_path, capsys):
    model = addrnn.train(addrnn.Config(layers=1, batches=60, batch_size=50)).model
    Rounded(model, 1).save(tmp_path / "coarse")
    with pytest.warns(UserWarning, match=r"^[^\n]*coarse: its states belong on a grid, which [^\n]*Rounded.load keeps"):
        assert addrnn.Adder.load(tmp_path / "coarse").config == model.config
    pairs = [(a, b) for a in range(40) for b in range(20)]
    a, b = next(pair for pair in pairs if Rounded(model, 1).add(*pair) != model.add(*pair))  # it matters
    main(["--load", str(tmp_path / "coarse"), "--add", str(a), str(b)])
    assert capsys.readouterr().out.startswith(f"{a} + {b} = {Rounded(model, 1).add(a, b)}")
