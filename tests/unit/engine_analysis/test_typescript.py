"""polycall.engine.typescript: from types and comments to JSON Schema, one row each."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycall.engine.signatures.report import Signature
from polycall.engine.typescript.functions import describe
from polycall.engine.typescript.scripts import Scripts

STR, NUM, BOOL, NULL = {"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}


def signature(
    source: str, name: str = "f", convention: str = "keywords", path: str = "main.ts", **more: str
) -> Signature:
    files = {f"{stem}.ts": text.encode() for stem, text in more.items()} | {path: source.encode()}
    (found,) = describe(Scripts(files.get), path, [name], convention)
    return found


def schema(source: str, **options: str) -> Any:
    text = signature(source, **options).input_schema
    return json.loads(text) if text else None


def of(kind: str, before: str = "", **more: str) -> Any:
    """Return the schema of a type, as that of a parameter beside another."""
    return schema(f"{before}\nexport function f(a: {kind}, other: any) {{}}", **more)["properties"]["a"]


def obj(required: list[str] | None = None, /, **properties: Any) -> Any:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("string", STR),
        ("number", NUM),
        ("boolean", BOOL),
        ("null", NULL),
        ("any", {}),
        ("unknown", {}),
        ("object", {"type": "object"}),
        ("never", {}),
        ("bigint", {}),
        ("symbol", {}),
        ("Function", {}),
        ("(a: number) => void", {}),
        ("Map<string, number>", {}),
        ("Uint8Array", {}),
        ("SomethingElse", {}),
        ("Date", {"type": "string", "format": "date-time"}),
        ("URL", {"type": "string", "format": "uri"}),
        ("'a'", {"enum": ["a"]}),
        ("-1.5", {"enum": [-1.5]}),
        ("true", {"enum": [True]}),
        ("`a${string}`", STR),
        ("string[]", {"type": "array", "items": STR}),
        ("readonly string[]", {"type": "array", "items": STR}),
        ("(string | number)[]", {"type": "array", "items": {"anyOf": [STR, NUM]}}),
        ("Array<any>", {"type": "array"}),
        ("ReadonlyArray<Array<number>>", {"type": "array", "items": {"type": "array", "items": NUM}}),
        ("[string, number?]", {"type": "array", "prefixItems": [STR, NUM], "minItems": 1, "maxItems": 2}),
        ("[string, ...number[]]", {"type": "array", "prefixItems": [STR], "minItems": 1, "items": NUM}),
        (
            "[first: string, second?: number]",
            {
                "type": "array",
                "prefixItems": [{"title": "first", **STR}, {"title": "second", **NUM}],
                "minItems": 1,
                "maxItems": 2,
            },
        ),
        ("string | null", {"anyOf": [STR, NULL]}),
        ("string | null | undefined", {"anyOf": [STR, NULL]}),
        ("'a' | 'b' | null", {"anyOf": [{"enum": ["a", "b"]}, NULL]}),
        ("'a' | 1 | true", {"enum": ["a", 1, True]}),
        ("true | false", BOOL),
        ("string | any", {}),
        ("string | string", STR),
        ("{ a: string; b?: number; readonly c: boolean }", obj(["a", "c"], a=STR, b=NUM, c=BOOL)),
        (
            "{ a: string | undefined, 'b-c': 1, m(): void, g: () => void }",
            obj(["b-c"], a=STR, **{"b-c": {"enum": [1]}}),
        ),
        ("{ [key: string]: number }", {**obj(), "additionalProperties": NUM}),
        ("{ a: string, [key: string]: unknown }", {**obj(a=STR), "additionalProperties": True}),
        ("{}", obj()),
        ("{ a: 1 } & { b: 2 }", obj(a={"enum": [1]}, b={"enum": [2]})),
        ("Record<string, number>", {"type": "object", "additionalProperties": NUM}),
        ("Record<string, unknown>", {"type": "object"}),
        ("Record<'a' | 'b', number>", obj(a=NUM, b=NUM)),
        ("Partial<{ a: string, b: number }>", obj([], a=STR, b=NUM)),
        ("Required<{ a?: string }>", obj(a=STR)),
        ("Pick<{ a: string, b: number }, 'a'>", obj(a=STR)),
        ("Omit<{ a: string, b: number }, 'a'>", obj(b=NUM)),
        ("Readonly<{ a: string }>", obj(a=STR)),
        ("NonNullable<string | null>", STR),
        ("Exclude<'a' | 'b' | 'c', 'a'>", {"enum": ["b", "c"]}),
        ("Extract<'a' | 'b', 'a'>", {"enum": ["a"]}),
        ("Awaited<Promise<number>>", NUM),
        ("keyof { a: 1, b: 2 }", {"enum": ["a", "b"]}),
        ("{ a: { b: string } }['a']", obj(b=STR)),
        ("string extends string ? 1 : 2", {}),
        ("typeof other", {}),
    ],
)
def test_each_type_has_its_schema(kind: str, expected: Any) -> None:
    assert of(kind) == expected


@pytest.mark.parametrize(
    ("before", "kind", "expected"),
    [
        ("interface A { x: number }", "A", obj(x=NUM)),
        ("interface A { x: number }\ninterface A { y: string }", "A", obj(x=NUM, y=STR)),
        ("interface B { x: number }\ninterface A extends B { y: string }", "A", obj(x=NUM, y=STR)),
        ("interface A extends Gone { y: string }", "A", {**obj(y=STR), "additionalProperties": True}),
        ("type A = string", "A", STR),
        ("type A = { x: number }", "A", obj(x=NUM)),
        ("type A<T> = { x: T, y: T[] }", "A<string>", obj(x=STR, y={"type": "array", "items": STR})),
        ("type A<T = number> = { x: T }", "A", obj(x=NUM)),
        ("interface A<T extends string> { x: T }", "A", obj(x=STR)),
        ("class A { x = 1; y?: string; private z = 2; static s = 3; #h = 4; go() {} }", "A", obj(["x"], x=NUM, y=STR)),
        ("class A { constructor(public x: number, y: string) {} }", "A", obj(x=NUM)),
        ("class B { x = 1 }\nclass A extends B { y = '' }", "A", obj(x=NUM, y=STR)),
        ("enum A { X, Y = 5, Z, W = 'w' }", "A", {"enum": [0, 5, 6, "w"]}),
        ("const enum A { X = 'x' }", "A", {"enum": ["x"]}),
        ("enum A { X = f() }", "A", {}),
        ("const SIZES = ['s', 'm'] as const", "typeof SIZES[number]", {"enum": ["s", "m"]}),
        ("namespace N { export interface A { x: B } interface B { y: 1 } }", "N.A", obj(x=obj(y={"enum": [1]}))),
        ("type A = A[]", "A", {"type": "array", "items": {"$ref": "#/$defs/A"}}),
        ("type A = B\ntype B = A", "A", {}),
    ],
)
def test_types_of_the_source_are_followed(before: str, kind: str, expected: Any) -> None:
    assert of(kind, before) == expected


def test_recursive_types_refer_to_themselves() -> None:
    found = schema("interface Tree { v: number; kids: Tree[] }\nexport function f(a: Tree, b: string) {}")
    assert found == {
        **obj(a={"$ref": "#/$defs/Tree"}, b=STR),
        "$defs": {"Tree": obj(v=NUM, kids={"type": "array", "items": {"$ref": "#/$defs/Tree"}})},
    }


@pytest.mark.parametrize(
    ("imports", "kind"),
    [
        ("import { Item } from './shop/models.ts'", "Item"),
        ("import type { Item as Thing } from './shop/models.js'", "Thing"),
        ("import { type Item } from './shop/models'", "Item"),
        ("import * as models from './shop/models.ts'", "models.Item"),
        ("import Item from './shop/models.ts'", "Item"),
        ("import { Item } from './shop/index.ts'", "Item"),
        ("import { Renamed } from './shop/index.ts'", "Renamed"),
        ("", "import('./shop/models.ts').Item"),
    ],
)
def test_types_of_other_files_are_found_however_they_are_imported(imports: str, kind: str) -> None:
    files = {
        "shop/models": "export interface Item { name: Name }\ntype Name = string\nexport default Item",
        "shop/index": "export * from './models.ts'\nexport { Item as Renamed } from './models.ts'",
    }
    assert of(kind, imports, **files) == obj(name=STR)


def test_a_function_says_its_parameters_defaults_and_what_it_returns() -> None:
    found = signature(
        """
