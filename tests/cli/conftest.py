"""The command line in this process, with captured streams: what a subprocess would do, at a tenth of the time."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from polycall.cli import main
from tests.harness import Server


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs commands with an environment of its own."""

    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *arguments: str, stdin: bytes | str = b"") -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = io.BytesIO(), io.BytesIO()
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
            patch.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", write_through=True))
            patch.setattr(sys, "stderr", io.TextIOWrapper(err, "utf-8", write_through=True))
            code = main(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            return Result(int(code), out.getvalue(), err.getvalue().decode())


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """The command line without any server, and without anything of polycall in the environment."""
    for name in [name for name in os.environ if name.startswith("POLYCALL_")]:
        monkeypatch.delenv(name)
    # paths of sockets have to be short, pytest's are not
    with tempfile.TemporaryDirectory(prefix="cli-") as share:
        monkeypatch.setenv("XDG_DATA_HOME", share)
        yield Cli(monkeypatch)


@pytest.fixture
def cli(alone: Cli, polycall: Server) -> Cli:
    """The command line beside the shared server, with its bootstrap key."""
    alone.monkeypatch.setenv("POLYCALL_SERVER", polycall.grpc)
    alone.monkeypatch.setenv("POLYCALL_API_KEY", polycall.key)
    return alone
