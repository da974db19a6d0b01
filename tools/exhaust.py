"""Studies that try everything: python -m tools.exhaust [STUDY ...], else all of them.

Writes records/studies/NAME.json, a JSON list, a dict for each model. What is there is not made again; to verify, delete
it and run this once more: the engine gives every machine the same bits, so the same file; `functions` is of a device.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import json
import multiprocessing
import sys
from pathlib import Path

import torch

import addrnn
from addlab.command import fail, one_line_errors
from addlab.devices import device_name, pick_device, workers_that_fit
from addlab.study import studies
from addlab.study.functions import errors
from addlab.study.short import sent, shapes
from addlab.study.short import short_sums as searched
from addlab.study.states import exhausted, recorded

RECORDS = Path(addrnn.__file__).resolve().parent / "records"
FOLDER = RECORDS / "studies"


# Short sums

MODELS = [f"runs/default/seed{seed}" for seed in range(20)]
DIGITS = 3, 4  # four take three minutes of a core for each model
SHAPES = {"shapes": shapes, "sent": sent}  # once for each model


def short_sums():
    """What all sums of up to three digits come to, then of four, for twenty seeds of the original's settings."""
    rows = {(row["digits"], MODELS.index(row["model"])): row for row in studies.rows(FOLDER / "short_sums.json")}
    runs = [(digits, place) for digits in DIGITS for place in range(len(MODELS))]
    missing = [(run, rows.get(run, {})) for run in runs if run not in rows or lacks(run[0], rows[run])]
    many = min(workers_that_fit(), len(missing) or 1)
    with multiprocessing.get_context("spawn").Pool(many, torch.set_num_threads, [1]) as pool:
        for run, row in pool.imap_unordered(short, missing):
            print(json.dumps(row)[:300], flush=True)
            rows[run] = row
            studies.write_rows(FOLDER / "short_sums.json", [rows[run] for run in sorted(rows)])


def short(job):
    """A run and its row: what is known of it, and all that it lacks."""
    (digits, place), row = job
    adder = addrnn.Adder.load(RECORDS / f"{MODELS[place]}.safetensors")
    row = row or {"model": MODELS[place]} | searched(adder, digits)
    return (digits, place), row | {name: SHAPES[name](adder) for name in lacks(digits, row)}


def lacks(digits, row):
    return [name for name in SHAPES if digits == DIGITS[0] and name not in row]


# Every state

AS_THEY_ARE = ["rnn_48_parameters", "rnn_52_parameters"]
LAST = [*AS_THEY_ARE, "add_three_numbers"]  # which take minutes
GRIDS = [1, 2, 4, 8, 16, 32]


def states():
    """The smallest adders as they are, and every other proved network on the first grid on which it closes, and those
    tried before; of adders that were trained on random sums alone, what comes of them on the coarsest grid."""
    rows = {(row["network"], row["grid"]): row for row in recorded()}

    def row(network, grid):
        if (network, grid) not in rows:
            rows[network, grid] = exhausted(network, grid)
            print(json.dumps(rows[network, grid]), flush=True)
            studies.write_rows(FOLDER / "states.json", list(rows.values()))
        return rows[network, grid]

    proofs = {path.stem for path in (RECORDS / "proofs").glob("*.safetensors")}
    trained = [f"runs/default/seed{seed}.safetensors" for seed in range(5)]
    for name in [*sorted(proofs - set(LAST)), *trained, *LAST]:
        for grid in [None] if name in AS_THEY_ARE else GRIDS[:1] if name in trained else GRIDS:
            if row(name if name in trained else f"proofs/{name}.json", grid)["closed"]:
                break


# Every number

def functions():
    """How exactly a device computes tanh and σ, over every float32; the device is that of ADDRNN_DEVICE."""
    device = pick_device(None)
    name = device_name(device)
    rows = studies.rows(FOLDER / "functions.json")
    if not any(row["device"] == name for row in rows):
        rows.append({"device": name, "torch": torch.__version__, "errors": errors(device)})
        print(json.dumps(rows[-1]), flush=True)
        studies.write_rows(FOLDER / "functions.json", rows)


STUDIES = {"states": states, "short_sums": short_sums, "functions": functions}


def main(wanted):
    for name in wanted:
        if name not in STUDIES:
            fail("exhaust", f"got {name!r}, allowed are {', '.join(STUDIES)}")
    with one_line_errors("exhaust"):
        for name in wanted or STUDIES:
            STUDIES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
