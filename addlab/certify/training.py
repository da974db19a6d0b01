"""Train networks until `certify` can prove them. There are no sums and no lengths: the machine's cases are the data.

Two ways. `train_on_boxes` works for any cell, depth and machine, from about 16 units a state upwards: its loss is the
cross-entropy of the worst logits that the boxes allow. `train_starts` is for a handful of units: plain cross-entropy on
single columns, for many random starts at once, since at that size not every start succeeds.
"""

import copy
import math

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from addlab.certify.boxes import Cases, Weights, advance, first_boxes, least_lead
from addlab.certify.machines import ADDITION

# On boxes

RAMP = 0.5  # the share of the batches in which the boxes grow to their full size, if nothing holds them up
SURE, NARROW = 0.5, 0.2  # they grow while every lead is above the one, and their width below the other
BURST, BACK = 0.4, 0.9  # a width above the one is a burst: back to when they were narrow, smaller by the other
ROOM = 2.0**-4  # left at every end of a box of full size: rounding will need some
WIDTH_COST = 0.3  # of the boxes' width, against the distance between them
CELL_COST, CELL_BOUND = 1.0, 1.5  # of an LSTM's c, a GRU's h beyond this bound: else they grow from column to column
UPDATE_GATE = -3.0  # added to a GRU's bias at the start: a unit that keeps its state keeps all the room left with it
CLIP = 0.1  # of the gradient's norm: boxes that burst would otherwise throw the weights far off
STEADY = 0.7  # the share of the batches at the full learning rate, before it falls to 0 along a cosine


def train_on_boxes(model, machine=ADDITION, batches=1000, lr=1e-2):
    """Train a network on the worst logits that its boxes allow, in place; returns it.

    Two columns at a time, from the boxes that the batch before left, so that what is trained is their fixed point; the
    boxes are shrunk about their middles by a factor that grows to 1 (Gowal et al. 2018, arXiv:1810.12715, ramp the
    radius alike). They wait where a lead is small or they are wide. Width feeds itself, so boxes may still burst within
    a few batches; then all goes back to where they last were narrow. A GRU's update gates are nearly closed at first.
    """
    cases = Cases(machine)
    if type(model.rnn) is torch.nn.GRU:
        close_update_gates(model.rnn)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda batch: falling(batch / batches))
    shrink = 0.0
    with torch.no_grad():
        boxes = first_boxes(Weights.of(model), cases, shrink)
    for _ in range(batches):
        weights, loss = Weights.of(model), 0.0
        boxes = [box.each(torch.Tensor.detach) for box in boxes]
        for _ in range(2):
            boxes, excess = advance(weights, cases, boxes, shrink, ROOM * shrink)
            loss = loss + cross_entropy(excess, cases.output)
        widths = torch.stack([relative_width(box) for box in boxes])
        if shrink > 0:
            loss = loss + WIDTH_COST / shrink * widths.sum()
        if weights.cell != "RNN":
            excesses = [cell_excess(box, len(layer.u)) for box, layer in zip(boxes, weights.layers, strict=True)]
            loss = loss + CELL_COST * sum(excesses)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        if least_lead(excess.detach(), cases) > SURE and widths.max() < NARROW:
            kept = boxes, copy.deepcopy(model.state_dict())
            shrink = min(1.0, shrink + 1 / (RAMP * batches))
        elif widths.max() > BURST:
            boxes, parameters = kept
            model.load_state_dict(parameters)
            shrink *= BACK
    return model


def falling(progress):
    """The learning rate when this much of the training is done, from 0 to 1, as a share of the full one."""
    return 0.5 * (1 + math.cos(math.pi * max(0.0, progress - STEADY) / (1 - STEADY)))


@torch.no_grad()
def close_update_gates(rnn):
    """Lower the bias of a GRU's update gates, the second third of its rows: h follows what is new."""
    rows = rnn.hidden_size
    for layer in range(rnn.num_layers):
        getattr(rnn, f"bias_ih_l{layer}")[rows : 2 * rows] += UPDATE_GATE


def relative_width(box):
    """How wide a layer's boxes are, against how far apart: box [1 + states, entries]."""
    middles = box.middle[1:]
    if len(middles) == 1:  # nothing to keep apart from: the mean half-width itself
        return box.radius[1:].mean()
    apart = (middles - middles.mean(0)).abs().sum()
    return box.radius[1:].sum() / (apart + 1e-9)


def cell_excess(box, rows):
    """By how much an LSTM's c or a GRU's h, which follow the `rows` of the gates, may exceed the bound."""
    cells = box[1:, rows:]
    return (torch.maximum(cells.low.abs(), cells.high.abs()) - CELL_BOUND).relu().mean()


# From many starts

NAMES = ("embed_layer.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
         "dense.weight", "dense.bias")
DENSE_FASTER = 5.0, 20.0  # Adam's rate of the dense layer, against the others': while sums grow, and at the end
HARD = 0.5  # the share of columns that follow the two sums on either side of a carry


