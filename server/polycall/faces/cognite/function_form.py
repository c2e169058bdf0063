"""A function as it is asked for, checked to the vendor's limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

from polycall.engine.checks import environment_violations
from polycall.engine.limits import KIB
from polycall.errors import FieldViolation
from polycall.faces.cognite.requests import LARGEST_ID
from polycall.faces.wire import Malformed, decode
from polycall.sandbox.files import check_path

__all__ = ["CPU", "MEMORY", "RUNTIMES", "FunctionForm", "Packages", "read_function"]

RUNTIMES = ("py310", "py311", "py312", "py313", "py314")
HANDLER = "handler.py"
_OTHER_INDEX = "is not this server's index; packages come from the operator's (POLYCALL_PYTHON_INDEX_URL)"
_SECRET_NAME = re.compile(r"[a-z0-9-]{1,15}")
_SECRET_WORDS = frozenset({"token"})  # what the call itself puts there; the other two that are reserved have capitals
_ENV_NAME = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_MOST_SECRETS, _SECRET_BYTES = 30, 25 * KIB
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE, _METADATA_BYTES = 16, 32, 512, 4096


class Bounds(msgspec.Struct, frozen=True):
    """What a size may be."""

    min: float
    max: float
    default: float


CPU = Bounds(0.1, 3.0, 1.0)  # cores
MEMORY = Bounds(0.1, 5.0, 1.5)  # GB


class FunctionForm(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The vendor's FunctionWrite. ``null`` is absent."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=140)]
    file_id: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_ID)]
    external_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    function_path: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    description: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    owner: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    metadata: dict[str, str] | None = None
    secrets: dict[str, str] | None = None
    env_vars: dict[str, str] | None = None
    cpu: float | None = None
    memory: float | None = None
    runtime: str | None = None
    index_url: str | None = None
    extra_index_urls: list[str] | None = None

    @property
    def path(self) -> str:
        """The file with the handler, as the archive spells it."""
        return (self.function_path or HANDLER).removeprefix("./")


class _Body(msgspec.Struct):
    items: Annotated[list[FunctionForm], msgspec.Meta(min_length=1, max_length=1)]


class Packages(msgspec.Struct, frozen=True):
    """Where this server's packages come from: the one index that a function may name."""

    index_url: str

    def violations(self, form: FunctionForm, at: str) -> Iterator[FieldViolation]:
        """Yield what is asked for that is another index."""
        named = [("indexUrl", url) for url in (form.index_url,) if url]
        named += [(f"extraIndexUrls[{number}]", url) for number, url in enumerate(form.extra_index_urls or ())]
        for name, url in named:
            if url.rstrip("/") != self.index_url.rstrip("/"):
                yield FieldViolation(f"{at}.{name}", _OTHER_INDEX)


def read_function(body: bytes, packages: Packages, most_memory_gb: float) -> FunctionForm:
    """Read the one function that is wanted. Raises Malformed naming everything that is wrong.

    ``most_memory_gb``: what the operator allows.
    """
    form = decode(body, _Body).items[0]
    at = "items[0]"
    wrong = [
        *_path_violations(form, f"{at}.functionPath"),
        *_secret_violations(form.secrets or {}, f"{at}.secrets"),
        *_env_violations(form.env_vars or {}, f"{at}.envVars"),
        *_metadata_violations(form.metadata or {}, f"{at}.metadata"),
        *packages.violations(form, at),
    ]
    if form.cpu is not None and not CPU.min <= form.cpu <= CPU.max:
        wrong.append(FieldViolation(f"{at}.cpu", f"must be from {CPU.min:g} to {CPU.max:g} cores"))
    most = min(MEMORY.max, most_memory_gb)
    if form.memory is not None and not MEMORY.min <= form.memory <= most:
        wrong.append(FieldViolation(f"{at}.memory", f"must be from {MEMORY.min:g} to {most:g} GB"))
    if form.runtime is not None and form.runtime not in RUNTIMES:
        wrong.append(FieldViolation(f"{at}.runtime", f"must be one of {', '.join(RUNTIMES)}"))
    if wrong:
        raise Malformed(wrong)
    return form


def _path_violations(form: FunctionForm, at: str) -> Iterator[FieldViolation]:
    if (problem := check_path(form.path)) is not None:
        yield FieldViolation(at, problem)
    elif not form.path.endswith(".py"):
        yield FieldViolation(at, "must be the path of a Python file (.py)")
    elif "." in form.path.removesuffix(".py"):
        yield FieldViolation(at, "must have no dot but that of .py: it is imported as a module")


def _secret_violations(secrets: Mapping[str, str], at: str) -> Iterator[FieldViolation]:
    if len(secrets) > _MOST_SECRETS:
        yield FieldViolation(at, f"has {len(secrets)} secrets; at most {_MOST_SECRETS}")
    for name, value in secrets.items():
        if not _SECRET_NAME.fullmatch(name):
            yield FieldViolation(at, "a name must have 1 to 15 of lower-case letters, digits and `-`")
        elif name in _SECRET_WORDS:
            yield FieldViolation(at, f"the name {name!r} is reserved")
        if len(name.encode(errors="replace")) + len(value.encode(errors="replace")) > _SECRET_BYTES:
            yield FieldViolation(at, f"name and value must have at most {_SECRET_BYTES // KIB} kB together")


def _env_violations(env: Mapping[str, str], at: str) -> Iterator[FieldViolation]:
    if not all(_ENV_NAME.fullmatch(name) for name in env):
        yield FieldViolation(at, "a name must have letters, digits and `_` only")
    else:
        yield from environment_violations(env, at)


def _metadata_violations(metadata: Mapping[str, str], at: str) -> Iterator[FieldViolation]:
    if len(metadata) > _MOST_PAIRS:
        yield FieldViolation(at, f"has {len(metadata)} pairs; at most {_MOST_PAIRS}")
    if any(len(key) > _LONGEST_KEY or len(value) > _LONGEST_VALUE for key, value in metadata.items()):
        yield FieldViolation(at, f"a key has at most {_LONGEST_KEY} characters, a value {_LONGEST_VALUE}")
    size = sum(len(text.encode(errors="replace")) for pair in metadata.items() for text in pair)
    if size > _METADATA_BYTES:
        yield FieldViolation(at, f"has {size} bytes; at most {_METADATA_BYTES}")
