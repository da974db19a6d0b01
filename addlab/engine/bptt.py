"""Loss and exact gradients of an adder by backpropagation through time, and what it says: the same bits everywhere.

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
from typing import NamedTuple

import numpy as np
from numba import njit

from addlab.engine import cells
from addlab.engine.compiling import OPTIONS, Kernel
from addlab.engine.functions import exp, log1p
from addlab.engine.lanes import (
    WIDTH,
    add,
    address,
    ahead,
    aligned,
    copy,
    fill,
    first_lane,
    lane_max,
    lane_sum,
    load,
    maximum,
    store,
    zeros,
)
from addlab.engine.layout import Net, Shape, fill_table, gradient_places, join
from addlab.engine.parameters import update
from addlab.engine.products import multiply

VERSION = 1
ROWS = 12  # sequences of a tile: two blocks of six rows
KEPT = 224 << 20  # bytes of states that a thread may keep


class Tape(NamedTuple):
    """What the walk forward leaves of one segment for the walk back, and room to work."""

    h: np.ndarray  # [layers, columns + 1, rows, hidden], the state before the first column in front
    c: np.ndarray  # the same of the cell state; LSTM only
    z: np.ndarray  # [layers, columns, rows, width]: gates; LSTM and GRU only
    columns: int


@njit(**OPTIONS)
def add_rows(source, to, rows, width):
    """Add the sum of all rows."""
    for j in range(0, width, WIDTH):
        total = load(to, j)
        for row in range(rows):
            total = total + load(source, row * width + j)
        store(to, j, total)


# A one-hot row for each digit, and a row of ten ones.
IDENTITY = np.concatenate((np.eye(10, WIDTH), np.eye(10, WIDTH).sum(0, keepdims=True))).astype(np.float32).ravel()


@njit(**OPTIONS)
def score(logits, target, rows, begin, columns, share, missed, ratios, identity):
    """Turn logits [columns * rows, 16] into the gradient of `share` times their cross-entropy; returns the summed loss.

    With p of the right digit and q of the others, both relative to the largest, the loss is log(1 + q / p): exact also
    where it is small. `missed` counts each row's wrong digits; `ratios` is room to work.
    """
    both = columns * rows
    both_whole = (both + WIDTH - 1) // WIDTH * WIDTH
    ratios[:] = np.float32(0)  # q / p of each digit, then how far p was beyond what exp takes
    ten, least = load(address(identity, 10 * WIDTH), 0), fill(-60.0)
    for i in range(both):
        row, here = i % rows, ahead(logits, i * WIDTH)
        if row >= len(target):
            store(here, 0, fill(0.0))
            continue
        z, right = load(here, 0), load(address(identity, target[row, begin + i // rows] * WIDTH), 0)
        z = z - lane_max(z)
        scores = exp(maximum(z, least)) * ten
        others = scores - scores * right
        p, q, behind = lane_sum(scores * right), lane_sum(others), lane_sum(z * right)
        ratios[i] = first_lane(q / p)
        ratios[both_whole + i] = first_lane(maximum(behind, least) - behind)
        missed[row] += first_lane(behind) < 0
        store(here, 0, (others - right * q) / (p + q) * fill(share))
    loss = fill(0.0)
    for i in range(0, both, WIDTH):
        loss = loss + (log1p(load(address(ratios, i), 0)) + load(address(ratios, both_whole + i), 0))
    return float(first_lane(lane_sum(loss)))


@njit(**OPTIONS)
def tape_of(shape, columns, rows):
    states = shape.layers * (columns + 1) * rows * shape.hidden
    return Tape(aligned(states), aligned(states if shape.cell == cells.LSTM else 0),
                aligned(0 if shape.cell == cells.RNN else shape.layers * columns * rows * shape.width), columns)


@njit(**OPTIONS)
def states_at(shape, tape, layer, column, rows):
    """Pointers to h and c before and after a column, and to its z, which for the RNN lies where h after it does."""
    size = rows * shape.hidden
    at = (layer * (tape.columns + 1) + column) * size
    h, h_next = address(tape.h, at), address(tape.h, at + size)
    if shape.cell == cells.RNN:
        return h, h_next, h, h_next, h_next
    z = address(tape.z, (layer * tape.columns + column) * rows * shape.width)
    if shape.cell == cells.GRU:
        return h, h_next, h, h_next, z
    return h, h_next, address(tape.c, at), address(tape.c, at + size), z


@njit(**OPTIONS)
def pair_of(num1, num2, row, column):
    """The digit pair of a row, 0 in rows that pad."""
    return 10 * num1[row, column] + num2[row, column] if row < len(num1) else 0


@njit(**OPTIONS)
def forward(shape, net, tape, num1, num2, rows, begin, row, count):
    """Walk `count` columns of digits from column `begin` on; row `row` of the tape holds the state before."""
    hidden, width, reached, free = shape.hidden, shape.width, shape.reached, shape.free
    for layer in range(shape.layers):
        _, _, _, _, z = states_at(shape, tape, layer, row, rows)
        if layer == 0:
            for t in range(count):
                for r in range(rows):
                    pair = pair_of(num1, num2, r, begin + t)
                    copy(address(net.table, pair * width), ahead(z, (t * rows + r) * width), width)
        else:
            bias = address(net.bias, layer * width)
            _, below, _, _, _ = states_at(shape, tape, layer - 1, row, rows)
            multiply(z, width, bias, 0, below, hidden, 1, address(net.into, layer * hidden * reached), reached,
                     count * rows, reached, hidden)
            for i in range(count * rows * (free > 0)):
                copy(ahead(bias, reached), ahead(z, i * width + reached), free)
        own = address(net.own, layer * hidden * reached)
        for t in range(row, row + count):
            h, h_next, c, c_next, z = states_at(shape, tape, layer, t, rows)
            reached_z = ahead(z, free)
            multiply(reached_z, width, reached_z, width, h, hidden, 1, own, reached, rows, reached, hidden)
            cells.forward(shape.cell, z, h, h_next, c, c_next, rows, hidden)


@njit(**OPTIONS)
def head(shape, net, tape, logits, rows, row, count):
    """Logits [count * rows, 16] of the columns behind row `row` of the tape."""
    _, top, _, _, _ = states_at(shape, tape, shape.layers - 1, row, rows)
    multiply(logits, WIDTH, address(net.dense_bias, 0), 0, top, shape.hidden, 1, address(net.dense, 0), WIDTH,
             count * rows, WIDTH, shape.hidden)


@njit(**OPTIONS)
def move(shape, tape, rows, row, place, to_tape):
    """Copy the states in a row of the tape from (or to) a place for them: h of all layers, then c."""
    size = rows * shape.hidden
    for layer in range(shape.layers):
        h, _, c, _, _ = states_at(shape, tape, layer, row, rows)
        kept = ahead(place, layer * size)
        copy(kept if to_tape else h, h if to_tape else kept, size)
        if shape.cell == cells.LSTM:
            kept = ahead(place, (shape.layers + layer) * size)
            copy(kept if to_tape else c, c if to_tape else kept, size)


@njit(**OPTIONS)
def backward(shape, net, tape, num1, num2, total, rows, begin, row, count, share, missed, work, carried, sums):
    """Walk `count` columns back from their end; adds to a tile's sums, returns the summed loss."""
    hidden, width, reached, free = shape.hidden, shape.width, shape.reached, shape.free
    size, both = rows * hidden, count * rows
    _, bias_at, _, own_at, into_at, dense_at, dense_bias_at, _, _, _ = gradient_places(shape)
    scores, dh_of, dz_of, ratios, identity, zero = work
    logits, dz, nothing = address(scores, 0), address(dz_of, 0), address(zero, 0)
    dh_before, dh = address(dh_of, 0), address(dh_of, size)  # what goes on to the chunk before stands in front
    head(shape, net, tape, logits, rows, row, count)
    loss = score(logits, total, rows, begin, count, share, missed, ratios, identity)
    _, top, _, _, _ = states_at(shape, tape, shape.layers - 1, row, rows)
    ddense = address(sums, dense_at)
    multiply(ddense, WIDTH, ddense, WIDTH, top, 1, hidden, logits, WIDTH, hidden, WIDTH, both)
    add_rows(logits, address(sums, dense_bias_at), both, WIDTH)
    multiply(dh, hidden, nothing, 0, logits, WIDTH, 1, address(net.dense_t, 0), hidden, both, hidden, 10)
    for layer in range(shape.layers - 1, -1, -1):
        weights = layer * hidden * reached
        carry, dc = address(carried, layer * size), address(carried, (shape.layers + layer) * size)
        add(carry, address(dh_of, count * size), size)
        copy(nothing, dh_before, size)
        for t in range(count - 1, -1, -1):
            h, h_next, c, c_next, z = states_at(shape, tape, layer, row + t, rows)
            before, here = ahead(dh_before, t * size), ahead(dz, t * rows * width)
            cells.backward(shape.cell, z, h, h_next, c, c_next, ahead(dh, t * size), before, dc, here, rows, hidden)
            multiply(before, hidden, before, hidden, ahead(here, free), width, 1, address(net.own_t, weights), hidden,
                     rows, hidden, reached)
        copy(dh_before, carry, size)
        h, _, _, _, _ = states_at(shape, tape, layer, row, rows)
        down = address(sums, own_at + weights)
        multiply(down, reached, down, reached, h, 1, hidden, ahead(dz, free), width, hidden, reached, both)
        if layer == 0:
            for t in range(count):
                for r in range(len(num1)):
                    pair = pair_of(num1, num2, r, begin + t)
                    add(ahead(dz, (t * rows + r) * width), address(sums, pair * width), width)
        else:
            add_rows(dz, address(sums, bias_at + layer * width), both, width)
            _, below, _, _, _ = states_at(shape, tape, layer - 1, row, rows)
            dinto = address(sums, into_at + weights)
            multiply(dinto, reached, dinto, reached, below, 1, hidden, dz, width, hidden, reached, both)
            multiply(dh, hidden, nothing, 0, dz, width, 1, address(net.into_t, weights), hidden, both, hidden, reached)
    return loss


