"""The start state, finished models taken apart, and what carries do, on models whose behaviour is known."""

import json
import math

import numpy as np
import pytest
import torch
from matplotlib.markers import CARETRIGHT

import addrnn
from addlab import engine
from addlab.study import carries, dissect, start, verdicts, views
from addlab.study.studies import recall
from addrnn import Adder, Config, Run, carry_add, sample
from tests.test_carries import handmade

TINY = Config(digit_len=4, batches=6, batch_size=20, hidden=6, embedding=3, layers=2)


class Scripted:
    """An adder that is right but in the first of the columns it is fed, always."""

    def predict(self, num1, num2):
        digits = carry_add(num1.copy(), num2.copy())
        digits[:, 0] = (digits[:, 0] + 1) % 10
        return digits


# The start state

def test_without_a_remedy_it_is_the_recorded_run_bit_for_bit():
    curves, run = start.train(TINY, "none"), addrnn.train(TINY)
    assert curves["loss"] == run.loss and curves["batch_accuracy"] == run.batch_accuracy


@pytest.mark.parametrize("remedy", ["tenth", "lead"])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_every_remedy_trains_every_cell_and_changes_the_run(remedy, cell):
    config = Config(**vars(TINY) | {"cell": cell})
    curves = start.train(config, remedy)
    assert all(len(curve) == 6 for curve in curves.values())
    assert curves["loss"][1:] != start.train(config, "none")["loss"][1:]


def test_a_tenth_of_the_loss_is_what_autograd_says():
    model, batch = Adder(TINY), sample(20, 4, np.random.default_rng(0))
    start.plain_step(model, extra=start.SHARE)(*batch)
    ours = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    losses = torch.nn.functional.cross_entropy(model(*batch[:2]).flatten(0, 1), torch.as_tensor(batch[2]).flatten(),
                                               reduction="none").view(20, 5)
    (0.9 * losses.mean() + 0.1 * losses[:, 0].mean()).backward()
    for p, gradient in zip(model.parameters(), ours, strict=True):
        assert torch.allclose(p.grad, gradient, atol=1e-6)


def test_a_leading_column_repairs_a_model_that_errs_in_its_first_column_alone():
    run = Run(Config(digit_len=5), model=Scripted())
    assert start.tested(run, 50) == {"as trained": 0.0, "0 + 0 in front": 1.0}
    assert start.first_column(start.wrong_digits(run.model, *sample(50, 5, np.random.default_rng(0)))) == (0, 1, 1)


def test_shares_of_the_first_column_are_told_from_others():
    wrong = np.zeros((100, 6), bool)
    wrong[:30, 0] = wrong[20:40, 3] = True
    assert start.first_column(wrong) == (0.6, 0.8, 0.6)


def test_a_run_that_is_planned_for_two_reasons_counts_once():
    assert len(set(start.plan())) == len(start.plan())


def test_runs_with_a_remedy_are_read_from_their_records(home, monkeypatch):
    monkeypatch.setattr(start, "plan", lambda: [(TINY, "tenth")])
    start.main()
    before = (home / "records" / "start.json").read_bytes()
    start.main()
    assert (home / "records" / "start.json").read_bytes() == before
    assert list(json.loads(before)) == [start.key(TINY, "tenth")] and set(json.loads(before)) < set(start.records())
    settings = {name: value for name, value in vars(TINY).items() if name not in ("seed", "batches")}
    run, = start.runs("tenth", **settings)
    assert run.config == TINY and run.loss == start.train(TINY, "tenth")["loss"] and len(run.first_column) == 6
    assert start.runs("lead", **settings) == start.runs("tenth", **settings | {"layers": 1}) == []


# Groups of runs

def test_what_has_no_record_is_trained_once_for_the_longest_of_the_batches(home):
    """Not for each of them: of 1000, 500 and 300 batches the shorter runs are the beginning of the longest."""
    settings = dict(cell="RNN", batch_size=5, test_batch_size=5, hidden=4, embedding=2, layers=1)
    addrnn.sweep([Config(digit_len=3, seed=0, batches=4, **settings)])
    found = views.groups_of("digit_len", [3, 4], [0, 1], train=True, batches=(8, 4, 2), **settings)
    assert {n: [(run.config.seed, run.config.batches) for run in runs] for n, runs in found.items()} == {
        3: [(0, 4), (1, 8)], 4: [(0, 8), (1, 8)]}
    assert len(list((home / "records" / "runs").glob("*/*.json"))) == 4
    assert views.groups_of("digit_len", [3, 4], [0, 1], batches=(8, 4, 2), **settings).keys() == {3, 4}


def test_a_run_that_is_the_beginning_of_another_is_not_counted_twice(home):
    tiny = dict(digit_len=3, batch_size=5, test_batch_size=5, hidden=4, embedding=2, layers=1)
    shipped = views.recorded_runs()
    addrnn.sweep([Config(seed=seed, batches=batches, **tiny) for seed, batches in ((0, 4), (0, 8), (1, 4))])
    assert views.recorded_runs() == shipped + 2


