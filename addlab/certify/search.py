"""Search for the shortest input that a network gets wrong: no proof, but what random tests miss.

The network is walked as the state machine it is. Each step has a margin, the right symbol's logit less the best other;
it is wrong where that is not above zero. Four walks:

1. *All* inputs of a few columns, each tried: what is wrong among them is the shortest there is.
2. *Beam*: at each column every next column is tried, and those states go on from which some column after that has the
   least margin.
3. *Runs*: any column, k times one that keeps the machine's state (for sums two digits that add up to 9), any column;
   beams go on from where long runs lead.
4. *Shorten*: what was found, with columns left out, or with other ends.

What is found counts only if the network's own `predict` gets it wrong.
"""

from dataclasses import dataclass

import numpy as np

from addlab.certify.machines import ADDITION, run
from addlab.certify.walk import Walk

AT_ONCE = 10_000  # states stepped in one call: they stay in cache, or nearly
TRIED = 1_100_000  # inputs tried one by one at most
LOOKED = 1_000_000  # states looked at for each column of a beam
BEGUN, RUNS = 100_000, 400  # runs begun, and walked on, side by side


@dataclass(frozen=True)
class Search:
    """What a search found, and how far it looked.

    wrong: the shortest input found that the network gets wrong, or None: for an adder a pair of ints, else a list of
    symbols for each input, as they are read. length: its digits. tried: every input of up to so many digits was tried.
    states: how many were visited, each checked against the right symbol.
    """

    wrong: tuple | None
    length: int | None
    tried: int
    states: int

    @property
    def shortest(self):
        """Whether what was found is the shortest there is, for certain."""
        return self.wrong is not None and self.length <= self.tried + 1


def counterexample(model, machine=ADDITION, digits=1000):
    """The shortest input of up to `digits` digits found that a network gets wrong, as Search.wrong, or None.

    None is no proof: the search follows the weakest states, not all. `search` says how far it looked.
    """
    return search(model, machine, digits).wrong


def search(model, machine=ADDITION, digits=1000, depth=14):
    """Look for an input that a network gets wrong; returns a Search. The first beam walks `depth` columns.

    model: an addrnn.Adder, a machines.Network with its machine, or an exhaust.Rounded, which knows its machine.
    """
    hunt = Hunt(model, machine, digits)
    hunt.all_short()
    if hunt.path is None or hunt.length > hunt.tried + 1:
        places = hunt.start()
        for column in range(depth):
            if column < 4:
                hunt.runs(places)
            places = hunt.on(places, LOOKED)
        hunt.shorten()
    return Search(hunt.wrong, hunt.length, hunt.tried, hunt.states)


# All inputs

def wrong_paths(walk, length):
    """Yield all that goes wrong in inputs of up to `length` columns and an empty one behind: int [n, columns] arrays.

    A path ends in its first wrong column. Inputs share what they begin with, so that no step is made twice.
    """
    yield from wrong_below(walk, *walk.start(), np.zeros((1, 0), int), length)


