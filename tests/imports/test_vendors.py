"""From one polycall to another through the vendor's own contract: what one face serves, another project runs."""

from __future__ import annotations

from collections.abc import Callable

from tests.imports.conftest import EXPORTS, Place


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
