"""Which models the engine serves: those alone whose own forward and torch's autograd would say the same."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from test_engine import adder, digits
from torch import nn
from torch.nn.utils import parametrizations, prune

from addlab import engine
from addrnn import Adder, Config


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


@pytest.mark.parametrize("other", ["another forward", "a hook", "another layer"])
def test_a_model_that_is_not_served_says_what_its_own_forward_says(other):
    model, (num1, num2, _) = OTHERS[other](), digits(np.random.default_rng(0), 4, 6)
    if other == "a hook":
        model.rnn.register_forward_hook(lambda module, given, found: (0 * found[0], found[1]))
    assert (model.predict(num1, num2) == model(num1, num2).argmax(2).numpy()).all()


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


