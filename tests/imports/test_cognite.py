"""A Cognite project that was exported runs here: functions under their numbers, with packages, and schedules."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from polycall.cli.failures import Failure
from polycall.cli.importing import cognite
from polycall.cli.importing.export import Export
from polycall.v1 import execution_service_pb2, schedule_service_pb2
from tests.harness import until
from tests.imports.conftest import Place
from tests.imports.vendor import Answer, Vendor, vendor

GREETER, PACKAGED = 4723897238497123, 9007199254740991
FUNCTIONS: list[dict[str, Any]] = [
    {
        "id": PACKAGED,
        "name": "packaged",
        "fileId": 8,
        "status": "Ready",
        "functionPath": "pack/handler.py",
        "createdTime": 1730204346001,
        "memory": 1.0,
        "cpu": 0.5,
        "runtime": "py311",
        "runtimeVersion": "Python 3.11.10",
    },
    {
        "id": GREETER,
        "name": "greeter",
        "externalId": "say/hello",
        "description": "Greets.",
        "owner": "ada",
        "fileId": 7,
        "status": "Ready",
        "functionPath": "handler.py",
        "createdTime": 1730204346000,
        "metadata": {"team": "a"},
        "envVars": {"GREETING": "Hello"},
        "secrets": {"api-key": "***"},
    },
]
SCHEDULES = [
    {
        "id": 21,
        "name": "nightly",
        "functionId": GREETER,
        "cronExpression": "0 3 * * *",
        "when": "At 03:00",
        "sessionId": 99,
        "createdTime": 1730204346000,
        "description": "Every night.",
    },
    {
        "id": 22,
        "name": "bare",
        "functionId": GREETER,
        "cronExpression": "*/5 * * * *",
        "when": "Every 5 minutes",
        "sessionId": 100,
        "createdTime": 1730204346000,
    },
]
HANDLER = """
import os

def handle(data, secrets):
    return [f"{os.environ['GREETING']}, {data['name']}", secrets.get("api-key")]
"""
ZIPS: dict[int, dict[str, str]] = {
    7: {"handler.py": HANDLER},
    8: {
        "pack/__init__.py": "",
        "pack/handler.py": "import six\n\ndef handle(data, function_call_info):\n"
        "    return [six.__version__, function_call_info['function_id'], data]\n",
        "requirements.txt": "six==1.17.0  # of the registry\n",
    },
}


def packed(files: Mapping[str, str]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return archive.getvalue()


def export(folder: Path, functions: list[dict[str, Any]] = FUNCTIONS, **files: bytes) -> Path:
    """Write an export; ``f7`` is the zip file 7."""
    (folder / "files").mkdir(parents=True)
    (folder / "functions.json").write_text(json.dumps({"items": functions}))
    (folder / "schedules.json").write_text(json.dumps({"items": SCHEDULES}))
    (folder / "input_data.json").write_text('{"items":[{"id":21,"data":{"name":"Ada","n":1.0}},{"id":22}]}')
    zips = {f"f{number}": packed(contents) for number, contents in ZIPS.items()} | files
    for name, data in zips.items():
        (folder / "files" / f"{name[1:]}.zip").write_bytes(data)
    return folder


def called(place: Place, function: int, data: object) -> Any:
    """Call a function as the vendor's clients do, and return its response."""
    root = f"/api/v1/projects/{place.project}"
    session = place.http("POST", f"{root}/sessions", {"items": [{"tokenExchange": True}]}).json()["items"][0]
    call = place.http("POST", f"{root}/functions/{function}/call", {"data": data, "nonce": session["nonce"]})
    assert call.status == 201, call.body
    path = f"{root}/functions/{function}/calls/{call.json()['id']}"
    until(lambda: place.http("GET", path).json()["status"] != "Running", seconds=30, what="the end of the call")
    return place.http("GET", f"{path}/response").json().get("response")


OBJECTS = [
    ("runtime", f"cognite-{PACKAGED}", "created"),
    ("revision", f"cognite-{PACKAGED}-1", "created"),
    *(("package", str(GREETER), "created"), ("version", f"{GREETER} 1", "created")),
    ("secret", f"{GREETER}/api-key", "to do"),
    *(("package", str(PACKAGED), "created"), ("version", f"{PACKAGED} 1", "created")),
    *(("schedule", "22", "created"), ("schedule", "21", "created")),
]
AGAIN = [(kind, name, "same" if action == "created" else action) for kind, name, action in OBJECTS]


