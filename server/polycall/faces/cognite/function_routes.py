"""Functions: made, listed, deleted; and what they may be."""

from __future__ import annotations

from collections.abc import Mapping

from polycall.domain import Package, Principal, Scope
from polycall.engine.engine import Engine
from polycall.engine.keys import reading, require
from polycall.engine.limits import MIB
from polycall.engine.tasks import through
from polycall.errors import AlreadyExists, FailedPrecondition, NotFound, PolycallError, QuotaExceeded
from polycall.faces.cognite.catalogue import Catalogue
from polycall.faces.cognite.deployer import Deployer
from polycall.faces.cognite.deployments import Deployment, Deployments
from polycall.faces.cognite.failures import Duplicated, Missing
from polycall.faces.cognite.files import File, Files, Numbers
from polycall.faces.cognite.filters import FunctionFilter, read_function_filter
from polycall.faces.cognite.function_form import CPU, MEMORY, FunctionForm, Packages, read_function
from polycall.faces.cognite.functiondata import FunctionData
from polycall.faces.cognite.functions import INSTALLED, Deployed, FunctionBody
from polycall.faces.cognite.queries import read_query, read_window
from polycall.faces.cognite.requests import LARGEST_ID, Reference, read_asked_functions
from polycall.faces.cognite.resource import FACE, Resource
from polycall.faces.reply import Handler, Inbound, Reply
from polycall.faces.wire import dump
from polycall.ids import now_ms

__all__ = ["FunctionRoutes"]

_COUNTER = "cognite_functions"
_MOST = 100  # functions of a project, as the vendor has it
_TIMEOUT_MINUTES, _RESPONSE_MB = 10, 1
_GIB = 1024 * MIB


