"""Walks a command through a failure, or a kill, at each of its writes, renames, removals and syncs in turn.

As SQLite's tests do: run it once to count the steps, then once for each step, which fails as a full disk does or ends
the process on the spot; then run it again undisturbed and compare. Each try is a forked process, so that what was
loaded need not be loaded again.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

_EVENTS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink")
_WRITING = os.O_WRONLY | os.O_RDWR
KILLED = 137


class Steps:
    """Counts what changes the disk below a folder; acts at one step. Installed for good: use it in a fork."""

    def __init__(self, folder: Path, act_at: int | None, *, kill: bool) -> None:
        self._folder, self._act_at, self._kill = str(folder), act_at, kill
        self.count = 0
        self.on = True
        sys.addaudithook(self._hook)
        self._fsync = os.fsync
        os.fsync = self._synced

    def _synced(self, handle: int) -> None:
        self._step()
        self._fsync(handle)

    def _hook(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        changes = event in _EVENTS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING)
        if changes and isinstance(arguments[0], str | bytes | os.PathLike):
            name = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100  # pathlib's own would be audited
            if name.startswith(self._folder) and not name.endswith(".lock"):
                self._step()

    def _step(self) -> None:
        self.count += 1
        if self.count == self._act_at:
            if self._kill:
                os._exit(KILLED)
            raise OSError(errno.ENOSPC, "No space left on device")


def forked(act: Callable[[], int]) -> int:
    """Run something in a fork of this process; its exit code, or 70 for an error that is none of the expected."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            if "torch" in sys.modules:  # its pool of threads does not survive a fork: made anew before others need it
                sys.modules["torch"].set_num_threads(1)
            code = act()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_steps(command: Callable[[Path], object], folder: Path) -> int:
    """How many steps a command takes in a folder that is then as the command leaves it."""
    read, write = os.pipe()

    def act() -> int:
        steps = Steps(folder, None, kill=False)
        command(folder)
        steps.on = False
        os.write(write, str(steps.count).encode())
        return 0

    assert forked(act) == 0
    os.close(write)
    return int(os.read(read, 20))


def disturbed(command: Callable[[Path], object], folder: Path, step: int, *, kill: bool) -> int:
    """Run the command with a fault at one step: 137 for killed, 1 for an error, 0 for a fault that did no harm."""

    def act() -> int:
        steps = Steps(folder, step, kill=kill)
        try:
            command(folder)
        except (OSError, ValueError, RuntimeError) as error:
            steps.on = False
            from medalist.tools.failures import in_one_line

            line = in_one_line(error)
            return 1 if line else 70
        return 0

    return forked(act)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder that a user sees, and its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
