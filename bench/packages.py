"""A function that needs numpy, in its runtime: what its first call costs when no worker is warm."""

from __future__ import annotations

from google.protobuf import duration_pb2

from bench.contestants import SERVICE, Polycall, adding_job, polycall
from bench.load import Endpoint
from bench.rounds import Recorder
from polycall.v1 import package_pb2, package_service_pb2, runtime_pb2, runtime_service_pb2

__all__ = ["NUMPY", "packages"]

NUMPY = "polycall numpy, no worker"
_SOURCE = b"import numpy\n\ndef add(a, b):\n    return {'sum': int(numpy.array([a, b]).sum())}\n"
_BUILD_S = 180


def packages(recorder: Recorder, ours: Polycall) -> None:
    """Build a runtime with numpy, and call a function on it, four times a second, on a server that keeps no workers."""
    del ours
    with polycall(POLYCALL_WARM_WORKERS="0", POLYCALL_GATEWAY="false") as cold:
        server = cold.server
        made = server.runtimes.CreateRuntime(
            runtime_service_pb2.CreateRuntimeRequest(
                runtime_id="bench-numpy", revision=runtime_pb2.RuntimeRevision(manifest="numpy\n")
            ),
            metadata=server.metadata,
        )
        built = server.runtimes.WaitRuntimeRevision(
            runtime_service_pb2.WaitRuntimeRevisionRequest(
                name=f"{made.name}/revisions/-", timeout=duration_pb2.Duration(seconds=_BUILD_S)
            ),
            metadata=server.metadata,
            timeout=_BUILD_S + 10,
        )
        if built.state != runtime_pb2.RuntimeRevision.STATE_READY:
            recorder.absent(f"numpy in its runtime: it could not be built ({built.error or 'not in time'})")
            return
        server.packages.CreateVersion(
            package_service_pb2.CreateVersionRequest(
                parent="packages/bench-numpy",
                version=package_pb2.Version(runtime=made.name),
                files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=_SOURCE)]),
                create_package=True,
            ),
            metadata=server.metadata,
        )
        job = adding_job("packages/bench-numpy/functions/add")
        endpoint = Endpoint("grpc", server.grpc_port, f"{SERVICE}/RunFunction", cold.headers)
        recorder.paced(NUMPY, cold.pid, endpoint, job, rate=4)
