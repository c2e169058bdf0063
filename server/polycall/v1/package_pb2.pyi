import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from polycall.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Package(_message.Message):
    __slots__ = ("name", "display_name", "description", "labels", "create_time", "update_time", "face", "alias", "face_data_json")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FACE_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    FACE_DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    display_name: str
    description: str
    labels: _containers.ScalarMap[str, str]
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    face: str
    alias: str
    face_data_json: str
    def __init__(self, name: _Optional[str] = ..., display_name: _Optional[str] = ..., description: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., face: _Optional[str] = ..., alias: _Optional[str] = ..., face_data_json: _Optional[str] = ...) -> None: ...

class DeclaredType(_message.Message):
    __slots__ = ("type", "is_list", "nullable", "children")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    IS_LIST_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    CHILDREN_FIELD_NUMBER: _ClassVar[int]
    type: str
    is_list: bool
    nullable: bool
    children: _containers.RepeatedCompositeFieldContainer[Parameter]
    def __init__(self, type: _Optional[str] = ..., is_list: _Optional[bool] = ..., nullable: _Optional[bool] = ..., children: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "declared_type", "default_json", "display_name")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DECLARED_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_JSON_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    declared_type: DeclaredType
    default_json: str
    display_name: str
    def __init__(self, name: _Optional[str] = ..., declared_type: _Optional[_Union[DeclaredType, _Mapping]] = ..., default_json: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class Function(_message.Message):
    __slots__ = ("name", "entrypoint", "convention", "input_schema_json", "parameters", "output", "display_name", "description", "private", "accepts_any", "output_schema_json", "schema_origin")
    class SchemaOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SCHEMA_ORIGIN_UNSPECIFIED: _ClassVar[Function.SchemaOrigin]
        SCHEMA_ORIGIN_DECLARED: _ClassVar[Function.SchemaOrigin]
        SCHEMA_ORIGIN_SOURCE: _ClassVar[Function.SchemaOrigin]
        SCHEMA_ORIGIN_IMPORT: _ClassVar[Function.SchemaOrigin]
    SCHEMA_ORIGIN_UNSPECIFIED: Function.SchemaOrigin
    SCHEMA_ORIGIN_DECLARED: Function.SchemaOrigin
    SCHEMA_ORIGIN_SOURCE: Function.SchemaOrigin
    SCHEMA_ORIGIN_IMPORT: Function.SchemaOrigin
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENTRYPOINT_FIELD_NUMBER: _ClassVar[int]
    CONVENTION_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PRIVATE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_ANY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_ORIGIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    entrypoint: str
    convention: _execution_pb2.Convention
    input_schema_json: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    output: DeclaredType
    display_name: str
    description: str
    private: bool
    accepts_any: bool
    output_schema_json: str
    schema_origin: Function.SchemaOrigin
    def __init__(self, name: _Optional[str] = ..., entrypoint: _Optional[str] = ..., convention: _Optional[_Union[_execution_pb2.Convention, str]] = ..., input_schema_json: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., output: _Optional[_Union[DeclaredType, _Mapping]] = ..., display_name: _Optional[str] = ..., description: _Optional[str] = ..., private: _Optional[bool] = ..., accepts_any: _Optional[bool] = ..., output_schema_json: _Optional[str] = ..., schema_origin: _Optional[_Union[Function.SchemaOrigin, str]] = ...) -> None: ...

class SourceFile(_message.Message):
    __slots__ = ("path", "contents")
    PATH_FIELD_NUMBER: _ClassVar[int]
    CONTENTS_FIELD_NUMBER: _ClassVar[int]
    path: str
    contents: bytes
    def __init__(self, path: _Optional[str] = ..., contents: _Optional[bytes] = ...) -> None: ...

class SourceFiles(_message.Message):
    __slots__ = ("files",)
    FILES_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[SourceFile]
    def __init__(self, files: _Optional[_Iterable[_Union[SourceFile, _Mapping]]] = ...) -> None: ...

class WarmPolicy(_message.Message):
    __slots__ = ("min", "max", "idle")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    min: int
    max: int
    idle: _duration_pb2.Duration
    def __init__(self, min: _Optional[int] = ..., max: _Optional[int] = ..., idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("name", "state", "language", "runtime", "functions", "limits", "env", "fresh_process", "error", "create_time", "release_time", "source_digest", "source", "egress", "warm", "face_data_json", "secret_env", "secrets")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Version.State]
        STATE_DRAFT: _ClassVar[Version.State]
        STATE_ANALYSING: _ClassVar[Version.State]
        STATE_READY: _ClassVar[Version.State]
        STATE_RELEASED: _ClassVar[Version.State]
        STATE_ERROR: _ClassVar[Version.State]
    STATE_UNSPECIFIED: Version.State
    STATE_DRAFT: Version.State
    STATE_ANALYSING: Version.State
    STATE_READY: Version.State
    STATE_RELEASED: Version.State
    STATE_ERROR: Version.State
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SecretEnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SecretsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    FRESH_PROCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    RELEASE_TIME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EGRESS_FIELD_NUMBER: _ClassVar[int]
    WARM_FIELD_NUMBER: _ClassVar[int]
    FACE_DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    SECRET_ENV_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: Version.State
    language: _execution_pb2.Language
    runtime: str
    functions: _containers.RepeatedCompositeFieldContainer[Function]
    limits: _execution_pb2.Limits
    env: _containers.ScalarMap[str, str]
    fresh_process: bool
    error: str
    create_time: _timestamp_pb2.Timestamp
    release_time: _timestamp_pb2.Timestamp
    source_digest: str
    source: SourceFiles
    egress: _execution_pb2.EgressPolicy
    warm: WarmPolicy
    face_data_json: str
    secret_env: _containers.ScalarMap[str, str]
    secrets: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[Version.State, str]] = ..., language: _Optional[_Union[_execution_pb2.Language, str]] = ..., runtime: _Optional[str] = ..., functions: _Optional[_Iterable[_Union[Function, _Mapping]]] = ..., limits: _Optional[_Union[_execution_pb2.Limits, _Mapping]] = ..., env: _Optional[_Mapping[str, str]] = ..., fresh_process: _Optional[bool] = ..., error: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., release_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source_digest: _Optional[str] = ..., source: _Optional[_Union[SourceFiles, _Mapping]] = ..., egress: _Optional[_Union[_execution_pb2.EgressPolicy, _Mapping]] = ..., warm: _Optional[_Union[WarmPolicy, _Mapping]] = ..., face_data_json: _Optional[str] = ..., secret_env: _Optional[_Mapping[str, str]] = ..., secrets: _Optional[_Mapping[str, str]] = ...) -> None: ...
