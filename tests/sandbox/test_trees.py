"""Removing what hostile code left on disk."""

from __future__ import annotations

import os
from pathlib import Path

from polycall.sandbox.trees import remove_tree


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
