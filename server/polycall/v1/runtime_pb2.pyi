import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from polycall.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Runtime(_message.Message):
    __slots__ = ("language", "version", "interpreter", "name", "display_name", "create_time", "newest_revision")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INTERPRETER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEWEST_REVISION_FIELD_NUMBER: _ClassVar[int]
    language: _execution_pb2.Language
    version: str
    interpreter: str
    name: str
    display_name: str
    create_time: _timestamp_pb2.Timestamp
    newest_revision: RuntimeRevision
    def __init__(self, language: _Optional[_Union[_execution_pb2.Language, str]] = ..., version: _Optional[str] = ..., interpreter: _Optional[str] = ..., name: _Optional[str] = ..., display_name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest_revision: _Optional[_Union[RuntimeRevision, _Mapping]] = ...) -> None: ...

class RuntimeRevision(_message.Message):
    __slots__ = ("name", "state", "manifest", "manifest_file", "additional_imports", "error", "log", "log_truncated", "digest", "size_bytes", "file_count", "preloaded", "create_time", "start_time", "end_time")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[RuntimeRevision.State]
        STATE_PENDING: _ClassVar[RuntimeRevision.State]
        STATE_BUILDING: _ClassVar[RuntimeRevision.State]
        STATE_READY: _ClassVar[RuntimeRevision.State]
        STATE_FAILED: _ClassVar[RuntimeRevision.State]
    STATE_UNSPECIFIED: RuntimeRevision.State
    STATE_PENDING: RuntimeRevision.State
    STATE_BUILDING: RuntimeRevision.State
    STATE_READY: RuntimeRevision.State
    STATE_FAILED: RuntimeRevision.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FILE_FIELD_NUMBER: _ClassVar[int]
    ADDITIONAL_IMPORTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    LOG_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    PRELOADED_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: RuntimeRevision.State
    manifest: str
    manifest_file: str
    additional_imports: str
    error: str
    log: str
    log_truncated: bool
    digest: str
    size_bytes: int
    file_count: int
    preloaded: _containers.RepeatedScalarFieldContainer[str]
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[RuntimeRevision.State, str]] = ..., manifest: _Optional[str] = ..., manifest_file: _Optional[str] = ..., additional_imports: _Optional[str] = ..., error: _Optional[str] = ..., log: _Optional[str] = ..., log_truncated: _Optional[bool] = ..., digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., file_count: _Optional[int] = ..., preloaded: _Optional[_Iterable[str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
