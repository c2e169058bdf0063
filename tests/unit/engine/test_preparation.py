from __future__ import annotations

import pytest

from polycall.domain import Convention, DeclaredType, Function, Parameter
from polycall.engine.preparation import _completed

NUMBER = DeclaredType(type="number")
FUNCTION = Function(
    name="f",
    entrypoint="main:f",
    convention=Convention.PARAMETERS,
    parameters=(Parameter(name="a", declared=NUMBER), Parameter(name="b", declared=NUMBER, default=b"1.0")),
)


@pytest.mark.parametrize(
    ("payload", "completed"),
    [
        (b'{"a": 9007199254740993}', b'{"a":9007199254740993,"b":1.0}'),
        (b'{"b": 2,  "a": 1e5}', b'{"b": 2,  "a": 1e5}'),
        (b'{"a":1,"b":null}', b'{"a":1,"b":null}'),
        (b"[1, 2]", b"[1, 2]"),
    ],
)
def test_declared_defaults_fill_what_is_missing_and_touch_nothing_else(payload: bytes, completed: bytes) -> None:
    assert _completed(payload, FUNCTION) == completed
