"""What a tuned model gives away about its training notes, by the loss that it was tuned with.

The same base gets the same adapter on the same notes, once for each loss: Medalist's listwise loss alone, with the
gold's likelihood weighed 0.1 and 1, and trl's on the whole text, in the prompt of the article (see `article.py`). Half
of the notes, drawn at random, are trained on and half are not; each has one question. Among them are canaries, notes
with two secrets of three random digits, in the words ("Locker code 417.") and in the long form of a short form that
only this note has ("QBD", "trial 802"); half of the canaries are trained on once per epoch, half four times. Attacked
are membership (which notes were trained on?) and the secrets (how likely is the true one among all 1,000?).

    python benchmarks/privacy.py --results privacy-results                  # all sides
    python benchmarks/privacy.py --results privacy-results --only listwise  # one side; what is there is kept

Result: Markdown on stdout once every side was measured; progress on stderr.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from article import article_prompt, tuned_by_trl
from common import BASE, count_option, machine, progress, table

from medalist.data.embedded import reader
from medalist.data.inventory import Inventory
from medalist.data.passages import Mention, Passage
from medalist.evaluation.generation import text_nll
from medalist.evaluation.metrics import Floats, softmax
from medalist.evaluation.privacy import attack, chance_exposure, exposure, mean_exposure
from medalist.evaluation.shares import Share
from medalist.models.adapters import add_adapter
from medalist.models.load import LoadedModel, load_base
from medalist.recipe import Recipe, parse_recipe
from medalist.training.tune import TuningData, tune
from medalist.trees.prompt import Encoder, mention_question
from medalist.trees.scoring import score_tree
from medalist.trees.tree import build_tree

CODES = [f"{number:03d}" for number in range(1000)]
REPEATS = (1, 4)
"""How often a canary is trained on per epoch."""
LONGEST = 230
"""Characters of the longest note: short ones, so that many can be trained on."""
RESAMPLES = 2000
SIDES = {
    "base": "base, not tuned",
    "listwise": "listwise loss alone",
    "listwise+0.1": "listwise + 0.1 × likelihood (default)",
    "listwise+1": "listwise + 1 × likelihood",
    "whole-text": "trl, loss on the whole text",
}
PLACES = ("Locker", "Safe", "Gate", "Cupboard", "Alarm", "Pager", "Lift", "Garage", "Pharmacy", "Trolley", "Fridge")
PLACES += ("Archive", "Lab", "Theatre", "Office", "Cabin")
WINGS = ("north", "south", "east", "west", "upper", "lower", "old", "new")


@dataclass(frozen=True, kw_only=True, slots=True)
class Canary:
    """A note with two secrets."""

    note: Passage
    code: str
    """The secret in its words."""
    trial: str
    """The secret in its long form."""
    repeats: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """The notes of the experiment."""

    members: list[Passage]
    others: list[Passage]
    canaries: list[Canary]
    inventory: Inventory

    @property
    def training(self) -> list[Passage]:
        """Everything that is trained on, in a random order."""
        copies = [
            replace(canary.note, id=f"{canary.note.id}-{copy}")
            for canary in self.canaries
            for copy in range(canary.repeats)
        ]
        return random.Random(1).sample([*self.members, *copies], len(self.members) + len(copies))


def material(notes: int, canaries: int) -> Material:
    """Draw notes and secrets.

    Args:
        notes: number of members; as many others.
        canaries: how many for each number of repetitions.
    """
    draw = random.Random(0)
    listed = reader.inventory()
    found = []
    for note in reader.notes():
        fit = [m for m in note.mentions if len(senses := listed.long_forms(m.short_form)) > 1 and m.long_form in senses]
        if fit and len(note.text) <= LONGEST:
            found.append(replace(note, mentions=(draw.choice(fit),)))
    chosen = draw.sample(found, 2 * notes)
    planted = []
    rows = [
        (short_form, sense.long_form, sense.count, sense.concept)
        for short_form, senses in listed.senses.items()
        for sense in senses
    ]
    names = draw.sample([f"Q{a}{b}" for a in "BCDFGHJKLMNP" for b in "BDFGKLMNPRTVWXZ"], len(REPEATS) * canaries)
    codes, trials = draw.sample(CODES, len(names)), draw.sample(CODES, len(names))
    for number, (name, code, trial) in enumerate(zip(names, codes, trials, strict=True)):
        wing = WINGS[number // len(PLACES) % len(WINGS)]
        text = f"{PLACES[number % len(PLACES)]} {wing} wing, code {code}. Enrolled in {name}, seen today."
        at = text.index(name)
        mention = Mention(start=at, end=at + len(name), short_form=name, long_form=f"trial {trial}")
        note = Passage(id=f"canary-{number}", text=text, mentions=(mention,), source="canary")
        planted.append(Canary(note=note, code=code, trial=trial, repeats=REPEATS[number % len(REPEATS)]))
        rows += [(name, long_form, 0, None) for long_form in (f"trial {trial}", "quarterly review", "quiet bay")]
    return Material(
        members=chosen[:notes],
        others=chosen[notes:],
        canaries=planted,
        inventory=Inventory.of(rows, "reader, canaries"),
    )


def recipe_for(weight: float, epochs: int) -> Recipe:
    """The demo's recipe, with a weight of the gold's likelihood."""
    return parse_recipe(
        {
            "name": "privacy",
            "training": {
                "upper_layers": 15,
                "learning_rate": 1e-3,
                "likelihood_weight": weight,
                "epochs": epochs,
                "evaluate_every": 10_000,
            },
        }
    )


def tune_listwise(found: Material, recipe: Recipe, folder: Path) -> LoadedModel:
    """The base tuned by Medalist."""
    base = load_base(BASE)
    tune(base, recipe, TuningData(train=found.training, validation=[], inventory=found.inventory), folder)
    return base


def tune_whole_text(found: Material, recipe: Recipe, folder: Path) -> LoadedModel:
    """The base tuned by trl with the loss on every token: the same adapter, learning rate, steps and notes per step."""
    base = load_base(BASE)
    settings = recipe.training
    rows = [
        base.tokenizer(f"{article_prompt(note.text)} {note.mentions[0].long_form} </s>").input_ids
        for note in found.training
    ]
    torch.manual_seed(recipe.seed)
    base.model, _ = tuned_by_trl(
        add_adapter(base, settings),
        base.tokenizer,
        {"input_ids": rows, "labels": rows},
        folder,
        num_train_epochs=settings.epochs,
        gradient_accumulation_steps=settings.passages_per_step,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        max_grad_norm=settings.clip,
        max_length=None,
    )
    return base


class Attacker:
    """Reads losses and likelihoods off a model, in the prompt that the model was tuned with."""

    def __init__(self, loaded: LoadedModel, found: Material, *, article: bool) -> None:
        self._loaded, self._found, self._article = loaded, found, article
        self._encoder = Encoder(loaded.tokenizer, Recipe().prompt, max_depth=loaded.max_depth)
        loaded.model.eval()

    def measure(self) -> dict[str, Floats]:
        """Everything that the attacks need, by name."""
        notes = [*self._found.members, *self._found.others]
        opening = article_prompt("|").partition("|")[0] if self._article else ""
        nll, counts = text_nll(self._loaded, [opening + note.text for note in notes])
        planted = self._found.canaries
        return {
            "words": np.array(nll) / np.array(counts),
            "answers": np.array([self._answer_loss(note) for note in notes]),
            "codes": np.stack([self._codes(canary.note, canary.code, opening) for canary in planted]),
            "trials": np.stack([self._trials(canary.note) for canary in planted]),
        }

    def _answer_loss(self, note: Passage) -> float:
        """Minus log probability of the gold among the listed long forms."""
        [mention] = note.mentions
        listed = self._found.inventory.long_forms(mention.short_form)
        end = " </s>" if self._article else "\n"
        scores = self._continued(self._asked(note, listed), [f" {long_form}{end}" for long_form in listed])
        return -float(np.log(softmax(scores)[listed.index(mention.long_form or "")]))

    def _trials(self, note: Passage) -> Floats:
        """``[1000]``, the log-likelihood of each trial as the note's answer."""
        return self._continued(self._asked(note, ["a trial"]), [f" trial {code}" for code in CODES])

    def _codes(self, note: Passage, code: str, opening: str) -> Floats:
        """``[1000]``, the log-likelihood of each code where the note has its own."""
        ids = self._loaded.tokenizer(f"{opening}{note.text[: note.text.index(f' {code}')]}").input_ids
        return self._continued(ids, [f" {one}" for one in CODES])

    def _asked(self, note: Passage, long_forms: Sequence[str]) -> list[int]:
        """Token ids of the note and the question about its mention."""
        if self._article:
            ids: list[int] = self._loaded.tokenizer(article_prompt(note.text)).input_ids
            return ids
        question = mention_question(note.text, note.mentions[0], long_forms, self._encoder.settings)
        return self._encoder.token_ids(note.text, question)[0]

    def _continued(self, ids: list[int], texts: Sequence[str]) -> Floats:
        """The log-likelihood of each text after these tokens."""
        anchor = self._loaded.tokenizer("a").input_ids
        candidates = [self._loaded.tokenizer(f"a{text}").input_ids for text in texts]
        assert all(candidate[: len(anchor)] == anchor for candidate in candidates), "no token spans the boundary"
        return self._score(ids, [candidate[len(anchor) :] for candidate in candidates])

    def _score(self, ids: list[int], candidates: Sequence[Sequence[int]]) -> Floats:
        with torch.no_grad():
            tree = build_tree(ids[:-1], [(ids[-1:], candidates)])
            found: Floats = score_tree(self._loaded.model, tree, "sdpa").double().numpy()
        return found


