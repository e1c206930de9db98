"""What was read and compared, as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from ..data.audit import Audit
from ..data.splits import SPLITS
from .tables import new_table


def audit_table(audit: Audit) -> RenderableType:
    """What an evaluation shares with training data."""
    table = new_table(
        f"{audit.passages:,} passages with {audit.mentions:,} listed golds, beside {audit.train_passages:,} for training",
        "",
        "n",
        "%",
    )
    rows = [
        ("passages with an id of the training data", len(audit.same_id), audit.passages),
        ("passages with the same words", len(audit.same_words), audit.passages),
        ("passages nearly the same", len(audit.similar), audit.passages),
        ("passages shared in any of these ways", len(audit.shared), audit.passages),
        ("mentions whose answer is spelt out elsewhere", len(audit.answer_leaks), audit.mentions),
        ("mentions of a sense never trained on", audit.unseen_senses, audit.mentions),
        ("mentions of a short form never trained on", audit.unseen_short_forms, audit.mentions),
    ]
    for name, count, total in rows:
        table.add_row(name, f"{count:,}", f"{100 * count / total:.1f}" if total else "-")
    return table


def prepared_table(account: dict[str, Any]) -> RenderableType:
    """What preparing read, kept and set aside."""
    remarks = [f"{count:,} rows quarantined: {reason}" for reason, count in account["rows_quarantined"].items()]
    if account["settings"]["source"] == "choices":
        table = new_table("Prepared from choices", "split", "texts", "questions")
        for split, count in account["passages"].items():
            table.add_row(split, f"{count:,}", f"{account['mentions'][split]:,}")
        return Group(table, *remarks)
    table = new_table(
        f"Prepared from {account['settings']['source']}", "split", "passages", "short forms", "of them no short form"
    )
    for split, count in account["passages"].items():
        table.add_row(split, f"{count:,}", f"{account['mentions'][split]:,}", f"{account['distractors'][split]:,}")
    inventory = account["inventory"]
    lines = [
        f"Inventory {inventory['origin']}: {inventory['short_forms']:,} short forms, {inventory['senses']:,} senses.",
        f"{account['passages_without_mentions']:,} passages without a known short form were left out.",
    ]
    if "replay" in account:
        lines.append(f"{account['replay']['passages']:,} of the parent's training passages are trained on again.")
    return Group(table, *lines, *remarks)


def corpus_table(account: dict[str, Any]) -> RenderableType:
    """What `medalist prepare medal` or `pubmed` made, and what it left out; the card says more."""
    kinds = account["kinds"] if account["source"] == "pubmed" else {"": account}
    table = new_table(f"Prepared from {account['source']}", "", "passages", "short forms")
    for kind, cells in kinds.items():
        for split in SPLITS:
            if kind:
                counts = cells[split]["passages"], cells[split]["mentions"]
            else:
                counts = cells["passages"][split], cells["mentions"][split]
            table.add_row(f"{kind} {split}".strip(), *(f"{count:,}" for count in counts))
    inventory = account["inventory"]
    lines = [
        f"Inventory {inventory['origin']}: {inventory['short_forms']:,} short forms, {inventory['senses']:,} senses."
    ]
    lines += [
        f"{account[key]:,} {what}"
        for key, what in (
            ("revisions_replaced", "older revisions of abstracts were left out"),
            ("deleted", "abstracts were deleted by PubMed"),
            ("without_text", "records have no abstract"),
            ("duplicates", "abstracts have the same words as another"),
            ("passages_without_mentions", "passages were left without a short form"),
        )
        if account.get(key)
    ]
    for name, cell in account.get("mended", {}).items():
        if cell["mentions"]:
            lines.append(f"{cell['mentions']:,} mentions of {cell['labels']:,} labels: {name}")
    lines += [f"{count:,} rows quarantined: {reason}" for reason, count in account["rows_quarantined"].items()]
    return Group(table, *lines)
