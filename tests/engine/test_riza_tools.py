"""Riza's tools over the real engine, as two servers have it that know nothing of each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.message import Message

from polycall.errors import InvalidArgument, RuntimeMissing, Unavailable
from polycall.faces.reply import Face, Inbound
from polycall.faces.riza.faces import riza_faces
from polycall.faces.riza.v1 import tools_pb2
from polycall.sealing import Sealer
from tests.engine.conftest import Build
from tests.engine.house import House

KEY = "the key"
CODE = "def execute(input): return input"


def tools(home: House) -> Face:
    """Return the face of a server of its own."""
    return next(
        face for service, face in riza_faces(home.engine, Sealer([bytes(32)])) if service.name == "ToolsService"
    )


async def ask(face: Face, method: str, message: Message, body: Mapping[str, Any] | None = None) -> Any:
    inbound = Inbound(
        method=method,
        message=message,
        body=b"" if body is None else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {KEY}"},
    )
    return json.loads((await face.handlers[method](inbound)).body)


async def made(face: Face) -> dict[str, Any]:
    answer = await ask(face, "CreateTool", tools_pb2.CreateToolRequest(), new())
    assert isinstance(answer, dict)
    return answer


def new(**changes: Any) -> dict[str, Any]:
    return {"name": "t", "language": "python", "code": CODE} | changes


async def test_of_changes_by_two_servers_none_is_lost(build: Build) -> None:
    async with build(bootstrap=KEY) as home:
        one, other = tools(home), tools(home)
        tool = await made(one)
        change = tools_pb2.UpdateToolRequest(tool_id=tool["id"])
        held = home.store.hold("create_version")  # of the first: its revision is there, and is not said to be current
        first = asyncio.create_task(ask(one, "UpdateTool", change, {"name": "first"}))
        await held.begun.wait()
        second = await ask(other, "UpdateTool", change, {"description": "second"})
        assert (second["name"], second["description"]) == ("t", "second")
        held.go.set()
        both = await first
        assert (both["name"], both["description"]) == ("first", "second")
        shown = await ask(other, "GetTool", tools_pb2.GetToolRequest(tool_id=tool["id"]))
        assert shown == both
        # the revision that came too late is none
        versions = await home.store.real.list_versions("default", tool["id"], 10)
        assert [each.id for each in versions.items] == [both["revision_id"], second["revision_id"], tool["revision_id"]]


async def test_a_tool_that_others_change_all_the_time_is_left_as_it_is(build: Build) -> None:
    async with build(bootstrap=KEY) as home:
        face = tools(home)
        tool = await made(face)

        async def refuse(*_: Any) -> None:
            return None

        home.registry.exchange_package = refuse  # type: ignore[assignment,method-assign]
        with pytest.raises(Unavailable, match="is being changed by others all the time"):
            await ask(face, "UpdateTool", tools_pb2.UpdateToolRequest(tool_id=tool["id"]), {"name": "n"})
        assert await ask(face, "GetTool", tools_pb2.GetToolRequest(tool_id=tool["id"])) == tool
        assert len((await home.store.real.list_versions("default", tool["id"], 10)).items) == 1


async def test_a_tool_that_cannot_be_kept_leaves_nothing(build: Build) -> None:
    async with build(bootstrap=KEY) as home:
        face = tools(home)
        home.store.failing["create_version"] = RuntimeMissing("gone meanwhile", subject="r")
        with pytest.raises(RuntimeMissing):
            await made(face)
        with pytest.raises(InvalidArgument):
            await ask(face, "CreateTool", tools_pb2.CreateToolRequest(), new(description="x" * 5000))
        assert (await home.store.real.list_packages("default", 10)).items == ()
        assert await ask(face, "ListTools", tools_pb2.ListToolsRequest()) == {"tools": []}
