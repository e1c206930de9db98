"""Reads choice questions: PubMedQA, MedMCQA and MedQA in their authors' or the Hub's formats, and your own files.

A row is an object in JSON Lines, a JSON list or Parquet, or a line of CSV:

    PubMedQA  {"pmid" or "pubid", "question", "context", "answer" or "final_decision": yes, no or maybe}
              or one JSON object {PMID: {"QUESTION", "CONTEXTS", "final_decision"}}
    MedMCQA   {"question", "opa", "opb", "opc", "opd", "cop", "subject_name"}
    MedQA     {"question", "options": {"A": ...}, "answer_idx" and/or "answer"}
    plain     {"question", "options": a list, {"A": ...} or "one|two|three", "answer", optional "context" and "subject"}
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...tools.files import must_exist, open_text, undamaged
from ..quizzes import Choice, Quiz
from ..rows import JSON_LINES, Quarantine, json_records, parquet_records
from ..spelling import folded, tidy
from ..tables import column_names, table_records

DECISIONS = ("yes", "no", "maybe")
"""PubMedQA's answers."""
_MEDMCQA_OPTIONS = ("opa", "opb", "opc", "opd")
_ENDINGS = (*JSON_LINES, ".json", ".json.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")

NumberedRow = tuple[int, dict[str, Any]]
"""(line number, fields)."""


