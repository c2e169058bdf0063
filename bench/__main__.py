"""`make bench`: polycall beside what others would write, in the same minutes; docs/performance.md says how to read it.

Each round runs every contestant once; what counts is the median of the ratios over the rounds. A round in which a
fixed Python loop varied by more than 1.5 is thrown away: the machine was busy with something else.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench.contestants import Polycall, polycall
from bench.machine import describe
from bench.parts import PARTS
from bench.plot import svg
from bench.report import HEAD, document, line, table, write
from bench.rounds import Effort, Figure, Recorder
from bench.targets import results

# what takes longer than a minute by itself
SLOW = frozenset({"packages", "records", "queue", "lists", "replicas"})
_FULL = Effort(seconds=3.0, concurrencies=(1, 4, 16, 64), rounds=3, processes=2)
_QUICK = Effort(seconds=0.6, concurrencies=(1, 16), rounds=1, rows=20_000)


def main(arguments: list[str] | None = None) -> int:
    """Run the rounds, print the report, write JSON and the plot."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, in less than a minute")
    parser.add_argument(
        "--only", help=f"parts, comma-separated; default: {','.join(PARTS)}; if --quick, without the slow ones"
    )
    parser.add_argument("--rounds", type=int, help=f"rounds that count; default: {_FULL.rounds}")
    parser.add_argument("--seconds", type=float, help=f"length of each measurement; default: {_FULL.seconds:g}")
    parser.add_argument("--rows", type=int, help=f"executions of a table with many; default: {_FULL.rows}")
    parser.add_argument("--keep-noisy", action="store_true", help="count rounds of a busy machine too")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the server")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="directory of JSON and plot")
    options = parser.parse_args(arguments)
    wanted = (
        options.only.split(",") if options.only else [part for part in PARTS if not options.quick or part not in SLOW]
    )
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    effort = _QUICK if options.quick else _FULL
    effort = Effort(
        seconds=options.seconds or effort.seconds,
        concurrencies=effort.concurrencies,
        rounds=options.rounds or effort.rounds,
        rows=options.rows or effort.rows,
        processes=effort.processes,
    )
    settings = {f"POLYCALL_{name.upper()}": value for name, _, value in (text.partition("=") for text in options.set)}
    counted: list[list[Figure]] = []
    thrown_away: list[list[Figure]] = []
    missing: dict[str, None] = {}
    with polycall(**settings) as ours:
        about = {**describe(), **_about(ours), "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
        # twice as many at most: a machine that is never quiet shall not be waited for
        for number in range(1, 2 * effort.rounds + 1):
            figures, noisy = _round(number, wanted, effort, ours, missing)
            keep = not noisy or options.keep_noisy
            (counted if keep else thrown_away).append(figures)
            if not keep:
                print(f"  round {number} is thrown away: the machine was busy with something else")
            if len(counted) == effort.rounds:
                break
    for reason in missing:
        print(f"not measured: {reason}")
    if not counted:
        print("every round was noisy; run again on a quiet machine, or with --keep-noisy", file=sys.stderr)
        return 1
    found = results(counted)
    print(f"\nmedians over {len(counted)} rounds")
    print("\n".join(table(found)))
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    write(options.out / f"{name}.json", document(about, counted, thrown_away, found, list(missing)))
    (options.out / f"{name}.svg").write_text(svg(counted))
    print(f"\nwrote {options.out / name}.json and .svg")
    return 0


def _round(
    number: int, parts: list[str], effort: Effort, ours: Polycall, missing: dict[str, None]
) -> tuple[list[Figure], bool]:
    figures: list[Figure] = []
    noisy = False
    for part in parts:
        print(f"\nround {number}, {part}\n{HEAD}", flush=True)
        recorder = Recorder(part, effort, lambda figure: print(line(figure), flush=True))
        PARTS[part](recorder, ours)
        figures += recorder.figures
        noisy = noisy or recorder.noisy
        missing |= dict.fromkeys(recorder.missing)
    return figures, noisy


def _about(ours: Polycall) -> dict[str, object]:
    ready = ours.server.ready
    return {
        "isolation_level": ready["isolation_level"],
        "ready_s": round(ready["seconds"], 2),
        "idle_pss_mib": round(ours.memory.pss),
        "idle_rss_mib": round(ours.memory.rss),
        "settings": dict(ours.server.environment),
    }


if __name__ == "__main__":
    raise SystemExit(main())
