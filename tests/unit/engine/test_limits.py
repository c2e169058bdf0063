from __future__ import annotations

from dataclasses import replace

import pytest

from polycall.domain import LimitOverrides
from polycall.engine.limits import DEFAULTS, MAXIMUMS, MIB, PROCESSORS, LimitPolicy
from polycall.errors import FieldViolation, LimitOutOfRange


def test_the_last_override_that_sets_a_field_wins() -> None:
    version = LimitOverrides(timeout_ms=5000, memory_bytes=64 * MIB)
    request = LimitOverrides(timeout_ms=1000)
    limits = LimitPolicy().resolve(version, request)
    assert (limits.timeout_ms, limits.memory_bytes, limits.processes) == (1000, 64 * MIB, DEFAULTS.processes)


def test_every_limit_out_of_range_is_named_with_its_range_in_the_callers_units() -> None:
    with pytest.raises(LimitOutOfRange) as caught:
        LimitPolicy().resolve(LimitOverrides(timeout_ms=-1000, memory_bytes=8 * MIB, stdout_bytes=1 << 40))
    assert caught.value.violations == (
        FieldViolation("limits.timeout", "must be 0.001 to 1200 s, got -1"),
        FieldViolation("limits.memory_mib", "must be 16 to 5120 MiB, got 8"),
        FieldViolation("limits.stdout_kib", "must be 0 to 65536 KiB, got 1.07374e+09"),
    )


def test_a_contracts_own_defaults_hold_where_the_version_sets_nothing_and_give_way_to_the_operator() -> None:
    policy = LimitPolicy(maximums=replace(MAXIMUMS, timeout_ms=60_000))
    preset = LimitOverrides(timeout_ms=600_000, memory_bytes=256 * MIB, result_bytes=MIB)
    assert policy.where_unset(LimitOverrides(), preset) == replace(preset, timeout_ms=60_000)
    own = LimitOverrides(timeout_ms=5_000, memory_bytes=64 * MIB, processes=2)
    assert policy.where_unset(own, preset) == LimitOverrides(result_bytes=MIB)
    assert policy.where_unset(own, LimitOverrides()) == LimitOverrides()


def test_a_default_gives_way_to_the_operators_maximum() -> None:
    policy = LimitPolicy.up_to(replace(MAXIMUMS, timeout_ms=10_000, memory_bytes=64 * MIB))
    limits = policy.resolve(LimitOverrides())
    assert (limits.timeout_ms, limits.memory_bytes, limits.processes) == (10_000, 64 * MIB, DEFAULTS.processes)
    with pytest.raises(LimitOutOfRange) as caught:
        policy.resolve(LimitOverrides(timeout_ms=10_001))
    assert caught.value.violations == (FieldViolation("limits.timeout", "must be 0.001 to 10 s, got 10.001"),)


def test_cpu_time_that_nobody_limits_is_what_the_timeout_leaves_room_for() -> None:
    policy = LimitPolicy.up_to(replace(MAXIMUMS, timeout_ms=60_000))
    assert policy.resolve(LimitOverrides()).cpu_ms == 30_000 * PROCESSORS
    assert policy.resolve(LimitOverrides(timeout_ms=500)).cpu_ms == 500 * PROCESSORS
    assert policy.resolve(LimitOverrides(cpu_ms=700), LimitOverrides(timeout_ms=500)).cpu_ms == 700
    most = 60 * PROCESSORS
    for asked, shown in ((0, "0"), (60_001 * PROCESSORS, f"{60.001 * PROCESSORS:g}")):
        with pytest.raises(LimitOutOfRange) as caught:
            policy.resolve(LimitOverrides(cpu_ms=asked))
        violation = FieldViolation("limits.cpu_time", f"must be 0.001 to {most:g} s, got {shown}")
        assert caught.value.violations == (violation,)
