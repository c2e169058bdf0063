"""What `polycall serve` says when it is ready, and with `--examples` a call to paste for every contract."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polycall
from polycall.cli.client import dialled
from polycall.cli.failures import Failure
from polycall.cli.terminal import styled, tell
from polycall.domain import IsolationLevel

if TYPE_CHECKING:
    from polycall.sandbox.installed import Interpreter
    from polycall.serving import Ready

__all__ = ["commands", "deploy_examples", "examples_directory", "print_welcome"]

_LEVELS = {
    IsolationLevel.PROCESS: "limits and a clean environment only",
    IsolationLevel.CONFINED: "seccomp, Landlock",
    IsolationLevel.NAMESPACED: "user, mount, pid, network and ipc namespaces, seccomp",
    IsolationLevel.CONTAINED: "user, mount, pid, network and ipc namespaces, seccomp, cgroup",
}
_XPANDER = "8c1d2f60-3b5e-4a7c-9d10-6e2f4b8a7c31"
_DOMO = "756f0b19-5125-44f6-b541-058980ff6a94"
# An example that is there already, or in a language that does not run here.
_NO_HARM = {"ALREADY_EXISTS": "kept", "RUNTIME_MISSING": "left out"}
_CODE = r"def execute(input): return {\"name\": input[\"name\"], \"executed\": True}"


def examples_directory() -> Path:
    """Return ``examples/`` of the source checkout that this polycall runs from. Raises Failure."""
    directory = Path(polycall.__file__).resolve().parents[2] / "examples"
    if not directory.is_dir():
        raise Failure(
            "the examples are part of the source checkout, which this polycall was not installed from. Clone it and"
            " `make run`, or start without --examples and `polycall deploy` code of your own."
        )
    return directory


def deploy_examples(address: str, key: str) -> dict[str, str]:
    """Deploy every example whose version is not there yet; return for each what became of it. Raises Failure."""
    from polycall.cli.client import Client
    from polycall.cli.deployment import deploy
    from polycall.cli.source import read_source

    deployed = {}
    with Client(address, key) as client:
        for directory in sorted(path.parent for path in examples_directory().glob("*/polycall.toml")):
            source = read_source(str(directory))
            name = f"packages/{source.manifest.package}/versions/{source.manifest.version}"
            try:
                version = deploy(client, source, source.manifest)
            except Failure as failure:
                if failure.reason not in _NO_HARM:
                    raise
                deployed[name] = _NO_HARM[failure.reason]
            else:
                deployed[name] = "deployed"
                if version.error:
                    raise Failure(f"the example {directory.name} cannot be run: {version.error}")
    return deployed


def commands(ready: Ready) -> dict[str, str]:
    """Return a shell command for each contract; every one works as it stands."""
    grpc = {"gRPC, by reflection": _by_reflection(ready)}
    if not ready.rest_address:
        return grpc
    rest, key = f"http://{dialled(ready.rest_address)}", ready.key
    bearer = f"Authorization: Bearer {key}"
    cognite = f"{rest}/api/v1/projects/default"
    session = _curl(f"{cognite}/sessions", bearer, """{"items": [{"tokenExchange": true}]}""")
    return {
        "Riza": _curl(
            f"{rest}/v1/execute-function",
            bearer,
            f"""{{"language": "python", "code": "{_CODE}", "input": {{"name": "John"}}}}""",
        ),
        "Cognite Functions": (
            f"""NONCE=$({session} | sed 's/.*"nonce": *"\\([^"]*\\)".*/\\1/')\n"""
            + _curl(f"{cognite}/functions/1/call", bearer, """{"data": {"name": "Ada"}, "nonce": "'"$NONCE"'"}""")
        ),
        "Guance": _curl(
            f"{rest}/api/v1/outer_function/execute",
            f"DF-API-KEY: {key}",
            """{"funcId": "guance__openapi.hello_world", "funcBody": {"kwargs": {"name": "Tom"}}}""",
        ),
        "xpander.ai": _curl(
            f"{rest}/v1/custom_functions/{_XPANDER}/execute", f"x-api-key: {key}", """{"city": "San Francisco"}"""
        ),
        "Domo Code Engine": _curl(
            f"{rest}/api/codeengine/v2/packages/{_DOMO}/versions/1.0.1/functions/getExecutionDetails",
            f"X-DOMO-Developer-Token: {key}",
            """{"inputVariables": {"paramName": "any"}, "settings": {"getLogs": true}}""",
        ),
        **grpc,
    }


def _curl(url: str, header: str, body: str) -> str:
    return f"curl -sS {url} \\\n  -H {shlex.quote(header)} \\\n  -d '{body}'"


def print_welcome(ready: Ready, seconds: float, deployed: Mapping[str, str] | None) -> None:
    """Print where polycall is, how it isolates and which key to use; with the examples, how to call them."""
    level = f"L{int(ready.isolation)}: {_LEVELS[ready.isolation]}"
    print(styled(f"polycall {polycall.__version__}", "bold", sys.stdout) + f" is ready after {seconds:.2f} s")
    if ready.rest_address:
        print(f"  REST     http://{ready.rest_address}   five contracts, and the native one under /polycall/v1")
    print(f"  gRPC     {ready.grpc_address}   reflection on")
    print(f"  sandbox  {level}   (`polycall doctor` explains)")
    print(f"  runtimes {'; '.join(_runtime(each) for each in ready.interpreters)}")
    if ready.processes > 1:
        print(f"  servers  {ready.processes} processes, one pool each")
    if deployed is None:
        if ready.key_file is not None:
            print(f"  key      in {ready.key_file}")
    else:
        print(f"  key      {ready.key}")
        print(f"  code     {', '.join(name.split('/')[1] for name in deployed)}")
        for title, command in commands(ready).items():
            print(f"\n{styled(f'# {title}', 'dim', sys.stdout)}\n{command}")
        tell("\nCtrl-C stops.", "dim")
    sys.stdout.flush()


def _runtime(interpreter: Interpreter) -> str:
    languages = ", ".join(interpreter.languages)
    if languages == interpreter.name:
        return f"{languages} {interpreter.version}"
    return f"{languages} ({interpreter.name} {interpreter.version})"


def _by_reflection(ready: Ready) -> str:
    """Return a call made by reflection with buf, which needs no proto files; without buf, with polycall itself."""
    buf, key = _nearby("buf"), ready.key
    if buf is None:
        return (
            """echo 'def execute(input): return {"hello": input["name"]}' |"""
            f" {_nearby('polycall') or 'polycall'} run - --server {dialled(ready.grpc_address)}"
            f""" --key {shlex.quote(key)} --input '{{"name": "Ada"}}'"""
        )
    code = r'{"code": "def execute(input): return {\"hello\": input[\"name\"]}", "inputJson": "{\"name\": \"Ada\"}"}'
    url = f"http://{dialled(ready.grpc_address)}/polycall.v1.ExecutionService/Execute"
    return _curl(url, f"Authorization: Bearer {key}", code).replace(
        "curl -sS", f"{buf} curl --protocol grpc --http2-prior-knowledge", 1
    )


def _nearby(program: str) -> str | None:
    """Return how to call a program that is installed beside this Python, else one on the PATH."""
    beside = Path(sys.executable).with_name(program)
    if os.access(beside, os.X_OK):
        return os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside)
    return program if shutil.which(program) else None
