"""Boxes of states: what a network does in one column to all states between two ends at once, in torch, with gradients.

It rounds as floats do, so it proves nothing: `checker` proves. It serves to find boxes and to train on them.
A box is an Interval of vectors; a layer's vector is laid out as `checker.prove` says.
"""

from typing import NamedTuple

import torch

from addlab import engine
from addlab.certify.machines import sound

OPEN, LEAK = 6.0, 2.0**-7  # of a GRU's update gate: what opens it wide, and its slope from there on


class Interval(NamedTuple):
    """All tensors between two."""

    low: torch.Tensor
    high: torch.Tensor

    @property
    def middle(self):
        return (self.high + self.low) / 2

    @property
    def radius(self):
        return (self.high - self.low) / 2

    def __add__(self, other):
        """With an Interval or a tensor."""
        low, high = other if isinstance(other, Interval) else (other, other)
        return Interval(self.low + low, self.high + high)

    def __mul__(self, other):
        ends = torch.stack([mine * others for mine in self for others in other])
        return Interval(ends.amin(0), ends.amax(0))

    def __getitem__(self, index):
        return Interval(self.low[index], self.high[index])

    def each(self, function):
        """The function of both ends: for rising functions, and for what only moves entries."""
        return Interval(function(self.low), function(self.high))

    def image(self, matrix):
        """Of a matrix: matrix · x for each row x."""
        return around(self.middle @ matrix.T, self.radius @ matrix.abs().T)

    def contains(self, other):
        return bool((self.low <= other.low).all() and (other.high <= self.high).all())


def around(middle, radius):
    """The Interval of a middle and a radius."""
    return Interval(middle - radius, middle + radius)


def blend(gate, new, old):
    """(1 - gate) · new + gate · old, for a gate between 0 and 1."""
    lows = [torch.lerp(new.low, old.low, end) for end in (gate.low, gate.high)]
    highs = [torch.lerp(new.high, old.high, end) for end in (gate.low, gate.high)]
    return Interval(torch.minimum(*lows), torch.maximum(*highs))


class Layer(NamedTuple):
    w: torch.Tensor
    u: torch.Tensor
    b_w: torch.Tensor
    b_u: torch.Tensor


class Weights(NamedTuple):
    """The tensors of a network, by their place in the recurrence."""

    cell: str
    embedding: torch.Tensor
    layers: list
    dense: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def of(cls, model, dtype=torch.float32):
        """Of an Adder, or of any module with an embed_layer, an rnn and a dense."""
        def tensor(owner, name):
            return getattr(owner, name).to(dtype)

        names = "weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"
        layers = [Layer(*(tensor(model.rnn, f"{name}{k}") for name in names)) for k in range(model.rnn.num_layers)]
        return cls(type(model.rnn).__name__, tensor(model.embed_layer, "weight"), layers,
                   tensor(model.dense, "weight"), tensor(model.dense, "bias"))


class Cases:
    """A machine's cases as tensors [cases], in the order of `checker.cases_of`: of the start, then of each state."""

    def __init__(self, machine):
        sound(machine)
        self.columns = torch.tensor(machine.columns)                              # [columns, inputs]
        self.origins = machine.states + 1
        start_first = [machine.next_state[0], *machine.next_state]
        self.target = torch.tensor(start_first).flatten()
        self.output = torch.tensor([machine.output[0], *machine.output]).flatten()
        self.origin = torch.arange(self.origins).repeat_interleave(len(self.columns))
        self.arrivals = self.into_each(torch.ones_like(self.target, dtype=torch.bool))

    def into_each(self, counted):
        """Of the counted cases, those that lead into each state: [states, most], short rows filled with repeats.

        A state that none of them leads into has the row -1.
        """
        into = [torch.nonzero(counted & (self.target == state)).flatten() for state in range(self.origins - 1)]
        places = torch.arange(max(map(len, into)))
        nowhere = torch.full_like(places, -1)
        return torch.stack([row[places % len(row)] if len(row) else nowhere for row in into])


def start_boxes(weights, origins):
    """The zero state as the box of every origin: [layer] Interval [origins, entries]."""
    sizes = [len(layer.u) + (weights.cell != "RNN") * layer.u.shape[1] for layer in weights.layers]
    return [Interval(*(weights.dense.new_zeros(2, origins, size))) for size in sizes]


