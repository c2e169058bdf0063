"""docs/analysis.md says what the code says: every row of its tables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engine_analysis import test_schema, test_typescript

PAGE = Path(__file__).resolve().parents[3] / "docs" / "analysis.md"
_ROW = re.compile(r"\| `(.*)` \| `(.*)` \|")


def rows(heading: str) -> list[tuple[str, Any]]:
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = [row for line in section.splitlines() if (row := _ROW.fullmatch(line))]
    return [(row[1].replace("\\|", "|"), json.loads(row[2])) for row in found]


@pytest.mark.parametrize(("hint", "schema"), rows("Python"))
def test_the_table_of_python_is_right(hint: str, schema: Any) -> None:
    assert test_schema.of(hint) == schema


@pytest.mark.parametrize(("kind", "schema"), rows("TypeScript and JavaScript"))
def test_the_table_of_typescript_is_right(kind: str, schema: Any) -> None:
    assert test_typescript.of(kind) == schema


def test_there_are_tables() -> None:
    assert len(rows("Python")) > 20
    assert len(rows("TypeScript and JavaScript")) > 15
