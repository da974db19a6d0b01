"""Recurrent networks that learn to add decimal numbers: the whole system, to be read from top to bottom.

Settings, data, model, evaluation, training, many runs, the original's four experiments, the command line. What makes it
fast and what keeps its results lies in addlab/engine; what they mean is studied in addlab/study and notebooks/.
"""

import argparse
import dataclasses
import functools
import sys
import time
from numbers import Integral, Real

from addlab.engine.terminal import fail, one_line_errors, progress_bar  # first: from here on Ctrl-C is one line

# isort: split
import numpy as np
import torch
from torch import nn

from addlab import engine
from addlab.engine import parameters, workers
from addlab.engine.reading import Refusal, as_list, number, pick_device, read_digits, shown, to_digits, to_int, to_text
from addlab.engine.store import Run, Store, check_writable, home, read_weights, write_weights

# Settings

CELLS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


def setting(default, option, about):
    """A field of Config, its option on the command line (the original's where it has one), and what it means."""
    return dataclasses.field(default=default, metadata={"option": option, "about": about})


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one training run; a bad value raises ValueError in one line."""

    digit_len: int = setting(10, "--digit_len", "digits of each number")
    cell: str = setting("RNN", "--model", "cell: RNN, LSTM or GRU; pt is RNN")
    layers: int = setting(3, "--layer", "stacked layers")
    lr: float = setting(1e-3, "--lr", "Adam's learning rate")
    batches: int = setting(1000, "--epoch", "training batches, each drawn afresh")
    batch_size: int = setting(200, "--batch_size", "pairs in a training batch")
    test_batch_size: int = setting(200, "--test_batch_size", "pairs in the test set")
    eval_every: int = setting(50, "--eval_every", "batches between evaluations")
    seed: int = setting(0, "--seed", "of weights, batches and test set")
    hidden: int = setting(64, "--hidden", "units of a layer")
    embedding: int = setting(32, "--embedding", "size of a digit's vector")
    chains: float = setting(0.0, "--chains", "share of training pairs given columns that sum to 9")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            real = isinstance(value, Real) and not isinstance(value, bool)
            whole = real and isinstance(value, Integral)
            right, allowed = {
                "cell": (isinstance(value, str) and value in CELLS, "RNN or LSTM or GRU"),
                "lr": (real and 0 < value <= sys.float_info.max, "a finite number above 0"),
                "chains": (real and 0 <= value <= 1, "a number from 0 to 1"),
                "seed": (whole and value >= 0, "a whole number, 0 or more"),
            }.get(field.name, (whole and value >= 1, "a whole number, 1 or more"))
            if not right:
                raise Refusal(f"{field.name} ({field.metadata['option']}): got {shown(value)}, allowed is {allowed}")
            object.__setattr__(self, field.name, field.type(value))  # NumPy's scalars become Python's, as JSON wants


def streams(seed):
    """The three random streams of a run: weights, training batches, test set."""
    return [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(3)]


# Data: numbers are arrays of digits, least significant first, so that a carry travels with time

def carry_add(num1, num2):
    """Add digit arrays [..., digits]; the last column must not overflow.

    In the order in which the network reads them, 275 + 348 = 623 is

        column    0  1  2  3
        num1      5  7  2  0
        num2      8  4  3  0
        carry in  0  1  1  0
        total     3  2  6  0

    A column that sums to 9 hands its carry on, so a column carries if the last one that is no 9, up to and with
    itself, is above 9.
    """
    total = num1 + num2
    columns = np.arange(total.shape[-1], dtype=np.int32)
    last_not_nine = np.maximum.accumulate(np.where(total != 9, columns, 0), axis=-1)
    carry_out = np.take_along_axis(total > 9, last_not_nine, axis=-1)
    total[..., 1:] += carry_out[..., :-1]
    total[total > 9] -= 10
    return total


def sample(count, digit_len, rng, chains=0.0):
    """Draw `count` pairs of numbers below 10**digit_len and their sums; `rng` is a NumPy Generator.

    In a share `chains` of the pairs, the columns between two random places are made to sum to 9.
    Returns num1, num2, total: int64 [count, digit_len + 1], least significant digit first.
    """
    if not 0 <= chains <= 1:
        raise Refusal(f"chains (--chains): got {shown(chains)}, allowed is a number from 0 to 1")
    num1, num2 = np.zeros((2, count, digit_len + 1), dtype=np.int8)
    num1[:, :-1] = rng.integers(0, 10, (count, digit_len), dtype=np.int8)
    num2[:, :-1] = rng.integers(0, 10, (count, digit_len), dtype=np.int8)
    if chains:
        start, end = np.sort(rng.integers(0, digit_len + 1, (2, count, 1)), axis=0)
        columns = np.arange(digit_len + 1)
        chained = (columns >= start) & (columns < end) & (rng.random((count, 1)) < chains)
        num2 = np.where(chained, 9 - num1, num2)
    return num1.astype(np.int64), num2.astype(np.int64), carry_add(num1, num2).astype(np.int64)


# Model

class Adder(nn.Module):
    """A recurrent network that reads two numbers column by column and scores each digit of their sum.

    One embedding serves both numbers. Weights are drawn from the config's seed.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        with torch.device("meta"):  # shapes alone, or torch would draw weights, too
            self.embed_layer = nn.Embedding(10, config.embedding)
            self.rnn = CELLS[config.cell](2 * config.embedding, config.hidden, config.layers)
            self.dense = nn.Linear(config.hidden, 10)
        self.to_empty(device="cpu")
        parameters.draw(self, streams(config.seed)[0])

    @engine.served
    def forward(self, num1, num2):
        """Logits [count, digits, 10] of each digit of num1 + num2, both [count, digits]."""
        device = self.dense.weight.device
        first, second = (self.embed_layer(torch.as_tensor(n, device=device)) for n in (num1, num2))
        pairs = torch.cat((first, second), dim=2)    # [count, digits, 2 embedding]
        states, _ = self.rnn(pairs.transpose(0, 1))  # [digits, count, hidden]
        return self.dense(states).transpose(0, 1)    # [count, digits, 10]

    @torch.no_grad()
    def predict(self, num1, num2):
        """The digits that the model says: int64 [count, digits]."""
        if self.dense.weight.device.type == "cpu":
            return engine.predict(self, num1, num2)
        return self(num1, num2).argmax(2).cpu().numpy()

    def add(self, a, b):
        """What the model says a + b is, right or wrong: an int, for ints or decimal strings of any length.

        One column follows the longer number, for the final carry. Raises ValueError for a number it cannot read.
        """
        a, b = to_digits(a), to_digits(b)
        pair = np.zeros((2, 1, max(len(a), len(b)) + 1), dtype=np.int64)
        pair[0, 0, : len(a)], pair[1, 0, : len(b)] = a, b
        return to_int(self.predict(*pair)[0])

    def save(self, path):
        """Write the weights as safetensors, whole or not at all. Raises OSError."""
        write_weights(path, self.state_dict())

    @classmethod
    def load(cls, path):
        """Read the weights that `save` wrote; their shapes tell the settings. Raises ValueError for another file."""
        settings, tensors = read_weights(path)
        model = cls(Config(**settings))
        model.load_state_dict(tensors)
        return model


