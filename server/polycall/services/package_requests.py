"""What the requests of PackageService must be; pure functions from message to value, all violations at once."""

from __future__ import annotations

from dataclasses import replace

from polycall.domain import Convention, Language, Package, WarmPolicy
from polycall.engine.archive import read_zip, source_files
from polycall.engine.registry import VersionDraft
from polycall.names import PACKAGE_RULE, VERSION_RULE, PackageName, is_package_id, is_version_id
from polycall.quick import dataclass
from polycall.services.egress_messages import read_policy, read_secret_env
from polycall.services.execution_messages import CONVENTIONS, LANGUAGES, overrides
from polycall.services.package_messages import read_face_data, read_functions
from polycall.services.scalars import known, milliseconds, page_size, request_id
from polycall.services.violations import Violations
from polycall.v1 import package_pb2, package_service_pb2

__all__ = [
    "NewVersion",
    "PackageChange",
    "Source",
    "read_new_package",
    "read_new_version",
    "read_package_change",
    "read_packages_page",
    "read_source",
    "read_versions_page",
]

# what the only file of a source is called
_FILES = {Language.PYTHON: "main.py", Language.JAVASCRIPT: "main.js", Language.TYPESCRIPT: "main.ts"}
_CHANGEABLE = ("display_name", "description", "labels")
_OF_FACE = {"alias": "alias", "face_data_json": "face_data"}  # changed only if it is named


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A CreateVersionRequest."""

    draft: VersionDraft
    create_package: bool
    release: bool
    validate_only: bool
    analyze_later: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """An UpdatePackageRequest: the fields of ``package`` that ``fields`` names."""

    package: Package
    fields: frozenset[str]
    validate_only: bool

    @property
    def whole(self) -> bool:
        """True if nothing of what there was is kept."""
        return self.fields == frozenset(_CHANGEABLE)

    @property
    def of_face(self) -> bool:
        """True if something changes that a face keeps."""
        return not self.fields.isdisjoint(_OF_FACE.values())

    def applied_to(self, kept: Package) -> Package:
        """Return the package as it shall be."""
        return replace(kept, **{field: getattr(self.package, field) for field in self.fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An AnalyzeSourceRequest."""

    language: Language
    files: dict[str, bytes]
    module: str | None
    convention: Convention
    runtime: str


def read_new_package(request: package_service_pb2.CreatePackageRequest) -> tuple[Package, str | None]:
    """Read a CreatePackageRequest: package and request id. Raises InvalidArgument."""
    wrong = Violations()
    if not is_package_id(request.package_id):
        wrong.add("package_id", PACKAGE_RULE)
    token = request_id(request.request_id, wrong)
    package = _package(request.package_id, request.package, wrong)
    wrong.refuse()
    return package, token


def read_package_change(request: package_service_pb2.UpdatePackageRequest) -> PackageChange:
    """Read an UpdatePackageRequest. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: PackageName.parse(request.package.name, "package.name"))
    paths = list(request.update_mask.paths)
    for index, path in enumerate(paths):
        if path not in _CHANGEABLE and path not in _OF_FACE and path != "*":
            allowed = ", ".join((*_CHANGEABLE, *_OF_FACE))
            wrong.add(f"update_mask.paths[{index}]", f"must be one of {allowed}, or *")
    package = _package(name.package if name is not None else "", request.package, wrong)
    if wrong or name is None:
        raise wrong.error()
    named = [_OF_FACE.get(path, path) for path in paths if path != "*"]
    fields = frozenset([*named, *(_CHANGEABLE if not paths or "*" in paths else ())])
    return PackageChange(package=package, fields=fields, validate_only=request.validate_only)


def read_new_version(request: package_service_pb2.CreateVersionRequest) -> NewVersion:
    """Read a CreateVersionRequest. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: PackageName.parse(request.parent, "parent"))
    if request.version_id and not is_version_id(request.version_id):
        wrong.add("version_id", VERSION_RULE)
    version = request.version
    language = known(version.language, LANGUAGES, Language.PYTHON, "version.language", wrong)
    functions = read_functions(version, wrong)
    egress = read_policy(version.egress, "version.egress", wrong)
    secret_env = read_secret_env(version.secret_env, "version.secret_env", wrong)
    files = wrong.attempt(lambda: _files(request))
    face_data = read_face_data(version.face_data_json, "version.face_data_json", wrong)
    token = request_id(request.request_id, wrong)
    if wrong or name is None or files is None:
        raise wrong.error()
    draft = VersionDraft(
        package_id=name.package,
        files=files,
        id=request.version_id,
        language=language,
        runtime=version.runtime,
        functions=functions,
        limits=overrides(version.limits),
        env=dict(version.env),
        secret_env=secret_env,
        secrets=dict(version.secrets),
        egress=egress,
        reuse=not version.fresh_process,
        warm=WarmPolicy(
            min=version.warm.min,
            max=version.warm.max,
            idle_ms=milliseconds(version.warm.idle) if version.warm.HasField("idle") else 0,
        ),
        face_data=face_data,
        request_id=None if request.validate_only else token,
    )
    return NewVersion(
        draft=draft,
        create_package=request.create_package,
        release=request.release,
        validate_only=request.validate_only,
        analyze_later=request.analyze_later,
    )


def read_source(request: package_service_pb2.AnalyzeSourceRequest) -> Source:
    """Read an AnalyzeSourceRequest. Raises InvalidArgument."""
    wrong = Violations()
    language = known(request.language, LANGUAGES, Language.PYTHON, "language", wrong)
    convention = known(request.convention, CONVENTIONS, Convention.KEYWORDS, "convention", wrong)
    if request.WhichOneof("source") == "code":
        files: dict[str, bytes] | None = {_FILES[language]: request.code.encode()}
    else:
        files = wrong.attempt(lambda: _files(request))
    if request.module and not all(part.isidentifier() for part in request.module.split(".")):
        wrong.add("module", "must be the name of a module, such as main or package.module")
    if wrong or files is None:
        raise wrong.error()
    return Source(
        language=language, files=files, module=request.module or None, convention=convention, runtime=request.runtime
    )


def read_packages_page(request: package_service_pb2.ListPackagesRequest) -> tuple[int, str]:
    """Read a ListPackagesRequest: page size and token. Raises InvalidArgument."""
    wrong = Violations()
    size = page_size(request.page_size, wrong)
    wrong.refuse()
    return size, request.page_token


def read_versions_page(request: package_service_pb2.ListVersionsRequest) -> tuple[PackageName, int, str]:
    """Read a ListVersionsRequest: package, page size and token. Raises InvalidArgument."""
    wrong = Violations()
    name = wrong.attempt(lambda: PackageName.parse(request.parent, "parent"))
    size = page_size(request.page_size, wrong)
    if wrong or name is None:
        raise wrong.error()
    return name, size, request.page_token


def _package(package_id: str, message: package_pb2.Package, wrong: Violations) -> Package:
    # project and times are the registry's to set
    return Package(
        project_id="",
        id=package_id,
        created_at=0,
        updated_at=0,
        display_name=message.display_name,
        description=message.description,
        labels=dict(message.labels),
        face=message.face or None,
        alias=message.alias or None,
        face_data=read_face_data(message.face_data_json, "package.face_data_json", wrong),
    )


def _files(
    request: package_service_pb2.CreateVersionRequest | package_service_pb2.AnalyzeSourceRequest,
) -> dict[str, bytes]:
    if request.WhichOneof("source") == "zip":
        return read_zip(request.zip, "zip")
    return source_files(((file.path, file.contents) for file in request.files.files), "files.files")
