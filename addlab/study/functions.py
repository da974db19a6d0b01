"""How exactly a device computes tanh and σ, over every float32: torch's own functions, and those inside its cells.

A certificate assumes less than 2^-20. `python -m tools.exhaust functions` measures the device that ADDRNN_DEVICE names.
"""

import torch
from torch import nn, sigmoid, tanh

from addlab.devices import full_precision

UNITS = 64
AT_ONCE = 2**24  # numbers
OPEN, SHUT = 200.0, -200.0  # σ is 1 and 0 there, exactly, and tanh of the first 1


def errors(device, bits=range(0, 2**32, AT_ONCE)):
    """{where: largest distance from the exact value} over the finite float32 numbers, AT_ONCE from each of `bits`.

    The exact value is that of the same number in float64, on the same device.
    """
    found = {}
    for first in bits:
        x = torch.arange(first, first + AT_ONCE, device=device).to(torch.int32).view(torch.float32).reshape(-1, UNITS)
        x[~x.isfinite()] = 0
        for where, function, value in computed(x):
            distance = (value.double() - function(x.double())).abs().max().item()
            found[where] = max(distance, found.get(where, 0.0))
    return found


@torch.no_grad()
def computed(x):
    """(where, function, the function's values at x [batch, UNITS]) for each place in which torch computes one."""
    read, full, empty = x[None], torch.ones_like(x)[None], torch.zeros_like(x)[None]
    with full_precision():
        return [
            ("torch.tanh", tanh, tanh(x)),
            ("torch.sigmoid", sigmoid, sigmoid(x)),
            ("RNN", tanh, cell(nn.RNN, x)(read)[0][0]),
            ("LSTM, input gate", sigmoid, cell(nn.LSTM, x, None, SHUT, OPEN, OPEN)(read)[1][1][0]),
            ("LSTM, candidate", tanh, cell(nn.LSTM, x, OPEN, SHUT, None, OPEN)(read)[1][1][0]),
            ("LSTM, cell state", tanh, cell(nn.LSTM, x, SHUT, OPEN, 0.0, OPEN)(empty, (empty, read))[0][0]),
            ("GRU, update gate", sigmoid, cell(nn.GRU, x, 0.0, None, 0.0)(read, full)[0][0]),
            ("GRU, candidate", tanh, cell(nn.GRU, x, 0.0, SHUT, None)(read)[0][0]),
        ]


def cell(kind, like, *gates):
    """A cell where `like` is, its gates in torch's order: what each is given, or None for one that is its input."""
    network = kind(UNITS, UNITS).to(like.device)
    for values in network.parameters():
        values.zero_()
    for number, gate in enumerate(gates or [None]):
        rows = slice(number * UNITS, (number + 1) * UNITS)
        if gate is None:
            network.weight_ih_l0[rows] = torch.eye(UNITS)
        else:
            network.bias_ih_l0[rows] = gate
    return network
