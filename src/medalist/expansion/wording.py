"""Words a long form that replaces a short form so that the sentence still reads as English.

`serving/page/wording.js` does the same in the browser; a test compares the two.
"""

from __future__ import annotations

import re

from ..data.spelling import folded

_ARTICLE = re.compile(r"(?:(?<![^\s(\[/])(?:an?|An|AN)|(?:^|[.!?:;(\n][ \t]*)A)(?=[ \t]+$)")
"""An article before a short form. A lone "A" is one only at the start of a sentence: "hepatitis A IgG" has none."""
_BEGINS_SENTENCE = re.compile(r"(?:^|[.!?][ \t\xa0]+|\n[ \t\xa0]*)$")
_WORD = re.compile(r"[^\s,.;:!?()\[\]/]+")
_HEAD = re.compile(r"(?<= )(?:of|in|for|with|without|to|on|by|at|from|per|and|or|as) ")
_UNCOUNTED = re.compile(r"(?:s|ing|graphy|metry|oxygen|air|blood|care|water|right|left|ive|ic|al|ar|ous|ed)$")
"""Endings of words that are already plural, are uncountable or are adjectives."""
_SCAN = re.compile(r"(?:imaging|tomography)$")
_AN = re.compile(
    r"(?!u[^aeiou\W\d][aeiou]|eu|one\b|once\b)[aeiou]|un[ao]|uni(?:n|m|d)|hour|honest|heir|8|11(?!\d)|18(?!\d)",
    re.IGNORECASE,
)
"""Words that begin with a vowel sound: an ulcer, but a unit, a European, a urinary catheter."""
_LETTERS = re.compile(r"[AEFHILMNORSX](?:[A-Z]{0,3}(?![A-Za-z]))")
"""Abbreviations read letter by letter that begin with a vowel sound: an ST segment, an X-ray."""
_NUMBER = re.compile(r"(?:^|[^\w.,/])(?:[x×] ?)?(?!1 ?$)\d+(?:[.,]\d+)?(?: ?- ?\d+)? ?$")
"""A number other than 1, or a range: "x2", "6-12"."""
_MEASURE = re.compile(
    r"(?:international )?unit|tablet|capsule|drop|puff|pound|ounce|liter|meter|pint|teaspoon|tablespoon|pack-year"
)
_TIME = re.compile(r"second|minute|hour|day|week|month|year")
_NO_NOUN = re.compile(
    r"[ \t]*(?:$|[^\w\s-])|\s*\n|[ \t]+(?:ago|after|and|apart|at|before|but|by|each|earlier|every|for|from|in|later|of|"
    r"on|or|out|over|per|post|prior|s/p|since|then|to|until|up|w/|with|without)(?:\b|(?<=/))"
)
"""What may follow "2 weeks"; before a noun, "a 24 hour urine" stays singular."""
_FULL_STOP = re.compile(r"\.(?=[,;:)\]]|(?P<more>[ \t]+[a-z0-9(]))")
"""A full stop after a short form that need not end the sentence."""
_CAPITALS = re.compile(r"(?:^|[.!?][ \t]+|\n[ \t]*)[A-Z][a-z ]")
"""A sentence that begins with a capital."""
_SENTENCE_BEFORE = re.compile(r"(?:[A-Z]{2,}|\d|(?<![A-Za-z])(?![Aa]pprox\.)[A-Za-z][a-z]{4,}|[)\]%])[.!?][ \t\xa0]+$")
"""The end of a sentence on the same line; after a shorter word, a full stop may mark an abbreviation."""
_ATTRIBUTE = re.compile(r" (?:o?edema|swelling|weakness|pain|cellulitis|ulcers?|wounds?|pulses?|strength|numbness)\b")
"""Nouns before which "extremities" is singular: lower extremity edema."""
_HALF_DAY = re.compile(r"(?:ante|post) meridiem")
_DAY = re.compile(r"\b(?:this|the|every|each|tomorrow|yesterday|last|next|late|early)[ \t]+$", re.IGNORECASE)
"""What stands before a part of the day, as in "this PM", not before a time."""
_NEAR = 80
"""Number of characters examined before and after a short form."""


def in_place(text: str, start: int, end: int, key: str, long_form: str) -> tuple[str, str]:
    """The replacement of a short form, and of the article before it.

    A plural stays plural, words that are already next to the short form are not repeated ("HIV virus"), a number is
    separated from it ("45yo", "BP120/80"), and a sentence begins with a capital. "PM" in "this PM" stays.

    Args:
        text: the text.
        start: first character of the short form.
        end: one past its last.
        key: the short form without a plural s.
        long_form: what it stands for.

    Returns:
        The new article for the one before the short form ("" to keep the text as it is), and the long form.
    """
    surface, before, after = text[start:end], text[max(0, start - _NEAR) : start], text[end : end + _NEAR]
    if _is_part_of_day(before, long_form):
        return "", surface
    written = long_form
    if written.endswith(" extremities") and _ATTRIBUTE.match(after):
        written = f"{written.removesuffix('ies')}y"
    if surface.endswith("s") and folded(surface[:-1]) == folded(key):
        written = _plural(written)
    written = _counted(_without_next(_without_last(written, before), after), before, after)
    if before[-1:].isdigit() and written[:1].isalpha():
        written = f" {written}"
    if after[:1].isdigit():
        written = f"{written} "
    if written[:2].islower() and written[:2].isalpha() and _begins_sentence(text, start, end):
        written = written[0].upper() + written[1:]
    article = _ARTICLE.search(before)
    if article is None:
        return "", written
    given = re.sub(r"\W", "", article[0])
    right = "an" if _AN.match(written) or _LETTERS.match(written) else "a"
    return ("" if given.lower() == right else _as_given(right, given)), written


