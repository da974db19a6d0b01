"""Check a certificate that a recurrent network computes what a machine computes, for inputs of every length.

THE CLAIM. A machine reads its numbers column by column, keeps one of a few states, and says one symbol a column. The
machine that adds is the school method: a column is two digits, the state is the carry, the symbol is the digit of the
sum. The network reads the same columns, keeps a vector instead of a state, and says the symbol of its largest logit.

THE PROOF. The certificate names a box of vectors for each state of the machine. Checked here, for every state and every
column: from anywhere in the state's box, the network's next vector lies in the box of the machine's next state, and the
logit of the machine's symbol is above all others. Also from the start, where the vector is zero and the state is 0. By
induction over the columns no state is ever lost and no symbol is ever wrong, however long the numbers are.

    a + b, carry 1, column (4, 7): 4 + 7 + 1 = 12, so from all of box 1 the vector must land in box 1, and 2 must win.

WHAT IS ASSUMED. The network's equations are PyTorch's RNN, LSTM or GRU. It runs in float32, and
  1. sums, products and fused multiply-adds round to nearest (24 bits); a number below 2^-126, whether it is read or
     computed, may be taken for zero;
  2. every tanh and sigmoid is within FUNCTION_ERROR of its true value;
  3. what goes into a gate is a sum of products and biases, in any order, some of it perhaps summed beforehand.
So neither TF32 nor half precision, nor cuDNN's cells on a GPU, whose tanh is off by up to 8e-6. Python, python-flint
and the Arb library in it are taken at their word; an `arb` is an interval whose operators round outwards.

    python checker.py NAME.json        reads NAME.safetensors, too; exit status 0: proved, 1: rejected, 2: misused

One file of Python and python-flint: who doubts us can read it whole, copy it elsewhere, and needs nothing else of ours.
"""

import hashlib
import itertools
import json
import math
import os
import struct
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flint import arb, arb_mat, ctx

ctx.prec = 80  # bits that Arb works with
ROUNDOFF = arb(2) ** -24  # relative error of one float32 operation
TINY = arb(2) ** -126  # what taking a number for zero may lose
FUNCTION_ERROR = arb(2) ** -20  # of tanh and sigmoid, in absolute terms
LARGEST = arb(2) ** 99  # sums below it cannot overflow float32
HEADER = 10**8  # bytes of a safetensors header at most


class Rejected(Exception):
    """Why a certificate proves nothing."""


def require(holds, problem):
    if not holds:
        raise Rejected(problem)


# The machine

@dataclass(frozen=True)
class Machine:
    """What the network is to compute. States, input symbols and output symbols are numbered from 0; it starts in 0.

    next_state[state][i], output[state][i]: what column i does, in the order of `columns`. meaning: what the table
    computes, as `check_meaning` reads it, or None.
    """

    symbols: int
    inputs: int
    outputs: int
    next_state: list
    output: list
    meaning: dict | None = None

    @property
    def states(self):
        return len(self.next_state)

    @cached_property
    def columns(self):
        """All columns, one symbol of each input: (0, 0), (0, 1), … (9, 9) for two decimal numbers."""
        return list(itertools.product(range(self.symbols), repeat=self.inputs))


@dataclass(frozen=True)
class Case:
    """One thing to prove: from `origin`, column number `column` leads to `target` and says `output`."""

    origin: str
    state: int
    column: int
    target: int
    output: int


def name_of(state):
    return f"state {state}"


def cases_of(machine):
    """The start with every column, then every state with every column."""
    cases = []
    for origin, state in [("start", 0), *((name_of(state), state) for state in range(machine.states))]:
        for column in range(len(machine.columns)):
            target, output = machine.next_state[state][column], machine.output[state][column]
            cases.append(Case(origin, state, column, target, output))
    return cases


def check_meaning(machine):
    """What the machine computes, in words, once its `meaning` is checked against every row of its table."""
    meaning = machine.meaning
    if meaning is None:
        plural = "s" * (machine.states > 1)
        return f"computes the certificate's machine of {machine.states} state{plural} on inputs of every length"
    if isinstance(meaning, dict) and "factors" in meaning:
        return check_sum(machine, **take(meaning, "base", "factors", "carries"))
    return check_remainder(machine, **take(meaning, "base", "modulus", "remainders"))


