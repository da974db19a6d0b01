"""What people write: whole numbers of any length, lists of settings; and the one line that refuses what is neither."""

import contextlib
import dataclasses
import errno
import sys
from numbers import Integral, Real
from pathlib import Path

import numpy as np
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


# What a setting may be: (whether a number is right, what is allowed)

COUNT = (lambda x: isinstance(x, Integral) and x >= 1, "a whole number, 1 or more")
SEED = (lambda x: isinstance(x, Integral) and x >= 0, "a whole number, 0 or more")
RATE = (lambda x: isinstance(x, Real) and 0 < x <= sys.float_info.max, "a finite number above 0")
SHARE = (lambda x: isinstance(x, Real) and 0 <= x <= 1, "a number from 0 to 1")
LEVEL = (lambda x: isinstance(x, Real) and 0 <= x <= sys.float_info.max, "a finite number, 0 or more")
GENERATOR = (lambda x: isinstance(x, np.random.Generator), "a numpy.random.Generator")


def one_of(names):
    """The rule of a text that is one of these."""
    return lambda x: isinstance(x, str) and x in names, " or ".join(names)


def checked(value, rule, name):
    """A value that keeps a rule, as a Python int, float or str; raises ValueError, one line, for another."""
    right, allowed = rule
    value = float(str(value)) if isinstance(value, np.floating) else value  # a float32's 0.001 is 0.001
    if isinstance(value, bool) or not right(value):
        raise Refusal(f"{name}: got {shown(value)}, allowed is {allowed}{hint(value, allowed)}")
    return value


def shaped(array, shape, name):
    """An array that has this shape; raises ValueError, one line, for another."""
    array = np.asarray(array)
    if array.shape != shape:
        raise Refusal(f"{name}: got shape {array.shape}, allowed is that of the numbers, {shape}")
    return array


def hint(value, allowed):
    """What somebody may have meant who wrote a name in other letters."""
    meant = [name for name in allowed.split(" or ") if isinstance(value, str) and name == value.upper()]
    return f"; did you mean {meant[0]}?" if meant else ""


def check_fields(config):
    """Hold each field of a config to its rule, as a number of Python's own, as JSON wants; raises ValueError."""
    for field in dataclasses.fields(config):
        if "rule" in field.metadata:  # a user's own field, in a class of their own, has none
            value = checked(getattr(config, field.name), field.metadata["rule"],
                            f"{field.name} ({field.metadata['option']})")
            object.__setattr__(config, field.name, field.type(value))  # the only way into a frozen one


# Numbers

def to_digits(number):
    """The digits of a whole number, an int or a decimal string of any length, least significant first: int64.

    Raises ValueError for a negative or non-decimal number.
    """
    is_int = isinstance(number, Integral) and not isinstance(number, bool)
    text = fmpz(int(number)).str() if is_int else number
    if not (isinstance(text, str) and text.isascii() and text.isdigit()):
        raise Refusal(f"number to add (--add): got {shown(number)}, allowed is a whole decimal number, 0 or more")
    text = text.lstrip("0") or "0"
    return np.frombuffer(text.encode(), dtype=np.uint8)[::-1].astype(np.int64) - ord("0")


def to_columns(pairs):
    """Pairs of numbers, ints or decimal strings, as digits: num1, num2 int64 [count, digits].

    One column follows the longest number, for the final carry.
    """
    pairs = [(to_digits(a), to_digits(b)) for a, b in pairs]
    num1 = np.zeros((len(pairs), max(len(number) for pair in pairs for number in pair) + 1), dtype=np.int64)
    num2 = np.zeros_like(num1)
    for row, (a, b) in enumerate(pairs):
        num1[row, : len(a)] = a
        num2[row, : len(b)] = b
    return num1, num2


def read_number(argument):
    """The decimal string of an argument of the command line, where @FILE is the number in a file, - the next line of
    standard input."""
    path = Path(argument[1:])
    text = argument
    try:
        if argument == "-":
            text = sys.stdin.readline().strip()
        elif argument.startswith("@"):
            if path.exists() and not (path.is_file() or path.is_fifo()):  # a device might never end
                raise OSError(errno.EINVAL, "Is no file")
            text = path.read_text(encoding="utf-8-sig", errors="replace").strip()
    except OSError as problem:
        raise Refusal(f"number to add (--add): got {shown(argument)}, {problem.strerror}; allowed is a file") from None
    return to_text(text)


def to_text(digits):
    """The decimal string of an int or of digits, least significant first, without leading zeros."""
    digits = digits if isinstance(digits, np.ndarray) else to_digits(digits)
    return (digits[::-1] + ord("0")).astype(np.uint8).tobytes().decode().lstrip("0") or "0"


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
