"""Every way the vendor's users write a handler."""

from __future__ import annotations

import pytest

from tests.contracts.cognite.driver import Cognite

_NAMES = "return sorted(k for k, v in locals().items() if v is not None)"


@pytest.mark.parametrize(
    ("signature", "given"),
    [
        ("", []),
        ("data", ["data"]),
        ("client", ["client"]),
        ("secrets", ["secrets"]),
        ("function_call_info", ["function_call_info"]),
        ("data, client", ["client", "data"]),
        ("client, data, secrets, function_call_info", ["client", "data", "function_call_info", "secrets"]),
        ("function_call_info, secrets, data, client", ["client", "data", "function_call_info", "secrets"]),
        ("*, secrets, data", ["data", "secrets"]),
        ("data, other=None", ["data"]),
        ("data=None, client=None", ["client", "data"]),
    ],
)
def test_a_handler_gets_what_its_signature_names(cognite: Cognite, signature: str, given: list[str]) -> None:
    function = cognite.deploy(f"def handle({signature}):\n    {_NAMES}\n")
    assert cognite.result(cognite.run(function)) == given


def test_a_handler_with_keywords_gets_all_four(cognite: Cognite) -> None:
    function = cognite.deploy("def handle(**given):\n    return sorted(given)\n")
    assert cognite.result(cognite.run(function)) == ["client", "data", "function_call_info", "secrets"]


@pytest.mark.parametrize(
    "source",
    [
        "async def handle(data):\n    return data\n",
        "import asyncio\nasync def handle(data):\n    await asyncio.sleep(0)\n    return data\n",
        "def make():\n    def inner(data):\n        return data\n    return inner\nhandle = make()\n",
        "class Handler:\n    def __call__(self, data):\n        return data\nhandle = Handler()\n",
        "from typing import Callable\nhandle: Callable = lambda data: data\n",
        "import functools\ndef run(data, extra):\n    return data\nhandle = functools.partial(run, extra=1)\n",
        "def handle(data, client: CogniteClient | None, info: Missing[int] = None) -> Nowhere:\n    return data\n",
    ],
    ids=["async", "awaiting", "factory", "object", "annotated", "partial", "unresolved"],
)
def test_a_handler_is_any_callable(cognite: Cognite, source: str) -> None:
    assert cognite.result(cognite.run(cognite.deploy(source), b'{"a":1}')) == {"a": 1}


@pytest.mark.parametrize(
    ("files", "entrypoint"),
    [
        (
            {"handler.py": "import helper\nhandle = helper.work\n", "helper.py": "def work(data): return data"},
            "handler",
        ),
        (
            {
                "my_functions/__init__.py": "",
                "my_functions/handler.py": "from my_functions.deep.helper import work as handle",
                "my_functions/deep/__init__.py": "",
                "my_functions/deep/helper.py": "def work(data): return data",
            },
            "my_functions.handler",
        ),
        (
            {
                "my_functions/__init__.py": "",
                "my_functions/handler.py": "from .helper import work as handle",
                "my_functions/helper.py": "def work(data): return data",
            },
            "my_functions.handler",
        ),
        (
            {
                "spaces/handler.py": "from .helper import work as handle",
                "spaces/helper.py": "def work(data): return data",
            },
            "spaces.handler",
        ),
    ],
    ids=["flat", "absolute", "relative", "namespace"],
)
def test_a_handler_imports_its_neighbours(cognite: Cognite, files: dict[str, str], entrypoint: str) -> None:
    function = cognite.deploy(files, entrypoint=f"{entrypoint}:handle")
    assert cognite.result(cognite.run(function, b'{"a":1}')) == {"a": 1}


def test_a_handler_needs_no_declaration(cognite: Cognite) -> None:
    cognite.server.deploy("10000", {"handler.py": "def handle(data, function_call_info):\n    return data\n"})
    assert cognite.result(cognite.run(10_000, b'{"a":1}')) == {"a": 1}


def test_a_handler_is_told_its_ids_as_text(cognite: Cognite) -> None:
    function = cognite.deploy("def handle(function_call_info):\n    return function_call_info\n")
    call = cognite.run(function)
    assert cognite.result(call) == {"function_id": str(function), "call_id": str(call["id"])}


def test_a_handler_reads_its_environment_and_its_token(cognite: Cognite) -> None:
    source = "import os\ndef handle(secrets):\n    return [os.environ['COLOUR'], list(secrets)]\n"
    assert cognite.result(cognite.run(cognite.deploy(source, env={"COLOUR": "blue"}))) == ["blue", ["token"]]


def test_a_client_that_cannot_be_had_says_so_when_it_is_used(cognite: Cognite) -> None:
    function = cognite.deploy("def handle(client):\n    return client.time_series.list()\n")
    ended = cognite.run(function)
    assert ended["status"] == "Failed"
    assert ended["error"]["message"].startswith("client.time_series is not available: ")


def test_a_handle_that_is_not_there_fails_the_call(cognite: Cognite) -> None:
    function = cognite.deploy("def other():\n    pass\n")
    ended = cognite.run(function)
    assert ended["status"] == "Failed"
    assert ended["error"]["message"] == "handle is not defined"
