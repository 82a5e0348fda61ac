"""How numbers are written for people, alike in every format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from flowmint.report.document import Cell, Interval, Missing

DASH = "–"
THIN = "\u00a0"
"""A space at which no line breaks."""
MINUS = "−"
BETTER = {
    "higher": "higher is better",
    "lower": "lower is better",
    "reference": "best near the real rows",
}
"""Which value of a score is better, in words."""

FAMILY_LEADS = {
    "distribution": "Whether each column of minted rows has the values of real rows as often.",
    "dependency": "Whether columns hang together as they do in real rows.",
    "diversity": "Whether minted rows cover what real rows are, without copying them.",
    "detectability": "Whether a classifier can tell minted rows from real ones.",
    "privacy": "Whether minted rows give away the rows they were learnt from.",
    "utility": "Whether detectors learn from minted rows what they learn from real ones.",
    "validity": "Whether minted rows obey the rules that every real row obeys.",
    "cost": "What it takes to fit and to mint.",
}
"""What each family of scores asks."""

SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def show_number(value: float) -> str:
    """Write a number with about three digits that matter.

    Args:
        value: A finite number.

    Returns:
        Its text, with the minus sign of typography.

    Examples:
        >>> [show_number(x) for x in (3, 12500, 0.85511, 1.5, 25.31, 1234.5, 0.00054, 0.000001234, -0.25)]
        ['3', '12,500', '0.855', '1.500', '25.3', '1,234', '0.00054', '1.23 × 10⁻⁶', '−0.250']
    """
    if isinstance(value, int) or (value == 0):
        shown = f"{int(value):,}"
    elif not math.isfinite(value):
        shown = str(value)
    elif 1e-5 <= abs(value) < 1e-3:
        shown = f"{value:.{1 - math.floor(math.log10(abs(value)))}f}"
    elif abs(value) < 1e-3 or abs(value) >= 1e9:
        mantissa, _, power = f"{value:.2e}".partition("e")
        shown = f"{_trim(mantissa)} × 10{str(int(power)).translate(SUPERSCRIPTS)}"
    elif abs(value) >= 100:
        shown = f"{value:,.0f}"
    else:
        shown = f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
    return shown.replace("-", MINUS)


def show_tick(value: float) -> str:
    """Write a round number in as few digits as it needs."""
    if value and not 1e-4 <= abs(value) < 1e6:
        mantissa, _, power = f"{value:.1e}".partition("e")
        front = "" if _trim(mantissa) == "1" else f"{_trim(mantissa)}·"
        return f"{front}10{str(int(power)).translate(SUPERSCRIPTS)}".replace("-", MINUS)
    return f"{value:,.10g}".replace("-", MINUS)


def _trim(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def show_fixed(value: float, *, decimals: int = 3) -> str:
    """Write a number with as many decimals as its neighbours have."""
    return f"{value:.{decimals}f}".replace("-", MINUS)


def show_interval(cell: Interval) -> tuple[str, str]:
    """Write an interval's mean, and its ends in brackets or nothing."""
    low, high = cell["low"], cell["high"]
    if low is None or high is None:
        return show_fixed(cell["mean"]), ""
    return show_fixed(cell["mean"]), f"[{show_fixed(low)}, {show_fixed(high)}]"


def show_cell(cell: Cell) -> str:
    """Write a table's cell in one line."""
    if cell is None:
        return DASH
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int | float):
        return show_number(cell)
    if "missing" in cell:
        return f"not available: {cast('Missing', cell)['missing']}"
    return " ".join(part for part in show_interval(cell) if part)


def share(part: float) -> str:
    r"""Write a share as a percentage.

    Examples:
        >>> [share(x) for x in (0, 0.00042, 0.0123, 0.5, 1)]
        ['0\xa0%', '0.04\xa0%', '1.2\xa0%', '50\xa0%', '100\xa0%']
    """
    percent = 100 * part
    decimals = 0 if abs(percent) >= 10 or percent == 0 else 1 if abs(percent) >= 1 else 2
    return f"{percent:.{decimals}f}{THIN}%".replace("-", MINUS)


def listed(names: list[str], *, most: int = 6) -> str:
    """Join names with commas and a last "and"."""
    if len(names) > most:
        names = [*names[:most], f"{len(names) - most} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