/**
 * Price an order.
 *
 * More of it.
 * @param order What is ordered.
 * @param rate - The rate.
 * @returns The total.
 */
export async function f(
  this: Window, order: { id: string }, rate = 0.5, note?: string, tags: string[] = ["a"]
): Promise<number> {}
"""
    )
    assert (found.name, found.description) == ("f", "Price an order.")
    assert json.loads(found.input_schema) == {
        "type": "object",
        "properties": {
            "order": {**obj(id=STR), "description": "What is ordered."},
            "rate": {"type": "number", "description": "The rate.", "default": 0.5},
            "note": STR,
            "tags": {"type": "array", "items": STR, "default": ["a"]},
        },
        "required": ["order"],
    }
    assert json.loads(found.output_schema) == {"type": "number", "description": "The total."}


@pytest.mark.parametrize(
    "source",
    [
        "export function f(a: string, b: number) {}",
        "export const f = (a: string, b: number) => 1;",
        "export const f = async function (a: string, b: number) {};",
        "const f = (a: string, b: number) => 1; export { f };",
        "const g = (a: string, b: number) => 1; export { g as f };",
        "function g(a: string, b: number) {}\nexport const f = g;",
        "export default function f(a: string, b: number) {}",
        "function f(a: string, b: number) {}",
        "function f(a: string, b: number) {}\nexport default f;",
        "module.exports = { f(a: string, b: number) {} };",
        "module.exports = { f: (a: string, b: number) => 1 };",
        "function f(a: string, b: number) {}\nmodule.exports = { f };",
        "exports.f = (a: string, b: number) => 1;",
        "module.exports.f = function (a: string, b: number) {};",
        "export const f: (a: string, b: number) => void = g;",
        "export { f } from './other.ts';",
        "export * from './other.ts';",
        "declare function f(a: string, b: number): void;",
    ],
)
def test_a_function_is_found_however_it_is_exported(source: str) -> None:
    other = "export function f(a: string, b: number) {}"
    assert schema(source, other=other) == obj(a=STR, b=NUM)


def test_the_first_of_several_overloads_is_told_and_noted() -> None:
    source = "export function f(a: string, b: 1): string;\nexport function f(a: number, b: 1): number;\n"
    found = signature(source + "export function f(a: any, b: any): any {}")
    assert json.loads(found.input_schema)["properties"]["a"] == STR
    assert [note.message for note in found.notes] == ["f has overloads; this one is what is told"]


@pytest.mark.parametrize(
    ("source", "convention", "expected"),
    [
        ("export function f(input: { n: number }) {}", "keywords", obj(n=NUM)),
        ("export function f(input: { n: number }) {}", "input", obj(n=NUM)),
        ("export function f(input: { n: number }) {}", "parameters", obj(input=obj(n=NUM))),
        ("export function f(text: string) {}", "keywords", obj(text=STR)),
        ("export function f(text: string) {}", "input", STR),
        ("export function f({ a, b = 2 }: { a: string; b?: number }) {}", "keywords", obj(["a"], a=STR, b=NUM)),
        ("export function f({ a, b = 2, ...rest }) {}", "keywords", None),
        ("export function f(a: string, ...rest: number[]) {}", "keywords", None),
        ("export function f() {}", "keywords", obj()),
        ("export function f() {}", "input", None),
        ("export function f(a: string) {}", "script", None),
        ("interface T { t: T[] }\nexport function f(a: T) {}", "keywords", "recursive"),
    ],
)
def test_the_schema_is_that_of_the_input_by_convention(source: str, convention: str, expected: Any) -> None:
    found = schema(source, convention=convention)
    if expected == "recursive":  # its members can be seen at once
        assert list(found) == ["type", "properties", "required", "$defs"]
    elif "...rest })" in source:
        assert found == {
            "type": "object",
            "properties": {"a": {}, "b": {"type": "number", "default": 2}},
            "required": ["a"],
            "additionalProperties": True,
        }
    else:
        assert found == expected


JSDOC = """
/**
 * @typedef {Object} Item An item.
 * @property {number} id - The id.
 * @property {string} [name=none] - Its name.
 */
