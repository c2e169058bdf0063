"""Two servers on one PostgreSQL: what one has built the other runs on, without building, with no index there."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf import duration_pb2

from polycall.v1 import execution_pb2, execution_service_pb2, package_pb2, package_service_pb2
from polycall.v1.runtime_pb2 import RuntimeRevision
from polycall.v1.runtime_service_pb2 import CreateRuntimeRequest, WaitRuntimeRevisionRequest
from tests.harness import Server, until
from tests.index import Index, running_index

SOURCE = b"""import shared
def where(n): return [shared.X + n, shared.__file__]
def large(n): return "x" * n
"""


class Pair:
    """Two servers and the index that both build from, until it is closed."""

    def __init__(self, url: str, index: Index, root: Path) -> None:
        settings = {
            "POLYCALL_DATABASE_URL": url,
            "POLYCALL_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
            "POLYCALL_HEARTBEAT_S": "0.5",
            "POLYCALL_LEASE_S": "5",
            "POLYCALL_GATEWAY": "false",
            "POLYCALL_PYTHON_INDEX_URL": index.url,
            "POLYCALL_OBJECT_STORE_URL": f"file://{root}/objects",
            "POLYCALL_OBJECT_THRESHOLD_KIB": "32",
        }
        self.objects = root / "objects"
        self.first, self.second = (Server(root / name, environment=settings) for name in ("first", "second"))


@pytest.fixture
def pair(postgres: str, tmp_path: Path) -> Iterator[tuple[Pair, Index]]:
    url = sa.make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
    with running_index() as index:
        pair = Pair(url, index, tmp_path)
        servers = (pair.first, pair.second)
        try:
            for server in servers:
                server.start()
            yield pair, index
        finally:
            for server in servers:
                if server.process is not None and server.process.poll() is None:
                    server.terminate()


def build(server: Server, runtime_id: str, manifest: str) -> Any:
    request = CreateRuntimeRequest(runtime_id=runtime_id, revision=RuntimeRevision(manifest=manifest))
    made = server.runtimes.CreateRuntime(request, metadata=server.metadata)
    wait = WaitRuntimeRevisionRequest(name=made.newest_revision.name, timeout=duration_pb2.Duration(seconds=55))
    done = server.runtimes.WaitRuntimeRevision(wait, metadata=server.metadata)
    assert done.state == RuntimeRevision.STATE_READY, done
    return done


def call(server: Server, function: str, n: int) -> execution_pb2.Execution:
    """Have a Call run, and return it as it has ended."""
    request = execution_service_pb2.CallRequest(function=f"packages/p/functions/{function}", input_json=f'{{"n": {n}}}')
    name = server.executions.Call(request, metadata=server.metadata).name
    wait = execution_service_pb2.WaitExecutionRequest(name=name, timeout=duration_pb2.Duration(seconds=30))
    done: execution_pb2.Execution = server.executions.WaitExecution(wait, metadata=server.metadata)
    assert done.state == execution_pb2.Execution.STATE_COMPLETED, done
    return done


def run(server: Server) -> Any:
    request = execution_service_pb2.RunFunctionRequest(function="packages/p/functions/where", input_json='{"n": 1}')
    done = server.executions.RunFunction(request, metadata=server.metadata)
    assert done.state == execution_pb2.Execution.STATE_COMPLETED, done
    return json.loads(done.output_json)


def environments(server: Server) -> list[str]:
    return sorted(path.name for path in (server.data_dir / "runtimes").glob("?" * 64))


def test_one_builds_and_the_other_serves(pair: tuple[Pair, Index]) -> None:
    servers, index = pair
    first, second = servers.first, servers.second
    index.add("shared", {"shared.py": "X = 41"})
    # asked of both at once: built by one of them
    with ThreadPoolExecutor(2) as threads:
        built = list(threads.map(build, (first, second), ("r", "other"), ("shared", "shared  # the same")))
    assert index.asked.count("/simple/shared/") == 1
    assert built[0].size_bytes == built[1].size_bytes
    # and one that the second has never heard of, run there when nothing can be built any more
    index.add("later", {"later.py": "", "shared.py": "X = 41"})
    only = build(first, "later", "later")
    version = package_service_pb2.CreateVersionRequest(
        parent="packages/p",
        version=package_pb2.Version(runtime=only.name),
        files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=SOURCE)]),
        create_package=True,
        release=True,
    )
    first.packages.CreateVersion(version, metadata=first.metadata)
    asked, index.files = len(index.asked), {}
    assert run(first) == [42, "/packages/shared.py"]
    assert run(second) == [42, "/packages/shared.py"]
    assert environments(first) == environments(second)
    assert len(index.asked) == asked
    assert "fetched environment" in second.log.read_text()
    # what is large lies where both reach it, and nowhere else
    large = call(first, "large", 100_000)
    assert call(second, "large", 100_000).output_json == large.output_json == json.dumps("x" * 100_000)
    read = execution_service_pb2.GetExecutionRequest(name=large.name)
    assert second.executions.GetExecution(read, metadata=second.metadata).output_json == large.output_json
    kinds = {path.relative_to(servers.objects).parts[1] for path in servers.objects.rglob("*") if path.is_file()}
    assert kinds == {"blobs", "environments"}
    # what a disk has spoiled is found out at the next start, and fetched again
    assert second.terminate() == 0
    for path in (second.data_dir / "runtimes").glob("?" * 64):
        (path / "shared.py").write_text("X = 0")
    second.start()
    assert run(second) == [42, "/packages/shared.py"]
    # a build that was begun by a server that is lost is ended by another
    index.add("held", {"held.py": ""})
    index.held.add("held")
    request = CreateRuntimeRequest(runtime_id="held", revision=RuntimeRevision(manifest="held"))
    made = first.runtimes.CreateRuntime(request, metadata=first.metadata)
    until(lambda: "/simple/held/" in index.asked, seconds=30, what="the build")
    first.kill()
    index.held.clear()
    index.released.set()
    wait = WaitRuntimeRevisionRequest(name=made.newest_revision.name, timeout=duration_pb2.Duration(seconds=55))
    done = second.runtimes.WaitRuntimeRevision(wait, metadata=second.metadata)
    assert done.state == RuntimeRevision.STATE_READY, done
