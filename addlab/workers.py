"""Training many runs: worker processes of one thread each, of which none outlives its parent or its own fault.

A worker is this module run as a program: it reads pickled tasks on its standard input and answers on its standard
output. joblib's and concurrent.futures' pools lose all runs when one worker is killed; here each fails its own alone.
"""

import concurrent.futures
import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings

import torch

from addlab import devices, engine
from addlab.inputs import Refusal, shown
from addlab.progress import interrupt, progress_bar

# One run

def train_stored(config, store, training_of, device, keep_weights=True, checkpoint_seconds=60):
    """Train one run into a store, from its checkpoint if there is one; waits if another process is at it.

    training_of(config, device) begins the training of a config. Returns what is to be said about the checkpoint: a list
    of lines.
    """
    remarks = []
    with store.lock(config), engine.one_thread():
        if store.read(config, tell=lambda _: None) is None:  # the parent has said what is wrong with the record
            training = training_of(config, device)
            store.load_checkpoint(training, remarks.append)
            saved = time.monotonic()
            while not training.run.done and not Worker.asked_to_stop.is_set():
                training.step()
                Worker.tell("progress", len(training.run.loss) * work_of_a_batch(config))
                if time.monotonic() - saved >= checkpoint_seconds or Worker.asked_to_stop.is_set():
                    with contextlib.suppress(OSError):  # a full disk may have room again when the run is done
                        store.save_checkpoint(training)
                    saved = time.monotonic()
            if training.run.done:
                store.write(training.run, keep_weights)
        if store.read(config, tell=lambda _: None) is not None:
            store.tidy(config)
    return remarks


def checkpoint_seconds():
    """Seconds between checkpoints, of the variable ADDRNN_CHECKPOINT_SECONDS; raises ValueError for no such number."""
    text = os.environ.get("ADDRNN_CHECKPOINT_SECONDS", "60")
    with contextlib.suppress(ValueError):
        if float(text) >= 0:
            return float(text)
    raise Refusal(f"ADDRNN_CHECKPOINT_SECONDS: got {shown(text)}, allowed is a number of seconds, 0 or more")


def work_of_a_batch(config):
    """About how many multiplications a batch takes."""
    return config.batch_size * config.digit_len * config.layers * engine.gates(config.cell) * config.hidden**2


def work(config):
    """About how many multiplications a run takes."""
    return config.batches * work_of_a_batch(config)


# Many runs

def sweep(configs, kind, store, training_of, executor=None, device=None):
    """The runs of configs, instances of `kind`, in order, read from the store; what it lacks is trained first."""
    configs = list(configs)
    for config in configs:
        if not isinstance(config, kind):
            raise Refusal(f"configs: got {shown(config)}, allowed is a list of addrnn.Config")
    devices.pick_device(device)
    runs = {config: store.read(config) for config in dict.fromkeys(configs)}
    missing = [config for config in runs if runs[config] is None]
    if missing:
        missing = sorted(missing, key=work, reverse=True)
        try:
            train_all(missing, store, training_of, executor, device)
        except KeyboardInterrupt as stop:
            raise stop.with_traceback(None) from None  # it says what is kept; the calls that led there say no more
        runs |= {config: store.read(config) for config in missing}
    return [runs[config] for config in configs]


