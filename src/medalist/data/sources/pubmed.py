"""Reads PubMed abstracts from PubMed's own XML files, baseline and updates, or from JSON Lines of one abstract each.

A line is `{"pmid", "sections": [...]}` or `{"id", "text"}`, either with an optional `"year"`.
"""

from __future__ import annotations

import gzip
import html
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lxml import etree

from ...tools.files import must_exist, open_bytes
from ..rows import JSON_LINES, Quarantine, json_records
from ..spelling import tidy

ENDINGS = (".xml", ".xml.gz", *JSON_LINES)
CHUNK = 1 << 16
"""Number of bytes passed to the XML parser at a time."""
YEARS = (
    "Article/Journal/JournalIssue/PubDate/Year",
    "Article/Journal/JournalIssue/PubDate/MedlineDate",
    "Article/ArticleDate/Year",
)
"""Where a citation may give its year, best source first; a MedlineDate reads "1998 Dec-1999 Jan"."""
LAST_EXACT_LINE = 65_535
"""The highest line number that libxml2 stores exactly, in 16 bits; see `_line`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstract:
    """One revision of one article."""

    pmid: str
    """Digits in PubMed's files; any id in JSON Lines."""
    version: int
    """Version of the citation, counted from 1; nearly always 1."""
    year: int | None
    """Year of publication."""
    sections: tuple[str, ...]
    """Plain text without labels; empty if the article has no abstract, or no longer has one."""


def read_records(path: Path, quarantine: Quarantine) -> Iterator[Abstract | str]:
    """Stream the records of a file in order: an `Abstract` for each article, a PMID for each deletion.

    Book chapters (PubmedBookArticle) are skipped. Memory use does not grow with the size of an XML file; for JSON Lines
    the ids are kept, because a second record with the same id is malformed there.

    Args:
        path: `.xml`, `.xml.gz`, `.jsonl` or `.jsonl.gz`.
        quarantine: collects malformed records and counts all; the caller checks the limit.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the format is unknown or does not match the name, or the file is damaged or truncated.
    """
    must_exist(path)
    if path.name.endswith((".xml", ".xml.gz")):
        return _xml_records(path, quarantine)
    if path.name.endswith(JSON_LINES):
        return _json_abstracts(path, quarantine)
    raise ValueError(f"{path} has an unknown format. Known: {', '.join(ENDINGS)}")


def _json_abstracts(path: Path, quarantine: Quarantine) -> Iterator[Abstract]:
    seen: set[str] = set()
    for line, record in json_records(path, quarantine):
        identifier = str(next((record[key] for key in ("pmid", "id") if record.get(key) not in (None, "")), ""))
        sections = record.get("sections") or [record.get("text")]
        if not identifier:
            quarantine.add(path, line, "no pmid or id")
        elif not isinstance(sections, list) or not all(isinstance(part, str) and part.strip() for part in sections):
            quarantine.add(path, line, "no text: neither sections nor text")
        elif identifier in seen:
            quarantine.add(path, line, "duplicate id")
        else:
            seen.add(identifier)
            year = _first_year([str(record.get("year"))])
            yield Abstract(pmid=identifier, version=1, year=year, sections=tuple(sections))


def _xml_records(path: Path, quarantine: Quarantine) -> Iterator[Abstract | str]:
    root = next(_elements(path, "start"))
    if root.tag != "PubmedArticleSet":
        raise ValueError(
            f"{path}, line {_line(root):,}: found <{etree.QName(root).text}> instead of <PubmedArticleSet>; "
            "is it one of PubMed's baseline or update files?"
        )
    read: Callable[[etree._Element], Abstract | str]
    for element in _elements(path, "end", "PubmedArticle", "DeleteCitation"):
        if element.tag == "PubmedArticle":
            rows, read = [element], _abstract
        else:
            rows, read = list(element.iterchildren("PMID")), _pmid
        for row in rows:
            quarantine.total += 1
            try:
                record = read(row)
            except ValueError as error:
                quarantine.add(path, _line(row), str(error))
            else:
                yield record
        # Free the elements already read. Keep this one for now, because the parser may still append text after it.
        while (parent := element.getparent()) is not None and parent[0] is not element:
            del parent[0]


