"""Builds in a real sandbox, from an index that has what no real one has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polycall.domain import Language, ManifestKind, RevisionState, RuntimeRevision
from polycall.engine.building import Builder, BuildFailed, BuildSettings, Built
from polycall.engine.buildlog import BuildLog
from polycall.runtimes.environments import Environments
from polycall.sandbox.sandbox import Sandbox
from tests.index import Index, running_index
from tests.sandbox.programs import eventually, job, value

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1 << 20


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with running_index() as index:
        yield index


class Bench:
    """Builds into one directory, and what they said."""

    def __init__(self, sandbox: Sandbox, directory: Path, index: Index) -> None:
        self.sandbox = sandbox
        self.root = directory / "runtimes"
        self.settings = BuildSettings(python_index_url=index.url, python_file_hosts=())
        self.log = ""

    def builder(self, **changes: Any) -> Builder:
        return Builder(self.sandbox, Environments(self.root), replace(self.settings, **changes))

    async def build(self, manifest: str, imports: str = "", **changes: Any) -> Built:
        log = BuildLog()
        try:
            return await self.builder(**changes).build(revision(manifest, imports), log)
        finally:
            self.log = log.text()

    def environments(self) -> list[str]:
        """Return what is on disk beside the tools."""
        return [path.name for path in self.root.iterdir() if not path.name.startswith("build-tools-")]


def revision(manifest: str, imports: str = "") -> RuntimeRevision:
    return RuntimeRevision(
        project_id="p",
        runtime_id="r",
        id="1",
        language=Language.PYTHON,
        manifest_kind=ManifestKind.REQUIREMENTS_TXT,
        manifest=manifest,
        state=RevisionState.BUILDING,
        created_at=0,
        additional_imports=imports,
    )


@pytest.fixture
def bench(sandbox: Sandbox, tmp_path: Path, index: Index) -> Bench:
    return Bench(sandbox, tmp_path, index)


async def test_one_manifest_is_built_once(bench: Bench, index: Index) -> None:
    index.add("shared", {"shared.py": "X = 1"})
    first = await bench.build("shared")
    asked = len(index.asked)
    assert await bench.build("# the same\nshared\n") == first
    assert len(index.asked) == asked
    assert "built before" in bench.log
    assert bench.environments() == [first.digest]


async def test_two_at_once_of_one_manifest_are_one_build(bench: Bench, index: Index) -> None:
    index.add("twin", {"twin.py": "X = 1"})
    builder, logs = bench.builder(), [BuildLog(), BuildLog()]
    built = await asyncio.gather(*(builder.build(revision("twin"), log) for log in logs))
    assert built[0] == built[1]
    assert index.asked.count("/simple/twin/") == 1


async def test_imports_that_fail_die_hang_or_start_threads_are_skipped_and_named(bench: Bench, index: Index) -> None:
    index.add("good", {"good.py": "X = 1"})
    index.add("bad", {"bad.py": "raise ValueError('no\\nway')"})
    start = "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()"
    index.add("threads", {"threads.py": start})
    index.add("dies", {"dies.py": "import os\nos._exit(3)"})
    index.add("hangs", {"hangs.py": "import time\ntime.sleep(99)"})
    index.add("leaves", {"leaves.py": "import sys\nsys.exit(4)"})
    names = "bad\ngood\nthreads\ndies\nleaves\nhangs"
    built = await bench.build(names, "nothere, json", preload_timeout_s=3)
    assert built.preload == ("json", "good")
    for words in (
        "bad is not preloaded: ValueError: no way",
        "threads is not preloaded: it leaves threads behind",
        "dies is not preloaded: ",
        "hangs is not preloaded: ",
        "leaves is not preloaded: SystemExit: 4",
        "nothere is not preloaded: ModuleNotFoundError",
        "Preloaded: json, good.",
    ):
        assert words in bench.log
    image = bench.builder().image(replace(revision(names), digest=built.digest, preload=built.preload))
    code = "import threading, sys\ndef execute(input): return [threading.active_count(), 'good' in sys.modules]"
    assert value(await bench.sandbox.run(job(code, image=image))) == [1, True]


async def test_an_environment_that_is_too_large_is_refused(bench: Bench, index: Index) -> None:
    index.add("large", {"large.bin": bytes(6 * MIB)})
    with pytest.raises(BuildFailed, match=r"an environment may have 4 MiB; POLYCALL_RUNTIME_MIB"):
        await bench.build("large", size_bytes=4 * MIB)
    assert bench.environments() == []


async def test_there_is_an_end_to_what_all_of_them_may_have(bench: Bench, index: Index) -> None:
    index.add("first", {"first.bin": bytes(2 * MIB)})
    index.add("second", {"second.py": "X = 1"})
    await bench.build("first", size_bytes=4 * MIB, disk_bytes=1000 * MIB)
    with pytest.raises(BuildFailed, match=r"There is no room: environments may have 5 MiB .*POLYCALL_RUNTIMES_MIB"):
        await bench.build("second", size_bytes=4 * MIB, disk_bytes=5 * MIB)
    assert len(bench.environments()) == 1


async def test_nothing_of_a_build_is_kept_ready(bench: Bench, index: Index) -> None:
    index.add("brief", {"brief.py": "X = 1"})
    before = len(bench.sandbox.zygotes)
    await bench.build("brief")
    await eventually(lambda: len(bench.sandbox.zygotes) <= before, seconds=30)


async def test_a_build_that_takes_too_long_is_killed(bench: Bench, index: Index) -> None:
    index.held.add("slow")
    with pytest.raises(BuildFailed, match=r"longer than 1 s, which is the most \(POLYCALL_BUILD_TIMEOUT_S\)"):
        await bench.build("slow", timeout_s=1)
    assert bench.environments() == []
    index.held.discard("slow")


async def test_a_build_that_is_cancelled_leaves_nothing(bench: Bench, index: Index) -> None:
    index.held.add("held")
    building = asyncio.create_task(bench.build("held"))
    while "/simple/held/" not in index.asked:
        await asyncio.sleep(0.01)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert bench.environments() == []
    index.held.discard("held")


async def test_a_build_reaches_the_index_and_nothing_else(bench: Bench, index: Index) -> None:
    with running_index() as other:
        other.add("elsewhere", {"elsewhere.py": "X = 1"})
        (name,) = other.files
        index.files[name] = other.files[name]
        index.elsewhere["elsewhere"] = f"{other.url.removesuffix('/simple')}/files/{name}"
        with pytest.raises(BuildFailed, match="Failed to fetch"):
            await bench.build("elsewhere")
        assert other.asked == []
    index.elsewhere.clear()
    assert (await bench.build("elsewhere")).preload == ("elsewhere",)
