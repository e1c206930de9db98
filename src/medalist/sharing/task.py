"""Writes the questions that a run is evaluated on as a task for lm-eval, EleutherAI's evaluation harness.

lm-eval scores each candidate as a separate text and chooses the likeliest, as Medalist does with trees. It tokenizes
the whole text at once; if the tokens equal Medalist's, which is counted here, so do the scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.inventory import Inventory
from ..data.passages import Passage, fingerprint
from ..models.base import find_base
from ..models.load import longest_sequence
from ..runs.held_out import OWN_TEST, HeldOut, held_out
from ..runs.run import Run
from ..tools.files import check_place, writing_folder
from ..tools.progress import tracking
from ..trees.prompt import Encoder, Question

TASK = "medalist"
"""The task's name: `lm_eval --tasks medalist`."""

_YAML = """\
# lm_eval --include_path THIS_FOLDER --tasks {task} --model hf --model_args pretrained=MODEL
#
# {count:,} questions. acc is the share whose gold answer has the highest summed log-probability, which
# `medalist evaluate` calls accuracy. The candidates include their leading space and end of line, so the
# target delimiter is empty.
task: {task}
custom_dataset: !function questions.load
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: candidates
doc_to_target: gold
target_delimiter: ""
num_fewshot: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
  fingerprint: {fingerprint}
"""

_READER = '''\
"""Loads the questions stored beside this file, so that the folder can be moved; called by lm-eval."""

import json
from pathlib import Path

from datasets import Dataset


def load(**_):
    with Path(__file__).with_name("questions.jsonl").open(encoding="utf-8") as file:
        return {"test": Dataset.from_list([json.loads(line) for line in file])}
'''


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCounts:
    """What a task contains and leaves out."""

    questions: int
    """Questions that count towards the accuracy of `medalist evaluate`: gold listed among at least two candidates."""
    no_choice: int
    """Mentions left out because there is no choice or the gold is not listed."""
    dropped: int
    """Mentions that do not fit into the model's window."""
    encoded_otherwise: int
    """Questions that lm-eval, which encodes the whole text at once, tokenizes differently from Medalist."""


def write_task(run: Run, folder: Path, on: HeldOut = OWN_TEST) -> TaskCounts:
    """Write a folder for `lm_eval --include_path FOLDER --tasks medalist`: the task and its questions with their text.

    Args:
        run: its prompt settings word the questions, and its tokenizer divides long passages into windows.
        folder: the folder to create.
        on: the marked passages to ask about.

    Raises:
        FileExistsError: the folder exists.
        ValueError: no mention has a listed gold answer and a second candidate.
    """
    check_place(folder, folder=True)
    from transformers import AutoConfig, AutoTokenizer  # slow to import

    held = held_out(run, on)
    if held.quizzes:
        raise ValueError("A task needs marked passages, but these are choice questions: name passages with --data")
    base, _ = find_base(run.base.source, run.base.revision)
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    longest = longest_sequence(AutoConfig.from_pretrained(base, trust_remote_code=False))
    encoder = Encoder(tokenizer, run.recipe.prompt, max_depth=longest)
    with writing_folder(folder, new=True) as begun:
        count = other = 0
        with (begun / "questions.jsonl").open("w", encoding="utf-8") as file:
            for text, question, record in task_questions(held.passages, held.inventory, encoder):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
                other += not encoded_alike(tokenizer, encoder, text, question)
        if not count:
            raise ValueError(
                f"{on.data or run.folder}: no mention has a listed gold answer and a second candidate, so there is "
                f"nothing to ask. Is {held.inventory.origin} the right inventory (--inventory)?"
            )
        (begun / "questions.py").write_text(_READER, encoding="utf-8")
        about = {"task": TASK, "count": count, "fingerprint": fingerprint(held.passages)}
        (begun / f"{TASK}.yaml").write_text(_YAML.format_map(about), encoding="utf-8")
    mentions = sum(len(passage.mentions) for passage in held.passages)
    return TaskCounts(
        questions=count,
        no_choice=mentions - count - encoder.dropped,
        dropped=encoder.dropped,
        encoded_otherwise=other,
    )


def task_questions(
    passages: Sequence[Passage], inventory: Inventory, encoder: Encoder
) -> Iterator[tuple[str, Question, dict[str, object]]]:
    """Yield the questions of passages, each with the window it is asked in and its line of the task file."""
    with tracking("Writing questions", sum(len(passage.mentions) for passage in passages)) as advance:
        for passage in passages:
            for layout in encoder.encode(passage, inventory):
                for number, question in zip(layout.mentions, layout.questions, strict=True):
                    listed = question.candidates[:-1]  # "none of these" is not offered when measuring accuracy
                    if question.gold is None or question.gold == len(listed) or len(listed) < 2:
                        continue
                    yield (
                        layout.text,
                        question,
                        {
                            "passage": passage.id,
                            "mention": number,
                            "question": layout.text + question.prompt,
                            "candidates": listed,
                            "gold": question.gold,
                        },
                    )
            advance(len(passage.mentions))


def encoded_alike(tokenizer: Any, encoder: Encoder, text: str, question: Question) -> bool:
    """Whether encoding the whole texts, as lm-eval does, gives the same tokens as Medalist's tree."""
    asked, candidates = encoder.token_ids(text, question)
    whole = text + question.prompt
    encoded: list[list[int]] = tokenizer([whole, *(whole + c for c in question.candidates[:-1])]).input_ids
    return encoded == [asked, *([*asked, *candidate] for candidate in candidates[:-1])]
