"""From the payload to the arguments of the function, by convention."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["Arguments", "await_if_needed", "bind"]

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_HANDLE_NAMES = ("client", "data", "secrets", "function_call_info")


def bind(
    convention: str, function: Callable[..., Any], value: Any, parameters: list[str], context: dict[str, Any]
) -> Arguments:
    """Return positional and keyword arguments. Raises TypeError for an input of the wrong shape."""
    if convention == "input":
        return (value,), {}
    if convention == "keywords":
        return (), _members(value, "keyword arguments")
    if convention == "parameters":
        members = _members(value, "its parameters by name")
        return tuple(members.get(name) for name in parameters), {}
    return _bind_handle(function, value, context)


def _members(value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"the input must be a JSON object ({what}), got {_json_kind(value)}")
    return value


def _json_kind(value: Any) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


def _bind_handle(function: Callable[..., Any], value: Any, context: dict[str, Any]) -> Arguments:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some builtins tell nothing of themselves
        return (value,), {}
    offers: dict[str, Callable[[], Any]] = {
        "client": lambda: make_client(context.get("client")),
        "data": lambda: value,
        "secrets": lambda: context.get("secrets"),
        "function_call_info": lambda: context.get("function_call_info"),
    }
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            keywords.update((name, offers[name]()) for name in _HANDLE_NAMES if name not in keywords)
        elif parameter.name in offers:
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(offers[parameter.name]())
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                keywords[parameter.name] = offers[parameter.name]()
    return tuple(positional), keywords


class UnavailableClient:
    """Stands for a client that cannot be had; says why at its first use."""

    def __init__(self, why: str) -> None:
        object.__setattr__(self, "_why", why)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"client.{name} is not available: {self._why}")

    def __repr__(self) -> str:
        return f"<client that is not available: {self._why}>"


def make_client(settings: dict[str, Any] | None) -> Any:
    """Return a CogniteClient made of ``base_url``, ``project``, ``token`` and ``client_name``, or what says why not.

    ``why_not`` in their place: why there is none.
    """
    if not settings:
        return UnavailableClient("this call came without the credentials of a Cognite project.")
    if "why_not" in settings:
        return UnavailableClient(settings["why_not"])
    try:
        from cognite.client import ClientConfig, CogniteClient, global_config
        from cognite.client.credentials import Token
    except ImportError:
        return UnavailableClient("the Cognite SDK is not installed in this runtime; name it in requirements.txt.")
    global_config.disable_pypi_version_check = True  # it would wait for an answer that never comes
    return CogniteClient(
        ClientConfig(
            client_name=settings.get("client_name", "polycall"),
            project=settings["project"],
            base_url=settings["base_url"],
            credentials=Token(settings["token"]),
        )
    )


def await_if_needed(result: Any) -> Any:
    """Return what an awaitable gives, anything else as it is."""
    return asyncio.run(_await(result)) if inspect.isawaitable(result) else result


async def _await(result: Any) -> Any:
    return await result
