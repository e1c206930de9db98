"""The page at `/` in headless Chromium: what it shows, how it is used, and what it saves.

The server is a stand-in, but the last test, which asks the real one.
"""

import json
import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

import notes_server
from browsing import CONTRAST, FILES, as_json, launched, said, stand_in
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passage_files import read_passages
from medalist.data.passages import NONE_OF_THESE
from medalist.data.rows import Quarantine
from medalist.expansion.evidence import Lexicon, read_glossary
from medalist.recipe import parse_recipe
from medalist.runs.train import train
from notes_server import running as running_server
from notes_server import small_expander

RA = (
    "room air",
    0.62,
    ("rheumatoid arthritis", 0.3),
    ("right atrium", 0.05),
    ("refractory anemia", 0.02),
    ("renal artery", 0.01),
)
NOTE = (
    "👩‍⚕️ SpO2 93% on RA. HTN, known RA.\n"
    "left ventricular ejection fraction (LVEF) 40%; LVEF 55% before.\n"
    "MS 4 mg IV. Insulin 10U qd. ZPQ, PA."
)
"""Begins with an emoji of four code points and five UTF-16 units."""
ANSWERS = (
    said("SpO2", "oxygen saturation", 0.999, evidence="inventory"),
    said("RA", *RA),
    said("HTN", "hypertension", 1.0, evidence="glossary"),
    said("RA", "rheumatoid arthritis", 0.97, ("room air", 0.02), ("right atrium", 0.01)),
    said("LVEF", "left ventricular ejection fraction", 1.0, evidence="defined in text"),
    said("LVEF", "left ventricular ejection fraction", 1.0, evidence="defined in text"),
    said("MS", "morphine sulfate", 0.97, ("magnesium sulfate", 0.02)),
    said("IV", "intravenous", 0.996),
    said("ZPQ", probability=1.0),
    said("PA", None, 0.9, ("physician associate", 0.06), ("pulmonary artery", 0.04)),
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def running():
    with stand_in() as pair:
        yield pair


@pytest.fixture
def server(running):
    """The stand-in, which knows NOTE."""
    stand_in, served = running
    served.requests.clear()
    stand_in.known.clear()
    stand_in.faults.clear()
    stand_in.check = lambda _: None
    stand_in.knows(NOTE, *ANSWERS)
    return stand_in


@pytest.fixture
def opened(browser, running, server):
    """A function that opens the page; every message of the browser's console must be expected."""
    contexts, messages = [], []

    def open_page(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(running[1].url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [
        text for text in messages if not text.startswith("Failed to load resource")
    ] == []  # a fault that a test asked for


@pytest.fixture
def page(opened):
    return opened()


def read(page, text=NOTE):
    page.fill("#text", text)
    page.click("#read")
    expect(page.locator("#result")).to_be_visible()


def form(page, label, number=0):
    """The button whose label begins with this short form."""
    return page.locator(f'#reader .form[aria-label^="{label}, "]').nth(number)


def accept(page, label, number=0, *, choice=None, own=None, always=None):
    form(page, label, number).click()
    if choice is not None:
        page.get_by_role("radio", name=choice).check()
    if own is not None:
        page.get_by_role("radio", name="Something else").check()
        page.fill("#own-text", own)
    if always is not None:
        page.set_checked("#always", always)
    page.click("#accept")


def saved(page, button, folder):
    with page.expect_download() as download:
        page.click(button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_note_is_shown_as_it_is_and_every_kind_of_answer_has_its_own_mark(page):
    read(page)
    assert page.evaluate("document.getElementById('reader').textContent") == NOTE
    kinds = page.evaluate(
        "[...document.querySelectorAll('#reader .form')].map((one) => [one.innerText, one.classList[1]])"
    )
    assert [tuple(pair) for pair in kinds] == [
        ("SpO2", "sure"),
        ("RA", "unsure"),
        ("HTN", "glossary"),
        ("RA", "sure"),
        ("LVEF", "defined"),
        ("LVEF", "defined"),
        ("MS", "sure"),
        ("IV", "sure"),
        ("10U", "warning"),
        ("qd", "warning"),
        ("ZPQ", "unlisted"),
        ("PA", "none"),
    ]
    labels = [one.get_attribute("aria-label") for one in page.locator("#reader .form").all()]
    assert labels[1] == "RA, probably room air, 62\xa0%, not sure"
    assert labels[2] == "HTN, hypertension, from your glossary"
    assert labels[3] == "RA, rheumatoid arthritis, 97\xa0%"
    assert labels[8].startswith("10U, Better avoided: read as 0, 4 or cc")


def test_no_two_kinds_differ_by_colour_alone(page):
    read(page)
    marks = page.evaluate("""
        [...document.querySelectorAll("#reader .form")].map((one) => [
          one.classList.contains("avoid") ? "avoid" : one.classList[1],
          getComputedStyle(one.querySelector(".warned") ?? one).textDecorationStyle
            + [...one.querySelectorAll("use")].map((use) => use.getAttribute("href")),
        ])""")
    by_kind = {}
    for kind, mark in marks:
        by_kind.setdefault(kind, set()).add(mark)
    assert set(by_kind) == {"sure", "unsure", "glossary", "defined", "avoid", "unlisted", "none"}
    assert all(len(found) == 1 for found in by_kind.values()), by_kind
    assert len(set.union(*by_kind.values())) == len(by_kind), by_kind


def test_the_panel_says_what_it_stands_for_what_else_and_why(page):
    read(page)
    form(page, "RA").click()
    panel = page.get_by_role("dialog", name="RA")
    expect(panel).to_contain_text("room air")
    expect(panel).to_contain_text("not sure, 62\xa0%")
    expect(panel).to_contain_text("The model chose among 5 listed meanings")
    assert panel.locator("#alternatives .choice:visible").count() == 4
    panel.get_by_role("button", name="Show 1 more").click()
    expect(panel.get_by_role("radio", name="renal artery")).to_be_focused()
    assert panel.locator("#alternatives").inner_text().split("\n") == [
        "room air",
        "62\xa0%",
        "rheumatoid arthritis",
        "30\xa0%",
        "right atrium",
        "5\xa0%",
        "refractory anemia",
        "2\xa0%",
        "renal artery",
        "1\xa0%",
    ]
    page.keyboard.press("Escape")
    for label, words in {
        "SpO2": "The only meaning that is listed.",
        "HTN": "From your glossary.",
        "LVEF": "The note spells it out: “left ventricular ejection fraction”.",
        "ZPQ": "nothing lists it. Nothing is guessed.",
        "PA": "None of them fits, or it is no short form here (90\xa0%)",
    }.items():
        form(page, label).click()
        expect(page.locator("#panel-evidence")).to_contain_text(words)
        page.keyboard.press("Escape")


LONG_NOTE = "\n".join(f"Line {number}: seen on RA at the ward, insulin given." for number in range(40))


@pytest.mark.parametrize("size", [(1400, 900), (1000, 700), (768, 1024), (390, 844)], ids=str)
def test_the_panel_leaves_the_place_and_the_lines_around_it_to_be_read(opened, server, size):
    server.knows(LONG_NOTE, *[said("RA", *RA)] * 40)
    page = opened(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
    read(page, LONG_NOTE)
    for number in (0, 20, 39):
        form(page, "RA", number).click()
        panel, place = page.locator("#panel").bounding_box(), form(page, "RA", number).bounding_box()
        sheet = page.locator("#reader").bounding_box()
        end = panel["y"] if size[0] <= 900 else size[1]
        assert end == panel["y"] or sheet["x"] + sheet["width"] <= panel["x"]
        assert place["y"] + 3 * place["height"] <= end
        assert place["y"] >= (number > 0) * 2 * place["height"]
        assert panel["x"] >= 0 and panel["x"] + panel["width"] <= size[0]
        assert panel["y"] >= 0 and panel["y"] + panel["height"] <= size[1]
        page.keyboard.press("Escape")


def test_the_answers_stand_in_a_table_whose_rows_open_the_panel(page):
    read(page)
    accept(page, "HTN", choice="Not a short form")
    page.get_by_role("button", name="Table").click()
    rows = [row.split("\t") for row in page.locator("#reader tr").all_inner_texts()]
    assert rows[:3] == [
        ["Written", "Stands for", "How sure", "In the note"],
        ["SpO2", "oxygen saturation", ">\xa099\xa0%", "👩‍⚕️ SpO2 93% on RA. HTN, known RA. …"],
        ["RA", "room air", "62\xa0%, not sure", "👩‍⚕️ SpO2 93% on RA. HTN, known RA. left …"],
    ]
    assert [row[:3] for row in rows[3:] if row[0] in ("HTN", "MS", "10U", "ZPQ", "PA")] == [
        ["HTN", "not a short form", "your answer"],
        ["MS", "morphine sulfate", "97\xa0%; better avoided"],
        ["10U", "unit", "better avoided"],
        ["ZPQ", "", "not listed anywhere"],
        ["PA", "", "none of the listed meanings"],
    ]
    form(page, "RA").focus()
    page.keyboard.press("Enter")
    page.get_by_role("radio", name="right atrium").check()
    page.keyboard.press("Enter")
    expect(page.locator("#reader tr").nth(2)).to_contain_text("right atrium\tyour answer", use_inner_text=True)
    expect(form(page, "RA")).to_be_focused()


def test_a_print_has_note_and_marks_in_dark_on_white_and_nothing_to_press(opened):
    page = opened(color_scheme="dark")
    read(page)
    form(page, "RA").click()
    page.emulate_media(media="print")
    for seen in ("#reader", "#legend", "footer p"):
        expect(page.locator(seen)).to_be_visible()
    for unseen in (".top", "#panel", "#edit", "#as-table", "#save-passages"):
        expect(page.locator(unseen)).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.getElementById('reader')).color") == "rgb(23, 36, 43)"
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_a_notation_to_avoid_says_why_and_what_to_write(page):
    read(page)
    form(page, "MS").click()
    expect(page.locator("#panel-warnings")).to_contain_text("can also be magnesium sulfate")
    expect(page.locator("#panel-warnings")).to_contain_text("Write morphine sulfate or magnesium sulfate.")
    expect(page.locator("#panel-warnings")).to_contain_text("Joint Commission and ISMP")
    expect(page.locator("#accept")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name=re.compile("^10U")).click()
    expect(page.locator("#panel-warnings")).to_contain_text("Write 10 units.")
    expect(page.locator("#accept")).to_be_hidden()  # no short form to answer


def test_where_the_note_defines_a_short_form_is_shown_while_the_panel_is_open(page):
    read(page)
    form(page, "LVEF", 1).click()
    assert page.locator(".defines.shown").all_inner_texts() == ["left ventricular ejection fraction"]
    page.keyboard.press("Escape")
    expect(page.locator(".defines.shown")).to_have_count(0)


def test_the_keyboard_alone_reviews_a_note(page, tmp_path):
    page.locator("#text").focus()
    page.keyboard.insert_text(NOTE)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#heading")).to_be_focused()
    while page.evaluate("!document.activeElement.matches('#reader .form')"):
        page.keyboard.press("Tab")
    expect(form(page, "SpO2")).to_be_focused()
    page.keyboard.press("Tab")
    expect(form(page, "RA")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("radio", name="room air")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(form(page, "RA")).to_be_focused()
    page.keyboard.press(" ")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="rheumatoid arthritis")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#progress")).to_have_text("1 of 10 reviewed.")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "RA, rheumatoid arthritis, reviewed"
    page.keyboard.press("Tab")
    expect(form(page, "HTN")).to_be_focused()


def test_results_and_answers_are_announced(page):
    read(page)
    expect(page.get_by_role("status")).to_have_text(
        "10 short forms: 4 sure, 1 not sure, 2 spelt out in the note, 1 from your glossary, 1 without an answer, "
        "1 not listed anywhere. 3 notations better avoided."
    )
    accept(page, "RA")
    expect(page.get_by_role("status")).to_have_text("RA: room air. 1 of 10 reviewed.")


def test_accept_and_next_goes_to_the_next_without_an_answer_and_undo_takes_one_back(page):
    read(page)
    form(page, "SpO2").click()
    page.click("#accept-next")
    expect(page.get_by_role("dialog", name="RA")).to_be_visible()
    page.click("#accept-next")
    expect(page.get_by_role("dialog", name="HTN")).to_be_visible()
    page.keyboard.press("Escape")
    form(page, "RA").click()
    page.click("#undo")
    expect(page.locator("#progress")).to_have_text("1 of 10 reviewed.")
    expect(form(page, "RA")).to_have_class("form unsure")


def test_a_mark_in_the_legend_leads_to_the_next_of_its_kind(page):
    read(page)
    page.get_by_role("button", name="spelt out in the note 2").click()
    expect(form(page, "LVEF", 0)).to_be_focused()
    page.get_by_role("button", name="spelt out in the note 2").click()
    expect(form(page, "LVEF", 1)).to_be_focused()


def test_a_declined_short_form_with_a_likely_meaning_is_not_rejected_by_default(page, server):
    text = "BP 148/86."
    server.knows(text, said("BP", None, 0.08, ("blood pressure", 0.9), ("base pair", 0.02)))
    read(page, text)
    form(page, "BP").click()
    expect(page.locator("#panel-evidence")).to_contain_text("not certain enough")
    assert page.locator("[name=choice]:checked").count() == 0
    page.click("#accept")
    expect(page.locator("#choice-error")).to_have_text("Choose what it stands for.")
    page.get_by_role("radio", name="blood pressure").check()
    page.click("#accept")
    expect(page.locator("#progress")).to_have_text("1 of 1 reviewed.")


def test_a_short_form_that_the_model_could_not_read_is_said_to_be_not_read_and_has_no_percentages(page, server):
    text = "Known RA."
    server.knows(text, said("RA", None, 0.0, ("rheumatoid arthritis", 0.9), ("room air", 0.1), evidence="not read"))
    read(page, text)
    assert form(page, "RA").get_attribute("aria-label") == "RA, not read"
    form(page, "RA").click()
    expect(page.locator("#panel-answer")).to_have_text("Not read")
    expect(page.locator("#panel-evidence")).to_contain_text("does not fit into what the model can read at once")
    assert page.locator("#alternatives").inner_text().split("\n") == ["rheumatoid arthritis", "room air"]
    assert page.locator("[name=choice]:checked").count() == 0


def test_a_meaning_of_ones_own_must_be_written(page):
    read(page)
    form(page, "ZPQ").click()
    page.click("#accept")
    expect(page.locator("#choice-error")).to_have_text("Write out what it stands for.")
    expect(page.locator("#own-text")).to_be_focused()
    expect(page.locator("#progress")).to_have_text("0 of 10 reviewed.")


def test_reviewed_answers_are_passages_that_training_reads(page, server, tmp_path):
    read(page)
    accept(page, "RA", 0, choice="rheumatoid arthritis")
    accept(page, "RA", 1, own="  reactive\tarthritis ")
    accept(page, "ZPQ", own="zinc, plasma; quantitative")
    accept(page, "PA")
    passages_file, glossary_file = saved(page, "#save-passages", tmp_path), saved(page, "#save-glossary", tmp_path)
    assert (passages_file.name, glossary_file.name) == ("passages.jsonl", "glossary.csv")
    inventory = Inventory.read(glossary_file)
    quarantine = Quarantine(limit=0)
    (passage,) = read_passages(passages_file, inventory, quarantine)
    assert not quarantine.rows
    assert passage.text == NOTE and passage.source == "reviewed"
    assert [(passage.surface(m), m.short_form, m.long_form) for m in passage.mentions] == [
        ("RA", "RA", "rheumatoid arthritis"),
        ("RA", "RA", "reactive arthritis"),
        ("ZPQ", "ZPQ", "zinc, plasma; quantitative"),
        ("PA", "PA", NONE_OF_THESE),
    ]
    assert passage.mentions[0].start == 17  # code points; 18 UTF-16 units
    assert [item.kind for item in make_items([passage], inventory)] == ["choice", "choice", "single", "distractor"]
    assert re.fullmatch("[0-9a-f]{16}", passage.id)


def test_what_was_reviewed_tunes_a_model(page, server, tmp_path, model_folder):
    for number in range(3):
        text = f"{NOTE} Day {number}."
        server.knows(text, *ANSWERS)
        read(page, text)
        accept(page, "RA", choice="rheumatoid arthritis", always=True)
        accept(page, "RA", 1, own="reactive arthritis", always=True)
        accept(page, "PA")
        page.click("#new")
    read(page)
    places = {
        "path": str(saved(page, "#save-passages", tmp_path)),
        "inventory": str(saved(page, "#save-glossary", tmp_path)),
    }
    values = {
        "name": "ward",
        "output": str(tmp_path),
        "model": {"base": str(model_folder)},
        "data": {"source": "table", "test": 0, "validation": 0, **places},
    }
    run = train(parse_recipe(values, ["training.max_steps=1"]))
    assert run.inventory.long_forms("RA") == ("rheumatoid arthritis", "reactive arthritis")
    trained = (run.folder / "trained_senses.csv").read_text(encoding="utf-8").splitlines()
    assert trained[1:] == ["RA,rheumatoid arthritis,3,", "RA,reactive arthritis,3,", f"PA,{NONE_OF_THESE},3,"]


def test_what_is_saved_is_found_as_it_is_written_in_the_text(page, server, tmp_path):
    text = "C.O.P.D. and CTs, copd."
    copd = "chronic obstructive pulmonary disease"
    server.knows(
        text,
        said("C.O.P.D.", copd, key="COPD"),
        said("CTs", "computed tomography", key="CT"),
        said("copd", copd, key="COPD"),
    )
    read(page, text)
    for number, label in enumerate(("C.O.P.D.", "CTs", "copd"), 1):
        accept(page, label)
        expect(page.locator("#progress")).to_have_text(f"{number} of 3 reviewed.")
    passages_file, glossary_file = saved(page, "#save-passages", tmp_path), saved(page, "#save-glossary", tmp_path)
    inventory = Inventory.read(glossary_file)
    (passage,) = read_passages(passages_file, inventory, Quarantine(limit=0))
    assert [m.short_form for m in passage.mentions] == ["C.O.P.D.", "CT", "COPD"]
    assert all(m.long_form in inventory.long_forms(m.short_form) for m in passage.mentions)


def test_markup_is_text_and_what_reorders_text_is_shown_as_a_sign_and_saved_as_it_is(page, server, tmp_path):
    wicked = "<img src=x onerror=alert(1)><script>alert(2)</script>javascript:alert(3)"
    note = f"{wicked} RA {{{{7*7}}}} \u202elamron\u202c \u2066RA\u2069."
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    server.knows(note, said("RA", wicked, 0.9), said("RA", "room \u202eria", 0.9))
    read(page, note)
    shown = note.translate(dict.fromkeys(map(ord, "\u202e\u202c\u2066\u2069"), "\ufffd"))
    assert page.locator("#reader").inner_text() == shown
    accept(page, "RA", 0)
    form(page, "RA", 1).click()
    assert "room \ufffdria" in page.locator("#panel").inner_text()
    page.click("#accept")
    assert page.locator("#reader img, #reader script, #panel img, #panel script").count() == 0
    passage = json.loads(saved(page, "#save-passages", tmp_path).read_text())
    assert passage["text"] == note
    assert [mention["long_form"] for mention in passage["mentions"]] == [wicked, "room \u202eria"]


def test_half_an_emoji_is_sent_and_saved_as_a_replacement_character(page, server, tmp_path):
    server.knows("\ufffd RA.", said("RA", *RA))
    page.evaluate("document.getElementById('text').value = '\\ud83d RA.'")
    page.click("#read")
    accept(page, "RA")
    (passage,) = read_passages(saved(page, "#save-passages", tmp_path), Inventory(senses={}), Quarantine(limit=0))
    assert passage.text == "\ufffd RA." and passage.surface(passage.mentions[0]) == "RA"


def test_one_answer_does_not_decide_for_all_notes_unless_the_reviewer_says_so(page, server, tmp_path):
    read(page)
    accept(page, "RA")
    accept(page, "LVEF")  # what one note defines, another may use otherwise
    expect(page.locator("#save-glossary")).to_be_disabled()
    accept(page, "SpO2")
    lexicon = read_glossary(saved(page, "#save-glossary", tmp_path))
    assert dict(lexicon.senses).keys() == {"SpO2"}
    accept(page, "RA", always=True)
    glossary = read_glossary(saved(page, "#save-glossary", tmp_path))
    assert glossary.long_forms("RA") == ("room air",)
    (found,) = Lexicon(Inventory(senses={}), glossary, any_case=False, skip_words=False).find("On RA.")
    assert (found.long_form, found.evidence) == ("room air", "glossary")


def test_a_new_meaning_of_a_short_form_with_others_is_saved_beside_them(page, server, tmp_path):
    read(page)
    accept(page, "RA", own="reactive arthritis")
    glossary = read_glossary(saved(page, "#save-glossary", tmp_path))
    assert set(glossary.long_forms("RA")) == {
        "reactive arthritis", "room air", "rheumatoid arthritis", "right atrium", "refractory anemia", "renal artery",
    }  # fmt: skip


def test_several_notes_go_into_one_file_and_an_edit_keeps_answers(page, server, tmp_path):
    server.knows("On RA.", said("RA", *RA))
    read(page)
    accept(page, "RA")
    page.click("#edit")
    expect(page.locator("#text")).to_have_value(NOTE)
    page.click("#read")
    expect(page.locator("#progress")).to_have_text("1 of 10 reviewed.")
    page.click("#new")
    read(page, "On RA.")
    accept(page, "RA")
    expect(page.locator("#progress")).to_have_text("1 of 1 reviewed; 2 answers in 2 notes.")
    passages = read_passages(saved(page, "#save-passages", tmp_path), Inventory(senses={}), Quarantine(limit=0))
    assert [passage.text for passage in passages] == [NOTE, "On RA."]
    page.click("#forget")
    expect(page.locator("#progress")).to_have_text("0 of 1 reviewed.")
    expect(page.locator("#save-passages")).to_be_disabled()


@pytest.mark.parametrize("unsure", ["mark", "leave"])
def test_the_expanded_note_is_the_one_that_python_writes(page, server, tmp_path, unsure):
    text = f"{NOTE}\nRA (right atrium) and CP, F/u CTs; right atrium ( “RA”) RA. "
    text += "Mild on TTE. s/p PCI; vit D 500 IU, BLE edema, this PM. "
    text += "Had an MI, 45 yo, acute AKI. HR 80, HIV virus; told by pt. today, and wt. 70 kg; "
    text += "BP120/80, RR18 for 2 d, 24 h urine in 6 mo w/ 1 u"
    told = server.knows(
        text,
        *ANSWERS,
        said("RA", "right atrium", 1.0, evidence="defined in text"),
        said("CP", "chest pain", 0.745, ("cerebral palsy", 0.2)),  # 74.5 %: Python rounds a half to even
        said("F", "follow"),
        said("CTs", "computed tomography", key="CT"),
        said("RA", "right atrium", 1.0, evidence="defined in text"),
        said("RA", "right atrium", 1.0, evidence="defined in text"),
        said("s/p", "status post"),
        said("IU", "international unit"),
        said("BLE", "bilateral lower extremities"),
        said("PM", "post meridiem"),
        said("MI", "myocardial infarction"),
        said("yo", "year-old"),
        said("AKI", "acute kidney injury"),
        said("HR", "heart rate"),
        said("HIV", "human immunodeficiency virus"),
        said("pt", "patient"),
        said("wt", "weight", 0.6, ("wild type", 0.4)),
        said("BP", "blood pressure"),
        said("RR", "respiratory rate", 0.6, ("relative risk", 0.4)),
        said("d", "day"),
        said("h", "hour"),
        said("mo", "month"),
        said("u", "unit"),
    )
    assert "on TTE. Status post PCI; vit D 500 international units, bilateral lower extremity edema, this PM. Had" in (
        told.replaced()
    )
    assert "Had a myocardial infarction, 45 year-old, acute kidney injury. Heart rate" in told.replaced()
    assert "told by patient today, and wt. [weight? 60 %] 70 kg; blood pressure 120/80" in told.replaced()
    assert told.replaced().endswith("[respiratory rate? 60 %] 18 for 2 days, 24 hour urine in 6 months w/ 1 unit")
    read(page, text)
    page.click("#as-expanded")
    page.set_checked("#mark", unsure == "mark")
    path = saved(page, "#save-text", tmp_path)
    assert path.name == "note.expanded.txt"
    assert path.read_text(encoding="utf-8") == told.replaced(unsure=unsure)
    assert page.evaluate("document.getElementById('reader').textContent") == told.replaced(unsure=unsure)
    assert ("CP [chest pain? 74 %]" in told.replaced(unsure=unsure)) == (unsure == "mark")


def test_a_reviewed_answer_is_written_and_a_rejected_one_left(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    read(page)
    accept(page, "RA", choice="right atrium")
    accept(page, "HTN", choice="Not a short form")
    page.click("#as-expanded")
    page.get_by_role("button", name="intravenous, written as IV").click()
    page.click("#accept")
    expect(page.get_by_role("button", name="intravenous, written as IV, reviewed")).to_be_focused()
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "on right atrium. HTN, known rheumatoid arthritis." in copied


def test_without_the_new_clipboard_the_old_one_serves(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    read(page)
    page.click("#as-expanded")
    page.evaluate(
        "window.kept = navigator.clipboard; Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    assert page.evaluate("window.kept.readText()").startswith("👩‍⚕️ oxygen saturation 93%")


FILES_TO_DROP = {
    "utf-8": ("µ RA".encode(), "µ RA"),
    "windows-1252": ("µ RA".encode("cp1252"), "µ RA"),
    "utf-16": ("µ RA".encode("utf-16"), "µ RA"),
    "mark": ("µ RA".encode("utf-8-sig"), "µ RA"),
}


@pytest.mark.parametrize(("raw", "text"), FILES_TO_DROP.values(), ids=FILES_TO_DROP)
def test_a_dropped_file_is_decoded_and_read(page, server, raw, text):
    server.knows(text, said("RA", *RA))
    drop(page, "a3.txt", raw)
    expect(page.locator("#heading")).to_have_text("a3.txt")
    assert page.evaluate("document.getElementById('reader').textContent") == text
    page.click("#as-expanded")
    with page.expect_download() as download:
        page.click("#save-text")
    assert download.value.suggested_filename == "a3.expanded.txt"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"%PDF-1.7 x", "is a PDF"),
        (b"PK\x03\x04docx", "is a document"),
        (b"a\0b", "is not a text file"),
        (b" \n", "is empty"),
    ],
)
def test_a_file_that_is_no_text_gets_one_line(page, running, raw, words):
    drop(page, "a3.x", raw)
    expect(page.get_by_role("alert").first).to_contain_text(f"a3.x {words}")
    assert not running[1].asked("expand")


def drop(page, name, raw):
    transfer = page.evaluate_handle(
        """([name, raw]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(raw)], name));
          return transfer;
        }""",
        [name, list(raw)],
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})


def test_the_example_is_read_at_once_and_nothing_is_asked_about_an_empty_note(page, running):
    page.click("#read")
    expect(page.locator("#error")).to_have_text("There is no note yet: paste one, open a file, or try the example.")
    assert not running[1].asked("expand")
    page.click("#example")
    expect(page.locator("#result")).to_be_visible()
    (request,) = running[1].asked("expand")
    assert json.loads(request.body)["text"].startswith("71 y/o F with RA on MTX")
    expect(page.locator("#summary")).to_have_text("No short forms found")


def test_a_busy_server_is_asked_again_when_it_says(page, server, running):
    server.faults = [as_json({"detail": "busy"}, 503, Retry_After="2")]
    page.fill("#text", NOTE)
    began = time.monotonic()
    page.click("#read")
    expect(page.locator("#wait-text")).to_contain_text("The server is busy. Next try in")
    expect(page.locator("#read")).to_be_disabled()
    expect(page.locator("#result")).to_be_visible()
    assert time.monotonic() - began >= 2
    assert len(running[1].asked("expand")) == 2


def test_waiting_for_a_busy_server_can_be_cancelled_and_does_not_go_on_for_ever(page, server, running):
    server.faults = [
        as_json({"detail": "busy"}, 503, Retry_After="50"),
        as_json({"detail": "busy"}, 503, Retry_After="90"),
    ]
    page.fill("#text", NOTE)
    page.click("#read")
    page.click("#cancel")
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#read")).to_be_enabled()
    page.click("#read")
    expect(page.locator("#error")).to_have_text("The server is busy. Try again in 90 seconds.")
    assert len(running[1].asked("expand")) == 2


OUTSIDE = as_json({"results": [{"expansions": [{"start": 0, "end": 10**6}], "warnings": []}]})
"""An offset that the note does not have."""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            as_json({"detail": "At most 1,000,000 characters."}, 413),
            "The note is too long for this server. Read it in parts. The server says: At most 1,000,000 characters.",
        ),
        (as_json({"detail": [{"loc": ["body"], "msg": "x"}]}, 422), "The server could not read the note (error 422)."),
        (
            as_json({"detail": "Internal"}, 500),
            "The server could not read the note (error 500). The server says: Internal",
        ),
        (as_json({"unexpected": 1}), "The server's answer is not one that this page understands. Reload the page."),
        (OUTSIDE, "The server's answer does not fit the note. Reload the page."),
    ],
)
def test_an_error_is_one_line_that_holds_no_text_of_the_note(page, server, fault, words):
    server.faults = [fault]
    page.fill("#text", NOTE)
    page.click("#read")
    expect(page.locator("#error")).to_have_text(words)
    expect(page.locator("#text")).to_have_value(NOTE)
    expect(page.locator("#read")).to_be_enabled()


