"""What a request may say beside its code."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.riza.driver import Result, Riza

_READ = "def execute(input):\n    return {path: open(path).read() for path in input}"


def test_the_environment_is_what_was_sent_and_little_else(riza: Riza) -> None:
    code = "import os\ndef execute(input): return dict(os.environ)"
    sent = {"A": "1", "NAME WITH SPACE": "é\n", "EMPTY": ""}
    seen = riza.run(code, env=sent).output
    assert {name: seen[name] for name in sent} == sent
    assert seen.keys() - sent.keys() <= {"PATH", "HOME", "TMPDIR", "LANG"}
    assert riza.run(code).output.keys() <= {"PATH", "HOME", "TMPDIR", "LANG"}


def test_the_caller_may_replace_what_the_environment_has_anyway(riza: Riza) -> None:
    code = "import os\ndef execute(input): return [os.environ['HOME'], os.environ['PATH']]"
    assert riza.run(code, env={"HOME": "/nowhere", "PATH": "/bin"}).output == ["/nowhere", "/bin"]


def test_files_are_under_mnt_req_and_in_the_working_directory(riza: Riza) -> None:
    files = [
        {"path": "a.txt", "contents": "é\n"},
        {"path": "sub/deep/b.json", "contents": "{}"},
        {"path": "./c", "contents": None},
    ]
    paths = ["/mnt/req/a.txt", "a.txt", "sub/deep/b.json", "/mnt/req/sub/deep/b.json", "c"]
    assert riza.run(_READ, files=files, input=paths).output == {
        "/mnt/req/a.txt": "é\n",
        "a.txt": "é\n",
        "sub/deep/b.json": "{}",
        "/mnt/req/sub/deep/b.json": "{}",
        "c": "",
    }
    assert riza.run("import os\ndef execute(input): return os.getcwd()").output == "/mnt/req"


def test_files_are_read_only(riza: Riza) -> None:
    result = riza.run("def execute(input): open('a', 'w')", files=[{"path": "a", "contents": "x"}])
    assert result.last_line == "PermissionError: [Errno 13] Permission denied: 'a'"


def test_a_file_may_be_as_large_as_a_request(riza: Riza) -> None:
    contents = "x" * (24 << 20)
    code = "import os\ndef execute(input): return os.path.getsize('big')"
    assert riza.run(code, files=[{"path": "big", "contents": contents}]).output == len(contents)


@pytest.mark.parametrize("language", ["PYTHON", "Python"])
def test_a_language_may_be_spelled_in_capitals(riza: Riza, language: str) -> None:
    assert riza.run(language=language, input=1).output == 1


def test_nulls_and_unknown_members_change_nothing(riza: Riza) -> None:
    nulls: dict[str, Any] = dict.fromkeys(("env", "files", "http", "limits", "runtime_revision_id"))
    assert riza.run(input=1, **nulls, surprise={"a": [1]}, allow_http_hosts=["*"]).output == 1
    assert riza.run(input=1, limits={"execution_timeout": 0, "memory_size": None, "more": 1}).output == 1
    assert riza.run(input=1, http={"allow": []}, runtime_revision_id="").output == 1
    assert riza.run(input=1, http={"allow": None}, env={}, files=[]).output == 1


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_a_body_may_be_compressed(riza: Riza, encoding: str, encode: Callable[[bytes], bytes]) -> None:
    body = json.dumps({"language": "python", "code": "def execute(input): return len(input)", "input": "x" * 100_000})
    assert Result.of(riza.send(encode(body.encode()), {"content-encoding": encoding})).output == 100_000


def test_hosts_may_be_allowed_with_all_kinds_of_credentials_at_once(riza: Riza) -> None:
    auth = {
        "basic": {"user_id": "u", "password": "p"},
        "bearer": {"token": "t"},
        "header": {"name": "n", "value": "v"},
        "query": {"key": "k", "value": "v"},
    }
    code = (
        "import os, urllib.request\ndef execute(input):\n"
        "    try: urllib.request.urlopen('https://not-allowed.example/', timeout=5)\n"
        "    except OSError as error: return [str(error), os.environ['HTTPS_PROXY']]"
    )
    result = riza.run(code, http={"allow": [{"host": "example.com", "auth": auth}, {"host": "*.example.org"}]})
    assert result.output == [
        "<urlopen error Tunnel connection failed: 403 not-allowed.example is not among the hosts that this run may "
        "reach>",
        "http://127.0.0.1:3128",
    ]
    refused = riza.refused(riza.post(http={"allow": [{}]}))
    assert refused == (400, 3, "http.allow[0].host: must be a host name, such as api.example.com")


def test_the_network_is_closed(riza: Riza) -> None:
    code = (
        "import urllib.request\ndef execute(input):\n"
        "    urllib.request.urlopen('http://127.0.0.1:1/', timeout=5)\n    return 'reached'"
    )
    result = riza.run(code)
    assert result.ending == ("error", 1)
    assert "Error" in result.last_line
