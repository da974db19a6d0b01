"""The article's pieces: the page's arithmetic against Python's (node), and what a reader's hand meets (Chromium)."""

import json
import random
import re
import shutil
import subprocess
import time

import numpy as np
import pytest
import torch

from addlab import article
from addlab.article import data

NODE = shutil.which("node")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_node = pytest.mark.skipif(not NODE, reason="node is not installed")
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")


def node(code, given=None, names=("worker.js",)):
    """What `code`, the body of a function of (modules, given), returns under node."""
    text = f"{article.program(names)}\nconst given = {json.dumps(given)};\n" \
           f"console.log(JSON.stringify((() => {{\n{code}\n}})()));"
    result = subprocess.run([NODE, "--input-type=module", "-"], input=text, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def shipped():
    """Networks of every cell, of one layer and of more, proved and not, the smallest among them."""
    names = ["runs/default/seed0", "runs/layers=1/seed0", "proofs/rnn_1layer_seed0", "proofs/rnn_2layer_seed0",
             "proofs/gru_1layer_seed0", "proofs/lstm_1layer_seed0", "proofs/rnn_52_parameters"]
    return {name: data.shipped(name) for name in names}


def sums(count):
    """Pairs of numbers: of 1 to 30 digits, half of them with columns that sum to 9; and what the page suggests."""
    draw = random.Random(0)
    pairs = [("99999", "1"), ("99999999", "1"), ("9" * 35, "1"), ("0", "0")]
    while len(pairs) < count:
        digits = draw.randint(1, 30)
        a = "".join(draw.choices("0123456789", k=digits))
        b = "".join(draw.choices("0123456789", k=digits))
        if draw.random() < 0.5:
            b = "".join(str(9 - int(x)) if draw.random() < 0.9 else y for x, y in zip(a, b, strict=True))
        pairs.append((a, b))
    return pairs


# The page's arithmetic

@needs_node
@pytest.mark.parametrize("name", shipped())
def test_network_in_the_page_says_what_adder_add_says(name):
    model, pairs = shipped()[name], sums(300 if name == "runs/default/seed0" else 60)
    said = node("const net = modules['network.js'].Network.from(given.net);"
                "return given.pairs.map(([a, b]) => net.add(a, b).said);", {"net": data.network(model), "pairs": pairs})
    assert said == [str(model.add(a, b)) for a, b in pairs]


SIZES = {"hidden": 7, "embedding": 5, "digits": 6, "pairs": 9, "seed": 3}
LESSONS = [{"cell": cell, "layers": layers, "base": base} | SIZES
           for cell, layers, base in [("RNN", 1, 10), ("RNN", 3, 2), ("GRU", 1, 10), ("GRU", 2, 3)]]


@needs_node
@pytest.mark.parametrize("settings", LESSONS, ids=lambda s: f"{s['layers']} {s['cell']} base {s['base']}")
def test_gradients_of_the_page_are_torchs_in_float64(settings):
    found = node("""const training = new modules['training.js'].Training(given), [a, b, total] = training.sample();
        const result = training.network.gradients(a, b, total), list = array => Array.from(array);
        return {...result, a: list(a), b: list(b), total: list(total), parameters: list(training.parameters),
                gradient: list(training.gradient)};""", settings)
    embed = torch.nn.Embedding(settings["base"], settings["embedding"]).double()
    rnn = {"RNN": torch.nn.RNN, "GRU": torch.nn.GRU}[settings["cell"]](
        2 * settings["embedding"], settings["hidden"], settings["layers"]).double()
    dense = torch.nn.Linear(settings["hidden"], settings["base"]).double()
    parameters = [*embed.parameters(), *rnn.parameters(), *dense.parameters()]
    torch.nn.utils.vector_to_parameters(torch.tensor(found["parameters"], dtype=torch.float64), parameters)
    a, b, total = (torch.tensor(found[name]).view(-1, settings["pairs"]) for name in ("a", "b", "total"))
    logits = dense(rnn(torch.cat((embed(a), embed(b)), dim=2))[0])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), total.flatten())
    expected = torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, parameters)])
    difference = expected - torch.tensor(found["gradient"], dtype=torch.float64)
    assert difference.norm() < 1e-3 * expected.norm()
    assert found["loss"] == pytest.approx(loss.item(), rel=1e-9)
    assert found["right"] == (logits.argmax(2) == total).all(0).double().mean().item()


