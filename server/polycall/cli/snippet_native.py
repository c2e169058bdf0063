"""Snippets for the native contract: curl, Python's stubs, Node.js without any proto file."""

from __future__ import annotations

import json
import shlex
from typing import Any
from urllib.parse import quote

from polycall.cli.snippet_called import KEY, Called, python_text

__all__ = ["curl", "grpc_node", "grpc_python"]

_WAIT_S = 60  # a version may run for longer; whoever has one that does knows

# What a caller looks at; the whole message is in protos/polycall/v1/execution.proto.
_FIELDS = {"Execution": ("name", "state", "output_json", "error"), "ExecutionError": ("message", "type")}


def curl(called: Called) -> str:
    """Return a shell command."""
    # once for the URL: what is encoded in the name has to arrive as it is
    url = f"{called.rest}/polycall/v1/{quote(str(called.name), safe='/')}:run"
    body = json.dumps({"inputJson": called.input_json})
    return (
        f"curl -sS {shlex.quote(url)} \\\n"
        f'  -H "Authorization: Bearer ${KEY}" \\\n'
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)}\n"
    )


def grpc_python(called: Called) -> str:
    """Return a Python program for the stubs that come with polycall."""
    return f"""\
# with polycall installed: its stubs are part of it
import os

import grpc
from polycall.v1 import execution_pb2, execution_service_pb2, execution_service_pb2_grpc

with grpc.insecure_channel({python_text(called.grpc)}) as channel:
    executions = execution_service_pb2_grpc.ExecutionServiceStub(channel)
    execution = executions.RunFunction(
        execution_service_pb2.RunFunctionRequest(
            function={python_text(str(called.name))},
            input_json={python_text(called.input_json)},
        ),
        metadata=[("authorization", f"Bearer {{os.environ['{KEY}']}}")],
        timeout={_WAIT_S},
    )
if execution.state != execution_pb2.Execution.STATE_COMPLETED:
    raise SystemExit(f"{{execution.error.type}}: {{execution.error.message}}")
print(execution.output_json)
"""


def grpc_node(called: Called) -> str:
    """Return a Node.js program; what it needs of the contract is in it."""
    request = json.dumps({"function": str(called.name), "input_json": called.input_json}, indent=2)
    return f"""\
// npm install @grpc/grpc-js @grpc/proto-loader
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const contract = {json.dumps(_contract())};
const options = {{ keepCase: true, enums: String, defaults: true }};
const {{ ExecutionService }} = grpc.loadPackageDefinition(loader.fromJSON(contract, options)).polycall.v1;

const client = new ExecutionService({json.dumps(called.grpc)}, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${{process.env.{KEY}}}`);
const request = {request};
client.RunFunction(request, metadata, {{ deadline: Date.now() + {_WAIT_S}_000 }}, (error, execution) => {{
  if (error) {{
    console.error(error.message);
    process.exitCode = 1;
  }} else if (execution.state !== "STATE_COMPLETED") {{
    console.error(`${{execution.error.type}}: ${{execution.error.message}}`);
    process.exitCode = 1;
  }} else {{
    console.log(execution.output_json);
  }}
  client.close();
}});
"""


def _contract() -> dict[str, Any]:
    """Return the part of the contract that is used, as protobuf.js spells it; the numbers are those of the stubs."""
    from polycall.v1 import execution_pb2, execution_service_pb2

    request = execution_service_pb2.RunFunctionRequest.DESCRIPTOR
    states = execution_pb2.Execution.DESCRIPTOR.enum_types_by_name["State"]
    types: dict[str, Any] = {
        "RunFunctionRequest": _fields(request, ("function", "input_json")),
        "State": {"values": {value.name: value.number for value in states.values}},
        "ExecutionService": {
            "methods": {"RunFunction": {"requestType": "RunFunctionRequest", "responseType": "Execution"}}
        },
    }
    for name, fields in _FIELDS.items():
        types[name] = _fields(execution_pb2.DESCRIPTOR.message_types_by_name[name], fields)
    return {"nested": {"polycall": {"nested": {"v1": {"nested": types}}}}}


def _fields(message: Any, names: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for name in names:
        field = message.fields_by_name[name]
        kind = field.enum_type or field.message_type
        found[name] = {"type": kind.name if kind is not None else "string", "id": field.number}
    return {"fields": found}
