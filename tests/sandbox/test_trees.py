"""Measuring and removing what hostile code leaves on disk."""

from __future__ import annotations

import os
from pathlib import Path

from polycall.sandbox.disk import Disk
from polycall.sandbox.trees import measure, remove_tree


def test_a_tree_of_any_depth_and_kind_is_removed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    root.mkdir()
    home = os.getcwd()
    os.chdir(root)
    try:
        for depth in range(3000):
            Path("file").write_text("x")
            os.symlink(outside, "link")
            os.mkdir("d" * 200, 0o700)
            os.mkdir("other")
            os.chdir("d" * 200)
            if depth == 10:
                os.mkdir(".0.removing")
    finally:
        os.chdir(home)
    os.chmod(root / "other", 0)
    remove_tree(str(root))
    assert not root.exists()
    assert (outside / "kept").read_text() == "kept"


def test_what_does_not_exist_is_no_error(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "nothing"))


def test_a_tree_is_measured_up_to_a_bound_and_links_are_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"x" * 8192)
    os.symlink("/usr", root / "link")
    found = measure(str(root), Disk(1 << 30, 1000))
    assert found.files == 3
    assert 8192 <= found.bytes < 64 << 10
    assert measure(str(root), Disk(4096, 1000)).bytes > 4096
    for number in range(20):
        (root / str(number)).touch()
    assert measure(str(root), Disk(1 << 30, 10)).files == 11


def test_what_lies_too_deep_to_be_seen_is_too_much(tmp_path: Path) -> None:
    home = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(home)
    assert measure(str(tmp_path), Disk(1 << 30, 1000)).files == 1001
