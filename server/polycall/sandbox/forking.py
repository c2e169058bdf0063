"""How a zygote forks. Standard library only: zygotes load it.

``os.fork`` runs hooks in the child that put locks and tables right which other threads of the parent may have held. A
zygote has one thread, as a rule. The hooks touch some 200 pages, and each page that a child touches is copied for it:
0.5 ms of the 4.3 that a child took to get ready.
"""

from __future__ import annotations

import _random
import _thread
import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator

from polycall.sandbox import kernel

__all__ = ["Fork"]

# Whose hooks have nothing to do where there is but one thread, or are done here. Others' are run: of a package that is
# loaded beforehand nobody knows what it has to do in a child.
_KNOWN = frozenset({"threading", "logging", "concurrent.futures.thread", "asyncio.events", "random"})
# What the interpreter itself does in the child is of the same kind, as far as it was looked at.
_LOOKED_AT = (3, 14)


class Fork:
    """Forks, with all hooks if there is one that it does not know. Modules are to be loaded within ``watching``."""

    def __init__(self) -> None:
        self._plain = sys.version_info < _LOOKED_AT
        self._thread = threading.main_thread()
        self._reseed: Callable[[], object] | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note who asks for something to be done at a fork."""
        register = os.register_at_fork

        def noted(**hooks: Callable[..., object]) -> None:
            if sys._getframe(1).f_globals.get("__name__") not in _KNOWN:
                self._plain = False
            register(**hooks)

        os.register_at_fork = noted  # type: ignore[assignment]
        try:
            yield
        finally:
            os.register_at_fork = register
        random = sys.modules.get("random")
        if random is not None:
            # what random.seed ends in: its own checks take 30 pages
            self._reseed = functools.partial(_random.Random.seed, random._inst)

    def __call__(self) -> int:
        """Return the child's pid, 0 in the child. Raises OSError."""
        # a package may have started threads when it was imported: then the hooks have something to put right
        if not self._plain or _thread._count():
            return os.fork()
        pid = kernel.fork()
        if pid == 0:
            self._thread._native_id = threading.get_native_id()  # type: ignore[attr-defined]
            if self._reseed is not None:
                self._reseed()
        return pid
