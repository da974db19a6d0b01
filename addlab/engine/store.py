"""Records of training runs: plain JSON and safetensors, written whole or not at all, never able to run code.

A store is a folder. A finished run is SETTING/seedN.json, SETTING being what differs from the default config, and
beside it its weights, seedN.safetensors, where they are kept. What is unfinished lies in .unfinished.
Every record and checkpoint carries a digest of itself, so that one that was cut, damaged or edited is not believed.
"""

import contextlib
import errno
import hashlib
import io
import json
import math
import os
import pickle
import secrets
import sys
import warnings
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import filelock
import platformdirs
import safetensors.torch
import torch
from safetensors import SafetensorError

from addlab.engine.reading import Refusal, shown

FORMAT = 2


@dataclass
class Run:
    """What a training run left: its curves, how they were made, and the model. `seconds` is wall time."""

    config: object
    loss: list = field(default_factory=list)            # of every batch, before its update
    batch_accuracy: list = field(default_factory=list)  # share of its sums with every digit right, before its update
    eval_batch: list = field(default_factory=list)      # batches done at each evaluation
    accuracy: list = field(default_factory=list)        # share of test sums with every digit right
    digit_accuracy: list = field(default_factory=list)
    seconds: float = 0.0
    diverged: bool = False
    device: str = "cpu"
    versions: dict = field(default_factory=dict)
    model: object = field(default=None, repr=False)

    @property
    def done(self):
        return self.diverged or len(self.loss) == self.config.batches

    def note_evaluation(self, accuracy, digit_accuracy):
        """Add an evaluation after the batches so far."""
        self.eval_batch.append(len(self.loss))
        self.accuracy.append(accuracy)
        self.digit_accuracy.append(digit_accuracy)


    def __str__(self):
        """The evaluations as a table, and how the run ended."""
        lines = ["batch      loss  sums right  digits right"]
        for batch, accuracy, digit_accuracy in zip(self.eval_batch, self.accuracy, self.digit_accuracy, strict=True):
            lines.append(f"{batch:5d}  {self.loss[batch - 1]:8.4f}  {accuracy:10.3f}  {digit_accuracy:12.4f}")
        if self.diverged:
            lines.append(f"diverged at batch {len(self.loss)}: the loss is {self.loss[-1]}")
        elif self.accuracy:
            lines.append(f"final accuracy {self.accuracy[-1]:.3f} on {self.config.test_batch_size} sums, "
                         f"{self.seconds:.1f} s")
        return "\n".join(lines)


# Files

def home():
    """The folder of records/ and figures/: what the variable ADDRNN_HOME names, else the checkout that this is part of.

    Installed elsewhere it is a folder of the user's, which is made, and said when it is made.
    """
    checkout = Path(__file__).resolve().parents[2]
    if named := os.environ.get("ADDRNN_HOME"):
        return Path(named).absolute()
    if (checkout / "pyproject.toml").exists():
        return checkout
    place = platformdirs.user_data_path("addrnn", appauthor=False)
    if not place.exists():
        with contextlib.suppress(OSError):  # whoever writes there says what is wrong
            place.mkdir(parents=True)
            print(f"addrnn: records and figures go to {place}; ADDRNN_HOME names another folder", file=sys.stderr)
    return place


@contextlib.contextmanager
def part_of(path):
    """A new file beside `path`, for what is to stand there; removed in the end unless it was moved."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "Is a link to itself", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EEXIST, "Is a folder" if path.is_dir() else "Is no regular file", str(path))
    if path.exists() and not (path.stat().st_mode & 0o222 and os.access(path, os.W_OK)):
        raise OSError(errno.EACCES, "Is read-only", str(path))
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
    finally:
        part.unlink(missing_ok=True)


def write_whole(path, data):
    """Write bytes so that `path` holds all of them or what it held before, also after a crash.

    Symlinks are followed. Raises OSError, also where there is a folder, a device, or a file that is read-only.
    """
    path = Path(os.path.realpath(path))
    with part_of(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        if path.exists():
            os.chmod(file.name, path.stat().st_mode)
        if os.name == "nt":
            file.close()  # Windows moves no open file
        os.replace(file.name, path)


def check_writable(path, what="output path (--save)"):
    """Raise ValueError, one line, unless `write_whole` could put a file there; leaves everything as it was."""
    with refused(what, path), part_of(Path(os.path.realpath(path))) as file:
        file.write(b"room?")
        file.flush()


@contextlib.contextmanager
def refused(what, path):
    """Turn an OSError into a ValueError of one line."""
    try:
        yield
    except OSError as problem:
        got = shown(str(path), 200)
        raise Refusal(f"{what}: got {got}, {problem.strerror}; allowed is what can be written") from None


@contextlib.contextmanager
def locked(folder, name):
    """Hold a lock between processes; it lies in .unfinished of a store's folder, where git does not look."""
    unfinished = Path(folder) / ".unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(unfinished / f"{name}.lock"):
        yield


