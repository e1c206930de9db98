from __future__ import annotations

import gzip
import json
import resource
from pathlib import Path

import pytest

from medalist.data.rows import Quarantine
from medalist.data.sources.pubmed import Abstract, input_files, read_records
from pubmed_xml import PRESSURE, article, deleted, file, pubmed

GOOD = [{"pmid": str(n), "sections": [f"Text {n}."]} for n in range(20)]


def written(folder: Path, *records: object, name: str = "abstracts.jsonl") -> Path:
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["abstracts.jsonl", "abstracts.jsonl.gz"])
def test_json_lines_tell_the_year_and_keep_sections_as_they_are(tmp_path, name):
    rows = ({"pmid": 1, "year": "2011", "sections": ["a  b", "c"]}, {"id": "x", "text": "t", "year": 1998}, GOOD[3])
    assert records(written(tmp_path, *rows, name=name)) == [
        Abstract(pmid="1", version=1, year=2011, sections=("a  b", "c")),
        Abstract(pmid="x", version=1, year=1998, sections=("t",)),
        Abstract(pmid="3", version=1, year=None, sections=("Text 3.",)),
    ]


def test_records_with_id_and_text_do_as_well_from_number_0_on(tmp_path):
    path = written(tmp_path, {"id": 0, "text": "one"}, {"id": 1, "text": "two", "sections": [], "pmid": None})
    assert [(a.pmid, a.sections) for a in records(path)] == [("0", ("one",)), ("1", ("two",))]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"sections": ["a"]}, "no pmid or id"),
        ({"pmid": "", "sections": ["a"]}, "no pmid or id"),
        ({"pmid": None, "text": "a"}, "no pmid or id"),
        ({"pmid": "x"}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": ["a", " "]}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": ["a", None]}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": "all in one"}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": {"AIM": "a"}}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": 5}, "no text: neither sections nor text"),
        ({"pmid": "7", "sections": ["again"]}, "duplicate id"),
        (["7"], "not a JSON object: found a list"),
    ],
)
def test_malformed_abstract_is_quarantined_with_its_line_and_reason(tmp_path, record, reason):
    quarantine = Quarantine()
    found = list(read_records(written(tmp_path, *GOOD[:10], record, *GOOD[10:]), quarantine))
    assert [a.sections for a in found] == [(f"Text {n}.",) for n in range(20)]
    assert [(row["line"], row["reason"]) for row in quarantine.rows] == [(11, reason)]
    assert quarantine.total == 21


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl does not exist"):
        read_records(tmp_path / "nowhere.jsonl", Quarantine())


def records(path: Path) -> list[Abstract | str]:
    """What a file without malformed records says."""
    quarantine = Quarantine()
    found = list(read_records(path, quarantine))
    assert quarantine.rows == [] and quarantine.total == len(found)
    return found


@pytest.mark.parametrize("name", ["pubmed25n0001.xml", "pubmed25n0001.xml.gz"])
def test_sections_keep_their_order_and_lose_labels_tags_and_line_breaks(tmp_path, name):
    formula = '<mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML"><mml:mi>β</mml:mi><mml:mn>2</mml:mn></mml:math>'
    sections = (
        "We gave <i>CO<sub>2</sub></i> &lt; 5\n          <b>mg</b>.",
        f"With {formula}<!-- not this --><?nor this?> &amp; &#x3b1;.",
        " \n ",
        "<sup>13</sup>C\u2009<u>was</u> it.",
    )
    assert records(pubmed(tmp_path, article(7, *sections), name=name)) == [
        Abstract(pmid="7", version=1, year=2011, sections=("We gave CO2 < 5 mg.", "With β2 & α.", "13C was it."))
    ]


@pytest.mark.parametrize(
    ("date", "electronic", "year"),
    [
        ("<Year>1987</Year>", "2001", 1987),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", "2001", 1998),
        ("<MedlineDate>Winter</MedlineDate>", "2001", 2001),
        ("<Season>Winter</Season>", "2001", 2001),
        ("<Season>Winter</Season>", None, None),
    ],
)
def test_the_year_is_the_issues_or_else_the_electronic_articles(tmp_path, date, electronic, year):
    electronic = electronic and f'<ArticleDate DateType="Electronic"><Year>{electronic}</Year></ArticleDate>'
    [abstract] = records(pubmed(tmp_path, article(7, "a", date=date, electronic=electronic or "")))
    assert abstract.year == year


