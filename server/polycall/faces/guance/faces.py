"""Guance's contract, service by service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.protobuf.descriptor import ServiceDescriptor

from polycall.engine.engine import Engine
from polycall.faces.guance.auth_link_routes import AuthLinkRoutes
from polycall.faces.guance.auth_links import AuthLinks
from polycall.faces.guance.drafts import Drafts
from polycall.faces.guance.face import GuanceFace
from polycall.faces.guance.func_routes import FuncRoutes
from polycall.faces.guance.publishing import Publishing
from polycall.faces.guance.runs import FuncRuns
from polycall.faces.guance.script_routes import ScriptRoutes
from polycall.faces.guance.script_sets import ScriptSets
from polycall.faces.guance.services import ScriptServices
from polycall.faces.guance.v1 import guance_auth_links_pb2, guance_funcs_pb2, guance_pb2, guance_scripts_pb2
from polycall.faces.reply import Face
from polycall.interceptors.authentication import Anyone
from polycall.interceptors.stack import Gate

__all__ = ["guance_doors", "guance_faces"]

_FUNCS = guance_funcs_pb2.DESCRIPTOR.services_by_name["GuanceFuncService"]
_SCRIPTS = guance_scripts_pb2.DESCRIPTOR.services_by_name["GuanceScriptService"]
_LINKS = guance_auth_links_pb2.DESCRIPTOR.services_by_name["GuanceAuthLinkService"]
_GATEWAY = guance_pb2.DESCRIPTOR.services_by_name["GuanceService"]


def guance_faces(
    engine: Engine, services: ScriptServices, *, auth_status: int
) -> Sequence[tuple[ServiceDescriptor, Face]]:
    """Return the services of the contract over the engine; from here on scripts can start functions."""
    runs = FuncRuns(engine)
    services.start = runs.start
    sets = ScriptSets(engine)
    drafts = Drafts(engine, sets)
    links = AuthLinks(engine, runs)
    return (
        (_GATEWAY, GuanceFace(engine, runs, auth_status=auth_status)),
        (_FUNCS, FuncRoutes(engine, runs, drafts, links)),
        (_SCRIPTS, ScriptRoutes(engine, sets, drafts, Publishing(engine, drafts, sets))),
        (_LINKS, AuthLinkRoutes(engine, links)),
    )


def guance_doors() -> Mapping[str, Gate]:
    """Return who is let in without a key, by the path of the method: who signs in, and who has an auth link."""
    methods = ((_SCRIPTS, "SignIn"), (_FUNCS, "CallAuthLink"), (_FUNCS, "OpenAuthLink"))
    return {f"/{service.full_name}/{method}": Anyone() for service, method in methods}
