"""Attacks a run's tuned model: does it reveal which texts it was tuned on? No model is trained for the attack.

The attacker has the base, the tuned model and candidate texts, and compares both models' losses on each. That is more
access than a stranger has; other attacks may still succeed where this one fails.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..data.inventory import Inventory
from ..data.passages import fingerprint
from ..data.quizzes import Quiz, Text
from ..data.sources.choices import is_choices, read_choices
from ..data.splits import shared_passages
from ..evaluation.generation import text_nll
from ..evaluation.metrics import Floats
from ..evaluation.privacy import PRIVACY_FILE, SIGNALS, Attack, Privacy, PrivacyBasis, Signal, attack, read_privacy
from ..models.base import weights_sha256
from ..models.load import LoadedModel
from ..tools.files import check_kept
from ..tools.progress import say, tracking
from ..tools.shapes import write_object
from ..trees.prompt import Encoder
from ..trees.scoring import score_layouts
from .card import write_card
from .held_out import read_marked
from .models import RunModels
from .parents import all_training_passages
from .run import Run, use_threads

Losses = dict[str, Floats]
"""Signal -> ``[texts]`` mean loss of each text in nats, per token or per question; NaN if a text has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compared:
    members: Sequence[Text]
    others: Sequence[Text]
    source: str


def check_privacy(
    run: Run, *, members: Path | str | None = None, others: Path | str | None = None, texts: int = 200
) -> tuple[Privacy, Path]:
    """Attack a run's tuned model with the base as the reference.

    Args:
        run: a run whose training has finished.
        members: a file with texts that the run was trained on; None: its own training split.
        others: a file with similar texts that it was not trained on; None: its own validation and test splits. Texts
            that were trained on are left out, as far as the run's data still exists.
        texts: the maximum number of members, and of others; they are drawn at random.

    Returns:
        The content of `privacy.json`, and its path in the run's folder `evaluation`. An existing result for the same
        models and texts is reused.

    Raises:
        FileNotFoundError: training has not finished.
        ValueError: there are no members or no others.
    """
    tuned = run.trained_to_end()
    use_threads(run.recipe)
    path = run.folder / "evaluation" / PRIVACY_FILE
    check_kept(path.parent, "the result is")
    compared = _compared(run, Path(members) if members else None, Path(others) if others else None, texts)
    drawn = [*compared.members, *compared.others]
    made_of: PrivacyBasis = {
        "base": run.base.sha256,
        "tuned": weights_sha256(tuned),
        "texts": fingerprint(drawn),
        "members": len(compared.members),
        "resamples": run.recipe.evaluation.bootstrap,
    }
    known = read_privacy(path.parent)
    if known is not None and made_of.items() <= known.items():
        return known, path
    models = RunModels(run)
    losses = {name: _losses(models.load(name), run, drawn, name) for name in ("base", "tuned")}
    attacks = (_attack(signal, losses, len(compared.members), made_of["resamples"]) for signal in SIGNALS)
    found: Privacy = {
        **made_of,
        "others": len(compared.others),
        "trained_on": times_trained_on(run),
        "source": compared.source,
        "attacks": [one for one in attacks if one is not None],
    }
    path.parent.mkdir(exist_ok=True)
    write_object(path, found)
    write_card(run)
    return found, path


def times_trained_on(run: Run) -> float | None:
    """How often training saw each text on average, up to the saved checkpoint; None if unknown."""
    counts = run.record.get("training")
    if counts is None:
        return None
    kept = counts.get("best_checkpoint")
    steps = int(kept.rpartition("-")[2]) if kept else counts["steps"]
    return float(steps * run.recipe.training.passages_per_step / counts["passages"])


