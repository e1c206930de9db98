"""Law 8: the command line, Python, the server, its page, spaCy and llama.cpp rank alike for the same notes."""

import csv
import json
import re
from itertools import combinations, islice, pairwise

import pytest
import spacy
from playwright.sync_api import sync_playwright

from browsing import launched
from medalist.cli.app import main
from medalist.data.embedded.clinical import NOTES
from medalist.expansion.expander import Expander
from notes_server import running

SAME, SAME_IN_16_BITS = 1e-4, 0.02
"""Largest difference between probabilities: in 32 bits, and where weights, cache and activations have 16."""


@pytest.fixture(scope="module")
def notes():
    with NOTES["clinical-development"].open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in islice(file, 3)]


@pytest.fixture(scope="module")
def expected(gguf_run, notes):
    """What a call from Python for each note alone gives; each has short forms that only the model tells apart."""
    expander = Expander.load(gguf_run)
    found = [expander(note).to_dict()["expansions"] for note in notes]
    for expansions in found:
        asked = [one for one in expansions if len(one["alternatives"]) > 1]
        assert len(asked) > 3 and any(one["evidence"] == "model" for one in expansions)
        assert all(a["probability"] >= b["probability"] for o in asked for a, b in pairwise(o["alternatives"]))
    return found


def assert_same(found, expected, near=SAME):
    """Spans and evidence are equal, and so is the ranking; alternatives that are closer than `near` may swap places."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert [(one["start"], one["end"]) for one in ours] == [(one["start"], one["end"]) for one in theirs]
        for one, other in zip(ours, theirs, strict=True):
            shares, rank = ({a["long_form"]: a["probability"] for a in side["alternatives"]} for side in (one, other))
            assert shares == pytest.approx(rank, abs=near)
            places = list(shares)
            for a, b in combinations(rank, 2):
                assert rank[a] - rank[b] <= near or places.index(a) < places.index(b)
            if near == SAME or abs(other["probability"] - 0.5) > near:
                assert (one["long_form"], one["evidence"]) == (other["long_form"], other["evidence"])


def test_a_text_on_the_command_line(gguf_run, notes, expected, capsys):
    assert_same([printed(capsys, gguf_run, note, "--json")["expansions"] for note in notes], expected)


def printed(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(["expand", *map(str, arguments)])
    assert stop.value.code == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def table(notes, tmp_path_factory):
    path = tmp_path_factory.mktemp("notes") / "notes.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(notes)])
    return path


@pytest.mark.parametrize("engine", ["transformers", "llama.cpp"])
def test_a_file_on_the_command_line(gguf_run, table, expected, tmp_path, engine):
    with pytest.raises(SystemExit) as stop:
        main(["expand", str(gguf_run), str(table), "--engine", engine, "--out", str(tmp_path / "out.jsonl")])
    assert stop.value.code == 0
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    near = SAME if engine == "transformers" else SAME_IN_16_BITS
    assert_same([record["expansions"] for record in records], expected, near)


def test_several_texts_in_python(gguf_run, notes, expected):
    assert_same([one.to_dict()["expansions"] for one in Expander.load(gguf_run)(notes)], expected)


def test_the_server_and_its_page(gguf_run, notes, expected):
    """The page's own request, made by its button, and what it shows."""
    with running("-m", "medalist", "serve", gguf_run, "--port", "0") as server:
        together = json.loads(server.ask({"texts": notes})[1])["results"]
        with sync_playwright() as playwright:
            browser = launched(playwright)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.port}/")
            seen = []
            for note, told in zip(notes, expected, strict=True):
                page.fill("#text", note)
                with page.expect_response(re.compile("/v1/expand$")) as answer:
                    page.click("#read")
                assert json.loads(answer.value.request.post_data) == {"text": note}
                [result] = answer.value.json()["results"]
                seen.append(result["expansions"])
                page.wait_for_selector("#result")
                shown = set(page.locator("#reader .form").all_inner_texts())
                assert shown >= {note[one["start"] : one["end"]] for one in told}
                page.click("#new")
            browser.close()
    assert_same([result["expansions"] for result in together], expected)
    assert_same(seen, expected)


def test_spacy(gguf_run, notes, expected):
    nlp = spacy.blank("en")
    nlp.add_pipe("medalist", config={"model": str(gguf_run)})
    for doc, told in zip(nlp.pipe(notes), expected, strict=True):
        found = [
            {
                "start": other["start"] if span.start_char <= other["start"] else span.start_char,
                "end": other["end"] if span.end_char >= other["end"] else span.end_char,  # spaCy's tokens are whole
                "long_form": span._.expansion,
                "probability": span._.probability,
                "evidence": span._.evidence,
                "alternatives": [{"long_form": name, "probability": share} for name, share in span._.alternatives],
            }
            for span, other in zip(doc._.abbreviations, told, strict=True)
        ]
        assert_same([found], [told])


def test_llama_cpp_from_python(gguf_run, notes, expected):
    expander = Expander.load(gguf_run / "export" / "known-f16.gguf", engine="llama.cpp")
    found = [expander(note).to_dict() for note in notes]
    assert_same([one["expansions"] for one in found], expected, SAME_IN_16_BITS)
    assert [one.to_dict() for one in expander(notes)] == found, "alone or in company"


def test_llama_cpp_on_the_command_line(gguf_run, notes, expected, capsys):
    gguf = gguf_run / "export" / "known-f16.gguf"
    found = printed(capsys, "--engine", "llama.cpp", gguf, notes[0], "--json")["expansions"]
    assert_same([found], expected[:1], SAME_IN_16_BITS)
