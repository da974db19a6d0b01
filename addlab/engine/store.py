"""Records of training runs: plain JSON and safetensors, written whole or not at all, never able to run code.

A store is a folder. A finished run is NAME.json (curves, facts) beside NAME.safetensors (weights), NAME made from
the config. What is unfinished (checkpoint, lock, progress) lies in its folder .unfinished.
"""

import contextlib
import hashlib
import json
import math
import os
import stat
import tempfile
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

import filelock
import safetensors.torch
from safetensors import SafetensorError

FORMAT = 1
LARGEST = 2**30  # bytes: no file of ours comes near it, and none above it is read


@dataclass
class Run:
    """What a training run left: its curves, how they were made, and the model. `seconds` is wall time."""

    config: object
    loss: list = field(default_factory=list)            # of every batch, before its update
    eval_batch: list = field(default_factory=list)      # batches done at each evaluation
    accuracy: list = field(default_factory=list)        # share of test sums with every digit right
    digit_accuracy: list = field(default_factory=list)
    seconds: float = 0.0
    diverged: bool = False
    device: str = "cpu"
    gradients: str = "bptt"
    versions: dict = field(default_factory=dict)
    model: object = field(default=None, repr=False)

    @property
    def done(self):
        return self.diverged or len(self.loss) == self.config.batches


# Files

def write_whole(path, data):
    """Write bytes so that `path` holds all of them or what it held before, also after a crash."""
    part = Path(f"{path}.part")  # one name, so that what a kill leaves is overwritten by the next try
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(folder, name):
    """Hold a lock between processes; it lies in .unfinished of a store's folder, where git does not look."""
    unfinished = Path(folder) / ".unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(unfinished / f"{name}.lock"):
        yield


def read_whole(path):
    """The bytes of a file of ours; raises ValueError where it is no file, or larger than any of ours can be."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or a device might never end
        raise ValueError("not a file")
    with open(path, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError("too large")
    return data


def tensor_bytes(tensors, facts=None):
    """Tensors by name, and plain data `facts`, as safetensors."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    return safetensors.torch.save(tensors, {"facts": json.dumps(facts)} if facts is not None else None)


def sealed(data):
    """Bytes behind their own digest, so that a flipped bit is noticed where no record names the digest."""
    return hashlib.sha256(data).digest() + data


def unsealed(data):
    """What `sealed` was given; raises ValueError where it is not whole."""
    if sealed(data[32:]) != data:
        raise ValueError("its bytes are not those that were written")
    return data[32:]


def tensors_of(data):
    """Tensors by name from safetensors bytes; raises ValueError for anything else."""
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, KeyError, TypeError, RuntimeError, OverflowError) as problem:
        raise ValueError(f"not a whole safetensors file ({str(problem).splitlines()[0][:80]})") from None
    header_of(data)  # safetensors takes the last of two tensors of one name
    return tensors


def header_of(data):
    return parse(data[8 : 8 + int.from_bytes(data[:8], "little")])


def require_like(tensors, wanted):
    """Raise ValueError unless two dicts of tensors agree in names, shapes and types."""
    kinds = [{name: (t.shape, t.dtype) for name, t in some.items()} for some in (tensors, wanted)]
    if kinds[0] != kinds[1]:
        raise ValueError("its tensors are of other names, shapes or types")


def facts_of(data):
    """The plain data that `tensor_bytes` was given; for bytes that `tensors_of` accepts."""
    return parse(header_of(data)["__metadata__"]["facts"])


def parse(text):
    """JSON without duplicate keys and without NaN; raises ValueError for the rest."""
    def once(pairs):
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a key stands twice")
        return found

    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deep") from None


# Records

CURVES = ("loss", "eval_batch", "accuracy", "digit_accuracy")
FACTS = ("seconds", "diverged", "device", "gradients", "versions")


def record_of(run):
    """A run as plain data, without its model. A loss that is not finite stands as a string."""
    record = {"format": FORMAT, "config": asdict(run.config)}
    record |= {name: getattr(run, name) for name in FACTS + CURVES}
    return record | {"loss": [x if math.isfinite(x) else str(x) for x in run.loss]}


def run_of(record, config, model=None):
    """The run that a record tells of; raises ValueError, naming the part, for one that this config cannot leave."""
    def require(holds, part):
        if not holds:
            raise ValueError(f"its {part} cannot be right")

    require(isinstance(record, dict), "form")
    require(type(record.get("format")) is int and record["format"] == FORMAT, "format")
    require({"format", "config", *FACTS, *CURVES} <= record.keys(), "set of keys")
    require(json.dumps(record["config"], sort_keys=True) == json.dumps(asdict(config), sort_keys=True), "config")
    require(all(isinstance(record[name], list) for name in CURVES), "set of curves")
    require(isinstance(record["diverged"], bool), "diverged")
    require(type(record["seconds"]) is float and 0 <= record["seconds"] < math.inf, "seconds")
    require(isinstance(record["device"], str), "device")
    require(record["gradients"] in ("bptt", "autograd"), "gradients")
    require(isinstance(record["versions"], dict), "versions")
    numbers, last = record["loss"][:-1], record["loss"][-1:]
    require(all(type(x) is float and 0 <= x < math.inf for x in numbers), "loss")
    require(all(x in ("nan", "inf") if record["diverged"] else type(x) is float and 0 <= x < math.inf for x in last),
            "loss")
    done = len(record["loss"])
    require(done <= config.batches and (done or not record["diverged"]), "number of batches")
    due = [n for n in range(1, done + 1 - record["diverged"]) if n % config.eval_every == 0 or n == config.batches]
    require(record["eval_batch"] == due and all(type(n) is int for n in record["eval_batch"]), "eval_batch")
    for name in ("accuracy", "digit_accuracy"):
        require(len(record[name]) == len(due), name)
        require(all(type(x) is float and 0 <= x <= 1 for x in record[name]), name)
    known = {name: record[name] for name in FACTS + CURVES}
    return Run(config=config, model=model, **known | {"loss": [float(x) for x in record["loss"]]})


