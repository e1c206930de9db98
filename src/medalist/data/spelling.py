"""Decides when two spellings are equivalent: white space, plurals, UK and US spelling, hyphens and case."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_TOKEN = re.compile(r"[^\s,.;:()\[\]/\"]+")


def tidy(text: str) -> str:
    """Collapse and trim white space: 278 of MeDAL's labels have stray spaces and would otherwise match nothing."""
    return " ".join(text.split())


# Rewrites of British spellings in a lower-case word, applied in order.
_SPELLING = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"aem(?=i|o|a|$)", "em"),
        (r"haem", "hem"),
        (r"(?<=[a-z])aemi", "emi"),
        (r"paed", "ped"),
        (r"caec", "cec"),
        (r"faec", "fec"),
        (r"gynaec", "gynec"),
        (r"anaes", "anes"),
        (r"orthopaed", "orthoped"),
        (r"aetio", "etio"),
        (r"o*edema", "edema"),  # angio-oedema, angioedema and lymphoedema alike
        (r"o*esoph", "esoph"),
        (r"oest", "est"),
        (r"foet", "fet"),
        (r"coeliac", "celiac"),
        (r"rrhoe", "rrhe"),
        (r"dyspnoea|dyspnœa", "dyspnea"),
        (r"apnoea", "apnea"),
        (r"pnoea", "pnea"),
        (r"leuk(?=oc)", "leuc"),
        (r"tumour", "tumor"),
        (r"colour", "color"),
        (r"behaviour", "behavior"),
        (r"labour", "labor"),
        (r"fibre", "fiber"),
        (r"litre", "liter"),
        (r"centre", "center"),
        (r"sulph", "sulf"),
        (r"isation", "ization"),
        (r"ise(?=d|r|s|$)", "ize"),
        (r"yse(?=d|r|s|$)", "yze"),
        (r"programme", "program"),
        (r"ll(?=ing|ed)", "l"),
    )
)


@lru_cache(maxsize=200_000)
def equivalence_key(long_form: str) -> str:
    """A normal form of a long form that ignores UK/US spelling, plurals, hyphens, apostrophes and case.

    Long forms of a short form with the same key are an equivalence group: lenient accuracy counts them as one answer.
    """
    # Punctuation between digits is significant: 1,2-dichloroethane is not 12-dichloroethane. Elsewhere spaces are
    # removed just like punctuation: low density is low-density.
    words = re.sub(r"(?<!\d)[^\w\s]|[^\w\s](?!\d)", "", long_form.casefold()).split()
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(map(_plain_word, words)))


@lru_cache(maxsize=100_000)  # there are far fewer words than long forms
def _plain_word(word: str) -> str:
    for pattern, replacement in _SPELLING:
        word = pattern.sub(replacement, word)
    return singular(word)


def singular(word: str) -> str:
    """The singular of an English word, judging by its ending; the word itself if it does not end like a plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")) and not re.search("(?<![eo])aches$", word):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plain_words(text: str) -> str:
    """The words of a text as equivalence keys, with a space before and after each."""
    return " " + " ".join(filter(None, (equivalence_key(word) for word in _TOKEN.findall(text)))) + " "


def spelt_out(words: str, candidates: Sequence[str]) -> list[int]:
    """The indices of the candidates that appear in a text, which is given as `plain_words`."""
    return [n for n, candidate in enumerate(candidates) if plain_words(candidate) in words]
