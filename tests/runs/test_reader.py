"""The reader that comes with the package is evaluated like a run, but nothing is written into the package."""

from __future__ import annotations

import json

import pytest

from marking import marked
from medalist.data.embedded import clinical, reader
from medalist.data.items import make_items
from medalist.evaluation.calibration import make_cases
from medalist.evaluation.predictions import REST, REST_FILE, prediction_key, read_scores, rest_key
from medalist.evaluation.reading import decided, with_scores
from medalist.evaluation.result_files import read_metrics
from medalist.expansion.expander import Expander
from medalist.models.base import weights_sha256
from medalist.runs.evaluate import evaluate_base
from medalist.runs.held_out import HeldOut, read_marked
from medalist.runs.reader import evaluate_reader, in_listed_words, was_fitted_on
from medalist.trees.decisions import Calibration
from medalist.trees.prompt import PromptSettings

PACKAGED = Calibration.read(reader.HERE / "calibration.json")


@pytest.fixture
def tiny(loaded, monkeypatch):
    """The tiny model in place of the reader's."""
    monkeypatch.setattr("medalist.runs.reader.load_reader", lambda: loaded)
    return loaded


def test_its_results_go_to_the_folder_named_and_none_into_the_package(tiny, tmp_path, capsys):
    before = {path: path.stat().st_mtime_ns for path in reader.HERE.parent.rglob("*") if "__pycache__" not in str(path)}
    metrics, folder = evaluate_reader(limit=2, output=tmp_path / "out")
    assert folder == tmp_path / "out/evaluation/clinical-development"
    written = ["metrics.json", "predictions-after-glance.parquet", "predictions.parquet"]
    assert sorted(path.name for path in folder.iterdir()) == written
    assert read_metrics(folder) == metrics
    after = {path: path.stat().st_mtime_ns for path in reader.HERE.parent.rglob("*") if "__pycache__" not in str(path)}
    assert after == before
    assert "figures on it are optimistic" in " ".join(capsys.readouterr().err.split())


def test_it_was_fitted_on_all_embedded_notes_but_those_that_are_locked():
    assert [name for name in clinical.NOTES if was_fitted_on(name)] == [
        *("clinical-development", "clinical-blind", "clinical-look-alikes")
    ]
    assert not was_fitted_on("own.jsonl")


def test_it_is_measured_with_its_calibration_beside_the_baselines(tiny, tmp_path):
    metrics, _ = evaluate_reader(limit=2, output=tmp_path)
    assert list(metrics["models"]) == ["tuned"] and metrics["counts"]["passages"] == 2
    assert metrics["calibrated"]["offered_from"] == PACKAGED.offered_from
    assert {"first listed sense", "prior alone"} <= metrics["calibrated"]["slices"]["all"]["from_baselines"].keys()
    assert metrics["counts"]["passages_in_training_data"] == 0
    assert metrics["about"]["data"] == "clinical-development", "the locked half only if it is named"


def test_it_is_asked_with_the_wording_and_window_that_it_was_tuned_with(tiny, tmp_path):
    metrics, _ = evaluate_reader(limit=1, output=tmp_path)
    inventory = reader.inventory()
    [passage], _ = read_marked(clinical.NOTES["clinical-development"], inventory, 1)
    prompt = PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES)
    key = prediction_key(weights_sha256(reader.ADAPTER), [in_listed_words(passage, inventory)], inventory, prompt)
    assert metrics["about"]["keys"] == {"tuned": key, REST: rest_key(key, PACKAGED)}


