"""The record buffer: executions that have ended, on their way to the database. No I/O.

It is bounded in rows and bytes. When the database is away for longer than it can hold, bodies go first, oldest first,
then whole rows; both are counted.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from dataclasses import replace

from polycall.domain import Execution
from polycall.quick import dataclass

__all__ = ["RecordBuffer", "RecordCounts"]

_ROW_BYTES = 1536  # an Execution and its place here: 1.2 KiB by tracemalloc, and something for long names


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """What became of records so far."""

    written: int = 0
    bodies_dropped: int = 0  # rows that lost their bodies
    rows_dropped: int = 0


class RecordBuffer:
    """Holds the newest record of each execution until it is written; used by the loop's thread only."""

    def __init__(self, *, rows: int, size: int) -> None:
        self._max_rows = rows
        self._max_size = size
        # by the ids' numbers: to hash a UUID is a call of Python code
        self._waiting: OrderedDict[int, Execution] = OrderedDict()
        self._with_bodies: OrderedDict[int, None] = OrderedDict()  # of those that wait, oldest first
        self._writing: dict[int, Execution] = {}
        self._names: dict[tuple[str, ...], uuid.UUID] = {}  # request ids and aliases
        self._size = 0
        self._written = self._bodies_dropped = self._rows_dropped = 0

    def __len__(self) -> int:
        """Return how many wait to be written."""
        return len(self._waiting)

    @property
    def counts(self) -> RecordCounts:
        """What became of records so far."""
        return RecordCounts(self._written, self._bodies_dropped, self._rows_dropped)

    def add(self, execution: Execution) -> bool:
        """Take a record, in place of an earlier one of the same execution. An end is never replaced.

        Return whether something had to be dropped for it.
        """
        number = execution.id.int
        waiting = self._waiting.get(number)
        earlier = waiting or self._writing.get(number)
        if earlier is not None and earlier.state.final:
            return False
        if waiting is not None:
            self._size -= _size(waiting)
        self._put(number, execution)
        return self._shrink()

    def find(self, project_id: str, execution_id: uuid.UUID) -> Execution | None:
        """Return the newest record of an execution, if it is not known to be written."""
        found = self._waiting.get(execution_id.int) or self._writing.get(execution_id.int)
        return found if found is not None and found.project_id == project_id else None

    def find_request(self, project_id: str, request_id: str) -> Execution | None:
        """Return the execution of a request id."""
        found = self._names.get((project_id, request_id))
        return None if found is None else self.find(project_id, found)

    def find_alias(self, project_id: str, face: str, alias: str) -> Execution | None:
        """Return the execution that a face knows by another id."""
        found = self._names.get((project_id, face, alias))
        return None if found is None else self.find(project_id, found)

    def take(self, rows: int) -> tuple[Execution, ...]:
        """Return up to ``rows`` records, oldest first; until ``written`` or ``put_back`` they can still be found.

        An eighth of the buffer's bytes at most: what is being written cannot be dropped to make room.
        """
        size = 0
        while self._waiting and len(self._writing) < rows and size < self._max_size // 8:
            number, execution = self._waiting.popitem(last=False)
            self._with_bodies.pop(number, None)
            self._writing[number] = execution
            size += _size(execution)
        return tuple(self._writing.values())

    def written(self, dropped: int = 0) -> None:
        """Forget what was taken: it is in the database, but for those that it does not take."""
        self._written += len(self._writing) - dropped
        self._rows_dropped += dropped
        taken, self._writing = self._writing, {}
        for execution in taken.values():
            self._size -= _size(execution)
            self._forget_names(execution)

    def put_back(self) -> None:
        """Let what was taken wait again, at the front."""
        taken, self._writing = self._writing, {}
        for number, execution in reversed(taken.items()):
            if number in self._waiting:  # replaced meanwhile
                self._size -= _size(execution)
                continue
            self._waiting[number] = execution
            self._waiting.move_to_end(number, last=False)
            if _has_bodies(execution):
                self._with_bodies[number] = None
                self._with_bodies.move_to_end(number, last=False)
        self._shrink()

    def _put(self, number: int, execution: Execution) -> None:
        self._waiting[number] = execution
        self._size += _size(execution)
        if _has_bodies(execution):
            self._with_bodies[number] = None
        else:
            self._with_bodies.pop(number, None)
        if execution.request_id is not None or execution.alias is not None:
            for name in _names(execution):
                self._names.setdefault(name, execution.id)

    def _shrink(self) -> bool:
        dropped = False
        while self._size > self._max_size and self._with_bodies:
            number, _ = self._with_bodies.popitem(last=False)
            execution = self._waiting[number]
            self._waiting[number] = bare = _without_bodies(execution)
            self._size += _size(bare) - _size(execution)
            self._bodies_dropped += 1
            dropped = True
        while self._waiting and (len(self._waiting) > self._max_rows or self._size > self._max_size):
            number, execution = self._waiting.popitem(last=False)
            self._with_bodies.pop(number, None)
            self._size -= _size(execution)
            self._forget_names(execution)
            self._rows_dropped += 1
            dropped = True
        return dropped

    def _forget_names(self, execution: Execution) -> None:
        names = _names(execution)
        if not names or execution.id.int in self._waiting or execution.id.int in self._writing:
            return
        for name in names:
            if self._names.get(name) == execution.id:
                del self._names[name]


def _names(execution: Execution) -> list[tuple[str, ...]]:
    names: list[tuple[str, ...]] = []
    if execution.request_id is not None:
        names.append((execution.project_id, execution.request_id))
    if execution.face is not None and execution.alias is not None:
        names.append((execution.project_id, execution.face, execution.alias))
    return names


def _has_bodies(execution: Execution) -> bool:
    return bool(execution.input or execution.result or execution.stdout or execution.stderr)


def _without_bodies(execution: Execution) -> Execution:
    return replace(
        execution,
        input=None,
        result=None,
        stdout=b"",
        stderr=b"",
        stdout_truncated=execution.stdout_truncated or bool(execution.stdout),
        stderr_truncated=execution.stderr_truncated or bool(execution.stderr),
        bodies_dropped=True,
    )


def _size(execution: Execution) -> int:
    """Return about how many bytes a record holds on to."""
    e = execution
    size = _ROW_BYTES + len(e.stdout) + len(e.stderr) + len(e.result or b"")
    if e.input or e.spec or e.face_data or e.sealed:
        size += sum(len(part or b"") for part in (e.input, e.spec, e.face_data, e.sealed))
    if e.error is not None:
        size += len(e.error.message) + len(e.error.traceback)
    return size
