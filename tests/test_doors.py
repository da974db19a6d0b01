"""Bad parameters through the three doors, command line, Python and papermill: one line each, before any training."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
import yaml
from conftest import ROOT
from packaging.specifiers import SpecifierSet
from test_command import call, refused

import addrnn
from addlab import inputs, workers

ENDLESS = ["--digit_len", "3", "--batch_size", "20", "--test_batch_size", "20", "--epoch", str(10**9)]
HUGE = 10**12


@pytest.mark.parametrize(("option", "value"), [
    ("--hidden", "0"), ("--hidden", "1e2"), ("--hidden", ""), ("--embedding", "-1"), ("--embedding", "many"),
    ("--chains", "-0.1"), ("--chains", "nan"), ("--chains", "often"), ("--seed", "1.5"), ("--seed", "x"),
    ("--lr", "1e400"), ("--lr", ""), ("--model", "rnn"), ("--model", ""), ("--digit_len", "1,000"),
    ("--digit_len", "9" * 5000), ("--eval_every", "inf"), ("--device", ""), ("--device", "cuda:99"),
    ("--save", ""), ("--save", "/dev/full/x")])
def test_command_line_refuses_before_it_trains(option, value, capsys):
    refused(call(capsys, *ENDLESS, option, value), option)


@pytest.mark.parametrize("words", [["--epoch"], ["--no_such"], ["stray"], ["--add", "1"], ["--digit", "3"]])
def test_command_line_refuses_what_it_cannot_read(words, capsys):
    done = call(capsys, *ENDLESS, *words)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("option", "value"), [("--batch_size", HUGE), ("--digit_len", HUGE), ("--hidden", HUGE),
                                               ("--embedding", HUGE), ("--test_batch_size", HUGE),
                                               ("--hidden", HUGE**3), ("--batch_size", HUGE**3)])
def test_sizes_beyond_this_machine_are_one_line(option, value, capsys):
    done = call(capsys, *ENDLESS, option, str(value))
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr


MODEL = addrnn.Adder(addrnn.Config(layers=1, hidden=4, embedding=2))


@pytest.mark.parametrize("call", [
    *[lambda name=name, value=value: addrnn.Config(**{name: value})
      for name, value in [("hidden", 0), ("hidden", "64"), ("embedding", -1), ("embedding", 2.0), ("chains", np.nan),
                          ("chains", "0.5"), ("chains", True), ("cell", ["RNN"]), ("cell", b"RNN"), ("lr", 1j),
                          ("lr", np.inf), ("lr", [1e-3]), ("seed", 0.0), ("seed", None), ("layers", np.array([1])),
                          ("digit_len", np.float64(10))]],
    lambda: addrnn.train(addrnn.Config(), device="tpu"), lambda: addrnn.train(addrnn.Config(), device=7.5),
    lambda: addrnn.sweep([addrnn.Config(), 1]), lambda: addrnn.sweep(["RNN"]),
    lambda: addrnn.test1([0]), lambda: addrnn.test1([2.5]), lambda: addrnn.test1(10), lambda: addrnn.test1(seeds=5),
    lambda: addrnn.test1(seeds=""), lambda: addrnn.test1(batches=0), lambda: addrnn.test2([1, 0]),
    lambda: addrnn.test2(digit_len=0), lambda: addrnn.test3(["RNN", "CNN"]), lambda: addrnn.test3("RNN"),
    lambda: addrnn.test4([0]), lambda: addrnn.test4(["fast"]), lambda: addrnn.test4(seeds=[0, -1]),
    lambda: MODEL.add(-1, 1), lambda: MODEL.add(1, "x"), lambda: MODEL.add(1.5, 1), lambda: MODEL.add(True, 1),
    lambda: MODEL.add(1, ""), lambda: MODEL.add("9" * 10000 + ".", 1), lambda: addrnn.Adder.load("no such file"),
    lambda: addrnn.Adder.load("."), lambda: inputs.as_list("1, 2", "seeds")])
def test_python_refuses_before_it_trains(call, untrained):
    with pytest.raises(ValueError, match=r"^[^\n]+: got [^\n]{1,200}, [^\n]*allowed is [^\n]+$"):
        call()
    assert not list(untrained.iterdir())


@pytest.fixture
def untrained(home, monkeypatch):
    """A home in which a training that begins is a failure."""
    def fail(*arguments, **options):
        raise AssertionError("training has begun")

    monkeypatch.setattr(workers, "train_all", fail)
    monkeypatch.setattr(addrnn.Training, "step", fail)
    return home


BAD = {"seeds": [-1], "digit_len": 0, "digit_lens": [0], "layers": [0], "cells": ["CNN"], "lrs": [0], "batches": 0,
       "live_batches": 2.5, "live_lens": [0], "live_layers": [0], "digits": 1}


def code_cells(path):
    """(tags, source) of each code cell."""
    return [(cell["metadata"].get("tags", []), "".join(cell["source"]))
            for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def parameters(path):
    """The names that a notebook's parameter cell sets, with their values."""
    found = {}
    exec(next((source for tags, source in code_cells(path) if "parameters" in tags), ""), found)
    return {name: value for name, value in found.items() if name != "__builtins__"}


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


