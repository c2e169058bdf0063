"""What the verbs take, free of any wire."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import field

from polycall.domain import NO_OVERRIDES, Convention, EgressPolicy, InputFile, Language, LimitOverrides, RetryPolicy
from polycall.quick import dataclass
from polycall.structs import cstruct

__all__ = ["AdHocRun", "FunctionRun", "RunOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdHocRun:
    """Code that came with its request: ``Engine.execute``.

    The engine stores neither code nor input; a face may keep them in ``RunOptions.face_data`` if its contract shows
    requests again. ``input`` is JSON text. ``entrypoint`` is the name of a callable in the code (not used
    for SCRIPT). ``egress``: the hosts that it may reach; None for no network. ``file`` is the name that tracebacks
    show; "" is the language's own, such as main.py. ``runtime`` is the name of a runtime or of a revision of one, ""
    the server's own of the language. ``secret_env``: variables whose values are those of secrets, by their ids, for
    which who asks needs the scope DEPLOY. ``package_id`` and ``version_id``: the version that the code is of, for the
    record. ``adapter`` and ``adapter_options``: as those of ``FunctionRun``.
    """

    code: str
    language: Language = Language.PYTHON
    convention: Convention = Convention.INPUT
    entrypoint: str = "execute"
    input: bytes = b"null"
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[InputFile, ...] = ()
    args: tuple[str, ...] = ()
    stdin: bytes = b""
    limits: LimitOverrides = field(default_factory=LimitOverrides)
    egress: EgressPolicy | None = None
    file: str = ""
    runtime: str = ""
    package_id: str | None = None
    version_id: str | None = None
    adapter: str | None = None
    adapter_options: bytes = b"{}"


@cstruct(frozen=True, slots=True, kw_only=True)
class FunctionRun:
    """A function of a version: ``Engine.run`` and ``Engine.call``.

    ``version_id`` None (or "-") is the newest RELEASED, else the newest READY. ``fresh`` forces a process of its own.
    ``convention`` None is the function's own. ``adapter`` is the name of an in-sandbox adapter that the composition
    root registered (a face's), ``adapter_options`` a JSON object for it.
    """

    package_id: str
    function: str
    version_id: str | None = None
    input: bytes = b"null"
    limits: LimitOverrides = NO_OVERRIDES
    fresh: bool = False
    convention: Convention | None = None
    adapter: str | None = None
    adapter_options: bytes = b"{}"


@cstruct(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What is the same for every verb.

    ``expires_at`` is the caller's deadline on the ``time.monotonic`` clock (its RPC), ``deadline`` one in epoch
    milliseconds that is stored with a Call. ``execution_id`` is a new id that the face has told the code already.
    ``face``, ``alias``, ``face_data`` and ``sealed`` are kept on the execution for the face that shows it; the last is
    what the face has sealed. ``max_attempts`` counts starts; only ``call`` may have more than one. ``delay_s``:
    how long a Call waits before it may run. ``completion_url``: where the end of a Call is told.
    ``priority`` (PRIORITIES) and ``retry`` are those of a Call.
    """

    request_id: str | None = None
    execution_id: uuid.UUID | None = None
    expires_at: float | None = None
    deadline: int | None = None
    face: str | None = None
    alias: str | None = None
    face_data: bytes | None = None
    sealed: str | None = field(default=None, repr=False)
    max_attempts: int | None = None
    completion_url: str | None = field(default=None, repr=False)
    delay_s: float = 0.0
    validate_only: bool = False
    priority: int = 0
    retry: RetryPolicy | None = None

    def remaining_s(self) -> float | None:
        """Return the seconds left to the caller's deadline; None without one."""
        return None if self.expires_at is None else self.expires_at - time.monotonic()
