"""What the face is sent: path ids and bodies, read strictly. Unknown members are ignored, ``null`` is absent."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Annotated

import msgspec

from polycall.domain import Reason
from polycall.engine.limits import MIB
from polycall.errors import FieldViolation, InvalidArgument, PayloadTooLarge, PolycallError
from polycall.faces.wire import Malformed, decode, present
from polycall.quick import dataclass

__all__ = [
    "BODY_LIMIT",
    "FILE_BYTES",
    "LARGEST_ID",
    "Ask",
    "CallForm",
    "FileForm",
    "Reference",
    "SessionForm",
    "UnknownRoute",
    "check_data",
    "is_id",
    "parse_id",
    "parse_optional_id",
    "read_asked_calls",
    "read_asked_files",
    "read_asked_functions",
    "read_asked_sessions",
    "read_call",
    "read_file",
    "read_session",
]

# The vendor states 36 kB, 240 kB and 9 MB in different places; the largest refuses nobody. MB is read as MiB here.
_DATA_BYTES = 9 * MIB
BODY_LIMIT = _DATA_BYTES + MIB // 16  # `data` may have its full size beside the nonce

FILE_BYTES = 100 * MIB  # the vendor's bound of a zip of code

LARGEST_ID = 2**53 - 1  # the largest integer that every JSON reader keeps
_ID = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_RESERVED = frozenset({"byids", "delete", "limits", "list", "schedules", "status"})  # routes, wherever an id may stand
# The vendor's bounds; for calls, which have none, the usual one of its API.
_MOST_FUNCTIONS, _MOST_CALLS, _MOST_FILES = 10, 1000, 1000

_Id = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_ID)]
_ExternalId = Annotated[str, msgspec.Meta(max_length=255)]


class UnknownRoute(PolycallError):
    """Raised for a word of the contract that stands where an id is expected: that route is not served."""

    reason = Reason.UNKNOWN_METHOD


@dataclass(frozen=True, slots=True)
class Reference:
    """What a caller names something by: an id, or an external id (then ``id`` is None)."""

    id: int | None
    external_id: str = ""

    def __str__(self) -> str:
        return f"id: {self.id}" if self.id is not None else f"externalId: {self.external_id}"


@dataclass(frozen=True, slots=True)
class Ask:
    """A read of several things at once."""

    references: tuple[Reference, ...]
    ignore_unknown: bool


@dataclass(frozen=True, slots=True)
class CallForm:
    """A call as it was asked for: ``data`` is the JSON text of an object, untouched."""

    data: bytes
    nonce: str


@dataclass(frozen=True, slots=True)
class FileForm:
    """A file as it was asked for."""

    name: str
    external_id: str | None
    mime_type: str | None


@dataclass(frozen=True, slots=True)
class SessionForm:
    """A session as it was asked for; the client secret is not kept."""

    type: str
    client_id: str | None
    client_secret: str | None = field(default=None, repr=False)


class _CallBody(msgspec.Struct):
    nonce: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _FileBody(msgspec.Struct, rename="camel"):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    external_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    mime_type: Annotated[str, msgspec.Meta(max_length=256)] | None = None


class _FunctionItem(msgspec.Struct, rename="camel"):
    id: _Id | None = None
    external_id: _ExternalId | None = None


class _CallItem(msgspec.Struct):
    id: _Id


class _FunctionsBody(msgspec.Struct, rename="camel"):
    items: Annotated[list[_FunctionItem], msgspec.Meta(min_length=1, max_length=_MOST_FUNCTIONS)]
    ignore_unknown_ids: bool | None = None


class _FilesBody(msgspec.Struct, rename="camel"):
    items: Annotated[list[_FunctionItem], msgspec.Meta(min_length=1, max_length=_MOST_FILES)]
    ignore_unknown_ids: bool | None = None


class _CallsBody(msgspec.Struct, rename="camel"):
    items: Annotated[list[_CallItem], msgspec.Meta(min_length=1, max_length=_MOST_CALLS)]
    ignore_unknown_ids: bool | None = None


class _SessionItem(msgspec.Struct, rename="camel"):
    token_exchange: bool | None = None
    oneshot_token_exchange: bool | None = None
    client_id: str | None = None
    client_secret: str | None = None


class _SessionsBody(msgspec.Struct):
    items: Annotated[list[_SessionItem], msgspec.Meta(min_length=1, max_length=1)]


def is_id(text: str) -> bool:
    """Return whether a text is an id, spelled the one way it is."""
    return _ID.fullmatch(text) is not None and int(text) <= LARGEST_ID


def parse_id(text: str, field: str) -> int:
    """Read an id of a path. Raises InvalidArgument, and UnknownRoute for ``list``, ``byids`` and the like."""
    if text in _RESERVED:
        raise UnknownRoute("There is nothing at this path.")
    if not is_id(text):
        raise InvalidArgument.of(field, f"must be an integer from 1 to {LARGEST_ID}")
    return int(text)


def parse_optional_id(text: str, field: str) -> int | None:
    """Read an id of a query; None without one. Raises InvalidArgument."""
    if not text:
        return None
    if not is_id(text):
        raise InvalidArgument.of(field, f"must be an integer from 1 to {LARGEST_ID}")
    return int(text)


def read_call(body: bytes) -> CallForm:
    """Read the body of a call. Raises Malformed, PayloadTooLarge."""
    form = decode(body, _CallBody)
    data = present(form.data) or b"{}"
    check_data(data)
    return CallForm(data, form.nonce)


def check_data(data: bytes) -> None:
    """Raise Malformed or PayloadTooLarge for JSON text that a call cannot have as its data."""
    if not data.startswith(b"{"):
        raise Malformed.of("data", "must be an object")
    if len(data) > _DATA_BYTES:
        raise PayloadTooLarge(f"data is larger than {_DATA_BYTES // MIB} MB.")


def read_asked_functions(body: bytes) -> Ask:
    """Read which functions are wanted: each by id or by external id. Raises Malformed."""
    return _asked(decode(body, _FunctionsBody))


def read_asked_files(body: bytes) -> Ask:
    """Read which files are wanted: each by id or by external id. Raises Malformed."""
    return _asked(decode(body, _FilesBody))


def read_file(body: bytes) -> FileForm:
    """Read the file that is wanted. Raises Malformed."""
    form = decode(body, _FileBody)
    return FileForm(form.name, form.external_id, form.mime_type)


def _asked(form: _FunctionsBody | _FilesBody) -> Ask:
    wrong = [
        FieldViolation(f"items[{index}]", "must have exactly one of id and externalId")
        for index, item in enumerate(form.items)
        if (item.id is None) == (item.external_id is None)
    ]
    if wrong:
        raise Malformed(wrong)
    references = tuple(Reference(item.id, item.external_id or "") for item in form.items)
    return Ask(references, bool(form.ignore_unknown_ids))


def read_asked_calls(body: bytes) -> Ask:
    """Read which calls are wanted, by id. Raises Malformed."""
    form = decode(body, _CallsBody)
    return Ask(tuple(Reference(item.id) for item in form.items), bool(form.ignore_unknown_ids))


def read_asked_sessions(body: bytes) -> tuple[int, ...]:
    """Read which sessions are meant, by id. Raises Malformed."""
    return tuple(dict.fromkeys(item.id for item in decode(body, _CallsBody).items))


def read_session(body: bytes) -> SessionForm:
    """Read the one session that is wanted, in one of its three forms. Raises Malformed."""
    item = decode(body, _SessionsBody).items[0]
    credentials = item.client_id is not None or item.client_secret is not None
    chosen = [
        name
        for name, wanted in (
            ("TOKEN_EXCHANGE", item.token_exchange),
            ("ONESHOT_TOKEN_EXCHANGE", item.oneshot_token_exchange),
            ("CLIENT_CREDENTIALS", credentials),
        )
        if wanted
    ]
    if len(chosen) != 1:
        raise Malformed.of("items[0]", "must be one of tokenExchange, oneshotTokenExchange, clientId with clientSecret")
    if credentials and not (item.client_id and item.client_secret):
        raise Malformed.of("items[0]", "must have both clientId and clientSecret")
    return SessionForm(chosen[0], item.client_id if credentials else None, item.client_secret if credentials else None)
