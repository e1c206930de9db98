"""Files of notes, killed and resumed: `medalist expand`, stopped by SIGKILL at random, must end with the same bytes.

The notes are those of the development half of the embedded clinical notes over and over, each with an id of its own,
cut between sentences into pieces of some 250 characters; with `--tiny`, which is for many notes, into sentences.
One process reads them all, unbroken; then others write a second file, and each is killed at a random moment but the
last, which ends it. Both files must be equal, byte for byte. The first notes are also read by one call each, whose
answers must be those of the file.

    python benchmarks/kills.py --tiny --notes 20000     # a random Llama of two layers
    python benchmarks/kills.py --notes 200 --folder F   # the reader; stopped, it goes on with the next part of it

Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import torch
from common import clinical_texts, count_option, machine, progress, table, timed
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medalist.expansion.expander import Expander
from medalist.recipe import parse_recipe
from medalist.runs.train import train

PIECE = 250
"""Characters after which a note is cut for the reader."""


def write_notes(path: Path, source: list[str], count: int) -> None:
    """Write texts over and over, with distinct ids, as JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(islice(cycle(source), count)):
            file.write(json.dumps({"id": f"n{number:06d}", "text": text}) + "\n")


def tiny_run(folder: Path) -> Path:
    """A run of a random Llama of two layers with 1,000 tokens, tuned for two steps on the sample corpus."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(clinical_texts(1), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    values = {"name": "tiny", "output": str(folder / "runs"), "model": {"base": str(folder / "model")}}
    return train(parse_recipe(values, ["training.max_steps=2", "data.validation=0.02"])).folder


def finished(out: Path) -> int:
    """Shards of a result that are finished."""
    return len(list(out.with_name(f".{out.name}.work").glob("[0-9]*.jsonl")))


def expand(run: Path | None, notes: Path, out: Path, seconds: float | None) -> tuple[bool, float]:
    """Run `medalist expand`, killed after some seconds if they are given: whether it ended, and after how long."""
    command = [sys.executable, "-m", "medalist", "expand", *([str(run)] if run else []), str(notes), "--out", str(out)]
    began = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False, time.monotonic() - began
    finally:  # whatever ends this script, its child and that one's workers end too
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode:
        sys.exit(said)
    return True, time.monotonic() - began


def whole(run: Path | None, notes: Path, folder: Path) -> float:
    """Write `whole.jsonl` in one process; its seconds."""
    out, kept = folder / "whole.jsonl", folder / "whole.json"
    if not kept.exists():
        _, seconds = expand(run, notes, out, None)
        kept.write_text(json.dumps(seconds))
    return float(json.loads(kept.read_text()))


def broken(run: Path | None, notes: Path, folder: Path, kills: int, longest: float) -> list[tuple[float, int]]:
    """Write `broken.jsonl`, killed `kills` times, each time within `longest` seconds; seconds and shards of each."""
    out, kept = folder / "broken.jsonl", folder / "broken.json"
    rows: list[tuple[float, int]] = json.loads(kept.read_text()) if kept.exists() else []
    draw = random.Random(len(rows))
    while not out.exists():
        ended, seconds = expand(run, notes, out, draw.uniform(0, longest) if len(rows) < kills else None)
        rows.append((seconds, finished(out)))
        kept.write_text(json.dumps(rows))
        progress(f"{'ended' if ended else 'killed'} after {seconds:.1f} s, {rows[-1][1]} shards finished")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, help="a run's folder (default: the reader)")
    parser.add_argument("--tiny", action="store_true", help="a random Llama of two layers instead")
    parser.add_argument("--folder", type=Path, help="where the results are kept; called again, it goes on")
    count_option(parser, "--notes", 200, "how many notes")
    count_option(parser, "--kills", 5, "how many kills")
    count_option(parser, "--alone", 20, "how many notes to read by one call each")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # as an exception, so that `finally` runs
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        notes, source = folder / "notes.jsonl", clinical_texts(1 if options.tiny else PIECE)
        if not notes.exists():
            write_notes(notes, source, options.notes)
        run = options.run
        if options.tiny:
            run = folder / "runs/tiny"
            if not (run / "recipe.yaml").exists():
                tiny_run(folder)
        unbroken = whole(run, notes, folder)
        progress(f"unbroken: {unbroken:.1f} s")
        rows = broken(run, notes, folder, options.kills, unbroken / 3)
        same = (folder / "whole.jsonl").read_bytes() == (folder / "broken.jsonl").read_bytes()
        with (folder / "whole.jsonl").open(encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        expander = Expander.load(run)
        first = source[: options.alone]
        alone, answers = timed(lambda: [expander(text) for text in first])
    differ = sum(
        [(one["start"], one["long_form"], one["evidence"]) for one in record["expansions"]]
        != [(one.start, one.long_form, one.evidence) for one in answer]
        for record, answer in zip(records, answers, strict=False)
    )
    found = [len(record["expansions"]) for record in records]
    model = "a random Llama of two layers" if options.tiny else options.run or "the reader"
    print(f"## Files, killed and resumed\n\n{machine()}\n")
    print(f"`medalist expand` with {model}, {len(records):,} notes, {sum(found):,} short forms.\n")
    print(table(["process", "seconds", "shards finished"], [["unbroken", unbroken, "all"], *_named(rows)]))
    print(
        f"\nBoth files have {'the same bytes' if same else 'OTHER BYTES'}. Killed: {sum(s for s, _ in rows):.0f} s "
        f"together, unbroken: {unbroken:.0f} s. Short forms per second: {sum(found) / unbroken:.1f} from the file, "
        f"loading included, {sum(map(len, answers)) / alone:.1f} by one call for each of {len(first)} notes, the model "
        f"loaded before; of these, {differ} got other answers than in the file."
    )
    if not same or differ:
        sys.exit("Not as it must be: see above")


def _named(rows: list[tuple[float, int]]) -> list[list[object]]:
    killed = [[f"killed, {number}", seconds, shards] for number, (seconds, shards) in enumerate(rows[:-1], 1)]
    return [*killed, ["the last", rows[-1][0], "all"]]


if __name__ == "__main__":
    main()
