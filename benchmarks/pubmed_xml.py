"""Writes files in the layout of PubMed's baseline with given texts, to measure how fast they are read.

Everything but the texts is invented and determined by the PMID: authors and their hospitals, journals, headings,
references, and the inline tags around some words of a text.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import IO
from xml.sax.saxutils import escape

LABELS = ("BACKGROUND", "OBJECTIVE", "METHODS", "RESULTS", "CONCLUSIONS")
SURNAMES = ("Abara", "Bekele", "Castro", "Dahl", "Eriksen", "Fontana", "Gupta", "Haddad", "Ito", "Jansen", "Køhler")
FORENAMES = ("Ana", "Bo", "Chidi", "Dora", "Emre", "Fay", "Goran", "Hana", "Ivo", "Jun", "Kai", "Lea", "Mina")
PLACES = ("Aarhus, Denmark", "Bologna, Italy", "Chennai, India", "Dakar, Senegal", "Essen, Germany", "Fukuoka, Japan")
HEADINGS = ("Adult", "Aged", "Biomarkers", "Cohort Studies", "Female", "Humans", "Male", "Prognosis", "Risk Factors")
INLINE = ("i", "b", "sup", "sub", "u")


def write_pubmed_xml(path: Path, abstracts: Sequence[Sequence[str]], *, first_pmid: int = 1, copies: int = 1) -> None:
    """Write a PubmedArticleSet; the same input gives the same bytes.

    Args:
        path: compressed if it ends in `.gz`.
        abstracts: the sections of each; several sections are labelled, as in a structured abstract.
        first_pmid: of the first article; the others are numbered consecutively.
        copies: how many times all abstracts are written, each time with new PMIDs.
    """
    with path.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as file:
                _write(file, abstracts, first_pmid, copies)
        else:
            _write(raw, abstracts, first_pmid, copies)


def _write(file: IO[bytes], abstracts: Sequence[Sequence[str]], first_pmid: int, copies: int) -> None:
    file.write(
        b'<?xml version="1.0" encoding="utf-8"?>\n'
        b'<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" '
        b'"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n<PubmedArticleSet>\n'
    )
    for number in range(copies * len(abstracts)):
        file.write(_article(first_pmid + number, abstracts[number % len(abstracts)]).encode())
    file.write(b"</PubmedArticleSet>\n")


def _article(pmid: int, sections: Sequence[str]) -> str:
    year, month, day = 1990 + pmid % 35, f"{1 + pmid % 12:02}", f"{1 + pmid % 28:02}"
    texts = "".join(
        f"          <AbstractText{_label(n, sections)}>{_tagged(pmid, text)}</AbstractText>\n"
        for n, text in enumerate(sections)
    )
    abstract = f"        <Abstract>\n{texts}        </Abstract>\n" if sections else ""
    cited = "".join(_reference(pmid + 7 * n) for n in range(12 + pmid % 24)) if pmid % 3 == 0 else ""
    references = f"      <ReferenceList>\n{cited}      </ReferenceList>\n" if cited else ""
    return f"""  <PubmedArticle>
    <MedlineCitation Status="MEDLINE" Owner="NLM" IndexingMethod="Automated">
      <PMID Version="1">{pmid}</PMID>
{_date("DateCompleted", year, month, day, 6)}{_date("DateRevised", year + 1, month, day, 6)}\
      <Article PubModel="Print-Electronic">
        <Journal>
          <ISSN IssnType="Electronic">{1000 + pmid % 8999}-{1000 + pmid % 977}</ISSN>
          <JournalIssue CitedMedium="Internet">
            <Volume>{1 + pmid % 90}</Volume>
            <Issue>{1 + pmid % 12}</Issue>
            <PubDate>
              <Year>{year}</Year>
              <Month>Mar</Month>
            </PubDate>
          </JournalIssue>
          <Title>The invented journal of clinical practice, series {pmid % 40}</Title>
          <ISOAbbreviation>Invent J Clin Pract {pmid % 40}</ISOAbbreviation>
        </Journal>
        <ArticleTitle>What was found in study {pmid} of a cohort of <i>n</i> patients.</ArticleTitle>
        <Pagination>
          <StartPage>{pmid % 900}</StartPage>
          <EndPage>{pmid % 900 + 8}</EndPage>
          <MedlinePgn>{pmid % 900}-{pmid % 900 + 8}</MedlinePgn>
        </Pagination>
        <ELocationID EIdType="doi" ValidYN="Y">10.0000/invented.{pmid}</ELocationID>
{abstract}        <AuthorList CompleteYN="Y">
{"".join(_author(pmid + n) for n in range(3 + pmid % 6))}        </AuthorList>
        <Language>eng</Language>
        <PublicationTypeList>
          <PublicationType UI="D016428">Journal Article</PublicationType>
        </PublicationTypeList>
{_date("ArticleDate", year, month, day, 8)}      </Article>
      <MedlineJournalInfo>
        <Country>Denmark</Country>
        <MedlineTA>Invent J Clin Pract</MedlineTA>
        <NlmUniqueID>{pmid % 40:07}</NlmUniqueID>
      </MedlineJournalInfo>
      <CitationSubset>IM</CitationSubset>
      <MeshHeadingList>
{"".join(_heading(name, pmid + n) for n, name in enumerate(_some(HEADINGS, pmid, 5 + pmid % 5)))}\
      </MeshHeadingList>
    </MedlineCitation>
    <PubmedData>
      <History>
{"".join(_history(status, year, month, day) for status in ("received", "accepted", "pubmed", "medline"))}\
      </History>
      <PublicationStatus>ppublish</PublicationStatus>
{_ids(pmid, 6)}{references}    </PubmedData>
  </PubmedArticle>
