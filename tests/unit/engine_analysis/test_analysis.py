"""polycall.engine.analysis: which functions a source has."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import Convention, Function, IsolationLevel, Language, SchemaOrigin
from polycall.engine.analysis import Analyzer, main_module
from polycall.engine.findings import Analysis, Problem
from polycall.engine.limits import DEFAULTS
from polycall.engine.reader import SandboxedReader
from polycall.engine.turns import Turns
from polycall.errors import Internal, QueueFull
from polycall.sandbox.job import Ending, Job, Outcome
from tests.unit.engine_analysis.here import HereReader, analyze, complete


def of(source: str | bytes, **options: Any) -> Analysis:
    return analyze({"main.py": source.encode() if isinstance(source, str) else source}, **options)


def names(source: str) -> list[str]:
    analysis = of(source)
    assert analysis.problems == ()
    return [function.name for function in analysis.functions]


def schema(source: str, **options: Any) -> Any:
    (function,) = of(source, **options).functions
    assert function.input_schema is not None
    return json.loads(function.input_schema)


def test_a_function_is_found_with_all_that_its_definition_says() -> None:
    analysis = of('def add(a: int, b: int = 2) -> int:\n    """Add two\n    numbers.\n\n    More.\n    """\n')
    assert analysis == Analysis(
        functions=(
            Function(
                name="add",
                entrypoint="main:add",
                convention=Convention.KEYWORDS,
                input_schema=(
                    b'{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer","default":2}},'
                    b'"required":["a"]}'
                ),
                output_schema=b'{"type":"integer"}',
                schema_origin=SchemaOrigin.SOURCE,
                description="Add two numbers.",
            ),
        )
    )


def test_the_contracts_example_comes_out_as_it_stands_there() -> None:
    assert schema("def execute(text: str, max_items: int = 100): ...") == {
        "type": "object",
        "properties": {"text": {"type": "string"}, "max_items": {"type": "integer", "default": 100}},
        "required": ["text"],
    }


def test_public_functions_come_in_source_order_and_private_ones_not_at_all() -> None:
    assert names("def b(): ...\nasync def a(): ...\ndef _hidden(): ...\nclass C:\n    def inner(self): ...\n") == [
        "b",
        "a",
    ]


def test_names_bound_to_callables_are_functions() -> None:
    source = """
from collections.abc import Callable
def _impl(x: int): ...
run = _impl
double = lambda x, y=1: x
made: Callable[[int], int] = something()
declared: Callable[[int], int]
value = 3
other = value
"""
    assert names(source) == ["run", "double", "made"]


def test_an_alias_has_the_signature_of_what_it_names() -> None:
    run = of("def _impl(x: int): 'Doc.'\nrun = _impl").functions[0]
    assert (run.name, run.entrypoint, run.description) == ("run", "main:run", "Doc.")
    assert run.input_schema == b'{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}'


def test_the_last_of_several_bindings_counts() -> None:
    assert names("def f(a): ...\ndef g(): ...\ndef f(b): ...\n") == ["g", "f"]
    assert schema("def f(a): ...\ndef f(b): ...") == {"type": "object", "properties": {"b": {}}, "required": ["b"]}


def test_definitions_within_if_try_and_with_are_at_the_top_level_too() -> None:
    source = """
if fast:
    def a(): ...
else:
    def b(): ...
try:
    def c(): ...
except ImportError:
    def d(): ...
finally:
    def e(): ...
with x:
    def f(): ...
for x in y:
    def g(): ...
