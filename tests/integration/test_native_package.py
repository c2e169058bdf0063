"""PackageService on a real server."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from google.protobuf import duration_pb2, field_mask_pb2

from polycall.bundle import bundle_digest
from polycall.errors import Code
from polycall.v1 import execution_pb2, execution_service_pb2, package_pb2, package_service_pb2
from tests.harness import Server, running_server, until
from tests.integration.native import bad_fields, refusal

S = 30.0
Version = package_pb2.Version


def fresh(prefix: str = "native-pkg") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def source(files: Mapping[str, str]) -> package_pb2.SourceFiles:
    return package_pb2.SourceFiles(
        files=[package_pb2.SourceFile(path=path, contents=text.encode()) for path, text in files.items()]
    )


class Packages:
    """The service, with the key, by short calls."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def do(self, method: str, request: Any) -> Any:
        return getattr(self.server.packages, method)(request, metadata=self.server.metadata, timeout=S)

    def create(self, package_id: str, **fields: Any) -> Any:
        return self.do("CreatePackage", package_service_pb2.CreatePackageRequest(package_id=package_id, **fields))

    def get(self, package_id: str) -> Any:
        return self.do("GetPackage", package_service_pb2.GetPackageRequest(name=f"packages/{package_id}"))

    def version(self, package_id: str, **fields: Any) -> Any:
        fields.setdefault("create_package", True)
        return self.do(
            "CreateVersion", package_service_pb2.CreateVersionRequest(parent=f"packages/{package_id}", **fields)
        )

    def get_version(self, name: str, **fields: Any) -> Any:
        return self.do("GetVersion", package_service_pb2.GetVersionRequest(name=name, **fields))

    def release(self, name: str) -> Any:
        return self.do("ReleaseVersion", package_service_pb2.ReleaseVersionRequest(name=name))

    def run(self, function: str) -> Any:
        return self.server.executions.RunFunction(
            execution_service_pb2.RunFunctionRequest(function=function), metadata=self.server.metadata, timeout=S
        )


@pytest.fixture(scope="module")
def packages(polycall: Server) -> Packages:
    return Packages(polycall)


# packages


def test_a_package_is_created_found_changed_and_deleted(packages: Packages) -> None:
    id = fresh()
    made = packages.create(
        id, package=package_pb2.Package(display_name="Tool", description="A tool.", labels={"team": "a"})
    )
    assert (made.name, made.display_name, made.description) == (f"packages/{id}", "Tool", "A tool.")
    assert dict(made.labels) == {"team": "a"}
    assert made.create_time == made.update_time
    assert packages.get(id) == made

    changed = packages.do(
        "UpdatePackage",
        package_service_pb2.UpdatePackageRequest(
            package=package_pb2.Package(name=made.name, display_name="New", labels={"team": "b"}),
            update_mask=field_mask_pb2.FieldMask(paths=["display_name", "labels"]),
        ),
    )
    assert (changed.display_name, changed.description, dict(changed.labels)) == ("New", "A tool.", {"team": "b"})
    assert packages.get(id) == changed

    packages.do("DeletePackage", package_service_pb2.DeletePackageRequest(name=made.name))
    gone = refusal(lambda: packages.get(id))
    assert (gone.code, gone.reason, gone.metadata) == (
        *(Code.NOT_FOUND, "PACKAGE_NOT_FOUND", {"resource": f"packages/{id}"}),
    )
    assert gone.details["ResourceInfo"].resource_name == f"packages/{id}"


def test_a_change_that_is_only_checked_changes_nothing(packages: Packages) -> None:
    made = packages.create(fresh(), package=package_pb2.Package(display_name="Old"))
    request = package_service_pb2.UpdatePackageRequest(
        package=package_pb2.Package(name=made.name, display_name="New"), validate_only=True
    )
    assert packages.do("UpdatePackage", request).display_name == "New"
    assert packages.get(made.name.removeprefix("packages/")) == made


