"""Search for the shortest pair of numbers that a model adds wrongly.

The model is searched as the state machine it is. A *place* is the state after some columns of digits, with the true
carry there; a step feeds one of the 100 digit pairs. Each step has a margin: the right digit's logit less the best
other. The model is wrong where it is not above zero. Three walks:

1. *Beam* from the start: at each column all 100 pairs, and the places of least margin go on. It finds short failures.
2. *Repeats*: one or two digit pairs over and over, so that the state drifts: every two of them, short; every single
   one and every two that sum to 9, with either carry, long. All 100 pairs are tried after them.
3. *Beam* again, from where the repeats lead: places to which no short number comes.

What is found is shortened, and counts only if `Adder.add` gets it wrong against whole-number arithmetic.

Beside it the plainer question of how far a model gets: `first_wrong` on pairs of the `KINDS`. `recall` keeps
results in records/carries.json; without that file all are measured anew.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from flint import fmpz

from addlab import engine, files
from addlab.inputs import to_text
from addlab.records import tensor_bytes
from addrnn import carry_add

DIGITS = np.stack(np.divmod(np.arange(100), 10))  # [2, 100]: the two digits of each pair
NINES = np.flatnonzero(DIGITS.sum(axis=0) == 9)
KEPT = 50  # failures kept, of which the shortest that Adder.add confirms is reported
FANOUT = 300  # places whose 100 next columns are looked at in one go: memory stays bounded
CHUNK = 32  # columns fed in one go
SHORT = 6  # times that every two digit pairs are repeated


@dataclass(frozen=True)
class Search:
    """What a search found, and how far it looked.

    `pair` is the shortest pair (a, b) found that the model adds wrongly, or None. `digits` is the most
    columns that were walked, `states` how many states were visited, each checked against the right digit.
    """

    pair: tuple | None
    digits: int
    states: int


def counterexample(model, digits=1000):
    """The shortest pair (a, b) found that `model` adds wrongly, or None if none of up to `digits` digits is found.

    None is no proof: the search follows the weakest places, not all. `search` says how far it looked.
    """
    return search(model, digits).pair


def search(model, digits=1000, depth=16, width=200):
    """Look for a pair that `model` adds wrongly, in numbers of up to `digits` digits; returns a Search.

    The beams keep `width` places at each of `depth` columns.
    """
    walk = Walk(model, digits)
    some = np.random.default_rng(0).integers(0, 100, (600, min(6, digits)))
    walk.expand(walk.feed(walk.start(len(some)), some)[0])
    weak = walk.beam(walk.start(1), depth, width)
    drifted = walk.repeat(weak, width)
    walk.beam(drifted, depth // 2, width)
    walk.shorten()
    return Search(walk.confirmed(), walk.longest, walk.states)


def length(columns):
    """Digits of the numbers that show a wrong digit at the last of these columns, bytes of digit pairs 0-99."""
    used = len(columns.rstrip(b"\0"))
    return max(1, used) if used >= len(columns) - 1 else len(columns) + 1  # two zeros in front need a 1 above them


def numbers(columns):
    """The pair of ints, of `length(columns)` digits, that these columns are."""
    above = b"\n" if length(columns) > len(columns) else b""  # 10 is the pair 1, 0
    return tuple(int(fmpz(to_text(digits))) for digits in DIGITS[:, list(columns + above)])


@dataclass
class Places:
    """Places reached: the `state` [layers, count, hidden] there, the `carry` [count], and the columns fed so far.

    An LSTM's state has twice the layers: all h, then all c.
    """

    state: np.ndarray
    carry: np.ndarray
    columns: list

    def take(self, index):
        return Places(self.state[:, index], self.carry[index], [self.columns[i] for i in index])

    def features(self):
        """All that the model keeps, and a 1: [count, features]."""
        kept = np.moveaxis(self.state, 1, 0).reshape(len(self.carry), -1)
        return np.concatenate((kept, np.ones((len(kept), 1))), axis=1)


def join(many):
    """One Places of several."""
    return Places(np.concatenate([p.state for p in many], axis=1), np.concatenate([p.carry for p in many]),
                  [columns for p in many for columns in p.columns])


class Walk:
    """A search under way: how far it went, and the columns at whose end the model was wrong, shortest first."""

    def __init__(self, model, digits):
        self.model, self.digits = model, digits
        self.is_lstm = model.config.cell == "LSTM"
        self.wrong, self.states, self.longest = [], 0, 0
        width = self.start(1).features().shape[1]
        self.products = np.zeros((2, width, width + 1))  # for each carry: features times (features, least margin)

    def room(self):
        """Columns worth walking: one more than the digits of a pair that would be news."""
        return length(self.wrong[0]) if self.wrong else self.digits + 1

    def start(self, count):
        """`count` times the place before the first column."""
        shape = self.model.config.layers * (1 + self.is_lstm), count, self.model.config.hidden
        return Places(np.zeros(shape, np.float32), np.zeros(count, np.int64), [b""] * count)

    def feed(self, places, columns):
        """Feed each place its own digit pairs, columns [count, n]; returns (places, last margins).

        What is wrong is noted.
        """
        num1, num2 = DIGITS[:, columns]
        carry, right = places.carry, np.empty_like(columns)
        for i in range(columns.shape[1]):
            carry, right[:, i] = np.divmod(num1[:, i] + num2[:, i] + carry, 10)
        before = tuple(np.split(places.state, 2)) if self.is_lstm else places.state
        logits, state = engine.logits(self.model, num1, num2, before)
        state = np.concatenate(state) if self.is_lstm else state
        leads = np.take_along_axis(logits, right[..., None], axis=2)
        np.put_along_axis(logits, right[..., None], -np.inf, axis=2)
        margins = leads[..., 0] - logits.max(axis=2)
        for i in np.flatnonzero((margins <= 0).any(axis=1)):
            self.wrong.append(places.columns[i] + bytes(columns[i, : int((margins[i] <= 0).argmax()) + 1].tolist()))
        self.wrong = sorted(self.wrong, key=length)[:KEPT]
        self.states += columns.size
        fed = [before + row.tobytes() for before, row in zip(places.columns, columns.astype(np.uint8), strict=True)]
        self.longest = max(self.longest, max(map(len, fed)))
        return Places(state, carry, fed), margins[:, -1]

    def expand(self, places):
        """Feed each place every digit pair: the places after, 100 for each. Learns which places are weak."""
        parents = np.repeat(np.arange(len(places.columns)), 100)
        after, margins = self.feed(places.take(parents), np.tile(np.arange(100), len(places.columns))[:, None])
        features, least = places.features(), margins.reshape(-1, 100).min(axis=1)
        for carry in (0, 1):
            x, y = features[places.carry == carry], least[places.carry == carry]
            self.products[carry] += x.T @ np.column_stack((x, y))
        return after

    def weakest(self, places, width):
        """The `width` places with the least margin to expect next, half of them each of another last pair and carry.

        What to expect is linear in the state, by least squares over all places expanded so far.
        """
        ridge = 1e-3 * np.eye(len(self.products[0]))
        weights = np.stack([np.linalg.solve(p[:, :-1] + ridge, p[:, -1]) for p in self.products])
        order = np.argsort((places.features() * weights[places.carry]).sum(axis=1), kind="stable")
        kinds = np.array([2 * int.from_bytes(columns[-1:], "big") for columns in places.columns]) + places.carry
        firsts = np.sort(np.unique(kinds[order], return_index=True)[1])[: width // 2]
        chosen = np.concatenate((firsts, np.setdiff1d(np.arange(len(order)), firsts)[: width - len(firsts)]))
        return places.take(order[chosen])

    def beam(self, places, depth, width):
        """Walk up to `depth` columns on, with the `width` weakest places at each; returns the last of them."""
        for _ in range(depth):
            fits = [i for i, columns in enumerate(places.columns) if len(columns) < self.room()]
            if not fits:
                break
            found = [self.weakest(self.expand(places.take(fits[at : at + FANOUT])), width)
                     for at in range(0, len(fits), FANOUT)]
            places = self.weakest(join(found), width)
        return places

    def repeat(self, weak, width):
        """Feed digit pairs over and over, from the start and from the places `weak`; returns where that leads."""
        found, room = [], self.room()
        for first in range(100):  # every two pairs in turn
            two = np.stack((np.full(100, first), np.arange(100)), axis=1)
            places, _ = self.feed(self.start(100), np.tile(two, SHORT)[:, :room])
            found.append(self.weakest(places, width // 20))
        origins, cycles = [self.start(100)], [(pair, pair) for pair in range(100)]
        for carry in (0, 1):
            origins.append(weak.take(np.resize(np.flatnonzero(weak.carry == carry), 100)))
            cycles += [(a, b) for a in NINES for b in NINES]
        places, steps = join(origins), np.tile(cycles, CHUNK // 2)
        walked, far = 0, max(map(len, places.columns))
        while (left := min(CHUNK, self.room() - far - walked)) > 0:
            places, _ = self.feed(places, steps[:, :left])
            walked += left
            if walked.bit_count() == 1:  # at 32, 64, 128 ... columns: what may come next
                found.append(self.beam(places, 1, width // 4))
        return self.weakest(join([*found, places]), 2 * width)

    def shorten(self):
        """Look for shorter failures near the shortest: with columns left out, or any other column at an earlier end."""
        shortest = None
        while self.wrong and self.wrong[0] != shortest:
            shortest = self.wrong[0]
            columns, places, along = np.frombuffer(shortest, np.uint8).astype(np.int64), self.start(1), []
            for column in columns[: self.room() - 1]:
                along.append(places)
                places, _ = self.feed(places, np.array([[column]]))
            for at in range(0, len(along), FANOUT):
                self.beam(join(along[at : at + FANOUT]), 1, 1)
            for out in (1 << k for k in reversed(range((len(columns) - 1).bit_length()))):
                places = np.arange(0, len(columns), max(out, len(columns) // 64 + 1))
                left = np.array([np.delete(columns, slice(at, at + out)) for at in places if at + out <= len(columns)])
                self.feed(self.start(len(left)), left)

    def confirmed(self):
        """The shortest pair noted that `Adder.add` gets wrong, or None."""
        for a, b in map(numbers, self.wrong):
            if self.model.add(a, b) != a + b:
                return a, b
        return None


# How far it gets

KINDS = ("random", "carry", "no carry", "mixed")


def pairs_of(kind, count, digits, rng):
    """Draw `count` pairs of numbers of `digits` digits, of one of KINDS: int8 [count, digits + 1] each.

    "carry": 1 carried over columns that all sum to 9; "no carry": nothing carried over them; "mixed": such runs of
    random length, 30 columns on average, take turns with random columns of the same length on average.
    """
    num1, num2 = np.zeros((2, count, digits + 1), dtype=np.int8)
    num1[:, :-1], num2[:, :-1] = rng.integers(0, 10, (2, count, digits), dtype=np.int8)
    if kind == "mixed":
        turns = np.cumsum(rng.random((count, digits), dtype=np.float32) < 1 / 30, axis=1, dtype=np.int32)
        np.copyto(num2[:, :-1], 9 - num1[:, :-1], where=turns % 2 == 1)
    elif kind != "random":
        num2[:, :-1] = 9 - num1[:, :-1]
    if kind == "carry":
        num1[:, 0] = rng.integers(1, 10, count)
        num2[:, 0] = 10 - num1[:, 0]
    return num1, num2


def first_wrong(model, num1, num2):
    """The first column (from 0) of each pair [count, columns] in which the model is wrong, -1 where it never is."""
    wrong = model.predict(num1, num2) != carry_add(num1, num2)
    return np.where(wrong.any(axis=1), wrong.argmax(axis=1), -1)


def recall(what, model, compute=None):
    """The plain data of `compute()`, from records/carries.json where `what` is told there of a model's weights.

    Without `compute`, None where it is not.
    """
    digest = hashlib.sha256(tensor_bytes(model.state_dict())).hexdigest()[:16]
    known = files.kept("carries.json").get(digest, {})
    if what not in known and compute:
        result = compute()
        files.keep("carries.json", result, digest, what)
        return result
    return known.get(what)
