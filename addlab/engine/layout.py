"""From a model's parameters to the arrays that the walk reads, and from its sums back to their gradients."""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from numba import njit

from addlab.engine import cells
from addlab.engine.compiling import OPTIONS, Kernel
from addlab.engine.lanes import WIDTH, add, address, aligned, copy, load, store, zeros
from addlab.engine.products import multiply
from addlab.engine.support import shapes


class Shape(NamedTuple):
    """Sizes of a network, padded to whole lanes: hidden, embedding; `width` of z, `reached` of it by each input."""

    cell: int
    layers: int
    hidden: int
    embedding: int
    width: int
    reached: int
    free: int  # width - reached: where in z that begins which the state reaches
    states: int  # 2 with a cell state, else 1
    keeps_z: bool


class Net(NamedTuple):
    """The weights as the walk reads them: `own` from a layer's state before, `into` from the layer below (for layer 0,
    `first`, from the embedding of each number); `_t` are the same, transposed."""

    embedding: np.ndarray   # [10, embedding]
    first: np.ndarray       # [2 numbers, embedding, reached]
    first_t: np.ndarray     # [2 numbers, reached, embedding]
    own: np.ndarray         # [layers, hidden, reached]
    own_t: np.ndarray       # [layers, reached, hidden]
    into: np.ndarray        # [layers, hidden, reached], of layer 0 zero
    into_t: np.ndarray      # [layers, reached, hidden]
    dense: np.ndarray       # [hidden, 16], ten of them used
    dense_t: np.ndarray     # [10, hidden]
    dense_bias: np.ndarray  # [16]
    bias: np.ndarray        # [layers, width]
    table: np.ndarray       # [100 digit pairs, width], layer 0's biases included


