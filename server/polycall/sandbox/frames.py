"""The server's end of the frames: ``u32 header | u32 payload | header (JSON) | payload``, little endian.

What comes from a child is hostile: lengths are checked before anything is kept, headers parsed into one strict shape,
payloads checked to be JSON but never built into objects.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from polycall.structs import cstruct

__all__ = [
    "Failure",
    "FrameError",
    "FrameParser",
    "Reply",
    "TooLarge",
    "as_json",
    "encode_frame",
    "frame",
    "parse_failure",
    "parse_json",
]

_PREFIX = struct.Struct("<II")
# Ours are below 200 bytes.
_MOST_HEADER = 4096
# 64 KiB of message and 256 KiB of traceback, every character of them escaped as \uXXXX.
_MOST_OTHER = 2 << 20
_COPIED = 16 << 10
_MOST_ID = (1 << 31) - 1
_LONGEST_METHOD = 64

Kind = Literal["ready", "result", "raised", "missing", "unserializable", "too_large", "ask"]


class FrameError(Exception):
    """Raised for bytes that are no frame of ours; the child that sent them is killed."""


class TooLarge(FrameError):
    """Raised for a payload over its limit, before it is read."""


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    kind: Kind
    nonce: str = ""
    odd: bool = False
    laps: dict[str, int] = {}
    id: Annotated[int, msgspec.Meta(ge=0, le=_MOST_ID)] = 0
    method: Annotated[str, msgspec.Meta(max_length=_LONGEST_METHOD)] = ""


class Failure(msgspec.Struct, forbid_unknown_fields=True):
    """What a child says of an exception."""

    type: str
    module: str
    message: str
    traceback: str


@cstruct(frozen=True, slots=True)
class Reply:
    """A frame from a child. ``odd``: its process is not what it was, do not use it again.

    ``id`` and ``method`` are those of an ``ask``: what code wants of the server while it runs.
    """

    kind: Kind
    nonce: str
    odd: bool
    laps: Mapping[str, int]
    payload: bytes
    id: int = 0
    method: str = ""


_encode_header = msgspec.json.Encoder().encode
_decode_header = msgspec.json.Decoder(_Header).decode
_decode_failure = msgspec.json.Decoder(Failure).decode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode


def encode_frame(header: Mapping[str, object], parts: Iterable[bytes] = ()) -> list[bytes]:
    """Return a frame to a child as buffers to be written one after the other."""
    return frame(_encode_header(header), list(parts))


def as_json(value: object) -> str:
    """Return a value as JSON text."""
    return _encode_header(value).decode()


def frame(header: bytes, parts: Sequence[bytes]) -> list[bytes]:
    """Return a frame whose header is JSON text already."""
    size = sum(map(len, parts))
    head = _PREFIX.pack(len(header), size) + header
    # one small buffer is sent faster than several; large ones are not copied
    return [head, *parts] if size > _COPIED else [b"".join((head, *parts))]


class FrameParser:
    """Takes bytes as they come, gives frames. ``most_result`` and ``most_ask`` bound their payloads, bytes."""

    def __init__(self, most_result: int = 0, most_ask: int = 0) -> None:
        self.most_result = most_result
        self.most_ask = most_ask
        self._buffer = bytearray()

    @property
    def pending(self) -> bool:
        """Whether there are bytes of a frame that is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Reply | None:
        """Take bytes; return the first complete frame. Bytes behind it stay. Raises FrameError, TooLarge."""
        if self._buffer:
            self._buffer += data
            came: bytes | bytearray = self._buffer
        else:
            came = data  # mostly a frame and nothing else
        size = len(came)
        if size < _PREFIX.size:
            self._wait_with(came)
            return None
        header, payload = _PREFIX.unpack_from(came)
        if header > _MOST_HEADER:
            raise FrameError("the header is too long")
        if payload > _MOST_OTHER and payload > max(self.most_result, self.most_ask):
            raise TooLarge(f"{payload} bytes")
        begin = _PREFIX.size + header
        end = begin + payload
        if size < end:
            self._wait_with(came)
            return None
        try:
            parsed = _decode_header(came[_PREFIX.size : begin])
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise FrameError("the header is not one of ours") from None
        asks = parsed.kind == "ask"
        most = self.most_result if parsed.kind == "result" else self.most_ask if asks else _MOST_OTHER
        if payload > most:
            raise (FrameError("it asks with too much") if asks else TooLarge(f"{payload} bytes"))
        with memoryview(came) as view:  # copied once
            body = bytes(view[begin:end])
        if came is self._buffer:
            del self._buffer[:end]
        elif size > end:
            self._buffer += came[end:]
        return Reply(parsed.kind, parsed.nonce, parsed.odd, parsed.laps, body, parsed.id, parsed.method)

    def _wait_with(self, came: bytes | bytearray) -> None:
        if came is not self._buffer:
            self._buffer += came


def parse_json(payload: bytes) -> bytes:
    """Check that ``payload`` is JSON text in UTF-8 and return it as it is. Raises FrameError.

    Refuses NaN, numbers that are none, lone surrogates, trailing bytes and what is nested too deeply to be read.
    """
    try:
        if not payload.isascii():
            payload.decode()
        _check_json(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(str(error)) from None
    return payload


def parse_failure(payload: bytes) -> Failure:
    """Read what a child says of an exception. Raises FrameError."""
    try:
        return _decode_failure(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FrameError("the report of the exception is not one of ours") from None
