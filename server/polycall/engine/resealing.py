"""Keys for secrets at rest that come and go: what an older one has sealed is given to the newest."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from polycall.domain import Principal, Reason, Scope
from polycall.engine.egress import anew_policy, egress_place
from polycall.engine.keys import require
from polycall.engine.secrets import project_place, values_anew
from polycall.engine.tasks import through
from polycall.engine.webhooks.signature import signing_place
from polycall.errors import FailedPrecondition, PolycallError
from polycall.quick import dataclass
from polycall.sealing import Sealer, key_of, mark_of
from polycall.store.protocol import (
    Sealed,
    SealedRequest,
    SealedSecret,
    SealedSigning,
    SealedStore,
    SealedVersion,
)

__all__ = ["Resealed", "Resealing", "SealedElsewhere"]

_ROWS = 100  # read and written at once; a version may have some megabytes
_PAUSE_S = 0.05  # between two slices that nobody waits for
_WORDS: Mapping[type[Sealed], str] = {
    SealedSecret: "secrets",
    SealedVersion: "versions",
    SealedSigning: "signing secrets",
    SealedRequest: "stored requests",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """What was given to the newest key, and what could not be opened, of everything."""

    secrets: int = 0
    versions: int = 0
    signing_secrets: int = 0
    requests: int = 0
    deployments: int = 0
    failed: int = 0


class SealedElsewhere(Protocol):
    """Keeps sealed things in a form of its own."""

    async def marks(self) -> Counter[str]:
        """Return the marks (``polycall.sealing.mark_of``) of what is kept, and how many have each."""

    async def reseal(self) -> tuple[int, int]:
        """Give everything to the newest key; return how much was, and how much could not be opened."""


class Resealing:
    """Looks at everything that is sealed, of all projects.

    ``places``: what faces seal requests for, by the face and then by the project. ``deployments``: what is in flight.
    """

    def __init__(
        self,
        store: SealedStore,
        sealer: Sealer,
        places: Mapping[str, Callable[[str], str]] | None = None,
        deployments: SealedElsewhere | None = None,
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._places = places or {}
        self._deployments = deployments
        self._direct = False  # whether ``check`` has seen something without an envelope

    async def check(self, lost: Collection[str] = ()) -> None:
        """Raise FailedPrecondition if something was sealed with a key that is not here, nor among the ``lost``."""
        seen: dict[str, Counter[str]] = {}
        async for rows in self._rows():
            for row in rows:
                for mark in set(map(mark_of, _texts(row))):
                    seen.setdefault(mark, Counter())[_WORDS[type(row)]] += 1
        for mark in await self._store.request_marks():
            seen.setdefault(mark, Counter())[_WORDS[SealedRequest]] += 1
        if self._deployments is not None:
            for mark, count in (await self._deployments.marks()).items():
                seen.setdefault(mark, Counter())["deployments"] += count
        self._direct = any(map(_is_direct, seen))
        strange: dict[str, Counter[str]] = {}
        for mark, counts in seen.items():
            if (key := key_of(f"{mark}.")) not in self._sealer.keys and key not in lost:
                strange.setdefault(key, Counter()).update(counts)
        if not strange:
            return
        found = "; ".join(
            f"{key}: {', '.join(_counted(what, count) for what, count in sorted(counts.items()))}"
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
        """Give everything to the newest key that another one has. Done piece by piece: it may be repeated.

        Raises PermissionDenied (scope OPERATOR), Unavailable.
        """
        require(who, Scope.OPERATOR)
        return await self._reseal(lambda mark: mark != self._sealer.mark)

    async def migrate(self) -> None:
        """Make envelopes of what an earlier release has sealed without, if ``check`` has seen such. Piece by piece."""
        if not self._direct:
            return
        try:
            done = await self._reseal(_is_direct, _PAUSE_S)
        except PolycallError as error:
            log.warning("what an earlier release has sealed is put into envelopes at the next start: %s", error)
        else:
            log.info("put into envelopes what an earlier release has sealed: %s", done)

    async def _reseal(self, stale: Callable[[str], bool], pause_s: float = 0) -> Resealed:
        done: Counter[type[Sealed]] = Counter()
        failed = deployments = 0
        async for rows in self._rows(stale):
            old = [row for row in rows if any(stale(mark_of(text)) for text in _texts(row))]
            if not old:
                continue
            # ciphers and JSON of some megabytes: not on the loop
            anew = await asyncio.to_thread(self._all_anew, old)
            changes = [(row, new) for row, new in zip(old, anew, strict=True) if new is not None]
            failed += len(old) - len(changes)
            if changes:
                # what was changed meanwhile was sealed with the newest key by who changed it
                done[type(rows[0])] += await through(self._store.reseal(changes))
            await asyncio.sleep(pause_s)
        if self._deployments is not None and any(map(stale, await self._deployments.marks())):
            deployments, wrong = await self._deployments.reseal()
            failed += wrong
        return Resealed(
            secrets=done[SealedSecret],
            versions=done[SealedVersion],
            signing_secrets=done[SealedSigning],
            requests=done[SealedRequest],
            deployments=deployments,
            failed=failed,
        )

    async def _rows(self, stale: Callable[[str], bool] | None = None) -> AsyncIterator[Sequence[Sealed]]:
        """Yield what there is, in slices of one kind; of requests, which may be millions, only what is ``stale``."""
        secret: SealedSecret | None = None
        while secrets := await self._store.all_sealed_secrets(secret, _ROWS):
            yield secrets
            secret = secrets[-1]
        version: SealedVersion | None = None
        while versions := await self._store.all_sealed_versions(version, _ROWS):
            yield versions
            version = versions[-1]
        signing: SealedSigning | None = None
        while signs := await self._store.all_sealed_signing(signing, _ROWS):
            yield signs
            signing = signs[-1]
        for mark in filter(stale, await self._store.request_marks()) if stale is not None else ():
            request: uuid.UUID | None = None
            while requests := await self._store.all_sealed_requests(mark, request, _ROWS):
                yield requests
                request = requests[-1].id

    def _all_anew(self, rows: Sequence[Sealed]) -> list[Sealed | None]:
        return [self._anew(row) for row in rows]

    def _anew(self, row: Sealed) -> Sealed | None:
        try:
            match row:
                case SealedSecret():
                    (sealed,) = values_anew({row.id: row.sealed}, self._sealer, project_place(row.project_id)).values()
                    return replace(row, sealed=sealed)
                case SealedSigning():
                    return replace(row, sealed=self._sealer.anew(row.sealed, signing_place(row.project_id, row.id)))
                case SealedRequest():
                    place = self._places[row.face](row.project_id) if row.face in self._places else row.face
                    return replace(row, sealed=self._sealer.anew(row.sealed, place))
                case SealedVersion():
                    place_of = egress_place(row.project_id, row.package_id)
                    return replace(
                        row,
                        egress=anew_policy(row.egress, self._sealer, place_of),
                        secrets=values_anew(row.secrets, self._sealer, place_of),
                    )
        except FailedPrecondition:  # damaged, moved, or its key is lost: it stays as it is
            return None


def _is_direct(mark: str) -> bool:
    return mark.startswith("1.")


def _counted(what: str, count: int) -> str:
    return what if what == _WORDS[SealedRequest] else f"{count} {what}"  # there may be a million


def _texts(row: Sealed) -> Iterator[str]:
    if not isinstance(row, SealedVersion):
        yield row.sealed
        return
    for rule in row.egress.rules if row.egress is not None else ():
        yield from (credential.secret for credential in rule.credentials)
    yield from row.secrets.values()
