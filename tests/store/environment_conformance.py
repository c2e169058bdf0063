"""What every store does with environments that servers keep for each other."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from polycall.domain import PackedEnvironment
from polycall.ids import id_at, new_id
from polycall.store.protocol import Store
from polycall.store.sql import SqlStore
from polycall.store.tables import environments
from tests.store.examples import revision, runtime

LEASE_MS = 60_000
NAME = "ab" * 32  # of the revision of the examples


def packed(name: str = NAME, upload: str = "", file_count: int = 7) -> PackedEnvironment:
    return PackedEnvironment(
        name=name,
        archive="cd" * 32,
        upload=upload or new_id().hex,
        pieces=2,
        size_bytes=2**33,
        data_bytes=2**34,
        file_count=file_count,
    )


async def kept(store: Store, packed: PackedEnvironment) -> PackedEnvironment:
    assert await store.claim_environment(packed.name, "a", LEASE_MS)
    for seq in range(packed.pieces):
        await store.add_environment_piece(packed.upload, seq, bytes([seq]) * 3)
    assert await store.keep_environment(packed)
    return packed


async def age(store: Store) -> None:
    assert isinstance(store, SqlStore)
    await store._executor.write(lambda conn: conn.execute(sa.update(environments).values(touched_at=1)))


class EnvironmentConformance:
    """Built environments and their pieces."""

    async def test_what_is_kept_comes_back_as_it_was(self, store: Store) -> None:
        assert await store.find_environment(NAME) is None
        made = await kept(store, packed())
        assert await store.find_environment(NAME) == made
        assert await store.kept_environments() == {NAME}
        pieces = [await store.environment_piece(made.upload, seq) for seq in range(3)]
        assert pieces == [b"\0\0\0", b"\1\1\1", None]

    async def test_one_node_that_lives_builds_it(self, store: Store) -> None:
        await store.join("a", "first")
        await store.join("b", "second")
        assert await store.claim_environment(NAME, "a", LEASE_MS)
        assert not await store.claim_environment(NAME, "b", LEASE_MS)
        assert await store.claim_environment(NAME, "a", LEASE_MS)
        await store.let_environment_go(NAME, "b")  # it is not its own
        assert not await store.claim_environment(NAME, "b", LEASE_MS)
        assert await store.kept_environments() == set()
        await store.leave("a")
        assert await store.claim_environment(NAME, "b", LEASE_MS)
        await store.let_environment_go(NAME, "b")
        await store.join("a", "first")
        assert await store.claim_environment(NAME, "a", LEASE_MS)

    async def test_what_is_kept_is_built_no_more_and_keeps_its_archive(self, store: Store) -> None:
        assert not await store.keep_environment(packed())  # nobody has claimed it
        made = await kept(store, packed())
        assert not await store.claim_environment(NAME, "b", LEASE_MS)
        assert not await store.keep_environment(packed(file_count=8))
        await store.let_environment_go(NAME, "a")
        assert await store.find_environment(NAME) == made

    async def test_what_is_damaged_is_dropped_and_its_successor_is_not(self, store: Store) -> None:
        made = await kept(store, packed())
        await store.forget_environment(NAME, "another")
        assert await store.find_environment(NAME) == made
        await store.forget_environment(NAME, made.upload)
        assert await store.find_environment(NAME) is None
        assert await store.environment_piece(made.upload, 0) is None
        assert await store.claim_environment(NAME, "b", LEASE_MS)

    async def test_an_upload_that_is_given_up_leaves_nothing(self, store: Store) -> None:
        made = await kept(store, packed())
        await store.add_environment_piece("given-up", 0, b"x")
        await store.drop_environment_pieces("given-up", 1)
        assert await store.environment_piece("given-up", 0) is None
        assert await store.environment_piece(made.upload, 0) == b"\0\0\0"

    async def test_a_sweep_takes_what_is_old_and_belongs_to_nothing(self, store: Store) -> None:
        await store.create_runtime(runtime(), revision())
        ids = iter([id_at(at).hex for at in range(1, 9)])
        used, unused = await kept(store, packed(upload=next(ids))), await kept(store, packed("ef" * 32, next(ids)))
        lost, young = next(ids), new_id().hex
        for upload in (lost, young):
            await store.add_environment_piece(upload, 0, b"x")
        assert await store.sweep_environments(100) == 1  # a server that was killed had not named it
        await age(store)
        assert await store.touch_environment(unused.name)
        assert not await store.touch_environment("01" * 32)
        assert await store.sweep_environments(100) == 0
        await age(store)
        assert await store.sweep_environments(1) == 1
        assert await store.sweep_environments(100) == 1
        assert await store.kept_environments() == {used.name}
        assert await store.environment_piece(unused.upload, 1) is None
        assert await store.environment_piece(used.upload, 1) == b"\1\1\1"
        assert await store.environment_piece(lost, 0) is None
        assert await store.environment_piece(young, 0) == b"x"

    @pytest.mark.parametrize("size", [0, 1 << 20])
    async def test_a_piece_may_have_any_length(self, store: Store, size: int) -> None:
        await store.add_environment_piece("u", 0, bytes(size))
        assert await store.environment_piece("u", 0) == bytes(size)
