"""RuntimeService on a real server: builds in the sandbox, from PyPI and from an index of our own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import duration_pb2

from polycall.errors import Code
from polycall.v1 import execution_pb2, execution_service_pb2, package_pb2, package_service_pb2, tenancy_service_pb2
from polycall.v1.runtime_pb2 import Runtime, RuntimeRevision
from polycall.v1.runtime_service_pb2 import (
    CreateRuntimeRequest,
    CreateRuntimeRevisionRequest,
    DeleteRuntimeRequest,
    GetRuntimeRequest,
    GetRuntimeRevisionRequest,
    ListRuntimeRevisionsRequest,
    ListRuntimesRequest,
    WaitRuntimeRevisionRequest,
)
from tests.harness import Server, running_server, until
from tests.index import Index, running_index
from tests.integration.native import bad_fields, refusal

S = 60.0
READY, FAILED, PENDING = RuntimeRevision.STATE_READY, RuntimeRevision.STATE_FAILED, RuntimeRevision.STATE_PENDING
DEPLOYER = tenancy_service_pb2.ApiKey.SCOPE_DEPLOY
READER = tenancy_service_pb2.ApiKey.SCOPE_READ
RUNNER = tenancy_service_pb2.ApiKey.SCOPE_RUN


def fresh(prefix: str = "rt") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


class Client:
    """The service by short calls."""

    def __init__(self, server: Server, key: str | None = None) -> None:
        self.server = server
        self.metadata = [("authorization", f"Bearer {key}")] if key else server.metadata

    def do(self, request: Any) -> Any:
        method = type(request).__name__.removesuffix("Request")
        return getattr(self.server.runtimes, method)(request, metadata=self.metadata, timeout=S)

    def create(self, manifest: str | None = None, runtime_id: str = "", imports: str = "", **fields: Any) -> Any:
        revision = None
        if manifest is not None:
            revision = RuntimeRevision(manifest=manifest, additional_imports=imports)
        return self.do(CreateRuntimeRequest(runtime_id=runtime_id or fresh(), revision=revision, **fields))

    def revise(self, parent: str, manifest: str, imports: str = "", **fields: Any) -> Any:
        revision = RuntimeRevision(manifest=manifest, additional_imports=imports)
        return self.do(CreateRuntimeRevisionRequest(parent=parent, revision=revision, **fields))

    def built(self, name: str) -> Any:
        done = self.do(WaitRuntimeRevisionRequest(name=name, timeout=duration_pb2.Duration(seconds=55)))
        assert done.state in (READY, FAILED), done
        return done

    def execute(self, code: str, runtime: str, **fields: Any) -> Any:
        request = execution_service_pb2.ExecuteRequest(code=code, runtime=runtime, **fields)
        return self.server.executions.Execute(request, metadata=self.metadata, timeout=S)

    def value(self, code: str, runtime: str) -> Any:
        done = self.execute(code, runtime)
        assert done.state == execution_pb2.Execution.STATE_COMPLETED, done
        return json.loads(done.output_json)

    def deploy(self, package: str, code: str, runtime: str) -> Any:
        files = package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=code.encode())])
        request = package_service_pb2.CreateVersionRequest(
            parent=f"packages/{package}",
            version=package_pb2.Version(runtime=runtime),
            files=files,
            create_package=True,
        )
        return self.server.packages.CreateVersion(request, metadata=self.metadata, timeout=S)

    def run(self, package: str, function: str) -> Any:
        request = execution_service_pb2.RunFunctionRequest(
            function=f"packages/{package}/functions/{function}", input_json="{}"
        )
        return self.server.executions.RunFunction(request, metadata=self.metadata, timeout=S)


@pytest.fixture(scope="module")
def pypi(polycall: Server) -> Client:
    """The shared server, whose runtimes come from PyPI."""
    return Client(polycall)


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with running_index() as index:
        yield index


@pytest.fixture(scope="module")
def own(index: Index, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server whose runtimes come from our index."""
    index.add("shared", {"shared.py": "X = 1"})
    settings = {
        "POLYCALL_GATEWAY": "false",
        "POLYCALL_PYTHON_INDEX_URL": index.url,
        "POLYCALL_BUILD_QUEUE": "2",
    }
    with running_server(Path(tmp_path_factory.mktemp("runtimes")), **settings) as server:
        yield Client(server)


LOADED = "import sys\ndef execute(input): return sorted(n for n in ('six', 'idna') if n in sys.modules)"


