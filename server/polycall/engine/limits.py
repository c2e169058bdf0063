"""Limits: defaults, ranges, and how requests and versions override them. Nothing is clamped silently."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache

from polycall.domain import LimitOverrides, Limits
from polycall.errors import FieldViolation, LimitOutOfRange
from polycall.quick import dataclass

__all__ = ["DEFAULTS", "KIB", "MAXIMUMS", "MIB", "MINIMUMS", "PROCESSORS", "UNITS", "LimitPolicy"]

KIB = 1024
MIB = 1024 * KIB

# What a run can keep busy at most: a sandbox has the server's own affinity.
PROCESSORS = len(os.sched_getaffinity(0))

# 30 s, 128 MiB, 20 MiB and 10 MiB of output are the widest-spread defaults among the contracts we serve (Riza);
# 64 processes leave room for a thread pool; the others follow from keeping one run small beside its neighbours.
DEFAULTS = Limits(
    timeout_ms=30_000,
    memory_bytes=128 * MIB,
    processes=64,
    open_files=256,
    disk_bytes=64 * MIB,
    result_bytes=6 * MIB,
    stdout_bytes=20 * MIB,
    stderr_bytes=10 * MIB,
)  # CPU time: what the wall time makes possible, see `resolve`
MINIMUMS = Limits(
    timeout_ms=1,
    memory_bytes=16 * MIB,  # an interpreter with its preloaded modules does not start in less
    processes=1,
    open_files=16,
    disk_bytes=1 * MIB,
    result_bytes=1 * KIB,
    stdout_bytes=0,
    stderr_bytes=0,
    cpu_ms=1,
)
MAXIMUMS = Limits(
    timeout_ms=20 * 60_000,  # xpander's 1200 s is the longest among the contracts
    memory_bytes=5 * 1024 * MIB,  # Cognite's 5 GB
    processes=512,
    open_files=4096,
    disk_bytes=1024 * MIB,
    result_bytes=64 * MIB,
    stdout_bytes=64 * MIB,
    stderr_bytes=64 * MIB,
    cpu_ms=20 * 60_000 * PROCESSORS,
)


@dataclass(frozen=True, slots=True)
class Unit:
    """How a limit is spelled to people: its public name, and how many of our units make one of theirs."""

    name: str
    scale: int
    symbol: str


UNITS: Mapping[str, Unit] = {
    "timeout_ms": Unit("timeout", 1000, "s"),
    "memory_bytes": Unit("memory_mib", MIB, "MiB"),
    "processes": Unit("processes", 1, ""),
    "open_files": Unit("open_files", 1, ""),
    "disk_bytes": Unit("disk_mib", MIB, "MiB"),
    "result_bytes": Unit("result_kib", KIB, "KiB"),
    "stdout_bytes": Unit("stdout_kib", KIB, "KiB"),
    "stderr_bytes": Unit("stderr_kib", KIB, "KiB"),
    "cpu_ms": Unit("cpu_time", 1000, "s"),
}
_NAMES = tuple(field.name for field in fields(Limits))
_CPU, _TIMEOUT = _NAMES.index("cpu_ms"), _NAMES.index("timeout_ms")
_values = operator.attrgetter(*_NAMES)  # every run has its limits resolved


@dataclass(frozen=True, slots=True, eq=False)  # one for the whole server: itself is the key of what was resolved
class LimitPolicy:
    """What the operator allows."""

    defaults: Limits = DEFAULTS
    minimums: Limits = MINIMUMS
    maximums: Limits = MAXIMUMS

    @classmethod
    def up_to(cls, maximums: Limits) -> LimitPolicy:
        """Return a policy with these maximums. A default above its maximum gives way: nobody has asked for it.

        That of CPU time follows from that of the timeout.
        """
        maximums = replace(maximums, cpu_ms=maximums.timeout_ms * PROCESSORS)
        lowered = {
            field.name: min(getattr(DEFAULTS, field.name), getattr(maximums, field.name)) for field in fields(Limits)
        }
        return cls(defaults=Limits(**lowered), maximums=maximums)

    def resolve(self, *overrides: LimitOverrides, path: str = "limits") -> Limits:
        """Return the limits that hold: the last override that sets a field wins, else the default.

        CPU time that nobody limits may be what the timeout leaves room for, all processors busy.

        Raises LimitOutOfRange naming every field outside its range, as ``path.field`` in the caller's units.
        """
        return _resolved(self, overrides, path)

    def where_unset(self, own: LimitOverrides, preset: LimitOverrides) -> LimitOverrides:
        """Return ``preset``, a contract's own defaults, where ``own`` sets nothing, as far as the operator allows."""
        chosen: dict[str, int] = {}
        for field in fields(LimitOverrides):
            asked: int | None = getattr(preset, field.name)
            if asked is not None and getattr(own, field.name) is None:
                chosen[field.name] = min(asked, getattr(self.maximums, field.name))
        return LimitOverrides(**chosen)


@lru_cache(maxsize=1024)  # every call resolves its limits, and there are as many as there are versions
def _resolved(policy: LimitPolicy, overrides: tuple[LimitOverrides, ...], path: str) -> Limits:
    values = list(_values(policy.defaults))
    for override in overrides:
        values = [kept if asked is None else asked for kept, asked in zip(values, _values(override), strict=True)]
    if values[_CPU] == 0 and all(override.cpu_ms is None for override in overrides):
        values[_CPU] = min(max(1, values[_TIMEOUT]) * PROCESSORS, policy.maximums.cpu_ms)
    ranges = zip(_NAMES, values, _values(policy.minimums), _values(policy.maximums), strict=True)
    wrong = []
    for name, value, low, high in ranges:
        if not low <= value <= high:
            unit = UNITS[name]
            span = f"{low / unit.scale:g} to {high / unit.scale:g}{unit.symbol and ' ' + unit.symbol}"
            wrong.append(FieldViolation(f"{path}.{unit.name}", f"must be {span}, got {value / unit.scale:g}"))
    if wrong:
        raise LimitOutOfRange(wrong)
    return Limits(**dict(zip(_NAMES, values, strict=True)))
