# Every target is a plain command; `make setup` needs Python 3.11+, pip and the registries, nothing else.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup run test check proto bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) scripts/setup.py
	@touch $@

run: setup
	@$(BIN)/polycall serve --examples --log-level warning

test: setup
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: setup
	scripts/check

proto: setup
	$(BIN)/python scripts/proto.py

# Rivals that cannot be had are named in the report; what is had of npm stays in bench/.
bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	-npm install --prefix bench --no-package-lock --no-fund --no-audit --silent
	$(BIN)/python -m bench $(BENCH)

clean:
	rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .polycall
