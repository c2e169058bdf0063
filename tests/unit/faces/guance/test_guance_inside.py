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

from polycall.faces.guance.inside import hooks_source

# as the sandbox has it: one text, one namespace
inside: Any = types.ModuleType("polycall_adapter")
exec(compile(hooks_source(), "polycall-adapter", "exec", dont_inherit=True), inside.__dict__)

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
    return str(inside.encode(value, {"returnType": return_type}))


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
        ("category=5", "`category` should be a string"),
        ("tags='x'", "`tags` should be a tuple or a list"),
        ("tags=[1]", "Element of `tags` should be a string"),
        ("expires=86401", "`expires` should be between `1` and `86400` (seconds)"),
        ("queue=0", "`queue` can't be 0 because the #0 queue is a system queue"),
        ("queue=10", "`queue` should be one of [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"),
        ("cache_result='1'", "`cache_result` should be an int or a float"),
        ("fixed_crontab='* *'", "`fixed_crontab` is not a valid cron expression"),
        ("delayed_crontab=['1']", "All elements of `delayed_crontab` should be int"),
        ("integration='other'", "Unsupported `integration` value: other"),
        ("integration='autoRun', integration_config={'x': 1}", "Unsupported `integration_config` name: x"),
    ],
)
def test_options_out_of_range_keep_the_script_from_loading(arguments: str, message: str) -> None:
    with pytest.raises(Exception, match=re.escape(message)) as caught:
        script(f"@DFF.API({arguments})\ndef f(): pass\n")
    assert (str(caught.value), type(caught.value).__name__) == (message, "InvalidAPIOption")


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


def test_everything_that_the_decorator_is_told_is_described() -> None:
    found = script(
        "@DFF.API('T', category='c', tags=['b', 'a', 'b'], timeout=5, api_timeout=6, expires=7, cache_result=1.5,\n"
        "         queue=2, fixed_crontab='*/5 * * * *', delayed_crontab=3, integration='AutoRun', is_hidden=True,\n"
        "         integration_config={'onPublish': True}, whatever=1)\n"
        "def f(a, b=1, *args, c={1}, **kw):\n    'Does things.'\n"
    )
    assert found["DFF"].described["f"] == {
        "name": "f",
        "title": "T",
        "description": "Does things.",
        "definition": "f(a, b=1, *args, c={1}, **kw)",
        "category": "c",
        "tagsJSON": ["a", "b"],
        "argsJSON": ["a", "b", "*args", "**kw"],
        "kwargsJSON": {"a": {}, "b": {"default": 1}, "*args": {}, "c": {"default": "<Complex Object>"}, "**kw": {}},
        "integration": "autoRun",
        "extraConfigJSON": {
            "timeout": 5,
            "apiTimeout": 6,
            "expires": 7,
            "cacheResult": 1.5,
            "queue": 2,
            "fixedCrontab": "*/5 * * * *",
            "delayedCrontab": [3],
            "integrationConfig": {"onScriptPublish": True},
            "isHidden": True,
        },
    }


def test_a_function_that_is_told_nothing_is_described_in_short() -> None:
    found = script("@DFF.API()\ndef f(): pass\n")["DFF"].described["f"]
    assert found == {
        "name": "f",
        "title": None,
        "description": None,
        "definition": "f()",
        "category": "general",
        "tagsJSON": None,
        "argsJSON": [],
        "kwargsJSON": {},
        "integration": None,
        "extraConfigJSON": None,
    }


def test_two_functions_of_one_name_keep_the_script_from_loading() -> None:
    with pytest.raises(Exception, match="Two or more functions named `f`") as caught:
        script("@DFF.API('a')\ndef f(): pass\n@DFF.API('b')\ndef f(): pass\n")
    assert type(caught.value).__name__ == "DuplicatedFuncName"


def test_what_was_registered_is_collected_and_nothing_runs() -> None:
    found = script("@DFF.API('a')\ndef f(): raise ValueError\n")
    collected = inside.resolve(found, "whatever", {"collect": True})()
    assert [func["name"] for func in json.loads(inside.encode(collected, {"collect": True}))] == ["f"]


def test_names_in_lower_case_are_the_same() -> None:
    found = script("@dff.api('f')\ndef f(): pass\n".replace("dff", "DFF"))
    assert list(found["DFF"].registered) == ["f"]


def test_the_context_lives_as_long_as_the_call() -> None:
    found = script(
        "c = DFF.CTX\nc.set('k', 1)\nx = (c.get('k'), c('k'), c('z'), c.has('k'), c.get_all(), c.delete('k'))\n"
        "c.set('l', 2)\nc.clear()\ny = c.get_all()\n"
    )
    assert found["x"] == (1, 1, None, True, {"k": 1}, 1)
    assert found["y"] == {}


