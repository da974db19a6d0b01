"""What the article's pieces show, as plain JSON from the shipped records: networks, verdicts, boxes.

    fade      how a carry fades along nines, in networks trained in several ways       fade.js
    phantom   a ones digit that is one too large, and the column that repairs it         phantom.js
    dose      batches by length and by the ones digit's share of the loss                dose.js
    claims    the original's claims, a dot a seed                                      claims.js
    machine   the proved adder of 52 parameters                                        machine.js
"""

import json

import numpy as np

from addlab import files
from addlab.article.data import network
from addlab.study import carries, first_digit, proofs, start
from addlab.study import claims as judged
from addlab.study.experiments import CHAINS, configs, recorded

HALF_TRAINED = dict(digit_len=1000, batches=150)


def trained():
    """{way of training: {seed: Adder}} of one layer: from random sums, with chains among them, with noise."""
    ways = {"random sums": {}, "with chains": dict(chains=CHAINS)}
    found = {}
    for name, settings in ways.items():
        runs = recorded(configs(range(5), layers=1, **settings))
        found[name] = {run.config.seed: run.model for run in runs if run.model}
    proved = {name: certificate for name, certificate in proofs.certificates().items() if name.startswith("noise_seed")}
    noisy = {int(name.removeprefix("noise_seed")): certificate.network() for name, certificate in proved.items()}
    return found | ({"with noise": noisy} if noisy else {})


def fade(kinds=None):
    """Networks with their probes, by the way in which they were trained: `trained()`, or others like it."""
    return {"kinds": [{"name": name, "networks": [
        {"seed": seed, **network(model), "probe": carries.probe(model).round(6).tolist()}
        for seed, model in models.items()]} for name, models in (kinds or trained()).items()]}


def phantom():
    """A half-trained network of long numbers, and its share of right sums without and with a column 0 + 0 first."""
    half, = recorded(configs([0], **HALF_TRAINED))
    shares = start.tested(half)
    return {"half": {"network": network(half.model), "digits": half.config.digit_len, "batches": half.config.batches,
                     "plain": shares["as trained"], "led": shares["0 + 0 in front"]}}


def dose():
    """Batches until 99% of sums are right, seed by seed, for each length and share of the loss of the ones digit."""
    found = first_digit.dose(shares=(100, 1000, 5000))
    return {"rows": [{"digits": n, "share": share, "batches": list(times.values()),
                      "middle": float(np.median(list(times.values())))} for (n, share), times in found.items()],
            "seeds": len(next(iter(found.values())))}


def claims():
    """The verdict on each claim: what the original says, what was found, how many seeds say so, where to read on."""
    places = chapters()
    rows = []
    for claim, entry in judged.entries_so_far().items():
        seeds = entry["seeds"]
        rows.append({"claim": claim, "says": judged.CLAIMS[claim], "verdict": entry["verdict"],
                     "found": entry["sentence"] or entry["evidence"], "yes": seeds.count(True),
                     "no": seeds.count(False), "open": seeds.count(None), "link": places.get(claim)})
    return {"claims": rows}


def chapters():
    """{claim: the page and place where it is judged}, from what the notebooks show."""
    places = {}
    for path in sorted((files.CHECKOUT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_bytes())["cells"]:
            for output in cell.get("outputs", []):
                text = "".join(output.get("data", {}).get("text/markdown", ""))
                places |= {claim: f"{path.stem}.html#{claim}" for claim in judged.CLAIMS if f"**{claim}: " in text}
    return places


def machine(name="rnn_52_parameters"):
    """A proved adder of one layer of two tanh units: weights, boxes [carry][unit], which unit is the latch."""
    certificate = proofs.certificates()[name]
    claim = certificate.claim
    return {**network(certificate.network()),
            "boxes": [layers[0] for layers in claim["invariant"]], "parameters": certificate.parameters,
            "latch": proofs.SmallAdder(certificate).latch}
