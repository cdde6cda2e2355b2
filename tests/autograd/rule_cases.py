"""Calls of ATen operations, one a line: operands as "f 4 8" (a letter and a shape), everything else as it is passed.

f needs a gradient, n is a float that does not, t is a transposed f, c an f in channels last, h a bfloat16 f, i an int64,
b a bool, o the clone of an f. `tests/autograd/record.py` runs them in torch; test_recorded_rules.py holds the rules against what it saw.
"""

from __future__ import annotations

from typing import Any

IMAGE = "f 2 4 6 6"
UNARY = (
    "abs acos acosh asin asinh atan atanh celu cos cosh elu erf erfc exp exp2 expm1 gelu hardshrink hardsigmoid hardswish "
    "hardtanh leaky_relu log log10 log1p log2 mish neg reciprocal relu relu6 rsqrt selu sigmoid silu sin sinh softplus "
    "softshrink sqrt square tan tanh floor ceil round trunc sign"
)
IN_PLACE = "relu silu sigmoid tanh hardswish leaky_relu elu gelu exp hardtanh"
PAIRS = "add sub mul div maximum minimum atan2 pow fmod remainder"
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1}


def recurrent(
    name: str,
    layers: int,
    directions: int,
    bias: bool,
    *,
    first: bool = False,
    drop: float = 0.0,
    sizes: Any = (3, 2, 4, 5),
) -> tuple[str, list[Any]]:
    """Sizes: steps, rows, width, hidden; `first`: rows lead the input."""
    steps, rows, given, hidden = sizes
    gates, weights = GATES[name], []
    for layer in range(layers):
        for _ in range(directions):
            width = given if layer == 0 else hidden * directions
            weights += [f"f {hidden * gates} {width}", f"f {hidden * gates} {hidden}"] + [f"f {hidden * gates}"] * (
                2 * bias
            )
    state, x = (
        f"n {layers * directions} {rows} {hidden}",
        f"f {rows} {steps} {given}" if first else f"f {steps} {rows} {given}",
    )
    return name, [
        x,
        [state, state] if name == "lstm" else state,
        weights,
        bias,
        layers,
        drop,
        True,
        directions == 2,
        first,
    ]


