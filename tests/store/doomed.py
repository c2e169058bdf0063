"""Accepts, claims and finishes Calls, makes secrets; says each on standard output once acknowledged, until killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from polycall.acts import Act, acting
from polycall.domain import Principal
from polycall.ids import new_id
from polycall.store.sql import SqlStore, StoreConfig, open_store
from tests.store.examples import LOST, ended, queued, secret

PRODUCERS, CHANGERS = 8, 2


def say(*words: object) -> None:
    # one write a line: what the reader sees of the last one is all or nothing
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def produce(store: SqlStore) -> None:
    while True:
        call = queued(max_attempts=1000)
        await store.enqueue(call)
        say("accepted", call.id)


async def consume(store: SqlStore) -> None:
    while True:
        for claimed in await store.claim("doomed", {"default": 10}):
            end = ended(claimed, result=str(claimed.id).encode())
            if await store.finish(end, owner="doomed"):
                say("finished", claimed.id)
        await asyncio.sleep(0)


async def change(store: SqlStore) -> None:
    while True:
        made = secret(str(new_id()))
        act = Act("secret.create")
        act.who = Principal(project_id="default", key_id="ada", scopes=frozenset())
        with acting(act):
            await store.create_secret(made, "sealed", most=1_000_000)
        say("made", made.id)


async def main(directory: Path) -> None:
    store = open_store(StoreConfig(data_dir=directory))
    await store.start()
    await store.recover(LOST)
    say("started")
    async with asyncio.TaskGroup() as group:
        for _ in range(PRODUCERS):
            group.create_task(produce(store))
        for _ in range(CHANGERS):
            group.create_task(change(store))
        group.create_task(consume(store))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