@Kernel
def train(shape, net, num1, num2, total, chunk, kept, sums, losses, right, identity, first, step):
    """Loss, right sums and gradients of the tiles first, first + step, …; `kept` columns stay on the tape.

    Segments of `kept` columns, and chunks in them, are counted from the end, so that the sums do not depend on them.
    """
    count, columns = num1.shape
    share = np.float32(1 / (count * columns))
    segments = (columns - 1) // kept + 1
    size = ROWS * shape.hidden
    states = shape.layers * size * 2
    tape, saved, carried = tape_of(shape, kept, ROWS), aligned(segments * states), aligned(states)
    work = (aligned(chunk * ROWS * WIDTH), aligned((chunk + 1) * size), aligned(chunk * ROWS * shape.width),
            aligned(2 * (chunk * ROWS + WIDTH)), identity, zeros(size))
    for tile in range(first, len(losses), step):
        low, high = tile * ROWS, min((tile + 1) * ROWS, count)
        one, two, three = num1[low:high], num2[low:high], total[low:high]
        rows = len(one) + len(one) % 2
        missed = np.zeros(ROWS, np.int64)
        sums[tile] = carried[:] = saved[:] = np.float32(0)
        for walk in range(2 * segments - 1):  # forward over all segments, then back over all but the last
            segment = walk if walk < segments else 2 * segments - 2 - walk
            end = columns - (segments - 1 - segment) * kept
            begin = max(0, end - kept)
            move(shape, tape, rows, 0, address(saved, segment * states), True)
            for at in range(begin, end, chunk):
                forward(shape, net, tape, one, two, rows, at, at - begin, min(chunk, end - at))
            if walk + 1 < segments:
                move(shape, tape, rows, end - begin, address(saved, (segment + 1) * states), False)
                continue
            while end > begin:
                at = max(begin, end - chunk)
                losses[tile] += backward(shape, net, tape, one, two, three, rows, at, at - begin, end - at, share,
                                         missed, work, carried, sums[tile])
                end = at
        right[tile] = len(one) - np.count_nonzero(missed)


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
    tape, scores = tape_of(shape, chunk, ROWS), aligned(chunk * ROWS * WIDTH)
    held = zeros(shape.layers * ROWS * shape.hidden * 2)
    for low in range(first * ROWS, count, step * ROWS):
        one, two = num1[low : low + ROWS], num2[low : low + ROWS]
        rows = len(one) + len(one) % 2
        for k in range(len(state)):
            for r in range(len(one)):
                at = (k * rows + r) * shape.hidden
                held[at : at + state.shape[2]] = state[k, low + r]
        for begin in range(0, columns, chunk):
            here = min(chunk, columns - begin)
            move(shape, tape, rows, 0, address(held, 0), True)
            forward(shape, net, tape, one, two, rows, begin, 0, here)
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
    return 32 // cells.BLOCKS[shape.cell]


