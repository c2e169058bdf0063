"""What a Guance script finds in its sandbox, and how its result becomes JSON text."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import pprint
import re
import sys
import types
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.faces.guance import inside

Point = namedtuple("Point", "x y")


class Failed(Exception):
    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


@pytest.fixture(autouse=True)
def user_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox puts this name into every adapter."""
    monkeypatch.setattr(inside, "UserFailure", Failed, raising=False)


def result(value: object, return_type: str = "raw") -> str:
    return inside.encode(value, {"returnType": return_type})


class Odd:
    def __repr__(self) -> str:
        return "<Odd é>"


@pytest.mark.parametrize(
    ("value", "raw", "dumps"),
    [
        (None, "null", None),
        (0, "0", "0"),
        (False, "false", "false"),
        ("", '""', '""'),
        ([], "[]", "[]"),
        ({}, "{}", "{}"),
        (30.0, "30", "30.0"),
        (-0.0, "0", "-0.0"),
        (0.5, "0.5", "0.5"),
        (1e20, "100000000000000000000", "1e+20"),
        (1e21, "1e+21", "1e+21"),
        (2**53 + 1, "9007199254740993", "9007199254740993"),
        (10**40, "1" + "0" * 40, "1" + "0" * 40),
        (math.nan, "null", "null"),
        (-math.inf, "null", "null"),
        ((1, 2.0), "[1,2]", "[1,2.0]"),
        (Point(1, 2), "[1,2]", "[1,2]"),
        ({3}, '"{3}"', '"{3}"'),
        (decimal.Decimal("1.50"), "\"Decimal('1.50')\"", "\"Decimal('1.50')\""),
        (Odd(), '"<Odd é>"', '"<Odd \\u00e9>"'),
        (b"caf\xc3\xa9", '"café"', '"caf\\u00e9"'),
        (b"\xff", '"\ufffd"', '"\\ufffd"'),
        (datetime.datetime(2022, 9, 8, 3, 54), '"2022-09-08T03:54:00"', '"2022-09-08T03:54:00"'),
        (datetime.date(2022, 9, 8), '"2022-09-08"', '"2022-09-08"'),
        ("http://x/é", '"http://x/é"', '"http:\\/\\/x\\/\\u00e9"'),
        ("\ud800 and 😀", '"\ufffd and 😀"', '"\\ufffd and \\ud83d\\ude00"'),
        (OrderedDict(b=1, a=[1.0]), '{"b":1,"a":[1]}', '{"b":1,"a":[1.0]}'),
        (
            {1: "a", None: "b", False: "c", 2.5: "d", (1, 2): "e", b"k": "f"},
            '{"1":"a","null":"b","false":"c","2.5":"d","(1, 2)":"e","k":"f"}',
            '{"1":"a","null":"b","false":"c","2.5":"d","(1, 2)":"e","k":"f"}',
        ),
    ],
)
def test_a_value_in_raw_and_jsondumps(value: object, raw: str, dumps: str | None) -> None:
    assert result(value) == raw
    assert json.loads(result(value, "jsonDumps")) == dumps


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Hello, Tom", "'Hello, Tom'"),
        ({"b": 1, "a": {"d": 2.0, "c": None}}, "{'a': {'c': None, 'd': 2.0}, 'b': 1}"),
        ((1,), "(1,)"),
        ({2, 1}, "{1, 2}"),
        (math.nan, "nan"),
    ],
)
def test_repr_is_pythons_with_sorted_keys(value: object, shown: str) -> None:
    assert json.loads(result(value, "repr")) == shown


def test_none_is_null_in_repr_too() -> None:
    assert result(None, "repr") == "null"


def test_all_gives_the_three_forms_and_the_response_control_in_order() -> None:
    assert result({"k": 1.0}, "ALL") == (
        '{"raw":{"k":1},"repr":"{\'k\': 1.0}","jsonDumps":"{\\"k\\":1.0}","_responseControl":{"statusCode":null,'
        '"contentType":null,"headers":{},"allow304":false,"downloadFile":false}}'
    )
    assert json.loads(result(None, "ALL"))["repr"] is None


def test_a_returned_exception_is_a_failure() -> None:
    error = ValueError("bad")
    with pytest.raises(Failed) as caught:
        result(error)
    assert caught.value.cause is error


def test_an_exception_within_a_result_is_shown() -> None:
    assert result([ValueError("bad")]) == "[\"ValueError('bad')\"]"


@pytest.mark.parametrize("return_type", ["raw", "repr", "jsonDumps", "ALL"])
def test_a_cycle_cannot_be_serialised(return_type: str) -> None:
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    with pytest.raises(ValueError, match="Circular reference detected"):
        result(cycle, return_type)


def test_the_same_value_twice_is_no_cycle() -> None:
    shared = [1]
    assert result([shared, shared]) == "[[1],[1]]"