def wrong_below(walk, state, states, paths, length):
    """The wrong paths that go on from these, depth first, so that few states are held."""
    count, depth = walk.columns, paths.shape[1]
    for part in parts(len(paths), count):
        parents = np.repeat(np.arange(len(paths))[part], count)
        columns = np.tile(np.arange(count), len(parents) // count)[:, None]
        if depth + 1 == length:  # the empty column behind goes with the last
            columns = np.concatenate((columns, np.zeros_like(columns)), axis=1)
        logits, after = walk.feed(state[:, parents], columns)
        right, after_states = walk.right(states[parents], columns)
        wrong = logits.argmax(axis=2) != right
        grown = np.concatenate((paths[parents], columns), axis=1)
        for t in range(columns.shape[1]):
            here = wrong[:, t] & ~wrong[:, :t].any(axis=1)
            if here.any():
                yield grown[here, : depth + 1 + t]
        if depth + 1 < length:
            good = np.flatnonzero(~wrong[:, 0])
            yield from wrong_below(walk, after[:, good], after_states[good], grown[good], length)


def parts(count, columns):
    """Slices of `count` states, whose next `columns` columns are AT_ONCE steps at most."""
    many = max(1, AT_ONCE // columns)
    return [slice(first, first + many) for first in range(0, count, many)]


# Some inputs

@dataclass
class Places:
    """Places reached: the network's state [rows, count, hidden], the machine's [count], columns so far [count, n]."""

    state: np.ndarray
    states: np.ndarray
    paths: np.ndarray

    def take(self, index):
        return Places(self.state[:, index], self.states[index], self.paths[index])

    def __len__(self):
        return len(self.states)


class Hunt:
    """A search under way: the shortest wrong path so far, and what was visited for it."""

    def __init__(self, model, machine, digits):
        self.model, self.walk = model, Walk(model, machine)
        self.digits, self.states = digits, 0
        self.path = self.length = self.wrong = None
        self.tried = max(n for n in range(digits + 1) if n < 21 and self.walk.columns**n <= TRIED)

    def start(self):
        return Places(*self.walk.start(), np.zeros((1, 0), np.int16))

    def room(self):
        """Columns worth walking."""
        return self.digits + 1 if self.path is None else self.length

    def note(self, paths):
        """Keep the shortest of some wrong paths, if it is news and the network's own answer to it is wrong."""
        for path in sorted(paths, key=self.walk.length):
            if self.walk.length(path) >= (self.digits + 1 if self.path is None else self.length):
                return
            numbers = np.array(self.walk.symbols(path))[:, None]
            if (self.model.predict(*numbers) != run(self.walk.machine, *numbers)).any():
                self.path, self.length, self.wrong = path, self.walk.length(path), self.walk.inputs(path)
                return

    def all_short(self):
        """Try all inputs of `tried` digits."""
        for paths in wrong_paths(self.walk, self.tried):
            self.note(paths.tolist())
        self.states += sum(self.walk.columns**n for n in range(1, self.tried + 1)) + self.walk.columns**self.tried

    def look(self, places, index, columns):
        """Feed the places of these numbers their own columns [count, n]: (states after, the machine's, margins).

        What is wrong is noted.
        """
        logits, state = self.walk.feed(places.state[:, index], columns)
        right, states = self.walk.right(places.states[index], columns)
        leads = np.take_along_axis(logits, right[..., None], axis=2)[..., 0]
        np.put_along_axis(logits, right[..., None], -np.inf, axis=2)
        margins = leads - logits.max(axis=2)
        wrong = ~(margins > 0)
        self.note([[*places.paths[index[i]].tolist(), *columns[i, : 1 + wrong[i].argmax()].tolist()]
                   for i in np.flatnonzero(wrong.any(axis=1))])
        self.states += columns.size
        return state, states, margins

    def feed(self, places, columns):
        """The places after their own columns [count, n]."""
        state, states, _ = self.look(places, np.arange(len(places)), columns)
        return Places(state, states, np.concatenate((places.paths, columns), axis=1, dtype=np.int16))

    def expand(self, places):
        """The places after every column, one after the other for each place."""
        parents = np.repeat(np.arange(len(places)), self.walk.columns)
        return self.feed(places.take(parents), np.tile(np.arange(self.walk.columns), len(places))[:, None])

    def least(self, places):
        """The least margin of every next column, for each place."""
        count, found = self.walk.columns, []
        for part in parts(len(places), count):
            index = np.arange(len(places))[part]
            *_, margins = self.look(places, np.repeat(index, count), np.tile(np.arange(count), len(index))[:, None])
            found.append(margins.reshape(-1, count).min(axis=1))
        return np.concatenate(found)

    def weakest(self, places, width):
        """The places with the least margin ahead, half of them each of another last column and machine's state."""
        order = np.argsort(self.least(places), kind="stable")
        kinds = places.paths[:, -1] * self.walk.machine.states + places.states
        firsts = np.sort(np.unique(kinds[order], return_index=True)[1])[: width // 2]
        others = np.setdiff1d(np.arange(len(order)), firsts)[: width - len(firsts)]
        return places.take(order[np.concatenate((firsts, others))])

    def on(self, places, looked):
        """One column on: the weakest places after it, as many as take `looked` steps to judge."""
        if places.paths.shape[1] + 1 < self.room():
            places = self.expand(places)
            places = self.weakest(places, max(2, looked // self.walk.columns**2))
        return places

    def runs(self, origins):
        """From origins k times a column that keeps the machine's state, then any column; beams go on from there.

        Of all that begin so the weakest go on, for each such column and state as many.
        """
        machine_states = np.arange(self.walk.machine.states)
        keep = np.flatnonzero((self.walk.next_state == machine_states[:, None]).all(axis=0))
        keep = keep if len(keep) else np.arange(self.walk.columns)
        index, columns = np.repeat(np.arange(len(origins)), len(keep)), np.tile(keep, len(origins))
        if len(index) > BEGUN:
            some = np.random.default_rng(0).choice(len(index), BEGUN, replace=False)
            index, columns = index[some], columns[some]
        margins = np.concatenate([self.look(origins, index[part], np.repeat(columns[part, None], 4, axis=1))[2]
                                  for part in parts(len(index), 4)]).min(axis=1)
        order = np.argsort(margins, kind="stable")
        kinds = (columns * self.walk.machine.states + origins.states[index])[order]
        order = np.concatenate([order[kinds == kind][: RUNS // len(set(kinds)) + 1] for kind in sorted(set(kinds))])
        places, columns, k = origins.take(index[order]), columns[order], 0
        while (steps := min(1 + k // 8, self.room() - 1 - places.paths.shape[1])) > 0:
            places = self.feed(places, np.repeat(columns[:, None], steps, axis=1))
            k += steps
            self.on(self.weakest(places, RUNS // 40), LOOKED // 10)

    def shorten(self):
        """Look near the shortest for shorter ones: with columns left out, or any two columns at an earlier end."""
        before = None
        while self.path is not None and self.path != before:
            before = self.path
            columns = np.array(before)
            for out in range(1, len(columns)):
                if out > 8 and out & (out - 1):
                    continue
                at = np.arange(0, len(columns) - out, len(columns) // 64 + 1)
                left = np.array([np.delete(columns, slice(i, i + out)) for i in at])
                self.feed(self.start().take(np.zeros(len(left), int)), left)
            places = self.start()
            for column in columns[: self.room() - 2]:
                self.least(self.expand(places))
                places = self.feed(places, np.array([[column]]))
