"""What a learning curve says, to the batch, and what several seeds together say.

Every batch is drawn afresh, so its loss and the share of its sums that are right, both taken before its update, are
those of a test set. A level is reached at the first batch by which the mean of the last ten batches, 2000 sums, is
there. A run that ends before is *censored*: inf says that it takes longer than the run, not how much longer.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np

OVER = 10  # batches in a running mean
RESAMPLES = 2000


@dataclass(frozen=True)
class Measure:
    """How many batches a run takes: until its loss is below `level`, or its accuracy at `level` or above it.

    `of` is "loss" or "accuracy" (running means, resolved to the batch), or the original's own ruler, its test set
    every 50 batches: "test" (for the first time) or "test for good" (from there on). "missed" has no level: it adds up
    the shares of sums that each batch gets wrong. A run that jumps from 0 to 1 after n batches misses n of them.
    """

    of: str
    level: float = 0

    def __call__(self, run, within=math.inf):
        """The batch, inf where it is not reached in the first `within` batches."""
        if self.of == "missed":  # what comes after a divergence is missed, too
            within = min(within, run.config.batches)
            return within - math.fsum(run.batch_accuracy[:within])
        if self.of.startswith("test"):
            return evaluation(run, self.level, within, for_good=self.of == "test for good")
        curve = run.loss if self.of == "loss" else run.batch_accuracy
        means = running_mean(curve[: within if within < len(curve) else None])
        there = means < self.level if self.of == "loss" else means >= self.level
        return OVER + int(there.argmax()) if there.any() else math.inf

    def __str__(self):
        if self.of == "loss":
            return f"loss below {self.level:g}"
        if self.of == "missed":
            return "batches missed in all"
        test = {"accuracy": "", "test": " in the test", "test for good": " in the test, for good"}[self.of]
        return f"{100 * self.level:g} % of sums right{test}"


LOSS, ACCURACY = Measure("loss", 0.1), Measure("accuracy", 0.99)  # by which verdicts are made
MISSED = Measure("missed")  # and where runs end before they are there
LOSSES = [Measure("loss", level) for level in (1.5, 1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)]
ACCURACIES = [Measure("accuracy", level) for level in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)]
ORIGINAL = [Measure("test", 0.99), Measure("test", 1.0), Measure("test for good", 0.99), Measure("test for good", 1.0)]


# One run

def running_mean(values, over=OVER):
    """Means of `over` values in a row; the first belongs to batch `over`."""
    values, count = np.asarray(values, float), len(values) - over + 1
    return sum((values[i : i + count] for i in range(1, over)), values[:count]) / over if count > 0 else np.empty(0)


def curve(run, of="loss", over=OVER):
    """(batches, running mean) of a run's "loss" or "batch_accuracy", to be drawn."""
    means = running_mean(getattr(run, of), over)
    return np.arange(over, over + len(means)), means


def evaluation(run, level, within=math.inf, for_good=False):
    """The batch of the first evaluation with a test accuracy of `level` or more, `for_good` at all later ones too."""
    reached = math.inf
    for batch, accuracy in zip(run.eval_batch, run.accuracy, strict=True):
        if batch > within:
            break
        if accuracy >= level:
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

    A seed is looked at within the batches that all its runs have.
    """
    within = horizons(groups.values())
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
    """The setting with the lowest median of {setting: {seed: batches}}, over common seeds; the first of equals."""
    times = common(times)
    return min(times, key=lambda setting: median(times[setting]))


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

def wilson(right, count, z=1.959964):
    """The 95 % interval of a share, `right` of `count` (Wilson 1927): (low, high)."""
    if not count:
        return 0.0, 1.0
    share, spread = right / count, z * z / count
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4)
    return max(0.0, (share + spread / 2 - half) / (1 + spread)), min(1.0, (share + spread / 2 + half) / (1 + spread))


def bootstrap(statistic, *settings):
    """The 95 % interval of statistic(*arrays), the seeds of each setting {seed: value} drawn again: (low, high).

    What is not defined for a draw is left out; (nan, nan) where it never is.
    """
    rng, arrays = np.random.default_rng(0), [np.array(list(values.values()), float) for values in settings]
    draws = [statistic(*(a[rng.integers(0, len(a), len(a))] for a in arrays)) for _ in range(RESAMPLES)]
    draws = sorted(x for x in draws if not math.isnan(x))
    if not draws:
        return math.nan, math.nan
    return draws[int(0.025 * len(draws))], draws[min(len(draws) - 1, int(0.975 * len(draws)))]


def ratio(a, b):
    """(median of a / median of b, low, high): how many times the batches a takes, with its 95 % interval over seeds."""
    def statistic(a, b):
        top, bottom = float(np.median(a)), float(np.median(b))
        return math.nan if math.isinf(top) and math.isinf(bottom) else top / bottom

    if not a or not b:
        return math.nan, math.nan, math.nan
    values = (np.array(list(x.values()), float) for x in (a, b))
    return statistic(*values), *bootstrap(statistic, a, b)


def improvement(a, b):
    """(P, low, high): how likely a seed of a needs fewer batches than one of b, ties counting half.

    The probability of improvement of Agarwal et al. 2021 (arXiv:2108.13264), over all pairs of seeds.
    """
    def statistic(a, b):
        return float((a[:, None] < b).mean() + (a[:, None] == b).mean() / 2)

    if not a or not b:
        return math.nan, math.nan, math.nan
    values = (np.array(list(x.values()), float) for x in (a, b))
    return statistic(*values), *bootstrap(statistic, a, b)


def explained(groups):
    """Share of the variance of log batches that lies between settings: 1 is all setting, 0 all luck of the seed.

    groups: [{seed: batches}], censored runs left out; adjusted for what chance alone would give (omega squared).
    """
    groups = [np.log([x for x in group.values() if math.isfinite(x)]) for group in groups]
    groups = [group for group in groups if len(group)]
    if len(groups) < 2 or sum(map(len, groups)) <= len(groups):
        return math.nan
    values = np.concatenate(groups)
    between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups)
    total = ((values - values.mean()) ** 2).sum()
    within = (total - between) / (len(values) - len(groups))
    return max(0.0, float((between - (len(groups) - 1) * within) / (total + within))) if total else math.nan


def wrong_together(runs):
    """How many wrong digits fall into one sum: m, if accuracy = p ** ((n + 1) / m) with p the share of right digits.

    The median over all evaluations with an accuracy between 0.02 and 0.98; nan where there are none. 1: digits fail
    independently. Above 1: neighbours fail together. Below 1: one column fails more than others, since it can spoil a
    sum only once.
    """
    sizes = [(run.config.digit_len + 1) * math.log(digits) / math.log(sums) for run in runs
             for digits, sums in zip(run.digit_accuracy, run.accuracy, strict=True) if 0.02 < sums < 0.98]
    return float(np.median(sizes)) if sizes else math.nan
