"""What is shown is what is meant: names and texts from data are never markup, and no figure is made of NaN.

A run on data whose every name and text is markup of some kind goes through training, evaluation, report and card;
damaged weights go through every verb that scores.
"""

from __future__ import annotations

import csv
import html
import json
import shutil
from html.parser import HTMLParser

import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from safetensors.torch import load_file, save_file

from medalist.cli.app import main
from medalist.data.passage_files import write_jsonl
from medalist.data.passages import Mention, Passage
from medalist.recipe import parse_recipe
from medalist.runs.evaluate import evaluate_run
from medalist.runs.report import write_report
from medalist.runs.train import train
from medalist.tools.pages import template_environment

MARKUP = [
    "<script>alert(1)</script>",
    "a|b",
    "`tick`",
    "# head",
    "[x](javascript:alert(1))",
    "![i](http://evil.example/x.png)",
    "{{ 7*7 }}",
    "{% raw %}",
    "--- x: y",
    "\x1b[31mred",
    "&amp;<b>bold</b>",
    "*star* _under_",
    "\"double\" 'single'",
    "$x^2$ $",
    "\u202eevil",
    "<!-- comment -->",
    "[/bold][red]x",
]
FORMS = ["RA", "<b>R</b>", "|R`"]


@pytest.fixture(scope="module")
def marked_up(model_folder, tmp_path_factory):
    """A trained and evaluated run in whose data every name and text is markup."""
    folder = tmp_path_factory.mktemp("marked up")
    base = folder / "tiny <b>`|x"
    shutil.copytree(model_folder, base)
    with (folder / "senses.csv").open("w", newline="") as file:
        rows = [(form, name, 5) for form in FORMS for name in MARKUP]
        csv.writer(file).writerows([("short_form", "long_form", "count"), *rows])
    passages = []
    for n in range(40):
        form, before = FORMS[n % 3], f"<img src=x onerror=alert({n})> | `{n}` ward{n} bed{n * 7} on "
        mention = Mention(
            start=len(before), end=len(before) + len(form), short_form=form, long_form=MARKUP[n % len(MARKUP)]
        )
        text = f"{before}{form} now.\n# not{n} a heading{n * 3}"
        passages.append(Passage(id=f"<i>{n}</i>|`", text=text, mentions=(mention,), source="<u>s</u>"))
    data = folder / "not<b>es`|.jsonl"
    write_jsonl(passages, data)
    values = {
        "name": "marked-up",
        "output": str(folder / "runs"),
        "model": {"base": str(base)},
        "data": {"source": "table", "path": str(data), "inventory": str(folder / "senses.csv")},
        "training": {"max_steps": 1},
        "evaluation": {"bootstrap": 100},
    }
    run = train(parse_recipe(values))
    evaluate_run(run)
    return run


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), {}, ""

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= dict(attributes)

    def handle_data(self, data):
        self.text += data


def test_a_report_shows_names_and_texts_as_they_are(marked_up):
    content = write_report(marked_up).read_text(encoding="utf-8")
    page = Tags()
    page.feed(content)
    assert not page.tags & {"script", "img", "u", "iframe", "object", "link", "form", "a"}
    assert not {name for name in page.attributes if name.startswith("on") or name == "src"}
    assert "<b>R</b>" in page.text and html.escape("<b>R</b>") in content, "it stands there as it is"
    assert "\x1b" not in content and "\u202e" not in content


def test_a_page_holds_no_control_character_of_its_values():
    template = template_environment().from_string("{{ name }}")
    assert template.render(name="a\x1b[2J\u202eb") == "a␛[2J\ufffdb"


