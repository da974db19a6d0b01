"""The model, its training and its evaluation."""

import dataclasses

import numpy as np
import pytest
import torch

import addrnn
from addlab.inputs import to_digits

SMALL = addrnn.Config(digit_len=5, batches=30, eval_every=10, batch_size=20, test_batch_size=50)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("layers", [1, 3])
def test_shapes_are_those_of_the_original(cell, layers):
    model = addrnn.Adder(addrnn.Config(cell=cell, layers=layers))
    num1, num2, _ = addrnn.sample(200, 10, np.random.default_rng(0))
    assert model.embed_layer.weight.shape == (10, 32)
    assert type(model.rnn).__name__ == cell and model.rnn.num_layers == layers
    assert model.rnn.input_size == model.rnn.hidden_size == 64
    assert model.dense.weight.shape == (10, 64)
    assert model(num1, num2).shape == (200, 11, 10)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_prediction_is_the_largest_logit(cell):
    model = addrnn.Adder(addrnn.Config(cell=cell))
    num1, num2, _ = addrnn.sample(3, 300, np.random.default_rng(0))
    with torch.no_grad():
        logits = model.double()(num1, num2).numpy()
    best = np.take_along_axis(logits, model.float().predict(num1, num2)[..., None], 2)[..., 0]
    assert (best > logits.max(2) - 1e-4).all()  # of two that are level to rounding either may be said


def test_evaluation_counts_whole_sums_and_digits():
    model = addrnn.Adder(SMALL)
    num1, num2, total = addrnn.sample(40, 5, np.random.default_rng(0))
    said = model.predict(num1, num2)
    assert addrnn.evaluate(model, num1, num2, said) == (1.0, 1.0)
    said[:10, 2] += 1
    assert addrnn.evaluate(model, num1, num2, said) == (0.75, 1 - 10 / 240)
    assert addrnn.evaluate(model, num1, num2, total)[0] < 0.1  # untrained


@pytest.fixture(scope="module")
def trained():
    return addrnn.train(addrnn.Config(batches=300, eval_every=100)).model


def test_trained_model_adds_ints_and_strings(trained):
    rng = np.random.default_rng(5)
    right = 0
    for a, b in rng.integers(0, 10**10, (20, 2)).tolist():
        assert trained.add(a, b) == trained.add(str(a), str(b))
        right += trained.add(a, b) == a + b
    assert right >= 19


def test_add_says_what_forward_says_with_one_leading_position(trained):
    a, b = 987654321, 12345
    num = np.zeros((2, 1, 10), dtype=int)
    num[0, 0, :9], num[1, 0, :5] = to_digits(a), to_digits(b)
    digits = trained(*num).argmax(2)[0].tolist()
    assert trained.add(a, b) == int("".join(map(str, digits[::-1])))


WHOLE = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, ">i4", np.float32, object]
STRIDES = {"turned": lambda a: a[:, ::-1], "every other": lambda a: a[:, ::2], "by columns": np.asfortranarray,
           "one row": lambda a: np.broadcast_to(a[:1], (3, a.shape[1])), "a list": np.ndarray.tolist}


class Own(addrnn.Adder):
    """An adder that the engine does not serve."""

    def forward(self, num1, num2, noise=None):
        return super().forward(num1, num2, noise)


@pytest.mark.parametrize("kind", [addrnn.Adder, Own])
def test_forward_and_predict_take_whole_numbers_of_any_type_and_stride(kind, recwarn):
    model, digits = kind(SMALL), np.arange(24).reshape(3, 8) % 10
    fixed = digits.copy()
    fixed.flags.writeable = False
    given = [digits.astype(t) for t in WHOLE] + [take(digits) for take in STRIDES.values()] + [fixed]
    given += [torch.tensor(digits).to(t) for t in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.float64)]
    for numbers in given:
        plain = np.asarray(numbers).astype(np.int64)
        said = model(plain, plain).argmax(2).numpy()
        assert (model(numbers, numbers).argmax(2).numpy() == said).all()
        assert (model.predict(numbers, numbers) == said).all()
    assert not [str(warning.message) for warning in recwarn.list]


