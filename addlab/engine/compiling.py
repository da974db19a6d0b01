"""How kernels are compiled: for this processor, once, and then kept on disk; what goes wrong with that is one line."""

import contextlib
import functools
import hashlib
import pickle
import sys
from pathlib import Path

import numba
from numba import njit
from numba.core import event
from numba.core.errors import NumbaError

from addlab.inputs import Refusal

OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


@functools.cache
def fingerprint():
    """Of all that the engine's folder holds: Numba itself looks for changes only in the file of the function."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:8]


class Kernel:
    """A function that Numba compiles at its first call, or finds on disk: beside the source or in the user's cache."""

    def __init__(self, function):
        self.function, self.ready, self.kept = function, False, True
        function.__qualname__ = f"{function.__name__}_{fingerprint()}"  # which names the files
        try:
            self.compiled = njit(cache=True, **OPTIONS)(function)
        except RuntimeError:  # neither folder can be written: every process compiles for itself
            self.compiled, self.kept = njit(**OPTIONS)(function), False
        functools.update_wrapper(self, function)

    def __call__(self, *arguments):
        return self.compiled(*arguments) if self.ready else self._first(*arguments)

    def _first(self, *arguments):
        if numba.config.DISABLE_JIT:
            raise Refusal("NUMBA_DISABLE_JIT: got 1, allowed is 0 or none, since the engine is compiled")
        with event.install_listener("numba:compile", Announcement(self.kept)):
            try:
                result = self.compiled(*arguments)
            except NumbaError:
                raise
            except Exception as problem:  # what Numba meets in a damaged file is any exception; nothing has run yet
                if not self.kept:
                    raise
                self._go_without(problem)
                result = self.compiled(*arguments)
        self.ready = True
        return result

    def _go_without(self, problem):
        """Leave the disk alone from now on; what is damaged there goes, so that the next process keeps it anew."""
        folder = Path(self.compiled.stats.cache_path)
        damaged = [path for path in sorted(folder.glob(f"*.{self.function.__qualname__}-*")) if not whole(path)]
        for path in damaged:
            with contextlib.suppress(OSError):
                path.unlink()
        problem = " ".join(f"{type(problem).__name__}: {problem}".split())
        print(f"addrnn: {', '.join(map(str, damaged)) or folder}: got {problem}; the engine is compiled without it",
              file=sys.stderr)
        if not self.compiled.signatures:  # or it is compiled, and only could not be kept
            self.compiled = njit(**OPTIONS)(self.function)


def whole(path):
    """Whether a file of Numba's cache, pickles one after the other, can be read."""
    try:
        with path.open("rb") as file:
            while file.peek(1):
                pickle.load(file)
    except Exception:  # what pickle raises for bytes that are none of its own
        return False
    return path.stat().st_size > 0


class Announcement(event.Listener):
    """Tells a terminal that something compiles, once in a process."""

    told = False

    def __init__(self, kept):
        self.kept = kept

    def on_start(self, event):
        if not Announcement.told and sys.stderr and sys.stderr.isatty():
            once = "once" if self.kept else "at each start, for no folder keeps it"
            print(f"addrnn: compiling the engine for this processor, {once}: some twenty seconds", file=sys.stderr)
        Announcement.told = True

    def on_end(self, event):
        pass


