"""The Makefile in a folder of its own: whose folder an installation is for, what `clean` spares, names of folders."""

import os
import shutil
import subprocess

import pytest
from conftest import ROOT

INSTALLS = "-m venv --clear .venv"


def make(folder, *arguments):
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True,
                          env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")})


@pytest.fixture
def checkout(tmp_path):
    """A folder that has all that the Makefile looks at."""
    folder = tmp_path / "addrnn"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def install(folder):
    """Leave the stamp that an installation leaves, by the name that make itself gives it."""
    rules = make(folder, "-pn", "test").stdout.splitlines()
    stamp, = {line.removeprefix("test:").strip() for line in rules if line.startswith("test:")}
    (folder / stamp).parent.mkdir(exist_ok=True)
    (folder / stamp).touch()


def test_what_is_installed_is_not_installed_again(checkout):
    assert INSTALLS in make(checkout, "-n", "test").stdout
    install(checkout)
    assert INSTALLS not in make(checkout, "-n", "test").stdout
    os.utime(checkout / "constraints.txt", (2**32, 2**32))
    assert INSTALLS in make(checkout, "-n", "test").stdout


def test_a_copied_checkout_installs_itself(checkout):
    install(checkout)
    copy = checkout.with_name("mine")
    shutil.copytree(checkout, copy)  # its .venv runs the original's code
    assert INSTALLS in make(copy, "-n", "test").stdout and INSTALLS not in make(checkout, "-n", "test").stdout


def test_clean_removes_what_is_built_and_nothing_that_a_user_made(checkout):
    made = {"lab/records/runs/default/seed0.json", "records/verdicts.json", "figures/mine.svg", "notebooks/mine.ipynb",
            "addlab/mine.py", "mine.safetensors"}
    built = {"report/index.html", "build/x", ".pytest_cache/x", "__pycache__/x", "addlab/engine/__pycache__/x"}
    for name in made | built:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("x")
    assert make(checkout, "clean").returncode == 0
    left = {str(path.relative_to(checkout)) for path in checkout.rglob("*") if path.is_file()}
    assert made <= left and not built & left


@pytest.mark.parametrize("name", ["a$b", "{x}", 'dou"ble', "a:b", "`a`", "back\\slash"])
def test_a_folder_in_which_nothing_can_be_installed_is_refused_in_one_line(name, checkout):
    folder = checkout.rename(checkout.with_name(name))
    done = make(folder, "test", "PYTHON=false")
    line, by_make = done.stderr.splitlines()
    assert line == (f"addrnn: folder: got {folder}, allowed is a name without : {{ }} $ \" ` \\, "
                    "where venv and pip cannot install")
    assert done.returncode == 2 and by_make.startswith("make: ***")


@pytest.mark.parametrize("name", ["R&D", "50%", "it's", "two words", "#1 [y]", "数"])
def test_a_folder_of_another_unusual_name_is_installed_in(name, checkout):
    folder = checkout.rename(checkout.with_name(name))
    assert "false is not one" in make(folder, "test", "PYTHON=false").stderr  # the next thing that is looked at
    install(folder)
    assert INSTALLS not in make(folder, "-n", "report").stdout
