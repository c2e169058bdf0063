"""polycall.v1.TenancyService."""

from __future__ import annotations

from polycall.domain import Project
from polycall.engine.engine import Engine
from polycall.interceptors.rpc import Rpc
from polycall.names import ProjectName
from polycall.services.key import KeyService
from polycall.services.policy_messages import masked
from polycall.services.scalars import timestamp
from polycall.services.violations import Violations
from polycall.store.protocol import ProjectChange
from polycall.v1 import tenancy_service_pb2, tenancy_service_pb2_grpc

__all__ = ["TenancyService"]

_CHANGEABLE = ("display_name", "max_running")


class TenancyService(tenancy_service_pb2_grpc.TenancyServiceServicer):
    """Keeps projects. API keys are KeyService's; clients from before it find its methods here too."""

    def __init__(self, engine: Engine, keys: KeyService) -> None:
        self._projects = engine.keys
        self._policies = engine.policies
        self._keys = keys

    async def CreateProject(
        self, request: tenancy_service_pb2.CreateProjectRequest, rpc: Rpc
    ) -> tenancy_service_pb2.Project:
        """Create a project."""
        return _project_message(
            await self._projects.create_project(rpc.who, request.project_id, request.project.display_name)
        )

    async def GetProject(self, request: tenancy_service_pb2.GetProjectRequest, rpc: Rpc) -> tenancy_service_pb2.Project:
        """Return a project."""
        name = ProjectName.parse(request.name, "name")
        return _project_message(await self._policies.get_project(rpc.who, name.project))

    async def UpdateProject(
        self, request: tenancy_service_pb2.UpdateProjectRequest, rpc: Rpc
    ) -> tenancy_service_pb2.Project:
        """Change the name or the limit of a project."""
        wrong = Violations()
        message = request.project
        name = wrong.attempt(lambda: ProjectName.parse(message.name, "project.name"))
        present = [field.name for field, _ in message.ListFields()]
        fields = masked(request.update_mask.paths, _CHANGEABLE, present, wrong)
        if wrong or name is None:
            raise wrong.error()
        change = ProjectChange()
        if "display_name" in fields:
            change["display_name"] = message.display_name
        if "max_running" in fields:
            change["max_running"] = message.max_running if message.HasField("max_running") else None
        return _project_message(await self._policies.update_project(rpc.who, name.project, change))

    async def ListProjects(
        self, request: tenancy_service_pb2.ListProjectsRequest, rpc: Rpc
    ) -> tenancy_service_pb2.ListProjectsResponse:
        """List all projects."""
        projects = await self._projects.list_projects(rpc.who)
        return tenancy_service_pb2.ListProjectsResponse(projects=[_project_message(project) for project in projects])

    async def CreateApiKey(
        self, request: tenancy_service_pb2.CreateApiKeyRequest, rpc: Rpc
    ) -> tenancy_service_pb2.CreateApiKeyResponse:
        """Create an API key."""
        return await self._keys.CreateApiKey(request, rpc)

    async def ListApiKeys(
        self, request: tenancy_service_pb2.ListApiKeysRequest, rpc: Rpc
    ) -> tenancy_service_pb2.ListApiKeysResponse:
        """List the API keys of a project."""
        return await self._keys.ListApiKeys(request, rpc)

    async def RevokeApiKey(
        self, request: tenancy_service_pb2.RevokeApiKeyRequest, rpc: Rpc
    ) -> tenancy_service_pb2.ApiKey:
        """Revoke an API key at once."""
        return await self._keys.RevokeApiKey(request, rpc)


def _project_message(project: Project) -> tenancy_service_pb2.Project:
    return tenancy_service_pb2.Project(
        name=str(ProjectName(project.id)),
        display_name=project.display_name,
        max_running=project.max_running,
        create_time=timestamp(project.created_at),
    )
