"""Recognises short forms that are not initials: cut-off words, as in "C. difficile", "indel" for insertion/deletion
and "dex" for dexamethasone, and concentrations, "[K+]o".
"""

from __future__ import annotations

import re

from .letters import WORD, fits, long_form_start, plain, whole


def cut_words_start(short_form: str, before: str) -> int | None:
    """Where the words begin that a short form cuts off one by one; None if it does not.

    "Clostridium difficile (C. difficile)", "RNA polymerase II (RNA pol II)"; the first word may be initials:
    "estrogen receptor-positive (ER-positive)".
    """
    cut = WORD.findall(plain(short_form))
    lowered = plain(before)
    words = [m.span() for m in WORD.finditer(lowered)]
    if not 1 < len(cut) <= len(words) or cut[0].isdigit():
        return None
    first, *others = cut
    shortened = False
    for piece, (start, end) in zip(others, words[-len(others) :], strict=True):
        if piece != lowered[start:end]:
            if len(piece) < 2 or not _cuts(piece, lowered[start:end]):
                return None
            shortened = True
    start, end = words[-len(cut)]
    if _cuts(first, lowered[start:end]) or (shortened and first == lowered[start:end]):
        return whole(first[0], lowered, start)
    if shortened or len(first) < 2 or len(others[0]) < 3:
        return None
    return long_form_start(first, before[:end], initials=True)


def _cuts(piece: str, word: str) -> bool:
    return word.startswith(piece) and len(word) > len(piece) + 2


def cut_together_start(short_form: str, before: str) -> int | None:
    """Where the words begin whose first letters make up a short form, "insertion/deletion (indel)"; None if nowhere."""
    lowered, letters = plain(before), plain(short_form)
    left = {len(letters)}
    for number, match in enumerate(reversed(list(WORD.finditer(lowered)))):
        word = match[0]
        left = {
            rest - size for rest in left for size in range(1, rest + 1) if letters[rest - size : rest] == word[:size]
        }
        if 0 in left and number:
            return match.start()
    return None


def cut_off_start(short_form: str, before: str) -> int | None:
    """Where the word begins that a short form cuts off ("dex") or writes without vowels ("nt" for nucleotide)."""
    last = re.search(r"[^\W\d_]+$", before)
    if last is None:
        return None
    word = last[0]
    cut = len(short_form) > 2 and len(word) > len(short_form) + 2 and word.lower().startswith(short_form)
    bare = not re.search("[aeiou]", short_form) and len(word) > 4 and fits(short_form, word)
    return last.start() if cut or bare else None


_CONCENTRATION = re.compile(r"\[([^\s\[\]]{1,8})\]([ceio])|(pH)([ceio])")
_WHERE = {"i": "intra|intern", "o": "extra|extern|out", "e": "extra|extern|out", "c": "cyto"}


def may_be_concentration(surface: str) -> bool:
    """Whether a string is written like "[K+]o" or "pHo"."""
    return _CONCENTRATION.fullmatch(surface) is not None


def concentration_start(short_form: str, before: str) -> int | None:
    """Where the words for a concentration begin: "intracellular K+ concentration ([K+]i)", "extracellular pH (pHo)"."""
    match = _CONCENTRATION.fullmatch(short_form)
    if match is None:
        return None
    substance, where = match[1] or match[3], match[2] or match[4]
    found = re.search(rf"(?i)\b(?:{_WHERE[where]})\w*\s(?:\S+\s){{0,3}}\S+$", before)
    return found.start() if found and substance in found[0].split() else None
