"""Custom functions as the vendor shows them: items, pages of items, tools."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from polycall.domain import Convention, Function, Package, Version
from polycall.engine.limits import MIB
from polycall.faces.times import iso_millis
from polycall.faces.xpander.summaries import technical_description

__all__ = ["CONNECTOR", "ENTRY", "Item", "ItemPage", "Tool", "entry_of", "item_of", "page_of", "status_of", "tool_of"]

CONNECTOR = "xpander-custom-functions"
ENTRY = "xpander_run_action"  # the entry function, unless another is named
_DEFAULT_RUN_S = 15  # contract, section 4
_DRAFT = "draft"  # there is no source yet
_NOTHING = msgspec.Raw(b'{"type":"object","properties":{}}')


class Limits(msgspec.Struct, omit_defaults=True):
    """``max_run_time`` in seconds; ``memory`` in MB, only if it was given."""

    max_run_time: float
    memory: int | None = None


class Item(msgspec.Struct):
    """CustomFunctionItem: its keys in the contract's order, nulls written out."""

    id: str
    name: str
    description: str | None
    technical_description: str | None
    status: str
    limits: Limits | None
    input_schema: msgspec.Raw | None
    source_code: str | None
    analysis_error_details: str | None
    organization_id: str | None
    created_at: str | None


class ItemPage(msgspec.Struct):
    """A page of the list."""

    items: Sequence[Item]
    total: int
    page: int
    per_page: int
    total_pages: int


class Tool(msgspec.Struct):
    """What the SDK makes its tool of: these four members and no other, or its constructor fails."""

    id: str
    name: str
    description: str
    parameters: msgspec.Raw


def status_of(version: Version | None) -> str:
    """Return the vendor's word for the state of a version; None: there is none."""
    if version is None:
        return _DRAFT
    return "ready" if version.state.runnable else version.state.value


def entry_of(version: Version) -> Function | None:
    """Return the function that is called: the one of that name, or the only one. None if that is not clear."""
    fitting = [each for each in version.functions if each.convention is Convention.KEYWORDS and not each.private]
    chosen = [each for each in fitting if each.name == ENTRY] or fitting
    return chosen[0] if len(chosen) == 1 else None


def item_of(package: Package, version: Version | None, source: str | None = None) -> Item:
    """Return a function as it is shown; ``source`` None: without its code."""
    function = entry_of(version) if version is not None and version.state.runnable else None
    return Item(
        id=package.id,
        name=_name(package, function),
        description=package.description,
        technical_description=technical_description(function) if function is not None else None,
        status=status_of(version),
        limits=_limits(version),
        input_schema=_schema(function) if function is not None else None,
        source_code=source,
        analysis_error_details=version.error if version is not None else None,
        organization_id=package.project_id,
        created_at=iso_millis(package.created_at),
    )


def page_of(items: Sequence[Item], total: int, page: int, per_page: int) -> ItemPage:
    """Return a page of the list."""
    return ItemPage(items, total, page, per_page, -(-total // per_page))


def tool_of(package: Package, function: Function) -> Tool:
    """Return a function as a tool."""
    return Tool(f"{CONNECTOR}_{package.id}", _name(package, function), package.description, _schema(function))


def _name(package: Package, function: Function | None) -> str:
    return package.display_name or (function.name if function is not None and package.face is None else "")


def _schema(function: Function) -> msgspec.Raw:
    return msgspec.Raw(function.input_schema) if function.input_schema else _NOTHING


def _limits(version: Version | None) -> Limits | None:
    if version is None:
        return None
    asked = version.limits
    seconds = asked.timeout_ms / 1000 if asked.timeout_ms is not None else _DEFAULT_RUN_S
    memory = asked.memory_bytes // MIB if asked.memory_bytes is not None else None
    return Limits(int(seconds) if seconds == int(seconds) else seconds, memory)
