"""The claims table: every claim has a figure for both models, and a verdict never says more than its interval.

Covers `measured`.
"""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passage_files import write_jsonl
from medalist.data.passages import Mention, Passage
from medalist.evaluation.claims_table import CLAIMS, cell_text, change_text, not_measured, verdict
from medalist.evaluation.generation import Answer
from medalist.evaluation.result_files import read_claims
from medalist.recipe import Recipe
from medalist.runs import claims as module
from medalist.runs import measured as measured_module
from medalist.runs.claims import check_claims
from medalist.runs.held_out import HeldOut
from medalist.runs.report import write_report
from medalist.runs.run import open_run

INVENTORY = Inventory.of(
    [("RA", "room air", 0, None), ("RA", "right atrium", 0, None), ("RA", "rheumatoid arthritis", 0, None)]
)
NOTES = [
    Passage(id=str(n), text="on RA now", mentions=(Mention(start=3, end=5, short_form="RA", long_form="room air"),))
    for n in range(4)
]
ITEMS = make_items(NOTES, INVENTORY)


QUESTION = {"question": "Is it?", "context": "It is.", "answer": "yes"}


@pytest.fixture(scope="module")
def checked(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims") / "tiny"
    shutil.copytree(tiny_run, folder)
    queries, natural, senses = (folder.parent / name for name in ("queries.jsonl", "natural.jsonl", "senses.csv"))
    rows = [QUESTION | {"pmid": str(n), "context": f"It is {n}."} for n in range(4)]
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_jsonl(NOTES, natural)
    INVENTORY.write(senses)
    found, path = check_claims(
        open_run(folder), mentions=3, queries=queries, natural=HeldOut(data=natural, inventory=senses)
    )
    return folder, found, path


def test_every_claim_is_measured_for_both_models(checked):
    _, found, path = checked
    assert {row["claim"] for row in found["rows"]} == set(CLAIMS)
    assert json.loads(path.read_text(encoding="utf-8")) == found
    for row in found["rows"]:
        assert row["verdict"] == verdict(row["difference"], row["better"])
        for model in ("base", "tuned"):
            assert row[model]["low"] <= row[model]["value"] <= row[model]["high"]
        if row["unit"] != "perplexity":
            gain = row["tuned"]["value"] - row["base"]["value"]
            assert row["difference"]["value"] == pytest.approx(gain)


def test_accuracies_are_those_of_the_evaluation_and_come_with_a_baseline(checked):
    folder, found, _ = checked
    metrics = json.loads((folder / "evaluation/test/metrics.json").read_text())
    row = found["rows"][0]
    assert row["tuned"] == metrics["slices"]["all"]["tuned"]
    strongest = max(cell["accuracy"]["value"] for cell in metrics["baselines"].values())
    assert row["baseline"].startswith(f"{100 * strongest:.1f} (")


def test_queries_and_natural_short_forms_are_those_of_their_evaluations(checked):
    folder, found, _ = checked
    for claim, metric, name in (
        ("queries", "right (queries)", "queries"),
        ("forgetting", "natural short forms: right (natural)", "natural"),
    ):
        [row] = [row for row in found["rows"] if (row["claim"], row["metric"]) == (claim, metric)]
        cells = json.loads((folder / f"evaluation/{name}/metrics.json").read_text())["slices"]["all"]
        assert (row["base"], row["tuned"], row["difference"]) == (cells["base"], cells["tuned"], cells["difference"])
        assert row["difference"]["count"] == 4
        assert "100.0 (" in row["baseline"], "always yes; the first listed sense"


def test_what_was_not_named_is_said_to_be_missing(checked, tmp_path):
    _, found, _ = checked
    assert not_measured(found) == []
    rest = {**found, "rows": [row for row in found["rows"] if "(" not in row["metric"] or "embedded" in row["metric"]]}
    queries, natural = not_measured(rest)
    assert "--queries FILE" in queries and "--natural FILE" in natural


def test_files_of_the_other_kind_are_refused_before_anything_is_measured(checked, monkeypatch):
    folder, *_ = checked
    run, files = open_run(folder), folder.parent
    monkeypatch.setattr(module, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(ValueError, match=r"natural\.jsonl does not hold choice questions, as --queries must"):
        check_claims(run, mentions=3, queries=files / "natural.jsonl")
    with pytest.raises(ValueError, match=r"queries\.jsonl does not hold marked passages, as --natural must"):
        check_claims(run, mentions=3, natural=HeldOut(data=files / "queries.jsonl"))


def test_texts_that_were_all_trained_on_prove_no_claim(checked, tmp_path, monkeypatch):
    folder, *_ = checked
    run = open_run(folder)
    monkeypatch.setattr(module, "measure", lambda *_: pytest.fail("measured"))
    write_jsonl(run.prepared().passages("train")[:5], tmp_path / "taught.jsonl")
    taught = HeldOut(data=tmp_path / "taught.jsonl")
    with pytest.raises(ValueError, match=r"trained on all texts of .*taught\.jsonl: name others with --natural"):
        check_claims(run, mentions=3, natural=taught)


def test_a_second_call_measures_nothing_again(checked, monkeypatch):
    folder, found, _ = checked
    monkeypatch.setattr(module, "measure", lambda *_: pytest.fail("measured again"))
    (folder / "evaluation/test/claims-begun.json").write_text("{}")
    again, _ = check_claims(open_run(folder), mentions=3)
    assert again == found
    assert not (folder / "evaluation/test/claims-begun.json").exists()


def test_another_number_of_answers_is_another_table(checked, monkeypatch):
    folder, *_ = checked
    monkeypatch.setattr(module, "measure", lambda *_: (_ for _ in ()).throw(RuntimeError("measures")))
    with pytest.raises(RuntimeError, match="measures"):
        check_claims(open_run(folder), mentions=2)


def test_a_stopped_command_goes_on_where_it_ended_and_keeps_no_text(tmp_path, monkeypatch):
    done, stop = [], [7]

    def work(what, result):
        if len(done) == stop[0]:
            raise KeyboardInterrupt
        done.append(what)
        return result

    def answers(_loaded, items, *_, **__):
        return (work(item.passage.id, Answer(text="canary room air", seconds=len(done))) for item in items)

    def score(*_, label, **__):
        return work(label, {("a", 1): np.array([0.1, -2.0])}), None

    monkeypatch.setattr(measured_module, "text_nll", lambda *_: work("english", ([3.0, 1.0], [2, 1])))
    monkeypatch.setattr(measured_module, "generate_answers", answers)
    monkeypatch.setattr(measured_module, "score_texts", score)
    text = module.MarkedText(passages=NOTES, inventory=INVENTORY)
    run = SimpleNamespace(recipe=Recipe())

    def measure(folder):
        begun = measured_module.Begun(folder, {"keys": "1"})
        return [
            measured_module.measure(lambda name=name: work(f"load {name}", name), run, ITEMS, text, text, name, begun)
            for name in ("base", "tuned")
        ]

    for at in range(0, 16, 3):
        folder = tmp_path / str(at)
        folder.mkdir()
        done.clear()
        stop[0] = at
        with pytest.raises(KeyboardInterrupt):
            measure(folder)
        assert "canary" not in "".join(path.read_text(encoding="utf-8") for path in folder.iterdir())
        stop[0] = -1
        measured = measure(folder)
        parts = [what for what in done if not what.startswith("load")]
        assert parts == [
            what
            for name in ("base", "tuned")
            for what in ("english", *"0123", f"Dangerous pairs, {name}", f"Clinical notes, {name}")
        ]
    assert [(one.right, one.share, one.words) for one in measured[1].answers] == [(0.0, 2 / 3, 3.0)] * 4
    assert (measured[1].english.tolist(), measured[1].elsewhere["a", 1].tolist()) == ([1.5, 1.0], [0.1, -2.0])


def test_what_was_kept_for_another_table_or_is_damaged_is_measured_again(tmp_path, capsys):
    begun = measured_module.Begun(tmp_path, {"keys": 1})
    begun.of("base")["english"] = [1.0]
    begun.write()
    assert measured_module.Begun(tmp_path, {"keys": 1}).of("base") == {"english": [1.0]}
    assert measured_module.Begun(tmp_path, {"keys": 2}).of("base") == {}
    for damage in ("{", '{"made_of": {"keys": 1}, "models": {"base": {"answers": [[1]]}}}'):
        (tmp_path / "claims-begun.json").write_text(damage)
        assert measured_module.Begun(tmp_path, {"keys": 1}).of("base") == {}
        assert "All is measured again." in " ".join(capsys.readouterr().err.split())


def test_a_table_of_other_predictions_is_not_shown(checked, tmp_path):
    _, _, path = checked
    copy = tmp_path / "test"
    shutil.copytree(path.parent, copy)
    assert read_claims(copy) is not None
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["about"]["keys"]["tuned"] = "of other weights"
    (copy / "metrics.json").write_text(json.dumps(metrics))
    assert read_claims(copy) is None


def test_the_report_shows_the_table(checked):
    folder, found, _ = checked
    page = write_report(open_run(folder)).read_text(encoding="utf-8")
    for heading in CLAIMS.values():
        assert heading in page
    for row in found["rows"]:
        assert row["metric"] in page
        assert cell_text(row, "tuned").split(" ")[0] in page


def test_a_run_without_tuned_model_is_refused(checked, tmp_path):
    folder, *_ = checked
    shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("adapter"))
    with pytest.raises(FileNotFoundError, match="no tuned model yet"):
        check_claims(open_run(tmp_path / "run"))


def scores(*rows):
    return {item.key: np.array(row) for item, row in zip(ITEMS, rows, strict=True)}


def test_confidently_wrong_is_wrong_with_high_probability():
    found = scores([9.0, 0, 0, 0], [0, 9.0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 9.0])
    # right and sure; wrong and sure; wrong but unsure; declines
    assert module._confidently_wrong(ITEMS, found).tolist() == [0, 1, 0, 0]
    assert module._right(ITEMS, found).tolist()[:3] == [1, 0, 0]


def test_declining_is_judged_with_the_gold_taken_away():
    found = scores([9.0, 0, 0, 1.0], [9.0, 2.0, 0, 1.0], [0, 0, 0, 1.0], [0, 1.0, 0, 0])
    assert module._hidden(ITEMS, found).tolist() == [1, 0, 1, 0]


def test_free_answers_are_judged_one_by_one():
    def model(*texts):
        answers = [Answer(text=text, seconds=1.0) for text in texts]
        judged = [measured_module.Judged.of(answer, item) for answer, item in zip(answers, ITEMS, strict=True)]
        return module.Measured(answers=judged, dangerous={}, elsewhere={}, english=np.zeros(0))

    measured = {
        # invented; another sense; declined; the answer and six words more
        "base": model("Lebenwelle", "right atrium", "none of these", "room air is air in a room"),
        "tuned": model("room air", "Room airs.", "none of these", "room air"),
    }
    rows = {row["metric"]: row for row in module._generation_rows(ITEMS, measured, "50.0 (majority)", 100)}
    exact, invented, relevant, words = rows.values()
    assert (exact["base"]["value"], exact["tuned"]["value"]) == (0, 0.75)
    assert (invented["base"]["value"], invented["tuned"]["value"]) == (0.25, 0)
    assert relevant["base"]["value"] == pytest.approx(2 / 7 / 4)
    assert (words["base"]["value"], words["tuned"]["value"]) == (13 / 4, 9 / 4)


def test_perplexity_is_worse_when_it_rises():
    def model(value):
        return module.Measured(answers=[], dangerous={}, elsewhere={}, english=np.full(12, np.log(value)))

    row = module._perplexity_row({"base": model(20.0), "tuned": model(25.0)}, 100)
    assert (row["base"]["value"], row["tuned"]["value"]) == (pytest.approx(20), pytest.approx(25))
    assert row["difference"]["value"] == pytest.approx(0.25)
    assert row["verdict"] == "worse"
    assert change_text(row) == "+25.0 % (+25.0 to +25.0)"


def test_the_baseline_of_other_texts_is_the_best_of_list_prior_majority_and_copy():
    spelt_out = Passage(
        id="c",
        text="room air: on RA now",
        mentions=(Mention(start=13, end=15, short_form="RA", long_form="room air"),),
    )
    seen = Inventory.of([("RA", "right atrium", 5, None)])
    items = make_items([*NOTES, spelt_out], INVENTORY)
    assert module._strongest_baseline(items, seen, INVENTORY) == "100.0 (first listed sense)"
    turned = Inventory.of([("RA", "right atrium", 2, None), ("RA", "room air", 1, None)])
    assert module._strongest_baseline(make_items([*NOTES, spelt_out], turned), seen, turned) == (
        "20.0 (copy, else majority)"
    )
    assert module._strongest_baseline(ITEMS, Inventory.of([("RA", "room air", 5, None)])) == "100.0 (majority)"


def test_clinical_notes_are_a_row_with_their_baseline():
    def model(*rows):
        return module.Measured(answers=[], dangerous={}, elsewhere=scores(*rows), english=np.zeros(0))

    right, wrong = [9.0, 0, 0, 0], [0, 9.0, 0, 0]
    measured = {"base": model(right, wrong, wrong, wrong), "tuned": model(right, right, right, wrong)}
    text = module.MarkedText(passages=NOTES, inventory=INVENTORY)
    [row] = module._adaptability_rows({"slices": {}, "baselines": {}}, text, measured, Inventory.of([]), 200)
    assert (row["base"]["value"], row["tuned"]["value"]) == (0.25, 0.75)
    assert row["baseline"] == "100.0 (majority)"
