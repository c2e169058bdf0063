from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import Convention, InputFile, Language, LimitOverrides
from polycall.engine.limits import MIB
from polycall.errors import InvalidArgument, RuntimeMissing
from polycall.faces.riza.records import Record
from polycall.faces.riza.requests import Bounds, Call, read_function_call, read_script_call
from polycall.faces.wire import Malformed

BOUNDS = Bounds(max_timeout_s=300, min_memory_mib=16, max_memory_mib=2048)
ECHO = "def execute(input): return input"


def _read(**members: Any) -> Call:
    body = {"language": "python", "code": ECHO, **members}
    return read_function_call(json.dumps(body).encode(), BOUNDS)


def _refusal(body: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        read_function_call(body, BOUNDS)
    return caught.value.message


def _violations(**members: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as caught:
        _read(**members)
    return [(violation.field, violation.description) for violation in caught.value.violations]


def test_the_documented_example_is_read_field_by_field() -> None:
    call = read_function_call(
        b'{"language":"python","code":"def execute(input): return { \\"name\\": input[\\"name\\"],'
        b' \\"executed\\": True }","input":{"name":"John"}}',
        BOUNDS,
    )
    assert call.run.code == 'def execute(input): return { "name": input["name"], "executed": True }'
    assert call.run.language is Language.PYTHON
    assert call.run.input == b'{"name":"John"}'
    assert (call.run.entrypoint, call.run.env, call.run.files) == ("execute", {}, ())
    assert (call.runtime_revision_id, call.run.egress, call.timeout_s) == (None, None, 30)


def test_limits_are_the_contracts_unless_asked_for() -> None:
    default = LimitOverrides(
        timeout_ms=30_000,
        memory_bytes=128 * MIB,
        result_bytes=15 * MIB,
        stdout_bytes=20 * MIB,
        stderr_bytes=10 * MIB,
    )
    for limits in (None, {}, {"execution_timeout": 0, "memory_size": 0}, {"execution_timeout": None}):
        assert _read(limits=limits).run.limits == default
    asked = _read(limits={"execution_timeout": 300, "memory_size": 2048}).run.limits
    assert (asked.timeout_ms, asked.memory_bytes) == (300_000, 2048 * MIB)


def test_the_contracts_limits_give_way_to_the_operators() -> None:
    tight = Bounds(max_timeout_s=10, min_memory_mib=16, max_memory_mib=64)
    call = read_function_call(b'{"language":"python","code":"c"}', tight)
    assert (call.run.limits.timeout_ms, call.run.limits.memory_bytes) == (10_000, 64 * MIB)


@pytest.mark.parametrize("text", [b"9007199254740993", b"1.0", b"1", b'{"b": 1,  "a": 2.50}', b"false", b'""', b"[ ]"])
def test_input_keeps_its_bytes(text: bytes) -> None:
    body = b'{"code":"c","language":"python","input":%s}' % text
    assert read_function_call(body, BOUNDS).run.input == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_input_arrives_as_it_was_written(value: object) -> None:
    text = json.dumps(value)
    call = read_function_call(b'{"code":"c","language":"python","input":%s}' % text.encode(), BOUNDS)
    assert call.run.input == text.encode()


def test_absent_and_null_input_are_null() -> None:
    assert _read().run.input == b"null"
    assert _read(input=None).run.input == b"null"


def test_null_is_absent_and_unknown_members_are_ignored() -> None:
    nulls = dict.fromkeys(("input", "env", "files", "http", "limits", "runtime_revision_id"))
    plain = _read()
    assert _read(**nulls).run == plain.run
    assert _read(language="python", surprise={"x": [1]}, allow_http_hosts=["*"]).run == plain.run
    assert _read(http={"allow": None}).run.egress is None
    assert _read(runtime_revision_id="").runtime_revision_id is None
    assert _read(runtime_revision_id="01J").runtime_revision_id == "01J"


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [("python", "python"), ("PYTHON", "python"), ("JavaScript", "javascript"), ("TYPESCRIPT", "typescript")],
)
def test_languages_are_compared_without_case(spelled: str, meant: str) -> None:
    call = _read(language=spelled)
    assert call.run.language.value == meant
    assert json.loads(call.record.request)["language"] == meant


def test_what_is_required_is_named_all_at_once() -> None:
    assert _refusal(b"{}") == "code: is required; language: is required"
    assert _refusal(b'{"code":null,"language":null}') == "code: is required; language: is required"


def test_an_unknown_language_is_answered_in_the_contracts_words() -> None:
    assert _violations(language="cobol") == [("language", "must be one of python, javascript, typescript")]
    assert _violations(language="") == [("language", "must be one of python, javascript, typescript")]


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"execution_timeout": -1}, "limits.execution_timeout"),
        ({"execution_timeout": 301}, "limits.execution_timeout"),
        ({"execution_timeout": 10**30}, "limits.execution_timeout"),
        ({"memory_size": -128}, "limits.memory_size"),
        ({"memory_size": 15}, "limits.memory_size"),
        ({"memory_size": 2049}, "limits.memory_size"),
    ],
)
def test_limits_out_of_range_are_named_with_their_range(limits: dict[str, int], field: str) -> None:
    ranges = {
        "limits.execution_timeout": "must be 1 to 300 seconds, or 0 for 30",
        "limits.memory_size": "must be 16 to 2048 MiB, or 0 for 128",
    }
    assert _violations(limits=limits) == [(field, ranges[field])]


