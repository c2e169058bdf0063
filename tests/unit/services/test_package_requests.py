"""polycall.services.package_requests and package_messages."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import field_mask_pb2
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from polycall.domain import (
    Convention,
    DeclaredType,
    Function,
    Language,
    LimitOverrides,
    Package,
    Parameter,
    Version,
    VersionState,
)
from polycall.engine.registry import VersionDraft
from polycall.errors import InvalidArgument
from polycall.services.package_messages import package_message, read_functions, version_message
from polycall.services.package_requests import (
    NewVersion,
    read_new_package,
    read_new_version,
    read_package_change,
    read_packages_page,
    read_source,
    read_versions_page,
)
from polycall.services.violations import Violations
from polycall.v1 import execution_pb2, package_pb2, package_service_pb2

UUID = "0198c2d4-7f1e-7cc3-98c4-dc0c0c07398f"
PACKAGE = Package(
    project_id="default",
    id="set__script",
    created_at=1000,
    updated_at=2000,
    display_name="Name",
    description="Text",
    labels={"a": "b"},
)
FUNCTIONS = (
    Function(
        name="execute",
        entrypoint="main:execute",
        convention=Convention.PARAMETERS,
        input_schema=b'{"type": "object"}',
        parameters=(
            Parameter(
                name="a",
                declared=DeclaredType(
                    type="object",
                    is_list=True,
                    nullable=True,
                    children=(Parameter(name="b", declared=DeclaredType(type="")),),
                ),
                default=b"null",
                display_name="A",
            ),
            Parameter(name="c", declared=DeclaredType(type="text")),
        ),
        output=DeclaredType(type="number"),
        display_name="Execute",
        description="Runs.",
        private=True,
        accepts_any=True,
    ),
    Function(name="script", entrypoint="run.py", convention=Convention.SCRIPT),
)
VERSION = Version(
    project_id="default",
    package_id="set__script",
    id="1.0",
    state=VersionState.ERROR,
    language=Language.PYTHON,
    created_at=1000,
    bundle="ab" * 32,
    functions=FUNCTIONS,
    limits=LimitOverrides(timeout_ms=1500, memory_bytes=64 << 20),
    env={"A": "1"},
    runtime="python",
    reuse=False,
    released_at=3000,
    error="main.py:1: SyntaxError",
)


def violations(read: Callable[[], object]) -> list[str]:
    with pytest.raises(InvalidArgument) as caught:
        read()
    return [f"{v.field}: {v.description}" for v in caught.value.violations]


def source(**files: bytes) -> package_pb2.SourceFiles:
    return package_pb2.SourceFiles(
        files=[package_pb2.SourceFile(path=path, contents=data) for path, data in files.items()]
    )


def test_a_package_is_rendered_whole() -> None:
    message = package_message(PACKAGE)
    assert message.name == "packages/set__script"
    assert (message.display_name, message.description, dict(message.labels)) == ("Name", "Text", {"a": "b"})
    assert (message.create_time.seconds, message.update_time.seconds) == (1, 2)


def test_a_version_is_rendered_whole_and_its_functions_read_back() -> None:
    message = version_message(VERSION, {"main.py": b"\xff"})
    assert message.name == "packages/set__script/versions/1.0"
    assert message.state == package_pb2.Version.STATE_ERROR
    assert message.language == execution_pb2.LANGUAGE_PYTHON
    assert (message.runtime, message.error, message.source_digest) == ("python", "main.py:1: SyntaxError", "ab" * 32)
    assert (message.limits.timeout.seconds, message.limits.timeout.nanos) == (1, 500_000_000)
    assert (message.limits.memory_mib, message.limits.HasField("processes")) == (64, False)
    assert (dict(message.env), message.fresh_process) == ({"A": "1"}, True)
    assert (message.create_time.seconds, message.release_time.seconds) == (1, 3)
    assert list(message.source.files) == [package_pb2.SourceFile(path="main.py", contents=b"\xff")]
    wrong = Violations()
    assert read_functions(message, wrong) == FUNCTIONS
    assert not wrong


def test_a_version_without_source_and_release_has_neither() -> None:
    plain = Version(**{name: getattr(VERSION, name) for name in VERSION.__slots__} | {"released_at": None, "id": ""})
    message = version_message(plain)
    assert not message.HasField("source")
    assert not message.HasField("release_time")
    assert message.name == ""


def test_a_new_package_is_read() -> None:
    request = package_service_pb2.CreatePackageRequest(
        package_id="p",
        package=package_pb2.Package(name="ignored", display_name="N", labels={"a": "b"}),
        request_id=UUID,
    )
    package, request_id = read_new_package(request)
    assert (package.id, package.display_name, package.labels, request_id) == ("p", "N", {"a": "b"}, UUID)


def test_a_new_package_says_all_that_is_wrong_at_once() -> None:
    request = package_service_pb2.CreatePackageRequest(package_id="..", request_id="1")
    assert [text.partition(":")[0] for text in violations(lambda: read_new_package(request))] == [
        *("package_id", "request_id")
    ]


@pytest.mark.parametrize(
    ("paths", "fields"),
    [
        ([], {"display_name", "description", "labels"}),
        (["*"], {"display_name", "description", "labels"}),
        (["labels"], {"labels"}),
        (["display_name", "description"], {"display_name", "description"}),
        (["alias", "face_data_json", "labels"], {"alias", "face_data", "labels"}),
    ],
)
def test_a_change_is_of_the_fields_that_the_mask_names(paths: list[str], fields: set[str]) -> None:
    request = package_service_pb2.UpdatePackageRequest(
        package=package_pb2.Package(name="packages/set__script", display_name="New"),
        update_mask=field_mask_pb2.FieldMask(paths=paths),
    )
    change = read_package_change(request)
    assert change.fields == fields
    assert change.whole == (fields == {"display_name", "description", "labels"})
    assert change.of_face == ("alias" in fields)
    changed = change.applied_to(PACKAGE)
    assert changed.display_name == ("New" if "display_name" in fields else "Name")
    assert changed.description == ("" if "description" in fields else "Text")
    assert changed.labels == ({} if "labels" in fields else {"a": "b"})
    assert (changed.id, changed.created_at) == ("set__script", 1000)


def test_a_change_of_what_cannot_change_is_refused() -> None:
    request = package_service_pb2.UpdatePackageRequest(
        package=package_pb2.Package(name="p"), update_mask=field_mask_pb2.FieldMask(paths=["labels", "name"])
    )
    assert violations(lambda: read_package_change(request)) == [
        "package.name: must be packages/{package}, got 'p'",
        "update_mask.paths[1]: must be one of display_name, description, labels, alias, face_data_json, or *",
    ]


def test_a_source_may_be_the_text_of_its_only_file() -> None:
    for language, name in (
        (execution_pb2.LANGUAGE_UNSPECIFIED, "main.py"),
        (execution_pb2.LANGUAGE_JAVASCRIPT, "main.js"),
        (execution_pb2.LANGUAGE_TYPESCRIPT, "main.ts"),
    ):
        read = read_source(package_service_pb2.AnalyzeSourceRequest(code="é", language=language))
        assert (read.files, read.convention) == ({name: "é".encode()}, Convention.KEYWORDS)


def test_a_new_version_says_everything() -> None:
    request = package_service_pb2.CreateVersionRequest(
        parent="packages/p",
        version_id="1",
        version=version_message(VERSION),
        files=source(**{"main.py": b"x"}),
        create_package=True,
        release=True,
        request_id=UUID,
        analyze_later=True,
    )
    new = NewVersion(
        draft=VersionDraft(
            package_id="p",
            files={"main.py": b"x"},
            id="1",
            runtime="python",
            functions=FUNCTIONS,
            limits=VERSION.limits,
            env={"A": "1"},
            reuse=False,
            request_id=UUID,
        ),
        create_package=True,
        release=True,
        validate_only=False,
        analyze_later=True,
    )
    assert read_new_version(request) == new
    request.validate_only = True  # makes nothing, so that its id is still free
    assert read_new_version(request) == replace(new, draft=replace(new.draft, request_id=None), validate_only=True)


def test_a_source_may_be_a_zip_archive() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("main.py", b"x")
    new = read_new_version(package_service_pb2.CreateVersionRequest(parent="packages/p", zip=stream.getvalue()))
    assert new.draft.files == {"main.py": b"x"}
    read = read_source(package_service_pb2.AnalyzeSourceRequest(zip=stream.getvalue(), module="main"))
    assert (read.files, read.module, read.language) == ({"main.py": b"x"}, "main", Language.PYTHON)


def test_a_new_version_says_all_that_is_wrong_at_once() -> None:
    function = package_pb2.Function(
        name="f",
        entrypoint="main.f",
        convention=9,  # type: ignore[arg-type]
        input_schema_json="[",
        parameters=[
            package_pb2.Parameter(default_json="{"),
            package_pb2.Parameter(name="a"),
            package_pb2.Parameter(name="a"),
        ],
        output=package_pb2.DeclaredType(children=[package_pb2.Parameter(name="x", default_json="nope")]),
    )
    script = package_pb2.Function(name="s", convention=execution_pb2.CONVENTION_SCRIPT)
    request = package_service_pb2.CreateVersionRequest(
        parent="p",
        version_id="-",
        version=package_pb2.Version(language=9, functions=[function, script]),  # type: ignore[arg-type]
        files=package_pb2.SourceFiles(files=[package_pb2.SourceFile(path="/x")]),
        request_id="1",
    )
    assert [text.partition(":")[0] for text in violations(lambda: read_new_version(request))] == [
        "parent",
        "version_id",
        "version.language",
        "version.functions[0].convention",
        "version.functions[0].parameters",
        "version.functions[0].entrypoint",
        "version.functions[0].input_schema_json",
        "version.functions[0].parameters[0].name",
        "version.functions[0].parameters[0].default_json",
        "version.functions[0].parameters[2].name",
        "version.functions[0].output.children[0].default_json",
        "version.functions[1].entrypoint",
        "files.files[0].path",
        "request_id",
    ]


@pytest.mark.parametrize("entrypoint", ["main", "main:", ":f", "main:f g", "main/x:f", "main:f:g", "main..x:f"])
def test_an_entry_point_is_module_colon_callable(entrypoint: str) -> None:
    request = package_service_pb2.CreateVersionRequest(
        parent="packages/p",
        version=package_pb2.Version(functions=[package_pb2.Function(name="f", entrypoint=entrypoint)]),
        files=source(**{"main.py": b""}),
    )
    assert violations(lambda: read_new_version(request)) == [
        "version.functions[0].entrypoint: must be module:callable, such as main:execute"
    ]


def test_a_module_name_is_checked() -> None:
    request = package_service_pb2.AnalyzeSourceRequest(files=source(), module="a/b", language=9)  # type: ignore[arg-type]
    assert [text.partition(":")[0] for text in violations(lambda: read_source(request))] == ["language", "module"]


def test_pages_are_read() -> None:
    assert read_packages_page(package_service_pb2.ListPackagesRequest(page_size=7, page_token="t")) == (7, "t")
    name, size, token = read_versions_page(package_service_pb2.ListVersionsRequest(parent="packages/p"))
    assert (str(name), size, token) == ("packages/p", 50, "")
    request = package_service_pb2.ListVersionsRequest(parent="p", page_size=-1)
    assert [text.partition(":")[0] for text in violations(lambda: read_versions_page(request))] == [
        *("parent", "page_size")
    ]


READERS: list[tuple[type[Message], Callable[[Any], object]]] = [
    (package_service_pb2.CreatePackageRequest, read_new_package),
    (package_service_pb2.UpdatePackageRequest, read_package_change),
    (package_service_pb2.CreateVersionRequest, read_new_version),
    (package_service_pb2.AnalyzeSourceRequest, read_source),
    (package_service_pb2.ListPackagesRequest, read_packages_page),
    (package_service_pb2.ListVersionsRequest, read_versions_page),
]


@given(st.binary(max_size=200))
def test_any_message_is_read_or_refused(data: bytes) -> None:
    for message, read in READERS:
        try:
            request = message.FromString(data)
        except DecodeError:
            continue
        try:
            read(request)
        except InvalidArgument as error:
            refusal = error
        else:
            continue
        assert all(violation.field for violation in refusal.violations)
