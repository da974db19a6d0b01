"""How small may a network be for its training to end in a proof? Writes proofs/study.json: python proofs/study.py

Every run is `train_provable` and `certify` with a hidden size, an embedding, a seed, and perhaps a bound on the rank
of the recurrent weights, U = P Q. A margin of null: no proof was found.
"""

import json
import time
from pathlib import Path

import torch
from torch.nn.utils import parametrize

from addlab.certify import proof as certify
from addlab.engine import store as runs
from addrnn import Adder, Config

HERE = Path(__file__).resolve().parents[1] / "records" / "proofs"
WIDE, NARROW = 32, 8
CASES = [dict(hidden=h, embedding=WIDE) for h in (64, 32, 24, 16)]
CASES += [dict(hidden=h, embedding=NARROW) for h in (64, 32, 24, 16)]
CASES += [dict(hidden=64, embedding=4)]
CASES += [dict(hidden=64, embedding=NARROW, rank=r) for r in (1, 2)]


class Product(torch.nn.Module):
    """A matrix as P Q, from the stacked factors [2, hidden, rank]."""

    def forward(self, factors):
        return factors[0] @ factors[1].T

    def right_inverse(self, matrix):
        left, sizes, right = torch.linalg.svd(matrix)
        root = sizes[: self.rank].sqrt()
        return torch.stack((left[:, : self.rank] * root, right[: self.rank].T * root))

    def __init__(self, rank):
        super().__init__()
        self.rank = rank


def run(hidden, embedding, rank=None, seed=0, batches=1500):
    """Train and certify one network: its settings, parameters, margin or None, seconds of processor time."""
    config = Config(layers=1, hidden=hidden, embedding=embedding, seed=seed, lr=5e-3, batches=batches)
    model, begin = Adder(config), time.process_time()
    if rank:
        parametrize.register_parametrization(model.rnn, "weight_hh_l0", Product(rank), unsafe=True)
    parameters = sum(p.numel() for p in model.parameters())
    certify.train_provable(config, model, sure=0.5)
    if rank:
        parametrize.remove_parametrizations(model.rnn, "weight_hh_l0")
    certificate = certify.certify(model)
    return dict(hidden=hidden, embedding=embedding, rank=rank, seed=seed, batches=batches, parameters=parameters,
                margin=certificate and certificate.margin, seconds=round(time.process_time() - begin, 1))


def main():
    """Run all cases; what is in the file already is not run again."""
    path = HERE / "study.json"
    done = json.loads(path.read_text()) if path.exists() else []
    for case in CASES:
        wanted = {"rank": None, "seed": 0} | case
        if not any(wanted.items() <= found.items() for found in done):
            done.append(run(**wanted))
            print(json.dumps(done[-1]), flush=True)
            runs.write_whole(path, ("[" + ",\n ".join(map(json.dumps, done)) + "]\n").encode())


if __name__ == "__main__":
    main()
