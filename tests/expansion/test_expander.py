"""The expander from text to answers.

Covers `answers` too.
"""

from __future__ import annotations

import logging
import math
import shutil
from dataclasses import replace
from pathlib import PurePath

import pytest
import torch
import yaml

import medalist.expansion.expander
from medalist.data.embedded import reader
from medalist.data.inventory import Inventory
from medalist.data.passages import NONE_OF_THESE
from medalist.expansion.expander import Expander
from medalist.expansion.results import Expansion
from medalist.models import precision
from medalist.models.base import ModelError
from medalist.trees.attention_check import separate_score
from medalist.trees.decisions import CLUES, Calibration, Glance
from medalist.trees.prompt import Encoder, PromptSettings

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 0, None),
        ("RA", "right atrium", 0, None),
        ("RA", "room air", 0, None),
        ("CT", "computed tomography", 0, None),
        ("CT", "contractions", 0, None),
    ]
)
NOTE = "Two CTs of the chest, then RA again; the (RA) was wide."


@pytest.fixture
def expander(loaded):
    return Expander(loaded, INVENTORY)


@pytest.fixture
def answer_with(monkeypatch):
    """Let the model give every question these probabilities, the null candidate's last."""

    def give(*probabilities):
        def score_layouts(_model, layouts, **_):
            for layout in layouts:
                yield layout, [torch.tensor(probabilities).log() for _ in layout.questions]

        monkeypatch.setattr("medalist.models.load.score_layouts", score_layouts)

    return give


def test_every_short_form_is_found_in_the_order_of_the_text(expander):
    found = expander(NOTE)
    assert [(e.short_form, e.key) for e in found] == [("CTs", "CT"), ("RA", "RA"), ("RA", "RA")]
    assert all(NOTE[e.start : e.end] == e.short_form for e in found)
    assert [e.start for e in found] == [4, NOTE.index("RA"), NOTE.index("(RA)") + 1]


def test_alternatives_are_all_listed_long_forms_likeliest_first_and_sum_to_one_with_the_null(expander):
    for expansion in expander(NOTE):
        listed = [probability for _, probability in expansion.alternatives]
        assert {name for name, _ in expansion.alternatives} == set(INVENTORY.long_forms(expansion.key))
        assert listed == sorted(listed, reverse=True)
        null = expansion.probability if expansion.long_form is None else 1 - sum(listed)
        assert 0 < null < 1
        assert sum(listed) + null == pytest.approx(1)


def test_probabilities_are_those_of_the_sequences_that_the_prompt_spells(expander, loaded):
    text = "Pain in the RA."
    asked = loaded.tokenizer(text + '\n\nIn "Pain in the RA.", RA means').input_ids
    names = (*INVENTORY.long_forms("RA"), NONE_OF_THESE)
    scores = []
    for name in names:
        answer = loaded.tokenizer(f" {name}\n", add_special_tokens=False).input_ids
        scores.append(separate_score(loaded.model, asked + answer, len(answer)))
    expected = dict(zip(names, torch.stack(scores).softmax(0).tolist(), strict=True))
    [expansion] = expander(text)
    assert dict(expansion.alternatives) == pytest.approx({name: expected[name] for name in names[:-1]}, abs=1e-4)


def test_likeliest_long_form_is_the_answer(expander, answer_with):
    answer_with(0.1, 0.2, 0.4, 0.3)
    [expansion] = expander("on RA")
    assert expansion == Expansion(
        start=3,
        end=5,
        short_form="RA",
        key="RA",
        long_form="room air",
        probability=pytest.approx(0.4),
        alternatives=(
            ("room air", pytest.approx(0.4)),
            ("right atrium", pytest.approx(0.2)),
            ("rheumatoid arthritis", pytest.approx(0.1)),
        ),
        evidence="model",
        sure=False,
    )


def test_expander_abstains_when_the_null_candidate_wins(expander, answer_with):
    answer_with(0.1, 0.2, 0.3, 0.4)
    [expansion] = expander("on RA")
    assert (expansion.long_form, expansion.evidence) == (None, "abstained")
    assert expansion.probability == pytest.approx(0.4)
    assert expansion.alternatives[0] == ("room air", pytest.approx(0.3))


