"""Guance inside the sandbox: the ``DFF`` object that scripts expect, and results as the vendor shows them.

Read as text and sent along with a run, so standard library only, and one file. ``prepare``, ``resolve`` and ``encode``
are hooks of an adapter (see ``polycall.sandbox.inside``). It shares the process of the user's code and is trusted for
nothing: what is kept, by whom and how much, is the server's to say (``polycall.faces.guance.services``).

Options: ``returnType``; ``collect``: do not run anything, return what ``DFF.API`` registered; ``files``: give the
content of a file that is returned.
"""

from __future__ import annotations

import builtins
import datetime
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# what the sandbox gives to every adapter
UserFailure: Callable[[BaseException], Exception]
AskRefused: type[Exception]
ask: Callable[[str, Any], Any]

_TIMEOUT_S, _API_TIMEOUT_S, _EXPIRES_S = (1, 3600), (1, 180), (1, 86400)
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
# As JavaScript prints numbers, which the vendor's gateway does: whole ones in full below this, with an exponent above.
_LONGEST_WHOLE = 1e21


def prepare(module_globals: dict[str, Any], options: dict[str, Any]) -> None:
    """Give the script its ``DFF`` object and a ``print`` that goes to the execution's log."""
    log = _Log()
    module_globals["DFF"] = DFF(log)
    module_globals["print"] = log.print


def resolve(module_globals: dict[str, Any], name: str, options: dict[str, Any]) -> Any:
    """Return the function of that name; raise KeyError if it may not be called from outside.

    Functions that ``DFF.API`` registered may. If it registered none, public functions of the script itself may.
    """
    dff = module_globals.get("DFF")
    registered = dff.registered if isinstance(dff, DFF) else {}
    if options.get("collect"):
        return lambda: list(dff.described.values()) if isinstance(dff, DFF) else []
    found = module_globals[name]
    if registered:
        if name not in registered:
            raise KeyError(name)
    elif name.startswith("_") or getattr(found, "__module__", None) != module_globals["__name__"]:
        raise KeyError(name)
    return found


def encode(value: object, options: dict[str, Any]) -> str:
    """Return the JSON text of ``data.result``. ``options["returnType"]`` is raw, repr, jsonDumps or ALL."""
    if isinstance(value, Exception):
        raise UserFailure(value)  # noqa: F821  the sandbox defines it
    if options.get("collect"):
        return json.dumps(value, ensure_ascii=False)
    response = value if isinstance(value, _Response) else _Response(value)
    value = response.data
    raw = json.dumps(_plain(value, whole=True), ensure_ascii=False, separators=(",", ":"))
    return_type = options.get("returnType", "raw")
    if return_type == "raw" or (value is None and return_type != "ALL"):
        return raw
    shown: dict[str, Callable[[object], str]] = {"repr": _repr, "jsonDumps": _dumps}
    if return_type in shown:
        return json.dumps(_text(shown[return_type](value)), ensure_ascii=False)
    texts = {kind: None if value is None else _text(show(value)) for kind, show in shown.items()}
    control = response.control(bool(options.get("files")))
    rest = json.dumps({**texts, "_responseControl": control}, ensure_ascii=False, separators=(",", ":"))
    return f'{{"raw":{raw},{rest[1:]}'


def _repr(value: object) -> str:
    import pprint  # most results need none, and it takes half a millisecond

    return pprint.saferepr(value)


def _dumps(value: object) -> str:
    return json.dumps(_plain(value, whole=False), separators=(",", ":")).replace("/", "\\/")


