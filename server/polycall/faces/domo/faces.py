"""The three parts of the Domo face, made of what they share."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor

from polycall.engine.engine import Engine
from polycall.faces.domo.app_face import DomoAppFace
from polycall.faces.domo.callers import Callers
from polycall.faces.domo.face import DomoFace
from polycall.faces.domo.lending import Lending
from polycall.faces.domo.operator import DomoSettings
from polycall.faces.domo.package_face import DomoPackageFace, PackageReader
from polycall.faces.domo.packages import Packages
from polycall.faces.domo.permissions import Permissions
from polycall.faces.domo.runs import Runs
from polycall.faces.domo.v1 import apps_pb2, domo_pb2, packages_pb2
from polycall.faces.reply import Face

__all__ = ["domo_faces"]


def domo_faces(engine: Engine, settings: DomoSettings, app_key: str = "") -> tuple[tuple[ServiceDescriptor, Face], ...]:
    """Return the services and who answers for them. ``app_key``: whom apps that send no credentials run as."""
    callers = Callers(engine.keys, app_key)
    permissions = Permissions(engine.objects)
    packages = Packages(engine, permissions)
    runs = Runs(engine, packages, permissions, Lending(engine.secrets, settings))
    reader = PackageReader(packages, permissions)
    return (
        (
            domo_pb2.DESCRIPTOR.services_by_name["DomoService"],
            DomoFace(engine, callers, packages, permissions, runs),
        ),
        (
            packages_pb2.DESCRIPTOR.services_by_name["DomoPackageService"],
            DomoPackageFace(callers, packages, permissions, reader),
        ),
        (
            apps_pb2.DESCRIPTOR.services_by_name["DomoAppService"],
            DomoAppFace(callers, runs, reader, settings),
        ),
    )
