"""How many short forms of the clinical notes the expander finds, and for how many the inventory lists the true sense.

    python benchmarks/found.py --data clinical-development --missing

No model runs. A mention is found if the expander gives it a place and its short form is listed; its sense is listed
if a listed one is the same but for spelling, number or an equivalent wording. Look-alikes do not count. `--missing`
names what is not.
"""

from __future__ import annotations

import argparse
import json

from medalist.data.embedded import reader
from medalist.data.embedded.clinical import NOTES
from medalist.data.inventory import Inventory
from medalist.data.spelling import equivalence_key
from medalist.expansion.evidence import Lexicon


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=sorted(NOTES), default="clinical-development")
    parser.add_argument("--missing", action="store_true", help="also print each short form and sense that is missing")
    options = parser.parse_args()
    inventory, wordings = reader.inventory(), reader.equivalents()
    lexicon = Lexicon(inventory, Inventory(senses={}, origin=""), any_case=True, skip_words=True)
    true, missing, unlisted = 0, [], []
    for line in NOTES[options.data].read_text().splitlines():
        note = json.loads(line)
        places = {one.start: one.mention.short_form for one in lexicon.find(note["text"])}
        for mention in note["mentions"]:
            surface, sense = note["text"][mention["start"] : mention["end"]], mention["long_form"]
            if sense in (None, "none of these"):
                continue
            true += 1
            senses = inventory.long_forms(places[mention["start"]]) if mention["start"] in places else ()
            if not senses:
                missing.append((surface, sense))
            elif not {equivalence_key(name) for name in (sense, wordings.get(sense, sense))} & set(
                map(equivalence_key, senses)
            ):
                unlisted.append((surface, sense))
    found = true - len(missing)
    print(f"{options.data}: {true} true mentions")
    print(f"found {found} ({found / true:.1%}); sense listed {found - len(unlisted)} ({1 - len(unlisted) / found:.1%})")
    if options.missing:
        for what, pairs in (("not found", missing), ("not listed", unlisted)):
            print(f"\n{what}:", *(f"{surface}: {sense}" for surface, sense in pairs), sep="\n  ")


if __name__ == "__main__":
    main()