@pytest.mark.parametrize(
    ("made", "raw", "control"),
    [
        ("DFF.RESP({'a': 1.0})", {"a": 1}, {}),
        (
            "DFF.RESP('x', status_code=201, content_type='txt', headers={'X-A': 1}, allow_304=True, download=True)",
            "x",
            {"statusCode": 201, "contentType": "txt", "headers": {"X-A": "1"}, "allow304": True, "downloadFile": True},
        ),
        ("DFF.RESP_LARGE_DATA([1])", [1], {"contentType": "json"}),
        ("DFF.RESP_LARGE_DATA('x')", "x", {"contentType": "txt"}),
        (
            "DFF.REDIRECT('http://x/\u00e9')",
            '<a href="http://x/%C3%A9">Redirect</a>',
            {"statusCode": 302, "contentType": "html", "headers": {"Location": "http://x/%C3%A9"}},
        ),
    ],
)
def test_a_response_is_its_value_and_how_it_leaves(made: str, raw: object, control: dict[str, Any]) -> None:
    value = script(f"x = {made}\n")["x"]
    plain: dict[str, Any] = {"statusCode": None, "contentType": None, "headers": {}}
    plain |= {"allow304": False, "downloadFile": False}
    everything = json.loads(result(value, "ALL"))
    assert (everything["raw"], everything["_responseControl"]) == (raw, plain | control)
    assert json.loads(result(value)) == raw


def test_a_file_is_given_where_it_can_leave_as_one(tmp_path: Any) -> None:
    (tmp_path / "f.bin").write_bytes(b"\x00\xff")
    value = script(f"x = DFF.RESP_FILE({str(tmp_path / 'f.bin')!r})\n")["x"]
    assert json.loads(result(value)) is None
    control = json.loads(inside.encode(value, {"returnType": "ALL", "files": True}))["_responseControl"]
    assert (control["fileBase64"], control["downloadFile"]) == ("AP8=", True)
    with pytest.raises(Exception, match="No such file"):
        script("DFF.RESP_FILE('nothing')\n")


@pytest.mark.parametrize("status", [99, 199, 600, "200", 3.5])
def test_a_status_that_is_none_is_refused(status: object) -> None:
    with pytest.raises(ValueError, match="status_code"):
        script(f"DFF.RESP(1, status_code={status!r})\n")


class Refusal(Exception):
    pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What a script asks of the server, which answers with nothing."""
    questions: list[tuple[str, Any]] = []

    def ask(method: str, question: Any) -> Any:
        questions.append((method, question))
        return None

    monkeypatch.setattr(inside, "ask", ask, raising=False)
    monkeypatch.setattr(inside, "AskRefused", Refusal, raising=False)
    return questions


def test_store_asks_in_json(asked: list[tuple[str, Any]]) -> None:
    script("DFF.STORE.set('k', {'n': 2**70, 't': (1, 2.0)}, scope='s', expire=60, not_exists=True)\n")
    values = {"k": {"n": 2**70, "t": [1, 2.0]}}
    assert asked == [("store.set", {"values": values, "scope": "s", "expires": 60, "notExists": True})]


def test_cache_keeps_text_and_says_what_it_cannot_keep(asked: list[tuple[str, Any]]) -> None:
    script("c = DFF.CACHE\nc.set('k', 1.5)\nc.set(b'k', b'\\xff')\n")
    assert [question["args"][0] for _, question in asked] == ["1.5", "\ufffd"]
    for value in ("{}", "None", "True", "[1]"):
        with pytest.raises(Exception, match="Invalid input of type") as caught:
            script(f"DFF.CACHE.set('k', {value})\n")
        assert (type(caught.value).__module__, type(caught.value).__name__) == ("redis.exceptions", "DataError")


@pytest.mark.parametrize(
    ("refusal", "module", "name", "text"),
    [
        ("ResponseError: WRONGTYPE x", "redis.exceptions", "ResponseError", "WRONGTYPE x"),
        ("EntityNotFound: Function not found: `x`", "worker.tasks.func", "EntityNotFound", "Function not found: `x`"),
        ("too much", "builtins", "Exception", "too much"),
    ],
)
def test_a_refusal_is_raised_as_the_vendors_libraries_would(
    monkeypatch: pytest.MonkeyPatch, refusal: str, module: str, name: str, text: str
) -> None:
    def ask(method: str, question: Any) -> Any:
        raise Refusal(refusal)

    monkeypatch.setattr(inside, "ask", ask, raising=False)
    monkeypatch.setattr(inside, "AskRefused", Refusal, raising=False)
    with pytest.raises(Exception, match=re.escape(text)) as caught:
        script("DFF.CACHE.get('k')\n")
    assert (type(caught.value).__module__, type(caught.value).__name__) == (module, name)


@pytest.mark.parametrize("used", ["SRC", "CONN", "THREAD", "CACHE.zadd", "STORE.sort", "CTX.incr"])
def test_what_is_not_there_says_so(used: str) -> None:
    with pytest.raises(NotImplementedError) as caught:
        script(f"DFF.{used}('x')")
    assert str(caught.value) == f"DFF.{used} is not available on this server"


def test_what_python_asks_of_objects_is_answered_as_python_expects() -> None:
    assert script("x = hasattr(DFF, '_repr_html_') or hasattr(DFF.CTX, '__len__')")["x"] is False


def test_the_modules_of_the_adapter_share_no_name() -> None:
    source = hooks_source()
    assert "import polycall" not in source
    assert "from polycall" not in source
    names = re.findall(r"^(?:def|class) (\w+)|^(\w+)(?:: [^=\n]+)? = ", source, re.M)
    said = [function or name for function, name in names]
    assert sorted(said) == sorted(set(said))
