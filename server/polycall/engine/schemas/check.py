"""Whether a value fits a schema. How much is looked at is bounded: both may be made to take for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from polycall.engine.schemas.evaluated import evaluated
from polycall.engine.schemas.reading import Json, Unusable, printable, target
from polycall.engine.schemas.values import (
    SHOWN_CHARS,
    TYPES,
    compiled,
    named,
    number_problems,
    shown,
    size_problems,
    text_problems,
)

__all__ = ["Check"]

_SHOWN_VALUES = 10  # of an enum
_UNEVALUATED: Mapping[type, str] = {dict: "unevaluatedProperties", list: "unevaluatedItems"}


class Check:
    """Checks values against one schema that has no problems (``keywords.problems_of``).

    ``steps``: how much may be looked at, one for each schema at each value, item and member.
    """

    def __init__(self, schema: Json, steps: int) -> None:
        self._schema = schema
        self._left = steps

    def problem(self, value: Json) -> str | None:
        """Return the first thing that is wrong with a value, as ``/where: what``. Raises Unusable."""
        try:
            problem = self._problem(self._schema, value, "")
        except RecursionError:
            raise Unusable("is nested too deeply for its schema") from None
        return problem if problem is None else printable(problem)

    def _problem(self, schema: Json, value: Json, place: str) -> str | None:
        self.spend(1)
        if isinstance(schema, bool):
            return None if schema else f"{place or '/'}: is not allowed"
        if "$ref" in schema:
            problem = self._problem(self.resolve(schema["$ref"]), value, place)
            if problem is not None:
                return problem
        why = self._own(schema, value)
        if why is not None:
            return f"{place or '/'}: {why}"
        if isinstance(value, dict):
            problem = self._members(schema, value, place)
        elif isinstance(value, list):
            problem = self._items(schema, value, place)
        else:
            problem = None
        return problem or self._combined(schema, value, place) or self._unevaluated(schema, value, place)

    def fits(self, schema: Json, value: Json) -> bool:
        """Return whether a value within fits a schema within. Raises Unusable, RecursionError."""
        return self._problem(schema, value, "") is None

    def resolve(self, reference: str) -> Json:
        """Return what a reference of the schema leads to."""
        return target(self._schema, reference)

    def spend(self, steps: int) -> None:
        """Look at so much more. Raises Unusable."""
        self._left -= steps
        if self._left < 0:
            raise Unusable("takes too long to check against its schema")

    # a value by itself

    def _own(self, schema: Mapping[str, Json], value: Json) -> str | None:
        """Return what is wrong with a value, whatever is in it."""
        if "type" in schema:
            types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            if not any(TYPES[kind](value) for kind in types):
                return f"must be {named(types)}"
        if "const" in schema and self._key(value) != self._key(schema["const"]):
            return f"must be {shown(schema['const'])}"
        if "enum" in schema and self._key(value) not in {self._key(each) for each in schema["enum"]}:
            more = ", ..." if len(schema["enum"]) > _SHOWN_VALUES else ""
            return f"must be one of {', '.join(map(shown, schema['enum'][:_SHOWN_VALUES]))}{more}"
        if isinstance(value, Decimal):
            return next(number_problems(schema, value), None)
        if isinstance(value, str):
            return next(text_problems(schema, value), None)
        return None

    def _key(self, value: Json) -> str:
        """Return a text that equal values have in common, and no others."""
        self.spend(1)
        if isinstance(value, Decimal):
            sign, digits, _ = value.as_tuple()
            self.spend(len(digits) // 16)
            text = "".join(map(str, digits)).lstrip("0").rstrip("0")
            return f"{sign}:{text}:{value.adjusted()}" if text else "0"
        if isinstance(value, str):
            self.spend(len(value) // 64)
            return f"'{len(value)}:{value}"
        if isinstance(value, list):
            return f"[{','.join(map(self._key, value))}]"
        if isinstance(value, dict):
            return f"{{{','.join(sorted(f'{self._key(name)}={self._key(each)}' for name, each in value.items()))}}}"
        return str(value)

    # what is in it

    def _members(self, schema: Mapping[str, Json], value: dict[str, Json], place: str) -> str | None:
        self.spend(len(value))
        why = next(size_problems(schema, len(value), "Properties", "member"), None)
        for name in schema["required"] if isinstance(schema.get("required"), list) else ():
            self.spend(1)
            if name not in value:
                why = why or f"must have {shown(name)}"
        for name, others in (schema.get("dependentRequired") or {}).items():
            why = why or self._lacks(value, name, others)
        if why is not None:
            return f"{place or '/'}: {why}"
        for name, inner, each in self._schemas_of_members(schema, value):
            problem = self._problem(inner, each, f"{place}/{name[:SHOWN_CHARS]}")
            if problem is not None:
                return problem
        return self._dependencies(schema, value, place)

    def _schemas_of_members(
        self, schema: Mapping[str, Json], value: dict[str, Json]
    ) -> Iterator[tuple[str, Json, Json]]:
        named = schema.get("properties") or {}
        patterns = [(compiled(text), inner) for text, inner in (schema.get("patternProperties") or {}).items()]
        for name, each in value.items():
            known = name in named
            if known:
                yield name, named[name], each
            for pattern, inner in patterns:
                self.spend(1)
                if pattern.search(name):
                    known = True
                    yield name, inner, each
            if not known and "additionalProperties" in schema:
                yield name, schema["additionalProperties"], each
            if "propertyNames" in schema:
                yield name, schema["propertyNames"], name

    def _dependencies(self, schema: Mapping[str, Json], value: dict[str, Json], place: str) -> str | None:
        dependent = {**(schema.get("dependencies") or {}), **(schema.get("dependentSchemas") or {})}
        for name, inner in dependent.items():
            if isinstance(inner, list):
                why = self._lacks(value, name, inner)
                problem = None if why is None else f"{place or '/'}: {why}"
            else:
                problem = self._problem(inner, value, place) if name in value else None
            if problem is not None:
                return problem
        return None

    def _lacks(self, value: dict[str, Json], name: str, others: list[str]) -> str | None:
        self.spend(1 + len(others))
        if name not in value:
            return None
        return next((f"must have {shown(each)}, as it has {shown(name)}" for each in others if each not in value), None)

    def _items(self, schema: Mapping[str, Json], value: list[Json], place: str) -> str | None:
        self.spend(len(value))
        why = next(size_problems(schema, len(value), "Items", "item"), None)
        if why is None and schema.get("uniqueItems") and len({self._key(each) for each in value}) < len(value):
            why = "must not have two equal items"
        if why is None:
            why = self._contained(schema, value)
        if why is not None:
            return f"{place or '/'}: {why}"
        first, rest = schema.get("prefixItems", ()), schema.get("items", True)
        if isinstance(rest, list):  # before 2020-12
            first, rest = rest, schema.get("additionalItems", True)
        for index, each in enumerate(value):
            inner = first[index] if index < len(first) else rest
            problem = self._problem(inner, each, f"{place}/{index}")
            if problem is not None:
                return problem
        return None

    def _contained(self, schema: Mapping[str, Json], value: list[Json]) -> str | None:
        if "contains" not in schema:
            return None
        count = sum(self.fits(schema["contains"], each) for each in value)
        least, most = schema.get("minContains", 1), schema.get("maxContains", len(value))
        return None if least <= count <= most else f"has {count} items that fit `contains`: must be {least} to {most}"

    def _unevaluated(self, schema: Mapping[str, Json], value: Json, place: str) -> str | None:
        """Return what is wrong with those parts of a value that nothing else in a schema is about."""
        word = _UNEVALUATED.get(type(value), "")
        if word not in schema:
            return None
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        known = evaluated(self, {name: inner for name, inner in schema.items() if name != word}, value)
        for part, each in parts:
            if part not in known:
                problem = self._problem(schema[word], each, f"{place}/{str(part)[:SHOWN_CHARS]}")
                if problem is not None:
                    return problem
        return None

    # several schemas at once

    def _combined(self, schema: Mapping[str, Json], value: Json, place: str) -> str | None:
        for each in schema.get("allOf", ()):
            problem = self._problem(each, value, place)
            if problem is not None:
                return problem
        if "anyOf" in schema:
            problems = []
            for each in schema["anyOf"]:
                problem = self._problem(each, value, place)
                if problem is None:
                    break
                problems.append(problem)
            else:
                return f"{place or '/'}: fits none of `anyOf`: {problems[0] if problems else 'it is empty'}"
        if "oneOf" in schema:
            count = sum(self.fits(each, value) for each in schema["oneOf"])
            if count != 1:
                return f"{place or '/'}: fits {count or 'none'} of `oneOf`: must fit exactly one"
        if "not" in schema and self._problem(schema["not"], value, place) is None:
            return f"{place or '/'}: fits what it must not fit (`not`)"
        if "if" in schema:
            branch = "then" if self._problem(schema["if"], value, place) is None else "else"
            return self._problem(schema.get(branch, True), value, place)
        return None