def test_long_forms_together_do_not_outvote_the_null_candidate(expander, answer_with):
    answer_with(0.2, 0.25, 0.25, 0.3)
    assert expander("on RA")[0].evidence == "abstained"


def test_result_does_not_depend_on_the_company(expander, loaded):
    texts = [NOTE, "", "nothing here", "RA", "RA and CT. " * 12]
    together = expander(texts)
    assert [len(found) for found in together] == [3, 0, 0, 1, 24]
    for text, found in zip(texts, together, strict=True):
        alone = Expander(loaded, INVENTORY)(text)
        assert len(alone) == len(found)
        for mine, theirs in zip(alone, found, strict=True):
            assert (mine.start, mine.end, mine.short_form, mine.long_form) == (
                theirs.start,
                theirs.end,
                theirs.short_form,
                theirs.long_form,
            )
            assert [name for name, _ in mine.alternatives] == [name for name, _ in theirs.alternatives]
            for (_, one), (_, many) in zip(mine.alternatives, theirs.alternatives, strict=True):
                assert math.isclose(one, many, abs_tol=1e-4)


def test_the_same_short_form_in_other_words_is_another_question(expander):
    first, second = expander("The patient has RA. Saturation was normal on RA.")
    assert dict(first.alternatives) != pytest.approx(dict(second.alternatives), abs=1e-4)


def test_short_forms_of_a_long_text_are_in_order_though_it_is_read_in_windows(loaded):
    text = "The patient has RA and a CT. " * 20
    found = Expander(loaded, INVENTORY, PromptSettings(window=64, max_nodes=256))(text)
    assert len(found) == 40
    assert [e.start for e in found] == sorted(e.start for e in found)
    assert {text[e.start : e.end] for e in found} == {"RA", "CT"}


def test_lower_case_short_forms_are_found_when_asked_for(loaded):
    assert list(Expander(loaded, INVENTORY)("on ra")) == []
    [expansion] = Expander(loaded, INVENTORY, any_case=True)("on ra")
    assert (expansion.start, expansion.end, expansion.key) == (3, 5, "RA")


