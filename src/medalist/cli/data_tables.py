"""Tables of prepared and audited data for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ..corpora.accounts import OFTEN, Account, Mended
from ..corpora.kept_apart import RUN
from ..data.audit import Audit
from ..runs.prepared import DataAccount
from ..tools.counts import counted
from .tables import new_table, quarantined


def audit_table(audit: Audit) -> RenderableType:
    """The overlap of evaluation data with training data."""
    table = new_table(
        f"{counted(audit.passages, 'passage')} with {counted(audit.mentions, 'listed gold answer')}, "
        f"against {audit.train_passages:,} for training",
        "",
        "n",
        "%",
    )
    rows = [
        ("passages with an id in the training data", len(audit.same_id), audit.passages),
        ("passages with the same words", len(audit.same_words), audit.passages),
        ("passages that are nearly the same", len(audit.similar), audit.passages),
        ("passages shared in any of these ways", len(audit.shared), audit.passages),
        ("mentions whose answer is spelt out elsewhere", len(audit.answer_leaks), audit.mentions),
        ("mentions of a sense never trained on", audit.unseen_senses, audit.mentions),
        ("mentions of a short form never trained on", audit.unseen_short_forms, audit.mentions),
    ]
    for name, count, total in rows:
        table.add_row(name, f"{count:,}", f"{100 * count / total:.1f}" if total else "–")
    return table


def prepared_table(account: DataAccount) -> RenderableType:
    """What was read, kept and quarantined during preparation."""
    remarks = quarantined(account["rows_quarantined"])
    if account["settings"]["source"] == "choices":
        table = new_table("Prepared from choices", "split", "texts", "questions")
        for split, count in account["passages"].items():
            table.add_row(split, f"{count:,}", f"{account['mentions'][split]:,}")
        return Group(table, *remarks)
    table = new_table(
        f"Prepared from {account['settings']['source']}", "split", "passages", "short forms", "not a short form"
    )
    for split, count in account["passages"].items():
        table.add_row(split, f"{count:,}", f"{account['mentions'][split]:,}", f"{account['distractors'][split]:,}")
    inventory = account["inventory"]
    lines = [
        _listed(inventory["origin"], inventory["short_forms"], inventory["senses"]),
        f"Left out: {counted(account['passages_without_mentions'], 'passage')} without a known short form.",
    ]
    if missed := account.get("unusable_mentions"):
        taught = counted(missed, "mark of the training split teaches", "marks of the training split teach")
        lines.append(f"{taught} nothing: {'its' if missed == 1 else 'their'} long form is not a candidate.")
        for one in account.get("unusable", []):
            near = f" (nearest: {one['nearest']})" if one["nearest"] else ""
            lines.append(f"  {one['mentions']:,} of {one['short_form']}: {one['long_form']}{near}")
    if "replay" in account:
        again = counted(account["replay"]["passages"], "training passage")
        lines.append(f"Used for training again: {again} of the parent's.")
    for number, beside in enumerate(account.get("beside", []), 1):
        passages, marks = counted(beside["passages"], "passage"), counted(beside["mentions"], "mark")
        lines.append(f"Beside them, folder {number}: {passages}, {marks}.")
    return Group(table, *lines, *remarks)


def corpus_table(account: Account) -> RenderableType:
    """What `medalist prepare medal`, `pubmed` or `text` wrote and left out; the data card has the details."""
    table = new_table(f"Prepared from {account['source']}", "", "passages", "short forms")
    left_out: list[tuple[int, str, str]] = []
    mended: dict[str, Mended] = {}
    if account["source"] == "pubmed":
        for kind, splits in account["kinds"].items():
            for split, cells in splits.items():
                table.add_row(f"{kind} {split}", f"{cells['passages']:,}", f"{cells['mentions']:,}")
        left_out += [
            (
                account["revisions_replaced"],
                "older revision of an abstract was left out",
                "older revisions of abstracts were left out",
            ),
            (account["deleted"], "abstract was deleted by PubMed", "abstracts were deleted by PubMed"),
            (account["without_text"], "record has no abstract", "records have no abstract"),
            (
                account["duplicates"],
                "abstract has the same words as another",
                "abstracts have the same words as another",
            ),
        ]
    else:
        for split, count in account["passages"].items():
            table.add_row(split, f"{count:,}", f"{account['mentions'][split]:,}")
    if account["source"] == "medal":
        without = "left without a short form"
        left_out.append((account["passages_without_mentions"], f"passage was {without}", f"passages were {without}"))
        mended = account["mended"]
    if account["source"] == "text":
        taught = account["taught_at_least"]
        shared = f"{RUN} words in a row with a test set"
        several = f"to a short form with several; taught: {taught['1']:,}, "
        several += f"{OFTEN} times or more: {taught[str(OFTEN)]:,}"
        left_out += [
            (account["chunks_shared_with_measured"], f"chunk shares {shared}", f"chunks share {shared}"),
            (account["ambiguous_senses"], f"sense belongs {several}", f"senses belong {several}"),
        ]
    inventory = account["inventory"]
    lines = [_listed(inventory["origin"], inventory["short_forms"], inventory["senses"])]
    lines += [counted(count, one, several) for count, one, several in left_out if count]
    for name, cell in mended.items():
        if cell["mentions"]:
            lines.append(f"{counted(cell['mentions'], 'mention')} of {counted(cell['labels'], 'label')}: {name}")
    lines += quarantined(account["rows_quarantined"])
    return Group(table, *lines)


def _listed(origin: str, short_forms: int, senses: int) -> str:
    return f"Inventory {origin}: {counted(short_forms, 'short form')}, {counted(senses, 'sense')}."
