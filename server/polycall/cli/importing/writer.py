"""Writes finds into polycall, natively: what is missing is created, what is there and equal is left alone.

Each object is written by itself, so that an import that was cut short goes on by being run again.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from polycall.cli.client import Client
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.cli.importing.comparing import package_differences, version_differences
from polycall.cli.importing.finds import Finds, FoundPackage, FoundRuntime, FoundSecret, FoundVersion
from polycall.cli.importing.report import Action, Outcome
from polycall.names import PackageName, RevisionName, RuntimeName, SecretName, VersionName

if TYPE_CHECKING:
    from polycall.v1 import package_pb2, package_service_pb2, runtime_pb2

__all__ = ["Writer"]

_BUILD_S = 600  # the longest that the server lets anybody wait for a build, and a build may take
_ENDING = (Exit.UNREACHABLE, Exit.DENIED, Exit.INTERRUPTED)  # nothing that follows would fare better


class Writer:
    """Writes with one client. ``dry_run``: asks and checks, and changes nothing."""

    def __init__(self, client: Client, *, overwrite: bool, dry_run: bool) -> None:
        self._client = client
        self._overwrite = overwrite
        self._dry_run = dry_run

    def write(self, finds: Finds) -> Iterator[Outcome]:
        """Yield what became of each object, once it has. Raises Failure only for what ends the whole import."""
        for remark in finds.remarks:
            yield Outcome(remark.kind, remark.id, Action.REFUSED if remark.refused else Action.LEFT, remark.text)
        for runtime in finds.runtimes:
            yield from self._runtime(runtime)
        for secret in finds.secrets:
            yield self._secret(secret)
        for package in finds.packages:
            yield from self._package(package)

    # runtimes

    def _runtime(self, found: FoundRuntime) -> Iterator[Outcome]:
        from polycall.v1 import runtime_pb2
        from polycall.v1 import runtime_service_pb2 as pb

        runtime = found.runtime
        name = str(RuntimeName(runtime.id))
        language = f"LANGUAGE_{runtime.language.value.upper()}"
        wanted = runtime_pb2.Runtime(language=language, display_name=runtime.display_name)
        client = self._client
        try:
            here = self._found(client.runtimes.GetRuntime, pb.GetRuntimeRequest(name=name), "RUNTIME_NOT_FOUND")
            if here is None:
                request = pb.CreateRuntimeRequest(runtime_id=runtime.id, runtime=wanted, validate_only=self._dry_run)
                client.call(client.runtimes.CreateRuntime, request)
                yield Outcome("runtime", runtime.id, Action.CREATED)
            elif here.language != wanted.language:
                yield Outcome("runtime", runtime.id, Action.REFUSED, "there is one of another language here.")
                return
            else:
                yield Outcome("runtime", runtime.id, Action.SAME)
        except Failure as failure:
            yield self._refused("runtime", runtime.id, failure)
            return
        for revision in found.revisions:
            draft = runtime_pb2.RuntimeRevision(
                manifest=revision.manifest, additional_imports=revision.additional_imports
            )
            try:
                yield self._revision(name, revision.id, draft, new=here is None)
            except Failure as failure:
                yield self._refused("revision", revision.id, failure)

    def _revision(self, runtime: str, revision_id: str, draft: runtime_pb2.RuntimeRevision, *, new: bool) -> Outcome:
        from google.protobuf.duration_pb2 import Duration

        from polycall.cli.show import word
        from polycall.v1 import runtime_service_pb2 as pb

        client = self._client
        name = str(RevisionName(RuntimeName.parse(runtime).runtime, revision_id))
        action = Action.SAME
        request = pb.GetRuntimeRevisionRequest(name=name)
        here = None if new else self._found(client.runtimes.GetRuntimeRevision, request, "RUNTIME_NOT_FOUND")
        if here is None:
            if new and self._dry_run:
                return Outcome("revision", revision_id, Action.CREATED)
            action = Action.CREATED
            create = pb.CreateRuntimeRevisionRequest(
                parent=runtime, revision_id=revision_id, revision=draft, validate_only=self._dry_run
            )
            here = client.call(client.runtimes.CreateRuntimeRevision, create)
        elif (here.manifest, here.additional_imports) != (draft.manifest, draft.additional_imports):
            return Outcome("revision", revision_id, Action.DIFFERS, "manifest; a revision never changes.")
        if self._dry_run:
            return Outcome("revision", revision_id, action)
        # versions can only be made on what is built
        wait = pb.WaitRuntimeRevisionRequest(name=name, timeout=Duration(seconds=_BUILD_S))
        built = client.call(
            client.runtimes.WaitRuntimeRevision, wait, timeout_s=_BUILD_S + 60, what=f"the build of {name}"
        )
        state = word(built, "state")
        if state == "READY":
            return Outcome("revision", revision_id, action)
        why = built.error or "it is not built yet; run the import again once it is"
        return Outcome("revision", revision_id, Action.REFUSED, f"{state}: {why}")

    # secrets

    def _secret(self, secret: FoundSecret) -> Outcome:
        """Say what is left to do for a secret: its value is the user's to give."""
        from polycall.v1 import secret_service_pb2 as pb

        request = pb.GetSecretRequest(name=str(SecretName(secret.id)))
        try:
            if self._found(self._client.secrets.GetSecret, request, "SECRET_NOT_FOUND") is not None:
                return Outcome("secret", secret.id, Action.SAME)
        except Failure as failure:
            return self._refused("secret", secret.id, failure)
        command = shlex.join(["polycall", "secrets", "create", secret.name, "--id", secret.id])
        return Outcome("secret", secret.id, Action.TO_DO, f"no vendor tells its value; give it: {command}")

    # packages

    def _package(self, found: FoundPackage) -> Iterator[Outcome]:
        from polycall.services.package_messages import package_message

        package = found.package
        wanted = package_message(package)
        try:
            outcome = self._written(package.id, wanted)
        except Failure as failure:
            outcome = self._refused("package", package.id, failure)
        yield outcome
        if outcome.action is Action.REFUSED:
            return
        again = False  # a version that is made anew is the newest, so those after it have to be, too
        for version in found.versions:
            try:
                written = self._version(version, new=outcome.action is Action.CREATED, again=again)
            except Failure as failure:
                written = self._refused("version", f"{package.id} {version.version.id}", failure)
            again = again or written.action is Action.REPLACED
            yield written

    def _written(self, package_id: str, wanted: package_pb2.Package) -> Outcome:
        from google.protobuf.field_mask_pb2 import FieldMask

        from polycall.v1 import package_service_pb2 as pb

        client = self._client
        request = pb.GetPackageRequest(name=str(PackageName(package_id)))
        here = self._found(client.packages.GetPackage, request, "PACKAGE_NOT_FOUND")
        if here is None:
            create = pb.CreatePackageRequest(package_id=package_id, package=wanted, validate_only=self._dry_run)
            client.call(client.packages.CreatePackage, create)
            return Outcome("package", package_id, Action.CREATED)
        if here.face != wanted.face:
            whose = f"{here.face}'s" if here.face else "made natively"
            why = f"there is a package of this id here that is {whose}. Delete it, or import into another project."
            return Outcome("package", package_id, Action.REFUSED, why)
        differences = package_differences(here, wanted)
        if not differences:
            return Outcome("package", package_id, Action.SAME)
        if not self._overwrite:
            return Outcome("package", package_id, Action.DIFFERS, ", ".join(differences))
        wanted.name = here.name
        change = pb.UpdatePackageRequest(
            package=wanted, update_mask=FieldMask(paths=differences), validate_only=self._dry_run
        )
        client.call(client.packages.UpdatePackage, change)
        return Outcome("package", package_id, Action.REPLACED, ", ".join(differences))

    def _version(self, found: FoundVersion, *, new: bool, again: bool) -> Outcome:
        from polycall.cli.show import word
        from polycall.services.package_messages import version_message
        from polycall.v1 import package_service_pb2 as pb

        client, version = self._client, found.version
        shown = f"{version.package_id} {version.id}"
        wanted = version_message(version)
        name = str(VersionName(version.package_id, version.id))
        request = pb.GetVersionRequest(name=name)
        here = (
            None if new else self._found(client.packages.GetVersion, request, "VERSION_NOT_FOUND", "PACKAGE_NOT_FOUND")
        )
        action, note = Action.CREATED, ""
        if here is not None:
            differences = version_differences(here, wanted)
            if found.release and here.release_time.seconds == 0:
                differences.append("released")
            broken = self._overwrite and word(here, "state") == "ERROR"  # what it lacked may be there by now
            if not differences and not again and not broken:
                return self._state("version", shown, Action.SAME, here)
            if not self._overwrite:
                return Outcome("version", shown, Action.DIFFERS, ", ".join(differences))
            action, note = Action.REPLACED, ", ".join(differences)
            if not self._dry_run:
                client.call(client.packages.DeleteVersion, pb.DeleteVersionRequest(name=name))
        create = self._creation(found, wanted)
        made = client.call(client.packages.CreateVersion, create, what=f"the analysis of {name}")
        return self._state("version", shown, action, made, note)

    def _creation(self, found: FoundVersion, wanted: package_pb2.Version) -> package_service_pb2.CreateVersionRequest:
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
            create_package=self._dry_run,
            validate_only=self._dry_run,
        )
        if self._dry_run:
            request.version.runtime = ""  # it may be one that would be built first
        return request

    # within

    def _state(self, kind: str, shown: str, action: Action, version: package_pb2.Version, note: str = "") -> Outcome:
        from polycall.cli.show import word

        if word(version, "state") == "ERROR":
            return Outcome(kind, shown, Action.REFUSED, f"its code cannot run: {version.error}")
        return Outcome(kind, shown, action, note)

    def _found(self, method: Callable[..., Any], request: Any, *reasons: str) -> Any:
        """Return what is there, None if nothing is. Raises Failure."""
        try:
            return self._client.call(method, request)
        except Failure as failure:
            if failure.reason not in reasons:
                raise
            return None

    def _refused(self, kind: str, shown: str, failure: Failure) -> Outcome:
        if failure.code in _ENDING:
            raise failure
        return Outcome(kind, shown, Action.REFUSED, failure.message)
