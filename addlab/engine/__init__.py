"""What others ask of the engine: gradients, predictions and states of an adder, with the same bits on every CPU.

Every function takes the model at each call and reads its parameters where they are then, so nothing goes stale when a
model is copied, pickled or loaded. Where `supports(model)` is False, torch serves.

    loss, accuracy = gradients(model, num1, num2, total)   # and each parameter's .grad, for Adam or any optimizer
    digits = predict(model, num1, num2)
"""

import numpy as np
import torch

from addlab.engine import bptt, cells
from addlab.engine.bptt import KEPT, VERSION, prepare
from addlab.engine.compiling import Kernel as kernel
from addlab.engine.forward import ROWS
from addlab.engine.layout import join, layout_of
from addlab.engine.parameters import Adam, draw, draw_noise
from addlab.engine.support import named, refusal, served, sizes
from addlab.engine.threads import on_threads, one_thread
from addlab.inputs import Refusal

__all__ = ["CELLS", "VERSION", "Adam", "draw", "draw_noise", "gates", "gradients", "kernel", "logits", "one_thread",
           "predict", "prepare", "served", "states", "supports", "versions"]

CELLS = {name: getattr(torch.nn, name) for name in cells.CELLS}  # {name: torch's class}


def versions(model):
    """{whose operations the bits of a model's training depend on: the version}."""
    return {"engine": VERSION} if supports(model) else {"torch": torch.__version__}


def gates(cell):
    """How many hidden x hidden blocks the weights of a cell have, by its name."""
    return len(cells.CELLS[cell].inputs)


PLAIN = "C", "W"  # arrays that are contiguous and may be written: for others kernels would be compiled again


def supports(model):
    """Whether the kernels compute what this model's own forward and torch's autograd would.

    Its forward must be marked by `served`, and its parts be plain: an Embedding of the ten digits, an RNN (of tanh),
    LSTM or GRU with biases, a Linear of ten outputs, in float32 on the CPU, without hooks, dropout or more parameters.
    """
    return not refusal(model)


def gradients(model, num1, num2, total, noise=None, *, kept_bytes=KEPT):
    """Mean cross-entropy a digit, and the share of sums with every digit right; overwrites every parameter's .grad.

    num1, num2, total: integers from 0 to 9, [count, digits]. A parameter that requires no gradient is left alone.
    noise, float32 as `draw_noise` shapes it, is added to the state after each column before the next one reads it; the
    layer above and the dense layer read it as it is. `kept_bytes` bounds what a thread keeps of the states; it changes
    no bit. Raises ValueError for other digits or noise, and for a model that is not served.
    """
    net, layout = net_of(model)
    num1, num2, total = digit_arrays(num1, num2, total)
    count, columns = num1.shape
    tiles, chunk = -(-count // ROWS), bptt.chunk_of(layout.shape)
    sums, losses, right = np.empty((tiles, layout.length), np.float32), np.zeros(tiles), np.zeros(tiles, np.int64)
    kept = min(bptt.kept_columns(layout.shape, kept_bytes), -(-columns // chunk) * chunk)
    on_threads(bptt.train, tiles, layout.shape, net, num1, num2, total, noise_array(noise, layout, num1.shape), chunk,
               kept, sums, losses, right, bptt.IDENTITY)
    gradient, at = torch.from_numpy(join(layout.shape, net, sums)[layout.sources]), 0
    for p in named(model).values():
        if p.requires_grad:
            p.grad = gradient[at : at + p.numel()].view(p.shape)
        at += p.numel()
    return sum(losses.tolist()) / num1.size, int(right.sum()) / count


def predict(model, num1, num2):
    """The most likely digit at every position, the lowest of equals: int64 [count, digits]."""
    return walk(model, num1, num2)["digits"]


def logits(model, num1, num2, state=None):
    """Logits float32 [count, digits, 10] and the state after the last column, from a state before the first.

    A state is float32 [layers, count, hidden], for an LSTM a pair (h, c) of them; None is the zero state.
    """
    found = walk(model, num1, num2, state, "logits")
    return found["logits"], h_and_c(model, found["after"])


def states(model, num1, num2, state=None):
    """The state after each column: float32 [layers, count, digits, hidden], for an LSTM a pair (h, c) of them."""
    return h_and_c(model, walk(model, num1, num2, state, "states")["states"])


def walk(model, num1, num2, state=None, wanted=None):
    """{"digits": …, "after": the state}, and "logits" or "states" where they are wanted."""
    net, layout = net_of(model)
    num1, num2 = digit_arrays(num1, num2)
    kept = layout.shape.layers * layout.shape.states
    rooms = {"logits": (*num1.shape, 10), "states": (kept, *num1.shape, layout.units)}
    found = {name: np.empty(size if name == wanted else (0,) * len(size), np.float32) for name, size in rooms.items()}
    found |= {"digits": np.empty(num1.shape, np.int64), "after": np.zeros((kept, len(num1), layout.units), np.float32)}
    if state is not None:
        found["after"][:] = np.concatenate(state) if layout.shape.states == 2 else state
    on_threads(bptt.predict, -(-len(num1) // ROWS), layout.shape, net, num1, num2, bptt.chunk_of(layout.shape),
               found["after"], found["digits"], found["logits"], found["states"])
    return found


def h_and_c(model, array):
    """(h, c) of an LSTM's states; those of others as they are."""
    return tuple(np.split(array, 2)) if len(array) > model.rnn.num_layers else array


def net_of(model):
    """A model's parameters as the kernels read them, and their Layout."""
    if why := refusal(model):
        raise Refusal(f"model: got {why}, allowed is what addlab.engine.supports")
    prepare()
    layout = layout_of(*sizes(model))
    return layout.net([p.detach().numpy().reshape(-1) for p in named(model).values()]), layout


def noise_array(noise, layout, digits):
    """Noise as the kernels read it, units padded to whole lanes: flat, empty for None. Raises ValueError."""
    if noise is None:
        return bptt.NO_NOISE
    count, columns = digits
    shape = layout.shape.layers * layout.shape.states, columns, count, layout.units
    noise = np.asarray(noise, np.float32)
    if noise.shape != shape:
        raise Refusal(f"noise: got shape {noise.shape}, allowed is {shape}")
    if padding := layout.shape.hidden - layout.units:
        noise = np.pad(noise, [(0, 0)] * 3 + [(0, padding)])
    return np.require(noise, np.float32, PLAIN).reshape(-1)


def digit_arrays(*arrays):
    """The arrays as int64, checked, since the kernels trust them. Raises ValueError."""
    given = [np.asarray(a) for a in arrays]
    with np.errstate(invalid="ignore"):  # what is not a number is refused below
        arrays = [np.require(a, np.int64, PLAIN) for a in given]
    for a, was in zip(arrays, given, strict=True):
        if a.ndim != 2 or a.shape != arrays[0].shape or not a.size:
            raise Refusal(f"digits: got shapes {[x.shape for x in arrays]}, allowed is one shape [count, digits]")
        if a.view(np.uint64).max() > 9:  # where a negative number is a large one
            raise Refusal(f"digits: got {a.min()} to {a.max()}, allowed is 0 to 9")
        if was.dtype.kind not in "iub" and (a != was).any():
            raise Refusal(f"digits: got {was[a != was][0]}, allowed are whole numbers from 0 to 9")
    return arrays
