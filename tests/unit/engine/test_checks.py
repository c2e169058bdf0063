from __future__ import annotations

import pytest

from polycall.domain import Convention
from polycall.engine.checks import check_ad_hoc, check_json, environment_violations
from polycall.engine.requests import AdHocRun
from polycall.errors import InvalidArgument


@pytest.mark.parametrize(
    "text", [b"null", b' {"a": [1.0, 1e400, "\\u0000"]} ', b'"\xf0\x9f\x98\x80"', b"[" * 500 + b"]" * 500]
)
def test_json_is_json(text: bytes) -> None:
    check_json(text, "input_json")


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"nul", b"NaN", b"Infinity", b"{} {}", b"[1,]", b"{'a': 1}", b'{"a" 1}', b"01", b'"\n"'),
        *(b'"\xff"', b"\xff", b'"\xed\xa0\x80"', b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b"\0"),
    ],
)
def test_what_is_not_json_is_refused_by_its_field(text: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_json(text, "input_json")
    (violation,) = caught.value.violations
    assert violation.field == "input_json"
    assert len(violation.description) < 200


def test_everything_that_is_wrong_with_code_is_named_at_once() -> None:
    run = AdHocRun(
        code="\udc00",
        entrypoint="a.b",
        env={"A=B": "", "\udc00": "", "C": "\0", "D": "\udc00"},
        args=("a", "\0"),
        stdin=b"x",
    )
    with pytest.raises(InvalidArgument) as caught:
        check_ad_hoc(run)
    assert [violation.field for violation in caught.value.violations] == [
        "code",
        "entrypoint",
        "args",
        "env['A=B']",
        "env['\\udc00']",
        "env['C']",
        "env['D']",
        "args[1]",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("LD_PRELOAD", "is read by the loader of programs, which is not for code to steer; leave it out"),
        ("LD_LIBRARY_PATH", "is read by the loader of programs, which is not for code to steer; leave it out"),
        ("GLIBC_TUNABLES", "is read by the loader of programs, which is not for code to steer; leave it out"),
        ("PYTHONPATH", "is read before the code is there, and would change nothing; leave it out"),
        ("NODE_OPTIONS", "is read before the code is there, and would change nothing; leave it out"),
        ("DENO_DIR", "is read before the code is there, and would change nothing; leave it out"),
        ("https_proxy", "is set by polycall where code may reach other hosts; leave it out"),
        ("SSL_CERT_FILE", "is set by polycall where code may reach other hosts; leave it out"),
        ("POLYCALL_X", "is kept for polycall itself; leave it out"),
    ],
)
def test_a_variable_that_is_not_for_users_is_named_with_the_reason(name: str, why: str) -> None:
    for found in (environment_violations({"A": "1", name: "x"}), environment_violations({name: ""}, "version.env")):
        assert [violation.description for violation in found] == [why]


def test_variables_that_code_may_look_for_are_users_to_set() -> None:
    names = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "NODE_ENV", "PYTHONUNBUFFERED", "LD", "MY_LD_X", "ld_preload")
    assert list(environment_violations(dict.fromkeys(names, "x"))) == []


def test_a_script_takes_arguments_and_input() -> None:
    check_ad_hoc(AdHocRun(code="pass", convention=Convention.SCRIPT, args=("a",), stdin=b"x"))


@pytest.mark.parametrize("code", ["", " \n\t"])
def test_code_must_not_be_empty(code: str) -> None:
    with pytest.raises(InvalidArgument, match="code: must not be empty"):
        check_ad_hoc(AdHocRun(code=code))
