"""Functions of a project, however their code got in: found by either id, and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from polycall.domain import ExecutionFilter, Package, Principal, Reason, Version
from polycall.engine.engine import Engine
from polycall.errors import FailedPrecondition, NotFound
from polycall.faces.cognite.functiondata import FunctionData
from polycall.faces.cognite.functions import EXTERNAL_ID, Deployed, FunctionBody
from polycall.faces.cognite.requests import Reference, is_id
from polycall.faces.cognite.resource import FACE

__all__ = ["Catalogue"]

# Of packages that were deployed by another door, external ids are labels, and labels have no index: so many packages
# are looked through, then the caller is told.
_PAGE, _PAGES = 1000, 20


class Catalogue:
    """Finds and shows functions. All methods raise PermissionDenied."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def find(self, who: Principal, references: Sequence[Reference]) -> Mapping[Reference, Package]:
        """Return the functions that are there, by what was asked for."""
        found: dict[Reference, Package] = {}
        labels: dict[str, Reference] = {}
        for reference in references:
            with suppress(NotFound):
                if reference.id is not None:
                    found[reference] = await self._engine.registry.get_package(who, str(reference.id))
                    continue
                package = await self._engine.registry.find_package(who, FACE, reference.external_id)
                if is_id(package.id):
                    found[reference] = package
                    continue
            if reference.id is None:
                labels[reference.external_id] = reference
        return found | await self._labelled(who, labels) if labels else found

    async def all(self, who: Principal) -> Sequence[Package]:
        """Return the functions that this face made, newest first."""
        found: list[Package] = []
        token = ""
        while True:
            page = await self._engine.registry.list_packages(who, _PAGE, token, face=FACE)
            found += page.items
            token = page.next_token
            if not token:
                return found

    async def has_alias(self, who: Principal, external_id: str) -> bool:
        """Whether this face made a function of an external id."""
        with suppress(NotFound):
            await self._engine.registry.find_package(who, FACE, external_id)
            return True
        return False

    async def shown(self, who: Principal, packages: Sequence[Package]) -> list[FunctionBody]:
        """Return functions as the vendor shows them."""
        return [await self._shown(who, package) for package in packages]

    async def _shown(self, who: Principal, package: Package) -> FunctionBody:
        version: Version | None = None
        if FunctionData.of(package) is None:
            try:
                version = await self._engine.registry.version(who.project_id, package.id)
            except NotFound as error:
                if error.reason is not Reason.VERSION_NOT_FOUND:
                    raise
        newest = await self._engine.executions.list(who, ExecutionFilter(package_id=package.id, face=FACE), 1)
        return FunctionBody.of(Deployed(package, version), newest.items[0].queued_at if newest.items else None)

    async def _labelled(self, who: Principal, wanted: Mapping[str, Reference]) -> dict[Reference, Package]:
        found: dict[Reference, Package] = {}
        token = ""
        for _ in range(_PAGES):
            page = await self._engine.registry.list_packages(who, _PAGE, token)
            for package in page.items:
                external_id = package.labels.get(EXTERNAL_ID, "")
                if external_id in wanted and is_id(package.id):
                    found.setdefault(wanted[external_id], package)
            token = page.next_token
            if not token or len(found) == len(wanted):
                return found
        raise FailedPrecondition("The project has too many packages to look up an external id; use the id.")
