"""The same work on local processes or on a Ray cluster: the only place that knows."""

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

from .files import is_full
from .progress import tracking

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a job without a result came to."""

    error: BaseException
    killed: bool = False
    """Its worker died, so the job itself has not said that it cannot be done."""
    trace: str = ""
    """Where it happened, when that was in another process."""


Outcomes = Generator[tuple[int, R | _Failed], None, None]  # the number of each job, as it ends, and its result


def run_jobs(
    work: Callable[[J], R],
    jobs: Sequence[J],
    *,
    workers: int = 1,
    ray: str | None = None,
    label: str = "files",
    retries: int = 2,
    name: Callable[[J], str] = str,
) -> Iterator[tuple[int, R]]:
    """Do a piece of work for each job; every job runs to its end, even when others fail, unless a disk is full.

    A job whose worker is killed is done again, so `work` must be safe to repeat: it writes a file under another name
    and renames it. Results travel between processes and should be small: a count, a path. A script that uses workers
    keeps its own start behind ``if __name__ == "__main__":``, because every worker imports it.

    Args:
        work: a function of a module that the workers can import, or a `functools.partial` of one.
        jobs: one argument of `work` each.
        workers: processes, which share out the cores of this machine; 1 works in this process, in order.
        ray: where to work instead: ``local`` (a cluster started here, with `workers` CPUs, and stopped at the end),
            ``auto``, ``host:6379`` or ``ray://host:10001`` (a running one, with all the CPUs that it has).
        label: what the jobs are, for the progress bar.
        retries: how often a job is begun again after its worker was killed.
        name: what to call a job in an error.

    Yields:
        The number of a job, from 0, and its result, as jobs end, in any order.

    Raises:
        ValueError: a wrong argument, no such cluster, or no Ray installed.
        RuntimeError: a job killed all workers that it was given to.
        Exception: whatever `work` raised. Of several failures, the one with the lowest number, with a note on the others.
    """
    if workers < 1 or retries < 0:
        raise ValueError(f"{workers} workers and {retries} retries: there must be at least 1 worker and 0 retries")
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
    with closing(outcomes), tracking(label, len(jobs)) as advance:
        for number, outcome in outcomes:
            if not isinstance(outcome, _Failed):
                advance()
                yield number, outcome
                continue
            error = outcome.error
            if outcome.trace:
                error.__cause__ = RuntimeError(f"in a worker:\n{outcome.trace}")
            if outcome.killed:
                deaths[number] += 1
                if deaths[number] <= retries:
                    waiting.append(number)  # to the end, when fewer others share the memory
                    continue
                what = f"job {number} ({name(jobs[number])})"
                error = RuntimeError(f"{what} killed its worker {deaths[number]} times, out of memory?")
                error.__cause__ = outcome.error
            failures[number] = error
            if is_full(error):
                waiting.clear()  # who begins now would find no room either
            advance(note=f"{len(failures)} failed")
    if failures:
        first, *others = sorted(failures)
        if others:
            names = ", ".join(name(jobs[number]) for number in others[:10]) + ", ..." * (len(others) > 10)
            failures[first].add_note(f"{len(others)} more of {len(jobs)} failed: {names}")
        raise failures[first]


def _here(work: Callable[[J], R], jobs: Sequence[J], waiting: deque[int]) -> Outcomes[R]:
    """Do the jobs that wait in this process, in order."""
    while waiting:
        number = waiting.popleft()
        try:
            outcome: R | _Failed = work(jobs[number])
        except Exception as error:
            outcome = _Failed(error)
        yield number, outcome


def _on_processes(work: Callable[[J], R], jobs: Sequence[J], waiting: deque[int], workers: int) -> Outcomes[R]:
    """Do the jobs that wait, and those put back meanwhile, on processes of this machine.

    Each worker is a pool of one with one job at a time: when it dies, it is clear whose fault it was, and nobody else
    has to start again. Workers are spawned, since the threads of torch and polars do not survive a fork.
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
                    except BrokenProcessPool:  # killed by its last job, or while it had none
                        worker = hire()
                        future = worker.submit(_attempt, work, jobs[number])
                    busy[future] = number, worker
                future = wait(busy, return_when=FIRST_COMPLETED).done.pop()
                number, worker = busy.pop(future)
                error = future.exception()
                idle.append(worker)
                yield number, future.result() if error is None else _Failed(error, isinstance(error, BrokenProcessPool))
        except BaseException:
            held.close()  # whoever is still at work ends now, and is not waited for
            raise


def _prepare_worker(watched: Connection, threads: int) -> None:
    """Make a spawned process leave Ctrl-C to its parent, end with it, and take its share of the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(watched,), daemon=True).start()
    for variable in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(variable, str(threads))


def _end_with_parent(watched: Connection) -> None:
    with suppress(EOFError, OSError):
        watched.recv()  # nothing is ever sent: this returns when the other end is closed, by the parent or its death
    os._exit(1)


def _attempt(work: Callable[[J], R], job: J) -> R | _Failed:
    """Do one job in a worker; what it raises comes back as a value that can be pickled."""
    try:
        return work(job)
    except Exception as error:
        failure: Exception = error
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # pickling runs the error's own code, which can raise anything; its words still come back
            failure = RuntimeError(f"{type(error).__name__}: {error}")
        return _Failed(failure, trace=traceback.format_exc())


def _on_ray(work: Callable[[J], R], jobs: Sequence[J], waiting: deque[int], address: str, workers: int) -> Outcomes[R]:
    """Do the jobs that wait, and those put back meanwhile, on a Ray cluster."""
    with ray_cluster(address, workers) as ray:
        lost = ray.exceptions
        deaths = (lost.WorkerCrashedError, lost.NodeDiedError, lost.OutOfMemoryError, lost.ObjectLostError)
        # Ray would begin a job that fills the memory again for ever; here, one rule counts for processes and clusters.
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
                except lost.RayTaskError as error:  # the result cannot travel, or the worker has no such module
                    outcome = _Failed(error.cause)
                yield number, outcome
        finally:
            with suppress(lost.RayError):  # what has ended, or a cluster that is gone
                for reference in busy:
                    ray.cancel(reference, force=True)


@contextmanager
def ray_cluster(address: str, workers: int) -> Iterator[Any]:
    """The module `ray`, connected to a cluster as `run_jobs` says; one connected before stays so, any other is left.

    Raises:
        ValueError: Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # else deaths of workers are printed on standard output
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise ValueError("Work on a Ray cluster needs the extra: pip install 'medalist[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    start = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        place = urlsplit(address if "://" in address else f"//{address}")
        if place.port:  # Ray itself would try for minutes
            socket.create_connection((place.hostname, place.port), timeout=10).close()
        ray.init(address, log_to_driver=False, logging_level="error", **start)
    except (OSError, ValueError) as error:
        advice = "start one with `ray start --head`, set RAY_AUTH_MODE=token if it wants a token, or name local"
        raise ValueError(f'No Ray cluster at "{address}" ({error}): {advice}') from None
    try:
        yield ray
    finally:
        ray.shutdown()
