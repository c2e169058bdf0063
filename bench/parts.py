"""The parts of the comparison. Each measures its contestants once; rounds repeat it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from bench.contestants import (
    Absent,
    Polycall,
    Rival,
    execute_job,
    functions_framework,
    polycall,
    rest_job,
    run_function_job,
    workerd,
    yardstick,
)
from bench.lists import lists
from bench.overload import overload
from bench.packages import packages
from bench.payload import payload
from bench.queue import queue
from bench.records import records
from bench.replicas import replicas
from bench.rounds import Part, Recorder
from bench.targets import REST, WARM, several

__all__ = ["PARTS"]


def warm(recorder: Recorder, ours: Polycall) -> None:
    """RunFunction over gRPC on a warm worker."""
    for mode in ("inline", "pool"):
        with yardstick(mode) as rival:
            recorder.rival(rival)
    recorder.closed(WARM, ours.pid, ours.grpc("RunFunction"), run_function_job())
    with _with_more_processes(recorder) as more:
        if more is not None:
            recorder.closed(several(WARM), more.pid, more.grpc("RunFunction"), run_function_job())


def fresh(recorder: Recorder, ours: Polycall) -> None:
    """Execute over gRPC in a sandbox of its own; one request in thirty to the rival is enough to know it."""
    with _if_present(recorder, lambda: yardstick("bwrap")) as rival:
        if rival is not None:
            recorder.rival(rival, *(c for c in recorder.effort.concurrencies if c in (1, 16)))
    execute = ours.grpc("Execute")
    recorder.paced("polycall Execute python", ours.pid, execute, execute_job())
    recorder.closed("polycall Execute python", ours.pid, execute, execute_job())
    with _if_present(recorder, workerd) as rival:
        if rival is not None:
            recorder.rival(rival, 1, 16)
    for language in ("javascript", "typescript"):
        if language not in ours.languages:
            recorder.absent(f"polycall Execute {language}: this server does not run it")
            continue
        recorder.paced(f"polycall Execute {language}", ours.pid, execute, execute_job(language), rate=10)
        recorder.closed(f"polycall Execute {language}", ours.pid, execute, execute_job(language), 1, 16)


def rest(recorder: Recorder, ours: Polycall) -> None:
    """The warm function by REST through Envoy."""
    with _if_present(recorder, functions_framework) as rival:
        if rival is not None:
            recorder.rival(rival)
    recorder.closed(REST, ours.pid, ours.rest(), rest_job())
    with _with_more_processes(recorder) as more:
        if more is not None:
            recorder.closed(several(REST), more.pid, more.rest(), rest_job())


PARTS: Mapping[str, Part] = {
    "warm": warm,
    "fresh": fresh,
    "rest": rest,
    "payload": payload,
    "overload": overload,
    "packages": packages,
    "records": records,
    "queue": queue,
    "lists": lists,
    "replicas": replicas,
}


@contextlib.contextmanager
def _with_more_processes(recorder: Recorder) -> Iterator[Polycall | None]:
    """Run a second server of ours, of several processes, if that is to be measured."""
    if recorder.effort.processes == 1:
        yield None
        return
    with polycall(POLYCALL_PROCESSES=str(recorder.effort.processes)) as more:
        yield more


@contextlib.contextmanager
def _if_present(
    recorder: Recorder, rival: Callable[[], contextlib.AbstractContextManager[Rival]]
) -> Iterator[Rival | None]:
    """Run a rival; if it is not installed, say so and go on without it."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(rival())
        except Absent as reason:
            recorder.absent(str(reason))
            yield None
            return
        yield found