def test_a_package_that_is_only_checked_is_not_made(packages: Packages) -> None:
    id = fresh()
    assert packages.create(id, validate_only=True).name == f"packages/{id}"
    assert refusal(lambda: packages.get(id)).reason == "PACKAGE_NOT_FOUND"


def test_a_package_may_be_of_a_face_and_have_its_other_id_and_data(packages: Packages) -> None:
    id, alias = fresh(), fresh("alias")
    fields = package_pb2.Package(face="cognite", alias=alias, face_data_json='{"owner": "é", "n": 9007199254740993}')
    made = packages.create(id, package=fields)
    assert (made.face, made.alias, made.face_data_json) == (fields.face, fields.alias, fields.face_data_json)
    assert packages.get(id) == made
    listed = packages.do("ListPackages", package_service_pb2.ListPackagesRequest(page_size=1)).packages[0]
    assert (listed.name, listed.face, listed.alias, listed.face_data_json) == (made.name, "cognite", alias, "")
    taken = refusal(lambda: packages.create(fresh(), package=fields))
    assert (taken.code, taken.reason) == (Code.ALREADY_EXISTS, "ALREADY_EXISTS")
    packages.create(fresh(), package=package_pb2.Package(face="guance", alias=alias))  # unique in the face only

    def change(paths: list[str], **to: Any) -> Any:
        return packages.do(
            "UpdatePackage",
            package_service_pb2.UpdatePackageRequest(
                package=package_pb2.Package(name=made.name, **to), update_mask=field_mask_pb2.FieldMask(paths=paths)
            ),
        )

    changed = change(["alias", "face_data_json"], alias=f"{alias}-2", face_data_json='{"a":1}', face="domo")
    assert (changed.face, changed.alias, changed.face_data_json) == ("cognite", f"{alias}-2", '{"a":1}')
    assert change([], display_name="New").face_data_json == '{"a":1}'
    assert packages.get(id).alias == f"{alias}-2"


@pytest.mark.parametrize(
    ("package", "fields"),
    [
        (package_pb2.Package(face="acme"), {"package.face": "must be one of riza, cognite, guance, xpander, domo"}),
        (package_pb2.Package(alias="x"), {"package.alias": "is for packages of a face"}),
        (package_pb2.Package(face_data_json="{}"), {"package.face_data_json": "is for packages of a face"}),
        (package_pb2.Package(face="riza", face_data_json="[]"), {"package.face_data_json": "must be a JSON object"}),
        (
            package_pb2.Package(face="riza", face_data_json='{"x":"' + "x" * (1 << 20) + '"}'),
            {"package.face_data_json": f"must have at most {1 << 20} bytes"},
        ),
    ],
    ids=["face", "alias", "data", "list", "large"],
)
def test_what_is_wrong_with_a_packages_face_is_named(
    packages: Packages, package: package_pb2.Package, fields: dict[str, str]
) -> None:
    assert bad_fields(refusal(lambda: packages.create(fresh(), package=package))) == fields


def test_a_version_keeps_what_its_face_keeps_beside_it(packages: Packages) -> None:
    id = fresh()
    data = '{"description": "é"}'
    made = packages.version(id, files=source({"main.py": ""}), version=Version(face_data_json=data))
    assert made.face_data_json == data
    assert packages.get_version(made.name).face_data_json == data
    listed = packages.do("ListVersions", package_service_pb2.ListVersionsRequest(parent=f"packages/{id}")).versions
    assert [version.face_data_json for version in listed] == [""]
    bad = refusal(lambda: packages.version(id, files=source({"m.py": ""}), version=Version(face_data_json="{")))
    assert set(bad_fields(bad)) == {"version.face_data_json"}


