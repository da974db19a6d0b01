"""What README says stands in the project."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT
from test_doors import listing

from addlab.study import claims

README = (ROOT / "README.md").read_text()


def test_verdicts_in_readme_are_those_of_the_notebooks(monkeypatch):
    monkeypatch.delenv("ADDRNN_HOME", raising=False)
    assert claims.summary() in README, "python -m addlab.study.claims prints the table as it is now"


def blocks(language):
    """The fenced blocks of README in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What a clone holds after its two commands, in a folder of its own: links, but for what is written."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name in ("addrnn.py", "addlab", "notebooks", "records"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("python", "papermill"):
        command = folder / ".venv" / "bin" / name
        module = "" if name == "python" else "-m papermill"
        command.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" {module} "$@"\n')
        command.chmod(0o755)
    return folder


def shell(text, folder):
    """The finished process of a block, run as it stands."""
    environment = {name: value for name, value in os.environ.items() if name not in ("ADDRNN_HOME", "PYTHONPATH")}
    return subprocess.run(["bash", "-e", "-c", text], cwd=folder, capture_output=True, text=True,
                          env=environment | {"OMP_NUM_THREADS": "1", "XDG_DATA_HOME": str(folder / "user")})


def test_the_two_commands_are_those_of_ci():
    first, *_ = blocks("sh")
    assert set(first.splitlines()) == set(re.findall(r"^make \w+", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))


def test_what_readme_shows_is_what_the_command_prints(clone):
    (block,) = blocks("console")
    command, *shown = block.removeprefix("$ ").splitlines()
    done = shell(command, clone)
    printed = [line.partition(", ")[0] for line in done.stdout.splitlines()]  # without the seconds
    assert done.returncode == 0 and printed[-len(shown) :] == shown


AS_SHELL = blocks("sh")[1:] + [f".venv/bin/python - <<'END'\n{text}END" for text in blocks("python")]


@pytest.mark.parametrize("block", AS_SHELL, ids=lambda block: block.split()[1])
def test_every_block_of_readme_runs_as_it_stands(block, clone):
    before = listing(ROOT / "records")
    done = shell(block, clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and listing(ROOT / "records") == before


def test_files_that_readme_names_exist():
    linked, named = re.findall(r"\]\(([^)#:]+)\)", README), re.findall(r"`([\w/]+(?:\.(?:py|yml)|/))`", README)
    assert linked and named
    assert not [name for name in linked + named if not (ROOT / name).exists() and name != "lab/"]


def test_readme_is_short():
    assert len(README.splitlines()) < 120


def test_three_lines_open_a_record_and_all_its_keys_are_explained():
    text = (ROOT / "records" / "README.md").read_text()
    lines = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert len(lines.splitlines()) == 3
    names = {}
    exec(lines.replace("records/runs", str(ROOT / "records" / "runs")), names)
    table = text.split("## The rest")[0]
    explained = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)))
    assert set(explained) == set(names["record"]) - {"format"}
