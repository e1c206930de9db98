"""A corpus's account read back, whole or refused. Covers `accounts` too."""

import json

import pytest

from medalist.corpora.corpus import corpus_inventory, read_account

ACCOUNT = {
    "source": "pubmed",
    "settings": {"seed": 0},
    "read": ["a.xml"],
    "inventory": {"origin": "a + b", "short_forms": 1, "senses": 2, "mined_short_forms": 0, "mined_senses": 0},
    "revisions_replaced": 0,
    "deleted": 0,
    "without_text": 0,
    "duplicates": 0,
    "rows_read": 3,
    "rows_quarantined": {"no PMID": 1},
    "quarantine_examples": [{"file": "a.xml", "line": 1, "reason": "no PMID"}],
    "abstracts": {"train": 2, "validation": 0, "test": 0},
    "kinds": {"defined": {split: {"passages": 1, "mentions": 1} for split in ("train", "validation", "test")}},
    "short_forms": {"defined": [["RA", 2]]},
}


def test_an_account_is_read_as_it_stands(tmp_path):
    (tmp_path / "corpus.json").write_text(json.dumps(ACCOUNT))
    (tmp_path / "inventory.csv").write_text("short_form,long_form\nRA,room air\nRA,right atrium\n")
    assert json.dumps(read_account(tmp_path)) == json.dumps(ACCOUNT)
    assert corpus_inventory(tmp_path).origin == "a + b"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"kinds": {"defined": {"train": 3}}}, r"pubmed\.kinds\.defined\.train: Input should be an object"),
        ({"source": "elsewhere"}, r"source"),
        ({"rows_read": "three"}, r"pubmed\.rows_read: Input should be a valid integer"),
    ],
)
def test_an_account_of_another_shape_is_refused_in_one_line(tmp_path, change, key):
    (tmp_path / "corpus.json").write_text(json.dumps(ACCOUNT | change))
    with pytest.raises(
        ValueError, match=rf"corpus\.json does not have the format .*{key}.*Prepare the corpus again"
    ) as error:
        read_account(tmp_path)
    assert "\n" not in str(error.value)