def test_nothing_of_a_text_is_printed_logged_or_stored(expander, capsys, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        expander("Mr Smith has RA")
    output = capsys.readouterr()
    assert "Smith" not in output.out + output.err + caplog.text
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run"):
        Expander.load(tmp_path)


# Several texts


def test_several_texts_come_as_a_list_and_one_is_never_read_letter_by_letter(expander):
    assert [len(expanded) for expanded in expander(iter([NOTE, "RA"]))] == [3, 1]
    assert expander("RA").text == "RA"
    with pytest.raises(TypeError, match="not one text"):
        expander.pipe("RA")


def test_what_is_no_text_is_refused_without_being_shown(expander):
    with pytest.raises(TypeError, match=r"^Text 2 is of type dict, not str$"):
        expander(["RA", {"text": "secretphrase"}])
    for text in (None, 5, b"secretphrase", PurePath("secretphrase"), {"text": "secretphrase"}):
        with pytest.raises(TypeError, match=r"^A text is a str, and several are an iterable of them, not \w+$"):
            expander(text)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_a_stream_is_read_a_batch_at_a_time(expander, batch_size):
    taken = []

    def texts():
        for number, text in enumerate(["RA", "CT and RA", "", "CT"]):
            taken.append(number)
            yield text

    stream = expander.pipe(texts(), batch_size=batch_size)
    assert taken == []
    assert [e.short_form for e in next(stream)] == ["RA"]
    assert len(taken) == min(batch_size, 4)
    assert [[e.short_form for e in expanded] for expanded in stream] == [["CT", "RA"], [], ["CT"]]


def test_a_stream_can_carry_anything_beside_the_texts(expander):
    pairs = expander.pipe([("RA", 7), ("CT", None)], as_tuples=True, batch_size=1)
    assert [(expanded[0].short_form, context) for expanded, context in pairs] == [("RA", 7), ("CT", None)]
    with pytest.raises(ValueError, match="batch_size is 0"):
        expander.pipe([], batch_size=0)


# Text as it comes


@pytest.mark.parametrize(
    "before",
    ["a\r\nb\r\n", "\t\x00\x07 ", "🫀👩‍⚕️ ", "e\u0301 ", "\ud83d ", "\ufeff", "\u2028", "İ Σ "],
)
def test_offsets_are_those_of_the_text_as_given(loaded, before):
    text = f"{before}on RA, 10U; {before}"
    expanded = Expander(loaded, INVENTORY, any_case=True, min_probability=1.0)(text)
    assert expanded.text == text
    assert [expanded.surface(found) for found in (*expanded, *expanded.warnings)] == ["RA", "10U"]
    if expanded[0].long_form:
        mark = f" [{expanded[0].long_form}? {100 * expanded[0].probability:.0f} %]"
        assert expanded.replaced() == text.replace("RA", f"RA{mark}")


def test_half_a_surrogate_pair_is_read_like_any_unknown_character(expander):
    [one], [other] = expander(["\ud83d on RA", "\ufffd on RA"])
    assert one == other


def test_text_appended_changes_no_answer_of_an_earlier_full_window(loaded):
    prompt = PromptSettings(window=64, max_nodes=256)
    text = "The patient has RA and a CT. " * 12
    before = Expander(loaded, INVENTORY, prompt)(text)
    after = Expander(loaded, INVENTORY, prompt)(text + "Right axilla (RA) and RA. " * 9)
    same = [one for one, other in zip(before, after, strict=False) if one == other]
    assert len(same) >= len(before) - 6  # all but those of the last window
    assert same[:18] == list(before)[:18]


def test_a_definition_appended_changes_answers_of_the_window_that_was_not_full_only(loaded):
    prompt = PromptSettings(window=64, max_nodes=256)
    text = "The patient has RA and a CT. " * 12
    expander = Expander(loaded, INVENTORY, prompt)
    before, after = expander(text), expander(text + "Right axilla (RA).")
    defined = [one.evidence == "defined in text" for one in after if one.key == "RA"]
    assert defined == sorted(defined) and 2 <= sum(defined) <= 4  # the last window's, and its own
    assert list(after)[:18] == list(before)[:18]  # of the windows that were full


def test_a_question_that_does_not_fit_the_model_is_said_to_be_not_read(loaded):
    [expansion] = Expander(replace(loaded, max_depth=4), INVENTORY)("on RA")
    assert (expansion.long_form, expansion.evidence, expansion.probability) == (None, "not read", 0.0)
    assert not expansion.is_undecided
    shares = dict(zip(INVENTORY.long_forms("RA"), INVENTORY.log_priors("RA"), strict=True))
    assert {name: math.log(share) for name, share in expansion.alternatives} == pytest.approx(shares)


# Where answers come from


def test_each_answer_names_its_evidence(loaded, answer_with):
    answer_with(0.9, 0.1)
    inventory = Inventory.of([("BP", "blood pressure", 0, None), ("CT", "contractions", 0, None)])
    text = "rectal ache (RA), RA; BP, MTX, ZQI."
    expanded = Expander(loaded, inventory, glossary={"MTX": "methotrexate"})(text)
    assert [(e.short_form, e.long_form, e.evidence, e.sure) for e in expanded] == [
        ("RA", "rectal ache", "defined in text", True),
        ("RA", "rectal ache", "defined in text", True),
        ("BP", "blood pressure", "inventory", False),
        ("MTX", "methotrexate", "glossary", True),
        ("ZQI", None, "unlisted", False),
    ]
    assert [e.short_form for e in expanded.unlisted] == ["ZQI"]
    assert [e.probability for e in expanded] == [1, 1, pytest.approx(0.9), 1, 1]
    assert expanded.replaced() == ("rectal ache (RA), rectal ache; BP [blood pressure? 90 %], methotrexate, ZQI.")


def test_the_model_chooses_among_several_entries_of_the_glossary(loaded, answer_with):
    answer_with(0.2, 0.7, 0.1)
    expander = Expander(loaded, INVENTORY, glossary={"RA": ["reading aid", "rest area"]})
    [expansion] = expander("on RA")
    assert (expansion.long_form, expansion.evidence) == ("rest area", "glossary")
    assert [name for name, _ in expansion.alternatives] == ["rest area", "reading aid"]
    answer_with(0.2, 0.1, 0.7)
    assert expander("on RA")[0].evidence == "abstained"


def test_the_only_usual_sense_is_the_inventory_s(loaded, answer_with):
    answer_with(0.9, 0.05, 0.05)
    usual = Inventory.of([("RA", "room air", 1000, None), ("RA", "radial artery", 4, None)])
    assert Expander(loaded, usual)("RA")[0].evidence == "inventory"
    common = Inventory.of([("RA", "room air", 1000, None), ("RA", "radial artery", 40, None)])
    assert Expander(loaded, common)("RA")[0].evidence == "model"
    answer_with(0.05, 0.9, 0.05)
    assert Expander(loaded, usual)("RA")[0].evidence == "model"


def test_a_warning_comes_with_the_expansion_that_it_is_about(loaded):
    listed = Inventory.of([("MS", "morphine sulfate", 0, None)])
    expanded = Expander(loaded, listed)("MS 4 mg; known MS")
    assert [e.warning.notation if e.warning else None for e in expanded] == ["MS", None]
    assert [expanded.surface(w) for w in expanded.warnings] == ["MS"]


# What is sure


def test_an_answer_is_sure_from_the_least_probability_on(loaded, answer_with):
    answer_with(0.1, 0.1, 0.75, 0.05)
    assert not Expander(loaded, INVENTORY)("RA")[0].sure
    assert Expander(loaded, INVENTORY, min_probability=0.7)("RA")[0].sure
    assert not Expander(loaded, INVENTORY, min_probability=0.8)("RA")[0].sure
    answer_with(0.02, 0.01, 0.96, 0.01)
    assert Expander(loaded, INVENTORY)("RA")[0].sure
    with pytest.raises(ValueError, match=r"min_probability is 95; it must be between 0 and 1"):
        Expander(loaded, INVENTORY, min_probability=95)


def test_one_sense_per_text_is_the_likeliest_on_average_of_those_that_are_answered(loaded, monkeypatch):
    answers = iter([(0.1, 0.2, 0.6, 0.1), (0.8, 0.1, 0.05, 0.05), (0.05, 0.05, 0.1, 0.8)])

    def score_layouts(_model, layouts, **_):
        for layout in layouts:
            yield layout, [torch.tensor(next(answers)).log() for _ in layout.questions]

    monkeypatch.setattr("medalist.models.load.score_layouts", score_layouts)
    expanded = Expander(loaded, INVENTORY, one_sense_per_text=True, min_probability=0.4)("RA, RA, RA")
    assert [e.long_form for e in expanded] == ["rheumatoid arthritis", "rheumatoid arthritis", None]
    assert [e.probability for e in expanded] == [pytest.approx(p) for p in (0.45, 0.45, 0.8)]
    assert [e.sure for e in expanded] == [True, True, False]
    assert dict(expanded[0].alternatives)["room air"] == pytest.approx(0.325)


def test_a_run_is_read_in_passes_of_the_size_that_its_recipe_sets(tiny_run, tmp_path, monkeypatch):
    """It was set so that an evaluation fits the card; the default of 16,384 tokens may not."""
    run, sizes = tmp_path / "small", []
    shutil.copytree(tiny_run, run)
    values = yaml.safe_load((run / "recipe.yaml").read_text())
    values["evaluation"]["max_nodes"] = 512
    (run / "recipe.yaml").write_text(yaml.safe_dump(values))

    def score(_model, layouts, *, max_nodes, **_):
        sizes.append(max_nodes)
        for layout in layouts:
            yield layout, [torch.zeros(len(question.candidates)) for question in layout.questions]

    expander = Expander.load(run)
    monkeypatch.setattr(type(expander._loaded), "score", score)
    assert expander("CT or MS.") and sizes == [512]


@pytest.mark.parametrize("engine", [None, "glance"])
def test_a_run_tuned_from_one_that_reads_any_case_does_so_unless_told_otherwise(engine, tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "ward")
    values = yaml.safe_load((tmp_path / "ward/recipe.yaml").read_text())
    values["record"]["parent"] = {"name": "reader", "sha256": "0" * 64, "sources": [], "any_case": True}
    (tmp_path / "ward/recipe.yaml").write_text(yaml.safe_dump(values))
    shutil.copy(reader.HERE / "calibration.json", tmp_path / "ward")
    note = "mri and ct of the ms"
    assert [e.key for e in Expander.load(tmp_path / "ward", engine=engine)(note)] == ["MRI", "CT", "MS"]
    assert not Expander.load(tmp_path / "ward", engine=engine, any_case=False)(note)
    assert not Expander.load(tiny_run)(note)


def test_one_sense_per_text_leaves_alone_what_the_text_defines(loaded, answer_with):
    answer_with(0.1, 0.2, 0.6, 0.1)
    prompt = PromptSettings(window=32)
    text = (
        "RA, RA; " + "seen in clinic. " * 12 + "Rectal ache (RA), RA"
    )  # the definition is out of the first ones' window
    expanded = Expander(loaded, INVENTORY, prompt, one_sense_per_text=True)(text)
    answers = [(e.long_form, e.evidence, e.probability) for e in expanded]
    assert answers[:2] == [("room air", "model", pytest.approx(0.6))] * 2
    assert answers[2:] == [("Rectal ache", "defined in text", 1.0)] * 2


# With a calibration: a prior, and a decision of its own on whether it is a short form


def calibrated(loaded, **changes):
    weights = {"constant": 5.0, "model": 0.0} | dict.fromkeys(CLUES, 0.0) | {"numbered": -20.0}
    values = {"evidence": 1.0, "prior": 1.0, "is_short_form": weights, "short_form_from": 0.5, "offered_from": 0.9}
    return Expander(loaded, COUNTED, any_case=True, calibration=Calibration(**values | changes))


COUNTED = Inventory.of(
    [("RA", "rheumatoid arthritis", 900, None), ("RA", "room air", 9, None), ("D", "dextrose", 1, None)]
)


def test_the_prior_answers_where_the_text_says_nothing(loaded):
    [expansion] = calibrated(loaded, evidence=0.0)("on RA")
    assert (expansion.long_form, expansion.sure, expansion.evidence) == ("rheumatoid arthritis", True, "model")
    share = 900.5 / 910
    assert expansion.probability == pytest.approx(share / (1 + math.exp(-5)), abs=1e-6)


def test_a_calibrated_expander_declines_what_only_looks_like_a_short_form(loaded):
    first, second = calibrated(loaded, evidence=0.0)("RA; vitamin D daily")
    assert first.long_form == "rheumatoid arthritis"
    assert (second.long_form, second.evidence, second.sure) == (None, "abstained", False)
    assert second.probability == pytest.approx(1 - 1 / (1 + math.exp(15)))


def test_an_answer_that_is_not_sure_is_given_and_not_written(loaded):
    expander = calibrated(loaded, evidence=0.0, offered_from=0.995)
    expanded = expander("on RA")
    assert expanded[0].long_form == "rheumatoid arthritis"
    assert not expanded[0].sure
    assert expanded.replaced(unsure="leave") == "on RA"


@pytest.fixture
def reads(monkeypatch):
    """Let RA be rheumatoid arthritis beside methotrexate, and MTX always that; returns the texts that are read."""
    seen = []

    def score_layouts(_model, layouts, **_):
        for layout in layouts:
            seen.append(layout.text)
            ra = (0.9, 0.05, 0.05) if "methotrexate" in layout.text else (0.3, 0.4, 0.3)
            says = {"RA": ra, "MTX": (0.98, 0.01, 0.01)}
            yield layout, [torch.tensor(says[question.prompt.split()[-2]]).log() for question in layout.questions]

    monkeypatch.setattr("medalist.models.load.score_layouts", score_layouts)
    return seen


LISTED = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 1, None),
        ("RA", "room air", 1, None),
        ("MTX", "methotrexate", 900, None),
        ("MTX", "mitoxantrone", 9, None),
    ]
)