def test_secrets_of_a_version_are_for_its_handle_and_shown_to_nobody(packages: Packages) -> None:
    id = fresh()
    code = "def handle(secrets): return secrets"
    handle = package_pb2.Function(name="handle", convention=execution_pb2.CONVENTION_HANDLE)
    made = packages.version(
        id,
        files=source({"main.py": code}),
        version=Version(functions=[handle], secrets={"api-key": "hunter2"}),
    )
    assert dict(made.secrets) == {"api-key": ""}
    assert dict(packages.get_version(made.name).secrets) == {"api-key": ""}
    assert packages.run(f"packages/{id}/functions/handle").output_json == '{"api-key": "hunter2"}'
    empty = refusal(lambda: packages.version(id, files=source({"main.py": code}), version=Version(secrets={"a": ""})))
    assert set(bad_fields(empty)) == {"version.secrets['a']"}


def test_an_id_of_any_text_is_found_by_rest_too(packages: Packages) -> None:
    id = f"{fresh()}/old é?:#%"
    made = packages.version(quote(id, safe=""), version_id="1/0", files=source({"main.py": "def f(): return 1"}))
    assert made.name == f"packages/{quote(id, safe='')}/versions/1%2F0"

    def rest(method: str, path: str) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {packages.server.key}", "content-type": "application/json"}
        body = None if method == "GET" else b"{}"
        answer = packages.server.http(method, f"/polycall/v1/{path}", body=body, headers=headers)
        return answer.status, answer.json()

    # a name in a path is text like any other, so that its % is encoded
    status, found = rest("GET", quote(made.name))
    assert (status, found["name"], found["state"]) == (200, made.name, "STATE_READY")
    assert rest("GET", "packages/..")[0] == 404
    status, released = rest("POST", f"{quote(made.name)}:release")
    assert (status, released["state"]) == (200, "STATE_RELEASED")
    assert packages.run(f"packages/{quote(id, safe='')}/functions/f").output_json == "1"


def test_an_id_that_is_taken_is_refused(packages: Packages) -> None:
    id = fresh()
    packages.create(id)
    refused = refusal(lambda: packages.create(id))
    assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "ALREADY_EXISTS")
    assert refused.details["ResourceInfo"].resource_name == f"packages/{id}"


def test_a_repeated_request_returns_the_first_package(packages: Packages) -> None:
    id, request_id = fresh(), str(uuid.uuid4())
    first = packages.create(id, request_id=request_id)
    assert packages.create(id, request_id=request_id) == first


def test_packages_are_listed_newest_first_in_pages(packages: Packages) -> None:
    made = [packages.create(fresh()).name for _ in range(5)]
    names: list[str] = []
    token = ""
    for _ in range(3):
        page = packages.do("ListPackages", package_service_pb2.ListPackagesRequest(page_size=2, page_token=token))
        names += [package.name for package in page.packages]
        token = page.next_page_token
    assert names[:5] == made[::-1]


def test_what_is_wrong_with_a_package_is_named(packages: Packages) -> None:
    package = package_pb2.Package(display_name="x" * 4097, labels={"": "x"})
    refused = refusal(lambda: packages.create(fresh(), package=package))
    assert set(bad_fields(refused)) == {"package.display_name", "package.labels['']"}
    assert set(bad_fields(refusal(lambda: packages.create("..", request_id="1")))) == {"package_id", "request_id"}


# versions


