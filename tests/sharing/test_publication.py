"""What goes out and what stays at home (law 9): nothing of a user's own text without a flag, no local path ever.

Covers `cleaning`, `own_names`, `terms` and `corpora.origins` too.
"""

import csv
import hashlib
import json
import shutil
from dataclasses import replace

import pytest
import yaml

from hub_server import ModelHub
from medalist.cli.app import main
from medalist.corpora import origins
from medalist.evaluation.claims_table import make_row
from medalist.evaluation.result_files import read_metrics
from medalist.recipe import DataSettings, parse_recipe
from medalist.runs.evaluate import evaluate_run
from medalist.runs.held_out import HeldOut
from medalist.runs.privacy import check_privacy
from medalist.runs.run import open_run
from medalist.runs.train import train
from medalist.sharing import publication as publications
from medalist.sharing.publication import plan_publication
from medalist.sharing.terms import terms_of
from servers import direct_connections, serving, use_hub

SECRET = "zibbelworth"
"""In the user's text, in a long form of their glossary, in a short form and in names of files: nowhere else."""
NAMED = {"base_id": "tests/tiny-llama", "licence": "mit"}


@pytest.fixture(scope="module")
def own_run(model_folder, tmp_path_factory):
    """A run on somebody's own notes and glossary, evaluated on its test split and on another file of theirs."""
    home = tmp_path_factory.mktemp("home") / "dr-who"
    home.mkdir()
    with (home / f"{SECRET}-glossary.csv").open("w", newline="") as file:
        rows = [
            ("short_form", "long_form"),
            ("RA", "room air"),
            ("RA", f"{SECRET} arthritis"),
            (SECRET.upper(), "one"),
            (SECRET.upper(), "two"),
        ]
        csv.writer(file).writerows(rows)
    for name in ("notes", "more"):
        lines = []
        for number in range(12):
            ward = "abcdefghijkl"[number] * 3
            text = f"Mr {SECRET} was seen for RA on {name} {ward}, {SECRET.upper()} noted."
            marks = [
                (text.index("RA"), "RA", f"{SECRET} arthritis"),
                (text.index(SECRET.upper()), SECRET.upper(), "one"),
            ]
            mentions = [{"start": at, "end": at + len(short), "long_form": long} for at, short, long in marks]
            lines.append(json.dumps({"id": f"{SECRET}-{name}-{number}", "text": text, "mentions": mentions}))
        (home / f"{SECRET}-{name}.jsonl").write_text("\n".join(lines))
    values = {
        "name": f"reader-{SECRET}-notes",
        "output": str(home / "runs"),
        "model": {"base": str(model_folder)},
        "data": {
            "source": "table",
            "path": str(home / f"{SECRET}-notes.jsonl"),
            "inventory": str(home / f"{SECRET}-glossary.csv"),
            "test": 0.5,
        },
        "training": {"max_steps": 1},
        "evaluation": {"bootstrap": 100},
    }
    run = train(parse_recipe(values))
    evaluate_run(run)
    evaluate_run(run, HeldOut(data=home / f"{SECRET}-more.jsonl"))
    check_privacy(run)
    path, further = run.folder / "evaluation/privacy.json", open_run(run.folder)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"source": f"{SECRET}.csv against test split"}))
    metrics = read_metrics(run.folder / "evaluation/test")
    cell = {"value": 0.5, "low": 0.4, "high": 0.6, "count": 9}
    row = make_row("forgetting", f"right ({SECRET}-more)", cell | {"p": 1.0}, base=cell, tuned=cell)
    claims = {"keys": metrics["about"]["keys"], "texts": [], "rows": [row]}
    claims["settings"] = {"mentions": 1, "new_tokens": 32, "confident": 0.8}
    (run.folder / "evaluation/test/claims.json").write_text(json.dumps(claims))
    return further


@pytest.fixture
def sample_run(fresh_run, tmp_path):
    """A run on the sample corpus that a test may change."""
    shutil.copytree(fresh_run, tmp_path / "tiny")
    return open_run(tmp_path / "tiny")


def contents(publication):
    return {
        name: content if isinstance(content, bytes) else content.read_bytes()
        for name, content in publication.files.items()
    }


