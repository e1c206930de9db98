"""The clinical test sets: notes with marked short forms, look-alikes and senses that no inventory lists.

They are for evaluation only, never for training. `development` is for making choices; `locked` is scored once per
reported recipe. `blind` was written without sight of any inventory and may be used for choices, as may `look-alikes`,
which has many of them; `ordinary` was written like `blind` and is locked. Written for this project, CC0; see
`DATASHEET.md` in this folder for what they are and are not.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
HALVES = ("clinical-development", "clinical-locked")
"""The two halves of one set of notes."""
LOCKED = ("clinical-locked", "clinical-ordinary")
"""Sets that are never used to choose anything."""
NAMES = (*HALVES, "clinical-blind", "clinical-look-alikes", "clinical-ordinary")
NOTES = {name: HERE / f"{name.removeprefix('clinical-')}.jsonl" for name in NAMES}
"""Set name, as given to `medalist evaluate RUN --data` -> file; the inventory is that of the sample corpus."""
