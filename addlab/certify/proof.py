"""Prove that a trained network computes a machine: `certify` looks for boxes in float64, `checker` proves them.

The boxes are an inductive invariant: one for each state of the machine, which every column maps into the box of the
machine's next state. They are found by following what the network does to boxes until they rest.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

import addrnn
from addlab import files
from addlab.certify import checker
from addlab.certify.boxes import Cases, Interval, Weights, advance, first_boxes, least_lead
from addlab.certify.machines import ADDITION, Network
from addlab.inputs import Refusal

ROOMS = [2.0**-k for k in range(4, 15)]  # left at every end of a box, for rounding
COLUMNS = 300  # until the boxes rest
GRID = 2.0**-10  # of the margin, which is rounded down to it


@dataclass(frozen=True)
class Certificate:
    """A proof that a network computes a machine: `claim`, the JSON that `checker` reads, and the weights as bytes."""

    claim: dict
    weights: bytes

    @property
    def margin(self):
        """The least lead of the right logit in all cases."""
        return self.claim["margin"]

    @property
    def parameters(self):
        return sum(tensor.numel() for tensor in safetensors.torch.load(self.weights).values())

    def save(self, name):
        """Write NAME.json and NAME.safetensors, each whole or not at all."""
        files.write_whole(Path(f"{name}.safetensors"), self.weights)
        files.write_whole(Path(f"{name}.json"), to_json(self.claim).encode())

    @classmethod
    def load(cls, name):
        """Read what `save` wrote; raises ValueError for other files. Reading proves nothing: `check` does."""
        try:
            claim = json.loads(Path(f"{name}.json").read_bytes())
            weights = Path(f"{name}.safetensors").read_bytes()
        except (OSError, ValueError) as problem:
            raise Refusal(f"certificate: got {str(name)!r}, {problem}; allowed is a NAME of `train`") from None
        return cls(claim, weights)

    def check(self):
        """The checker's Verdict; raises checker.Rejected."""
        return checker.check(to_json(self.claim).encode(), self.weights)

    def network(self):
        """The network: an addrnn.Adder if it adds decimal numbers, else a machines.Network."""
        sizes = {key: self.claim[key] for key in ("cell", "layers", "hidden", "embedding")}
        machine = checker.read_machine(self.claim["machine"])
        network = addrnn.Adder(addrnn.Config(**sizes)) if machine == ADDITION else Network(machine, **sizes)
        network.load_state_dict(safetensors.torch.load(self.weights))
        return network

    def boxes(self):
        """The boxes as `boxes.advance` takes them: [layer] Interval [1 + states, entries], float64, the start first."""
        found = []
        for layer in range(self.claim["layers"]):
            ends = torch.tensor([layers[layer] for layers in self.claim["invariant"]], dtype=torch.float64)
            found.append(Interval(*(torch.nn.functional.pad(ends[..., k], (0, 0, 1, 0)) for k in (0, 1))))
        return found


def to_json(claim):
    """JSON text, a key or a row of a table or a layer's box on a line."""
    def lines(part, depth=1):
        nested = isinstance(part, list) and part and isinstance(part[0], list)
        if isinstance(part, dict):
            body = [f"{json.dumps(key)}: {lines(value, depth + 1)}" for key, value in part.items()]
            return "{" + (",\n" + " " * depth).join(body) + "}"
        if nested and isinstance(part[0][0], list) and isinstance(part[0][0][0], list):
            return "[" + (",\n" + " " * depth).join(lines(value, depth + 1) for value in part) + "]"
        if nested:
            return "[" + (",\n" + " " * depth).join(map(json.dumps, part)) + "]"
        return json.dumps(part)
    return lines(claim) + "\n"


@torch.no_grad()
def settle(weights, cases, room):
    """Where the boxes rest when each column leaves `room` at every end, rounded outwards, and the least lead there.

    None where they do not rest, or the next boxes without room are not inside.
    """
    boxes = first_boxes(weights, cases, room=room)
    for _ in range(COLUMNS):
        after, excess = advance(weights, cases, boxes, room=room)
        moved = max((end - end_after).abs().max().item() for box, box_after in zip(boxes, after, strict=True)
                    for end, end_after in zip(box, box_after, strict=True))
        boxes = after
        if moved < room / 16 or least_lead(excess, cases) < 0:
            break
    grid = room / 16  # where hundreds of entries add up, rounding would else use up the room
    boxes = [Interval((box.low / grid).floor() * grid, (box.high / grid).ceil() * grid) for box in boxes]
    after, excess = advance(weights, cases, boxes)
    if not all(box.contains(box_after) for box, box_after in zip(boxes, after, strict=True)):
        return None
    return boxes, least_lead(excess, cases)


def find_boxes(model, machine=ADDITION):
    """Boxes that seem to be an invariant with the right symbol everywhere, or None: float64, no proof.

    The roomiest whose least lead is at least half the best.
    """
    weights, cases = Weights.of(model, torch.float64), Cases(machine)

    def settled(rooms):
        return filter(None, (settle(weights, cases, room) for room in rooms))

    _, best = next(settled(reversed(ROOMS)), (None, 0))  # the less room, the better the lead
    return next(boxes for boxes, lead in settled(ROOMS) if lead >= best / 2) if best > 0 else None


def certify(model, machine=ADDITION):
    """A Certificate that the model computes the machine on inputs of every length, or None where no proof was found.

    model: an addrnn.Adder or a machines.Network. Every certificate returned has passed `checker`.
    """
    boxes = find_boxes(model, machine)
    if boxes is None:
        return None
    rnn = model.rnn
    sizes = dict(cell=type(rnn).__name__, layers=rnn.num_layers, hidden=rnn.hidden_size,
                 embedding=model.embed_layer.embedding_dim)
    by_layer = [torch.stack(box, 2)[1:].tolist() for box in boxes]               # [layer][state][entry] (low, high)
    invariant = [list(layers) for layers in zip(*by_layer, strict=True)]
    weights = safetensors.torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    intervals = [[checker.read_box(box) for box in layers] for layers in invariant]
    try:
        leads = checker.prove(checker.Sizes(**sizes), machine, checker.read_weights(weights), intervals)
    except checker.Rejected:
        return None
    margin = math.floor(min(map(checker.lower_end, leads)) / GRID) * GRID
    table = {name: getattr(machine, name) for name in machine.__dataclass_fields__}
    return Certificate(dict(machine=table, **sizes, weights=hashlib.sha256(weights).hexdigest(), margin=margin,
                            invariant=invariant), weights)


def margins(certificate):
    """The least lead of the right logit in each case of a certificate: array [1 + states, columns], the start first."""
    claim = certificate.claim
    machine = checker.read_machine(claim["machine"])
    network = checker.Sizes(*(claim[key] for key in ("cell", "layers", "hidden", "embedding")))
    intervals = [[checker.read_box(box) for box in layers] for layers in claim["invariant"]]
    leads = checker.prove(network, machine, checker.read_weights(certificate.weights), intervals)
    return np.array([checker.lower_end(lead) for lead in leads]).reshape(machine.states + 1, -1)
