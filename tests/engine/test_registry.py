"""Packages and versions: checked on the way in, never another project's, never older than this server's last change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from polycall.domain import (
    Convention,
    Function,
    Language,
    LimitOverrides,
    Package,
    Principal,
    Reason,
    Scope,
    StartKind,
    VersionState,
)
from polycall.engine.registry import VersionDraft
from polycall.errors import (
    AlreadyExists,
    FieldViolation,
    InvalidArgument,
    LimitOutOfRange,
    NotFound,
    NotReady,
    PermissionDenied,
    RuntimeMissing,
)
from tests.engine.house import DEFAULT, OTHER, House, function, other_project, refusal

ONE, TWO, THREE = (f"def f(): return {n}".encode() for n in (1, 2, 3))
BROKEN = b"def f(:"
READER = Principal(project_id="default", key_id="r", scopes=frozenset({Scope.READ, Scope.RUN}))


async def answer(home: House, version: str | None = None) -> bytes | None:
    """What f() of package p returns."""
    return (await home.engine.run(DEFAULT, function("f", version_id=version))).result


# which version


async def test_versions_without_a_name_are_numbered(home: House) -> None:
    assert [(await home.deploy(source=source)).id for source in (ONE, TWO, ONE)] == ["1", "2", "3"]
    await home.deploy(source=ONE, id="41")
    await home.deploy(source=ONE, id="v5")
    await home.deploy(source=ONE, id="9" * 64)  # no number of ours
    assert (await home.deploy(source=ONE)).id == "42"


async def test_deployers_at_the_same_time_get_a_number_each(home: House) -> None:
    made = await asyncio.gather(*(home.deploy(source=ONE) for _ in range(12)))
    assert sorted(int(version.id) for version in made) == list(range(1, 13))


async def test_the_newest_is_the_last_released_else_the_last_ready_else_the_last(home: House) -> None:
    await home.deploy(source=BROKEN)
    refused = await refusal(answer(home), NotReady)
    assert refused.metadata == {"state": "error", "version": "packages/p/versions/1"}
    assert str(refused) == "packages/p/versions/1 cannot be run (state error): main.py:1: SyntaxError: invalid syntax"
    await home.deploy(source=ONE)
    assert await answer(home) == b"1"
    await home.deploy(source=TWO)
    assert await answer(home) == b"2"
    await home.deploy(source=BROKEN)
    assert await answer(home) == b"2"
    await home.registry.release_version(DEFAULT, "p", "2")
    assert await answer(home) == b"1"
    await home.deploy(source=THREE)
    assert await answer(home) == b"1"
    await home.deploy(source=THREE, release=True)
    assert await answer(home) == b"3"
    assert await answer(home, "-") == b"3"
    assert await answer(home, "3") == b"2"


async def test_a_released_version_is_released_once_and_a_broken_one_never(home: House) -> None:
    await home.deploy(source=ONE, release=True)
    await home.deploy(source=BROKEN, release=True)
    assert (await home.registry.get_version(DEFAULT, "p", "2")).state is VersionState.ERROR
    refused = await refusal(home.registry.release_version(DEFAULT, "p", "1"), AlreadyExists)
    assert refused.reason is Reason.VERSION_RELEASED
    await refusal(home.registry.release_version(DEFAULT, "p", "2"), NotReady)
    await refusal(home.registry.release_version(DEFAULT, "p", "3"), NotFound)


async def test_what_does_not_exist_is_named(home: House) -> None:
    assert (await refusal(answer(home), NotFound)).reason is Reason.PACKAGE_NOT_FOUND
    await home.registry.create_package(DEFAULT, Package(project_id="", id="p", created_at=0, updated_at=0))
    assert (await refusal(answer(home), NotFound)).reason is Reason.VERSION_NOT_FOUND
    await home.deploy(source=ONE)
    assert (await refusal(answer(home, "2"), NotFound)).reason is Reason.VERSION_NOT_FOUND
    missing = await refusal(home.engine.run(DEFAULT, function("g")), NotFound)
    assert missing.reason is Reason.FUNCTION_NOT_FOUND
    assert missing.message == "packages/p/versions/1/functions/g does not exist; functions of this version: f."


async def test_a_private_function_does_not_exist_for_callers(home: House) -> None:
    private = Function(name="f", entrypoint="main:f", convention=Convention.KEYWORDS, private=True)
    await home.deploy(source=ONE, functions=(private,))
    missing = await refusal(answer(home), NotFound)
    assert missing.reason is Reason.FUNCTION_NOT_FOUND
    assert missing.message.endswith("functions of this version: none.")


# nothing old, nothing of others


async def test_a_package_of_another_project_does_not_exist(home: House) -> None:
    await other_project(home.store)
    await home.deploy(source=ONE)
    assert await answer(home) == b"1"  # known by now
    theirs = function("f")
    assert (await refusal(home.engine.run(OTHER, theirs), NotFound)).reason is Reason.PACKAGE_NOT_FOUND
    await home.deploy(source=TWO, who=OTHER)
    assert (await home.engine.run(OTHER, theirs)).result == b"2"
    assert await answer(home) == b"1"
    await home.registry.delete_package(OTHER, "p")
    assert await answer(home) == b"1"
    await refusal(home.engine.run(OTHER, theirs), NotFound)


async def test_a_change_here_is_seen_at_once(home: House) -> None:
    await home.deploy(source=ONE)
    assert (await answer(home), await answer(home, "1")) == (b"1", b"1")
    await home.registry.delete_version(DEFAULT, "p", "1")
    assert (await refusal(answer(home, "1"), NotFound)).reason is Reason.VERSION_NOT_FOUND
    await refusal(answer(home), NotFound)
    await home.deploy(source=TWO, id="1")
    assert (await answer(home), await answer(home, "1")) == (b"2", b"2")
    await home.registry.delete_package(DEFAULT, "p")
    assert (await refusal(answer(home), NotFound)).reason is Reason.PACKAGE_NOT_FOUND


async def test_what_was_read_while_it_changed_is_not_kept(home: House) -> None:
    await home.deploy(source=ONE)
    newest = home.store.hold("newest_version")
    asking = asyncio.create_task(answer(home))
    await newest.begun.wait()  # version 1 is the newest
    await home.deploy(source=TWO)
    newest.go.set()
    assert await asking == b"1"  # it was asked before
    assert await answer(home) == b"2"


Change = Callable[[House], Coroutine[Any, Any, object]]


@pytest.mark.parametrize(
    ("step", "change", "after"),
    [
        ("create_version", lambda home: home.deploy(source=THREE), b"3"),
        ("set_version_state", lambda home: home.registry.release_version(DEFAULT, "p", "1"), b"1"),
        ("delete_version", lambda home: home.registry.delete_version(DEFAULT, "p", "2"), b"1"),
        ("delete_package", lambda home: home.registry.delete_package(DEFAULT, "p"), None),
    ],
)
async def test_a_change_is_seen_though_its_caller_went_away(
    home: House, step: str, change: Change, after: bytes | None
) -> None:
    await home.deploy(source=ONE)
    await home.deploy(source=TWO)
    assert await answer(home) == b"2"  # known by now
    held = home.store.hold(step)
    caller = asyncio.create_task(change(home))
    await held.begun.wait()
    caller.cancel()
    await asyncio.sleep(0)
    held.go.set()
    await asyncio.wait([caller])
    assert caller.cancelled()
    if after is None:
        await refusal(answer(home), NotFound)
    else:
        assert await answer(home) == after


async def test_another_servers_change_is_seen_after_a_while(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await home.deploy(source=ONE)
    assert await answer(home) == b"1"
    await home.store.real.delete_package("default", "p")
    assert await answer(home) == b"1"
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 31)
    await refusal(answer(home), NotFound)


async def test_what_is_kept_is_bounded_in_bytes(home: House) -> None:
    for number in range(3):
        env = {f"V{n}": "x" * 100_000 for n in range(90)}  # 9 MB each
        await home.deploy(f"p{number}", ONE, env=env)
        for version in (None, "1"):
            await home.registry.version("default", f"p{number}", version)
    assert len(home.registry._recent._versions) == 3
    for number in range(3):
        large = VersionDraft(package_id=f"q{number}", files={"main.py": ONE, "data": bytes([number]) * 15_000_000})
        await home.registry.bundle(await home.registry.create_version(DEFAULT, large, create_package=True))
    assert len(home.registry._recent._bundles) == 2


async def test_workers_end_with_their_version(home: House) -> None:
    await home.deploy()
    kinds = [(await home.engine.run(DEFAULT, function("pid"))).start_kind for _ in range(2)]
    assert [kind is StartKind.WARM for kind in kinds] == [False, True]
    await home.registry.delete_version(DEFAULT, "p", "1")
    await home.deploy(id="1")
    assert (await home.engine.run(DEFAULT, function("pid"))).start_kind is not StartKind.WARM


# what is refused


async def test_a_version_needs_a_package_unless_it_may_make_one(home: House) -> None:
    draft = VersionDraft(package_id="p", files={"main.py": ONE})
    for validate_only in (True, False):
        refused = await refusal(home.registry.create_version(DEFAULT, draft, validate_only=validate_only), NotFound)
        assert refused.reason is Reason.PACKAGE_NOT_FOUND
    checked = await home.registry.create_version(DEFAULT, draft, create_package=True, validate_only=True)
    assert (checked.id, checked.state, [f.name for f in checked.functions]) == ("", VersionState.READY, ["f"])
    await refusal(home.registry.get_package(DEFAULT, "p"), NotFound)


async def test_a_version_is_immutable(home: House) -> None:
    first = await home.deploy(source=ONE, id="a")
    await refusal(home.deploy(source=TWO, id="a"), AlreadyExists)
    assert await home.registry.get_version(DEFAULT, "p", "a") == first
    assert await home.registry.get_source(DEFAULT, first) == {"main.py": ONE}


async def test_everything_that_is_wrong_with_a_draft_is_named_at_once(home: House) -> None:
    same = Function(name="f", entrypoint="main:f", convention=Convention.KEYWORDS)
    draft = VersionDraft(
        package_id="..",
        id="-",
        files={"../x": b"", "a": b"", "a/b": b""},
        functions=(same, same, replace(same, name="a/b"), replace(same, name="\n")),
        env={"": "x", "A": "\0"},
    )
    wrong = await refusal(home.registry.create_version(DEFAULT, draft), InvalidArgument)
    assert [violation.field for violation in wrong.violations] == [
        "parent",
        "version_id",
        "source[0].path",
        "source",
        "version.functions[1].name",
        "version.functions[2].name",
        "version.functions[3].name",
        "version.env['']",
        "version.env['A']",
    ]
    empty = VersionDraft(package_id="p", files={})
    wrong = await refusal(home.registry.create_version(DEFAULT, empty), InvalidArgument)
    assert wrong.violations == (FieldViolation("source", "must have at least one file"),)


async def test_what_this_server_cannot_run_is_refused(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = VersionDraft(package_id="p", files={"main.py": ONE})
    monkeypatch.setattr(type(home.engine.runner), "languages", frozenset({Language.PYTHON}))
    await refusal(home.registry.create_version(DEFAULT, replace(draft, language=Language.JAVASCRIPT)), RuntimeMissing)
    await refusal(home.registry.create_version(DEFAULT, replace(draft, runtime="pypy")), InvalidArgument)
    limits = LimitOverrides(timeout_ms=0)
    refused = await refusal(home.registry.create_version(DEFAULT, replace(draft, limits=limits)), LimitOutOfRange)
    assert refused.violations[0].field == "version.limits.timeout"
    assert await home.registry.list_packages(DEFAULT, 10) == (await home.store.real.list_packages("default", 10))


async def test_code_is_deployed_with_its_scope_only(home: House) -> None:
    await home.deploy(source=ONE)
    package = Package(project_id="", id="x", created_at=0, updated_at=0)
    for work in (
        home.deploy(source=TWO, who=READER),
        home.registry.release_version(READER, "p", "1"),
        home.registry.delete_version(READER, "p", "1"),
        home.registry.delete_package(READER, "p"),
        home.registry.create_package(READER, package),
        home.registry.update_package(READER, replace(package, id="p")),
    ):
        assert (await refusal(work, PermissionDenied)).metadata == {"scope": "deploy"}
    assert await answer(home) == b"1"


async def test_a_package_keeps_its_project_and_its_birth(home: House) -> None:
    made = await home.registry.create_package(
        DEFAULT, Package(project_id="other", id="p", created_at=1, updated_at=2, labels={"a": "b"})
    )
    assert made.project_id == "default"
    changed = await home.registry.update_package(DEFAULT, replace(made, project_id="other", created_at=1, labels={}))
    assert (changed.project_id, changed.created_at, changed.labels) == ("default", made.created_at, {})
    wrong = Package(
        project_id="", id="\n", created_at=0, updated_at=0, display_name="x" * 5000, labels={"": "", "a": "x" * 300}
    )
    refused = await refusal(home.registry.create_package(DEFAULT, wrong), InvalidArgument)
    assert [violation.field for violation in refused.violations] == [
        "package_id",
        "package.display_name",
        "package.labels['']",
        "package.labels['a']",
    ]


async def test_a_native_update_leaves_alone_what_a_face_changes_meanwhile(home: House) -> None:
    package = Package(project_id="", id="shared", created_at=0, updated_at=0, face="riza", face_data=b"1")
    made = await home.registry.create_package(DEFAULT, package)
    read = home.store.hold("get_package")
    changing = asyncio.create_task(home.registry.update_package(DEFAULT, replace(made, display_name="New")))
    await read.begun.wait()
    await home.store.real.update_package(replace(made, face_data=b"2"))
    read.go.set()
    changed = await changing
    assert (changed.display_name, changed.face_data) == ("New", b"2")
