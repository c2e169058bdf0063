"""A call of a function as its body asks: run and answered, or accepted and answered at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from polycall.domain import ExecutionState, Principal
from polycall.engine.engine import Engine
from polycall.engine.requests import RunOptions
from polycall.faces.aside import aside
from polycall.faces.guance.envelope import Dump, Exchange
from polycall.faces.guance.errors import Failure, failed
from polycall.faces.guance.request import read_options
from polycall.faces.guance.results import form_of, promise
from polycall.faces.guance.runs import FACE, FuncRuns

__all__ = ["Ended", "run_func"]


class Ended(msgspec.Struct, frozen=True):
    """What a call is answered with: ``data``, or ``bare``, a value and nothing around it."""

    data: object = None
    bare: msgspec.Raw | None = None


async def run_func(
    engine: Engine, runs: FuncRuns, who: Principal, exchange: Exchange, dump: Dump, func_id: str
) -> Ended | Failure:
    """Run a function as a body asks, or accept its run. Raises as ``Engine.run``, and Refused."""
    body = dump.body
    options = await aside(dump.size, read_options, body, datetime.fromtimestamp(exchange.at / 1000, UTC))
    run, seconds = await runs.prepare(who.project_id, func_id, options)
    kept = RunOptions(face=FACE, alias=exchange.task_id, face_data=b"{}" if options.save_result else None)
    if options.is_async:
        await engine.call(who, run, replace(kept, max_attempts=1, delay_s=options.delay_s))
        return Ended(promise(exchange.task_id) if options.save_result else None)
    execution = await engine.run(who, run, replace(kept, expires_at=exchange.expires_at(seconds)))
    if execution.state is not ExecutionState.COMPLETED or execution.result is None:
        return failed(execution, func_id, exchange.task_id)
    result = msgspec.Raw(execution.result)
    if options.save_result:
        result = await aside(len(execution.result), form_of, execution.result, options.return_type)
    return Ended(bare=result) if options.unfold else Ended({"result": result})