def glancing(loaded, *, glance=True, inventory=LISTED, **options):
    """An expander that is sure of MTX at a glance, and of nothing else."""
    weights = {"constant": 20.0} | dict.fromkeys(CLUES, 0.0)
    rule = Calibration(
        evidence=1.0,
        prior=1.0,
        is_short_form=weights | {"model": 0.0},
        short_form_from=0.5,
        offered_from=0.8,
        glance=Glance(prior=1.0, topic=0.0, is_short_form=weights, settled_from=0.9, usual_from=0.6)
        if glance
        else None,
    )
    return Expander(loaded, inventory, calibration=rule, **options)


def test_what_is_clear_at_a_glance_is_written_out_and_the_model_asked_the_rest(loaded, reads):
    ra, mtx = glancing(loaded)("RA on MTX")
    assert reads == ["RA on methotrexate"]
    assert (ra.long_form, ra.sure, ra.evidence) == ("rheumatoid arthritis", True, "model")
    assert (mtx.long_form, mtx.sure, mtx.evidence) == ("methotrexate", True, "inventory")
    assert mtx.probability == pytest.approx(900.5 / 910) and dict(mtx.alternatives)["mitoxantrone"] > 0
    assert (ra.start, ra.end, mtx.start, mtx.end) == (0, 2, 6, 9)