@needs_node
def test_samples_of_the_page_are_sums():
    columns, pairs = 7, 9
    for settings in LESSONS:
        a, b, total = (np.reshape(part, (columns, pairs)) for part in node(
            "return new modules['training.js'].Training(given).sample().map(part => Array.from(part));", settings))
        weights = settings["base"] ** np.arange(columns)[:, None]
        assert ((a * weights).sum(0) + (b * weights).sum(0) == (total * weights).sum(0)).all()
        assert a[:-1].max() == settings["base"] - 1
        assert not a[-1].any()


@needs_node
def test_a_find_of_the_search_is_wrong_by_adder_add_too():
    model = data.shipped("runs/default/seed0")
    finds = node("""return [1, 2, 3].map(seed => {
        const search = new modules['search.js'].Search({network: given, seed});
        while (!search.over) search.step();
        return search.found; });""", data.network(model))
    for find in finds:
        assert model.add(find["a"], find["b"]) == int(find["said"])
        assert int(find["said"]) != int(find["a"]) + int(find["b"]) == int(find["total"])
    assert len({(find["a"], find["b"]) for find in finds}) > 1


@needs_node
def test_the_search_finds_nothing_wrong_in_a_proved_network():
    found, tried = node("""const search = new modules['search.js'].Search({network: given, depth: 12, chain: 40});
        while (!search.over) search.step();
        return [search.found, search.tried];""", data.network(data.shipped("proofs/rnn_1layer_seed0")))
    assert found is None
    assert tried > 20_000


class Machine:
    """A network whose state is rounded to -1, 0 or 1, in NumPy: another way to know what closing.js must find."""

    def __init__(self, model):
        state = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        embed, into, self.back = state["embed_layer.weight"], state["rnn.weight_ih_l0"], state["rnn.weight_hh_l0"]
        pairs = np.array([np.concatenate((embed[a], embed[b])) for a in range(10) for b in range(10)])
        self.given = pairs @ into.T + state["rnn.bias_ih_l0"] + state["rnn.bias_hh_l0"]
        self.dense, self.bias = state["dense.weight"], state["dense.bias"]

    def read(self, state):
        """After one state: the states [100, hidden] and digits [100] of each pair."""
        after = np.round(np.tanh(self.given + self.back @ state)).astype(np.int8)
        return after, (after @ self.dense.T + self.bias).argmax(1)

    def first_wrong(self):
        """(states reached, columns of the shortest sum that goes wrong or None)."""
        layer, known, depth = {(bytes(self.back.shape[0]), 0)}, set(), 0
        known |= layer
        while layer:
            depth, found = depth + 1, set()
            for state, carry in layer:
                after, said = self.read(np.frombuffer(state, dtype=np.int8))
                total = np.add.outer(range(10), range(10)).ravel() + carry
                if (said != total % 10).any():
                    return len(known), depth
                found |= {(row.tobytes(), int(over)) for row, over in zip(after, total > 9, strict=True)}
            layer = found - known
            known |= layer
        return len(known), None


CLOSE = """const closing = new modules['closing.js'].Closing({network: given});
    while (!closing.over) closing.step();
    return closing.report();"""


@needs_node
def test_every_reachable_state_is_visited():
    model = data.shipped("proofs/rnn_1layer_seed0")
    report = node(CLOSE, data.network(model))
    assert report["closed"] and report["wrong"] == 0 and report["shortest"] is None
    assert (report["states"], None) == Machine(model).first_wrong()
    assert report["steps"] == 100 * report["states"]


@needs_node
def test_the_shortest_sum_that_fails_fails_and_none_is_shorter():
    model = data.shipped("runs/layers=1/seed0")
    report = node(CLOSE, data.network(model))
    shortest = report["shortest"]
    assert not report["closed"]
    assert len(shortest["a"]) == len(shortest["b"]) == Machine(model).first_wrong()[1]
    assert int(shortest["said"]) != int(shortest["a"]) + int(shortest["b"]) == int(shortest["total"])


@needs_node
@pytest.mark.parametrize("noise", [0, 1])
@pytest.mark.parametrize("seed", range(1, 4))
def test_binary_network_of_the_page_is_proved_with_noise_and_without(seed, noise):
    settings = data.prove()["kinds"][1]["settings"]
    assert settings["base"] == 2
    report = node("""const training = new modules['training.js'].Training(given);
        for (let i = 0; i < given.batches; i++) training.batch();
        const closing = new modules['closing.js'].Closing({network: training.snapshot()});
        while (!closing.over) closing.step();
        return closing.report();""", settings | {"seed": seed, "noise": noise})
    assert report["closed"] and report["wrong"] == 0


