"""Short sums that go wrong: all of up to so many digits, each tried, and how often sums of one shape do.

Is it the start? A column 0 + 0 in front of a sum makes it go wrong less often. But if that is because the state before
any digit is taken for a carry, other columns that send no carry help in front as much: `sent` asks whether they do.
"""

from collections import Counter

import numpy as np

from addlab.certify.search import wrong_paths
from addlab.certify.walk import Walk

TENS = np.arange(100) // 10, np.arange(100) % 10  # the digits of each column


def short_sums(model, digits=4, examples=20):
    """What becomes of every sum of two numbers of up to `digits` digits, as plain data.

    sums, wrong: [how many of 1, 2, … digits]. where: [column of the first wrong digit, columns below it that sum to 9
    without a gap, sums]. zero_in_front: of the wrong sums, [those whose digit comes right when a column 0 + 0 stands in
    front]. wrong_after_zero: [how many of 1, 2, … digits, up to `digits` - 1, are wrong with 0 + 0 in front]. examples:
    (a, b), short ones first.
    """
    walk = Walk(model)
    wrong, after_zero, where, repaired, found = np.zeros(digits, int), np.zeros(digits - 1, int), Counter(), 0, []
    for paths in wrong_paths(walk, digits):
        right = right_after_zero(walk, paths)
        for path, mended in zip(paths.tolist(), right.tolist(), strict=True):
            counts = inputs_of(path, walk.columns, digits)
            wrong += counts
            repaired += mended * sum(counts)
            where[len(path) - 1, nines_below(path)] += sum(counts)
            if path[0] == 0 and len(path) > 1:
                after_zero += inputs_of(path[1:], walk.columns, digits - 1)
            if any(counts) and (len(path) - 1 < digits or len(found) < 50 * examples):
                found.append((next(i for i, n in enumerate(counts) if n), path))
    found.sort()
    return {"digits": digits, "sums": [100] + [99 * 100**n for n in range(1, digits)], "wrong": wrong.tolist(),
            "where": [[*place, sums] for place, sums in sorted(where.items())], "repaired": int(repaired),
            "wrong_after_zero": after_zero.tolist(), "examples": [numbers(path) for _, path in found[:examples]]}


COUNT, LONGEST = 5000, 9
FRONTS = {"nothing": 0, "0 + 0": 1, "6 random columns": 6}


def shapes(model, count=COUNT, longest=LONGEST):
    """How often a chain goes wrong, by what is in front: {front: [of `count` with 0, 1, … columns that sum to 9]}."""
    walk, rng, found = Walk(model), np.random.default_rng(0), {}
    for front, columns in FRONTS.items():
        found[front] = []
        for k in range(longest + 1):
            before = np.zeros((count, columns), int) if columns < 2 else rng.integers(0, 100, (count, columns))
            found[front].append(wrong_behind(walk, before, k, rng))
    return found


def sent(model, count=COUNT, longest=LONGEST):
    """The same behind six random columns, by what they send on: {"no carry", "carry": [of `count`, as in `shapes`]}.

    The sixth sums to 8 or less, or to 10 or more: it settles the carry whatever comes before it.
    """
    walk, rng, sums, found = Walk(model), np.random.default_rng(1), np.add(*TENS), {}
    for carry, settles in (("no carry", sums < 9), ("carry", sums > 9)):
        found[carry] = []
        for k in range(longest + 1):
            before = rng.integers(0, 100, (count, 5)), rng.choice(np.flatnonzero(settles), (count, 1))
            found[carry].append(wrong_behind(walk, np.hstack(before), k, rng))
    return found


def wrong_behind(walk, front, k, rng):
    """How many chains of k columns go wrong behind some columns in front, [count, columns], a row for each chain.

    A chain is k columns that sum to 9 and one more, all random; wrong is one whose digit in the k + 1 columns, or in an
    empty one behind them, is not right, while those of the front are.
    """
    count, columns = front.shape
    nines = 9 + 9 * rng.integers(0, 10, (count, k))  # 09, 18, … 90
    path = np.hstack((front, nines, rng.integers(0, 100, (count, 1)), np.zeros((count, 1), int)))
    state, states = walk.start(count)
    wrong = walk.feed(state, path)[0].argmax(axis=2) != walk.right(states, path)[0]
    return int((wrong[:, columns:].any(axis=1) & ~wrong[:, :columns].any(axis=1)).sum())


def right_after_zero(walk, paths):
    """Whether the last digit of each path comes out right when a column 0 + 0 stands in front: bool [n]."""
    columns = np.concatenate((np.zeros_like(paths[:, :1]), paths), axis=1)
    state, states = walk.start(len(columns))
    logits, _ = walk.feed(state, columns)
    right, _ = walk.right(states, columns)
    return logits[:, -1].argmax(axis=1) == right[:, -1]


def nines_below(path):
    """How many columns in a row sum to 9 just below the last."""
    count = 0
    while count + 1 < len(path) and sum(divmod(path[-2 - count], 10)) == 9:
        count += 1
    return count


def numbers(path):
    """The two numbers whose digits, the last first, are the columns of a path."""
    return [int(sum(int(digits[column]) * 10**place for place, column in enumerate(path))) for digits in TENS]


def inputs_of(path, columns, length):
    """How many inputs of 1, 2, … up to `length` columns first go wrong as this path does: [length] ints.

    The last column of an input is not empty, unless it is the only one; an empty one is fed behind it.
    """
    counts, n = [0] * length, len(path)
    if n > 1 and path[-1] == 0 and (n == 2 or path[-2] != 0):
        counts[n - 2] += 1
    if n <= length and (path[-1] != 0 or n == 1):
        counts[n - 1] += 1
    for longer in range(n + 1, length + 1):
        counts[longer - 1] += (columns - 1) * columns ** (longer - n - 1)
    return counts
