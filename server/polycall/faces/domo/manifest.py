"""A version's manifest: its typed functions and its configuration, as they are sent, kept and shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from polycall.domain import Convention, DeclaredType, Function, Parameter
from polycall.errors import FieldViolation, InvalidArgument
from polycall.faces.domo.types import Mismatch, fit, type_name
from polycall.faces.wire import decode, present

__all__ = ["Configuration", "FunctionSpec", "Manifest", "VariableSpec", "engine_function", "read_manifest"]

_LONGEST_MANIFEST = 1 << 20  # bytes; as large as the code may be
_DEEPEST = 32  # children of children: far more than anybody declares
_WHERE = "manifest"


class VariableSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An input, an output, or a child of one. ``type`` "" takes any value."""

    name: str = ""
    display_name: str | None = None
    type: str = ""
    is_list: bool = False
    nullable: bool = False
    children: tuple[VariableSpec, ...] | None = None
    default_values: msgspec.Raw = msgspec.Raw(b"null")
    entity_sub_type: msgspec.Raw = msgspec.Raw(b"null")


class FunctionSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One function of a manifest."""

    name: str
    display_name: str | None = None
    description: str | None = None
    is_private: bool = False
    inputs: tuple[VariableSpec, ...] = ()
    output: VariableSpec | None = None
    has_return: bool = False
    example: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def public(self) -> bool:
        """Whether it can be called from outside."""
        return not self.is_private and not self.name.startswith("_")


class Configuration(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a version is given beside its inputs."""

    accounts_mapping: tuple[msgspec.Raw, ...] = ()
    ml_model: tuple[msgspec.Raw, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a manifest. ``functions`` None: they are to be derived from the code."""

    functions: tuple[FunctionSpec, ...] | None = None
    configuration: Configuration = Configuration()
    aliases: tuple[msgspec.Raw, ...] = ()


class _Variable(msgspec.Struct, rename="camel"):
    name: str | None = None
    display_name: str | None = None
    type: str | None = None
    is_list: bool | None = None
    list: bool | None = None  # as it was once called
    nullable: bool | None = None
    allow_null: bool | None = None  # as it was once called
    children: tuple[_Variable, ...] | None = None
    default_values: msgspec.Raw = msgspec.Raw(b"null")
    entity_sub_type: msgspec.Raw = msgspec.Raw(b"null")


class _Function(msgspec.Struct, rename="camel"):
    name: str
    display_name: str | None = None
    description: str | None = None
    is_private: bool | None = None
    inputs: tuple[_Variable, ...] | None = None
    output: _Variable | None = None
    example: msgspec.Raw = msgspec.Raw(b"null")


class _Configuration(msgspec.Struct, rename="camel"):
    accounts_mapping: tuple[msgspec.Raw, ...] | None = None
    ml_model: tuple[msgspec.Raw, ...] | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    functions: tuple[_Function, ...] | None = None
    configuration: _Configuration | None = None
    account_alias_configuration: tuple[msgspec.Raw, ...] | None = None


def read_manifest(raw: bytes | None) -> Manifest:
    """Read a manifest; none, or one without functions, leaves them to the code. Raises InvalidArgument."""
    if raw is None:
        return Manifest()
    if len(raw) > _LONGEST_MANIFEST:
        raise InvalidArgument.of(_WHERE, f"has {len(raw)} bytes; at most {_LONGEST_MANIFEST}")
    try:
        sent = decode(raw, _Manifest)
    except InvalidArgument as error:
        raise InvalidArgument([_below(violation) for violation in error.violations]) from None
    wrong: list[FieldViolation] = []
    functions = tuple(_functions(sent.functions or (), wrong))
    if wrong:
        raise InvalidArgument(wrong)
    configured = sent.configuration or _Configuration()
    return Manifest(
        functions=functions or None,
        configuration=Configuration(
            accounts_mapping=configured.accounts_mapping or (), ml_model=configured.ml_model or ()
        ),
        aliases=sent.account_alias_configuration or (),
    )


def engine_function(spec: FunctionSpec) -> Function:
    """Return the function as the engine has it: what it declares is bound by name and passed by position."""
    return Function(
        name=spec.name,
        entrypoint="",  # of the only module there is
        convention=Convention.PARAMETERS if spec.inputs else Convention.KEYWORDS,
        parameters=tuple(map(_parameter, spec.inputs)),
        output=None if spec.output is None else declared_type(spec.output),
        display_name=spec.display_name or "",
        description=spec.description or "",
        private=not spec.public,
    )


def declared_type(spec: VariableSpec) -> DeclaredType:
    """Return a variable's type as the engine has it."""
    return DeclaredType(
        type=spec.type,
        is_list=spec.is_list,
        nullable=spec.nullable,
        children=tuple(map(_parameter, spec.children or ())),
    )


def _parameter(spec: VariableSpec) -> Parameter:
    return Parameter(
        name=spec.name,
        declared=declared_type(spec),
        default=present(spec.default_values),
        display_name=spec.display_name or "",
    )


def _below(violation: FieldViolation) -> FieldViolation:
    return FieldViolation(f"{_WHERE}.{violation.field}" if violation.field else _WHERE, violation.description)


def _functions(sent: Sequence[_Function], wrong: list[FieldViolation]) -> Iterator[FunctionSpec]:
    seen: set[str] = set()
    for index, each in enumerate(sent):
        at = f"{_WHERE}.functions[{index}]"
        if each.name in seen:
            wrong.append(FieldViolation(f"{at}.name", f"{each.name[:100]!r} stands there twice"))
        seen.add(each.name)
        output = None if each.output is None else _variable(each.output, f"{at}.output", wrong, named=False)
        yield FunctionSpec(
            name=each.name,
            display_name=each.display_name,
            description=each.description,
            is_private=each.is_private or False,
            inputs=tuple(_variables(each.inputs or (), f"{at}.inputs", wrong)),
            output=output,
            has_return=output is not None,
            example=each.example,
        )


def _variables(
    sent: Sequence[_Variable], at: str, wrong: list[FieldViolation], depth: int = 0
) -> Iterator[VariableSpec]:
    seen: set[str] = set()
    for index, each in enumerate(sent):
        if each.name in seen:
            wrong.append(FieldViolation(f"{at}[{index}].name", f"{each.name[:100]!r} stands there twice"))
        seen.add(each.name or "")
        yield _variable(each, f"{at}[{index}]", wrong, depth)


def _variable(
    sent: _Variable, at: str, wrong: list[FieldViolation], depth: int = 0, *, named: bool = True
) -> VariableSpec:
    if named and not sent.name:
        wrong.append(FieldViolation(f"{at}.name", "must be set"))
    if depth > _DEEPEST:
        wrong.append(FieldViolation(at, f"is nested more than {_DEEPEST} levels deep"))
        return VariableSpec()
    kind = type_name(sent.type or "")
    if kind is None:
        wrong.append(FieldViolation(f"{at}.type", f"{(sent.type or '')[:100]!r} is no type"))
    children = sent.children
    spec = VariableSpec(
        name=sent.name or "",
        display_name=sent.display_name,
        type=kind or "",
        is_list=sent.is_list or sent.list or False,
        nullable=sent.nullable or sent.allow_null or False,
        children=None if children is None else tuple(_variables(children, f"{at}.children", wrong, depth + 1)),
        entity_sub_type=sent.entity_sub_type,
    )
    return msgspec.structs.replace(
        spec, default_values=_default(sent.default_values, spec, f"{at}.defaultValues", wrong)
    )


def _default(sent: msgspec.Raw, spec: VariableSpec, at: str, wrong: list[FieldViolation]) -> msgspec.Raw:
    """Return a default that fits; the only item of a list stands for a value that is no list."""
    value = present(sent)
    declared = declared_type(spec)
    candidates: list[bytes] = [] if value is None else [value]
    if value is not None and value.startswith(b"[") and not spec.is_list:
        items = decode(value, list[msgspec.Raw])
        if not items:
            return msgspec.Raw(b"null")
        candidates += map(bytes, items[:1] if len(items) == 1 else ())
    problem: Mismatch | None = None
    for candidate in candidates:
        try:
            return msgspec.Raw(fit(candidate, declared))
        except Mismatch as mismatch:
            problem = problem or mismatch
    if problem is not None:
        wrong.append(FieldViolation(at, str(problem)))
    return msgspec.Raw(b"null")
