"""Where hostile programs are tried: at every level that the machine can give, as root and as an ordinary user."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import site
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polycall
from polycall.domain import EgressPolicy, EgressRule, InputFile, IsolationLevel, Language
from polycall.errors import RuntimeMissing
from polycall.sandbox.image import image_of
from polycall.sandbox.job import Job, Outcome
from polycall.sandbox.syscalls import numbers
from tests.sandbox.hostile.agent import PROCESSES, UID_BASE, receive, send
from tests.sandbox.hostile.catalogue import Program
from tests.sandbox.hostile.traces import Process, Traces, below, processes, traces
from tests.sandbox.programs import cgroups, job, key, limits
from tests.sandbox.services import ASKING

__all__ = ["ORDINARY", "SANDBOX_UIDS", "Place", "Site", "names", "opened"]

# Nobody's: with processes of its own, the user of other tests would look as if they were left over.
ORDINARY = 61_234
SANDBOX_UIDS = range(UID_BASE, UID_BASE + 65536)
_LEVELS = {"contained": 3, "namespaced": 2, "confined": 1, "process": 0}
# A Deno takes a hundred times as long to start as a fork: one place of each level, root's and an ordinary user's in turn.
_WITH_DENO = ("root, contained", "user, namespaced", "root, confined", "user, process")
_ANSWER_S = 60.0  # a bound for a loaded machine
_STEP_S = 0.02
# A Deno that was started takes some 0.2 s to open its files, on a busy machine several times that.
_REST_S = 1.5

_MAIN = {Language.PYTHON: "main.py", Language.JAVASCRIPT: "main.js", Language.TYPESCRIPT: "main.ts"}

# Does what every run may expect, and holds the other project's secret in its environment, memory and files.
NEIGHBOUR = """
    import os, sys, tempfile
    calls = []
    def execute(input):
        secret = os.environ['NEIGHBOURS_SECRET']
        calls.append(secret)
        if len(calls) == 1:
            for folder in ('.', tempfile.gettempdir()):
                with open(os.path.join(folder, 'theirs'), 'w') as stream:
                    stream.write(secret)
        print('call', input)
        kept = open('theirs').read() == open(os.path.join(tempfile.gettempdir(), 'theirs')).read() == secret
        return [input, len(calls), kept, calls == [secret] * len(calls)]
"""
# What any run may rely on, whatever ran before it.
HONEST = """
    import json, os, sys, tempfile, threading
    def execute(input):
        print('out', input)
        print('err', input, file=sys.stderr)
        with open('mine', 'w') as stream:
            stream.write(str(input))
        return [input, open('mine').read(), os.listdir('.'), os.listdir(tempfile.gettempdir()),
                threading.active_count(), sorted(set(os.environ) - {'PATH', 'HOME', 'TMPDIR', 'LANG'})]
"""


# Has the server look up a name: it does so in a thread that stays.
LOOKUP = """
    import urllib.request
    def execute(input):
        try: urllib.request.urlopen('http://nowhere.invalid/')
        except OSError: pass
"""
HONEST_JS = """
    function execute(input) {
      console.log('out', input)
      Deno.writeTextFileSync('mine', String(input))
      const listed = (path) => [...Deno.readDirSync(path)].map((entry) => entry.name).filter((name) => !['.stdin', '.deno'].includes(name))
      return [input, Deno.readTextFileSync('mine'), listed('.'), listed(Deno.env.get('TMPDIR')), typeof globalThis.leaked]
    }
"""


@dataclass(frozen=True)
class Site:
    """What a server has beside it and in it that nobody in a sandbox may get at."""

    folder: Path
    secret: str

    @property
    def data(self) -> Path:
        """The data directory, of its user only."""
        return self.folder / "data"

    @property
    def open_file(self) -> Path:
        """A file with the secret that everybody on the host may read and write."""
        return self.folder / "beside"

    @property
    def socket(self) -> Path:
        """The server's own socket, which everybody on the host may connect to."""
        return self.folder / "socket"

    @property
    def abstract(self) -> str:
        """An abstract socket of the host."""
        return f"\0{self.folder.parent.name}-{self.folder.name}"