class Store:
    """A folder of runs. `make` builds the model of a config, for weights to be put into."""

    def __init__(self, folder, make):
        self.folder, self.make = Path(folder), make
        self.unfinished = self.folder / ".unfinished"

    def make_ready(self):
        """Make the folder; raises OSError, one line, before any work is lost, where nothing can be written."""
        try:
            self.unfinished.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.unfinished, buffering=0) as probe:
                probe.write(b"room?")
        except OSError as problem:
            raise OSError(f"run store: got {str(self.folder)!r}, {problem.strerror}; "
                          "allowed is a folder that can be written") from None

    def name(self, config):
        """The file name of a config's record, without its ending: readable, and unique by a digest."""
        c, digest = config, hashlib.sha256(json.dumps(asdict(config), sort_keys=True).encode()).hexdigest()
        return (f"{c.cell}-{c.layers}x{c.hidden}-{c.digit_len}digits-lr{c.lr:g}-{c.batches}x{c.batch_size}"
                f"-seed{c.seed}-{digest[:8]}")

    def read(self, config):
        """The finished run of a config, or None. A record not to be believed is named in a warning."""
        path = self.folder / f"{self.name(config)}.json"
        try:
            record = parse(read_whole(path).decode())
            run = run_of(record, config)
            if not run.done:
                raise ValueError("its loss ends early")
            data = read_whole(path.with_suffix(".safetensors"))
            if hashlib.sha256(data).hexdigest() != record.get("weights"):
                raise ValueError("its weights are not those it names")
            run.model, weights = self.make(config), tensors_of(data)
            require_like(weights, run.model.state_dict())
            run.model.load_state_dict(weights)
            return run
        except NotADirectoryError:
            return None  # and make_ready says what is wrong
        except OSError as error:
            if isinstance(error, FileNotFoundError) and Path(error.filename) == path:
                return None
            problem = f"{Path(error.filename or path).suffix} file: {error.strerror}"
        except (ValueError, RecursionError) as error:
            problem = str(error).splitlines()[0][:100]
        warnings.warn(f"{path.name} is not believed, {problem}: this run is trained again", stacklevel=2)
        return None

    def write(self, run):
        """Add a finished run: weights first, so that a record never names what is not there."""
        path = self.folder / f"{self.name(run.config)}.json"
        weights = tensor_bytes(run.model.state_dict())
        record = record_of(run) | {"weights": hashlib.sha256(weights).hexdigest()}
        lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
        write_whole(path.with_suffix(".safetensors"), weights)
        write_whole(path, ("{" + ",\n ".join(lines) + "}\n").encode())
        self.tidy(run.config)

    def tidy(self, config):
        """Remove what the making of a finished run left behind."""
        for ending in ("checkpoint", "checkpoint.part", "progress", "lock"):
            with contextlib.suppress(OSError):  # Windows keeps a lock's file while it is held
                self._unfinished(config, ending).unlink()

    def lock(self, config):
        """A lock between processes on one config's run; it ends with the process that holds it."""
        return filelock.FileLock(self._unfinished(config, "lock"))

    def save_checkpoint(self, training):
        write_whole(self._unfinished(training.run.config, "checkpoint"), sealed(tensor_bytes(*training.state())))

    def load_checkpoint(self, training):
        """Bring a training to where its last checkpoint stood; False for one that is not to be believed.

        After False the training may be half restored: begin with a new one.
        """
        path = self._unfinished(training.run.config, "checkpoint")
        try:
            data = unsealed(read_whole(path))
            training.restore(tensors_of(data), facts_of(data))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
            problem = getattr(error, "strerror", None) or str(error).splitlines()[0][:100]
            warnings.warn(f"{path.name} is not believed, {problem}: this run starts anew", stacklevel=2)
            return False
        return True

    def note_progress(self, config, batches):
        """Tell whoever waits for this run how many batches are done, if there is room for that."""
        with contextlib.suppress(OSError):
            self._unfinished(config, "progress").write_text(str(batches))

    def progress(self, config):
        """Batches done of a run in the making, 0 where nobody says."""
        try:
            return int(self._unfinished(config, "progress").read_text())
        except (OSError, ValueError):
            return 0

    def _unfinished(self, config, ending):
        return self.unfinished / f"{self.name(config)}.{ending}"
