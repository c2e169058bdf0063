"""What refers to secrets by their ids, environment variables and credentials, gets their values before a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from polycall.domain import Credential, EgressPolicy
from polycall.engine.egress import secret_problem
from polycall.engine.secrets import Secrets, unusable
from polycall.names import SecretName
from polycall.sandbox.job import Job

__all__ = ["refers", "with_secrets"]


def refers(secret_env: Mapping[str, str], policy: EgressPolicy | None) -> bool:
    """Tell whether variables or credentials refer to secrets."""
    return bool(secret_env) or bool(_ids(policy))


async def with_secrets(secrets: Secrets, project_id: str, job: Job, secret_env: Mapping[str, str]) -> Job:
    """Return a job with the values of the secrets that its variables and credentials refer to.

    Raises FailedPrecondition (SECRET_UNUSABLE) for one that does not exist, cannot be opened or cannot stand there.
    """
    if not refers(secret_env, job.egress):
        return job
    values = await secrets.open_all(project_id, _ids(job.egress) | set(secret_env.values()))
    env = {**job.env, **{name: values[secret_id] for name, secret_id in secret_env.items()}}
    return replace(job, env=env, egress=_filled(job.egress, values))


def _ids(policy: EgressPolicy | None) -> set[str]:
    rules = policy.rules if policy is not None else ()
    return {one.secret_id for rule in rules for one in rule.credentials if one.secret_id}


def _filled(policy: EgressPolicy | None, values: Mapping[str, str]) -> EgressPolicy | None:
    if policy is None:
        return None

    def filled(credential: Credential) -> Credential:
        secret_id = credential.secret_id
        if not secret_id:
            return credential
        # what a secret holds is not known when it is referred to: a line feed would end a header
        if (problem := secret_problem(credential.kind, values[secret_id])) is not None:
            name = str(SecretName(secret_id))
            raise unusable(name, f"{name} cannot be a {credential.kind} credential: it {problem}. Give it a new value.")
        return replace(credential, secret=values[secret_id], secret_id="")

    rules = tuple(replace(rule, credentials=tuple(map(filled, rule.credentials))) for rule in policy.rules)
    return replace(policy, rules=rules)