def succeeds(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0


def test_a_run_on_own_text_is_not_published_unasked(own_run, capsys):
    with pytest.raises(SystemExit):
        main(["publish", str(own_run.folder), "--repo", "me/own", "--base-id", "t/t", "--license", "mit", "--dry-run"])
    assert capsys.readouterr().err.strip() == (
        f"{own_run.folder} is not published by default: it was made from your own data (data.source table), "
        f"and weights "
        "can reproduce words of their training data. Add --own-data to confirm that you may publish them and want to."
    )


def test_a_run_on_own_text_is_not_published_before_its_weights_were_attacked(own_run, tmp_path):
    shutil.copytree(own_run.folder, tmp_path / "own")
    run = open_run(tmp_path / "own")
    publication = plan_publication(run, "me/own", own_data=True, **NAMED)
    assert "## Privacy" in publication.card
    assert "evaluation/privacy.json" in publication.files
    path = run.folder / "evaluation/privacy.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tuned": "0" * 64}))
    with pytest.raises(ValueError, match=rf"run `medalist privacy {run.folder}` first"):
        plan_publication(run, "me/own", own_data=True, **NAMED)


def test_nothing_of_own_text_reaches_the_server_without_its_flag(own_run, tmp_path, monkeypatch, capsys):
    hub = ModelHub()
    with direct_connections(), serving(hub, reads=hub.reads) as server:
        use_hub(server.url, tmp_path / "hf", monkeypatch)
        monkeypatch.setenv("HF_TOKEN", "hf_stand_in")
        arguments = [
            "publish",
            str(own_run.folder),
            "--base-id",
            "tests/tiny-llama",
            "--license",
            "mit",
            "--own-data",
            "--yes",
        ]
        succeeds([*arguments, "--repo", "me/own"])
        listed = " ".join(capsys.readouterr().err.split())
        bare = hub.repos["me/own"].files
        sent = [part for request in server.requests for part in (request.path.encode(), request.body)]
        succeeds([*arguments, "--repo", "me/all", *(f"--include={part}" for part in publications.PARTS)])
    for part in [*sent, *bare.values(), *hub.objects.values()]:
        assert SECRET.encode() not in part.lower()
        assert b"dr-who" not in part
    for what in ("inventory.csv", "trained_senses.csv", "evaluation/own-1/predictions.parquet"):
        assert what not in bare
        assert f"Not sent: {what}" in listed
    assert f"{SECRET}-more.jsonl is a file of your own; --include short-forms sends it" in listed
    every = hub.repos["me/all"].files
    for name in (
        "inventory.csv",
        "trained_senses.csv",
        "evaluation/test/metrics.json",
        f"evaluation/{SECRET}-more/predictions.parquet",
        "evaluation/test/claims.json",
        "evaluation/privacy.json",
        "recipe.yaml",
        "README.md",
    ):
        assert SECRET.encode() in every[name].lower(), f"the flag sends {name}"


def test_figures_of_own_text_go_without_its_words(own_run):
    files = contents(plan_publication(own_run, "me/own", own_data=True, **NAMED))
    here = json.loads((own_run.folder / f"evaluation/{SECRET}-more/metrics.json").read_text())
    sent = json.loads(files["evaluation/own-1/metrics.json"])
    assert here["short_forms"] and SECRET in json.dumps(here).lower()
    assert (sent["short_forms"], sent["confusions"]) == ({}, {"base": [], "tuned": []})
    assert sent["slices"] == here["slices"]
    assert (sent["about"]["file"], sent["about"]["run"]) == ("own-data-2.jsonl", "own")


def test_a_slice_that_is_named_by_the_data_is_in_neither_figures_nor_card_unasked(own_run, tmp_path):
    shutil.copytree(own_run.folder, tmp_path / "own")
    path = tmp_path / "own/evaluation/test/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["slices"][f"subject: {SECRET}"] = metrics["slices"]["all"] | {"count": 17}
    path.write_text(json.dumps(metrics))
    run = open_run(tmp_path / "own")
    for include, there in (([], False), (["short-forms"], True)):
        files = contents(plan_publication(run, "me/own", own_data=True, include=include, **NAMED))
        for name in ("README.md", "evaluation/test/metrics.json"):
            assert (f"subject: {SECRET}".encode() in files[name]) == there


def test_a_run_that_goes_on_from_another_is_under_its_terms_too(sample_run):
    further = replace(sample_run, record=sample_run.record | {"parent": {"name": "ward-notes", "sha256": "0" * 64}})
    with pytest.raises(
        ValueError, match=r"it was tuned further from ward-notes, which is missing, so it cannot be checked"
    ):
        plan_publication(further, "me/tiny", **NAMED)
    check_privacy(further, texts=5)
    files = contents(plan_publication(further, "me/tiny", own_data=True, **NAMED))
    assert "inventory.csv" not in files
    assert not any(b"ward-notes" in content for content in files.values()), "a run is named after its data"
    assert b"further from the run own-run" in files["README.md"]