def test_a_version_is_made_of_files_and_tells_its_functions(packages: Packages) -> None:
    id = fresh()
    files = {"main.py": 'def add(a: int, b: int = 2) -> int:\n    """Add."""\n    return a + b\n', "data/x.txt": "é"}
    made = packages.version(
        id,
        files=source(files),
        version=Version(
            limits=execution_pb2.Limits(timeout=duration_pb2.Duration(seconds=5), memory_mib=64),
            env={"A": "1"},
            fresh_process=True,
        ),
    )
    assert (made.name, made.state, made.error) == (f"packages/{id}/versions/1", Version.STATE_READY, "")
    assert made.functions[0] == package_pb2.Function(
        name="add",
        entrypoint="main:add",
        convention=execution_pb2.CONVENTION_KEYWORDS,
        input_schema_json=(
            '{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer","default":2}},'
            '"required":["a"]}'
        ),
        output_schema_json='{"type":"integer"}',
        schema_origin=package_pb2.Function.SCHEMA_ORIGIN_SOURCE,
        description="Add.",
    )
    assert made.limits == execution_pb2.Limits(timeout=duration_pb2.Duration(seconds=5), memory_mib=64)
    assert (dict(made.env), made.fresh_process) == ({"A": "1"}, True)
    assert made.source_digest == bundle_digest({path: text.encode() for path, text in files.items()})
    assert not made.HasField("release_time")
    assert not made.HasField("source")

    assert packages.get_version(made.name) == made
    found = packages.get_version(made.name, include_source=True)
    assert {file.path: file.contents.decode() for file in found.source.files} == files
    assert found.limits == made.limits
    assert packages.get(id).name == f"packages/{id}"


def test_a_version_is_made_of_a_zip_archive(packages: Packages) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("./pkg/", "")
        archive.writestr("./pkg/__init__.py", "from .inner import value\ndef get(): return value")
        archive.writestr("./pkg/inner.py", "value = 7")
    made = packages.version(fresh(), zip=stream.getvalue())
    assert (made.state, made.functions[0].entrypoint) == (Version.STATE_READY, "pkg:get")
    assert packages.run(f"{made.name}/functions/get").output_json == "7"


def test_versions_are_numbered_and_the_newest_ready_is_run(packages: Packages) -> None:
    id = fresh()
    for n in (1, 2, 3):
        assert packages.version(id, files=source({"main.py": f"def f(): return {n}"})).name.endswith(f"/versions/{n}")
    broken = packages.version(id, files=source({"main.py": "def f("}))
    assert broken.state == Version.STATE_ERROR
    assert broken.error == "main.py:1: SyntaxError: '(' was never closed"
    assert packages.run(f"packages/{id}/functions/f").output_json == "3"
    assert packages.get_version(f"packages/{id}/versions/-").name == f"packages/{id}/versions/3"


def test_a_released_version_is_what_callers_get_who_name_none(packages: Packages) -> None:
    id = fresh()
    first = packages.version(id, version_id="1.0", files=source({"main.py": "def f(): return 'one'"}))
    packages.version(id, version_id="2.0-rc", files=source({"main.py": "def f(): return 'two'"}))
    released = packages.release(first.name)
    assert released.state == Version.STATE_RELEASED
    assert released.HasField("release_time")
    assert packages.run(f"packages/{id}/functions/f").output_json == '"one"'
    again = refusal(lambda: packages.release(first.name))
    assert (again.code, again.reason) == (Code.ALREADY_EXISTS, "VERSION_RELEASED")
    three = packages.version(id, version_id="3", files=source({"main.py": "def f(): return 3"}), release=True)
    assert three.state == Version.STATE_RELEASED
    assert packages.run(f"packages/{id}/functions/f").output_json == "3"
    listed = packages.do("ListVersions", package_service_pb2.ListVersionsRequest(parent=f"packages/{id}"))
    assert [version.name.rpartition("/")[2] for version in listed.versions] == ["3", "2.0-rc", "1.0"]


def test_a_version_that_cannot_be_run_says_why(packages: Packages) -> None:
    made = packages.version(fresh(), files=source({"main.py": "import os\nreturn 1"}))
    assert (made.state, made.error) == (Version.STATE_ERROR, "main.py:2: SyntaxError: 'return' outside function")
    refused = refusal(lambda: packages.run(f"{made.name}/functions/f"))
    assert (refused.code, refused.reason) == (Code.FAILED_PRECONDITION, "FUNCTION_NOT_READY")
    assert refused.metadata == {"state": "error", "version": made.name}
    (violation,) = refused.details["PreconditionFailure"].violations
    assert (violation.type, violation.subject) == ("FUNCTION_NOT_READY", made.name)
    assert "'return' outside function" in refused.message
    not_released = refusal(lambda: packages.release(made.name))
    assert not_released.reason == "FUNCTION_NOT_READY"


