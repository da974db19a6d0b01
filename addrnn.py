"""Recurrent networks that add decimal numbers: data, model, training, evaluation, sweeps.

Numbers are digit arrays [count, digits], least significant digit first, so that a carry travels with time.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import math
import os
import platform
import sys
import threading
import time
import warnings
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from flint import fmpz  # decimal strings and ints of any length; str(int) stops at 4300 digits
from torch import nn
from tqdm.auto import tqdm

from addlab.engine import bptt
from addlab.engine import store as runs
from addlab.engine import workers
from addlab.engine.store import Run

CELLS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
RANDOM = threading.Lock()  # torch's random state, which is one for all threads, while weights are drawn
CHUNK = 256  # positions a pass without gradients looks at in one go: memory stays bounded at any length


# Settings

def _setting(default, option, kind, allowed, holds):
    return dataclasses.field(default=default, metadata=dict(option=option, kind=kind, allowed=allowed, holds=holds))


def _count(default, option, least=1):
    return _setting(default, option, Integral, f"a whole number, {least} or more", lambda n: n >= least)


class Refusal(ValueError):
    """A bad value from the user. A notebook shows its one line, not the calls that led to it."""

    def _render_traceback_(self):
        return [f"ValueError: {self}"]


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of one training run; a bad value raises ValueError in one line.

    `lr` is Adam's. `chains` is the share of training pairs in which a run of columns sums to 9, so that a carry
    (or none) has to cross it; 0 is the original system.
    """

    digit_len: int = _count(10, "--digit_len")
    cell: str = _setting("RNN", "--model", str, " or ".join(CELLS), CELLS.__contains__)
    layers: int = _count(3, "--layer")
    lr: float = _setting(1e-3, "--lr", Real, "a finite number above 0", lambda x: 0 < x < math.inf)
    batches: int = _count(1000, "--epoch")
    batch_size: int = _count(200, "--batch_size")
    test_batch_size: int = _count(200, "--test_batch_size")
    eval_every: int = _count(50, "--eval_every")
    seed: int = _count(0, "--seed", least=0)
    hidden: int = _count(64, "--hidden")
    embedding: int = _count(32, "--embedding")
    chains: float = _setting(0.0, "--chains", Real, "a number from 0 to 1", lambda x: 0 <= x <= 1)

    def __post_init__(self):
        for f in dataclasses.fields(self):
            value, kind, allowed = getattr(self, f.name), f.metadata["kind"], f.metadata["allowed"]
            if isinstance(value, bool) or not isinstance(value, kind) or not f.metadata["holds"](value):
                raise Refusal(f"{f.name} ({f.metadata['option']}): got {value!r}, allowed is {allowed}")
            object.__setattr__(self, f.name, f.type(value))  # NumPy scalars become plain, so that JSON takes them


# Data

def carry_add(num1, num2):
    """Add digit arrays [..., digits], least significant first; the last column must not overflow.

    One pass without a loop: a column carries if the last column that is not a 9, up to and with it, is above 9.
    """
    columns = num1 + num2
    places = np.arange(columns.shape[-1], dtype=np.int32)
    decider = np.maximum.accumulate(np.where(columns != 9, places, 0), axis=-1)
    carries = np.take_along_axis(columns > 9, decider, axis=-1)
    columns[..., 1:] += carries[..., :-1]
    columns[columns > 9] -= 10
    return columns


def sample(count, digit_len, rng, chains=0.0):
    """Draw `count` pairs of numbers below 10**digit_len and their sums; `rng` is a NumPy Generator.

    In a share `chains` of the pairs, the columns between two random places are made to sum to 9.
    Returns num1, num2, total: int64 [count, digit_len + 1], least significant digit first.
    """
    num1, num2 = np.zeros((2, count, digit_len + 1), dtype=np.int8)
    num1[:, :-1] = rng.integers(0, 10, (count, digit_len), dtype=np.int8)
    num2[:, :-1] = rng.integers(0, 10, (count, digit_len), dtype=np.int8)
    if chains:
        start, end = np.sort(rng.integers(0, digit_len + 1, (2, count, 1)), axis=0)
        places = np.arange(digit_len + 1)
        chained = (places >= start) & (places < end) & (rng.random((count, 1)) < chains)
        num2 = np.where(chained, 9 - num1, num2)
    return num1.astype(np.int64), num2.astype(np.int64), carry_add(num1, num2).astype(np.int64)