def test_packages_of_pypi_are_built_and_found_imported(pypi: Client) -> None:
    made = pypi.create("six==1.17.0  # pinned\nidna>=2\n", runtime=Runtime(display_name="Two"))
    assert made.display_name == "Two"
    assert made.newest_revision.state in (PENDING, RuntimeRevision.STATE_BUILDING)
    built = pypi.built(made.newest_revision.name)
    assert (built.state, built.error, built.manifest_file) == (READY, "", "requirements.txt")
    assert "+ six==1.17.0" in built.log
    assert "Preloaded: idna, six." in built.log
    assert "/home" not in built.log
    assert list(built.preloaded) == ["idna", "six"]
    assert built.size_bytes > 100_000
    assert built.file_count > 20
    assert built.start_time.ToMilliseconds() <= built.end_time.ToMilliseconds()
    assert pypi.value(LOADED, made.name) == ["idna", "six"]
    assert pypi.value(LOADED, built.name) == ["idna", "six"]
    assert pypi.value("def execute(input): return __import__('six').__file__", made.name) == "/packages/six.py"
    failed = pypi.execute("import requests\ndef execute(input): return 1", made.name)
    assert failed.error.type == "ModuleNotFoundError"


def test_a_function_runs_on_the_revision_it_was_deployed_with(pypi: Client) -> None:
    made = pypi.create("six==1.16.0")
    pypi.built(made.newest_revision.name)
    package = fresh("p")
    code = "import six\ndef version(): return six.__version__"
    version = pypi.deploy(package, code, made.name)
    assert (version.state, version.runtime) == (package_pb2.Version.STATE_READY, made.newest_revision.name)
    newer = pypi.revise(made.name, "six==1.17.0")
    assert pypi.built(newer.name).state == READY
    assert pypi.run(package, "version").output_json == '"1.16.0"'
    assert pypi.value("import six\ndef execute(input): return six.__version__", made.name) == "1.17.0"
    used = refusal(lambda: pypi.do(DeleteRuntimeRequest(name=made.name)))
    assert (used.code, used.reason) == (Code.FAILED_PRECONDITION, "RUNTIME_IN_USE")
    assert used.message.startswith(f"{made.name} is used by packages/{package}/versions/1. ")
    pypi.do(DeleteRuntimeRequest(name=made.name, force=True))
    gone = refusal(lambda: pypi.do(GetRuntimeRequest(name=made.name)))
    assert (gone.code, gone.reason) == (Code.NOT_FOUND, "RUNTIME_NOT_FOUND")
    gone = refusal(lambda: pypi.run(package, "version"))
    assert (gone.code, gone.reason) == (Code.NOT_FOUND, "RUNTIME_NOT_FOUND")


def test_a_numpy_function_starts_from_a_process_that_has_it(pypi: Client) -> None:
    made = pypi.create("numpy", imports="import numpy.random as r")
    built = pypi.built(made.newest_revision.name)
    assert (built.state, list(built.preloaded)) == (READY, ["numpy.random", "numpy"])
    code = """
import sys
loaded = "numpy" in sys.modules
import numpy
def execute(input): return [loaded, int(numpy.arange(10).sum()), float(numpy.random.rand())]
"""
    values = [pypi.value(code, made.name) for _ in range(3)]
    assert [value[:2] for value in values] == [[True, 45]] * 3
    assert len({value[2] for value in values}) == 3  # the generator that numpy seeds at its import
    done = until(
        lambda: (run := pypi.execute(code, made.name)).start_kind == execution_pb2.Execution.START_KIND_FORKED and run,
        what="a process that waits",
    )
    assert json.loads(done.output_json)[0]


JAVASCRIPT = """
import isOdd from "is-odd";
import ms from "ms";
export function execute(input%s) { return [isOdd(input), ms("2 days")]; }
"""


def test_packages_of_npm_are_built_and_found_by_both_languages(pypi: Client) -> None:
    manifest = {"dependencies": {"is-odd": "3.0.1", "ms": "^2.1.0"}, "scripts": {"postinstall": "exit 1"}}
    made = pypi.create(json.dumps(manifest), runtime=Runtime(language="LANGUAGE_JAVASCRIPT"))
    built = pypi.built(made.newest_revision.name)
    assert (built.state, built.error, built.manifest_file) == (READY, "", "package.json")
    assert "is-odd 3.0.1" in built.log
    for language, types in (("LANGUAGE_JAVASCRIPT", ""), ("LANGUAGE_TYPESCRIPT", ": number")):
        done = pypi.execute(JAVASCRIPT % types, made.name, language=language, input_json="3")
        assert (done.output_json, done.error.message) == ("[true,172800000]", "")
    other = refusal(lambda: pypi.execute("def execute(input): return 1", made.name))
    assert other.message == f"{built.name} is a runtime of javascript; the code is python."
    failed = pypi.built(pypi.revise(made.name, '{"dependencies": {"is-odd": "999.0.0"}}').name)
    assert failed.state == FAILED
    assert failed.error.startswith("deno ended with status 1: ")


