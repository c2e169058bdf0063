"""What every store does with values that code keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from polycall.domain import Entry, EntryQuota, Project
from polycall.errors import QuotaExceeded
from polycall.store.protocol import Store

OTHER = "other"  # a second project
ROOM = EntryQuota(100, 10_000)
A, B = ("s", "a"), ("s", "b")


async def put(
    store: Store, place: tuple[str, str], entry: Entry | None, quota: EntryQuota = ROOM, now: int = 1000
) -> None:
    await store.change_entries("default", [place], lambda _: [entry], now, quota)


class EntryConformance:
    """Values that code keeps."""

    async def test_a_value_comes_back_as_it_was_until_it_is_replaced_or_deleted(self, store: Store) -> None:
        assert await store.get_entry("default", A, 0) is None
        await put(store, A, Entry(b'"\xc3\xa9"'))
        assert await store.get_entry("default", A, 0) == Entry(b'"\xc3\xa9"')
        await put(store, A, Entry(b"2", 5000))
        assert await store.get_entry("default", A, 0) == Entry(b"2", 5000)
        await put(store, A, None)
        assert await store.get_entry("default", A, 0) is None

    async def test_spaces_and_projects_are_apart(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await put(store, A, Entry(b"1"))
        assert await store.get_entry("default", ("t", "a"), 0) is None
        assert await store.get_entry(OTHER, A, 0) is None
        assert await store.entry_keys(OTHER, "s", "", 0, 10) == []
        assert await store.get_entries(OTHER, "s", ["a"], 0) == []

    async def test_a_value_that_has_expired_is_not_there(self, store: Store) -> None:
        await put(store, A, Entry(b"1", 2000))
        assert await store.get_entry("default", A, 1999) == Entry(b"1", 2000)
        assert await store.get_entry("default", A, 2000) is None
        assert await store.entry_keys("default", "s", "", 2000, 10) == []
        assert await store.get_entries("default", "s", ["a"], 2000) == []
        seen: list[Sequence[Entry | None]] = []

        def look(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            seen.append(before)
            return before

        await store.change_entries("default", [A], look, 2000, ROOM)
        assert seen[-1] == [None]

    async def test_values_are_listed_by_key_in_slices(self, store: Store) -> None:
        for key in ("b", "a", "C", "\u00e9"):
            await put(store, ("s", key), Entry(b"0123456789"))
        size = len("s") + len("a") + 10
        keys = await store.entry_keys("default", "s", "", 0, 10)
        assert keys == [("C", size), ("a", size), ("b", size), ("\u00e9", size + 1)]
        assert await store.entry_keys("default", "s", "", 0, 2) == keys[:2]
        assert await store.entry_keys("default", "s", "a", 0, 10) == keys[2:]

    async def test_values_of_some_keys_come_in_the_order_of_the_keys(self, store: Store) -> None:
        places = [("s", f"{n:04}") for n in range(1200)]
        await store.change_entries("default", places, lambda _: [Entry(b"1")] * 1200, 0, EntryQuota(2000, 1 << 20))
        found = await store.get_entries("default", "s", ["1199", "nothing", *(key for _, key in places[:1000])], 0)
        assert [key for key, _ in found if key != "1199"] == [key for _, key in places[:1000]]
        assert ("1199", Entry(b"1")) in found

    async def test_several_change_at_once_or_none_does(self, store: Store) -> None:
        await store.change_entries("default", [A, B], lambda _: [Entry(b"1"), Entry(b"2")], 0, ROOM)

        def swap(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            return [before[1], before[0]]

        await store.change_entries("default", [A, B], swap, 0, ROOM)
        assert (await store.get_entry("default", A, 0), await store.get_entry("default", B, 0)) == (
            Entry(b"2"),
            Entry(b"1"),
        )

        def fail(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            raise KeyError("x")

        with pytest.raises(KeyError):
            await store.change_entries("default", [A, B], fail, 0, ROOM)
        assert await store.get_entry("default", A, 0) == Entry(b"2")

    async def test_changes_of_a_project_follow_each_other(self, store: Store) -> None:
        def more(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            return [Entry(b"%d" % (int(before[0].value) + 1 if before[0] is not None else 1))]

        await asyncio.gather(*[store.change_entries("default", [A], more, 0, ROOM) for _ in range(20)])
        assert await store.get_entry("default", A, 0) == Entry(b"20")

    async def test_a_project_keeps_so_many_values(self, store: Store) -> None:
        few = EntryQuota(2, 10_000)
        await put(store, A, Entry(b"1"), few)
        await put(store, B, Entry(b"1"), few)
        with pytest.raises(QuotaExceeded):
            await put(store, ("s", "c"), Entry(b"1"), few)
        await put(store, A, Entry(b"22"), few)  # in place of another
        await put(store, A, None, few)
        await put(store, ("s", "c"), Entry(b"1"), few)

    async def test_a_project_keeps_so_many_bytes_with_their_keys(self, store: Store) -> None:
        small = EntryQuota(100, 20)
        await put(store, A, Entry(b"0123456789"), small)  # 12 with space and key
        with pytest.raises(QuotaExceeded):
            await put(store, B, Entry(b"0123456"), small)
        await put(store, B, Entry(b"012345"), small)
        with pytest.raises(QuotaExceeded):
            await put(store, B, Entry(b"0123456"), small)
        await put(store, A, Entry(b"1"), EntryQuota(1, 1))  # what is too much already may become less

    async def test_what_has_expired_makes_room(self, store: Store) -> None:
        one = EntryQuota(1, 100)
        await put(store, A, Entry(b"1", 2000), one)
        with pytest.raises(QuotaExceeded):
            await put(store, B, Entry(b"1"), one, now=1999)
        await put(store, B, Entry(b"1"), one, now=2000)
        await put(store, B, None, one)
        await put(store, A, Entry(b"1"), one)

    async def test_what_has_expired_is_purged_of_its_project_alone(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await put(store, A, Entry(b"1", 2000))
        await put(store, B, Entry(b"1"))
        assert await store.purge_entries(OTHER, 3000) == 0
        assert await store.purge_entries("default", 1999) == 0
        assert await store.purge_entries("default", 2000) == 1
        assert await store.get_entry("default", A, 0) is None
        assert await store.get_entry("default", B, 9000) == Entry(b"1")
        await put(store, A, Entry(b"1"), EntryQuota(2, 6))
