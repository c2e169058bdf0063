"""What every store does. Each implementation inherits these tests and says only how it is made."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from dataclasses import replace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from polycall.bundle import bundle_digest
from polycall.domain import (
    ApiKey,
    Attempt,
    Execution,
    ExecutionError,
    ExecutionFilter,
    ExecutionKind,
    ExecutionState,
    OutputChunk,
    Package,
    Project,
    Reason,
    RevisionState,
    Scope,
    Session,
    Stream,
    VersionState,
)
from polycall.errors import AlreadyExists, InvalidArgument, NotFound, QuotaExceeded
from polycall.ids import id_at, new_id, now_ms
from polycall.store.protocol import Beat, Page, Store
from polycall.store.sql import SqlStore
from polycall.store.tables import blobs
from tests.store.accept_conformance import AcceptConformance
from tests.store.audit_conformance import AuditConformance
from tests.store.delivery_conformance import DeliveryConformance
from tests.store.entry_conformance import EntryConformance
from tests.store.environment_conformance import EnvironmentConformance
from tests.store.examples import (
    LATE,
    LOST,
    ended,
    face_object,
    package,
    queued,
    recorded,
    revision,
    runtime,
    secret,
    version,
)
from tests.store.limits_conformance import LimitsConformance
from tests.store.schedule_conformance import ScheduleConformance
from tests.store.sealed_conformance import SealedConformance

FILES = {"main.py": b"def function(n): ...\n", "data/\u00e9.bin": b"\x00\xff"}
OTHER = "other"  # a second project


class TenancyConformance:
    """Projects, API keys, sessions, counters."""

    async def test_the_default_project_is_there(self, store: Store) -> None:
        assert [project.id for project in await store.list_projects()] == ["default"]
        assert (await store.get_project("default")).id == "default"

    async def test_projects_come_back_as_they_were_in_order_of_their_ids(self, store: Store) -> None:
        made = [Project(id=name, created_at=7, display_name=f"<{name}>") for name in ("b", "B", "a-b", "a_b", "ab")]
        for project in made:
            assert await store.create_project(project) == project
        assert await store.get_project("b") == made[0]
        assert [p.id for p in await store.list_projects()] == sorted(["default", *(p.id for p in made)])

    async def test_a_project_is_made_once(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        with pytest.raises(AlreadyExists) as raised:
            await store.create_project(Project(id=OTHER, created_at=2))
        assert raised.value.resource_name == "projects/other"
        assert (await store.get_project(OTHER)).created_at == 1

    async def test_an_unknown_project_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFound) as raised:
            await store.get_project("nowhere")
        assert raised.value.reason is Reason.PROJECT_NOT_FOUND

    async def test_a_key_is_found_by_its_hash_alone(self, store: Store) -> None:
        key = _key("k1", scopes=frozenset({Scope.RUN, Scope.ADMIN}), expires_at=5, last_used_at=3)
        assert await store.create_key(key, b"1" * 32) == key
        assert await store.find_key(b"1" * 32) == key
        assert await store.find_key(b"2" * 32) is None

    async def test_ids_and_hashes_of_keys_are_taken_once(self, store: Store) -> None:
        await store.create_key(_key("k1"), b"1" * 32)
        with pytest.raises(AlreadyExists):
            await store.create_key(_key("k1"), b"2" * 32)
        with pytest.raises(AlreadyExists):
            await store.create_key(_key("k2"), b"1" * 32)
        assert await store.list_keys("default") == (_key("k1"),)

    async def test_a_key_needs_its_project(self, store: Store) -> None:
        with pytest.raises(NotFound) as raised:
            await store.create_key(_key("k1", project_id="nowhere"), b"1" * 32)
        assert raised.value.reason is Reason.PROJECT_NOT_FOUND
        assert await store.find_key(b"1" * 32) is None

    async def test_a_key_is_found_by_its_id_in_its_project(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_key(_key("a"), b"a" * 32)
        assert await store.get_key("default", "a") == _key("a")
        for project, key_id in ((OTHER, "a"), ("default", "b")):
            with pytest.raises(NotFound) as raised:
                await store.get_key(project, key_id)
            assert raised.value.reason is Reason.API_KEY_NOT_FOUND

    async def test_keys_are_listed_by_creation_and_project(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        for number, (name, project, at) in enumerate(
            [("z", "default", 1), ("b", "default", 3), ("a", "default", 3), ("x", OTHER, 2)]
        ):
            await store.create_key(_key(name, project_id=project, created_at=at), bytes([number]) * 32)
        await store.revoke_key("default", "a", 9)
        assert [key.id for key in await store.list_keys("default")] == ["z", "a", "b"]
        assert [key.id for key in await store.list_keys(OTHER)] == ["x"]

    async def test_a_revoked_key_stays_revoked_at_the_first_time(self, store: Store) -> None:
        await store.create_key(_key("k1"), b"1" * 32)
        assert (await store.revoke_key("default", "k1", 100)).revoked_at == 100
        assert (await store.revoke_key("default", "k1", 200)).revoked_at == 100
        found = await store.find_key(b"1" * 32)
        assert found is not None
        assert found.revoked_at == 100

    async def test_another_projects_key_cannot_be_revoked(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_key(_key("k1"), b"1" * 32)
        for project, name in ((OTHER, "k1"), ("default", "k2")):
            with pytest.raises(NotFound) as raised:
                await store.revoke_key(project, name, 100)
            assert raised.value.reason is Reason.API_KEY_NOT_FOUND
        assert (await store.list_keys("default"))[0].revoked_at is None

    async def test_the_last_use_of_keys_never_goes_back(self, store: Store) -> None:
        await store.create_key(_key("k1"), b"1" * 32)
        await store.create_key(_key("k2"), b"2" * 32)
        await store.touch_keys({})
        await store.touch_keys({"k2": 50, "k1": 70, "unknown": 1})
        await store.touch_keys({"k1": 60, "k2": 80})
        assert [key.last_used_at for key in await store.list_keys("default")] == [70, 80]

    async def test_a_nonce_is_spent_once(self, store: Store) -> None:
        session = _session(1)
        await store.create_session(session, b"n" * 32)
        bound = await store.bind_session("default", b"n" * 32, 500, 9000)
        assert bound == replace(session, status="ACTIVE", expires_at=9000)
        assert await store.bind_session("default", b"n" * 32, 501, 9001) is None
        assert await store.get_sessions("default", [1]) == (bound,)

    async def test_of_many_who_spend_a_nonce_at_once_one_succeeds(self, store: Store) -> None:
        await store.create_session(_session(1), b"n" * 32)
        spent = await asyncio.gather(*[store.bind_session("default", b"n" * 32, 500, 9000 + i) for i in range(8)])
        assert len([session for session in spent if session is not None]) == 1

    async def test_a_nonce_is_refused_when_late_unknown_or_anothers(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_session(_session(1), b"n" * 32)
        assert await store.bind_session("default", b"n" * 32, 1000, 9000) is None  # expires_at is exclusive
        assert await store.bind_session("default", b"m" * 32, 500, 9000) is None
        assert await store.bind_session(OTHER, b"n" * 32, 500, 9000) is None
        assert (await store.get_sessions("default", [1]))[0].status == "READY"

    async def test_sessions_come_in_the_order_asked(self, store: Store) -> None:
        for number in (1, 2, 2**40):
            await store.create_session(_session(number), b"%032d" % number)
        found = await store.get_sessions("default", [2**40, 7, 1, 2])
        assert [session.id for session in found] == [2**40, 1, 2]
        assert await store.get_sessions(OTHER, [1]) == ()
        assert await store.get_sessions("default", []) == ()

    async def test_sessions_are_listed_by_what_they_are_at_a_time(self, store: Store) -> None:
        for number in range(1, 6):
            await store.create_session(_session(number), b"%032d" % number)
        await store.bind_session("default", b"%032d" % 2, 500, 2000)
        await store.bind_session("default", b"%032d" % 3, 500, 3000)
        assert [each.status for each in await store.revoke_sessions("default", [4, 2**40, 3], 600)] == ["REVOKED"] * 2

        async def listed(now: int, *statuses: str) -> list[int]:
            return [each.id for each in (await store.list_sessions("default", statuses, now, 10)).items]

        assert await listed(700) == [5, 4, 3, 2, 1]
        assert await listed(700, "READY") == [5, 1]
        assert await listed(700, "ACTIVE") == [2]
        assert await listed(700, "EXPIRED") == []
        assert await listed(1000, "READY", "REVOKED") == [4, 3]
        assert await listed(1000, "EXPIRED") == [5, 1]
        assert await listed(2000, "EXPIRED") == [5, 2, 1]
        assert (await store.list_sessions(OTHER, (), 700, 10)).items == ()
        assert [each.status_at(700) for each in await store.get_sessions("default", [1, 2, 3])] == [
            "READY",
            "ACTIVE",
            "REVOKED",
        ]

    async def test_pages_of_sessions_stay_in_place_while_sessions_are_made(self, store: Store) -> None:
        for number in (1, 2, 3):
            await store.create_session(_session(number), b"%032d" % number)
        first = await store.list_sessions("default", (), 500, 2)
        await store.create_session(_session(4), b"%032d" % 4)
        second = await store.list_sessions("default", (), 500, 2, first.next_token)
        assert [each.id for each in (*first.items, *second.items)] == [3, 2, 1]
        assert second.next_token == ""
        with pytest.raises(InvalidArgument):
            await store.list_sessions("default", ("READY",), 500, 2, first.next_token)

    async def test_a_session_that_is_revoked_after_its_time_does_not_last_again(self, store: Store) -> None:
        await store.create_session(_session(1), b"n" * 32)
        await store.bind_session("default", b"n" * 32, 500, 2000)
        assert [each.status for each in await store.revoke_sessions("default", [1], 3000)] == ["REVOKED"]
        assert await store.extend_session("default", 1, 9000) is None

    async def test_only_an_active_session_lasts_longer_or_ends(self, store: Store) -> None:
        await store.create_session(_session(1), b"n" * 32)
        assert await store.extend_session("default", 1, 5000) is None
        await store.end_session("default", 1, 600)
        assert (await store.get_sessions("default", [1]))[0] == _session(1)
        bound = await store.bind_session("default", b"n" * 32, 500, 2000)
        assert bound is not None
        assert await store.extend_session(OTHER, 1, 5000) is None
        assert await store.extend_session("default", 1, 1000) == bound
        assert await store.extend_session("default", 1, 5000) == replace(bound, expires_at=5000)
        await store.end_session("default", 1, 600)
        assert (await store.get_sessions("default", [1]))[0].expires_at == 600
        await store.end_session("default", 1, 700)
        assert (await store.get_sessions("default", [1]))[0].expires_at == 600

    async def test_a_key_is_found_by_its_id_in_its_project_alone(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        key = await store.create_key(_key("k"), b"h" * 32)
        assert await store.get_key("default", "k") == key
        for project_id, key_id in ((OTHER, "k"), ("default", "other")):
            with pytest.raises(NotFound):
                await store.get_key(project_id, key_id)

    async def test_a_session_is_made_once(self, store: Store) -> None:
        await store.create_session(_session(1), b"n" * 32)
        with pytest.raises(AlreadyExists):
            await store.create_session(_session(1), b"m" * 32)
        with pytest.raises(AlreadyExists):
            await store.create_session(_session(2), b"n" * 32)

    async def test_counters_count_from_one_without_repeating(self, store: Store) -> None:
        numbers = await asyncio.gather(*[store.next_number("calls") for _ in range(1500)])
        assert numbers == list(range(1, 1501))
        assert await store.next_number("sessions") == 1


class SecretConformance:
    """Secrets, their values sealed."""

    async def test_a_secret_comes_back_as_it_was_and_its_value_apart(self, store: Store) -> None:
        assert await store.create_secret(secret(), "1.a.b", most=9) == secret()
        assert await store.get_secret("default", "secret") == secret()
        bare = secret("bare", face=None, created_by=None)
        await store.create_secret(bare, "1.c.d", most=9)
        assert await store.get_secret("default", "bare") == bare
        assert await store.sealed_secrets("default", ["secret", "bare", "nothing"]) == {
            "secret": "1.a.b",
            "bare": "1.c.d",
        }

    async def test_an_id_is_taken_once_and_a_name_only_if_asked(self, store: Store) -> None:
        await store.create_secret(secret(), "1.a.b", most=9)
        with pytest.raises(AlreadyExists) as taken:
            await store.create_secret(secret(name="Another"), "1.c.d", most=9)
        assert taken.value.resource_name == "secrets/secret"
        await store.create_secret(secret("namesake"), "1.c.d", most=9)
        with pytest.raises(AlreadyExists, match="secrets/secret has this name already") as taken:
            await store.create_secret(secret("third"), "1.e.f", most=9, unique_name=True)
        assert taken.value.resource_name == "secrets/secret"
        await store.create_secret(secret("third", name="Third"), "1.e.f", most=9, unique_name=True)

    async def test_a_project_has_so_many_secrets_whoever_creates_them_at_once(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_secret(secret(project_id=OTHER), "1.a.b", most=1)

        async def create(number: int) -> bool:
            try:
                await store.create_secret(secret(str(number)), "1.a.b", most=3)
            except QuotaExceeded:
                return False
            return True

        assert sum(await asyncio.gather(*map(create, range(8)))) == 3
        assert len((await store.list_secrets("default", 10)).items) == 3
        with pytest.raises(QuotaExceeded) as full:
            await store.create_secret(secret("more"), "1.a.b", most=3)
        assert (full.value.subject, full.value.reason) == ("secrets", Reason.QUOTA_EXCEEDED)
        with pytest.raises(NotFound) as missing:
            await store.create_secret(secret(project_id="nowhere"), "1.a.b", most=3)
        assert missing.value.reason is Reason.PROJECT_NOT_FOUND

    async def test_unknown_and_foreign_secrets_are_not_found(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_secret(secret(), "1.a.b", most=9)
        for project, secret_id in ((OTHER, "secret"), ("default", "nothing")):
            for attempt in (
                store.get_secret(project, secret_id),
                store.update_secret(project, secret_id, name="new"),
                store.update_secret(project, secret_id, value=("1.c.d", 3000)),
                store.update_secret(project, secret_id),
                store.delete_secret(project, secret_id),
            ):
                with pytest.raises(NotFound) as raised:
                    await attempt
                assert (raised.value.reason, raised.value.resource_name) == (
                    Reason.SECRET_NOT_FOUND,
                    f"secrets/{secret_id}",
                )
        assert await store.sealed_secrets(OTHER, ["secret"]) == {}
        assert await store.find_secret(OTHER, secret().name) is None
        assert (await store.list_secrets(OTHER, 10)).items == ()
        assert await store.sealed_secrets("default", ["secret"]) == {"secret": "1.a.b"}

    async def test_secrets_are_listed_newest_first_in_pages_or_after_a_place(self, store: Store) -> None:
        for number, name in enumerate("abcd"):
            await store.create_secret(
                secret(name, created_at=number // 2, face="riza" if number % 2 else None), "1.a.b", most=9
            )
        page = await store.list_secrets("default", 3)
        assert [s.id for s in page.items] == ["d", "c", "b"]
        rest = await store.list_secrets("default", 3, page.next_token)
        assert ([s.id for s in rest.items], rest.next_token) == (["a"], "")
        assert [s.id for s in (await store.list_secrets("default", 3, face="riza")).items] == ["d", "b"]
        for after, found in (((1, "d"), "cba"), ((1, "b"), "ba"), ((0, "b"), "a"), ((0, "a"), "")):
            assert "".join(s.id for s in (await store.list_secrets("default", 3, after=after)).items) == found
        with pytest.raises(InvalidArgument):
            await store.list_secrets("default", 3, page.next_token, face="riza")

    async def test_of_namesakes_the_newest_is_found(self, store: Store) -> None:
        assert await store.find_secret("default", secret().name) is None
        for number, name in enumerate("abc"):
            await store.create_secret(secret(name, created_at=number), "1.a.b", most=9)
        await store.create_secret(secret("d", name="Another", created_at=7), "1.a.b", most=9)
        assert await store.find_secret("default", secret().name) == secret("c", created_at=2)

    async def test_a_secret_gets_another_name_or_value(self, store: Store) -> None:
        await store.create_secret(secret(), "1.a.b", most=9)
        assert await store.update_secret("default", "secret") == secret()
        assert await store.update_secret("default", "secret", name="New") == secret(name="New")
        changed = secret(name="New", updated_at=3000)
        assert await store.update_secret("default", "secret", value=("1.c.d", 3000)) == changed
        assert await store.sealed_secrets("default", ["secret"]) == {"secret": "1.c.d"}
        both = secret(name="Both", updated_at=4000)
        assert await store.update_secret("default", "secret", name="Both", value=("1.e.f", 4000)) == both
        assert await store.get_secret("default", "secret") == both

    async def test_a_deleted_secret_is_gone_and_its_id_is_free(self, store: Store) -> None:
        await store.create_secret(secret(), "1.a.b", most=1)
        await store.delete_secret("default", "secret")
        assert await store.sealed_secrets("default", ["secret"]) == {}
        await store.create_secret(secret(), "1.c.d", most=1)


class RegistryConformance:
    """Packages, versions, bundles."""

    async def test_a_package_comes_back_as_it_was(self, store: Store) -> None:
        assert await store.create_package(package()) == package()
        assert await store.get_package("default", "package") == package()

    async def test_a_package_is_made_once_in_a_project_that_exists(self, store: Store) -> None:
        await store.create_package(package())
        with pytest.raises(AlreadyExists) as taken:
            await store.create_package(package(display_name="Another"))
        assert taken.value.resource_name == "packages/package"
        with pytest.raises(NotFound) as missing:
            await store.create_package(package(project_id="nowhere"))
        assert missing.value.reason is Reason.PROJECT_NOT_FOUND

    async def test_an_update_replaces_what_may_change(self, store: Store) -> None:
        await store.create_package(package())
        changed = package(display_name="B", description="", labels={}, updated_at=3000)
        assert await store.update_package(replace(changed, created_at=9)) == changed
        assert await store.get_package("default", "package") == changed

    async def test_unknown_and_foreign_packages_are_not_found(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_package(package())
        await store.create_version(version(), FILES)
        for project, name in ((OTHER, "package"), ("default", "nothing")):
            value = package(name, project_id=project)
            for attempt in (
                store.get_package(project, name),
                store.update_package(value),
                store.delete_package(project, name),
                store.newest_version(project, name),
                store.list_versions(project, name, 10),
                store.get_version(project, name, "1"),
                store.delete_version(project, name, "1"),
                store.set_version_state(project, name, "1", VersionState.RELEASED),
                store.create_version(version("2", project_id=project, package_id=name), FILES),
                store.put_version(version("2", project_id=project, package_id=name), FILES),
            ):
                with pytest.raises(NotFound) as raised:
                    await attempt
                assert raised.value.reason is Reason.PACKAGE_NOT_FOUND
        assert (await store.get_version("default", "package", "1")).id == "1"

    async def test_packages_are_paged_newest_first(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_package(package("foreign", project_id=OTHER))
        for name, at in (("a", 1), ("c", 2), ("b", 2), ("d", 2), ("e", 3)):
            await store.create_package(package(name, created_at=at))
        seen: list[Package] = []
        token, pages = "", 0
        while True:
            page = await store.list_packages("default", 2, token)
            seen += page.items
            token, pages = page.next_token, pages + 1
            if not token:
                break
        assert [item.id for item in seen] == ["e", "d", "c", "b", "a"]
        assert pages == 3
        assert seen[-1] == package("a", created_at=1)
        assert (await store.list_packages("default", 5)).next_token == ""

    async def test_a_face_finds_its_packages_by_alias_and_lists_no_others(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        mine = package("mine", face="riza", alias="x", face_data=b'{"a":1}')
        await store.create_package(mine)
        await store.create_package(package("native"))
        await store.create_package(package("theirs", face="domo", alias="x"))
        await store.create_package(package("foreign", project_id=OTHER, face="riza", alias="x"))
        assert await store.find_package("default", "riza", "x") == mine
        assert (await store.list_packages("default", 10, face="riza")).items == (mine,)
        assert [item.id for item in (await store.list_packages("default", 10)).items] == ["theirs", "native", "mine"]
        for project, face, alias in (("default", "riza", "y"), ("default", "guance", "x"), ("nowhere", "riza", "x")):
            with pytest.raises(NotFound) as missing:
                await store.find_package(project, face, alias)
            assert missing.value.reason is Reason.PACKAGE_NOT_FOUND

    async def test_an_alias_is_given_once_in_a_face(self, store: Store) -> None:
        await store.create_package(package("a", face="riza", alias="x"))
        await store.create_package(package("b", face="riza", alias="y"))
        with pytest.raises(AlreadyExists) as taken:
            await store.create_package(package("c", face="riza", alias="x"))
        assert taken.value.resource_name == "riza alias x"
        with pytest.raises(AlreadyExists):
            await store.update_package(package("b", face="riza", alias="x"))
        changed = package("a", face="riza", alias="z", face_data=b"{}")
        assert await store.update_package(changed) == changed
        assert await store.update_package(package("b", face="riza", alias="x")) == package("b", face="riza", alias="x")

    async def test_packages_of_a_face_go_on_after_any_place(self, store: Store) -> None:
        for name, at in (("a", 1), ("b", 2), ("c", 2), ("d", 3)):
            await store.create_package(package(name, face="riza", created_at=at))
        for after, rest in ((None, "dcba"), ((3, "d"), "cba"), ((2, "bb"), "ba"), ((0, ""), "")):
            assert "".join(p.id for p in await store.packages_after("default", "riza", after, 10)) == rest
        assert [p.id for p in await store.packages_after("default", "riza", None, 1)] == ["d"]
        everything = [p.id for p in await store.packages_after("default", "riza", None, 10)]
        upwards = [p.id for p in await store.packages_after("default", "riza", None, 10, oldest_first=True)]
        assert upwards == everything[::-1]
        first = await store.get_package("default", upwards[0])
        place = (first.created_at, first.id)
        assert [p.id for p in await store.packages_after("default", "riza", place, 1, oldest_first=True)] == upwards[
            1:2
        ]

    async def test_packages_of_a_face_are_listed_by_id_with_what_callers_get(self, store: Store) -> None:
        for name in ("c", "a", "b"):
            await store.create_package(package(name, face="guance", alias=None))
        await store.create_package(package("bb", face="riza", alias=None))
        for number, state in enumerate((VersionState.READY, VersionState.RELEASED, VersionState.READY)):
            await store.create_version(version(str(number), package_id="b", state=state), FILES)

        async def found(after: str, most: int) -> list[tuple[str, str | None]]:
            pairs = await store.with_newest("default", "guance", after, most)
            return [(package.id, None if version is None else version.id) for package, version in pairs]

        assert await found("", 10) == [("a", None), ("b", "1"), ("c", None)]
        assert await found("a", 1) == [("b", "1")]
        assert await found("c", 10) == []
        assert list(await store.with_newest(OTHER, "guance", "", 10)) == []

    async def test_deleting_a_package_takes_its_versions_and_leaves_its_executions(self, store: Store) -> None:
        await store.create_package(package())
        await store.create_version(version(), FILES)
        execution = await store.enqueue(queued())
        await store.delete_package("default", "package")
        with pytest.raises(NotFound):
            await store.get_version("default", "package", "1")
        assert await store.get("default", execution.id) == execution
        await store.create_package(package())
        assert await store.newest_version("default", "package") is None

    async def test_a_version_comes_back_as_it_was_with_the_digest_of_its_files(self, store: Store) -> None:
        await store.create_package(package())
        expected = version(bundle=bundle_digest(FILES), error="e", released_at=5, state=VersionState.RELEASED)
        assert await store.create_version(replace(expected, bundle="made up"), FILES) == expected
        assert await store.get_version("default", "package", "1") == expected
        assert await store.get_bundle("default", expected.bundle) == FILES

    async def test_what_was_put_in_and_what_came_out_share_nothing(self, store: Store) -> None:
        await store.create_package(package())
        env, files = {"A": "1"}, dict(FILES)
        made = await store.create_version(version(env=env), files)
        env["A"] = "2"
        files["main.py"] = b"changed"
        found = await store.get_version("default", "package", "1")
        assert dict(found.env) == {"A": "1"}
        assert await store.get_bundle("default", made.bundle) == FILES
        found.env["A"] = "3"  # type: ignore[index]
        assert dict((await store.get_version("default", "package", "1")).env) == {"A": "1"}

    async def test_a_version_is_made_once(self, store: Store) -> None:
        await store.create_package(package())
        await store.create_version(version(), FILES)
        with pytest.raises(AlreadyExists) as raised:
            await store.create_version(version(runtime="other"), {})
        assert raised.value.resource_name == "packages/package/versions/1"
        assert raised.value.reason is Reason.ALREADY_EXISTS
        assert (await store.get_version("default", "package", "1")).runtime == "python"

    async def test_a_working_version_is_replaced_until_it_is_released(self, store: Store) -> None:
        await store.create_package(package())
        draft = await store.put_version(version("draft", state=VersionState.DRAFT), {"main.py": b"1"})
        again = await store.put_version(replace(draft, env={}, created_at=9), {"main.py": b"2"})
        assert again.bundle != draft.bundle
        assert await store.get_version("default", "package", "draft") == again
        await store.set_version_state("default", "package", "draft", VersionState.RELEASED, released_at=10)
        with pytest.raises(AlreadyExists) as raised:
            await store.put_version(draft, {})
        assert raised.value.reason is Reason.VERSION_RELEASED
        assert (await store.get_version("default", "package", "draft")).env == {}

    async def test_a_version_is_swapped_only_for_what_was_read(self, store: Store) -> None:
        await store.create_package(package())
        read = await store.put_version(version(state=VersionState.READY), {"main.py": b"1"})
        first = await store.swap_version(replace(read, env={"by": "a"}, created_at=9), {"main.py": b"2"}, read)
        assert first is not None
        assert await store.get_version("default", "package", "1") == first
        assert await store.swap_version(replace(read, env={"by": "b"}, created_at=9), {"main.py": b"3"}, read) is None
        assert await store.get_version("default", "package", "1") == first
        told = await store.swap_version(replace(first, face_data=b'{"x":1}'), {"main.py": b"2"}, first)
        assert told is not None
        assert await store.swap_version(first, {"main.py": b"2"}, first) is None
        for project, name in (("default", "gone"), (OTHER, "1")):
            with pytest.raises(NotFound):
                await store.swap_version(version(name, project_id=project), FILES, told)
        await store.set_version_state("default", "package", "1", VersionState.RELEASED, released_at=10)
        with pytest.raises(AlreadyExists) as raised:
            await store.swap_version(told, FILES, told)
        assert raised.value.reason is Reason.VERSION_RELEASED

    async def test_a_package_and_its_first_version_are_made_both_or_neither(self, store: Store) -> None:
        made = await store.create_with_version(package(face="xpander"), version(), FILES)
        assert await store.get_version("default", "package", "1") == made
        assert await store.get_bundle("default", made.bundle) == FILES
        with pytest.raises(AlreadyExists):
            await store.create_with_version(package(), version("2"), FILES)
        assert await store.latest_version("default", "package") == made
        with pytest.raises(NotFound):
            await store.create_with_version(package("new", project_id=OTHER), version(package_id="new"), FILES)
        with pytest.raises(NotFound):
            await store.latest_version("default", "new")

    async def test_the_version_made_last_is_so_whatever_its_state(self, store: Store) -> None:
        await store.create_package(package())
        assert await store.latest_version("default", "package") is None
        for name, state in (("1", VersionState.READY), ("2", VersionState.ERROR), ("3", VersionState.ANALYSING)):
            made = await store.create_version(version(name, state=state, created_at=5), FILES)
            assert await store.latest_version("default", "package") == made
        with pytest.raises(NotFound):
            await store.latest_version(OTHER, "package")

    async def test_a_package_is_revised_behind_the_version_that_was_known(self, store: Store) -> None:
        first = await store.create_with_version(package(), version(created_at=5), FILES)
        second = version("2", created_at=6)
        changed = await store.revise(
            package(updated_at=3000), {"display_name": "new"}, after=first, version=second, files={"main.py": b"2"}
        )
        assert changed == package(updated_at=3000, display_name="new")
        latest = await store.latest_version("default", "package")
        assert latest is not None
        assert (latest.id, await store.get_bundle("default", latest.bundle)) == ("2", {"main.py": b"2"})
        # what is no longer so: another is the latest, or it has moved on
        moved = await store.set_version_state("default", "package", "2", VersionState.ERROR, error="line 1")
        for after in (first, latest, None):
            third = version("3", created_at=7)
            assert (
                await store.revise(
                    package(updated_at=4000), {"display_name": "x"}, after=after, version=third, files={}
                )
                is None
            )
        assert await store.get_package("default", "package") == changed
        with pytest.raises(AlreadyExists):
            await store.revise(package(), {"display_name": "x"}, after=moved, version=version("1"), files={})
        assert await store.get_package("default", "package") == changed
        for project, name in ((OTHER, "package"), ("default", "gone")):
            with pytest.raises(NotFound):
                await store.revise(package(name, project_id=project), {"display_name": "x"})

    async def test_texts_that_are_revised_at_once_are_all_kept(self, store: Store) -> None:
        first = await store.create_with_version(package(), version(), FILES)
        later = [version(str(number), created_at=first.created_at) for number in range(2, 10)]
        results = await asyncio.gather(
            store.revise(package(updated_at=3000), {"display_name": "n"}),
            store.revise(package(updated_at=3000), {"description": "d"}),
            *(store.revise(package(updated_at=3000), {}, after=first, version=each, files=FILES) for each in later),
        )
        assert [result is None for result in results].count(False) == 3  # one of the versions was first
        assert await store.get_package("default", "package") == package(
            updated_at=3000, display_name="n", description="d"
        )
        assert len((await store.list_versions("default", "package", 100)).items) == 2

    async def test_packages_of_a_face_are_listed_by_number_with_the_version_made_last(self, store: Store) -> None:
        for number in range(3):
            await store.create_package(package(f"p{number}", face="xpander", created_at=number))
        await store.create_package(package("native"))
        made = await store.create_version(version(package_id="p1", state=VersionState.ERROR), FILES)
        assert await store.list_of_face("default", "xpander", 1, 1) == (
            *(3, [(package("p1", face="xpander", created_at=1), made)]),
        )
        total, found = await store.list_of_face("default", "xpander", 0, 9)
        assert (total, [each.id for each, _ in found]) == (3, ["p2", "p1", "p0"])
        assert await store.list_of_face("default", "xpander", 10**30, 5) == (3, [])
        assert await store.list_of_face(OTHER, "xpander", 0, 5) == (0, [])

    async def test_a_version_moves_on_and_a_released_one_does_not(self, store: Store) -> None:
        await store.create_package(package())
        made = await store.create_version(version(state=VersionState.ANALYSING), FILES)
        failed = await store.set_version_state("default", "package", "1", VersionState.ERROR, error="line 1")
        assert failed == replace(made, state=VersionState.ERROR, error="line 1")
        released = await store.set_version_state("default", "package", "1", VersionState.RELEASED, released_at=77)
        assert released == replace(made, state=VersionState.RELEASED, released_at=77)
        with pytest.raises(AlreadyExists) as raised:
            await store.set_version_state("default", "package", "1", VersionState.ERROR, error="late")
        assert raised.value.reason is Reason.VERSION_RELEASED
        assert await store.get_version("default", "package", "1") == released

    async def test_what_an_analysis_finds_is_written_while_its_source_is_what_waits(self, store: Store) -> None:
        await store.create_package(package())
        made = await store.put_version(version(state=VersionState.ANALYSING, released_at=5), FILES)
        found = replace(made, state=VersionState.ERROR, error="line 1", functions=(), released_at=None)
        for other in (replace(found, created_at=made.created_at + 1), replace(found, bundle="0" * 64)):
            assert not await store.finish_analysis(other)
        assert not await store.finish_analysis(replace(found, project_id=OTHER))
        assert await store.get_version("default", "package", "1") == made
        assert await store.finish_analysis(replace(found, env={"not": "changed"}))
        assert await store.get_version("default", "package", "1") == found
        assert not await store.finish_analysis(replace(found, state=VersionState.READY))
        assert not await store.finish_analysis(replace(found, id="gone"))

    async def test_what_waits_for_its_analysis_is_found_in_every_project(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        for name in ("default", OTHER):
            await store.create_package(package(project_id=name))
        await store.create_version(version("ready"), FILES)
        made = [
            await store.create_version(version(number, project_id=name, state=VersionState.ANALYSING), FILES)
            for number, name in (("2", OTHER), ("1", "default"), ("3", "default"))
        ]
        assert await store.analysing_versions(9) == tuple(made)
        assert await store.analysing_versions(2) == tuple(made[:2])
        await store.finish_analysis(replace(made[0], state=VersionState.READY))
        assert await store.analysing_versions(9) == tuple(made[1:])

    async def test_unknown_versions_are_not_found(self, store: Store) -> None:
        await store.create_package(package())
        for attempt in (
            store.get_version("default", "package", "1"),
            store.delete_version("default", "package", "1"),
            store.set_version_state("default", "package", "1", VersionState.READY),
        ):
            with pytest.raises(NotFound) as raised:
                await attempt
            assert raised.value.reason is Reason.VERSION_NOT_FOUND
            assert raised.value.resource_name == "packages/package/versions/1"

    async def test_the_newest_version_is_released_else_ready_else_any(self, store: Store) -> None:
        await store.create_package(package())
        assert await store.newest_version("default", "package") is None

        async def newest_after(name: str, state: VersionState, at: int) -> str:
            await store.create_version(version(name, state=state, created_at=at), FILES)
            found = await store.newest_version("default", "package")
            assert found is not None
            return found.id

        assert await newest_after("error", VersionState.ERROR, 100) == "error"
        assert await newest_after("draft", VersionState.DRAFT, 50) == "error"
        assert await newest_after("ready", VersionState.READY, 10) == "ready"
        assert await newest_after("older", VersionState.READY, 9) == "ready"
        assert await newest_after("a twin", VersionState.READY, 10) == "a twin"  # inserted later
        assert await newest_after("released", VersionState.RELEASED, 1) == "released"
        assert await newest_after("z", VersionState.RELEASED, 2) == "z"
        assert await newest_after("y", VersionState.RELEASED, 2) == "y"

    async def test_a_package_is_changed_over_what_was_read_of_it_only(self, store: Store) -> None:
        await store.create_package(package(face="riza", face_data=b'{"n":1}'))
        first = package(face="riza", face_data=b'{"n":2}', display_name="first")
        assert await store.exchange_package(first, b'{"n":1}') == first
        late = package(face="riza", face_data=b'{"n":3}', display_name="late")
        assert await store.exchange_package(late, b'{"n":1}') is None
        assert await store.exchange_package(late, None) is None
        assert await store.get_package("default", "package") == first
        for unknown in (package(project_id=OTHER), package("nothing")):
            with pytest.raises(NotFound):
                await store.exchange_package(unknown, None)

    async def test_versions_are_paged_newest_first(self, store: Store) -> None:
        await store.create_package(package())
        for name, at in (("a", 5), ("b", 7), ("c", 7), ("d", 6)):
            await store.create_version(version(name, created_at=at), FILES)
        first = await store.list_versions("default", "package", 3)
        rest = await store.list_versions("default", "package", 3, first.next_token)
        assert [item.id for item in (*first.items, *rest.items)] == ["c", "b", "d", "a"]
        assert rest.next_token == ""

    async def test_a_deleted_version_is_gone_and_its_id_is_free(self, store: Store) -> None:
        await store.create_package(package())
        await store.create_version(version("1"), FILES)
        await store.create_version(version("2"), FILES)
        await store.delete_version("default", "package", "1")
        with pytest.raises(NotFound):
            await store.get_version("default", "package", "1")
        assert [item.id for item in (await store.list_versions("default", "package", 9)).items] == ["2"]
        await store.create_version(version("1"), FILES)

    async def test_a_bundle_belongs_to_its_project(self, store: Store) -> None:
        await store.create_package(package())
        made = await store.create_version(version(), FILES)
        for project, digest in ((OTHER, made.bundle), ("default", "0" * 64)):
            with pytest.raises(NotFound):
                await store.get_bundle(project, digest)

    async def test_a_large_body_is_not_a_bundle(self, store: Store) -> None:
        large = b"1" * 100_000
        await store.enqueue(queued(input=large))
        with pytest.raises(NotFound):
            await store.get_bundle("default", hashlib.sha256(large).hexdigest())

    async def test_only_tokens_of_a_list_continue_it(self, store: Store) -> None:
        await store.create_package(package("a"))
        await store.create_package(package("b"))
        for name in ("1", "2"):
            await store.create_version(version(name, package_id="a"), FILES)
        of_packages = (await store.list_packages("default", 1)).next_token
        of_versions = (await store.list_versions("default", "a", 1)).next_token
        for wrong in ("x", "\u00e9", "A" * 5000, of_packages[:-1], of_packages + "AAAA", of_versions, "AAAAAAAAAAA"):
            with pytest.raises(InvalidArgument) as raised:
                await store.list_packages("default", 1, wrong)
            assert [violation.field for violation in raised.value.violations] == ["page_token"]
        for wrong in (of_packages, of_versions):
            with pytest.raises(InvalidArgument):
                await store.list_versions("default", "b", 1, wrong)


class FaceConformance:
    """Objects of the faces."""

    async def test_an_object_comes_back_as_it_was_and_is_made_once(self, store: Store) -> None:
        made = face_object("a", alias="x")
        assert await store.create_object(made) == made
        assert await store.get_object("default", "guance", "set", "a") == made
        assert await store.find_object("default", "guance", "set", "x") == made
        for again, name in ((face_object("a"), "guance/set/a"), (face_object("b", alias="x"), "guance/set/x")):
            with pytest.raises(AlreadyExists) as taken:
                await store.create_object(again)
            assert taken.value.resource_name == name
        with pytest.raises(NotFound) as missing:
            await store.create_object(face_object("a", project_id="nowhere"))
        assert missing.value.reason is Reason.PROJECT_NOT_FOUND

    async def test_a_project_has_so_many_objects_of_a_kind_and_no_more(self, store: Store) -> None:
        for name in ("a", "b"):
            await store.create_object(face_object(name), most=2)
        with pytest.raises(QuotaExceeded):
            await store.create_object(face_object("c"), most=2)
        await store.create_object(face_object("c", kind="script"), most=2)
        await store.delete_object("default", "guance", "set", "a")
        await store.create_object(face_object("c"), most=2)

    async def test_an_object_is_changed_by_who_knows_its_last_change(self, store: Store) -> None:
        made = await store.create_object(face_object("a", alias="x"))
        changed = replace(made, data=b"[]", alias=None, updated_at=9, blob="ab")
        assert await store.put_object(changed) == replace(changed, revision=2)
        assert await store.put_object(changed) is None
        assert await store.get_object("default", "guance", "set", "a") == replace(changed, revision=2)
        await store.create_object(face_object("b", alias="x"))
        with pytest.raises(AlreadyExists):
            await store.put_object(replace(changed, revision=2, alias="x"))
        assert await store.put_object(face_object("nothing")) is None

    async def test_objects_are_listed_newest_first_in_pages_by_kind(self, store: Store) -> None:
        for name, at in (("a", 1), ("c", 2), ("b", 2)):
            await store.create_object(face_object(name, created_at=at))
        await store.create_object(face_object("d", kind="script"))
        await store.create_object(face_object("e", face="cognite"))
        page = await store.list_objects("default", "guance", "set", 2)
        assert [item.id for item in page.items] == ["c", "b"]
        page = await store.list_objects("default", "guance", "set", 2, page.next_token)
        assert page == Page((face_object("a", created_at=1),))

    async def test_some_objects_are_found_by_their_ids(self, store: Store) -> None:
        made = [await store.create_object(face_object(name)) for name in ("a", "b", "c")]
        await store.create_object(face_object("d", kind="script"))
        found = await store.some_objects("default", "guance", "set", ["c", "nothing", "d", "a"])
        assert sorted(found, key=lambda each: each.id) == [made[0], made[2]]
        assert list(await store.some_objects("default", "guance", "set", [])) == []
        assert list(await store.some_objects(OTHER, "guance", "set", ["a"])) == []

    async def test_a_blob_belongs_to_its_project(self, store: Store) -> None:
        made = await store.put_object(await store.create_object(face_object("a")), b"\x00" * 100_000)
        digest = hashlib.sha256(b"\x00" * 100_000).hexdigest()
        assert made is not None
        assert made.blob == digest
        assert await store.get_blob("default", digest) == b"\x00" * 100_000
        assert await store.get_blob(OTHER, digest) is None

    async def test_unknown_and_foreign_objects_are_not_found(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        made = await store.create_object(face_object("a", alias="x"))
        for project, face, kind in ((OTHER, "guance", "set"), ("default", "domo", "set"), ("default", "guance", "s")):
            for attempt in (
                store.get_object(project, face, kind, "a"),
                store.find_object(project, face, kind, "x"),
                store.delete_object(project, face, kind, "a"),
            ):
                with pytest.raises(NotFound) as raised:
                    await attempt
                assert raised.value.reason is Reason.FACE_OBJECT_NOT_FOUND
            assert await store.put_object(replace(made, project_id=project, face=face, kind=kind)) is None
        await store.delete_object("default", "guance", "set", "a")
        assert (await store.list_objects("default", "guance", "set", 10)).items == ()


class NodeConformance:
    """Servers that share a database."""

    async def test_nodes_learn_of_each_other_until_they_leave(self, store: Store) -> None:
        await store.join("a", "first")
        assert await store.beat("a", "first", 60_000) == Beat(others=frozenset(), owned=frozenset())
        await store.join("b", "second")
        assert (await store.beat("a", "first", 60_000)).others == {"b"}
        assert (await store.beat("a", "first", 0)).others == frozenset()  # nobody lives without a lease
        await store.leave("b")
        await store.leave("b")
        assert (await store.beat("a", "first", 60_000)).others == frozenset()

    async def test_the_next_boot_of_a_replica_takes_the_place_of_the_one_before(self, store: Store) -> None:
        await store.join("a", "first")
        await store.join("b", "second")
        await store.join("c", "first")
        assert (await store.beat("b", "second", 60_000)).others == {"c"}

    async def test_a_node_learns_what_it_owns(self, store: Store) -> None:
        await store.join("a", "first")
        # claimed in the order of their ids, which within a millisecond is any
        mine, others = [await store.enqueue(queued(id=id_at(at), alias=None, request_id=None)) for at in (1, 2)]
        assert [claimed.id for claimed in await store.claim("a", {"default": 1})] == [mine.id]
        assert [claimed.id for claimed in await store.claim("b", {"default": 1})] == [others.id]
        assert (await store.beat("a", "first", 60_000)).owned == {mine.id}
        assert await store.release("a", {others.id: 1}) == 0
        assert await store.release("a", {mine.id: 1}) == 1
        assert (await store.beat("a", "first", 60_000)).owned == frozenset()

    async def test_what_the_dead_left_is_queued_again_or_ends_and_what_the_living_have_stays(
        self, store: Store
    ) -> None:
        await store.join("dead", "first")
        await store.join("living", "second")
        again = await store.enqueue(queued(alias=None, request_id=None, max_attempts=2))
        last = await store.enqueue(queued(alias=None, request_id=None, max_attempts=1))
        stopped = await store.enqueue(queued(alias=None, request_id=None, max_attempts=2))
        await store.claim("dead", {"default": 3})
        await store.request_cancel("default", stopped.id, 1)
        kept = await store.enqueue(queued(alias=None, request_id=None, max_attempts=2))
        await store.claim("living", {"default": 1})
        assert await store.reap(LOST, 60_000) == {}
        await store.leave("dead")
        assert await store.reap(LOST, 60_000) == {
            ExecutionState.QUEUED: 1,
            ExecutionState.FAILED: 1,
            ExecutionState.CANCELLED: 1,
        }
        assert await store.reap(LOST, 60_000) == {}
        states = [(await store.get("default", item.id)).state for item in (again, last, stopped, kept)]
        assert states == [
            *(ExecutionState.QUEUED, ExecutionState.FAILED, ExecutionState.CANCELLED, ExecutionState.RUNNING)
        ]
        (claimed,) = await store.claim("living", {"default": 5})
        assert (claimed.id, claimed.attempt) == (again.id, 2)


class RetentionConformance:
    """What is kept no longer."""

    async def test_what_has_ended_is_deleted_by_age_and_in_slices_with_its_output(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        old = [recorded(id=id_at(at)) for at in (1000, 2000, 3000, 4000)]
        for execution in (*old, recorded(id=id_at(5), project_id=OTHER)):
            store.record(execution)
        await store.flush()
        waits = await store.enqueue(queued(id=id_at(1500), request_id=None, alias=None))
        await store.append_output(waits.id, 0, [OutputChunk(Stream.STDOUT, 1, b"x")])
        assert await store.prune_executions("default", 4000, 2) == 2
        assert await store.prune_executions("default", 4000, 2) == 1
        assert await store.prune_executions("default", 4000, 2) == 0
        left = (await store.list("default", ExecutionFilter(), 10)).items
        assert [execution.id for execution in left] == [old[3].id, waits.id]
        assert len((await store.list(OTHER, ExecutionFilter(), 10)).items) == 1

    async def test_of_a_project_the_newest_are_kept(self, store: Store) -> None:
        made = [recorded(id=id_at(at)) for at in (1000, 2000, 3000)]
        for execution in made:
            store.record(execution)
        await store.flush()
        assert await store.oldest_kept("default", 3) is None
        assert await store.oldest_kept("default", 2) == made[1].id
        assert await store.prune_executions("default", made[1].id, 10) == 1
        assert [item.id for item in (await store.list("default", ExecutionFilter(), 10)).items] == [
            *(made[2].id, made[1].id)
        ]

    async def test_sessions_are_deleted_once_they_are_over(self, store: Store) -> None:
        await store.create_session(replace(_session(1), expires_at=10), b"a")
        await store.create_session(replace(_session(2), expires_at=20), b"b")
        assert await store.prune_sessions("default", 20, 10) == 1
        assert [found.id for found in await store.get_sessions("default", [1, 2])] == [2]

    async def test_a_sweep_takes_old_blobs_that_nothing_refers_to(self, store: Store) -> None:
        await store.create_package(package())
        kept = await store.create_version(version(), FILES)
        ran = recorded(input=b'"' + b"i" * 100_000 + b'"', result=b'"' + b"r" * 100_000 + b'"', stdout=b"o" * 100_000)
        store.record(ran)
        await store.flush()
        made, blobs = await store.create_object(face_object("a")), []
        for content in (b"x" * 100_000, b"f" * 100_000):
            changed = await store.put_object(made, content)
            assert changed is not None
            made = changed
            blobs.append(made.blob or "")
        orphan, file = blobs
        place, deleted = await store.sweep_blobs(None, 100)
        assert (place, deleted) == (None, 0)  # all are young
        await _age_blobs(store)
        place, deleted, rounds = None, 0, 0
        while rounds == 0 or place is not None:
            place, count = await store.sweep_blobs(place, 2)
            deleted, rounds = deleted + count, rounds + 1
        assert (deleted, rounds) == (1, 4)
        assert await store.get_blob("default", orphan) is None
        assert await store.get_blob("default", file) is not None
        assert await store.get("default", ran.id) == ran
        assert await store.get_bundle("default", kept.bundle) == FILES
        await store.delete_package("default", "package")
        assert (await store.sweep_blobs(None, 100)) == (None, 1)


async def _age_blobs(store: Store) -> None:
    def age(conn: sa.Connection) -> None:
        conn.execute(sa.update(blobs).values(touched_at=0))

    await cast("SqlStore", store)._executor.write(age)


class RuntimeConformance:
    """Runtimes and their revisions."""

    async def test_a_runtime_and_its_first_revision_come_back_as_they_were(self, store: Store) -> None:
        assert await store.create_runtime(runtime(), revision()) == runtime()
        assert await store.get_runtime("default", "runtime") == runtime()
        assert await store.get_revision("default", "runtime", "1") == revision()
        assert await store.find_revision("default", "1") == revision()

    async def test_a_runtime_is_made_once_whole_in_a_project_that_exists(self, store: Store) -> None:
        await store.create_runtime(runtime(), revision())
        with pytest.raises(AlreadyExists) as taken:
            await store.create_runtime(runtime(display_name="Another"))
        assert taken.value.resource_name == "runtimes/runtime"
        with pytest.raises(AlreadyExists) as taken:  # ids of revisions are the project's
            await store.create_runtime(runtime("second"), revision(runtime_id="second"))
        assert taken.value.resource_name == "runtimes/second/revisions/1"
        with pytest.raises(NotFound) as missing:
            await store.create_runtime(runtime(project_id="nowhere"))
        assert missing.value.reason is Reason.PROJECT_NOT_FOUND
        assert [r.id for r in (await store.list_runtimes("default", 10)).items] == ["runtime"]

    async def test_unknown_and_foreign_runtimes_are_not_found(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        await store.create_runtime(runtime(), revision())
        for project, name in ((OTHER, "runtime"), ("default", "nothing")):
            for attempt in (
                store.get_runtime(project, name),
                store.delete_runtime(project, name),
                store.newest_revision(project, name),
                store.list_revisions(project, name, 10),
                store.get_revision(project, name, "1"),
                store.create_revision(revision("2", project_id=project, runtime_id=name)),
            ):
                with pytest.raises(NotFound) as raised:
                    await attempt
                assert (raised.value.reason, raised.value.resource_name) == (
                    Reason.RUNTIME_NOT_FOUND,
                    f"runtimes/{name}",
                )
        assert await store.find_revision(OTHER, "1") is None
        with pytest.raises(NotFound) as raised:
            await store.get_revision("default", "runtime", "2")
        assert raised.value.resource_name == "runtimes/runtime/revisions/2"

    async def test_runtimes_and_revisions_are_listed_newest_first_in_pages(self, store: Store) -> None:
        for number, name in enumerate("abc"):
            await store.create_runtime(runtime(name, created_at=number))
        for number, name in enumerate("abc"):
            await store.create_revision(revision(name, runtime_id="c", created_at=number))
        page = await store.list_runtimes("default", 2)
        assert [r.id for r in page.items] == ["c", "b"]
        assert [r.id for r in (await store.list_runtimes("default", 2, page.next_token)).items] == ["a"]
        revisions = await store.list_revisions("default", "c", 2)
        assert revisions.items[0] == revision("c", runtime_id="c", created_at=2, log="")
        rest = await store.list_revisions("default", "c", 2, revisions.next_token)
        assert ([r.id for r in rest.items], rest.next_token) == (["a"], "")
        with pytest.raises(InvalidArgument):
            await store.list_runtimes("default", 2, revisions.next_token)

    async def test_the_newest_revision_may_be_asked_of_a_state(self, store: Store) -> None:
        await store.create_runtime(runtime())
        assert await store.newest_revision("default", "runtime") is None
        for number, state in enumerate((RevisionState.READY, RevisionState.READY, RevisionState.FAILED)):
            await store.create_revision(revision(str(number), state=state, created_at=number))
        for asked, found in ((None, "2"), (RevisionState.READY, "1"), (RevisionState.FAILED, "2")):
            newest = await store.newest_revision("default", "runtime", asked)
            assert newest is not None
            assert newest.id == found
        assert await store.newest_revision("default", "runtime", RevisionState.BUILDING) is None

    async def test_a_build_moves_on_only_what_is_where_it_was(self, store: Store) -> None:
        waits = revision(state=RevisionState.PENDING, started_at=None, ended_at=None, digest="", preload=(), error=None)
        await store.create_runtime(runtime(), waits)
        assert list(await store.unfinished_revisions()) == [waits]
        assert await store.digests() == frozenset()
        building = replace(waits, state=RevisionState.BUILDING, started_at=5)
        assert await store.change_revision(building, [RevisionState.PENDING])
        assert not await store.change_revision(building, [RevisionState.PENDING])
        assert list(await store.unfinished_revisions()) == [building]
        assert await store.change_revision(revision(), [RevisionState.PENDING, RevisionState.BUILDING])
        assert await store.get_revision("default", "runtime", "1") == revision()
        assert list(await store.unfinished_revisions()) == []
        assert await store.digests() == {"ab" * 32}
        assert not await store.change_revision(revision("gone"), list(RevisionState))

    async def test_runtimes_that_have_a_revision_are_listed_from_a_place_on(self, store: Store) -> None:
        for number, name in enumerate(("a", "b", "c", "bare")):
            await store.create_runtime(runtime(name, created_at=number))
            if name != "bare":
                for at in (number, number + 10):
                    await store.create_revision(revision(f"{name}{at}", runtime_id=name, created_at=at))
        assert await store.runtimes_after(OTHER, None, 9) == []

        async def found(place: tuple[int, str] | None, most: int = 9) -> list[tuple[str, str]]:
            return [(each.id, newest.id) for each, newest in await store.runtimes_after("default", place, most)]

        assert await found(None) == [("c", "c12"), ("b", "b11"), ("a", "a10")]
        assert await found((2, "c"), 1) == [("b", "b11")]
        assert await found((1, "ab")) == [("a", "a10")]  # nothing need be there
        assert await found((0, "a")) == []
        ((_, newest), *_) = await store.runtimes_after("default", None, 1)
        assert newest == revision("c12", runtime_id="c", created_at=12, log="")

    async def test_a_runtime_goes_with_its_revisions(self, store: Store) -> None:
        await store.create_runtime(runtime(), revision())
        await store.create_runtime(runtime("other"), revision("2", runtime_id="other"))
        await store.delete_runtime("default", "runtime")
        assert await store.find_revision("default", "1") is None
        assert await store.find_revision("default", "2") is not None

    async def test_a_runtime_that_versions_run_on_stays_unless_it_shall_not(self, store: Store) -> None:
        await store.create_project(Project(id=OTHER, created_at=1))
        for name in ("r", "r2", "R"):
            await store.create_runtime(runtime(name))
        for project in ("default", OTHER):
            await store.create_package(package(project_id=project))
        for number, name in enumerate(("r/revisions/1", "r/revisions/2", "r2/revisions/1", "R/revisions/1")):
            await store.create_version(version(str(number), runtime=f"runtimes/{name}"), FILES)
        await store.create_version(version("9", project_id=OTHER, runtime="runtimes/r/revisions/1"), FILES)
        found = [f"packages/package/versions/{number}" for number in range(4)]
        assert list(await store.delete_runtime("default", "r", unless=10)) == found[:2]
        assert list(await store.delete_runtime("default", "r", unless=1)) == found[:1]
        assert list(await store.delete_runtime("default", "R", unless=10)) == found[3:]
        with pytest.raises(NotFound):
            await store.delete_runtime("default", "nothing", unless=10)
        assert await store.get_runtime("default", "r") == runtime("r")
        await store.delete_version("default", "package", "3")
        assert list(await store.delete_runtime("default", "R", unless=10)) == []
        assert list(await store.delete_runtime("default", "r")) == []
        for gone in ("R", "r"):
            with pytest.raises(NotFound):
                await store.get_runtime("default", gone)


class ExecutionConformance:
    """Records, reading, the queue."""

    @pytest.fixture
    async def other_project(self, store: Store) -> str:
        await store.create_project(Project(id=OTHER, created_at=1))
        return OTHER

    # records

    async def test_a_record_can_be_read_at_once_and_after_its_flush(self, store: Store) -> None:
        execution = recorded(alias="a-1", request_id="r-1")
        store.record(execution)
        assert await store.get("default", execution.id) == execution
        assert await store.find_alias("default", "guance", "a-1") == execution
        assert await store.find_request("default", "r-1") == execution
        await store.flush()
        assert await store.get("default", execution.id) == execution
        assert await store.find_alias("default", "guance", "a-1") == execution
        assert await store.find_request("default", "r-1") == execution

    async def test_a_record_with_nothing_but_what_it_must_have_comes_back_as_it_was(self, store: Store) -> None:
        execution = Execution(
            id=new_id(),
            project_id="default",
            kind=ExecutionKind.SYNC,
            state=ExecutionState.COMPLETED,
            queued_at=1,
        )
        store.record(execution)
        await store.flush()
        assert await store.get("default", execution.id) == execution

    async def test_records_are_flushed_by_themselves(self, store: Store) -> None:
        execution = recorded()
        store.record(execution)
        async with asyncio.timeout(60):
            while not (await store.list("default", ExecutionFilter(), 10)).items:
                await asyncio.sleep(0.01)
        assert await store.get("default", execution.id) == execution

    @pytest.mark.parametrize("flushed", [False, True])
    async def test_the_end_takes_the_place_of_running_and_stands(self, store: Store, flushed: bool) -> None:
        end = recorded(request_id="r-1")
        running = replace(end, state=ExecutionState.RUNNING, ended_at=None, result=None, error=None)
        for record in (running, end, running, replace(end, state=ExecutionState.COMPLETED, result=b"2")):
            store.record(record)
            if flushed:
                await store.flush()
        assert await store.get("default", end.id) == end
        await store.flush()
        assert await store.get("default", end.id) == end

    async def test_a_cancel_survives_the_end_of_a_record(self, store: Store) -> None:
        end = recorded()
        store.record(replace(end, state=ExecutionState.RUNNING, ended_at=None))
        asked = await store.request_cancel("default", end.id, now_ms())
        assert (asked.state, asked.cancel_requested) == (ExecutionState.RUNNING, True)
        store.record(end)
        await store.flush()
        assert await store.get("default", end.id) == replace(end, cancel_requested=True)

    async def test_a_record_never_touches_a_call(self, store: Store) -> None:
        call = await store.enqueue(queued(state=ExecutionState.RUNNING, owner="n", attempt=1))
        store.record(recorded(id=call.id))
        await store.flush()
        assert await store.get("default", call.id) == call

    async def test_of_two_records_with_a_request_id_both_stay_and_the_first_has_it(self, store: Store) -> None:
        first, second, third = recorded(request_id="r-1"), recorded(request_id="r-1"), recorded()
        store.record(first)
        await store.flush()
        store.record(second)
        store.record(third)
        await store.flush()
        assert await store.find_request("default", "r-1") == first
        assert await store.get("default", second.id) == replace(second, request_id=None)
        assert await store.get("default", third.id) == third

    @pytest.mark.parametrize("wrong", [{"function": "a\0b"}, {"function": "\ud800"}, {"exit_code": 2**70}])
    async def test_a_record_that_no_database_takes_does_not_hold_up_others(
        self, store: Store, wrong: dict[str, Any]
    ) -> None:
        poison, good = recorded(**wrong), recorded()
        store.record(poison)
        store.record(good)
        await store.flush()
        assert await store.get("default", good.id) == good
        assert [item.id for item in (await store.list("default", ExecutionFilter(), 9)).items] == [good.id]

    @pytest.mark.parametrize("size", [32 * 1024, 32 * 1024 + 1, 3_000_000])
    async def test_bodies_of_any_size_come_back(self, store: Store, size: int) -> None:
        execution = recorded(input=b"i" * size, result=b"r" * size, stdout=b"o" * size, stderr=b"r" * size)
        store.record(execution)
        await store.flush()
        assert await store.get("default", execution.id) == execution
        call = await store.enqueue(queued(input=b"i" * size))
        (claimed,) = await store.claim("n", {"default": 1})
        assert claimed.input == call.input
        end = ended(claimed, result=b"r" * size, stdout=b"s" * size)
        assert await store.finish(end, owner="n")
        assert await store.get("default", call.id) == replace(end, owner=None)

    # reading

    async def test_a_list_has_small_bodies_and_says_where_a_large_one_is_missing(
        self, store: Store, other_project: str
    ) -> None:
        first, second, third = (id_at(now_ms() + n) for n in range(3))  # ids of one millisecond are in no order
        small, also, large = recorded(id=first), recorded(id=second), recorded(id=third, stdout=b"x" * 40_000)
        others = recorded(project_id=other_project)
        for execution in (small, also, large, others):
            store.record(execution)
        await store.flush()
        found = await store.list_with_bodies("default", ExecutionFilter(), 9)
        assert found == [(replace(large, stdout=b""), False), (also, True), (small, True)]
        assert await store.list_with_bodies("default", ExecutionFilter(before=large.id), 1) == [(also, True)]
        assert await store.list_with_bodies("default", ExecutionFilter(states=(ExecutionState.QUEUED,)), 9) == []

    async def test_what_is_unknown_or_anothers_is_not_found(self, store: Store, other_project: str) -> None:
        record, call = recorded(alias="a-1", request_id="r-1"), queued(face="cognite", alias="7", request_id="r-2")
        store.record(record)
        await store.enqueue(call)
        for _ in range(2):
            for execution in (record, call):
                with pytest.raises(NotFound) as raised:
                    await store.get(other_project, execution.id)
                assert raised.value.reason is Reason.EXECUTION_NOT_FOUND
                assert raised.value.resource_name == f"executions/{execution.id}"
                assert execution.face is not None
                assert execution.alias is not None
                with pytest.raises(NotFound):
                    await store.find_alias(other_project, execution.face, execution.alias)
                with pytest.raises(NotFound):
                    await store.find_alias("default", "riza", execution.alias)
                with pytest.raises(NotFound):
                    await store.output(other_project, execution.id)
                with pytest.raises(NotFound):
                    await store.request_cancel(other_project, execution.id, now_ms())
                assert execution.request_id is not None
                assert await store.find_request(other_project, execution.request_id) is None
            await store.flush()
        for unknown in (new_id(), uuid.uuid4(), id_at(0)):
            with pytest.raises(NotFound):
                await store.get("default", unknown)
            with pytest.raises(NotFound):
                await store.output("default", unknown)
            with pytest.raises(NotFound):
                await store.request_cancel("default", unknown, now_ms())
        assert not (await store.get("default", call.id)).cancel_requested

    async def test_lists_are_paged_both_ways_without_bodies(self, store: Store, other_project: str) -> None:
        made = [recorded() if number % 2 else queued() for number in range(7)]
        for execution in made:
            if execution.kind is ExecutionKind.SYNC:
                store.record(execution)
            else:
                await store.enqueue(execution)
        store.record(recorded(project_id=other_project))
        await store.flush()
        expected = [
            replace(item, input=None, result=None, stdout=b"", stderr=b"", spec=None, outbound=(), outbound_omitted=0)
            for item in sorted(made, key=lambda item: item.id)
        ]
        assert await _all_pages(store, ExecutionFilter(), 3, ascending=True) == expected
        assert await _all_pages(store, ExecutionFilter(), 3) == expected[::-1]
        with pytest.raises(ValueError, match="at least one item"):
            await store.list("default", ExecutionFilter(), 0)
        whole = await store.list("default", ExecutionFilter(), 7)
        assert (len(whole.items), whole.next_token) == (7, "")

    async def test_a_filter_matches_in_every_part(self, store: Store) -> None:
        start = now_ms()
        variants: list[dict[str, Any]] = [
            {},
            {"package_id": "p2"},
            {"version_id": "2"},
            {"function": "g"},
            {"face": "riza"},
            {"package_id": None, "version_id": None, "function": None, "face": None},
            {"state": ExecutionState.COMPLETED},
            {"state": ExecutionState.TIMEOUT},
            {"state": ExecutionState.RUNNING, "exit_code": None},
            {"exit_code": 0},
        ]
        made = []
        for number, changes in enumerate(variants):
            at = start + number * 10
            made.append(recorded(**{"id": _id_at(at, number), "queued_at": at, **changes}))
            store.record(made[-1])
        await store.flush()

        async def numbers(**where: Any) -> list[int]:
            found = await _all_pages(store, ExecutionFilter(**where), 2, ascending=True)
            ids = [item.id for item in made]
            return [ids.index(item.id) for item in found]

        every = list(range(10))
        assert await numbers() == every
        assert await numbers(before=made[3].id) == [0, 1, 2]
        assert await numbers(before=id_at(start - 1)) == []
        assert await numbers(failed_exit=True) == every[:9]
        assert await numbers(failed_exit=True, before=made[2].id, face="riza") == []
        assert await numbers(package_id="p2") == [1]
        assert await numbers(version_id="2") == [2]
        assert await numbers(function="g") == [3]
        assert await numbers(face="riza") == [4]
        assert await numbers(package_id="package") == [0, 2, 3, 4, 6, 7, 8, 9]
        assert await numbers(states=(ExecutionState.COMPLETED,)) == [6]
        assert await numbers(states=(ExecutionState.FAILED, ExecutionState.TIMEOUT)) == [0, 1, 2, 3, 4, 5, 7, 9]
        assert await numbers(states=(ExecutionState.QUEUED, ExecutionState.RUNNING)) == [8]
        assert await numbers(states=(ExecutionState.RUNNING, ExecutionState.COMPLETED)) == [6, 8]
        assert await numbers(states=tuple(ExecutionState)) == every
        assert await numbers(queued_after=start + 20) == every[2:]
        assert await numbers(queued_before=start + 20) == [0, 1]
        assert await numbers(queued_after=start + 20, queued_before=start + 21) == [2]
        assert await numbers(queued_after=-(10**14), queued_before=10**16) == every
        assert await numbers(package_id="package", states=(ExecutionState.TIMEOUT,), face="guance") == [7]
        assert await numbers(package_id="package", states=(ExecutionState.TIMEOUT,), face="domo") == []

    async def test_only_tokens_of_the_same_list_continue_it(self, store: Store, other_project: str) -> None:
        for _ in range(3):
            store.record(recorded())
            store.record(recorded(project_id=other_project))
        await store.flush()
        token = (await store.list("default", ExecutionFilter(), 1)).next_token
        assert len((await store.list("default", ExecutionFilter(), 9, token)).items) == 2
        flipped = ("B" if token[0] == "A" else "A") + token[1:]
        for project, where, ascending, wrong in (
            ("default", ExecutionFilter(), False, "nonsense"),
            ("default", ExecutionFilter(), False, flipped),
            ("default", ExecutionFilter(), True, token),
            ("default", ExecutionFilter(face="guance"), False, token),
            (other_project, ExecutionFilter(), False, token),
        ):
            with pytest.raises(InvalidArgument) as raised:
                await store.list(project, where, 1, wrong, ascending=ascending)
            assert [violation.field for violation in raised.value.violations] == ["page_token"]

    # accepting

    async def test_an_accepted_call_comes_back_as_it_was(self, store: Store) -> None:
        call = queued(face="cognite", alias="7", request_id="r-1", deadline=now_ms() + 1000)
        assert await store.enqueue(call) == call
        assert await store.get("default", call.id) == call
        assert await store.find_alias("default", "cognite", "7") == call
        assert await store.find_request("default", "r-1") == call

    async def test_a_repeated_request_id_returns_the_first_call(self, store: Store, other_project: str) -> None:
        first = await store.enqueue(queued(request_id="r-1"))
        assert await store.enqueue(queued(request_id="r-1", input=b"2")) == first
        (claimed,) = await store.claim("n", {"default": 9})
        end = replace(ended(claimed), owner=None)
        assert await store.finish(end, owner="n")
        assert await store.enqueue(queued(request_id="r-1")) == end
        elsewhere = queued(request_id="r-1", project_id=other_project)
        assert await store.enqueue(elsewhere) == elsewhere

    async def test_of_many_with_one_request_id_one_is_made(self, store: Store) -> None:
        made = await asyncio.gather(*[store.enqueue(queued(request_id="r-1")) for _ in range(12)])
        assert len({execution.id for execution in made}) == 1
        assert await store.backlog() == 1

    async def test_what_waits_is_counted_by_project_and_not_further_than_asked(
        self, store: Store, other_project: str
    ) -> None:
        for number in range(4):
            await store.enqueue(queued(deadline=10**15 + number))
        await store.enqueue(queued(project_id=other_project))
        assert [await store.waiting("default", most) for most in (3, 4, 9)] == [3, 4, 4]
        assert await store.waiting(other_project, 9) == 1
        await store.claim("n", {"default": 1})
        assert await store.waiting("default", 9) == 3

    async def test_a_request_id_that_a_record_has_returns_the_record(self, store: Store) -> None:
        record = recorded(request_id="r-1")
        store.record(record)
        assert await store.enqueue(queued(request_id="r-1")) == record
        await store.flush()
        assert await store.enqueue(queued(request_id="r-1")) == record
        assert await store.backlog() == 0

    async def test_an_alias_is_taken_once_within_project_and_face(self, store: Store, other_project: str) -> None:
        call = await store.enqueue(queued(face="cognite", alias="7"))
        with pytest.raises(AlreadyExists) as raised:
            await store.enqueue(queued(face="cognite", alias="7"))
        assert raised.value.resource_name == "executions/7"
        with pytest.raises(AlreadyExists):
            await store.enqueue(queued(id=call.id))
        await store.enqueue(queued(face="guance", alias="7"))
        await store.enqueue(queued(face="cognite", alias="7", project_id=other_project))
        assert await store.backlog() == 3

    async def test_only_what_waits_or_has_an_owner_is_accepted(self, store: Store) -> None:
        for wrong in (
            queued(state=ExecutionState.RUNNING),
            queued(owner="n"),
            queued(state=ExecutionState.COMPLETED),
            recorded(),
        ):
            with pytest.raises(ValueError, match="cannot enqueue"):
                await store.enqueue(wrong)

    async def test_text_that_a_database_cannot_hold_is_refused(self, store: Store) -> None:
        for text in ("a\0b", "a\ud800b"):
            with pytest.raises(InvalidArgument):
                await store.enqueue(queued(face="guance", alias=text))
            with pytest.raises(InvalidArgument):
                await store.find_alias("default", "guance", text)
            with pytest.raises(InvalidArgument):
                await store.create_package(package(display_name=text))
            with pytest.raises(InvalidArgument):
                await store.create_package(package(labels={"a": text.replace("\0", "\ud800")}))
            with pytest.raises(InvalidArgument):
                await store.get_package("default", text)
        assert await store.backlog() == 0

    # claiming and finishing

    async def test_what_is_delayed_is_claimed_when_it_is_due(self, store: Store) -> None:
        later = await store.enqueue(queued(), delay_ms=60_000)
        soon = await store.enqueue(queued(), delay_ms=50)
        claimed: list[Execution] = []
        async with asyncio.timeout(60):
            while not claimed:
                claimed = list(await store.claim("n", {"default": 5}))
                await asyncio.sleep(0.005)
        assert [call.id for call in claimed] == [soon.id]
        assert now_ms() - soon.queued_at >= 50
        assert (await store.get("default", later.id)).state is ExecutionState.QUEUED

    async def test_the_longest_waiting_of_each_project_are_claimed_first(
        self, store: Store, other_project: str
    ) -> None:
        assert await store.due() == []
        calls = []
        for project in ("default", other_project, "default", "default"):
            calls.append(await store.enqueue(queued(project_id=project)))
            await asyncio.sleep(0.002)  # ids have milliseconds
        assert sorted(await store.due()) == sorted(["default", other_project])
        before = now_ms()
        first = await store.claim("n", {"default": 2, other_project: 2})
        assert await store.due() == ["default"]
        rest = await store.claim("m", {"default": 2, other_project: 2})
        assert list(await store.claim("n", {"default": 2, other_project: 2})) == []
        assert list(await store.claim("n", {})) == []
        assert {e.id for e in first} == {c.id for c in calls[:3]}
        assert [e.id for e in first if e.project_id == "default"] == [calls[0].id, calls[2].id]
        assert [e.id for e in rest] == [calls[3].id]
        owners = {call.id: "n" for call in calls} | {calls[3].id: "m"}
        for claimed in (*first, *rest):
            (call,) = (call for call in calls if call.id == claimed.id)
            assert claimed.started_at is not None
            assert abs(claimed.started_at - before) < 60_000
            assert claimed == replace(
                call, state=ExecutionState.RUNNING, attempt=1, owner=owners[call.id], started_at=claimed.started_at
            )
            assert await store.get(call.project_id, call.id) == claimed

    async def test_of_many_who_claim_nobody_gets_the_same(self, store: Store) -> None:
        await asyncio.gather(*[store.enqueue(queued()) for _ in range(60)])
        taken = await asyncio.gather(*[store.claim(f"n{number}", {"default": 7}) for number in range(10)])
        assert all(len(part) <= 7 for part in taken)
        ids = [execution.id for part in taken for execution in part]
        assert len(ids) == len(set(ids))
        # rows that another claim had locked are skipped, not waited for
        while more := await store.claim("last", {"default": 60}):
            ids += [execution.id for execution in more]
        assert len(ids) == len(set(ids)) == 60

    async def test_records_and_calls_with_an_owner_are_never_claimed(self, store: Store) -> None:
        store.record(recorded(state=ExecutionState.RUNNING))
        await store.flush()
        await store.enqueue(queued(state=ExecutionState.RUNNING, owner="n", attempt=1))
        assert list(await store.claim("m", {"default": 9})) == []
        assert await store.backlog() == 0

    async def test_an_end_is_written_once(self, store: Store) -> None:
        call = await store.enqueue(queued(request_id="r-1"))
        (claimed,) = await store.claim("n", {"default": 1})
        end = ended(claimed)
        assert await store.finish(end, owner="n")
        stored = await store.get("default", call.id)
        assert stored == replace(end, owner=None)
        assert not await store.finish(replace(end, state=ExecutionState.FAILED, result=b"3"), owner="n")
        assert await store.get("default", call.id) == stored

    async def test_an_end_is_fenced_on_owner_attempt_and_project(self, store: Store, other_project: str) -> None:
        call = await store.enqueue(queued())
        (claimed,) = await store.claim("n", {"default": 1})
        end = ended(claimed)
        assert not await store.finish(end, owner="m")
        assert not await store.finish(replace(end, attempt=2), owner="n")
        assert not await store.finish(replace(end, project_id=other_project), owner="n")
        assert not await store.finish(replace(end, id=new_id()), owner="n")
        assert await store.get("default", call.id) == claimed
        with pytest.raises(ValueError, match="RUNNING is not an end"):
            await store.finish(claimed, owner="n")

    async def test_what_was_lost_cannot_be_finished_by_its_first_owner(self, store: Store) -> None:
        call = await store.enqueue(queued())
        (first,) = await store.claim("n", {"default": 1})
        await store.recover(LOST)
        (second,) = await store.claim("n", {"default": 1})
        assert second.attempt == 2
        assert not await store.finish(ended(first, result=b"1"), owner="n")
        assert await store.finish(ended(second, result=b"2"), owner="n")
        assert (await store.get("default", call.id)).result == b"2"

    async def test_an_end_of_a_call_that_was_claimed_at_insert_is_written(self, store: Store) -> None:
        call = await store.enqueue(queued(state=ExecutionState.RUNNING, owner="n", attempt=1, started_at=now_ms()))
        assert await store.finish(ended(call), owner="n")

    # output

    async def test_output_is_read_in_order_of_the_current_attempt(self, store: Store, other_project: str) -> None:
        call = await store.enqueue(queued())
        assert await store.output("default", call.id) == ()
        await store.claim("n", {"default": 1})
        parts = [
            OutputChunk(Stream.STDOUT, 1, b"\x00\xff"),
            OutputChunk(Stream.STDERR, 2, b""),
            OutputChunk(Stream.STDOUT, 2, b"c"),
        ]
        await store.append_output(call.id, 1, parts[:2])
        await store.append_output(call.id, 1, [])
        await store.append_output(call.id, 1, parts[2:])
        assert await store.output("default", call.id) == tuple(parts)
        with pytest.raises(NotFound):
            await store.output(other_project, call.id)
        await store.recover(LOST)
        await store.claim("n", {"default": 1})
        await store.append_output(call.id, 1, [OutputChunk(Stream.STDOUT, 3, b"from a frozen owner")])
        assert await store.output("default", call.id) == ()
        await store.append_output(call.id, 2, parts[2:])
        assert await store.output("default", call.id) == tuple(parts[2:])

    async def test_output_of_an_unknown_execution_is_refused(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.append_output(new_id(), 1, [OutputChunk(Stream.STDOUT, 1, b"x")])

    async def test_a_record_has_no_chunks(self, store: Store) -> None:
        record = recorded()
        store.record(record)
        assert await store.output("default", record.id) == ()
        await store.flush()
        assert await store.output("default", record.id) == ()

    # cancelling

    async def test_what_is_queued_is_cancelled_at_once(self, store: Store) -> None:
        call = await store.enqueue(queued())
        at = now_ms()
        cancelled = await store.request_cancel("default", call.id, at)
        assert cancelled.error is not None
        assert cancelled.error.reason is Reason.EXECUTION_CANCELLED
        assert cancelled == replace(
            call, state=ExecutionState.CANCELLED, ended_at=at, cancel_requested=True, error=cancelled.error
        )
        assert await store.get("default", call.id) == cancelled
        assert await store.request_cancel("default", call.id, at + 5) == cancelled
        assert list(await store.claim("n", {"default": 1})) == []

    async def test_what_runs_is_asked_to_stop(self, store: Store) -> None:
        call, other = await store.enqueue(queued()), await store.enqueue(queued())
        await store.claim("n", {"default": 2})
        assert await store.cancelled("n") == []
        asked = await store.request_cancel("default", call.id, now_ms())
        assert (asked.state, asked.cancel_requested, asked.owner) == (ExecutionState.RUNNING, True, "n")
        assert await store.cancelled("n") == [call.id]
        assert await store.cancelled("m") == []
        assert await store.finish(ended(asked, state=ExecutionState.CANCELLED), owner="n")
        assert await store.cancelled("n") == []
        assert (await store.get("default", call.id)).cancel_requested
        assert not (await store.get("default", other.id)).cancel_requested

    async def test_of_many_those_that_have_ended_are_told(self, store: Store) -> None:
        waits = await store.enqueue(queued(priority=-1))
        calls = [await store.enqueue(queued()) for _ in range(2)]
        claimed = {call.id: call for call in await store.claim("n", {"default": 2})}
        ids = [waits.id, *claimed, new_id()]
        assert list(await store.ended(ids)) == []
        await store.finish(ended(claimed[calls[0].id]), owner="n")
        assert list(await store.ended(ids)) == [calls[0].id]
        await store.request_cancel("default", waits.id, now_ms())
        assert set(await store.ended(ids)) == {calls[0].id, waits.id}
        assert list(await store.ended([])) == []

    async def test_what_has_ended_is_left_as_it_is(self, store: Store) -> None:
        record = recorded()
        store.record(record)
        assert await store.request_cancel("default", record.id, now_ms()) == record
        await store.enqueue(queued())
        (claimed,) = await store.claim("n", {"default": 1})
        end = replace(ended(claimed), owner=None)
        await store.finish(end, owner="n")
        assert await store.request_cancel("default", end.id, now_ms()) == end

    # deadlines, losses, drains

    async def test_what_waits_past_its_deadline_ends(self, store: Store) -> None:
        now = now_ms()
        late = [await store.enqueue(queued(deadline=now - ago)) for ago in (1, 60_000)]
        kept = [await store.enqueue(queued(deadline=now + 60_000)), await store.enqueue(queued())]
        running = await store.enqueue(queued(deadline=now - 1, state=ExecutionState.RUNNING, owner="n", attempt=1))
        assert await store.expire(LATE) == 2
        assert await store.expire(LATE) == 0
        for call in late:
            ended = await store.get("default", call.id)
            assert ended.ended_at is not None
            assert now <= ended.ended_at <= now_ms() + 1  # on the database's clock
            assert ended == replace(call, state=ExecutionState.TIMEOUT, ended_at=ended.ended_at, error=LATE)
        for call in (*kept, running):
            assert await store.get("default", call.id) == call

    async def test_at_boot_what_ran_is_queued_again_or_ends(self, store: Store) -> None:
        running: dict[str, Any] = {"state": ExecutionState.RUNNING, "owner": "gone", "started_at": 5}
        failed = Attempt(
            number=1, started_at=3, ended_at=4, error=ExecutionError(reason=Reason.USER_EXCEPTION, message='é "}]')
        )
        again = await store.enqueue(queued(**running, attempt=2, max_attempts=3, attempts=(failed,)))
        spent = await store.enqueue(queued(**running, attempt=3, max_attempts=3))
        stopped = await store.enqueue(queued(**running, attempt=1, max_attempts=3))
        await store.request_cancel("default", stopped.id, now_ms())
        record = recorded(state=ExecutionState.RUNNING, attempt=0, ended_at=None, error=None)
        finished = recorded()
        store.record(record)
        store.record(finished)
        await store.flush()
        waiting = await store.enqueue(queued())
        before = now_ms()
        assert await store.recover(LOST) == {
            ExecutionState.QUEUED: 1,
            ExecutionState.FAILED: 2,
            ExecutionState.CANCELLED: 1,
        }
        assert await store.recover(LOST) == {}
        found = await store.get("default", again.id)
        ended_at = found.attempts[-1].ended_at
        assert ended_at is not None
        assert abs(ended_at - before) < 60_000
        lost_one = Attempt(number=2, started_at=5, ended_at=ended_at, error=LOST)
        assert found == replace(
            again, state=ExecutionState.QUEUED, owner=None, started_at=None, attempts=(failed, lost_one)
        )
        for lost in (spent, record):
            found = await store.get("default", lost.id)
            assert found.ended_at is not None
            assert abs(found.ended_at - before) < 60_000
            assert found == replace(lost, state=ExecutionState.FAILED, owner=None, ended_at=found.ended_at, error=LOST)
        found = await store.get("default", stopped.id)
        assert found.state is ExecutionState.CANCELLED
        assert found.error is not None
        assert found.error.reason is Reason.EXECUTION_CANCELLED
        assert (found.owner, found.ended_at is None) == (None, False)
        assert await store.get("default", finished.id) == finished
        assert await store.get("default", waiting.id) == waiting
        assert {(e.id, e.attempt) for e in await store.claim("n", {"default": 9})} == {(again.id, 3), (waiting.id, 1)}

    async def test_what_living_owners_run_is_theirs(self, store: Store) -> None:
        await store.enqueue(queued(state=ExecutionState.RUNNING, owner="dead", attempt=1, max_attempts=1))
        theirs = await store.enqueue(queued(state=ExecutionState.RUNNING, owner="living", attempt=1, max_attempts=1))
        store.record(recorded(state=ExecutionState.RUNNING, owner="living"))
        store.record(recorded(state=ExecutionState.RUNNING, owner="dead"))
        await store.flush()
        assert await store.recover(LOST, ["living", "other"]) == {ExecutionState.FAILED: 2}
        assert await store.get("default", theirs.id) == theirs
        assert await store.recover(LOST, ["living", "other"]) == {}
        assert await store.recover(LOST) == {ExecutionState.FAILED: 2}

    async def test_a_request_id_is_reserved_by_one_and_let_go_without_an_answer(self, store: Store) -> None:
        first, second = (recorded(state=ExecutionState.RUNNING, request_id="r", owner="n") for _ in range(2))
        assert await store.reserve(first) == first
        found = await store.reserve(second)
        assert found is not None
        assert found.id == first.id
        store.record(replace(first, state=ExecutionState.CANCELLED, request_id=None, owner=None))
        await store.flush()
        assert await store.find_request("default", "r") is None
        assert await store.reserve(second) == second
        store.record(replace(second, state=ExecutionState.COMPLETED, owner=None))
        await store.flush()
        again = await store.find_request("default", "r")
        assert again is not None
        assert (again.id, again.state) == (second.id, ExecutionState.COMPLETED)

    async def test_at_drain_what_has_attempts_left_is_queued_again(self, store: Store) -> None:
        running: dict[str, Any] = {"state": ExecutionState.RUNNING, "started_at": 5}
        mine = await store.enqueue(queued(**running, owner="n", attempt=1, max_attempts=2))
        last = await store.enqueue(queued(**running, owner="n", attempt=1, max_attempts=1))
        other = await store.enqueue(queued(**running, owner="m", attempt=1, max_attempts=2))
        assert await store.release("n", {mine.id: 2, last.id: 1, other.id: 1}) == 0
        assert await store.release("n", {mine.id: 1}) == 1
        assert await store.release("n") == 0
        released = await store.get("default", mine.id)
        (handed_on,) = released.attempts
        assert (handed_on.number, handed_on.started_at, handed_on.error.reason) == (1, 5, Reason.WORKER_LOST)
        assert released == replace(
            mine, state=ExecutionState.QUEUED, owner=None, started_at=None, attempts=(handed_on,)
        )
        assert await store.get("default", last.id) == last
        assert await store.get("default", other.id) == other
        assert await store.backlog() == 1
        (claimed,) = await store.claim("k", {"default": 9})
        assert (claimed.id, claimed.attempt) == (mine.id, 2)

    async def test_what_was_claimed_without_its_owners_knowledge_was_not_claimed(self, store: Store) -> None:
        running: dict[str, Any] = {"state": ExecutionState.RUNNING, "started_at": 5}
        unheard = await store.enqueue(queued(**running, owner="n", attempt=1, max_attempts=1))
        known = await store.enqueue(queued(**running, owner="n", attempt=1, max_attempts=1))
        other = await store.enqueue(queued(**running, owner="m", attempt=1, max_attempts=1))
        store.record(record := recorded(state=ExecutionState.RUNNING, owner="n", ended_at=None, result=None))
        await store.flush()
        assert await store.unclaim("n", [known.id]) == 1
        assert await store.unclaim("n", [known.id]) == 0
        for call in (known, other, record):
            assert (await store.get("default", call.id)).state is ExecutionState.RUNNING
        back = replace(unheard, state=ExecutionState.QUEUED, owner=None, started_at=None, attempt=0)
        assert await store.get("default", unheard.id) == back
        (claimed,) = await store.claim("k", {"default": 9})
        assert (claimed.id, claimed.attempt) == (unheard.id, 1)

    async def test_the_backlog_counts_what_could_be_claimed(self, store: Store) -> None:
        assert await store.backlog() == 0
        for _ in range(3):
            await store.enqueue(queued())
        store.record(recorded())
        await store.flush()
        assert await store.backlog() == 3
        await store.claim("n", {"default": 2})
        assert await store.backlog() == 1

    # life

    async def test_a_store_that_is_up_answers_pings(self, store: Store) -> None:
        await store.ping()


class StoreConformance(
    TenancyConformance,
    SecretConformance,
    RegistryConformance,
    FaceConformance,
    EntryConformance,
    DeliveryConformance,
    RuntimeConformance,
    EnvironmentConformance,
    NodeConformance,
    RetentionConformance,
    AuditConformance,
    SealedConformance,
    ScheduleConformance,
    LimitsConformance,
    AcceptConformance,
    ExecutionConformance,
):
    """Everything."""


def _key(key_id: str, **changes: Any) -> ApiKey:
    key = ApiKey(id=key_id, project_id="default", name="name", scopes=frozenset({Scope.RUN}), created_at=1)
    return replace(key, **changes)


def _session(session_id: int) -> Session:
    return Session(
        project_id="default",
        id=session_id,
        type="TOKEN_EXCHANGE",
        status="READY",
        created_at=1,
        expires_at=1000,
        nonce_expires_at=1000,
        client_id="client",
        key_id="key",
        scopes=frozenset({Scope.RUN}),
    )


def _id_at(time_ms: int, number: int) -> uuid.UUID:
    return uuid.UUID(int=id_at(time_ms).int + number)


async def _all_pages(store: Store, where: ExecutionFilter, size: int, *, ascending: bool = False) -> list[Execution]:
    found: list[Execution] = []
    token = ""
    while True:
        page = await store.list("default", where, size, token, ascending=ascending)
        assert len(page.items) <= size
        found += page.items
        token = page.next_token
        if not token:
            return found
