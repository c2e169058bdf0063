"""The store on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.store.conformance import StoreConformance


class TestSqlite(StoreConformance):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqlStore]:
        store = open_store(StoreConfig(data_dir=tmp_path, flush_ms=20))
        await store.start()
        yield store
        await store.stop()
