"""The four experiments: statistics and verdicts on curves made by hand, the list of runs, the notebooks in small."""

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pytest

import addrnn
from tools import retrain
from addlab.engine import store as runs
from addlab.study import claims as verdicts
from addrnn import Config
from addlab.engine.store import Run

NOTEBOOKS = sorted((Path(addrnn.__file__).parent / "notebooks").glob("0[2-5]_*.ipynb"))


def curve(accuracy=(), loss=(), seed=0):
    return Run(Config(seed=seed), loss=list(loss), accuracy=list(accuracy), digit_accuracy=list(accuracy),
               eval_batch=[10 * (i + 1) for i in range(len(accuracy))])


# Statistics

@pytest.mark.parametrize("accuracy, reached, settled", [
    ([0, 0.5, 1, 1], 30, 30), ([0, 1, 0.5, 1], 20, 40), ([0, 1, 1, 0.9], 20, math.inf), ([0, 0.9], math.inf, math.inf),
    ([1], 10, 10), ([], math.inf, math.inf)])
def test_reaching_a_level_and_keeping_it_are_told_apart(accuracy, reached, settled):
    assert verdicts.reaches(curve(accuracy), 1) == reached
    assert verdicts.settles(curve(accuracy), 1) == settled


def test_what_comes_after_the_horizon_is_not_looked_at():
    run = curve([0, 1, 1, 0, 1])
    assert verdicts.settles(run, 1, within=30) == 20
    assert verdicts.settles(run, 1) == 50
    assert verdicts.reaches(run, 1, within=10) == math.inf


def test_the_loss_is_judged_by_means_of_ten_batches():
    run = curve(loss=[1.0] * 9 + [0.0] + [0.25] * 10 + [9.0] * 5)
    batches, loss = verdicts.smooth(run.loss)
    assert list(batches) == [10, 20] and list(loss) == [0.9, 0.25]
    assert verdicts.falls_below(run, 0.95) == 10
    assert verdicts.falls_below(run, 0.9) == 20  # strictly below
    assert verdicts.falls_below(run, 0.5, within=19) == math.inf
    assert verdicts.final_loss(run, over=5) == 9 and verdicts.final_loss(run, over=10, within=20) == 0.25


def test_orders_are_paired_by_seed_and_ties_do_not_count():
    rnn, gru, lstm = {0: 1, 1: 5, 2: 7, 3: math.inf}, {0: 2, 1: 6, 2: 7, 3: math.inf}, {0: 3, 1: 4, 2: 8, 3: math.inf}
    assert verdicts.rising(rnn, gru) == {0: True, 1: True, 2: False, 3: False}
    assert verdicts.rising(rnn, gru, lstm) == {0: True, 1: False, 2: False, 3: False}
    assert verdicts.rising(rnn, {1: 6}) == {1: True}  # only seeds that all have
    assert verdicts.rising({0: 3}, {0: math.inf}) == {0: True}


def test_the_verdict_is_one_of_three_words_and_none_without_a_run():
    assert verdicts.judge({0: True, 1: True}) == "holds"
    assert verdicts.judge({0: False, 1: False}) == "fails"
    assert verdicts.judge({0: True, 1: False}) == "depends on the seed"
    assert verdicts.judge({}) == "not tested"


def test_explained_variance_tells_settings_from_seed_luck():
    luck = np.random.default_rng(0).normal(size=(3, 4, 50))
    shares = [verdicts.explained([dict(enumerate(row + k * shift)) for k, row in enumerate(part)])
              for part, shift in zip(luck, (0, 1, 100), strict=True)]
    assert shares[0] < 0.05 < 0.4 < shares[1] < 0.7 < 0.99 < shares[2]
    assert math.isnan(verdicts.explained([{0: 1.0}, {0: 2.0}]))  # one seed a setting says nothing


