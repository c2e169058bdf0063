"""Packages and their versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from polycall.cli.failures import Failure
from polycall.cli.importing.comparing import package_differences, version_differences
from polycall.cli.importing.finds import FoundPackage, FoundVersion
from polycall.cli.importing.report import Action, Outcome
from polycall.cli.importing.target import Target
from polycall.names import PackageName, VersionName

if TYPE_CHECKING:
    from polycall.v1 import package_pb2, package_service_pb2

__all__ = ["write_package"]


def write_package(target: Target, found: FoundPackage) -> Iterator[Outcome]:
    """Yield what became of a package and each of its versions. Raises Failure for what ends an import."""
    from polycall.services.package_messages import package_message

    package = found.package
    wanted = package_message(package)
    try:
        outcome = _written(target, package.id, wanted)
    except Failure as failure:
        outcome = target.refused("package", package.id, failure)
    yield outcome
    if outcome.action is Action.REFUSED:
        return
    again = False  # a version that is made anew is the newest, so those after it have to be, too
    for version in found.versions:
        try:
            written = _version(target, version, new=outcome.action is Action.CREATED, again=again)
        except Failure as failure:
            written = target.refused("version", f"{package.id} {version.version.id}", failure)
        again = again or written.action is Action.REPLACED
        yield written


def _written(target: Target, package_id: str, wanted: package_pb2.Package) -> Outcome:
    from google.protobuf.field_mask_pb2 import FieldMask

    from polycall.v1 import package_service_pb2 as pb

    client = target.client
    request = pb.GetPackageRequest(name=str(PackageName(package_id)))
    here = target.found(client.packages.GetPackage, request, "PACKAGE_NOT_FOUND")
    if here is None:
        create = pb.CreatePackageRequest(package_id=package_id, package=wanted, validate_only=target.dry_run)
        client.call(client.packages.CreatePackage, create)
        return Outcome("package", package_id, Action.CREATED)
    if here.face != wanted.face:
        whose = f"{here.face}'s" if here.face else "made natively"
        why = f"there is a package of this id here that is {whose}. Delete it, or import into another project."
        return Outcome("package", package_id, Action.REFUSED, why)
    differences = package_differences(here, wanted)
    if not differences:
        return Outcome("package", package_id, Action.SAME)
    if not target.overwrite:
        return Outcome("package", package_id, Action.DIFFERS, ", ".join(differences))
    wanted.name = here.name
    change = pb.UpdatePackageRequest(
        package=wanted, update_mask=FieldMask(paths=differences), validate_only=target.dry_run
    )
    client.call(client.packages.UpdatePackage, change)
    return Outcome("package", package_id, Action.REPLACED, ", ".join(differences))


def _version(target: Target, found: FoundVersion, *, new: bool, again: bool) -> Outcome:
    from polycall.cli.show import word
    from polycall.services.package_messages import version_message
    from polycall.v1 import package_service_pb2 as pb

    client, version = target.client, found.version
    shown = f"{version.package_id} {version.id}"
    wanted = version_message(version)
    name = str(VersionName(version.package_id, version.id))
    request = pb.GetVersionRequest(name=name)
    here = None if new else target.found(client.packages.GetVersion, request, "VERSION_NOT_FOUND", "PACKAGE_NOT_FOUND")
    action, note = Action.CREATED, ""
    if here is not None:
        differences = version_differences(here, wanted)
        if found.release and here.release_time.seconds == 0:
            differences.append("released")
        broken = target.overwrite and word(here, "state") == "ERROR"  # what it lacked may be there by now
        if not differences and not again and not broken:
            return _state("version", shown, Action.SAME, here)
        if not target.overwrite:
            return Outcome("version", shown, Action.DIFFERS, ", ".join(differences))
        action, note = Action.REPLACED, ", ".join(differences)
        if not target.dry_run:
            client.call(client.packages.DeleteVersion, pb.DeleteVersionRequest(name=name))
    create = _creation(target, found, wanted)
    made = client.call(client.packages.CreateVersion, create, what=f"the analysis of {name}")
    return _state("version", shown, action, made, note)


def _creation(
    target: Target, found: FoundVersion, wanted: package_pb2.Version
) -> package_service_pb2.CreateVersionRequest:
    from polycall.v1 import package_pb2
    from polycall.v1 import package_service_pb2 as pb

    version = found.version
    request = pb.CreateVersionRequest(
        parent=str(PackageName(version.package_id)),
        version_id=version.id,
        version=wanted,
        files=package_pb2.SourceFiles(
            files=[package_pb2.SourceFile(path=path, contents=data) for path, data in found.files.items()]
        ),
        release=found.release,
        # a package that would be created first is not there to be checked against
        create_package=target.dry_run,
        validate_only=target.dry_run,
    )
    if target.dry_run:
        request.version.runtime = ""  # it may be one that would be built first
    return request


def _state(kind: str, shown: str, action: Action, version: package_pb2.Version, note: str = "") -> Outcome:
    from polycall.cli.show import word

    if word(version, "state") == "ERROR":
        return Outcome(kind, shown, Action.REFUSED, f"its code cannot run: {version.error}")
    return Outcome(kind, shown, action, note)
