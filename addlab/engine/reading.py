"""What people write: whole numbers of any length, lists of settings, devices."""

import contextlib
import errno
import sys
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from flint import fmpz  # decimal strings and ints of any length; str(int) stops at 4300 digits


class Refusal(ValueError):
    """A bad value from the user. A notebook shows its one line, not the calls that led to it."""

    def _render_traceback_(self):
        return [f"ValueError: {self}"]


def shown(value, longest=60):
    """A value as an error message shows it, in so many characters at most."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python will write
        text = f"a whole number of {len(to_digits(abs(value)))} digits"
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 3] + "..."


def to_digits(number):
    """The digits of a whole number, least significant first: int64.

    The number is an int or a decimal string of any length, or digits already.
    Raises ValueError for a negative or non-decimal number.
    """
    if isinstance(number, np.ndarray):
        return number
    is_int = isinstance(number, Integral) and not isinstance(number, bool)
    text = fmpz(int(number)).str() if is_int else number
    if not (isinstance(text, str) and text.isascii() and text.isdigit()):
        raise Refusal(f"number to add (--add): got {shown(number)}, allowed is a whole decimal number, 0 or more")
    text = text.lstrip("0") or "0"
    return np.frombuffer(text.encode(), dtype=np.uint8)[::-1].astype(np.int64) - ord("0")


def read_digits(argument):
    """`to_digits` of an argument of the command line, where @FILE is the number in a file, - the next line of input."""
    path = Path(argument[1:])
    try:
        if argument == "-":
            return to_digits(sys.stdin.readline().strip())
        if not argument.startswith("@"):
            return to_digits(argument)
        if path.exists() and not (path.is_file() or path.is_fifo()):  # a device might never end
            raise OSError(errno.EINVAL, "Is no file")
        return to_digits(path.read_text(errors="replace").strip())
    except OSError as problem:
        raise Refusal(f"number to add (--add): got {shown(argument)}, {problem.strerror}; allowed is a file") from None


def to_text(digits):
    """The decimal string of an int or of digits, least significant first, without leading zeros."""
    return (np.asarray(to_digits(digits))[::-1] + ord("0")).astype(np.uint8).tobytes().decode().lstrip("0") or "0"


def to_int(digits):
    """The int of digits [digits], least significant first."""
    return int(fmpz(to_text(digits)))


def number(value):
    """The int or float that a text is; anything else as it is, for others to refuse in their own words."""
    if isinstance(value, str):
        for kind in (int, float):
            with contextlib.suppress(ValueError):
                return kind(value)
    return value


def as_list(values, name):
    """A parameter that is a list of values: a list, tuple, range or array, or its text, like '[1e-3, 1e-2]'.

    papermill's option -p hands lists over as text, and YAML takes 1e-3 for text; both become numbers.
    Raises ValueError for anything else, and for an empty list.
    """
    given = values
    if isinstance(values, str):
        inside = values.strip()
        bracketed = inside.startswith("[") and inside.endswith("]")
        values = [item.strip(" '\"") for item in inside[1:-1].split(",")] if bracketed else None
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, list | tuple | range) or len(values) == 0 or "" in values:
        raise Refusal(f"{name}: got {shown(given)}, allowed is a list of values, like [0, 1]")
    return [number(value) for value in values]


def pick_device(device):
    """The torch device of a name, the CPU for None; raises ValueError for one that is not here."""
    allowed = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    with contextlib.suppress(RuntimeError, TypeError):
        if (picked := torch.device("cpu" if device is None else device)).type in allowed:
            return picked
    raise Refusal(f"device (--device): got {shown(device)}, allowed is {' or '.join(allowed)} on this machine")
