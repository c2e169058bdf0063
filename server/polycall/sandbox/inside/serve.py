"""A child's whole life after it locked itself in: take a program, answer calls, end."""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import io
import json
import marshal
import os
import resource
import site
import sys
import threading
import traceback
import types
from dataclasses import dataclass
from typing import Any, NoReturn

from polycall.sandbox.inside import UserFailure
from polycall.sandbox.inside.ask import Asking
from polycall.sandbox.inside.call import await_if_needed, bind
from polycall.sandbox.inside.encode import NotSerializable, encode
from polycall.sandbox.inside.program import EntrypointNotFound, Program, place
from polycall.sandbox.inside.report import describe
from polycall.sandbox.inside.wire import Connection
from polycall.sandbox.layout import NAMESPACED, Layout

__all__ = ["Baseline", "main", "prepare"]

_PATH = "/usr/local/bin:/usr/bin:/bin"
_FAILED = 1
_EMPTY = memoryview(b"{}")
# What reporting a MemoryError takes: at once, and beyond the limit that brought it. The first is below the size from
# which malloc asks the kernel for every block (128 KiB, mallopt(3)).
_SPARE, _RESERVE = 96 << 10, 4 << 20


def prepare() -> None:
    """Do, in the zygote, what is the same for every child. Nothing of this package is imported after this."""
    home = NAMESPACED.temporary  # where each child has a directory of its own, it says so itself
    os.environ.clear()
    os.environ.update(PATH=_PATH, HOME=home, TMPDIR=home, LANG="C.UTF-8")
    # -S left these out; programs use exit() and friends
    site.setquit()
    site.setcopyright()
    site.sethelper()
    sys.dont_write_bytecode = True
    sys.path[:] = [path for path in sys.path if os.path.isdir(path) and not _is_ours(path)]
    sys.argv = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    # a program may have a module of our name
    for name in [name for name in sys.modules if name.partition(".")[0] == "polycall"]:
        del sys.modules[name]
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
        self._asking = Asking(connection)
        self._layout = layout
        self._baseline = baseline
        self._program: Program | None = None
        self._broken: BaseException | None = None  # why there is no program
        self._placed: list[str] = []
        self._spare = bytes(_SPARE)
        self._streams = [_identity(fd) for fd in (1, 2)]
        self._nothing = sys.stdin, _identity(0)  # an empty stdin and what is behind it

    def load(self, header: dict[str, Any], payload: memoryview) -> None:
        """Take the program and the limits that hold for the rest of this process."""
        _lower(resource.RLIMIT_NOFILE, header["open_files"])
        _lower(resource.RLIMIT_DATA, self._baseline.data + header["memory"], _RESERVE)
        if header["processes"] is not None:
            _lower(resource.RLIMIT_NPROC, header["processes"])
        if header["bound_address_space"]:
            _lower(resource.RLIMIT_AS, self._baseline.address_space + header["memory"], _RESERVE)
        os.environ.update(header["env"])
        files, rest = _split(header["files"], payload)
        try:
            adapter = _adapter(header, rest) if header["adapter"] else None
            self._program = Program(self._layout, files, adapter, self._asking.ask)
        except BaseException as error:
            self._broken = error

    def call(self, header: dict[str, Any], payload: memoryview) -> None:
        """Run once and send what came of it, unless the process ends on the way."""
        parts, rest = _split(header["parts"], payload)
        self._asking.begin(header["nonce"])
        if header["convention"] == "script":
            self._run_script(header, parts, rest)
        try:
            kind, body = self._answer(self._ready(header, parts, rest), header, parts)
        except EntrypointNotFound as error:
            kind, body = "missing", _missing(error)
        except NotSerializable as error:
            kind, body = "unserializable", str(error).encode("utf-8", "backslashreplace")
        except UserFailure as error:
            kind, body = "raised", self._describe(error.cause)
        except SystemExit as error:
            _leave(error)
        except BaseException as error:
            kind, body = "raised", self._describe(error)
        _flush()
        if kind in ("raised", "missing"):
            # as python would: the traceback ends stderr
            _write_all(2, json.loads(body)["traceback"].encode())
        odd = [_identity(fd) for fd in (1, 2)] != self._streams
        self._connection.send({"kind": kind, "nonce": header["nonce"], "odd": odd}, body)

    def _ready(self, header: dict[str, Any], parts: dict[str, memoryview], rest: memoryview) -> Program:
        """Lay out what comes with a call and return the program. Raises what kept it from being loaded."""
        for path in self._placed:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._layout.work, path))
        os.chdir(self._layout.work)
        files, _ = _split(header["files"], rest)
        self._placed = list(files)
        for path, data in files.items():
            place(self._layout.work, path, data, 0o444)
        stdin, null = self._nothing
        if parts["stdin"] or sys.stdin is not stdin or stdin.closed or _identity(0) != null:
            _set_stdin(parts["stdin"], self._layout)
        if self._program is None:
            raise self._broken or RuntimeError("there is no program")
        return self._program

    def _answer(self, program: Program, header: dict[str, Any], parts: dict[str, memoryview]) -> tuple[str, bytes]:
        options = _parsed(parts["options"])
        convention = header["convention"]
        function = program.function(header["entrypoint"], options, postponed=convention == "handle")
        if header["load_only"]:
            return "result", b"null"
        value = _parsed(parts["payload"])
        if hasattr(program.adapter, "bind"):
            arguments, keywords = program.adapter.bind(function, value, options)
        else:
            context = _parsed(parts["context"])
            arguments, keywords = bind(convention, function, value, header["parameters"], context)
        body = encode(await_if_needed(function(*arguments, **keywords)), program.adapter, options)
        if len(body) > header["result_bytes"]:
            return "too_large", str(len(body)).encode()
        return "result", body

    def _describe(self, error: BaseException) -> bytes:
        if isinstance(error, MemoryError):
            self._spare = b""  # first what can be had without asking for more: the next step needs some bytes
            _raise_to_most()
            traceback.clear_frames(error.__traceback__)
        return json.dumps(describe(error, self._layout.code)).encode()

    def _run_script(self, header: dict[str, Any], parts: dict[str, memoryview], rest: memoryview) -> NoReturn:
        """Run as ``python file`` does, to the end of the process: how it ended is known from the kernel."""
        status = 0
        try:
            program = self._ready(header, parts, rest)
            try:
                program.run_script(header["entrypoint"], header["args"])
            finally:
                # threads are waited for, then what was registered is called
                threading._shutdown()  # type: ignore[attr-defined]
                atexit._run_exitfuncs()
        except SystemExit as error:
            _leave(error)
        except BaseException as error:
            status = _FAILED
            body = _missing(error) if isinstance(error, EntrypointNotFound) else self._describe(error)
            _flush()
            _write_all(2, json.loads(body)["traceback"].encode())
            if isinstance(error, MemoryError):
                # the one thing that an exit code does not tell
                self._connection.send({"kind": "raised", "nonce": header["nonce"]}, body)
        _flush()
        os._exit(status)


