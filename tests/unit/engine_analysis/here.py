"""An Analyzer that reads sources in this process: for sources that are hostile to it in no costly way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from polycall.domain import Convention, Function
from polycall.engine.analysis import Analysis, Analyzer
from polycall.engine.signatures import Report, describe

__all__ = ["HereReader", "analyze", "complete"]


class HereReader:
    """Reads without a sandbox; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Convention]] = []

    async def read(self, sources: Sequence[tuple[str, Convention]]) -> Sequence[Report]:
        self.asked += sources
        return [describe(text, convention.value) for text, convention in sources]


def analyze(files: Mapping[str, bytes], **options: Any) -> Analysis:
    return asyncio.run(Analyzer(HereReader()).analyze(files, **options))


def complete(files: Mapping[str, bytes], *declared: Function) -> Analysis:
    return asyncio.run(Analyzer(HereReader()).complete(files, declared))
