"""What is fuzzed: the readers of files that strangers make, each with seeds and with what must hold of every input.

A reader may refuse its input with a `ValueError` of one line, or set rows aside. Anything else is a find: another
exception, a line break in a message, a mark that does not stand in its text, ten seconds, two gigabytes.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(tempfile.mkdtemp(prefix="medalist-fuzz-"))


@dataclass(frozen=True, kw_only=True)
class Target:
    """A reader under test."""

    once: Callable[[bytes], None]
    """Reads one input; raises for a find."""
    seeds: Callable[[], list[bytes]]
    """Valid inputs to start from."""
    words: tuple[str, ...]
    """What the format is made of, for the fuzzer's dictionary."""
    largest: int = 4096
    """Bytes of the largest input to try."""


def refused(error: ValueError) -> None:
    """Check that a refusal is one line that says something."""
    from medalist.tools.failures import in_one_line

    line = in_one_line(error)
    assert line and "\n" not in str(error), f"a message of several lines: {error!r}"


def file(name: str, data: bytes) -> Path:
    """Write an input to a file."""
    path = FOLDER / name
    path.write_bytes(data)
    return path


def gguf_once(data: bytes) -> None:
    """The header of a GGUF file, as `medalist plan` reads it and as it is checked before a conversion."""
    from medalist.planning.shapes import find_shape

    try:
        find_shape(str(file("model.gguf", data)))
    except ValueError as error:
        refused(error)


