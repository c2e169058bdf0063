"""A script from nothing to deployed, called, changed, called again and deleted; and each of the vendor's routes."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import Any

import pytest

from polycall.v1 import execution_service_pb2, package_service_pb2, tenancy_service_pb2
from tests.contracts.guance.driver import Guance
from tests.contracts.guance.studio import Studio
from tests.harness import Server, until

HELLO = "@DFF.API('Hello')\ndef hello(name='you'):\n    \"\"\"Greets.\"\"\"\n    return f'Hello, {name}'\n"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_a_function_from_nothing_to_deleted(studio: Studio, caller: Guance) -> None:
    studio.script_set("life", title="Life")
    made = studio.published("life__story", HELLO)
    assert (made["id"], made["publishVersion"]) == ("life__story", 1)
    assert [func["name"] for func in made["exportedAPIFuncs"]] == ["hello"]
    assert caller.result("life__story.hello", name="Tom") == "Hello, Tom"
    assert studio.call("life__story.hello") == "Hello, you"
    studio.edit("life__story", HELLO.replace("Hello,", "Good evening,"))
    assert caller.result("life__story.hello") == "Hello, you"  # only what is published runs
    assert studio.good("POST", "func-draft/life__story.hello", {"kwargs": {"name": "Ada"}}) == {
        "result": "Good evening, Ada"
    }
    assert studio.publish("life__story")["publishVersion"] == 2
    assert caller.result("life__story.hello") == "Good evening, you"
    assert studio.good("GET", "scripts/life__story/do/delete") == {"id": "life__story"}
    assert caller.execute("life__story.hello")["error"] == 404.41
    assert studio.good("GET", "script-sets/life/do/delete") == {"id": "life"}
    assert studio.good("GET", "script-sets/do/list?id=life") == []


def test_what_is_published_can_be_listed_and_run_natively(studio: Studio, polycall: Server) -> None:
    studio.published(
        "tests__native", "@DFF.API('N')\ndef n(a: int):\n    DFF.STORE.set('a', a)\n    return DFF.STORE.get('a')\n"
    )
    metadata = [("authorization", f"Bearer {studio.key}")]
    listed = polycall.packages.ListPackages(package_service_pb2.ListPackagesRequest(page_size=100), metadata=metadata)
    assert "packages/tests__native" in [package.name for package in listed.packages]
    run = execution_service_pb2.RunFunctionRequest(function="packages/tests__native/functions/n", input_json='{"a": 3}')
    ended = polycall.executions.RunFunction(run, metadata=metadata, timeout=30)
    assert ended.output_json == "3"


# signing in


def test_a_wrong_password_is_400_12(studio: Studio) -> None:
    for given in ("wrong", studio.token):
        body = {"signIn": {"username": "ada", "password": given, "captchaToken": "x", "captcha": "y"}}
        failure = studio.bad("POST", "auth/do/sign-in", body, headers={})
        assert (failure["error"], failure["reason"]) == (400.12, "EUserPassword")
        assert failure["message"] == "Invalid username or password"
        assert given not in json.dumps(failure)


@pytest.mark.parametrize(
    "body", [{}, {"signIn": {}}, {"signIn": {"username": "a"}}, {"signIn": {"username": 1}}, {"x": 1}]
)
def test_a_sign_in_that_lacks_something_is_400_43(studio: Studio, body: Any) -> None:
    assert studio.bad("POST", "auth/do/sign-in", body, headers={})["error"] == 400.43


def test_a_key_that_may_not_deploy_does_not_sign_in(studio: Studio, polycall: Server) -> None:
    key = polycall.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN])
    failure = studio.bad("POST", "auth/do/sign-in", {"signIn": {"username": "a", "password": key}}, headers={})
    assert (failure["error"], failure["reason"]) == (401.15, "EUserPrivilege")


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "script-sets/do/add"),
        ("GET", "script-sets/do/list"),
        ("POST", "scripts/do/add"),
        ("GET", "scripts/tests__x/do/get"),
        ("POST", "scripts/tests__x/do/publish"),
        ("GET", "funcs/do/list"),
        ("POST", "func/tests__x.f"),
        ("GET", "func-result?taskId=task-x"),
        ("GET", "func-list"),
        ("POST", "func-draft/tests__x.f"),
        ("GET", "auth-links/do/list"),
    ],
)
def test_without_a_token_everything_is_401_14(studio: Studio, verb: str, path: str) -> None:
    for headers in ({}, {"X-Dff-Auth-Token": "pct_forged.token"}):
        failure = studio.bad(verb, path, {} if verb == "POST" else None, headers=headers)
        assert (failure["error"], failure["reason"]) == (401.14, "EUserAuth")


def test_a_key_of_the_gateway_is_as_good_as_a_token(studio: Studio) -> None:
    answer = studio.ask("GET", "script-sets/do/list?id=tests", headers={"DF-API-KEY": studio.key})
    assert [each["id"] for each in answer.json()["data"]] == ["tests"]


def test_a_key_that_may_only_run_manages_nothing(studio: Studio, polycall: Server) -> None:
    key = polycall.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN])
    body = {"data": {"id": "x"}}
    failure = studio.bad("POST", "script-sets/do/add", body, headers={"DF-API-KEY": key})
    assert (failure["error"], failure["reason"]) == (401.15, "EUserPrivilege")


# script sets


def test_a_script_set_is_added_changed_and_listed(studio: Studio) -> None:
    studio.script_set("sets", title="A", description="B")
    body = {"data": {"id": "sets"}}
    failure = studio.bad("POST", "script-sets/do/add", body)
    assert (failure["error"], failure["reason"], failure["detail"]) == (409.42, "EClientDuplicated", {"id": "sets"})
    assert studio.good("POST", "script-sets/sets/do/modify", {"data": {"title": "C"}}) == {"id": "sets"}
    (shown,) = studio.good("GET", "script-sets/do/list?id=sets,nothing")
    assert list(shown) == sorted(shown)
    assert (shown["title"], shown["description"], shown["requirements"]) == ("C", "B", None)
    studio.good("GET", "script-sets/sets/do/delete")
    for verb, path, sent in (
        ("POST", "script-sets/sets/do/modify", {"data": {}}),
        ("GET", "script-sets/sets/do/delete", None),
    ):
        assert studio.bad(verb, path, sent)["error"] == 404.41


@pytest.mark.parametrize("name", ["", "a__b", "1a", "a-b", "x" * 65, "\u00e9", 7, None])
def test_a_script_set_has_a_name_that_scripts_can_have(studio: Studio, name: Any) -> None:
    failure = studio.bad("POST", "script-sets/do/add", {"data": {"id": name}})
    assert (failure["error"], failure["reason"]) == (400.43, "EClientBadRequest")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"data": {"id": "x", "colour": 1}}, "Found unexpected field `colour`"),
        ({"data": {"id": "x"}, "more": 1}, "Found unexpected field `more`"),
        ({"data": [1]}, 'Field `data` value `[1]` is not valid. (type = "json")'),
        ({"data": {"id": "x", "title": 5}}, 'Field `title` value `5` is not valid. (type = "string")'),
    ],
)
def test_a_bad_body_names_the_field(studio: Studio, body: Any, message: str) -> None:
    failure = studio.bad("POST", "script-sets/do/add", body)
    assert (failure["error"], failure["detail"]) == (400.43, {"message": message})
    assert failure["reqDump"]["bodyDump"] == json.dumps(body, indent=2)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_is_400_43(studio: Studio, body: bytes) -> None:
    failure = studio.bad("POST", "script-sets/do/add", body)
    assert failure["error"] == 400.43
    assert "bodyDump" not in failure["reqDump"]


def test_requirements_that_cannot_be_are_refused_and_leave_nothing(studio: Studio) -> None:
    body = {"data": {"id": "bad_requirements", "requirements": "--index-url http://x\n"}}
    assert studio.bad("POST", "script-sets/do/add", body)["error"] == 400.43
    assert studio.good("GET", "script-sets/do/list?id=bad_requirements") == []


def test_scripts_run_with_the_requirements_of_their_set(studio: Studio, caller: Guance) -> None:
    studio.script_set("packed", requirements="six==1.17.0\n")

    def state() -> str:
        return str(studio.good("GET", "script-sets/do/list?id=packed")[0]["requirementsState"])

    until(lambda: state() in ("ready", "failed"), what="the build", seconds=120)
    assert state() == "ready"
    studio.published("packed__six", "import six\n@DFF.API('V')\ndef v():\n    return six.__version__\n")
    assert caller.result("packed__six.v") == "1.17.0"
    studio.good("GET", "script-sets/packed/do/delete")
    assert caller.execute("packed__six.v")["error"] == 404.41


def test_requirements_that_cannot_be_installed_keep_from_publishing(studio: Studio) -> None:
    studio.script_set("unpacked", requirements="six==0.0.1\n")
    studio.good("POST", "scripts/do/add", {"data": {"id": "unpacked__one", "codeDraft": HELLO}})

    def refused() -> Any:
        found = studio.bad("POST", "scripts/unpacked__one/do/publish", {})
        return found["reason"] != "EBizCondition.RequirementsNotInstalled" and found

    found = until(refused, what="the build", seconds=120)
    assert (found["error"], found["reason"]) == (403.21, "EBizCondition.RequirementsFailed")
    assert studio.good("POST", "script-sets/unpacked/do/modify", {"data": {"requirements": ""}}) == {"id": "unpacked"}
    assert studio.publish("unpacked__one")["publishVersion"] == 1


# scripts


def test_a_script_is_shown_with_its_code_and_its_draft(studio: Studio) -> None:
    studio.published("tests__shown", HELLO)
    edited = HELLO + "# more\n"
    assert studio.edit("tests__shown", edited) == md5(edited)
    shown = studio.good("GET", "scripts/tests__shown/do/get")
    assert list(shown) == sorted(shown)
    assert (shown["code"], shown["codeMD5"]) == (HELLO, md5(HELLO))
    assert (shown["codeDraft"], shown["codeDraftMD5"]) == (edited, md5(edited))
    assert (shown["id"], shown["scriptSetId"], shown["publishVersion"]) == ("tests__shown", "tests", 1)
    (listed,) = studio.good("GET", "scripts/do/list?id=tests__shown")
    assert listed == {name: value for name, value in shown.items() if name not in ("code", "codeDraft")}


def test_a_stale_draft_is_not_overwritten(studio: Studio) -> None:
    studio.good("POST", "scripts/do/add", {"data": {"id": "tests__stale", "codeDraft": "a = 1\n", "title": "T"}})
    path = "scripts/tests__stale/do/modify"
    first = {"prevCodeDraftMD5": md5("a = 1\n"), "data": {"codeDraft": "a = 2\n"}}
    assert studio.good("POST", path, first)["codeDraftMD5"] == md5("a = 2\n")
    failure = studio.bad("POST", path, first)
    assert (failure["error"], failure["reason"]) == (409.25, "EBizRequestConflict.scriptDraftAlreadyChanged")
    assert failure["message"] == "Script draft already changed"
    studio.good("POST", path, {"data": {"title": "U"}})
    shown = studio.good("GET", "scripts/tests__stale/do/get")
    assert (shown["codeDraft"], shown["title"], shown["code"]) == ("a = 2\n", "U", None)


@pytest.mark.parametrize("name", ["", "nothing", "no__", "__x", "tests__a-b", "tests__" + "x" * 130, "nothing__x"])
def test_a_script_belongs_to_a_script_set_that_is_there(studio: Studio, name: str) -> None:
    failure = studio.bad("POST", "scripts/do/add", {"data": {"id": name}})
    assert failure["error"] in (400.43, 404.41)


def test_a_script_is_added_once(studio: Studio) -> None:
    body = {"data": {"id": "tests__once"}}
    studio.good("POST", "scripts/do/add", body)
    failure = studio.bad("POST", "scripts/do/add", body)
    assert (failure["error"], failure["reason"]) == (409.42, "EClientDuplicated")
    assert failure["reqDump"]["bodyDump"] == json.dumps(body, indent=2)


def test_an_unknown_script_is_404_41_everywhere(studio: Studio) -> None:
    for verb, path, body in (
        ("GET", "scripts/tests__nothing/do/get", None),
        ("POST", "scripts/tests__nothing/do/modify", {"data": {"codeDraft": "x"}}),
        ("POST", "scripts/tests__nothing/do/publish", {}),
        ("GET", "scripts/tests__nothing/do/delete", None),
        ("POST", "func/tests__nothing.f", {}),
        ("POST", "func-draft/tests__nothing.f", {}),
    ):
        failure = studio.bad(verb, path, body)
        assert (failure["error"], failure["reason"]) == (404.41, "EClientNotFound")


def test_another_projects_script_is_unknown(studio: Studio, elsewhere: Studio) -> None:
    studio.published("tests__mine", HELLO)
    assert elsewhere.bad("GET", "scripts/tests__mine/do/get")["error"] == 404.41
    assert elsewhere.bad("POST", "func/tests__mine.hello", {})["error"] == 404.41
    assert "tests__mine" not in json.dumps(elsewhere.good("GET", "func-list"))


def test_a_draft_that_is_too_long_is_refused(studio: Studio) -> None:
    body = {"data": {"id": "tests__long", "codeDraft": "#" * ((1 << 20) + 1)}}
    assert studio.bad("POST", "scripts/do/add", body)["error"] == 400.43


# publishing


def test_what_did_not_change_is_published_by_force_only(studio: Studio) -> None:
    studio.published("tests__force", HELLO)
    failure = studio.bad("POST", "scripts/tests__force/do/publish", {"data": {}})
    assert (failure["error"], failure["reason"]) == (403.21, "EBizCondition.ScriptNotEdited")
    assert failure["message"] == "Script not edited"
    body = {"force": True, "wait": True, "data": {"note": "again"}}
    assert studio.good("POST", "scripts/tests__force/do/publish", body)["publishVersion"] == 2


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("raise ZeroDivisionError('no')\n", "ZeroDivisionError: no"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("def f(:\n", "SyntaxError: invalid syntax"),
        (
            "@DFF.API('x', timeout=0)\ndef f(): pass\n",
            "InvalidAPIOption: `timeout` should be between `1` and `3600` (seconds)",
        ),
        ("import sys\nsys.exit(3)\n", "billiard.exceptions.WorkerLostError: Worker exited prematurely: exitcode 3."),
        ("", "Exception: the script is empty"),
    ],
)
def test_a_script_that_does_not_load_is_not_published(studio: Studio, code: str, text: str) -> None:
    studio.good("POST", "scripts/do/add", {"data": {"id": "tests__bad", "codeDraft": code}})
    failure = studio.bad("POST", "scripts/tests__bad/do/publish", {})
    assert (failure["error"], failure["reason"]) == (599.2, "EScriptPreCheck")
    assert failure["message"] == (
        "Code pre-check failed. Script raised an EXCEPTION during executing, please check your code and try again"
    )
    assert list(failure["detail"]) == ["einfoTEXT", "id", "traceInfo"]
    assert failure["detail"]["einfoTEXT"].startswith(text)
    assert studio.good("GET", "scripts/tests__bad/do/get")["publishVersion"] == 0
    studio.good("GET", "scripts/tests__bad/do/delete")


def test_two_functions_of_one_name_are_409_42(studio: Studio) -> None:
    code = "@DFF.API('a')\ndef f(): pass\n@DFF.API('b')\ndef f(): pass\n"
    studio.good("POST", "scripts/do/add", {"data": {"id": "tests__twice", "codeDraft": code}})
    failure = studio.bad("POST", "scripts/tests__twice/do/publish", {})
    assert (failure["error"], failure["reason"]) == (409.42, "EClientDuplicated")
    assert (failure["message"], failure["detail"]) == ("Found duplicated func names in script", {"funcName": "f"})


def test_a_bad_publish_leaves_what_was_published(studio: Studio) -> None:
    studio.published("tests__kept", HELLO)
    studio.edit("tests__kept", "raise ValueError\n")
    assert studio.bad("POST", "scripts/tests__kept/do/publish", {})["error"] == 599.2
    assert studio.call("tests__kept.hello") == "Hello, you"


def test_a_hostile_script_cannot_publish_what_is_no_function(studio: Studio) -> None:
    code = "DFF.described['x'] = {'name': 5}\n"
    studio.good("POST", "scripts/do/add", {"data": {"id": "tests__hostile", "codeDraft": code}})
    failure = studio.bad("POST", "scripts/tests__hostile/do/publish", {})
    assert (failure["error"], failure["reason"]) == (599.4, "EFuncResultParsingFailed")


def test_time_limits_are_what_the_decorator_was_told_however_it_was_said(studio: Studio, caller: Guance) -> None:
    studio.published("tests__timed", "import time\nT = 1\n@DFF.API('t', timeout=T)\ndef t():\n    time.sleep(30)\n")
    assert caller.execute("tests__timed.t")["error"] == 599.31


# lists


def test_functions_are_listed_with_what_is_known_of_them(studio: Studio, caller: Guance) -> None:
    code = (
        "@DFF.API('A Title', category='cat', tags=['b', 'a'], timeout=20)\n"
        "def listed(workspace_uuid, your_name='OpenAPI User', *args, when=object, **kw):\n    'About it.'\n"
        "def hidden(): pass\n"
    )
    studio.script_set("listing", title="Set", description="Of it")
    studio.good("POST", "scripts/do/add", {"data": {"id": "listing__one", "title": "Script", "codeDraft": code}})
    studio.publish("listing__one")
    expected = {
        "argsJSON": ["workspace_uuid", "your_name", "*args", "**kw"],
        "category": "cat",
        "definition": "listed(workspace_uuid, your_name='OpenAPI User', *args, when=<class 'object'>, **kw)",
        "description": "About it.",
        "extraConfigJSON": {"timeout": 20},
        "id": "listing__one.listed",
        "integration": None,
        "kwargsJSON": {
            "workspace_uuid": {},
            "your_name": {"default": "OpenAPI User"},
            "*args": {},
            "when": {"default": "<Complex Object>"},
            "**kw": {},
        },
        "name": "listed",
        "scriptDescription": None,
        "scriptId": "listing__one",
        "scriptSetDescription": "Of it",
        "scriptSetId": "listing",
        "scriptSetTitle": "Set",
        "scriptTitle": "Script",
        "tagsJSON": ["a", "b"],
        "title": "A Title",
        "url": "/api/v1/func/listing__one.listed",
    }
    for path in ("func-list?id=listing__one.listed", "funcs/do/list?scriptId=listing__one&scriptSetId=listing"):
        (found,) = studio.good("GET", path)
        assert found == expected
        assert list(found) == list(expected)
    for query in (
        "funcId=listing__one.listed",
        "funcTitle=title",
        "funcTags=a,b",
        "funcScriptId=listing__one",
        "_fuzzySearch=ABOUT",
    ):
        answer = caller.ask("GET", f"/api/v1/outer_function/list?{query}")
        assert list(answer) == ["code", "content", "errorCode", "message", "success", "traceId"]
        assert [func for func in answer["content"] if func["scriptSetId"] == "listing"] == [expected]
    for query in ("funcId=x", "funcTitle=nothing", "funcTags=a,c", "funcScriptId=x", "_fuzzySearch=nothing"):
        found = caller.ask("GET", f"/api/v1/outer_function/list?{query}")["content"]
        assert [func for func in found if func["scriptSetId"] == "listing"] == []


def test_a_list_in_pages_says_so(caller: Guance, studio: Studio) -> None:
    studio.published("tests__pages", "@DFF.API('a')\ndef a(): pass\n@DFF.API('b')\ndef b(): pass\n")
    answer = caller.ask("GET", "/api/v1/outer_function/list?funcScriptId=tests__pages&pageIndex=2&pageSize=1")
    assert answer["pageInfo"] == {"count": 1, "pageIndex": 2, "pageSize": 1, "totalCount": 2}
    assert [func["name"] for func in answer["content"]] == ["b"]


def test_the_workspace_is_the_project(caller: Guance, elsewhere: Studio) -> None:
    mine = caller.ask("GET", "/api/v1/workspace/get")["content"]
    theirs = Guance(elsewhere.server, elsewhere.key).ask("GET", "/api/v1/workspace/get")["content"]
    assert list(mine) == ["language", "token", "uuid"]
    assert (mine["language"], mine["uuid"][:5], mine["token"][:4]) == ("en", "wksp_", "tkn_")
    assert mine["uuid"] != theirs["uuid"]


def test_the_callers_own_access_key_is_listed(caller: Guance) -> None:
    (shown,) = caller.ask("GET", "/api/v1/workspace/accesskey/list")["content"]
    assert shown["ak"] == caller.key
    assert caller.key.endswith(shown["sk"])


@pytest.mark.parametrize("path", ["outer_function/list", "workspace/get", "workspace/accesskey/list"])
def test_the_gateways_lists_need_a_key(caller: Guance, path: str) -> None:
    answer = caller.server.http("GET", f"/api/v1/{path}", headers={"DF-API-KEY": "wrong"})
    assert (answer.status, answer.json()["errorCode"]) == (403, "ft.InvalidAPIKey")


def test_a_script_that_was_brought_along_is_one_like_any_other(
    studio: Studio, caller: Guance, polycall: Server
) -> None:
    body = json.dumps({"packageId": "brought__along", "package": {"face": "guance", "displayName": "Brought"}}).encode()
    headers = {"Authorization": f"Bearer {studio.key}", "Content-Type": "application/json"}
    assert polycall.http("POST", "/polycall/v1/packages", body=body, headers=headers).status == 200
    code = HELLO.replace("'Hello')", "'Hello', timeout=20)")
    polycall.deploy("brought__along", {"main.py": code}, version="7", release=True, key=studio.key)
    (found,) = studio.good("GET", "func-list?id=brought__along.hello")
    assert (found["argsJSON"], found["kwargsJSON"]) == (["name"], {"name": {"default": "you"}})
    assert (found["definition"], found["description"]) == ("hello(name='you')", "Greets.")
    shown = studio.good("GET", "scripts/brought__along/do/get")
    assert (shown["code"], shown["codeDraft"], shown["publishVersion"]) == (code, code, 7)
    assert caller.result("brought__along.hello") == "Hello, you"
    studio.edit("brought__along", code.replace("Hello,", "Hi,"))
    assert studio.publish("brought__along")["publishVersion"] == 8
    assert caller.result("brought__along.hello") == "Hi, you"


def test_what_strangers_pack_is_not_unpacked_beyond_what_a_sign_in_takes(studio: Studio) -> None:
    body = gzip.compress(b'{"signIn":{"username":"' + b"a" * 30_000_000 + b'"}}')
    failure = studio.bad("POST", "auth/do/sign-in", body, headers={"content-encoding": "gzip"})
    assert (failure["error"], "larger than 65536 bytes" in failure["detail"]["message"]) == (400.43, True)


def test_who_may_only_run_sees_functions_and_not_what_is_managed(studio: Studio) -> None:
    headers = {"DF-API-KEY": studio.server.new_key(scopes=[tenancy_service_pb2.ApiKey.SCOPE_RUN])}
    for path in ("script-sets/do/list", "scripts/do/list"):
        assert studio.bad("GET", path, headers=headers)["error"] == 401.15
    assert studio.ask("GET", "funcs/do/list", headers=headers).status == 200


def test_texts_and_links_that_a_list_shows_are_short(studio: Studio) -> None:
    studio.script_set("short")
    for field in ("title", "description"):
        failure = studio.bad("POST", "script-sets/short/do/modify", {"data": {field: "x" * 4097}})
        assert failure["error"] == 400.43
    studio.published("short__links", HELLO)
    data = {"funcId": "short__links.hello", "funcCallKwargsJSON": {"name": "x" * 70_000}}
    assert studio.bad("POST", "auth-links/do/add", {"data": data})["error"] == 400.43