@pytest.mark.parametrize("kind", [addrnn.Adder, Own])
@pytest.mark.parametrize("numbers", [np.array([[3.7, 0]]), torch.tensor([[3.7, 0]]), [[3.7, 0]], np.array([[np.nan]])])
def test_what_is_no_whole_number_is_refused_not_cut(kind, numbers, recwarn):
    for call in (kind(SMALL).predict, kind(SMALL)):
        with pytest.raises(ValueError, match=r"^digits: got [^\n]+, allowed (are whole numbers|is 0 to 9)[^\n]*$"):
            call(numbers, numbers)
    assert not recwarn.list


@pytest.mark.parametrize("kind", [addrnn.Adder, Own])
def test_another_default_type_of_torchs_changes_no_run(kind):
    config = dataclasses.replace(SMALL, batches=3, noise=0.5)
    loss = addrnn.train(config, model=kind(config)).loss
    try:
        torch.set_default_dtype(torch.float64)
        assert addrnn.train(config, model=kind(config)).loss == loss
    finally:
        torch.set_default_dtype(torch.float32)


def test_add_takes_a_million_digits(trained):
    assert isinstance(trained.add("1" * 1_000_000, "2" * 999_999), int)


def test_same_config_gives_the_same_run_bit_for_bit():
    one, two = addrnn.train(SMALL), addrnn.train(SMALL)
    for curve in ("loss", "batch_accuracy", "accuracy", "digit_accuracy"):
        assert getattr(one, curve) == getattr(two, curve)
    assert all(torch.equal(x, y) for x, y in zip(one.model.parameters(), two.model.parameters(), strict=True))


def test_the_global_random_state_neither_matters_nor_changes():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = addrnn.train(SMALL).loss
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert addrnn.train(SMALL).loss == one


def test_seeds_give_different_runs():
    assert addrnn.train(SMALL).loss != addrnn.train(dataclasses.replace(SMALL, seed=1)).loss


def test_weights_batches_and_test_set_have_streams_of_their_own():
    draws = [stream.integers(2**60, size=4).tolist() for stream in addrnn.streams(7)]
    assert len({x for draw in draws for x in draw}) == 16
    long, other = addrnn.train(dataclasses.replace(SMALL, test_batch_size=500)), addrnn.train(SMALL)
    assert long.loss == other.loss  # a larger test set moves neither weights nor batches


def test_evaluating_more_often_changes_no_loss():
    often = addrnn.train(dataclasses.replace(SMALL, eval_every=1))
    assert often.loss == addrnn.train(SMALL).loss
    assert often.eval_batch == list(range(1, 31))
    assert addrnn.train(dataclasses.replace(SMALL, eval_every=20)).eval_batch == [20, 30]


def test_a_batchs_accuracy_is_that_of_the_model_before_its_update():
    training = addrnn.Training(SMALL)
    rng = addrnn.streams(SMALL.seed)[1]
    for batch in range(SMALL.batches):
        num1, num2, total = addrnn.sample(SMALL.batch_size, SMALL.digit_len, rng)
        accuracy, _ = addrnn.evaluate(training.model, num1, num2, total)
        training.step()
        assert training.run.batch_accuracy[batch] == accuracy


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_a_run_is_what_torch_makes_of_the_same_weights_and_batches(cell):
    config = dataclasses.replace(SMALL, cell=cell)
    model, rng, losses = addrnn.Adder(config), addrnn.streams(config.seed)[1], []
    optimizer = torch.optim.Adam(model.parameters(), config.lr)
    for _ in range(config.batches):
        loss, _ = addrnn.autograd(model, *addrnn.sample(config.batch_size, config.digit_len, rng))
        optimizer.step()
        losses.append(loss)
    assert np.allclose(addrnn.train(config).loss, losses, atol=1e-3)


def test_divergence_ends_the_run_and_keeps_what_was_measured():
    run = addrnn.train(dataclasses.replace(SMALL, lr=1e7))
    assert run.diverged and not run.loss[-1] < addrnn.DIVERGED
    assert 1 < len(run.loss) < SMALL.batches and max(run.loss[:-1]) < addrnn.DIVERGED
    assert len(run.batch_accuracy) == len(run.loss) and str(run).endswith(f"the loss is {run.loss[-1]}")


