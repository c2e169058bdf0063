"""From the body of an execute request to the input of a function."""

from __future__ import annotations

from polycall.domain import Function
from polycall.faces.wire import dump
from polycall.faces.xpander.bodies import read_members
from polycall.faces.xpander.checks import Checker
from polycall.faces.xpander.problems import Problems, Unprocessable
from polycall.faces.xpander.schema import Schema, read_schema

__all__ = ["read_parameters"]


def read_parameters(function: Function, body: bytes) -> bytes:
    """Return the JSON object that the function is called with: what it takes of the body, values untouched.

    Members that its schema does not know are dropped, unless it takes any. Raises Unprocessable with every problem.
    """
    members = read_members(body)
    if function.input_schema is None:  # nothing is known of it; Python will say what does not fit
        return dump(members)
    schema = read_schema(function.input_schema)
    problems = Problems()
    checked = Checker(schema, body.strip() or b"{}").members(members, problems)
    if problems.found:
        raise Unprocessable(problems.found)
    if function.accepts_any or isinstance(schema.additional_properties, Schema) or schema.additional_properties:
        return dump(checked)
    return dump({name: value for name, value in checked.items() if name in schema.properties})
