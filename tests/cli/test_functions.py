"""polycall functions: what a source has, before it is deployed."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli

SOURCE = '''
from typing import Literal
from models import Order

def price(order: Order, kind: Literal["net", "gross"] = "net", rate: float | None = None) -> list[Order]:
    """Say what an order costs."""

def odd(x: somewhere.Thing, tags: list[str] = []): ...
'''
MODELS = "from dataclasses import dataclass\n@dataclass\nclass Order:\n    id: int\n    parts: list['Order']\n"


def test_a_source_is_shown_with_its_functions(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(SOURCE)
    (tmp_path / "models.py").write_text(MODELS)
    shown = cli("functions", "analyze", str(tmp_path))
    assert shown.code == 0
    assert [line.split("  ")[0] for line in shown.text.splitlines()] == ["FUNCTION", "price", "odd"]
    assert 'order: Order, [kind: "net" | "gross"], [rate: number | null]' in shown.text
    assert "Order[]" in shown.text
    assert "Say what an order costs." in shown.text
    assert "x, [tags: string[]]" in shown.text
    assert "note: main.py:8:9: somewhere.Thing is not known: any value" in shown.err


def test_json_has_the_schemas_and_the_notes(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(SOURCE)
    (tmp_path / "models.py").write_text(MODELS)
    answer = cli("functions", "analyze", str(tmp_path), "--json").json()
    order = {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "parts": {"type": "array", "items": {"$ref": "#/$defs/Order"}}},
        "required": ["id", "parts"],
    }
    assert json.loads(answer["functions"][0]["outputSchemaJson"]) == {
        "type": "array",
        "items": {"$ref": "#/$defs/Order"},
        "$defs": {"Order": order},
    }
    assert answer["functions"][0]["schemaOrigin"] == "SCHEMA_ORIGIN_SOURCE"
    assert answer["notes"] == [
        {"path": "main.py", "line": 8, "column": 9, "message": "somewhere.Thing is not known: any value"}
    ]


def test_the_convention_decides_what_the_input_is(cli: Cli) -> None:
    source = "def execute(input: list[int]): ..."
    answer = cli("functions", "analyze", "-", "--convention", "input", "--json", stdin=source).json()
    assert json.loads(answer["functions"][0]["inputSchemaJson"]) == {"type": "array", "items": {"type": "integer"}}


def test_what_is_wrong_is_said_with_its_place_and_exits_1(cli: Cli) -> None:
    failed = cli("functions", "analyze", "-", stdin="x = 1\ndef f(:\n")
    assert (failed.code, failed.out) == (1, b"")
    assert "main.py:2:7: SyntaxError: invalid syntax" in failed.err


def test_typescript_is_known_by_its_name(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "main.ts"
    source.write_text("export function pay(id: string, amount?: number): Promise<boolean> { return null!; }")
    shown = cli("functions", "analyze", str(source))
    assert shown.code == 0
    assert "id: string, [amount: number]  boolean" in shown.text
