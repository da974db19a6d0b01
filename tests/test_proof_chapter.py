"""What notebook 07 says of proofs, against the records and Python's own numbers, by another road."""

import re
import subprocess
import sys

import numpy as np
import torch
from conftest import ROOT
from matplotlib.text import Text
from test_labs import GROUPS, both, prose, shaken, shown, study

import addrnn
from addlab.article import words
from addlab.certify import ADDITION, checker, machines
from addlab.certify.boxes import Cases, Interval, Weights, advance
from addlab.study import examples, fading, noise, plots, proofs


def test_noise_alone_is_what_proves_one_layer_of_64_units():
    with_it, without = shaken(noise=1), shaken(noise=0)
    assert both(with_it) == len(with_it) >= 10 and both(without) == 0 and len(without) >= 10
    levels = {level: shaken(noise=level) for level in (0, 0.25, 0.5, 1, 1.5)}
    assert {len(outcomes) for outcomes in levels.values()} == {10} and tuple(levels) == noise.LEVELS
    assert [level for level, outcomes in levels.items() if both(outcomes) == 10] == [1]
    assert "Of five levels of noise only 1 has all ten proved both ways" in prose("07") and len(levels) == 5
    widths = [grown for name, grown in study("noise").items() if name.endswith(", boxes") and "noise 0" in name]
    assert len(widths) == 10 and {next(k for k, wide in enumerate(grown, 1) if wide > 1) for grown in widths} == {4, 5}
    assert all(grown[3:] == sorted(grown[3:]) for grown in widths)  # so they overlap for good
    assert "With noise in training the boxes stay apart; without it they overlap" in prose("07")
    assert not any(outcome["proved"] for outcome in without) and all(outcome["proved"] for outcome in with_it)
    assert all(outcome["survived"][0] < 4096 or study("noise")[f"{name}, searched"] for name, outcome in study(
        "noise").items() if outcome in without)    # a chain that it says wrongly, or a wrong sum that a search found
    assert ("Ten had **noise** on $h$ in training, of standard deviation 1" in prose("07"))
    assert ("Without noise the prediction holds: 0 of 10 networks are proved (each gives a wrong sum, Fig. 7.3). With "
            "noise it fails: 10 of 10." in prose("07")) and len(with_it) == len(without) == 10
    widths = [grown for name, grown in study("noise").items() if name.endswith(", boxes") and "noise 1" in name]
    assert len(widths) == 10 and max(map(max, widths)) < 0.4
    assert noise.widths(1.0) == widths


def test_what_is_said_of_other_noise_and_of_other_networks():
    less, more = shaken(noise=0.25) + shaken(noise=0.5), shaken(noise=1.5)
    assert len(less) == 20 and not any(outcome["proved"] for outcome in less + shaken(noise=0))
    assert sum(outcome["grid"]["wrong"] is not None for outcome in more) == 4
    assert len(more) == 10 and all(outcome["proved"] for outcome in more)
    assert "noise 1 was chosen on these same ten." in prose("07")
    two = shaken(2, 1) + shaken(2, 2)
    assert len(two) == 6 and all(outcome["survived"][0] < 4096 for outcome in two)
    others = shaken(3, 1) + shaken(3, 2) + [outcome for name, outcome in study("noise").items() if name[0] in "GL"]
    assert len(others) == 15 and not any(outcome["proved"] for outcome in others)
    assert sum(outcome["grid"]["closed"] for outcome in others) == 7
    gated = {cell: [outcome for name, outcome in study("noise").items() if name.startswith(cell)]
             for cell in ("GRU", "LSTM")}
    deep = shaken(2, 1) + shaken(3, 1)
    tried = deep + gated["GRU"] + gated["LSTM"]
    assert len(tried) == 15 == words.shaken()["other_tried"] and not any(outcome["proved"] for outcome in tried)
    assert not any(outcome["grid"]["closed"] for outcome in deep + gated["LSTM"])
    assert sum(outcome["grid"]["closed"] for outcome in gated["GRU"]) == 5 == words.shaken()["other_closed"]
    assert ("At noise 1, boxes prove none of 15 networks of two or three layers, GRU or LSTM; rounded, 5 are proved, "
            "all of them GRUs." in prose("07"))


