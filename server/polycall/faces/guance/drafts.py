"""Scripts as they are written: packages of the face, each with a draft beside what was published of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from polycall.domain import Convention, ExecutionState, FaceObject, LimitOverrides, Package, Principal, Scope, Version
from polycall.engine.checks import CODE_BYTES
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.requests import AdHocRun, RunOptions
from polycall.engine.revisions import NUMBER
from polycall.errors import AlreadyExists, NotFound
from polycall.faces.aside import aside
from polycall.faces.guance.calls import Ended
from polycall.faces.guance.catalog import scripts_of
from polycall.faces.guance.envelope import Dump, Exchange
from polycall.faces.guance.errors import Failure, Refused, failed, no_such
from polycall.faces.guance.published import published_of
from polycall.faces.guance.request import read_options
from polycall.faces.guance.runs import FACE, MEMORY
from polycall.faces.guance.script_sets import ScriptSets
from polycall.faces.guance.scripts import FuncName
from polycall.faces.guance.services import ScriptOptions
from polycall.faces.times import iso_millis
from polycall.quick import dataclass

__all__ = ["Drafts", "Script", "md5_of"]

_KIND = "draft"
_DRAFT_S = 10  # of a draft's call, if it asks for nothing else
_TRIES = 3  # of a change, if another one comes between


class _Draft(msgspec.Struct, kw_only=True):
    code: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """One script: ``version`` is what was published of it last."""

    package: Package
    draft: FaceObject | None
    code_draft: str
    version: Version | None

    @property
    def publish_version(self) -> int:
        """How often it was published."""
        version = self.version.id if self.version is not None else ""
        return int(version) if NUMBER.fullmatch(version) else 0  # what was brought along may be called anything

    @property
    def code_md5(self) -> str | None:
        """The MD5 of what was published."""
        published = published_of(self.version) if self.version is not None else None
        return published.code_md5 if published is not None else None


def md5_of(code: str) -> str:
    """Return the MD5 of a script's text, by which clients tell versions apart."""
    return hashlib.md5(code.encode(), usedforsecurity=False).hexdigest()


