"""Questions of a sandbox to the services of Guance's scripts: hostile ones are refused, and none reaches further."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import Entry, EntryQuota
from polycall.engine.adapters import Asker
from polycall.engine.entries import Entries
from polycall.faces.guance.cache import OPERATIONS
from polycall.faces.guance.services import ScriptOptions, ScriptServices
from polycall.sandbox.job import AskRefused

METHODS = ("store.set", "store.get", "store.list", "store.delete", "cache", "cache.list", "cache.mset", "cache.delete",
           "cache.move", "func")  # fmt: skip


class MemoryStore:
    """Entries in memory, whose project is looked at."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Entry] = {}
        self.projects: set[str] = set()

    async def get_entry(self, project_id: str, place: tuple[str, str], now: int) -> Entry | None:
        self.projects.add(project_id)
        return self.kept.get(place)

    async def entry_keys(
        self, project_id: str, space: str, after: str, now: int, rows: int
    ) -> Sequence[tuple[str, int]]:
        self.projects.add(project_id)
        return sorted((k, len(e.value)) for (s, k), e in self.kept.items() if s == space and k > after)[:rows]

    async def get_entries(
        self, project_id: str, space: str, keys: Sequence[str], now: int
    ) -> Sequence[tuple[str, Entry]]:
        self.projects.add(project_id)
        return [(key, self.kept[space, key]) for key in keys if (space, key) in self.kept]

    async def change_entries(
        self,
        project_id: str,
        places: Sequence[tuple[str, str]],
        change: Callable[[Sequence[Entry | None]], Sequence[Entry | None]],
        now: int,
        quota: EntryQuota,
    ) -> None:
        self.projects.add(project_id)
        for place, entry in zip(places, change([self.kept.get(place) for place in places]), strict=True):
            if entry is None:
                self.kept.pop(place, None)
            else:
                self.kept[place] = entry

    async def purge_entries(self, project_id: str, now: int) -> int:
        return 0


def services(store: MemoryStore | None = None, chain: tuple[str, ...] = ()) -> Any:
    options = msgspec.json.encode(ScriptOptions(script_id="set__script", chain=chain))
    return ScriptServices(Entries(store or MemoryStore())).of(Asker(project_id="mine", options=options))


async def refusal(method: str, payload: bytes, **made: Any) -> str:
    with pytest.raises(AskRefused) as refused:
        await services(**made).answer(method, payload)
    return str(refused.value)


@pytest.mark.parametrize("method", ["", "store", "store.drop", "__class__", "cache.flushall"])
async def test_an_unknown_question_is_refused(method: str) -> None:
    assert await refusal(method, b"{}") == "this server has nothing of that name"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b'{"project": "theirs"}', b'{"scope": 1}', b"{" * 5000, b'{"\xff": 1}']
)
async def test_a_question_of_another_shape_is_refused(method: str, payload: bytes) -> None:
    assert await refusal(method, payload) == "the question is not one that this server understands"


@pytest.mark.parametrize("op", [*OPERATIONS, "eval"])
@pytest.mark.parametrize("arguments", [[], [None], [{}], [[1]], ["x"] * 9, [1, 2, 3]])
async def test_arguments_of_another_kind_are_refused_or_do_no_harm(op: str, arguments: list[Any]) -> None:
    asked = services()
    question = msgspec.json.encode({"op": op, "key": "k", "args": arguments})
    with contextlib.suppress(AskRefused):
        await asked.answer("cache", question)
    assert await asked.answer("cache", b'{"op": "type", "key": "k"}') in (b'"none"', b'"string"', b'"list"', b'"set"')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


fields = ("scope", "key", "keys", "op", "args", "values", "pattern", "expires", "source", "target", "funcId")
questions = st.dictionaries(st.sampled_from(fields), json_values | st.sampled_from([*OPERATIONS]), max_size=5)


@given(st.sampled_from(METHODS), questions)
def test_no_question_does_more_than_be_answered_or_refused(method: str, question: dict[str, Any]) -> None:
    store = MemoryStore()

    async def ask() -> None:
        try:
            answer = await services(store).answer(method, msgspec.json.encode(question))
        except AskRefused:
            return
        msgspec.json.decode(answer)

    asyncio.run(ask())
    assert store.projects <= {"mine"}
    assert all(space.startswith(("guance.store:", "guance.cache:")) for space, _ in store.kept)


async def test_a_chain_ends_where_it_is_too_long_or_goes_in_a_circle() -> None:
    question = b'{"funcId": "a__b.c", "kwargs": {}}'
    assert await refusal("func", question, chain=("a__b.c",)) == "FuncCircularCall: `a__b.c` -> [a__b.c]"
    five = tuple(f"a__b.{n}" for n in range(5))
    assert (await refusal("func", question, chain=five)).startswith("FuncCallChainTooLong: `a__b.0` -> ")


async def test_what_is_asked_of_sets_and_hashes_takes_time_by_its_length_alone() -> None:
    asked = services()

    async def cache(op: str, *arguments: Any) -> Any:
        question = msgspec.json.encode({"op": op, "key": op[0], "args": arguments})
        return msgspec.json.decode(await asked.answer("cache", question))

    # looked up one by one in what is made anew for each, these take half a minute
    assert await cache("sadd", [f"{n:x}" for n in range(15_000)]) == 15_000
    assert await cache("sadd", [f"{n:x}" for n in range(15_000)]) == 0
    assert await cache("hset", {"aXb": "1", "ab": "2"}, False) == 2
    assert await cache("hkeys", "a?[b-c]", True) == {"aXb": "1"}
    for refused in (cache("hkeys", "a" * 513, False), cache("hset", {"a" * 513: ""}, False)):
        with pytest.raises(AskRefused, match="at most 512 characters"):
            await refused
    with pytest.raises(AskRefused):
        await cache("expireat", 10**400)


@pytest.mark.parametrize("seconds", [0, -1, 10**12, 10**30])
@pytest.mark.parametrize("name", ["timeout", "expires"])
async def test_no_time_that_no_database_holds_gets_beyond_the_question(name: str, seconds: int) -> None:
    question = msgspec.json.encode({"funcId": "a__b.c", "kwargs": {}, name: seconds})
    assert await refusal("func", question) == "the question is not one that this server understands"
