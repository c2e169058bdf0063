"""What an analysis says: input schemas, what is refused, what is wrong (contract, section 6)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contracts.xpander.driver import Xpander

_TYPED = '''
from typing import Any, Dict, List, Literal, Optional

def xpander_run_action(
    text: str, n: int, ratio: float, flag: bool, plain: dict, mapped: Dict[str, int], items: list, pair: tuple,
    unique: set, numbers: List[int], maybe: Optional[str], kind: Literal["a", "b"], anything: Any, untyped,
    max_items: int = 100, *args, label="x", nothing: Optional[int] = None, **more,
) -> List[str]:
    """Take everything."""
'''


def test_the_input_schema_comes_from_the_signature(xpander: Xpander) -> None:
    item = xpander.create(_TYPED)
    assert item["status"] == "ready"
    assert list(item["input_schema"]["properties"].items()) == [
        ("text", {"type": "string"}),
        ("n", {"type": "integer"}),
        ("ratio", {"type": "number"}),
        ("flag", {"type": "boolean"}),
        ("plain", {"type": "object"}),
        ("mapped", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("items", {"type": "array"}),
        ("pair", {"type": "array"}),
        ("unique", {"type": "array"}),
        ("numbers", {"type": "array", "items": {"type": "integer"}}),
        ("maybe", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ("kind", {"enum": ["a", "b"]}),
        ("anything", {}),
        ("untyped", {}),
        ("max_items", {"type": "integer", "default": 100}),
        ("label", {"default": "x"}),
        ("nothing", {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}),
    ]
    assert (item["input_schema"]["type"], item["input_schema"]["additionalProperties"]) == ("object", True)
    assert item["input_schema"]["required"] == list(item["input_schema"]["properties"])[:14]
    assert item["technical_description"].startswith("Calls xpander_run_action with text (string, required), n (integer")
    assert item["technical_description"].endswith("nothing (integer or null, optional), any others; returns array.")


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["eval('1')"], {1: "eval"}),
        (["exec('1')"], {1: "exec"}),
        (["c = compile('1', 'x', 'eval')"], {1: "compile"}),
        (["__import__('os')"], {1: "__import__"}),
        (
            ["import os", "os.system('ls')", "os.popen('ls')", "os.fork()"],
            {2: "os.system", 3: "os.popen", 4: "os.fork"},
        ),
        (["import os as o", "run = o.execvp"], {2: "os.execvp"}),
        (["from os import system as s"], {1: "os.system"}),
        (["import subprocess"], {1: "subprocess"}),
        (["from subprocess import run"], {1: "subprocess.run"}),
        (["import json, ctypes.util"], {1: "ctypes.util"}),
        (["import builtins", "getattr(builtins, 'eval')('1')"], {2: "eval"}),
        (["import importlib", "importlib.import_module('subprocess')"], {2: "subprocess"}),
    ],
)
def test_what_may_not_be_used_is_an_error_with_its_place(
    xpander: Xpander, lines: list[str], names: dict[int, str]
) -> None:
    source = "def xpander_run_action():\n" + "".join(f"    {line}\n" for line in lines)
    item = xpander.create(source)
    told = [f"main.py:{line + 1}: {name} is not allowed in custom functions" for line, name in names.items()]
    assert (item["status"], item["analysis_error_details"]) == ("error", "\n".join(told))


def test_what_only_looks_like_it_may_be_used(xpander: Xpander) -> None:
    source = (
        "import os, re\nfrom os import path\n\nclass Model:\n    def eval(self): return 1\n\n"
        "def compile(text): return re.compile(text)\n\ndef xpander_run_action(exec: int = 2):\n"
        "    return [Model().eval(), compile('a').pattern, exec, os.sep, path.join('a', 'b'), 'subprocess']\n"
    )
    item = xpander.create(source)
    assert (item["status"], item["analysis_error_details"]) == ("ready", None)
    assert xpander.call(item["id"]) == [1, "a", 2, "/", "a/b", "subprocess"]


@pytest.mark.parametrize(
    ("source", "details"),
    [
        ("def xpander_run_action(:\n", "main.py:1: SyntaxError: invalid syntax"),
        ("", "main.py: there is no function xpander_run_action at the top level"),
        ("xpander_run_action = 5\n", "main.py: there is no function xpander_run_action at the top level"),
        (
            "class A:\n    def xpander_run_action(self): pass\n",
            "main.py: there is no function xpander_run_action at the top level",
        ),
        ("x = 'a\0b'\n", "main.py:1: source code has null bytes"),
        ("x" + "(" * 5000 + ")" * 5000, "main.py:1: SyntaxError: too many nested parentheses"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(xpander: Xpander, source: str, details: str) -> None:
    item: Any = xpander.create(source)
    assert (item["status"], item["source_code"]) == ("error", source)
    assert item["analysis_error_details"] == details
    assert (item["input_schema"], item["technical_description"]) == (None, None)
