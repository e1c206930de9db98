"""Free generation: what a model writes if no answers are listed, which is what the article measured.

The question is worded as in `prompt`, and the answer is the first line generated. Decoding is greedy, so results are
repeatable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..data.inventory import Inventory
from ..data.items import Item
from ..data.passages import NONE_OF_THESE
from ..data.spelling import equivalence_key
from ..models.load import LoadedModel
from ..tools.progress import tracking
from ..trees.prompt import Encoder, PromptSettings
from ..trees.tree import sequences


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The text that a model generated for one mention."""

    text: str
    """Up to the end of the line, the end of the text, or the token limit."""
    seconds: float
    """Time from the prompt to the last token; mentions are generated one at a time."""


def generate_answers(
    loaded: LoadedModel, items: Sequence[Item], prompt: PromptSettings, *, new_tokens: int, label: str
) -> Iterator[Answer | None]:
    """Generate the long form of each mention in turn; None if the mention does not fit into the model's window.

    Args:
        loaded: base or tuned model.
        items: from `data.items.make_items`.
        prompt: the wording, the same as for scoring.
        new_tokens: the maximum number of tokens in an answer.
        label: label of the progress bar.
    """
    encoder = Encoder(loaded.tokenizer, prompt, max_depth=loaded.max_depth)
    with tracking(label, len(items)) as advance:
        for item in items:
            ids = question_ids(encoder, item)
            yield None if ids is None else _generate(loaded, ids, new_tokens)
            advance()


def question_ids(encoder: Encoder, item: Item) -> list[int] | None:
    """Token ids of the passage and the question about one mention, exactly as in scoring; None if they do not fit."""
    layouts = encoder.encode(replace(item.passage, mentions=(item.mention,)), Inventory(senses={}))
    if not layouts:
        return None
    [(ids, predicted)] = sequences(layouts[0].tree)  # with no senses listed, only the null candidate is left
    return ids[:-predicted]


def _generate(loaded: LoadedModel, ids: list[int], new_tokens: int) -> Answer:
    from transformers import GenerationConfig  # slow to import

    tokenizer = loaded.tokenizer
    ends = end_tokens(loaded)
    # A single sequence is never padded; naming a padding token only stops a warning of transformers.
    settings = GenerationConfig(
        max_new_tokens=new_tokens, do_sample=False, eos_token_id=ends, pad_token_id=ends[0] if ends else None
    )

    def line_ends(written: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.tensor(["\n" in tokenizer.decode(row[-1]) for row in written], device=written.device)

    given = torch.tensor([ids], device=loaded.model.device)
    began = time.perf_counter()
    with torch.inference_mode():
        written: Any = loaded.model.generate(
            given, attention_mask=torch.ones_like(given), generation_config=settings, stopping_criteria=[line_ends]
        )
    seconds = time.perf_counter() - began
    text = tokenizer.decode(written[0, len(ids) :], skip_special_tokens=True)
    return Answer(text=text.partition("\n")[0].strip(), seconds=seconds)


def end_tokens(loaded: LoadedModel) -> list[int]:
    """The tokens that end a text or a turn: those in the model's generation settings, else the tokenizer's EOS."""
    listed = loaded.model.generation_config.eos_token_id
    if listed is None:
        listed = loaded.tokenizer.eos_token_id
    return [listed] if isinstance(listed, int) else list(listed or [])


def names_sense(text: str, long_forms: Sequence[str]) -> bool:
    """Whether an answer is one of the long forms, up to spelling, plural, hyphens, case and surrounding punctuation."""
    key = equivalence_key(text.strip(" .,;:\"'"))
    return any(key == equivalence_key(long_form) for long_form in long_forms)


def declines(text: str) -> bool:
    """Whether the answer is that none of the senses fits."""
    return names_sense(text, [NONE_OF_THESE])


def share_of_answer(text: str, long_form: str) -> float:
    """The share of the generated words that is the answer: 1 if there are no others, 0 if the answer is missing."""
    words = [equivalence_key(word) for word in text.split()]
    wanted = [equivalence_key(word) for word in long_form.split()]
    places = range(len(words) - len(wanted) + 1)
    return len(wanted) / len(words) if any(words[n : n + len(wanted)] == wanted for n in places) else 0.0


def text_nll(
    loaded: LoadedModel, texts: Sequence[str], *, most_tokens: int | None = None
) -> tuple[list[float], list[int]]:
    """Each text's summed negative log-likelihood in nats after its first token, and its number of predicted tokens.

    Args:
        loaded: base or tuned model.
        texts: non-empty texts.
        most_tokens: read only the beginning of a longer text; None: all of it.
    """
    nll, counts = [], []
    for text in texts:
        ids = torch.tensor([loaded.tokenizer(text).input_ids[:most_tokens]], device=loaded.model.device)
        with torch.inference_mode():
            logits = loaded.model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        nll.append(float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")))
        counts.append(ids.shape[1] - 1)
    return nll, counts
