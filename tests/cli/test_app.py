"""The command line: help, one-line errors, exit codes, machine output.

Covers `data`, `evaluate`, `expand`, `help`, `options` and `train` too.
"""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from medalist.cli.app import app, main, verbs
from medalist.expansion.results import ExpandedText


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = stop.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _parse(arguments):
    """Read arguments as the command line does, down to the verb, without running it."""
    name, command = "medalist", get_command(app)
    while isinstance(command, TyperGroup):
        name, command, arguments = command.resolve_command(command.make_context(name, [*arguments]), arguments)
    command.make_context(name, arguments)


@pytest.mark.parametrize("verb", verbs())
def test_help_teaches_by_example(verb, capsys):
    code, out, _ = run(capsys, *verb.split(), "--help")
    assert code == 0
    usage, _, rest = out.partition("\n\n")
    assert re.search(rf"^Usage: .+ {verb} \[OPTIONS\]", usage)
    assert "[[" not in usage and "{" not in usage
    _, examples = re.split(r"^  Examples?:\n", rest, flags=re.MULTILINE)
    lines = examples.partition("\n\n")[0].splitlines()
    assert any(f"medalist {verb}" in line for line in lines)
    for line in lines:
        if line.strip().startswith("medalist "):
            _parse(shlex.split(line)[1:])
    assert all(len(line) <= 80 for line in out.splitlines() if line not in lines)
    assert not re.search(r"<(str|int|float|list|Path)\b", out), "Python's types say little to most who read this"


def test_help_lists_every_verb_under_its_heading_with_its_whole_sentence(capsys):
    out = " ".join(run(capsys, "--help")[1].split())
    assert "Measure: evaluate Evaluate a run (base and tuned, on the same rows), the reader or a base model on" in out
    assert not re.search(r"\w\.\.\.|`", out)


