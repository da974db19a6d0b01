"""The shape of the house: what may import what, and how much a clone weighs."""

import ast
import graphlib
import subprocess

import pytest
from conftest import ROOT

FLOORS = {"addlab.certify": 2, "addlab.study": 2, "addlab.article": 2, "addlab.command": 2, "addlab": 0, "addrnn": 1,
          "tools": 3}


def modules():
    """{name: path} of all modules of ours."""
    paths = [ROOT / "addrnn.py", *(ROOT / "addlab").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def is_program(node):
    """Whether this is what a module does when it is run as a program, and never when it is imported."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def imports(name, path, known):
    """The modules of ours that a module imports, also inside its functions."""
    found, module = set(), ast.parse(path.read_text())
    module.body = [node for node in module.body if not is_program(node)]
    for node in ast.walk(module):
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


def test_the_lesson_is_read_in_a_quarter_of_an_hour():
    assert len((ROOT / "addrnn.py").read_text().splitlines()) <= 348


def test_each_module_is_one_thing_of_350_lines():
    """All but the checker, which stands alone and says why it is one file."""
    long = {name for name, path in modules().items() if len(path.read_text().splitlines()) > 350}
    assert long == {"addlab.certify.checker"}


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
