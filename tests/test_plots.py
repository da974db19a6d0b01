"""Figures: the same bytes for the same runs, whoever draws them; one clear line where they cannot be written."""

import dataclasses
import os
import re
import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from addlab.study import plots, svg
from addrnn import Config

DRAW = """
import numpy as np
from addlab.study import plots
plots.use_style()
fig, (left, right) = plots.figure("A finding", columns=2)
plots.axis(left, "loss", "batch", "nats", log="xy", xlim=(1, 100))
plots.curves(left, {n: [(range(1, 101), n / np.arange(1, 101))] * 3 for n in (10, 100)},
             {n: plots.colour("digit_len", n) for n in (10, 100)}, {n: plots.name("digit_len", n) for n in (10, 100)})
plots.claim(left, "C0", x=(10, 20))
plots.dots(right, {"RNN": [1, 2, np.inf], "GRU": [3, 4, 5]}, plots.CELLS)
plots.claim(right, "never", y=1)
plots.save(fig, "test", "how it is drawn", "what is seen")
"""


@pytest.fixture(autouse=True)
def style():
    plots.use_style()


def draw(folder, **environment):
    done = subprocess.run([sys.executable, "-W", "error", "-c", DRAW], capture_output=True, text=True,
                          env=os.environ | {"ADDRNN_HOME": str(folder)} | environment)
    assert done.returncode == 0, done.stderr
    assert not done.stdout and not done.stderr
    return (folder / "figures" / "test.svg").read_bytes()


def test_same_runs_give_the_same_bytes_whatever_the_users_settings(tmp_path):
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nsvg.fonttype: none\naxes.grid: False\n")
    plain = draw(tmp_path / "a", PYTHONHASHSEED="1")
    assert plain == draw(tmp_path / "b", PYTHONHASHSEED="2", MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    text = plain.decode()
    assert "<title>what is seen</title>" in text and 'aria-label="what is seen"' in text
    assert "<dc:date>" not in text and "<text" not in text  # letters are drawn, so that no font is missed


def test_panels_stand_below_one_another_on_a_phone(tmp_path):
    draw(tmp_path)
    sizes = [[float(ElementTree.parse(tmp_path / "figures" / name).getroot().get(side).removesuffix("pt"))
              for side in ("width", "height")] for name in ("test.svg", "narrow/test.svg")]
    (width, height), (narrow, tall) = sizes
    assert narrow < 0.6 * width and tall == pytest.approx(2 * height)


def test_labels_of_a_phones_panel_are_broken_before_they_are_cut_off():
    fig, ax = plots.figure("A finding")
    plots.axis(ax, "The title of a panel that is as long as this", "a name of the axis, longer than a phone is wide")
    plots.dots(ax, {"a row whose name is longer than half a phone": [1, 2], "short": [1]})
    plots.stack(fig)
    fig.draw_without_rendering()
    width, height = fig.get_size_inches() * fig.dpi
    for text in (ax.xaxis.label, ax._left_title, fig._suptitle, *ax.get_yticklabels()):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    (low, high), short = (label.get_window_extent().intervaly for label in ax.get_yticklabels())
    assert high < short[0] or short[1] < low


def test_a_phones_panel_shows_the_same_part_of_the_plane():
    fig, axes = plots.figure("A finding", columns=2)
    for ax in axes:
        plots.axis(ax, log="xy", xlim=(30, 1000))
        ax.plot([30, 1000], [2.3, 0.002])
    limits = [(ax.get_xlim(), ax.get_ylim()) for ax in axes]
    plots.stack(fig)
    assert [(ax.get_xlim(), ax.get_ylim()) for ax in axes] == limits


def test_a_colour_bar_stays_beside_its_panels_on_a_phone():
    fig, axes = plots.figure("A finding", columns=3)
    for ax in axes:
        image = ax.imshow([[1, 2]])
    fig.colorbar(image, ax=axes)
    height = fig.get_figheight()
    plots.stack(fig)
    assert fig.get_figheight() == pytest.approx(3 * height)


@pytest.mark.parametrize("y, curve, place", [
    (0.5, (0.9, 0.9), ("left", True)), (0.5, (0.55, 0.55), ("left", False)), (0.5, (0.5, 0.9), ("right", True)),
    (0.97, (0.5, 0.5), ("left", False)), (0.03, (0.04, 0.5), ("right", True))])
def test_the_text_of_a_claim_stands_where_no_curve_is(y, curve, place):
    _, ax = plots.figure("A finding")
    plots.axis(ax, xlim=(0, 1), ylim=(0, 1))
    ax.plot(np.linspace(0, 1, 100), np.linspace(*curve, 100))
    assert plots.quiet_place(ax, y, "a claim") == place


def test_numbers_of_a_figure_end_at_a_hundredth_and_its_references_lead_somewhere(tmp_path):
    text = draw(tmp_path).decode()
    numbers = re.findall(r"\.(\d+)", " ".join(re.findall(r' (?:d|x|y|width|height)="([^"]*)"', text)))
    assert numbers and max(map(len, numbers)) <= 2
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids)) and set(re.findall(r'(?:url\(|href=")#([\w-]+)', text)) <= set(ids)


