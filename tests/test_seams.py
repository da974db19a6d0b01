"""The lesson has seams: another optimizer, schedule, task or model needs no change of any file."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import addrnn
from addlab import engine
from addrnn import Adder, Config, train

SMALL = Config(digit_len=4, layers=1, batches=20, batch_size=30, test_batch_size=20, eval_every=10)


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_an_optimizer_of_torch_trains_as_torch_alone_does():
    model, rng = Adder(SMALL), addrnn.streams(SMALL.seed)[1]
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(SMALL.batches):
        loss, _ = engine.gradients(model, *addrnn.sample(SMALL.batch_size, SMALL.digit_len, rng))
        sgd.step()
    run = train(SMALL, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    assert run.loss[-1] == loss and same_weights(run.model, model)


def test_a_schedule_is_called_after_every_batch():
    rates = []

    def optimizer(parameters):
        sgd = torch.optim.SGD(parameters, lr=1.0)
        schedule = torch.optim.lr_scheduler.StepLR(sgd, step_size=5, gamma=0.5)
        schedules.append((sgd, schedule))
        return sgd

    def on_batch(run):
        sgd, schedule = schedules[0]
        rates.append(sgd.param_groups[0]["lr"])
        schedule.step()

    schedules = []
    train(SMALL, optimizer=optimizer, on_batch=on_batch)
    assert rates == [1.0 * 0.5 ** (batch // 5) for batch in range(20)]


def test_what_on_batch_returns_may_end_the_run():
    run = train(SMALL, on_batch=lambda run: len(run.loss) == 7)
    assert len(run.loss) == 7 and run.loss == train(SMALL).loss[:7] and not run.done


def subtract(count, digit_len, rng):
    """Pairs of which the first is not below the second, and their differences."""
    num1, num2, _ = addrnn.sample(count, digit_len, rng)
    difference = np.zeros_like(num1)
    for row, (a, b) in enumerate(zip(num1, num2, strict=True)):
        a, b = (int("".join(map(str, digits[::-1]))) for digits in (a, b))
        texts = [f"{number:0{digit_len + 1}d}"[::-1] for number in (max(a, b), min(a, b), abs(a - b))]
        num1[row], num2[row], difference[row] = ([int(digit) for digit in text] for text in texts)
    return num1, num2, difference


def test_another_task_is_another_draw_of_batches():
    run = train(dataclasses.replace(SMALL, batches=400, lr=3e-3), data=subtract)
    assert run.accuracy[-1] > 0.9
    assert run.model.add(9000, 1) == 8999  # what it was taught


class Both(nn.Module):
    """Reads the most significant digit first, and back again: a bidirectional GRU, of no engine's making."""

    def __init__(self):
        super().__init__()
        self.digits, self.dense = nn.Embedding(10, 8), nn.Linear(64, 10)
        self.rnn = nn.GRU(16, 32, bidirectional=True, batch_first=True)

    def forward(self, num1, num2):
        pairs = torch.cat((self.digits(num1.flip(1)), self.digits(num2.flip(1))), dim=2)
        return self.dense(self.rnn(pairs)[0]).flip(1)


def test_any_module_with_these_logits_is_trained_by_autograd():
    torch.manual_seed(0)
    model = Both()
    assert not engine.supports(model)
    run = train(dataclasses.replace(SMALL, batches=300, lr=1e-2, batch_size=100), model=model)
    assert run.model is model and run.versions["torch"] == torch.__version__ and "engine" not in run.versions
    assert run.loss[-1] < 0.2 < 2 < run.loss[0]
    num1, num2, total = addrnn.sample(50, 4, np.random.default_rng(5))
    assert addrnn.evaluate(model, num1, num2, total)[1] == (addrnn.predict(model, num1, num2) == total).mean() > 0.9


class Zero(Adder):
    """A subclass whose forward says 0 to everything."""

    def forward(self, num1, num2):
        return super().forward(num1, num2) * 0 - torch.arange(10.0)


@pytest.mark.parametrize("change", ["forward", "hook", "relu", "bidirectional", "dropout", "weight_norm", "double"])
def test_code_is_never_ignored_for_weights(change):
    model = Zero(SMALL) if change == "forward" else Adder(SMALL)
    if change == "hook":
        model.rnn.register_forward_hook(lambda module, inputs, outputs: (outputs[0] * 0, outputs[1]))
    elif change == "relu":
        model.rnn = nn.RNN(64, 64, nonlinearity="relu")
    elif change == "bidirectional":
        model.rnn, model.dense = nn.RNN(64, 32, bidirectional=True), nn.Linear(64, 10)
    elif change == "dropout":
        model.rnn = nn.RNN(64, 64, num_layers=2, dropout=0.5)
    elif change == "weight_norm":
        nn.utils.parametrizations.weight_norm(model.dense)
    elif change == "double":
        model = model.double()
    num1, num2, total = addrnn.sample(40, 4, np.random.default_rng(0))
    with torch.no_grad():
        said = model.eval()(num1, num2).argmax(2).numpy()
    model.train()
    assert np.array_equal(model.predict(num1, num2), said) and model.training
    assert addrnn.evaluate(model, num1, num2, said) == (1.0, 1.0)
    if change != "double":
        loss, _ = addrnn.autograd(model.eval(), num1, num2, total)
        assert train(dataclasses.replace(SMALL, batches=1, batch_size=5), model=model).loss[0] > 0 and loss > 0


def test_asking_leaves_every_part_of_a_model_in_its_mode():
    model = Both()
    model.dense.eval()
    addrnn.predict(model, [[1, 2]], [[3, 4]])
    with pytest.raises(IndexError):
        addrnn.predict(model, [[1, 12]], [[3, 4]])
    assert (model.training, model.rnn.training, model.dense.training) == (True, True, False)


class School(nn.Module):
    """The school method, which has no parameters."""

    def forward(self, num1, num2):
        return nn.functional.one_hot(torch.as_tensor(addrnn.carry_add(num1.numpy(), num2.numpy())), 10)


def test_a_module_without_parameters_is_evaluated():
    assert addrnn.evaluate(School(), *addrnn.sample(20, 6, np.random.default_rng(0))) == (1.0, 1.0)


class Opinionated(Both):
    """A model with a `predict` of its own, which asks for something else."""

    def predict(self, sums):
        raise AssertionError("nobody asked")


def test_a_model_is_evaluated_by_its_logits_whatever_else_it_has():
    assert len(train(SMALL, model=Opinionated()).accuracy) == len(train(SMALL, model=Both()).accuracy) > 0


def test_noise_is_refused_for_a_model_that_has_no_state_of_torchs():
    with pytest.raises(ValueError, match=r"^noise \(--noise\): got 0.5, allowed is 0 for a model without nn.RNN"):
        train(dataclasses.replace(SMALL, noise=0.5), model=School(), optimizer=lambda weights: None)


@pytest.mark.parametrize("stop", [2, 3])
def test_a_run_that_is_stopped_is_tested_where_it_stops(stop):
    run = train(dataclasses.replace(SMALL, batches=6, eval_every=3), on_batch=lambda run: len(run.loss) == stop)
    assert run.eval_batch == [stop] and len(run.accuracy) == len(run.digit_accuracy) == 1
    assert f"stopped after {stop} of 6 batches" in str(run)


def test_a_run_with_a_seam_is_in_no_record(home):
    train(SMALL, data=subtract)
    assert not list(home.rglob("*.json"))
