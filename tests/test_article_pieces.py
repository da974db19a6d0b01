"""The article's pieces: their numbers in Node against Python, their behaviour in a real browser."""

import base64
import json
import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from conftest import ROOT

import addrnn
from addlab import article
from addlab.article import pictures, pieces
from addlab.article.words import words
from addlab.certify import ADDITION, checker
from addlab.certify.proof import margins
from addlab.inputs import to_columns
from addlab.study import carries, first_digit, measures, proofs, start
from addlab.study.experiments import WEIGHTS, configs, recorded

NAMES = "fade", "phantom", "dose", "claims", "machine"
NODE = shutil.which("node")
CHROME, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ORDER = ("embed_layer.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
         "dense.weight", "dense.bias")


def node_version():
    done = subprocess.run([NODE, "--version"], capture_output=True, text=True)
    return int(done.stdout.strip("v\n").split(".")[0])


in_node = pytest.mark.skipif(not NODE or node_version() < 20, reason="node 20 or later is not installed")


def node(code, facts):
    """What the last expression of some JavaScript is, as JSON; `facts` is there by this name, the modules by theirs."""
    modules = "".join(f'import * as {name} from {json.dumps((article.FOLDER / f"{name}.js").as_uri())};\n'
                      for name in ("intervals", "small", "drift", "network"))
    program = f"""{modules}
let text = ""; for await (const part of process.stdin) text += part;
const facts = JSON.parse(text);
const strict = (key, value) => typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
const answer = (() => {{ {code} }})();
console.log(JSON.stringify(answer, strict));"""
    done = subprocess.run([NODE, "--input-type=module", "-e", program], input=json.dumps(facts), capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def facts():
    return {name: article.facts(name) for name in article.PIECES}


@pytest.fixture(scope="module")
def small():
    return proofs.certificates()["rnn_52_parameters"]


def flat(tensors):
    return np.concatenate([tensors[name].numpy().ravel() for name in ORDER]).astype(np.float32)


def encoded(numbers):
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()


def tensors_of(numbers, like):
    """{name: (shape, values)} as the checker reads weights, of float32 numbers in ORDER."""
    found, at = {}, 0
    for name in ORDER:
        shape = list(like[name].shape)
        size = like[name].numel()
        found[name] = (shape, [float(x) for x in numbers[at : at + size]])
        at += size
    return found


def checked(numbers, boxes, like):
    """The checker's least lead of these weights by these boxes [state][unit], or None where it rejects."""
    invariant = [[checker.read_box([[float(x) for x in ends] for ends in box])] for box in boxes]
    network = checker.Sizes("RNN", 1, len(like["rnn.bias_ih_l0"]), like["embed_layer.weight"].shape[1])
    try:
        return min(map(checker.lower_end, checker.prove(network, ADDITION, tensors_of(numbers, like), invariant)))
    except checker.Rejected:
        return None


PROVE = """
const net = numbers => intervals.model(network.floats(numbers), facts.hidden, facts.embedding);
return facts.weights.map(numbers => {
  const given = intervals.prove(net(numbers), facts.boxes), best = intervals.verdict(net(numbers), facts.boxes);
  return {given: given.proved, leads: given.cases.map(one => one.lead), proved: best.proved, boxes: best.boxes,
          margin: best.margin};
});"""


# The proof in the page

@in_node
@pytest.mark.parametrize("name", ["rnn_52_parameters", "rnn_48_parameters", "rnn_1layer_seed0"])
def test_page_proves_the_shipped_weights_and_never_claims_a_larger_lead(name):
    certificate = proofs.certificates()[name]
    claim, weights = certificate.claim, flat(safetensors.torch.load(certificate.weights))
    boxes = [layers[0] for layers in claim["invariant"]]
    found, = node(PROVE, dict(weights=[encoded(weights)], boxes=boxes, hidden=claim["hidden"],
                              embedding=claim["embedding"]))
    leads = margins(certificate).ravel()
    assert found["given"] and found["proved"]
    assert (np.array(found["leads"]) <= leads).all()
    np.testing.assert_allclose(found["leads"], leads, rtol=1e-5, atol=1e-3)


@in_node
def test_page_never_proves_what_the_checker_rejects(small):
    like = safetensors.torch.load(small.weights)
    weights, rng = flat(like), np.random.default_rng(0)
    boxes = [layers[0] for layers in small.claim["invariant"]]
    changed = [(weights * (1 + size * rng.standard_normal(len(weights)))).astype(np.float32)
               for size in np.geomspace(1e-6, 0.1, 20)]
    found = node(PROVE, dict(weights=list(map(encoded, changed)), boxes=boxes, hidden=2, embedding=1))
    proved = 0
    for numbers, page in zip(changed, found, strict=True):
        by_given = checked(numbers, boxes, like)
        assert not page["given"] or by_given is not None
        if page["proved"]:
            proved += 1
            lead = checked(numbers, page["boxes"], like)
            assert lead is not None and page["margin"] <= lead
    assert 0 < proved < len(changed)  # both verdicts were put to the test
    assert sum(page["given"] for page in found) > 0


@in_node
def test_weights_that_a_slider_made_are_judged_as_the_checker_judges_them(small, facts):
    like = safetensors.torch.load(small.weights)
    found = node("""
const net = intervals.model(network.floats(facts.weights), facts.hidden, facts.embedding);
const terms = small.describe(net, facts.latch);
const exact = {flip: terms.flip, memory: terms.memory, slope: 1, shift: terms.shift};
return facts.turns.map(turn => {
  const turned = small.turned(net, terms, {...exact, ...turn}), best = intervals.verdict(turned, facts.boxes);
  const {embed, w, u, bw, bu, dense, bias} = turned;
  return {proved: best.proved, boxes: best.boxes, broken: best.broken.length,
          numbers: [embed, w, u, bw, bu, dense, bias].flatMap(part => [...part])};
});""", facts["machine"] | {"turns": [{}, {"flip": 9.2}, {"flip": 9.25}, {"flip": 9.5}, {"flip": 8.9}, {"memory": 0.4},
                                       {"memory": 0.1}, {"slope": 1.1}, {"shift": 11}, {"shift": 12}]})
    verdicts = [page["proved"] for page in found]
    assert verdicts == [True, True, True, False, False, True, False, False, True, False]
    np.testing.assert_array_equal(np.float32(found[0]["numbers"]), flat(like))
    for page in found:
        lead = checked(np.float32(page["numbers"]), page["boxes"], like)
        assert (lead is not None) == page["proved"]
        assert page["proved"] == (page["broken"] == 0)


@in_node
@pytest.mark.parametrize("factor", [2.0**10, 1e28])
def test_weights_that_may_overflow_are_not_proved(small, factor):
    like = safetensors.torch.load(small.weights)
    weights, boxes = flat(like), pieces.machine()["boxes"]
    weights[-30:] *= np.float32(factor)  # all logits: which is largest does not change
    found, = node(PROVE, dict(weights=[encoded(weights)], boxes=boxes, hidden=2, embedding=1))
    assert found["given"] == found["proved"] == (checked(weights, boxes, like) is not None) == (factor < 1e28)


# What the networks in the page say

def random_sums(count, rng, longest=40):
    def number():
        return "".join(map(str, rng.integers(0, 10, rng.integers(1, longest)))).lstrip("0") or "0"

    return [(number(), number()) for _ in range(count)]


@in_node
def test_small_adder_says_in_the_page_what_it_says_in_python(small, facts):
    sums = random_sums(280, np.random.default_rng(1))
    sums += [("9" * n, b) for n in range(1, 11) for b in ("0", "1")]
    rows = node("""
const net = intervals.model(network.floats(facts.weights), facts.hidden, facts.embedding);
return ["said", "right"].map(row => facts.sums.map(([a, b]) =>
  small.walk(net, a, b).map(step => step[row]).reverse().join("")));""", facts["machine"] | {"sums": sums})
    said, right = ([int(text) for text in row] for row in rows)
    model = small.network()
    assert said == right == [model.add(a, b) for a, b in sums] == [int(a) + int(b) for a, b in sums]


@in_node
def test_fading_in_the_page_is_that_of_the_networks(facts):
    models = {name: list(found.values()) for name, found in pieces.trained().items()}
    page = node("""
return facts.kinds.map(kind => kind.networks.map(one => {
  const subject = {network: network.Network.from(one), probe: one.probe};
  const chains = [0, 1].map(first => drift.chain(subject, first, 60));
  return {readings: chains.map(one => one.readings), rests: drift.landscape(drift.moves(subject)).rests,
          said: [0, 1].map(first => Array.from({length: 60}, (_, i) =>
            drift.digitsOf(chains[first], first, i + 1).map(([digit]) => digit).reverse().join("")))};
}));""", facts["fade"])
    both = set()
    for name, found in zip(models, page, strict=True):
        assert len(found) == len(models[name]) == (2 if "noise" in name else 5)
        for model, one in zip(models[name], found, strict=True):
            weights = carries.probe(model)
            ends = []
            for first in (0, 1):
                num1, num2 = np.full((1, 2000), 9), np.zeros((1, 2000), int)
                num2[0, 0] = first
                readings = (carries.flat(carries.walk(model, num1, num2)[0]) @ weights)[:, 0]
                np.testing.assert_allclose(one["readings"][first], readings[:60], atol=2e-3)
                assert [int(text) for text in one["said"][first]] == [model.add("9" * n, first) for n in range(1, 61)]
                ends.append(readings[-1])
            assert (len(one["rests"]) > 1) == (ends[1] - ends[0] > 0.3)  # as many valleys as places where they end
            both.add(len(one["rests"]))
    assert both == {1, 2}


@in_node
def test_steeper_landscape_moves_the_state_farther(facts):
    found = node("""
return facts.kinds.flatMap(kind => kind.networks.map(one => {
  const subject = {network: network.Network.from(one), probe: one.probe}, moves = drift.moves(subject);
  const chains = [0, 1].map(first => drift.chain(subject, first, 61));
  const land = drift.landscape(moves, chains.flatMap(drift.steps));
  const bare = drift.landscape(moves).rests, readings = chains.flatMap(one => one.readings.slice(0, 60));
  return {moves, bare, readings, ...land};
}));""", facts["fade"])
    for one in found:
        assert one["x"][0] <= min(one["readings"]) and max(one["readings"]) <= one["x"][-1]  # no ball beside the hill
        assert len(one["rests"]) == len(one["bare"]) and np.allclose(one["rests"], one["bare"], atol=0.04)
        (readings, moved), x = np.transpose(one["moves"]), np.array(one["x"])
        slopes, places = np.diff(one["height"]) / np.diff(x), np.searchsorted(x, readings)
        steps = [(slopes[i - 1], moved[places == i].mean()) for i in range(1, len(x)) if (places == i).any()]
        assert np.corrcoef(np.transpose(steps))[0, 1] < -0.9  # downhill, and the farther the steeper


def test_column_read_first_repairs_as_many_sums_as_the_page_says(facts):
    half = facts["phantom"]["half"]
    model = addrnn.Adder.load(ROOT / "records/runs/digit_len=1000,batches=150/seed0.safetensors")
    draw, right = random.Random(5), {"plain": 0, "led": 0}
    for _ in range(200):
        a, b = (draw.randrange(10**half["digits"]) for _ in range(2))
        right["plain"] += model.add(str(a), str(b)) == a + b
        right["led"] += model.add(f"{a}0", f"{b}0") == 10 * (a + b)
    for name, count in right.items():
        assert abs(count / 200 - half[name]) < 0.15 and half["led"] - half["plain"] > 0.3


def article_says(*phrases):
    """That phrases stand in the first page's text."""
    text = " ".join((ROOT / "tools" / "template" / "opening.md").read_text("utf-8").split())
    assert [phrase for phrase in phrases if phrase not in text] == []


def test_share_of_the_first_digit_decides_as_the_article_says(facts):
    """By the study's file itself: 99% of the sums of 20 batches in a row, and the recorded runs of the two lengths."""
    study = json.loads((ROOT / "records" / "studies" / "first_digit.json").read_text())
    rows = {(row["digits"], row["share"]): row for row in facts["dose"]["rows"]}
    for (digits, share), row in rows.items():
        if digits != share:
            ends = [len(study[f"{digits} digits, share of {share} digits, weights {seed}, data {seed}"]["sums"])
                    for seed in range(facts["dose"]["seeds"])]
            # a run ends when that mean is reached, and the batches counted are those before it stays there
            assert all(batches <= end < 2 * batches for batches, end in zip(row["batches"], ends, strict=True))
    usual = rows[100, 100]["middle"]
    for n in (1000, 5000):
        alone, whole = rows[100, n]["middle"] / usual, rows[n, n]["middle"] / usual
        assert np.sqrt(whole) < alone < 1.5 * whole < 2 * alone  # "most of the wait"; "about as long as with 1000"
    assert rows[1000, 100]["middle"] < 1.2 * usual  # "about as long as with 100 digits"
    article_says("This is the main reason why", "most of the extra batches go into one digit")
    extra, share = rows[1000, 1000]["middle"] - usual, rows[1000, 1000]["middle"] - rows[1000, 100]["middle"]
    assert 0 < extra / 2 < share < extra


def test_ones_digit_is_learned_last_and_goes_wrong_in_one_way():
    article_says("learn the ones digit last. When the other digits are nearly all right, it still goes wrong, and in "
                 "one way only: it is one too large")
    stopped = [config for config in WEIGHTS if config.digit_len >= 1000 and config.cell == "RNN"]
    late = [run for config in stopped for run in recorded([config]) if config.batches > 100]  # before, others are wrong
    assert len(late) > 10
    for run in late:
        off = first_digit.off(run.model)
        assert start.errors(run, 100)[:, 1:].mean() < 1e-4 < 0.01 < off.mean() and set(off) == {0, 1}
    half = [model["off"] for model in first_digit.results(first_digit.STUDY)["half-trained"].values()]
    assert {off for one in half for off in one} == {0, 1}


def test_words_of_the_article_are_what_networks_say():
    said = words()
    model = addrnn.Adder.load(ROOT / "records" / "runs" / "default" / "seed0.safetensors")
    a, b, answer = (int(number.replace(",", "")) for number in re.split(r" [+=] ", said["wrong_sum"]))
    assert model.add(a, b) == answer != a + b == int(said["right_sum"].replace(",", ""))
    assert max(len(str(a)), len(str(b))) <= said["plain_digits"]
    assert answer % 10 == (a + b) % 10  # "there the ones digit is right"
    ten = addrnn.Config().digit_len
    assert ten == 10
    for run in recorded(configs(range(20))):  # "Zeros in front, to make ten digits, do not help"
        num1, num2 = to_columns([carries.shortest_wrong(run.model)["pair"]])
        num1, num2 = (np.pad(num, ((0, 0), (0, ten + 1 - num.shape[1]))) for num in (num1, num2))
        assert (run.model.predict(num1, num2) != addrnn.carry_add(num1, num2)).any()
    assert said["plain_beaten"] == said["plain"] > 0 and said["chained_beaten"] == said["chained"] > 0
    assert said["refuted"] == said["searched"] > 0  # "for every one of them", "in all"
    assert said["chained_crossing"] > said["chained"] / 2  # "get every chain right that we tried. But"
    first = json.loads((ROOT / "notebooks" / "01_baseline.ipynb").read_bytes())["cells"]
    shown = "".join("".join(output.get("data", {}).get("text/markdown", "")) for cell in first
                    for output in cell.get("outputs", []))
    assert f"{said['plain_mended']} of the {said['plain_beaten']} are right" in shown
    assert said["statements"] == said["hold"] + said["fail"] + said["neither"] == len(pieces.claims()["claims"])
    article_says("Of the others, $fail fail or mostly fail, and $neither are mixed.")
    for row in pieces.claims()["claims"]:
        low, high = measures.interval(row["yes"], row["no"], row["open"])
        mixed, mostly = row["verdict"] == "mixed", row["verdict"].startswith("mostly")
        assert mixed == (low <= 0.5 <= high)  # "the seeds do not decide it"
        if not mixed:  # "some seeds disagree, but clearly fewer than half"
            against, least = (row["no"], low) if row["verdict"].endswith("holds") else (row["yes"], 1 - high)
            assert least > 0.5 and mostly == (against > 0)
    assert said["noise_proved"] > said["noise_tried"] / 2 > said["quiet_proved"]  # "makes it safe"
    meanings = [json.loads(path.read_text())["machine"]["meaning"] or {}
                for path in (ROOT / "records" / "proofs").glob("*.json")]
    decimal = [meaning for meaning in meanings if meaning.get("base") == 10 and meaning.get("factors") == [1, 1]]
    assert said["adders"] == len(decimal) > 1


# In a browser

class Browser:
    """Headless Chromium with a folder of its own; every request and every message of its console is noted."""

    def __init__(self, folder):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = CHROME
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                         "--disable-background-networking", "--disable-component-update", "--disable-sync",
                         f"--user-data-dir={folder}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.folder, self.address = Path(folder), "about:blank"
        self.driver.get(self.address)
        self.problems()  # of the page that a browser starts with

    def open(self, html, width=1280, dark=False, calm=False, script=True):
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                 {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"}]
        size = dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        path = self.folder / "page.html"
        path.write_text(html, encoding="utf-8")
        self.address = path.as_uri()
        self.driver.get(self.address)
        if script:
            self.wait("document.querySelector('.addrnn .body')?.childElementCount > 0")

    def ask(self, expression, *arguments):
        return self.driver.execute_script(f"return {expression}", *arguments)

    def texts(self, selector):
        return self.ask("[...document.querySelectorAll(arguments[0])].map(one => one.textContent)", selector)

    def wait(self, expression, *arguments):
        end = time.monotonic() + 20
        while not self.ask(expression, *arguments):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.05)

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, label):
        """Press Tab until something of this name has the focus."""
        from selenium.webdriver import Keys

        name = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()"
        for _ in range(60):
            self.press(Keys.TAB)
            if self.ask(name) == label:
                return
        raise AssertionError(f"Tab never comes to {label!r}")

    def problems(self):
        """Messages of the console, and requests for anything but the page itself and what it carries along."""
        messages = [entry["message"] for entry in self.driver.get_log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [event["params"]["request"]["url"] for event in events
                 if event["method"] == "Network.requestWillBeSent"]
        return messages + [url for url in asked if url != self.address and not url.startswith(("data:", "blob:"))]


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("selenium", reason="selenium is not installed")
    if not CHROME or not DRIVER:
        pytest.skip("chromium and chromedriver are not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Browser(folder)
        yield made
        made.driver.quit()


@pytest.fixture(autouse=True)
def quiet(request):
    """No page of a test may complain or ask for anything."""
    yield
    if "browser" in request.fixturenames:
        assert request.getfixturevalue("browser").problems() == []


def page(facts, name):
    """A page of one piece."""
    return article.page({name: facts[name]})


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_piece_fits_its_page(browser, facts, name, dark, width):
    browser.open(page(facts, name), width=width, dark=dark)
    browser.wait("document.querySelector('.addrnn .question') !== null")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    cut = browser.ask("""[...document.querySelectorAll(".addrnn :is(p, button, label, text, summary, td, figcaption)")]
        .filter(one => !one.closest(".unseen, .sheet")).map(one => [one.getBoundingClientRect(), one.textContent])
        .filter(([box]) => box.width && (box.left < -1 || box.right > innerWidth + 1)).map(([, text]) => text)""")
    assert cut == []
    ink, paper = (browser.ask(f"getComputedStyle(document.querySelector('.addrnn')).getPropertyValue('{name}')")
                  for name in ("--ink", "--paper"))
    assert (int(ink.strip()[1:3], 16) > int(paper.strip()[1:3], 16)) == dark
    light = {mark: luminance(colour) for mark, colour in browser.ask(
        "[...document.querySelectorAll('.addrnn svg text')].map(one => [one.textContent, getComputedStyle(one).fill])")}
    back = luminance(browser.ask("getComputedStyle(document.body).backgroundColor").replace(
        "rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"))
    faint = {mark for mark, tone in light.items() if (max(tone, back) + 0.05) / (min(tone, back) + 0.05) < 4.5}
    assert faint == set()


def luminance(colour):
    """Relative luminance of rgb(r, g, b) (WCAG)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("name", article.PIECES)
def test_piece_has_a_still_where_script_is_off(browser, facts, name):
    still = getattr(pictures, name)().html
    browser.open(article.html(name, facts[name], still), width=390, script=False)
    body = browser.driver.find_element("tag name", "body")
    question = browser.driver.find_element("css selector", ".question")
    assert question.is_displayed() and len(body.text) > 100
    assert len(still) < 20_000
    browser.open(page(facts, name))
    assert browser.driver.find_element("css selector", ".question").text == question_of(still)


def question_of(still):
    return still.split('class="question">')[1].split("<")[0]


def test_machine_adds_by_keyboard_as_python_adds(browser, facts, small):
    from selenium.webdriver import Keys

    browser.open(page(facts, "machine"), calm=True)
    a, b = "9" * 35, "1" + "0" * 12 + "1"
    for label, number in (("first number", a), ("second number", b)):
        browser.tab_to(label)
        browser.press(*number)  # in place of what stands there, which Tab selects
    browser.tab_to("Step")
    for _ in range(len(a) + 1):
        browser.press(Keys.ENTER)
    row = "[...document.querySelectorAll('.sheet tr:last-child td')].map(cell => cell.textContent).join('')"
    browser.wait(f"{row}.length === {len(a) + 1}")
    assert int(browser.ask(row)) == small.network().add(a, b)
    assert browser.ask("[...document.querySelectorAll('button')].find(one => one.textContent === 'Step').disabled")


def test_machine_refuses_what_is_no_number(browser, facts):
    browser.open(page(facts, "machine"))
    browser.tab_to("first number")
    browser.press("x")
    assert browser.texts(".top .verdict") == ["Only digits can be added."]
    assert browser.ask("document.activeElement.getAttribute('aria-invalid')") == "true"


def test_slider_breaks_the_proof_and_undo_repairs_it(browser, facts):
    from selenium.webdriver import Keys

    browser.open(page(facts, "machine"), calm=True)
    verdict = "[...document.querySelectorAll('.verdict')].at(-1).textContent"
    assert browser.ask(verdict).startswith("Proved")
    assert browser.ask("document.querySelectorAll('.case').length") == 300
    browser.tab_to("The latch flips at")
    browser.press(*[Keys.ARROW_RIGHT] * 40)
    browser.wait(f"{verdict}.startsWith('Not proved')")
    browser.wait("document.querySelectorAll('.case.broken').length > 0")
    browser.tab_to("Show me")
    browser.press(Keys.ENTER)
    assert "is right" in browser.texts(".top .verdict.bad")[0]  # the sum that it shows does come out wrong
    assert browser.ask("document.querySelectorAll('.sheet td.bad').length") == 1  # and in that column alone
    browser.ask("[...document.querySelectorAll('button')].find(one => one.textContent === 'As it was trained').click()")
    browser.wait(f"{verdict}.startsWith('Proved')")
    browser.wait("document.querySelectorAll('.case.broken').length === 0")


def test_machine_plays_and_stops_at_the_end(browser, facts):
    browser.open(page(facts, "machine"))
    play = "[...document.querySelectorAll('button')].find(one => ['Play', 'Pause'].includes(one.textContent))"
    browser.ask(f"{play}.click()")
    assert browser.ask(f"{play}.textContent") == "Pause"
    browser.wait(f"{play}.textContent === 'Play'")
    row = "[...document.querySelectorAll('.sheet tr:last-child td')].map(cell => cell.textContent).join('')"
    assert int(browser.ask(row)) == 4758 + 2767


def test_fade_says_what_the_networks_say(browser, facts):
    from selenium.webdriver import Keys

    browser.open(page(facts, "fade"), calm=True)
    browser.tab_to("Nines")
    browser.press(Keys.END)
    models = pieces.trained()
    for kind in facts["fade"]["kinds"]:
        place = [one["name"] for one in facts["fade"]["kinds"]].index(kind["name"])
        browser.ask(f"document.querySelectorAll('.choice')[0].querySelectorAll('input')[{place}].click()")
        for position, one in enumerate(kind["networks"]):
            browser.ask(f"document.querySelectorAll('.choice')[1].querySelectorAll('input')[{position}].click()")
            model, wrong = models[kind["name"]][one["seed"]], []
            for first in (1, 0):
                said, right = (f"{number:061d}" for number in (model.add("9" * 60, first), 10**60 - 1 + first))
                wrong.append(sum(x != y for x, y in zip(said, right, strict=True)))
            verdicts = browser.texts(".answers div > :last-child")
            assert verdicts == [f"{count} wrong" if count else "right" for count in wrong]
            browser.wait("document.querySelectorAll('rect.wrong').length === arguments[0]", sum(wrong))


def test_fade_moves_at_once_where_no_motion_is_wanted(browser, facts):
    browser.open(page(facts, "fade"), calm=True)
    ball = "[...document.querySelectorAll('svg')].at(-1).querySelectorAll('circle')[1]?.getAttribute('cx')"
    browser.wait(f"{ball} !== undefined")
    moved = browser.driver.execute_async_script(f"""
        const done = arguments[0], knob = document.querySelector("input[type=range]"), places = [{ball}];
        knob.value = 40;
        knob.dispatchEvent(new Event("input"));
        const look = left => {{
          places.push({ball});
          left ? requestAnimationFrame(() => look(left - 1)) : done(places);
        }};
        requestAnimationFrame(() => look(10));""")
    assert len(set(moved[2:])) == 1 and moved[0] != moved[-1]


def test_phantom_shows_what_the_network_says(browser, facts):
    from selenium.webdriver import Keys

    browser.open(page(facts, "phantom"))
    half = addrnn.Adder.load(ROOT / "records/runs/digit_len=1000,batches=150/seed0.safetensors")
    a, b = (digits[:, None] for digits in np.divmod(np.arange(100), 10))
    zero = np.zeros_like(a)
    said = half.predict(a, b)[:, 0]
    mended = half.predict(np.hstack([zero, a]), np.hstack([zero, b]))[:, 1]
    assert [int(text) for text in browser.texts(".cell")] == said.tolist()
    corners = browser.ask("[...document.querySelectorAll('.cell')].map(cell => [cell.offsetTop, cell.offsetLeft])")
    tops, lefts = np.array(corners).reshape(10, 10, 2).transpose(2, 0, 1)
    assert (np.ptp(tops, 1) == 0).all() and (np.ptp(lefts, 0) == 0).all() and (np.diff(lefts[0]) > 20).all()
    assert browser.ask("document.querySelectorAll('.cell.bad').length") == (said != (a + b)[:, 0] % 10).sum()
    pair = browser.ask("document.querySelector('.cell.chosen').getAttribute('aria-label')")[:5].split(" + ")
    longer = [f"{upper}{digit}" for upper, digit in zip(("28416", "53072"), pair, strict=True)]
    row = "[...document.querySelector('table').rows[2].cells].slice(2).map(cell => cell.textContent).join('')"
    assert int(browser.ask(row)) == half.add(*longer) % 10**6
    browser.tab_to(browser.ask("document.querySelector('.cell.chosen').getAttribute('aria-label')"))
    before = browser.ask("document.querySelector('.cell.chosen').getAttribute('aria-label')")
    browser.press(Keys.ARROW_RIGHT)
    assert browser.ask("document.activeElement.classList.contains('chosen')")
    assert browser.ask("document.activeElement.getAttribute('aria-label')") != before
    browser.ask("document.querySelectorAll('.choice input')[1].click()")
    assert [int(text) for text in browser.texts(".cell")] == mended.tolist()


def test_dose_groups_its_rows_by_keyboard(browser, facts):
    from selenium.webdriver import Keys

    browser.open(page(facts, "dose"), width=390, calm=True)
    rows = facts["dose"]["rows"]
    middles = sorted(f"{row['middle']:g}" for row in rows)
    apart = {}
    for way, other, head in (("share", "length", "Share 1/"), ("digits", "share", "Numbers of ")):
        browser.wait("document.querySelector('.verdict').textContent.includes(arguments[0])", f"other {other}")
        browser.wait("[...document.querySelectorAll('text')].filter(one => one.textContent.startsWith(arguments[0]))"
                     ".length === arguments[1]", head, len({row[way] for row in rows}))
        bold = browser.ask("[...document.querySelectorAll('text[style*=\"600\"]')]"
                           ".map(one => [one.getBoundingClientRect().top, one.textContent])")
        assert sorted(text for _, text in bold if text.isdigit()) == middles
        for row in rows:  # each stands below the head of its own group
            y = next(top for top, text in bold if text == f"{row['middle']:g}")
            above = max((top, text) for top, text in bold if top < y and text.startswith(head))[1]
            assert above == f"{head}{row[way] + 1}" if way == "share" else above == f"{head}{row[way]} digits"
        groups = [[one["middle"] for one in rows if one[way] == row[way]] for row in rows]
        apart[way] = max(max(group) / min(group) for group in groups)
        assert f"up to {apart[way]:.1f} times apart" in browser.texts(".verdict")[0]
        heads = browser.ask("[...document.querySelectorAll('text')].filter(one => one.textContent.startsWith('median'))"
                            ".map(one => Math.round(one.getBoundingClientRect().right))")
        rights = browser.ask("[...document.querySelectorAll('text[style*=\"600\"]')].filter(one => /^\\d+$/.test("
                             "one.textContent)).map(one => Math.round(one.getBoundingClientRect().right))")
        crowded = browser.ask("""[...document.querySelectorAll("text")].flatMap((one, i, all) => all.slice(i + 1)
            .map(two => [one, two].map(text => text.getBoundingClientRect())).filter(([a, b]) => a.left < b.right
              && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)).length""")
        assert crowded == 0  # no words on others
        assert len(heads) == len({row[way] for row in rows}) and len(set(heads + rights)) == 1  # a column of their own
        if way == "share":
            browser.press(Keys.TAB, Keys.ARROW_RIGHT)
    assert apart["share"] < apart["digits"]


def test_machine_says_what_its_latch_sees(browser, facts):
    """The two digits, and half a carry more or less."""
    browser.open(page(facts, "machine"), calm=True)
    browser.wait("document.querySelectorAll('svg text').length > 20")
    assert "the sum it sees (carry +0.50, none −0.50)" in browser.texts("svg text")
    step = "[...document.querySelectorAll('button')].find(one => one.textContent === 'Step')"
    seen = {"": [], " + a carry": []}
    for column in range(5):
        browser.ask(f"{step}.click()")
        a, b, carry, sees = re.match(r"Column \d: (\d) \+ (\d)( \+ a carry)?\. The latch sees (−?[\d.]+\d),",
                                     browser.texts(".top .verdict")[0]).groups()
        if column:  # the first has no column before it
            seen[carry or ""].append(float(sees.replace("−", "-")) - int(a) - int(b))
    assert seen[""] and np.allclose(seen[""], -0.5, atol=0.05)
    assert seen[" + a carry"] and np.allclose(seen[" + a carry"], 0.5, atol=0.05)


def test_claims_open_one_at_a_time_by_keyboard(browser, facts):
    from selenium.webdriver import Keys

    browser.open(page(facts, "claims"))
    rows = facts["claims"]["claims"]
    assert len(rows) == len(browser.texts("details")) > 10
    for number, row in enumerate(rows):
        dots = f"document.querySelectorAll('details')[{number}].querySelectorAll('.seed.yes').length"
        assert browser.ask(dots) == row["yes"]
        assert row["link"].split("#")[0].replace(".html", ".ipynb") in [
            path.name for path in (ROOT / "notebooks").glob("*.ipynb")]
    browser.press(Keys.TAB, Keys.TAB, Keys.TAB, Keys.ENTER)  # the first line, its link, the second line
    opened = "[...document.querySelectorAll('details')].flatMap((one, i) => one.open ? [i] : []).join()"
    browser.wait(f"{opened} === '1'")
    assert rows[1]["found"] in browser.texts("details[open] p")[0]
