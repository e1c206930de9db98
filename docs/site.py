"""What the site needs beside docs/: README as its first page, and each file of the repository that a page links to.

A hook of MkDocs (mkdocs.yml). Pages are written for GitHub, with links relative to their own place; here links out of
docs/ are pointed at copies under repository/. A link that leads nowhere stops the build, and so does a page that would
load anything from elsewhere.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
LINK = re.compile(r'^ *(`{3,}).*?^ *\1$|(\]\(|<img src=")([^)"#\s]*)', re.MULTILINE | re.DOTALL)
"""A fenced block, to be passed over, or the target of a link."""
OPENING = re.compile(r"^```(\w+) ([^\n{=]+)$", re.MULTILINE)
NOT_RUN = {
    "gpu": "Needs a GPU",
    "network": "Needs the network",
    "minutes": "Takes minutes",
    "data": "Needs data of your own",
    "server": "Runs until stopped",
    "docker": "Needs Docker",
    "gguf": "Needs llama.cpp",
    "pipe": "Needs a shell",
}
"""Why a block marked `sh` is not run by the tests (tests/test_readme.py); any other mark is the name of a file."""
INTERVAL = re.compile(r"(?<=\d)–(?=\d)")
FROM_ELSEWHERE = re.compile(r'<(?:script|img|iframe|source)[^>]* src="?https?:|<link[^>]*stylesheet[^>]*https?:')
LANGUAGES = {".yaml": "yaml", ".py": "python", ".json": "json", ".csv": "text"}
_places: dict[str, str] = {}
"""Site's source path -> the path in the repository that it was made from."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README, and all that pages link to outside docs/, and what those link to."""
    _places.clear()
    waiting = ["README.md", *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    while waiting:
        place = waiting.pop()
        name = _site_name(place)
        if name in _places:
            continue
        _places[name] = place
        if not place.startswith("docs/"):
            for made, content in _made(place).items():
                files.append(File.generated(config, made, content=content))
        if _has_links(place):
            text = (ROOT / place).read_text(encoding="utf-8")
            _rewritten(text, lambda target, place=place: waiting.append(_found(place, target)) or target)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the site's own pages, and show file names and marks above blocks."""
    here = page.file.src_uri
    place = _places[here]
    if here == "index.md":
        page.meta["hide"] = ["toc"]  # its example is wide

    def pointed(target: str) -> str:
        if place.endswith(".ipynb") and target.startswith("figure-"):
            return target
        return posixpath.relpath(_site_name(_found(place, target)), posixpath.dirname(here) or ".")

    if _has_links(place):
        markdown = _rewritten(markdown, pointed)
    markdown = INTERVAL.sub("\u2060–\u2060", markdown)  # "82.9–88.4" stays on one line
    return OPENING.sub(lambda m: f'```{m[1]} title="{NOT_RUN.get(m[2], m[2])}"', markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that would load something from another host."""
    if found := FROM_ELSEWHERE.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}")
    return output


def _rewritten(text: str, change: Callable[[str], str]) -> str:
    """The text with the target of each relative link changed, outside of fenced blocks."""

    def link(match: re.Match[str]) -> str:
        start, target = match[2], match[3]
        outside = not target or "://" in target or target.startswith("mailto:")
        return match[0] if outside else start + change(target)

    return LINK.sub(link, text)


def _found(place: str, target: str) -> str:
    """The path in the repository of what a page at `place` links to."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
    if not (ROOT / path).is_file():
        raise PluginError(f"{place} links to {target}, which is no file")
    return path


def _site_name(place: str) -> str:
    """The site's source path for a path in the repository."""
    if place.startswith("docs/"):
        return place.removeprefix("docs/")
    if place == "README.md":
        return "index.md"
    return f"repository/{place}" if _is_page(place) or place.endswith(".png") else f"repository/{place}.md"


def _has_links(place: str) -> bool:
    """Whether the links of a file are followed."""
    return _is_page(place) or place.endswith(".ipynb")


def _is_page(place: str) -> bool:
    """Whether a file is Markdown to be read, and not a template of it."""
    return place.endswith(".md") and "/templates/" not in place


def _made(place: str) -> dict[str, str | bytes]:
    """Site's source paths and contents made from a file outside docs/."""
    name, path = _site_name(place), ROOT / place
    if place.endswith(".png"):
        return {name: path.read_bytes()}
    text = path.read_text(encoding="utf-8")
    if _is_page(place):
        return {name: re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)}
    if place.endswith(".ipynb"):
        return _notebook(name, json.loads(text))
    return {name: f"# {place}\n\n```{LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n```\n"}


def _notebook(name: str, notebook: dict[str, list[dict[str, object]]]) -> dict[str, str | bytes]:
    """A notebook's cells and outputs as a page, with its figures beside it."""
    pieces, figures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            pieces.append(source)
            continue
        pieces.append(f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                figure = f"figure-{len(figures) + 1}.png"
                figures[posixpath.join(posixpath.dirname(name), figure)] = base64.b64decode(data["image/png"])
                pieces.append(f"![Figure {len(figures)}]({figure})")
            elif "text/html" in data:
                shown = re.sub(r"\n\s*", "\n", "".join(data["text/html"]).strip())
                pieces.append(f'<div class="output">{shown}</div>')
            elif "text/markdown" in data:
                pieces.append("````markdown\n" + "".join(data["text/markdown"]) + "\n````")
            elif shown := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                pieces.append(f"````text\n{shown}\n````")
    return {name: "\n\n".join(pieces) + "\n", **figures}
