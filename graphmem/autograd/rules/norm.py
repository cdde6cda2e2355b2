"""Normalisations. Sources: aten/src/ATen/native/Normalization.cpp, layer_norm.cpp, group_norm.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphmem.autograd import ops
from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import RULES, rule
from graphmem.autograd.rules.conv import layout
from graphmem.autograd.tensor import Node, Tensor


def _held(*tensors: Tensor | None) -> list[Tensor]:
    return [t for t in tensors if t is not None]


def _stat(m: Machine, x: Tensor, weight: Tensor | None) -> str:
    """Type of saved statistics: CUDA accumulates halves in float32; CPU takes the type of the parameters."""
    if m.device == "cuda":
        return "float32" if x.dtype in ("float16", "bfloat16") else x.dtype
    return weight.dtype if weight else x.dtype


@rule("aten.batch_norm")
def batch_norm(
    m: Machine, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None,
    training: bool = True, *_: Any,
) -> Tensor:  # fmt: skip
    """Saves the input, the weight, the running statistics and the batch's mean and inverse deviation."""
    channels = x.shape[1]
    out = m.empty(x.shape, x.dtype, layout(x.shape, x) if training else st.like(*x.layout))
    stat = _stat(m, x, weight)
    size = (channels,) if training else (0,)
    stats = [m.empty(size, stat), m.empty(size, stat)]

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        with m.operator("aten::native_batch_norm_backward"):
            return (
                m.empty(x.shape, x.dtype, layout(x.shape, x)) if n.needs(0) else None,
                m.empty((channels,), weight.dtype if weight else stat) if n.needs(1) else None,
                m.empty((channels,), weight.dtype if weight else stat) if n.needs(2) else None,
            )

    m.record("NativeBatchNormBackward0", [x, weight, bias], [out], back, _held(x, weight, mean, var, *stats))
    return out


@rule("aten._native_batch_norm_legit_functional", "aten._native_batch_norm_legit", "aten.native_batch_norm")
def native_batch_norm(m: Machine, *args: Any) -> Tensor:
    """The exporter's forms of batch_norm in training."""
    return batch_norm(m, *args[:5], True)


@rule("aten._native_batch_norm_legit_no_training")
def batch_norm_no_training(m: Machine, *args: Any) -> Tensor:
    """Exported in evaluation mode; the step that is asked about trains, so it is batch_norm in training."""
    return batch_norm(m, *args[:5], True)


@rule("aten.layer_norm", "aten.native_layer_norm")
def layer_norm(
    m: Machine, x: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None, *_: Any
) -> Tensor:
    """Saves the input, weight, bias, and mean and inverse deviation per row; the result is row-major."""
    rows = (*x.shape[: len(x.shape) - len(shape)], *(1 for _ in shape))
    out = m.empty(x.shape, x.dtype)
    stat = _stat(m, x, weight)
    stats = [m.empty(rows, stat), m.empty(rows, stat)]
    inner = tuple(shape)

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        with m.operator("aten::native_layer_norm_backward"):
            return (
                m.empty(x.shape, x.dtype) if n.needs(0) else None,
                m.empty(inner, weight.dtype) if n.needs(1) and weight else None,
                m.empty(inner, bias.dtype) if n.needs(2) and bias else None,
            )

    m.record("NativeLayerNormBackward0", [x, weight, bias], [out], back, _held(x, weight, bias, *stats))
    return out


@rule("aten.group_norm", "aten.native_group_norm")
def group_norm(
    m: Machine, x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, *_: Any
) -> Tensor:
    """Saves the dense input, the weight, and mean and inverse deviation per sample and group."""
    if not isinstance(weight, Tensor | None):
        return m.empty(x.shape, x.dtype)
    wanted = layout(x.shape, x)
    dense = x if x.strides == wanted else ops.clone(m, x, wanted)
    out = m.empty(x.shape, x.dtype, wanted)
    stats = [m.empty((x.shape[0], groups), weight.dtype if weight else x.dtype) for _ in range(2)]
    channels = x.shape[1]

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        with m.operator("aten::native_group_norm_backward"):
            return (
                m.empty(x.shape, x.dtype, wanted) if n.needs(0) else None,
                m.empty((channels,), stats[0].dtype) if n.needs(1) else None,
                m.empty((channels,), stats[0].dtype) if n.needs(2) else None,
            )

    m.record("NativeGroupNormBackward0", [dense, weight, bias], [out], back, _held(dense, weight, *stats))
    return out