def whole(count):
    """A count rounded up to whole lanes."""
    return -(-count // WIDTH) * WIDTH


def shape_of(cell, layers, units, digit_size):
    """The Shape of a network of that cell, by its name."""
    facts, hidden = cells.CELLS[cell], whole(units)
    width, reached = facts.blocks * hidden, facts.reach * hidden
    return Shape(facts.number, layers, hidden, whole(digit_size), width, reached, width - reached, facts.states,
                 facts.keeps_z)


class Layout:
    """Where each parameter stands in the arrays of a Net, and where its gradient comes from, as tables of positions."""

    def __init__(self, cell, layers, units, digit_size):
        facts, self.shape = cells.CELLS[cell], shape_of(cell, layers, units, digit_size)
        hidden, embedding, reached = self.shape.hidden, self.shape.embedding, self.shape.reached
        self.units = units
        parameters = shapes(cell, layers, units, digit_size)
        size = sum(map(math.prod, parameters.values()))
        zero, never = size, size + 1  # two more numbers: what pads, and what no padded digit's score exceeds

        def padded(positions, *shape):
            out = np.full(shape, zero)
            out[tuple(map(slice, positions.shape))] = positions
            return out

        def by_block(positions, blocks, count, columns):
            """Torch's gates [gates * units, n] as blocks of a z [count, hidden, columns]."""
            out = np.full((count, hidden, columns), zero)
            gates = positions.reshape(-1, units, positions.shape[1])
            for block, gate in zip(blocks, gates, strict=True):
                out[block] = padded(gate, hidden, columns)
            return out.reshape(count * hidden, columns)

        names, at = {}, 0
        for name, dimensions in parameters.items():
            names[name] = np.arange(at, at + math.prod(dimensions)).reshape(dimensions)
            at += names[name].size
        inputs, states = facts.inputs, range(facts.reach)
        shifted = [self.shape.free // hidden + block for block in states]
        w_in, w, b_in, b = ([names[f"rnn.{part}_l{k}"] for k in range(layers)]
                            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        first_t = [by_block(half, inputs, facts.reach, embedding)
                   for half in (w_in[0][:, :digit_size], w_in[0][:, digit_size:])]
        into_t = [np.full((reached, hidden), zero), *(by_block(m, inputs, facts.reach, hidden) for m in w_in[1:])]
        own_t = [by_block(m, states, facts.reach, hidden) for m in w]
        biases = [[by_block(v[:, None], blocks, facts.blocks, 1)[:, 0] for v in vectors]
                  for vectors, blocks in ((b_in, inputs), (b, shifted))]
        first_t, into_t, own_t, biases = map(np.array, (first_t, into_t, own_t, biases))
        dense_t = padded(names["dense.weight"], 10, hidden)
        dense_bias = padded(names["dense.bias"], WIDTH)
        dense_bias[10:] = never

        def turned(matrices):
            return matrices.transpose(0, 2, 1)

        dense = padded(dense_t.T, hidden, WIDTH)
        self.arrays = [padded(names["embed_layer.weight"], 10, embedding), turned(first_t), first_t, turned(own_t),
                       own_t, turned(into_t), into_t, dense, dense_t, dense_bias, biases[0], biases[1]]
        self.ends = list(itertools.accumulate(a.size for a in self.arrays))
        self.packed = np.concatenate([a.ravel() for a in self.arrays])
        # Gradients stand as `gradient_places` says; the table's are those of layer 0's biases, too.
        self.sources = np.zeros(size, np.int64)
        places = gradient_places(self.shape)
        self.length = places.length
        for start, array in ((places.bias, biases[0]), (places.bias, biases[1]), (places.own, turned(own_t)),
                             (places.into, turned(into_t)), (places.dense, dense), (places.dense_bias, dense_bias),
                             (places.first, turned(first_t)), (places.embedding, self.arrays[0])):
            used = array.ravel() < size
            self.sources[array.ravel()[used]] = start + np.flatnonzero(used)

    def net(self, values):
        """The Net of a model's parameters, flat arrays."""
        flat = np.concatenate((*values, PADDING))
        packed = aligned(len(self.packed))
        np.take(flat, self.packed, out=packed)
        *arrays, bias_in, bias = np.split(packed, self.ends[:-1])
        net = Net(*arrays, bias_in + bias, aligned(100 * self.shape.width))
        fill_table(self.shape, net)
        return net


layout_of = functools.lru_cache(maxsize=16)(Layout)  # one for all models of the same sizes
PADDING = np.array([0, -1e30], np.float32)


class Places(NamedTuple):
    """Where in a tile's sums the gradients begin; those of first and embedding stand behind what tiles sum."""

    table: int
    bias: int
    own: int
    into: int
    dense: int
    dense_bias: int
    first: int
    embedding: int
    length: int  # of it all


@njit(**OPTIONS)
def gradient_places(shape):
    matrices = shape.layers * shape.hidden * shape.reached
    bias = 100 * shape.width
    own = bias + shape.layers * shape.width
    into = own + matrices
    dense = into + matrices
    dense_bias = dense + shape.hidden * WIDTH
    first = dense_bias + WIDTH
    embedding = first + 2 * shape.embedding * shape.reached
    return Places(0, bias, own, into, dense, dense_bias, first, embedding, embedding + 10 * shape.embedding)


@Kernel
def fill_table(shape, net):
    """What each pair of digits and layer 0's biases give z: (E_a W_1 + E_b W_2) + bias."""
    width, reached, embedding = shape.width, shape.reached, shape.embedding
    shares, nothing = zeros(2 * 10 * reached), zeros(reached)
    for number in range(2):
        multiply(address(shares, number * 10 * reached), reached, address(nothing, 0), 0, address(net.embedding, 0),
                 embedding, 1, address(net.first, number * embedding * reached), reached, 10, reached, embedding)
    for pair in range(100):
        here = address(net.table, pair * width)
        a, b = address(shares, pair // 10 * reached), address(shares, (10 + pair % 10) * reached)
        copy(address(net.bias, 0), here, width)
        for j in range(0, reached, WIDTH):
            store(here, j, load(a, j) + load(b, j) + load(here, j))


@Kernel
def join(shape, net, sums):
    """The sum of all tiles' gradients, those of the table carried on to biases, input weights and embedding."""
    width, reached, embedding = shape.width, shape.reached, shape.embedding
    places = gradient_places(shape)
    joined, shares, nothing = zeros(places.length), zeros(2 * 10 * reached), zeros(reached)
    for tile in range(len(sums)):
        add(address(sums[tile], 0), address(joined, 0), places.first)
    for pair in range(100):
        gradient = address(joined, pair * width)
        add(gradient, address(shares, pair // 10 * reached), reached)
        add(gradient, address(shares, (10 + pair % 10) * reached), reached)
        add(gradient, address(joined, places.bias), width)
    digits = address(joined, places.embedding)
    for number in range(2):
        share, first = address(shares, number * 10 * reached), number * embedding * reached
        multiply(address(joined, places.first + first), reached, address(nothing, 0), 0, address(net.embedding, 0), 1,
                 embedding, share, reached, embedding, reached, 10)
        multiply(digits, embedding, digits, embedding, share, reached, 1, address(net.first_t, first), embedding, 10,
                 embedding, reached)
    return joined
