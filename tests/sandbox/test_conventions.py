"""How arguments reach the code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polycall.domain import Convention
from polycall.sandbox.job import Ending
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import Run
from tests.sandbox.programs import job, key, script, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

_EVERYTHING = {"secrets": {"token": "s3cret"}, "function_call_info": {"call_id": 7}}


def _handle(code: str, data: Any = None, context: Any = _EVERYTHING) -> dict[str, Any]:
    return {
        "code": {"handler.py": code},
        "value": data,
        "entrypoint": "handler:handle",
        "convention": Convention.HANDLE,
        "context": json.dumps(context).encode(),
    }


async def test_input_is_one_argument(run: Run) -> None:
    assert value(await run("def execute(anything): return [anything]", {"a": 1})) == [{"a": 1}]
    assert value(await run("def execute(anything): return [anything]")) == [None]


@pytest.mark.parametrize(
    "definition",
    [
        "async def execute(input):\n    await asyncio.sleep(0)\n    return input",
        "class Execute:\n    async def __call__(self, input): return input\nexecute = Execute()",
        "execute = functools.partial(lambda prefix, input: input, 'p')",
        "class execute:\n    def __new__(cls, input): return input",
        "def execute(input):\n    future = asyncio.Future(loop=asyncio.new_event_loop())\n    return input",
    ],
)
async def test_every_kind_of_callable_is_called_and_awaited(run: Run, definition: str) -> None:
    assert value(await run(f"import asyncio, functools\n{definition}\n", 5)) == 5


async def test_keywords_are_the_members_of_the_input(run: Run) -> None:
    code = "def execute(a, b=2, **rest): return [a, b, rest]"
    outcome = await run(code, {"a": 1, "c": 3}, convention=Convention.KEYWORDS)
    assert value(outcome) == [1, 2, {"c": 3}]


async def test_keywords_without_input_are_none(run: Run) -> None:
    assert value(await run("def execute(**rest): return rest", convention=Convention.KEYWORDS)) == {}


@pytest.mark.parametrize(
    ("given", "kind"), [([1], "an array"), ("x", "a string"), (1.5, "a number"), (True, "a boolean")]
)
async def test_keywords_need_an_object(run: Run, given: Any, kind: str) -> None:
    outcome = await run("def execute(**rest): return rest", given, convention=Convention.KEYWORDS)
    assert outcome.ending is Ending.RAISED
    assert outcome.error is not None
    assert outcome.error.type == "TypeError"
    assert outcome.error.message == f"the input must be a JSON object (keyword arguments), got {kind}"


async def test_keywords_that_do_not_fit_raise(run: Run) -> None:
    outcome = await run("def execute(a): return a", {"b": 1}, convention=Convention.KEYWORDS)
    assert outcome.error is not None
    assert outcome.error.message == "execute() got an unexpected keyword argument 'b'"


async def test_parameters_go_by_position_in_declared_order(run: Run) -> None:
    outcome = await run(
        "def execute(x, y, z): return [x, y, z]",
        {"third": 3, "first": 1, "other": 9},
        convention=Convention.PARAMETERS,
        parameters=("first", "second", "third"),
    )
    assert value(outcome) == [1, None, 3]


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("data", [{"n": 1}]),
        ("secrets, data", [{"token": "s3cret"}, {"n": 1}]),
        ("data, /, secrets", [{"n": 1}, {"token": "s3cret"}]),
        ("*, function_call_info", [{"call_id": 7}]),
        ("data, other=4", [{"n": 1}, 4]),
        ("", []),
    ],
)
async def test_handle_gets_what_its_signature_names(sandbox: Sandbox, signature: str, expected: Any) -> None:
    names = [name.partition("=")[0].strip() for name in signature.split(",") if name.strip() not in ("", "/", "*")]
    code = f"def handle({signature}): return [{', '.join(names)}]"
    assert value(await sandbox.run(job(**_handle(code, {"n": 1})))) == expected


async def test_handle_with_keywords_gets_everything(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(job(**_handle("def handle(**all): return sorted(all)")))
    assert value(outcome) == ["client", "data", "function_call_info", "secrets"]


async def test_handle_without_context_gets_none(sandbox: Sandbox) -> None:
    code = "def handle(secrets, function_call_info): return [secrets, function_call_info]"
    assert value(await sandbox.run(job(**_handle(code, context={})))) == [None, None]


async def test_handle_may_be_something_without_name_or_signature(sandbox: Sandbox) -> None:
    assert value(await sandbox.run(job(**_handle("handle = max", [3, 5])))) == 5
    code = "import functools\ndef f(extra, data): return [extra, data]\nhandle = functools.partial(f, 1)"
    assert value(await sandbox.run(job(**_handle(code, 2)))) == [1, 2]


async def test_annotations_of_a_handler_are_never_evaluated(sandbox: Sandbox) -> None:
    code = "def handle(client: CogniteClient, data: dict[str, Missing]) -> AlsoMissing: return data"
    assert value(await sandbox.run(job(**_handle(code, 1)))) == 1


async def test_a_client_that_cannot_be_had_says_so_at_its_first_use(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(job(**_handle("def handle(client): return client.time_series")))
    assert outcome.error is not None
    assert outcome.error.message == (
        "client.time_series is not available: this call came without the credentials of a Cognite project."
    )
    settings = {"client": {"project": "p", "base_url": "https://x.invalid", "token": "t"}}
    outcome = await sandbox.run(job(**_handle("def handle(client): return client.assets", context=settings)))
    assert outcome.error is not None
    assert outcome.error.message == (
        "client.assets is not available: the Cognite SDK is not installed in this runtime; name it in requirements.txt."
    )


async def test_a_client_is_made_where_the_bundle_brings_the_sdk(sandbox: Sandbox) -> None:
    sdk = """
        class ClientConfig:
            def __init__(self, **settings): self.settings = settings
        class CogniteClient:
            def __init__(self, config): self.config = config
        class global_config:
            pass
    """
    files = {
        "handler.py": """
            def handle(client):
                settings = client.config.settings
                return {**settings, 'credentials': settings['credentials'].token}
        """,
        "cognite/client/__init__.py": sdk,
        "cognite/client/credentials.py": "class Token:\n    def __init__(self, token): self.token = token\n",
    }
    settings = {"client": {"project": "p", "base_url": "https://x.invalid", "token": "t"}}
    arguments = _handle("", context=settings) | {"code": files}
    assert value(await sandbox.run(job(**arguments))) == {
        "client_name": "polycall",
        "project": "p",
        "base_url": "https://x.invalid",
        "credentials": "t",
    }


async def test_a_script_has_arguments_input_and_a_main_module(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(
        script(
            """
            import sys
            if __name__ == '__main__':
                print(sys.argv[1:], sys.stdin.read(), __file__.endswith('/main.py'))
            """,
            args=("one", "two words"),
            stdin="grüße\n".encode(),
        )
    )
    assert outcome.stdout.decode() == "['one', 'two words'] grüße\n True\n"


async def test_standard_input_is_empty_where_none_was_given(sandbox: Sandbox) -> None:
    assert (await sandbox.run(script("print(repr(input()))"))).stderr.endswith(b"EOFError: EOF when reading a line\n")
    assert value(await sandbox.run(job("import sys\ndef execute(input): return sys.stdin.read()"))) == ""


async def test_standard_input_is_each_calls_own(sandbox: Sandbox) -> None:
    code = "import sys\ndef execute(input): return sys.stdin.read()"
    for text in ("first", "second", ""):
        assert value(await sandbox.run(job(code, key=key("stdin"), stdin=text.encode()))) == text


async def test_packages_import_each_other(sandbox: Sandbox) -> None:
    files = {
        "app/__init__.py": "from .core import answer\n",
        "app/core.py": "from . import data, deep\nanswer = data.value + deep.value\n",
        "app/data.py": "value = 40\n",
        "app/deep/__init__.py": "value = 2\n",
        "app/entry.py": """
            import app
            class Api:
                @staticmethod
                def call(input): return [app.answer, input, __name__]
        """,
    }
    assert value(await sandbox.run(job(files, 1, entrypoint="app.entry:Api.call"))) == [42, 1, "app.entry"]


async def test_the_programs_own_modules_hide_those_of_the_standard_library(sandbox: Sandbox) -> None:
    files = {
        "main.py": "import random, polycall\ndef execute(input): return [random.mine, polycall.mine]",
        "random.py": "mine = 'my random'",
        "polycall/__init__.py": "mine = 'my polycall'",
    }
    assert value(await sandbox.run(job(files))) == ["my random", "my polycall"]


async def test_a_module_is_importable_by_its_name_and_its_data_readable(sandbox: Sandbox) -> None:
    files = {
        "main.py": "import helper, pathlib\ndef execute(input): return helper.text()",
        "helper.py": """
            import pathlib, main
            def text(): return (pathlib.Path(__file__).parent / 'data/words.txt').read_text()
        """,
        "data/words.txt": "hello",
    }
    assert value(await sandbox.run(job(files))) == "hello"


async def test_a_module_that_was_imported_is_not_run_again_as_entry(sandbox: Sandbox) -> None:
    files = {
        "main.py": "import helper\ndef execute(input): return helper.state",
        "helper.py": "state = []\ndef execute(input):\n    state.append(input)\n    return state",
    }
    assert value(await sandbox.run(job(files, key=key("entry")))) == []
    assert value(await sandbox.run(job(files, 1, key=key("entry"), entrypoint="helper:execute"))) == [1]
    assert value(await sandbox.run(job(files, key=key("entry")))) == [1]


async def test_a_callable_of_the_standard_library_is_an_entrypoint_too(sandbox: Sandbox) -> None:
    assert value(await sandbox.run(job("", -3, entrypoint="math:fabs"))) == 3.0
    assert value(await sandbox.run(job("", [1], entrypoint="json:dumps"))) == "[1]"


async def test_the_main_module_is_empty(sandbox: Sandbox) -> None:
    code = "import sys\ndef execute(input): return [n for n in vars(sys.modules['__main__']) if not n.startswith('__')]"
    assert value(await sandbox.run(job(code))) == []


async def test_the_environment_is_the_jobs_and_nothing_else(sandbox: Sandbox) -> None:
    outcome = await sandbox.run(job("import os\ndef execute(input): return dict(os.environ)", env={"NAME": "värld"}))
    environment = value(outcome)
    assert environment.pop("HOME") == environment.pop("TMPDIR") == "/mnt/tmp"
    assert environment == {"NAME": "värld", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}
