"""Proofs and counterexamples: does a trained network compute what it should, for inputs of every length?

    from addlab.certify import Network, certify, train_on_boxes, weighted_sum
    times_seven = weighted_sum(10, 7)
    network = train_on_boxes(Network(times_seven, hidden=32, embedding=8), times_seven)
    certificate = certify(network, times_seven)
    certificate.save("times_seven")    # python checker.py times_seven.json
"""

from addlab.certify.machines import ADDITION, Network, from_step, remainder, weighted_sum
from addlab.certify.proof import Certificate, certify
from addlab.certify.search import counterexample
from addlab.certify.training import train_on_boxes, train_starts

__all__ = ["ADDITION", "Certificate", "Network", "certify", "counterexample", "from_step", "remainder",
           "train_on_boxes", "train_starts", "weighted_sum"]
