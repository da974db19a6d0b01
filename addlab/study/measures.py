"""What a learning curve says, to the batch, and what several seeds together say.

Every batch is drawn afresh, so its loss and the share of its sums that are right, both taken before its update, are
those of a test set. A level is reached at the first batch by which the last ten batches, 2000 sums, are there.
Accuracy is a count: right sums are compared with level x sums as whole numbers, so that a tie is a tie.
A run that ends before is *censored*: inf says that it takes longer than the run, not how much longer.
"""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.stats import binom, binomtest

OVER = 10  # batches in a running mean


@dataclass(frozen=True)
class Measure:
    """How many batches a run takes: until its loss is below `level`, or its accuracy at `level` or above it.

    `of` is "loss", "accuracy" or "first digit" (over ten batches, resolved to the batch), or the original's own ruler,
    its test set every 50 batches: "test" (for the first time) or "test for good" (from there on). "missed" has no
    level: it adds up the shares of sums that each batch gets wrong. A run that jumps from 0 to 1 after n batches misses
    n of them. `level` is kept as the fraction that is written: 0.99 is 99/100.
    """

    of: str
    level: Fraction = Fraction(0)

    def __post_init__(self):
        object.__setattr__(self, "level", Fraction(str(self.level)))

    def __call__(self, run, within=math.inf):
        """The batch, inf where it is not reached in the first `within` batches."""
        within, size = min(within, run.config.batches), run.config.batch_size
        if self.of == "missed":  # what comes after a divergence is missed, too
            return (within * size - int(right(run.batch_accuracy[:within], size).sum())) / size
        if self.of.startswith("test"):
            return evaluation(run, self.level, within, for_good=self.of == "test for good")
        if self.of == "loss":
            there = windows(run.loss[:within]) < float(OVER * self.level)
        else:
            shares = run.batch_accuracy if self.of == "accuracy" else run.first_column
            there = windows(right(shares[:within], size)) >= math.ceil(OVER * size * self.level)
        return OVER + int(there.argmax()) if there.any() else math.inf

    def __str__(self):
        if self.of == "loss":
            return f"loss below {float(self.level):g}"
        if self.of == "missed":
            return "batches missed in all"
        what = "first digits" if self.of == "first digit" else "sums"
        test = {"test": " in the test", "test for good": " in the test, for good"}.get(self.of, "")
        return f"{float(100 * self.level):g}% of {what} right{test}"


LOSS, ACCURACY = Measure("loss", 0.1), Measure("accuracy", 0.99)  # by which verdicts are made
MISSED = Measure("missed")  # and where runs end before they are there
LOSSES = [Measure("loss", level) for level in (1.5, 1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)]
ACCURACIES = [Measure("accuracy", level) for level in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)]
ORIGINAL = [Measure("test", 0.99), Measure("test", 1), Measure("test for good", 0.99), Measure("test for good", 1)]


# One run

def right(shares, size):
    """How many sums of each batch of `size` are right, whole numbers, from the shares that a run notes."""
    return np.rint(np.asarray(shares, float) * size).astype(int)


def windows(values, over=OVER):
    """Sums of `over` values in a row, of floats rounded once; the first belongs to batch `over`."""
    values = np.asarray(values)
    if values.dtype.kind == "i":
        before = np.concatenate(([0], values.cumsum()))
        return before[over:] - before[:-over]
    values = values.tolist()
    return np.array([math.fsum(values[i : i + over]) for i in range(len(values) - over + 1)])


def running_mean(values, over=OVER):
    """Means of `over` values in a row; the first belongs to batch `over`."""
    return windows(np.asarray(values, float), over) / over


def curve(run, of="loss", over=OVER):
    """(batches, running mean) of a run's "loss" or "batch_accuracy", to be drawn."""
    means = running_mean(getattr(run, of), over)
    return np.arange(over, over + len(means)), means


def evaluation(run, level, within=math.inf, for_good=False):
    """The batch of the first evaluation with a test accuracy of `level` or more, `for_good` at all later ones too."""
    reached, size = math.inf, run.config.test_batch_size
    for batch, count in zip(run.eval_batch, right(run.accuracy, size).tolist(), strict=True):
        if batch > within:
            break
        if count >= size * level:
            reached = min(reached, batch)
        elif for_good:
            reached = math.inf
    return reached


