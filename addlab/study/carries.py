"""What a model makes of carries: which sums it gets wrong, what its state tells of a carry, and which layer holds it.

What takes long, or is fitted by least squares (whose last bits hang on the machine), is measured once for a model's
weights and kept in records/carries.json; `recall` reads it from there.
"""

import hashlib
import math

import numpy as np
from matplotlib.patches import Rectangle

from addlab import engine, files
from addlab.certify.search import search
from addlab.inputs import to_columns, to_text
from addlab.records import tensor_bytes
from addlab.study import plots
from addlab.study.experiments import CHAINS, configs, recorded
from addrnn import carry_add

GROUPS = {  # what notebook 06 calls them ("longer" is 4 times as many batches): settings
    "plain": dict(layers=3),
    "plain, 1 layer": dict(layers=1),
    "chains": dict(layers=3, chains=CHAINS),
    "chains, longer": dict(layers=3, chains=CHAINS, batches=4000),
    "chains, 1 layer": dict(layers=1, chains=CHAINS),
    "chains, 1 layer, longer": dict(layers=1, chains=CHAINS, batches=4000),
}


def groups(seeds, read=recorded, **changes):
    """{name: [Run]} of GROUPS, as far as there are records; `changes` are settings that all of them share."""
    found = {name: read(configs(seeds, **settings | changes)) for name, settings in GROUPS.items()}
    return {name: runs for name, runs in found.items() if runs}


def label(name):
    """What a figure calls one of GROUPS: its layers first."""
    layers = plots.name("layers", GROUPS[name]["layers"])
    words = [word.replace("chains", "trained on chains") for word in name.split(", ") if word != layers]
    return ", ".join([layers, *words])


# How far it gets

KINDS = ("random", "carry", "no carry", "mixed")


def pairs_of(kind, count, digits, rng):
    """Draw `count` pairs of numbers of `digits` digits, of one of KINDS: int8 [count, digits + 1] each.

    "carry": 1 carried over columns that all sum to 9; "no carry": nothing carried over them; "mixed": such runs of
    random length, 30 columns on average, take turns with random columns of the same length on average.
    """
    num1, num2 = np.zeros((2, count, digits + 1), dtype=np.int8)
    num1[:, :-1], num2[:, :-1] = rng.integers(0, 10, (2, count, digits), dtype=np.int8)
    if kind == "mixed":
        turns = np.cumsum(rng.random((count, digits), dtype=np.float32) < 1 / 30, axis=1, dtype=np.int32)
        np.copyto(num2[:, :-1], 9 - num1[:, :-1], where=turns % 2 == 1)
    elif kind != "random":
        num2[:, :-1] = 9 - num1[:, :-1]
    if kind == "carry":
        num1[:, 0] = rng.integers(1, 10, count)
        num2[:, 0] = 10 - num1[:, 0]
    return num1, num2


def first_wrong(model, num1, num2):
    """The first column (from 0) of each pair [count, columns] in which the model is wrong, -1 where it never is."""
    wrong = model.predict(num1, num2) != carry_add(num1, num2)
    return np.where(wrong.any(axis=1), wrong.argmax(axis=1), -1)


def recall(what, model, compute):
    """The plain data of `compute()`, from records/carries.json where `what` is told there of a model's weights."""
    digest = hashlib.sha256(tensor_bytes(model.state_dict())).hexdigest()[:16]
    known = files.kept("carries.json").get(digest, {})
    if what not in known:
        known[what] = compute()
        files.keep("carries.json", known[what], digest, what)
    return known[what]


# Which sums go wrong

def right_of_random(model, count, digits):
    """How many of `count` random sums are right."""
    def measure():
        return int((first_wrong(model, *pairs_of("random", count, digits, np.random.default_rng(6))) < 0).sum())
    return recall(f"right of {count} x {digits}", model, measure)


def shortest_wrong(model, digits=1000):
    """What the search for a wrong sum finds.

    {"pair": two decimal strings or None, "tried": all sums of so many digits were tried, "states": visited in all}.
    """
    def measure():
        found = search(model, digits=digits)
        return {"pair": found.wrong and [to_text(number) for number in found.wrong], "tried": found.tried,
                "states": found.states}
    return recall(f"shortest wrong of {digits}", model, measure)


def digits_of(pair):
    """Digits of the longer number of a pair of decimal strings, inf for None."""
    return max(map(len, pair)) if pair else math.inf


