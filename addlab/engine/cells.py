"""The three cells, one column of digits forward and one back, side by side.

A column's pre-activations z [rows, blocks * hidden] already hold what comes from below and from the state before;
`forward` turns them into gates in place and leaves the new state. `backward` is given the gradient of the new state and
leaves that of z; the gradient of the state before gains what reaches it without a product, and that of the cell state
moves one column back. `hidden` is in whole lanes.
σ' = σ (1 - σ) and tanh' = 1 - tanh²; gradients below 2**-100 are taken as 0.
"""

from typing import NamedTuple

from numba import njit

from addlab.engine.compiling import OPTIONS
from addlab.engine.functions import sigmoid, tanh
from addlab.engine.lanes import WIDTH, fill, flush, fma, load, store


class Column(NamedTuple):
    """Pointers to a tile's states before and after one column, and to its pre-activations or gates."""

    h: int
    h_next: int
    c: int
    c_next: int
    z: int


class Gradients(NamedTuple):
    """Pointers to the gradients of h_next, of h, of c_next (then of c), and of z."""

    h: int
    h_before: int
    c: int
    z: int


@njit(**OPTIONS)
def through_tanh(gradient, y):
    """The gradient before a tanh that gave y."""
    return flush(gradient * fma(fill(0.0) - y, y, fill(1.0)))


@njit(**OPTIONS)
def through_sigmoid(gradient, y):
    """The gradient before a σ that gave y."""
    return flush(gradient * (y * (fill(1.0) - y)))


@njit(**OPTIONS)
def rnn_forward(column, rows, hidden):
    """h' = tanh(z). What is kept of z is h' itself."""
    for i in range(0, rows * hidden, WIDTH):
        store(column.h_next, i, tanh(load(column.z, i)))


@njit(**OPTIONS)
def rnn_backward(column, d, rows, hidden):
    for i in range(0, rows * hidden, WIDTH):
        store(d.z, i, through_tanh(load(d.h, i), load(column.h_next, i)))


@njit(**OPTIONS)
def lstm_forward(column, rows, hidden):
    """i, f, o = σ(z), g = tanh(z);  c' = f c + i g;  h' = o tanh(c')."""
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            i, f = sigmoid(load(column.z, at)), sigmoid(load(column.z, at + hidden))
            g, o = tanh(load(column.z, at + 2 * hidden)), sigmoid(load(column.z, at + 3 * hidden))
            cell = fma(f, load(column.c, to), i * g)
            store(column.z, at, i)
            store(column.z, at + hidden, f)
            store(column.z, at + 2 * hidden, g)
            store(column.z, at + 3 * hidden, o)
            store(column.c_next, to, cell)
            store(column.h_next, to, o * tanh(cell))


@njit(**OPTIONS)
def lstm_backward(column, d, rows, hidden):
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            i, f = load(column.z, at), load(column.z, at + hidden)
            g, o = load(column.z, at + 2 * hidden), load(column.z, at + 3 * hidden)
            shown, gradient = tanh(load(column.c_next, to)), load(d.h, to)
            cell = load(d.c, to) + through_tanh(gradient * o, shown)
            store(d.z, at, through_sigmoid(cell * g, i))
            store(d.z, at + hidden, through_sigmoid(cell * load(column.c, to), f))
            store(d.z, at + 2 * hidden, through_tanh(cell * i, g))
            store(d.z, at + 3 * hidden, through_sigmoid(gradient * shown, o))
            store(d.c, to, flush(cell * f))


@njit(**OPTIONS)
def gru_forward(column, rows, hidden):
    """z is n, r, u, m;  r, u = σ(r, u);  n = tanh(n + r m);  h' = n + u (h - n).

    PyTorch's variant: n is the input's share of the candidate and m the state's, each with its bias, so the state does
    not reach block n, nor the input block m.
    """
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            r, u = sigmoid(load(column.z, at + hidden)), sigmoid(load(column.z, at + 2 * hidden))
            n = tanh(fma(r, load(column.z, at + 3 * hidden), load(column.z, at)))
            store(column.z, at, n)
            store(column.z, at + hidden, r)
            store(column.z, at + 2 * hidden, u)
            store(column.h_next, to, fma(u, load(column.h, to) - n, n))


@njit(**OPTIONS)
def gru_backward(column, d, rows, hidden):
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            n, r = load(column.z, at), load(column.z, at + hidden)
            u, m = load(column.z, at + 2 * hidden), load(column.z, at + 3 * hidden)
            gradient = load(d.h, to)
            kept = gradient * u
            dn = through_tanh(gradient - kept, n)
            store(d.z, at, dn)
            store(d.z, at + hidden, through_sigmoid(dn * m, r))
            store(d.z, at + 2 * hidden, through_sigmoid(gradient * (load(column.h, to) - n), u))
            store(d.z, at + 3 * hidden, flush(dn * r))
            store(d.h_before, to, load(d.h_before, to) + flush(kept))


class Cell(NamedTuple):
    """What the rest of the engine knows of a cell."""

    number: int
    mode: str      # torch's word for what the module named after the cell computes
    blocks: int    # of pre-activations in z
    reach: int     # of them, the first get something from the input, the last from the state
    inputs: tuple  # where torch's gates of the input weights stand in z
    states: int    # 1: h; 2: h and c
    keeps_z: bool  # whether the walk back needs z; if not, z lies where h' will


RNN, LSTM, GRU = range(3)
CELLS = {"RNN": Cell(RNN, "RNN_TANH", blocks=1, reach=1, inputs=(0,), states=1, keeps_z=False),
         "LSTM": Cell(LSTM, "LSTM", blocks=4, reach=4, inputs=(0, 1, 2, 3), states=2, keeps_z=True),
         "GRU": Cell(GRU, "GRU", blocks=4, reach=3, inputs=(1, 2, 0), states=1, keeps_z=True)}


@njit(**OPTIONS)
def forward(cell, column, rows, hidden):
    """One column forward, of the cell of this number."""
    if cell == RNN:
        rnn_forward(column, rows, hidden)
    elif cell == LSTM:
        lstm_forward(column, rows, hidden)
    else:
        gru_forward(column, rows, hidden)


@njit(**OPTIONS)
def backward(cell, column, d, rows, hidden):
    """One column back, of the cell of this number."""
    if cell == RNN:
        rnn_backward(column, d, rows, hidden)
    elif cell == LSTM:
        lstm_backward(column, d, rows, hidden)
    else:
        gru_backward(column, d, rows, hidden)