def test_a_server_that_is_gone_gets_one_line(opened):
    with stand_in() as (_, served):
        page = opened()
        page.goto(served.url)
    page.fill("#text", NOTE)
    page.click("#read")
    expect(page.locator("#error")).to_have_text("The server does not answer. Check that it is running, then try again.")


def test_a_token_is_asked_for_only_by_a_server_that_wants_one(page, server, running):
    server.check = lambda request: (
        None if request.headers.get("authorization") == "Bearer s3cret" else as_json({"detail": "no"}, 401)
    )
    expect(page.locator("#token")).to_be_hidden()
    page.fill("#text", NOTE)
    page.click("#read")
    expect(page.locator("#token")).to_be_focused()
    expect(page.locator("#error")).to_contain_text("asks for an access token")
    page.fill("#token", "guess")
    page.keyboard.press("Enter")
    expect(page.locator("#error")).to_have_text("That token is not the right one.")
    page.fill("#token", "s3cret")
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_be_visible()


def test_nothing_is_stored_and_nobody_else_is_asked(opened, running, server):
    page = opened()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    read(page)
    accept(page, "RA")
    page.click("#as-expanded")
    kept = page.evaluate("""async () => [
      localStorage.length, sessionStorage.length, document.cookie, (await indexedDB.databases()).length,
      (await caches.keys()).length, (await navigator.serviceWorker.getRegistrations()).length, location.href,
    ]""")
    assert kept == [0, 0, "", 0, 0, 0, f"{running[1].url}/"]
    assert f"{running[1].url}/v1/expand" in asked
    assert {url for url in asked if not url.startswith(f"{running[1].url}/")} == set()
    (request,) = running[1].asked("expand")
    assert request.headers["content-type"] == "application/json" and json.loads(request.body) == {"text": NOTE}
    assert "referer" not in request.headers
    page.on("dialog", lambda dialog: dialog.accept())  # the answers are not saved
    page.reload()
    expect(page.locator("#text")).to_have_value("")