def test_no_model_reads_a_text_that_is_clear_at_a_glance(loaded, reads):
    [mtx] = glancing(loaded)("on MTX")
    assert (reads, mtx.long_form) == ([], "methotrexate")


def test_without_a_glance_the_model_is_asked_about_everything_in_the_text_as_it_stands(loaded, reads):
    ra, mtx = glancing(loaded, glance=False)("RA on MTX")
    assert reads == ["RA on MTX"]
    assert (ra.long_form, ra.sure, mtx.evidence) == ("room air", False, "model")


def test_about_the_user_s_own_short_forms_the_model_is_asked(loaded, reads):
    own = {"MTX": ["methotrexate", "methotrexate sodium"]}
    _, mtx = glancing(loaded, glossary=own)("RA on MTX")
    assert (reads, mtx.evidence) == (["RA on MTX"], "glossary")


def test_the_glossary_s_answers_are_written_out_too_and_definitions_stay_as_they_stand(loaded, reads):
    glancing(loaded, glossary={"WD": "ward day"})("Bed rest (BR), WD 2, BR on RA, MTX")
    assert reads == ["Bed rest (BR), ward day 2, Bed rest on RA, methotrexate"]


def test_text_appended_changes_nothing_that_is_written_out_in_an_earlier_full_window(loaded, reads):
    text = "The patient has RA and a CT, on MTX. " * 12
    expander = glancing(loaded)
    expander._encoder = Encoder(loaded.tokenizer, PromptSettings(window=64, max_nodes=256), max_depth=512)
    before, once = list(expander(text)), list(reads)
    del reads[:]
    after = list(expander(text + "RA, MTX. " * 30))
    assert len(once) > 3 and once[:-1] == reads[: len(once) - 1]
    assert after[:18] == before[:18]


