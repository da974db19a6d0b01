PYTHON ?= python3.11
VENV = .venv
RUN = OMP_NUM_THREADS=1 $(VENV)/bin/python
READY = $(VENV)/.ready

.PHONY: report test lab bench retrain verify torture clean

report: $(READY)
	$(RUN) -m tools.report

test: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m pytest

# What is tried here leaves the shipped records and figures alone: it writes to lab/, or where ADDRNN_HOME says.
# PORT=9000 chooses a port, BROWSER=no opens no browser.
lab: $(READY)
	@echo '$(PORT)' | grep -Eqx '[0-9]{0,5}' && [ '0$(PORT)' -le 65535 ] || \
	 { echo "addrnn: PORT: got $(PORT), allowed is a whole number up to 65535" >&2; exit 2; }
	@$(VENV)/bin/jupyter trust notebooks/*.ipynb  # else JupyterLab shows no SVG before a cell is run
	@mkdir -p lab && cp -R records lab/
	ADDRNN_HOME=$${ADDRNN_HOME:-$(CURDIR)/lab} $(VENV)/bin/jupyter lab --notebook-dir notebooks \
	 $(if $(PORT),--port $(PORT)) $(if $(filter no,$(BROWSER)),--no-browser) $(if $(filter 0,$(shell id -u)),--allow-root)

bench: $(READY)
	$(VENV)/bin/python -m tools.bench

retrain: $(READY)
	$(RUN) -m tools.retrain

verify: $(READY)
	$(RUN) -m tools.retrain --verify 5

torture: $(READY)
	$(RUN) -m pytest tests/long

clean:
	rm -rf report lab build .pytest_cache .ruff_cache .hypothesis *.egg-info __pycache__ */__pycache__

# The one place that installs: again whenever the dependencies change.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	 { echo "addrnn: Python 3.11 to 3.13 is needed, $(PYTHON) is not one; try: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[test,cluster]'
	@touch $@
