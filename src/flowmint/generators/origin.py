"""Origin: where the rules that were found for a table come from, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmint.rules.ruleset import Rules

if TYPE_CHECKING:
    from collections.abc import Sequence


def tell_origin(rules: Rules, columns: Sequence[str]) -> str:
    """Tell how many rules there are of the extractor and how many of the rows.

    Args:
        rules: What `flowmint.generators.validity.find_rules` found; rules that the rows show have evidence, those of
            an extractor have none.
        columns: The table's header, which tells the extractor.

    Returns:
        Words such as ``102 of ciciot2023 and 41 found in the training rows``.
    """
    shown = sum(rule.evidence is not None for rule in rules)
    profile = Rules.recognise(list(columns))
    parts = []
    if profile is not None and shown < len(rules):
        parts.append(f"{len(rules) - shown:,} of {profile.name}")
    if shown:
        parts.append(f"{shown:,} found in the training rows")
    return " and ".join(parts) or "none"
