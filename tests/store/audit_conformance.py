"""What every store does for the audit log."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import pytest
import sqlalchemy as sa

from polycall.acts import ANYWHERE, SYSTEM, Act, AuditEvent, AuditFilter, AuditOutcome, acting
from polycall.domain import ApiKey, Principal, Scope
from polycall.errors import AlreadyExists, InvalidArgument, NotFound, PolycallError
from polycall.ids import new_id, now_ms
from polycall.store.protocol import Lane, Store
from polycall.store.sql import SqlStore
from polycall.store.tables import audit_events
from tests.store.examples import ended, face_object, package, queued, secret

DAY_MS = 86_400_000
ADA = Principal(project_id="default", key_id="ada", scopes=frozenset(Scope))
EVERYTHING = AuditFilter()


def event(**changes: object) -> AuditEvent:
    plain = AuditEvent(
        id=new_id(),
        project_id="default",
        actor="ada",
        action="secret.delete",
        outcome=AuditOutcome.DONE,
        code=0,
        resource="secrets/s",
        face="riza",
        method="/polycall.faces.riza.v1.SecretsService/DeleteSecret",
        client="203.0.113.7",
        detail={"request": "r-1", "é": "\u2603"},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@contextmanager
def done_by_ada(action: str = "secret.create", *, many: bool = False) -> Iterator[Act]:
    act = Act(action, many=many, method="/test", client="203.0.113.7", request_id="r-2")
    act.who = ADA
    with acting(act):
        yield act


async def logged(store: Store, where: AuditFilter = EVERYTHING, project: str | None = "default") -> list[AuditEvent]:
    return list((await store.list_audit(project, where, 100)).items)


class AuditConformance:
    """The audit log."""

    async def test_events_come_back_as_they_were_at_the_databases_time(self, store: Store) -> None:
        written = [event(), event(project_id=ANYWHERE, actor=SYSTEM, outcome=AuditOutcome.FAILED, code=13, count=7)]
        before = await store.clock()
        await store.append_audit(written)
        found = await logged(store, project=None)
        assert {replace(e, time=0) for e in map(_hashable, found)} == set(map(_hashable, written))
        after = await store.clock()
        assert all(before <= e.time <= after for e in found)

    async def test_events_are_found_by_each_part_of_a_filter(self, store: Store) -> None:
        one = event(actor="bob", action="key.revoke", resource="apiKeys/k", outcome=AuditOutcome.REFUSED)
        await store.append_audit([event(), one, event(project_id="other", actor="eve")])
        filters = (
            AuditFilter(actor="bob"),
            AuditFilter(action="key.revoke"),
            AuditFilter(action="key.*"),
            AuditFilter(resource="apiKeys/k"),
            AuditFilter(outcome=AuditOutcome.REFUSED),
            AuditFilter(actor="bob", action="key.*", since=0, until=now_ms() + DAY_MS),
        )
        for where in filters:
            assert [e.id for e in await logged(store, where)] == [one.id], where
        nothing = (
            AuditFilter(actor="eve"),
            AuditFilter(action="key"),
            AuditFilter(action="ke.*"),
            AuditFilter(since=now_ms() + DAY_MS),
            AuditFilter(until=1),
        )
        for where in nothing:
            assert await logged(store, where) == [], where
        assert [e.actor for e in await logged(store, project="other")] == ["eve"]

    async def test_pages_go_on_where_they_ended_both_ways(self, store: Store) -> None:
        await store.append_audit([event(resource=f"secrets/{n}") for n in range(5)])
        await store.append_audit([event(project_id="other")])
        newest = await logged(store)
        assert len(newest) == 5
        for ascending in (False, True):
            found: list[AuditEvent] = []
            token = ""
            while True:
                page = await store.list_audit("default", EVERYTHING, 2, token, ascending=ascending)
                found += page.items
                token = page.next_token
                if not token:
                    break
            assert found == (newest[::-1] if ascending else newest)
        token = (await store.list_audit("default", EVERYTHING, 2)).next_token
        with pytest.raises(InvalidArgument):
            await store.list_audit("other", EVERYTHING, 2, token)

    async def test_the_database_refuses_to_change_the_log(self, store: Store) -> None:
        await store.append_audit([event()])
        before = await logged(store)
        for statement in (
            "UPDATE audit_events SET actor = 'mallory'",
            "UPDATE audit_events SET time = time",
            "DELETE FROM audit_events",
            "DELETE FROM audit_events WHERE actor = 'ada'",
            "INSERT INTO audit_events SELECT * FROM audit_events",
        ):
            with pytest.raises(PolycallError):
                await _run(store, statement)
            assert await logged(store) == before, statement

    async def test_retention_deletes_what_is_old_and_says_so(self, store: Store) -> None:
        now = await store.clock()
        for days in (400, 300, 3):
            await _backdated(store, event(resource=f"secrets/{days}"), now - days * DAY_MS)
        assert await store.prune_audit(now - 200 * DAY_MS, 1) == 1
        assert await store.prune_audit(now - 200 * DAY_MS, 10) == 1
        assert await store.prune_audit(now - 200 * DAY_MS, 10) == 0
        assert [e.resource for e in await logged(store)] == ["secrets/3"]
        said = await logged(store, project=ANYWHERE)
        assert [(e.actor, e.action, e.count) for e in said] == [("system", "audit.prune", 1)] * 2

    async def test_not_even_retention_deletes_what_is_of_the_last_day(self, store: Store) -> None:
        await store.append_audit([event()])
        with pytest.raises(PolycallError):
            await store.prune_audit(await store.clock() + DAY_MS, 10)
        assert len(await logged(store)) == 1
        with pytest.raises(PolycallError):  # nor does what it says to the triggers stay
            await _run(store, "DELETE FROM audit_events")

    async def test_a_change_leaves_its_event(self, store: Store) -> None:
        with done_by_ada():
            await store.create_secret(secret(), "sealed", most=10)
        (found,) = await logged(store)
        assert (found.actor, found.action, found.resource) == ("ada", "secret.create", f"secrets/{secret().id}")
        assert (found.outcome, found.code, found.client, found.method) == (AuditOutcome.DONE, 0, "203.0.113.7", "/test")
        assert found.detail == {"request": "r-2"}

    async def test_what_the_server_does_by_itself_leaves_none(self, store: Store) -> None:
        await store.create_secret(secret(), "sealed", most=10)
        with done_by_ada("") as act:  # a call that changes nothing, by what it is
            await store.update_secret("default", secret().id, name="another")
        assert not act.noted
        with done_by_ada() as act:
            act.closed = True
            await store.update_secret("default", secret().id, name="a third")
        assert await logged(store) == []

    async def test_a_change_that_fails_leaves_no_event(self, store: Store) -> None:
        await store.create_secret(secret(), "sealed", most=10)
        with done_by_ada() as act:
            with pytest.raises(AlreadyExists):
                await store.create_secret(secret(), "sealed", most=10)
            assert not act.noted
            with pytest.raises(NotFound):
                await store.delete_secret("default", "another")
        assert await logged(store) == []

    async def test_a_change_that_somebody_else_was_quicker_with_leaves_no_event(self, store: Store) -> None:
        made = await store.create_object(face_object("o"))
        assert await store.put_object(replace(made, data=b"{}")) is not None
        with done_by_ada("script.update") as act:
            assert await store.put_object(replace(made, data=b"[]")) is None
            assert not act.noted
        assert await logged(store) == []

    async def test_what_had_ended_is_cancelled_by_nobody(self, store: Store) -> None:
        runs, over = [await store.enqueue(queued(completion_url="https://a.example/")) for _ in range(2)]
        await store.claim("node", {"default": 2})
        await store.finish(ended(await store.get("default", over.id)), owner="node")
        waits = await store.enqueue(queued())
        for call, cancelled in ((waits, True), (runs, True), (over, False)):
            with done_by_ada("execution.cancel") as act:
                await store.request_cancel("default", call.id, now_ms())
            assert act.noted is cancelled
        lane = Lane("default", "a.example", 0)
        (there,) = await store.claim_deliveries("node", lane, 1, 60_000, 100)
        with done_by_ada("webhook.redeliver") as act:
            await store.redeliver("default", there.delivery.execution_id)
        assert not act.noted
        assert [e.action for e in await logged(store)] == ["execution.cancel"] * 2

    async def test_without_its_event_a_change_is_not_made(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        taken = event()
        await store.append_audit([taken])
        with done_by_ada() as act:
            made = act.event
            monkeypatch.setattr(Act, "event", lambda _, *args, **more: replace(made(*args, **more), id=taken.id))
            with pytest.raises(PolycallError):
                await store.create_secret(secret(), "sealed", most=10)
        with pytest.raises(NotFound):
            await store.get_secret("default", secret().id)
        assert [e.id for e in await logged(store)] == [taken.id]

    async def test_one_act_is_one_event_but_for_those_of_many_things(self, store: Store) -> None:
        for many, count in ((False, 1), (True, 2)):
            with done_by_ada("package.create", many=many):
                for name in ("a", "b"):
                    await store.create_package(package(f"{name}-{many}"))
                    await store.update_package(package(f"{name}-{many}"))
            found = [e for e in await logged(store) if e.resource.endswith(str(many))]
            assert len(found) == count

    async def test_the_event_is_of_the_project_that_is_changed(self, store: Store) -> None:
        with done_by_ada("key.create"):
            key = ApiKey(id="k", project_id="default", name="", scopes=frozenset(), created_at=1)
            with pytest.raises(NotFound):
                await store.create_key(replace(key, project_id="nowhere"), b"1" * 32)
            await store.create_key(key, b"1" * 32)
        assert [(e.project_id, e.resource) for e in await logged(store, project=None)] == [("default", "apiKeys/k")]

    async def test_a_link_that_is_a_credential_is_not_in_the_log(self, store: Store) -> None:
        link = "auln-and-what-opens-it"
        with done_by_ada("auth_link.create"):
            await store.create_object(face_object(link, kind="auth-link"))
        (found,) = await logged(store)
        assert found.resource.startswith("guance/auth-link/sha256:")
        assert link not in str(found)


def _hashable(e: AuditEvent) -> AuditEvent:
    return replace(e, detail=tuple(sorted(e.detail.items())))  # type: ignore[arg-type]


async def _run(store: Store, statement: str) -> None:
    executor = cast("SqlStore", store)._executor
    await executor.write(lambda conn: conn.execute(sa.text(statement)))


async def _backdated(store: Store, written: AuditEvent, time: int) -> None:
    values = {
        "id": uuid.uuid4(),
        "time": time,
        "outcome": written.outcome.value,
        "detail": "{}",
        **{n: getattr(written, n) for n in ("project_id", "actor", "face", "method", "action", "resource", "code")},
        "client": "",
        "count": 1,
    }
    await cast("SqlStore", store)._executor.write(lambda conn: conn.execute(sa.insert(audit_events).values(values)))
