"""A worker of pgqueuer with a job that does nothing; runs in pgqueuer's environment. Prints `ready`."""

from __future__ import annotations

import os
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from starts import started


async def main(address: str, at_once: int) -> None:
    """Make the tables, and work until it is killed."""
    pool = await asyncpg.create_pool(address, min_size=2, max_size=10)
    worker = PgQueuer.from_asyncpg_pool(pool)
    assert isinstance(worker.queries, Queries)
    await worker.queries.install()

    @worker.entrypoint("noop")
    async def noop(job: Job) -> None:
        started((job.payload or b"").decode())

    print("ready", flush=True)
    await worker.run(batch_size=at_once)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
