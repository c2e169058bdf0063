"""Retry policies on the command line: the options that ask for one, and how one is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from polycall.cli.options import DURATION
from polycall.domain import Reason, is_retryable

if TYPE_CHECKING:
    from polycall.v1.policy_pb2 import RetryPolicy

__all__ = ["priority_option", "retry_line", "retry_of", "retry_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_REASONS = click.Choice([reason.value for reason in Reason if is_retryable(reason)], case_sensitive=False)


def priority_option(command: _Command) -> _Command:
    """Add ``--priority``."""
    text = "Of the project's Calls that wait, the highest comes first: -9 to 9. Default: 0."
    return click.option("--priority", type=int, help=text)(command)


def retry_options(command: _Command) -> _Command:
    """Add what a retry policy is made of; ``retry_of`` takes it out again."""
    options = [
        click.option(
            "--retry", type=int, metavar="STARTS", help="If the code fails, start it so often in all: 1 to 10."
        ),
        click.option("--backoff", type=DURATION, metavar="DURATION", help="The first wait. Default: 1s."),
        click.option("--longest-backoff", type=DURATION, metavar="DURATION", help="The longest wait. Default: 60s."),
        click.option("--multiplier", type=float, help="How much longer each wait is than the last. Default: 2."),
        click.option("--jitter", type=float, help="The share of a wait that is left to chance. Default: 0.2."),
        click.option(
            "--retry-on",
            type=_REASONS,
            multiple=True,
            metavar="REASON",
            help="Which ends are tried again, such as OUT_OF_MEMORY; repeatable. Default: exceptions, exits, signals, "
            "time limits.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def retry_of(asked: dict[str, Any]) -> RetryPolicy | None:
    """Take the retry policy out of the values of ``retry_options``; None without ``--retry``. Raises UsageError."""
    from polycall.v1.policy_pb2 import RetryPolicy

    starts = asked.pop("retry")
    names = ("backoff", "longest_backoff", "multiplier", "jitter", "retry_on")
    more = {name: value for name in names if (value := asked.pop(name)) not in (None, ())}
    if starts is None:
        if more:
            raise click.UsageError("say with --retry how often it is started in all.")
        return None
    policy = RetryPolicy(
        max_attempts=starts,
        multiplier=more.get("multiplier"),
        jitter=more.get("jitter"),
        reasons=[f"ERROR_REASON_{reason}" for reason in more.get("retry_on", ())],
    )
    if "backoff" in more:
        policy.initial_backoff.FromNanoseconds(round(more["backoff"] * 1e9))
    if "longest_backoff" in more:
        policy.maximum_backoff.FromNanoseconds(round(more["longest_backoff"] * 1e9))
    return policy


def retry_line(policy: RetryPolicy) -> str:
    """Return a retry policy in words; "" for none."""
    from polycall.cli.show import elapsed, words

    if not policy.max_attempts:
        return ""
    waits = f"{elapsed(policy.initial_backoff)} to {elapsed(policy.maximum_backoff)}, times {policy.multiplier:g}"
    reasons = words(policy, "reasons", policy.reasons)
    return f"{policy.max_attempts} starts; waits {waits}, jitter {policy.jitter:g}; after {reasons}"
