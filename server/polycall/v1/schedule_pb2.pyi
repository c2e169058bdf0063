import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from polycall.v1 import execution_pb2 as _execution_pb2
from polycall.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Schedule(_message.Message):
    __slots__ = ("name", "function", "cron", "timezone", "input_json", "limits", "max_attempts", "deadline", "overlap", "missed_ticks", "paused", "display_name", "description", "create_time", "update_time", "next_runs", "last_run_time", "run_count", "skipped_count", "last_skipped_time", "last_skip_reason", "face", "when", "completion_url", "priority", "retry_policy")
    class Overlap(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OVERLAP_UNSPECIFIED: _ClassVar[Schedule.Overlap]
        OVERLAP_ALLOW: _ClassVar[Schedule.Overlap]
        OVERLAP_SKIP: _ClassVar[Schedule.Overlap]
        OVERLAP_REPLACE: _ClassVar[Schedule.Overlap]
    OVERLAP_UNSPECIFIED: Schedule.Overlap
    OVERLAP_ALLOW: Schedule.Overlap
    OVERLAP_SKIP: Schedule.Overlap
    OVERLAP_REPLACE: Schedule.Overlap
    class MissedTicks(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MISSED_TICKS_UNSPECIFIED: _ClassVar[Schedule.MissedTicks]
        MISSED_TICKS_SKIP: _ClassVar[Schedule.MissedTicks]
        MISSED_TICKS_RUN_LAST: _ClassVar[Schedule.MissedTicks]
    MISSED_TICKS_UNSPECIFIED: Schedule.MissedTicks
    MISSED_TICKS_SKIP: Schedule.MissedTicks
    MISSED_TICKS_RUN_LAST: Schedule.MissedTicks
    NAME_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    MISSED_TICKS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_RUNS_FIELD_NUMBER: _ClassVar[int]
    LAST_RUN_TIME_FIELD_NUMBER: _ClassVar[int]
    RUN_COUNT_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_SKIPPED_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SKIP_REASON_FIELD_NUMBER: _ClassVar[int]
    FACE_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_URL_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    name: str
    function: str
    cron: str
    timezone: str
    input_json: str
    limits: _execution_pb2.Limits
    max_attempts: int
    deadline: _duration_pb2.Duration
    overlap: Schedule.Overlap
    missed_ticks: Schedule.MissedTicks
    paused: bool
    display_name: str
    description: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    next_runs: _containers.RepeatedCompositeFieldContainer[_timestamp_pb2.Timestamp]
    last_run_time: _timestamp_pb2.Timestamp
    run_count: int
    skipped_count: int
    last_skipped_time: _timestamp_pb2.Timestamp
    last_skip_reason: str
    face: str
    when: str
    completion_url: str
    priority: int
    retry_policy: _policy_pb2.RetryPolicy
    def __init__(self, name: _Optional[str] = ..., function: _Optional[str] = ..., cron: _Optional[str] = ..., timezone: _Optional[str] = ..., input_json: _Optional[str] = ..., limits: _Optional[_Union[_execution_pb2.Limits, _Mapping]] = ..., max_attempts: _Optional[int] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., overlap: _Optional[_Union[Schedule.Overlap, str]] = ..., missed_ticks: _Optional[_Union[Schedule.MissedTicks, str]] = ..., paused: _Optional[bool] = ..., display_name: _Optional[str] = ..., description: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_runs: _Optional[_Iterable[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]]] = ..., last_run_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., run_count: _Optional[int] = ..., skipped_count: _Optional[int] = ..., last_skipped_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_skip_reason: _Optional[str] = ..., face: _Optional[str] = ..., when: _Optional[str] = ..., completion_url: _Optional[str] = ..., priority: _Optional[int] = ..., retry_policy: _Optional[_Union[_policy_pb2.RetryPolicy, _Mapping]] = ...) -> None: ...
