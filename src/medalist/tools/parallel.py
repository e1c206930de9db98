"""Runs jobs on local processes or on a Ray cluster; callers need not know which."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import socket
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .counts import counted
from .failures import is_full
from .progress import tracking

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Failed:
    """The outcome of a job that failed."""

    error: BaseException
    killed: bool = False
    """The worker died, so the failure may not be the job's own fault."""
    trace: str = ""
    """The traceback, if the job ran in another process."""


Outcomes = Generator[tuple[int, R | _Failed], None, None]  # (job number, result), in the order in which jobs finish


def run_jobs(
    work: Callable[[J], R],
    jobs: Sequence[J],
    *,
    workers: int = 1,
    ray: str | None = None,
    label: str = "files",
    sizes: Sequence[int] | None = None,
    retries: int = 2,
    name: Callable[[J], str] = str,
) -> Iterator[tuple[int, R]]:
    """Run `work` for each job; every job runs to completion even if others fail, unless a disk is full.

    A job whose worker is killed runs again, so `work` must be idempotent: it should write to a temporary file and then
    rename it. Results are sent between processes and should be small, such as a count or a path. A script that uses
    workers must guard its entry point with ``if __name__ == "__main__":``, because every worker imports it.

    Args:
        work: a function in a module that the workers can import, or a `functools.partial` of one.
        jobs: the arguments to `work`, one per job.
        workers: number of processes, which share the machine's cores; 1 runs the jobs in this process, in order.
        ray: a Ray cluster to use instead: ``local`` (started here with `workers` CPUs and stopped at the end), or
            ``auto``, ``host:6379`` or ``ray://host:10001`` (an existing cluster, using all of its CPUs).
        label: what the progress bar counts.
        sizes: how many of these each job is; None: one.
        retries: how many times to rerun a job after its worker was killed.
        name: returns the name of a job for error messages.

    Yields:
        The number of a job, counted from 0, and its result, as jobs finish, in any order.

    Raises:
        ValueError: an argument is invalid, the cluster cannot be reached, or Ray is not installed.
        RuntimeError: a job killed its worker on every attempt.
        Exception: whatever `work` raised; if several jobs failed, the error of the lowest-numbered one, with a note
            on the others.
    """
    if workers < 1 or retries < 0:
        what, count, least = ("workers", workers, 1) if workers < 1 else ("retries", retries, 0)
        raise ValueError(f"The number of {what} is {count}: it must be at least {least}")
    if not jobs:
        return
    waiting = deque(range(len(jobs)))
    if ray is not None:
        outcomes = _on_ray(work, jobs, waiting, ray, workers)
    elif workers > 1:
        outcomes = _on_processes(work, jobs, waiting, min(workers, len(jobs)))
    else:
        outcomes = _here(work, jobs, waiting)
    deaths: Counter[int] = Counter()
    failures: dict[int, BaseException] = {}
    with closing(outcomes), tracking(label, len(jobs) if sizes is None else sum(sizes)) as advance:
        for number, outcome in outcomes:
            size = 1 if sizes is None else sizes[number]
            if not isinstance(outcome, _Failed):
                advance(size)
                yield number, outcome
                continue
            error = outcome.error
            if outcome.trace:
                error.__cause__ = RuntimeError(f"in a worker:\n{outcome.trace}")
            if outcome.killed:
                deaths[number] += 1
                if deaths[number] <= retries:
                    waiting.append(number)  # at the end of the queue, when fewer jobs compete for memory
                    continue
                what = f"job {number} ({name(jobs[number])})"
                times = counted(deaths[number], "time")
                error = RuntimeError(f"{what} killed its worker {times}; did it run out of memory?")
                error.__cause__ = outcome.error
            failures[number] = error
            if is_full(error):
                waiting.clear()  # further jobs would run out of space too
            advance(size, note=f"{len(failures)} failed")
    if failures:
        first, *others = sorted(failures)
        if others:
            names = ", ".join(name(jobs[number]) for number in others[:10]) + ", ..." * (len(others) > 10)
            failures[first].add_note(f"{len(others)} more of {len(jobs)} failed: {names}")
        raise failures[first]


def _here(work: Callable[[J], R], jobs: Sequence[J], waiting: deque[int]) -> Outcomes[R]:
    """Run the waiting jobs in this process, in order."""
    while waiting:
        number = waiting.popleft()
        try:
            outcome: R | _Failed = work(jobs[number])
        except Exception as error:
            outcome = _Failed(error)
        yield number, outcome