def check_sum(machine, base, factors, carries):
    """The machine computes factors · numbers, least significant digit first, if carries[0] = 0 and in every case

        factors · column + carries[state] = output + base · carries[next state].

    Multiplied by base^i and summed over the columns i, the carries cancel, all but the last: modulo base^columns the
    result is right, and where the last carry is 0 it is exact.
    """
    require(is_whole(base) and base > 1, "meaning: no base")
    require(machine.symbols == machine.outputs == base, "meaning: not one symbol for each digit")
    require(are_whole(factors, machine.inputs), "meaning: not a whole factor for each input")
    require(are_whole(carries, machine.states) and carries[0] == 0, "meaning: not a whole carry for each state")
    for case in cases_of(machine):
        column = machine.columns[case.column]
        total = carries[case.state]
        for factor, digit in zip(factors, column, strict=True):
            total += factor * digit
        require(total == case.output + base * carries[case.target],
                f"meaning: the machine is wrong in {case.origin}, column {column}")
    if base == 10 and factors == [1, 1]:
        does = "adds decimal numbers of every length"
    else:
        does = f"computes {formula_of(factors)} of numbers of every length in base {base}"
    zeros = columns_until_no_carry(machine, carries)
    exact = "" if zeros is None else f", exact with {zeros} column{'s' * (zeros != 1)} of zeros at the end"
    return f"{does}, modulo {base}^columns{exact}"


def formula_of(factors):
    """[1, -1] is x - y, [7] is 7*x."""
    terms = []
    for factor, name in zip(factors, "xyzabcdefghijklmnopq", strict=False):
        terms.append({1: name, -1: f"-{name}"}.get(factor, f"{factor}*{name}"))
    return " + ".join(terms).replace("+ -", "- ")


def columns_until_no_carry(machine, carries):
    """How many columns of zeros at the end are enough for every last carry to come out; None if one never does.

    A negative number never does: its carry stays -1.
    """
    most = 0
    for last in range(machine.states):
        state, columns = last, 0
        while carries[state] != 0:
            state, columns = machine.next_state[state][0], columns + 1
            if columns > machine.states:
                return None
        most = max(most, columns)
    return most


def check_remainder(machine, base, modulus, remainders):
    """The machine computes number mod modulus, most significant digit first, if remainders[0] = 0 and in every case

        remainders[next state] = output = (base · remainders[state] + digit) mod modulus.
    """
    require(is_whole(base) and base > 1 and machine.symbols == base, "meaning: not one symbol for each digit")
    require(is_whole(modulus) and modulus > 0 and machine.inputs == 1, "meaning: no remainder of one number")
    require(are_whole(remainders, machine.states) and remainders[0] == 0, "meaning: not a remainder for each state")
    for case in cases_of(machine):
        digit = machine.columns[case.column][0]
        right = (base * remainders[case.state] + digit) % modulus
        require(remainders[case.target] == case.output == right,
                f"meaning: the machine is wrong in {case.origin}, digit {digit}")
    return f"finds the remainder by {modulus} of numbers of every length in base {base}"


# Reading the two files

def parse(data):
    """What bytes of JSON in UTF-8 hold, without duplicate keys, NaN or infinities."""
    def once(pairs):
        found = dict(pairs)
        require(len(found) == len(pairs), "a key stands twice")
        return found

    def finite(literal):
        value = float(literal)
        require(math.isfinite(value), f"{literal[:40]} is not a finite number")
        return value

    def whole(literal):
        require(literal != "-0", "-0 is no whole number")
        return int(literal)

    try:
        found = json.loads(data.decode(), object_pairs_hook=once, parse_float=finite, parse_int=whole,
                           parse_constant=finite)
        json.dumps(found, ensure_ascii=False).encode()  # fails where a text holds half a character
        return found
    except (ValueError, RecursionError) as problem:
        raise Rejected(f"no JSON: {problem}") from None


def is_whole(value):
    return type(value) is int and abs(value) < 10**6


