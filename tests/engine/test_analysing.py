"""Versions that are analysed after they were stored: always to an end, by whoever is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polycall.domain import Convention, Function, Language, Version, VersionState
from polycall.engine.registry import VersionDraft
from polycall.errors import NotReady
from polycall.sandbox.sandbox import Sandbox
from tests.engine.house import DEFAULT, OTHER, House, function, house, other_project, refusal, until

ONE, TWO = b"def f(n: int = 1): return n", b"def f(n: int = 2): return n\ndef g(): ..."
BROKEN = b"x = 1\ndef f(:\n"


def draft(source: bytes, **changes: object) -> VersionDraft:
    return VersionDraft(package_id="p", files={"main.py": source}, id="1", **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def analysing(home: House) -> AsyncIterator[None]:
    task = asyncio.create_task(home.registry.analyses.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def later(home: House, source: bytes, *, release: bool = False) -> Version:
    return await home.registry.create_version(
        DEFAULT, draft(source), create_package=True, release=release, analyze_later=True
    )


async def ended(home: House) -> Version:
    async def version() -> Version | None:
        found = await home.registry.get_version(DEFAULT, "p", "1")
        return None if found.state is VersionState.ANALYSING else found

    found: Version = await until(version)
    return found


async def test_a_version_waits_for_its_analysis_and_cannot_be_run_until_then(home: House) -> None:
    made = await later(home, ONE)
    assert (made.state, made.functions) == (VersionState.ANALYSING, ())
    refused = await refusal(home.engine.run(DEFAULT, function("f")), NotReady)
    assert refused.metadata["state"] == "analysing"
    await refusal(home.registry.release_version(DEFAULT, "p", "1"), NotReady)
    async with analysing(home):
        found = await ended(home)
    assert (found.state, [f.name for f in found.functions], found.released_at) == (VersionState.READY, ["f"], None)
    assert (await home.engine.run(DEFAULT, function("f"))).result == b"1"


async def test_one_that_shall_be_released_is_released_if_it_can_be(home: House) -> None:
    made = await later(home, ONE, release=True)
    async with analysing(home):
        found = await ended(home)
    assert (found.state, found.released_at) == (VersionState.RELEASED, made.created_at)


async def test_one_that_does_not_compile_says_where(home: House) -> None:
    await later(home, BROKEN, release=True)
    async with analysing(home):
        found = await ended(home)
    assert (found.state, found.error, found.released_at) == (
        VersionState.ERROR,
        "main.py:2: SyntaxError: invalid syntax",
        None,
    )


async def test_what_a_server_left_the_next_one_takes_up(tmp_path: Path, sandbox: Sandbox) -> None:
    async with house(tmp_path, sandbox) as first:
        await later(first, ONE)
    async with house(tmp_path, sandbox) as second, analysing(second):
        assert (await ended(second)).state is VersionState.READY


async def put(home: House, source: bytes) -> None:
    wanted = draft(source, functions=(Function(name="g", entrypoint="main:g", convention=Convention.KEYWORDS),))
    version = await home.registry.check_version(DEFAULT, wanted)
    await home.registry.put_version(DEFAULT, version, wanted.files)


async def test_new_source_takes_the_place_of_the_old(home: House) -> None:
    async with analysing(home):
        await later(home, ONE)
        await ended(home)
    assert (await home.engine.run(DEFAULT, function("f"))).result == b"1"
    await put(home, TWO)
    assert (await home.engine.run(DEFAULT, function("g"))).result == b"null"


async def test_source_that_is_replaced_during_its_analysis_is_not_what_is_kept(home: House) -> None:
    opened = home.store.hold("get_bundle")
    async with analysing(home):
        await later(home, ONE)
        await opened.begun.wait()
        await put(home, TWO)
        opened.go.set()
        await until(lambda: "finish_analysis" in home.store.calls)
        assert [f.name for f in (await ended(home)).functions] == ["g"]


async def test_what_is_deleted_during_its_analysis_stays_deleted(home: House) -> None:
    opened = home.store.hold("get_bundle")
    async with analysing(home):
        await later(home, ONE)
        await opened.begun.wait()
        await home.registry.delete_version(DEFAULT, "p", "1")
        opened.go.set()
        await until(lambda: "finish_analysis" in home.store.calls)
        assert (await home.registry.list_versions(DEFAULT, "p", 10)).items == ()


async def test_a_database_that_is_away_for_a_while_delays_an_analysis_only(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polycall.engine.analyses._AGAIN_S", 0.01)
    await later(home, ONE)
    home.store.away.add("finish_analysis")
    async with analysing(home):
        await until(lambda: home.store.calls.count("finish_analysis") > 1)
        home.store.away.clear()
        assert (await ended(home)).state is VersionState.READY


async def test_a_project_has_one_turn_at_analysing_whatever_it_asks_for(home: House) -> None:
    """What stands at the top of its modules may take half a minute each: others deploy beside it all the same."""
    await other_project(home.store)
    go, inside, most = asyncio.Event(), 0, 0

    def slow(real: Any) -> Any:
        async def analysis(files: Any, *args: Any, **options: Any) -> Any:
            nonlocal inside, most
            if files["main.py"] == ONE:
                inside += 1
                most = max(most, inside)
                await go.wait()
                inside -= 1
            return await real(files, *args, **options)

        return analysis

    analyzer: Any = home.registry.analyzer
    analyzer.complete, analyzer.analyze = slow(analyzer.complete), slow(analyzer.analyze)
    wanted: dict[str, Any] = {"module": None, "language": Language.PYTHON, "convention": Convention.KEYWORDS}
    busy = [
        asyncio.ensure_future(work)
        for number in range(3)
        for work in (
            home.registry.analyze(DEFAULT, {"main.py": ONE}, runtime="", **wanted),
            home.registry.create_version(DEFAULT, replace(draft(ONE), id=f"x{number}"), create_package=True),
        )
    ]
    await until(lambda: inside == 1)
    await later(home, ONE)
    async with analysing(home):
        made = await home.registry.create_version(OTHER, draft(TWO), create_package=True)
        assert [each.name for each in made.functions] == ["f", "g"]
        await home.registry.create_version(OTHER, replace(draft(TWO), id="2"), create_package=True, analyze_later=True)

        async def analysed() -> bool:
            return (await home.registry.get_version(OTHER, "p", "2")).state is VersionState.READY

        assert await until(analysed)
        go.set()
        await asyncio.gather(*busy)
        assert (await ended(home)).state is VersionState.READY
    assert most == 1
