"""Object stores by URL: ``s3://``, ``gs://``, ``az://``, ``file://``, through obstore."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from polycall.domain import Reason
from polycall.errors import FailedPrecondition
from polycall.store.bucket import BucketAway, Listed, ObjectLost
from polycall.store.bucket_directory import delete_file, listed_files

try:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, ObjectStore, from_url
except ImportError:
    raise FailedPrecondition(
        "An object store needs obstore; install it with `pip install 'polycall[objects]'`, or unset "
        "POLYCALL_OBJECT_STORE_URL.",
        subject="object_store_url",
        reason=Reason.STORE_UNAVAILABLE,
    ) from None

__all__ = ["ObstoreBucket"]

# A request that hangs is tried again, and whoever waits is told within the last of these.
_CONNECT_S, _REQUEST_S, _ALL_S = 5, 30, 45.0
# Who writes can do without, so it is given up sooner: whoever waits for a Call to be accepted does not wait for long.
_PUT_S, _PUT_RATE = 10.0, 4 << 20  # bytes a second, a tenth of what object stores take
_RETRIES = 3
_AT_ONCE = 8  # deletions; some object stores take them one by one only
# With options of our own, the client does not read this one of its variables any more.
_ALLOW_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
_LISTED = 500
_LONGEST = 300  # characters of what an object store says


class ObstoreBucket:
    """See ``polycall.store.bucket.Bucket``."""

    def __init__(self, url: str) -> None:
        """Raises FailedPrecondition: the URL, or what the environment says of credentials, cannot be used."""
        self.name = url
        self._directory: Path | None = None
        try:
            if urlsplit(url).scheme == "file":
                self._directory = Path(unquote(urlsplit(url).path))
                # what is in it is nobody else's business
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._store: ObjectStore = LocalStore(self._directory)
            else:
                self._store = from_url(
                    url,
                    client_options={
                        "connect_timeout": timedelta(seconds=_CONNECT_S),
                        "timeout": timedelta(seconds=_REQUEST_S),
                        "allow_http": os.environ.get(_ALLOW_HTTP.get(urlsplit(url).scheme, ""), "") in ("true", "1"),
                    },
                    retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_REQUEST_S)},
                )
        except (BaseError, OSError, ValueError, TypeError) as error:
            raise FailedPrecondition(
                f"The object store {url} cannot be used: {_words(error)}. Check POLYCALL_OBJECT_STORE_URL and the "
                "variables that its provider's tools read, such as AWS_REGION and AWS_ACCESS_KEY_ID.",
                subject="object_store_url",
                reason=Reason.STORE_UNAVAILABLE,
            ) from None

    async def check(self) -> None:
        """Write, read, list and delete an object. Raises BucketAway."""
        key, data = f"check/{secrets.token_hex(8)}", secrets.token_bytes(16)
        await self.put(key, data)
        try:
            found = await self.get(key, len(data))
        except ObjectLost as error:
            raise BucketAway(f"it lost what was written a moment ago: {error}") from None
        if found != data:
            raise BucketAway("it returned something else than what was written")
        async for _ in self.list("check/"):  # or nothing that is left behind would ever be found
            break
        await self.delete([key])

    async def put(self, key: str, data: bytes) -> None:
        """Write an object; it is safe when this returns. Raises BucketAway."""
        most_s = _PUT_S + len(data) / _PUT_RATE
        with _translated(most_s):
            async with asyncio.timeout(most_s):
                await obstore.put_async(self._store, key, data)
                if self._directory is not None:
                    await asyncio.to_thread(_sync, self._directory / key, self._directory)

    async def get(self, key: str, most: int) -> bytes:
        """Return an object of at most so many bytes. Raises ObjectLost, BucketAway."""
        with _translated():
            async with asyncio.timeout(_ALL_S):
                try:
                    found = await obstore.get_async(self._store, key)
                except FileNotFoundError:
                    raise ObjectLost("it is not there") from None
                if found.meta["size"] > most:
                    raise ObjectLost(f"it has {found.meta['size']} bytes instead of {most}")
                data = bytearray()
                async for chunk in found.stream():
                    data += chunk
                    if len(data) > most:  # whatever it has announced
                        raise ObjectLost(f"it has more than {most} bytes")
                return bytes(data)

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there do no harm. Raises BucketAway."""
        with _translated():
            for start in range(0, len(keys), _AT_ONCE):
                async with asyncio.timeout(_ALL_S):
                    await asyncio.gather(*(self._delete(key) for key in keys[start : start + _AT_ONCE]))

    async def list(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        """Yield the objects whose keys begin with a prefix, some at a time. Raises BucketAway."""
        if self._directory is not None:
            files = listed_files(self._directory, prefix)
            while True:
                with _translated():
                    found = await asyncio.to_thread(list, islice(files, _LISTED))
                if not found:
                    return
                yield found
        stream = obstore.list(self._store, prefix, chunk_size=_LISTED)
        while True:
            with _translated():
                async with asyncio.timeout(_ALL_S):
                    chunk = await anext(stream, None)
            if chunk is None:
                return
            yield [Listed(meta["path"], int(meta["last_modified"].timestamp() * 1000)) for meta in chunk]

    async def _delete(self, key: str) -> None:
        if self._directory is not None:
            await asyncio.to_thread(delete_file, self._directory, key)
            return
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return


@contextmanager
def _translated(most_s: float | None = None) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise BucketAway(f"it did not answer within {most_s or _ALL_S:.1f} s") from None
    except (BaseError, OSError) as error:
        raise BucketAway(_words(error)) from None


def _words(error: Exception) -> str:
    """Return what an object store says, without the internals that follow it."""
    return str(error).partition("\n")[0].strip().rstrip(".")[:_LONGEST]


def _sync(file: Path, top: Path) -> None:
    # a local store writes and renames, and leaves it to the machine when that is on disk
    for path in (file, *(parent for parent in file.parents if parent == top or top in parent.parents)):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
