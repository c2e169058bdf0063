"""polycall.names."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.errors import FieldViolation, InvalidArgument
from polycall.names import (
    ApiKeyName,
    ExecutionName,
    FunctionName,
    PackageName,
    ParentName,
    ProjectName,
    RevisionName,
    RuntimeName,
    VersionName,
    is_package_id,
    is_runtime_id,
    is_version_id,
)

UUID = "01a20b84-ace9-73b6-99c3-20bb684e149c"

IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=128).filter(
    lambda text: text not in (".", "..", "-")
)
FUNCTIONS = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=128)


@given(IDS, IDS, FUNCTIONS)
def test_a_name_reads_back_as_it_was_written(package: str, version: str, function: str) -> None:
    for name in (
        PackageName(package),
        VersionName(package, version),
        FunctionName(package, version, function),
        FunctionName(package, None, function),
        ParentName(package),
        ParentName(package, version),
        ParentName(package, version, function),
        ParentName(package, None, function),
        RuntimeName(package),
        RevisionName(package, version),
        ExecutionName(uuid.UUID(UUID)),
        ProjectName("default"),
        ApiKeyName("6a3c"),
    ):
        parse: Callable[[str], Any] = type(name).parse
        assert parse(str(name)) == name
    assert str(PackageName(package)).isascii()


def test_names_are_spelled_as_the_contract_says() -> None:
    assert str(PackageName("set__script")) == "packages/set__script"
    assert str(VersionName("p", "1.0.1")) == "packages/p/versions/1.0.1"
    assert str(FunctionName("p", "1", "f")) == "packages/p/versions/1/functions/f"
    assert str(FunctionName("p", None, "f")) == "packages/p/functions/f"
    assert str(ExecutionName(uuid.UUID(UUID))) == f"executions/{UUID}"


def test_what_would_part_a_name_or_change_on_the_way_is_percent_encoded() -> None:
    assert str(PackageName("a/b c%é")) == "packages/a%2Fb%20c%25%C3%A9"
    assert str(VersionName("p", "1/2")) == "packages/p/versions/1%2F2"
    assert str(FunctionName("a:b", "1?", "f")) == "packages/a%3Ab/versions/1%3F/functions/f"
    assert str(RevisionName("r/", "/1")) == "runtimes/r%2F/revisions/%2F1"


def test_what_need_not_be_encoded_may_be_as_it_is() -> None:
    assert PackageName.parse("packages/a b:é") == PackageName("a b:é")
    assert PackageName.parse("packages/%61%2fb") == PackageName("a/b")


def test_ids_that_mean_something_else_are_none_even_encoded() -> None:
    for text in ("packages/%2e", "packages/%2E%2E", "packages/%2D", "packages/a%00", "packages/%0A", "packages/%FF"):
        with pytest.raises(InvalidArgument) as caught:
            PackageName.parse(text)
        assert caught.value.violations[0].description.startswith("must be ")


def test_a_version_of_minus_is_the_newest() -> None:
    assert FunctionName.parse("packages/p/versions/-/functions/f") == FunctionName("p", None, "f")
    assert VersionName.parse("packages/p/versions/-", newest=True) == VersionName("p", "-")


def test_minus_is_no_version_where_one_must_be_named() -> None:
    with pytest.raises(InvalidArgument) as caught:
        VersionName.parse("packages/p/versions/-")
    assert caught.value.violations == (FieldViolation("name", "must name one version; `-` does not"),)


def test_an_execution_id_may_be_in_capitals() -> None:
    assert str(ExecutionName.parse(f"executions/{UUID.upper()}")) == f"executions/{UUID}"


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (PackageName.parse, "p"),
        (PackageName.parse, "packages/"),
        (PackageName.parse, "packages/-"),
        (PackageName.parse, "packages/a/b"),
        (PackageName.parse, "packages/a\n"),
        (PackageName.parse, f"packages/{'a' * 129}"),
        (PackageName.parse, "packages/.."),
        (VersionName.parse, "packages/p"),
        (VersionName.parse, "packages/p/versions/"),
        (VersionName.parse, f"packages/p/versions/{'a' * 129}"),
        (FunctionName.parse, "packages/p"),
        (FunctionName.parse, "packages/p/versions/1/functions/"),
        (FunctionName.parse, "packages/p/functions/a/b"),
        (ExecutionName.parse, "executions/1"),
        (ExecutionName.parse, f"executions/{{{UUID}}}"),
        (ExecutionName.parse, f"executions/urn:uuid:{UUID}"),
        (ProjectName.parse, "projects/Default"),
        (ProjectName.parse, "default"),
        (ParentName.parse, "packages/p/functions/f/versions/1"),
    ],
)
def test_what_is_no_name_is_refused_with_the_shape_it_must_have(parse: Callable[..., object], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text, "some.field")
    (violation,) = caught.value.violations
    assert violation.field == "some.field"
    assert violation.description.startswith("must be ")
    assert repr(text[:20])[:-1] in violation.description


def test_a_name_that_is_not_set_is_told_so() -> None:
    with pytest.raises(InvalidArgument) as caught:
        FunctionName.parse("")
    assert caught.value.violations == (
        FieldViolation("function", "must be set: packages/{package}[/versions/{version}]/functions/{function}"),
    )


def test_a_wrong_key_name_is_not_quoted() -> None:
    with pytest.raises(InvalidArgument) as caught:
        ApiKeyName.parse("pc_0011_secret")
    assert caught.value.message == "name: must be apiKeys/{key id}"


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_an_invalid_argument(text: str) -> None:
    for parse in (PackageName.parse, VersionName.parse, FunctionName.parse, ParentName.parse, ExecutionName.parse):
        try:
            parse(text)
        except InvalidArgument as error:
            refusal = error
        else:
            continue
        assert len(refusal.message) < 400


def test_nearly_any_text_is_an_id() -> None:
    good = ("a", "a.b_c~d-e", "-a", "_set__script", "a" * 128, "é" * 128, "a/b", "a b", "日本", "1_0", "...", "\u200b")
    bad = ("", "-", ".", "..", "a" * 129, "a\n", "\0", "\x7f", "\ud800")
    for tells in (is_package_id, is_version_id, is_runtime_id):
        assert [text for text in (*good, *bad) if tells(text)] == list(good)
