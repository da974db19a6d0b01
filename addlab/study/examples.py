"""Other machines from examples alone: random numbers and noise on the state, then what `certify` and `exhaust` say.

What noise does for addition (noise.py) it should do for any machine whose states are few and far apart; the more states
a network must keep apart, the less room noise leaves it. So each of these can come out otherwise:

    closed   machines of two states close on the grid of whole numbers, as adders do
    states   machines of more states do not, with the same units and the same noise

python -m addlab.study.examples    measure what is missing in records/studies/examples.json; can be stopped
"""

import json
import sys

import numpy as np
import torch

from addlab.certify import Network, from_step, remainder, weighted_sum
from addlab.certify.machines import run
from addlab.noisy import noisy_states
from addlab.study.experiments import configs
from addlab.study.noise import USUAL, proofs, trained
from addlab.study.studies import recall

STUDY = "examples"
SEEDS = range(3)


def parity(state, bit):
    return state ^ bit, state ^ bit


MACHINES = {
    "subtract": weighted_sum(10, 1, -1),
    "add in base 16": weighted_sum(16, 1, 1),
    "add three numbers": weighted_sum(10, 1, 1, 1),
    "times 3": weighted_sum(10, 3),
    "times 7": weighted_sum(10, 7),
    "remainder by 3": remainder(10, 3),
    "remainder by 7": remainder(10, 7),
    "parity": from_step(2, 1, 2, parity),
}


class Reader(Network):
    """A machine's network as `addrnn.train` wants it: num1 tells which of machine.columns is read, num2 nothing."""

    def __init__(self, machine, **sizes):
        super().__init__(machine, **sizes)
        self.columns = torch.tensor(machine.columns)

    def forward(self, num1, num2, noise=None):
        """Logits [count, columns, outputs]."""
        read = self.embed_layer(self.columns[torch.as_tensor(num1)]).flatten(2).transpose(0, 1)
        states = self.rnn(read)[0] if noise is None else noisy_states(self.rnn, read, noise)
        return self.dense(states).transpose(0, 1)


def sampler(machine):
    """The `data` of `addrnn.train`: random symbols for each input, and what the machine says to them."""
    places = machine.symbols ** np.arange(machine.inputs)[::-1]

    def draw(count, digit_len, rng):
        numbers = rng.integers(0, machine.symbols, (machine.inputs, count, digit_len))
        index = np.tensordot(places, numbers, 1)
        return index, np.zeros_like(index), run(machine, *numbers)

    return draw


def measure(name, noise, seed):
    """What proves a network of 64 units that saw 4000 batches of 200 random inputs of ten columns; see noise.proofs."""
    machine = MACHINES[name]
    config, = configs([seed], **USUAL, noise=noise)
    sizes = dict(hidden=config.hidden, embedding=config.embedding, seed=seed)
    model = trained(config, True, model=Reader(machine, **sizes), data=sampler(machine)).model
    network = Network(machine, **sizes)
    network.load_state_dict(model.state_dict())
    return proofs(network, machine)


def plan():
    """[(machine, noise, seed)], most telling first."""
    return [(name, noise, seed) for seed in SEEDS for name in MACHINES for noise in (1.0, 0.0)]


def key(name, noise, seed):
    """The name of a training in the study's file."""
    return f"{name}, noise {noise:g}, seed {seed}"


def main():
    """Train and look at what is missing, one after the other."""
    for job in plan():
        value = recall(STUDY, key(*job), lambda job=job: measure(*job))
        print(f"{key(*job)}: {json.dumps(value)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
