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
from conftest import ROOT, shown_while_run
from nbformat import v4
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from test_command import call, refused

import addrnn
from addlab import devices, files, inputs, workers
from addlab.study import plots

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
    lambda: MODEL.add(np.array([1, 2, 3]), 0), lambda: MODEL.add(b"12", 1), lambda: addrnn.sample(2, 3, 42),
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


@pytest.mark.parametrize("value", ["abc", "0", "-1", "1.5", ""])
def test_a_number_of_workers_is_refused_in_one_line(value, home, monkeypatch):
    monkeypatch.setenv("ADDRNN_WORKERS", value)
    with pytest.raises(ValueError, match=r"^ADDRNN_WORKERS: got [^\n]*, allowed is a whole number, 1 or more$"):
        addrnn.sweep([addrnn.Config(digit_len=2, batches=1)])
    assert not list(home.glob("records/runs/*/*"))


def test_as_many_workers_train_as_are_wanted(home, monkeypatch):
    started = []

    class Noted(workers.Workers):
        def shutdown(self, **options):
            started.append(len(self.processes))
            super().shutdown(**options)

    monkeypatch.setattr(workers, "Workers", Noted)
    monkeypatch.setenv("ADDRNN_WORKERS", "1")
    runs = addrnn.sweep(addrnn.Config(digit_len=2, batches=2, batch_size=2, seed=seed) for seed in range(3))
    assert all(run.done for run in runs) and started == [1]
    monkeypatch.setenv("ADDRNN_WORKERS", "7")
    monkeypatch.setattr(devices, "memory", lambda: 3 * devices.WORKER_BYTES)
    assert devices.workers_that_fit() == 3  # and no more than memory holds


@pytest.mark.parametrize(("limits", "processes"), [
    ({}, 64), ({"cpu.max": "max 100000\n"}, 64), ({"cpu.max": "250000 100000\n"}, 2),
    ({"cpu.max": "50000 100000\n"}, 1),
    ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
    ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ({"memory.max": f"{5 * devices.WORKER_BYTES}\n"}, 5), ({"memory.max": "max\n"}, 64),
    ({"memory/memory.limit_in_bytes": f"{4 * devices.WORKER_BYTES}\n"}, 4)])
def test_no_more_workers_than_a_containers_quota_and_memory(limits, processes, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "GROUP", tmp_path)  # what a container of 64 cores and a terabyte shows
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**28}.get)
    for name, text in limits.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert devices.workers_that_fit() == processes


def test_a_script_needs_no_guard(home, tmp_path):
    (tmp_path / "script.py").write_text("""import addrnn
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
from addlab import certify
from addlab.study import claims, experiments, plots
print(addrnn.sweep([addrnn.Config(digit_len=2, layers=1, batches=2, batch_size=2)])[0].done)
""")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_new_results_go_to_a_folder_of_the_users_which_is_said_when_it_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ADDRNN_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    files.named_home.cache_clear()
    folder = files.home()
    assert folder.is_relative_to(tmp_path / "data") and not folder.exists()  # reading makes nothing
    files.keep("carries.json", {"one": 1}, "digest")
    assert capsys.readouterr().err == (
        f"addrnn: new records and figures go to {folder}; ADDRNN_HOME names another folder\n")
    files.keep("carries.json", {"two": 2}, "digest")
    assert capsys.readouterr().err == "" and files.kept("carries.json")["digest"] == {"two": 2}
    files.named_home.cache_clear()


def test_shipped_records_are_read_and_a_users_script_writes_none(tmp_path):
    script = "import addrnn; run, = addrnn.sweep([addrnn.Config()]); print(run.done)"
    tiny = "dict(digit_len=2, layers=1, batches=2, batch_size=2, hidden=4, embedding=2)"
    script += f"; addrnn.sweep([addrnn.Config(**{tiny})])"
    before = listing(ROOT / "records")
    environment = {name: value for name, value in os.environ.items() if name != "ADDRNN_HOME"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT,
                          env=environment | {"XDG_DATA_HOME": str(tmp_path)})
    assert done.stdout == "True\n" and listing(ROOT / "records") == before
    assert len(list(tmp_path.rglob("seed0.json"))) == 1  # the one that is not shipped


