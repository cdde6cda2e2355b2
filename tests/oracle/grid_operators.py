"""Samplers of one-node models: operator -> a trial drawn from its attributes, shapes, element types and opsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeAlias

import numpy as np

MS, ML = "com.microsoft", "ai.onnx.ml"
NEWEST = 23  # what onnxruntime 1.32 takes without a warning


@dataclass(frozen=True)
class Trial:
    """One call: inputs are arrays, None where left out; those at `fed` come with the run, others are initializers."""

    op: str
    opset: int
    inputs: Sequence[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 1
    domain: str = ""
    fed: tuple[int, ...] = (0,)

    def __str__(self) -> str:
        shapes = ["-" if a is None else f"{np.asarray(a).dtype}{list(np.shape(a))}" for a in self.inputs]
        small = {
            i: np.asarray(a).tolist()
            for i, a in enumerate(self.inputs)
            if a is not None and i not in self.fed and np.size(a) < 9
        }
        return f"{self.domain or 'ai.onnx'}.{self.op} opset {self.opset} {dict(self.attributes)} {shapes} {small or ''}"


Sampler: TypeAlias = Callable[[Random], Trial]
F = np.float32


def dims(r: Random, least: int = 0, most: int = 4, high: int = 6) -> list[int]:
    rank = r.randint(least, most)
    return [0 if r.random() < 0.02 else r.randint(1, high) for _ in range(rank)]


def zeros(shape: Sequence[int], dtype: Any = F) -> Any:
    return np.ones(tuple(shape), dtype)


def opset(r: Random, least: int = 7, most: int = NEWEST) -> int:
    return r.randint(max(7, least), most)


def axis_of(r: Random, rank: int) -> int:
    return r.randint(-rank, rank - 1) if rank else 0


def some(r: Random, options: Mapping[str, Any], share: float = 0.5) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None and r.random() < share}


def ints(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


# --- element by element ----------------------------------------------------------------------------------------------


def unary(op: str, least: int = 7, dtype: Any = F, **attributes: Callable[[Random], Any]) -> Sampler:
    def draw(r: Random) -> Trial:
        plain = {name: make(r) for name, make in attributes.items() if r.random() < 0.5}
        return Trial(op, opset(r, least), [zeros(dims(r), dtype)], plain)

    return draw


def broadcast_pair(r: Random) -> tuple[list[int], list[int]]:
    full = dims(r, 0, 4, 5)
    made = []
    for _ in range(2):
        kept = full[r.randint(0, len(full)) :] if r.random() < 0.5 else list(full)
        made.append([1 if r.random() < 0.25 else n for n in kept])
    return made[0], made[1]


def binary(op: str, least: int = 7, dtype: Any = F, **attributes: Callable[[Random], Any]) -> Sampler:
    def draw(r: Random) -> Trial:
        a, b = broadcast_pair(r)
        plain = {name: make(r) for name, make in attributes.items()}
        return Trial(op, opset(r, least), [zeros(a, dtype), zeros(b, dtype)], plain, fed=(0, 1))

    return draw


def many(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        a, b = broadcast_pair(r)
        shapes = [a, b, a][: r.randint(1, 3)]
        return Trial(op, opset(r, 8), [zeros(s) for s in shapes], fed=tuple(range(len(shapes))))

    return draw


def where(r: Random) -> Trial:
    a, b = broadcast_pair(r)
    return Trial("Where", opset(r, 9), [zeros(a, bool), zeros(b), zeros(a)], fed=(0, 1, 2))


def prelu(r: Random) -> Trial:
    a, b = broadcast_pair(r)
    return Trial("PRelu", opset(r, 7), [zeros(a), zeros(b)], fed=(0, 1))


def clip(r: Random) -> Trial:
    version = opset(r, 11)
    return Trial(
        "Clip", version, [zeros(dims(r)), F(0) if r.random() < 0.5 else None, F(1) if r.random() < 0.5 else None]
    )


def cast(r: Random) -> Trial:
    return Trial("Cast", opset(r, 9), [zeros(dims(r))], {"to": r.choice([1, 6, 7, 9, 10, 11])})


def dropout(r: Random) -> Trial:
    return Trial("Dropout", opset(r, 7), [zeros(dims(r))], {}, r.randint(1, 2))


# --- products --------------------------------------------------------------------------------------------------------


def matmul(op: str, domain: str = "", dtype: Any = F) -> Sampler:
    def draw(r: Random) -> Trial:
        m, k, n = (r.randint(1, 5) for _ in range(3))
        batch, other = broadcast_pair(r)
        a, b = [*batch[-2:], m, k], [*other[-2:], k, n]
        a, b = ([k] if r.random() < 0.12 else a), ([k] if r.random() < 0.12 else b)
        plain = {}
        if domain:
            plain = some(r, {"transA": 1, "transB": 1})
            a = [*a[:-2], a[-1], a[-2]] if "transA" in plain and len(a) > 1 else a
            b = [*b[:-2], b[-1], b[-2]] if "transB" in plain and len(b) > 1 else b
        return Trial(op, opset(r, 10), [zeros(a, dtype), zeros(b, dtype)], plain, 1, domain, (0, 1))

    return draw


def gemm(r: Random) -> Trial:
    m, k, n = (r.randint(1, 6) for _ in range(3))
    ta, tb = r.randint(0, 1), r.randint(0, 1)
    c = r.choice([[n], [m, n], [m, 1], [1, n], [1], []])
    inputs = [zeros([k, m] if ta else [m, k]), zeros([n, k] if tb else [k, n]), zeros(c)]
    version = opset(r, 7)
    return Trial(
        "Gemm", version, inputs if version < 11 or r.random() < 0.6 else inputs[:2], {"transA": ta, "transB": tb}
    )


def einsum(r: Random) -> Trial:
    sizes = {letter: r.randint(1, 4) for letter in "abcdef"}
    left, right = ("".join(r.sample("abcd", r.randint(1, 3))) for _ in range(2))
    out = "".join(r.sample(sorted(set(left + right)), r.randint(0, len(set(left + right)))))
    equation = f"{left},{right}" + ("" if r.random() < 0.2 else f"->{out}")
    inputs = [zeros([sizes[c] for c in term]) for term in (left, right)]
    return Trial("Einsum", opset(r, 12), inputs, {"equation": equation}, fed=(0, 1))


# --- windows ---------------------------------------------------------------------------------------------------------


def window(
    r: Random, rank: int, ceil: bool, dilates: bool, high: int = 12
) -> tuple[list[int], list[int], dict[str, Any]]:
    space = [r.randint(1, high) for _ in range(rank)]
    kernel = [r.randint(1, 4) for _ in range(rank)]
    plain: dict[str, Any] = {}
    if r.random() < 0.7:
        plain["strides"] = [r.randint(1, 4) for _ in range(rank)]
    if dilates and r.random() < 0.4:
        plain["dilations"] = [r.randint(1, 3) for _ in range(rank)]
    auto = r.choice(["NOTSET", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", ""])
    if auto:
        plain["auto_pad"] = auto
    if auto in ("NOTSET", "") and r.random() < 0.6:
        plain["pads"] = [r.randint(0, k - 1) for k in kernel * 2]
    if ceil and r.random() < 0.6:
        plain["ceil_mode"] = 1
    return space, kernel, plain


def pool(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        version = opset(r, 8)
        dilates = (
            (op == "MaxPool" and version >= 10)
            or (op == "AveragePool" and version >= 19)
            or (op == "LpPool" and version >= 18)
        )
        ceil = (version >= 10 and op != "LpPool") or version >= 18
        space, kernel, plain = window(r, r.randint(1, 3), ceil, dilates)
        outputs = 2 if op == "MaxPool" and r.random() < 0.3 else 1
        return Trial(
            op, version, [zeros([r.randint(1, 2), r.randint(1, 3), *space])], {**plain, "kernel_shape": kernel}, outputs
        )

    return draw


def nhwc_max_pool(r: Random) -> Trial:
    space, kernel, plain = window(r, 2, True, True)
    return Trial("NhwcMaxPool", 17, [zeros([1, *space, 3], np.uint8)], {**plain, "kernel_shape": kernel}, 1, MS)


def qlinear_pool(r: Random) -> Trial:
    space, kernel, plain = window(r, 2, True, False)
    space = [max(n, k + 2) for n, k in zip(space, kernel, strict=True)]  # onnxruntime 1.32 divides by none of it
    last = r.randint(0, 1)
    shape = [1, *space, 3] if last else [1, 3, *space]
    inputs = [zeros(shape, np.uint8), F(0.1), np.uint8(1), F(0.1), np.uint8(1)]
    return Trial("QLinearAveragePool", 17, inputs, {**plain, "kernel_shape": kernel, "channels_last": last}, 1, MS)


def conv(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        space, kernel, plain = window(r, r.randint(1, 3), False, True)
        group = r.choice([1, 1, 2])
        channels, filters = group * r.randint(1, 2), group * r.randint(1, 3)
        if r.random() < 0.5:
            plain["kernel_shape"] = kernel
        plain |= {"group": group} if group > 1 else {}
        dtype = np.uint8 if op in ("ConvInteger", "QLinearConv") else F
        x, w = zeros([r.randint(1, 2), channels, *space], dtype), zeros([filters, channels // group, *kernel], dtype)
        if op == "QLinearConv":
            s, z = F(0.1), np.uint8(1)
            return Trial(op, opset(r, 10), [x, s, z, w, s, z, s, z], plain)
        bias = [zeros([filters])] if op == "Conv" and r.random() < 0.5 else []
        return Trial(op, opset(r, 10), [x, w, *bias], plain)

    return draw


def conv_transpose(r: Random) -> Trial:
    rank = r.randint(1, 3)
    space, kernel, plain = window(r, rank, False, True, 7)
    group = r.choice([1, 1, 2])
    if r.random() < 0.4:
        plain["output_padding"] = [r.randint(0, 2) for _ in range(rank)]
    if r.random() < 0.25:
        plain["output_shape"] = [r.randint(1, 24) for _ in range(rank)]
        plain.pop("pads", None)
    plain |= {"group": group} if group > 1 else {}
    return Trial("ConvTranspose", opset(r, 8), [zeros([1, 2 * group, *space]), zeros([2 * group, 3, *kernel])], plain)


def global_pool(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        return Trial(op, opset(r, 7), [zeros([2, 3, *[r.randint(1, 6) for _ in range(r.randint(1, 3))]])])

    return draw


# --- shapes ----------------------------------------------------------------------------------------------------------


def decided(r: Random, *positions: int) -> tuple[int, ...]:
    """Mostly the data alone are given with the run, at times also what says the shape."""
    return (0, *positions) if r.random() < 0.12 else (0,)


def reshape(r: Random) -> Trial:
    shape = [r.randint(1, 6) for _ in range(r.randint(0, 4))]
    total = int(np.prod(shape))
    target: list[int] = []
    rest = total
    for _ in range(r.randint(0, 3)):
        n = r.choice([d for d in range(1, rest + 1) if rest % d == 0])
        target.append(n)
        rest //= n
    target.insert(r.randint(0, len(target)), rest)
    if r.random() < 0.5:
        target[r.randrange(len(target))] = -1
    for at in range(min(len(target), len(shape))):
        if target[at] == shape[at] and r.random() < 0.4:
            target[at] = 0
    version = opset(r, 7)
    return Trial(
        "Reshape",
        version,
        [zeros(shape), ints(*target)],
        some(r, {"allowzero": 0} if version >= 14 else {}),
        fed=decided(r, 1),
    )


def transpose(r: Random) -> Trial:
    shape = dims(r, 0, 5)
    perm = r.sample(range(len(shape)), len(shape))
    return Trial("Transpose", opset(r, 7), [zeros(shape)], {"perm": perm} if r.random() < 0.7 and perm else {})


def axes_form(r: Random, op: str, since: int, shape: list[int], axes: list[int] | None, plain: dict[str, Any]) -> Trial:
    """Axes are an attribute before opset `since`, an input since."""
    version = opset(r, 9)
    if axes is None:
        return Trial(op, version, [zeros(shape)], plain)
    if version < since:
        return Trial(op, version, [zeros(shape)], {**plain, "axes": axes})
    return Trial(op, version, [zeros(shape), ints(*axes)], plain, fed=decided(r, 1))


def signed(r: Random, axes: Sequence[int], rank: int) -> list[int]:
    return [axis - rank if r.random() < 0.3 else axis for axis in axes]


def squeeze(r: Random) -> Trial:
    shape = [r.choice([1, 1, 2, 3]) for _ in range(r.randint(1, 5))]
    ones = [i for i, n in enumerate(shape) if n == 1]
    axes = signed(r, r.sample(ones, r.randint(1, len(ones))), len(shape)) if ones and r.random() < 0.7 else None
    trial = axes_form(r, "Squeeze", 13, shape, axes, {})
    negative = any(a < 0 for a in axes or ())
    return trial if trial.opset >= 11 or not negative else squeeze(r)


def unsqueeze(r: Random) -> Trial:
    shape = dims(r, 0, 3)
    count = r.randint(1, 2)
    rank = len(shape) + count
    axes = signed(r, r.sample(range(rank), count), rank)
    trial = axes_form(r, "Unsqueeze", 13, shape, axes, {})
    return trial if trial.opset >= 11 or min(axes) >= 0 else unsqueeze(r)


def flatten(r: Random) -> Trial:
    shape = dims(r, 0, 5)
    version = opset(r, 11)
    return Trial("Flatten", version, [zeros(shape)], some(r, {"axis": r.randint(-len(shape), len(shape))}, 0.8))


def expand(r: Random) -> Trial:
    a, b = broadcast_pair(r)
    return Trial("Expand", opset(r, 8), [zeros(a), ints(*b)], fed=decided(r, 1))


def tile(r: Random) -> Trial:
    shape = dims(r, 1, 4, 4)
    return Trial(
        "Tile",
        opset(r, 7),
        [zeros(shape), ints(*[r.randint(0 if r.random() < 0.1 else 1, 3) for _ in shape])],
        fed=decided(r, 1),
    )


def concat(r: Random) -> Trial:
    shape = dims(r, 1, 4)
    axis = axis_of(r, len(shape))
    count = r.randint(1, 4)
    parts = []
    for _ in range(count):
        part = list(shape)
        part[axis] = r.randint(0, 4)
        parts.append(zeros(part))
    return Trial("Concat", opset(r, 11), parts, {"axis": axis}, fed=tuple(range(count)))


def split(r: Random) -> Trial:
    version = opset(r, 8)
    shape = dims(r, 1, 4, 8)
    axis = axis_of(r, len(shape)) if version >= 11 else r.randrange(len(shape))
    count = r.randint(1, 4)
    size = shape[axis]
    plain: dict[str, Any] = {"axis": axis}
    inputs: list[Any] = [zeros(shape)]
    if r.random() < 0.5:
        cuts = sorted(r.randint(0, size) for _ in range(count - 1))
        parts = [b - a for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
        if version < 13:
            plain["split"] = parts
        else:
            inputs.append(ints(*parts))
    elif version >= 18:
        plain["num_outputs"] = count
    elif size % count:
        count = 1
    return Trial("Split", version, inputs, plain, count, fed=decided(r, 1) if len(inputs) > 1 else (0,))


def slice_(r: Random) -> Trial:
    version = opset(r, 7)
    shape = dims(r, 1, 4, 7)
    axes = r.sample(range(len(shape)), r.randint(1, len(shape)))
    ends = [-(2**63), -9, -3, -2, -1, 0, 1, 2, 3, 5, 9, 2**31 - 1, 2**63 - 1]
    a, b = ([r.choice(ends[1:-2] if which == 0 else ends) for _ in axes] for which in (0, 1))
    if version < 10:
        return Trial("Slice", version, [zeros(shape)], {"starts": a, "ends": b, "axes": axes})
    inputs = [zeros(shape), ints(*a), ints(*b)]
    if r.random() < 0.7 or len(axes) < len(shape):
        inputs.append(ints(*signed(r, axes, len(shape))))
        if r.random() < 0.6:
            inputs.append(ints(*[r.choice([1, 2, 3, -1, -2, -3]) for _ in axes]))
    return Trial("Slice", version, inputs, fed=decided(r, *r.sample([1, 2], 1)))


def pad(r: Random, op_domain: str = "") -> Trial:
    version = opset(r, 8) if not op_domain else 17
    shape = dims(r, 1, 4)
    mode = r.choice(
        ["constant", "constant", "reflect", "edge", "wrap"]
        if version >= 19
        else ["constant", "constant", "reflect", "edge"]
    )
    low = -2 if mode == "constant" else 0
    axes = list(range(len(shape)))
    if version >= 18 and not op_domain and r.random() < 0.4:
        axes = r.sample(axes, r.randint(1, len(axes)))
    pads = [r.randint(low, 3) for _ in axes * 2]
    if version < 11:
        return Trial("Pad", version, [zeros(shape)], {"pads": pads, "mode": mode})
    inputs = [zeros(shape), ints(*pads), F(0)]
    if len(axes) < len(shape):
        inputs.append(ints(*signed(r, axes, len(shape))))
    return Trial("Pad", version, inputs, {"mode": mode}, 1, op_domain, decided(r, 1))


def ms_pad(r: Random) -> Trial:
    return pad(r, MS)


def gather(r: Random) -> Trial:
    shape = dims(r, 1, 4)
    axis = axis_of(r, len(shape))
    size = max(1, shape[axis])
    indices = np.array([r.randint(-size, size - 1) for _ in range(3)], np.int64)[: r.randint(0, 3)]
    picked: Any = (
        indices
        if r.random() < 0.6
        else (np.int64(r.randint(0, size - 1)) if r.random() < 0.5 else indices.reshape(1, -1))
    )
    return Trial("Gather", opset(r, 11), [zeros(shape), np.asarray(picked)], {"axis": axis}, fed=decided(r, 1))


def gather_elements(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        shape = [r.randint(1, 5) for _ in range(r.randint(1, 4))]
        axis = axis_of(r, len(shape))
        picked = [r.randint(1, n) for n in shape]
        indices = np.zeros(picked, np.int64)
        if op == "GatherElements":
            return Trial(op, opset(r, 11), [zeros(shape), indices], {"axis": axis})
        return Trial(op, opset(r, 11), [zeros(shape), indices, zeros(picked)], {"axis": axis}, fed=(0, 2))

    return draw


def gather_nd(op: str, domain: str = "") -> Sampler:
    def draw(r: Random) -> Trial:
        version = opset(r, 11)
        shape = [r.randint(1, 4) for _ in range(r.randint(1, 4))]
        batch = (
            r.randint(0, len(shape) - 1)
            if op == "GatherND" and version >= 12 and not domain and r.random() < 0.4
            else 0
        )
        last = r.randint(1, len(shape) - batch)
        lead = [*shape[:batch], *dims(r, 0, 2, 3)]
        indices = np.zeros([*lead, last], np.int64)
        plain = {"batch_dims": batch} if batch else {}
        if op == "GatherND":
            return Trial(op, version, [zeros(shape), indices], plain, 1, domain)
        return Trial(op, version, [zeros(shape), indices, zeros([*lead, *shape[last:]])], fed=(0, 2))

    return draw


def depth(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        size = r.randint(1, 3)
        h, w, c = (r.randint(1, 4) for _ in range(3))
        plain: dict[str, Any] = {"blocksize": size}
        version = opset(r, 11)
        if op == "DepthToSpace":
            return Trial(op, version, [zeros([1, c * size**2, h, w])], {**plain, **some(r, {"mode": "CRD"})})
        return Trial(op, version, [zeros([1, c, h * size, w * size])], plain)

    return draw


def shape_(r: Random) -> Trial:
    shape, version = dims(r, 0, 5), opset(r, 7)
    ends = {"start": r.randint(-6, 6), "end": r.randint(-6, 6)} if version >= 15 else {}
    return Trial("Shape", version, [zeros(shape)], some(r, ends))


def size_(r: Random) -> Trial:
    return Trial("Size", opset(r, 7), [zeros(dims(r))])


def constant_of_shape(r: Random) -> Trial:
    return Trial("ConstantOfShape", opset(r, 9), [ints(*dims(r))], fed=(0,) if r.random() < 0.1 else ())


def range_(r: Random) -> Trial:
    dtype = r.choice([np.int64, np.int32, np.float32, np.float64])
    step = r.choice([1, 2, 3, -1, -2]) if dtype in (np.int64, np.int32) else r.choice([0.1, 0.3, 1.0, -0.7, 0.25])
    a, b = (r.randint(-9, 9) for _ in range(2))
    return Trial(
        "Range", opset(r, 11), [dtype(a), dtype(b), dtype(step)], fed=(r.randrange(3),) if r.random() < 0.1 else ()
    )


def eye(r: Random) -> Trial:
    return Trial("EyeLike", opset(r, 9), [zeros(dims(r, 2, 2))], some(r, {"dtype": r.choice([1, 6, 7]), "k": 1}))


def one_hot(r: Random) -> Trial:
    shape = dims(r, 0, 3)
    axis = r.randint(-len(shape) - 1, len(shape))
    depth_ = np.int64(r.randint(1, 5))
    return Trial(
        "OneHot",
        opset(r, 11),
        [np.zeros(shape, np.int64), depth_, np.array([0, 1], F)],
        {"axis": axis},
        fed=decided(r, 1),
    )


def trilu(r: Random) -> Trial:
    return Trial("Trilu", opset(r, 14), [zeros(dims(r, 2, 4))], some(r, {"upper": 0}))


def top_k(r: Random) -> Trial:
    version = opset(r, 7)
    shape = [r.randint(1, 6) for _ in range(r.randint(1, 4))]
    axis = axis_of(r, len(shape)) if version >= 11 else r.randrange(len(shape))
    k = r.randint(0 if version >= 11 else 1, shape[axis])
    if version < 10:
        return Trial("TopK", version, [zeros(shape)], {"k": k, "axis": axis}, 2)
    return Trial("TopK", version, [zeros(shape), ints(k)], {"axis": axis}, 2, fed=decided(r, 1))


def non_zero(r: Random) -> Trial:
    data = np.array([r.randint(0, 1) for _ in range(24)], F).reshape(r.choice([[24], [4, 6], [2, 3, 4], [1, 24]]))
    return Trial("NonZero", opset(r, 9), [data], fed=() if r.random() < 0.2 else (0,))


def compress(r: Random) -> Trial:
    shape = [r.randint(1, 5) for _ in range(r.randint(1, 3))]
    axis = axis_of(r, len(shape)) if r.random() < 0.6 else None
    most = shape[axis] if axis is not None else int(np.prod(shape))
    condition = np.array([r.random() < 0.5 for _ in range(r.randint(1, most))])
    plain = {} if axis is None else {"axis": axis}
    return Trial("Compress", opset(r, 11), [zeros(shape), condition], plain, fed=(0, 1) if r.random() < 0.5 else (0,))


def unique(r: Random) -> Trial:
    shape = [r.randint(1, 5) for _ in range(r.randint(1, 3))]
    plain = {} if r.random() < 0.5 else {"axis": axis_of(r, len(shape))}
    return Trial("Unique", opset(r, 11), [zeros(shape)], {**plain, **some(r, {"sorted": 0})}, r.randint(1, 4))


def reverse_sequence(r: Random) -> Trial:
    shape = [r.randint(1, 4) for _ in range(r.randint(2, 4))]
    time = r.randint(0, 1)
    return Trial(
        "ReverseSequence",
        opset(r, 10),
        [zeros(shape), np.ones(shape[1 - time], np.int64)],
        {"time_axis": time, "batch_axis": 1 - time},
    )


def center_crop_pad(r: Random) -> Trial:
    shape = [r.randint(1, 6) for _ in range(r.randint(1, 4))]
    axes = r.sample(range(len(shape)), r.randint(1, len(shape))) if r.random() < 0.6 else None
    target = ints(*[r.randint(1, 8) for _ in (axes if axes is not None else shape)])
    return Trial(
        "CenterCropPad",
        opset(r, 18),
        [zeros(shape), target],
        {} if axes is None else {"axes": signed(r, axes, len(shape))},
    )


def col2im(r: Random) -> Trial:
    rank = r.randint(1, 2)
    image, block = [r.randint(4, 8) for _ in range(rank)], [r.randint(1, 3) for _ in range(rank)]
    plain: dict[str, Any] = some(
        r,
        {
            "strides": [r.randint(1, 2) for _ in range(rank)],
            "dilations": [1] * rank,
            "pads": [r.randint(0, 1) for _ in range(2 * rank)],
        },
    )
    strides, pads = plain.get("strides", [1] * rank), plain.get("pads", [0] * 2 * rank)
    count = 1
    for i in range(rank):
        count *= (image[i] + pads[i] + pads[i + rank] - block[i]) // strides[i] + 1
    data = zeros([1, 2 * int(np.prod(block)), count])
    return Trial("Col2Im", opset(r, 18), [data, ints(*image), ints(*block)], plain)


# --- reductions, norms -----------------------------------------------------------------------------------------------


def reduce(op: str) -> Sampler:
    since = 13 if op == "ReduceSum" else 18

    def draw(r: Random) -> Trial:
        shape = dims(r, 0, 4)
        axes = (
            signed(r, r.sample(range(len(shape)), r.randint(1, len(shape))), len(shape))
            if shape and r.random() < 0.8
            else None
        )
        plain = some(r, {"keepdims": r.randint(0, 1)}, 0.7)
        trial = axes_form(r, op, since, shape, axes, plain)
        if trial.opset < 11 and any(a < 0 for a in axes or ()):
            return draw(r)
        if trial.opset >= since and axes is None and r.random() < 0.4:
            return Trial(op, trial.opset, trial.inputs, {**plain, "noop_with_empty_axes": 1})
        return trial

    return draw


def arg(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        shape = [r.randint(1, 5) for _ in range(r.randint(1, 4))]
        plain = {"axis": axis_of(r, len(shape)), "keepdims": r.randint(0, 1)}
        return Trial(op, opset(r, 11), [zeros(shape)], some(r, plain, 0.8))

    return draw


def cum_sum(r: Random) -> Trial:
    shape = dims(r, 1, 4)
    return Trial(
        "CumSum",
        opset(r, 11),
        [zeros(shape), np.int64(axis_of(r, len(shape)))],
        some(r, {"reverse": 1, "exclusive": 1}),
    )


def softmax(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        shape = dims(r, 1, 4)
        return Trial(op, opset(r, 11), [zeros(shape)], some(r, {"axis": axis_of(r, len(shape))}, 0.7))

    return draw


def batch_norm(r: Random) -> Trial:
    c = r.randint(1, 4)
    shape = [r.randint(1, 3), c, *dims(r, 0, 3)]
    v = zeros([c])
    version = opset(r, 9)
    if version >= 15 and r.random() < 0.3:
        return Trial("BatchNormalization", version, [zeros(shape), v, v, v, v], {"training_mode": 1}, r.choice([1, 3]))
    return Trial("BatchNormalization", version, [zeros(shape), v, v, v, v])


def instance_norm(r: Random) -> Trial:
    c = r.randint(1, 4)
    return Trial(
        "InstanceNormalization",
        opset(r, 7),
        [zeros([2, c, *[r.randint(1, 4) for _ in range(r.randint(1, 3))]]), zeros([c]), zeros([c])],
    )


def layer_norm(op: str, least: int, outputs: int, domain: str = "") -> Sampler:
    def draw(r: Random) -> Trial:
        shape = [r.randint(1, 4) for _ in range(r.randint(1, 4))]
        axis = axis_of(r, len(shape))
        scale = zeros(shape[axis:])
        bias = [scale] if op == "LayerNormalization" and r.random() < 0.5 else []
        return Trial(op, opset(r, least), [zeros(shape), scale, *bias], {"axis": axis}, r.choice([1, outputs]), domain)

    return draw


def group_norm(r: Random) -> Trial:
    groups, each = r.randint(1, 3), r.randint(1, 3)
    c = groups * each
    shape = [r.randint(1, 2), c, *[r.randint(1, 4) for _ in range(r.randint(1, 2))]]
    return Trial("GroupNormalization", opset(r, 21), [zeros(shape), zeros([c]), zeros([c])], {"num_groups": groups})


def lrn(r: Random) -> Trial:
    return Trial(
        "LRN",
        opset(r, 7),
        [zeros([1, r.randint(1, 5), r.randint(1, 4), r.randint(1, 4)])],
        {"size": r.choice([1, 3, 5])},
    )


# --- recurrence ------------------------------------------------------------------------------------------------------


def recurrent(op: str) -> Sampler:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]

    def draw(r: Random) -> Trial:
        version = opset(r, 7)
        t, b, i, h = (r.randint(1, 4) for _ in range(4))
        direction = r.choice(["forward", "reverse", "bidirectional"])
        n = 2 if direction == "bidirectional" else 1
        first = version >= 14 and r.random() < 0.3 and False
        x = zeros([b, t, i] if first else [t, b, i])
        plain: dict[str, Any] = {"hidden_size": h, "direction": direction}
        most = 3 if op == "LSTM" else 2
        return Trial(op, version, [x, zeros([n, gates * h, i]), zeros([n, gates * h, h])], plain, r.randint(1, most))

    return draw


# --- resizing --------------------------------------------------------------------------------------------------------


def scale_of(r: Random) -> float:
    kind = r.randrange(3)
    return (
        r.randint(3, 40) / 10
        if kind == 0
        else r.randint(20, 300) / 100
        if kind == 1
        else r.randint(1, 30) / r.randint(1, 30)
    )


def resize(r: Random) -> Trial:
    version = opset(r, 10)
    rank = r.randint(2, 4)
    shape = (
        [r.randint(1, 2), *[r.randint(1, 40) for _ in range(rank - 1)]]
        if rank < 4
        else [1, 2, r.randint(1, 60), r.randint(1, 60)]
    )
    plain: dict[str, Any] = {"mode": "nearest"}
    axes = None
    if version >= 18 and r.random() < 0.5:
        axes = r.sample(range(rank), r.randint(1, rank))
        plain["axes"] = signed(r, axes, rank)
    count = rank if axes is None else len(axes)
    if version >= 11 and r.random() < 0.5:
        plain["coordinate_transformation_mode"] = r.choice(
            ["half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners"]
        )
    if version == 10:
        return Trial("Resize", version, [zeros(shape), np.array([scale_of(r) for _ in shape], F)], {"mode": "nearest"})
    roi = None if version >= 13 else np.zeros(0, F)
    if r.random() < 0.4:
        if version >= 18 and r.random() < 0.6:
            plain["keep_aspect_ratio_policy"] = r.choice(["stretch", "not_larger", "not_smaller"])
        sizes = ints(*[r.randint(1, 60) for _ in range(count)])
        scales = None if version >= 13 else np.zeros(0, F)
        return Trial("Resize", version, [zeros(shape), roi, scales, sizes], plain)
    return Trial("Resize", version, [zeros(shape), roi, np.array([scale_of(r) for _ in range(count)], F)], plain)


def upsample(r: Random) -> Trial:
    version = r.choice([7, 8, 9])
    shape = [1, r.randint(1, 3), r.randint(1, 60), r.randint(1, 60)]
    scales = [1.0, 1.0, 1 + abs(scale_of(r)), 1 + abs(scale_of(r))]
    plain: dict[str, Any] = some(r, {"mode": "linear"})
    if version < 9:
        return Trial("Upsample", version, [zeros(shape)], {**plain, "scales": scales})
    return Trial("Upsample", version, [zeros(shape), np.array(scales, F)], plain)


def grid_sample(r: Random) -> Trial:
    return Trial(
        "GridSample",
        opset(r, 16),
        [zeros([2, 3, r.randint(1, 5), r.randint(1, 5)]), zeros([2, r.randint(1, 6), r.randint(1, 6), 2])],
        fed=(0, 1),
    )


def roi_align(r: Random) -> Trial:
    n = r.randint(0, 4)
    plain = some(r, {"output_height": r.randint(1, 4), "output_width": r.randint(1, 4), "sampling_ratio": 2})
    inputs = [zeros([1, 2, 6, 6]), zeros([n, 4]), np.zeros(n, np.int64)]
    return Trial("RoiAlign", opset(r, 10), inputs, plain, fed=(0, 1, 2))


def affine_grid(r: Random) -> Trial:
    size = [r.randint(1, 2), r.randint(1, 3), *[r.randint(1, 5) for _ in range(r.randint(2, 3))]]
    rank = len(size) - 2
    return Trial("AffineGrid", opset(r, 20), [zeros([size[0], rank, rank + 1]), ints(*size)])


# --- sequences, quantization, signals, losses ------------------------------------------------------------------------


def split_to_sequence(r: Random) -> Trial:
    shape = [r.randint(1, 6) for _ in range(r.randint(1, 3))]
    axis = axis_of(r, len(shape))
    plain = {"axis": axis, **some(r, {"keepdims": r.randint(0, 1)})}
    kind = r.randrange(3)
    if kind == 0:
        return Trial("SplitToSequence", opset(r, 11), [zeros(shape)], plain)
    if kind == 1:
        return Trial(
            "SplitToSequence", opset(r, 11), [zeros(shape), np.int64(r.randint(1, 4))], plain, fed=decided(r, 1)
        )
    cut = r.randint(0, shape[axis])
    return Trial(
        "SplitToSequence", opset(r, 11), [zeros(shape), ints(cut, shape[axis] - cut)], plain, fed=decided(r, 1)
    )


def quantize(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        shape = dims(r, 1, 4)
        dtype = r.choice([np.uint8, np.int8])
        version = opset(r, 13)
        data = zeros(shape, F if op == "QuantizeLinear" else dtype)
        if r.random() < 0.5:
            return Trial(op, version, [data, F(0.1), dtype(0)])
        axis = axis_of(r, len(shape))
        return Trial(op, version, [data, zeros([shape[axis]]), zeros([shape[axis]], dtype)], {"axis": axis})

    return draw


def dynamic_quantize(r: Random) -> Trial:
    return Trial("DynamicQuantizeLinear", opset(r, 11), [zeros(dims(r, 1))], {}, 3)


def qlinear_matmul(r: Random) -> Trial:
    t = matmul("QLinearMatMul", "", np.uint8)(r)
    s, z = F(0.1), np.uint8(1)
    return Trial("QLinearMatMul", t.opset, [t.inputs[0], s, z, t.inputs[1], s, z, s, z], fed=(0, 3))


def stft(r: Random) -> Trial:
    length, frame = r.randint(8, 40), r.randint(2, 8)
    shape = r.choice([[2, length], [2, length, 1]])
    plain = some(r, {"onesided": r.randint(0, 1)})
    window_ = zeros([frame]) if r.random() < 0.5 else None
    return Trial("STFT", opset(r, 17), [zeros(shape), np.int64(r.randint(1, 5)), window_, np.int64(frame)], plain)


def dft(r: Random) -> Trial:
    version = opset(r, 17)
    shape = [r.randint(1, 3), r.randint(2, 8), r.randint(1, 4), r.choice([1, 2])]
    axis = r.randint(0, 2) if r.random() < 0.7 else 1
    plain = some(r, {"onesided": 1, "inverse": 1})
    length = np.int64(r.randint(1, 10)) if r.random() < 0.4 else None
    if version < 20:
        return Trial(
            "DFT", version, [zeros(shape), length] if length is not None else [zeros(shape)], {**plain, "axis": axis}
        )
    return Trial("DFT", version, [zeros(shape), length, np.int64(axis)], plain)


def window_function(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        plain = some(r, {"periodic": 0, "output_datatype": r.choice([1, 11])})
        return Trial(op, opset(r, 17), [np.int64(r.randint(1, 20))], plain, fed=())

    return draw


def mel(r: Random) -> Trial:
    inputs = [np.int64(r.randint(2, 9)), np.int64(r.choice([16, 31, 64])), np.int64(8000), F(0), F(4000)]
    return Trial("MelWeightMatrix", opset(r, 17), inputs, fed=())


def loss(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        n, c = r.randint(1, 3), r.randint(1, 4)
        rest = dims(r, 0, 2)
        plain = some(r, {"reduction": r.choice(["none", "mean", "sum"]), "ignore_index": -1}, 0.7)
        weight = [zeros([c])] if r.random() < 0.4 else []
        outputs = r.randint(1, 2) if op == "SoftmaxCrossEntropyLoss" else 1
        return Trial(op, opset(r, 12), [zeros([n, c, *rest]), np.zeros([n, *rest], np.int64), *weight], plain, outputs)

    return draw


def nms(r: Random) -> Trial:
    n, b, c = r.randint(1, 2), r.randint(1, 6), r.randint(1, 3)
    inputs = [zeros([n, b, 4]), zeros([n, c, b]), ints(r.randint(0, 4)), np.array([0.5], F), np.array([0.0], F)]
    return Trial("NonMaxSuppression", opset(r, 10), inputs[: r.randint(2, 5)], fed=(0, 1))


def max_unpool(r: Random) -> Trial:
    x = zeros([1, 1, r.randint(1, 3), r.randint(1, 3)])
    plain = {"kernel_shape": [2, 2], **some(r, {"strides": [2, 2]})}
    return Trial("MaxUnpool", opset(r, 9), [x, np.zeros(x.shape, np.int64)], plain)


def det(r: Random) -> Trial:
    n = r.randint(1, 3)
    return Trial("Det", opset(r, 11), [zeros([*dims(r, 0, 2), n, n])])


def attention(r: Random) -> Trial:
    b, s, t, p = r.randint(1, 2), r.randint(1, 4), r.randint(1, 4), r.randint(1, 3)
    heads = r.choice([1, 2, 4])
    groups = r.choice([n for n in (1, 2, 4) if heads % n == 0])
    size, wide = r.choice([2, 4]), r.choice([2, 4])
    outputs = r.choice([1, 3, 4])
    past = outputs >= 3 and r.random() < 0.5
    plain: dict[str, Any] = {}
    if r.random() < 0.5:
        inputs = [zeros([b, heads, s, size]), zeros([b, groups, t, size]), zeros([b, groups, t, wide])]
    else:
        inputs = [zeros([b, s, heads * size]), zeros([b, t, groups * size]), zeros([b, t, groups * wide])]
        plain = {"q_num_heads": heads, "kv_num_heads": groups}
    if past:
        inputs += [None, zeros([b, groups, p, size]), zeros([b, groups, p, wide])]
    return Trial(
        "Attention", 23, inputs, {**plain, **some(r, {"is_causal": 1})}, outputs, fed=tuple(range(len(inputs)))
    )


def rotary(r: Random) -> Trial:
    b, s, n, h = r.randint(1, 2), r.randint(1, 4), r.randint(1, 3), r.choice([2, 4, 8])
    cache = zeros([b, s, h // 2])
    if r.random() < 0.5:
        return Trial("RotaryEmbedding", 23, [zeros([b, n, s, h]), cache, cache])
    return Trial("RotaryEmbedding", 23, [zeros([b, s, n * h]), cache, cache], {"num_heads": n})


# --- com.microsoft ---------------------------------------------------------------------------------------------------


def ms_attention(r: Random) -> Trial:
    b, s, n = r.randint(1, 2), r.randint(1, 4), r.choice([1, 2])
    q, v = n * r.choice([2, 4]), n * r.choice([2, 4, 6])
    d = r.choice([4, 6])
    plain: dict[str, Any] = {"num_heads": n}
    total = 3 * q
    if r.random() < 0.5:
        plain["qkv_hidden_sizes"], total = [q, q, v], 2 * q + v
    return Trial("Attention", 17, [zeros([b, s, d]), zeros([d, total]), zeros([total])], plain, r.randint(1, 2), MS)


def ms_heads(r: Random) -> Trial:
    b, s, t, n = r.randint(1, 2), r.randint(1, 4), r.randint(1, 4), r.choice([1, 2])
    h, v = r.choice([2, 4]), r.choice([2, 4])
    inputs = [zeros([b, s, n * h]), zeros([b, t, n * h]), zeros([b, t, n * v])]
    return Trial("MultiHeadAttention", 17, inputs, {"num_heads": n}, r.choice([1, 3]), MS, (0, 1, 2))


def ms_like(op: str, *shapes: Callable[[list[int]], list[int]], outputs: int = 1, least: int = 1) -> Sampler:
    def draw(r: Random) -> Trial:
        shape = [r.randint(1, 5) for _ in range(r.randint(least, 3))]
        return Trial(op, 17, [zeros(shape), *[zeros(make(shape)) for make in shapes]], {}, outputs, MS)

    return draw


def qlinear_binary(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        a, b = broadcast_pair(r)
        s, z = F(0.1), np.uint8(1)
        return Trial(op, 17, [zeros(a, np.uint8), s, z, zeros(b, np.uint8), s, z, s, z], {}, 1, MS, (0, 3))

    return draw


def unfold(r: Random) -> Trial:
    shape = [r.randint(2, 8) for _ in range(r.randint(1, 3))]
    axis = axis_of(r, len(shape))
    plain = {"dim": axis, "size": r.randint(1, shape[axis]), **some(r, {"step": r.randint(1, 3)})}
    return Trial("UnfoldTensor", 17, [zeros(shape)], plain, 1, MS)


def skip_norm(r: Random) -> Trial:
    shape = [r.randint(1, 3), r.randint(1, 4), r.choice([4, 8])]
    v = zeros(shape[-1:])
    return Trial("SkipLayerNormalization", 17, [zeros(shape), zeros(shape), v, v], {}, 1, MS, (0, 1))


# --- ai.onnx.ml ------------------------------------------------------------------------------------------------------


def rows_of(r: Random, width: int) -> list[int]:
    return [r.randint(1, 5), width] if r.random() < 0.85 else [width]


def linear_classifier(r: Random) -> Trial:
    width, classes = r.randint(1, 4), r.randint(2, 4)
    rows = 1 if classes == 2 and r.random() < 0.4 else classes
    plain: dict[str, Any] = {"coefficients": [1.0] * (rows * width), "intercepts": [0.0] * rows}
    plain |= (
        {"classlabels_ints": list(range(classes))}
        if r.random() < 0.5
        else {"classlabels_strings": [str(i) for i in range(classes)]}
    )
    plain |= some(r, {"post_transform": r.choice(["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])})
    return Trial("LinearClassifier", 17, [zeros(rows_of(r, width))], plain, 2, ML)


def linear_regressor(r: Random) -> Trial:
    width, targets = r.randint(1, 4), r.randint(1, 3)
    plain = {"coefficients": [1.0] * (targets * width), "intercepts": [0.0] * targets, "targets": targets}
    return Trial("LinearRegressor", 17, [zeros(rows_of(r, width))], plain, 1, ML)


TREE = {
    "nodes_falsenodeids": [2, 0, 0], "nodes_truenodeids": [1, 0, 0], "nodes_featureids": [0, 0, 0],
    "nodes_hitrates": [1.0, 1.0, 1.0], "nodes_missing_value_tracks_true": [0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_nodeids": [0, 1, 2], "nodes_treeids": [0, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0],
}  # fmt: skip


def tree(op: str) -> Sampler:
    def draw(r: Random) -> Trial:
        x = zeros([r.randint(1, 5), r.randint(1, 4)], r.choice([F, np.float64, np.int64]))
        name = "class" if op == "TreeEnsembleClassifier" else "target"
        count = r.randint(1, 4)
        ids = [r.randrange(count) for _ in range(2)]
        plain = {
            **TREE,
            f"{name}_ids": ids,
            f"{name}_nodeids": [1, 2],
            f"{name}_treeids": [0, 0],
            f"{name}_weights": [1.0, 1.0],
        }
        if name == "target":
            return Trial(op, 17, [x], {**plain, "n_targets": count}, 1, ML)
        labels = (
            {"classlabels_int64s": list(range(count))}
            if r.random() < 0.5 or count < 2  # onnxruntime 1.32 reads past the end of one string
            else {"classlabels_strings": [str(i) for i in range(count)]}
        )
        return Trial(op, 17, [x], {**plain, **labels, **some(r, {"post_transform": "SOFTMAX"})}, 2, ML)

    return draw


def ml_like(op: str, dtypes: Sequence[Any] = (F,), **plain: Any) -> Sampler:
    def draw(r: Random) -> Trial:
        return Trial(op, 17, [zeros(rows_of(r, r.randint(1, 4)), r.choice(dtypes))], plain, 1, ML)

    return draw


def one_hot_encoder(r: Random) -> Trial:
    plain = {"cats_int64s": list(range(r.randint(1, 5))), "zeros": 1}
    return Trial("OneHotEncoder", 17, [np.zeros(dims(r, 1, 3), r.choice([np.int64, np.int32, F]))], plain, 1, ML)


def feature_extractor(r: Random) -> Trial:
    shape = [r.randint(1, 4) for _ in range(r.randint(1, 3))]
    picked = np.zeros(r.randint(1, 3), np.int64)
    return Trial("ArrayFeatureExtractor", 17, [zeros(shape), picked], {}, 1, ML)


def feature_vectorizer(r: Random) -> Trial:
    n = r.randint(1, 4)
    widths = [r.randint(1, 4) for _ in range(r.randint(1, 3))]
    return Trial(
        "FeatureVectorizer",
        17,
        [zeros([n, w]) for w in widths],
        {"inputdimensions": widths},
        1,
        ML,
        tuple(range(len(widths))),
    )


def label_encoder(r: Random) -> Trial:
    plain = {
        "keys_int64s": [0, 1],
        **r.choice([{"values_int64s": [3, 4]}, {"values_floats": [1.0, 2.0]}, {"values_strings": ["a", "b"]}]),
    }
    return Trial("LabelEncoder", 17, [np.zeros(dims(r, 1, 3), np.int64)], plain, 1, ML)


def tf_idf(r: Random) -> Trial:
    columns = r.randint(1, 5)
    data = np.zeros(r.choice([[r.randint(1, 5)], [r.randint(1, 3), r.randint(1, 5)]]), np.int64)
    plain = {"max_gram_length": 1, "min_gram_length": 1, "max_skip_count": 0, "mode": "TF", "ngram_counts": [0]}
    plain |= {"ngram_indexes": list(range(columns)), "pool_int64s": list(range(columns))}
    return Trial("TfIdfVectorizer", opset(r, 9), [data], plain)


OPERATORS: Mapping[str, Sampler] = {
    **{op: unary(op) for op in ("Abs", "Ceil", "Exp", "Floor", "Identity", "Log", "Neg", "Reciprocal", "Relu",
    "Sigmoid", "Sqrt", "Tanh", "Softplus", "Softsign", "Sin", "Cos")},
    **{op: unary(op, 9) for op in ("Erf", "Sign", "IsNaN", "Acos", "Atan", "Sinh")},
    "Round": unary("Round", 11), "IsInf": unary("IsInf", 10), "Not": unary("Not", 7, bool),
    "HardSwish": unary("HardSwish", 14),
    "Elu": unary("Elu", 7, F, alpha=lambda r: r.random()), "LeakyRelu": unary("LeakyRelu", 7, F,
    alpha=lambda r: r.random()),
    "Selu": unary("Selu"), "Gelu": unary("Gelu", 20), "Celu": unary("Celu", 12),
    "ThresholdedRelu": unary("ThresholdedRelu", 10),
    "Shrink": unary("Shrink", 9), "Mish": unary("Mish", 18), "HardSigmoid": unary("HardSigmoid"),
    **{op: binary(op) for op in ("Add", "Sub", "Mul", "Div", "Pow")},
    "Equal": binary("Equal", 7, np.int64), "Less": binary("Less", 9), "Greater": binary("Greater", 9),
    "GreaterOrEqual": binary("GreaterOrEqual", 12), "LessOrEqual": binary("LessOrEqual", 12),
    **{op: binary(op, 7, bool) for op in ("And", "Or", "Xor")}, "Mod": binary("Mod", 10, np.int64),
    "BitShift": binary("BitShift", 11, np.uint8, direction=lambda r: r.choice(["LEFT", "RIGHT"])),
    "BitwiseAnd": binary("BitwiseAnd", 18, np.int32),
    **{op: many(op) for op in ("Max", "Min", "Mean", "Sum")},
    "Where": where, "PRelu": prelu, "Clip": clip, "Cast": cast, "Dropout": dropout,
    "MatMul": matmul("MatMul"), "MatMulInteger": matmul("MatMulInteger", "", np.uint8), "Gemm": gemm,
    "Einsum": einsum,
    "Conv": conv("Conv"), "ConvInteger": conv("ConvInteger"), "QLinearConv": conv("QLinearConv"),
    "ConvTranspose": conv_transpose,
    "MaxPool": pool("MaxPool"), "AveragePool": pool("AveragePool"), "LpPool": pool("LpPool"),
    "GlobalAveragePool": global_pool("GlobalAveragePool"), "GlobalMaxPool": global_pool("GlobalMaxPool"),
    "Reshape": reshape, "Transpose": transpose, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Flatten": flatten,
    "Expand": expand,
    "Tile": tile, "Concat": concat, "Split": split, "Slice": slice_, "Pad": pad, "Gather": gather,
    "GatherElements": gather_elements("GatherElements"), "ScatterElements": gather_elements("ScatterElements"),
    "GatherND": gather_nd("GatherND"), "ScatterND": gather_nd("ScatterND"),
    "DepthToSpace": depth("DepthToSpace"), "SpaceToDepth": depth("SpaceToDepth"), "Shape": shape_, "Size": size_,
    "ConstantOfShape": constant_of_shape, "Range": range_, "EyeLike": eye, "OneHot": one_hot, "Trilu": trilu,
    "TopK": top_k,
    "NonZero": non_zero, "Compress": compress, "Unique": unique, "ReverseSequence": reverse_sequence,
    "CenterCropPad": center_crop_pad, "Col2Im": col2im,
    **{op: reduce(op) for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2",
    "ReduceLogSumExp", "ReduceSumSquare")},
    "ArgMax": arg("ArgMax"), "ArgMin": arg("ArgMin"), "CumSum": cum_sum, "Softmax": softmax("Softmax"),
    "LogSoftmax": softmax("LogSoftmax"), "Hardmax": softmax("Hardmax"), "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm, "LayerNormalization": layer_norm("LayerNormalization", 7, 3),
    "RMSNormalization": layer_norm("RMSNormalization", 23, 1), "GroupNormalization": group_norm, "LRN": lrn,
    "LpNormalization": unary("LpNormalization", 7, F, axis=lambda _: -1), "LSTM": recurrent("LSTM"),
    "GRU": recurrent("GRU"), "RNN": recurrent("RNN"),
    "Resize": resize, "Upsample": upsample, "GridSample": grid_sample, "RoiAlign": roi_align,
    "AffineGrid": affine_grid,
    "SplitToSequence": split_to_sequence, "QuantizeLinear": quantize("QuantizeLinear"),
    "DequantizeLinear": quantize("DequantizeLinear"),
    "DynamicQuantizeLinear": dynamic_quantize, "QLinearMatMul": qlinear_matmul, "STFT": stft, "DFT": dft,
    "HannWindow": window_function("HannWindow"), "BlackmanWindow": window_function("BlackmanWindow"),
    "MelWeightMatrix": mel,
    "NegativeLogLikelihoodLoss": loss("NegativeLogLikelihoodLoss"),
    "SoftmaxCrossEntropyLoss": loss("SoftmaxCrossEntropyLoss"),
    "NonMaxSuppression": nms, "MaxUnpool": max_unpool, "Det": det, "Attention": attention, "RotaryEmbedding": rotary,
    "TfIdfVectorizer": tf_idf,
    f"{MS}.Attention": ms_attention, f"{MS}.MultiHeadAttention": ms_heads,
    f"{MS}.FusedMatMul": matmul("FusedMatMul", MS),
    f"{MS}.BiasGelu": ms_like("BiasGelu", lambda s: s[-1:]), f"{MS}.QuickGelu": ms_like("QuickGelu"),
    f"{MS}.Gelu": ms_like("Gelu"),
    f"{MS}.SkipLayerNormalization": skip_norm, f"{MS}.QLinearAdd": qlinear_binary("QLinearAdd"),
    f"{MS}.QLinearMul": qlinear_binary("QLinearMul"),
    f"{MS}.UnfoldTensor": unfold, f"{MS}.Pad": ms_pad, f"{MS}.NhwcMaxPool": nhwc_max_pool,
    f"{MS}.QLinearAveragePool": qlinear_pool,
    f"{MS}.GatherND": gather_nd("GatherND", MS),
    f"{ML}.LinearClassifier": linear_classifier, f"{ML}.LinearRegressor": linear_regressor,
    f"{ML}.TreeEnsembleClassifier": tree("TreeEnsembleClassifier"),
    f"{ML}.TreeEnsembleRegressor": tree("TreeEnsembleRegressor"),
    f"{ML}.Normalizer": ml_like("Normalizer", (F, np.float64, np.int64), norm="L1"),
    f"{ML}.Scaler": ml_like("Scaler", (F, np.float64, np.int64), offset=[0.0], scale=[1.0]),
    f"{ML}.Binarizer": ml_like("Binarizer", (F,), threshold=0.5), f"{ML}.OneHotEncoder": one_hot_encoder,
    f"{ML}.ArrayFeatureExtractor": feature_extractor, f"{ML}.FeatureVectorizer": feature_vectorizer,
    f"{ML}.LabelEncoder": label_encoder,
}  # fmt: skip
