"""Cron expressions: what is taken, what is not, and what clocks that change make of them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.engine.cron import LONGEST_CRON, Cron, in_words
from polycall.errors import InvalidArgument

OSLO = "Europe/Oslo"  # 2026: forward on March 29 at 02:00, back on October 25 at 03:00


def ms(text: str) -> int:
    """Return a time such as ``2026-03-29T01:59:30+01:00`` in milliseconds."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOW = ms("2026-01-01T00:00:00+00:00")


def following(expression: str, after: str, count: int, zone: str = OSLO) -> list[str]:
    """Return the next ticks as they stand on a clock of the zone, with its distance from UTC."""
    cron = Cron.parse(expression, zone, NOW)
    ticks = cron.upcoming(ms(after), count)
    return [f"{datetime.fromtimestamp(tick / 1000, ZoneInfo(zone)):%m-%d %H:%M %z}" for tick in ticks]


def refusal(expression: str, zone: str = "UTC") -> tuple[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        Cron.parse(expression, zone, NOW)
    (violation,) = caught.value.violations
    return violation.field, violation.description


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("* * * * *", "2026-01-01T00:01:00+00:00"),
        ("*/5 * * * *", "2026-01-01T00:05:00+00:00"),
        ("0 0 1 1 *", "2027-01-01T00:00:00+00:00"),
        ("30 4 * * MON-fri", "2026-01-01T04:30:00+00:00"),
        ("0 12 29 2 *", "2028-02-29T12:00:00+00:00"),
        ("0 0 L * *", "2026-01-31T00:00:00+00:00"),
        ("0 0 * * 5L", "2026-01-30T00:00:00+00:00"),
        ("0 0 * * 5#2", "2026-01-09T00:00:00+00:00"),
        ("0 0 13 * 5", "2026-01-02T00:00:00+00:00"),  # either day, as cron has it
        ("  0   0 1  2\x20*  ", "2026-02-01T00:00:00+00:00"),
        ("59 23 31 12 7", "2026-12-06T23:59:00+00:00"),
        (",".join(["0"] * 60) + " 0 1 1 *", "2027-01-01T00:00:00+00:00"),
    ],
)
def test_the_first_tick_comes_after_now(expression: str, first: str) -> None:
    assert Cron.parse(expression, "UTC", NOW).after(NOW) == ms(first)


def test_a_tick_of_this_very_moment_is_not_after_it() -> None:
    cron = Cron.parse("0 0 * * *", "UTC", NOW)
    assert cron.after(NOW) == ms("2026-01-02T00:00:00+00:00")
    assert cron.after(NOW - 1) == NOW
    assert cron.after(NOW + 59_999) == ms("2026-01-02T00:00:00+00:00")


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "* * * * * *",
        "0 0 0 0 0 0 0",
        "@daily",
        "@reboot",
        "* * * *\t*",
        "* * * * *\n",
        "é * * * *",
        "\0",
    ],
)
def test_an_expression_has_five_fields_of_plain_text(expression: str) -> None:
    field, description = refusal(expression)
    assert field == "schedule.cron"
    assert description.startswith("must have five fields: minute, hour, day of month, month, day of week")


