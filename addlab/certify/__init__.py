"""Proofs and counterexamples: does a trained network add numbers of every length?"""

from addlab.certify.proof import Certificate, certify
from addlab.certify.search import counterexample

__all__ = ["Certificate", "certify", "counterexample"]
