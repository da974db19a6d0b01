"""Proofs and counterexamples: does a trained network compute what it should, for inputs of every length?

    from addlab.certify import Network, certify, train_on_boxes, weighted_sum
    times_three = weighted_sum(10, 3)
    network = train_on_boxes(Network(times_three, hidden=32, embedding=8), times_three)
    certificate = certify(network, times_three)
    certificate.save("times_three")    # python -m addlab.certify check times_three.json

`certify` gives None where it finds no proof: another seed, more units or more batches may help.
"""

from addlab.certify.machines import ADDITION, Network, from_step, remainder, weighted_sum
from addlab.certify.proof import Certificate, certify
from addlab.certify.search import counterexample
from addlab.certify.training import train_on_boxes, train_starts

__all__ = ["ADDITION", "Certificate", "Network", "certify", "counterexample", "from_step", "remainder",
           "train_on_boxes", "train_starts", "weighted_sum"]
