"""What the face keeps of a call beside its execution."""

from __future__ import annotations

import msgspec

from polycall.domain import Execution, Session
from polycall.faces.cognite.sessions import ONESHOT

__all__ = ["CallData"]


class CallData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who the call acts for: JSON in ``Execution.face_data``, and in that of schedules, whose executions get it."""

    session_id: int | None = None  # None: the installation does without sessions
    oneshot: bool = False  # the session is for this call alone

    @classmethod
    def for_session(cls, session: Session | None) -> CallData:
        """Return what is kept of a call that acts for a session."""
        return cls(session_id=session.id, oneshot=session.type == ONESHOT) if session is not None else cls()

    @classmethod
    def of(cls, execution: Execution) -> CallData:
        """Return what is kept of a call."""
        return msgspec.json.decode(execution.face_data, type=cls) if execution.face_data else cls()

    def dump(self) -> bytes:
        """Return it as it is kept."""
        return msgspec.json.encode(self)
