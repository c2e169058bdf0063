"""The types from outside of a source that are known, and what JSON they are.

At run time a function gets what JSON holds: a ``datetime`` arrives as the text that its caller sent. So the schemas
say what that text looks like (``format``), in the words of JSON Schema where it has one and of pydantic otherwise.
"""

from __future__ import annotations

import sys
from typing import Any

from polycall.engine.signatures.modules import Outside

__all__ = [
    "ARRAYS",
    "AWAITABLES",
    "CONSTRAINED",
    "OBJECTS",
    "TRANSPARENT",
    "TUPLES",
    "known_name",
    "of_stdlib",
    "scalar",
]

Schema = dict[str, Any]

# Packages whose names mean what they say; a `List` of any other is somebody's own.
_PACKAGES = {
    *("", "builtins", "typing", "typing_extensions", "collections", "types", "numbers", "re", "os", "pathlib"),
    *("datetime", "uuid", "decimal", "ipaddress", "enum", "dataclasses"),
    *("pydantic", "annotated_types", "attr", "attrs", "msgspec"),
}

OBJECTS = {
    *("dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict"),
    *("ChainMap", "Counter", "MappingProxyType"),
}
ARRAYS = {
    *("list", "List", "set", "Set", "frozenset", "FrozenSet", "deque", "Deque"),
    *("Sequence", "MutableSequence", "Iterable", "Collection", "AbstractSet", "MutableSet"),
}
TUPLES = {"tuple", "Tuple"}
TRANSPARENT = {"Final", "ClassVar", "Required", "NotRequired", "ReadOnly", "InitVar"}
AWAITABLES = {"Awaitable", "Coroutine"}
# pydantic's functions that make a type: what they are made of, which constraints they take by name
CONSTRAINED = {"conint": "int", "confloat": "float", "constr": "str", "conbytes": "bytes", "condecimal": "Decimal"}

_PLAIN = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null", "NoneType": "null"}
_ALIKE = {
    **dict.fromkeys(("LiteralString", "AnyStr", "StrictStr"), "str"),
    **dict.fromkeys(("StrictInt", "Integral"), "int"),
    **dict.fromkeys(("StrictFloat", "FiniteFloat", "Number", "Real"), "float"),
    "StrictBool": "bool",
}
_FORMATS = {
    **dict.fromkeys(("datetime", "AwareDatetime", "NaiveDatetime", "PastDatetime", "FutureDatetime"), "date-time"),
    **dict.fromkeys(("date", "PastDate", "FutureDate"), "date"),
    "time": "time",
    "timedelta": "duration",
    **dict.fromkeys(("UUID", "UUID1", "UUID3", "UUID4", "UUID5", "UUID6", "UUID7", "UUID8"), "uuid"),
    **dict.fromkeys(("bytes", "bytearray", "memoryview", "StrictBytes"), "binary"),
    **dict.fromkeys(("Path", "PurePath", "PosixPath", "PurePosixPath", "PathLike", "NewPath"), "path"),
    "FilePath": "file-path",
    "DirectoryPath": "directory-path",
    "IPv4Address": "ipv4",
    "IPv6Address": "ipv6",
    "IPv4Network": "ipv4network",
    "IPv6Network": "ipv6network",
    "IPvAnyAddress": "ipvanyaddress",
    "Pattern": "regex",
    "EmailStr": "email",
    "NameEmail": "name-email",
    **dict.fromkeys(("AnyUrl", "AnyHttpUrl", "HttpUrl", "FileUrl", "WebsocketUrl"), "uri"),
    **dict.fromkeys(("Base64Str", "Base64Bytes"), "base64"),
    "Json": "json-string",
}
_SECRETS = {"SecretStr", "SecretBytes"}
_BOUNDS = {
    "Positive": {"exclusiveMinimum": 0},
    "Negative": {"exclusiveMaximum": 0},
    "NonNegative": {"minimum": 0},
    "NonPositive": {"maximum": 0},
}
_ANY = {"Any", "object", "JsonValue", "Hashable", "Never", "NoReturn"}


def known_name(symbol: Outside) -> str:
    """Return the bare name of a known package's type, however it was imported; "" for other packages."""
    return symbol.name if symbol.module.partition(".")[0] in _PACKAGES else ""


def of_stdlib(symbol: Outside) -> bool:
    """Return whether an import could tell no more: it comes from the standard library, or from nowhere."""
    return symbol.module == "" or symbol.module.partition(".")[0] in sys.stdlib_module_names


def scalar(name: str) -> Schema | None:
    """Return the schema of a type without parameters; ``{}``: any value; None: not known."""
    name = _ALIKE.get(name, name)
    if name in _PLAIN:
        return {"type": _PLAIN[name]}
    if name in _FORMATS:
        return {"type": "string", "format": _FORMATS[name]}
    if name == "Decimal":
        return {"anyOf": [{"type": "number"}, {"type": "string", "format": "decimal"}]}
    if name in _SECRETS:
        return {"type": "string", "format": "password", "writeOnly": True}
    for prefix, bounds in _BOUNDS.items():
        if name in (f"{prefix}Int", f"{prefix}Float"):
            return {"type": "integer" if name.endswith("Int") else "number", **bounds}
    if name in OBJECTS:
        return {"type": "object"}
    if name in ARRAYS or name in TUPLES:
        return {"type": "array"}
    return {} if name in _ANY else None
