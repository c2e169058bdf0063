"""Results that are kept for an hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from polycall.domain import Execution, ExecutionState, Principal, Reason, Scope
from polycall.engine.engine import Engine
from polycall.errors import NotFound
from polycall.faces.guance.errors import Failure, Refused
from polycall.faces.guance.results import form_of, kept_result
from polycall.ids import now_ms
from tests.unit.faces.guance.fakes import execution

HOUR_MS = 3_600_000
WHO = Principal(project_id="default", key_id="k", scopes=frozenset({Scope.RUN}))
TASK = "task-0123456789aZ"
ALL = b'{"raw":30,"repr":"30.0","jsonDumps":"30.0","_responseControl":{}}'


@dataclass
class FakeEngine:
    ended: Execution | None

    @property
    def executions(self) -> FakeEngine:
        return self

    async def find(self, who: Principal, face: str, alias: str) -> Execution:
        if self.ended is None:
            raise NotFound(Reason.EXECUTION_NOT_FOUND, "polycall.v1.Execution", alias)
        return self.ended

    async def get(self, who: Principal, execution_id: Any) -> Execution:
        assert self.ended is not None
        return self.ended


async def found(ended: Execution | None, return_type: str = "raw", task: str = TASK) -> Any:
    return await kept_result(cast("Engine", FakeEngine(ended)), WHO, task, return_type)


def completed(age_ms: int, **changes: Any) -> Execution:
    given: dict[str, Any] = {"ended_at": now_ms() - age_ms, "result": ALL, "face_data": b"{}"} | changes
    return execution(ExecutionState.COMPLETED, None, **given)


async def test_a_result_is_there_for_an_hour() -> None:
    assert bytes(await found(completed(HOUR_MS - 60_000))) == b"30"
    with pytest.raises(Refused) as refused:
        await found(completed(HOUR_MS + 1))
    assert (refused.value.failure.error, refused.value.failure.detail) == (404.41, {"taskId": TASK})


async def test_what_was_not_to_be_saved_and_what_is_unknown_is_not_there() -> None:
    for ended in (completed(0, face_data=None), None):
        with pytest.raises(Refused) as refused:
            await found(ended)
        assert refused.value.failure.error == 404.41


@pytest.mark.parametrize("task", ["task-x", f"{TASK}x", f"{TASK}\n", "task-\0123456789a", "t" * 30_000])
async def test_what_is_no_tasks_id_is_asked_of_nobody(task: str) -> None:
    with pytest.raises(Refused) as refused:
        await found(completed(0), task=task)
    assert (refused.value.failure.error, refused.value.failure.detail) == (404.41, {"taskId": task})


async def test_a_task_that_runs_says_so() -> None:
    running = execution(ExecutionState.RUNNING, face_data=b"{}")
    failure = await found(running)
    assert failure == Failure(
        "EAPITimeout",
        599.1,
        "Waiting Func result timeout, but task is still running. Use task ID to fetch result later",
        {"id": TASK},
    )


@pytest.mark.parametrize(
    ("form", "text"), [("raw", b"30"), ("repr", b'"30.0"'), ("jsonDumps", b'"30.0"'), ("ALL", ALL)]
)
async def test_it_is_there_in_every_form(form: str, text: bytes) -> None:
    assert bytes(await found(completed(0), form)) == text


@pytest.mark.parametrize("spoiled", [b"1", b"[]", b"{}", b'{"repr": 1}'])
def test_a_result_that_its_script_has_spoiled_is_unreadable(spoiled: bytes) -> None:
    with pytest.raises(Refused) as refused:
        form_of(spoiled, "raw")
    assert (refused.value.failure.error, refused.value.failure.reason) == (599.4, "EFuncResultParsingFailed")