def test_every_row_of_the_picture_has_the_marks_of_its_file():
    """A row against the file, a cross where a chain or a search found a wrong sum; and which of them were searched."""
    file = study("noise")
    usual = ("RNN", "1 layers", "64 units", "10 digits", "noise 1", "rate 0.003 falling", "4000 batches")
    rows = {f"noise {level}": {4: f"noise {level}"} for level in ("0", "0.25", "0.5", "1", "1.5")} | {
        "2000 batches": {6: "2000 batches"}, "8000 batches": {6: "8000 batches"}, "constant rate": {5: "rate 0.003"},
        "5 digits": {3: "5 digits"}, "20 digits": {3: "20 digits"}, "32 units": {2: "32 units"},
        "128 units": {2: "128 units"}, "2 layers": {1: "2 layers"}, "3 layers": {1: "3 layers"}, "GRU": {0: "GRU"},
        "LSTM": {0: "LSTM"}, "128 units, noise 2": {2: "128 units", 4: "noise 2"},
        "2 layers, noise 2": {1: "2 layers", 4: "noise 2"}, "3 layers, noise 2": {1: "3 layers", 4: "noise 2"},
        "constant rate, noise 0": {5: "rate 0.003", 4: "noise 0"}}
    drawn = {row: changes for group in noise.ROWS.values() for row, changes in group.items()}
    assert list(drawn) == list(rows) and [len(group) for group in noise.ROWS.values()] == [5, 11, 4]
    kinds_of = {}
    for row, said in rows.items():
        start = ", ".join(said.get(place, words) for place, words in enumerate(usual)) + ", seed "
        outcomes = {name: outcome for name, outcome in file.items() if re.fullmatch(re.escape(start) + "[0-9]+", name)}
        searches = [name for name in outcomes if f"{name}, searched" in file]
        assert len(searches) == (len(outcomes) if row == "noise 0" else 0)
        kinds = []
        for name, outcome in outcomes.items():
            wrong = outcome["survived"][0] < 4096 or file.get(f"{name}, searched")
            as_it_is = "proved" if outcome["proved"] is not None else "wrong" if wrong else "open"
            rounded = "proved" if outcome["grid"]["closed"] else "wrong" if outcome["grid"]["wrong"] else "open"
            kinds.append((as_it_is, rounded))
        assert sorted(noise.marks(**{"noise": 1.0} | drawn[row])) == sorted(kinds) and kinds
        kinds_of[row] = kinds
    assert {ways[0] for ways in kinds_of["noise 0"]} == {"wrong"}  # so a hollow mark, as it is, was never searched
    texts = [text.get_text() for text in noise.noise_figure().findobj(Text)]
    assert {"proved", "a wrong sum is known", "neither", *noise.ROWS, *rows} <= set(texts)
    assert [group for panel in noise.PANELS for group in panel] == ["level of noise", "two changes", "noise 1, but …"]
    assert noise.KEY == {"proved": "proved", "wrong": "a wrong sum is known", "open": "neither"}
    states = [outcome["grid"] for outcome in file.values() if "grid" in outcome]
    assert all((grid["states"] > 60_000) == (not grid["closed"] and not grid["wrong"]) for grid in states)
    assert fading.COLUMNS == 4096 and 2 * fading.COUNT == 80
    assert ("*Neither*: by boxes, right on 80 chains of 4096 columns (only the first row was searched further); "
            "rounded, more than 60,000 states.") in prose("07")
    assert usual == ("RNN", "1 layers", "64 units", "10 digits", "noise 1", "rate 0.003 falling", "4000 batches")
    assert "Unless said: one layer, 64 units, ten digits, 4000 batches, a rate falling from 0.003." in prose("07")


