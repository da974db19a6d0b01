"""Numba's part: kernels are compiled once for each processor, and kept on disk."""

import functools
import sys
import threading

import numpy as np

from addlab.engine import bptt, cells
from addlab.engine.lanes import WIDTH, zeros
from addlab.engine.layout import Net, Shape, fill_table, gradient_places, join


@functools.cache
def prepare():
    """Have all kernels compiled: from disk in half a second, or once for each processor, which a terminal is told."""
    told = threading.Timer(2, lambda: sys.stderr.isatty() and print(
        "addrnn: compiling the engine for this processor, once: some twenty seconds", file=sys.stderr))
    told.daemon = True
    told.start()
    sizes = Shape(cells.RNN, 1, WIDTH, WIDTH, WIDTH, WIDTH, 0)
    *_, length = gradient_places(sizes)
    vectors = [zeros(count) for count in (10 * WIDTH, *[2 * WIDTH**2] * 2, *[WIDTH**2] * 5, 10 * WIDTH, WIDTH, WIDTH,
                                          100 * WIDTH)]
    net, digits, sums = Net(*vectors), np.zeros((1, 1), np.int64), np.zeros((1, length), np.float32)
    fill_table(sizes, net)
    bptt.train(sizes, net, digits, digits, digits, 1, 1, sums, np.zeros(1), np.zeros(1, np.int64), bptt.IDENTITY, 0, 1)
    join(sizes, net, sums)
    state, logits = np.zeros((1, 1, 1), np.float32), np.zeros((0, 0, 0), np.float32)
    bptt.predict(sizes, net, digits, digits, 1, state, digits, logits, np.zeros((0, 0, 0, 0), np.float32), 0, 1)
    told.cancel()