def evaluate(model, num1, num2, total):
    """How often the model is right: (share of sums with every digit right, share of digits right)."""
    right = model.predict(num1, num2) == np.asarray(total)
    return float(right.all(axis=1).mean()), float(right.mean())


# Training

DIVERGED = 1e6  # nats a digit: a loss that is not below it ends a run


def autograd(model, num1, num2, total):
    """Torch's gradients, left in the parameters; returns (loss, share of sums wholly right).

    `engine.gradients` returns the same, faster and with the same bits on every CPU.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 keeps three decimals
        logits = model(num1, num2)
        total = torch.as_tensor(total, device=logits.device)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), total.flatten())
        model.zero_grad()
        loss.backward()
    return loss.item(), (logits.argmax(2) == total).all(1).double().mean().item()


class Training:
    """A run in progress: its model, optimizer, random stream and curves are all that the next step depends on."""

    def __init__(self, config, device=None):
        device = pick_device(device)
        on_cpu, self.model = device.type == "cpu", Adder(config).to(device)
        self.gradients = functools.partial(engine.gradients if on_cpu else autograd, self.model)
        self.optimizer = (parameters.Adam if on_cpu else torch.optim.Adam)(self.model.parameters(), config.lr)
        versions = {"numpy": np.__version__} | ({"engine": engine.VERSION} if on_cpu else {"torch": torch.__version__})
        name = "cpu" if on_cpu else torch.cuda.get_device_name(device)
        _, self.rng, test_rng = streams(config.seed)
        self.test_set = sample(config.test_batch_size, config.digit_len, test_rng)
        self.run = Run(config, device=name, versions=versions, model=self.model)

    def steps(self):
        """The training loop: one fresh batch a step. Yields after each."""
        run, config = self.run, self.run.config
        while not run.done:
            begin = time.perf_counter()
            batch = sample(config.batch_size, config.digit_len, self.rng, config.chains)
            loss, accuracy = self.gradients(*batch)
            run.loss.append(loss)
            run.batch_accuracy.append(accuracy)
            run.diverged = not loss < DIVERGED  # so that nan has, too
            if not run.diverged:
                self.optimizer.step()
                if len(run.loss) % config.eval_every == 0 or run.done:
                    run.note_evaluation(*evaluate(self.model, *self.test_set))
            run.seconds += time.perf_counter() - begin
            yield


def train(config, device=None):
    """Train an adder and return its Run. Ctrl-C raises KeyboardInterrupt; use `sweep` to keep what is done."""
    training = Training(config, device)
    run = training.run
    with progress_bar(config.batches, f"{config.cell} {config.digit_len} digits") as bar:
        for _ in training.steps():
            accuracy = run.accuracy[-1] if run.accuracy else "-"
            bar.set_postfix(loss=f"{run.loss[-1]:.4f}", accuracy=accuracy, refresh=False)
            bar.update()
    return run


def sweep(configs, executor=None):
    """The runs of `configs`, in order: read from their records where they are, else trained in parallel.

    Records lie in records/runs of `home()`. `executor` is any concurrent.futures.Executor whose workers see that
    folder; by default one process of one thread for each core. Ctrl-C keeps what is done. A run whose record ships no
    weights comes without a model. Raises RuntimeError, one line for each run that failed, after the others are done.
    """
    configs = list(configs)
    for config in configs:
        if not isinstance(config, Config):
            raise Refusal(f"configs: got {shown(config)}, allowed is a list of addrnn.Config")
    store = Store(home() / "records" / "runs", Adder)
    runs = {config: store.read(config) for config in dict.fromkeys(configs)}
    missing = [config for config in runs if runs[config] is None]
    if missing:
        try:
            workers.train_all(sorted(missing, key=workers.work, reverse=True), store, Training, executor)
        except KeyboardInterrupt as stop:
            raise stop.with_traceback(None) from None  # it says what is kept; the calls that led there say no more
        runs |= {config: store.read(config) for config in missing}
    return [runs[config] for config in configs]


# The four experiments of the original

def test1(digit_lens=(10, 100, 1000), seeds=range(5), **settings):
    """Digit length: {length: [a Run for each seed]}."""
    return experiment("digit_len", digit_lens, seeds, settings)


def test2(layers=(1, 2, 3, 4), seeds=range(5), **settings):
    """Layers: {layers: [a Run for each seed]}, at 100 digits unless `digit_len` says else."""
    return experiment("layers", layers, seeds, {"digit_len": 100} | settings)


def test3(cells=("RNN", "LSTM", "GRU"), seeds=range(5), **settings):
    """Cell type: {cell: [a Run for each seed]}, at 100 digits unless `digit_len` says else."""
    return experiment("cell", cells, seeds, {"digit_len": 100} | settings)


def test4(lrs=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), seeds=range(5), **settings):
    """Learning rate: {rate: [a Run for each seed]}, at 100 digits unless `digit_len` says else."""
    return experiment("lr", lrs, seeds, {"digit_len": 100} | settings)


def experiment(name, values, seeds, settings):
    """{value: [a Run for each seed]} for each value of the setting `name`; `settings` are those of all runs."""
    values, seeds = as_list(values, name), as_list(seeds, "seeds")
    configs = [Config(**settings, **{name: value, "seed": seed}) for value in values for seed in seeds]
    runs = iter(sweep(configs))
    return {value: [next(runs) for _ in seeds] for value in values}


# The command line

def main(arguments=None):
    """Train, save and ask; or load and ask. Leaves with one line for what it cannot do."""
    parser = argparse.ArgumentParser(prog="addrnn", allow_abbrev=False, argument_default=argparse.SUPPRESS,
                                     description="Train a recurrent network to add two decimal numbers, or ask one.")
    parser.error = functools.partial(fail, "addrnn")
    for field in dataclasses.fields(Config):
        parser.add_argument(field.metadata["option"], dest=field.name, type=str if field.type is str else number,
                            help=f"{field.metadata['about']} (default {field.default})", metavar="VALUE")
    parser.add_argument("--device", default=None, help="cpu (default) or cuda", metavar="NAME")
    parser.add_argument("--save", default=None, help="write the trained weights there", metavar="PATH")
    parser.add_argument("--load", default=None, help="ask the model of these weights, train none", metavar="PATH")
    parser.add_argument("--add", default=[], nargs=2, action="append", metavar=("A", "B"),
                        help="ask for A + B; @FILE is the number in a file, - the next line of standard input")
    settings = vars(parser.parse_args(arguments))
    device, save, load, pairs = (settings.pop(name) for name in ("device", "save", "load", "add"))
    if settings.get("cell") == "pt":  # as the original calls its default
        settings["cell"] = Config.cell
    with one_line_errors("addrnn"):
        pairs = [(read_digits(a), read_digits(b)) for a, b in pairs]
        if load is None:
            config = Config(**settings)
            if save is not None:
                check_writable(save)
            run = train(config, device)
            model = run.model
            if save is not None:
                model.save(save)  # before anything is printed: whoever reads our output may be gone
            print(run)
            pairs = pairs or zip(*sample(3, config.digit_len, np.random.default_rng())[:2], strict=True)
        elif settings or save is not None or not pairs:
            raise Refusal("--load: got a model to be asked, allowed beside it are --add, which it needs, and --device")
        else:
            model = Adder.load(load).to(pick_device(device))
        for a, b in pairs:
            answer, right = model.add(a, b), to_int(a) + to_int(b)
            print(f"{to_text(a)} + {to_text(b)} = {to_text(answer)}"
                  + ("" if answer == right else f"   wrong: it is {to_text(right)}"))


if __name__ == "__main__":
    main()
