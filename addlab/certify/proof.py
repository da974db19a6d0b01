"""Prove that a trained network adds numbers of every length, and train networks for which that can be proved.

Interval arithmetic carries a box of states through a column. Two boxes, one for each carry, that every one of the 200
transitions (carry, a, b) maps into the box of its carry-out are an inductive invariant; `certify` looks for them in
float64, `checker` re-proves them in rigorous arithmetic. A layer's state is laid out as `checker` says.
"""

import argparse
import hashlib
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from addlab.certify import checker
from addlab.engine import store as runs
from addrnn import Adder, Config, one_thread
from command import check_writable, number
from addlab.certify.search import counterexample  # noqa: F401, certify.counterexample is where others look for it

CARRY_IN = torch.tensor([0] * 200 + [1] * 100)  # of the 300 cases: from the start, from carry 0, from carry 1
A, B = torch.arange(100).repeat(3) // 10, torch.arange(100).repeat(3) % 10
DIGIT, CARRY_OUT = (CARRY_IN + A + B) % 10, (CARRY_IN + A + B) // 10
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


# Certificate

@dataclass(frozen=True)
class Certificate:
    """What `checker` needs besides the weights. `weights`: SHA-256 of the weights file; `margins`: of the 300 cases,
    {"start": [10][10], "carry 0": …, "carry 1": …}, the right logit's lead; `invariant`: {"carry 0": [layer][entry]
    (low, high), "carry 1": …}.
    """

    cell: str
    layers: int
    hidden: int
    embedding: int
    weights: str
    margins: dict
    invariant: dict

    @property
    def margin(self):
        """The smallest of the 300 margins."""
        return float(np.min(list(self.margins.values())))

    def to_json(self):
        """JSON text, a row of margins or a layer's box on a line."""
        def lines(part, indent=1):
            if isinstance(part, dict):
                body = [f"{json.dumps(key)}: {lines(value, indent + 1)}" for key, value in part.items()]
                return "{" + (",\n" + " " * indent).join(body) + "}"
            if isinstance(part, (list, tuple)) and isinstance(part[0], (list, tuple)):
                return "[" + (",\n" + " " * indent).join(map(json.dumps, part)) + "]"
            return json.dumps(part)
        return lines(asdict(self)) + "\n"

    def save(self, path):
        """Write the certificate as JSON, whole or not at all."""
        runs.write_whole(path, self.to_json().encode())

    @classmethod
    def load(cls, path):
        """Read what `save` wrote; raises ValueError for other files. Reading proves nothing: `checker` does."""
        try:
            return cls(**runs.parse(runs.read_whole(path)))
        except (OSError, ValueError, TypeError) as problem:
            raise ValueError(f"certificate: got {str(path)!r}, {problem}; allowed is a file of `train`") from None


# Intervals

class Layer(NamedTuple):
    w_in: torch.Tensor
    w: torch.Tensor
    b_in: torch.Tensor
    b: torch.Tensor


class Net(NamedTuple):
    """The tensors of an Adder, by their place in the recurrence."""

    cell: str
    digits: torch.Tensor
    layers: list
    dense: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def of(cls, model, double=False):
        def tensor(owner, name):
            return getattr(owner, name).double() if double else getattr(owner, name)

        parts = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
        layers = [Layer(*(tensor(model.rnn, f"{part}_l{k}") for part in parts)) for k in range(model.config.layers)]
        return cls(model.config.cell, tensor(model.embed_layer, "weight"), layers, tensor(model.dense, "weight"),
                   tensor(model.dense, "bias"))

    def nowhere(self):
        """The start state as the box of every origin: [layer] (low, high), each [3, entries]."""
        sizes = [len(layer.w) + (self.cell != "RNN") * layer.w.shape[1] for layer in self.layers]
        return [(self.dense.new_zeros(3, size),) * 2 for size in sizes]


def linear(w, low, high):
    """The interval of w x for x in [low, high]: rows of x are cases."""
    middle, radius = (high + low) / 2 @ w.T, (high - low) / 2 @ w.abs().T
    return middle - radius, middle + radius


def times(gate, x):
    """The interval of gate * x, for a gate's values, which are never negative."""
    return torch.minimum(gate[0] * x[0], gate[1] * x[0]), torch.maximum(gate[0] * x[1], gate[1] * x[1])


