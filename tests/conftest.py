import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
settings.register_profile("here", deadline=None)  # a noisy machine makes deadlines lie
settings.load_profile("here")
torch.set_num_threads(1)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A place of its own for records/ and figures/."""
    monkeypatch.setenv("ADDRNN_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def shelf(home):
    """A home of one's own with the shipped records in it: verdicts and figures go there."""
    (home / "records").mkdir()
    for path in (ROOT / "records").iterdir():
        if path.is_dir():
            (home / "records" / path.name).symlink_to(path)
        elif path.name != "verdicts.json":
            shutil.copy(path, home / "records")
    return home


@pytest.fixture
def command(tmp_path):
    """Run addrnn.py as a user does; returns the finished process."""
    def run(*arguments, **options):
        return subprocess.run([sys.executable, ROOT / "addrnn.py", *arguments], capture_output=True, text=True,
                              cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options)
    return run


def shown_while_run(notebook, **options):
    """Run a notebook in a real kernel, in place; the texts of all outputs as they came, replaced ones, too."""
    texts = []

    class Client(nbclient.NotebookClient):
        def output(self, outs, msg, display_id, cell_index):
            texts.append(msg["content"].get("data", {}).get("text/plain", ""))
            return super().output(outs, msg, display_id, cell_index)

    Client(notebook, **options).execute()
    return texts
