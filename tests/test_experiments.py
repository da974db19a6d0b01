"""The list of runs, and notebooks 02-06 and 08: each in small, in any folder, and fit to be read."""

import math
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest

import addrnn
from addlab.inputs import Refusal
from addlab.records import Store
from addlab.study import experiments, measures, views
from addlab.study.experiments import EXPERIMENTS, configs, keeps_weights
from addrnn import Config, Run

NOTEBOOKS = sorted((Path(addrnn.__file__).parent / "notebooks").glob("0[2-68]_*.ipynb"))


# The list of runs

def test_every_run_is_listed_once():
    every = [config for wanted in EXPERIMENTS.values() for config in wanted]
    assert len(every) == len(set(every))


def test_only_listed_runs_keep_weights_and_few_of_them():
    every = {config for wanted in EXPERIMENTS.values() for config in wanted}
    kept = {config for config in every if keeps_weights(config)}
    assert kept == experiments.WEIGHTS and len(kept) < len(every) / 4


def test_the_plan_has_all_seeds_of_the_originals_comparisons():
    every = {config for wanted in EXPERIMENTS.values() for config in wanted}
    for digit_len, layers, cell, lr, seeds in [
            *((n, k, "RNN", 1e-3, 20) for n in (10, 100) for k in (1, 2, 3, 4)),
            *((n, 3, cell, 1e-3, 20) for n in (10, 100) for cell in ("GRU", "LSTM")),
            *((1000, k, "RNN", 1e-3, 10 if k == 3 else 5) for k in (1, 2, 3, 4)),
            *((5000, k, "RNN", 1e-3, 5 if k == 3 else 3) for k in (1, 2, 3, 4)),
            *((100, 3, "RNN", lr, 10) for lr in (1e-5, 1e-2, 1e-1)),
            *((10, 3, "RNN", lr, 13 if lr == 1e-1 else 3) for lr in (1e-5, 1e-4, 1e-2, 1e-1))]:
        full = {Config(digit_len=digit_len, layers=layers, cell=cell, lr=lr, seed=seed) for seed in range(seeds)}
        assert full <= every, (digit_len, layers, cell, lr)


def test_of_runs_that_differ_in_batches_alone_the_longest_is_shown(home):
    store = addrnn.store()
    tiny = dict(digit_len=3, batch_size=5, test_batch_size=5, hidden=4, embedding=2, layers=1)
    for batches in (4, 8):
        store.write(addrnn.train(Config(**tiny, batches=batches)))
    found = experiments.recorded(configs([0, 1], **tiny, batches=(4, 8)))
    assert [run.config for run in found] == [Config(**tiny, batches=8)]


# Runs of a GPU

def test_runs_of_a_gpu_say_so_and_are_never_among_the_recorded():
    runs = experiments.gpu_runs()
    assert len(runs) == 63 and all("H100" in run.device and run.versions["torch"] for run in runs)
    assert all(len(run.loss) == len(run.batch_accuracy) == run.config.batches and run.model is None for run in runs)
    assert all(np.float32(x) == x for x in runs[0].loss)
    assert all(run.device == "cpu" for run in experiments.recorded([run.config for run in runs]))
    some = experiments.gpu_runs(layers=(1, 2), seed=5)
    assert [(run.config.layers, run.config.seed) for run in some] == [(1, 5), (2, 5)]


def test_gpu_and_cpu_reach_every_level_at_the_same_batch():
    levels = [*measures.LOSSES, measures.Measure("accuracy", 0.5), measures.ACCURACY]
    found = experiments.calibration(levels)
    assert len(found) >= 8
    assert all(cpu == gpu for batches in found.values() for cpu, gpu in batches)
    reached = sum(cpu < math.inf for batches in found.values() for cpu, _ in batches)
    assert reached > 80  # so that the agreement is not one of runs that never get there


