"""The shape of the house: what may import what, and how much a clone weighs."""

import ast
import graphlib
import subprocess

import pytest
from conftest import ROOT

FLOORS = {"addlab.engine": 0, "addrnn": 1, "addlab.article": 2, "addlab.certify": 2, "addlab.study": 2,
          "tools": 3}


def modules():
    """{name: path} of all modules of ours."""
    paths = [ROOT / "addrnn.py", *(ROOT / "addlab").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(name, path, known):
    """The modules of ours that a module imports, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(name.split(".")[: -node.level]) if node.level else ""
            module = ".".join(filter(None, [package, node.module]))
            members = {f"{module}.{alias.name}" for alias in node.names}
            found |= members & known if members <= known else members | {module}  # modules of a package, or names
    return (found & known) - {name}


def floor(name):
    return next(level for prefix, level in FLOORS.items() if f"{name}.".startswith(f"{prefix}."))


def graph():
    known = modules()
    del known["addlab"]  # the package itself, which begins before any of its modules
    return {name: imports(name, path, set(known)) for name, path in known.items()}


def test_nothing_lower_knows_anything_higher():
    upward = [f"{name} imports {other}" for name, others in graph().items() for other in others
              if floor(other) > floor(name)]
    assert not upward


def test_no_circle_of_imports():
    list(graphlib.TopologicalSorter(graph()).static_order())  # raises CycleError


def test_the_checker_imports_nothing_of_ours():
    assert not graph()["addlab.certify.checker"]


def test_a_clone_is_small():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no clone")
    sizes = [path.stat().st_size for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    assert sum(sizes) < 40e6
