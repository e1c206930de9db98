"""The clinical test set: terse notes with marked short forms, distractors and senses that no inventory lists.

It only measures, never trains. `development` is for choices; `locked` is scored once per reported recipe. Written for
this project, CC0; `DATASHEET.md` beside this file says what it is and is not.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
NOTES = {"clinical-development": HERE / "development.jsonl", "clinical-locked": HERE / "locked.jsonl"}
"""By the name that `medalist evaluate RUN --data` takes; the inventory is the sample corpus's."""