def listing(folder):
    """{path: when it was last written} of all files below a folder."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["~/runs", "runs"])
def test_the_home_that_is_named_is_one_folder_wherever_the_program_goes(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADDRNN_HOME", name)
    files.named_home.cache_clear()
    assert files.home() == tmp_path / "runs"
    monkeypatch.chdir("/")
    assert files.home() == tmp_path / "runs"
    files.named_home.cache_clear()


def test_the_command_itself_ends_with_status_2(command):
    refused(command(*ENDLESS, "--hidden", "0"), "--hidden")


@pytest.mark.parametrize("module", ["tools.retrain --list --only chains", "tools.bench --help", "addrnn --version",
                                    "addlab.certify --help"])
def test_programs_run_without_docstrings(module, home):
    done = subprocess.run([sys.executable, "-OO", "-m", *module.split()], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout


def test_members_of_a_group_share_a_home_whatever_their_umask(home):
    home.chmod(0o2775)
    before = os.umask(0o022)
    try:
        addrnn.sweep([addrnn.Config(digit_len=2, batches=2, batch_size=2)])
        files.keep("verdicts.json", {"verdict": "yes"}, "C1")
        plots.save(plots.figure("A title")[0], "picture")
    finally:
        os.umask(before)
    new = [path for path in home.rglob("*")]
    assert {"verdicts.json", "verdicts.lock", "seed0.json", "picture.svg"} <= {path.name for path in new}
    assert all(path.stat().st_mode & 0o020 for path in new), new


def test_what_is_ones_own_stays_ones_own(home):
    home.chmod(0o755)
    before = os.umask(0o022)
    try:
        files.keep("verdicts.json", {"verdict": "yes"}, "C1")
    finally:
        os.umask(before)
    assert not (home / "records" / "verdicts.json").stat().st_mode & 0o022


def test_the_bar_is_seen_in_a_notebook_whose_shell_is_anothers():
    """Colab's, Spyder's and VS Code's are Jupyter's under another name."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in (
        "shell = get_ipython()\nshell.__class__ = type('Shell', (type(shell),), {})",
        "import addrnn\nrun = addrnn.train(addrnn.Config(digit_len=2, batches=2))")])
    texts = shown_while_run(notebook)
    assert texts[0].startswith("RNN 2 digits: ")


def test_training_loads_no_compiler_of_torchs():
    """torch._dynamo takes a second and 90 MB of every process, and draws nothing that we keep."""
    code = "import sys, addrnn; addrnn.train(addrnn.Config(batches=2)); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n"


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


@pytest.mark.parametrize("program", ["addrnn.py", "-m addrnn", "COMMAND", "-m tools.retrain --list", "-m tools.bench",
                                     "-m tools.proofs"])
def test_ctrl_c_while_a_program_still_imports_is_one_line(program, tmp_path):
    (tmp_path / "torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "addrnn"  # as pip writes it
    command.write_text("import sys\nfrom addlab.command import main\nif __name__ == '__main__':\n    sys.exit(main())")
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


IMPORTS = "addrnn, addlab.command, addlab.workers, addlab.study.plots, addlab.certify, tools.retrain, tools.report"


def test_importing_changes_nothing(tmp_path):
    (tmp_path / "script.py").write_text(f"""import os, signal, sys, matplotlib
matplotlib.rcParams["font.size"] = 7.5
def look():
    return (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), dict(matplotlib.rcParams),
            dict(os.environ), os.getcwd(), sys.stdin, sys.stdout, sorted(os.listdir()))
before = look()
import {IMPORTS}
print([a == b for a, b in zip(before, look())])
""")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (done.stdout, done.stderr) == (f"{[True] * 8}\n", "")


# Where it is installed

CONDA = {"torch": "pytorch"}  # where conda calls a package otherwise


def test_pip_conda_and_constraints_name_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(text) for texts in (project["dependencies"], *project["optional-dependencies"].values())
             for text in texts]
    names = [requirement.name for requirement in asked]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, *packages = environment["dependencies"]
    by_pip = packages.pop()["pip"]
    assert by_pip.pop() == "--editable ." and packages.pop() == "pip"
    assert sorted(packages + by_pip) == sorted(CONDA.get(name, name) for name in names)
    card = ["pytorch", "numpy", "matplotlib", "jupyterlab", "nbconvert", "papermill"]
    assert environment["name"] == project["name"] and packages[: len(card)] == card
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#")
    assert all(requirement.specifier.contains(pinned[requirement.name]) for requirement in asked)
    whole = f".[{','.join(project['optional-dependencies'])}]"
    assert f"--constraint constraints.txt --editable '{whole}'" in (ROOT / "Makefile").read_text()
    allowed = SpecifierSet(project["requires-python"])
    assert python.startswith("python=") and allowed.contains(python.removeprefix("python=") + ".0")
    assert [f"3.{minor}" for minor in range(9, 20) if allowed.contains(f"3.{minor}.0")] == ["3.11", "3.12", "3.13"]
