"""``polycall executions``: every run, however it was asked for."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from polycall.cli.client import Client, with_client
from polycall.cli.options import DURATION, MOMENT, execution_name, json_option, limit_option, schedule_name
from polycall.cli.retries import retry_line
from polycall.domain import ExecutionState

if TYPE_CHECKING:
    from polycall.v1.execution_pb2 import Attempt, Execution

__all__ = ["LONGEST_WAIT_S", "executions"]

_STATES = click.Choice([state.name.lower() for state in ExecutionState])
LONGEST_WAIT_S = 600.0  # what WaitExecution takes at most; longer waits ask again
_MARGIN_S = 30.0  # what the answer may take beyond the wait
_PAGE = 1000  # the largest page the server gives


@click.group("executions")
def executions() -> None:
    """See, follow, wait for and cancel runs."""


@executions.command("list")
@click.option("--state", "states", type=_STATES, multiple=True, help="Only this state; repeatable.")
@click.option("--parent", metavar="NAME", default="", help="Only of packages/P[/versions/V][/functions/F].")
@click.option("--schedule", type=schedule_name, metavar="ID", help="Only of this schedule.")
@click.option("--since", type=MOMENT, metavar="TIME", help="Only from then on: a time, or 2h for two hours ago.")
@click.option("--until", type=MOMENT, metavar="TIME", help="Only before then.")
@limit_option(20)
@json_option
@with_client
def list_command(
    client: Client,
    states: tuple[str, ...],
    parent: str,
    schedule: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List executions, newest first."""
    from polycall.cli.show import print_json
    from polycall.cli.table import print_table
    from polycall.v1 import execution_service_pb2 as pb

    request = pb.ListExecutionsRequest(
        states=[f"STATE_{state.upper()}" for state in states], parent=parent, schedule=schedule
    )
    if since is not None:
        request.created_after.FromDatetime(since)
    if until is not None:
        request.created_before.FromDatetime(until)
    answer = pb.ListExecutionsResponse()
    while True:
        request.page_size = min(limit - len(answer.executions), _PAGE)
        page = client.call(client.executions.ListExecutions, request)
        answer.executions.extend(page.executions)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.executions) >= limit:
            break
    if as_json:
        print_json(answer)
    else:
        print_table(["EXECUTION", "STATE", "FUNCTION", "CREATED", "RUN", "WHY"], [_row(e) for e in answer.executions])


@executions.command("get")
@click.argument("execution", type=execution_name)
@click.option("--attempt", type=int, default=0, help="Error and output of this earlier attempt.")
@json_option
@with_client
def get_command(client: Client, execution: str, attempt: int, as_json: bool) -> None:
    """Show one execution, with its value and output."""
    _print(_get(client, execution, attempt), as_json=as_json)


@executions.command("logs")
@click.argument("execution", type=execution_name)
@click.option("--follow", "-f", "live", is_flag=True, help="Go on until the execution has ended.")
@json_option
@with_client
def logs_command(client: Client, execution: str, live: bool, as_json: bool) -> None:
    """Print what an execution wrote: standard output to standard output, standard error to standard error."""
    from polycall.cli.follow import follow, status_line
    from polycall.cli.show import print_json
    from polycall.cli.terminal import LiveOutput, tell
    from polycall.v1 import execution_service_pb2 as pb

    if live:
        request = pb.StreamExecutionRequest(name=execution)
        if as_json:
            for event in client.stream(client.executions.StreamExecution, request):
                print_json(event, indent=None)
        else:
            tell(status_line(follow(client, request)), "dim")
        return
    found = _get(client, execution)
    if as_json:
        print_json(found)
        return
    output = LiveOutput()
    output.write(pb.OutputPiece.STREAM_STDOUT, found.stdout.encode())
    output.write(pb.OutputPiece.STREAM_STDERR, found.stderr.encode())
    output.end_line()


@executions.command("cancel")
@click.argument("execution", type=execution_name)
@json_option
@with_client
def cancel_command(client: Client, execution: str, as_json: bool) -> None:
    """Cancel an execution: one that waits never starts, one that runs is killed."""
    from polycall.cli.follow import status_line
    from polycall.cli.show import print_json
    from polycall.cli.terminal import say
    from polycall.v1 import execution_service_pb2 as pb

    found = client.call(client.executions.CancelExecution, pb.CancelExecutionRequest(name=execution))
    if as_json:
        print_json(found)
    else:
        say(status_line(found))