def to_digits(number):
    """The digits of a whole number, an int or a decimal string of any length, least significant first: int64.

    Raises ValueError for a negative or non-decimal number.
    """
    text = fmpz(int(number)).str() if isinstance(number, Integral) and not isinstance(number, bool) else number
    if not (isinstance(text, str) and text.isascii() and text.isdigit()):
        shown = repr(number) if len(repr(number)) < 60 else repr(number)[:57] + "..."
        raise ValueError(f"number to add (--add): got {shown}, allowed is a whole decimal number, 0 or more")
    text = text.lstrip("0") or "0"
    return np.frombuffer(text.encode(), dtype=np.uint8)[::-1].astype(np.int64) - ord("0")


def to_text(digits):
    """The decimal string of digits [digits], least significant first, without leading zeros."""
    return (np.asarray(digits)[::-1] + ord("0")).astype(np.uint8).tobytes().decode().lstrip("0") or "0"


# Model

def streams(seed):
    """The three random streams of a run: weights, training batches, test set."""
    return [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(3)]


class Adder(nn.Module):
    """A recurrent network that reads two numbers column by column and scores each digit of their sum.

    One embedding serves both numbers. Weights are drawn from the config's seed.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        with RANDOM, torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(streams(config.seed)[0].integers(2**63)))
            self.embed_layer = nn.Embedding(10, config.embedding)
            self.rnn = CELLS[config.cell](2 * config.embedding, config.hidden, config.layers)
            self.dense = nn.Linear(config.hidden, 10)

    def forward(self, num1, num2, state=None):
        """Logits [count, digits, 10] of each digit of num1 + num2, both [count, digits].

        Given the state before the first column (as torch's cells take it), returns (logits, state after the last).
        """
        num1, num2 = (torch.as_tensor(n, device=self.dense.weight.device) for n in (num1, num2))
        pairs = torch.cat((self.embed_layer(num1), self.embed_layer(num2)), dim=2)  # [count, digits, 2 embedding]
        hidden, after = self.rnn(pairs.transpose(0, 1), state)                      # [digits, count, hidden]
        logits = self.dense(hidden).transpose(0, 1)                                 # [count, digits, 10]
        return logits if state is None else (logits, after)

    @torch.no_grad()
    def predict(self, num1, num2):
        """The digits [count, digits] that the model says, as an int64 array; memory does not grow with length."""
        num1, num2 = np.asarray(num1), np.asarray(num2)
        if self.dense.weight.device.type == "cpu":
            return bptt.BPTT(self).predict(torch.as_tensor(num1), torch.as_tensor(num2)).numpy()
        said, state = np.empty_like(num1), self.start(len(num1))
        for at in range(0, num1.shape[1], CHUNK):
            here = slice(at, at + CHUNK)
            logits, state = self(num1[:, here], num2[:, here], state)
            said[:, here] = logits.argmax(2).cpu()
        return said

    def start(self, count):
        """The zero state before the first column of `count` pairs, in the form torch's cell takes."""
        zero = self.dense.weight.new_zeros(self.config.layers, count, self.config.hidden)
        return (zero, zero) if self.config.cell == "LSTM" else zero

    def add(self, a, b):
        """What the model says a + b is, right or wrong: an int, for ints or decimal strings of any length.

        One position follows the longer number, for the final carry. Raises ValueError for a number it cannot read.
        """
        return int(fmpz(self.add_text(a, b)))

    def add_text(self, a, b):
        """`add`, as a decimal string."""
        a, b = to_digits(a), to_digits(b)
        pair = np.zeros((2, 1, max(len(a), len(b)) + 1), dtype=np.int64)
        pair[0, 0, : len(a)], pair[1, 0, : len(b)] = a, b
        return to_text(self.predict(*pair)[0])

    def save(self, path):
        """Write the weights as safetensors, whole or not at all."""
        runs.write_whole(path, runs.tensor_bytes(self.state_dict()))

    @classmethod
    def load(cls, path):
        """Read the weights that `save` wrote; their shapes tell cell, layers, hidden and embedding.

        Raises ValueError, one line, for a file that is missing, cut short, no safetensors, or of other shapes.
        """
        def refusal(problem):
            return ValueError(f"weights file (--load): got {str(path)!r}, {problem}; allowed is a file of --save")

        try:
            tensors = runs.tensors_of(runs.read_whole(path))
        except OSError as problem:
            raise refusal(problem.strerror) from None
        except ValueError as problem:
            raise refusal(problem) from None
        try:
            hidden, embedding = tensors["dense.weight"].shape[1], tensors["embed_layer.weight"].shape[1]
            cell = {1: "RNN", 3: "GRU", 4: "LSTM"}[tensors["rnn.weight_hh_l0"].shape[0] // hidden]
            layers = sum(name.startswith("rnn.weight_hh_l") for name in tensors)
            with torch.device("meta"):  # claimed sizes are compared before memory is taken for them
                shapes = {name: t.shape for name, t in cls(Config(cell=cell, layers=layers, hidden=hidden,
                                                                  embedding=embedding)).state_dict().items()}
        except (KeyError, IndexError, ZeroDivisionError, ValueError, RuntimeError, TypeError):
            raise refusal("whose tensors are no adder's") from None
        whole = all(t.dtype == torch.float32 and torch.isfinite(t).all() for t in tensors.values())
        if not whole or {name: t.shape for name, t in tensors.items()} != shapes:
            raise refusal("whose tensors are no adder's")
        model = cls(Config(cell=cell, layers=layers, hidden=hidden, embedding=embedding))
        model.load_state_dict(tensors)
        return model


def evaluate(model, num1, num2, total):
    """How often the model is right: (share of sums with every digit right, share of digits right)."""
    right = model.predict(num1, num2) == np.asarray(total)
    return float(right.all(axis=1).mean()), float(right.mean())


# Training

class Training:
    """A run in progress: one `step()` is one batch. `state` and `restore` carry it over a stop, bit for bit.

    `gradients` is "bptt" (ours, CPU) or "autograd" (torch.nn, CPU or CUDA); by default ours wherever it runs.
    """

    def __init__(self, config, device=None, gradients=None):
        device = pick_device(device)
        if gradients is None:
            gradients = "bptt" if device.type == "cpu" else "autograd"
        if gradients not in ("bptt", "autograd") or (gradients == "bptt" and device.type != "cpu"):
            raise ValueError(f"gradients (--gradients): got {gradients!r} on {device}, allowed is autograd"
                             " anywhere or bptt on cpu")
        self.model = Adder(config).to(device)
        self.device = device
        self.compute = bptt.BPTT(self.model) if gradients == "bptt" else self._autograd
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True)
        _, self.rng, test_rng = streams(config.seed)
        self.test_set = sample(config.test_batch_size, config.digit_len, test_rng)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self.run = Run(config, device=name, gradients=gradients, versions=versions(), model=self.model)

    def step(self):
        """Train on one fresh batch; evaluate where the config says so. A loss that is not finite ends the run."""
        run, config, begin = self.run, self.run.config, time.perf_counter()
        batch = sample(config.batch_size, config.digit_len, self.rng, config.chains)
        loss = float(self.compute(*(torch.as_tensor(digits, device=self.device) for digits in batch)))
        run.loss.append(loss)
        run.diverged = not math.isfinite(loss)
        if not run.diverged:
            self.optimizer.step()
            if len(run.loss) % config.eval_every == 0 or len(run.loss) == config.batches:
                run.eval_batch.append(len(run.loss))
                for curve, value in zip((run.accuracy, run.digit_accuracy), evaluate(self.model, *self.test_set),
                                        strict=True):
                    curve.append(value)
        run.seconds += time.perf_counter() - begin

    def _autograd(self, num1, num2, total):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.model(num1, num2).flatten(0, 1), total.flatten())
        loss.backward()
        return loss.detach()

    def state(self):
        """All that the next step depends on, and the curves: (tensors by name, plain data)."""
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        for i, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{slot}": t for slot, t in slots.items()}
        return tensors, dict(record=runs.record_of(self.run), rng=self.rng.bit_generator.state)

    def restore(self, tensors, facts):
        """Go on from what `state` gave. Raises ValueError or KeyError where it does not fit this run."""
        run = runs.run_of(facts["record"], self.run.config, self.model)
        for name in ("device", "gradients", "versions"):  # bits of two kinds must not meet in one run
            if getattr(run, name) != getattr(self.run, name):
                raise ValueError(f"its {name} is not what is here")
        wanted, slots = {f"model.{name}": t for name, t in self.model.state_dict().items()}, {}
        for i, p in enumerate(self.model.parameters()):
            wanted |= {f"adam.{i}.step": torch.tensor(0.0), f"adam.{i}.exp_avg": p, f"adam.{i}.exp_avg_sq": p}
        runs.require_like(tensors, wanted)
        if not all(torch.isfinite(t).all() for t in tensors.values()):
            raise ValueError("its tensors are not finite")
        if any(t != len(run.loss) - run.diverged for name, t in tensors.items() if name.endswith(".step")):
            raise ValueError("its optimizer has made another number of steps")
        for name, tensor in tensors.items():
            if name.startswith("adam."):
                _, i, slot = name.split(".")
                slots.setdefault(int(i), {})[slot] = tensor
        self.run = run
        self.model.load_state_dict({name[6:]: t for name, t in tensors.items() if name.startswith("model.")})
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": slots})
        self.rng.bit_generator.state = facts["rng"]


