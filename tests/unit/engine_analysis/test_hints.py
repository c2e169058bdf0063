"""polycall.engine.signatures: what people write as types, one row each."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.unit.engine_analysis.here import analyze
from tests.unit.engine_analysis.test_schema import INT, NULL, STR, of, schema_of

NUMBER = {"type": "number"}


def text(kind: str) -> dict[str, Any]:
    return {"type": "string", "format": kind}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("datetime", text("date-time")),
        ("datetime.datetime", text("date-time")),
        ("datetime.date", text("date")),
        ("datetime.time", text("time")),
        ("timedelta", text("duration")),
        ("uuid.UUID", text("uuid")),
        ("UUID4", text("uuid")),
        ("Path", text("path")),
        ("bytes", text("binary")),
        ("ipaddress.IPv4Address", text("ipv4")),
        ("Decimal", {"anyOf": [NUMBER, text("decimal")]}),
        ("EmailStr", text("email")),
        ("HttpUrl", text("uri")),
        ("SecretStr", {"type": "string", "format": "password", "writeOnly": True}),
        ("PositiveInt", {"type": "integer", "exclusiveMinimum": 0}),
        ("NonNegativeFloat", {"type": "number", "minimum": 0}),
        ("StrictBool", {"type": "boolean"}),
        ("LiteralString", STR),
        ("JsonValue", {}),
        ("complex", {}),
        ("Callable[[int], int]", {}),
        ("type[int]", {}),
        ("numpy.bool", {}),
        ("somewhere.List[int]", {}),
        ("Counter[str]", {"type": "object", "additionalProperties": INT}),
        (
            "dict[Literal['a', 'b'], int]",
            {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": INT},
        ),
        ("tuple[int, *tuple[str, ...]]", {"type": "array"}),
        ("conint(ge=1, le=9)", {"type": "integer", "minimum": 1, "maximum": 9}),
        ("constr(min_length=2, pattern='^a')", {"type": "string", "minLength": 2, "pattern": "^a"}),
        ("conlist(int, max_length=3)", {"type": "array", "items": INT, "maxItems": 3}),
        ("Annotated[list[int], Len(1, 2), MinLen(1)]", {"type": "array", "items": INT, "minItems": 1}),
        ("Annotated[int, Meta(ge=0, description='Age.')]", {"type": "integer", "minimum": 0, "description": "Age."}),
        ("Annotated[int | None, Field(gt=0)]", {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, NULL]}),
        ("Annotated[float, Field(multiple_of=0.5)]", {"type": "number", "multipleOf": 0.5}),
        ("Annotated[float, Field(multiple_of=0)]", NUMBER),
        ("Annotated[str, Field(min_length='x', examples=['a'])]", {"type": "string", "examples": ["a"]}),
        ("Annotated[int, something(ge=1)]", INT),
        ("Awaitable[int]", INT),
    ],
)
def test_each_type_has_its_schema(hint: str, expected: Any) -> None:
    assert of(hint) == expected


def test_a_dataclass_says_what_can_be_left_out() -> None:
    before = """
@dataclass(kw_only=True)
class Job:
    \"\"\"What is to be done.

    Attributes:
        name: What it is called.
    \"\"\"
    name: str
    tags: list[str] = field(default_factory=list)
    made: Any = field(default_factory=now)
    retries: int = field(default=3)
    _: KW_ONLY
    seed: InitVar[int] = 1
    id: int = field(init=False)
    size: Annotated[int, Field(ge=1)] = 2
    \"\"\"How large.\"\"\"
