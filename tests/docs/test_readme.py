"""Every command of the README and of the pages beside it runs as it stands there, against a real server, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from polycall.config import load
from tests.deploy.helm import find_helm
from tests.harness import Server

ROOT = Path(__file__).resolve().parents[2]
README, FACES, JAVASCRIPT = ROOT / "README.md", ROOT / "docs" / "faces.md", ROOT / "docs" / "javascript.md"
LIMITS, ANALYSIS = ROOT / "docs" / "limits.md", ROOT / "docs" / "analysis.md"
OPERATIONS = ROOT / "docs" / "operations.md"
SCHEDULES, WEBHOOKS = ROOT / "docs" / "schedules.md", ROOT / "docs" / "webhooks.md"
CALLS = ROOT / "docs" / "calls.md"
EGRESS, RUNTIMES = ROOT / "docs" / "egress.md", ROOT / "docs" / "runtimes.md"
SECRETS, AUDIT = ROOT / "docs" / "secrets.md", ROOT / "docs" / "audit.md"
IMPORT, DEPLOY = ROOT / "docs" / "import.md", ROOT / "docs" / "deploy.md"

_OUTPUT = ("json", "text")  # what the block above it prints
_BLOCK = re.compile(r"(<!-- run -->\n)?```(\w+)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One block that is marked to be run, and the output that the page shows below it."""

    language: str
    text: str
    shown: str | None


def snippets(page: Path) -> list[Snippet]:
    blocks = [(bool(mark), language, text) for mark, language, text in _BLOCK.findall(page.read_text())]
    found = []
    for index, (marked, language, text) in enumerate(blocks):
        after = blocks[index + 1] if index + 1 < len(blocks) else (False, "", "")
        shown = after[2] if after[1] in _OUTPUT and not after[0] else None
        if marked:
            found.append(Snippet(language, text, shown))
    return found


def left_out(page: Path) -> list[str]:
    """Return the first line of every block that is not run."""
    blocks = _BLOCK.findall(page.read_text())
    return [text.splitlines()[0] for mark, language, text in blocks if not mark and language not in _OUTPUT]


def test_every_command_block_is_run_or_is_a_make_target_or_a_vendors_snippet() -> None:
    assert left_out(README) == ["make run", "make test", "from rizaio import Riza"]
    assert left_out(FACES) == ["[projects.default]"]  # settings, which test_pages reads
    assert left_out(JAVASCRIPT) == left_out(LIMITS) == left_out(ANALYSIS) == []
    assert left_out(OPERATIONS)[0].startswith("POLYCALL_REPLICAS=")  # tests/integration/test_gateway_elsewhere.py
    assert left_out(OPERATIONS)[1:] == ['pg_dump --format=custom --file=polycall.dump "$POLYCALL_DATABASE_URL"']
    assert left_out(RUNTIMES) == left_out(SECRETS) == left_out(AUDIT) == left_out(IMPORT) == []
    assert left_out(DEPLOY) == [  # what needs systemd, an engine or a cluster; the page says so
        "useradd --system --home-dir /var/lib/polycall --shell /usr/sbin/nologin polycall",
        "docker build --file deploy/Dockerfile --tag polycall:0.1.0 .",
        "POLYCALL_SECRETS=/tmp/secrets docker compose --file deploy/compose.yaml up --build --detach --wait",
        "kubectl --namespace prod create secret generic polycall \\",
        "  rules:",
    ]
    assert left_out(EGRESS) == ["[[egress]]"]  # a manifest, which test_pages reads


def run(page: Path, server: Server, place: Path, **variables: str) -> None:
    """Run every command of a page; code and data of its own stay in ``place``."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("POLYCALL_")}
    environment |= {
        "POLYCALL_API_KEY": server.key,
        "POLYCALL_SERVER": server.grpc,
        "XDG_DATA_HOME": str(place),
        "NO_COLOR": "1",
        **variables,
    }
    for snippet in snippets(page):
        text = snippet.text.replace("127.0.0.1:8080", server.rest.removeprefix("http://"))
        text = text.replace("127.0.0.1:50051", server.grpc).replace("/tmp/", f"{place}/")
        text = text.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
        shell = ["bash", "-euo", "pipefail", "-c"] if snippet.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*shell, text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        if snippet.shown is not None:
            assert done.stdout == snippet.shown


def test_the_readme_runs_from_top_to_bottom(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(README)) >= 8
    run(README, polycall, tmp_path)


def test_the_page_of_the_faces_runs_from_top_to_bottom(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(FACES)) == 7
    run(FACES, polycall, tmp_path)


def test_the_page_of_javascript_runs_from_top_to_bottom(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(JAVASCRIPT)) == 2
    run(JAVASCRIPT, polycall, tmp_path)


def test_the_page_of_runtimes_runs(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(RUNTIMES)) == 2
    run(RUNTIMES, polycall, tmp_path)


def test_the_page_of_schedules_runs_from_top_to_bottom(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(SCHEDULES)) == 2
    run(SCHEDULES, polycall, tmp_path)


def test_the_page_of_calls_runs(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(CALLS)) == 1
    run(CALLS, polycall, tmp_path)


def test_the_page_of_webhooks_runs(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(WEBHOOKS)) == 1
    run(WEBHOOKS, polycall, tmp_path)


def test_the_page_of_the_limits_runs(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(LIMITS)) == 1
    run(LIMITS, polycall, tmp_path)


def test_the_page_of_the_analysis_runs_from_top_to_bottom(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(ANALYSIS)) == 1
    run(ANALYSIS, polycall, tmp_path)


def test_the_page_of_egress_runs(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(EGRESS)) == 1
    run(EGRESS, polycall, tmp_path)


def test_the_page_of_operations_runs_from_top_to_bottom(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(OPERATIONS)) == 1
    run(OPERATIONS, polycall, tmp_path, POLYCALL_DATA_DIR=str(polycall.data_dir))
    assert (tmp_path / "polycall-restored" / "polycall.db").stat().st_size > 0


def test_the_page_of_secrets_runs(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(SECRETS)) == 1
    run(SECRETS, polycall, tmp_path)


def test_the_page_of_the_audit_log_runs(polycall: Server, tmp_path: Path) -> None:
    assert len(snippets(AUDIT)) == 1
    run(AUDIT, polycall, tmp_path)


def test_the_page_of_imports_runs_as_it_stands(polycall: Server, tmp_path: Path) -> None:
    run(IMPORT, polycall, tmp_path)


def test_the_page_of_deploying_runs_where_neither_systemd_nor_an_engine_is_needed(
    polycall: Server, tmp_path: Path
) -> None:
    assert len(snippets(DEPLOY)) == 3
    run(
        DEPLOY,
        polycall,
        tmp_path,
        POLYCALL_GRPC_ADDRESS=polycall.grpc,
        POLYCALL_REST_ADDRESS=polycall.rest.removeprefix("http://"),
        PATH=f"{find_helm().directory}:{os.environ['PATH']}",
    )
    assert {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {
        "bootstrap-key": 0o444,
        "database-password": 0o444,
        "database-url": 0o444,
        "encryption-key": 0o444,
    }
    variables = {
        f"POLYCALL_{name.replace('-', '_').upper()}_FILE": str(tmp_path / "secrets" / name)
        for name in ("database-url", "encryption-key", "bootstrap-key")
    }
    assert load({}, variables).database_url.endswith("@postgres:5432/polycall")
    assert "kind: StatefulSet" in (tmp_path / "polycall.yaml").read_text()