def test_several_wrong_values_are_all_named() -> None:
    found = _violations(language="perl", limits={"execution_timeout": -1, "memory_size": -1}, files=[{"contents": "x"}])
    assert [field for field, _ in found] == [
        "language",
        "files[0].path",
        "limits.execution_timeout",
        "limits.memory_size",
    ]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("code", 1),
        ("language", ["python"]),
        ("env", []),
        ("env", {"A": 1}),
        ("env", {"A": None}),
        ("files", {}),
        ("files", ["a"]),
        ("files", [None]),
        ("files", [{"path": 1}]),
        ("files", [{"contents": {}}]),
        ("http", []),
        ("http", {"allow": {}}),
        ("http", {"allow": ["example.com"]}),
        ("http", {"allow": [{"host": 1}]}),
        ("http", {"allow": [{"host": "h", "auth": {"bearer": "t"}}]}),
        ("http", {"allow": [{"host": "h", "auth": {"basic": {"password": 1}}}]}),
        ("limits", 30),
        ("limits", {"execution_timeout": "30"}),
        ("limits", {"execution_timeout": 1.5}),
        ("limits", {"execution_timeout": True}),
        ("runtime_revision_id", 7),
    ],
)
def test_a_wrong_type_is_refused_and_its_place_named(member: str, value: object) -> None:
    (violation,) = _violations(**{member: value})
    assert violation[0].startswith(member)
    assert violation[1].startswith("Expected `")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"42",
        b'{"code":"c","language":"python"} x',
        b'{"code":"c","language":"python","input":NaN}',
        b"{'code':'c'}",
        b'{"code":"c","language":"python",}',
        b'{"code":"c","language":"python","input":"\xff"}',
        b'{"code":"c","language":"python","input":"\\ud800"}',
        b'{"code":"c","language":"python","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_function_call(body, BOUNDS)


def test_files_are_paths_and_text() -> None:
    call = _read(files=[{"path": "a.txt", "contents": "ä"}, {"path": "./sub/./b.txt"}, {"path": "c", "contents": None}])
    assert call.run.files == (
        InputFile("a.txt", "ä".encode()),
        InputFile("sub/b.txt", b""),
        InputFile("c", b""),
    )


def test_a_file_of_nothing_is_nothing_but_contents_need_a_path() -> None:
    assert _read(files=[{}, {"path": None, "contents": None}, {"contents": ""}]).run.files == ()
    assert _violations(files=[{}, {"contents": "x"}]) == [("files[1].path", "is required where there are contents")]


