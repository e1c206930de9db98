"""Choice questions all the way on the tiny model: encoded, scored, tuned on, evaluated, reported."""

import json
import re
import shutil

import pytest
import torch
import yaml
from torch.testing import assert_close

from medalist.cli.app import main
from medalist.data.inventory import NO_SENSES
from medalist.data.quizzes import Choice, Quiz
from medalist.recipe import Recipe, RecipeError, TrainingSettings, load_recipe, parse_recipe
from medalist.runs.prepare import data_folder, prepare
from medalist.runs.prepared import open_prepared
from medalist.training.batches import TreeDataset, collate
from medalist.training.tune import TuningData, tune
from medalist.trees.attention_check import separate_score
from medalist.trees.losses import question_losses
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.scoring import score_tree
from medalist.trees.tree import sequences

LABELS = ("yes", "no", "maybe")
WORDS = {"yes": "rose", "no": "fell", "maybe": "swung"}


def quiz(number, label):
    choice = Choice(question="Did the pressure rise?", options=LABELS, gold=LABELS.index(label))
    letters = "abcdefghij"[number % 10] + "klmn"[number // 10]  # digits do not tell texts apart
    return Quiz(
        id=str(number), text=f"In case {letters} the pressure {WORDS[label]}.", choices=(choice,), source="made"
    )


QUIZZES = [quiz(number, LABELS[number % 3]) for number in range(12)]
EXAM = Quiz(
    id="exam",
    text="The right atrium was paced. The patient had a normal saturation.",
    choices=(
        Choice(question="Which part was paced?", options=("right atrium", "left atrium", "the chest"), gold=0),
        Choice(question="Was it normal?", options=("yes", "no"), gold=0),
    ),
)


def encoder(loaded, **settings):
    return Encoder(loaded.tokenizer, PromptSettings(**settings), max_depth=loaded.max_depth)


def asked(loaded, layout):
    """What the model reads and answers for each candidate, decoded from the tree."""
    return [
        (
            loaded.tokenizer.decode(tokens[:-predicted], skip_special_tokens=True),
            loaded.tokenizer.decode(tokens[-predicted:], skip_special_tokens=True),
        )
        for tokens, predicted in sequences(layout.tree)
    ]


def test_a_quiz_is_one_tree_of_its_text_its_questions_and_their_options_alone(loaded):
    [layout] = encoder(loaded).encode(EXAM, NO_SENSES)
    first, second = (f"{EXAM.text}\n\nQuestion: {choice.question}\nAnswer:" for choice in EXAM.choices)
    assert asked(loaded, layout) == [
        (first, " right atrium\n"),
        (first, " left atrium\n"),
        (first, " the chest\n"),
        (second, " yes\n"),
        (second, " no\n"),
    ]
    assert layout.tree.token_ids.tolist().count(loaded.tokenizer.bos_token_id) == 1
    assert (layout.text_id, layout.mentions) == ("exam", (0, 1))


def test_scores_of_a_quiz_are_those_of_separate_sequences(loaded):
    [layout] = encoder(loaded).encode(EXAM, NO_SENSES)
    alone = [separate_score(loaded.model, ids, predicted) for ids, predicted in sequences(layout.tree)]
    assert_close(score_tree(loaded.model, layout.tree, "sdpa"), torch.stack(alone), atol=1e-4, rtol=0)


def test_a_text_that_is_the_question_is_not_asked_twice(loaded):
    stem = Quiz(id="1", text="Which nerve was cut?", choices=(Choice(question="", options=("a", "b"), gold=0),))
    [layout] = encoder(loaded).encode(stem, NO_SENSES)
    assert asked(loaded, layout)[0] == ("Which nerve was cut?\nAnswer:", " a\n")


def test_of_a_long_text_whole_sentences_at_its_end_are_kept_and_it_is_counted(loaded):
    text = "The chest was normal. " * 20 + "At last the pressure fell."
    made = encoder(loaded, window=40)
    [layout] = made.encode(Quiz(id="1", text=text, choices=EXAM.choices), NO_SENSES)
    read, _ = asked(loaded, layout)[0]
    kept = read.split("\n\nQuestion")[0]
    assert text.endswith(kept)
    assert kept.startswith("The chest")
    assert 20 < len(loaded.tokenizer(kept, add_special_tokens=False).input_ids) <= 40
    assert (made.cut, made.dropped) == (1, 0)
    made.encode(EXAM, NO_SENSES)
    assert made.cut == 1


def test_a_question_that_does_not_fit_the_model_is_dropped_whole_and_counted(loaded):
    made = Encoder(loaded.tokenizer, PromptSettings(), max_depth=60)
    long = Choice(question="Which? " * 60, options=("yes", "no"), gold=0)
    [layout] = made.encode(Quiz(id="1", text="Text.", choices=(long, EXAM.choices[1])), NO_SENSES)
    assert (layout.mentions, made.dropped) == ((1,), 1)


def test_closed_questions_are_not_trained_to_abstain(loaded):
    """Their loss is the listwise one, whatever the weight of the hidden gold and whichever option is the last."""
    options = ("right atrium", "left atrium", "the chest")
    orders = [options, (options[0], options[2], options[1]), (*options, "none")]
    exam = Quiz(id="1", text="A.", choices=tuple(Choice(question="Which?", options=o, gold=0) for o in orders))
    made = TreeDataset([exam], encoder(loaded), NO_SENSES, TrainingSettings(candidates=2), seed=0)
    batch = collate([made[0]])
    layout = made[0].layouts[0]
    assert [len(question.candidates) for question in layout.questions] == [3, 3, 4], "every option, whatever the sample"
    scores = score_tree(loaded.model, layout.tree, "sdpa")
    found = question_losses(
        scores,
        layout.tree.candidate_question,
        batch["gold"],
        batch["null"],
        likelihood_weight=0.0,
        hidden_gold_weight=5.0,
    )
    by_hand = [-part.log_softmax(0)[0] for part in scores.split([3, 3, 4])]
    assert_close(found, torch.stack(by_hand), atol=1e-5, rtol=0)


def test_tuning_on_choices_learns_them(loaded, tmp_path):
    settings = TrainingSettings(
        rank=4, learning_rate=1e-2, passages_per_step=4, passages_per_pass=4, evaluate_every=6, epochs=8
    )
    recipe = Recipe(name="t", output=str(tmp_path), training=settings)
    (tmp_path / "t").mkdir()
    counts = tune(loaded, recipe, TuningData(train=QUIZZES, validation=QUIZZES, inventory=NO_SENSES), tmp_path / "t")
    assert (counts["mentions"], counts["dropped_mentions"], counts["cut_texts"]) == (12, 0, 0)
    log = [json.loads(line) for line in (tmp_path / "t/log.jsonl").read_text().splitlines()]
    accuracy = [line["eval_accuracy"] for line in log if "eval_accuracy" in line]
    assert accuracy[-1] > 0.9 > accuracy[0]


# The commands, on files.


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file in PubMedQA's layout, one of exam questions, and marked passages."""
    folder = tmp_path_factory.mktemp("choices")
    rows = [
        {
            "pmid": str(n),
            "question": q.choices[0].question,
            "context": ["The chest was normal. " * (20 if n % 5 == 0 else 0), q.text],
            "answer": LABELS[n % 3],
        }
        for n, q in enumerate(quiz(number, LABELS[number % 3]) for number in range(40))
    ]
    rows.append(rows[0] | {"pmid": "40", "question": "Was the pressure measured?", "answer": "yes"})
    (folder / "qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"A": "right atrium", "B": "right ventricle"}
    exam = [{"question": f"Case {n}: what was paced?", "options": options, "answer_idx": "AB"[n % 2]} for n in range(4)]
    exam[1]["options"] = {"A": "chest", "B": "right atrium"}
    (folder / "exam.jsonl").write_text("".join(json.dumps(row) + "\n" for row in exam))
    (folder / "notes.jsonl").write_text(
        '{"id": "1", "text": "RA", "mentions": [{"start": 0, "end": 2, "long_form": "room air"}]}'
    )
    return folder


@pytest.fixture(scope="module")
def run(files, model_folder):
    """A run on choice questions, trained by the command for four steps and evaluated."""
    recipe = {"name": "qa", "output": str(files / "runs"), "model": {"base": str(model_folder)}}
    recipe |= {
        "prompt": {"window": 96},
        "data": {"source": "choices", "path": "qa.jsonl"},
        "evaluation": {"bootstrap": 200},
    }
    (files / "qa.yaml").write_text(yaml.safe_dump(recipe))
    main_quietly("train", files / "qa.yaml", f"data.path={files / 'qa.jsonl'}", "training.max_steps=4", "data.test=0.4")
    main_quietly("evaluate", files / "runs/qa")
    return files / "runs/qa"


def main_quietly(*arguments):
    """Run a command to its end; typer always leaves by SystemExit."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert not stop.value.code


def command(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    done = capsys.readouterr()
    return stop.value.code or 0, done.out, done.err


@pytest.mark.parametrize("prepared", [False, True])
def test_a_plan_lays_the_questions_themselves_out(files, run, tmp_path, prepared, capsys):
    overrides = [f"data.path={files / 'qa.jsonl'}", "training.max_steps=4", "data.test=0.4"]
    if not prepared:  # by the training, in the folder beside its runs
        overrides.append(f"output={tmp_path / 'runs'}")
    code, out, _ = command(capsys, "plan", files / "qa.yaml", *overrides, "--json")
    found = json.loads(out)
    count = len(open_prepared(data_folder(load_recipe(run / "recipe.yaml"))).quizzes("train"))
    assert code == 0 and found["trees"] == f"{count} texts from choices; tokens counted by the model's tokenizer"
    assert 4 <= found["mentions"] < 4.5, "four texts a step, of which one in forty has a second question"
    assert not (tmp_path / "data").exists(), "a plan leaves nothing behind"


def test_choice_questions_neither_are_nor_have_a_parent(files, run, fresh_run, tmp_path, capsys):
    places = [f"output={tmp_path / 'runs'}"]
    code, _, err = command(capsys, "train", "--from", run, "--data", files / "notes.jsonl", *places)
    assert code == 1 and err.startswith(
        f"{run} is about choice questions; only runs on short forms can be tuned further"
    )
    code, _, err = command(
        capsys, "train", files / "qa.yaml", "--from", fresh_run, "--data", files / "qa.jsonl", *places
    )
    assert (
        code == 1
        and err == f"{files / 'qa.jsonl'} holds choice questions, not marked passages: set data.source=choices\n"
    )
    code, _, err = command(
        capsys, "train", files / "qa.yaml", f"data.path={files / 'qa.jsonl'}", "--from", fresh_run, *places
    )
    assert code == 1 and err.startswith(
        "the recipe is about choice questions; only runs on short forms can be tuned further"
    )
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_run_on_choices_compares_base_and_tuned_on_its_test_split(run, capsys):
    code, out, _ = command(capsys, "evaluate", run, "--json")
    assert code == 0
    metrics = json.loads(out)
    assert set(metrics["models"]) == {"base", "tuned"}
    assert {"most frequent answer in training", "chance"} <= set(metrics["baselines"])
    assert metrics["counts"]["choice"] > 5
    assert metrics["counts"]["passages_in_training_data"] == 0
    assert set(metrics["labels"]) == set(LABELS)
    _, summary, _ = command(capsys, "evaluate", run)
    assert "questions about" in summary and "Macro F1, %: base" in summary
    _, out, _ = command(capsys, "evaluate", run, "--details")
    for part in (
        "questions about",
        "macro F1",
        "most frequent answer in training",
        "95 % interval",
        "gain",
        "maybe",
    ):
        assert part in out, part


def test_two_questions_about_one_text_are_in_one_split(run):
    prepared = prepare(load_recipe(run / "recipe.yaml"))
    homes = {
        split: [q for q in prepared.quizzes(split) if len(q.choices) == 2] for split in prepared.account["passages"]
    }
    assert sum(map(len, homes.values())) == 1
    assert sum(prepared.account["mentions"].values()) == 41
    assert not any(prepared.passages(split) for split in homes)


def test_predictions_hold_no_text_and_are_used_again(run, capsys, monkeypatch):
    import medalist.runs.evaluate as evaluation

    before = (run / "evaluation/test/metrics.json").read_text()
    assert json.loads(before)["counts"]["cut"] > 0
    monkeypatch.setattr(evaluation, "score_texts", None)
    assert command(capsys, "evaluate", run)[0] == 0
    assert (run / "evaluation/test/metrics.json").read_text() == before
    assert b"pressure" not in (run / "evaluation/test/predictions.parquet").read_bytes()


def test_another_choice_file_is_recognised_by_its_content(run, files, capsys):
    code, out, _ = command(capsys, "evaluate", run, "--data", files / "exam.jsonl", "--json")
    assert code == 0
    metrics = json.loads(out)
    assert metrics["labels"] is None
    assert metrics["counts"]["choice"] == 4
    assert set(metrics["models"]) == {"base", "tuned"}
    assert "most frequent place in training" in metrics["baselines"]


def test_a_run_on_short_forms_is_evaluated_on_choices(tiny_run, files, capsys, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")  # other tests count what the shared one holds
    code, out, _ = command(capsys, "evaluate", tmp_path / "run", "--data", files / "qa.jsonl", "--json")
    assert code == 0
    metrics = json.loads(out)
    assert metrics["counts"]["choice"] == 41
    assert metrics["slices"]["all"]["difference"]["count"] == 41
    assert set(metrics["baselines"]) == {"most frequent answer here", "chance"}


def test_a_bare_model_is_evaluated_on_choices_with_majority_from_a_training_file(
    model_folder, files, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", model_folder, "--data", files / "qa.jsonl", "--limit", 6, "--json"]
    code, out, _ = command(capsys, *arguments, "--train", files / "qa.jsonl")
    metrics = json.loads(out)
    assert (code, set(metrics["models"])) == (0, {"base"})
    assert metrics["counts"]["passages"] == 6
    assert metrics["counts"]["passages_in_training_data"] == 6
    assert "most frequent answer in training" in metrics["baselines"]


def test_report_and_card_speak_of_questions(run, files, capsys):
    command(capsys, "evaluate", run, "--data", files / "exam.jsonl")
    assert command(capsys, "report", run)[0] == 0
    page = (run / "report.html").read_text()
    for part in ("questions about", "macro F1", "Answers", "Did the pressure rise?", "no leak"):
        assert part in page, part
    assert "Expanding the text" not in page
    assert "short forms" not in re.sub(r"<details>.*?</details>", "", page, flags=re.DOTALL)
    card = (run / "adapter/README.md").read_text()
    assert card.startswith("---\nbase_model:")
    assert "short form" not in card
    assert "most frequent answer in training" in card


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        (("claims",), "The claims are about short forms, not choice questions"),
        (("expand", "RA"), "was trained on choice questions, so it lists no short forms to expand"),
        (("task", "--out", "asked"), "A task needs marked passages, but these are choice questions"),
    ],
)
def test_what_is_about_short_forms_alone_says_so_in_one_line(verb, message, run, capsys):
    code, out, err = command(capsys, verb[0], run, *verb[1:])
    assert (code, out) == (1, "")
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.path=null"], "data.path is not set: source choices reads a file"),
        (["data.inventory=glossary.csv"], "data.inventory and data.hold_out apply to short forms only"),
        (["data.hold_out=senses"], "data.inventory and data.hold_out apply to short forms only"),
    ],
)
def test_settings_that_choices_do_not_take_are_refused(overrides, message, files, tmp_path):
    (tmp_path / "glossary.csv").write_text("short_form,long_form\nRA,room air\n")
    overrides = [o.replace("glossary.csv", str(tmp_path / "glossary.csv")) for o in overrides]
    values = {"output": str(tmp_path / "runs"), "data": {"source": "choices", "path": str(files / "qa.jsonl")}}
    with pytest.raises((ValueError, RecipeError), match=message):
        prepare(parse_recipe(values, overrides))
    assert not list((tmp_path / "data").glob("choices-*"))
