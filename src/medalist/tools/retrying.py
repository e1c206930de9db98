"""Doing again what failed for a reason that may pass, such as a broken connection."""

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
    in_passing: Callable[[Exception], str | None],
    reached: Callable[[], int] = lambda: 0,
) -> _T:
    """What `attempt` returns, tried again after trouble in passing; it must be harmless to repeat.

    Args:
        attempt: what is tried.
        waits: seconds before each new try.
        in_passing: what the trouble is, for people; None: another try would not help.
        reached: how far the work has come; once it comes further, the count of tries begins anew.

    Raises:
        Exception: the last that `attempt` raised, when another try would not help or none is left.
    """
    failures, best = 0, reached()
    while True:
        try:
            return attempt()
        except Exception as error:
            if (now := reached()) > best:
                failures, best = 0, now
            reason = in_passing(error)
            if reason is None or failures == len(waits):
                raise
        say(f"{reason}; trying again in {waits[failures]} s")
        time.sleep(waits[failures])
        failures += 1


def named_error(error: BaseException) -> str:
    """An error in one line: its kind, and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0].rstrip(": ")
