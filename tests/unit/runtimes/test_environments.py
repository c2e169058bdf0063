"""Environments on disk are whole, or not there."""

from __future__ import annotations

import threading
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
