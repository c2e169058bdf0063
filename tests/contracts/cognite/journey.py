"""What a user of the SDK does, from logging in to deleting: run by the SDK's own interpreter, told as JSON.

It imports nothing of this project: one of the SDK's versions lives in an environment of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cognite.client
from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import OAuthClientCredentials, Token
from cognite.client.data_classes import ClientCredentials
from cognite.client.exceptions import CogniteAPIError, CogniteNotFoundError

_HANDLER = """
from .words import GREETING


def handle(data, client, secrets, function_call_info):
    print("called")
    return {"greeting": f"{GREETING}, {data['name']}", "n": 4, "pw": secrets["pw"], "info": sorted(function_call_info)}
"""


def main(base_url: str, project: str, key: str, kind: str) -> dict[str, Any]:
    """Go the whole way and return what was seen on it."""
    global_config.disable_pypi_version_check = True  # it would ask the network for news of itself
    client = _client(base_url, project, key, kind)
    marker = f"{kind}-{cognite.client.__version__}"
    seen: dict[str, Any] = {"version": cognite.client.__version__}
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "greeter")
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "words.py").write_text('GREETING = "Hello"\n')
        (package / "handler.py").write_text(_HANDLER)
        made = client.functions.create(
            name="a/b",
            folder=folder,
            function_path="greeter/handler.py",
            external_id=f"folder-{marker}",
            description="greets",
            owner="me",
            metadata={"team": marker},
            secrets={"pw": "hush"},
            env_vars={"A": "b"},
            cpu=0.5,
            memory=0.5,
            runtime="py312",
        )
        seen["made"] = made.dump()
        seen["printed"] = str(made)
        try:
            client.functions.create(
                name="a/b", folder=folder, function_path="greeter/handler.py", external_id=f"folder-{marker}"
            )
        except CogniteAPIError as error:
            seen["duplicated"] = [type(error).__name__, error.code, error.duplicated, bool(error.x_request_id)]
    ready = _ended(client, made)
    seen["ready"] = ready.dump()

    call = ready.call(data={"name": "Ada"})
    seen["call"] = call.dump()
    seen["response"] = call.get_response()
    seen["logs"] = [entry.message for entry in call.get_logs()]
    seen["log_times"] = [entry.timestamp for entry in call.get_logs()]

    def handle(data: Any) -> Any:
        """Count.

        [requirements]
        [/requirements]
        """
        import time

        if data.get("fail"):
            raise ValueError("asked to")
        if data.get("set"):
            return {1, 2}
        time.sleep(data.get("s", 0))
        return len(data)

    counter = client.functions.create(name="counter", function_handle=handle)  # type: ignore[arg-type]
    counter = _ended(client, counter)
    seen["handle"] = [counter.status, counter.call(data={"a": 1}).get_response()]
    failing = counter.call(data={"fail": True})
    seen["failing"] = [failing.status, failing.error, failing.get_response(), failing.get_logs()[-1].message]
    odd = counter.call(data={"set": True})
    seen["odd"] = [odd.status, odd.error["message"]]
    slow = counter.call(data={"s": 1}, wait=False)
    seen["slow"] = [slow.status, slow.end_time, slow.get_response()]
    slow.wait()
    seen["slow_ended"] = [slow.status, slow.get_response()]
    nonce = client.iam.sessions.create().nonce
    seen["nonce"] = [client.functions.call(id=counter.id, nonce=nonce).status]
    try:
        client.functions.call(id=counter.id, nonce=nonce)
    except CogniteAPIError as error:
        seen["nonce"] += [error.code, error.message]

    seen["listed"] = [each.id == made.id for each in client.functions.list(metadata={"team": marker}, limit=None)]
    seen["by_prefix"] = len(client.functions.list(external_id_prefix=f"folder-{marker}", status="Ready"))
    calls = client.functions.calls.list(function_id=counter.id, limit=None)
    seen["calls"] = [each.status for each in calls]
    seen["failed_calls"] = len(client.functions.calls.list(function_id=counter.id, status="Failed", limit=1))
    again: Any = client.functions.calls.retrieve(call_id=slow.id, function_id=counter.id)
    seen["call_again"] = again.dump() == slow.dump()
    seen["limits"] = client.functions.limits().dump()
    seen["status"] = [client.functions.status().status, client.functions.activate().status]
    sessions = client.iam.sessions.list(status="ACTIVE", limit=3)
    seen["sessions"] = [[each.type, each.status, each.client_id] for each in sessions]
    seen["revoked"] = client.iam.sessions.revoke(sessions[0].id).status
    credentials = client.iam.sessions.create(ClientCredentials("app", key))
    seen["credentials"] = [credentials.type, credentials.status, credentials.client_id]
    seen["token"] = [each.url_name for each in client.iam.token.inspect().projects]

    schedule = client.functions.schedules.create(
        name="every minute", cron_expression="* * * * *", function_id=counter.id, data={"a": 1}
    )
    seen["schedule"] = [schedule.when, type(schedule.session_id).__name__, schedule.get_input_data()]
    try:
        client.functions.retrieve_multiple(ids=[counter.id, 999_999], external_ids=["nope"])
    except CogniteNotFoundError as error:
        seen["not_found"] = error.not_found
    seen["unknown"] = [client.functions.retrieve(id=999_999), client.functions.retrieve(external_id="nope")]
    client.functions.delete(id=counter.id, external_id=made.external_id)
    seen["deleted"] = [
        client.functions.retrieve(id=made.id),
        client.functions.retrieve(id=counter.id),
        client.functions.schedules.retrieve(id=schedule.id),
    ]
    return seen


def _client(base_url: str, project: str, key: str, kind: str) -> CogniteClient:
    credentials: Any = Token(key)
    if kind == "credentials":
        credentials = OAuthClientCredentials(
            token_url=f"{base_url}/oauth2/token", client_id="app", client_secret=key, scopes=["anything"]
        )
    return CogniteClient(
        ClientConfig(base_url=base_url, project=project, client_name="journey", credentials=credentials)
    )


def _ended(client: CogniteClient, function: Any) -> Any:
    for _ in range(600):
        if function.status in ("Ready", "Failed"):
            return client.functions.retrieve(id=function.id)
        time.sleep(0.1)
        function.update()
    raise TimeoutError(f"the function is still {function.status}")


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
