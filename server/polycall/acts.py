"""What somebody does, while it is done: who, through which door, what it is called; and how the audit log keeps it.

Whoever lets a call in opens an ``Act``; whoever recognises the caller says ``by``; the store writes the event of the
act together with the first change that is made under it. Nobody in between passes it on: it travels with the task.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import field

from polycall.domain import Principal
from polycall.ids import new_id
from polycall.quick import dataclass

__all__ = [
    "ANYWHERE",
    "NOBODY",
    "OPEN_ACTION",
    "SEVERAL",
    "SYSTEM",
    "Act",
    "AuditEvent",
    "AuditFilter",
    "AuditOutcome",
    "acting",
    "by",
    "current",
    "fingerprint",
]

NOBODY = "anonymous"  # as an actor: no valid key came with the request
SEVERAL = "several"  # as an actor: more of them than were told apart
SYSTEM = "system"  # as an actor: the server itself
ANYWHERE = ""  # as a project: what concerns all of them, or came from nobody who has one
OPEN_ACTION = "access"  # what is refused where nothing would have been changed

_LONGEST_CLIENT = 64  # an IPv6 address with its zone has fewer
_LONGEST = 512  # characters of a resource's name: that of two ids as long as they may be, percent-encoded, is cut


class AuditOutcome(enum.StrEnum):
    """What came of an act."""

    DONE = "done"
    REFUSED = "refused"  # nothing was changed: not allowed, not there, not valid
    FAILED = "failed"  # the server could not, or its caller went away; what had been done has an event of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit log. ``time`` (ms) is the database's: 0 until it is stored."""

    id: uuid.UUID
    project_id: str
    actor: str  # id of a key, "bootstrap", NOBODY or SYSTEM
    action: str
    outcome: AuditOutcome
    code: int  # google.rpc.Code
    resource: str = ""
    face: str = ""  # "": native
    method: str = ""  # full gRPC method
    client: str = ""  # address
    count: int = 1  # attempts that this stands for
    detail: Mapping[str, str] = field(default_factory=dict)
    time: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events; every part that is not None must match. ``action`` may end in ``.*``: all of that noun."""

    since: int | None = None  # inclusive, ms
    until: int | None = None  # exclusive, ms
    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    outcome: AuditOutcome | None = None


class Act:
    """A call on its way. ``action`` "": nothing that it does is audited. ``many``: each thing it changes is an event.

    ``admit`` is told once it is known who acts, before anything is done, and may raise what refuses it.

    Once it is closed nothing more is written under it: what goes on in the background is nobody's act.
    """

    __slots__ = (
        *("_noted", "_resource", "action", "admit", "client", "closed", "face"),
        *("many", "method", "request_id", "taken", "who"),
    )

    def __init__(
        self,
        action: str,
        *,
        many: bool = False,
        face: str = "",
        method: str = "",
        resource: str = "",
        client: str = "",
        request_id: str = "",
        admit: Callable[[Act], None] = lambda act: None,
    ) -> None:
        self.admit = admit
        self.action = action
        self.many = many
        self.face = face
        self.method = method
        self.resource = resource
        self.client = _short(client, _LONGEST_CLIENT)
        self.request_id = request_id
        self.who: Principal | None = None
        self.closed = False
        self.taken = False  # counted as a change (``engine.allowance``)
        self._noted: set[str] = set()

    @property
    def resource(self) -> str:
        """What it is about. Cut where it comes in: acts are kept for minutes, and a request says what it likes."""
        return self._resource

    @resource.setter
    def resource(self, name: str) -> None:
        self._resource = _short(name)

    @property
    def noted(self) -> bool:
        """Whether an event of it was written, or is being written."""
        return bool(self._noted)

    def note(self, resource: str) -> bool:
        """Claim the event of a change; False: there is none to be written, or somebody has."""
        if self.closed or not self.action or (self._noted and (not self.many or resource in self._noted)):
            return False
        self._noted.add(resource)
        return True

    def take_back(self, resource: str) -> None:
        """Let go of an event that was not written: its change was not made."""
        self._noted.discard(resource)

    def event(
        self,
        outcome: AuditOutcome,
        code: int,
        *,
        project_id: str | None = None,
        resource: str = "",
        count: int = 1,
        detail: Mapping[str, str] | None = None,
    ) -> AuditEvent:
        """Return what the log keeps of it. ``project_id``: whose it is, if not the caller's."""
        own = self.who.project_id if self.who is not None else ANYWHERE
        more = dict(detail or {})
        if self.request_id:
            more["request"] = self.request_id
        if project_id is not None and self.who is not None and project_id != own:
            more["actor_project"] = own
        return AuditEvent(
            id=new_id(),
            project_id=own if project_id is None else project_id,
            actor=NOBODY if self.who is None else self.who.key_id,
            action=self.action or OPEN_ACTION,
            outcome=outcome,
            code=code,
            resource=_short(resource or self.resource),
            face=self.face,
            method=self.method,
            client=self.client,
            count=count,
            detail=more,
        )


_current: ContextVar[Act | None] = ContextVar("polycall_act", default=None)


def current() -> Act | None:
    """Return the act that this task works for; None for the server's own work."""
    return _current.get()


@contextlib.contextmanager
def acting(act: Act) -> Iterator[None]:
    """Do what follows, in this task and those it starts, as part of an act."""
    _current.set(act)
    try:
        yield
    finally:
        _current.set(None)


def by(who: Principal) -> None:
    """Say who acts; the first who is named does. Others are those whose keys are part of the request.

    Raises what refuses the act of whoever it is (ResourceExhausted).
    """
    act = _current.get()
    if act is not None and act.who is None:
        act.who = who
        act.admit(act)


def fingerprint(credential: str) -> str:
    """Return what tells an address that is a credential from others, and does not tell it."""
    return f"sha256:{hashlib.sha256(credential.encode(errors='replace')).hexdigest()[:16]}"


def _short(name: str, most: int = _LONGEST) -> str:
    # as the database keeps text; and what was cut says so
    kept = name[:most].replace("\0", "").encode(errors="replace").decode()
    return kept if len(name) <= most else f"{kept}…"
