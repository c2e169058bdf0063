"""From the returned value to JSON text, and what cannot go that way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polycall.domain import Reason
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import job, key, limits

pytestmark = pytest.mark.asyncio(loop_scope="session")

ECHO = "def execute(input): return input"


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 9007199254740993, "x": 1.0, "y": 1, "z": {"b": 1, "a": 2}}',
        '["grüße", "\\u0000", "\U0001f600", "\\"", "\\\\"]',
        "[1e+300, -0.0, 0.1, 123456789012345678901234567890]",
        "null",
        '""',
    ],
)
async def test_numbers_and_key_order_come_back_byte_for_byte(sandbox: Sandbox, text: str) -> None:
    outcome = await sandbox.run(job(ECHO, payload=text.encode()))
    assert outcome.value == text.encode()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("{1, 2}", "Object of type set is not JSON serializable"),
        ("b'x'", "Object of type bytes is not JSON serializable"),
        ("object", "Object of type type is not JSON serializable"),
        ("float('nan')", "Out of range float values are not JSON compliant"),
        ("[float('-inf')]", "Out of range float values are not JSON compliant"),
        ("{(1, 2): 3}", "keys must be str, int, float, bool or None, not tuple"),
        ("cycle", "Circular reference detected"),
        ("deep", "The result is nested too deeply for JSON."),
        ("'\\ud800'", "A str holds a lone surrogate, which JSON text cannot hold."),
        ("10 ** 5000", "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
async def test_what_json_cannot_hold_is_named_in_one_line(run: Run, expression: str, message: str) -> None:
    outcome = await run(f"""
        cycle = []
        cycle.append(cycle)
        deep = []
        for _ in range(200_000):
            deep = [deep]
        def execute(input):
            return {expression}
    """)
    assert (outcome.ending, outcome.exit_code, outcome.value) == (Ending.NOT_SERIALIZABLE, 0, None)
    assert outcome.error is not None
    assert outcome.error.reason is Reason.OUTPUT_NOT_SERIALIZABLE
    assert outcome.error.message.startswith(message)
    assert "\n" not in outcome.error.message


async def test_pythons_own_conversions_hold(run: Run) -> None:
    outcome = await run("def execute(input): return {1: (1, 2), None: True, 2.5: {}}")
    assert outcome.value == b'{"1": [1, 2], "null": true, "2.5": {}}'


async def test_a_result_has_a_limit(run: Run) -> None:
    code = "def execute(n): return 'x' * n"
    outcome = await run(code, 998, limits=limits(result_bytes=1000))
    assert outcome.value == json.dumps("x" * 998).encode()
    outcome = await run(code, 999, limits=limits(result_bytes=1000))
    assert outcome.ending is Ending.RESULT_TOO_LARGE
    assert outcome.error is not None
    assert outcome.error.message == "The result is larger than 1000 bytes (its limit)."


async def test_a_large_result_comes_whole(run: Run) -> None:
    outcome = await run("def execute(n): return ['y' * 99] * n", 50_000, limits=limits(result_bytes=8 << 20))
    assert outcome.value == json.dumps(["y" * 99] * 50_000).encode()


async def test_a_large_input_comes_whole(run: Run) -> None:
    outcome = await run("def execute(text): return [len(text), text[-1]]", "a" * 3_000_000 + "z")
    assert outcome.value == b'[3000001, "z"]'


async def test_messages_and_tracebacks_are_cut_and_never_hostile(run: Run) -> None:
    outcome = await run("""
        class Evil(Exception):
            def __str__(self): raise RuntimeError('no text for you')
        def execute(input): raise Evil
    """)
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.module) == ("Evil", "main")
    assert outcome.error.message == "<exception Evil whose text could not be made>"
    outcome = await run("def execute(input): raise ValueError('x' * 500_000 + '\\ud800')")
    assert outcome.error is not None
    assert len(outcome.error.message.encode()) <= 64 << 10
    assert len(outcome.error.traceback.encode()) <= 256 << 10
    assert outcome.error.message.endswith("\\ud800")


async def test_a_recursion_without_end_is_an_exception(run: Run) -> None:
    outcome = await run("def execute(input): return execute(input)")
    assert outcome.error is not None
    assert outcome.error.type == "RecursionError"
    assert "[Previous line repeated" in outcome.error.traceback


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


# the fixture is for all examples, and how long they take is the machine's affair
UNFIT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=60, deadline=None, suppress_health_check=UNFIT)
@given(sample=JSON)
async def test_any_json_survives_the_round_trip(sandbox: Sandbox, sample: Any) -> None:
    try:
        text = json.dumps(sample, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    outcome = await sandbox.run(job(ECHO, payload=text, key=key("echo")))
    assert outcome.value == text