def test_a_deleted_version_is_gone(packages: Packages) -> None:
    made = packages.version(fresh(), files=source({"main.py": "def f(): return 1"}))
    assert packages.run(f"{made.name}/functions/f").output_json == "1"
    packages.do("DeleteVersion", package_service_pb2.DeleteVersionRequest(name=made.name))
    assert refusal(lambda: packages.get_version(made.name)).reason == "VERSION_NOT_FOUND"
    assert refusal(lambda: packages.run(f"{made.name}/functions/f")).reason == "VERSION_NOT_FOUND"


def test_a_version_that_is_only_checked_is_analysed_and_not_made(packages: Packages) -> None:
    id = fresh()
    checked = packages.version(id, files=source({"main.py": "def f(a): ..."}), validate_only=True)
    assert [function.name for function in checked.functions] == ["f"]
    assert refusal(lambda: packages.get(id)).reason == "PACKAGE_NOT_FOUND"


def test_a_repeated_request_makes_one_version(packages: Packages) -> None:
    id, request_id = fresh(), str(uuid.uuid4())
    fields = {"files": source({"main.py": "def f(): return 1"}), "request_id": request_id}
    assert packages.version(id, **fields) == packages.version(id, **fields)
    listed = packages.do("ListVersions", package_service_pb2.ListVersionsRequest(parent=f"packages/{id}"))
    assert len(listed.versions) == 1


def test_a_version_id_that_is_taken_is_refused(packages: Packages) -> None:
    id = fresh()
    fields = {"version_id": "1.0", "files": source({"main.py": "def f(): return 1"})}
    packages.version(id, **fields)
    refused = refusal(lambda: packages.version(id, **fields))
    assert (refused.code, refused.reason) == (Code.ALREADY_EXISTS, "ALREADY_EXISTS")


def test_a_package_is_not_made_in_passing_unless_asked(packages: Packages) -> None:
    fields = {"files": source({"main.py": "def f(): return 1"}), "create_package": False}
    assert refusal(lambda: packages.version(fresh(), **fields)).reason == "PACKAGE_NOT_FOUND"


def test_declared_functions_are_kept_as_they_are_declared(packages: Packages) -> None:
    declared = package_pb2.Function(
        name="total",
        entrypoint="tool:Tool.total",
        convention=execution_pb2.CONVENTION_PARAMETERS,
        input_schema_json='{ "type": "object" }',
        parameters=[
            package_pb2.Parameter(
                name="items",
                declared_type=package_pb2.DeclaredType(type="number", is_list=True, nullable=True),
                default_json="[1.0]",
                display_name="Items",
            )
        ],
        output=package_pb2.DeclaredType(
            type="object", children=[package_pb2.Parameter(name="sum", declared_type={"type": "number"})]
        ),
        display_name="Total",
        description="Adds up.",
        accepts_any=True,
    )
    code = "class Tool:\n    @staticmethod\n    def total(items): return {'sum': sum(items)}\n"
    made = packages.version(fresh(), files=source({"tool.py": code}), version=Version(functions=[declared]))
    declared.schema_origin = package_pb2.Function.SCHEMA_ORIGIN_DECLARED
    assert (made.error, list(made.functions)) == ("", [declared])


def test_all_that_is_wrong_with_a_version_is_named(packages: Packages) -> None:
    refused = refusal(
        lambda: packages.version(
            "-",
            version_id="1\n",
            files=source({"../main.py": "", "a": "", "a/b": ""}),
            version=Version(
                language=99,  # type: ignore[arg-type]
                functions=[package_pb2.Function(name="f", input_schema_json="{", entrypoint="nope")],
            ),
        )
    )
    assert set(bad_fields(refused)) == {
        *("parent", "version_id", "version.language", "files.files[0].path", "files.files"),
        *("version.functions[0].input_schema_json", "version.functions[0].entrypoint"),
    }


