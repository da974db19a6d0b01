"""Make the certificates and the studies of notebook 07: python -m tools.proofs [STUDY ...], else all of them.

Writes NAME.json and NAME.safetensors into records/proofs for each certificate, and NAME.json, a list of runs, into
records/studies for each study. What is there already is not made again. torch trains here, in float32 on one thread:
another processor may end with other weights, which is why the results are records. Every certificate is checked again
by the tests.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import json
import math
import sys
import time

import numpy as np
import torch

import addrnn
from addlab import files
from addlab.certify import (
    ADDITION,
    Certificate,
    Network,
    certify,
    from_step,
    remainder,
    train_on_boxes,
    train_starts,
    weighted_sum,
)
from addlab.certify.training import is_finite
from addlab.command import fail, one_line_errors
from addlab.study import studies
from addlab.study.examples import parity

PROOFS = files.CHECKOUT / "records" / "proofs"
STUDIES = files.CHECKOUT / "records" / "studies"


# Studies: lists of runs, each a dict of its settings and what came of it

def study(name, settings, make):
    """Do what is not in records/studies/NAME.json yet: make(**setting) -> a list of results, a dict each."""
    path = STUDIES / f"{name}.json"
    done = studies.rows(path)
    for setting in settings:
        if not any(setting.items() <= found.items() for found in done):
            done += [setting | found for found in make(**setting)]
            studies.write_rows(path, done)
            print(done[-1], flush=True)


def outcome(certificate, begin):
    """What every study notes of a run: its margin, or null, and the seconds of processor time."""
    return dict(margin=certificate and certificate.margin, seconds=round(time.process_time() - begin, 1))


# Adders of every cell, trained on their boxes

ADDERS = {("RNN", 1): 3, ("RNN", 2): 3, ("RNN", 3): 3, ("GRU", 1): 5, ("GRU", 2): 3, ("LSTM", 1): 3,
          ("LSTM", 2): 3}  # kind: seeds


def adders():
    """Some seeds of every kind; the first proved of each, all of the LSTM of one layer, are kept as certificates."""
    study("adders", [dict(cell=cell, layers=layers, seed=seed) for (cell, layers), seeds in ADDERS.items()
                     for seed in range(seeds)], run_adder)


def run_adder(cell, layers, seed):
    begin = time.process_time()
    network = Network(ADDITION, cell, layers, seed=seed)
    certificate = certify(train_on_boxes(network))
    if certificate and ((cell, layers) == ("LSTM", 1) or not list(PROOFS.glob(f"{cell.lower()}_{layers}layer_seed*"))):
        certificate.save(PROOFS / f"{cell.lower()}_{layers}layer_seed{seed}")
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
        certificate.save(PROOFS / "rnn_3layer_from_data")
    moved = round(((after - before).norm() / before.norm()).item(), 3)
    return [dict(of_data=of_data and of_data.margin, moved=moved) | outcome(certificate, begin)]


# Other machines

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
            if not (PROOFS / f"{name}.json").exists():
                begin = time.process_time()
                certificate = prove_machine(table, hidden, embedding, seed)
                print(name, seed, outcome(certificate, begin), flush=True)
                if certificate:
                    certificate.save(PROOFS / name)


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
RANDOM_STARTS, AT_ONCE = 64, 32


def starts():
    """How many of 64 random starts end in a proof, with two units; the best is kept as a certificate."""
    study("starts", [dict(variant=variant) for variant in VARIANTS], run_starts)


def run_starts(variant):
    models = [Network(ADDITION, hidden=2, embedding=1, seed=seed) for seed in range(RANDOM_STARTS)]
    begin = time.process_time()
    for first in range(0, RANDOM_STARTS, AT_ONCE):
        train_starts(models[first : first + AT_ONCE], **VARIANTS[variant])
    seconds = round((time.process_time() - begin) / RANDOM_STARTS, 1)
    found = [certify(model) if is_finite(model) else None for model in models]
    best = max((c for c in found if c), key=lambda c: c.margin, default=None)
    if best and "parameters" in variant:
        best.save(PROOFS / f"rnn_{variant.replace(' ', '_')}")
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


# How many bits a weight needs

BITS = {"float32": 32, "bfloat16": 16, "FP8 E4M3": 8, "INT12": 12, "INT10": 10, "INT8": 8, "INT6": 6, "INT4": 4}


def bits():
    """All certified decimal adders, their weights rounded to fewer bits, nothing trained: which are still proved?"""
    names = [path.stem for path in sorted(PROOFS.glob("*.json"))
             if json.loads(path.read_bytes())["machine"]["meaning"] == ADDITION.meaning]
    study("bits", [dict(certificate=name, weights=weights) for name in names for weights in BITS], run_bits)


def run_bits(certificate, weights):
    begin = time.process_time()
    network = Certificate.load(PROOFS / certificate).network()
    network.load_state_dict({name: shortened(tensor, weights) for name, tensor in network.state_dict().items()})
    return [dict(bits=BITS[weights]) | outcome(certify(network), begin)]


def shortened(tensor, weights):
    """A tensor rounded to what a format holds, as float32.

    INT8 and its like are whole numbers on both sides of 0 times a power of two, one for each tensor, the smallest that
    does; FP8 E4M3, whose largest is 448, has such a power, too.
    """
    if weights == "float32":
        return tensor
    if weights == "bfloat16":
        return tensor.bfloat16().float()
    largest = 448 if weights == "FP8 E4M3" else 2 ** (BITS[weights] - 1) - 1
    scale = 2.0 ** math.ceil(math.log2(max(tensor.abs().max().item(), 2.0**-99) / largest))
    if weights == "FP8 E4M3":
        return (tensor / scale).to(torch.float8_e4m3fn).float() * scale
    return (tensor / scale).round() * scale


PARTS = [starts, adders, data_then_boxes, other_machines, machines, bits]


def main(wanted):
    parts = {part.__name__: part for part in PARTS}
    for name in wanted:
        if name not in parts:
            fail("proofs", f"got {name!r}, allowed are {', '.join(parts)}")
    torch.set_num_threads(1)
    with one_line_errors("proofs"):
        for folder in (PROOFS, STUDIES):
            folder.mkdir(parents=True, exist_ok=True)
        for name in wanted or parts:
            parts[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