def test_a_figure_shows_its_caption_and_hands_down_what_a_page_needs(home, monkeypatch):
    shown = []
    monkeypatch.setattr(svg, "display", lambda data, metadata, raw=False: shown.append((data, metadata)))
    plots.save(plots.figure("A finding")[0], "test", "Each dot is a *seed*.")._ipython_display_()
    (picture, about), (caption, of) = shown
    assert picture["image/svg+xml"].encode() == (home / "figures" / "test.svg").read_bytes()
    assert about == {"name": "test", "caption": "Each dot is a *seed*.", "alt": "A finding. Each dot is a *seed*."}
    assert caption.data == "Each dot is a *seed*." and of == {"caption_of": "test"}


def test_thinned_curve_keeps_its_ends():
    _, ax = plots.figure("x")
    plots.axis(ax, log="x", xlim=(1, 5000))
    x, y = plots.seen(ax, range(1, 5001), range(1, 5001))
    assert len(x) <= 251 and (x[0], x[-1]) == (1, 5000) and (x == y).all()


def test_a_figure_on_disk_is_rewritten_only_when_it_changes(home):
    def save(title):
        fig, ax = plots.figure(title)
        plots.curves(ax, {"a": [([1, 2], [1, 2])]})
        plots.save(fig, "test")
        return (home / "figures" / "test.svg").stat().st_ino, (home / "figures" / "test.svg").read_bytes()

    first = save("one")
    assert save("one") == first
    assert save("two")[1] != first[1]


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ADDRNN_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"^figures: got .*file.*allowed is what can be written$") as refusal:
        plots.save(plots.figure("x")[0], "test")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("heights", [[0.5], [0.1, 0.9], [0.3, 0.3, 0.3], [0, 0.05, 0.06, 0.9], [1, 1, 0.98, 0.2, 0.21]])
def test_names_at_line_ends_do_not_overlap_and_keep_their_order(heights):
    places = plots.spread(heights, 0.1)
    assert len(places) == len(heights)
    assert all(b - a >= 0.1 - 1e-12 for a, b in pairwise(places))
    assert np.mean(places) == pytest.approx(np.mean(heights))  # none is favoured


def test_the_median_curve_is_the_median_of_the_seeds_as_far_as_all_go():
    x, middle = plots.median_curve([([1, 2, 3], [1, 5, 9]), ([1, 2, 3], [2, 2, 2]), ([1, 2], [7, 7])])
    assert list(x) == [1, 2] and list(middle) == [2, 5]


def test_a_setting_has_one_colour_and_neighbours_differ():
    for kind, values in dict(digit_len=(10, 100, 1000, 5000), layers=(1, 2, 3, 4), cell=("RNN", "GRU", "LSTM"),
                             lr=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1)).items():
        colours = [plots.colour(kind, value) for value in values]
        assert len(set(colours)) == len(values)


def test_every_field_of_config_can_be_drawn():
    pairs = {"cell": ("RNN", "GRU"), "lr": (1e-4, 1e-2), "noise": (0.0, 1.0), "chains": (0.0, 0.5), "layers": (1, 3),
             "seed": (0, 3), "batches": (200, 1000), "hidden": (16, 64)}
    for field in dataclasses.fields(Config):
        first, second = pairs.get(field.name, (4, 64))
        assert plots.colour(field.name, first) != plots.colour(field.name, second), field.name
        assert plots.name(field.name, first) != plots.name(field.name, second), field.name