def leaky_sigmoid(z):
    """A sigmoid that passes 1 where it is as good as 1.

    A GRU's unit that keeps its state to the last bit keeps all rounding errors, too, and is not proved. The sigmoid's
    own gradient would be 0 there, and the gate stay open.
    """
    return torch.sigmoid(z) + LEAK * (z - OPEN).relu()


def step(cell, from_below, from_state, carried):
    """One layer, one column: (h, what it carries besides: c, h or None). The first two hold all gates side by side."""
    x = from_below.each(lambda end: torch.stack(end.chunk(engine.gates(cell), 1)))      # [gates, cases, hidden]
    u = from_state.each(lambda end: torch.stack(end.chunk(engine.gates(cell), 1)))
    if cell == "RNN":
        return (x[0] + u[0]).each(torch.tanh), None
    if cell == "LSTM":
        i, f, o = ((x[k] + u[k]).each(torch.sigmoid) for k in (0, 1, 3))
        c = f * carried + i * (x[2] + u[2]).each(torch.tanh)
        return o * c.each(torch.tanh), c
    r, z = (x[0] + u[0]).each(torch.sigmoid), (x[1] + u[1]).each(leaky_sigmoid)
    h = blend(z, (x[2] + r * u[2]).each(torch.tanh), carried)
    return h, h


def transitions(weights, cases, boxes):
    """Where every case leads from all of its origin's box: [layer] Interval [cases, entries], and the top layer's h."""
    below, after = None, []
    for layer, box in zip(weights.layers, boxes, strict=True):
        rows = len(layer.u)
        if below is None:  # the same columns from every origin
            read = (weights.embedding[cases.columns].flatten(1) @ layer.w.T).repeat(cases.origins, 1)
            from_below = Interval(read, read)
        else:
            from_below = below.image(layer.w)
        state = box.each(lambda end: end.repeat_interleave(len(cases.columns), 0))
        below, carried = step(weights.cell, from_below + layer.b_w, state[:, :rows] + layer.b_u, state[:, rows:])
        products = below.image(layer.u)
        after.append(products if carried is None else
                     Interval(*(torch.cat(ends, 1) for ends in zip(products, carried, strict=True))))
    return after, below


def advance(weights, cases, boxes, shrink=1.0, room=0.0, arrivals=None):
    """One column on: the next boxes, and how far each output symbol beats the right one at worst.

    A state's next box is the hull of all that arrives there, `shrink` times as wide about its middle, `room` wider at
    each end. arrivals: `cases.into_each` of the cases that count. Excess [cases, outputs] is the upper bound of each
    logit less the right one, 0 for the right one itself.
    """
    arrivals = cases.arrivals if arrivals is None else arrivals
    after, h = transitions(weights, cases, boxes)
    next_boxes = []
    for box in after:
        hull = Interval(box.low[arrivals].amin(1), box.high[arrivals].amax(1))
        grown = around(hull.middle, hull.radius * shrink + room)
        reached = (arrivals[:, :1] >= 0).to(hull.low)
        next_boxes.append(grown.each(lambda end: torch.nn.functional.pad(end * reached, (0, 0, 1, 0))))  # noqa: B023
    logits = h.middle @ weights.dense.T + weights.bias
    differences = (weights.dense[:, None] - weights.dense).abs()                  # [right, other, hidden]
    spread = (differences[cases.output] @ h.radius[..., None])[..., 0]            # [cases, outputs]
    return next_boxes, logits - logits.gather(1, cases.output[:, None]) + spread


def first_boxes(weights, cases, shrink=1.0, room=0.0):
    """The boxes after as few columns as reach every state."""
    boxes, reached = start_boxes(weights, cases.origins), {0}  # origin 0 is the start, origin 1 state 0, …
    while True:
        counted = torch.isin(cases.origin, torch.tensor(sorted(reached)))
        boxes, _ = advance(weights, cases, boxes, shrink, room, cases.into_each(counted))
        more = reached | set((cases.target[counted] + 1).tolist())
        if more == reached or len(more) == cases.origins:
            return boxes
        reached = more


def least_lead(excess, cases):
    """The smallest lead of a right logit in all cases."""
    return -excess.scatter(1, cases.output[:, None], -torch.inf).amax().item()
