from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import medalist
import piecework
from medalist.tools.parallel import ray_cluster, run_jobs
from piecework import begun, complain, environment, fill, interrupted, square, task

PLACES = {"here": {"workers": 1}, "processes": {"workers": 2}, "ray": {"workers": 2, "ray": "local"}}
FOLDERS = os.pathsep.join(
    str(Path(file).resolve().parent) for file in (piecework.__file__, Path(medalist.__file__).parent)
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", FOLDERS)
        with ray_cluster("local", 2) as ray:
            yield
        assert not ray.is_initialized()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return PLACES[request.param]


elsewhere = pytest.mark.parametrize("place", ["processes", "ray"], indirect=True)


def done(folder: Path) -> set[str]:
    return {file.stem for file in folder.glob("*.done")}


def ends(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_results_are_the_same_everywhere(place, tmp_path):
    found = run_jobs(partial(square, folder=tmp_path), range(7), **place)
    assert {number: result for number, (result, _) in found} == {n: n**2 for n in range(7)}
    assert done(tmp_path) == set("0123456")


def test_one_worker_is_this_process_in_order(tmp_path):
    found = list(run_jobs(partial(square, folder=tmp_path), [3, 1, 2], workers=1))
    assert found == [(0, (9, os.getpid())), (1, (1, os.getpid())), (2, (4, os.getpid()))]


@elsewhere
def test_two_workers_are_two_other_processes_at_once(place, tmp_path):
    found = list(run_jobs(partial(square, folder=tmp_path, together=2), range(2), **place))
    pids = {pid for _, (_, pid) in found}
    assert len(pids) == 2 and os.getpid() not in pids


@elsewhere
def test_only_a_cluster_runs_ray_tasks(place):
    tasks = dict(run_jobs(task, range(2), **place))
    assert len(set(tasks.values())) == 2 if "ray" in place else set(tasks.values()) == {None}


@elsewhere
def test_the_job_of_a_killed_worker_is_done_again_and_no_other(place, tmp_path):
    found = list(run_jobs(partial(square, folder=tmp_path, fatal=2, deaths=1), range(5), **place))
    assert sorted((number, result) for number, (result, _) in found) == [(n, n**2) for n in range(5)]
    killed, again = begun(tmp_path, 2)
    assert killed != again and os.getpid() not in (killed, again)
    assert dict(found)[2] == (4, again)
    assert ends(killed)
    assert all(len(begun(tmp_path, number)) == 1 for number in (0, 1, 3, 4))


@elsewhere
def test_a_job_that_always_kills_its_worker_ends_in_one_line(place, tmp_path, capsys):
    work = partial(square, folder=tmp_path, fatal=3, deaths=99)
    with pytest.raises(RuntimeError, match=r"^job 3 \(file 3\) killed its worker 3 times; did it run out of memory\?$"):
        list(run_jobs(work, range(5), name="file {}".format, **place))
    assert len(set(begun(tmp_path, 3))) == len(begun(tmp_path, 3)) == 3
    assert done(tmp_path) == set("0124")
    time.sleep(1.5 * ("ray" in place))  # Ray reports deaths from a thread
    assert not capsys.readouterr().out


def test_retries_may_be_none(tmp_path):
    work = partial(square, folder=tmp_path, fatal=0, deaths=1)
    with pytest.raises(RuntimeError, match="killed its worker 1 time;"):
        list(run_jobs(work, [0], workers=2, retries=0))


def test_an_error_comes_through_when_the_other_jobs_are_done(place, tmp_path):
    with pytest.raises(ValueError, match=r"^2 is refused$") as caught:
        list(run_jobs(partial(square, folder=tmp_path, refused=(2,)), range(5), **place))
    assert type(caught.value) is ValueError and caught.value.args == ("2 is refused",)
    assert done(tmp_path) == set("01234")


def test_of_several_errors_the_first_is_raised_with_a_note_on_the_others(place, tmp_path, capsys):
    found = {}
    with pytest.raises(ValueError, match=r"^1 is refused") as caught:
        found.update(run_jobs(partial(square, folder=tmp_path, refused=(4, 1, 3)), range(5), **place))
    assert {number: result for number, (result, _) in found.items()} == {0: 0, 2: 4}
    assert caught.value.__notes__ == ["2 more of 5 failed: 3, 4"]
    assert capsys.readouterr().err.rstrip().endswith("3 failed")


def test_progress_counts_what_the_jobs_hold(tmp_path, capsys):
    list(run_jobs(partial(square, folder=tmp_path), range(3), label="Notes", sizes=[8, 8, 2]))
    assert "Notes: 18/18" in capsys.readouterr().err


def test_nothing_more_is_begun_once_a_disk_is_full():
    found = run_jobs(fill, range(5))
    assert next(found) == (0, 0)
    with pytest.raises(OSError, match="full"):
        next(found)


@elsewhere
def test_an_error_that_cannot_travel_keeps_its_words_and_traceback(place):
    with pytest.raises(RuntimeError, match=r"^Unpicklable: 0 is odd$") as caught:
        list(run_jobs(complain, range(1), **place))
    assert "in complain" in str(caught.value.__cause__)


@elsewhere
def test_whoever_stops_early_leaves_nothing_running(place, tmp_path):
    running = run_jobs(partial(square, folder=tmp_path, together=2, slow=1), range(4), **place)
    assert next(running)[0] != 1
    pid = int((tmp_path / "1.done").read_text())
    os.kill(pid, 0)  # it runs
    running.close()
    assert ends(pid)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_stopping_the_program_stops_its_workers(stop, tmp_path):
    code = f"""
from functools import partial
from pathlib import Path
from medalist.tools.parallel import run_jobs
from piecework import square
list(run_jobs(partial(square, folder=Path({str(tmp_path)!r}), together=2, slow=1), range(2), workers=2))
"""
    program = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": FOLDERS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    until = time.monotonic() + 60
    while len(done(tmp_path)) < 2:
        assert time.monotonic() < until and program.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)  # until the first worker is idle and the second is not
    if stop == signal.SIGINT:
        os.killpg(program.pid, stop)  # as the terminal does on Ctrl-C: the workers get it too
    else:
        program.kill()
    _, errors = program.communicate(timeout=15)  # until nobody holds the pipes any more, workers included
    assert program.returncode == -stop
    assert done(tmp_path) == set("01")
    assert errors.count("Traceback") == (stop == signal.SIGINT)


def test_workers_leave_ctrl_c_to_their_parent():
    assert dict(run_jobs(interrupted, range(2), workers=2)) == {0: True, 1: True}


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("POLARS_MAX_THREADS", "3")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    found = dict(run_jobs(environment, ["OMP_NUM_THREADS", "POLARS_MAX_THREADS"], workers=2))
    assert found == {0: "4", 1: "3"}


def test_an_idle_worker_that_was_killed_is_replaced(tmp_path):
    running = run_jobs(partial(square, folder=tmp_path), range(6), workers=2)
    first, (_, pid) = next(running)
    os.kill(pid, signal.SIGKILL)
    assert ends(pid)
    time.sleep(0.2)  # until the pool knows
    found = dict(running)
    assert {first, *found} == set(range(6)) and pid not in {other for _, other in found.values()}


def test_without_ray_the_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'medalist\[ray\]'$"):
        list(run_jobs(str, [1], ray="auto"))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:port", "nonsense"])
def test_a_cluster_that_does_not_answer_is_one_line(monkeypatch, address):
    import ray  # a development dependency: without it this fails

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ValueError, match=rf'^No Ray cluster at "{address}" \(.*\): start one with'):
        list(run_jobs(str, [1], ray=address))


def test_nothing_to_do_starts_nothing():
    assert list(run_jobs(str, [], workers=4)) == list(run_jobs(str, [], ray="127.0.0.1:1")) == []


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"retries": -1}])
def test_wrong_counts_are_refused(wrong):
    with pytest.raises(ValueError, match="it must be at least"):
        list(run_jobs(str, [1], **wrong))
