from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eoscale.plot import spans


@pytest.mark.parametrize(
    ("start", "stop", "text"),
    [
        ("2024-01-01", "2025-01-01", "2024"),
        ("2019-01-01", "2024-01-01", "2019-2023"),
        ("2024-04-01", "2024-05-01", "Apr 2024"),
        ("2024-04-01", "2024-07-01", "Apr-Jun 2024"),
        ("2023-12-01", "2024-02-01", "Dec 2023 - Jan 2024"),
        ("2024-04-05", "2024-04-06", "5 Apr 2024"),
        ("2024-04-05", "2024-04-15", "5-14 Apr 2024"),
        ("2024-04-28", "2024-05-08", "28 Apr - 7 May 2024"),
        ("2024-04-05T06:00", "2024-04-05T12:00", "2024-04-05 06:00 - 2024-04-05 12:00"),
    ],
)
def test_a_half_open_span_is_named_by_what_it_holds(start: str, stop: str, text: str) -> None:
    named = spans.label(np.datetime64(start, "ns"), np.datetime64(stop, "ns"))
    assert named.replace("\N{EN DASH}", "-") == text


@given(st.integers(1, 500), st.integers(1, 9))
def test_groups_hold_every_span_once_in_order(number: int, most: int) -> None:
    found = spans.groups(number, most)
    assert len(found) <= most
    assert [span for group in found for span in group] == list(range(number))
