"""The engine: exact gradients, the same bits with any number of threads and on every processor."""

import copy
import math
import os
import subprocess
import sys
import textwrap

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import example, given, settings
from numba import njit

import addrnn
from addlab import engine
from addlab.engine import bptt, functions, lanes, parameters, products
from addrnn import Adder, Config

CELLS = st.sampled_from(["RNN", "LSTM", "GRU"])
SIZES = st.sampled_from([1, 2, 7, 30, 64, 100])


def digits(rng, count, columns):
    return (rng.integers(0, 10, (count, columns)) for _ in range(3))


def adder(**settings):
    return Adder(Config(**settings))


def gradients(model, *batch, **options):
    """Loss, accuracy and the gradients, as bytes."""
    loss, accuracy = engine.gradients(model, *batch, **options)
    return loss, accuracy, [p.grad.numpy().tobytes() for p in model.parameters()]


# Gradients and logits against torch

@settings(max_examples=40)
@given(cell=CELLS, layers=st.integers(1, 5), hidden=SIZES, embedding=st.integers(1, 20), count=st.integers(1, 30),
       columns=st.integers(1, 50), seed=st.integers(0, 99))
@example(cell="LSTM", layers=5, hidden=2, embedding=1, count=1, columns=1, seed=0)
@example(cell="GRU", layers=2, hidden=64, embedding=32, count=13, columns=70, seed=1)
@example(cell="RNN", layers=3, hidden=64, embedding=32, count=25, columns=100, seed=2)
def test_gradients_equal_autograd_in_float64(cell, layers, hidden, embedding, count, columns, seed):
    model = adder(cell=cell, layers=layers, hidden=hidden, embedding=embedding, seed=seed)
    batch = list(digits(np.random.default_rng(seed), count, columns))
    loss, accuracy = engine.gradients(model, *batch)
    logits, _ = engine.logits(model, *batch[:2])
    said = engine.predict(model, *batch[:2])
    ours = [p.grad.double() for p in model.parameters()]
    exact_loss, exact_accuracy = addrnn.autograd(model.double(), *batch)
    assert abs(loss - exact_loss) < 1e-5
    assert accuracy == exact_accuracy
    largest = max(p.grad.abs().max() for p in model.parameters())
    for mine, p in zip(ours, model.parameters(), strict=True):  # where terms cancel, their rounding in float32 remains
        assert (mine - p.grad).abs().max() <= 1e-5 * p.grad.abs().max() + 3e-7 * largest
    exact = model(*batch[:2]).detach().numpy()
    assert np.abs(logits - exact).max() < 1e-5
    assert (said == logits.argmax(axis=2)).all()


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_losses_follow_autograd_over_200_batches(cell):
    config = Config(digit_len=5, cell=cell, layers=2, batches=200, batch_size=50)
    ours = addrnn.train(config).loss
    model, rng, theirs = Adder(config), addrnn.streams(0)[1], []
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    for _ in range(200):
        loss, _ = addrnn.autograd(model, *addrnn.sample(50, 5, rng))
        theirs.append(loss)
        optimizer.step()
    assert np.abs(np.array(ours) - theirs).max() < 1e-4


def test_a_small_loss_is_exact_to_its_own_last_digits():
    model = adder(layers=1, hidden=4)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.dense.bias[3] = 20.0  # always says 3, with a loss of 9 e^-20
    three = np.full((5, 4), 3)
    loss, accuracy = engine.gradients(model, three, three, three)
    assert loss == pytest.approx(np.log1p(9 * np.exp(-20.0)), rel=1e-6) and accuracy == 1
    four = np.full((5, 4), 4)
    with torch.no_grad():
        model.dense.bias[3] = 1e9
    loss, accuracy = engine.gradients(model, four, four, four)
    assert loss == pytest.approx(1e9) and accuracy == 0


