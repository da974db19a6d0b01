"""Noise on the state in training: the gradients that torch gives with the same noise, and numbers that are normal."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from test_engine import CELLS, SIZES, adder, digits, gradients
from torch import nn

from addlab import engine

STEPS = {"RNN": torch.rnn_tanh_cell, "LSTM": torch.lstm_cell, "GRU": torch.gru_cell}


def loss_with_noise(model, num1, num2, total, noise):
    """The cross-entropy by torch, a cell at a time: a column reads the state before with noise, a layer without."""
    below = torch.cat([model.embed_layer(torch.as_tensor(n)) for n in (num1, num2)], dim=2)
    layers, lstm = model.rnn.num_layers, model.config.cell == "LSTM"
    for layer in range(layers):
        weights = [getattr(model.rnn, f"{name}_l{layer}") for name in
                   ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        h, c, shown = *torch.zeros(2, len(num1), model.rnn.hidden_size, dtype=torch.float64), []
        for t in range(num1.shape[1]):
            after = STEPS[model.config.cell](below[:, t], (h, c) if lstm else h, *weights)
            after, c = after if lstm else (after, c)
            shown.append(after)
            h = after + noise[layer, t]
            c = c + noise[layers + layer, t] if lstm else c
        below = torch.stack(shown, dim=1)
    return nn.functional.cross_entropy(model.dense(below).flatten(0, 1), torch.as_tensor(total).flatten())


@settings(max_examples=25)
@given(cell=CELLS, layers=st.integers(1, 2), hidden=SIZES, count=st.integers(1, 30), columns=st.integers(1, 50),
       kept_bytes=st.sampled_from([1, 2**30]), seed=st.integers(0, 99))
@example(cell="LSTM", layers=2, hidden=20, count=13, columns=41, kept_bytes=1, seed=0)
@example(cell="GRU", layers=2, hidden=20, count=13, columns=41, kept_bytes=1, seed=0)
@example(cell="RNN", layers=2, hidden=20, count=13, columns=90, kept_bytes=1, seed=0)
def test_gradients_with_noise_equal_autograd_in_float64(cell, layers, hidden, count, columns, kept_bytes, seed):
    model, rng = adder(cell=cell, layers=layers, hidden=hidden, seed=seed), np.random.default_rng(seed)
    batch, noise = list(digits(rng, count, columns)), engine.draw_noise(rng, model, count, columns, 0.7)
    loss, _ = engine.gradients(model, *batch, noise, kept_bytes=kept_bytes)
    ours = [p.grad.double() for p in model.parameters()]
    model.double().zero_grad()
    exact = loss_with_noise(model, *batch, torch.as_tensor(noise, dtype=torch.float64))
    exact.backward()
    assert abs(loss - exact.item()) < 1e-5
    largest = max(p.grad.abs().max() for p in model.parameters())
    for mine, p in zip(ours, model.parameters(), strict=True):
        assert (mine - p.grad).abs().max() <= 2e-5 * p.grad.abs().max() + 5e-7 * largest


def test_noise_of_zeros_changes_no_bit_and_another_shape_is_refused():
    for cell in ("RNN", "LSTM", "GRU"):
        model, batch = adder(cell=cell, layers=2, hidden=20), list(digits(np.random.default_rng(0), 14, 60))
        noise = engine.draw_noise(np.random.default_rng(0), model, 14, 60, 0.0)
        assert noise.shape == ((4 if cell == "LSTM" else 2), 60, 14, 20) and not noise.any()
        assert gradients(model, *batch, noise) == gradients(model, *batch)
        with pytest.raises(ValueError, match=r"^noise: got shape \(.*\), allowed is \(.*\)$"):
            engine.gradients(model, *batch, noise[:, 1:])


def test_noise_is_normal_and_of_one_stream():
    model = adder(layers=2)
    noise = engine.draw_noise(np.random.default_rng(0), model, 200, 50, 2.0) / 2
    assert noise.dtype == np.float32 and noise.size == 1_280_000
    assert (noise == engine.draw_noise(np.random.default_rng(0), model, 200, 50, 1.0)).all()
    limits, ordered = np.linspace(-4.5, 4.5, 19), np.sort(noise, axis=None)
    exact = np.array([0.5 * math.erfc(-limit / math.sqrt(2)) for limit in limits])
    shares = np.searchsorted(ordered, limits) / noise.size
    assert (np.abs(shares - exact) < 4 * np.sqrt(exact * (1 - exact) / noise.size) + 1e-6).all()
    flat = noise.ravel()
    for distance in (1, 16, 17, 32, 64):
        for one, other in ((flat[:-distance], flat[distance:]), (flat[:-distance] ** 2, flat[distance:] ** 2)):
            assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(noise.size)
