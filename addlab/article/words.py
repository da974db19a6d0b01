"""What the article's text says in numbers: each taken from the records, and worded where it stands in opening.md."""

import re
from collections import Counter

from addlab import files
from addlab.article.data import shipped
from addlab.article.pieces import machine
from addlab.certify import ADDITION
from addlab.study import carries, claims, noise, proofs
from addlab.study.experiments import CHAINS, configs, recorded


def words():
    """{name: its text in opening.md}."""
    return {**wrong_sum(), **searched(), **verdicts(), **shaken(), **proved(), **citation()}


def wrong_sum(name="runs/default/seed0"):
    """The shortest sum found that the network of the first piece gets wrong."""
    model = shipped(name)
    a, b = carries.shortest_wrong(model)["pair"]
    return {"wrong_sum": f"{int(a):,} + {int(b):,} = {model.add(a, b):,}", "right_sum": f"{int(a) + int(b):,}"}


def searched():
    """In how many networks a wrong sum is found: trained as the original, and with chains of nines in training."""
    groups = {"plain": configs(range(20)), "chained": configs(range(5), chains=CHAINS, batches=4000)}
    found = {}
    for name, group in groups.items():
        pairs = [carries.shortest_wrong(run.model)["pair"] for run in recorded(group) if run.model]
        found |= {f"{name}_beaten": len(pairs) - pairs.count(None), name: len(pairs)}
    return found


def verdicts():
    """How many of the original's statements hold, fail, or are neither."""
    counts = Counter(entry["verdict"] for entry in claims.entries_so_far().values())
    hold, fail = (counts[word] + counts[f"mostly {word}"] for word in ("holds", "fails"))
    return {"statements": counts.total(), "hold": hold, "fail": fail, "neither": counts.total() - hold - fail}


def shaken(level=1.0):
    """How many networks both proofs are found for, of those trained with noise and of those without, all else equal."""
    both = {amount: noise.both(amount) for amount in (level, 0.0)}
    return {f"{name}_{part}": value for name, amount in (("noise", level), ("quiet", 0.0))
            for part, value in zip(("proved", "tried"), both[amount], strict=True)}


def proved():
    """How many networks here are proved to add two decimal numbers, and how few parameters are enough."""
    claimed = [certificate.claim["machine"]["meaning"] for certificate in proofs.certificates().values()]
    return {"adders": claimed.count(ADDITION.meaning), "parameters": machine()["parameters"]}


def citation():
    """Author, title, version and year, as CITATION.cff has them."""
    text = (files.CHECKOUT / "CITATION.cff").read_text("utf-8")
    title, author, version, year = (re.search(pattern, text, re.MULTILINE)[1] for pattern in (
        r"^title: (.+)$", r"^ *- name: (.+)$", r"^version: (.+)$", r"^date-released: (\d{4})"))
    return {"cite_title": title, "author": author, "version": version, "year": year}