def test_its_base_answers_the_same_questions_if_asked(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("medalist.runs.reader.load_base", lambda _: tiny)
    metrics, folder = evaluate_reader(limit=1, output=tmp_path, with_base=True)
    assert list(metrics["models"]) == ["base", "tuned"] and {"base", "tuned"} <= read_scores(folder).keys()
    cells = metrics["slices"]["all"]
    assert cells["difference"]["value"] == 0 and cells["base"]["count"] == cells["tuned"]["count"]
    monkeypatch.setattr("medalist.runs.reader.load_base", lambda _: pytest.fail("its predictions are stored"))
    again, _ = evaluate_reader(limit=1, output=tmp_path, with_base=True)
    assert again["slices"] == metrics["slices"]


def test_own_text_is_measured_with_own_senses(tiny, tmp_path):
    data, senses = tmp_path / "own.jsonl", tmp_path / "senses.csv"
    mentions = [{"start": 7, "end": 9, "long_form": "red apple"}]
    data.write_text(json.dumps({"id": "1", "text": "one in RA now", "mentions": mentions}) + "\n")
    senses.write_text("short_form,long_form\nRA,red apple\nRA,room air\n")
    metrics, folder = evaluate_reader(data, inventory=senses, output=tmp_path / "out")
    assert folder.name == "own" and metrics["counts"]["choice"] == 1
    assert metrics["baselines"]["first listed sense"]["accuracy"]["value"] == 1


def test_other_wordings_of_a_long_form_count_as_it():
    inventory, equivalents = reader.inventory(), reader.equivalents()
    short_form, wording, own = next(
        (short_form, wording, own)
        for wording, own in equivalents.items()
        for short_form, senses in inventory.senses.items()
        if own in [s.long_form for s in senses] and wording not in [s.long_form for s in senses] and "]" not in wording
    )
    passage = marked(f"seen [{short_form}={wording}] and [{short_form}={own}] and [{short_form}=none of these]")
    golds = [mention.long_form for mention in in_listed_words(passage, inventory).mentions]
    assert golds == [own, own, "none of these"]


def test_a_run_s_folder_and_choice_questions_are_refused(tiny, tiny_run, tmp_path):
    with pytest.raises(ValueError, match=r"is the folder of a run: name another one .* with --out"):
        evaluate_reader(output=tiny_run)
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text(json.dumps({"question": "Is it?", "options": ["yes", "no"], "answer": "yes"}) + "\n")
    with pytest.raises(ValueError, match="holds choice questions; the reader answers short forms"):
        evaluate_reader(quiz, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_measured_is_what_the_expander_answers(tmp_path):
    """With the real reader, on one note with all that the expander decides marked, at a glance or after reading."""
    inventory = reader.inventory()
    [passage], _ = read_marked(clinical.NOTES["clinical-development"], inventory, 1)
    found = {e.start: e for e in Expander.load()(passage.text) if e.alternatives}
    marks = [
        {"start": e.start, "end": e.end, "short_form": e.key, "long_form": inventory.long_forms(e.key)[0]}
        for e in found.values()
    ]
    data = tmp_path / "note.jsonl"
    data.write_text(json.dumps({"id": "1", "text": passage.text, "mentions": marks}))
    _, folder = evaluate_reader(data, output=tmp_path / "out")
    rest = read_scores(folder, REST_FILE)[REST]
    [marked_note], _ = read_marked(data, inventory, None)
    cases = make_cases(make_items([marked_note], inventory), read_scores(folder)["tuned"], inventory)
    cases = with_scores(cases, rest)
    assert len(cases) == len(found) > len(rest) > 0
    for case, decision in zip(cases, decided(cases, PACKAGED), strict=True):
        expansion = found[case.item.mention.start]
        offered = decision.short_form * max(decision.senses)
        answered = decision.short_form >= PACKAGED.short_form_from
        assert expansion.alternatives[0][1] == pytest.approx(offered, abs=1e-3)
        assert (expansion.long_form is not None) == answered
        assert expansion.sure == (answered and offered >= PACKAGED.offered_from)


@pytest.mark.parametrize("limit", [0, -5, 1.5, True])
def test_a_limit_that_is_no_number_of_passages_is_refused(limit, tmp_path):
    for call in (
        lambda: HeldOut(limit=limit),
        lambda: evaluate_reader(limit=limit, output=tmp_path),
        lambda: evaluate_base("embedded", data="clinical-development", limit=limit, output=tmp_path),
    ):
        with pytest.raises(ValueError, match=rf"^limit is {limit}; it must be a whole number and at least 1$"):
            call()
