"""The other server processes of this machine, as the engine sees them: who has to hear of a change."""

from __future__ import annotations

import uuid
from typing import Protocol, TypeAlias

import msgspec

__all__ = [
    "ALONE",
    "Alone",
    "BuildAsked",
    "CallAccepted",
    "CancelAsked",
    "EndsAwaited",
    "ExecutionsEnded",
    "KeyRevoked",
    "News",
    "NodeJoined",
    "PackageChanged",
    "RecordAsked",
    "RuntimeDeleted",
    "SecretChanged",
    "Siblings",
]


class KeyRevoked(msgspec.Struct, frozen=True, tag="key"):
    """A key is not valid any more."""

    key_id: str


class PackageChanged(msgspec.Struct, frozen=True, tag="package"):
    """A package has another version, or one less; ``gone``: these must not be run any more ("" is all of them)."""

    project_id: str
    package_id: str
    gone: str | None = None


class CallAccepted(msgspec.Struct, frozen=True, tag="call"):
    """A project has a Call in the queue that nobody has a slot for here."""

    project_id: str


class CancelAsked(msgspec.Struct, frozen=True, tag="cancel"):
    """An execution shall be stopped by whoever runs it."""

    project_id: str
    execution_id: str


class EndsAwaited(msgspec.Struct, frozen=True, tag="await"):
    """Somebody waits for the ends of executions; whoever ends one shall say so."""

    ids: tuple[uuid.UUID, ...]


class ExecutionsEnded(msgspec.Struct, frozen=True, tag="ended"):
    """Executions that somebody waits for have ended; (): some of which nobody knows the ids."""

    ids: tuple[uuid.UUID, ...]


class RuntimeDeleted(msgspec.Struct, frozen=True, tag="runtime"):
    """A runtime and its revisions are gone."""

    project_id: str
    runtime_id: str


class SecretChanged(msgspec.Struct, frozen=True, tag="secret"):
    """A secret of a project has another value, is new, or is gone."""

    project_id: str


class BuildAsked(msgspec.Struct, frozen=True, tag="build"):
    """Whether anybody builds a revision, or is about to."""

    project_id: str
    revision_id: str


class NodeJoined(msgspec.Struct, frozen=True, tag="node"):
    """Another server takes part from now on, and has to hear of every change."""

    node: str


class RecordAsked(msgspec.Struct, frozen=True, tag="record"):
    """An execution that is not in the database, by its id or by a face's; whoever has it shall write it."""

    project_id: str
    execution_id: str = ""
    face: str = ""
    alias: str = ""


News: TypeAlias = (
    KeyRevoked
    | PackageChanged
    | RuntimeDeleted
    | SecretChanged
    | BuildAsked
    | RecordAsked
    | NodeJoined
    | CallAccepted
    | CancelAsked
    | EndsAwaited
    | ExecutionsEnded
)


class Siblings(Protocol):
    """The other processes."""

    @property
    def some(self) -> bool:
        """Whether there are any."""

    async def tell(self, news: News) -> bool:
        """Tell all of them, and return once they have heard it: whether it meant something to any of them.

        Bounded: one that does not answer is not waited for longer than three seconds, which is logged.
        """

    def hint(self, news: News) -> None:
        """Tell all of them without waiting; it may be lost."""


class Alone:
    """There are none."""

    some = False

    async def tell(self, news: News) -> bool:
        """Return False at once."""
        return False

    def hint(self, news: News) -> None:
        """Do nothing."""


ALONE = Alone()
