"""`python -m bench.sharing`: what a second server waits for an environment: fetched from the first one's, or built.

Two real servers on one PostgreSQL. The first builds a runtime; then the second runs a function of it for the first
time. The third number is what the first run takes once the environment is there.
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import duration_pb2

from bench.postgres import postgres
from polycall.v1 import execution_pb2, execution_service_pb2
from polycall.v1.runtime_pb2 import RuntimeRevision
from polycall.v1.runtime_service_pb2 import CreateRuntimeRequest, WaitRuntimeRevisionRequest
from tests.harness import Server, running_server

__all__ = ["Shared", "main", "measure"]

_MIB = 1 << 20
_BUILD_S = 600


@dataclass(frozen=True, slots=True)
class Shared:
    """Seconds of the build, packing it for others included; of the second server's first run; of its next."""

    manifest: str
    mib: float
    files: int
    build: float
    first: float
    next: float

    def line(self) -> str:
        """Return it as a line of the report."""
        return (
            f"{self.manifest}: {self.mib:.0f} MiB, {self.files} files; built in {self.build:.1f} s; fetched and run "
            f"elsewhere in {self.first:.1f} s ({self.first / self.build:.2f} of that); the next run {self.next:.3f} s"
        )


def measure(manifest: str, **settings: str) -> Shared:
    """Build once, fetch once."""
    with ExitStack() as stack:
        server = stack.enter_context(postgres("shared"))
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="polycall-bench-sharing-")))
        common = {
            "POLYCALL_DATABASE_URL": server.database("shared"),
            "POLYCALL_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
            "POLYCALL_GATEWAY": "false",
            **settings,
        }
        first = stack.enter_context(running_server(root / "first", **common))
        second = stack.enter_context(running_server(root / "second", **common))
        request = CreateRuntimeRequest(runtime_id="r", revision=RuntimeRevision(manifest=manifest))
        made = first.runtimes.CreateRuntime(request, metadata=first.metadata)
        wait = WaitRuntimeRevisionRequest(
            name=made.newest_revision.name, timeout=duration_pb2.Duration(seconds=_BUILD_S)
        )
        built = first.runtimes.WaitRuntimeRevision(wait, metadata=first.metadata)
        if built.state != RuntimeRevision.STATE_READY:
            raise SystemExit(f"the build failed: {built.error}")
        begun, ended = built.start_time.ToMilliseconds(), built.end_time.ToMilliseconds()
        fetched = _run(second, built.name)
        return Shared(
            manifest=" ".join(manifest.split()),
            mib=built.size_bytes / _MIB,
            files=built.file_count,
            build=(ended - begun) / 1000,
            first=fetched,
            next=statistics.median(_run(second, built.name) for _ in range(5)),
        )


def _run(server: Server, runtime: str) -> float:
    request = execution_service_pb2.ExecuteRequest(code="def execute(input): return 1", runtime=runtime)
    begun = time.perf_counter()
    done = server.executions.Execute(request, metadata=server.metadata)
    took = time.perf_counter() - begun
    if done.state != execution_pb2.Execution.STATE_COMPLETED:
        raise SystemExit(f"the run ended as {done}")
    return took


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each manifest that is named, and print a line for it."""
    parser = argparse.ArgumentParser(prog="python -m bench.sharing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="*", default=["numpy"], help="what to build, each a runtime; default: numpy")
    parser.add_argument("--objects", action="store_true", help="with an object store, in a directory")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="polycall-bench-objects-") as directory:
        settings = {"POLYCALL_OBJECT_STORE_URL": f"file://{directory}"} if options.objects else {}
        for package in options.packages:
            print(measure(package, **settings).line(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
