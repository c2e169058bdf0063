"""A server with runs that multiply and never end, to be killed: ``python -m tests.sandbox.doomed LEVEL``."""

from __future__ import annotations

import asyncio
import sys

from polycall.domain import IsolationLevel
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.programs import job

FORK = """
    import os, time
    def execute(input):
        try:
            if os.fork() == 0:
                os.setsid()
                os.fork()
        except OSError:
            pass
        while True:
            time.sleep(1)
"""


async def main(level: IsolationLevel) -> None:
    sandbox = Sandbox(config(level))
    await sandbox.start()
    begun = asyncio.Semaphore(0)
    runs = [asyncio.create_task(sandbox.run(job(FORK), begun=begun.release)) for _ in range(4)]
    for _ in runs:
        await begun.acquire()
    await asyncio.sleep(0.1)  # some of them have multiplied by then
    print("ready", flush=True)
    await asyncio.gather(*runs)


if __name__ == "__main__":
    asyncio.run(main(IsolationLevel(int(sys.argv[1]))))