def test_the_page_keeps_a_strict_policy_and_names_no_other_host(page):
    html = (FILES / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=|javascript:", html)
    policy = page.get_attribute("meta[http-equiv=Content-Security-Policy]", "content")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "data:" not in policy
    allowed = {"http://www.w3.org/2000/svg"}  # a name, never fetched
    for path in FILES.iterdir():
        assert set(re.findall(r"https?://[^\s\"'<>]+", path.read_text(encoding="utf-8"))) <= allowed, path.name
        assert not re.search(
            r"localStorage|sessionStorage|indexedDB|innerHTML|eval\(", path.read_text(encoding="utf-8")
        ), path.name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_at_least_wcag_aa(opened, scheme):
    page = opened(color_scheme=scheme)
    seen = page.evaluate(CONTRAST)
    page.click("#read")  # an error
    seen += page.evaluate(CONTRAST)
    read(page)
    accept(page, "RA")
    accept(page, "HTN", choice="Not a short form")
    page.mouse.move(0, 0)
    page.wait_for_timeout(200)  # buttons change colour slowly
    seen += page.evaluate(CONTRAST)
    for label in ("RA", "MS", "ZPQ"):
        form(page, label).click()
        page.wait_for_timeout(200)
        seen += page.evaluate(CONTRAST)
        page.keyboard.press("Escape")
    page.click("#as-expanded")
    page.wait_for_timeout(200)
    seen += page.evaluate(CONTRAST)
    assert len(seen) > 200
    assert [(name, round(contrast, 2)) for name, contrast, least in seen if contrast < least] == []
    colours = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colours == "rgb(14, 22, 25)") == (scheme == "dark")