def test_a_state_goes_on_where_it_was_left():
    for cell in ("RNN", "LSTM", "GRU"):
        model = adder(cell=cell, layers=2, hidden=20)
        num1, num2, _ = digits(np.random.default_rng(0), 14, 60)
        whole, after = engine.logits(model, num1, num2)
        first, state = engine.logits(model, num1[:, :23], num2[:, :23])
        rest, end = engine.logits(model, num1[:, 23:], num2[:, 23:], state)
        assert np.concatenate((first, rest), axis=1).tobytes() == whole.tobytes()
        assert np.array(end).tobytes() == np.array(after).tobytes()


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_states_are_those_that_torch_goes_through(cell):
    model = adder(cell=cell, layers=2, hidden=20)
    num1, num2, _ = digits(np.random.default_rng(0), 14, 70)
    found, after = engine.states(model, num1, num2), engine.logits(model, num1, num2)[1]
    assert np.array(found)[..., -1, :].tobytes() == np.array(after).tobytes()
    double, state = copy.deepcopy(model).double(), None
    for column in range(70):
        pair = torch.cat([double.embed_layer(torch.as_tensor(n[:, column])) for n in (num1, num2)], dim=1)
        _, state = double.rnn(pair[None], state)
        exact = torch.stack(state) if cell == "LSTM" else state
        assert np.abs(np.array(found)[..., column, :] - exact.detach().numpy()).max() < 1e-5


# The same bits

@settings(max_examples=15)
@given(cell=CELLS, layers=st.integers(1, 3), hidden=SIZES, count=st.integers(1, 60), columns=st.integers(1, 80))
def test_threads_and_recomputed_segments_change_no_bit(cell, layers, hidden, count, columns):
    model = adder(cell=cell, layers=layers, hidden=hidden)
    batch = list(digits(np.random.default_rng(0), count, columns))
    alone = gradients(model, *batch)
    assert gradients(model, *batch, kept_bytes=1) == alone
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            assert gradients(model, *batch) == alone
    finally:
        torch.set_num_threads(1)


def test_torchs_default_dtype_changes_no_bit():
    def bits():
        model = adder(layers=2, hidden=20).float()
        adam, rng = engine.Adam(model.parameters(), 0.01), np.random.default_rng(0)
        for _ in range(3):
            found = gradients(model, *digits(rng, 20, 6), engine.draw_noise(rng, model, 20, 6, 0.5))
            adam.step()
        return found, adam.state_dict()["m.0"].numpy().tobytes()

    right = bits()
    torch.set_default_dtype(torch.float64)
    try:
        assert bits() == right
    finally:
        torch.set_default_dtype(torch.float32)


def test_two_models_in_turn_do_not_disturb_each_other():
    models = [adder(cell=cell, digit_len=5, seed=seed) for cell in ("RNN", "GRU") for seed in (0, 1)]
    batches = [list(digits(np.random.default_rng(i), 30, 40)) for i in range(4)]
    alone = [gradients(model, *batch) for model, batch in zip(models, batches, strict=True)]
    for _ in range(2):
        for model, batch, right in zip(models, batches, alone, strict=True):
            assert gradients(model, *batch) == right


DIGEST = textwrap.dedent("""
    import hashlib, addrnn
    from addlab import engine
    for cell in ("RNN", "LSTM", "GRU"):
        config = addrnn.Config(digit_len=6, cell=cell, layers=2, hidden=24, embedding=5, batches=30, batch_size=29)
        run = addrnn.train(config)
        weights = b"".join(p.detach().numpy().tobytes() for p in run.model.parameters())
        logits, _ = engine.logits(run.model, *addrnn.sample(20, 50, addrnn.streams(7)[2])[:2])
        facts = repr((run.loss, run.batch_accuracy, run.accuracy)).encode()
        print(hashlib.sha256(weights + logits.tobytes() + facts).hexdigest())
    noise = engine.draw_noise(addrnn.streams(8)[2], run.model, 29, 7, 1.0)
    engine.gradients(run.model, *addrnn.sample(29, 6, addrnn.streams(8)[1]), noise)
    gradients = b"".join(p.grad.numpy().tobytes() for p in run.model.parameters())
    print(hashlib.sha256(noise.tobytes() + gradients).hexdigest())
""")
TARGETS = {
    "AVX2": {"NUMBA_CPU_NAME": "haswell",
             "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+sse4.2,+bmi,+bmi2,+f16c,+popcnt,+lzcnt"},
    "SSE2": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"},
}


def child(code, **environment):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"} | environment).stdout


@pytest.mark.skipif(not any(name in os.uname().machine for name in ("x86_64", "i686")),
                    reason="this processor runs no code for AVX2 and SSE2")
