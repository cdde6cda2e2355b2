"""Workspace rules against what single operators allocated under the tracer (benchmarks/ort_probe_workspace.py)."""

from __future__ import annotations

from typing import Any

import pytest

from graphmem.ir.types import TensorType
from graphmem.ort.kernels.kernel import Kernel
from graphmem.ort.kernels.workspace import packing, workspace

MS = "com.microsoft"


def f(*shape: int) -> TensorType:
    return TensorType("float32", shape)


def u8(*shape: int) -> TensorType:
    return TensorType("uint8", shape)


def s8(*shape: int) -> TensorType:
    return TensorType("int8", shape)


def h(*shape: int) -> TensorType:
    return TensorType("float16", shape)


def used(
    op: str, inputs: list[TensorType | None], outputs: list[TensorType | None], domain: str = "", **more: Any
) -> int:
    constant = frozenset(more.pop("constant", ()))
    return sum(workspace(domain, Kernel(op, inputs, outputs, more, 20, constant)))


BOOL = TensorType("bool", (4, 1))
SKIP = [h(2, 64, 128)] * 2 + [h(128)] * 3
LSTM = [f(5, 3, 12), f(1, 80, 12), f(1, 80, 20), f(1, 160)]
GRU = [f(5, 3, 12), f(2, 60, 12), f(2, 60, 20), f(2, 120)]
QCONV = [u8(1, 16, 20, 20), f(), u8(), s8(32, 16, 3, 3), f(), s8(), f(), u8()]


@pytest.mark.parametrize(
    ("measured", "arguments", "more"),
    [
        (64 + 1024, ("Where", [BOOL, f(4, 64), f(1)], [f(4, 64)]), {}),
        (2 * 256, ("Softmax", [f(4, 16)], [f(4, 16)]), {"axis": 0}),
        (0, ("Softmax", [f(4, 16)], [f(4, 16)]), {"axis": -1}),
        (3200 + 4800, ("LRN", [f(1, 8, 10, 10)], [f(1, 8, 10, 10)]), {"size": 5}),
        (30720, ("Sum", [f(2, 6, 20, 32)] * 3, [f(2, 6, 20, 32)]), {}),
        (0, ("Conv", [f(2, 16, 20, 20), f(32, 16, 1, 1)], [f(2, 32, 20, 20)]), {}),
        (65536, ("Conv", [f(2, 16, 20, 20), f(32, 16, 3, 3)], [f(2, 32, 20, 20)]), {"pads": (1, 1, 1, 1)}),
        (20736, ("Conv", [f(1, 16, 6, 6), f(64, 16, 3, 3)], [f(1, 64, 6, 6)]), {"pads": (1, 1, 1, 1)}),
        (28800, ("ConvTranspose", [f(1, 16, 10, 10), f(16, 8, 3, 3)], [f(1, 16, 12, 12)]), {"group": 2}),
        (1664, ("Resize", [f(2, 6, 20, 32), None, f(4)], [f(2, 6, 40, 64)]), {"mode": "linear"}),
        (2560, ("Resize", [f(2, 20, 32), None, f(3)], [f(2, 40, 64)]), {"mode": "linear"}),
        (0, ("Resize", [f(2, 6, 20, 32), None, f(4)], [f(2, 6, 40, 64)]), {"mode": "nearest"}),
        (4096 + 4096 + 8192, ("Einsum", [f(2, 4, 16, 8)] * 2, [f(2, 4, 16, 16)]), {"equation": "bhid,bhjd->bhij"}),
        (
            1920 + 1152 + 1152 + 2 * 1728,
            ("Einsum", [f(2, 5, 6, 8), f(5, 7, 8)], [f(2, 5, 6, 7)]),
            {"equation": "bhwc,hkc->bhwk"},
        ),
        (2 * 128 + 3 * 256 + 4800 + 4 * 128 + 64, ("LSTM", LSTM, [f(5, 1, 3, 20), f(1, 3, 20), f(1, 3, 20)]), {}),
        (
            2 * (5 * 256 + 3648 + 64) + 768 + 1216,
            ("GRU", GRU, [f(5, 2, 3, 20), f(2, 3, 20)]),
            {"direction": "bidirectional"},
        ),
        (1216, ("RNN", [f(5, 3, 12), f(1, 20, 12), f(1, 20, 20)], [f(5, 1, 3, 20)]), {}),
        (
            12288 + 8192 + 512 + 4096,
            ("Attention", [f(2, 16, 32), f(32, 96), f(96)], [f(2, 16, 32)], MS),
            {"num_heads": 4},
        ),
        (3 * 4096 + 1664, ("MultiHeadAttention", [f(2, 16, 32)] * 3, [f(2, 16, 32)], MS), {"num_heads": 4}),
        (8192, ("Attention", [f(2, 4, 16, 8)] * 3, [f(2, 4, 16, 8)]), {}),
        (6400 + 12800 + 28800, ("QLinearConv", QCONV, [u8(1, 32, 20, 20)]), {"pads": (1, 1, 1, 1), "constant": (3,)}),
        (256, ("QLinearMatMul", [u8(4, 32), f(), u8(), s8(32, 16)], [u8(4, 16)]), {}),
        (128, ("DynamicQuantizeMatMul", [f(4, 32), s8(32, 16)], [f(4, 16)], MS), {}),
        (2 * 256, ("BatchNormalization", [f(2, 64, 20, 20)], [f(2, 64, 20, 20), f(64), f(64)]), {}),
        (0, ("BatchNormalization", [f(2, 64, 20, 20)], [f(2, 64, 20, 20)]), {}),
        (7680, ("RMSNormalization", [h(2, 960), h(2, 960)], [h(2, 960)]), {}),
        (3 * 512 + 3 * 65536, ("SkipLayerNormalization", SKIP, [h(2, 64, 128)], MS), {}),
        (2 * 65536, ("SkipLayerNormalization", SKIP, [h(2, 64, 128)], MS), {"constant": (1, 2, 3, 4)}),
        (3 * 512 + 4 * 65536, ("SkipLayerNormalization", SKIP, [h(2, 64, 128), None, None, h(2, 64, 128)], MS), {}),
        (0, ("SkipLayerNormalization", [f(2, 64, 128)] * 2 + [f(128)] * 3, [f(2, 64, 128)], MS), {}),
        (2 * 32768, ("QLinearSoftmax", [u8(4, 64, 128)], [u8(4, 64, 128)], MS), {"axis": 1, "opset": 13}),
        (0, ("QLinearSoftmax", [u8(4, 64, 128)], [u8(4, 64, 128)], MS), {"axis": 2, "opset": 13}),
        (0, ("NoSuchOperator", [f(4)], [f(4)]), {}),
        (0, ("Conv", [f(1, 1, 8, 8), None], [None]), {}),  # nothing known
    ],
)
def test_workspace_is_what_was_measured(measured: int, arguments: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert used(*arguments, **more) == measured


@pytest.mark.parametrize(
    ("measured", "op", "inputs"),
    [
        (38016, "MatMulInteger", [u8(4, 32), s8(32, 16)]),
        (41088, "MatMulInteger", [u8(4, 32), u8(32, 16)]),
        (19520, "ConvInteger", [u8(1, 16, 20, 20), s8(32, 16, 3, 3)]),
        (0, "MatMul", [f(4, 32), f(32, 16)]),
    ],
)
def test_the_packing_buffer_depends_on_both_types(measured: int, op: str, inputs: list[TensorType]) -> None:
    assert packing("", Kernel(op, inputs, [None])) == measured
