"""The model card: what it says of a run, and that it names no local path."""

import json
import re

import yaml

from medalist.card import interval, share, write_card
from medalist.runs import open_run


def test_the_card_opens_with_metadata_that_the_hub_reads(tiny_run):
    card = (tiny_run / "adapter/README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL).group(1))
    assert metadata["base_model"] == "tiny-llama"
    assert metadata["library_name"] == "peft"
    assert "base_model:adapter:tiny-llama" in metadata["tags"]
    assert "Model Card for Model ID" not in card


def test_its_table_holds_the_measured_figures_with_baselines_and_intervals(tiny_run):
    card = write_card(open_run(tiny_run)).read_text(encoding="utf-8")
    metrics = json.loads((tiny_run / "evaluation/test/metrics.json").read_text())
    row = next(line for line in card.splitlines() if line.startswith("| no leak |"))
    cells = metrics["slices"]["no leak"]
    for name in (*metrics["models"], *metrics["baselines"]):
        assert f" {share(cells[name])} ({interval(cells[name])}) " in row
    lines = card.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1, "every row has every column"
    assert lines.index(table[1]) == lines.index(table[0]) + 1, "no gap in the table"


def test_a_run_without_results_has_no_card(tiny_run, tmp_path):
    import shutil

    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("adapter"))
    assert write_card(open_run(tmp_path / "run")) is None
