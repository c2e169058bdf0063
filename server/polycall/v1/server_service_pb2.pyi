from google.api import annotations_pb2 as _annotations_pb2
from polycall.v1 import execution_pb2 as _execution_pb2
from polycall.v1 import runtime_pb2 as _runtime_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ServerInfo(_message.Message):
    __slots__ = ("version", "isolation_level", "isolation_floor", "findings", "runtimes", "default_limits", "maximum_limits", "slots", "limits", "pool", "processes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_FLOOR_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_LIMITS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_LIMITS_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    version: str
    isolation_level: _execution_pb2.Execution.IsolationLevel
    isolation_floor: _execution_pb2.Execution.IsolationLevel
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    runtimes: _containers.RepeatedCompositeFieldContainer[_runtime_pb2.Runtime]
    default_limits: _execution_pb2.Limits
    maximum_limits: _execution_pb2.Limits
    slots: int
    limits: _containers.RepeatedCompositeFieldContainer[Enforcement]
    pool: Pool
    processes: int
    def __init__(self, version: _Optional[str] = ..., isolation_level: _Optional[_Union[_execution_pb2.Execution.IsolationLevel, str]] = ..., isolation_floor: _Optional[_Union[_execution_pb2.Execution.IsolationLevel, str]] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., runtimes: _Optional[_Iterable[_Union[_runtime_pb2.Runtime, _Mapping]]] = ..., default_limits: _Optional[_Union[_execution_pb2.Limits, _Mapping]] = ..., maximum_limits: _Optional[_Union[_execution_pb2.Limits, _Mapping]] = ..., slots: _Optional[int] = ..., limits: _Optional[_Iterable[_Union[Enforcement, _Mapping]]] = ..., pool: _Optional[_Union[Pool, _Mapping]] = ..., processes: _Optional[int] = ...) -> None: ...

class Enforcement(_message.Message):
    __slots__ = ("limit", "hold", "how", "remedy")
    class Hold(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        HOLD_UNSPECIFIED: _ClassVar[Enforcement.Hold]
        HOLD_ENFORCED: _ClassVar[Enforcement.Hold]
        HOLD_WATCHED: _ClassVar[Enforcement.Hold]
        HOLD_NOT_ENFORCED: _ClassVar[Enforcement.Hold]
    HOLD_UNSPECIFIED: Enforcement.Hold
    HOLD_ENFORCED: Enforcement.Hold
    HOLD_WATCHED: Enforcement.Hold
    HOLD_NOT_ENFORCED: Enforcement.Hold
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    HOW_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    limit: str
    hold: Enforcement.Hold
    how: str
    remedy: str
    def __init__(self, limit: _Optional[str] = ..., hold: _Optional[_Union[Enforcement.Hold, str]] = ..., how: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("waiting", "warm_idle", "busy", "warm_memory_mib", "queued")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WARM_IDLE_FIELD_NUMBER: _ClassVar[int]
    BUSY_FIELD_NUMBER: _ClassVar[int]
    WARM_MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    waiting: int
    warm_idle: int
    busy: int
    warm_memory_mib: int
    queued: int
    def __init__(self, waiting: _Optional[int] = ..., warm_idle: _Optional[int] = ..., busy: _Optional[int] = ..., warm_memory_mib: _Optional[int] = ..., queued: _Optional[int] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("feature", "available", "detail", "remedy")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    feature: str
    available: bool
    detail: str
    remedy: str
    def __init__(self, feature: _Optional[str] = ..., available: _Optional[bool] = ..., detail: _Optional[str] = ..., remedy: _Optional[str] = ...) -> None: ...
