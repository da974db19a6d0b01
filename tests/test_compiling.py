"""The engine's kernels on disk, in threads and at Python's end: what goes wrong there costs time, never a result."""

import os
import pty
import resource
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT

STEP = textwrap.dedent("""
    import torch
    from addlab import engine
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    engine.Adam([p], 0.5).step()
    print([round(x, 4) for x in p.tolist()])
""")
RIGHT = "[0.5, 0.5, 0.5]\n"
THREADS = textwrap.dedent("""
    import atexit, os, sys
    import numpy as np, torch, addrnn
    torch.set_num_threads(2)
    model, numbers = addrnn.Adder(addrnn.Config(layers=1)), np.ones((2, 40, 3), int)
    said = model.predict(*numbers)
""")


def run(code, cache, home=ROOT, **options):
    """Run code in a new process that keeps its kernels in the folder `cache`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(home)}
    return subprocess.run([sys.executable, "-c", code], cwd=home, text=True, timeout=300, stdout=subprocess.PIPE,
                          env=environment | options.pop("environment", {}),
                          **{"stderr": subprocess.PIPE} | options)


def in_terminal(code, cache):
    """What a terminal shows of it on standard error."""
    ours, theirs = pty.openpty()
    assert run(code, cache, stderr=theirs).stdout == RIGHT
    os.set_blocking(ours, False)
    try:
        return os.read(ours, 10_000).decode()
    except BlockingIOError:
        return ""
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_kernel_whose_part_moved_to_another_file_is_compiled_anew(tmp_path):
    home = tmp_path / "home"
    shutil.copytree(ROOT / "addlab", home / "addlab", ignore=shutil.ignore_patterns("__pycache__"))
    kernels, moved = home / "addlab" / "engine" / "parameters.py", home / "addlab" / "engine" / "moved.py"
    source = kernels.read_text()
    assert source.count("np.float32(1e-8)") == 1
    kernels.write_text("from addlab.engine.moved import least\n" + source.replace("np.float32(1e-8)", "least()"))
    said = []
    for number in ("1e-8", "1.0", "1.0"):
        moved.write_text(f"import numba, numpy as np\n@numba.njit\ndef least():\n    return np.float32({number})\n")
        said.append(run(STEP, tmp_path / "cache", home).stdout)
    assert said == [RIGHT, "[0.75, 0.75, 0.75]\n", "[0.75, 0.75, 0.75]\n"]


def test_a_terminal_is_told_of_compiling_only_where_something_compiles(tmp_path):
    told = "addrnn: compiling the engine for this processor, once: some twenty seconds\r\n"
    assert in_terminal(STEP, tmp_path) == told
    assert in_terminal(STEP, tmp_path) == ""


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    os.truncate(path, 0)


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [truncate, empty, replace_by_a_folder])
def test_a_damaged_kernel_on_disk_is_named_in_one_line_and_compiled(damage, tmp_path):
    assert run(STEP, tmp_path).stderr == ""
    files = sorted(tmp_path.rglob("*.nb[ci]"))
    assert len(files) == 2
    for path in files:
        damage(path)
        found = run(STEP, tmp_path)
        assert found.stdout == RIGHT
        line, = found.stderr.splitlines()
        assert line.startswith(f"addrnn: {path}: got ") and line.endswith("; the engine is compiled without it")
        if damage is replace_by_a_folder:
            path.rmdir()
        assert run(STEP, tmp_path).stderr == ""  # which kept it anew


def test_kernels_of_another_user_that_cannot_be_read_are_one_line():
    prepare = "import os, numba, torch\nnumba.njit(lambda x: x + 1)(1)\nfrom addlab import engine\n"
    nobody = "os.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n" if os.geteuid() == 0 else ""  # root reads all
    with tempfile.TemporaryDirectory() as folder:  # whose parents anybody may enter
        assert run(STEP, folder).stderr == ""
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(0o777 if path.is_dir() else 0)
        found = run(prepare + nobody + STEP, folder)
    assert found.stdout == RIGHT, found.stderr
    line, = found.stderr.splitlines()
    assert line.startswith(f"addrnn: {folder}") and "PermissionError" in line


def test_a_disk_without_room_for_kernels_is_one_line(tmp_path):
    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    found = run(STEP, tmp_path, preexec_fn=no_room)
    assert found.stdout == RIGHT
    line, = found.stderr.splitlines()
    assert line.startswith(f"addrnn: {tmp_path}") and "OSError: [Errno 27]" in line
    assert run(STEP, tmp_path).stderr == ""


def test_without_numbas_compiler_the_reason_is_one_line(tmp_path):
    found = run(STEP, tmp_path, environment={"NUMBA_DISABLE_JIT": "1"})
    assert found.stderr.splitlines()[-1].endswith(
        "Refusal: NUMBA_DISABLE_JIT: got 1, allowed is 0 or none, since the engine is compiled")


def test_a_forked_process_has_threads_of_its_own(tmp_path):
    code = THREADS + textwrap.dedent("""
        child = os.fork()
        if not child:
            os._exit(not (model.predict(*numbers) == said).all())
        print(os.waitpid(child, 0)[1])
    """)
    assert run(code, tmp_path / "none", environment={"NUMBA_CACHE_DIR": ""}).stdout == "0\n"


def test_a_model_answers_while_python_exits(tmp_path):
    code = THREADS + "atexit.register(lambda: print((model.predict(*numbers) == said).all()))\n"
    assert run(code, tmp_path, environment={"NUMBA_CACHE_DIR": ""}).stdout == "True\n"
