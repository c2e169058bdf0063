"""What can be called, and how arguments reach it."""

from __future__ import annotations

import enum

from polycall.quick import dataclass

__all__ = ["Convention", "DeclaredType", "Function", "InputFile", "Language", "Parameter", "SchemaOrigin"]


class Language(enum.StrEnum):
    """What code is written in."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    TYPESCRIPT = "typescript"


class Convention(enum.StrEnum):
    """How arguments reach the code."""

    INPUT = "input"  # execute(input)
    KEYWORDS = "keywords"  # f(**input)
    PARAMETERS = "parameters"  # declared inputs, taken by name from the input, passed by position
    HANDLE = "handle"  # handle(client, data, secrets, function_call_info), by the names it declares
    SCRIPT = "script"  # run the file; stdin, args, exit code


class SchemaOrigin(enum.StrEnum):
    """Where the schemas of a function come from."""

    DECLARED = "declared"  # whoever made the version
    SOURCE = "source"  # the text of the source; nothing of it ran
    IMPORT = "import"  # pydantic, asked in a sandbox in which the module was imported


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file put into the work directory before the code starts. ``path`` is relative."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredType:
    """A declared type of an input or an output, in the words of the package's own contract."""

    type: str  # e.g. "number", "text", "object"; "" = any JSON value
    is_list: bool = False
    nullable: bool = False
    children: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One declared input of a function."""

    name: str
    declared: DeclaredType
    default: bytes | None = None  # JSON text; None = no default
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One callable entry point of a version."""

    name: str
    entrypoint: str  # "module:callable", or the file for SCRIPT
    convention: Convention
    input_schema: bytes | None = None  # JSON Schema text
    output_schema: bytes | None = None  # of what it returns; None: not known
    schema_origin: SchemaOrigin | None = None  # None: of an earlier release, or there are none
    parameters: tuple[Parameter, ...] = ()  # PARAMETERS: in declared order
    output: DeclaredType | None = None
    display_name: str = ""
    description: str = ""
    private: bool = False  # not callable from outside
    accepts_any: bool = False  # takes **kwargs: members the schema does not know are passed on
