"""Where the face lets somebody in without a key."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.faces.cognite.v1 import cognite_login_pb2
from polycall.interceptors.authentication import Anyone
from polycall.interceptors.stack import Gate

__all__ = ["cognite_doors"]

_LOGIN = cognite_login_pb2.DESCRIPTOR.services_by_name["CogniteLoginService"].full_name


def cognite_doors() -> Mapping[str, Gate]:
    """Return who is let in, by the path of the method: anyone where credentials are exchanged for a token."""
    return {f"/{_LOGIN}/CreateToken": Anyone()}