def test_nesting_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(RecursionError):
        result(deep)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs", "Lu"]), max_size=3)
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.frozensets(st.integers(), max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.floats(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_every_result_is_json_text_in_every_form(value: object) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    everything = json.loads(result(value, "ALL").encode(), parse_constant=refuse)
    assert everything["raw"] == json.loads(result(value), parse_constant=refuse)
    for form in ("repr", "jsonDumps"):
        assert everything[form] == json.loads(result(value, form))
    if value is not None:
        assert everything["jsonDumps"].isascii()
        assert not re.search(r"(?<!\\)/", everything["jsonDumps"])
        json.loads(everything["jsonDumps"], parse_constant=refuse)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_is_json_already_comes_back_exactly(value: object) -> None:
    assert json.loads(result(value)) == value
    assert result(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if value is not None:
        assert json.loads(json.loads(result(value, "jsonDumps"))) == value
        assert json.loads(result(value, "repr")) == pprint.saferepr(value)


# the script's surroundings


def script(source: str) -> dict[str, Any]:
    module = types.ModuleType("main")
    inside.prepare(module.__dict__, {})
    exec(source, module.__dict__)
    return module.__dict__


def test_only_registered_functions_can_be_called() -> None:
    found = script("@DFF.API('Title', category='c', tags=['t'], anything=1)\ndef f(): pass\n\ndef g(): pass\n")
    assert inside.resolve(found, "f", {}) is found["f"]
    for name in ("g", "h", "DFF", "__name__"):
        with pytest.raises(KeyError):
            inside.resolve(found, name, {})


def test_the_decorator_returns_the_function_itself() -> None:
    assert script("@DFF.API('f')\ndef f(a): return a\n")["f"](7) == 7


def test_a_private_function_may_be_registered() -> None:
    found = script("@DFF.API('f')\ndef _f(): pass\n")
    assert inside.resolve(found, "_f", {}) is found["_f"]


def test_without_any_registered_function_the_public_ones_of_the_script_can_be_called() -> None:
    found = script("from json import dumps\ndef f(): pass\ndef _g(): pass\nx = 1\n")
    assert inside.resolve(found, "f", {}) is found["f"]
    for name in ("_g", "dumps", "x", "missing", "print"):
        with pytest.raises(KeyError):
            inside.resolve(found, name, {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("timeout=0", "`timeout` should be between `1` and `3600` (seconds)"),
        ("api_timeout=181", "`api_timeout` should be between `1` and `180` (seconds)"),
        ("timeout='5'", "`timeout` should be an integer"),
        ("title=5", "`title` should be a string"),
    ],
)
def test_options_out_of_range_keep_the_script_from_loading(arguments: str, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        script(f"@DFF.API({arguments})\ndef f(): pass\n")
    assert str(caught.value) == message


def test_print_and_log_make_entries_with_a_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stdout__", sys.stdout)
    script("import sys\nprint('a', 1, sep='-')\nDFF.LOG('b', 2)\nprint('to stderr', file=sys.stderr)\n")
    out, err = capsys.readouterr()
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[\+\d+ms\] "
    assert re.fullmatch(f"{stamp}a-1\n{stamp}b 2\n", out)
    assert err == "to stderr\n"


def test_print_into_a_redirected_stdout_is_left_alone() -> None:
    source = (
        "import contextlib, io\n"
        "def f():\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as out:\n"
        "        print('kept', end='')\n"
        "    return out.getvalue()\n"
    )
    assert script(source)["f"]() == "kept"


def test_env_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "eu")
    assert script("x, y = DFF.ENV('REGION'), DFF.ENV('NONE')")["x"] == "eu"


@pytest.mark.parametrize("box", ["CTX", "STORE", "CACHE"])
def test_values_are_kept_for_the_call(box: str) -> None:
    found = script(
        f"b = DFF.{box}\nb.set('k', 1, scope='s', expire=60)\nb.set('k', 2)\nb.set('k', 3, not_exists=True)\n"
        "x = (b.get('k', scope='s'), b('k'), b.get('z'), b.has('k'), b.keys('k*'), b.incr('n'), b.incr('n', 2))\n"
        "b.delete('k')\ny = b.exists('k')\nz = b.get_all()\nb.clear()\ne = b.get_all()\n"
    )
    assert found["x"] == (1, 2, None, True, ["k"], 1, 3)
    assert (found["y"], found["z"], found["e"]) == (False, {"n": 3}, {})


@pytest.mark.parametrize("used", ["SRC", "CONN", "THREAD", "CACHE.lpush", "STORE.mset"])
def test_what_is_not_there_says_so(used: str) -> None:
    with pytest.raises(NotImplementedError) as caught:
        script(f"DFF.{used}('x')")
    assert str(caught.value) == f"DFF.{used} is not available on this server"


def test_what_python_asks_of_objects_is_answered_as_python_expects() -> None:
    assert script("x = hasattr(DFF, '_repr_html_') or hasattr(DFF.CTX, '__len__')")["x"] is False
