from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunAliasRequest(_message.Message):
    __slots__ = ("alias", "body")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    alias: str
    body: _httpbody_pb2.HttpBody
    def __init__(self, alias: _Optional[str] = ..., body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class RunAliasComplexRequest(_message.Message):
    __slots__ = ("alias", "body")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    alias: str
    body: _httpbody_pb2.HttpBody
    def __init__(self, alias: _Optional[str] = ..., body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class RunAppFunctionRequest(_message.Message):
    __slots__ = ("package_id", "version", "function_name", "body")
    PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_NAME_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    package_id: str
    version: str
    function_name: str
    body: _httpbody_pb2.HttpBody
    def __init__(self, package_id: _Optional[str] = ..., version: _Optional[str] = ..., function_name: _Optional[str] = ..., body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class ListAppPackagesRequest(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: _httpbody_pb2.HttpBody
    def __init__(self, body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class GetAppPackageRequest(_message.Message):
    __slots__ = ("package_id", "body")
    PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    package_id: str
    body: _httpbody_pb2.HttpBody
    def __init__(self, package_id: _Optional[str] = ..., body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class ListAppVersionsRequest(_message.Message):
    __slots__ = ("package_id", "body")
    PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    package_id: str
    body: _httpbody_pb2.HttpBody
    def __init__(self, package_id: _Optional[str] = ..., body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...

class GetAppVersionRequest(_message.Message):
    __slots__ = ("package_id", "version", "body")
    PACKAGE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    package_id: str
    version: str
    body: _httpbody_pb2.HttpBody
    def __init__(self, package_id: _Optional[str] = ..., version: _Optional[str] = ..., body: _Optional[_Union[_httpbody_pb2.HttpBody, _Mapping]] = ...) -> None: ...