@pytest.mark.parametrize("target", TARGETS)
def test_30_batches_of_each_cell_have_the_same_bits_compiled_for_other_processors(target, tmp_path):
    assert child(DIGEST, NUMBA_CACHE_DIR=str(tmp_path), **TARGETS[target]) == child(DIGEST)


EVERYWHERE = [  # RNN, LSTM, GRU; a batch with noise
    "c6bdd66aded9062374ff218384defa2c15bb1b49ff8dc5b4bac4939542de0da0",
    "f9dcffff4cf8d5966862181f31ee78ff75cb274893390a772c2ce437135f5851",
    "9a34fe34a3973d11c82d9b39ecc592e853f013c386fe0cf7cdbd6d7f5970c7d0",
    "161a7630f7a9c9e4c7a987936df749b0985f3e9c66cf73005c6ffa478db44926",
]


def test_30_batches_of_each_cell_have_the_bits_that_every_machine_has():
    """These digests change only with engine.VERSION: then all records are made anew."""
    assert engine.VERSION == 1
    assert child(DIGEST).split() == EVERYWHERE


def test_a_folder_that_cannot_be_written_is_no_error():
    code = "import addrnn; print(addrnn.train(addrnn.Config(batches=2)).loss)"
    assert child(code, NUMBA_CACHE_DIR="/proc/nothing") == child(code)


def test_all_that_is_ever_compiled_is_compiled_by_prepare():
    model, adam = adder(cell="LSTM", hidden=20), engine.Adam(adder().parameters(), 0.01)
    fixed = np.zeros((3, 14, 6), np.int8), np.broadcast_to(np.float32(1), (6, 6, 14, 20)), np.ones((3, 14, 6), int)
    fixed[2].setflags(write=False)
    for batch in (fixed[0], fixed[2]):
        engine.gradients(model, *batch)
        engine.gradients(model, *batch, fixed[1])
        engine.states(model, *batch[:2], engine.logits(model, *batch[:2])[1])
        engine.predict(model, batch[0].T.copy().T, torch.as_tensor(fixed[0][0]))
    for p in adam.parameters:
        p.grad = torch.ones_like(p)
    adam.step()
    kernels = bptt.train, bptt.predict, bptt.fill_table, bptt.join, parameters.update, parameters.to_normal
    assert [len(kernel.compiled.signatures) for kernel in kernels] == [1] * 6


# Parts

def function_values(function, x):
    @njit(**lanes.OPTIONS)
    def over(x, y):
        source, target = lanes.address(x, 0), lanes.address(y, 0)
        for i in range(0, len(x), lanes.WIDTH):
            lanes.store(target, i, function(lanes.load(source, i)))

    y = np.empty_like(x)
    over(x, y)
    return y


