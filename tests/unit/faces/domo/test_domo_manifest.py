"""Manifests: what is read of them, what is wrong with them, and what the engine makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from polycall.domain import Convention, DeclaredType, Parameter
from polycall.errors import InvalidArgument
from polycall.faces.domo.accounts import Mapped, check_accounts, mapped_accounts
from polycall.faces.domo.manifest import Manifest, engine_function, read_manifest


def read(**manifest: Any) -> Manifest:
    return read_manifest(json.dumps(manifest).encode())


def one(*inputs: dict[str, Any], **function: Any) -> Any:
    (spec,) = read(functions=[{"name": "f", "inputs": inputs, **function}]).functions or ()
    return spec


@pytest.mark.parametrize("manifest", [{}, {"functions": None}, {"functions": []}, {"configuration": None, "x": 1}])
def test_without_functions_they_are_left_to_the_code(manifest: dict[str, Any]) -> None:
    assert read(**manifest) == Manifest() == read_manifest(None)


def test_old_spellings_and_any_case_are_understood() -> None:
    spec = one(
        {"name": "a", "type": "DateTime", "list": True, "allowNull": True},
        {"name": "b", "type": "ACCOUNT", "isList": None, "nullable": None, "displayName": "B"},
        {"name": "c"},
    )
    assert [(v.type, v.is_list, v.nullable) for v in spec.inputs] == [
        ("dateTime", True, True),
        ("account", False, False),
        ("", False, False),
    ]
    assert spec.inputs[1].display_name == "B"


@pytest.mark.parametrize(
    ("declared", "given", "kept"),
    [
        ({"type": "number"}, 3.0, b"3"),
        ({"type": "number"}, [3], b"3"),
        ({"type": "number", "isList": True}, [3], b"[3]"),
        ({"type": "text"}, [], None),
        ({"type": "text"}, None, None),
        ({"type": "object"}, {"a": 1}, b'{"a": 1}'),
        ({}, [1, 2], b"[1, 2]"),
        ({}, [1], b"[1]"),
    ],
)
def test_a_default_is_the_value_or_the_only_one_of_a_list(declared: Any, given: Any, kept: bytes | None) -> None:
    function = engine_function(one({"name": "a", **declared, "defaultValues": given}))
    assert function.parameters[0].default == kept


def test_the_engine_binds_declared_inputs_by_position_and_others_by_keyword() -> None:
    child = {"name": "id", "type": "text"}
    spec = one({"name": "a", "type": "object", "children": [child]}, output={"type": "number", "nullable": True})
    function = engine_function(spec)
    inner = Parameter(name="id", declared=DeclaredType(type="text"))
    assert function.parameters == (Parameter(name="a", declared=DeclaredType(type="object", children=(inner,))),)
    assert (function.convention, function.entrypoint, function.private) == (Convention.PARAMETERS, "", False)
    assert function.output == DeclaredType(type="number", nullable=True)
    assert engine_function(one()).convention is Convention.KEYWORDS
    assert [engine_function(one(isPrivate=True)).private, engine_function(one()).private] == [True, False]
    assert engine_function((read(functions=[{"name": "_f"}]).functions or ())[0]).private


def nested(depth: int) -> dict[str, Any]:
    variable: dict[str, Any] = {"name": "x"}
    for _ in range(depth):
        variable = {"name": "x", "children": [variable]}
    return variable


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"[]", "manifest: the body has the wrong shape: Expected `object`, got `array`"),
        (b'{"functions":[{"name":1}]}', "manifest.functions[0].name: Expected `str`, got `int`"),
        (
            b'{"functions":[{"name":"f","inputs":[{"name":"a"},{"name":"a"}]}]}',
            "inputs[1].name: 'a' stands there twice",
        ),
        (b'{"functions":[{"name":"f","output":{"type":"list"}}]}', "functions[0].output.type: 'list' is no type"),
        (
            json.dumps({"functions": [{"name": "f", "inputs": [nested(40)]}]}).encode(),
            "is nested more than 32 levels deep",
        ),
        (b'{"x":"' + b"x" * (1 << 20) + b'"}', "manifest: has 1048584 bytes; at most 1048576"),
        (b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "manifest: the body is nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(manifest: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_manifest(manifest)
    assert message in refused.value.message


def test_accounts_are_mapped_in_every_form_that_clients_send() -> None:
    entries = [
        {"accountId": 92, "alias": "shop"},
        {"accountId": "a"},
        {"alias": "b", "accountId": None},
        "c",
        7,
        {},
        None,
        True,
        [],
        {"accountId": True},
    ]
    manifest = read(configuration={"accountsMapping": entries}, accountAliasConfiguration=[{"alias": "x"}])
    assert mapped_accounts((*manifest.configuration.accounts_mapping, *manifest.aliases)) == (
        Mapped("shop", "92"),
        Mapped("a", "a"),
        Mapped("b", "b"),
        Mapped("c", "c"),
        Mapped("7", "7"),
        Mapped("x", "x"),
    )


@pytest.mark.parametrize("entries", [["a"] * 65, [float("1e308"), "no number"]])
def test_accounts_that_cannot_be_mapped_are_refused(entries: list[Any]) -> None:
    text = json.dumps({"configuration": {"accountsMapping": entries}}).replace("1e+308", "1e+999")
    with pytest.raises(InvalidArgument, match=r"manifest\.configuration\.accountsMapping: "):
        check_accounts(read_manifest(text.encode()))
