"""Runtimes and their revisions, built one after the other: versions can only be made on what is built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from polycall.cli.failures import Failure
from polycall.cli.importing.finds import FoundRuntime
from polycall.cli.importing.report import Action, Outcome
from polycall.cli.importing.target import Target
from polycall.names import RevisionName, RuntimeName

if TYPE_CHECKING:
    from polycall.v1 import runtime_pb2

__all__ = ["write_runtime"]

_BUILD_S = 600  # the longest that the server lets anybody wait for a build, and a build may take


def write_runtime(target: Target, found: FoundRuntime) -> Iterator[Outcome]:
    """Yield what became of a runtime and each of its revisions. Raises Failure for what ends an import."""
    from polycall.v1 import runtime_pb2
    from polycall.v1 import runtime_service_pb2 as pb

    runtime = found.runtime
    name = str(RuntimeName(runtime.id))
    language = f"LANGUAGE_{runtime.language.value.upper()}"
    wanted = runtime_pb2.Runtime(language=language, display_name=runtime.display_name)
    client = target.client
    try:
        here = target.found(client.runtimes.GetRuntime, pb.GetRuntimeRequest(name=name), "RUNTIME_NOT_FOUND")
        if here is None:
            request = pb.CreateRuntimeRequest(runtime_id=runtime.id, runtime=wanted, validate_only=target.dry_run)
            client.call(client.runtimes.CreateRuntime, request)
            yield Outcome("runtime", runtime.id, Action.CREATED)
        elif here.language != wanted.language:
            yield Outcome("runtime", runtime.id, Action.REFUSED, "there is one of another language here.")
            return
        else:
            yield Outcome("runtime", runtime.id, Action.SAME)
    except Failure as failure:
        yield target.refused("runtime", runtime.id, failure)
        return
    for revision in found.revisions:
        draft = runtime_pb2.RuntimeRevision(manifest=revision.manifest, additional_imports=revision.additional_imports)
        try:
            yield _revision(target, name, revision.id, draft, new=here is None)
        except Failure as failure:
            yield target.refused("revision", revision.id, failure)


def _revision(
    target: Target, runtime: str, revision_id: str, draft: runtime_pb2.RuntimeRevision, *, new: bool
) -> Outcome:
    from google.protobuf.duration_pb2 import Duration

    from polycall.cli.show import word
    from polycall.v1 import runtime_service_pb2 as pb

    client = target.client
    name = str(RevisionName(RuntimeName.parse(runtime).runtime, revision_id))
    action = Action.SAME
    request = pb.GetRuntimeRevisionRequest(name=name)
    here = None if new else target.found(client.runtimes.GetRuntimeRevision, request, "RUNTIME_NOT_FOUND")
    if here is None:
        if new and target.dry_run:
            return Outcome("revision", revision_id, Action.CREATED)
        action = Action.CREATED
        create = pb.CreateRuntimeRevisionRequest(
            parent=runtime, revision_id=revision_id, revision=draft, validate_only=target.dry_run
        )
        here = client.call(client.runtimes.CreateRuntimeRevision, create)
    elif (here.manifest, here.additional_imports) != (draft.manifest, draft.additional_imports):
        return Outcome("revision", revision_id, Action.DIFFERS, "manifest; a revision never changes.")
    if target.dry_run:
        return Outcome("revision", revision_id, action)
    # versions can only be made on what is built
    wait = pb.WaitRuntimeRevisionRequest(name=name, timeout=Duration(seconds=_BUILD_S))
    built = client.call(client.runtimes.WaitRuntimeRevision, wait, timeout_s=_BUILD_S + 60, what=f"the build of {name}")
    state = word(built, "state")
    if state == "READY":
        return Outcome("revision", revision_id, action)
    why = built.error or "it is not built yet; run the import again once it is"
    return Outcome("revision", revision_id, Action.REFUSED, f"{state}: {why}")
