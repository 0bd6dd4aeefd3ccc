"""The lines that errors of others become."""

from __future__ import annotations

import errno

import pytest

from featherface.errors import one_line, reason_of

REASONS = [
    pytest.param(
        OSError(errno.EACCES, "Permission denied", "/a/B"), "permission denied", id="what the system says"
    ),
    pytest.param(OSError("The disk went away"), "The disk went away", id="an OSError without a number"),
    pytest.param(OSError(), "OSError", id="one that says nothing"),
    pytest.param(ValueError("No Such\nThing"), "No Such", id="of others: its first line as it is"),
]


@pytest.mark.parametrize(("error", "said"), REASONS)
def test_the_reason_of_an_error(error, said):
    assert reason_of(error) == said


def test_one_line_is_no_longer_than_wanted():
    assert one_line(ValueError("x" * 500), 20) == "x" * 20
