"""Domo packages in JavaScript: arguments by position, promises, what `undefined` and `null` are."""

from __future__ import annotations

import pytest

from tests.contracts.domo.driver import Domo, declare, typed
from tests.harness import Server

PACKAGE = "b1d3c1c0-5a0e-4f57-9f0b-1f6f0f0a7e11"
SOURCE = """
const codes = { ok: 200 }

function add(first, second) {
  console.log("adding")
  console.error("a warning")
  return first + second
}

const later = async (a) => { await null; return a }

function give(what) {
  const cycle = {}
  cycle.cycle = cycle
  return {
    text: "three", number: 3, decimal: 3.5, undefined: undefined, null: null, list: [1], object: { id: "x" },
    nan: NaN, big: 10n, cycle,
  }[what]
}

async function fail(how) {
  if (how === "throw") throw new RangeError("bad")
  if (how === "reject") return Promise.reject(new Error("rejected"))
  if (how === "exit") process.exit(3)
  if (how === "sleep") await new Promise((r) => setTimeout(r, 60000))
}

module.exports = { add, later, give, nullable: give, thing: give, fail, echo: (value) => value }
"""
NUMBER = typed("number")
FUNCTIONS = [
    declare("add", NUMBER, a=NUMBER, b=NUMBER),
    declare("later", NUMBER, a=NUMBER),
    declare("echo", typed("object"), value=typed("object")),
    declare("give", NUMBER, what=typed("text")),
    declare("nullable", typed("number", nullable=True), what=typed("text")),
    declare("thing", typed("object"), what=typed("text")),
    declare("fail", NUMBER, how=typed("text")),
    declare("absent", NUMBER, a=NUMBER),
]


@pytest.fixture(scope="module")
def scripts(polycall: Server) -> Domo:
    version = polycall.deploy(
        PACKAGE, {"main.js": SOURCE}, version="1.0.0", functions=FUNCTIONS, release=True, language="javascript"
    )
    assert version.error == ""
    return Domo(polycall, polycall.new_key())


def run(domo: Domo, function: str, *, get_logs: bool = False, **inputs: object) -> dict[str, object]:
    body = {"inputVariables": inputs, "settings": {"getLogs": get_logs}}
    record: dict[str, object] = domo.record(domo.post(function, body, package=PACKAGE, version="1.0.0"))
    return record


def test_inputs_are_passed_in_the_declared_order_and_output_is_logged(scripts: Domo) -> None:
    record = run(scripts, "add", get_logs=True, b=2, a=1)
    assert (record["status"], record["result"]) == ("SUCCESS", 3)
    assert (record["stdout"], record["stderr"]) == ({"log": ["adding"]}, {"log": ["a warning"]})
    assert run(scripts, "later", a=7)["result"] == 7
    assert run(scripts, "echo", value={"b": [1, None], "a": "\u00fc"})["result"] == {"b": [1, None], "a": "\u00fc"}


@pytest.mark.parametrize(
    ("function", "what", "status", "actual"),
    [
        ("give", "number", "SUCCESS", "number"),
        ("give", "undefined", "OUTPUT_UNDEFINED", "null"),
        ("give", "null", "RESULT_TYPE_FAILURE", "null"),
        ("give", "text", "RESULT_TYPE_FAILURE", "text"),
        ("give", "decimal", "RESULT_TYPE_FAILURE", "decimal"),
        ("give", "list", "RESULT_TYPE_FAILURE", "number"),
        ("give", "nan", "RESULT_TYPE_FAILURE", ""),
        ("give", "big", "RESULT_TYPE_FAILURE", ""),
        ("give", "cycle", "RESULT_TYPE_FAILURE", ""),
        ("nullable", "undefined", "SUCCESS", "number"),
        ("nullable", "null", "SUCCESS", "number"),
        ("thing", "object", "SUCCESS", "object"),
    ],
)
def test_results_are_held_against_the_declared_type(
    scripts: Domo, function: str, what: str, status: str, actual: str
) -> None:
    record = run(scripts, function, what=what)
    information = record["errorInformation"]
    assert isinstance(information, dict)
    assert (record["status"], information["actualType"]) == (status, actual)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("throw", "RangeError: bad"),
        ("reject", "Error: rejected"),
        ("exit", "Function exited with code 3"),
    ],
)
def test_a_function_that_fails_says_how(scripts: Domo, how: str, message: str) -> None:
    record = run(scripts, "fail", get_logs=True, how=how)
    information = record["errorInformation"]
    assert isinstance(information, dict)
    assert (record["status"], information["errorMessages"]) == ("FAILED", [message])
    if how == "throw":
        assert record["stderr"] == {"log": ["RangeError: bad", "    at fail (main.js:22:30)"]}


def test_a_function_that_the_code_has_not_fails(scripts: Domo) -> None:
    record = run(scripts, "absent", a=1)
    information = record["errorInformation"]
    assert isinstance(information, dict)
    assert (record["status"], information["errorMessages"]) == ("FAILED", ["ReferenceError: absent is not defined"])