def test_where_a_gpu_has_more_batches_its_run_is_shown():
    asked = configs([0, 4, 5], digit_len=5000, batches=(1000, 300))
    runs = experiments.of_any_device(asked)
    assert [(run.config.seed, run.config.batches, run.device == "cpu") for run in runs] == [
        (0, 1000, True), (4, 1000, True), (5, 1000, False)]
    assert experiments.of_any_device(configs([5], digit_len=5000, batches=300)) == []  # of other batches than asked for
    assert experiments.of_any_device(configs([0], batches=1000))[0].device == "cpu"


def test_other_runs_do_not_agree():
    """The comparison above could fail: another seed is elsewhere."""
    level = measures.LOSS
    assert len({level(run) for run in experiments.gpu_runs(layers=3)}) > 5


# The notebooks

def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_and_narrow(path):
    for number, cell in enumerate(code_of(path), 1):
        lines = cell.source.splitlines()
        assert len(lines) <= 12, f"code cell {number} has {len(lines)} lines"
        assert all(len(line) <= 100 for line in lines), [line for line in lines if len(line) > 100]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS[0].parent.glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_output_is_an_object_as_python_prints_it(path):
    for number, cell in enumerate(code_of(path), 1):
        for output in cell.outputs:
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            assert " at 0x" not in text, f"code cell {number} prints {text[:80]}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_asks_for_runs_that_are_listed(path, monkeypatch):
    """What it looks for and what the plan lists must not drift apart: all its groups are full once all is trained."""
    every, asked = {config for wanted in EXPERIMENTS.values() for config in wanted}, []
    monkeypatch.setattr(Store, "read", lambda self, config: asked.append(config) or (
        Run(config, loss=[1.0] * config.batches, model=True) if config in every else None))
    names = {}
    cells = code_of(path)
    tagged = [next(cell for cell in cells if tag in cell.metadata.get("tags", [])) for tag in ("parameters", "runs")]
    for cell in [cells[0], *tagged]:
        exec(cell.source, names)
    groups = names.get("groups", names.get("runs"))
    assert groups and set(asked) & every
    for group in groups.values():
        assert group


SMALL = {
    "02": dict(digit_lens=[3, 5, 120], batches=[20], live_lens=[3, 5], early_len=120, early_batches=[10, 20]),
    "03": dict(digit_len=5, batches=[20], long_len=6, long_batches=[20]),
    "04": dict(digit_len=5, batches=20, rates=[1e-3, 1e-2], rate_batches=[20], sized_batches=[20]),
    "05": dict(digit_lens=[3, 5], main=5, batches=20, longer=[20], lrs=[1e-4, 1e-2, 1e-1], slow_lrs=[1e-4],
               spoiled_batches=20),
    "06": dict(seeds=[0], batches=20, search_digits=4, noise_batches=20),
    "08": dict(),
}
SAID = {"02": {"C3", "C4"}, "03": {"C5a", "C5b", "C6a", "C6b", "C7"}, "04": {"C8"}, "05": {"C9", "C10a", "C10b"},
        "06": set(), "08": set()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_at_a_small_scale_in_any_folder(path, home, tmp_path_factory):
    number = path.stem[:2]
    parameters = dict(seeds="[0, 1]", live_batches=20, train=True) | SMALL[number]  # -p hands lists over as text
    notebook = papermill.execute_notebook(path, None, parameters, cwd=tmp_path_factory.mktemp("elsewhere"),
                                          progress_bar=False)
    errors = [out.text for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs
              if out.output_type == "stream" and out.name == "stderr"]
    assert not errors
    figures = {p.name for p in (home / "figures").glob("*.svg")}
    assert figures and all(name.startswith(number) for name in figures)
    told = [out.data.get("text/markdown", "") for cell in notebook.cells if cell.cell_type == "code"
            for out in cell.outputs if "data" in out]
    assert {text[2:].split()[0] for text in told if " is about other settings, so " in text} == SAID[number]
    assert not (home / "records" / "verdicts.json").exists()


def test_without_any_record_a_notebook_says_in_one_line_how_to_train(home):
    with pytest.raises(Refusal, match=r"records: got none for layers of .*train = True"):
        views.groups_of("layers", [11, 12], [0])
    assert views.groups_of("layers", [11, 12], [0], needed=False) == {}
