"""Large values that lie in an object store: written before the row that names them, compared when they are read.

The row of a value keeps its digest, its size and the key of its object. A key is used once: whoever deletes an object
that no row names cannot meet somebody who writes it again. While the object store is away, what is new stays in the
database, and what lies there cannot be read.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import quote

import sqlalchemy as sa

from polycall.domain import Reason
from polycall.errors import FailedPrecondition, Internal, Unavailable
from polycall.ids import now_ms
from polycall.quick import dataclass
from polycall.store.blobs import Blob, Elsewhere, Value
from polycall.store.bucket import Bucket, BucketAway, ObjectLost
from polycall.store.disk_cache import DiskCache
from polycall.store.executor import Executor
from polycall.store.home import home
from polycall.store.tables import blobs, db_now, environments

__all__ = ["ENVIRONMENTS", "Damaged", "Outside"]

ENVIRONMENTS = "environments"
_BLOBS = "blobs"
_PAUSE_S = 5.0  # after the object store was away, before it is asked again to take something
_YOUNG_MS = 86_400_000  # as the sweep of rows has it: what is written now is named in a moment

log = logging.getLogger(__name__)


class Damaged(Internal):
    """Raised for a value that its object store has lost or changed."""


@dataclass(slots=True)
class _Away:
    until: float = 0.0  # time.monotonic
    said: bool = False


class Outside:
    """Puts values above ``threshold`` bytes into a bucket, and gets them back. Without a bucket: nothing is there."""

    def __init__(
        self, executor: Executor, bucket: Bucket | None, *, threshold: int, cache: DiskCache | None = None
    ) -> None:
        self._executor = executor
        self._cache = cache
        self._bucket = bucket
        self._threshold = threshold
        self._away = _Away()
        # written, read; left: in the database, for it was away; away: could not be read; damaged: lost or changed
        self.counts: Counter[str] = Counter()
        self._home = ""  # what all our keys begin with

    @property
    def some(self) -> bool:
        """Whether there is an object store."""
        return self._bucket is not None

    async def start(self) -> None:
        """See that the object store can be used. Raises FailedPrecondition, Unavailable (it, or the database)."""
        if self._bucket is None:
            if await self._executor.read(_any_outside):
                raise FailedPrecondition(
                    "Some values of this database are in an object store, and POLYCALL_OBJECT_STORE_URL names none. "
                    "Set it to what it was.",
                    subject="object_store_url",
                    reason=Reason.STORE_UNAVAILABLE,
                )
            return
        # two installations may have one bucket: neither may take the other's objects for its own that nothing names
        self._home = await self._executor.write(home)
        try:
            await self._bucket.check()
        except BucketAway as error:
            raise Unavailable(
                f"The object store of POLYCALL_OBJECT_STORE_URL cannot be used: {error}. Check that it is there, and "
                "that its credentials may write, read, list and delete.",
                reason=Reason.STORE_UNAVAILABLE,
            ) from None

    # values

    def takes(self, size: int) -> bool:
        """Whether a value of that many bytes belongs into the object store."""
        return self._bucket is not None and size > self._threshold

    async def place(self, blob: Blob) -> Blob:
        """Return a blob as its row is to be written: with the key of its object, if it is there now."""
        if self._bucket is None or not self.takes(len(blob.data)):
            return blob
        found = await self._executor.single(_touch, blob.project_id, blob.digest)
        if found is not None:
            # a value that is there already stays where it is, and no sweep takes it for a day
            return replace(blob, data=b"", size=found.size, place=found.place) if found.place else blob
        if self._away.until > time.monotonic():
            self.counts["left"] += 1
            return blob
        project = quote(blob.project_id, safe="")
        key = f"{self._home}/{_BLOBS}/{project}/{blob.digest}-{secrets.token_hex(8)}"
        try:
            await self._bucket.put(key, blob.data)
        except BucketAway as error:
            self._away = _Away(time.monotonic() + _PAUSE_S, True)
            self.counts["left"] += 1
            log.error("the object store is away: what is new stays in the database: %s", error)
            return blob
        self.counts["written"] += 1
        if self._away.said:
            self._away = _Away()
            log.warning("the object store takes values again")
        return replace(blob, data=b"", size=len(blob.data), place=key)

    async def value(self, found: Value, *, kept: bool = False) -> bytes:
        """Return a value that was read; ``kept``: from this server's disk, if it is there. Raises Damaged, Unavailable.

        For sources, which are read again and again; what runs were given and returned does not lie about on disks.
        """
        if not isinstance(found, Elsewhere):
            return found
        cache = self._cache if kept else None
        if cache is not None and (data := await asyncio.to_thread(cache.get, found.digest)) is not None:
            return data
        try:
            data = await self._get(found.place, found.size)
            if len(data) != found.size or await asyncio.to_thread(_digest, data) != found.digest:
                log.error("object %s is not what was written", found.place)
                raise _damaged(found.digest)
        except Damaged:
            self.counts["damaged"] += 1
            raise
        except Unavailable:
            self.counts["away"] += 1
            raise
        self.counts["read"] += 1
        if cache is not None:
            await asyncio.to_thread(cache.put, found.digest, data)
        return data

    async def discard(self, places: Sequence[str]) -> None:
        """Delete objects whose rows are gone. What cannot be deleted now, a later sweep takes.

        But for those of the database that this one is a copy of: its rows may name them.
        """
        mine = [place for place in places if place.startswith(f"{self._home}/")]
        if self._bucket is None or not mine:
            return
        try:
            await self._bucket.delete(mine)
        except BucketAway as error:
            log.warning("%d objects that nothing names are deleted later: %s", len(mine), error)

    async def sweep(self) -> int:
        """Delete objects that are a day old and that no row names; return how many. Raises Unavailable."""
        if self._bucket is None:
            return 0
        deleted = 0
        try:
            for part, named in ((_BLOBS, _named_places), (ENVIRONMENTS, _named_uploads)):
                async for chunk in self._bucket.list(f"{self._home}/{part}/"):
                    old = [one.key for one in chunk if one.modified_at < now_ms() - _YOUNG_MS]
                    names = {key: key if part == _BLOBS else key.split("/")[-2] for key in old}
                    known = await self._executor.read(named, sorted(set(names.values())))
                    gone = [key for key, name in names.items() if name not in known]
                    await self._bucket.delete(gone)
                    deleted += len(gone)
        except BucketAway as error:
            raise _away(error) from None
        return deleted

    # pieces of environments

    async def put_piece(self, upload: str, seq: int, data: bytes) -> bool:
        """Write a piece of an environment; False: there is no object store, or it does not take it."""
        if self._bucket is None:
            return False
        try:
            await self._bucket.put(self._piece(upload, seq), data)
        except BucketAway as error:
            log.error("the object store is away: an environment stays in the database: %s", error)
            return False
        return True

    async def piece(self, upload: str, seq: int, most: int) -> bytes | None:
        """Return a piece, None if there is none. Raises Unavailable."""
        if self._bucket is None:
            return None
        try:
            return await self._bucket.get(self._piece(upload, seq), most)
        except ObjectLost:
            return None
        except BucketAway as error:
            raise _away(error) from None

    async def discard_pieces(self, upload: str, pieces: int) -> None:
        """Delete the pieces of an upload."""
        await self.discard([self._piece(upload, seq) for seq in range(pieces)])

    # within

    def _piece(self, upload: str, seq: int) -> str:
        return f"{self._home}/{ENVIRONMENTS}/{upload}/{seq}"

    async def _get(self, place: str, size: int) -> bytes:
        if self._bucket is None:  # it had one when this was written
            raise _away(BucketAway("POLYCALL_OBJECT_STORE_URL names none"))
        try:
            return await self._bucket.get(place, size)
        except ObjectLost as error:
            log.error("object %s: %s", place, error)
            raise _damaged(place.rpartition("/")[2].partition("-")[0]) from None
        except BucketAway as error:
            raise _away(error) from None


def _away(error: BucketAway) -> Unavailable:
    log.warning("the object store is away: %s", error)
    return Unavailable(
        "The object store, where this value is, cannot be reached right now. Retry in a moment.",
        reason=Reason.STORE_UNAVAILABLE,
    )


def _damaged(digest: str) -> Damaged:
    return Damaged(f"A stored value (sha256 {digest[:12]}...) was lost or damaged in the object store.")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _any_outside(conn: sa.Connection) -> bool:
    return conn.execute(sa.select(sa.literal(1)).where(blobs.c.place.is_not(None)).limit(1)).first() is not None


def _touch(conn: sa.Connection, project_id: str, digest: str) -> sa.Row[tuple[str | None, int]] | None:
    same = sa.and_(blobs.c.project_id == project_id, blobs.c.sha256 == digest)
    return conn.execute(
        sa.update(blobs).where(same).values(touched_at=db_now()).returning(blobs.c.place, blobs.c.size)
    ).first()


def _named_places(conn: sa.Connection, keys: Iterable[str]) -> frozenset[str]:
    found = sa.select(blobs.c.place).where(blobs.c.place.in_(list(keys)), blobs.c.place.is_not(None))
    return frozenset(place for place in conn.execute(found).scalars() if place is not None)


def _named_uploads(conn: sa.Connection, uploads: Iterable[str]) -> frozenset[str]:
    found = sa.select(environments.c.upload).where(environments.c.upload.in_(list(uploads)))
    return frozenset(upload for upload in conn.execute(found).scalars() if upload is not None)