def test_comments_inside_a_number_do_not_cut_it_off(tmp_path):
    [abstract] = records(pubmed(tmp_path, article("1<!-- no -->2<?no?>3", "a", date="<Year><!-- no -->2011</Year>")))
    assert (abstract.pmid, abstract.year) == ("123", 2011)


def test_translations_and_the_pmids_of_comments_are_another_articles(tmp_path):
    other = """<OtherAbstract Type="Publisher" Language="spa"><AbstractText>Otro.</AbstractText></OtherAbstract>
      <CommentsCorrectionsList><CommentsCorrections RefType="CommentIn"><PMID Version="3">99</PMID>
      </CommentsCorrections></CommentsCorrectionsList>"""
    behind = "<ReferenceList><Reference><Citation><Year>1900</Year></Citation></Reference></ReferenceList>"
    path = pubmed(tmp_path, article(7, "one", "two", other=other, behind=behind))
    assert records(path) == [Abstract(pmid="7", version=1, year=2011, sections=("one", "two"))]
    quarantine = Quarantine(limit=1)
    assert list(read_records(pubmed(tmp_path, article(None, "one", other=other)), quarantine)) == []
    assert [row["reason"] for row in quarantine.rows] == ["no PMID"]


def test_records_come_as_the_file_has_them_with_lost_abstracts_and_deletions(tmp_path):
    path = pubmed(tmp_path, article(1, "a"), article(2), article(1, "b", version="2"), deleted(2, 5))
    quarantine = Quarantine()
    assert list(read_records(path, quarantine)) == [
        Abstract(pmid="1", version=1, year=2011, sections=("a",)),
        Abstract(pmid="2", version=1, year=2011, sections=()),
        Abstract(pmid="1", version=2, year=2011, sections=("b",)),
        "2",
        "5",
    ]
    assert quarantine.total == 5


def test_sections_that_hold_nothing_are_left_out(tmp_path):
    found = records(pubmed(tmp_path, article(1, "", " "), article(2, "kept", "", "whole")))
    assert [a.sections for a in found] == [(), ("kept", "whole")]


BOOK = "<PubmedBookArticle><BookDocument><PMID>8</PMID><Abstract><AbstractText>b</AbstractText></Abstract>\
</BookDocument></PubmedBookArticle>"


def test_book_chapters_are_passed_over(tmp_path):
    assert [record.pmid for record in records(pubmed(tmp_path, BOOK, article(1, "a"), BOOK))] == ["1"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (article(None, "a"), "no PMID"),
        ("  <PubmedArticle><PubmedData/></PubmedArticle>\n", "no PMID"),
        (article(" ", "a"), "the PMID is empty"),
        (article("PMC7", "a"), "the PMID is not a number"),
        (article(7, "a", version="last"), "the Version of the PMID is not a whole number"),
        (article(7, "a &drug; b"), "the entity &drug; is not one of XML's own, and others are not resolved"),
        (deleted(""), "the PMID is empty"),
    ],
)
def test_malformed_article_is_quarantined_with_its_line_and_the_others_are_read(tmp_path, bad, reason):
    quarantine = Quarantine(limit=0.5)
    before, after = [article(n, "a") for n in (1, 2)], [article(n, "a") for n in (3, 4)]
    found = list(read_records(pubmed(tmp_path, *before, bad, *after), quarantine))
    assert [abstract.pmid for abstract in found] == ["1", "2", "3", "4"]
    [row] = quarantine.rows
    assert (row["file"], row["line"], row["reason"]) == (
        "pubmed25n0001.xml.gz",
        4 + sum(part.count("\n") for part in before),
        reason,
    )
    assert quarantine.total == 5


@pytest.mark.parametrize("lines", [65_530, 65_531, 65_532, 300_000])
@pytest.mark.parametrize("bad", ["<PubmedArticle><PubmedData/>\n</PubmedArticle>", article(None, "a").strip()])
def test_lines_are_right_beyond_what_16_bits_hold(tmp_path, lines, bad):
    quarantine = Quarantine()
    assert list(read_records(pubmed(tmp_path, "\n" * lines, bad), quarantine)) == []
    assert [row["line"] for row in quarantine.rows] == [lines + 4]


