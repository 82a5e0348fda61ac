"""Axes show where the numbers are."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from flowmint.report.plots import draw_lines

F1 = st.floats(0, 1)


@example(values=[(1.0, 1.0, 1.0)])
@given(values=st.lists(st.tuples(F1, F1, F1), min_size=1, max_size=5))
def test_no_tick_of_lines_is_beyond_what_f1_can_be(values):
    points = [
        {"x": 10 * (place + 1), "y": sorted(each)[1], "low": min(each), "high": max(each) + 0.05}
        for place, each in enumerate(values)
    ]
    panel = {
        "panel": "lines",
        "title": "t",
        "x_title": "rows",
        "y_title": "F1",
        "series": [{"name": "a", "style": 0, "points": points}],
        "references": [],
    }
    drawn = draw_lines(panel)
    ticks = [float(found.replace("−", "-")) for found in re.findall(r'text-anchor="end"[^>]*>([−\d.]+)<', drawn)]
    assert ticks
    assert all(-1 <= tick <= 1 for tick in ticks)