def read_whole(path):
    """The bytes of a file; raises OSError or ValueError where there is none: a pipe or a device might never end."""
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError("it is no file")
    return Path(path).read_bytes()


def tensor_bytes(tensors):
    """Tensors by name as safetensors."""
    return safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})


def write_weights(path, tensors):
    """Write tensors by name as safetensors, whole or not at all. Raises OSError."""
    write_whole(path, tensor_bytes(tensors))


def read_weights(path):
    """The settings of an Adder (cell, layers, hidden, embedding) and its weights by name, from a file of `save`.

    Raises ValueError, one line, for anything else.
    """
    try:
        tensors = tensors_of(read_whole(path))
        return settings_of(tensors), tensors
    except OSError as error:
        problem = error.strerror
    except ValueError as error:
        problem = error
    raise Refusal(f"weights file (--load): got {shown(str(path), 200)}, {problem}; allowed is a file of --save")


def tensors_of(data):
    """Tensors by name from safetensors bytes; raises ValueError for anything else."""
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, KeyError, TypeError, RuntimeError, OverflowError):
        raise ValueError("it is no whole safetensors file") from None


def settings_of(tensors):
    """The settings that an Adder's weights tell by their shapes; raises ValueError for other tensors."""
    try:
        hidden, embedding = tensors["dense.weight"].shape[1], tensors["embed_layer.weight"].shape[1]
        gates = tensors["rnn.weight_hh_l0"].shape[0] // hidden
        cell = {1: "RNN", 3: "GRU", 4: "LSTM"}[gates]
    except (KeyError, IndexError, ZeroDivisionError):
        raise ValueError("its tensors are no adder's") from None
    layers = sum(name.startswith("rnn.weight_hh_l") for name in tensors)
    shapes = {"embed_layer.weight": (10, embedding), "dense.weight": (10, hidden), "dense.bias": (10,)}
    for k in range(layers):
        shapes |= {f"rnn.weight_ih_l{k}": (gates * hidden, hidden if k else 2 * embedding),
                   f"rnn.weight_hh_l{k}": (gates * hidden, hidden),
                   f"rnn.bias_ih_l{k}": (gates * hidden,), f"rnn.bias_hh_l{k}": (gates * hidden,)}
    if {name: tuple(t.shape) for name, t in tensors.items()} != shapes:
        raise ValueError("its tensors are no adder's")
    if not all(t.dtype == torch.float32 and t.isfinite().all() for t in tensors.values()):
        raise ValueError("its tensors are no finite float32")
    return {"cell": cell, "layers": layers, "hidden": hidden, "embedding": embedding}


# Records

CURVES = ("loss", "batch_accuracy", "eval_batch", "accuracy", "digit_accuracy")
FACTS = ("seconds", "diverged", "device", "versions")


def record_of(run):
    """A run as plain data, without its model. A number that is not finite stands as a string."""
    record = {"format": FORMAT, "config": asdict(run.config)} | {name: getattr(run, name) for name in FACTS + CURVES}
    return record | {"loss": [x if math.isfinite(x) else str(x) for x in run.loss]}


def run_of(record, config):
    """The run that `record_of` made this of; raises ValueError for the record of another config."""
    if record.get("format") != FORMAT or record["config"] != asdict(config):
        raise ValueError("it is of another format or config")
    run = Run(config, **{name: record[name] for name in FACTS + CURVES})
    run.loss = [float(x) for x in run.loss]
    return run


def digest(data):
    return hashlib.sha256(data).hexdigest()


def seal_of(record):
    """The digest of all of a record but its seal."""
    return digest(json.dumps({k: v for k, v in record.items() if k != "seal"}, sort_keys=True).encode())


def setting_of(config):
    """What differs from the default config, but for the seed: the name of a folder."""
    changes = [f"{f.name}={getattr(config, f.name)}" for f in fields(config)
               if f.name != "seed" and getattr(config, f.name) != f.default]
    return ",".join(changes) or "default"


