"""What was exported once runs here under the ids that it had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from polycall.cli.client import Client
from polycall.cli.exits import Exit
from polycall.cli.failures import Failure
from tests.imports.conftest import EXPORTS, Place

RIZA, DOMO = str(EXPORTS / "riza"), str(EXPORTS / "domo")
SUMS = "756f0b19-5125-44f6-b541-058980ff6a94"
WORDS = "758e1b02-0000-4000-8000-000000000002"
RIZA_OBJECTS = [
    ("revision", "rtr_2"),  # it failed there
    ("runtime", "rt_six"),
    ("revision", "rtr_1"),
    ("secret", "01JKY2FCN25GW3EC8JMFN3KWXC"),
    ("package", "old tool/1 é"),
    ("version", "old tool/1 é rev_1"),
    ("package", "01JKY2FCN25GW3EC8JMFN3KWXA"),
    ("version", "01JKY2FCN25GW3EC8JMFN3KWXA 01JKY2FCN25GW3EC8JMFN3KWXB"),
    ("package", "01JKY2FCN25GW3EC8JMFN3KWXE"),
    ("version", "01JKY2FCN25GW3EC8JMFN3KWXE 01JKY2FCN25GW3EC8JMFN3KWXF"),
]
RIZA_OWN = {"rtr_2": "left", "01JKY2FCN25GW3EC8JMFN3KWXC": "to do"}
DOMO_OBJECTS = [
    ("package", SUMS),
    *(("version", f"{SUMS} {version}") for version in ("1.0.0", "1.0.1", "2.0.0")),
    ("package", WORDS),
    ("version", f"{WORDS} 1.0.0"),
]


def test_a_riza_account_runs_under_its_ids(place: Place, tmp_path: Path) -> None:
    secret = "01JKY2FCN25GW3EC8JMFN3KWXC"
    made = place.outcomes("riza", "--from", RIZA)
    assert made == [(k, i, RIZA_OWN.get(i, "created")) for k, i in RIZA_OBJECTS]
    greeted = place.run("packages/old%20tool%2F1%20%C3%A9/versions/rev_1/functions/execute", {"name": "Ada"})
    assert greeted == {"hello": "Ada"}
    assert place.run("packages/01JKY2FCN25GW3EC8JMFN3KWXA/functions/execute", {"n": 1}) == {"n": 2}
    assert place.packages() == [
        *("01JKY2FCN25GW3EC8JMFN3KWXE", "01JKY2FCN25GW3EC8JMFN3KWXA", "old tool/1 é"),
    ]
    assert place.run("packages/01JKY2FCN25GW3EC8JMFN3KWXE/functions/execute", None) == "1.17.0"
    told = place.imports("riza", "--from", RIZA).text
    assert "give it with --secrets, or: polycall secrets create TOKEN --id 01JKY2FCN25GW3EC8JMFN3KWXC" in told
    values = tmp_path / "values.json"
    values.write_text('{"TOKEN": "hunter2"}')
    assert ("secret", secret, "created") in place.outcomes("riza", "--from", RIZA, "--secrets", str(values))
    again = place.outcomes("riza", "--from", RIZA)
    assert again == [(k, i, "left" if i == "rtr_2" else "same") for k, i in RIZA_OBJECTS]


def test_domo_packages_run_under_their_ids_and_versions(place: Place) -> None:
    assert place.outcomes("domo", "--from", DOMO) == [(k, i, "created") for k, i in DOMO_OBJECTS]

    def call(package: str, version: str, function: str, **inputs: object) -> tuple[int, object]:
        path = f"/api/codeengine/v2/packages/{package}/versions/{version}/functions/{function}"
        answer = place.http("POST", path, {"inputVariables": inputs})
        return answer.status, answer.json().get("result")

    assert call(SUMS, "1.0.1", "add", a=2, b=3) == (200, 5)
    assert call(SUMS, "1.0.0", "add", a=2) == (200, 3)  # the declared default
    assert call(WORDS, "1.0.0", "shout", text="ada") == (200, "ADA")
    assert call(SUMS, "2.0.0", "add", a=2)[0] == 404  # not released there, not released here
    assert call(SUMS, "1.0.1", "secret")[0] == 404  # private
    assert call(SUMS, "1.0.1", "add", a="2")[0] == 400  # declared types hold
    assert place.outcomes("domo", "--from", DOMO) == [(k, i, "same") for k, i in DOMO_OBJECTS]


def test_guance_scripts_run_under_their_ids(place: Place) -> None:
    objects = [
        ("script set", "a__b", "refused"),
        ("script", "shop__draft", "left"),
        ("script", "nothing", "refused"),
        ("script", "shop__prices", "left"),  # its draft
        *(("runtime", "guance-shop", "created"), ("revision", "guance-shop-1", "created")),
        *(("package", "shop__prices", "created"), ("version", "shop__prices 3", "created")),
        *(("package", "_plain__hello", "created"), ("version", "_plain__hello 1", "created")),
    ]
    folder = str(EXPORTS / "guance")
    assert place.outcomes("guance", "--from", folder, code=1) == objects

    def call(function: str, **kwargs: object) -> Any:
        body = {"funcId": function, "funcBody": {"kwargs": kwargs}}
        return place.http("POST", "/api/v1/outer_function/execute", body).json()["content"]

    assert call("shop__prices.total", prices=[9007199254740993, 1])["data"]["result"] == [9007199254740994, "1.17.0"]
    assert call("_plain__hello.hello", name="Tom")["data"]["result"] == "Hello, Tom"
    assert call("shop__prices.helper")["error"] == 404.41  # it is not registered
    again = place.outcomes("guance", "--from", folder, code=1)
    assert again == [(kind, name, "same" if action == "created" else action) for kind, name, action in objects]


def test_a_dry_run_tells_the_plan_and_changes_nothing(place: Place) -> None:
    for vendor, folder in (("riza", RIZA), ("domo", DOMO)):
        plan = place.imports(vendor, "--from", folder, "--dry-run")
        assert plan.code == 0, plan.err
        assert "would be created" in plan.text
    assert place.packages() == []


def test_what_is_here_and_differs_stays_unless_it_is_to_be_overwritten(place: Place, tmp_path: Path) -> None:
    place.outcomes("domo", "--from", DOMO)
    packages = json.loads((EXPORTS / "domo" / "packages.json").read_text())
    packages[0]["description"] = "Sums."
    packages[0]["versions"][0]["code"] = "def add(x, y):\n    return 0\n"
    (tmp_path / "packages.json").write_text(json.dumps(packages))
    changed = {("package", SUMS), ("version", f"{SUMS} 1.0.0")}

    differs = place.imports("domo", "--from", str(tmp_path))
    assert differs.code == 1
    assert "description" in differs.text
    assert "source_digest" in differs.text
    assert differs.text.endswith("\n\ndomo: 4 same, 2 differs.\n")

    def expected(action: str, others: str = "same") -> list[tuple[str, str, str]]:
        return [(k, i, action if (k, i) in changed else others) for k, i in DOMO_OBJECTS]

    assert place.outcomes("domo", "--from", str(tmp_path), code=1) == expected("differs")
    planned = place.outcomes("domo", "--from", str(tmp_path), "--overwrite", "--dry-run")
    # versions after one that is made anew are made anew as well, so that the newest stays the newest
    replaced = changed | {("version", f"{SUMS} 1.0.1"), ("version", f"{SUMS} 2.0.0")}
    assert planned == [(k, i, "replaced" if (k, i) in replaced else "same") for k, i in DOMO_OBJECTS]
    assert place.outcomes("domo", "--from", str(tmp_path), code=1) == expected("differs")
    assert place.outcomes("domo", "--from", str(tmp_path), "--overwrite") == planned
    assert place.outcomes("domo", "--from", str(tmp_path)) == expected("same")
    assert place.run(f"packages/{SUMS}/functions/add", {"a": 1, "b": 2}) == 3
    assert place.run(f"packages/{SUMS}/versions/1.0.0/functions/add", {"a": 1, "b": 2}) == 0


def test_one_package_can_be_brought_over_alone(place: Place) -> None:
    assert place.outcomes("domo", "--from", DOMO, "--only", WORDS) == [(k, i, "created") for k, i in DOMO_OBJECTS[4:]]
    missing = place.imports("domo", "--from", DOMO, "--only", "nope")
    assert (missing.code, missing.err) == (2, f"polycall: {DOMO} has no nope.\n")


def test_an_import_that_was_cut_short_goes_on(place: Place) -> None:
    """The server is gone at every single call in turn; what is here by then stays, and the next import goes on."""
    calls = 0
    call = Client.call
    made: set[str] = set()

    for stop in range(100):
        calls = 0

        def limited(self: Client, *args: Any, stop: int = stop, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > stop:
                raise Failure("cannot reach polycall.", Exit.UNREACHABLE)
            return call(self, *args, **kwargs)

        with place.cli.monkeypatch.context() as patch:
            patch.setattr(Client, "call", limited)
            done = place.imports("domo", "--from", DOMO, "--json")
        told = done.json()["outcomes"]
        assert [(outcome["kind"], outcome["id"]) for outcome in told] == DOMO_OBJECTS[: len(told)]
        for outcome in told:
            new = outcome["action"] == "created"
            assert new != (outcome["id"] in made), outcome
            made.add(outcome["id"])
        if done.code == 0:
            break
        assert (done.code, done.err) == (3, "polycall: cannot reach polycall.\n")
    assert len(told) == len(DOMO_OBJECTS)
    assert place.run(f"packages/{SUMS}/functions/add", {"a": 1, "b": 2}) == 3


def test_code_that_is_mended_replaces_what_cannot_run(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "domo"
    shutil.copytree(DOMO, folder)
    packages = json.loads((folder / "packages.json").read_text())
    good = packages[0]["versions"][1]["code"]
    packages[0]["versions"][1]["code"] = "def add(:\n"
    (folder / "packages.json").write_text(json.dumps(packages))
    first = place.imports("domo", "--from", str(folder))
    assert first.code == 1
    assert "its code cannot run: main.py:1" in first.text
    packages[0]["versions"][1]["code"] = good
    (folder / "packages.json").write_text(json.dumps(packages))
    second = place.outcomes("domo", "--from", str(folder), "--overwrite")
    assert second[0] == ("package", SUMS, "same")
    assert second[2] == ("version", f"{SUMS} 1.0.1", "replaced")
    assert place.run(f"packages/{SUMS}/functions/add", {"a": 1, "b": 2}) == 3
