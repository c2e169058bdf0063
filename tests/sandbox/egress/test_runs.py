"""Code in a sandbox that may reach some hosts: by environment alone, and nothing beyond."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest
import pytest_asyncio

from polycall.domain import EgressPolicy, IsolationLevel, StartKind
from polycall.errors import IsolationUnavailable
from polycall.runtimes.distributions import default_packages
from polycall.runtimes.environments import Environments
from polycall.sandbox.egress.proxy import EgressConfig
from polycall.sandbox.job import Ending, Outcome
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.egress.conftest import LOOPBACK, policy, rule
from tests.sandbox.egress.outside import Certificates, Site
from tests.sandbox.javascript import js
from tests.sandbox.ordinary import as_ordinary_user
from tests.sandbox.programs import job, key, limits, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "credential-that-nobody-sees"

BY_URLLIB = """
import urllib.request
def execute(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return [answer.status, answer.read().decode()]
"""
BY_REQUESTS = """
import requests
def execute(url):
    answer = requests.get(url, timeout=20)
    return [answer.status_code, answer.text]
"""
BY_HTTPX = """
import httpx
def execute(url):
    answer = httpx.get(url, timeout=20, follow_redirects=True)
    return [answer.status_code, answer.text]
"""


ORDINARY = """
import asyncio, json, os
from polycall.domain import Convention, EgressPolicy, EgressRule, IsolationLevel, Limits
from polycall.sandbox.job import Bundle, Job
from polycall.sandbox.sandbox import Sandbox, SandboxConfig

CODE = b'''
import socket, urllib.request
def execute(url):
    with socket.create_connection(("127.0.0.1", 3128)) as s:
        size = s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    try:
        urllib.request.urlopen(url)
    except OSError as error:
        return [str(error), size]
'''
LIMITS = Limits(timeout_ms=20000, memory_bytes=64 << 20, processes=64, open_files=64, disk_bytes=4 << 20,
                result_bytes=1 << 20, stdout_bytes=1 << 16, stderr_bytes=1 << 16)
POLICY = EgressPolicy(rules=(EgressRule(host="a.example"),))

async def main():
    sandbox = Sandbox(SandboxConfig(max_level=IsolationLevel.NAMESPACED, waiting=1))
    await sandbox.start()
    try:
        outcome = await sandbox.run(Job(
            bundle=Bundle(digest="d", files={"main.py": CODE}), entrypoint="main:execute", convention=Convention.INPUT,
            limits=LIMITS, payload=b'"https://evil.example/"', egress=POLICY))
        print(json.dumps([os.getuid(), sandbox.isolation, json.loads(outcome.value or b"null"), str(outcome.error),
                          [made.host for made in outcome.outbound]]))
    finally:
        await sandbox.stop()

asyncio.run(main())
"""


async def test_an_ordinary_user_has_a_way_out_too() -> None:
    uid, level, answer, error, outbound = await asyncio.to_thread(as_ordinary_user, ORDINARY)
    assert (uid, level, outbound) == (65534, 2, ["evil.example"]), error
    assert "403 evil.example is not among" in answer[0]
    assert answer[1] == 65536  # what no cgroup counts is bounded


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    environments = Environments(tmp_path_factory.mktemp("environments"))
    return str(await asyncio.to_thread(default_packages, environments))


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=[3, 2], ids=["L3", "L2"])
async def outgoing(request: pytest.FixtureRequest, packages: str, certificates: Certificates) -> AsyncIterator[Sandbox]:
    """A sandbox for which every name leads to loopback, where the tests' servers are."""
    egress = EgressConfig(networks=LOOPBACK, trusted=str(certificates.authority), lookup=lambda _: ["127.0.0.1"])
    found = Sandbox(config(IsolationLevel(request.param), packages=packages, egress=egress))
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
def run(outgoing: Sandbox) -> Callable[..., Awaitable[Outcome]]:
    async def run(code: Any, value: Any, rules: EgressPolicy | None, **changes: Any) -> Outcome:
        changes = {"limits": limits(memory_bytes=128 << 20)} | changes
        return await outgoing.run(job(code, value, egress=rules, **changes))

    return run


@pytest.mark.parametrize("outgoing", [3], indirect=True, ids=["L3"])
@pytest.mark.parametrize("code", [BY_URLLIB, BY_REQUESTS, BY_HTTPX], ids=["urllib", "requests", "httpx"])
@pytest.mark.parametrize("secret", [None, SECRET], ids=["passed on", "intercepted"])
async def test_libraries_reach_https_by_environment_alone(
    code: str, secret: str | None, run: Any, secure: Site
) -> None:
    host = f"api.example.com:{secure.port}"
    rules = policy(rule(host, **({"bearer": secret} if secret else {})))
    outcome = await run(code, f"https://{host}/path?query=1", rules)
    assert value(outcome) == [200, '{"path": "/path", "body": 0}']
    assert secure.seen[0].all("authorization") == ([f"Bearer {secret}"] if secret else [])
    (record,) = outcome.outbound
    assert (record.host, record.method, record.status) == ("api.example.com", "GET" if secret else "CONNECT", 200)
    assert outcome.outbound_omitted == 0


BY_FETCH = """
    async function execute(url) {
        const answer = await fetch(url);
        return [answer.status, await answer.text()];
    }
"""
BY_NODE = """
    import http from "node:http";
    import https from "node:https";
    export function execute(url) {
        return new Promise((resolve, reject) => {
            (url.startsWith("https:") ? https : http).get(url, (answer) => {
                let text = "";
                answer.on("data", (piece) => text += piece);
                answer.on("end", () => resolve([answer.statusCode, text]));
            }).on("error", reject);
        });
    }
"""


@pytest.mark.parametrize("outgoing", [3], indirect=True, ids=["L3"])
@pytest.mark.parametrize("code", [BY_FETCH, BY_NODE], ids=["fetch", "node:http"])
@pytest.mark.parametrize("secret", [None, SECRET], ids=["passed on", "intercepted"])
async def test_javascript_reaches_https_by_environment_alone(
    code: str, secret: str | None, outgoing: Sandbox, secure: Site
) -> None:
    host = f"api.example.com:{secure.port}"
    rules = policy(rule(host, **({"bearer": secret} if secret else {})))
    outcome = await outgoing.run(js(code, f"https://{host}/path", egress=rules))
    assert value(outcome) == [200, '{"path": "/path", "body": 0}']
    assert secure.seen[0].all("authorization") == ([f"Bearer {secret}"] if secret else [])
    (record,) = outcome.outbound
    assert (record.host, record.method, record.status) == ("api.example.com", "GET" if secret else "CONNECT", 200)


@pytest.mark.parametrize("outgoing", [3], indirect=True, ids=["L3"])
@pytest.mark.parametrize("code", [BY_FETCH, BY_NODE], ids=["fetch", "node:http"])
async def test_javascript_reaches_nothing_else(code: str, outgoing: Sandbox, plain: Site) -> None:
    host = f"api.example.com:{plain.port}"
    outcome = await outgoing.run(js(code, f"http://{host}/path", egress=policy(host)))
    assert value(outcome) == [200, '{"path": "/path", "body": 0}']
    outcome = await outgoing.run(js(code, "https://evil.example/", egress=policy(host)))
    assert outcome.ending is Ending.RAISED
    assert [(one.host, one.status) for one in outcome.outbound] == [("evil.example", None)]
    outcome = await outgoing.run(js(code, f"http://{host}/path"))  # without a policy
    assert (outcome.ending, outcome.outbound) == (Ending.RAISED, ())


async def test_without_a_policy_there_is_no_network(run: Any) -> None:
    code = """
        import os, socket, urllib.request
        def execute(url):
            try:
                socket.socket(socket.AF_INET)
            except OSError as error:
                refused = error.strerror
            return [refused, [name for name in os.environ if "PROXY" in name.upper()]]
    """
    assert value(await run(code, "", None)) == ["Address family not supported by protocol", []]


async def test_a_way_out_is_tcp_to_the_proxy_and_nothing_else(run: Any) -> None:
    code = """
        import errno, os, socket
        def attempt(*how, address=None, bind=None):
            try:
                with socket.socket(*how) as s:
                    s.settimeout(5)
                    if bind: s.bind(bind); s.listen()
                    if address: s.connect(address)
                    return "done"
            except OSError as error:
                return errno.errorcode[error.errno]
        def option(*what):
            with socket.create_connection(("127.0.0.1", 3128)) as s:
                try:
                    s.setsockopt(*what)
                except OSError as error:
                    return errno.errorcode[error.errno]
        def execute(input):
            inet, inet6, tcp = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM
            return {
                "proxy": attempt(inet, tcp, address=("127.0.0.1", 3128)),
                "other port": attempt(inet, tcp, address=("127.0.0.1", 22)),
                "outside": attempt(inet, tcp, address=("192.0.2.1", 3128)),
                "listen": attempt(inet, tcp, bind=("127.0.0.1", 0)),
                "v6": attempt(inet6, tcp, address=("::1", 3128)),
                "udp": attempt(inet, socket.SOCK_DGRAM),
                "udp6": attempt(inet6, socket.SOCK_DGRAM),
                "raw": attempt(inet, socket.SOCK_RAW, socket.IPPROTO_ICMP),
                "sctp": attempt(inet, tcp, 132),
                "mptcp": attempt(inet, tcp, 262),
                "tls": option(socket.IPPROTO_TCP, 31, b"tls"),
                "seqpacket": attempt(inet, socket.SOCK_SEQPACKET),
                "packet": attempt(socket.AF_PACKET, socket.SOCK_RAW),
                "netlink": attempt(socket.AF_NETLINK, socket.SOCK_RAW),
                "vsock": attempt(socket.AF_VSOCK, tcp),
                "alg": attempt(socket.AF_ALG, socket.SOCK_SEQPACKET),
            }
    """
    found = value(await run(code, None, policy("api.example.com")))
    landlock = found["listen"] == "EACCES"  # ABI 4; without it the namespace alone holds
    no_protocol, no_family = "EPROTONOSUPPORT", "EAFNOSUPPORT"
    assert found == {
        "proxy": "done",
        "other port": "EACCES" if landlock else "ECONNREFUSED",
        "outside": "ENETUNREACH",
        "listen": "EACCES" if landlock else "done",
        "v6": "ECONNREFUSED",
        "tls": "ENOPROTOOPT",
        **dict.fromkeys(("udp", "udp6", "raw", "sctp", "mptcp", "seqpacket"), no_protocol),
        **dict.fromkeys(("packet", "netlink", "vsock", "alg"), no_family),
    }


async def test_a_credential_is_nowhere_in_the_sandbox(run: Any, secure: Site) -> None:
    host = f"api.example.com:{secure.port}"
    code = """
        import base64, os, sys, urllib.request
        WANTED = sys.argv  # never the secret itself: only what it begins with
        def readable():
            for line in open("/proc/self/maps"):
                span, rights = line.split()[:2]
                if rights.startswith("r") and "[v" not in line:
                    begin, end = (int(number, 16) for number in span.split("-"))
                    yield begin, end
        def execute(given):
            urllib.request.urlopen(given["url"]).read()
            begins, rest = given["parts"]
            needle = begins.encode() + bytes(byte ^ 1 for byte in bytes.fromhex(rest))
            memory = 0
            with open("/proc/self/mem", "rb", 0) as stream:
                for begin, end in readable():
                    try:
                        stream.seek(begin)
                        data = stream.read(end - begin)
                    except (OSError, ValueError, OverflowError):
                        continue
                    memory += data.count(needle)
                    del data
            found = [memory]  # the needle itself is there
            for name in ("environ", "cmdline", "mountinfo"):
                found.append(needle in open(f"/proc/self/{name}", "rb").read())
            return found
    """
    # the code knows the secret in pieces only, so that all it finds of it in one piece is its own needle
    parts = [SECRET[:4], bytes(byte ^ 1 for byte in SECRET[4:].encode()).hex()]
    given = {"url": f"https://{host}/", "parts": parts}
    for secret, expected in ((SECRET, True), ("another-credential", False)):
        secure.seen.clear()
        outcome = await run(code, given, policy(rule(host, header=("X-Api-Key", secret))))
        found = value(outcome)
        assert secure.seen[0].all("x-api-key") == [secret]
        assert found[1:] == [False] * 3
        if expected:
            with_secret = found[0]
        else:
            # what is found when the credential is quite another one is what there is anyway
            assert with_secret == found[0]
    assert SECRET not in repr(rule(host, header=("X-Api-Key", SECRET)))


@pytest.mark.parametrize("outgoing", [3], indirect=True, ids=["L3"])
async def test_the_environment_of_a_way_out_is_the_servers(run: Any) -> None:
    code = """
        import os
        def execute(input):
            return [os.environ["HTTPS_PROXY"], os.environ["NO_PROXY"], os.environ["SSL_CERT_FILE"], os.environ["OWN"]]
    """
    env = {"HTTPS_PROXY": "http://192.0.2.1:1", "NO_PROXY": "*", "SSL_CERT_FILE": "/nowhere", "OWN": "kept"}
    outcome = await run(code, None, policy("api.example.com"), env=env)
    assert value(outcome) == ["http://127.0.0.1:3128", "", "/etc/ssl/egress.pem", "kept"]


async def test_a_warm_worker_keeps_its_way_out_and_each_call_its_own_record(run: Any, secure: Site) -> None:
    host = f"api.example.com:{secure.port}"
    code = """
        import requests
        session, me = requests.Session(), object()
        def execute(paths):
            return [session.get(f"https://{host}/{path}", timeout=20).status_code for path in paths]
    """.replace("{host}", host)
    rules = policy(rule(host, bearer=SECRET))
    outcomes = [await run(code, paths, rules, key=key("egress")) for paths in (["a"], ["b", "c"], [])]
    assert [value(outcome) for outcome in outcomes] == [[200], [200, 200], []]
    assert [outcome.start_kind for outcome in outcomes[1:]] == [StartKind.WARM] * 2
    assert [len(outcome.outbound) for outcome in outcomes] == [1, 2, 0]


@pytest.mark.parametrize("outgoing", [3], indirect=True, ids=["L3"])
async def test_a_worker_that_only_loads_may_reach_its_hosts(run: Any, secure: Site) -> None:
    host = f"api.example.com:{secure.port}"
    code = f"""
        import urllib.request
        STATUS = urllib.request.urlopen("https://{host}/", timeout=20).status
        def execute(input): return STATUS
    """
    rules = policy(rule(host, bearer=SECRET))
    loaded = await run(code, None, rules, key=key("loads"), load_only=True)
    assert (loaded.ending, len(loaded.outbound)) == (Ending.RETURNED, 1)
    outcome = await run(code, None, rules, key=key("loads"))
    assert (value(outcome), outcome.start_kind, outcome.outbound) == (200, StartKind.WARM, ())


async def test_the_end_of_a_run_ends_its_connections(run: Any) -> None:
    """Whether it returns, runs out of time, or is cancelled."""
    code = """
        import os, socket, time
        def execute(port):
            with socket.create_connection(("127.0.0.1", 3128)) as s:
                s.sendall(b"POST http://api.example.com:%d/ HTTP/1.1\\r\\n" % port)
                s.sendall(b"Host: api.example.com:%d\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n1\\r\\nx\\r\\n" % port)
                print("sent", flush=True)
                time.sleep(60)
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        port = server.getsockname()[1]
        for cancelled in (False, True):
            changes = limits(timeout_ms=1_000 if not cancelled else 60_000)
            running = asyncio.create_task(run(code, port, policy(f"api.example.com:{port}"), limits=changes))
            connection, _ = await asyncio.to_thread(server.accept)
            with connection:
                connection.settimeout(20)
                if cancelled:
                    running.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await running
                else:
                    assert (await running).ending is Ending.TIMED_OUT
                assert await asyncio.to_thread(_rest, connection)


def _rest(connection: socket.socket) -> bytes:
    """Read to the end of a connection, which has to come."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("outgoing", [3], indirect=True, ids=["L3"])
async def test_runs_leave_no_descriptor_and_no_task_behind(run: Any, secure: Site) -> None:
    host = f"api.example.com:{secure.port}"
    rules = policy(rule(host, bearer=SECRET))

    async def burst() -> None:
        await asyncio.gather(*(run(BY_URLLIB, f"https://{host}/", rules) for _ in range(4)))

    await burst()
    for _ in range(200):
        tasks, descriptors = len(asyncio.all_tasks()), psutil.Process().num_fds()
        await burst()
        await asyncio.sleep(0.2)
        if len(asyncio.all_tasks()) <= tasks and psutil.Process().num_fds() <= descriptors:
            return
    raise AssertionError("descriptors or tasks grow with every run")


async def test_below_level_2_there_is_no_way_out(certificates: Certificates) -> None:
    sandbox = Sandbox(config(IsolationLevel.CONFINED))
    await sandbox.start()
    try:
        with pytest.raises(IsolationUnavailable, match="isolation level 2 and above only, and this server has 1"):
            await sandbox.run(job(BY_URLLIB, "https://api.example.com/", egress=policy("api.example.com")))
    finally:
        await sandbox.stop()
