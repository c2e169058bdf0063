"""``polycall serve``: server, sandbox and gateway in one command."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.options import json_option
from polycall.cli.settings import with_setting_flags
from polycall.config import Settings
from polycall.quick import dataclass

if TYPE_CHECKING:
    from polycall.serving import Ready

__all__ = ["serve_command"]


@click.command("serve")
@click.option("--examples", is_flag=True, help="Deploy examples/ and print how to call them, contract by contract.")
@json_option
@with_setting_flags
def serve_command(settings: Settings, examples: bool, as_json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C: native gRPC, and REST with all faces through Envoy.

    Every setting is a flag, an environment variable (POLYCALL_REST_ADDRESS for --rest-address) and a key of --config
    FILE. With --json, one line of JSON on standard output says that calls are served, and where.
    """
    # what is imported is never garbage: to look for some takes 40 ms of the start, and later some of every call
    gc.disable()
    import logging

    import uvloop

    from polycall.allocator import collect_seldom, keep_large_blocks
    from polycall.logs import log_to
    from polycall.serving import ServeError

    if settings.processes > 1:
        from polycall.family.supervisor import serve  # it serves nothing itself: no gRPC

        collect_seldom()
    else:
        from polycall.launch import serve

    keep_large_blocks()
    log_to(sys.stderr, settings.log_level)
    # gRPC logs the value of any header that is not UTF-8, with a traceback: a key, as likely as not.
    logging.getLogger("grpc._cython.cygrpc").addFilter(lambda record: record.msg != "Invalid encoding on %s")
    try:
        uvloop.run(serve(settings, ready=_Announcement(examples=examples, as_json=as_json)))
    except ServeError as error:
        raise Failure(str(error), Exit.UNREACHABLE) from None
    except click.ClickException:
        raise
    except Exception as error:
        logging.getLogger("polycall").critical("the server failed", exc_info=True)
        raise Failure(f"the server failed ({error}); the log says where.", Exit.UNREACHABLE) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announcement:
    """Says that calls are served; first deploys the examples, if they are wanted."""

    examples: bool
    as_json: bool

    async def __call__(self, ready: Ready) -> None:
        import asyncio

        from polycall.cli.first_minute import commands, deploy_examples, print_welcome

        seconds, deployed = _age_s(), None
        if self.examples:
            # in a thread: it is an ordinary client of this very server, which needs the loop to answer
            deployed = await asyncio.to_thread(deploy_examples, ready.grpc_address, ready.key)
        if not self.as_json:
            print_welcome(ready, seconds, deployed)
            return
        line: dict[str, Any] = {
            "rest_address": ready.rest_address,
            "grpc_address": ready.grpc_address,
            "isolation_level": int(ready.isolation),
            "key_file": str(ready.key_file) if ready.key_file else "",
            "seconds": round(seconds, 3),
            "processes": ready.processes,
        }
        if deployed is not None:
            line |= {"examples": deployed, "commands": commands(ready)}
        print(json.dumps(line), flush=True)


def _age_s() -> float:
    """Return for how long this process has existed, imports included: what whoever typed the command has waited."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # proc(5): field 22, in ticks
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")
