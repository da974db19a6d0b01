"""How many columns that sum to 9 a carry survives: by layers, cell, batches, base, and how often columns hand it on.

In base B a column that sums to B - 1 hands on what it gets. A *chain* is a start, some random columns of which the
last makes a carry or makes none, and then columns that all hand on, random pairs each. A carry has survived up to the
first wrong digit. Twins are two chains that differ in the last column of the start alone, so in the carry: where the
distance of their states goes to 0 the carry is gone for good; where it does not, it may still be read wrongly.

Each of these can come out otherwise:

    rate     it is how often a column hands on in training that decides, not the base: base 10 keeps a carry that is
             handed on as often as in base 2, and base 2 loses one that is handed on as seldom as in base 10
    batches  a carry that fades is unfinished learning: with more batches of the same data it survives longer
    layers   one layer has nowhere else to keep a carry, so it keeps it best
    cells    gates keep a carry longer than tanh does

python -m addlab.study.fading    measure what is missing in records/studies/fading.json; can be stopped
"""

import sys

import numpy as np

from addlab import engine
from addlab.study import plots
from addlab.study.carries import groups
from addlab.study.experiments import configs
from addlab.study.studies import recall, results
from addrnn import Adder, streams

STUDY = "fading"
LOOKS = (500, 1000, 2000, 4000, 8000, 16000)  # batches after which a training is looked at
COUNT, COLUMNS, START = 40, 4096, 6


# Data of any base and rate

def columns_of(base):
    """All digit pairs of a base: (those that hand a carry on, all others), int64 [2, pairs] each."""
    pairs = np.stack(np.divmod(np.arange(base * base), base))
    hands_on = pairs.sum(axis=0) == base - 1
    return pairs[:, hands_on], pairs[:, ~hands_on]


def draw(pairs, shape, rng):
    """Digit pairs at random: int64 [2, *shape]."""
    return pairs[:, rng.integers(0, pairs.shape[1], shape)]


def added(num1, num2, base):
    """The digits of num1 + num2 [count, digits] in a base; a carry out of the last column is dropped."""
    total, carry = np.empty_like(num1), np.zeros(len(num1), num1.dtype)
    for column in range(num1.shape[1]):
        carry, total[:, column] = np.divmod(num1[:, column] + num2[:, column] + carry, base)
    return total


def sample(count, digit_len, base, rate, rng):
    """num1, num2, total [count, digit_len + 1] in a base, whose columns hand a carry on with the probability `rate`.

    With the rate 1 / base all pairs of digits are equally likely, as in addrnn.sample.
    """
    on, others = columns_of(base)
    shape = count, digit_len
    pairs = np.where(rng.random(shape) < rate, draw(on, shape, rng), draw(others, shape, rng))
    num1, num2 = np.pad(pairs, ((0, 0), (0, 0), (0, 1)))
    return num1, num2, added(num1, num2, base)


def chains(count, columns, base, rng):
    """Twins: num1, num2, int64 [2, count, START + columns] each; along those of the first half no carry is handed on.

    Their last column of the start sums to base - 2 or less, or to base or more.
    """
    on, others = columns_of(base)
    carry = others.sum(axis=0) >= base
    front = rng.integers(0, base, (2, count, START - 1))
    begins = [draw(others[:, chosen], (count, 1), rng) for chosen in (~carry, carry)]
    chain = draw(on, (count, columns), rng)
    return np.stack([np.concatenate((front, begin, chain), axis=2) for begin in begins], axis=1)


# One model

