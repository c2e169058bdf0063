"""Environments come from a sandbox: whatever is in them, nothing is written but files below the directory."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polycall.runtimes.unpacking import BadEnvironment, Unpacker

END, FILE, EXECUTABLE, LINK = range(4)


def entry(kind: int, path: str | bytes, data: bytes = b"", size: int | None = None) -> bytes:
    encoded = path if isinstance(path, bytes) else path.encode()
    return struct.pack("<BHQ", kind, len(encoded), len(data) if size is None else size) + encoded + data


def archive(*entries: bytes) -> bytes:
    return b"".join(entries) + entry(END, "")


def unpack(root: Path, data: bytes, *, piece: int = 1 << 16, most_bytes: int = 1000, most_files: int = 20) -> Unpacker:
    unpacker = Unpacker(root, most_bytes=most_bytes, most_files=most_files)
    try:
        for start in range(0, len(data), piece):
            unpacker.feed(data[start : start + piece])
        unpacker.finish()
    finally:
        unpacker.close()
    return unpacker


@pytest.mark.parametrize("piece", [1, 7, 1 << 16])
def test_files_programs_and_links_come_out_as_they_went_in(tmp_path: Path, piece: int) -> None:
    root = tmp_path / "env"
    data = archive(
        entry(FILE, "a/b/c.py", b"x = 1"),
        entry(FILE, "empty"),
        entry(EXECUTABLE, "bin/run", b"#!"),
        entry(LINK, "a/link", b"../bin/run"),
        entry(LINK, "whole", b"a/b"),
    )
    done = unpack(root, data, piece=piece)
    assert (root / "a/b/c.py").read_bytes() == b"x = 1"
    assert (root / "empty").read_bytes() == b""
    assert (root / "a/link").read_bytes() == b"#!"
    modes = {path.name: path.lstat().st_mode & 0o7777 for path in root.rglob("*") if not path.is_symlink()}
    assert modes == {"a": 0o755, "b": 0o755, "c.py": 0o644, "empty": 0o644, "bin": 0o755, "run": 0o755}
    assert (done.files, done.bytes) == (8, 5 + 2 + 10 + 3)  # folders count as files


DEEP = "/".join("d" * 65)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        *(
            ([entry(FILE, path, b"x")], "it has the path")
            for path in ("/etc/x", "../x", "a/../../x", "a//b", "./a", "a/.", "", "a/", "n" * 256, "a\0b", DEEP)
        ),
        ([entry(FILE, b"\xff", b"x")], "not UTF-8"),
        ([entry(FILE, "a", b"x"), entry(FILE, "a", b"y")], "'a' twice"),
        ([entry(FILE, "a", b"x"), entry(FILE, "a/b", b"y")], "below a file"),
        ([entry(FILE, "a/b", b"x"), entry(FILE, "a", b"y")], "'a' twice"),
        ([entry(LINK, "a", b"b"), entry(FILE, "a/x", b"y")], "below a link"),
        ([entry(LINK, "a", b"b"), entry(LINK, "a", b"c")], "'a' twice"),
        ([entry(LINK, "a", b"/etc")], "leads out"),
        ([entry(LINK, "a", b"..")], "leads out"),
        ([entry(LINK, "a/b", b"../../x")], "leads out"),
        ([entry(LINK, "a", b"")], "leads out"),
        ([entry(LINK, "a", b"x\0y")], "leads out"),
        # each stays inside by its letters; through the other it does not
        ([entry(LINK, "d/up", b".."), entry(LINK, "e", b"d/up/../x")], "leads out"),
        ([entry(LINK, "x/1", b"."), entry(LINK, "y", b"x/1/../../z")], "leads out"),
        # an hour to follow, each of them from its own place on
        (
            [*(entry(LINK, f"{n:02}", b"%02d" % (n + 1)) for n in range(19)), entry(LINK, "19", b"00")],
            "too many others",
        ),
        ([entry(LINK, "a", b"\xff")], "not UTF-8"),
        ([entry(LINK, "a", b"x" * 5000)], "too long"),
        *(([entry(kind, "a", b"x")], "an entry that is none") for kind in (4, 5, 255)),
        ([struct.pack("<BHQ", FILE, 65535, 0)], "an entry that is none"),
        ([entry(FILE, "a", b"x" * 600), entry(FILE, "b", b"x" * 600)], "more than 0 MiB"),
        ([entry(FILE, "huge", b"", size=1 << 62)], "more than 0 MiB"),
        ([entry(FILE, f"f{number}") for number in range(21)], "more than 20 files"),
        ([entry(FILE, f"{number}/f") for number in range(11)], "more than 20 files"),
        ([entry(END, ""), entry(FILE, "late", b"x")], "after its end"),
    ],
)
def test_what_is_no_environment_is_refused(tmp_path: Path, entries: list[bytes], why: str) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BadEnvironment, match=why):
        unpack(tmp_path / "env", archive(*entries))
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "env"]


@pytest.mark.parametrize("cut", [0, 5, 13, 16, 20, 24])
def test_one_that_ends_early_is_refused(tmp_path: Path, cut: int) -> None:
    whole = archive(entry(FILE, "file", b"content"))
    with pytest.raises(BadEnvironment, match="ends in the middle"):
        unpack(tmp_path / "env", whole[:cut])


# the fixture is for all examples, and how long they take is the machine's affair
UNFIT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=150, suppress_health_check=UNFIT, deadline=None)
@given(data=st.binary(max_size=300), number=st.integers(0, 1 << 60))
def test_bytes_of_any_kind_do_no_harm(tmp_path: Path, data: bytes, number: int) -> None:
    inside = tmp_path / f"{number}-{os.urandom(4).hex()}"
    inside.mkdir()
    with contextlib.suppress(BadEnvironment):
        unpack(inside / "env", data)
    assert [path.name for path in inside.iterdir()] == ["env"]
