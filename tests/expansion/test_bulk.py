from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from medalist.data.inventory import Inventory
from medalist.expansion import bulk
from medalist.expansion.bulk import Reading, expand_in_turn, expand_notes
from medalist.expansion.expander import Expander
from medalist.expansion.notes import NoteFile

INVENTORY = Inventory.of([("RA", "room air", 0, None), ("RA", "right atrium", 0, None)])
COUNT = 11


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows((f"n{number}", f"Patient {number} secretphrase\non RA, 10U. ZQI") for number in range(COUNT))
        writer.writerow(["n3", "secretphrase twice"])
    return NoteFile(path=path)


@pytest.fixture(autouse=True)
def small(monkeypatch, loaded):
    """Shards of three notes, read by the tiny model."""
    expander = Expander(loaded, INVENTORY)
    monkeypatch.setattr(bulk, "SHARD", 3)
    monkeypatch.setattr(bulk, "_expander", lambda _: expander)
    return expander


def test_every_note_gets_the_expansions_that_it_gets_alone(notes, tmp_path, small):
    account = expand_notes(notes, tmp_path / "out.jsonl", Reading(), "jsonl")
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [record["id"] for record in records] == [f"n{number}" for number in range(COUNT)]
    for note, record in zip(notes, records, strict=True):
        alone = small(note.text)
        assert (
            [one["short_form"] for one in record["expansions"]]
            == [alone.surface(one) for one in alone]
            == ["RA", "ZQI"]
        )
        assert [one["long_form"] for one in record["expansions"]] == [one.long_form for one in alone]
        assert record["expansions"][0]["probability"] == pytest.approx(alone[0].probability, abs=1e-4)
    assert (account.notes, account.unlisted, account.warnings, account.num_set_aside) == (COUNT, COUNT, COUNT, 1)
    assert account.expansions == sum(r["expansions"][0]["long_form"] is not None for r in records)
    assert account.expansions + account.abstained == COUNT
    assert json.loads(account.set_aside.read_text()) == {
        "place": "line 24",
        "id": "n3",
        "reason": "its id stands twice",
    }


def test_ids_that_are_numbers_stay_numbers(tmp_path):
    (tmp_path / "notes.jsonl").write_text('{"id": 17, "text": "on RA"}\n{"id": 18, "text": ""}\n')
    source = NoteFile(path=tmp_path / "notes.jsonl")
    expand_notes(source, tmp_path / "out.jsonl", Reading(), "jsonl")
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["id"] for one in written] == [17, 18]
    assert [one["id"] for one in expand_in_turn(source, Reading())] == [17, 18]


def test_shards_can_be_asked_for_again_and_in_any_order(notes, tmp_path):
    parts = [tmp_path / f"{number}" for number in range(4)]
    parts[1].touch()  # finished
    shards = bulk._Shards(notes, parts, bulk.SHARD)
    asked = [[note.id for note in shards[index].notes] for index in (1, 0, 2, 2, 1)]
    assert len(shards) == 3
    third, first, last = ["n6", "n7", "n8"], ["n0", "n1", "n2"], ["n9", "n10"]
    assert asked == [third, first, last, last, third]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "note-nlp"])
def test_stopped_and_resumed_it_ends_with_the_same_bytes_and_repeats_no_finished_shard(
    notes, tmp_path, monkeypatch, kind
):
    expand_notes(notes, tmp_path / "whole", Reading(), kind)
    expand, asked = bulk._expand_shard, []

    def stopping(reading, shard):
        asked.append(shard.part.stem)
        if len(asked) == 3:
            raise KeyboardInterrupt
        expand(reading, shard)

    monkeypatch.setattr(bulk, "_expand_shard", stopping)
    with pytest.raises(KeyboardInterrupt):
        expand_notes(notes, tmp_path / "broken", Reading(), kind)
    assert not (tmp_path / "broken").exists()
    expand_notes(notes, tmp_path / "broken", Reading(), kind)
    assert asked == ["000000", "000001", "000002", "000002", "000003"]
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".work")] == []


@pytest.mark.parametrize("change", ["notes", "option", "glossary"])
def test_finished_shards_are_not_kept_if_what_decides_them_has_changed(notes, tmp_path, monkeypatch, change):
    glossary = tmp_path / "ours.csv"
    glossary.write_text("short_form,long_form\nZQI,zonal index\n")
    expand, asked = bulk._expand_shard, []

    def stopping(reading, shard):
        asked.append(shard.part.stem)
        if len(asked) == 2:
            raise KeyboardInterrupt
        expand(reading, shard)

    monkeypatch.setattr(bulk, "_expand_shard", stopping)
    with pytest.raises(KeyboardInterrupt):
        expand_notes(notes, tmp_path / "out", Reading(glossary=glossary), "jsonl")
    if change == "notes":
        notes.path.write_text(notes.path.read_text().replace("Patient 0", "Patient zero"))
    if change == "glossary":
        glossary.write_text("short_form,long_form\nZQI,zonal quality index\n")
    expand_notes(notes, tmp_path / "out", Reading(glossary=glossary, any_case=change == "option" or None), "jsonl")
    assert asked[2:] == ["000000", "000001", "000002", "000003"]


