"""Where JavaScript finds packages, and where Deno itself may lie: other users' homes, other users' servers."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from polycall.domain import IsolationLevel
from polycall.sandbox.image import Image, Platform
from polycall.sandbox.installed import find_deno
from polycall.sandbox.sandbox import Sandbox
from tests.sandbox.conftest import config
from tests.sandbox.javascript import js, ts
from tests.sandbox.ordinary import as_ordinary_user
from tests.sandbox.programs import value

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADD = "function execute(input) { return [input + 1, Deno.uid()] }"


async def deno() -> str:
    found = await find_deno()
    assert found is not None
    return found.path


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A directory that anybody can enter."""
    with tempfile.TemporaryDirectory(prefix="polycall-everybodys-") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place


@pytest.fixture
def packages(everybodys: Path) -> Path:
    """A built environment: node_modules with a package of each kind."""
    for name, kind, source in (
        ("old", "commonjs", "module.exports = (text) => `old ${text}`"),
        ("new", "module", "import old from 'old'\nexport default (text) => `new ${old(text)}`"),
    ):
        place = everybodys / "node_modules" / name
        place.mkdir(parents=True)
        (place / "package.json").write_text(
            f'{{"name": "{name}", "version": "1.0.0", "type": "{kind}", "main": "index.js", "exports": "./index.js"}}'
        )
        (place / "index.js").write_text(source)
    return everybodys


@pytest.mark.levels(3, 2, 1)
async def test_bare_names_are_those_of_the_runtime(sandbox: Sandbox, packages: Path) -> None:
    image = Image(platform=Platform.DENO, revision="node", path=str(packages))
    code = "import a from 'new'\nimport b from 'npm:old'\nexport const execute = (x: string) => [a(x), b(x)]"
    assert value(await sandbox.run(ts(code, "x", image=image))) == ["new old x", "old x"]
    code = "module.exports = { execute: (x) => require('old')(x) }"
    assert value(await sandbox.run(js(code, "x", image=image))) == "old x"
    outcome = await sandbox.run(js(code, "x"))
    assert outcome.error is not None
    assert outcome.error.message.startswith("Cannot find module 'old'")


@pytest.mark.levels(3, 2, 1)
async def test_packages_cannot_be_changed(sandbox: Sandbox, packages: Path) -> None:
    image = Image(platform=Platform.DENO, revision="node", path=str(packages))
    code = "const execute = () => Deno.writeTextFileSync(require.resolve('old'), 'x')"
    outcome = await sandbox.run(js(code, image=image))
    assert outcome.error is not None
    assert outcome.error.type == "NotCapable"
    assert (packages / "node_modules/old/index.js").read_text().startswith("module.exports")


@pytest.mark.parametrize("level", [3, 1])
async def test_deno_may_lie_in_a_home_that_nobody_else_can_enter(tmp_path: Path, level: int) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    shutil.copy(await deno(), private / "deno")
    sandbox = Sandbox(config(IsolationLevel(level), waiting=1, deno=str(private / "deno")))
    await sandbox.start()
    try:
        assert value(await sandbox.run(js(ADD, 1)))[0] == 2
    finally:
        await sandbox.stop()


ORDINARY = """
import asyncio, json, sys
from polycall.domain import Convention, IsolationLevel, Language, Limits
from polycall.sandbox.image import image_of
from polycall.sandbox.job import Bundle, Job, WorkerKey
from polycall.sandbox.sandbox import Sandbox, SandboxConfig

LIMITS = Limits(timeout_ms=20_000, memory_bytes=64 << 20, processes=32, open_files=128, disk_bytes=16 << 20,
                result_bytes=1 << 20, stdout_bytes=1 << 20, stderr_bytes=1 << 20)

def job(source, key=None):
    return Job(bundle=Bundle(digest=source, files={'main.js': source.encode()}), entrypoint='main.js:execute',
               convention=Convention.INPUT, limits=LIMITS, payload=b'1', key=key, language=Language.JAVASCRIPT,
               image=image_of(Language.JAVASCRIPT))

async def main():
    sandbox = Sandbox(SandboxConfig(max_level=IsolationLevel(int(sys.argv[1])), waiting=1, deno=sys.argv[2]))
    await sandbox.start()
    try:
        fresh = await sandbox.run(job(sys.argv[3]))
        warm = [await sandbox.run(job(sys.argv[3], WorkerKey('p', 'k', 'v'))) for _ in range(2)][1]
        greedy = await sandbox.run(job('function execute() { const a = []; for (;;) a.push([a.length, 1, 2]) }'))
        print(json.dumps([fresh.value.decode(), warm.value.decode(), warm.start_kind, greedy.ending]))
    finally:
        await sandbox.stop()

asyncio.run(main())
"""


@pytest.mark.parametrize("level", [2, 1])
async def test_an_ordinary_user_runs_javascript_too(everybodys: Path, level: int) -> None:
    shutil.copy(await deno(), everybodys / "deno")
    told = await asyncio.to_thread(as_ordinary_user, ORDINARY, str(level), str(everybodys / "deno"), ADD)
    uid = 1000 if level == 2 else 65534
    assert told == [f"[2,{uid}]", f"[2,{uid}]", "warm", "out_of_memory"]
