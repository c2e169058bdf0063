"""What the vendor's function has and a package has not: JSON in ``Package.face_data``."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from polycall.domain import Package
from polycall.faces.cognite.function_form import CPU, MEMORY, FunctionForm
from polycall.faces.cognite.requests import is_id

__all__ = ["DEPLOYING", "FAILED", "QUEUED", "READY", "FunctionData", "FunctionError"]

QUEUED, DEPLOYING, READY, FAILED = "Queued", "Deploying", "Ready", "Failed"


class FunctionError(msgspec.Struct, frozen=True):
    """Why a function could not be deployed; ``trace`` is the end of what the tools said."""

    message: str
    trace: str


class FunctionData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a function that this face made. Of its secrets only the names: the values are in its version."""

    file_id: int
    function_path: str
    status: str = QUEUED
    error: FunctionError | None = None
    owner: str | None = None
    metadata: Mapping[str, str] | None = None
    secret_names: tuple[str, ...] = ()
    env_vars: Mapping[str, str] | None = None
    cpu: float = CPU.default
    memory: float = MEMORY.default
    runtime: str | None = None

    @classmethod
    def asked(cls, form: FunctionForm) -> FunctionData:
        """Return what is kept of a function as it was asked for."""
        return cls(
            file_id=form.file_id,
            function_path=form.path,
            owner=form.owner,
            metadata=form.metadata,
            secret_names=tuple(form.secrets or ()),
            env_vars=form.env_vars,
            cpu=CPU.default if form.cpu is None else form.cpu,
            memory=MEMORY.default if form.memory is None else form.memory,
            runtime=form.runtime,
        )

    @classmethod
    def of(cls, package: Package) -> FunctionData | None:
        """Return what is kept of a package; None for one that came in by another door, or with other data."""
        if package.face != "cognite" or not package.face_data or not is_id(package.id):
            return None
        try:
            return msgspec.json.decode(package.face_data, type=cls)
        except msgspec.DecodeError:  # whoever deploys may write anything there
            return None

    def dump(self) -> bytes:
        """Return it as it is kept."""
        return msgspec.json.encode(self)
