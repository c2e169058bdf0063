"""Runtimes in the engine: what several servers over one database see of each other's builds."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from polycall.domain import DEFAULT_PROJECT, Language, RevisionState, Runtime
from polycall.engine.runtimes import RevisionDraft
from polycall.errors import IsolationUnavailable, RuntimeMissing
from tests.engine.house import DEFAULT, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

RUNTIME = Runtime(project_id=DEFAULT_PROJECT, id="r", language=Language.PYTHON, created_at=0)
DRAFT = RevisionDraft(manifest="six", id="v")


async def test_a_build_of_another_server_is_waited_for(home: House) -> None:
    """Its builds have not begun here: for this server, another one has the revision."""
    runtimes = home.engine.runtimes
    _, pending = await runtimes.create(DEFAULT, RUNTIME, DRAFT)
    assert pending is not None
    runtimes._builds._ends.clear()
    assert (await runtimes.wait_revision(DEFAULT, "r", "v", 0.1)).state is RevisionState.PENDING
    waiting = asyncio.create_task(runtimes.wait_revision(DEFAULT, "r", "-", 30))
    await asyncio.sleep(0.1)
    failed = replace(pending, state=RevisionState.FAILED, error="why", log="all of it")
    assert await home.store.real.change_revision(failed, [RevisionState.PENDING])
    assert await waiting == failed


async def test_what_is_pending_cannot_be_run(home: House) -> None:
    runtimes = home.engine.runtimes
    await runtimes.create(DEFAULT, RUNTIME, DRAFT)
    for name in ("runtimes/r", "runtimes/r/revisions/v"):
        with pytest.raises(RuntimeMissing, match=r"runtimes/r/revisions/v is PENDING; wait until it is READY\."):
            await runtimes.pinned(DEFAULT_PROJECT, name, Language.PYTHON)
    assert await runtimes.pinned(DEFAULT_PROJECT, "python", Language.PYTHON) == ""


async def test_below_their_levels_runtimes_are_neither_built_nor_used(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtimes = home.engine.runtimes
    await runtimes.create(DEFAULT, RUNTIME, None)
    monkeypatch.setattr(runtimes, "_isolation", lambda: 2)
    with pytest.raises(IsolationUnavailable, match=r"Runtimes are built at isolation level 3 and above"):
        await runtimes.create_revision(DEFAULT, "r", DRAFT)
    monkeypatch.setattr(runtimes, "_isolation", lambda: 1)
    with pytest.raises(IsolationUnavailable, match=r"Runtimes are used at isolation level 2 and above"):
        await runtimes.image(DEFAULT_PROJECT, "runtimes/r", Language.PYTHON)
