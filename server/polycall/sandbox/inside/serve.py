"""A child's whole life after it locked itself in: take a program, answer calls, end."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import resource
import site
import sys
import threading
from dataclasses import dataclass
from typing import Any, NoReturn

from polycall.sandbox.inside import UserFailure, call, encode, report
from polycall.sandbox.inside.program import EntrypointNotFound, Program, place
from polycall.sandbox.inside.wire import Connection
from polycall.sandbox.layout import Layout

__all__ = ["Baseline", "main", "prepare"]

_PATH = "/usr/local/bin:/usr/bin:/bin"
_FAILED = 1


def prepare() -> None:
    """Do, in the zygote, what is the same for every child."""
    # -S left these out; programs use exit() and friends
    site.setquit()
    site.setcopyright()
    site.sethelper()
    sys.dont_write_bytecode = True
    sys.path[:] = [path for path in sys.path if os.path.isdir(path) and not _is_ours(path)]
    sys.argv = [""]
    # a run that is killed keeps what it printed, and who follows a run sees lines as they are printed
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr]


def _is_ours(path: str) -> bool:
    return os.path.exists(os.path.join(path, "polycall", "sandbox", "zygote.py"))


@dataclass(frozen=True, slots=True)
class Baseline:
    """Bytes that a child has from its zygote, before it runs anything; memory limits count from here."""

    data: int
    address_space: int


class Server:
    """Answers the calls of one program."""

    def __init__(self, connection: Connection, layout: Layout, baseline: Baseline) -> None:
        self._connection = connection
        self._layout = layout
        self._baseline = baseline
        self._program: Program | None = None
        self._placed: list[str] = []
        self._streams = [_identity(fd) for fd in (1, 2)]

    def load(self, header: dict[str, Any], payload: memoryview) -> None:
        """Take the program and the limits that hold for the rest of this process."""
        _lower(resource.RLIMIT_NOFILE, header["open_files"])
        _lower(resource.RLIMIT_DATA, self._baseline.data + header["memory"])
        if header["processes"] is not None:
            _lower(resource.RLIMIT_NPROC, header["processes"])
        if header["bound_address_space"]:
            _lower(resource.RLIMIT_AS, self._baseline.address_space + header["memory"])
        os.environ.clear()
        os.environ.update(
            PATH=_PATH, HOME=self._layout.temporary, TMPDIR=self._layout.temporary, LANG="C.UTF-8", **header["env"]
        )
        files, rest = _split(header["files"], payload)
        adapter = bytes(rest).decode() if header["adapter"] else None
        self._program = Program(self._layout, files, adapter)

    def call(self, header: dict[str, Any], payload: memoryview) -> None:
        """Run once and send what came of it, unless the process ends on the way."""
        assert self._program is not None  # noqa: S101
        parts, rest = _split(header["parts"], payload)
        self._place_files(header["files"], rest)
        _set_stdin(parts["stdin"])
        if header["convention"] == "script":
            self._run_script(header)
        kind, body = self._answer(header, parts)
        _flush()
        if kind in ("raised", "missing"):
            # as python would: the traceback ends stderr
            _write_all(2, json.loads(body)["traceback"].encode())
        odd = [_identity(fd) for fd in (1, 2)] != self._streams
        self._connection.send({"kind": kind, "nonce": header["nonce"], "odd": odd}, body)

    def _answer(self, header: dict[str, Any], parts: dict[str, memoryview]) -> tuple[str, bytes]:
        program = self._program
        assert program is not None  # noqa: S101
        try:
            options = json.loads(bytes(parts["options"]))
            postponed = header["convention"] == "handle"
            function = program.function(header["entrypoint"], options, postponed=postponed)
            value = json.loads(bytes(parts["payload"]))
            if hasattr(program.adapter, "bind"):
                arguments, keywords = program.adapter.bind(function, value, options)
            else:
                context = json.loads(bytes(parts["context"]))
                arguments, keywords = call.bind(header["convention"], function, value, header["parameters"], context)
            result = call.await_if_needed(function(*arguments, **keywords))
            body = encode.encode(result, program.adapter, options)
        except EntrypointNotFound as error:
            return "missing", _missing(error)
        except encode.NotSerializable as error:
            _flush()
            return "unserializable", str(error).encode("utf-8", "backslashreplace")
        except UserFailure as error:
            return "raised", self._describe(error.cause)
        except SystemExit as error:
            _leave(error)
        except BaseException as error:
            return "raised", self._describe(error)
        if len(body) > header["result_bytes"]:
            return "too_large", str(len(body)).encode()
        return "result", body

    def _describe(self, error: BaseException) -> bytes:
        return json.dumps(report.describe(error, self._layout.code)).encode()

    def _run_script(self, header: dict[str, Any]) -> NoReturn:
        program = self._program
        assert program is not None  # noqa: S101
        status = 0
        try:
            try:
                program.run_script(header["entrypoint"], header["args"])
            finally:
                # as the end of a program does it: threads are waited for, then what was registered is called
                threading._shutdown()  # type: ignore[attr-defined]
                atexit._run_exitfuncs()
        except SystemExit as error:
            _leave(error)
        except EntrypointNotFound as error:
            _write_all(2, f"{error}\n".encode())
            status = _FAILED
        except BaseException as error:
            _flush()
            _write_all(2, report.describe(error, self._layout.code)["traceback"].encode())
            status = _FAILED
        _flush()
        os._exit(status)

    def _place_files(self, sizes: list[tuple[str, int]], payload: memoryview) -> None:
        for path in self._placed:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._layout.work, path))
        os.chdir(self._layout.work)
        files, _ = _split(sizes, payload)
        for path, data in files.items():
            place(self._layout.work, path, data, 0o444)
        self._placed = list(files)


def main(job_fd: int, layout: Layout, baseline: Baseline, laps: dict[str, int]) -> NoReturn:
    """Serve until the server hangs up."""
    os.environ.clear()
    connection = Connection(job_fd)
    server = Server(connection, layout, baseline)
    connection.send({"kind": "ready", "laps": laps})
    while (frame := connection.receive()) is not None:
        header, payload = frame
        if header["op"] == "load":
            server.load(header, payload)
        else:
            server.call(header, payload)
    os._exit(0)


def _split(sizes: list[tuple[str, int]], payload: memoryview) -> tuple[dict[str, memoryview], memoryview]:
    parts = {}
    for name, size in sizes:
        parts[name] = payload[:size]
        payload = payload[size:]
    return parts, payload


def _lower(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value))


def _set_stdin(data: memoryview) -> None:
    # a file, not a pipe: nobody has to feed it, and it ends by itself
    fd = os.open("/dev/null", os.O_RDONLY)
    if data:
        with open(os.path.join(os.environ["TMPDIR"], ".stdin"), "w+b") as stream:
            os.unlink(stream.name)
            stream.write(data)
            stream.seek(0)
            os.close(fd)
            fd = os.dup(stream.fileno())
    os.dup2(fd, 0)
    os.close(fd)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(BaseException):
            stream.flush()  # type: ignore[union-attr]


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    with contextlib.suppress(OSError):
        while view:
            view = view[os.write(fd, view) :]


def _missing(error: EntrypointNotFound) -> bytes:
    message = str(error)
    text = f"{error.kind}: {message}\n"
    return json.dumps({"type": error.kind, "module": "builtins", "message": message, "traceback": text}).encode()


def _leave(error: SystemExit) -> NoReturn:
    code = error.code
    if code is None:
        status = 0
    elif isinstance(code, int):
        status = code & 0xFF
    else:
        with contextlib.suppress(BaseException):
            print(code, file=sys.stderr)
        status = _FAILED
    _flush()
    os._exit(status)
