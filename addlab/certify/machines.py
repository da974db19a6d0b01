"""What a network can be proved to compute: machines, and networks of their size.

    parity = from_step(symbols=2, inputs=1, outputs=2, step=lambda state, bit: (state ^ bit, state ^ bit))
"""

import dataclasses

import numpy as np
import torch
from torch import nn

from addlab import engine
from addlab.certify import checker
from addlab.certify.checker import Machine
from addlab.engine import parameters
from addlab.inputs import Refusal


def from_step(symbols, inputs, outputs, step, start=0, meaning=None, most=1000):
    """The Machine of a function: step(state, *column) -> (next state, output symbol); a state is any value.

    Its states are those that `start` leads to, numbered as they are found. meaning: of them, what `checker` may verify.
    Raises ValueError where there are more than `most` states, or `step` is no function into the output symbols.
    """
    states, next_state, output = [start], [], []
    columns = Machine(symbols, inputs, outputs, [], []).columns
    for state in states:  # which grows on the way
        steps = [step(state, *column) for column in columns]
        if steps != [step(state, *column) for column in columns]:
            raise Refusal(f"step: got one answer in state {state!r} and then another; allowed is a function of the "
                          "state and the column alone")
        for after, symbol in steps:
            if symbol not in range(outputs):
                raise Refusal(f"step: got the output {symbol!r}, allowed is a whole number from 0 to {outputs - 1}")
            if after not in states:
                states.append(after)
        if len(states) > most:
            raise Refusal(f"step: got more than {most} states, allowed is a machine of fewer, or a larger `most`")
        next_state.append([states.index(after) for after, _ in steps])
        output.append([int(symbol) for _, symbol in steps])
    return sound(Machine(symbols, inputs, outputs, next_state, output, meaning and meaning(states)))


def sound(machine):
    """The same machine; raises ValueError, one line, where no certificate could tell of it."""
    try:
        checker.read_machine(dataclasses.asdict(machine))
        checker.check_meaning(machine)
    except checker.Rejected as problem:
        raise Refusal(f"{problem}; allowed is what `from_step` makes") from None
    reached = {0}
    for _ in range(machine.states):
        reached |= {after for state in reached for after in machine.next_state[state]}
    if len(reached) < machine.states:
        missing = min(set(range(machine.states)) - reached)
        raise Refusal(f"machine: got a state {missing} that no columns lead to; allowed are states that are reached")
    return machine


def weighted_sum(base, *factors):
    """The Machine that computes factors · numbers in a base, least significant digit first; its states are the carries.

    weighted_sum(10, 1, 1) adds, (10, 1, -1) subtracts, (2, 1, 1, 1) adds three binary numbers, (10, 7) is times 7.
    """
    def step(carry, *column):
        return divmod(carry + sum(factor * digit for factor, digit in zip(factors, column, strict=True)), base)

    return from_step(base, len(factors), base, step,
                     meaning=lambda carries: dict(base=base, factors=list(factors), carries=carries))


def remainder(base, modulus):
    """The Machine that computes number mod modulus, most significant digit first; its states are the remainders."""
    def step(rest, digit):
        return ((base * rest + digit) % modulus,) * 2

    return from_step(base, 1, modulus, step,
                     meaning=lambda rests: dict(base=base, modulus=modulus, remainders=rests))


ADDITION = weighted_sum(10, 1, 1)


def run(machine, *numbers):
    """The symbols that the machine says: numbers are int arrays [count, columns], one for each input."""
    numbers = np.stack(numbers)
    index = sum(digits * machine.symbols**place for place, digits in enumerate(reversed(numbers)))
    next_state, output = np.array(machine.next_state), np.array(machine.output)
    state, said = np.zeros(numbers.shape[1], dtype=np.int64), np.empty_like(numbers[0])
    for column in range(numbers.shape[2]):
        said[:, column] = output[state, index[:, column]]
        state = next_state[state, index[:, column]]
    return said


class Network(nn.Module):
    """`addrnn.Adder` for any machine: one embedding of the input symbols, a cell, a logit for each output symbol."""

    def __init__(self, machine, cell="RNN", layers=1, hidden=64, embedding=32, seed=0):
        super().__init__()
        self.embed_layer = nn.Embedding(machine.symbols, embedding)
        self.rnn = engine.CELLS[cell](machine.inputs * embedding, hidden, layers)
        self.dense = nn.Linear(hidden, machine.outputs)
        parameters.draw(self, np.random.default_rng(seed))

    def forward(self, *numbers):
        """Logits [count, columns, outputs]; numbers: [count, columns], one for each input."""
        pairs = torch.cat([self.embed_layer(torch.as_tensor(digits)) for digits in numbers], dim=2)
        return self.dense(self.rnn(pairs.transpose(0, 1))[0]).transpose(0, 1)

    @torch.no_grad()
    def predict(self, *numbers):
        """The symbols that the network says, int64 [count, columns]."""
        return self(*numbers).argmax(2).numpy()
