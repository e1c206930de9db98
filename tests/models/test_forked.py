from __future__ import annotations

import multiprocessing

import pytest
import torch

from medalist.data.inventory import Inventory
from medalist.expansion.expander import Expander


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_a_forked_process_reads_with_the_model_that_its_parent_loaded_and_used_with_threads(loaded):
    senses = [("RA", "rheumatoid arthritis", 0, None), ("RA", "room air", 0, None)]
    expander = Expander(loaded, Inventory.of(senses))
    torch.set_num_threads(2)
    try:
        expander("The patient has RA and a wide (RA). " * 40)
        child = multiprocessing.get_context("fork").Process(target=expander, args=("The patient has RA. " * 40,))
        child.start()
        child.join(30)
    finally:
        torch.set_num_threads(1)
        child.kill()
    assert child.exitcode == 0, "it waits for threads that only its parent has"