"""
    assert of("Job", before) == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What it is called."},
            "tags": {"type": "array", "items": STR, "default": []},
            "made": {},
            "retries": {"type": "integer", "default": 3},
            "seed": {"type": "integer", "default": 1},
            "size": {"type": "integer", "minimum": 1, "description": "How large.", "default": 2},
        },
        "required": ["name"],
        "description": "What is to be done.",
    }


def test_fields_are_inherited_across_modules_and_overridden() -> None:
    before = "from models import Base\n@dataclass\nclass Child(Base):\n    b: str = 'x'"
    models = "from deep.inner import Kind\n@dataclass\nclass Base:\n    a: Kind\n    b: int"
    assert of("Child", before, models=models, **{"deep/inner": "import enum\nclass Kind(enum.Enum):\n    X = 1"}) == {
        "type": "object",
        "properties": {"a": {"enum": [1]}, "b": {"type": "string", "default": "x"}},
        "required": ["a"],
    }


@pytest.mark.parametrize(
    ("imports", "hint"),
    [
        ("from shop.models import Item", "Item"),
        ("from shop.models import Item as Thing", "Thing"),
        ("from shop import models", "models.Item"),
        ("import shop.models", "shop.models.Item"),
        ("import shop.models as m", "m.Item"),
        ("from shop import Item", "Item"),
        ("if TYPE_CHECKING:\n    from shop.models import Item", "'Item'"),
        ("try:\n    from shop.models import Item\nexcept ImportError:\n    Item = None", "Item"),
    ],
)
def test_types_of_other_modules_are_found_however_they_are_imported(imports: str, hint: str) -> None:
    files = {
        "main.py": f"{imports}\ndef f(a: {hint}): ...".encode(),
        "shop/__init__.py": b"from .models import *\nfrom .models import Item\n",
        "shop/models.py": b"from ..shop.parts import Name\nclass Item(TypedDict):\n    name: Name\n",
        "shop/parts.py": b"Name = str\n",
    }
    (function,) = analyze(files).functions
    assert json.loads(function.input_schema or b"")["properties"]["a"] == {
        "type": "object",
        "properties": {"name": STR},
        "required": ["name"],
    }


def test_a_typed_dict_and_a_named_tuple_may_be_made_by_a_call() -> None:
    assert of("T", "T = TypedDict('T', {'a': int, 'b': NotRequired[str]})") == {
        "type": "object",
        "properties": {"a": INT, "b": STR},
        "required": ["a"],
    }
    point = {
        "type": "array",
        "prefixItems": [{"title": "x", "type": "integer"}, {"title": "y", "type": "integer"}],
        "minItems": 2,
        "maxItems": 2,
    }
    assert of("P", "P = NamedTuple('P', [('x', int), ('y', int)])") == point
    assert of("P", "class P(NamedTuple):\n    x: int\n    y: int = 0") == {
        **point,
        "prefixItems": [{"title": "x", "type": "integer"}, {"title": "y", "type": "integer", "default": 0}],
        "minItems": 1,
    }
    assert of("P", "P = namedtuple('P', 'x y')")["prefixItems"] == [{"title": "x"}, {"title": "y"}]


def test_a_closed_typed_dict_takes_no_other_members() -> None:
    assert of("T", "class T(TypedDict, closed=True):\n    a: ReadOnly[Required[int]]") == {
        "type": "object",
        "properties": {"a": INT},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_a_pydantic_model_is_read_with_its_fields_and_configuration() -> None:
    before = """