def plus(x, y):
    return x[0] + y[0], x[1] + y[1]


def through(f, x):
    """The interval of a rising function f."""
    return f(x[0]), f(x[1])


def mix(gate, x, y):
    """The interval of (1 - gate) x + gate y."""
    ends = [[torch.lerp(p, q, weight) for weight in gate] for p, q in zip(x, y, strict=True)]
    return torch.minimum(*ends[0]), torch.maximum(*ends[1])


def step(cell, x, u, carried):
    """One layer, one column: (h, carried). x, u: (low, high) of what the gates get from below and from the state."""
    x, u = (list(zip(*(end.chunk(GATES[cell], 1) for end in part), strict=True)) for part in (x, u))  # by gate
    if cell == "RNN":
        return through(torch.tanh, plus(x[0], u[0])), ()
    if cell == "LSTM":
        i, f, o = (through(torch.sigmoid, plus(x[k], u[k])) for k in (0, 1, 3))
        c = plus(times(f, carried), times(i, through(torch.tanh, plus(x[2], u[2]))))
        return times(o, through(torch.tanh, c)), c
    r, keep = (through(torch.sigmoid, plus(x[k], u[k])) for k in (0, 1))
    h = mix(keep, through(torch.tanh, plus(x[2], times(r, u[2]))), carried)
    return h, h


def landings(net, boxes):
    """Where all 300 cases lead from boxes: [layer] (low, high), each [300, entries], and the top layer's (low, high) h.

    boxes: [layer] (low, high), each [3, entries], rows start, carry 0, carry 1.
    """
    pairs = torch.cat((net.digits[A[:100]], net.digits[B[:100]]), 1)  # [100, 2 embedding]
    found, h = [], None
    for layer, box in zip(net.layers, boxes, strict=True):
        rows = len(layer.w)
        x = linear(layer.w_in, *h) if h else ((pairs @ layer.w_in.T).repeat(3, 1),) * 2
        state = [end.repeat_interleave(100, 0) for end in box]
        h, carried = step(net.cell, [end + layer.b_in for end in x], [end[:, :rows] + layer.b for end in state],
                          tuple(end[:, rows:] for end in state))
        state = linear(layer.w, *h)
        found.append(tuple(torch.cat(ends, 1) for ends in zip(state, carried, strict=True)) if carried else state)
    return found, h


def advance(net, boxes, shrink=1.0, room=0.0, cases=300):
    """One column from boxes, as in `landings`: the next boxes, and how far each digit beats the right one.

    The next box of a carry is the hull of all that lands there, `shrink` times as wide about its middle, `room` wider
    at each end. `cases` = 100 counts only what leaves the start. Excess [300, 10] is the upper bound of logit k minus
    the right logit, 0 at the right digit itself.
    """
    found, h = landings(net, boxes)
    after = []
    for low, high in found:
        low = torch.stack([low[:cases][CARRY_OUT[:cases] == carry].amin(0) for carry in (0, 1)])
        high = torch.stack([high[:cases][CARRY_OUT[:cases] == carry].amax(0) for carry in (0, 1)])
        middle, radius = (high + low) / 2, (high - low) / 2 * shrink + room
        start = torch.zeros_like(middle[:1])
        after.append((torch.cat((start, middle - radius)), torch.cat((start, middle + radius))))
    middle, radius = (h[1] + h[0]) / 2, (h[1] - h[0]) / 2
    logits = middle @ net.dense.T + net.bias
    leads = (net.dense[:, None] - net.dense).abs().flatten(0, 1)                     # [10 * 10, hidden]
    wide = (radius @ leads.T).view(300, 10, 10)[torch.arange(300), DIGIT]            # [300, 10]
    return after, logits - logits.gather(1, DIGIT[:, None]) + wide


def least_lead(excess):
    """The smallest margin of the 300 cases."""
    return -excess.scatter(1, DIGIT[:, None], -math.inf).amax().item()


# Proof

ROOMS = [2.0**-k for k in range(4, 15)]  # room is what rounding may use up
COLUMNS = 300  # until the boxes rest


