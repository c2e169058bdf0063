"""From one polycall to another through the vendor's own contract: what one face serves, another project runs."""

from __future__ import annotations

from collections.abc import Callable

from tests.imports.conftest import EXPORTS, Place
from tests.imports.test_folders import SUMS, WORDS


def fetched(source: Place, target: Place, vendor: str, variable: str, *arguments: str) -> list[tuple[str, str, str]]:
    """Import from a project's face into another project."""
    with source.cli.monkeypatch.context() as patch:
        patch.setenv(variable, source.key)
        return target.outcomes(vendor, "--url", source.server.rest, *arguments)


def test_xpanders_functions_move_under_their_ids(new_place: Callable[[], Place]) -> None:
    source, target = new_place(), new_place()
    made = source.outcomes("xpander", "--from", str(EXPORTS / "xpander"), code=1)
    count = "7d2f5a10-0000-4000-8000-000000000001"
    assert made == [
        ("function", "has_underscore", "refused"),
        *(("package", "greeter", "created"), ("version", "greeter 1", "created")),
        *(("package", count, "created"), ("version", f"{count} 1", "created")),
    ]
    created = source.http(
        "POST", "/v1/custom_functions", {"name": "Third", "source_code": "def xpander_run_action(): return [1.0]"}
    ).json()["id"]
    assert fetched(source, target, "xpander", "XPANDER_API_KEY") == [
        *made[1:],
        *(("package", created, "created"), ("version", f"{created} 1", "created")),
    ]
    for place in (source, target):
        answers = [
            place.http("POST", f"/v1/custom_functions/{function}/execute", body)
            for function, body in (("greeter", {"city": "SF"}), (count, {"items": [1, 2]}), (created, {}))
        ]
        assert [(answer.status, answer.json()) for answer in answers] == [
            *((200, "Hello, SF"), (200, {"count": 2}), (200, [1.0]))
        ]
        listed = place.http("GET", "/v1/custom_functions?per_page=50").json()
        assert [(item["id"], item["name"], item["limits"]) for item in listed["items"]] == [
            (created, "Third", {"max_run_time": 15}),
            (count, "Count", {"max_run_time": 5, "memory": 128}),
            ("greeter", "Greeter", {"max_run_time": 15}),
        ]
    again = fetched(source, target, "xpander", "XPANDER_API_KEY")
    assert {action for _, _, action in again} == {"same"}


def test_domos_packages_move_with_all_their_versions(new_place: Callable[[], Place]) -> None:
    source, target = new_place(), new_place()
    source.outcomes("domo", "--from", str(EXPORTS / "domo"))
    root = "/api/codeengine/v2/packages"
    code = "const half = (n) => n / 2;\nmodule.exports = { half };\n"
    variable = {"name": "n", "type": "number", "isList": False, "nullable": False}
    manifest = {
        "functions": [{"name": "half", "inputs": [variable], "output": {"type": "decimal"}, "description": "Halves."}],
        "configuration": {"accountsMapping": []},
    }
    body = {"id": "halves", "name": "Halves", "language": "JAVASCRIPT", "code": code, "manifest": manifest}
    assert source.http("POST", root, body | {"version": "0.1.0", "description": "First."}).status == 200
    assert source.http("POST", f"{root}/halves/versions/0.1.0/release").status == 200
    assert source.http("POST", root, body).status == 200  # its working version

    made = fetched(source, target, "domo", "DOMO_DEVELOPER_TOKEN")
    assert [(kind, name) for kind, name, _ in made] == [
        *(("package", SUMS), *(("version", f"{SUMS} {version}") for version in ("1.0.0", "1.0.1", "2.0.0"))),
        *(("package", WORDS), ("version", f"{WORDS} 1.0.0")),
        *(("package", "halves"), ("version", "halves 0.1.0"), ("version", "halves 0.0.0-dev")),
    ]
    assert {action for _, _, action in made} == {"created"}
    answer = target.http("POST", f"{root}/halves/versions/0.1.0/functions/half", {"inputVariables": {"n": 3}})
    assert (answer.status, answer.json()["status"], answer.json()["result"]) == (200, "SUCCESS", 1.5)
    for package in (SUMS, WORDS, "halves"):
        path = f"{root}/{package}/versions?parts=functions,code,privateFunctions"
        here, there = (place.http("GET", path).json() for place in (target, source))
        assert [_without_times(version) for version in here] == [_without_times(version) for version in there]
    assert {action for _, _, action in fetched(source, target, "domo", "DOMO_DEVELOPER_TOKEN")} == {"same"}
    # whoever may deploy goes on with it here, as the vendor's clients do
    saved = target.http("POST", root, body | {"version": "0.2.0"})
    assert saved.status == 200, saved.body
    assert target.http("POST", f"{root}/halves/versions/0.2.0/release").status == 200


def _without_times(version: dict[str, object]) -> dict[str, object]:
    """Return what moves: when it was released and changed is when that was done here."""
    released = {name: bool(version[name]) for name in ("released", "releasedOn")}
    return version | released | {"id": "", "updatedOn": ""}