def test_the_work_folder_is_its_owner_s_and_holds_no_text_but_short_forms(notes, tmp_path, monkeypatch):
    expand, seen = bulk._expand_shard, []

    def watching(reading, shard):
        expand(reading, shard)
        work = shard.part.parent
        assert work.stat().st_mode & 0o077 == 0
        seen.extend(path.read_text() for path in work.iterdir())

    monkeypatch.setattr(bulk, "_expand_shard", watching)
    expand_notes(notes, tmp_path / "out", Reading(), "parquet")
    assert len(seen) > 4
    assert "secretphrase" not in "".join(seen)
    assert b"secretphrase" not in (tmp_path / "out").read_bytes()


def test_texts_with_short_forms_replaced_are_given_on_request_and_in_json_lines_only(notes, tmp_path, small):
    expand_notes(notes, tmp_path / "out", Reading(replaced="mark"), "jsonl")
    [first, *_] = (tmp_path / "out").read_text().splitlines()
    assert json.loads(first)["expanded_text"] == small(next(iter(notes)).text).replaced()
    with pytest.raises(ValueError, match=r"Only \.jsonl holds whole texts"):
        expand_notes(notes, tmp_path / "other", Reading(replaced="mark"), "csv")


def test_what_exists_is_not_overwritten_and_nothing_is_no_result(notes, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FileExistsError, match="exists already: name another with --out"):
        expand_notes(notes, tmp_path / "out", Reading(), "jsonl")
    assert (tmp_path / "out").read_text() == "mine"
    notes.path.write_text("id,text\n,secretphrase\n")
    with pytest.raises(ValueError, match=r"holds no notes; the first of 1 bad record: line \d: no id$") as error:
        expand_notes(notes, tmp_path / "new", Reading(), "jsonl")
    assert "secretphrase" not in str(error.value)


def test_brat_s_texts_are_not_written_among_the_notes(tmp_path):
    (tmp_path / "a.txt").write_text("on RA")
    with pytest.raises(ValueError, match="its texts would be read as notes next time"):
        expand_notes(NoteFile(path=tmp_path), tmp_path / "out", Reading(), "brat")


def test_killed_on_the_command_line_with_two_workers_it_ends_as_one_unbroken_process(tiny_run, tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"id": n, "text": f"Note {n}: on RA, BP 9{n}."}) + "\n" for n in range(200)))
    command = [sys.executable, "-m", "medalist", "expand", str(tiny_run), str(path), "--out"]
    subprocess.run([*command, str(tmp_path / "whole.csv")], check=True, capture_output=True)
    again = [*command, str(tmp_path / "broken.csv"), "--workers", "2"]
    begun = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    work = tmp_path / ".broken.csv.work"
    while begun.poll() is None and not list(work.glob("0*.jsonl")):
        time.sleep(0.05)
    assert begun.poll() is None, "it ended before it could be killed"
    os.killpg(begun.pid, signal.SIGKILL)
    begun.wait()
    assert work.exists() and not (tmp_path / "broken.csv").exists()
    done = subprocess.run(again, check=True, capture_output=True, text=True)
    assert re.search(r"^\d+ of 200 notes are finished already$", done.stderr, re.MULTILINE), done.stderr
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_glossary_of_the_same_relative_name_is_another_glossary(tmp_path, monkeypatch, notes, loaded):
    monkeypatch.undo()
    loads = []
    monkeypatch.setattr(
        bulk.Expander, "load", lambda *_, glossary, **__: loads.append(glossary) or Expander(loaded, INVENTORY)
    )
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        if not (tmp_path / name / "glossary.csv").exists():
            (tmp_path / name / "glossary.csv").write_text("short_form,long_form\nRA,room air\n")
        bulk._expander(Reading(glossary="glossary.csv"))
        bulk._expander(Reading(glossary="glossary.csv"))
    assert len(loads) == 3
    (tmp_path / "a" / "glossary.csv").write_text("short_form,long_form\nRA,right atrium\n")
    bulk._expander(Reading(glossary="glossary.csv"))
    assert len(loads) == 4
