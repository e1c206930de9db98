"""Retries operations that failed for a transient reason, such as a lost connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from .progress import say

_T = TypeVar("_T")


def retrying(
    attempt: Callable[[], _T],
    *,
    waits: Sequence[float],
    transient: Callable[[Exception], str | None],
    reached: Callable[[], int] = lambda: 0,
) -> _T:
    """Call `attempt`, retrying after transient failures, and return its result; it must be idempotent.

    Args:
        attempt: the operation to try.
        waits: seconds to wait before each retry.
        transient: describes a transient error for the user; None means that a retry would not help.
        reached: how far the work has got; whenever that advances, the count of failures restarts at zero.

    Raises:
        Exception: the last error of `attempt`, if a retry would not help or none is left.
    """
    failures, best = 0, reached()
    while True:
        try:
            return attempt()
        except Exception as error:
            if (now := reached()) > best:
                failures, best = 0, now
            reason = transient(error)
            if reason is None or failures == len(waits):
                raise
        say(f"{reason}; retrying in {waits[failures]} s")
        time.sleep(waits[failures])
        failures += 1


def named_error(error: BaseException) -> str:
    """An error in one line: its type and the first line of its message."""
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")
