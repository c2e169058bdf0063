"""API keys and projects: who may do what.

A key is ``pc_<key id>_<secret>``: 8 random bytes name it, 32 make it unguessable, and a checksum lets secret scanners
tell a real one from a look-alike. Stored is the sha256 of the whole text: slow hashes protect weak passwords, not 256
random bits. The bootstrap key is any text the operator chose; it is held in memory only.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
import zlib
from collections.abc import Awaitable
from dataclasses import replace
from typing import Protocol

from polycall.acts import by
from polycall.domain import DEFAULT_PROJECT, ApiKey, Principal, Project, Reason, Scope, Session
from polycall.engine.renewals import CACHE_S, Renewals
from polycall.engine.siblings import ALONE, KeyRevoked, Siblings
from polycall.engine.tasks import end, through
from polycall.engine.tokens import PREFIX, Claims, Signer
from polycall.errors import (
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PolycallError,
    Unauthenticated,
)
from polycall.ids import now_ms
from polycall.quick import dataclass
from polycall.store.protocol import SessionStore, TenancyStore

__all__ = ["BOOTSTRAP_KEY_ID", "KeyRing", "new_key_text", "reading", "require"]

BOOTSTRAP_KEY_ID = "bootstrap"
_CACHE_KEYS = 10_000
_TOUCH_S = 60.0  # last_used_at is exact to the minute: one write a minute for all keys, not one a request
_LONGEST_KEY = 4096  # nothing longer is hashed: a credential is not a payload
# What a token may do at most: it is for work, not for making more keys.
_OF_TOKENS = frozenset({Scope.RUN, Scope.READ, Scope.DEPLOY})
_PROJECT = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DEFAULT_SCOPES = frozenset({Scope.RUN, Scope.READ})

log = logging.getLogger(__name__)


class KeyStore(TenancyStore, SessionStore, Protocol):
    """What keys and the tokens that stand for them need of the store."""


def require(who: Principal, scope: Scope) -> None:
    """Raise PermissionDenied unless the principal has the scope."""
    if scope not in who.scopes:
        raise PermissionDenied(
            f"This API key lacks the scope `{scope}`; ask an admin of the project for a key that has it.",
            metadata={"scope": scope.value},
        )


def reading(who: Principal) -> Principal:
    """Return the principal with the right to read, for contracts in which the right to run a thing includes it."""
    return replace(who, scopes=who.scopes | {Scope.READ})


def new_key_text(key_id: str) -> str:
    """Make the text of a key."""
    body = f"pc_{key_id}_{secrets.token_urlsafe(32).replace('_', '~')}"
    return f"{body}{zlib.crc32(body.encode()):08x}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _user_id(key_id: str) -> str:
    # Contracts with numeric users (Domo) get a stable number for each key.
    return str(int.from_bytes(hashlib.sha256(key_id.encode()).digest()[:4], "big"))


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until: float  # time.monotonic
    ends_at: int | None  # expiry, ms


class KeyRing:
    """Authenticates keys, and tokens that stand for them, and manages them. One for the whole process.

    Without a ``signer`` there are no tokens.
    """

    def __init__(
        self,
        store: KeyStore,
        bootstrap_key: str = "",
        siblings: Siblings = ALONE,
        signer: Signer | None = None,
        renewals: Renewals | None = None,
    ) -> None:
        self._store = store
        self._renewals = renewals or Renewals()
        self._signer = signer
        self._siblings = siblings
        self._bootstrap = _digest(bootstrap_key) if bootstrap_key else None
        self._known: dict[bytes | str, _Known] = {}  # by the digest of a key, and by its id
        self.revocations = 0  # goes up whenever a key may have been revoked, here or elsewhere
        self._used: dict[str, int] = {}
        self._touching: asyncio.Task[None] | None = None
        self._operator = Principal(
            project_id=DEFAULT_PROJECT,
            key_id=BOOTSTRAP_KEY_ID,
            scopes=frozenset(Scope),
            user_id=_user_id(BOOTSTRAP_KEY_ID),
        )

    async def authenticate(self, credential: str | None) -> Principal:
        """Return who a key belongs to, or for whom an access token stands.

        Raises Unauthenticated with reason API_KEY_MISSING (none) or API_KEY_INVALID (unknown, expired, revoked).
        """
        if credential and credential.startswith(PREFIX) and self._signer is not None:
            return await self._of_token(self._signer, credential)
        return await self.of_key(credential)

    async def of_key(self, token: str | None) -> Principal:
        """Return who a key belongs to; no token stands in for it. Raises Unauthenticated as ``authenticate``."""
        if not token:
            raise Unauthenticated(
                "No API key came with the request; send `authorization: Bearer KEY`.", reason=Reason.API_KEY_MISSING
            )
        if len(token) > _LONGEST_KEY:
            raise Unauthenticated("This API key is not valid.")
        found = self.at_hand(token)
        if found is not None:
            return found
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        return self._used_now(await self._look_up(digest, self._store.find_key(digest)))

    def at_hand(self, token: str | None) -> Principal | None:
        """Return who a key belongs to that needs no look-up; None for all else, of which ``authenticate`` knows more.

        Raises Unauthenticated for a key that has expired.
        """
        if not token or len(token) > _LONGEST_KEY or token.startswith(PREFIX):
            return None
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        if self._bootstrap is not None and hmac.compare_digest(digest, self._bootstrap):
            by(self._operator)
            return self._operator
        known = self._known.get(digest)
        if known is None or known.until < time.monotonic():
            return None
        self._renewals.use(digest, known.until, lambda: self._look_up(digest, self._store.find_key(digest)))
        return self._used_now(known)

    def token(self, who: Principal, lifetime_s: float) -> str:
        """Return a token with which somebody can act as this key for a while; not for the administration.

        Raises PermissionDenied if the server makes no tokens.
        """
        return self._signed(who.project_id, who.key_id, who.scopes, lifetime_s)

    def session_token(self, session: Session, lifetime_s: float) -> str:
        """Return a token for an ACTIVE session: it ends with the session, if not before.

        Raises PermissionDenied for one that has nobody's rights.
        """
        if session.key_id is None:
            raise PermissionDenied("This session was made by an earlier release; make a new one.")
        return self._signed(session.project_id, session.key_id, session.scopes, lifetime_s, session.id)

    async def of_id(self, project_id: str, key_id: str) -> Principal:
        """Return who a key belongs to that is known by its id. Raises Unauthenticated."""
        if key_id == BOOTSTRAP_KEY_ID and project_id == DEFAULT_PROJECT and self._bootstrap is not None:
            by(self._operator)
            return self._operator
        known = self._known.get(key_id)
        if known is None or known.until < time.monotonic():
            known = await self._look_up(key_id, self._with_id(project_id, key_id))
        else:
            self._renewals.use(key_id, known.until, lambda: self._look_up(key_id, self._with_id(project_id, key_id)))
        if known.principal.project_id != project_id:
            raise Unauthenticated("This API key is not valid.")
        return self._used_now(known)

    def _used_now(self, known: _Known) -> Principal:
        if known.ends_at is not None and known.ends_at <= now_ms():
            raise Unauthenticated("This API key has expired; ask an admin of the project for a new one.")
        self._note_use(known.principal.key_id)
        by(known.principal)
        return known.principal

    async def create(
        self,
        who: Principal,
        *,
        project_id: str | None = None,
        name: str = "",
        scopes: frozenset[Scope] = frozenset(),
        expires_at: int | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its text, which is kept nowhere.

        Raises PermissionDenied (scope ADMIN; OPERATOR for another project; a scope the caller does not have), NotFound,
        InvalidArgument.
        """
        project_id = self._managed(who, project_id)
        scopes = scopes or _DEFAULT_SCOPES
        for scope in sorted(scopes):
            require(who, scope)
        if len(name) > 256:
            raise InvalidArgument.of("display_name", "must have at most 256 characters")
        if expires_at is not None and expires_at <= now_ms():
            raise InvalidArgument.of("expire_time", "must lie in the future")
        await self._store.get_project(project_id)
        key_id = secrets.token_hex(8)
        text = new_key_text(key_id)
        key = ApiKey(
            id=key_id,
            project_id=project_id,
            name=name,
            scopes=scopes,
            created_at=now_ms(),
            expires_at=expires_at,
        )
        return await self._store.create_key(key, _digest(text)), text

    async def list(self, who: Principal, project_id: str | None = None) -> tuple[ApiKey, ...]:
        """Return the keys of a project. Raises PermissionDenied, NotFound."""
        project_id = self._managed(who, project_id)
        await self._store.get_project(project_id)
        return await self._store.list_keys(project_id)

    async def get(self, who: Principal, key_id: str, project_id: str | None = None) -> ApiKey:
        """Return a key, without its text. Raises PermissionDenied, NotFound."""
        return await self._store.get_key(self._managed(who, project_id), key_id)

    async def revoke(self, who: Principal, key_id: str, project_id: str | None = None) -> ApiKey:
        """End a key at once. Raises PermissionDenied, NotFound."""
        return await through(self._revoke(self._managed(who, project_id), key_id))

    async def create_project(self, who: Principal, project_id: str, display_name: str = "") -> Project:
        """Make a project. Raises PermissionDenied (scope OPERATOR), InvalidArgument, AlreadyExists."""
        require(who, Scope.OPERATOR)
        wrong = []
        if not _PROJECT.fullmatch(project_id):
            rule = "must be 1 to 63 of lower-case letters, digits and `-`, beginning with a letter"
            wrong.append(FieldViolation("project_id", rule))
        if len(display_name) > 256:
            wrong.append(FieldViolation("project.display_name", "must have at most 256 characters"))
        if wrong:
            raise InvalidArgument(wrong)
        return await self._store.create_project(Project(id=project_id, created_at=now_ms(), display_name=display_name))

    async def list_projects(self, who: Principal) -> tuple[Project, ...]:
        """Return all projects. Raises PermissionDenied (scope OPERATOR)."""
        require(who, Scope.OPERATOR)
        return await self._store.list_projects()

    def forget(self, key_id: str) -> None:
        """Go by the database for a key that was revoked, here or elsewhere."""
        self.revocations += 1
        self._known = {d: k for d, k in self._known.items() if k.principal.key_id != key_id}

    def forget_all(self) -> None:
        """Go by the database for every key: one may have been revoked elsewhere."""
        self.revocations += 1
        self._known.clear()

    async def close(self) -> None:
        """Write what is known of the keys' last use."""
        if self._touching is not None:
            await end(self._touching)
        await self._touch()

    @staticmethod
    def _managed(who: Principal, project_id: str | None) -> str:
        # another project's existence is not told to who may not see it: permission comes first
        if project_id is None or project_id == who.project_id:
            if Scope.OPERATOR not in who.scopes:
                require(who, Scope.ADMIN)
            return who.project_id
        require(who, Scope.OPERATOR)
        return project_id

    async def _revoke(self, project_id: str, key_id: str) -> ApiKey:
        key = await self._store.revoke_key(project_id, key_id, now_ms())
        self.forget(key_id)
        await self._siblings.tell(KeyRevoked(key_id))
        return key

    def _signed(
        self, project_id: str, key_id: str, scopes: frozenset[Scope], lifetime_s: float, session_id: int | None = None
    ) -> str:
        if self._signer is None:
            raise PermissionDenied("This server makes no access tokens.")
        claims = Claims(
            project_id=project_id,
            key_id=key_id,
            expires_at=now_ms() + int(lifetime_s * 1000),
            scopes=tuple(sorted(scopes & _OF_TOKENS)),
            session_id=session_id,
        )
        return self._signer.sign(claims, self._bound_to(claims))

    def _bound_to(self, claims: Claims) -> bytes:
        # every bootstrap key has the same id: a token of one must not outlive it
        return (self._bootstrap or b"") if claims.key_id == BOOTSTRAP_KEY_ID else b""

    async def _of_token(self, signer: Signer, token: str) -> Principal:
        if len(token) > _LONGEST_KEY:
            raise Unauthenticated("This access token is not valid.")
        claims = signer.claims(token)
        signer.check(token, self._bound_to(claims))
        now = now_ms()
        if claims.expires_at <= now:
            raise Unauthenticated("This access token has expired; log in anew.")
        who = await self.of_id(claims.project_id, claims.key_id)
        if claims.session_id is not None:
            found = await self._store.get_sessions(claims.project_id, [claims.session_id])
            if not found or found[0].status_at(now) != "ACTIVE":
                raise Unauthenticated("The session of this access token has ended.")
        return replace(who, scopes=who.scopes & frozenset(claims.scopes))

    async def _with_id(self, project_id: str, key_id: str) -> ApiKey | None:
        try:
            return await self._store.get_key(project_id, key_id)
        except NotFound:
            return None

    async def _look_up(self, name: bytes | str, finding: Awaitable[ApiKey | None]) -> _Known:
        revocations = self.revocations
        key = await finding
        self._known.pop(name, None)
        if key is None or key.revoked_at is not None:
            raise Unauthenticated("This API key is not valid.")
        principal = Principal(project_id=key.project_id, key_id=key.id, scopes=key.scopes, user_id=_user_id(key.id))
        known = _Known(principal, time.monotonic() + CACHE_S, key.expires_at)
        if revocations == self.revocations:  # else what was read may be older than the revocation
            if len(self._known) >= _CACHE_KEYS:
                self._known.pop(next(iter(self._known)))
            self._known[name] = known
        return known

    def _note_use(self, key_id: str) -> None:
        self._used[key_id] = now_ms()
        if self._touching is None or self._touching.done():
            self._touching = asyncio.get_running_loop().create_task(self._touch_later())

    async def _touch_later(self) -> None:
        await asyncio.sleep(_TOUCH_S)
        await self._touch()

    async def _touch(self) -> None:
        used, self._used = self._used, {}
        try:
            if used:
                await self._store.touch_keys(used)
        except PolycallError as error:
            self._used = used | self._used  # with the next ones
            log.warning("cannot store when keys were last used: %s", error)
