"""Inputs are checked where it harms nobody; a sandbox that checks one is believed no more for that."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from polycall.engine.inputs import InputSchemas
from polycall.errors import Internal, InvalidArgument
from polycall.sandbox.job import Ending, Job, Outcome, Runner

PATTERN = b'{"pattern":"^a$"}'


@dataclass
class FakeRunner:
    """Ends every run in one way."""

    ending: Ending = Ending.RETURNED
    value: bytes | None = b'{"problem":null,"unusable":null}'
    jobs: list[Job] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def run(self, job: Job) -> Outcome:
        self.jobs.append(job)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return Outcome(ending=self.ending, value=self.value)


def schemas(runner: FakeRunner) -> InputSchemas:
    return InputSchemas(cast("Runner", runner))


async def test_what_takes_bounded_time_needs_no_sandbox() -> None:
    runner = FakeRunner()
    checks = schemas(runner)
    await checks.check("p", b"{}", b"nonsense", "input")  # anything fits, so nothing is looked at
    await checks.check("p", b'{"type":"integer"}', b"2.0", "input")
    await checks.check("p", b'{"type":"array"}', json.dumps([1] * 10_000).encode(), "input")
    with pytest.raises(InvalidArgument, match=r"^input/a/0: must be a string$"):
        await checks.check("p", b'{"properties":{"a":{"items":{"type":"string"}}}}', b'{"a":[1]}', "input")
    assert runner.jobs == []


async def test_expressions_and_large_inputs_go_to_a_sandbox() -> None:
    runner = FakeRunner()
    checks = schemas(runner)
    await checks.check("p", PATTERN, b'"a"', "input")
    await checks.check("p", b'{"type":"array"}', b"[" + b" " * (3 << 20) + b"]", "input")
    first, second = runner.jobs
    assert (first.limits.cpu_ms, second.limits.cpu_ms) == (1000, 4000)
    assert cast("dict[str, Any]", json.loads(first.payload))["value"] == '"a"'


@pytest.mark.parametrize(
    ("runner", "kind", "message"),
    [
        (FakeRunner(value=b'{"problem":"/: no"}'), InvalidArgument, "input: no"),
        (FakeRunner(value=b'{"unusable":"cannot be checked"}'), InvalidArgument, "input: cannot be checked"),
        (FakeRunner(value=b'{"problem":5}'), Internal, "The sandbox that checked the input answered nonsense."),
        (FakeRunner(ending=Ending.LOST, value=None), Internal, "The sandbox that checked the input was lost."),
        (
            FakeRunner(ending=Ending.OUT_OF_CPU_TIME, value=None),
            InvalidArgument,
            "input: takes more than 1 s or 512 MiB to check by its schema",
        ),
        (
            FakeRunner(ending=Ending.OUT_OF_MEMORY, value=None),
            InvalidArgument,
            "input: takes more than 1 s or 512 MiB to check by its schema",
        ),
    ],
)
async def test_however_the_sandbox_ends_nothing_passes(runner: FakeRunner, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as refused:
        await schemas(runner).check("p", PATTERN, b'"a"', "input")
    assert str(refused.value) == message


async def test_a_project_has_one_checked_at_a_time() -> None:
    runner = FakeRunner()
    checks = schemas(runner)
    await asyncio.gather(*(checks.check("p", PATTERN, b'"a"', "input") for _ in range(5)))
    assert runner.most_at_once == 1
    await asyncio.gather(*(checks.check(str(number), PATTERN, b'"a"', "input") for number in range(5)))
    assert runner.most_at_once == 2


async def test_a_schema_is_looked_at_before_it_is_kept() -> None:
    runner = FakeRunner()
    checks = schemas(runner)
    for schema, message in (
        (b'{"type":"text"}', "input_schema: /type: must be one or some of"),
        (b"[" * 100_000, "input_schema: is nested too deeply"),
        (b'{"title":"%s"}' % (b"x" * (1 << 20)), "input_schema: must have at most 1048576 bytes"),
    ):
        with pytest.raises(InvalidArgument) as refused:
            await checks.check_schema("p", schema, "input_schema")
        assert str(refused.value).startswith(message)
    assert runner.jobs == []
    await checks.check_schema("p", PATTERN, "input_schema")
    assert json.loads(runner.jobs[0].payload)["value"] is None