def test_a_recipe_keeps_names_and_fingerprints_and_no_folders(own_run):
    values = yaml.safe_load(contents(plan_publication(own_run, "me/own", own_data=True, **NAMED))["recipe.yaml"])
    assert values["output"] == "runs"
    assert (values["data"]["path"], values["data"]["inventory"]) == ("own-data.jsonl", "own-inventory.csv")
    assert set(values["record"]["data"]["files"]) == {"own-data.jsonl", "own-inventory.csv"}
    assert all(len(mark) == 64 for mark in values["record"]["data"]["files"].values())
    assert values["model"]["base"] == values["record"]["base"]["source"] == "tests/tiny-llama"
    assert values["record"]["data"]["fingerprint"] == own_run.record["data"]["fingerprint"]
    assert "folder" not in values["record"]["data"]


def test_the_sample_corpus_goes_whole_but_for_predictions(sample_run):
    planned = plan_publication(sample_run, "me/tiny", **NAMED)
    assert {"inventory.csv", "trained_senses.csv"} <= set(planned.files)
    assert json.loads(contents(planned)["evaluation/test/metrics.json"])["short_forms"]
    assert [what for what, _ in planned.left_out] == ["evaluation/test/predictions.parquet"]


def test_a_file_that_a_sample_run_was_evaluated_on_is_the_users_own(sample_run):
    path = sample_run.folder / "evaluation/test/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["about"] |= {"file": "/home/me/ward-7.jsonl", "data": "/home/me/ward-7.jsonl"}
    path.parent.rename(path.parent.with_name("ward-7"))
    (path.parent.with_name("ward-7") / "metrics.json").write_text(json.dumps(metrics))
    sent = contents(plan_publication(sample_run, "me/tiny", **NAMED))["evaluation/own-1/metrics.json"]
    assert json.loads(sent)["short_forms"] == {}
    assert b"/home/me" not in sent and b"ward-7" not in sent


