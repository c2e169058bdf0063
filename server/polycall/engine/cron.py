"""Cron expressions: five fields, in a time zone.

What they mean is what Debian's cron takes them to mean, changes of clocks included: in the hour that is left out in
spring, what names its hour runs once right after it, in the hour that comes twice in autumn it runs once, the first
time; what runs every so many minutes or every hour goes by the time that passes.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from polycall.errors import InvalidArgument
from polycall.quick import dataclass

__all__ = ["LONGEST_CRON", "Cron", "in_words"]

LONGEST_CRON = 1024  # characters; the widest of the contracts we serve (Cognite)
_LONGEST_TOLD = 100  # characters; finding words takes time with the square of the terms
_LONGEST_ZONE = 64  # the longest of the database has 32
_FIELDS = 5  # minute, hour, day of month, month, day of week
_NO_ZONES = frozenset({"Factory", "localtime", "posix", "posixrules", "right"})  # the machine's, or with leap seconds
# "every fifth minute of every hour", which is every 5 minutes; "every second minute" would be taken for something else
_COUNTS = dict(
    zip(["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"], range(2, 10), strict=True)
)
_EVERY_NTH = re.compile(rf"\b([Ee]very) ({'|'.join(_COUNTS)}|(\d+)th) (minute|hour)\b(?: of every hour)?")
_ENDINGS = {"1": "st", "2": "nd", "3": "rd"}
_WRONG_ORDINAL = re.compile(r"\b([2-5][123])th\b")
_YEARS = 50  # that a match is looked for ahead (cronsim)


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was looked at: it fires. Times are ms since the epoch, whole minutes."""

    expression: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, expression: str, timezone: str, now: int, *, path: str = "schedule") -> Cron:
        """Read both. Raises InvalidArgument: not five fields, not of the grammar, or nothing that comes after ``now``.

        ``path`` is where the fields ``cron`` and ``timezone`` are in the request.
        """
        found = cls(expression, _zone(timezone, f"{path}.timezone"))
        field = f"{path}.cron"
        if len(expression) > LONGEST_CRON:
            raise InvalidArgument.of(field, f"must have at most {LONGEST_CRON} characters")
        # the count first: cronsim would take six for seconds
        if len(expression.split()) != _FIELDS or not expression.isascii() or not expression.isprintable():
            raise InvalidArgument.of(
                field, "must have five fields: minute, hour, day of month, month, day of week, such as `*/5 * * * *`"
            )
        try:
            first = found.after(now)
        except (CronSimError, AssertionError, TypeError, ValueError) as error:
            # where terms do not go together it asserts
            which = str(error).removeprefix("Bad ") if isinstance(error, CronSimError) else "field"
            raise InvalidArgument.of(field, f"has a {which} that cannot be understood, or never comes") from None
        if first is None:
            raise InvalidArgument.of(field, f"never comes in the next {_YEARS} years")
        return found

    @classmethod
    def kept(cls, expression: str, timezone: str) -> Cron:
        """Return one that was looked at before. Raises InvalidArgument if its time zone has gone meanwhile."""
        return cls(expression, _zone(timezone, "timezone"))

    def after(self, time: int) -> int | None:
        """Return the first tick after a time; None if there is none for half a century."""
        return next(self.ticks(time), None)

    def ticks(self, time: int) -> Iterator[int]:
        """Return the ticks after a time, one by one."""
        for found in CronSim(self.expression, self._local(time // 1000)):
            tick = round(found.timestamp()) * 1000
            # from within the hour that comes twice, cronsim goes on with the first of the two
            if tick > time:
                time = tick
                yield tick

    def upcoming(self, time: int, count: int) -> tuple[int, ...]:
        """Return the first so many ticks after a time."""
        return tuple(itertools.islice(self.ticks(time), count))

    def until(self, first: int, last: int, most: int) -> tuple[int, ...]:
        """Return the ticks from ``first``, one itself, to ``last``: of more than ``most`` the first and the last."""
        found = [first]
        for tick in self.ticks(first):
            if tick > last:
                break
            if len(found) == most:
                found[-1] = self._before(last)
                break
            found.append(tick)
        return tuple(found)

    def _before(self, time: int) -> int:
        """Return the last tick that is not after a time; there is one."""
        found = CronSim(self.expression, self._local(time // 1000 + 1), reverse=True)
        return next(tick for tick in (round(one.timestamp()) * 1000 for one in found) if tick <= time)

    def _local(self, seconds: int) -> datetime:
        # datetime's own UTC has no rules to be asked for, and is the fast one
        return datetime.fromtimestamp(seconds, UTC if self.zone.key == "UTC" else self.zone)


@functools.lru_cache(maxsize=1024)
def _zone(name: str, field: str) -> ZoneInfo:
    # a name is a path below the directories of the database, where there is more than zones
    plain = 0 < len(name) <= _LONGEST_ZONE and name.isascii() and all(c.isalnum() or c in "/_+-" for c in name)
    if plain and name.partition("/")[0] not in _NO_ZONES:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    raise InvalidArgument.of(field, "must be a time zone of the IANA database, such as UTC or Europe/Oslo")


@functools.lru_cache(maxsize=1024)
def in_words(expression: str) -> str:
    """Return an expression in English: ``Every 5 minutes``, ``At 04:30 on Monday through Friday``.

    One that is too long for a sentence is returned as it is.
    """
    if len(expression) > _LONGEST_TOLD:
        return expression
    try:
        text: str = CronSim(expression, datetime.fromtimestamp(0, UTC)).explain()
    except (CronSimError, IndexError, TypeError, ValueError):  # what it knows, but has no words for
        return expression
    text = _EVERY_NTH.sub(lambda found: f"{found[1]} {_COUNTS.get(found[2], found[3])} {found[4]}s", text)
    return _WRONG_ORDINAL.sub(lambda found: found[1] + _ENDINGS[found[1][-1]], text)
