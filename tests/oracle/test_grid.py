"""A slice of the grid (tests/oracle/grid.py): a few calls of every operator against onnxruntime's real outputs."""

from __future__ import annotations

import pytest

from graphmem.ir.types import BoundedType, SequenceType, TensorType, UnknownType
from tests.oracle.grid import tried, verdict
from tests.oracle.grid_operators import OPERATORS

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

CALLS = 3
NAMES = sorted(OPERATORS)


@pytest.mark.parametrize("name", NAMES)
def test_no_call_has_another_type_than_we_claim(name: str) -> None:
    tally = tried(name, CALLS, seed=7)
    assert sum(tally.counts.values()) == CALLS
    assert not tally.counts["wrong"] + tally.counts["raised"] + tally.counts["refused"], tally.examples


def test_the_grid_tells_a_wrong_type_from_a_right_one() -> None:
    made = np.zeros((2, 3), np.float32)
    assert verdict(TensorType("float32", (2, 3)), made) == "exact"
    assert verdict(TensorType("float32", (2, 4)), made) == "wrong"
    assert verdict(TensorType("int64", (2, 3)), made) == "wrong"
    assert verdict(BoundedType("float32", (0, 3), (5, 3)), made) == "bounded"
    assert verdict(BoundedType("float32", (0, 3), (1, 3)), made) == "wrong"
    assert verdict(UnknownType("float32"), made) == "open"
    parts = (TensorType("float32", (2, 3)),)
    assert verdict(SequenceType(parts[0], parts), [made]) == "exact"
    assert verdict(SequenceType(parts[0], parts * 2), [made]) == "wrong"
