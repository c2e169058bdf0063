"""polycall.v1.ExecutionService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, nullcontext

from polycall.domain import Execution
from polycall.engine.engine import Engine
from polycall.engine.live import Finished, Started, StreamEvent
from polycall.errors import InvalidArgument, PayloadTooLarge
from polycall.interceptors.rpc import Rpc
from polycall.names import ExecutionName
from polycall.services.execution_messages import execution_message, message_for, output_message
from polycall.services.execution_requests import read_call, read_execute, read_list, read_run, read_wait
from polycall.services.violations import below
from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc

__all__ = ["ExecutionService"]

# WaitExecution answers with the execution as it is this long before the RPC's own deadline would end it.
_ANSWER_MARGIN_S = 0.05


class ExecutionService(execution_service_pb2_grpc.ExecutionServiceServicer):
    """Runs code and keeps account of every run."""

    def __init__(self, engine: Engine, input_bytes: int) -> None:
        self._engine = engine
        self._input_bytes = input_bytes

    async def Execute(self, request: execution_service_pb2.ExecuteRequest, rpc: Rpc) -> execution_pb2.Execution:
        """Run ad-hoc code and wait for its end."""
        run, options = read_execute(request, rpc.expires_at)
        self._check_size(run.input)
        execution = await self._engine.execute(rpc.who, run, options)
        return _answer(execution, rpc, named=not options.validate_only)

    async def RunFunction(self, request: execution_service_pb2.RunFunctionRequest, rpc: Rpc) -> execution_pb2.Execution:
        """Run a function and wait for its end."""
        run, options = read_run(request, rpc.expires_at)
        self._check_size(run.input)
        execution = await self._engine.run(rpc.who, run, options)
        return _answer(execution, rpc, named=not options.validate_only)

    async def Call(self, request: execution_service_pb2.CallRequest, rpc: Rpc) -> execution_pb2.Execution:
        """Accept a run of a function."""
        run, options = read_call(request)
        self._check_size(run.input)
        execution = await self._engine.call(rpc.who, run, options)
        return _answer(execution, rpc, named=not options.validate_only)

    async def GetExecution(
        self, request: execution_service_pb2.GetExecutionRequest, rpc: Rpc
    ) -> execution_pb2.Execution:
        """Return an execution."""
        name = ExecutionName.parse(request.name)
        execution = await self._engine.executions.get(rpc.who, name.execution)
        if request.attempt:
            execution = await self._engine.executions.attempt(rpc.who, execution, request.attempt)
        return execution_message(execution)

    async def WaitExecution(
        self, request: execution_service_pb2.WaitExecutionRequest, rpc: Rpc
    ) -> execution_pb2.Execution:
        """Wait for the end of an execution."""
        name, seconds = read_wait(request)
        remaining = rpc.remaining_s()
        if remaining is not None:
            seconds = max(0.0, min(seconds, remaining - _ANSWER_MARGIN_S))
        return execution_message(await self._engine.executions.wait(rpc.who, name.execution, seconds))

    async def ListExecutions(
        self, request: execution_service_pb2.ListExecutionsRequest, rpc: Rpc
    ) -> execution_service_pb2.ListExecutionsResponse:
        """List executions, newest first."""
        where, size, token = read_list(request)
        page = await self._engine.executions.list(rpc.who, where, size, token)
        return execution_service_pb2.ListExecutionsResponse(
            executions=[execution_message(execution, payloads=False) for execution in page.items],
            next_page_token=page.next_token,
        )

    async def CancelExecution(
        self, request: execution_service_pb2.CancelExecutionRequest, rpc: Rpc
    ) -> execution_pb2.Execution:
        """Cancel an execution."""
        name = ExecutionName.parse(request.name)
        return message_for(rpc.who, await self._engine.executions.cancel(rpc.who, name.execution))

    async def StreamExecution(
        self, request: execution_service_pb2.StreamExecutionRequest, rpc: Rpc
    ) -> AsyncIterator[execution_service_pb2.StreamExecutionResponse]:
        """Follow an execution, or start one and follow it."""
        target = request.WhichOneof("target")
        if target is None:
            raise InvalidArgument.of("target", "must be set: name, execute or run_function")
        inside = nullcontext() if target == "name" else below(target)
        with inside:
            async with aclosing(self._events(request, rpc)) as events:  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Finished):
                        rpc.execution = event.execution
                    yield _event_message(event)

    def _events(self, request: execution_service_pb2.StreamExecutionRequest, rpc: Rpc) -> AsyncIterator[StreamEvent]:
        if request.HasField("execute"):
            _check_streamable(request.execute)
            execute, options = read_execute(request.execute, rpc.expires_at)
            self._check_size(execute.input)
            return self._engine.stream_execute(rpc.who, execute, options)
        if request.HasField("run_function"):
            _check_streamable(request.run_function)
            run, options = read_run(request.run_function, rpc.expires_at)
            self._check_size(run.input)
            return self._engine.stream_run(rpc.who, run, options)
        return self._engine.following.events(rpc.who, ExecutionName.parse(request.name).execution)

    def _check_size(self, given: bytes) -> None:
        """Raise PayloadTooLarge for an input that is looked at for longer than others can wait."""
        size, most = len(given), self._input_bytes
        if size > most:
            raise PayloadTooLarge(
                f"input_json has {size} bytes; this server takes {most} (POLYCALL_MAX_INPUT_MIB). Send what is large "
                "in `files`, or have the code fetch it.",
                subject="input_json",
                metadata={"limit": str(most), "bytes": str(size)},
            )


def _check_streamable(
    request: execution_service_pb2.ExecuteRequest | execution_service_pb2.RunFunctionRequest,
) -> None:
    """Refuse what a stream that starts an execution cannot keep. Raises InvalidArgument."""
    if request.validate_only:
        raise InvalidArgument.of("validate_only", "is not for streams; send it to Execute or RunFunction")
    if request.request_id:
        raise InvalidArgument.of("request_id", "is not for streams; send it to Call, then follow the execution by name")


def _answer(execution: Execution, rpc: Rpc, *, named: bool) -> execution_pb2.Execution:
    if named:
        rpc.execution = execution
    return execution_message(execution, named=named)


def _event_message(event: StreamEvent) -> execution_service_pb2.StreamExecutionResponse:
    if isinstance(event, Started):
        return execution_service_pb2.StreamExecutionResponse(started=execution_message(event.execution))
    if isinstance(event, Finished):
        return execution_service_pb2.StreamExecutionResponse(finished=execution_message(event.execution))
    return execution_service_pb2.StreamExecutionResponse(output=output_message(event))
