"""An execution as it runs: its output live, its value on standard output, one line about it on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.show import elapsed, execution_exit, failure_line, print_json, word
from polycall.cli.terminal import LiveOutput, Progress, say, tell

if TYPE_CHECKING:
    from polycall.cli.client import Client
    from polycall.v1.execution_pb2 import Execution

__all__ = ["follow", "print_end", "status_line"]


def follow(client: Client, request: Any, *, quiet: bool = False) -> Execution:
    """Print the output of a StreamExecutionRequest as it comes, and return the execution as it ended.

    ``quiet`` prints nothing. Raises Failure; a stream that ends without its last event is one.
    """
    output = LiveOutput()
    name = request.name or "the run"
    with Progress("running") as progress:
        for event in client.stream(client.executions.StreamExecution, request):
            match event.WhichOneof("event"):
                case "started":
                    name = event.started.name
                case "output" if not quiet:
                    progress.stop()
                    output.write(event.output.stream, event.output.data)
                case "finished":
                    progress.stop()
                    output.end_line()
                    finished: Execution = event.finished
                    return finished
    raise Failure(
        f"the server stopped telling about {name} before its end. `polycall executions get` shows what became of it.",
        Exit.UNREACHABLE,
    )


def print_end(execution: Execution, *, as_json: bool) -> Exit:
    """Print the value and the status line of an execution that was followed; return the exit code it means."""
    if as_json:
        print_json(execution)
    else:
        if execution.output_json:
            say(execution.output_json)
        code = execution_exit(execution)
        tell(status_line(execution), "dim" if code is Exit.OK else "red")
    return execution_exit(execution)


def status_line(execution: Execution) -> str:
    """Return in one line what is worth knowing: ``OK · forked · 1.3 ms · cpu 0.6 ms · executions/…``."""
    state = word(execution, "state")
    usage = execution.usage
    parts = ["OK" if state == "COMPLETED" else state, failure_line(execution), word(execution, "start_kind").lower()]
    if usage.HasField("run_duration"):
        parts.append(elapsed(usage.run_duration))
    if usage.HasField("cpu_duration"):
        parts.append(f"cpu {elapsed(usage.cpu_duration)}")
    parts += [f"{name} truncated" for name in ("stdout", "stderr") if getattr(execution, f"{name}_truncated")]
    parts.append(execution.name)
    return " · ".join(part for part in parts if part)
