"""Names that a source may not use, as its text shows them."""

from __future__ import annotations

import ast

import pytest

from polycall.engine.signatures.refused import refused_uses

REFUSED = ("builtins.eval", "builtins.compile", "os.system", "os.exec*", "subprocess", "ctypes")


def uses(source: str) -> list[tuple[int, str]]:
    return [(note.line, note.message) for note in refused_uses(ast.parse(source), "main.py", REFUSED)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("eval('1')", ["eval"]),
        ("run = eval", ["eval"]),
        ("eval = eval\neval('1')", ["eval"]),
        ("import builtins as b\nb.eval('1')", ["eval"]),
        ("__builtins__.eval('1')", ["eval"]),
        ("from builtins import eval as e", ["eval"]),
        ("import os\nos.system('x')", ["os.system"]),
        ("import os as o, sys\no.execve('x', [], {})", ["os.execve"]),
        ("import os.path\nos.system('x')", ["os.system"]),
        ("from os import *\nsystem('x')", ["os.system"]),
        ("from os import (path,\n    system)", ["os.system"]),
        ("import os\ngetattr(os, 'system', None)", ["os.system"]),
        ("def f():\n    import os\n    return os.system", ["os.system"]),
        ("import subprocess as s\ns.run([])", ["subprocess", "subprocess.run"]),
        ("import ctypes.util", ["ctypes.util"]),
        ("from importlib import import_module as i\ni('subprocess')", ["subprocess"]),
        ("class A:\n    eval = 1\n    def f(self): return eval", ["eval"]),
        ("[eval for _ in ()]\nx = lambda: compile", ["eval", "compile"]),
        ("eval(eval)", ["eval"]),
    ],
)
def test_uses_are_found(source: str, found: list[str]) -> None:
    assert [name for _, name in uses(source)] == found


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('a')",
        "model.eval()",
        "def eval(x): return x\neval('1')",
        "def f(eval): return eval",
        "f = lambda compile: compile",
        "def f():\n    compile = 1\n    return compile",
        "class A:\n    def eval(self): ...",
        "from .os import system",
        "import os\nos.sep, os.path.exists, os.environ['system']",
        "import osystem\nosystem.system()",
        "'eval'; x = {'eval': 1}",
        "import subprocesses",
        "os = object()\nos.system",
    ],
)
def test_what_is_something_else_is_not(source: str) -> None:
    assert uses(source) == []


def test_each_name_is_told_once_a_line_in_the_order_of_the_source_up_to_a_bound() -> None:
    assert uses("eval(eval('1'))\n\neval; compile") == [(1, "eval"), (3, "compile"), (3, "eval")]
    assert len(uses("eval\n" * 100)) == 20
    assert refused_uses(ast.parse("eval('1')"), "main.py", ()) == ()
