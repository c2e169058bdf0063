"""Following an execution: what it writes, as it comes, and its end, wherever it runs, however often it starts."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from polycall.domain import Execution, OutputChunk, Principal, Scope
from polycall.engine.ends import Ends
from polycall.engine.executions import Executions
from polycall.engine.keys import require
from polycall.engine.live import Finished, LiveRun, LiveRuns, Moved, Started, StreamEvent
from polycall.errors import Unavailable

__all__ = ["Following"]

_FIRST_POLL_S = 0.005
_POLL_S = 0.5  # how often the output of an execution that runs elsewhere is looked at while somebody follows it


class Following:
    """Tells what happens to executions."""

    def __init__(self, executions: Executions, live: LiveRuns, ends: Ends) -> None:
        self._executions = executions
        self._live = live
        self._ends = ends

    async def events(self, who: Principal, execution_id: uuid.UUID) -> AsyncIterator[StreamEvent]:
        """Follow an execution; leaving the iteration does not stop it.

        One that is started anew, because its server was lost or it is tried again, tells Started once more.
        Raises PermissionDenied, NotFound; Unavailable if it was handed back because this server shuts down.
        """
        require(who, Scope.READ)
        live = self._live.get(who.project_id, execution_id)
        execution = live.execution if live is not None else await self._executions.stored(who.project_id, execution_id)
        yield Started(execution)
        attempt, seen = max(1, execution.attempt), 0  # what was told: of which attempt how many pieces of output
        while True:
            if live is None:
                async with aclosing(self._elsewhere(who, execution, attempt, seen)) as found:
                    async for news in found:
                        if isinstance(news, LiveRun):
                            live = news
                            break
                        if isinstance(news, Started):
                            attempt, seen = news.execution.attempt, 0
                        elif isinstance(news, OutputChunk):
                            seen += 1
                        yield news
            if live is None:
                return
            if live.execution.attempt > attempt:
                yield Started(live.execution)
                attempt, seen = live.execution.attempt, 0
            try:
                async with aclosing(live.events(seen)) as events:
                    async for event in events:
                        if not isinstance(event, Started):
                            yield event
                return
            except Moved:
                if self._ends.closed:
                    why = "This server is shutting down; the execution goes on. Follow it anew."
                    raise Unavailable(why) from None
            # it is tried again, here or elsewhere
            seen, live = len(live.output), None
            execution = await self._executions.stored(who.project_id, execution_id)

    async def _elsewhere(
        self, who: Principal, execution: Execution, attempt: int, seen: int
    ) -> AsyncGenerator[Started | OutputChunk | Finished | LiveRun, None]:
        """Follow an execution in the store, to its end or until it runs in this process.

        ``seen`` pieces of the output of ``attempt`` were told, which is 1 before the first too. The output of a Call
        comes as whoever runs it stores it, that of other runs at their end.
        """
        pause = _FIRST_POLL_S
        with self._ends.listening(execution.id) as listener:
            while True:
                live = self._live.get(execution.project_id, execution.id)
                if live is not None and live.finished is None and not live.moved and not execution.state.final:
                    yield live
                    return
                if execution.attempt > attempt:  # it was started again, and so was its output
                    yield Started(execution)
                    seen, attempt = 0, execution.attempt
                begun = max(1, execution.attempt) == attempt  # else its last claim was given back
                chunks = await self._executions.output(who, execution.id, execution.attempt) if begun else ()
                for chunk in chunks[seen:]:
                    yield chunk
                seen = max(seen, len(chunks))
                if execution.state.final:
                    yield Finished(execution)
                    return
                if self._ends.closed:
                    raise Unavailable("This server is shutting down; the execution goes on. Follow it anew.")
                await listener.wait(pause)
                pause = min(_POLL_S, pause * 2)
                execution = await self._executions.stored(execution.project_id, execution.id)
