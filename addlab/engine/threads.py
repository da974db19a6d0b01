"""The kernels on several threads: they release Python's lock, and share nothing."""

import contextlib
import contextvars
import functools
import os
from concurrent.futures import ThreadPoolExecutor

import torch


@functools.cache
def pool():
    return ThreadPoolExecutor(thread_name_prefix="tiles")


os.register_at_fork(after_in_child=pool.cache_clear)  # a forked process has the pool, but none of its threads


ALONE = contextvars.ContextVar("alone", default=False)


@contextlib.contextmanager
def one_thread():
    """What is called in here keeps to its thread: two processes of two threads on two cores run 10-20 times slower."""
    token = ALONE.set(True)
    try:
        yield
    finally:
        ALONE.reset(token)


def on_threads(function, tiles, *arguments):
    """Call function(*arguments, first, step) on as many threads as torch would use, each for every step-th tile."""
    threads = 1 if ALONE.get() else max(1, min(torch.get_num_threads(), tiles))
    others = [later(function, *arguments, first, threads) for first in range(1, threads)]
    function(*arguments, 0, threads)
    for other in others:
        other()


def later(function, *arguments):
    """Begin a call on another thread; returns what waits for it. While Python exits there are no more threads."""
    try:
        return pool().submit(function, *arguments).result
    except RuntimeError as problem:
        if "cannot schedule" not in str(problem):  # it may be in the queue, and must not run twice
            raise
        return functools.partial(function, *arguments)
