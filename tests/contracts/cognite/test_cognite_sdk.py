"""The vendor's own SDK, with nothing changed but its base URL."""

from __future__ import annotations

from typing import Any

import pytest
from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import Token
from cognite.client.data_classes import ClientCredentials
from cognite.client.data_classes.functions import Function, FunctionCall
from cognite.client.exceptions import CogniteAPIError, CogniteNotFoundError, CogniteProjectAccessError

from polycall.v1 import execution_pb2, package_pb2, package_service_pb2
from tests.contracts.cognite.driver import ECHO, Cognite
from tests.harness import Server, until


@pytest.fixture(scope="module")
def client(polycall: Server) -> CogniteClient:
    global_config.disable_pypi_version_check = True  # it would ask the network for news of itself
    config = ClientConfig(
        base_url=polycall.rest, project="default", client_name="contract", credentials=Token(polycall.key)
    )
    return CogniteClient(config)


@pytest.fixture(scope="module")
def sample(cognite: Cognite) -> int:
    """The function of the vendor's request sample: its id is 1."""
    return cognite.deploy("def handle(data, client=None):\n    print('called')\n    return data\n", function_id=1)


# the samples of the document


def test_call_by_id(client: CogniteClient, sample: int) -> None:
    call = client.functions.call(id=1)
    assert isinstance(call, FunctionCall)
    assert (call.status, call.function_id, call.error) == ("Completed", sample, None)
    assert call.end_time is not None
    assert call.start_time <= call.end_time
    assert call.get_response() == {}
    assert call.get_logs().to_text() == "called"


def test_retrieve_then_call(client: CogniteClient, sample: int) -> None:
    func = client.functions.retrieve(id=1)
    assert isinstance(func, Function)
    assert (func.id, func.status, func.name, func.file_id) == (sample, "Ready", "1", 0)
    call = func.call()
    assert call.status == "Completed"
    assert call.get_response() == {}


# data and responses


