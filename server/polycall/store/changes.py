"""What the functions of the store change, by name: what the audit log says was changed.

Not here is what is no change that anybody asked for: records, the queue, leases, counters, when a key was last used.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from polycall.acts import ANYWHERE, fingerprint
from polycall.domain import (
    ApiKey,
    Delivery,
    Execution,
    ExecutionState,
    FaceObject,
    Package,
    Project,
    Runtime,
    RuntimeRevision,
    Schedule,
    Secret,
    Session,
    SigningSecret,
    Version,
)
from polycall.names import (
    ApiKeyName,
    ExecutionName,
    PackageName,
    PolicyName,
    ProjectName,
    RevisionName,
    RuntimeName,
    ScheduleName,
    SecretName,
    VersionName,
)
from polycall.quick import dataclass
from polycall.store import (
    deliveries,
    objects,
    packages,
    policies,
    queue,
    revisions,
    runtimes,
    schedules,
    sealed,
    secrets,
    sessions,
    signing,
    tenancy,
    versions,
)

__all__ = ["CHANGES", "Change"]

_Named = tuple[str, str]  # project and name

# Who knows the id may use it.
_CREDENTIALS = frozenset({("guance", "auth-link")})
# Made beside what has the name that callers know it by.
_PARTS = frozenset({("cognite", "deployment")})


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed, by the function's arguments; None: nothing that has a name.

    ``compares``: it changes nothing when it returns what is false, and when ``unchanged`` says so of what it returns.
    """

    names: Callable[..., _Named | None]
    compares: bool = False
    unchanged: Callable[[Any], bool] = lambda _: False

    def nothing(self, result: object) -> bool:
        """Return whether nothing was changed, by what the function returned."""
        return self.compares and (not result or self.unchanged(result))


def _project(project: Project) -> _Named:
    return project.id, str(ProjectName(project.id))


def _key(key: ApiKey, *_: object) -> _Named:
    return key.project_id, str(ApiKeyName(key.id))


def _secret(secret: Secret, *_: object) -> _Named:
    return secret.project_id, str(SecretName(secret.id))


def _session(session: Session, *_: object) -> _Named:
    return session.project_id, f"sessions/{session.id}"


def _sessions(project_id: str, ids: tuple[int, ...], *_: object) -> _Named:
    return project_id, "sessions/" + ",".join(map(str, ids))


def _package(package: Package, *_: object) -> _Named:
    return package.project_id, str(PackageName(package.id))


def _version(version: Version, *_: object) -> _Named:
    return version.project_id, str(VersionName(version.package_id, version.id))


def _runtime(runtime: Runtime, *_: object) -> _Named:
    return runtime.project_id, str(RuntimeName(runtime.id))


def _revision(revision: RuntimeRevision, *_: object) -> _Named:
    return revision.project_id, str(RevisionName(revision.runtime_id, revision.id))


def _schedule(schedule: Schedule, *_: object) -> _Named:
    return schedule.project_id, str(ScheduleName(schedule.id))


def _object(made: FaceObject, *_: object) -> _Named | None:
    return _object_id(made.project_id, made.face, made.kind, made.id)


def _object_id(project_id: str, face: str, kind: str, object_id: str) -> _Named | None:
    if (face, kind) in _PARTS:
        return None
    return project_id, f"{face}/{kind}/{fingerprint(object_id) if (face, kind) in _CREDENTIALS else object_id}"


def _sealed(*_: object) -> _Named:
    return ANYWHERE, "encryptionKeys"


def _version_id(project_id: str, package_id: str, version_id: str, *_: object, **__: object) -> _Named:
    return project_id, str(VersionName(package_id, version_id))


def _policy(project_id: str, package_id: str, function: str, *_: object) -> _Named:
    return project_id, str(PolicyName(package_id, function))


def _project_id(project_id: str, *_: object) -> _Named:
    return project_id, str(ProjectName(project_id))


def _signing(secret: SigningSecret, *_: object) -> _Named:
    return secret.project_id, f"signingSecrets/{secret.id}"


def _delivery_id(project_id: str, execution_id: uuid.UUID) -> _Named:
    return project_id, f"deliveries/{execution_id}"


def _execution_id(project_id: str, execution_id: uuid.UUID, *_: object) -> _Named:
    return project_id, str(ExecutionName(execution_id))


def _had_ended(execution: Execution) -> bool:
    return execution.state.final and not (execution.state is ExecutionState.CANCELLED and execution.started_at is None)


def _is_under_way(delivery: Delivery) -> bool:
    return delivery.owner is not None


def _by_id(name: Callable[[str], object]) -> Callable[..., _Named]:
    def named(project_id: str, thing_id: str, *_: object) -> _Named:
        return project_id, str(name(thing_id))

    return named


CHANGES: Mapping[Callable[..., Any], Change] = {
    tenancy.create_project: Change(_project),
    tenancy.create_key: Change(_key),
    tenancy.revoke_key: Change(_by_id(ApiKeyName)),
    sessions.create_session: Change(_session),
    sessions.revoke_sessions: Change(_sessions, compares=True),
    secrets.create_secret: Change(_secret),
    secrets.update_secret: Change(_by_id(SecretName)),
    secrets.delete_secret: Change(_by_id(SecretName)),
    sealed.reseal: Change(_sealed, compares=True),
    packages.create_package: Change(_package),
    packages.update_package: Change(_package),
    packages.exchange_package: Change(_package, compares=True),
    packages.delete_package: Change(_by_id(PackageName)),
    revisions.create_with_version: Change(_package),
    revisions.revise: Change(_package, compares=True),
    versions.create_version: Change(_version),
    versions.put_version: Change(_version),
    versions.swap_version: Change(_version, compares=True),
    versions.set_version_state: Change(_version_id),
    versions.delete_version: Change(_version_id),
    runtimes.create_runtime: Change(_runtime),
    runtimes.delete_runtime: Change(_by_id(RuntimeName)),
    runtimes.create_revision: Change(_revision),
    schedules.create_schedule: Change(_schedule),
    schedules.change_schedule: Change(_schedule, compares=True),
    schedules.delete_schedule: Change(_by_id(ScheduleName)),
    policies.set_policy: Change(_policy),
    policies.change_project: Change(_project_id),
    objects.create_object: Change(_object),
    objects.put_object: Change(_object, compares=True),
    objects.delete_object: Change(_object_id),
    deliveries.redeliver: Change(_delivery_id, compares=True, unchanged=_is_under_way),
    signing.rotate: Change(_signing),
    queue.request_cancel: Change(_execution_id, compares=True, unchanged=_had_ended),
}