@pytest.mark.parametrize(
    ("settings", "weights", "words"),
    [
        ({"source": "sample"}, True, True),
        ({"source": "sample", "inventory": "own.csv"}, False, False),
        ({"source": "medal", "path": "train.csv", "inventory": "valid_adam.txt"}, True, False),
        ({"source": "medal", "path": "train.csv", "inventory": ["valid_adam.txt", "own.csv"]}, False, False),
        ({"source": "medal", "path": "train.csv", "inventory": "gone.txt"}, False, False),
        ({"source": "pubmed", "path": "abstracts.jsonl"}, False, False),
        ({"source": "medal", "path": "notes.jsonl", "inventory": "valid_adam.txt"}, False, False),
        ({"source": "medal", "path": "changed.csv", "inventory": "valid_adam.txt"}, False, False),
        ({"source": "medal", "path": "train.csv", "inventory": "own_adam.txt"}, False, False),
        ({"source": "text", "path": "train.csv"}, True, False),
        ({"source": "text", "path": "notes.jsonl"}, False, False),
        ({"source": "text", "path": "letters"}, False, False),
        ({"source": "text", "path": "old-corpus"}, False, False),
        ({"source": "sample", "beside": ["corpus"]}, True, False),
        ({"source": "sample", "beside": ["corpus", "letters-corpus"]}, False, False),
        ({"source": "sample", "beside": ["own-corpus"]}, False, False),
        ({"source": "pubmed", "path": "gone"}, False, False),
        ({"source": "pubmed", "path": "corpus"}, True, False),
        ({"source": "pubmed", "path": "own-corpus"}, False, False),
        ({"source": "table", "path": "notes.jsonl", "inventory": "valid_adam.txt"}, False, False),
    ],
)
def test_what_may_go_follows_from_where_the_data_comes_from(settings, weights, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").write_text("short_form,long_form\nRA,room air\n")
    (tmp_path / "valid_adam.txt").write_text("PREFERRED_AB\tVARIANT_AB\tEXPANSION\nRA\tRA:3\troom air\n")
    (tmp_path / "own_adam.txt").write_text("PREFERRED_AB\tVARIANT_AB\tEXPANSION\nRA\tRA:3\tmine\n")
    monkeypatch.setitem(origins.KNOWN, hashlib.sha256((tmp_path / "valid_adam.txt").read_bytes()).hexdigest(), "test")
    for name in ("train.csv", "changed.csv", "abstracts.jsonl", "notes.jsonl"):
        (tmp_path / name).write_text(name)
    for name in ("train.csv", "changed.csv"):
        origins.remember_download(tmp_path / name, "https://example.org")
    (tmp_path / "changed.csv").write_text("mine")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/1.txt").write_text("x")
    for name, listed, public in (
        ("corpus", "valid_adam.txt", True),
        ("own-corpus", "own.csv", True),
        ("letters-corpus", "valid_adam.txt", False),
        ("old-corpus", "valid_adam.txt", None),
    ):
        (tmp_path / name).mkdir()
        account = {"settings": {"inventories": [listed]}} | ({} if public is None else {"public": public})
        (tmp_path / name / "corpus.json").write_text(json.dumps(account))
    monkeypatch.setattr(origins, "read_account", lambda folder: json.loads((folder / "corpus.json").read_text()))
    found = terms_of(DataSettings.model_validate(settings))
    assert (found.weights is None, found.words is None) == (weights, words)


def test_a_base_without_a_hub_id_and_one_without_a_licence_are_refused(sample_run):
    with pytest.raises(ValueError, match=r'The base "tiny-llama" has no Hub id.*--base-id user/name'):
        plan_publication(sample_run, "me/tiny")
    with pytest.raises(
        ValueError, match=r"The licence of tests/tiny-llama, which also applies to this model, is unknown.*--license"
    ):
        plan_publication(sample_run, "me/tiny", base_id="tests/tiny-llama")


def test_llama_goes_out_with_its_tag_its_words_its_notice_and_its_licence(sample_run, tmp_path):
    text = tmp_path / "LICENSE"
    text.write_text("the licence")
    base = {"base_id": f"meta-llama/Meta-Llama-3-8B@{'a' * 40}", "licence_file": text}
    with pytest.raises(ValueError, match=r'to begin with "Llama 3": me/tiny does not; me/Llama-3-tiny would do'):
        plan_publication(sample_run, "me/tiny", **base)
    with pytest.raises(ValueError, match=r"a copy of it to be published with the model"):
        plan_publication(sample_run, "me/Llama-3-tiny", base_id="meta-llama/Meta-Llama-3-8B")
    planned = plan_publication(sample_run, "me/Llama-3-tiny", **base)
    files = contents(planned)
    assert files["LICENSE"] == b"the licence"
    assert files["NOTICE"].decode().startswith("Meta Llama 3 is licensed under the Meta Llama 3 Community License")
    assert "\nlicense: llama3\n" in planned.card
    assert "**Built with Meta Llama 3**" in planned.card
    config = json.loads(files["adapter_config.json"])
    assert (config["base_model_name_or_path"], config["revision"]) == ("meta-llama/Meta-Llama-3-8B", "a" * 40)


@pytest.mark.parametrize("home", [True, False])
def test_a_text_that_names_a_local_folder_stops_everything(sample_run, monkeypatch, home):
    if not home:  # a user without a name in a container: `Path.home` raises RuntimeError
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
        assert plan_publication(sample_run, "me/tiny", **NAMED).files
    claims = {"keys": read_metrics(sample_run.folder / "evaluation/test")["about"]["keys"], "rows": []}
    claims |= {"settings": {"mentions": 1, "new_tokens": 32, "confident": 0.8}, "texts": [str(sample_run.folder)]}
    (sample_run.folder / "evaluation/test/claims.json").write_text(json.dumps(claims))
    with pytest.raises(
        ValueError, match=r"claims.json would contain .*, a folder of this machine; nothing was published"
    ):
        plan_publication(sample_run, "me/tiny", **NAMED)


def test_only_safetensors_are_ever_published(sample_run):
    for name in ("adapter_model.bin", "training_args.bin", "optimizer.pt", "notes.txt"):
        (sample_run.tuned / name).write_bytes(b"x")
    files = plan_publication(sample_run, "me/tiny", **NAMED).files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".txt"))]


def test_an_unknown_part_and_an_untrained_run_are_told(sample_run):
    with pytest.raises(
        ValueError, match=r'Unknown part "all" to include. Known: inventory, senses, short-forms, predictions'
    ):
        plan_publication(sample_run, "me/tiny", include=["all"], **NAMED)
    shutil.rmtree(sample_run.tuned)
    with pytest.raises(FileNotFoundError, match=r"holds no tuned model yet"):
        plan_publication(open_run(sample_run.folder), "me/tiny", **NAMED)
