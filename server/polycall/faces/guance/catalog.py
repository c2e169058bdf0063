"""The functions of all published scripts of a project, as the vendor's lists show them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import parse_qs, quote

import msgspec

from polycall.domain import Package, Principal
from polycall.engine.engine import Engine
from polycall.faces.guance.published import Func, funcs_of
from polycall.faces.guance.runs import FACE
from polycall.quick import dataclass

__all__ = ["FuncFilter", "func_items", "func_page", "query_of", "scripts_of"]

_PAGE = 200
_VERSIONS = 20  # held at once, with all that is in them


@dataclass(frozen=True, slots=True, kw_only=True)
class FuncFilter:
    """Which functions to list; every part that is not empty must match."""

    fuzzy: str = ""  # in id, title or description
    ids: frozenset[str] = frozenset()
    name: str = ""  # part of it
    title: str = ""  # part of it
    categories: frozenset[str] = frozenset()
    integrations: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()  # all of them
    script_ids: frozenset[str] = frozenset()
    script_set_ids: frozenset[str] = frozenset()

    def takes(self, func_id: str, func: Func) -> bool:
        """Whether a function is one of them."""
        script_id = func_id.partition(".")[0]
        texts = (func_id, func.title or "", func.description or "")
        return (
            (not self.fuzzy or any(self.fuzzy.lower() in text.lower() for text in texts))
            and (not self.ids or func_id in self.ids)
            and self.name.lower() in func.name.lower()
            and self.title.lower() in (func.title or "").lower()
            and (not self.categories or (func.category or "") in self.categories)
            and (not self.integrations or (func.integration or "") in self.integrations)
            and self.tags <= frozenset(func.tags or ())
            and (not self.script_ids or script_id in self.script_ids)
            and (not self.script_set_ids or script_id.partition("__")[0] in self.script_set_ids)
        )


def query_of(text: str) -> Mapping[str, str]:
    """Return the parameters of a query; of one that comes twice, the last."""
    return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True, max_num_fields=100).items()}


async def scripts_of(engine: Engine, who: Principal) -> AsyncIterator[Package]:
    """Yield the scripts of a project, newest first."""
    token = ""
    while True:
        page = await engine.registry.list_packages(who, _PAGE, token, face=FACE)
        for package in page.items:
            yield package
        token = page.next_token
        if not token:
            return


async def funcs_of_project(engine: Engine, who: Principal, wanted: FuncFilter) -> AsyncIterator[Mapping[str, object]]:
    """Yield the published functions of a project that a filter takes, by script and as they are written.

    Page by page of scripts: a project may have any number of them.
    """
    last = ""
    while found := await engine.registry.with_newest(who, FACE, last, _VERSIONS):
        set_ids = {_set_of(package) for package, _ in found}
        kept = await engine.objects.some(who.project_id, FACE, "script-set", sorted(set_ids))
        sets = {each.id: msgspec.json.decode(each.data, type=_Set) for each in kept.values()}
        for package, version in found:
            for func in funcs_of(version) if version is not None else ():  # else it is not published yet
                func_id = f"{package.id}.{func.name}"
                if wanted.takes(func_id, func):
                    yield _item(package, sets.get(_set_of(package), _Set()), func_id, func)
        last = found[-1][0].id


async def func_items(engine: Engine, who: Principal, wanted: FuncFilter) -> Sequence[Mapping[str, object]]:
    """Return all of them: contracts whose lists have no pages want them so."""
    return [item async for item in funcs_of_project(engine, who, wanted)]


async def func_page(
    engine: Engine, who: Principal, wanted: FuncFilter, start: int, size: int
) -> tuple[Sequence[Mapping[str, object]], int]:
    """Return some of them, from the one at ``start`` on, and how many there are; no others are kept meanwhile."""
    page: list[Mapping[str, object]] = []
    count = 0
    async for item in funcs_of_project(engine, who, wanted):
        if start <= count < start + size:
            page.append(item)
        count += 1
    return page, count


class _Set(msgspec.Struct):
    title: str | None = None
    description: str | None = None


def _set_of(package: Package) -> str:
    return package.id.partition("__")[0]


def _item(package: Package, of_set: _Set, func_id: str, func: Func) -> Mapping[str, object]:
    shown: Mapping[str, object] = msgspec.to_builtins(func)
    item = {
        **shown,
        "id": func_id,
        "scriptDescription": package.description or None,
        "scriptId": package.id,
        "scriptSetDescription": of_set.description,
        "scriptSetId": package.id.partition("__")[0],
        "scriptSetTitle": of_set.title,
        "scriptTitle": package.display_name or None,
        "url": f"/api/v1/func/{quote(func_id)}",
    }
    return dict(sorted(item.items()))
