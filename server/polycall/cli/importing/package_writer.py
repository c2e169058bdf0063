"""Packages and their versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

_VALUE = "no vendor tells its value; give it with --secrets, and --overwrite if the function is here"


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
        values = _values(target, found, version)
        try:
            written, here = _version(target, version, values, new=outcome.action is Action.CREATED, again=again)
        except Failure as failure:
            yield target.refused("version", f"{package.id} {version.version.id}", failure)
            continue
        again = again or written.action is Action.REPLACED
        yield written
        for name in version.secret_names:
            if name not in here.secrets:
                yield Outcome("secret", f"{package.id}/{name}", Action.TO_DO, _VALUE)


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


def _values(target: Target, found: FoundPackage, version: FoundVersion) -> dict[str, str]:
    """Return what the user gives as secrets of a version: by FUNCTION/NAME, with either id, else by NAME."""
    package = found.package
    owners = [owner for owner in (package.id, package.alias) if owner is not None]
    given = {name: target.value(*(f"{owner}/{name}" for owner in owners), name) for name in version.secret_names}
    return {name: value for name, value in given.items() if value is not None}


def _version(
    target: Target, found: FoundVersion, values: Mapping[str, str], *, new: bool, again: bool
) -> tuple[Outcome, package_pb2.Version]:
    """Return what became of a version, and how it is here now; secrets have their names alone."""
    from polycall.cli.show import word
    from polycall.services.package_messages import version_message
    from polycall.v1 import package_service_pb2 as pb

    client, version = target.client, found.version
    shown = f"{version.package_id} {version.id}"
    wanted = version_message(version)
    wanted.secrets.update(values)
    name = str(VersionName(version.package_id, version.id))
    request = pb.GetVersionRequest(name=name)
    here = None if new else target.found(client.packages.GetVersion, request, "VERSION_NOT_FOUND", "PACKAGE_NOT_FOUND")
    action, note = Action.CREATED, ""
    if here is not None:
        differences = version_differences(here, wanted)
        if found.release and here.release_time.seconds == 0:
            differences.append("released")
        if not set(values) <= set(here.secrets):
            differences.append("secrets")
        broken = target.overwrite and word(here, "state") == "ERROR"  # what it lacked may be there by now
        if not differences and not again and not broken:
            return _state(shown, Action.SAME, here), here
        if not target.overwrite:
            return Outcome("version", shown, Action.DIFFERS, ", ".join(differences)), here
        if lost := sorted(set(here.secrets) - set(values)):
            why = f"its secrets ({', '.join(lost)}) would be lost: give them with --secrets."
            return Outcome("version", shown, Action.REFUSED, why), here
        action, note = Action.REPLACED, ", ".join(differences)
    create = _creation(found, wanted, check=target.dry_run, built=not target.dry_run)
    if here is not None and not target.dry_run:
        # what is here goes once it is known that the other can be made
        checked = _state(shown, action, _made(target, _creation(found, wanted, check=True, built=True)))
        if checked.action is Action.REFUSED:
            return checked, here
        client.call(client.packages.DeleteVersion, pb.DeleteVersionRequest(name=name))
    made = _made(target, create)
    return _state(shown, action, made, note), made


def _made(target: Target, request: package_service_pb2.CreateVersionRequest) -> package_pb2.Version:
    what = f"the analysis of {request.parent}/versions/{request.version_id}"
    made: package_pb2.Version = target.client.call(target.client.packages.CreateVersion, request, what=what)
    return made


def _creation(
    found: FoundVersion, wanted: package_pb2.Version, *, check: bool, built: bool
) -> package_service_pb2.CreateVersionRequest:
    """Return what to ask for. ``check``: create nothing. ``built``: its runtime is there by now."""
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
        create_package=check,
        validate_only=check,
    )
    if not built:
        request.version.runtime = ""
    return request


def _state(shown: str, action: Action, version: package_pb2.Version, note: str = "") -> Outcome:
    from polycall.cli.show import word

    if word(version, "state") == "ERROR":
        return Outcome("version", shown, Action.REFUSED, f"its code cannot run: {version.error}")
    return Outcome("version", shown, action, note)