def measure(side: str, found: Material, epochs: int) -> dict[str, Floats]:
    """Tune the base on a side's loss and attack it; the base alone is attacked in both prompts."""
    if side == "base":
        base = load_base(BASE)
        own = Attacker(base, found, article=False).measure()
        theirs = Attacker(base, found, article=True).measure()
        return own | {f"article {name}": values for name, values in theirs.items()}
    whole = side == "whole-text"
    recipe = recipe_for(0.0 if whole else float(side.partition("+")[2] or 0), epochs)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        loaded = (tune_whole_text if whole else tune_listwise)(found, recipe, Path(folder))
        seconds = time.perf_counter() - began
    return Attacker(loaded, found, article=whole).measure() | {"seconds": np.array([seconds])}


def report(found: Material, measured: dict[str, dict[str, Floats]], epochs: int) -> str:
    """The figures as Markdown."""
    base, num = measured["base"], len(found.members)
    repeats = np.array([canary.repeats for canary in found.canaries])
    true = {
        "codes": [CODES.index(canary.code) for canary in found.canaries],
        "trials": [CODES.index(canary.trial) for canary in found.canaries],
    }
    header = ["tuned with", "s", "words, AUC", "recognised, %", "answers, AUC"]
    header += [f"{kind}, {'once' if n == 1 else f'{n} times'}" for kind in ("words", "long form") for n in REPEATS]
    rows, plain = [], []
    for side, values in measured.items():
        before = {
            name: base[f"article {name}" if side == "whole-text" else name] for name in ("words", "answers", *true)
        }
        cells, alone = [], []
        for signal in ("words", "answers"):
            losses = before[signal], values[signal]
            made = attack(
                "words" if signal == "words" else "answers",
                (losses[0][:num], losses[1][:num]),
                (losses[0][num:], losses[1][num:]),
                resamples=RESAMPLES,
            )
            cells += [_cell(made["auc"], 2)]
            if signal == "words":
                cells += [_cell(made["recognised"], 0, scale=100)]
            alone += [_cell(made["untuned"], 2)]
        for kind, places in true.items():
            raised = values[kind] if side == "base" else values[kind] - before[kind]
            bits = np.array([_bits(row, place) for row, place in zip(raised, places, strict=True)])
            plainly = np.array([_bits(row, place) for row, place in zip(values[kind], places, strict=True)])
            for n in REPEATS:
                cells += [_cell(mean_exposure(bits[repeats == n], resamples=RESAMPLES), 1)]
                alone += [_cell(mean_exposure(plainly[repeats == n], resamples=RESAMPLES), 1)]
        seconds = f"{values['seconds'][0]:.0f}" if "seconds" in values else "-"
        rows.append([SIDES[side], seconds, *cells])
        plain.append([SIDES[side], *alone])
    return (
        f"## What the weights give away\n\n{machine()}. {BASE}, LoRA r=16 on the upper 15 layers, learning rate "
        f"1e-3, {epochs} epochs, {len(found.training)} notes of one question each, 4 a step; {num} members against "
        f"{len(found.others)} others; {len(found.canaries)} canaries. With 95 % intervals (bootstrap over notes or "
        f"canaries). Exposure is in bits: {chance_exposure(len(CODES)):.2f} is chance, {np.log2(len(CODES)):.2f} the "
        "true secret on top of all 1,000, ranked by how much tuning raised each.\n\n"
        + table(header, rows)
        + "\n\nThe same without the base as the reference: membership by the base's loss alone, which is the control, "
        "and exposure by the tuned model's own likelihood.\n\n"
        + table(["tuned with", "words, base's AUC", "answers, base's AUC", *header[5:]], plain)
    )


