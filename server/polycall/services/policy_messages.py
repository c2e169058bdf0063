"""Policies: between ``polycall.v1`` messages and the domain."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from polycall.domain import FunctionPolicy, Reason, RetryPolicy, is_retryable
from polycall.engine.policies import check_retry
from polycall.names import PolicyName
from polycall.services.scalars import duration, enum_values, milliseconds, timestamp
from polycall.services.violations import Violations
from polycall.v1 import error_reason_pb2, policy_pb2

__all__ = ["masked", "policy_message", "read_retry", "retry_message"]

_REASONS = enum_values(error_reason_pb2.ErrorReason, "ERROR_REASON", filter(is_retryable, Reason))
_REASON_OF = {value: reason for reason, value in _REASONS.items()}
_DEFAULT = RetryPolicy(max_attempts=1)


def policy_message(policy: FunctionPolicy, *, counted: bool = True) -> policy_pb2.FunctionPolicy:
    """Render a policy; ``counted`` False for lists."""
    return policy_pb2.FunctionPolicy(
        name=str(PolicyName(policy.package_id, policy.function)),
        max_running=policy.max_running,
        retry_policy=retry_message(policy.retry),
        update_time=timestamp(policy.updated_at),
        running_count=policy.running if counted else None,
        queued_count=policy.queued if counted else None,
    )


def retry_message(policy: RetryPolicy | None) -> policy_pb2.RetryPolicy | None:
    """Render a retry policy with all that holds; None stays absent."""
    if policy is None:
        return None
    return policy_pb2.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_backoff=duration(policy.initial_ms * 1000),
        maximum_backoff=duration(policy.maximum_ms * 1000),
        multiplier=policy.multiplier,
        jitter=policy.jitter,
        reasons=[_REASONS[reason] for reason in policy.reasons],
    )


def read_retry(message: policy_pb2.RetryPolicy, field: str, wrong: Violations) -> RetryPolicy | None:
    """Read a retry policy that is set; None, with its violations noted, if it cannot be one."""
    reasons = []
    for index, value in enumerate(message.reasons):
        if value in _REASON_OF:
            reasons.append(_REASON_OF[value])
        else:
            name = error_reason_pb2.ErrorReason.Name(value) if value in error_reason_pb2.ErrorReason.values() else value
            wrong.add(f"{field}.reasons[{index}]", f"{name} is no end that could be tried again")
    first_ms = milliseconds(message.initial_backoff) if message.HasField("initial_backoff") else _DEFAULT.initial_ms
    longest_ms = max(_DEFAULT.maximum_ms, first_ms)
    if message.HasField("maximum_backoff"):
        longest_ms = milliseconds(message.maximum_backoff)
    policy = RetryPolicy(
        max_attempts=message.max_attempts,
        initial_ms=first_ms,
        maximum_ms=longest_ms,
        multiplier=message.multiplier or _DEFAULT.multiplier,
        jitter=message.jitter if message.HasField("jitter") else _DEFAULT.jitter,
        reasons=tuple(dict.fromkeys(reasons)) or _DEFAULT.reasons,
    )
    wrong.attempt(lambda: check_retry(policy, field))
    return policy


def masked(
    paths: Sequence[str], changeable: Sequence[str], present: Collection[str], wrong: Violations
) -> frozenset[str]:
    """Return the fields that an update changes: what its mask names, else what is set (AIP-134)."""
    for index, path in enumerate(paths):
        if path not in changeable and path != "*":
            wrong.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(changeable)}, or *")
    if "*" in paths:
        return frozenset(changeable)
    return frozenset(path for path in (paths or present) if path in changeable)
