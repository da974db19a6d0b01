"""Files, written whole or not at all; the folder of shipped results, and the user's own, to which all new ones go."""

import contextlib
import errno
import functools
import json
import os
import secrets
import stat
import sys
from pathlib import Path

import filelock
import platformdirs

from addlab.inputs import Refusal, shown

CHECKOUT = Path(__file__).resolve().parents[1]  # the clone, or where the package is installed


# Folders

def shipped():
    """The folder of the records/ and figures/ that came with the project; None where it is installed without them."""
    return CHECKOUT if (CHECKOUT / "records").is_dir() else None


def home():
    """The folder to which new records/ and figures/ go: what ADDRNN_HOME names, else a folder of the user's.

    `make report` and `make retrain` name the clone itself.
    """
    return named_home(os.environ.get("ADDRNN_HOME", ""))


@functools.cache  # so that a relative name means one folder, wherever the program goes
def named_home(name):
    if name:
        return Path(name).expanduser().absolute()
    return platformdirs.user_data_path("addrnn", appauthor=False)


def make_folder(folder):
    """Make a folder and those above it; the user's own home is said when it is made. Raises OSError."""
    if not home().exists() and not os.environ.get("ADDRNN_HOME") and home() in [folder, *folder.parents]:
        print(f"addrnn: new records and figures go to {home()}; ADDRNN_HOME names another folder", file=sys.stderr)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        share(path)


def share(path):
    """Let the members of a group write what is new in a folder that they may write, whatever the umask says."""
    if path.parent.stat().st_mode & stat.S_IWGRP:
        with contextlib.suppress(PermissionError):  # it is another member's, who has done so
            path.chmod(path.stat().st_mode | (0o070 if path.is_dir() else 0o060))


def shelves():
    """The folders in which a record may lie, the user's first."""
    return list(dict.fromkeys(filter(None, [home(), shipped()])))


def found(name):
    """Where a file or folder lies, by its name below a shelf, the user's first; in `home` if none has it."""
    paths = [shelf / name for shelf in shelves()]
    return next(filter(Path.exists, paths), paths[0])


# Whole files

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
        else:
            share(Path(file.name))
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


def read_whole(path):
    """The bytes of a file; raises OSError or ValueError where there is none: a pipe or a device might never end."""
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError("it is no file")
    return Path(path).read_bytes()


# Stored results other than runs: each file of records/ is one JSON object, a key on each line

def kept(name):
    """{key: value} of records/NAME: what is shipped, and over it what the user's own home has."""
    found = {}
    for folder in reversed(shelves()):
        if (path := folder / "records" / name).exists():
            for key, value in json.loads(path.read_bytes()).items():
                found[key] = found[key] | value if isinstance(found.get(key), dict) else value
    return found


def keep(name, value, *keys, order=None):
    """Put a value into records/NAME of the user's home, at keys within keys; several processes may do so at once.

    order: what the lines are sorted by, a function of their keys.
    """
    path = home() / "records" / name
    with refused("records", path):
        make_folder(path.parent)
        with locked(home() / "records" / "runs", path.stem):
            own = json.loads(path.read_bytes()) if path.exists() else {}
            part = own
            for key in keys[:-1]:
                part = part.setdefault(key, {})
            part[keys[-1]] = value
            write = functools.partial(json.dumps, sort_keys=True, ensure_ascii=False)
            lines = [f"{write(key)}: {write(own[key])}" for key in sorted(own, key=order)]
            write_whole(path, ("{" + ",\n ".join(lines) + "}\n").encode())


@contextlib.contextmanager
def locked(folder, name):
    """Hold a lock between processes; it lies in .unfinished of a store's folder, where git does not look."""
    unfinished = Path(folder) / ".unfinished"
    make_folder(unfinished)
    with lock_at(unfinished / f"{name}.lock"):
        yield


def lock_at(path):
    """A lock between processes, which ends with the process that holds it; its file is the group's, too."""
    return filelock.FileLock(path, mode=0o664)
