"""Recurrent networks that learn to add decimal numbers: the whole system, to be read from top to bottom.

Settings, data, model, evaluation, training, many runs, the original's four experiments; with autograd it is complete.
`addlab.engine` computes the same gradients faster and with the same bits on every CPU, `addlab.records` keeps what was
trained, `addlab.command` is the command line. Notebook 01 builds this file step by step.
"""

if __name__ == "__main__":  # run as a program: before what is slow to import, so that Ctrl-C is one line from the start
    from addlab.command import main
    raise SystemExit(main())

import dataclasses
import functools
import time

import numpy as np
import torch
from torch import nn

from addlab import engine, files, inputs, workers
from addlab.devices import Draws, as_digits, check_room, device_name, device_of, evaluating, full_precision, pick_device
from addlab.inputs import COUNT, LEVEL, RATE, SEED, SHARE
from addlab.noisy import noisy_states
from addlab.progress import as_table, one_line, progress_bar
from addlab.records import Store, read_weights, write_weights

# Settings

CELLS = engine.CELLS  # {name: torch's class}: RNN, LSTM, GRU


def setting(default, option, rule, about):
    """A field of Config: its option on the command line (the original's where it has one), what it may be and means."""
    return dataclasses.field(default=default, metadata={"option": option, "rule": rule, "about": about})


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one training run; a bad value raises ValueError in one line."""

    digit_len: int = setting(10, "--digit_len", COUNT, "digits of each number")
    cell: str = setting("RNN", "--model", inputs.one_of(CELLS), "cell: RNN, LSTM or GRU; pt is RNN")
    layers: int = setting(3, "--layer", COUNT, "stacked layers")
    lr: float = setting(1e-3, "--lr", RATE, "Adam's learning rate")
    batches: int = setting(1000, "--epoch", COUNT, "training batches, each drawn afresh; the original's 'epoch' is one")
    batch_size: int = setting(200, "--batch_size", COUNT, "pairs in a training batch")
    test_batch_size: int = setting(200, "--test_batch_size", COUNT, "pairs in the test set")
    eval_every: int = setting(50, "--eval_every", COUNT, "batches between evaluations")
    seed: int = setting(0, "--seed", SEED, "of weights, batches and test set")
    hidden: int = setting(64, "--hidden", COUNT, "units of a layer")
    embedding: int = setting(32, "--embedding", COUNT, "size of a digit's vector")
    chains: float = setting(0.0, "--chains", SHARE, "share of training pairs given columns that sum to 9")
    noise: float = setting(0.0, "--noise", LEVEL, "standard deviation of noise on the state, in training")

    def __post_init__(self):
        inputs.check_fields(self)


def streams(seed: int) -> list[np.random.Generator]:
    """The random streams of a run: of weights, training batches, test set, noise."""
    return [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(4)]


# Data: numbers are arrays of digits, least significant first, so that a carry travels with time

@engine.kernel
def add_columns(num1, num2):
    """As at school: carry in, digit, carry out. The arrays are int64 [count, digits]."""
    total = np.empty_like(num1)
    for row in range(num1.shape[0]):
        carry = 0
        for column in range(num1.shape[1]):
            both = num1[row, column] + num2[row, column] + carry
            carry = 1 if both > 9 else 0
            total[row, column] = both - 10 * carry
    return total


def carry_add(num1: np.ndarray, num2: np.ndarray) -> np.ndarray:
    """Add digit arrays [..., digits]: int64 of the same shape. The last column must not overflow.

    In the order in which the network reads them, 275 + 348 = 623 is

        column    0  1  2  3
        num1      5  7  2  0
        num2      8  4  3  0
        carry in  0  1  1  0
        total     3  2  6  0
    """
    rows = [np.ascontiguousarray(digits, np.int64).reshape(-1, np.shape(digits)[-1]) for digits in (num1, num2)]
    return add_columns(*rows).reshape(np.shape(num1))


def sample(count: int, digit_len: int, rng: np.random.Generator, chains: float = 0.0) -> tuple[np.ndarray, ...]:
    """Draw `count` pairs of numbers below 10**digit_len and their sums; `rng` is a NumPy Generator.

    In a share `chains` of the pairs, the columns between two random places are made to sum to 9.
    Returns num1, num2, total: int64 [count, digit_len + 1], least significant digit first.
    """
    inputs.checked(rng, inputs.GENERATOR, "rng")
    inputs.checked(chains, SHARE, "chains (--chains)")
    num1, num2 = np.zeros((2, count, digit_len + 1), dtype=np.int64)
    num1[:, :-1] = rng.integers(0, 10, (count, digit_len), dtype=np.int8)
    num2[:, :-1] = rng.integers(0, 10, (count, digit_len), dtype=np.int8)
    if chains:
        start, end = np.sort(rng.integers(0, digit_len + 1, (2, count, 1)), axis=0)
        columns = np.arange(digit_len + 1)
        chained = (columns >= start) & (columns < end) & (rng.random((count, 1)) < chains)
        num2 = np.where(chained, 9 - num1, num2)
    return num1, num2, carry_add(num1, num2)


# Model

class Adder(nn.Module):
    """A recurrent network that reads two numbers column by column and scores each digit of their sum.

    One embedding serves both numbers. The state before the first column, h0, is zero. Weights are drawn from the
    config's seed.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):  # torch draws weights, too, and goes on as if it had not
            self.embed_layer = nn.Embedding(10, config.embedding, dtype=torch.float32)
            self.rnn = CELLS[config.cell](2 * config.embedding, config.hidden, config.layers, dtype=torch.float32)
            self.dense = nn.Linear(config.hidden, 10, dtype=torch.float32)
        engine.draw(self, streams(config.seed)[0])

    @engine.served  # the kernels compute what this says, in a model that has it unchanged
    def forward(self, num1, num2, noise=None) -> torch.Tensor:
        """Logits [count, digits, 10] of each digit of num1 + num2, both [count, digits].

        noise: what is added to the state after each column, for the next one alone; as `engine.draw_noise` shapes it.
        """
        first = self.embed_layer(as_digits(num1, self.dense.weight.device))
        second = self.embed_layer(as_digits(num2, self.dense.weight.device))
        columns = torch.cat((first, second), dim=2).transpose(0, 1)  # [digits, count, 2 embedding]
        with full_precision():
            states = self.rnn(columns)[0] if noise is None else noisy_states(self.rnn, columns, noise)
        return self.dense(states).transpose(0, 1)  # of [digits, count, hidden]: [count, digits, 10]

    def predict(self, num1, num2) -> np.ndarray:
        """The digits that the model says: int64 [count, digits]."""
        return predict(self, num1, num2)

    def add(self, a: int | str, b: int | str) -> int:
        """What the model says a + b is, right or wrong: an int, for ints or decimal strings of any length.

        One column follows the longer number, for the final carry. Raises ValueError for a number it cannot read.
        """
        return inputs.to_int(self.predict(*inputs.to_columns([(a, b)]))[0])

    def save(self, path) -> None:
        """Write weights and settings as safetensors, whole or not at all. Raises OSError; ValueError for NaN."""
        write_weights(path, self.state_dict(), dataclasses.asdict(self.config))

    @classmethod
    def load(cls, path) -> "Adder":
        """Read what `save` wrote. Raises ValueError for another file."""
        config, tensors, _ = read_weights(path, Config)
        model = cls(config)
        model.load_state_dict(tensors)
        return model


