"""`medalist privacy`: attacks on a run's own weights, on the right texts, kept, and shown in report and card.

Covers `cli.privacy` too.
"""

import html
import json
import shutil

import numpy as np
import pytest

from medalist.cli.app import main
from medalist.data.passage_files import write_jsonl
from medalist.evaluation.privacy import privacy_in_words
from medalist.runs import privacy as module
from medalist.runs.privacy import check_privacy, times_trained_on
from medalist.runs.report import write_report
from medalist.runs.run import open_run, privacy_of


@pytest.fixture(scope="module")
def attacked(tiny_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("privacy") / "tiny"
    shutil.copytree(tiny_run, folder)
    found, path = check_privacy(open_run(folder), texts=6)
    return folder, found, path


def test_members_are_training_texts_and_the_others_are_not(attacked, monkeypatch):
    folder, found, _ = attacked
    seen = []
    monkeypatch.setattr(module, "_losses", lambda loaded, run, texts, name: seen.append(texts) or losses(len(texts)))
    run = open_run(folder)
    check_privacy(run, texts=9)
    prepared = run.prepared()
    train = {passage.text for passage in prepared.passages("train")}
    held = {passage.text for split in ("validation", "test") for passage in prepared.passages(split)}
    assert {text.text for text in seen[0][:9]} <= train
    assert {text.text for text in seen[0][9:]} <= held
    assert len(seen[0]) == 18
    assert (found["members"], found["others"]) == (6, 6)


def losses(count):
    return {"words": np.arange(count, dtype=float), "answers": np.arange(count, dtype=float)}


def test_a_model_that_learnt_its_texts_by_heart_is_found_out(attacked, monkeypatch):
    folder, *_ = attacked

    def learnt(loaded, run, texts, name):
        values = np.random.default_rng(0).normal(5, 1, len(texts))
        values[:10] -= 2 * (name == "tuned")
        return {"words": values, "answers": np.full(len(texts), np.nan)}

    monkeypatch.setattr(module, "_losses", learnt)
    found, _ = check_privacy(open_run(folder), texts=10)
    [only] = found["attacks"]  # no text has a loss on answers, so there is no attack by them
    assert (only["signal"], only["auc"]["value"]) == ("words", 1.0)
    assert "a training text is told from another in 100.0 % of pairs" in privacy_in_words(found)[0]


def test_the_losses_are_those_of_the_models(attacked):
    folder, *_ = attacked
    run = open_run(folder)
    models = module.RunModels(run)
    texts = run.prepared().passages("train")[:3]
    for name in ("base", "tuned"):
        loaded = models.load(name)
        found = module._losses(loaded, run, texts, name)
        nll, counts = module.text_nll(loaded, [text.text for text in texts])
        assert found["words"] == pytest.approx(np.array(nll) / np.array(counts))
        alone = module._losses(loaded, run, texts[1:2], name)
        assert alone["answers"][0] == pytest.approx(found["answers"][1], abs=1e-4)
    assert not np.allclose(found["answers"], module._losses(models.load("base"), run, texts, "base")["answers"])


def test_a_second_call_attacks_nothing_again_and_other_weights_have_no_result(attacked, tmp_path, monkeypatch):
    folder, found, _ = attacked
    copy = tmp_path / "tiny"
    shutil.copytree(folder, copy)
    (copy / "evaluation/privacy.json").write_text(json.dumps(found))
    monkeypatch.setattr(module, "_losses", lambda *_: pytest.fail("attacked again"))
    again, _ = check_privacy(open_run(copy), texts=6)
    assert again == found
    assert privacy_of(open_run(copy)) == found
    (copy / "evaluation/privacy.json").write_text(json.dumps(found | {"tuned": "0" * 64}))
    assert privacy_of(open_run(copy)) is None


def test_report_and_card_show_it(attacked):
    folder, *_ = attacked
    found, _ = check_privacy(open_run(folder), texts=6)
    card = (folder / "adapter/README.md").read_text()
    page = write_report(open_run(folder)).read_text()
    assert "## Privacy" in card
    assert "Do the weights tell which texts they were tuned on?" in page
    for line in privacy_in_words(found):
        assert line in card
        assert line in html.unescape(page)


def test_a_file_that_was_trained_on_is_no_file_of_others(attacked, tmp_path):
    folder, *_ = attacked
    run = open_run(folder)
    write_jsonl(run.prepared().passages("train"), tmp_path / "seen.jsonl")
    with pytest.raises(ValueError, match=r"There are no others to compare.*Name a file with --others"):
        check_privacy(run, others=tmp_path / "seen.jsonl")


def test_a_run_whose_data_is_gone_asks_for_files(attacked, monkeypatch, capsys):
    folder, *_ = attacked
    monkeypatch.setattr("medalist.runs.run.is_prepared", lambda _: False)
    with pytest.raises(SystemExit):
        main(["privacy", str(folder)])
    assert capsys.readouterr().err.strip() == (
        f"The data of {folder} is gone, so name it: --members FILE (trained on) and --others FILE (not)"
    )


def test_how_often_training_saw_a_text_counts_to_the_kept_checkpoint(attacked):
    folder, found, _ = attacked
    run = open_run(folder)
    run.record["training"] |= {"best_checkpoint": "checkpoint-30", "steps": 60, "passages": 40}
    assert times_trained_on(run) == 30 * run.recipe.training.passages_per_step / 40
    assert 0 < found["trained_on"] < 1


def test_the_command_prints_the_table_and_the_path(attacked, capsys):
    folder, *_ = attacked
    with pytest.raises(SystemExit) as stop:
        main(["privacy", str(folder), "--texts", "6"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "the answers to its questions" in shown
    assert shown.strip().endswith("privacy.json")