def test_the_ladder_counts_what_the_studies_hold():
    text = prose("07")

    def counted(rows, lead="margin"):
        return f"| {sum(row[lead] is not None for row in rows)} of {len(rows)} |"

    for cell in ("RNN", "GRU", "LSTM"):
        kind = [row for row in study("adders") if row["cell"] == cell]
        depth = max(row["layers"] for row in kind)
        assert f"| {cell}, 1 to {depth} layers {counted(kind)}" in text
    data, others = study("data_then_boxes"), study("machines")
    assert f"| RNN, 3 layers, continued from random sums without a proof {counted(data)}" in text
    assert counted(data, "of_data") == "| 0 of 5 |"
    names = {row["machine"] for row in others}
    assert names == {"times 2", "times 3", "times 7", "remainder by 3", "remainder by 7"}
    assert "| other tasks, one layer of | 8 units | 16 units | 32 units | 64 units |" in text
    for name in names:
        kind = [row for row in others if row["machine"] == name]
        sized = [[row for row in kind if row["hidden"] == size] for size in (8, 16, 32, 64)]
        assert sum(map(len, sized)) == len(kind) == 20
        assert f"| {name} " + "".join(map(counted, sized)).replace("||", "|") in text
        sizes = [sum(row["margin"] is not None for row in rows) for rows in sized]
        assert sizes == sorted(sizes) and sizes[-1] == 5 == len(sized[-1])
    adders = study("adders") + data
    assert sum(row["margin"] is not None for row in adders) > 0.9 * len(adders)
    assert "## Trained on boxes, nearly all adders are proved, other tasks if the network is large" in text
    for rows in (study("adders"), data, others):
        assert sum(row["margin"] is not None for row in rows) > len(rows) / 2
    assert "most networks trained for the proof pass it" in text
    closed = {row["network"] for row in study("states") if row["closed"]}
    assert {f"proofs/noise_seed{seed}.json" for seed in (0, 1)} | {"proofs/rnn_52_parameters.json"} < closed


def test_two_units_are_counted_and_mostly_proved_with_small_sums_first():
    starts, all_at_once = ([row["margin"] is not None for row in study("starts") if row["variant"] == variant]
                           for variant in ("52 parameters", "no curriculum"))
    assert (len(starts), sum(starts), len(all_at_once), sum(all_at_once)) == (64, 42, 64, 1)
    assert ("With small digit sums first, 42 of 64 starts end in a proof; with all sums at once, 1 of 64."
            in prose("07"))
    sizes = {name: tensor.numel() for name, tensor in
             proofs.certificates()["rnn_52_parameters"].network().state_dict().items()}
    cell = [size for name, size in sizes.items() if name.startswith("rnn.")]
    assert sizes["embed_layer.weight"] == 10 and sorted(cell) == [2, 2, 4, 4] and sum(sizes.values()) == 52
    assert "10 numbers for the digits, 12 for the cell (two biases a unit) and 30 for the scores" in prose("07")


def test_which_of_the_proved_networks_come_as_certificates():
    """A certificate is a study's network if it has the least lead of one of its rows, of its size and its task."""
    known, kept = proofs.certificates(), set()
    rows = [row | {"task": "add"} for name in ("adders", "data_then_boxes") for row in study(name)]
    rows += [row | {"task": row["machine"], "cell": "RNN"} for row in study("machines")]
    for name, certificate in known.items():
        meaning = certificate.claim["machine"]["meaning"] or {}
        task = "add"
        if meaning != ADDITION.meaning:
            single = len(meaning.get("factors", ())) == 1 and f"times {meaning['factors'][0]}"
            task = f"remainder by {meaning['modulus']}" if "modulus" in meaning else single
        if name.startswith("data_alone") or (task != "add" and meaning.get("base") != 10):
            continue
        kept |= {(task, name) for row in rows if row["task"] == task and row["margin"] == certificate.margin
                 and row.get("cell", "RNN") == certificate.claim["cell"]
                 and row.get("hidden", 64) == certificate.claim["hidden"]}
    assert sum(row["margin"] is not None for row in rows) == 87
    assert len(kept) == 14 and [task for task, _ in kept].count("add") == 10
    assert [certificate.claim["machine"]["meaning"] for certificate in known.values()].count(ADDITION.meaning) == 14
    assert ("Of these 87 proved networks 14 come with the report as certificates: ten of the 14 adders of 7.4, and "
            "four for other tasks.") in prose("07")


