"""Very many ended executions: what a page of each list takes, and whether anything else notices them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.contestants import Polycall
from bench.postgres import postgres
from bench.rounds import Recorder
from bench.rows import COGNITE, HOT, fill
from polycall.domain import DEFAULT_PROJECT, Execution, ExecutionKind, ExecutionState, Language
from polycall.ids import id_at, new_id, now_ms
from polycall.store.sql import SqlStore, StoreConfig, open_store
from polycall.v1 import execution_service_pb2
from tests.harness import Server, running_server

__all__ = ["CLAIM", "DELETING", "EMPTY", "FACE_PAGE", "FINISH", "FULL", "GET", "PAGE", "PLAIN", "lists"]

PLAIN = "page of 50, {}: the newest of all"
PAGE, FACE_PAGE = "page of 50, {}: slowest list", "page of 50, {}: slowest list of a face"
GET, CLAIM, FINISH = "get, {}", "claim, {}", "finish, {}"
EMPTY, FULL, DELETING = "empty table", "many executions", "many, old ones being deleted"
# Times each list is asked for, with all others in between; the shortest counts: the slowest of more than a hundred
# lists would else be the one that was asked for while the machine did something else.
_ASKED = 11
_REQUESTS = 660  # where there are few lists, each is asked for more often: over some seconds, too
_PLAIN = ("", "", (), False)  # of all lists the one that asks for nothing
_TURNS = 200  # of get, claim and finish, in both tables by turns
_SLICE, _PAUSE_S = 500, 0.05  # as polycall.engine.retention has them
_SHARE_OF_OTHERS = 4  # a quarter as many belong to other projects
_DAY_MS = 86_400_000
T = TypeVar("T")
K = TypeVar("K")

_PARENTS = (
    "",
    f"packages/{HOT}",
    f"packages/{HOT}/functions/rare",
    f"packages/{HOT}/functions/none",
    f"packages/{HOT}/versions/0",
    f"packages/{HOT}/versions/2",
    f"packages/{HOT}/versions/2/functions/gone",
)
_STATES = ((), ("COMPLETED",), ("FAILED",), ("CANCELLED",), ("RUNNING", "CANCELLED"), ("FAILED", "TIMEOUT"))
_SCHEDULES = ("once", "every-1", "none")
_FACES = {
    "cognite": [
        f"/api/v1/projects/default/functions/{COGNITE}/calls?limit=50{more}"
        for more in ("", "&status=Failed", "&status=Timeout", "&status=Completed")
    ],
    "riza": [f"/v1/executions?limit=50{more}" for more in ("", "&only_non_zero_exit_codes=true")],
}


def lists(recorder: Recorder, ours: Polycall) -> None:
    """Measure on SQLite and on PostgreSQL: pages through a server, the rest in the store, beside an empty table."""
    del ours
    with tempfile.TemporaryDirectory(prefix="polycall-bench-") as scratch:
        full, empty = Path(scratch) / "full", Path(scratch) / "empty"
        asyncio.run(_measure(recorder, "SQLite", StoreConfig(data_dir=full), StoreConfig(data_dir=empty), full, {}))
    with (
        postgres("full_table", "empty_table") as server,
        tempfile.TemporaryDirectory(prefix="polycall-bench-") as scratch,
    ):
        urls = [server.database(name) for name in ("full_table", "empty_table")]
        # to fill it is one statement, which takes longer than any of a server's
        full_config, empty_config = (StoreConfig(database_url=url, statement_s=600) for url in urls)
        settings = {"POLYCALL_DATABASE_URL": urls[0]}
        asyncio.run(_measure(recorder, "PostgreSQL", full_config, empty_config, Path(scratch), settings))


async def _measure(
    recorder: Recorder, database: str, full: StoreConfig, empty: StoreConfig, data: Path, settings: dict[str, str]
) -> None:
    rows = recorder.effort.rows
    async with _opened(full) as store:
        made = await store._executor.write(fill, rows, rows // _SHARE_OF_OTHERS)
        if full.database_url:
            await store._executor.single(lambda conn: conn.exec_driver_sql("ANALYZE"))
    recorder.value(f"filled, {database}", f"{made.rows + made.others} executions", made.seconds, "s")
    recorder.value(f"filled, {database}", "of that, indexes", made.indexing, "s")
    await asyncio.to_thread(_pages, recorder, database, data, settings)
    async with _opened(full) as many, _opened(empty) as none:
        await _beside(recorder, database, many, none)


def _pages(recorder: Recorder, database: str, data: Path, settings: dict[str, str]) -> None:
    with running_server(data, **settings) as server:
        natively = {which: partial(_list, server, *which) for which in _asked()}
        took = _shortest_ms(natively)
        recorder.value(PLAIN.format(database), FULL, took[_PLAIN], "ms")
        slowest = max(took, key=took.__getitem__)
        recorder.value(PAGE.format(database), FULL, took[slowest], f"ms: {_named(*slowest)}")
        of_faces = _shortest_ms({path: partial(_get, server, path) for paths in _FACES.values() for path in paths})
        path = max(of_faces, key=of_faces.__getitem__)
        recorder.value(FACE_PAGE.format(database), FULL, of_faces[path], f"ms: {path.rpartition('/')[2]}")


def _shortest_ms(lists: Mapping[K, Callable[[], object]]) -> dict[K, float]:
    """Ask for each list again and again, all of them in turn; return the shortest time of each."""
    took = dict.fromkeys(lists, math.inf)
    for _ in range(max(_ASKED, _REQUESTS // len(lists))):
        for which, ask in lists.items():
            since = time.perf_counter()
            ask()
            took[which] = min(took[which], (time.perf_counter() - since) * 1000)
    return took


def _asked() -> list[tuple[str, str, tuple[str, ...], bool]]:
    """Return every list there is: a parent or a schedule, states, with a range of times and without."""
    found: list[tuple[str, str, tuple[str, ...], bool]] = []
    for states in _STATES:
        for timed in (False, True):
            found += [(parent, "", states, timed) for parent in _PARENTS]
            found += [("", schedule, states, timed) for schedule in _SCHEDULES]
    return found


def _named(parent: str, schedule: str, states: tuple[str, ...], timed: bool) -> str:
    return " ".join(filter(None, (parent, schedule, ",".join(states), "in a range of times" if timed else "")))


def _list(server: Server, parent: str, schedule: str, states: tuple[str, ...], timed: bool) -> None:
    request = execution_service_pb2.ListExecutionsRequest(
        page_size=50,
        parent=parent,
        schedule=f"schedules/{schedule}" if schedule else "",
        states=[f"STATE_{state}" for state in states],
    )
    if timed:
        request.created_after.FromMilliseconds(now_ms() - 70 * _DAY_MS)
        request.created_before.FromMilliseconds(now_ms() - _DAY_MS)
    server.executions.ListExecutions(request, metadata=server.metadata)


def _get(server: Server, path: str) -> None:
    answer = server.http("GET", path, headers={"authorization": f"Bearer {server.key}"})
    assert answer.status == 200, answer


async def _beside(recorder: Recorder, database: str, many: SqlStore, none: SqlStore) -> None:
    tables = {EMPTY: none, FULL: many}
    took: dict[tuple[str, str], list[float]] = {(what, table): [] for what in (GET, CLAIM, FINISH) for table in tables}
    for _ in range(_TURNS):
        for table, store in tables.items():
            await _one_call(store, {what: took[what, table] for what in (GET, CLAIM, FINISH)})
    for (what, table), values in took.items():
        recorder.value(what.format(database), table, statistics.median(values), "ms")
    during: dict[str, list[float]] = {what: [] for what in (GET, CLAIM, FINISH)}
    deleting = asyncio.create_task(_delete(many, now_ms() - 40 * _DAY_MS))
    begun = time.perf_counter()
    while not deleting.done() and time.perf_counter() - begun < 5 * recorder.effort.seconds:
        await _one_call(many, during)
    deleting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await deleting
    for what, values in during.items():
        recorder.value(what.format(database), DELETING, statistics.median(values), "ms")
    claims = sorted(during[CLAIM])
    recorder.value(f"{CLAIM.format(database)}, p99", DELETING, claims[len(claims) * 99 // 100], "ms")


async def _one_call(store: SqlStore, took: Mapping[str, list[float]]) -> None:
    """Accept a Call, claim it, finish it, read it; add what that took, ms."""
    call = Execution(
        id=new_id(),
        project_id=DEFAULT_PROJECT,
        kind=ExecutionKind.CALL,
        state=ExecutionState.QUEUED,
        queued_at=now_ms(),
        language=Language.PYTHON,
        package_id=HOT,
        version_id="2",
        function="main",
        input=b"{}",
    )
    await store.enqueue(call)
    (claimed,) = await _timed(store.claim("bench", {DEFAULT_PROJECT: 1}), took[CLAIM])
    end = replace(claimed, state=ExecutionState.COMPLETED, ended_at=now_ms(), result=b"1")
    assert await _timed(store.finish(end, owner="bench"), took[FINISH])
    await _timed(store.get(DEFAULT_PROJECT, call.id), took[GET])


async def _timed(work: Awaitable[T], took: list[float]) -> T:
    since = time.perf_counter()
    result = await work
    took.append((time.perf_counter() - since) * 1000)
    return result


async def _delete(store: SqlStore, before_ms: int) -> None:
    """Delete as retention does."""
    while await store.prune_executions(DEFAULT_PROJECT, id_at(before_ms), _SLICE):  # noqa: ASYNC110  nothing to wait for
        await asyncio.sleep(_PAUSE_S)


@contextlib.asynccontextmanager
async def _opened(config: StoreConfig) -> AsyncIterator[SqlStore]:
    store = open_store(config)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()
