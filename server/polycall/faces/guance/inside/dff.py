"""The ``DFF`` object that scripts expect."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from polycall.faces.guance.inside.api import (
    EXPIRES_S,
    TIMEOUT_S,
    DuplicatedFuncName,
    check_seconds,
    described_options,
    description,
)
from polycall.faces.guance.inside.asking import asked, not_here
from polycall.faces.guance.inside.cache import Cache
from polycall.faces.guance.inside.log import Log
from polycall.faces.guance.inside.responses import Response, file_response, large_response, redirect
from polycall.faces.guance.inside.store import Context, Store
from polycall.faces.guance.inside.values import plain_text

__all__ = ["DFF"]


class DFF:
    """What the vendor's engine offers to scripts, as far as this server has it; names in lower case are the same."""

    def __init__(self, log: Log) -> None:
        self.registered: dict[str, Callable[..., Any]] = {}
        self.described: dict[str, dict[str, Any]] = {}
        self._log = log
        self.CTX, self.STORE, self.CACHE = Context(), Store(), Cache()
        self.RESP, self.RESP_FILE, self.RESP_LARGE_DATA, self.REDIRECT = (
            *(Response, file_response, large_response),
            redirect,
        )

    def __getattr__(self, name: str) -> Any:
        if name.islower() and not name.startswith("_"):
            return getattr(self, name.upper())
        raise not_here(name, name)

    def API(
        self,
        title: str | None = None,
        category: str | None = "general",
        tags: Any = None,
        timeout: int | None = None,
        api_timeout: int | None = None,
        fixed_crontab: str | None = None,
        delayed_crontab: Any = None,
        expires: int | None = None,
        cache_result: float | None = None,
        queue: int | None = None,
        integration: str | None = None,
        integration_config: Mapping[str, Any] | None = None,
        is_hidden: bool = False,
        fixed_cron_expr: str | None = None,
        delayed_cron_job: Any = None,
        **rest: Any,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Let a function be called from outside. The server knows the time limits before the run."""
        told = described_options(
            title=title,
            category=category,
            tags=tags,
            timeout=timeout,
            api_timeout=api_timeout,
            expires=expires,
            cache_result=cache_result,
            queue=queue,
            cron=fixed_cron_expr or fixed_crontab,
            delays=delayed_cron_job if delayed_cron_job is not None else delayed_crontab,
            integration=integration,
            integration_config=integration_config,
            is_hidden=is_hidden,
        )

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            name = function.__name__
            if name in self.registered:
                raise DuplicatedFuncName(f"Two or more functions named `{name}`")
            self.registered[name] = function
            self.described[name] = {"name": name, **description(function), **told}
            return function

        return register

    def LOG(self, *values: object) -> None:
        """Add an entry to the log."""
        self._log.write(" ".join(map(str, values)))

    def ENV(self, name: str) -> str | None:
        """Return a variable of the version's environment; None without it."""
        return os.environ.get(name)

    def FUNC(
        self,
        func_id: str,
        kwargs: Mapping[str, Any] | None = None,
        queue: int | None = None,
        timeout: int | None = None,
        expires: int | None = None,
    ) -> None:
        """Start a function of a published script; it runs by itself, and nothing waits for it."""
        arguments = json.loads(plain_text(dict(kwargs or {})))
        if timeout is not None:
            check_seconds("timeout", timeout, *TIMEOUT_S)
        if expires is not None:
            check_seconds("expires", expires, *EXPIRES_S)
        asked("func", funcId=str(func_id), kwargs=arguments, timeout=timeout, expires=expires)
