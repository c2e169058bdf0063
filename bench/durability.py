"""`python -m bench.durability`: nothing is lost, tried at full scale: kills, outages, freezes, restarts, wrong clocks.

Real servers, a real PostgreSQL and a real Envoy under load; a verdict for each promise with its figures. The status is
1 if one is broken. Times mean something on a quiet machine only; the load average is printed beside them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from bench.crashes import embedded_kills, frozen, replica_killed, rolling
from bench.news import elsewhere
from bench.outages import database_away, disk_full, start_without_database, stop_without_answer
from bench.stops import stopped_at_every_moment
from bench.ticks import schedules, wrong_clocks
from bench.verdict import Scale, Verdict

__all__ = ["SCENARIOS", "main"]

SCENARIOS: Mapping[str, Callable[[Scale], list[Verdict]]] = {
    "kills": embedded_kills,
    "replicas": replica_killed,
    "rolling": rolling,
    "database": database_away,
    "start": start_without_database,
    "stop": stop_without_answer,
    "frozen": frozen,
    "schedules": schedules,
    "clocks": wrong_clocks,
    "news": elsewhere,
    "disk": disk_full,
    "stops": stopped_at_every_moment,
}
_NOT_BY_DEFAULT = {"rolling"}  # part of another


def main(arguments: Sequence[str] | None = None) -> int:
    """Run scenarios; 0 if every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m bench.durability", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help=f"scenarios, comma-separated: {', '.join(SCENARIOS)}")
    for item in fields(Scale):
        flag = f"--{item.name.replace('_', '-')}"
        parser.add_argument(flag, type=type(item.default), default=item.default, help=f"default: {item.default:g}")
    options = parser.parse_args(arguments)
    wanted = options.only.split(",") if options.only else [name for name in SCENARIOS if name not in _NOT_BY_DEFAULT]
    if unknown := set(wanted) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    scale = Scale(**{item.name: getattr(options, item.name) for item in fields(Scale)})
    broken = 0
    for name in wanted:
        print(f"{name}, load average {os.getloadavg()[0]:.1f}", flush=True)
        for verdict in SCENARIOS[name](scale):
            print(f"  {verdict}", flush=True)
            broken += not verdict.kept
        print(f"  load average {os.getloadavg()[0]:.1f}", flush=True)
    print(f"{broken} broken" if broken else "all kept")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