def mended(model, pair):
    """Whether a sum comes out right if a column 0 + 0 is read before the others: both numbers times ten."""
    a, b = pair
    return model.add(a + "0", b + "0") == 10 * (int(a) + int(b))


def error_of(model, pair):
    """How a sum goes wrong in its first wrong digit.

    "invented": as if a carry came, and none does; "lost": as if none came, and one does; "other": by more than a carry.
    """
    num1, num2 = to_columns([pair])
    column = first_wrong(model, num1, num2)[0]
    both, right, said = (int(digits[0, column]) for digits in (
        num1 + num2, carry_add(num1, num2), model.predict(num1, num2)))
    carry = (right - both) % 10
    if (said - both) % 10 != 1 - carry:
        return "other"
    return "lost" if carry else "invented"


def shortest_figure(lengths, chains=None, most=11):
    """How many networks by the digits of their shortest wrong sum; lengths: {group: [digits, inf if none is found]}.

    chains: {group: how many get all chains right, in words}, written beside the rows.
    """
    fig, ax = plots.figure("Every network of three layers fails at a short sum", height=3.1)
    plots.axis(ax, "", "digits of the shortest wrong sum found", xlim=(3.5, most + 2),
               ylim=(len(lengths) - 0.5, -0.9 if chains else -0.5))
    for y, (name, values) in enumerate(lengths.items()):
        paint = plots.colour("layers", GROUPS[name]["layers"])
        for digits in sorted(set(values)):
            x, found = min(digits, most + 1.5), math.isfinite(digits)
            ax.plot(x, y, "o", color=paint, markersize=12.5, markerfacecolor=paint if found else "white")
            ax.annotate(str(values.count(digits)), (x, y), ha="center", va="center_baseline", fontsize=8,
                        fontweight="bold", color="white" if found else paint)
        beside(ax, (chains or {}).get(name, ""), y)
    beside(ax, "all chains\nright" if chains else "", -1.35)
    ax.set_xticks([*range(4, most, 2), most + 1.5], [*map(str, range(4, most, 2)), "none\nfound"])
    ax.set_yticks(range(len(lengths)), [label(name).replace("trained on ", "") for name in lengths])
    ax.grid(visible=False, axis="y")
    return fig


def beside(ax, text, y):
    """Write a text right of the axes, at a row."""
    if text:
        ax.annotate(text, (1, y), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
                    fontsize=9.5, color=plots.INK)


# What the state holds

def walk(model, num1, num2, state=None):
    """(states after each column [columns, layers, pairs, kept], digits said [pairs, columns]); no state is zero.

    `kept` is hidden, twice that for an LSTM, whose cell stands behind its output.
    """
    states, logits = engine.states(model, num1, num2, state), engine.logits(model, num1, num2, state)[0]
    states = np.concatenate(states, axis=3) if isinstance(states, tuple) else states
    return states.transpose(2, 0, 1, 3), logits.argmax(axis=2)


def flat(states):
    """All layers of a state side by side, and a 1: [columns, pairs, layers * kept + 1]."""
    joined = np.moveaxis(states, 1, 2).reshape(len(states), states.shape[2], -1).astype(float)
    return np.concatenate((joined, np.ones((*joined.shape[:2], 1))), axis=2)


def carries_out(num1, num2):
    """The carry out of each column but the last: 0 or 1, [columns - 1, pairs]."""
    return ((carry_add(num1, num2) - num1 - num2) % 10)[:, 1:].T.astype(int)


def probe(model, layers=slice(None), count=400, digits=20):
    """Weights that read the carry, +1 or -1, off the state of some layers: least squares on random pairs."""
    pairs = pairs_of("random", count, digits, np.random.default_rng(0))
    return fitted(flat(walk(model, *pairs)[0][:-1, layers]), pairs)


def fitted(states, pairs):
    """The weights of states [columns, pairs, n] whose sum is nearest to the carry, +1 or -1, out of each column."""
    x, y = states.reshape(-1, states.shape[2]), 2.0 * carries_out(*pairs).ravel() - 1
    return np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ y)


def reads(model, weights, kind, layers=slice(None), count=200, digits=20):
    """How often the sign of a probe's reading is the carry, on pairs of a kind."""
    pairs = pairs_of(kind, count, digits, np.random.default_rng(1))
    return told(flat(walk(model, *pairs)[0][:-1, layers]) @ weights, pairs)


