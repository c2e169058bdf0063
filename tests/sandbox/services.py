"""What code of these tests may ask of the server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from polycall.sandbox.job import AskRefused

__all__ = ["ADAPTER", "ASKING", "Services"]

ADAPTER = """
def prepare(module_globals, options):
    module_globals.update(ask=ask, AskRefused=AskRefused)
"""


@dataclass
class Services:
    """Answers ``echo`` with what it got, ``large`` with so many bytes, ``never`` not at all."""

    ended: list[str] = field(default_factory=list)
    begun: asyncio.Event | None = None

    async def answer(self, method: str, payload: bytes) -> bytes:
        match method:
            case "echo":
                return payload
            case "large":
                return b'"' + b"x" * int(payload) + b'"'
            case "never":
                if self.begun is not None:
                    self.begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self.ended.append(method)
            case "fail":
                raise OSError("a secret of the server")
        raise AskRefused(f"{method} is not one of mine")


ASKING: dict[str, Any] = {"adapter": ADAPTER, "services": Services()}
