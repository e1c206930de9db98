from __future__ import annotations

import pytest

from medalist.tools import retrying as module
from medalist.tools.retrying import named_error, retrying


@pytest.fixture
def waited(monkeypatch):
    """The seconds between tries, which no test spends."""
    seconds = []
    monkeypatch.setattr(module.time, "sleep", seconds.append)
    return seconds


def failing(*errors, result="done"):
    """A function that raises each of the errors in turn, then returns."""
    left = list(errors)

    def attempt():
        if left:
            raise left.pop(0)
        return result

    return attempt


def transient(error):
    return "busy" if isinstance(error, OSError) else None


def test_a_transient_error_is_tried_again_after_each_wait(waited, capsys):
    assert retrying(failing(OSError(), OSError()), waits=(1, 3), transient=transient) == "done"
    assert waited == [1, 3]
    assert capsys.readouterr().err.splitlines() == ["busy; retrying in 1 s", "busy; retrying in 3 s"]


def test_the_last_error_is_raised_when_no_try_is_left(waited):
    last = OSError("third")
    with pytest.raises(OSError, match="third"):
        retrying(failing(OSError(), OSError(), last), waits=(1, 3), transient=transient)
    assert waited == [1, 3]


def test_what_does_not_pass_is_raised_at_once(waited):
    with pytest.raises(KeyError):
        retrying(failing(KeyError()), waits=(1, 3), transient=transient)
    assert not waited


def test_tries_that_come_further_do_not_count(waited):
    positions = iter([0, 5, 5, 9, 9, 9])
    attempt = failing(*[OSError() for _ in range(4)])
    assert retrying(attempt, waits=(1, 3), transient=transient, reached=lambda: next(positions)) == "done"
    assert waited == [1, 3, 1, 3]


def test_an_error_is_named_in_one_line():
    assert named_error(ValueError("first\nsecond")) == "ValueError: first"
    assert named_error(TimeoutError()) == "TimeoutError"
