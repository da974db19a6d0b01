"""Several machines: Dask's workers die, all of them too."""

import os
import signal
import threading
import time

import pytest
from test_kills import FOUR, LONGER, assert_clean
from test_runs import TINY, same, wait_until

import addrnn

distributed = pytest.importorskip("distributed")


def test_dask_does_the_runs_of_a_killed_worker_elsewhere(home, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("ADDRNN_CHECKPOINT_SECONDS", "0")
    configs, store = [LONGER, *FOUR], addrnn.store()
    with (distributed.LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
          as cluster, distributed.Client(cluster) as client):
        processes, killed = client.run(os.getpid), []

        def kill():
            wait_until(lambda: store.path(LONGER, "checkpoint").exists())
            busy = next(worker for worker, tasks in client.processing().items() if tasks)
            killed.append(processes[busy])
            os.kill(processes[busy], signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        found = addrnn.sweep(configs, executor=client.get_executor())
        killer.join()
        assert killed
    assert all(same(run, addrnn.train(run.config)) for run in found)
    assert_clean(store, configs)


def test_a_cluster_without_workers_is_said_while_a_sweep_waits(home, capsys):
    with (distributed.LocalCluster(n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
          as cluster, distributed.Client(cluster) as client):
        later = threading.Thread(target=lambda: (time.sleep(5), cluster.scale(1)))
        later.start()
        run, = addrnn.sweep([TINY], executor=client.get_executor())
        later.join()
    assert same(run, addrnn.train(TINY))
    assert capsys.readouterr().err.splitlines()[:2] == ["addrnn: the cluster has no worker; waiting for one",
                                                        "addrnn: the cluster has workers again"]
