"""What README says stands in the project."""

import re
import shlex

from conftest import ROOT

import addrnn
from addlab.study import claims

README = (ROOT / "README.md").read_text()


def test_verdicts_in_readme_are_those_of_the_notebooks(monkeypatch):
    monkeypatch.delenv("ADDRNN_HOME", raising=False)
    assert claims.summary() in README, "python -m addlab.study.claims prints the table as it is now"


def test_what_readme_shows_first_is_what_the_command_prints(capsys):
    command, *shown = re.search(r"```console\n\$ (.*?)```", README, re.DOTALL)[1].splitlines()
    python, script, *arguments = shlex.split(command)
    assert (python, script) == (".venv/bin/python", "addrnn.py")
    addrnn.main(arguments)
    printed = [line.partition(", ")[0] for line in capsys.readouterr().out.splitlines()]  # without the seconds
    assert printed[-len(shown) :] == shown


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


def test_dependencies_stand_once():
    environment = (ROOT / "environment.yml").read_text()
    assert "torch" not in environment and "numpy" not in environment and "--editable ." in environment