def end_in_place(text: str, start: int, end: int, key: str, long_form: str) -> int:
    """One past the characters that a long form replaces: "pt. seen" becomes "patient seen".

    The full stop of an abbreviated word is replaced too, unless it may also end the sentence. In texts whose sentences
    do not begin with capitals, it always may.

    Args:
        text: the text.
        start: first character of the short form.
        end: one past its last.
        key: the short form without a plural s.
        long_form: what it stands for.
    """
    stop = _FULL_STOP.match(text, end)
    initials = key.isupper() and " " in long_form
    before = text[max(0, start - _NEAR) : start]
    if stop is None or initials or not text[end - 1].islower() or "." in text[start:end]:
        return end
    if _is_part_of_day(before, long_form):
        return end
    if stop["more"] and not _BEGINS_SENTENCE.search(before) and not _capitalised(text, start, end):
        return end
    return end + 1


def _capitalised(text: str, start: int, end: int) -> bool:
    """Whether sentences near a short form begin with capitals."""
    before = text[max(0, start - _NEAR) : start]
    near = before if start <= _NEAR else f" {before}"
    return bool(_CAPITALS.search(near) or _CAPITALS.search(text, end + 1, end + _NEAR))


def _begins_sentence(text: str, start: int, end: int) -> bool:
    """Whether a short form begins a sentence; one in lower case only if sentences near it begin with capitals."""
    before = text[max(0, start - _NEAR) : start]
    if text[start].isupper():
        return bool(_BEGINS_SENTENCE.search(before))
    return text[start].islower() and bool(_SENTENCE_BEFORE.search(before)) and _capitalised(text, start, end)


def _is_part_of_day(before: str, long_form: str) -> bool:
    """Whether PM or AM stands for a part of the day, as in "this PM", which its long form does not fit."""
    return bool(_HALF_DAY.fullmatch(long_form) and _DAY.search(before))


def with_article(before: str, article: str) -> str:
    """A text that ends with an article and white space, with the article replaced."""
    return re.sub(r"[Aa][Nn]?(?=[ \t]+$)", article, before) if article else before


def _as_given(article: str, given: str) -> str:
    if given == "AN":
        return article.upper()
    return article.capitalize() if given[0].isupper() else article


def _counted(long_form: str, before: str, after: str) -> str:
    """The plural of a unit after a number: 90 minutes, 3 units of blood."""
    time = _TIME.fullmatch(long_form) and _NO_NOUN.match(after)
    return _plural(long_form) if (time or _MEASURE.fullmatch(long_form)) and _NUMBER.search(before) else long_form


def _plural(long_form: str) -> str:
    """The plural of a long form by its head: chest X-rays, ranges of motion; unchanged if it is uncountable."""
    cut = _HEAD.search(long_form)
    head, rest = (long_form[: cut.start() - 1], long_form[cut.start() - 1 :]) if cut else (long_form, "")
    if _SCAN.search(head):
        return f"{head} scans{rest}"
    if _UNCOUNTED.search(head):
        return long_form
    if re.search(r"[^aeiou]y$", head):
        return f"{head[:-1]}ies{rest}"
    return f"{head}{'es' if re.search('(?:x|ch|sh)$', head) else 's'}{rest}"


def _without_last(long_form: str, before: str) -> str:
    """A long form without those first words that already precede it: acute AKI."""
    words, stand = long_form.split(), before.split(" ")[:-1] if before.endswith(" ") else []
    for n in range(min(3, len(words) - 1), 0, -1):
        if list(map(folded, stand[-n:])) == list(map(folded, words[:n])):
            return " ".join(words[n:])
    return long_form


def _without_next(long_form: str, after: str) -> str:
    """A long form without those last words that already follow it: MRI imaging."""
    words = long_form.split()
    follow: list[str] = []
    at = 0
    while after[at : at + 1] == " " and (match := _WORD.match(after, at + 1)) and len(follow) < 3:
        follow.append(match[0])
        at = match.end()
    for n in range(min(3, len(words) - 1, len(follow)), 0, -1):
        same = [(folded(a), folded(b)) for a, b in zip(words[-n:], follow[:n], strict=True)]
        if all(a == b or f"{a}s" == b for a, b in same):
            return " ".join(words[:-n])
    return long_form
