"""Work on large values, done beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["aside"]

P = ParamSpec("P")
T = TypeVar("T")

# Looked at item by item, so much JSON takes a millisecond as a rule and 50 at worst; a thread hop takes a tenth.
_INLINE_BYTES = 32 * 1024


async def aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work on ``size`` bytes; much of it in a thread, so that other requests go on meanwhile."""
    if size <= _INLINE_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
