"""Records of training runs: plain JSON and safetensors, written whole or not at all, never able to run code.

A store is a folder. A finished run is SETTING/seedN.json, SETTING being what differs from the default config, and
beside it its weights, seedN.safetensors, where they are kept. What is unfinished lies in .unfinished.
Every record and checkpoint carries a digest of itself, so that one that was cut, damaged or edited is not believed.
"""

import contextlib
import hashlib
import io
import json
import math
import pickle
import warnings
from dataclasses import asdict, fields, replace
from pathlib import Path
from urllib.parse import quote

import safetensors.torch
import torch
from safetensors import SafetensorError

from addlab import engine
from addlab.files import check_writable, lock_at, make_folder, read_whole, refused, write_whole
from addlab.inputs import Refusal, shown

FORMAT = 2


# Weights

def tensor_bytes(tensors, **metadata):
    """Tensors by name as safetensors, beside them plain data: `config`, a model's settings, and `grid`."""
    texts = {name: json.dumps(value) for name, value in metadata.items()}
    return safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, texts or None)


def write_weights(path, tensors, settings):
    """Write an adder's weights and settings, whole or not at all. Raises OSError; ValueError for weights of no use."""
    try:
        settings_of(tensors)
    except ValueError as problem:
        raise Refusal(f"weights to save (--save): {problem}; allowed are an adder's, float32 and finite") from None
    write_whole(path, tensor_bytes(tensors, config=settings))


def read_weights(path, kind, rounds=False):
    """(config, weights by name, grid or None) of an adder, from a file of `save`; `kind` is the config's class.

    A file without metadata tells what shapes tell: cell, layers, hidden, embedding. What the class does not know, as
    the field of a user's own subclass, is left out. Warns of a grid if what is read for does not round to it
    (`rounds`). Raises ValueError, one line, for anything else.
    """
    try:
        data = read_whole(path)
        tensors, beside = tensors_of(data), metadata_of(data)
        told = beside.get("config", {})
        settings = told | settings_of(tensors, told.get("cell"))
        known = {field.name: settings[field.name] for field in fields(kind) if field.name in settings}
        if "grid" in beside and not rounds:
            warnings.warn(f"{path}: its states belong on a grid, which addlab.certify.Rounded.load keeps", stacklevel=3)
        return kind(**known), tensors, beside.get("grid")
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


def metadata_of(data):
    """What `tensor_bytes` put beside the tensors of whole safetensors bytes; raises ValueError for other data there."""
    length = int.from_bytes(data[:8], "little")
    stored = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    found = {name: json.loads(stored[name]) for name in ("config", "grid") if name in stored}
    if type(found.get("config", {})) is not dict or type(found.get("grid", 1)) is not int:
        raise ValueError("its metadata are no settings")
    return found


def settings_of(tensors, told=None):
    """The settings that an Adder's weights tell by their shapes; raises ValueError for other tensors.

    told: its cell, by its file; where several cells have weights of these shapes, shapes do not tell.
    """
    try:
        hidden, embedding = tensors["dense.weight"].shape[1], tensors["embed_layer.weight"].shape[1]
        gates = tensors["rnn.weight_hh_l0"].shape[0] // hidden
        cells = [name for name in engine.CELLS if engine.gates(name) == gates]
        cell = told if told in cells else cells[0]
    except (KeyError, IndexError, ZeroDivisionError):
        raise ValueError("its tensors are no adder's") from None
    layers = sum(name.startswith("rnn.weight_hh_l") for name in tensors)
    shapes = engine.support.shapes(cell, layers, hidden, embedding)
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


def facts_of(record, config, versions):
    """What a record says of the run of `config`, by the names of Run.

    A setting that the record does not know is taken at its default, a version at 1. Raises ValueError for the record of
    another config, or of arithmetic or data that are not of these `versions`.
    """
    defaults = {field.name: field.default for field in fields(config)}
    if record.get("format") != FORMAT or defaults | record["config"] != asdict(config):
        raise ValueError("it is of another format or config")
    for name, version in versions.items():
        if (made_by := record["versions"].get(name, 1)) != version:
            raise ValueError(f"it was made by version {shown(made_by, 20)} of the {name}, today's is {version}")
    return {name: record[name] for name in FACTS + CURVES} | {"loss": [float(x) for x in record["loss"]]}


def digest(data):
    return hashlib.sha256(data).hexdigest()


def seal_of(record):
    """The digest of all of a record but its seal."""
    return digest(json.dumps({k: v for k, v in record.items() if k != "seal"}, sort_keys=True).encode())


UNBELIEVED = OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError, RuntimeError  # of any bytes


def in_short(problem):
    return getattr(problem, "strerror", None) or (str(problem).splitlines() or [type(problem).__name__])[0][:100]


def sealed(path):
    """The record at a path; raises OSError, and ValueError or others where it is not whole."""
    record = json.loads(read_whole(path))
    if not isinstance(record, dict) or record.get("seal") != seal_of(record):
        raise ValueError("it was damaged or edited: its seal is another's")
    return record