def test_a_phone_needs_no_sideways_scrolling(opened, server):
    long = "W" * 80 + " RA"
    server.knows(long, said("RA", "pneumonoultramicroscopicsilicovolcanoconiosis" * 2, 0.7, ("x" * 90, 0.2)))
    page = opened(viewport={"width": 360, "height": 640}, is_mobile=True, has_touch=True, reduced_motion="reduce")
    fits = "document.documentElement.scrollWidth <= 360 && document.body.scrollWidth <= 360"
    assert page.evaluate(fits)
    for text in (NOTE, long):
        read(page, text)
        assert page.evaluate(fits)
        form(page, "RA").tap()
        box = page.get_by_role("dialog").bounding_box()
        assert (box["x"], box["width"]) == (0, 360) and round(box["y"] + box["height"]) == 640
        assert page.evaluate("(d => d.scrollWidth <= d.clientWidth)(document.getElementById('panel'))")
        assert form(page, "RA").bounding_box()["y"] + 20 < box["y"]  # it can still be seen
        page.click("#panel-close")
        for view in ("#as-expanded", "#as-table"):
            page.click(view)
            assert page.evaluate(fits)
        page.click("#edit")


def test_reduced_motion_is_respected(opened, server):
    for wish, moving in (("no-preference", True), ("reduce", False)):
        page = opened(reduced_motion=wish)
        server.faults = [as_json({}, 503, Retry_After="30")]
        page.fill("#text", NOTE)
        page.click("#read")
        expect(page.locator("#waiting")).to_be_visible()
        assert bool(page.evaluate("document.getAnimations().length")) == moving


