"""The data card: one HTML file showing what a corpus was made from and what was repaired, merged and dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..data.kinds import Kind
from ..data.splits import Split
from ..tools.counts import counted
from ..tools.files import replacing
from ..tools.pages import per_cent, template_environment
from .accounts import OFTEN, MedalAccount, PassageCounts, PubmedAccount, TextAccount
from .kept_apart import RUN

TERMS = (
    "Courtesy of the U.S. National Library of Medicine, whose terms apply to these texts. "
    "For research only, not for patient care."
)

MENDED = {
    "junk": "Junk senses",
    "variant": "Variants merged",
    "spaces": "Stray spaces dropped",
    "case": "Case repaired",
    "spelling": "Spelling repaired",
    "not listed": "Not listed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A section of the card with bars, a table, or both."""

    title: str
    note: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str | int]] = ()
    bars: Sequence[tuple[str, int]] = ()

    @property
    def largest(self) -> int:
        """The value of the longest bar."""
        return max((value for _, value in self.bars), default=0) or 1


def write_data_card(
    path: Path,
    *,
    title: str,
    lead: str,
    numbers: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    terms: str = TERMS,
) -> None:
    """Write the card.

    Args:
        path: the HTML file to write.
        title: the title of the page.
        lead: a sentence or two below the title.
        numbers: the figures at the top, as (label, value).
        sections: shown in order; sections with neither bars nor rows are left out.
        terms: the terms of the texts.
    """
    shown = [section for section in sections if section.bars or section.rows]
    page = (
        template_environment()
        .get_template("data_card.html")
        .render(title=title, lead=lead, numbers=numbers, sections=shown, terms=terms)
    )
    with replacing(path) as file:
        file.write(page)


def medal_card(account: MedalAccount, path: Path) -> None:
    """Write the card of a corpus made from MeDAL's tables, from its account."""
    passages, mentions = sum(account["passages"].values()), sum(account["mentions"].values())
    leaks, spread = account["leaks_in_sample"], account["mentions_per_passage"]
    more = sum(n for number, n in spread.items() if int(number) > 9)
    write_data_card(
        path,
        title="MeDAL, prepared",
        lead="PubMed abstracts in which long forms were replaced by short forms (Wen, Lu and Reddy 2020); neither "
        f"clinical notes nor dialogues. Files read: {', '.join(account['read'])}.",
        numbers=[
            ("rows read", f"{account['rows_read']:,}"),
            ("passages", f"{passages:,}"),
            ("short forms marked", f"{mentions:,}"),
            (
                "of answers are spelt out elsewhere in the text (sample)",
                per_cent(leaks["leaks"] / leaks["mentions"] if leaks["mentions"] else None),
            ),
        ],
        sections=[
            Section(
                title="Splits",
                note="Shared: the abstract also appears in the training split, with the same id or word for word.",
                columns=("split", "passages", "short forms", "shared"),
                rows=[
                    (name, n, account["mentions"][name], account["shared_with_training"].get(name, 0))
                    for name, n in account["passages"].items()
                ],
            ),
            Section(
                title="Short forms per passage",
                bars=[
                    *((str(number), spread.get(str(number), 0)) for number in range(1, 10)),
                    *([("10 or more", more)] if more else []),
                ],
            ),
            Section(
                title="Rows set aside",
                note="All of them are listed in quarantine.jsonl.",
                columns=("reason", "rows"),
                rows=list(account["rows_quarantined"].items()),
            ),
            *_mended_sections(account),
            Section(
                title="ADAM's scores of the senses",
                note="How likely it is that the long form is a phrase of its own (Zhou et al. 2006). Junk, as above, "
                "was not identified by this score, because good terms score low too.",
                columns=("senses", "0 to 0.2", "to 0.4", "to 0.6", "to 0.8", "to 1", "no score"),
                rows=[(name, *row) for name, row in (account["adam_scores"] or {}).items()],
            ),
            Section(title="Most frequent short forms", bars=account["short_forms"][:20]),
        ],
    )


def _mended_sections(account: MedalAccount) -> list[Section]:
    """A section for each kind of repair, with its most frequent examples."""
    kept = account["settings"]["as_published"]
    notes = {
        "junk": "A single word, common in these texts, whose letters do not fit the short form. "
        + ("Kept, as published." if kept else "Mentions dropped; passages kept if they have other mentions."),
        "variant": "Both spellings are listed; they differ in UK/US spelling, plural or hyphen and now form one sense.",
        "spaces": "The label had leading, trailing or repeated spaces, shown as ␣.",
        "case": "The inventory lists the label in a different case, which is used now.",
        "spelling": "The inventory lists a variant of the label, which is used now.",
        "not listed": "The inventory does not list the label under this short form; the mention has no gold candidate.",
    }
    sections = []
    for name, title in MENDED.items():
        mended = account["mended"][name]
        sections.append(
            Section(
                title=f"{title}: {counted(mended['mentions'], 'mention')} of {counted(mended['labels'], 'label')}",
                note=notes[name],
                columns=("short form", "label", *(() if name == "junk" else ("new spelling",)), "mentions"),
                rows=[_mended_row(name, *example) for example in mended["examples"][:12]],
            )
        )
    return sections


def _mended_row(name: str, short_form: str, label: str, spelt: str, count: int) -> tuple[str | int, ...]:
    if name == "junk":  # it is dropped, so it has no new spelling
        return short_form, label, count
    shown = label.replace(" ", "␣") if name == "spaces" else label
    return short_form, shown, spelt if spelt != label else "", count


