"""Jobs: what two runs must share to share a worker, and what faces bring into the sandbox."""

from __future__ import annotations

from dataclasses import replace

from polycall.domain import Convention, EgressPolicy, EgressRule, Function, Language, LimitOverrides
from polycall.engine.adapters import Adapter
from polycall.engine.limits import MIB
from polycall.engine.preparation import Preparation
from polycall.sandbox.job import WorkerKey
from tests.engine.house import DEFAULT, OTHER, House, function, other_project

SOURCE = b"def f(): return 1\ndef g(): return 2"
F = function("f")


async def key(home: House, run: object = F, project: str = "default") -> WorkerKey | None:
    return (await home.preparation.function(project, run)).job.key  # type: ignore[arg-type]


async def test_the_functions_of_a_version_share_its_workers(home: House) -> None:
    await home.deploy(source=SOURCE)
    assert await key(home) is not None
    assert await key(home) == await key(home, function("g"))
    assert await key(home) == await key(home, function("f", timeout_ms=1))  # the server watches the time


async def test_workers_are_shared_across_nothing_else(home: House) -> None:
    await other_project(home.store)
    await home.deploy(source=SOURCE)
    await home.deploy(source=SOURCE)
    await home.deploy(source=SOURCE, env={"A": "1"})
    await home.deploy("q", SOURCE)
    await home.deploy(source=SOURCE, who=OTHER)
    memory = replace(F, version_id="1", limits=LimitOverrides(memory_bytes=64 * MIB))
    keys = [
        *[await key(home, replace(F, version_id=number)) for number in ("1", "2", "3")],
        await key(home, memory),
        await key(home, function("f", "q")),
        await key(home, project="other"),
    ]
    await home.registry.delete_version(DEFAULT, "p", "1")
    await home.deploy(source=SOURCE, id="1")
    keys.append(await key(home, replace(F, version_id="1")))
    assert None not in keys
    assert len(set(keys)) == len(keys)


async def test_a_fresh_process_shares_nothing(home: House) -> None:
    await home.deploy(source=SOURCE)
    assert await key(home, replace(F, fresh=True)) is None
    await home.deploy("q", SOURCE, reuse=False)
    assert await key(home, function("f", "q")) is None


async def test_a_faces_adapter_runs_inside_and_parts_its_workers(home: House) -> None:
    inside = "def encode(value, options): return '\"' + options['sign'] + str(value) + '\"'"
    home.preparation = Preparation(
        home.registry, home.engine.limits, home.engine.secrets, adapters={"guance": Adapter(hooks=inside)}
    )
    home.engine._preparation = home.preparation
    await home.deploy(source=SOURCE)
    run = replace(F, adapter="guance", adapter_options=b'{"sign": "#"}')
    assert (await home.engine.run(DEFAULT, run)).result == b'"#1"'
    assert await key(home, run) != await key(home)


LENT = Adapter(
    hooks="def prepare(module_globals, options):\n    import sys, types\n"
    "    told = types.ModuleType('told')\n    told.options = options\n    sys.modules['told'] = told\n",
    modules={
        Language.PYTHON: {"lent.py": b"from told import options\nwho = options.get('who', 'nobody')\n"},
        Language.JAVASCRIPT: {
            "node_modules/lent/index.js": b"const told = globalThis[Symbol.for('polycall.options')] ?? {}\n"
            b"module.exports = { who: told.who ?? 'nobody' }\n"
        },
    },
)
SOURCES = {
    Language.PYTHON: "import lent\n\ndef f():\n    return lent.who\n",
    Language.JAVASCRIPT: "const lent = require('lent')\nfunction f() { return lent.who }\n",
}
MODULE = "import lent, { who } from 'lent'\nexport const f = () => [lent.who, who]\n"


async def test_a_face_lends_modules_to_its_versions_whoever_runs_them(home: House) -> None:
    for part in (home.registry, home.registry._analysis):
        part._adapters = {"face": LENT}
    object.__setattr__(home.engine._preparation, "adapters", {"face": LENT})
    for language, source in SOURCES.items():
        if language not in home.engine.runner.languages:
            continue
        suffix = {"python": "py", "javascript": "js"}[language]
        files = {f"main.{suffix}": source.encode()}
        package = f"lent-{suffix}"
        # none is declared: what is there is found by loading it, where it is JavaScript, with what is lent
        await home.deploy(package, files=files, language=language, adapter="face")
        told = replace(function("f", package), adapter="face", adapter_options=b'{"who": "ada"}')
        assert (await home.engine.run(DEFAULT, told)).result == b'"ada"'
        alone = replace(function("f", package), fresh=True)
        assert (await home.engine.run(DEFAULT, alone)).result == b'"nobody"'
    if Language.JAVASCRIPT in home.engine.runner.languages:
        await home.deploy("module", files={"main.js": MODULE.encode()}, language=Language.JAVASCRIPT, adapter="face")
        run = replace(function("f", "module"), fresh=True, adapter="face", adapter_options=b'{"who": "ada"}')
        assert (await home.engine.run(DEFAULT, run)).result == b'["ada","ada"]'


