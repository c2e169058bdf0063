"""Types that only an import can tell: pydantic is asked, in a sandbox, and believed for the schemas alone."""

from __future__ import annotations

import json
import sysconfig
from typing import Any

import pytest

from polycall.domain import Language, SchemaOrigin, VersionState
from polycall.engine.analysis import Analyzer
from polycall.engine.findings import Analysis
from polycall.engine.importing import SandboxedImporter, Surroundings
from polycall.engine.reader import SandboxedReader
from polycall.engine.turns import Turns
from polycall.sandbox.image import Image
from polycall.sandbox.sandbox import Sandbox
from tests.engine.house import House

# what a runtime with pydantic has
PYDANTIC = Surroundings(image=Image(path=sysconfig.get_path("purelib")), env={"PREFIX": "p_"})
INT, STR = {"type": "integer"}, {"type": "string"}

MADE = b"""
import os
from pydantic import BaseModel, ConfigDict, create_model

class Item(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: os.environ["PREFIX"] + name)
    size: int

Made = create_model("Made", name=(str, ...), item=(Item, None))

def f(a: Made, b: str, c: Item | None = None) -> list[Item]:
    \"\"\"Do.

    Args:
        a: What was made.
    \"\"\"

def plain(a: int): ...
"""


async def analyze(sandbox: Sandbox, source: bytes, around: Surroundings = PYDANTIC, **options: Any) -> Analysis:
    analyzer = Analyzer(SandboxedReader(sandbox, Turns()), SandboxedImporter(sandbox, Turns()))
    return await analyzer.analyze({"main.py": source}, around=around, **options)


async def test_pydantic_tells_what_the_text_does_not(sandbox: Sandbox) -> None:
    found, plain = (await analyze(sandbox, MADE)).functions
    assert (found.schema_origin, plain.schema_origin) == (SchemaOrigin.IMPORT, SchemaOrigin.SOURCE)
    schema = json.loads(found.input_schema or b"")
    item = {"properties": {"p_size": {"title": "P Size", "type": "integer"}}, "required": ["p_size"]}
    assert schema == {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/Made", "description": "What was made."},
            "b": {"type": "string"},
            "c": {"anyOf": [{"$ref": "#/$defs/Item"}, {"type": "null"}], "default": None},
        },
        "required": ["a", "b"],
        "$defs": {
            "Made": {
                "properties": {
                    "name": {"title": "Name", "type": "string"},
                    "item": {"$ref": "#/$defs/Item", "default": None},
                },
                "required": ["name"],
                "title": "Made",
                "type": "object",
            },
            "Item": {**item, "title": "Item", "type": "object"},
        },
    }
    assert json.loads(found.output_schema or b"")["items"] == {"$ref": "#/$defs/Item"}


async def test_without_pydantic_nothing_is_imported(sandbox: Sandbox) -> None:
    analysis = await analyze(sandbox, b"raise SystemExit(3)\n" + MADE, Surroundings())
    found = analysis.functions[0]
    assert found.schema_origin is SchemaOrigin.SOURCE
    assert json.loads(found.input_schema or b"")["properties"]["a"] == {"description": "What was made."}
    assert [note.message for note in analysis.notes] == [
        "Made is made by code that would have to run: any value",
        "Item makes the names of its members by code",
    ]


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os\nos._exit(3)", "the import ended otherwise (exited)"),
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ],
)
async def test_a_module_that_cannot_be_imported_has_what_its_text_says(sandbox: Sandbox, before: str, why: str) -> None:
    analysis = await analyze(sandbox, before.encode() + MADE)
    assert analysis.functions[0].schema_origin is SchemaOrigin.SOURCE
    assert analysis.problems == ()
    assert analysis.notes[-1].message == f"could not be imported to read its types: {why}"


async def test_a_module_that_forges_its_answer_speaks_for_its_own_schemas_only(sandbox: Sandbox) -> None:
    forged = b"""
import sys, json
ask = sys.modules["polycall_ask"]
ask._schemas = lambda *rest: ["[]", ""]
"""
    analysis = await analyze(sandbox, MADE + forged)
    assert analysis.functions[0].schema_origin is SchemaOrigin.SOURCE
    assert [function.name for function in analysis.functions] == ["f", "plain"]


async def test_a_version_is_analysed_on_its_runtime(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def image(project_id: str, runtime: str, language: Language) -> Image:
        assert (project_id, runtime, language) == ("default", "runtimes/r/revisions/1", Language.PYTHON)
        assert PYDANTIC.image is not None
        return PYDANTIC.image

    async def pinned(project_id: str, runtime: str, language: Language) -> str:
        return f"{runtime}/revisions/1"

    monkeypatch.setattr(home.registry.runtimes, "image", image)
    monkeypatch.setattr(home.registry.runtimes, "pinned", pinned)
    version = await home.deploy(source=MADE, runtime="runtimes/r", env={"PREFIX": "p_"})
    assert [function.schema_origin for function in version.functions] == [SchemaOrigin.IMPORT, SchemaOrigin.SOURCE]
    assert b"p_size" in (version.functions[0].input_schema or b"")


async def test_a_runtime_that_has_gone_is_done_without(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def pinned(project_id: str, runtime: str, language: Language) -> str:
        return "runtimes/gone/revisions/1"

    monkeypatch.setattr(home.registry.runtimes, "pinned", pinned)
    version = await home.deploy(source=MADE, runtime="runtimes/gone")
    assert (version.state, version.functions[0].schema_origin) == (VersionState.READY, SchemaOrigin.SOURCE)
