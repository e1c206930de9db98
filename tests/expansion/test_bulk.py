"""Files of notes are expanded once, resumed to the same bytes, and nothing of the user's is lost.

Covers `set_aside` too.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from medalist.cli.expand_tables import account_table
from medalist.data.inventory import Inventory
from medalist.expansion import bulk
from medalist.expansion.bulk import Reading, expand_in_turn, expand_notes
from medalist.expansion.expander import Expander
from medalist.expansion.notes import NoteFile
from medalist.tools.failures import in_one_line
from medalist.tools.progress import PlainConsole

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


def test_short_forms_that_were_not_read_are_counted_apart(notes, tmp_path, monkeypatch, loaded):
    narrow = Expander(replace(loaded, max_depth=4), INVENTORY)
    monkeypatch.setattr(bulk, "_expander", lambda _: narrow)
    account = expand_notes(notes, tmp_path / "out.csv", Reading(), "csv")
    assert (account.not_read, account.abstained, account.expansions) == (COUNT, 0, 0)
    console = PlainConsole(file=io.StringIO(), width=80)
    console.print(account_table(account))
    assert re.search(rf"did not fit the model's window +{COUNT}", console.file.getvalue())


def test_ids_that_are_numbers_stay_numbers(tmp_path):
    (tmp_path / "notes.jsonl").write_text('{"id": 17, "text": "on RA"}\n{"id": 18, "text": ""}\n')
    source = NoteFile(path=tmp_path / "notes.jsonl")
    expand_notes(source, tmp_path / "out.jsonl", Reading(), "jsonl")
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["id"] for one in written] == [17, 18]
    assert [one["id"] for one in expand_in_turn(source, Reading())] == [17, 18]


def test_shards_can_be_asked_for_again_and_in_any_order(notes, tmp_path):
    parts = [tmp_path / f"{number}" for number in range(4)]
    parts[1].write_text(bulk._seal([]))  # finished
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


@pytest.mark.parametrize("damage", ["emptied", "cut in a line", "cut after a line", "changed", "not UTF-8"])
def test_a_part_that_is_damaged_before_the_work_goes_on_is_made_again(notes, tmp_path, monkeypatch, damage):
    expand_notes(notes, tmp_path / "whole", Reading(), "jsonl")
    work, expand = tmp_path / ".broken.work", bulk._expand_shard
    with monkeypatch.context() as patch:
        patch.setattr(bulk, "write_records", None)
        with pytest.raises(TypeError):
            expand_notes(notes, tmp_path / "broken", Reading(), "jsonl")
    part = work / "000001.jsonl"
    content = part.read_bytes()
    part.write_bytes(
        {
            "emptied": b"",
            "cut in a line": content[:200],
            "cut after a line": b"".join(content.splitlines(keepends=True)[:2]),
            "changed": content.replace(b"room air", b"roam air").replace(b"atrium", b"otrium"),
            "not UTF-8": b"\xff" + content,
        }[damage]
    )
    again = []
    monkeypatch.setattr(bulk, "_expand_shard", lambda reading, one: again.append(one.part.stem) or expand(reading, one))
    expand_notes(notes, tmp_path / "broken", Reading(), "jsonl")
    assert again == ["000001"]
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()


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


@pytest.mark.parametrize("theirs", ["thesis.txt", "settings.json", "both", "among ours", "a link"])
def test_a_folder_of_the_user_s_own_in_the_work_folder_s_place_is_named_and_stays(notes, tmp_path, theirs):
    work = tmp_path / ".out.work"
    if theirs == "a link":
        (tmp_path / "elsewhere").mkdir()
        work.symlink_to(tmp_path / "elsewhere")
    else:
        work.mkdir()
    if theirs != "settings.json":
        (work / "thesis.txt").write_text("the user's own")
    if theirs in ("settings.json", "both"):
        (work / "settings.json").write_text('{"theme": "dark", "day": "Monday"}')
    if theirs == "among ours":
        (work / "settings.json").write_text('{"medalist": "0.1", "notes": "", "day": "2026-11-30"}')
    before = {path.name: path.read_bytes() for path in work.iterdir()}
    with pytest.raises(FileExistsError, match=r"\.out\.work is where unfinished work is kept, but"):
        expand_notes(notes, tmp_path / "out", Reading(), "jsonl")
    assert {path.name: path.read_bytes() for path in work.iterdir()} == before


def test_the_work_folder_of_a_killed_call_is_ours_whatever_it_was_doing(notes, tmp_path):
    work = tmp_path / ".out.work"
    for left in (".settings.json.begun-a1b2c3d4/settings.json", ".000001.jsonl.begun-a1b2c3d4/000001.jsonl"):
        (work / left).parent.mkdir(parents=True)
        (work / left).touch()
        expand_notes(notes, tmp_path / "out", Reading(), "jsonl")
        assert not work.exists()
        (tmp_path / "out").unlink()
        work.mkdir()
        (work / "settings.json").write_text('{"medalist": "0.1", "notes": "", "day": "2026-11-30"}')


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


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "brat"])
def test_a_result_that_appears_during_the_work_is_not_overwritten(notes, tmp_path, monkeypatch, kind, links):
    out, expand = tmp_path / "out", bulk._expand_shard

    def meanwhile(reading, shard):
        expand(reading, shard)
        (out / "theirs" if kind == "brat" else out).parent.mkdir(exist_ok=True)
        (out / "theirs" if kind == "brat" else out).write_text("theirs")

    def no_links(*_):
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", no_links)
    monkeypatch.setattr(bulk, "_expand_shard", meanwhile)
    with pytest.raises(OSError, match="out") as error:
        expand_notes(notes, out, Reading(), kind)
    assert f"{out} exists already: name another" in in_one_line(error.value)
    assert (out / "theirs" if kind == "brat" else out).read_text() == "theirs"
    assert (tmp_path / ".out.work").exists()


@pytest.mark.parametrize("there", ["the notes", "a folder", "a link", "nothing of ours", "a name too long"])
def test_what_is_not_our_list_of_bad_records_is_refused_before_the_work_and_stays(notes, tmp_path, monkeypatch, there):
    monkeypatch.setattr(bulk, "_expand_shard", lambda *_: pytest.fail("work was done"))
    out = tmp_path / ("x" * 220 if there == "a name too long" else "out.jsonl")
    listed, source = tmp_path / "out.jsonl.set-aside.jsonl", notes
    if there == "the notes":
        listed.write_text('{"id": "a", "text": "on RA"}\n')
        source = NoteFile(path=listed)
    elif there == "a folder":
        listed.mkdir()
    elif there == "a link":
        listed.symlink_to("nowhere")
    elif there == "nothing of ours":
        listed.write_text('{"place": "line 2", "id": "a", "reason": "no text"}\nmine\n')
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(OSError, match="is no such list: move it" if len(out.name) < 20 else "name too long"):
        expand_notes(source, out, Reading(), "jsonl")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_the_list_of_an_earlier_run_is_replaced_and_does_not_stay_beside_a_clean_result(notes, tmp_path):
    out = tmp_path / "out.jsonl"
    first = expand_notes(notes, out, Reading(), "jsonl").set_aside.read_text()
    out.unlink()
    assert expand_notes(notes, out, Reading(), "jsonl").set_aside.read_text() == first
    out.unlink()
    notes.path.write_text("id,text\na,on RA\n")
    assert expand_notes(notes, out, Reading(), "jsonl").set_aside is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.csv", "out.jsonl"]


def test_without_its_list_of_bad_records_no_result_is_put_in_place(notes, tmp_path, monkeypatch):
    out, expand = tmp_path / "out.jsonl", bulk._expand_shard

    def meanwhile(reading, shard):
        expand(reading, shard)
        (tmp_path / "out.jsonl.set-aside.jsonl").mkdir(exist_ok=True)

    monkeypatch.setattr(bulk, "_expand_shard", meanwhile)
    with pytest.raises(FileExistsError, match="is no such list"):
        expand_notes(notes, out, Reading(), "jsonl")
    assert not out.exists()
    (tmp_path / "out.jsonl.set-aside.jsonl").rmdir()
    monkeypatch.setattr(bulk, "_expand_shard", lambda *_: pytest.fail("what was finished was not kept"))
    assert expand_notes(notes, out, Reading(), "jsonl").num_set_aside == 1


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
