"""What notebook 07 says of proofs, against the records and Python's own numbers, by another road."""

import numpy as np
import torch
from conftest import ROOT
from matplotlib.text import Text
from test_labs import both, prose, shaken, study

import addrnn
from addlab.certify import ADDITION
from addlab.certify.boxes import Cases
from addlab.study import noise, plots, proofs


def test_noise_alone_is_what_proves_one_layer_of_64_units():
    with_it, without = shaken(noise=1), shaken(noise=0)
    assert both(with_it) == len(with_it) >= 10 and both(without) == 0 and len(without) >= 10
    title = f"Proved as they are and rounded: {both(with_it)} of {len(with_it)} with noise 1, 0 of {len(without)}"
    assert title in prose("07")
    assert "Noise 1 gives both proofs in all ten networks" in prose("07")
    widths = [grown for name, grown in study("noise").items() if name.endswith(", boxes") and "noise 0" in name]
    assert len(widths) == 10 and {next(k for k, wide in enumerate(grown, 1) if wide > 1) for grown in widths} == {4, 5}
    assert all(grown[3:] == sorted(grown[3:]) for grown in widths)  # so they overlap for good
    assert "Without noise all boxes overlap by the fifth round. With noise they stay apart" in prose("07")
    widths = [grown for name, grown in study("noise").items() if name.endswith(", boxes") and "noise 1" in name]
    assert len(widths) == 10 and max(map(max, widths)) < 0.4
    assert noise.widths(1.0) == widths


def test_what_is_said_of_other_noise_and_of_other_networks():
    less, more = shaken(noise=0.25) + shaken(noise=0.5), shaken(noise=1.5)
    assert len(less) == 20 and not any(outcome["proved"] for outcome in less + shaken(noise=0))
    assert sum(outcome["grid"]["wrong"] is not None for outcome in more) == 4 and len(more) == 10
    assert "With less noise none is proved as it is; with more, four of ten err once rounded" in prose("07")
    constant = shaken(rate="0.003")
    assert [bool(outcome["proved"]) for outcome in constant].count(True) == 3 and len(constant) == 6
    assert "at a constant rate, three of six are proved as they are" in prose("07")
    two = shaken(2, 1) + shaken(2, 2)
    assert len(two) == 6 and all(outcome["survived"][0] < 4096 for outcome in two)
    assert "With two layers every network gets some long chain wrong" in prose("07")
    others = shaken(3, 1) + shaken(3, 2) + [outcome for name, outcome in study("noise").items() if name[0] in "GL"]
    assert len(others) == 15 and not any(outcome["proved"] for outcome in others)
    assert "three layers, GRU and LSTM have no proof by boxes" in prose("07")
    undrawn = [outcome for name, outcome in study("noise").items()
               if ", 1000 batches" in name or "rate 0.001, " in name]
    assert len(undrawn) == 9 and not any(outcome["proved"] or outcome["grid"]["closed"] for outcome in undrawn)
    assert "Not drawn, never proved: 1000 batches; a constant 0.001" in prose("07")


def test_every_training_but_those_undrawn_has_its_marks():
    """The marks of the picture against the file: all of them, and a cross where a wrong sum is known."""
    drawn = [mark for panel in noise.ROWS for rows in panel.values() for changes in rows.values()
             for mark in noise.marks(**{"noise": 1.0} | changes)]
    file = {name: outcome for name, outcome in study("noise").items() if isinstance(outcome, dict)}
    kept = {name: outcome for name, outcome in file.items() if ", 1000 batches" not in name and "0.001," not in name}
    assert len(drawn) == len(kept)
    wrong = [name for name, outcome in kept.items() if outcome["survived"][0] < 4096
             or study("noise").get(f"{name}, searched")]
    assert [as_it_is for as_it_is, _ in drawn].count("wrong") == len(wrong) == 10 + 6 + 1
    assert [as_it_is for as_it_is, _ in drawn].count("proved") == sum(bool(one["proved"]) for one in kept.values())
    assert [rounded for _, rounded in drawn].count("proved") == sum(one["grid"]["closed"] for one in kept.values())


def test_the_ladder_counts_what_the_studies_hold():
    text = prose("07")

    def counted(rows, lead="margin"):
        return f"| {len(rows)} | {sum(row[lead] is not None for row in rows)} |"

    for cell in ("RNN", "GRU", "LSTM"):
        kind = [row for row in study("adders") if row["cell"] == cell]
        depth = max(row["layers"] for row in kind)
        assert f"| {cell}, 1 to {depth} layers of 64 | its boxes {counted(kind)}" in text
    data = study("data_then_boxes")
    assert f"| random sums {counted(data, 'of_data')}\n| the same networks | then their boxes {counted(data)}" in text
    starts, all_at_once = ([row for row in study("starts") if row["variant"] == variant]
                           for variant in ("52 parameters", "no curriculum"))
    assert f"| pairs of columns, small sums first {counted(starts)}" in text
    assert counted(starts) == "| 64 | 42 |" and counted(all_at_once) == "| 64 | 1 |"
    assert ("From 64 random starts, 42 end in a proof if training begins with small digit sums, and 1 if it begins "
            "with all") in text
    eight = [row for row in study("bits") if row["weights"] == "INT8" and "parameters" not in row["certificate"]]
    assert f"| {len(eight)} of the proved, weights rounded to 8 bits | none after rounding {counted(eight)}" in text
    assert f"| 5 other machines, RNN, 8 to 64 units | their boxes {counted(study('machines'))}" in text
    closed = {row["network"] for row in study("states") if row["closed"]}
    assert {f"proofs/noise_seed{seed}.json" for seed in (0, 1)} | {"proofs/rnn_52_parameters.json"} < closed


