"""Starts commands on two processes, as `torchrun` and `accelerate launch` do."""

from __future__ import annotations

import os
import subprocess
import sys

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node=2")
# --multi_gpu is what makes accelerate start several processes on a machine without GPUs, too
ACCELERATE = (
    "accelerate.commands.accelerate_cli",
    "launch",
    "--multi_gpu",
    "--num_processes=2",
    "--main_process_port=0",
)


def launch(*arguments: object, by: tuple[str, ...] = TORCHRUN) -> subprocess.CompletedProcess[str]:
    """Run a script, or with `-m` a module, on two processes of one thread each; fails if that hangs."""
    command = [sys.executable, "-m", *by, *map(str, arguments)]
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        out, err = started.communicate(timeout=900)
    except subprocess.TimeoutExpired:
        started.terminate()  # the launcher ends its processes with it; killed, it would leave them behind
        out, err = started.communicate()
        raise AssertionError(f"{command} hung: {err[-3000:]}") from None
    return subprocess.CompletedProcess(command, started.returncode, out, err)
