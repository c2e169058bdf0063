"""Uses the vendor's SDK, unmodified, against the server that its arguments name; prints what it saw as JSON.

Run in an environment of its own: ``python sdk_client.py BASE_URL API_KEY``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
from xpander_sdk import Configuration, ToolsRepository
from xpander_sdk.core.xpander_api_client import APIClient
from xpander_sdk.exceptions.module_exception import ModuleException

FIRST = """
def xpander_run_action(city: str, times: int = 1, **more):
    return [city] * times + sorted(more)
"""
SECOND = """
async def xpander_run_action(text: str, max_items: int = 100) -> dict:
    if text == "wrong":
        raise ValueError("bad text")
    return {"count": 2, "max_items": max_items, "kind": type(max_items).__name__}
"""
SCALARS = "def xpander_run_action(n: int):\n    return [None, 42, 1.5, 'é', True, [], {}][n]\n"
SLOW = "import time\ndef xpander_run_action():\n    time.sleep(30)\n"


async def seen(configuration: Configuration) -> dict[str, Any]:
    client = APIClient(configuration=configuration)
    functions = "/v1/custom_functions"

    async def ready(function_id: str) -> dict[str, Any]:
        while (item := await client.make_request(path=f"{functions}/{function_id}"))["status"] == "analysing":
            await asyncio.sleep(0.02)
        return dict(item)

    async def made(source: str, **more: Any) -> str:
        payload = {"name": "made", "source_code": source, **more}
        item = await client.make_request(path=functions, method="POST", payload=payload)
        return str((await ready(item["id"]))["id"])

    async def tried(function_id: str, payload: Any) -> Any:
        try:
            return await client.make_request(path=f"{functions}/{function_id}/execute", method="POST", payload=payload)
        except httpx.HTTPStatusError as error:
            return [error.response.status_code, error.response.json()]

    async def as_tool(function_id: str, payload: Any) -> list[Any]:
        """Call it the second way and the third."""
        tool_id = f"xpander-custom-functions_{function_id}"
        repository = ToolsRepository(configuration=configuration)
        await repository.aload_tool_by_id(tool_id)
        tool = repository.tools[0]
        alone = await tool.get_invocation_function(is_async=True)(payload)
        operation = await tool.ainvoke(agent_id="ag", payload=payload, tool_call_id="call-1")
        return [[each.is_success, each.is_error, each.status_code, each.result] for each in (alone, operation)] + [
            tool.id,
            tool.name,
            tool.description,
            tool.parameters,
        ]

    async def loading_fails(function_id: str) -> str:
        repository = ToolsRepository(configuration=configuration)
        try:
            await repository.aload_tool_by_id(f"xpander-custom-functions_{function_id}")
        except ModuleException as error:
            return str(error)
        return ""

    found: dict[str, Any] = {}
    created = await client.make_request(
        path=functions,
        method="POST",
        payload={"name": "Cities", "description": "Repeats.", "source_code": FIRST, "limits": {"timeout": 5}},
    )
    function_id = created["id"]
    found["created"] = created
    found["ready"] = await ready(function_id)
    found["listed"] = await client.make_request(path=functions, query={"page": 1, "per_page": 50})
    found["first way"] = [await tried(function_id, {"city": "SF", "times": 2, "b": 1, "a": None})]
    found["first tool"] = await as_tool(function_id, {"city": "SF"})
    found["problems"] = await tried(function_id, {"times": "x"})
    found["no body"] = await tried(function_id, None)

    # updated, and called again
    patched = await client.make_request(
        path=f"{functions}/{function_id}", method="PATCH", payload={"source_code": SECOND, "name": "Counts"}
    )
    found["patched"] = patched
    await ready(function_id)
    found["again"] = [await tried(function_id, {"text": "t"}), await tried(function_id, {"text": "wrong"})]
    found["second tool"] = await as_tool(function_id, {"text": "t", "max_items": 3})
    found["failing tool"] = await as_tool(function_id, {"text": "wrong"})
    tool = await tool_of(configuration, function_id)
    found["preflight"] = await tool.acall_remote_tool(agent_id="ag", payload={"text": "wrong"}, is_preflight=True)

    # deleted
    found["deleted"] = await client.make_request(path=f"{functions}/{function_id}", method="DELETE")
    found["gone"] = await tried(function_id, {"text": "t"})
    found["gone tool"] = await loading_fails(function_id)

    scalars = await made(SCALARS)
    found["scalars"] = [await tried(scalars, {"n": n}) for n in range(7)]
    slow = await made(SLOW, limits={"max_run_time": 1})
    found["slow"] = await tried(slow, {})
    broken = await made("def xpander_run_action(:\n")
    found["broken"] = await tried(broken, {})
    found["broken tool"] = await loading_fails(broken)
    found["health"] = await client.make_request(path="/health")
    return found


async def tool_of(configuration: Configuration, function_id: str) -> Any:
    repository = ToolsRepository(configuration=configuration)
    await repository.aload_tool_by_id(f"xpander-custom-functions_{function_id}")
    return repository.tools[0]


async def with_wrong_key(base_url: str) -> int:
    client = APIClient(configuration=Configuration(api_key="wrong", organization_id="o", base_url=base_url))
    try:
        await client.make_request(path="/v1/custom_functions")
    except httpx.HTTPStatusError as error:
        return error.response.status_code
    return 0


if __name__ == "__main__":
    url, key = sys.argv[1:]
    told = asyncio.run(seen(Configuration(api_key=key, organization_id="default", base_url=url)))
    told["wrong key"] = asyncio.run(with_wrong_key(url))
    print(json.dumps(told))
