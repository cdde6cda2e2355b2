"""Strides as ATen computes them, in numbers that fit on a line."""

from __future__ import annotations

from graphmem.autograd import strides as st


def test_row_major_strides() -> None:
    assert st.contiguous((2, 3, 4)) == (12, 4, 1)


def test_channels_last_strides_put_channels_innermost() -> None:
    assert st.channels_last((2, 3, 4, 5)) == (60, 1, 15, 3)


def test_a_one_by_one_weight_is_not_channels_last() -> None:
    assert not st.is_channels_last((64, 64, 1, 1), (64, 1, 1, 1))


def test_a_view_that_splits_a_dimension_keeps_the_memory() -> None:
    assert st.viewed((6, 4), (4, 1), (2, 3, 4)) == (12, 4, 1)


def test_a_view_across_a_transpose_needs_a_copy() -> None:
    assert st.viewed((4, 6), (1, 4), (24,)) is None


def test_an_elementwise_result_keeps_a_dense_layout() -> None:
    assert st.pointwise((2, 3), [((2, 3), (1, 2))]) == (1, 2)


def test_a_broadcast_operand_does_not_decide_the_layout() -> None:
    assert st.pointwise((2, 3), [((2, 1), (1, 1)), ((2, 3), (1, 2))]) == (1, 2)


def test_a_hole_makes_a_layout_not_dense() -> None:
    assert not st.is_dense((2, 3), (4, 1))
    assert st.is_dense((3, 2), (1, 3))
