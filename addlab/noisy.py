"""What noise on the state means, in torch: the engine's kernels add the same noise, to rounding."""

import torch


def noisy_states(rnn, inputs, noise):
    """The top layer's state after each column, where noise is added to what the next column reads of every layer.

    rnn: an nn.RNN, LSTM or GRU, from h0 = 0. inputs: [digits, count, size]. noise: [layers, digits, count, hidden], for
    an LSTM first that of all h, then of all c. Returns [digits, count, hidden].
    """
    tops, state = [], None
    for column, shift in zip(inputs, noise.transpose(0, 1), strict=True):
        top, state = rnn(column[None], state)
        tops.append(top[0])
        if isinstance(state, tuple):
            state = state[0] + shift[: len(state[0])], state[1] + shift[len(state[0]) :]
        else:
            state = state + shift
    return torch.stack(tops)
