"""Lets forked processes compute with a model that their parent loaded."""

from __future__ import annotations

import os
from functools import cache, partial

import torch


@cache
def compute_in_forks() -> None:
    """Limit forked processes to one thread; with more they wait forever for threads that only their parent has."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
