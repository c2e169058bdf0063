"""The key for secrets at rest is replaced, on a real server: by file, by the command, and without the old one."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest

from polycall.sealing import new_encryption_key
from polycall.v1 import (
    audit_service_pb2,
    execution_service_pb2,
    package_pb2,
    package_service_pb2,
    secret_pb2,
    secret_service_pb2,
    webhook_service_pb2,
)
from tests.harness import Server, running_server

READS = b"import os\ndef f(): return os.environ['TOKEN']\n"


def run(server: Server) -> object:
    request = execution_service_pb2.RunFunctionRequest(function="packages/p/functions/f")
    return json.loads(server.executions.RunFunction(request, metadata=server.metadata).output_json)


def audited(server: Server, action: str) -> list[audit_service_pb2.AuditEvent]:
    where = audit_service_pb2.AuditFilter(action=action)
    request = audit_service_pb2.ListAuditEventsRequest(project="projects/-", filter=where)
    return list(server.audit.ListAuditEvents(request, metadata=server.metadata).events)


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
        signing = webhook_service_pb2.RotateSigningSecretRequest()
        server.webhooks.RotateSigningSecret(signing, metadata=server.metadata)
        for key in ("wrong", "pc_0011_wrong", "wrong"):
            with pytest.raises(grpc.RpcError):
                server.secrets.ListSecrets(
                    secret_service_pb2.ListSecretsRequest(), metadata=[("authorization", f"Bearer {key}")]
                )
    old, new = file.read_text().strip(), new_encryption_key()
    file.write_text(f"{new},{old}\n")
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as server:
        assert run(server) == "hunter2"
        done = server.secrets.ResealSecrets(secret_service_pb2.ResealSecretsRequest(), metadata=server.metadata)
        assert (done.secrets, done.versions, done.signing_secrets, done.failed) == (1, 0, 1, 0)
        (rotated,) = audited(server, "encryption_key.*")
        assert (rotated.actor, rotated.resource, rotated.count) == ("bootstrap", "encryptionKeys", 1)
        # the server before wrote down at its end what it had refused
        (refused,) = audited(server, "access")
        assert (refused.actor, refused.count, refused.code, refused.project) == ("anonymous", 3, 16, "")
        assert (refused.outcome, refused.client) == (audit_service_pb2.AuditEvent.OUTCOME_REFUSED, "127.0.0.1")
    file.write_text(f"{new}\n")
    with running_server(tmp_path, POLYCALL_GATEWAY="false") as server:
        assert run(server) == "hunter2"