def test_shares_are_spanned_by_whole_per_cent():
    assert [views.span(shares) for shares in ([0.726, 0.95], [1.0], [])] == ["72% to 95%", "100%", "-"]


# Pictures

ENTRIES = {
    "C2": {"by": "", "verdict": "holds", "measures": {"50% of the fall": ["holds", 6, 0, 0], "loss below 1": []}},
    "C3": {"by": "loss below 0.1", "verdict": "holds", "measures": {
        "loss below 0.1": ["holds", 6, 0, 0], "loss below 1": ["not settled", 3, 0, 3], "loss below 0.7": []}},
    "C4": {"by": "99% of sums right", "verdict": "fails", "measures": {
        "99% of sums right": ["fails", 0, 6, 0], "100% of sums right in the test, for good": ["mixed", 3, 3, 0],
        "batches missed in all": ["mostly fails", 1, 9, 0], "loss below 0.1": ["holds", 6, 0, 0]}}}


def test_verdicts_by_measure_have_a_sign_each_and_a_frame_where_the_report_judges():
    asked = verdicts.by_usual(ENTRIES)
    assert {claim: len(entry["measures"]) for claim, entry in asked.items()} == {"C3": 2, "C4": 4}  # C2 has its own
    loss, sums, test = verdicts.verdict_figure(asked, "A title").axes
    assert not sums.get_yticklabels() and not test.get_yticklabels()  # those of the first
    assert verdicts.by_fate(asked) == {"turn round": ["C4"], "change in strength": ["C3"], "never change": []}
    assert [label.get_text().split(":")[0] for label in loss.get_yticklabels()] == [
        "turn round", "C4", "change in strength", "C3"]
    assert [label.get_fontweight() for label in loss.get_yticklabels()] == ["bold", "normal"] * 2
    texts = [(ax, text) for ax in (loss, sums, test) for text in ax.texts]
    columns = {(ax, text.xy[0]): text.get_text() for ax, text in texts
               if hasattr(text, "xy") and text.get_ha() == "center"}
    signs = {(columns.get((ax, text.get_position()[0])), text.get_text()) for ax, text in texts
             if not hasattr(text, "xy")}
    assert signs == {("1", "?"), ("0.1", "++"), ("99", "−−"), (None, "−"), ("100", "±"), ("0.1", "++")}
    framed = [columns[ax, round(box.get_x() + 0.45, 6)] for ax in (loss, sums, test) for box in ax.patches
              if box.get_linewidth() > 2]
    assert framed == ["0.1", "99"]


def test_on_a_phone_each_panel_of_verdicts_has_only_the_rows_with_a_cell_in_it():
    asked = verdicts.by_usual(ENTRIES)
    panels = verdicts.verdict_figure(asked, "A title", narrow=True).axes
    rows = [[label.get_text().split(":")[0] for label in ax.get_yticklabels()] for ax in panels]
    assert rows == [["turn round", "C4", "change in strength", "C3"], ["turn round", "C4"], ["turn round", "C4"]]
    wide = verdicts.verdict_figure(asked, "A title").axes
    signs, of_wide = ([[text.get_text() for text in ax.texts if not hasattr(text, "xy")] for ax in axes]
                      for axes in (panels, wide))
    assert signs == of_wide


def test_rows_are_put_together_by_what_other_measures_do_to_the_verdict():
    def entry(*words):
        return {"by": "loss below 0.1", "measures": {
            f"loss below {level}": [word, 1, 1, 0] for level, word in zip((0.1, 1, 0.5), words, strict=False)}}

    assert verdicts.by_fate({"C1a": entry("holds", "mostly holds"), "C2": entry("mixed", "holds", "mostly fails"),
                             "C3": entry("fails", "fails"), "C4": entry("mixed", "not settled")}) == {
        "turn round": ["C2"], "change in strength": ["C1a", "C4"], "never change": ["C3"]}


def test_the_seeds_of_a_second_look_are_judged_alone_too():
    table = verdicts.looks_table({"C2": {"seeds": [True] * 6 + [False, None] + [False] * 8}}, {"C2": 6}).data
    assert table.splitlines()[2:] == [
        "| C2 | 6 of 6: holds | 0 of 10 (1\N{NO-BREAK SPACE}?): fails | 6 of 16 (1\N{NO-BREAK SPACE}?): mixed |"]


def test_each_claim_stands_with_its_words_its_verdict_and_its_chapter():
    places = {"C2": "01_b.html#C2", "C3": "02_d.html#C3", "C4": "02_d.html#C4"}
    counted = {claim: entry | {"seeds": [True, None, True, False]} for claim, entry in ENTRIES.items()}
    _, line, *rows = verdicts.claims_table(dict(reversed(counted.items())), places).data.splitlines()
    assert line == "| --- | --- | --- | ---: | ---: | ---: |"
    rows = [rows[1], rows[0], rows[2]]    # by verdict: both that hold, in their order, then that which fails
    assert rows[1] == ("| [C3](02_d.ipynb#C3) | The longer the numbers, the fewer batches the loss needs to fall | "
                       "**holds** | 2 | 1 | 1 |")
    assert [row[3:5] for row in rows] == ["C2", "C3", "C4"] and "**fails**" in rows[2]