def pubmed_card(account: PubmedAccount, path: Path) -> None:
    """Write the card of a corpus made from PubMed abstracts, from its account."""
    inventory, kinds = account["inventory"], account["kinds"]
    notes: dict[Kind, str] = {
        "medal": "MeDAL's published recipe: first section, lower case, letters only.",
        "substituted": "Cased text with punctuation and digits; every mention of a chosen long form is abbreviated.",
        "defined": "Short forms as the authors wrote them; the answers come from the definitions, now removed.",
    }
    write_data_card(
        path,
        title="PubMed abstracts, prepared",
        lead=f"Marked by rule, not by hand. Files read: {', '.join(account['read'][:5])}"
        + (f" and {len(account['read']) - 5:,} more files." if len(account["read"]) > 5 else "."),
        numbers=[
            ("records read", f"{account['rows_read']:,}"),
            ("abstracts kept", f"{sum(account['abstracts'].values()):,}"),
            *((f"short forms marked: {kind}", f"{_mentions(splits):,}") for kind, splits in kinds.items()),
        ],
        sections=[
            Section(
                title="Left out",
                columns=("reason", "records"),
                rows=[
                    ("older revision of an abstract", account["revisions_replaced"]),
                    ("deleted by PubMed", account["deleted"]),
                    ("without text", account["without_text"]),
                    ("same words as another abstract", account["duplicates"]),
                    *account["rows_quarantined"].items(),
                ],
            ),
            Section(
                title="Inventory",
                note=f"From {inventory['origin']}. Mined senses are those that authors define in training abstracts.",
                columns=("", "short forms", "senses"),
                rows=[
                    ("offered as candidates", inventory["short_forms"], inventory["senses"]),
                    ("mined, before merging", inventory["mined_short_forms"], inventory["mined_senses"]),
                ],
            ),
            *(
                Section(
                    title=f"Kind: {kind}",
                    note=notes[kind],
                    columns=("split", "passages", "short forms"),
                    rows=[(split, cell["passages"], cell["mentions"]) for split, cell in splits.items()],
                    bars=account["short_forms"][kind][:12],
                )
                for kind, splits in kinds.items()
            ),
        ],
    )


def _mentions(splits: dict[Split, PassageCounts]) -> int:
    return sum(cell["mentions"] for cell in splits.values())


def text_card(account: TextAccount, path: Path) -> None:
    """Write the card of a corpus made from plain texts, from its account."""
    inventory, ambiguous = account["inventory"], account["ambiguous_senses"]
    taught = {int(times): count for times, count in account["taught_at_least"].items()}
    rare = sorted((row for row in account["coverage"] if row[2] > 0), key=lambda row: (row[2], row[:2]))
    write_data_card(
        path,
        title="Texts, prepared",
        lead="Long forms of the inventory were found by rule, replaced by short forms and typed like notes. "
        f"Files read: {', '.join(account['read'][:5])}"
        + (f" and {len(account['read']) - 5:,} more." if len(account["read"]) > 5 else "."),
        terms="The terms of the texts named above apply. For research only, not for patient care.",
        numbers=[
            ("words read", f"{account['words']:,}"),
            ("passages", f"{sum(account['passages'].values()):,}"),
            ("short forms marked", f"{sum(account['mentions'].values()):,}"),
            (f"senses taught {OFTEN} times or more", f"{taught[OFTEN]:,} of {ambiguous:,}"),
        ],
        sections=[
            Section(
                title="Texts",
                columns=("source", "texts"),
                rows=Counter(account["texts"]).most_common(),
            ),
            Section(
                title="How often each sense is taught",
                note="Senses of short forms that have more than one, by their marks in the training split.",
                bars=_doses(taught, ambiguous),
            ),
            Section(
                title="Splits",
                note="Look-alikes are words that only look like a short form; their answer is “none of these”.",
                columns=("split", "passages", "marks", "of these look-alikes"),
                rows=[
                    (split, count, account["mentions"][split], account["look_alikes"][split])
                    for split, count in account["passages"].items()
                ],
            ),
            Section(
                title="Chunks",
                columns=("", "chunks"),
                rows=[
                    ("with a listed long form", account["chunks"]),
                    (
                        f"left out: {RUN} words in a row occur in a test set too",
                        account["chunks_shared_with_measured"],
                    ),
                    ("chosen for training", account["chunks_chosen"]),
                ],
            ),
            Section(
                title="Inventory",
                note=f"From {inventory['origin']}.",
                columns=("short forms", "senses", "senses of a short form with several"),
                rows=[(inventory["short_forms"], inventory["senses"], ambiguous)],
            ),
            Section(
                title="Taught least",
                note="More text with these would help most. The whole list is in corpus.json.",
                columns=("short form", "sense", "marks"),
                rows=rare[:40],
            ),
            Section(title="Most frequent short forms", bars=account["short_forms"][:20]),
            Section(
                title="Records set aside",
                note="All of them are listed in quarantine.jsonl.",
                columns=("reason", "records"),
                rows=list(account["rows_quarantined"].items()),
            ),
        ],
    )


def _doses(taught: dict[int, int], senses: int) -> list[tuple[str, int]]:
    """Bars for how many senses are taught how often, from cumulative counts (taught at least that often)."""
    steps = sorted(taught)
    bars = [("never", senses - taught[steps[0]])]
    for low, high in pairwise(steps):
        bars.append((f"{low} to {high - 1} times" if high - 1 > low else f"{low} times", taught[low] - taught[high]))
    return [*bars, (f"{steps[-1]} times or more", taught[steps[-1]])]