@torch.no_grad()
def contraction(model, certificate, columns=40):
    """Mean half-width of both boxes, column by column: two arrays [columns], from the start and from the certificate's.

    From the start the boxes hold what short numbers reach, and grow; from the certificate's they hold all, and shrink.
    """
    net = Net.of(model, double=True)
    from_start, _ = advance(net, net.nowhere(), cases=100)
    ends = [np.array([certificate.invariant[f"carry {carry}"][layer] for carry in (0, 1)])
            for layer in range(certificate.layers)]  # [2 carries, entries, 2]
    from_all = [tuple(torch.as_tensor(np.pad(end[..., k], ((1, 0), (0, 0)))) for k in (0, 1)) for end in ends]
    found = []
    for boxes in (from_start, from_all):
        found.append([])
        for _ in range(columns):
            found[-1].append(torch.cat([(high - low)[1:] for low, high in boxes], 1).mean().item() / 2)
            boxes, _ = advance(net, boxes)
    return tuple(map(np.array, found))


@torch.no_grad()
def settle(net, room):
    """The boxes' fixed point when each column leaves `room` at every end, rounded outwards, and its least lead.

    None where no box comes to rest, or the unwidened next boxes are not inside.
    """
    boxes, _ = advance(net, net.nowhere(), room=room, cases=100)
    for _ in range(COLUMNS):
        after, excess = advance(net, boxes, room=room)
        moved = max((p - q).abs().max().item() for old, new in zip(boxes, after, strict=True)
                    for p, q in zip(old, new, strict=True))
        boxes = after
        if moved < room / 16 or least_lead(excess) < 0:
            break
    grid = room / 4
    boxes = [((low / grid).floor() * grid, (high / grid).ceil() * grid) for low, high in boxes]
    after, excess = advance(net, boxes)
    inside = all((new_low >= low).all() and (new_high <= high).all()
                 for (low, high), (new_low, new_high) in zip(boxes, after, strict=True))
    return (boxes, least_lead(excess)) if inside else None


def find(model):
    """Boxes, as in `advance`, that seem to be an invariant with right digits all over, or None: float64, no proof.

    The roomiest whose least lead is at least half the best.
    """
    net = Net.of(model, double=True)
    found = [settled for room in ROOMS if (settled := settle(net, room)) is not None]
    best = max((lead for _, lead in found), default=0)
    return next((boxes for boxes, lead in found if lead >= best / 2), None) if best > 0 else None


def certify(model):
    """A Certificate that the model adds decimal numbers of every length, or None where no proof was found.

    Every certificate returned has passed `checker`.
    """
    boxes = find(model)
    if boxes is None:
        return None
    config = model.config
    invariant = {f"carry {carry}": [torch.stack(ends, 2)[1 + carry].tolist() for ends in boxes] for carry in (0, 1)}
    weights = runs.tensor_bytes(model.state_dict())
    try:
        proved = checker.prove(config.cell, config.layers, config.hidden, config.embedding,
                               checker.read_weights(weights), invariant)
    except checker.Rejected:
        return None
    margins = (np.floor(np.array(proved) / checker.GRID) * checker.GRID).reshape(3, 10, 10)
    return Certificate(config.cell, config.layers, config.hidden, config.embedding, hashlib.sha256(weights).hexdigest(),
                       dict(zip(checker.ORIGINS, margins.tolist(), strict=True)), invariant)


def by_hand():
    """An Adder of 52 parameters whose weights are chosen, not trained: two tanh units.

    With s = a + b, unit 0 latches the carry, L = tanh(40 (s + L / 2 - 9.3)); unit 1 is nearly linear, so that
    v = s + 0.45 L + 0.3 - 5 (L' + 1) is within 0.4 of the digit; logits 2 d v - d² are largest at d = v rounded.
    The offsets are not symmetric because L = 0 at the start must count as no carry.
    """
    model = Adder(Config(layers=1, hidden=2, embedding=1))
    digits, steep, flat = torch.arange(10.0), 40.0, 1 / 64
    rnn, dense = model.rnn, model.dense
    with torch.no_grad():
        model.embed_layer.weight[:] = digits[:, None]
        rnn.weight_ih_l0[:] = torch.tensor([[steep, steep], [flat, flat]])
        rnn.weight_hh_l0[:] = torch.tensor([[steep * 0.5, 0], [flat * 0.45, 0]])
        rnn.bias_ih_l0[:] = torch.tensor([-9.3 * steep, (0.3 - 9.5) * flat])
        rnn.bias_hh_l0[:] = 0
        dense.weight[:] = torch.stack((-10 * digits, 2 * digits / flat), 1)
        dense.bias[:] = 2 * digits * (9.5 - 5) - digits**2
    return model


