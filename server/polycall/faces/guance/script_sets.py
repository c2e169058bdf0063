"""Script sets: what scripts are grouped in, and the packages that their scripts run with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec

from polycall.domain import FaceObject, Language, Principal, RevisionState, Runtime, RuntimeRevision, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.runtimes import RevisionDraft
from polycall.errors import AlreadyExists, NotFound
from polycall.faces.guance.catalog import scripts_of
from polycall.faces.guance.errors import Failure, Refused, no_such
from polycall.faces.guance.runs import FACE
from polycall.faces.times import iso_millis
from polycall.names import RevisionName

__all__ = ["KIND", "ScriptSet", "ScriptSets"]

KIND = "script-set"
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_PAGE = 200
_WAIT_S = 5.0  # that a publish waits for packages: most are there by then, and a client has not given up


class ScriptSet(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is kept of a script set."""

    title: str | None = None
    description: str | None = None
    requirements: str | None = None
    runtime: str = ""  # the revision that its requirements became


class ScriptSets:
    """Script sets of all projects."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def add(self, who: Principal, set_id: str, new: ScriptSet) -> None:
        """Add a script set, and begin to install its requirements. Raises Refused, what ``Runtimes.create`` does."""
        require(who, Scope.DEPLOY)
        if not _ID.fullmatch(set_id) or "__" in set_id:
            raise Refused.bad_body(
                f'Field `id` value `"{set_id[:100]}"` is not valid. (letters, digits, single underscores; at most 64)'
            )
        try:
            made = await self._engine.objects.create(who.project_id, FACE, KIND, set_id, msgspec.json.encode(new))
        except AlreadyExists:
            raise Refused(
                Failure("EClientDuplicated", 409.42, "ID of script set already exists", {"id": set_id})
            ) from None
        if new.requirements:
            try:
                runtime = await self._installed(who, set_id, new.requirements)
                await self._put(made, replace_set(new, runtime=runtime))
            except BaseException:
                with suppress(NotFound):
                    await self._engine.objects.delete(who.project_id, FACE, KIND, set_id)
                raise

    async def get(self, project_id: str, set_id: str) -> tuple[FaceObject, ScriptSet]:
        """Return a script set. Raises Refused."""
        try:
            found = await self._engine.objects.get(project_id, FACE, KIND, set_id)
        except NotFound:
            raise no_such("Script Set", id=set_id) from None
        return found, msgspec.json.decode(found.data, type=ScriptSet)

    async def modify(self, who: Principal, set_id: str, changes: Mapping[str, str | None]) -> None:
        """Change what is named; new requirements hold for what is published from then on. Raises Refused."""
        require(who, Scope.DEPLOY)
        found, old = await self.get(who.project_id, set_id)
        new = replace_set(old, **changes)
        if not new.requirements:
            new = replace_set(new, requirements=None, runtime="")
        elif new.requirements != old.requirements:
            new = replace_set(new, runtime=await self._installed(who, set_id, new.requirements))
        await self._put(found, new)

    async def delete(self, who: Principal, set_id: str) -> None:
        """Delete a script set and its scripts. Raises Refused."""
        require(who, Scope.DEPLOY)
        await self.get(who.project_id, set_id)
        scripts = [package.id async for package in scripts_of(self._engine, reading(who))]
        for script_id in scripts:
            if script_id.partition("__")[0] == set_id:
                await self._engine.registry.delete_package(who, script_id)
        await self._engine.objects.delete(who.project_id, FACE, KIND, set_id)
        with suppress(NotFound):  # it never had requirements
            await self._engine.runtimes.delete(who, _runtime_of(set_id), force=True)

    async def list(self, who: Principal, ids: frozenset[str]) -> Sequence[Mapping[str, object]]:
        """Return script sets by their ids, those that are named or all."""
        found: list[Mapping[str, object]] = []
        token = ""
        while True:
            page = await self._engine.objects.list(who.project_id, FACE, KIND, _PAGE, token)
            wanted = [each for each in page.items if not ids or each.id in ids]
            found += [await self._shown(who, each, msgspec.json.decode(each.data, type=ScriptSet)) for each in wanted]
            token = page.next_token
            if not token:
                return sorted(found, key=lambda shown: str(shown["id"]))

    async def runtime(self, who: Principal, set_id: str, default: str = "") -> str:
        """Return the runtime that scripts of a set run on now, ``default`` for those of none, which were brought along.

        Raises Refused while there is none that can be used.
        """
        try:
            _, found = await self.get(who.project_id, set_id)
        except Refused:
            return default
        if not found.runtime:
            return ""
        name = RevisionName.parse(found.runtime, "runtime")
        revision = await self._engine.runtimes.wait_revision(reading(who), name.runtime, name.revision, _WAIT_S)
        if revision.state is RevisionState.READY:
            return found.runtime
        if revision.state is RevisionState.FAILED:
            message = "Requirements of the script set could not be installed"
            detail = {"message": revision.error or ""}
            raise Refused(Failure("EBizCondition.RequirementsFailed", 403.21, message, detail))
        message = "Requirements of the script set are being installed, please try again later"
        raise Refused(Failure("EBizCondition.RequirementsNotInstalled", 403.21, message))

    async def _installed(self, who: Principal, set_id: str, requirements: str) -> str:
        """Begin to build a runtime of requirements and return its name."""
        runtimes, draft = self._engine.runtimes, RevisionDraft(manifest=requirements)
        revision: RuntimeRevision | None
        try:
            revision = await runtimes.create_revision(who, _runtime_of(set_id), draft)
        except NotFound:
            runtime = Runtime(
                project_id=who.project_id,
                id=_runtime_of(set_id),
                language=Language.PYTHON,
                created_at=0,
                display_name=f"Script set {set_id}",
            )
            _, revision = await runtimes.create(who, runtime, draft)
        assert revision is not None  # noqa: S101  it was asked for
        return str(RevisionName(revision.runtime_id, revision.id))

    async def _put(self, found: FaceObject, new: ScriptSet) -> None:
        if await self._engine.objects.put(replace(found, data=msgspec.json.encode(new))) is None:
            raise Refused(Failure("EBizRequestConflict.scriptSetAlreadyChanged", 409.25, "Script set already changed"))

    async def _shown(self, who: Principal, found: FaceObject, of_set: ScriptSet) -> Mapping[str, object]:
        state = None
        if of_set.runtime:
            name = RevisionName.parse(of_set.runtime, "runtime")
            revision = await self._engine.runtimes.get_revision(reading(who), name.runtime, name.revision)
            state = revision.state.value
        return {
            "createTime": iso_millis(found.created_at),
            "description": of_set.description,
            "id": found.id,
            "requirements": of_set.requirements,
            "requirementsState": state,
            "title": of_set.title,
            "updateTime": iso_millis(found.updated_at),
        }


def replace_set(old: ScriptSet, **changes: Any) -> ScriptSet:
    """Return it with other values."""
    return msgspec.structs.replace(old, **changes)


def _runtime_of(set_id: str) -> str:
    return f"guance-{set_id}"