def test_what_the_registry_refuses_is_named_too(packages: Packages) -> None:
    refused = refusal(
        lambda: packages.version(
            fresh(),
            files=package_pb2.SourceFiles(),
            version=Version(functions=[{"name": "a"}, {"name": "a"}], env={"A=B": "1"}),
        )
    )
    assert set(bad_fields(refused)) == {"source", "version.functions[1].name", "version.env['A=B']"}
    limits = execution_pb2.Limits(memory_mib=1)
    refused = refusal(lambda: packages.version(fresh(), files=source({"main.py": ""}), version=Version(limits=limits)))
    assert refused.reason == "LIMIT_OUT_OF_RANGE"
    assert bad_fields(refused) == {"version.limits.memory_mib": "must be 16 to 5120 MiB, got 1"}


def test_a_runtime_that_is_not_there_is_not_found(packages: Packages) -> None:
    def deploy(runtime: str) -> Any:
        return packages.version(fresh(), files=source({"main.py": ""}), version=Version(runtime=runtime))

    refused = refusal(lambda: deploy("runtimes/pypy"))
    assert (refused.code, refused.reason) == (Code.NOT_FOUND, "RUNTIME_NOT_FOUND")
    assert refused.metadata == {"resource": "runtimes/pypy"}
    assert set(bad_fields(refusal(lambda: deploy("pypy")))) == {"runtime"}


# hostile sources


def zipped(path: str, data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path, data)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("archive", "text"),
    [
        (b"", "is not a readable zip archive"),
        (b"not a zip", "is not a readable zip archive"),
        (zipped("../../etc/x", b""), "'../../etc/x' must not contain '..'"),
        (zipped("/etc/x", b""), "'/etc/x' must be relative"),
        (zipped("a", bytes(70_000_000)), "unpacks to more than 67108864 bytes"),
    ],
)
def test_a_hostile_archive_is_refused(packages: Packages, archive: bytes, text: str) -> None:
    refused = refusal(lambda: packages.version(fresh(), zip=archive))
    assert bad_fields(refused)
    assert text in refused.message


def test_a_source_that_breaks_compilers_is_an_error_of_its_own(packages: Packages) -> None:
    made = packages.version(fresh(), files=source({"main.py": "x=[" + "[]," * 340_000 + "]"}))
    assert (made.state, made.error) == (Version.STATE_ERROR, "main.py: is nested too deeply, or too large")
    deep = packages.version(fresh(), files=source({"main.py": "a" + ".b" * 200_000}))
    assert deep.error == "main.py: is nested too deeply, or too large"
    assert packages.version(fresh(), files=source({"main.py": "def f(): ..."})).state == Version.STATE_READY


# analyze_later


def state_of(packages: Packages, name: str) -> Any:
    return packages.get_version(name).state


def test_a_version_may_be_analysed_after_the_answer(packages: Packages) -> None:
    made = packages.version(fresh(), files=source({"main.py": "def f(a: int): return a"}), analyze_later=True)
    assert (made.state, list(made.functions)) == (Version.STATE_ANALYSING, [])
    until(lambda: state_of(packages, made.name) != Version.STATE_ANALYSING)
    found = packages.get_version(made.name)
    assert (found.state, [f.name for f in found.functions]) == (Version.STATE_READY, ["f"])
    broken = packages.version(fresh(), files=source({"main.py": "x = 1\ndef f(:"}), analyze_later=True, release=True)
    until(lambda: state_of(packages, broken.name) != Version.STATE_ANALYSING)
    found = packages.get_version(broken.name)
    assert (found.state, found.error) == (Version.STATE_ERROR, "main.py:2: SyntaxError: invalid syntax")
    assert not found.HasField("release_time")


