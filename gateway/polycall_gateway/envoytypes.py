"""Envoy's typed extensions, written down."""

from __future__ import annotations

from typing import Any

__all__ = ["extension", "typed"]


def extension(message: str, **fields: Any) -> dict[str, Any]:
    """Return an ``Any`` of the message ``envoy.<message>``."""
    return {"@type": f"type.googleapis.com/envoy.{message}", **fields}


def typed(name: str, message: str, **fields: Any) -> dict[str, Any]:
    """Return the configuration of a named extension: ``{name, typed_config}``."""
    return {"name": name, "typed_config": extension(message, **fields)}
