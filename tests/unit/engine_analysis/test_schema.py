"""polycall.engine.schema: from type hints to JSON Schema."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.engine_analysis.here import analyze

INT, STR, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}


def of(hint: str, before: str = "", **more: str) -> Any:
    return schema_of(hint, before, **more)["properties"]["a"]


def schema_of(hint: str, before: str = "", **more: str) -> Any:
    files = {f"{name}.py": text.encode() for name, text in more.items()}
    analysis = analyze(files | {"main.py": f"{before}\ndef f(a: {hint}): ...".encode()})
    assert analysis.problems == ()
    return json.loads(analysis.functions[-1].input_schema or b"")


def default(text: str) -> Any:
    analysis = analyze({"main.py": f"def f(a={text}): ...".encode()})
    schema = json.loads(analysis.functions[0].input_schema or b"")
    assert schema["required"] == []
    return schema["properties"]["a"].get("default", "absent")


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("str", STR),
        ("int", INT),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("None", NULL),
        ("Any", {}),
        ("object", {}),
        ("bytes", {"type": "string", "format": "binary"}),
        ("SomethingElse", {}),
        ("numpy.ndarray", {}),
        ("1 + 1", {}),
        ("call()", {}),
        ("dict", {"type": "object"}),
        ("Dict", {"type": "object"}),
        ("dict[str, Any]", {"type": "object"}),
        ("Dict[str, int]", {"type": "object", "additionalProperties": INT}),
        ("Mapping[str, list[str]]", {"type": "object", "additionalProperties": {"type": "array", "items": STR}}),
        ("list", {"type": "array"}),
        ("List[int]", {"type": "array", "items": INT}),
        ("typing.List[int]", {"type": "array", "items": INT}),
        ("list[list[int]]", {"type": "array", "items": {"type": "array", "items": INT}}),
        ("list[Any]", {"type": "array"}),
        ("set[str]", {"type": "array", "items": STR}),
        ("Sequence[str]", {"type": "array", "items": STR}),
        ("tuple", {"type": "array"}),
        ("tuple[int, ...]", {"type": "array", "items": INT}),
        ("tuple[int, str]", {"type": "array", "prefixItems": [INT, STR], "minItems": 2, "maxItems": 2}),
        ("tuple[()]", {"type": "array", "maxItems": 0}),
        ("Optional[str]", {"anyOf": [STR, NULL]}),
        ("str | None", {"anyOf": [STR, NULL]}),
        ("Union[int, str]", {"anyOf": [INT, STR]}),
        ("int | str | None", {"anyOf": [INT, STR, NULL]}),
        ("Optional[Union[int, Optional[int]]]", {"anyOf": [INT, NULL]}),
        ("Union[int]", INT),
        ("int | Any", {}),
        ('Literal["a", 1, True, None]', {"enum": ["a", 1, True, None]}),
        ('Literal["a", Literal["b", "c"]]', {"enum": ["a", "b", "c"]}),
        ('Literal[b"a"]', {}),
        ("Literal[Color.RED]", {}),
        ('Annotated[int, "How many."]', {"type": "integer", "description": "How many."}),
        (
            'Annotated[str, Field(min_length=1, pattern="^a", description="A name.")]',
            {"type": "string", "minLength": 1, "pattern": "^a", "description": "A name."},
        ),
        ('Annotated[str, Doc("A name.")]', {"type": "string", "description": "A name."}),
        ("Annotated[int, Gt(1)]", {"type": "integer", "exclusiveMinimum": 1}),
        ("Final[int]", INT),
        ('"int"', INT),
        ('"List[int]"', {"type": "array", "items": INT}),
        ('"not python ("', {}),
        ('Optional["str"]', {"anyOf": [STR, NULL]}),
    ],
)
def test_hints_become_schemas(hint: str, expected: Any) -> None:
    assert of(hint) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("-1", -1),
        ("1.5", 1.5),
        ("None", None),
        ("True", True),
        ("'a'", "a"),
        ("[1, 'a', {}]", [1, "a", {}]),
        ("(1, 2)", [1, 2]),
        ("{'a': [None]}", {"a": [None]}),
        ("9007199254740993", 9007199254740993),
        ("{1}", "absent"),
        ("{1: 2}", "absent"),
        ("b'a'", "absent"),
        ("1j", "absent"),
        ("1e999", "absent"),
        ("call()", "absent"),
        ("name", "absent"),
        ("...", "absent"),
        (f"'{'x' * 9000}'", "absent"),
    ],
)
def test_defaults_that_json_can_hold_are_told(text: str, expected: Any) -> None:
    assert default(text) == expected


def test_a_dataclass_is_an_object_with_its_fields() -> None:
    before = """
