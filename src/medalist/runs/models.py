"""The models of a run: its base, its parent and its tuned model, each loaded on demand."""

from __future__ import annotations

from ..models.base import weights_sha256
from ..models.load import LoadedModel
from .parents import parent_of
from .run import Run, load_run_base, load_tuned


class RunModels:
    """The models of a run, loaded on demand; the last one is kept. Load the base first: the others modify it."""

    def __init__(self, run: Run) -> None:
        self._run, self._parent = run, parent_of(run)
        self._last: tuple[str, LoadedModel] | None = None
        self.weights = {"base": run.base.sha256}
        """Model -> the hash that identifies its weights, for each model that exists."""
        if self._parent is not None and self._parent.tuned is not None:
            self.weights["parent"] = weights_sha256(self._parent.tuned)
        if run.tuned is not None:
            self.weights["tuned"] = weights_sha256(run.tuned)

    def load(self, name: str) -> LoadedModel:
        """Load the model of that name; after "parent" or "tuned", "base" is loaded from disk again."""
        (last, loaded), self._last = self._last or (None, None), None
        if last != name or loaded is None:
            run = {"tuned": self._run, "parent": self._parent}.get(name)
            base = loaded if last == "base" else None
            loaded = load_run_base(self._run) if run is None else load_tuned(run, base)
        self._last = name, loaded
        return loaded
