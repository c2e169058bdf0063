"""Publishing: a draft is run once, what it registers is what can be called from then on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from polycall.domain import (
    Convention,
    Execution,
    ExecutionState,
    Function,
    LimitOverrides,
    Principal,
    Reason,
    Scope,
    VersionState,
)
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.engine.registry import VersionDraft
from polycall.engine.requests import RunOptions
from polycall.faces.guance.drafts import Drafts, Script, md5_of
from polycall.faces.guance.envelope import Exchange
from polycall.faces.guance.errors import Failure, Refused, failed, pre_check_failed, unreadable
from polycall.faces.guance.published import Func, Published
from polycall.faces.guance.runs import FACE
from polycall.faces.guance.script_sets import ScriptSets
from polycall.faces.guance.services import ScriptOptions

__all__ = ["Publishing"]

_CHECK_S = 30  # that a script may take to load
_TWICE = re.compile(r"Two or more functions named `(\w+)`")


class Publishing:
    """Publishes scripts."""

    def __init__(self, engine: Engine, drafts: Drafts, sets: ScriptSets) -> None:
        self._engine = engine
        self._drafts = drafts
        self._sets = sets

    async def publish(
        self, who: Principal, exchange: Exchange, script_id: str, *, force: bool, note: str | None
    ) -> Mapping[str, object]:
        """Publish the draft of a script; return its number and its functions. Raises Refused, as ``Engine.execute``."""
        require(who, Scope.DEPLOY)
        script = await self._drafts.get(who, script_id)
        if not force and script.code_md5 == md5_of(script.code_draft):
            raise Refused(Failure("EBizCondition.ScriptNotEdited", 403.21, "Script not edited"))
        last = script.version.runtime if script.version is not None else ""
        runtime = await self._sets.runtime(who, script_id.partition("__")[0], last)
        funcs = await self._checked(who, exchange, script, runtime)
        published = Published(code_md5=md5_of(script.code_draft), note=note, funcs=funcs)
        draft = VersionDraft(
            package_id=script_id,
            files={f"{script_id}.py": script.code_draft.encode()},
            functions=tuple(_function(script_id, func) for func in funcs),
            runtime=runtime,
            adapter=FACE,
            limits=LimitOverrides(),
            face_data=msgspec.json.encode(published),
        )
        version = await self._engine.registry.create_version(who, draft, release=True)
        if version.state is VersionState.ERROR:
            await self._engine.registry.delete_version(who, script_id, version.id)
            detail = {"einfoTEXT": version.error or "", "id": exchange.task_id, "traceInfo": ""}
            raise Refused(pre_check_failed(detail))
        shown = [dict(sorted(msgspec.to_builtins(func).items())) for func in funcs]
        return {"exportedAPIFuncs": shown, "id": script_id, "publishVersion": int(version.id)}

    async def _checked(self, who: Principal, exchange: Exchange, script: Script, runtime: str) -> list[Func]:
        """Run a draft and return the functions that it registers."""
        script_id, code = script.package.id, script.code_draft
        if not code.strip():
            text = "Exception: the script is empty"
            raise Refused(pre_check_failed({"einfoTEXT": text, "id": exchange.task_id, "traceInfo": ""}))
        options = ScriptOptions(script_id=script_id, collect=True, chain=(script_id,))
        run = self._drafts.run(script_id, code, runtime, _CHECK_S * 1000, options, "publish", b"{}")
        # who may deploy code may have it loaded
        runner = replace(who, scopes=who.scopes | {Scope.RUN})
        kept = RunOptions(face=FACE, alias=exchange.task_id, expires_at=exchange.expires_at(_CHECK_S))
        execution = await self._engine.execute(runner, run, kept)
        if execution.state is not ExecutionState.COMPLETED or execution.result is None:
            raise Refused(_refused(execution, script_id, exchange.task_id))
        try:
            return msgspec.json.decode(execution.result, type=list[Func])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the script has played with its adapter
            raise Refused(unreadable()) from None


def _refused(execution: Execution, script_id: str, task_id: str) -> Failure:
    error = execution.error
    twice = _TWICE.fullmatch(error.message) if error is not None and error.type == "DuplicatedFuncName" else None
    if twice is not None:
        detail = {"funcName": twice[1]}
        return Failure("EClientDuplicated", 409.42, "Found duplicated func names in script", detail)
    failure = failed(execution, script_id, task_id)
    if error is not None and error.reason is Reason.ENTRYPOINT_NOT_FOUND:  # it may say so of itself
        failure = Failure("EFuncFailed", 599.3, "", {"einfoTEXT": error.message, "id": task_id})
    return pre_check_failed({**failure.detail, "traceInfo": error.traceback if error is not None else ""})


def _function(script_id: str, func: Func) -> Function:
    return Function(
        name=func.name,
        entrypoint=f"{script_id}:{func.name}",
        convention=Convention.KEYWORDS,
        display_name=func.title or "",
        description=func.description or "",
    )
