"""A network as the state machine that it is: a state, and what each column of symbols makes of it, bit for bit.

The engine's float32 arithmetic is one function of state and column: its bits hang on no batch, tile or thread, which
tests/test_exhaust.py holds (test_a_step_has_the_same_bits_alone_and_among_others), and on no processor. A network of
any machine is cut into adders, which are what the engine runs.
"""

import functools
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import addrnn
from addlab import engine
from addlab.certify.machines import ADDITION
from addlab.files import write_whole
from addlab.inputs import Refusal, shown, to_int
from addlab.records import read_weights, tensor_bytes

TEN = 10  # symbols that the engine's adder reads and says


def engine_of(model):
    """The engine's logits(num1, num2, state) of an adder, whose weights are read at every call."""
    return functools.partial(engine.logits, model)


class Walk:
    """Steps of a network beside those of the machine it should be.

    State: float32 [rows, count, hidden], a row for each layer, for an LSTM first all h, then all c. A column is its
    number in `machine.columns`. With a `grid`, what a column leaves is rounded to multiples of 1 / grid.
    """

    def __init__(self, model, machine=ADDITION):
        self.grid = None
        if isinstance(model, Rounded):
            model, machine, self.grid = model.model, model.machine, model.grid
        self.machine, self.is_lstm = machine, model.rnn.mode == "LSTM"
        self.next_state, self.output = np.array(machine.next_state), np.array(machine.output)
        self.shape = (1 + self.is_lstm) * model.rnn.num_layers, model.rnn.hidden_size
        self.parts, self.part_of, self.pair_of = uncut(model) if machine == ADDITION else cut(model, machine)

    @property
    def columns(self):
        return len(self.part_of)

    def start(self, count=1):
        """The state before the first column: (state, the machine's state)."""
        return np.zeros((self.shape[0], count, self.shape[1]), np.float32), np.zeros(count, int)

    def feed(self, state, columns):
        """Feed each state its own columns [count, n]: (logits [count, n, outputs], state after)."""
        if self.grid is None and len(self.parts) == len(self.parts[0]) == 1:
            logits, after = self.run(self.parts[0][0], state, columns)
            return logits[..., : self.machine.outputs], after
        logits = np.empty((*columns.shape, self.machine.outputs), np.float32)
        for t in range(columns.shape[1]):
            after = np.empty_like(state)
            for k, adders in enumerate(self.parts):
                here = np.flatnonzero(self.part_of[columns[:, t]] == k)
                for i, adder in enumerate(adders if len(here) else []):
                    said, after[:, here] = self.run(adder, state[:, here], columns[here, t : t + 1])
                    logits[here, t, TEN * i : TEN * i + TEN] = said[:, 0, : self.machine.outputs - TEN * i]
            state = after if self.grid is None else rounded(after, self.grid)
        return logits, state

    def run(self, adder, state, columns):
        num1, num2 = (digits[columns] for digits in self.pair_of)
        logits, after = adder(num1, num2, tuple(np.split(state, 2)) if self.is_lstm else state)
        return logits, np.concatenate(after) if self.is_lstm else after

    def right(self, states, columns):
        """What the machine says to columns [count, n], and its states after."""
        output = np.empty_like(columns)
        for t in range(columns.shape[1]):
            output[:, t] = self.output[states, columns[:, t]]
            states = self.next_state[states, columns[:, t]]
        return output, states


    # What a path of columns says about inputs. Behind two numbers to add there is an empty column, for the last carry;
    # so an input of n digits has n + 1 columns, and ends in one that is not empty unless it is its only one.

    def length(self, path):
        """Columns of the shortest input that shows the symbol of the last column: for sums its digits."""
        n = len(path)
        if self.machine != ADDITION or n == 1 or path[-1] != 0:
            return n
        return n - 1 if n == 2 or path[-2] != 0 else n + 1  # above two empty columns something must stand

    def symbols(self, path):
        """A list of symbols for each input, as they are read: what `predict` is to be asked."""
        above = [1] * (self.length(path) - len(path)) + [0] * (self.machine == ADDITION and path[-1] != 0)
        return [list(symbols) for symbols in zip(*(self.machine.columns[column] for column in [*path, *above]),
                                                 strict=True)]

    def inputs(self, path):
        """The shortest input: for sums a pair of ints, else `symbols`."""
        numbers = self.symbols(path)
        return tuple(to_int(np.array(digits)) for digits in numbers) if self.machine == ADDITION else tuple(numbers)