def test_a_cognite_project_runs_under_its_numbers(place: Place, tmp_path: Path) -> None:
    folder = str(export(tmp_path / "export"))
    assert place.outcomes("cognite", "--from", folder) == OBJECTS
    assert called(place, GREETER, {"name": "Ada"}) == ["Hello, Ada", None]
    assert called(place, PACKAGED, {"n": 1}) == ["1.17.0", str(PACKAGED), {"n": 1}]
    found = place.http(
        "POST", f"/api/v1/projects/{place.project}/functions/byids", {"items": [{"externalId": "say/hello"}]}
    ).json()["items"][0]
    assert found["secrets"] == {"api-key": "***"}
    listed = place.http("POST", f"/api/v1/projects/{place.project}/functions/list", {}).json()["items"]
    known = ("id", "name", "fileId", "functionPath", "externalId", "owner", "metadata", "envVars", "memory", "cpu")
    assert [{name: item[name] for name in known if name in item} for item in listed] == [
        {name: item[name] for name in known if name in item}
        | {"cpu": item.get("cpu", 1.0)}
        | {"memory": item.get("memory", 1.5)}
        for item in FUNCTIONS
    ]
    assert (found["id"], found["name"], found["status"]) == (GREETER, "greeter", "Ready")
    schedule = place.server.schedules.GetSchedule(
        schedule_service_pb2.GetScheduleRequest(name="schedules/21"),
        metadata=[("authorization", f"Bearer {place.key}")],
        timeout=30,
    )
    assert (schedule.function, schedule.face) == (f"packages/{GREETER}/functions/handle", "cognite")
    root = f"/api/v1/projects/{place.project}/functions/schedules"
    shown = place.http("GET", root).json()["items"]
    assert [(each["id"], each["name"], each["functionId"]) for each in shown] == [
        *((21, "nightly", GREETER), (22, "bare", GREETER))
    ]
    inputs = [place.http("GET", f"{root}/{number}/input_data").json() for number in (21, 22)]
    assert inputs == [{"id": 21, "data": {"name": "Ada", "n": 1.0}}, {"id": 22}]
    assert (schedule.cron, schedule.paused, schedule.display_name) == ("0 3 * * *", True, "nightly")
    assert json.loads(schedule.input_json) == {"name": "Ada", "n": 1.0}
    started = place.server.schedules.RunSchedule(
        schedule_service_pb2.RunScheduleRequest(name="schedules/21"),
        metadata=[("authorization", f"Bearer {place.key}")],
        timeout=30,
    )
    ended = place.server.executions.WaitExecution(
        execution_service_pb2.WaitExecutionRequest(name=started.name),
        metadata=[("authorization", f"Bearer {place.key}")],
        timeout=30,
    )
    assert json.loads(ended.output_json) == ["Hello, Ada", None]
    assert place.outcomes("cognite", "--from", folder) == AGAIN


def test_numbers_that_are_given_out_later_are_others(place: Place, tmp_path: Path) -> None:
    root = f"/api/v1/projects/{place.project}"

    def created(name: str) -> int:
        file = place.http("POST", f"{root}/files", {"name": f"{name}.zip"}).json()
        path = file["uploadUrl"].removeprefix(place.server.rest)
        assert place.server.http("PUT", path, body=packed({"handler.py": "def handle(): return 1\n"})).status == 200
        made = place.http("POST", f"{root}/functions", {"items": [{"name": name, "fileId": file["id"]}]})
        assert made.status == 201, made.body
        number: int = made.json()["items"][0]["id"]
        return number

    first = created("first")
    taken = [first + step for step in range(1, 4)]
    folder = export(tmp_path / "export", [FUNCTIONS[1] | {"id": number, "externalId": None} for number in taken])
    (folder / "schedules.json").unlink()
    assert place.imports("cognite", "--from", str(folder)).code == 0
    assert created("second") > first + 3
    for number in taken:
        assert called(place, number, {"name": "Ada"}) == ["Hello, Ada", None]


