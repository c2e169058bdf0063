"""What a vendor's contract has that is neither package nor run."""

from __future__ import annotations

from polycall.quick import dataclass

__all__ = ["FaceObject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceObject:
    """What a vendor's contract has that is neither package nor run: a script set, an uploaded file.

    ``alias`` is a second id, unique among the objects of that project, face and kind. ``revision`` counts the changes,
    from 1. ``data``: JSON of the face. ``blob``: the digest of something large of it, such as a file's content.
    """

    project_id: str
    face: str
    kind: str
    id: str
    created_at: int
    updated_at: int
    revision: int = 1
    alias: str | None = None
    data: bytes = b"{}"
    blob: str | None = None
