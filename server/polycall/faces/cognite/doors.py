"""Where the face lets somebody in without a key."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.faces.cognite.file_routes import UploadDoor
from polycall.faces.cognite.files import Files
from polycall.faces.cognite.v1 import cognite_files_pb2, cognite_login_pb2
from polycall.interceptors.authentication import Anyone
from polycall.interceptors.stack import Gate

__all__ = ["cognite_doors"]

_FILES = cognite_files_pb2.DESCRIPTOR.services_by_name["CogniteFileService"].full_name
_LOGIN = cognite_login_pb2.DESCRIPTOR.services_by_name["CogniteLoginService"].full_name


def cognite_doors(files: Files) -> Mapping[str, Gate]:
    """Return who is let in, by the path of the method: where credentials are exchanged, and where files are sent."""
    return {f"/{_LOGIN}/CreateToken": Anyone(), f"/{_FILES}/UploadFile": UploadDoor(files)}
