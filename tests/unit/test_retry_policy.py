"""How long is waited before a Call is tried again."""

from __future__ import annotations

from polycall.domain import RETRIED, Reason, RetryPolicy, is_retryable


def test_waits_grow_up_to_the_longest_and_vary_by_their_jitter() -> None:
    policy = RetryPolicy(max_attempts=9, initial_ms=1000, maximum_ms=5000, multiplier=2, jitter=0.25)
    assert [policy.wait_ms(attempt, 0.0) for attempt in range(1, 6)] == [1000, 2000, 4000, 5000, 5000]
    assert [policy.wait_ms(attempt, 1.0) for attempt in range(1, 6)] == [750, 1500, 3000, 3750, 3750]
    assert RetryPolicy(max_attempts=9, jitter=1).wait_ms(1, 1.0) == 1  # never not at all
    assert RetryPolicy(max_attempts=9, multiplier=1, jitter=0).wait_ms(9, 0.5) == 1000
    assert RetryPolicy(max_attempts=10, multiplier=10, jitter=0).wait_ms(10, 0.5) == 60_000


def test_what_was_refused_or_cancelled_is_nothing_to_try_again() -> None:
    assert set(RETRIED) <= {reason for reason in Reason if is_retryable(reason)}
    for reason in (Reason.EXECUTION_CANCELLED, Reason.CANCELLED_BY_CLIENT, Reason.QUEUE_FULL, Reason.PACKAGE_NOT_FOUND):
        assert not is_retryable(reason)