def _plain(value: Any, *, whole: bool, above: frozenset[int] = frozenset()) -> Any:
    """Return the value in JSON's own types; ``whole`` turns 30.0 into 30. Raises ValueError for a cycle."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if whole and value.is_integer() and abs(value) < _LONGEST_WHOLE else float(value)
    if isinstance(value, datetime.date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if not isinstance(value, dict | list | tuple):
        return _text(_repr(value))
    if id(value) in above:
        raise ValueError("Circular reference detected")
    above |= {id(value)}
    if isinstance(value, dict):
        return {_key(key): _plain(item, whole=whole, above=above) for key, item in value.items()}
    return [_plain(item, whole=whole, above=above) for item in value]


def _key(key: object) -> str:
    if isinstance(key, str):
        return _text(key)
    plain = _plain(key, whole=False)
    return plain if isinstance(plain, str) else json.dumps(plain) if not isinstance(plain, list) else _text(str(key))


def _text(value: str) -> str:
    """Return exact, plain text; half of a surrogate pair, which JSON text cannot hold, becomes U+FFFD."""
    value = str.__str__(value)
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Log:
    """The execution's log: a time and the milliseconds since the script was loaded before every entry."""

    def __init__(self) -> None:
        self._since = time.time()

    def write(self, text: str) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
        sys.stdout.write(f"[{stamp}.{int(now * 1000) % 1000:03d}] [+{int((now - self._since) * 1000)}ms] {text}\n")

    def print(
        self, *values: object, sep: str | None = " ", end: str | None = "\n", file: Any = None, flush: bool = False
    ) -> None:
        if file is None and sys.stdout is sys.__stdout__:
            self.write((" " if sep is None else sep).join(map(str, values)))
        else:  # to where the script sends it, as it is
            builtins.print(*values, sep=sep, end=end, file=file, flush=flush)


class _Response:
    """What ``DFF.RESP`` and its relatives return: a value, and how it leaves over HTTP where it leaves as it is."""

    def __init__(
        self,
        data: Any,
        status_code: int | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        allow_304: bool = False,
        download: bool = False,
        *,
        download_file: bool = False,
        file_path: str | None = None,
    ) -> None:
        if status_code is not None and (not isinstance(status_code, int) or not 200 <= status_code <= 599):
            raise ValueError("`status_code` should be an integer between `200` and `599`")
        self.data, self.file_path = data, file_path
        self._control = {
            "statusCode": status_code,
            "contentType": None if content_type is None else str(content_type),
            "headers": {str(name): str(text) for name, text in (headers or {}).items()},
            "allow304": bool(allow_304),
            "downloadFile": bool(download or download_file),
        }

    def control(self, with_file: bool) -> dict[str, Any]:
        if self.file_path is None:
            return self._control
        control = {**self._control, "filePath": self.file_path}
        if with_file:
            import base64  # as others below: few runs need it

            with open(self.file_path, "rb") as stream:
                control["fileBase64"] = base64.b64encode(stream.read()).decode()
        return control


def _file_response(
    file_path: str,
    status_code: int | None = None,
    headers: Mapping[str, str] | None = None,
    allow_304: bool = False,
    auto_delete: bool = False,
    download: bool = True,
    *,
    download_file: bool = True,
) -> _Response:
    if not os.path.isfile(file_path):
        raise Exception(f"No such file in Resource folder: {file_path}")
    both = download and download_file
    return _Response(None, status_code, None, headers, allow_304, both, file_path=file_path)


def _large_response(data: Any, content_type: str | None = None) -> _Response:
    return _Response(data, None, content_type or ("json" if isinstance(data, dict | list | tuple) else "txt"))


def _redirect(url: str) -> _Response:
    if not isinstance(url, str):
        raise TypeError(f"URL should be a str, not {type(url)}")
    import urllib.parse

    quoted = "".join(c if c.isascii() else urllib.parse.quote(c) for c in url)
    return _Response(f'<a href="{quoted}">Redirect</a>', 302, "html", {"Location": quoted})


def _asked(method: str, **question: Any) -> Any:
    """Ask the server; what it refuses is raised as the vendor's libraries would."""
    try:
        return ask(method, question)  # noqa: F821  the sandbox defines both
    except AskRefused as refusal:  # noqa: F821
        text = str(refusal)
    name, _, rest = text.partition(": ")
    if name in _ERRORS:
        raise _ERRORS[name](rest)
    raise Exception(text)


