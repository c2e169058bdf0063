"""polycall.v1.SecretService."""

from __future__ import annotations

from functools import partial

from google.protobuf import empty_pb2

from polycall.domain import Principal, Scope, Secret
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.interceptors.rpc import Rpc
from polycall.names import SECRET_RULE, SecretName, is_secret_id
from polycall.services.once import Once, as_reader, found_or_made, id_of
from polycall.services.scalars import clean, page_size, request_id, timestamp
from polycall.services.violations import Violations
from polycall.v1 import secret_pb2, secret_service_pb2, secret_service_pb2_grpc

__all__ = ["SecretService"]

_CHANGEABLE = ("display_name", "value")


class SecretService(secret_service_pb2_grpc.SecretServiceServicer):
    """Keeps secrets; values go one way."""

    def __init__(self, engine: Engine) -> None:
        self._secrets = engine.secrets
        self._resealing = engine.resealing
        self._made: Once[Secret] = Once()

    async def CreateSecret(self, request: secret_service_pb2.CreateSecretRequest, rpc: Rpc) -> secret_pb2.Secret:
        """Create a secret."""
        require(rpc.who, Scope.DEPLOY)  # before an answer that another key of the project was given
        wrong = Violations()
        if request.secret_id and not is_secret_id(request.secret_id):
            wrong.add("secret_id", SECRET_RULE)
        token = request_id(request.request_id, wrong)
        wrong.refuse()
        secret = await self._made(
            rpc.who.project_id,
            None if request.validate_only else token,
            lambda: self._create(rpc.who, request, token),
        )
        return _message(secret)

    async def GetSecret(self, request: secret_service_pb2.GetSecretRequest, rpc: Rpc) -> secret_pb2.Secret:
        """Return a secret, without its value."""
        return _message(await self._secrets.get(rpc.who, SecretName.parse(request.name).secret))

    async def ListSecrets(
        self, request: secret_service_pb2.ListSecretsRequest, rpc: Rpc
    ) -> secret_service_pb2.ListSecretsResponse:
        """List secrets, newest first."""
        wrong = Violations()
        size = page_size(request.page_size, wrong)
        wrong.refuse()
        page = await self._secrets.list(rpc.who, size, request.page_token)
        return secret_service_pb2.ListSecretsResponse(
            secrets=[_message(secret) for secret in page.items], next_page_token=page.next_token
        )

    async def UpdateSecret(self, request: secret_service_pb2.UpdateSecretRequest, rpc: Rpc) -> secret_pb2.Secret:
        """Give a secret another value, display name, or both."""
        wrong = Violations()
        name = wrong.attempt(lambda: SecretName.parse(request.secret.name, "secret.name"))
        fields = _fields(request, wrong)
        if wrong or name is None:
            raise wrong.error()
        secret = await self._secrets.update(
            rpc.who,
            name.secret,
            name=request.secret.display_name if "display_name" in fields else None,
            value=request.secret.value if "value" in fields else None,
        )
        return _message(secret)

    async def DeleteSecret(self, request: secret_service_pb2.DeleteSecretRequest, rpc: Rpc) -> empty_pb2.Empty:
        """Delete a secret."""
        await self._secrets.delete(rpc.who, SecretName.parse(request.name).secret)
        return empty_pb2.Empty()

    async def ResealSecrets(
        self, request: secret_service_pb2.ResealSecretsRequest, rpc: Rpc
    ) -> secret_service_pb2.ResealSecretsResponse:
        """Seal with the newest key what an older one has sealed."""
        done = await self._resealing.reseal(rpc.who)
        return secret_service_pb2.ResealSecretsResponse(
            secrets=done.secrets,
            versions=done.versions,
            failed=done.failed,
            signing_secrets=done.signing_secrets,
            stored_requests=done.requests,
            deployments=done.deployments,
        )

    async def _create(
        self, who: Principal, request: secret_service_pb2.CreateSecretRequest, token: str | None
    ) -> Secret:
        """Create a secret, unless another server has done so for the same request."""
        create = partial(self._secrets.create, who, request.secret.display_name, request.secret.value)
        if token is None or request.validate_only or request.secret_id:
            return await create(id=request.secret_id, validate_only=request.validate_only)
        secret_id = id_of(who.project_id, "secret", token)
        return await found_or_made(lambda: self._secrets.get(as_reader(who), secret_id), lambda: create(id=secret_id))


def _fields(request: secret_service_pb2.UpdateSecretRequest, wrong: Violations) -> frozenset[str]:
    """Return what shall be changed: what the mask names, else what is set (a value cannot be taken away)."""
    paths = list(request.update_mask.paths)
    for index, path in enumerate(paths):
        if path not in (*_CHANGEABLE, "*"):
            wrong.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(_CHANGEABLE)}, or *")
    if not paths:
        return frozenset(field for field in _CHANGEABLE if getattr(request.secret, field))
    return frozenset(_CHANGEABLE if "*" in paths else paths)


def _message(secret: Secret) -> secret_pb2.Secret:
    return secret_pb2.Secret(
        name=str(SecretName(secret.id)),
        display_name=clean(secret.name),
        create_time=timestamp(secret.created_at),
        update_time=timestamp(secret.updated_at),
        face=secret.face,
    )