def test_of_the_other_machines_only_subtraction_is_proved_from_examples_alone():
    seeds, rounded = {}, {}
    for name, outcome in study("examples").items():
        if "noise 1" in name:
            seeds.setdefault(name.split(",")[0], []).append(outcome["proved"] is not None)
            rounded.setdefault(name.split(",")[0], []).append(outcome["grid"]["closed"])
    assert len(seeds) == 8 and {len(found) for found in seeds.values()} == {2, 3}
    assert [name for name, found in seeds.items() if any(found)] == ["subtract"] and all(seeds["subtract"])
    assert len(seeds["subtract"]) == 3 and sorted(name for name in seeds if any(rounded[name])) == [
        "parity", "subtract", "times 3"]
    assert rounded["parity"] == rounded["times 3"] == [True, True]
    assert seeds.keys() - {"subtract", "parity", "times 3"} == {
        "add in base 16", "add three numbers", "times 7", "remainder by 3", "remainder by 7"}
    assert "Of eight other tasks, each with an answer after every column, boxes prove one:" in prose("07")
    named = {"subtract": "subtraction", "times 3": "a number times 3", "parity": "ones so far: odd or even?",
             "add in base 16": "sums in base 16", "add three numbers": "sums of three numbers",
             "times 7": "a number times 7", "remainder by 3": "remainder by 3, highest digit first",
             "remainder by 7": "remainder by 7, highest digit first"}
    assert named == proofs.TASKS and named.keys() == seeds.keys()
    lines = [f"| {words} | {sum(seeds[name])} of {len(seeds[name])} | {sum(rounded[name])} of {len(rounded[name])} |"
             for name, words in named.items()]
    assert "\n".join(lines) in prose("07")


def test_the_tasks_are_those_that_are_named():
    """Each machine's answers after every column, against Python's own arithmetic on random inputs of six columns."""
    rng = np.random.default_rng(0)
    for name, machine in examples.MACHINES.items():
        numbers = rng.integers(0, machine.symbols, (machine.inputs, 20, 6))
        for k, said in enumerate(machines.run(machine, *numbers)):
            up, down = ([sum(int(digit) * machine.symbols**place for place, digit in enumerate(digits[::way]))
                         for digits in numbers[:, k]] for way in (1, -1))    # ones first; highest digit first
            total = {"subtract": up[0] - up[-1], "times 3": 3 * up[0], "times 7": 7 * up[0]}.get(name, sum(up))
            for column, digit in enumerate(said):
                if name == "parity":
                    right = sum(numbers[0, k, : column + 1]) % 2
                elif name.startswith("remainder"):
                    right = down[0] // 10 ** (5 - column) % int(name[-1])
                else:
                    right = total // machine.symbols**column % machine.symbols
                assert digit == right, name
        assert machine.symbols == {"add in base 16": 16, "parity": 2}.get(name, 10)
        assert machine.inputs == {"subtract": 2, "add in base 16": 2, "add three numbers": 3}.get(name, 1)


# One round of the boxes, as the notebook computes it

def apart(boxes):
    """How many entries tell both boxes [2 ends, 3, entries] apart."""
    low, high = boxes
    return int(((high[1] < low[2]) | (high[2] < low[1])).sum())


def test_the_round_that_is_shown_holds_every_state_and_is_that_of_the_study():
    """Corners of both boxes, one column on in float64: none leaves the new boxes, which are those of `advance`."""
    grow, net = shown("grow", "07"), proofs.certificates()["noise_seed0"].network()
    boxes = grow(net, grow(net, torch.zeros(2, 1, 64)))
    after, rng = grow(net, boxes), np.random.default_rng(0)
    weights, cases = Weights.of(net, torch.float64), Cases(ADDITION)
    grown, _ = advance(weights, cases, [Interval(*boxes.double())])
    assert all(torch.allclose(end, ours.double(), atol=1e-4) for end, ours in zip(grown[0], after, strict=True))
    u = net.rnn.weight_hh_l0.double()
    for carry in (0, 1):
        low, high = boxes[:, 1 + carry].double()
        for a, b in rng.integers(0, 10, (200, 2)):
            start = low + torch.as_tensor(rng.integers(0, 2, 64)) * (high - low)    # a corner of the box
            read = weights.embedding[[a, b]].flatten() @ weights.layers[0].w.T + weights.layers[0].b_w
            found = u @ torch.tanh(read + weights.layers[0].b_u + start)
            into = 1 + int(a + b + carry > 9)
            assert (after[0, into] - 1e-4 <= found).all() and (found <= after[1, into] + 1e-4).all()


