"""How the values of settings are read, wherever they come from. Each raises ValueError, which says what one must be."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from polycall.domain import IsolationLevel
from polycall.sealing import parse_encryption_keys

__all__ = [
    "as_address",
    "as_audit_days",
    "as_choice",
    "as_days",
    "as_encryption_key",
    "as_flag",
    "as_level",
    "as_networks",
    "as_object_url",
    "as_optional_url",
    "as_path",
    "as_seconds",
    "as_tcp_address",
    "as_text",
    "as_url",
    "as_whole",
]

_LONGEST_DAYS = 36_500


def as_text(value: object) -> str:
    """Read text."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def as_address(value: object) -> str:
    """Read an address, or a socket as unix:PATH; empty: none."""
    text = as_text(value)
    if text and not text.startswith("unix:"):
        host, colon, port = text.rpartition(":")
        if not host or not colon or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080")
    return text


def as_tcp_address(value: object) -> str:
    """Read an address that is no socket of a file."""
    text = as_address(value)
    if text.startswith("unix:"):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:9464; Prometheus reads no sockets of files")
    return text


def as_url(value: object) -> str:
    """Read an http or https URL without credentials."""
    text = as_text(value)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must be an http or https URL")
    if parts.username or parts.password:
        raise ValueError("must have no user or password in it: builds would see them")
    return text.rstrip("/")


def as_optional_url(value: object) -> str:
    """Read such a URL, or nothing."""
    return as_url(value) if as_text(value) else ""


def as_object_url(value: object) -> str:
    """Read the URL of an object store, or nothing."""
    text = as_text(value)
    if not text:
        return text
    parts = urlsplit(text)
    if parts.scheme not in ("s3", "gs", "az", "file") or (parts.scheme != "file" and not parts.hostname):
        raise ValueError(
            "must be s3://BUCKET, gs://BUCKET, az://CONTAINER, each with a prefix or without, or file:///DIR"
        )
    if parts.username or parts.password or parts.query or parts.fragment or (parts.scheme == "file" and parts.netloc):
        raise ValueError("must be a bucket and a prefix alone; credentials come from the environment")
    return text


def as_path(value: object) -> Path:
    """Read a path; ~ is the user's home."""
    return Path(as_text(value)).expanduser() if not isinstance(value, Path) else value


def as_flag(value: object) -> bool:
    """Read a truth value."""
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("must be true or false")


def as_whole(low: int, high: int) -> Callable[[object], int]:
    """Return what reads whole numbers in a range."""

    def parse(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"must be a whole number from {low} to {high}")
        try:
            number = int(value)
        except ValueError:
            raise ValueError(f"must be a whole number from {low} to {high}") from None
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}")
        return number

    return parse


def as_seconds(low: float, high: float) -> Callable[[object], float]:
    """Return what reads seconds in a range."""

    def parse(value: object) -> float:
        try:
            number = float(as_text(value)) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}") from None
        if not low <= number <= high:
            raise ValueError(f"must be from {low:g} to {high:g} seconds")
        return number

    return parse


def as_days(value: object) -> float:
    """Read a number of days; 0: for ever."""
    rule = f"must be 0, or a number of days from 0.05 to {_LONGEST_DAYS}"  # less: its caller still reads it
    try:
        days = float(as_text(value)) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(rule) from None
    if days and not 0.05 <= days <= _LONGEST_DAYS:
        raise ValueError(rule)
    return days


def as_audit_days(value: object) -> float:
    """Read for how many days the audit log is kept; 0: for ever."""
    days = as_days(value)
    if days and days < 2:  # the database itself lets nothing of the last day go
        raise ValueError(f"must be 0, or a number of days from 2 to {_LONGEST_DAYS}")
    return days


def as_level(value: object) -> IsolationLevel:
    """Read an isolation level."""
    return IsolationLevel(as_whole(0, 3)(value))


def as_choice(*words: str) -> Callable[[object], str]:
    """Return what reads one of some words."""

    def parse(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return str(value)

    return parse


def as_encryption_key(value: object) -> str:
    """Read keys for secrets at rest, or nothing."""
    text = as_text(value)
    if text:
        parse_encryption_keys(text)
    return text


def as_networks(value: object) -> str:
    """Read ranges of addresses; return them as they are spelled."""
    words = as_text(value).replace(",", " ").split()
    try:
        return ",".join(str(ipaddress.ip_network(word)) for word in words)
    except ValueError as error:
        raise ValueError(f"must be address ranges such as 10.1.0.0/16, separated by commas: {error}") from None
