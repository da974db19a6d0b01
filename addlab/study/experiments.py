"""Every run of the report, said once: what notebooks show, what `tools.retrain` trains, which weights are kept.

Experiments stand in the order in which they are trained, so that whatever is there first says most: four seeds of the
original's own settings, then longer numbers and what explains them, then more seeds, 5000 digits at full length last.
"""

import dataclasses
import itertools
import json

import numpy as np

import addrnn
from addlab import files
from addlab.records import CURVES
from addrnn import Config, Run

LENGTHS = (10, 100, 1000, 5000)
LAYERS = (1, 2, 3, 4)
CELLS = ("RNN", "GRU", "LSTM")  # in the order in which the original ranks them
RATES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
LAYER_WIDTHS = {1: 150, 2: 94, 3: 75, 4: 64}  # hidden sizes that give each depth the parameters of 4 layers of 64
CELL_WIDTHS = {"RNN": 64, "GRU": 35, "LSTM": 29}  # and each cell, with 3 layers, those of an RNN of 64
WIDER = (115, 128, 150)  # and an RNN upwards: a GRU of 64 has the parameters of 115, an LSTM's lie between the others
CHAINS = 0.5
FIRST, MORE, MOST = range(4), range(4, 10), range(4, 20)  # seeds: four show what there is, six that agree settle it
LATER = range(20, 40)  # the same number again, for what the first twenty left open


def configs(seeds, **settings):
    """Configs of all combinations of the listed values, one seed after the other; a single value needs no list."""
    listed = {name: values if isinstance(values, tuple) else (values,) for name, values in settings.items()}
    return [Config(**dict(zip(listed, values, strict=True)), seed=seed)
            for seed in seeds for values in itertools.product(*listed.values())]


def layers_and_cells(digit_len, seeds):
    """The original's comparisons at one length: 1-4 layers, and the other cells with 3."""
    return configs(seeds, digit_len=digit_len, layers=LAYERS) + configs(seeds, digit_len=digit_len, cell=CELLS[1:])


def rates(seeds):
    """Learning rates at 100 digits; 1e-4 is given twice the batches, to see whether patience helps."""
    return configs(seeds, digit_len=100, lr=(1e-5, 1e-2, 1e-1)) + configs(seeds, digit_len=100, lr=1e-4, batches=2000)


def cell_rates(seeds):
    """Other rates for the other cells."""
    return configs(seeds, digit_len=100, cell=CELLS[1:], lr=(1e-2, 1e-4, 1e-1), batches=500)


def equal_parameters(seeds):
    """Fewer layers, or larger cells, with as many parameters as the RNN they are compared with."""
    layers = [c for k, hidden in LAYER_WIDTHS.items() if k < 4
              for c in configs(seeds, digit_len=100, layers=k, hidden=hidden, batches=400)]
    return layers + [c for cell in CELLS[1:]
                     for c in configs(seeds, digit_len=100, cell=cell, hidden=CELL_WIDTHS[cell], batches=600)]


EXPERIMENTS = {
    "10-digits": layers_and_cells(10, FIRST) + configs(range(3), lr=(1e-5, 1e-4, 1e-2, 1e-1)),
    "chains": configs(range(5), layers=(1, 3), chains=CHAINS, batches=(1000, 4000)),
    "100-digits": layers_and_cells(100, FIRST),
    "half-trained": configs([0], digit_len=1000, batches=(100, 150, 200))
    + configs([1, 2], digit_len=1000, batches=200),
    "rates": rates(FIRST),
    "equal-parameters": equal_parameters(FIRST),
    "10-digits-20-seeds": layers_and_cells(10, MOST),
    "1000-digits": configs(FIRST, digit_len=1000),
    "5000-layers-begun": configs(FIRST, digit_len=5000, layers=(3, 4, 2, 1), batches=(300, 500)),
    "100-digits-10-seeds": layers_and_cells(100, MORE),
    "1000-cells": configs([0], digit_len=1000, cell=CELLS[1:], batches=400),
    "cell-rates": cell_rates(range(2)),
    # From here on more seeds of what is above, and 5000 digits at full length.
    "cell-rates-more": cell_rates([2, 3, 4]) + configs(range(2), digit_len=100, cell=CELLS[1:], lr=1e-5, batches=500),
    "equal-parameters-more": equal_parameters([4]),
    "1000-cells-more": configs([1, 2], digit_len=1000, cell=CELLS[1:], batches=400),
    "rates-10-seeds": rates(MORE),
    "1000-digits-10-seeds": configs(MORE, digit_len=1000),
    "100-digits-20-seeds": layers_and_cells(100, range(10, 20)),
    "1000-layers": configs(range(5), digit_len=1000, layers=(1, 2, 4)),
    "1000-rates": configs(range(3), digit_len=1000, lr=1e-2, batches=200),
    "5000-digits": configs([0], digit_len=5000, layers=(3, 4, 2, 1)),
    "5000-more": configs([1, 2], digit_len=5000, layers=(3, 4, 2, 1)) + configs([3, 4], digit_len=5000),
    "5000-cells": configs([0], digit_len=5000, cell=CELLS[1:], batches=400),
    # What the first seeds left open, only as long as it takes to tell: new seeds, none of which had a say before.
    "10-digits-40-seeds": configs(LATER, batches=400),
    "10-digits-fast": configs(range(3, 13), lr=1e-1),
    "10-digits-hidden": configs(range(3), hidden=(16, 32, 128), batches=500),
    "100-digits-40-seeds": configs(LATER, digit_len=100, layers=(2, 3, 4), batches=250),
    "5000-digits-10-seeds": configs(range(5, 10), digit_len=5000, batches=200),
    "equal-parameters-upwards": configs(range(5), digit_len=100, hidden=WIDER, batches=250),
    "100-digits-layers-fast": configs(range(10), digit_len=100, layers=(1, 2, 4), lr=1e-2, batches=250),
}

