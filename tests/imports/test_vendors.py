"""From one polycall to another through the vendor's own contract: what one face serves, another project runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from polycall.v1 import package_pb2, package_service_pb2
from tests.imports.conftest import EXPORTS, Place
from tests.imports.test_folders import SUMS, WORDS


def fetched(
    source: Place, target: Place, vendor: str, variable: str, *arguments: str, code: int = 0
) -> list[tuple[str, str, str]]:
    """Import from a project's face into another project."""
    with source.cli.monkeypatch.context() as patch:
        patch.setenv(variable, source.key)
        return target.outcomes(vendor, "--url", source.server.rest, *arguments, code=code)


def test_xpanders_functions_move_under_their_ids(new_place: Callable[[], Place]) -> None:
    source, target = new_place(), new_place()
    made = source.outcomes("xpander", "--from", str(EXPORTS / "xpander"), code=1)
    count = "7d2f5a10-0000-4000-8000-000000000001"
    assert made == [
        ("function", "has_underscore", "refused"),
        *(("package", "greeter", "created"), ("version", "greeter 1", "created")),
        *(("package", count, "created"), ("version", f"{count} 1", "created")),
    ]
    created = source.http(
        "POST", "/v1/custom_functions", {"name": "Third", "source_code": "def xpander_run_action(): return [1.0]"}
    ).json()["id"]
    assert fetched(source, target, "xpander", "XPANDER_API_KEY") == [
        *made[1:],
        *(("package", created, "created"), ("version", f"{created} 1", "created")),
    ]
    for place in (source, target):
        answers = [
            place.http("POST", f"/v1/custom_functions/{function}/execute", body)
            for function, body in (("greeter", {"city": "SF"}), (count, {"items": [1, 2]}), (created, {}))
        ]
        assert [(answer.status, answer.json()) for answer in answers] == [
            *((200, "Hello, SF"), (200, {"count": 2}), (200, [1.0]))
        ]
        listed = place.http("GET", "/v1/custom_functions?per_page=50").json()
        assert [(item["id"], item["name"], item["limits"]) for item in listed["items"]] == [
            (created, "Third", {"max_run_time": 15}),
            (count, "Count", {"max_run_time": 5, "memory": 128}),
            ("greeter", "Greeter", {"max_run_time": 15}),
        ]
    again = fetched(source, target, "xpander", "XPANDER_API_KEY")
    assert {action for _, _, action in again} == {"same"}


def test_domos_packages_move_with_all_their_versions(new_place: Callable[[], Place]) -> None:
    source, target = new_place(), new_place()
    source.outcomes("domo", "--from", str(EXPORTS / "domo"))
    root = "/api/codeengine/v2/packages"
    code = "const half = (n) => n / 2;\nmodule.exports = { half };\n"
    variable = {"name": "n", "type": "number", "isList": False, "nullable": False}
    manifest = {
        "functions": [{"name": "half", "inputs": [variable], "output": {"type": "decimal"}, "description": "Halves."}],
        "configuration": {"accountsMapping": []},
    }
    body = {"id": "halves", "name": "Halves", "language": "JAVASCRIPT", "code": code, "manifest": manifest}
    assert source.http("POST", root, body | {"version": "0.1.0", "description": "First."}).status == 200
    assert source.http("POST", f"{root}/halves/versions/0.1.0/release").status == 200
    assert source.http("POST", root, body).status == 200  # its working version

    made = fetched(source, target, "domo", "DOMO_DEVELOPER_TOKEN")
    assert [(kind, name) for kind, name, _ in made] == [
        *(("package", SUMS), *(("version", f"{SUMS} {version}") for version in ("1.0.0", "1.0.1", "2.0.0"))),
        *(("package", WORDS), ("version", f"{WORDS} 1.0.0")),
        *(("package", "halves"), ("version", "halves 0.1.0"), ("version", "halves 0.0.0-dev")),
    ]
    assert {action for _, _, action in made} == {"created"}
    answer = target.http("POST", f"{root}/halves/versions/0.1.0/functions/half", {"inputVariables": {"n": 3}})
    assert (answer.status, answer.json()["status"], answer.json()["result"]) == (200, "SUCCESS", 1.5)
    for package in (SUMS, WORDS, "halves"):
        path = f"{root}/{package}/versions?parts=functions,code,privateFunctions"
        here, there = (place.http("GET", path).json() for place in (target, source))
        assert [_without_times(version) for version in here] == [_without_times(version) for version in there]
    assert {action for _, _, action in fetched(source, target, "domo", "DOMO_DEVELOPER_TOKEN")} == {"same"}
    # whoever may deploy goes on with it here, as the vendor's clients do
    saved = target.http("POST", root, body | {"version": "0.2.0"})
    assert saved.status == 200, saved.body
    assert target.http("POST", f"{root}/halves/versions/0.2.0/release").status == 200


