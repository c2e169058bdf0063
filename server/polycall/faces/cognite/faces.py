"""Cognite's contract, service by service."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.descriptor import ServiceDescriptor

from polycall.engine.engine import Engine
from polycall.faces.cognite.call_routes import CallRoutes
from polycall.faces.cognite.catalogue import Catalogue
from polycall.faces.cognite.deployer import Deployer
from polycall.faces.cognite.deployments import Deployments
from polycall.faces.cognite.face import CogniteFace
from polycall.faces.cognite.file_routes import FileRoutes
from polycall.faces.cognite.files import Files
from polycall.faces.cognite.function_form import Packages
from polycall.faces.cognite.function_routes import FunctionRoutes
from polycall.faces.cognite.login_routes import LoginRoutes
from polycall.faces.cognite.schedule_routes import ScheduleRoutes
from polycall.faces.cognite.session_routes import SessionRoutes
from polycall.faces.cognite.sessions import Sessions
from polycall.faces.cognite.ticks import Ticks
from polycall.faces.cognite.v1 import (
    cognite_calls_pb2,
    cognite_files_pb2,
    cognite_functions_pb2,
    cognite_login_pb2,
    cognite_pb2,
    cognite_schedules_pb2,
    cognite_sessions_pb2,
)
from polycall.faces.reply import Face
from polycall.store.protocol import Store

__all__ = ["cognite_faces"]

_FUNCTIONS = cognite_functions_pb2.DESCRIPTOR.services_by_name["CogniteFunctionService"]
_CALLS = cognite_calls_pb2.DESCRIPTOR.services_by_name["CogniteCallService"]
_FILES = cognite_files_pb2.DESCRIPTOR.services_by_name["CogniteFileService"]
_LOGIN = cognite_login_pb2.DESCRIPTOR.services_by_name["CogniteLoginService"]
_SESSIONS = cognite_sessions_pb2.DESCRIPTOR.services_by_name["CogniteSessionService"]
_SCHEDULES = cognite_schedules_pb2.DESCRIPTOR.services_by_name["CogniteScheduleService"]
_REST = cognite_pb2.DESCRIPTOR.services_by_name["CogniteService"]


def cognite_faces(
    engine: Engine,
    store: Store,
    *,
    sessions: Sessions,
    files: Files,
    ticks: Ticks,
    deployments: Deployments,
    deployer: Deployer,
    python_index_url: str,
) -> Sequence[tuple[ServiceDescriptor, Face]]:
    """Return the services of the contract over the engine, made of what else of the server knows these parts."""
    catalogue = Catalogue(engine)
    packages = Packages(python_index_url)
    return (
        (_REST, CogniteFace(engine, store, sessions, catalogue)),
        (_FUNCTIONS, FunctionRoutes(engine, store, catalogue, files, deployments, deployer, packages)),
        (_CALLS, CallRoutes(engine)),
        (_FILES, FileRoutes(engine, files)),
        (_LOGIN, LoginRoutes(engine)),
        (_SESSIONS, SessionRoutes(engine, store)),
        (_SCHEDULES, ScheduleRoutes(engine, ticks, store, sessions)),
    )
