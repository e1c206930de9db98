"""Laws that cut across modules; the others have their tests beside the module that could break them.

CONTRIBUTING.md states the laws and names the tests of each.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
import torch
from torch.testing import assert_close

from medalist.data.embedded.clinical import NOTES
from medalist.data.inventory import Inventory
from medalist.data.passages import Mention, Passage
from medalist.evaluation.predictions import score_texts
from medalist.expansion.bulk import Reading, expand_notes
from medalist.expansion.expander import Expander
from medalist.expansion.notes import NoteFile
from medalist.recipe import TrainingSettings
from medalist.training.batches import TreeDataset
from medalist.trees import scoring
from medalist.trees.attention_check import separate_score
from medalist.trees.losses import question_losses
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.scoring import score_tree
from medalist.trees.tree import build_tree, forest, sequences
from notes_server import running

PASSAGE = [5, 6, 7, 8, 9]
QUESTIONS = [([10, 11], [[12, 13, 14], [12, 15], [16]]), ([10, 17], [[18, 19], [20]])]
NOTE = "Seen with RA and MS. BP 150/90 on RA, HR 90; PE excluded by CT, secretphrase in family."


def loss(scores, tree, gold, null):
    options = {"likelihood_weight": 0.3, "hidden_gold_weight": 0.2}
    return question_losses(scores, tree.candidate_question, torch.tensor(gold), torch.tensor(null), **options).sum()


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def test_law_1_tree_gradients_equal_separate_gradients(tiny_llama):
    """One forest of two trees against every candidate as a plain sequence of its own."""
    trees = [build_tree(PASSAGE, QUESTIONS), build_tree(PASSAGE[2:], QUESTIONS[1:])]
    whole = forest(trees)
    gold, null = [0, 4, 5], [2, 4, 6]
    loss(score_tree(tiny_llama, whole, "sdpa"), whole, gold, null).backward()
    together = gradients(tiny_llama)

    alone = torch.stack([separate_score(tiny_llama, ids, count) for ids, count in sequences(whole)])
    loss(alone, whole, gold, null).backward()
    separate = gradients(tiny_llama)
    assert together.keys() == separate.keys()
    for name, gradient in separate.items():
        scale = gradient.abs().max().clamp(min=1e-3)
        assert_close(together[name] / scale, gradient / scale, atol=1e-4, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


def test_law_1_holds_in_bfloat16_within_its_tolerance(tiny_llama):
    model = tiny_llama.to(torch.bfloat16)
    tree = build_tree(PASSAGE, QUESTIONS)
    with torch.inference_mode():
        together = score_tree(model, tree, "sdpa")
        alone = torch.stack([separate_score(model, ids, count) for ids, count in sequences(tree)])
    assert_close(together, alone, atol=0.25, rtol=0.02)


def test_law_2_training_evaluation_and_expansion_put_the_same_tokens_to_the_model(loaded, monkeypatch):
    """The token ids of the trees that each of them scores, for one text with two short forms."""
    text = "Known RA. CT of the chest shows no embolism."
    senses = [
        ("RA", "rheumatoid arthritis"),
        ("RA", "room air"),
        ("CT", "computed tomography"),
        ("CT", "contraction time"),
    ]
    inventory = Inventory.of([(*sense, 0, None) for sense in senses])
    mentions = tuple(
        Mention(start=text.index(short), end=text.index(short) + 2, short_form=short, long_form=long)
        for short, long in (senses[0], senses[2])
    )
    passage = Passage(id="0", text=text, mentions=mentions)
    scored = []

    def watch(model, tree, attention):
        scored.append([(row, predicted) for row, predicted in sequences(tree)])
        return score_tree(model, tree, attention)

    monkeypatch.setattr(scoring, "score_tree", watch)
    score_texts(loaded, [passage], inventory, PromptSettings(), max_nodes=4096, label="")
    Expander(loaded, inventory)(text)
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=loaded.max_depth)
    trained = TreeDataset([passage], encoder, inventory, TrainingSettings(candidates=8), seed=0)[0].layouts
    evaluated, expanded = scored
    assert evaluated == expanded == [row for layout in trained for row in sequences(layout.tree)]
    assert len(evaluated) == len(senses) + 2, "two null candidates"


def test_law_8_alone_in_company_from_python_and_the_command_line_the_answer_is_the_same(tiny_run):
    expander = Expander.load(tiny_run)
    alone = expander(NOTE)
    company = expander(["Other text with CT and PE.", NOTE, "No short form here.", "MS again."])[1]
    command = [sys.executable, "-m", "medalist", "expand", tiny_run, NOTE, "--json"]
    printed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["expansions"]
    assert len(alone) == len(company) == len(printed) > 3
    for one, other, said in zip(alone, company, printed, strict=True):
        assert [name for name, _ in one.alternatives] == [name for name, _ in other.alternatives]
        assert one.probability == pytest.approx(other.probability, abs=1e-4)
        assert [name for name, _ in one.alternatives] == [other["long_form"] for other in said["alternatives"]]
        assert one.probability == pytest.approx(said["probability"], abs=1e-4)


def test_law_8_a_file_of_clinical_notes_gets_the_answers_that_each_note_gets_alone(tiny_run, tmp_path):
    """The first of the embedded notes, through a stream and through a file, against one call for each."""
    with NOTES["clinical-development"].open(encoding="utf-8") as file:
        notes = [json.loads(line) for line in islice(file, 6)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"id": n["id"], "text": n["text"]}) + "\n" for n in notes))
    expand_notes(
        NoteFile(path=tmp_path / "notes.jsonl"),
        tmp_path / "out.jsonl",
        Reading(run=str(tiny_run), any_case=True),
        "jsonl",
    )
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    expander = Expander.load(tiny_run, any_case=True)
    streamed = expander.pipe([note["text"] for note in notes], batch_size=4)
    for note, record, one in zip(notes, records, streamed, strict=True):
        alone = expander(note["text"])
        assert record["id"] == note["id"]
        assert len(alone) == len(one) == len(record["expansions"]) > 3
        for found, in_stream, in_file in zip(alone, one, record["expansions"], strict=True):
            ranking = [name for name, _ in found.alternatives]
            assert ranking == [name for name, _ in in_stream.alternatives]
            assert ranking == [other["long_form"] for other in in_file["alternatives"]]
            assert found.probability == pytest.approx(in_stream.probability, abs=1e-4)
            assert found.probability == pytest.approx(in_file["probability"], abs=1e-4)


@pytest.mark.parametrize("together", [True, False])
def test_law_8_a_server_gives_the_answers_that_each_clinical_note_gets_from_python(tiny_run, tmp_path, together):
    """The first of the embedded notes, in one request and in six at once."""
    with NOTES["clinical-development"].open(encoding="utf-8") as file:
        notes = [json.loads(line)["text"] for line in islice(file, 6)]
    with running("-m", "medalist", "serve", tiny_run, "--any-case", "--port", "0") as server:
        if together:
            results = json.loads(server.ask({"texts": notes})[1])["results"]
        else:
            with ThreadPoolExecutor(len(notes)) as clients:
                bodies = clients.map(lambda note: server.ask({"text": note})[1], notes)
                results = [json.loads(body)["results"][0] for body in bodies]
    expander = Expander.load(tiny_run, any_case=True)
    for note, result in zip(notes, results, strict=True):
        alone = expander(note)
        assert len(alone) == len(result["expansions"]) > 3
        for found, sent in zip(alone, result["expansions"], strict=True):
            assert [name for name, _ in found.alternatives] == [other["long_form"] for other in sent["alternatives"]]
            assert found.probability == pytest.approx(sent["probability"], abs=1e-4)


def test_law_9_what_is_expanded_leaves_no_trace(tiny_run, tmp_path):
    """Neither on standard error nor in any file of the run, the cache or the working folder."""
    command = [sys.executable, "-X", "dev", "-m", "medalist", "expand", tiny_run, NOTE, "--json"]
    environment = {"MEDALIST_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert "secretphrase" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"secretphrase" not in path.read_bytes(), path


def test_law_9_what_is_sent_to_a_server_is_neither_logged_nor_stored_nor_reported(tiny_run, tmp_path):
    """Also with all warnings and asyncio's debugging on, and where the environment asks FastAPI to report elsewhere."""
    environment = {
        "MEDALIST_CACHE": str(tmp_path / "cache"),
        "MEDALIST_TOKEN": "0123456789abcdef",
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1",
        "PYTHONASYNCIODEBUG": "1",
    }
    before = {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")}
    command = ("-X", "dev", "-m", "medalist", "serve", tiny_run, "--port", "0")
    with running(*command, environment=environment) as server:
        assert server.ask({"text": NOTE})[0] == 401
        token = {"Authorization": "Bearer 0123456789abcdef"}
        assert server.ask({"text": NOTE}, **token)[0] == 200
        assert server.ask({"text": [NOTE]}, **token)[0] == 422
        assert server.ask({NOTE: NOTE}, **token)[0] == 422
        assert server.ask(json.dumps({"text": NOTE}).encode()[:-1], **token)[0] == 400
        assert server.stop() == 0
    assert server.text().count("POST /v1/expand") == 5
    assert "secretphrase" not in server.text()
    assert "telemetry" not in server.text()
    assert "0123456789abcdef" not in server.text()
    assert {path: path.stat().st_mtime_ns for path in tiny_run.rglob("*")} == before
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"secretphrase" not in path.read_bytes(), path


def test_law_9_an_error_does_not_quote_the_text(tiny_run):
    """A text that cannot be decoded: byte 0x81 is neither UTF-8 nor Windows-1252."""
    command = [sys.executable, "-m", "medalist", "expand", tiny_run, NOTE.encode() + b" \x81 RA"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "secretphrase" not in done.stdout + done.stderr
    assert done.stderr.strip()


def test_law_9_no_network_is_used_unless_something_remote_is_named(tiny_run):
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from medalist import Expander\n"
        f"print(len(Expander.load({str(tiny_run)!r})({NOTE!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 3