/** @typedef {import("./models.ts").Order} Order */
/**
 * Adds.
 * @param {Item[]} items - The items.
 * @param {?string} note A note.
 * @param {Object} options
 * @param {number} options.depth How deep.
 * @param {boolean=} options.loud
 * @param {Order} order
 * @param {Array.<string>|Object.<string, number>} x
 * @param {"a"|"b"} [mode="a"]
 * @param {*} rest
 * @returns {Promise<Item>} The sum.
 */
async function f(items, note, options, order, x, mode = "a", rest) {}
module.exports = { f };
"""


def test_javascript_is_read_by_its_comments() -> None:
    found = signature(JSDOC, path="main.js", models="/** An order. */\nexport interface Order { n: number }")
    item = obj(["id"], id={**NUM, "description": "The id."}, name={**STR, "description": "Its name."})
    assert json.loads(found.input_schema) == obj(
        ["items", "note", "options", "order", "x", "rest"],
        items={"type": "array", "items": {"$ref": "#/$defs/Item"}, "description": "The items."}
        if "$defs" in found.input_schema
        else {"type": "array", "items": item, "description": "The items."},
        note={"anyOf": [STR, NULL], "description": "A note."},
        options=obj(["depth"], depth={**NUM, "description": "How deep."}, loud=BOOL),
        order={**obj(n=NUM), "description": "An order."},
        x={"anyOf": [{"type": "array", "items": STR}, {"type": "object", "additionalProperties": NUM}]},
        mode={"enum": ["a", "b"], "default": "a"},
        rest={},
    )
    assert json.loads(found.output_schema) == {**item, "description": "The sum."}


def test_javascript_without_comments_has_names_and_defaults() -> None:
    assert schema("function f(a, b = 2) {}", path="main.js") == {
        "type": "object",
        "properties": {"a": {}, "b": {"default": 2}},
        "required": [],
    }
    assert schema("const f = x => x", path="main.js") is None
    source = "/** @type {(a: string, b?: number) => boolean} */\nconst f = (a, b) => true;"
    assert schema(source, path="main.js") == obj(["a"], a=STR, b=NUM)


def test_comments_describe_members_and_bound_them() -> None:
    before = """
