"""Where a model runs: the CPU or a GPU, in full float32, and how many runs fit side by side."""

import contextlib
import copy
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from addlab import engine
from addlab.inputs import COUNT, Refusal, checked, number, shown

WORKER_BYTES = 440 << 20  # of a process that has torch and the kernels
CONTEXT_BYTES = 600 << 20  # of a process on a GPU, before its run
GROUP = Path("/sys/fs/cgroup")
TENSORS = 16  # of [digits, batch, hidden] that a layer holds on a GPU; an H100's memory in use says 9 to 16


def pick_device(device):
    """The torch device of a name; of None, what ADDRNN_DEVICE names, else the CPU.

    Raises ValueError for one that is not here.
    """
    allowed = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    device = os.environ.get("ADDRNN_DEVICE", "cpu") if device is None else device
    with contextlib.suppress(RuntimeError, TypeError):
        picked = torch.device(device)
        if picked.type in allowed:
            return picked
    raise Refusal(f"device (--device, ADDRNN_DEVICE): got {shown(device)}, "
                  f"allowed is {' or '.join(allowed)} on this machine")


def device_name(device):
    """What a record calls a torch device."""
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def check_room(config):
    """Raise ValueError, one line, for a run whose weights and batches alone do not fit into this machine's memory."""
    width = engine.gates(config.cell) * config.hidden
    weights = width * (2 * config.embedding + config.hidden + (config.layers - 1) * 2 * config.hidden)
    digits = 3 * max(config.batch_size, config.test_batch_size) * (config.digit_len + 1)
    needed, room = 16 * weights + 8 * digits, memory()  # float32 with its gradient and two moments; int64
    if needed > room:
        raise Refusal(f"sizes: got a run that needs {needed / 2**30:.3g} GiB, allowed is what this machine has, "
                      f"{room / 2**30:.3g} GiB")


def memory():
    """Bytes of memory that this process may use."""
    limit = (read_group("memory.max") or read_group("memory/memory.limit_in_bytes")).strip()
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**63
    return min(here, int(limit)) if limit.isdecimal() else here


def as_digits(numbers, device):
    """Whole numbers of any type, an array or a tensor, as an int64 tensor on a device. Raises ValueError for others."""
    if isinstance(numbers, torch.Tensor):
        digits = numbers.to(torch.int64)
        wrong = numbers[digits != numbers] if numbers.is_floating_point() else ()
    else:
        numbers = np.asarray(numbers)
        with np.errstate(invalid="ignore"):  # what is not a number is refused below
            digits = torch.from_numpy(np.require(numbers, np.int64, ("C", "W")))
        wrong = () if numbers.dtype.kind in "iub" else numbers[digits.numpy() != numbers]
    if len(wrong):
        raise Refusal(f"digits: got {float(wrong[0]):g}, allowed are whole numbers")
    return digits.to(device)


@contextlib.contextmanager
def full_precision():
    """No TF32, which keeps three decimals, in cuDNN's networks and cuBLAS's products; as it was afterwards."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


@contextlib.contextmanager
def evaluating(model):
    """A model in evaluation mode, in full float32; each of its parts as it was afterwards."""
    before = [(part, part.training) for part in model.modules()]
    try:
        with full_precision():
            yield model.eval()
    finally:
        for part, training in before:
            part.training = training


def device_of(model):
    return next((p.device for p in model.parameters()), torch.device("cpu"))


class Draws:
    """Batches of draw(rng), one a call; with `ahead` the next is drawn on a thread while a GPU works on this one.

    It is drawn from a copy of the stream, so that `rng` stands where the batches that were given leave it.
    """

    def __init__(self, draw, rng, ahead):
        self.draw, self.rng, self.ahead, self.next = draw, rng, ahead, None

    def __call__(self):
        batch, self.rng = drawn(self.draw, self.rng) if self.next is None else self.next.result()
        if self.ahead:
            self.next = drawing_thread().submit(drawn, self.draw, copy.deepcopy(self.rng))
        return batch

    def __getstate__(self):  # a copy draws its next batch itself
        return vars(self) | {"next": None}


def drawn(draw, rng):
    return draw(rng), rng


@functools.cache
def drawing_thread():
    return ThreadPoolExecutor(1, thread_name_prefix="draw")


os.register_at_fork(after_in_child=drawing_thread.cache_clear)  # a forked process has none of its parent's threads


def cores():
    """Cores that this process may use: of those it is bound to, as many as its control group's quota allows."""
    try:
        bound = len(os.sched_getaffinity(0))
    except AttributeError:
        bound = os.cpu_count() or 1
    quota = read_group("cpu.max") or f"{read_group('cpu/cpu.cfs_quota_us')} {read_group('cpu/cpu.cfs_period_us')}"
    numbers = [int(word) for word in quota.split() if word.isdecimal()]  # of microseconds a period; "max" and -1: none
    return min(bound, max(1, numbers[0] // numbers[1])) if len(numbers) == 2 else bound


def most_workers():
    """Processes that train at once: as many as ADDRNN_WORKERS says, else as there are cores. Raises ValueError."""
    return checked(number(os.environ.get("ADDRNN_WORKERS", cores())), COUNT, "ADDRNN_WORKERS")


def workers_that_fit():
    """As many processes of one thread as are wanted, and as their memory allows."""
    return max(1, min(most_workers(), memory() // WORKER_BYTES))


def read_group(name):
    """A limit of this process's control group (Linux, version 2 or 1), empty where there is none."""
    try:
        return (GROUP / name).read_text()
    except OSError:
        return ""


def runs_that_fit(configs, device):
    """How many of these runs fit side by side into the free memory of a GPU, the largest counting for all."""
    free, _ = torch.cuda.mem_get_info(device)
    states = max(c.batch_size * (c.digit_len + 1) * c.hidden * c.layers for c in configs)
    return max(1, min(len(configs), most_workers(), free // (CONTEXT_BYTES + 4 * TENSORS * states)))