CALLS: list[tuple[str, list[Any]]] = [
    *((name, ["f 3 5"]) for name in UNARY.split()),
    *((name, ["t 3 5"]) for name in ["relu", "gelu", "erf"]),
    *((name, list(row)) for name in PAIRS.split() for row in (("f 3 5", "f 3 5"), ("f 3 5", "f 5"), ("f 1 5", "n 3 1"))),
    *((name, list(row)) for name in ("add", "sub", "mul", "div", "pow") for row in (("f 3 5", 2.0), ("f 3 5", 1), ("t 3 5", "f 3 5"))),
    *((name, list(row)) for name in ("eq", "lt", "ge", "logical_and") for row in (("f 3 5", "f 5"),)),
    ("add", ["f 4 3 5", "f 3 1"]), ("mul", ["n 3 5", "f 5"]), ("div", ["n 3 5", "f 5"]), ("div", ["f 3 5", "n 5"]),
    ("mul", ["i 3 5", "f 3 5"]), ("pow", ["f 3 5", 0.5]), ("pow", ["f 3 5", 3]), ("pow", ["f 3 5", 0]), ("rsub", ["f 3 5", 2.0]),
    ("clamp", ["f 3 5", 0.0, 1.0]), ("clamp", ["f 3 5", 0.0]), ("clamp_min", ["f 3 5", 0.0]),
    ("prelu", [IMAGE, "f 4"]), ("prelu", [IMAGE, "f 1"]), ("prelu", ["f 3 5", "f 5"]), ("glu", ["f 3 6"]), ("glu", ["f 3 6 2", 1]),
    ("dropout", ["f 3 5", 0.5, True]), ("dropout", ["f 3 5", 0.0, True]), ("dropout", ["f 3 5", 0.5, False]),
    ("where", ["b 3 5", "f 3 5", "f 3 5"]), ("where", ["b 3 5", "f 5", "n 3 5"]), ("where", ["b 3 1", "f 1 5", "f 3 5"]), ("where", ["b 3 5", "f 3 5", 2.0]), ("where", ["b 3 5", 2.0, "f 3 5"]),
    ("masked_fill", ["f 3 5", "b 3 5", 0.0]), ("masked_fill", ["f 3 5", "b 5", 0.0]),
    # reductions
    *((name, ["f 3 4 5", *row]) for name in ("sum", "mean", "amax", "logsumexp") for row in (([1],), ([0, 2], True), ([-1], False))),
    ("sum", ["f 3 4 5"]), ("mean", ["f 3 4 5"]), ("sum", ["f 3 4 5", [1, 2]]), ("cumsum", ["f 3 4", 1]), ("prod", ["f 3 4", 1]),
    ("max", ["f 3 4 5", 1]), ("min", ["f 3 4 5", -1, True]), ("max", ["f 3 4"]), ("argmax", ["f 3 4", 1]), ("argmax", ["f 3 4", 1, True]),
    ("any", ["b 3 4", 1]), ("var", ["f 3 4 5", [1]]), ("std", ["f 3 4 5", [1, 2]]),
    ("linalg_vector_norm", ["f 3 4 5", 2, [1]]), ("linalg_vector_norm", ["f 3 4 5", 1, [1, 2], True]),
    ("softmax", ["f 3 4 5", -1]), ("softmax", ["f 3 4 5", 1]), ("log_softmax", ["f 3 4 5", 1]), ("softmax", ["t 3 5", 1]),
    ("topk", ["f 3 7", 2]), ("topk", ["f 7 3", 2, 0]), ("sort", ["f 3 7"]),
    # products
    ("mm", ["f 3 4", "f 4 5"]), ("mm", ["t 3 4", "f 4 5"]), ("mm", ["f 3 4", "t 4 5"]), ("mm", ["n 3 4", "f 4 5"]), ("mm", ["f 3 4", "n 4 5"]),
    ("addmm", ["f 5", "f 3 4", "f 4 5"]), ("addmm", ["n 5", "t 3 4", "t 4 5"]), ("addmm", ["f 3 5", "n 3 4", "f 4 5"]),
    ("bmm", ["f 2 3 4", "f 2 4 5"]), ("bmm", ["n 2 3 4", "f 2 4 5"]), ("baddbmm", ["f 2 3 5", "f 2 3 4", "f 2 4 5"]), ("baddbmm", ["f 3 5", "f 2 3 4", "n 2 4 5"]),
    ("mv", ["f 3 4", "f 4"]), ("mv", ["n 3 4", "f 4"]), ("dot", ["f 4", "f 4"]), ("dot", ["f 4", "n 4"]), ("outer", ["f 3", "f 4"]),
    *(("matmul", list(row)) for row in (
        ("f 4", "f 4"), ("f 3 4", "f 4"), ("f 4", "f 4 5"), ("f 3 4", "f 4 5"), ("f 2 3 4", "f 4 5"), ("f 2 3 4", "f 4"), ("f 3 4", "f 2 4 5"),
        ("f 2 3 4", "n 4 5"), ("f 3 4", "n 2 4 5"), ("n 3 4", "f 2 4 5"), ("f 2 3 4", "f 2 4 5"), ("f 1 3 4", "f 2 4 5"), ("f 6 2 3 4", "f 2 4 5"),
        ("f 4", "f 2 4 5"), ("f 2 6 3 4", "f 2 6 4 5"), ("f 2 3 4", "f 4 1"),
    )),
    ("linear", ["f 3 4", "f 5 4"]), ("linear", ["f 3 4", "f 5 4", "f 5"]), ("linear", ["f 2 3 4", "f 5 4", "f 5"]), ("linear", ["f 2 3 4", "f 5 4"]),
    ("linear", ["f 4", "f 5 4", "f 5"]), ("linear", ["n 2 3 4", "f 5 4", "f 5"]), ("linear", ["t 3 4", "f 5 4", "f 5"]), ("bilinear", ["f 3 4", "f 3 5", "f 6 4 5", "f 6"]),
    ("einsum", ["ij,jk->ik", ["f 3 4", "f 4 5"]]), ("einsum", ["bij,bjk->bik", ["f 2 3 4", "f 2 4 5"]]), ("einsum", ["bhid,bhjd->bhij", ["f 2 3 4 5", "f 2 3 6 5"]]),
    ("einsum", ["ij->ji", ["f 3 4"]]), ("einsum", ["i,j->ij", ["f 3", "f 4"]]), ("einsum", ["bij,kj->bik", ["f 2 3 4", "f 5 4"]]), ("einsum", ["ij->i", ["f 3 4"]]),
    # convolutions, pools, pads
    ("conv2d", [IMAGE, "f 5 4 3 3", "f 5"]), ("conv2d", [IMAGE, "f 5 4 3 3", None, [2, 2], [1, 1]]), ("conv2d", [IMAGE, "f 4 2 3 3", "f 4", [1, 2], [2, 1], [1, 1], 2]),
    ("conv2d", ["n 2 4 6 6", "f 5 4 3 3", "f 5"]), ("conv2d", [IMAGE, "f 5 4 3 3", "f 5", [1, 1], [0, 0], [2, 2]]), ("conv2d", ["f 4 6 6", "f 5 4 3 3", "f 5"]),
    ("conv1d", ["f 2 4 9", "f 5 4 3", "f 5", [2]]), ("conv3d", ["f 1 2 4 5 6", "f 3 2 2 2 2", "f 3"]), ("conv2d", [IMAGE, "f 5 4 3 3", "f 5", [1, 1], "same"]), ("conv2d", [IMAGE, "f 5 4 3 3", "f 5", [1, 1], "valid"]),
    ("conv2d", ["c 2 4 6 6", "f 5 4 3 3", "f 5"]),
    ("conv_transpose2d", [IMAGE, "f 4 5 3 3", "f 5"]), ("conv_transpose2d", [IMAGE, "f 4 5 3 3", "f 5", [2, 2], [1, 1], [1, 1]]), ("conv_transpose1d", ["f 2 4 6", "f 4 3 3", None, [2], [0], [0], 2]),
    ("max_pool2d", [IMAGE, 2]), ("max_pool2d", [IMAGE, 3, 2, 1]), ("max_pool2d", ["f 2 4 7 7", 2, 2, 0, 1, True]), ("max_pool2d", [IMAGE, 2, 1, 0, 2]), ("max_pool1d", ["f 2 4 7", 2]), ("max_pool3d", ["f 1 2 4 4 4", 2]),
    ("max_pool2d", ["f 2 4 5 5", 3, 2, 1, 1, True]), ("max_pool2d", ["f 2 4 5 5", 2, 3, 1, 1, True]), ("avg_pool2d", ["f 2 4 5 5", 2, 3, 1, True]), ("einsum", ["ij,jk,kl,lm->im", ["f 3 4", "f 4 5", "f 5 2", "f 2 6"]]), ("avg_pool2d", ["f 2 4 7 7", 2, 2, 0, True]), ("avg_pool2d", [IMAGE, [2, 3]]), ("avg_pool2d", [IMAGE, 3, 2, 1]), ("avg_pool1d", ["f 2 4 7", 3, 2]), ("avg_pool3d", ["f 1 2 4 4 4", 2]),
    ("adaptive_avg_pool2d", [IMAGE, [1, 1]]), ("adaptive_avg_pool2d", [IMAGE, [2, 3]]), ("adaptive_avg_pool1d", ["f 2 4 6", [2]]), ("adaptive_max_pool2d", [IMAGE, [2, 3]]),
    ("constant_pad_nd", [IMAGE, [1, 2, 3, 0]]), ("reflection_pad2d", [IMAGE, [1, 2, 3, 0]]), ("reflection_pad1d", ["f 2 4 6", [1, 2]]), ("replication_pad2d", [IMAGE, [1, 2, 3, 0]]), ("replication_pad3d", ["f 1 2 3 4 5", [1, 1, 2, 0, 0, 1]]),
    ("pad", [IMAGE, [1, 2, 3, 0], "constant"]), ("pad", [IMAGE, [1, 2, 0, 1], "circular"]), ("pad", ["f 2 4 6", [1, 2], "reflect"]), ("pad", [IMAGE, [1, 2, 3, 0], "replicate"]),
    ("upsample_nearest2d", [IMAGE, [12, 9]]), ("upsample_bilinear2d", [IMAGE, [12, 9], False]), ("upsample_nearest1d", ["f 2 4 6", [9]]), ("upsample_bicubic2d", [IMAGE, [12, 9], False]),
    ("grid_sampler_2d", [IMAGE, "f 2 3 5 2", 0, 0, False]), ("grid_sampler_2d", ["n 2 4 6 6", "f 2 3 5 2", 0, 0, False]), ("pixel_shuffle", [IMAGE, 2]),
    # normalizations
    ("batch_norm", [IMAGE, "f 4", "f 4", "n 4", "n 4", True, 0.1, 1e-5, False]), ("batch_norm", ["f 6 4", "f 4", "f 4", "n 4", "n 4", True, 0.1, 1e-5, False]),
    ("batch_norm", [IMAGE, None, None, "n 4", "n 4", True, 0.1, 1e-5, False]), ("batch_norm", [IMAGE, "f 4", "f 4", "n 4", "n 4", False, 0.1, 1e-5, False]), ("batch_norm", ["n 2 4 6 6", "f 4", "f 4", "n 4", "n 4", True, 0.1, 1e-5, False]),
    ("layer_norm", ["f 2 3 8", [8], "f 8", "f 8"]), ("layer_norm", ["f 2 3 8", [3, 8], "f 3 8", "f 3 8"]), ("layer_norm", ["f 2 3 8", [8]]), ("layer_norm", ["n 2 3 8", [8], "f 8", "f 8"]),
    ("group_norm", [IMAGE, 2, "f 4", "f 4"]), ("group_norm", [IMAGE, 4]), ("group_norm", ["n 2 4 6 6", 2, "f 4", "f 4"]), ("instance_norm", [IMAGE, "f 4", "f 4", None, None, True, 0.1, 1e-5, False]), ("instance_norm", [IMAGE, None, None, None, None, True, 0.1, 1e-5, False]),
    ("rms_norm", ["f 2 3 8", [8], "f 8"]), ("rms_norm", ["f 2 3 8", [8]]), ("_weight_norm", ["f 3 4", "f 3 1"]),
    # attention
    ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 6 5", "f 2 3 6 5"]), ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 6 5", "f 2 3 6 5", "n 4 6"]), ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 6 5", "f 2 3 6 5", "b 4 6"]),
    ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 6 5", "f 2 3 6 7"]), ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 6 5", "f 2 3 6 5", None, 0.5]), ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 4 5", "f 2 3 4 5", None, 0.5, True]),
    ("scaled_dot_product_attention", ["f 3 4 5", "f 3 6 5", "f 3 6 5"]), ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 6 5", "f 2 3 6 5", "f 2 3 4 6"]), ("scaled_dot_product_attention", ["f 2 3 4 5", "f 2 3 4 5", "f 2 3 4 5", None, 0.0, True]),
    # indices
    ("embedding", ["f 9 4", "i 2 3"]), ("index_select", ["f 3 4", 1, "i 2"]), ("index_select", ["f 3 4", 0, "i 5"]), ("gather", ["f 3 4", 1, "i 3 2"]), ("index", ["f 5 4", ["i 3"]]), ("index", ["f 5 4", ["i 3", "i 3"]]), ("index", ["f 5 4 2", ["i 3 1", "i 2"]]),
    ("scatter_add", ["f 3 4", 1, "i 3 2", "f 3 2"]), ("scatter_add", ["n 3 4", 1, "i 3 2", "f 3 2"]), ("index_add", ["f 3 4", 0, "i 2", "f 2 4"]), ("index_add", ["f 3 4", 0, "i 2", "n 2 4"]),
    ("scatter", ["f 3 4", 1, "i 3 2", "f 3 2"]), ("scatter", ["f 3 4", 1, "i 3 2", "n 3 2"]), ("index_put", ["f 5 4", ["i 3"], "f 3 4"]), ("index_put", ["f 5 4", ["i 3"], "f 3 4", True]), ("index_put", ["n 5 4", ["i 3"], "f 3 4"]),
    ("slice_scatter", ["f 5 4", "f 2 4", 0, 1, 3]), ("select_scatter", ["f 5 4", "f 4", 0, 1]),
    # shapes
    ("reshape", ["f 3 4 5", [12, 5]]), ("reshape", ["t 3 4", [12]]), ("reshape", ["f 3 4 5", [-1, 10]]), ("view", ["f 3 4", [2, 6]]), ("permute", ["f 3 4 5", [2, 0, 1]]), ("transpose", ["f 3 4 5", 0, 2]), ("transpose", ["f 3 4 5", -1, 1]), ("unsqueeze", ["f 3 4", 1]), ("unsqueeze", ["f 3 4", -1]),
    ("squeeze", ["f 3 1 4", 1]), ("squeeze", ["f 3 1 4"]), ("squeeze", ["f 3 4", 1]), ("expand", ["f 3 1 4", [3, 5, 4]]), ("expand", ["f 4", [2, 3, 4]]), ("expand", ["f 3 1", [-1, 5]]), ("detach", ["f 3 4"]), ("t", ["f 4"]), ("t", ["f 3 4"]), ("contiguous", ["t 3 4"]), ("contiguous", ["f 3 4"]), ("clone", ["t 3 4"]), ("clone", ["f 3 4"]),
    ("slice", ["f 5 4", 0, 1, 3]), ("slice", ["f 5 4", 0, 0, 5, 2]), ("slice", ["f 5 4", 1, -2, 100]), ("slice", ["f 5 4", -1, 1]), ("narrow", ["f 5 4", 0, 1, 2]), ("select", ["f 5 4", 0, 2]), ("select", ["f 5 4", -1, 0]), ("repeat", ["f 3 4", [2, 1]]), ("repeat", ["f 3 4", [2, 1, 3]]), ("repeat", ["f 3", [4]]),
    ("flip", ["f 3 4", [0]]), ("roll", ["f 3 4", [1], [0]]), ("unfold", ["f 3 8", 1, 4, 2]), ("im2col", ["f 2 3 5 5", [2, 2], [1, 1], [0, 0], [1, 1]]), ("tril", ["f 4 4"]), ("triu", ["f 4 4", 1]),
    ("split", ["f 5 4", 2]), ("split", ["f 4 6", 3, 1]), ("split_with_sizes", ["f 5 4", [2, 3]]), ("chunk", ["f 5 4", 2]), ("chunk", ["f 4 7", 3, 1]), ("unbind", ["f 3 4"]), ("unbind", ["f 3 4", 1]),
    ("cat", [["f 3 4", "f 2 4"]]), ("cat", [["f 3 4", "f 3 2", "n 3 1"], 1]), ("cat", [["f 3 4", "f 3 4"], -1]), ("stack", [["f 3 4", "f 3 4"]]), ("stack", [["f 3 4", "n 3 4"], 1]), ("stack", [["f 3 4", "f 3 4"], -1]), ("cat", [["t 3 4", "t 3 4"], 1]),
    # losses and layers of many steps
    ("cross_entropy_loss", ["f 6 5", "i 6"]), ("cross_entropy_loss", ["f 2 5 3", "i 2 3"]), ("nll_loss", ["f 6 5", "i 6"]), ("mse_loss", ["f 3 5", "n 3 5"]), ("l1_loss", ["f 3 5", "n 3 5"]), ("smooth_l1_loss", ["f 3 5", "n 3 5"]), ("huber_loss", ["f 3 5", "n 3 5"]),
    ("binary_cross_entropy_with_logits", ["f 3 5", "n 3 5"]), ("binary_cross_entropy", ["f 3 5", "n 3 5"]), ("kl_div", ["f 3 5", "n 3 5"]),
    *(recurrent(name, layers, directions, bias) for name in GATES for layers, directions, bias in ((1, 1, True), (2, 1, True), (1, 2, True), (1, 1, False), (2, 2, True))),
    *(recurrent(name, 2, 1, True, first=True, drop=0.5) for name in GATES),
    *(recurrent("lstm", 1, 1, True, sizes=sizes) for sizes in ((4, 3, 300, 64), (2, 3, 40, 256), (5, 1, 256, 16))),
    ("lstm_cell", ["f 3 4", ["f 3 5", "f 3 5"], "f 20 4", "f 20 5", "f 20", "f 20"]), ("gru_cell", ["f 3 4", "f 3 5", "f 15 4", "f 15 5", "f 15", "f 15"]), ("rnn_tanh_cell", ["f 3 4", "f 3 5", "f 5 4", "f 5 5", "f 5", "f 5"]),
    # with operands that want no gradient
    ("layer_norm", ["f 2 3 8", [8], "n 8", "f 8"]), ("layer_norm", ["f 2 3 8", [8], "f 8", "n 8"]), ("batch_norm", [IMAGE, "n 4", "f 4", "n 4", "n 4", True, 0.1, 1e-5, False]), ("batch_norm", [IMAGE, "f 4", "n 4", "n 4", "n 4", True, 0.1, 1e-5, False]),
    ("group_norm", [IMAGE, 2, "n 4", "f 4"]), ("group_norm", [IMAGE, 2, "f 4", "n 4"]), ("conv2d", [IMAGE, "f 5 4 3 3", "n 5"]), ("linear", ["f 2 3 4", "n 5 4", "f 5"]), ("linear", ["f 3 4", "f 5 4", "n 5"]), ("prelu", [IMAGE, "n 4"]),
    ("addmm", ["f 5", "f 3 4", "n 4 5"]), ("bmm", ["f 2 3 4", "n 2 4 5"]), ("where", ["b 3 5", "n 3 5", "f 3 5"]), ("gather", ["n 3 4", 1, "i 3 2"]), ("scatter", ["n 3 4", 1, "i 3 2", "f 3 2"]), ("cat", [["n 3 4", "f 2 4"]]), ("rms_norm", ["f 2 3 8", [8], "n 8"]), ("dot", ["n 4", "f 4"]), ("mv", ["f 3 4", "n 4"]), ("maximum", ["n 3 5", "f 3 5"]), ("minimum", ["f 3 5", "n 3 5"]), ("sub", ["n 3 5", "f 5"]),
    # einsum with dots, ones and repeated reductions
    ("einsum", ["...ij,...jk->...ik", ["f 2 3 4", "f 2 4 5"]]), ("einsum", ["b...i,ij->b...j", ["f 2 3 6 4", "f 4 5"]]), ("einsum", ["bij,bjk->ik", ["f 2 3 4", "f 2 4 5"]]), ("einsum", ["ij,jk,kl->il", ["f 3 4", "f 4 5", "f 5 2"]]), ("einsum", ["bij,bij->bi", ["f 2 3 4", "f 2 3 4"]]), ("einsum", ["ij,ij->", ["f 3 4", "f 3 4"]]), ("einsum", ["ijk->ki", ["f 2 3 4"]]), ("einsum", ["bi,bj->bij", ["f 2 3", "f 2 4"]]),
    # in place of what is no leaf
    *((f"{name}_", ["o 3 5"]) for name in IN_PLACE.split()),
    ("dropout_", ["o 3 5", 0.5, True]), ("add_", ["o 3 5", "f 3 5"]), ("mul_", ["o 3 5", "f 5"]), ("sub_", ["o 3 5", 1.0]), ("masked_fill_", ["o 3 5", "b 3 5", 0.0]), ("clamp_", ["o 3 5", 0.0, 1.0]),
    # of integers, and made from nothing
    ("sqrt", ["i 3 5"]), ("abs", ["i 3 5"]), ("neg", ["i 3 5"]), ("sum", ["i 3 5", [1]]), ("cumsum", ["i 3 5", 1]), ("add", ["i 3 5", 1]), ("add", ["i 3 5", 1.0]), ("div", ["i 3 5", 2]), ("bitwise_and", ["b 3 5", "b 5"]),
    ("full", [[2, 3], 1.0]), ("zeros", [[4, 3]]), ("arange", [5]), ("arange", [2, 9]), ("arange", [0.0, 7.0]), ("zeros_like", ["f 2 3"]), ("full_like", ["t 2 3", 1.0]), ("new_zeros", ["f 2 3", [4]]), ("eye", [3]), ("nonzero", ["b 3 4"]), ("scalar_tensor", [1.0]),
    ("alias", ["f 3 4"]), ("as_strided", ["f 3 4", [2, 3], [4, 1]]), ("meshgrid", [["n 3", "n 4"]]), ("max", ["f 3 5", "f 3 5"]), ("local_response_norm", [IMAGE, 3]), ("einsum", ["ij,jk", ["f 3 4", "f 4 5"]]),
    ("var_mean", ["f 3 4 5", [1]]), ("embedding_bag", ["f 9 4", "i 6", "i 3"]),
    # in half the width
    *((name, ["h 3 5"]) for name in ("relu", "gelu", "softmax") if name != "softmax"), ("softmax", ["h 3 5", -1]), ("mul", ["h 3 5", "f 3 5"]), ("add", ["h 3 5", "h 5"]), ("linear", ["h 3 4", "h 5 4", "h 5"]), ("layer_norm", ["h 2 3 8", [8], "h 8", "h 8"]),
    ("batch_norm", ["h 2 4 6 6", "f 4", "f 4", "n 4", "n 4", True, 0.1, 1e-5, False]), ("rms_norm", ["h 2 3 8", [8], "h 8"]), ("dropout", ["h 3 5", 0.5, True]), ("sum", ["h 3 5", [1]]), ("mean", ["h 3 5", [1]]),
    ("scaled_dot_product_attention", ["h 2 3 4 5", "h 2 3 6 5", "h 2 3 6 5"]), ("scaled_dot_product_attention", ["h 2 3 4 5", "h 2 3 6 5", "h 2 3 6 7"]), ("scaled_dot_product_attention", ["f 3 4 5", "f 3 6 5", "f 3 6 5", "b 4 6"]),
]  # fmt: skip


def named() -> dict[str, tuple[str, list[Any]]]:
    """The calls, each under a name of its own."""
    return {f"{name} {args}": (name, args) for name, args in CALLS}