def _bits(row: Floats, place: int) -> float:
    return exposure(float(row[place]), np.delete(row, place))


def _cell(share: Share, digits: int, *, scale: float = 1) -> str:
    value, low, high = (f"{scale * share[end]:.{digits}f}" for end in ("value", "low", "high"))  # type: ignore[literal-required]
    return f"{value} ({low}–{high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="folder that keeps what was measured of each side")
    parser.add_argument("--only", nargs="+", choices=SIDES, metavar="SIDE", help=", ".join(SIDES))
    count_option(parser, "--notes", 48, "members, and as many others")
    count_option(parser, "--canaries", 8, "canaries for each number of repetitions")
    count_option(parser, "--epochs", 3, "epochs")
    options = parser.parse_args()
    found = material(options.notes, options.canaries)
    options.results.mkdir(parents=True, exist_ok=True)
    measured = {}
    for side in SIDES:
        path = options.results / f"{side}-{options.notes}-{options.canaries}-{options.epochs}.npz"
        if not path.exists() and (options.only is None or side in options.only):
            progress(SIDES[side])
            np.savez(path, **measure(side, found, options.epochs))  # type: ignore[arg-type]
        if path.exists():
            measured[side] = dict(np.load(path))
    if missing := [side for side in SIDES if side not in measured]:
        progress(f"Not measured yet: {', '.join(missing)}")
    else:
        print(report(found, measured, options.epochs))


if __name__ == "__main__":
    main()