HORIZONS = ("05_learning_rate", "digit_lens"), ("05_learning_rate", "batches")  # what is shown, no runs' settings
GIVEN = [(path, name) for path in NOTEBOOKS for name in parameters(path)
         if name in BAD and (path.stem, name) not in HORIZONS]


def asking(path, name):
    """The cells of a notebook that ask for runs by a parameter, in order; of one that asks for none, all."""
    cells = code_cells(path)[1:]
    runs = [source for tags, source in cells if {"runs", "live"} & set(tags) or "recorded(" in source]
    return [source for source in runs
            if name in {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}] or [
        source for tags, source in cells if "parameters" not in tags]


@pytest.mark.parametrize(("path", "name"), GIVEN, ids=lambda x: getattr(x, "stem", x))
def test_notebook_refuses_before_it_trains(path, name, untrained):
    names = {"__name__": "__main__"}
    exec(code_cells(path)[0][1], names)  # as papermill does, but without a kernel
    names |= parameters(path) | {name: BAD[name]}
    with pytest.raises(ValueError, match=r"^[^\n]+: got [^\n]+, allowed is [^\n]+$"):
        for source in asking(path, name):
            exec(source, names)
    assert not list(untrained.iterdir())


def test_papermill_ends_with_the_one_line(home, tmp_path):
    done = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", "--cwd", ROOT / "notebooks", "-p",
                           "live_batches", "0", ROOT / "notebooks" / "02_digit_length.ipynb", tmp_path / "out.ipynb"],
                          capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 1
    above, last = [line for line in done.stderr.splitlines() if line][-2:]
    assert above.startswith('Exception encountered at "In [')
    assert last == "ValueError: batches (--epoch): got 0, allowed is a whole number, 1 or more"
    assert not list(home.glob("records/runs/*/*"))


@pytest.mark.parametrize("test", [lambda: addrnn.test1(seed=7), lambda: addrnn.test1(digit_len=7),
                                  lambda: addrnn.test3(cell="GRU"), lambda: addrnn.test2(width=3)])
def test_experiments_refuse_settings_that_would_do_nothing(test, untrained):
    with pytest.raises(TypeError, match=r"^[^\n]+$"):
        test()


@pytest.mark.parametrize("value", ["abc", "-1", "nan", ""])
def test_seconds_between_checkpoints_are_refused_in_one_line(value, home, monkeypatch):
    monkeypatch.setenv("ADDRNN_CHECKPOINT_SECONDS", value)
    with pytest.raises(ValueError, match=r"^ADDRNN_CHECKPOINT_SECONDS: got '[^\n]*', allowed is [^\n]+$"):
        addrnn.sweep([addrnn.Config(digit_len=2, batches=1)])
    assert not list(home.iterdir())


def test_a_script_needs_no_guard(home, tmp_path):
    (tmp_path / "script.py").write_text("""import addrnn
from addlab import files, inputs, workers
print("begun")
small = dict(digit_len=2, layers=1, batches=2, batch_size=2, hidden=4, embedding=2)
print([run.model.add(1, 2) >= 0 for run in addrnn.sweep(addrnn.Config(seed=seed, **small) for seed in range(2))])
""")
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, ["begun", "[True, True]"], "")