def gguf_seeds() -> list[bytes]:
    """A small Llama."""
    import gguf

    path = FOLDER / "seed.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("seed")
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(16)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_context_length(64)
    writer.add_token_list(["a", "b"])
    writer.add_tensor("token_embd.weight", np.zeros((2, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return [path.read_bytes()]


def medal_once(data: bytes) -> None:
    """Rows of one of MeDAL's tables, as passages. The first byte chooses the table's kind."""
    from medalist.data.inventory import Inventory
    from medalist.data.rows import Quarantine
    from medalist.data.sources.medal import read_rows

    inventory = Inventory.of([("RA", "rheumatoid arthritis", 2, None), ("RA", "room air", 1, None)])
    name = ("full_data.csv", "test.csv", "test.csv.gz", "full_data.parquet")[data[0] % 4] if data else "test.csv"
    quarantine = Quarantine()
    try:
        passages = read_rows(file(name, data[1:]), inventory, quarantine)
    except ValueError as error:
        refused(error)
        return
    for passage in passages:
        for mention in passage.mentions:
            assert passage.text[mention.start : mention.end].strip(), "a mark on nothing"
            assert mention.short_form in inventory.senses, "a short form that is not listed"


def medal_seeds() -> list[bytes]:
    """A row with one label, and one with two."""
    one = b'ABSTRACT_ID,TEXT,LOCATION,LABEL\n7,known RA on RA today,1,rheumatoid arthritis\n8,"a RA, b",1,room air\n'
    full = b"TEXT,LOCATION,LABEL\nknown RA on RA today,1|3,rheumatoid arthritis|room air\n"
    return [b"\x01" + one, b"\x00" + full, b"\x02" + gzip.compress(one)]


def pubmed_once(data: bytes) -> None:
    """Records of PubMed's XML, plain or compressed, or of JSON Lines. The first byte chooses."""
    from medalist.data.rows import Quarantine
    from medalist.data.sources.pubmed import read_records

    name = ("a.xml", "a.xml", "a.xml.gz", "a.jsonl")[data[0] % 4] if data else "a.xml"
    try:
        for record in read_records(file(name, data[1:]), Quarantine()):
            pmid = record if isinstance(record, str) else record.pmid
            assert pmid and isinstance(pmid, str), "a record without a number"
    except ValueError as error:
        refused(error)


def pubmed_seeds() -> list[bytes]:
    """An article, a deletion, and a line of JSON."""
    xml = (
        b"<?xml version='1.0' encoding='utf-8'?><!DOCTYPE PubmedArticleSet><PubmedArticleSet>"
        b"<PubmedArticle><MedlineCitation><PMID Version='1'>123</PMID><Article>"
        b"<Journal><JournalIssue><PubDate><Year>2001</Year></PubDate></JournalIssue></Journal>"
        b"<Abstract><AbstractText Label='AIM'>Room <i>air</i> (RA) &lt; 2 &amp; "
        b"<mml:math xmlns:mml='http://www.w3.org/1998/Math/MathML'><mml:mi>x</mml:mi></mml:math>.</AbstractText></Abstract>"
        b"</Article></MedlineCitation></PubmedArticle>"
        b"<DeleteCitation><PMID Version='1'>9</PMID></DeleteCitation></PubmedArticleSet>"
    )
    line = b'{"pmid": 5, "text": "Room air (RA).", "year": 2001}\n{"id": "x", "sections": ["a", "b"]}\n'
    return [b"\x00" + xml, b"\x02" + gzip.compress(xml), b"\x03" + line]


INVENTORIES = ("glossary.csv", "glossary.tsv", "senses.json", "abbreviations.txt", "glossary.csv.gz")


def inventory_once(data: bytes) -> None:
    """Inventories and glossaries in every format. The first byte chooses the file's name."""
    from medalist.data.inventory import Inventory

    name = INVENTORIES[data[0] % len(INVENTORIES)] if data else INVENTORIES[0]
    try:
        inventory = Inventory.read(file(name, data[1:]))
    except ValueError as error:
        refused(error)
        return
    again = FOLDER / "again.csv"
    inventory.write(again)
    assert Inventory.read(again).rows() == inventory.rows(), "written and read, it is another inventory"
    for short_form in inventory.senses:
        assert abs(sum(np.exp(inventory.log_priors(short_form))) - 1) < 1e-6, "priors that do not add up to 1"


def inventory_seeds() -> list[bytes]:
    """One of each format."""
    return [
        b'\x00short_form,long_form,count,concept\nRA,room air,3,C1\nRA,"rheumatoid, arthritis",1,\n',
        b"\x00short_form;long_form\nRA;room air\n",
        b"\x00\xff\xfe" + "short_form,long_form\nRA,room air\n".encode("utf-16-le"),
        b"\x01short_form\tlong_form\nRA\troom air\n",
        b'\x02{"RA": ["room air", "rheumatoid arthritis"]}',
        b'\x02[{"short_form": "RA", "long_form": "room air", "count": 3}]',
        b"\x03#### ADAM\nRA\tRA:3\trheumatoid arthritis:2|rheumatoid arthritides:1\t0.9\t3\n",
        b"\x04" + gzip.compress(b"short_form,long_form\nRA,room air\n"),
    ]


def definitions_once(data: bytes) -> None:
    """Definitions in a text."""
    from medalist.data.definitions import find_definitions

    text, end = data.decode("utf-8", "replace"), 0
    for found in find_definitions(text):
        assert end <= found.start < found.end <= len(text), "definitions that overlap or leave the text"
        for start, stop in (found.short, found.long):
            assert found.start <= start < stop <= found.end, "a form outside its definition"
        assert found.short_form and found.long_form
        end = found.end


def definitions_seeds() -> list[bytes]:
    """Definitions of several kinds."""
    texts = (
        "Rheumatoid arthritis (RA) was seen.",
        "HR (heart rate) and BP [blood pressure]; confidence intervals (CIs), 1.2 (CI 1.1-1.3).",
        "Congestive heart\nfailure (CHF), 5-hydroxytryptamine (5-HT), tumour necrosis factor-α (TNF-α).",
    )
    return [text.encode() for text in texts]


TARGETS = {
    "gguf": Target(
        once=gguf_once, seeds=gguf_seeds, words=("GGUF", "llama.", "general.architecture", "token_embd.weight")
    ),
    "medal": Target(
        once=medal_once, seeds=medal_seeds, words=("ABSTRACT_ID", "TEXT,LOCATION,LABEL", "|", "RA", "room air")
    ),
    "pubmed": Target(
        once=pubmed_once,
        seeds=pubmed_seeds,
        words=(
            "<PMID>",
            "<AbstractText>",
            "<!ENTITY a 'b'>",
            "&a;",
            "<![CDATA[",
            "]]>",
            "<MedlineDate>",
            "xmlns",
            "&#0;",
        ),
    ),
    "inventory": Target(
        once=inventory_once, seeds=inventory_seeds, words=("short_form", "long_form", "count", "####", "|", '""')
    ),
    "definitions": Target(
        once=definitions_once, seeds=definitions_seeds, words=("(", ")", "[", ";", ",", " or ", "i.e.", "-", "’s")
    ),
}
