# Two commands matter to a newcomer: `make demo` and `make test`. The rest is for those who work on attune.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false
export OMP_WAIT_POLICY ?= PASSIVE
READY := .venv/.ready

.PHONY: demo test slow static check format bench docs conformance clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[serve,generation,retrieval,trackers,docs,dev]'
	touch $(READY)

demo: $(READY)
	rm -rf runs/demo
	$(BIN)/attune audit examples/support_desk/demo.toml
	$(BIN)/attune train examples/support_desk/demo.toml --out runs/demo
	$(BIN)/attune predict runs/demo/bundle "my parcel still isn't here" "pls cancel the subscription" "do you know a good joke"
	@echo "report: runs/demo/bundle/report.html"

test: $(READY)
	$(BIN)/pytest -m "not slow" -n 2

slow: $(READY)
	$(BIN)/pytest -m slow -n 2

static: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pydoclint --quiet src

check: static test

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python benchmarks/banking77.py
	$(BIN)/python benchmarks/nlupp.py
	$(BIN)/python benchmarks/startup.py

docs: $(READY)
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

conformance: $(READY)
	$(BIN)/python tests/conformance/every.py

clean:
	rm -rf .venv build dist site runs .pytest_cache .ruff_cache
