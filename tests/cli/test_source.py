"""What is deployed is what was meant: files as they are, and nothing that was not asked for."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from polycall.cli import source
from polycall.cli.failures import Failure
from polycall.cli.manifest import MANIFEST, Manifest
from polycall.cli.source import Source, read_source
from polycall.cli.suffixes import language_of
from polycall.domain import Language


def refusal(path: Path) -> str:
    with pytest.raises(Failure) as caught:
        read_source(str(path))
    return caught.value.message


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        for name, data in files.items():
            written.writestr(name, data)
    return buffer.getvalue()


def test_a_file_keeps_its_name_for_tracebacks(tmp_path: Path) -> None:
    file = tree(tmp_path, {"prices.py": b"x = 1"}) / "prices.py"
    assert read_source(str(file)) == Source(name="prices", files={"prices.py": b"x = 1"})


def test_a_file_that_cannot_be_imported_by_its_name_becomes_main(tmp_path: Path) -> None:
    file = tree(tmp_path, {"my-prices.py": b"x = 1"}) / "my-prices.py"
    assert read_source(str(file)) == Source(name="my-prices", files={"main.py": b"x = 1"})


def test_a_directory_brings_its_files_without_hidden_and_built_ones(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "shop",
        {
            "main.py": b"a",
            "lib/tax.py": b"b",
            "data.json": b"{}",
            ".env": b"SECRET=1",
            ".git/config": b"",
            "__pycache__/main.cpython-311.pyc": b"",
            "lib/old.pyc": b"",
        },
    )
    assert read_source(str(root)) == Source(
        name="shop", files={"data.json": b"{}", "main.py": b"a", "lib/tax.py": b"b"}
    )


def test_a_manifest_is_read_and_not_deployed(tmp_path: Path) -> None:
    root = tree(tmp_path / "shop", {"main.py": b"a", MANIFEST: b'package = "till"'})
    assert read_source(str(root)) == Source(name="shop", files={"main.py": b"a"}, manifest=Manifest(package="till"))


def test_a_broken_manifest_is_named_with_its_place(tmp_path: Path) -> None:
    root = tree(tmp_path / "shop", {"main.py": b"a", MANIFEST: b"release = 1"})
    assert refusal(root) == f"{root / MANIFEST}: Expected `bool`, got `int` - at `release`."


@pytest.mark.parametrize("target", ["secret.txt", "secrets"])
def test_a_link_is_refused_because_it_could_bring_along_anything(tmp_path: Path, target: str) -> None:
    tree(tmp_path, {"secret.txt": b"s", "secrets/key": b"s"})
    root = tree(tmp_path / "shop", {"main.py": b"a"})
    (root / "link").symlink_to(tmp_path / target)
    assert refusal(root).startswith(f"{root / 'link'} is a symbolic link.")


def test_an_empty_directory_has_nothing_to_deploy(tmp_path: Path) -> None:
    tree(tmp_path, {MANIFEST: b'package = "p"', ".hidden": b""})
    assert refusal(tmp_path) == f"{tmp_path} has no files to deploy; hidden ones do not count."


def test_a_directory_that_is_too_large_is_noticed_before_it_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_MAX_FILES", 2)
    root = tree(tmp_path, {"a.py": b"", "b.py": b"", "c.py": b""})
    assert refusal(root).endswith("Is it the directory you meant?")
    monkeypatch.setattr(source, "_MAX_FILES", 100)
    monkeypatch.setattr(source, "_MAX_BYTES", 1 << 20)
    (root / "a.py").write_bytes(b"x" * (1 << 20 | 1))
    assert "1 MiB" in refusal(root)


def test_a_missing_path_says_so(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.py") == f"cannot read {tmp_path / 'none.py'}: No such file or directory."


def test_what_is_called_an_archive_and_is_none_is_not_taken_for_code(tmp_path: Path) -> None:
    tree(tmp_path, {"shop.zip": b"PK"})
    assert refusal(tmp_path / "shop.zip") == "shop is not a zip archive that can be read: File is not a zip file."


def test_an_archive_goes_as_it_is_with_the_manifest_in_it(tmp_path: Path) -> None:
    data = archive({"main.py": b"a", MANIFEST: b'package = "till"'})
    file = tree(tmp_path, {"shop.zip": data}) / "shop.zip"
    assert read_source(str(file)) == Source(name="shop", archive=data, manifest=Manifest(package="till"))


def test_an_archive_needs_no_manifest(tmp_path: Path) -> None:
    data = archive({"main.py": b"a"})
    file = tree(tmp_path, {"shop.zip": data}) / "shop.zip"
    assert read_source(str(file)) == Source(name="shop", archive=data)


def test_a_broken_archive_says_so(tmp_path: Path) -> None:
    file = tree(tmp_path, {"shop.zip": archive({"main.py": b"a"})[:-30]}) / "shop.zip"
    assert refusal(file).startswith("shop is not a zip archive that can be read: ")


@pytest.mark.parametrize(
    ("paths", "language"),
    [
        (["main.ts", "lib.js"], Language.TYPESCRIPT),
        (["main.py", "index.js"], Language.PYTHON),
        (["index.mjs", "lib/a.ts"], Language.JAVASCRIPT),
        (["handler.cjs", "README.md"], Language.JAVASCRIPT),
        (["a.js", "b.ts"], Language.PYTHON),
        (["lib/a.ts"], Language.PYTHON),
        ([], Language.PYTHON),
    ],
)
def test_the_names_of_files_say_the_language(paths: list[str], language: Language) -> None:
    assert language_of(paths) is language


def test_a_script_keeps_a_name_that_python_could_not_import(tmp_path: Path) -> None:
    file = tree(tmp_path, {"my-prices.mts": b"export {}"}) / "my-prices.mts"
    assert read_source(str(file)) == Source(
        name="my-prices", files={"my-prices.mts": b"export {}"}, language=Language.TYPESCRIPT
    )
