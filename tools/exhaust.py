"""Studies that try everything: python -m tools.exhaust [STUDY ...], else all of them.

Writes records/studies/NAME.json, a JSON list, a dict for each model. What is there is not made again; to verify, delete
it and run this once more: the engine gives every machine the same bits, so the same file.
"""

from addlab import command

if __name__ == "__main__":
    command.begin()  # before what is slow to import

# isort: split
import json
import multiprocessing
import os
import sys
from pathlib import Path

import torch

import addrnn
from addlab import files
from addlab.command import fail, one_line_errors
from addlab.study.short import short_sums

RECORDS = Path(addrnn.__file__).resolve().parent / "records"
FOLDER = RECORDS / "studies"


def keep(name, rows):
    """Write a study, a row on a line."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    files.write_whole(FOLDER / f"{name}.json", ("[" + ",\n ".join(map(json.dumps, rows)) + "]\n").encode())


def study(name, models, look):
    """Add to records/studies/NAME.json what `look` finds of each model that is not in it yet, on all cores."""
    path = FOLDER / f"{name}.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    missing = [model for model in models if model not in {row["model"] for row in rows}]
    with multiprocessing.get_context("spawn").Pool(min(os.cpu_count(), len(missing) or 1), torch.set_num_threads,
                                                   [1]) as pool:
        for row in pool.imap_unordered(look, missing):
            print(json.dumps(row)[:300], flush=True)
            rows.append(row)
            keep(name, sorted(rows, key=lambda row: models.index(row["model"])))


SHORT = [f"runs/default/seed{seed}" for seed in range(20)]


def short(model):
    return {"model": model} | short_sums(addrnn.Adder.load(RECORDS / f"{model}.safetensors"))


STUDIES = {"short_sums": lambda: study("short_sums", SHORT, short)}


def main(wanted):
    for name in wanted:
        if name not in STUDIES:
            fail("exhaust", f"got {name!r}, allowed are {', '.join(STUDIES)}")
    with one_line_errors("exhaust"):
        for name in wanted or STUDIES:
            STUDIES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