# Evaluation

@torch.no_grad()
def predict(model: nn.Module, num1, num2) -> np.ndarray:
    """The digits that a model says, the lowest of equals: int64 [count, digits].

    model: any module whose forward(num1, num2) gives logits [count, digits, 10].
    """
    if engine.supports(model):
        return engine.predict(model, num1, num2)
    device = device_of(model)
    with evaluating(model):
        logits = model(as_digits(num1, device), as_digits(num2, device))
    return logits.argmax(2).cpu().numpy()


def evaluate(model, num1, num2, total) -> tuple[float, float]:
    """How often a model is right: (share of sums with every digit right, share of digits right)."""
    said = predict(model, num1, num2)
    right = said == inputs.shaped(total, said.shape, "total")
    return float(right.all(axis=1).mean()), float(right.mean())


# Training

DIVERGED = 1e6  # nats a digit: a loss that is not below it ends a run
DATA_VERSION = 1  # of `sample`, `streams` and the first weights: other random numbers are other runs


@dataclasses.dataclass(repr=False)
class Run:
    """What a training run left: its curves, how they were made, and the model. `seconds` is wall time."""

    config: Config
    loss: list = dataclasses.field(default_factory=list)            # of every batch, before its update
    batch_accuracy: list = dataclasses.field(default_factory=list)  # share of its sums wholly right, before its update
    eval_batch: list = dataclasses.field(default_factory=list)      # batches done at each evaluation
    accuracy: list = dataclasses.field(default_factory=list)        # share of test sums with every digit right
    digit_accuracy: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    diverged: bool = False
    device: str = "cpu"
    versions: dict = dataclasses.field(default_factory=dict)
    model: nn.Module | None = None

    @property
    def done(self):
        return self.diverged or len(self.loss) == self.config.batches

    __repr__, __str__ = one_line, as_table


def autograd(model, num1, num2, total, noise=None):
    """Torch's gradients, left in the parameters; returns (loss, share of sums wholly right)."""
    device = device_of(model)
    total = as_digits(total, device)
    with full_precision():
        noisy = () if noise is None else (torch.as_tensor(noise, device=device),)
        logits = model(as_digits(num1, device), as_digits(num2, device), *noisy)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), total.flatten())
        model.zero_grad()
        loss.backward()
    return loss.item(), (logits.argmax(2) == total).all(1).double().mean().item()


