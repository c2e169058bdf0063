"""``polycall schedules``: functions that run by the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from polycall.cli.client import Client, with_client
from polycall.cli.options import (
    DURATION,
    PAYLOAD,
    confirm_deletion,
    json_option,
    limit_option,
    limits_of,
    run_limit_options,
    schedule_name,
    shown_id,
)
from polycall.cli.retries import priority_option, retry_line, retry_of, retry_options
from polycall.domain import MissedTicks, Overlap

if TYPE_CHECKING:
    from polycall.v1.schedule_pb2 import Schedule

__all__ = ["schedules"]

_PAGE = 1000  # the largest page the server gives
_OVERLAPS = click.Choice([policy.value for policy in Overlap])
_MISSED = click.Choice([policy.value.replace("_", "-") for policy in MissedTicks])
_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group("schedules")
def schedules() -> None:
    """Have functions run by the clock: create, see, change, pause and delete schedules."""


def _asked(command: _Command) -> _Command:
    """Add what can be said of a schedule, whether it is new or not."""
    options = [
        click.option("--timezone", metavar="ZONE", help="Where the hours are, such as Europe/Oslo. Default: UTC."),
        click.option("--input", "payload", type=PAYLOAD, metavar="JSON|@FILE|-", help="The input of each run."),
        click.option("--overlap", type=_OVERLAPS, help="While an earlier run has not ended. Default: allow."),
        click.option("--missed", type=_MISSED, help="For ticks that no server could fire in time. Default: skip."),
        click.option("--deadline", type=DURATION, metavar="DURATION", help="Stop a run so long after its tick."),
        click.option(
            "--max-attempts", type=click.IntRange(min=1), help="Starts if servers are lost: 1 to 10. Default: 3."
        ),
        priority_option,
        retry_options,
        click.option("--display-name", metavar="TEXT", help="Name for people."),
        click.option("--description", metavar="TEXT", help="What it is for."),
        click.option(
            "--completion-url", metavar="URL", help="Tell the end of each run there; see `polycall webhooks`."
        ),
    ]
    command = run_limit_options(command)
    for option in reversed(options):
        command = option(command)
    return command


@schedules.command("create")
@click.argument("function")
@click.argument("cron")
@click.option("--id", "schedule_id", metavar="ID", default="", help="Its id. Default: a new UUID.")
@click.option("--paused", is_flag=True, help="Without ticks until it is resumed.")
@_asked
@json_option
@with_client
def create_command(
    client: Client, function: str, cron: str, schedule_id: str, paused: bool, as_json: bool, **asked: Any
) -> None:
    """Have FUNCTION run whenever CRON says so: five fields, such as '*/5 * * * *'.

    FUNCTION is packages/P/functions/F, or packages/P/versions/V/functions/F to stay with one version.
    """
    from polycall.v1 import schedule_service_pb2 as pb

    wanted, _ = _schedule(asked, function=function, cron=cron)
    wanted.paused = paused
    made = client.call(
        client.schedules.CreateSchedule, pb.CreateScheduleRequest(schedule_id=schedule_id, schedule=wanted)
    )
    _print(made, as_json=as_json)


@schedules.command("list")
@click.option("--parent", metavar="NAME", default="", help="Only of packages/P[/versions/V][/functions/F].")
@limit_option(100)
@json_option
@with_client
def list_command(client: Client, parent: str, limit: int, as_json: bool) -> None:
    """List schedules, newest first."""
    from polycall.cli.show import moment, print_json
    from polycall.cli.table import print_table
    from polycall.v1 import schedule_service_pb2 as pb

    request, answer = pb.ListSchedulesRequest(parent=parent), pb.ListSchedulesResponse()
    while True:
        request.page_size = min(limit - len(answer.schedules), _PAGE)
        page = client.call(client.schedules.ListSchedules, request)
        answer.schedules.extend(page.schedules)
        answer.next_page_token = request.page_token = page.next_page_token
        if not page.next_page_token or len(answer.schedules) >= limit:
            break
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            shown_id(s.name),
            s.function.removeprefix("packages/"),
            s.cron,
            s.timezone,
            "paused" if s.paused else _first(s, moment),
            str(s.run_count),
            str(s.skipped_count),
        ]
        for s in answer.schedules
    ]
    print_table(["SCHEDULE", "FUNCTION", "CRON", "ZONE", "NEXT", "RUNS", "SKIPPED"], rows)


@schedules.command("get")
@click.argument("schedule", type=schedule_name)
@json_option
@with_client
def get_command(client: Client, schedule: str, as_json: bool) -> None:
    """Show a schedule with its next ticks, what it has run and what it has skipped."""
    from polycall.v1 import schedule_service_pb2 as pb

    _print(client.call(client.schedules.GetSchedule, pb.GetScheduleRequest(name=schedule)), as_json=as_json)


@schedules.command("update")
@click.argument("schedule", type=schedule_name)
@click.option("--function", metavar="NAME", help="What runs.")
@click.option("--cron", metavar="CRON", help="When it runs.")
@_asked
@json_option
@with_client
def update_command(
    client: Client, schedule: str, function: str | None, cron: str | None, as_json: bool, **asked: Any
) -> None:
    """Change a schedule: what is given, and nothing else. Limits are given together."""
    from polycall.v1 import schedule_service_pb2 as pb

    wanted, paths = _schedule(asked, function=function, cron=cron)
    if not paths:
        raise click.UsageError("say what to change; `polycall schedules update --help` lists it.")
    wanted.name = schedule
    request = pb.UpdateScheduleRequest(schedule=wanted)
    request.update_mask.paths.extend(paths)
    _print(client.call(client.schedules.UpdateSchedule, request), as_json=as_json)


@schedules.command("pause")
@click.argument("schedule", type=schedule_name)
@json_option
@with_client
def pause_command(client: Client, schedule: str, as_json: bool) -> None:
    """Have no more ticks; what waits or runs goes on."""
    from polycall.v1 import schedule_service_pb2 as pb

    _print(client.call(client.schedules.PauseSchedule, pb.PauseScheduleRequest(name=schedule)), as_json=as_json)


@schedules.command("resume")
@click.argument("schedule", type=schedule_name)
@json_option
@with_client
def resume_command(client: Client, schedule: str, as_json: bool) -> None:
    """Go on with the next tick that comes."""
    from polycall.v1 import schedule_service_pb2 as pb

    _print(client.call(client.schedules.ResumeSchedule, pb.ResumeScheduleRequest(name=schedule)), as_json=as_json)


@schedules.command("run")
@click.argument("schedule", type=schedule_name)
@click.option("--wait", is_flag=True, help="Follow it to its end, as `polycall run` does.")
@json_option
@with_client
@click.pass_context
def run_command(ctx: click.Context, /, client: Client, schedule: str, wait: bool, as_json: bool) -> None:
    """Run it now, beside its ticks, also if it is paused. Prints the execution's name."""
    from polycall.cli.follow import follow, print_end
    from polycall.cli.show import print_json
    from polycall.cli.terminal import say
    from polycall.v1 import execution_service_pb2
    from polycall.v1 import schedule_service_pb2 as pb

    accepted = client.call(client.schedules.RunSchedule, pb.RunScheduleRequest(name=schedule))
    if wait:
        request = execution_service_pb2.StreamExecutionRequest(name=accepted.name)
        ctx.exit(print_end(follow(client, request, quiet=as_json), as_json=as_json))
    if as_json:
        print_json(accepted)
    else:
        say(accepted.name)


