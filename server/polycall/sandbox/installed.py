"""Which interpreters this installation has, found by asking them."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess

from polycall.domain import Language
from polycall.quick import dataclass

__all__ = ["DENO", "Interpreter", "find_deno", "python", "time_zone"]

DENO = "deno"
# 15 ms on an idle machine.
_ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What runs code of some languages. ``path`` is on the host, "" if nothing has to be found there."""

    name: str
    version: str
    languages: tuple[Language, ...]
    path: str = ""


def python() -> Interpreter:
    """Return the server's own."""
    return Interpreter("python", platform.python_version(), (Language.PYTHON,))


def time_zone() -> str:
    """Return the name of the machine's time zone, such as Europe/Berlin; "" if it cannot be told."""
    try:
        _, found, name = os.path.realpath("/etc/localtime", strict=True).partition("/zoneinfo/")
    except OSError:
        return "UTC"  # what programs take for it then
    return name if found else ""


async def find_deno(path: str | None = None) -> Interpreter | None:
    """Return the Deno at ``path``, by default that of the Python package ``deno``; None if there is none that runs."""
    binary = _located(path)
    version = await _version(binary) if binary is not None else None
    if binary is None or version is None:
        return None
    return Interpreter(DENO, version, (Language.JAVASCRIPT, Language.TYPESCRIPT), binary)


def _located(path: str | None) -> str | None:
    if path is None:
        try:
            from deno import find_deno_bin

            path = str(find_deno_bin())
        except (ImportError, FileNotFoundError):
            return None
    return os.path.realpath(path) if os.path.isfile(path) else None


async def _version(path: str) -> str | None:
    """Return the version that a Deno says it has; None if it does not run here, for want of its libraries perhaps."""
    environment = {"PATH": os.defpath, "DENO_NO_UPDATE_CHECK": "1"}
    try:
        process = await asyncio.create_subprocess_exec(
            path, "--version",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env=environment,
        )  # fmt: skip
    except OSError:
        return None
    try:
        async with asyncio.timeout(_ANSWER_S):
            answer, _ = await process.communicate()
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            return None
        raise
    # deno 2.9.8 (stable, release, x86_64-unknown-linux-gnu)
    words = answer.decode(errors="replace").split()
    return words[1] if process.returncode == 0 and words[:1] == ["deno"] and len(words) > 1 else None