def test_help_needs_no_torch():
    """Torch takes seconds to import; a quick --help never touches it."""
    code = (
        "import sys; from medalist.cli import main\ntry: main(['--help'])\nexcept SystemExit: "
        "pass\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.yaml"], "No recipe nowhere.yaml."),
        (["expand", "runs/nowhere", "text"], "There is no folder runs/nowhere"),
        (["expand", "model.gguf", "text"], "model.gguf does not exist"),
        (
            ["expand", "text", "--engine", "llama.cpp"],
            "llama.cpp needs a GGUF file, which the reader that comes with Medalist lacks: name one",
        ),
        (["expand", "notes.csv", "--out", ""], "--out is empty or a folder: name the file to write"),
        (
            ["expand", "notes.csv", "--out", "o.csv", "--engine", "glance", "--workers", "0"],
            "The number of workers is 0: it must be at least 1",
        ),
        (["report", "nowhere"], "There is no folder nowhere"),
        (["report", "."], ". is not a run: it has no recipe.yaml"),
        (["evaluate", "runs/wrad"], "There is no folder runs/wrad"),
        (["evaluate", "runs/wrad", "--data", "gone.csv"], "There is no folder runs/wrad"),
        (["expand", ""], "The text is empty"),
        (["expand", "", "on RA"], "RUN is empty: name a run, or leave it out for the reader that comes with Medalist"),
        (["evaluate", "smollm2-135m"], "smollm2-135m is not a run, so name the data to evaluate it on: --data FILE"),
        (["evaluate", "smollm2-135m", "--data", "gone.csv"], "gone.csv does not exist"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_1(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.csv").write_text("id,text\n1,on RA\n")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err == message + "\n"


def test_wrong_usage_gets_exit_code_2(capsys):
    assert run(capsys, "train")[0] == 2
    assert run(capsys, "expnad")[0] == 2


def test_a_wrong_key_of_a_recipe_names_the_right_one(capsys, tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\n")
    code, _, err = run(capsys, "train", tmp_path / "mine.yaml", "training.epoch=2")
    assert code == 1
    assert "training.epoch " in err
    assert "Did you mean training.epochs?" in err


def test_an_unknown_model_lists_what_is_known(capsys, tmp_path):
    (tmp_path / "data.jsonl").write_text('{"id": "1", "text": "RA", "mentions": []}\n')
    code, _, err = run(capsys, "evaluate", "smollm3", "--data", tmp_path / "data.jsonl")
    assert code == 1
    assert err.startswith('No model "smollm3". Known: smollm2-135m, a folder, a .gguf file, package:NAME, or a Hub id')


LEAVE = ["--unsure", "leave", "--min-probability", "1"]


def test_expand_prints_json_for_machines_and_text_with_long_forms(tiny_run, capsys):
    text = "Seen with RA; blood pressure (BP) 150/90."
    code, out, _ = run(capsys, "expand", tiny_run, text, "--json")
    assert code == 0
    found = json.loads(out)["expansions"]
    assert [text[e["start"] : e["end"]] for e in found] == ["RA", "BP"]
    assert [e["evidence"] for e in found][1] == "defined in text"
    assert all(0 <= e["probability"] <= 1 for e in found)
    for option, expected in ((["--min-probability", "0"], "Seen with {long}"), (LEAVE, "Seen with RA")):
        code, out, _ = run(capsys, "expand", tiny_run, text, "--replace", *option)
        assert out == expected.format(long=found[0]["long_form"] or "RA") + text.removeprefix("Seen with RA") + "\n"
    code, out, _ = run(capsys, "expand", tiny_run, text, "--replace", "--min-probability", "1")
    mark = f" [{found[0]['long_form']}? {100 * found[0]['probability']:.0f} %]" if found[0]["long_form"] else ""
    assert out == text.replace("RA", f"RA{mark}") + "\n"


@pytest.mark.parametrize("text", ["Pt seen.\n", "Pt seen.", "\r\nPt seen.\r\n", "Pt seen.\n\n"])
def test_replaced_text_ends_as_the_text_does_with_a_line_break_added_only_if_there_is_none(text, tiny_run, capsys):
    assert run(capsys, "expand", tiny_run, text, "--replace", *LEAVE)[1] == text.removesuffix("\n") + "\n"


def test_expand_takes_a_glossary_first_and_prints_warnings(tiny_run, capsys, tmp_path):
    (tmp_path / "ours.csv").write_text("short_form;long_form\nRA;reading aid\n")
    arguments = ["expand", tiny_run, "RA, warfarin 5 mg QOD", "--glossary", tmp_path / "ours.csv"]
    found = json.loads(run(capsys, *arguments, "--json")[1])
    assert (found["expansions"][0]["long_form"], found["expansions"][0]["evidence"]) == ("reading aid", "glossary")
    assert [w["notation"] for w in found["warnings"]] == ["QOD"]
    _, out, _ = run(capsys, *arguments)
    assert "Avoid QOD: read as QD or QID" in out
    _, out, err = run(capsys, *arguments, "--replace")
    assert out.startswith("Reading aid, warfarin 5 mg ")
    assert "Notations advised against: 1;" in err
    code, _, err = run(capsys, *arguments[:-1], tmp_path / "gone.csv")
    assert (code, err) == (1, f"{tmp_path / 'gone.csv'} does not exist\n")


@pytest.mark.parametrize(("encoding", "options"), [("cp1252", []), ("cp437", ["--encoding", "cp437"])])
def test_expand_reads_any_encoding_and_gives_offsets_into_the_decoded_text(tiny_run, encoding, options):
    command = [sys.executable, "-m", "medalist", "expand", tiny_run, "-", "--json", *options]
    done = subprocess.run(command, input="37 °C on RA\r\n".encode(encoding), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert [(e["start"], e["end"]) for e in json.loads(done.stdout)["expansions"]] == [(4, 5), (9, 11)]
    assert (b"read as Windows-1252" in done.stderr) is not bool(options)


def test_expand_reads_a_file_that_is_named_and_not_its_name(tiny_run, capsys, tmp_path):
    (tmp_path / "note.txt").write_text("on RA")
    [found] = json.loads(run(capsys, "expand", tiny_run, tmp_path / "note.txt", "--json")[1])["expansions"]
    assert (found["start"], found["short_form"]) == (3, "RA")
    (tmp_path / "notes.csv").write_text("key,body\nx,on RA\n")
    code, _, err = run(capsys, "expand", tiny_run, tmp_path / "notes.csv")
    assert (code, err) == (1, f"{tmp_path / 'notes.csv'} holds many notes: say where the results go with --out\n")
    arguments = ["--text-column", "body", "--id-column", "key", "--out", tmp_path / "out.jsonl"]
    code, out, _ = run(capsys, "expand", tiny_run, tmp_path / "notes.csv", *arguments)
    assert code == 0
    assert "short forms expanded" in out
    record = json.loads((tmp_path / "out.jsonl").read_text())
    assert (record["id"], record["expansions"][0]["short_form"]) == ("x", "RA")
    (tmp_path / "note.docx").write_bytes(b"PK")
    code, _, err = run(capsys, "expand", tiny_run, tmp_path / "note.docx")
    assert code == 1 and "is not plain text: convert it first" in err
    assert (
        "note.docx is not one: save it as one" in run(capsys, "expand", tiny_run, tmp_path / "note.docx", *arguments)[2]
    )
    for option in (("--out", "x.csv"), ("--workers", 2), ("--text-column", "x"), ("--format", "brat")):
        assert run(capsys, "expand", tiny_run, "on RA", *option)[2].startswith(f"{option[0]} is for a file of notes")
    assert run(capsys, "expand", tiny_run, tmp_path / "notes.csv", "--out", "x.csv", "--json")[0] == 1


def test_expand_reads_notes_on_standard_input_and_gives_what_their_file_gives(tiny_run, capsys, tmp_path, monkeypatch):
    def pipe(*options):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "notes.csv").read_bytes())))
        return run(capsys, "expand", tiny_run, "-", *options)

    lines = [f"{number},patientname on RA" for number in range(9)]
    (tmp_path / "notes.csv").write_text("\n".join(["id,body", *lines, "0,patientname twice"]))
    columns = ("--text-column", "body")
    run(capsys, "expand", tiny_run, tmp_path / "notes.csv", *columns, "--out", tmp_path / "out.jsonl")
    expected = (tmp_path / "out.jsonl").read_text()
    for options in ((), ("--out", "-")):
        code, out, err = pipe("--input-format", "csv", *columns, *options)
        assert (code, out) == (0, expected)
        assert "Set aside: line 11: its id stands twice" in err and "patientname" not in err
    assert pipe("--input-format", "csv", *columns, "--out", tmp_path / "piped.jsonl")[0] == 0
    assert (tmp_path / "piped.jsonl").read_text() == expected
    for options, said in (
        (
            (*columns,),
            "--text-column is for notes: say with --input-format csv, tsv or jsonl what standard input holds",
        ),
        (("--input-format", "csv"), "Standard input has no column text or note_text; it has id, body"),
        (("--input-format", "csv", "--workers", "2"), "--workers needs a file as --out"),
        (("--input-format", "jsonl", *columns), "Standard input holds no notes; the first of 11 bad records"),
    ):
        code, out, err = pipe(*options)
        assert (code, out) == (1, "") and err.startswith(said)
    code, _, err = run(capsys, "expand", tiny_run, "on RA", "--input-format", "csv")
    assert (code, err) == (1, "--input-format says what standard input or a file holds, not a text\n")