def test_the_boxes_that_are_shown_rest_inside_those_of_the_certificate():
    grow, certificate = shown("grow", "07"), proofs.certificates()["noise_seed0"]
    plain = addrnn.Adder.load(ROOT / "records" / "runs" / "layers=1" / "seed3.safetensors")
    counts, moved = [], []
    for net in (certificate.network(), plain):
        boxes, each = torch.zeros(2, 1, 64), []
        for _ in range(12):
            before, boxes = boxes, grow(net, boxes)
            each.append(apart(boxes))
            if net is not plain:
                low, high = (torch.tensor(certificate.claim["invariant"])[:, 0, :, end] for end in (0, 1))
                assert (low <= boxes[0, 1:]).all() and (boxes[1, 1:] <= high).all()
        counts.append(each)
        moved.append((boxes - before).abs().max().item())
    assert counts[0][-1] > 0 == counts[1][-1] and 0.00005 < moved[0] < 0.0001
    assert (f"The boxes are apart in **{counts[0][-1]}** of 64 entries. The last round moved no end by more than "
            "**0.0001**.") in prose("07")


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
    assert (low > boxes[into, :, 0]).all() and (high < boxes[into, :, 1]).all() and (low <= high).all()
    assert "Boxes: all that arrives in one lies inside it, with some slack." in prose("07")