class Base(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: UUID
class Order(Base):
    KIND: ClassVar[str] = "order"
    _cache: dict = PrivateAttr(default_factory=dict)
    amount: float = Field(..., gt=0, description="In euro.")
    lines: list["Line"] = Field(min_length=1)
    note: str | None = Field(None, max_length=10, alias="remark")
    state: Annotated[str, Field(alias="s", default="new")]
class Line(BaseModel):
    text: str
"""
    assert of("Order", before) == {
        "type": "object",
        "properties": {
            "id": text("uuid"),
            "amount": {"type": "number", "exclusiveMinimum": 0, "description": "In euro."},
            "lines": {
                "type": "array",
                "items": {"type": "object", "properties": {"text": STR}, "required": ["text"]},
                "minItems": 1,
            },
            "remark": {"anyOf": [{"type": "string", "maxLength": 10}, NULL], "default": None},
            "s": {"type": "string", "default": "new"},
        },
        "required": ["id", "amount", "lines"],
        "additionalProperties": False,
    }


def test_generic_classes_are_read_with_their_arguments() -> None:
    before = """
T = TypeVar("T")
class Page(BaseModel, Generic[T]):
    items: list[T]
class Users(Page[str]):
    total: int
"""
    assert of("Page[int]", before)["properties"] == {"items": {"type": "array", "items": INT}}
    assert of("Page", before)["properties"] == {"items": {"type": "array"}}
    assert of("Users", before)["properties"] == {"items": {"type": "array", "items": STR}, "total": INT}
    both = schema_of("tuple[Page[int], Page[str], Page[int]]", before)
    assert list(both["$defs"]) == ["Page_int"]
    assert both["properties"]["a"]["prefixItems"][1]["properties"]["items"]["items"] == STR


def test_type_variables_stand_for_their_bound_or_their_choices() -> None:
    assert of("T", "T = TypeVar('T', bound=int)") == INT
    assert of("T", "T = TypeVar('T', int, str)") == {"anyOf": [INT, STR]}
    assert of("T", "T = TypeVar('T')") == {}


def test_a_root_model_and_a_subclass_of_a_plain_type_are_what_they_hold() -> None:
    assert of("M", "class M(RootModel[list[int]]): ...") == {"type": "array", "items": INT}
    assert of("M", "class M(BaseModel):\n    root: int")["properties"] == {"root": INT}
    assert of("M", "class M(RootModel):\n    root: int") == INT
    assert of("Id", "class Id(str):\n    'An id.'") == {"type": "string", "description": "An id."}
    assert of("M", "class M(RootModel['M']): ...") == {}


def test_classes_of_attrs_and_msgspec_are_records() -> None:
    assert of("A", "import attrs\n@attrs.define\nclass A:\n    x: int = attrs.field(default=1)")["properties"] == {
        "x": {"type": "integer", "default": 1}
    }
    assert of("S", "import msgspec\nclass S(msgspec.Struct, forbid_unknown_fields=True):\n    x: int") == {
        "type": "object",
        "properties": {"x": INT},
        "required": ["x"],
        "additionalProperties": False,
    }


def test_a_class_that_is_used_twice_is_defined_once() -> None:
    schema = schema_of("tuple[P, P]", "@dataclass\nclass P:\n    x: int")
    assert schema["properties"]["a"]["prefixItems"] == [{"$ref": "#/$defs/P"}] * 2
    assert schema["$defs"] == {"P": {"type": "object", "properties": {"x": INT}, "required": ["x"]}}


def test_classes_of_the_same_name_are_told_apart() -> None:
    before = "import other\n@dataclass\nclass P:\n    x: int"
    other = "from dataclasses import dataclass\n@dataclass\nclass P:\n    y: int"
    schema = schema_of("tuple[P, P, other.P, other.P]", before, other=other)
    assert {name: list(body["properties"]) for name, body in schema["$defs"].items()} == {"P": ["x"], "P_2": ["y"]}


def test_members_named_like_keywords_are_members() -> None:
    before = "class T(TypedDict):\n    enum: 'P'\n    default: 'P'\n    required: int\n@dataclass\nclass P:\n    x: int"
    schema = schema_of("T", before)
    assert schema["properties"]["a"]["properties"]["enum"] == {"$ref": "#/$defs/P"}
    assert list(schema["$defs"]) == ["P"]


def test_constants_and_members_of_enums_are_defaults() -> None:
    source = b"""
import config
from enum import Enum
LIMIT = 10
CHANGED = 1
CHANGED = 2
class Color(Enum):
    RED = "r"
def f(a=LIMIT, b=CHANGED, c=Color.RED, d=Color.RED.value, e=config.SIZE, g=config.missing): ...
"""
    (function,) = analyze({"main.py": source, "config.py": b"SIZE = 3"}).functions
    schema = json.loads(function.input_schema or b"")
    assert schema["required"] == []
    assert schema["properties"] == {
        "a": {"default": 10},
        "b": {},
        "c": {"default": "r"},
        "d": {"default": "r"},
        "e": {"default": 3},
        "g": {},
    }


def test_keyword_arguments_may_be_typed() -> None:
    def rest(hint: str) -> Any:
        source = f"class O(TypedDict, total=False):\n    x: int\ndef f(a: str, **k: {hint}): ..."
        return json.loads(analyze({"main.py": source.encode()}).functions[0].input_schema or b"")

    assert rest("int")["additionalProperties"] == INT
    assert rest("Any")["additionalProperties"] is True
    assert rest("Unpack[O]") == {
        "type": "object",
        "properties": {"a": STR, "x": INT},
        "required": ["a"],
        "additionalProperties": True,
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f() -> int: ...", INT),
        ("async def f() -> list[int]: ...", {"type": "array", "items": INT}),
        ("def f() -> None: ...", NULL),
        ("def f() -> Any: ...", None),
        ("def f(): ...", None),
        ("def f(): 'Do.\\n\\n:returns: The sum.'", {"description": "The sum."}),
        ("def f() -> int: 'Do.\\n\\nReturns:\\n    int: The sum.'", {"type": "integer", "description": "The sum."}),
        ("f = lambda: 1", None),
    ],
)
def test_what_is_returned_has_a_schema(source: str, expected: Any) -> None:
    (function,) = analyze({"main.py": source.encode()}).functions
    assert (json.loads(function.output_schema) if function.output_schema else None) == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is newer")
def test_type_statements_and_type_parameters_are_read() -> None:
    assert of("Ids", "type Ids = list[int]") == {"type": "array", "items": INT}
    assert of("Pair[int]", "type Pair[T] = tuple[T, T]")["prefixItems"] == [INT, INT]
    assert of("Box[int]", "@dataclass\nclass Box[T]:\n    x: T")["properties"] == {"x": INT}


@pytest.mark.parametrize(
    ("source", "note"),
    [
        ("def f(a: numpy.ndarray): ...", ("main.py", 1, "numpy.ndarray is not known: any value", 7)),
        ("class C: ...\ndef f(a: C): ...", ("main.py", 2, "C is not a class that describes data: any value", 7)),
        ("def f(a: Callable): ...", ("main.py", 1, "Callable is nothing that JSON holds: any value", 7)),
        (
            "def f(a, /): ...",
            ("main.py", 1, "a stands before `/`, so it cannot be given by its name, as it is here", 7),
        ),
    ],
)
def test_what_a_schema_cannot_say_is_noted_with_its_place(source: str, note: tuple[str, int, str, int]) -> None:
    (found,) = analyze({"main.py": source.encode()}).notes
    assert (found.path, found.line, found.message, found.column) == note


def test_schemas_are_the_same_whenever_they_are_made() -> None:
    source = b"@dataclass\nclass P:\n    x: 'P'\n    y: int\ndef f(a: P, b: dict[str, P]) -> P: ..."
    first, second = analyze({"main.py": source}), analyze({"main.py": source})
    assert first == second