def test_data_goes_in_and_comes_back_exactly(client: CogniteClient, sample: int) -> None:
    data = {"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}
    response = client.functions.call(id=sample, data=data).get_response()
    assert repr(response) == repr(data)


def test_an_int_stays_an_int(client: CogniteClient, cognite: Cognite) -> None:
    call = client.functions.call(id=cognite.deploy("def handle(data):\n    return {'n': len(data)}\n"), data={"a": 1})
    assert repr(call.get_response()) == "{'n': 1}"


# waiting


def test_a_call_need_not_be_waited_for(client: CogniteClient, cognite: Cognite) -> None:
    function = cognite.deploy("import time\ndef handle(data):\n    time.sleep(data['s'])\n    return 'done'\n")
    call = client.functions.call(id=function, data={"s": 0.5}, wait=False)
    assert (call.status, call.end_time, call.get_response()) == ("Running", None, None)
    call.wait()
    assert call.status == "Completed"
    response: object = call.get_response()
    assert response == "done"


def test_polling_without_a_pause_follows_a_call(client: CogniteClient, cognite: Cognite) -> None:
    call = client.functions.call(id=cognite.echo, wait=False)

    def ended() -> bool:
        call.update()
        return bool(call.status != "Running")

    until(ended, seconds=30, what="the end of the call")
    assert call.status == "Completed"
    retrieved: Any = client.functions.calls.retrieve(call_id=call.id, function_id=cognite.echo)
    assert retrieved.dump() == call.dump()


# ends


def test_a_failed_call_has_message_and_trace(client: CogniteClient, cognite: Cognite) -> None:
    function = cognite.deploy("def handle():\n    raise KeyError('token')\n")
    call: Any = client.functions.call(id=function)
    assert call.status == "Failed"
    assert set(call.error) == {"message", "trace"}
    assert call.error["message"] == "'token'"
    assert call.error["trace"].endswith("KeyError: 'token'\n")
    assert call.get_response() is None
    assert call.get_logs()[-1].message == "KeyError: 'token'"


def test_a_call_out_of_time_is_a_timeout(client: CogniteClient, cognite: Cognite) -> None:
    limits = execution_pb2.Limits()
    limits.timeout.FromMilliseconds(200)
    call = client.functions.call(id=cognite.deploy("def handle():\n    while True: pass\n", limits=limits))
    assert (call.status, call.error, call.get_response()) == ("Timeout", None, None)
    assert call.end_time is not None


# nonces and sessions


def test_a_nonce_of_ones_own_is_good_once(client: CogniteClient, sample: int) -> None:
    nonce = client.iam.sessions.create(session_type="ONESHOT_TOKEN_EXCHANGE").nonce
    assert client.functions.call(id=sample, nonce=nonce).status == "Completed"
    with pytest.raises(CogniteAPIError) as caught:
        client.functions.call(id=sample, nonce=nonce)
    assert (caught.value.code, caught.value.message) == (400, "Failed to bind nonce with session")


def test_sessions_have_the_types_of_the_sdk(client: CogniteClient, polycall: Server) -> None:
    exchanged = client.iam.sessions.create()
    credentials = client.iam.sessions.create(ClientCredentials("me", polycall.key))
    assert (exchanged.type, exchanged.status, exchanged.client_id) == ("TOKEN_EXCHANGE", "READY", None)
    assert (credentials.type, credentials.status, credentials.client_id) == ("CLIENT_CREDENTIALS", "READY", "me")
    assert type(exchanged.id) is int
    assert credentials.id > exchanged.id


# looking up


def test_what_is_unknown_is_none_or_not_found(client: CogniteClient, sample: int) -> None:
    assert client.functions.retrieve(id=999_999_999) is None
    assert client.functions.retrieve(external_id="nope") is None
    assert client.functions.calls.retrieve(call_id=999_999_999, function_id=sample) is None
    with pytest.raises(CogniteNotFoundError) as caught:
        client.functions.retrieve_multiple(ids=[sample, 999_999_999], external_ids=["nope"])
    assert caught.value.not_found == [{"id": 999_999_999}, {"external_id": "nope", "externalId": "nope"}]
    found = client.functions.retrieve_multiple(ids=[sample, 999_999_999], ignore_unknown_ids=True)
    assert [function.id for function in found] == [sample]
    with pytest.raises(CogniteAPIError) as refused:
        client.functions.call(id=999_999_999)
    assert (refused.value.code, refused.value.missing) == (400, [{"id": 999_999_999}])


def test_a_function_is_called_by_its_external_id(client: CogniteClient, polycall: Server, cognite: Cognite) -> None:
    package = package_pb2.Package(display_name="Echo", labels={"external_id": "echo-by-name"})
    polycall.packages.CreatePackage(
        package_service_pb2.CreatePackageRequest(package_id="9007199254740991", package=package),
        metadata=polycall.metadata,
    )
    cognite.deploy(ECHO, function_id=9007199254740991)
    call = client.functions.call(external_id="echo-by-name", data={"a": 1})
    assert (call.function_id, call.get_response()) == (9007199254740991, {"a": 1})
    function: Any = client.functions.retrieve(external_id="echo-by-name")
    assert (function.name, function.external_id, function.last_called) == ("Echo", "echo-by-name", call.start_time)


# refusals


def test_a_bad_token_is_401_and_says_so(polycall: Server) -> None:
    config = ClientConfig(base_url=polycall.rest, project="default", client_name="contract", credentials=Token("no"))
    with pytest.raises(CogniteProjectAccessError) as caught:
        CogniteClient(config).functions.call(id=1)
    assert (caught.value.project, bool(caught.value.x_request_id)) == ("default", True)


def test_objects_print(client: CogniteClient, sample: int) -> None:
    call = client.functions.call(id=sample)
    assert f'"id": {call.id}' in str(call)
    assert '"status": "Ready"' in str(client.functions.retrieve(id=sample))
