"""The fault table shows the recorded lines."""

from __future__ import annotations

from tests.faults.table import Line, decoded, encoded, rendered


def test_a_line_is_shown_as_it_was_recorded() -> None:
    later = Line("network cut", 2, 1200, 8, 5000, 0, 1.26, "others go on")
    earlier = Line("disk full", 1, 400, 90, 1300, 0, 0.5)
    assert decoded(encoded(later)) == later
    assert rendered([later, earlier])[2:] == [
        "| disk full | 1 | 400 | 90 | 1300 | 0 | 0.5 s |  |",
        "| network cut | 2 | 1200 | 8 | 5000 | 0 | 1.3 s | others go on |",
    ]
