"""How functions are named, and how long they may run."""

from __future__ import annotations

from typing import cast

import pytest

from polycall.domain import Convention, Function
from polycall.engine.registry import Registry
from polycall.faces.guance.scripts import FuncName, TimeLimits, Timing, read_timing
from tests.unit.faces.guance.fakes import FakeRegistry, version


@pytest.mark.parametrize(
    ("func_id", "script_id", "function"),
    [
        ("guance__openapi.test", "guance__openapi", "test"),
        ("_a_1__b__c.f_1", "_a_1__b__c", "f_1"),
        ("a___b.f", "a___b", "f"),
        ("s__1.f", "s__1", "f"),
        (f"{'s' * 64}__b.f", f"{'s' * 64}__b", "f"),
    ],
)
def test_a_function_id_names_script_and_function(func_id: str, script_id: str, function: str) -> None:
    assert FuncName.parse(func_id) == FuncName(script_id, function)


@pytest.mark.parametrize(
    "func_id",
    [
        "hello_world_msg",
        "a.f",
        "a_b.f",
        "__b.f",
        "1a__b.f",
        "a__.f",
        "a__b",
        "a__b.",
        "a__b.f.g",
        "a__b.1f",
        "a__b.f()",
        "a-x__b.f",
        "a__b .f",
        "a__b.f\n",
        f"{'s' * 65}__b.f",
        f"s__{'b' * 126}.f",
        "é__b.f",
    ],
)
def test_any_other_spelling_names_nothing(func_id: str) -> None:
    assert FuncName.parse(func_id) is None


@pytest.mark.parametrize(
    ("source", "timing"),
    [
        ("@DFF.API('f')\ndef f(timeout): pass", Timing(30, 10)),
        ("@DFF.API('f', timeout=5)\ndef f(): pass", Timing(5, 10)),
        ("@DFF.API('f', timeout=120, api_timeout=60)\nasync def f(): pass", Timing(120, 60)),
        ("@other\n@DFF.API('f', api_timeout=3)\ndef f(): pass", Timing(30, 3)),
        ("T = 5\n@DFF.API('f', timeout=T)\ndef f(): pass", Timing(30, 10)),
        ("@DFF.API('f', timeout=True, api_timeout='5')\ndef f(): pass", Timing(30, 10)),
        ("@DFF.API('f', timeout=3601, api_timeout=0)\ndef f(): pass", Timing(30, 10)),
        ("@cache(timeout=5)\ndef f(): pass", Timing(30, 10)),
        ("@DFF.API(\n    'f', tags=['a', ('b',)],  # so\n    timeout=1_0,\n)\n# and\ndef f(): pass", Timing(10, 10)),
        ("@DFF.API('f', timeout=5)\n@other(timeout=6)\ndef f(): pass", Timing(5, 10)),
        ("@DFF.API('f', tags=dict(timeout=5))\ndef f(): pass", Timing(30, 10)),
        ("@DFF.API('f', timeout=5 + 1)\ndef f(): pass", Timing(30, 10)),
        ("@DFF.API('f', timeout=5)\nclass A: pass\ndef f(): pass", Timing(30, 10)),
        ("if 1:\n    @DFF.API('f', timeout=5)\n    def f(): pass", Timing(30, 10)),
        ('x = """\n@DFF.API(timeout=5)\n"""\ndef f(): pass', Timing(30, 10)),
        ("@DFF.API('f', timeout=5)\ndef f(): pass\n(", Timing(5, 10)),
        ("def f(:  # timeout", Timing(30, 10)),
        ("# timeout\n" + "(" * 5000, Timing(30, 10)),
        ("# timeout\n" + "def", Timing(30, 10)),
        ("@DFF.API(timeout=5)\ndef", Timing(30, 10)),
        ("@DFF.API(timeout=5)\nasync", Timing(30, 10)),
        ("# timeout\0", Timing(30, 10)),
        ("# timeout\n  x\n y", Timing(30, 10)),
    ],
)
def test_time_limits_are_read_from_the_decorator(source: str, timing: Timing) -> None:
    assert read_timing(source.encode()).get("f", Timing()) == timing


def test_a_very_long_script_has_the_default_limits() -> None:
    source = b"@DFF.API('f', timeout=5)\ndef f(): pass\n" + b"#" * 300_000
    assert read_timing(source) == {}


@pytest.mark.parametrize(
    ("timing", "asked", "seconds"),
    [
        (Timing(), None, 10),
        (Timing(), 30, 30),
        (Timing(timeout_s=5), 30, 5),
        (Timing(timeout_s=120, api_timeout_s=60), None, 60),
        (Timing(timeout_s=120, api_timeout_s=60), 2, 2),
    ],
)
def test_a_synchronous_call_has_the_smaller_of_both_limits(timing: Timing, asked: int | None, seconds: int) -> None:
    assert timing.synchronous_s(asked) == seconds


async def test_the_source_of_a_version_is_read_once() -> None:
    registry = FakeRegistry(version())
    limits = TimeLimits(cast("Registry", registry))
    function = version().functions[0]
    assert await limits.of(version(), function) == Timing(20, 15)
    assert await limits.of(version(), function) == Timing(20, 15)
    assert registry.bundles == 1


async def test_a_module_that_is_not_there_has_the_default_limits() -> None:
    limits = TimeLimits(cast("Registry", FakeRegistry(version())))
    function = Function(name="test", entrypoint="a.b:test", convention=Convention.KEYWORDS)
    assert await limits.of(version(), function) == Timing()


def test_a_long_script_id_is_refused_before_it_is_matched() -> None:
    """Matching takes time by the square of the length: for this one, hours of everybody's event loop."""
    assert FuncName.parse("_" * 1_000_000 + "!.f") is None
    assert FuncName.parse("s__" + "x" * 125 + ".f") == FuncName("s__" + "x" * 125, "f")
    assert FuncName.parse("s__" + "x" * 126 + ".f") is None