def pick_device(device):
    """The torch device of a name, the CPU for None; raises ValueError for one that is not here."""
    allowed = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    with contextlib.suppress(RuntimeError, TypeError):
        if (picked := torch.device("cpu" if device is None else device)).type in allowed:
            return picked
    raise ValueError(f"device (--device): got {device!r}, allowed is {' or '.join(allowed)} on this machine")


def versions():
    """What the bits of a run depend on, besides its config."""
    return dict(python=platform.python_version(), torch=torch.__version__, numpy=np.__version__,
                machine=platform.machine(), cpu=torch.backends.cpu.get_cpu_capability())


@contextlib.contextmanager
def one_thread():
    """One torch thread: a run's bits must not depend on how many cores happen to be free."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def progress_bar(total, what):
    """A bar over batches with ETA, in a terminal or a notebook; nothing elsewhere."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    seen = sys.stderr.isatty() or type(shell).__name__ == "ZMQInteractiveShell"
    return tqdm(total=total, desc=what, unit="batch", disable=not seen, leave=False, dynamic_ncols=True)


def train(config, device=None, gradients=None):
    """Train an adder and return its Run. Ctrl-C raises KeyboardInterrupt; use `sweep` to keep what is done."""
    return finish(Training(config, device, gradients))


def finish(training):
    """Train to the end; returns the Run."""
    run, config = training.run, training.run.config
    with one_thread(), progress_bar(config.batches, f"{config.cell} {config.digit_len} digits") as bar:
        bar.update(len(run.loss))
        while not run.done:
            training.step()
            bar.update()
            bar.set_postfix(loss=f"{run.loss[-1]:.4f}", accuracy=run.accuracy[-1] if run.accuracy else "-",
                            refresh=False)
    return run