@executions.command("wait")
@click.argument("execution", type=execution_name)
@click.option("--timeout", type=DURATION, metavar="DURATION", help="Wait at most so long. Default: to the end.")
@json_option
@with_client
@click.pass_context
def wait_command(ctx: click.Context, /, client: Client, execution: str, timeout: float | None, as_json: bool) -> None:
    """Wait until an execution has ended, and print its value. The exit code says how it ended; 5: not yet."""
    from polycall.cli.follow import print_end
    from polycall.cli.show import word
    from polycall.v1 import execution_service_pb2 as pb

    end = time.monotonic() + timeout if timeout is not None else None
    request = pb.WaitExecutionRequest(name=execution)
    while True:
        left_s = LONGEST_WAIT_S if end is None else max(0.0, min(LONGEST_WAIT_S, end - time.monotonic()))
        request.timeout.FromMilliseconds(round(left_s * 1000))
        found = client.call(client.executions.WaitExecution, request, timeout_s=left_s + _MARGIN_S, what=execution)
        if word(found, "state") not in ("QUEUED", "RUNNING") or (end is not None and time.monotonic() >= end):
            break
    ctx.exit(print_end(found, as_json=as_json))


def _get(client: Client, name: str, attempt: int = 0) -> Execution:
    from polycall.v1 import execution_service_pb2 as pb

    request = pb.GetExecutionRequest(name=name, attempt=attempt)
    found: Execution = client.call(client.executions.GetExecution, request)
    return found


def _row(execution: Execution) -> list[str]:
    from polycall.cli.show import elapsed, failure_line, moment, word

    ran = execution.usage.HasField("run_duration")
    return [
        execution.name.removeprefix("executions/"),
        word(execution, "state"),
        execution.function.removeprefix("packages/") or "ad hoc",
        moment(execution.create_time),
        elapsed(execution.usage.run_duration) if ran else "",
        failure_line(execution),
    ]


def _print(execution: Execution, *, as_json: bool) -> None:
    from polycall.cli.show import elapsed, failure_line, limits_line, moment, print_json, word
    from polycall.cli.table import print_facts

    if as_json:
        print_json(execution)
        return
    usage = execution.usage
    spent: list[Any] = [
        f"{name} {elapsed(getattr(usage, field))}"
        for name, field in (
            ("queue", "queue_time"),
            ("start", "start_duration"),
            ("run", "run_duration"),
            ("cpu", "cpu_duration"),
        )
        if usage.HasField(field)
    ]
    if usage.HasField("peak_memory_mib"):
        spent.append(f"memory {usage.peak_memory_mib:.1f} MiB")
    print_facts(
        [
            ("execution", execution.name),
            ("state", word(execution, "state")),
            ("why", failure_line(execution)),
            ("function", execution.function or "ad hoc"),
            ("kind", word(execution, "kind").lower()),
            ("schedule", execution.schedule),
            ("scheduled", moment(execution.scheduled_time)),
            ("created", moment(execution.create_time)),
            ("started", moment(execution.start_time)),
            ("ended", moment(execution.end_time)),
            ("took", ", ".join(spent)),
            ("limits", limits_line(execution.limits)),
            ("process", word(execution, "start_kind").lower()),
            ("isolation", word(execution, "isolation_level").lower()),
            ("attempt", f"{execution.attempt} of {execution.max_attempts}" if execution.attempt else ""),
            ("tried again", retry_line(execution.retry_policy)),
            ("earlier", "\n".join(f"{a.number}: {_why(a)}" for a in execution.attempts)),
            ("next attempt", moment(execution.next_attempt_time)),
            ("priority", str(execution.priority or "")),
            ("exit code", str(execution.exit_code) if execution.HasField("exit_code") else ""),
            ("signal", str(execution.signal) if execution.HasField("signal") else ""),
            ("request id", execution.request_id),
            ("tells", execution.completion_url),
            ("requests", _requests(execution)),
            ("input", execution.input_json),
            ("value", execution.output_json),
            ("stdout", _output(execution.stdout, execution.stdout_truncated)),
            ("stderr", _output(execution.stderr, execution.stderr_truncated)),
        ]
    )


def _why(attempt: Attempt) -> str:
    from polycall.cli.show import moment, word

    return f"{word(attempt.error, 'reason')} at {moment(attempt.end_time)}: {attempt.error.message}"


def _output(text: str, truncated: bool) -> str:
    return text.rstrip("\n") + ("\n(truncated)" if truncated else "")


def _requests(execution: Execution) -> str:
    """Return what it asked of other hosts, a line each."""
    asked = execution.outbound_requests
    lines = [
        f"{one.method} {one.host}:{one.port} "
        + (one.refused or f"{one.status or 'no answer'}, sent {one.sent_bytes}, received {one.received_bytes} bytes")
        for one in asked.requests
    ]
    return "\n".join([*lines, *([f"and {asked.omitted} more"] if asked.omitted else [])])