@pytest.mark.parametrize(
    ("expression", "which"),
    [
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day-of-month"),
        ("* * 32 * *", "day-of-month"),
        ("* * * 13 *", "month"),
        ("* * * JANUARY *", "month"),
        ("* * * * 8", "day-of-week"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("1, * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("1#1 * * * *", "minute"),
        ("L * * * *", "minute"),
        ("* * 1-L * *", "day-of-month"),
        ("* * * * 1#6", "day-of-week"),
        ("* * * * 1L/2", "day-of-week"),
        ("0 0 31 2 *", "day-of-month"),
        ("0 0 30 2 *", "day-of-month"),
        ("0 0 31 4,6,9,11 *", "day-of-month"),
        ("9" * 1000 + " * * * *", "minute"),
    ],
)
def test_a_wrong_field_is_named(expression: str, which: str) -> None:
    assert refusal(expression) == ("schedule.cron", f"has a {which} that cannot be understood, or never comes")


@pytest.mark.parametrize("expression", ["* * */20 * 1L", "0 0 */31 2 2#5"])
def test_what_never_comes_is_refused(expression: str) -> None:
    assert refusal(expression) == ("schedule.cron", "never comes in the next 50 years")


def test_what_is_too_long_is_refused() -> None:
    refused = refusal("0" * (LONGEST_CRON - 7) + " * * * *")
    assert refused == ("schedule.cron", f"must have at most {LONGEST_CRON} characters")


@pytest.mark.parametrize(
    "zone",
    [
        *("", "utc", "Europe", "Europe/oslo", "Middle/Earth", "../UTC", "/etc/passwd", "UTC\0", "é", "x" * 65, "GMT+1"),
        *("posixrules", "localtime", "right/UTC", "posix/UTC", "Factory", "tzdata.zi", "zone.tab", "leapseconds", "."),
    ],
)
def test_what_is_no_zone_is_refused(zone: str) -> None:
    expected = "must be a time zone of the IANA database, such as UTC or Europe/Oslo"
    assert refusal("* * * * *", zone) == ("schedule.timezone", expected)


def test_in_the_hour_that_is_left_out_what_names_its_hour_runs_right_after_it() -> None:
    assert following("30 2 * * *", "2026-03-28T12:00:00+01:00", 3) == [
        "03-29 03:00 +0200",
        "03-30 02:30 +0200",
        "03-31 02:30 +0200",
    ]


def test_of_two_that_fall_into_the_hour_that_is_left_out_one_runs() -> None:
    assert following("0,30 2 * * *", "2026-03-28T12:00:00+01:00", 2) == ["03-29 03:00 +0200", "03-30 02:00 +0200"]


def test_in_the_hour_that_comes_twice_what_names_its_hour_runs_the_first_time() -> None:
    assert following("30 2 * * *", "2026-10-24T12:00:00+02:00", 3) == [
        "10-25 02:30 +0200",
        "10-26 02:30 +0100",
        "10-27 02:30 +0100",
    ]


@pytest.mark.parametrize("moment", ["02:30:00+02:00", "02:45:00+02:00", "02:00:00+01:00", "02:15:00+01:00"])
def test_in_the_middle_of_the_hour_that_comes_twice_no_tick_lies_behind(moment: str) -> None:
    assert following("30 2 * * *", f"2026-10-25T{moment}", 1) == ["10-26 02:30 +0100"]


def test_what_runs_every_so_often_goes_by_the_time_that_passes() -> None:
    assert following("*/30 * * * *", "2026-03-29T01:00:00+01:00", 3) == [
        "03-29 01:30 +0100",
        "03-29 03:00 +0200",
        "03-29 03:30 +0200",
    ]
    assert following("0 * * * *", "2026-10-25T01:30:00+02:00", 3) == [
        "10-25 02:00 +0200",
        "10-25 02:00 +0100",
        "10-25 03:00 +0100",
    ]


@pytest.mark.parametrize("expression", ["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "15,45 1-3 * * *"])
@pytest.mark.parametrize("zone", ["UTC", OSLO, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"])
def test_ticks_only_ever_go_forward_and_each_follows_the_one_before(expression: str, zone: str, day: str) -> None:
    cron = Cron.parse(expression, zone, NOW)
    start = ms(f"{day}T00:00:00+00:00") - 86_400_000
    ticks = cron.upcoming(start, 100)
    assert list(ticks) == sorted(set(ticks))
    assert ticks[0] > start
    assert all(tick % 60_000 == 0 for tick in ticks)
    for tick, after in itertools.pairwise(ticks):
        assert cron.after(tick) == after
        assert cron.after((tick + after) // 2) == after


def test_ticks_up_to_a_time_are_all_there_up_to_a_number() -> None:
    cron = Cron.parse("* * * * *", "UTC", NOW)
    minutes = [NOW + minute * 60_000 for minute in range(10)]
    assert cron.until(NOW, NOW + 30_000, 100) == (NOW,)
    assert cron.until(NOW, minutes[2], 100) == tuple(minutes[:3])
    assert cron.until(NOW, minutes[9] + 1, 4) == (*minutes[:3], minutes[9])


def test_of_very_many_missed_ticks_the_last_is_found_across_a_change_of_clocks() -> None:
    cron = Cron.parse("30 2 * * *", OSLO, NOW)
    first, last = ms("2026-01-01T02:30:00+01:00"), ms("2026-10-25T02:40:00+01:00")
    assert cron.until(first, last, 3)[-1] == ms("2026-10-25T02:30:00+02:00")


def test_a_zone_that_left_the_database_is_told() -> None:
    with pytest.raises(InvalidArgument):
        Cron.kept("* * * * *", "Middle/Earth")


def test_times_are_those_of_the_epoch() -> None:
    assert Cron.parse("0 9 * * *", OSLO, NOW).after(NOW) == datetime(2026, 1, 1, 8, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("*/2 * * * *", "Every 2 minutes"),
        ("*/15 9-17 * * *", "Every 15 minutes from 09:00 through 17:59"),
        ("0 */2 * * *", "At minute 0 past every 2 hours"),
        ("0 * * * *", "At the start of every hour"),
        ("0 0 * * *", "At 00:00 every day"),
        ("30 4 * * MON-fri", "At 04:30 on Monday through Friday"),
        ("0 0 21 * *", "At 00:00 on the 21st day of every month"),
        ("0 0 */22 * *", "At 00:00 on every 22nd day of month"),
        (",".join(["0", "1"] * 100) + " * * * *", ",".join(["0", "1"] * 100) + " * * * *"),
    ],
)
def test_an_expression_is_told_in_english(expression: str, words: str) -> None:
    assert in_words(expression) == words


_terms = st.sampled_from(
    [*"*059", "1-5", "*/2", "0-30/7", "5/9", "MON", "JAN", "sun-tue", "L", "LW", "5L", "1#2", "7", "31", "x", "60"]
)


@given(st.lists(st.lists(_terms, min_size=1, max_size=4).map(",".join), min_size=5, max_size=5).map(" ".join))
def test_whatever_is_written_is_understood_or_refused(expression: str) -> None:
    try:
        cron = Cron.parse(expression, OSLO, NOW)
    except InvalidArgument:
        return
    first = cron.after(NOW)
    assert first is not None
    assert first > NOW
    assert in_words(expression)
