"""What ``DFF.API`` is told of a function, and what is known of its parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from polycall.faces.guance.inside.asking import error_class
from polycall.faces.guance.inside.values import exact_text, plain_text

__all__ = [
    "EXPIRES_S",
    "TIMEOUT_S",
    "DuplicatedFuncName",
    "InvalidAPIOption",
    "check_seconds",
    "described_options",
    "description",
]

TIMEOUT_S, _API_TIMEOUT_S, EXPIRES_S = (1, 3600), (1, 180), (1, 86400)
_QUEUES = 10  # 1 to 9 are the user's
_CRON = re.compile(r"[0-9*/,\-A-Za-z?LW#]+( [0-9*/,\-A-Za-z?LW#]+){4}")
_INTEGRATIONS = {
    "signin": "signIn",
    "sign_in": "signIn",
    "login": "signIn",
    "log_in": "signIn",
    "autorun": "autoRun",
    "auto_run": "autoRun",
}
_INTEGRATION_CONFIG = {
    "cronexpr": "cronExpr",
    "cron_expr": "cronExpr",
    "crontab": "cronExpr",
    "onsystemlaunch": "onSystemLaunch",
    "on_system_launch": "onSystemLaunch",
    "onlaunch": "onSystemLaunch",
    "on_launch": "onSystemLaunch",
    "onscriptpublish": "onScriptPublish",
    "on_script_publish": "onScriptPublish",
    "onpublish": "onScriptPublish",
    "on_publish": "onScriptPublish",
}
# As they are raised while a script is loaded, they show without a module, like the vendor's pre-check shows them.
InvalidAPIOption = error_class("builtins", "InvalidAPIOption")
DuplicatedFuncName = error_class("builtins", "DuplicatedFuncName")


def described_options(
    *,
    title: Any,
    category: Any,
    tags: Any,
    timeout: Any,
    api_timeout: Any,
    expires: Any,
    cache_result: Any,
    queue: Any,
    cron: Any,
    delays: Any,
    integration: Any,
    integration_config: Any,
    is_hidden: Any,
) -> dict[str, Any]:
    """Check what ``DFF.API`` was told, and return it as the vendor's lists show it. Raises InvalidAPIOption."""
    if title is not None and not isinstance(title, str):
        raise InvalidAPIOption("`title` should be a string")
    if category is not None and not isinstance(category, str):
        raise InvalidAPIOption("`category` should be a string")
    if tags is not None:
        if not isinstance(tags, list | tuple):
            raise InvalidAPIOption("`tags` should be a tuple or a list")
        if not all(isinstance(tag, str) for tag in tags):
            raise InvalidAPIOption("Element of `tags` should be a string")
        tags = sorted(set(tags))
    extra: dict[str, Any] = {}
    for name, field, seconds, (low, high) in (
        ("timeout", "timeout", timeout, TIMEOUT_S),
        ("api_timeout", "apiTimeout", api_timeout, _API_TIMEOUT_S),
        ("expires", "expires", expires, EXPIRES_S),
    ):
        if seconds is not None:
            check_seconds(name, seconds, low, high)
            extra[field] = seconds
    if cache_result is not None:
        if not isinstance(cache_result, int | float):
            raise InvalidAPIOption("`cache_result` should be an int or a float")
        extra["cacheResult"] = cache_result
    if queue is not None:
        if queue == 0:
            raise InvalidAPIOption("`queue` can't be 0 because the #0 queue is a system queue")
        if queue not in range(_QUEUES):
            raise InvalidAPIOption(f"`queue` should be one of {list(range(_QUEUES))}")
        extra["queue"] = queue
    if cron is not None:
        if not isinstance(cron, str) or not _CRON.fullmatch(cron):
            raise InvalidAPIOption("`fixed_crontab` is not a valid cron expression")
        extra["fixedCrontab"] = cron
    if delays is not None:
        delays = delays if isinstance(delays, list | tuple) else [delays]
        if not all(isinstance(delay, int) for delay in delays):
            raise InvalidAPIOption("All elements of `delayed_crontab` should be int")
        extra["delayedCrontab"] = sorted(set(delays))
    if integration is not None:
        known = _INTEGRATIONS.get(integration.lower()) if isinstance(integration, str) else None
        if known is None:
            raise InvalidAPIOption(f"Unsupported `integration` value: {integration}")
        integration, config = known, {}
        for name, value in (integration_config or {}).items():
            if str(name).lower() not in _INTEGRATION_CONFIG:
                raise InvalidAPIOption(f"Unsupported `integration_config` name: {name}")
            config[_INTEGRATION_CONFIG[str(name).lower()]] = value
        extra["integrationConfig"] = config
    if is_hidden is True:
        extra["isHidden"] = True
    return {
        "title": title,
        "category": category or "general",
        "tagsJSON": tags,
        "extraConfigJSON": json.loads(plain_text(extra)) if extra else None,
        "integration": integration,
    }


def check_seconds(name: str, value: Any, low: int, high: int) -> None:
    """Raise InvalidAPIOption unless ``value`` is a whole number of seconds within bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidAPIOption(f"`{name}` should be an integer")
    if not low <= value <= high:
        raise InvalidAPIOption(f"`{name}` should be between `{low}` and `{high}` (seconds)")


def description(function: Callable[..., Any]) -> dict[str, Any]:
    """Return what the vendor's lists say of a function's parameters."""
    import inspect

    signature = inspect.signature(function)
    arguments: list[str] = []
    keywords: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
        shown = f"{stars.get(parameter.kind, '')}{name}"  # type: ignore[call-overload]
        if parameter.kind is not parameter.KEYWORD_ONLY:
            arguments.append(shown)
        keywords[shown] = {}
        if parameter.default is not parameter.empty:
            keywords[shown]["default"] = _default(parameter.default)
    documentation = inspect.getdoc(function)
    return {
        "description": None if documentation is None else exact_text(documentation),
        "definition": exact_text(f"{function.__name__}{signature}"),
        "argsJSON": arguments,
        "kwargsJSON": keywords,
    }


def _default(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return "<Complex Object>"
