"""kill -9 at any moment: what was acknowledged is there, once, as are changes and their events; the start mends."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from polycall.acts import AuditFilter
from polycall.domain import Execution, ExecutionFilter, ExecutionState
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.store.examples import LOST

KILLS = 8
ACKNOWLEDGED = 150  # lines before each kill


def _run_and_kill(directory: Path, lines: int) -> list[str]:
    """Run the doomed process, kill it after some lines; return all whole lines that it has said."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.doomed", str(directory)], stdout=subprocess.PIPE, cwd=root
    )
    with process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    assert process.returncode == -9
    assert said[0] == b"started\n"
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


async def _all(store: SqlStore) -> list[Execution]:
    found: list[Execution] = []
    token = ""
    while True:
        page = await store.list("default", ExecutionFilter(), 1000, token)
        found += page.items
        token = page.next_token
        if not token:
            return found


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    accepted: set[str] = set()
    finished: set[str] = set()
    made: set[str] = set()
    for kill in range(KILLS):
        for line in _run_and_kill(tmp_path, ACKNOWLEDGED + 37 * kill):
            match line.split():
                case ["accepted", call]:
                    accepted.add(call)
                case ["finished", call]:
                    assert call not in finished
                    finished.add(call)
                case ["made", secret]:
                    made.add(secret)
    assert len(accepted) > 100
    assert len(finished) > 10

    store = open_store(StoreConfig(data_dir=tmp_path))
    await store.start()
    recovered = await store.recover(LOST)
    assert set(recovered) <= {ExecutionState.QUEUED}
    rows = await _all(store)
    ids = Counter(str(row.id) for row in rows)
    assert max(ids.values()) == 1
    assert accepted - set(ids) == set()
    ends = {str(row.id) for row in rows if row.state is ExecutionState.COMPLETED}
    assert finished - ends == set()
    assert {row.state for row in rows} <= {ExecutionState.QUEUED, ExecutionState.COMPLETED}
    for row in rows:
        if row.state is ExecutionState.COMPLETED:
            assert (await store.get("default", row.id)).result == str(row.id).encode()
    waiting = sum(row.state is ExecutionState.QUEUED for row in rows)
    assert await store.backlog() == waiting
    assert len(await store.claim("next", {"default": waiting + 1})) == waiting

    # a change is there with its event, or neither is
    secrets = [row.id for row in await store.all_sealed_secrets(None, 100_000)]
    events = Counter(event.resource for event in (await store.list_audit("default", AuditFilter(), 100_000)).items)
    assert events == Counter(f"secrets/{secret}" for secret in secrets)
    assert len(made) > 10
    assert made - set(secrets) == set()
    await store.stop()
