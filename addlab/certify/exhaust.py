"""Exact model checking: follow every state that a network can reach, and check every symbol that it says on the way.

A network in float32 has finitely many states, and the engine's bits are the same everywhere: it *is* a finite machine.
`exhaust` walks it breadth first: all columns from the start, all columns from each state that this leads to, and so on.
If no column leads to a new state any more, every input of every length has been tried, and nothing was assumed about
tanh, rounding or the order of sums. If a symbol is wrong, the first to be found is in as short an input as there is.

    found = exhaust(Rounded(adder, grid=1))    # states rounded to -1, 0 and 1 after each column
    found.closed, found.states, found.wrong

Who doubts it runs it again: python -m addlab.certify exhaust adder.safetensors --grid 1
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from addlab.certify.checker import read_machine
from addlab.certify.machines import ADDITION
from addlab.certify.proof import Certificate
from addlab.certify.walk import Rounded, Walk, read_adder
from addlab.inputs import Refusal
from addlab.progress import progress_bar

AT_ONCE = 30_000  # states stepped in one call
MOST = 2_000_000  # states after which it stops


@dataclass(frozen=True)
class Exhaustion:
    """What was found, as plain data.

    states: how many different ones were reached; columns: how many of them are new after 1, 2, … columns. closed:
    whether all that they lead to is among them, and every symbol right. behaviours: what then remains when states that
    answer all inputs alike are merged. wrong: else an input whose last symbol is wrong, the first to be found: for an
    adder a pair of ints, else a list of symbols for each input, as they are read. shortest: whether nothing shorter is
    wrong. right_up_to: all inputs of so many columns, for an adder digits, are right; None: of any length.
    """

    states: int
    columns: list
    closed: bool
    behaviours: int | None = None
    wrong: tuple | None = None
    right_up_to: int | None = None
    shortest: bool | None = None


def exhaust(model, machine=ADDITION, most=MOST, on_column=None):
    """Try every input of a network, until no new state is reached, a symbol is wrong, or there are more than `most`.

    model: an addrnn.Adder, a machines.Network with its machine, or a Rounded, which knows its machine.
    on_column(column, new, states) is called after each column. Returns an Exhaustion.
    """
    return follow(Walk(model, machine), most, on_column)[0]


def follow(walk, most, on_column=None):
    """What `exhaust` finds, and the States reached."""
    seen, at, sizes = States(walk), 0, []
    seen.add(*walk.start())
    while at < seen.count <= most:
        level = range(at, seen.count)
        wrong = expand(walk, seen, level, len(sizes) + 1, most)
        if wrong:
            right = min(walk.length(wrong), len(wrong)) - 1
            return Exhaustion(level.stop, sizes, False, wrong=walk.inputs(wrong), right_up_to=right,
                              shortest=walk.length(wrong) == right + 1), seen
        if seen.count <= most:
            at = level.stop
            sizes.append(seen.count - at)
            if on_column:
                on_column(len(sizes), sizes[-1], seen.count)
    if at == seen.count:
        return Exhaustion(at, sizes, True, behaviours(walk.machine, seen.machine_states())), seen
    empty_last = walk.machine == ADDITION  # as many columns as were tried hold one digit less
    return Exhaustion(seen.count, sizes, False, right_up_to=max(0, len(sizes) - empty_last)), seen


def expand(walk, seen, level, column, most):
    """Feed the states of a level every column; the path of a shortest wrong input, or None.

    The empty column comes last, so that a state which other columns reach, too, counts as one where an input may end.
    """
    wrong = None
    with progress_bar(len(level) * walk.columns, f"column {column}") as bar:
        for columns in (np.arange(1, walk.columns), np.zeros(1, int)):
            many = max(1, AT_ONCE // len(columns))
            for first in range(level.start, level.stop, many):
                index = np.arange(first, min(first + many, level.stop))
                state, states = seen.take(index)
                parents, fed = np.repeat(np.arange(len(index)), len(columns)), np.tile(columns, len(index))[:, None]
                logits, after = walk.feed(state[:, parents], fed)
                right, after_states = walk.right(states[parents], fed)
                here = np.flatnonzero(logits[:, 0].argmax(axis=1) != right[:, 0])
                for i in here[:1] if len(columns) > 1 else here:  # behind other columns one is as short as another
                    path = [*seen.path(index[parents[i]]), int(fed[i, 0])]
                    wrong = min(wrong, path, key=walk.length) if wrong else path
                if not wrong:
                    seen.add(after, after_states, index[parents], fed[:, 0])
                bar.update(len(fed))
                bar.set_postfix_str(f"{seen.count:,} states", refresh=False)
                if seen.count > most:
                    return None
    return wrong


class States:
    """The states reached, each once, in the order in which they were found: a row of words, and how it was reached.

    A hash says where to look and whole rows are compared, so that no state is ever taken for another. On a grid a row
    holds 16 bits for each number where they suffice.
    """

    def __init__(self, walk):
        self.walk, self.count = walk, 0
        self.short = walk.grid is not None and not walk.is_lstm and walk.grid < 2**15  # then no |state| is above 1
        self.size = int(np.prod(walk.shape))
        words = (self.size + 1) // 2 if self.short else self.size
        self.rows = np.zeros((1024, words + 1), np.uint32)  # the last word is the machine's state
        self.parents, self.columns = np.zeros(1024, np.int64), np.zeros(1024, np.int32)
        self.slots = np.full(4096, -1)

    def add(self, state, states, parents=(0,), columns=(0,)):
        """Keep what is new of states [rows, count, hidden] beside the machine's, reached from `parents` by columns."""
        flat = np.moveaxis(state, 1, 0).reshape(len(states), -1)
        if self.short:
            flat = np.pad(np.rint(flat * self.walk.grid).astype(np.int16), ((0, 0), (0, self.size % 2)))
        rows = np.column_stack((np.ascontiguousarray(flat).view(np.uint32), states.astype(np.uint32)))
        room = self.count + len(rows)
        while len(self.rows) < room:
            self.rows, self.parents, self.columns = (
                np.concatenate((a, np.zeros_like(a))) for a in (self.rows, self.parents, self.columns))
        if len(self.slots) < 3 * room:
            self.slots = np.full(1 << (4 * room).bit_length(), -1)
            place(self.rows[: self.count], self.slots)
        before, new = self.count, insert(rows, self.rows, self.count, self.slots)
        self.count += len(new)
        self.parents[before : self.count], self.columns[before : self.count] = (
            np.asarray(values)[new] for values in (parents, columns))

    def take(self, index):
        """The states of these numbers, and the machine's."""
        words = self.rows[index, :-1]
        flat = words.view(np.int16)[:, : self.size] / np.float32(self.walk.grid) if self.short else words.view(
            np.float32)
        state = flat.reshape(len(index), *self.walk.shape).astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(state, 1, 0)), self.rows[index, -1].astype(int)

    def machine_states(self):
        return self.rows[: self.count, -1].astype(int)

    def path(self, number):
        """The columns that first led to a state, the first read first."""
        columns = []
        while number:
            columns.append(int(self.columns[number]))
            number = self.parents[number]
        return columns[::-1]


