"""Functions: made from a zip, deployed in the background, listed, deleted."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from polycall.ids import now_ms
from polycall.v1 import package_pb2, package_service_pb2
from tests.contracts.cognite.driver import ECHO, Cognite, archive, newcomer
from tests.harness import Response, Server, until

_GIVEN = "import os\ndef handle(secrets):\n    return [secrets['pass-1'], os.environ['COLOUR']]\n"
_RUNNING = "import time\ndef handle():\n    print('on', flush=True)\n    time.sleep(1)\n    return 'done'\n"
_MISSING = b"PK\x05\x06" + bytes(18)  # an archive of nothing


@pytest.fixture(scope="module")
def caller(polycall: Server) -> Cognite:
    return newcomer(polycall, "functions")


def _refused(answer: Response, status: int = 400) -> str:
    assert (answer.status, answer.json()["error"]["code"]) == (status, status), answer.body
    return str(answer.json()["error"]["message"])


def _create(caller: Cognite, **written: Any) -> Response:
    return caller.post("functions", {"items": [{"name": "f", "fileId": caller.upload({"handler.py": ECHO})} | written]})


# making


def test_a_function_is_queued_then_ready_and_shows_what_it_was_given(caller: Cognite) -> None:
    given = {
        "name": "everything",
        "externalId": "every thing/1",
        "description": "does it",
        "owner": "me",
        "metadata": {"a": "1"},
        "envVars": {"COLOUR": "blue"},
        "functionPath": "my_functions/handler.py",
        "cpu": 0.25,
        "memory": 2,
        "runtime": "py312",
    }
    before = now_ms()
    made = caller.create(
        {"my_functions/handler.py": _GIVEN},
        secrets={"pass-1": "hush"},
        extraIndexUrls=None,
        functionType="new",
        **given,
    )
    version = made["runtimeVersion"]
    assert made == given | {
        "id": made["id"],
        "createdTime": made["createdTime"],
        "status": "Queued",
        "fileId": made["fileId"],
        "runtimeVersion": version,
        "secrets": {"pass-1": "***"},
    }
    assert before <= made["createdTime"] <= now_ms()
    assert version.startswith("Python 3.")
    ready = caller.end_of_deployment(made["id"])
    assert ready == made | {"status": "Ready"}
    call = caller.run(made["id"])
    assert caller.result(call) == ["hush", "blue"]
    assert caller.get(f"functions/{made['id']}").json() == ready | {"lastCalled": call["startTime"]}
    [by_id] = caller.post("functions/byids", {"items": [{"externalId": "every thing/1"}]}).json()["items"]
    assert by_id["id"] == made["id"]


def test_what_is_not_given_is_left_out_or_a_default(caller: Cognite) -> None:
    made = caller.deployed(ECHO)
    assert set(made) == {
        *("id", "createdTime", "status", "name", "fileId", "functionPath", "cpu", "memory", "runtime"),
        "runtimeVersion",
    }
    assert (made["functionPath"], made["cpu"], made["memory"]) == ("handler.py", 1.0, 1.5)
    limits = caller.get("functions/limits").json()
    assert made["runtime"] in limits["runtimes"]


def test_a_function_is_a_package_that_runs_natively(caller: Cognite, polycall: Server) -> None:
    made = caller.deployed(ECHO, name="native too", externalId="native-too")
    metadata = [("authorization", f"Bearer {caller.key}")]
    package = polycall.packages.GetPackage(
        package_service_pb2.GetPackageRequest(name=f"packages/{made['id']}"), metadata=metadata
    )
    assert (package.display_name, package.face, package.alias) == ("native too", "cognite", "native-too")


def test_a_function_keeps_the_zip_it_was_made_from(caller: Cognite) -> None:
    file_id = caller.upload({"handler.py": "def handle():\n    return 'first'\n"}, externalId="replaced")
    item = {"name": "keeps", "fileId": file_id}
    made = caller.post("functions", {"items": [item]}).json()["items"][0]
    again = caller.post("files?overwrite=true", {"name": "n", "externalId": "replaced"}).json()
    caller.server.http(
        "PUT", again["uploadUrl"].removeprefix(caller.server.rest), body=archive({"handler.py": "def handle(): 1/0"})
    )
    assert caller.end_of_deployment(made["id"])["status"] == "Ready"
    assert caller.result(caller.run(made["id"])) == "first"


def test_a_call_before_ready_is_refused(caller: Cognite) -> None:
    made = caller.create("import time\ntime.sleep(1)\ndef handle():\n    pass\n")
    nonce = caller.nonce()
    message = _refused(caller.post(f"functions/{made['id']}/call", {"nonce": nonce}))
    assert message in [f"Function {made['id']} is not ready (status: {word})" for word in ("Queued", "Deploying")]
    assert caller.end_of_deployment(made["id"])["status"] == "Ready"
    assert caller.post(f"functions/{made['id']}/call", {"nonce": nonce}).status == 201  # it was not spent


# what cannot be deployed


@pytest.mark.parametrize(
    ("files", "message", "in_trace"),
    [
        ({"other.py": ECHO}, 'No Python module found at location "handler.py" in zip-file', "No Python module"),
        ({"handler.py": "x = 1"}, "handle is not defined", "NameError: handle is not defined"),
        ({"handler.py": "handle = 1"}, "handle is not a function, it is a int", "TypeError"),
        ({"handler.py": "print('so far')\nimport nowhere"}, "No module named 'nowhere'", "so far\nTraceback"),
        ({"handler.py": "def handle(:"}, "handler.py:1: SyntaxError: invalid syntax", "invalid syntax"),
        ({"handler.py": "raise SystemExit(3)"}, "The code exited with code 3.", "exited"),
        ({"handler.py": "raise ValueError('\\udcff\\0')"}, "\\udcff\0", "ValueError"),
        (
            {"handler.py": ECHO, "requirements.txt": "--index-url https://evil.example\n"},
            "requirements.txt: line 1: options are not allowed, the registry is the operator's: "
            "'--index-url https://evil.example'",
            "options are not allowed",
        ),
        ({"handler.py": ECHO, "requirements.txt": b"\xff\xfe"}, "requirements.txt is not UTF-8 text", "UTF-8"),
    ],
    ids=["no file", "no handle", "no callable", "import", "syntax", "exit", "no text at all", "option", "no text"],
)
def test_what_cannot_be_deployed_fails_and_says_why(
    caller: Cognite, files: dict[str, str | bytes], message: str, in_trace: str
) -> None:
    failed = caller.deployed(files)
    assert (failed["status"], failed["error"]["message"]) == ("Failed", message)
    assert in_trace in failed["error"]["trace"]
    assert failed["error"]["trace"].count(failed["error"]["trace"].rstrip().rpartition("\n")[2]) == 1
    assert len(failed["error"]["trace"]) <= 2000
    answer = caller.post(f"functions/{failed['id']}/call", {"nonce": caller.nonce()})
    assert _refused(answer) == f"Function {failed['id']} is not ready (status: Failed)"


def _entry(name: str, data: bytes = b"", mode: int = 0) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("handler.py", ECHO)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        opened.writestr(info, data)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (_entry("../../etc/cron.d/x"), "must not contain '..'"),
        (_entry("/etc/cron.d/x"), "must be relative"),
        (_entry("link", b"/etc/passwd", 0o120777), "is a link"),
        (_entry("zeros", bytes(65 << 20)), "unpacks to more than"),
        (_MISSING, 'No Python module found at location "handler.py" in zip-file'),
    ],
    ids=["out", "absolute", "link", "bomb", "empty"],
)
def test_a_hostile_zip_fails_and_harms_nobody(caller: Cognite, content: bytes, why: str) -> None:
    failed = caller.deployed(content)
    assert failed["status"] == "Failed"
    assert why in failed["error"]["message"]


def test_an_entry_for_the_folder_itself_is_tolerated(caller: Cognite) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr(zipfile.ZipInfo("./"), b"")
        opened.writestr("./handler.py", ECHO)
    assert caller.deployed(made.getvalue())["status"] == "Ready"


def test_modules_with_dashes_and_folders_without_init_are_found(caller: Cognite) -> None:
    files = {"my-code/handler.py": "from .part import handle\n", "my-code/part.py": ECHO}
    made = caller.deployed(files, functionPath="my-code/handler.py")
    assert made["status"] == "Ready", made
    assert caller.result(caller.run(made["id"], b'{"a":1}')) == {"a": 1}


# refusals


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 141}, "name"),
        ({"name": None}, "name"),
        ({"fileId": "7"}, "fileId"),
        ({"fileId": 0}, "fileId"),
        ({"externalId": "x" * 256}, "externalId"),
        ({"functionPath": "../handler.py"}, "functionPath"),
        ({"functionPath": "/handler.py"}, "functionPath"),
        ({"functionPath": "handler.txt"}, "functionPath"),
        ({"functionPath": "a" * 498 + ".py"}, "functionPath"),
        ({"description": "x" * 501}, "description"),
        ({"owner": "x" * 129}, "owner"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 33: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"metadata": {str(n): "v" * 500 for n in range(9)}}, "metadata"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"secrets": {f"s{n}": "v" for n in range(31)}}, "secrets"),
        ({"secrets": {"Upper": "v"}}, "secrets"),
        ({"secrets": {"a" * 16: "v"}}, "secrets"),
        ({"secrets": {"token": "v"}}, "secrets"),
        ({"secrets": {"indexUrl": "v"}}, "secrets"),
        ({"secrets": {"s": "v" * 25600}}, "secrets"),
        ({"envVars": {f"E{n}": "v" for n in range(101)}}, "envVars"),
        ({"envVars": {"A-B": "v"}}, "envVars"),
        ({"envVars": {"LD_PRELOAD": "v"}}, "envVars"),
        ({"cpu": 0.05}, "cpu"),
        ({"cpu": 3.5}, "cpu"),
        ({"memory": 0.05}, "memory"),
        ({"memory": 5.5}, "memory"),
        ({"runtime": "py27"}, "runtime"),
        ({"indexUrl": "https://pypi.example/simple"}, "indexUrl"),
        ({"extraIndexUrls": ["https://pypi.example/simple"]}, "extraIndexUrls[0]"),
    ],
)
def test_what_a_function_cannot_be_is_refused(caller: Cognite, written: dict[str, object], where: str) -> None:
    item = {"name": "f", "fileId": 1} | written
    assert where in _refused(caller.post("functions", {"items": [item]}))


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"items":[]}', b'{"items":null}', b'{"items":[1]}', b'{"items":[{"name":"f"}]}', b"\xff"],
    ids=range(8),
)
def test_bodies_without_one_function_are_refused(caller: Cognite, body: bytes) -> None:
    _refused(caller.post("functions", body))


def test_one_function_is_made_at_a_time(caller: Cognite) -> None:
    _refused(caller.post("functions", {"items": [{"name": "f", "fileId": 1}, {"name": "g", "fileId": 1}]}))


def test_the_servers_own_index_may_be_named(caller: Cognite) -> None:
    answer = _create(caller, indexUrl="https://pypi.org/simple/", extraIndexUrls=[])
    assert answer.status == 201


def test_a_file_must_be_there_uploaded_and_a_zip(caller: Cognite) -> None:
    unknown = _create(caller, fileId=999_999)
    assert unknown.json()["error"]["missing"] == [{"id": 999_999}]
    empty = caller.post("files", {"name": "n"}).json()["id"]
    assert _refused(_create(caller, fileId=empty)) == f"The file {empty} is not uploaded yet."
    text = caller.upload(b"no zip at all")
    assert _refused(_create(caller, fileId=text)) == f"The file {text} is not a zip."


def test_an_external_id_is_not_taken_twice(caller: Cognite) -> None:
    first = caller.create(ECHO, externalId="mine")
    answer = _create(caller, externalId="mine")
    assert answer.status == 409
    assert answer.json()["error"] == {
        "code": 409,
        "message": "External ids already exist: mine",
        "duplicated": [{"externalId": "mine"}],
    }
    assert caller.post("functions/delete", {"items": [{"externalId": "mine"}]}).body == b"{}"
    second = caller.create(ECHO, externalId="mine")  # free again
    assert second["id"] > first["id"]


def test_a_key_that_may_not_deploy_makes_and_deletes_no_function(caller: Cognite, polycall: Server) -> None:
    worker = Cognite(polycall, polycall.new_key(project="functions"), project="functions")
    made = caller.deployed(ECHO)
    for path, body in (
        ("functions", {"items": [{"name": "f", "fileId": made["fileId"]}]}),
        ("functions/delete", {"items": [{"id": made["id"]}]}),
    ):
        assert worker.post(path, body).status == 403
    assert worker.run(made["id"])["status"] == "Completed"


# lists


def test_functions_are_listed_newest_first_and_filtered(polycall: Server) -> None:
    mine = newcomer(polycall, "listed")
    mine.deploy(ECHO)  # by another door: not of this list
    made = [
        mine.deployed(ECHO, name="a", owner="me", externalId="x/1", metadata={"k": "1", "l": "2"}),
        mine.deployed("1/0", name="b", owner="me", externalId="y/1"),
        mine.deployed(ECHO, name="a", owner="you", metadata={"k": "1"}),
    ]
    first, second, third = made
    newest_first = made[::-1]
    assert mine.get("functions").json() == {"items": newest_first}
    assert mine.get("functions?limit=2").json() == {"items": newest_first[:2]}

    def listed(limit: int = 10_000, **wanted: Any) -> list[dict[str, Any]]:
        answer = mine.post("functions/list", {"filter": wanted, "limit": limit})
        assert list(answer.json()) == ["items"]
        return list(answer.json()["items"])

    assert listed() == newest_first
    assert mine.post("functions/list", {}).json()["items"] == newest_first
    assert listed(limit=1) == [third]
    assert listed(name="a") == [third, first]
    assert listed(name="a", owner="me") == [first]
    assert listed(fileId=second["fileId"]) == [second]
    assert listed(status="Failed") == [second]
    assert listed(externalIdPrefix="x/") == [first]
    assert listed(metadata={"k": "1"}) == [third, first]
    assert listed(metadata={"k": "1", "l": "2"}) == [first]
    inside = {"min": second["createdTime"], "max": second["createdTime"]}
    assert listed(createdTime=inside) == [each for each in newest_first if each["createdTime"] == second["createdTime"]]
    assert listed(name="nobody") == []


@pytest.mark.parametrize("body", [{"limit": 0}, {"limit": 10_001}, {"filter": {"fileId": "x"}}, {"filter": []}])
def test_a_bad_filter_is_refused(caller: Cognite, body: dict[str, object]) -> None:
    _refused(caller.post("functions/list", body))


def test_a_bad_limit_is_refused(caller: Cognite) -> None:
    for limit in ("0", "-1", "ten", "10001", "1e3"):
        assert _refused(caller.get(f"functions?limit={limit}")).startswith("limit: ")


# deletion


def test_deletion_is_all_or_nothing(caller: Cognite) -> None:
    first, second = caller.deployed(ECHO, externalId="goes"), caller.deployed(ECHO)
    ask = {"items": [{"externalId": "goes"}, {"id": second["id"]}, {"id": 999_999}, {"externalId": "nope"}]}
    answer = caller.post("functions/delete", ask)
    assert answer.json()["error"]["missing"] == [{"id": 999_999}, {"external_id": "nope", "externalId": "nope"}]
    assert caller.get(f"functions/{first['id']}").status == 200
    assert caller.post("functions/delete", ask | {"ignoreUnknownIds": True}).body == b"{}"
    for each in (first, second):
        assert caller.get(f"functions/{each['id']}").json()["error"]["missing"] == [{"id": each["id"]}]
        assert caller.post(f"functions/{each['id']}/call", {"nonce": caller.nonce()}).status == 400


def test_a_call_that_runs_outlives_its_function_and_the_file_stays(caller: Cognite) -> None:
    made = caller.deployed(_RUNNING)
    call = caller.call(made["id"])
    until(lambda: caller.logs(call) == ["on"], seconds=30, what="the log of a running call")
    assert caller.post("functions/delete", {"items": [{"id": made["id"]}]}).status == 200
    assert caller.ended(call)["status"] == "Completed"
    assert caller.result(call) == "done"
    assert caller.post("files/byids", {"items": [{"id": made["fileId"]}]}).json()["items"][0]["uploaded"] is True


def test_a_function_that_is_being_deployed_can_be_deleted(caller: Cognite) -> None:
    made = caller.create("import time\ntime.sleep(20)\ndef handle():\n    pass\n")
    assert caller.post("functions/delete", {"items": [{"id": made["id"]}]}).status == 200
    assert caller.get(f"functions/{made['id']}").status == 400
    assert caller.deployed(ECHO)["status"] == "Ready"  # it stands in nobody's way


# the rest


def test_limits_say_what_functions_may_be(caller: Cognite) -> None:
    limits = caller.get("functions/limits").json()
    assert limits == {
        "timeoutMinutes": 10,
        "cpuCores": {"min": 0.1, "max": 3.0, "default": 1.0},
        "memoryGb": {"min": 0.1, "max": 5.0, "default": 1.5},
        "runtimes": limits["runtimes"],
        "responseSizeMb": 1,
    }


def test_functions_are_activated_in_every_project(caller: Cognite) -> None:
    assert caller.get("functions/status").json() == {"status": "activated"}
    bodies: tuple[object, ...] = (None, b"", {})
    for body in bodies:
        answer = caller.post("functions/status", body)
        assert (answer.status, answer.json()) == (202, {"status": "activated"})


def test_a_project_that_makes_many_functions_delays_no_other(polycall: Server, caller: Cognite) -> None:
    slow = newcomer(polycall, "slow")
    made = [slow.create("import time\ntime.sleep(2)\ndef handle():\n    pass\n") for _ in range(4)]
    ready = caller.deployed(ECHO)
    assert ready["status"] == "Ready"
    waiting = [slow.get(f"functions/{each['id']}").json()["status"] for each in made]
    assert {"Queued", "Deploying"} & set(waiting)
    slow.post("functions/delete", {"items": [{"id": each["id"]} for each in made]})


def test_a_project_has_a_hundred_functions_at_most(polycall: Server) -> None:
    full = newcomer(polycall, "full")
    metadata = [("authorization", f"Bearer {full.key}")]
    for number in range(100):
        data = f'{{"file_id":{number + 1},"function_path":"handler.py","status":"Ready"}}'
        package = package_pb2.Package(display_name="f", face="cognite", face_data_json=data)
        request = package_service_pb2.CreatePackageRequest(package_id=str(10**6 + number), package=package)
        polycall.packages.CreatePackage(request, metadata=metadata)
    assert len(full.get("functions?limit=1000").json()["items"]) == 100
    assert _refused(_create(full)) == "The project has 100 functions, which is the most; delete some."
    full.post("functions/delete", {"items": [{"id": 10**6}]})
    assert _create(full).status == 201