class Training:
    """A run in progress: its model, optimizer, random streams and curves are all that the next step depends on."""

    def __init__(self, config, device=None, model=None, data=None, optimizer=None):
        device = pick_device(device)
        check_room(config)
        _, rng, test_rng, self.noise_rng = streams(config.seed)
        self.model = (Adder(config) if model is None else model).to(device)
        ahead = device.type == "cuda" and data is None
        data = functools.partial(sample, chains=config.chains) if data is None else data
        self.draw = Draws(functools.partial(data, config.batch_size, config.digit_len), rng, ahead)
        adam = functools.partial(engine.Adam if engine.supports(self.model) else torch.optim.Adam, lr=config.lr)
        self.optimizer = (adam if optimizer is None else optimizer)(self.model.parameters())
        self.test_set = data(config.test_batch_size, config.digit_len, test_rng)
        self.run = Run(config, model=self.model, device=device_name(device),
                       versions={"numpy": np.__version__, "data": DATA_VERSION, **engine.versions(self.model)})

    def step(self):
        """One batch: draw it, loss and gradients, update, note."""
        run, config = self.run, self.run.config
        begin = time.perf_counter()
        batch = self.draw()
        gradients = engine.gradients if engine.supports(self.model) else autograd  # the same, to rounding
        noise = engine.draw_noise(self.noise_rng, self.model, *batch[0].shape, config.noise) if config.noise else None
        loss, accuracy = gradients(self.model, *batch, noise)
        run.loss.append(loss)
        run.batch_accuracy.append(accuracy)
        run.diverged = not loss < DIVERGED  # so that nan has, too
        if not run.diverged:
            self.optimizer.step()
            if len(run.loss) % config.eval_every == 0 or run.done:
                self.test()
        run.seconds += time.perf_counter() - begin

    def test(self):
        """Note how the model does on the test set."""
        run = self.run
        accuracy, digit_accuracy = evaluate(self.model, *self.test_set)
        run.eval_batch.append(len(run.loss))
        run.accuracy.append(accuracy)
        run.digit_accuracy.append(digit_accuracy)


def train(config: Config, *, device=None, model=None, data=None, optimizer=None, on_batch=None) -> Run:
    """Train an adder, or what you hand in, and return its Run, which is in no record; `sweep` keeps runs.

    model: any module whose forward(num1, num2) gives logits [count, digits, 10], both [count, digits].
    data(count, digit_len, rng) gives num1, num2, total. optimizer(parameters) gives anything with step().
    on_batch(run) is called after every batch; what it returns, if true, ends the run.
    """
    training = Training(config, device, model, data, optimizer)
    run = training.run
    with progress_bar(config.batches, f"{config.cell} {config.digit_len} digits") as bar:
        while not run.done:
            training.step()
            bar.set_postfix(loss=f"{run.loss[-1]:.4f}", accuracy=(run.accuracy or ["-"])[-1], refresh=False)
            bar.update()
            if on_batch is not None and on_batch(run):
                if run.eval_batch[-1:] != [len(run.loss)]:
                    training.test()
                break
    return run


def sweep(configs, executor=None, device=None) -> list[Run]:
    """The runs of `configs`, in order: read from their records where they are, else trained in parallel and kept.

    `executor` is any concurrent.futures.Executor whose workers see the folder of `store()`; by default one process of
    one thread for each core, or as many as ADDRNN_WORKERS says, on a GPU as many as its memory holds. Ctrl-C keeps what
    is done. A run whose record ships no weights comes without a model. Raises RuntimeError, a line for each failed run.
    """
    return workers.sweep(configs, Config, store(), Training, executor, device)


def store():
    """The records of runs: those of the user's own home, where new ones go, and the shipped ones beside them."""
    folder, *beside = (shelf / "records" / "runs" for shelf in files.shelves())
    return Store(folder, Run, Adder, {"engine": engine.VERSION, "data": DATA_VERSION}, beside)


def records() -> list[dict]:
    """A dict for each recorded run, its settings and curves side by side: pandas.DataFrame(addrnn.records())."""
    return store().rows(Config)


# The four experiments of the original: {value: [a Run for each seed]}, at 100 digits unless digit_len says else

def test1(digit_lens=(10, 100, 1000), seeds=range(5), **settings) -> dict[int, list[Run]]:
    """Digit length."""
    return experiment("digit_len", digit_lens, seeds, **settings)


def test2(layers=(1, 2, 3, 4), seeds=range(5), digit_len=100, **settings) -> dict[int, list[Run]]:
    """Layers."""
    return experiment("layers", layers, seeds, digit_len=digit_len, **settings)


def test3(cells=("RNN", "LSTM", "GRU"), seeds=range(5), digit_len=100, **settings) -> dict[str, list[Run]]:
    """Cell type."""
    return experiment("cell", cells, seeds, digit_len=digit_len, **settings)


def test4(lrs=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), seeds=range(5), digit_len=100, **settings) -> dict[float, list[Run]]:
    """Learning rate."""
    return experiment("lr", lrs, seeds, digit_len=digit_len, **settings)


def experiment(name, values, seeds, device=None, **settings):
    """{value: [a Run for each seed]} for each value of the setting `name`; `settings` are those of all runs."""
    values, seeds = inputs.as_list(values, name), inputs.as_list(seeds, "seeds")
    configs = [Config(**settings, **{name: value, "seed": seed}) for value in values for seed in seeds]
    runs = sweep(configs, device=device)
    return {value: runs[k * len(seeds) : (k + 1) * len(seeds)] for k, value in enumerate(values)}