def test_errors_in_the_first_column_are_told_from_others():
    num1, num2, total = addrnn.sample(100, 5, np.random.default_rng(4))
    said = total.copy()
    said[:30, 0] += 1
    said[20:40, 3] += 1

    class Model:
        def predict(self, a, b):
            assert (a == num1).all() and (b == num2).all()
            return said

    run = Run(Config(digit_len=5), model=Model())
    assert verdicts.first_column(run, 100) == (0.6, 0.8, 0.6)


def test_median_and_range_in_words():
    assert verdicts.spread({0: 30, 1: 10, 2: 20}) == "20 (10 to 30)"
    assert verdicts.spread({0: 30, 1: math.inf, 2: math.inf}) == "never (30 to never)"
    assert verdicts.spread({0: 0.5, 1: 0.5}, "{:.2f}") == "0.50"
    assert verdicts.spread({}) == "-"


# Keeping verdicts

def test_verdicts_are_merged_claim_by_claim_in_the_claims_order(home):
    verdicts.record("C10", "fails", "ten")
    verdicts.record("C2", "holds", "two")
    verdicts.record("C10", "depends on the seed", "ten, again\n  and whole")
    path = home / "records" / "verdicts.json"
    entries = json.loads(path.read_text())
    assert list(entries) == ["C2", "C10"]
    assert entries["C10"] == {"verdict": "depends on the seed", "evidence": "ten, again and whole"}
    before = path.read_bytes()
    verdicts.record("C2", "holds", "two")
    assert path.read_bytes() == before
    assert "| C2 |" in verdicts.summary() and "**depends on the seed**" in verdicts.summary()


