"""What the server says to a child: the program to load, and calls of it."""

from __future__ import annotations

import functools
import importlib.util
import marshal
from collections.abc import Hashable, Mapping

from polycall.sandbox.doorway import ENVIRONMENT
from polycall.sandbox.frames import encode_frame
from polycall.sandbox.job import Job

__all__ = ["Program", "call_frame", "load_frame", "program_of"]

Program = tuple[Hashable, ...]


def program_of(job: Job) -> Program:
    """Return all that is fixed at load: only calls with equal ones share a worker."""
    limits = job.limits
    return (
        job.key,
        job.image,
        job.egress is not None,
        job.bundle.digest,
        tuple(sorted(job.env.items())),
        job.adapter,
        (limits.memory_bytes, limits.processes, limits.open_files, limits.disk_bytes),
    )


def load_frame(job: Job, *, own_uid: bool, bound_address_space: bool) -> list[bytes]:
    """Return the frame that makes a fresh child a worker of the job's program.

    ``own_uid``: RLIMIT_NPROC counts this child's processes alone. ``bound_address_space``: no cgroup bounds its memory.
    """
    adapter, compiled = (job.adapter or "").encode(), b""
    if job.adapter is not None:
        compiled = _compiled(job.adapter)
    header: Mapping[str, object] = {
        "op": "load",
        "files": [(path, len(data)) for path, data in job.bundle.files.items()],
        "adapter": job.adapter is not None,
        "compiled": len(compiled),
        "magic": importlib.util.MAGIC_NUMBER.hex(),
        "env": dict(job.env) if job.egress is None else {**job.env, **ENVIRONMENT},
        "memory": job.limits.memory_bytes,
        "open_files": job.limits.open_files,
        "processes": job.limits.processes if own_uid else None,
        "bound_address_space": bound_address_space,
    }
    return encode_frame(header, [*job.bundle.files.values(), compiled, adapter])


@functools.lru_cache(maxsize=16)  # one a face
def _compiled(adapter: str) -> bytes:
    """Return an adapter as the same interpreter loads it: fifty times as fast as it would compile it in every run."""
    return marshal.dumps(compile(adapter, "polycall-adapter", "exec", dont_inherit=True))


def call_frame(job: Job, nonce: str) -> list[bytes]:
    """Return the frame of one call; its answer has to repeat ``nonce``."""
    parts = {"payload": job.payload, "context": job.context, "options": job.adapter_options, "stdin": job.stdin}
    header: Mapping[str, object] = {
        "op": "call",
        "nonce": nonce,
        "convention": job.convention.value,
        "entrypoint": job.entrypoint,
        "load_only": job.load_only,
        "parameters": job.parameters,
        "args": job.args,
        "result_bytes": job.limits.result_bytes,
        "files": [(file.path, len(file.data)) for file in job.files],
        "parts": [(name, len(data)) for name, data in parts.items()],
    }
    return encode_frame(header, [*parts.values(), *(file.data for file in job.files)])
