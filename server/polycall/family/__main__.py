"""One server process of a family: ``python -m polycall.family PARENT_PID``, told by standard input what it is.

It says on standard output when it serves, and at its end what went wrong; it dies with the process that started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys

_FAILED = 3  # as `polycall serve` says it
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _die_with(parent: int) -> None:
    # before anything is started; the signal is bound to the parent's thread that started us, which is its only one
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it may have died before the line above
        os._exit(1)


def main(parent: int) -> int:
    """Serve until SIGTERM; return the exit status."""
    _die_with(parent)
    gc.disable()  # what is imported is never garbage, see cli/serve.py
    import logging

    import uvloop

    from polycall.allocator import keep_large_blocks
    from polycall.family.process import Said, encode_said
    from polycall.launch import serve
    from polycall.logs import log_to
    from polycall.member import decode_member
    from polycall.serving import Ready, ServeError

    keep_large_blocks()
    member, settings = decode_member(sys.stdin.buffer.readline())
    log_to(sys.stderr, settings.log_level)
    logging.getLogger("grpc._cython.cygrpc").addFilter(lambda record: record.msg != "Invalid encoding on %s")

    async def ready(what: Ready) -> None:
        said = Said(grpc_address=what.grpc_address, isolation=what.isolation, interpreters=what.interpreters)
        await asyncio.to_thread(_say, encode_said(said))

    try:
        uvloop.run(serve(settings, ready=ready, member=member))
    except ServeError as error:
        _say(encode_said(Said(grpc_address="", error=str(error))))
        return _FAILED
    except Exception as error:
        logging.getLogger("polycall").critical("the server failed", exc_info=True)
        _say(encode_said(Said(grpc_address="", error=f"the server failed ({error}); the log says where")))
        return _FAILED
    return 0


def _say(line: bytes) -> None:
    try:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except OSError:
        pass  # nobody listens any more


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
