"""Runs of this face, whatever they are of: their deadline, their runtime, their secrets, their record."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from polycall.domain import Execution, Principal, Reason, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.requests import AdHocRun, RunOptions
from polycall.errors import DeadlineExceeded, NotFound
from polycall.faces.reply import Inbound
from polycall.faces.riza.records import Records
from polycall.faces.riza.requests import Call
from polycall.faces.riza.resource import FACE
from polycall.faces.riza.results import answered
from polycall.names import RevisionName

__all__ = ["Runs"]

# The contract promises an answer within the execution timeout and this, the wait for a slot included.
_ANSWER_SLACK_S = 1.0


class Runs:
    """Runs calls."""

    def __init__(self, engine: Engine, records: Records) -> None:
        self._engine = engine
        self._records = records

    async def run(self, who: Principal, call: Call, inbound: Inbound, begun: float | None = None) -> Execution:
        """Run a call and return its execution. ``begun`` (``time.monotonic``): when its time began, before now.

        Raises NotFound (runtime, secret), Internal (ended by our fault), and as ``Engine.execute``.
        """
        await self._check_secrets(who, call.run)
        due = (time.monotonic() if begun is None else begun) + call.timeout_s + _ANSWER_SLACK_S
        expires_at = due if inbound.expires_at is None else min(due, inbound.expires_at)
        face_data, sealed = self._records.keep(who.project_id, call.record)
        options = RunOptions(face=FACE, expires_at=expires_at, face_data=face_data, sealed=sealed)
        try:
            return answered(await self._engine.execute(who, call.run, options))
        except DeadlineExceeded as error:
            _, _, execution_id = error.metadata.get("execution", "").partition("/")
            if not execution_id:
                raise  # it waited for a slot all the time: nothing ran
            # The run spent in the queue what it lacked in the end. For its caller that is a timeout like any other,
            # with what was printed until then; a key that may run code may see what became of this run of it.
            return await self._engine.executions.get(reading(who), uuid.UUID(execution_id))

    async def runtime(self, who: Principal, revision_id: str) -> str:
        """Return the name of a runtime's revision. Raises NotFound."""
        shown = revision_id[:64]
        missing = NotFound(
            Reason.RUNTIME_NOT_FOUND,
            "riza.RuntimeRevision",
            shown,
            f"runtime_revision_id: there is no revision {shown!r}; leave it out for the default runtime.",
        )
        if "\0" in revision_id:
            raise missing
        try:
            revision = await self._engine.runtimes.find_revision(reading(who), revision_id)
        except NotFound:
            raise missing from None
        return str(RevisionName(revision.runtime_id, revision.id))

    async def _check_secrets(self, who: Principal, run: AdHocRun) -> None:
        """Raise PermissionDenied, and NotFound for a secret that is not there.

        To the engine one that is not there is no more than a broken reference.
        """
        wanted = set(_secrets_of(run))
        if wanted:
            require(who, Scope.DEPLOY)  # the engine's condition, before anything is told of what is there
        for secret_id in wanted:
            try:
                await self._engine.secrets.get(reading(who), secret_id)
            except NotFound:
                shown = secret_id[:64]
                message = f"secret_id: there is no secret {shown!r} in this project."
                raise NotFound(Reason.SECRET_NOT_FOUND, "riza.Secret", shown, message) from None


def _secrets_of(run: AdHocRun) -> Iterator[str]:
    yield from run.secret_env.values()
    for rule in run.egress.rules if run.egress is not None else ():
        yield from (one.secret_id for one in rule.credentials if one.secret_id)