def test_a_pair_has_its_ratio_with_an_interval_and_its_verdict_by_each_measure():
    loss, sums = verdicts.TOLD
    yes, no = dict.fromkeys(range(6), True), dict.fromkeys(range(6), False)
    compared = {"layers": [(2, 1, {loss: (yes, (0.5, 0.4, 0.6)), sums: (no, (math.nan, 1.2, math.inf))})],
                "cells": [(2, 1, {loss: (yes, (2.0, math.nan, math.nan)),
                                  sums: (no | {6: False, 7: None}, (math.nan, 0, math.inf))})]}
    names = {about: {1: "one", 2: "two"} for about in compared}
    ax, = verdicts.forest_figure(compared, "A title").axes
    drawn = [(line.get_xdata().tolist(), line.get_linestyle()) for line in ax.lines[1:] if len(line.get_xdata())]
    edge = ax.get_xlim()[1]
    assert drawn == [([0.4, 0.6], "-"), ([0.5], "None"), ([1.2, edge], "-"), ([edge], "-"), ([2.0], "None"),
                     (list(ax.get_xlim()), ":")]
    assert ax.lines[4].get_marker() == CARETRIGHT  # it goes on
    assert [label.get_text() for label in ax.get_yticklabels()] == 2 * ["2 / 1"]
    assert [text.get_text() for text in ax.texts if ":" in text.get_text()] == [
        "6 of 6: ++", "0 of 6: −−", "6 of 6: ++", "0 of 8 (1\N{NO-BREAK SPACE}?): ?"]
    assert verdicts.in_words(compared, names).startswith(
        "layers: two before one by loss below 0.1 in 6 of 6 seeds, holds, ratio 0.50 (0.40 to 0.60); layers: ")


def test_batches_stand_at_the_number_of_parameters(home):
    sizes = {"RNN": {64: (100, {0: 5, 1: 7, 2: 30}), 9: (20, {0: 40}), 5: (10, {})}, "GRU": {}}
    shown = views.size_figure(sizes, "04_x")
    assert shown.alt.startswith("Batches by the number of parameters. ")  # one cell is not first
    no_later = "A larger RNN is no later; at about equal size the RNN is first. "
    for small, batches, title in ((40, 41, no_later), (7, 41, no_later), (6, 41, "The RNN is first at every size. "),
                                  (40, 40, "Batches by the number of parameters. ")):
        sizes["RNN"][9], sizes["GRU"] = (20, {0: small}), {3: (50, {0: batches})}
        assert views.size_figure(sizes, "04_x").alt.startswith(title)
    assert (home / "figures" / "04_x.svg").exists()


# Finished models

def test_a_model_that_saw_its_batches_once_shows_no_gap_and_one_that_learned_them_does():
    config = Config(digit_len=3, batches=30, batch_size=50, lr=1e-2)
    run = addrnn.train(config)
    gap, error = dissect.overfitting(run)
    assert abs(gap) < 4 * error
    rng = addrnn.streams(config.seed)[1]
    batches = [sample(50, 3, rng) for _ in range(30)][-20:]
    adam = engine.Adam(run.model.parameters(), 3e-3)
    for _ in range(20):
        for batch in batches:
            engine.gradients(run.model, *batch)
            adam.step()
    gap, error = dissect.overfitting(run)
    assert gap > 4 * error


def test_what_was_replayed_at_5000_digits_is_read_by_depth_and_seed(home):
    name = dissect.name_of(9, 7)
    assert dissect.replayed([9], [7, 8]) == {}
    recall("overfitting", name, lambda: [1e-6, 2e-6])
    assert dissect.replayed([9], [7, 8]) == {(5000, 9, 7): (1e-6, 2e-6)}


# Carries

def test_the_walk_gives_the_states_and_digits_of_the_whole_pass():
    for cell in ("RNN", "LSTM", "GRU"):
        model = Adder(Config(**vars(TINY) | {"cell": cell}))
        num1, num2, _ = sample(7, 4, np.random.default_rng(1))
        states, digits = carries.walk(model, num1, num2)
        assert states.shape == (5, 2, 7, 12 if cell == "LSTM" else 6)
        assert (digits == model.predict(num1, num2)).all()
        half, _ = carries.walk(model, num1[:, :2], num2[:, :2])
        if cell != "LSTM":
            assert (carries.walk(model, num1[:, 2:], num2[:, 2:], half[-1])[0] == states[2:]).all()


def test_a_probe_reads_the_carry_of_an_exact_adder_and_the_layer_that_keeps_it_takes_the_answer_along(home):
    model = handmade()
    assert carries.reads(model, carries.probe(model), "mixed") == 1.0
    assert carries.exchange(model, 0) == 1.0
    assert carries.layers_of(model)[0]["exchange"] == 1.0