# Many runs

CHECKPOINT_SECONDS = float(os.environ.get("ADDRNN_CHECKPOINT_SECONDS", 60))


def home():
    """The folder of runs/ and figures/: the project's own, or what the variable ADDRNN_HOME names."""
    return Path(os.environ.get("ADDRNN_HOME") or Path(__file__).resolve().parent)


def train_stored(config, folder, shorter=()):
    """Train one run into a store, from its checkpoint if there is one; waits if another process is at it.

    `shorter` are configs of fewer batches and no other difference, which get their records on the way.
    Returns what is to be said about the checkpoint: a list of lines.
    """
    store = runs.Store(folder, Adder)
    with warnings.catch_warnings(action="ignore"), store.lock(config), one_thread():
        if store.read(config):
            store.tidy(config)
            remarks = []
        else:
            remarks = train_from_checkpoint(config, store, shorter)
    missed = [c for c in shorter if store.read(config) and not store.read(c)]  # the checkpoint was past them
    return remarks + [line for c in missed for line in train_stored(c, folder)]


def train_from_checkpoint(config, store, shorter):
    """The work of `train_stored`, under its lock."""
    training = Training(config)
    with warnings.catch_warnings(record=True, action="always") as remarks:
        if not store.load_checkpoint(training):
            training = Training(config)
    run, noted = training.run, time.monotonic()
    saved = noted
    while not run.done:
        training.step()
        done, now = len(run.loss), time.monotonic()
        for passed in shorter:
            if passed.batches == done or (run.diverged and passed.batches > done):
                store.write(dataclasses.replace(run, config=passed))
        if now - noted > 0.5:
            store.note_progress(config, done)
            noted = now
        if now - saved > CHECKPOINT_SECONDS or workers.asked_to_stop():
            with contextlib.suppress(OSError):  # a full disk may have room again when the run is done
                store.save_checkpoint(training)
            saved = now
        if workers.asked_to_stop() and not run.done:
            break
    else:
        store.write(run)
    return [str(remark.message) for remark in remarks]


