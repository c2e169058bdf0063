"""What a script may ask of the server while it runs: ``DFF.STORE``, ``DFF.CACHE``, ``DFF.FUNC``.

Questions come from a sandbox: each has one strict shape, and names a scope and keys, never a project.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from polycall.domain import Entry
from polycall.engine.adapters import Asker
from polycall.engine.entries import Entries
from polycall.errors import NotFound, PolycallError
from polycall.faces.aside import aside
from polycall.faces.guance.cache import OPERATIONS, READ_ONLY, Kept, move
from polycall.ids import now_ms
from polycall.sandbox.job import AskRefused

__all__ = ["ScriptOptions", "ScriptServices", "StartFunc"]

_LONGEST_SCOPE = 256  # characters; the vendor's
_LONGEST_CHAIN = 5  # functions that start each other; the vendor's
_LONGEST_S = 31 * 86_400  # of any time; what a function may ask for is less, and checked beside it
_MOST_KEYS = 100  # of one question: others' writes wait for its transaction


class ScriptOptions(msgspec.Struct, kw_only=True, omit_defaults=True, rename="camel"):
    """The options of a run, for its hooks and its services; the server makes them, and they come back from nowhere."""

    return_type: str = "raw"
    script_id: str = ""
    chain: tuple[str, ...] = ()  # the functions that have started each other, this one last
    collect: bool = False
    files: bool = False


# Starts a function that nobody waits for: project, function id, kwargs, seconds, seconds until it expires, chain.
StartFunc = Callable[[str, str, bytes, int | None, int | None, tuple[str, ...]], Awaitable[None]]


class _Question(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    scope: str | None = None


class _StoreSet(_Question):
    values: dict[str, msgspec.Raw] = {}
    expires: float | None = None
    not_exists: bool = False


class _Keys(_Question):
    keys: list[str] = []


class _List(_Question):
    pattern: str = "*"
    values: bool = False


class _Do(_Question):
    op: str = ""
    key: str = ""
    args: list[Any] = []


class _CacheSet(_Question):
    values: dict[str, str] = {}


class _Place(_Question):
    key: str = ""


class _Move(msgspec.Struct, forbid_unknown_fields=True):
    source: _Place
    target: _Place


_Seconds = Annotated[int, msgspec.Meta(ge=1, le=_LONGEST_S)]


class _Func(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    func_id: str
    kwargs: msgspec.Raw
    timeout: _Seconds | None = None
    expires: _Seconds | None = None


class ScriptServices:
    """Makes the services of each run; ``start`` is set by the face, which comes after the engine."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.start: StartFunc = _nothing_to_start

    def of(self, asker: Asker) -> _Services:
        """Return what one run may ask."""
        return _Services(self, asker, msgspec.json.decode(asker.options, type=ScriptOptions))


async def _nothing_to_start(*_: object) -> None:
    raise AskRefused("functions cannot be started yet")


