"""What a study measured, kept as plain data in records/studies/NAME.json: {what: result}, a line each."""

import json

import addrnn
from addlab.engine import store


def path(name):
    """Where a study's results lie."""
    return addrnn.home() / "records" / "studies" / f"{name}.json"


def results(name):
    """{what: result} of all that a study has measured so far."""
    try:
        return json.loads(path(name).read_bytes())
    except FileNotFoundError:
        return {}


def recall(name, what, compute):
    """The plain data of `compute()`, from the study's file where it is told there; else it is measured and kept."""
    known = results(name)
    if what not in known:
        result = compute()
        path(name).parent.mkdir(parents=True, exist_ok=True)
        with store.locked(addrnn.home() / "records" / "runs", f"study {name}"):
            known = results(name) | {what: result}
            lines = [f"{json.dumps(key)}: {json.dumps(known[key])}" for key in sorted(known)]
            store.write_whole(path(name), ("{" + ",\n ".join(lines) + "}\n").encode())
    return known[what]
