"""Check a certificate that a recurrent network adds decimal numbers of every length. Trusts nothing but Arb.

A column's digits a, b and what the network remembers (its state) give the next state and ten logits. The certificate
names for each carry c a box of states. Proved here, for all 300 cases (from the start, from either box; all a, b):
the next state lies in the box of the carry-out, and the logit of (a + b + c) mod 10 beats the other nine. So, by
induction over the columns, no carry is ever lost and no digit wrong, however long the numbers.

The state of a layer is the product U h of its recurrent weights with its output h, all gates below each other; then,
for an LSTM the cell c, for a GRU h itself. All are zero before the first column (h = 0).

Covered is not only the network of real numbers but its execution in float32, under three assumptions:
  1. sums, products and fused multiply-adds round to nearest, 24 bits, or flush to zero below 2^-126; no TF32, no half;
  2. tanh and sigmoid of a float32 are wrong by at most ULPS = 4 units in the last place (of 1, for tanh twice that);
  3. each dot product is a sum of its products and biases, in any order; or, if h is stored as s = (h + 1) / 2 or h / 2
     and tanh(z) is computed as 2 sigmoid(2 z) - 1, of those terms with the constants folded in beforehand.
Rounding a sum of n products then errs by n u / (1 - n u) times the sum of their magnitudes at most (Higham, Accuracy
and Stability of Numerical Algorithms, section 3.1), u = 2^-24; h counts three times its bound 1, for the folded form.

python checker.py CERTIFICATE WEIGHTS    exit 0: proved; 1: rejected, in one line; 2: not called like this
"""

import hashlib
import json
import math
import struct
import sys
from functools import reduce
from itertools import product
from pathlib import Path

from flint import arb, arb_mat, ctx

ctx.prec = 80
ULPS = 4
ROUNDOFF, TINY = arb(2) ** -24, arb(2) ** -126
H_TERM = arb("3.01")  # bounds |h|, and 1 + 2 s of the folded form
ORIGINS = ("start", "carry 0", "carry 1")
CASES = [(origin, a, b) for origin in ORIGINS for a in range(10) for b in range(10)]
GRID = 2.0**-10  # of the claimed margins, which are rounded down to it


def sum_of(origin, a, b):
    return (origin == "carry 1") + a + b


class Rejected(Exception):
    """Why a certificate proves nothing."""


def require(holds, problem):
    if not holds:
        raise Rejected(problem)


def parse(text):
    """JSON without duplicate keys, NaN or infinities."""
    def once(pairs):
        require(len(dict(pairs)) == len(pairs), "a key stands twice")
        return dict(pairs)

    def finite(literal):
        require(math.isfinite(value := float(literal)), f"{literal} is not a finite number")
        return value

    try:
        return json.loads(text, object_pairs_hook=once, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError) as problem:
        raise Rejected(f"no JSON: {problem}") from None


def read_weights(data):
    """Safetensors bytes, float32 only: {name: (shape, values)}."""
    start = 8 + int.from_bytes(data[:8], "little")
    require(8 < start <= len(data), "weights: no safetensors file")
    tensors, end = {}, start
    header = parse(data[8:start])
    try:
        header.pop("__metadata__", None)
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            begin, stop = (start + offset for offset in entry["data_offsets"])
            size = math.prod(entry["shape"])
            require(entry["dtype"] == "F32" and begin == end and stop == begin + 4 * size, f"weights: {name} is broken")
            values = struct.unpack(f"<{size}f", data[begin:stop])
            require(all(map(math.isfinite, values)), f"weights: {name} is not finite")
            tensors[name], end = (entry["shape"], values), stop
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, struct.error):
        raise Rejected("weights: no safetensors file") from None
    require(end == len(data), "weights: bytes left over")
    return tensors


def spread(radius):
    return arb(0, radius.upper())


def below_float(x):
    """A float no larger than x."""
    value = float(x.lower())
    return value if arb(value) <= x else math.nextafter(value, -math.inf)


