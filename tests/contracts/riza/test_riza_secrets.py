"""Secrets: kept, listed by name, never shown."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
import rizaio
from rizaio import AsyncRiza
from rizaio import Riza as Client

from polycall.ids import from_ulid, new_id, to_ulid
from polycall.v1 import tenancy_service_pb2
from tests.contracts.riza.driver import Riza

VALUE = "a value that nobody is shown"


def test_a_secret_is_kept_and_its_name_is_listed(client: Client, alone: Riza) -> None:
    made = client.secrets.create(name="STRIPE_KEY", value=VALUE)
    assert made.to_dict() == {"id": made.id, "name": "STRIPE_KEY"}
    assert from_ulid(made.id) is not None
    again = client.secrets.create(name="STRIPE_KEY", value="another")  # names need not be unique
    listed = list(client.secrets.list())
    assert [each.to_dict() for each in listed[:2]] == [again.to_dict(), made.to_dict()]
    assert VALUE not in alone.ask("GET", "/v1/secrets").body.decode()


def test_no_database_has_a_value_in_clear(alone: Riza) -> None:
    alone.ask("POST", "/v1/secrets", {"name": "n", "value": "clear-as-day-77"})
    (database,) = alone.server.data_dir.glob("polycall.db")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT * FROM secrets").fetchall()
    assert rows
    assert "clear-as-day-77" not in repr(rows)


def test_the_list_comes_to_its_end_while_others_are_added(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    with Client(api_key=mine.key, base_url=mine.server.rest, _strict_response_validation=True) as client:
        made = [client.secrets.create(name=f"s{number}", value="v").id for number in range(5)]
        seen = []
        for each in client.secrets.list(limit=2):
            seen.append(each.id)
            client.secrets.create(name="later", value="v")
        assert seen == list(reversed(made))

    async def walk() -> list[str]:
        async with AsyncRiza(api_key=mine.key, base_url=mine.server.rest) as client:
            return [each.name async for each in client.secrets.list(limit=3)]

    assert asyncio.run(walk()) == ["later"] * 5 + ["s4", "s3", "s2", "s1", "s0"]


def test_a_deleted_secret_is_gone_and_its_place_in_the_list_is_not(newcomer: Callable[[], Riza]) -> None:
    mine = newcomer()
    older, gone, newer = (mine.ask("POST", "/v1/secrets", {"name": n, "value": "v"}).json()["id"] for n in "abc")
    answer = mine.ask("DELETE", f"/v1/secrets/{gone}")
    assert (answer.status, answer.json()) == (200, {"id": gone, "deleted": True})
    assert mine.refused(mine.ask("DELETE", f"/v1/secrets/{gone}"))[:2] == (404, 5)

    def ids(query: str) -> list[str]:
        return [each["id"] for each in mine.get(f"/v1/secrets?{query}")["secrets"]]

    assert ids("") == [newer, older]
    assert ids(f"starting_after={gone}") == [older]
    assert ids(f"starting_after={older}") == []
    for nowhere in ("x", "%00", "Z" * 26):
        assert ids(f"starting_after={nowhere}") == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "name: is required; value: is required"),
        ({"name": None, "value": "v"}, "name: is required"),
        ({"name": "n", "value": None}, "value: is required"),
        ({"name": "", "value": "v"}, "name: must have 1 to 256 characters"),
        ({"name": "n", "value": ""}, "value: must be text of 1 to 65536 bytes (UTF-8), without NUL"),
        ({"name": "n", "value": "a\0b"}, "value: must be text of 1 to 65536 bytes (UTF-8), without NUL"),
        ({"name": 5, "value": "v"}, "name: Expected `str | null`, got `int`"),
        (b"{", "the body is not valid JSON: it ends too early"),
    ],
)
def test_what_is_no_secret_is_refused(alone: Riza, body: Any, message: str) -> None:
    assert alone.refused(alone.ask("POST", "/v1/secrets", body)) == (400, 3, message)


def test_secrets_are_their_projects_own(alone: Riza, strict: Client, riza: Riza) -> None:
    foreign = riza.ask("POST", "/v1/secrets", {"name": "foreign", "value": "v"}).json()["id"]
    for unknown in (foreign, to_ulid(new_id()), "x", "-"):
        assert alone.refused(alone.ask("DELETE", f"/v1/secrets/{unknown}"))[:2] == (404, 5)
    assert "foreign" not in [each.name for each in strict.secrets.list()]
    with pytest.raises(rizaio.BadRequestError):
        strict.secrets.create(name="", value="v")


def test_secrets_need_a_key_with_the_scope(alone: Riza) -> None:
    run_only = alone.server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN])
    for method, path in (("GET", "/v1/secrets"), ("POST", "/v1/secrets"), ("DELETE", "/v1/secrets/x")):
        assert alone.refused(alone.ask(method, path, b"{" if method == "POST" else None, key=run_only))[:2] == (403, 7)
        assert alone.refused(alone.ask(method, path, b"{" if method == "POST" else None, key="no")) == (
            401,
            16,
            "unauthenticated",
        )
    answer = alone.ask("PUT", "/v1/secrets")
    assert (alone.refused(answer)[:2], answer.headers["allow"]) == ((405, 12), "GET, POST")
