"""Reads what TypeScript and JavaScript sources say of their functions' types, in a sandbox that has a parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from polycall.bundle import bundle_digest
from polycall.domain import Convention
from polycall.engine import signatures, typescript
from polycall.engine.carried import carried
from polycall.engine.limits import DEFAULTS, MIB
from polycall.engine.signatures.report import Note, Signature
from polycall.engine.turns import Turns
from polycall.errors import PolycallError
from polycall.quick import dataclass
from polycall.sandbox.image import Image
from polycall.sandbox.job import Bundle, Ending, Job, Runner

__all__ = ["SandboxedScriptTypes", "ScriptTypes", "WantedTypes"]

_MODULES = ("tree_sitter", "tree_sitter_typescript")
# A megabyte takes 0.3 s of the processor; the other bound is for a machine that is busy otherwise.
_CPU_S = 5
_LIMITS = replace(
    DEFAULTS, timeout_ms=60_000, cpu_ms=_CPU_S * 1000, memory_bytes=512 * MIB, result_bytes=16 * MIB, stdout_bytes=0
)
_SUFFIXES = (".ts", ".mts", ".cts", ".tsx", ".js", ".mjs", ".cjs", ".jsx")
# What is laid beside the wanted modules, for types that they import.
_MOST_FILES, _MOST_BYTES, _LARGEST_FILE = 1000, 8 * MIB, 1 * MIB


@dataclass(frozen=True, slots=True)
class WantedTypes:
    """Functions of one module, for one convention."""

    path: str
    names: tuple[str, ...]
    convention: Convention


class ScriptTypes(Protocol):
    """Tells what scripts say of their functions."""

    async def read(self, files: Mapping[str, bytes], wanted: Sequence[WantedTypes]) -> Sequence[Sequence[Signature]]:
        """Return the signatures that are found of each wanted module. Raises QueueFull."""


class SandboxedScriptTypes:
    """Runs ``polycall.engine.typescript`` on the sources in a fresh sandboxed process."""

    def __init__(self, runner: Runner, packages: Callable[[], Path], turns: Turns) -> None:
        """``packages`` returns the directory that has the parser; it may block, and is called at the first use."""
        self._runner = runner
        self._packages = packages
        self._image: Image | None = None
        self._turns = turns
        self._ours: Mapping[str, bytes] = {}

    async def read(self, files: Mapping[str, bytes], wanted: Sequence[WantedTypes]) -> Sequence[Sequence[Signature]]:
        """Return the signatures of each module; none with a note, if they cannot be had. Raises QueueFull."""
        self._ours = self._ours or await asyncio.to_thread(carried, signatures, typescript)
        bundle = {**self._ours} | {
            f"{signatures.SOURCE}/{path}": data for path, data in _read_along(files, wanted).items()
        }
        payload = {"wanted": [(each.path, each.names, each.convention.value) for each in wanted]}
        job = Job(
            bundle=Bundle(digest=bundle_digest(bundle), files=bundle),
            entrypoint=f"{typescript.__name__}.describe:describe_all",
            convention=Convention.KEYWORDS,
            limits=_LIMITS,
            payload=msgspec.json.encode(payload),
        )
        async with self._turns.turn():
            try:
                outcome = await self._runner.run(replace(job, image=await self._with_parser()))
            except (PolycallError, OSError, ImportError):  # ImportError: PackageNotFoundError is one
                return _nothing(wanted, "no sandbox with a parser could be had")
        if outcome.ending is not Ending.RETURNED or outcome.value is None:
            why = outcome.error.message[:200] if outcome.error is not None else outcome.ending.value
            return _nothing(wanted, why)
        # what comes out of a sandbox is believed no more for having been ours on the way in
        try:
            found = msgspec.json.decode(outcome.value, type=list[list[Signature]])
        except msgspec.DecodeError:
            found = []
        return found if len(found) == len(wanted) else _nothing(wanted, "the parser was broken")

    async def _with_parser(self) -> Image:
        if self._image is None:
            path = await asyncio.to_thread(self._packages)
            self._image = Image(revision=path.name, path=str(path), preload=_MODULES)
        return self._image


def _nothing(wanted: Sequence[WantedTypes], why: str) -> Sequence[Sequence[Signature]]:
    """Return signatures that say nothing but why."""
    return [
        [
            Signature(name, "", "", "", accepts_any=False, notes=(Note(each.path, 0, 0, f"types are not read: {why}"),))
            for name in each.names
        ]
        for each in wanted
    ]


def _read_along(files: Mapping[str, bytes], wanted: Sequence[WantedTypes]) -> dict[str, bytes]:
    """Return the wanted modules, and as many others as may be read for their types."""
    chosen = {each.path: files[each.path] for each in wanted}
    size = sum(map(len, chosen.values()))
    for path in sorted(files):
        data = files[path]
        if path not in chosen and path.endswith(_SUFFIXES) and len(data) <= _LARGEST_FILE:
            size += len(data)
            if size > _MOST_BYTES or len(chosen) >= _MOST_FILES:
                break
            chosen[path] = data
    return chosen
