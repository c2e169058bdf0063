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
	$(BIN)/python -m pytest --numprocesses auto --dist loadgroup

check: setup
	scripts/check

proto: setup
	$(BIN)/python scripts/proto.py

bench: setup
	$(BIN)/python -m bench

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .polycall
