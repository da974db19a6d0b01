"""What a GPU must do as well; all of it is skipped where there is none."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch

import addrnn
from addlab.certify import checker
from addlab.study import functions

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")

SMALL = addrnn.Config(digit_len=10, batches=40, batch_size=50, test_batch_size=50, eval_every=20)
PROOFS = Path(addrnn.__file__).parent / "records" / "proofs"
ADDERS = ["rnn_1layer_seed0", "rnn_2layer_seed0", "rnn_3layer_seed0", "gru_1layer_seed0", "gru_2layer_seed0",
          "lstm_1layer_seed0", "lstm_2layer_seed1", "noise_seed0", "noise_seed1", "rnn_48_parameters",
          "rnn_52_parameters"]


@pytest.mark.parametrize("cell", addrnn.CELLS)
def test_a_gpu_trains_the_same_run_within_rounding(cell):
    config = dataclasses.replace(SMALL, cell=cell)
    run = addrnn.train(config, device="cuda")
    assert "torch" in run.versions and run.device == torch.cuda.get_device_name()
    assert np.allclose(run.loss, addrnn.train(config).loss, rtol=1e-4)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_drawing_ahead_changes_no_batch(noise):
    """Handed-in data are drawn when they are wanted; the same data, not handed in, while the GPU works."""
    config = dataclasses.replace(SMALL, chains=0.5, noise=noise)
    ahead = addrnn.train(config, device="cuda")
    then = addrnn.train(config, device="cuda", data=functools.partial(addrnn.sample, chains=0.5))
    assert np.allclose(ahead.loss, then.loss, rtol=1e-5) and ahead.accuracy == then.accuracy


def test_many_runs_share_a_gpu_and_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ADDRNN_HOME", str(tmp_path))
    configs = [dataclasses.replace(SMALL, seed=seed, lr=2e-3) for seed in range(4)]
    runs = addrnn.sweep(configs, device="cuda")
    assert [run.config for run in runs] == configs and {run.device for run in runs} == {torch.cuda.get_device_name()}
    assert [run.loss for run in addrnn.sweep(configs)] == [run.loss for run in runs]  # read, not trained on the CPU


@pytest.mark.parametrize("name", ADDERS)
def test_a_proved_network_adds_on_a_gpu(name):
    """Random numbers, and chains of nines from every column, which carry the farthest."""
    model = addrnn.Adder.load(PROOFS / f"{name}.safetensors").to("cuda")
    rng = np.random.default_rng(0)
    for chains in (0.0, 1.0):
        num1, num2, total = addrnn.sample(200, 2000, rng, chains)
        assert addrnn.evaluate(model, num1, num2, total) == (1.0, 1.0)


def test_a_gpu_computes_its_functions_as_exactly_as_the_checker_assumes_but_not_those_in_its_cells():
    """From 1/4 to 8 in size; `python -m tools.exhaust functions` takes every number."""
    found = functions.errors("cuda", [0x3E800000, 0x3F800000, 0x40800000, 0xBE800000, 0xBF800000, 0xC0800000])
    assert max(found[name] for name in ("torch.tanh", "torch.sigmoid")) < float(checker.FUNCTION_ERROR)
    assert len(found) == 8 and max(found.values()) < 2**-16, found
