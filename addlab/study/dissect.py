"""What finished models do on batches they were trained on.

python -m addlab.study.dissect    measure at 5000 digits what is missing in records/studies/overfitting.json
"""

import copy
import math
import sys

import numpy as np

import addrnn
from addlab import engine
from addlab.study.experiments import FIRST, LAYERS, configs, recorded
from addlab.study.studies import recall, results


def losses(model, batches):
    """The loss of each batch (num1, num2, total), in nats a digit."""
    model = copy.deepcopy(model)
    return [engine.gradients(model, *batch)[0] for batch in batches]


def overfitting(run, count=20):
    """(gap, its standard error): the loss on fresh batches less that on the last `count` training batches.

    Both with the final weights, so that nothing is learned in between. Above 0, the model knows what it has seen.
    """
    rng, seen = addrnn.streams(run.config.seed)[1], []
    fresh = np.random.default_rng([run.config.seed, 1])
    draw = run.config.batch_size, run.config.digit_len
    for _ in range(run.config.batches):  # the same stream as in training
        seen = [*seen, addrnn.sample(*draw, rng, run.config.chains)][-count:]
    old, new = losses(run.model, seen), losses(run.model, [addrnn.sample(*draw, fresh, run.config.chains)
                                                           for _ in range(count)])
    return math.fsum(new) / count - math.fsum(old) / count, math.sqrt((np.var(old) + np.var(new)) / (count - 1))


def replayed(layers, seeds):
    """{(5000, layers, seed): (gap, its standard error)}: the `overfitting` that `main` has measured so far."""
    found = {(5000, k, seed): results("overfitting").get(name_of(k, seed)) for k in layers for seed in seeds}
    return {model: tuple(gap) for model, gap in found.items() if gap}


def name_of(layers, seed):
    """The name of a model of 5000 digits in the study's file."""
    return f"layers {layers}, batch 300, seed {seed}"


def main(count=5):
    """Keep the `overfitting` of models of 1-4 layers half way through 5000 digits, where a batch takes seconds."""
    for config in configs(FIRST, digit_len=5000, layers=LAYERS, batches=300):
        for run in recorded([config]):
            recall("overfitting", name_of(config.layers, config.seed),
                   lambda run=run: [float(f"{part:.4g}") for part in overfitting(run, count)])


if __name__ == "__main__":
    sys.exit(main())