def test_an_analysis_that_a_killed_server_had_begun_is_done_after_the_next_start(tmp_path: Path) -> None:
    long = "".join(f"def f{n}(a: dict[str, list[int]], b: str = 'x'):\n    return [a, b]\n" for n in range(400))
    with running_server(tmp_path) as server:
        packages = Packages(server)
        names = [
            packages.version(f"killed-{n}", files=source({"main.py": long}), analyze_later=True, release=True).name
            for n in range(4)
        ]
        server.kill()
        server.start()
        for name in names:
            until(lambda name=name: state_of(packages, name) == Version.STATE_RELEASED, seconds=60, what=name)
            found = packages.get_version(name)
            assert (len(found.functions), found.HasField("release_time")) == (400, True)


# AnalyzeSource


def test_a_source_is_analysed_without_being_kept(packages: Packages) -> None:
    request = package_service_pb2.AnalyzeSourceRequest(
        files=source({"main.py": "def a(x: list[int]): ...\nasync def b(): ...\n", "other.py": "def c(): ..."})
    )
    answer = packages.do("AnalyzeSource", request)
    assert [(f.name, f.entrypoint) for f in answer.functions] == [("a", "main:a"), ("b", "main:b")]
    schema = json.loads(answer.functions[0].input_schema_json)
    assert schema["properties"] == {"x": {"type": "array", "items": {"type": "integer"}}}
    request.module = "other"
    assert [f.name for f in packages.do("AnalyzeSource", request).functions] == ["c"]


def test_a_broken_source_is_a_list_of_problems(packages: Packages) -> None:
    request = package_service_pb2.AnalyzeSourceRequest(files=source({"main.py": "x = 1\ndef f(:\n"}))
    answer = packages.do("AnalyzeSource", request)
    assert list(answer.functions) == []
    assert [(p.path, p.line, p.message) for p in answer.problems] == [("main.py", 2, "SyntaxError: invalid syntax")]


def test_code_may_be_analysed_by_its_text_and_for_a_convention(packages: Packages) -> None:
    request = package_service_pb2.AnalyzeSourceRequest(
        code="def execute(input: tuple[int, str]) -> bool: 'Do.'", convention=execution_pb2.CONVENTION_INPUT
    )
    (function,) = packages.do("AnalyzeSource", request).functions
    assert json.loads(function.input_schema_json)["prefixItems"] == [{"type": "integer"}, {"type": "string"}]
    assert (function.output_schema_json, function.description) == ('{"type":"boolean"}', "Do.")
    assert function.schema_origin == package_pb2.Function.SCHEMA_ORIGIN_SOURCE


def test_what_cannot_be_said_is_noted_with_its_place(packages: Packages) -> None:
    request = package_service_pb2.AnalyzeSourceRequest(code="def f(\n  a: numpy.ndarray): ...")
    answer = packages.do("AnalyzeSource", request)
    assert [(n.path, n.line, n.column, n.message) for n in answer.notes] == [
        ("main.py", 2, 3, "numpy.ndarray is not known: any value")
    ]


TYPED = """
import type { Order } from "./models.ts";

/** Price an order.
 * @param order What is ordered.
 */
export async function price(order: Order, rate: number = 0.5): Promise<number> { return rate; }
"""
MODELS = "export interface Order { id: string; lines?: Line[] }\ninterface Line { sku: string }\n"
ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]},
        },
    },
    "required": ["id"],
}


def test_the_types_of_typescript_are_read(packages: Packages) -> None:
    files = source({"main.ts": TYPED, "models.ts": MODELS})
    request = package_service_pb2.AnalyzeSourceRequest(files=files, language=execution_pb2.LANGUAGE_TYPESCRIPT)
    (function,) = packages.do("AnalyzeSource", request).functions
    assert json.loads(function.input_schema_json) == {
        "type": "object",
        "properties": {
            "order": {**ORDER, "description": "What is ordered."},
            "rate": {"type": "number", "default": 0.5},
        },
        "required": ["order"],
    }
    assert (function.output_schema_json, function.description) == ('{"type":"number"}', "Price an order.")
    declared = package_pb2.Function(name="p", entrypoint="main.ts:price")
    made = packages.version(
        fresh(), files=files, version=Version(language=execution_pb2.LANGUAGE_TYPESCRIPT, functions=[declared])
    )
    assert made.functions[0].input_schema_json == function.input_schema_json
    assert made.functions[0].schema_origin == package_pb2.Function.SCHEMA_ORIGIN_SOURCE


