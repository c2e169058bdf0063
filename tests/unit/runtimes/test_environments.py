"""Environments on disk are whole, or not there."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from polycall.runtimes.environments import Environments


def filled(path: Path) -> None:
    path.mkdir()
    (path / "file").write_text("x")


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_one_that_could_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        filled(path)
        raise OSError("disk full")

    environments = Environments(tmp_path / "all")
    with pytest.raises(OSError, match="disk full"):
        environments.add("one", half)
    assert names(tmp_path / "all") == []
    assert not environments.has("one")


def test_two_that_make_the_same_at_once_get_the_same(tmp_path: Path) -> None:
    environments, barrier = Environments(tmp_path), threading.Barrier(2)
    made: list[Path] = []

    def slow(path: Path) -> None:
        filled(path)
        barrier.wait(10)

    threads = [threading.Thread(target=lambda: made.append(environments.add("one", slow))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [tmp_path / "one"] * 2
    assert names(tmp_path) == ["one"]


def test_a_sweep_takes_what_is_not_used_and_what_was_not_finished(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "all")
    environments.sweep(lambda name: False)  # nothing is there yet
    for name in ("used", "old"):
        environments.add(name, filled)
    (tmp_path / "all" / ".unfinished-killed").mkdir()
    environments.sweep(lambda name: name == "used")
    assert names(tmp_path / "all") == ["used"]


def test_what_is_on_a_disk_that_cannot_be_written_any_more_is_still_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    environments = Environments(tmp_path)
    environments.add("one", filled)
    monkeypatch.setattr(os, "utime", read_only)
    assert environments.touch("one")
    assert not environments.touch("two")


def sized(environments: Environments, name: str, size: int, age_s: float) -> str:
    digest = name * 64

    def fill(path: Path) -> None:
        path.mkdir()
        (path / "file").write_bytes(bytes(size))

    then = time.time() - age_s
    os.utime(environments.add(digest, fill), (then, then))
    return digest


def test_room_is_made_of_what_was_not_used_for_longest_and_can_be_had_again(tmp_path: Path) -> None:
    environments = Environments(tmp_path)
    used, kept, older, oldest = (
        sized(environments, name, 100, age_s) for name, age_s in (("a", 1), ("b", 9000), ("c", 2000), ("d", 3000))
    )
    spare = {used, older, oldest}
    assert environments.make_room(100, 500, spare=spare, idle_s=900)
    assert names(tmp_path) == [used, kept, older, oldest]
    assert environments.make_room(100, 499, spare=spare, idle_s=900)
    assert names(tmp_path) == [used, kept, older]
    assert not environments.make_room(400, 500, spare=spare, idle_s=900)
    assert names(tmp_path) == [used, kept]
    assert environments.touch(kept)
    assert time.time() - environments.path(kept).stat().st_mtime < 60
    assert not environments.touch(older)
    environments.remove(kept)
    environments.remove(older)
    assert names(tmp_path) == [used]
