"""What the article's text says in numbers: each taken from the records, and worded where it stands in opening.md."""

import re
from collections import Counter

from addlab import files
from addlab.article.data import RANDOM_SUMS, SHIPPED, shipped, wrong_pair
from addlab.article.pieces import machine
from addlab.certify import ADDITION
from addlab.study import carries, claims, fading, noise, proofs
from addlab.study.experiments import CHAINS, configs, recorded
from addrnn import Config


def words():
    """{name: its text in opening.md}."""
    return {**wrong_sum(), **searched(), **verdicts(), **shaken(), **proved(), **citation()}


def beaten():
    """The shortest sum found that the first piece's network gets wrong: both numbers, what it says, what is right."""
    a, b = wrong_pair()
    return a, b, str(shipped(SHIPPED).add(a, b)), str(int(a) + int(b))


def wrong_sum():
    """That sum in words."""
    a, b, said, total = map(int, beaten())
    return {"wrong_sum": f"{a:,} + {b:,} = {said:,}", "right_sum": f"{total:,}"}


def searched():
    """In how many networks a wrong sum is found: of the original's kind without an error in many random sums, and of
    those trained with chains of nines; the digits of the longest of these sums; how many a column 0 + 0 mends; how many
    of the latter get all chains right.
    """
    digits = Config().digit_len
    plain = [run.model for run in recorded(configs(range(20))) if run.model
             and carries.right_of_random(run.model, RANDOM_SUMS, digits) == RANDOM_SUMS]
    chained = [run.model for batches in (1000, 4000)
               for run in recorded(configs(range(5), chains=CHAINS, batches=batches)) if run.model]
    found = {"random_sums": f"{RANDOM_SUMS:,}"}
    for name, models in (("plain", plain), ("chained", chained)):
        wrong = [(model, pair) for model in models if (pair := carries.shortest_wrong(model)["pair"])]
        longest = max((carries.digits_of(pair) for _, pair in wrong), default=0)
        found |= {name: len(models), f"{name}_beaten": len(wrong), f"{name}_digits": longest,
                  f"{name}_mended": sum(carries.mended(model, pair) for model, pair in wrong)}
    crossing = [fading.keeps(of) for name in ("chains", "chains, longer") for of in fading.of_groups()[name].values()]
    return found | {"chained_crossing": sum(crossing)}


def verdicts():
    """How many of the original's statements hold, fail, or are neither."""
    counts = Counter(entry["verdict"] for entry in claims.entries_so_far().values())
    hold, fail = (counts[word] + counts[f"mostly {word}"] for word in ("holds", "fails"))
    return {"statements": counts.total(), "hold": hold, "fail": fail, "neither": counts.total() - hold - fail}


def shaken(level=1.0):
    """How many networks have both proofs, of those trained with noise and of those without, all else being equal, at a
    falling rate and at a constant one; in how many of the second a wrong sum is found; and what is proved of deeper and
    gated ones with that noise.
    """
    others = [outcome for config, falling, outcome in noise.found()
              if falling and config.noise == level and (config.cell, config.layers) != ("RNN", 1)]
    counts = {"noise": noise.both(level), "quiet": noise.both(0.0), "constant": noise.both(level, falling=False),
              "still": noise.both(0.0, falling=False)}
    twins = noise.twins().values()
    return {f"{name}_{part}": count for name, both in counts.items()
            for part, count in zip(("proved", "tried"), both, strict=True)} | {
        "refuted": sum(pair is not None for pair in twins), "searched": len(twins), "other_tried": len(others),
        "other_boxed": sum(map(noise.boxed, others)), "other_closed": sum(map(noise.closed, others))}


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