def _rehearse(layout: Layout) -> None:
    """Go the way of a run once, with a program that does nothing, and leave no trace.

    The pages that a run touches are the zygote's until they are touched; copying them now, while the child waits,
    takes the better part of a millisecond off the run.
    """
    source = b"def execute(input):\n    return input\n"
    before, path = len(sys.modules), list(sys.path)
    program = Program(layout, {"rehearsal.py": memoryview(source)}, None, _unasked)
    function = program.function("rehearsal:execute", _parsed(memoryview(b"{}")), postponed=False)
    value = _parsed(memoryview(b'{"n": [1, 2.5, "x", null]}'))
    arguments, keywords = bind("input", function, value, [], {})
    encode(await_if_needed(function(*arguments, **keywords)), None, {})
    _set_stdin(memoryview(b""), layout)
    os.unlink(os.path.join(layout.code, "rehearsal.py"))
    sys.path[:] = path
    # its finder stays, as it takes a while to be found; what it has seen is forgotten
    sys.path_importer_cache[layout.code].invalidate_caches()  # type: ignore[union-attr]
    while len(sys.modules) > before:
        sys.modules.popitem()  # the newest; to look at all their names would copy a hundred pages


def _adapter(header: dict[str, Any], sent: memoryview) -> types.CodeType:
    """Return an adapter's code: as the server compiled it, or compiled here if that is another interpreter."""
    length = header["compiled"]
    if header["magic"] == importlib.util.MAGIC_NUMBER.hex():
        code: types.CodeType = marshal.loads(sent[:length])  # noqa: S302  the server made it
        return code
    return compile(bytes(sent[length:]).decode(), "polycall-adapter", "exec", dont_inherit=True)


def _unasked(method: str, value: Any) -> NoReturn:
    raise AssertionError(method)


def main(job_fd: int, layout: Layout, baseline: Baseline, laps: dict[str, int]) -> NoReturn:
    """Serve until the server hangs up."""
    if os.environ["HOME"] != layout.temporary:
        os.environ.update(HOME=layout.temporary, TMPDIR=layout.temporary)
    _rehearse(layout)
    if (random := sys.modules.get("numpy.random")) is not None:
        # its old generator is seeded at the import, which was the zygote's: every run would have the same numbers.
        # Numpy itself imports it when it is first used, which takes 25 ms: not for the sake of those who never do.
        with contextlib.suppress(Exception):
            random.seed()
    connection = Connection(job_fd)
    server = Server(connection, layout, baseline)
    connection.send({"kind": "ready", "laps": laps})
    while (frame := connection.receive()) is not None:
        header, payload = frame
        if header["op"] == "load":
            server.load(header, payload)
        elif header["op"] == "call":  # else an answer to a question whose asker did not wait for it
            server.call(header, payload)
    os._exit(0)


def _split(sizes: list[tuple[str, int]], payload: memoryview) -> tuple[dict[str, memoryview], memoryview]:
    parts = {}
    for name, size in sizes:
        parts[name] = payload[:size]
        payload = payload[size:]
    return parts, payload


def _parsed(text: memoryview) -> Any:
    if text == _EMPTY:  # as options and context mostly are: to parse both takes 4 µs of the 120 of a small call
        return {}
    return json.loads(str(text, "utf-8"))  # of bytes it would guess the encoding first


def _lower(kind: int, value: int, reserve: int = 0) -> None:
    _, most = resource.getrlimit(kind)
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value + reserve))


def _raise_to_most() -> None:
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
        _, most = resource.getrlimit(kind)
        resource.setrlimit(kind, (most, most))


def _set_stdin(data: memoryview, layout: Layout) -> None:
    # a file, not a pipe: nobody has to feed it, and it ends by itself
    fd = os.open("/dev/null", os.O_RDONLY)
    if data:
        with open(os.path.join(layout.temporary, ".stdin"), "w+b") as stream:
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
    for stream, original in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)):
        with contextlib.suppress(BaseException):
            stream.flush()
        if original is not stream:
            with contextlib.suppress(BaseException):
                original.flush()  # type: ignore[union-attr]


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
