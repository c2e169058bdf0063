"""Kinds of values on the command line, and the options that many commands share."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import click

from polycall.cli.failures import Failure
from polycall.names import PackageName, RuntimeName, ScheduleName, SecretName, VersionName

if TYPE_CHECKING:
    from polycall.v1.execution_pb2 import Limits

__all__ = [
    "DURATION",
    "FILE_INPUT",
    "MEMORY",
    "MOMENT",
    "PAYLOAD",
    "SECRET_VARIABLE",
    "VARIABLE",
    "confirm_deletion",
    "execution_name",
    "json_option",
    "limit_option",
    "limits_of",
    "package_name",
    "read_bytes",
    "run_limit_options",
    "runtime_name",
    "schedule_name",
    "secret_name",
    "shown_id",
    "version_name",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MIB = {"": 1, "MiB": 1, "GiB": 1024}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")


class _Kind(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2 only
    """A kind of value that one function parses; it raises ValueError with what is wrong."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value; end the command with a usage error if it cannot be parsed."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_duration(text: str) -> float:
    """Return seconds for ``2``, ``1.5s``, ``500ms``, ``5m``, ``1h``, ``7d``. Raises ValueError."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in _SECONDS:
        raise ValueError(f"{text!r} is not a duration; write 2s, 500ms, 5m, 1h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def parse_memory(text: str) -> int:
    """Return MiB for ``256``, ``256MiB``, ``1GiB``. Raises ValueError."""
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in _MIB or "." in found[1]:
        raise ValueError(f"{text!r} is not a size; write 256MiB or 1GiB")
    return int(found[1]) * _MIB[found[2]]


def parse_moment(text: str) -> datetime:
    """Return a time for ``2026-01-31T12:00:00Z`` or, counted back, ``90m``. Raises ValueError."""
    if _QUANTITY.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write 2026-01-31T12:00:00Z, or 2h for two hours ago") from None
    return moment.astimezone(UTC)


def parse_variable(text: str) -> tuple[str, str]:
    """Return name and value for ``NAME=VALUE``; ``NAME`` alone takes the value from polycall's environment.

    A secret that is passed by name stands in no process list and no shell history. Raises ValueError.
    """
    name, equals, value = text.partition("=")
    if not name:
        raise ValueError("write NAME=VALUE, or NAME to pass on a variable of your own environment")
    if equals:
        return name, value
    if name not in os.environ:
        raise ValueError(f"{name} is not set in your environment; write {name}=VALUE")
    return name, os.environ[name]


def parse_secret_variable(text: str) -> tuple[str, str]:
    """Return variable and secret's name for ``NAME=SECRET``. Raises ValueError."""
    name, _, secret = text.partition("=")
    if not name or not secret:
        raise ValueError("write NAME=SECRET, where SECRET is the id of a secret, or secrets/ID")
    return name, secret_name(secret)


def parse_file(text: str) -> tuple[str, bytes]:
    """Return path in the sandbox and contents for ``FILE`` or ``PATH=FILE``. Raises ValueError."""
    name, equals, source = text.partition("=")
    path = Path(source if equals else text)
    return (name if equals else path.name), read_bytes(str(path))


def parse_payload(text: str) -> str:
    """Return JSON text: itself, ``@FILE``, or ``-`` for standard input. The server checks it. Raises ValueError."""
    if text != "-" and not text.startswith("@"):
        return text
    try:
        return read_bytes(text.removeprefix("@")).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{text} is not UTF-8") from None


def read_bytes(name: str) -> bytes:
    """Return the contents of a file, or of standard input for ``-``. Raises Failure."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Failure(f"cannot read {name}: {error.strerror}.") from None


def confirm_deletion(name: str) -> None:
    """Ask whether to delete something. Raises Abort if not, Failure if nobody is there to answer."""
    try:
        yes = click.confirm(f"Delete {name}?", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise Failure(f"{name} is not deleted: nobody answered. --yes deletes it without being asked.") from None
    if not yes:
        raise click.Abort


DURATION = _Kind("duration", parse_duration)
MEMORY = _Kind("size", parse_memory)
MOMENT = _Kind("time", parse_moment)
VARIABLE = _Kind("name=value", parse_variable)
SECRET_VARIABLE = _Kind("name=secret", parse_secret_variable)
FILE_INPUT = _Kind("[path=]file", parse_file)
PAYLOAD = _Kind("json", parse_payload)


def json_option(command: _Command) -> _Command:
    """Add ``--json``, as parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def limit_option(default: int) -> Callable[[_Command], _Command]:
    """Add ``--limit``: how many to list."""
    return click.option(
        "--limit", type=click.IntRange(1), default=default, show_default=True, help="List at most so many."
    )


def run_limit_options(command: _Command) -> _Command:
    """Add ``--timeout`` and ``--cpu-time`` (seconds) and ``--memory`` (MiB)."""
    command = click.option(
        "--cpu-time", type=DURATION, metavar="DURATION", help="CPU time of all its processes together, such as 1s."
    )(command)
    command = click.option("--memory", type=MEMORY, metavar="SIZE", help="Memory of the run, such as 256MiB.")(command)
    return click.option("--timeout", type=DURATION, metavar="DURATION", help="Time of the run, such as 2s.")(command)


def limits_of(timeout_s: float | None, memory_mib: int | None, cpu_time_s: float | None = None) -> Limits:
    """Return the limits that ``run_limit_options`` ask for; what was not given stays unset."""
    from polycall.v1.execution_pb2 import Limits

    limits = Limits(memory_mib=memory_mib)
    if timeout_s is not None:
        limits.timeout.FromNanoseconds(round(timeout_s * 1e9))
    if cpu_time_s is not None:
        limits.cpu_time.FromNanoseconds(round(cpu_time_s * 1e9))
    return limits


def execution_name(text: str) -> str:
    """Return ``executions/ID`` for an id or a name."""
    return text if text.startswith("executions/") else f"executions/{text}"


def runtime_name(text: str) -> str:
    """Return ``runtimes/ID`` for an id or a name."""
    return text if text.startswith("runtimes/") else str(RuntimeName(text))


def schedule_name(text: str) -> str:
    """Return ``schedules/ID`` for an id or a name."""
    return text if text.startswith("schedules/") else str(ScheduleName(text))


def secret_name(text: str) -> str:
    """Return ``secrets/ID`` for an id or a name."""
    return text if text.startswith("secrets/") else str(SecretName(text))


def package_name(text: str) -> str:
    """Return ``packages/ID`` for an id or a name."""
    return text if text.startswith("packages/") else str(PackageName(text))


def version_name(package: str, version: str) -> str:
    """Return the name of a version of a package that is given by its name; ``-`` is the newest. Raises Failure."""
    from polycall.errors import InvalidArgument

    try:
        return str(VersionName(PackageName.parse(package).package, version))
    except InvalidArgument as error:
        raise Failure(f"{error.message}.") from None


def shown_id(name: str) -> str:
    """Return the last id of a resource name as its owner spells it."""
    return unquote(name.rpartition("/")[2])
