"""What a contract asks of the source of its packages, beyond that it compiles."""

from __future__ import annotations

from polycall.quick import dataclass

__all__ = ["NO_RULES", "Rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is looked for in a source when it is analysed.

    ``refused``: dotted names that it may not use, such as ``os.system``, ``os.exec*``, ``subprocess`` (and all within),
    ``builtins.eval``; a courtesy to authors, which hostile code gets around: what holds code is the sandbox. ``why``
    follows such a name in what is said. ``must_exist``: every declared function is defined at the top of its module.
    """

    refused: tuple[str, ...] = ()
    why: str = "may not be used"
    must_exist: bool = False


NO_RULES = Rules()
