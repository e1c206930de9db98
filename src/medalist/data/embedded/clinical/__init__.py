"""The clinical test set: terse notes with marked short forms, distractors and senses that no inventory lists.

It is for evaluation only, never for training. `development` is for making choices; `locked` is scored once per reported
recipe. Written for this project, CC0; see `DATASHEET.md` in this folder for what it is and is not.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
NOTES = {"clinical-development": HERE / "development.jsonl", "clinical-locked": HERE / "locked.jsonl"}
"""Files by the name given to `medalist evaluate RUN --data`; the inventory is that of the sample corpus."""