# The page

@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The address of a page of the pieces."""
    path = tmp_path_factory.mktemp("article") / "page.html"
    path.write_text(article.page({"beat": data.beat(), "learn": data.learn(), "prove": data.prove()}), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """browse(address, …) opens a page in one Chromium for all tests."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("chromium")
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                 "disable-background-networking", "disable-component-update", f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))

    def browse(address, width=1280, dark=False, calm=False):
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               dict(width=width, height=900, deviceScaleFactor=1, mobile=width < 500))
        features = {"prefers-color-scheme": "dark" if dark else "light",
                    "prefers-reduced-motion": "reduce" if calm else "no-preference"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                               {"features": [dict(name=name, value=value) for name, value in features.items()]})
        for log in ("browser", "performance"):
            driver.get_log(log)
        driver.get(address)
        return driver

    yield browse
    driver.quit()


def one(driver, selector):
    return driver.find_element("css selector", selector)


def press(driver, piece, label):
    """Presses the button of a piece that says `label`, as soon as it is there."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for button in driver.find_elements("css selector", f".{piece} button"):
            if button.text == label:
                return button.click()
        time.sleep(0.05)
    raise AssertionError(f"no button of {piece} says {label!r}")


def wait(driver, piece, pattern, seconds=180):
    """Waits until a piece's text has `pattern`."""
    end = time.monotonic() + seconds
    while pattern not in (text := one(driver, f".{piece}").text):
        assert time.monotonic() < end, f"{pattern!r} never came: {text}"
        time.sleep(0.05)
    return text


def type_sum(driver, a, b):
    for box, number in zip(driver.find_elements("css selector", ".beat input"), (a, b), strict=True):
        box.clear()
        box.send_keys(number)


def said(driver):
    return "".join(span.text for span in driver.find_elements("css selector", ".beat .said span"))


def assert_quiet(driver):
    """No error was noted, and nothing was asked of any host."""
    assert driver.get_log("browser") == []
    for entry in driver.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            assert event["params"]["request"]["url"].split(":")[0] in ("file", "blob", "data")


@needs_browser
def test_typed_sums_get_the_digits_of_adder_add(browse, page):
    driver, model, pairs = browse(page), data.shipped("runs/default/seed0"), sums(300)
    found = driver.execute_script("""const [first, second] = document.querySelectorAll(".beat input");
        return arguments[0].map(([a, b]) => {
          [first.value, second.value] = [a, b];
          second.dispatchEvent(new Event("input"));
          return document.querySelector(".beat .said").textContent; });""", pairs)
    assert [int(text) for text in found] == [model.add(a, b) for a, b in pairs]
    assert_quiet(driver)


@needs_browser
def test_thirty_five_typed_digits_are_added_and_their_right_end_is_in_sight(browse, page):
    driver, model = browse(page, width=390), data.shipped("runs/default/seed0")
    a, b = "12345678901234567890123456789012345", "98765432109876543210987654321098765"
    type_sum(driver, a, b)
    assert int(said(driver)) == model.add(a, b)
    one(driver, ".beat .main").send_keys("")  # the boxes lose the focus
    time.sleep(0.2)
    for part in driver.find_elements("css selector", ".beat :is(input, .rows)"):
        left, width, whole = driver.execute_script(
            "return [arguments[0].scrollLeft, arguments[0].clientWidth, arguments[0].scrollWidth]", part)
        assert whole > width and left + width > whole - 2
    assert driver.execute_script("return document.documentElement.scrollWidth") == 390


@needs_browser
def test_the_page_opens_with_a_sum_that_is_wrong(browse, page):
    driver = browse(page)
    a, b = (int(box.get_attribute("value")) for box in driver.find_elements("css selector", ".beat input"))
    assert int(said(driver)) == data.shipped("runs/default/seed0").add(str(a), str(b)) != a + b
    assert one(driver, ".beat .verdict").text == "Wrong."


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_wrong_sum_is_listed_however_long_it_is(browse, page, width):
    driver = browse(page, width=width)
    for nines in (12, 300):
        driver.execute_script("""const boxes = document.querySelectorAll(".beat input");
            [boxes[0].value, boxes[1].value] = ["9".repeat(arguments[0]), "1"];""", nines)
        one(driver, ".beat input").send_keys("\n")
        assert one(driver, ".beat .verdict").text == "Wrong."
    listed = [button.text for button in driver.find_elements("css selector", ".beat .finds button")]
    assert [text.replace("\u2009", " ") for text in listed][1:] == ["999 999 999 999 + 1", "9999…9999 + 1"]
    press(driver, "beat", listed[-1])
    assert one(driver, ".beat input").get_attribute("value") == "9" * 300
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