"""


def _some(names: Sequence[str], start: int, count: int) -> list[str]:
    return list(islice(cycle(names), start % len(names), start % len(names) + count))


def _label(number: int, sections: Sequence[str]) -> str:
    if len(sections) == 1:
        return ""
    label = LABELS[number % len(LABELS)]
    return f' Label="{label}" NlmCategory="{label}"'


def _tagged(pmid: int, text: str) -> str:
    """The text as XML, with every 19th word in an inline tag."""
    parts = escape(text).split(" ")
    for n in range(pmid % 19, len(parts), 19):
        tag = INLINE[(pmid + n) % len(INLINE)]
        parts[n] = f"<{tag}>{parts[n]}</{tag}>"
    return " ".join(parts)


def _date(name: str, year: int, month: str, day: str, indent: int, attributes: str = "") -> str:
    lines = (f"<{name}{attributes}>", f"  <Year>{year}</Year>", f"  <Month>{month}</Month>", f"  <Day>{day}</Day>")
    return "".join(f"{' ' * indent}{line}\n" for line in (*lines, f"</{name}>"))


def _history(status: str, year: int, month: str, day: str) -> str:
    return _date("PubMedPubDate", year, month, day, 8, f' PubStatus="{status}"')


def _author(number: int) -> str:
    surname, forename = SURNAMES[number % len(SURNAMES)], FORENAMES[number % len(FORENAMES)]
    return f"""          <Author ValidYN="Y">
            <LastName>{surname}</LastName>
            <ForeName>{forename}</ForeName>
            <Initials>{forename[0]}</Initials>
            <AffiliationInfo>
              <Affiliation>Department {number % 30} of Internal Medicine and Epidemiology, University Hospital, \
{PLACES[number % len(PLACES)]}.</Affiliation>
            </AffiliationInfo>
          </Author>
"""


def _heading(name: str, number: int) -> str:
    return f"""        <MeshHeading>
          <DescriptorName UI="D{number % 999_999:06}" MajorTopicYN="N">{name}</DescriptorName>
          <QualifierName UI="Q{number % 999_999:06}" MajorTopicYN="Y">epidemiology</QualifierName>
        </MeshHeading>
"""


def _ids(pmid: int, indent: int) -> str:
    lines = (
        "<ArticleIdList>",
        f'  <ArticleId IdType="pubmed">{pmid}</ArticleId>',
        f'  <ArticleId IdType="doi">10.0000/invented.{pmid}</ArticleId>',
        "</ArticleIdList>",
    )
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def _reference(pmid: int) -> str:
    authors = ", ".join(f"{SURNAMES[(pmid + n) % len(SURNAMES)]} {'ABC'[n]}" for n in range(3))
    return f"""        <Reference>
          <Citation>{authors}. An earlier study of the same. Invent J Clin Pract. {1980 + pmid % 40};{pmid % 60}:1-9.\
</Citation>
{_ids(pmid, 10)}        </Reference>
"""
