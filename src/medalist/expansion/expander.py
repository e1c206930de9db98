"""The Expander, which finds the short forms of a text and says what each stands for in context.

Its input is never logged, stored or sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from ..data.detection import ShortFormFinder
from ..data.embedded import reader
from ..data.inventory import Inventory
from ..data.passages import Mention, Passage
from ..data.surroundings import is_ordinary_word, surroundings
from ..models.adapters import load_adapter
from ..models.base import EMBEDDED
from ..models.load import LoadedModel, load_base
from ..recipe import EvaluationSettings
from ..runs.run import load_tuned, open_run
from ..trees.decisions import CALIBRATION_FILE, Calibration, decide
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
    """The answer; None if none of the listed senses fits."""
    probability: float
    """Probability of the answer, 0 to 1; of "none of these" if there is no answer."""
    alternatives: tuple[tuple[str, float], ...]
    """All listed long forms with their probabilities, most likely first."""
    evidence: Literal["model", "abstained"]
    """Whether the model answered or abstained."""
    sure: bool
    """Whether the answer is likely enough to need no question mark; `expanded_text` inserts only such answers."""


class Expander:
    """Expands the short forms of texts with a tuned or base model.

    Args:
        loaded: the model.
        inventory: the short forms to look for and their senses.
        prompt: the wording that the model was tuned with.
        any_case: also read "copd" as "COPD".
        calibration: how scores become answers, with a prior and a separate decision on whether a mention is a short
            form at all; None: the most likely candidate, "none of these" included.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        inventory: Inventory,
        prompt: PromptSettings | None = None,
        *,
        any_case: bool = False,
        calibration: Calibration | None = None,
    ) -> None:
        self._loaded, self._inventory, self._calibration = loaded, inventory, calibration
        self._finder = ShortFormFinder(inventory, any_case=any_case)
        self._encoder = Encoder(loaded.tokenizer, prompt or PromptSettings(), max_depth=loaded.max_depth)

    @classmethod
    def load(cls, run: str | Path | None = None, *, any_case: bool | None = None) -> Expander:
        """Load the tuned model of a run with its inventory and wording, or the reader that comes with the package.

        Args:
            run: folder of a run; None: the reader.
            any_case: also read "copd" as "COPD"; None: yes for the reader, no for a run.

        Raises:
            FileNotFoundError: it is not a run, or its training has not finished.
            ValueError: it was trained on choice questions.
            ModelError: the embedded base model, which the reader needs, is not installed.
        """
        if run is None:
            return cls._reader(any_case=any_case is not False)
        opened = open_run(Path(run))
        if not opened.inventory.senses:
            raise ValueError(f"{run} was trained on choice questions, so it lists no short forms to expand")
        return cls(
            load_tuned(opened),
            opened.inventory,
            opened.recipe.prompt,
            any_case=bool(any_case),
            calibration=opened.calibration,
        )

    @classmethod
    def _reader(cls, *, any_case: bool) -> Expander:
        base = load_adapter(load_base(EMBEDDED), reader.ADAPTER)
        return cls(
            base,
            reader.inventory(),
            PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES),
            any_case=any_case,
            calibration=Calibration.read(reader.HERE / CALIBRATION_FILE),
        )

    def __call__(self, text: str) -> list[Expansion]:
        """Expand one text; the expansions are in text order."""
        return self.expand([text])[0]

    def expand(self, texts: Sequence[str]) -> list[list[Expansion]]:
        """Expand several texts, in larger batches on a GPU; the result for a text does not depend on the others."""
        passages = [Passage(id=str(n), text=text, mentions=self._mentions(text)) for n, text in enumerate(texts)]
        layouts = [layout for passage in passages for layout in self._encoder.encode(passage, self._inventory)]
        expanded: list[list[Expansion]] = [[] for _ in texts]
        scored = score_layouts(
            self._loaded.model,
            layouts,
            attention=self._loaded.attention,
            max_nodes=EvaluationSettings().max_nodes,
        )
        for layout, scores in scored:
            passage = passages[int(layout.text_id)]
            for number, values in zip(layout.mentions, scores, strict=True):
                expanded[int(layout.text_id)].append(self._expansion(passage, number, values))
        return [sorted(expansions, key=lambda expansion: expansion.start) for expansions in expanded]

    def _mentions(self, text: str) -> tuple[Mention, ...]:
        """Find the short forms of a text; a calibrated expander skips ordinary words in lower case."""
        found = self._finder.find(text)
        return found if self._calibration is None else tuple(m for m in found if not is_ordinary_word(text, m))

    def _expansion(self, passage: Passage, number: int, scores: Tensor) -> Expansion:
        """Answer one mention from its scores ``[candidates]``, where the null candidate comes last."""
        mention, calibration = passage.mentions[number], self._calibration
        listed = self._inventory.long_forms(mention.short_form)
        if calibration is None:
            *senses, null = probabilities(scores).tolist()
            least, offered = null, 0.0
        else:
            log_priors = self._inventory.log_priors(mention.short_form)
            decision = decide(scores, log_priors, surroundings(passage.text, mention), calibration)
            senses, null = [decision.short_form * share for share in decision.senses], 1 - decision.short_form
            least, offered = (
                0.0 if decision.short_form >= calibration.short_form_from else 1.0,
                calibration.offered_from,
            )
        ranked = sorted(zip(listed, senses, strict=True), key=lambda pair: -pair[1])
        answered = bool(ranked) and ranked[0][1] > least
        return Expansion(
            start=mention.start,
            end=mention.end,
            short_form=mention.short_form,
            long_form=ranked[0][0] if answered else None,
            probability=ranked[0][1] if answered else null,
            alternatives=tuple(ranked),
            evidence="model" if answered else "abstained",
            sure=answered and ranked[0][1] >= offered,
        )


def expanded_text(text: str, expansions: Sequence[Expansion]) -> str:
    """Replace each short form of a text by its long form where that is sure; leave the others unchanged."""
    pieces, at = [], 0
    for expansion in expansions:
        if expansion.long_form is not None and expansion.sure:
            pieces += [text[at : expansion.start], expansion.long_form]
            at = expansion.end
    return "".join([*pieces, text[at:]])
