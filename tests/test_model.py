"""The model, its training and its evaluation."""

import dataclasses

import numpy as np
import pytest
import torch

import addrnn

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
def test_prediction_equals_the_largest_logit(cell):
    model = addrnn.Adder(addrnn.Config(cell=cell)).double()
    num1, num2, _ = addrnn.sample(3, 1000, np.random.default_rng(0))
    assert np.array_equal(model.predict(num1, num2), model(num1, num2).argmax(2).numpy())


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_state_carries_the_sequence_on(cell):
    model = addrnn.Adder(addrnn.Config(cell=cell)).double()
    num1, num2, _ = addrnn.sample(3, 20, np.random.default_rng(0))
    first, state = model(num1[:, :9], num2[:, :9], model.start(3))
    second, _ = model(num1[:, 9:], num2[:, 9:], state)
    assert torch.allclose(torch.cat((first, second), 1), model(num1, num2), atol=1e-12)


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
    num[0, 0, :9], num[1, 0, :5] = addrnn.to_digits(a), addrnn.to_digits(b)
    digits = trained(*num).argmax(2)[0].numpy()
    assert trained.add(a, b) == int("".join(map(str, digits[::-1])))


def test_add_takes_a_million_digits(trained):
    assert isinstance(trained.add("1" * 1_000_000, "2" * 999_999), int)


def test_same_config_gives_the_same_run_bit_for_bit():
    one, two = addrnn.train(SMALL), addrnn.train(SMALL)
    assert (one.loss, one.accuracy, one.digit_accuracy) == (two.loss, two.accuracy, two.digit_accuracy)
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
    assert len({x for draw in draws for x in draw}) == 12
    long = addrnn.Training(dataclasses.replace(SMALL, test_batch_size=5000))  # a larger test set …
    assert torch.equal(long.model.dense.weight, addrnn.Training(SMALL).model.dense.weight)
    long.step()
    other = addrnn.Training(SMALL)
    other.step()
    assert long.run.loss == other.run.loss  # … moves neither weights nor batches


def test_evaluating_more_often_changes_no_loss():
    often = addrnn.train(dataclasses.replace(SMALL, eval_every=1))
    assert often.loss == addrnn.train(SMALL).loss
    assert often.eval_batch == list(range(1, 31))
    assert addrnn.train(dataclasses.replace(SMALL, eval_every=20)).eval_batch == [20, 30]


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_both_gradients_give_the_same_run_to_rounding(cell):
    config = dataclasses.replace(SMALL, cell=cell)
    ours, reference = addrnn.train(config), addrnn.train(config, gradients="autograd")
    assert ours.gradients == "bptt" and reference.gradients == "autograd"
    assert np.allclose(ours.loss, reference.loss, atol=1e-3)


def test_divergence_ends_the_run_and_keeps_what_was_measured():
    run = addrnn.train(dataclasses.replace(SMALL, lr=1e38))
    assert run.diverged and not np.isfinite(run.loss[-1])
    assert 1 < len(run.loss) < SMALL.batches and np.isfinite(run.loss[:-1]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_cuda_trains_the_same_run_within_rounding():
    run = addrnn.train(SMALL, device="cuda")
    assert run.gradients == "autograd" and np.allclose(run.loss, addrnn.train(SMALL).loss, atol=1e-2)