class Lessons:
    """Which cases train, and after which columns, while the sums of a column grow from `base - 1` to their largest.

    Where the machine is no sum of positive factors, or without `curriculum`, all cases train from the beginning.
    """

    def __init__(self, machine, seed, curriculum=True, hard=True):
        self.cases, self.rng = Cases(machine), np.random.default_rng(seed)
        meaning = machine.meaning or {}
        self.ordered = min(meaning.get("factors", [0])) > 0
        self.curriculum, self.hard = curriculum and self.ordered, hard and self.ordered
        origin, self.target = self.cases.origin.numpy(), self.cases.target.numpy()
        self.state = np.maximum(origin - 1, 0)
        self.started = origin > 0  # not the first column
        self.totals, self.base = np.zeros(len(origin), dtype=int), 0
        if self.ordered:
            columns = np.array(machine.columns) @ meaning["factors"]
            self.totals = np.array(meaning["carries"])[self.state] + np.resize(columns, len(origin))
            self.base = meaning["base"]

    def most(self, progress):
        """The largest sum of a column that trains when this much of the growth is done, from 0 to 1."""
        largest = int(self.totals.max())
        grown = min(largest, self.base - 1 + int((largest - self.base + 2) * progress))
        return grown if self.curriculum else largest

    def used(self, most):
        """Which cases train: bool [cases]."""
        return torch.from_numpy((self.totals <= most) & (~self.started | (most >= self.base)))

    def before(self, most):
        """For each case one that may come before it, drawn at random: of those that lead into its state, and half of
        the time of the two sums between which the carry changes, where a state is easiest to lose.
        """
        before = np.zeros(len(self.totals), dtype=int)
        for state in range(self.cases.origins - 1):
            here = np.flatnonzero(self.started & (self.state == state))
            into = np.flatnonzero(self.target == state)
            into = into[self.totals[into] <= max(most, self.totals[into].min())]
            drawn = self.rng.choice(into, len(here))
            if self.hard:
                edges = into[self.at_edge(into)]
                drawn = np.where(self.rng.random(len(here)) < HARD, self.rng.choice(edges, len(here)), drawn)
            before[here] = drawn
        return torch.from_numpy(before)

    def at_edge(self, into):
        """Which cases have a sum next to one with another carry."""
        total = self.totals[into]
        below = (total % self.base == 0) & (total > 0)
        above = (total % self.base == self.base - 1) & (total < self.totals.max())
        return below | above


def train_starts(models, machine=ADDITION, steps=20_000, lr=0.04, growth=2000, curriculum=True, hard=True, tied=False,
                 seed=0):
    """Train many one-layer RNNs of one size side by side, each alone, in place; returns them.

    The last dimension of every tensor runs over the models. Each step is two columns of truncated backpropagation from
    states that random columns before them left. tied: both digits share their input weights, and there is one bias.
    """
    lessons = Lessons(machine, seed, curriculum, hard)
    cases, inputs = lessons.cases, machine.inputs
    stacked = [torch.stack([model.state_dict()[name] for model in models], -1).clone() for name in NAMES]
    width = stacked[0].shape[1]
    if tied:
        stacked[1], stacked[4] = stacked[1][:, :width], torch.zeros_like(stacked[4])
    trained = [tensor.requires_grad_() for k, tensor in enumerate(stacked) if not (tied and k == 4)]
    optimizer = torch.optim.Adam([dict(params=trained[:-2], lr=lr), dict(params=trained[-2:], lr=lr * DENSE_FASTER[0])])

    def decay(step):
        return max(0.05, min(1.0, 2 * (1 - step / steps)))

    def decay_dense(step):
        return decay(step) * min(DENSE_FASTER[1] / DENSE_FASTER[0], 1 + max(0, step - growth) / 1000)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [decay, decay_dense])
    right = cases.output[None, :, None].expand(1, -1, len(models))
    started = torch.from_numpy(lessons.started)[:, None, None]
    state = torch.zeros(len(cases.output), stacked[3].shape[0], len(models))    # U h: [cases, hidden, models]
    for step in range(steps):
        most = lessons.most(min(1.0, step / growth))
        used = lessons.used(most)
        share = (used / used.sum())[:, None]
        embedding, w, u, b_w, b_u, dense, bias = stacked
        w = w.repeat(1, inputs, 1) if tied else w
        state, loss = state.detach(), 0.0
        for _ in range(2):
            read = b_w + b_u
            for k in range(inputs):
                into = matvec(w[:, k * width : (k + 1) * width], embedding)      # [symbols, hidden, models]
                read = read + into[cases.columns[:, k]]
            h = torch.tanh(read.repeat(cases.origins, 1, 1) + state)
            logits = matvec(dense, h).transpose(0, 1) + bias[:, None]            # [outputs, cases, models]
            loss = loss + ((logits.logsumexp(0) - logits.gather(0, right)[0]) * share).sum(0)
            state = torch.where(started, matvec(u, h)[lessons.before(most)], 0.0)
        optimizer.zero_grad()
        loss.sum().backward()
        clip_each(trained)
        optimizer.step()
        schedule.step()
    if tied:
        stacked[1] = stacked[1].repeat(1, inputs, 1)
    for k, model in enumerate(models):
        tensors = {name: tensor.detach()[..., k].clone() for name, tensor in zip(NAMES, stacked, strict=True)}
        model.load_state_dict(tensors)
    return models


def matvec(matrix, vectors):
    """matrix [rows, columns, models] times vectors [cases, columns, models]: [cases, rows, models]."""
    return sum(matrix[None, :, k] * vectors[:, k, None] for k in range(vectors.shape[1]))


def clip_each(parameters, norm=1.0):
    """Clip the gradient of each model, the last dimension, to a norm."""
    squares = sum(p.grad.flatten(0, -2).square().sum(0) for p in parameters)
    for p in parameters:
        p.grad.mul_((norm / squares.sqrt().clamp(min=1e-12)).clamp(max=1.0))


def is_finite(model):
    """Whether all its weights are finite numbers."""
    return all(math.isfinite(p.abs().sum().item()) for p in model.parameters())
