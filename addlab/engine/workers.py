"""Training many runs: processes of one thread each, of which none outlives its parent or its own fault."""

import concurrent.futures
import contextlib
import itertools
import multiprocessing.context
import os
import signal
import sys
import threading
import time
import types
import warnings
from concurrent.futures.process import BrokenProcessPool

import torch

from addlab import engine
from addlab.engine.reading import Refusal, shown
from addlab.engine.store import Store
from addlab.engine.terminal import interrupt, progress_bar

# One run

def train_stored(config, folder, training_of, keep_weights=True, checkpoint_seconds=60):
    """Train one run into a store, from its checkpoint if there is one; waits if another process is at it.

    `training_of` makes the training of a config. Returns what is to be said about the checkpoint: a list of lines.
    """
    store = Store(folder, lambda config: training_of(config).model)
    with warnings.catch_warnings(record=True, action="always") as remarks, store.lock(config), one_thread():
        if store.read(config) is None:
            remarks.clear()  # the parent has said what is wrong with the record
            training = training_of(config)
            store.load_checkpoint(training)
            saved = time.monotonic()
            for _ in training.steps():
                note_progress(len(training.run.loss) * work_of_a_batch(config))
                if time.monotonic() - saved >= checkpoint_seconds or asked_to_stop():
                    with contextlib.suppress(OSError):  # a full disk may have room again when the run is done
                        store.save_checkpoint(training)
                    saved = time.monotonic()
                if asked_to_stop():
                    break
            if training.run.done:
                store.write(training.run, keep_weights)
        if store.read(config) is not None:
            store.tidy(config)
    return [str(remark.message) for remark in remarks]


@contextlib.contextmanager
def one_thread():
    """One torch thread: two processes of two threads on two cores run 10-20 times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def checkpoint_seconds():
    """Seconds between checkpoints, of the variable ADDRNN_CHECKPOINT_SECONDS; raises ValueError for no such number."""
    text = os.environ.get("ADDRNN_CHECKPOINT_SECONDS", "60")
    with contextlib.suppress(ValueError):
        if float(text) >= 0:
            return float(text)
    raise Refusal(f"ADDRNN_CHECKPOINT_SECONDS: got {shown(text)}, allowed is a number of seconds, 0 or more")


# Many runs

def train_all(configs, store, training_of, executor=None, keeps_weights=lambda _: True, report=lambda _: None):
    """Train configs into a store, begun in their order, and call `report` with each that is done.

    `executor` is any concurrent.futures.Executor whose workers see the store's folder; by default one process of one
    thread for each core. Ctrl-C keeps what is done.
    Raises RuntimeError, one line for each run that failed, after the others are done.
    """
    seconds, own = checkpoint_seconds(), executor is None
    store.make_ready(configs)
    engine.prepare()  # so that kernels are compiled once, not in every worker
    executor = executor or Workers()
    futures = {executor.submit(train_stored, config, store.folder, training_of, keeps_weights(config), seconds): config
               for config in configs}
    failures, waiting, warned = [], set(futures), False
    try:
        with progress_bar(sum(map(work, configs)), f"{len(configs)} runs", "{percentage:3.0f}%") as bar:
            while waiting:
                done, waiting = concurrent.futures.wait(waiting, timeout=0.5)
                for future in done:
                    problem = failure(future) or lost(store, futures[future])
                    if problem:
                        failures.append(f"{store.name(futures[future])}: {problem}")
                    else:
                        report(futures[future])
                        for remark in future.result() or ():
                            warnings.warn(remark, stacklevel=3)
                bar.n = sum(work(config) for future, config in futures.items() if future not in waiting)
                bar.n += sum(executor.progress) if own else 0
                bar.set_postfix(runs=f"{len(futures) - len(waiting)}/{len(futures)}", refresh=False)
                bar.refresh()
                if not own and has_no_workers(executor) != warned:
                    warned = not warned
                    print("addrnn: " + ("the cluster has no worker; waiting for one" if warned else
                                        "the cluster has workers again"), file=sys.stderr)
    except KeyboardInterrupt:
        raise interrupt("finished runs are kept, the others go on from here") from None
    finally:
        for future in waiting:
            future.cancel()
        if own:
            executor.shutdown(cancel_futures=bool(waiting))
    if failures:
        raise RuntimeError("\n".join(failures))


def work_of_a_batch(config):
    """About how many multiplications a batch takes."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[config.cell]
    return config.batch_size * config.digit_len * config.layers * gates * config.hidden**2


