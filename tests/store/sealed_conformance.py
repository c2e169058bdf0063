"""What every store does for who seals anew."""

from __future__ import annotations

from dataclasses import replace

from polycall.domain import SigningSecret
from polycall.store.protocol import Sealed, Store
from tests.store.examples import recorded, secret


class SealedConformance:
    """What is sealed, of all projects."""

    async def test_what_is_sealed_beside_executions_is_found_by_its_mark(self, store: Store) -> None:
        made = [recorded(face="riza", sealed=f"2.{key}.w.{n}") for n, key in enumerate("abba")]
        for execution in [*made, recorded()]:
            store.record(execution)
        await store.flush()
        assert [(await store.get("default", execution.id)).sealed for execution in made] == [e.sealed for e in made]
        assert await store.request_marks() == ["2.a", "2.b"]
        of_a = sorted(e.id for e in made if e.sealed and e.sealed.startswith("2.a"))
        (first,) = await store.all_sealed_requests("2.a", None, 1)
        (second,) = await store.all_sealed_requests("2.a", first.id, 9)
        assert ([first.id, second.id], first.face, first.project_id) == (of_a, "riza", "default")
        changes = [(first, replace(first, sealed="2.c.w.0")), (second, replace(second, sealed="2.c.w.3"))]
        assert await store.reseal(changes) == 2
        assert await store.request_marks() == ["2.b", "2.c"]
        assert await store.reseal(changes) == 0  # they are not what they were
        assert (await store.get("default", first.id)).sealed == "2.c.w.0"

    async def test_secrets_of_both_kinds_are_exchanged_while_they_are_what_they_were(self, store: Store) -> None:
        for name in "ab":
            await store.create_secret(secret(name), f"old {name}", most=9)
            signing = SigningSecret(project_id="default", id=name, created_at=1)
            await store.rotate_signing_secret(signing, f"old {name}", 60_000, 9)
        (kept,) = await store.all_sealed_secrets((await store.all_sealed_secrets(None, 1))[0], 9)
        (sign,) = await store.all_sealed_signing((await store.all_sealed_signing(None, 1))[0], 9)
        assert (kept.id, kept.sealed, sign.id, sign.sealed) == ("b", "old b", "b", "old b")
        changes: list[tuple[Sealed, Sealed]] = [
            (kept, replace(kept, sealed="new")),
            (sign, replace(sign, sealed="new")),
        ]
        assert await store.reseal(changes) == 2
        assert await store.reseal(changes) == 0
        assert await store.sealed_secrets("default", ["a", "b"]) == {"a": "old a", "b": "new"}
        assert [row.sealed for row in await store.all_sealed_signing(None, 9)] == ["old a", "new"]
