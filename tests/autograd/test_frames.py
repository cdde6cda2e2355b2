"""What a line of Python binds and reads."""

from __future__ import annotations

import pytest

from graphmem.autograd.frames import Statement


@pytest.mark.parametrize(
    ("text", "names", "reads"),
    [
        ("out = self.conv(x)", ("out",), ("x",)),
        ("out += x if self.downsample is None else self.downsample(x)", ("out",), ("out", "x")),
        ("mean, var = split(h)", ("mean", "var"), ("h",)),
        ("return self.relu(out)", (), ("out",)),
    ],
)
def test_a_line_reads_what_it_adds_to(text: str, names: tuple[str, ...], reads: tuple[str, ...]) -> None:
    statement = Statement(1, text, 0, 0)
    assert (statement.names, statement.reads) == (names, reads)
