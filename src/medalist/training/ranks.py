"""One run on several processes: how they share the work, and how all of them end when one does.

`torchrun` and `accelerate launch` start the same command once per device and tell each process its rank in environment
variables. Rank 0 prepares the data, writes the run folder and prints; the others wait for it, read what it wrote, and
join in training. They wait on the launcher's key-value store, not on a collective of the process group: reading MeDAL
can take longer than any timeout short enough to detect a hung GPU.

When one process ends, all end. The launcher sends SIGTERM to the others when it sees one fail, and a collective whose
peer is gone raises an error; in either case, one process reports in one line what happened, and the others exit
silently.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from ..tools import progress

_HUNG = timedelta(minutes=30)
"""Timeout of a collective: one that takes longer has lost a peer without noticing."""
_DECIDED_BY_THE_RECIPE = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")


@dataclass(kw_only=True, slots=True)
class Ranks:
    """The processes of a run, from the point of view of one of them."""

    rank: int = 0
    size: int = 1
    where: Callable[[], str] = lambda: "before training began."
    """Says how far the run has got and where it can resume; set by training."""
    _store: Any = None
    _waits: Iterator[int] = field(default_factory=itertools.count)
    _ending: bool = False

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints; true if it is the only one."""
        return self.rank == 0

    def wait_for_first(self) -> None:
        """Block until rank 0 gets here too; rank 0 does not wait."""
        key = f"passed/{next(self._waits)}"
        if self.size == 1:
            return
        if self.first:
            self._store.set(key, "")
        while not self._store.check([key]):  # not `wait`, which blocks the store for other threads
            time.sleep(0.2)

    def agreed(self, value: Any) -> Any:
        """Rank 0's value, on all ranks: values that each computes for itself may differ in the last bit."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def gathered(self, value: Any) -> list[Any]:
        """The values of all ranks, on all ranks."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def _speaks(self) -> bool:
        """Whether this process is the first to report the end of the run."""
        try:
            return int(self._store.add("said", 1)) == 1
        except RuntimeError:  # the store went down with the process that hosted it
            return True

    def _what_ended(self) -> str:
        gone = self._gone()
        who = "The run was stopped" if gone is None else f"Rank {gone} stopped"
        return f"{who} ({self.size} processes) {self.where()}"

    def _gone(self) -> int | None:
        """A rank on this machine whose process has ended; None if there is none here."""

        def ended(rank: int) -> bool:
            host, _, pid = self._store.get(f"process/{rank}").decode().partition(" ")
            try:
                if host == socket.gethostname():
                    os.kill(int(pid), 0)
            except ProcessLookupError:
                return True
            return False

        try:
            for _ in range(20):  # the connection of a dying process closes before it is gone
                for rank in range(self.size):
                    if ended(rank):
                        return rank
                time.sleep(0.1)
        except RuntimeError:  # the store is gone
            pass
        return None


_current: Ranks | None = None


@contextmanager
def together() -> Iterator[Ranks]:
    """Share a run's work with the other processes that a launcher started, if any, and end when they do.

    An error that only this process has is raised here, and the others exit silently. An error that all processes have
    is raised on one of them. If another process is gone, the error says so, and how far the run had got.

    Raises:
        ValueError: the launcher was given a setting that the recipe decides, or there is no device for this process.
        RuntimeError: another process is gone.
    """
    global _current
    if _current is not None or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield _current or Ranks()
        return
    _current = ranks = _joined()
    unwatch = _watch(ranks)
    try:
        check_launcher()
        yield ranks
    except (Exception, KeyboardInterrupt) as error:
        ranks._ending = True
        atexit.unregister(dist.destroy_process_group)  # it may wait for processes that are gone
        if not ranks._speaks():
            raise SystemExit(1) from None
        if _is_lost_peer(error):
            raise RuntimeError(ranks._what_ended()) from error
        raise
    finally:
        unwatch()
        _current = None


@cache
def _joined() -> Ranks:
    """Join the processes of a launcher; once, since the store remembers which waits rank 0 has passed."""
    store, rank, size = next(rendezvous("env://", timeout=timedelta(minutes=10)))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    mine = dist.PrefixStore(f"medalist/{attempt}", store)  # type: ignore[attr-defined]  # public, but not in __all__
    mine.set(f"process/{rank}", f"{socket.gethostname()} {os.getpid()}")
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_HUNG)
    atexit.register(dist.destroy_process_group)
    progress.console.quiet = rank > 0
    return Ranks(rank=rank, size=size, _store=mine)


def check_launcher() -> None:
    """Refuse launcher settings that the recipe must decide, and select this process's GPU.

    Raises:
        ValueError: accelerate was told how to parallelise or which precision to use, or this machine has more processes
            than GPUs.
    """
    if given := [name for name in _DECIDED_BY_THE_RECIPE if os.environ.get(name, "").lower() in ("1", "true")]:
        raise ValueError(
            f"{given[0]} is set, but the recipe decides how processes share a run: set training.parallel, and launch "
            "with torchrun, or with accelerate and only --multi_gpu"
        )
    if os.environ.get("ACCELERATE_MIXED_PRECISION", "no") != "no":
        raise ValueError("The recipe decides the precision: set model.dtype, and launch with --mixed_precision no")
    if torch.cuda.is_available():
        here, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if here >= there:
            raise ValueError(f"This machine has {there} GPU(s): start {there} process(es) here, not {here + 1} or more")
        torch.cuda.set_device(here)


def _is_lost_peer(error: BaseException) -> bool:
    """Whether an error comes from a collective or the store, which only shows that another process is gone."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def _watch(ranks: Ranks) -> Callable[[], None]:
    """Print a last line when the launcher ends this process; in a thread, as the main one may hang in a collective."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    previous = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def speak() -> None:
        while (signals := os.read(read, 1)) and signals[0] != signal.SIGTERM:
            pass
        if signals and not ranks._ending:
            if ranks._speaks():
                print(ranks._what_ended(), file=sys.stderr, flush=True)
            os._exit(128 + signal.SIGTERM)
        os.close(read)

    threading.Thread(target=speak, daemon=True).start()

    def unwatch() -> None:
        signal.set_wakeup_fd(previous)
        signal.signal(signal.SIGTERM, handler)
        os.close(write)

    return unwatch
