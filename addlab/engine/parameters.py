"""The first weights of a run, noise and Adam's updates, with the same bits on every processor."""

import math

import numpy as np
import torch

from addlab.engine import cells
from addlab.engine.compiling import Kernel
from addlab.engine.functions import cos, log, sin
from addlab.engine.lanes import (
    WIDTH,
    address,
    fill,
    high_bits,
    load,
    maximum,
    root,
    select_bit_0,
    select_bit_1,
    store,
)
from addlab.inputs import Refusal


def draw(model, rng):
    """Draw a model's weights, in place, from a NumPy Generator: torch's distributions.

    The embedding's are normal, all others uniform within ±1 / sqrt(hidden).
    """
    bound = 1 / math.sqrt(model.rnn.hidden_size)
    with torch.no_grad():
        for p in model.parameters():
            embedding = p is model.embed_layer.weight
            numbers = normal(rng, p.shape) if embedding else rng.uniform(-bound, bound, p.shape)
            p.copy_(torch.from_numpy(numbers.astype(np.float32)))


def normal(rng, shape):
    """Normal numbers by Marsaglia's polar method: NumPy's own ask the system's exp and log, which differ."""
    found = np.empty(0)
    while len(found) < math.prod(shape):
        x, y = rng.uniform(-1, 1, (2, math.prod(shape)))
        square = x * x + y * y
        inside = (square < 1) & (square > 0)
        scale = np.sqrt(-2 * logarithm(square[inside]) / square[inside])
        found = np.concatenate((found, x[inside] * scale, y[inside] * scale))
    return found[: math.prod(shape)].reshape(shape)


def logarithm(x):
    """The natural logarithm of positive numbers, to 1e-15, by operations that IEEE 754 rounds alike everywhere."""
    mantissa, exponent = np.frexp(x)
    ratio = (mantissa - 0.75) / (mantissa + 0.75)  # log(m / 0.75) = 2 artanh(ratio), |ratio| <= 1/5
    square, total = ratio * ratio, np.zeros_like(ratio)
    for k in range(23, 0, -2):
        total = total * square + 1 / k
    return exponent * 0.6931471805599453 + (2 * ratio * total - 0.2876820724517809)


def draw_noise(rng, model, count, columns, std):
    """Normal numbers of a standard deviation for `gradients(…, noise)`, from a NumPy Generator.

    float32 [layers, columns, count, hidden], for an LSTM twice the layers: of h, then of c. None is beyond 5.8
    standard deviations, where one in a hundred million should be. Raises ValueError for a model without such layers.
    """
    if type(getattr(model, "rnn", None)).__name__ not in cells.CELLS:
        raise Refusal(f"noise (--noise): got {std:g}, allowed is 0 for a model without nn.RNN, GRU or LSTM as rnn")
    states = cells.CELLS[type(model.rnn).__name__].states * model.rnn.num_layers
    shape = states, columns, count, model.rnn.hidden_size
    size = math.prod(shape)
    bits = rng.integers(0, 2**32, -(-size // (2 * WIDTH)) * 2 * WIDTH, np.uint32)
    numbers = np.empty(len(bits), np.float32)
    to_normal(bits.view(np.float32), numbers, np.float32(std))
    return numbers[:size].reshape(shape)


@Kernel
def to_normal(bits, numbers, std):
    """Random bits to normal numbers by Box and Muller's method, in lanes: the polar one would cost more than a batch.

    A vector of bits gives the radius, the next one the angle: 24 bits within a quarter around 0, two for which quarter.
    """
    for i in range(0, len(bits), 2 * WIDTH):
        first, second = load(address(bits, i), 0), load(address(bits, i + WIDTH), 0)
        uniform = fill(1.0) - high_bits(first) * fill(2.0**-24)  # from 2**-24 to 1
        radius = root(maximum(log(uniform) * fill(-2.0), fill(0.0))) * fill(std)
        angle = (high_bits(second) * fill(2.0**-23) - fill(1.0)) * fill(0.7853981633974483)
        x, y = cos(angle) * radius, sin(angle) * radius
        x = select_bit_0(second, fill(0.0) - x, x)
        store(address(numbers, i), 0, select_bit_1(second, y, x))
        store(address(numbers, i + WIDTH), 0, select_bit_1(second, x, y))


@Kernel
def update(p, gradient, m, v, step_size, root_correction):
    """One step of Adam for a parameter (Kingma & Ba 2015, arXiv:1412.6980), each element on its own.

    Moments below 1e-30 are taken as 0: denormals cost 5 to 13 times, and count for nothing beside 1e-8.
    """
    tiny, zero = np.float32(1e-30), np.float32(0)
    for i in range(len(p)):
        g = gradient[i]
        first = np.float32(0.9) * m[i] + np.float32(0.1) * g
        second = np.float32(0.999) * v[i] + np.float32(0.001) * (g * g)
        m[i] = zero if abs(first) < tiny else first
        v[i] = zero if second < tiny else second
        p[i] -= step_size * (m[i] / (np.sqrt(v[i]) / root_correction + np.float32(1e-8)))


class Adam:
    """Adam with its usual constants, in place on the memory of float32 parameters on the CPU.

    parameters: an iterable of them, or a function that gives one at each step, as `model.parameters`, so that tensors
    put in their places are trained, too. Those without a .grad, or that require none, are left alone.
    """

    def __init__(self, parameters, lr):
        self.parameters, self.lr, self.step_count = parameters if callable(parameters) else list(parameters), lr, 0
        sizes = [p.numel() for p in self._parameters()]
        self.m, self.v = ([np.zeros(size, np.float32) for size in sizes] for _ in range(2))
        self.powers = [1.0, 1.0]  # of 0.9 and 0.999; a system's pow may differ in its last bit

    def _parameters(self):
        return list(self.parameters()) if callable(self.parameters) else self.parameters

    def step(self):
        """Update every parameter by its .grad."""
        self.step_count += 1
        self.powers = [self.powers[0] * 0.9, self.powers[1] * 0.999]
        step_size = np.float32(self.lr / (1 - self.powers[0]))
        root_correction = np.float32(math.sqrt(1 - self.powers[1]))
        for p, m, v in zip(self._parameters(), self.m, self.v, strict=True):
            if p.requires_grad and p.grad is not None:
                update(p.detach().view(-1).numpy(), p.grad.numpy().reshape(-1), m, v, step_size, root_correction)

    def state_dict(self):
        """All that the next step depends on, as tensors by name, on their own memory."""
        state = {"step": torch.tensor(self.step_count), "powers": torch.tensor(self.powers, dtype=torch.float64)}
        for name in ("m", "v"):
            state |= {f"{name}.{i}": torch.tensor(moment) for i, moment in enumerate(getattr(self, name))}
        return state

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave."""
        self.step_count, self.powers = int(state["step"]), state["powers"].tolist()
        for name in ("m", "v"):
            for i, moment in enumerate(getattr(self, name)):
                moment[:] = state[f"{name}.{i}"].numpy()
