"""The vendor's SDK, unmodified: only its base URL is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import rizaio
from rizaio import AsyncRiza
from rizaio import Riza as Client

from tests.contracts.riza.driver import ECHO
from tests.harness import Server

_DOCUMENTED = 'def execute(input): return { "name": input["name"], "executed": True }'


@pytest.fixture(scope="module")
def client(polycall: Server) -> Iterator[Client]:
    with Client(api_key=polycall.key, base_url=polycall.rest, _strict_response_validation=True) as client:
        yield client


def test_the_documented_program_runs(client: Client) -> None:
    response = client.command.exec_func(code=_DOCUMENTED, language="python", input={"name": "John"})
    assert response.output == {"name": "John", "executed": True}
    assert response.output_status == "valid"
    assert len(response.execution.id) == 26
    assert (response.execution.exit_code, response.execution.stdout, response.execution.stderr) == (0, "", "")
    assert type(response.execution.duration) is int


def test_the_asynchronous_client_runs_it_too(polycall: Server) -> None:
    async def run() -> object:
        async with AsyncRiza(api_key=polycall.key, base_url=polycall.rest) as client:
            return (await client.command.exec_func(code=_DOCUMENTED, language="python", input={"name": "J"})).output

    assert asyncio.run(run()) == {"name": "J", "executed": True}


def test_everything_the_sdk_can_say_is_understood(client: Client) -> None:
    response = client.command.exec_func(
        code="import os\ndef execute(input): return [input, os.environ['A'], open('f').read()]",
        language="python",
        input=2**60 + 1,
        env={"A": "b"},
        files=[{"path": "f", "contents": "c"}],
        http={"allow": []},
        limits={"execution_timeout": 5, "memory_size": 64},
    )
    assert response.output == [2**60 + 1, "b", "c"]


def test_input_may_be_left_out_or_none(client: Client) -> None:
    assert client.command.exec_func(code=ECHO, language="python").output is None
    assert client.command.exec_func(code=ECHO, language="python", input=None).output is None


def test_a_failing_function_is_an_answer(client: Client) -> None:
    response = client.command.exec_func(code="def execute(input): raise KeyError('k')", language="python")
    assert (response.output, response.output_status, response.execution.exit_code) == (None, "error", 1)
    assert response.execution.stderr.endswith("KeyError: 'k'\n")


def test_refusals_are_the_sdks_own_exceptions_and_are_not_repeated(client: Client, polycall: Server) -> None:
    with pytest.raises(rizaio.BadRequestError) as bad:
        client.command.exec_func(code=ECHO, language="cobol")  # type: ignore[arg-type]
    assert bad.value.body == {"code": 3, "message": "language: must be one of python, javascript, typescript"}
    assert bad.value.request.headers["x-stainless-retry-count"] == "0"
    with pytest.raises(rizaio.BadRequestError) as missing:
        client.command.exec(code="puts 1", language="ruby")
    assert missing.value.body["code"] == 9  # type: ignore[index]
    with pytest.raises(rizaio.NotFoundError) as unknown:
        client.command.exec_func(code=ECHO, language="python", runtime_revision_id="none")
    assert unknown.value.request.headers["x-stainless-retry-count"] == "0"
    with (
        Client(api_key="wrong", base_url=polycall.rest) as stranger,
        pytest.raises(rizaio.AuthenticationError) as denied,
    ):
        stranger.command.exec_func(code=ECHO, language="python")
    assert denied.value.body == {"code": 16, "message": "unauthenticated"}


def test_a_prefix_of_the_base_url_is_not_needed_but_a_slash_does_no_harm(polycall: Server) -> None:
    with Client(api_key=polycall.key, base_url=f"{polycall.rest}/") as client:
        assert client.command.exec_func(code=ECHO, language="python", input=1).output == 1
