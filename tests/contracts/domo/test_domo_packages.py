"""Packages and versions through Domo's routes: saved, shown, changed, released, deleted; and what is refused."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from polycall.v1 import execution_service_pb2, package_service_pb2
from tests.contracts.domo.driver import Domo, declare, typed
from tests.harness import Server

ADD = "def add(a, b):\n    return a + b\n"
JS = "function add(a, b) { return a + b }\n"
MANIFEST = {
    "functions": [
        {
            "name": "add",
            "displayName": "Add",
            "description": "Adds.",
            "inputs": [
                {"name": "a", "type": "NUMBER", "list": False, "allowNull": False, "unknown": 1},
                {"name": "b", "displayName": "B", "type": "number", "nullable": True, "defaultValues": [2]},
            ],
            "output": {"name": "sum", "type": "number"},
            "example": {"a": 1},
        },
        {"name": "hidden", "isPrivate": True},
        {"name": "_below", "inputs": [], "output": None},
    ],
    "configuration": {"accountsMapping": [{"accountId": 92, "alias": "shop"}], "mlModel": ["m"]},
}
PACKAGE_KEYS = [
    *("id", "name", "description", "language", "environment", "thumbnail", "owner", "availability", "versions"),
    *("createdOn", "updatedOn", "releasedOn"),
]
VERSION_KEYS = [
    *("id", "packageId", "version", "description", "code", "functions", "configuration"),
    *("accountAliasConfiguration", "language", "releasedOn", "released", "createdOn", "updatedOn", "createdBy"),
]
FUNCTION_KEYS = [
    *("name", "displayName", "description", "isPrivate", "inputs", "output", "hasReturn", "example"),
]
A = {
    "name": "a",
    "displayName": None,
    "type": "number",
    "isList": False,
    "nullable": False,
    "children": None,
    "defaultValues": None,
    "entitySubType": None,
}


def body(**changes: Any) -> dict[str, Any]:
    return {"name": "Sums", "language": "python", "code": ADD, **changes}


def test_a_saved_package_is_shown_with_everything_that_it_has(owner: Domo) -> None:
    made = owner.asked("POST", "", body(description="Of numbers", manifest=MANIFEST, environment="LAMBDA"))
    assert list(made) == PACKAGE_KEYS
    package_id = made["id"]
    assert str(uuid.UUID(package_id)) == package_id
    (version,) = made["versions"]
    shown = {key: made[key] for key in PACKAGE_KEYS if key not in ("id", "owner", "versions", "createdOn", "updatedOn")}
    assert shown == {
        "name": "Sums",
        "description": "Of numbers",
        "language": "Python",
        "environment": "LAMBDA",
        "thumbnail": None,
        "availability": "PRIVATE",
        "releasedOn": None,
    }
    assert made["owner"].isdigit()
    assert list(version) == VERSION_KEYS
    assert (version["packageId"], version["version"], version["createdBy"]) == (package_id, "0.0.0-dev", made["owner"])
    assert (version["code"], version["released"], version["releasedOn"]) == (ADD, None, None)
    assert version["configuration"] == MANIFEST["configuration"]
    (add,) = version["functions"]  # private ones are not shown
    assert list(add) == FUNCTION_KEYS
    assert add["inputs"] == [A, {**A, "name": "b", "displayName": "B", "nullable": True, "defaultValues": 2}]
    assert (add["output"]["type"], add["hasReturn"], add["example"]) == ("number", True, {"a": 1})
    one = owner.asked("GET", f"/{package_id}", query="?parts=versions%2C%20name,nonsense")
    assert one == made
    private = owner.asked("GET", f"/{package_id}/versions/", query="?parts=privateFunctions")
    assert [each["name"] for each in private[0]["functions"]] == ["add", "hidden", "_below"]
    owner.asked("DELETE", f"/{package_id}")


def test_javascript_shows_code_and_functions_only_if_they_are_asked_for(owner: Domo) -> None:
    package_id = owner.saved(JS, language="JavaScript", manifest=MANIFEST)
    for path in (f"/{package_id}/versions/1.0.0", f"/{package_id}"):
        for query, code, functions in (
            ("", "", []),
            ("?parts=code", JS, []),
            ("?parts=%20functions", "", ["add"]),
            ("?parts=functions, code".replace(" ", "%20"), JS, ["add"]),
        ):
            shown = owner.asked("GET", path, query=query)
            version = shown["versions"][0] if "versions" in shown else shown
            assert (version["code"], [each["name"] for each in version["functions"]]) == (code, functions)
    owner.asked("DELETE", f"/{package_id}")


def test_a_version_is_saved_overwritten_changed_and_released_once(owner: Domo) -> None:
    package_id = owner.saved(ADD, version="1.0.0", release=False)
    owner.asked("POST", "", {"id": package_id, "version": "1.0.0", "code": ADD.replace("+", "-"), "name": "Better"})
    changed = owner.asked("PUT", f"/{package_id}/versions/1.0.0", {"description": "first", "manifest": MANIFEST})
    assert (changed["code"], changed["description"]) == (ADD.replace("+", "-"), "first")
    assert owner.asked("GET", f"/{package_id}")["updatedOn"] == changed["updatedOn"]
    assert [each["name"] for each in changed["functions"]] == ["add"]
    changed = owner.asked("PUT", f"/{package_id}/versions/1.0.0", {"code": ADD, "manifest": None})
    assert (changed["code"], changed["description"]) == (ADD, "first")
    assert [each["name"] for each in changed["functions"]] == ["add"]
    assert owner.asked("PUT", f"/{package_id}/versions/1.0.0", {"description": None})["description"] is None
    owner.asked("POST", "", {"id": package_id, "version": "1.0.1", "code": ADD})
    released = owner.asked("POST", f"/{package_id}/versions/1.0.0/release", {})
    assert released["name"] == "Better"
    first, second = released["versions"]
    assert (first["version"], second["version"], second["released"]) == ("1.0.0", "1.0.1", None)
    assert first["released"] == first["releasedOn"] == released["releasedOn"]
    assert owner.run("add", package=package_id, version="1.0.0", a=1)["result"] == 3  # the manifest's default
    path = f"/{package_id}/versions/1.0.0"
    for method, where, sent in (
        ("POST", f"{path}/release", None),
        ("PUT", path, {"code": ADD}),
        ("POST", "", {"id": package_id, "version": "1.0.0", "code": ADD}),
    ):
        message = owner.refusal(owner.ask(method, where, sent), 409, "Conflict")
        assert message == f"Version 1.0.0 of package {package_id} is released and cannot change; save a new version."
    owner.asked("DELETE", f"/{package_id}")


def test_lists_are_bare_arrays_from_skip_on(owner: Domo) -> None:
    ids = [owner.saved(ADD, release=False) for _ in range(3)]
    everything = [each["id"] for each in owner.asked("GET")]
    assert [each for each in everything if each in ids] == ids  # oldest first: what is added comes behind
    start = everything.index(ids[0])
    page = owner.asked("GET", query=f"?skip={start + 1}&limit=2&parts=code&unknown=1")
    assert [each["id"] for each in page] == everything[start + 1 : start + 3]
    assert owner.asked("GET", query="?limit=0") == []
    assert owner.asked("GET", query="?skip=100000") == []
    for number in ("1.0.0", "1.0.1", "1.0.2"):
        owner.asked("POST", "", {"id": ids[0], "version": number, "code": ADD})
    versions = owner.asked("GET", f"/{ids[0]}/versions", query="?skip=1&limit=1")
    assert [each["version"] for each in versions] == ["1.0.1"]
    for query in ("?skip=-1", "?limit=x", "?skip=1.5"):
        message = owner.refusal(owner.ask("GET", query=query), 400, "Bad Request")
        assert "must be a whole number, 0 or more" in message
    for each in ids:
        owner.asked("DELETE", f"/{each}")


def test_an_id_may_be_any_text_without_a_slash(owner: Domo) -> None:
    for package_id, path in (("my package (ü)", "/my%20package%20(%C3%BC)"), (".hidden", "/.hidden")):
        made = owner.asked("POST", "", body(id=package_id, version="1.0.0", manifest=MANIFEST))
        assert (made["id"], made["versions"][0]["packageId"]) == (package_id, package_id)
        owner.asked("POST", f"{path}/versions/1.0.0/release")
        record = owner.run("add", package=path[1:], version="1.0.0", a=1, b=1)
        assert (record["packageId"], record["result"]) == (package_id, 2)
        assert owner.get(record["executionId"], package=path[1:]).json() == record
        assert owner.asked("GET", path)["id"] == package_id
        owner.asked("DELETE", path)
        owner.refusal(owner.ask("GET", path), 404, "Not Found")


def test_without_a_manifest_the_code_says_what_functions_there_are(owner: Domo) -> None:
    code = """