@rule("aten.instance_norm")
def instance_norm(
    m: Machine, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, mean: Tensor | None = None,
    var: Tensor | None = None, *_: Any,
) -> Tensor:  # fmt: skip
    """A batch norm over samples times channels: weight and bias are repeated per sample."""
    batch, channels = x.shape[:2]
    repeated = [_repeat(m, t, batch) if t is not None else None for t in (weight, bias)]
    stats = [_repeat(m, t, batch) if t is not None else None for t in (mean, var)]
    flat = ops.reshape(m, ops.contiguous(m, x), (1, batch * channels, *x.shape[2:]))
    out = batch_norm(m, flat, repeated[0], repeated[1], stats[0], stats[1], True)
    return ops.view(m, out, x.shape, st.contiguous(x.shape))


def _repeat(m: Machine, x: Tensor, times: int) -> Tensor:
    with m.operator("aten::repeat"):
        out = m.empty((times * x.shape[0],), x.dtype)

    def back(m: Machine, _n: Node, g: Tensor) -> Tensor:
        return ops.total(m, g, None, False) if not x.shape else ops.full(m, "aten::sum", x.shape, g.dtype)

    m.record("RepeatBackward0", [x], [out], back)
    return out


@rule("aten.rms_norm", "aten._fused_rms_norm")
def rms_norm(m: Machine, x: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: Any = None) -> Tensor:
    """CUDA: fused, saves x, weight and the deviation. CPU: pow, mean, add_, rsqrt, mul, mul."""
    from graphmem.autograd.rules.pairs import mul, power
    from graphmem.autograd.rules.reduce import mean

    del eps
    dims = list(range(-len(shape), 0))
    if m.device != "cuda":
        wide = ops.cast(m, x, "float32") if x.dtype in ("float16", "bfloat16") else x
        root = RULES["aten.rsqrt"](m, mean(m, power(m, wide, 2), dims, True))
        scaled = mul(m, wide, root)
        return ops.cast(m, mul(m, scaled, weight) if weight is not None else scaled, x.dtype)
    out = m.empty(x.shape, x.dtype)
    rstd = m.empty((*x.shape[: len(x.shape) - len(shape)], *(1 for _ in shape)), "float32")
    back_shapes = [x.shape, tuple(shape)]
    m.record(
        "FusedRmsNormBackward0", [x, weight], [out],
        lambda m, _n, g: [ops.full(m, "aten::_fused_rms_norm_backward", s, g.dtype) for s in back_shapes],
        _held(x, weight, rstd),
    )  # fmt: skip
    return out


@rule("aten._weight_norm")
def weight_norm(m: Machine, v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """Fused along the first and the last dimension; saves both and the norms (WeightNorm.cpp)."""
    del dim
    v = ops.contiguous(m, v)
    with m.operator("aten::_weight_norm"):
        out, norms = m.empty(v.shape, v.dtype), m.empty(g.shape, "float32" if v.dtype == "bfloat16" else v.dtype)

    def back(m: Machine, _n: Node, grad: Tensor) -> tuple[Tensor, Tensor]:
        grad = ops.contiguous(m, grad)
        with m.operator("aten::_weight_norm_interface_backward"):
            return m.empty(v.shape, grad.dtype), m.empty(g.shape, grad.dtype)

    m.record("WeightNormInterfaceBackward0", [v, g], [out], back, [v, g, norms])
    return out


@rule("aten.local_response_norm")
def local_response_norm(m: Machine, x: Tensor, size: int, *_: Any) -> Tensor:
    """x*x, padded, averaged over channels, scaled, raised, divided: as written in torch.nn.functional."""
    from graphmem.autograd.rules.pairs import add, div, mul, power

    squared = ops.unsqueeze(m, mul(m, x, x), 1)
    padded_shape = (x.shape[0], 1, x.shape[1] + size - 1, *x.shape[2:])
    padded = ops.full(m, "aten::constant_pad_nd", padded_shape, x.dtype)
    before = squared.shape
    m.record(
        "ConstantPadNdBackward0",
        [squared],
        [padded],
        lambda m, _n, g: ops.full(m, "aten::constant_pad_nd", before, g.dtype),
    )
    pooled = ops.full(m, "aten::avg_pool3d", (x.shape[0], 1, *x.shape[1:]), x.dtype)
    m.record(
        "AvgPool3DBackward0", [padded], [pooled],
        lambda m, _n, g: ops.full(m, "aten::avg_pool3d_backward", padded_shape, g.dtype), [padded],
    )  # fmt: skip
    scale = power(m, add(m, mul(m, ops.squeeze(m, pooled, (1,)), 1.0), 1.0), 0.75)
    return div(m, x, scale)