# Training

RAMP = 0.7       # the share of the batches in which the boxes grow to their full size
WIDTH_COST = 0.1  # of the boxes' width, against the distance between them
ROOM = 2.0**-5   # left at every end of a box of full size: rounding will need some
CLIP = 0.1       # of the gradient's norm: boxes that burst would otherwise throw the weights far off


def width_ratio(low, high):
    """How wide a layer's two boxes are, against how far apart: low, high [3, entries]."""
    middle = (low + high) / 2
    return (high - low).sum() / 2 / (middle[2] - middle[1]).abs().sum()


def train_provable(config, model=None, sure=1.5):
    """Train an Adder on the 300 cases' worst-case logits until `certify` can prove it; returns the model.

    Two columns at a time, from the boxes that the batch before left, so that what is trained is their fixed point; the
    boxes are shrunk about their middles by a factor that grows to 1 (Gowal et al. 2018, arXiv:1810.12715, ramp the
    radius alike). Uses config's cell, layers, hidden, embedding, seed, lr (0.005 is good) and batches; trains `model`
    further if given. The boxes grow only while every margin is above `sure`.
    """
    model = model or Adder(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.batches)
    net, shrink = Net.of(model), 0.0
    with one_thread():
        boxes, _ = advance(net, net.nowhere(), shrink, cases=100)
        for _ in range(config.batches):
            net = Net.of(model)
            boxes = [(low.detach(), high.detach()) for low, high in boxes]
            loss = 0
            for _ in range(2):
                boxes, excess = advance(net, boxes, shrink, ROOM * shrink)
                loss = loss + cross_entropy(excess, DIGIT)
            if shrink > 0:
                loss = loss + WIDTH_COST / shrink * sum(width_ratio(low, high) for low, high in boxes)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            schedule.step()
            if least_lead(excess.detach()) > sure:
                shrink = min(1.0, shrink + 1 / (RAMP * config.batches))
    return model


# Command line

def fail(message):
    print(f"certify: {message}", file=sys.stderr)
    sys.exit(2)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(message)


def parser():
    p = _Parser(prog="certify.py", description="Train a network that provably adds, or check such a proof.")
    commands = p.add_subparsers(dest="command", required=True, parser_class=_Parser)
    train = commands.add_parser("train", help="train, prove, write the weights and the certificate")
    train.add_argument("--model", default="RNN", help="cell: RNN, LSTM or GRU")
    for name, default in dict(layers=1, hidden=64, embedding=32, seed=0, batches=1000).items():
        train.add_argument(f"--{name}", type=number, default=default, metavar="INT")
    train.add_argument("--lr", type=number, default=5e-3, metavar="FLOAT")
    train.add_argument("--save", required=True, metavar="NAME", help="writes NAME.json and NAME.safetensors")
    check = commands.add_parser("check", help="re-prove a certificate in rigorous arithmetic: 0 proved, 1 rejected")
    check.add_argument("certificate")
    check.add_argument("weights")
    return p


def main(arguments=None):
    """The command line. Exit status: 0 proved, 1 no proof, 2 bad input, with one line."""
    options = vars(parser().parse_args(arguments))
    if options.pop("command") == "check":
        return checker.main([options["certificate"], options["weights"]])
    name, cell = options.pop("save"), options.pop("model")
    try:
        config = Config(cell=cell, **options)
        for ending in (".json", ".safetensors"):
            check_writable(name + ending)
    except ValueError as problem:
        fail(problem)
    begin = time.perf_counter()
    model = train_provable(config)
    certificate = certify(model)
    seconds = time.perf_counter() - begin
    if certificate is None:
        print(f"no proof found after {seconds:.0f} s of training; another seed or more --batches may help")
        return 1
    model.save(name + ".safetensors")
    certificate.save(name + ".json")
    print(f"proved after {seconds:.0f} s, smallest margin {certificate.margin:.3f}: {name}.json, {name}.safetensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