def _error(module: str, name: str) -> type[Exception]:
    return type(name, (Exception,), {"__module__": module})


_DATA_ERROR = _error("redis.exceptions", "DataError")
_ERRORS = {
    "ResponseError": _error("redis.exceptions", "ResponseError"),
    "EntityNotFound": _error("worker.tasks.func", "EntityNotFound"),
    "FuncCircularCall": _error("worker.tasks.func", "FuncCircularCall"),
    "FuncCallChainTooLong": _error("worker.tasks.func", "FuncCallChainTooLong"),
}
# As they are raised while a script is loaded, they show without a module, like the vendor's pre-check shows them.
_InvalidAPIOption = _error("builtins", "InvalidAPIOption")
_DuplicatedFuncName = _error("builtins", "DuplicatedFuncName")


class _Missing:
    """Says of what it does not have that it is not there."""

    _name = ""

    def __getattr__(self, name: str) -> Any:
        raise _missing(f"{self._name}.{name}", name)


class _Context(_Missing):
    """Values of this call (``DFF.CTX``)."""

    _name = "CTX"

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}

    def __call__(self, key: Any) -> Any:
        return self.get(key)

    def has(self, key: Any) -> bool:
        return key in self._values

    def get(self, key: Any) -> Any:
        return self._values.get(key)

    def get_all(self) -> dict[Any, Any]:
        return dict(self._values)

    def set(self, key: Any, value: Any) -> None:
        self._values[key] = value

    def delete(self, key: Any) -> Any:
        return self._values.pop(key, None)

    def clear(self) -> None:
        self._values.clear()


