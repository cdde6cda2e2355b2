"""Pooling and resizing. Sources: derivatives.yaml; AdaptiveAveragePooling.cpp, Pool.h, UpSample*.cpp for layouts."""

from __future__ import annotations

from typing import Any

from graphmem.autograd import ops
from graphmem.autograd.machine import Machine
from graphmem.autograd.registry import rule
from graphmem.autograd.rules.conv import layout, row_of
from graphmem.autograd.strides import Shape
from graphmem.autograd.tensor import Node, Tensor
from graphmem.ir.errors import MisfitError


def _pooled(
    m: Machine, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, rank: int
) -> Shape:
    """The shape of the result; ValueError where the file states another."""
    kernels, pads, dilations = (row_of(v, rank) for v in (kernel, padding, dilation))
    steps = row_of(stride, rank) if stride not in (None, [], ()) else kernels
    spatial = []
    for size, k, s, p, d in zip(x.shape[-rank:], kernels, steps, pads, dilations, strict=True):
        reach = size + 2 * p - d * (k - 1) - 1
        out = (reach + (s - 1 if ceil else 0)) // s + 1
        spatial.append(out - 1 if ceil and (out - 1) * s >= size + p else out)
    if min(spatial) < 0 or (m.wanted and m.wanted[0][-rank:] != tuple(spatial)):
        raise ValueError(f"{spatial} is not what the file says: it pads in another way than torch")
    return (*x.shape[:-rank], *spatial)


def _backed(m: Machine, title: str, name: str, x: Tensor, out: Tensor, saves: list[Tensor]) -> Tensor:
    """Record a backward that makes one tensor of the size of x."""
    shape, strides = x.shape, layout(x.shape, x)
    m.record(title, [x], [out], lambda m, _n, g: ops.full(m, name, shape, g.dtype, strides), saves)
    return out


def _max_pool(rank: int) -> None:
    name = f"max_pool{rank}d"

    def run(
        m: Machine, x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil: bool = False
    ) -> Tensor:
        shape = _pooled(m, x, kernel, stride, padding, dilation, ceil, rank)
        with m.operator(f"aten::{name}_with_indices"):
            out = m.empty(shape, x.dtype, layout(shape, x))
            saves = [x, m.empty(shape, "int64", layout(shape, x))]
        title = f"MaxPool{max(rank, 2)}DWithIndicesBackward0"
        return _backed(m, title, f"aten::{name}_with_indices_backward", x, out, saves)

    rule(f"aten.{name}", f"aten.{name}_with_indices")(run)


def _avg_pool(rank: int) -> None:
    name = f"avg_pool{rank}d"

    def run(
        m: Machine, x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, ceil: bool = False, *_: Any
    ) -> Tensor:
        shape = _pooled(m, x, kernel, stride, padding, 1, ceil, rank)
        out = m.empty(shape, x.dtype, layout(shape, x))
        return _backed(m, f"AvgPool{rank}DBackward0", f"aten::{name}_backward", x, out, [x])

    rule(f"aten.{name}")(run)


for _rank in (1, 2, 3):
    _max_pool(_rank)
    _avg_pool(_rank)


@rule("aten.adaptive_avg_pool2d", "aten._adaptive_avg_pool2d", "aten.adaptive_avg_pool1d", "aten.adaptive_avg_pool3d")
def adaptive_avg_pool(m: Machine, x: Tensor, size: Any) -> Tensor:
    """To one point: a mean. Else saves x."""
    from graphmem.autograd.rules.reduce import mean

    sizes = [size] if isinstance(size, int) else list(size)
    rank = len(sizes)
    if all(s == 1 for s in sizes):
        return mean(m, x, list(range(-rank, 0)), True)
    shape = (*x.shape[:-rank], *(w or h for w, h in zip(sizes, x.shape[-rank:], strict=True)))
    out = m.empty(shape, x.dtype, layout(shape, x))
    return _backed(m, "AdaptiveAvgPool2DBackward0", "aten::_adaptive_avg_pool2d_backward", x, out, [x])


@rule("aten.adaptive_max_pool2d", "aten.adaptive_max_pool1d", "aten.adaptive_max_pool3d")
def adaptive_max_pool(m: Machine, x: Tensor, size: Any) -> Tensor:
    """Saves x and int64 indices."""
    sizes = [size] if isinstance(size, int) else list(size)
    shape = (*x.shape[: -len(sizes)], *(w or h for w, h in zip(sizes, x.shape[-len(sizes) :], strict=True)))
    out = m.empty(shape, x.dtype, layout(shape, x))
    indices = m.empty(shape, "int64", layout(shape, x))
    return _backed(m, "AdaptiveMaxPool2DBackward0", "aten::adaptive_max_pool2d_backward", x, out, [x, indices])


def _resize(name: str) -> None:
    title = "".join(part.capitalize() for part in name.split("_")).replace("1d", "1D").replace("2d", "2D") + "Backward0"

    def run(m: Machine, x: Tensor, size: Any = None, *rest: Any, **_: Any) -> Tensor:
        shape = m.wanted[0] if m.wanted else _scaled(x, size, rest)
        out = m.empty(shape, x.dtype, layout(shape, x))
        return _backed(m, title, f"aten::{name}_backward", x, out, [])

    rule(f"aten.{name}")(run)


def _scaled(x: Tensor, size: Any, rest: tuple[Any, ...]) -> Shape:
    if size is not None:
        return (*x.shape[:2], *size)
    factors = next((r for r in reversed(rest) if isinstance(r, list | tuple)), None)
    if factors is None:
        raise MisfitError("neither the file nor the call states a size")
    return (*x.shape[:2], *(int(s * f) for s, f in zip(x.shape[2:], factors, strict=True)))


for _name in (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d", "upsample_bicubic2d",
    "upsample_linear1d", "upsample_trilinear3d", "_upsample_bilinear2d_aa", "_upsample_nearest_exact2d",
):  # fmt: skip
    _resize(_name)


@rule("aten.grid_sampler_2d", "aten.grid_sampler", "aten.grid_sampler_3d")
def grid_sampler(m: Machine, x: Tensor, grid: Tensor, *_: Any) -> Tensor:
    """Saves the input and the grid."""
    shape = (*x.shape[:2], *grid.shape[1:-1])
    out = m.empty(shape, x.dtype, layout(shape, x))

    def back(m: Machine, n: Node, g: Tensor) -> tuple[Tensor | None, ...]:
        with m.operator("aten::grid_sampler_2d_backward"):
            return m.empty(x.shape, g.dtype) if n.needs(0) else None, m.empty(grid.shape, g.dtype)

    m.record("GridSampler2DBackward0", [x, grid], [out], back, [x, grid])
    return out


@rule("aten.pixel_shuffle", "aten.pixel_unshuffle", "aten.channel_shuffle")
def rearranged(m: Machine, x: Tensor, factor: int) -> Tensor:
    """A copy in another order."""
    n, c, h, w = x.shape
    shape = m.wanted[0] if m.wanted else (n, c // factor**2, h * factor, w * factor)
    return _backed(m, "PixelShuffleBackward0", "aten::pixel_unshuffle", x, m.empty(shape, x.dtype), [])