class _Services:
    """See ``polycall.sandbox.job.Services``."""

    def __init__(self, made: ScriptServices, asker: Asker, options: ScriptOptions) -> None:
        self._made = made
        self._project = asker.project_id
        self._script = options.script_id or asker.package_id
        self._chain = options.chain
        self._methods: Mapping[str, Callable[[bytes], Awaitable[Any]]] = {
            "store.set": self._store_set,
            "store.get": self._store_get,
            "store.list": self._store_list,
            "store.delete": self._store_delete,
            "cache": self._cache,
            "cache.list": self._cache_list,
            "cache.mset": self._cache_mset,
            "cache.delete": self._cache_delete,
            "cache.move": self._cache_move,
            "func": self._func,
        }

    async def answer(self, method: str, payload: bytes) -> bytes:
        """Answer a question. Raises AskRefused."""
        ask = self._methods.get(method)
        if ask is None:
            raise AskRefused("this server has nothing of that name")
        try:
            return msgspec.json.encode(await ask(payload))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise AskRefused("the question is not one that this server understands") from None
        except PolycallError as error:
            raise AskRefused(error.message) from None

    def _space(self, box: str, scope: str | None) -> str:
        scope = self._script if scope is None else scope
        if len(scope) > _LONGEST_SCOPE:
            raise AskRefused(f"`scope` is too long. Length of `scope` should be less then {_LONGEST_SCOPE}")
        return f"guance.{box}:{scope}"

    # STORE: JSON values

    async def _store_set(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_StoreSet)
        expires_at = None if asked.expires is None else now_ms() + int(_seconds(asked.expires) * 1000)
        places = _places(self._space("store", asked.scope), asked.values)
        new = [Entry(bytes(value), expires_at) for value in asked.values.values()]

        def change(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            return [old if asked.not_exists and old is not None else one for old, one in zip(before, new, strict=True)]

        await self._made.entries.change(self._project, places, change)

    async def _store_get(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_Keys)
        space = self._space("store", asked.scope)
        found = {}
        for _, key in _places(space, asked.keys):
            entry = await self._made.entries.get(self._project, space, key)
            if entry is not None:
                found[key] = msgspec.Raw(entry.value)
        return found

    async def _store_list(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_List)
        space = self._space("store", asked.scope)
        if not asked.values:
            return await self._made.entries.keys(self._project, space, asked.pattern)
        listed = await self._made.entries.items(self._project, space, asked.pattern)
        return {key: msgspec.Raw(entry.value) for key, entry in listed}

    async def _store_delete(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_Keys)
        return await self._delete("store", asked)

    # CACHE: in the manner of Redis

    async def _cache(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_Do)
        operation = OPERATIONS.get(asked.op)
        if operation is None:
            raise AskRefused(f"ResponseError: unknown command '{asked.op[:40]}'")
        place = (self._space("cache", asked.scope), asked.key)
        answers: list[Any] = []
        refused: list[AskRefused] = []

        def change(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            old = Kept.of(before[0])
            try:
                kept, answer = operation(old, *asked.args)
            except AskRefused as refusal:  # raised below: a transaction that fails costs others theirs
                refused[:] = [refusal]
                return before
            except (TypeError, OverflowError):
                refused[:] = [AskRefused("ResponseError: wrong number or kind of arguments")]
                return before
            answers[:] = [answer]
            return [before[0] if kept is old else kept.entry()]

        if asked.op in READ_ONLY:
            kept = await self._made.entries.get(self._project, *place)
            await aside(0 if kept is None else len(kept.value), change, [kept])
        else:
            await self._made.entries.change(self._project, [place], change)
        if refused:
            raise refused[0]
        return answers[0]

    async def _cache_list(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_List)
        space = self._space("cache", asked.scope)
        if not asked.values:
            return await self._made.entries.keys(self._project, space, asked.pattern)
        listed = await self._made.entries.items(self._project, space, asked.pattern)
        kept = {key: Kept.of(entry) for key, entry in listed}
        return {key: one.value for key, one in kept.items() if one.kind == "string"}

    async def _cache_mset(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_CacheSet)
        places = _places(self._space("cache", asked.scope), asked.values)
        new = [Kept("string", text).entry() for text in asked.values.values()]
        await self._made.entries.change(self._project, places, lambda _: new)
        return True

    async def _cache_delete(self, payload: bytes) -> Any:
        return await self._delete("cache", msgspec.json.decode(payload, type=_Keys))

    async def _cache_move(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_Move)
        places = [(self._space("cache", place.scope), place.key) for place in (asked.source, asked.target)]
        answers: list[Any] = []

        def change(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            source, target, answer = move(Kept.of(before[0]), Kept.of(before[1]) if len(before) > 1 else None)
            answers[:] = [answer]
            return [source.entry()] if target is None else [source.entry(), target.entry()]

        await self._made.entries.change(self._project, list(dict.fromkeys(places)), change)
        return answers[0]

    async def _delete(self, box: str, asked: _Keys) -> int:
        places = _places(self._space(box, asked.scope), dict.fromkeys(asked.keys))
        gone: list[int] = []

        def change(before: Sequence[Entry | None]) -> Sequence[Entry | None]:
            gone[:] = [sum(entry is not None for entry in before)]
            return [None] * len(before)

        if places:
            await self._made.entries.change(self._project, places, change)
        return sum(gone)

    # FUNC

    async def _func(self, payload: bytes) -> Any:
        asked = msgspec.json.decode(payload, type=_Func)
        shown = " -> ".join(f"`{func_id}`" for func_id in self._chain)
        if len(self._chain) >= _LONGEST_CHAIN:
            raise AskRefused(f"FuncCallChainTooLong: {shown}")
        if asked.func_id in self._chain:
            raise AskRefused(f"FuncCircularCall: {shown} -> [{asked.func_id}]")
        chain = (*self._chain, asked.func_id)
        try:
            await self._made.start(
                *(self._project, asked.func_id, bytes(asked.kwargs), asked.timeout, asked.expires, chain)
            )
        except NotFound:
            raise AskRefused(f"EntityNotFound: Function not found: `{asked.func_id}`") from None


def _places(space: str, keys: Mapping[str, object] | Sequence[str]) -> list[tuple[str, str]]:
    if len(keys) > _MOST_KEYS:
        raise AskRefused(f"at most {_MOST_KEYS} keys at once")
    return [(space, key) for key in keys]


def _seconds(value: float) -> float:
    if not 0 < value < 1e12:
        raise AskRefused("`expires` should be a positive number of seconds")
    return value
