"""What the requests of ExecutionService must be; pure functions from message to value, all violations at once."""

from __future__ import annotations

from polycall.domain import Convention, ExecutionFilter, ExecutionState, InputFile, Language
from polycall.engine.policies import check_priority
from polycall.engine.requests import AdHocRun, FunctionRun, RunOptions
from polycall.errors import InvalidArgument
from polycall.names import ExecutionName, FunctionName, ParentName, ScheduleName
from polycall.services.egress_messages import read_policy, read_secret_env
from polycall.services.execution_messages import CONVENTIONS, LANGUAGES, STATES, overrides
from polycall.services.policy_messages import read_retry
from polycall.services.raw_input import input_of
from polycall.services.scalars import known, milliseconds, moment, optional_moment, page_size, request_id
from polycall.services.violations import Violations
from polycall.v1 import execution_service_pb2

__all__ = ["ListQuery", "read_call", "read_execute", "read_list", "read_run", "read_wait"]

_DEFAULT_ENTRYPOINT = "execute"
_MOST_ATTEMPTS = 10
_DEFAULT_WAIT_MS, _LONGEST_WAIT_MS = 60_000, 600_000

Run = tuple[FunctionRun, RunOptions]
ListQuery = tuple[ExecutionFilter, int, str]


def read_execute(
    request: execution_service_pb2.ExecuteRequest, expires_at: float | None = None
) -> tuple[AdHocRun, RunOptions]:
    """Read an ExecuteRequest. Raises InvalidArgument for what the engine would not see."""
    wrong = Violations()
    language = known(request.language, LANGUAGES, Language.PYTHON, "language", wrong)
    convention = known(request.convention, CONVENTIONS, Convention.INPUT, "convention", wrong)
    if convention is Convention.SCRIPT and request.entrypoint:
        wrong.add("entrypoint", "is not for scripts: the file itself is run")
    options = RunOptions(
        request_id=request_id(request.request_id, wrong), expires_at=expires_at, validate_only=request.validate_only
    )
    egress = read_policy(request.egress, "egress", wrong)
    secret_env = read_secret_env(request.secret_env, "secret_env", wrong)
    wrong.refuse()
    run = AdHocRun(
        code=request.code,
        language=language,
        convention=convention,
        entrypoint=request.entrypoint or _DEFAULT_ENTRYPOINT,
        input=input_of(request) or b"null",
        env=dict(request.env),
        secret_env=secret_env,
        files=tuple(InputFile(file.path, file.contents) for file in request.files),
        args=tuple(request.args),
        stdin=request.stdin,
        limits=overrides(request.limits),
        runtime=request.runtime,
        egress=egress,
    )
    return run, options


def read_run(request: execution_service_pb2.RunFunctionRequest, expires_at: float | None = None) -> Run:
    """Read a RunFunctionRequest. Raises InvalidArgument."""
    wrong = Violations()
    options = RunOptions(
        request_id=request_id(request.request_id, wrong), expires_at=expires_at, validate_only=request.validate_only
    )
    return _function_run(request, wrong), options


def read_call(request: execution_service_pb2.CallRequest) -> Run:
    """Read a CallRequest. Raises InvalidArgument."""
    wrong = Violations()
    if not 0 <= request.max_attempts <= _MOST_ATTEMPTS:
        wrong.add("max_attempts", f"must be 1 to {_MOST_ATTEMPTS}, got {request.max_attempts}")
    wrong.attempt(lambda: check_priority(request.priority, "priority"))
    options = RunOptions(
        request_id=request_id(request.request_id, wrong),
        deadline=optional_moment(request.HasField("deadline"), request.deadline, "deadline", wrong),
        max_attempts=request.max_attempts or None,
        completion_url=request.completion_url or None,
        validate_only=request.validate_only,
        priority=request.priority,
        retry=read_retry(request.retry_policy, "retry_policy", wrong) if request.HasField("retry_policy") else None,
    )
    return _function_run(request, wrong), options


def read_wait(request: execution_service_pb2.WaitExecutionRequest) -> tuple[ExecutionName, float]:
    """Read a WaitExecutionRequest: which, and how many seconds. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: ExecutionName.parse(request.name))
    wait_ms = milliseconds(request.timeout) if request.HasField("timeout") else _DEFAULT_WAIT_MS
    if not 0 <= wait_ms <= _LONGEST_WAIT_MS:
        wrong.add("timeout", f"must be 0 to {_LONGEST_WAIT_MS // 1000} s")
    if wrong or name is None:
        raise wrong.error()
    return name, wait_ms / 1000


def read_list(request: execution_service_pb2.ListExecutionsRequest) -> ListQuery:
    """Read a ListExecutionsRequest: filter, page size, page token. Raises InvalidArgument."""
    wrong = Violations()
    states = []
    for index, value in enumerate(request.states):
        if value not in STATES:
            wrong.add(f"states[{index}]", f"{value} is not a state that this server knows")
        else:
            states.append(STATES[value])
    size = page_size(request.page_size, wrong)
    parent = wrong.attempt(lambda: ParentName.parse(request.parent)) if request.parent else None
    schedule = wrong.attempt(lambda: ScheduleName.parse(request.schedule, "schedule")) if request.schedule else None
    after, before = (
        moment(getattr(request, field), field, wrong) if request.HasField(field) else None
        for field in ("created_after", "created_before")
    )
    wrong.refuse()
    where = ExecutionFilter(
        states=_distinct(states),
        package_id=parent.package if parent else None,
        version_id=parent.version if parent else None,
        function=parent.function if parent else None,
        schedule_id=schedule.schedule if schedule else None,
        queued_after=after,
        queued_before=before,
    )
    return where, size, request.page_token


def _function_run(
    request: execution_service_pb2.RunFunctionRequest | execution_service_pb2.CallRequest, wrong: Violations
) -> FunctionRun:
    try:
        name = FunctionName.parse(request.function)
    except InvalidArgument as error:
        wrong.take(error)
    wrong.refuse()
    return FunctionRun(
        package_id=name.package,
        version_id=name.version,
        function=name.function,
        input=input_of(request) or b"null",
        limits=overrides(request.limits),
    )


def _distinct(states: list[ExecutionState]) -> tuple[ExecutionState, ...]:
    return tuple(dict.fromkeys(states))
