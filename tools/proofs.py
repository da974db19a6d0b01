"""Make the certificates and the studies of notebook 07: python -m tools.proofs [STUDY ...], else all of them.

Writes records/proofs/: NAME.json and NAME.safetensors for each certificate, and a JSON list of runs for each study.
What is there already is not made again. torch trains here, in float32 on one thread: another processor may end with
other weights, which is why the results are records. Every certificate is checked again by the tests.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import json
import sys
import time

import numpy as np
import torch

import addrnn
from addlab import engine, files
from addlab.certify import (
    ADDITION,
    Network,
    certify,
    from_step,
    remainder,
    train_on_boxes,
    train_starts,
    weighted_sum,
)
from addlab.certify.machines import run
from addlab.certify.training import is_finite
from addlab.command import fail, one_line_errors
from addlab.engine import parameters

FOLDER = files.CHECKOUT / "records" / "proofs"


# Studies: lists of runs, each a dict of its settings and what came of it

def study(name, settings, make):
    """Do what is not in records/proofs/NAME.json yet: make(**setting) -> a list of results, a dict each."""
    path = FOLDER / f"{name}.json"
    done = json.loads(path.read_text()) if path.exists() else []
    for setting in settings:
        if not any(setting.items() <= found.items() for found in done):
            done += [setting | found for found in make(**setting)]
            files.write_whole(path, ("[" + ",\n ".join(map(json.dumps, done)) + "]\n").encode())
            print(done[-1], flush=True)


def outcome(certificate, begin):
    """What every study notes of a run: its margin, or null, and the seconds of processor time."""
    return dict(margin=certificate and certificate.margin, seconds=round(time.process_time() - begin, 1))


# Adders of every cell, trained on their boxes

ADDERS = {("RNN", 1): 3, ("RNN", 2): 3, ("RNN", 3): 3, ("GRU", 1): 5, ("LSTM", 1): 3}  # kind: seeds


def adders():
    """Some seeds of every kind; the first proved of each, and all of the LSTM, are kept as certificates."""
    study("adders", [dict(cell=cell, layers=layers, seed=seed) for (cell, layers), seeds in ADDERS.items()
                     for seed in range(seeds)], run_adder)


def run_adder(cell, layers, seed):
    begin = time.process_time()
    network = Network(ADDITION, cell, layers, seed=seed)
    certificate = certify(train_on_boxes(network))
    if certificate and (cell == "LSTM" or not list(FOLDER.glob(f"{cell.lower()}_{layers}layer_seed*"))):
        certificate.save(FOLDER / f"{cell.lower()}_{layers}layer_seed{seed}")
    return [outcome(certificate, begin)]


def data_then_boxes():
    """Three-layer adders as the original trains them, on data; then on their boxes; then how far the weights went."""
    study("data_then_boxes", [dict(seed=seed) for seed in range(5)], run_data_then_boxes)


def run_data_then_boxes(seed):
    model = addrnn.train(addrnn.Config(seed=seed)).model
    of_data = certify(model)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    begin = time.process_time()
    certificate = certify(train_on_boxes(model, batches=600))
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    if certificate and seed == 0:
        certificate.save(FOLDER / "rnn_3layer_from_data")
    moved = round(((after - before).norm() / before.norm()).item(), 3)
    return [dict(of_data=of_data and of_data.margin, moved=moved) | outcome(certificate, begin)]


# Other machines

def parity(state, bit):
    return state ^ bit, state ^ bit


MACHINES = {  # table, units, symbols' embedding
    "subtract": (weighted_sum(10, 1, -1), 64, 8),
    "add_binary": (weighted_sum(2, 1, 1), 16, 4),
    "add_hexadecimal": (weighted_sum(16, 1, 1), 64, 32),
    "add_three_numbers": (weighted_sum(10, 1, 1, 1), 96, 16),
    "times_3": (weighted_sum(10, 3), 32, 8),
    "times_7": (weighted_sum(10, 7), 64, 8),
    "remainder_3": (remainder(10, 3), 32, 8),
    "parity": (from_step(2, 1, 2, parity), 8, 2),
    "remainder_7": (remainder(10, 7), 64, 8),
}


def other_machines():
    """A certificate for each, of the first seed for which there is one."""
    for name, (table, hidden, embedding) in MACHINES.items():
        for seed in range(3):
            if not (FOLDER / f"{name}.json").exists():
                begin = time.process_time()
                certificate = prove_machine(table, hidden, embedding, seed)
                print(name, seed, outcome(certificate, begin), flush=True)
                if certificate:
                    certificate.save(FOLDER / name)


def prove_machine(table, hidden, embedding, seed, batches=1000):
    return certify(train_on_boxes(Network(table, hidden=hidden, embedding=embedding, seed=seed), table, batches), table)


WIDTHS = (8, 16, 32, 64)
SMALL_MACHINES = {"times 2": weighted_sum(10, 2), "times 3": weighted_sum(10, 3), "times 7": weighted_sum(10, 7),
                  "remainder by 3": remainder(10, 3), "remainder by 7": remainder(10, 7)}


def machines():
    """Which small machines are proved with how many units, five seeds each."""
    study("machines", [dict(machine=name, states=table.states, hidden=hidden, seed=seed) for seed in range(5)
                       for name, table in SMALL_MACHINES.items() for hidden in WIDTHS], run_machine)


def run_machine(machine, states, hidden, seed):
    begin = time.process_time()
    return [outcome(prove_machine(SMALL_MACHINES[machine], hidden, 8, seed), begin)]


# The smallest adders

VARIANTS = {
    "52 parameters": {},
    "48 parameters": dict(tied=True),
    "no curriculum": dict(curriculum=False),
    "no hard predecessors": dict(hard=False),
}
STARTS, AT_ONCE = 64, 32


def starts():
    """How many of 64 random starts end in a proof, with two units; the best is kept as a certificate."""
    study("starts", [dict(variant=variant) for variant in VARIANTS], run_starts)


def run_starts(variant):
    models = [Network(ADDITION, hidden=2, embedding=1, seed=seed) for seed in range(STARTS)]
    begin = time.process_time()
    for first in range(0, STARTS, AT_ONCE):
        train_starts(models[first : first + AT_ONCE], **VARIANTS[variant])
    seconds = round((time.process_time() - begin) / STARTS, 1)
    found = [certify(model) if is_finite(model) else None for model in models]
    best = max((c for c in found if c), key=lambda c: c.margin, default=None)
    if best and "parameters" in variant:
        best.save(FOLDER / f"rnn_{variant.replace(' ', '_')}")
    return [dict(seed=seed, margin=c and c.margin, latch=latch(model), seconds=seconds)
            for seed, (model, c) in enumerate(zip(models, found, strict=True))]


def latch(model):
    """Where the best latch of an adder of few units flips: the sum of a column, without a carry, at which it does.

    The best latch is the unit whose output differs most between a column's smallest and largest sum. Between 9 and 10
    is right. None where no unit changes its sign.
    """
    with torch.no_grad():
        digits = torch.arange(10)
        pairs = torch.stack((digits.repeat(2), torch.cat((torch.zeros_like(digits), torch.full_like(digits, 9)))), 1)
        read = model.embed_layer(pairs).flatten(1)                               # sums 0-9, then 9-18
        gates = read @ model.rnn.weight_ih_l0.T + model.rnn.bias_ih_l0 + model.rnn.bias_hh_l0
        unit = gates.abs().amax(0).argmax()
        sums, values = pairs.sum(1).numpy(), gates[:, unit].numpy()
    flips = np.flatnonzero(values[:-1] * values[1:] < 0)
    if not len(flips):
        return None
    at = flips[0]
    return round(float(sums[at] + values[at] / (values[at] - values[at + 1]) * (sums[at + 1] - sums[at])), 2)


# When is a carry learned from data?

BASES, DIGITS, CHAIN = (2, 3, 5, 10), 40, 400


def bases():
    """Adders that learn from random sums in a base, a share of them with chains: how far do they keep a carry?

    Those first that tell most: the larger bases, where carries get lost, before the small ones.
    """
    study("bases", [dict(base=base, layers=layers, chains=chains, seed=seed) for chains in (0.0, 0.5)
                    for base in (10, 5, 3, 2) for layers in (1, 3, 2) for seed in range(3)], run_base)


RATES = {16: 1e-2, 64: 1e-3}  # units: Adam's learning rate


def data_alone():
    """Adders of one layer that learn from random sums alone, four times as long: which are proved?"""
    study("data_alone", [dict(base=base, layers=1, hidden=hidden, seed=seed) for seed in range(3) for hidden in RATES
                         for base in BASES], run_data_alone)


def run_data_alone(base, layers, hidden, seed):
    return run_base(base, layers, 0.0, seed, hidden, RATES[hidden], batches=2000)


def run_base(base, layers, chains, seed, hidden=64, lr=1e-3, batches=500):
    begin = time.process_time()
    model = addrnn.Adder(addrnn.Config(layers=layers, hidden=hidden, seed=seed))
    rng, table = np.random.default_rng(seed), weighted_sum(base, 1, 1)
    adam = parameters.Adam(model.parameters(), lr)
    for _ in range(batches):
        num1, num2 = sums_in_base(base, 200, chains, rng)
        engine.gradients(model, num1, num2, run(table, num1, num2))
        adam.step()
    num1, num2 = sums_in_base(base, 1000, 0.0, rng)
    accuracy = float((engine.predict(model, num1, num2) == run(table, num1, num2)).all(1).mean())
    kept = dict(carry=survived(model, table, 1), no_carry=survived(model, table, 0))
    certificate = certify(in_base(model, base), table)
    if certificate and not chains and not (FOLDER / f"data_alone_base_{base}.json").exists():
        certificate.save(FOLDER / f"data_alone_base_{base}")
    return [dict(accuracy=accuracy, **kept) | outcome(certificate, begin)]


def sums_in_base(base, count, chains, rng):
    """Pairs of numbers of 40 digits in a base; in a share of them the columns between two places sum to base - 1."""
    num1, num2 = rng.integers(0, base, (2, count, DIGITS + 1))
    begin, end = np.sort(rng.integers(0, DIGITS + 1, (2, count, 1)), axis=0)
    places = np.arange(DIGITS + 1)
    chained = (places >= begin) & (places < end) & (rng.random((count, 1)) < chains)
    num2 = np.where(chained, base - 1 - num1, num2)
    num1[:, -1] = num2[:, -1] = 0
    return num1, num2


def survived(model, table, carry):
    """How many columns of base - 1 and 0, up to 400, come out right after a carry, or after none."""
    num1, num2 = np.full((1, CHAIN + 1), table.symbols - 1), np.zeros((1, CHAIN + 1), dtype=int)
    num2[0, 0] = carry
    wrong = (engine.predict(model, num1, num2) != run(table, num1, num2))[0, 1:]
    return int(wrong.argmax()) if wrong.any() else CHAIN


def in_base(model, base):
    """The part of a decimal Adder that reads and says the digits of a smaller base."""
    tensors = {name: tensor[:base] if name.startswith(("embed_layer", "dense")) else tensor
               for name, tensor in model.state_dict().items()}
    rnn = model.rnn
    network = Network(weighted_sum(base, 1, 1), layers=rnn.num_layers, hidden=rnn.hidden_size)
    network.load_state_dict(tensors)
    return network


STUDIES = [starts, adders, data_then_boxes, other_machines, machines, data_alone, bases]


def main(wanted):
    studies = {part.__name__: part for part in STUDIES}
    for name in wanted:
        if name not in studies:
            fail("proofs", f"got {name!r}, allowed are {', '.join(studies)}")
    torch.set_num_threads(1)
    with one_line_errors("proofs"):
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in wanted or studies:
            studies[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