def test_secrets_get_the_values_that_the_user_gives(place: Place, tmp_path: Path) -> None:
    folder = str(export(tmp_path / "export", FUNCTIONS[1:]))
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"say/hello/api-key": "hunter2", "other/api-key": "no"}))

    def action(*options: str, code: int = 0) -> str:
        return place.outcomes("cognite", "--from", folder, *options, code=code)[1][2]

    assert action() == "created"
    assert action("--secrets", str(values), code=1) == "differs"
    assert action("--secrets", str(values), "--overwrite") == "replaced"
    assert called(place, GREETER, {"name": "Ada"}) == ["Hello, Ada", "hunter2"]
    shown = place.command("packages", "get", str(GREETER), "--json").text
    assert '"api-key": ""' in shown
    assert "hunter2" not in shown
    done = place.imports("cognite", "--from", folder, "--secrets", str(values))
    assert (done.code, done.text) == (0, "cognite: 4 same.\n")
    # new code without the values would lose them
    (tmp_path / "export" / "files" / "7.zip").write_bytes(packed({"handler.py": "def handle(): return 1\n"}))
    refused = place.imports("cognite", "--from", folder, "--overwrite")
    assert refused.code == 1
    assert "its secrets (api-key) would be lost: give them with --secrets." in refused.text
    assert called(place, GREETER, {"name": "Ada"}) == ["Hello, Ada", "hunter2"]
    # code that cannot run takes the place of nothing
    (tmp_path / "export" / "files" / "7.zip").write_bytes(packed({"handler.py": "def handle(:\n"}))
    refused = place.imports("cognite", "--from", folder, "--overwrite", "--secrets", str(values))
    assert refused.code == 1
    assert "its code cannot run: handler.py:1" in refused.text
    assert called(place, GREETER, {"name": "Ada"}) == ["Hello, Ada", "hunter2"]


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', '{"a": "hunter2"', "\udcff"])
def test_what_is_no_list_of_values_is_refused_and_not_quoted(place: Place, tmp_path: Path, text: str) -> None:
    folder = export(tmp_path / "export")
    (tmp_path / "values.json").write_bytes(text.encode(errors="surrogateescape"))
    refused = place.imports("cognite", "--from", str(folder), "--secrets", str(tmp_path / "values.json"))
    assert refused.code == 2
    assert refused.err.endswith("values.json must be a JSON object of texts: the values of secrets by their names.\n")


def cdf(there: Mapping[int, bytes], token: str) -> Any:
    """Answer as the vendor does: lists, a link for each file, and the files on a host of their own."""

    def answers(method: str, path: str, body: bytes) -> Answer:
        root = "/base/api/v1/projects/my%20project"
        sent = json.loads(body) if body.startswith(b"{") else {}
        if path == "/oauth2/token":
            return Answer(json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).encode())
        if path == f"{root}/functions/list":
            return Answer(json.dumps({"items": FUNCTIONS}).encode())
        if path == f"{root}/functions/schedules/list":
            return Answer(json.dumps({"items": SCHEDULES}).encode())
        if path == f"{root}/functions/schedules/21/input_data":
            return Answer(b'{"id":21,"data":{"name":"Ada","n":1.0}}')
        if path == f"{root}/functions/schedules/22/input_data":
            return Answer(b'{"id":22}')
        if path == f"{root}/files/downloadlink":
            number = sent["items"][0]["id"]
            if number not in there:
                return Answer(b'{"error":{"code":400,"message":"Files ids not found"}}', 400)
            return Answer(json.dumps({"items": [{"id": number, "downloadUrl": f"/signed/{number}"}]}).encode())
        if path.startswith("/base/signed/"):
            return Answer(there[int(path.rpartition("/")[2])])
        return Answer(b'{"error":{"code":404,"message":"Not Found"}}', 404)

    return answers


def headers(there: Vendor, path: str) -> list[str | None]:
    return [
        sent.get("authorization")
        for (_, asked), sent in zip(there.asked, there.headers, strict=True)
        if asked.endswith(path)
    ]


def test_a_project_is_fetched_with_the_users_credentials(place: Place, tmp_path: Path) -> None:
    """From an API like the vendor's, which gives links to the files; the answers are kept, and are an export."""
    zips = {number: packed(files) for number, files in ZIPS.items()}
    saved = tmp_path / "saved"
    with vendor(cdf(zips, "token-1")) as there, place.cli.monkeypatch.context() as patch:
        options = ("--url", f"{there.url}/base", "--project", "my project", "--save", str(saved), "--dry-run")
        patch.setenv("COGNITE_CLIENT_ID", "me")
        patch.setenv("COGNITE_CLIENT_SECRET", "hunter2")
        plan = place.imports("cognite", *options, "--token-url", f"{there.url}/oauth2/token")
        assert plan.code == 0, plan.err
        assert headers(there, "/oauth2/token") == [None]
        assert headers(there, "/functions/list") == ["Bearer token-1"]
        assert place.packages() == []
        assert "hunter2" not in plan.text + plan.err
        assert all(b"hunter2" not in file.read_bytes() for file in saved.rglob("*.json"))
    assert saved.stat().st_mode & 0o777 == 0o700
    assert sorted(str(file.relative_to(saved)) for file in saved.rglob("*.*")) == [
        *("files/7.zip", "files/8.zip", "functions.json", "input_data.json", "schedules.json"),
    ]
    assert place.outcomes("cognite", "--from", str(saved), "--only", "say/hello") == [
        outcome for outcome in OBJECTS if str(PACKAGED) not in outcome[1]
    ]