class Store:
    """A folder of runs. `make` builds the model of a config, for weights to be put into."""

    def __init__(self, folder, make):
        self.folder, self.make = Path(folder).absolute(), make
        self.unfinished = self.folder / ".unfinished"

    def name(self, config):
        """SETTING/seedN: where the files of a config's run lie, without their endings."""
        return f"{setting_of(config)}/seed{config.seed}"

    def path(self, config, ending="json"):
        """Where a file of a config's run lies: json, safetensors, or, of an unfinished run, checkpoint or lock."""
        if ending in ("json", "safetensors"):
            return self.folder / f"{self.name(config)}.{ending}"
        return self.unfinished / f"{self.name(config).replace('/', ',')}.{ending}"

    def make_ready(self, configs):
        """Make the folders of runs to come; raises ValueError, one line, before any work where one refuses files."""
        with refused("run store", self.folder):
            self.unfinished.mkdir(parents=True, exist_ok=True)
            for config in configs:
                self.path(config).parent.mkdir(exist_ok=True)
        for path in {self.unfinished / "room", *(self.path(config) for config in configs)}:
            check_writable(path, "run store")

    def read(self, config):
        """The finished run of a config, or None. A record not to be believed is named in a warning.

        The run has a model if its weights are kept.
        """
        path = self.path(config)
        try:
            record = json.loads(read_whole(path))
            if not isinstance(record, dict) or record.get("seal") != seal_of(record):
                raise ValueError("it was damaged or edited: its seal is another's")
            run = run_of(record, config)
            if record["keeps_weights"]:
                data = read_whole(path.with_suffix(".safetensors"))
                if digest(data) != record["weights"]:
                    raise ValueError("its weights are not those it names")
                run.model = self.make(config)
                run.model.load_state_dict(tensors_of(data))
            return run
        except (FileNotFoundError, NotADirectoryError) as error:
            if Path(error.filename) == path:
                return None
            problem = "its weights are missing"
        except OSError as error:
            problem = error.strerror
        except (ValueError, KeyError, RecursionError, RuntimeError) as error:
            problem = str(error).splitlines()[0][:100]
        warnings.warn(f"record {self.name(config)} is not believed, {problem}: this run is trained again", stacklevel=2)
        return None

    def weights_digest(self, config):
        """The digest of a recorded run's weights, which its record names whether they are kept or not."""
        return json.loads(read_whole(self.path(config)))["weights"]

    def write(self, run, keep_weights=True):
        """Add a finished run: weights first, so that a record never names what is not there."""
        path, weights = self.path(run.config), tensor_bytes(run.model.state_dict())
        path.parent.mkdir(parents=True, exist_ok=True)
        record = record_of(run) | {"weights": digest(weights), "keeps_weights": keep_weights}
        record["seal"] = seal_of(record)
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
        if keep_weights:
            write_whole(path.with_suffix(".safetensors"), weights)
        else:
            path.with_suffix(".safetensors").unlink(missing_ok=True)
        write_whole(path, ("{" + ",\n ".join(lines) + "}\n").encode())

    def tidy(self, config):
        """Remove what the making of a finished run left behind; for whoever holds its lock."""
        left = [self.path(config, "checkpoint"), self.path(config, "lock"),
                *self.path(config).parent.glob(f".{self.path(config).stem}.*.part"),
                *self.unfinished.glob(f".{self.path(config, 'checkpoint').name[:100]}.*.part")]
        for path in left:
            with contextlib.suppress(OSError):  # Windows keeps a lock's file while it is held
                path.unlink()

    def lock(self, config):
        """A lock between processes on one config's run; it ends with the process that holds it."""
        return filelock.FileLock(self.path(config, "lock"))

    def save_checkpoint(self, training):
        """Write all that the next step of a run depends on, behind its digest."""
        state = {"record": record_of(training.run), "rng": training.rng.bit_generator.state,
                 "model": training.model.state_dict(), "optimizer": training.optimizer.state_dict()}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        write_whole(self.path(training.run.config, "checkpoint"), hashlib.sha256(data).digest() + data)

    def load_checkpoint(self, training):
        """Bring a training to where its last checkpoint stood, if there is one that is to be believed."""
        path, run = self.path(training.run.config, "checkpoint"), training.run
        try:
            data = read_whole(path)
            if hashlib.sha256(data[32:]).digest() != data[:32]:
                raise ValueError("it was damaged")
            state = torch.load(io.BytesIO(data[32:]), weights_only=True)
            saved = run_of(state["record"], run.config)
            if (saved.device, saved.versions) != (run.device, run.versions):  # bits of two kinds must not meet
                raise ValueError("it was made on another device or by other versions")
        except FileNotFoundError:
            return
        except (OSError, ValueError, pickle.UnpicklingError) as error:
            problem = getattr(error, "strerror", None) or str(error).splitlines()[0][:100]
            warnings.warn(f"checkpoint {path.name} is not believed, {problem}: this run starts anew", stacklevel=2)
            return
        saved.model, training.run = run.model, saved
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        training.rng.bit_generator.state = state["rng"]
