from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from polycall.v1 import execution_pb2 as _execution_pb2
from polycall.v1 import package_pb2 as _package_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreatePackageRequest(_message.Message):
    __slots__ = ("package_id", "package", "request_id", "validate_only")
    PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    package_id: str
    package: _package_pb2.Package
    request_id: str
    validate_only: bool
    def __init__(self, package_id: _Optional[str] = ..., package: _Optional[_Union[_package_pb2.Package, _Mapping]] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class GetPackageRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListPackagesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPackagesResponse(_message.Message):
    __slots__ = ("packages", "next_page_token")
    PACKAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    packages: _containers.RepeatedCompositeFieldContainer[_package_pb2.Package]
    next_page_token: str
    def __init__(self, packages: _Optional[_Iterable[_Union[_package_pb2.Package, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdatePackageRequest(_message.Message):
    __slots__ = ("package", "update_mask", "validate_only")
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    package: _package_pb2.Package
    update_mask: _field_mask_pb2.FieldMask
    validate_only: bool
    def __init__(self, package: _Optional[_Union[_package_pb2.Package, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class DeletePackageRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreateVersionRequest(_message.Message):
    __slots__ = ("parent", "version_id", "version", "files", "zip", "create_package", "release", "request_id", "validate_only", "analyze_later")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    ZIP_FIELD_NUMBER: _ClassVar[int]
    CREATE_PACKAGE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_LATER_FIELD_NUMBER: _ClassVar[int]
    parent: str
    version_id: str
    version: _package_pb2.Version
    files: _package_pb2.SourceFiles
    zip: bytes
    create_package: bool
    release: bool
    request_id: str
    validate_only: bool
    analyze_later: bool
    def __init__(self, parent: _Optional[str] = ..., version_id: _Optional[str] = ..., version: _Optional[_Union[_package_pb2.Version, _Mapping]] = ..., files: _Optional[_Union[_package_pb2.SourceFiles, _Mapping]] = ..., zip: _Optional[bytes] = ..., create_package: _Optional[bool] = ..., release: _Optional[bool] = ..., request_id: _Optional[str] = ..., validate_only: _Optional[bool] = ..., analyze_later: _Optional[bool] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ("name", "include_source")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    include_source: bool
    def __init__(self, name: _Optional[str] = ..., include_source: _Optional[bool] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[_package_pb2.Version]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[_package_pb2.Version, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReleaseVersionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteVersionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class AnalyzeSourceRequest(_message.Message):
    __slots__ = ("language", "files", "zip", "code", "module", "convention", "runtime")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    ZIP_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    CONVENTION_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    language: _execution_pb2.Language
    files: _package_pb2.SourceFiles
    zip: bytes
    code: str
    module: str
    convention: _execution_pb2.Convention
    runtime: str
    def __init__(self, language: _Optional[_Union[_execution_pb2.Language, str]] = ..., files: _Optional[_Union[_package_pb2.SourceFiles, _Mapping]] = ..., zip: _Optional[bytes] = ..., code: _Optional[str] = ..., module: _Optional[str] = ..., convention: _Optional[_Union[_execution_pb2.Convention, str]] = ..., runtime: _Optional[str] = ...) -> None: ...

class AnalyzeSourceResponse(_message.Message):
    __slots__ = ("functions", "problems", "notes")
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    functions: _containers.RepeatedCompositeFieldContainer[_package_pb2.Function]
    problems: _containers.RepeatedCompositeFieldContainer[SourceProblem]
    notes: _containers.RepeatedCompositeFieldContainer[SourceProblem]
    def __init__(self, functions: _Optional[_Iterable[_Union[_package_pb2.Function, _Mapping]]] = ..., problems: _Optional[_Iterable[_Union[SourceProblem, _Mapping]]] = ..., notes: _Optional[_Iterable[_Union[SourceProblem, _Mapping]]] = ...) -> None: ...

class SourceProblem(_message.Message):
    __slots__ = ("path", "line", "message", "column")
    PATH_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    path: str
    line: int
    message: str
    column: int
    def __init__(self, path: _Optional[str] = ..., line: _Optional[int] = ..., message: _Optional[str] = ..., column: _Optional[int] = ...) -> None: ...