def test_one_sense_per_text_keeps_where_an_answer_comes_from(loaded, reads):
    expanded = glancing(loaded, one_sense_per_text=True)("MTX, then RA and MTX")
    assert [one.evidence for one in expanded] == ["inventory", "model", "inventory"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [("Echo: MR, AF, EF 45%", "mitral regurgitation"), ("HFA MDI, MR caps", "modified release")],
)
def test_what_a_note_is_about_decides_where_the_model_does_not(loaded, text, answer):
    senses = {"MR": "mitral regurgitation|modified release", "AF": "atrial fibrillation", "EF": "ejection fraction"}
    senses |= {"MDI": "metered-dose inhaler", "HFA": "hydrofluoroalkane"}
    listed = Inventory.of([(key, name, 1, None) for key, names in senses.items() for name in names.split("|")])
    weights = {"constant": 20.0, "model": 0.0} | dict.fromkeys(CLUES, 0.0)
    rule = Calibration(evidence=0.0, prior=1.0, topic=0.0, is_short_form=weights, short_form_from=0.5, offered_from=0.5)
    undecided, told = (
        next(one for one in Expander(loaded, listed, calibration=each)(text) if one.short_form == "MR")
        for each in (rule, replace(rule, topic=9.0))
    )
    assert undecided.probability == pytest.approx(0.5) and told.probability > 0.55
    assert told.long_form == answer


def test_ordinary_words_in_lower_case_are_not_even_asked(loaded):
    listed = Inventory.of([("TO", "telephone order", 1, None), ("RA", "room air", 1, None)])
    plain = Expander(loaded, listed, any_case=True)
    assert [e.key for e in plain("went to bed on ra")] == ["TO", "RA"]
    weights = {"constant": 5.0, "model": 0.0} | dict.fromkeys(CLUES, 0.0)
    rule = Calibration(evidence=1.0, prior=1.0, is_short_form=weights, short_form_from=0.5, offered_from=0.5)
    assert [e.key for e in Expander(loaded, listed, any_case=True, calibration=rule)("went to bed on ra")] == ["RA"]


