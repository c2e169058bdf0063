"""An Analyzer that reads sources in this process: for sources that are hostile to it in no costly way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from polycall.domain import Function
from polycall.engine.analysis import Analyzer
from polycall.engine.findings import Analysis
from polycall.engine.reader import Wanted
from polycall.engine.signatures.functions import describe
from polycall.engine.signatures.modules import Modules
from polycall.engine.signatures.report import Report

__all__ = ["HereReader", "analyze", "complete"]


class HereReader:
    """Reads without a sandbox; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Wanted] = []

    async def read(self, files: Mapping[str, bytes], wanted: Sequence[Wanted]) -> Sequence[Report]:
        self.asked += wanted
        return [
            describe(
                Modules(files.get), name_of(each.path), each.path, files[each.path], each.convention.value, each.refused
            )
            for each in wanted
        ]


def name_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def analyze(files: Mapping[str, bytes], **options: Any) -> Analysis:
    return asyncio.run(Analyzer(HereReader()).analyze(files, **options))


def complete(files: Mapping[str, bytes], *declared: Function) -> Analysis:
    return asyncio.run(Analyzer(HereReader()).complete(files, declared))
