"""polycall deploy and packages: code goes in once, and can be seen, fetched, released and deleted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

SOURCE = 'def add(a: int, b: int = 1) -> int:\n    """Add two numbers."""\n    return a + b\n'
MANIFEST = """
package = "cli-shop"
version = "1.0.1"
release = true
display_name = "Shop"

[limits]
timeout = "5s"

[env]
CURRENCY = "EUR"

[functions.price]
entrypoint = "shop:price"
convention = "parameters"
parameters = [{ name = "net", type = "number" }, { name = "tax", type = "decimal", default = 0.5 }]
output = { type = "decimal" }
"""
SHOP = "import os\ndef price(n, t):\n    return [n * (1 + t), os.environ['CURRENCY']]\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    root.mkdir()
    (root / "polycall.toml").write_text(MANIFEST)
    (root / "shop.py").write_text(SHOP)
    return root


def test_a_file_becomes_a_package_with_its_functions(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cli-adder.py").write_text(SOURCE)
    deployed = cli("deploy", str(tmp_path / "cli-adder.py"))
    assert deployed.code == 0, deployed.err
    lines = deployed.text.splitlines()
    assert lines[0].split() == ["version", "packages/cli-adder/versions/1"]
    assert lines[1].split() == ["state", "READY"]
    assert lines[2].split() == ["FUNCTION", "CONVENTION", "INPUT", "DESCRIPTION"]
    assert lines[3].split("  ")[0] == "add"
    assert "a: integer, [b: integer]" in lines[3]
    assert lines[3].endswith("Add two numbers.")
    done = cli("run", "packages/cli-adder/functions/add", "--input", '{"a": 41}')
    assert (done.code, done.text) == (0, "42\n")


def test_the_next_version_gets_the_next_number(cli: Cli) -> None:
    names = [cli("deploy", "-", "--package", "cli-numbers", "--json", stdin=SOURCE).json()["name"] for _ in range(2)]
    assert names == ["packages/cli-numbers/versions/1", "packages/cli-numbers/versions/2"]
    listed = cli("packages", "versions", "cli-numbers", "--json").json()
    assert [version["name"] for version in listed["versions"]] == names[::-1]


def test_a_directory_is_deployed_as_its_manifest_says(cli: Cli, shop: Path) -> None:
    deployed = cli("deploy", str(shop), "--json")
    version = deployed.json()
    assert (deployed.code, version["name"], version["state"]) == (
        0,
        "packages/cli-shop/versions/1.0.1",
        "STATE_RELEASED",
    )
    assert (version["limits"]["timeout"], version["env"]) == ("5s", {"CURRENCY": "EUR"})
    assert version["functions"][0]["parameters"][1] == {
        "name": "tax",
        "declaredType": {"type": "decimal"},
        "defaultJson": "0.5",
    }
    done = cli("run", "packages/cli-shop/functions/price", "--input", '{"tax": 1, "net": 2}')
    assert (done.code, done.json()) == (0, [4, "EUR"])
    listed = cli("packages", "list", "--json").json()["packages"]
    assert [p["displayName"] for p in listed if p["name"] == "packages/cli-shop"] == ["Shop"]
    again = cli("deploy", str(shop))
    assert again.code == 2
    assert "already exists" in again.err


def test_an_archive_is_unpacked_on_the_server(cli: Cli, shop: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in shop.iterdir():
            archive.write(file, file.name)
    deployed = cli("deploy", "-", "--package", "cli-archive", stdin=buffer.getvalue())
    assert deployed.code == 0, deployed.err
    done = cli("run", "packages/cli-archive/functions/price", "--input", '{"net": 2, "tax": 0.5}')
    assert (done.code, done.json()) == (0, [3.0, "EUR"])


@pytest.mark.parametrize(
    ("flags", "code", "function", "payload", "value"),
    [
        (["--convention", "input"], "def execute(input): return input", "execute", '{"a": 1}', {"a": 1}),
        (["--function", "go:input"], "def go(input): return input", "go", "[1]", [1]),
        (["--entrypoint", "main:go"], "def go(a): return a", "go", '{"a": 1}', 1),
        (["--convention", "handle"], "def handle(data): return data", "handle", '{"a": 1}', {"a": 1}),
    ],
)
def test_flags_say_how_the_input_reaches_the_code(
    cli: Cli, flags: list[str], code: str, function: str, payload: str, value: object
) -> None:
    deployed = cli("deploy", "-", "--package", "cli-flags", *flags, stdin=code)
    assert deployed.code == 0, deployed.err
    done = cli("run", f"packages/cli-flags/functions/{function}", "--input", payload)
    assert (done.code, done.json()) == (0, value)


def test_code_that_does_not_compile_is_kept_as_an_error_and_exits_1(cli: Cli) -> None:
    failed = cli("deploy", "-", "--package", "cli-broken", stdin="def add(a, b) return a")
    assert failed.code == 1
    assert "main.py:1" in failed.err
    assert "ERROR" in failed.text
    assert cli("run", "packages/cli-broken/functions/add").code == 2


def test_validate_only_stores_nothing(cli: Cli) -> None:
    checked = cli("deploy", "-", "--package", "cli-dry", "--validate-only", stdin=SOURCE)
    assert checked.code == 0
    assert "add" in checked.text
    assert cli("packages", "versions", "cli-dry").code == 2


def test_source_can_be_listed_read_and_fetched(cli: Cli, tmp_path: Path) -> None:
    root = tmp_path / "code"
    (root / "lib").mkdir(parents=True)
    (root / "main.py").write_text(SOURCE)
    (root / "lib" / "data.bin").write_bytes(bytes(range(256)))
    assert cli("deploy", str(root), "--package", "cli-source").code == 0
    listed = cli("packages", "source", "cli-source").text.splitlines()
    assert [line.split() for line in listed] == [
        ["FILE", "BYTES"],
        ["lib/data.bin", "256"],
        ["main.py", str(len(SOURCE))],
    ]
    assert cli("packages", "source", "cli-source", "lib/data.bin").out == bytes(range(256))
    assert cli("packages", "source", "cli-source", "none.py").code == 2
    out = tmp_path / "out"
    assert cli("packages", "source", "cli-source", "--output", str(out)).code == 0
    assert {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()} == {
        "main.py": SOURCE.encode(),
        "lib/data.bin": bytes(range(256)),
    }
    again = cli("packages", "source", "cli-source", "--output", str(out))
    assert again.code == 2
    assert "exists; name an empty directory" in again.err


def test_a_release_is_what_callers_get(cli: Cli) -> None:
    for value in ("1", "2"):
        assert cli("deploy", "-", "--package", "cli-release", stdin=f"def f(): return {value}").code == 0
    assert cli("packages", "release", "cli-release", "--version", "1").code == 0
    assert cli("run", "packages/cli-release/functions/f").text == "1\n"
    assert "packages/cli-release/versions/1" in cli("packages", "get", "cli-release").text
    assert cli("packages", "release", "cli-release", "--version", "1").code == 2


def test_delete_asks_first(cli: Cli) -> None:
    assert cli("deploy", "-", "--package", "cli-delete", stdin=SOURCE).code == 0
    assert cli("packages", "delete", "cli-delete", stdin="n\n").code == 130
    unanswered = cli("packages", "delete", "cli-delete")
    assert unanswered.code == 2
    assert unanswered.err.endswith(
        "packages/cli-delete is not deleted: nobody answered. --yes deletes it without being asked.\n"
    )
    assert cli("packages", "get", "cli-delete").code == 0
    assert cli("packages", "delete", "cli-delete", "--version", "1", "--yes").code == 0
    assert cli("packages", "versions", "cli-delete").code == 0
    assert cli("packages", "delete", "cli-delete", "--yes").text == "packages/cli-delete is deleted.\n"
    gone = cli("packages", "get", "cli-delete")
    assert gone.code == 2
    assert "`polycall packages list` shows what there is." in gone.err


def test_an_id_that_cannot_be_is_refused(cli: Cli) -> None:
    refused = cli("deploy", "-", "--package", "a" * 129, stdin=SOURCE)
    assert refused.code == 2
    assert "parent" in refused.err


def test_an_id_from_elsewhere_is_shown_as_its_owner_spells_it(cli: Cli) -> None:
    deployed = cli("deploy", "-", "--package", "cli/old é", "--version", "1_0 (b)", stdin=SOURCE)
    assert deployed.code == 0, deployed.err
    assert "packages/cli%2Fold%20%C3%A9/versions/1_0%20%28b%29" in deployed.text
    assert "\ncli/old é " in cli("packages", "list").text
    assert "\n1_0 (b) " in cli("packages", "versions", "cli/old é").text
    assert cli("packages", "release", "cli/old é", "--version", "1_0 (b)").code == 0
    ran = cli("run", "packages/cli%2Fold%20%C3%A9/functions/add", "--input", '{"a": 1, "b": 2}')
    assert (ran.code, ran.text) == (0, "3\n")
    assert cli("packages", "delete", "cli/old é", "--yes").code == 0


def test_a_script_is_deployed_as_the_file_it_is(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("print('done')")
    deployed = cli("deploy", str(tmp_path / "job.py"), "--package", "cli-script", "--convention", "script")
    assert deployed.code == 0, deployed.err
    done = cli("run", "packages/cli-script/functions/main")
    assert (done.code, done.text) == (0, "done\n")


def test_javascript_and_typescript_are_deployed_as_what_they_are(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cli-sums.mjs").write_text("export function add(a, b = 1) { return a + b }")
    assert cli("deploy", str(tmp_path / "cli-sums.mjs")).code == 0
    assert cli("run", "packages/cli-sums/functions/add", "--input", '{"a": 1}').text == "2\n"
    code = "export const add = (a: number, b: number) => a + b"
    assert cli("deploy", "-", "--package", "cli-typed", "--language", "typescript", stdin=code).code == 0
    assert cli("run", "packages/cli-typed/functions/add", "--input", '{"a": 1, "b": 2}').text == "3\n"
    project = tmp_path / "project"
    project.mkdir()
    (project / "main.ts").write_text("import { one } from './one.ts'\nexport function two() { return one + one }")
    (project / "one.ts").write_text("export const one: number = 1")
    assert cli("deploy", str(project), "--package", "cli-project").code == 0
    assert cli("run", "packages/cli-project/functions/two").text == "2\n"
