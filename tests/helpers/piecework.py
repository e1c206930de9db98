"""Work for the tests of parallel.py: in a module of its own, so that processes and Ray workers can import it."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path


class Unpicklable(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} is {why}")


def square(
    number: int,
    *,
    folder: Path,
    together: int = 1,
    slow: int | None = None,
    refused: tuple[int, ...] = (),
    fatal: int | None = None,
    deaths: int = 0,
) -> tuple[int, int]:
    """The square of a number and the process that found it, which leaves a file named for the number.

    Args:
        number: the job.
        folder: for files that tell what happened.
        together: jobs that must have begun before any of them ends.
        slow: the number that then takes a minute.
        refused: numbers that raise an error, after their file was written.
        fatal: the number that kills its process.
        deaths: how often it does.
    """
    with (folder / "begun").open("a") as file:
        file.write(f"{number} {os.getpid()}\n")
    if number == fatal and len(begun(folder, number)) <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / f"{number}.part").write_text(str(os.getpid()))
    (folder / f"{number}.part").rename(folder / f"{number}.done")
    until = time.monotonic() + 30
    while len(list(folder.glob("*.done"))) < together:
        if time.monotonic() > until:
            raise TimeoutError(f"job {number} waited in vain for others to begin")
        time.sleep(0.02)
    if number == slow:
        time.sleep(60)
    if number in refused:
        raise ValueError(f"{number} is refused")
    return number**2, os.getpid()


def begun(folder: Path, number: int) -> list[int]:
    """The processes that began `square` of a number, one for each time."""
    lines = (line.split() for line in (folder / "begun").read_text().splitlines())
    return [int(pid) for name, pid in lines if name == str(number)]


def task(_: int) -> str | None:
    """The Ray task that this runs in."""
    ray = sys.modules.get("ray")
    return ray and ray.get_runtime_context().get_task_id()


def interrupted(_: int) -> bool:
    """Gets a Ctrl-C and goes on."""
    signal.raise_signal(signal.SIGINT)
    return True


def environment(name: str) -> str | None:
    return os.environ.get(name)


def fill(number: int) -> int:
    if number == 1:
        raise OSError(errno.ENOSPC, "full")
    return number


def complain(number: int) -> None:
    raise Unpicklable(str(number), "odd")
