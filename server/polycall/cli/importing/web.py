"""A vendor's REST API, asked carefully: its answers are as hostile as anything else that comes by network."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.terminal import Progress, printable

__all__ = ["MOST_ANSWER_BYTES", "Missing", "Web"]

MOST_ANSWER_BYTES = 256 << 20  # the largest answer of a vendor is a page of a hundred sources of 1 MiB, escaped
_MOST_ERROR_BYTES = 4096
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
_ANSWER_S = 600.0  # one answer in all: a server that sends a byte a minute is not waited for
_TRIES = 5
_REPEATED = frozenset({408, 429, 500, 502, 503, 504})  # nothing here changes anything, so asking again is safe
_LONGEST_WAIT_S = 60.0
_SHOWN = 200  # characters of a vendor's error


class Missing(Failure):
    """Raised for 404: the vendor has no such object, or no such route."""


class Web:
    """Asks one vendor. ``headers`` carry the credential, and go to no other host. Use it as a context manager.

    ``base_url`` has scheme and host, and may have a path. Without ``allow_http``, a credential is sent in clear to this
    machine only. ``sleep`` waits between tries.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        allow_http: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url = _checked(base_url, allow_http)
        self._allow_http = allow_http
        self._headers: dict[str, str] = {}
        self.authorize(headers)
        self._sleep = sleep
        # redirects would carry the credential elsewhere; the environment's proxies are the user's own wish, but what is
        # meant for this machine would leave it by them, unencrypted
        near = _is_local(urlsplit(self.base_url).hostname or "")
        self._client = httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=not near)

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> bytes:
        """Return the body of a GET. Raises Failure, Missing (404)."""
        return self._answer("GET", self.base_url + path, params=params, headers=self._headers)

    def post(self, path: str, body: object) -> bytes:
        """Return the body of a POST that only asks. Raises Failure, Missing (404)."""
        return self._answer("POST", self.base_url + path, json=body, headers=self._headers)

    def post_form(self, url: str, form: Mapping[str, str]) -> bytes:
        """Return what a token endpoint answers; it may be on another host, and gets the form alone. Raises Failure."""
        return self._answer("POST", _checked(url, self._allow_http), data=form)

    def download(self, url: str, most: int) -> bytes:
        """Return a file that the vendor points to; the credential goes along to the vendor's own host only."""
        if url.startswith("/"):
            url = self.base_url + url
        checked = _checked(url, self._allow_http, query=True)
        there, here = urlsplit(checked), urlsplit(self.base_url)
        own = there[:2] == here[:2]
        if _is_local(there.hostname or "") and not _is_local(here.hostname or ""):
            raise Failure(f"{here.netloc} points to {there.hostname}, which is this machine and not the vendor's.")
        return self._answer("GET", checked, headers=self._headers if own else {}, most=most)

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Send these headers from now on. Raises Failure for what no header can hold."""
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise Failure("a credential has characters that no HTTP header can hold.", Exit.DENIED)
        self._headers |= headers

    def _answer(self, method: str, url: str, *, most: int = MOST_ANSWER_BYTES, **request: Any) -> bytes:
        host = urlsplit(url).netloc
        problem = ""
        for attempt in range(_TRIES):
            try:
                with Progress(f"waiting for {host}"):
                    status, body, wait = self._once(method, url, most, **request)
            except httpx.HTTPError as error:
                problem, wait = f"{host} cannot be reached: {error or type(error).__name__}", None
            else:
                if 200 <= status < 300:
                    return body
                if status not in _REPEATED:
                    raise _refused(status, method, url, body)
                problem = f"{host} answers {status} to {method} {urlsplit(url).path}"
            if attempt < _TRIES - 1:
                self._sleep(wait if wait is not None else 0.5 * 2**attempt)
        raise Failure(f"{problem}, {_TRIES} times. Try again later: what is there by now stays.", Exit.UNREACHABLE)

    def _once(self, method: str, url: str, most: int, **request: Any) -> tuple[int, bytes, float | None]:
        until = time.monotonic() + _ANSWER_S
        with self._client.stream(method, url, **request) as answer:
            good = answer.is_success
            bound = most if good else _MOST_ERROR_BYTES
            body = bytearray()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > bound:
                    if not good:
                        break
                    raise Failure(
                        f"{urlsplit(url).netloc} sends more than {bound >> 20} MiB for {urlsplit(url).path}: too much.",
                        Exit.LIMIT,
                    )
                if time.monotonic() > until:
                    raise Failure(f"{urlsplit(url).netloc} takes longer than {_ANSWER_S:g} s to answer.", Exit.LIMIT)
            return answer.status_code, bytes(body[:bound]), _retry_after(answer)


def _checked(url: str, allow_http: bool, *, query: bool = False) -> str:
    """Return a URL that a credential may be sent to, without a slash at its end. Raises Failure."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise Failure(f"{url[:_SHOWN]} is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host or parts.fragment or (parts.query and not query):
        raise Failure(f"{url[:_SHOWN]} must be like https://host or https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise Failure("a URL must hold no credentials: they would stand in process lists. Use the environment.")
    if parts.scheme == "http" and not allow_http and not _is_local(host):
        raise Failure(f"{host} would get your credentials unencrypted. Use https, or --allow-http if that is meant.")
    return url.rstrip("/") if not query else url


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(status: int, method: str, url: str, body: bytes) -> Failure:
    text = printable(body.decode(errors="replace")).strip().replace("\n", " ")
    said = f": {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}" if text else "."
    where = f"{urlsplit(url).netloc} answers {status} to {method} {urlsplit(url).path}"
    kind = Missing if status == 404 else Failure
    return kind(f"{where}{said}", Exit.DENIED if status in (401, 403) else Exit.USAGE)


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        wait = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(wait, _LONGEST_WAIT_S) if wait >= 0 else None