def _without(item: dict[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in item.items() if name not in names}


def _without_times(version: dict[str, object]) -> dict[str, object]:
    """Return what moves: when it was released and changed is when that was done here."""
    released = {name: bool(version[name]) for name in ("released", "releasedOn")}
    return version | released | {"id": "", "updatedOn": ""}


def test_rizas_tools_move_with_their_runtimes_and_the_ids_of_secrets(new_place: Callable[[], Place]) -> None:
    source, target = new_place(), new_place()
    source.outcomes("riza", "--from", str(EXPORTS / "riza"))
    secret = source.http("POST", "/v1/secrets", {"name": "TOKEN", "value": "hunter2"}).json()["id"]
    schema = {"type": "object", "properties": {"n": {"type": "number", "minimum": 1.0}}, "required": ["n"]}
    tool = source.http(
        "POST",
        "/v1/tools",
        {
            "name": "double",
            "language": "javascript",
            "code": "const execute = ({n}) => 2 * n",
            "input_schema": schema,
        },
    ).json()

    made = fetched(source, target, "riza", "RIZA_API_KEY")
    assert [outcome for outcome in made if outcome[2] != "created"] == [("secret", secret, "to do")]
    listed = [place.http("GET", "/v1/tools").json()["tools"] for place in (source, target)]
    assert listed[0] == listed[1]
    assert [one["id"] for one in listed[1]] == [
        tool["id"],
        *("01JKY2FCN25GW3EC8JMFN3KWXE", "01JKY2FCN25GW3EC8JMFN3KWXA", "old tool/1 é"),
    ]
    runtimes = [place.http("GET", "/v1/runtimes").json()["runtimes"] for place in (source, target)]
    assert runtimes[0] == runtimes[1]
    assert [(runtime["id"], runtime["revision_id"]) for runtime in runtimes[1]] == [("rt_six", "rtr_1")]

    def call(tool_id: str, payload: object, **fields: object) -> object:
        path = f"/v1/tools/{quote(tool_id, safe='')}/execute"
        answer = target.http("POST", path, {"input": payload, **fields})
        assert answer.status == 200, answer.body
        return answer.json()["output"]

    assert call(tool["id"], {"n": 2}) == 4
    assert call("01JKY2FCN25GW3EC8JMFN3KWXA", {"n": 1}) == {"n": 2}
    assert call("01JKY2FCN25GW3EC8JMFN3KWXE", None) == "1.17.0"
    assert call("old tool/1 é", {"name": "Ada"}, revision_id="rev_1") == {"hello": "Ada"}
    assert target.http("POST", f"/v1/tools/{tool['id']}/execute", {"input": {"n": 0}}).status == 400
    # a tool is updated here as it was there
    updated = target.http("POST", f"/v1/tools/{tool['id']}", {"code": "const execute = ({n}) => 3 * n"}).json()
    assert call(tool["id"], {"n": 2}) == 6
    assert call(tool["id"], {"n": 2}, revision_id=tool["revision_id"]) == 4
    assert updated["revision_id"] != tool["revision_id"]
    differs = fetched(source, target, "riza", "RIZA_API_KEY", code=1)
    assert [outcome for outcome in differs if outcome[2] == "differs"] == [("package", tool["id"], "differs")]


# What a deployer writes natively into what a face keeps, and what lists the packages of that face.
NONSENSE = (
    "{}",
    '{"owner":"x","made":"","language":"python"}',
    '{"file_id":7,"function_path":"x.py","revision_id":[]}',
    '{"created_on":-1}',
)
LISTS: dict[str, tuple[str, str, object]] = {
    "riza": ("GET", "/v1/tools", None),
    "cognite": ("POST", "/api/v1/projects/{project}/functions/list", {}),
    "xpander": ("GET", "/v1/custom_functions", None),
    "domo": ("GET", "/api/codeengine/v2/packages?parts=versions,functions,code", None),
    "guance": ("GET", "/api/v1/outer_function/list", None),
}


@pytest.mark.parametrize("face", sorted(LISTS))
def test_a_face_survives_what_deployers_write_for_it(place: Place, face: str) -> None:
    metadata = [("authorization", f"Bearer {place.key}")]
    for package_id, data in zip(("1", "2", "a/_ü", "no number"), NONSENSE, strict=True):
        fields = package_pb2.Package(face=face, alias=f"alias-{package_id}", face_data_json=data)
        place.server.packages.CreatePackage(
            package_service_pb2.CreatePackageRequest(package_id=package_id, package=fields), metadata=metadata
        )
        source = package_pb2.SourceFile(path="main.py", contents=b"def execute(input): return 1")
        place.server.packages.CreateVersion(
            package_service_pb2.CreateVersionRequest(
                parent=f"packages/{quote(package_id, safe='')}",
                version_id="1",
                version=package_pb2.Version(face_data_json=data),
                files=package_pb2.SourceFiles(files=[source]),
                release=True,
            ),
            metadata=metadata,
        )
    method, path, body = LISTS[face]
    answer = place.http(method, path.format(project=place.project), body)
    assert answer.status == 200, answer.body
    if face == "cognite":
        path = f"/api/v1/projects/{place.project}/functions/byids"
        answer = place.http("POST", path, {"items": [{"externalId": "alias-no number"}]})
        assert (answer.status, "missing" in answer.json()["error"]) == (400, True)


def test_guances_scripts_move_with_the_requirements_of_their_sets(new_place: Callable[[], Place]) -> None:
    source, target = new_place(), new_place()
    token = source.http("POST", "/api/v1/auth/do/sign-in", {"signIn": {"username": "me", "password": source.key}})
    signed = {"x_dff_auth_token": token.json()["data"]["xAuthToken"]}

    def manage(place: Place, method: str, path: str, body: object = None, **headers: str) -> Any:
        answer = place.http(method, f"/api/v1/{path}", body, **headers)
        assert answer.status == 200, answer.body
        return answer.json()["data"]

    code = (
        '@DFF.API("Double", tags=["math"], timeout=20)\ndef double(n, m=1.0):\n    """Twice."""\n'
        "    return 2 * n\n\n\ndef helper():\n    return 1\n"
    )
    manage(source, "POST", "script-sets/do/add", {"data": {"id": "math", "title": "Math"}}, **signed)
    manage(source, "POST", "scripts/do/add", {"data": {"id": "math__twice", "codeDraft": code}}, **signed)
    manage(source, "POST", "scripts/do/add", {"data": {"id": "math__draft", "codeDraft": code}}, **signed)
    manage(source, "POST", "scripts/math__twice/do/publish", {}, **signed)
    draft = {"data": {"codeDraft": f"{code}\n\n# more\n"}}
    manage(source, "POST", "scripts/math__twice/do/modify", draft, **signed)

    with source.cli.monkeypatch.context() as patch:
        patch.setenv("DATAFLUX_USERNAME", "me")
        made = fetched(source, target, "guance", "DATAFLUX_PASSWORD")
        again = fetched(source, target, "guance", "DATAFLUX_PASSWORD")
    assert made == [
        ("script", "math__draft", "left"),
        ("script", "math__twice", "left"),  # its new draft
        *(("package", "math__twice", "created"), ("version", "math__twice 1", "created")),
    ]
    assert [action for _, _, action in again] == ["left", "left", "same", "same"]
    body = {"funcId": "math__twice.double", "funcBody": {"kwargs": {"n": 21}}}
    answers = [place.http("POST", "/api/v1/outer_function/execute", body).json() for place in (source, target)]
    assert [answer["content"]["data"] for answer in answers] == [{"result": 42}] * 2
    listed = [place.http("GET", "/api/v1/outer_function/list").json()["content"] for place in (source, target)]
    assert [item["id"] for item in listed[1]] == ["math__twice.double"]
    without = ("scriptSetTitle", "scriptSetDescription")  # a set is here once it is added
    assert [_without(item, *without) for item in listed[1]] == [_without(item, *without) for item in listed[0]]
    # it is written on here: published anew under the next number
    token = target.http("POST", "/api/v1/auth/do/sign-in", {"signIn": {"username": "me", "password": target.key}})
    signed = {"x_dff_auth_token": token.json()["data"]["xAuthToken"]}
    manage(target, "POST", "scripts/math__twice/do/modify", {"data": {"codeDraft": code.replace("2", "3")}}, **signed)
    assert manage(target, "POST", "scripts/math__twice/do/publish", {}, **signed)["publishVersion"] == 2
    answer = target.http("POST", "/api/v1/outer_function/execute", body).json()
    assert answer["content"]["data"] == {"result": 63}
