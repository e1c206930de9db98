"""Choice questions: every layout is read as it is meant, and what is malformed is set aside.

Covers `data.quizzes` too.
"""

import csv
import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from medalist.data.quizzes import read_quizzes, write_quizzes
from medalist.data.rows import Quarantine, TooManyBadRows
from medalist.data.sources.choices import is_choices, read_choices
from medalist.data.splits import split_passages

SHARED = Path(__file__).parents[4] / "shared" / "data"

PUBMEDQA = {
    "pmid": "101",
    "question": "Do warm hands speed up cannulation?",
    "context": ["Forty volunteers warmed one hand.", "Cannulation of the warm hand took half the time."],
    "answer": "yes",
}
MEDMCQA = {
    "id": "q1",
    "question": "Which nerve bends the elbow?",
    "opa": "Ulnar nerve",
    "opb": "Musculocutaneous nerve",
    "opc": "Axillary nerve",
    "opd": "Radial nerve",
    "cop": 1,
    "subject_name": "Anatomy",
    "exp": "It supplies biceps and brachialis.",
}
MEDQA = {
    "question": "A man cannot lift his foot after a fibular fracture. Which nerve is hurt?",
    "options": {"A": "Tibial", "B": "Common peroneal", "C": "Femoral"},
    "answer_idx": "B",
    "answer": "Common peroneal",
}


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def only(path):
    [quiz] = read_choices(path)
    [choice] = quiz.choices
    return quiz, choice


def right(choice):
    return choice.options[choice.gold]


def test_pubmedqa_is_a_question_about_a_text_with_three_answers(tmp_path):
    quiz, choice = only(lines(tmp_path / "qa.jsonl", [PUBMEDQA]))
    assert quiz.text == "Forty volunteers warmed one hand. Cannulation of the warm hand took half the time."
    assert (quiz.id, quiz.source) == ("101", "pubmed")
    assert choice.question == PUBMEDQA["question"]
    assert (choice.options, choice.gold) == (("yes", "no", "maybe"), 0)


def test_pubmedqa_reads_the_same_from_the_authors_json_and_from_the_hubs_parquet(tmp_path):
    expected = read_choices(lines(tmp_path / "qa.jsonl", [PUBMEDQA]))
    official = {"101": {"QUESTION": PUBMEDQA["question"], "CONTEXTS": PUBMEDQA["context"], "final_decision": "yes"}}
    (tmp_path / "ori_pqal.json").write_text(json.dumps(official, indent=1), encoding="utf-8")
    assert read_choices(tmp_path / "ori_pqal.json") == expected
    hub = {"pubid": 101, "question": PUBMEDQA["question"], "final_decision": "yes"}
    hub["context"] = {"contexts": PUBMEDQA["context"], "labels": ["METHODS", "RESULTS"]}
    pl.DataFrame([hub]).write_parquet(tmp_path / "hub.parquet")
    assert read_choices(tmp_path / "hub.parquet") == expected


def test_medmcqa_counts_from_0_or_from_1_as_its_file_does(tmp_path):
    def answers(*places):
        rows = [MEDMCQA | {"id": str(n), "question": f"Case {n}?", "cop": place} for n, place in enumerate(places)]
        return [right(quiz.choices[0]) for quiz in read_choices(lines(tmp_path / "dev.json", rows))]

    assert answers(0, 1, 3) == ["Ulnar nerve", "Musculocutaneous nerve", "Radial nerve"]
    assert answers(4, 1, 3) == ["Radial nerve", "Ulnar nerve", "Axillary nerve"]
    with pytest.raises(ValueError, match="never 0 and never 4, so it is unclear"):
        answers(1, 2, 3)
    with pytest.raises(ValueError, match="0 in some rows and 4 in others"):
        answers(0, 4)


def test_a_question_without_a_text_is_a_text_of_its_own_and_keeps_its_subject(tmp_path):
    quiz, choice = only(lines(tmp_path / "mc.jsonl", [MEDMCQA | {"cop": 0}]))
    assert (quiz.text, choice.question, choice.subject) == (MEDMCQA["question"], "", "Anatomy")
    assert (quiz.id, quiz.source) == ("q1", "mc")


@pytest.mark.parametrize("without", [(), ("answer",), ("answer_idx",)])
def test_medqa_takes_the_letter_the_words_or_both(without, tmp_path):
    row = {key: value for key, value in MEDQA.items() if key not in without}
    quiz, choice = only(lines(tmp_path / "medqa.jsonl", [row]))
    assert quiz.text == MEDQA["question"]
    assert right(choice) == "Common peroneal"


@pytest.mark.parametrize("name", ["own.csv", "own.csv.gz", "own.tsv"])
def test_a_plain_csv_parts_its_options_with_bars(name, tmp_path):
    content = "question,options,answer,context,subject\nWhat fell?,pressure|pulse|fever,pulse,The pulse fell.,signs\n"
    (tmp_path / name).write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    quiz, choice = only(tmp_path / name)
    assert quiz.text == "The pulse fell."
    assert (choice.question, choice.options, right(choice)) == ("What fell?", ("pressure", "pulse", "fever"), "pulse")
    assert choice.subject == "signs"


def test_questions_about_one_text_share_it(tmp_path):
    other = PUBMEDQA | {"pmid": "102", "question": "Did all volunteers agree?", "answer": "no"}
    apart = PUBMEDQA | {"pmid": "103", "context": "Another text."}
    quarantine = Quarantine()
    found = read_choices(lines(tmp_path / "qa.jsonl", [PUBMEDQA, other, apart, PUBMEDQA]), quarantine)
    assert [(quiz.id, [choice.gold for choice in quiz.choices]) for quiz in found] == [("101", [0, 1]), ("103", [0])]
    assert quarantine.summary() == {"repeats an earlier question": 1}


