"""Every state that a network reaches: what is recorded of it, by `python -m tools.exhaust states`."""

import dataclasses
import json

from addlab import files
from addlab.certify import exhaust
from addlab.certify.exhaust import load


def recorded():
    """The rows of records/studies/states.json, dicts: network, grid, and what `exhaust` found; none where it is not."""
    path = files.found("records/studies/states.json")
    return json.loads(path.read_text()) if path.exists() else []


def exhausted(network, grid=None, most=2_000_000):
    """A row: what comes of exhausting a file under records/, with its state rounded to multiples of 1 / grid."""
    found = exhaust(*load(files.found(f"records/{network}"), grid), most)
    return json.loads(json.dumps({"network": network, "grid": grid} | dataclasses.asdict(found)))
