"""Functions that are to be deployed: kept before they are shown, so that another server goes on with them.

A deployment is there as long as there is something to do. Of all server processes the one that ``owner`` names works on
it; who starts takes over what belongs to nobody who lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from polycall.domain import FaceObject
from polycall.engine.egress import egress_place
from polycall.engine.objects import Objects
from polycall.engine.secrets import open_values, seal_values, values_anew
from polycall.errors import FailedPrecondition, NotFound
from polycall.faces.cognite.resource import FACE
from polycall.quick import dataclass
from polycall.sealing import Sealer, mark_of

__all__ = ["Deployment", "Deployments"]

_KIND = "deployment"
_MOST = 100_000  # of all projects; each has at most 100 functions


class _Data(msgspec.Struct, kw_only=True):
    owner: str
    created_by: str
    secrets: Mapping[str, str]  # sealed as in the version that they are for


@dataclass(frozen=True, slots=True)
class Deployment:
    """A function that is to be deployed from a zip; ``blob`` is the digest of that."""

    project_id: str
    function_id: str
    blob: str
    created_by: str


class Deployments:
    """What is to be deployed, of all projects. ``node`` is the name of this server process."""

    def __init__(self, objects: Objects, sealer: Sealer, node: str) -> None:
        self._objects = objects
        self._sealer = sealer
        self._node = node

    async def begin(self, deployment: Deployment, secrets: Mapping[str, str]) -> None:
        """Keep that a function is to be deployed; it need not be there yet. Raises AlreadyExists."""
        data = _Data(
            owner=self._node,
            created_by=deployment.created_by,
            secrets=seal_values(secrets, self._sealer, self._place(deployment)),
        )
        await self._objects.create(
            deployment.project_id,
            FACE,
            _KIND,
            deployment.function_id,
            msgspec.json.encode(data),
            blob=deployment.blob,
        )

    async def secrets(self, deployment: Deployment) -> Mapping[str, str]:
        """Return the secrets of a function. Raises NotFound (there is nothing to do any more), FailedPrecondition."""
        kept = await self._objects.get(deployment.project_id, FACE, _KIND, deployment.function_id)
        return open_values(_data(kept).secrets, self._sealer, self._place(deployment))

    async def marks(self) -> Counter[str]:
        """Return the marks of what is sealed of all deployments, and how many have each."""
        return Counter(
            mark
            for kept in await self._objects.of_kind(FACE, _KIND, _MOST)
            for mark in {mark_of(text) for text in _data(kept).secrets.values()}
        )

    async def reseal(self) -> tuple[int, int]:
        """Give everything to the sealer's first key; return how many were, and how many could not be opened."""
        done = failed = 0
        for kept in await self._objects.of_kind(FACE, _KIND, _MOST):
            current: FaceObject | None = kept
            while current is not None:
                data = _data(current)
                place = self._place(_deployment(current, data))
                try:
                    anew = dict(values_anew(data.secrets, self._sealer, place))
                except FailedPrecondition:
                    failed += 1
                    break
                if anew == data.secrets:
                    break
                changed = msgspec.json.encode(msgspec.structs.replace(data, secrets=anew))
                if await self._objects.put(replace(current, data=changed)) is not None:
                    done += 1
                    break
                try:  # somebody took it over in this moment
                    current = await self._objects.get(kept.project_id, FACE, _KIND, kept.id)
                except NotFound:  # or it has ended
                    break
        return done, failed

    async def done(self, project_id: str, function_id: str) -> None:
        """Forget a deployment: it has ended, or its function is gone."""
        with suppress(NotFound):
            await self._objects.delete(project_id, FACE, _KIND, function_id)

    async def taken_over(self, living: Collection[str]) -> Sequence[Deployment]:
        """Return what nobody works on, made this process's own: ``living`` are the nodes of the others."""
        taken = []
        for kept in await self._objects.of_kind(FACE, _KIND, _MOST):
            data = _data(kept)
            if data.owner in living:
                continue
            if data.owner != self._node:
                mine = msgspec.json.encode(msgspec.structs.replace(data, owner=self._node))
                if await self._objects.put(replace(kept, data=mine)) is None:
                    continue  # somebody else was quicker
            taken.append(_deployment(kept, data))
        return taken

    @staticmethod
    def _place(deployment: Deployment) -> str:
        return egress_place(deployment.project_id, deployment.function_id)


def _data(kept: FaceObject) -> _Data:
    return msgspec.json.decode(kept.data, type=_Data)


def _deployment(kept: FaceObject, data: _Data) -> Deployment:
    return Deployment(kept.project_id, kept.id, kept.blob or "", data.created_by)