class _Store(_Missing):
    """JSON values that outlive the call (``DFF.STORE``); ``scope`` is the script unless it is said."""

    _name = "STORE"

    def __call__(self, key: str, scope: str | None = None) -> Any:
        return self.get(key, scope)

    def set(
        self,
        key: str,
        value: Any,
        scope: str | None = None,
        expires: float | None = None,
        not_exists: bool = False,
        expire: float | None = None,
    ) -> None:
        self.mset({key: value}, scope, expires, not_exists, expire)

    def mset(
        self,
        key_values: Mapping[str, Any],
        scope: str | None = None,
        expires: float | None = None,
        not_exists: bool = False,
        expire: float | None = None,
    ) -> None:
        values = {str(key): json.loads(_plain_text(value)) for key, value in key_values.items()}
        _asked("store.set", values=values, scope=scope, expires=expires or expire, notExists=not_exists)

    def get(self, key: str, scope: str | None = None) -> Any:
        return self.mget([key], scope).get(str(key))

    def mget(self, keys: Iterable[str], scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = _asked("store.get", keys=[str(key) for key in keys], scope=scope)
        return found

    def has(self, key: str, scope: str | None = None) -> bool:
        return str(key) in self.mget([key], scope)

    exists = has

    def keys(self, pattern: str = "*", scope: str | None = None) -> list[str]:
        return list(_asked("store.list", pattern=pattern, scope=scope, values=False))

    def getall(self, scope: str | None = None) -> dict[str, Any]:
        return self.get_pattern("*", scope)

    get_all = getall

    def get_pattern(self, pattern: str = "*", scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = _asked("store.list", pattern=pattern, scope=scope, values=True)
        return found

    def delete(self, key: str | Iterable[str], scope: str | None = None) -> None:
        _asked("store.delete", keys=_several(key), scope=scope)


def _plain_text(value: Any) -> str:
    return json.dumps(_plain(value, whole=False), ensure_ascii=False)


def _several(key: Any) -> list[str]:
    return [str(one) for one in key] if isinstance(key, list | tuple | set) else [str(key)]


def _bytes_of(value: Any) -> str:
    """Return what Redis keeps of a value: text. Raises what its library raises for what it cannot keep."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    kind = type(value).__name__
    raise _DATA_ERROR(f"Invalid input of type: '{kind}'. Convert to a bytes, string, int or float first.")


class _Cache(_Missing):
    """Text, hashes and lists, sets and sorted sets in the manner of Redis (``DFF.CACHE``), kept by the server."""

    _name = "CACHE"

    def _do(self, op: str, key: Any, scope: str | None, *args: Any) -> Any:
        return _asked("cache", op=op, key=_bytes_of(key), scope=scope, args=list(args))

    def __call__(self, key: str, scope: str | None = None) -> Any:
        return self.get(key, scope)

    def keys(self, pattern: str = "*", scope: str | None = None) -> list[str]:
        return list(_asked("cache.list", pattern=pattern, scope=scope, values=False))

    def get_pattern(self, pattern: str, scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = _asked("cache.list", pattern=pattern, scope=scope, values=True)
        return found

    def delete_pattern(self, pattern: str, scope: str | None = None) -> int:
        return self.delete(self.keys(pattern, scope), scope)

    def delete(self, key: Any, scope: str | None = None) -> int:
        keys = [_bytes_of(one) for one in (key if isinstance(key, list | tuple | set) else [key])]
        return int(_asked("cache.delete", keys=keys, scope=scope))

    def type(self, key: Any, scope: str | None = None) -> Any:
        return self._do("type", key, scope)

    def exists(self, key: Any, scope: str | None = None) -> bool:
        return bool(self.type(key, scope) != "none")

    def expire(self, key: Any, expires: Any = None, scope: str | None = None, expire: Any = None) -> bool:
        return bool(self._do("expire", key, scope, expire if expires is None else expires))

    def expireat(self, key: Any, timestamp: Any, scope: str | None = None) -> bool:
        return bool(self._do("expireat", key, scope, timestamp))

    def ttl(self, key: Any, scope: str | None = None) -> int:
        left = self.pttl(key, scope)
        return -(-left // 1000) if left > 0 else left

    def pttl(self, key: Any, scope: str | None = None) -> int:
        return int(self._do("pttl", key, scope))

    def set(
        self,
        key: Any,
        value: Any,
        scope: str | None = None,
        expires: Any = None,
        not_exists: bool = False,
        exists: bool = False,
        expire: Any = None,
    ) -> Any:
        return self._do("set", key, scope, _bytes_of(value), expires or expire, not_exists, exists)

    def mset(self, key_values: Mapping[Any, Any], scope: str | None = None) -> bool:
        pairs = {_bytes_of(key): _bytes_of(value) for key, value in key_values.items()}
        return bool(_asked("cache.mset", values=pairs, scope=scope))

    def get(self, key: Any, scope: str | None = None) -> Any:
        return self._do("get", key, scope)

    def mget(self, keys: Iterable[Any], scope: str | None = None) -> dict[str, Any]:
        return {_bytes_of(key): self.get(key, scope) for key in keys}

    def getset(self, key: Any, value: Any, scope: str | None = None) -> Any:
        return self._do("getset", key, scope, _bytes_of(value))

    def incr(self, key: Any, step: int = 1, scope: str | None = None) -> int:
        return int(self._do("incrby", key, scope, step))

    incrby = incr

    def hkeys(self, key: Any, pattern: str = "*", scope: str | None = None, with_values: bool = False) -> Any:
        return self._do("hkeys", key, scope, pattern, with_values)

    def hset(self, key: Any, field: Any, value: Any, scope: str | None = None, not_exists: bool = False) -> int:
        return int(self._do("hset", key, scope, {_bytes_of(field): _bytes_of(value)}, not_exists))

    def hsetnx(self, key: Any, field: Any, value: Any, scope: str | None = None) -> int:
        return self.hset(key, field, value, scope, not_exists=True)

    def hmset(self, key: Any, field_values: Mapping[Any, Any], scope: str | None = None) -> bool:
        pairs = {_bytes_of(field): _bytes_of(value) for field, value in field_values.items()}
        if pairs:
            self._do("hset", key, scope, pairs, False)
        return bool(pairs)

    def hget(self, key: Any, field: Any = None, scope: str | None = None) -> Any:
        return self.hgetall(key, scope) if field is None else self.hmget(key, [field], scope)[_bytes_of(field)]

    def hmget(self, key: Any, fields: Iterable[Any], scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._do("hmget", key, scope, [_bytes_of(field) for field in fields])
        return found

    def hgetall(self, key: Any, scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._do("hkeys", key, scope, "*", True)
        return found

    def hincr(self, key: Any, field: Any, scope: str | None = None) -> int:
        return self.hincrby(key, field, 1, scope)

    def hincrby(self, key: Any, field: Any, amount: int, scope: str | None = None) -> int:
        return int(self._do("hincrby", key, scope, _bytes_of(field), amount))

    def hdel(self, key: Any, field: Any, scope: str | None = None) -> int:
        return int(self._do("hdel", key, scope, self._values(field)))

    def _values(self, value: Any) -> list[str]:
        return [_bytes_of(one) for one in (value if isinstance(value, list | tuple | set) else [value])]

    def lpush(self, key: Any, value: Any, scope: str | None = None) -> int:
        return int(self._do("push", key, scope, self._values(value), True))

    def rpush(self, key: Any, value: Any, scope: str | None = None) -> int:
        return int(self._do("push", key, scope, self._values(value), False))

    def lpop(self, key: Any, scope: str | None = None) -> Any:
        return self._do("pop", key, scope, True)

    def rpop(self, key: Any, scope: str | None = None) -> Any:
        return self._do("pop", key, scope, False)

    push, pop = lpush, rpop

    def rpoplpush(self, key: Any, dest_key: Any = None, scope: str | None = None, dest_scope: str | None = None) -> Any:
        place = {"key": _bytes_of(key), "scope": scope}
        to = {"key": _bytes_of(dest_key or key), "scope": dest_scope or scope}
        return _asked("cache.move", source=place, target=to)

    def llen(self, key: Any, scope: str | None = None) -> int:
        return len(self.lrange(key, 0, -1, scope))

    def lrange(self, key: Any, start: int = 0, stop: int = -1, scope: str | None = None) -> list[str]:
        return list(self._do("lrange", key, scope, start, stop))

    def ltrim(self, key: Any, start: int, stop: int, scope: str | None = None) -> bool:
        return bool(self._do("ltrim", key, scope, start, stop))

    def sadd(self, key: Any, member: Any, scope: str | None = None) -> int:
        return int(self._do("sadd", key, scope, self._values(member)))

    def srem(self, key: Any, member: Any, scope: str | None = None) -> int:
        return int(self._do("srem", key, scope, self._values(member)))

    def smembers(self, key: Any, scope: str | None = None) -> builtins.set[str]:
        return builtins.set(self._do("smembers", key, scope))

    def scard(self, key: Any, scope: str | None = None) -> int:
        return len(self.smembers(key, scope))

    def sismember(self, key: Any, member: Any, scope: str | None = None) -> bool:
        return _bytes_of(member) in self.smembers(key, scope)


class DFF:
    """What the vendor's engine offers to scripts, as far as this server has it; names in lower case are the same."""

    def __init__(self, log: _Log) -> None:
        self.registered: dict[str, Callable[..., Any]] = {}
        self.described: dict[str, dict[str, Any]] = {}
        self._log = log
        self.CTX, self.STORE, self.CACHE = _Context(), _Store(), _Cache()
        self.RESP, self.RESP_FILE, self.RESP_LARGE_DATA, self.REDIRECT = (
            *(_Response, _file_response, _large_response),
            _redirect,
        )

    def __getattr__(self, name: str) -> Any:
        if name.islower() and not name.startswith("_"):
            return getattr(self, name.upper())
        raise _missing(name, name)

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
        if title is not None and not isinstance(title, str):
            raise _InvalidAPIOption("`title` should be a string")
        if category is not None and not isinstance(category, str):
            raise _InvalidAPIOption("`category` should be a string")
        if tags is not None:
            if not isinstance(tags, list | tuple):
                raise _InvalidAPIOption("`tags` should be a tuple or a list")
            if not all(isinstance(tag, str) for tag in tags):
                raise _InvalidAPIOption("Element of `tags` should be a string")
            tags = sorted(set(tags))
        extra: dict[str, Any] = {}
        for name, field, seconds, (low, high) in (
            ("timeout", "timeout", timeout, _TIMEOUT_S),
            ("api_timeout", "apiTimeout", api_timeout, _API_TIMEOUT_S),
            ("expires", "expires", expires, _EXPIRES_S),
        ):
            if seconds is not None:
                _check_seconds(name, seconds, low, high)
                extra[field] = seconds
        if cache_result is not None:
            if not isinstance(cache_result, int | float):
                raise _InvalidAPIOption("`cache_result` should be an int or a float")
            extra["cacheResult"] = cache_result
        if queue is not None:
            if queue == 0:
                raise _InvalidAPIOption("`queue` can't be 0 because the #0 queue is a system queue")
            if queue not in range(_QUEUES):
                raise _InvalidAPIOption(f"`queue` should be one of {list(range(_QUEUES))}")
            extra["queue"] = queue
        cron = fixed_cron_expr or fixed_crontab
        cron_name = "fixed_cron_expr" if fixed_cron_expr else "fixed_crontab"
        if cron is not None:
            if not isinstance(cron, str) or not _CRON.fullmatch(cron):
                raise _InvalidAPIOption(f"`{cron_name}` is not a valid cron expression")
            extra["fixedCrontab"] = cron
        delays = delayed_cron_job if delayed_cron_job is not None else delayed_crontab
        if delays is not None:
            delays = delays if isinstance(delays, list | tuple) else [delays]
            if not all(isinstance(delay, int) for delay in delays):
                raise _InvalidAPIOption("All elements of `delayed_crontab` should be int")
            extra["delayedCrontab"] = sorted(set(delays))
        if integration is not None:
            known = _INTEGRATIONS.get(integration.lower()) if isinstance(integration, str) else None
            if known is None:
                raise _InvalidAPIOption(f"Unsupported `integration` value: {integration}")
            integration, config = known, {}
            for name, value in (integration_config or {}).items():
                if str(name).lower() not in _INTEGRATION_CONFIG:
                    raise _InvalidAPIOption(f"Unsupported `integration_config` name: {name}")
                config[_INTEGRATION_CONFIG[str(name).lower()]] = value
            extra["integrationConfig"] = config
        if is_hidden is True:
            extra["isHidden"] = True
        shown = {
            "title": title,
            "category": category or "general",
            "tagsJSON": tags,
            "extraConfigJSON": json.loads(_plain_text(extra)) if extra else None,
            "integration": integration,
        }

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            name = function.__name__
            if name in self.registered:
                raise _DuplicatedFuncName(f"Two or more functions named `{name}`")
            self.registered[name] = function
            self.described[name] = {"name": name, **_description(function), **shown}
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
        arguments = json.loads(_plain_text(dict(kwargs or {})))
        if timeout is not None:
            _check_seconds("timeout", timeout, *_TIMEOUT_S)
        if expires is not None:
            _check_seconds("expires", expires, *_EXPIRES_S)
        _asked("func", funcId=str(func_id), kwargs=arguments, timeout=timeout, expires=expires)


def _description(function: Callable[..., Any]) -> dict[str, Any]:
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
        "description": None if documentation is None else _text(documentation),
        "definition": _text(f"{function.__name__}{signature}"),
        "argsJSON": arguments,
        "kwargsJSON": keywords,
    }


def _default(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return "<Complex Object>"


def _check_seconds(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _InvalidAPIOption(f"`{name}` should be an integer")
    if not low <= value <= high:
        raise _InvalidAPIOption(f"`{name}` should be between `{low}` and `{high}` (seconds)")


def _missing(what: str, name: str) -> Exception:
    if name.startswith("_"):  # what Python itself asks of objects
        return AttributeError(name)
    return NotImplementedError(f"DFF.{what} is not available on this server")