def _elements(path: Path, event: Literal["start", "end"], *tags: str) -> Iterator[etree._Element]:
    """Yield the elements of an XML file (plain or `.gz`) as they begin or end, without resolving external references.

    Raises:
        ValueError: the file is damaged or truncated.
    """
    parser = etree.XMLPullParser(
        events=(event,),
        tag=tags or None,
        load_dtd=False,
        no_network=True,
        resolve_entities=False,
        remove_comments=True,
        remove_pis=True,
    )
    line = 1
    try:
        with open_bytes(path) as file:
            while chunk := file.read(CHUNK):
                parser.feed(chunk)
                for _, element in parser.read_events():
                    yield element
                line += chunk.count(b"\n")
        parser.close()
        for _, element in parser.read_events():
            yield element
    except etree.XMLSyntaxError as error:
        # Drop what libxml2 quotes from the text: quoted strings, names of tags, anything after a colon.
        reason = re.sub(
            r"(: .*|, line \d+, column \d+)$| '[^']*'| in tag \S+ line \d+", "", " ".join(error.msg.split())
        )
        raise ValueError(
            f"{path}, line {error.lineno or 1:,}: not well-formed XML ({reason}). Download it again."
        ) from None
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is damaged or truncated after line {line:,} ({error}). Download it again.") from None


def _line(element: etree._Element) -> int:
    """The line on which an element begins.

    For line numbers beyond 16 bits, libxml2 reports the line on which the first text inside the element ends.
    """
    line = element.sourceline or 1
    return line if line <= LAST_EXACT_LINE else line - next(element.itertext(), "").count("\n")


def _abstract(article: etree._Element) -> Abstract:
    citation = article.find("MedlineCitation")
    number = None if citation is None else citation.find("PMID")
    if citation is None or number is None:
        raise ValueError("no PMID")
    if (entity := next(citation.iter(etree.Entity), None)) is not None:
        raise ValueError(f"the entity {entity.text} is not one of XML's own, and others are not resolved")
    version = number.get("Version", "1")
    if not version.isdecimal():
        raise ValueError("the Version of the PMID is not a whole number")
    texts = (shown_text(text) for text in citation.iterfind("Article/Abstract/AbstractText"))
    return Abstract(
        pmid=_pmid(number),
        version=int(version),
        year=_first_year(map(citation.findtext, YEARS)),
        sections=tuple(filter(None, map(tidy, texts))),
    )


_NOT_SHOWN = ("annotation", "annotation-xml", "none", "mprescripts")


def shown_text(element: etree._Element) -> str:
    """The text of an element as a reader sees it: fractions keep their bar, headings the space after them.

    Entities that were escaped twice ("&amp;lt;") are unescaped fully.
    """
    return html.unescape(_shown(element))


def _shown(element: etree._Element) -> str:
    pieces = [element.text or ""]
    name = etree.QName(element).localname
    for number, part in enumerate(element.iterchildren()):
        if not isinstance(part.tag, str) or etree.QName(part).localname in _NOT_SHOWN:
            pieces.append(part.tail or "")
            continue
        inside, tail = _shown(part), part.tail or ""
        if name == "mfrac":
            inside = f"({inside.strip()})" if re.search(r"[^\w.]", inside.strip()) else inside.strip()
            pieces.append(f"/{inside}" if number else inside)
            continue
        if etree.QName(part).localname == "msqrt":
            inside = f"√{inside.strip()}"
        if etree.QName(part).localname == "sup" and inside[-1:].isdigit() and "".join(pieces)[-1:].isdigit():
            inside = f"^{inside}"  # 10 to the power of 3 is not 103
        if "/" in inside and inside.lstrip()[:1].isdigit() and "".join(pieces)[-1:].isdigit():
            inside = f" {inside.lstrip()}"  # 1 followed by 1/2 is not 11/2
        # A heading in bold ("<b>AIMS</b>To compare") is separated by its typeface alone.
        heading = etree.QName(part).localname in ("b", "p", "title") and inside[-1:].isalnum() and tail[:1].isupper()
        pieces += [inside, " " if heading else "", tail]
    return "".join(pieces)


def _pmid(element: etree._Element) -> str:
    pmid = tidy(element.text or "")
    if not pmid.isdecimal():
        raise ValueError("the PMID is not a number" if pmid else "the PMID is empty")
    return pmid


def _first_year(texts: Iterable[str | None]) -> int | None:
    """The first four consecutive digits in the first text that has them."""
    found = (re.search("[0-9]{4}", text) for text in texts if text)
    return next((int(match.group()) for match in found if match), None)


def input_files(sources: Sequence[Path]) -> list[Path]:
    """The files of the sources, in order; a folder is expanded to its files, sorted by name.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: a folder has no file of a known format, or a file has an unknown format.
    """
    found: list[Path] = []
    for source in sources:
        must_exist(source)
        if source.is_dir():
            inside = sorted(path for path in source.iterdir() if path.name.endswith(ENDINGS))
            if not inside:
                raise ValueError(f"{source} has no file that ends in {', '.join(ENDINGS)}")
            found += inside
        elif not source.name.endswith(ENDINGS):
            raise ValueError(f"{source} has an unknown format. Known: {', '.join(ENDINGS)}")
        else:
            found.append(source)
    return found
