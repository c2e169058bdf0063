"""The bootstrap key and the directory of the sockets."""

from __future__ import annotations

from pathlib import Path

import pytest

from polycall.datadir import kept_bootstrap_key, kept_encryption_key, make_data_dir, socket_directory
from polycall.errors import FailedPrecondition


def test_the_bootstrap_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    key, path = kept_bootstrap_key(tmp_path)
    assert path == tmp_path / "bootstrap.key"
    assert (path.read_text(), path.stat().st_mode & 0o777) == (f"{key}\n", 0o600)
    assert kept_bootstrap_key(tmp_path) == (key, path)
    assert [file.name for file in tmp_path.iterdir()] == ["bootstrap.key"]
    path.unlink()
    assert kept_bootstrap_key(tmp_path)[0] != key


def test_a_key_that_somebody_wrote_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "bootstrap.key").write_text("  mine \n")
    (tmp_path / "bootstrap.key").chmod(0o400)
    assert kept_bootstrap_key(tmp_path)[0] == "mine"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o666])
def test_a_key_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "bootstrap.key"
    path.write_text("secret")
    path.chmod(mode)
    with pytest.raises(FailedPrecondition) as refused:
        kept_bootstrap_key(tmp_path)
    assert str(refused.value) == (
        f"The bootstrap key in {path} can be read or changed by other users (mode {mode:03o}). Run "
        f"`chmod 600 {path}` if nobody has seen it. Delete the file to get a new key."
    )


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", "schlüssel".encode()])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bootstrap.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(FailedPrecondition, match="There is no bootstrap key in"):
        kept_bootstrap_key(tmp_path)


@pytest.mark.parametrize(("content", "mode"), [("secret", 0o640), ("", 0o600)])
def test_who_is_told_to_delete_the_encryption_key_is_told_what_that_costs(
    tmp_path: Path, content: str, mode: int
) -> None:
    path = tmp_path / "encryption.key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(FailedPrecondition) as refused:
        kept_encryption_key(tmp_path)
    assert str(refused.value).endswith(
        ". Put the right one back; or delete the file to get a new key, and give the credentials of all versions anew: "
        "they cannot be opened without the old one."
    )


def test_the_sockets_have_a_closed_directory_that_is_made_anew_and_goes(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run" / "server-0.sock").touch()
    with socket_directory(tmp_path) as directory:
        assert (directory, list(directory.iterdir())) == (tmp_path / "run", [])
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()


def test_the_sockets_go_elsewhere_where_the_path_is_too_long_for_them(tmp_path: Path) -> None:
    with socket_directory(tmp_path / ("d" * 100)) as directory:
        assert len(str(directory)) < 80
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()


def test_the_data_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    made = make_data_dir(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    assert make_data_dir(tmp_path / "a" / ".." / "a" / "b") == made
    (tmp_path / "file").touch()
    with pytest.raises(FailedPrecondition, match="Set POLYCALL_DATA_DIR to one that is writable"):
        make_data_dir(tmp_path / "file" / "x")
