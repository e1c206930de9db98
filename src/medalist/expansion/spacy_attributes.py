"""The attributes under `._` that the spaCy component adds to documents and spans, and how their values are read.

`doc._.abbreviations` and `span._.long_form` have the same meaning as in scispaCy's `AbbreviationDetector`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from spacy.tokens import Doc, Span

GROUP = "medalist"
"""Key of the short forms in `doc.spans`; also the span attribute with all their values."""
_FOUND, _WARNED = "medalist_found", "medalist_warned"
"""Span attributes with what is stored, as plain values that `Doc.to_bytes` can serialise.

spaCy stores them by characters, so they survive joining and cutting documents and merging tokens. Offsets in them are
relative to the first character of the span.
"""

Values = dict[str, Any]
"""What `Expansion.to_dict` or `DoNotUse.to_dict` returns."""


def store(doc: Doc, found: Iterable[Values], warnings: Iterable[Values]) -> dict[tuple[int, int], list[Values]]:
    """Store short forms and warnings in a document, in place of earlier ones.

    Returns:
        The short forms of each range of tokens, with offsets relative to its first character.
    """
    for name in (_FOUND, _WARNED):
        for key in [key for key in doc.user_data if _is_of(key, name)]:
            del doc.user_data[key]
    placed: dict[str, dict[tuple[int, int], list[Values]]] = {_FOUND: {}, _WARNED: {}}
    for name, all_ in ((_FOUND, found), (_WARNED, warnings)):
        for values in all_:
            span = _aligned(doc, values["start"], values["end"])
            placed[name].setdefault((span.start, span.end), []).append(_moved(values, -span.start_char))
        for (start, end), here in placed[name].items():
            doc[start:end]._.set(name, here)
    return placed[_FOUND]


def name_of(values: Values) -> str:
    """A name for each of several short forms in one token, as in "ER+/PR+"; offsets are relative to the token."""
    return f"{values['start']}-{values['end']}"


def _aligned(doc: Doc, start: int, end: int) -> Span:
    """The tokens that contain the characters: "F/u" where only "F" is the short form."""
    span = doc.char_span(start, end, alignment_mode="expand")
    assert span is not None  # only offsets outside the text have no tokens
    return span


def _moved(values: Values, by: int) -> Values:
    """The same values with all offsets moved by a number of characters."""
    moved = values | {name: values[name] + by for name in ("start", "end")}
    if values.get("definition") is not None:
        moved["definition"] = [offset + by for offset in values["definition"]]
    if values.get("warning") is not None:
        moved["warning"] = _moved(values["warning"], by)
    return moved


def _is_of(key: Any, name: str) -> bool:
    """Whether a key of `doc.user_data` is that of a span attribute: ("._.", name, first character, end)."""
    return isinstance(key, tuple) and key[:2] == ("._.", name)


def _stored(doc: Doc, name: str) -> list[tuple[int, int, list[Values]]]:
    """First character, end and values of each span that has an attribute, in the order of the text."""
    found = [(*key[2:4], values) for key, values in doc.user_data.items() if _is_of(key, name)]
    size = len(doc.text)  # `Span.as_doc` also copies what lies outside the span
    return sorted((one for one in found if 0 <= one[0] < one[1] <= size), key=lambda one: one[:2])


def _all_found(span: Span) -> list[Values] | None:
    """All short forms of a span, with offsets in the document; None if it has none."""
    here = [(span.start_char, span._.get(_FOUND) or [])]
    if not here[0][1]:  # another component may have merged its tokens
        here = [
            (start, all_)
            for start, end, all_ in _stored(span.doc, _FOUND)
            if start < span.end_char and end > span.start_char and _same(_aligned(span.doc, start, end), span)
        ]
    placed = [_moved(one, start) for start, all_ in here for one in all_]
    for one in placed:
        if one["definition"] is not None and not 0 <= one["definition"][0] < one["definition"][1] <= len(span.doc.text):
            one["definition"] = None  # it is not in this part of a document
    return placed or None


def _same(one: Span, other: Span) -> bool:
    """Whether two spans have the same tokens, whatever their labels and names."""
    return (one.start, one.end) == (other.start, other.end)


def _found(span: Span) -> Values | None:
    """The values of a span's short form; if its tokens contain several, the one that the span names, or the first."""
    all_ = _all_found(span) or ()
    named = (values for values in all_ if span.id_ == name_of(_moved(values, -span.start_char)))
    return next(named, all_[0] if all_ else None)


