"""Tells a run's ``codeengine`` what the server told the run. A hook of an adapter, see ``polycall.sandbox.inside``."""

from __future__ import annotations

import sys
import types
from typing import Any


def prepare(module_globals: dict[str, Any], options: dict[str, Any]) -> None:
    """Leave the options where ``codeengine`` finds them, if it is imported at all."""
    told = types.ModuleType("polycall_told")
    told.options = options  # type: ignore[attr-defined]
    sys.modules["polycall_told"] = told
