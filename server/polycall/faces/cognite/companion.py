"""What code gets of the session that its call acts for: a token, and the way to where a client can use it.

Both are made when the call begins and are kept nowhere. The token may run and read, in its own project, for as long as
the call may take; it ends with the session, and with the key that the session acts for. The one host that is opened is
the one that the client talks to, and only for code that has the SDK: nobody else has a use for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec

from polycall.domain import (
    Convention,
    EgressPolicy,
    EgressRule,
    Execution,
    IsolationLevel,
    Reason,
    Session,
)
from polycall.engine.keys import KeyRing
from polycall.errors import FailedPrecondition, Unauthenticated
from polycall.faces.cognite.calldata import CallData
from polycall.faces.cognite.sessions import Sessions
from polycall.ids import now_ms
from polycall.sandbox.job import Job

__all__ = ["CogniteCompanion", "client_address"]

_SLACK_S = 60.0  # from the start of a call to its end beyond its time limit, with all that comes before and after
_SDK = "cognite/client"  # in an environment, or in a zip that brings its own
_NO_SESSION = "this call was made without a session."
_NO_ADDRESS = "the operator has not said where it would lead (POLYCALL_COGNITE_CLIENT_URL)."
_NO_NETWORK = "at this machine's isolation level code has no network."


class CogniteCompanion:
    """Equips calls. ``base_url``: where clients lead, "" for nowhere; ``isolation``: the level at which code runs."""

    def __init__(
        self, sessions: Sessions, keys: KeyRing, base_url: str, isolation: Callable[[], IsolationLevel]
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._base_url = base_url
        self._isolation = isolation
        self._with_sdk: dict[str, bool] = {}  # environments, which never change

    async def equipped(self, execution: Execution, job: Job) -> Job:
        """Return the job of a call with its token and client.

        Raises FailedPrecondition if its session was revoked, or acts for a key that is not valid any more.
        """
        if job.convention is not Convention.HANDLE:
            return job
        session_id = CallData.of(execution).session_id
        if session_id is None:
            return _told(job, None, {"why_not": _NO_SESSION})
        lifetime_s = job.limits.timeout_ms / 1000 + _SLACK_S
        session = await self._acting(execution.project_id, session_id, lifetime_s)
        token = self._keys.session_token(session, lifetime_s)
        if why_not := self._why_not():
            return _told(job, token, {"why_not": why_not})
        client = {"base_url": self._base_url, "project": execution.project_id, "client_name": "polycall"}
        job = _told(job, token, client | {"token": token})
        return replace(job, egress=self._with_way(job.egress)) if self._has_sdk(job) else job

    async def ended(self, execution: Execution) -> None:
        """End the session of a call if it was for that call alone. Raises Unavailable."""
        data = CallData.of(execution)
        if data.session_id is not None and data.oneshot and execution.schedule_id is None:
            await self._sessions.let_go(execution.project_id, data.session_id, now_ms())

    async def _acting(self, project_id: str, session_id: int, lifetime_s: float) -> Session:
        session = await self._sessions.acting(project_id, session_id, now_ms() + int(lifetime_s * 1000))
        if session is None or session.key_id is None:
            raise _lost(session_id, "was revoked")
        try:
            await self._keys.of_id(project_id, session.key_id)
        except Unauthenticated:
            raise _lost(session_id, "acts for an API key that is not valid any more") from None
        return session

    def _why_not(self) -> str:
        if not self._base_url:
            return _NO_ADDRESS
        return _NO_NETWORK if self._isolation() < IsolationLevel.NAMESPACED else ""

    def _with_way(self, policy: EgressPolicy | None) -> EgressPolicy:
        url = urlsplit(self._base_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        rule = EgressRule(host=f"{host}:{port}", any_address=True)  # the operator names it
        return replace(policy, rules=(*policy.rules, rule)) if policy is not None else EgressPolicy(rules=(rule,))

    def _has_sdk(self, job: Job) -> bool:
        if any(path.startswith(f"{_SDK}/") for path in job.bundle.files):
            return True
        path = job.image.path
        if path and path not in self._with_sdk:
            self._with_sdk[path] = os.path.isdir(os.path.join(path, _SDK))
        return bool(path) and self._with_sdk[path]


def client_address(url: str, rest_address: str, *, gateway: bool) -> str:
    """Return where clients lead: to the operator's choice, else to this server's own gateway, if it has one."""
    if url:
        return url
    host, _, port = rest_address.rpartition(":")
    if not gateway or not host or rest_address.startswith("unix:") or port == "0":
        return ""
    everywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  what listens there listens here
    return f"http://{everywhere.get(host, host)}:{port}"


def _told(job: Job, token: str | None, client: dict[str, str]) -> Job:
    context = msgspec.json.decode(job.context, type=dict[str, msgspec.Raw])
    if token is not None:
        secrets = msgspec.json.decode(context.get("secrets", msgspec.Raw(b"{}")), type=dict[str, str])
        context["secrets"] = msgspec.Raw(msgspec.json.encode(secrets | {"token": token}))
    context["client"] = msgspec.Raw(msgspec.json.encode(client))
    return replace(job, context=msgspec.json.encode(context))


def _lost(session_id: int, why: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"Session {session_id}, for which this call acts, {why}. Make a new one.",
        subject=f"sessions/{session_id}",
        reason=Reason.SESSION_NOT_FOUND,
    )
