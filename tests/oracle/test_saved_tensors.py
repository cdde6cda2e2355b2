"""What each rule saves against what torch was seen to save, for the recorded operations beside the repository."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from graphmem.autograd import strides as st
from graphmem.autograd.machine import Machine, results
from graphmem.autograd.rules import rule_of
from graphmem.autograd.tensor import Node, Tensor
from tests.conftest import SHARED

DATA = SHARED / "data" / "training"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"NO RECORD: saved_probe_*.json are not at {DATA}")

IMAGE, ROWS, SEQUENCE = (4, 8, 16, 16), (32, 10), (4, 8, 16)
HEADS = (2, 4, 32, 16)


class Bench:
    """A machine and the named operands of one recorded operation."""

    def __init__(self, device: str) -> None:
        self.m = Machine(device=device)
        self.named: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int, dtype: str = "float32") -> Tensor:
        """An operand; floats need a gradient unless they are statistics (rm, rv) or targets (t)."""
        tensor = self.m.empty(shape, dtype)
        tensor.requires_grad = "float" in dtype and name not in ("rm", "rv", "t")
        self.named[name] = tensor
        return tensor

    def ids(self, name: str, *shape: int) -> Tensor:
        """Integers."""
        return self(name, *shape, dtype="int64")

    def mask(self, name: str, *shape: int) -> Tensor:
        """Booleans."""
        return self(name, *shape, dtype="bool")


def call(target: str, *args: Any) -> Any:
    """A rule on an image x and further arguments."""
    return lambda b: (target, b("x", *IMAGE), *args)


def two(target: str) -> Any:
    """A rule on two images x and y."""
    return lambda b: (target, b("x", *IMAGE), b("y", *IMAGE))


def norm(target: str, *args: Any) -> Any:
    """A rule on an image, a weight and a bias per channel."""
    return lambda b: (target, b("x", *IMAGE), *args, b("w", 8), b("b", 8))


def sdpa(p: float) -> Any:
    """Attention."""
    return lambda b: ("scaled_dot_product_attention", b("q", *HEADS), b("k", *HEADS), b("v", *HEADS), None, p)


def convolution(target: str) -> Any:
    """A 3x3 convolution."""
    return lambda b: (target, b("x", *IMAGE), b("w", 8, 8, 3, 3), b("b", 8), 1, 1)


def turned(b: Bench) -> Any:
    """A reshape that must copy."""
    x = b("x", *SEQUENCE)
    return "reshape", b.m.alias(x, (4, 16, 8), st.permuted_inverse(x.strides, (0, 2, 1))), [4, 128]


CASES: dict[str, Any] = {
    "Add": two("add"), "Sub": two("sub"), "Mul": two("mul"), "Mul(const)": call("mul", 2.0), "Div": two("div"),
    "Div(const)": call("div", 2.0), "Pow(2)": call("pow", 2), "Sqrt": call("sqrt"),
    "Rsqrt (Reciprocal∘Sqrt)": call("rsqrt"), "Reciprocal": call("reciprocal"), "Exp": call("exp"), "Log": call("log"),
    "Neg": call("neg"), "Abs": call("abs"), "Erf": call("erf"), "Sin": call("sin"), "Cos": call("cos"),
    "Relu": call("relu"), "LeakyRelu": call("leaky_relu"), "PRelu": lambda b: ("prelu", b("x", *IMAGE), b("w", 8)),
    "Elu": call("elu"), "Selu": call("selu"), "Sigmoid": call("sigmoid"), "Tanh": call("tanh"),
    "HardSigmoid": call("hardsigmoid"), "HardSwish": call("hardswish"), "Clip/Relu6": call("hardtanh", 0, 6),
    "Clip (clamp)": call("clamp", 0.0, 1.0), "Gelu": call("gelu"), "Gelu tanh": call("gelu"),
    "SiLU (Mul∘Sigmoid)": call("silu"), "Mish": call("mish"), "Softplus": call("softplus"),
    "Softmax": call("softmax", -1), "LogSoftmax": call("log_softmax", -1), "Dropout": call("dropout", 0.5, True),
    "MatMul 2D": lambda b: ("matmul", b("x", 8, 16), b("y", 16, 4)),
    "MatMul ND·2D": lambda b: ("matmul", b("x", *SEQUENCE), b("y", 16, 4)),
    "MatMul 4D·4D": lambda b: ("matmul", b("x", *HEADS), b("y", 2, 4, 16, 8)),
    "Gemm/Linear+bias": lambda b: ("linear", b("x", 8, 16), b("w", 4, 16), b("b", 4)),
    "Linear 3D+bias": lambda b: ("linear", b("x", *SEQUENCE), b("w", 4, 16), b("b", 4)),
    "Einsum bij,bjk": lambda b: ("einsum", "bij,bjk->bik", [b("x", 4, 8, 16), b("y", 4, 16, 8)]),
    "Conv": convolution("conv2d"), "ConvTranspose": convolution("conv_transpose2d"),
    "BatchNormalization": lambda b: (
        "batch_norm", b("x", *IMAGE), b("w", 8), b("b", 8), b("rm", 8), b("rv", 8), True,
    ),
    "InstanceNormalization": norm("instance_norm"), "GroupNormalization": norm("group_norm", 2),
    "LayerNormalization": lambda b: ("layer_norm", b("x", *SEQUENCE), [16], b("w", 16), b("b", 16)),
    "RMSNormalization": lambda b: ("rms_norm", b("x", *SEQUENCE), [16], b("w", 16)),
    "LRN": call("local_response_norm", 5), "MaxPool": call("max_pool2d", 2), "AveragePool": call("avg_pool2d", 2),
    "GlobalAveragePool": call("adaptive_avg_pool2d", [1, 1]), "GlobalMaxPool": call("adaptive_max_pool2d", [1, 1]),
    "ReduceMean": call("mean", [2, 3]), "ReduceSum": call("sum", [1]), "ReduceMax": call("amax", [2, 3], True),
    "ReduceL2": call("linalg_vector_norm", 2, [2, 3]), "ReduceLogSumExp": call("logsumexp", [2, 3]),
    "CumSum": call("cumsum", 1), "TopK": call("topk", 3),
    "Gather(embedding)": lambda b: ("embedding", b("w", 32, 16), b.ids("ix", 4, 8)),
    "GatherElements": lambda b: ("gather", b("x", *ROWS), 1, b.ids("ix", 32, 4)),
    "GatherND/index": lambda b: ("index", b("x", *ROWS), [b.ids("ix", 8)]),
    "ScatterElements": lambda b: ("scatter", b("x", *ROWS), 1, b.ids("ix", 32, 4), b("y", 32, 4)),
    "Where": lambda b: ("where", b.mask("c", *IMAGE), b("x", *IMAGE), b("y", *IMAGE)),
    "masked_fill": lambda b: ("masked_fill", b("x", *IMAGE), b.mask("c", *IMAGE), 0.0),
    "Max": two("maximum"), "Concat": lambda b: ("cat", [b("x", *IMAGE), b("y", *IMAGE)], 1),
    "Split": call("split", 4, 1), "Slice": call("slice", 1, 0, 4), "Transpose": call("transpose", 1, 2),
    "Reshape(view)": call("view", [4, -1]), "Reshape(copy)": turned,
    "Expand": lambda b: ("expand", b("x", 4, 1, 16), [4, 8, 16]), "Tile": call("repeat", [1, 2, 1, 1]),
    "Pad(const)": call("constant_pad_nd", [1, 1, 1, 1]), "Pad(reflect)": call("reflection_pad2d", [1, 1, 1, 1]),
    "DepthToSpace": call("pixel_shuffle", 2), "Resize nearest": call("upsample_nearest2d", [32, 32]),
    "Resize bilinear": call("upsample_bilinear2d", [32, 32], False),
    "Resize bicubic": call("upsample_bicubic2d", [32, 32], False),
    "GridSample": lambda b: ("grid_sampler_2d", b("x", *IMAGE), b("g", 4, 16, 16, 2)),
    "Cast f32→bf16": lambda b: ("_to_copy", b("x", *IMAGE)),
    "Attention (SDPA)": sdpa(0.0), "Attention (SDPA, dropout)": sdpa(0.1),
    "SoftmaxCrossEntropyLoss": lambda b: ("cross_entropy_loss", b("x", *ROWS), b.ids("t", 32)),
    "MSELoss": lambda b: ("mse_loss", b("x", *ROWS), b("t", *ROWS)),
    "BCEWithLogits": lambda b: ("binary_cross_entropy_with_logits", b("x", *ROWS), b("t", *ROWS)),
}  # fmt: skip

# Recorded otherwise than graphmem means it, with why.
APART = {
    ("cpu", "BatchNormalization(eval/frozen)"): "the step that is asked about trains, whatever the mode of the export",
    ("cuda", "BatchNormalization(eval/frozen)"): "the same",
    ("cuda", "RMSNormalization"): "the record is of fake tensors, which took the products; a GPU takes a fused kernel",
    ("cuda", "Attention (SDPA)"): "the same",
    ("cuda", "Attention (SDPA, dropout)"): "the same",
}


def _recorded(device: str) -> list[dict[str, Any]]:
    path = DATA / f"saved_probe_{device}.json"
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def _saved(device: str, op: str) -> Counter[str]:
    """What waits for the backward of the operation: operands by name, the result as out0, the rest by shape.

    A number that autograd wraps as a tensor of 8 bytes is left out, as the record does.
    """
    bench = Bench(device)
    target, *args = CASES[op](bench)
    rule = rule_of(f"aten.{target}")
    assert rule is not None, target
    with bench.m.within(wanted_dtypes=("bfloat16",) if "bf16" in op else ()):
        outputs = results(rule(bench.m, *args))
    names = {t.storage.number: name for name, t in bench.named.items()}
    own = {outputs[0].storage.number: "out0"}
    held: dict[int, Tensor] = {}
    seen: set[int] = set()
    front: list[Node] = [t.node for t in outputs if t.node is not None]
    while front:
        node = front.pop()
        if id(node) not in seen:
            seen.add(id(node))
            held.update((t.storage.number, t) for t in node.saved)
            front += [edge[0] for edge in node.edges if edge is not None]
    labels = {n: names.get(n) or own.get(n) or f"extra{list(t.shape)}" for n, t in held.items()}
    return Counter(f"{labels[n]}:{t.dtype}" for n, t in held.items() if (t.shape, t.dtype) != ((), "float64"))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rules_save_what_torch_saves(device: str) -> None:
    recorded = _recorded(device)
    assert len(recorded) == 90
    wrong = {}
    for row in recorded:
        if (device, row["op"]) not in APART:
            found = _saved(device, row["op"])
            if found != Counter(row["saved"]):
                wrong[row["op"]] = f"torch {row['saved']}, graphmem {sorted(found.elements())}"
    assert not wrong, "\n".join(f"{op}: {how}" for op, how in wrong.items())
