"""What functions run on: their own requirements, and those that the operator gives to all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from polycall.domain import (
    Language,
    ManifestKind,
    Principal,
    RevisionState,
    Runtime,
    RuntimeRevision,
    Scope,
)
from polycall.engine.runtimes import RevisionDraft, Runtimes
from polycall.errors import AlreadyExists, InvalidArgument, NotFound
from polycall.faces.cognite.runtimes import FunctionRuntimes
from polycall.faces.cognite.undeployable import Undeployable

_WHO = Principal(project_id="default", key_id="k", scopes=frozenset({Scope.DEPLOY, Scope.READ}))


@dataclass
class FakeRuntimes:
    """Builds at once; ``state`` is how that ends."""

    state: RevisionState = RevisionState.READY
    made: dict[str, str] = field(default_factory=dict)

    async def create(self, who: Principal, runtime: Runtime, draft: RevisionDraft) -> None:
        if runtime.id in self.made:
            raise AlreadyExists("polycall.v1.Runtime", runtime.id)
        self.made[runtime.id] = draft.manifest

    async def wait_revision(self, who: Principal, runtime_id: str, revision: str, timeout_s: float) -> RuntimeRevision:
        return RuntimeRevision(
            project_id=who.project_id,
            runtime_id=runtime_id,
            id="r1",
            language=Language.PYTHON,
            manifest_kind=ManifestKind.REQUIREMENTS_TXT,
            manifest=self.made[runtime_id],
            state=self.state,
            created_at=1,
            error="no such package" if self.state is RevisionState.FAILED else None,
            log="x" * 3000 + "the end",
        )

    async def delete(self, who: Principal, runtime_id: str, *, force: bool) -> None:
        if self.made.pop(runtime_id, None) is None:
            raise NotFound.__new__(NotFound)


async def _built(fake: FakeRuntimes, requirements: str, given: str = "") -> str:
    return await FunctionRuntimes(cast("Runtimes", fake), given).built(_WHO, "7", requirements)


@pytest.mark.parametrize("requirements", ["", "\n", "# nothing\n"])
async def test_without_requirements_a_function_runs_on_the_servers_own_runtime(requirements: str) -> None:
    fake = FakeRuntimes()
    assert await _built(fake, requirements) == ""
    assert fake.made == {}


async def test_requirements_become_a_runtime_of_the_function() -> None:
    fake = FakeRuntimes()
    assert await _built(fake, "numpy>=2  # fast\n") == "runtimes/cognite-7/revisions/r1"
    assert await _built(fake, "numpy>=2\n") == "runtimes/cognite-7/revisions/r1"  # begun by an earlier server
    assert fake.made == {"cognite-7": "numpy>=2\n"}
    for _ in range(2):
        await FunctionRuntimes(cast("Runtimes", fake)).delete(_WHO, "7")
    assert fake.made == {}


@pytest.mark.parametrize(
    ("own", "manifest"),
    [
        ("", "cognite-sdk==8.22.0\nrich\n"),
        ("numpy\n", "numpy\ncognite-sdk==8.22.0\nrich\n"),
        ("Cognite_SDK==7.94.2\n", "Cognite_SDK==7.94.2\nrich\n"),
    ],
)
async def test_what_the_operator_gives_is_added_unless_it_is_named(own: str, manifest: str) -> None:
    fake = FakeRuntimes()
    await _built(fake, own, "cognite-sdk==8.22.0, rich")
    assert fake.made == {"cognite-7": manifest}


def test_what_the_operator_gives_must_be_requirements() -> None:
    with pytest.raises(InvalidArgument, match="POLYCALL_COGNITE_REQUIREMENTS"):
        FunctionRuntimes(cast("Runtimes", FakeRuntimes()), "--index-url https://evil.example")


async def test_a_build_that_fails_says_why_with_the_end_of_its_log() -> None:
    with pytest.raises(Undeployable) as caught:
        await _built(FakeRuntimes(RevisionState.FAILED), "nowhere\n")
    assert caught.value.error.message == "requirements.txt could not be installed: no such package"
    assert len(caught.value.error.trace) == 2000
    assert caught.value.error.trace.endswith("xthe end")