def are_whole(values, count):
    """Whether `values` is a list of `count` whole numbers."""
    return type(values) is list and len(values) == count and all(map(is_whole, values))


def are_sizes(values):
    """Whether `values` is a list of whole numbers from 0 on, of any size."""
    return type(values) is list and all(type(value) is int and value >= 0 for value in values)


def take(entry, *keys):
    """A JSON object that must have just these keys."""
    require(type(entry) is dict and set(entry) == set(keys), f"no object with just {', '.join(keys)}")
    return entry


def read_machine(entry):
    machine = Machine(**take(entry, "symbols", "inputs", "outputs", "next_state", "output", "meaning"))
    for size in (machine.symbols, machine.inputs, machine.outputs):
        require(is_whole(size) and size > 0, "machine: its sizes are not whole numbers above 0")
    require(machine.inputs <= 20, "machine: more than 20 inputs")
    require(machine.outputs > 1, "machine: one output symbol, so nothing is said")
    require(type(machine.next_state) is type(machine.output) is list, "machine: its tables are no lists")
    require(len(machine.next_state) == len(machine.output) > 0, "machine: its tables differ in states")
    for table, bound in ((machine.next_state, machine.states), (machine.output, machine.outputs)):
        for row in table:
            require(are_whole(row, machine.symbols**machine.inputs), "machine: a row has not an entry for every column")
            require(all(0 <= value < bound for value in row), "machine: an entry is out of range")
    return machine


def read_box(box):
    """One layer's box, [low, high] for each entry of its vector, as intervals."""
    require(type(box) is list, "certificate: a box is no list")
    intervals = []
    for ends in box:
        require(type(ends) is list and len(ends) == 2, "certificate: an interval has not two ends")
        require(all(type(end) in (int, float) for end in ends), f"certificate: {str(ends)[:40]} are no numbers")
        require(abs(ends[0]) < 2**99 and abs(ends[1]) < 2**99, "certificate: a box is too wide")
        low, high = float(ends[0]), float(ends[1])
        require(low <= high, "certificate: a box is upside down")
        intervals.append(arb(low).union(arb(high)))
    return intervals


def read_weights(data):
    """Safetensors bytes, float32 only: {name: (shape, values)}. Refuses whatever the safetensors library refuses."""
    start = 8 + int.from_bytes(data[:8], "little")
    require(8 < start <= min(len(data), 8 + HEADER), "weights: no safetensors file")
    header = parse(data[8:start])
    require(type(header) is dict, "weights: no safetensors file")
    notes = header.pop("__metadata__", None)
    texts = notes is None or (type(notes) is dict and all(type(note) is str for note in notes.values()))
    require(texts, "weights: its metadata are no texts")
    places = []
    for name, entry in header.items():
        take(entry, "dtype", "shape", "data_offsets")
        shape, offsets = entry["shape"], entry["data_offsets"]
        require(are_sizes(shape) and are_sizes(offsets) and len(offsets) == 2, f"weights: {name} has no sizes")
        require(entry["dtype"] == "F32", f"weights: {name} is not of float32")
        places.append((start + offsets[0], start + offsets[1], name, shape))
    tensors, end = {}, start
    for begin, stop, name, shape in sorted(places):
        count = math.prod(shape)
        require(begin == end and stop == begin + 4 * count <= len(data), f"weights: {name} has gaps or overlaps")
        values = struct.unpack(f"<{count}f", data[begin:stop])
        require(all(map(math.isfinite, values)), f"weights: {name} is not finite")
        tensors[name] = (shape, values)
        end = stop
    require(end == len(data), "weights: bytes left over")
    return tensors


# Intervals

def plus_minus(radius):
    """The interval [-radius, radius]."""
    return arb(0, radius.upper())


def hull_at_ends(function, *intervals):
    """The range of a function that is monotone in each argument while the others rest: it lies between its corners."""
    ends = [(interval.lower(), interval.upper()) for interval in intervals]
    corners = [function(*corner) for corner in itertools.product(*ends)]
    hull = corners[0]
    for corner in corners[1:]:
        hull = hull.union(corner)
    return hull


