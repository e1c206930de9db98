"""Files in PubMed's layout, made of articles and deletions."""

from __future__ import annotations

import gzip
from pathlib import Path

PRESSURE = "Blood pressure rose in {}, and blood pressure fell."
DOCTYPE = (
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">'
)


def article(
    pmid: int | str | None,
    *sections: str,
    version: str = "1",
    date: str = "<Year>2011</Year><Month>May</Month>",
    electronic: str = "",
    other: str = "",
    behind: str = "",
) -> str:
    """One article in PubMed's layout; every section is the inside of an AbstractText."""
    number = "" if pmid is None else f'<PMID Version="{version}">{pmid}</PMID>'
    texts = "".join(f'<AbstractText Label="METHODS" NlmCategory="METHODS">{text}</AbstractText>\n' for text in sections)
    abstract = f"<Abstract>\n{texts}<CopyrightInformation>Copyright 2011</CopyrightInformation></Abstract>"
    return f"""  <PubmedArticle>
    <MedlineCitation Status="MEDLINE" Owner="NLM">
      {number}
      <DateRevised><Year>1999</Year><Month>01</Month><Day>02</Day></DateRevised>
      <Article PubModel="Print">
        <Journal><JournalIssue CitedMedium="Print"><PubDate>{date}</PubDate></JournalIssue></Journal>
        <ArticleTitle>A title.</ArticleTitle>
        {abstract if sections else ""}
        {electronic}
      </Article>
      {other}
    </MedlineCitation>
    <PubmedData><ArticleIdList><ArticleId IdType="pubmed">4</ArticleId></ArticleIdList>{behind}</PubmedData>
  </PubmedArticle>
"""


def deleted(*pmids: int | str) -> str:
    return "<DeleteCitation>" + "".join(f'<PMID Version="1">{pmid}</PMID>' for pmid in pmids) + "</DeleteCitation>\n"


def pubmed(folder: Path, *parts: str, doctype: str = DOCTYPE, name: str = "pubmed25n0001.xml.gz") -> Path:
    """A file whose first part begins on line 4, if the document type takes one line."""
    inside = "".join(parts)
    content = f'<?xml version="1.0" encoding="utf-8"?>\n{doctype}\n<PubmedArticleSet>\n{inside}</PubmedArticleSet>\n'
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    return path


def file(folder: Path, number: int, *parts: str) -> Path:
    """File number so and so in PubMed's layout."""
    folder.mkdir(exist_ok=True)
    return pubmed(folder, *parts, name=f"pubmed25n{number:04}.xml.gz")
