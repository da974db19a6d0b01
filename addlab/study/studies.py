"""What a study measured, kept as plain data in records/studies/NAME.json: {what: result} or a list, a line each."""

import json

from addlab import files


def results(name):
    """{what: result} of all that a study has measured so far."""
    return files.kept(f"studies/{name}.json")


def recall(name, what, compute):
    """The plain data of `compute()`, from the study's file where it is told there; else it is measured and kept."""
    known = results(name)
    if what not in known:
        known[what] = compute()
        files.keep(f"studies/{name}.json", known[what], what)
    return known[what]


def rows(path):
    """The results of a study that is a list, a dict each; none where there is no such file yet."""
    return json.loads(path.read_bytes()) if path.exists() else []


def write_rows(path, rows):
    """Write the results of a study that is a list, whole or not at all."""
    files.make_folder(path.parent)
    files.write_whole(path, ("[" + ",\n ".join(map(json.dumps, rows)) + "]\n").encode())
