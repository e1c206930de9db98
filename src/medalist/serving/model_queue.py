"""The queue before the model: several clients' requests are expanded in one pass, in the thread that owns the model.

No request waits for others to arrive: a pass takes what came in during the previous one. What else is in a pass changes
no answer (law 8).
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice

from ..expansion.expander import Expander
from ..expansion.options import Unsure
from ..expansion.results import ExpandedText
from .interface import Limits, answer_json
from .metrics import Metrics
from .quiet import described, logger


class QueueFull(Exception):
    """Too many requests are waiting.

    Args:
        seconds: the time after which to retry.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__("Too much is waiting")
        self.seconds = seconds


class ExpansionFailed(Exception):
    """The expander failed on a request; the log has the details."""


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class _Waiting:
    """One request."""

    texts: list[str]
    replace: Unsure | None
    answer: Future[bytes] = field(default_factory=Future)

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))


class ModelQueue:
    """Accepts requests from the event loop and answers them in its own thread.

    Args:
        expander: used only by that thread once it has started.
        limits: how much may wait, and how much goes into one pass.
        metrics: the counters to update.
    """

    def __init__(self, expander: Expander, limits: Limits, metrics: Metrics) -> None:
        self._expander, self._limits, self._metrics = expander, limits, metrics
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._characters_per_second = 2000.0  # an initial estimate, used only for `Retry-After`
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        metrics.waiting.set_function(lambda: len(self._waiting))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def close(self, timeout: float | None = None) -> None:
        """Answer what is waiting, then end the thread; returns after `timeout` seconds even during a pass."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)

    async def expand(self, texts: list[str], replace: Unsure | None = None) -> bytes:
        """The response body for some texts; a request whose task is cancelled before its turn is not read.

        Raises:
            QueueFull: too many requests are waiting.
            ExpansionFailed: the expander failed on these texts.
        """
        one = _Waiting(texts=texts, replace=replace)
        with self._changed:
            characters = sum(other.characters for other in self._waiting)
            if self._waiting and (
                len(self._waiting) >= self._limits.waiting
                or characters + one.characters > self._limits.waiting_characters
            ):
                raise QueueFull(min(60, math.ceil(characters / self._characters_per_second) or 1))
            self._waiting.append(one)
            self._changed.notify()
        try:
            return await asyncio.wrap_future(one.answer)
        finally:
            self._withdraw(one)

    def _withdraw(self, one: _Waiting) -> None:
        with self._changed:
            if one in self._waiting:
                self._waiting.remove(one)

    def _run(self) -> None:
        while batch := self._next_pass():
            taken = [one for one in batch if one.answer.set_running_or_notify_cancel()]
            if taken:
                self._expand(taken)

    def _next_pass(self) -> list[_Waiting]:
        """The first waiting request, with those after it that fit into the same pass; empty after `close`."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            batch: list[_Waiting] = []
            characters = 0
            while self._waiting:
                characters += self._waiting[0].characters
                if batch and characters > self._limits.pass_characters:
                    break
                batch.append(self._waiting.popleft())
            return batch

    def _expand(self, batch: list[_Waiting]) -> None:
        began = time.perf_counter()
        try:
            expanded = self._expander([text for one in batch for text in one.texts])
            rest = iter(expanded)
            answers = [answer_json(list(islice(rest, len(one.texts))), one.replace) for one in batch]
        except BaseException as error:  # library panics too; other requests are still answered
            logger.error("A pass with %d requests failed: %s", len(batch), described(error))
            if len(batch) > 1:
                for one in batch:
                    self._expand([one])
            else:
                self._metrics.failures.inc()
                batch[0].answer.set_exception(ExpansionFailed())
            return
        seconds = time.perf_counter() - began
        self._metrics.model_seconds.inc(seconds)
        self._metrics.passes.observe(sum(len(one.texts) for one in batch))
        rate = sum(one.characters for one in batch) / max(seconds, 1e-3)
        self._count(expanded)
        self._characters_per_second += 0.2 * (max(rate, 1.0) - self._characters_per_second)
        for one, answer in zip(batch, answers, strict=True):
            one.answer.set_result(answer)

    def _count(self, expanded: Sequence[ExpandedText]) -> None:
        self._metrics.texts.inc(len(expanded))
        self._metrics.characters.inc(sum(len(one.text) for one in expanded))
        for one in expanded:
            for expansion in one:
                self._metrics.short_forms.labels(expansion.evidence).inc()