def _on_processes(work: Callable[[J], R], jobs: Sequence[J], waiting: deque[int], workers: int) -> Outcomes[R]:
    """Run the waiting jobs, and those requeued in the meantime, on local processes.

    Each worker is a pool of one process with one job at a time: when it dies, the job responsible is known and no other
    job has to restart. Workers are spawned because the threads of torch and polars do not survive a fork.
    """
    context = get_context("spawn")
    watched, held = context.Pipe(duplex=False)
    threads = max((os.cpu_count() or 1) // workers, 1)
    busy: dict[Future[R | _Failed], tuple[int, ProcessPoolExecutor]] = {}
    with watched, held, ExitStack() as staff:

        def hire() -> ProcessPoolExecutor:
            return staff.enter_context(ProcessPoolExecutor(1, context, _prepare_worker, (watched, threads)))

        try:
            idle = [hire() for _ in range(workers)]
            while waiting or busy:
                while waiting and idle:
                    number, worker = waiting.popleft(), idle.pop()
                    try:
                        future = worker.submit(_attempt, work, jobs[number])
                    except BrokenProcessPool:  # killed by its last job, or while idle
                        worker = hire()
                        future = worker.submit(_attempt, work, jobs[number])
                    busy[future] = number, worker
                future = wait(busy, return_when=FIRST_COMPLETED).done.pop()
                number, worker = busy.pop(future)
                error = future.exception()
                idle.append(worker)
                yield number, future.result() if error is None else _Failed(error, isinstance(error, BrokenProcessPool))
        except BaseException:
            held.close()  # makes the workers that are still busy exit now, without waiting for them
            raise


def _prepare_worker(watched: Connection, threads: int) -> None:
    """Set up a spawned process to ignore Ctrl-C, exit with its parent, and use only its share of the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(watched,), daemon=True).start()
    for variable in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(variable, str(threads))


def _end_with_parent(watched: Connection) -> None:
    with suppress(EOFError, OSError):
        watched.recv()  # nothing is ever sent: this ends when the parent closes its end of the pipe or dies
    os._exit(1)


def _attempt(work: Callable[[J], R], job: J) -> R | _Failed:
    """Run one job in a worker; an exception is returned as a picklable value."""
    try:
        return work(job)
    except Exception as error:
        failure: Exception = error
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # pickling runs the error's own code, which can raise anything; keep at least its message
            failure = RuntimeError(f"{type(error).__name__}: {error}")
        return _Failed(failure, trace=traceback.format_exc())


def _on_ray(work: Callable[[J], R], jobs: Sequence[J], waiting: deque[int], address: str, workers: int) -> Outcomes[R]:
    """Run the waiting jobs, and those requeued in the meantime, on a Ray cluster."""
    with ray_cluster(address, workers) as ray:
        lost = ray.exceptions
        deaths = (lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError, lost.ObjectLostError)
        # Ray would retry a job that runs out of memory forever; `run_jobs` applies the same limit to both backends.
        task = ray.remote(_attempt).options(max_retries=0)
        shared = ray.put(work)
        busy: dict[Any, int] = {}
        try:
            while waiting or busy:
                room = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
                while waiting and len(busy) < room:
                    number = waiting.popleft()
                    busy[task.remote(shared, jobs[number])] = number
                ended, _ = ray.wait(list(busy))
                number = busy.pop(ended[0])
                try:
                    outcome = ray.get(ended[0])
                except deaths as error:
                    outcome = _Failed(error, killed=True)
                except lost.RayTaskError as error:  # the result cannot be pickled, or the worker lacks the module
                    outcome = _Failed(error.cause)
                yield number, outcome
        finally:
            with suppress(lost.RayError):  # the task has already finished, or the cluster is gone
                for reference in busy:
                    ray.cancel(reference, force=True)


@contextmanager
def ray_cluster(address: str, workers: int) -> Iterator[Any]:
    """Yield the module `ray`, connected to a cluster as `run_jobs` describes.

    An existing connection is used and kept open; a new one is closed at the end.

    Raises:
        ValueError: Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # otherwise worker deaths are printed to standard output
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise ValueError("Running on a Ray cluster requires an extra: pip install 'medalist[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    start = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        if place.port:  # Ray itself would keep trying for minutes
            socket.create_connection((place.hostname, place.port), timeout=10).close()
        ray.init(address, log_to_driver=False, logging_level="error", **start)
    except (OSError, ValueError) as error:
        advice = "start one with `ray start --head`, set RAY_AUTH_MODE=token if it requires a token, or use local"
        raise ValueError(f'No Ray cluster at "{address}" ({error}): {advice}') from None
    try:
        yield ray
    finally:
        ray.shutdown()
