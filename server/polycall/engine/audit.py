"""The audit log: what was done is kept with it, what was refused is counted and kept by and by.

Anybody can be refused as often as he likes. So refusals are summed up in memory, those of strangers by contract alone,
and written once an interval: what a stranger can make the log grow by is so many events a day, whatever he sends. What
was not written yet when a server is killed is lost; changes never are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import field, replace

from polycall.acts import SEVERAL, Act, AuditEvent, AuditFilter, AuditOutcome
from polycall.domain import Principal, Scope
from polycall.engine.allowance import Allowance
from polycall.engine.keys import require
from polycall.errors import Code, PolycallError
from polycall.ids import now_ms
from polycall.quick import dataclass
from polycall.store.protocol import AuditStore, Page

__all__ = ["AuditLog"]

_MOST_SUMS = 200  # refusals that are told apart in one interval; the rest is one event
_MOST_CLIENTS = 8  # addresses that a sum names
_PAGE = 500
# Faults of the server, and calls that nobody waited for: what became of them is not said by the code.
_FAILED = frozenset(
    {Code.CANCELLED, Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS}
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Sum:
    """Attempts of one kind: the last of them, when they began and ended (ms), and from where they came."""

    last: Act
    code: Code
    first_ms: int
    several: bool = False  # kinds, which were too many to be told apart
    last_ms: int = 0
    count: int = 0
    clients: set[str] = field(default_factory=set)

    def event(self) -> AuditEvent:
        """Return what is kept of them all."""
        outcome = AuditOutcome.FAILED if self.code in _FAILED else AuditOutcome.REFUSED
        detail = {}
        if self.count > 1:
            detail = {"first_ms": str(self.first_ms), "last_ms": str(self.last_ms)}
        if len(self.clients) > 1:
            more = "" if len(self.clients) < _MOST_CLIENTS else ", …"
            detail["clients"] = ", ".join(sorted(self.clients)) + more
        event = self.last.event(outcome, self.code, count=self.count, detail=detail)
        return replace(event, actor=SEVERAL) if self.several else event


class AuditLog:
    """Writes and reads the log. ``every_s``: how often refusals are written; ``allowance``: how much is let in."""

    def __init__(self, store: AuditStore, every_s: float = 300.0, allowance: Allowance | None = None) -> None:
        self._store = store
        self._every_s = every_s
        self.allowance = allowance or Allowance(0)
        self._sums: dict[tuple[object, ...], _Sum] = {}

    async def record(self, act: Act) -> None:
        """Keep that something was done which the store has not written: to be awaited before it is answered.

        Raises Unavailable.
        """
        if act.note(act.resource):
            detail = {"stored": "nothing"}  # the same request again, or a change of what is in memory
            await self._store.append_audit([act.event(AuditOutcome.DONE, Code.OK, detail=detail)])

    def refused(self, act: Act, code: Code) -> None:
        """Count an attempt that came to nothing. Never waits."""
        if not act.noted and code not in _FAILED:
            self.allowance.give_back(act)
        if act.who is None:
            # nothing that a stranger says is kept but where he is: he could say something else each time
            act = Act("", face=act.face, client=act.client)
            kind: tuple[object, ...] = (act.face, code)
        else:
            kind = (act.who.project_id, act.who.key_id, act.method, code)
        several = kind not in self._sums and len(self._sums) >= _MOST_SUMS
        if several:
            act, kind = Act("", client=act.client), (code,)
        now = now_ms()
        found = self._sums.setdefault(kind, _Sum(act, code, now, several))
        found.last, found.last_ms, found.count = act, now, found.count + 1
        if act.client and len(found.clients) < _MOST_CLIENTS:
            found.clients.add(act.client)

    async def run(self) -> None:
        """Write what was refused once an interval, for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.flush()

    async def flush(self) -> None:
        """Write what was refused so far. What the database does not take now it gets with the next."""
        sums, self._sums = self._sums, {}
        if not sums:
            return
        try:
            await self._store.append_audit([found.event() for found in sums.values()])
        except PolycallError as error:
            log.warning("refused attempts are written to the audit log later: %s", error)
            for kind, found in sums.items():
                self._keep(kind, found)

    def _keep(self, kind: tuple[object, ...], earlier: _Sum) -> None:
        """Add what could not be written to what came since; what there is no room for is told apart no more."""
        if kind not in self._sums and len(self._sums) >= _MOST_SUMS:
            kind, earlier.several = (earlier.code,), True
            earlier.last = Act("", client=earlier.last.client)
        later = self._sums.setdefault(kind, earlier)
        if later is not earlier:
            later.count += earlier.count
            later.first_ms = min(later.first_ms, earlier.first_ms)
            later.last_ms = max(later.last_ms, earlier.last_ms)
            later.clients.update(sorted(earlier.clients)[: _MOST_CLIENTS - len(later.clients)])

    async def page(
        self,
        who: Principal,
        where: AuditFilter,
        page_size: int,
        page_token: str = "",
        *,
        project_id: str | None = None,
        everywhere: bool = False,
    ) -> Page[AuditEvent]:
        """Return a page, newest first: of the caller's project, of another one, or of all of them.

        Raises PermissionDenied (scope AUDIT; OPERATOR too but for the own project), InvalidArgument (token).
        """
        project = self._seen(who, project_id, everywhere)
        return await self._store.list_audit(project, where, page_size, page_token)

    async def export(
        self, who: Principal, where: AuditFilter, *, project_id: str | None = None, everywhere: bool = False
    ) -> AsyncIterator[AuditEvent]:
        """Yield events, oldest first, up to the end of the log. Raises as ``page``."""
        project, token = self._seen(who, project_id, everywhere), ""
        while True:
            page = await self._store.list_audit(project, where, _PAGE, token, ascending=True)
            for event in page.items:
                yield event
            token = page.next_token
            if not token:
                return

    @staticmethod
    def _seen(who: Principal, project_id: str | None, everywhere: bool) -> str | None:
        require(who, Scope.AUDIT)
        if everywhere:
            require(who, Scope.OPERATOR)
            return None
        if project_id is not None and project_id != who.project_id:
            require(who, Scope.OPERATOR)
            return project_id
        return who.project_id