def test_a_build_that_fails_says_why_with_its_log(pypi: Client) -> None:
    made = pypi.create("six<0")
    failed = pypi.built(made.newest_revision.name)
    assert failed.state == FAILED
    assert failed.error.startswith("uv ended with status 1: ")
    assert "six<0" in failed.error
    assert "No solution found when resolving dependencies" in failed.log
    for runtime in (made.name, failed.name):
        refused = refusal(partial(pypi.execute, "def execute(input): return 1", runtime))
        assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "RUNTIME_MISSING")
        assert refused.message.startswith(f"{failed.name} is FAILED: uv ended")
        assert refused.metadata == {"runtime": failed.name, "state": "failed"}
    refused = refusal(lambda: pypi.deploy(fresh("p"), "def f(): return 1", made.name))
    assert refused.reason == "RUNTIME_MISSING"


def test_what_only_comes_as_source_is_not_built(pypi: Client) -> None:
    failed = pypi.built(pypi.create("uwsgi==2.0.20").newest_revision.name)
    assert failed.state == FAILED
    assert "no usable wheels" in failed.error


def test_more_builds_than_may_wait_are_refused_and_deleted_ones_make_room(own: Client, index: Index) -> None:
    index.held.add("holding")
    first = own.create("holding")
    until(lambda: "/simple/holding/" in index.asked, seconds=30, what="the build")
    running = own.do(GetRuntimeRevisionRequest(name=first.newest_revision.name))
    assert running.state == RuntimeRevision.STATE_BUILDING
    assert running.log.startswith(f"Building from {index.url}.")  # while it is written
    refused = refusal(lambda: own.execute("def execute(input): return 1", first.name))
    assert (refused.reason, refused.metadata["state"]) == ("RUNTIME_MISSING", "building")
    waiting = [own.create("shared") for _ in range(2)]
    full = refusal(lambda: own.create("shared"))
    assert (full.code, full.reason) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert full.message.startswith(
        "2 builds of runtimes are waiting, 2 of them of this project, which is the most (POLYCALL_BUILD_QUEUE)."
    )
    for made in (waiting[0], first):
        own.do(DeleteRuntimeRequest(name=made.name))
    assert own.built(waiting[1].newest_revision.name).state == READY  # long before the first's time is over


def test_a_build_that_was_interrupted_begins_anew_after_a_restart(index: Index, tmp_path: Path) -> None:
    index.add("again", {"again.py": "X = 1"})
    index.held.add("again")
    settings = {"POLYCALL_GATEWAY": "false", "POLYCALL_PYTHON_INDEX_URL": index.url}
    server = Server(tmp_path / "data", environment=settings).start()
    client = Client(server)
    made, waiting = client.create("again"), client.create("again # later")
    until(lambda: "/simple/again/" in index.asked, seconds=30, what="the build")
    below = server.descendants()
    server.kill()
    left = tmp_path / "data" / "runtimes" / "python-default-of-an-older-release"
    left.mkdir()
    until(lambda: not any(process.is_running() for process in below), what="the end of its processes")
    index.held.discard("again")
    index.released.set()
    index.released.clear()
    with running_server(tmp_path / "data", **settings) as second:
        client = Client(second)
        for runtime in (made, waiting):
            assert client.built(runtime.newest_revision.name).state == READY
        assert "interrupted" in second.log.read_text()
        names = [path.name for path in (tmp_path / "data" / "runtimes").iterdir()]
        assert not any(name.startswith(".unfinished") for name in names)
        assert not left.exists()
        # an environment that somebody removed is built again when it is missed
        digest = client.do(GetRuntimeRevisionRequest(name=made.newest_revision.name)).digest
        (tmp_path / "data" / "runtimes" / digest).rename(tmp_path / "gone")
        missing = refusal(lambda: client.execute("def execute(input): return 1", made.name))
        assert (missing.reason, missing.metadata["state"]) == ("RUNTIME_MISSING", "pending")
        assert client.built(made.newest_revision.name).state == READY
        assert client.value("import again\ndef execute(input): return again.X", made.name) == 1


