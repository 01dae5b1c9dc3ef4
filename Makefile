# `make demo` sets up and runs the whole chain, `make test` sets up and runs the tests, `make serve` sets up and serves on this machine.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready
TWO := -n 2 --no-loadscope-reorder # tests/conftest.py says which rooms stay together; a third process gains nothing on two cores

export PATH := $(CURDIR)/$(RUN):$(PATH)

.PHONY: demo serve test quick lint bench clean

# Of the training a few steps prove the chain; the last page shows the adapter that comes with the backbone, which took two hours.
demo: $(READY)
	$(RUN)/python jobs/curate.py --out out/demo
	$(RUN)/python jobs/train.py --set out/demo --out out/demo-train --recipe jobs/recipes/train-embedded-2.yaml --steps 40
	$(RUN)/python -m serve.demo --set out/demo --out out/demo-edit
	@echo "open out/demo/report.html, out/demo-train/report.html and out/demo-edit/edit.html"

serve: $(READY)
	RAY_AUTH_MODE=disabled RAY_USAGE_STATS_ENABLED=0 $(RUN)/serve run serve.app:app

test: $(READY)
	sh cluster/system-packages.sh tests
	$(RUN)/python -m pytest -m "not benchmark" $(TWO)

quick: $(READY)
	$(RUN)/python -m pytest -m "not benchmark and not slow" $(TWO)

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
