"""Names that are never resolved."""

from __future__ import annotations

import subprocess
import sys

# a name server that never answers blocks a thread for longer than a stop may take
NEVER = """
import asyncio, threading
from polycall.sandbox.egress.addresses import AddressFilter
from polycall.sandbox.egress.policy import parse_authority
from polycall.sandbox.egress.resolver import Resolver

asked = threading.Event()

def never(host):
    asked.set()
    threading.Event().wait()

async def main():
    resolver = Resolver(AddressFilter(()), never)
    turn = asyncio.Semaphore(1)
    looking = asyncio.create_task(
        resolver.resolve(parse_authority("slow.example", 443), listed=True, any_address=False, turns=[turn])
    )
    await asyncio.to_thread(asked.wait)
    looking.cancel()
    await asyncio.wait([looking])
    print(turn.locked())  # its thread is still busy
    resolver.close()

asyncio.run(main())
"""


def test_a_lookup_without_an_answer_does_not_keep_the_process_from_its_end() -> None:
    done = subprocess.run([sys.executable, "-c", NEVER], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
