"""The three cells, one column of digits forward and one back, side by side.

A column's pre-activations z [rows, blocks * hidden] already hold what comes from below and from the state before;
`forward` turns them into gates in place and leaves the new state. `backward` is given the gradient dh of the new state
and leaves dz; `dh_before` gains what reaches the state before without a product, and the cell state's gradient dc moves
one column back. `hidden` is in whole lanes. z, h and the like are pointers.
σ' = σ (1 - σ) and tanh' = 1 - tanh²; gradients below 2**-100 are taken as 0.
"""

from typing import NamedTuple

from numba import njit

from addlab.engine.compiling import OPTIONS
from addlab.engine.functions import sigmoid, tanh
from addlab.engine.lanes import WIDTH, fill, flush, fma, load, store


@njit(**OPTIONS)
def through_tanh(gradient, y):
    """The gradient before a tanh that gave y."""
    return flush(gradient * fma(fill(0.0) - y, y, fill(1.0)))


@njit(**OPTIONS)
def through_sigmoid(gradient, y):
    """The gradient before a σ that gave y."""
    return flush(gradient * (y * (fill(1.0) - y)))


@njit(**OPTIONS)
def rnn_forward(z, h, h_next, c, c_next, rows, hidden):
    """h' = tanh(z). What is kept of z is h' itself."""
    for i in range(0, rows * hidden, WIDTH):
        store(h_next, i, tanh(load(z, i)))


@njit(**OPTIONS)
def rnn_backward(z, h, h_next, c, c_next, dh, dh_before, dc, dz, rows, hidden):
    for i in range(0, rows * hidden, WIDTH):
        store(dz, i, through_tanh(load(dh, i), load(h_next, i)))


@njit(**OPTIONS)
def lstm_forward(z, h, h_next, c, c_next, rows, hidden):
    """i, f, o = σ(z), g = tanh(z);  c' = f c + i g;  h' = o tanh(c')."""
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            i, f = sigmoid(load(z, at)), sigmoid(load(z, at + hidden))
            g, o = tanh(load(z, at + 2 * hidden)), sigmoid(load(z, at + 3 * hidden))
            cell = fma(f, load(c, to), i * g)
            store(z, at, i)
            store(z, at + hidden, f)
            store(z, at + 2 * hidden, g)
            store(z, at + 3 * hidden, o)
            store(c_next, to, cell)
            store(h_next, to, o * tanh(cell))


@njit(**OPTIONS)
def lstm_backward(z, h, h_next, c, c_next, dh, dh_before, dc, dz, rows, hidden):
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            i, f = load(z, at), load(z, at + hidden)
            g, o = load(z, at + 2 * hidden), load(z, at + 3 * hidden)
            shown, gradient = tanh(load(c_next, to)), load(dh, to)
            cell = load(dc, to) + through_tanh(gradient * o, shown)
            store(dz, at, through_sigmoid(cell * g, i))
            store(dz, at + hidden, through_sigmoid(cell * load(c, to), f))
            store(dz, at + 2 * hidden, through_tanh(cell * i, g))
            store(dz, at + 3 * hidden, through_sigmoid(gradient * shown, o))
            store(dc, to, flush(cell * f))


@njit(**OPTIONS)
def gru_forward(z, h, h_next, c, c_next, rows, hidden):
    """z is n, r, u, m;  r, u = σ(r, u);  n = tanh(n + r m);  h' = n + u (h - n).

    PyTorch's variant: n is the input's share of the candidate and m the state's, each with its bias, so the state does
    not reach block n, nor the input block m.
    """
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            r, u = sigmoid(load(z, at + hidden)), sigmoid(load(z, at + 2 * hidden))
            n = tanh(fma(r, load(z, at + 3 * hidden), load(z, at)))
            store(z, at, n)
            store(z, at + hidden, r)
            store(z, at + 2 * hidden, u)
            store(h_next, to, fma(u, load(h, to) - n, n))


@njit(**OPTIONS)
def gru_backward(z, h, h_next, c, c_next, dh, dh_before, dc, dz, rows, hidden):
    for row in range(rows):
        for j in range(0, hidden, WIDTH):
            at, to = 4 * row * hidden + j, row * hidden + j
            n, r = load(z, at), load(z, at + hidden)
            u, m = load(z, at + 2 * hidden), load(z, at + 3 * hidden)
            gradient = load(dh, to)
            kept = gradient * u
            dn = through_tanh(gradient - kept, n)
            store(dz, at, dn)
            store(dz, at + hidden, through_sigmoid(dn * m, r))
            store(dz, at + 2 * hidden, through_sigmoid(gradient * (load(h, to) - n), u))
            store(dz, at + 3 * hidden, flush(dn * r))
            store(dh_before, to, load(dh_before, to) + flush(kept))


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
def forward(cell, z, h, h_next, c, c_next, rows, hidden):
    """One column forward, of the cell of this number."""
    if cell == RNN:
        rnn_forward(z, h, h_next, c, c_next, rows, hidden)
    elif cell == LSTM:
        lstm_forward(z, h, h_next, c, c_next, rows, hidden)
    else:
        gru_forward(z, h, h_next, c, c_next, rows, hidden)


@njit(**OPTIONS)
def backward(cell, z, h, h_next, c, c_next, dh, dh_before, dc, dz, rows, hidden):
    """One column back, of the cell of this number."""
    if cell == RNN:
        rnn_backward(z, h, h_next, c, c_next, dh, dh_before, dc, dz, rows, hidden)
    elif cell == LSTM:
        lstm_backward(z, h, h_next, c, c_next, dh, dh_before, dc, dz, rows, hidden)
    else:
        gru_backward(z, h, h_next, c, c_next, dh, dh_before, dc, dz, rows, hidden)