def survival(model, base, count=COUNT, columns=COLUMNS):
    """What becomes of both carries along chains.

    {"none", "carry": how many columns each chain survives, `columns` if no digit was wrong, rising; "distance": of
    twins' states after 1, 2, 4 … columns, relative to that after the first, its median; "ends": how often the digit of
    a column that does not hand on is right, behind a chain of so many}.
    """
    rng = np.random.default_rng(0)
    num1, num2 = chains(count, columns, base, rng).reshape(2, 2 * count, -1)
    carry = np.repeat([0, 1], count)
    ends = draw(columns_of(base)[1], (2 * count, 1), rng)
    right_end = (ends.sum(axis=0)[:, 0] + carry) % base
    wrong_at, distances, right_ends = np.full(2 * count, columns), [], []
    _, state = engine.logits(model, num1[:, :START], num2[:, :START])
    walked = 0
    while walked < columns:
        here = min(max(1, walked), columns - walked)  # to 1, 2, 4 … columns
        chunk = slice(START + walked, START + walked + here)
        logits, state = engine.logits(model, num1[:, chunk], num2[:, chunk], state)
        wrong = logits.argmax(axis=2) != ((base - 1) * (1 - carry))[:, None]
        found = wrong.any(axis=1) & (wrong_at == columns)
        wrong_at[found] = walked + wrong.argmax(axis=1)[found]
        walked += here
        flat = np.concatenate(state, axis=0) if isinstance(state, tuple) else state
        distances.append(np.sqrt(((flat[:, :count] - flat[:, count:]).astype(float) ** 2).sum(axis=(0, 2))))
        said, _ = engine.logits(model, *ends, state)
        right_ends.append(round(float((said[:, 0].argmax(axis=1) == right_end).mean()), 4))
    ratios = np.median(distances / distances[0], axis=1)
    return {"none": sorted(wrong_at[:count].tolist()), "carry": sorted(wrong_at[count:].tolist()),
            "distance": [float(f"{ratio:.3g}") for ratio in ratios], "ends": right_ends}


def train(config, base, rate):
    """{batches: `survival` of a model after so many batches of sums in a base} for all LOOKS up to config.batches."""
    model, rng, found = Adder(config), streams(config.seed)[1], {}
    optimizer = engine.Adam(model.parameters(), config.lr)
    for batch in range(1, config.batches + 1):
        engine.gradients(model, *sample(config.batch_size, config.digit_len, base, rate, rng))
        optimizer.step()
        if batch in LOOKS:
            found[batch] = survival(model, base)
    return found


# What is trained

def plan():
    """[(config, base, rate)], most telling first; one seed after the other."""
    def each(seeds, base, rate, layers=(3, 1), batches=4000, **settings):
        return [(config, base, rate) for config in configs(seeds, layers=layers, batches=batches, **settings)]

    def rates(seeds, long=4000):
        return [*each(seeds, 10, 0.1, layers=1, batches=long), *each(seeds, 10, 0.1, layers=3), *each(seeds, 10, 0.5),
                *each(seeds, 2, 0.1), *each(seeds, 2, 0.5)]

    first, second = range(3), range(3, 5)
    return [*rates(range(2), long=LOOKS[-1]), *rates([2]), *each(first, 10, 0.1, layers=2),
            *each(first, 10, 0.1, layers=1, cell=("GRU", "LSTM")), *each(first, 10, 0.2), *each(first, 10, 0.3),
            *rates(second), *each(second, 10, 0.1, layers=2), *each(first, 2, 0.2), *each(first, 2, 0.3),
            *each(second, 10, 0.1, layers=1, cell=("GRU", "LSTM")), *rates(range(5, 10))]


def key(config, base, rate):
    """The name of a training in the study's file."""
    c = config
    return f"{c.cell}, {plots.name('layers', c.layers)}, base {base}, rate {rate:g}, seed {c.seed}"


def models(batches, cell="RNN", layers=1, base=10, rate=0.1):
    """{seed: `survival` after so many batches} of all that have been measured."""
    known, found = results(STUDY), {}
    for config, *data in plan():
        if (config.cell, config.layers, *data) == (cell, layers, base, rate):
            looks = known.get(key(config, *data), {})
            if str(batches) in looks:
                found[config.seed] = looks[str(batches)]
    return found


