"""The Riza face: authenticate, read, run, show."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

from polycall.domain import Execution, Principal, Reason, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.limits import MIB
from polycall.engine.requests import RunOptions
from polycall.errors import DeadlineExceeded, NotFound, PolycallError
from polycall.faces.adapter import bearer
from polycall.faces.aside import aside
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.riza.failures import failed
from polycall.faces.riza.requests import BODY_LIMIT, Bounds, Call, read_function_call, read_script_call
from polycall.faces.riza.results import ExecutionResult, FunctionResult
from polycall.faces.wire import dump
from polycall.names import RevisionName

__all__ = ["RizaFace"]

_FACE = "riza"
# The contract promises an answer within the execution timeout and this, the wait for a slot included.
_ANSWER_SLACK_S = 1.0


class RizaFace:
    """Riza's Code Interpreter API over the engine.

    ``max_timeout_s`` and ``max_memory_mib`` are the most that a request may ask for, as far as the engine allows it.
    """

    name = _FACE
    body_limit = BODY_LIMIT

    def __init__(self, engine: Engine, *, max_timeout_s: int = 300, max_memory_mib: int = 2048) -> None:
        self._engine = engine
        most, least = engine.limits.maximums, engine.limits.minimums
        self._bounds = Bounds(
            max_timeout_s=min(max_timeout_s, most.timeout_ms // 1000),
            min_memory_mib=least.memory_bytes // MIB,
            max_memory_mib=min(max_memory_mib, most.memory_bytes // MIB),
        )
        self.handlers: Mapping[str, Handler] = {
            "Execute": self.execute,
            "ExecuteFunction": self.execute_function,
        }

    def failure(self, error: PolycallError, inbound: Inbound) -> Reply:
        """Word an error the vendor's way."""
        return failed(error, inbound.headers)

    async def execute_function(self, inbound: Inbound) -> Reply:
        """POST /v1/execute-function: run the code that came along; 200 also if it fails."""
        return await self._executed(inbound, read_function_call, FunctionResult.of)

    async def execute(self, inbound: Inbound) -> Reply:
        """POST /v1/execute: run the script that came along; 200 also if it fails."""
        return await self._executed(inbound, read_script_call, ExecutionResult.of)

    async def _executed(
        self, inbound: Inbound, read: Callable[[bytes, Bounds], Call], show: Callable[[Execution], object]
    ) -> Reply:
        who = await self._engine.keys.authenticate(bearer(inbound.headers))
        require(who, Scope.RUN)
        body = await inbound.read()
        call = await aside(len(body), read, body, self._bounds)
        call = await self._with_runtime(who, call)
        ended = await self._run(who, call, inbound)
        size = len(ended.stdout) + len(ended.stderr)
        return Reply(body=await aside(size, lambda: dump(show(ended))))

    async def _with_runtime(self, who: Principal, call: Call) -> Call:
        """Return the call to be run on the revision that it names. Raises NotFound."""
        wanted = call.runtime_revision_id
        if wanted is None:
            return call
        try:
            revision = await self._engine.runtimes.find_revision(reading(who), wanted)
        except NotFound:
            shown = wanted[:64]
            raise NotFound(
                Reason.RUNTIME_NOT_FOUND,
                "riza.RuntimeRevision",
                shown,
                f"runtime_revision_id: there is no revision {shown!r}; leave it out for the default runtime.",
            ) from None
        runtime = str(RevisionName(revision.runtime_id, revision.id))
        return replace(call, run=replace(call.run, runtime=runtime))

    async def _run(self, who: Principal, call: Call, inbound: Inbound) -> Execution:
        due = time.monotonic() + call.timeout_s + _ANSWER_SLACK_S
        expires_at = due if inbound.expires_at is None else min(due, inbound.expires_at)
        try:
            return await self._engine.execute(
                who, call.run, RunOptions(face=_FACE, expires_at=expires_at, face_data=call.record)
            )
        except DeadlineExceeded as error:
            _, _, execution_id = error.metadata.get("execution", "").partition("/")
            if not execution_id:
                raise  # it waited for a slot all the time: nothing ran
            # The run spent in the queue what it lacked in the end. For its caller that is a timeout like any other,
            # with what was printed until then; a key that may run code may see what became of this run of it.
            return await self._engine.get(reading(who), uuid.UUID(execution_id))
