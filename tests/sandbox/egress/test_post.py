"""Notifications go out through the same parts as runs' requests: to an address that was checked, and to no other."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from polycall.engine.webhooks.post import Answer, NoAnswer, Post
from polycall.engine.webhooks.targets import Target
from polycall.sandbox.egress.addresses import AddressFilter
from polycall.sandbox.egress.policy import Authority
from polycall.sandbox.egress.resolver import Resolver
from polycall.sandbox.egress.upstream import Trust, Unreachable
from tests.sandbox.egress.conftest import LOOPBACK
from tests.sandbox.egress.outside import Certificates, Site

HEADERS = [("webhook-id", "msg_1")]
BODY = b'{"type":"execution.completed"}'


@contextlib.contextmanager
def posting(
    certificates: Certificates,
    lookup: Callable[[str], list[str]] = lambda _: ["127.0.0.1"],
    *,
    allowed: bool = True,
    timeout_s: float = 10.0,
) -> Iterator[Post]:
    resolver = Resolver(AddressFilter(LOOPBACK if allowed else ()), lookup)
    post = Post(resolver, Trust([str(certificates.authority)]), timeout_s=timeout_s)
    try:
        yield post
    finally:
        post.close()


def to(port: int, host: str = "api.example.com", scheme: str = "https", path: str = "/done?x=1") -> Target:
    return Target(scheme, Authority(host, port), path, listed=True)


async def send(post: Post, target: Target) -> Answer:
    return await post.send("p", target, HEADERS, BODY)


async def refused(post: Post, target: Target) -> str:
    with pytest.raises(NoAnswer) as caught:
        await send(post, target)
    return str(caught.value)


async def test_a_name_is_looked_up_once_and_its_certificate_checked(certificates: Certificates, secure: Site) -> None:
    looked: list[str] = []

    def rebinding(host: str) -> list[str]:
        looked.append(host)
        # whoever asks a second time is led inside
        return ["127.0.0.1"] if len(looked) == 1 else ["10.0.0.1"]

    with posting(certificates, rebinding) as post:
        assert await send(post, to(secure.port)) == Answer(200)
        assert looked == ["api.example.com"]
        (seen,) = secure.seen
        assert (seen.method, seen.path, seen.body) == ("POST", "/done?x=1", BODY)
        assert seen.all("host") == [f"api.example.com:{secure.port}"]
        assert seen.all("webhook-id") == ["msg_1"]
        assert "the address of api.example.com is not allowed" in await refused(post, to(secure.port))
    with posting(certificates) as post:
        assert "the certificate of wrong.example.com is not valid" in await refused(
            post, to(secure.port, "wrong.example.com")
        )
    assert len(secure.seen) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
    ],
)
async def test_no_address_that_is_not_public_is_reached(certificates: Certificates, address: str) -> None:
    with posting(certificates, lambda _: [address], allowed=False) as post:
        assert await refused(post, to(443)) == "the address of api.example.com is not allowed: it is not public"
        literal = Target("https", Authority(str(ipaddress.ip_address(address)), 443, literal=True), "/", listed=True)
        assert "is not allowed: it is not public" in await refused(post, literal)


async def test_a_redirect_is_an_answer_and_leads_nowhere(certificates: Certificates, plain: Site, secure: Site) -> None:
    with posting(certificates) as post:
        inside = f"/redirect?http://127.0.0.1:{plain.port}/"
        assert await send(post, to(secure.port, path=inside)) == Answer(302)
    assert plain.seen == []


@contextlib.asynccontextmanager
async def answering(*pieces: bytes, hang: bool = False) -> AsyncIterator[int]:
    """Serve connections that are sent some bytes, whatever they say; return the port."""

    serving = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await reader.readuntil(b"}")
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if hang:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):  # the other end hangs up
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*(task for task in serving if task is not None))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 20,
    ],
    ids=["nothing", "nonsense", "long line", "many lines", "informational"],
)
async def test_what_is_no_answer_is_not_quoted(certificates: Certificates, answer: bytes) -> None:
    async with answering(answer) as port:
        with posting(certificates) as post:
            assert await refused(post, to(port, scheme="http")) == "there was no proper HTTP/1.1 answer"


async def test_of_an_answer_only_the_head_is_read(certificates: Certificates) -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n" + b"x" * 100_000
    async with answering(endless, hang=True) as port:
        with posting(certificates, timeout_s=60) as post:
            assert await send(post, to(port, scheme="http")) == Answer(200)


async def test_who_is_silent_is_not_waited_for(certificates: Certificates) -> None:
    async with answering(hang=True) as port:
        with posting(certificates, timeout_s=0.3) as post:
            assert await refused(post, to(port, scheme="http")) == "there was no answer within 0.3 s"
            assert await refused(post, to(port)) == "there was no answer within 0.3 s"  # not even of TLS


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
        ("", None),
    ],
)
async def test_retry_after_is_read(certificates: Certificates, value: str, seconds: float | None) -> None:
    async with answering(f"HTTP/1.1 503 No\r\nretry-after: {value}\r\n\r\n".encode()) as port:
        with posting(certificates) as post:
            assert await send(post, to(port, scheme="http")) == Answer(503, seconds)


async def test_a_refused_connection_does_not_tell_the_address(certificates: Certificates) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with posting(certificates) as post:
            assert await refused(post, to(port)) == f"api.example.com:{port} cannot be reached: connection refused"


async def test_nobody_is_trusted_by_certificates_that_cannot_be_read_until_they_can(
    tmp_path: Path, certificates: Certificates
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("no certificate")
    with pytest.raises(OSError, match=r"bundle\.pem cannot be used"):
        Trust([], checked=str(bundle))
    trust = Trust([str(bundle)])
    with pytest.raises(Unreachable, match="no certificates to verify it with"):
        await trust.context()
    bundle.write_bytes(certificates.authority.read_bytes())
    verifying = await trust.context()
    assert (verifying.verify_mode, verifying.check_hostname, len(verifying.get_ca_certs())) == (
        ssl.CERT_REQUIRED,
        True,
        1,
    )
    assert await trust.context() is verifying
