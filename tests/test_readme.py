"""What README says stands in the project."""

import json
import re

from conftest import ROOT

from tools import bench
from addlab.study import claims as verdicts

README = (ROOT / "README.md").read_text()


def test_verdicts_in_readme_are_those_of_the_notebooks():
    assert verdicts.summary() in README


def test_times_in_readme_are_those_that_bench_left():
    measured = json.loads((ROOT / "records" / "bench.json").read_text())
    lines = [bench.line(measured["rows"][i : i + 4]) for i in range(0, len(measured["rows"]), 4)]
    assert len(lines) == len(bench.FULL) and "\n".join([bench.HEAD, *lines]) in README
    assert len(measured["profiles"]) == len(bench.PROFILED) and bench.parts_table(measured["profiles"]) in README


def test_files_that_readme_names_exist():
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"`([\w/]+\.(?:py|yml|svg|json|ipynb))`", README)
    assert len(named) > 10 and not [name for name in named if not (ROOT / name).exists()]


def test_dependencies_stand_once():
    environment = (ROOT / "environment.yml").read_text()
    assert "torch" not in environment and "numpy" not in environment and "--editable ." in environment