def test_a_long_note_is_drawn_in_seconds(page, server):
    lines = 3_000
    text = "SpO2 93% on RA, insulin 10U given.\n" * lines
    server.knows(text, *[said("SpO2", "oxygen saturation"), said("RA", *RA)] * lines)
    began = time.monotonic()
    drop(page, "long.txt", text.encode())
    expect(page.locator("#result")).to_be_visible(timeout=20_000)
    assert page.locator("#reader .form").count() == 3 * lines
    assert page.evaluate("document.getElementById('reader').textContent") == text
    assert time.monotonic() - began < 20


def test_notations_that_overlap_share_a_button_and_their_warnings(page, server):
    text = "Insulin .5U, HCT 25 mg."
    server.knows(text, said("mg", "milligram"))
    read(page, text)
    assert page.locator("#reader .form").all_inner_texts() == [".5U", "HCT", "mg"]
    page.locator("#reader .form").first.click()
    assert page.locator(".warning-box").count() == 2


def test_everything_has_a_name_and_a_role(page):
    read(page)
    form(page, "RA").click()
    unnamed = page.evaluate("""
      [...document.querySelectorAll("button, input, textarea, dialog, img, svg:not(.sprite svg)")].filter((one) =>
        !one.hidden && !one.closest("[aria-hidden=true]") && !one.hasAttribute("alt") && one.id !== "picker" &&
        !one.ariaLabel && !one.getAttribute("aria-labelledby") && !one.labels?.length && !one.textContent.trim()
      ).map((one) => one.outerHTML)""")
    assert unnamed == []
    assert page.get_attribute("html", "lang") == "en"
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))


