"""docs/site.py: links written for GitHub lead to pages of the site, and nothing is loaded from elsewhere."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from mkdocs.exceptions import PluginError

from site_hook import site

ROOT = Path(__file__).parent.parent


def shown(monkeypatch, here, place, markdown):
    monkeypatch.setitem(site._places, here, place)
    page = SimpleNamespace(file=SimpleNamespace(src_uri=here), meta={})
    return site.on_page_markdown(markdown, page, None, None)


@pytest.mark.parametrize(
    ("here", "place", "link", "there"),
    [
        ("index.md", "README.md", "docs/start.md", "start.md"),
        ("start.md", "docs/start.md", "../README.md", "index.md"),
        ("start.md", "docs/start.md", "../benchmarks/LOG.md#a", "repository/benchmarks/LOG.md#a"),
        ("start.md", "docs/start.md", "../recipes/table.yaml", "repository/recipes/table.yaml.md"),
        ("repository/CONTRIBUTING.md", "CONTRIBUTING.md", "docs/serve.md", "../serve.md"),
        ("start.md", "docs/start.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(monkeypatch, here, place, link, there):
    assert shown(monkeypatch, here, place, f"See [it]({link}), please.") == f"See [it]({there}), please."


def test_a_link_that_leads_nowhere_stops_the_build_and_one_in_a_block_is_left_alone(monkeypatch):
    assert "[a](none.md)" in shown(monkeypatch, "start.md", "docs/start.md", "```text\n[a](none.md)\n```\n")
    with pytest.raises(PluginError, match=r"docs/start.md links to none.md, which is no file"):
        shown(monkeypatch, "start.md", "docs/start.md", "[a](none.md)")


def test_a_block_that_the_tests_do_not_run_says_so_on_the_site(monkeypatch):
    page = shown(monkeypatch, "start.md", "docs/start.md", "```sh gpu\na\n```\n\n```csv notes.csv\na\n```\n")
    assert re.findall(r'title="(.+)"', page) == ["Needs a GPU", "notes.csv"]


def test_a_page_that_loads_something_from_elsewhere_is_refused():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    good = '<a href="https://example.org">a</a><img src="a.png"><link rel="stylesheet" href="site.css">'
    assert site.on_post_page(good, page, None) == good
    for bad in (
        '<script src="https://unpkg.com/a.js">',
        '<link rel="stylesheet" href="https://fonts.example/a.css">',
        '<img alt="" src=https://example.org/a.png>',
    ):
        with pytest.raises(PluginError, match=r"a\.md loads something from elsewhere"):
            site.on_post_page(good + bad, page, None)


def test_every_page_of_docs_is_in_the_navigation():
    text = re.sub(r"slugify: .*", "slugify: x", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(re.findall(r"'(\w[\w/.-]*\.md)'", str(yaml.safe_load(text)["nav"])))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= listed
