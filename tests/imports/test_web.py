"""A vendor's API is asked carefully."""

from __future__ import annotations

import gzip

import pytest

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.importing import web as web_module
from polycall.cli.importing.web import Missing, Web
from tests.imports.vendor import Answer, vendor


def asked(answers: list[Answer], *, tries: int = 1) -> tuple[list[bytes], list[float], int]:
    """Ask so many times; return the bodies, the waits in between, and how often the vendor was asked."""
    left = iter(answers)
    waits: list[float] = []
    with vendor(lambda *_: next(left)) as there, Web(there.url, {}, sleep=waits.append) as web:
        bodies = [web.get("/x") for _ in range(tries)]
        return bodies, waits, len(there.asked)


def test_what_may_pass_is_asked_again_and_the_vendors_own_wait_is_kept() -> None:
    passing = [Answer(status=503), Answer(status=429, headers={"retry-after": "7"}), Answer(b"[1]")]
    assert asked(passing) == ([b"[1]"], [0.5, 7.0], 3)


def test_a_vendor_that_does_not_recover_is_given_up() -> None:
    with pytest.raises(Failure, match=r"answers 500 to GET /x, 5 times") as caught:
        asked([Answer(status=500)] * 5)
    assert caught.value.code is Exit.UNREACHABLE


def test_nobody_there_is_said() -> None:
    with (
        Web("http://127.0.0.1:9", {}, sleep=lambda _: None) as web,
        pytest.raises(Failure, match=r"127\.0\.0\.1:9 cannot be reached") as caught,
    ):
        web.get("/x")
    assert caught.value.code is Exit.UNREACHABLE


@pytest.mark.parametrize(
    ("status", "code"), [(401, Exit.DENIED), (403, Exit.DENIED), (404, Exit.USAGE), (302, Exit.USAGE)]
)
def test_a_refusal_is_told_once_and_made_harmless(status: int, code: Exit) -> None:
    refusal = Answer(b"\x1b[31mno\nway" + b"x" * 10_000, status, {"location": "http://127.0.0.1:9/"})
    with pytest.raises(Failure) as caught:
        asked([refusal])
    assert caught.value.code is code
    assert isinstance(caught.value, Missing) == (status == 404)
    assert rf"answers {status} to GET /x: \x1b[31mno way" in caught.value.message
    assert len(caught.value.message) < 300


def test_an_answer_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    with vendor(lambda *_: Answer(bomb, headers={"content-encoding": "gzip"})) as there, Web(there.url, {}) as web:
        with pytest.raises(Failure, match="sends more than 1 MiB for /x: too much") as caught:
            web.download("/x", 1 << 20)
        assert caught.value.code is Exit.LIMIT
    monkeypatch.setattr(web_module, "_ANSWER_S", 0)
    with pytest.raises(Failure, match="takes longer than 0 s"):
        asked([Answer(b"[]")])


@pytest.mark.parametrize(
    "url", ["ftp://host", "https://", "host", "https://host/?a=1", "https://host/#a", "http://[::1", "http://h:x"]
)
def test_what_is_no_url_of_an_api_is_refused(url: str) -> None:
    with pytest.raises(Failure, match=r"URL|must be like"):
        Web(url, {})


def test_credentials_stand_in_no_url_and_go_unencrypted_to_this_machine_only() -> None:
    with pytest.raises(Failure, match="must hold no credentials"):
        Web("https://user:hunter2@host", {})
    with pytest.raises(Failure, match="would get your credentials unencrypted"):
        Web("http://192.0.2.1", {})
    for url in ("http://127.0.0.1:1", "http://localhost", "https://192.0.2.1/path/"):
        assert Web(url, {}).base_url == url.rstrip("/")
    assert Web("http://192.0.2.1", {}, allow_http=True).base_url == "http://192.0.2.1"


def test_what_is_meant_for_this_machine_does_not_leave_it_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with vendor(lambda *_: Answer(b"proxy")) as proxy, vendor(lambda *_: Answer(b"own")) as own:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with Web(own.url, {}) as web:
            assert web.get("/x") == b"own"
        with Web("http://example.invalid", {}, allow_http=True) as web:
            assert web.get("/x") == b"proxy"


def test_a_credential_that_no_header_can_hold_is_refused_and_not_quoted() -> None:
    for credential in ("hünter2", "hunter2\r\nx: y"):
        with pytest.raises(Failure) as caught:
            Web("https://192.0.2.1", {"authorization": credential})
        assert caught.value.message == "a credential has characters that no HTTP header can hold."
        assert caught.value.code is Exit.DENIED


def test_a_credential_goes_to_the_vendors_own_host_only() -> None:
    with (
        vendor(lambda *_: Answer(b"own")) as own,
        vendor(lambda *_: Answer(b"other")) as other,
        Web(f"{own.url}/base", {"authorization": "Bearer hunter2"}) as web,
    ):
        assert web.download(f"{other.url}/file?signature=1", 100) == b"other"
        assert web.download(f"{own.url}/file", 100) == b"own"
        assert web.download("/file", 100) == b"own"
        assert web.post_form(f"{other.url}/token", {"a": "b"}) == b"other"
    assert [headers.get("authorization") for headers in other.headers] == [None, None]
    assert [headers.get("authorization") for headers in own.headers] == ["Bearer hunter2"] * 2
    with Web("https://192.0.2.1", {}) as web, pytest.raises(Failure, match=r"points to 127\.0\.0\.1"):
        web.download("http://127.0.0.1:1/file", 100)
    assert own.asked == [("GET", "/file"), ("GET", "/base/file")]
