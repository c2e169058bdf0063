"""Every type of the contract's table, in both directions, declared as clients declare it: what fits, what does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.domo.driver import Domo

OBJECT, LIST = {"id": "x"}, ["x"]
# type: values that fit, values that do not
TABLE: dict[str, tuple[list[Any], list[Any]]] = {
    "text": (["x", ""], [1, True, OBJECT, LIST]),
    "number": ([1, -7, 2**63, 3.0], [1.5, "1", True, LIST]),
    "decimal": ([1, 1.5, -1e-7], ["1", True]),
    "boolean": ([True, False], [0, "true"]),
    "date": (["2026-04-23"], [20260423]),
    "dateTime": (["2026-04-23T12:00:00Z"], [1776945600]),
    "time": (["14:30:00"], [1430]),
    "duration": (["PT1H30M"], [90]),
    "object": ([OBJECT, {}], ["x", 1, LIST]),
    "person": (["481303514"], [481303514]),
    "dataset": (["6d1f0a52"], [OBJECT]),
    "group": (["7"], [7]),
    "account": (["shop"], [92]),
    "file": (["x", OBJECT], [1, LIST]),
    "directory": (["x", OBJECT], [True]),
}
PERSON = {
    "name": "x",
    "type": "object",
    "children": [
        {"name": "id", "type": "number"},
        {"name": "nick", "type": "text", "nullable": True},
        {"name": "tags", "type": "text", "isList": True},
    ],
}


def functions(type: str) -> Iterator[dict[str, Any]]:
    """Yield functions that take a value of a type, and such that return what they get as one."""
    for name, more in (("one", {}), ("list", {"isList": True}), ("null", {"nullable": True})):
        declared = {"name": "x", "type": type, **more}
        yield {"name": f"take_{name}_{type}", "inputs": [declared], "output": None}
        yield {"name": f"give_{name}_{type}", "inputs": [{"name": "x", "nullable": True}], "output": declared}


@pytest.fixture(scope="module")
def package(owner: Domo) -> Iterator[str]:
    declared = [function for type in TABLE for function in functions(type)]
    declared += [
        {"name": "person", "inputs": [PERSON], "output": PERSON},
        {"name": "give_person", "inputs": [{"name": "x", "nullable": True}], "output": PERSON},
        {"name": "default", "inputs": [{"name": "x", "type": "number", "defaultValues": 7}]},
    ]
    code = "".join(f"def {each['name']}(value):\n    return value\n" for each in declared)
    package_id = owner.saved(code, manifest={"functions": declared})
    yield package_id
    owner.asked("DELETE", f"/{package_id}")


def outcome(owner: Domo, package: str, function: str, value: Any) -> Any:
    """Return the status and the result, or that the value was refused."""
    answer = owner.post(function, {"inputVariables": {"x": value}}, package=package, version="1.0.0")
    if answer.status == 400:
        return owner.refusal(answer, 400, "Bad Request").partition(":")[0]
    record = owner.record(answer)
    return record["status"], record["result"]


@pytest.mark.parametrize("type", list(TABLE))
def test_values_fit_their_type_or_are_refused(owner: Domo, package: str, type: str) -> None:
    fitting, others = TABLE[type]
    failure = ("RESULT_TYPE_FAILURE", None)
    for value in fitting:
        for way in ("take", "give"):
            assert outcome(owner, package, f"{way}_one_{type}", value) == ("SUCCESS", value)
    for value in others:
        assert outcome(owner, package, f"take_one_{type}", value) == "inputVariables.x"
        assert outcome(owner, package, f"give_one_{type}", value) == failure
    for way in ("take", "give"):
        assert outcome(owner, package, f"{way}_list_{type}", [fitting[0]]) == ("SUCCESS", [fitting[0]])
        assert outcome(owner, package, f"{way}_null_{type}", None) == ("SUCCESS", None)
    assert outcome(owner, package, f"take_list_{type}", [others[0]]) == "inputVariables.x[0]"
    assert outcome(owner, package, f"take_list_{type}", fitting[0]) == "inputVariables.x"
    assert outcome(owner, package, f"take_one_{type}", None) == "inputVariables.x"
    assert outcome(owner, package, f"give_one_{type}", None) == ("OUTPUT_UNDEFINED", None)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"id": 1, "tags": []}, None),
        ({"id": 1, "nick": None, "tags": ["a"], "more": {"kept": 1.5}}, None),
        ({"id": 1}, "tags"),
        ({"id": "1", "tags": []}, "id"),
        ({"id": 1, "nick": 2, "tags": []}, "nick"),
        ({"id": 1, "tags": ["a", 2]}, "tags[1]"),
    ],
)
def test_children_have_to_be_there_and_to_fit(owner: Domo, package: str, value: Any, where: str | None) -> None:
    if where is None:
        assert outcome(owner, package, "person", value) == ("SUCCESS", value)
        return
    assert outcome(owner, package, "person", value) == f"inputVariables.x.{where}"
    record = owner.run("give_person", package=package, version="1.0.0", x=value)
    assert (record["status"], record["errorInformation"]["result"]) == ("RESULT_TYPE_FAILURE", value)
    assert record["errorInformation"]["errorMessages"][0].startswith(f"{where}: expected ")


def test_a_default_fills_what_is_missing_and_null_is_not_missing(owner: Domo, package: str) -> None:
    assert owner.run("default", package=package, version="1.0.0")["result"] == 7
    assert outcome(owner, package, "default", 8) == ("SUCCESS", 8)
    assert outcome(owner, package, "default", None) == "inputVariables.x"
    exact = json.dumps({"inputVariables": {"x": 9007199254740993}}).encode()
    assert b'"result":9007199254740993,' in owner.post("default", exact, package=package, version="1.0.0").body