def tanh(z):
    return hull_at_ends(arb.tanh, z) + plus_minus(FUNCTION_ERROR)


def sigmoid(z):
    return hull_at_ends(lambda end: ((end / 2).tanh() + 1) / 2, z) + plus_minus(FUNCTION_ERROR)


def product(first, second):
    return hull_at_ends(arb.__mul__, first, second)


def blend(gate, new, old):
    """(1 - gate) · new + gate · old."""
    return hull_at_ends(lambda g, n, o: n + g * (o - n), gate, new, old)


def rounded(value):
    """A few float32 operations on terms of size 2 + 2 |value|: what a cell does between its gates."""
    return value + plus_minus(16 * ROUNDOFF * (1 + abs(value)))


# The three cells, as PyTorch defines them, for one unit. from_below and from_state hold what each gate gets from the
# layer's input and from its own output; carried is the LSTM's cell c, the GRU's h. Each returns h and what it carries.

def rnn(from_below, from_state, carried):
    return tanh(from_below[0] + from_state[0]), []


def lstm(from_below, from_state, carried):
    i = sigmoid(from_below[0] + from_state[0])
    f = sigmoid(from_below[1] + from_state[1])
    g = tanh(from_below[2] + from_state[2])
    o = sigmoid(from_below[3] + from_state[3])
    c = rounded(product(f, carried[0]) + product(i, g))
    h = rounded(product(o, tanh(c)))
    return h, [c]


def gru(from_below, from_state, carried):
    r = sigmoid(from_below[0] + from_state[0])
    z = sigmoid(from_below[1] + from_state[1])
    n = tanh(from_below[2] + rounded(product(r, from_state[2])))
    h = rounded(blend(z, n, carried[0]))
    return h, [h]


CELLS = {"RNN": (1, rnn), "GRU": (3, gru), "LSTM": (4, lstm)}  # gates, step


# The proof

@dataclass(frozen=True)
class Sizes:
    """The sizes that a certificate tells of a network."""

    cell: str
    layers: int
    hidden: int
    embedding: int


def rounding_errors(*parts):
    """How far float32 may be off a sum of products, as an interval for each row; parts: (matrix, bound of its factors).

    A sum of n terms in any order is off by at most n u / (1 - n u) times the sum of their sizes, u = 2^-24 (Higham,
    Accuracy and Stability of Numerical Algorithms, section 3.1); products round too, which 2 n + 8 leaves room for.
    Flushing to zero takes up to TINY from an entry, times its factor; from a factor, times its entry; from a result. No
    bound counts below 1, so that the entries add up to `size` at most.
    """
    parts = [(matrix, arb(bound).max(1)) for matrix, bound in parts]
    terms, all_bounds = 8, arb(1)
    for matrix, bound in parts:
        terms += 2 * matrix.ncols()
        all_bounds += bound
    relative = terms * ROUNDOFF / (1 - terms * ROUNDOFF)
    errors = []
    for row in range(parts[0][0].nrows()):
        size = arb(0)
        for matrix, bound in parts:
            size += bound * sum(abs(matrix[row, column]) for column in range(matrix.ncols()))
        require(size < LARGEST, "weights: float32 may overflow")
        errors.append(plus_minus(relative * size + terms * TINY * all_bounds * (1 + size)))
    return errors


def largest(intervals):
    """A bound of the absolute values in some intervals."""
    bound = arb(0)
    for interval in intervals:
        bound = bound.max(abs(interval).upper())
    return bound


def take_matrix(tensors, name, *shape):
    found, values = tensors.get(name, (None, ()))
    require(found == list(shape), f"weights: no {name} of shape {list(shape)}")
    return arb_mat(shape[0], math.prod(shape[1:]), [arb(value) for value in values])


def embed(tensors, machine, cases, embedding):
    """What the first layer reads, a column for each case, and a bound of its entries."""
    table = take_matrix(tensors, "embed_layer.weight", machine.symbols, embedding)
    rows = table.tolist()
    reads = []
    for case in cases:
        entries = []
        for symbol in machine.columns[case.column]:
            entries += rows[symbol]
        reads.append(entries)
    return arb_mat(reads).transpose(), largest(table.entries())


