from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polycall_gateway.descriptors import NATIVE, Binding, Contract
from polycall_gateway.routes import territory
from polycall_gateway.vendors import VENDORS
from tests.gateway.client import ask
from tests.gateway.conftest import FACES, Gateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

BINDINGS = Contract.load().bindings


def filled(binding: Binding) -> tuple[str, list[str]]:
    """Return a path for the binding, and the values of its variables."""
    values = [f"value-{number}" for number, segment in enumerate(binding.template.segments) if segment == "*"]
    rest = iter(values)
    path = "/" + "/".join(next(rest) if segment == "*" else segment for segment in binding.template.segments)
    return (f"{path}:{binding.template.verb}" if binding.template.verb else path), values


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: f"{binding.name} {binding.template.regex}")
async def test_every_binding_reaches_its_method_with_its_path_variables(gateway: Gateway, binding: Binding) -> None:
    path, values = filled(binding)
    body = None if binding.verb in ("GET", "DELETE") else b"{}"
    answer = await ask(gateway.rest, binding.verb, path, body)
    assert answer.status == 200
    assert gateway.last.method == f"{binding.service}.{binding.rpc}"
    request = json.dumps(json_format.MessageToDict(gateway.last.request))
    assert [value for value in values if value not in request] == []


FACE_PATHS = [binding for binding in BINDINGS if binding.face != NATIVE and binding.template.path is None]


@pytest.mark.parametrize("binding", FACE_PATHS, ids=lambda binding: f"{binding.name} {binding.template.regex}")
async def test_nothing_but_the_path_fills_a_faces_path_variables(gateway: Gateway, binding: Binding) -> None:
    path, _ = filled(binding)
    body = None if binding.verb in ("GET", "DELETE") else b"{}"
    await ask(gateway.rest, binding.verb, path, body)
    request = gateway.last.request
    names = [field.name for field in request.DESCRIPTOR.fields if field.name != "body"]
    query = "&".join(f"{spelling}=other" for name in names for spelling in (name, f"%{ord(name[0]):x}{name[1:]}"))
    said = body and json.dumps(dict.fromkeys(names, "other")).encode()
    assert (await ask(gateway.rest, binding.verb, f"{path}?{query}", said)).status == 200
    again = gateway.last.request
    assert names
    assert [getattr(again, name) for name in names] == [getattr(request, name) for name in names]
    assert gateway.last.metadata["x-polycall-query"] == query
    assert again.body.data == (said or b"")


async def test_the_contract_has_the_five_faces_and_the_native_api(contract: Contract) -> None:
    assert sorted(contract.faces) == sorted(FACES)
    assert {binding.face for binding in contract.bindings} == {*FACES, NATIVE}


async def test_the_contract_knows_which_methods_stream(contract: Contract) -> None:
    streaming = {binding.name for binding in contract.bindings if binding.streams}
    assert streaming == {"native.StreamExecution", "native.ExportAuditEvents"}


async def test_every_path_lies_in_its_own_face(contract: Contract) -> None:
    places = territory(contract.bindings, {face: vendor.territory for face, vendor in VENDORS.items()})
    for binding in contract.bindings:
        prefix = binding.template.prefix
        owner = next(face for place, face in places if prefix == place or prefix.startswith(f"{place}/"))
        assert (binding.name, owner) == (binding.name, binding.face)


# Dots alone are taken out by path normalization; NUL is refused; half a surrogate pair is no text.
SEGMENT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


# the fixture waits, it makes nothing anew
SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(SHARED, max_examples=60)
@given(SEGMENT.filter(lambda text: text not in (".", "..")))
async def test_path_variables_arrive_percent_decoded(gateway: Gateway, value: str) -> None:
    answer = await ask(gateway.rest, "POST", f"/v1/custom_functions/{quote(value, safe='')}/execute", b"{}")
    assert answer.status == 200
    assert gateway.last.request.function_id == value


@settings(SHARED, max_examples=40)
@given(st.binary(max_size=2000))
async def test_bodies_pass_both_ways_byte_for_byte(gateway: Gateway, body: bytes) -> None:
    answer = await ask(gateway.rest, "POST", "/v1/execute-function", body, {"x-test-echo": "1"})
    assert (answer.status, answer.body) == (200, body)


async def test_a_body_of_megabytes_passes_both_ways(gateway: Gateway) -> None:
    body = b'{"n": 9007199254740993, "x": 1.0, "pad": "' + b"x" * (20 << 20) + b'"}'
    answer = await ask(gateway.rest, "POST", "/v1/execute-function", body, {"x-test-echo": "1"})
    assert answer.status == 200
    assert answer.body == body


async def test_an_id_that_ends_like_a_native_verb_stays_an_id(gateway: Gateway) -> None:
    await ask(gateway.rest, "POST", "/api/codeengine/v2/packages/p/versions/1/functions/f:run", b"{}")
    assert gateway.last.request.function_name == "f:run"


async def test_a_slash_behind_a_path_is_taken_off_for_the_vendor_whose_clients_put_it_there(gateway: Gateway) -> None:
    answer = await ask(gateway.rest, "GET", "/api/codeengine/v2/packages/p/executions/e/?a=b")
    assert answer.status == 200
    assert gateway.last.request.execution_id == "e"
    assert gateway.last.metadata["x-polycall-query"] == "a=b"
    assert (await ask(gateway.rest, "POST", "/v1/execute-function/", b"{}")).status == 404
