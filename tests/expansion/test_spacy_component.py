"""The spaCy component beside the Python call, and beside what scispaCy's detector promises.

Covers `spacy_attributes` too.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import spacy
import torch
from spacy import displacy
from spacy.tokens import Doc, DocBin, Span

from medalist.data.embedded import clinical, sample
from medalist.data.inventory import Inventory
from medalist.expansion.expander import Expander
from medalist.expansion.spacy_component import make_component

ROOT = Path(__file__).parents[2]
INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 0, None),
        ("RA", "right atrium", 0, None),
        ("RA", "room air", 0, None),
        ("ER+", "estrogen receptor-positive", 0, None),
        ("PR+", "progesterone receptor-positive", 0, None),
        ("F", "female", 0, None),
    ]
)
DEFINED = "Magnetic resonance imaging (MRI) was done. No MRI before."


@pytest.fixture
def tiny(loaded, monkeypatch):
    """The expander that every component of the test loads; the settings that it was asked for are kept."""
    monkeypatch.setattr(
        Expander,
        "load",
        lambda model=None, *, revision=None, engine=None, dtype=None, any_case=None, **options: Expander(
            loaded, INVENTORY, **options
        ),
    )
    return Expander(loaded, INVENTORY)


def pipeline(**config):
    nlp = spacy.blank("en")
    nlp.add_pipe("medalist", config=config)
    return nlp


def answers(doc):
    return [
        (s.text, s._.expansion, s._.probability, s._.alternatives, s._.evidence, s._.sure) for s in doc._.abbreviations
    ]


def test_component_is_registered_with_spacy_so_that_no_import_is_needed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [(name, value)] = project["entry-points"]["spacy_factories"].items()
    module, _, attribute = value.partition(":")
    assert (name, getattr(import_module(module), attribute)) == ("medalist", make_component)
    program = "import spacy; print(spacy.blank('en').add_pipe('medalist'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "MedalistComponent" in done.stdout, done.stderr


def test_without_spacy_the_extra_is_named_in_one_line():
    program = "import sys; sys.modules['spacy'] = None; import medalist.expansion.spacy_component"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: medalist's spaCy component needs spaCy: pip install medalist[spacy]"
    )


def test_answers_are_those_of_the_python_call_on_the_embedded_clinical_notes(loaded, monkeypatch):
    expander = Expander(loaded, sample.inventory(), any_case=False)
    monkeypatch.setattr(Expander, "load", lambda *_, **__: expander)
    notes = [json.loads(line)["text"] for line in clinical.NOTES["clinical-development"].open(encoding="utf-8")][:4]
    docs = list(pipeline().pipe(notes))
    for note, doc in zip(notes, docs, strict=True):
        expected = expander(note)
        spans = doc._.abbreviations
        assert len(spans) == len(expected) > 10
        for span, one in zip(spans, expected, strict=True):
            assert span.start_char <= one.start < one.end <= span.end_char
            assert (span._.expansion, span._.evidence, span._.sure) == (one.long_form, one.evidence, one.sure)
            assert [name for name, _ in span._.alternatives] == [name for name, _ in one.alternatives]
            assert span._.probability == pytest.approx(one.probability, abs=1e-4)
        assert doc._.medalist_warnings == [warning.to_dict() for warning in expected.warnings]
    assert any(doc._.medalist_warnings for doc in docs)


def test_long_form_is_the_span_that_defines_the_short_form_at_each_of_its_mentions(tiny):
    doc = pipeline()(DEFINED)
    first, second = doc._.abbreviations
    assert (first.text, second.text) == ("MRI", "MRI")
    for span in (first, second):
        assert isinstance(span._.long_form, Span)
        assert (span._.long_form.doc is doc, span._.long_form.start, span._.long_form.end) == (True, 0, 3)
        assert (span._.expansion, span._.evidence) == ("Magnetic resonance imaging", "defined in text")
    assert doc[4:5] in doc._.abbreviations and doc[4:5]._.long_form == doc[0:3]


def test_displacy_shows_a_label_and_the_long_form(tiny):
    doc = pipeline(glossary={"RA": "room air"})("93% on RA")
    [span] = doc.spans["medalist"]
    assert (span.label_, span.kb_id_) == ("ABBR", "room air")
    shown = displacy.render(doc, style="span", options={"spans_key": "medalist"}, jupyter=False)
    assert "ABBR" in shown and "room air" in shown


def test_a_long_form_is_no_html_in_displacys_page(tmp_path):
    glossary = {"XSS": "<img src=x onerror=alert(1)> & more"}
    nlp = spacy.blank("en")
    nlp.add_pipe("medalist", config={"engine": "glance", "glossary": glossary})
    page = displacy.render(nlp("XSS on RA"), style="span", options={"spans_key": "medalist"}, page=True)
    assert "<img" not in page and "&lt;img src=x onerror=alert(1)&gt; &amp; more" in page


def test_a_short_form_that_is_not_defined_has_an_expansion_and_no_long_form(tiny):
    [span] = pipeline(glossary={"RA": "room air"})("93% on RA")._.abbreviations
    assert (span._.long_form, span._.expansion, span._.evidence) == (None, "room air", "glossary")
    assert (span._.probability, span._.alternatives, span._.sure) == (1.0, [("room air", 1.0)], True)


def test_spans_that_are_no_short_forms_have_no_values(tiny):
    word = pipeline()("on RA")[0:1]
    values = (word._.expansion, word._.long_form, word._.probability, word._.evidence, word._.sure)
    assert (values, word._.alternatives) == ((None,) * 5, [])


def test_a_short_form_within_a_token_is_given_as_the_whole_token(tiny):
    nlp = pipeline(glossary={"ER+": "estrogen receptor-positive"})
    doc = nlp(Doc(nlp.vocab, words=["(RA),", "ER+/x", "RAs"]))
    assert [span.text for span in doc._.abbreviations] == ["(RA),", "ER+/x", "RAs"]
    assert doc[1:2]._.expansion == "estrogen receptor-positive"


def test_two_short_forms_of_one_token_keep_their_own_answers(tiny):
    doc = pipeline(glossary={"ER+": "estrogen receptor-positive", "PR+": "progesterone receptor-positive"})("ER+/PR+")
    assert len(doc) == 1
    expected = ["estrogen receptor-positive", "progesterone receptor-positive"]
    assert [span._.expansion for span in doc._.abbreviations] == expected
    assert doc[0:1]._.expansion == expected[0]
    stored = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert [span._.expansion for span in stored._.abbreviations] == expected


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, ["MRI", "F", "RA", "ZQI"]),
        ("answered", ["MRI", "F", "RA"]),
        ("sure", ["MRI", "F"]),
        ("defined", ["MRI"]),
    ],
)
def test_only_chooses_what_is_listed(tiny, monkeypatch, only, expected):
    def score_layouts(_model, layouts, **_):
        for layout in layouts:
            yield layout, [torch.tensor([0.8, 0.1, 0.05, 0.05]).log() for _ in layout.questions]

    monkeypatch.setattr("medalist.models.load.score_layouts", score_layouts)
    doc = pipeline(glossary={"F": "female"}, only=only)("Magnetic resonance imaging (MRI) of F with RA, ZQI.")
    assert [span.text for span in doc._.abbreviations] == expected
    assert only != "defined" or all(span._.long_form.text for span in doc._.abbreviations)


def test_make_serializable_gives_the_dictionaries_of_scispacy(tiny):
    doc = pipeline(make_serializable=True, glossary={"RA": "room air"})(DEFINED + " RA")
    json.dumps(doc._.abbreviations)
    first, _, last = doc._.abbreviations
    scispacy = ("short_text", "short_start", "short_end", "long_text", "long_start", "long_end")
    assert [first[key] for key in scispacy] == ["MRI", 4, 5, "Magnetic resonance imaging", 0, 3]
    assert [last[key] for key in scispacy] == ["RA", 13, 14, None, None, None]
    assert (last["expansion"], last["evidence"]) == ("room air", "glossary")
    assert doc[4:5]._.long_form == "Magnetic resonance imaging"


def test_documents_keep_their_answers_stored_joined_and_cut(tiny):
    nlp = pipeline()
    doc = nlp(DEFINED)
    [stored] = DocBin(docs=[doc], store_user_data=True).get_docs(nlp.vocab)
    assert answers(stored) == answers(doc)
    joined = Doc.from_docs([nlp("93% on RA."), doc])
    assert [span.text for span in joined._.abbreviations] == ["RA", "MRI", "MRI"]
    assert joined._.abbreviations[2]._.long_form.text == "Magnetic resonance imaging"
    second = doc._.abbreviations[1]
    cut = doc[second.start - 1 :].as_doc(copy_user_data=True)
    assert cut[1:2].text == "MRI" and cut[1:2]._.expansion == "Magnetic resonance imaging"
    assert cut[1:2]._.long_form is None
    assert cut._.abbreviations[0]._.medalist[0]["definition"] is None
    assert [span.text for span in cut._.abbreviations] == ["MRI"]


def test_offsets_are_those_of_the_document_however_it_was_joined_or_cut(tiny):
    nlp = pipeline()
    doc = nlp(DEFINED + " Give 10U daily.")
    joined = Doc.from_docs([nlp("93% on RA."), nlp("No short form."), doc])
    cut = doc[5:].as_doc(copy_user_data=True)
    for one, found in ((doc, ["MRI", "MRI"]), (joined, ["RA", "MRI", "MRI"]), (cut, ["MRI"])):
        all_ = [values for span in one._.abbreviations for values in span._.medalist]
        assert [one.text[values["start"] : values["end"]] for values in all_] == found
        assert [one.text[each["start"] : each["end"]] for each in one._.medalist_warnings] == ["10U"]
    start, end = joined._.abbreviations[2]._.medalist[0]["definition"]
    assert joined.text[start:end] == "Magnetic resonance imaging"


def test_the_warning_of_a_short_form_moves_with_it(tiny):
    nlp = pipeline(glossary={"MSO4": "morphine sulfate"})
    joined = Doc.from_docs([nlp("93% on RA."), nlp("MSO4 given.")])
    [warning] = joined._.medalist_warnings
    assert joined._.abbreviations[1]._.medalist[0]["warning"] == warning
    assert joined.text[warning["start"] : warning["end"]] == "MSO4"


@pytest.mark.parametrize("serializable", [False, True])
def test_tokens_may_be_merged_afterwards(tiny, serializable):
    doc = pipeline(glossary={"RA": "room air", "F": "female"}, make_serializable=serializable)("An F on RA, " + DEFINED)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:4])  # "F on RA"
        retokenizer.merge(doc[5:8])  # "Magnetic resonance imaging"
    found = doc._.abbreviations
    if serializable:
        assert [one["short_text"] for one in found] == ["F on RA", "F on RA", "MRI", "MRI"]
        assert [one["expansion"] for one in found][:3] == ["female", "room air", "Magnetic resonance imaging"]
        assert found[3]["long_text"] == "Magnetic resonance imaging"
    else:
        assert [span.text for span in found] == ["F on RA", "F on RA", "MRI", "MRI"]
        assert [span._.expansion for span in found][:3] == ["female", "room air", "Magnetic resonance imaging"]
        assert found[3]._.long_form.text == "Magnetic resonance imaging"
        assert doc[1:2]._.expansion == "female" and doc[0:1]._.expansion is None


def test_a_second_reading_takes_the_place_of_the_first(tiny):
    doc = pipeline(glossary={"RA": "room air"})("On RA, 10U.")
    again = pipeline(only="defined").get_pipe("medalist")(doc)
    assert (again._.abbreviations, again[1:2]._.expansion, len(again._.medalist_warnings)) == ([], None, 1)


def test_displacy_shows_a_long_form_and_runs_nothing_in_it(tiny):
    doc = pipeline(glossary={"RA": "<img src=x onerror=alert(1)>", "F": "Crohn's & co"})("F on RA")
    shown = displacy.render(doc, style="span", options={"spans_key": "medalist"}, jupyter=False)
    assert "<img" not in shown and "&lt;img src=x onerror=alert(1)&gt;" in shown and "Crohn's &amp; co" in shown
    assert doc._.abbreviations[1]._.expansion == "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"model": 1}',
        {"entries": [["RA", "room air"]]},
        {"entries": [["RA", "room air", -1, None]]},
        {"entries": [["RA", "room air", "1", None]]},
        {"entries": "RA"},
        {"entries": []},
        {"weights": None},
        {"model": 5},
    ],
)
def test_a_damaged_file_of_a_saved_pipeline_ends_in_one_line(tmp_path, content):
    nlp = pipeline(glossary={"RA": "room air"})
    nlp.to_disk(tmp_path / "saved")
    file = tmp_path / "saved/medalist/medalist.json"
    if isinstance(content, dict):
        content = json.dumps(json.loads(file.read_bytes()) | content).encode()
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S+medalist\.json is damaged: save the pipeline again with nlp\.to_disk$"):
        spacy.load(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"^The pipeline's medalist\.json is damaged: save the pipeline again"):
        nlp.get_pipe("medalist").from_bytes(content)


def test_a_saved_pipeline_without_its_file_says_which_is_missing(tmp_path):
    pipeline(glossary={"RA": "room air"}).to_disk(tmp_path / "saved")
    (tmp_path / "saved/medalist/medalist.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"medalist\.json does not exist"):
        spacy.load(tmp_path / "saved")


def test_the_stream_keeps_its_order_and_context_whatever_the_batches(tiny):
    nlp = pipeline()
    texts = [DEFINED, "", "RA", "no short form", "an RA, F"] * 2
    expected = [answers(nlp(text)) for text in texts]
    for size in (1, 3, 1000):
        piped = list(nlp.pipe([(text, number) for number, text in enumerate(texts)], as_tuples=True, batch_size=size))
        assert [number for _, number in piped] == list(range(10))
        for (doc, _), alone in zip(piped, expected, strict=True):
            assert [one[:2] for one in answers(doc)] == [one[:2] for one in alone]


@pytest.mark.parametrize("serializable", [False, True])
def test_two_processes_give_the_same_answers_after_the_model_was_used_here_with_threads(tiny, serializable):
    nlp = pipeline(make_serializable=serializable)
    texts = [DEFINED, "on RA", "an RA, F"]
    torch.set_num_threads(2)
    try:
        expected = [nlp(text)._.abbreviations for text in texts]
        docs = list(nlp.pipe(texts, n_process=2, batch_size=2))
    finally:
        torch.set_num_threads(1)
    if serializable:
        assert [[one["expansion"] for one in doc._.abbreviations] for doc in docs] == [
            [one["expansion"] for one in all_] for all_ in expected
        ]
    else:
        assert [[one._.expansion for one in doc._.abbreviations] for doc in docs] == [
            [one._.expansion for one in all_] for all_ in expected
        ]
        assert docs[0]._.abbreviations[1]._.long_form.text == "Magnetic resonance imaging"


def test_a_model_on_a_gpu_is_not_shared_with_other_processes(tiny, monkeypatch):
    nlp = pipeline()
    nlp("RA")
    monkeypatch.setattr(Expander, "device", torch.device("meta"))
    nlp("RA")
    with pytest.raises(ValueError, match=r"call nlp\.pipe with n_process=1"):
        list(nlp.pipe(["RA"], n_process=2))


def test_a_saved_pipeline_answers_as_before_without_the_glossary_file_and_holds_no_weights(tiny_run, tmp_path):
    own = tmp_path / "ours.csv"
    own.write_text("short_form,long_form,count\nQQT,quiet quick test,3\n", encoding="utf-8")
    nlp = pipeline(model=str(tiny_run), glossary=str(own), min_probability=0.2)
    text = "QQT with RA and CT of the chest"
    before = answers(nlp(text))
    nlp.to_disk(tmp_path / "saved")
    own.unlink()
    assert answers(spacy.load(tmp_path / "saved")(text)) == before
    assert before[0][1:] == ("quiet quick test", 1.0, [("quiet quick test", 1.0)], "glossary", True)
    files = list((tmp_path / "saved/medalist").iterdir())
    assert [path.name for path in files] == ["medalist.json"] and files[0].stat().st_size < 1000
    stored = json.loads(files[0].read_text(encoding="utf-8"))
    assert (stored["model"], stored["entries"]) == (str(tiny_run), [["QQT", "quiet quick test", 3, None]])
    again = spacy.blank("en")
    again.add_pipe("medalist", config={"model": str(tiny_run), "glossary": str(own), "min_probability": 0.2})
    assert answers(again.from_bytes(nlp.to_bytes())(text)) == before
    assert answers(pickle.loads(pickle.dumps(again))(text)) == before


def test_a_saved_pipeline_refuses_other_weights_under_the_same_name_but_takes_another_model(tiny_run, tmp_path):
    nlp = pipeline(model=str(tiny_run))
    nlp.to_disk(tmp_path / "saved")
    file = tmp_path / "saved/medalist/medalist.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"weights": "0" * 64}), encoding="utf-8")
    with pytest.raises(ValueError, match="but the pipeline was saved with 000000000000…: load it with the model that"):
        spacy.load(tmp_path / "saved")("RA")
    (tmp_path / "moved").symlink_to(tiny_run)
    moved = spacy.load(tmp_path / "saved", config={"components.medalist.model": str(tmp_path / "moved")})
    assert answers(moved("on RA")) == answers(nlp("on RA"))


def test_a_model_that_does_not_exist_ends_in_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nothing$"):
        pipeline(model=str(tmp_path / "nothing"))("RA")


def test_a_wrong_setting_is_refused_when_the_component_is_added():
    with pytest.raises(ValueError, match="only"):
        pipeline(only="everything")


def test_an_attribute_that_another_component_defined_is_not_taken_over(tiny):
    pipeline()
    ours = Span.get_extension("expansion")
    Span.set_extension("expansion", default="mine", force=True)
    try:
        with pytest.raises(ValueError, match=r"Another component has defined Span\._\.expansion"):
            pipeline()
    finally:
        Span.set_extension("expansion", getter=ours[2], force=True)
