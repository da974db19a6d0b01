"""An executor whose tasks run in processes of one thread each, of which none outlives its parent or its own fault."""

import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import torch

SPAWN = multiprocessing.get_context("spawn")  # the one start method that all systems have
stopping = None  # in a worker: the event that asks it to stop at the next batch


def _begin(event):
    """Set up a worker process."""
    global stopping
    stopping = event
    torch.set_num_threads(1)  # two processes of two threads on two cores run 10-20 times slower
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it sets the event
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


class Workers(ThreadPoolExecutor):
    """As many processes as cores, each behind a thread of its own: one that dies fails its own task alone."""

    def __init__(self):
        super().__init__(max_workers=os.process_cpu_count() if hasattr(os, "process_cpu_count") else cores())
        self.stop_event = SPAWN.Event()
        self.pools = {}

    def submit(self, task, /, *arguments):
        """As `Executor.submit`; the task's future raises RuntimeError if its process dies."""
        return super().submit(self._run, task, arguments)

    def _run(self, task, arguments):
        thread = threading.get_ident()
        if thread not in self.pools:
            self.pools[thread] = ProcessPoolExecutor(1, mp_context=SPAWN, initializer=_begin,
                                                     initargs=(self.stop_event,))
        try:
            return self.pools[thread].submit(task, *arguments).result()
        except BrokenProcessPool:
            self.pools.pop(thread).shutdown(wait=False)
            raise RuntimeError("its worker process died (killed, or out of memory)") from None

    def shutdown(self, wait=True, *, cancel_futures=False):
        """As `Executor.shutdown`; with `cancel_futures` the tasks under way are asked to stop as well."""
        if cancel_futures:
            self.stop_event.set()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        for pool in self.pools.values():
            pool.shutdown(wait=wait)
        self.pools.clear()


def cores():
    """Cores that this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def asked_to_stop():
    """Whether the parent of this worker process wants it to stop; False elsewhere."""
    return stopping is not None and stopping.is_set()
