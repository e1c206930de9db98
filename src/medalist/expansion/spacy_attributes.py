"""The attributes under `._` that the spaCy component adds to documents and spans, and how their values are read.

`doc._.abbreviations` and `span._.long_form` have the same meaning as in scispaCy's `AbbreviationDetector`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from spacy.tokens import Doc, Span

GROUP = "medalist"
"""Key of the short forms in `doc.spans`; also the span attribute with all their values."""


def aligned(doc: Doc, start: int, end: int) -> Span:
    """The tokens that contain the characters: "F/u" where only "F" is the short form."""
    span = doc.char_span(start, end, alignment_mode="expand")
    assert span is not None  # only offsets outside the text have no tokens
    return span


def name_of(values: dict[str, Any]) -> str:
    """A name for each of several short forms in one token, as in "ER+/PR+": spaCy stores attributes by token range."""
    return f"{values['start']}-{values['end']}"


def _found(span: Span) -> dict[str, Any] | None:
    """The values of a span's short form; if its tokens contain several, the one that the span names, or the first."""
    all_: Sequence[dict[str, Any]] = span._.get(GROUP) or ()
    return next((values for values in all_ if span.id_ == name_of(values)), all_[0] if all_ else None)


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
    start, end = (span.start_char + offset for offset in values["long_form_at"])
    if start < 0 or end > len(span.doc.text):
        return None
    defining = aligned(span.doc, start, end)
    return defining.text if span.doc._.medalist_serializable else defining


def _abbreviations(doc: Doc) -> list[Span] | list[dict[str, Any]]:
    spans = list(doc.spans.get(GROUP) or ())
    if doc._.medalist_serializable:
        return [_plain(span) for span in spans]
    return [Span(doc, span.start, span.end, span_id=span.id) for span in spans]  # no label, to equal `doc[4:5]`


def _plain(span: Span) -> dict[str, Any]:
    """ScispaCy's keys, with None for those of the long form if the text does not define it, and our own keys."""
    values = _found(span)
    assert values is not None
    long: Span | None = None
    if values["definition"] is not None:
        long = aligned(span.doc, *(span.start_char + offset for offset in values["long_form_at"]))
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
    _add(Span, GROUP, default=None)
    _add(Doc, "abbreviations", getter=_abbreviations)
    _add(Doc, "medalist_warnings", default=[])
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
