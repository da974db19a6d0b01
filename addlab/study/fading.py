"""How many columns that sum to 9 a carry survives: by layers and batches.

A column that sums to 9 hands on the carry that it gets. A *chain* is a start, some random columns of which the last
makes a carry or makes none, and then columns that all sum to 9, random pairs each. A carry has survived up to the first
wrong digit. Twins are two chains that differ in the last column of the start alone, so in the carry: where the distance
of their states goes to 0 the carry is gone for good; where it does not, it may still be read wrongly.

Each of these can come out otherwise:

    batches  a carry that fades is unfinished learning: with more batches of the same data it survives longer
    layers   one layer has nowhere else to keep a carry, so it keeps it best

python -m addlab.study.fading    measure what is missing in records/studies/fading.json; can be stopped
"""

import sys

import numpy as np

from addlab import engine
from addlab.study import plots
from addlab.study.carries import groups
from addlab.study.experiments import configs
from addlab.study.first_digit import PAIRS
from addlab.study.studies import recall, results
from addrnn import Adder, carry_add, streams

STUDY = "fading"
LOOKS = (500, 1000, 2000, 4000)  # batches after which a training is looked at
COUNT, COLUMNS, START = 40, 4096, 6
NINES, OTHERS = PAIRS[:, PAIRS.sum(axis=0) == 9], PAIRS[:, PAIRS.sum(axis=0) != 9]


# Data

def draw(pairs, shape, rng):
    """Digit pairs at random: int64 [2, *shape]."""
    return pairs[:, rng.integers(0, pairs.shape[1], shape)]


def sample(count, digit_len, rng):
    """num1, num2, total [count, digit_len + 1]: all pairs of digits are equally likely, as in addrnn.sample.

    Whether a column sums to 9 is drawn first: the recorded trainings are of this stream of random numbers.
    """
    shape = count, digit_len
    pairs = np.where(rng.random(shape) < 0.1, draw(NINES, shape, rng), draw(OTHERS, shape, rng))
    num1, num2 = np.pad(pairs, ((0, 0), (0, 0), (0, 1)))
    return num1, num2, carry_add(num1, num2)


def chains(count, columns, rng):
    """Twins: num1, num2, int64 [2, count, START + columns] each; along those of the first half no carry is handed on.

    The last column of their start sums to 8 or less, or to 10 or more.
    """
    carry = OTHERS.sum(axis=0) > 9
    front = rng.integers(0, 10, (2, count, START - 1))
    begins = [draw(OTHERS[:, chosen], (count, 1), rng) for chosen in (~carry, carry)]
    chain = draw(NINES, (count, columns), rng)
    return np.stack([np.concatenate((front, begin, chain), axis=2) for begin in begins], axis=1)


# One model

def survival(model, count=COUNT, columns=COLUMNS):
    """What becomes of both carries along chains.

    {"none", "carry": how many columns each chain survives, `columns` if no digit was wrong, rising; "distance": of
    twins' states after 1, 2, 4 … columns, relative to that after the first, its median; "ends": how often the digit of
    a column that does not sum to 9 is right, behind a chain of so many}.
    """
    rng = np.random.default_rng(0)
    num1, num2 = chains(count, columns, rng).reshape(2, 2 * count, -1)
    carry = np.repeat([0, 1], count)
    ends = draw(OTHERS, (2 * count, 1), rng)
    right_end = (ends.sum(axis=0)[:, 0] + carry) % 10
    wrong_at, distances, right_ends = np.full(2 * count, columns), [], []
    _, state = engine.logits(model, num1[:, :START], num2[:, :START])
    walked = 0
    while walked < columns:
        here = min(max(1, walked), columns - walked)  # to 1, 2, 4 … columns
        chunk = slice(START + walked, START + walked + here)
        logits, state = engine.logits(model, num1[:, chunk], num2[:, chunk], state)
        wrong = logits.argmax(axis=2) != (9 * (1 - carry))[:, None]
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


def train(config):
    """{batches: `survival` of a model after so many batches of sums} for all LOOKS up to config.batches."""
    model, rng, found = Adder(config), streams(config.seed)[1], {}
    optimizer = engine.Adam(model.parameters(), config.lr)
    for batch in range(1, config.batches + 1):
        engine.gradients(model, *sample(config.batch_size, config.digit_len, rng))
        optimizer.step()
        if batch in LOOKS:
            found[batch] = survival(model)
    return found