from typing import Any, List, Optional
def f(a: str, b: int, c: float, d: bool, e: dict, g: list, h: List[int], i: Optional[str], j, k: int = 3, m=None,
      n=object()) -> List[str]:
    "Doc."
    return [type(x).__name__ for x in (a, b, c, d, e, g, h, i, j, k, m, n)]
def nothing(): return 7
def _private(): pass
"""
    package_id = owner.saved(code)
    functions = owner.asked("GET", f"/{package_id}/versions/1.0.0")["functions"]
    assert [each["name"] for each in functions] == ["f", "nothing"]
    f, nothing = functions
    inputs = {
        each["name"]: (each["type"], each["isList"], each["nullable"], each["defaultValues"]) for each in f["inputs"]
    }
    assert inputs == {
        "a": ("text", False, False, None),
        "b": ("number", False, False, None),
        "c": ("decimal", False, False, None),
        "d": ("boolean", False, False, None),
        "e": ("object", False, False, None),
        "g": ("object", False, False, None),
        "h": ("number", True, False, None),
        "i": ("text", False, True, None),
        "j": ("", False, False, None),
        "k": ("number", False, True, 3),
        "m": ("", False, True, None),
        "n": ("", False, True, None),
    }
    assert (f["description"], f["output"]["type"], f["output"]["isList"]) == ("Doc.", "text", True)
    assert (nothing["inputs"], nothing["output"], nothing["hasReturn"]) == ([], None, False)
    given: dict[str, Any] = {"a": "x", "b": 1, "c": 1, "d": True, "e": {}, "g": [1, "x"], "h": [1], "j": 1.5}
    record = owner.run("f", package=package_id, version="1.0.0", **given)
    # what may be missing is the code's own to fill
    kinds = "str int int bool dict list list NoneType float int NoneType object"
    assert record["result"] == kinds.split(), record
    message = owner.refusal(
        owner.post("f", {"inputVariables": {**given, "h": ["x"]}}, package=package_id, version="1.0.0"),
        400,
        "Bad Request",
    )
    assert message == "inputVariables.h[0]: expected number but got text"
    owner.asked("DELETE", f"/{package_id}")
    script = owner.saved(
        "const codeengine = require('codeengine')\nfunction f(a, b = 2) { return [a, b] }\n", language="JAVASCRIPT"
    )
    (f,) = owner.asked("GET", f"/{script}/versions/1.0.0", query="?parts=functions")["functions"]
    assert [(each["name"], each["type"], each["nullable"]) for each in f["inputs"]] == [
        ("a", "", True),
        ("b", "", True),
    ]
    assert owner.run("f", package=script, version="1.0.0", a="x", more=1)["result"] == ["x", 2]
    owner.asked("DELETE", f"/{script}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": None}, "code: must be set"),
        ({"name": None}, "name: must be set for a new package"),
        ({"name": ""}, "name: must not be empty"),
        ({"language": None}, "language: must be set for a new package"),
        ({"language": "ruby"}, "language: must be PYTHON or JAVASCRIPT, got 'ruby'"),
        ({"environment": "EC2"}, "environment: must be LAMBDA, got 'EC2'"),
        ({"id": "a/b"}, "id: must have no `/`"),
        ({"id": "x" * 600}, "id: must be 1 to 128 characters"),
        ({"version": "a b"}, "version: must be 1 to 64 of letters, digits, `.` and `-`"),
        ({"name": "x" * 5000}, "name: must have at most 4096 characters"),
        ({"code": 7}, "code: Expected `str | null`, got `int`"),
        ({"code": "def f(:\n"}, "code: main.py:1: SyntaxError: invalid syntax"),
        ({"code": "def f(:\n", "manifest": MANIFEST}, "code: main.py:1: SyntaxError: invalid syntax"),
        ({"code": "function f( {", "language": "javascript", "manifest": MANIFEST}, "code: main.js"),
        ({"code": "throw new Error('no')", "language": "javascript"}, "code: main.js"),
        ({"manifest": []}, "manifest"),
        ({"name": "\ud800"}, "the body is not valid JSON"),
        ({"manifest": {"functions": [{}]}}, "manifest.functions[0]: Object missing required field `name`"),
        (
            {"manifest": {"functions": [{"name": "f", "inputs": [{"name": ""}]}]}},
            "manifest.functions[0].inputs[0].name: must be set",
        ),
        (
            {"manifest": {"functions": [{"name": "f", "inputs": [{"name": "a", "type": "nubmer"}]}]}},
            "manifest.functions[0].inputs[0].type: 'nubmer' is no type",
        ),
        (
            {"manifest": {"functions": [{"name": "f"}, {"name": "f"}]}},
            "manifest.functions[1].name: 'f' stands there twice",
        ),
        (
            {"manifest": {"functions": [{"name": "f/g"}]}},
            "manifest.functions[0].name: must be 1 to 128 printable characters, no `/`",
        ),
        (
            {
                "manifest": {
                    "functions": [{"name": "f", "inputs": [{"name": "a", "type": "number", "defaultValues": "x"}]}]
                }
            },
            "manifest.functions[0].inputs[0].defaultValues: expected number but got text",
        ),
        (
            {"manifest": {"configuration": {"accountsMapping": ["a"] * 65}}},
            "manifest.configuration.accountsMapping: has 65 accounts; at most 64",
        ),
    ],
)
def test_what_cannot_be_saved_is_400_and_leaves_nothing(owner: Domo, changes: dict[str, Any], message: str) -> None:
    package_id = str(uuid.uuid4())
    answer = owner.ask("POST", "", body(id=package_id) | changes)
    assert owner.refusal(answer, 400, "Bad Request").startswith(message)
    owner.refusal(owner.ask("GET", f"/{package_id}"), 404, "Not Found")


def test_more_that_is_refused(owner: Domo) -> None:
    package_id = owner.saved(ADD, version="0.0.0-dev", release=False)
    message = owner.refusal(owner.ask("POST", f"/{package_id}/versions/0.0.0-dev/release"), 400, "Bad Request")
    assert message == "version: 0.0.0-dev cannot be released; save it under a version number first"
    other = {"id": package_id, "code": JS, "language": "JavaScript"}
    message = owner.refusal(owner.ask("POST", "", other), 400, "Bad Request")
    assert message == "language: is python and stays so; make a new package for another"
    unknown: tuple[tuple[str, str, object], ...] = (
        ("GET", "/unknown", None),
        ("DELETE", "/unknown", None),
        ("GET", "/unknown/versions", None),
        ("GET", "/unknown/permissions", None),
        ("POST", "/unknown/share", {}),
        ("POST", "/unknown/versions/1.0.0/release", None),
        ("GET", f"/{package_id}/versions/0.0.0-dev", None),  # not released
        ("GET", f"/{package_id}/versions/9.9.9", None),
        ("PUT", f"/{package_id}/versions/9.9.9", {"code": 7}),  # 404 comes before 400
        ("POST", f"/{package_id}/versions/9.9.9/release", None),
        ("POST", f"/{package_id}/nothing", None),
    )
    for method, path, sent in unknown:
        owner.refusal(owner.ask(method, path, sent), 404, "Not Found")
    for method, path in (("PUT", ""), ("POST", f"/{package_id}"), ("DELETE", f"/{package_id}/versions/1.0.0")):
        owner.refusal(owner.ask(method, path, {}), 405, "Method Not Allowed")
    for malformed in (b"{", b"[]", b"\xff"):
        owner.refusal(owner.ask("POST", "", malformed), 400, "Bad Request")
        owner.refusal(owner.ask("PUT", f"/{package_id}/versions/0.0.0-dev", malformed), 400, "Bad Request")
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", f"/{package_id}"), ("GET", "/unknown")):
        owner.refusal(owner.ask(method, path, key="wrong"), 401, "Unauthorized")
    owner.asked("DELETE", f"/{package_id}")


def test_a_package_that_was_deployed_natively_is_read_and_run_here_and_changed_where_it_came_from(
    owner: Domo, polycall: Server
) -> None:
    polycall.deploy("native-sums", {"main.py": ADD}, version="1.0.0", release=True, key=owner.key)
    shown = owner.asked("GET", "/native-sums")
    assert (shown["name"], shown["owner"], shown["language"]) == ("native-sums", None, "Python")
    assert owner.asked("GET", "/native-sums/versions/1.0.0")["functions"][0]["name"] == "add"
    assert owner.run("add", package="native-sums", version="1.0.0", a=1, b=2)["result"] == 3
    assert "native-sums" not in [each["id"] for each in owner.asked("GET")]
    for method, path, sent in (
        ("POST", "", {"id": "native-sums", "version": "1.0.1", "code": ADD}),
        ("PUT", "/native-sums/versions/1.0.0", {"code": ADD}),
        ("DELETE", "/native-sums", None),
        ("POST", "/native-sums/share", {"permissions": ["READ"], "userIds": [1]}),
        ("POST", "/native-sums/permissions", {}),
    ):
        message = owner.refusal(owner.ask(method, path, sent), 403, "Forbidden")
        assert message.startswith("Package native-sums was deployed natively")


def test_an_id_of_another_contract_is_taken_and_its_package_not_there(owner: Domo, polycall: Server) -> None:
    metadata = [("authorization", f"Bearer {owner.key}")]
    created = package_service_pb2.CreatePackageRequest(package_id="of-another")
    created.package.face = "cognite"
    polycall.packages.CreatePackage(created, metadata=metadata)
    owner.refusal(owner.ask("GET", "/of-another"), 404, "Not Found")
    message = owner.refusal(owner.ask("POST", "", body(id="of-another")), 409, "Conflict")
    assert message == "The id of-another is that of a package of another contract; choose another."


def test_a_package_of_no_functions_may_be_saved(owner: Domo) -> None:
    for language in ("PYTHON", "JAVASCRIPT"):
        package_id = owner.saved("", language=language)
        shown = owner.asked("GET", f"/{package_id}/versions/1.0.0", query="?parts=functions,code")
        assert (shown["code"], shown["functions"]) == ("", [])
        message = owner.refusal(owner.post("f", package=package_id, version="1.0.0"), 404, "Not Found")
        assert message.endswith("callable functions: none.")
        owner.asked("DELETE", f"/{package_id}")


def test_what_domo_saved_is_listed_and_run_natively(owner: Domo, polycall: Server) -> None:
    package_id = owner.saved(f"import codeengine\n{ADD}", manifest=MANIFEST)
    metadata = [("authorization", f"Bearer {owner.key}")]
    listed = polycall.packages.ListPackages(package_service_pb2.ListPackagesRequest(page_size=100), metadata=metadata)
    assert f"packages/{package_id}" in [each.name for each in listed.packages]
    request = execution_service_pb2.RunFunctionRequest(
        function=f"packages/{package_id}/functions/add", input_json='{"a": 1}'
    )
    assert polycall.executions.RunFunction(request, metadata=metadata).output_json == "3"
    owner.asked("DELETE", f"/{package_id}")


def test_a_package_that_an_import_made_is_saved_further_and_belongs_to_who_shares_it_first(
    owner: Domo, other: Domo, polycall: Server
) -> None:
    metadata = [("authorization", f"Bearer {owner.key}")]
    created = package_service_pb2.CreatePackageRequest(package_id="imported")
    created.package.display_name = "Imported"
    created.package.face = "domo"
    polycall.packages.CreatePackage(created, metadata=metadata)
    functions = [declare("add", typed("number"), a=typed("number"), b=typed("number"))]
    main = (
        f"import os\nimport codeengine\nimport helping\n{ADD}\ndef env():\n    return os.environ['E'] + helping.MORE\n"
    )
    source = {"main.py": main, "helping.py": "MORE = '!'\n"}
    for number, release in (("1.0.0", True), ("1.0.1", False)):
        polycall.deploy(
            "imported", source, version=number, functions=functions, release=release, key=owner.key, env={"E": "kept"}
        )
    assert owner.run("add", package="imported", version="1.0.0", a=1, b=2)["result"] == 3
    assert "imported" in [each["id"] for each in owner.asked("GET")]
    changed = owner.asked("PUT", "/imported/versions/1.0.1", {"description": "told"})
    assert [each["name"] for each in changed["functions"]] == ["add"]
    assert [each["type"] for each in changed["functions"][0]["inputs"]] == ["number", "number"]
    # what Domo has no word for stays as it was
    owner.asked("POST", "", {"id": "imported", "version": "1.0.1", "code": source["main.py"]})
    owner.asked("POST", "/imported/versions/1.0.1/release")
    assert owner.run("env", package="imported", version="1.0.1")["result"] == "kept!"
    assert other.asked("GET", "/imported/permissions") == {"users": [], "groups": []}
    owner.asked("POST", "/imported/share", {"permissions": ["READ"], "groupIds": [7]})
    owner.refusal(other.ask("GET", "/imported"), 403, "Forbidden")
    owner.asked("DELETE", "/imported")


def test_saves_at_the_same_time_lose_nothing(owner: Domo) -> None:
    package_id = owner.saved(ADD, version="1.0.0", release=False)
    answers: list[int] = []

    def at_once(*requests: tuple[str, str, dict[str, Any]]) -> None:
        def send(method: str, path: str, sent: dict[str, Any]) -> None:
            answers.append(owner.ask(method, path, sent).status)

        threads = [threading.Thread(target=send, args=request) for request in requests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    path = f"/{package_id}/versions/1.0.0"
    at_once(
        ("PUT", path, {"description": "told"}),
        ("PUT", path, {"code": ADD.replace("+", "*")}),
        ("PUT", path, {"manifest": MANIFEST}),
        *(("POST", "", {"id": package_id, "version": f"2.0.{n}", "code": ADD}) for n in range(3)),
        *(("POST", f"/{package_id}/share", {"permissions": ["READ"], "userIds": [n]}) for n in range(1, 5)),
        *(("POST", "", body(id=f"{package_id}-twin", version=f"1.0.{n}")) for n in range(2)),
    )
    assert answers == [200] * 12
    shown = owner.asked("GET", f"/{package_id}")
    (first,) = (each for each in shown["versions"] if each["version"] == "1.0.0")
    assert (first["description"], first["code"]) == ("told", ADD.replace("+", "*"))
    assert first["configuration"] == MANIFEST["configuration"]
    assert sorted(each["version"] for each in shown["versions"]) == ["1.0.0", "2.0.0", "2.0.1", "2.0.2"]
    users = owner.asked("GET", f"/{package_id}/permissions")["users"]
    assert sorted(each["id"] for each in users if each["permissions"] == ["READ"]) == [1, 2, 3, 4]
    twin = owner.asked("GET", f"/{package_id}-twin")
    assert sorted(each["version"] for each in twin["versions"]) == ["1.0.0", "1.0.1"]
    owner.asked("DELETE", f"/{package_id}-twin")
    owner.asked("DELETE", f"/{package_id}")