def sweep(configs, executor=None, folder=None):
    """The runs of `configs`, in order: read from the store where they are, else trained in parallel.

    `executor` is any concurrent.futures.Executor whose workers see the store's folder; by default one process of
    one thread for each core. `folder` is the store, by default runs/ of `home()`. Ctrl-C keeps what is done. Configs
    that differ in `batches` alone are trained once, each recorded where it ends.
    Raises RuntimeError, one line for each run that failed, after the others are done.
    """
    configs = list(configs)
    for config in configs:
        if not isinstance(config, Config):
            raise ValueError(f"configs: got {config!r}, allowed is a list of addrnn.Config")
    store = runs.Store(Path(folder or home() / "records" / "runs").absolute(), Adder)
    found = {config: store.read(config) for config in dict.fromkeys(configs)}
    for config in (c for c in found if found[c]):
        store.tidy(config)  # a kill may have come between a record and this
    if missing := [c for c in found if found[c] is None]:
        store.make_ready()
        train_all(on_the_way(missing), store, executor or workers.Workers(), own=executor is None)
        found |= {config: store.read(config) for config in missing}
        if lost := [store.name(config) for config in missing if not found[config]]:
            raise RuntimeError("\n".join(f"{name}: trained, but no record of it came to {store.folder}: do its workers"
                                         " see this folder?" for name in lost))
    return [found[config] for config in configs]


