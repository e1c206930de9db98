"""How long commands take from start to end, each in a process of its own, and what transformers and peft take alone.

    python benchmarks/starting.py                    # of this checkout
    python benchmarks/starting.py --against ../old   # and of another one, in turn, with the same answers

All commands run in turn, so that a busy machine is as busy for each. Times are medians of
wall-clock seconds; processor seconds are those of both cores together, and depend less on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import count_option, machine, progress, table, timed

HERE = Path(__file__).parents[1]
TEXT = "Pt with RA, SpO2 93% on RA."
HELP, EXPAND = ("-m", "medalist", "--help"), ("-m", "medalist", "expand", TEXT, "--json")
LOADING = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
base, adapter = sys.argv[1:]
AutoTokenizer.from_pretrained(base)
PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter).merge_and_unload()
"""


def run(arguments: tuple[str, ...], checkout: Path) -> tuple[float, float, str]:
    """Seconds and processor seconds that a Python process of a checkout takes, and what it prints."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    command = [sys.executable, *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, done = timed(lambda: subprocess.run(command, env=environment, capture_output=True, text=True, check=True))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def probabilities(printed: str) -> dict[tuple[int, str], float]:
    """Where a short form begins and a long form -> probability."""
    expansions: list[dict[str, Any]] = json.loads(printed)["expansions"]
    return {
        (one["start"], other["long_form"]): other["probability"] for one in expansions for other in one["alternatives"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    count_option(parser, "--repeats", 7, "how often each command runs; once more before, to warm up")
    parser.add_argument("--against", type=Path, help="the root of another checkout")
    options = parser.parse_args()
    from medalist.data.embedded.reader import ADAPTER
    from medalist.models.base import EMBEDDED, find_base

    folder, _ = find_base(EMBEDDED)
    commands = {
        "medalist --help": (HELP, HERE),
        'medalist expand "..."': (EXPAND, HERE),
        "import torch": (("-c", "import torch"), HERE),
        "transformers and peft load the same": (("-c", LOADING, str(folder), str(ADAPTER)), HERE),
    }
    if options.against:
        commands |= {
            "medalist --help, the other checkout": (HELP, options.against),
            'medalist expand "...", the other checkout': (EXPAND, options.against),
        }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    worked: dict[str, list[float]] = {name: [] for name in commands}
    printed = {}
    for repeat in range(options.repeats + 1):
        progress(f"Round {repeat} of {options.repeats}")
        for name, (arguments, checkout) in commands.items():
            seconds, processor, printed[name] = run(arguments, checkout)
            if repeat:
                taken[name].append(seconds)
                worked[name].append(processor)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    work = {name: statistics.median(seconds) for name, seconds in worked.items()}
    ours = medians['medalist expand "..."']
    print(f"## Starting\n\n{machine()}, load {os.getloadavg()[0]:.1f}\n")
    print(
        table(
            ["command", "seconds", "fastest", "times medalist expand", "processor seconds"],
            [[name, medians[name], min(taken[name]), medians[name] / ours, work[name]] for name in commands],
        )
    )
    if options.against:
        one, other = (probabilities(printed[name]) for name in printed if "expand" in name)
        if one.keys() != other.keys():
            raise SystemExit("The two checkouts give other answers")
        apart = max(abs(one[key] - other[key]) for key in one)
        print(f"\nThe answers are the same; probabilities differ by at most {apart:.1e}.")


if __name__ == "__main__":
    main()
