"""The engine: exact gradients, the same bits with any number of threads and on every processor."""

import copy
import functools
import os
import pickle
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
from torch import nn
from torch.nn.utils import parametrizations, prune

import addrnn
from addlab import engine
from addlab.engine import functions, lanes, parameters, products
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


# Which models are served

class Renamed(Adder):
    """A subclass that computes the same."""


class Silent(Adder):
    def forward(self, num1, num2):
        return 0 * super().forward(num1, num2)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def changed(change, **settings):
    model = adder(**{"layers": 2, "hidden": 20} | settings)
    change(model)
    return model


def double_rnn(model):
    class Own(nn.RNN):
        def forward(self, *arguments):
            states, last = super().forward(*arguments)
            return 2 * states, last
    model.rnn = Own(64, 20, 2)


OTHERS = {
    "another forward": lambda: Silent(Config(layers=1)),
    "no adder": lambda: nn.Linear(2, 2),
    "no model": lambda: None,
    "another layer": lambda: changed(lambda m: setattr(m, "dense", Doubled(20, 10))),
    "another cell": lambda: changed(double_rnn),
    "ReLU": lambda: changed(lambda m: setattr(m, "rnn", nn.RNN(64, 20, 2, nonlinearity="relu"))),
    "both directions": lambda: changed(lambda m: setattr(m, "rnn", nn.GRU(64, 10, 2, bidirectional=True))),
    "batch first": lambda: changed(lambda m: setattr(m, "rnn", nn.LSTM(64, 20, 2, batch_first=True))),
    "projection": lambda: changed(lambda m: setattr(m, "rnn", nn.LSTM(64, 30, 2, proj_size=20))),
    "no biases": lambda: changed(lambda m: setattr(m, "rnn", nn.RNN(64, 20, 2, bias=False))),
    "dropout": lambda: changed(lambda m: setattr(m.rnn, "dropout", 0.5)),
    "no bias": lambda: changed(lambda m: setattr(m, "dense", nn.Linear(20, 10, bias=False))),
    "eleven outputs": lambda: changed(lambda m: setattr(m, "dense", nn.Linear(20, 11))),
    "another width": lambda: changed(lambda m: setattr(m, "dense", nn.Linear(21, 10))),
    "eleven digits": lambda: changed(lambda m: setattr(m, "embed_layer", nn.Embedding(11, 32))),
    "padding": lambda: changed(lambda m: setattr(m, "embed_layer", nn.Embedding(10, 32, padding_idx=0))),
    "a largest norm": lambda: changed(lambda m: setattr(m, "embed_layer", nn.Embedding(10, 32, max_norm=0.1))),
    "no dense layer": lambda: changed(lambda m: setattr(m, "dense", None)),
    "a parameter more": lambda: changed(lambda m: setattr(m, "scale", nn.Parameter(torch.ones(1)))),
    "a layer more": lambda: changed(lambda m: setattr(m, "more", nn.Linear(2, 2))),
    "a hook": lambda: changed(lambda m: m.rnn.register_forward_hook(lambda *_: None)),
    "a hook before": lambda: changed(lambda m: m.register_forward_pre_hook(lambda *_: None)),
    "a hook of gradients": lambda: changed(lambda m: m.dense.weight.register_hook(lambda g: 2 * g)),
    "a forward of its own": lambda: changed(lambda m: setattr(m.dense, "forward", torch.tanh)),
    "pruned": lambda: changed(lambda m: prune.l1_unstructured(m.rnn, "weight_hh_l0", 0.5)),
    "weight norm": lambda: changed(lambda m: parametrizations.weight_norm(m.dense)),
    "tied weights": lambda: changed(lambda m: setattr(m.rnn, "weight_hh_l1", m.rnn.weight_hh_l0)),
    "double": lambda: adder().double(),
    "half": lambda: adder().half(),
    "no memory": lambda: adder().to("meta"),
    "one column of a matrix": lambda: changed(lambda m: setattr(m.dense.weight, "data", torch.ones(20, 10).T)),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_plain_adder_is_not_served(other):
    model, two = OTHERS[other](), np.zeros((2, 3), np.int64)
    assert not engine.supports(model)
    for refused in (engine.predict, engine.logits, engine.states, functools.partial(engine.gradients, total=two)):
        with pytest.raises(ValueError, match=r"^model: got [^\n]+, allowed is what addlab.engine.supports$"):
            refused(model, num1=two, num2=two)


def test_a_hook_of_all_modules_is_seen():
    with_hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert not engine.supports(adder())
    finally:
        with_hook.remove()
    assert engine.supports(adder())


@pytest.mark.parametrize("plain", [
    lambda: Renamed(Config()), lambda: adder(cell="LSTM", layers=4, hidden=3), lambda: copy.deepcopy(adder()),
    lambda: pickle.loads(pickle.dumps(adder(cell="GRU"))), lambda: changed(lambda m: m.dense.requires_grad_(False)),
    lambda: changed(lambda m: setattr(m.rnn, "dropout", 0.5)).eval(), lambda: torch.nn.Module.train(adder())])
def test_a_plain_adder_is_served(plain):
    model, batch = plain(), list(digits(np.random.default_rng(0), 4, 6))
    assert engine.supports(model)
    exact = model(*batch[:2]).argmax(2).numpy()
    assert (engine.predict(model, *batch[:2]) == exact).all()


def test_what_is_frozen_is_left_alone():
    model, twin, batch = adder(layers=2), adder(layers=2), list(digits(np.random.default_rng(0), 20, 6))
    frozen = [model.embed_layer.weight, model.rnn.bias_hh_l1]
    for p in frozen:
        p.requires_grad_(False)
    before = [p.clone() for p in frozen]
    adam, other = (engine.Adam(m.parameters(), 0.1) for m in (model, twin))
    for m, optimizer in ((model, adam), (twin, other)):
        engine.gradients(m, *batch)
        optimizer.step()
    assert all(p.grad is None and p.equal(old) for p, old in zip(frozen, before, strict=True))
    free = [(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True) if p.requires_grad]
    assert len(free) == 9 and all(p.equal(q) for p, q in free)


@pytest.mark.parametrize("go_on", [
    lambda model, adam: copy.deepcopy((model, adam)), lambda model, adam: pickle.loads(pickle.dumps((model, adam))),
    lambda model, adam: (model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True), (model, adam))[1]])
