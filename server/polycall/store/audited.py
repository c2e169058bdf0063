"""Changes leave their audit event in the transaction that makes them: both are there, or neither is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from polycall.acts import Act, AuditEvent, AuditOutcome, current
from polycall.store.audit_log import insert_events
from polycall.store.changes import CHANGES, Change
from polycall.store.executor import Executor
from polycall.store.quota import StorageQuota

__all__ = ["AuditedExecutor"]

P = ParamSpec("P")
T = TypeVar("T")

_OK = 0  # google.rpc.Code


class AuditedExecutor:
    """An executor around another; see ``Executor``. An event that cannot be written undoes its change.

    ``written``: where events that were are counted.
    """

    def __init__(self, inner: Executor, written: Counter[AuditOutcome]) -> None:
        self._inner = inner
        self._written = written

    async def start(self, prepare: Callable[[sa.Connection], None]) -> None:
        """Open the database and prepare it."""
        await self._inner.start(prepare)

    async def stop(self) -> None:
        """Finish what waits, close."""
        await self._inner.stop()

    def end_in(self, seconds: float) -> None:
        """See ``Executor``."""
        self._inner.end_in(seconds)

    async def read(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that only reads."""
        return await self._inner.read(work, *args, **kwargs)

    async def relaxed(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of the server's own; nobody's change is made so."""
        return await self._inner.relaxed(work, *args, **kwargs)

    async def write(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a transaction, and keep who did it in the same one."""
        act = current()
        if act is None or not act.action:
            return await self._inner.write(work, *args, **kwargs)
        return await self._audited(act, self._inner.write, work, args, kwargs)

    async def single(self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of one statement; in a transaction if an event is to be kept with it."""
        act = current()
        if act is None or not act.action:
            return await self._inner.single(work, *args, **kwargs)
        return await self._audited(act, self._inner.single, work, args, kwargs)

    async def _audited(
        self, act: Act, plain: Any, work: Callable[..., T], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> T:
        changing, given = _bare(work, args)
        change = CHANGES.get(changing)
        named = change.names(*given, **kwargs) if change is not None else None
        if change is None or named is None or not act.note(named[1]):
            unnoted: T = await plain(work, *args, **kwargs)
            return unnoted
        project_id, resource = named
        event = act.event(AuditOutcome.DONE, _OK, project_id=project_id, resource=resource)
        try:
            made, result = await self._inner.write(_with_event, change, work, args, kwargs, event)
        except Exception:  # not for a caller who went away: the database may have committed
            act.take_back(resource)
            raise
        if not made:
            act.take_back(resource)
        self._written[AuditOutcome.DONE] += made
        return result


def _bare(work: Callable[..., object], args: tuple[Any, ...]) -> tuple[Callable[..., object], tuple[Any, ...]]:
    """Return what is done, and with what, without the quota that is laid around it."""
    if getattr(work, "__func__", None) is StorageQuota.within:
        return args[1], args[2:]
    return work, args


def _with_event(
    conn: sa.Connection,
    change: Change,
    work: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    event: AuditEvent,
) -> tuple[bool, T]:
    result = work(conn, *args, **kwargs)
    if change.nothing(result):
        return False, result
    insert_events(conn, (event,))
    return True, result