def test_no_verdict_is_lost_between_two_writers(home):
    threads = [threading.Thread(target=verdicts.record, args=(claim, "holds", claim)) for claim in verdicts.CLAIMS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(verdicts.entries_so_far()) == list(verdicts.CLAIMS)


@pytest.mark.parametrize("claim, word", [("C11", "holds"), ("C1", "perhaps")])
def test_an_unknown_claim_or_word_is_refused(home, claim, word):
    with pytest.raises(ValueError, match="allowed is"):
        verdicts.record(claim, word, "")


# The list of runs

def cells_of(path, *tags):
    """The code of a notebook's first code cell (its imports) and of those with these tags."""
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    tagged = [cell.source for tag in tags for cell in code if tag in cell.metadata.get("tags", [])]
    assert len(tagged) == len(tags)
    return [code[0].source, *tagged]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_ask_for_the_runs_that_retrain_makes(path, monkeypatch):
    trained, looked_for = set(), set()

    def sweep(configs):
        trained.update(configs)
        return [Run(config) for config in configs]

    monkeypatch.setattr(addrnn, "sweep", sweep)
    monkeypatch.setattr(verdicts, "only_recorded", lambda configs: looked_for.update(configs) or [])
    names = {}
    for code in cells_of(path, "parameters", "runs"):
        exec(code, names)
    listed = {name: set(configs) for name, configs in retrain.experiments().items()}
    assert trained <= set().union(*listed.values())
    number = path.stem[:2]
    own = set().union(*(configs for name, configs in listed.items() if name.startswith(number)))
    assert own <= trained | looked_for
    part = {"02": 3, "03": None, "04": 3}.get(number, 0)  # layers of the long runs that it shows
    if part != 0:
        cell = {"04": "LSTM"}.get(number, "RNN")
        long = {c for name, configs in listed.items() if name.startswith("5000") for c in configs if c.cell == cell}
        full = max(c.batches for c in long)
        shown = {c for c in long if c.layers == (part or c.layers) and c.batches == full}
        assert shown and shown <= looked_for


def test_every_run_of_the_report_is_named_once_in_its_experiment():
    for configs in retrain.experiments().values():
        assert len(configs) == len(set(configs))


def test_default_experiments_are_among_the_recorded(monkeypatch):
    asked = []
    monkeypatch.setattr(addrnn, "sweep", lambda configs: asked.extend(configs) or [Run(c) for c in configs])
    for test in (addrnn.test1, addrnn.test2, addrnn.test3):
        test()
    assert set(asked) <= {c for configs in retrain.experiments().values() for c in configs}


# Retraining

TINY = [Config(digit_len=3, batches=4, batch_size=5, test_batch_size=5, eval_every=2, hidden=4, embedding=2, layers=1,
               seed=seed) for seed in range(3)]


@pytest.fixture
def tiny(home, monkeypatch):
    monkeypatch.setattr(retrain, "experiments", lambda: {"one": TINY[:2], "two": TINY[1:]})
    monkeypatch.setattr(addrnn.workers, "Workers", lambda: ThreadPoolExecutor(1))  # seconds less
    return runs.Store(home / "records" / "runs", addrnn.Adder)


def test_retrain_makes_what_is_missing_keeps_the_rest_and_verifies_it_bit_for_bit(tiny, capsys):
    assert retrain.main(["--missing", "--only", "one"]) == 0
    stamps = {path: path.stat().st_mtime_ns for path in tiny.folder.glob("*.json")}
    assert len(stamps) == 2
    assert retrain.main(["--missing"]) == 0
    assert len(list(tiny.folder.glob("*.json"))) == 3
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    capsys.readouterr()
    assert retrain.main(["--verify", "9"]) == 0
    assert capsys.readouterr().out.count("bit for bit") == 3


def test_retrain_forgets_the_reports_records_and_nothing_else(tiny):
    retrain.main(["--missing"])
    stranger = tiny.folder / "mine.json"
    stranger.write_text("{}")
    stamps = {path: path.stat().st_mtime_ns for path in tiny.folder.glob("*.json")}
    assert retrain.main([]) == 0
    assert stranger.read_text() == "{}"
    assert all(path.stat().st_mtime_ns > stamp for path, stamp in stamps.items() if path != stranger)


def test_verify_names_each_difference_on_a_line_and_fails(tiny, capsys):
    retrain.main(["--missing"])
    run = tiny.read(TINY[0])
    run.loss[2] += 1e-7
    tiny.write(run)
    assert retrain.main(["--verify", "3"]) == 1
    assert capsys.readouterr().err == f"{tiny.name(TINY[0])}: loss differs\n"


def test_on_another_machine_rounding_is_forgiven_and_a_fault_is_not(tiny):
    shipped, again = addrnn.train(TINY[0]), addrnn.train(TINY[0])
    again.versions = {**again.versions, "cpu": "another"}
    again.loss[1] *= 1 + 1e-6
    assert retrain.differences(shipped, again) == []
    again.loss[1] *= 1.01
    assert len(retrain.differences(shipped, again)) == 1


@pytest.mark.parametrize("arguments", ["--only nine", "--verify 0", "--verify x", "--missing --list"])
def test_bad_options_are_one_line_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        retrain.main(arguments.split())
    assert leaving.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# The notebooks

SMALL = {"02": dict(early_batches=[10, 20]), "05": dict(slow_batches=40)}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_at_a_small_scale_in_any_folder(path, home, tmp_path_factory, monkeypatch):
    parameters = dict(digit_lens=[3, 5], seeds=[0, 1], batches=20) | SMALL.get(path.stem[:2], {})
    monkeypatch.setattr(addrnn.workers, "Workers", lambda: ThreadPoolExecutor(1))  # fills the store for the notebook
    setup, defaults, asking = cells_of(path, "parameters", "runs")
    names = {}
    exec(setup, names)
    exec(defaults, names)
    names |= parameters
    exec(asking, names)
    notebook = papermill.execute_notebook(path, None, parameters, cwd=tmp_path_factory.mktemp("elsewhere"),
                                          progress_bar=False)
    errors = [out.text for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs
              if out.output_type == "stream" and out.name == "stderr"]
    assert not errors
    figures = {p.name: p.read_bytes() for p in (home / "figures").glob("*.svg")}
    assert len(figures) >= 2 and all(name.startswith(path.stem[:2]) for name in figures)
    said = {"02": {"C3", "C4"}, "03": {"C5", "C6", "C7"}, "04": {"C8"}, "05": {"C9", "C10"}}[path.stem[:2]]
    assert verdicts.entries_so_far().keys() == said
