"""What functions run on: a runtime of their own, built from the requirements in their zip."""

from __future__ import annotations

import re
from contextlib import suppress

from polycall.domain import Language, ManifestKind, Principal, RevisionState, Runtime
from polycall.engine.runtimes import RevisionDraft, Runtimes
from polycall.errors import AlreadyExists, InvalidArgument, IsolationUnavailable, NotFound
from polycall.faces.cognite.undeployable import Undeployable
from polycall.ids import now_ms
from polycall.names import NEWEST, RevisionName
from polycall.runtimes.manifest import Manifest, parse_manifest

__all__ = ["FunctionRuntimes"]

_FILE = "requirements.txt"
_WAIT_S = 30.0  # of a build, between looks whether its function is still wanted


class FunctionRuntimes:
    """Builds and deletes runtimes of functions.

    ``given``: requirements that every function gets that does not name these packages itself; the operator's choice.
    Raises InvalidArgument for what are none.
    """

    def __init__(self, runtimes: Runtimes, given: str = "") -> None:
        self._runtimes = runtimes
        text = given.replace(",", "\n")
        self._given = parse_manifest(ManifestKind.REQUIREMENTS_TXT, text, "POLYCALL_COGNITE_REQUIREMENTS")

    async def built(self, who: Principal, function_id: str, requirements: str) -> str:
        """Return the name of the built runtime revision for requirements; "" if they name nothing: the server's own.

        Takes as long as the build. Raises Undeployable, QueueFull, NotFound (deleted meanwhile), Unavailable.
        """
        manifest = self._with_given(_parsed(requirements))
        if not manifest:
            return ""
        runtime_id = _runtime_id(function_id)
        runtime = Runtime(
            project_id=who.project_id,
            id=runtime_id,
            language=Language.PYTHON,
            created_at=now_ms(),
            display_name=f"Cognite function {function_id}",
        )
        try:
            with suppress(AlreadyExists):  # an earlier server began it
                await self._runtimes.create(who, runtime, RevisionDraft(manifest=manifest))
        except IsolationUnavailable as error:
            raise Undeployable(error.message) from None
        while True:
            try:
                revision = await self._runtimes.wait_revision(who, runtime_id, NEWEST, _WAIT_S)
            except NotFound:
                raise Undeployable(f"The runtime {runtime_id} was deleted while it was built.") from None
            if revision.state is RevisionState.READY:
                return str(RevisionName(runtime_id, revision.id))
            if revision.state is RevisionState.FAILED:
                raise Undeployable(f"{_FILE} could not be installed: {revision.error}", revision.log)

    async def delete(self, who: Principal, function_id: str) -> None:
        """Delete the runtime of a function, if it has one."""
        with suppress(NotFound):
            await self._runtimes.delete(who, _runtime_id(function_id), force=True)

    def _with_given(self, own: Manifest) -> str:
        named = {_normal(name) for name in own.names}
        lines = self._given.text.splitlines()
        added = [line for name, line in zip(self._given.names, lines, strict=True) if _normal(name) not in named]
        return own.text + "".join(f"{line}\n" for line in added)


def _parsed(requirements: str) -> Manifest:
    try:
        return parse_manifest(ManifestKind.REQUIREMENTS_TXT, requirements, _FILE)
    except InvalidArgument as error:
        raise Undeployable(error.message) from None


def _runtime_id(function_id: str) -> str:
    return f"cognite-{function_id}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # as indexes compare names (PEP 503)