def test_what_follows_a_long_form_of_two_lines_stands_right_behind_it(opened, server):
    text = "Known PASP: 60."
    server.knows(text, said("PASP", "pulmonary artery systolic pressure by echo", 1.0))
    page = opened(viewport={"width": 320, "height": 600})
    read(page, text)
    page.click("#as-expanded")
    lines, last, colon = page.evaluate("""() => {
        const form = document.querySelector("#reader .form");
        const range = document.createRange();
        range.setStart(form.nextSibling, 0);
        range.setEnd(form.nextSibling, 1);
        const [lines, colon] = [[...form.getClientRects()], range.getBoundingClientRect()];
        return [lines.length, lines.at(-1), colon];
    }""")
    assert lines == 2
    assert abs(colon["left"] - last["right"]) < 3 and abs(colon["bottom"] - last["bottom"]) < 6


def test_the_real_server_answers_the_page_as_it_answers_python(browser, model_folder, tmp_path):
    """Its headers let the page work, and its answers are those of the expander (law 8)."""
    text = "👩‍⚕️ Known RA, N/V. left ventricular ejection fraction (LVEF) 40%. CTs, 10U, ZPQ."
    told = small_expander(model_folder)(text)
    messages = []
    with running_server(Path(notes_server.__file__), model_folder, "{}") as process:
        page = browser.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.goto(f"http://127.0.0.1:{process.port}/")
        read(page, text)
        shown = page.locator("#reader .form").all_inner_texts()
        assert shown == [
            text[one.start : one.end] for one in sorted([*told, told.warnings[0]], key=lambda one: one.start)
        ]
        page.click("#as-expanded")
        assert saved(page, "#save-text", tmp_path).read_text(encoding="utf-8") == told.replaced()
        page.close()
        assert process.stop() == 0
        assert "LVEF" not in process.text()
    assert messages == []
    assert {one.evidence for one in told} >= {"defined in text", "unlisted"}