def prove(network, machine, tensors, invariant):
    """The least lead of the right logit, an interval for each case; raises Rejected where the proof fails.

    tensors: {name: (shape, values)}; invariant[state][layer]: the layer's box, a list of intervals. A layer's vector is
    what its state adds to its gates, U h for the recurrent weights U; then the LSTM's c or the GRU's h.
    """
    require(len(tensors) == 4 * network.layers + 3, "weights: more or fewer tensors than this network has")
    cases = cases_of(machine)
    below, bound = embed(tensors, machine, cases, network.embedding)
    for layer in range(network.layers):
        boxes = {name_of(state): layers[layer] for state, layers in enumerate(invariant)}
        below, bound = prove_layer(network, layer, cases, tensors, boxes, below, bound)
    return prove_outputs(network, machine, cases, tensors, below, bound)


def prove_layer(network, layer, cases, tensors, boxes, below, bound):
    """That a layer's vectors stay in their boxes; returns its outputs, a column for each case, and their bound.

    below: its inputs, a column for each case, none larger than `bound`.
    """
    gates, step = CELLS[network.cell]
    hidden, rows = network.hidden, gates * network.hidden
    carries = 0 if network.cell == "RNN" else hidden
    w = take_matrix(tensors, f"rnn.weight_ih_l{layer}", rows, below.nrows())
    u = take_matrix(tensors, f"rnn.weight_hh_l{layer}", rows, hidden)
    b_w = take_matrix(tensors, f"rnn.bias_ih_l{layer}", rows)
    b_u = take_matrix(tensors, f"rnn.bias_hh_l{layer}", rows)

    boxes = boxes | {"start": [arb(0)] * (rows + carries)}
    output_bound = arb(2)  # |h| is below 1 + FUNCTION_ERROR, but in a GRU as large as its box lets it be
    for box in boxes.values():
        require(len(box) == rows + carries, f"a box of layer {layer + 1} has not {rows + carries} entries")
        if network.cell == "GRU":
            output_bound = output_bound.max(2 + largest(box[rows:]))
    errors = rounding_errors((w, bound), (u, output_bound), (b_w, 1), (b_u, 1))

    from_below = w * below
    outputs, carried_after = [], []
    for number, case in enumerate(cases):
        box = boxes[case.origin]
        case_outputs, case_carried = [], []
        for unit in range(hidden):
            gate_rows = range(unit, rows, hidden)
            into_gates = [from_below[row, number] + b_w[row, 0] + errors[row] for row in gate_rows]
            from_state = [box[row] + b_u[row, 0] + errors[row] for row in gate_rows]
            h, carried = step(into_gates, from_state, box[rows + unit : rows + unit + 1])
            case_outputs.append(h)
            case_carried += carried
        outputs.append(case_outputs)
        carried_after.append(case_carried)

    after = arb_mat(outputs).transpose()
    products = u * after
    for number, case in enumerate(cases):
        vector = [products[row, number] for row in range(rows)] + carried_after[number]
        box = boxes[name_of(case.target)]
        for entry, (value, interval) in enumerate(zip(vector, box, strict=True)):
            where = f"{case.origin}, column {case.column}: entry {entry} of layer {layer + 1}"
            require(interval.contains(value), f"{where} leaves the box of {name_of(case.target)}")
    return after, output_bound


def prove_outputs(network, machine, cases, tensors, below, bound):
    """That the right logit wins: its least lead over the others, for each case."""
    dense = take_matrix(tensors, "dense.weight", machine.outputs, network.hidden)
    bias = take_matrix(tensors, "dense.bias", machine.outputs)
    errors = rounding_errors((dense, bound), (bias, 1))
    leads = []
    for number, case in enumerate(cases):
        right = case.output
        least = arb("inf")
        for other in range(machine.outputs):
            if other == right:
                continue
            lead = bias[right, 0] - bias[other, 0] + errors[right] + errors[other]
            for unit in range(network.hidden):
                lead += (dense[right, unit] - dense[other, unit]) * below[unit, number]
            require(lead > 0, f"{case.origin}, column {case.column}: {right} does not beat {other} on the whole box")
            least = least.min(lead)
        leads.append(least)
    return leads