@needs_browser
def test_what_is_no_number_is_refused_in_words(browse, page):
    driver = browse(page)
    for a in ("12a", "-1", "", "1.5", "９", "9" * 1001):
        driver.execute_script("""const box = document.querySelector(".beat input");
            box.value = arguments[0]; box.dispatchEvent(new Event("input"));""", a)
        assert "please" in one(driver, ".beat .verdict").text
        assert one(driver, ".beat .question").text.endswith("But not every sum.")
        assert not said(driver)
        assert one(driver, ".beat input").get_attribute("aria-invalid") == "true"


@needs_browser
@pytest.mark.parametrize("calm", [False, True])
def test_find_one_finds_a_sum_that_is_wrong_by_adder_add(browse, page, calm):
    driver, model = browse(page, calm=calm), data.shipped("runs/default/seed0")
    before = [box.get_attribute("value") for box in driver.find_elements("css selector", ".beat input")]
    press(driver, "beat", "Show me another wrong sum")
    wait(driver, "beat", "sums tried")
    now = [box.get_attribute("value") for box in driver.find_elements("css selector", ".beat input")]
    assert (now == before) == calm or "Wrong" in one(driver, ".beat").text  # calm: the sums tried are not shown
    wait(driver, "beat", "It took")
    a, b = (box.get_attribute("value") for box in driver.find_elements("css selector", ".beat input"))
    assert model.add(a, b) == int(said(driver)) != int(a) + int(b)
    assert_quiet(driver)


@needs_browser
def test_hints_lead_to_a_sum_and_a_random_sum_is_right(browse, page):
    driver = browse(page)
    assert one(driver, ".beat .question").text.endswith("random sums right. But not this one.")
    press(driver, "beat", "Random sum")
    assert "Right" in one(driver, ".beat .verdict").text
    assert one(driver, ".beat .question").text.endswith("random sums right. But not every sum.")
    press(driver, "beat", "Hint")
    press(driver, "beat", "Next hint")
    assert one(driver, ".beat input").get_attribute("value") == "99999"
    assert said(driver) == "100000"
    assert one(driver, ".beat .question").text.endswith("But not every sum.")
    press(driver, "beat", "Next hint")
    assert int(said(driver)) != 10**12
    assert one(driver, ".beat .question").text.endswith("But not this one.")
    press(driver, "beat", "Next hint")
    assert "let this page search" in one(driver, ".beat .tip").text
    assert driver.switch_to.active_element.text == "Show me another wrong sum"
    assert not one(driver, ".beat .row button:disabled").is_enabled()  # no hint follows the last
    press(driver, "beat", "Next hint")
    assert "let this page search" in one(driver, ".beat .tip").text


@needs_browser
def test_a_hint_goes_when_another_sum_comes(browse, page):
    driver = browse(page)
    for number, other in enumerate((lambda: type_sum(driver, "12", "34"), lambda: press(driver, "beat", "Random sum"),
                                    lambda: press(driver, "beat", "Show me another wrong sum"))):
        press(driver, "beat", "Next hint" if number else "Hint")
        assert one(driver, ".beat .tip").is_displayed()
        other()
        assert not one(driver, ".beat .tip").is_displayed()