@schedules.command("delete")
@click.argument("schedule", type=schedule_name)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@with_client
def delete_command(client: Client, schedule: str, yes: bool, as_json: bool) -> None:
    """Delete a schedule; its executions stay."""
    from polycall.cli.terminal import say
    from polycall.v1 import schedule_service_pb2 as pb

    if not yes:
        confirm_deletion(schedule)
    client.call(client.schedules.DeleteSchedule, pb.DeleteScheduleRequest(name=schedule))
    say("{}" if as_json else f"{schedule} is deleted.")


def _schedule(asked: dict[str, Any], *, function: str | None, cron: str | None) -> tuple[Schedule, list[str]]:
    """Return what was said of a schedule, and which of its fields that is."""
    from polycall.v1 import schedule_pb2

    limits = limits_of(asked["timeout"], asked["memory"], asked["cpu_time"])
    given = {
        "function": function,
        "cron": cron,
        "timezone": asked["timezone"],
        "input_json": asked["payload"],
        "limits": limits if limits.ListFields() else None,
        "max_attempts": asked["max_attempts"],
        "priority": asked["priority"],
        "retry_policy": retry_of(asked),
        "overlap": f"OVERLAP_{asked['overlap'].upper()}" if asked["overlap"] else None,
        "missed_ticks": f"MISSED_TICKS_{asked['missed'].upper().replace('-', '_')}" if asked["missed"] else None,
        "display_name": asked["display_name"],
        "description": asked["description"],
        "completion_url": asked["completion_url"],
    }
    given = {name: value for name, value in given.items() if value is not None}
    wanted = schedule_pb2.Schedule(**given)
    paths = list(given)
    if asked["deadline"] is not None:
        wanted.deadline.FromNanoseconds(round(asked["deadline"] * 1e9))
        paths.append("deadline")
    return wanted, paths


def _first(schedule: Schedule, moment: Callable[[Any], str]) -> str:
    return moment(schedule.next_runs[0]) if schedule.next_runs else ""


def _print(schedule: Schedule, *, as_json: bool) -> None:
    from polycall.cli.show import elapsed, limits_line, moment, print_json, word
    from polycall.cli.table import print_facts

    if as_json:
        print_json(schedule)
        return
    skipped = f"{schedule.skipped_count}, last {moment(schedule.last_skipped_time)}: {schedule.last_skip_reason}"
    print_facts(
        [
            ("schedule", schedule.name),
            ("display name", schedule.display_name),
            ("description", schedule.description),
            ("function", schedule.function),
            ("cron", schedule.cron),
            ("when", f"{schedule.when} ({schedule.timezone})"),
            ("next", "paused" if schedule.paused else "\n".join(moment(tick) for tick in schedule.next_runs)),
            ("last run", moment(schedule.last_run_time)),
            ("runs", str(schedule.run_count)),
            ("skipped", skipped if schedule.skipped_count else "0"),
            ("overlap", word(schedule, "overlap").lower()),
            ("missed", word(schedule, "missed_ticks").lower().replace("_", "-")),
            ("deadline", elapsed(schedule.deadline) if schedule.HasField("deadline") else ""),
            ("limits", limits_line(schedule.limits)),
            ("attempts", str(schedule.max_attempts or "")),
            ("tells", schedule.completion_url),
            ("tried again", retry_line(schedule.retry_policy)),
            ("priority", str(schedule.priority or "")),
            ("made by", schedule.face),
            ("input", schedule.input_json),
        ]
    )