def floats(low, high, step=61):
    """Every step-th float32 from low up to high."""
    low, high = (int(np.float32(x).view(np.int32)) for x in (low, high))
    numbers = np.arange(low, high, step, dtype=np.int32).view(np.float32)
    return numbers[: len(numbers) // 16 * 16].copy()


def test_tanh_and_sigmoid_are_as_near_as_they_say():
    x = floats(2.0**-30, 32.0)
    tanh = function_values(functions.tanh, x)
    exact = np.tanh(x.astype(float))
    assert (np.abs(tanh - exact) <= functions.TANH_ERROR * exact).all() and tanh.max() <= 1
    assert (function_values(functions.tanh, -x) == -tanh).all()
    for side in (x, -x):
        exact = 1 / (1 + np.exp(-side.astype(float)))
        assert np.abs(function_values(functions.sigmoid, side) - exact).max() < functions.SIGMOID_ERROR


def test_exp_and_log1p_are_good_to_the_last_digits():
    x = np.concatenate((floats(2.0**-30, 60.0), -floats(2.0**-30, 60.0)))
    exact = np.exp(x.astype(float))
    assert (np.abs(function_values(functions.exp, x) - exact) < 2e-7 * exact).all()
    x = floats(2.0**-60, 2.0**90)
    exact = np.log1p(x.astype(float))
    assert (np.abs(function_values(functions.log1p, x) - exact) < 2e-7 * exact).all()


def test_what_is_not_a_number_stays_so():
    nan = np.full(16, np.nan, np.float32)
    assert np.isnan(function_values(functions.tanh, nan)).all() and np.isnan(function_values(functions.exp, nan)).all()


def test_tiny_gradients_are_flushed_before_they_become_denormal():
    x = np.array([2.0**-101, -(2.0**-101), 2.0**-99, -(2.0**-99), 1e-44, 1, 0, -5] * 2, np.float32)
    assert function_values(lanes.flush, x)[:8].tolist() == [0, 0, 2.0**-99, -(2.0**-99), 0, 1, 0, -5]


def test_sin_cos_and_log_are_good_to_the_last_digits():
    x = floats(2.0**-30, math.pi / 4)
    for function, exact in ((functions.sin, np.sin), (functions.cos, np.cos)):
        assert (np.abs(function_values(function, x) - exact(x.astype(float))) < 2e-7 * exact(x.astype(float))).all()
    x = np.concatenate((floats(2.0**-30, 0.9), floats(1.1, 2.0**30)))
    assert (np.abs(function_values(functions.log, x) - np.log(x.astype(float))) < 2e-7 * np.abs(np.log(x))).all()
    near = floats(0.9, 1.1)
    assert np.abs(function_values(functions.log, near) - np.log(near.astype(float))).max() < 2e-8


@settings(max_examples=30)
@given(rows=st.integers(1, 15), vectors=st.integers(1, 11), steps=st.integers(0, 40))
def test_a_product_is_what_numpy_says(rows, vectors, steps):
    @njit(**lanes.OPTIONS)
    def product(out, a, w, rows, columns, steps):
        here = lanes.address(out, 0)
        products.multiply(here, columns, here, columns, lanes.address(a, 0), steps, 1, lanes.address(w, 0), columns,
                          rows, columns, steps)

    rng, rows, columns = np.random.default_rng(0), 2 * rows, 16 * vectors
    out, a, w = (rng.normal(size=size).astype(np.float32)
                 for size in ((rows, columns), (rows, steps), (steps, columns)))
    exact = out.astype(float) + a.astype(float) @ w.astype(float)
    product(out.reshape(-1), np.append(a, np.float32(0)), np.append(w, np.float32(0)), rows, columns, steps)
    assert np.abs(out - exact).max() < 1e-4


def test_adam_is_torchs():
    model, twin = adder(hidden=9), adder(hidden=9)
    ours, theirs = parameters.Adam(model.parameters(), 0.01), torch.optim.Adam(twin.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    for _ in range(50):
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            p.grad = torch.from_numpy(rng.normal(size=p.shape).astype(np.float32))
            q.grad = p.grad.clone()
        ours.step()
        theirs.step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-5)


def test_first_weights_have_torchs_distributions():
    model = adder(hidden=100, embedding=400, layers=2)
    embedding = model.embed_layer.weight.detach().numpy().ravel()
    assert abs(embedding.mean()) < 0.06 and abs(embedding.std() - 1) < 0.04
    inside = np.abs(embedding[:, None]) < [0.5, 1, 2]
    assert np.abs(inside.mean(0) - [0.383, 0.683, 0.954]).max() < 0.03
    for name, p in model.named_parameters():
        if name != "embed_layer.weight":
            assert p.abs().max() <= 0.1 and (p.numel() < 1000 or p.abs().max() > 0.099)
            assert p.numel() < 1000 or abs(p.std().item() - 0.1 / 3**0.5) < 0.1 / p.numel() ** 0.5


def test_the_polar_methods_logarithm_is_exact():
    x = np.exp(np.random.default_rng(0).uniform(-50, 0, 10_000))
    assert np.abs(parameters.logarithm(x) - np.log(x)).max() < 1e-14


@pytest.mark.parametrize("bad", [np.full((2, 3), 10), np.full((2, 3), -1), np.zeros((2, 4)), np.zeros(3),
                                 np.zeros((0, 3)), np.full((2, 3), 3.7), np.full((2, 3), np.nan)])
def test_digits_that_are_none_are_refused(bad):
    model, good = adder(layers=1), np.zeros((2, 3))
    with pytest.raises(ValueError, match="digits: got"):
        engine.predict(model, bad, good)
    with pytest.raises(ValueError, match="digits: got"):
        engine.gradients(model, good, good, bad)
