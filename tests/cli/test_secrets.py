"""polycall secrets: values come in by standard input or a file, and never out."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli

READS = "import os\ndef execute(input): return os.environ['TOKEN']\n"


def test_a_secret_is_made_used_changed_and_deleted(cli: Cli, tmp_path: Path) -> None:
    made = cli("secrets", "create", "A token", stdin="hunter2\n")
    name = made.text.strip()
    assert (made.code, made.err) == (0, "")
    assert name.startswith("secrets/")
    shown_id = name.removeprefix("secrets/")
    assert cli("run", "-", "--secret-env", f"TOKEN={shown_id}", stdin=READS).text == '"hunter2"\n'
    (tmp_path / "value").write_bytes(b"two lines\n\n")
    updated = cli("secrets", "update", name, "--file", str(tmp_path / "value"))
    assert dict(line.split(None, 1) for line in updated.text.splitlines())["secret"] == name
    assert cli("run", "-", "--secret-env", f"TOKEN={name}", stdin=READS).text == '"two lines\\n\\n"\n'
    assert cli("secrets", "update", shown_id, "--name", "Another", "--json").json()["displayName"] == "Another"
    (tmp_path / "uses.py").write_text(READS.replace("input", "x=0"))
    deploy = ("deploy", str(tmp_path / "uses.py"), "--package", "cli-secret", "--secret-env", f"TOKEN={shown_id}")
    assert cli(*deploy, "--json").json()["secretEnv"] == {"TOKEN": name}
    assert cli("run", "packages/cli-secret/functions/execute").text == '"two lines\\n\\n"\n'
    row = next(line for line in cli("secrets", "list").text.splitlines() if line.startswith(shown_id))
    assert row.split()[1] == "Another"
    assert cli("secrets", "delete", shown_id, "--yes").text == f"{name} is deleted.\n"
    gone = cli("secrets", "get", shown_id)
    assert gone.code == 2
    assert gone.err.endswith("`polycall secrets list` shows what there is.\n")
    refused = cli("run", "packages/cli-secret/functions/execute")
    assert refused.code == 2
    assert f"{name} is referred to and does not exist in this project; create it." in refused.err


def test_an_id_may_be_chosen(cli: Cli) -> None:
    made = cli("secrets", "create", "n", "--id", "cli/chosen", "--json", stdin="v").json()
    assert made["name"] == "secrets/cli%2Fchosen"
    assert cli("secrets", "get", "cli/chosen", "--json").json() == made
    taken = cli("secrets", "create", "n", "--id", "cli/chosen", stdin="v")
    assert taken.code == 2
    assert "secrets/cli%2Fchosen already exists." in taken.err


def test_all_is_sealed_anew_with_the_newest_key(cli: Cli) -> None:
    done = cli("secrets", "rotate")
    said = "0 secrets, 0 versions, 0 signing secrets, 0 stored requests and 0 deployments have the newest key now.\n"
    assert (done.code, done.text) == (0, said)
    key = cli("keys", "create", "--scope", "deploy", "--json").json()["key"]
    assert cli("secrets", "rotate", "--key", key).code == 4


def test_what_cannot_be_a_value_is_told(cli: Cli) -> None:
    for stdin, words in ((b"\xff", "the value is not UTF-8 text"), (b"\n", "secret.value: must be text of 1 to 65536")):
        wrong = cli("secrets", "create", "n", stdin=stdin)
        assert wrong.code == 2
        assert words in wrong.err
    wrong = cli("run", "-", "--secret-env", "TOKEN", stdin=READS)
    assert wrong.code == 2
    assert "write NAME=SECRET" in wrong.err