def test_a_file_that_was_cut_short_is_named_with_the_line_and_the_remedy(tmp_path):
    path = pubmed(tmp_path, *(article(n, f"text {n * n * n}") for n in range(2_000)))
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(
        ValueError,
        match=r"pubmed25n0001\.xml\.gz is damaged or truncated after line [\d,]{5,} .*\. Download it again\.$",
    ):
        list(read_records(path, Quarantine()))
    plain = pubmed(tmp_path, article(1, "a"), article(2, "b"), name="plain.xml")
    plain.write_bytes(plain.read_bytes()[: -len("</PubmedArticleSet>\n")])
    with pytest.raises(
        ValueError, match=r"plain\.xml, line 36: not well-formed XML \(Premature end .* Download it again\.$"
    ):
        list(read_records(plain, Quarantine()))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<PubmedArticleSet>\n<PubmedArticle>\n<PMID>1</PMIDS>\n", r"bad\.xml, line 3: not well-formed XML \(Opening"),
        (b"<PubmedArticleSet>\n<PubmedArticle>1 < 2", r"bad\.xml, line 2: not well-formed XML \(StartTag"),
        (b"<PubmedArticleSet>\n\n\xff\n</PubmedArticleSet>", r"bad\.xml, line 3: not well-formed XML"),
        (b"", r"bad\.xml, line 1: not well-formed XML \(no element found\)\. Download it again\."),
        (b"<PubmedArticleSet>\0", r"bad\.xml, line 1: not well-formed XML \(Invalid character\)\. Download it again\."),
        (b'{"pmid": 1}\n', r"bad\.xml, line 1: not well-formed XML \(Start tag expected"),
        (
            b"<?xml version='1.0'?>\n<!-- -->\n<html><PubmedArticleSet/></html>",
            r"bad\.xml, line 3: found <html> instead",
        ),
        (b"<p:PubmedArticleSet xmlns:p='p'/>", r"bad\.xml, line 1: found <{p}PubmedArticleSet> instead of <"),
        (b"<eSearchResult><Count>1", r"found <eSearchResult> instead of <PubmedArticleSet>; is it one of PubMed's"),
    ],
)
def test_a_file_that_is_none_of_pubmeds_is_refused_with_what_was_found(tmp_path, content, told):
    path = tmp_path / "bad.xml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=told):
        list(read_records(path, Quarantine()))
    path = tmp_path / "bad.xml.gz"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"bad\.xml\.gz is damaged or truncated .*\. Download it again\."):
        list(read_records(path, Quarantine()))


def laughs(depth: int) -> str:
    """A document type whose entity `&e<depth>;` stands for 10 ** depth words."""
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, depth + 1))
    return f'<!DOCTYPE PubmedArticleSet [<!ENTITY e0 "ha ">{entities}]>'


def test_an_entity_that_the_file_declares_is_not_resolved(tmp_path):
    quarantine = Quarantine(limit=1)
    path = pubmed(tmp_path, article(1, "So &e1;"), article(2, "kept"), doctype=laughs(1))
    assert [a.sections for a in read_records(path, quarantine)] == [("kept",)]
    assert [row["reason"][:16] for row in quarantine.rows] == ["the entity &e1; "]


@pytest.mark.parametrize("bomb", [article(1, "&e9;"), article(1, "a", version="&e9;"), article("&e9;", "a")])
def test_an_entity_bomb_is_refused(tmp_path, bomb):
    with pytest.raises(ValueError, match=r"pubmed25n0001\.xml\.gz, line .*: not well-formed XML .* amplification"):
        list(read_records(pubmed(tmp_path, bomb, doctype=laughs(9)), Quarantine()))


