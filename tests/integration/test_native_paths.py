"""What a path names is what is done, whatever else a query or a body says: every native route that names something."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from polycall_gateway.descriptors import DESCRIPTORS
from tests.harness import Response, Server

VARIABLE = re.compile(r"\{([a-z_.]+)=([^{}]+)\}")


@dataclass(frozen=True)
class Named:
    """A route whose path names something: in ``field`` of the request, and ``member`` of what JSON is sent."""

    rpc: str
    verb: str
    field: str
    member: str | None  # None: no body is taken
    path: str
    name: str
    other: str


def named() -> list[Named]:
    found = []
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        if file.package != "polycall.v1":
            continue
        for method in (method for service in file.service for method in service.method):
            rule = method.options.Extensions[annotations_pb2.http]
            for one in (rule, *rule.additional_bindings):
                verb = one.WhichOneof("pattern")
                if verb is None or (variable := VARIABLE.search(path := getattr(one, verb))) is None:
                    continue
                name, other = (variable[2].replace("*", word) for word in ("mine", "other"))
                member = None
                if one.body:
                    member = variable[1] if one.body == "*" else variable[1].removeprefix(f"{one.body}.")
                filled = path[: variable.start()] + name + path[variable.end() :]
                found.append(Named(method.name, verb.upper(), variable[1], member, filled, name, other))
    return found


ROUTES = named()


def spelled(name: str) -> list[str]:
    """Return what else the query may call a field."""
    camel = re.sub(r"_([a-z])", lambda match: match[1].upper(), name)
    encoded = "".join(f"%{ord(letter):02x}" for letter in name)
    return [name, camel, f"%{ord(name[0]):02X}{name[1:]}", encoded, name.replace(".", "%2E")]


def key(server: Server) -> dict[str, str]:
    return {"authorization": f"Bearer {server.key}", "content-type": "application/json"}


def test_nearly_all_routes_name_something() -> None:
    assert len(ROUTES) > 30
    assert {route.verb for route in ROUTES} == {"GET", "POST", "PATCH", "DELETE"}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.rpc} {route.path}")
def test_neither_query_nor_body_names_something_else(polycall: Server, route: Named) -> None:
    def ask(query: str, body: bytes | None) -> Response:
        return polycall.http(route.verb, f"{route.path}?{query}", body=body, headers=key(polycall))

    nothing = None if route.member is None else b"{}"
    said = [f"{spelling}={route.other}" for spelling in dict.fromkeys(spelled(route.field))]
    said += [f"{route.field}={route.name}&{route.field}={route.other}", f"{route.field}="]
    said += [f"{route.field.upper()}={route.other}", f"{route.field}.a={route.other}"]
    answers = [ask(query, nothing) for query in said]
    if route.member is not None:
        name, other, member = (json.dumps(text).encode() for text in (route.name, route.other, route.member))
        answers.append(ask("", b"{%s: %s}" % (member, other)))
        answers.append(ask("", b"{%s: %s, %s: %s}" % (member, name, member, other)))
        answers.append(ask("", b"{%s: %s, %s: %s}" % (member, other, member, name)))
    assert [(answer.status, answer.json()["code"]) for answer in answers] == [(400, 3)] * len(answers)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?function=packages/p/functions/hang", "{}"),
        ("?%66unction=packages/p/functions/hang", "{}"),
        ("", '{"function": "packages/p/functions/echo", "function": "packages/p/functions/hang"}'),
    ],
)
def test_who_names_something_else_is_told_where(polycall: Server, query: str, body: str) -> None:
    path = f"/polycall/v1/packages/p/functions/echo:run{query}"
    answer = polycall.http("POST", path, body=body.encode(), headers=key(polycall))
    rule = "must be what the path names: leave it out of the query, and out of the body"
    google = "type.googleapis.com/google.rpc"
    assert (answer.status, answer.json()) == (
        400,
        {
            "code": 3,
            "message": f"function: {rule}",
            "details": [
                {"@type": f"{google}.ErrorInfo", "reason": "INVALID_INPUT", "domain": "polycall"},
                {"@type": f"{google}.BadRequest", "fieldViolations": [{"field": "function", "description": rule}]},
            ],
        },
    )


def test_what_the_path_names_may_be_said_again(polycall: Server) -> None:
    for path in ("/packages/nobody", "/packages/n%6fbody", "/packages/nobody?name=packages/nobody"):
        answer = polycall.http("GET", f"/polycall/v1{path}", headers=key(polycall))
        assert (answer.status, details(answer)["resourceName"]) == (404, "packages/nobody")


def details(answer: Response) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for detail in answer.json()["details"]:
        found |= detail
    return found
