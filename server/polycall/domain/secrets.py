"""What everybody may know of a secret."""

from __future__ import annotations

from polycall.quick import dataclass

__all__ = ["Secret"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What everybody may know of a secret; its value is sealed in the store, and opened where it is used.

    The id is what refers to it; several may have one name.
    """

    project_id: str
    id: str
    name: str
    created_at: int
    updated_at: int  # when it got its value
    face: str | None = None  # which face made it; None: native
    created_by: str | None = None
