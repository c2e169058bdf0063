"""Accounts: secrets of the project that a version maps, as JSON objects of properties; no others reach its runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from polycall.engine.secrets import Secrets
from polycall.errors import FailedPrecondition, InvalidArgument, NotFound
from polycall.faces.domo.manifest import Manifest
from polycall.names import is_secret_id
from polycall.quick import dataclass

__all__ = ["MOST", "Mapped", "check_accounts", "mapped_accounts", "opened_accounts"]

_WHERE = "manifest.configuration.accountsMapping"
MOST = 64  # accounts of one version, each as large as a secret may be


@dataclass(frozen=True, slots=True)
class Mapped:
    """An account as the code calls it, and what it is called where it is kept: a secret's id or name."""

    alias: str
    id: str


def mapped_accounts(entries: Sequence[msgspec.Raw]) -> tuple[Mapped, ...]:
    """Return what ``configuration.accountsMapping`` and ``accountAliasConfiguration`` name."""
    return tuple(_mapped(entries))


def check_accounts(manifest: Manifest) -> None:
    """Raise InvalidArgument for a manifest that maps too many accounts, or names some that no text can be."""
    if (count := len(manifest.configuration.accounts_mapping) + len(manifest.aliases)) > MOST:
        raise InvalidArgument.of(_WHERE, f"has {count} accounts; at most {MOST}")
    try:
        mapped_accounts((*manifest.configuration.accounts_mapping, *manifest.aliases))
    except (msgspec.DecodeError, RecursionError):  # half a character, which Raw lets pass
        raise InvalidArgument.of(_WHERE, "must be valid JSON") from None


async def opened_accounts(secrets: Secrets, project_id: str, accounts: Sequence[Mapped]) -> list[dict[str, Any]]:
    """Return accounts for their code. One that cannot be had says why when it is asked for, not before."""
    return [{"alias": each.alias, "id": each.id, **await _opened(secrets, project_id, each)} for each in accounts]


def _mapped(entries: Sequence[msgspec.Raw]) -> Iterator[Mapped]:
    for raw in entries:
        entry = msgspec.json.decode(raw)
        if isinstance(entry, str | int) and not isinstance(entry, bool):
            yield Mapped(str(entry), str(entry))
        elif isinstance(entry, dict):
            account, alias = (_text(entry.get(name)) for name in ("accountId", "alias"))
            if account or alias:
                yield Mapped(alias or account, account or alias)


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


async def _opened(secrets: Secrets, project_id: str, account: Mapped) -> dict[str, Any]:
    text = await _value(secrets, project_id, account)
    if text is None:
        return {"problem": "has no secret here that can be opened: one whose id or name is the account's id or alias"}
    try:
        return {"properties": msgspec.json.decode(text, type=dict[str, Any])}
    except (msgspec.DecodeError, RecursionError):
        return {"problem": "is a secret whose value is no JSON object of properties"}


async def _value(secrets: Secrets, project_id: str, account: Mapped) -> str | None:
    """Return the value of the secret with that id, or else that name, or else with the alias as its id or name."""
    for name in dict.fromkeys((account.id, account.alias)):
        with suppress(FailedPrecondition):
            if is_secret_id(name):
                return await secrets.open(project_id, name)
        with suppress(NotFound, FailedPrecondition):
            return await secrets.open_named(project_id, name)
    return None
