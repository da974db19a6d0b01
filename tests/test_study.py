"""The start state, finished models taken apart, and what carries do, on models whose behaviour is known."""

import json

import numpy as np
import pytest
import torch

import addrnn
from addlab import engine
from addlab.study import carries, dissect, start, views
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


def test_the_chain_before_a_column_is_counted():
    num1, num2 = np.array([[5, 4, 9, 3, 0]]), np.array([[5, 5, 0, 3, 0]])
    assert start.chain_before(num1, num2).tolist() == [[0, 0, 1, 2, 0]]


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
    assert [views.span(shares) for shares in ([0.726, 0.95], [1.0], [])] == ["72 % to 95 %", "100 %", "-"]


# Pictures

def test_verdicts_by_measure_have_a_sign_each_and_a_frame_where_the_report_judges():
    entries = {"C3": {"by": "loss below 0.1", "measures": {
        "loss below 0.1": ["holds", 6, 0, 0], "100 % of sums right in the test, for good": ["fails", 0, 6, 0]}},
        "C2": {"by": "", "measures": {}}, "C8": {"by": "own", "measures": {
            "own": ["mixed", 3, 3, 0], "loss below 0.1": ["mostly holds", 9, 1, 0]}}}
    ax, = views.verdict_figure(entries, "A title").axes
    assert [label.get_text() for label in ax.get_xticklabels()] == 2 * ["C3", "C8"]  # above and below; C2 has one way
    assert [label.get_text() for label in ax.get_yticklabels()] == ["loss below 0.1", "100 % test, for good", "own"]
    signs = {tuple(map(round, text.get_position())): text.get_text() for text in ax.texts}
    assert signs == {(0, 0): "++", (0, 1): "− −", (1, 0): "+", (1, 2): "±"}
    framed = {(round(box.get_x() + 0.46), round(box.get_y() + 0.44)) for box in ax.patches if box.get_linewidth() > 2}
    assert framed == {(0, 0), (1, 2)}


def test_batches_stand_at_the_number_of_parameters(home):
    sizes = {"RNN": {64: (100, {0: 5, 1: 7, 2: 30}), 9: (20, {0: 40}), 5: (10, {})}, "GRU": {}}
    shown = views.size_figure(sizes, "04_x")
    assert shown.alt.startswith("Batches by the number of parameters. ")  # one cell is not first
    for batches, title in ((41, "The RNN is first at every size. "), (40, "Batches by the number of parameters. ")):
        sizes["GRU"] = {3: (50, {0: batches})}
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


def test_large_weights_saturate_units():
    run = Run(TINY, model=Adder(TINY))
    with torch.no_grad():
        for p in run.model.rnn.parameters():
            p *= 30
    assert dissect.saturated(run) > 0.5 > 0.1 > dissect.saturated(Run(TINY, model=Adder(TINY)))


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