"""
    assert names(source) == ["a", "b", "c", "d", "e", "f"]


def test_overloads_are_not_the_function() -> None:
    source = "@typing.overload\ndef f(a: int): ...\n@overload\ndef f(a: str): ...\ndef f(a): ...\n"
    assert schema(source)["properties"] == {"a": {}}


def test_starred_arguments_are_left_out_and_double_starred_ones_open_the_schema() -> None:
    (function,) = of("def f(a, *args, b, c=1, **more): ...").functions
    assert function.accepts_any
    assert json.loads(function.input_schema or b"") == {
        "type": "object",
        "properties": {"a": {}, "b": {}, "c": {"default": 1}},
        "required": ["a", "b"],
        "additionalProperties": True,
    }


def test_properties_stand_in_the_order_of_the_parameters() -> None:
    assert list(schema("def f(z, /, y, *, x, a): ...")["properties"]) == ["z", "y", "x", "a"]


@pytest.mark.parametrize(
    ("convention", "source", "expected"),
    [
        (Convention.INPUT, "def f(input: list[int]): ...", {"type": "array", "items": {"type": "integer"}}),
        (Convention.INPUT, "def f(): ...", {}),
        (Convention.HANDLE, "def f(client, data: dict, secrets): ...", {"type": "object"}),
        (Convention.HANDLE, "def f(client): ...", {}),
        (
            Convention.PARAMETERS,
            "def f(a: str): ...",
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
    ],
)
def test_the_schema_is_that_of_the_input_by_convention(convention: Convention, source: str, expected: Any) -> None:
    assert schema(source, convention=convention) == expected


def test_descriptions_of_parameters_come_from_the_docstring() -> None:
    source = '''
def f(a: int, b):
    """Do.

    Args:
        a: The first.
    """
'''
    assert schema(source)["properties"] == {"a": {"type": "integer", "description": "The first."}, "b": {}}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"main.py", "other.py"}, "main"),
        ({"handler.py", "data/x.py", "readme.md"}, "handler"),
        ({"tool/__init__.py", "tool/x.py"}, "tool"),
        ({"a.py", "b.py"}, None),
        ({"not-a-name.py"}, None),
        ({"readme.md"}, None),
        (set(), None),
    ],
)
def test_the_main_module_is_main_or_the_only_one(files: set[str], expected: str | None) -> None:
    assert main_module(dict.fromkeys(files, b"")) == expected


def test_a_module_may_be_named() -> None:
    files = {"main.py": b"def a(): ...", "pkg/__init__.py": b"def b(): ...", "pkg/mod.py": b"def c(): ..."}
    assert [analyze(files, module=name).functions[0].entrypoint for name in ("main", "pkg", "pkg.mod")] == [
        *("main:a", "pkg:b", "pkg.mod:c")
    ]


@pytest.mark.parametrize(
    ("files", "options", "problem"),
    [
        ({"main.py": b"def f(:\n"}, {}, Problem("main.py", 1, "SyntaxError: invalid syntax", 7)),
        ({"main.py": b"x = 1\n  y = 2\n"}, {}, Problem("main.py", 2, "IndentationError: unexpected indent", 2)),
        ({"main.py": b"x = 1\n\0"}, {}, Problem("main.py", 2, "source code has null bytes")),
        ({"main.py": b"x = 1\n# \xff\n"}, {}, Problem("main.py", 2, "is not valid UTF-8")),
        (
            {"main.py": b"#!x\n# -*- coding: idna -*-\n"},
            {},
            Problem("main.py", 2, "encoding 'idna' is not supported; use UTF-8"),
        ),
        ({"main.py": b"-" * 100_000 + b"1"}, {}, Problem("main.py", 0, "is nested too deeply, or too large")),
        ({"main.py": b"a" + b".b" * 50_000}, {}, Problem("main.py", 0, "is nested too deeply, or too large")),
        (
            {"main.py": b"#" * 1_048_577},
            {},
            Problem("main.py", 0, "has 1048577 bytes; a module with functions may have 1048576"),
        ),
        (
            {"main.py": b"".join(b"def f%d(): ...\n" % i for i in range(1001))},
            {},
            Problem("main.py", 0, "has 1001 public functions; at most 1000"),
        ),
        ({"main.py": b"\nreturn 1"}, {}, Problem("main.py", 2, "SyntaxError: 'return' outside function", 1)),
        (
            {"main.py": b"def f(a, a): ..."},
            {},
            Problem("main.py", 1, "SyntaxError: duplicate argument 'a' in function definition", 10),
        ),
        (
            {"main.py": b"def " + b"f" * 129 + b"(): ..."},
            {},
            Problem("main.py", 0, f"the name {'f' * 40}… has 129 characters; at most 128"),
        ),
        ({}, {}, Problem("", 0, "has no main.py, and not exactly one top-level module")),
        ({"main.py": b""}, {"module": "other"}, Problem("", 0, "has no module 'other'")),
        ({"main.py": b""}, {"module": "../main"}, Problem("", 0, "has no module '../main'")),
        (
            {"main.py": b""},
            {"language": Language.JAVASCRIPT},
            Problem("", 0, "is javascript, which is not analysed"),
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    files: dict[str, bytes], options: dict[str, Any], problem: Problem
) -> None:
    assert analyze(files, **options) == Analysis(problems=(problem,))


def test_a_byte_order_mark_and_a_latin_1_cookie_are_read() -> None:
    assert of(b"\xef\xbb\xbfdef f(): ...").functions[0].name == "f"
    source = b"# coding: latin-1\ndef f():\n    'caf\xe9'\n"
    assert of(source).functions[0].description == "café"


def test_nothing_of_the_source_runs(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    source = f"open({str(mark)!r}, 'w')\ndef f(a=open({str(mark)!r}, 'w')): ...\nclass A(open({str(mark)!r}, 'w')): ..."
    assert names(source) == ["f"]
    assert not mark.exists()


def test_lone_surrogates_and_giant_numbers_do_no_harm() -> None:
    source = f'def f(a="\\ud800", b=0x{"f" * 20_000}, c=1e999):\n    "\\ud800"\n'
    analysis = of(source)
    assert analysis.functions[0].description == "?"
    assert json.loads(analysis.functions[0].input_schema or b"")["properties"] == {"a": {}, "b": {}, "c": {}}


def function(name: str, **options: Any) -> Function:
    return Function(name=name, **({"entrypoint": "", "convention": Convention.KEYWORDS} | options))


def test_declared_functions_are_completed_by_what_is_found() -> None:
    files = {"main.py": b"def f(a: int, **k):\n    'Does f.'\n", "tool.py": b"def g(data: str): ...\n"}
    mine = function("f", description="Mine.", input_schema=b"{}")
    handle = function("run", entrypoint="tool:g", convention=Convention.HANDLE)
    assert complete(files, function("f"), mine, handle, function("made", entrypoint="main:made")) == Analysis(
        functions=(
            function(
                "f",
                entrypoint="main:f",
                description="Does f.",
                accepts_any=True,
                input_schema=(
                    b'{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":true}'
                ),
                schema_origin=SchemaOrigin.SOURCE,
            ),
            function(
                "f",
                entrypoint="main:f",
                description="Mine.",
                accepts_any=True,
                input_schema=b"{}",
                schema_origin=SchemaOrigin.DECLARED,
            ),
            function(
                "run",
                entrypoint="tool:g",
                convention=Convention.HANDLE,
                input_schema=b'{"type":"string"}',
                schema_origin=SchemaOrigin.SOURCE,
            ),
            function("made", entrypoint="main:made"),
        )
    )


def test_without_declared_functions_all_of_the_main_module_are_taken() -> None:
    assert [f.name for f in complete({"main.py": b"def a(): ...\ndef b(): ..."}).functions] == ["a", "b"]
    nothing = Problem("", 0, "has no public top-level function; declare `functions`, or add one")
    assert complete({"main.py": b"x = 1"}) == Analysis(problems=(nothing,))


def test_a_script_is_compiled_and_left_as_it_is_declared() -> None:
    script = function("run", entrypoint="bin/run.py", convention=Convention.SCRIPT)
    assert complete({"bin/run.py": b"print(1)", "b.py": b"("}, script) == Analysis(functions=(script,))
    wrong = complete({"bin/run.py": b"print("}, script)
    assert wrong.functions == (script,)
    assert str(wrong.problems[0]) == "bin/run.py:1: SyntaxError: '(' was never closed"
    assert complete({}, script).problems == (Problem("", 0, "has no file 'bin/run.py'"),)


def test_each_module_is_read_once_for_each_convention() -> None:
    reader = HereReader()
    files = {"main.py": b"def f(): ...\ndef g(): ..."}
    declared = (function("f"), function("g"), function("g", convention=Convention.HANDLE))
    asyncio.run(Analyzer(reader).complete(files, declared))
    assert [each.convention for each in reader.asked] == [Convention.KEYWORDS, Convention.HANDLE]


def test_functions_in_too_many_modules_are_refused() -> None:
    files = {f"m{i}.py": b"" for i in range(21)}
    declared = [function("f", entrypoint=f"m{i}:f") for i in range(21)]
    assert complete(files, *declared).problems == (Problem("", 0, "has functions in 21 modules; at most 20"),)


def test_problems_read_as_sentences() -> None:
    assert str(Problem("main.py", 3, "is bad")) == "main.py:3: is bad"
    assert str(Problem("main.py", 0, "is bad")) == "main.py: is bad"
    assert str(Problem("", 0, "is bad")) == "The source is bad."


class FakeRunner:
    """Answers every job with one outcome."""

    isolation = IsolationLevel.CONTAINED
    languages = frozenset(Language)

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.jobs: list[Job] = []

    async def run(self, job: Job, output: object = None, begun: object = None) -> Outcome:
        self.jobs.append(job)
        return self.outcome

    async def retire(self, project_id: str, package_id: str, version_id: str | None = None) -> None:
        raise AssertionError

    def ready(self, job: Job) -> bool:
        return True

    async def get_ready(self, job: Job) -> None:
        raise AssertionError

    def keep_ready(self, project_id: str, package_id: str, job: Job | None, count: int) -> None:
        raise AssertionError


def sandboxed(outcome: Outcome) -> tuple[Analysis, list[Job]]:
    runner = FakeRunner(outcome)
    analysis = asyncio.run(Analyzer(SandboxedReader(runner, Turns())).analyze({"main.py": b"def f(): ..."}))
    return analysis, runner.jobs


def test_sources_are_read_in_a_sandbox_under_limits() -> None:
    value = (
        b'[{"functions":[{"name":"f","input_schema":"{}","output_schema":"","description":"","accepts_any":false}]}]'
    )
    analysis, (job,) = sandboxed(Outcome(ending=Ending.RETURNED, value=value))
    assert [f.name for f in analysis.functions] == ["f"]
    assert job.key is None
    assert job.payload == b'{"wanted":[["main.py","keywords",[]]]}'
    assert job.bundle.files["source/main.py"] == b"def f(): ..."
    ours = {path for path in job.bundle.files if path.startswith("polycall/engine/signatures/")}
    assert len(ours) == len(job.bundle.files) - 1
    assert (job.limits.timeout_ms, job.limits.cpu_ms, job.limits.memory_bytes) == (60_000, 5_000, 512 * 1024 * 1024)
    assert job.limits.processes == DEFAULTS.processes


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (Outcome(ending=Ending.TIMED_OUT), "takes longer than 5 s to compile"),
        (Outcome(ending=Ending.OUT_OF_CPU_TIME), "takes longer than 5 s to compile"),
        (Outcome(ending=Ending.OUT_OF_MEMORY), "needs more than 512 MiB to compile, or breaks the compiler"),
        (Outcome(ending=Ending.SIGNALLED), "needs more than 512 MiB to compile, or breaks the compiler"),
        (Outcome(ending=Ending.RETURNED, value=b"[]"), "breaks the compiler"),
        (Outcome(ending=Ending.RETURNED, value=b'[{"functions":[{"name":3}]}]'), "breaks the compiler"),
        (Outcome(ending=Ending.RETURNED, value=b"{"), "breaks the compiler"),
    ],
)
def test_a_source_that_breaks_its_sandbox_is_a_problem(outcome: Outcome, problem: str) -> None:
    assert sandboxed(outcome)[0] == Analysis(problems=(Problem("main.py", 0, problem),))


def test_a_lost_sandbox_is_our_fault() -> None:
    with pytest.raises(Internal):
        sandboxed(Outcome(ending=Ending.LOST))


async def test_too_many_analyses_at_once_are_sent_away() -> None:
    hold, both = asyncio.Event(), asyncio.Semaphore(0)

    class Slow(FakeRunner):
        async def run(self, job: Job, output: object = None, begun: object = None) -> Outcome:
            both.release()
            await hold.wait()
            return self.outcome

    analyzer = Analyzer(SandboxedReader(Slow(Outcome(ending=Ending.TIMED_OUT)), Turns(wait_s=0.05)))
    first = [asyncio.create_task(analyzer.analyze({"main.py": b""}))]
    await both.acquire()  # the first may take its time: what is carried into the sandbox is compiled then
    first.append(asyncio.create_task(analyzer.analyze({"main.py": b""})))
    await both.acquire()
    with pytest.raises(QueueFull) as caught:
        await analyzer.analyze({"main.py": b""})
    assert caught.value.retry_after_s == 0.05
    hold.set()
    await asyncio.gather(*first)


PIECES = st.sampled_from(
    [
        "def f(",
        "a",
        ": int",
        " = 1",
        "):",
        "\n",
        "  ",
        "class A:",
        "lambda",
        "|",
        "[",
        "]",
        "Optional",
        '"""',
        "*",
        "@x",
    ]
)


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=40).map(lambda parts: "".join(parts).encode())))
def test_any_bytes_are_analysed_or_a_problem(source: bytes) -> None:
    for function in of(source).functions:
        assert isinstance(json.loads(function.input_schema or b"null"), dict)
