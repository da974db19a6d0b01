"""Every certificate proved a second time, in float64, by what records/proofs/README.md says and by no code of ours."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from addlab.certify import checker

PROOFS = Path(__file__).resolve().parent.parent / "records" / "proofs"
PROVED = sorted(path.stem for path in PROOFS.glob("*.json"))
U, TINY, WITHIN = 2.0**-24, 2.0**-126, 2.0**-20
SLACK = 1e-9  # for what float64 rounds, far below what float32 may


def corners(function, *boxes):
    """The hull of a function over all corners of some boxes, a (low, high) each."""
    results = []
    for corner in np.ndindex(*[2] * len(boxes)):
        results.append(function(*(box[end] for box, end in zip(boxes, corner, strict=True))))
    return np.min(results, 0), np.max(results, 0)


def grown(box, by):
    return box[0] - by, box[1] + by


def plus(box, other):
    return box[0] + other[0], box[1] + other[1]


def times(box, other):
    return corners(np.multiply, box, other)


def function(of, box):
    return grown((of(box[0]), of(box[1])), WITHIN)


def sigma(z):
    return (1 + np.tanh(z / 2)) / 2


def off(box):
    """What a cell computes between its gates."""
    return grown(box, 16 * U * (1 + np.maximum(*map(np.abs, box))))


def image(matrix, box):
    """Of a box for each case: matrix · h, [cases, rows]."""
    middle, radius = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2
    return grown((middle @ matrix.T,) * 2, radius @ np.abs(matrix).T)


def error(*parts):
    """Of each row, what rounding may do; parts: (matrix [rows, columns], bound)."""
    parts = [(matrix, max(1, bound)) for matrix, bound in parts]
    total = sum(bound * np.abs(matrix).sum(1) for matrix, bound in parts)
    assert total.max() < 2.0**99
    n = 8 + 2 * sum(matrix.shape[1] for matrix, _ in parts)
    return n * U / (1 - n * U) * total + n * TINY * (1 + sum(bound for _, bound in parts)) * (1 + total)


def after(cell, p, q, carried):
    """h' and what the vector holds behind U h'; p, q: a box for each gate."""
    if cell == "RNN":
        return function(np.tanh, plus(p[0], q[0])), None
    if cell == "LSTM":
        i, f, o = (function(sigma, plus(p[k], q[k])) for k in (0, 1, 3))
        c = off(plus(times(f, carried), times(i, function(np.tanh, plus(p[2], q[2])))))
        return off(times(o, function(np.tanh, c))), c
    r, z = (function(sigma, plus(p[k], q[k])) for k in (0, 1))
    new = function(np.tanh, plus(p[2], off(times(r, q[2]))))
    h = off(corners(lambda gate, n, old: (1 - gate) * n + gate * old, z, new, carried))
    return h, h


def cases_of(machine):
    """Origin (the start is 0, state s is s + 1), symbols, next state and output of each case."""
    columns = np.array(list(np.ndindex(*[machine["symbols"]] * machine["inputs"])))
    states = len(machine["output"])
    origin = np.repeat(np.arange(states + 1), len(columns))
    rows = [0, *range(states)]
    return (origin, np.tile(columns, (states + 1, 1)), np.array(machine["next_state"])[rows].ravel(),
            np.array(machine["output"])[rows].ravel())


def least_lead(claim, weights):
    """The least lead of the right logit in all cases; asserts that every vector lands in its box."""
    origin, columns, target, output = cases_of(claim["machine"])
    embedding = weights["embed_layer.weight"]
    x = (embedding[columns].reshape(len(columns), -1),) * 2
    bound = np.abs(embedding).max()
    for layer in range(claim["layers"]):
        w, u = (weights[f"rnn.weight_{kind}_l{layer}"] for kind in ("ih", "hh"))
        b, d = (weights[f"rnn.bias_{kind}_l{layer}"] for kind in ("ih", "hh"))
        boxes = np.array([layers[layer] for layers in claim["invariant"]], dtype=float)
        rows, hidden = u.shape
        assert boxes.shape == (len(claim["machine"]["output"]), rows + hidden * (claim["cell"] != "RNN"), 2)
        largest = 2 + np.abs(boxes[:, rows:]).max() if claim["cell"] == "GRU" else 2
        e = error((w, bound), (u, largest), (b[:, None], 1), (d[:, None], 1))
        state = np.concatenate([np.zeros_like(boxes[:1]), boxes])[origin]
        vector = state[..., 0], state[..., 1]
        p = grown(image(w, x), e)
        q = grown([end[:, :rows] for end in vector], e)
        gates = [[[end[:, k : k + hidden] + bias[k : k + hidden] for end in box] for k in range(0, rows, hidden)]
                 for box, bias in ((p, b), (q, d))]
        x, carried = after(claim["cell"], *gates, [end[:, rows:] for end in vector])
        bound = largest
        landed = [image(u, x)] if carried is None else [image(u, x), carried]
        low, high = (np.concatenate(ends, 1) for ends in zip(*landed, strict=True))
        assert (low >= boxes[target, :, 0] - SLACK).all() and (high <= boxes[target, :, 1] + SLACK).all()
    dense, bias = weights["dense.weight"], weights["dense.bias"]
    e = error((dense, bound), (bias[:, None], 1))
    leads = []
    for other in range(len(bias)):
        middle, radius = (x[0] + x[1]) / 2, (x[1] - x[0]) / 2
        difference = dense[output] - dense[other]
        lead = (difference * middle).sum(1) - (np.abs(difference) * radius).sum(1) + bias[output] - bias[other]
        leads.append(np.where(output == other, np.inf, lead - e[output] - e[other]))
    return np.min(leads)


@pytest.mark.parametrize("name", PROVED)
def test_a_second_checker_written_from_the_readme_proves_the_same(name):
    """The same least lead, to six digits, so that the README leaves nothing out and nothing open."""
    text, data = ((PROOFS / f"{name}.{ending}").read_bytes() for ending in ("json", "safetensors"))
    claim = json.loads(text)
    assert hashlib.sha256(data).hexdigest() == claim["weights"]
    weights = {key: array.astype(float) for key, array in safetensors.numpy.load(data).items()}
    lead = least_lead(claim, weights)
    assert lead > 0 and lead >= claim["margin"]
    assert lead == pytest.approx(checker.check(text, data).margin, rel=1e-6)  # Arb keeps radii to 30 bits
