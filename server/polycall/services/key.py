"""polycall.v1.KeyService."""

from __future__ import annotations

from polycall.domain import ApiKey, Scope
from polycall.engine.engine import Engine
from polycall.interceptors.rpc import Rpc
from polycall.names import ApiKeyName, ProjectName
from polycall.services.scalars import enum_values, optional_moment, timestamp
from polycall.services.violations import Violations
from polycall.v1 import key_service_pb2, key_service_pb2_grpc, tenancy_service_pb2

__all__ = ["KeyService"]

_SCOPE_VALUES = enum_values(tenancy_service_pb2.ApiKey.Scope, "SCOPE", Scope)
_SCOPES = {value: scope for scope, value in _SCOPE_VALUES.items()}


class KeyService(key_service_pb2_grpc.KeyServiceServicer):
    """Keeps API keys."""

    def __init__(self, engine: Engine) -> None:
        self._keys = engine.keys

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

    async def GetApiKey(self, request: key_service_pb2.GetApiKeyRequest, rpc: Rpc) -> tenancy_service_pb2.ApiKey:
        """Return an API key."""
        name, project = _named(request)
        return _key_message(await self._keys.get(rpc.who, name.key, project))

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
        name, project = _named(request)
        return _key_message(await self._keys.revoke(rpc.who, name.key, project))


def _named(
    request: key_service_pb2.GetApiKeyRequest | tenancy_service_pb2.RevokeApiKeyRequest,
) -> tuple[ApiKeyName, str | None]:
    wrong = Violations()
    name = wrong.attempt(lambda: ApiKeyName.parse(request.name))
    project = wrong.attempt(lambda: _project_id(request.project))
    if wrong or name is None:
        raise wrong.error()
    return name, project


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