# What is done to a model after its training needs its weights; all other runs are read for their curves.
WEIGHTS = frozenset(
    configs(range(20)) + configs(range(5), layers=1) + EXPERIMENTS["chains"]  # 01, 06: sums that go wrong, carries
    + configs(FIRST, digit_len=100, layers=LAYERS)                            # 03: overfitting
    + EXPERIMENTS["half-trained"]                                             # 02: the start state
    + configs(FIRST, digit_len=5000, layers=LAYERS, batches=300)              # 02, 03: the same
    + EXPERIMENTS["1000-cells"] + EXPERIMENTS["1000-cells-more"]              # 04: the start state
    + EXPERIMENTS["5000-cells"]                                               # 04: the same
    + [config for config in EXPERIMENTS["rates"] if config.seed < 3]          # 05: for who looks into them
)


def keeps_weights(config):
    """Whether a notebook reads the weights of this run, so that its record ships them."""
    return config in WEIGHTS


def recorded(configs):
    """The runs among these configs that have a record, in order: a notebook never trains what takes long.

    Of configs that differ in `batches` alone the longest: the others are its beginning, bit for bit.
    """
    store, longest = addrnn.store(), {}
    for run in filter(None, map(store.read, configs)):
        kind = dataclasses.replace(run.config, batches=1)
        if kind not in longest or longest[kind].config.batches < run.config.batches:
            longest[kind] = run
    return list(longest.values())


# Runs of a GPU, whose bits are its own: never among those of `recorded`

def of_any_device(configs):
    """`recorded` runs of these configs, and a GPU's of those that have no record of a CPU as long, in order."""
    wanted, longest = set(configs), {dataclasses.replace(run.config, batches=1): run for run in recorded(configs)}
    for run in gpu_runs():
        kind = dataclasses.replace(run.config, batches=1)
        if run.config in wanted and (kind not in longest or longest[kind].config.batches < run.config.batches):
            longest[kind] = run
    kinds = dict.fromkeys(dataclasses.replace(config, batches=1) for config in configs)
    return [longest[kind] for kind in kinds if kind in longest]


def gpu_runs(**settings):
    """The runs [Run] that a GPU trained, by layers and seed; their `device` says which. They have no model.

    `settings` are values of Config that they must have; a tuple lists several.
    """
    found = []
    for path in sorted(files.found("records/gpu").glob("*.json")):
        record = json.loads(path.read_bytes())
        for entry in record["runs"]:
            config = Config(**record["config"], layers=entry["layers"], seed=entry["seed"])
            loss = np.float32(entry["loss"]).tolist()  # of torch, in float32, written as short as that allows
            found.append(Run(config, loss=loss, device=record["device"], versions=record["versions"],
                             **{name: entry[name] for name in (*CURVES[1:], "seconds")}))
    wanted = {name: values if isinstance(values, tuple) else (values,) for name, values in settings.items()}
    return [run for run in found if all(getattr(run.config, name) in values for name, values in wanted.items())]


def calibration(measures):
    """{config: [(batches on the CPU, batches on the GPU) by each measure]} of all configs that both have trained.

    Both are looked at within the batches that both have.
    """
    found = {}
    for gpu in gpu_runs():
        for cpu in recorded([dataclasses.replace(gpu.config, batches=b) for b in (1000, 500, 300, 200)]):
            within = min(len(cpu.loss), len(gpu.loss))
            found[gpu.config] = [tuple(measure(run, within=within) for run in (cpu, gpu)) for measure in measures]
    return found
