"""Programs that return what cannot be told, or what hurts who reads it."""

from __future__ import annotations

from typing import Any

from polycall.domain import Reason
from polycall.sandbox.job import Ending
from tests.sandbox.hostile.catalogue import Ends, Program, Returns, program

__all__ = ["PROGRAMS"]

_REFUSED = Ends((Ending.NOT_SERIALIZABLE,), reason=Reason.OUTPUT_NOT_SERIALIZABLE)


def _returning(name: str, expression: str, expected: Ends | Returns = _REFUSED, **rest: Any) -> Program:
    return program(
        name,
        f"def execute(input):\n    {expression}\n",
        attack="values that are no JSON, or too much of it",
        held=expected,
        **rest,
    )


PROGRAMS = (
    _returning("a number that is none is refused", "return [float('nan')]"),
    _returning("an infinite number is refused", "return {'x': -float('inf')}"),
    _returning(
        "an integer of more digits than Python prints is refused", "sys.set_int_max_str_digits(640); return 10 ** 5000"
    ),
    _returning(
        "an integer of a hundred thousand digits is not read by the server",
        "sys.set_int_max_str_digits(0); return len(str(10 ** 100_000))",
        Returns(100_001),
    ),
    _returning("a list within itself is refused", "a = []; a.append(a); return a"),
    _returning("a dictionary within itself is refused", "a = {}; a['a'] = a; return a"),
    _returning(
        "a value that nests too deep is refused",
        "a = []\n    for _ in range(100_000): a = [a]\n    return a",
    ),
    _returning("a lone surrogate is refused", "return '\\ud800'"),
    _returning("a lone surrogate as a name is refused", "return {'\\udfff': 1}"),
    _returning("bytes are refused", "return b'x'"),
    _returning("a set is refused", "return {1, 2}"),
    _returning("an object is refused", "return object()"),
    _returning("names that are no text are refused", "return {(1, 2): 3}"),
    _returning(
        "a result beyond its limit is refused",
        "return 'x' * (1 << 21)",
        Ends((Ending.RESULT_TOO_LARGE,), reason=Reason.RESULT_TOO_LARGE),
    ),
    _returning(
        "a result of a hundred megabytes is refused",
        "return 'x' * (100 << 20)",
        Ends((Ending.RESULT_TOO_LARGE,), reason=Reason.RESULT_TOO_LARGE),
        limits={"memory_bytes": 1 << 30},
    ),
    _returning(
        "a dictionary whose contents change while they are read is an error of the code",
        "class D(dict):\n        def items(self):\n            while True: yield 'x', 1\n    return D(a=1)",
        Ends((Ending.RAISED, Ending.OUT_OF_MEMORY, Ending.RETURNED, Ending.TIMED_OUT, Ending.NOT_SERIALIZABLE)),
        limits={"timeout_ms": 300},
    ),
    _returning(
        "names twice are the last one's",
        "class S(str):\n"
        "        def __hash__(self): return id(self)\n"
        "        def __eq__(self, other): return self is other\n"
        "    return {S('a'): 1, S('a'): 2}",
        Returns({"a": 2}),
    ),
    _returning(
        "a number that prints as something else is not passed on",
        "class F(float):\n        def __repr__(self): return '1, \"x\": }'\n    return [F(1)]",
        Returns([1.0]),
    ),
    _returning(
        "an integer that prints as something else is not passed on",
        "class I(int):\n        def __repr__(self): return ']'\n    return [I(7)]",
        Returns([7]),
    ),
    program(
        "an exception whose text is an attack on a terminal is told as it is",
        r"""
        def execute(input):
            raise ValueError('\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202e\u0000\r\nHTTP/1.1 200 OK')
        """,
        attack="hostile texts",
        held=Ends((Ending.RAISED,), says="\x1b]0;owned\x07\x1b[2J\x1b[31mred\u202e\u0000\r\nHTTP/1.1 200 OK"),
    ),
    program(
        "an exception that cannot be printed is told",
        """
        class E(Exception):
            def __str__(self): raise self
            __repr__ = __str__
        def execute(input): raise E
        """,
        attack="hostile texts",
        held=Ends((Ending.RAISED,), says="<exception E whose text could not be made>"),
    ),
    program(
        "an exception with a megabyte of text and a chain without end is cut",
        """
        def execute(input):
            error = ValueError('x' * (1 << 22))
            for _ in range(200):
                other = ValueError('y' * 10_000)
                other.__cause__ = error
                error = other
            error.__cause__.__cause__.__cause__ = error
            raise error
        """,
        attack="hostile texts",
        held=Ends((Ending.RAISED,)),
    ),
    program(
        "an exception of a class without a name is told",
        """
        def execute(input):
            kind = type('\\ud800' * 10, (Exception,), {'__module__': '\\udfff', '__qualname__': 'a.' * 9999})
            raise kind('\\ud800')
        """,
        attack="hostile texts",
        held=Ends((Ending.RAISED,)),
    ),
    program(
        "a group of a thousand exceptions is told",
        "def execute(input): raise BaseExceptionGroup('x', [BaseExceptionGroup('y', [ValueError(n)]) for n in range(1000)])",
        attack="hostile texts",
        held=Ends((Ending.RAISED,)),
    ),
)
