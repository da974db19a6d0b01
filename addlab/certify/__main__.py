"""python -m addlab.certify train --save NAME: a network that provably adds. python -m addlab.certify check FILES.

exhaust FILE tries every state that a network reaches."""

import argparse
import os
import sys
import time

import torch

import addrnn
from addlab import files
from addlab.certify import certify, checker, train_on_boxes
from addlab.certify.exhaust import MOST, report
from addlab.command import fail, one_line_errors


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail("certify", message)


def parser():
    p = Parser(prog="python -m addlab.certify", description="Train a network that provably adds, check a proof, or try "
               "every state that a network reaches.")
    commands = p.add_subparsers(dest="command", required=True, parser_class=Parser)
    train = commands.add_parser("train", help="train, prove, write the weights and the certificate")
    train.add_argument("--model", default="RNN", help="cell: RNN, LSTM or GRU")
    for name, default in dict(layers=1, hidden=64, embedding=32, seed=0, batches=1000).items():
        train.add_argument(f"--{name}", type=int, default=default, metavar="INT")
    train.add_argument("--lr", type=float, default=1e-2, metavar="FLOAT")
    train.add_argument("--save", required=True, metavar="NAME", help="writes NAME.json and NAME.safetensors")
    check = commands.add_parser("check", help="prove certificates again: exit status 0 proved, 1 rejected")
    check.add_argument("files", nargs="+", metavar="NAME.json",
                       help="certificates; the weights lie beside each as NAME.safetensors, or follow it")
    exhaust = commands.add_parser("exhaust", help="try every state that a network reaches: exit status 0 all right, "
                                  "1 wrong, 3 not closed")
    exhaust.add_argument("file", metavar="FILE", help="weights of an adder, or a certificate NAME.json")
    exhaust.add_argument("--grid", type=int, metavar="INT", help="round the state to multiples of 1 / INT")
    exhaust.add_argument("--most", type=int, default=MOST, metavar="INT", help="stop after so many states")
    return p


def check(files):
    """Let the checker judge each certificate; returns the worst exit status."""
    status = 0
    for place, name in enumerate(files):
        if not name.endswith(".safetensors") or place == 0:
            follows = files[place + 1 : place + 2]
            status = max(status, checker.main([name, *(f for f in follows if f.endswith(".safetensors"))]))
    return status


def train(model, save, batches, lr, **sizes):
    """Train, prove and save an adder; returns the exit status."""
    config = addrnn.Config(cell=model, batches=batches, lr=lr, **sizes)
    if not os.path.basename(save):
        fail("certify", f"--save: got {save!r}, allowed is a NAME in a folder that can be written")
    for ending in (".safetensors", ".json"):
        files.check_writable(save + ending, "--save")
    torch.set_num_threads(1)
    begin = time.perf_counter()
    certificate = certify(train_on_boxes(addrnn.Adder(config), batches=batches, lr=lr))
    seconds = time.perf_counter() - begin
    if certificate is None:
        print(f"no proof found after {seconds:.0f} s of training; another seed or more --batches may help")
        return 1
    certificate.save(save)
    print(f"proved after {seconds:.0f} s, the right digit leads by {certificate.margin:.3f} or more: "
          f"{save}.json, {save}.safetensors")
    return 0


def main(arguments=None):
    """Exit status: 0 proved, 1 no proof, 2 bad input, with one line, 3 not settled."""
    options = vars(parser().parse_args(arguments))
    with one_line_errors("certify"):
        return {"check": check, "exhaust": report, "train": train}[options.pop("command")](**options)


if __name__ == "__main__":
    sys.exit(main())
