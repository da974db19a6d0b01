"""The command line, as a user runs it."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import addrnn
from command import main

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
        ("--gradients", "guess"), ("--load", "missing.safetensors"), ("--save", "no/such/folder/a.safetensors"),
        ("--save", ".")]


def refused(done, *words):
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "allowed" in done.stderr, done.stderr
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
    refused(call(capsys, *QUICK, option, value), option, value)


@pytest.mark.parametrize("number", ["-5", "1.5", "x"])
def test_bad_number_to_add_gets_one_line_and_status_2(number, capsys):
    refused(call(capsys, *QUICK, "--add", number, "1"), "--add", number)


def test_a_refusal_as_a_process(command):
    refused(command("--digit_len", "0"), "--digit_len", "0")
    assert command("--no_such_option").returncode == 2


@pytest.mark.parametrize("name", ["digit_len", "layers", "batches", "batch_size", "test_batch_size", "eval_every"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "7", None, True, float("nan")])
def test_python_refuses_in_the_same_words(name, value):
    with pytest.raises(ValueError, match=rf"^{name} \(--\w+\): got .*, allowed is a whole number, 1 or more$"):
        addrnn.Config(**{name: value})


@pytest.mark.parametrize("settings", [dict(lr=0), dict(lr=float("nan")), dict(lr="1e-3"), dict(cell="rnn"),
                                      dict(cell=None), dict(seed=-1), dict(chains=2)])
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
