"""Recognises a person's initials, or the name of a room, from the text right around the letters."""

from __future__ import annotations

import re

_TITLE = re.compile(
    r"(?:\b(?:Drs?|drs?|Mrs?|mrs?|[Pp]rof|Professor|Ms|Mx|Miss)|(?<![a-z] )\b(?:DRS?|MRS?))\.?[ \t]+"
    r"(?:[A-Z][\w'’-]+[ \t]+(?:and|&)[ \t]+)?$"
)
"""Between other capitals, "DR." is a title too; "no DR." is diabetic retinopathy."""
_RELATIVE = re.compile(
    r"\b(?:nurse|dear|sister|brother|son|daughter|wife|husband|niece|nephew|aunt|uncle|cousin)[ \t]+$", re.IGNORECASE
)
_ROOM = re.compile(
    r"(?<!\bdr )(?<!\bdr\. )\b(?:bay|beds?|rooms?|rm|ward|wing|zone|block|building|bldg|gate|pod|suite|booth|"
    r"theat(?:re|er)|chair|counter|desk|scanner|lobby|cubicle|corridor)[ \t]$",
    re.IGNORECASE,
)
_INLINE = re.compile(r"(?:[.!?][ \t]*[-–—]|\b(?:[Bb]leep|[Pp]ager|[Ee]xt\.?)[ \t]*\d+[ \t]+)$")
_LINE_ENDS = re.compile(r"[ \t\r]*(?:$|\n)|[ \t]+(?:[Bb]leep|[Pp]ager|[Ee]xt)\b")
"""Text before and after initials that sign an entry within a line: "-TK", "Bleep 214 KS"."""
_ROLE = re.compile(
    r"\b(?:(?:signed|dictated|typed|grossed|reported|written|entered|transcribed|scribed)[ \t]+by|"
    r"(?:initials|signed|author|scribe|surgeon|assistant|operator|endoscopist|ana?esthetist)[ \t]*:)[ \t]+$",
    re.IGNORECASE,
)
_LETTERS = r"[A-Za-z]{2,3}"
_CREDENTIAL = (
    r"(?:M[DA]|DO|MBBS|MBChB|MSN?|RN|RGN|RMN|BSN|CNA|CMA|NNP|C?NP|[FACP]NP|A(?:RNP|PRN|PP)|PA(?:-C)?|DDS|DMD|DPM|PharmD|"
    r"LI?CSW|MSW|LMFT|CRNA|RM|CNM|DPT|OTR(?:/L)?|SLP|CCC-SLP|RDN?|LPN|LVN|E?EN|EMT(?:-?[BP])?|NRP|P(?:h|sy)D|F[Y]?\d|[SC]T\d|"
    r"SpR|SHO|C?MO|HCA|FRC\w+|MRC\w+|CNS|reg\.?|registrar|registered|consultant|cons\.?|pharmacist|physio|midwife|intern|"
    r"resident|attending|nights?|days?|on call|bleep|pager|ext\.?|HCPC|[GN]MC|\d+)"
)
_SIGNATURE = re.compile(
    rf"[ \t]*[-–—~]{{0,2}}[ \t]*(?P<first>{_LETTERS})(?:[ \t]*/[ \t]*(?P<second>{_LETTERS}))?"
    rf"(?P<more>(?:,[ \t]*(?-i:[A-Z][A-Za-z]{{1,5}}))?(?:[ \t,;/]+\(?{_CREDENTIAL}\)?)*)[ \t\r.]*",
    re.IGNORECASE,
)
"""A line with initials, optionally a typist's after a slash, and credentials: "MS/dk", "OS, DDS"."""
_LONGEST = 80
"""Maximum number of characters of such a line on either side of the letters."""
_DASHES = "-–—~*•"
_NOTHING_MORE, _BLANK_LINE = re.compile(r"\s*\Z"), re.compile(r"[ \t\r]*\n[ \t\r]*\n")


def is_titled(before: str) -> bool:
    """Whether a title directly precedes: "Dr PE", "Drs. Moya and ER"."""
    return _TITLE.search(before) is not None


def is_named(before: str) -> bool:
    """Whether a title or a word for a relative directly precedes."""
    return is_titled(before) or _RELATIVE.search(before) is not None


def is_room(before: str) -> bool:
    """Whether the word before is one that takes a letter or a name: "bay PC 4"."""
    return _ROOM.search(before) is not None


def is_signature(text: str, start: int, end: int) -> bool:
    """Whether a span is somebody's signature.

    Two or three letters count after "initials:" or "dictated by", within a line as "-TK" or after a pager's number, and
    on a line of their own: at the end of the text, or at the end of an entry if the line has more than the letters.
    """
    surface = text[start:end]
    if not (surface.isalpha() and surface.isascii() and len(surface) in (2, 3)):
        return False
    before = text[max(0, start - 40) : start]
    if surface.isupper():
        if _ROLE.search(before):
            return True
        if _INLINE.search(before) and _LINE_ENDS.match(text, end):
            return True
    return _signs_a_line(text, start, end)


def _signs_a_line(text: str, start: int, end: int) -> bool:
    begins = text.rfind("\n", max(0, start - _LONGEST), start) + 1
    above = text[max(0, begins - _LONGEST) : begins].strip().rpartition("\n")[2].strip() if begins else ""
    if (" " not in above and not above.endswith(".")) or above.endswith(":"):
        return False  # nothing to sign, or the next item of a list
    ends = text.find("\n", end, end + _LONGEST)
    ends = min(len(text), end + _LONGEST) if ends < 0 else ends
    found = _SIGNATURE.fullmatch(text, begins, ends)
    if found is None or (start, end) not in (found.span("first"), found.span("second")) or not found["first"].isupper():
        return False
    dashed = found[0].lstrip()[0] in _DASHES
    if dashed and above[0] in _DASHES:
        return False
    if _NOTHING_MORE.match(text, ends):
        return True
    told = dashed or bool(found["second"] or found["more"].strip())
    return told and _BLANK_LINE.match(text, ends) is not None
