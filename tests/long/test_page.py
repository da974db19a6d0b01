"""The article's pieces where they take minutes, or need a server: decimal networks proved, and JupyterLab."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest
from nbformat import v4, write
from test_article import needs_node, node

from addlab.article import data

PORT = 8931


@needs_node
@pytest.mark.parametrize("seed", range(4))
def test_decimal_network_of_the_page_is_proved_with_every_seed(seed):
    settings = data.prove()["kinds"][0]["settings"]
    assert settings["base"] == 10
    report, found = node("""const training = new modules['training.js'].Training(given);
        for (let i = 0; i < given.batches; i++) training.batch();
        const network = training.snapshot(), closing = new modules['closing.js'].Closing({network});
        while (!closing.over) closing.step();
        const search = new modules['search.js'].Search({network, digits: given.digits, depth: 0});
        while (!search.over) search.step();
        const rounded = search.found && new modules['closing.js'].Rounded(network).add(search.found.a, search.found.b);
        return [closing.report(), rounded];""", settings | {"seed": seed})
    assert report["closed"] and report["wrong"] == 0 and report["states"] > 1000
    assert found is None or found["wrong"] == 0  # what fails without rounding does not fail with it
    assert seed != settings["seed"] or found is None  # that with which the page begins


@needs_node
@pytest.mark.parametrize("seed", range(2))
def test_decimal_network_of_the_page_without_noise_is_not_proved(seed):
    settings = data.prove()["kinds"][0]["settings"]
    report, found = node("""const training = new modules['training.js'].Training(given);
        for (let i = 0; i < given.batches; i++) training.batch();
        const network = training.snapshot(), closing = new modules['closing.js'].Closing({network});
        while (!closing.over) closing.step();
        const search = new modules['search.js'].Search({network, digits: given.digits, depth: 0});
        while (!search.over) search.step();
        return [closing.report(), search.found];""", settings | {"noise": 0, "seed": seed})
    shortest = report["shortest"]
    assert not report["closed"]
    assert int(shortest["said"]) != int(shortest["a"]) + int(shortest["b"]) == int(shortest["total"])
    assert seed != settings["seed"] or int(found["said"]) != int(found["a"]) + int(found["b"])


@pytest.fixture
def lab(tmp_path):
    """The address of a notebook with all widgets in a JupyterLab of its own."""
    pytest.importorskip("jupyterlab")
    (tmp_path / "notebooks").mkdir()
    cells = ["from addlab import article\narticle.adder()", "article.training()", "article.machine()"]
    write(v4.new_notebook(cells=[v4.new_code_cell(text) for text in cells],
                          metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}}),
          tmp_path / "notebooks" / "pieces.ipynb")
    names = "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR", \
        "JUPYTERLAB_WORKSPACES_DIR"
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--port={PORT}",
         f"--ServerApp.root_dir={tmp_path / 'notebooks'}", "--ServerApp.port_retries=0", "--IdentityProvider.token=x"],
        env=os.environ | {name: str(tmp_path / name) for name in names}, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(120):
            assert server.poll() is None, "JupyterLab did not start"
            try:
                urllib.request.urlopen(f"{address}/api")
                break
            except OSError:
                time.sleep(0.5)
        yield f"{address}/lab/tree/pieces.ipynb?token=x&reset"
    finally:
        server.terminate()
        server.wait(30)


def test_widgets_live_in_jupyterlab(lab, tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1400,1100", f"user-data-dir={tmp_path}/c"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "WARNING"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))

    def wait(script, seconds=120):
        end = time.monotonic() + seconds
        while not driver.execute_script(f"return {script}"):
            assert time.monotonic() < end, f"never: {script}"
            time.sleep(0.2)

    def click(selector, text):
        wait(f"[...document.querySelectorAll('{selector}')].some(one => one.textContent.trim() === '{text}')")
        found = [one for one in driver.find_elements("css selector", selector) if one.text.strip() == text]
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found[0])
        webdriver.ActionChains(driver).move_to_element(found[0]).click().perform()

    try:
        driver.get(lab)
        wait("document.querySelectorAll('.jp-CodeCell').length === 3")
        wait("document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'")
        click(".lm-MenuBar-itemLabel", "Run")
        click(".lm-Menu-itemLabel", "Run All Cells")
        wait("document.querySelectorAll('.addrnn .body').length === 3")
        click(".beat button", "Show me another wrong sum")
        wait("document.querySelector('.beat .verdict').textContent.includes('It took')")
        click(".learn button", "Train")
        wait("document.querySelector('.learn .verdict').textContent.includes('Learned')")
        click(".learn button", "Try to beat it")
        wait("document.querySelector('.beat .question').textContent.includes('Your network')")
        click(".machine button", "Step")
        wait("document.querySelector('.machine .verdict').textContent.includes('Column 1')")
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        driver.quit()
