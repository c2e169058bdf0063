"""Whatever stands in an export: it is read, or refused with what is wrong with it; nothing else."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polycall.cli.failures import Failure
from polycall.cli.importing import cognite, domo, guance, riza, xpander
from polycall.cli.importing.export import Export
from polycall.cli.importing.finds import Finds
from polycall.services.package_messages import package_message, version_message

READERS: dict[str, Callable[[Export], Finds]] = {
    "riza": riza.read,
    "cognite": cognite.read,
    "xpander": xpander.read,
    "domo": domo.read,
    "guance": guance.read,
}

# the members that some reader looks at, with values that some reader takes, and with any others
_TEXTS = st.sampled_from(
    ["a", "set__script", "1.0.0", "python", "JAVASCRIPT", "main.py", "2026-01-01", "", "é\0", "text"]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXTS | st.text(max_size=5)
_ANY = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3), max_leaves=6
)
_VARIABLE = st.fixed_dictionaries(
    {"name": _TEXTS}, optional={"type": _TEXTS, "isList": _ANY, "defaultValues": _ANY, "children": _ANY}
)
_FUNCTION = st.fixed_dictionaries(
    {"name": _TEXTS}, optional={"inputs": st.lists(_VARIABLE, max_size=2), "output": _VARIABLE | st.none()}
)
_VERSION = st.fixed_dictionaries(
    {"version": _TEXTS, "code": _TEXTS},
    optional={"functions": st.lists(_FUNCTION, max_size=2), "createdOn": _ANY, "createdBy": _ANY, "released": _ANY},
)
_ITEM: Callable[..., st.SearchStrategy[dict[str, Any]]] = st.fixed_dictionaries
_LISTS: dict[str, dict[str, tuple[str, st.SearchStrategy[Any]]]] = {
    "riza": {
        "tools": (
            "tools",
            _ITEM(
                {"id": _TEXTS, "code": _TEXTS, "language": _TEXTS, "name": _TEXTS, "revision_id": _TEXTS},
                optional={"input_schema": _ANY, "description": _ANY, "runtime_revision_id": _TEXTS},
            ),
        ),
        "runtimes": ("runtimes", _ITEM({"id": _TEXTS, "language": _TEXTS, "name": _TEXTS})),
        "revisions": (
            "revisions",
            _ITEM(
                {
                    "id": _TEXTS,
                    "runtime_id": _TEXTS,
                    "status": st.sampled_from(["succeeded", "failed"]),
                    "manifest_file": _ITEM({"name": st.just("requirements.txt"), "contents": _TEXTS}),
                }
            ),
        ),
    },
    "xpander": {
        "custom_functions": (
            "items",
            _ITEM(
                {"id": _TEXTS, "name": _TEXTS, "source_code": _TEXTS | st.none()},
                optional={
                    "limits": _ANY | _ITEM({"max_run_time": st.floats() | st.integers(), "memory": st.integers()})
                },
            ),
        )
    },
    "domo": {
        "packages": (
            "packages",
            _ITEM({"id": _TEXTS, "name": _TEXTS, "language": _TEXTS, "versions": st.lists(_VERSION, max_size=3)}),
        )
    },
    "guance": {
        "scripts": ("scripts", _ITEM({"id": _TEXTS, "code": _TEXTS}, optional={"publishVersion": st.integers()})),
        "funcs": (
            "funcs",
            _ITEM(
                {"name": _TEXTS, "scriptId": _TEXTS},
                optional={"tagsJSON": _ANY, "kwargsJSON": _ANY, "extraConfigJSON": _ANY, "title": _ANY},
            ),
        ),
        "script_sets": ("scriptSets", _ITEM({"id": _TEXTS}, optional={"requirements": _TEXTS})),
    },
    "cognite": {
        "functions": (
            "items",
            _ITEM(
                {"id": st.integers(-1, 3), "name": _TEXTS, "fileId": st.integers()},
                optional={"memory": st.floats(), "functionPath": _TEXTS, "envVars": _ANY, "metadata": _ANY},
            ),
        ),
        "schedules": (
            "items",
            _ITEM({"id": st.integers(), "name": _TEXTS, "functionId": st.integers(-1, 3), "cronExpression": _TEXTS}),
        ),
    },
}


@pytest.mark.parametrize("vendor", sorted(READERS))
@settings(max_examples=30)
@given(data=st.data())
def test_any_export_is_read_or_refused(vendor: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, (key, items) in _LISTS[vendor].items():
            content = data.draw(st.fixed_dictionaries({key: st.lists(items, max_size=3) | _ANY}))
            (Path(folder) / f"{name}.json").write_text(json.dumps(content))
        try:
            finds = READERS[vendor](Export(Path(folder)))
        except Failure as failure:  # said of a file of the folder
            if not failure.message.startswith(folder):
                raise
            return
        for found in finds.packages:
            package_message(found.package)
            for version in found.versions:
                version_message(version.version)