class Place:
    """One server's sandbox, its site, and the process that talks to it."""

    def __init__(self, name: str, level: IsolationLevel, uid: int, own: Site, everybodys: Path) -> None:
        self.name = name
        self.level = level
        self._site = own
        self._numbers = iter(range(1 << 30))
        near, far = socket.socketpair()
        near.settimeout(_ANSWER_S)
        self._connection = near
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": ":".join(map(str, (everybodys, Path(__file__).parents[3], *site.getsitepackages()))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "POLYCALL_BOOTSTRAP_KEY": own.secret,
        }
        with far:
            interpreter = readable_interpreter() if uid else None
            self._process = subprocess.Popen(
                [
                    interpreter or sys.executable,
                    "-m",
                    "tests.sandbox.hostile.agent",
                    f"{far.fileno()}",
                    f"{level}",
                    f"{uid}",
                    # not where the interpreter of an ordinary user would look for it
                    os.path.join(sysconfig.get_path("scripts"), "deno"),
                ],
                env=environment,
                pass_fds=[far.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._before: Traces | None = None
        self.languages = frozenset([Language.PYTHON])

    def ready(self) -> None:
        """Wait until it serves, let it make all that it makes once, and remember how it looks."""
        assert receive(self._connection) == self.level
        self._groups = cgroups(self.pid)
        # every slot is used once, and the neighbour moves in
        for outcome in self.run(*(job(HONEST, number) for number in range(PROCESSES))):
            assert outcome.value is not None, outcome
        self._calls = 0
        if self.level >= IsolationLevel.NAMESPACED:
            # from now on a process that has a way out waits too
            self.run(job(LOOKUP, egress=EgressPolicy(rules=(EgressRule(host="nowhere.invalid"),))))
        if self.name in _WITH_DENO:
            with contextlib.suppress(RuntimeMissing):
                # from now on one of its processes waits
                self.run(job({"main.js": HONEST_JS}, 0, **_language(Language.JAVASCRIPT)))
                self.languages = frozenset(_MAIN)
        self.next_runs_are_right()
        neighbours = [pid for pid in below(self.pid, processes()) if self._is_neighbour(pid)]
        assert len(neighbours) == 1
        self.neighbour = neighbours[0]
        directory = Path(os.readlink(f"/proc/{self.neighbour}/cwd")) if self.level < 2 else None
        self._work = directory.parents[1] if directory is not None else None
        self.theirs = [f"/proc/{self.neighbour}/cwd/theirs", *([f"{directory}/theirs"] if directory else [])]
        self._before = None

    def remember(self) -> None:
        """Take what there is of it now for how it has to look."""
        self._before = self.look(processes())

    def _is_neighbour(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return "theirs" in os.listdir(f"/proc/{pid}/cwd")
        return False

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    # running

    def run(self, *jobs: Job, retired: Sequence[tuple[str, str]] = ()) -> list[Outcome]:
        """Run jobs at the same time; then end the idle workers of some packages."""
        send(self._connection, (jobs, retired))
        outcomes: list[Outcome] = []
        for outcome in receive(self._connection):
            if isinstance(outcome, BaseException):
                raise outcome
            self._has_no_secret(outcome)
            outcomes.append(outcome)
        return outcomes

    def _has_no_secret(self, outcome: Outcome) -> None:
        """Nothing that a run brings out holds what was planted, at the levels that promise it."""
        if self.level > IsolationLevel.PROCESS:
            assert self._site.secret not in repr(outcome), outcome

    def attack(self, program: Program, family: Sequence[int]) -> list[Outcome]:
        """Run a program; if it is one for a warm worker, its version is called twice.

        ``family``: the processes below the server, to be reached for.
        """
        rules = tuple(EgressRule(host=host) for host in program.hosts)
        changes: dict[str, Any] = {
            "egress": EgressPolicy(rules=rules) if rules else None,
            "limits": limits(**program.limits),
            **_language(program.language),
            "files": tuple(InputFile(path, b"given") for path in program.files),
            **(ASKING if program.asks else {}),
        }
        file = _MAIN[program.language]
        files = {file: program.code}
        if not program.warm:
            return self.run(job(files, self._targets(program, family, 1), **changes))
        changes["key"] = key(package="attacker", version=program.name)
        first = self.run(job(files, self._targets(program, family, 1), **changes))
        return first + self.run(job(files, self._targets(program, family, 2), **changes), retired=[("p", "attacker")])

    def _targets(self, program: Program, family: Sequence[int], call: int) -> dict[str, Any]:
        site = self._site
        return {
            "call": call,
            "level": int(self.level),
            "server": self.pid,
            "neighbour": self.neighbour,
            "family": sorted(family),
            "files": [str(path) for path in (site.open_file, site.data / "bootstrap.key", site.data / "polycall.db")],
            "folders": [str(site.folder), str(site.data), *([str(self._work)] if self._work else [])],
            "theirs": self.theirs,
            "socket": str(site.socket),
            "abstract": site.abstract,
            "port": self.port,
            "ordinary": ORDINARY,
            "groups": sorted(self._groups),
            "numbers": numbers(),
            **program.input,
        }

    port = 0

    def next_runs_are_right(self, language: Language = Language.PYTHON) -> None:
        """Run honest code of this project and of another one, in a fresh process and in its warm worker.

        With another language, in that too.
        """
        number = next(self._numbers)
        self._calls += 1
        theirs = job(
            NEIGHBOUR,
            number,
            key=key(project="theirs", package="neighbour"),
            env={"NEIGHBOURS_SECRET": self._site.secret},
        )
        jobs = [job(HONEST, number), theirs]
        if language is not Language.PYTHON:
            jobs.append(job({"main.js": HONEST_JS}, number, **_language(Language.JAVASCRIPT)))
        fresh, neighbour, *others = self.run(*jobs)
        for other in others:
            assert json.loads(other.value or b"null") == [number, f"{number}", ["mine"], [], "undefined"], other
            assert other.stdout == b"out %d\n" % number, other
        expected = [number, str(number), ["mine"], [], 1, []]
        assert (json.loads(fresh.value or b"null"), fresh.stdout, fresh.stderr) == (
            expected,
            b"out %d\n" % number,
            b"err %d\n" % number,
        ), fresh
        assert json.loads(neighbour.value or b"null") == [number, self._calls, True, True], neighbour
        assert neighbour.stdout == b"call %d\n" % number

    # looking

    def look(self, table: dict[int, Process]) -> Traces:
        """See what there is of it now."""
        return traces(
            self.pid,
            table,
            namespaces=self.level >= IsolationLevel.NAMESPACED,
            folder=self._site.folder,
            work=self._work,
            groups=self._groups,
        )

    def difference(self, table: dict[int, Process]) -> list[str]:
        """Return what is not as it was."""
        now = self.look(table)
        if self._before is None:
            return [f"{self.name} was never looked at"]
        return [
            f"{self.name}: {name} was {getattr(self._before, name)}, is {getattr(now, name)}"
            for name in Traces.__dataclass_fields__
            if getattr(self._before, name) != getattr(now, name)
        ]

    def close(self) -> None:
        """End the server; it must end by itself."""
        self._connection.close()
        assert self._process.wait(_ANSWER_S) == 0


def _language(language: Language) -> dict[str, Any]:
    entrypoint = f"{_MAIN[language].removesuffix('.py')}:execute"
    return {"language": language, "image": image_of(language), "entrypoint": entrypoint}


def names() -> Iterator[tuple[str, IsolationLevel, int]]:
    """Yield name, level and user of every place that this machine can have."""
    for word, level in _LEVELS.items():
        if os.geteuid() == 0:
            yield f"root, {word}", IsolationLevel(level), 0
            if level < IsolationLevel.CONTAINED and readable_interpreter():
                yield f"user, {word}", IsolationLevel(level), ORDINARY
        else:
            yield f"user, {word}", IsolationLevel(level), 0


@contextlib.contextmanager
def opened() -> Iterator[list[Place]]:
    """Start all places, and the sites that go with them; end them afterwards."""
    with contextlib.ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="polycall-hostile-")))
        root.chmod(0o755)
        everybodys = root / "code"
        copy_for_everybody(everybodys)
        places = []
        for name, level, uid in names():
            site = Site(root / re.sub(r"\W+", "-", name), f"polycall-planted-{secrets.token_hex(16)}")
            port = stack.enter_context(_planted(site, uid))
            place = Place(name, level, uid, site, everybodys)
            place.port = port
            stack.callback(place.close)
            places.append(place)
        for place in places:
            place.ready()
        _come_to_rest(places)
        yield places