class Drafts:
    """Scripts of all projects."""

    def __init__(self, engine: Engine, sets: ScriptSets) -> None:
        self._engine = engine
        self._sets = sets

    async def add(self, who: Principal, script_id: str, title: str | None, description: str | None, code: str) -> None:
        """Add a script. Raises Refused."""
        require(who, Scope.DEPLOY)
        if FuncName.parse(f"{script_id}.f") is None:
            raise Refused.bad_body(
                f'Field `id` value `"{script_id[:200]}"` is not valid. (script set, two underscores, name; at most 128)'
            )
        await self._sets.get(who.project_id, script_id.partition("__")[0])
        _check_code(code)
        package = Package(
            project_id=who.project_id,
            id=script_id,
            created_at=0,
            updated_at=0,
            display_name=title or "",
            description=description or "",
            face=FACE,
        )
        try:
            await self._engine.registry.create_package(who, package)
        except AlreadyExists:
            raise Refused(
                Failure("EClientDuplicated", 409.42, "ID of script already exists", {"id": script_id})
            ) from None
        try:
            await self._write(who, script_id, code)
        except BaseException:
            with suppress(NotFound):
                await self._engine.registry.delete_package(who, script_id)
            raise

    async def get(self, who: Principal, script_id: str) -> Script:
        """Return a script. Raises Refused."""
        try:
            package = await self._engine.registry.get_package(reading(who), script_id)
        except NotFound:
            raise no_such("Script", id=script_id) from None
        if package.face != FACE:
            raise no_such("Script", id=script_id)
        draft, version = await self._draft(who, script_id), None
        with suppress(NotFound):  # not published yet
            version = await self._engine.registry.version(who.project_id, script_id)
        if draft is not None:
            code = msgspec.json.decode(draft.data, type=_Draft).code
        else:  # deployed or brought along: what runs is what is written
            code = await self._source(who, script_id, version) or ""
        return Script(package, draft, code, version)

    async def modify(
        self, who: Principal, script_id: str, prev_md5: str | None, changes: Mapping[str, str | None]
    ) -> str:
        """Change title, description or draft; return the draft's MD5. Raises Refused if it is not what it was."""
        require(who, Scope.DEPLOY)
        for _ in range(_TRIES):
            script = await self.get(who, script_id)
            if prev_md5 is not None and prev_md5 != md5_of(script.code_draft):
                break
            code = changes.get("codeDraft") if "codeDraft" in changes else script.code_draft
            code = code or ""
            _check_code(code)
            if code != script.code_draft and not await self._exchange(who, script_id, code, script.draft):
                continue
            if changes.keys() & {"title", "description"}:
                package = replace(
                    script.package,
                    display_name=changes.get("title", script.package.display_name) or "",
                    description=changes.get("description", script.package.description) or "",
                )
                await self._engine.registry.update_package(who, package)
            return md5_of(code)
        raise Refused(Failure("EBizRequestConflict.scriptDraftAlreadyChanged", 409.25, "Script draft already changed"))

    async def delete(self, who: Principal, script_id: str) -> None:
        """Delete a script with all that was published of it. Raises Refused."""
        require(who, Scope.DEPLOY)
        script = await self.get(who, script_id)
        await self._engine.registry.delete_package(who, script_id)
        if script.draft is not None:
            await self._engine.objects.delete(who.project_id, FACE, _KIND, script_id)

    async def list(
        self, who: Principal, ids: frozenset[str], set_ids: frozenset[str]
    ) -> Sequence[Mapping[str, object]]:
        """Return scripts by their ids, without their code."""
        found = [package.id async for package in scripts_of(self._engine, reading(who))]
        wanted = sorted(
            name for name in found if (not ids or name in ids) and (not set_ids or name.partition("__")[0] in set_ids)
        )
        return [self.shown(await self.get(who, script_id)) for script_id in wanted]

    async def source(self, who: Principal, script: Script) -> str | None:
        """Return what was published; None if nothing was."""
        return await self._source(who, script.package.id, script.version)

    async def _source(self, who: Principal, script_id: str, version: Version | None) -> str | None:
        if version is None:
            return None
        files = await self._engine.registry.get_source(reading(who), version)
        code = files.get(f"{script_id}.py", files.get("main.py"))
        return None if code is None else code.decode(errors="replace")

    def shown(self, script: Script) -> Mapping[str, object]:
        """Return a script as the vendor shows it, without its code."""
        updated_at = max(script.package.updated_at, script.draft.updated_at if script.draft is not None else 0)
        return {
            "codeDraftMD5": md5_of(script.code_draft),
            "codeMD5": script.code_md5,
            "createTime": iso_millis(script.package.created_at),
            "description": script.package.description or None,
            "id": script.package.id,
            "publishVersion": script.publish_version,
            "scriptSetId": script.package.id.partition("__")[0],
            "title": script.package.display_name or None,
            "type": "python",
            "updateTime": iso_millis(updated_at),
        }

    def run(
        self,
        script_id: str,
        code: str,
        runtime: str,
        timeout_ms: int,
        options: ScriptOptions,
        function: str,
        kwargs: bytes,
    ) -> AdHocRun:
        """Return the run of a function of a script's text."""
        limits = self._engine.limits.where_unset(LimitOverrides(timeout_ms=timeout_ms), MEMORY)
        return AdHocRun(
            code=code,
            convention=Convention.KEYWORDS,
            entrypoint=function,
            input=kwargs,
            file=f"{script_id}.py",
            runtime=runtime,
            adapter=FACE,
            adapter_options=msgspec.json.encode(options),
            limits=replace(limits, timeout_ms=min(timeout_ms, self._engine.limits.maximums.timeout_ms)),
        )

    async def call(self, who: Principal, exchange: Exchange, dump: Dump, func_id: str) -> Ended | Failure:
        """Run a function of a draft. Raises Refused, and as ``Engine.execute``."""
        name = FuncName.parse(func_id)
        if name is None:
            raise no_such("Func", funcId=func_id)
        options = await aside(dump.size, read_options, dump.body, datetime.fromtimestamp(exchange.at / 1000, UTC))
        if options.is_async:
            raise Refused.bad_body('Field `execMode` value `"async"` is not valid. (drafts are run at once)')
        try:
            script = await self.get(who, name.script_id)
        except Refused:
            raise no_such("Func", funcId=func_id) from None
        if not script.code_draft.strip():
            raise no_such("Func", funcId=func_id)
        last = script.version.runtime if script.version is not None else ""
        runtime = await self._sets.runtime(who, name.script_id.partition("__")[0], last)
        seconds = options.api_timeout_s or _DRAFT_S
        told = ScriptOptions(return_type=options.return_type, script_id=name.script_id, chain=(func_id,))
        run = self.run(name.script_id, script.code_draft, runtime, seconds * 1000, told, name.function, options.kwargs)
        kept = RunOptions(face=FACE, alias=exchange.task_id, expires_at=exchange.expires_at(seconds))
        execution = await self._engine.execute(who, run, kept)
        if execution.state is not ExecutionState.COMPLETED or execution.result is None:
            return failed(execution, func_id, exchange.task_id)
        return Ended({"result": msgspec.Raw(execution.result)})

    async def _draft(self, who: Principal, script_id: str) -> FaceObject | None:
        try:
            return await self._engine.objects.get(who.project_id, FACE, _KIND, script_id)
        except NotFound:
            return None

    async def _write(self, who: Principal, script_id: str, code: str) -> bool:
        """Keep a draft, in place of any that a deleted script has left. False: another one came between."""
        return await self._exchange(who, script_id, code, await self._draft(who, script_id))

    async def _exchange(self, who: Principal, script_id: str, code: str, old: FaceObject | None) -> bool:
        """Keep a draft in place of the one that was read, None: of none; False if another one came between."""
        data = msgspec.json.encode(_Draft(code=code))
        if old is not None:
            return await self._engine.objects.put(replace(old, data=data)) is not None
        try:
            await self._engine.objects.create(who.project_id, FACE, _KIND, script_id, data)
        except AlreadyExists:
            return False
        return True


def _check_code(code: str) -> None:
    if len(code.encode()) > CODE_BYTES:
        raise Refused.bad_body(f"Field `codeDraft` is too long. (maxLength = {CODE_BYTES})")
