"""What the server says to a child: the program to load, and calls of it."""

from __future__ import annotations

import functools
import importlib.util
import marshal
from collections.abc import Hashable, Mapping

from polycall.domain import Convention
from polycall.sandbox.doorway import ENVIRONMENT
from polycall.sandbox.frames import as_json, encode_frame, frame
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
        tuple(sorted(job.env.items())) if job.env else (),
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
    what = _called(job.convention, job.entrypoint, job.load_only, job.parameters, job.limits.result_bytes)
    args = as_json(job.args) if job.args else "[]"
    files = as_json([(file.path, len(file.data)) for file in job.files]) if job.files else "[]"
    header = (
        f'{what},"nonce":"{nonce}","args":{args},"files":{files},"parts":[["payload",{len(job.payload)}],["context",{len(job.context)}],'
        f'["options",{len(job.adapter_options)}],["stdin",{len(job.stdin)}]]}}'
    )
    parts = [job.payload, job.context, job.adapter_options, job.stdin]
    if job.files:
        parts += [file.data for file in job.files]
    return frame(header.encode(), parts)


@functools.lru_cache(maxsize=512)  # the same in every call of a function: all of a header but what it says of its parts
def _called(
    convention: Convention, entrypoint: str, load_only: bool, parameters: tuple[str, ...], result_bytes: int
) -> str:
    header = {
        "op": "call",
        "convention": convention.value,
        "entrypoint": entrypoint,
        "load_only": load_only,
        "parameters": parameters,
        "result_bytes": result_bytes,
    }
    return as_json(header).removesuffix("}")
