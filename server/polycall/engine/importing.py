"""Asks a submitted module itself for schemas, by importing it: in a sandbox, as a run of its own function would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from polycall.bundle import bundle_digest
from polycall.domain import Convention, Language
from polycall.engine import signatures
from polycall.engine.adapters import NO_ADAPTER, Adapter
from polycall.engine.limits import DEFAULTS, KIB, MIB
from polycall.engine.signatures.report import Signature
from polycall.engine.turns import Turns
from polycall.errors import PolycallError
from polycall.quick import dataclass
from polycall.sandbox.image import DEFAULT_IMAGE, Image
from polycall.sandbox.job import Bundle, Ending, Job, Runner

__all__ = ["Imported", "Importer", "SandboxedImporter", "Surroundings"]

# Importing pydantic takes 0.3 s of the processor, numpy 0.6 s; the wall time is for a machine that is busy otherwise.
_CPU_S = 10
_LIMITS = replace(DEFAULTS, timeout_ms=30_000, cpu_ms=_CPU_S * 1000, memory_bytes=512 * MIB, result_bytes=4 * MIB)
_LARGEST_SCHEMA = 256 * KIB
_MODULE = "polycall_ask"  # beside the modules of the program


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a module is imported with: what its runs have. ``image`` None: the default one of its language."""

    image: Image | None = None
    env: Mapping[str, str] | None = None
    adapter: Adapter = NO_ADAPTER


@dataclass(frozen=True, slots=True)
class Imported:
    """Input and output schemas by the names of functions; ``error``: why the module could not be imported."""

    schemas: Mapping[str, tuple[str, str]]
    error: str = ""


class Importer(Protocol):
    """Tells what pydantic says of functions."""

    async def ask(
        self,
        files: Mapping[str, bytes],
        module: str,
        convention: Convention,
        functions: Sequence[Signature],
        around: Surroundings,
    ) -> Imported:
        """Return the schemas that pydantic gives; none, if it is not there, or fails. Raises QueueFull."""


class _Answer(msgspec.Struct):
    schemas: dict[str, tuple[str, str]] = {}
    error: str = ""


class SandboxedImporter:
    """Runs ``polycall.engine.signatures.imported`` beside the source in a fresh sandboxed process."""

    def __init__(self, runner: Runner, turns: Turns) -> None:
        self._runner = runner
        self._turns = turns
        self._ours = (Path(str(signatures.__file__)).parent / "imported.py").read_bytes()

    async def ask(
        self,
        files: Mapping[str, bytes],
        module: str,
        convention: Convention,
        functions: Sequence[Signature],
        around: Surroundings,
    ) -> Imported:
        """Return the schemas that pydantic gives; none, if it is not there, or fails. Raises QueueFull."""
        bundle = {
            **around.adapter.beside(files, Language.PYTHON, equipped=around.image is not None),
            f"{_MODULE}.py": self._ours,
        }
        payload = {
            "module": module,
            "convention": convention.value,
            "functions": [(each.name, each.input_schema, each.output_schema) for each in functions],
        }
        job = Job(
            bundle=Bundle(digest=bundle_digest(bundle), files=bundle),
            entrypoint=f"{_MODULE}:ask",
            convention=Convention.KEYWORDS,
            limits=_LIMITS,
            image=around.image or DEFAULT_IMAGE,
            payload=msgspec.json.encode(payload),
            env=around.env or {},
        )
        async with self._turns.turn():
            try:
                outcome = await self._runner.run(job)
            except PolycallError:
                return Imported({}, "no sandbox could be had for it")
        if outcome.ending is not Ending.RETURNED or outcome.value is None:
            return Imported({}, f"the import ended otherwise ({outcome.ending.value})")
        # it has shared its process with the module: it may say of its own schemas what it likes, and of nothing else
        try:
            answer = msgspec.json.decode(outcome.value, type=_Answer)
        except (msgspec.DecodeError, RecursionError):
            return Imported({}, "the import gave no answer")
        asked = {each.name for each in functions}
        fitting = {name: texts for name, texts in answer.schemas.items() if name in asked and all(map(_fits, texts))}
        return Imported(fitting, answer.error[:1000].encode(errors="replace").decode())


def _fits(text: str) -> bool:
    if not text:
        return True
    if len(text) > _LARGEST_SCHEMA or not text.startswith("{"):
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
