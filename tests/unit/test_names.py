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
    VersionName,
    is_package_id,
    is_version_id,
)

UUID = "01a20b84-ace9-73b6-99c3-20bb684e149c"

PACKAGES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\Z")
VERSIONS = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9.-]{0,63}\Z")
FUNCTIONS = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=128)


@given(PACKAGES, VERSIONS, FUNCTIONS)
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
        ExecutionName(uuid.UUID(UUID)),
        ProjectName("default"),
        ApiKeyName("6a3c"),
    ):
        parse: Callable[[str], Any] = type(name).parse
        assert parse(str(name)) == name


def test_names_are_spelled_as_the_contract_says() -> None:
    assert str(PackageName("set__script")) == "packages/set__script"
    assert str(VersionName("p", "1.0.1")) == "packages/p/versions/1.0.1"
    assert str(FunctionName("p", "1", "f")) == "packages/p/versions/1/functions/f"
    assert str(FunctionName("p", None, "f")) == "packages/p/functions/f"
    assert str(ExecutionName(uuid.UUID(UUID))) == f"executions/{UUID}"


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
        (PackageName.parse, "packages/-p"),
        (PackageName.parse, "packages/a/b"),
        (PackageName.parse, "packages/a\n"),
        (PackageName.parse, f"packages/{'a' * 129}"),
        (PackageName.parse, "packages/é"),
        (VersionName.parse, "packages/p"),
        (VersionName.parse, "packages/p/versions/"),
        (VersionName.parse, "packages/p/versions/1_0"),
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
        FieldViolation("function", "must be set: packages/{package}/versions/{version}/functions/{function}"),
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


def test_ids_are_told_from_what_is_none() -> None:
    assert [is_package_id(text) for text in ("a", "a.b_c~d-e", "-a", "", "a" * 128, "a" * 129, "a/b")] == [
        *(True, True, False, False, True, False, False)
    ]
    assert [is_version_id(text) for text in ("1", "1.0.1", "a_b", "-", "", "1" * 64, "1" * 65)] == [
        *(True, True, False, False, False, True, False)
    ]