/** How it is sent. */
interface A {
  /** How many. @ignored
   * @minimum 1
   * @maximum 9.5
   * @default 3 */
  n?: number;
  /** @format uuid
   * @minLength 2
   * @deprecated */
  s: string;
}"""
    assert of("A", before) == {
        **obj(
            ["s"],
            n={"type": "number", "description": "How many. @ignored", "minimum": 1, "maximum": 9.5, "default": 3},
            s={"type": "string", "minLength": 2, "format": "uuid", "deprecated": True},
        ),
        "description": "How it is sent.",
    }


def test_what_a_schema_cannot_say_is_noted_with_its_place() -> None:
    found = signature("export function f(\n  a: Map<string, number>, b: Gone.Thing) {}")
    assert [(note.path, note.line, note.column, note.message) for note in found.notes] == [
        ("main.ts", 2, 6, "Map is not known: any value"),
        ("main.ts", 2, 30, "Gone.Thing is not known: any value"),
    ]


def test_functions_that_are_made_by_code_are_not_described() -> None:
    files = {"main.js": b"module.exports = { f: make() }; const g = wrap(x => x);"}
    assert describe(Scripts(files.get), "main.js", ["f", "g", "gone"], "keywords") == []


PIECES = st.sampled_from(
    [
        *("export ", "function f(", "a", ": ", "string", "number", "|", "&", "[", "]", "{", "}", "(", ")", "=>", "<"),
        *(">", "type A = ", "A", "interface A ", "extends ", "enum ", "keyof ", "typeof ", "/** @param {A} a */"),
        *("\n", ",", ";", "=", "'x'", "...", "?"),
    ]
)


@given(st.lists(PIECES, max_size=60).map("".join))
def test_any_text_is_described_or_not(source: str) -> None:
    files = {"main.ts": source.encode()}
    for each in describe(Scripts(files.get), "main.ts", ["f", "A", "default"], "keywords"):
        assert isinstance(json.loads(each.input_schema or "{}"), dict)


def test_hostile_types_end() -> None:
    doubling = "type A0 = string;" + "".join(f"type A{n + 1} = [A{n}, A{n}];" for n in range(60))
    assert len(signature(f"{doubling}\nexport function f(a: A60, b: 1) {{}}").input_schema) < 1_000_000
    deep = "export function f(a: " + "Array<" * 5000 + "string" + ">" * 5000 + ", b: 1) {}"
    assert signature(deep).input_schema
    wide = "export function f(a: " + "|".join(f"'{n}'" for n in range(50_000)) + ", b: 1) {}"
    assert signature(wide).input_schema
    bases = "".join(f"interface A{n} extends A{n + 1}, A{n + 2} {{ x{n}: 1 }}\n" for n in range(200))
    assert signature(f"{bases}export function f(a: A0, b: 1) {{}}").input_schema
    many = "".join(f"interface B{n} extends {', '.join(f'B{n + m}' for m in range(1, 9))} {{}}\n" for n in range(30))
    assert signature(f"{many}export function f(a: B0, b: 1) {{}}").input_schema
    generic = "type A<T> = { x: A<T[]> }\nexport function f(a: A<string>, b: 1) {}"
    assert signature(generic).input_schema