def test_another_projects_runtimes_do_not_exist(own: Client, index: Index) -> None:
    made = own.create("shared", runtime_id="mine")
    own.built(made.newest_revision.name)
    other = Client(own.server, own.server.new_key(project="other", scopes=[DEPLOYER, READER, RUNNER]))
    revision = made.newest_revision.name
    for act in (
        lambda: other.do(GetRuntimeRequest(name=made.name)),
        lambda: other.do(DeleteRuntimeRequest(name=made.name, force=True)),
        lambda: other.do(GetRuntimeRevisionRequest(name=revision)),
        lambda: other.do(WaitRuntimeRevisionRequest(name=revision)),
        lambda: other.do(ListRuntimeRevisionsRequest(parent=made.name)),
        lambda: other.revise(made.name, "shared"),
        lambda: other.execute("def execute(input): return 1", revision),
        lambda: other.deploy(fresh("p"), "def f(): return 1", made.name),
    ):
        refused = refusal(act)
        assert (refused.code, refused.reason) == (Code.NOT_FOUND, "RUNTIME_NOT_FOUND")
    assert list(other.do(ListRuntimesRequest()).runtimes) == []
    theirs = other.create("shared", runtime_id="mine")  # ids are each project's own
    assert other.built(theirs.newest_revision.name).digest == own.built(revision).digest


def test_scopes_are_asked_for(own: Client) -> None:
    reader = Client(own.server, own.server.new_key(scopes=[READER]))
    deployer = Client(own.server, own.server.new_key(scopes=[DEPLOYER]))
    for act, scope in (
        (lambda: reader.create(), "deploy"),
        (lambda: reader.revise("runtimes/x", ""), "deploy"),
        (lambda: reader.do(DeleteRuntimeRequest(name="runtimes/x")), "deploy"),
        (lambda: deployer.do(GetRuntimeRequest(name="runtimes/x")), "read"),
        (lambda: deployer.do(ListRuntimesRequest()), "read"),
        (lambda: deployer.do(GetRuntimeRevisionRequest(name="runtimes/x/revisions/1")), "read"),
        (lambda: deployer.do(WaitRuntimeRevisionRequest(name="runtimes/x/revisions/1")), "read"),
        (lambda: deployer.do(ListRuntimeRevisionsRequest(parent="runtimes/x")), "read"),
    ):
        refused = refusal(act)
        assert (refused.code, refused.metadata) == (Code.PERMISSION_DENIED, {"scope": scope})


def test_what_is_wrong_is_named(own: Client) -> None:
    assert bad_fields(refusal(lambda: own.create("-r x", imports="a-b"))) == {
        "revision.manifest": "line 1: options are not allowed, the registry is the operator's: '-r x'",
        "revision.additional_imports": "must be modules or import statements, got 'a-b'",
    }
    assert set(bad_fields(refusal(lambda: own.create(runtime_id=".")))) == {"runtime_id"}
    assert set(bad_fields(refusal(lambda: own.revise("x", "")))) == {"parent"}
    assert set(bad_fields(refusal(lambda: own.execute("x", "numpy")))) == {"runtime"}
    wrong = refusal(lambda: own.create("six", imports="json", runtime=Runtime(language="LANGUAGE_JAVASCRIPT")))
    assert set(bad_fields(wrong)) == {"revision.manifest", "revision.additional_imports"}
    javascript = own.create(runtime=Runtime(language="LANGUAGE_TYPESCRIPT"))
    assert javascript.language == execution_pb2.LANGUAGE_JAVASCRIPT
    assert not javascript.HasField("newest_revision")
    missing = refusal(lambda: own.execute("def execute(input): return 1", javascript.name))
    assert (missing.code, missing.message) == (Code.NOT_FOUND, f"{javascript.name} has no revision yet.")


def test_checks_keep_nothing_and_repeats_give_the_first_answer(own: Client) -> None:
    name = fresh()
    checked = own.create("shared", runtime_id=name, validate_only=True)
    assert checked.newest_revision.state == PENDING
    token = str(uuid.uuid4())
    made = [own.create("shared", runtime_id=name, request_id=token) for _ in range(2)]
    assert made[0].name == made[1].name == f"runtimes/{name}"
    assert own.revise(made[0].name, "shared", validate_only=True).name.startswith(f"runtimes/{name}/revisions/")
    revised = [own.revise(made[0].name, "shared", request_id=token, revision_id=fresh("v")) for _ in range(2)]
    assert revised[0].name == revised[1].name
    own.built(revised[0].name)
    listed = own.do(ListRuntimeRevisionsRequest(parent=made[0].name, page_size=1))
    assert ([r.name for r in listed.revisions], listed.revisions[0].log) == ([revised[0].name], "")
    rest = own.do(ListRuntimeRevisionsRequest(parent=made[0].name, page_size=5, page_token=listed.next_page_token))
    assert [r.name for r in rest.revisions] == [made[0].newest_revision.name]
    assert own.do(GetRuntimeRevisionRequest(name=f"{made[0].name}/revisions/-")).name == revised[0].name
    taken = refusal(lambda: own.create(runtime_id=name))
    assert (taken.code, taken.reason) == (Code.ALREADY_EXISTS, "ALREADY_EXISTS")