def _come_to_rest(places: Sequence[Place]) -> None:
    since = time.monotonic()
    deadline = since + _ANSWER_S
    while time.monotonic() - since < _REST_S:
        assert time.monotonic() < deadline
        time.sleep(_STEP_S)
        table = processes()
        if any(place.difference(table) for place in places):
            since = time.monotonic()
            for place in places:
                place.remember()


@contextlib.contextmanager
def _planted(site: Site, uid: int) -> Iterator[int]:
    """Lay out a site; yield the port of a listener on loopback."""
    site.data.mkdir(parents=True)
    for path, mode in (
        (site.open_file, 0o666),
        (site.data / "bootstrap.key", 0o600),
        (site.data / "polycall.db", 0o600),
    ):
        path.write_text(site.secret)
        path.chmod(mode)
    site.folder.chmod(0o755)
    site.data.chmod(0o700)
    with contextlib.ExitStack() as stack:
        for address in (str(site.socket), site.abstract):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
        site.socket.chmod(0o777)
        if uid:
            for path in (site.folder, *site.folder.rglob("*")):
                os.chown(path, uid, uid)
        yield stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]


def copy_for_everybody(root: Path) -> None:
    """Copy our code to where an ordinary user may read it: a checkout may lie in a private home."""
    package = Path(polycall.__file__).parent
    shutil.copytree(package, root / "polycall", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def readable_interpreter() -> str | None:
    """Return a Python that ordinary users may run, of the version that our packages are built for."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    for candidate in (base, *(shutil.which(name, path=path) for path in ("/usr/bin", "/usr/local/bin"))):
        if candidate is None:
            continue
        with contextlib.suppress(PermissionError, subprocess.CalledProcessError):
            # a copied binary may run where the installation that it belongs to, which the sandbox uses, may not
            check = [candidate, "-c", "import os, sys; sys.exit(not os.access(sys._base_executable, os.X_OK))"]
            subprocess.run(check, user=ORDINARY, group=ORDINARY, cwd="/", capture_output=True, check=True)
            return os.path.realpath(candidate)
    return None
