"""Recognises mentions that are only part of something else, from the text around: the A of "A&B", the pm of "10 pm".

No model is asked about them. `surroundings` recognises words and units, `not_prose` stretches that are not prose.
"""

from __future__ import annotations

import re

from .passages import Mention

_NEAR = 14
"""Characters before a mention that are searched."""
_VERBS = (
    "also|agree|am|believe|can|cannot|could|did|do|feel|felt|had|have|hope|just|know|may|met|might|need|plan|recommend|saw|see|"
    "should|spoke|suggest|suspect|then|think|thought|told|understand|understood|want|was|went|will|wonder|would|wrote|"
    "[a-z]{3,}ed"
)
"""Verbs that may follow the pronoun I: "I do", "I discussed", but not "I mobility"."""
_RULES = [
    (re.compile(surface), before and re.compile(rf"(?:{before})$"), after and re.compile(after))
    for surface, before, after in (
        (r"Drs?|Prof|Mrs?|Ms|St|Rev", "", r"\.?[ \t]+[A-Z][a-z]"),  # the title of a name: "Dr Patel", not "Dr informed"
        (r"[ap]m|[AP]M", r"\d[ \t]?", ""),  # a time of day
        (r"am", r"\b[Ii][ \t]", ""),
        (r"I", "", rf"['’]|[ \t]+(?:{_VERBS})\b"),  # the pronoun
        (
            r"us",
            r"\b(?:all|allow|ask|asked|by|call|called|contact|from|gave|give|given|help|inform|join|let|of|see|tell|to|told|"
            r"with)[ \t]+",
            "",
        ),
        (r"L", r"(?<![\w#.])\d{1,4}(?:[.,]\d+)?(?:-\d{1,2})?[ \t]?", ""),  # liters: "2 L NC"
        (r"[Pp]ara", "", r"[ \t]?\d"),  # births: "Para 2+1"
        (r"(?!24)\d{1,2}[dh]", "", ""),  # a duration: "x 5d", "9h ago"
        (r"\d{1,2}[DH]", r"(?:(?<!\w)[xX×]|\bfor|\bevery|[>≥~-])[ \t]?", ""),
        (r"[qQ]\d{1,2}", "", r"-\d"),  # an interval: "q3-4 min"
        # a month and a year: "TTE 1/24"
        (r"\d{1,2}/24", r"\b(?!(?:after|every|for|in|last|next|over|past|within|x)\b)[A-Za-z]{2,}[ \t]", ""),
        (r"\d{1,2}/\d{1,2}", r"\d/", ""),  # one of several numbers: "10/5/5"
        (r"\d{1,2}/\d{1,2}", "", r"/\d"),
        (r"[A-Z][a-z]{2,}", r"(?<![\w.])(?!E\.|C\.|S\.|H\.|N\.|P\.)[A-Z]\.[ \t]", ""),  # a surname: "J. Diaz"
        (r"\d{1,2}/(?:7|12|52)", "", r"[ \t]+(?:cores?|nodes?|LNs?|points?|positive|pos)\b"),  # a fraction
        (r"\w/\w", "", r"/\w(?!\w)"),  # "i/c/o"
        (r"[a-z]", r"\w/\w/", ""),
        (r"[YN]", r"[\[(] ?[xX]? ?[\])] ?", ""),  # the answer of a check box
        (r"[^\W\d_]", r"\w&|[A-Z][+-]/|\w-", ""),  # "A&B", "D+/R-", "anti-D"
        (r"[^\W\d_]", "", r"&\w|[+-]/[A-Z][+-]|-(?!spine\b|sect|collar)\w"),  # "C-arm"
        (r"[A-Z]{2,}", "", r"-[A-Z](?![\w+-])"),  # "ST-T"
        (
            r"[xX×]\d{1,2}",
            "",
            r"\s?/(?:7|52|12|24)\b|\s(?:d|days?|wks?|weeks?|mos?|months?|h|hrs?|hours?|mins?|yrs?|years?)\b",
        ),
    )
]
"""(pattern of the mention, pattern that ends before it, pattern that begins after it); "" matches anything."""


def is_part(text: str, mention: Mention) -> bool:
    """Whether a mention is only part of something else."""
    surface = text[mention.start : mention.end]
    return any(
        rule.fullmatch(surface)
        and (not before or before.search(text, max(0, mention.start - _NEAR), mention.start))
        and (not after or after.match(text, mention.end))
        for rule, before, after in _RULES
    )