class FunctionRoutes(Resource):
    """CogniteFunctionService."""

    def __init__(
        self,
        engine: Engine,
        numbers: Numbers,
        catalogue: Catalogue,
        files: Files,
        deployments: Deployments,
        deployer: Deployer,
        packages: Packages,
    ) -> None:
        super().__init__(engine)
        self._numbers = numbers
        self._catalogue = catalogue
        self._files = files
        self._deployments = deployments
        self._deployer = deployer
        self._packages = packages
        self.handlers: Mapping[str, Handler] = {
            "CreateFunctions": self.create_functions,
            "ListFunctions": self.list_functions,
            "FilterFunctions": self.filter_functions,
            "DeleteFunctions": self.delete_functions,
            "GetLimits": self.get_limits,
            "GetStatus": self.get_status,
            "Activate": self.activate,
        }

    async def create_functions(self, inbound: Inbound) -> Reply:
        """POST functions: one, Queued; it is deployed in the background, also across a restart."""
        who = await self._caller(inbound)
        require(who, Scope.DEPLOY)
        form = read_function(await inbound.read(), self._packages, self._most_memory_gb())
        file = await self._zip(who, form.file_id)
        # whoever goes away meanwhile: what is kept as Queued must be deployed
        package = await through(self._kept(who, form, file))
        return Reply(body=dump({"items": [FunctionBody.of(Deployed(package, None), None)]}), status=201)

    async def list_functions(self, inbound: Inbound) -> Reply:
        """GET functions, newest first."""
        who = await self._caller(inbound)
        return await self._listed(who, FunctionFilter(), read_window(read_query(inbound.query)).limit)

    async def filter_functions(self, inbound: Inbound) -> Reply:
        """POST functions/list, newest first."""
        who = await self._caller(inbound)
        return await self._listed(who, *read_function_filter(await inbound.read()))

    async def delete_functions(self, inbound: Inbound) -> Reply:
        """POST functions/delete: all of them, or none if one is unknown. Calls that run end by themselves."""
        who = await self._caller(inbound)
        require(who, Scope.DEPLOY)
        ask = read_asked_functions(await inbound.read())
        found = await self._catalogue.find(who, ask.references)
        missing = [reference for reference in ask.references if reference not in found]
        if missing and not ask.ignore_unknown:
            raise Missing("Function", missing)
        for package in {package.id: package for package in found.values()}.values():
            await through(self._delete(who, package))
        return Reply(body=b"{}")

    async def get_limits(self, inbound: Inbound) -> Reply:
        """GET functions/limits."""
        await self._caller(inbound)
        most = self._most_memory_gb()
        body = {
            "timeoutMinutes": _TIMEOUT_MINUTES,
            "cpuCores": {"min": CPU.min, "max": CPU.max, "default": CPU.default},
            "memoryGb": {"min": MEMORY.min, "max": most, "default": min(MEMORY.default, most)},
            "runtimes": [INSTALLED],
            "responseSizeMb": _RESPONSE_MB,
        }
        return Reply(body=dump(body))

    async def get_status(self, inbound: Inbound) -> Reply:
        """GET functions/status: every project has functions."""
        await self._caller(inbound)
        return Reply(body=b'{"status":"activated"}')

    async def activate(self, inbound: Inbound) -> Reply:
        """POST functions/status: it was so before."""
        await self._caller(inbound)
        return Reply(body=b'{"status":"activated"}', status=202)

    # within

    def _most_memory_gb(self) -> float:
        return min(MEMORY.max, self._engine.limits.maximums.memory_bytes / _GIB)

    async def _zip(self, who: Principal, file_id: int) -> File:
        try:
            file = await self._files.get(who.project_id, file_id)
        except NotFound:
            raise Missing("File", [Reference(file_id)]) from None
        if file.blob is None:
            raise FailedPrecondition(f"The file {file_id} is not uploaded yet.", subject=f"files/{file_id}")
        if not file.is_zip:
            raise FailedPrecondition(f"The file {file_id} is not a zip.", subject=f"files/{file_id}")
        return file

    async def _kept(self, who: Principal, form: FunctionForm, file: File) -> Package:
        """Keep that a function is to be deployed, then the function: what is not shown can be forgotten."""
        while True:
            number = await self._numbers.next_number(_COUNTER)
            if number > LARGEST_ID:
                raise FailedPrecondition("There are no more ids for functions.")
            deployment = Deployment(who.project_id, str(number), file.blob or "", who.key_id)
            at = now_ms()
            package = Package(
                project_id=who.project_id,
                id=deployment.function_id,
                created_at=at,
                updated_at=at,
                display_name=form.name,
                description=form.description or "",
                face=FACE,
                alias=form.external_id,
                face_data=FunctionData.asked(form).dump(),
            )
            await self._deployments.begin(deployment, form.secrets or {})
            try:
                package = await self._engine.registry.create_package(who, package, most=_MOST)
            except PolycallError as error:
                await self._deployments.done(who.project_id, deployment.function_id)
                if isinstance(error, QuotaExceeded) and error.subject == "packages":
                    full = f"The project has {_MOST} functions, which is the most; delete some."
                    raise FailedPrecondition(full) from None
                if not isinstance(error, AlreadyExists):
                    raise
                if form.external_id is not None and await self._catalogue.has_alias(reading(who), form.external_id):
                    raise Duplicated([form.external_id]) from error
                continue  # somebody deployed something of this number by another door
            self._deployer.add(deployment)
            return package

    async def _listed(self, who: Principal, wanted: FunctionFilter, limit: int) -> Reply:
        packages = [each for each in await self._catalogue.all(who) if _fits(each, wanted)]
        return Reply(body=dump({"items": await self._catalogue.shown(who, packages[:limit])}))

    async def _delete(self, who: Principal, package: Package) -> None:
        try:
            await self._engine.registry.delete_package(who, package.id)
        except NotFound:  # somebody else was quicker; it is gone, as was asked
            return
        if package.face == FACE:
            await self._deployer.drop(who, package.id)


def _fits(package: Package, wanted: FunctionFilter) -> bool:
    data = FunctionData.of(package)
    if data is None:
        return False
    metadata = data.metadata or {}
    return (
        (wanted.name is None or package.display_name == wanted.name)
        and (wanted.owner is None or data.owner == wanted.owner)
        and (wanted.file_id is None or data.file_id == wanted.file_id)
        and (wanted.status is None or data.status == wanted.status)
        and (wanted.external_id_prefix is None or (package.alias or "").startswith(wanted.external_id_prefix))
        and (wanted.created_time is None or wanted.created_time.holds(package.created_at))
        and all(metadata.get(key) == value for key, value in (wanted.metadata or {}).items())
    )