def test_a_card_holds_no_markup_of_the_data_and_its_head_is_one_document(marked_up):
    text = (marked_up.tuned / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["base_model"] == "tiny <b>`|x"
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    kinds = {inner.type for token in tokens for inner in (token, *(token.children or []))}
    assert "fence" in kinds and not kinds & {"html_inline", "html_block", "image"}
    written = "".join(token.content for token in tokens if token.type == "inline")
    assert "tiny \\<b\\>\\`\\|x" in written
    [command] = [
        line for token in tokens if token.type == "fence" for line in token.content.splitlines() if "vllm " in line
    ]
    assert command.startswith("vllm serve 'tiny <b>`|x' --enable-lora")


@pytest.fixture
def damaged(tiny_run, tmp_path):
    """A copy of the tiny run with one number of its adapter changed, and nothing evaluated."""

    def with_number(value):
        run = tmp_path / "runs" / "damaged"
        shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("evaluation", "checkpoint-*"))
        path = run / "adapter/adapter_model.safetensors"
        weights = load_file(path)
        name = next(name for name in sorted(weights) if "lora_B" in name)
        weights[name] = torch.full_like(weights[name], value)
        save_file(weights, path, metadata={"format": "pt"})
        return run

    return with_number


def told(capsys, *arguments):
    """Exit code, standard output and the last line of standard error of a command."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return stop.value.code, out, err.splitlines()[-1]


VERBS = {
    "evaluate": ["evaluate", "{run}"],
    "evaluate --json": ["evaluate", "{run}", "--json", "--data", "clinical-development", "--limit", "2"],
    "claims": ["claims", "{run}", "--mentions", "1"],
    "expand": ["expand", "{run}", "On RA now."],
    "expand --json": ["expand", "{run}", "On RA now.", "--json"],
    "expand notes": ["expand", "{run}", "{folder}/notes.csv", "--out", "{folder}/out.jsonl"],
    "serve": ["serve", "{run}", "--port", "0"],
    "export": ["export", "{run}", "--to", "merged", "--out", "{folder}/merged", "--limit", "2"],
    "train --from": ["train", "--from", "{run}", "--data", "{folder}/marked.jsonl", "output={folder}/runs"],
}


def test_an_adapter_with_nan_is_refused_by_every_verb_and_nothing_is_reported(damaged, tmp_path, capsys):
    run = damaged(float("nan"))
    (tmp_path / "notes.csv").write_text("id,text\nward 7,On RA now.\n")
    mention = {"start": 3, "end": 5, "short_form": "RA", "long_form": "room air"}
    (tmp_path / "marked.jsonl").write_text(json.dumps({"id": "1", "text": "On RA now.", "mentions": [mention]}) + "\n")
    for verb, arguments in VERBS.items():
        code, out, line = told(capsys, *(part.format(run=run, folder=tmp_path) for part in arguments))
        assert (code, out) == (1, ""), verb
        assert line.startswith(f"{run}/adapter/adapter_model.safetensors is damaged: ") or "adapter_model" in line, verb
        assert "holds numbers that are not finite. Download or train the adapter again." in line, verb
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == [
        *("data", "marked.jsonl", "notes.csv", "runs")
    ]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["damaged"], "nothing is left of a start"
    for path in run.rglob("*.json"):
        json.loads(path.read_text(), parse_constant=pytest.fail)


def test_scores_that_overflow_stop_evaluation_with_the_id_and_expansion_when_the_model_is_checked(
    damaged, tmp_path, capsys
):
    run = damaged(3e38)
    code, out, line = told(capsys, "evaluate", run, "--json")
    assert (code, out) == (1, "") and line.startswith("The model's scores for passage s1-")
    assert "are not finite numbers: its weights are damaged" in line
    assert not list((run / "evaluation").rglob("metrics.json"))
    (tmp_path / "notes.csv").write_text("id,text\nward 6,nothing\nward 7,On RA now.\n")
    code, out, line = told(capsys, "expand", run, tmp_path / "notes.csv", "--out", tmp_path / "out.jsonl")
    assert code == 1 and "scores are not finite numbers: its weights are damaged" in line
    assert not (tmp_path / "out.jsonl").exists()
