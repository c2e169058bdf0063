"""An export is as hostile as anything else that comes from outside: what is wrong with it is said, and goes nowhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.importing import domo, riza, xpander
from polycall.cli.importing import export as export_module
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds

TOOL = {"id": "t", "code": "def execute(input): return 1", "language": "python", "name": "n", "revision_id": "r"}
PACKAGE: dict[str, Any] = {"id": "p", "name": "n", "language": "PYTHON", "versions": []}
VERSION: dict[str, Any] = {"version": "1.0.0", "code": "def f(): pass", "functions": []}
ITEM = {"id": "f", "name": "n", "source_code": "def xpander_run_action(): return 1"}


def read(reader: Callable[[Export], Finds], folder: Path, **files: object) -> Finds:
    """Write files and read them as an export."""
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / f"{name}.json").write_bytes(data)
    return reader(Export(folder))


def remarks(finds: Finds) -> list[tuple[str, str, str]]:
    assert all(remark.refused for remark in finds.remarks)
    return [(remark.kind, remark.id, remark.text) for remark in finds.remarks]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not what the vendor's contract says: Input data was truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"tools":{}}', "Expected `array`, got `object` - at `$.tools`"),
        (b'{"tools":[{"id":1}]}', "Expected `str`, got `int` - at `$.tools[0].id`"),
        (b'{"tools":[{"id":"t"}]}', "missing required field `code`"),
        (b'{"tools":[{"id":"\xff"}]}', "is not what the vendor's contract says"),
        (b'{"x":' + b"[" * 100_000, "is nested too deeply"),
    ],
    ids=["empty", "list", "object", "number", "missing", "no utf-8", "deep"],
)
def test_what_is_not_of_the_contract_is_refused_with_its_place(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(Failure) as caught:
        read(riza.read, tmp_path, tools=content)
    assert caught.value.message.startswith(str(tmp_path / "tools.json"))
    assert why in caught.value.message
    assert caught.value.code is Exit.USAGE


def test_a_folder_of_something_else_is_no_export(tmp_path: Path) -> None:
    for reader, name in ((riza.read, "tools"), (domo.read, "packages"), (xpander.read, "custom_functions")):
        with pytest.raises(Failure, match=rf"has no {name}\.json: is it an export of this vendor\?"):
            reader(Export(tmp_path))


def test_what_leads_out_of_the_folder_or_is_no_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "tools.json").symlink_to("/etc/hostname")
    with pytest.raises(Failure, match=r"cannot read .*tools\.json: Too many levels of symbolic links"):
        riza.read(Export(tmp_path))
    (tmp_path / "tools.json").unlink()
    os.mkfifo(tmp_path / "tools.json")
    with pytest.raises(Failure, match="is not a plain file"):
        riza.read(Export(tmp_path))


def test_files_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(Failure, match="has more than 1 MiB: too much") as caught:
        Export(tmp_path).read("x", 1 << 20)
    assert caught.value.code is Exit.LIMIT
    monkeypatch.setattr(export_module, "_MOST_EXPORT_BYTES", 10)
    export = Export(tmp_path)
    export.write("a", bytes(10))
    with pytest.raises(Failure, match="sends more than"):
        export.write("b", bytes(1))


def test_tools_that_cannot_be_here_stay_behind_with_a_reason(tmp_path: Path) -> None:
    tools = [
        TOOL | {"id": ".."},
        TOOL | {"id": "a" * 129},
        TOOL,
        TOOL,
        TOOL | {"id": "ruby", "language": "ruby"},
        TOOL | {"id": "revision", "revision_id": "-"},
        TOOL | {"id": "runtime", "runtime_revision_id": "gone"},
        TOOL | {"id": "schema", "input_schema": [1]},
        TOOL | {"id": "null", "input_schema": None, "description": None, "unknown": 1},
    ]
    finds = read(riza.read, tmp_path, tools={"tools": tools})
    rule = "must be 1 to 128 characters, no control characters, and not `.`, `..` or `-`."
    assert remarks(finds) == [
        ("tool", "..", f"its id {rule}"),
        ("tool", "a" * 129, f"its id {rule}"),
        ("tool", "t", "the export has it twice; the first is taken."),
        ("tool", "ruby", "it is written in 'ruby'; polycall runs python, javascript, typescript."),
        ("tool", "revision", f"its revision_id {rule}"),
        ("tool", "runtime", "its runtime revision 'gone' is not in the export, or was not built there."),
        ("tool", "schema", "its input_schema is no JSON Schema, which is an object."),
    ]
    assert [found.package.id for found in finds.packages] == ["null", "t"]


def test_runtimes_come_with_what_was_built_for_their_language(tmp_path: Path) -> None:
    runtime = {"id": "rt", "language": "python", "name": "n"}
    revision = {"id": "r", "runtime_id": "rt", "status": "succeeded"}
    files = {
        "tools": {"tools": []},
        "runtimes": {"runtimes": [runtime, runtime | {"id": "x", "language": "cobol"}]},
        "revisions": {"revisions": [revision | {"manifest_file": {"name": "package.json", "contents": "{}"}}]},
    }
    assert remarks(read(riza.read, tmp_path, **files)) == [
        ("revision", "r", "its manifest is 'package.json'; for python it must be requirements.txt."),
        ("runtime", "x", "it is written in 'cobol'; polycall runs python, javascript, typescript."),
    ]


def test_domo_packages_that_cannot_be_here_stay_behind_with_a_reason(tmp_path: Path) -> None:
    packages = [
        PACKAGE | {"id": "a/b"},
        PACKAGE | {"id": "r", "language": "R"},
        PACKAGE
        | {
            "versions": [
                VERSION,
                VERSION,
                VERSION | {"version": "1.0.1", "code": None},
                VERSION | {"version": "1.0.2", "language": "JavaScript"},
            ]
        },
    ]
    assert remarks(read(domo.read, tmp_path, packages=packages)) == [
        ("package", "a/b", "its id has a `/`."),
        ("package", "r", "it is written in 'R'; polycall runs Python and JavaScript packages."),
        ("version", "p 1.0.0", "the export has it twice; the first is taken."),
        ("version", "p 1.0.1", "the export has no code of it: was it asked for with parts=code?"),
        ("version", "p 1.0.2", "it is written in JavaScript, its package in PYTHON."),
    ]


@pytest.mark.parametrize("content", [PACKAGE, [PACKAGE], {"packages": [PACKAGE]}], ids=["one", "list", "fetched"])
def test_domo_packages_are_read_as_the_vendor_gives_them(tmp_path: Path, content: object) -> None:
    (found,) = read(domo.read, tmp_path, packages=content).packages
    assert (found.package.id, found.package.face, found.versions) == ("p", "domo", ())


def test_xpander_functions_that_cannot_be_here_stay_behind_with_a_reason(tmp_path: Path) -> None:
    items = [
        ITEM | {"id": "a_b"},
        ITEM | {"id": "a b"},
        ITEM | {"id": "listed", "source_code": None},
        ITEM | {"id": "limits", "limits": {"max_run_time": -1}},
        ITEM | {"id": "memory", "limits": {"max_run_time": 1, "memory": 1 << 40}},
        ITEM | {"limits": {"timeout": 2.5}},
    ]
    finds = read(xpander.read, tmp_path, custom_functions={"items": items})
    clients = "its id has a `_`, a `/` or white space, which the vendor's clients cannot call."
    assert remarks(finds) == [
        ("function", "a_b", clients),
        ("function", "a b", clients),
        (
            "function",
            "listed",
            "the export has no source_code of it: lists have none, ask for each function by itself.",
        ),
        ("function", "limits", "limits.max_run_time is -1."),
        ("function", "memory", "limits.memory is 1.09951e+12."),
    ]
    (version,) = finds.packages[0].versions
    assert version.version.limits.timeout_ms == 2500