def test_all_kinds_of_credentials_may_stand_together() -> None:
    auth = {
        "basic": {"user_id": "u", "password": "p"},
        "bearer": {"token": "t"},
        "header": {"name": "n", "token": "v"},
        "query": {"key": "k", "value": "v"},
    }
    policy = _read(http={"allow": [{"host": "h", "auth": auth}]}).run.egress
    assert policy is not None
    assert policy.rules[0].host == "h"
    assert [(one.kind, one.name, one.secret) for one in policy.rules[0].credentials] == [
        ("basic", "u", "p"),
        ("bearer", "", "t"),
        ("header", "n", "v"),
        ("query", "k", "v"),
    ]
    assert _read(http={"allow": []}).run.egress is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "http.allow[0].host: must be a host name, such as api.example.com"),
        (
            {"host": "https://a.example/x"},
            "http.allow[0].host: must be a host, such as api.example.com, without scheme and path",
        ),
        (
            {"host": "a.*.example"},
            "http.allow[0].host: may have a wildcard only as its first label: *.example.com, or * for every host",
        ),
        (
            {"host": "*", "auth": {"bearer": {"token": "t"}}},
            "http.allow[0].host: must name a host, or *.example.com, where there are credentials: "
            "code could send them to itself",
        ),
        (
            {"host": "h", "auth": {"header": {"name": "x y", "value": "v"}}},
            "http.allow[0].auth.header.name: must be an HTTP header name: letters, digits and -",
        ),
        (
            {"host": "h", "auth": {"header": {"name": "Host", "value": "v"}}},
            "http.allow[0].auth.header.name: must not be a header that says how the message is framed or where it goes",
        ),
        (
            {"host": "h", "auth": {"header": {"name": "x", "value": "a\r\nb: c"}}},
            "http.allow[0].auth.header.value: must be visible ASCII characters, with spaces only between them",
        ),
        (
            {"host": "h", "auth": {"bearer": {"token": "a\nb"}}},
            "http.allow[0].auth.bearer.token: must be visible ASCII characters, with spaces only between them",
        ),
        (
            {"host": "h", "auth": {"basic": {"user_id": "a:b", "password": "p"}}},
            "http.allow[0].auth.basic.user_id: must not have a colon",
        ),
        (
            {"host": "h", "auth": {"query": {"value": "v"}}},
            "http.allow[0].auth.query.key: must be the name of a parameter, without control characters",
        ),
    ],
)
def test_what_is_wrong_with_a_host_or_a_credential_is_named(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        _read(http={"allow": [entry]})
    assert caught.value.message == message


def test_a_host_stands_once() -> None:
    with pytest.raises(InvalidArgument) as caught:
        _read(http={"allow": [{"host": "h"}, {"host": "H"}]})
    assert caught.value.message == "http.allow[1].host: stands in rule 0 already"


def test_a_key_in_the_place_of_the_user_is_masked_too() -> None:
    auth = {"basic": {"user_id": "sk_live_secret", "password": ""}}
    assert "sk_live_secret" not in _read(http={"allow": [{"host": "h", "auth": auth}]}).record.request.decode()


def test_the_record_is_the_request_in_canonical_form() -> None:
    call = _read(
        language="PYTHON",
        input={"n": 1.0},
        env={"A": "b"},
        files=[{"path": "p", "contents": "c"}],
        limits={"execution_timeout": 2},
        surprise=1,
        http=None,
    )
    assert call.record == Record(
        "function",
        b'{"code":"def execute(input): return input","language":"python","env":{"A":"b"},'
        b'"files":[{"path":"p","contents":"c"}],"limits":{"execution_timeout":2},"input":{"n": 1.0}}',
    )


def test_the_record_has_no_credentials() -> None:
    secret = "hunter2"
    auth = {
        "basic": {"user_id": "u", "password": secret},
        "bearer": {"token": secret},
        "header": {"name": "n", "value": secret, "token": secret},
        "query": {"key": "k", "token": secret},
    }
    record = _read(http={"allow": [{"host": "h", "auth": auth}, {"host": "g"}]}).record.request
    assert secret.encode() not in record
    assert json.loads(record)["http"] == {
        "allow": [
            {
                "host": "h",
                "auth": {
                    "basic": {"user_id": "u", "password": "***"},
                    "bearer": {"token": "***"},
                    "header": {"name": "n", "value": "***"},
                    "query": {"key": "k", "value": "***"},
                },
            },
            {"host": "g"},
        ]
    }


def test_of_a_large_request_the_largest_parts_are_not_recorded_and_it_says_so() -> None:
    larger = "the request was larger than the 256 KiB that are kept of one"
    call = _read(input="x" * (256 * 1024), env={"A": "b"})
    code = "def execute(input): return input"
    assert json.loads(call.record.request) == {
        "code": code,
        "language": "python",
        "env": {"A": "b"},
        "omitted": f"input: {larger}",
    }
    call = _read(code="#" * (300 * 1024), input=1, files=[{"path": "p", "contents": "c" * (400 * 1024)}])
    assert json.loads(call.record.request) == {
        "code": "",
        "language": "python",
        "input": 1,
        "omitted": f"files, code: {larger}",
    }
    escaped = json.loads(_read(input=1, env={"A": "\x01" * 100_000}).record.request)
    assert escaped == {"code": "", "language": "python", "omitted": f"input, env, code: {larger}"}


def _read_script(**members: Any) -> Call:
    return read_script_call(json.dumps({"language": "python", "code": "print()", **members}).encode(), BOUNDS)


def test_a_script_is_code_with_arguments_and_standard_input() -> None:
    call = _read_script(args=["a", "", "é"], stdin="in\n", env={"A": "b"}, files=[{"path": "f", "contents": "c"}])
    assert call.run.convention is Convention.SCRIPT
    assert (call.run.code, call.run.language) == ("print()", Language.PYTHON)
    assert (call.run.args, call.run.stdin, call.run.env) == (("a", "", "é"), b"in\n", {"A": "b"})
    assert call.run.files == (InputFile("f", b"c"),)
    assert call.run.limits == _read().run.limits


def test_a_script_without_arguments_and_input_has_none() -> None:
    plain = _read_script()
    assert (plain.run.args, plain.run.stdin) == ((), b"")
    nulls = dict.fromkeys(("args", "stdin", "env", "files", "http", "limits", "runtime_revision_id"))
    assert _read_script(**nulls, input={"ignored": 1}).run == plain.run


def test_what_is_a_scripts_alone_is_ignored_for_a_function() -> None:
    assert _read(args=5, stdin=["x"], allow_http_hosts=7).run == _read().run


@pytest.mark.parametrize("language", ["ruby", "PHP"])
def test_a_language_of_the_contract_that_is_not_here_is_told_as_such(language: str) -> None:
    with pytest.raises(RuntimeMissing, match=f"{language.lower()} is not installed on this server"):
        _read_script(language=language)


def test_a_script_has_two_languages_more_than_a_function() -> None:
    with pytest.raises(InvalidArgument) as caught:
        _read_script(language="cobol")
    assert caught.value.message == "language: must be one of python, javascript, typescript, ruby, php"


def test_the_older_spelling_of_hosts_counts_where_the_newer_is_absent() -> None:
    old = _read_script(allow_http_hosts=["example.com", "*"])
    assert old.run.egress is not None
    assert [rule.host for rule in old.run.egress.rules] == ["example.com", "*"]
    request = json.loads(old.record.request)
    assert request["http"] == {"allow": [{"host": "example.com"}, {"host": "*"}]}
    assert "allow_http_hosts" not in request
    assert _read_script(allow_http_hosts=["a"], http={"allow": []}).run.egress is None
    assert _read_script(allow_http_hosts=[]).run.egress is None


def test_the_record_of_a_script_says_that_it_is_one() -> None:
    record = _read_script(args=["a"], stdin="s").record
    assert (record.type, json.loads(record.request)) == (
        "script",
        {"code": "print()", "language": "python", "args": ["a"], "stdin": "s"},
    )


@pytest.mark.parametrize(
    ("member", "value"), [("args", "a"), ("args", [1]), ("args", [None]), ("stdin", 1), ("allow_http_hosts", "h")]
)
def test_a_wrong_type_of_a_script_is_refused_and_named(member: str, value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        _read_script(**{member: value})
    assert caught.value.violations[0].field.startswith(member)
