"""Sandboxes for attacks that go beyond one run; see ``tests/sandbox`` for what holds a single one."""

from __future__ import annotations

from tests.sandbox.conftest import pytest_configure, pytest_generate_tests, run, sandbox, started

__all__ = ["pytest_configure", "pytest_generate_tests", "run", "sandbox", "started"]
