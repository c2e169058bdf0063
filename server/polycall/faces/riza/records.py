"""What is kept of a request beside its execution: the canonical body, credentials masked, and all of it sealed.

Code and environment of a request may be as confidential as any credential: whoever reads the database learns neither.
Whoever may read executions is shown them, as the contract has it.
"""

from __future__ import annotations

import msgspec

from polycall.domain import Execution
from polycall.engine.limits import KIB
from polycall.errors import FailedPrecondition
from polycall.faces.wire import present
from polycall.quick import dataclass
from polycall.sealing import Sealer

__all__ = ["Record", "Records", "request_place"]

# A larger request is not worth its place in the store: its largest parts are left out, and the record says so.
_MOST_BYTES = 256 * KIB
_PARTS = ("input", "files", "stdin", "args", "env", "code")


@dataclass(frozen=True, slots=True)
class Record:
    """A request as it was: ``function``, ``script`` or ``tool``, and the JSON of its body."""

    type: str
    request: bytes
    tool_id: str | None = None

    @classmethod
    def of(cls, kind: str, form: msgspec.Struct, tool_id: str | None = None) -> Record:
        """Return the record of a body as it was read, credentials masked; of a large one without its largest parts."""
        members = {
            name: value
            for name in form.__struct_fields__
            if (value := getattr(form, name)) not in (None, msgspec.UNSET)
        }
        whole = sum(_weight(members.get(name)) for name in _PARTS)
        omitted: list[str] = []
        for name in sorted(_PARTS, key=lambda part: -_weight(members.get(part))):
            if whole > _MOST_BYTES:
                whole -= _weight(members[name])
                _leave_out(members, name, omitted)
        text = msgspec.json.encode(_told(members, omitted))
        if len(text) > _MOST_BYTES:  # characters that JSON takes six bytes for
            for name in [name for name in _PARTS if members.get(name)]:
                _leave_out(members, name, omitted)
            text = msgspec.json.encode(_told(members, omitted))
        return cls(kind, text, tool_id)


class _Kept(msgspec.Struct, omit_defaults=True):
    """``Execution.face_data``, beside the sealed request. Earlier releases kept that as it was."""

    type: str
    tool_id: str | None = None
    request: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Records:
    """Makes and reads records."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def keep(self, project_id: str, record: Record) -> tuple[bytes, str]:
        """Return a record as it is kept with an execution of a project: ``face_data`` and ``sealed``."""
        sealed = self._sealer.seal(record.request.decode(), request_place(project_id))
        return msgspec.json.encode(_Kept(record.type, record.tool_id)), sealed

    def read(self, execution: Execution) -> Record | None:
        """Return the record of an execution; None if there is none, or the key that it was sealed with is gone."""
        if execution.face_data is None:
            return None
        try:
            kept = msgspec.json.decode(execution.face_data, type=_Kept)
            if execution.sealed is not None:
                text = self._sealer.open(execution.sealed, request_place(execution.project_id))
                return Record(kept.type, text.encode(), kept.tool_id)
        except (FailedPrecondition, msgspec.DecodeError):
            return None
        request = present(kept.request)
        return None if request is None else Record(kept.type, request, kept.tool_id)


def _leave_out(members: dict[str, object], name: str, omitted: list[str]) -> None:
    del members[name]
    omitted.append(name)
    if name == "code":
        members[name] = ""  # the vendor's clients insist on it


def _told(members: dict[str, object], omitted: list[str]) -> dict[str, object]:
    if not omitted:
        return members
    most = f"{_MOST_BYTES // KIB} KiB"
    return members | {"omitted": f"{', '.join(omitted)}: the request was larger than the {most} that are kept of one"}


def _weight(part: object) -> int:
    """Return about how many bytes a part of a request takes."""
    match part:
        case str() | bytes():
            return len(part)
        case msgspec.Raw():
            return memoryview(part).nbytes  # its bytes would be a copy
        case dict():
            return sum(len(name) + _weight(value) for name, value in part.items())
        case list():
            return sum(_weight(item) for item in part)
        case msgspec.Struct():
            return sum(_weight(getattr(part, name)) for name in part.__struct_fields__)
    return 0


def request_place(project_id: str) -> str:
    """Return what the requests of a project are sealed for."""
    return f"projects/{project_id}/riza/requests"
