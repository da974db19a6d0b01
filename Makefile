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

lab: $(READY)
	@$(VENV)/bin/jupyter trust notebooks/*.ipynb  # else JupyterLab shows no SVG before a cell is run
	$(VENV)/bin/jupyter lab --notebook-dir notebooks

bench: $(READY)
	$(VENV)/bin/python -m tools.bench

retrain: $(READY)
	$(RUN) -m tools.retrain

verify: $(READY)
	$(RUN) -m tools.retrain --verify 5

torture: $(READY)
	$(RUN) -m pytest tests/test_faults.py tests/test_fuzz.py --long

clean:
	rm -rf report build .pytest_cache .ruff_cache .hypothesis *.egg-info __pycache__ */__pycache__

# The one place that installs: again whenever the dependencies change.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	 { echo "addrnn: Python 3.11 to 3.13 is needed, $(PYTHON) is not one; try: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --editable '.[test,cluster]'
	@touch $@
