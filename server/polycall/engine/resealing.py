"""Keys for secrets at rest that come and go: what is sealed with an older one is sealed anew with the newest."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, replace

from polycall.domain import Principal, Reason, Scope
from polycall.engine.egress import egress_place, open_policy, seal_policy
from polycall.engine.keys import require
from polycall.engine.secrets import open_values, project_place, seal_values
from polycall.engine.tasks import through
from polycall.engine.webhooks.signature import signing_place
from polycall.errors import FailedPrecondition
from polycall.sealing import Sealer, key_of
from polycall.store.protocol import Sealed, SealedSecret, SealedSigning, SealedStore, SealedVersion

__all__ = ["Resealed", "Resealing"]

_ROWS = 100  # read and written at once; a version may have some megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What was done: secrets (those that sign, too) and versions sealed anew, and those that could not be opened."""

    secrets: int
    versions: int
    failed: int


class Resealing:
    """Looks at everything that is sealed, of all projects."""

    def __init__(self, store: SealedStore, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    async def check(self, lost: Collection[str] = ()) -> None:
        """Raise FailedPrecondition if something was sealed with a key that is not here, nor among the ``lost``."""
        strange: dict[str, Counter[str]] = {}
        async for rows in self._all():
            for row in rows:
                for key in set(map(key_of, _texts(row))) - self._sealer.keys - set(lost):
                    what = "versions" if isinstance(row, SealedVersion) else "secrets"
                    strange.setdefault(key, Counter())[what] += 1
        if not strange:
            return
        found = "; ".join(
            f"{key}: {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}"
            for key, counts in sorted(strange.items())
        )
        raise FailedPrecondition(
            f"The database has what was sealed with a key that this server does not have ({found}). Put that key back: "
            "encryption.key in the data directory, or behind the newer one in POLYCALL_ENCRYPTION_KEY (NEW,OLD). If it "
            f"is lost, POLYCALL_LOST_ENCRYPTION_KEYS={','.join(sorted(strange))} starts the server without it; what "
            "uses these secrets cannot run until they are given anew.",
            subject="encryption_key",
            reason=Reason.SECRET_UNUSABLE,
            metadata={"keys": ",".join(sorted(strange))},
        )

    async def reseal(self, who: Principal) -> Resealed:
        """Seal everything with the newest key that is sealed with another. Done piece by piece: it may be repeated.

        Raises PermissionDenied (scope OPERATOR), Unavailable.
        """
        require(who, Scope.OPERATOR)
        done: Counter[type[Sealed]] = Counter()
        failed = 0
        async for rows in self._all():
            old = [row for row in rows if any(key_of(text) != self._sealer.newest for text in _texts(row))]
            if not old:
                continue
            # ciphers and JSON of some megabytes: not on the loop
            anew = await asyncio.to_thread(self._all_anew, old)
            changes = [(row, new) for row, new in zip(old, anew, strict=True) if new is not None]
            failed += len(old) - len(changes)
            if changes:
                # what was changed meanwhile was sealed with the newest key by who changed it
                done[type(rows[0])] += await through(self._store.reseal(changes))
        return Resealed(secrets=done[SealedSecret] + done[SealedSigning], versions=done[SealedVersion], failed=failed)

    async def _all(self) -> AsyncIterator[list[Sealed]]:
        secret: SealedSecret | None = None
        while rows := await self._store.all_sealed_secrets(secret, _ROWS):
            yield list(rows)
            secret = rows[-1]
        signing: SealedSigning | None = None
        while signs := await self._store.all_sealed_signing(signing, _ROWS):
            yield list(signs)
            signing = signs[-1]
        version: SealedVersion | None = None
        while found := await self._store.all_sealed_versions(version, _ROWS):
            yield list(found)
            version = found[-1]

    def _all_anew(self, rows: list[Sealed]) -> list[Sealed | None]:
        return [self._anew(row) for row in rows]

    def _anew(self, row: Sealed) -> Sealed | None:
        try:
            if isinstance(row, SealedSecret):
                place = project_place(row.project_id)
                (value,) = open_values({row.id: row.sealed}, self._sealer, place).values()
                return replace(row, sealed=seal_values({row.id: value}, self._sealer, place)[row.id])
            if isinstance(row, SealedSigning):
                place = signing_place(row.project_id, row.id)
                return replace(row, sealed=self._sealer.seal(self._sealer.open(row.sealed, place), place))
            place = egress_place(row.project_id, row.package_id)
            return replace(
                row,
                egress=seal_policy(open_policy(row.egress, self._sealer, place), self._sealer, place),
                secrets=seal_values(open_values(row.secrets, self._sealer, place), self._sealer, place),
            )
        except FailedPrecondition:  # damaged, moved, or its key is lost: it stays as it is
            return None


def _texts(row: Sealed) -> Iterator[str]:
    if isinstance(row, SealedSecret | SealedSigning):
        yield row.sealed
        return
    for rule in row.egress.rules if row.egress is not None else ():
        yield from (credential.secret for credential in rule.credentials)
    yield from row.secrets.values()
