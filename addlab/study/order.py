"""Reading order: most significant digit first, a carry is not there yet; a network that reads both ways has it.

A column that is read before those below it cannot know whether they send a carry: two digits are left, and of random
numbers the one is as likely as the other. So, most significant digit first, the loss of every column but the last read
cannot come below the entropy of that carry, nearly ln 2, and its digit cannot be right more often than about half the
time: `floor` says what is left in all. Whoever sees a loss above it has not trained enough; below it, peeked.

python -m addlab.study.order    measure what is missing in records/studies/order.json
"""

import math
import sys

import numpy as np
import torch
from torch import nn

from addlab import engine
from addlab.study import measures, plots
from addlab.study.experiments import configs
from addlab.study.studies import recall, results
from addrnn import Adder, autograd, sample, streams

STUDY = "order"
ORDERS = ("least significant first", "most significant first", "both ways")
NAMES = dict(zip(ORDERS, ("from the right", "from the left", "both ways"), strict=True))  # in a figure
SEEDS, BATCHES, TESTED = range(3), 500, 2000


def floor(digit_len):
    """(loss in nats a digit, share of digits right) that no reader of the most significant digit first can beat.

    The carry into the column above k others, all uniform, has the probability (1 - 10 ** -k) / 2.
    """
    carries = [(1 - 10.0**-k) / 2 for k in range(1, digit_len + 1)]
    entropy = math.fsum(-p * math.log(p) - (1 - p) * math.log(1 - p) for p in carries)
    return entropy / (digit_len + 1), (1 + math.fsum(1 - p for p in carries)) / (digit_len + 1)


class BothWays(Adder):
    """An adder whose layers read the columns in both orders: every digit is scored from what lies on both its sides."""

    def __init__(self, config):
        super().__init__(config)
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.rnn = nn.RNN(2 * config.embedding, config.hidden, config.layers, bidirectional=True)
            self.dense = nn.Linear(2 * config.hidden, 10)

    @torch.no_grad()
    def predict(self, num1, num2):
        return self(num1, num2).argmax(2).numpy()


def train(config, order):
    """{"loss": of each batch; "right": share of digits right in each column, the least significant first}."""
    both = order == "both ways"
    model, rng = (BothWays if both else Adder)(config), streams(config.seed)[1]
    step = -1 if order == "most significant first" else 1
    optimizer = (torch.optim.Adam if both else engine.Adam)(model.parameters(), config.lr)
    losses = []
    for _ in range(config.batches):
        batch = [np.ascontiguousarray(digits[:, ::step])
                 for digits in sample(config.batch_size, config.digit_len, rng)]
        loss, _ = autograd(model, *batch) if both else engine.gradients(model, *batch)
        losses.append(float(f"{loss:.4g}"))
        optimizer.step()
    num1, num2, total = (digits[:, ::step].copy() for digits in
                         sample(TESTED, config.digit_len, np.random.default_rng(5)))
    right = (model.predict(num1, num2) == total).mean(axis=0)[::step]
    return {"loss": losses, "right": right.round(4).tolist()}


def plan():
    """[(config, order)] of all that is trained."""
    return [(config, order) for order in ORDERS for config in configs(SEEDS, batches=BATCHES)]


def found():
    """{order: [`train` of each seed]} of what has been measured."""
    known = results(STUDY)
    groups = {order: [known[name] for config, of in plan() if of == order and (name := key(config, of)) in known]
              for order in ORDERS}
    return {order: runs for order, runs in groups.items() if runs}


def key(config, order):
    """The name of a run in the study's file."""
    return f"{order}, {config.digit_len} digits, seed {config.seed}"


def order_figure(groups):
    """Loss by batch, and digits right by column, of each order; groups: `found()`."""
    colours = dict(zip(ORDERS, (plots.RIGHT, plots.WRONG, plots.CELLS["LSTM"]), strict=True))
    columns = len(next(iter(groups.values()))[0]["right"])
    lowest, most = floor(columns - 1)
    fig, (left, right) = plots.figure("Read from the left, each carry is a coin toss", columns=2)
    plots.axis(left, "loss", "batch", "nats a digit", xlim=(0, BATCHES), ylim=(0, 2.4))
    plots.axis(right, "digits right", "column: 1 is the ones digit", "share", xlim=(1, columns),
               ylim=(0, 1.03))
    for ax, lines in ((left, {order: [smooth(run["loss"]) for run in runs] for order, runs in groups.items()}),
                      (right, {order: [(range(1, columns + 1), run["right"]) for run in runs]
                               for order, runs in groups.items()})):
        plots.curves(ax, lines, colours, NAMES)
    right.set_xticks(range(1, columns + 1, 2))
    plots.claim(left, "least from the left", y=lowest)
    plots.claim(right, "half of them" if abs(most - 0.5) < 0.1 else "what can be right", y=0.5)
    return fig


def smooth(loss):
    """(batches, running mean) of a loss."""
    means = measures.running_mean(loss)
    return np.arange(measures.OVER, measures.OVER + len(means)), means


def main():
    """Measure what has no result yet."""
    for config, order in plan():
        recall(STUDY, key(config, order), lambda which=(config, order): train(*which))


if __name__ == "__main__":
    sys.exit(main())
