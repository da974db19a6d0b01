"""Loss and exact gradients of an adder by backpropagation through time, and what it says: the same bits everywhere.

`train` and `predict` run; the two halves of the walk are in forward.py and backward.py, the cells in cells.py.

A *tile* of twelve sequences walks through all columns of digits and back, layer by layer within a chunk of columns, so
that weights and states stay in cache; tiles share nothing but the sums of gradients, which are added in one order,
whatever the number of threads. Three observations save work; none of them is an approximation.

1. *There are only 100 digit pairs*, so embedding, input weights and biases of layer 0 fold into a table of 100 rows.
2. *Only the state before is waited for*, so all else that a layer needs is one product for a whole chunk.
3. *States can be had again*: past KEPT bytes a thread, the walk back recomputes them in segments, bit for bit.

Arrays are flat and in float32; `hidden` below is padded to whole lanes, by units that stay at zero. The walk's order of
sums is part of what VERSION names: any change of it changes the bits of every run.
"""

import functools

import numpy as np
from numba import njit

from addlab.engine import cells
from addlab.engine.backward import IDENTITY, backward, work_of
from addlab.engine.compiling import OPTIONS, Kernel
from addlab.engine.forward import ROWS, Tile, forward, head, move, tape_of
from addlab.engine.lanes import WIDTH, address, aligned, zeros
from addlab.engine.layout import Net, fill_table, gradient_places, join, shape_of
from addlab.engine.parameters import to_normal, update

VERSION = 1
KEPT = 224 << 20  # bytes of states that a thread may keep
NO_NOISE = np.zeros(0, np.float32)


@Kernel
def train(shape, net, num1, num2, total, noise, chunk, kept, sums, losses, right, identity, first, step):
    """Loss, right sums and gradients of the tiles first, first + step, …; `kept` columns stay on the tape.

    Segments of `kept` columns, and chunks in them, are counted from the end, so that the sums do not depend on them.
    """
    count, columns = num1.shape
    share = np.float32(1 / (count * columns))
    segments = (columns - 1) // kept + 1
    states = shape.layers * ROWS * shape.hidden * 2
    tape, saved, work = tape_of(shape, kept, ROWS), aligned(segments * states), work_of(shape, chunk, noise, identity)
    for number in range(first, len(losses), step):
        low, high = number * ROWS, min((number + 1) * ROWS, count)
        rows = high - low + (high - low) % 2
        tile = Tile(num1[low:high], num2[low:high], total[low:high], rows, noise, count, low)
        missed = np.zeros(ROWS, np.int64)
        sums[number] = work.carried[:] = saved[:] = np.float32(0)
        for walk in range(2 * segments - 1):  # forward over all segments, then back over all but the last
            segment = walk if walk < segments else 2 * segments - 2 - walk
            end = columns - (segments - 1 - segment) * kept
            begin = max(0, end - kept)
            move(shape, tape, rows, 0, address(saved, segment * states), True)
            for at in range(begin, end, chunk):
                forward(shape, net, tape, tile, work.noisy, at, at - begin, min(chunk, end - at))
            if walk + 1 < segments:
                move(shape, tape, rows, end - begin, address(saved, (segment + 1) * states), False)
                continue
            while end > begin:
                at = max(begin, end - chunk)
                losses[number] += backward(shape, net, tape, tile, work, at, at - begin, end - at, share, missed,
                                           sums[number])
                end = at
        right[number] = high - low - np.count_nonzero(missed)


@njit(**OPTIONS)
def show(shape, held, state, rows):
    """Copy what `move` left of a tile to state [layers or twice as many, rows that do not pad, units]."""
    for k in range(state.shape[0]):
        for r in range(state.shape[1]):
            at = (k * rows + r) * shape.hidden
            state[k, r] = held[at : at + state.shape[2]]


@Kernel
def predict(shape, net, num1, num2, chunk, state, digits, logits, states, first, step):
    """The digits said in the tiles first, first + step, …: int64 [count, columns]; logits and states if there is room.

    state [layers or twice as many, count, units] is the state before and becomes the state after. logits: [count,
    columns, 10]; states: [layers or twice as many, count, columns, units], after each column.
    """
    count, columns = num1.shape
    chunk = min(chunk, columns)
    tape, scores, none = tape_of(shape, chunk, ROWS), aligned(chunk * ROWS * WIDTH), aligned(0)
    held = zeros(shape.layers * ROWS * shape.hidden * 2)
    for low in range(first * ROWS, count, step * ROWS):
        one, two = num1[low : low + ROWS], num2[low : low + ROWS]
        rows = len(one) + len(one) % 2
        tile = Tile(one, two, one, rows, none, count, low)
        for k in range(len(state)):
            for r in range(len(one)):
                at = (k * rows + r) * shape.hidden
                held[at : at + state.shape[2]] = state[k, low + r]
        for begin in range(0, columns, chunk):
            here = min(chunk, columns - begin)
            move(shape, tape, rows, 0, address(held, 0), True)
            forward(shape, net, tape, tile, none, begin, 0, here)
            move(shape, tape, rows, here, address(held, 0), False)
            head(shape, net, tape, address(scores, 0), rows, 0, here)
            for t in range(here):
                for r in range(len(one)):
                    said = scores[(t * rows + r) * WIDTH :][:10]
                    digits[low + r, begin + t] = said.argmax()
                    if logits.size:
                        logits[low + r, begin + t] = said
            for t in range(here * (states.size > 0)):
                move(shape, tape, rows, t + 1, address(held, 0), False)
                show(shape, held, states[:, low : low + ROWS, begin + t], rows)
        show(shape, held, state[:, low : low + ROWS], rows)


def chunk_of(shape):
    """Columns of a chunk: as many as stay in cache."""
    return 32 * shape.hidden // shape.width


def kept_columns(shape, kept_bytes):
    """Columns whose states a thread keeps in so many bytes, in whole chunks."""
    column = ROWS * shape.layers * 4 * (shape.hidden * shape.states + shape.width * shape.keeps_z)
    return max(1, kept_bytes // column // chunk_of(shape)) * chunk_of(shape)


@functools.cache
def prepare():
    """Have all kernels compiled: from disk in half a second, or once for each processor, which a terminal is told."""
    sizes = shape_of(next(iter(cells.CELLS)), 1, WIDTH, WIDTH)
    length = gradient_places(sizes).length
    vectors = [zeros(count) for count in (10 * WIDTH, *[2 * WIDTH**2] * 2, *[WIDTH**2] * 5, 10 * WIDTH, WIDTH, WIDTH,
                                          100 * WIDTH)]
    net, digits, sums = Net(*vectors), np.zeros((1, 1), np.int64), np.zeros((1, length), np.float32)
    fill_table(sizes, net)
    train(sizes, net, digits, digits, digits, NO_NOISE, 1, 1, sums, np.zeros(1), np.zeros(1, np.int64), IDENTITY, 0, 1)
    join(sizes, net, sums)
    state, logits, states = (np.zeros(size, np.float32) for size in ((1, 1, 1), (0, 0, 0), (0, 0, 0, 0)))
    predict(sizes, net, digits, digits, 1, state, digits, logits, states, 0, 1)
    to_normal(zeros(2 * WIDTH), zeros(2 * WIDTH), np.float32(1))
    update(*(zeros(WIDTH) for _ in range(4)), np.float32(1), np.float32(1))
