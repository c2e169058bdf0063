"""An environment is the same archive wherever it is packed, and comes out as it went in, or not at all."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path

import pytest

from polycall.runtimes.packing import PIECE_BYTES, Packing, Receiving, archive_digest
from polycall.runtimes.unpacking import BadEnvironment


def environment(root: Path) -> Path:
    root.mkdir()
    (root / "lib").mkdir()
    (root / "lib" / "module.py").write_text("X = 1\n")
    (root / "lib" / "empty").write_bytes(b"")
    (root / "noise.bin").write_bytes(os.urandom(2 * PIECE_BYTES + 7))
    (root / "program").write_text("#!/bin/sh\n")
    (root / "program").chmod(0o755)
    (root / "same.py").symlink_to("lib/module.py")
    (root / "folder").symlink_to("lib")
    return root


def received(root: Path, pieces: list[bytes], packing: Packing, **changes: int) -> None:
    announced = {"data_bytes": packing.data_bytes, "file_count": packing.file_count, **changes}
    receiving = Receiving(root, **announced)
    try:
        for piece in pieces:
            receiving.feed(piece)
        receiving.finish(packing.archive)
    finally:
        receiving.close()


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Packing, list[bytes]]:
    packing = Packing(environment(tmp_path / "made"))
    return packing, list(packing.pieces())


def test_what_is_unpacked_is_what_was_packed(tmp_path: Path, packed: tuple[Packing, list[bytes]]) -> None:
    packing, pieces = packed
    assert [len(piece) for piece in pieces[:-1]] == [PIECE_BYTES] * (len(pieces) - 1)
    assert (packing.pieces_made, packing.size_bytes) == (len(pieces), sum(map(len, pieces)))
    received(tmp_path / "there", pieces, packing)
    for name in ("lib/module.py", "lib/empty", "noise.bin", "program"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "made" / name).read_bytes()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "there").iterdir() if path.is_file()}
    assert modes == {"noise.bin": 0o644, "program": 0o755, "same.py": 0o644}
    links = {path.name: str(path.readlink()) for path in (tmp_path / "there").iterdir() if path.is_symlink()}
    assert links == {"same.py": "lib/module.py", "folder": "lib"}
    assert archive_digest(tmp_path / "there") == archive_digest(tmp_path / "made") == packing.archive


def test_the_archive_says_nothing_of_when_and_by_whom_it_was_made(tmp_path: Path) -> None:
    root = environment(tmp_path / "made")
    before = archive_digest(root)
    os.utime(root / "noise.bin", (1, 1))
    (root / "noise.bin").chmod(0o600)
    assert archive_digest(root) == before
    (root / "lib" / "module.py").write_text("X = 2\n")
    assert archive_digest(root) != before


def test_what_was_changed_on_its_way_is_refused(tmp_path: Path, packed: tuple[Packing, list[bytes]]) -> None:
    packing, pieces = packed
    damaged = bytearray(pieces[1])
    damaged[len(damaged) // 2] ^= 1
    for number, (changed, announced) in enumerate(
        [
            ([pieces[0], bytes(damaged), *pieces[2:]], {}),
            (pieces[:-1], {}),
            ([*pieces, b"more"], {}),
            ([b"no archive at all"], {}),
            ([], {}),
            (pieces, {"data_bytes": packing.data_bytes - 1}),
            (pieces, {"file_count": packing.file_count - 1}),
        ]
    ):
        with pytest.raises(BadEnvironment):
            received(tmp_path / str(number), changed, packing, **announced)


def test_another_archive_under_the_same_name_is_refused(tmp_path: Path, packed: tuple[Packing, list[bytes]]) -> None:
    packing, pieces = packed
    packing.archive = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(BadEnvironment, match="not what was packed"):
        received(tmp_path / "there", pieces, packing)


def test_a_bomb_ends_where_it_is_larger_than_announced(tmp_path: Path, packed: tuple[Packing, list[bytes]]) -> None:
    packing, _ = packed
    head = (1).to_bytes(1, "little") + (1).to_bytes(2, "little") + (1 << 30).to_bytes(8, "little") + b"x"
    bomb = zlib.compress(head + bytes(64 << 20), 9)
    with pytest.raises(BadEnvironment, match="more than"):
        received(tmp_path / "there", [bomb], packing)
    assert not (tmp_path / "there" / "x").exists()
