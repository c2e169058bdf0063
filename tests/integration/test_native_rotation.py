"""The key for secrets at rest is replaced, on a real server: by file, by the command, and without the old one."""

from __future__ import annotations

import json
from pathlib import Path

from polycall.sealing import new_encryption_key
from polycall.v1 import execution_service_pb2, package_pb2, package_service_pb2, secret_pb2, secret_service_pb2
from tests.harness import Server, running_server

READS = b"import os\ndef f(): return os.environ['TOKEN']\n"


def run(server: Server) -> object:
    request = execution_service_pb2.RunFunctionRequest(function="packages/p/functions/f")
    return json.loads(server.executions.RunFunction(request, metadata=server.metadata).output_json)


def test_a_key_is_replaced_and_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "encryption.key"
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as server:
        secret = secret_pb2.Secret(display_name="n", value="hunter2")
        made = server.secrets.CreateSecret(
            secret_service_pb2.CreateSecretRequest(secret=secret), metadata=server.metadata
        )
        version = package_service_pb2.CreateVersionRequest(
            parent="packages/p",
            version=package_pb2.Version(secret_env={"TOKEN": made.name}),
            files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="main.py", contents=READS)]),
            create_package=True,
        )
        server.packages.CreateVersion(version, metadata=server.metadata)
        assert run(server) == "hunter2"
    old, new = file.read_text().strip(), new_encryption_key()
    file.write_text(f"{new},{old}\n")
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as server:
        assert run(server) == "hunter2"
        done = server.secrets.ResealSecrets(secret_service_pb2.ResealSecretsRequest(), metadata=server.metadata)
        assert (done.secrets, done.versions, done.failed) == (1, 0, 0)
    file.write_text(f"{new}\n")
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as server:
        assert run(server) == "hunter2"
