from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from medalist.corpora.data_card import MENDED, TERMS, Section, medal_card, pubmed_card, write_data_card


def card(folder: Path, *sections: Section, **parts: Any) -> str:
    given = {"title": "Made", "lead": "Of nothing.", "numbers": [("rows", "1,204")], "sections": sections} | parts
    write_data_card(folder / "card.html", **given)
    return (folder / "card.html").read_text(encoding="utf-8")


def test_card_shows_its_figures_tables_and_terms(tmp_path):
    section = Section(title="Splits", note="By id.", columns=("split", "passages"), rows=[("train", 12_345)])
    page = card(tmp_path, section)
    assert "<h1>Made</h1>" in page and "<b>1,204</b><small>rows</small>" in page and TERMS in page
    assert "<h2>Splits</h2>" in page and "By id." in page
    assert re.search(r'<td class="text">train</td>\s*<td>12,345</td>', page)
    assert not re.search(r'(src|href)="http', page)


def test_bars_are_drawn_to_the_longest(tmp_path):
    page = card(tmp_path, Section(title="Counts", bars=[("RA", 50), ("CT", 200), ("BP", 0)]))
    assert re.findall(r"<i style=\"width: ([\d.]+)%", page) == ["21.2", "85.0", "0.0"]
    assert "200</div>" in page
    assert Section(title="Counts", bars=[("RA", 0)]).largest == 1  # nothing is divided by


def test_sections_without_rows_and_bars_are_left_out(tmp_path):
    page = card(
        tmp_path, Section(title="Empty", note="Nothing.", columns=("a",)), Section(title="Full", rows=[("x", 1)])
    )
    assert "<h2>Full</h2>" in page and "Empty" not in page and "Nothing." not in page


def test_what_stands_in_a_label_is_no_html(tmp_path):
    wicked = "<script>alert('a & b')</script>"
    section = Section(title=wicked, note=wicked, columns=(wicked,), rows=[(wicked,)], bars=[(wicked, 1)])
    page = card(tmp_path, section, title=wicked, lead=wicked, numbers=[(wicked, wicked)])
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(&#39;a &amp; b&#39;)&lt;/script&gt;") == 10


def medal_account(**parts: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {"mentions": 0, "labels": 0, "examples": []}
    return {
        "passages": {"train": 0, "validation": 0, "test": 0},
        "mentions": {"train": 0, "validation": 0, "test": 0},
        "shared_with_training": {"validation": 0, "test": 0},
        "leaks_in_sample": {"mentions": 0, "leaks": 0},
        "mentions_per_passage": {},
        "settings": {"as_published": False},
        "rows_read": 0,
        "rows_quarantined": {},
        "read": ["train.csv"],
        "mended": dict.fromkeys(MENDED, empty),
        "adam_scores": None,
        "short_forms": [],
    } | parts


def test_a_card_of_medal_without_anything_to_tell_is_written_all_the_same(tmp_path):
    medal_card(medal_account(), tmp_path / "card.html")
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "<b>–</b><small>of answers are spelt out" in page
    assert "Rows set aside" not in page and "Junk senses" not in page


def test_a_card_of_medal_tells_what_was_mended_and_whether_junk_was_kept(tmp_path):
    junk = {"mentions": 1_300, "labels": 2, "examples": [["T3", "after", "after", 1_299], ["OD", "<i>", "<i>", 1]]}
    mended = medal_account()["mended"] | {"junk": junk}
    spread = {"1": 4, "9": 2, "10": 3, "31": 2}
    for kept, told in ((False, "Mentions dropped; passages kept"), (True, "Kept, as published.")):
        account = medal_account(mended=mended, mentions_per_passage=spread, settings={"as_published": kept})
        medal_card(account, tmp_path / "card.html")
        page = (tmp_path / "card.html").read_text(encoding="utf-8")
        assert told in page and "Junk senses: 1,300 mentions of 2 labels" in page and "&lt;i&gt;" in page
        assert "new spelling" not in page, "junk has none"
        assert re.search(r"<div>10 or more</div>.*>5</div>", page)


def test_a_card_of_pubmed_names_five_files_and_counts_the_others(tmp_path):
    cells = {split: {"passages": 2, "mentions": 5} for split in ("train", "validation", "test")}
    account = {
        "inventory": {
            "origin": "a.csv + mined",
            "short_forms": 3,
            "senses": 7,
            "mined_short_forms": 1,
            "mined_senses": 2,
        },
        "kinds": {"defined": cells},
        "short_forms": {"defined": [["RA", 9]]},
        "read": [f"{n}.xml" for n in range(1_205)],
        "abstracts": {"train": 1_000, "test": 1},
        "rows_quarantined": {"no PMID": 4},
        **dict.fromkeys(("rows_read", "revisions_replaced", "deleted", "without_text", "duplicates"), 8),
    }
    pubmed_card(account, tmp_path / "card.html")
    page = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert "Files read: 0.xml, 1.xml, 2.xml, 3.xml, 4.xml and 1,200 more files." in page
    assert "<b>1,001</b><small>abstracts kept" in page and "<b>15</b><small>short forms marked: defined" in page
    assert "a.csv + mined" in page and "no PMID" in page and "Kind: defined" in page
