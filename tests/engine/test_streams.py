"""Streams: begun, what is written, the end; and who leaves in the middle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from polycall.domain import Execution, ExecutionState, OutputChunk, Reason
from polycall.engine.live import Finished, Started, StreamEvent
from polycall.engine.requests import RunOptions
from polycall.errors import DeadlineExceeded, InvalidArgument, NotFound, QueueFull, Unavailable
from tests.engine.conftest import Build
from tests.engine.house import DEFAULT, HANGS, OTHER, PATIENCE, House, ad_hoc, function, refusal, until

TALKS = "def execute(input):\n    print('one', flush=True)\n    print('two', flush=True)\n    return 3"


async def collected(events: AsyncIterator[StreamEvent]) -> tuple[Execution, bytes, Execution]:
    """Return how it began, what it wrote and how it ended, after checking the order."""
    seen = [event async for event in events]
    assert isinstance(seen[0], Started)
    assert isinstance(seen[-1], Finished)
    chunks = [event for event in seen[1:-1] if isinstance(event, OutputChunk)]
    assert len(chunks) == len(seen) - 2
    return seen[0].execution, b"".join(chunk.data for chunk in chunks), seen[-1].execution


async def chain(first: StreamEvent, rest: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
    yield first
    async for event in rest:
        yield event


async def test_a_stream_has_a_beginning_the_output_and_an_end(home: House) -> None:
    begun, output, ended = await collected(home.engine.stream_execute(DEFAULT, ad_hoc(TALKS)))
    assert (begun.state, output, ended.result) == (ExecutionState.RUNNING, b"one\ntwo\n", b"3")
    assert await home.record() == ended


async def test_a_function_can_be_streamed(home: House) -> None:
    await home.deploy()
    _, output, ended = await collected(home.engine.stream_run(DEFAULT, function("slow", input=b'{"x": 1}')))
    assert (output, ended.result) == (b"begun\ndone\n", b"1")


async def test_leaving_a_stream_kills_its_run_before_the_stream_is_closed(home: House) -> None:
    events = home.engine.stream_execute(DEFAULT, ad_hoc(HANGS))
    seen = [await anext(events), await anext(events)]
    assert isinstance(seen[1], OutputChunk)
    await events.aclose()  # type: ignore[attr-defined]
    assert (len(home.engine.live), home.engine.admission.busy) == (0, 0)
    kept = await home.record()
    assert kept.error is not None
    assert (kept.state, kept.error.reason, kept.stdout) == (
        ExecutionState.CANCELLED,
        Reason.CANCELLED_BY_CLIENT,
        b"begun\n",
    )


async def test_a_client_that_is_cancelled_in_mid_stream_has_its_run_killed(home: House) -> None:
    client = asyncio.create_task(collected(home.engine.stream_execute(DEFAULT, ad_hoc(HANGS))))
    await home.begun()
    client.cancel()
    await asyncio.wait([client])
    await until(lambda: len(home.engine.live) == 0)
    assert (await home.record()).state is ExecutionState.CANCELLED


async def test_a_stream_that_waits_for_a_slot_can_be_left(build: Build) -> None:
    async with build(slots=1) as home:
        first = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        client = asyncio.create_task(collected(home.engine.stream_execute(DEFAULT, ad_hoc())))
        await until(lambda: home.engine.admission.waiting == 1)
        client.cancel()
        await asyncio.wait([client])
        assert home.engine.admission.waiting == 0
        first.cancel()
        await asyncio.wait([first])
        assert len(await home.records()) == 1


async def test_a_stream_is_refused_as_a_run_is(home: House) -> None:
    await refusal(collected(home.engine.stream_execute(DEFAULT, ad_hoc(""))), InvalidArgument)
    await refusal(collected(home.engine.stream_run(DEFAULT, function())), NotFound)


async def test_a_stream_is_refused_by_a_full_queue(build: Build) -> None:
    async with build(slots=1, queue=0) as home:
        first = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
        await home.begun()
        await refusal(collected(home.engine.stream_execute(DEFAULT, ad_hoc())), QueueFull)
        first.cancel()
        await asyncio.wait([first])


async def test_a_stream_ends_with_the_callers_deadline(home: House) -> None:
    for seconds in PATIENCE:
        options = RunOptions(expires_at=time.monotonic() + seconds)
        events = home.engine.stream_execute(DEFAULT, ad_hoc(HANGS), options)
        seen: list[object] = []
        late = await refusal(_all_into(seen, events), DeadlineExceeded)
        if len(seen) == 2:
            break
    assert isinstance(seen[1], OutputChunk)
    assert late.metadata["phase"] == "run"
    assert {kept.state for kept in await home.records()} == {ExecutionState.TIMEOUT}


async def _all_into(seen: list[object], events: AsyncIterator[object]) -> None:
    async for event in events:
        seen.append(event)  # noqa: PERF401  # what came before it raises counts


async def test_a_call_is_followed_from_the_queue_to_its_end(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'))
    events = home.engine.following.events(DEFAULT, call.id)
    first = await anext(events)
    home.work()
    begun, output, ended = await collected(chain(first, events))
    assert (begun.state, output, ended.result) == (ExecutionState.QUEUED, b"begun\ndone\n", b"1")
    assert await home.engine.executions.get(DEFAULT, call.id) == ended


async def test_a_call_that_is_being_claimed_is_followed(home: House) -> None:
    await home.deploy()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'))
    claim = home.store.hold("claim")
    home.work()
    await claim.begun.wait()  # RUNNING in the database, and not yet here
    following = asyncio.create_task(collected(home.engine.following.events(DEFAULT, call.id)))
    waiting = asyncio.create_task(home.engine.executions.wait(DEFAULT, call.id, 60))
    await asyncio.sleep(0.02)
    claim.go.set()
    begun, output, ended = await following
    assert (begun.state, output, ended.result) == (ExecutionState.RUNNING, b"begun\ndone\n", b"1")
    assert await waiting == ended


async def test_who_comes_late_gets_everything_from_the_beginning(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'))
    await home.begun()
    begun, output, ended = await collected(home.engine.following.events(DEFAULT, call.id))
    assert (begun.state, output) == (ExecutionState.RUNNING, b"begun\ndone\n")
    begun, output, again = await collected(home.engine.following.events(DEFAULT, call.id))
    assert (begun.state, output, again) == (ExecutionState.COMPLETED, b"begun\ndone\n", ended)


async def test_what_the_store_told_of_a_run_is_not_told_again_once_it_is_found_here(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("slow", input=b'{"x": 1}'))
    await home.begun()
    find, looks = home.engine.live.get, iter([None, None])  # as if it came between two looks
    monkeypatch.setattr(home.engine.live, "get", lambda *of: next(looks, find(*of)))
    begun, output, ended = await collected(home.engine.following.events(DEFAULT, call.id))
    assert (begun.state, output, ended.result) == (ExecutionState.RUNNING, b"begun\ndone\n", b"1")


async def test_leaving_does_not_stop_an_execution_that_is_only_followed(home: House) -> None:
    run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
    await home.begun()
    (live,) = home.engine.live.all()
    events = home.engine.following.events(DEFAULT, live.execution.id)
    await anext(events)
    await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    assert not run.done()
    run.cancel()
    await asyncio.wait([run])


async def test_another_projects_execution_cannot_be_followed(home: House) -> None:
    run = asyncio.create_task(home.engine.execute(DEFAULT, ad_hoc(HANGS)))
    await home.begun()
    (live,) = home.engine.live.all()
    await refusal(anext(home.engine.following.events(OTHER, live.execution.id)), NotFound)
    run.cancel()
    await asyncio.wait([run])


async def test_following_ends_with_an_error_when_the_call_is_handed_back(home: House) -> None:
    await home.deploy()
    home.work()
    call = await home.engine.call(DEFAULT, function("hang"))
    await home.begun()
    following = asyncio.create_task(collected(home.engine.following.events(DEFAULT, call.id)))
    await asyncio.sleep(0)
    await home.engine.drain(0)
    await home.dispatcher.stop(0)
    async with asyncio.timeout(60):
        await refusal(following, Unavailable)
