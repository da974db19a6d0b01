"""Training what is missing and verifying what is recorded; the experiments that are listed."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

import addrnn
from addlab import workers
from addlab.study.experiments import EXPERIMENTS, keeps_weights
from addrnn import Config
from tools import retrain

TINY = [Config(digit_len=3, batches=4, batch_size=5, test_batch_size=5, eval_every=2, hidden=4, embedding=2, layers=1,
               seed=seed) for seed in range(3)]


@pytest.fixture
def tiny(home, monkeypatch):
    monkeypatch.setattr(retrain, "EXPERIMENTS", {"one": TINY[:2], "two": TINY[1:]})
    monkeypatch.setattr(retrain, "keeps_weights", lambda config: config.seed == 1)
    monkeypatch.setattr(workers, "Workers", InThisProcess)  # seconds less
    return addrnn.store()


class InThisProcess(ThreadPoolExecutor):
    def __init__(self, count):
        super().__init__(1)
        self.progress = {}


def records(store):
    return {path: path.stat().st_mtime_ns for path in store.folder.rglob("*.json")}


def test_what_is_missing_is_trained_in_order_and_the_rest_kept(tiny, capsys):
    assert retrain.main(["--only", "one"]) == 0
    first = records(tiny)
    assert len(first) == 2
    assert retrain.main([]) == 0
    assert len(records(tiny)) == 3 and first.items() <= records(tiny).items()
    lines = capsys.readouterr().out.splitlines()
    counts, names = zip(*(line.split(":")[0].split(" ", 1) for line in lines if ":" in line), strict=True)
    assert counts == ("1/2", "2/2", "1/1")
    # Of two that are trained side by side either may be done first.
    assert set(names[:2]) == {tiny.name(TINY[0]), tiny.name(TINY[1])} and names[2] == tiny.name(TINY[2])
    assert [bool(tiny.read(config).model) for config in TINY] == [False, True, False]


def test_verify_finds_the_same_bits_with_and_without_weights(tiny, capsys):
    retrain.main([])
    assert retrain.main(["--verify", "9"]) == 0
    assert capsys.readouterr().out.count("the same, bit for bit") == 3


@pytest.mark.parametrize("what", ["loss", "versions", "weights"])
def test_verify_names_what_differs_and_fails(tiny, capsys, what):
    retrain.main([])
    run = tiny.read(TINY[1])
    if what == "loss":
        run.loss[2] += 1e-12
    elif what == "versions":
        run.versions = run.versions | {"numpy": "0"}
    else:
        run.model.dense.bias.data[3] += 1e-6
    tiny.write(run)
    assert retrain.main(["--verify", "3"]) == 1
    assert f"{tiny.name(TINY[1])}: {what} differ" in capsys.readouterr().out.splitlines()


def test_the_list_says_what_there_is(tiny, capsys):
    retrain.main(["--only", "two"])
    capsys.readouterr()
    assert retrain.main(["--list"]) == 0
    assert [line.split(",")[0].split() for line in capsys.readouterr().out.splitlines()] == [
        ["one", "1", "of", "2", "runs", "recorded"], ["two", "2", "of", "2", "runs", "recorded"]]


@pytest.mark.parametrize("arguments", ["--only nine", "--verify 0", "--verify x", "--verify 1 --list", "--verify 3"])
def test_bad_options_are_one_line_and_status_2(tiny, arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        retrain.main(arguments.split())
    assert leaving.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_run_that_fails_is_named_and_fails(tiny, capsys, monkeypatch):
    impossible = dataclasses.replace(TINY[0], batch_size=10**12)
    monkeypatch.setattr(retrain, "EXPERIMENTS", {"one": [impossible, TINY[0]]})
    assert retrain.main([]) == 1
    assert capsys.readouterr().err.startswith(tiny.name(impossible) + ": ")
    assert tiny.read(TINY[0])


def test_experiments_are_lists_of_different_configs():
    assert all(len(configs) == len(set(configs)) for configs in EXPERIMENTS.values())
    every = {config for configs in EXPERIMENTS.values() for config in configs}
    assert {keeps_weights(config) for config in every} == {False, True}


# The records that are shipped

@pytest.fixture(scope="module")
def shipped():
    """(config, run) of each record of the report."""
    store = addrnn.store()
    every = dict.fromkeys(config for configs in EXPERIMENTS.values() for config in configs)
    return [(config, run) for config in every if (run := store.read(config))]


def test_a_recorded_model_scores_its_test_sums_as_it_does_the_next_batch(shipped):
    """Both are fresh random sums, but for chains; an evaluation far from its batch was none of that model."""
    for config, run in shipped:
        if config.chains:
            continue
        for done, tested in zip(run.eval_batch, run.accuracy, strict=True):
            if done < len(run.loss):  # the next batch's share is of the same weights: before its update
                fresh = run.batch_accuracy[done]
                counts = config.test_batch_size, config.batch_size
                both = (tested * counts[0] + fresh * counts[1]) / sum(counts)
                noise = (both * (1 - both) * sum(1 / count for count in counts)) ** 0.5
                assert abs(tested - fresh) <= 5 * noise, (config, done, tested, fresh)


def test_shipped_weights_score_what_their_record_says(shipped):
    checked = 0
    for config, run in shipped:
        if run.model and run.eval_batch[-1:] == [len(run.loss)] and config.digit_len <= 100:
            found = addrnn.evaluate(run.model, *addrnn.sample(config.test_batch_size, config.digit_len,
                                                              addrnn.streams(config.seed)[2]))
            assert found == (run.accuracy[-1], run.digit_accuracy[-1]), config
            checked += 1
    assert checked > 50
