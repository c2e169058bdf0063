"""From the body to the function's arguments."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from polycall.v1 import package_pb2, package_service_pb2
from tests.contracts.xpander.driver import Xpander
from tests.harness import until

_TYPED = '''
from typing import Dict, List, Literal, Optional, TypedDict, Union


class Row(TypedDict, total=False):
    id: int
    tags: List[str]


def xpander_run_action(
    text: str,
    count: int = 100,
    ratio: float = 0.5,
    strict: bool = False,
    rows: Optional[List[Row]] = None,
    mode: Literal["fast", "slow"] = "fast",
    either: Union[int, str] = "x",
    scores: Dict[str, int] = {},
    anything=None,
):
    """Show what arrives."""
    values = dict(locals())
    return {name: [type(value).__name__, value] for name, value in values.items()}
'''


@pytest.fixture(scope="module")
def typed(xpander: Xpander) -> str:
    return xpander.deploy(_TYPED)


def test_what_is_missing_has_pythons_default(xpander: Xpander, typed: str) -> None:
    assert xpander.call(typed, {"text": "t"}) == {
        "text": ["str", "t"],
        "count": ["int", 100],
        "ratio": ["float", 0.5],
        "strict": ["bool", False],
        "rows": ["NoneType", None],
        "mode": ["str", "fast"],
        "either": ["str", "x"],
        "scores": ["dict", {}],
        "anything": ["NoneType", None],
    }


def test_what_is_sent_arrives_as_its_type(xpander: Xpander, typed: str) -> None:
    sent: dict[str, Any] = {
        "text": "t",
        "count": 9007199254740993,
        "ratio": 2,
        "strict": True,
        "rows": [{"id": 1, "tags": ["a"], "more": 1.0}, {}],
        "mode": "slow",
        "either": 5,
        "scores": {"b": 1, "a": 2},
        "anything": [None, {"k": 1.0}],
    }
    seen = xpander.call(typed, sent)
    assert {name: value for name, (_, value) in seen.items()} == sent
    assert seen["count"][0] == "int"


def test_an_integral_float_arrives_as_an_integer_wherever_it_stands(xpander: Xpander, typed: str) -> None:
    answer = xpander.send(
        typed, b'{"text":"t","count":5.0,"ratio":5.0,"rows":[{"id":7.0}],"either":3.0,"scores":{"a":1e2}}'
    )
    seen = answer.json()
    assert seen["count"] == ["int", 5]
    assert seen["ratio"] == ["float", 5.0]
    assert seen["rows"] == ["list", [{"id": 7}]]
    assert seen["either"] == ["int", 3]
    assert seen["scores"] == ["dict", {"a": 100}]
    assert b'"id": 7}' in answer.body
    assert b"5.0" in answer.body


def test_every_problem_is_listed_with_its_place(xpander: Xpander, typed: str) -> None:
    status, detail = xpander.detail(
        typed,
        {
            "count": "5",
            "ratio": "1.0",
            "strict": 1,
            "rows": [{"id": True}, {"tags": ["a", 1]}, 5],
            "mode": "medium",
            "either": 1.5,
            "scores": {"a": None},
        },
    )
    assert status == 422
    assert [(problem["type"], problem["loc"], problem["msg"], problem.get("input")) for problem in detail][1:] == [
        ("int_type", ["body", "count"], "Input should be a valid integer", "5"),
        ("float_type", ["body", "ratio"], "Input should be a valid number", "1.0"),
        ("bool_type", ["body", "strict"], "Input should be a valid boolean", 1),
        ("int_type", ["body", "rows", 0, "id"], "Input should be a valid integer", True),
        ("string_type", ["body", "rows", 1, "tags", 1], "Input should be a valid string", 1),
        ("dict_type", ["body", "rows", 2], "Input should be a valid dictionary", 5),
        ("literal_error", ["body", "mode"], "Input should be 'fast' or 'slow'", "medium"),
        ("int_type", ["body", "either"], "Input should be a valid integer", 1.5),
        ("string_type", ["body", "either"], "Input should be a valid string", 1.5),
        ("int_type", ["body", "scores", "a"], "Input should be a valid integer", None),
    ]
    assert (detail[0]["type"], detail[0]["loc"], detail[0]["msg"]) == ("missing", ["body", "text"], "Field required")
    assert detail[7]["ctx"] == {"expected": "'fast' or 'slow'"}


def test_null_is_a_value_and_not_a_missing_one(xpander: Xpander, typed: str) -> None:
    assert xpander.call(typed, {"text": "t", "rows": None})["rows"] == ["NoneType", None]
    status, detail = xpander.detail(typed, {"text": "t", "count": None})
    assert (status, [problem["type"] for problem in detail]) == (422, ["int_type"])


def test_unknown_members_are_dropped_without_a_word(xpander: Xpander, greeter: str) -> None:
    assert xpander.call(greeter, {"city": "SF", "town": 1, "nested": {"a": [1]}}) == "Hello, SF"


def test_a_function_with_keyword_arguments_gets_them_all(xpander: Xpander) -> None:
    function = xpander.deploy("def xpander_run_action(city: str, **more):\n    return [city, more]\n")
    assert xpander.call(function, {"z": 1, "city": "SF", "a": None}) == ["SF", {"z": 1, "a": None}]
    assert xpander.detail(function, {"z": 1})[0] == 422


def test_a_coroutine_function_is_awaited(xpander: Xpander) -> None:
    function = xpander.deploy(
        "import asyncio\nasync def xpander_run_action(n: int):\n    await asyncio.sleep(0)\n    return n\n"
    )
    assert xpander.call(function, {"n": 1}) == 1


def test_the_entry_function_is_the_one_of_that_name(xpander: Xpander) -> None:
    source = "def helper():\n    return 1\n\ndef xpander_run_action():\n    return helper() + 1\n"
    assert xpander.call(xpander.deploy(source)) == 2
    assert xpander.call(xpander.deploy("def _helper():\n    return 1\n\ndef only():\n    return _helper()\n")) == 1


_RICH = """
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, NamedTuple

