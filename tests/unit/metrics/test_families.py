"""What a server among others shows of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client.core import Metric

from polycall.domain import ExecutionState
from polycall.durations import Durations
from polycall.engine.live import LiveRuns
from polycall.engine.membership import Membership
from polycall.metrics.families import _environments, _node, _objects
from polycall.store.protocol import Beat


class Nodes:
    """A database on which one other server lives, and from which three executions were taken over."""

    async def join(self, node: str, replica: str) -> None:
        pass

    async def beat(self, node: str, replica: str, lease_ms: int) -> Beat:
        return Beat(owned=frozenset(), others=frozenset({"other"}))

    async def reap(self, lost: object, lease_ms: int) -> dict[ExecutionState, int]:
        return {ExecutionState.QUEUED: 2, ExecutionState.FAILED: 1}

    async def leave(self, node: str) -> None:
        pass


def values(families: Iterable[Metric]) -> dict[str, float]:
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_lease_others_and_what_was_taken_over() -> None:
    nodes = cast("Any", Nodes())
    membership = Membership(nodes, LiveRuns(), node="n", replica="r", heartbeat_s=2, lease_s=10)
    before = values(_node(membership))
    assert (before["polycall_lease_held"], before["polycall_other_servers"]) == (0, 0)
    await membership.join()
    assert values(_node(membership)) == {
        "polycall_lease_held": 1,
        "polycall_other_servers": 1,
        "polycall_taken_over_total QUEUED": 2,
        "polycall_taken_over_total FAILED": 1,
        "polycall_taken_over_total CANCELLED": 0,
    }
    await membership.leave()
    assert values(_node(membership))["polycall_lease_held"] == 0


def test_what_became_of_environments_and_large_values() -> None:
    counts = cast("Any", SimpleNamespace(counts=Counter(fetched=2, written=3)))
    assert values([_environments(counts)]) == {
        "polycall_environments_total built": 0,
        "polycall_environments_total kept": 0,
        "polycall_environments_total fetched": 2,
        "polycall_environments_total damaged": 0,
        "polycall_environments_total failed": 0,
    }
    assert values([_objects(counts)]) == {
        "polycall_objects_total written": 3,
        "polycall_objects_total read": 0,
        "polycall_objects_total left": 0,
        "polycall_objects_total away": 0,
        "polycall_objects_total damaged": 0,
    }


def test_durations_are_counted_below_each_bound() -> None:
    durations = Durations((1, 2))
    for seconds in (0.5, 1, 1.5, 3):
        durations.add(seconds)
    assert durations.cumulative == [(1, 2), (2, 3), (float("inf"), 4)]
    assert durations.total == 6
