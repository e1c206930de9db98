"""The page in headless Chromium, before a stand-in for the server that gives answers made by hand."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

import medalist.serving
from medalist.data.definitions import find_definitions
from medalist.expansion.do_not_use import find_do_not_use, warned
from medalist.expansion.results import Evidence, ExpandedText, Expansion
from servers import Answer, Request, Served, serving

FILES = Path(medalist.serving.__file__).parent / "page"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def launched(playwright: Playwright) -> Browser:
    """A headless Chromium: the machine's, or the one that `playwright install chromium` fetched.

    Without one the test fails if NEED_BROWSER is set, as in `.ci/run`, and is skipped otherwise.
    """
    own = Path(playwright.chromium.executable_path)
    path = next(filter(None, map(shutil.which, CHROMIUM)), str(own) if own.exists() else None)
    if path is None:
        missing = "no Chromium: apt-get install chromium, or .venv/bin/playwright install chromium"
        if os.environ.get("NEED_BROWSER"):
            pytest.fail(missing)
        pytest.skip(missing)
    # Chromium refuses to run as root in its sandbox, and containers often have little shared memory
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=[*as_root, "--disable-dev-shm-usage"])


def said(
    surface: str,
    long_form: str | None = None,
    probability: float = 0.99,
    *others: tuple[str, float],
    key: str | None = None,
    evidence: Evidence | None = None,
    sure: bool | None = None,
) -> dict[str, object]:
    """What to say about the next occurrence of a short form; see `expanded`."""
    named = [(long_form, probability)] if long_form is not None else []
    evidence = evidence or ("model" if long_form is not None else "abstained" if others else "unlisted")
    return {
        "surface": surface,
        "short_form": surface,
        "key": key or surface,
        "long_form": long_form,
        "probability": probability,
        "alternatives": (*named, *others),
        "evidence": evidence,
        "sure": (long_form is not None and probability >= 0.95) if sure is None else sure,
    }


def expanded(text: str, *answers: dict[str, object]) -> ExpandedText:
    """A text with these expansions, each at the next place where its surface occurs, and with its true warnings.

    What the text defines is answered by its definition.
    """
    definitions = {one.short_form: one for one in find_definitions(text)}
    expansions, at = [], 0
    for answer in answers:
        values = dict(answer)
        surface = str(values.pop("surface"))
        found = re.compile(rf"(?<!\w){re.escape(surface)}(?![^\W\d_])").search(text, at)
        assert found, surface
        at = found.end()
        if values["evidence"] == "defined in text":
            values["definition"] = definitions[surface].long
        expansions.append(Expansion(start=found.start(), end=at, **values))  # type: ignore[arg-type]
    warnings = find_do_not_use(text)
    return ExpandedText(text=text, expansions=warned(expansions, warnings), warnings=warnings)


def results(*given: ExpandedText) -> Answer:
    """The server's answer to `POST /v1/expand`."""
    return as_json({"results": [one.to_dict() for one in given]})


def as_json(body: object, status: int = 200, **headers: str) -> Answer:
    """An answer with a JSON body; `Retry_After` in `headers` is sent as Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=json.dumps(body).encode(), headers={"Content-Type": "application/json"} | named)


@dataclass
class StandIn:
    """The page's files, and answers to `/v1/expand`."""

    known: dict[str, ExpandedText] = field(default_factory=dict)
    """By text; another text has no short forms."""
    faults: list[Answer] = field(default_factory=list)
    """Given first, one by one."""
    check: Callable[[Request], Answer | None] = lambda _: None
    """An answer to give instead, such as to a request without a token."""

    def knows(self, text: str, *answers: dict[str, object]) -> ExpandedText:
        """Answer a text so from now on."""
        self.known[text] = expanded(text, *answers)
        return self.known[text]

    def __call__(self, request: Request) -> Answer:
        """Answer a request."""
        if request.method == "POST" and request.path == "/v1/expand":
            if self.faults:
                return self.faults.pop(0)
            text = json.loads(request.body)["text"]
            return self.check(request) or results(self.known.get(text, ExpandedText(text=text, expansions=())))
        path = FILES / (request.path.lstrip("/") or "index.html")
        if not path.is_file():
            return as_json({"detail": "Not Found"}, 404)
        headers = {"Content-Type": f"{_TYPES[path.suffix]}; charset=utf-8", "Content-Security-Policy": POLICY}
        return Answer(body=path.read_bytes(), headers=headers)


@contextmanager
def stand_in() -> Iterator[tuple[StandIn, Served]]:
    """A stand-in, while the block runs."""
    server = StandIn()
    with serving(server) as served:
        yield server, served


CONTRAST = """
(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const color = channels(getComputedStyle(element).backgroundColor);
    return color[3] === 0 ? behind(element.parentElement) : over(color, behind(element.parentElement));
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.closest(".unseen, .skip, :disabled")) continue;
    const style = getComputedStyle(element);
    const name = `${element.tagName} ${element.id} ${element.className.baseVal ?? element.className}`;
    const seen = channels(style.color).slice(0, 3).concat(Number(style.opacity));
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (hasText || element.matches("textarea")) {
      found.push([name, contrast(over(seen, behind(element)), behind(element)), 4.5]);
    }
    if (element.matches("svg.icon")) found.push([name, contrast(channels(style.color), behind(element)), 3]);
    if (style.textDecorationLine === "underline") {
      found.push([`${name} line`, contrast(channels(style.textDecorationColor), behind(element)), 3]);
    }
    if (element.matches("input[type=text], input[type=password], textarea, .actions button:not(.plain)")) {
      found.push([`${name} edge`, contrast(channels(style.borderTopColor), behind(element.parentElement)), 3]);
    }
  }
  return found;
})()
"""
"""Name, contrast and least allowed contrast (WCAG 2.2 AA) of every text, sign, line and field edge that can be seen."""
