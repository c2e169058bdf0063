"""A script from nothing to deployed, called, changed, called again and deleted, by the vendor's routes."""

from __future__ import annotations

import uuid

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.guance.driver import Guance
from tests.contracts.guance.studio import Studio, signed_in
from tests.harness import Server

HELLO = "@DFF.API('Hello')\ndef hello(name='you'):\n    '''Greets.'''\n    return f'Hello, {name}'\n"


@pytest.fixture(scope="module")
def studio(polycall: Server) -> Studio:
    """Somebody with a project of their own."""
    scopes = tenancy_service_pb2.ApiKey
    key = polycall.new_key(
        project=f"studio-{uuid.uuid4().hex[:8]}", scopes=[scopes.SCOPE_RUN, scopes.SCOPE_READ, scopes.SCOPE_DEPLOY]
    )
    return signed_in(polycall, key)


@pytest.fixture(scope="module")
def caller(studio: Studio) -> Guance:
    """Who calls the same project's functions through the gateway."""
    return Guance(studio.server, studio.key)


def test_a_function_from_nothing_to_deleted(studio: Studio, caller: Guance) -> None:
    studio.script_set("life", title="Life")
    made = studio.published("life__story", HELLO)
    assert made["id"] == "life__story"
    assert made["publishVersion"] == 1
    assert [func["name"] for func in made["exportedAPIFuncs"]] == ["hello"]
    assert caller.result("life__story.hello", name="Tom") == "Hello, Tom"
    assert studio.call("life__story.hello") == "Hello, you"
    studio.edit("life__story", HELLO.replace("Hello,", "Good evening,"))
    assert caller.result("life__story.hello") == "Hello, you"  # only what is published runs
    assert studio.publish("life__story")["publishVersion"] == 2
    assert caller.result("life__story.hello") == "Good evening, you"
    assert studio.good("GET", "scripts/life__story/do/delete") == {"id": "life__story"}
    assert caller.execute("life__story.hello")["error"] == 404.41
    assert studio.good("GET", "script-sets/life/do/delete") == {"id": "life"}
    assert studio.good("GET", "script-sets/do/list?id=life") == []
