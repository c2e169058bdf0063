"""polycall.v1.PackageService."""

from __future__ import annotations

from functools import partial

from google.protobuf import empty_pb2

from polycall.domain import Package, Principal, Scope, Version
from polycall.engine.engine import Engine
from polycall.engine.keys import require
from polycall.interceptors.rpc import Rpc
from polycall.names import PackageName, VersionName
from polycall.services.once import Once, as_reader, found_or_made
from polycall.services.package_messages import analysis_message, package_message, version_message
from polycall.services.package_requests import (
    NewVersion,
    read_new_package,
    read_new_version,
    read_package_change,
    read_packages_page,
    read_source,
    read_versions_page,
)
from polycall.v1 import package_pb2, package_service_pb2, package_service_pb2_grpc

__all__ = ["PackageService"]


class PackageService(package_service_pb2_grpc.PackageServiceServicer):
    """Keeps code: packages and their immutable versions."""

    def __init__(self, engine: Engine) -> None:
        self._registry = engine.registry
        self._packages: Once[Package] = Once()
        self._versions: Once[Version] = Once()

    async def CreatePackage(self, request: package_service_pb2.CreatePackageRequest, rpc: Rpc) -> package_pb2.Package:
        """Create an empty package."""
        package, request_id = read_new_package(request)
        if request.validate_only:
            return package_message(await self._registry.create_package(rpc.who, package, validate_only=True))
        require(rpc.who, Scope.DEPLOY)  # before an answer that another key of the project was given
        made = await self._packages(
            rpc.who.project_id, request_id, lambda: self._registry.create_package(rpc.who, package)
        )
        return package_message(made)

    async def GetPackage(self, request: package_service_pb2.GetPackageRequest, rpc: Rpc) -> package_pb2.Package:
        """Return a package."""
        name = PackageName.parse(request.name)
        return package_message(await self._registry.get_package(rpc.who, name.package))

    async def ListPackages(
        self, request: package_service_pb2.ListPackagesRequest, rpc: Rpc
    ) -> package_service_pb2.ListPackagesResponse:
        """List packages, newest first."""
        page = await self._registry.list_packages(rpc.who, *read_packages_page(request))
        return package_service_pb2.ListPackagesResponse(
            packages=[package_message(package, listed=True) for package in page.items], next_page_token=page.next_token
        )

    async def UpdatePackage(self, request: package_service_pb2.UpdatePackageRequest, rpc: Rpc) -> package_pb2.Package:
        """Change what people read of a package, or what a face keeps of it."""
        change = read_package_change(request)
        package = change.package
        if not change.whole:
            require(rpc.who, Scope.DEPLOY)
            # what the mask leaves out is kept; the scope deploy is enough for that, as it is for the answer
            package = change.applied_to(await self._registry.get_package(as_reader(rpc.who), package.id))
        if change.of_face:
            return package_message(
                await self._registry.change_package(rpc.who, package, validate_only=change.validate_only)
            )
        return package_message(
            await self._registry.update_package(rpc.who, package, validate_only=change.validate_only)
        )

    async def DeletePackage(self, request: package_service_pb2.DeletePackageRequest, rpc: Rpc) -> empty_pb2.Empty:
        """Delete a package and its versions."""
        await self._registry.delete_package(rpc.who, PackageName.parse(request.name).package)
        return empty_pb2.Empty()

    async def CreateVersion(self, request: package_service_pb2.CreateVersionRequest, rpc: Rpc) -> package_pb2.Version:
        """Store, analyse and check a version."""
        require(rpc.who, Scope.DEPLOY)  # before an archive is unpacked
        new = read_new_version(request)
        made = await self._versions(
            rpc.who.project_id, new.draft.request_id, lambda: self._create_version(rpc.who, new)
        )
        return version_message(made)

    async def GetVersion(self, request: package_service_pb2.GetVersionRequest, rpc: Rpc) -> package_pb2.Version:
        """Return a version, with its source if asked."""
        name = VersionName.parse(request.name, newest=True)
        version = await self._registry.get_version(rpc.who, name.package, name.version)
        source = await self._registry.get_source(rpc.who, version) if request.include_source else None
        return version_message(version, source)

    async def ListVersions(
        self, request: package_service_pb2.ListVersionsRequest, rpc: Rpc
    ) -> package_service_pb2.ListVersionsResponse:
        """List the versions of a package, newest first."""
        name, size, token = read_versions_page(request)
        page = await self._registry.list_versions(rpc.who, name.package, size, token)
        return package_service_pb2.ListVersionsResponse(
            versions=[version_message(version, listed=True) for version in page.items], next_page_token=page.next_token
        )

    async def ReleaseVersion(self, request: package_service_pb2.ReleaseVersionRequest, rpc: Rpc) -> package_pb2.Version:
        """Make a version what callers get who name none."""
        name = VersionName.parse(request.name)
        return version_message(await self._registry.release_version(rpc.who, name.package, name.version))

    async def DeleteVersion(self, request: package_service_pb2.DeleteVersionRequest, rpc: Rpc) -> empty_pb2.Empty:
        """Delete a version."""
        name = VersionName.parse(request.name)
        await self._registry.delete_version(rpc.who, name.package, name.version)
        return empty_pb2.Empty()

    async def AnalyzeSource(
        self, request: package_service_pb2.AnalyzeSourceRequest, rpc: Rpc
    ) -> package_service_pb2.AnalyzeSourceResponse:
        """Tell which functions a source has."""
        require(rpc.who, Scope.DEPLOY)  # before an archive is unpacked
        source = read_source(request)
        analysis = await self._registry.analyze(
            rpc.who,
            source.files,
            module=source.module,
            language=source.language,
            convention=source.convention,
            runtime=source.runtime,
        )
        return analysis_message(analysis)

    async def _create_version(self, who: Principal, new: NewVersion) -> Version:
        """Create a version, unless another server has done so for the same request."""
        package_id, request_id = new.draft.package_id, new.draft.request_id
        create = partial(
            self._registry.create_version,
            who,
            new.draft,
            create_package=new.create_package,
            release=new.release,
            validate_only=new.validate_only,
            analyze_later=new.analyze_later,
        )
        if request_id is None:
            return await create()
        return await found_or_made(
            lambda: self._registry.version_of_request(as_reader(who), package_id, request_id), create
        )
