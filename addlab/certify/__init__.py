"""Proofs and counterexamples: does a trained network compute what it should, for inputs of every length?

    from addlab.certify import Network, certify, train_on_boxes, weighted_sum
    times_three = weighted_sum(10, 3)
    network = train_on_boxes(Network(times_three, hidden=32, embedding=8), times_three)
    certificate = certify(network, times_three)
    certificate.save("times_three")    # python -m addlab.certify check times_three.json

`certify` gives None where it finds no proof: another seed, more units or more batches may help. `exhaust` tries every
state that a network reaches, and so proves what it computes, or finds the shortest input that it gets wrong.
"""

from addlab.certify.exhaust import Exhaustion, exhaust
from addlab.certify.machines import ADDITION, Network, from_step, remainder, weighted_sum
from addlab.certify.proof import Certificate, certify
from addlab.certify.search import counterexample
from addlab.certify.training import train_on_boxes, train_starts
from addlab.certify.walk import Rounded

__all__ = ["ADDITION", "Certificate", "Exhaustion", "Network", "Rounded", "certify", "counterexample", "exhaust",
           "from_step", "remainder", "train_on_boxes", "train_starts", "weighted_sum"]
