"""A leakage audit as blocks of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmint.report import document as doc
from flowmint.report.words import share

if TYPE_CHECKING:
    from flowmint.evaluate.leakage import Leakage
    from flowmint.report.document import Block, Cell

MOST_TELLS = 20
"""Tells that are listed where none counts as a shortcut, or very many do."""


def leakage_blocks(audit: Leakage | None, *, title: str) -> list[Block]:
    """Show an audit.

    Args:
        audit: What was found; None where nobody looked.
        title: What rows it is of.

    Returns:
        Remarks in words, then the numbers behind them.
    """
    if audit is None:
        return [doc.paragraph("Not available: no table with several classes was given to audit.")]
    blocks: list[Block] = [doc.paragraph(f"{title}: {remark}.") for remark in audit.remarks]
    tells: list[list[Cell]] = [
        [
            tell.column,
            tell.class_name,
            doc.number(tell.balanced_accuracy),
            doc.number(tell.auc),
            "shortcut" if tell.balanced_accuracy >= audit.separates else "",
        ]
        for tell in audit.tells[:MOST_TELLS]
    ]
    against = f"from {audit.against}" if audit.against is not None else "from all other rows"
    if tells:
        note = f"The strongest {len(tells)} of {len(audit.tells):,}. From {share(audit.separates)} on it is a shortcut."
        columns = ["column", "class", "balanced accuracy of one cut", "AUC", "remark"]
        blocks.append(doc.table(f"{title}: columns that alone tell a class {against}", columns, tells, note=note))
    blocks.append(
        doc.facts(
            f"{title}: in short",
            {
                "rows audited": f"{audit.rows:,}",
                "shortcuts": ", ".join(audit.shortcuts) or "none",
                "constant for each class": ", ".join(constant.column for constant in audit.constants) or "none",
                "counters and times": ", ".join(f"{name} ({why})" for name, why in audit.counters.items()) or "none",
                "rows with a twin across a random split": share(audit.shared),
                "classes too small to audit": ", ".join(audit.small) or "none",
            },
        )
    )
    return blocks
