"""Each verb is fed damaged files of every kind that it reads: one line, exit code 1, and never a traceback."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import traceback

import pytest

from medalist.cli.app import main

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
DAMAGE = {
    "empty": b"",
    "a line's end": b"\n",
    "noise": bytes(range(256)) * 4,
    "NUL": b"\0" * 100,
    "cut JSON": b'{"a": [1, {"b',
    "a JSON list": b"[1, 2]",
    "a JSON number": b"7",
    "JSON null": b"null\n",
    "JSON of other fields": b'{"this": {"is": ["not", {"what": "was meant"}]}}\n',
    "deep": b"[" * 50_000,
    "a huge number": b'{"a": 1e999, "id": ' + b"9" * 5_000 + b"}",
    "CSV": b"a,b\n1,2\n3\n",
    "an open quote": b'short_form,long_form\n"RA,room air\n' + b"x,y\n" * 50,
    "a long cell": b"short_form,long_form\nRA," + b"x" * 200_000 + b"\n",
    "UTF-16": "short_form;long_form\nRA;room air\n".encode("utf-16"),
    "Latin-1": "short_form,long_form\nRA,caf\xe9\n".encode("latin-1"),
    "YAML": b"a: [b\n c: {\n",
    "a YAML tag": b"!!python/object/apply:os.system [true]\n",
    "XML": b"<PubmedArticleSet><PubmedArticle>",
    "gzip": gzip.compress(b"short_form,long_form\n" * 90)[:-12],
    "Parquet": b"PAR1" + b"x" * 50 + b"PAR1",
    "LFS": LFS,
}
VERBS = {
    "train RECIPE": ["train", "{bad}.yaml", "model.base=/nowhere", "data.limit=2"],
    "prepare RECIPE": ["prepare", "recipe", "{bad}.yaml", "data.limit=2"],
    "prepare a table": ["prepare", "recipe", "{table}", "data.path={bad}.jsonl"],
    "prepare a Parquet table": ["prepare", "recipe", "{table}", "data.path={bad}.parquet"],
    "prepare a CSV table": ["prepare", "recipe", "{table}", "data.path={bad}.csv"],
    "prepare with an inventory": ["prepare", "recipe", "{table}", "data.inventory={bad}.csv"],
    "prepare with a JSON inventory": ["prepare", "recipe", "{table}", "data.inventory={bad}.json"],
    "prepare choices": ["prepare", "recipe", "{table}", "data.source=choices", "data.path={bad}.json"],
    "prepare medal": ["prepare", "medal", "{bad}.csv", "--inventory", "{senses}", "--out", "{out}"],
    "prepare medal, gzip": ["prepare", "medal", "{bad}.csv.gz", "--inventory", "{senses}", "--out", "{out}"],
    "prepare medal, zip": ["prepare", "medal", "{bad}.zip", "--inventory", "{senses}", "--out", "{out}"],
    "prepare medal, inventory": ["prepare", "medal", "{medal}", "--inventory", "{bad}.txt", "--out", "{out}"],
    "prepare pubmed": ["prepare", "pubmed", "{bad}.xml", "--inventory", "{senses}", "--out", "{out}"],
    "prepare pubmed, gzip": ["prepare", "pubmed", "{bad}.xml.gz", "--inventory", "{senses}", "--out", "{out}"],
    "prepare pubmed, JSON": ["prepare", "pubmed", "{bad}.jsonl", "--inventory", "{senses}", "--out", "{out}"],
    "prepare text": ["prepare", "text", "{bad}.jsonl", "--inventory", "{senses}", "--out", "{out}"],
    "plan": ["plan", "{bad}.yaml", "--no-probe"],
    "plan --config": ["plan", "{table}", "--no-probe", "--config", "{bad}.json"],
    "audit TRAIN": ["audit", "{bad}.jsonl", "{notes}"],
    "audit EVAL": ["audit", "{notes}", "{bad}.parquet"],
    "audit, a CSV": ["audit", "{notes}", "{bad}.csv"],
    "inventory": ["inventory", "{bad}.csv", "--out", "{out}.csv"],
    "inventory of JSON": ["inventory", "{bad}.json", "--out", "{out}.csv"],
    "inventory, gzip": ["inventory", "{bad}.csv.gz", "--out", "{out}.csv"],
    "evaluate --data": ["evaluate", "{run}", "--data", "{bad}.jsonl"],
    "evaluate --data, JSON": ["evaluate", "{run}", "--data", "{bad}.json"],
    "evaluate --inventory": ["evaluate", "{run}", "--data", "{notes}", "--inventory", "{bad}.csv"],
    "expand --glossary": ["expand", "{run}", "RA now.", "--glossary", "{bad}.csv"],
    "expand notes": ["expand", "{run}", "{bad}.csv", "--out", "{out}.jsonl"],
    "expand JSON notes": ["expand", "{run}", "{bad}.jsonl", "--out", "{out}.jsonl"],
    "expand Parquet notes": ["expand", "{run}", "{bad}.parquet", "--out", "{out}.jsonl"],
}
READS = {
    "recipe.yaml": ("evaluate", "report", "export", "expand", "claims", "task"),
    "inventory.csv": ("evaluate", "expand"),
    "trained_senses.csv": ("evaluate",),
    "calibration.json": ("expand", "report"),
    "log.jsonl": ("report",),
    "adapter/adapter_config.json": ("export", "expand"),
    "adapter/adapter_model.safetensors": ("export", "expand"),
    "adapter/tokenizer.json": ("export",),
    "evaluation/test/metrics.json": ("report", "evaluate"),
    "evaluation/test/predictions.parquet": ("report", "evaluate"),
}
OF_RUNS = {
    "evaluate": ["evaluate", "{run}"],
    "report": ["report", "{run}"],
    "claims": ["claims", "{run}", "--mentions", "1"],
    "export": ["export", "{run}", "--to", "merged", "--out", "{out}", "--limit", "2"],
    "task": ["task", "{run}", "--out", "{out}", "--limit", "2"],
    "expand": ["expand", "{run}", "RA now."],
}


@pytest.fixture(scope="module")
def places(fresh_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    (folder / "senses.csv").write_text("short_form,long_form\nRA,room air\nRA,right atrium\n")
    note = {"id": "1", "text": "On RA now.", "mentions": [{"start": 3, "end": 5, "long_form": "room air"}]}
    (folder / "notes.jsonl").write_text(json.dumps(note) + "\n")
    (folder / "medal.csv").write_text("ABSTRACT_ID,TEXT,LOCATION,LABEL\n1,on RA now,1,room air\n")
    (folder / "table.yaml").write_text(
        f"output: {folder}/runs\ndata: {{source: table, path: {folder}/notes.jsonl, inventory: {folder}/senses.csv}}\n"
    )
    return {
        "senses": folder / "senses.csv",
        "notes": folder / "notes.jsonl",
        "medal": folder / "medal.csv",
        "table": folder / "table.yaml",
        "run": fresh_run,
    }


def told(arguments, capsys):
    """Exit code and standard error of a command; a traceback is shown as such."""
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        code = traceback.format_exc()
    return code, capsys.readouterr().err


def assert_in_one_line(code, err, place):
    assert code in (0, 1, 2), f"{place}: {code}"
    if code == 1:
        line = err.splitlines()[-1] if err.strip() else ""
        assert line and "Traceback" not in err and len(line) < 1_000, f"{place}: {err}"
        vague = (
            "list indices",
            "not subscriptable",
            "object has no attribute",
            "Expecting",
            "should be a valid tuple",
            "field limit",
        )
        assert not any(words in line for words in vague), f"{place}: {line}"
        assert not line.startswith(("[Errno", "'", "(")), f"{place}: {line}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_damaged_file_gets_one_line_from_each_verb(verb, places, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, (kind, content) in enumerate(DAMAGE.items()):
        names = {**places, "bad": tmp_path / f"bad{number}", "out": tmp_path / f"out{number}"}
        arguments = [part.format(**names) for part in VERBS[verb]]
        for part in arguments:
            name = part.partition("=")[2] or part
            if os.path.basename(name).startswith("bad"):  # noqa: PTH119
                with open(name, "wb") as file:  # noqa: PTH123
                    file.write(content)
        assert_in_one_line(*told(arguments, capsys), f"{verb}, {kind}")


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_or_nothing_in_a_file_s_place_gets_one_line(verb, places, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, make in enumerate((False, True)):
        names = {**places, "bad": tmp_path / f"bad{number}", "out": tmp_path / f"out{number}"}
        arguments = [part.format(**names) for part in VERBS[verb]]
        for part in arguments:
            name = part.partition("=")[2] or part
            if make and os.path.basename(name).startswith("bad"):  # noqa: PTH119
                os.mkdir(name)  # noqa: PTH102
        code, err = told(arguments, capsys)
        assert_in_one_line(code, err, f"{verb}, {'a folder' if make else 'nothing'}")
        assert code != 0, verb


OUTPUTS = {
    "evaluate MODEL": ["evaluate", "{model}", "--data", "{notes}", "--inventory", "{senses}", "--out", "{out}"],
    "evaluate reader": ["evaluate", "reader", "--data", "{notes}", "--inventory", "{senses}", "--out", "{out}"],
    "demo": ["demo", "--output", "{out}"],
    "audit": ["audit", "{notes}", "{notes}", "--out", "{out}.jsonl"],
    "inventory": ["inventory", "{senses}", "--out", "{out}.csv"],
    "expand": ["expand", "{run}", "{typed}", "--out", "{out}.csv"],
    "expand to BRAT": ["expand", "{run}", "{typed}", "--out", "{out}", "--format", "brat"],
    "task": ["task", "{run}", "--out", "{out}"],
    "export merged": ["export", "{run}", "--to", "merged", "--out", "{out}"],
    "export GGUF": ["export", "{run}", "--to", "gguf", "--out", "{out}.gguf", "--force"],
    "prepare medal": ["prepare", "medal", "{medal}", "--inventory", "{senses}", "--out", "{out}"],
    "prepare pubmed": ["prepare", "pubmed", "{notes}", "--inventory", "{senses}", "--out", "{out}"],
    "prepare text": ["prepare", "text", "{notes}", "--inventory", "{senses}", "--out", "{out}"],
    "pull": ["pull", "me/mine", "--out", "{out}"],
}
OTHER_KINDS = ("evaluate MODEL", "evaluate reader", "demo")
"""Those whose folder may exist; a file in its place may not."""


@pytest.mark.parametrize("verb", OUTPUTS)
def test_an_output_that_could_not_be_written_is_told_before_the_work_and_what_is_there_stays(
    verb, places, model_folder, tmp_path, capsys, monkeypatch
):
    def working(*_, **__):
        raise AssertionError(f"{verb} has begun its work")

    for work in ("data.inventory.Inventory.merged", "data.audit.audit", "sharing.export.merge_run"):
        monkeypatch.setattr(f"medalist.{work}", working)
    monkeypatch.setattr("medalist.runs.evaluate.score_texts", working)
    monkeypatch.setattr("medalist.cli.demo.Expander", working)
    monkeypatch.setattr("medalist.expansion.bulk.run_jobs", working)
    monkeypatch.setattr("medalist.sharing.pull._snapshot", working)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "typed.csv").write_text("id,text\n1,On RA now.\n")
    (tmp_path / "mine").write_text("mine")
    for ending in (".jsonl", ".csv", ".gguf", ""):
        (tmp_path / f"there{ending}").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("mine")
    too_long = "n" * (300 if verb in OTHER_KINDS else 240)
    outs = {"below a file": "mine/x", "a name too long": too_long, "below what cannot be written": "/proc/x"}
    outs |= {"a file" if verb in OTHER_KINDS else "a folder": "mine" if verb in OTHER_KINDS else "there"}
    for what, out in outs.items():
        names = {**places, "model": model_folder, "typed": tmp_path / "typed.csv", "out": out}
        if verb.startswith("evaluate") and what == "below what cannot be written":
            continue  # its figures are shown all the same
        code, err = told([part.format(**names) for part in OUTPUTS[verb]], capsys)
        assert_in_one_line(code, err, f"{verb}, {what}")
        assert code == 1 and len(err.splitlines()) == 1, f"{verb}, {what}: {err}"
        assert out[:200] in err, f"{verb}, {what}: {err}"
    assert (tmp_path / "mine").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        ["typed.csv", "mine", "full", "kept.txt", "there", "there.jsonl", "there.csv", "there.gguf"]
    ), "nothing is left"


@pytest.mark.slow
@pytest.mark.parametrize("name", READS)
def test_a_damaged_file_of_a_run_gets_one_line_from_each_verb_that_reads_it(name, places, tmp_path, capsys):
    run = tmp_path / places["run"].name
    shutil.copytree(places["run"], run)
    path = run / name
    whole = path.read_bytes() if path.exists() else b""
    cut = {"cut": whole[: len(whole) // 2], "cut by one": whole[:-1]} if whole else {}
    for number, (kind, content) in enumerate({**DAMAGE, **cut}.items()):
        if kind in ("a long cell", "UTF-16", "a YAML tag", "Parquet") and name.endswith(".json"):
            continue
        for verb in READS[name]:
            path.write_bytes(content)
            names = {"run": run, "out": tmp_path / f"out{number}{verb}"}
            code, err = told([part.format(**names) for part in OF_RUNS[verb]], capsys)
            assert_in_one_line(code, err, f"{verb} with {name}, {kind}")
            shutil.rmtree(names["out"], ignore_errors=True)


def test_the_check_sees_a_traceback():
    with pytest.raises(AssertionError):
        assert_in_one_line("Traceback (most recent call last)", "", "here")
    with pytest.raises(AssertionError):
        assert_in_one_line(1, "list indices must be integers or slices, not str", "here")