def train_all(configs, store, training_of, executor=None, device=None, keeps_weights=lambda _: True,
              report=lambda _: None):
    """Train configs into a store, begun in their order, and call `report` with each that is done.

    `executor` is any concurrent.futures.Executor whose workers see the store's folder; by default one process of one
    thread for each core, on a GPU as many as its memory holds. Ctrl-C keeps what is done.
    Raises RuntimeError, one line for each run that failed, after the others are done.
    """
    seconds, own = checkpoint_seconds(), executor is None
    store.make_ready(configs)
    engine.prepare()  # so that kernels are compiled once, not in every worker
    if own:
        picked = devices.pick_device(device)
        fit = devices.workers_that_fit() if picked.type == "cpu" else devices.runs_that_fit(configs, picked)
        executor = Workers(min(fit, len(configs)))
    futures = {executor.submit(train_stored, config, store, training_of, device, keeps_weights(config), seconds): config
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
                            warnings.warn(remark, stacklevel=4)
                bar.n = sum(work(config) for future, config in futures.items() if future not in waiting)
                bar.n += sum(executor.progress.values()) if own else 0
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
    if not type(executor).__module__.startswith("distributed"):
        return False
    from distributed import Client
    client = Client.current()
    return not client.scheduler_info(n_workers=-1)["workers"]


# Processes

class Workers(concurrent.futures.ThreadPoolExecutor):
    """So many processes, each behind a thread of its own: one that dies fails its own task alone."""

    def __init__(self, count):
        super().__init__(max_workers=count)
        self.progress = {}  # {a thread's number: what its process has done of its run, as `work` counts}
        self.processes = []
        self.here = threading.local()  # the process behind a thread

    def submit(self, task, /, *arguments):
        """As `Executor.submit`; the task's future raises RuntimeError if its process dies."""
        return super().submit(self.run, task, arguments)

    def run(self, task, arguments):
        """Let this thread's process do a task; returns its result."""
        if getattr(self.here, "process", None) is None:
            self.here.process = start_worker()
            self.processes.append(self.here.process)
        process = self.here.process
        try:
            pickle.dump((task, arguments), process.stdin)
            process.stdin.flush()
            while (answer := pickle.load(process.stdout))[0] == "progress":
                self.progress[threading.get_ident()] = answer[1]
        except (OSError, EOFError, pickle.UnpicklingError):
            self.here.process = None
            process.kill()
            process.wait()
            raise RuntimeError("its worker process died (killed, or out of memory)") from None
        finally:
            self.progress[threading.get_ident()] = 0
        kind, value = answer
        if kind == "failed":
            raise RuntimeError(value)
        return value

    def shutdown(self, wait=True, *, cancel_futures=False):
        """As `Executor.shutdown`; with `cancel_futures` the tasks under way are asked to stop as well."""
        if cancel_futures:
            for process in self.processes:
                with contextlib.suppress(OSError):
                    pickle.dump("stop", process.stdin)
                    process.stdin.flush()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        for process in self.processes:
            with contextlib.suppress(OSError):
                process.stdin.close()  # which ends it
            process.wait()
            process.stdout.close()


def start_worker():
    """A worker process that does not hear Ctrl-C, which is the parent's to handle."""
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        return subprocess.Popen([sys.executable, "-P", "-m", "addlab.workers"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path})
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Worker:
    """What a worker process knows of its parent; in any other process nobody listens, and nobody asks it to stop."""

    asked_to_stop = threading.Event()
    answers = None

    @classmethod
    def tell(cls, kind, value):
        """Tell the parent: "progress", "done" or "failed", and how much, the result, or why."""
        if cls.answers is not None:
            pickle.dump((kind, value), cls.answers)
            cls.answers.flush()


def serve():
    """Be a worker: do the tasks that come on standard input until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Worker.answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a task prints is no answer
    torch.set_num_threads(1)
    tasks = queue.SimpleQueue()
    threading.Thread(target=listen, args=(tasks,), daemon=True).start()
    while True:
        task, arguments = tasks.get()
        try:
            Worker.tell("done", task(*arguments))
        except Exception as error:
            if not isinstance(error, ValueError | OSError | MemoryError):
                traceback.print_exc()  # a defect of ours, or too little memory: the parent says one line of it
            Worker.tell("failed", (str(error).strip().splitlines() or [type(error).__name__])[0])


def listen(tasks):
    """Put what the parent sends into a queue; end this process when the parent is gone."""
    try:
        while True:
            message = pickle.load(sys.stdin.buffer)
            if message == "stop":
                Worker.asked_to_stop.set()
            else:
                tasks.put(message)
    except EOFError:
        os._exit(0)  # whatever it is at: nobody is left to hear of it
    except Exception as error:  # a task of the user's own main module, which is not here
        Worker.tell("failed", f"a worker cannot read its task: {error}")
        os._exit(1)


if __name__ == "__main__":
    from addlab import workers  # as tasks know it
    workers.serve()