@pytest.mark.parametrize(
    "declared",
    ['SYSTEM "other.dtd"', 'PUBLIC "-//NLM//DTD" "other.dtd"', '[<!ENTITY % all SYSTEM "other.dtd"> %all;]'],
)
def test_no_file_that_the_document_type_names_is_read(tmp_path, declared, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("other.dtd").write_text(
        '<!ENTITY drug "aspirin"><!ATTLIST PMID Version CDATA "5"><!ATTLIST MedlineCitation Owner CDATA "x">'
    )
    plain = article(1, "a").replace(' Version="1"', "")
    path = pubmed(tmp_path, plain, article(2, "&drug;"), doctype=f"<!DOCTYPE PubmedArticleSet {declared}>")
    quarantine = Quarantine(limit=1)
    assert list(read_records(path, quarantine)) == [Abstract(pmid="1", version=1, year=2011, sections=("a",))]
    assert "&drug;" in quarantine.rows[0]["reason"]


def test_no_file_that_an_entity_names_is_read(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the patient's name")
    doctype = f'<!DOCTYPE PubmedArticleSet [<!ENTITY it SYSTEM "{secret.as_uri()}">]>'
    quarantine = Quarantine(limit=1)
    assert list(read_records(pubmed(tmp_path, article(1, "&it;"), doctype=doctype), quarantine)) == []
    assert "&it;" in quarantine.rows[0]["reason"] and "patient" not in str(quarantine.rows)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    path = pubmed(tmp_path, *(article(n, "some words") + BOOK for n in range(9_000)))
    pages = []
    for n, _ in enumerate(read_records(path, Quarantine())):
        if n in (500, 8_500):
            pages.append(int(Path("/proc/self/statm").read_text().split()[1]))
    assert (pages[1] - pages[0]) * resource.getpagesize() < 1_000_000  # of 7 MB of XML in between


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "abstracts.csv").write_text("pmid\n")
    with pytest.raises(ValueError, match=r"abstracts\.csv has an unknown format\. Known: \.xml, \.xml\.gz, \.jsonl,"):
        read_records(tmp_path / "abstracts.csv", Quarantine())


def test_folders_give_their_files_by_name_and_other_files_are_passed_over(tmp_path):
    later = file(tmp_path / "updates", 1, article(1, PRESSURE.format("b")))
    for number in (3, 2):
        file(tmp_path / "baseline", number, article(number, PRESSURE.format("a")))
    (tmp_path / "baseline" / "pubmed25n0002.xml.gz.md5").write_text("0")
    found = input_files([tmp_path / "baseline", later])
    assert [path.name for path in found] == ["pubmed25n0002.xml.gz", "pubmed25n0003.xml.gz", "pubmed25n0001.xml.gz"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ValueError, match=r"empty has no file that ends in \.xml, \.xml\.gz, \.jsonl, \.jsonl\.gz, \.ndjson"
    ):
        input_files([tmp_path / "empty"])
    with pytest.raises(ValueError, match=r"md5 has an unknown format\. Known: "):
        input_files([tmp_path / "baseline" / "pubmed25n0002.xml.gz.md5"])
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        input_files([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("inside", "shown"),
    [
        ("<b>AIMS</b>To compare H<sub>2</sub>O and <i>E. coli</i>.", "AIMS To compare H2O and E. coli."),
        ("the <b>r</b>andomised trial", "the randomised trial"),
        ("<mml:math><mml:mfrac><mml:mn>1</mml:mn><mml:mn>2</mml:mn></mml:mfrac></mml:math> of them", "1/2 of them"),
        ("1<mml:math><mml:mfrac><mml:mn>1</mml:mn><mml:mn>2</mml:mn></mml:mfrac></mml:math> of them", "1 1/2 of them"),
        (
            "<mml:math><mml:mfrac><mml:mrow><mml:mi>a</mml:mi><mml:mo>+</mml:mo><mml:mi>b</mml:mi></mml:mrow>"
            "<mml:mn>2</mml:mn></mml:mfrac></mml:math>",
            "(a+b)/2",
        ),
        ("10<sup>3</sup> cells and Ca<sup>2+</sup>", "10^3 cells and Ca2+"),
        ("p &amp;lt; 0.05 &amp;amp; more", "p < 0.05 & more"),
    ],
)
def test_the_text_is_that_which_a_reader_sees(inside, shown, tmp_path):
    text = inside.replace("<mml:math>", '<mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML">')
    assert [record.sections for record in records(pubmed(tmp_path, article(7, text)))] == [(shown,)]
