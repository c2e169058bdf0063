"""What a face's module inside the sandbox may change."""

from __future__ import annotations

from typing import Any

import pytest

from polycall.domain import Reason
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.programs import job, key, value

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_prepare_injects_names_before_the_module_runs(sandbox: Sandbox) -> None:
    adapter = "def prepare(module_globals, options): module_globals['DFF'] = options['name']"
    code = "copied = DFF\ndef execute(input): return copied"
    outcome = await sandbox.run(job(code, adapter=adapter, adapter_options=b'{"name": "toolkit"}'))
    assert value(outcome) == "toolkit"


async def test_prepare_is_called_once_for_a_warm_worker(sandbox: Sandbox) -> None:
    adapter = "def prepare(module_globals, options): module_globals.setdefault('seen', []).append(1)"
    arguments: dict[str, Any] = {"code": "def execute(input): return seen", "adapter": adapter, "key": key("prepare")}
    assert [value(await sandbox.run(job(**arguments))) for _ in range(2)] == [[1], [1]]


async def test_bind_replaces_the_convention(sandbox: Sandbox) -> None:
    adapter = "def bind(function, argument, options): return ([argument, function.__name__], {'c': options['c']})"
    outcome = await sandbox.run(
        job("def execute(a, b, c): return [a, b, c]", 1, adapter=adapter, adapter_options=b'{"c": 3}')
    )
    assert value(outcome) == [1, "execute", 3]


async def test_encode_replaces_json(sandbox: Sandbox) -> None:
    adapter = "import json\ndef encode(value, options): return json.dumps(sorted(value), separators=(',', ':'))"
    assert (await sandbox.run(job("def execute(input): return {3, 1}", adapter=adapter))).value == b"[1,3]"


async def test_encode_refuses_with_an_exception(sandbox: Sandbox) -> None:
    adapter = "def encode(value, options): raise TypeError('expected text,\\n got number')"
    outcome = await sandbox.run(job("def execute(input): return 1", adapter=adapter))
    assert outcome.ending is Ending.NOT_SERIALIZABLE
    assert outcome.error is not None
    assert outcome.error.message == "expected text, got number"


async def test_encode_is_not_trusted_to_make_json(sandbox: Sandbox) -> None:
    adapter = "def encode(value, options): return '{nonsense'"
    outcome = await sandbox.run(job("def execute(input): return 1", adapter=adapter))
    assert outcome.ending is Ending.NOT_SERIALIZABLE


async def test_a_returned_exception_can_be_made_a_failure(sandbox: Sandbox) -> None:
    adapter = """
def encode(value, options):
    if isinstance(value, Exception):
        raise UserFailure(value)
    return '1'
"""
    outcome = await sandbox.run(job("def execute(input): return ValueError('as a value')", adapter=adapter))
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert (outcome.error.type, outcome.error.message) == ("ValueError", "as a value")


async def test_resolve_finds_the_function_its_own_way(sandbox: Sandbox) -> None:
    adapter = "def resolve(module_globals, name, options): return module_globals['TABLE'][name]"
    code = "TABLE = {'a b': lambda input: input}"
    assert value(await sandbox.run(job(code, 2, entrypoint="main:a b", adapter=adapter))) == 2
    outcome = await sandbox.run(job(code, entrypoint="main:c", adapter=adapter))
    assert outcome.error is not None
    assert outcome.error.reason is Reason.ENTRYPOINT_NOT_FOUND


async def test_an_adapters_own_frames_are_not_shown(sandbox: Sandbox) -> None:
    adapter = "def bind(function, argument, options): raise KeyError('missing')"
    outcome = await sandbox.run(job("def execute(input): return 1", adapter=adapter))
    assert outcome.error is not None
    assert outcome.error.traceback == "KeyError: 'missing'\n"