def lower_end(interval):
    """A float that is not above any number of an interval."""
    value = float(interval.lower())
    while not arb(value) <= interval:
        value = math.nextafter(value, -math.inf)
    return value


# A certificate

@dataclass(frozen=True)
class Verdict:
    """What has been proved: of which network, that it does what, in how many cases, with which least lead."""

    network: Sizes
    does: str
    cases: int
    parameters: int
    digest: str
    margin: float


def check(certificate, weights):
    """The Verdict on the bytes of a certificate and of a weights file; raises Rejected."""
    claim = take(parse(certificate), "machine", "cell", "layers", "hidden", "embedding", "weights", "margin",
                 "invariant")
    digest = hashlib.sha256(weights).hexdigest()
    require(digest == claim["weights"], "weights: not those of the certificate (SHA-256)")
    tensors = read_weights(weights)
    machine = read_machine(claim["machine"])
    does = check_meaning(machine)

    sizes = [claim[key] for key in ("layers", "hidden", "embedding")]
    known = claim["cell"] in list(CELLS) and all(is_whole(size) and size > 0 for size in sizes)
    require(known, "certificate: no such network")
    network = Sizes(claim["cell"], *sizes)

    invariant = claim["invariant"]
    require(type(invariant) is list and len(invariant) == machine.states, "certificate: not boxes for each state")
    boxes = []
    for layers in invariant:
        require(type(layers) is list and len(layers) == network.layers, "certificate: not a box for each layer")
        boxes.append([read_box(box) for box in layers])

    leads = [lower_end(lead) for lead in prove(network, machine, tensors, boxes)]
    margin = min(leads)
    require(type(claim["margin"]) in (int, float), "certificate: its margin is no number")
    require(claim["margin"] <= margin, f"margin {claim['margin']} claimed, {margin:.4f} proved")
    parameters = sum(len(values) for _, values in tensors.values())
    return Verdict(network, does, len(leads), parameters, digest, margin)


def report(verdict):
    """A verdict as five lines."""
    network = verdict.network
    layers = f"{network.layers} layer" + "s" * (network.layers > 1)
    return [
        f"proved    this network {verdict.does}",
        f"network   {network.cell}, {layers} of {network.hidden} units, embedding {network.embedding}: "
        f"{verdict.parameters} parameters, SHA-256 {verdict.digest[:16]}...",
        f"how       {verdict.cases} cases (start or state, column) keep to their boxes; the rest is induction",
        f"margin    in each case the right logit leads by {math.floor(verdict.margin * 1000) / 1000:.3f} or more, "
        "rounding included",
        "assumed   float32 (no TF32, no half), flushed below 2^-126 or not, sums in any order, tanh and sigmoid within "
        "2^-20; Python, Arb"]


def main(arguments):
    """Exit status: 0 proved, 1 rejected, 2 not called as it should be."""
    if len(arguments) not in (1, 2):
        return say("usage: checker.py CERTIFICATE [WEIGHTS]", status=2)
    try:
        certificate, *weights = map(Path, arguments)
        weights = weights[0] if weights else certificate.with_suffix(".safetensors")
        files = certificate.read_bytes(), weights.read_bytes()
    except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
        return say(f"checker: got {arguments}: {problem}; allowed is a file that can be read", status=2)
    try:
        return say(*report(check(*files)), status=0)
    except Rejected as problem:
        return say(f"rejected: {problem}", status=1)


def say(*lines, status):
    """Print lines, a misuse to stderr; returns the exit status, which is the verdict also where no one can read it."""
    stream = sys.stderr if status == 2 else sys.stdout
    if stream is None:  # closed by whoever started this
        return status
    try:
        print(*map(printable, lines), sep="\n", file=stream, flush=True)
    except OSError:  # a full disk, or a reader that left (`| head -1`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # else Python fails once more as it ends
    return status


def printable(text):
    """ASCII on one line: a name in a file can't forge a line, and every terminal can show it."""
    return "".join(letter if " " <= letter <= "~" else ascii(letter)[1:-1] for letter in text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
