"""A key of one project sees nothing of another: every route of every contract, as the descriptors have them.

Whatever lands later is tried too, or fails here until it is known what to ask it for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.routes import Route, routes, rpcs_without_routes
from tests.contracts.tenants import SAID, Tenant, furnished, nobodys, plain
from tests.harness import Response, Server

ROUTES = routes()
Ids = Mapping[str, str]

# Why an owner is answered as a stranger is, where that is as it should be.
ALIKE = dict.fromkeys(
    ("domo.RunAlias", "domo.RunAliasComplex"), "the operator maps aliases in a file, each for a project; here is none"
) | {
    "cognite.UploadFile": "what lets somebody in stands in the query; no key does",
    "native.UpdateProject": "its limit is what an operator lets a project have; no key of its own changes it",
}
# Routes whose address is the credential: whoever was told it may, with any key or none.
OPEN = {"guance.CallAuthLink", "guance.OpenAuthLink"}
# What ends things comes after all else, and of these, what is inside before what it is in.
_ENDS = re.compile(r"Delete|Revoke|Cancel")
# When somebody asked, and when something was used last.
# with its comma: a key that was never used has no such member
_VOLATILE = re.compile(r',?\s*"(?:lastUsedTime|reqCost|reqTime|respTime|traceId)":\s*(?:"[^"]*"|[0-9]+)')
# How a contract pages its lists: what asks for one item, and what continues after it.
PAGES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "native": ("pageSize=1", lambda page: f"pageToken={page['nextPageToken']}" if "nextPageToken" in page else ""),
    "cognite": ("limit=1", lambda page: f"cursor={page['nextCursor']}" if "nextCursor" in page else ""),
    "riza": ("limit=1", lambda page: next((f"starting_after={i[0]['id']}" for i in page.values() if i), "")),
}
# What gRPC alone reaches: what to ask, and what is answered.
BY_GRPC: dict[str, Callable[[Ids], object]] = {
    "/polycall.v1.TenancyService/CreateApiKey": lambda ids: tenancy_service_pb2.CreateApiKeyRequest(
        project=f"projects/{ids['project']}"
    ),
    "/polycall.v1.TenancyService/ListApiKeys": lambda ids: tenancy_service_pb2.ListApiKeysRequest(
        project=f"projects/{ids['project']}"
    ),
    "/polycall.v1.TenancyService/RevokeApiKey": lambda ids: tenancy_service_pb2.RevokeApiKeyRequest(
        name=f"apiKeys/{ids['apiKeys']}"
    ),
}


def test_a_stranger_finds_nothing_by_any_route(polycall: Server) -> None:
    """One test, because to make all that is asked for takes longer than to ask for it."""
    owner, stranger = furnished(polycall, ROUTES), furnished(polycall, ROUTES)
    before = seen(owner)
    answers = ask_by_ids(owner, stranger)
    ask_by_pages(owner, stranger)
    ask_by_grpc(owner, stranger)
    after = seen(owner)
    assert {name for name in before if before[name] != after.get(name)} == set(), "changed by a stranger"

    # and all of it would have told something: to the owner it does
    nothing = []
    for route in sorted(answers, key=order):
        ids = owner.ids[route.face]
        if plain(owner.send(route, ids), ids) == answers[route] and route.name not in ALIKE:
            nothing.append(f"{route.name}: {route.verb} {route.filled(ids)} -> {answers[route]}")
    assert not nothing, "to the owner it is the same; say in SAID what has to be said:\n" + "\n".join(nothing)


def named(route: Route, ids: Ids) -> dict[str, str]:
    """Return the ids that a request of the route names, in its path or in what it says beside."""
    said: set[str] = set()

    class Watched(dict[str, str]):
        def __getitem__(self, name: str) -> str:
            said.add(name)
            return super().__getitem__(name)

    if route.name in SAID:
        SAID[route.name](Watched(ids))
    return {name: ids[name] for name in {*route.variables, *said}}


def variants(route: Route, owner: Tenant, stranger: Tenant) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Yield ids with something of the owner's among them, each time with the same ids where nobody's stand for it.

    All of them are the owner's, the project of the path alone is not, or one of several things is the only one.
    """
    theirs, own = owner.ids[route.face], stranger.ids[route.face]
    none = nobodys(theirs)
    if route.name not in OPEN:
        yield theirs, none | {"project": owner.project}
    if "project" in route.variables:
        yield theirs | {"project": stranger.project}, none | {"project": stranger.project}
    several = {name for name in named(route, theirs) if name != "project" and theirs[name] != own[name]}
    if len(several) > 1:
        for name in sorted(several):
            yield own | {name: theirs[name]}, own | {name: none[name]}


