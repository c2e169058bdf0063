"""Writes finds into polycall, natively: what is missing is created, what is there and equal is left alone.

Each object is written by itself, so that an import that was cut short goes on by being run again.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from polycall.cli.failures import Failure
from polycall.cli.importing.finds import Finds, FoundSecret
from polycall.cli.importing.package_writer import write_package
from polycall.cli.importing.report import Action, Outcome
from polycall.cli.importing.runtime_writer import write_runtime
from polycall.cli.importing.schedule_writer import write_schedule
from polycall.cli.importing.target import Target
from polycall.names import SecretName

__all__ = ["write"]


def write(target: Target, finds: Finds) -> Iterator[Outcome]:
    """Yield what became of each object, once it has. Raises Failure only for what ends the whole import."""
    for remark in finds.remarks:
        yield Outcome(remark.kind, remark.id, Action.REFUSED if remark.refused else Action.LEFT, remark.text)
    for runtime in finds.runtimes:
        yield from write_runtime(target, runtime)
    for secret in finds.secrets:
        yield _secret(target, secret)
    for package in finds.packages:
        yield from write_package(target, package)
    for schedule in finds.schedules:
        yield write_schedule(target, schedule)


def _secret(target: Target, secret: FoundSecret) -> Outcome:
    """Create a secret whose value the user gives, and say of another how to give it."""
    from polycall.v1 import secret_pb2
    from polycall.v1 import secret_service_pb2 as pb

    request = pb.GetSecretRequest(name=str(SecretName(secret.id)))
    try:
        if target.found(target.client.secrets.GetSecret, request, "SECRET_NOT_FOUND") is not None:
            return Outcome("secret", secret.id, Action.SAME)
        if (value := target.value(secret.id, secret.name)) is not None:
            made = secret_pb2.Secret(display_name=secret.name, value=value)
            create = pb.CreateSecretRequest(secret_id=secret.id, secret=made, validate_only=target.dry_run)
            target.client.call(target.client.secrets.CreateSecret, create)
            return Outcome("secret", secret.id, Action.CREATED)
    except Failure as failure:
        return target.refused("secret", secret.id, failure)
    command = shlex.join(["polycall", "secrets", "create", secret.name, "--id", secret.id])
    return Outcome(
        "secret", secret.id, Action.TO_DO, f"no vendor tells its value; give it with --secrets, or: {command}"
    )