def setting_of(config):
    """What differs from the default config, but for the seed: the name of a folder."""
    changes = [f"{f.name}={quote(str(getattr(config, f.name)), safe='+')}" for f in fields(config)  # text of any kind
               if f.name != "seed" and getattr(config, f.name) != f.default]
    return ",".join(changes) or "default"


class Store:
    """A folder of runs; what is not there is read from the folders `beside` it, which are never written.

    run_of(config, **facts) makes a run of what its record says, model_of(config) the model that its weights go into.
    versions: {what a run depends on: its version today}, those of "engine" and "data".
    """

    def __init__(self, folder, run_of, model_of, versions, beside=()):
        self.folder, self.versions = Path(folder).absolute(), versions
        self.run_of, self.model_of = run_of, model_of
        self.beside = [Path(other).absolute() for other in beside]
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
            make_folder(self.unfinished)
            for config in configs:
                make_folder(self.path(config).parent)
        for path in {self.unfinished / "room", *(self.path(config) for config in configs)}:
            check_writable(path, "run store")

    def rows(self, kind):
        """All records as plain data, settings and curves side by side, a user's own before one that is shipped.

        kind: the class of configs. One that is not believed is left out, with a warning.
        """
        found = {}
        for folder in (self.folder, *self.beside):
            for path in sorted(folder.glob("*/seed*.json")):
                try:
                    record = sealed(path)
                    config = kind(**record["config"])
                    row = asdict(config) | facts_of(record, config, self.versions)
                except UNBELIEVED as problem:
                    warnings.warn(f"record {path} is not believed, {in_short(problem)}", stacklevel=3)
                else:
                    found.setdefault(self.name(config), row)
        return list(found.values())

    def read(self, config, tell=warnings.warn):
        """The finished run of a config, or None; `tell` is called with one line for a record that is not believed."""
        problem = None
        for folder in (self.folder, *self.beside):
            path = folder / f"{self.name(config)}.json"
            try:
                return self.read_record(path, config)
            except (FileNotFoundError, NotADirectoryError) as error:
                if Path(error.filename) != path:
                    problem = "its weights are missing"
            except UNBELIEVED as error:
                problem = in_short(error)
        if problem:
            tell(f"record {self.name(config)} is not believed, {problem}: this run is trained again")
        return None

    def read_record(self, path, config):
        """The run that a record says; raises OSError, or ValueError and others where it is not to be believed."""
        record = sealed(path)
        run = self.run_of(config, **facts_of(record, config, self.versions))
        if record["keeps_weights"]:
            data = read_whole(path.with_suffix(".safetensors"))
            if digest(data) != record["weights"]:
                raise ValueError("its weights are not those it names")
            run.model = self.model_of(config)
            run.model.load_state_dict(tensors_of(data))
        return run

    def weights_digest(self, config):
        """The digest of a recorded run's weights, which its record names whether they are kept or not."""
        paths = [folder / f"{self.name(config)}.json" for folder in (self.folder, *self.beside)]
        return json.loads(read_whole(next(filter(Path.exists, paths))))["weights"]

    def write(self, run, keep_weights=True):
        """Add a finished run: weights first, so that a record never names what is not there."""
        path, weights = self.path(run.config), tensor_bytes(run.model.state_dict())
        make_folder(path.parent)
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
        return lock_at(self.path(config, "lock"))

    def save_checkpoint(self, training):
        """Write all that the next step of a run depends on, behind its digest."""
        state = {"record": record_of(training.run), "model": training.model.state_dict(),
                 "optimizer": training.optimizer.state_dict(), "rng": training.draw.rng.bit_generator.state,
                 "noise_rng": training.noise_rng.bit_generator.state}
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        write_whole(self.path(training.run.config, "checkpoint"), hashlib.sha256(data).digest() + data)

    def load_checkpoint(self, training, tell=warnings.warn):
        """Bring a training to where its last checkpoint stood; `tell` is called with one line where that one lies."""
        path, run = self.path(training.run.config, "checkpoint"), training.run
        try:
            data = read_whole(path)
            if hashlib.sha256(data[32:]).digest() != data[:32]:
                raise ValueError("it was damaged")
            state = torch.load(io.BytesIO(data[32:]), weights_only=True)
            facts = facts_of(state["record"], run.config, self.versions)
            if (facts["device"], facts["versions"]) != (run.device, run.versions):  # bits of two kinds must not meet
                raise ValueError("it was made on another device or by other versions")
        except FileNotFoundError:
            return
        except (*UNBELIEVED, pickle.UnpicklingError) as error:
            tell(f"checkpoint {path.name} is not believed, {in_short(error)}: this run starts anew")
            return
        training.run = replace(run, **facts)
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        training.draw.rng.bit_generator.state = state["rng"]
        training.noise_rng.bit_generator.state = state["noise_rng"]