def told(reading, pairs):
    """How often the sign of a reading [columns, pairs] is the carry."""
    return float((np.sign(reading) == 2 * carries_out(*pairs) - 1).mean())


def reads_digit(digits=20):
    """How often a probe reads the carry off the digit of the sum alone, fitted and asked on the pairs of all probes."""
    fits, asks = (pairs_of("random", *drawn) for drawn in ((400, digits, np.random.default_rng(0)),
                                                           (200, digits, np.random.default_rng(1))))
    digit, asked = (np.eye(10)[carry_add(*pairs)[:, :-1].T] for pairs in (fits, asks))
    return told(asked @ fitted(digit, fits), asks)


def exchange(model, layer, count=400):
    """How often a sum takes on the carry of another when it gets that other's state of one layer.

    Two chains have the same digits, but for a carry that one of them starts with. After three columns the state of
    `layer` is put from the one with a carry into the other, and both go on for five columns that sum to 9. `layer` is
    one or a list of them; with none, [], this is how often a sum goes wrong by itself.
    """
    num1, num2 = pairs_of("no carry", count, 8, np.random.default_rng(3))
    num1, num2 = num1[num1[:, 0] > 0], num2[num1[:, 0] > 0]
    with_carry = num2.copy()
    with_carry[:, 0] += 1  # the first column now sums to 10
    (without, _), (other, _) = (walk(model, num1[:, :3], second[:, :3]) for second in (num2, with_carry))
    state = without[-1].copy()
    state[layer] = other[-1, layer]
    return float((walk(model, num1[:, 3:8], num2[:, 3:8], state)[1][:, 4] == 0).mean())


EMPTY = "#dcdcdc"  # a state that nobody knows yet


def exchange_figure(layers=3):
    """What `exchange` does, drawn: twins, each state a stack of layers, of which the first is copied."""
    fig, ax = plots.figure("Copy one layer from twin to twin: which twin's digit comes out?", height=3.4)
    pairs = ["4 + 6", "2 + 7", "5 + 4", "8 + 1", "…", "0 + 9"]
    rows = {"twin with a carry": (2.1, plots.CARRY, 1.5), "twin without": (0, plots.NO_CARRY, -0.45)}
    arrow = {"arrowstyle": "-|>", "color": plots.INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    for name, (low, paint, beside_it) in rows.items():
        plots.note(ax, name, 0.45, low + (2.1 if low else -0.95), ha="right", colour=paint)
        for step, pair in enumerate(pairs):
            first = "4 + 3" if name == "twin without" else pairs[0]
            plots.note(ax, pair if step else first, -step, low + beside_it, ha="center")
            changed = name == "twin without" and step > 2
            for layer in range(layers if pair != "…" else 0):
                copied = name == "twin without" and (step, layer) == (2, 0)
                face = EMPTY if changed else plots.CARRY if copied else paint
                place = -step - 0.3, low + 0.36 * layer
                ax.add_patch(Rectangle(place, 0.6, 0.28, facecolor=face, edgecolor=plots.INK))
            if step + 1 < len(pairs):
                ax.annotate("", (-step - 0.68, low + 0.5), (-step - 0.34, low + 0.5), arrowprops=arrow)
    for layer in range(layers):
        plots.note(ax, str(layer + 1), 0.38, rows["twin with a carry"][0] + 0.36 * layer + 0.14)
    bent = {"color": plots.CARRY, "linewidth": 2.2, "connectionstyle": "arc3,rad=0.35"}
    ax.annotate("", (-2.3, 0.14), (-2.3, 2.24), arrowprops=arrow | bent)
    plots.note(ax, "copy one layer", -2.2, 1.5, colour=plots.CARRY)
    plots.note(ax, "from here on: unknown", -2.75, 1.5, ha="right")
    plots.note(ax, "says 0", -5.45, 2.6, ha="right", colour=plots.CARRY)
    plots.note(ax, "0 or 9?", -5.45, 0.5, ha="right")
    ax.set(xlim=(-6.6, 0.5), ylim=(-1.2, 4.5))
    ax.axis("off")
    return fig


def layers_of(model):
    """For each layer: {"random", "mixed": how often a probe of it reads the carry, "exchange": see there}."""
    def measure():
        found = []
        for layer in range(model.config.layers):
            weights = probe(model, [layer])
            found.append({kind: round(reads(model, weights, kind, [layer]), 4) for kind in ("random", "mixed")}
                         | {"exchange": round(exchange(model, layer), 4)})
        return found
    return recall("layers", model, measure)
