"""The Expander: finds the short forms of a text and says what each stands for there.

Nothing given to it is logged, stored or sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..data.detection import ShortFormFinder
from ..data.inventory import Inventory
from ..data.passages import Passage
from ..models.load import LoadedModel
from ..recipe import EvaluationSettings
from ..runs.run import load_tuned, open_run
from ..trees.prompt import Encoder, PromptSettings
from ..trees.scoring import probabilities, score_layouts


@dataclass(frozen=True, kw_only=True, slots=True)
class Expansion:
    """What one short form of a text stands for."""

    start: int
    end: int
    """Character offsets into the text."""
    short_form: str
    """The inventory's key."""
    long_form: str | None
    """The answer; None where none of the listed senses fits."""
    probability: float
    """Of that answer, 0 to 1; of "none of these" where there is none."""
    alternatives: tuple[tuple[str, float], ...]
    """All listed long forms with their probabilities, likeliest first."""
    evidence: Literal["model", "abstained"]
    """Where the answer comes from."""


class Expander:
    """Expands the short forms of texts with a tuned (or bare) model.

    Args:
        loaded: the model.
        inventory: short forms to look for and their senses.
        prompt: the wording that the model was tuned with.
        any_case: also take "copd" for "COPD".
    """

    def __init__(
        self,
        loaded: LoadedModel,
        inventory: Inventory,
        prompt: PromptSettings | None = None,
        *,
        any_case: bool = False,
    ) -> None:
        self._loaded, self._inventory = loaded, inventory
        self._finder = ShortFormFinder(inventory, any_case=any_case)
        self._encoder = Encoder(loaded.tokenizer, prompt or PromptSettings(), max_depth=loaded.max_depth)

    @classmethod
    def load(cls, run: str | Path, *, any_case: bool = False) -> Expander:
        """The tuned model of a run with its inventory and wording.

        Raises:
            FileNotFoundError: it is no run, or not trained to its end.
            ValueError: it was trained on choice questions.
        """
        opened = open_run(Path(run))
        if not opened.inventory.senses:
            raise ValueError(f"{run} was trained on choice questions, so it lists no short forms to expand")
        return cls(load_tuned(opened), opened.inventory, opened.recipe.prompt, any_case=any_case)

    def __call__(self, text: str) -> list[Expansion]:
        """Expand one text; the result is in the order of the text."""
        return self.expand([text])[0]

    def expand(self, texts: Sequence[str]) -> list[list[Expansion]]:
        """Expand several texts, more per forward pass on a GPU; the result does not depend on the company."""
        passages = [Passage(id=str(n), text=text, mentions=self._finder.find(text)) for n, text in enumerate(texts)]
        layouts = [layout for passage in passages for layout in self._encoder.encode(passage, self._inventory)]
        found: list[list[Expansion]] = [[] for _ in texts]
        scored = score_layouts(
            self._loaded.model,
            layouts,
            attention=self._loaded.attention,
            max_nodes=EvaluationSettings().max_nodes,
        )
        for layout, scores in scored:
            passage = passages[int(layout.text_id)]
            for number, values in zip(layout.mentions, scores, strict=True):
                mention = passage.mentions[number]
                *listed, null = probabilities(values).tolist()
                ranked = sorted(
                    zip(self._inventory.long_forms(mention.short_form), listed, strict=True),
                    key=lambda pair: -pair[1],
                )
                answered = bool(ranked) and ranked[0][1] > null
                found[int(layout.text_id)].append(
                    Expansion(
                        start=mention.start,
                        end=mention.end,
                        short_form=mention.short_form,
                        long_form=ranked[0][0] if answered else None,
                        probability=ranked[0][1] if answered else null,
                        alternatives=tuple(ranked),
                        evidence="model" if answered else "abstained",
                    )
                )
        return [sorted(expansions, key=lambda expansion: expansion.start) for expansions in found]


def expanded_text(text: str, expansions: Sequence[Expansion]) -> str:
    """The text with each answered short form replaced by its long form; the others stay as they are."""
    pieces, at = [], 0
    for expansion in expansions:
        if expansion.long_form is not None:
            pieces += [text[at : expansion.start], expansion.long_form]
            at = expansion.end
    return "".join([*pieces, text[at:]])
