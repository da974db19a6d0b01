"""The same tile walks back, and adds its share to the gradients."""

from typing import NamedTuple

import numpy as np
from numba import njit

from addlab.engine import cells
from addlab.engine.cells import Gradients
from addlab.engine.compiling import OPTIONS
from addlab.engine.forward import ROWS, as_read, head, pair_of, states_at
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
from addlab.engine.layout import gradient_places
from addlab.engine.products import multiply

# A one-hot row for each digit, and a row of ten ones.
IDENTITY = np.concatenate((np.eye(10, WIDTH), np.eye(10, WIDTH).sum(0, keepdims=True))).astype(np.float32).ravel()


class Work(NamedTuple):
    """What a thread writes on its way back: gradients of a chunk of columns, and room to work."""

    logits: np.ndarray    # [chunk, rows, 16], then their gradient
    dh: np.ndarray        # [1 + chunk, rows, hidden]: of a layer's states, what goes on to the chunk before in front
    dz: np.ndarray        # [chunk, rows, width]
    carried: np.ndarray   # [2 layers, rows, hidden]: of h, then of c, that the next chunk hands to this one
    noisy: np.ndarray     # [chunk + 1, rows, hidden]: states with noise, h of a chunk, then c of a column; or empty
    ratios: np.ndarray    # [2, chunk * rows, in whole lanes]
    identity: np.ndarray  # IDENTITY
    zero: np.ndarray      # [rows, hidden]


@njit(**OPTIONS)
def work_of(shape, chunk, noise, identity):
    size = ROWS * shape.hidden
    return Work(aligned(chunk * ROWS * WIDTH), aligned((chunk + 1) * size), aligned(chunk * ROWS * shape.width),
                aligned(shape.layers * size * 2), aligned((chunk + 1) * size if noise.size else 0),
                aligned(2 * (chunk * ROWS + WIDTH)), identity, zeros(size))


@njit(**OPTIONS)
def add_rows(source, to, rows, width):
    """Add the sum of all rows."""
    for j in range(0, width, WIDTH):
        total = load(to, j)
        for row in range(rows):
            total = total + load(source, row * width + j)
        store(to, j, total)


@njit(**OPTIONS)
def score(work, tile, begin, columns, share, missed):
    """Turn logits into the gradient of `share` times their cross-entropy; returns the summed loss.

    With p of the right digit and q of the others, both relative to the largest, the loss is log(1 + q / p): exact also
    where it is small. `missed` counts each row's wrong digits.
    """
    rows, ratios = tile.rows, work.ratios
    both = columns * rows
    both_whole = (both + WIDTH - 1) // WIDTH * WIDTH
    ratios[:] = np.float32(0)  # q / p of each digit, then how far p was beyond what exp takes
    ten, least = load(address(work.identity, 10 * WIDTH), 0), fill(-60.0)
    for i in range(both):
        row, here = i % rows, address(work.logits, i * WIDTH)
        if row >= len(tile.total):
            store(here, 0, fill(0.0))
            continue
        z, right = load(here, 0), load(address(work.identity, tile.total[row, begin + i // rows] * WIDTH), 0)
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
def backward(shape, net, tape, tile, work, begin, row, count, share, missed, sums):
    """Walk `count` columns back from their end; adds to a tile's sums, returns the summed loss.

    The columns begin at column `begin` of the digits, behind row `row` of the tape.
    """
    rows, hidden, width, reached, free = tile.rows, shape.hidden, shape.width, shape.reached, shape.free
    size, both, places = rows * hidden, count * rows, gradient_places(shape)
    logits, dz, nothing = address(work.logits, 0), address(work.dz, 0), address(work.zero, 0)
    dh_before, dh = address(work.dh, 0), address(work.dh, size)
    head(shape, net, tape, logits, rows, row, count)
    loss = score(work, tile, begin, count, share, missed)
    top = states_at(shape, tape, shape.layers - 1, row, rows).h_next
    ddense = address(sums, places.dense)
    multiply(ddense, WIDTH, ddense, WIDTH, top, 1, hidden, logits, WIDTH, hidden, WIDTH, both)
    add_rows(logits, address(sums, places.dense_bias), both, WIDTH)
    multiply(dh, hidden, nothing, 0, logits, WIDTH, 1, address(net.dense_t, 0), hidden, both, hidden, 10)
    for layer in range(shape.layers - 1, -1, -1):
        weights = layer * hidden * reached
        carry, dc = address(work.carried, layer * size), address(work.carried, (shape.layers + layer) * size)
        add(carry, address(work.dh, count * size), size)
        copy(nothing, dh_before, size)
        for t in range(count - 1, -1, -1):
            column = states_at(shape, tape, layer, row + t, rows)
            if tile.noise.size:
                column = as_read(shape, tile, layer, begin + t, column, address(work.noisy, t * size),
                                 address(work.noisy, count * size))
            d = Gradients(ahead(dh, t * size), ahead(dh_before, t * size), dc, ahead(dz, t * rows * width))
            cells.backward(shape.cell, column, d, rows, hidden)
            multiply(d.h_before, hidden, d.h_before, hidden, ahead(d.z, free), width, 1, address(net.own_t, weights),
                     hidden, rows, hidden, reached)
        copy(dh_before, carry, size)
        read = address(work.noisy, 0) if tile.noise.size else states_at(shape, tape, layer, row, rows).h
        down = address(sums, places.own + weights)
        multiply(down, reached, down, reached, read, 1, hidden, ahead(dz, free), width, hidden, reached, both)
        if layer == 0:
            for t in range(count):
                for r in range(len(tile.num1)):
                    pair = pair_of(tile, r, begin + t)
                    add(ahead(dz, (t * rows + r) * width), address(sums, pair * width), width)
        else:
            add_rows(dz, address(sums, places.bias + layer * width), both, width)
            below = states_at(shape, tape, layer - 1, row, rows).h_next
            into = address(sums, places.into + weights)
            multiply(into, reached, into, reached, below, 1, hidden, dz, width, hidden, reached, both)
            multiply(dh, hidden, nothing, 0, dz, width, 1, address(net.into_t, weights), hidden, both, hidden, reached)
    return loss
