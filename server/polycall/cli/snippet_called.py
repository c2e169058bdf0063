"""Code that calls a deployed function, as it stands: what is needed for it, and who writes it for which contract."""

from __future__ import annotations

import json
import pprint
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from polycall.names import FunctionName, PackageName, VersionName
from polycall.quick import dataclass

if TYPE_CHECKING:
    from polycall.v1.package_pb2 import Function, Package, Version

__all__ = ["KEY", "Called", "NotCallable", "Snippet", "literal", "python_text"]

KEY = "POLYCALL_API_KEY"  # the environment variable that every snippet reads the key from
_WIDTH = 88


class NotCallable(Failure):
    """Raised for a function that a contract cannot call; says why, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.USAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What is called, where, and with what. ``version`` is set if the user named one."""

    package: Package
    version: Version
    function: Function
    named_version: bool
    input_json: str
    rest: str  # base URL
    grpc: str  # address
    project: str

    @property
    def package_id(self) -> str:
        """The package's id, as it is."""
        return PackageName.parse(self.package.name).package

    @property
    def version_id(self) -> str:
        """The version's id, as it is."""
        return VersionName.parse(self.version.name).version

    @property
    def name(self) -> FunctionName:
        """The name to call it by; with a version only if the user named one."""
        return FunctionName(self.package_id, self.version_id if self.named_version else None, self.function.name)

    @property
    def input(self) -> Any:
        """The input as Python has it."""
        return json.loads(self.input_json)

    def members(self, contract: str) -> dict[str, Any]:
        """Return the input if it is an object. Raises NotCallable."""
        if not isinstance(self.input, dict):
            raise NotCallable(f"{contract} passes an object, and the input is none; give one with --input.")
        return dict(self.input)


Snippet = Callable[[Called], str]
Snippets = Mapping[str, Snippet]


def python_text(text: str) -> str:
    """Return a text as Python writes it, in ASCII: ids and schemas come from others."""
    written = ascii(text)
    return written if '"' in written else f'"{written[1:-1]}"'


def literal(value: Any, indent: int) -> str:
    """Return a value as Python writes it, in ASCII, over several lines if it is long."""
    text = pprint.pformat(value, width=_WIDTH - indent, sort_dicts=False)
    if not text.isascii():
        text = ascii(value)
    return text.replace("\n", "\n" + " " * indent)
