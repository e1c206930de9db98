"""The queue before the model: passes, bounds, clients that leave, and the end."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from dataclasses import dataclass, field

import pytest

from medalist.expansion.results import ExpandedText, Expansion
from medalist.serving.interface import Limits
from medalist.serving.metrics import Metrics
from medalist.serving.model_queue import ExpansionFailed, ModelQueue, QueueFull


@dataclass
class Reader:
    """In the place of an expander: notes what it is asked, and waits for `go`; fails on a text that holds "bad"."""

    passes: list[list[str]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    began: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    failure: type[BaseException] = ValueError

    def __call__(self, texts):
        self.passes.append(list(texts))
        self.threads.add(threading.current_thread().name)
        self.began.set()
        assert self.go.wait(10)
        if any("bad" in text for text in texts):
            raise self.failure(f"cannot read {texts}")
        return [ExpandedText(text=text, expansions=(found(text),)) for text in texts]


def found(text):
    return Expansion(
        start=0,
        end=len(text),
        short_form=text,
        key=text,
        long_form=None,
        probability=1.0,
        alternatives=(),
        evidence="unlisted",
        sure=False,
    )


def short_forms(answer):
    return [[one["short_form"] for one in result["expansions"]] for result in json.loads(answer)["results"]]


async def once_reading(reader):
    await asyncio.to_thread(reader.began.wait, 10)


async def waiting(metrics, count):
    """Return once so many requests wait."""
    while metrics.registry.get_sample_value("medalist_waiting_requests") != count:
        await asyncio.sleep(0.001)


def with_queue(story, **limits):
    """Run an asynchronous story with a queue, its reader and its metrics."""
    reader, metrics = Reader(), Metrics()
    queue = ModelQueue(reader, Limits(**limits), metrics)
    queue.start()
    try:
        asyncio.run(asyncio.wait_for(story(queue, reader, metrics), 30))
    finally:
        reader.go.set()
        queue.close()
    assert not queue.alive
    return reader, metrics


def test_what_several_clients_ask_is_read_in_one_pass_by_one_thread_and_each_gets_its_own():
    async def story(queue, reader, metrics):
        first = asyncio.create_task(queue.expand(["A"]))
        await once_reading(reader)
        others = [asyncio.create_task(queue.expand(texts)) for texts in (["B", "C"], [], ["D"])]
        await waiting(metrics, 3)
        reader.go.set()
        assert short_forms(await first) == [["A"]]
        assert [short_forms(await other) for other in others] == [[["B"], ["C"]], [], [["D"]]]

    reader, metrics = with_queue(story)
    assert reader.passes == [["A"], ["B", "C", "D"]]
    assert reader.threads == {"model"}
    assert metrics.registry.get_sample_value("medalist_texts_total") == 4


def test_a_pass_takes_whole_requests_up_to_its_size_and_one_that_is_larger_alone():
    async def story(queue, reader, metrics):
        tasks = [asyncio.create_task(queue.expand(["A"]))]
        await once_reading(reader)
        for texts in (["12345", "12345"], ["123"], ["1234567890", "1234567890"], ["1"]):
            tasks.append(asyncio.create_task(queue.expand(texts)))
        await waiting(metrics, 4)
        reader.go.set()
        await asyncio.gather(*tasks)

    reader, _ = with_queue(story, pass_characters=14)
    assert [len("".join(texts)) for texts in reader.passes] == [1, 13, 20, 1]


@pytest.mark.parametrize("limits", [{"waiting": 2}, {"waiting_characters": 10}])
def test_a_full_queue_refuses_and_says_when_to_try_again(limits):
    async def story(queue, reader, metrics):
        first = asyncio.create_task(queue.expand(["A"]))
        await once_reading(reader)
        taken = [asyncio.create_task(queue.expand(["12345"])) for _ in range(2)]
        await waiting(metrics, 2)
        with pytest.raises(QueueFull) as full:
            await queue.expand(["1"])
        assert 1 <= full.value.seconds <= 60
        reader.go.set()
        await asyncio.gather(first, *taken)
        assert short_forms(await queue.expand(["1"])) == [["1"]]

    with_queue(story, **limits)


def test_a_request_longer_than_the_queue_is_taken_when_nobody_waits():
    async def story(queue, reader, _):
        reader.go.set()
        assert short_forms(await queue.expand(["12345678901"])) == [["12345678901"]]

    with_queue(story, waiting_characters=10)


def test_a_client_that_leaves_before_its_turn_is_never_read_and_makes_room_at_once():
    async def story(queue, reader, metrics):
        first = asyncio.create_task(queue.expand(["A"]))
        await once_reading(reader)
        gone = asyncio.create_task(queue.expand(["gone"]))
        await waiting(metrics, 1)
        gone.cancel()
        await waiting(metrics, 0)
        other = asyncio.create_task(queue.expand(["B"]))
        await waiting(metrics, 1)
        reader.go.set()
        await asyncio.gather(first, other)

    reader, _ = with_queue(story, waiting=1)
    assert reader.passes == [["A"], ["B"]]


def test_a_client_that_leaves_during_its_pass_harms_nobody():
    async def story(queue, reader, _):
        first = asyncio.create_task(queue.expand(["A"]))
        await once_reading(reader)
        first.cancel()
        reader.go.set()
        assert short_forms(await queue.expand(["B"])) == [["B"]]

    with_queue(story)


class PanicError(BaseException):
    """As libraries in Rust raise: no `Exception`."""


@pytest.mark.parametrize("failure", [ValueError, PanicError])
def test_when_a_pass_fails_each_request_is_tried_alone_and_the_log_does_not_quote_it(caplog, failure):
    async def story(queue, reader, metrics):
        reader.failure = failure
        first = asyncio.create_task(queue.expand(["A"]))
        await once_reading(reader)
        others = [asyncio.create_task(queue.expand(texts)) for texts in (["B"], ["bad secretphrase"], ["C"])]
        await waiting(metrics, 3)
        reader.go.set()
        await first
        good, failed, last = await asyncio.gather(*others, return_exceptions=True)
        assert (short_forms(good), short_forms(last)) == ([["B"]], [["C"]])
        assert isinstance(failed, ExpansionFailed)
        assert queue.alive

    with caplog.at_level(logging.DEBUG):
        _, metrics = with_queue(story)
    assert f"{failure.__name__} at test_model_queue.py:" in caplog.text
    assert "secretphrase" not in caplog.text
    assert metrics.registry.get_sample_value("medalist_texts_total") == 3
    assert metrics.registry.get_sample_value("medalist_failures_total") == 1


def test_closing_answers_what_waits_before_the_thread_ends():
    async def story(queue, reader, metrics):
        tasks = [asyncio.create_task(queue.expand(["A"]))]
        await once_reading(reader)
        tasks.append(asyncio.create_task(queue.expand(["B"])))
        await waiting(metrics, 1)
        closing = asyncio.create_task(asyncio.to_thread(queue.close))
        await asyncio.sleep(0.01)
        reader.go.set()
        assert [short_forms(answer) for answer in await asyncio.gather(*tasks)] == [[["A"]], [["B"]]]
        await closing
        assert not queue.alive

    with_queue(story)


@pytest.mark.parametrize("limits", [{"characters": 0}, {"waiting": 0}])
def test_limits_that_let_nothing_through_are_refused(limits):
    with pytest.raises(ValueError, match="must be at least 1"):
        Limits(**limits)
