"""The store on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.store.conformance import StoreConformance


class TestPostgres(StoreConformance):
    @pytest.fixture
    async def store(self, postgres: str) -> AsyncIterator[SqlStore]:
        store = open_store(StoreConfig(database_url=postgres, flush_ms=20))
        await store.start()
        yield store
        await store.stop()