def test_the_reader_reads_a_note_as_the_readme_shows_it():
    note = (
        "71 y/o F with RA on MTX, SpO2 93% on RA. CTPA: no PE. Morphine 4 mg IV given. Hx of MS. Moved from PA. "
        "NO KNOWN ALLERGIES."
    )
    found = [(note[e.start : e.end], e.long_form) for e in Expander.load()(note)]
    assert found == [
        ("y/o", "year-old"),
        ("F", "female"),
        ("RA", "rheumatoid arthritis"),
        ("MTX", "methotrexate"),
        ("SpO2", "peripheral oxygen saturation"),
        ("RA", "room air"),
        ("CTPA", "computed tomography pulmonary angiography"),
        ("PE", "pulmonary embolism"),
        ("IV", "intravenous"),
        ("Hx", "history"),
        ("MS", "multiple sclerosis"),
        ("PA", None),
        ("NO", None),
    ]


# number formats


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_number_format_that_the_cpu_lacks_is_refused_before_anything_is_loaded(dtype, tiny_run, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: False)
    monkeypatch.setattr(medalist.expansion.expander, "load_run_scorer", None)
    with pytest.raises(ValueError, match=f"dtype is {dtype}, which .* leave it out, or take float32"):
        Expander.load(tiny_run, dtype=dtype)


@pytest.mark.skipif(not precision.cpu_has_bfloat16(), reason="this CPU has no instructions for bfloat16")
def test_a_number_format_is_that_of_the_model_whatever_the_run_was_trained_in(tiny_run):
    exact, short = Expander.load(tiny_run), Expander.load(tiny_run, dtype="bfloat16")
    assert (exact._loaded.model.dtype, short._loaded.model.dtype) == (torch.float32, torch.bfloat16)
    for one, other in zip(exact(NOTE), short(NOTE), strict=True):
        assert dict(one.alternatives) == pytest.approx(dict(other.alternatives), abs=0.02)


# llama.cpp


def test_a_gguf_file_is_read_as_its_run_is(gguf_run):
    """With the run's inventory, wording and calibration, which decide which short forms are answered, and how."""
    [gguf] = (gguf_run / "export").iterdir()
    for expander in (Expander.load(gguf), Expander.load(gguf_run, engine="llama.cpp")):
        assert type(expander._loaded).__name__ == "LlamaCpp"
        assert expander.device == torch.device("cpu")
        told, run = expander(NOTE), Expander.load(gguf_run)
        assert run._answers.calibration is not None
        assert (expander.inventory, expander._answers.calibration) == (run.inventory, run._answers.calibration)
        for one, other in zip(told, run(NOTE), strict=True):
            assert dict(one.alternatives) == pytest.approx(dict(other.alternatives), abs=0.02)
            assert (one.start, one.end, one.evidence) == (other.start, other.end, other.evidence)


def test_a_gguf_file_alone_needs_an_inventory_and_gets_its_tokenizer_from_itself(gguf_run, tmp_path):
    shutil.copy(gguf_run / "export/known-f16.gguf", tmp_path / "alone.gguf")
    with pytest.raises(ValueError, match=r"alone\.gguf is in no run's folder, so nothing says which short forms"):
        Expander.load(tmp_path / "alone.gguf", engine="llama.cpp")
    with pytest.raises(ValueError, match="dtype is bfloat16, but a GGUF file holds numbers of its own format"):
        Expander.load(tmp_path / "alone.gguf", dtype="bfloat16")
    alone = Expander.load(tmp_path / "alone.gguf", inventory=INVENTORY)(NOTE)
    assert [len(one.alternatives) for one in alone] == [2, 3, 3]
    beside = Expander.load(gguf_run, inventory=INVENTORY)
    plain = Expander(beside._loaded, INVENTORY, PromptSettings())(NOTE)
    for one, other in zip(alone, plain, strict=True):
        assert dict(one.alternatives) == pytest.approx(dict(other.alternatives), abs=0.02)


def test_a_gguf_file_in_the_folder_of_another_run_is_refused(gguf_run, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoint-*", "export"))
    shutil.copy(gguf_run / "export/known-f16.gguf", run / "known.gguf")
    with pytest.raises(ModelError, match="other tokens than the run's tokenizer: it is not an export of this run"):
        Expander.load(run / "known.gguf")
