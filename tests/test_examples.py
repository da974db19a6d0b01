"""Other machines from examples alone: the data they see, the network they train, what is recorded of them."""

import numpy as np
import pytest
import torch

import addrnn
from addlab import files
from addlab.certify import Network
from addlab.study import examples
from addlab.study.studies import results

MACHINES = list(examples.MACHINES)


def test_examples_are_what_python_says():
    """Numbers from the digits that a sampler drew, and Python's own arithmetic."""
    said = {"subtract": lambda a, b: a - b, "add in base 16": lambda a, b: a + b,
            "add three numbers": lambda a, b, c: a + b + c, "times 3": lambda a: 3 * a, "times 7": lambda a: 7 * a}
    rng = np.random.default_rng(0)
    for name, compute in said.items():
        machine = examples.MACHINES[name]
        index, _, total = examples.sampler(machine)(50, 8, rng)
        columns = np.array(machine.columns)[index]  # [count, columns, inputs]
        for numbers, digits in zip(columns.transpose(0, 2, 1).tolist(), total.tolist(), strict=True):
            values = [sum(d * machine.symbols**k for k, d in enumerate(number)) for number in numbers]
            wanted = compute(*values) % machine.symbols**8
            assert wanted == sum(d * machine.symbols**k for k, d in enumerate(digits)), name


@pytest.mark.parametrize("name", MACHINES)
def test_a_reader_is_its_machines_network(name):
    machine = examples.MACHINES[name]
    reader, network = (kind(machine, hidden=8, embedding=4, seed=3) for kind in (examples.Reader, Network))
    index, empty, _ = examples.sampler(machine)(5, 6, np.random.default_rng(1))
    numbers = np.moveaxis(np.array(machine.columns)[index], 2, 0)
    assert torch.equal(reader(index, empty), network(*numbers))


def test_a_machine_is_learned_from_examples_shaken():
    machine = examples.MACHINES["parity"]
    config = addrnn.Config(layers=1, hidden=16, lr=0.01, batches=300, noise=0.1, batch_size=50, eval_every=300)
    run = addrnn.train(config, model=examples.Reader(machine, hidden=16, embedding=4), data=examples.sampler(machine))
    assert run.accuracy == [1.0]


def test_a_study_says_what_it_measured():
    known = results("examples")
    assert known and set(known) <= {examples.key(*job) for job in examples.plan()}
    for result in known.values():
        assert result["grid"]["closed"] == (result["grid"]["wrong"] is None and result["grid"]["states"] <= 60_000)
    assert files.found("records/studies/examples.json").exists()