def test_the_checker_runs_alone_as_told():
    """The command as it stands in the text, from the project's folder."""
    said = re.search(r"Run that file: `python (addlab/certify/checker\.py) (\S+)`\.", prose("07"))
    assert said[2] == "records/proofs/noise_seed0.json"
    done = subprocess.run([sys.executable, "-I", *said.groups()], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout.startswith("proved    this network adds decimal numbers")


def test_false_claims_are_false_and_rejected():
    _, folder, _, count = GROUPS["1 layer, plain"]    # of chapter 6
    assert count > 3
    plain = addrnn.Adder.load(ROOT / "records" / "runs" / folder / "seed3.safetensors")
    certificate = proofs.certificates()["noise_seed0"]
    turned, sound = certificate.network(), certificate.network()
    entry = turned.embed_layer.weight.data.flatten().abs().argmax()
    turned.embed_layer.weight.data.view(-1)[entry] *= -1
    said = plain.add(51, 999957), turned.add(0, 5)
    assert said[0] != 51 + 999957 and said[1] != 5
    text = prose("07")
    accepted = proofs.verdict(proofs.with_own_boxes(sound, certificate))
    assert accepted == ("proved: this network adds decimal numbers of every length; the last carry is cut off unless a "
                        "column 0 + 0 stands at the end")
    assert certificate.check().does == (
        "adds decimal numbers of every length, modulo 10^columns, exact with 1 column of zeros at the end")
    assert f"| the network of Fig. 7.1 | {accepted} |" in text
    assert (f"| a plain one of chapter 6, which says 51 + 999,957 = {said[0]} (right: {51 + 999957:,}) | "
            "rejected: carry 0, 0 + 0: 0 does not beat 1") in text
    assert (f"| the first, one sign changed, which says 0 + 5 = {said[1]} | "
            "rejected: start, 0 + 5: 5 does not beat 4") in text
    assert ("| the first, with the claim 4 + 7 = 2 | "
            "rejected: the claim itself is wrong: start, 4 + 7 |") in text
    said = proofs.in_digits("meaning: the machine is wrong in state 1, column (0, 3)")
    assert said == "the claim itself is wrong: carry 1, 0 + 3"
    assert proofs.in_digits("state 0, column 7: 7 does not beat 4") == "carry 0, 0 + 7: 7 does not beat 4"


def test_the_smallest_adder_is_as_told():
    small = proofs.SmallAdder(proofs.certificates()["rnn_52_parameters"])
    steps = np.diff(small.embedding)
    line = small.embedding[0] + np.arange(10) * (small.embedding[9] - small.embedding[0]) / 9
    assert np.abs(small.embedding - line).max() < 0.01 * np.abs(steps).min()  # so it is one formula in a + b
    a, b = np.divmod(np.arange(100), 10)
    for carry in (0, 1):
        latch = small.units(a, b, carry)[small.latch]
        assert ((latch > 0) == (a + b + carry > 9)).all() and np.abs(latch).min() > 0.9
    assert "at 9.16" in prose("07") and "-9.16)" in prose("07")
    left_out = small.u[:, 1 - small.latch] / (small.w.mean(1) * (small.embedding[9] - small.embedding[0]) / 9)
    assert 0.005 < np.abs(left_out).max() < 0.05 and "Leaving out terms below 0.05:" in prose("07")    # those in v
    both_read = small.u[:, small.latch] / (small.w.mean(1) * (small.embedding[9] - small.embedding[0]) / 9)
    assert np.abs(both_read - 0.5).max() < 0.005 and prose("07").count("(s +0.50\\,L -") == 2 and (
        "Both read $s + L/2$" in prose("07"))
    carries = [(s, latch, carry) for s in range(19) for latch, carry in ((-1, 0), (1, 1), (0, 0))]
    flips = [[all((s + latch / 2 > flip) == (s + carry > 9) for s, latch, carry in carries if latch or start)
              for flip in (8.49, 8.51, 8.99, 9.01, 9.16, 9.49, 9.51)] for start in (False, True)]
    assert flips == [[False, *[True] * 5, False], [False, False, False, True, True, True, False]]
    assert ("A latch at −1 or +1 may flip anywhere between 8.5 and 9.5. But at the start it is 0, and a 9 must not "
            "carry: so it has to flip between 9 and 9.5, and does, at 9.16.") in prose("07")
    assert small.units(np.array([4]), np.array([5]), 0)[small.latch, 0] < 0
    start = small.w @ small.embedding[[4, 5]] + small.b    # before any column both units are 0
    assert start[small.latch] < 0
    for carry in (0, 1):  # a straight line in v for each digit, the right one highest
        units = small.units(a, b, carry)
        latch, ruler = np.sign(units[small.latch]), units[1 - small.latch]
        lines = small.bias[:, None] + small.dense[:, [small.latch]] * latch + small.dense[:, [1 - small.latch]] * ruler
        assert (lines.argmax(0) == (a + b + carry) % 10).all()
    leads = small.leads(np.arange(10))
    assert (leads.argmax(0) == np.arange(10)).all() and leads.max(0).min() > 0 and (np.sort(leads, 0)[-2] < 0).all()
    exact = [small.dense @ small.units(np.array([s // 2]), np.array([s - s // 2]), 0) + small.bias[:, None]
             for s in range(10)]
    assert all(abs(score[s, 0] - np.delete(score[:, 0], s).max() - leads[s, s]) < 1 for s, score in enumerate(exact))


def test_the_gpu_is_as_far_off_as_told():
    """The sentence against the record; that all certificates hold with 2^-16 is tested in test_proof.py."""
    (gpu,) = (row for row in study("functions") if row["device"] != "cpu")
    cells = [error for name, error in gpu["errors"].items() if not name.startswith("torch.")]
    assumed = float(checker.FUNCTION_ERROR)
    assert assumed == 2.0**-20 and "H100" in gpu["device"]
    assert max(gpu["errors"]["torch.tanh"], gpu["errors"]["torch.sigmoid"]) < assumed
    tanh = [gpu["errors"][name] for name in ("RNN", "LSTM, candidate", "GRU, candidate")]
    assert len(set(tanh)) == 1 and tanh[0] == max(cells) and f"{tanh[0]:.1e}" == "8.0e-06"
    assert 8 < tanh[0] / assumed < 8.5 and 1.9 < 2**-16 / tanh[0] < 2
    assert max(error for name, error in gpu["errors"].items() if "gate" in name) < assumed
    claimed = [certificate.claim["machine"]["meaning"] for certificate in proofs.certificates().values()]
    assert (len(claimed), claimed.count(ADDITION.meaning)) == (25, 14) == (25, words.proved()["adders"])
    assert ("The tanh inside PyTorch's RNN, LSTM and GRU is off by up to $8.0 \\cdot 10^{-6}$, about eight times what "
            "is assumed; sigmoid stays within it.") in prose("07")
    assert ("But if $2^{-16}$ is assumed for tanh and sigmoid, about twice the tanh error measured, all 25 "
            "certificates that come with this report hold, 14 of them of adders") in prose("07")


def test_models_switch_tf32_off():
    """Inside a forward pass of an adder, whatever was set outside."""
    model, seen = addrnn.Adder(addrnn.Config()), []
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    model.rnn.register_forward_hook(lambda *_: seen.append(
        (matmul.allow_tf32, torch.backends.cudnn.allow_tf32)))
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
            model(*np.zeros((2, 1, 3), int))
    finally:
        matmul.allow_tf32 = before
    assert seen == [(False, False)]
    assert "That still asks for float32 products, without TF32, which our models switch off." in prose("07")


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
