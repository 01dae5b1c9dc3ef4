# Two commands: `make demo` sets up and shows the main job's result, `make test` sets up and runs the tests.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready

export PATH := $(CURDIR)/$(RUN):$(PATH)

.PHONY: demo test quick lint bench clean

demo: $(READY)
	$(RUN)/python jobs/curate.py --out out/demo
	$(RUN)/python jobs/train.py --set out/demo --out out/demo-train
	@echo "open out/demo/report.html and out/demo-train/report.html"

test: $(READY)
	sh cluster/system-packages.sh tests
	$(RUN)/python -m pytest -m "not benchmark"

quick: $(READY)
	$(RUN)/python -m pytest -m "not benchmark and not slow"

lint: $(READY)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

bench: $(READY)
	$(RUN)/python -m pytest -m benchmark -s tests/benchmarks

$(READY): pyproject.toml cluster/system-packages.sh
	sh cluster/system-packages.sh
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] < (3, 13), f"Python 3.11 or 3.12 is needed, found {sys.version.split()[0]}: make PYTHON=/path/to/python3.11"'
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade pip
	$(RUN)/python -m pip install --quiet --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) out
