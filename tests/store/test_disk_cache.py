"""What is on this server's disk is what was written, within its bounds, or is not there."""

from __future__ import annotations

import hashlib
import os
import resource
import time
from pathlib import Path

import pytest

from polycall.store.disk_cache import DiskCache


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(cache: DiskCache, data: bytes) -> str:
    cache.put(digest(data), data)
    return digest(data)


def test_a_value_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", 1000)
    assert cache.get(digest(b"a")) is None
    assert DiskCache(tmp_path / "cache", 1000).get(put(cache, b"a")) == b"a"
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_what_was_read_longest_ago_goes_first_and_what_is_too_large_does_not_come_in(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 30)
    names = [put(cache, bytes([number]) * 10) for number in range(3)]
    for age, name in enumerate(reversed(names)):
        then = time.time() - 1000 * (age + 1)
        os.utime(tmp_path / name, (then, then))
    assert cache.get(names[0]) == bytes(10)
    put(cache, b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([names[0], names[2], digest(b"new")])
    assert cache.get(put(cache, bytes(31))) is None
    (tmp_path / ".unfinished-killed").write_bytes(bytes(30))  # by a server that was killed
    os.utime(tmp_path / ".unfinished-killed", (1, 1))
    assert cache.get(put(cache, b"newer")) == b"newer"
    assert not (tmp_path / ".unfinished-killed").exists()


@pytest.mark.parametrize("spoiled", [b"", b"B", b"bb"])
def test_what_was_spoiled_is_not_there(tmp_path: Path, spoiled: bytes) -> None:
    cache = DiskCache(tmp_path, 1000)
    name = put(cache, b"b")
    (tmp_path / name).write_bytes(spoiled)
    assert cache.get(name) is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_costs_nothing_but_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no directory")
    blocked = DiskCache(tmp_path / "file" / "cache", 1000)
    for _ in range(2):
        assert blocked.get(put(blocked, b"a")) is None
    assert caplog.text.count("cannot be used") == 1
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = DiskCache(tmp_path / "full", 1 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        name = put(full, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full.get(name) is None
    assert list((tmp_path / "full").iterdir()) == []