def rounded(state, grid):
    """The nearest multiples of 1 / grid (of two the even one), without a negative zero."""
    return np.rint(state * np.float32(grid)) / np.float32(grid) + np.float32(0)


def uncut(adder):
    """What `cut` says of an adder: itself, and the two digits of each of the 100 columns."""
    return [[engine_of(adder)]], np.zeros(TEN**2, int), np.divmod(np.arange(TEN**2), TEN)


def cut(network, machine):
    """A machine's network as adders: (parts, the part that reads each column, the digits num1 and num2 it is there).

    An adder reads ten symbols of the first input beside ten of the second, all other inputs fixed, and says ten of the
    outputs; a part is the adders of one kind of column. Weights are the network's own, beside zeros.
    """
    columns = np.array(machine.columns)
    blocks = np.concatenate((columns[:, :2] // TEN, columns[:, 2:]), axis=1)  # what a part is for
    kinds, part_of = np.unique(blocks, axis=0, return_inverse=True)
    pair_of = columns[:, 0] % TEN, columns[:, 1] % TEN if machine.inputs > 1 else np.zeros(len(columns), int)
    return [[engine_of(part(network, machine, kind, first)) for first in range(0, machine.outputs, TEN)]
            for kind in kinds], part_of.reshape(-1), pair_of


@torch.no_grad()
def part(network, machine, kind, first):
    """The adder for columns of one kind that says the ten outputs from `first` on."""
    rnn, size = network.rnn, network.embed_layer.embedding_dim
    adder = addrnn.Adder(addrnn.Config(cell=rnn.mode.removesuffix("_TANH"), layers=rnn.num_layers,
                                       hidden=rnn.hidden_size, embedding=machine.inputs * size))
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    symbols, weights = tensors["embed_layer.weight"], tensors["rnn.weight_ih_l0"]
    embedding = torch.zeros(TEN, machine.inputs, size)
    for place, block in enumerate(kind):
        here = symbols[TEN * block : TEN * block + TEN] if place < 2 else symbols[block]
        embedding[: len(here) if place < 2 else TEN, place] = here
    none = torch.zeros_like(weights)
    tensors["embed_layer.weight"] = embedding.flatten(1)
    tensors["rnn.weight_ih_l0"] = torch.cat((weights[:, :size], none[:, size:], none[:, :size], weights[:, size:]), 1)
    said = slice(first, first + TEN)
    for name, fill in (("dense.weight", 0.0), ("dense.bias", -1e30)):
        values = tensors[name][said]
        tensors[name] = torch.full((TEN, *values.shape[1:]), fill)
        tensors[name][: len(values)] = values
    adder.load_state_dict(tensors)
    return adder


# On a grid

class Rounded:
    """A network whose state is rounded to multiples of 1 / grid after each column, in the engine's arithmetic.

    model: an addrnn.Adder, or a machines.Network with its machine. Raises ValueError for a grid that is no whole number
    above 0.
    """

    def __init__(self, model, grid, machine=ADDITION):
        if not isinstance(grid, int) or isinstance(grid, bool) or grid < 1:
            raise Refusal(f"grid (--grid): got {shown(grid)}, allowed is a whole number, 1 or more")
        self.model, self.grid, self.machine = model, grid, machine

    def predict(self, *numbers):
        """The symbols that it says: int64 [count, columns]; numbers: [count, columns], one for each input."""
        walk = Walk(self)
        places = self.machine.symbols ** np.arange(len(numbers))[::-1]
        logits, _ = walk.feed(walk.start(len(numbers[0]))[0], np.tensordot(places, np.stack(numbers), 1))
        return logits.argmax(axis=2)

    add = addrnn.Adder.add  # which asks nothing but predict

    def save(self, path):
        """Write the weights as safetensors, with grid and settings in the file's metadata. Raises OSError."""
        settings = {"config": asdict(self.model.config)} if isinstance(self.model, addrnn.Adder) else {}
        write_whole(Path(path), tensor_bytes(self.model.state_dict(), grid=self.grid, **settings))

    @classmethod
    def load(cls, path):
        """Read the adder that `save` wrote. Raises ValueError for another file."""
        adder, grid = read_adder(path)
        if grid is None:
            raise Refusal(f"weights file: got {shown(str(path))}, without a grid; allowed is a file of Rounded.save")
        return cls(adder, grid)


def read_adder(path):
    """(the adder of a file of weights, the grid that the file names or None). Raises ValueError for another file."""
    config, tensors, grid = read_weights(path, addrnn.Config, rounds=True)
    adder = addrnn.Adder(config)
    adder.load_state_dict(tensors)
    return adder, grid
