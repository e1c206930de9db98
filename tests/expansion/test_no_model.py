"""The engine glance: every answer without a model."""

import json
import math
import shutil
from dataclasses import replace

import pytest

from medalist.data.embedded import reader
from medalist.expansion import bulk
from medalist.expansion.bulk import Reading, expand_in_turn, expand_notes
from medalist.expansion.expander import Expander
from medalist.expansion.notes import NoteFile
from medalist.expansion.where import weights_of
from medalist.runs.run import open_run
from medalist.trees.decisions import CALIBRATION_FILE, Calibration

NOTE = "71 y/o F with RA on MTX, SpO2 93% on RA. CTPA: no PE. Moved from PA. NO KNOWN ALLERGIES."


@pytest.fixture(scope="module")
def glancing():
    return Expander.load(engine="glance")


def test_no_model_is_loaded_or_asked(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr("medalist.expansion.expander.load_scorer", refuse)
    found = Expander.load(engine="glance")(NOTE)
    assert {one.evidence for one in found} <= {"inventory", "abstained"}
    told = {found.surface(one): one.long_form for one in found if one.sure}
    assert told["SpO2"] == "peripheral oxygen saturation" and told["PE"] == "pulmonary embolism"
    assert told.keys().isdisjoint({"PA", "NO"})


def test_an_answer_is_sure_by_the_glance_s_own_threshold(glancing):
    rule = Calibration.read(reader.HERE / CALIBRATION_FILE)
    assert rule.glance.offered_from != rule.offered_from
    text = "Known copd with sob, on O2. Seen by OT and PT, home on amp."
    found = [one for one in glancing(text) if one.long_form is not None]
    least = max(one.probability for one in found)
    assert [one.sure for one in found] == [one.probability >= rule.glance.offered_from for one in found]
    strict = Expander.load(engine="glance", min_probability=least)
    found = [one for one in strict(text) if one.long_form is not None]
    assert [one.sure for one in found] == [one.probability >= least for one in found]
    assert {True, False} == {one.sure for one in found}


def test_the_glossary_wins_and_of_its_meanings_the_topic_chooses(glancing):
    own = Expander.load(engine="glance", glossary={"RA": ["right atrium", "room air"], "ZQX": ["zinc quotient"]})
    echo, ward = own("TTE: LA dilated, RA dilated, RV function normal, mild TR."), own("SpO2 94% on RA. ZQX 4.")
    assert [one.long_form for one in echo if echo.surface(one) == "RA"] == ["right atrium"]
    assert {(ward.surface(one), one.long_form, one.evidence) for one in ward if ward.surface(one) in ("RA", "ZQX")} == {
        ("RA", "room air", "glossary"),
        ("ZQX", "zinc quotient", "glossary"),
    }


def test_the_answers_for_a_text_do_not_depend_on_others(glancing):
    assert glancing([NOTE, "LA dilated, MR.", NOTE])[2] == glancing(NOTE)


def test_what_it_cannot_use_is_refused():
    with pytest.raises(ValueError, match="senses that it was fitted on"):
        Expander.load(engine="glance", inventory=reader.inventory())
    with pytest.raises(ValueError, match="no model that computes in it"):
        Expander.load(engine="glance", dtype="bfloat16")
    with pytest.raises(ValueError, match=r"only the engine llama\.cpp reads"):
        Expander.load("model.gguf", engine="glance")


def test_a_run_needs_a_glance_of_its_own(known_run, tmp_path):
    with pytest.raises(ValueError, match="has no glance"):
        Expander.load(known_run.folder, engine="glance")
    with pytest.raises(ValueError, match="has no glance"):
        Calibration.read(reader.HERE / CALIBRATION_FILE).without_glance().without_model()
    folder = tmp_path / "run"
    shutil.copytree(known_run.folder, folder)
    shipped = Calibration.read(reader.HERE / CALIBRATION_FILE)
    replace(shipped, glance=replace(shipped.glance, offered_from=0.0, short_form_from=0.0)).write(
        folder / CALIBRATION_FILE
    )
    run = open_run(folder)
    short_form, _ = next(iter(run.inventory.senses.items()))
    found = Expander.load(folder, engine="glance")(f"seen with {short_form} today")
    assert [(one.key, one.sure) for one in found] == [(short_form, True)]
    assert found.expansions[0].long_form in run.inventory.long_forms(short_form)


def test_a_calibration_without_a_model_settles_everything():
    rule = Calibration.read(reader.HERE / CALIBRATION_FILE)
    alone = rule.without_model()
    assert alone.glance == replace(rule.glance, settled_from=0, usual_from=math.ulp(0))
    assert (alone.short_form_from, alone.offered_from) == (rule.glance.short_form_from, rule.glance.offered_from)


def written(folder, count):
    path = folder / "notes.jsonl"
    path.write_text("".join(json.dumps({"id": n, "text": f"Pt {n}: SpO2 9{n}% on RA."}) + "\n" for n in range(count)))
    return NoteFile(path=path)


def test_a_file_of_notes_is_read_in_larger_groups(tmp_path, capsys):
    notes, reading = written(tmp_path, 10), Reading(engine="glance")
    account = expand_notes(notes, tmp_path / "out.jsonl", reading, "jsonl")
    assert "Notes: 10/10" in capsys.readouterr().err and bulk.SHARD_AT_A_GLANCE > 10
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert account.notes == len(lines) == 10 and lines == list(expand_in_turn(notes, reading))
    assert {one["evidence"] for line in lines for one in line["expansions"]} == {"inventory", "abstained"}


def test_what_another_engine_has_read_is_not_taken_up(tmp_path, known_run):
    assert weights_of(None, engine="glance") != weights_of(None)
    with pytest.raises(ValueError, match="has no glance"):
        weights_of(known_run.folder, engine="glance")


@pytest.mark.parametrize("text", ["", " ", "\n", "...", "12 34", "\ud800", "Nothing here is short."])
def test_a_text_without_short_forms_has_no_answers(glancing, text):
    assert list(glancing(text)) == []


def test_any_case_is_read_for_the_reader_unless_not_wanted():
    assert [one.key for one in Expander.load(engine="glance")("copd, known")] == ["COPD"]
    assert list(Expander.load(engine="glance", any_case=False)("copd, known")) == []


def test_one_sense_per_text_names_no_model_as_the_evidence():
    text = "RA with joint erosions on MTX. SpO2 93% on RA. ECHO: RA dilated, mild TR. RA."
    found = Expander.load(engine="glance", one_sense_per_text=True)(text)
    of_ra = [one for one in found if found.surface(one) == "RA" and one.long_form is not None]
    assert len({one.long_form for one in of_ra}) == 1 and len(of_ra) > 1
    assert {one.evidence for one in found} <= {"inventory", "abstained"}
