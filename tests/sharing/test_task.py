"""The task file for lm-eval: the harness itself asks what Medalist asks, token for token, and finds the same
accuracy."""

import json
import shutil

import pytest
import yaml
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from marking import marked
from medalist.cli.app import main
from medalist.data.inventory import Inventory
from medalist.evaluation.predictions import read_scores
from medalist.runs.evaluate import evaluate_run
from medalist.runs.held_out import HeldOut, held_out
from medalist.runs.run import load_tuned, open_run
from medalist.sharing.task import encoded_alike, task_questions, write_task
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.tree import sequences

PASSAGES = 6
WINDOW = 48
INVENTORY = Inventory.of(
    [("RA", "rheumatoid arthritis", 0, None), ("RA", "room air", 0, None), ("CT", "computed tomography", 0, None)]
)


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """The tiny run, reading its passages in windows of a few dozen tokens."""
    folder = tmp_path_factory.mktemp("lm-eval") / "tiny"
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("evaluation", "checkpoint-*"))
    values = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    values["prompt"]["window"] = WINDOW
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return open_run(folder)


@pytest.fixture(scope="module")
def written(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks") / "task"
    counts = write_task(run, folder, HeldOut(limit=PASSAGES))
    return folder, counts


@pytest.fixture(scope="module")
def harness(run, written):
    """What lm-eval finds with the tuned model, and the token ids that it ran."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    tuned = load_tuned(run)
    asked = {}

    class Watched(HFLM):
        def _loglikelihood_tokens(self, requests, **options):
            asked.update({texts: (context, continuation) for texts, context, continuation in requests})
            return super()._loglikelihood_tokens(requests, **options)

    found = simple_evaluate(
        model=Watched(pretrained=tuned.model, tokenizer=tuned.tokenizer, batch_size=8),
        tasks=["medalist"],
        task_manager=TaskManager(include_path=str(written[0]), include_defaults=False),
        bootstrap_iters=0,
    )
    return found, asked


@pytest.fixture(scope="module")
def evaluated(run):
    metrics, folder = evaluate_run(run, HeldOut(limit=PASSAGES))
    return metrics, read_scores(folder)["tuned"]


def test_lm_eval_finds_the_accuracy_that_medalist_finds(harness, evaluated, written):
    (found, _), (metrics, _), (_, counts) = harness, evaluated, written
    assert found["results"]["medalist"]["acc,none"] == pytest.approx(metrics["slices"]["all"]["tuned"]["value"])
    assert counts.questions == metrics["counts"]["choice"] == len(found["samples"]["medalist"]) > 15


def test_every_candidate_has_the_same_log_probability_in_lm_eval(harness, evaluated):
    (found, _), (_, scores) = harness, evaluated
    for sample in found["samples"]["medalist"]:
        theirs = [score for ((score, _),) in sample["resps"]]
        ours = scores[sample["doc"]["passage"], sample["doc"]["mention"]][:-1]
        assert theirs == pytest.approx(ours.tolist(), abs=1e-4)


def test_lm_eval_runs_the_token_ids_of_the_trees(run, harness, written):
    (found, asked), (_, counts) = harness, written
    assert counts.encoded_otherwise == 0
    held, base = held_out(run, HeldOut(limit=PASSAGES)), load_tuned(run)
    encoder = Encoder(base.tokenizer, run.recipe.prompt, max_depth=base.max_depth)
    texts = {(s["doc"]["passage"], s["doc"]["mention"]): s["arguments"] for s in found["samples"]["medalist"]}
    compared, windows = 0, set()
    for passage in held.passages:
        for layout in encoder.encode(passage, held.inventory):
            trees = iter(sequences(layout.tree))
            for number, question in zip(layout.mentions, layout.questions, strict=True):
                ours = [next(trees) for _ in question.candidates][:-1]
                for arguments, (ids, predicted) in zip(texts.get((passage.id, number), ()), ours, strict=False):
                    context, continuation = asked[arguments]
                    assert [*context, *continuation] == ids
                    assert len(continuation) == predicted
                    compared += 1
                    windows.add((passage.id, layout.text))
    assert compared == len(asked) > 60
    assert len(windows) > PASSAGES, "passages are read in windows"


def test_a_question_is_asked_in_the_window_that_answers_it(loaded):
    sentences = [f"Sentence number {n} says nothing at all about it." for n in range(12)]
    passage = marked(" ".join([*sentences[:6], "Saturation on [RA=room air] was good.", *sentences[6:]]))
    encoder = Encoder(loaded.tokenizer, PromptSettings(window=64), max_depth=2048)
    [(text, question, record)] = task_questions([passage], INVENTORY, encoder)
    assert record["question"] == text + question.prompt
    assert "Saturation on RA was good." in text
    assert len(text) < len(passage.text) / 2
    assert record["candidates"] == (" rheumatoid arthritis\n", " room air\n")
    assert record["gold"] == 1


def test_mentions_without_a_choice_are_no_questions(loaded):
    passage = marked(
        "[RA=right atrium] and [CT=computed tomography] and [RA=none of these] and [RA] then [RA=room air]"
    )
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)
    found = list(task_questions([passage], INVENTORY, encoder))
    assert [record["mention"] for _, _, record in found] == [4]


def test_the_folder_is_all_that_lm_eval_needs_wherever_it_lies(written, tmp_path):
    """Read without medalist and without datasets' cache on disk, from another place."""
    from lm_eval.tasks import TaskManager

    folder, counts = written
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    assert "medalist" not in (moved / "questions.py").read_text(encoding="utf-8")
    for path in moved.iterdir():
        assert path.suffix == ".jsonl" or str(folder.parent.parent) not in path.read_text(encoding="utf-8")
    task = TaskManager(include_path=str(moved), include_defaults=False).load(["medalist"])["tasks"]["medalist"]
    assert len(task.test_docs()) == counts.questions
    assert task.test_docs().cache_files == [], "the text is copied nowhere"


def test_a_text_comes_back_as_it_was(tmp_path):
    """Line ends that only Unicode knows, braces that a template would read."""
    from lm_eval.tasks import TaskManager

    from medalist.sharing.task import _READER, _YAML, TASK

    question = {"question": "a\u2028b\x85{{ c }} {% d %}\n\nIn", "candidates": [" x\n", " y\n"], "gold": 1}
    (tmp_path / "questions.jsonl").write_text(json.dumps(question, ensure_ascii=False) + "\n", encoding="utf-8")
    (tmp_path / "questions.py").write_text(_READER, encoding="utf-8")
    about = {"task": TASK, "count": 1, "fingerprint": "0"}
    (tmp_path / "medalist.yaml").write_text(_YAML.format_map(about), encoding="utf-8")
    task = TaskManager(include_path=str(tmp_path), include_defaults=False).load(["medalist"])["tasks"]["medalist"]
    [document] = task.test_docs()
    context = task.fewshot_context(document, 0)
    requests = task.construct_requests(document, context, metadata=("medalist", 0, 1))
    assert [request.args for request in requests] == [(question["question"], " x\n"), (question["question"], " y\n")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [(r"[^\r\n\p{L}\p{N}]?\p{L}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+", True), (r".+|\n+", False)],
    ids=["words as Llama 3 has them", "lines"],
)
def test_tokens_that_join_over_the_seam_are_noticed(words, expected):
    """Llama 3 joins a full stop to the line breaks behind it, where no seam is; a tokenizer that knows no words joins
    all."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(
        ['It was good.\n\nIn "Saturation on RA was good.", RA means'] * 8,
        trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="!")
    encoder = Encoder(tokenizer, PromptSettings(), max_depth=2048)
    passage = marked("Saturation on [RA=room air] was good.")
    [(window, question, _)] = task_questions([passage], INVENTORY, encoder)
    assert encoded_alike(tokenizer, encoder, window, question) is expected


def test_the_verb_writes_the_task_and_never_over_a_folder(tiny_run, tmp_path, capsys):
    folder = tmp_path / "new" / "task"
    main_ends_well(["task", str(tiny_run), "--out", str(folder), "--limit", "2"])
    out = capsys.readouterr().out.splitlines()
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    assert out[0] == f"{len(lines)} questions"
    assert out[-1] == str(folder)
    with pytest.raises(SystemExit):
        main(["task", str(tiny_run), "--out", str(folder)])
    assert "exists already" in capsys.readouterr().err
    assert sorted(path.name for path in folder.parent.iterdir()) == ["task"]


def main_ends_well(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code
