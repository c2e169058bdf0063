"""Values on the command line: what people write, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.cli.options import (
    execution_name,
    package_name,
    parse_duration,
    parse_file,
    parse_memory,
    parse_moment,
    parse_payload,
    parse_variable,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("1.5s", 1.5), ("500ms", 0.5), ("5m", 300.0), ("1h", 3600.0), ("7d", 604_800.0), (" 2 s ", 2.0)],
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "mib"), [("256", 256), ("256MiB", 256), ("2GiB", 2048), ("1 GiB", 1024)])
def test_a_size_has_a_unit(text: str, mib: int) -> None:
    assert parse_memory(text) == mib


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e9", "2 weeks", "2M", "nan", "١s"])
@pytest.mark.parametrize("parse", [parse_duration, parse_memory])
def test_what_is_no_quantity_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a (duration|size); write "):
        parse(text)


def test_a_fraction_of_a_mebibyte_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'1\.5GiB' is not a size"):
        parse_memory("1.5GiB")


def test_a_moment_is_a_time_or_counted_back() -> None:
    assert parse_moment("2026-01-31T12:00:00+02:00") == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert abs(parse_moment("2h") - (datetime.now(UTC) - timedelta(hours=2))) < timedelta(minutes=1)
    with pytest.raises(ValueError, match="'yesterday' is not a time"):
        parse_moment("yesterday")


def test_a_variable_has_a_value_or_takes_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret=1")
    assert parse_variable("A=b=c") == ("A", "b=c")
    assert parse_variable("A=") == ("A", "")
    assert parse_variable("TOKEN") == ("TOKEN", "secret=1")
    monkeypatch.delenv("TOKEN")
    with pytest.raises(ValueError, match="TOKEN is not set in your environment"):
        parse_variable("TOKEN")
    with pytest.raises(ValueError, match="write NAME=VALUE"):
        parse_variable("=b")


def test_an_input_file_is_called_as_it_is_or_as_i_say(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"1,2")
    assert parse_file(str(tmp_path / "data.csv")) == ("data.csv", b"1,2")
    assert parse_file(f"in/table.csv={tmp_path / 'data.csv'}") == ("in/table.csv", b"1,2")


@given(st.text().filter(lambda text: text != "-" and not text.startswith("@")))
def test_a_payload_is_passed_on_as_it_is_written(text: str) -> None:
    assert parse_payload(text) == text


def test_a_payload_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_bytes(b'{"n": 9007199254740993, "x": 1.0}\n')
    assert parse_payload(f"@{tmp_path / 'in.json'}") == '{"n": 9007199254740993, "x": 1.0}\n'
    (tmp_path / "in.json").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="is not UTF-8"):
        parse_payload(f"@{tmp_path / 'in.json'}")


def test_names_may_be_short() -> None:
    assert (execution_name("1"), execution_name("executions/1")) == ("executions/1", "executions/1")
    assert (package_name("p"), package_name("packages/p")) == ("packages/p", "packages/p")