@pytest.mark.parametrize("name", ["note.txt", "ward/notes.csv", "Notes.JSONL", "letter.docx"])
def test_expand_does_not_take_a_mistyped_file_for_a_text(tiny_run, capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for arguments in ([tiny_run, name], [name]):
        assert run(capsys, "expand", *arguments)[::2] == (1, f"{name} does not exist\n")


@pytest.mark.parametrize("arguments", [[""], [" "], ["run", ""], ["run", " \n"]])
def test_expand_says_that_there_is_no_text(tiny_run, capsys, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "expand", *(tiny_run if name == "run" else name for name in arguments))
    assert (code, err) == (1, "The text is empty\n")


def test_expand_takes_a_text_of_any_length_for_a_text(tiny_run, capsys):
    code, out, _ = run(capsys, "expand", tiny_run, "on RA / " * 1000, "--replace", "--unsure", "leave")
    assert code == 0 and out.startswith("on ")


def test_expand_asks_no_hub_about_what_may_be_a_text(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("medalist.sharing.pull.pull", lambda *_, **__: pytest.fail("the Hub was asked"))
    for text in ("N/V", "N/V/D", "w/o", "HIV/AIDS"):
        assert run(capsys, "expand", text, "--engine", "glance", "--replace")[0] == 0
    code, out, err = run(capsys, "expand", "someone/ward-7")
    assert (code, out) == (1, "") and err.startswith("someone/ward-7 is not a folder: give a text after a Hub id")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["expand", "Pt Smith HIV", "RA on MTX"], "The first of two arguments is not a run: put the text in"),
        (["expand", "Smith", "RA on MTX"], "The first of two arguments is not a run: put the text in quotation marks"),
        (["expand", "Pt", "John", "Smith", "HIV"], "more arguments than RUN and TEXT: put the text in quotation"),
        (["expand", "- Smith RA on MTX"], "A text that begins with - is taken for an option: put -- before it"),
        (["expand", "--Smith RA on MTX"], "A text that begins with - is taken for an option: put -- before it"),
        (["Pt Smith has RA"], 'no command. To expand a text: medalist expand "TEXT"'),
    ],
)
def test_a_text_that_is_not_taken_for_one_is_not_quoted_and_the_error_says_what_to_do(arguments, said, capsys):
    code, out, err = run(capsys, *arguments)
    assert code in (1, 2) and out == ""
    assert said in " ".join(err.replace("│", "").split())
    assert "Smith" not in err and "MTX" not in err


