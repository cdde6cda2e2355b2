"""What one or a few nodes put out, by their specifications; and onnxruntime's own shapes lie inside of what we say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from graphmem.ir.errors import ModelError
from graphmem.ir.graph import Graph
from graphmem.ir.types import BoundedType, SequenceType, TensorType, Type, UnknownType
from graphmem.reader import graph_of

INPUTS = (
    "float[4, 5] x, float[6] v, int64[3] i, bool c, int64 n, bool[5] m, float[2, 6, 4] q, float[2, 3, 6] w, "
    "string[4] s, seq(float[2]) sq"
)
NO = "not run"  # onnxruntime does not take it, or no feed fits all ends

# z: int64[2, 0..20]   t: int64[0..20, 2]   k: [0..20, 2] as a value   k0: [0..20]   cnt: 0..20
T = "z = NonZero (x)  t = Transpose <perm = [1, 0]> (z) "
K = T + "k = Shape (t)  k0 = Shape <end = 1> (t)  cnt = Squeeze (k0) "
ONE = "one = Constant <value_int = 1> ()  zero = Constant <value_int = 0> () "


def const(name: str, *numbers: int) -> str:
    return f"{name} = Constant <value_ints = [{', '.join(map(str, numbers))}]> () "


def loop(condition: str, body: str, limit: str = "lim", start: str = "on") -> str:
    """y, and ys for each trip, of a loop that carries x."""
    return (
        "on = Constant <value = bool {1}> ()  off = Constant <value = bool {0}> () "
        f"y1, y = Loop ({limit}, {start}, x) <body = b (int64 it, bool go, float[p, q] a) => (bool go1, float[p1, q1] w1, "
        f"float[p2, q2] w2) {{ {condition}  {body} }}>"
    )


def stft(shape: tuple[int, int, int], step: int, frame: int, options: str = "") -> str:
    """A signal of that shape that only the run knows."""
    return (
        f"{const('l', *shape)} g = ConstantOfShape (l)  z0 = ReduceSum <keepdims = 0> (v)  o = Mul (g, z0) "
        f"step = Constant <value_int = {step}> ()  frame = Constant <value_int = {frame}> () "
        f'y = STFT {options} (o, step, "", frame)'
    )


DATA_DECIDES = [
    ("y = NonZero (x)", "int64[2, 0..20]"),
    ("y = NonZero (n)", "int64[1, 0..1]"),
    ("y = NonZero (v)", "int64[1, 0..6]"),
    ("y = Unique (x)", "float32[1..20]"),
    ("y = Unique <axis = 1> (x)", "float32[4, 1..5]"),
    ("y = Unique <axis = -2> (x)", "float32[1..4, 5]"),
    ("u, y = Unique <axis = 0> (x)", "int64[1..4]"),
    ("u, f, y = Unique (x)", "int64[20]"),
    ("u, f, y = Unique <axis = 0> (x)", "int64[4]"),
    ("u, f, b, y = Unique (x)", "int64[1..20]"),
    (const("o", 0) + "e = Slice (v, o, o)  y = Unique (e)", "float32[0]"),
    ("y = Compress (x, m)", "float32[0..5]"),
    ("y = Compress <axis = 1> (x, m)", "float32[4, 0..5]"),
    ("y = Compress <axis = 0> (x, m)", "float32[0..4, 5]", NO),
    ("l = Constant <value = bool[3] {1, 0, 1}> ()  y = Compress <axis = 1> (x, l)", "float32[4, 2]"),
    ("l = Constant <value = bool[3] {1, 0, 1}> ()  y = Compress <axis = -2> (x, l)", "float32[2, 5]"),
    ("l = Constant <value = bool[3] {1, 0, 1}> ()  y = Compress (x, l)", "float32[2]"),
    ("l = Constant <value = bool[6] {1, 0, 1, 0, 0, 1}> ()  y = Compress <axis = 1> (x, l)", "float32[4, 2]", NO),
    ("y = NonMaxSuppression (q, w)", "int64[0, 3]"),
    (const("o", 2) + "y = NonMaxSuppression (q, w, o)", "int64[0..12, 3]"),
    (const("o", 99) + "y = NonMaxSuppression (q, w, o)", "int64[0..36, 3]"),
    (const("o", -2) + "y = NonMaxSuppression (q, w, o)", "int64[0, 3]", NO),
    ("y = NonMaxSuppression (q, w, n)", "int64[0..36, 3]"),
    # what grows with it
    (T + "g = GatherND (x, t)  y = Exp (g)", "float32[0..20]"),
    (T + "y = Concat <axis = 0> (t, t)", "int64[0..40, 2]"),
    (T + "y = Equal (t, t)", "bool[0..20, 2]"),
    (K + "y = ConstantOfShape (k)", "float32[0..20, 2]"),
    (K + "y = Expand (n, k)", "int64[0..20, 2]"),
    (K + const("o", 0) + "y = Slice (v, o, k0)", "float32[0..6]"),
    (K + const("o", 6) + "y = Slice (v, k0, o)", "float32[0..6]"),
    (K + const("o", 0) + const("e", 6) + "y = Slice (v, o, e, o, k0)", "float32[0..6]", NO),
    (K + const("o", -1) + const("e", 6) + "r = Add (k0, o)  y = Slice (v, r, e)", "float32[0..6]"),
    (K + ONE + "y = Range (zero, cnt, one)", "int64[0..20]"),
    (K + ONE + "e = Constant <value_int = 22> ()  y = Range (cnt, e, one)", "int64[2..22]"),
    (
        K + ONE + "e = Constant <value_int = -4> ()  d = Constant <value_int = -3> ()  y = Range (cnt, e, d)",
        "int64[2..8]",
    ),
    (K + ONE + "d = Constant <value_int = -1> ()  y = Range (zero, cnt, d)", "int64[0]"),
    (K + ONE + "y = Range (zero, one, cnt)", "?[...]", NO),
    (
        T + "k = Size (t)  o = Constant <value_int = 0> ()  e = Constant <value_int = 1> ()  y = Range (o, k, e)",
        "int64[0..40]",
    ),
    (T + "y = Shape (t)", "int64[2]"),
    (T + "f = Cast <to = 1> (t)  y = Softmax (f)", "float32[0..20, 2]"),
    (T + "f = Cast <to = 1> (t)  y = Gemm <transA = 1> (f, f)", "float32[2, 2]"),
    # what does not
    (T + "f = Cast <to = 1> (t)  " + const("p", 1, 1, 1, 1) + "y = Pad (f, p)", "float32[2..22, 4]"),
    # a shape of its own rule
    (T + const("o", -1) + "y = Reshape (t, o)", "int64[0..40]"),
    (T + const("o", 2, -1) + "y = Reshape (t, o)", "int64[2, 0..20]"),
    (T + const("o", 0, 2) + "y = Reshape (t, o)", "int64[0..20, 2]"),
    (T + const("o", 0, 2, 1) + "y = Reshape (t, o)", "int64[0..20, 2, 1]"),
    (T + const("o", 0, -1) + "y = Reshape (t, o)", "int64[0..20, 0..40]", NO),
    (T + const("o", 4, 0, -1) + "y = Reshape (z, o)", "int64[4, 0..20, 0..40]", NO),
    (T + const("o", 0, 5) + "y = Reshape <allowzero = 1> (t, o)", "int64[0, 5]", NO),
    (K + "y = Reshape (t, k)", "int64[0..20, 2]"),
    (K + const("o", 40) + "y = Reshape (t, i)", "?[...]", NO),
    (T + "y, r = Split <axis = 0> (t)", "int64[0..10, 2]"),
    (T + "a, y, r = Split <axis = 0> (t)", "int64[0..7, 2]", NO),
    (T + "y, r = Split <axis = 1> (t)", "int64[0..20, 0..1]"),
    (T + "y, r = Split <axis = -1> (t)", "int64[0..20, 0..1]"),
    (T + const("o", 1, 1) + "a, y = Split <axis = -1> (t, o)", "int64[0..20, 1]"),
    (T + const("o", 2, 3) + "a, y = Split (t, o)", "int64[3, 2]", NO),
    (T + "a, y = Split (t, i)", "?[...]", NO),
]

RANGES = [
    ("Range", (0, 7, 2), "int64[4]"),
    ("Range", (0, 8, 2), "int64[4]"),
    ("Range", (5, -1, -2), "int64[3]"),
    ("Range", (5, 9, -2), "int64[0]"),
    ("Range", (9, 5, 2), "int64[0]"),
    ("Range", (3, 3, 1), "int64[0]"),
    ("Range", (2**62, 2**62 + 1, 1), "int64[1]"),
]

PLAIN = [
    *(
        (" ".join(f"{name} = Constant <value_int = {number}> () " for name, number in zip("abd", row, strict=True)) + "y = Range (a, b, d)", out)
        for _, row, out in RANGES
    ),
    ("a = Constant <value_float = 0.5> ()  b = Constant <value_float = 2.0> ()  d = Constant <value_float = 0.5> ()  y = Range (a, b, d)", "float32[3]"),
    ("a = Constant <value_float = 0.5> ()  b = Constant <value_float = 2.1> ()  d = Constant <value_float = 0.5> ()  y = Range (a, b, d)", "float32[4]"),
    ("a = Constant <value_float = 0.0> ()  d = Constant <value_float = 1.0> ()  b = Constant <value_float = 1e30> ()  y = Range (a, b, d)", "?[...]", NO),
    (ONE + "y = Range (zero, n, one)", "int64[?]"),
    (ONE + "y = Range (n, one, one)", "int64[?]"),
    (ONE + "y = Range (zero, one, n)", "int64[?]", NO),
    ("k = Shape <start = 1> (x)  y = ConstantOfShape (k)", "float32[5]"),
    ("k = Shape <end = -1> (x)  y = ConstantOfShape (k)", "float32[4]"),
    ("k = Shape <start = -1, end = 5> (q)  y = ConstantOfShape (k)", "float32[4]"),
    ("k = Shape <start = 1, end = 2> (q)  y = ConstantOfShape (k)", "float32[6]"),
    ("k = Size (q) " + ONE + "y = Range (zero, k, one)", "int64[48]"),
    ("y, k = Dropout (x)", "float32[4, 5]"),
    ("a, y = Dropout (x)", "bool[4, 5]"),
    ("y = MeanVarianceNormalization (q)", "float32[2, 6, 4]"),
    # windows of `frame` samples, moved by `step`; one side of a real signal has frame // 2 + 1 bins
    (stft((2, 6, 1), 2, 4), "float32[2, 2, 3, 2]"),
    (stft((2, 6, 1), 2, 4, "<onesided = 0>"), "float32[2, 2, 4, 2]"),
    (stft((2, 6, 2), 3, 4), "float32[2, 1, 4, 2]", NO),
    (stft((1, 7, 1), 1, 7), "float32[1, 1, 4, 2]"),
    (stft((1, 7, 1), 0, 7), "?[...]", NO),
    (stft((1, 7, 1), 1, 8), "?[...]", NO),
    (stft((1, 7, 1), 1, 7).replace('"", frame', "win") + " win = Constant <value_floats = [1.0, 1.0, 1.0]> ()", "float32[1, 5, 2, 2]"),
    ("y = StringNormalizer (s)", "string[4]"),
    ('y = StringNormalizer <stopwords = ["a"]> (s)', "string[1..4]", NO),
    ('l = Constant <value = string[3] {"a", "B", "b"}> ()  y = StringNormalizer <stopwords = ["b"]> (l)', "string[1]", NO),
    ('l = Constant <value = string[3] {"a", "B", "b"}> ()  y = StringNormalizer <stopwords = ["b"], is_case_sensitive = 1> (l)', "string[2]", NO),
    ('l = Constant <value = string[1] {"a"}> ()  y = StringNormalizer <stopwords = ["A"]> (l)', "string[1]", NO),
    # sequences
    ("p = SequenceConstruct (x, x)  y = SequenceAt (p, n)", "float32[4, 5]"),
    ("p = SequenceConstruct (x, q)  y = SequenceAt (p, n)", "float32[...]", NO),
    ("a = Transpose (x)  p = SequenceConstruct (x, a)  y = SequenceAt (p, n)", "float32[?, ?]"),
    ("p = SequenceConstruct (x, v, q) " + ONE + "y = SequenceAt (p, one)", "float32[6]"),
    ("p = SequenceConstruct (x, v, q) o = Constant <value_int = -1> ()  y = SequenceAt (p, o)", "float32[2, 6, 4]"),
    ("p = SequenceConstruct (x, v)  o = Constant <value_int = 0> ()  r = SequenceInsert (p, q, o)  y = SequenceAt (r, o)", "float32[2, 6, 4]"),
    ("p = SequenceConstruct (x, v)  o = Constant <value_int = -1> ()  r = SequenceInsert (p, q, o) " + ONE + "y = SequenceAt (r, one)", "float32[2, 6, 4]"),
    ("p = SequenceConstruct (x, v)  r = SequenceInsert (p, q)  o = Constant <value_int = 2> ()  y = SequenceAt (r, o)", "float32[2, 6, 4]"),
    ("p = SequenceConstruct (x, x)  r = SequenceInsert (p, x, n)  y = SequenceAt (r, n)", "float32[4, 5]"),
    ("p = SequenceConstruct (x, v, q)  r = SequenceErase (p)  o = Constant <value_int = -1> ()  y = SequenceAt (r, o)", "float32[6]"),
    ("p = SequenceConstruct (x, v, q) " + ONE + "r = SequenceErase (p, zero)  y = SequenceAt (r, zero)", "float32[6]"),
    ("p = SequenceConstruct (x, v, q) " + ONE + "r = SequenceErase (p, one)  y = SequenceAt (r, one)", "float32[2, 6, 4]"),
    ("p = SequenceConstruct (v, v)  r = SequenceErase (p, n)  y = ConcatFromSequence <axis = 0> (r)", "float32[6]"),
    ("p = SequenceEmpty ()  r = SequenceInsert (p, v)  y = ConcatFromSequence <axis = 0> (r)", "float32[6]"),
    ("p = SequenceEmpty <dtype = 7> ()  r = SequenceInsert (p, i)  y = ConcatFromSequence <axis = 0> (r)", "int64[3]"),
    ("p = SequenceConstruct (v, v)  y = SequenceLength (p)", "int64[]"),
    ("y = SequenceAt (sq, n)", "float32[2]"),
    ("r = SequenceErase (sq)  y = SequenceAt (r, n)", "float32[2]", NO),
    ("r = SequenceInsert (sq, v)  y = SequenceAt (r, n)", "float32[?]"),
    ("p = SequenceConstruct (x, x)  y = ConcatFromSequence <axis = 1> (p)", "float32[4, 10]"),
    ("p = SequenceConstruct (x, x)  y = ConcatFromSequence <axis = -2> (p)", "float32[8, 5]"),
    ("p = SequenceConstruct (x, x, x)  y = ConcatFromSequence <axis = 0, new_axis = 1> (p)", "float32[3, 4, 5]"),
    ("p = SequenceConstruct (x, x, x)  y = ConcatFromSequence <axis = -1, new_axis = 1> (p)", "float32[4, 5, 3]"),
    ("p = SequenceConstruct (x, x, x)  y = ConcatFromSequence <axis = 2, new_axis = 1> (p)", "float32[4, 5, 3]"),
    ("p = SequenceConstruct (x, x, x)  y = ConcatFromSequence <axis = 3, new_axis = 1> (p)", "?[...]", NO),
    ("p = SequenceConstruct (x, x, x)  y = ConcatFromSequence <axis = 2> (p)", "?[...]", NO),
    ("p = SequenceConstruct (x, v)  y = ConcatFromSequence <axis = 0> (p)", "?[...]", NO),
    ("p = SequenceConstruct (x, v)  y = ConcatFromSequence <axis = 0, new_axis = 1> (p)", "?[...]", NO),
    ("y = ConcatFromSequence <axis = 0> (sq)", "?[...]"),
    ("p = SplitToSequence (x)  y = ConcatFromSequence <axis = 1> (p)", "float32[1, 20]"),
    ("p = SplitToSequence <axis = 1> (x)  y = ConcatFromSequence <axis = 0> (p)", "float32[20, 1]"),
    ("p = SplitToSequence <axis = -1, keepdims = 0> (x)  y = ConcatFromSequence <axis = 0> (p)", "float32[20]"),
    ("o = Constant <value_int = 2> ()  p = SplitToSequence <axis = 1> (x, o)  d = Constant <value_int = -1> ()  y = SequenceAt (p, d)", "float32[4, 1]"),
    ("o = Constant <value_int = 2> ()  p = SplitToSequence (x, o)  d = Constant <value_int = -1> ()  y = SequenceAt (p, d)", "float32[2, 5]"),
    ("o = Constant <value_int = 2> ()  p = SplitToSequence <axis = 1, keepdims = 0> (x, o)  d = Constant <value_int = 1> ()  y = SequenceAt (p, d)", "float32[4, 2]", NO),
    (const("o", 1, 3) + "p = SplitToSequence (x, o)  d = Constant <value_int = 1> ()  y = SequenceAt (p, d)", "float32[3, 5]"),
    (const("o", 1, 2) + "p = SplitToSequence (x, o)  d = Constant <value_int = 1> ()  y = SequenceAt (p, d)", "?[...]", NO),
    (const("o", 5, -1) + "p = SplitToSequence (x, o)  d = Constant <value_int = 1> ()  y = SequenceAt (p, d)", "?[...]", NO),
    ("p = SplitToSequence <axis = 2> (x)  y = SequenceAt (p, n)", "?[...]", NO),
    ("l = Constant <value_ints = [1025, 2]> ()  g = ConstantOfShape (l)  a = Add (g, n1)  n1 = Cast <to = 1> (n)  p = SplitToSequence (a)  y = SequenceAt (p, n)", "float32[...]"),
    ("l = Constant <value_ints = [1024, 2]> ()  g = ConstantOfShape (l)  a = Add (g, n1)  n1 = Cast <to = 1> (n)  p = SplitToSequence (a)  y = SequenceAt (p, n)", "float32[1, 2]"),
    ("p = Optional (x)  y = OptionalGetElement (p)", "float32[4, 5]"),
    ("p = Optional (x)  y = OptionalHasElement (p)", "bool[]"),
    ("p = SequenceConstruct (x, v)  r = Identity (p) " + ONE + "y = SequenceAt (r, one)", "float32[6]"),
]  # fmt: skip

IF = "y = If ({}) <then_branch = t () => (float[a] p) {{ {} }}, else_branch = e () => (float[b] r) {{ {} }}>"
BODIES = [
    (IF.format("c", "p = Exp (x)", "r = Neg (x)"), "float32[4, 5]"),
    (IF.format("c", "p = Exp (x)", "r = Transpose (x)"), "float32[4..5, 4..5]"),
    (IF.format("c", "p = Exp (x)", "r = Neg (v)"), "float32[4, 5] or float32[6]"),
    ("o = Constant <value = bool {1}> () " + IF.format("o", "p = Exp (x)", "r = Neg (v)"), "float32[4, 5]"),
    ("o = Constant <value = bool {0}> () " + IF.format("o", "p = Exp (x)", "r = Neg (v)"), "float32[6]"),
    (IF.format("c", const("p", 3), const("r", 7)).replace("y =", "o =").replace("float[", "int64[") + " y = ConstantOfShape (o)", "float32[3..7]"),
    (IF.format("c", const("p", 7), const("r", 3)).replace("y =", "o =").replace("float[", "int64[") + " y = ConstantOfShape (o)", "float32[3..7]"),
    (IF.format("c", const("p", 7), const("r", 7)).replace("y =", "o =").replace("float[", "int64[") + " y = ConstantOfShape (o)", "float32[7]"),
    (IF.format("c", const("p", 7, 1), const("r", 7)).replace("y =", "o =").replace("float[", "int64[") + " y = ConstantOfShape (o)", "?[...]"),
    (IF.format("c", "p = Constant <value_float = 1.5> ()", "r = Constant <value_float = 2.5> ()").replace("y =", "o =").replace("float[a]", "float").replace("float[b]", "float") + " a0 = Constant <value_float = 0.0> ()  d = Constant <value_float = 1.0> ()  y = Range (a0, o, d)", "float32[?]"),
    # loops walked trip by trip
    ("lim = Constant <value_int = 3> () " + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)"), "float32[3, 4, 5]"),
    ("lim = Constant <value_int = 0> () " + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)"), "float32[0, 4, 5]"),
    ("lim = Constant <value_int = -1> () " + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)"), "float32[0, 4, 5]"),
    ("lim = Constant <value_int = 3> () " + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", start="off"), "float32[0, 4, 5]"),
    (loop("e = Constant <value_int = 2> ()  go1 = Less (it, e)", "w1 = Exp (a)  w2 = Exp (a)", limit='""'), "float32[3, 4, 5]"),
    (loop("e = Constant <value_int = 2> ()  go1 = Less (it, e)", "w1 = Exp (a)  w2 = Exp (a)", limit='""', start='""'), "float32[3, 4, 5]"),
    ("lim = Constant <value_int = 2> () " + loop("e = Constant <value_int = 2> ()  go1 = Less (it, e)", "w1 = Exp (a)  w2 = Exp (a)"), "float32[2, 4, 5]"),
    ("lim = Constant <value_int = 3> () " + loop("go1 = Identity (go)", "w1 = Concat <axis = 1> (a, a)  w2 = Exp (x)").replace("y1, y", "y, y1"), "float32[4, 40]"),
    ("lim = Constant <value_int = 2> () " + loop("go1 = Identity (go)", "w1 = Concat <axis = 1> (a, a)  w2 = Exp (a)"), "float32[2, 4, ?]", NO),
    # and once with what no trip changes
    (loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", limit="n"), "float32[?, 4, 5]"),
    (loop("go1 = Identity (go)", "w1 = Transpose (a)  w2 = Exp (a)", limit="n"), "float32[?, ?, ?]"),
    (loop("go1 = Identity (go)", "w1 = Concat <axis = 1> (a, a)  w2 = Exp (a)", limit="n"), "float32[?, 4, ?]", NO),
    (loop("go1 = Identity (go)", "w1 = Concat <axis = 1> (a, a)  w2 = Exp (x)", limit="n").replace("y1, y", "y, y1"), "float32[4, ?]"),
    ("lim = Constant <value_int = 3> () " + loop("r = ReduceSum <keepdims = 0> (a)  e = Constant <value_float = 0.5> ()  go1 = Less (r, e)", "w1 = Exp (a)  w2 = Exp (a)"), "float32[0..3, 4, 5]"),
    ("lim = Constant <value_int = 3> () " + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", start="c"), "float32[0..3, 4, 5]"),
    (K + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", limit="cnt"), "float32[0..20, 4, 5]"),
    (K + loop("go1 = Identity (go)", "w1 = Exp (a)  ax = Constant <value_ints = [0]> ()  tall = Unsqueeze (it, ax)  w2 = ConstantOfShape (tall)", limit="cnt"), "float32[0..20, 0..19]", NO),
    (K + loop("go1 = Constant <value = bool {1}> ()", "w1 = Exp (a)  w2 = Exp (a)", limit="cnt"), "float32[0..20, 4, 5]"),
    ("h = Constant <value_int = 3> ()  z0 = NonZero (m)  e = Shape <start = 1> (z0)  f = Squeeze (e)  lim = Add (f, h) "
     + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)"), "float32[3..8, 4, 5]"),
    ("h = Constant <value_int = 3> ()  z0 = NonZero (m)  e = Shape <start = 1> (z0)  f = Squeeze (e)  lim = Add (f, h) "
     + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", start="c"), "float32[0..8, 4, 5]"),
    # scans
    ("a, y = Scan <num_scan_inputs = 1, body = b (float[5] u, float[5] r) => (float[5] u1, float[5] o) { u1 = Add (u, r)  o = Exp (u1) }> (s0, x)  s0 = ReduceSum <keepdims = 0> (x, ax) " + const("ax", 0), "float32[4, 5]"),
    ("y, a = Scan <num_scan_inputs = 1, body = b (float[5] u, float[5] r) => (float[5] u1, float[5] o) { u1 = Add (u, r)  o = Exp (u1) }> (s0, x)  s0 = ReduceSum <keepdims = 0> (x, ax) " + const("ax", 0), "float32[5]"),
    ("y = Scan <num_scan_inputs = 1, scan_input_axes = [1], body = b (float[4] r) => (float[4] o) { o = Exp (r) }> (x)", "float32[5, 4]"),
    ("y = Scan <num_scan_inputs = 1, scan_input_axes = [-2], body = b (float[5] r) => (float[5] o) { o = Exp (r) }> (x)", "float32[4, 5]"),
    ("y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1], body = b (float[4] r) => (float[4] o) { o = Exp (r) }> (x)", "float32[4, 5]"),
    ("y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1], body = b (float[2, 4] r) => (float[2, 4] o) { o = Exp (r) }> (q)", "float32[2, 4, 6]"),
    ("y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-2], body = b (float[2, 4] r) => (float[2, 4] o) { o = Exp (r) }> (q)", "float32[2, 6, 4]"),
    ("y = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [3], body = b (float[2, 4] r) => (float[2, 4] o) { o = Exp (r) }> (q)", "?[...]", NO),
    ("y = Scan <num_scan_inputs = 1, scan_input_axes = [2], body = b (float[4] r) => (float[4] o) { o = Exp (r) }> (x)", "?[...]", NO),
    (T + "y = Scan <num_scan_inputs = 1, body = b (int64[2] r) => (int64[2] o) { o = Neg (r) }> (t)", "int64[0..20, 2]", NO),
    (T + "y = Scan <num_scan_inputs = 1, scan_input_axes = [1], body = b (int64[p] r) => (int64[p] o) { o = Neg (r) }> (t)", "int64[2, 0..20]", NO),
    # the body once for each element
    ("p = SequenceConstruct (x, v)  r = SequenceMap (p) <body = b (float[a] e) => (float[a] o) { o = Exp (e) }> " + ONE + "y = SequenceAt (r, one)", "float32[6]"),
    ("p = SequenceConstruct (x, x)  l = SequenceConstruct (v, q)  r = SequenceMap (p, l) <body = b (float[a] e, float[d] f) => (float[d] o) { o = Exp (f) }> " + ONE + "y = SequenceAt (r, one)", "float32[2, 6, 4]", NO),
    ("p = SequenceConstruct (x, v)  r = SequenceMap (p, sq) <body = b (float[a] e, float[d] f) => (float[d] o) { o = Exp (f) }>  y = SequenceAt (r, n)", "float32[2]"),
    ("r = SequenceMap (sq, x) <body = b (float[a] e, float[h, g] f) => (int64[d] o) { o = Shape (f) }>  y = SequenceAt (r, n)", "int64[2]"),
]  # fmt: skip

CASES = [*DATA_DECIDES, *PLAIN, *BODIES]


def model(body: str, opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g ({INPUTS}) => (y) {{ {body} }}')


def read(body: str, opset: int = 17, **options: object) -> Graph:
    return graph_of(model(body, opset), Path("/nonexistent"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("body", "expected"), [case[:2] for case in CASES])
def test_the_type_is_the_one_of_the_specification(body: str, expected: str) -> None:
    assert str(read(body).tensors["y"].type) == expected


RUN = [case[0] for case in CASES if len(case) == 2]


def fits(type_: Type, array: np.ndarray) -> bool:  # type: ignore[type-arg]
    """Whether the array is one of those that the type stands for; of no trips onnxruntime tells no more dimensions."""
    if array.shape == (0, 0, 0):
        return str(type_).split("[")[1].startswith(("0", "?"))
    if isinstance(type_, TensorType):
        return type_.shape == array.shape
    if isinstance(type_, BoundedType):
        if any(fits(other, array) for other in type_.others):
            return True
        low, high = type_.low, type_.high
        return len(high) == array.ndim and all(a <= n <= b for a, n, b in zip(low, array.shape, high, strict=True))
    assert isinstance(type_, UnknownType)
    dims = type_.dims
    return dims is None or (
        len(dims) == array.ndim and all(d in (None, n) for d, n in zip(dims, array.shape, strict=True))
    )


@pytest.mark.parametrize("body", RUN)
def test_onnxruntime_computes_what_the_type_stands_for(body: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    proto = model(body)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    tensors = graph_of(proto, Path("/nonexistent")).tensors
    dice = np.random.default_rng(0)
    for fill in (0, 1):
        feeds = {
            "x": np.full((4, 5), fill, np.float32), "v": np.full(6, fill, np.float32), "i": np.array([0, 1, 1]) * fill,
            "c": np.array(bool(fill)), "n": np.array(fill), "m": np.array([fill, 1, 0, 0, 1], bool),
            "q": dice.random((2, 6, 4), np.float32), "w": dice.random((2, 3, 6), np.float32),
            "s": np.array(["a", "b", "c", "a"], object), "sq": [np.zeros(2, np.float32)] * 2,
        }  # fmt: skip
        (found,) = session.run(["y"], feeds)
        assert fits(tensors["y"].type, np.asarray(found)), np.asarray(found).shape


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (T + const("o", -2) + "y = Reshape (t, o)", "at most one -1"),
        ("y = If (c) <then_branch = t () => (float[a] p) { p = Exp (x) }, else_branch = e () => (float[a] p, float[a] r) { p = Exp (x) r = Exp (v) }>", "do not fit it"),
        ("y = If (c) <then_branch = t () => (float[a] p) { p = Exp (x) }>", "has no else_branch"),
        (loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", limit="n").replace("y1, y =", "y ="), "carries 1 values but its body puts out 3"),
        (loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", limit="n").replace("y1, y =", "y1, y, y2 ="), "carries 1 values but its body puts out 3"),
        ("y = Scan <num_scan_inputs = 0, body = b (float[5] r) => (float[5] o) { o = Exp (r) }> (x)", "scans 0 of 1 inputs"),
        ("y = Scan <num_scan_inputs = 2, body = b (float[5] r) => (float[5] o) { o = Exp (r) }> (x)", "scans 2 of 1 inputs"),
        ("y = Scan <num_scan_inputs = 1, scan_input_axes = [0, 0], body = b (float[5] r) => (float[5] o) { o = Exp (r) }> (x)", "do not agree"),
        ("y = Scan <num_scan_inputs = 1, scan_output_axes = [0, 0], body = b (float[5] r) => (float[5] o) { o = Exp (r) }> (x)", "do not agree"),
        ("y, a = Scan <num_scan_inputs = 1, body = b (float[5] r) => (float[5] o) { o = Exp (r) }> (x)", "do not agree"),
        ("p = SequenceConstruct (x, v)  l = SequenceConstruct (x)  y = SequenceMap (p, l) <body = b (float[a] e, float[b] f) => (float[a] o) { o = Exp (f) }>", "different lengths"),
    ],
)  # fmt: skip
def test_what_the_specification_does_not_allow_is_refused_in_its_words(body: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read(body)


def test_a_loop_that_nobody_counts_says_what_to_state_and_takes_what_is_stated() -> None:
    body = loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", limit="n").replace("y1, y =", "[turn] y1, y =")
    proto = model(body.replace("[turn] ", ""))
    proto.graph.node[-1].name = "turn"
    open_ = graph_of(proto, Path("/nonexistent"))
    assert any(
        issue.what == "how often it runs is not known; state it with --trip-count turn=N" for issue in open_.issues
    )
    assert open_.nodes[-1].trips is None
    stated = graph_of(proto, Path("/nonexistent"), trips={"turn": 7})
    assert str(stated.tensors["y"].type) == "float32[7, 4, 5]"
    assert stated.nodes[-1].trips == 7
    assert not any("trip-count" in issue.what for issue in stated.issues)


@pytest.mark.parametrize(("limit", "trips"), [("lim", 3), ("cnt", 20)])
def test_a_loop_s_node_says_how_often_it_runs(limit: str, trips: int) -> None:
    body = (
        K
        + "lim = Constant <value_int = 3> () "
        + loop("go1 = Identity (go)", "w1 = Exp (a)  w2 = Exp (a)", limit=limit)
    )
    assert next(node for node in read(body).nodes if node.op_type == "Loop").trips == trips


def test_a_scan_says_how_often_it_runs_and_a_body_of_changing_types_has_versions() -> None:
    scan = "y = Scan <num_scan_inputs = 1, scan_input_axes = [1], body = b (float[4] r) => (float[4] o) { o = Exp (r) }> (x)"
    assert read(scan).nodes[-1].trips == 5
    grown = "lim = Constant <value_int = 3> () " + loop(
        "go1 = Identity (go)", "w1 = Concat <axis = 1> (a, a)  w2 = Exp (x)"
    )
    assert [label for label, _ in read(grown).nodes[-1].bodies] == ["body", "body#1", "body#2"]


def test_a_scan_of_opset_8_has_a_batch_in_front_and_lengths_before() -> None:
    body = 'y = Scan <num_scan_inputs = 1, body = b (float[4] r) => (float[4] o) { o = Exp (r) }> ("", q)'
    found = read(body, opset=8).tensors["y"].type
    assert found == TensorType("float32", (2, 6, 4))


def test_a_sequence_of_more_than_1024_elements_has_one_type_for_all() -> None:
    names = ", ".join(["v"] * 1025)
    few = read(f"y = SequenceConstruct ({names[3:]})").tensors["y"].type
    many = read(f"y = SequenceConstruct ({names})").tensors["y"].type
    vector = TensorType("float32", (6,))
    assert (few, many) == (SequenceType(vector, (vector,) * 1024), SequenceType(vector, None))


@pytest.mark.parametrize(("trips", "type_"), [(2, "float32[4, 20]"), (3, "float32[4, ?]")])
def test_a_loop_is_walked_while_trips_times_nodes_and_one_stay_within_the_limit(
    trips: int, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphmem.reader.loops.MAX_UNROLLED", 8)
    body = loop("go1 = Identity (go)", "w1 = Concat <axis = 1> (a, a)  w2 = Exp (x)").replace(
        "y1, y", "y, y1"
    )  # 3 nodes
    assert str(read(f"lim = Constant <value_int = {trips}> () " + body).tensors["y"].type) == type_


@pytest.mark.parametrize(("elements", "type_"), [("x, v", "float32[6]"), ("x, v, v", "?[...]")])
def test_a_body_runs_for_each_element_while_they_stay_within_the_limit(
    elements: str, type_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphmem.reader.control.MAX_UNROLLED", 4)
    text = f"p = SequenceConstruct ({elements})  r = SequenceMap (p) <body = b (float[a] e) => (float[a] o) {{ o = Exp (e) }}> {ONE} y = SequenceAt (r, one)"
    assert str(read(text).tensors["y"].type) == type_


def test_what_a_walked_body_leaves_open_is_said() -> None:
    body = "lim = Constant <value_int = 2> () " + loop(
        "go1 = Identity (go)", "w1 = Exp (a)  d = NonZero (a)  w2 = Cast <to = 1> (d)"
    )
    assert "data-dependent" in {issue.kind for issue in read(body).issues}
