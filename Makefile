PYTHON ?= python3.11
VENV = .venv
HERE := $(shell printf '%s' '$(subst ','\'',$(CURDIR))' | cksum | tr ' ' -)
READY = $(VENV)/.ready-$(HERE)
RUN = PYTHONPATH="$$PWD" OMP_NUM_THREADS=1 $(VENV)/bin/python
WORKERS ?= 2

.PHONY: report test lab bench retrain verify torture clean

# BOOK=notebooks/mine.ipynb runs that notebook alone and builds its page and PDF; its records go where lab's go.
report: $(READY)
	$(RUN) -m tools.report $${BOOK:+"$$BOOK"}

test: $(READY)
	$(RUN) -m ruff check .
	$(RUN) -m pytest -n $(WORKERS) --dist loadfile

# What is tried here leaves the shipped records and figures alone: it writes to lab/, or where ADDRNN_HOME says.
# PORT=9000 chooses a port, BROWSER=no opens no browser.
lab: $(READY)
	@echo '$(PORT)' | grep -Eqx '[0-9]{0,5}' && [ '0$(PORT)' -le 65535 ] || \
	 { echo "addrnn: PORT: got $(PORT), allowed is a whole number up to 65535" >&2; exit 2; }
	@$(VENV)/bin/python -m nbformat.sign notebooks/*.ipynb  # else JupyterLab shows no SVG before a cell is run
	home="$${ADDRNN_HOME:-lab}"; case "$$home" in /*|'~'*) ;; *) home="$$PWD/$$home" ;; esac; \
	ADDRNN_HOME="$$home" PYTHONPATH="$$PWD" $(VENV)/bin/python -m jupyterlab \
	 --ContentsManager.pre_save_hook=tools.tidy.saved \
	 $(if $(PORT),--port $(PORT)) $(if $(filter no,$(BROWSER)),--no-browser) $(if $(filter 0,$(shell id -u)),--allow-root)

bench: $(READY)
	PYTHONPATH="$$PWD" $(VENV)/bin/python -m tools.bench

retrain: $(READY)
	$(RUN) -m tools.retrain

verify: $(READY)
	$(RUN) -m tools.retrain --verify 5

torture: $(READY)
	$(RUN) -m pytest tests/long

clean:  # not lab/, which is yours
	rm -rf report build .pytest_cache .ruff_cache .hypothesis *.egg-info __pycache__ */__pycache__ */*/__pycache__

# The one place that installs: again whenever the dependencies change, or this folder is a copy of another.
$(READY): pyproject.toml constraints.txt
	@case "$$PWD" in *[:{}$$\"\`\\]*) printf '%s\n' "addrnn: folder: got $$PWD, allowed is a name without : { } $$ \" \` \\,\
	 where venv and pip cannot install" >&2; exit 2;; esac
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	 { echo "addrnn: Python 3.11 to 3.13 is needed, $(PYTHON) is not one; try: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "addrnn: installing into $(VENV), once: two to four minutes"
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --constraint constraints.txt --editable '.[report,lab,cluster,test]'
	@mkdir -p $(VENV)/etc/jupyter && cp tools/jupyter_nbconvert_config.py $(VENV)/etc/jupyter
	@touch $@
