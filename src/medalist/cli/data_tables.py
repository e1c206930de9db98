"""Tables of prepared and audited data for the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType

from ..corpora.accounts import OFTEN, Account, Mended
from ..corpora.kept_apart import RUN
from ..data.audit import Audit
from ..runs.prepared import DataAccount
from .tables import new_table


def audit_table(audit: Audit) -> RenderableType:
    """The overlap of evaluation data with training data."""
    table = new_table(
        f"{audit.passages:,} passages with {audit.mentions:,} listed gold answers, "
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
    remarks = [f"{count:,} rows quarantined: {reason}" for reason, count in account["rows_quarantined"].items()]
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
        f"Inventory {inventory['origin']}: {inventory['short_forms']:,} short forms, {inventory['senses']:,} senses.",
        f"{account['passages_without_mentions']:,} passages without a known short form were left out.",
    ]
    if missed := account.get("unusable_mentions"):
        lines.append(f"{missed:,} marks of the training split teach nothing: their long form is not a candidate.")
        for one in account.get("unusable", []):
            near = f" (nearest: {one['nearest']})" if one["nearest"] else ""
            lines.append(f"  {one['mentions']:,} of {one['short_form']}: {one['long_form']}{near}")
    if "replay" in account:
        lines.append(
            f"{account['replay']['passages']:,} of the parent's training passages are used for training again."
        )
    for number, beside in enumerate(account.get("beside", []), 1):
        lines.append(f"Beside them, folder {number}: {beside['passages']:,} passages, {beside['mentions']:,} marks.")
    return Group(table, *lines, *remarks)


def corpus_table(account: Account) -> RenderableType:
    """What `medalist prepare medal`, `pubmed` or `text` wrote and left out; the data card has the details."""
    table = new_table(f"Prepared from {account['source']}", "", "passages", "short forms")
    left_out: list[tuple[int, str]] = []
    mended: dict[str, Mended] = {}
    if account["source"] == "pubmed":
        for kind, splits in account["kinds"].items():
            for split, cells in splits.items():
                table.add_row(f"{kind} {split}", f"{cells['passages']:,}", f"{cells['mentions']:,}")
        left_out += [
            (account["revisions_replaced"], "older revisions of abstracts were left out"),
            (account["deleted"], "abstracts were deleted by PubMed"),
            (account["without_text"], "records have no abstract"),
            (account["duplicates"], "abstracts have the same words as another"),
        ]
    else:
        for split, count in account["passages"].items():
            table.add_row(split, f"{count:,}", f"{account['mentions'][split]:,}")
    if account["source"] == "medal":
        left_out.append((account["passages_without_mentions"], "passages were left without a short form"))
        mended = account["mended"]
    if account["source"] == "text":
        taught = account["taught_at_least"]
        left_out += [
            (account["chunks_shared_with_measured"], f"chunks share {RUN} words in a row with a test set"),
            (
                account["ambiguous_senses"],
                f"senses belong to a short form with several; {taught['1']:,} of them are taught, "
                f"{taught[str(OFTEN)]:,} {OFTEN} times or more",
            ),
        ]
    inventory = account["inventory"]
    lines = [
        f"Inventory {inventory['origin']}: {inventory['short_forms']:,} short forms, {inventory['senses']:,} senses."
    ]
    lines += [f"{count:,} {what}" for count, what in left_out if count]
    for name, cell in mended.items():
        if cell["mentions"]:
            lines.append(f"{cell['mentions']:,} mentions of {cell['labels']:,} labels: {name}")
    lines += [f"{count:,} rows quarantined: {reason}" for reason, count in account["rows_quarantined"].items()]
    return Group(table, *lines)
