"""Two keys of one project: what the owner of a package lets the other do, and who lets whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from polycall.v1 import tenancy_service_pb2
from tests.contracts.domo.driver import Domo
from tests.harness import Server

CODE = "def f(): return 7\n"
SCOPES = tenancy_service_pb2.ApiKey


def user_of(caller: Domo) -> int:
    """Return the number that a contract with numeric users gives a key."""
    package_id = caller.saved(CODE, release=False)
    (user,) = caller.asked("GET", f"/{package_id}/permissions")["users"]
    caller.asked("DELETE", f"/{package_id}")
    assert user["permissions"] == ["OWNER"]
    return int(user["id"])


@pytest.fixture
def package(owner: Domo) -> Iterator[str]:
    package_id = owner.saved(CODE)
    owner.asked("POST", "", {"id": package_id, "version": "1.0.1", "code": CODE})
    yield package_id
    owner.ask("DELETE", f"/{package_id}")


def can(caller: Domo, package: str) -> set[str]:
    """Return what a caller may do, by trying all of it with requests that change nothing."""
    tries = {
        "run": caller.post("f", package=package, version="1.0.0"),
        "execution": caller.get("00000000-0000-4000-8000-000000000000", package=package),
        "get": caller.ask("GET", f"/{package}"),
        "versions": caller.ask("GET", f"/{package}/versions"),
        "version": caller.ask("GET", f"/{package}/versions/1.0.0"),
        "permissions": caller.ask("GET", f"/{package}/permissions"),
        "save": caller.ask("POST", "", {"id": package, "version": "1.0.0", "code": CODE}),  # 409 at best
        "update": caller.ask("PUT", f"/{package}/versions/9.9.9", {}),  # 404 at best
        "release": caller.ask("POST", f"/{package}/versions/1.0.0/release"),  # 409 at best
        "share": caller.ask("POST", f"/{package}/share", {}),  # 400 at best
        "set": caller.ask("POST", f"/{package}/permissions", {"users": 1}),  # 400 at best
    }
    for answer in tries.values():
        if answer.status == 403:
            assert "permission for package" in caller.refusal(answer, 403, "Forbidden")
    return {what for what, answer in tries.items() if answer.status != 403}


READING = {"get", "versions", "version", "permissions"}
WRITING = READING | {"save", "update", "release", "share"}
RUNNING = {"run", "execution"}


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        (["EXECUTE"], RUNNING),
        (["READ"], READING),
        (["VIEW"], READING),
        (["WRITE"], WRITING),
        (["edit", "EXECUTE"], WRITING | RUNNING),
        (["OWNER"], WRITING | RUNNING | {"set"}),
    ],
)
def test_a_permission_allows_what_it_includes_and_no_more(
    owner: Domo, other: Domo, package: str, permissions: list[str], allowed: set[str]
) -> None:
    assert can(other, package) == set()
    mine = user_of(other)
    assert owner.asked("POST", f"/{package}/share", {"permissions": permissions, "userIds": [mine]}) == {}
    assert can(other, package) == allowed
    assert (package in [each["id"] for each in other.asked("GET")]) == ("get" in allowed)
    if "get" in allowed:
        shown = {each["version"] for each in other.asked("GET", f"/{package}/versions")}
        assert shown == ({"1.0.0", "1.0.1"} if "save" in allowed else {"1.0.0"})
    assert owner.asked("POST", f"/{package}/share", {"permissions": ["NONE"], "userIds": [mine]}) == {}
    assert can(other, package) == set()


def test_a_wrong_version_or_body_is_not_told_to_who_may_not_run(owner: Domo, other: Domo, package: str) -> None:
    other.refusal(other.post("f", b"{", package=package, version="9.9.9"), 403, "Forbidden")
    other.refusal(other.post("f", b"{", package="unknown", version="9.9.9"), 404, "Not Found")
    other.refusal(other.ask("DELETE", f"/{package}"), 403, "Forbidden")
    owner.refusal(owner.post("f", b"{", package=package, version="9.9.9"), 404, "Not Found")
    owner.refusal(owner.post("f", b"{", package=package, version="1.0.0"), 400, "Bad Request")


def test_the_whole_set_is_replaced_and_shown(owner: Domo, package: str) -> None:
    path = f"/{package}/permissions"
    (mine,) = owner.asked("GET", path)["users"]
    asked = {
        "users": [mine, {"id": 5, "permissions": ["VIEW", "EXECUTE", "READ"]}, {"id": 6, "permissions": ["NONE"]}],
        "groups": [{"id": 9, "permissions": ["EDIT"]}],
        "more": 1,
    }
    expected = {
        "users": [mine, {"id": 5, "permissions": ["READ", "EXECUTE"]}],
        "groups": [{"id": 9, "permissions": ["WRITE"]}],
    }
    assert owner.asked("POST", path, asked) == expected
    assert owner.asked("GET", path) == expected
    owner.asked("POST", f"/{package}/share", {"permissions": ["EXECUTE"], "groupIds": [9, 10]})
    expected["groups"] = [{"id": 9, "permissions": ["WRITE", "EXECUTE"]}, {"id": 10, "permissions": ["EXECUTE"]}]
    assert owner.asked("GET", path) == expected


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("share", {"permissions": ["READ"]}, "exactly one of userIds and groupIds must name somebody"),
        (
            "share",
            {"permissions": ["READ"], "userIds": [1], "groupIds": [1]},
            "exactly one of userIds and groupIds must name somebody",
        ),
        ("share", {"permissions": ["READ"], "userIds": []}, "exactly one of userIds and groupIds must name somebody"),
        ("share", {"permissions": [], "userIds": [1]}, "permissions: must not be empty"),
        (
            "share",
            {"permissions": ["FLY"], "userIds": [1]},
            "permissions: must be of OWNER, WRITE, READ, EXECUTE, VIEW, EDIT, NONE, got 'FLY'",
        ),
        (
            "share",
            {"permissions": ["NONE", "READ"], "userIds": [1]},
            "permissions: NONE takes all others away and stands alone",
        ),
        ("share", {"permissions": ["READ"], "userIds": ["1"]}, "userIds[0]: Expected `int`, got `str`"),
        ("permissions", {"users": [{"permissions": ["READ"]}]}, "users[0]: Object missing required field `id`"),
        (
            "permissions",
            {"groups": [{"id": 1, "permissions": ["FLY"]}]},
            "groups[0].permissions: must be of OWNER, WRITE, READ, EXECUTE, VIEW, EDIT, NONE, got 'FLY'",
        ),
        ("share", {"permissions": ["READ"], "userIds": [2**63]}, "userIds[0]: Expected `int` <= 9223372036854775807"),
        ("share", {"permissions": ["READ"], "groupIds": [-1]}, "groupIds[0]: Expected `int` >= 0"),
        ("permissions", [], "the body has the wrong shape: Expected `object`, got `array`"),
    ],
)
def test_a_set_that_is_none_is_400(owner: Domo, package: str, path: str, body: object, message: str) -> None:
    assert owner.refusal(owner.ask("POST", f"/{package}/{path}", body), 400, "Bad Request") == message


def test_who_may_write_makes_nobody_an_owner_and_ends_no_owner(owner: Domo, other: Domo, package: str) -> None:
    mine, theirs = user_of(other), user_of(owner)
    owner.asked("POST", f"/{package}/share", {"permissions": ["WRITE"], "userIds": [mine]})
    other.asked("POST", f"/{package}/share", {"permissions": ["READ"], "userIds": [5]})
    for share in ({"permissions": ["OWNER"], "userIds": [mine]}, {"permissions": ["NONE"], "userIds": [theirs]}):
        message = other.refusal(other.ask("POST", f"/{package}/share", share), 403, "Forbidden")
        assert message == "Only an owner of the package makes others its owners, or ends that."
    assert can(owner, package) == WRITING | RUNNING | {"set"}


def test_what_was_granted_ends_with_the_package(owner: Domo, other: Domo) -> None:
    package_id = owner.saved(CODE)
    owner.asked("POST", f"/{package_id}/share", {"permissions": ["OWNER"], "userIds": [user_of(other)]})
    other.asked("DELETE", f"/{package_id}")
    assert owner.saved(CODE, id=package_id) == package_id
    assert can(other, package_id) == set()
    owner.asked("DELETE", f"/{package_id}")


def test_a_permission_is_worth_what_the_key_may_do_at_all(owner: Domo, package: str, polycall: Server) -> None:
    reader = Domo(polycall, polycall.new_key(project="domo", scopes=[SCOPES.SCOPE_READ]))
    runner = Domo(polycall, polycall.new_key(project="domo", scopes=[SCOPES.SCOPE_RUN]))
    assert "scope `run`" in reader.refusal(reader.post("f", package=package, version="1.0.0"), 403, "Forbidden")
    assert "scope `read`" in runner.refusal(runner.ask("GET", f"/{package}"), 403, "Forbidden")
    assert "scope `read`" in runner.refusal(runner.ask("GET"), 403, "Forbidden")
    for method, path, sent in (
        ("POST", "", {"name": "x", "language": "python", "code": CODE}),
        ("PUT", f"/{package}/versions/1.0.1", {}),
        ("POST", f"/{package}/versions/1.0.1/release", None),
        ("DELETE", f"/{package}", None),
        ("POST", f"/{package}/share", {}),
        ("POST", f"/{package}/permissions", {}),
    ):
        assert "scope `deploy`" in reader.refusal(reader.ask(method, path, sent), 403, "Forbidden")


def test_an_administrator_of_the_project_may_do_all_with_its_packages(package: str, polycall: Server) -> None:
    scopes = [SCOPES.SCOPE_RUN, SCOPES.SCOPE_READ, SCOPES.SCOPE_DEPLOY, SCOPES.SCOPE_ADMIN]
    administrator = Domo(polycall, polycall.new_key(project="domo", scopes=scopes))
    assert can(administrator, package) == WRITING | RUNNING | {"set"}
    administrator.asked("DELETE", f"/{package}")


def test_another_project_sees_nothing_of_it(owner: Domo, package: str, polycall: Server) -> None:
    scopes = [SCOPES.SCOPE_RUN, SCOPES.SCOPE_READ, SCOPES.SCOPE_DEPLOY, SCOPES.SCOPE_ADMIN]
    stranger = Domo(polycall, polycall.new_key(project="domo-stranger", scopes=scopes))
    execution_id = owner.run("f", package=package, version="1.0.0")["executionId"]
    assert stranger.asked("GET") == []
    missing = f"Package {package} does not exist."
    for answer in (
        stranger.post("f", package=package, version="1.0.0"),
        stranger.get(execution_id, package=package),
        stranger.ask("GET", f"/{package}"),
        stranger.ask("GET", f"/{package}/versions/1.0.0"),
        stranger.ask("PUT", f"/{package}/versions/1.0.1", {}),
        stranger.ask("POST", f"/{package}/share", {"permissions": ["READ"], "userIds": [1]}),
        stranger.ask("GET", f"/{package}/permissions"),
        stranger.ask("DELETE", f"/{package}"),
    ):
        assert stranger.refusal(answer, 404, "Not Found") == missing
    # its own package may have the same id
    assert stranger.saved(CODE, id=package) == package
    assert len(owner.asked("GET", f"/{package}")["versions"]) == 2
    stranger.asked("DELETE", f"/{package}")