def test_a_users_own_modules_shadow_none_of_ours(home, tmp_path):
    for name in ("runs", "store", "workers", "study", "plots", "command", "report", "verdicts", "bptt", "checker"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    (tmp_path / "script.py").write_text("""import addrnn
from addlab import files, inputs, workers
from addlab import certify
from addlab.study import claims, experiments, plots
print(addrnn.sweep([addrnn.Config(digit_len=2, layers=1, batches=2, batch_size=2)])[0].done)
""")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_without_a_checkout_runs_go_to_a_folder_of_the_users_which_is_said_once(tmp_path, monkeypatch, capsys):
    from addlab.engine import store
    monkeypatch.delenv("ADDRNN_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(store, "__file__", str(tmp_path / "site-packages" / "addlab" / "engine" / "store.py"))
    folder = store.home()
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "data")
    assert capsys.readouterr().err == f"addrnn: records and figures go to {folder}; ADDRNN_HOME names another folder\n"
    assert store.home() == folder and capsys.readouterr().err == ""


def test_the_command_itself_ends_with_status_2(command):
    refused(command(*ENDLESS, "--hidden", "0"), "--hidden")


# Ctrl-C, and modules that are no programs

def interrupted(arguments, when, **environment):
    """(status, output, errors) of a program that hears Ctrl-C as soon as `when(process)` is done."""
    process = subprocess.Popen([sys.executable, *map(str, arguments)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=os.environ | environment,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        when(process)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors
    finally:
        process.kill()


@pytest.mark.parametrize("program", ["addrnn.py", "-m addrnn", "COMMAND", "-m addlab.certify check x.json",
                                     "-m addlab.study.claims", "-m tools.retrain --list"])
def test_ctrl_c_while_a_program_still_imports_is_one_line(program, tmp_path):
    (tmp_path / "torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "addrnn"  # as pip writes it
    command.write_text("import sys\nfrom addrnn import main\nif __name__ == '__main__':\n    sys.exit(main())")
    done = interrupted(program.replace("COMMAND", str(command)).split(), lambda process: process.stdout.readline(),
                       PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done == (130, "", "addrnn: stopped\n")


def test_ctrl_c_while_it_trains_is_one_line():
    assert interrupted(["addrnn.py", *ENDLESS], lambda process: time.sleep(5)) == (130, "", "addrnn: stopped\n")


def test_programs_of_others_keep_their_own_ctrl_c(tmp_path):
    (tmp_path / "script.py").write_text("import signal, addlab\nprint(signal.getsignal(signal.SIGINT).__name__)")
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)},
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert (done.stdout, done.stderr) == ("default_int_handler\n", "")


@pytest.mark.parametrize(("path", "right"), [("engine/store.py", "import addlab.engine.store: it is no program"),
                                             ("study/claims.py", "python -m addlab.study.claims"),
                                             ("certify/__main__.py", "python -m addlab.certify")])
def test_a_module_run_by_its_path_says_how_it_is_run(path, right):
    done = subprocess.run([sys.executable, ROOT / "addlab" / path], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith(f": got run by its path, allowed is {right}\n") and len(done.stderr.splitlines()) == 1


# Where it is installed

def test_conda_and_make_install_the_same_with_a_python_that_is_allowed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, by_pip = environment["dependencies"]
    allowed = SpecifierSet(project["requires-python"])
    assert (environment["name"], pip) == (project["name"], "pip")
    assert python.startswith("python=") and allowed.contains(python.removeprefix("python=") + ".0")
    whole = f".[{','.join(project['optional-dependencies'])}]"
    assert by_pip == {"pip": [f"--editable {whole}"]} and f"--editable '{whole}'" in (ROOT / "Makefile").read_text()
    assert [f"3.{minor}" for minor in range(9, 20) if allowed.contains(f"3.{minor}.0")] == ["3.11", "3.12", "3.13"]