def _compared(run: Run, members: Path | None, others: Path | None, limit: int) -> _Compared:
    """Draw members and others: only texts with an answerable question, since training uses no others."""
    prepared = run.prepared()
    if prepared is None and (members is None or others is None):
        raise ValueError(
            f"The data of {run.folder} is gone, so name it: --members FILE (trained on) and --others FILE (not)"
        )
    inside: Sequence[Text]
    outside: Sequence[Text]
    inside = _read(members, run.inventory) if members else prepared.texts("train") if prepared else ()
    if others:
        outside = _read(others, run.inventory)
    else:
        assert prepared is not None, "checked above"
        # If senses are held out, the test split marks only those, so its answers are of another kind.
        outside = list(prepared.texts("validation"))
        if run.recipe.data.hold_out == "nothing":
            outside += prepared.texts("test")
    known = shared_passages([*inside, *(all_training_passages(run) or ())], outside)
    drawn = {
        "members": _drawn(inside, run, limit),
        "others": _drawn([text for text in outside if text.id not in known], run, limit),
    }
    if known and others:
        say(f"{len(known):,} texts of {others.name} were trained on, or share their id, and are left out")
    for what, found in drawn.items():
        if not found:
            raise ValueError(
                f"There are no {what} to compare: none of the texts has a question that the model can be asked. "
                f"Name a file with --{what}"
            )
    origins = [members.name if members else "training split"]
    origins += [others.name if others else "validation and test splits"]
    return _Compared(**drawn, source=" against ".join(origins))


def _read(path: Path, inventory: Inventory) -> Sequence[Text]:
    return read_choices(path) if is_choices(path) else read_marked(path, inventory)[0]


def _drawn(texts: Sequence[Text], run: Run, limit: int) -> Sequence[Text]:
    """At most `limit` of the texts that have a question with a listed answer."""
    asked = [text for text in texts if _has_question(text, run.inventory)]
    return random.Random(run.recipe.seed).sample(asked, min(limit, len(asked)))


def _has_question(text: Text, inventory: Inventory) -> bool:
    if isinstance(text, Quiz):
        return True
    return any(mention.long_form in inventory.long_forms(mention.short_form) for mention in text.mentions)


def _losses(loaded: LoadedModel, run: Run, texts: Sequence[Text], name: str) -> Losses:
    """A model's loss on the beginning of each text, and on the answers to its questions."""
    prompt = run.recipe.prompt
    loaded.model.eval()
    words, sums, counts = np.full(len(texts), np.nan), np.zeros(len(texts)), np.zeros(len(texts))
    with tracking(f"Reading the texts, {name}", len(texts)) as advance:
        for number, text in enumerate(texts):
            if text.text:  # choice questions may come without one
                [nll], [tokens] = text_nll(loaded, [text.text], most_tokens=prompt.window)
                words[number] = nll / tokens if tokens else np.nan
            advance()
    encoder = Encoder(loaded.tokenizer, prompt, max_depth=loaded.max_depth)
    with tracking(f"Answering, {name}", sum(text.num_questions for text in texts)) as advance:
        # Members and others may have the same ids if they come from different sources, so the texts are numbered.
        numbered = (replace(text, id=str(number)) for number, text in enumerate(texts))
        layouts = (layout for text in numbered for layout in encoder.encode(text, run.inventory))
        scored = score_layouts(
            loaded.model,
            layouts,
            attention=loaded.attention,
            max_nodes=run.recipe.evaluation.max_nodes,
            progress=advance,
        )
        for layout, scores in scored:
            for question, values in zip(layout.questions, scores, strict=True):
                if question.gold is not None and len(values) > 1:
                    sums[int(layout.text_id)] -= float(values.double().log_softmax(0)[question.gold])
                    counts[int(layout.text_id)] += 1
    answers = np.divide(sums, counts, out=np.full(len(texts), np.nan), where=counts > 0)
    return {"words": words, "answers": answers}


def _attack(signal: Signal, losses: dict[str, Losses], members: int, resamples: int) -> Attack | None:
    """An attack on the texts for which both models have a loss; None if there are no members or no others."""
    base, tuned = losses["base"][signal], losses["tuned"][signal]
    known = ~np.isnan(base) & ~np.isnan(tuned)
    inside = np.arange(len(base)) < members
    if not (known & inside).any() or not (known & ~inside).any():
        return None
    parts = [(base[known & part], tuned[known & part]) for part in (inside, ~inside)]
    return attack(signal, parts[0], parts[1], resamples=resamples)
