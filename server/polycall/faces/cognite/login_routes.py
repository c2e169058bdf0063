"""Access tokens: exchanged for client credentials, and looked at."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from urllib.parse import unquote_plus

from polycall.engine.engine import Engine
from polycall.errors import Code, Unauthenticated
from polycall.faces.adapter import bearer
from polycall.faces.aside import aside
from polycall.faces.cognite.queries import read_query
from polycall.faces.cognite.resource import Resource
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump

__all__ = ["LIFETIME_S", "LoginRoutes"]

LIFETIME_S = 3600  # as the vendor's identity providers give
_LONGEST_LABEL = 128
_FORM_BYTES = 64 << 10  # unpacked, from anybody; the gateway counts them packed
# RFC 6749, 5.1 and 5.2
_NOT_STORED = (("cache-control", "no-store"),)
_BASIC = ("www-authenticate", "Basic")

log = logging.getLogger(__name__)


class LoginRoutes(Resource):
    """CogniteLoginService."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.handlers: Mapping[str, Handler] = {"CreateToken": self.create_token, "InspectToken": self.inspect_token}

    async def create_token(self, inbound: Inbound) -> Reply:
        """POST /oauth2/token: the client secret is an API key, the client id any label.

        The token does what the key may do, but for the administration, and ends with it.
        """
        try:
            text = (await inbound.read(_FORM_BYTES)).decode()
            form = await aside(len(text), read_query, text)
        except UnicodeDecodeError:
            return _refused("invalid_request", 400)
        if form.get("grant_type") != "client_credentials":
            return _refused("unsupported_grant_type", 400)
        keys = self._engine.keys
        for client_id, secret in _credentials(form, inbound.headers.get("authorization", "")):
            try:
                who = await keys.of_key(secret)
            except Unauthenticated:
                continue
            if client_id.isprintable() and len(client_id) <= _LONGEST_LABEL and client_id != secret:
                log.info("access token for API key %s, client %r", who.key_id, client_id)
            body = {"access_token": keys.token(who, LIFETIME_S), "token_type": "Bearer", "expires_in": LIFETIME_S}
            return Reply(body=dump(body), headers=_NOT_STORED)
        return _refused("invalid_client", 401, _BASIC)

    async def inspect_token(self, inbound: Inbound) -> Reply:
        """GET /api/v1/token/inspect."""
        who = await self._engine.keys.authenticate(bearer(inbound.headers))
        projects = [{"projectUrlName": who.project_id, "groups": []}]
        return Reply(body=dump({"subject": who.key_id, "projects": projects, "capabilities": []}))


def _credentials(form: Mapping[str, str], authorization: str) -> list[tuple[str, str]]:
    """Return client id and secret as they may be meant: some clients percent-encode them in the header."""
    scheme, _, text = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        secret = form.get("client_secret", "")
        return [(form.get("client_id", ""), secret)] if secret else []
    try:
        pair = base64.b64decode(text.strip(), validate=True).decode()
    except ValueError:
        return []
    client_id, _, secret = pair.partition(":")
    if not secret:
        return []
    encoded = (unquote_plus(client_id), unquote_plus(secret))
    return [(client_id, secret)] if encoded == (client_id, secret) else [(client_id, secret), encoded]


def _refused(error: str, status: int, *headers: tuple[str, str]) -> Reply:
    return Reply(
        body=dump({"error": error}),
        status=status,
        code=Code.UNAUTHENTICATED if status == 401 else Code.INVALID_ARGUMENT,
        message=error,
        headers=(*_NOT_STORED, *headers),
    )
