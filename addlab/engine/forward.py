"""One tile of sequences walks forward through the columns, and leaves on a tape what the walk back needs.

A layer's state after a column is handed to the next column as it is or, in training, with noise added; the layer above
and the dense layer always read it as it is.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from addlab.engine import cells
from addlab.engine.cells import Column
from addlab.engine.compiling import OPTIONS
from addlab.engine.lanes import WIDTH, address, ahead, aligned, copy, load, store
from addlab.engine.products import multiply

ROWS = 12  # sequences of a tile: two blocks of six rows


class Tape(NamedTuple):
    """The states and gates of a tile over one segment of columns."""

    h: np.ndarray  # [layers, columns + 1, rows, hidden], the state before the first column in front
    c: np.ndarray  # the same of the cell state; empty without one
    z: np.ndarray  # [layers, columns, rows, width]: gates; empty where h says all
    columns: int


class Tile(NamedTuple):
    """What a tile reads: its digits [sequences, columns], and where its noise stands."""

    num1: np.ndarray
    num2: np.ndarray
    total: np.ndarray
    rows: int          # its sequences, made even by one that pads
    noise: np.ndarray  # [states of all layers, columns, sequences of the batch, hidden], flat; empty for none
    batch: int         # sequences of the batch
    low: int           # which of them is the tile's first


@njit(**OPTIONS)
def tape_of(shape, columns, rows):
    states = shape.layers * (columns + 1) * rows * shape.hidden
    return Tape(aligned(states), aligned(states if shape.states == 2 else 0),
                aligned(shape.layers * columns * rows * shape.width if shape.keeps_z else 0), columns)


@njit(**OPTIONS)
def states_at(shape, tape, layer, column, rows):
    """The Column there; its z lies where h after it does if not kept."""
    size = rows * shape.hidden
    at = (layer * (tape.columns + 1) + column) * size
    h, h_next = address(tape.h, at), address(tape.h, at + size)
    z = address(tape.z, (layer * tape.columns + column) * rows * shape.width) if shape.keeps_z else h_next
    if shape.states == 2:
        return Column(h, h_next, address(tape.c, at), address(tape.c, at + size), z)
    return Column(h, h_next, h, h_next, z)


@njit(**OPTIONS)
def pair_of(tile, row, column):
    """The digit pair of a row, 0 in rows that pad."""
    return 10 * tile.num1[row, column] + tile.num2[row, column] if row < len(tile.num1) else 0


@njit(**OPTIONS)
def with_noise(shape, tile, state, column, source, to):
    """What a column reads of state number `state` (h of all layers, then c): what the column before left, and noise.

    There is none before the first column, nor in rows that pad.
    """
    hidden = shape.hidden
    copy(source, to, tile.rows * hidden)
    for row in range(len(tile.num1) if column else 0):
        noise = address(tile.noise, ((state * tile.num1.shape[1] + column - 1) * tile.batch + tile.low + row) * hidden)
        for j in range(0, hidden, WIDTH):
            store(to, row * hidden + j, load(to, row * hidden + j) + load(noise, j))


@njit(**OPTIONS)
def as_read(shape, tile, layer, number, column, h, c):
    """A Column as column `number` of the digits reads it: with noise on the states before, at h and c."""
    with_noise(shape, tile, layer, number, column.h, h)
    if shape.states == 2:
        with_noise(shape, tile, shape.layers + layer, number, column.c, c)
    return Column(h, column.h_next, c, column.c_next, column.z)


@njit(**OPTIONS)
def forward(shape, net, tape, tile, noisy, begin, row, count):
    """Walk `count` columns of digits from column `begin` on; row `row` of the tape holds the state before.

    `noisy` is room for a state with noise, h and c: [2, rows, hidden], or empty where there is none.
    """
    rows, hidden, width, reached, free = tile.rows, shape.hidden, shape.width, shape.reached, shape.free
    size = rows * hidden
    for layer in range(shape.layers):
        z = states_at(shape, tape, layer, row, rows).z  # of all columns, one after the other
        if layer == 0:
            for t in range(count):
                for r in range(rows):
                    pair = pair_of(tile, r, begin + t)
                    copy(address(net.table, pair * width), ahead(z, (t * rows + r) * width), width)
        else:
            bias = address(net.bias, layer * width)
            below = states_at(shape, tape, layer - 1, row, rows).h_next
            multiply(z, width, bias, 0, below, hidden, 1, address(net.into, layer * hidden * reached), reached,
                     count * rows, reached, hidden)
            for i in range(count * rows * (free > 0)):
                copy(ahead(bias, reached), ahead(z, i * width + reached), free)
        own = address(net.own, layer * hidden * reached)
        for t in range(count):
            column = states_at(shape, tape, layer, row + t, rows)
            if tile.noise.size:
                column = as_read(shape, tile, layer, begin + t, column, address(noisy, 0), address(noisy, size))
            reached_z = ahead(column.z, free)
            multiply(reached_z, width, reached_z, width, column.h, hidden, 1, own, reached, rows, reached, hidden)
            cells.forward(shape.cell, column, rows, hidden)


@njit(**OPTIONS)
def head(shape, net, tape, logits, rows, row, count):
    """Logits [count * rows, 16] of the columns behind row `row` of the tape."""
    top = states_at(shape, tape, shape.layers - 1, row, rows).h_next
    multiply(logits, WIDTH, address(net.dense_bias, 0), 0, top, shape.hidden, 1, address(net.dense, 0), WIDTH,
             count * rows, WIDTH, shape.hidden)


@njit(**OPTIONS)
def move(shape, tape, rows, row, place, to_tape):
    """Copy the states in a row of the tape from (or to) a place for them: h of all layers, then c."""
    size = rows * shape.hidden
    for layer in range(shape.layers):
        here = states_at(shape, tape, layer, row, rows)
        kept = ahead(place, layer * size)
        copy(kept if to_tape else here.h, here.h if to_tape else kept, size)
        if shape.states == 2:
            kept = ahead(place, (shape.layers + layer) * size)
            copy(kept if to_tape else here.c, here.c if to_tape else kept, size)