def leaks(answer: Response, sent: Ids, owner: Tenant, stranger: Tenant) -> list[str]:
    """Return what of the owner's is in an answer to a stranger who did not say it."""
    text = answer.body.decode(errors="replace")
    for value in sent.values():
        text = text.replace(value, "")
    theirs, own = (
        {value for of_face in tenant.ids.values() for value in of_face.values() if len(value) > 7}
        for tenant in (owner, stranger)
    )
    return [word for word in (owner.canary, *sorted(theirs - own - set(sent.values()))) if word in text]


def seen(owner: Tenant) -> dict[str, str]:
    """Return all that the owner reads of the project's things, by route."""
    found = {}
    for route in ROUTES:
        # Guance deletes by GET, and runs what a link is for
        if route.verb == "GET" and not _ENDS.match(route.rpc) and route.name not in OPEN:
            text = owner.send(route, owner.ids[route.face]).body.decode()
            if owner.canary in text or any(id in text for id in owner.ids[route.face].values()):
                found[f"{route.name} {route.path}"] = _VOLATILE.sub("", text)
    return found


def order(route: Route) -> tuple[bool, bool, int]:
    ends = route.verb == "DELETE" or _ENDS.match(route.rpc) is not None
    return ends, "Package" in route.rpc, -len(route.variables)


def ask_by_ids(owner: Tenant, stranger: Tenant) -> dict[Route, tuple[int, str]]:
    """Ask every route for what the owner has; return what it says to that."""
    wrong: list[str] = []
    answers: dict[Route, tuple[int, str]] = {}
    for route in ROUTES:
        for ids, none in variants(route, owner, stranger):
            sent = named(route, ids)
            answer = stranger.send(route, ids)
            where = f"{route.name}: {route.verb} {route.filled(ids)} -> {answer.status} {answer.body[:300]!r}"
            wrong += [f"{where} tells {word}" for word in leaks(answer, sent, owner, stranger)]
            if not set(sent) - {"project"}:
                continue  # it names nothing
            # what is another's is answered as what is nobody's is, so that not even its being there is told
            control = plain(stranger.send(route, none), none)
            answers.setdefault(route, plain(answer, ids))
            if plain(answer, ids) != control:
                wrong.append(f"{where} is not what is answered for nobody's: {control}")
    assert not wrong, "\n".join(wrong)
    return answers


def ask_by_pages(owner: Tenant, stranger: Tenant) -> None:
    """Continue the owner's lists."""
    tried, wrong = [], []
    for route in ROUTES:
        if route.face not in PAGES or route.verb != "GET":
            continue
        ids = owner.ids[route.face]
        one, after = PAGES[route.face]
        page = owner.ask(route.face, "GET", f"{route.filled(ids)}?{one}")
        if page.status != 200 or not route.rpc.startswith("List") or not (place := after(page.json())):
            continue
        assert owner.ask(route.face, "GET", f"{route.filled(ids)}?{one}&{place}").status == 200
        tried.append(route.name)
        for own in (ids, ids | {"project": stranger.project}, stranger.ids[route.face]):
            answer = stranger.ask(route.face, "GET", f"{route.filled(own)}?{one}&{place}")
            wrong += [f"{route.name} tells {word}: {answer.body!r}" for word in leaks(answer, own, owner, stranger)]
    assert not wrong
    assert {"native.ListExecutions", "native.ListPackages", "riza.ListSecrets"} <= set(tried)


def ask_by_grpc(owner: Tenant, stranger: Tenant) -> None:
    """Ask for what has no route."""
    ids = {**owner.ids["native"], "project": owner.project}
    for method in rpcs_without_routes():
        call = stranger.server.channel.unary_unary(method, lambda request: request.SerializeToString())
        with pytest.raises(grpc.RpcError) as refused:
            call(BY_GRPC[method](ids), metadata=[("authorization", f"Bearer {stranger.key}")], timeout=30)
        assert refused.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED)
        assert owner.canary not in str(refused.value.details())