def test_some_machines_are_proved_from_examples_alone():
    seeds = {}
    for name, outcome in study("examples").items():
        if "noise 1" in name:
            seeds.setdefault(name.split(",")[0], []).append((outcome["proved"] is not None, outcome["grid"]["closed"]))
    assert len(seeds) == 8 and {len(found) for found in seeds.values()} == {2, 3}
    assert "We tried eight, with two or three seeds each" in prose("07")
    assert [name for name, found in seeds.items() if all(map(all, found))] == ["subtract"]
    assert {name for name, found in seeds.items() if set(found) == {(False, True)}} == {"times 3", "parity"}
    assert sum(not any(map(any, found)) for found in seeds.values()) == 5
    assert ("In every seed, **subtract** is proved both ways, and **times 3 and parity** only with the state rounded. "
            "**5** have no proof in any seed.") in prose("07")


def test_three_hundred_cases_are_counted_as_they_are():
    counts = [sum((a + b + carry > 9) for a in range(10) for b in range(10)) for carry in (0, 0, 1)]
    assert counts == [45, 45, 55]
    _, ax = plots.figure("")
    proofs.automaton(ax, Cases(ADDITION).target.numpy())
    words = [text.get_text() for text in ax.findobj(Text)]
    assert [words.count(f"{count}") for count in (45, 55)] == [3, 3]
    certificate = proofs.certificates()["noise_seed0"]
    boxes, low, high = proofs.arrivals(certificate)
    into = np.array([a + b + carry > 9 for carry in (0, 0, 1) for a in range(10) for b in range(10)]).astype(int)
    assert (low >= boxes[into, :, 0]).all() and (high <= boxes[into, :, 1]).all() and (low <= high).all()


def test_false_claims_are_false_and_rejected():
    plain = addrnn.Adder.load(ROOT / "records" / "runs" / "layers=1" / "seed3.safetensors")
    certificate = proofs.certificates()["noise_seed0"]
    turned, sound = certificate.network(), certificate.network()
    entry = turned.embed_layer.weight.data.flatten().abs().argmax()
    turned.embed_layer.weight.data.view(-1)[entry] *= -1
    said = plain.add(51, 999957), turned.add(0, 5)
    assert said[0] != 51 + 999957 and said[1] != 5
    text = prose("07")
    assert f"| a plain network: 51 + 999957 = {said[0]} | rejected: " in text
    assert f"| the proved one, a sign changed: 0 + 5 = {said[1]} | rejected: start, column 5: 5 does not" in text
    assert "| the proved one, claimed: 4 + 7 = 2 | rejected: meaning: the machine is wrong in start" in text
    assert proofs.verdict(proofs.claimed(sound, certificate)).startswith("proved: this network adds decimal numbers")


def test_the_smallest_adder_is_as_told():
    small = proofs.SmallAdder(proofs.certificates()["rnn_52_parameters"])
    steps = np.diff(small.embedding)
    line = small.embedding[0] + np.arange(10) * (small.embedding[9] - small.embedding[0]) / 9
    assert np.abs(small.embedding - line).max() < 0.01 * np.abs(steps).min()  # so it is one formula in a + b
    a, b = np.divmod(np.arange(100), 10)
    for carry in (0, 1):
        latch = small.units(a, b, carry)[small.latch]
        assert ((latch > 0) == (a + b + carry > 9)).all() and np.abs(latch).min() > 0.9
    assert "The latch flips at 9.16" in prose("07") and "-9.16)" in prose("07")


def test_boxes_that_overlap_are_those_without_a_proof():
    certificate = proofs.certificates()["noise_seed0"]
    plain = addrnn.Adder.load(ROOT / "records" / "runs" / "layers=1" / "seed0.safetensors")
    rest, grown = noise.overlap(certificate.network()), noise.overlap(plain)
    assert max(rest) < 1 and rest[-1] - rest[-2] < 1e-3 < rest[1] - rest[0]
    assert grown[0] < 1 < grown[-1]
    assert [float(f"{width:.4g}") for width in rest] == noise.widths(1.0)[0]


def test_states_lie_where_the_grown_boxes_say():
    """After one column, all 100 pairs: the boxes hold every state, and no narrower ones do."""
    model = addrnn.Adder.load(ROOT / "records" / "runs" / "layers=1" / "seed0.safetensors")
    a, b = np.divmod(np.arange(100), 10)
    with torch.no_grad():
        pairs = torch.cat([model.embed_layer(torch.as_tensor(n)) for n in (a, b)], 1)
        u = (torch.tanh(pairs @ model.rnn.weight_ih_l0.T + model.rnn.bias_ih_l0 + model.rnn.bias_hh_l0)
             @ model.rnn.weight_hh_l0.T).double().numpy()
    hulls = [(u[a + b > 9].min(0), u[a + b > 9].max(0)), (u[a + b <= 9].min(0), u[a + b <= 9].max(0))]
    (low1, high1), (low0, high0) = hulls
    widths = (high0 - low0 + high1 - low1) / np.abs(low0 + high0 - low1 - high1)
    assert abs(widths.min() - noise.overlap(model, rounds=1)[0]) < 1e-5
