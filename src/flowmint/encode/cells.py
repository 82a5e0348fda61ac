"""Cells: the few intervals of the unit line that a decoder chooses among, column by column.

A value that holds at least a cell's share of the rows is a cell of its own; the values between
such spikes are grouped into neighbouring runs of about equal share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.encode.support import Support

    Edges = npt.NDArray[np.float64]


def cell_edges(support: Support, *, cells: int) -> tuple[Edges, npt.NDArray[np.bool_]]:
    """Group a column's values into at most about twice ``cells`` cells.

    Args:
        support: The column's values and their intervals.
        cells: How many cells of equal share the unit line would hold without spikes.

    Returns:
        The cells' bounds on the unit line [cells + 1], and for each cell whether it holds more
        than one value [cells].
    """
    shares = np.diff(support.edges)
    starts, run = [0], 0.0
    for state in range(1, len(shares)):
        run += shares[state - 1]
        spike = shares[state] * cells >= 1 or shares[state - 1] * cells >= 1
        if spike or run * cells >= 1:
            starts.append(state)
            run = 0.0
    bounds = np.append(starts, len(shares))
    return support.edges[bounds], np.diff(bounds) > 1