@pytest.mark.parametrize("options", [["-", "--input-format", "jsonl", "--replace"], ["--json"]])
def test_json_is_utf_8_in_whatever_encoding_the_locale_is(options, tmp_path):
    glossary = tmp_path / "glossary.csv"
    glossary.write_text("short_form,long_form\nRA,polyarthrite rhumatoïde\n", encoding="utf-8")
    note = "on RA 😀"
    done = subprocess.run(
        [sys.executable, "-m", "medalist", "expand", "--engine", "glance", "--glossary", str(glossary), *options],
        input=(json.dumps({"id": "é", "text": note}) if "-" in options else note).encode(),
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout.decode("utf-8"))
    if "-" in options:
        assert found["id"] == "é" and "😀" in found["expanded_text"]
    else:
        assert [one["long_form"] for one in found["expansions"]] == ["polyarthrite rhumatoïde"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_result_whose_summary_cannot_be_shown_is_said_to_be_complete(tmp_path):
    (tmp_path / "notes.csv").write_text("id,text\n1,on RA\n")
    command = [sys.executable, "-m", "medalist", "expand", "notes.csv", "--engine", "glance", "--out", "full.csv"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "run the same command" not in done.stderr
    assert "The result in full.csv is complete; only this summary could not be shown." in done.stderr


@pytest.mark.parametrize("raw", [b"\x7fELF\0\0RA", b"\x1f\x8b\x08\0"])
def test_standard_input_that_is_not_text_is_refused_like_a_file(raw, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw)))
    code, out, err = run(capsys, "expand", "--engine", "glance")
    assert (code, out) == (1, "") and re.match("Standard input is (not plain text: convert|compressed: unpack)", err)