@needs_browser
def test_a_network_learns_and_is_taken_to_beat_it(browse, page):
    driver = browse(page, dark=True)
    slider = one(driver, ".learn input[type=range]")
    for _ in range(5):
        slider.send_keys("\ue012")  # left arrow
    assert one(driver, ".learn output").text == "5"
    press(driver, "learn", "One batch")
    wait(driver, "learn", "Batch 1.")
    assert "Try to beat it" not in one(driver, ".learn").text  # it has not learned yet
    press(driver, "learn", "Go on")
    wait(driver, "learn", "Batch")
    press(driver, "learn", "Pause")
    time.sleep(1)  # the batch that is under way comes to its end
    text = one(driver, ".learn .verdict").text
    time.sleep(1)
    assert one(driver, ".learn .verdict").text == text
    press(driver, "learn", "Go on")
    wait(driver, "learn", "Learned")
    assert len(driver.find_elements("css selector", ".learn .sums li.done")) == 12
    for pair, answer in zip(driver.find_elements("css selector", ".learn .pair"),
                            driver.find_elements("css selector", ".learn .answer"), strict=True):
        a, b = pair.text.split(" + ")
        assert int(answer.text) == int(a) + int(b)
    press(driver, "learn", "Try to beat it")
    assert re.match(r"Your network, after \d+ batches, got 1,000 random sums right\.", one(
        driver, ".beat .question").text)
    assert one(driver, ".beat .hint").text == "Type two numbers of up to 1,000 digits."
    press(driver, "beat", "Show me a wrong sum")
    wait(driver, "beat", "It took")
    press(driver, "beat", "Back to the first network")
    assert "10,000 of 10,000" in one(driver, ".beat .question").text
    assert one(driver, ".beat .hint").text == "Look for another one: type two numbers of up to 1,000 digits."
    assert_quiet(driver)


@needs_browser
def test_a_network_learns_with_other_cells_and_bases(browse, page):
    driver = browse(page, width=390)
    labels = driver.find_elements("css selector", ".learn .choice label")
    next(label for label in labels if label.text == "GRU").click()
    next(label for label in labels if label.text == "0 and 1").click()
    assert set("".join(pair.text for pair in driver.find_elements("css selector", ".learn .pair"))) <= set("01 +")
    press(driver, "learn", "Train")
    wait(driver, "learn", "Learned")
    assert driver.execute_script("return document.documentElement.scrollWidth") == 390
    assert_quiet(driver)


@needs_browser
def test_a_network_trained_with_noise_is_proved_or_fails_by_a_sum(browse, page):
    driver = browse(page)
    press(driver, "prove", "Train and prove")
    wait(driver, "prove", "Batch")
    press(driver, "prove", "Stop")
    labels = driver.find_elements("css selector", ".prove .choice label")
    next(label for label in labels if label.text.startswith("2")).click()  # base 2 takes seconds
    press(driver, "prove", "Train and prove")
    wait(driver, "prove", "Batch")
    text = wait(driver, "prove", "sums tried:")
    assert "600 batches in" in text
    states = re.search(r"No sum leads out of these (\d+) states", text)[1]
    assert f"{states} states reached, {4 * int(states)} digits checked, every one right" in text
    next(label for label in labels if label.text == "off").click()
    press(driver, "prove", "Train and prove")
    wait(driver, "prove", "Batch")
    text = wait(driver, "prove", "sums tried:")
    assert "noise 0" not in text and "600 batches in" in text
    assert ("Closed" in text) != ("Not proved" in text)
    assert_quiet(driver)


@needs_browser
def test_all_works_by_keyboard_alone(browse, page):
    driver = browse(page)
    keys = driver.switch_to.active_element
    focused = []
    for _ in range(40):
        keys.send_keys("\ue004")  # tab
        keys = driver.switch_to.active_element
        name = keys.text or keys.get_attribute("aria-label") or keys.get_attribute("value")
        focused.append(name)
        outline = driver.execute_script("const p = arguments[0]; const at = p.type === 'radio' ? p.parentElement : p;"
                                        "return getComputedStyle(at).outlineStyle", keys)
        assert outline != "none", name
        if name == "Train and prove":
            break
    for name in ("first number", "second number", "Show me another wrong sum", "Hint", "Random sum", "Train",
                 "One batch", "Other random start", "digits", "RNN", "10", "Train and prove"):
        assert name in focused
    keys.send_keys("\ue007")  # enter
    wait(driver, "prove", "Batch")


def busy(driver):
    """Seconds for which the page's main thread has computed, whatever else the machine does."""
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration")