def test_a_model_that_was_copied_or_loaded_is_the_one_that_learns(go_on):
    batches = [list(digits(np.random.default_rng(i), 20, 6)) for i in range(6)]

    def learned(between):
        model = adder(layers=1)
        adam = engine.Adam(model.parameters, 0.01)
        for i, batch in enumerate(batches):
            if i == 3:
                model, adam = between(model, adam)
            engine.gradients(model, *batch)
            adam.step()
        return b"".join(p.detach().numpy().tobytes() for p in model.parameters())

    assert learned(go_on) == learned(lambda *both: both)


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


EVERYWHERE = [  # RNN, LSTM, GRU
    "c6bdd66aded9062374ff218384defa2c15bb1b49ff8dc5b4bac4939542de0da0",
    "f9dcffff4cf8d5966862181f31ee78ff75cb274893390a772c2ce437135f5851",
    "9a34fe34a3973d11c82d9b39ecc592e853f013c386fe0cf7cdbd6d7f5970c7d0",
]


def test_30_batches_of_each_cell_have_the_bits_that_every_machine_has():
    """These digests change only with engine.VERSION: then all records are made anew."""
    assert engine.VERSION == 1
    assert child(DIGEST).split() == EVERYWHERE


def test_a_folder_that_cannot_be_written_is_no_error():
    code = "import addrnn; print(addrnn.train(addrnn.Config(batches=2)).loss)"
    assert child(code, NUMBA_CACHE_DIR="/proc/nothing") == child(code)


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
                                 np.zeros((0, 3))])
def test_digits_that_are_none_are_refused(bad):
    model, good = adder(layers=1), np.zeros((2, 3))
    with pytest.raises(ValueError, match="digits: got"):
        engine.predict(model, bad, good)
    with pytest.raises(ValueError, match="digits: got"):
        engine.gradients(model, good, good, bad)