@dataclasses.dataclass(frozen=True)
class Base:
    kind: ClassVar[str] = "x"
    id: int
@dataclass
class Point(Base):
    x: float
    label: str | None = None
"""
    assert of("Point", before) == {
        "type": "object",
        "properties": {
            "id": INT,
            "x": {"type": "number"},
            "label": {"anyOf": [STR, NULL], "default": None},
        },
        "required": ["id", "x"],
    }


def test_a_typed_dict_tells_what_is_required() -> None:
    before = """
class Strict(TypedDict):
    a: int
    b: NotRequired[int]
class Loose(TypedDict, total=False):
    a: int
    b: Required[int]
"""
    strict, loose = of("Strict", before), of("Loose", before)
    assert (strict["required"], loose["required"]) == (["a"], ["b"])
    assert strict["properties"] == loose["properties"] == {"a": INT, "b": INT}


def test_a_pydantic_model_is_an_object() -> None:
    assert of("list[M]", "class M(pydantic.BaseModel):\n    a: int") == {
        "type": "array",
        "items": {"type": "object", "properties": {"a": INT}, "required": ["a"]},
    }


def test_an_enum_is_its_values() -> None:
    assert of("C", "class C(str, Enum):\n    A = 'a'\n    B = 'b'") == {"enum": ["a", "b"]}
    assert of("C", "class C(Enum):\n    A = auto()\n    B = auto()") == {"enum": [1, 2]}
    assert of("C", "class C(StrEnum):\n    RED = auto()\n    BLUE = 'b'") == {"enum": ["red", "b"]}
    assert of("C", "class C(IntEnum):\n    LOW = 3\n    HIGH = auto()\n    ALSO = 3") == {"enum": [3, 4]}
    assert of("C", "class C(IntFlag):\n    A = 1") == INT
    assert of("C", "class C(Enum):\n    A = make()") == {}
    assert of("C", "C = Enum('C', 'A B')") == {"enum": [1, 2]}
    assert of("C", "C = StrEnum('C', ['A', 'B'])") == {"enum": ["a", "b"]}
    assert of("C", "C = Enum('C', {'A': 'x'})") == {"enum": ["x"]}


def test_other_classes_are_any_value() -> None:
    assert of("C", "class C:\n    a: int") == {}


def test_aliases_and_imports_under_other_names_are_followed() -> None:
    assert of("Ids", "Ids = list[int]") == {"type": "array", "items": INT}
    assert of("Id", 'Id = NewType("Id", int)') == INT
    assert of("Id", "Id: TypeAlias = 'int'") == INT
    assert of("Id", 'Id = TypeAliasType("Id", int)') == INT
    assert of("dt.datetime", "import datetime as dt") == {"type": "string", "format": "date-time"}
    assert of("L[int]", "from typing import List as L") == {"type": "array", "items": INT}


def test_what_leads_back_to_itself_ends() -> None:
    assert schema_of("Node", "@dataclass\nclass Node:\n    next: 'Node | None'") == {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/Node"}},
        "required": ["a"],
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}},
                "required": ["next"],
            }
        },
    }
    assert schema_of("J", "J = Union[int, List['J'], Dict[str, 'J']]")["$defs"] == {
        "J": {
            "anyOf": [
                INT,
                {"type": "array", "items": {"$ref": "#/$defs/J"}},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/J"}},
            ]
        }
    }
    assert of("A", "A = Union[int, 'A']") == INT
    assert of("A", "A = B\nB = A") == {}
    assert of("A", "class A(A, TypedDict):\n    a: int")["properties"] == {"a": INT}


def test_schemas_that_would_multiply_are_cut() -> None:
    classes = "\n".join(
        f"@dataclass\nclass C{i}:\n    a: C{i + 1}\n    b: C{i + 1}\n    c: Literal['{'x' * 1000}']" for i in range(40)
    )
    analysis = analyze({"main.py": f"{classes}\ndef f(a: C0): ...".encode()})
    assert len(analysis.functions[0].input_schema or b"") < 1024 * 1024


def test_hints_that_nest_too_deeply_are_any_value() -> None:
    assert of("list[" * 40 + "int" + "]" * 40) is not None
    assert of("int" + " | int" * 500) == INT