try:
    from pydantic import Field
except ImportError:
    def Field(**bounds): return bounds


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Point(NamedTuple):
    x: int
    y: int = 0


@dataclass
class Node:
    value: Annotated[int, Field(ge=1)]
    children: list[Node]


Name = Annotated[str, Field(min_length=2)]


def xpander_run_action(tree: Node, size: Size = Size.SMALL, at: Point = Point(0), name: Name = "ab"):
    return [type(tree).__name__, tree, size if isinstance(size, str) else size.value, list(at), name]
"""


def test_what_richer_types_say_is_checked_and_arrives_as_json_has_it(xpander: Xpander) -> None:
    function = xpander.deploy(_RICH)
    tree = {"value": 1, "children": [{"value": 2.0, "children": []}]}
    arrived = {"value": 1, "children": [{"value": 2, "children": []}]}
    assert xpander.call(function, {"tree": tree}) == ["dict", arrived, "s", [0, 0], "ab"]
    assert xpander.call(function, {"tree": tree, "size": "l", "at": [1, 2], "name": "xyz"})[2:] == ["l", [1, 2], "xyz"]
    status, detail = xpander.detail(
        function,
        {"tree": {"value": 0, "children": [{"value": "1"}]}, "size": "m", "at": [1, 2, 3], "name": "x"},
    )
    assert status == 422
    assert [(problem["type"], problem["loc"]) for problem in detail] == [
        ("greater_than_equal", ["body", "tree", "value"]),
        ("int_type", ["body", "tree", "children", 0, "value"]),
        ("missing", ["body", "tree", "children", 0, "children"]),
        ("literal_error", ["body", "size"]),
        ("too_long", ["body", "at"]),
        ("string_too_short", ["body", "name"]),
    ]
    assert detail[0]["msg"] == "Input should be greater than or equal to 1"
    assert detail[0]["ctx"] == {"ge": 1}


def test_a_value_that_is_nested_without_end_is_refused(xpander: Xpander) -> None:
    function = xpander.deploy("J = list['J']\ndef xpander_run_action(x: J): return 1\n")
    answer = xpander.send(function, b'{"x":' + b"[" * 900 + b"]" * 900 + b"}")
    assert answer.status == 422
    assert "too_complex" in {problem["type"] for problem in answer.json()["detail"]}


def test_a_function_that_is_being_analysed_is_409_until_it_is_ready(xpander: Xpander) -> None:
    server, function = xpander.server, str(uuid.uuid4())
    long = "".join(f"def f{n}(a: dict[str, list[int]], b: str = 'x'): return a\n" for n in range(900))

    def create(package: str, source: str) -> None:
        files = package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=source.encode())])
        request = package_service_pb2.CreateVersionRequest(
            parent=f"packages/{package}", files=files, create_package=True, analyze_later=True
        )
        server.packages.CreateVersion(request, metadata=[("authorization", f"Bearer {xpander.key}")])

    for _ in range(5):  # they are analysed one after the other
        create(f"long-{uuid.uuid4()}", long)
    create(function, "def xpander_run_action(n: int): return n\n")
    assert xpander.detail(function, {"n": 1}) == (409, "Custom function is not ready (status: analysing)")
    until(lambda: xpander.send(function, b'{"n":1}').status == 200, seconds=60)
    assert xpander.call(function, {"n": 1}) == 1
