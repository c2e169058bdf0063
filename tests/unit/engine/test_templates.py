"""What is kept of a prepared run, and what never is: whatever may be another thing at the next call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from polycall.domain import Convention, Function, Language, LimitOverrides, Version, VersionState
from polycall.engine.limits import DEFAULTS, KIB
from polycall.engine.preparation import Prepared
from polycall.engine.requests import FunctionRun
from polycall.engine.templates import Templates
from polycall.sandbox.job import Bundle, Job

F = Function(name="f", entrypoint="main:f", convention=Convention.KEYWORDS)
VERSION = Version(
    project_id="default",
    package_id="p",
    id="1",
    state=VersionState.READY,
    language=Language.PYTHON,
    created_at=0,
    bundle="d",
    functions=(F,),
)
RUN = FunctionRun(package_id="p", function="f")


def prepared(source: bytes = b"x") -> Prepared:
    job = Job(
        bundle=Bundle(digest="d", files={"main.py": source}),
        entrypoint="main:f",
        convention=Convention.KEYWORDS,
        limits=DEFAULTS,
    )
    return Prepared(job=job, limits=DEFAULTS, language=Language.PYTHON)


def test_a_plain_run_is_found_again_by_its_very_version() -> None:
    templates, made = Templates(), prepared()
    templates.keep(VERSION, F, RUN, made)
    assert templates.get(VERSION, F, RUN) == replace(made, job=replace(made.job, payload=b""))
    assert templates.get(replace(VERSION), F, RUN) is None
    assert templates.get(VERSION, replace(F, name="g"), RUN) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": LimitOverrides(timeout_ms=1)},
        {"fresh": True},
        {"convention": Convention.INPUT},
        {"adapter": "guance"},
        {"adapter_options": b"{1}"},
    ],
)
def test_a_run_that_asks_for_anything_is_neither_kept_nor_served(changes: dict[str, object]) -> None:
    templates, run = Templates(), replace(RUN, **changes)  # type: ignore[arg-type]
    templates.keep(VERSION, F, run, prepared())
    assert templates.get(VERSION, F, RUN) is None
    templates.keep(VERSION, F, RUN, prepared())
    assert templates.get(VERSION, F, run) is None


@pytest.mark.parametrize("changes", [{"runtime": "runtimes/r"}, {"secrets": {"a": "b"}}, {"secret_env": {"A": "s"}}])
def test_what_is_found_out_anew_for_each_run_is_not_kept(changes: dict[str, object]) -> None:
    version = replace(VERSION, **changes)  # type: ignore[arg-type]
    templates = Templates()
    templates.keep(version, F, RUN, prepared())
    assert templates.get(version, F, RUN) is None


def test_a_large_source_is_not_kept_in_memory_and_the_oldest_of_many_is_forgotten() -> None:
    templates = Templates()
    templates.keep(VERSION, F, RUN, prepared(b"x" * (33 * KIB)))
    assert templates.get(VERSION, F, RUN) is None
    templates.keep(VERSION, F, RUN, prepared())
    for number in range(512):
        templates.keep(VERSION, replace(F, name=f"g{number}"), RUN, prepared())
    assert templates.get(VERSION, F, RUN) is None