@njit
def where(row, rows, slots):
    """The slot of a row: that of an equal one, or the empty one where it belongs."""
    value, mask = np.uint64(14695981039346656037), np.uint64(len(slots) - 1)  # FNV-1a over words, then mixed
    for word in row:
        value = (value ^ np.uint64(word)) * np.uint64(1099511628211)
    value = (value ^ (value >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    at = np.int64((value ^ (value >> np.uint64(32))) & mask)
    while slots[at] >= 0 and not np.array_equal(rows[slots[at]], row):
        at = (at + 1) & (len(slots) - 1)
    return at


@njit
def place(rows, slots):
    """Enter rows, all different, into empty slots."""
    for i in range(len(rows)):
        slots[where(rows[i], rows, slots)] = i


@njit
def insert(new, rows, count, slots):
    """Append to rows[:count] what of `new` is not among them; returns the places in `new` of what was."""
    found = np.empty(len(new), np.int64)
    some = 0
    for i in range(len(new)):
        at = where(new[i], rows, slots)
        if slots[at] < 0:
            slots[at] = count + some
            rows[count + some] = new[i]
            found[some] = i
            some += 1
    return found[:some]


def behaviours(machine, states):
    """How many of the machine's states that were reached differ in what they say to some input.

    Each state of the network said what its state of the machine says, and went where that goes; so states of the
    network with the same one beside them answer all inputs alike, and these are the behaviours of the network, too.
    """
    states = np.unique(states)
    output, next_state = (np.array(table)[states] for table in (machine.output, machine.next_state))
    kinds, count = np.unique(output, axis=0, return_inverse=True)[1].reshape(-1), 0
    while kinds.max() + 1 > count:
        count = kinds.max() + 1
        after = kinds[np.searchsorted(states, next_state)]
        kinds = np.unique(np.column_stack((kinds, after)), axis=0, return_inverse=True)[1].reshape(-1)
    return int(count)


# The command

def load(file, grid=None):
    """(network, its machine), from a file of weights of an adder or a certificate NAME.json.

    With a grid, the file's own unless another is given, the network is a Rounded. Raises ValueError for other files.
    """
    path, own = Path(file), None
    if path.suffix == ".json":
        certificate = Certificate.load(path.with_suffix(""))
        network, machine = certificate.network(), read_machine(certificate.claim["machine"])
    else:
        (network, own), machine = read_adder(path), ADDITION
    grid = grid or own
    return (network if grid is None else Rounded(network, grid, machine)), machine


def report(file, grid=None, most=MOST):
    """Exhaust the network of a file and say what comes of it; the exit status: 0 right, 1 wrong, 3 not closed."""
    if most < 1 or (grid is not None and grid < 1):
        raise Refusal(f"--grid, --most: got {grid}, {most}, allowed are whole numbers, 1 or more")
    network, machine = load(file, grid)

    def tell(column, new, states):
        print(f"column {column}: {new:,} new states, {states:,} in all", file=sys.stderr, flush=True)

    found = exhaust(network, machine, most, tell)
    unit = "digit" if machine == ADDITION else "column"
    if found.closed:
        print(f"closed: {found.states:,} states, every symbol right, at every length; {found.behaviours} behaviours")
        return 0
    if found.wrong is None:
        print(f"not closed after {found.states:,} states; all inputs of up to {found.right_up_to} {unit}s are right")
        return 3
    proved = "nothing shorter is" if found.shortest else f"nothing of up to {found.right_up_to} {unit}s is"
    if machine == ADDITION:
        a, b = found.wrong
        print(f"wrong: {a} + {b} = {network.add(a, b)}; {proved}")
    else:
        print(f"wrong: {' and '.join(' '.join(map(str, symbols)) for symbols in found.wrong)}, as read; {proved}")
    return 1