def final_loss(run, over=50, within=None):
    """Mean loss of the last `over` batches (of the first `within`); inf for a run that diverged in them."""
    if run.diverged and (within is None or len(run.loss) <= within):
        return math.inf
    return math.fsum(run.loss[:within][-over:]) / len(run.loss[:within][-over:])


# Groups of runs that differ in their seeds alone

def by_seed(group, measure, **options):
    """{seed: measure(run)} of a group."""
    return {run.config.seed: measure(run, **options) for run in group}


def horizons(groups):
    """{seed: the batches that all its runs in these groups were meant to have}: what comes later is not compared."""
    found = {}
    for run in itertools.chain(*groups):
        found[run.config.seed] = min(run.config.batches, found.get(run.config.seed, run.config.batches))
    return found


def times(groups, measure):
    """{setting: {seed: batches}} of {setting: group}, to be compared: of the seeds that all settings have.

    A seed is looked at within the batches that all its runs have. What runs miss in all grows with their length, so
    there the batches are those that all runs of all these seeds have.
    """
    within = horizons(groups.values())
    if measure.of == "missed" and groups:
        seeds = shared([horizons([group]) for group in groups.values()])
        within = dict.fromkeys(within, min((within[seed] for seed in seeds), default=0))
    return common({setting: {run.config.seed: measure(run, within=within[run.config.seed]) for run in group}
                   for setting, group in groups.items()})


def common(times):
    """{setting: {seed: batches}} of the seeds that all settings have: none is ahead by the luck of its seeds."""
    seeds = shared(list(times.values()))
    return {setting: {seed: values[seed] for seed in seeds} for setting, values in times.items()}


def median(values):
    """The median of {seed: value}, inf counting as larger than all others; nan of nothing."""
    return float(np.median(list(values.values()))) if values else math.nan


def earliest(times):
    """The settings with the lowest median of {setting: {seed: batches}}, over common seeds: several where they tie.

    None is the earliest where most seeds of all settings never get there.
    """
    middles = {setting: median(values) for setting, values in common(times).items()}
    lowest = min(middles.values(), default=math.inf)
    return [setting for setting, middle in middles.items() if middle == lowest < math.inf]


def sooner(*settings):
    """{seed: whether the batches {seed: batches} rise strictly in the order given}, for seeds that all settings have.

    None is undecided: all pairs that follow one another rise, but for a tie or two that were both not seen to end.
    """
    def verdict(seed):
        pairs = list(itertools.pairwise(values[seed] for values in settings))
        return False if any(a > b for a, b in pairs) else None if any(a == b for a, b in pairs) else True

    return {seed: verdict(seed) for seed in shared(settings)}


def first(times, best):
    """{seed: whether `best` comes strictly before every other setting}; None where a tie or a censored run hides it.

    times: {setting: {seed: batches}}.
    """
    others = [sooner(times[best], other) for setting, other in times.items() if setting != best]
    answers = {seed: [other[seed] for other in others] for seed in shared(list(times.values()))}
    return {seed: False if False in found else None if None in found else True for seed, found in answers.items()}


def shared(settings):
    """The seeds that all these settings {seed: …} have, in order."""
    return sorted(set(settings[0]).intersection(*settings[1:])) if settings else []


# How sure several seeds make us

def interval(yes, no, undecided=0):
    """The exact 95% interval of the share of yes (Clopper and Pearson 1934): (low, high).

    What is undecided could be either, so it counts against both ends.
    """
    count = yes + no + undecided
    if not count:
        return 0.0, 1.0
    return (float(binomtest(yes, count).proportion_ci().low),
            float(binomtest(yes + undecided, count).proportion_ci().high))


def ratio(a, b):
    """(median, low, high) of how many times the batches of b a seed of a takes, over the seeds that both have.

    a, b: {seed: batches}. The interval is the exact one of a median, from the order of the seeds' ratios: (nan, nan)
    with fewer than six. A seed that neither setting brings there could have any ratio, which the ends allow for.
    """
    ratios = [a[seed] / b[seed] if min(a[seed], b[seed]) < math.inf else math.nan for seed in shared([a, b])]
    if not ratios:
        return math.nan, math.nan, math.nan
    least, most = (sorted(end if math.isnan(x) else x for x in ratios) for end in (0.0, math.inf))
    middle = {float(np.median(least)), float(np.median(most))}
    outside = int(binom.ppf(0.025, len(ratios), 0.5))  # seeds that may lie beyond either end
    ends = (least[outside - 1], most[-outside]) if outside else (math.nan, math.nan)
    return middle.pop() if len(middle) == 1 else math.nan, *ends