def work(config):
    """About how many multiplications a run takes."""
    return config.batches * work_of_a_batch(config)


def failure(future):
    """Why a finished future has no result, in one line; None where it has one."""
    if future.cancelled():
        return "it was cancelled (its scheduler is gone?)"
    if error := future.exception():
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return None


def lost(store, config):
    """Why a run that was trained has no record here, in one line; None where it has one."""
    if store.path(config).exists():
        return None
    return f"trained, but no record of it came to {store.folder}: do its workers see this folder?"


def has_no_workers(executor):
    """Whether an executor is a Dask client's and its cluster has no worker."""
    client = getattr(executor, "_client", None)
    return client is not None and not client.scheduler_info(n_workers=-1)["workers"]


# Processes

class Process(multiprocessing.context.SpawnProcess):
    """A process that neither runs the user's script again, as spawned ones do without an `if __name__ == "__main__"`,
    nor hears Ctrl-C, which is the parent's to handle."""

    starting = threading.Lock()

    @staticmethod
    def _Popen(process):
        with Process.starting:
            script, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
            before = None
            if hasattr(signal, "pthread_sigmask"):
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the process inherits
            try:
                return multiprocessing.context.SpawnProcess._Popen(process)
            finally:
                sys.modules["__main__"] = script
                if before is not None:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Context(multiprocessing.context.SpawnContext):
    Process = Process


class Workers(concurrent.futures.ThreadPoolExecutor):
    """As many processes as cores, each behind a thread of its own: one that dies fails its own task alone."""

    def __init__(self):
        super().__init__(max_workers=cores())
        self.stop_event = Context().Event()
        self.progress = Context().RawArray("d", cores())  # of the run that each process is at, as `work` counts
        self.places = itertools.count()
        self.pools = []
        self.here = threading.local()  # the process behind a thread, and its place in `progress`

    def submit(self, task, /, *arguments):
        """As `Executor.submit`; the task's future raises RuntimeError if its process dies."""
        return super().submit(self._run, task, arguments)

    def _run(self, task, arguments):
        if not hasattr(self.here, "place"):
            self.here.place, self.here.pool = next(self.places), None
        if self.here.pool is None:
            self.here.pool = concurrent.futures.ProcessPoolExecutor(
                1, mp_context=Context(), initializer=_begin, initargs=(self.stop_event, self.progress, self.here.place))
            self.pools.append(self.here.pool)
        try:
            return _result(self.here.pool, self.here.pool.submit(task, *arguments))
        except BrokenProcessPool:
            self.here.pool.shutdown(wait=False)
            self.here.pool = None
            raise RuntimeError("its worker process died (killed, or out of memory)") from None
        finally:
            self.progress[self.here.place] = 0

    def shutdown(self, wait=True, *, cancel_futures=False):
        """As `Executor.shutdown`; with `cancel_futures` the tasks under way are asked to stop as well."""
        if cancel_futures:
            self.stop_event.set()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        for pool in self.pools:
            pool.shutdown(wait=wait)


def _result(pool, future):
    """The result of a pool's future. Raises BrokenProcessPool where nobody is left to bring it.

    A pool's own thread ends without a word where it finds no room for another thread: its futures would wait for ever.
    """
    manager = getattr(pool, "_executor_manager_thread", None)
    while not concurrent.futures.wait([future], timeout=2).done:
        if manager is not None and not manager.is_alive() and not future.done():
            for process in list((pool._processes or {}).values()):
                process.kill()  # else the end of this process would wait for it
                process.join()
            raise BrokenProcessPool("its pool's thread has ended")
    return future.result()


def cores():
    """Cores that this process may use."""
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """What a worker process knows of its parent; nothing in any other process."""

    stop_event = progress = place = None


def _begin(stop_event, progress, place):
    """Set up a worker process."""
    Worker.stop_event, Worker.progress, Worker.place = stop_event, progress, place
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def asked_to_stop():
    """Whether the parent of this worker process wants it to stop; False elsewhere."""
    return Worker.stop_event is not None and Worker.stop_event.is_set()


def note_progress(done):
    """Tell the parent of this worker process how much of its run is done, as `work` counts."""
    if Worker.progress is not None:
        Worker.progress[Worker.place] = done