def work(config):
    """About how many multiplications a run takes: the longest start first."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[config.cell]
    return config.batches * config.batch_size * config.digit_len * config.layers * gates * config.hidden**2


def on_the_way(configs):
    """{config to train: those with fewer batches and no other difference}, the most work first."""
    found, longest = {}, {}
    for config in sorted(configs, key=work, reverse=True):
        kind = dataclasses.replace(config, batches=1)
        if kind in longest and config.batches % config.eval_every == 0:  # else it has an evaluation of its own
            found[longest[kind]].append(config)
        else:
            found[config] = []
            longest.setdefault(kind, config)
    return found


def train_all(configs, store, executor, own):
    """Train configs, each with the shorter ones on its way: {config: [config]}; raises as `sweep` does."""
    futures = {executor.submit(train_stored, c, store.folder, shorter): c for c, shorter in configs.items()}
    failures, waiting = [], set(futures)
    try:
        with progress_bar(sum(c.batches for c in configs), f"{len(configs)} runs") as bar:
            while waiting:
                _, waiting = concurrent.futures.wait(waiting, timeout=0.5)
                bar.n = sum(store.progress(c) if f in waiting else c.batches for f, c in futures.items())
                bar.set_postfix(runs=f"{len(futures) - len(waiting)}/{len(futures)}", refresh=False)
                bar.refresh()
        failures = [f"{store.name(c)}: {problem}" for f, longest in futures.items() if (problem := failure(f))
                    for c in (longest, *configs[longest]) if c is longest or not store.read(c)]
        for remark in (remark for f in futures if not failure(f) for remark in f.result() or ()):
            warnings.warn(remark, stacklevel=3)
    finally:
        for future in waiting:
            future.cancel()
        if own:
            executor.shutdown(cancel_futures=bool(waiting))
    if failures:
        raise RuntimeError("\n".join(failures))


def listed(values, name):
    """A notebook's parameter that is a list; papermill's option -p hands it over as text, '[10, 50]'."""
    with contextlib.suppress(ValueError):
        values = json.loads(values) if isinstance(values, str) else values
    if not isinstance(values, list | tuple) or not values:
        raise Refusal(f"{name}: got {values!r}, allowed is a list of values, like [0, 1]")
    return list(values)


def failure(future):
    """Why a finished future has no result, in one line; None where it has one."""
    if future.cancelled():
        return "it was cancelled (its scheduler is gone?)"
    if error := future.exception():
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


# The four experiments of the original, by its names and by what they are about

SEEDS = (0, 1, 2, 3, 4)


def test1(digit_lens=(10, 100, 1000), seeds=SEEDS, **settings):
    """Digit length: {length: [a Run for each seed]}."""
    return experiment("digit_len", digit_lens, seeds, settings)


def test2(layers=(1, 2, 3, 4), seeds=SEEDS, **settings):
    """Layers: {layers: [a Run for each seed]}, at 100 digits unless `digit_len` says else."""
    return experiment("layers", layers, seeds, {"digit_len": 100} | settings)


def test3(cells=("RNN", "LSTM", "GRU"), seeds=SEEDS, **settings):
    """Cell type: {cell: [a Run for each seed]}, at 100 digits unless `digit_len` says else."""
    return experiment("cell", cells, seeds, {"digit_len": 100} | settings)


def test4(lrs=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), seeds=SEEDS, **settings):
    """Learning rate: {rate: [a Run for each seed]}, at 100 digits unless `digit_len` says else."""
    return experiment("lr", lrs, seeds, {"digit_len": 100} | settings)


def experiment(name, values, seeds, settings):
    """{value: [a Run for each seed]} for each value of the setting `name`, evaluated every 10 batches by default."""
    settings = {"eval_every": 10} | settings
    values, seeds = (given if given == [] else listed(given, of) for given, of in ((values, name), (seeds, "seeds")))
    configs = [Config(**settings | {name: value, "seed": seed}) for value in values for seed in seeds]
    found = iter(sweep(configs))
    return {value: [next(found) for _ in seeds] for value in values}


digit_length, layer_count, cell_type, learning_rate = test1, test2, test3, test4


if __name__ == "__main__":
    import command  # which imports this module by its name

    command.main()
