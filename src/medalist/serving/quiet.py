"""Logging without clients' texts: the message of an exception may quote one, so only type and place are logged."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from pathlib import Path

logger = logging.getLogger("medalist.serving")


def described(error: BaseException) -> str:
    """The type of an exception and where it was raised, without its message: "ValueError at expander.py:120"."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


class WithoutMessages(logging.Formatter):
    """Formats records; in place of a traceback, which ends with the message, writes the output of `described`."""

    def formatException(self, ei: object) -> str:  # noqa: N802 (logging's own name)
        """The type and place of an exception."""
        error = ei[1] if isinstance(ei, tuple) else None
        return described(error) if isinstance(error, BaseException) else ""


def _is_news(record: logging.LogRecord) -> bool:
    """Drop uvicorn's message for each request that it cancels when the time to finish is over: `Gate` counts them."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def log_to_stderr() -> None:
    """Log this package's and uvicorn's records from level INFO on to standard error, one line each, with the time."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(WithoutMessages("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_is_news)
    for name in ("medalist.serving", "uvicorn.error", "asyncio"):
        log = logging.getLogger(name)
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.INFO if name != "asyncio" else logging.WARNING)