@needs_browser
def test_the_page_opens_in_less_than_a_second_and_training_leaves_it_free(browse, tmp_path):
    (tmp_path / "page.html").write_text(article.page({name: article.facts(name) for name in article.PIECES}), "utf-8")
    driver = browse("about:blank")
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    before = busy(driver)
    driver = browse((tmp_path / "page.html").as_uri())
    press(driver, "prove", "Train and prove")
    opening = busy(driver)
    assert opening - (before if before < opening else 0) < 1
    wait(driver, "prove", "Batch")
    press(driver, "learn", "Train")
    before, begin = busy(driver), time.monotonic()
    time.sleep(3)
    assert busy(driver) - before < 0.4 * (time.monotonic() - begin)  # a frame has time to spare
    assert "Batch" in one(driver, ".prove").text
    driver.execute_cdp_cmd("Performance.disable", {})


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_and_fit(browse, page, width, dark):
    """Contrast of 4.5 and more (WCAG AA), nothing wider than the page."""
    driver = browse(page, width=width, dark=dark)
    press(driver, "beat", "Hint")
    found = driver.execute_script("""
        const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
          .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
          .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
        const under = node => { for (; node; node = node.parentElement) {
          const colour = getComputedStyle(node).backgroundColor;
          if (!colour.endsWith(", 0)")) return colour; } return "rgb(255, 255, 255)"; };
        return [...document.querySelectorAll(".addrnn *")].filter(node => !node.closest(":disabled")
            && node.offsetParent && [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())
            && getComputedStyle(node).opacity === "1")
          .map(node => { const [a, b] = [light(getComputedStyle(node).color), light(under(node))].sort((x, y) => y - x);
            return [node.textContent, (a + 0.05) / (b + 0.05)]; });""")
    assert len(found) > 30
    assert [(text, contrast) for text, contrast in found if contrast < 4.5] == []
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert_quiet(driver)


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_theme_that_is_named_outranks_the_screen(browse, page, dark):
    """[data-theme] of a page, and JupyterLab's own attribute."""
    driver, seen = browse(page, dark=not dark), []
    for name, value in (("data-theme", ["light", "dark"][dark]), ("data-jp-theme-light", ["true", "false"][dark])):
        seen.append(driver.execute_script("""const page = document.documentElement;
            page.setAttribute(arguments[0], arguments[1]);
            const colour = getComputedStyle(document.querySelector(".beat")).color;
            page.removeAttribute(arguments[0]);
            return colour;""", name, value))
    assert seen == ["rgb(227, 229, 232)" if dark else "rgb(28, 30, 33)"] * 2


@needs_browser
@pytest.mark.parametrize("sandbox", ["", 'sandbox="allow-scripts"'])
def test_a_piece_works_inside_an_iframe(browse, tmp_path, sandbox):
    (tmp_path / "inner.html").write_text(article.html("beat", data.beat()), encoding="utf-8")
    (tmp_path / "outer.html").write_text(f'<!DOCTYPE html><link rel="icon" href="data:,">'
                                         f'<iframe src="inner.html" width=800 height=600 {sandbox}></iframe>')
    driver = browse((tmp_path / "outer.html").as_uri())
    driver.switch_to.frame(0)
    press(driver, "beat", "Show me another wrong sum")
    wait(driver, "beat", "It took")
    driver.switch_to.default_content()


@needs_browser
def test_where_a_page_may_have_no_worker_the_page_works_itself(browse, tmp_path):
    text = article.page({"beat": data.beat()})
    assert "worker-src blob:" in text
    (tmp_path / "page.html").write_text(text.replace("worker-src blob:", "worker-src 'none'"), encoding="utf-8")
    driver = browse((tmp_path / "page.html").as_uri())
    press(driver, "beat", "Show me another wrong sum")
    wait(driver, "beat", "It took")


@needs_browser
def test_a_widget_serves_the_same_modules(browse, tmp_path):
    made = {"beat": article.adder(), "learn": article.training()}
    for name, piece in made.items():
        module = article.as_json(piece._esm)
        facts = article.as_json(piece.facts)
        (tmp_path / f"{name}.html").write_text(
            '<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="place"></div>'
            '<script type="module">'
            f'const address = URL.createObjectURL(new Blob([{module}], {{type: "text/javascript"}}));'
            f'const {{default: {{render}}}} = await import(address);'
            f'window.end = render({{model: {{get: () => ({facts})}}, el: document.getElementById("place")}});</script>',
            encoding="utf-8")
        driver = browse((tmp_path / f"{name}.html").as_uri())
        press(driver, name, {"beat": "Show me another wrong sum", "learn": "Train"}[name])
        wait(driver, name, {"beat": "It took", "learn": "Learned"}[name])
        driver.execute_script("window.end()")
        assert not one(driver, "#place").text
        assert_quiet(driver)
