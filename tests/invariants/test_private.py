"""Law 9 for files: whatever a file holds, what is wrong with it is told without a word of it."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medalist.cli.app import main
from pubmed_xml import article

CANARY = "Zibbelworth's"
"""A name in the text, with the apostrophe that once ended what was masked."""
TEXT = f"Mr {CANARY} was seen for RA; Mr {CANARY} went home."
LONG = f"{TEXT} " * 40
MARK = {"start": 0, "end": len(TEXT), "short_form": CANARY, "long_form": TEXT}
QUIZ = {"id": "1", "question": TEXT, "context": LONG, "options": [TEXT, "no"], "answer": TEXT}
MEDAL = "ABSTRACT_ID,TEXT,LOCATION,LABEL\n"
FILES = {
    "shifted.csv": MEDAL
    + "".join(
        f"{row}\n" for row in (f"1,RA,{TEXT},{TEXT}", f"{TEXT},RA,0", f"1,{TEXT},1,{TEXT}", f"1,{TEXT},6,{TEXT}")
    ),
    "header.csv": f"{TEXT},{TEXT}\n1,2\n",
    "quoted.csv": f'{MEDAL}1,"{LONG}',
    "marks.jsonl": [
        {"id": "1", "text": TEXT, "mentions": [MARK | {"start": 2}]},
        {"id": "2", "text": TEXT, "mentions": [MARK | {"end": TEXT}]},
        {"id": "3", "text": TEXT, "mentions": [MARK | {"start": 3, "end": 16}, MARK]},
        {"id": "3", "text": TEXT, "mentions": [MARK | {"end": 10**6}]},
        {"id": TEXT, "text": TEXT, "mentions": []},
        {"id": TEXT, "text": TEXT, "mentions": []},
        {"id": "4", "text": TEXT, "mentions": TEXT},
        {"id": "5", "text": TEXT, "mentions": [TEXT]},
        TEXT,
    ],
    "broken.jsonl": f'{{"id": "1", "text": "{TEXT}"\n{TEXT}\n',
    "bytes.jsonl": f'{{"id": "1", "text": "{TEXT} \udcff"}}\n',
    "gladis.json": [
        {"short_term": CANARY, "long_term": TEXT, "tokens": TEXT},
        {"short_term": TEXT, "long_term": TEXT, "tokens": TEXT.split()},
    ],
    "casi.txt": "\n".join(f"RA|air|{written}|{start}|9|EXAM|{TEXT}" for written, start in (("XX", 1), ("RA", TEXT))),
    "quiz.jsonl": [
        QUIZ | {"answer": LONG},
        QUIZ | {"answer_idx": "B"},
        QUIZ | {"options": TEXT},
        QUIZ | {"id": "1", "context": TEXT},
        {"id": "2", "question": TEXT, "context": LONG, "answer": LONG},
        {"id": "3", "question": TEXT, "opa": TEXT, "opb": "b", "opc": "c", "opd": "d", "cop": TEXT},
    ],
    "pubmed.jsonl": [
        {"pmid": TEXT, "text": ""},
        {"pmid": TEXT, "sections": [TEXT]},
        {"pmid": TEXT, "sections": [TEXT]},
    ],
    "pubmed.xml": f"<PubmedArticleSet>{article(TEXT, TEXT)}{article(1, TEXT, version=CANARY)}</PubmedArticleSet>",
    "cut.xml": f"<PubmedArticleSet>{article(1, TEXT)}<PubmedArticle><{CANARY[:-2]}>",
    "plain.xml": TEXT,
    "glossary.csv": f"{TEXT}\n{TEXT}\n",
    "glossary2.csv": f"short_form,long_form,count\n{CANARY},{TEXT},{TEXT}\n",
    "glossary3.csv": f'short_form,long_form\n{CANARY},"{TEXT}\n',
    "glossary.json": {CANARY: [[TEXT]]},
    "glossary2.json": [{CANARY: TEXT}],
    "glossary3.json": [{"short_form": CANARY, "long_form": "x", "count": TEXT}],
    "glossary.txt": f"PREFERRED_AB\tVARIANT_AB\tEXPANSION\n{TEXT}\n",
    "notes.csv": f"{TEXT},{TEXT}\n",
    "recipe.yaml": f"{TEXT}: [\n  {TEXT}\n",
    "recipe2.yaml": f'data: "{TEXT}\n{TEXT}: &{CANARY[:-2]} *{CANARY[:-2]}x\n',
    "recipe3.yaml": f"{TEXT}\n",
}
VERBS = (
    "prepare recipe {recipe} data.source=table data.path={file} data.inventory=senses.csv data.max_bad_rows={bad}",
    "prepare recipe {recipe} data.source=choices data.path={file} name=x data.max_bad_rows={bad}",
    "prepare recipe {recipe} data.source=pubmed data.path={file} data.inventory=senses.csv data.max_bad_rows={bad}",
    "prepare recipe {recipe} data.source=text data.path={file} data.max_bad_rows={bad} data.inventory=senses.csv",
    "prepare recipe {recipe} data.source=table data.path=good.jsonl data.inventory={file} name=x",
    "prepare recipe {file}",
    "prepare medal {file} --inventory senses.csv --out out --max-bad-rows {bad}",
    "prepare medal good.csv --inventory {file} --out out",
    "prepare medal good.csv --inventory senses.csv --adam {file} --out out",
    "prepare pubmed {file} --inventory senses.csv --out out --max-bad-rows {bad}",
    "prepare text {file} --inventory senses.csv --out out --max-bad-rows {bad}",
    "audit {file} good.jsonl --out clean.jsonl",
    "inventory {file} --out merged.csv",
    "train {file}",
    "plan {file}",
)


def is_data(path):
    """Whether a file is the prepared texts or the inventory themselves: they hold what was read, not a remark on it."""
    names = ("inventory.csv", "published.csv", "first.csv", "merged.csv", "senses.csv", "clean.jsonl")
    return path.suffix == ".parquet" or path.name in names or "rows" in path.parts


@pytest.mark.parametrize("verb", VERBS)
def test_no_reader_tells_a_word_of_a_damaged_file(verb, tmp_path, monkeypatch, capsys):
    for name, content in FILES.items():
        if name.endswith((".jsonl", "gladis.json")):
            content = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        elif not isinstance(content, str):
            content = json.dumps(content)
        (tmp_path / name).write_bytes(content.encode("utf-8", errors="surrogateescape"))
    pq.write_table(pa.table({"body": [TEXT]}), tmp_path / "other.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "other.parquet").read_bytes()[:-9])
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress((TEXT * 99).encode())[:-9])
    broken = [*sorted(FILES), "other.parquet", "cut.parquet", "cut.jsonl.gz"]
    for name in broken:
        for bad in (0, 1):
            here = tmp_path / f"{name}-{bad}"
            here.mkdir()
            monkeypatch.chdir(here)
            (here / "senses.csv").write_text("short_form,long_form\nRA,room air\nRA,right atrium\n")
            (here / "good.jsonl").write_text(
                "".join(
                    json.dumps({"id": f"g{n}", "text": f"Seen {n} on RA.", "mentions": []}) + "\n" for n in range(9)
                )
            )
            (here / "good.csv").write_text(MEDAL + "1,seen RA,1,room air\n")
            (here / "mine.yaml").write_text("name: x\n")
            command = verb.format(file=tmp_path / name, recipe="mine.yaml", bad=bad)
            with pytest.raises(SystemExit):
                main(command.split())
            told = "".join(capsys.readouterr())
            written = [path for path in here.rglob("*") if path.is_file() and not is_data(path)]
            assert "zibbelworth" not in told.lower(), name
            assert not [path for path in written if b"zibbelworth" in path.read_bytes().lower()], name
