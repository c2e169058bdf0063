"""polycall.v1.TenancyService."""

from __future__ import annotations

from polycall.domain import ApiKey, Project, Scope
from polycall.engine.engine import Engine
from polycall.interceptors.rpc import Rpc
from polycall.names import ApiKeyName, ProjectName
from polycall.services.scalars import enum_values, optional_moment, timestamp
from polycall.services.violations import Violations
from polycall.v1 import tenancy_service_pb2, tenancy_service_pb2_grpc

__all__ = ["TenancyService"]

_SCOPE_VALUES = enum_values(tenancy_service_pb2.ApiKey.Scope, "SCOPE", Scope)
_SCOPES = {value: scope for scope, value in _SCOPE_VALUES.items()}


class TenancyService(tenancy_service_pb2_grpc.TenancyServiceServicer):
    """Keeps projects and their API keys."""

    def __init__(self, engine: Engine) -> None:
        self._keys = engine.keys

    async def CreateProject(
        self, request: tenancy_service_pb2.CreateProjectRequest, rpc: Rpc
    ) -> tenancy_service_pb2.Project:
        """Create a project."""
        return _project_message(
            await self._keys.create_project(rpc.who, request.project_id, request.project.display_name)
        )

    async def ListProjects(
        self, request: tenancy_service_pb2.ListProjectsRequest, rpc: Rpc
    ) -> tenancy_service_pb2.ListProjectsResponse:
        """List all projects."""
        projects = await self._keys.list_projects(rpc.who)
        return tenancy_service_pb2.ListProjectsResponse(projects=[_project_message(project) for project in projects])

    async def CreateApiKey(
        self, request: tenancy_service_pb2.CreateApiKeyRequest, rpc: Rpc
    ) -> tenancy_service_pb2.CreateApiKeyResponse:
        """Create an API key."""
        wrong = Violations()
        project = wrong.attempt(lambda: _project_id(request.project))
        scopes = _scopes(request, wrong)
        expires_at = optional_moment(request.HasField("expire_time"), request.expire_time, "expire_time", wrong)
        wrong.refuse()
        key, text = await self._keys.create(
            rpc.who, project_id=project, name=request.display_name, scopes=scopes, expires_at=expires_at
        )
        return tenancy_service_pb2.CreateApiKeyResponse(api_key=_key_message(key), key=text)

    async def ListApiKeys(
        self, request: tenancy_service_pb2.ListApiKeysRequest, rpc: Rpc
    ) -> tenancy_service_pb2.ListApiKeysResponse:
        """List the API keys of a project."""
        keys = await self._keys.list(rpc.who, _project_id(request.project))
        return tenancy_service_pb2.ListApiKeysResponse(api_keys=[_key_message(key) for key in keys])

    async def RevokeApiKey(
        self, request: tenancy_service_pb2.RevokeApiKeyRequest, rpc: Rpc
    ) -> tenancy_service_pb2.ApiKey:
        """Revoke an API key at once."""
        wrong = Violations()
        name = wrong.attempt(lambda: ApiKeyName.parse(request.name))
        project = wrong.attempt(lambda: _project_id(request.project))
        if wrong or name is None:
            raise wrong.error()
        return _key_message(await self._keys.revoke(rpc.who, name.key, project))


def _project_id(name: str) -> str | None:
    return ProjectName.parse(name).project if name else None


def _scopes(request: tenancy_service_pb2.CreateApiKeyRequest, wrong: Violations) -> frozenset[Scope]:
    scopes = set()
    for index, value in enumerate(request.scopes):
        if value in _SCOPES:
            scopes.add(_SCOPES[value])
        else:
            wrong.add(f"scopes[{index}]", f"{value} is not a scope that this server knows")
    return frozenset(scopes)


def _project_message(project: Project) -> tenancy_service_pb2.Project:
    return tenancy_service_pb2.Project(
        name=str(ProjectName(project.id)),
        display_name=project.display_name,
        create_time=timestamp(project.created_at),
    )


def _key_message(key: ApiKey) -> tenancy_service_pb2.ApiKey:
    return tenancy_service_pb2.ApiKey(
        name=str(ApiKeyName(key.id)),
        project=str(ProjectName(key.project_id)),
        display_name=key.name,
        scopes=sorted(_SCOPE_VALUES[scope] for scope in key.scopes),
        create_time=timestamp(key.created_at),
        expire_time=timestamp(key.expires_at),
        revoke_time=timestamp(key.revoked_at),
        last_used_time=timestamp(key.last_used_at),
    )