def kept_columns(shape, kept_bytes):
    """Columns whose states a thread keeps in so many bytes, in whole chunks."""
    column = ROWS * shape.layers * 4 * (shape.hidden * (1 + (shape.cell == cells.LSTM))
                                        + shape.width * (shape.cell != cells.RNN))
    return max(1, kept_bytes // column // chunk_of(shape)) * chunk_of(shape)


@functools.cache
def prepare():
    """Have all kernels compiled: from disk in half a second, or once for each processor, which a terminal is told."""
    sizes = Shape(cells.RNN, 1, WIDTH, WIDTH, WIDTH, WIDTH, 0)
    *_, length = gradient_places(sizes)
    vectors = [zeros(count) for count in (10 * WIDTH, *[2 * WIDTH**2] * 2, *[WIDTH**2] * 5, 10 * WIDTH, WIDTH, WIDTH,
                                          100 * WIDTH)]
    net, digits, sums = Net(*vectors), np.zeros((1, 1), np.int64), np.zeros((1, length), np.float32)
    fill_table(sizes, net)
    train(sizes, net, digits, digits, digits, 1, 1, sums, np.zeros(1), np.zeros(1, np.int64), IDENTITY, 0, 1)
    join(sizes, net, sums)
    state, logits, states = (np.zeros(size, np.float32) for size in ((1, 1, 1), (0, 0, 0), (0, 0, 0, 0)))
    predict(sizes, net, digits, digits, 1, state, digits, logits, states, 0, 1)
    update(*(zeros(WIDTH) for _ in range(4)), np.float32(1), np.float32(1))
