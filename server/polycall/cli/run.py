"""``polycall run``: run code or a function, see its output live, get its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from polycall.cli.client import Client, with_client
from polycall.cli.failures import Failure
from polycall.cli.options import (
    DURATION,
    FILE_INPUT,
    PAYLOAD,
    SECRET_VARIABLE,
    VARIABLE,
    json_option,
    limits_of,
    read_bytes,
    run_limit_options,
    runtime_name,
)
from polycall.cli.retries import priority_option, retry_of, retry_options
from polycall.cli.suffixes import SUFFIXES
from polycall.domain import Convention, Language

__all__ = ["call_command", "run_command"]

_CONVENTIONS = click.Choice([c.value for c in Convention if c not in (Convention.PARAMETERS, Convention.SCRIPT)])
_LANGUAGES = click.Choice([language.value for language in Language])
# What only code that comes with its request can have.
_AD_HOC_ONLY = (
    "files",
    "env",
    "secret_env",
    "hosts",
    "script",
    "convention",
    "entrypoint",
    "language",
    "runtime",
    "stdin",
    "args",
)


@click.command("run")
@click.argument("target")
@click.argument("args", nargs=-1)
@click.option("--input", "payload", type=PAYLOAD, metavar="JSON|@FILE|-", help="The input; null if not given.")
@click.option("--file", "files", type=FILE_INPUT, multiple=True, help="File for the work directory; repeatable.")
@click.option("--env", "env", type=VARIABLE, multiple=True, help="Environment variable; NAME alone passes yours on.")
@click.option(
    "--secret-env",
    type=SECRET_VARIABLE,
    multiple=True,
    help="Environment variable that is a secret's value; repeatable.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="Host the code may reach, *.HOST too; repeatable.",
)
@click.option("--script", is_flag=True, help="Run the file as a program, with ARGS and --stdin.")
@click.option("--stdin", metavar="FILE|-", help="Standard input of a script.")
@click.option("--convention", type=_CONVENTIONS, help="How the input reaches the code. Default: input.")
@click.option("--entrypoint", metavar="NAME", help="The callable. Default: execute, or handle for that convention.")
@click.option("--language", type=_LANGUAGES, help="Default: by the file's suffix, else python.")
@click.option("--runtime", metavar="ID", help="Runtime with its packages. Default: the server's own of the language.")
@run_limit_options
@json_option
@with_client
@click.pass_context
def run_command(
    ctx: click.Context,
    /,
    client: Client,
    target: str,
    payload: str | None,
    timeout: float | None,
    memory: int | None,
    cpu_time: float | None,
    as_json: bool,
    **ad_hoc: Any,
) -> None:
    """Run TARGET: a file of code, - for code from standard input, or a function's name.

    A function is named packages/P/functions/F, or packages/P/versions/V/functions/F. Output appears as it is written;
    the returned value is printed on standard output, a line about the run on standard error. Ctrl-C kills the run.

    \b
    echo 'def execute(input): return {"hello": input["name"]}' | polycall run - --input '{"name":"Ada"}'
    """
    from polycall.cli.follow import follow, print_end
    from polycall.v1 import execution_service_pb2 as pb

    limits = limits_of(timeout, memory, cpu_time)
    request = pb.StreamExecutionRequest()
    if target.startswith("packages/"):
        given = [name for name in _AD_HOC_ONLY if ad_hoc[name]]
        if given:
            raise click.UsageError(
                f"{', '.join(given)}: only for code that comes with the request, not for a function."
            )
        request.run_function.CopyFrom(pb.RunFunctionRequest(function=target, input_json=payload or "", limits=limits))
    else:
        request.execute.CopyFrom(_execute_request(target, payload, limits, **ad_hoc))
    ctx.exit(print_end(follow(client, request, quiet=as_json), as_json=as_json))


def _read_code(target: str) -> bytes:
    """Return the code that is run. Raises Failure: what is no file may be meant for something else."""
    if target != "-" and Path(target).is_dir():
        raise Failure(f"{target} is a directory: `polycall deploy` it, and run its functions by their names.")
    if target != "-" and not Path(target).exists():
        raise Failure(f"cannot read {target}: No such file or directory. A function is named packages/P/functions/F.")
    return read_bytes(target)


def _execute_request(
    target: str,
    payload: str | None,
    limits: Any,
    *,
    files: tuple[tuple[str, bytes], ...],
    env: tuple[tuple[str, str], ...],
    secret_env: tuple[tuple[str, str], ...],
    hosts: tuple[str, ...],
    script: bool,
    convention: str | None,
    entrypoint: str | None,
    language: str | None,
    runtime: str | None,
    stdin: str | None,
    args: tuple[str, ...],
) -> Any:
    from polycall.v1 import execution_pb2
    from polycall.v1 import execution_service_pb2 as pb

    if not script and (args or stdin):
        raise click.UsageError("ARGS and --stdin are for programs: add --script.")
    if script and (payload is not None or convention or entrypoint):
        raise click.UsageError("--script runs the file itself: it takes no --input, --convention or --entrypoint.")
    if target == "-" and stdin == "-":
        raise click.UsageError("standard input cannot be both the code and the input of the script.")
    chosen = Convention.SCRIPT if script else Convention(convention) if convention else Convention.INPUT
    if chosen is Convention.HANDLE:
        entrypoint = entrypoint or "handle"
    language = language or SUFFIXES.get(Path(target).suffix, Language.PYTHON)
    try:
        code = _read_code(target).decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"{target} is not UTF-8 text.") from None
    return pb.ExecuteRequest(
        language=f"LANGUAGE_{language.upper()}",
        code=code,
        convention=f"CONVENTION_{chosen.name}",
        entrypoint=entrypoint or "",
        input_json=payload or "",
        env=dict(env),
        secret_env=dict(secret_env),
        egress=execution_pb2.EgressPolicy(rules=[execution_pb2.EgressRule(host=h) for h in hosts]) if hosts else None,
        files=[pb.InputFile(path=path, contents=data) for path, data in files],
        limits=limits,
        runtime=runtime_name(runtime) if runtime else "",
        stdin=read_bytes(stdin) if stdin else b"",
        args=args,
    )


@click.command("call")
@click.argument("function")
@click.option("--input", "payload", type=PAYLOAD, metavar="JSON|@FILE|-", help="The input; null if not given.")
@click.option("--wait", is_flag=True, help="Follow it to its end, as `polycall run` does.")
@click.option("--deadline", type=DURATION, metavar="DURATION", help="Stop waiting and running after so long.")
@click.option(
    "--max-attempts", type=click.IntRange(min=1), default=None, help="Starts if servers are lost: 1 to 10. Default: 3."
)
@click.option("--request-id", metavar="UUID", default="", help="Repeating one makes no second execution.")
@click.option("--completion-url", metavar="URL", default="", help="Tell its end there; see `polycall webhooks`.")
@priority_option
@retry_options
@run_limit_options
@json_option
@with_client
@click.pass_context
def call_command(
    ctx: click.Context,
    /,
    client: Client,
    function: str,
    payload: str | None,
    wait: bool,
    deadline: float | None,
    max_attempts: int | None,
    request_id: str,
    completion_url: str,
    timeout: float | None,
    memory: int | None,
    cpu_time: float | None,
    as_json: bool,
    priority: int | None,
    **asked: Any,
) -> None:
    """Have a function run later: durable once this returns. Prints the execution's name.

    FUNCTION is packages/P/functions/F, or packages/P/versions/V/functions/F.
    """
    from datetime import UTC, datetime, timedelta

    from polycall.cli.follow import follow, print_end
    from polycall.cli.show import print_json
    from polycall.cli.terminal import say, tell
    from polycall.v1 import execution_service_pb2 as pb

    request = pb.CallRequest(
        function=function,
        input_json=payload or "",
        limits=limits_of(timeout, memory, cpu_time),
        max_attempts=max_attempts or 0,
        request_id=request_id,
        completion_url=completion_url,
        priority=priority,
        retry_policy=retry_of(asked),
    )
    if deadline is not None:
        request.deadline.FromDatetime(datetime.now(UTC) + timedelta(seconds=deadline))
    execution = client.call(client.executions.Call, request)
    if wait:
        try:
            execution = follow(client, pb.StreamExecutionRequest(name=execution.name), quiet=as_json)
        except KeyboardInterrupt:
            tell(f"{execution.name} goes on; `polycall executions cancel {execution.name}` ends it.")
            raise
        ctx.exit(print_end(execution, as_json=as_json))
    if as_json:
        print_json(execution)
    else:
        say(execution.name)