def is_choices(path: Path) -> bool:
    """Whether the first row of a file is a choice question, that is, has a question, which passages do not.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    must_exist(path)
    if path.is_dir() or not path.name.lower().endswith(_ENDINGS):
        return False
    try:
        if path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv")):
            return "question" in column_names(path)  # MeDAL's tables have gigabytes
        with _readable(path):
            first = next(_rows(path, Quarantine()), None)
    except ValueError:  # the actual reader will report what is wrong
        return False
    return first is not None and "question" in first[1]


def read_choices(path: Path, quarantine: Quarantine | None = None) -> list[Quiz]:
    """Read choice questions; those about the same text become one `Quiz`, at the position of the first.

    Args:
        path: JSON Lines, `.json`, `.csv`, `.tsv`, each plain or `.gz`, or `.parquet`; see the module docstring.
        quarantine: collects malformed rows; the default has a limit of 5 %.

    Raises:
        ValueError: the format is unknown, the file is damaged, its answers are ambiguous, or there are too many bad
            rows (`TooManyBadRows`).
        FileNotFoundError: the file does not exist.
    """
    quarantine = Quarantine() if quarantine is None else quarantine
    must_exist(path)
    with _readable(path):
        rows = list(_rows(path, quarantine))
    first_option = _first_option(path, (row["cop"] for _, row in rows if "cop" in row))
    found: dict[str, Quiz] = {}
    ids: dict[str, str] = {}
    for line, row in rows:
        try:
            quiz = _quiz(row, path.name.split(".")[0], line, first_option)
            if ids.setdefault(quiz.id, quiz.text) != quiz.text:
                raise ValueError("its id already has a different text")
        except KeyError as error:
            quarantine.add(path, line, f"missing field {error}")
            continue
        except (ValueError, TypeError) as error:
            quarantine.add(path, line, str(error))
            continue
        known = found.setdefault(quiz.text, quiz)
        if known is quiz:
            continue
        [choice] = quiz.choices
        if any((choice.question, choice.options) == (other.question, other.options) for other in known.choices):
            quarantine.add(path, line, "repeats an earlier question", bad=False)
        else:
            found[quiz.text] = replace(known, choices=(*known.choices, choice))
    if not found and not quarantine.rows:
        raise ValueError(f"{path} contains no questions")
    quarantine.check()
    return list(found.values())


def _rows(path: Path, quarantine: Quarantine) -> Iterator[NumberedRow]:
    """Yield the objects of a file; PubMedQA's upper-case fields are renamed like those of the other formats."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        yield from parquet_records(path, quarantine)
    elif name.endswith((".csv", ".tsv")):
        yield from table_records(path, quarantine, lambda names: "question" in names)
    elif name.endswith(".json") and (whole := _whole_json(path)) is not None:
        keyed = whole.items() if isinstance(whole, dict) else ((None, row) for row in whole)
        for number, (key, row) in enumerate(keyed, 1):
            quarantine.total += 1
            if not isinstance(row, dict):
                quarantine.add(path, number, f"not a JSON object: found a {type(row).__name__}")
                continue
            if "QUESTION" in row:
                row = {"question": row["QUESTION"], "context": row.get("CONTEXTS"), **row}
            yield number, row if key is None else {"pmid": key, **row}
    elif name.endswith((".json", ".jsonl", ".ndjson")):  # MedMCQA uses the extension .json for JSON Lines
        yield from json_records(path, quarantine)
    else:
        raise ValueError(f"{path} has an unknown format. Known: {', '.join(_ENDINGS)}")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Name the file in the error if it is damaged or not UTF-8."""
    try:
        with undamaged(path):
            yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason}). Save the file as UTF-8.") from None


def _whole_json(path: Path) -> dict[str, Any] | list[Any] | None:
    """The content of a file that is one JSON list or one object of objects; None for JSON Lines, even a single line."""
    with open_text(path, encoding="utf-8-sig", newline="") as file:
        try:
            whole = json.load(file)
        except json.JSONDecodeError:
            return None
    if isinstance(whole, dict) and not all(isinstance(row, dict) for row in whole.values()):
        return None
    return whole if isinstance(whole, dict | list) else None


def _first_option(path: Path, answers: Iterable[object]) -> int:
    """Whether MedMCQA's `cop` counts from 1, as in the authors' JSON, or from 0, as in the Hub's copy.

    Raises:
        ValueError: the answers fit neither way of counting, or do not tell them apart.
    """
    found = {str(answer).strip() for answer in answers} & set("01234")
    if not found:
        return 0  # there is no answer to interpret
    if {"0", "4"} <= found:
        raise ValueError(f"{path}: cop is 0 in some rows and 4 in others, so it counts from neither 0 nor 1")
    if found.isdisjoint({"0", "4"}):
        raise ValueError(
            f"{path}: cop is never 0 and never 4, so it is unclear whether it counts from 0 or from 1; replace it with "
            'a field "answer" that has the letter of the correct option'
        )
    return 0 if "0" in found else 1


def _quiz(row: dict[str, Any], stem: str, line: int, first_option: int) -> Quiz:
    """Make a quiz with one question from a row."""
    question, context = _words(row["question"], "question"), _context(row.get("context"))
    if "opa" in row or "options" in row:
        named = _named_options([row[key] for key in _MEDMCQA_OPTIONS] if "opa" in row else row["options"])
        options = tuple(named.values())
        gold = _counted(row["cop"], first_option) if "cop" in row else _named_gold(row, named)
    else:
        options, gold = DECISIONS, _decision(row)
    subject = str(row.get("subject_name") or row.get("subject") or "").strip()
    pmid = row.get("pmid") or row.get("pubid")
    return Quiz(
        id=str(pmid or row.get("id") or f"{stem}-{line}"),
        text=context or question,
        choices=(Choice(question=question if context else "", options=options, gold=gold, subject=subject),),
        source="pubmed" if pmid else stem,
    )


def _words(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"empty {name}")
    return value.strip()


def _context(value: object) -> str:
    """Read a context, which may be a text, its sections, or missing."""
    if isinstance(value, dict):
        value = value.get("contexts")
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = " ".join(value)
    if value is not None and not isinstance(value, str):
        raise ValueError("context is neither a string nor a list of strings")
    return (value or "").strip()


def _named_options(value: object) -> dict[str, str]:
    """Options by letter: an object already has letters; the items of a list or of "one|two" are lettered from A."""
    if isinstance(value, str):
        value = value.split("|")
    if isinstance(value, list):
        value = dict(zip(string.ascii_uppercase, value, strict=False)) if len(value) <= 26 else None
    if not isinstance(value, dict):
        raise ValueError('options must be a list of up to 26, an object {"A": ...}, or "one|two|three"')
    return {str(key).strip(): _words(text, "option") for key, text in value.items()}


def _named_gold(row: dict[str, Any], named: dict[str, str]) -> int:
    """Index of the correct option, from its letter or its text; if a row gives both, they must agree."""
    given = [str(row[key]).strip() for key in ("answer_idx", "answer") if row.get(key) not in (None, "")]
    if not given:
        raise ValueError("no answer")
    letters, words = list(named), [folded(tidy(text)) for text in named.values()]
    meant: set[int] = set()
    for answer in given:
        found = {places.index(x) for places, x in ((letters, answer), (words, folded(tidy(answer)))) if x in places}
        if not found:
            raise ValueError("the answer is neither an option nor the letter of one")
        meant |= found
    if len(meant) > 1:
        raise ValueError("answer and answer_idx, or the letter and the text of an answer, name several options")
    return meant.pop()


def _decision(row: dict[str, Any]) -> int:
    answer = str(row.get("final_decision") or row.get("answer") or "").strip().lower()
    if answer not in DECISIONS:
        raise ValueError("the answer is not yes, no or maybe, and there are no options" if answer else "no answer")
    return DECISIONS.index(answer)


def _counted(answer: object, first: int) -> int:
    text = str(answer).strip()
    if text not in {str(first + place) for place in range(4)}:
        raise ValueError(f"cop is not {first} to {first + 3}")
    return int(text) - first
