"""Lets a model that was loaded in one process compute in those that are forked from it."""

from __future__ import annotations

import os
from functools import cache, partial

import torch


@cache
def compute_in_forks() -> None:
    """From now on, a forked process computes on one thread: more would wait for those that only its parent has."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
