"""The JSON of requests and responses, and the limits on a request; `docs/serve.md` describes it for users."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, StrictStr, model_validator
from pydantic.json_schema import SkipJsonSchema

from ..expansion.options import Unsure
from ..expansion.results import Evidence, ExpandedText


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits on one request, and on all of them together."""

    characters: int = 100_000
    """Maximum number of characters in all texts of a request."""
    texts: int = 256
    """Maximum number of texts in a request."""
    waiting: int = 128
    """Maximum number of requests waiting for the model."""
    waiting_characters: int = 1_000_000
    """Maximum number of characters in all waiting texts; if none are waiting, a request is always accepted."""
    pass_characters: int = 20_000
    """Maximum number of characters that the model reads in one pass; a larger request is a pass of its own."""
    open_requests: int = 256
    """Maximum number of requests being received, waiting or being answered at once."""
    seconds_to_ask: float = 10.0
    """Seconds that a connected client has to send the first lines of a request."""
    seconds_to_send: float = 30.0
    """Seconds that it has to send the body, and that it may pause in receiving its answer."""

    def __post_init__(self) -> None:
        if self.characters < 1:
            raise ValueError(f"A request may hold {self.characters:,} characters; it must be at least 1")
        if self.waiting < 1:
            raise ValueError(f"{self.waiting:,} requests may wait; it must be at least 1")

    @property
    def body(self) -> int:
        r"""Maximum bytes of a body: JSON takes up to 12 per character ("\ud83e\udec0"), and 4 around each text."""
        return 12 * self.characters + 4 * self.texts + 4096


_MOST_FIELDS = 20


class ExpandRequest(BaseModel):
    """Either `text` or `texts`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["texts"]}]}
    )

    text: Annotated[StrictStr, Field(description="One text.")] = ""
    texts: Annotated[list[StrictStr], FailFast(), Field(description="Several texts.")] = []
    replace: Annotated[
        Unsure | None,
        Field(
            description="Also return each text with its short forms replaced where the answer is sure; mark the other "
            "answers, or leave the short forms alone."
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, body: object) -> object:
        """Limit the fields: each unknown one would become an error of its own, and a body may have 100,000."""
        if isinstance(body, dict) and len(body) > _MOST_FIELDS:
            raise ValueError("Too many fields")
        return body

    @model_validator(mode="after")
    def _one_of_both(self) -> ExpandRequest:
        if ("text" in self.model_fields_set) == ("texts" in self.model_fields_set):
            raise ValueError("Give either text or texts")
        return self

    def all_texts(self) -> list[str]:
        """The texts, one or many."""
        return [self.text] if "text" in self.model_fields_set else self.texts


class Alternative(BaseModel):
    """A listed long form with its probability."""

    long_form: str
    probability: float


class Warned(BaseModel):
    """A notation that a safety body advises against."""

    start: int
    end: int
    notation: str
    means: str
    why: str
    instead: str
    source: str


class Expanded(BaseModel):
    """What one short form stands for; offsets count Unicode code points of the text as sent."""

    start: int
    end: int
    short_form: Annotated[str, Field(description="As it stands in the text.")]
    key: Annotated[str, Field(description="As the inventory, the glossary or the definition writes it.")]
    long_form: str | None
    probability: float
    alternatives: list[Alternative]
    evidence: Evidence
    sure: bool
    definition: Annotated[list[int] | None, Field(min_length=2, max_length=2)]
    warning: Warned | None


class Result(BaseModel):
    """The expansions and warnings for one text."""

    expansions: list[Expanded]
    warnings: list[Warned]
    replaced: Annotated[str | SkipJsonSchema[None], Field(description="If `replace` was given.")] = None


class ExpandAnswer(BaseModel):
    """One result per text, in order."""

    results: list[Result]


class ListedSense(BaseModel):
    """A sense of the inventory or glossary."""

    long_form: str
    count: Annotated[
        int, Field(description="How often it was seen in the inventory's source; 0 if that has no counts.")
    ]
    concept: Annotated[str | None, Field(description="A UMLS, SNOMED CT or MeSH id.")]


class InventoryAnswer(BaseModel):
    """The senses offered for a short form, most frequent first."""

    short_form: Annotated[str, Field(description="As the inventory writes it.")]
    senses: list[ListedSense]


class Status(BaseModel):
    """The state of the server."""

    status: Literal["ok", "draining", "failed"]


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class WrongPart(BaseModel):
    """What is wrong with a part of a body, without quoting it."""

    loc: list[str | int]
    msg: str
    type: str


class WrongBody(BaseModel):
    """What is wrong with a body."""

    detail: list[WrongPart]


def answer_json(expanded: list[ExpandedText], replace: Unsure | None) -> bytes:
    """The body of an `ExpandAnswer`; in ASCII, since a lone surrogate, which JSON allows, has no UTF-8 encoding."""
    results = [
        one.to_dict() if replace is None else one.to_dict() | {"replaced": one.replaced(unsure=replace)}
        for one in expanded
    ]
    return json.dumps({"results": results}, separators=(",", ":")).encode("ascii")