PLAIN = {"question": "Which?", "options": ["left", "right"], "answer": "left"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (PLAIN | {"question": " "}, "empty question"),
        ({"options": ["left", "right"], "answer": "left"}, "missing field 'question'"),
        (PLAIN | {"options": ["left"]}, "fewer than two options"),
        (PLAIN | {"options": ["left", "Left", "right"], "answer": "right"}, "an option appears twice"),
        (PLAIN | {"options": ["left", ""]}, "empty option"),
        (PLAIN | {"options": 7}, "options must be a list of up to 26"),
        (PLAIN | {"answer": "up"}, "the answer is neither an option nor the letter of one"),
        (PLAIN | {"answer": None}, "no answer"),
        (PLAIN | {"options": ["B", "A"], "answer": "A"}, "name several options"),
        (PLAIN | {"answer": "left", "answer_idx": "B"}, "name several options"),
        (PLAIN | {"context": 5}, "context is neither a string"),
        (PUBMEDQA | {"answer": "perhaps"}, "is not yes, no or maybe, and there are no options"),
        (PUBMEDQA | {"pmid": "1", "context": "Another text."}, "its id already has a different text"),
        (MEDMCQA | {"cop": 5}, "cop is not 0 to 3"),
        (MEDMCQA | {"cop": -1}, "cop is not 0 to 3"),
        (["a", "list"], "not a JSON object"),
    ],
)
def test_a_malformed_row_is_set_aside_with_its_line_and_reason(row, reason, tmp_path):
    good = [PUBMEDQA | {"pmid": "1"}, *(MEDMCQA | {"id": f"q{n}", "question": f"Case {n}?", "cop": n} for n in (0, 3))]
    path, quarantine = lines(tmp_path / "bad.jsonl", [*good, row]), Quarantine(limit=1)
    assert len(read_choices(path, quarantine)) == 3
    [bad] = quarantine.rows
    assert (bad["file"], bad["line"]) == ("bad.jsonl", 4)
    assert reason in bad["reason"]
    with pytest.raises(TooManyBadRows, match=r"bad\.jsonl, row 4"):
        read_choices(path)


def test_a_csv_row_with_too_few_fields_is_set_aside(tmp_path):
    with (tmp_path / "own.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["question", "options", "answer"], ["Which?", "left|right", "left"], ["And?"]])
    quarantine = Quarantine(limit=1)
    assert len(read_choices(tmp_path / "own.csv", quarantine)) == 1
    assert [(row["line"], row["reason"]) for row in quarantine.rows] == [(3, "1 columns instead of 3")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.txt", b"question", "has an unknown format"),
        ("own.jsonl", b"", "contains no questions"),
        ("own.csv", b"question,options,answer\n\x81,a|b,a\n", "is not utf-8 or cp1252"),
        ("own.jsonl.gz", b"\x1f\x8b\x08\x00 cut short", "is damaged or truncated"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} {message}"):
        read_choices(tmp_path / name)


def test_choice_files_are_told_from_passages_by_their_content(tmp_path):
    assert is_choices(lines(tmp_path / "qa.jsonl", [PUBMEDQA]))
    assert is_choices(lines(tmp_path / "dev.json", [MEDMCQA]))
    passage = {"id": "1", "text": "RA", "mentions": []}
    assert not is_choices(lines(tmp_path / "passages.jsonl", [passage]))
    gladis = {"short_term": "RA", "long_term": "room air", "tokens": ["RA"]}
    assert not is_choices(lines(tmp_path / "gladis.json", [gladis]))
    (tmp_path / "medal.csv").write_text("ABSTRACT_ID,TEXT,LOCATION,LABEL\n1,ra hurts,0,room air\n")
    assert not is_choices(tmp_path / "medal.csv")
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe")
    assert not is_choices(tmp_path / "broken.csv")
    assert not is_choices(tmp_path)


def test_no_split_divides_a_text_and_its_versions(tmp_path):
    wards = [first + second for first in "ABCD" for second in "efghijklmn"]
    rows = [
        PUBMEDQA | {"pmid": f"{ward}{number}", "question": f"Question {number}?", "context": text}
        for ward in wards
        for number, text in enumerate((f"Ward {ward} was full.", f"Ward {ward} was full.", f"WARD {ward}: was full!"))
    ]
    quizzes = read_choices(lines(tmp_path / "qa.jsonl", rows))
    assert [len(quiz.choices) for quiz in quizzes] == [2, 1] * len(wards)
    parts = split_passages(quizzes, validation=0.2, test=0.4)
    assert all(len(part) > 4 for part in parts.values())
    found = [ward for part in parts.values() for ward in {quiz.id[:2] for quiz in part}]
    assert sorted(found) == wards, "each in one split"


def test_quizzes_come_back_from_parquet_as_they_were(tmp_path):
    other = PUBMEDQA | {"pmid": "102", "question": "Did all agree?", "answer": "no"}
    quizzes = read_choices(lines(tmp_path / "all.jsonl", [PUBMEDQA, other, MEDMCQA | {"cop": 0}, MEDQA]))
    write_quizzes(quizzes, tmp_path / "all.parquet")
    assert read_quizzes(tmp_path / "all.parquet") == quizzes
    write_quizzes([], tmp_path / "none.parquet")
    assert read_quizzes(tmp_path / "none.parquet") == []


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_the_real_pubmedqa_is_read_whole():
    quarantine = Quarantine()
    quizzes = read_choices(SHARED / "pubmedqa.jsonl.gz", quarantine)
    assert (len(quizzes), quarantine.rows) == (1000, [])
    golds = [right(choice) for quiz in quizzes for choice in quiz.choices]
    assert [golds.count(label) for label in ("yes", "no", "maybe")] == [552, 338, 110]