HOSTILE = {
    "ten megabytes": "x = 1\n" * 1_700_000,
    "tens of thousands of functions": "".join(f"def f{n}(): ...\n" for n in range(30_000)),
    "deep brackets": "x = " + "(" * 100_000,
    "deep operators": "x = " + "-" * 500_000 + "1",
    "a long chain": "a" + ".b" * 400_000,
    "deep hints": "def f(a: " + "list[" * 90 + "int" + "]" * 90 + "): ...",
    "many hints": "def f(a: " + " | ".join(f"'C{n}'" for n in range(50_000)) + "): ...",
    "classes that multiply": "from dataclasses import dataclass\n"
    + "".join(f"@dataclass\nclass C{n}:\n    a: 'C{n + 1}'\n    b: 'list[C{n + 1}]'\n" for n in range(500))
    + "def f(a: C0): ...",
    "many bases": "".join(f"class C{n}(C{n + 1}, dict): ...\n" for n in range(2000)) + "def f(a: C0): ...",
    "bases that meet again": "from dataclasses import dataclass\n"
    + "".join(f"@dataclass\nclass C{n}(C{n + 1}, C{n + 2}):\n    x{n}: int\n" for n in range(200))
    + "def f(a: C0): ...",
    "a long docstring": "def f(a):\n    '" + ":param a:" * 100_000 + "'",
    "wide spaces": "def f(a):\n    '''Args:\n" + " " * 900_000 + "'''",
    "a large literal": "def f(a=" + "9" * 4000 + "): ...\nx = 1" + "0" * 900_000,
    "aliases that double": "from typing import *\nA0 = int\n"
    + "".join(f"A{n + 1} = Tuple[A{n}, A{n}]\n" for n in range(100))
    + "def f(a: A100): ...",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_source_is_analysed_or_refused_and_never_our_failure(packages: Packages, kind: str) -> None:
    answer = packages.do("AnalyzeSource", package_service_pb2.AnalyzeSourceRequest(code=HOSTILE[kind]))
    assert bool(answer.functions) != bool(answer.problems)
    assert sum(len(f.input_schema_json) for f in answer.functions) < 1_000_000


HOSTILE_SCRIPTS = {
    "deep brackets": "export const x = " + "[" * 100_000,
    "deep types": "export function f(a: " + "Array<" * 20_000 + "string" + ">" * 20_000 + ") {}",
    "thousands of functions": "".join(f"export function f{n}(a: string, b: number) {{}}\n" for n in range(3000)),
    "types that double": "type A0 = string;"
    + "".join(f"type A{n + 1} = [A{n}, A{n}];" for n in range(60))
    + "export function f(a: A60, b: number) {}",
    "a module that answers for itself": "Deno.exit(0); export function f() {}",
    "a module that throws": "export function f(a: string) {}\nexport const x = (() => { throw Error('no') })();",
}


@pytest.mark.parametrize("kind", HOSTILE_SCRIPTS)
def test_a_hostile_script_is_analysed_or_refused_and_never_our_failure(packages: Packages, kind: str) -> None:
    request = package_service_pb2.AnalyzeSourceRequest(
        code=HOSTILE_SCRIPTS[kind], language=execution_pb2.LANGUAGE_TYPESCRIPT
    )
    answer = packages.do("AnalyzeSource", request)
    assert bool(answer.functions) != bool(answer.problems)
    assert sum(len(f.input_schema_json) for f in answer.functions) < 1_000_000
