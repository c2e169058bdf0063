"""Limits under three servers on one PostgreSQL are never exceeded; no project waits behind all of another's Calls."""

from __future__ import annotations

from pathlib import Path

from bench.limits import (
    Limits,
    Load,
    cluster,
    deploy,
    first_of_another,
    limit_function,
    limit_project,
    queue,
    under_limits,
)
from polycall.v1 import tenancy_service_pb2


def test_limits_hold_over_three_servers_also_when_one_is_killed_and_others_do_not_wait(
    postgres: str, tmp_path: Path
) -> None:
    """One test: three servers are what takes time. ``python -m bench.limits`` is the whole of it."""
    with cluster(postgres, tmp_path) as servers:
        for seconds in (0.02, 0.2, 2.0):  # a busy machine accepts no faster than short ones run
            load = Load(functions=4, calls=60, seconds=seconds)
            peaks, _ = under_limits(postgres, servers, load, limits=Limits(of_function=2, of_project=5))
            # never more
            assert max(peaks.of_function.values()) <= 2
            assert max(peaks.of_project.values()) <= 5
            if peaks.of_project == {"default": 5} and set(peaks.of_function.values()) == {2}:
                break
        # and all of it is used
        assert set(peaks.of_function.values()) == {2}
        assert peaks.of_project == {"default": 5}

        peaks, _ = under_limits(postgres, servers, load, limits=Limits(of_function=2), kill=True)
        assert max(peaks.of_function.values()) <= 2

        scopes = tenancy_service_pb2.ApiKey
        key = servers[0].new_key(project="other", scopes=[scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY])
        deploy(servers[0], key)
        limit_project(servers[0], 12)
        for number in range(4):
            limit_function(servers[0], f"f{number}", 3)
        queue(servers[:-1], Load(functions=4, calls=150, seconds=0.2))
        for wait in first_of_another(servers[:-1], key, times=2):
            assert wait.queued > 50
            # however slow the machine is: a handful of them was started before it, not what had been queued before it
            assert wait.passed < wait.queued / 2