def test_a_text_that_begins_with_a_dash_is_read_after_two(capsys):
    assert run(capsys, "expand", "--engine", "glance", "--replace", "--", "- RA on MTX")[0] == 0
    assert "No such option" in run(capsys, "expand", "--engin", "glance", "RA")[2]


def test_expand_reads_standard_input(tiny_run):
    done = subprocess.run(
        [sys.executable, "-m", "medalist", "expand", tiny_run, "--json"], input="RA.", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [e["short_form"] for e in json.loads(done.stdout)["expansions"]] == ["RA"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Pt on RA."], (None, "Pt on RA.", None)),
        (["sob", "--as-written"], (None, "sob", False)),
        (["RUN", "Pt on RA.", "--any-case"], ("RUN", "Pt on RA.", True)),
    ],
)
def test_expand_takes_one_argument_that_names_nothing_for_the_text_and_the_reader_for_the_model(
    arguments, expected, tiny_run, capsys, monkeypatch
):
    seen = []

    def load(run, any_case, **_):
        return lambda text, **_: seen.append((run, text, any_case)) or ExpandedText(text=text, expansions=())

    monkeypatch.setattr("medalist.expansion.expander.Expander.load", load)
    arguments = [str(tiny_run) if argument == "RUN" else argument for argument in arguments]
    assert run(capsys, "expand", *arguments)[0] == 0
    assert seen == [tuple(str(tiny_run) if value == "RUN" else value for value in expected)]


def test_expand_does_not_take_a_mistyped_folder_for_a_text(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "expand", "runs/dmeo") == (1, "", "There is no folder runs/dmeo\n")


def test_evaluate_prints_its_metrics_as_json_and_nothing_else(tiny_run, capsys):
    code, out, _ = run(capsys, "evaluate", tiny_run, "--json")
    assert code == 0
    metrics = json.loads(out)
    assert metrics["slices"]["all"]["count"] == metrics["counts"]["choice"] > 0
    assert {"base", "tuned"} <= set(metrics["models"])


def test_the_table_shows_intervals_baselines_and_the_no_leak_slice(tiny_run, capsys):
    _, summary, _ = run(capsys, "evaluate", tiny_run)
    _, out, _ = run(capsys, "evaluate", tiny_run, "--details")
    for part in ("no leak", "majority", "copy", "95 % interval"):
        assert part in out and part in summary
    assert re.search(r"tuned +gain +p$", out, re.MULTILINE)
    metrics = json.loads((tiny_run / "evaluation/test/metrics.json").read_text())
    for name, short in (
        ("first listed sense", "first listed sense"),
        ("prior alone (uniform: no counts)", "uniform prior"),
    ):
        cells = metrics["slices"]["no leak"]
        shown = f"{100 * cells[name]['value']:.1f} ({100 * cells[name]['low']:.1f}–{100 * cells[name]['high']:.1f})"
        gain = cells["from_baselines"][name]
        share, ahead, *_ = (line for line in out.splitlines() if line.startswith(short))
        assert shown in share and [f"{100 * gain['value']:+.1f}", f"{gain['p']:.2g}"] == ahead.split()[-2:]
        assert shown in next(line for line in summary.splitlines() if line.startswith(short))
    assert f", or as a page: medalist report {tiny_run}" in summary
    lines = [*out.splitlines(), *summary.splitlines()]
    assert max(len(line) for line in lines if str(tiny_run) not in line) <= 80


