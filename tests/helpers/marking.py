"""Marked passages, written as people would mark them by hand."""

from __future__ import annotations

import re

from medalist.data.passages import Mention, Passage

_MARK = re.compile(r"\[(?P<surface>[^\]|=]+)(?:\|(?P<key>[^\]=]+))?(?:=(?P<gold>[^\]]+))?\]")


def marked(text: str, identifier: str = "p1") -> Passage:
    """A passage from `"pain in the [RA=right atrium]"`; `[CTs|CT=...]` names the key, `[RA]` has no gold."""
    plain, mentions, at = "", [], 0
    for match in _MARK.finditer(text):
        plain += text[at : match.start()]
        end = len(plain) + len(match["surface"])
        mentions.append(
            Mention(
                start=len(plain), end=end, short_form=match["key"] or match["surface"], long_form=match["gold"] or None
            )
        )
        plain, at = plain + match["surface"], match.end()
    return Passage(id=identifier, text=plain + text[at:], mentions=tuple(mentions), source="tests")
