"""The model card: what it says of a run, what the Hub reads of it, and that it names no local path."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import ModelCard

from llama3 import hub_tokenizer
from medalist.models.licences import licence_of
from medalist.runs.card import Destination, card_text, write_card
from medalist.runs.run import load_run_base, open_run
from medalist.tools.pages import interval, markdown, per_cent, points
from medalist.trees.prompt import Encoder, PromptSettings, Question


def test_the_card_opens_with_metadata_that_the_hub_reads(fresh_run):
    destination = Destination(
        repo="me/tiny", base_id="tests/tiny-llama", licence=licence_of("tests/tiny-llama", given="mit")
    )
    card = ModelCard(card_text(open_run(fresh_run), destination=destination))
    assert (card.data.base_model, card.data.base_model_relation) == ("tests/tiny-llama", "adapter")
    assert (card.data.library_name, card.data.license, card.data.pipeline_tag) == ("peft", "mit", "text-generation")
    assert {"medalist", "medical", "lora"} <= set(card.data.tags)
    metrics = json.loads((fresh_run / "evaluation/test/metrics.json").read_text())
    everywhere, no_leak = card.data.eval_results
    for result, name in ((everywhere, "all"), (no_leak, "no leak")):
        cells = metrics["slices"][name]
        assert (result.task_type, result.dataset_type, result.dataset_split) == (
            "text-classification",
            "medalist-sample",
            "test",
        )
        assert (result.metric_type, result.metric_value) == (
            "accuracy",
            pytest.approx(cells["tuned"]["value"], abs=5e-5),
        )
        assert f"95 % interval {interval(cells['tuned'])} %" in result.metric_name, "no accuracy without its interval"
        for other in ("base", *metrics["baselines"]):
            assert per_cent(cells[other]) in result.metric_name, "nor without what it has to be compared with"


def test_its_tables_hold_the_measured_figures_with_baselines_and_intervals(fresh_run):
    card = write_card(open_run(fresh_run)).read_text(encoding="utf-8")
    metrics = json.loads((fresh_run / "evaluation/test/metrics.json").read_text())
    lines = card.splitlines()
    for name in (*metrics["models"], *metrics["baselines"]):
        shown = {"base": "base model", "tuned": "**this model**"}.get(name, name)
        row = next(line for line in lines if line.startswith(f"| {shown} |"))
        for part in ("all", "no leak"):
            cell = metrics["slices"][part][name]
            assert f" {per_cent(cell)} ({interval(cell)}) ".replace(" %", "") in row
    ahead = metrics["slices"]["all"]["from_baseline"]
    assert f"({100 * metrics['baselines'][ahead['baseline']]['accuracy']['low']:.1f}" in card
    assert f"; this model differs from that baseline by {points(ahead)} points." in card
    gain = metrics["slices"]["sense unseen"]["difference"]
    assert f"| {100 * gain['value']:+.1f} (" in next(line for line in lines if line.startswith("| sense unseen |"))


def test_its_tables_are_whole(fresh_run):
    tables, rows = [], []
    for line in [*card_text(open_run(fresh_run)).splitlines(), ""]:
        if line.startswith("|"):
            rows.append(line)
        elif rows:
            tables.append(rows)
            rows = []
    assert len(tables) == 3
    for table in tables:
        assert set(table[1]) == {"|", "-"}, "a head, then the rule, without a gap"
        assert len({line.count("|") for line in table}) == 1, "every row has every column"


def test_its_code_without_medalist_asks_token_for_token_as_medalist_does(fresh_run):
    [code] = [c for c in re.findall(r"```python\n(.*?)```", card_text(open_run(fresh_run)), re.DOTALL) if "logits" in c]
    asked = []

    def model(ids):
        asked.append(ids[0].tolist())
        return SimpleNamespace(logits=torch.zeros(*ids.shape, 128256))

    run_base = load_run_base(open_run(fresh_run)).tokenizer
    for tokenizer in (run_base, hub_tokenizer()):  # Llama 3's joins a full stop and the line breaks behind it
        asked.clear()
        names = {"torch": torch, "model": model, "tokenizer": tokenizer}
        exec(code[code.index("text = ") :], names)
        question = Question(prompt=names["question"], candidates=tuple(names["candidates"]), gold=None)
        before, candidates = Encoder(tokenizer, PromptSettings(), max_depth=8192).token_ids(names["text"], question)
        assert asked == [before + candidate for candidate in candidates]


def test_claims_are_shown_with_their_verdicts(fresh_run, tmp_path):
    shutil.copytree(fresh_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    folder = tmp_path / "run/evaluation/test"
    keys = json.loads((folder / "metrics.json").read_text())["about"]["keys"]
    cell = {"value": 0.5, "low": 0.4, "high": 0.6, "count": 9}
    row = {
        "claim": "accuracy",
        "metric": "right",
        "unit": "%",
        "better": "higher",
        "base": cell,
        "tuned": cell,
        "baseline": None,
    }
    row |= {"difference": {"value": 0.0, "low": -0.1, "high": 0.1, "count": 9, "p": 1.0}, "verdict": "not shown"}
    settings = {"mentions": 9, "new_tokens": 32, "confident": 0.8}
    claims = {"keys": keys, "settings": settings, "texts": [], "rows": [row]}
    (folder / "claims.json").write_text(json.dumps(claims))
    card = card_text(open_run(tmp_path / "run"))
    assert (
        "| Better accuracy | right, % | 50.0 (40.0–60.0) | 50.0 (40.0–60.0) | +0.0 (-10.0 to +10.0) | not shown |"
        in card
    )


def test_the_base_models_words_and_limits_are_there(fresh_run):
    run = open_run(fresh_run)
    destination = Destination(
        repo="me/Llama-3-x", base_id="meta-llama/Meta-Llama-3-8B", licence=licence_of("meta-llama/Meta-Llama-3-8B")
    )
    card = card_text(run, destination=destination)
    assert "**Built with Meta Llama 3**" in card
    assert "Not a medical device" in card and "**a person reads the result**" in card
    assert "CC0" in card and "National Library of Medicine" not in card
    data = run.recipe.data.model_copy(update={"source": "medal", "path": "train.csv"})
    medal = replace(run, recipe=run.recipe.model_copy(update={"data": data}))
    assert "Courtesy of the U.S. National Library of Medicine" in card_text(medal, destination=destination)
    embedded = replace(run, record=run.record | {"base": run.record["base"] | {"source": "smollm2-135m"}})
    assert "restored from a 4-bit file (Q4_1)" in card_text(embedded)


def test_it_names_no_folder_of_this_machine(fresh_run):
    run = open_run(fresh_run)
    assert str(Path(run.record["data"]["folder"]).parent.parent) not in card_text(run)


def test_a_run_without_results_has_no_card(fresh_run, tmp_path):
    shutil.copytree(fresh_run, tmp_path / "run", ignore=shutil.ignore_patterns("adapter"))
    assert write_card(open_run(tmp_path / "run")) is None


def test_a_name_from_data_is_no_markup_and_no_cell():
    hostile = "subject: a|b <script>alert(1)</script> [x](http://e.org) *b* `c`\n# d \x1b[2J"
    escaped = markdown(hostile)
    assert "\n" not in escaped and "\x1b" not in escaped
    for sign in "|<[*`#":
        assert not re.search(rf"(?<!\\){re.escape(sign)}", escaped), sign