def corners(f, *intervals):
    """The range over intervals of an f that is monotone in each argument while the others rest."""
    return reduce(arb.union, (f(*ends) for ends in product(*((x.lower(), x.upper()) for x in intervals))))


def tanh(z):
    return corners(arb.tanh, z) + spread(2 * ULPS * ROUNDOFF)


def sigmoid(z):
    return corners(lambda x: ((x / 2).tanh() + 1) / 2, z) + spread(2 * ULPS * ROUNDOFF)


def times(x, y):
    return corners(arb.__mul__, x, y)


def rounded(x):
    """A few roundings of terms of size 2 + 2 |x|: what a cell does between its gates."""
    return x + spread(16 * ROUNDOFF * (1 + abs(x)))


def rnn(x, u, carried):
    return tanh(x[0] + u[0]), []


def lstm(x, u, carried):
    i, f, o = (sigmoid(x[k] + u[k]) for k in (0, 1, 3))
    c = rounded(times(f, carried[0]) + times(i, tanh(x[2] + u[2])))
    return rounded(times(o, tanh(c))), [c]


def gru(x, u, carried):
    r, z = (sigmoid(x[k] + u[k]) for k in (0, 1))
    n = tanh(x[2] + rounded(times(r, u[2])))
    h = rounded(corners(lambda z, n, h: n + z * (h - n), z, n, carried[0]))
    return h, [h]


def slack(*parts):
    """How far float32 may be off a sum, for each row; parts: (weights or biases, bound of what they multiply)."""
    rows, terms = parts[0][0].nrows(), 2 * sum(weights.ncols() for weights, _ in parts) + 8
    sizes = [sum((bound * abs(weights[k, j]) for weights, bound in parts for j in range(weights.ncols())), arb(0))
             for k in range(rows)]
    require(all(size < arb(2) ** 99 for size in sizes), "weights: float32 may overflow")
    tiny = terms * TINY * (1 + sum(bound for _, bound in parts))
    return [spread(terms * ROUNDOFF / (1 - terms * ROUNDOFF) * size + tiny * (1 + size)) for size in sizes]


def prove(cell, layers, hidden, embedding, tensors, invariant):
    """Margins of the 300 cases, rounded down; raises Rejected, naming the transition, where the proof fails.

    tensors: {name: (shape, values)}; invariant: {"carry 0": [boxes of layer 1, …], "carry 1": …}, a box [low, high] for
    each entry of the layer's state.
    """
    def matrix(name, *shape):
        require(name in tensors and list(tensors[name][0]) == list(shape), f"weights: no {name} of shape {list(shape)}")
        return arb_mat(shape[0], math.prod(shape[1:]), list(map(arb, tensors[name][1])))

    gates, step = CELLS[cell]
    rows, size = gates * hidden, (gates + (cell != "RNN")) * hidden
    require(len(tensors) == 4 * layers + 3, "weights: more or fewer tensors than this network has")
    digits = matrix("embed_layer.weight", 10, embedding)
    below = arb_mat([[digits[digit, k] for digit in (a, b) for k in range(embedding)] for _, a, b in CASES]).transpose()
    bound = max(abs(x).upper() for x in digits.entries())
    for layer in range(layers):
        w_in = matrix(f"rnn.weight_ih_l{layer}", rows, below.nrows())
        w = matrix(f"rnn.weight_hh_l{layer}", rows, hidden)
        b_in, b = (matrix(f"rnn.bias_{part}_l{layer}", rows) for part in ("ih", "hh"))
        error = slack((w_in, bound), (w, H_TERM), (b_in, 1), (b, 1))
        boxes = {carry: [arb(low).union(arb(high)) for low, high in invariant[carry][layer]] for carry in ORIGINS[1:]}
        boxes["start"] = [arb(0)] * size
        require(all(len(box) == size for box in boxes.values()), f"a box of layer {layer + 1} has not {size} entries")
        x, outputs, nexts = w_in * below, [], []
        for case, (origin, _, _) in enumerate(CASES):
            box, h, carried = boxes[origin], [], []
            for k in range(hidden):
                at = range(k, rows, hidden)
                found, kept = step([x[i, case] + b_in[i, 0] + error[i] for i in at],
                                   [box[i] + b[i, 0] + error[i] for i in at], box[rows + k :][:1])
                h.append(found)
                carried += kept
            outputs.append(h)
            nexts.append(carried)
        below, bound = arb_mat(outputs).transpose(), H_TERM
        products = w * below
        for case, (origin, a, b_) in enumerate(CASES):
            out = ORIGINS[1 + (sum_of(origin, a, b_) > 9)]
            state = [products[i, case] for i in range(rows)] + nexts[case]
            for i, (value, box) in enumerate(zip(state, boxes[out], strict=True)):
                require(box.contains(value),
                        f"{origin}, {a} + {b_}: entry {i} of layer {layer + 1} leaves the box of {out}")
    dense, bias = matrix("dense.weight", 10, hidden), matrix("dense.bias", 10)
    error = slack((dense, H_TERM), (bias, 1))
    leads = [arb_mat([[dense[d, i] - dense[k, i] for i in range(hidden)] for k in range(10)]) * below
             for d in range(10)]
    margins = []
    for case, (origin, a, b) in enumerate(CASES):
        d = sum_of(origin, a, b) % 10
        lead, k = min((below_float(leads[d][k, case] + bias[d, 0] - bias[k, 0] + error[d] + error[k]), k)
                      for k in range(10) if k != d)
        require(lead > 0, f"{origin}, {a} + {b}: digit {d} does not beat digit {k} on the whole box")
        margins.append(lead)
    return margins


