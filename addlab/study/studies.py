"""What a study measured, kept as plain data in records/studies/NAME.json: {what: result}, a line each."""

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
