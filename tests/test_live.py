"""A figure that grows with its run: seen while it trains, and in a stored notebook the finished figure alone."""

from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import addrnn
from addlab.study import live, plots
from addrnn import Config, Run

TRAIN = """
import addrnn
from addlab.study import live, plots
plots.use_style()
live.EVERY, drawn, frame = 0, [], live.frame
live.frame = lambda run: drawn.append(len(run.loss)) or frame(run)
curves = live.Curves("test", kind="layers")
for layers in (1, 2):
    addrnn.train(addrnn.Config(digit_len=2, batches=15, hidden=4, embedding=2, layers=layers), on_batch=curves)
print(drawn)
"""


def trained(folder, monkeypatch):
    """The outputs of a notebook that trains two runs in a kernel of its own, and the figure on the disk."""
    monkeypatch.setenv("ADDRNN_HOME", str(folder))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TRAIN)])
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    return notebook.cells[0].outputs, (folder / "figures" / "test.svg").read_text()


def test_a_stored_notebook_keeps_the_finished_figure_alone_the_same_bytes_each_time(tmp_path, monkeypatch):
    for folder in (tmp_path / "a", tmp_path / "b"):
        outputs, svg = trained(folder, monkeypatch)
        pictures = [output for output in outputs if "image/svg+xml" in output.get("data", {})]
        assert len(pictures) == 1 and pictures[0].data["image/svg+xml"] == svg
        assert pictures[0].metadata["name"] == "test" and pictures[0].metadata["alt"] in svg
        (caption,) = [output for output in outputs if output.get("metadata", {}).get("caption_of") == "test"]
        assert caption.data["text/markdown"] == live.CAPTION
        (said,) = [output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"]
        assert said.split() == str([*range(1, 15), *range(1, 15)]).split()  # a frame for every batch but the last
    assert (tmp_path / "a" / "figures" / "test.svg").read_text() == svg


def test_frames_come_no_faster_than_they_are_asked_for_and_the_last_batch_always_counts(home, monkeypatch):
    frames, figures = [], []
    monkeypatch.setattr(live, "EVERY", 1e9)
    monkeypatch.setattr(live.Curves, "show",
                        lambda self, data, about: (figures if about else frames).append(data["image/svg+xml"]))
    run = addrnn.train(Config(digit_len=2, batches=12, hidden=4, embedding=2), on_batch=live.Curves("test"))
    assert len(run.loss) == 12 and len(frames) == len(figures) == 1  # one at once, none within the pause
    assert figures[0] == (home / "figures" / "test.svg").read_text()


@pytest.mark.parametrize("batches", [1, 7, 1000])
def test_a_frame_shows_both_curves_inside_its_bounds(batches):
    plots.use_style()
    run = Run(Config(), np.geomspace(9, 1e-6, batches).tolist(), np.linspace(0, 1, batches).tolist())
    svg = ElementTree.fromstring(live.frame(run))
    lines = svg.findall("{*}polyline")
    assert len(lines) == 2
    for line in lines:
        points = np.array([point.split(",") for point in line.get("points").split()], float)
        assert len(points) <= 200 and (np.diff(points[:, 0]) > 0).all() and (np.diff(points[:, 1]) * np.sign(
            points[-1, 1] - points[0, 1]) >= 0).all()
        assert (points >= 0).all() and (points <= [float(svg.get("width")), float(svg.get("height"))]).all()
    assert f"batch {batches} of 1000" in svg.find("{*}text").text


@pytest.mark.parametrize("losses", [[float("nan")], [2.3, 2.4, 1e7], [2.3] * 15 + [float("inf")]])
def test_a_run_that_diverges_ends_in_a_figure_too(losses, home):
    plots.use_style()
    run = Run(Config(), loss=losses, batch_accuracy=[0.0] * len(losses), diverged=True)
    live.Curves("test")(run)
    assert "Seed 0 takes more than 1000 batches" in (home / "figures" / "test.svg").read_text()