CELLS = {"RNN": (1, rnn), "GRU": (3, gru), "LSTM": (4, lstm)}
KEYS = {"cell", "layers", "hidden", "embedding", "weights", "margins", "invariant"}


def number(value):
    require(type(value) in (int, float), f"certificate: {str(value)[:40]!r} is no number")
    return float(value)


def check(certificate, weights):
    """The smallest margin that the bytes of a certificate and of a weights file prove; raises Rejected."""
    claim, tensors = parse(certificate), read_weights(weights)
    require(isinstance(claim, dict) and set(claim) == KEYS, f"certificate: its keys are not {', '.join(sorted(KEYS))}")
    cell, *sizes = [claim[key] for key in ("cell", "layers", "hidden", "embedding")]
    require(cell in list(CELLS) and all(type(n) is int and 0 < n < 10**6 for n in sizes),
            "certificate: no such network")
    require(hashlib.sha256(weights).hexdigest() == claim["weights"], "weights: not those of the certificate (SHA-256)")
    try:
        boxes = {carry: [[(number(low), number(high)) for low, high in box] for box in claim["invariant"][carry]]
                 for carry in ORIGINS[1:]}
        claimed = [number(claim["margins"][origin][a][b]) for origin, a, b in CASES]
        whole = all(len(layers) == sizes[0] and all(low <= high for box in layers for low, high in box)
                    for layers in boxes.values())
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        whole = False
    require(whole, "certificate: its boxes or margins are not as they should be")
    proved = prove(cell, *sizes, tensors, boxes)
    for (origin, a, b), margin, lead in zip(CASES, claimed, proved, strict=True):
        require(lead - 2 * GRID < margin <= lead, f"{origin}, {a} + {b}: margin {margin} claimed, {lead:.4f} proved")
    return min(proved)


def main(arguments):
    """Exit status: 0 proved, 1 rejected, 2 not called as it should be."""
    if len(arguments) != 2:
        print("usage: checker.py CERTIFICATE WEIGHTS", file=sys.stderr)
        return 2
    try:
        certificate, weights = (Path(name).read_bytes() for name in arguments)
    except OSError as problem:
        print(f"checker: {problem.filename!r}: {problem.strerror}; allowed is a file that can be read", file=sys.stderr)
        return 2
    try:
        margin = check(certificate, weights)
    except Rejected as problem:
        print(f"rejected: {problem}")
        return 1
    print(f"proved: this network adds decimal numbers of every length; the right digit leads by {margin:.3f} or more")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