def _field(name: str, span: Span) -> Any:
    values = _found(span)
    return None if values is None else values[name]


def _alternatives(span: Span) -> list[tuple[str, float]]:
    return [(one["long_form"], one["probability"]) for one in _field("alternatives", span) or ()]


def _long_form(span: Span) -> Span | str | None:
    """The tokens of a short form's definition; None if the text has none, or not in this part of a document."""
    values = _found(span)
    if values is None or values["definition"] is None:
        return None
    defining = _aligned(span.doc, *values["definition"])
    return defining.text if span.doc._.medalist_serializable else defining


def _abbreviations(doc: Doc) -> list[Span] | list[Values]:
    spans = []  # not from `doc.spans`, which counts tokens: another component may have merged some
    held = [_aligned(doc, start, end) for start, end, _ in _stored(doc, _FOUND)]
    for start, end in dict.fromkeys((span.start, span.end) for span in held):
        span = doc[start:end]  # no label, to equal `doc[4:5]`
        names = [name_of(_moved(values, -span.start_char)) for values in _all_found(span) or ()]
        spans += [Span(doc, start, end, span_id=name if len(names) > 1 else "") for name in names]
    return [_plain(span) for span in spans] if doc._.medalist_serializable else spans


def _warnings(doc: Doc) -> list[Values]:
    return [_moved(one, start) for start, _, all_ in _stored(doc, _WARNED) for one in all_]


def _plain(span: Span) -> Values:
    """ScispaCy's keys, with None for those of the long form if the text does not define it, and our own keys."""
    values = _found(span)
    assert values is not None
    long = None if values["definition"] is None else _aligned(span.doc, *values["definition"])
    return {
        "short_text": span.text,
        "short_start": span.start,
        "short_end": span.end,
        "long_text": long and long.text,
        "long_start": long and long.start,
        "long_end": long and long.end,
        "expansion": values["long_form"],
        **{name: values[name] for name in ("probability", "alternatives", "evidence", "sure")},
    }


_SPAN: dict[str, Callable[[Span], Any]] = {
    "long_form": _long_form,
    "expansion": partial(_field, "long_form"),
    "probability": partial(_field, "probability"),
    "alternatives": _alternatives,
    "evidence": partial(_field, "evidence"),
    "sure": partial(_field, "sure"),
    GROUP: _all_found,
}
_SHARED = {"abbreviations", "long_form"}
"""Attributes that scispaCy's detector also sets, with the same meaning."""


def add_attributes() -> None:
    """Register the attributes with spaCy.

    Raises:
        ValueError: another component uses the name of one of them for something else.
    """
    for name, getter in _SPAN.items():
        _add(Span, name, getter=getter)
    _add(Span, _FOUND, default=None)
    _add(Span, _WARNED, default=None)
    _add(Doc, "abbreviations", getter=_abbreviations)
    _add(Doc, "medalist_warnings", getter=_warnings)
    _add(Doc, "medalist_serializable", default=False)


def _add(holder: Any, name: str, **what: Any) -> None:
    """Add an attribute, unless another component uses its name for something else."""
    if name not in _SHARED and holder.has_extension(name):
        default, _, getter, _ = holder.get_extension(name)
        if (default, getter) != (what.get("default"), what.get("getter")):
            raise ValueError(
                f"Another component has defined {holder.__name__}._.{name}, which medalist sets: use one of the two"
            )
    holder.set_extension(name, force=True, **what)
