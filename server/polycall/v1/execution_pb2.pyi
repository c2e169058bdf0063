import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from polycall.v1 import error_reason_pb2 as _error_reason_pb2
from polycall.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Language(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANGUAGE_UNSPECIFIED: _ClassVar[Language]
    LANGUAGE_PYTHON: _ClassVar[Language]
    LANGUAGE_JAVASCRIPT: _ClassVar[Language]
    LANGUAGE_TYPESCRIPT: _ClassVar[Language]

class Convention(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONVENTION_UNSPECIFIED: _ClassVar[Convention]
    CONVENTION_INPUT: _ClassVar[Convention]
    CONVENTION_KEYWORDS: _ClassVar[Convention]
    CONVENTION_PARAMETERS: _ClassVar[Convention]
    CONVENTION_HANDLE: _ClassVar[Convention]
    CONVENTION_SCRIPT: _ClassVar[Convention]
LANGUAGE_UNSPECIFIED: Language
LANGUAGE_PYTHON: Language
LANGUAGE_JAVASCRIPT: Language
LANGUAGE_TYPESCRIPT: Language
CONVENTION_UNSPECIFIED: Convention
CONVENTION_INPUT: Convention
CONVENTION_KEYWORDS: Convention
CONVENTION_PARAMETERS: Convention
CONVENTION_HANDLE: Convention
CONVENTION_SCRIPT: Convention

class Limits(_message.Message):
    __slots__ = ("timeout", "memory_mib", "processes", "open_files", "disk_mib", "result_kib", "stdout_kib", "stderr_kib", "cpu_time")
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    OPEN_FILES_FIELD_NUMBER: _ClassVar[int]
    DISK_MIB_FIELD_NUMBER: _ClassVar[int]
    RESULT_KIB_FIELD_NUMBER: _ClassVar[int]
    STDOUT_KIB_FIELD_NUMBER: _ClassVar[int]
    STDERR_KIB_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    timeout: _duration_pb2.Duration
    memory_mib: int
    processes: int
    open_files: int
    disk_mib: int
    result_kib: int
    stdout_kib: int
    stderr_kib: int
    cpu_time: _duration_pb2.Duration
    def __init__(self, timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., memory_mib: _Optional[int] = ..., processes: _Optional[int] = ..., open_files: _Optional[int] = ..., disk_mib: _Optional[int] = ..., result_kib: _Optional[int] = ..., stdout_kib: _Optional[int] = ..., stderr_kib: _Optional[int] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("queue_time", "start_duration", "run_duration", "cpu_duration", "peak_memory_mib")
    QUEUE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_DURATION_FIELD_NUMBER: _ClassVar[int]
    RUN_DURATION_FIELD_NUMBER: _ClassVar[int]
    CPU_DURATION_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_MIB_FIELD_NUMBER: _ClassVar[int]
    queue_time: _duration_pb2.Duration
    start_duration: _duration_pb2.Duration
    run_duration: _duration_pb2.Duration
    cpu_duration: _duration_pb2.Duration
    peak_memory_mib: float
    def __init__(self, queue_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., start_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., run_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cpu_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., peak_memory_mib: _Optional[float] = ...) -> None: ...

class ExecutionError(_message.Message):
    __slots__ = ("reason", "message", "type", "module", "traceback")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    reason: _error_reason_pb2.ErrorReason
    message: str
    type: str
    module: str
    traceback: str
    def __init__(self, reason: _Optional[_Union[_error_reason_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ..., type: _Optional[str] = ..., module: _Optional[str] = ..., traceback: _Optional[str] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("basic", "bearer", "header", "query")
    class Basic(_message.Message):
        __slots__ = ("user_id", "password", "secret")
        USER_ID_FIELD_NUMBER: _ClassVar[int]
        PASSWORD_FIELD_NUMBER: _ClassVar[int]
        SECRET_FIELD_NUMBER: _ClassVar[int]
        user_id: str
        password: str
        secret: str
        def __init__(self, user_id: _Optional[str] = ..., password: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...
    class Bearer(_message.Message):
        __slots__ = ("token", "secret")
        TOKEN_FIELD_NUMBER: _ClassVar[int]
        SECRET_FIELD_NUMBER: _ClassVar[int]
        token: str
        secret: str
        def __init__(self, token: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...
    class Header(_message.Message):
        __slots__ = ("name", "value", "secret")
        NAME_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        SECRET_FIELD_NUMBER: _ClassVar[int]
        name: str
        value: str
        secret: str
        def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...
    class Query(_message.Message):
        __slots__ = ("key", "value", "secret")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        SECRET_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        secret: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., secret: _Optional[str] = ...) -> None: ...
    BASIC_FIELD_NUMBER: _ClassVar[int]
    BEARER_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    basic: Credential.Basic
    bearer: Credential.Bearer
    header: Credential.Header
    query: Credential.Query
    def __init__(self, basic: _Optional[_Union[Credential.Basic, _Mapping]] = ..., bearer: _Optional[_Union[Credential.Bearer, _Mapping]] = ..., header: _Optional[_Union[Credential.Header, _Mapping]] = ..., query: _Optional[_Union[Credential.Query, _Mapping]] = ...) -> None: ...

class EgressRule(_message.Message):
    __slots__ = ("host", "credentials")
    HOST_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_FIELD_NUMBER: _ClassVar[int]
    host: str
    credentials: _containers.RepeatedCompositeFieldContainer[Credential]
    def __init__(self, host: _Optional[str] = ..., credentials: _Optional[_Iterable[_Union[Credential, _Mapping]]] = ...) -> None: ...

class EgressPolicy(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[EgressRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[EgressRule, _Mapping]]] = ...) -> None: ...

class OutboundRequest(_message.Message):
    __slots__ = ("time", "host", "port", "method", "status", "sent_bytes", "received_bytes", "refused")
    TIME_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    host: str
    port: int
    method: str
    status: int
    sent_bytes: int
    received_bytes: int
    refused: str
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., method: _Optional[str] = ..., status: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., received_bytes: _Optional[int] = ..., refused: _Optional[str] = ...) -> None: ...

class OutboundRequests(_message.Message):
    __slots__ = ("requests", "omitted")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[OutboundRequest]
    omitted: int
    def __init__(self, requests: _Optional[_Iterable[_Union[OutboundRequest, _Mapping]]] = ..., omitted: _Optional[int] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "start_time", "end_time", "error")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    number: int
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    error: ExecutionError
    def __init__(self, number: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[ExecutionError, _Mapping]] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("name", "kind", "state", "language", "function", "create_time", "start_time", "end_time", "output_json", "error", "exit_code", "signal", "stdout", "stderr", "stdout_truncated", "stderr_truncated", "usage", "limits", "start_kind", "isolation_level", "attempt", "max_attempts", "cancel_requested", "request_id", "input_json", "outbound_requests", "schedule", "scheduled_time", "completion_url", "priority", "retry_policy", "attempts", "next_attempt_time")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Execution.Kind]
        KIND_SYNC: _ClassVar[Execution.Kind]
        KIND_CALL: _ClassVar[Execution.Kind]
        KIND_SCHEDULE: _ClassVar[Execution.Kind]
    KIND_UNSPECIFIED: Execution.Kind
    KIND_SYNC: Execution.Kind
    KIND_CALL: Execution.Kind
    KIND_SCHEDULE: Execution.Kind
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Execution.State]
        STATE_QUEUED: _ClassVar[Execution.State]
        STATE_RUNNING: _ClassVar[Execution.State]
        STATE_COMPLETED: _ClassVar[Execution.State]
        STATE_FAILED: _ClassVar[Execution.State]
        STATE_TIMEOUT: _ClassVar[Execution.State]
        STATE_CANCELLED: _ClassVar[Execution.State]
    STATE_UNSPECIFIED: Execution.State
    STATE_QUEUED: Execution.State
    STATE_RUNNING: Execution.State
    STATE_COMPLETED: Execution.State
    STATE_FAILED: Execution.State
    STATE_TIMEOUT: Execution.State
    STATE_CANCELLED: Execution.State
    class StartKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        START_KIND_UNSPECIFIED: _ClassVar[Execution.StartKind]
        START_KIND_WARM: _ClassVar[Execution.StartKind]
        START_KIND_FORKED: _ClassVar[Execution.StartKind]
        START_KIND_COLD: _ClassVar[Execution.StartKind]
    START_KIND_UNSPECIFIED: Execution.StartKind
    START_KIND_WARM: Execution.StartKind
    START_KIND_FORKED: Execution.StartKind
    START_KIND_COLD: Execution.StartKind
    class IsolationLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ISOLATION_LEVEL_UNSPECIFIED: _ClassVar[Execution.IsolationLevel]
        ISOLATION_LEVEL_PROCESS: _ClassVar[Execution.IsolationLevel]
        ISOLATION_LEVEL_CONFINED: _ClassVar[Execution.IsolationLevel]
        ISOLATION_LEVEL_NAMESPACED: _ClassVar[Execution.IsolationLevel]
        ISOLATION_LEVEL_CONTAINED: _ClassVar[Execution.IsolationLevel]
    ISOLATION_LEVEL_UNSPECIFIED: Execution.IsolationLevel
    ISOLATION_LEVEL_PROCESS: Execution.IsolationLevel
    ISOLATION_LEVEL_CONFINED: Execution.IsolationLevel
    ISOLATION_LEVEL_NAMESPACED: Execution.IsolationLevel
    ISOLATION_LEVEL_CONTAINED: Execution.IsolationLevel
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    STDOUT_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    STDERR_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    START_KIND_FIELD_NUMBER: _ClassVar[int]
    ISOLATION_LEVEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    OUTBOUND_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_URL_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: Execution.Kind
    state: Execution.State
    language: Language
    function: str
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    output_json: str
    error: ExecutionError
    exit_code: int
    signal: int
    stdout: str
    stderr: str
    stdout_truncated: bool
    stderr_truncated: bool
    usage: Usage
    limits: Limits
    start_kind: Execution.StartKind
    isolation_level: Execution.IsolationLevel
    attempt: int
    max_attempts: int
    cancel_requested: bool
    request_id: str
    input_json: str
    outbound_requests: OutboundRequests
    schedule: str
    scheduled_time: _timestamp_pb2.Timestamp
    completion_url: str
    priority: int
    retry_policy: _policy_pb2.RetryPolicy
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    next_attempt_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[Execution.Kind, str]] = ..., state: _Optional[_Union[Execution.State, str]] = ..., language: _Optional[_Union[Language, str]] = ..., function: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., output_json: _Optional[str] = ..., error: _Optional[_Union[ExecutionError, _Mapping]] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., stdout: _Optional[str] = ..., stderr: _Optional[str] = ..., stdout_truncated: _Optional[bool] = ..., stderr_truncated: _Optional[bool] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., start_kind: _Optional[_Union[Execution.StartKind, str]] = ..., isolation_level: _Optional[_Union[Execution.IsolationLevel, str]] = ..., attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., cancel_requested: _Optional[bool] = ..., request_id: _Optional[str] = ..., input_json: _Optional[str] = ..., outbound_requests: _Optional[_Union[OutboundRequests, _Mapping]] = ..., schedule: _Optional[str] = ..., scheduled_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completion_url: _Optional[str] = ..., priority: _Optional[int] = ..., retry_policy: _Optional[_Union[_policy_pb2.RetryPolicy, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., next_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