def test_a_vendor_is_not_asked_for_nobody(place: Place) -> None:
    with vendor(cdf({}, "")) as there, place.cli.monkeypatch.context() as patch:
        patch.setenv("COGNITE_TOKEN", "token-2")
        patch.setenv("POLYCALL_SERVER", place.server.grpc)
        patch.setenv("POLYCALL_API_KEY", "wrong")
        refused = place.cli("import", "cognite", "--url", there.url, "--project", "p")
        assert refused.code == 4
        assert there.asked == []
        patch.delenv("COGNITE_TOKEN")
        missing = place.imports("cognite", "--url", there.url, "--project", "p")
        assert (missing.code, there.asked) == (2, [])
        assert missing.err.startswith("polycall: no Cognite token: set COGNITE_TOKEN.")


def test_a_file_that_is_gone_there_leaves_its_function_behind(place: Place) -> None:
    with vendor(cdf({7: packed(ZIPS[7])}, "")) as there, place.cli.monkeypatch.context() as patch:
        patch.setenv("COGNITE_TOKEN", "token-2")
        options = ("--url", f"{there.url}/base", "--project", "my project", "--dry-run")
        plan = place.outcomes("cognite", *options, code=1)
        assert plan[0] == ("function", str(PACKAGED), "refused")
        assert headers(there, "/functions/list") == ["Bearer token-2"]


def bomb() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for number in range(2):
            opened.writestr(f"{number}.bin", bytes(40 << 20))
    return archive.getvalue()


@pytest.mark.parametrize(
    ("archive", "why"),
    [
        (b"PK\x03\x04 no zip", "files/7.zip: is not a readable zip archive."),
        (packed({"../handler.py": HANDLER}), "files/7.zip: '../handler.py' must"),
        (packed({"/etc/passwd": "x"}), "files/7.zip: '/etc/passwd' must"),
        (bomb(), f"files/7.zip: unpacks to more than {64 << 20} bytes."),
        (packed({"other.py": HANDLER}), "its zip file has no 'handler.py'."),
        (packed({"handler.py": HANDLER, "requirements.txt": "-r x\n"}), "its requirements.txt: line 1: options"),
        (
            packed({"handler.py": HANDLER, "requirements.txt": "six @ https://x/y.zip\n"}),
            "its requirements.txt: line 1",
        ),
    ],
    ids=["no zip", "parent", "absolute", "bomb", "no handler", "options", "url"],
)
def test_archives_that_cannot_be_here_leave_their_function_behind(tmp_path: Path, archive: bytes, why: str) -> None:
    finds = cognite.read(Export(export(tmp_path / "export", FUNCTIONS[1:], f7=archive)))
    assert finds.packages == ()
    function, schedule, _ = finds.remarks
    assert (function.kind, function.id, function.refused) == ("function", str(GREETER), True)
    assert function.text.startswith(why)
    assert (schedule.id, schedule.text) == ("21", f"its function {GREETER} is not brought along.")


def test_packages_may_be_given_to_every_function_that_does_not_name_them(tmp_path: Path) -> None:
    folder = Export(export(tmp_path / "export"))
    given = ["Cognite_SDK>=7", "SIX"]
    runtimes = {found.runtime.id: found.revisions[0].manifest for found in cognite.read(folder, given).runtimes}
    assert runtimes == {
        f"cognite-{GREETER}": "Cognite_SDK>=7\nSIX\n",
        f"cognite-{PACKAGED}": "six==1.17.0\nCognite_SDK>=7\n",
    }
    with pytest.raises(Failure, match="--requirement: line 1: options are not allowed"):
        cognite.read(folder, ["-r x"])


def test_functions_that_cannot_be_here_or_there_stay_behind(tmp_path: Path) -> None:
    greeter = FUNCTIONS[1]
    functions = [
        greeter | {"id": 0},
        greeter | {"id": 2**53},
        greeter | {"id": 1, "status": "Failed"},
        greeter | {"id": 2, "memory": -1},
        greeter | {"id": 3, "fileId": 70},
    ]
    finds = cognite.read(Export(export(tmp_path / "export", functions)))
    assert finds.packages == ()
    assert [(remark.id, remark.refused, remark.text) for remark in finds.remarks[:-2]] == [
        ("0", True, "its id must be from 1 to 2^53-1."),
        (str(2**53), True, "its id must be from 1 to 2^53-1."),
        ("1", False, "it is Failed there: what could not be deployed cannot be called."),
        ("2", True, "its memory is -1 GB."),
        ("3", True, "its zip file (files/70.zip) is not in the export."),
    ]
