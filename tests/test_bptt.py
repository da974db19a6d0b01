"""bptt against torch's own autograd, and its buffers against a fresh start."""

import copy

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import addrnn
from addlab.engine import bptt

CELLS = "RNN", "LSTM", "GRU"


def adder(cell, layers=2, dtype=torch.float64, seed=0, **sizes):
    return addrnn.Adder(addrnn.Config(cell=cell, layers=layers, seed=seed, **sizes)).to(dtype)


def digits(batch, length, seed=0):
    """Three arrays of any digits: gradients know nothing of sums."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 10, (3, batch, length)))


def by_autograd(model, num1, num2, total):
    loss = torch.nn.functional.cross_entropy(model(num1, num2).flatten(0, 1), total.flatten())
    return loss.detach(), torch.autograd.grad(loss, list(model.parameters()))


def by_bptt(compute, *batch):
    """Loss and gradients, copied so that a later call cannot change them."""
    return [compute(*batch).clone(), *(p.grad.clone() for p in compute.model.parameters())]


def same_bits(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@settings(max_examples=150, deadline=None)
@given(
    cell=st.sampled_from(CELLS), layers=st.integers(1, 5), batch=st.integers(1, 6), length=st.integers(1, 40),
    hidden=st.integers(1, 9), embedding=st.integers(1, 5), chunk=st.integers(1, 50), kept=st.sampled_from([0, 1 << 30]),
    seed=st.integers(0, 1000),
)
def test_gradients_are_those_of_autograd(cell, layers, batch, length, hidden, embedding, chunk, kept, seed):
    model = adder(cell, layers, hidden=hidden, embedding=embedding, seed=seed)
    data = digits(batch, length, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bptt, "CHUNK_BYTES", chunk * 8 * batch * layers * hidden)
        loss, *gradients = by_bptt(bptt.BPTT(model, kept_bytes=kept), *data)
    expected_loss, expected = by_autograd(model, *data)
    assert abs(loss - expected_loss) <= 1e-12 * expected_loss
    whole = torch.cat([g.flatten() for g in expected]).norm()
    for gradient, exact in zip(gradients, expected, strict=True):
        assert gradient.shape == exact.shape
        assert (gradient - exact).norm() <= 1e-10 * exact.norm() + 1e-14 * whole  # some are exactly 0 at length 1


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_at_the_size_of_the_report(cell):
    model, data = adder(cell, layers=3), digits(200, 101)
    _, *gradients = by_bptt(bptt.BPTT(model), *data)
    for gradient, exact in zip(gradients, by_autograd(model, *data)[1], strict=True):
        assert (gradient - exact).norm() <= 1e-10 * exact.norm()


@pytest.mark.parametrize("cell", CELLS)
def test_a_run_has_the_losses_of_a_run_by_autograd(cell):
    config = addrnn.Config(digit_len=6, cell=cell, layers=3, hidden=32, batch_size=50, lr=3e-3, batches=200,
                           test_batch_size=10, eval_every=200)
    losses = []
    for gradients in ("bptt", "autograd"):
        training = addrnn.Training(config, gradients=gradients)
        for _ in range(config.batches):
            training.step()
        losses.append(training.run.loss)
    assert losses[0][-1] < losses[0][0] / 1.2  # it learns
    assert np.abs(np.subtract(*losses)).max() <= 1e-3


@pytest.mark.parametrize("cell", CELLS)
def test_buffers_never_leak_from_one_shape_or_type_to_the_next(cell):
    model = adder(cell, layers=3, hidden=8)
    compute = bptt.BPTT(model)
    for batch, length in ((5, 30), (2, 300), (5, 30), (5, 1), (7, 31), (1, 5)):
        data = digits(batch, length)
        assert same_bits(by_bptt(compute, *data), by_bptt(bptt.BPTT(model), *data))
        assert torch.equal(compute.predict(*data[:2]), bptt.BPTT(model).predict(*data[:2]))
    model.float()  # and the shape of the last
    assert same_bits(by_bptt(compute, *data), by_bptt(bptt.BPTT(model), *data))


@pytest.mark.parametrize("cell", CELLS)
def test_two_models_trained_in_turn_do_not_disturb_each_other(cell):
    def trained(model, compute, step):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for k in range(5):
            compute(*digits(4, 9, seed=k))
            optimizer.step()
            step()
        return list(model.parameters())

    models = [adder(cell, hidden=8, seed=seed) for seed in (1, 2)]
    alone = [trained(m, bptt.BPTT(m), lambda: None) for m in copy.deepcopy(models)]
    computes = [bptt.BPTT(m) for m in models]
    other = torch.optim.Adam(models[1].parameters(), lr=0.01)
    turns = iter(range(5))

    def step_of_other():
        computes[1](*digits(4, 9, seed=next(turns)))
        other.step()

    assert same_bits(trained(models[0], computes[0], step_of_other), alone[0])
    assert same_bits(models[1].parameters(), alone[1])


def test_new_weights_count_from_the_next_call():
    model, other, data = adder("GRU"), adder("GRU", seed=1), digits(3, 20)
    compute = bptt.BPTT(model)
    compute(*data)
    model.load_state_dict(other.state_dict())
    assert same_bits(by_bptt(compute, *data), by_bptt(bptt.BPTT(other), *data))
    assert torch.equal(compute.predict(*data[:2]), bptt.BPTT(other).predict(*data[:2]))


def test_gradients_are_overwritten_and_laid_out_as_the_weights():
    model, data = adder("LSTM"), digits(3, 20)
    compute = bptt.BPTT(model)
    once = by_bptt(compute, *data)
    assert same_bits(once, by_bptt(compute, *data))
    assert all(p.grad.stride() == p.stride() for p in model.parameters())  # a fused optimizer relies on it


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_recomputed_segments_give_the_bits_of_kept_ones(cell, dtype):
    model, data = adder(cell, layers=3, dtype=dtype, hidden=8), digits(2, 1000)
    kept, recomputed = bptt.BPTT(model), bptt.BPTT(model, kept_bytes=200 * 2 * 3 * 8 * 8)
    assert same_bits(by_bptt(kept, *data), by_bptt(recomputed, *data))
    assert recomputed.training["s"].numel() < kept.training["s"].numel() / 2


@pytest.mark.parametrize("cell", CELLS)
def test_predicted_digits_are_the_most_likely_ones(cell):
    for layers, batch, length in ((1, 1, 1), (3, 7, 2), (4, 3, 300)):
        model, (num1, num2, _) = adder(cell, layers=layers, hidden=16), digits(batch, length)
        assert torch.equal(bptt.BPTT(model).predict(num1, num2), model(num1, num2).argmax(2))


def test_prediction_keeps_no_more_states_of_a_longer_number():
    kept = []
    for length in (1000, 3000):
        compute = bptt.BPTT(adder("LSTM"))
        compute.predict(*digits(1, length)[:2])
        kept.append(sum(t.nbytes for name, t in compute.predicting.items() if name != "pairs"))
    assert kept[0] == kept[1]


@pytest.mark.parametrize("cell", CELLS)
def test_weights_that_are_not_finite_give_a_loss_that_is_not_finite(cell):
    model, data = adder(cell), digits(3, 20)
    with torch.no_grad():
        model.rnn.weight_hh_l0[0, 0] = torch.nan
    assert not bptt.BPTT(model)(*data).isfinite()
