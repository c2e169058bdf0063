"""Every command of the README runs as it stands there, against a real server, in the order of the page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import Server

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"

_BLOCK = re.compile(r"(<!-- run -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One block that is marked to be run, and the output that the page shows below it."""

    language: str
    text: str
    shown: str | None


def snippets() -> list[Snippet]:
    blocks = [(bool(mark), language, text) for mark, language, text in _BLOCK.findall(README.read_text())]
    found = []
    for index, (marked, language, text) in enumerate(blocks):
        after = blocks[index + 1] if index + 1 < len(blocks) else (False, "", "")
        shown = after[2] if after[1] == "json" and not after[0] else None
        if marked:
            found.append(Snippet(language, text, shown))
    return found


def test_every_command_block_is_run_or_is_a_make_target_or_a_vendors_snippet() -> None:
    left_out = [text for mark, language, text in _BLOCK.findall(README.read_text()) if not mark and language != "json"]
    assert [text.splitlines()[0] for text in left_out] == ["make run", "make test", "from rizaio import Riza"]


@pytest.fixture(scope="module")
def environment(polycall: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("POLYCALL_")}
    return kept | {
        "POLYCALL_API_KEY": polycall.key,
        "POLYCALL_SERVER": polycall.grpc,
        "XDG_DATA_HOME": str(tmp_path_factory.mktemp("home")),
        "NO_COLOR": "1",
    }


def test_the_readme_runs_from_top_to_bottom(polycall: Server, environment: dict[str, str], tmp_path: Path) -> None:
    assert len(snippets()) >= 8
    for snippet in snippets():
        text = snippet.text.replace("127.0.0.1:8080", polycall.rest.removeprefix("http://"))
        text = text.replace("127.0.0.1:50051", polycall.grpc).replace("/tmp/", f"{tmp_path}/")
        text = text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        shell = ["bash", "-euo", "pipefail", "-c"] if snippet.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*shell, text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        if snippet.shown is not None:
            assert done.stdout == snippet.shown
