"""``polycall.toml``: what a directory of code is deployed as. A key that is not known is an error."""

from __future__ import annotations

import json
import tomllib
from pathlib import PurePosixPath
from typing import Any

import msgspec

from polycall.cli.failures import Failure
from polycall.cli.options import parse_duration
from polycall.domain import Convention, Language

__all__ = [
    "MANIFEST",
    "EgressEntry",
    "FunctionEntry",
    "LimitsEntry",
    "Manifest",
    "OutputEntry",
    "ParameterEntry",
    "WarmEntry",
    "parse_manifest",
]

MANIFEST = "polycall.toml"


class _Table(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A TOML table with known keys only."""


class OutputEntry(_Table, frozen=True):
    """A declared type. ``type`` is in the words of the package's own contract; "" is any JSON value."""

    type: str = ""
    list: bool = False
    nullable: bool = False
    children: tuple[ParameterEntry, ...] = ()


class ParameterEntry(_Table, frozen=True):
    """A declared input: ``{name = "a", type = "number"}``."""

    name: str
    type: str = ""
    list: bool = False
    nullable: bool = False
    children: tuple[ParameterEntry, ...] = ()
    default: Any = msgspec.UNSET
    display_name: str = ""


class FunctionEntry(_Table, frozen=True):
    """``[functions.NAME]``: one callable entry point."""

    entrypoint: str = ""
    convention: Convention | None = None
    parameters: tuple[ParameterEntry, ...] = ()
    output: OutputEntry | None = None
    input_schema: dict[str, Any] | None = None
    display_name: str = ""
    description: str = ""
    private: bool = False


class LimitsEntry(_Table, frozen=True):
    """``[limits]``: limits of every run; ``timeout`` and ``cpu_time`` are durations such as "10s", the rest numbers."""

    timeout: str | int | float | None = None
    cpu_time: str | int | float | None = None
    memory_mib: int | None = None
    processes: int | None = None
    open_files: int | None = None
    disk_mib: int | None = None
    result_kib: int | None = None
    stdout_kib: int | None = None
    stderr_kib: int | None = None

    def timeout_s(self) -> float | None:
        """Return the timeout in seconds. Raises ValueError."""
        return parse_duration(self.timeout) if isinstance(self.timeout, str) else self.timeout

    def cpu_time_s(self) -> float | None:
        """Return the CPU time in seconds. Raises ValueError."""
        return parse_duration(self.cpu_time) if isinstance(self.cpu_time, str) else self.cpu_time


class WarmEntry(_Table, frozen=True):
    """``[warm]``: warm processes of the version; ``idle`` is a duration such as "10m"."""

    min: int = 0
    max: int = 0
    idle: str | int | float | None = None

    def idle_s(self) -> float | None:
        """Return the idle time in seconds. Raises ValueError."""
        return parse_duration(self.idle) if isinstance(self.idle, str) else self.idle


class EgressEntry(_Table, frozen=True):
    """``[[egress]]``: a host that the code may reach, and credentials for it.

    What begins with ``$`` is taken from the environment of the deploying command: secrets do not belong into a file
    that is kept with the code. ``basic`` is ``{user_id, password}``, ``bearer`` a token, ``header`` ``{name, value}``,
    ``query`` ``{key, value}``; ``secret``, the id of a secret of the server, may stand in place of password, token and
    value.
    """

    host: str
    basic: dict[str, str] | None = None
    bearer: str | dict[str, str] | None = None
    header: dict[str, str] | None = None
    query: dict[str, str] | None = None


class Manifest(_Table, frozen=True):
    """A package, one version of it, and its functions. Everything has a default, or a flag of ``polycall deploy``."""

    package: str = ""
    version: str = ""
    release: bool = False
    display_name: str | None = None
    description: str | None = None
    labels: dict[str, str] | None = None
    language: Language | None = None  # None: by the names of the files
    runtime: str = ""
    fresh: bool = False
    limits: LimitsEntry = LimitsEntry()
    warm: WarmEntry = WarmEntry()
    env: dict[str, str] = msgspec.field(default_factory=dict)
    secret_env: dict[str, str] = msgspec.field(default_factory=dict)  # variable = id of a secret of the server
    egress: tuple[EgressEntry, ...] = ()
    functions: dict[str, FunctionEntry] = msgspec.field(default_factory=dict)


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Return the manifest in a TOML text; ``where`` names it in errors. Raises Failure."""
    try:
        manifest = msgspec.convert(tomllib.loads(text.decode()), Manifest)
        manifest.limits.timeout_s()
        manifest.warm.idle_s()
        manifest.limits.cpu_time_s()
        for name, function in manifest.functions.items():
            for parameter in function.parameters:
                default_json(parameter)
            _check_name(name)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Failure(f"{where} is not valid TOML: {error}.") from None
    except (msgspec.ValidationError, ValueError) as error:
        raise Failure(f"{where}: {_in_toml_words(str(error))}.") from None
    return manifest


def default_json(parameter: ParameterEntry) -> str | None:
    """Return the default of a parameter as JSON text; None if it has none. Raises ValueError (TOML dates, nan)."""
    if parameter.default is msgspec.UNSET:
        return None
    try:
        return json.dumps(parameter.default, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(f"the default of parameter {parameter.name} is nothing JSON can hold") from None


def _check_name(name: str) -> None:
    if not name or "/" in name or PurePosixPath(name).name != name:
        raise ValueError(f"{name!r} cannot be the name of a function")


def _in_toml_words(message: str) -> str:
    """Return msgspec's message with TOML's words for places and things."""
    for its, ours in (("`$.", "`"), ("Object", "The table"), ("field", "key"), (" - at `$`", "")):
        message = message.replace(its, ours)
    return message