def survived(found):
    """Columns that half of the chains survive, of the carry that is lost sooner."""
    return min(float(np.median(found[kind])) for kind in ("none", "carry"))


def keeps(found):
    """Whether every chain, with either carry, survives all its columns."""
    return min(found["none"][0], found["carry"][0]) >= COLUMNS


def merged(found):
    """Whether the states of twins become equal: what is left of their distance is float32's rounding."""
    return found["distance"][-1] < 1e-6


def of_groups():
    """{group of notebook 06: {seed: `survival`}} of the report's own models, as far as it has been measured."""
    known, found = results(STUDY), {}
    for name, runs in groups(range(20)).items():
        measured = {run.config.seed: known.get(f"{name}, seed {run.config.seed}") for run in runs}
        found[name] = {seed: result for seed, result in measured.items() if result}
    return found


# In a picture

def twins_figure(named):
    """Distance of twins' states, and chains still right, by columns; named: {name: {seed: `survival`}}."""
    fig, (left, right) = plots.figure("Plain networks: after a few dozen nines, carry and no carry are one state",
                                      columns=2, height=3.3)
    paints = dict.fromkeys(named, plots.colour("layers", 3))
    styles = dict(zip(named, ("-", "--"), strict=False))
    along = np.append(2 ** np.arange(int(np.log2(COLUMNS))), COLUMNS)
    for ax, title in ((left, "distance of the twins' states"), (right, "share of chains still right")):
        plots.axis(ax, title, "nines: columns that sum to 9", log="x", xlim=(1, COLUMNS), ylim=(-0.03, 1.05))
        plots.decades(ax, [1, 10, 100, 1000])
    plots.curves(left, {name: [(along, found["distance"]) for found in seeds.values()]
                        for name, seeds in named.items()}, paints, dict.fromkeys(named, ""), styles)
    plots.curves(right, {name: [(along, still_right(found, along)) for found in seeds.values()]
                         for name, seeds in named.items()}, paints, styles=styles)
    return fig


def still_right(found, columns):
    """The share of a model's chains whose first `columns` columns are right, for each of some numbers of columns."""
    return [float(np.mean(np.array(found["none"] + found["carry"]) >= count)) for count in columns]


def batches_figure(looks=LOOKS):
    """Columns that half of the chains survive, by batches, of one to three layers in base 10."""
    fig, ax = plots.figure("One layer usually keeps a carry longest; more batches help every depth", height=2.8)
    plots.axis(ax, "nines until half of the chains are wrong", "batches", log="xy",
               xlim=(0.9 * looks[0], 1.1 * looks[-1]), ylim=(4, 1.6 * COLUMNS))
    ax.set_xticks(looks, [f"{x:g}" for x in looks])
    plots.decades(ax, [10, 100, 1000], "y")
    plots.curves(ax, {k: by_batches(looks, layers=k) for k in (1, 2, 3)},
                 {k: plots.colour("layers", k) for k in (1, 2, 3)}, {k: plots.name("layers", k) for k in (1, 2, 3)})
    return fig


def by_batches(looks, **settings):
    """[(batches, columns survived) of each seed], as far as it was trained."""
    seeds = {}
    for batches in looks:
        for seed, found in models(batches, **settings).items():
            seeds.setdefault(seed, []).append((batches, survived(found)))
    return [tuple(zip(*points, strict=True)) for points in seeds.values()]


def main():
    """Measure the report's own models, then train and measure what has no result yet, one after the other."""
    for name, runs in groups(range(20)).items():
        for run in runs:
            if run.model:
                recall(STUDY, f"{name}, seed {run.config.seed}", lambda run=run: survival(run.model, 10))
    for config, base, rate in plan():
        name = key(config, base, rate)
        if name not in results(STUDY):
            print(name, flush=True)
            recall(STUDY, name, lambda which=(config, base, rate): train(*which))


if __name__ == "__main__":
    sys.exit(main())