def test_the_reader_is_evaluated_by_name_into_a_folder_beside_the_package(loaded, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("medalist.runs.reader.load_reader", lambda: loaded)
    code, out, err = run(capsys, "evaluate", "reader", "--limit", 1)
    assert code == 0, err
    assert out.splitlines()[-1] == "runs/reader/evaluation/clinical-development"
    assert "right among those" in out and "prior alone" in out
    code, out, _ = run(capsys, "evaluate", "reader", "--limit", 1, "--out", "elsewhere", "--json")
    assert code == 0 and json.loads(out)["about"]["run"] == "reader"
    assert (tmp_path / "elsewhere/evaluation/clinical-development/metrics.json").exists()


def test_a_run_s_results_stay_with_the_run(tiny_run, capsys, tmp_path):
    code, _, err = run(capsys, "evaluate", tiny_run, "--out", tmp_path / "elsewhere")
    assert code == 1 and "go to its own folder: leave out --out" in " ".join(err.split())
    assert not (tmp_path / "elsewhere").exists()


def test_training_over_an_existing_run_is_refused(tiny_run, capsys):
    code, _, err = run(capsys, "train", tiny_run / "recipe.yaml")
    assert code == 1
    assert "resume it with --resume, or set name=... to start a new run" in err


def test_help_waits_for_no_heavy_library():
    code = (
        "import sys, medalist.cli\n"
        "try: medalist.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'polars', 'pydantic', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_inventories_are_merged_into_a_glossary_that_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "one.csv").write_text("short_form,long_form,count\nRA,rheumatoid arthritis,2\nRA,room air,1\n")
    (tmp_path / "two.json").write_text(json.dumps({"RA": ["Rheumatoid Arthritis"], "CT": ["computed tomography"]}))
    arguments = ["inventory", tmp_path / "one.csv", tmp_path / "two.json", "--out", tmp_path / "all.csv"]
    code, out, _ = run(capsys, *arguments)
    assert (code, out.split(": ")[1]) == (0, "2 short forms, 3 senses\n")
    assert (tmp_path / "all.csv").read_text().splitlines()[1].split(",")[:3] == ["RA", "rheumatoid arthritis", "2"]
    code, _, err = run(capsys, *arguments)
    assert (code, err.split(" exists")[0]) == (1, str(tmp_path / "all.csv"))


@pytest.mark.parametrize("option", [("--quantization", "int8"), ("--train", "nope.jsonl"), ("--revision", "x")])
def test_an_option_of_evaluate_that_would_have_no_effect_is_refused(option, tiny_run, capsys):
    for target in (tiny_run, "reader"):
        code, _, err = run(capsys, "evaluate", target, *option)
        assert code == 1 and f"{option[0]} is for a base model" in err


def test_a_merged_glossary_is_csv_and_says_so(tmp_path, capsys):
    code, _, err = run(capsys, "inventory", "senses.csv", "--out", tmp_path / "s.json")
    assert code == 1 and "written as CSV, so name a .csv file" in err


def test_a_revision_is_for_a_model_on_the_hub(model_folder, capsys, tmp_path):
    code, _, err = run(capsys, "evaluate", model_folder, "--data", "clinical-development", "--revision", "main")
    assert (code, err) == (1, f"--revision is for a model on the Hub, but {model_folder} is here: leave it out\n")


@pytest.mark.parametrize("option", ["--tflops", "--hours", "--mbits"])
@pytest.mark.parametrize("value", ["inf", "nan", "1e300", "-1"])
def test_a_plan_takes_numbers_within_reason(option, value, capsys):
    assert run(capsys, "plan", "recipes/smollm2-135m-sample.yaml", option, value)[0] == 2


def test_closed_standard_input_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    code, _, said = run(capsys, "expand", "-")
    assert (code, said) == (1, "Standard input is closed: give a text or a file as an argument\n")


def test_what_a_terminal_cannot_show_is_escaped_and_the_rest_is_shown(tiny_run, monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", errors="strict")
    monkeypatch.setattr("sys.stdout", terminal)
    with pytest.raises(SystemExit) as end:
        main(["expand", str(tiny_run), "SpO2 ≥ 93 % on RA, fièvre"])
    terminal.flush()
    shown = terminal.buffer.getvalue().decode("cp1252")
    assert not end.value.code
    assert "\\u2265 93 % on RA, fièvre" in shown