async def test_what_a_face_opens_is_open_where_a_version_opens_nothing(home: House) -> None:
    open_to_one = EgressPolicy(rules=(EgressRule(host="api.example.com"),))
    own = EgressPolicy(rules=(EgressRule(host="own.example.com"),))
    preparation = Preparation(
        home.registry, home.engine.limits, home.engine.secrets, adapters={"face": replace(LENT, egress=open_to_one)}
    )
    await home.deploy("p", SOURCE, adapter="face")
    await home.deploy("q", SOURCE, adapter="face", egress=own)
    await home.deploy("r", SOURCE)
    jobs = {package: (await preparation.function("default", function("f", package))).job for package in "pqr"}
    assert [jobs[package].egress for package in "pqr"] == [open_to_one, own, None]


async def test_a_call_is_prepared_again_as_it_was_accepted(home: House) -> None:
    inside = "def encode(value, options): return 'null'"
    preparation = Preparation(
        home.registry, home.engine.limits, home.engine.secrets, adapters={"guance": Adapter(hooks=inside)}
    )
    home.engine._preparation = preparation
    script = Function(name="s", entrypoint="main.py", convention=Convention.SCRIPT)
    known = Function(name="f", entrypoint="main:f", convention=Convention.KEYWORDS)
    await home.deploy(source=SOURCE, functions=(known, script), env={"A": "1"}, limits=LimitOverrides(processes=3))
    run = replace(
        F,
        input=b'{"n": 1.0}',
        limits=LimitOverrides(timeout_ms=1234, memory_bytes=64 * MIB),
        fresh=True,
        convention=Convention.INPUT,
        adapter="guance",
        adapter_options='{"x": "ä"}'.encode(),
    )
    call = await home.engine.call(DEFAULT, run)
    stored = await home.store.real.get("default", call.id)
    again = await preparation.again(stored)
    assert again.job == (await preparation.function("default", run)).job
    assert again.limits == call.limits


async def test_a_plain_run_is_prepared_once_for_its_version_and_gets_its_own_input(home: House) -> None:
    await home.deploy(source=SOURCE)
    first, second = [await home.preparation.function("default", replace(F, input=text)) for text in (b"1", b"2")]
    assert (first.job.payload, second.job.payload) == (b"1", b"2")
    assert second.job.bundle is first.job.bundle
    assert second.job.key is first.job.key
    assert second == replace(first, job=replace(first.job, payload=b"2"), run=replace(F, input=b"2"))


async def test_a_run_that_asks_for_more_is_not_taken_for_a_plain_one(home: House) -> None:
    await home.deploy(source=SOURCE)
    plain = (await home.preparation.function("default", F)).job
    limited = (await home.preparation.function("default", function("f", timeout_ms=7))).job
    fresh = (await home.preparation.function("default", replace(F, fresh=True))).job
    other = (await home.preparation.function("default", replace(F, convention=Convention.KEYWORDS))).job
    assert (limited.limits.timeout_ms, fresh.key, other.convention) == (7, None, Convention.KEYWORDS)
    again = (await home.preparation.function("default", F)).job
    assert (again.limits, again.key, again.convention) == (plain.limits, plain.key, plain.convention)


async def test_what_was_prepared_for_a_version_is_not_used_for_the_next(home: House) -> None:
    await home.deploy(source=SOURCE, env={"A": "1"})
    assert (await home.preparation.function("default", F)).job.env == {"A": "1"}
    await home.deploy(source=SOURCE, env={"A": "2"})
    assert (await home.preparation.function("default", F)).job.env == {"A": "2"}


async def test_what_is_prepared_once_for_a_version_keeps_no_input(home: House) -> None:
    await home.deploy(source=SOURCE)
    run = replace(F, input=b'"%s"' % (b"x" * 100))
    first = await home.preparation.function("default", run)
    ((_, kept),) = home.preparation.templates._kept.values()
    assert (kept.job.payload, kept.run) == (b"", None)
    again = await home.preparation.function("default", run)
    assert again == first
    assert again.job.bundle is first.job.bundle  # it was of use