# What is trained

def plan():
    """The configs of all trainings, one seed after the other."""
    return configs(range(10), layers=(1, 2, 3), batches=LOOKS[-1])


def key(config):
    """The name of a training in the study's file."""
    return f"{config.cell}, {plots.name('layers', config.layers)}, seed {config.seed}"


def models(batches, layers):
    """{seed: `survival` after so many batches} of all that have been measured."""
    known = results(STUDY)
    looks = {config.seed: known.get(key(config), {}) for config in plan() if config.layers == layers}
    return {seed: found[str(batches)] for seed, found in looks.items() if str(batches) in found}


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
    """Distance of twins' states, and chains right so far, by columns; named: {name: {seed: `survival`}}."""
    fig, (left, right) = plots.figure("Plain networks: after a few dozen nines, carry and no carry are one state",
                                      columns=2, height=3.3)
    paints = dict(zip(named, (plots.colour("layers", 3), plots.INK), strict=False))
    styles = dict(zip(named, ("-", "--"), strict=False))
    along = np.append(2 ** np.arange(int(np.log2(COLUMNS))), COLUMNS)
    for ax, title in ((left, "distance of the twins' states"), (right, "share of chains right so far")):
        plots.axis(ax, title, "nines in a row", log="x", xlim=(1, COLUMNS), ylim=(-0.03, 1.05))
        plots.decades(ax, [1, 10, 100, 1000])
    plots.curves(left, {name: [(along, found["distance"]) for found in seeds.values()]
                        for name, seeds in named.items()}, paints, dict.fromkeys(named, ""), styles)
    plots.curves(right, {name: [(along, still_right(found, along)) for found in seeds.values()]
                         for name, seeds in named.items()}, paints, dict.fromkeys(named, ""), styles)
    for ax, places in ((left, [(40, 0.1), (22, 0.66)]), (right, [(2, 0.3), (22, 0.82)])):
        for name, place in zip(named, places, strict=False):
            plots.note(ax, name.replace("trained on", "trained\non"), *place, colour=paints[name])
    return fig


def still_right(found, columns):
    """The share of a model's chains whose first `columns` columns are right, for each of some numbers of columns."""
    return [float(np.mean(np.array(found["none"] + found["carry"]) >= count)) for count in columns]


def batches_figure():
    """Columns that half of the chains survive, by batches, of one to three layers."""
    fig, ax = plots.figure("Deeper networks fail within a hundred nines; one layer often gets them all right",
                           height=3.0)
    plots.axis(ax, "nines until half of the chains are wrong", "batches", log="xy",
               xlim=(0.9 * LOOKS[0], 1.1 * LOOKS[-1]), ylim=(4, 3 * COLUMNS))
    ax.set_xticks(LOOKS, [f"{x:g}" for x in LOOKS])
    plots.decades(ax, [10, 100, 1000], "y")
    plots.curves(ax, {k: by_batches(k) for k in (1, 2, 3)},
                 {k: plots.colour("layers", k) for k in (1, 2, 3)}, {k: plots.name("layers", k) for k in (1, 2, 3)})
    plots.claim(ax, f"{COLUMNS}, the longest tested", y=COLUMNS)
    return fig


def by_batches(layers):
    """[(batches, columns survived) of each seed], as far as it was trained."""
    seeds = {}
    for batches in LOOKS:
        for seed, found in models(batches, layers).items():
            seeds.setdefault(seed, []).append((batches, survived(found)))
    return [tuple(zip(*points, strict=True)) for points in seeds.values()]


def main():
    """Measure the report's own models, then train and measure what has no result yet, one after the other."""
    for name, runs in groups(range(20)).items():
        for run in runs:
            if run.model:
                recall(STUDY, f"{name}, seed {run.config.seed}", lambda run=run: survival(run.model))
    for config in plan():
        if key(config) not in results(STUDY):
            print(key(config), flush=True)
            recall(STUDY, key(config), lambda config=config: train(config))


if __name__ == "__main__":
    sys.exit(main())
