"""polycall.engine.archive."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.engine import archive
from polycall.engine.archive import MOST_BYTES, MOST_FILES, read_zip, source_files
from polycall.errors import FieldViolation, InvalidArgument


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        for path, data in entries:
            target.writestr(path, data)
    return stream.getvalue()


def refusal(act: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as caught:
        act()
    return [(violation.field, violation.description) for violation in caught.value.violations]


def test_files_come_out_as_they_went_in() -> None:
    data = zipped(("main.py", b"x"), ("pkg/mod.py", b"y" * 100_000), ("empty", b""))
    assert read_zip(data) == {"main.py": b"x", "pkg/mod.py": b"y" * 100_000, "empty": b""}


def test_folders_are_left_out_and_a_leading_dot_slash_taken_off() -> None:
    assert read_zip(zipped(("./", b""), ("./pkg/", b""), ("./pkg/a.py", b"1"), ("pkg/sub/", b""))) == {"pkg/a.py": b"1"}


@pytest.mark.parametrize(
    ("path", "description"),
    [
        ("/etc/passwd", "'/etc/passwd' must be relative"),
        ("../main.py", "'../main.py' must not contain '..'"),
        ("a/../../b", "'a/../../b' must not contain '..'"),
        ("a\\b.py", "'a\\\\b.py' must separate folders by `/`"),
        ("C:\\b.py", "'C:\\\\b.py' must separate folders by `/`"),
        ("a//b", "'a//b' must not contain empty or '.' segments"),
        ("a/./b", "'a/./b' must not contain empty or '.' segments"),
        ("../x/", "'../x/' must not contain '..'"),
        ("n" * 256, f"'{'n' * 100}' must not have a segment longer than 255 bytes"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str, description: str) -> None:
    assert refusal(lambda: read_zip(zipped((path, b"x")))) == [("zip", description)]


def test_a_name_with_a_nul_is_refused_not_cut() -> None:
    data = zipped(("main.pyZx", b"x")).replace(b"main.pyZx", b"main.py\0x")
    assert refusal(lambda: read_zip(data)) == [("zip", "'main.py\\x00x' must not contain NUL")]


def test_the_same_path_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("a.py", b"1"), ("a.py", b"2"))
    assert refusal(lambda: read_zip(data)) == [("zip", "'a.py' is there twice")]
    assert refusal(lambda: read_zip(zipped(("a.py", b"1"), ("./a.py", b"2")))) == [("zip", "'a.py' is there twice")]


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    data = zipped(("a", b"1"), ("a-b", b"2"), ("a/b", b"3"))
    assert refusal(lambda: read_zip(data)) == [("zip", "'a' is both a file and a folder")]


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        (stat.S_IFLNK, "'a' is a link"),
        (stat.S_IFIFO, "'a' is not a regular file"),
        (stat.S_IFCHR, "'a' is not a regular file"),
    ],
)
def test_links_and_devices_are_refused(kind: int, description: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        entry = zipfile.ZipInfo("a")
        entry.external_attr = (kind | 0o777) << 16
        target.writestr(entry, b"/etc/passwd")
    assert refusal(lambda: read_zip(stream.getvalue())) == [("zip", description)]


def test_an_encrypted_entry_is_refused() -> None:
    data = bytearray(zipped(("a", b"x"), method=zipfile.ZIP_STORED))
    data[6] |= 1  # the flags in the local header, and in the central directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert refusal(lambda: read_zip(bytes(data))) == [("zip", "'a' is encrypted")]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method: int) -> None:
    assert refusal(lambda: read_zip(zipped(("a", b"x"), method=method))) == [
        ("zip", "'a' is compressed by another method than deflate")
    ]


def test_a_bomb_is_stopped_at_the_limit() -> None:
    data = zipped(("a", bytes(MOST_BYTES // 2 + 1)), ("b", bytes(MOST_BYTES // 2)))
    assert len(data) < 100_000
    assert refusal(lambda: read_zip(data)) == [("zip", f"unpacks to more than {MOST_BYTES} bytes")]


def test_an_archive_that_lies_about_its_sizes_is_refused() -> None:
    data = bytearray(zipped(("a", bytes(100_000))))
    at = data.index(b"PK\x01\x02") + 24  # uncompressed size
    data[at : at + 4] = struct.pack("<I", 10)
    assert refusal(lambda: read_zip(bytes(data))) == [("zip", "is not a readable zip archive")]


def test_too_many_files_are_refused() -> None:
    data = zipped(*((f"f{i}", b"") for i in range(MOST_FILES + 1)), method=zipfile.ZIP_STORED)
    assert refusal(lambda: read_zip(data)) == [("zip", f"has {MOST_FILES + 1} files; at most {MOST_FILES}")]


def test_entries_are_counted_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_MOST_ENTRIES", 2)
    data = zipped(("a", b""), ("b", b""), ("c", b""))
    assert refusal(lambda: read_zip(data, "field")) == [("field", "has more than 2 entries")]


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"no zip at all", zipped(("a", b"x"))[:-5], b"PK\x05\x06" + bytes(18)[:10]]
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    assert refusal(lambda: read_zip(data)) == [("zip", "is not a readable zip archive")]


SAMPLE = zipped(("main.py", b"def f(): ...\n" * 20), ("pkg/", b""), ("pkg/a.py", b"1"))


@given(st.data())
def test_a_damaged_archive_is_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        files = read_zip(bytes(damaged))
    except InvalidArgument:
        return
    assert sum(map(len, files.values())) <= MOST_BYTES


@given(st.binary(max_size=300))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    for start in (b"", b"PK\x03\x04", b"PK\x05\x06"):
        try:
            read_zip(start + data)
        except InvalidArgument:
            continue


def test_source_files_are_checked_with_their_index() -> None:
    files = [("a.py", b"1"), ("/x", b""), ("a.py", b"2"), ("", b""), ("a\\b", b""), ("d", b""), ("d/e", b"")]
    assert refusal(lambda: source_files(files)) == [
        ("files.files[1].path", "must be relative"),
        ("files.files[2].path", "is given twice"),
        ("files.files[3].path", "must not be empty"),
        ("files.files[4].path", "must separate folders by `/`"),
        ("files.files", "'d' is both a file and a folder"),
    ]


def test_source_files_come_out_by_path() -> None:
    assert source_files([("b.py", b"1"), ("a/c.py", b"2")]) == {"b.py": b"1", "a/c.py": b"2"}


def test_deep_paths_cost_no_more_than_their_length() -> None:
    deep = "/".join("a" * 63)
    files = source_files((f"{i}/{deep}", b"") for i in range(2000))
    assert len(files) == 2000
    assert refusal(lambda: source_files([(f"x/{deep}/b", b"")])) == [
        ("files.files[0].path", "must not be nested deeper than 64 segments")
    ]
    with pytest.raises(InvalidArgument) as caught:
        source_files([*((f"{i}/{deep}", b"") for i in range(10)), ("3", b"")])
    assert caught.value.violations == (FieldViolation("files.files", "'3' is both a file and a folder"),)
