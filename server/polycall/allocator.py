"""How the server's own memory is kept: what one large message took is there for the next one, garbage for a while.

On its way from the socket to the sandbox a message of a MiB lies in half a dozen buffers of its size. glibc gives such
blocks back to the kernel as soon as they are free, and every page of the next one is a fault again: that was 2 ms of
the 4.5 that a call with such an argument cost.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["collect_seldom", "keep_large_blocks"]

_MIB = 1 << 20
# <malloc.h>, mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# The largest that glibc takes as threshold of mmap; each arena keeps this much at most, so there are but two: one for
# the event loop, one for the threads of gRPC and of the store.
_KEPT, _ARENAS = 32 * _MIB, 2


# With 700, Python's own, there is a collection every dozen calls, which walks what all calls under way are made of and
# finds nothing: calls make no cycles but by exceptions, whose frames may hold a large input, so it is not many more.
_YOUNG, _GENERATIONS = 5_000, 10


def collect_seldom() -> None:
    """Look for garbage in cycles after so many new objects; what there is now is none and never looked at again."""
    gc.freeze()
    gc.set_threshold(_YOUNG, _GENERATIONS, _GENERATIONS)
    gc.enable()


def keep_large_blocks() -> None:
    """Have freed memory kept, up to 32 MiB an arena. Without glibc nothing is done."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_ARENA_MAX, _ARENAS)
