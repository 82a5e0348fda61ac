"""Cells: the few intervals of the unit line that a decoder chooses among, column by column.

A value that holds at least a cell's share of the rows is a cell of its own, and so is every category, NaN, infinity
and the empty cell: what lies beside them is not like them. The other values are grouped into neighbouring runs of
about equal share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowmint.encode.support import special

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.encode.support import Support

    Edges = npt.NDArray[np.float64]


MOST_CATEGORIES = 512
"""Rarer categories than so many share cells."""


def cell_edges(support: Support, *, cells: int) -> tuple[Edges, npt.NDArray[np.bool_]]:
    """Group a column's values into at most about twice ``cells`` cells, categories and special states apart.

    Args:
        support: The column's values and their intervals.
        cells: How many cells of equal share the unit line would hold without spikes.

    Returns:
        The cells' bounds on the unit line [cells + 1], and for each cell whether it holds more
        than one value [cells].
    """
    shares = np.diff(support.edges)
    alone = (shares * cells >= 1) | _apart(support)
    starts, run = [0], 0.0
    for state in range(1, len(shares)):
        run += shares[state - 1]
        if alone[state] or alone[state - 1] or run * cells >= 1:
            starts.append(state)
            run = 0.0
    bounds = np.append(starts, len(shares))
    return support.edges[bounds], np.diff(bounds) > 1


def _apart(support: Support) -> npt.NDArray[np.bool_]:
    """Tell which states are like no other [states]: the most frequent categories, and what is no number."""
    if support.is_categorical:
        return np.arange(support.states) < MOST_CATEGORIES
    return np.concatenate([special(support.values), np.ones(int(support.has_empty), dtype=bool)])
