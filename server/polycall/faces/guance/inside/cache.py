"""``DFF.CACHE``: what the server keeps in the manner of Redis."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

from polycall.faces.guance.inside.asking import DATA_ERROR, Missing, asked, batches
from polycall.faces.guance.inside.values import exact_text

__all__ = ["Cache"]


def kept_text(value: Any) -> str:
    """Return what Redis keeps of a value: text. Raises what its library raises for what it cannot keep."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, str):
        return exact_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    kind = type(value).__name__
    raise DATA_ERROR(f"Invalid input of type: '{kind}'. Convert to a bytes, string, int or float first.")


class Cache(Missing):
    """Text, hashes and lists, sets and sorted sets in the manner of Redis (``DFF.CACHE``), kept by the server."""

    _name = "CACHE"

    def _do(self, op: str, key: Any, scope: str | None, *args: Any) -> Any:
        return asked("cache", op=op, key=kept_text(key), scope=scope, args=list(args))

    def __call__(self, key: str, scope: str | None = None) -> Any:
        return self.get(key, scope)

    def keys(self, pattern: str = "*", scope: str | None = None) -> list[str]:
        return list(asked("cache.list", pattern=pattern, scope=scope, values=False))

    def get_pattern(self, pattern: str, scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = asked("cache.list", pattern=pattern, scope=scope, values=True)
        return found

    def delete_pattern(self, pattern: str, scope: str | None = None) -> int:
        return self.delete(self.keys(pattern, scope), scope)

    def delete(self, key: Any, scope: str | None = None) -> int:
        keys = [kept_text(one) for one in (key if isinstance(key, list | tuple | set) else [key])]
        return sum(int(asked("cache.delete", keys=some, scope=scope)) for some in batches(keys))

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
        return self._do("set", key, scope, kept_text(value), expires or expire, not_exists, exists)

    def mset(self, key_values: Mapping[Any, Any], scope: str | None = None) -> bool:
        pairs = {kept_text(key): kept_text(value) for key, value in key_values.items()}
        return bool(asked("cache.mset", values=pairs, scope=scope))

    def get(self, key: Any, scope: str | None = None) -> Any:
        return self._do("get", key, scope)

    def mget(self, keys: Iterable[Any], scope: str | None = None) -> dict[str, Any]:
        return {kept_text(key): self.get(key, scope) for key in keys}

    def getset(self, key: Any, value: Any, scope: str | None = None) -> Any:
        return self._do("getset", key, scope, kept_text(value))

    def incr(self, key: Any, step: int = 1, scope: str | None = None) -> int:
        return int(self._do("incrby", key, scope, step))

    incrby = incr

    def hkeys(self, key: Any, pattern: str = "*", scope: str | None = None, with_values: bool = False) -> Any:
        return self._do("hkeys", key, scope, pattern, with_values)

    def hset(self, key: Any, field: Any, value: Any, scope: str | None = None, not_exists: bool = False) -> int:
        return int(self._do("hset", key, scope, {kept_text(field): kept_text(value)}, not_exists))

    def hsetnx(self, key: Any, field: Any, value: Any, scope: str | None = None) -> int:
        return self.hset(key, field, value, scope, not_exists=True)

    def hmset(self, key: Any, field_values: Mapping[Any, Any], scope: str | None = None) -> bool:
        pairs = {kept_text(field): kept_text(value) for field, value in field_values.items()}
        if pairs:
            self._do("hset", key, scope, pairs, False)
        return bool(pairs)

    def hget(self, key: Any, field: Any = None, scope: str | None = None) -> Any:
        return self.hgetall(key, scope) if field is None else self.hmget(key, [field], scope)[kept_text(field)]

    def hmget(self, key: Any, fields: Iterable[Any], scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._do("hmget", key, scope, [kept_text(field) for field in fields])
        return found

    def hgetall(self, key: Any, scope: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self._do("hkeys", key, scope, "*", True)
        return found

    def hincr(self, key: Any, field: Any, scope: str | None = None) -> int:
        return self.hincrby(key, field, 1, scope)

    def hincrby(self, key: Any, field: Any, amount: int, scope: str | None = None) -> int:
        return int(self._do("hincrby", key, scope, kept_text(field), amount))

    def hdel(self, key: Any, field: Any, scope: str | None = None) -> int:
        return int(self._do("hdel", key, scope, self._values(field)))

    def _values(self, value: Any) -> list[str]:
        return [kept_text(one) for one in (value if isinstance(value, list | tuple | set) else [value])]

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
        place = {"key": kept_text(key), "scope": scope}
        to = {"key": kept_text(dest_key or key), "scope": dest_scope or scope}
        return asked("cache.move", source=place, target=to)

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
        return kept_text(member) in self.smembers(key, scope)
