"""JSON and encodings, as every face needs them: strict, bounded, and without touching the user's payload."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from polycall.errors import InvalidArgument, PayloadTooLarge

__all__ = ["NULL", "Malformed", "UnsupportedEncoding", "decode", "dump", "gunzip", "present", "raw_members"]

T = TypeVar("T")

NULL = msgspec.Raw(b"null")
_GZIP_OR_ZLIB = 47  # zlib's wbits: 32 + 15, detect gzip or zlib by its header
_FEW_BYTES = 256 << 10  # at most 43,000 members, some 30 ms
_MOST_MEMBERS = 100_000
_DEFLATE_NAMES = ("gzip", "x-gzip", "deflate")


class _Name(str):
    """The name of a member that was counted."""

    __slots__ = ()


class Malformed(InvalidArgument):
    """Raised for a body that is not JSON, or not of the shape that is asked for; ``position`` is where, if known."""


class UnsupportedEncoding(InvalidArgument):
    """Raised for a Content-Encoding that is not gzip, deflate or identity (HTTP 415)."""


def gunzip(body: bytes, encoding: str, limit: int) -> bytes:
    """Return the body without its content encoding.

    Raises PayloadTooLarge beyond ``limit`` bytes (before they are made), Malformed for a broken or cut stream,
    UnsupportedEncoding for another encoding.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise PayloadTooLarge(f"The request body is larger than {limit} bytes.")
        return body
    if encoding not in _DEFLATE_NAMES:
        raise UnsupportedEncoding.of("", f"Content-Encoding {encoding[:40]!r} is not supported; send gzip or none.")
    stream = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error:
        raise Malformed.of("", "the body is not valid gzip") from None
    if len(plain) > limit:
        raise PayloadTooLarge(f"The request body is larger than {limit} bytes after decompression.")
    if not stream.eof or stream.unused_data:
        raise Malformed.of("", "the gzip body is cut short or has trailing bytes")
    return plain


def decode(body: bytes, shape: type[T], hook: Callable[[type, Any], Any] | None = None) -> T:
    """Decode strict UTF-8 JSON into a msgspec type; members of type ``msgspec.Raw`` stay as they are.

    ``hook``: makes values of types that msgspec does not know. Raises Malformed. Never quotes the body.
    """
    try:
        if not body.isascii():
            body.decode()  # msgspec does not look into Raw for invalid UTF-8
        return msgspec.json.decode(body, type=shape, dec_hook=hook)
    except UnicodeDecodeError:
        raise Malformed.of("", "the body is not valid UTF-8") from None
    except RecursionError:
        raise Malformed.of("", "the body is nested too deeply") from None
    except msgspec.DecodeError as error:
        raise _malformed(body, error) from None


def _malformed(body: bytes, error: msgspec.DecodeError) -> InvalidArgument:
    text, _, where = str(error).partition(" - at `")
    if not body.strip():
        return Malformed.of("", "the body is empty; it has to be JSON")
    if not isinstance(error, msgspec.ValidationError):
        text = text.removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
        return Malformed.of("", f"the body is not valid JSON: {text}")
    where = where.rstrip("`").removeprefix("$").removeprefix(".")
    return Malformed.of(where, text if where else f"the body has the wrong shape: {text}")


def raw_members(value: msgspec.Raw | bytes) -> dict[str, msgspec.Raw]:
    """Split a JSON object into its members, values untouched, order kept.

    Raises Malformed if it is not an object, or has more than 100,000 members of its own.
    """
    text = bytes(value)
    if len(text) <= _FEW_BYTES:
        return decode(text, dict[str, msgspec.Raw])
    # Made at once, the members of 40 MiB of nothing else hold the interpreter for 2.7 s. Made through a hook they are
    # counted, and other threads have their turns between them.
    count = itertools.count(1)

    def name(kind: type, name: str) -> _Name:
        if next(count) > _MOST_MEMBERS:
            raise Malformed.of("", f"an object of the body has more than {_MOST_MEMBERS} members")
        return _Name(name)

    members: dict[str, msgspec.Raw] = decode(text, cast("type[dict[str, msgspec.Raw]]", dict[_Name, msgspec.Raw]), name)
    return members


def present(value: msgspec.Raw | msgspec.UnsetType | None) -> bytes | None:
    """Return the bytes of an optional raw member; None if it is absent or null."""
    if value is None or value is msgspec.UNSET:
        return None
    text = bytes(value)
    return None if text == b"null" else text


def dump(value: object) -> bytes:
    """Encode to compact JSON, UTF-8 unescaped; ``msgspec.Raw`` inside is spliced in untouched."""
    return msgspec.json.encode(value)
