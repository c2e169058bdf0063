"""Snippets for the vendors' contracts: their SDKs where they have some, else HTTP; and what each of them can call."""

from __future__ import annotations

import re
from urllib.parse import quote

from polycall.cli.snippet_called import KEY, Called, NotCallable, literal, python_text

__all__ = ["cognite", "domo", "guance", "riza", "xpander"]

_GUANCE_SCRIPT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*?__[A-Za-z0-9_]+", re.ASCII)
_XPANDER_ENTRY, _RIZA_ENTRY, _COGNITE_ENTRY = "xpander_run_action", "execute", "handle"
_SOME_MORE_S = 60


def riza(called: Called) -> str:
    """Return a call of a tool with rizaio."""
    if called.package.face != "riza":
        raise NotCallable(
            f"{called.package.name} is no tool of Riza's contract, which calls nothing else by its id. Make it one "
            "with `client.tools.create`, or call it natively: --as curl."
        )
    if called.function.name != _RIZA_ENTRY:
        raise NotCallable(f"Riza calls the function `{_RIZA_ENTRY}` of a tool, and no other.")
    revision = f"    revision_id={python_text(called.version_id)},\n" if called.named_version else ""
    return f"""\
# pip install rizaio
import os

from rizaio import Riza

riza = Riza(api_key=os.environ["{KEY}"], base_url={python_text(called.rest)})
answer = riza.tools.exec(
    {python_text(called.package_id)},
    input={literal(called.input, 4)},
{revision})
if answer.execution.exit_code != 0:
    raise SystemExit(answer.execution.stderr)
print(answer.output)
"""


def cognite(called: Called) -> str:
    """Return a call with cognite-sdk."""
    _newest_only(called, "Cognite Functions")
    if not re.fullmatch(r"[1-9][0-9]{0,15}", called.package_id):
        raise NotCallable(
            f"Cognite Functions calls functions by a number, and the package is {called.package_id!r}. Deploy it under "
            "a number, such as `polycall deploy --package 41`."
        )
    _only_function(called, "Cognite Functions", _COGNITE_ENTRY, "handle")
    _python_only(called, "Cognite Functions")
    data = called.members("Cognite Functions")
    return f"""\
# pip install cognite-sdk
import os

from cognite.client import ClientConfig, CogniteClient
from cognite.client.credentials import Token

client = CogniteClient(
    ClientConfig(
        client_name="snippet",
        project={python_text(called.project)},
        credentials=Token(os.environ["{KEY}"]),
        base_url={python_text(called.rest)},
    )
)
call = client.functions.call(
    id={called.package_id},
    data={literal(data, 4)},
)
if call.status != "Completed":
    raise SystemExit(f"{{call.status}}: {{call.error}}")
print(call.get_response())
"""


def guance(called: Called) -> str:
    """Return a call over HTTP."""
    _newest_only(called, "Guance")
    if not _GUANCE_SCRIPT.fullmatch(called.package_id):
        raise NotCallable(
            f"Guance calls `set__script.function`, and the package is {called.package_id!r}. Deploy it under such an "
            "id, for instance `polycall deploy --package tools__main`."
        )
    if not called.function.name.isidentifier():
        raise NotCallable(f"Guance calls functions by their name in the code, and {called.function.name!r} is none.")
    _python_only(called, "Guance")
    func_id = f"{called.package_id}.{called.function.name}"
    return f"""\
# pip install requests
import os

import requests

answer = requests.post(
    {python_text(called.rest + "/api/v1/outer_function/execute")},
    headers={{"DF-API-KEY": os.environ["{KEY}"]}},
    json={{
        "funcId": {python_text(func_id)},
        "funcBody": {{
            "kwargs": {literal(called.members("Guance"), 22)},
        }},
    }},
    timeout={_SOME_MORE_S},
).json()
if not answer["success"]:
    raise SystemExit(answer["message"])
content = answer["content"]
if not content["ok"]:
    raise SystemExit(content["message"])
print(content["data"]["result"])
"""


def xpander(called: Called) -> str:
    """Return a call with xpander-sdk."""
    _newest_only(called, "xpander.ai")
    if not re.fullmatch(r"[^_/\s]+", called.package_id):
        raise NotCallable(
            f"xpander.ai calls functions whose ids have no `_`, `/` or space, and the package is "
            f"{called.package_id!r}. Deploy it under another id, such as a UUID."
        )
    _only_function(called, "xpander.ai", _XPANDER_ENTRY, "keywords")
    path = f"/v1/custom_functions/{quote(called.package_id, safe='')}/execute"
    return f"""\
# pip install "xpander-sdk[agno]"
import asyncio
import os

from xpander_sdk import Configuration
from xpander_sdk.core.xpander_api_client import APIClient

configuration = Configuration(
    api_key=os.environ["{KEY}"],
    organization_id={python_text(called.project)},
    base_url={python_text(called.rest)},
)
answer = asyncio.run(
    APIClient(configuration=configuration).make_request(
        path={python_text(path)},
        method="POST",
        payload={literal(called.members("xpander.ai"), 8)},
    )
)
print(answer)
"""


def domo(called: Called) -> str:
    """Return a call over HTTP: the vendor's Python library cannot be pointed at another address."""
    from polycall.v1 import package_pb2

    if called.version.state != package_pb2.Version.STATE_RELEASED:
        raise NotCallable(
            f"Domo calls released versions, and {called.version.name} is not: "
            f"`polycall packages release {called.package.name} --version {called.version_id}`."
        )
    parts = (called.package.alias if called.package.face == "domo" and called.package.alias else called.package_id,)
    package, version, function = (quote(part, safe="") for part in (*parts, called.version_id, called.function.name))
    url = f"{called.rest}/api/codeengine/v2/packages/{package}/versions/{version}/functions/{function}"
    return f"""\
# pip install requests
import os

import requests

answer = requests.post(
    {python_text(url)},
    headers={{"X-DOMO-Developer-Token": os.environ["{KEY}"]}},
    json={{
        "inputVariables": {literal(called.members("Domo"), 26)},
        "settings": {{"getLogs": True}},
    }},
    timeout={_SOME_MORE_S},
)
answer.raise_for_status()
execution = answer.json()
if execution["status"] != "SUCCESS":
    raise SystemExit(execution["errorInformation"]["errorMessages"][0])
print(execution["result"])
"""


def _newest_only(called: Called, contract: str) -> None:
    if called.named_version:
        raise NotCallable(
            f"{contract} has no versions: it calls the one that callers get who name none. Leave out "
            f"`/versions/{called.version_id}`, and release that version if it should be the one."
        )


def _only_function(called: Called, contract: str, entry: str, convention: str) -> None:
    """Raise NotCallable unless a function is what a contract calls that knows packages only."""
    from polycall.v1 import execution_pb2

    wanted = execution_pb2.Convention.Value(f"CONVENTION_{convention.upper()}")
    public = [each for each in called.version.functions if not each.private]
    if convention == "keywords":
        public = [each for each in public if each.convention == wanted]
    chosen = [each for each in public if each.name == entry] or public
    if len(chosen) != 1 or chosen[0].name != called.function.name:
        raise NotCallable(
            f"{contract} calls `{entry}` of a package, or its only public function; {called.function.name} is neither. "
            f"Deploy it under that name, or alone."
        )


def _python_only(called: Called, contract: str) -> None:
    from polycall.v1 import execution_pb2

    if called.version.language not in (execution_pb2.LANGUAGE_PYTHON, execution_pb2.LANGUAGE_UNSPECIFIED):
        raise NotCallable(f"{contract} calls Python functions, and {called.version.name} is in another language.")
