"""What is refused, in which words; and that the server is none the worse for it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.riza.driver import ECHO, PATH, Riza

_MIB = 1 << 20
_DEEP = b"[" * 100_000 + b"]" * 100_000
_PLAIN = json.dumps({"language": "python", "code": ECHO}).encode()


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"42",
        b'"text"',
        b"{'code': 'x'}",
        b'{"code":"c","language":"python",}',
        b'{"code":"c","language":"python"} {}',
        b'{"code":"c","language":"python","input":NaN}',
        b'{"code":"c","language":"python","input":Infinity}',
        b'{"code":"c","language":"python","input":01}',
        b'{"code":"c","language":"python","input":"\xff\xfe"}',
        b'\xff{"code":"c","language":"python"}',
        b'{"code":"\\ud800","language":"python"}',
        b'{"code":"c","language":"python","input":%s}' % _DEEP,
        b'{"code":"c","language":"python","unknown":%s}' % _DEEP,
    ],
    ids=lambda body: repr(body)[:50],
)
def test_a_body_that_is_no_json_object_is_refused(riza: Riza, body: bytes | None) -> None:
    status, code, _ = riza.refused(riza.send(body))
    assert (status, code) == (400, 3)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"code": None}, "code: is required"),
        ({"code": ""}, "code: must not be empty"),
        ({"language": None}, "language: is required"),
        ({"language": "cobol"}, "language: must be one of python, javascript, typescript"),
        ({"language": "ruby"}, "language: must be one of python, javascript, typescript"),
        ({"code": "x" * (_MIB + 1)}, "code: must have at most 1048576 bytes"),
        ({"limits": {"execution_timeout": -1}}, "limits.execution_timeout: must be 1 to 300 seconds, or 0 for 30"),
        ({"limits": {"execution_timeout": 301}}, "limits.execution_timeout: must be 1 to 300 seconds, or 0 for 30"),
        ({"limits": {"execution_timeout": 10**30}}, "limits.execution_timeout: must be 1 to 300 seconds, or 0 for 30"),
        ({"limits": {"memory_size": -5}}, "limits.memory_size: must be 16 to 2048 MiB, or 0 for 128"),
        ({"limits": {"memory_size": 4096}}, "limits.memory_size: must be 16 to 2048 MiB, or 0 for 128"),
        ({"limits": {"memory_size": "128"}}, "limits.memory_size: Expected `int | null`, got `str`"),
        ({"files": [{"path": "/etc/passwd", "contents": ""}]}, "files[0].path: must be relative"),
        ({"files": [{"path": "a/../../b", "contents": ""}]}, "files[0].path: must not contain '..'"),
        ({"files": [{"path": "a\0b", "contents": ""}]}, "files[0].path: must not contain NUL"),
        ({"files": [{"path": "./", "contents": "x"}]}, "files[0].path: must not be empty"),
        ({"files": [{"contents": "x"}]}, "files[0].path: is required where there are contents"),
        ({"files": [{"path": "a"}, {"path": "a"}]}, "files[1].path: is given twice"),
        ({"files": [{"path": "a"}, {"path": "a/b"}]}, "files[1].path: lies below what is also a file"),
        ({"files": "a.txt"}, "files: Expected `array | null`, got `str`"),
        ({"env": {"A": 1}}, "env[...]: Expected `str`, got `int`"),
        ({"env": {f"V{i}": "" for i in range(101)}}, "env: has 101 variables; at most 100"),
        ({"env": {"A": "x" * 102_401}}, "env['A']: a value must be UTF-8 of at most 102400 bytes"),
        ({"env": {"A=B": "x"}}, "env['A=B']: a name must not be empty and must have no `=` and no NUL"),
        ({"env": {"A": "\0"}}, "env['A']: a value must have no NUL"),
        ({"http": {"allow": ["example.com"]}}, "http.allow[0]: Expected `object`, got `str`"),
        ({"http": {"allow": [{"host": 5}]}}, "http.allow[0].host: Expected `str | null`, got `int`"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_wrong_value_is_refused_and_named(riza: Riza, members: dict[str, Any], message: str) -> None:
    assert riza.refused(riza.post(**members)) == (400, 3, message)


def test_an_unknown_runtime_revision_is_not_found(riza: Riza) -> None:
    status, code, message = riza.refused(riza.post(runtime_revision_id="01JKY2FCN25GW3EC8JMFN3KWX9"))
    assert (status, code) == (404, 5)
    assert "01JKY2FCN25GW3EC8JMFN3KWX9" in message


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(_PLAIN)[:-9], "gzip"),
        (gzip.compress(_PLAIN) + b"x", "gzip"),
        (b"nonsense", "gzip"),
        (_PLAIN, "gzip"),
        (_PLAIN, "br"),
        (b"", "gzip"),
    ],
)
def test_a_broken_or_unknown_encoding_is_refused(riza: Riza, data: bytes, encoding: str) -> None:
    status, code, _ = riza.refused(riza.send(data, {"content-encoding": encoding}))
    assert (status, code) == (400, 3)


def test_a_body_beyond_64_mib_is_too_large(riza: Riza) -> None:
    status, code, _ = riza.refused(riza.send(b" " * (64 * _MIB + 1)))
    assert (status, code) == (413, 3)


def test_a_small_body_that_grows_beyond_64_mib_is_too_large(riza: Riza) -> None:
    bomb = gzip.compress(b" " * (64 * _MIB + 1), 1)
    status, code, _ = riza.refused(riza.send(bomb, {"content-encoding": "gzip"}))
    assert (status, code) == (413, 3)


def test_a_key_without_the_scope_may_not_run(riza: Riza) -> None:
    key = riza.server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_READ])
    status, code, message = riza.refused(riza.send(b"{", key=key))
    assert (status, code) == (403, 7)
    assert "`run`" in message


def test_a_key_of_another_project_runs_in_its_own(riza: Riza) -> None:
    other = Riza(riza.server, riza.server.new_key(project="riza-other"))
    assert other.run(input=1).output == 1


def test_another_method_is_not_allowed(riza: Riza) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = riza.server.http(method, PATH, headers={"authorization": f"Bearer {riza.key}"})
        status, code, _ = riza.refused(answer)
        assert (status, code, answer.headers["allow"]) == (405, 12, "POST")


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/execute-function/", "/v1/tools/x/y"])
def test_an_unknown_route_is_not_found(riza: Riza, path: str) -> None:
    answer = riza.server.http("POST", path, body=b"{}", headers={"authorization": f"Bearer {riza.key}"})
    status, code, _ = riza.refused(answer)
    assert (status, code) == (404, 5)


@pytest.mark.parametrize("path", ["/v1/tools/%ff", "/v1/executions/a%ffb", "/v1/runtimes/%C3%28/revisions/x"])
def test_an_id_that_is_no_text_is_not_found(riza: Riza, path: str) -> None:
    answer = riza.server.http("GET", path, headers={"authorization": f"Bearer {riza.key}"})
    assert riza.refused(answer)[:2] == (404, 5)


def test_internal_headers_from_outside_change_nothing(riza: Riza) -> None:
    headers = {"x-http-status": "299", "grpc-timeout": "1n", "x-polycall-face": "domo", "x-polycall-query": "a=b"}
    answer = riza.send(_PLAIN, headers)
    assert (answer.status, answer.json()["output_status"]) == (200, "valid")
    assert not [name for name in answer.headers if name.startswith(("grpc-", "x-http-status", "x-polycall"))]


def test_a_long_refusal_arrives_whole_at_who_takes_gzip(riza: Riza) -> None:
    for headers in ({}, {"accept-encoding": "gzip"}):  # the SDK says so
        headers = {"authorization": f"Bearer {riza.key}", **headers}
        answer = riza.server.http("GET", f"/v1/runtimes/{'x' * 1500}", headers=headers)
        status, code, message = riza.refused(answer)
        assert (status, code, "x" * 1500 in message) == (404, 5, True)
