"""The command line, and what every program of ours does when it starts and when it cannot go on.

Imports nothing slow before a program has begun, so that Ctrl-C is one line from the start.
"""

import contextlib
import os
import re
import signal
import sys

# Programs

def fail(program, problem, status=2):
    """Leave with an exit status and one line."""
    print(f"{program}: {' '.join(str(problem).split())}", file=sys.stderr)
    sys.exit(status)


def begin():
    """What a program does first: Ctrl-C and SIGTERM are one line from here on, closed streams are the null device."""
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # who ignores Ctrl-C is left alone
        signal.signal(signal.SIGINT, stop_at_once)
    signal.signal(signal.SIGTERM, interrupt)


def stop_at_once(number, frame):
    """Nothing has been done that could be lost, and an import might swallow an exception."""
    os.write(2, b"addrnn: stopped\n")
    os._exit(130)


def interrupt(number, frame):
    raise KeyboardInterrupt


@contextlib.contextmanager
def one_line_errors(program):
    """Leave with one line for what a user can cause: bad values, files, sizes, Ctrl-C, output that nobody reads.

    A defect of ours keeps its traceback.
    """
    if signal.getsignal(signal.SIGINT) is stop_at_once:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python flushes what nobody reads
        sys.exit(1)
    except KeyboardInterrupt as kept:
        fail(program, f"stopped; {kept}" if str(kept) else "stopped", 130)
    except Exception as problem:
        from addlab.inputs import Refusal
        if isinstance(problem, Refusal | OSError):
            fail(program, problem)
        if no_room(problem):
            fail(program, f"these sizes are too large for this machine's memory: {problem}")
        raise


def no_room(problem):
    """Whether this is how Python, NumPy or torch say that there is no memory left."""
    by_torch = isinstance(problem, RuntimeError) and re.search("DefaultCPUAllocator|out of memory", str(problem))
    return isinstance(problem, MemoryError) or bool(by_torch)


# addrnn

OTHER_NAMES = {"--digits": "--digit_len", "--batches": "--epoch", "--cell": "--model"}  # of options, elsewhere


def parser(fields, program):
    """The options of the command: the original's, those of Config, and what is asked."""
    import argparse

    from addlab.inputs import number
    p = argparse.ArgumentParser(prog=program, allow_abbrev=False, argument_default=argparse.SUPPRESS,
                                description="Train a recurrent network to add two decimal numbers, or ask one.")
    p.error = lambda problem: fail(program, meant(problem, [field.metadata["option"] for field in fields]))
    for field in fields:
        p.add_argument(field.metadata["option"], dest=field.name, type=str if field.type is str else number,
                       help=f"{field.metadata['about']} (default {field.default})", metavar="VALUE")
    p.add_argument("--device", default=None, help="cpu (default) or cuda", metavar="NAME")
    p.add_argument("--save", default=None, help="write the trained weights there", metavar="PATH")
    p.add_argument("--load", default=None, help="ask the model of these weights, train none", metavar="PATH")
    p.add_argument("--add", default=[], nargs=2, action="append", metavar=("A", "B"),
                   help="ask for A + B; @FILE is the number in a file, - the next line of standard input")
    p.add_argument("--version", action="version", version=version())
    return p


def version():
    from importlib import metadata
    try:
        return f"addrnn {metadata.version('addrnn')}"
    except metadata.PackageNotFoundError:
        return "addrnn, a clone that is not installed"


def meant(problem, options):
    """An error of argparse, with the options that somebody may have meant by those it does not know."""
    import difflib
    hints = []
    for word in re.findall(r"--[\w-]+", problem) if problem.startswith("unrecognized") else []:
        name = OTHER_NAMES.get(word, word)
        hints += [f"{option} for {word}" for option in difflib.get_close_matches(name, options, 1, 0.7)]
    return problem + (f"; did you mean {', '.join(hints)}?" if hints else "")


def main(arguments=None):
    """Train, save and ask; or load and ask. Leaves with one line for what it cannot do."""
    begin()
    import dataclasses

    import addrnn
    settings = vars(parser(dataclasses.fields(addrnn.Config), "addrnn").parse_args(arguments))
    device, save, load, pairs = (settings.pop(name) for name in ("device", "save", "load", "add"))
    with one_line_errors("addrnn"):
        from addlab.inputs import Refusal, read_number
        pairs = [(read_number(a), read_number(b)) for a, b in pairs]
        if load is None:
            model, pairs = trained(settings, device, save, pairs)
        elif settings or save is not None or not pairs:
            raise Refusal("--load: got a model to be asked, allowed beside it are --add, which it needs, and --device")
        else:
            model = loaded(load, device)
        ask(model, pairs)


def loaded(path, device):
    """The model of a file of weights; one whose file names a grid rounds its state after each column."""
    from addlab.certify.walk import Rounded, read_adder
    from addlab.devices import pick_device
    adder, grid = read_adder(path)
    return adder.to(pick_device(device)) if grid is None else Rounded(adder, grid)


def trained(settings, device, save, pairs):
    """(the model of a run, saved where that is wanted, what it is to be asked); prints how the run went.

    Ctrl-C while it trains saves what is trained so far.
    """
    import numpy as np

    import addrnn
    from addlab.files import check_writable
    from addlab.inputs import to_text
    if settings.get("cell") == "pt":  # as the original calls its default
        settings["cell"] = addrnn.Config.cell
    config = addrnn.Config(**settings)
    if save is not None:
        check_writable(save)
    runs = []  # the one that is under way
    try:
        run = addrnn.train(config, device=device, on_batch=lambda run: runs.append(run) if not runs else None)
    except KeyboardInterrupt:
        if save is None or not runs:
            raise
        runs[0].model.save(save)
        raise KeyboardInterrupt(f"{save} holds the weights after {len(runs[0].loss)} batches") from None
    if save is not None:
        run.model.save(save)  # before anything is printed: whoever reads our output may be gone
    print(run)
    if not pairs:
        num1, num2, _ = addrnn.sample(3, config.digit_len, np.random.default_rng())
        pairs = [(to_text(a), to_text(b)) for a, b in zip(num1, num2, strict=True)]
    return run.model, pairs


def ask(model, pairs):
    """Print what a model says the sums of pairs of decimal strings are, and where that is wrong."""
    from addlab.inputs import to_int, to_text
    for a, b in pairs:
        answer, right = model.add(a, b), to_int(a) + to_int(b)
        print(f"{a} + {b} = {to_text(answer)}" + ("" if answer == right else f"   wrong: it is {to_text(right)}"))
